//! Mails to drive a filter with: each differs from all others, and reads enough like mail that no filter has it easy.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Where the number of a mail stands in a template; as long as the number.
const PLACE: &str = "@@NUMBER@@";
/// Texts that differ for each size, so that no cache of texts helps.
const TEMPLATES: u64 = 8;
/// Below this a mail is one plain text.
const PLAIN_BYTES_MAX: usize = 10_000;
/// Below this a mail is text and HTML; above it has an attachment.
const ALTERNATIVE_BYTES_MAX: usize = 150_000;
/// Octets in a line of base64 before it is encoded: 76 signs.
const BASE64_LINE_BYTES: usize = 57;

const WORDS: &[&str] = &[
    "the",
    "meeting",
    "about",
    "our",
    "offer",
    "was",
    "moved",
    "to",
    "Thursday",
    "please",
    "send",
    "me",
    "your",
    "figures",
    "before",
    "noon",
    "and",
    "we",
    "will",
    "add",
    "them",
    "table",
    "of",
    "last",
    "quarter",
    "delivery",
    "for",
    "customer",
    "in",
    "Hamburg",
    "is",
    "late",
    "again",
    "because",
    "pallets",
    "were",
    "not",
    "labelled",
    "could",
    "you",
    "call",
    "carrier",
    "ask",
    "when",
    "driver",
    "arrives",
    "I",
    "have",
    "attached",
    "notes",
    "from",
    "workshop",
    "with",
    "changes",
    "that",
    "Maria",
    "asked",
    "budget",
    "looks",
    "fine",
    "but",
    "travel",
    "costs",
    "are",
    "higher",
    "than",
    "planned",
    "let",
    "us",
    "talk",
    "on",
    "phone",
    "tomorrow",
    "morning",
    "version",
    "report",
    "needs",
    "another",
    "review",
    "by",
    "team",
    "thanks",
    "everyone",
    "who",
    "helped",
    "this",
    "week",
    "server",
    "room",
    "air",
    "conditioning",
    "repaired",
    "next",
    "month",
];

/// Small numbers that look random and are the same on every run (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn word(&mut self) -> &'static str {
        let count = WORDS.len() as u64;
        let at = usize::try_from(self.next() % count).unwrap_or_default();
        WORDS.get(at).copied().unwrap_or("the")
    }

    fn sentence(&mut self) -> String {
        let mut out = String::new();
        for at in 0..6 + self.next() % 10 {
            let word = self.word();
            if at == 0 {
                let mut letters = word.chars();
                out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
                out.push_str(letters.as_str());
            } else {
                out.push(' ');
                out.push_str(word);
            }
        }
        out.push('.');
        out
    }
}

/// Mails of one size.
#[derive(Debug)]
pub struct Mails {
    templates: Vec<Template>,
}

#[derive(Debug)]
struct Template {
    octets: Vec<u8>,
    places: Vec<usize>,
}

impl Mails {
    /// Mails of about `octets`: plain text, text and HTML with links, or text with an attachment.
    #[must_use]
    pub fn new(octets: usize) -> Self {
        let templates = (0..TEMPLATES).map(|seed| Template::new(&template(octets, seed))).collect();
        Self { templates }
    }

    /// The mail of this number, as it goes over the wire, but for the final dot.
    #[must_use]
    pub fn mail(&self, number: u64) -> Vec<u8> {
        let at = usize::try_from(number % TEMPLATES).unwrap_or_default();
        let Some(template) = self.templates.get(at) else { return Vec::new() };
        let mut octets = template.octets.clone();
        let text = format!("{:010}", number % 10_000_000_000);
        for &place in &template.places {
            if let Some(slot) = octets.get_mut(place..place + PLACE.len()) {
                slot.copy_from_slice(text.as_bytes());
            }
        }
        octets
    }
}

impl Template {
    fn new(text: &str) -> Self {
        let octets = text.replace('\n', "\r\n").into_bytes();
        let places = memchr::memmem::find_iter(&octets, PLACE).collect();
        Self { octets, places }
    }
}

fn template(octets: usize, seed: u64) -> String {
    let mut random = Random(seed.wrapping_mul(7919).wrapping_add(octets as u64));
    let mut out = header(&mut random);
    if octets <= PLAIN_BYTES_MAX {
        out.push_str(
            "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n",
        );
        let room = octets.saturating_sub(out.len() + 40);
        text(&mut out, &mut random, room);
    } else if octets <= ALTERNATIVE_BYTES_MAX {
        out.push_str("Content-Type: multipart/alternative; boundary=\"=_alt\"\n\n");
        out.push_str("--=_alt\nContent-Type: text/plain; charset=utf-8\n\n");
        text(&mut out, &mut random, octets / 4);
        out.push_str("\n--=_alt\nContent-Type: text/html; charset=utf-8\n\n");
        let room = octets.saturating_sub(out.len() + 40);
        html(&mut out, &mut random, room);
        out.push_str("\n--=_alt--\n");
    } else {
        out.push_str("Content-Type: multipart/mixed; boundary=\"=_mix\"\n\n");
        out.push_str("--=_mix\nContent-Type: text/plain; charset=utf-8\n\n");
        text(&mut out, &mut random, 4_000);
        out.push_str("\n--=_mix\nContent-Type: application/pdf; name=\"report.pdf\"\n");
        out.push_str("Content-Disposition: attachment; filename=\"report.pdf\"\n");
        out.push_str("Content-Transfer-Encoding: base64\n\n");
        let room = octets.saturating_sub(out.len() + 40);
        attachment(&mut out, &mut random, room);
        out.push_str("--=_mix--\n");
    }
    out
}

fn header(random: &mut Random) -> String {
    let now = jiff::fmt::rfc2822::to_string(&jiff::Zoned::now()).unwrap_or_default();
    let subject = random.sentence();
    format!(
        "Received: from desk.example.org (desk.example.org [192.0.2.7])\n\tby mx.example.net (Postfix) with ESMTPS \
         id 4X{PLACE}\n\tfor <anna@example.net>; {now}\nDate: {now}\nFrom: Bert Example <bert@example.org>\n\
         To: Anna Example <anna@example.net>\nSubject: {subject}\nMessage-ID: <{PLACE}.bench@example.org>\n\
         MIME-Version: 1.0\n"
    )
}

fn text(out: &mut String, random: &mut Random, room: usize) {
    let until = out.len() + room;
    let _ = write!(out, "Dear Anna,\n\nthis is note {PLACE}.\n\n");
    while out.len() < until {
        for _ in 0..3 {
            out.push_str(&random.sentence());
            out.push('\n');
        }
        out.push('\n');
    }
}

fn html(out: &mut String, random: &mut Random, room: usize) {
    let until = out.len() + room;
    let _ = writeln!(out, "<html><head><title>Note {PLACE}</title></head><body>");
    while out.len() < until {
        let (first, second) = (random.sentence(), random.sentence());
        let page = random.next() % 1_000;
        let _ = writeln!(
            out,
            "<p style=\"color:#333333\">{first} <a href=\"https://www.example.org/page/{page}\">{second}</a></p>"
        );
    }
    out.push_str("</body></html>\n");
}

fn attachment(out: &mut String, random: &mut Random, room: usize) {
    let until = out.len() + room;
    let mut first = true;
    while out.len() < until {
        let mut octets: Vec<u8> =
            std::iter::repeat_with(|| random.next().to_be_bytes()).take(8).flatten().collect();
        octets.truncate(BASE64_LINE_BYTES);
        if std::mem::take(&mut first) {
            octets.splice(..9, *b"%PDF-1.7\n");
        }
        out.push_str(&STANDARD.encode(octets));
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mails_are_as_large_as_asked_and_all_differ() {
        for octets in [2_000, 50_000, 500_000] {
            let mails = Mails::new(octets);
            let (one, two) = (mails.mail(3), mails.mail(3 + TEMPLATES));
            assert_eq!(one.len(), two.len());
            assert_ne!(one, two);
            let part = one.len() as f64 / octets as f64;
            assert!((0.9..1.1).contains(&part), "{octets}: {}", one.len());
            assert!(memchr::memmem::find(&one, PLACE.as_bytes()).is_none());
        }
    }

    #[test]
    fn no_line_begins_with_a_dot_and_all_end_in_crlf() {
        for octets in [2_000, 50_000, 500_000] {
            let mail = Mails::new(octets).mail(1);
            assert!(memchr::memmem::find(&mail, b"\n.").is_none());
            assert!(mail.ends_with(b"\r\n"));
            let text = String::from_utf8(mail).unwrap().replace("\r\n", "");
            assert!(!text.contains(['\r', '\n']));
        }
    }
}
