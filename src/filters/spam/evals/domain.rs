//! Where registries draw the border between domains of their customers: `example.co.uk` of `www.example.co.uk`.

use std::collections::HashSet;

use crate::filters::Mistake;
use crate::filters::spam::rules::Settings;
use crate::filters::spam::view::View;

pub(super) const KEYS: &[&str] = &["clear_util_rb", "util_rb_tld", "util_rb_2tld", "util_rb_3tld"];

/// Labels of a name that are looked at; names of hosts have 127 at most.
const LABELS_MAX: usize = 127;

/// The domains of registries, as the rule files list them.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Registries {
    one: HashSet<Box<str>>,
    two: HashSet<Box<str>>,
    three: HashSet<Box<str>>,
}

impl Registries {
    pub(super) fn read(settings: &Settings, _mistakes: &mut Vec<Mistake>) -> Self {
        let mut out = Self::default();
        for line in settings.of(KEYS) {
            let set = match line.key.as_str() {
                "util_rb_tld" => &mut out.one,
                "util_rb_2tld" => &mut out.two,
                "util_rb_3tld" => &mut out.three,
                _ => {
                    out = Self::default();
                    continue;
                }
            };
            set.extend(
                line.text.split_ascii_whitespace().map(|name| name.to_ascii_lowercase().into()),
            );
        }
        out
    }
}

/// The last label is a domain of the root.
pub(super) fn is_top(view: &View<'_>, label: &str) -> bool {
    let one = &view.engine.tables.registries.one;
    one.contains(label) || one.contains(label.to_ascii_lowercase().as_str())
}

/// The part of a name that its owner registered; `None` for what cannot be a name.
pub(super) fn registered(view: &View<'_>, host: &[u8]) -> Option<Vec<u8>> {
    let host = std::str::from_utf8(host).ok()?.to_ascii_lowercase();
    let host = host.trim_matches('.');
    let (_, top) = host.rsplit_once('.')?;
    is_top(view, top).then(|| owned(view, host).into_bytes())
}

/// The same for any text.
pub(super) fn owned(view: &View<'_>, host: &str) -> String {
    let registries = &view.engine.tables.registries;
    let labels: Vec<&str> = host.split('.').filter(|label| !label.is_empty()).collect();
    let labels = labels.get(labels.len().saturating_sub(LABELS_MAX)..).unwrap_or_default();
    let end = |count: usize| labels.get(labels.len().checked_sub(count)?..);
    let three = end(3).is_some_and(|end| {
        end.last() != Some(&"us") && registries.three.contains(end.join(".").as_str())
    });
    let two = end(2).is_some_and(|end| registries.two.contains(end.join(".").as_str()));
    let wanted = match (three, two) {
        (true, _) => 4,
        (false, true) => 3,
        (false, false) => 2,
    };
    labels.get(labels.len().saturating_sub(wanted)..).unwrap_or_default().join(".")
}
