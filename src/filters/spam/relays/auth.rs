//! Signs in a Received line that its client had to log in.

use std::sync::LazyLock;

use regex::bytes::{Captures, Regex, RegexBuilder};

/// A sign: what must stand in the line, the pattern, and what the relay's `auth` becomes.
struct Sign {
    needs: &'static [&'static [u8]],
    regex: Option<Regex>,
    value: fn(&Captures<'_>) -> Vec<u8>,
}

/// In the order in which they are tried; the first that fits is taken.
static SIGNS: LazyLock<Vec<Sign>> = LazyLock::new(|| {
    vec![
        // RFC 3848 and its relatives: the protocol's name says so. Over the web one always had to log in.
        sign(
            &[b" by ", b" with "],
            "(?i) with ((?:e?s|l|utf8s|utf8l)mtps?a|asmtp|https?|httpu)(?: |;|$)",
            first,
        ),
        // Gmail has it for those who logged in, told by the form of the id alone.
        sign(
            &[b" by mx.google.com with ESMTPS id ", b"(version="],
            r" by mx\.google\.com with ESMTPS id [a-z0-9]{1,4}sm[0-9]{2,9}[a-z]{3}\.[0-9]{1,3}\.[0-9]{4}\.(?:[0-6][0-9]\.){4}[0-6][0-9].*?\(version=([^ ]+) cipher=([^)]+)\)",
            |found| [b"GMail - transport=", group(found, 1), b" cipher=", group(found, 2)].concat(),
        ),
        sign(
            &[b" (AUTH: "],
            r"^from .*?(?:\]\)|\)\]) \(AUTH: (LOGIN|PLAIN|DIGEST-MD5|CRAM-MD5) \S+(?:, .*?)?\) by ",
            first,
        ),
        sign(
            &[b"authenticated"],
            r"^from .*?(?:\](?: \([^)]*\))?\)|\)\]) .*?\(.*?authenticated.*?\).*? by",
            |_| b"Sendmail".to_vec(),
        ),
        sign(
            &[b"mail.gmx."],
            r"from \S* \((?:HELO|EHLO) (\S*)\) \[([0-9A-Fa-f:.]+)\] by (mail\.gmx\.(?:net|com)) \([^)]+\) with (E?SMTP)",
            |found| [b"GMX (", group(found, 4), b" / ", group(found, 3), b")"].concat(),
        ),
        sign(
            &[b" (authenticated as "],
            r"\) by .+ \(\d{1,2}\.\d\.\d{3}(?:\.\d{1,3})?\) \(authenticated as .+\) id ",
            |_| b"CriticalPath".to_vec(),
        ),
        sign(
            &[b"(Authenticated sender: "],
            r"\) \(Authenticated sender: \S+\) by \S+ \(([^)]+)\) with ",
            |found| match group(found, 1) {
                b"Postfix" => b"Postfix".to_vec(),
                other => [b"Postfix (", other, b")"].concat(),
            },
        ),
        sign(
            &[b"CommuniGate Pro ", b" (account "],
            "CommuniGate Pro (?:HTTP|SMTP|XIMSS|IMAP)",
            |_| b"Communigate".to_vec(),
        ),
        sign(
            &[b" with Microsoft Exchange Server HTTP-DAV"],
            r" with Microsoft Exchange Server HTTP-DAV\b",
            |_| b"HTTP-DAV".to_vec(),
        ),
        sign(&[b" by ", b" ("], r"(?i) \(via (HTTP.?)\)(?: |;|$)", first),
    ]
});

fn sign(
    needs: &'static [&'static [u8]],
    pattern: &str,
    value: fn(&Captures<'_>) -> Vec<u8>,
) -> Sign {
    Sign { needs, regex: RegexBuilder::new(pattern).unicode(false).build().ok(), value }
}

fn group<'f>(found: &Captures<'f>, place: usize) -> &'f [u8] {
    found.get(place).map_or(b"", |found| found.as_bytes())
}

fn first(found: &Captures<'_>) -> Vec<u8> {
    group(found, 1).to_vec()
}

/// How the client of this line logged in; empty: nothing says that it did.
pub(super) fn method(line: &[u8]) -> Vec<u8> {
    for sign in SIGNS.iter() {
        if !sign.needs.iter().all(|needed| memchr::memmem::find(line, needed).is_some()) {
            continue;
        }
        if let Some(found) = sign.regex.as_ref().and_then(|regex| regex.captures(line)) {
            return (sign.value)(&found);
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_a_login_are_found() {
        assert!(SIGNS.iter().all(|sign| sign.regex.is_some()));
        for (line, want) in [
            ("from a (b [192.0.2.1]) by c with ESMTPSA id 12", "ESMTPSA"),
            ("from a (b [192.0.2.1]) by c with ESMTPS id 12", ""),
            ("from a (b [192.0.2.1]) by c with HTTP id 12", "HTTP"),
            (
                "from a (b [192.0.2.1]) (Authenticated sender: me) by c (Postfix) with ESMTP",
                "Postfix",
            ),
            (
                "from a (b [192.0.2.1]) (Authenticated sender: me) by c (Mail) with ESMTP",
                "Postfix (Mail)",
            ),
            ("from a (b [192.0.2.1]) (authenticated bits=0) by c (8.1/8.1) with ESMTP", "Sendmail"),
            ("from a ([192.0.2.1]) (AUTH: LOGIN me) by c with esmtp", "LOGIN"),
            ("from a (account me) by c (CommuniGate Pro SMTP 4.1) with ESMTP", "Communigate"),
            ("from a by c with x (via HTTP)", "HTTP"),
        ] {
            assert_eq!(String::from_utf8(method(line.as_bytes())).unwrap(), want, "{line}");
        }
    }
}
