//! What rules ask about a part, and the same from an example.

use super::matcher::flag;
use crate::mail::PartFlag;

/// What a part is, as far as rules ask.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Every candidate form of every name.
    pub names: Vec<String>,
    pub declared: String,
    pub types: Vec<Type>,
    pub flags: Vec<PartFlag>,
    pub in_archive: bool,
}

/// A type by content.
#[derive(Debug, Clone)]
pub(super) struct Type {
    pub short: String,
    pub class: String,
    pub mime: String,
}

/// An example: a file name, and behind it facts written as conditions are: `setup.bin type:exe-ms is:encrypted`.
pub(super) fn example(text: &str) -> Facts {
    let mut facts = Facts::default();
    let mut name = text;
    while let Some((before, last)) =
        name.rsplit_once(' ').or((!name.is_empty()).then_some(("", name)))
    {
        match last.split_once(':') {
            Some(("type" | "real", kind)) => {
                let kind = kind.to_owned();
                facts.types.push(Type { short: kind.clone(), class: kind.clone(), mime: kind });
            }
            Some(("declared", kind)) => kind.clone_into(&mut facts.declared),
            Some(("is", name)) => facts.flags.extend(flag(name)),
            Some(("in", "archive")) => facts.in_archive = true,
            _ => break,
        }
        name = before;
    }
    if !name.is_empty() {
        facts.names = candidates([name]);
    }
    facts
}

/// Every form in which a reader may take the names, paths cut off as well.
pub(super) fn candidates<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for name in names {
        for form in std::iter::once(name.to_owned()).chain(crate::mime::names::normalised(name)) {
            let base = form.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
            for candidate in [form, base] {
                if !candidate.is_empty() && !found.contains(&candidate) {
                    found.push(candidate);
                }
            }
        }
    }
    found
}
