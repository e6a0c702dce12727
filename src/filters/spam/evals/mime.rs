//! Functions that look at the parts of a message and at their octets.

use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::filters::spam::text::content_type::ContentType;
use crate::filters::spam::text::parts::Part;
use crate::filters::spam::text::perl;
use crate::filters::spam::view::View;

use super::html::{limit, number};
use super::{Arguments, Call, Function};

pub(super) const FUNCTIONS: &[Function] = &[
    ("check_for_mime", check_for_mime),
    ("check_for_mime_html", mime_html),
    ("check_for_mime_html_only", mime_html_only),
    ("check_mime_multipart_ratio", multipart_ratio),
    ("check_msg_parse_flags", parse_flags),
    ("check_for_ascii_text_illegal", ascii_text_illegal),
    ("check_abundant_unicode_ratio", unicode_ratio),
    ("check_for_faraway_charset", faraway_charset),
    ("check_for_uppercase", uppercase),
    ("check_ma_non_text", alternative_non_text),
    ("check_base64_length", base64_length),
    ("check_qp_ratio", qp_ratio),
];

/// Octets of all parts that are counted.
const COUNTED_MAX: usize = 64 * 1024 * 1024;

/// What the parts tell.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct MimeFacts {
    base64: u32,
    base64_text: bool,
    bad_iso_charset: bool,
    html: u32,
    text: u32,
    attachment: u32,
    faraway_charset: bool,
    missing_boundary: bool,
    alternative: bool,
    /// Octets of the last plain text to those of the last page.
    multipart_ratio: f64,
    /// Parts in quoted-printable; where there are such octets, the number of escapes that need not be.
    quoted: f64,
    long_quoted_line: bool,
    quoted_ratio: f64,
    ascii_illegal: u32,
    unicode_ratio: f64,
    /// All charsets that are named.
    charsets: Vec<String>,
    longest_base64_line: usize,
}

static ESCAPE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("(?-u)=(?:09|3[0-9ABCEF]|[2456][0-9A-F]|7[0-9A-E])").ok());
static ESCAPED_BLANKS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?-u)((?:=09|=20)+)\s*$").ok());
static ENTITY: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("(?-u)&#x[0-9A-F]{4};").ok());
static ISO: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?i-u)iso-\S+-\S+\b").ok());
static KNOWN_ISO: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?-u)iso-(?:8859-[0-9]{1,2}|2022-(?:jp|kr))\b").ok());
static ASCII: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?-u)us-ascii|ansi_x3\.4-19(?:68|86)|iso-ir-6|iso_646\.irv:1991|ascii|iso646-us|us|ibm367|cp367",
    )
    .ok()
});
static TYPED_CHARSET: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?i-u)charset=(?:"([^"]+)"|'([^']+)'|(\S+))"#).ok());
static CAPITALS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let names = "koi|jp|jis|euc|gb|big5|isoir|cp1251|windows-1251|georgianps|pt154|tis";
    Regex::new(&format!("(?i-u)^[-_a-z0-9]*(?:{names})[-_a-z0-9]*\n?$")).ok()
});
static LINGERING_BASE64: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("(?-u)^(?:[A-Za-z0-9+/=]{60,76} ){2}").ok());

fn fits(regex: &LazyLock<Option<Regex>>, text: &[u8]) -> bool {
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// True if mail in that charset may be in a language the site reads (`ok_locales`).
pub(super) fn is_near(view: &View<'_>, charset: &str) -> bool {
    view.engine.tables.locales.reads(charset.as_bytes())
}

fn ratio(part: usize, all: usize) -> f64 {
    let number = |count: usize| u32::try_from(count).map_or(f64::MAX, f64::from);
    if all == 0 { 0.0 } else { number(part) / number(all) }
}

/// Counts while the parts are walked through.
#[derive(Default)]
struct Counts {
    quoted_octets: usize,
    quoted_escapes: usize,
    normal: usize,
    unicode: usize,
    /// Type and octets of leaves that are no attachments.
    sizes: Vec<(String, usize)>,
    left: usize,
}

impl MimeFacts {
    pub(in crate::filters::spam) fn of(view: &View<'_>) -> Self {
        let parts = view.parts();
        let mut facts = Self { multipart_ratio: 1.0, ..Self::default() };
        facts.missing_boundary = parts.flags.mime_missing_boundary;
        let mut counts = Counts { left: COUNTED_MAX, ..Counts::default() };
        for part in parts.all() {
            facts.add(view, part, &mut counts);
        }
        if counts.quoted_octets > 0 {
            facts.quoted_ratio = ratio(counts.quoted_escapes, counts.quoted_octets);
            facts.quoted = ratio(counts.quoted_escapes, 1);
        }
        facts.unicode_ratio = ratio(counts.unicode, counts.normal);
        let last = |kind: &str| {
            counts.sizes.iter().rev().find(|(other, _)| other == kind).map(|(_, size)| *size)
        };
        if let (true, Some(text), Some(html)) =
            (facts.alternative, last("text/plain"), last("text/html"))
            && html > 0
        {
            facts.multipart_ratio = ratio(text, html);
        }
        facts
    }

    fn add(&mut self, view: &View<'_>, part: &Part, counts: &mut Counts) {
        let lower = |name: &[u8]| part.header.last(name).unwrap_or_default().to_ascii_lowercase();
        let has = |text: &[u8], word: &str| memchr::memmem::find(text, word.as_bytes()).is_some();
        let declared = part.content_type();
        let encoding = lower(b"content-transfer-encoding");
        let disposition = lower(b"content-disposition");
        let attached = has(&disposition, "attachment");
        self.alternative |= declared.kind == "multipart/alternative";
        if declared.kind == "text/html" {
            self.html += 1;
        } else if declared.kind.starts_with("text") {
            self.text += 1;
        }
        if has(&encoding, "base64") {
            self.base64 += 1;
        } else if has(&encoding, "quoted-printable") {
            self.quoted += 1.0;
        }
        self.attachment += u32::from(attached);
        let charset = declared.charset.as_deref().unwrap_or_default().to_ascii_lowercase();
        let unsaid = charset.is_empty() || charset == "0" || fits(&ASCII, charset.as_bytes());
        let shown = !attached_or_inline(&disposition);
        if declared.kind.starts_with("text") && has(&encoding, "base64") && unsaid && shown {
            self.base64_text = true;
        }
        if fits(&ISO, charset.as_bytes()) && !fits(&KNOWN_ISO, charset.as_bytes()) {
            self.bad_iso_charset = true;
        }
        if charset.bytes().any(|octet| octet.is_ascii_alphabetic()) {
            self.faraway_charset |= !is_near(view, &charset);
            self.charsets.push(charset);
        }
        if part.leaf {
            self.add_leaf(part, &declared, &encoding, attached, counts);
        }
    }

    fn add_leaf(
        &mut self,
        part: &Part,
        declared: &ContentType,
        encoding: &[u8],
        attached: bool,
        counts: &mut Counts,
    ) {
        let quoted = encoding == b"quoted-printable";
        let base64 = encoding == b"base64" && declared.kind != "application/ics";
        let plain = declared.kind == "text/plain";
        let charset = declared.charset.as_deref();
        let ascii = plain && charset.is_none_or(|name| name.eq_ignore_ascii_case("us-ascii"));
        let bare = plain && [b"".as_slice(), b"7bit", b"8bit"].contains(&encoding);
        let counted = part.raw.get(..counts.left).unwrap_or(&part.raw);
        counts.left -= counted.len();
        if !attached {
            let sized = self.alternative && (plain || declared.kind == "text/html");
            let size = if sized { part.raw.len() } else { 0 };
            counts.sizes.push((declared.kind.clone(), size));
        }
        // Most texts hold nothing of what is looked for in their lines.
        let ascii = ascii && (!counted.is_ascii() || memchr::memchr2(0, b'\r', counted).is_some());
        let with_entities = bare && memchr::memmem::find(counted, b"&#x").is_some();
        if bare && !with_entities {
            counts.normal += counted.len();
        }
        if !quoted && !base64 && !ascii && !with_entities {
            return;
        }
        for line in counted.split_inclusive(|octet| *octet == b'\n') {
            if quoted && !line.starts_with(b"SPAM: ") {
                self.long_quoted_line |= line.len() > 79;
                counts.quoted_octets += line.len();
                counts.quoted_escapes += escapes(line);
            }
            if base64 {
                self.longest_base64_line = self.longest_base64_line.max(line.len());
            }
            if ascii && line.iter().any(|octet| !octet.is_ascii() || matches!(octet, 0 | b'\r')) {
                self.ascii_illegal += 1;
            }
            if with_entities {
                let found = ENTITY.as_ref().map_or(0, |regex| regex.find_iter(line).count());
                counts.unicode += found;
                counts.normal += line.len() - 8 * found;
            }
        }
    }

    /// A fact by the name that rules know.
    fn by_name(&self, name: &str) -> Option<f64> {
        let flag = |set: bool| f64::from(u8::from(set));
        Some(match name {
            "mime_base64_count" => f64::from(self.base64),
            "mime_base64_encoded_text" => flag(self.base64_text),
            "mime_bad_iso_charset" => flag(self.bad_iso_charset),
            "mime_body_html_count" => f64::from(self.html),
            "mime_body_text_count" => f64::from(self.text),
            "mime_attachment" => f64::from(self.attachment),
            "mime_faraway_charset" => flag(self.faraway_charset),
            "mime_missing_boundary" => flag(self.missing_boundary),
            "mime_multipart_alternative" => flag(self.alternative),
            "mime_multipart_ratio" => self.multipart_ratio,
            "mime_qp_count" => self.quoted,
            "mime_qp_long_line" => flag(self.long_quoted_line),
            "mime_qp_ratio" => self.quoted_ratio,
            "mime_ascii_text_illegal" => f64::from(self.ascii_illegal),
            "mime_text_unicode_ratio" => self.unicode_ratio,
            // A stock rule asks for it here, where it never is.
            "mimepart_limit_exceeded" => 0.0,
            _ => return None,
        })
    }
}

fn attached_or_inline(disposition: &[u8]) -> bool {
    disposition.starts_with(b"attachment") || disposition.starts_with(b"inline")
}

/// Escapes of a line of quoted-printable for octets that need none. Blanks at its end may be escaped.
fn escapes(line: &[u8]) -> usize {
    if memchr::memchr(b'=', line).is_none() {
        return 0;
    }
    let all = ESCAPE.as_ref().map_or(0, |regex| regex.find_iter(line).count());
    if all == 0 {
        return 0;
    }
    let end = ESCAPED_BLANKS.as_ref().and_then(|regex| regex.captures(line));
    let blanks = end.and_then(|found| found.get(1)).map_or(0, |found| found.as_bytes().len() / 3);
    all.saturating_sub(blanks)
}

fn check_for_mime(arguments: &Arguments) -> Result<Call, String> {
    let name = arguments.text(0).to_owned();
    if MimeFacts::default().by_name(&name).is_none() {
        return Err(format!("nothing known of MIME is called `{name}`"));
    }
    Ok(Call::new(move |view| view.mime().by_name(&name).is_some_and(|value| value != 0.0)))
}

/// True if the message as a whole claims to be a page.
fn is_page(view: &View<'_>) -> bool {
    let first = view.header().all(b"content-type").next();
    let head = first.and_then(|field| field.decoded.get(..9));
    head.is_some_and(|head| head.eq_ignore_ascii_case(b"text/html"))
}

fn mime_html(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| is_page(view) || view.mime().html > 0))
}

fn mime_html_only(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| is_page(view) || (view.mime().html > 0 && view.mime().text == 0)))
}

fn multipart_ratio(arguments: &Arguments) -> Result<Call, String> {
    let (min, max) = (number(arguments, 0)?, number(arguments, 1)?);
    Ok(Call::new(move |view| (min..max).contains(&view.mime().multipart_ratio)))
}

fn parse_flags(arguments: &Arguments) -> Result<Call, String> {
    let name = arguments.text(0);
    let flag: fn(&View<'_>) -> bool = match name {
        "truncated_header" => |view| view.header().truncated || view.header().is_too_long(),
        "missing_head_body_separator" => |view| view.header().no_separator,
        "missing_mime_headers" => |view| view.parts().flags.missing_mime_headers,
        "missing_mime_head_body_separator" => {
            |view| view.parts().flags.missing_mime_head_body_separator
        }
        "mime_epilogue_exists" => |view| view.parts().flags.mime_epilogue_exists,
        "mimepart_limit_exceeded" => |view| view.parts().flags.mimepart_limit_exceeded,
        _ => return Err(format!("no flag of messages is called `{name}`")),
    };
    Ok(Call::new(flag))
}

fn ascii_text_illegal(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| view.mime().ascii_illegal > 0))
}

fn unicode_ratio(arguments: &Arguments) -> Result<Call, String> {
    let least = number(arguments, 0)?;
    Ok(Call::new(move |view| view.mime().unicode_ratio >= least))
}

fn qp_ratio(arguments: &Arguments) -> Result<Call, String> {
    let least = number(arguments, 0)?;
    Ok(Call::new(move |view| view.mime().quoted_ratio >= least))
}

/// The charset that the header names.
fn typed_charset(view: &View<'_>) -> Option<Vec<u8>> {
    let fields = view.header().all(b"content-type").map(|field| field.decoded.as_slice());
    let text = fields.collect::<Vec<_>>().join(b"\n".as_slice());
    let found = TYPED_CHARSET.as_ref()?.captures(&text)?;
    let name = found.get(1).or_else(|| found.get(2)).or_else(|| found.get(3))?;
    Some(name.as_bytes().to_vec())
}

fn faraway_charset(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| {
        let Some(charset) = typed_charset(view) else { return false };
        if is_near(view, &String::from_utf8_lossy(&charset)) {
            return false;
        }
        // Many of them hold ASCII as well, so that most of the text must be something else.
        let text = view.body().buffer();
        let high = count(text, |octet| !octet.is_ascii());
        high > 3 && text.len() - high <= high
    }))
}

fn uppercase(arguments: &Arguments) -> Result<Call, String> {
    let (min, max) = (number(arguments, 0)?, number(arguments, 1)?);
    Ok(Call::new(move |view| {
        let share = uppercase_share(view);
        share > min && share <= max
    }))
}

/// Percents of capitals in the body; 0 in scripts that have none, and for short texts.
fn uppercase_share(view: &View<'_>) -> f64 {
    let named = view.mime().charsets.iter().map(|name| name.as_bytes().to_vec());
    if typed_charset(view)
        .into_iter()
        .chain(named)
        .any(|name| name.split(|octet| perl::is_space(*octet)).any(|name| fits(&CAPITALS, name)))
    {
        return 0.0;
    }
    let (mut length, mut lower, mut upper) = (0, 0, 0);
    let body = view.body();
    for index in 0..body.len() {
        let line = body.get(index).0;
        let words = line.split(|octet| perl::is_space(*octet)).filter(|word| !word.is_empty());
        if words.take(2).count() < 2 || fits(&LINGERING_BASE64, line) {
            continue;
        }
        // What stands between the first and the last escape of ISO-2022-JP is no Latin.
        let open = memchr::memmem::find(line, b"\x1b$B").unwrap_or(line.len());
        let (head, tail) = line.split_at_checked(open).unwrap_or((line, &[]));
        let behind = memchr::memmem::rfind(tail, b"\x1b(B").map(|close| close + 3);
        let tail = match behind {
            Some(behind) => tail.get(behind..).unwrap_or_default(),
            None => tail,
        };
        for text in [head, tail] {
            length += text.len();
            lower += count(text, |octet| octet.is_ascii_lowercase() || octet.is_ascii_digit());
            upper += count(text, |octet| octet.is_ascii_uppercase());
        }
    }
    if length < 200 { 0.0 } else { ratio(upper, upper + lower) * 100.0 }
}

/// How many octets are wanted; counted in runs whose sum an octet holds, which processors do for many at once.
fn count(text: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    let in_run =
        |run: &[u8]| run.iter().fold(0_u8, |sum, octet| sum.wrapping_add(u8::from(wanted(*octet))));
    text.chunks(usize::from(u8::MAX)).map(|run| usize::from(in_run(run))).sum()
}

fn alternative_non_text(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| {
        let parts = view.parts();
        let odd = |part: &&Part| {
            let kind = &part.kind;
            part.leaf && !kind.is_empty() && !kind.starts_with("text/") && kind != "application/rtf"
        };
        let mut alternatives = parts.all().filter(|part| part.kind == "multipart/alternative");
        alternatives.find_map(|part| parts.children(part).find(odd)).map(|part| part.kind.clone())
    }))
}

fn base64_length(arguments: &Arguments) -> Result<Call, String> {
    let (min, max) = (number(arguments, 0)?, limit(arguments, 1)?);
    Ok(Call::new(move |view| {
        let longest = ratio(view.mime().longest_base64_line, 1);
        (min..=max).contains(&longest)
    }))
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use crate::filters::Mail;
    use crate::filters::spam::Engine;
    use crate::filters::spam::evals::Answer;
    use crate::filters::spam::view::View;
    use crate::mail::{Envelope, Message};

    /// True if that call hits a message.
    pub(in crate::filters::spam::evals) fn hits(call: &str, message: &str) -> bool {
        let (engine, _) = Engine::load(&[], &BTreeMap::new());
        let raw = Bytes::copy_from_slice(message.as_bytes());
        let message = Message { raw, ..Message::default() };
        let envelope = Envelope::default();
        let mail = Mail::alone(&envelope, &message);
        let call = crate::filters::spam::evals::call(call).unwrap();
        call.ask(&View::new(&engine, &mail)) != Answer::No
    }

    const MAIL: &str = "Subject: a\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\
        Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\nab=41=20\n--b\n\
        Content-Type: text/html; charset=iso-x-1\n\n<b>abcdefghijklmnopqrst</b>\n--b\n\
        Content-Type: image/gif\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment\n\n\
        R0lGODlh\n--b--\nmore\n";

    #[test]
    fn functions_see_parts() {
        for (call, want) in [
            ("check_for_mime('mime_attachment')", true),
            ("check_for_mime('mime_base64_count')", true),
            ("check_for_mime('mime_base64_encoded_text')", false),
            ("check_for_mime('mime_bad_iso_charset')", true),
            ("check_for_mime('mime_missing_boundary')", false),
            ("check_for_mime('mime_qp_count')", true),
            ("check_for_mime('mime_qp_long_line')", false),
            ("check_for_mime('mimepart_limit_exceeded')", false),
            ("check_for_mime_html()", true),
            ("check_for_mime_html_only()", false),
            ("check_mime_multipart_ratio('0.2', '0.5')", true),
            ("check_mime_multipart_ratio('0.5', '0.9')", false),
            ("check_msg_parse_flags('mime_epilogue_exists')", true),
            ("check_msg_parse_flags('missing_mime_headers')", false),
            ("check_msg_parse_flags('missing_head_body_separator')", false),
            ("check_msg_parse_flags('truncated_header')", false),
            ("check_ma_non_text()", true),
            ("check_base64_length('8')", true),
            ("check_base64_length('8', '79')", true),
            ("check_base64_length('79')", false),
            ("check_qp_ratio('0.1')", true),
            ("check_qp_ratio('0.2')", false),
            ("check_for_faraway_charset()", false),
        ] {
            assert_eq!(hits(call, MAIL), want, "{call}");
        }
    }

    #[test]
    fn functions_see_octets() {
        let capitals = format!("Subject: a\n\n{}", "LOUD words ".repeat(30));
        assert!(hits("check_for_uppercase('25', '50')", &capitals));
        assert!(!hits("check_for_uppercase('50', '75')", &capitals));
        assert!(!hits("check_for_uppercase('25', '50')", "Subject: a\n\nLOUD words"));
        assert!(hits("check_for_ascii_text_illegal()", "Subject: a\n\ncaf\u{e9}\n"));
        assert!(!hits("check_for_ascii_text_illegal()", "Subject: a\n\ncafe\n"));
        let unicode = "Subject: a\n\n&#x0041;&#x0042; abcdefgh\n";
        assert!(hits("check_abundant_unicode_ratio('0.1')", unicode));
        assert!(!hits("check_abundant_unicode_ratio('0.5')", unicode));
        assert!(hits("check_for_mime_html_only()", "Content-Type: text/html\n\na"));
        assert!(hits("check_msg_parse_flags('missing_head_body_separator')", "Subject: a\n"));
    }

    #[test]
    fn wrong_names_are_told() {
        for call in ["check_for_mime('bogus')", "check_msg_parse_flags('bogus')"] {
            assert!(super::super::call(call).is_err(), "{call}");
        }
    }
}
