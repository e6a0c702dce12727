//! What clamd says about a stream: one reply, octets to meaning. Pure.

/// One reply of a clamd session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    /// The number of the request in its session, from 1; `None` if clamd named none.
    pub(super) id: Option<u32>,
    /// What it says.
    pub(super) answer: Answer,
}

/// What clamd found out about one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Looked at to the end, and nothing was found.
    Clean,
    /// A signature hit; its name.
    Found(String),
    /// It is larger or deeper than clamd's own limits, so it was not looked at as a whole; what clamd said.
    TooLarge(String),
    /// clamd could not look; what it said.
    Error(String),
}

/// Reads one reply, without the NUL at its end: `3: stream: Eicar-Test FOUND`.
///
/// Nothing but the exact words counts as clean: a reply that only contains `OK` somewhere is no answer.
///
/// # Errors
/// What is not in clamd's language is handed back, made printable, for the log.
pub(super) fn parse(octets: &[u8]) -> Result<Reply, String> {
    let garbage = || printable(octets);
    let text = std::str::from_utf8(octets).map_err(|_| garbage())?;
    let text = text.trim_end_matches(['\r', '\n']);
    let (id, words) = split_id(text);
    let answer = if words == "stream: OK" {
        Answer::Clean
    } else if let Some(name) = words.strip_prefix("stream: ").and_then(found) {
        // With AlertExceedsMax clamd tells of its own limits as if they were a virus.
        if name.starts_with("Heuristics.Limits.Exceeded") {
            Answer::TooLarge(name)
        } else {
            Answer::Found(name)
        }
    } else if let Some(why) = words.strip_suffix(" ERROR") {
        let why = printable(why.strip_prefix("stream: ").unwrap_or(why).as_bytes());
        if why.starts_with("INSTREAM size limit exceeded") {
            Answer::TooLarge(why)
        } else {
            Answer::Error(why)
        }
    } else {
        return Err(garbage());
    };
    Ok(Reply { id, answer })
}

/// True for names that do not say "this is malicious" but "this looks like it": heuristics and potentially unwanted
/// applications. Third-party phishing sets are real signatures and not meant.
#[must_use]
pub fn is_heuristic(name: &str) -> bool {
    name.starts_with("Heuristics.") || name.starts_with("PUA.")
}

fn split_id(text: &str) -> (Option<u32>, &str) {
    let Some((digits, words)) = text.split_once(": ") else { return (None, text) };
    if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return (None, text);
    }
    match digits.parse() {
        Ok(id) => (Some(id), words),
        Err(_) => (None, text),
    }
}

/// The name in `NAME FOUND`. With ExtendedDetectionInfo it carries `(digest:size)` at its end, which changes with
/// every stream and is no part of the name.
fn found(words: &str) -> Option<String> {
    let name = words.strip_suffix(" FOUND")?;
    let name = match name.rsplit_once('(') {
        Some((front, info)) if !front.is_empty() && is_extended_info(info) => front,
        _ => name,
    };
    (!name.is_empty()).then(|| printable(name.as_bytes()))
}

fn is_extended_info(info: &str) -> bool {
    let Some((digest, size)) = info.strip_suffix(')').and_then(|info| info.split_once(':')) else {
        return false;
    };
    digest.len() >= 32
        && digest.bytes().all(|octet| octet.is_ascii_hexdigit())
        && size.bytes().all(|octet| octet.is_ascii_digit())
}

/// At most 200 characters, with every control or unreadable character replaced: the text goes into logs and headers.
pub(super) fn printable(octets: &[u8]) -> String {
    let front = octets.get(..octets.len().min(TEXT_BYTES_MAX)).unwrap_or_default();
    String::from_utf8_lossy(front)
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(TEXT_CHARS_MAX)
        .collect()
}

const TEXT_CHARS_MAX: usize = 200;
const TEXT_BYTES_MAX: usize = 4 * TEXT_CHARS_MAX;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_reply_is_understood() {
        let found = |name: &str| Answer::Found(name.to_owned());
        let table: [(&str, Option<u32>, Answer); 9] = [
            ("stream: OK", None, Answer::Clean),
            ("17: stream: OK", Some(17), Answer::Clean),
            ("1: stream: Eicar-Test FOUND", Some(1), found("Eicar-Test")),
            (
                "2: stream: Eicar(44d88612fea8a8f36de82e1278abb02f:68) FOUND",
                Some(2),
                found("Eicar"),
            ),
            ("stream: Odd(name) FOUND", None, found("Odd(name)")),
            ("stream: Evil\u{1b}[2J FOUND", None, found("Evil?[2J")),
            (
                "3: INSTREAM size limit exceeded. ERROR",
                Some(3),
                Answer::TooLarge("INSTREAM size limit exceeded.".to_owned()),
            ),
            (
                "stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND",
                None,
                Answer::TooLarge("Heuristics.Limits.Exceeded.MaxFileSize".to_owned()),
            ),
            (
                "stream: Can't allocate memory ERROR",
                None,
                Answer::Error("Can't allocate memory".to_owned()),
            ),
        ];
        for (text, id, answer) in table {
            assert_eq!(parse(text.as_bytes()), Ok(Reply { id, answer }), "{text}");
        }
    }

    #[test]
    fn what_is_not_clamds_language_is_no_answer() {
        for text in [
            "",
            "OK",
            "stream:OK",
            "stream: OKAY",
            "stream: NOT OK",
            "x: stream: OK",
            "stream: ok",
            "stream: FOUND",
            "stream:  FOUND",
            "99999999999: stream: OK",
            "220 mail.example.org ESMTP",
            "HTTP/1.1 200 OK",
            "\u{fffd}",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(b"stream: \xff FOUND").is_err());
    }

    #[test]
    fn heuristics_are_told_from_signatures() {
        assert!(is_heuristic("Heuristics.Phishing.Email.SpoofedDomain"));
        assert!(is_heuristic("PUA.Win.Packer.Upx"));
        assert!(!is_heuristic("Win.Test.EICAR_HDB-1"));
        assert!(!is_heuristic("Sanesecurity.Phishing.Cur.1"));
    }

    proptest! {
        #[test]
        fn no_octets_are_clean_by_accident(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(Reply { answer: Answer::Clean, .. }) = parse(&octets) {
                prop_assert!(octets.ends_with(b"stream: OK") || octets.ends_with(b"\n") || octets.ends_with(b"\r"));
            }
        }

        #[test]
        fn texts_for_people_are_short_and_printable(octets in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let text = printable(&octets);
            prop_assert!(text.chars().count() <= 200);
            prop_assert!(!text.chars().any(char::is_control));
        }
    }
}
