//! The words of a header: known fields are read for what they are, most others for their words.

use super::inputs::Inputs;
use super::split::{Region, address_with, split};
use super::words::Words;

/// Fields that say nothing of who sent a mail, or what filters, lists and mailboxes wrote. What is written behind us
/// must not count: it is there when a mail is learned, and not when one is judged.
const IGNORED: [&str; 62] = [
    "apparently-to",
    "arc-authentication-results",
    "authentication-results",
    "auto-submitted-by",
    "content-class",
    "content-length",
    "date",
    "delivered-to",
    "delivery-date",
    "envelope-to",
    "forwarded",
    "lines",
    "list-admin",
    "list-archive",
    "list-comment",
    "list-help",
    "list-host",
    "list-id",
    "list-manager",
    "list-name",
    "list-owner",
    "list-post",
    "list-subscribe",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "list-url",
    "mail-followup-to",
    "mailing-list",
    "original-recipient",
    "received-spf",
    "replied",
    "resent-date",
    "resent-from",
    "resent-to",
    "return-path",
    "sender",
    "spam",
    "status",
    "subject",
    "thread-index",
    "thread-topic",
    "x-antispam",
    "x-beenthere",
    "x-bogosity",
    "x-dcc-metrics",
    "x-envelope-from",
    "x-envelope-to",
    "x-evolution-source",
    "x-filtered-by",
    "x-flags",
    "x-imapbase",
    "x-keywords",
    "x-list",
    "x-loop",
    "x-original-to",
    "x-originalarrivaltime",
    "x-quarantine-id",
    "x-status",
    "x-uid",
    "x-uidl",
    "x-unsubscribe",
    "xref",
];

/// Fields of this beginning are ignored as well.
const IGNORED_HEADS: [&str; 15] = [
    "x-spam",
    "x-virus",
    "x-tamis",
    "x-amavis",
    "x-mailscanner",
    "x-scanned",
    "x-scanner",
    "x-rspamd",
    "x-pyzor",
    "x-razor",
    "x-bugzilla-",
    "x-vm-",
    "x-gmane-",
    "x-mozilla-",
    "x-mailman-",
];

/// Of these only the presence counts: their values differ from mail to mail.
const PRESENCE_ONLY: [&str; 9] = [
    "arc-message-signature",
    "arc-seal",
    "autocrypt",
    "dkim-signature",
    "domainkey-signature",
    "face",
    "x-face",
    "x-gm-message-state",
    "x-google-dkim-signature",
];

/// Fields looked at.
const FIELDS_MAX: usize = 300;
/// Received fields looked at, the oldest of them.
const RECEIVED_MAX: usize = 8;
/// Octets of a value.
const VALUE_BYTES_MAX: usize = 8_192;

/// Adds the words of the header. `ignored`: names that the site leaves out, in lower case.
pub(super) fn header(inputs: &Inputs, ignored: &[String], words: &mut Words) {
    let received: Vec<&str> = inputs
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("received"))
        .map(|(_, value)| head(value))
        .collect();
    for (age, value) in received.iter().rev().take(RECEIVED_MAX).enumerate() {
        // The oldest two are the sender's own doing, or that of the server that took the mail from him.
        if age < 2 {
            self::received(value, "H*r:", words);
        }
        let from = value.split(" by ").next().unwrap_or(value);
        self::received(from, "H*RU:", words);
    }
    addresses(&inputs.sender, "H*p:", words);
    for (name, value) in inputs.headers.iter().take(FIELDS_MAX) {
        let name = name.to_ascii_lowercase();
        if name != "received" && !ignored.contains(&name) {
            field(&name, head(value), words);
        }
    }
}

fn head(value: &str) -> &str {
    value.get(..value.floor_char_boundary(VALUE_BYTES_MAX)).unwrap_or(value)
}

fn field(name: &str, value: &str, words: &mut Words) {
    if IGNORED.binary_search(&name).is_ok()
        || IGNORED_HEADS.iter().any(|head| name.starts_with(head))
    {
        return;
    }
    words.put("HN:", name);
    if PRESENCE_ONLY.binary_search(&name).is_ok() {
        return;
    }
    let prefix = format!("H{name}:");
    match name {
        "from" | "to" | "cc" | "reply-to" | "errors-to" | "bcc" => {
            addresses(value, &prefix, words);
            if matches!(name, "from" | "to" | "cc") {
                addresses(value, "H*Ad:", words);
            }
        }
        "message-id" | "in-reply-to" | "references" | "x-message-id" => {
            if name == "message-id" {
                words.put("HMS:", &shape(value));
            }
            message_id(value, &prefix, words);
            message_id(value, "H*MI:", words);
        }
        "content-type" => content_type(value, &prefix, words),
        "x-mailer" | "user-agent" => {
            words.put("H*UA=", value);
            split(value, &prefix, Region::Header, words);
            split(value, "H*UA:", Region::Header, words);
        }
        "mime-version" if value.trim() == "1.0" => {}
        _ => split(value, &prefix, Region::Header, words),
    }
}

/// Names and addresses of an address list. Commas in quotes are taken for ends of an address: that harms no word.
fn addresses(value: &str, prefix: &str, words: &mut Words) {
    for word in value.split(|c: char| c.is_whitespace() || "<>()\",;".contains(c)) {
        let word = word.trim_matches(['\'', '.', ':']);
        if word.contains('@') {
            address_with(&word.to_lowercase(), prefix, words);
        } else if word.len() > 1 {
            words.put(prefix, &format!("N*{word}"));
        }
    }
}

fn message_id(value: &str, prefix: &str, words: &mut Words) {
    for word in value.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        if word.len() >= 3 {
            words.put(prefix, word);
        }
    }
    if let Some((_, domain)) = value.rsplit_once('@') {
        words.put(prefix, &format!("D*{}", domain.trim_end_matches('>').to_lowercase()));
    }
}

/// What a value looks like: programs that send spam make their identifiers in their own way. Digits become 9, capitals
/// A, small letters a, and runs of them count once.
fn shape(value: &str) -> String {
    let mut out = String::new();
    let mut last = ' ';
    let local = value.split('@').next().unwrap_or(value);
    for letter in local.chars().take(120) {
        let kind = match letter {
            '0'..='9' => '9',
            'A'..='Z' => 'A',
            'a'..='z' => 'a',
            other => other,
        };
        if kind != last || !kind.is_ascii_alphanumeric() {
            out.push(kind);
        }
        last = kind;
    }
    out
}

fn content_type(value: &str, prefix: &str, words: &mut Words) {
    let lower = value.to_ascii_lowercase();
    let boundary = lower.find("boundary=").and_then(|at| value.get(at + 9..));
    let boundary = boundary.map(|rest| {
        let rest = rest.trim_start_matches('"');
        rest.split(['"', ';', ' ']).next().unwrap_or(rest)
    });
    if let Some(boundary) = boundary {
        words.put("HBS:", &shape(boundary));
        let masked: String =
            boundary.chars().map(|c| if c.is_ascii_hexdigit() { 'H' } else { c }).collect();
        for word in masked.split(['-', '_', '.', '=']) {
            if word.len() >= 3 {
                words.put(prefix, word);
            }
        }
    }
    let rest = match boundary {
        Some(boundary) => value.replace(boundary, " "),
        None => value.to_owned(),
    };
    for word in rest.split(|c: char| c.is_whitespace() || ";\"=".contains(c)) {
        if word.len() >= 3 && !matches!(word, "charset" | "boundary") {
            words.put(prefix, &word.to_ascii_lowercase());
        }
    }
}

/// Names and addresses of hosts, without what differs from mail to mail: queue ids and dates.
fn received(value: &str, prefix: &str, words: &mut Words) {
    let value = value.rsplit_once(';').map_or(value, |(before, _)| before);
    let mut skip = false;
    for word in value.split(|c: char| c.is_whitespace() || "()[]<>".contains(c)) {
        let word = word.trim_matches([',', ';', '\'', '"']);
        if word.is_empty() {
            continue;
        }
        if std::mem::take(&mut skip) {
            continue;
        }
        match word {
            "id" => skip = true,
            "with" | "from" | "for" | "by" | "SMTP" | "ESMTP" => {}
            _ => match word.parse::<std::net::Ipv4Addr>() {
                Ok(address) => {
                    let [a, b, c, _] = address.octets();
                    words.put(prefix, &format!("{a}.{b}.{c}"));
                    words.put(prefix, &format!("ip*{address}"));
                }
                Err(_) if word.contains('@') => address_with(word, prefix, words),
                Err(_) => {
                    if word.len() >= 3 {
                        words.put(prefix, word);
                    }
                    if let Some((_, above)) = word.split_once('.')
                        && above.contains('.')
                    {
                        words.put(prefix, &format!("D*{above}"));
                    }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(name: &str, value: &str) -> Vec<String> {
        let mut words = Words::default();
        words.allow(1_000);
        let headers = vec![(name.to_owned(), value.to_owned())];
        header(&Inputs { headers, ..Inputs::default() }, &["x-mine".to_owned()], &mut words);
        (0..words.len()).map(|place| words.text(place).to_owned()).collect()
    }

    #[test]
    fn tables_are_sorted() {
        assert!(IGNORED.is_sorted() && PRESENCE_ONLY.is_sorted());
    }

    #[test]
    fn what_filters_and_mailboxes_write_does_not_count() {
        for name in
            ["X-Spam-Status", "Return-Path", "Delivered-To", "X-Mine", "Date", "X-Virus-Scanned"]
        {
            assert_eq!(words(name, "value"), Vec::<String>::new(), "{name}");
        }
        assert_eq!(words("DKIM-Signature", "v=1; b=abc"), ["HN:dkim-signature"]);
    }

    #[test]
    fn addresses_are_names_users_and_domains() {
        let found = words("From", "\"Doe, Jo\" <Jo@mail.example.org>");
        for word in ["Hfrom:N*Doe", "Hfrom:U*jo", "Hfrom:D*example.org", "H*Ad:D*org"] {
            assert!(found.iter().any(|found| found == word), "{word} in {found:?}");
        }
    }

    #[test]
    fn received_loses_ids_and_dates() {
        let found = words(
            "Received",
            "from a.example.org (b [192.0.2.7]) by mx.example.net with ESMTP id ABC123; Mon, 1 Jan 2024 00:00:00 +0000",
        );
        for word in [
            "H*r:a.example.org",
            "H*r:D*example.org",
            "H*r:192.0.2",
            "H*r:ip*192.0.2.7",
            "H*r:mx.example.net",
        ] {
            assert!(found.iter().any(|found| found == word), "{word} in {found:?}");
        }
        assert!(
            !found.iter().any(|word| word.contains("ABC123") || word.contains("2024")),
            "{found:?}"
        );
        assert!(!found.contains(&"H*RU:mx.example.net".to_owned()));
    }

    #[test]
    fn identifiers_have_a_shape() {
        assert_eq!(shape("<000701c2$ab$0100A8C0@host>"), "<9a9$a$9A9A9");
        assert!(
            words("Content-Type", "multipart/mixed; boundary=\"----=_Next_01BF\"")
                .contains(&"Hcontent-type:multipart/mixed".to_owned())
        );
    }
}
