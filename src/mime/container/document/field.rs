//! What fields of Word do, and where their addresses lead.

use crate::mail::PartFlag;
use crate::mime::container::Opened;
use crate::mime::links;

/// Fields that fetch what they show.
const FETCHING: [&str; 7] =
    ["INCLUDEPICTURE", "INCLUDETEXT", "INCLUDE", "IMPORT", "LINK", "RD", "DATABASE"];

/// Words of one field that are looked at.
const WORDS_MAX: usize = 200;

/// Takes the links out of a field's instruction, and flags what it does.
pub(super) fn look(instruction: &str, opened: &mut Opened) {
    let instruction = quoted_numbers(instruction);
    let words = words(&instruction);
    let is = |word: &str, name: &str| word.eq_ignore_ascii_case(name);
    let Some(first) = words.first() else { return };
    if is(first, "DDE") || words.iter().any(|word| is(word, "DDEAUTO")) {
        opened.flag(PartFlag::Launch);
    }
    let fetches = words.iter().any(|word| FETCHING.iter().any(|name| is(word, name)));
    let leads = words.iter().any(|word| is(word, "HYPERLINK"));
    for word in words.iter().skip(1).filter(|word| leads_away(word)) {
        if fetches {
            remote(word, opened);
        } else if leads {
            link(word, opened);
        }
    }
}

/// Something is fetched from there when the document is opened.
pub(super) fn remote(target: &str, opened: &mut Opened) {
    if leads_away(target) {
        opened.flag(PartFlag::Remote);
        link(target, opened);
    }
}

pub(super) fn link(target: &str, opened: &mut Opened) {
    let target = links::clean(target);
    // The same again a little later is common; what is far away is found out by who takes the links.
    const LOOKED_BACK: usize = 16;
    let is_full = opened.links.len() >= links::LINKS_MAX;
    let is_known = opened.links.iter().rev().take(LOOKED_BACK).any(|(known, _)| *known == target);
    if !is_full && !target.is_empty() && !is_known {
        opened.links.push((target, None));
    }
}

/// True if the address is on another host: a path of a drive, or one relative to the document, is not.
pub(super) fn leads_away(target: &str) -> bool {
    const TARGET_CHARS_MAX: usize = 300;
    let head: String = target.trim().chars().take(TARGET_CHARS_MAX).collect();
    let lower = head.to_ascii_lowercase().replace('\\', "/");
    let Some(path) = lower.strip_prefix("file:") else {
        return lower.starts_with("//") || lower.contains("://");
    };
    let rest = path.trim_start_matches('/');
    let slashes = path.len() - rest.len();
    let mut signs = rest.chars();
    let has_drive = signs.next().is_some_and(|sign| sign.is_ascii_alphabetic())
        && (matches!(signs.next(), Some(':' | '|'))
            || rest.get(1..).is_some_and(|r| r.starts_with("%3a")));
    let is_here = has_drive || rest.is_empty() || rest.starts_with("localhost/");
    !is_here && (slashes == 2 || slashes >= 4)
}

/// Words as Word parts them: what stands in quotes is one, and two backslashes in it are one.
fn words(instruction: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut is_quoted = false;
    let mut signs = instruction.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '"' | '\u{201c}' | '\u{201d}' => is_quoted = !is_quoted,
            '\\' if signs.peek() == Some(&'\\') => {
                signs.next();
                // At the start it may be the name of a host, with its backslashes single: they stay two.
                if word.is_empty() && signs.peek() != Some(&'\\') {
                    word.push('\\');
                }
                word.push('\\');
            }
            _ if sign.is_whitespace() && !is_quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                if words.len() >= WORDS_MAX {
                    return words;
                }
            }
            _ => word.push(sign),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// `QUOTE 68 68 69` is `DDE`: a field may be written in numbers.
fn quoted_numbers(instruction: &str) -> String {
    if !instruction.to_ascii_uppercase().contains("QUOTE") {
        return instruction.to_owned();
    }
    let mut out = String::new();
    let mut in_numbers = false;
    for word in instruction.split_whitespace() {
        let number = word.parse::<u8>().ok().filter(|_| in_numbers);
        if let Some(number) = number {
            out.push(char::from(number));
        } else if word.eq_ignore_ascii_case("QUOTE") {
            in_numbers = true;
        } else {
            in_numbers = false;
            out.push(' ');
            out.push_str(word);
            out.push(' ');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(instruction: &str, flags: &[PartFlag], links: &[&str]) {
        let mut opened = Opened::default();
        look(instruction, &mut opened);
        let got: Vec<&str> = opened.links.iter().map(|(url, _)| url.as_str()).collect();
        assert_eq!((&opened.flags[..], &got[..]), (flags, links), "{instruction}");
    }

    #[test]
    fn fields_are_understood() {
        let (launch, remote) = ([PartFlag::Launch], [PartFlag::Remote]);
        check(r#" DDEAUTO c:\\windows\\system32\\cmd.exe "/k calc" "#, &launch, &[]);
        check("dde excel x", &launch, &[]);
        check(" QUOTE 68 68 69 65 85 84 79 c:\\\\x.exe", &launch, &[]);
        check(r#"HYPERLINK "http://a.b/c" \l "x""#, &[], &["http://a.b/c"]);
        check(r#"INCLUDEPICTURE "http://a.b/c.png" \d"#, &remote, &["http://a.b/c.png"]);
        check(r#"INCLUDEPICTURE "\\\\a.b\\c.png" \d"#, &remote, &[r"\\a.b\c.png"]);
        check(r#"LINK Word.Document.8 "http://a.b/c""#, &remote, &["http://a.b/c"]);
        check(r#"INCLUDEPICTURE "C:\\a.png""#, &[], &[]);
        check(" PAGE ", &[], &[]);
        check("", &[], &[]);
    }

    #[test]
    fn addresses_on_other_hosts_are_told_from_files() {
        for away in [
            "http://a.b",
            "HTTPS://a",
            "\\\\host\\share",
            "//host/share",
            "file://host/share",
            "file:///\\\\host\\share",
            "file:////host/x",
            "mhtml:http://a.b!x",
        ] {
            assert!(leads_away(away), "{away}");
        }
        for here in [
            "file:///C:\\Normal.dotm",
            "file:///c|/x",
            "../a.dotx",
            "C:\\x",
            "mailto:a@b",
            "",
            "file:",
        ] {
            assert!(!leads_away(here), "{here}");
        }
    }
}
