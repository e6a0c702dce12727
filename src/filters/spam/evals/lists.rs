//! Lists of senders: `whitelist_from`, `blacklist_from` and their newer names.

use crate::filters::Mistake;
use crate::filters::spam::rules::Settings;
use crate::filters::spam::text::{Glob, senders};
use crate::filters::spam::view::View;

use super::{Arguments, Call, Function};

const WELCOME: [&str; 2] = ["whitelist_from", "welcomelist_from"];
const UNWELCOME: [&str; 2] = ["unwhitelist_from", "unwelcomelist_from"];
const BLOCK: [&str; 2] = ["blacklist_from", "blocklist_from"];
const UNBLOCK: [&str; 2] = ["unblacklist_from", "unblocklist_from"];

pub(super) const KEYS: &[&str] = &[
    "whitelist_from",
    "welcomelist_from",
    "unwhitelist_from",
    "unwelcomelist_from",
    "blacklist_from",
    "blocklist_from",
    "unblacklist_from",
    "unblocklist_from",
];

pub(super) const FUNCTIONS: &[Function] = &[
    ("check_from_in_whitelist", welcome),
    ("check_from_in_welcomelist", welcome),
    ("check_from_in_blacklist", block),
    ("check_from_in_blocklist", block),
];

/// Patterns of addresses, as written and ready.
type Globs = Vec<(String, Glob)>;

/// The lists of the rule files.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Lists {
    welcome: Globs,
    block: Globs,
}

impl Lists {
    pub(super) fn read(settings: &Settings, _mistakes: &mut Vec<Mistake>) -> Self {
        Self {
            welcome: globs(settings, WELCOME, UNWELCOME),
            block: globs(settings, BLOCK, UNBLOCK),
        }
    }
}

fn globs(settings: &Settings, add: [&str; 2], remove: [&str; 2]) -> Globs {
    let mut globs = Globs::new();
    for line in settings.of(&[add.as_slice(), &remove].concat()) {
        for pattern in line.text.split_ascii_whitespace() {
            if remove.contains(&line.key.as_str()) {
                globs.retain(|(other, _)| !other.eq_ignore_ascii_case(pattern));
            } else {
                globs.push((pattern.to_owned(), Glob::new(pattern)));
            }
        }
    }
    globs
}

fn welcome(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| listed(view, &view.engine.tables.lists.welcome)))
}

fn block(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| listed(view, &view.engine.tables.lists.block)))
}

/// The sender's address that is on the list, if one is.
fn listed(view: &View<'_>, list: &Globs) -> Option<String> {
    if list.is_empty() {
        return None;
    }
    let senders = senders(view.mail);
    senders.into_iter().find(|sender| list.iter().any(|(_, glob)| glob.fits(sender)))
}
