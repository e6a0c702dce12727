//! Lines of rule files that are about no single rule: lists, networks, patterns of redirectors.

use std::collections::BTreeMap;

use crate::filters::Source;

/// One line: what stands behind its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::filters::spam) struct Setting {
    /// The key, in lower case, `_` for `-`.
    pub(in crate::filters::spam) key: String,
    /// The rest of the line, trimmed.
    pub(in crate::filters::spam) text: String,
    pub(in crate::filters::spam) source: Source,
}

/// All such lines. Who needs them makes tables of them once, when the rules are loaded.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Settings {
    /// In the order of the files.
    lines: Vec<Setting>,
    /// For each key, the places of its lines.
    by_key: BTreeMap<String, Vec<usize>>,
}

impl Settings {
    pub(in crate::filters::spam) fn add(&mut self, key: &str, text: String, source: Source) {
        self.by_key.entry(key.to_owned()).or_default().push(self.lines.len());
        self.lines.push(Setting { key: key.to_owned(), text, source });
    }

    /// The lines of these keys, in the order of the files.
    pub(in crate::filters::spam) fn of<'s>(
        &'s self,
        keys: &[&str],
    ) -> impl Iterator<Item = &'s Setting> {
        let mut places: Vec<usize> =
            keys.iter().filter_map(|key| self.by_key.get(*key)).flatten().copied().collect();
        places.sort_unstable();
        places.into_iter().filter_map(|place| self.lines.get(place))
    }
}
