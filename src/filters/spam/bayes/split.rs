//! Cutting texts into words.

use super::words::Words;

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Region {
    /// A value of the header: words stay as they are.
    Header,
    /// What a reader may see: words also count in lower case and without their signs.
    Body,
    /// A link: the same, and long words stay whole.
    Link,
}

/// Shorter words say nothing.
const WORD_BYTES_MIN: usize = 3;
/// Of longer words the first letters count.
const WORD_CHARS_MAX: usize = 15;
/// So many.
const WORD_HEAD_CHARS: usize = 7;
/// Signs that are trimmed from both ends.
const TRIMMED: [char; 5] = ['-', '\'', '"', '.', ','];

/// Adds the words of a text.
pub(super) fn split(text: &str, prefix: &str, region: Region, words: &mut Words) {
    let mut begins = true;
    for raw in Pieces::of(text) {
        if words.is_full() {
            return;
        }
        let ends = raw.ends_with('.');
        let word = raw.trim_matches(TRIMMED);
        let starts = std::mem::replace(&mut begins, ends);
        if word.len() < WORD_BYTES_MIN {
            continue;
        }
        if word.chars().any(is_without_blanks) {
            pairs(word, prefix, words);
            continue;
        }
        let lowered;
        let word = if region != Region::Header && starts && is_title(word) {
            lowered = word.to_lowercase();
            &lowered
        } else {
            word
        };
        one(word, prefix, region, words);
    }
}

/// A word of its own: itself, and what it is without capitals and signs.
fn one(word: &str, prefix: &str, region: Region, words: &mut Words) {
    if region != Region::Header {
        if word.contains('@') {
            address(word, words);
        } else if has_inner_dot(word) {
            domains(word, "UD:", words);
        }
    }
    let short;
    let word = if region != Region::Link && !word.contains('*') {
        short = shortened(word);
        &short
    } else {
        word
    };
    if region != Region::Header {
        let plain = |text: &str| -> String {
            text.chars().filter(|c| c.is_alphanumeric() || "_:*".contains(*c)).collect()
        };
        words.put(prefix, &plain(word));
        if word.chars().any(char::is_uppercase) {
            let lower = word.to_lowercase();
            words.put(prefix, &plain(&lower));
            words.put(prefix, &lower);
        }
    }
    words.put(prefix, word);
}

fn shortened(word: &str) -> String {
    if word.len() <= WORD_CHARS_MAX || word.chars().count() <= WORD_CHARS_MAX {
        return word.to_owned();
    }
    let head: String = word.chars().take(WORD_HEAD_CHARS).collect();
    format!("sk:{head}")
}

/// `user@a.example.org`: the user, and each domain it is in.
pub(super) fn address(word: &str, words: &mut Words) {
    address_with(word, "", words);
}

/// The same with a prefix.
pub(super) fn address_with(word: &str, prefix: &str, words: &mut Words) {
    let Some((user, domain)) = word.rsplit_once('@') else { return };
    if user.is_empty() || domain.is_empty() {
        return;
    }
    words.put(prefix, &format!("U*{user}"));
    domains(domain, &format!("{prefix}D*"), words);
}

/// A domain and those above it.
fn domains(domain: &str, prefix: &str, words: &mut Words) {
    const LEVELS_MAX: usize = 8;
    let mut rest = domain;
    for _ in 0..LEVELS_MAX {
        words.put(prefix, rest);
        match rest.split_once('.') {
            Some((_, above)) if !above.is_empty() => rest = above,
            _ => break,
        }
    }
}

fn has_inner_dot(word: &str) -> bool {
    word.split_once('.').is_some_and(|(before, behind)| {
        !before.is_empty() && behind.starts_with(|c: char| c.is_ascii_alphabetic())
    })
}

fn is_title(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(char::is_uppercase) && !letters.any(char::is_uppercase)
}

/// Scripts that put no blanks between words.
fn is_without_blanks(letter: char) -> bool {
    matches!(letter,
        '\u{0e00}'..='\u{0eff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Such a word: every two neighbours.
fn pairs(word: &str, prefix: &str, words: &mut Words) {
    let mut before = None;
    let mut pair = String::new();
    for letter in word.chars() {
        if let Some(before) = before {
            pair.clear();
            pair.extend([before, letter]);
            words.put(prefix, &pair);
        }
        before = Some(letter);
    }
    if word.chars().nth(1).is_none() {
        words.put(prefix, word);
    }
}

/// The words of a text, as they stand: letters, digits and a few signs that tell (`$31,000,000`, `f*ck`, `Hits!`). Runs
/// of dots and dashes part words.
struct Pieces<'t> {
    rest: &'t str,
}

impl<'t> Pieces<'t> {
    fn of(text: &'t str) -> Self {
        Self { rest: text }
    }
}

impl<'t> Iterator for Pieces<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let start = self.rest.find(is_kept)?;
        let from = self.rest.get(start..)?;
        let mut end = from.len();
        let mut run = (' ', 0_usize);
        for (at, letter) in from.char_indices() {
            if !is_kept(letter) {
                end = at;
                break;
            }
            run = if letter == run.0 { (letter, run.1 + 1) } else { (letter, 1) };
            if matches!(run, ('.', 3) | ('-', 2)) {
                end = at + 1;
                break;
            }
        }
        let (piece, behind) = from.split_at_checked(end).unwrap_or((from, ""));
        self.rest = behind;
        Some(piece)
    }
}

fn is_kept(letter: char) -> bool {
    if letter.is_ascii() {
        return letter.is_ascii_alphanumeric() || ",@*!_'\"$.-".contains(letter);
    }
    !letter.is_whitespace()
        && !letter.is_control()
        && !matches!(letter, '\u{ad}' | '\u{2000}'..='\u{206f}' | '\u{3000}'..='\u{303f}' | '\u{feff}' | '\u{fffd}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str, region: Region) -> Vec<String> {
        let mut words = Words::default();
        words.allow(1_000);
        split(text, "", region, &mut words);
        (0..words.len()).map(|place| words.text(place).to_owned()).collect()
    }

    #[test]
    fn words_of_a_header_stay_as_they_are() {
        assert_eq!(words("Hello, (World) of-x a", Region::Header), ["Hello", "World", "of-x"]);
        assert_eq!(words("Extraordinarily-long", Region::Header), ["sk:Extraor"]);
    }

    #[test]
    fn words_of_a_body_count_plain_and_in_lower_case_too() {
        assert_eq!(words("FREE! money", Region::Body), ["FREE", "free", "free!", "FREE!", "money"]);
        assert_eq!(words("Dear friend. Dear you", Region::Body), ["dear", "friend", "you"]);
        assert_eq!(
            words("costs $31,000,000 wait...what", Region::Body)[1..3],
            ["31000000", "$31,000,000"]
        );
    }

    #[test]
    fn addresses_and_hosts_are_taken_apart() {
        let found = words("write joe@a.example.org", Region::Body);
        for word in ["U*joe", "D*a.example.org", "D*example.org", "D*org"] {
            assert!(found.iter().any(|found| found == word), "{word} in {found:?}");
        }
        let found = words("http://www.example.org/path", Region::Link);
        assert!(found.contains(&"UD:example.org".to_owned()), "{found:?}");
    }

    #[test]
    fn scripts_without_blanks_are_read_in_pairs() {
        assert_eq!(words("免费赠送", Region::Body), ["免费", "费赠", "赠送"]);
        assert_eq!(words("費", Region::Body), ["費"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "\\PC{0,300}", raw in proptest::collection::vec(any::<u8>(), 0..300)) {
            for region in [Region::Header, Region::Body, Region::Link] {
                words(&text, region);
                words(&String::from_utf8_lossy(&raw), region);
            }
        }
    }
}
