//! File names: every way a mail reader, or the system it runs on, may read one.

use unicode_normalization::UnicodeNormalization as _;

use super::field::percent_decode;

/// Characters of a name that are looked at; the end counts most, so the start of a longer one is dropped.
const NAME_CHARS_MAX: usize = 4096;

/// Forms of one name, at most.
const FORMS_MAX: usize = 16;

/// The forms of a name that an attachment rule must look at, in lower case, distinct: first as it was written, then
/// with what systems ignore or cut taken away.
///
/// Taken away are: compatibility forms (NFKC), signs without width or that turn the direction, control characters,
/// what follows NUL, folders of either slash, dots and blanks at the end, an NTFS stream behind a colon, percent
/// escapes.
#[must_use]
pub fn normalised(name: &str) -> Vec<String> {
    let count = name.chars().count();
    let name: String = name.chars().skip(count.saturating_sub(NAME_CHARS_MAX)).collect();
    let mut forms = vec![name.to_lowercase()];
    let steps: [fn(&str) -> String; 7] =
        [cut_at_nul, visible, percent_decoded, visible, last_segment, without_tail, without_stream];
    // Each step on what the steps before made of it, and each form kept.
    let mut current = name.clone();
    for step in steps {
        current = step(&current);
        add(&mut forms, &current);
    }
    add(&mut forms, &without_tail(&current));
    // Readers that do not stop at NUL show the rest; readers that do not know percent escapes keep them.
    let plain = without_stream(&without_tail(&last_segment(&visible(&name))));
    add(&mut forms, &plain);
    add(&mut forms, &without_tail(&plain));
    // No system takes another sign for the dot before the extension, but people do, and some unpackers.
    if current.chars().any(looks_like_dot) {
        let dotted: String =
            current.chars().map(|sign| if looks_like_dot(sign) { '.' } else { sign }).collect();
        add(&mut forms, &without_tail(&dotted));
    }
    forms
}

fn add(forms: &mut Vec<String>, form: &str) {
    let form = form.to_lowercase();
    if !form.is_empty() && forms.len() < FORMS_MAX && !forms.contains(&form) {
        forms.push(form);
    }
}

fn cut_at_nul(name: &str) -> String {
    name.split('\0').next().unwrap_or(name).to_owned()
}

/// Compatibility forms made plain; what nobody sees taken out. Twice, for folds that give such signs.
fn visible(name: &str) -> String {
    name.nfkc().filter(|sign| !sign.is_control() && !is_invisible(*sign)).collect()
}

fn is_invisible(sign: char) -> bool {
    matches!(sign,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Signs that look like a full stop, beside those that NFKC makes one.
fn looks_like_dot(sign: char) -> bool {
    matches!(
        sign,
        '\u{b7}'
            | '\u{387}'
            | '\u{589}'
            | '\u{6d4}'
            | '\u{701}'
            | '\u{702}'
            | '\u{2022}'
            | '\u{2027}'
            | '\u{22c5}'
            | '\u{3002}'
            | '\u{30fb}'
            | '\u{a4f8}'
            | '\u{a60e}'
            | '\u{a78f}'
            | '\u{ff61}'
            | '\u{10a50}'
            | '\u{1d16d}'
    )
}

fn percent_decoded(name: &str) -> String {
    if !name.contains('%') {
        return name.to_owned();
    }
    let mut octets = Vec::with_capacity(name.len());
    percent_decode(name.as_bytes(), &mut octets);
    cut_at_nul(&String::from_utf8_lossy(&octets))
}

fn last_segment(name: &str) -> String {
    let trimmed = name.trim_end_matches(['/', '\\']);
    trimmed.rsplit(['/', '\\']).next().unwrap_or(trimmed).to_owned()
}

fn without_tail(name: &str) -> String {
    let tail = |sign: char| sign == '.' || sign.is_whitespace() || matches!(sign, '"' | '\'');
    name.trim_end_matches(tail).trim_start().to_owned()
}

/// `x.exe:a.txt` and `x.exe::$DATA` are the file `x.exe`. A drive letter is no stream.
fn without_stream(name: &str) -> String {
    match name.split_once(':') {
        Some((file, _)) if file.chars().count() > 1 => file.to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whatever_a_system_opens_is_among_the_forms() {
        for name in [
            "setup.exe",
            "SETUP.ExE",
            "setup.exe.",
            "setup.exe   ",
            "setup.exe . . ",
            "setup.exe\0.txt",
            "setup.exe:a.txt",
            "setup.exe::$DATA",
            "C:\\temp\\setup.exe",
            "../../tmp/setup.exe",
            "setup%2Eexe",
            "setup\u{ff0e}exe",
            "setup\u{2024}exe",
            "setup\u{3002}exe",
            "setup\u{b7}exe",
            "setup.e\u{200b}xe",
            "\u{202e}setup.exe",
            "setup.exe%00.txt",
            "%2Ftmp%2Fsetup.exe",
            "'setup.exe'",
            "setup.exe. :x",
        ] {
            let forms = normalised(name);
            assert!(
                forms.iter().any(|f| f.trim_matches('\'') == "setup.exe"),
                "{name:?} {forms:?}"
            );
        }
    }

    #[test]
    fn the_name_as_written_comes_first_and_none_twice() {
        assert_eq!(normalised("a.TXT"), ["a.txt"]);
        assert_eq!(normalised("A.exe\0.txt")[0], "a.exe\0.txt");
        assert_eq!(normalised("100% sure.pdf"), ["100% sure.pdf"]);
    }

    proptest! {
        #[test]
        fn forms_are_few_and_distinct(name: String) {
            let forms = normalised(&name);
            prop_assert!(!forms.is_empty() && forms.len() <= FORMS_MAX);
            for (index, form) in forms.iter().enumerate() {
                prop_assert!(!forms[..index].contains(form));
            }
        }
    }
}
