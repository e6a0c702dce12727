//! One Received field: who handed the mail to whom.

use std::net::IpAddr;
use std::sync::LazyLock;

use memchr::memmem;
use regex::bytes::{Captures, Regex, RegexBuilder};

use super::formats::{self, Format, Then};
use super::{address, auth};

/// Octets of one field that are looked at.
const FIELD_MAX: usize = 8 * 1024;

/// A host that handed the mail over, as the host that took it wrote down. Only [`Relay::address`] and what was looked up
/// are the taker's word; the rest is what the giver said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::filters::spam) struct Relay {
    /// The giver's address as rules see it; empty if the field has none.
    pub(in crate::filters::spam) ip: Vec<u8>,
    /// The same, read.
    pub(in crate::filters::spam) address: Option<IpAddr>,
    /// The giver's name by reverse DNS; empty: none, or nobody looked.
    pub(in crate::filters::spam) rdns: Vec<u8>,
    /// What it said in HELO.
    pub(in crate::filters::spam) helo: Vec<u8>,
    /// The taker.
    pub(in crate::filters::spam) by: Vec<u8>,
    /// The user at the giver.
    pub(in crate::filters::spam) ident: Vec<u8>,
    /// The taker's id of the mail.
    pub(in crate::filters::spam) id: Vec<u8>,
    /// How the giver logged in; empty: it did not.
    pub(in crate::filters::spam) auth: Vec<u8>,
    /// The envelope's sender at that time.
    pub(in crate::filters::spam) sender: Option<Vec<u8>>,
    /// The taker looked for a name and found none.
    pub(in crate::filters::spam) no_name: bool,
    /// The giver's address is one of a private network.
    pub(in crate::filters::spam) private: bool,
    /// The giver is one of us.
    pub(in crate::filters::spam) internal: bool,
    /// The giver takes mail from users who log in.
    pub(in crate::filters::spam) submission: bool,
}

/// What a field says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Relay(Box<Relay>),
    /// Nothing about the way between hosts. A sender named here belongs to the field below.
    Ignored(Option<Vec<u8>>),
    /// The mail was fetched from a mailbox.
    Fetched,
    /// In no known format.
    Unknown,
}

struct Patterns {
    local: Regex,
    without_address: Regex,
    bare_address: Regex,
    date: Regex,
    helo: Regex,
    hello: Regex,
    sender: Regex,
    exim_local: Regex,
    exchange: Regex,
    qmail_ldap: Regex,
    words_helo: Regex,
    words_ident: Regex,
    first_word: Regex,
    squirrel: Regex,
    odd_exim_helo: Regex,
    odd_exim_ip: Regex,
    xmail_id: Regex,
    xmail_sender: Regex,
    bracketed: Regex,
}

#[expect(clippy::expect_used, reason = "constants; the tests below compile them")]
static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let make = |pattern: &str| {
        RegexBuilder::new(pattern).unicode(false).build().expect("a constant pattern")
    };
    let host = r"[-A-Za-z0-9.^+_&:=?!@%*$\\/]+";
    Patterns {
        local: make(r"\bwith local for\b"),
        without_address: make(r"(?i)^from (\S+) by [^\s;]+ ?;"),
        bare_address: make(r"^\[[0-9.]+\]$"),
        date: make(
            r"[\s;]+(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?\d+ (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d+ \d+:\d+(?::\d+)? \S+$",
        ),
        helo: make(&format!(r"\bhelo=({host})")),
        hello: make(&format!(r"\b(?:HELO|EHLO) ({host})")),
        sender: make(r"(?i)(?:return-path:? |envelope-(?:sender|from)[ =])(\S+\b)"),
        exim_local: make(r"\bwith local(?:-\S+)? "),
        exchange: make(
            r" with (?:Microsoft SMTP Server|mapi id) (?:\([^)]+\) )?\d+\.\d+\.\d+\.\d+(?:$| )",
        ),
        qmail_ldap: make(r" by \S+ \(qmail-\S+\) with "),
        words_helo: make(r"helo=(\S+)"),
        words_ident: make(r"ident=(\S*)"),
        first_word: make(r"^(\S+)[^-A-Za-z0-9.]"),
        squirrel: make(r"^.{10,80}by (\S+) with HTTP"),
        odd_exim_helo: make(r" \((\S+)\) "),
        odd_exim_ip: make(r" \[(\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:.]+)(?:\.\d+)?\] "),
        xmail_id: make(r" id <(\S+)>"),
        xmail_sender: make(r" from <(\S+)>"),
        bracketed: make(r"\[((?i:ipv6:)?[0-9A-Fa-f:.]+)\]"),
    }
});

fn has(line: &[u8], text: &str) -> bool {
    memmem::find(line, text.as_bytes()).is_some()
}

fn group(regex: &Regex, line: &[u8]) -> Option<Vec<u8>> {
    Some(regex.captures(line)?.get(1)?.as_bytes().to_vec())
}

/// The first word of so many octets behind such a text; `<` may stand before it.
fn word_behind(line: &[u8], text: &[u8], belongs: impl Fn(u8) -> bool, least: usize) -> Vec<u8> {
    let mut rest = line;
    while let Some(place) = memmem::find(rest, text) {
        let behind = rest.get(place + text.len()..).unwrap_or_default();
        let behind = behind.strip_prefix(b"<").filter(|_| !belongs(b'<')).unwrap_or(behind);
        let length = behind.iter().position(|octet| !belongs(*octet)).unwrap_or(behind.len());
        if length >= least {
            return behind.get(..length).unwrap_or_default().to_vec();
        }
        // The blank behind may be the one before the next.
        rest = rest.get(place + 1..).unwrap_or_default();
    }
    Vec::new()
}

fn is_space(octet: u8) -> bool {
    octet.is_ascii_whitespace() || octet == 0x0b
}

fn is_of_id(octet: u8) -> bool {
    !is_space(octet) && !matches!(octet, b'<' | b'>' | b';')
}

/// Reads the value of a Received field.
pub(super) fn read(value: &[u8]) -> Line {
    let patterns = &*PATTERNS;
    let line = one_line(value);
    let begins = line.get(..5).is_some_and(|head| head.eq_ignore_ascii_case(b"from "))
        || line.get(..6).is_some_and(|head| head.eq_ignore_ascii_case(b"(from "));
    if !begins || patterns.local.is_match(&line) {
        return Line::Ignored(None);
    }
    if let Some(giver) = group(&patterns.without_address, &line)
        && !patterns.bare_address.is_match(&giver)
    {
        return Line::Ignored(None);
    }
    let line = patterns.date.replace(&line, b"".as_slice()).into_owned();
    let line = match memmem::find(&line, b")by ") {
        Some(place) => {
            let (before, behind) = line.split_at_checked(place + 1).unwrap_or((&line, &[]));
            [before, b" ", behind].concat()
        }
        None => line,
    };
    let helo = group(&patterns.helo, &line).or_else(|| group(&patterns.hello, &line));
    let mut reading = Reading {
        id: word_behind(&line, b" id ", is_of_id, 3),
        helo: helo.unwrap_or_default(),
        by: word_behind(&line, b" by ", |octet| !is_space(octet), 1),
        auth: auth::method(&line),
        ..Reading::default()
    };
    let outcome = if let Some(rest) = line.strip_prefix(b"from ") {
        reading.from(rest)
    } else if let Some(rest) = line.strip_prefix(b"FROM ") {
        reading.first_of(&formats::UPPER, rest)
    } else if let Some(rest) = line.strip_prefix(b"(from ") {
        reading.first_of(&formats::IN_PARENTHESES, rest)
    } else {
        None
    };
    match outcome {
        Some(Then::Ignored) => Line::Ignored(None),
        Some(Then::Scanner) => {
            Line::Ignored(reading.sender.map(|sender| strip(&trim_angles(&sender))))
        }
        Some(Then::Fetched) => Line::Fetched,
        Some(_) => Line::Relay(Box::new(reading.relay())),
        None => {
            if reading.ip.is_empty() {
                let found = patterns.bracketed.captures_iter(&line);
                let mut valid =
                    found.filter_map(|found| found.get(1)).map(|found| found.as_bytes());
                reading.ip =
                    valid.find(|ip| address::parse(ip).is_some()).unwrap_or_default().to_vec();
            }
            if reading.ip.is_empty() || reading.by.is_empty() {
                return Line::Unknown;
            }
            Line::Relay(Box::new(reading.relay()))
        }
    }
}

/// White space becomes one blank, the ends are trimmed, also of semicolons.
fn one_line(value: &[u8]) -> Vec<u8> {
    let value = value.get(..FIELD_MAX).unwrap_or(value);
    let mut line = Vec::with_capacity(value.len());
    for octet in value {
        match is_space(*octet) {
            true if line.last().is_none_or(|last| *last == b' ') => {}
            true => line.push(b' '),
            false => line.push(*octet),
        }
    }
    while line.last() == Some(&b' ') {
        line.pop();
    }
    while line.last() == Some(&b';') {
        line.pop();
        if line.last() == Some(&b' ') {
            line.pop();
        }
    }
    line
}

/// What was read so far. What a format does not give stays as it was found before.
#[derive(Debug, Default)]
struct Reading {
    ip: Vec<u8>,
    rdns: Vec<u8>,
    helo: Vec<u8>,
    by: Vec<u8>,
    ident: Vec<u8>,
    id: Vec<u8>,
    auth: Vec<u8>,
    sender: Option<Vec<u8>>,
    looked_up: bool,
}

impl Reading {
    /// A line that begins with `from `, without it.
    fn from(&mut self, line: &[u8]) -> Option<Then> {
        let patterns = &*PATTERNS;
        self.sender = group(&patterns.sender, line);
        if (has(line, " (SquirrelMail authenticated user ")
            || has(line, " (NaSMail authenticated user "))
            && self.web_mail(line)
        {
            return Some(Then::Hop);
        }
        if has(line, "aol.com")
            && let Some(then) = self.first_of(&formats::EARLY, line)
        {
            return Some(then);
        }
        if let Some(then) = self.product(line) {
            return Some(then);
        }
        if let Some(then) = self.first_of(&formats::WEB, line) {
            return Some(then);
        }
        if !patterns.qmail_ldap.is_match(line)
            && let Some(then) = self.first_of(&formats::SENDMAIL, line)
        {
            return Some(then);
        }
        if let Some(then) = self.first_of(&formats::BEFORE_QMAIL, line) {
            return Some(then);
        }
        if self.qmail(line) {
            return Some(Then::Hop);
        }
        if let Some(then) = self.first_of(&formats::GENERAL, line) {
            return Some(then);
        }
        if self.helo.is_empty() {
            self.helo = group(&patterns.first_word, line).unwrap_or_default();
        }
        None
    }

    /// Formats of known products.
    fn product(&mut self, line: &[u8]) -> Option<Then> {
        let patterns = &*PATTERNS;
        let smtpsvc = has(line, " SMTPSVC");
        if !smtpsvc && patterns.exchange.is_match(line) {
            return self.first_of(&formats::EXCHANGE, line);
        }
        let product =
            formats::PRODUCTS.iter().find(|product| product.found.find(line).is_some())?;
        if product.sign == "Exim" && patterns.exim_local.is_match(line) {
            return Some(Then::Ignored);
        }
        if let Some(then) = self.first_of(&product.formats, line) {
            if product.sign == "[XMail " {
                self.id = group(&patterns.xmail_id, line).unwrap_or(std::mem::take(&mut self.id));
                self.sender = group(&patterns.xmail_sender, line).or(self.sender.take());
            }
            return Some(then);
        }
        (product.sign == "Exim" && self.odd_exim(line)).then_some(Then::Hop)
    }

    /// What of Exim's many formats can be made out. What is found stays, even if it is not enough.
    fn odd_exim(&mut self, line: &[u8]) -> bool {
        let patterns = &*PATTERNS;
        let mut words = line.split(|octet| *octet == b' ');
        if let (Some(first), Some(_)) = (words.next(), words.next())
            && !first.is_empty()
        {
            self.rdns = first.to_vec();
        }
        if let Some(helo) = group(&patterns.odd_exim_helo, line) {
            self.helo = helo;
        }
        if let Some(ip) = group(&patterns.odd_exim_ip, line)
            && address::parse(&ip).is_some()
        {
            self.ip = ip;
        }
        let Some(place) = memmem::find(line, b"by ") else { return false };
        let behind = line.get(place + 3..).unwrap_or_default();
        let Some(end) = memchr::memchr(b' ', behind) else { return false };
        self.by = behind.get(..end).unwrap_or_default().to_vec();
        !self.ip.is_empty()
    }

    /// Web mail that only names the user's address, somewhere before the taker.
    fn web_mail(&mut self, line: &[u8]) -> bool {
        let mut from = 0;
        while let Some(range) = address::find_from(line, from) {
            let behind = line.get(range.end..).unwrap_or_default();
            if !matches!(behind.first(), Some(b'.' | b'-'))
                && let Some(by) = group(&PATTERNS.squirrel, behind)
            {
                self.ip = line.get(range).unwrap_or_default().to_vec();
                self.by = by;
                return true;
            }
            from = range.end;
        }
        false
    }

    /// The formats of qmail. It leaves HELO out where it is the name.
    fn qmail(&mut self, line: &[u8]) -> bool {
        let (common, rows) = &*formats::QMAIL;
        if !common.iter().any(|format| format.regex.is_match(line)) {
            return false;
        }
        for format in rows {
            if format.regex.captures(line).is_some_and(|found| self.take(&found)) {
                break;
            }
        }
        self.looked_up = self.rdns != b"unknown";
        if !self.looked_up {
            self.rdns.clear();
        }
        true
    }

    fn first_of(&mut self, formats: &[Format], line: &[u8]) -> Option<Then> {
        for format in formats.iter().filter(|format| format.needs.find(line).is_some()) {
            let Some(found) = format.regex.captures(line) else { continue };
            let ignored = matches!(format.then, Then::Ignored | Then::Scanner | Then::Fetched);
            if !ignored && !self.take(&found) {
                continue;
            }
            self.finish(format.then, &found);
            return Some(format.then);
        }
        None
    }

    /// Takes what a format gives; false if its address is none.
    fn take(&mut self, found: &Captures<'_>) -> bool {
        let named = |name: &str| found.name(name).map(|found| found.as_bytes());
        if let Some(ip) = named("ip") {
            if address::parse(ip).is_none() {
                return false;
            }
            self.ip = ip.to_vec();
        }
        if let Some(host) = named("host") {
            self.helo = host.to_vec();
            self.rdns = host.to_vec();
        }
        for (name, slot) in [
            ("helo", &mut self.helo),
            ("rdns", &mut self.rdns),
            ("by", &mut self.by),
            ("ident", &mut self.ident),
            ("id", &mut self.id),
        ] {
            if let Some(text) = named(name) {
                *slot = text.to_vec();
            }
        }
        true
    }

    fn finish(&mut self, then: Then, found: &Captures<'_>) {
        match then {
            Then::Hop | Then::Ignored | Then::Scanner | Then::Fetched => {}
            Then::LookedUp => self.looked_up = true,
            Then::Unknown | Then::Unverified => {
                self.looked_up = true;
                let none =
                    if then == Then::Unknown { b"unknown".as_slice() } else { b"unverified" };
                if self.rdns == none {
                    self.rdns.clear();
                }
            }
            Then::User => {
                self.looked_up = true;
                self.split_user();
            }
            Then::SoftError => {
                self.looked_up = self.rdns != b"softdnserr";
                if !self.looked_up {
                    self.rdns.clear();
                }
            }
            Then::Words | Then::WordsAfterHost => {
                if then == Then::WordsAfterHost {
                    self.helo = self.rdns.clone();
                }
                let sub = found.name("sub").map_or(b"".as_slice(), |found| found.as_bytes());
                if let Some(helo) = group(&PATTERNS.words_helo, sub) {
                    self.helo = helo;
                }
                // The HELO may hold the word that is looked for; it is gone then.
                let rest = PATTERNS.words_helo.replace(sub, b"".as_slice());
                if let Some(ident) = group(&PATTERNS.words_ident, &rest) {
                    self.ident = ident;
                }
            }
            Then::NoId => self.id.clear(),
            Then::Obtuse => {
                if found.name("helo").is_none() {
                    self.helo.clear();
                }
                self.looked_up = self.rdns != b"UNKNOWN";
            }
        }
    }

    /// `IDENT:user@name` and `user@name`.
    fn split_user(&mut self) {
        for prefix in [b"IDENT:".as_slice(), b""] {
            let Some(rest) = self.rdns.strip_prefix(prefix) else { continue };
            if let Some(at) = memchr::memchr(b'@', rest) {
                let (user, name) = rest.split_at_checked(at).unwrap_or((rest, &[]));
                self.ident = user.to_vec();
                self.rdns = name.get(1..).unwrap_or_default().to_vec();
            }
        }
    }

    fn relay(mut self) -> Relay {
        while self.rdns.last() == Some(&b'.') {
            self.rdns.pop();
        }
        if self.rdns.eq_ignore_ascii_case(b"unknown") || self.rdns.first() == Some(&b'[') {
            self.rdns.clear();
        }
        let address = address::parse(trim_brackets(&self.ip)).map(address::plain);
        if self.by.last() == Some(&b';') {
            self.by.pop();
        }
        let ip = trim_brackets(&self.ip);
        let ip = match ip.get(..5).filter(|head| head.eq_ignore_ascii_case(b"ipv6:")) {
            Some(_) => ip.get(5..).unwrap_or_default(),
            None => ip,
        };
        let ip = match address {
            Some(IpAddr::V4(four)) if ip.contains(&b':') => four.to_string().into_bytes(),
            _ => ip.to_vec(),
        };
        Relay {
            ip: strip(&ip),
            address,
            no_name: self.rdns.is_empty() && self.looked_up,
            rdns: strip(&self.rdns),
            helo: strip(&self.helo),
            by: strip(&self.by),
            ident: strip(&self.ident),
            id: self.id,
            auth: self.auth,
            sender: self.sender.map(|sender| strip(&trim_angles(&sender))),
            private: address.is_some_and(address::is_private),
            internal: false,
            submission: false,
        }
    }
}

fn trim_brackets(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(b"[").unwrap_or(text);
    text.strip_suffix(b"]").unwrap_or(text)
}

fn trim_angles(text: &[u8]) -> Vec<u8> {
    let mut text = text.trim_ascii();
    while let Some(rest) = text.strip_prefix(b"<") {
        text = rest;
    }
    while let Some(rest) = text.strip_suffix(b">") {
        text = rest;
    }
    text.trim_ascii_end().to_vec()
}

/// What would break the form `name=value ` becomes `!`, so that no word of a stranger looks like one of ours.
pub(super) fn strip(text: &[u8]) -> Vec<u8> {
    let clean = |octet: &u8| match octet {
        b'\0' | b'#' | b'[' | b']' | b'(' | b')' | b'<' | b'>' | b'|' | 0x0b => b'!',
        other if other.is_ascii_whitespace() => b'!',
        other => *other,
    };
    text.iter().map(clean).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_are_found_as_patterns_find_them(line in "( id | by |<|>|;|a|bcd| |id |by ){0,12}") {
            let line = line.as_bytes();
            let found = |pattern: &str| {
                let regex = RegexBuilder::new(pattern).unicode(false).build().unwrap();
                group(&regex, line).unwrap_or_default()
            };
            let id = word_behind(line, b" id ", is_of_id, 3);
            prop_assert_eq!(id, found(r" id <?([^\s<>;]{3,})"));
            let by = word_behind(line, b" by ", |octet| !is_space(octet), 1);
            prop_assert_eq!(by, found(r" by (\S+)"));
        }
    }
}
