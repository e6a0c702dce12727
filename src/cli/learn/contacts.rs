//! `tamis learn contacts`: everybody whom the owner of a mailbox wrote to.

use std::path::{Path, PathBuf};

use super::super::{Answer, Failure, Options, exit, print};
use super::sources::Sources;
use super::{decode, failure, progress};
use crate::learned::Sent;
use crate::learned::addresses::addresses;
use crate::site::Site;

/// Mails in one transaction.
const BATCH_MAX: usize = 200;

/// Where sent mail is.
#[derive(Debug, clap::Args)]
pub struct Contacts {
    /// The owner's address; may be given several times. Without it the sender of each mail in a folder named Sent is one
    #[arg(long, value_name = "ADDRESS")]
    user: Vec<String>,
    /// Maildirs, mboxes, folders
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub(super) fn run(options: &Options, site: &Site, contacts: &Contacts) -> Answer {
    let users: Vec<String> = contacts.user.iter().map(|user| user.to_lowercase()).collect();
    let mut sources = Sources::default();
    let mut waiting: Vec<Sent> = Vec::new();
    let (mut mails, mut sent, mut people) = (0_u64, 0_u64, std::collections::BTreeSet::new());
    let keep = |waiting: &mut Vec<Sent>| {
        let kept = site.learned.remember(waiting).map_err(|trouble| failure(&trouble));
        waiting.clear();
        kept
    };
    for path in
        if users.is_empty() { sent_folders(&contacts.paths) } else { contacts.paths.clone() }
    {
        sources.each(&path, &mut |octets| {
            mails += 1;
            progress(mails);
            let Some(mail) = read(site, octets, &users) else { return Ok(()) };
            sent += 1;
            people.extend(mail.to.iter().map(|to| (mail.from.clone(), to.clone())));
            waiting.push(mail);
            if waiting.len() >= BATCH_MAX { keep(&mut waiting) } else { Ok(()) }
        })?;
    }
    if !waiting.is_empty() {
        keep(&mut waiting)?;
    }
    if options.json {
        let facts = serde_json::json!({
            "mails": mails, "sent": sent, "contacts": people.len(), "unreadable": sources.unreadable,
        });
        print(&format!("{facts}\n"))?;
    } else {
        print(&format!("{} contacts in {sent} sent mails of {mails}\n", people.len()))?;
    }
    if users.is_empty() && mails == 0 {
        let text = "no folder named Sent is there: give the owner's address with --user";
        return Err(Failure::new(exit::NOT_FOUND, text));
    }
    sources.verdict()
}

/// A mail of the owner's.
fn read(site: &Site, octets: &[u8], users: &[String]) -> Option<Sent> {
    let message = decode(site, octets);
    let from = addresses(&message, "From").into_iter().next()?;
    if !users.is_empty() && !users.contains(&from) {
        return None;
    }
    let mut to: Vec<String> =
        ["To", "Cc", "Bcc"].iter().flat_map(|name| addresses(&message, name)).collect();
    to.sort();
    to.dedup();
    let date = message.value("Date").map(|value| String::from_utf8_lossy(value).into_owned());
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    let time = date.and_then(|date| parser.parse_timestamp(date.trim()).ok());
    let now = jiff::Timestamp::now();
    // A clock that was wrong makes nobody known for ever.
    let time = time.filter(|time| *time <= now).unwrap_or(now);
    let id = message.value("Message-ID").unwrap_or_default();
    let message_id = String::from_utf8_lossy(id).trim().to_owned();
    Some(Sent { from, to, message_id, day: time.as_second().div_euclid(86_400) })
}

/// Folders of sent mail below these paths: `Sent`, `.Sent`, `.INBOX.Sent Items`, …
fn sent_folders(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = paths.to_vec();
    while let Some(path) = waiting.pop() {
        if is_sent(&path) {
            found.push(path);
            continue;
        }
        for entry in std::fs::read_dir(&path).into_iter().flatten().flatten() {
            let kind = entry.file_type();
            let folder = kind.as_ref().is_ok_and(std::fs::FileType::is_dir);
            if folder || is_sent(&entry.path()) {
                waiting.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

fn is_sent(path: &Path) -> bool {
    const NAMES: [&str; 6] =
        ["sent", "sent items", "sent messages", "sent mail", "sent-mail", "gesendet"];
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let last = name.rsplit(['.', '/']).next().unwrap_or(&name);
    NAMES.contains(&last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_sent_mail_are_known_by_name() {
        for (name, want) in [
            (".Sent", true),
            (".INBOX.Sent Items", true),
            ("Sent", true),
            ("sent-mail", true),
            (".Junk", false),
            ("cur", false),
            ("Presented", false),
        ] {
            assert_eq!(is_sent(Path::new(name)), want, "{name}");
        }
    }
}
