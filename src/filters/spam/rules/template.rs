//! Patterns that hold what other rules have caught: `%{NAME}`.

use std::collections::BTreeMap;

use crate::filters::spam::pattern::Pattern;

use super::build::PatternCheck;

/// A pattern with names in it, in place of which comes what the named groups of other rules caught in the mail.
#[derive(Debug)]
pub(in crate::filters::spam) struct Template {
    pub(super) text: usize,
    pub(super) negated: bool,
    pub(super) pattern: Vec<u8>,
    pub(in crate::filters::spam) flags: String,
}

impl Template {
    /// The pattern with what was caught; `None` as long as one of its names has caught nothing.
    pub(in crate::filters::spam) fn filled(
        &self,
        caught: &BTreeMap<String, Vec<Vec<u8>>>,
    ) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(self.pattern.len() * 2);
        let mut rest = self.pattern.as_slice();
        while let Some((before, name, behind)) = next(rest) {
            out.extend_from_slice(before);
            out.extend_from_slice(b"(?:");
            let values = caught.get(name)?;
            if values.is_empty() {
                return None;
            }
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b'|');
                }
                for octet in value {
                    out.extend_from_slice(format!("\\x{octet:02x}").as_bytes());
                }
            }
            out.push(b')');
            rest = behind;
        }
        out.extend_from_slice(rest);
        Some(out)
    }

    pub(in crate::filters::spam) fn check(&self, pattern: Pattern) -> PatternCheck {
        let Self { text, negated, .. } = *self;
        PatternCheck { text, pattern, negated, unset: None, slot: None, implies: None }
    }
}

/// True if a pattern holds names.
pub(super) fn is_template(pattern: &[u8]) -> bool {
    next(pattern).is_some()
}

/// The first name: what stands before it, itself, and what stands behind it.
fn next(text: &[u8]) -> Option<(&[u8], &str, &[u8])> {
    let mut from = 0;
    loop {
        let start = from + memchr::memmem::find(text.get(from..)?, b"%{")?;
        from = start + 2;
        let escaped = start.checked_sub(1).and_then(|at| text.get(at)) == Some(&b'\\');
        let inner = text.get(from..)?;
        let end = memchr::memchr(b'}', inner)?;
        let name = std::str::from_utf8(inner.get(..end)?).unwrap_or_default();
        let word =
            |octet: u8| octet.is_ascii_uppercase() || octet.is_ascii_digit() || octet == b'_';
        if !escaped
            && name.starts_with(|letter: char| letter.is_ascii_uppercase())
            && name.bytes().all(word)
        {
            return Some((text.get(..start)?, name, inner.get(end + 1..)?));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pattern: &str, values: &[&str]) -> Option<String> {
        let template =
            Template { text: 0, negated: false, pattern: pattern.into(), flags: String::new() };
        let values = values.iter().map(|value| value.as_bytes().to_vec()).collect();
        let caught = BTreeMap::from([("NAME".to_owned(), values)]);
        template.filled(&caught).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn names_become_what_was_caught() {
        assert_eq!(filled("a%{NAME}b", &["x."]).as_deref(), Some(r"a(?:\x78\x2e)b"));
        assert_eq!(filled("%{NAME}", &["x", "y"]).as_deref(), Some(r"(?:\x78|\x79)"));
        assert_eq!(filled("%{OTHER}", &["x"]), None);
        assert_eq!(filled("%{NAME}", &[]), None);
        assert!(!is_template(br"\%{NAME}") && !is_template(b"%{name}") && !is_template(b"a{3}%"));
    }
}
