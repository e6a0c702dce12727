//! Subjects that are welcome, and others that are not.

use crate::filters::spam::text::Glob;

use super::{Arguments, Call, Function, fields, lists};

pub(super) const FUNCTIONS: &[Function] = &[
    ("check_subject_in_welcomelist", welcome),
    ("check_subject_in_whitelist", welcome),
    ("check_subject_in_blocklist", block),
    ("check_subject_in_blacklist", block),
];

/// The text may stand anywhere in the subject.
pub(super) fn glob(text: &str) -> Glob {
    Glob::new(&format!("*{text}*"))
}

fn welcome(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| {
        let subject = fields::value(view, "Subject");
        fits(&lists(view).welcome_subjects, &subject)
    }))
}

fn block(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| {
        let subject = fields::value(view, "Subject");
        fits(&lists(view).block_subjects, &subject)
    }))
}

fn fits(globs: &[Glob], subject: &[u8]) -> bool {
    let subject = String::from_utf8_lossy(subject);
    !subject.is_empty() && globs.iter().any(|glob| glob.fits(&subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_stands_anywhere() {
        let globs = [glob("[Bug *]"), glob("Make Money")];
        for (subject, want) in [
            ("Re: [bug 12] new\n", true),
            ("make money fast\n", true),
            ("make  money\n", false),
            ("", false),
        ] {
            assert_eq!(fits(&globs, subject.as_bytes()), want, "{subject}");
        }
    }
}
