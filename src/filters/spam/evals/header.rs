//! What single fields of the header look like: octets, capitals, lists of recipients, senders that do not fit.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::filters::spam::view::View;

use super::{Arguments, Call, Function, domain, fields};

pub(super) const FUNCTIONS: &[Function] = &[
    ("check_for_unique_subject_id", |_| Ok(Call::new(|_| false))),
    ("check_illegal_chars", illegal_octets),
    ("check_for_matching_env_and_hdr_from", |_| Ok(Call::new(same_senders))),
    ("sorted_recipients", |_| Ok(Call::new(|view| sorted(&recipients(view))))),
    ("similar_recipients", similar_recipients),
    ("check_for_missing_to_header", |_| Ok(Call::new(no_recipient))),
    ("subject_is_all_caps", |_| Ok(Call::new(shouts))),
    ("check_for_to_in_subject", to_in_subject),
    ("check_header_count_range", count_range),
    ("check_unresolved_template", |_| Ok(Call::new(template))),
    ("check_ratware_name_id", |_| Ok(Call::new(name_in_id))),
    ("check_ratware_envelope_from", |_| Ok(Call::new(recipient_in_sender))),
    ("check_equal_from_domains", |_| Ok(Call::new(other_domain))),
];

/// Addresses of recipients that are compared.
const RECIPIENTS_MAX: usize = 256;
/// With fewer, lists of recipients are neither sorted nor alike.
const SORTED_MIN: usize = 7;
const SIMILAR_MIN: usize = 5;

struct Patterns {
    reply: Regex,
    capitals: Regex,
    template: Regex,
    may_hold_template: Regex,
    name_id: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| Patterns {
    reply: fields::constant(r"(?i)^(?:(?:Re|Fwd|Fw|Aw|Antwort|WG|SV|VB|VS|VL):\s*)+"),
    // Character sets in which text of other scripts looks like capitals.
    capitals: fields::constant(
        r"(?i)=\?[-_a-z0-9]*(?:koi|jp|jis|euc|gb|big5|isoir|cp1251|windows-1251|georgianps|pt154|tis)[-_a-z0-9]*\?",
    ),
    template: fields::constant("%[A-Z][A-Z_-]"),
    may_hold_template: fields::constant(
        "(?i)^(?:X-VMS-To|X-UIDL|X-Face|To|Cc|From|Subject|References|In-Reply-To|(?:X-|Resent-|X-Original-)?Message-Id):",
    ),
    name_id: fields::constant(r"<[A-Z]{28}\.([^>]+?)>"),
});

fn trimmed(text: &[u8]) -> &[u8] {
    let blank = |octet: &u8| fields::is_blank(*octet);
    let start = text.iter().position(|octet| !blank(octet)).unwrap_or(text.len());
    let end = text.iter().rposition(|octet| !blank(octet)).map_or(start, |place| place + 1);
    text.get(start..end).unwrap_or_default()
}

/// `('Header', ratio, count)`: at least so many octets of the field, and so large a part of it, may not stand there
/// (RFC 5322: ASCII without controls). Valid UTF-8 may (RFC 6532).
fn illegal_octets(arguments: &Arguments) -> Result<Call, String> {
    let name = arguments.text(0);
    let (Some(ratio), Some(count)) = (arguments.number(1), arguments.number(2)) else {
        return Err("it wants a field, a ratio and a count".to_owned());
    };
    let name = if name.ends_with(":raw") { name.to_owned() } else { format!("{name}:raw") };
    let subject = name.eq_ignore_ascii_case("subject:raw");
    Ok(Call::new(move |view| {
        let text = fields::value(view, &name);
        if trimmed(&text).is_empty() {
            return false;
        }
        let control = |octet: &u8| matches!(octet, 0..=8 | 0x0b | 0x0c | 0x0e..=0x1f);
        if !text.is_ascii() && std::str::from_utf8(&text).is_ok() && !text.iter().any(control) {
            return false;
        }
        let illegal = |octet: &&u8| control(octet) || **octet >= 0x7f;
        let mut found = text.iter().filter(illegal).count();
        // One sign for cent, pound or registered is forgiven.
        let signs = text.iter().filter(|octet| matches!(octet, 0xa2 | 0xa3 | 0xae)).count();
        if subject && found > 0 && signs == 1 {
            found -= 1;
        }
        float(found) / float(text.len()) >= ratio && float(found) >= count
    }))
}

#[expect(clippy::cast_precision_loss, reason = "counts of octets in a header")]
fn float(count: usize) -> f64 {
    count as f64
}

/// Two that are missing are the same.
fn same_senders(view: &View<'_>) -> bool {
    let sender = fields::address(view, "EnvelopeFrom");
    sender.eq_ignore_ascii_case(&fields::address(view, "From"))
}

/// Addresses in To and Cc, and in Bcc if these are few; the same one twice in a row counts once.
fn recipients(view: &View<'_>) -> Vec<Vec<u8>> {
    let mut all = fields::addresses(view, "ToCc");
    if all.len() < SIMILAR_MIN {
        all.extend(fields::addresses(view, "Bcc"));
    }
    all.dedup_by(|next, kept| next.eq_ignore_ascii_case(kept));
    all.truncate(RECIPIENTS_MAX);
    all
}

fn sorted(recipients: &[Vec<u8>]) -> bool {
    recipients.len() >= SORTED_MIN && recipients.is_sorted()
}

/// How often two recipients begin alike, or their hosts do without being the same, for each pair.
fn similarity(recipients: &[Vec<u8>]) -> f64 {
    if recipients.len() < SIMILAR_MIN {
        return 0.0;
    }
    let host = |address: &'_ [u8]| {
        let at = memchr::memchr(b'@', address).map_or(address.len(), |at| at + 1);
        address.get(at..).unwrap_or_default().to_vec()
    };
    let head = |text: &[u8]| text.get(..2).unwrap_or(text).to_vec();
    let all: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> = recipients
        .iter()
        .map(|address| (head(address), head(&host(address)), host(address)))
        .collect();
    let (mut hits, mut pairs) = (0_usize, 0_usize);
    for (place, one) in all.iter().enumerate() {
        for other in all.iter().skip(place + 1) {
            pairs += 1;
            hits += usize::from(one.0 == other.0);
            hits += usize::from(one.1 == other.1 && one.2 != other.2);
        }
    }
    float(hits) / float(pairs.max(1))
}

fn similar_recipients(arguments: &Arguments) -> Result<Call, String> {
    let limit = |place| match arguments.text(place) {
        "" | "undef" => Ok(None),
        text => arguments.number(place).map(Some).ok_or_else(|| format!("`{text}` is no number")),
    };
    let (least, below) = (limit(0)?, limit(1)?);
    Ok(Call::new(move |view| {
        let value = similarity(&recipients(view));
        least.is_none_or(|least| value >= least) && below.is_none_or(|below| value < below)
    }))
}

fn no_recipient(view: &View<'_>) -> bool {
    fields::value(view, "To").is_empty() && fields::value(view, "Apparently-To").is_empty()
}

/// The subject is more than a word, and all its letters are capitals.
fn shouts(view: &View<'_>) -> bool {
    let subject = fields::value(view, "Subject");
    let subject = trimmed(&subject);
    let behind = PATTERNS.reply.find(subject).map_or(0, |found| found.end());
    let subject = subject.get(behind..).unwrap_or_default();
    if subject.len() < 10 || !subject.iter().any(|octet| fields::is_blank(*octet)) {
        return false;
    }
    let mut letters = subject.iter().filter(|octet| octet.is_ascii_alphabetic()).peekable();
    letters.peek().is_some()
        && letters.all(u8::is_ascii_uppercase)
        && !PATTERNS.capitals.is_match(&fields::value(view, "Subject:raw"))
}

/// `('address')`: the recipient's address stands in the subject. `('user')`: the subject calls the recipient by the
/// first part of it.
fn to_in_subject(arguments: &Arguments) -> Result<Call, String> {
    let user = match arguments.text(0) {
        "user" => true,
        "address" => false,
        other => return Err(format!("`{other}` is neither `address` nor `user`")),
    };
    Ok(Call::new(move |view| {
        let to = fields::address(view, "To");
        if to.is_empty() {
            return None;
        }
        let subject = fields::value(view, "Subject");
        let hits = if user {
            let end = memchr::memchr(b'@', &to).unwrap_or(to.len());
            calls(&subject, to.get(..end).unwrap_or_default())
        } else {
            fields::find_any_case(&subject, &to).into_iter().any(|place| {
                fields::is_border(&subject, place) && fields::is_border(&subject, place + to.len())
            })
        };
        hits.then(|| fields::shown(&to))
    }))
}

/// `Re: name`, `Re: word name`, `Name, …`, `name`, `, name!`.
fn calls(subject: &[u8], name: &[u8]) -> bool {
    const ENDS: &[u8] = b",:;!?-";
    let line = subject.strip_suffix(b"\n").unwrap_or(subject);
    let skip = |text: &[u8]| -> usize {
        text.iter().take_while(|octet| fields::is_blank(**octet)).count()
    };
    let is_name = |text: &[u8]| text.eq_ignore_ascii_case(name);
    if is_name(line) {
        return true;
    }
    let reply = line
        .get(..3)
        .is_some_and(|head| head.eq_ignore_ascii_case(b"re:") || head.eq_ignore_ascii_case(b"fw:"));
    if reply {
        let rest = line.get(3..).unwrap_or_default();
        let rest = rest.get(skip(rest)..).unwrap_or_default();
        let word = rest.iter().take_while(|octet| fields::is_word(**octet)).count();
        let behind = rest.get(word..).unwrap_or_default();
        let blank = skip(behind);
        if is_name(rest)
            || (word > 0 && blank > 0 && is_name(behind.get(blank..).unwrap_or_default()))
        {
            return true;
        }
    }
    if let Some(rest) = line.strip_prefix(name) {
        let rest = rest.get(skip(rest)..).unwrap_or_default();
        if let Some((first, behind)) = rest.split_first()
            && ENDS.contains(first)
            && behind.first().is_none_or(|next| fields::is_blank(*next))
        {
            return true;
        }
    }
    let Some(rest) = line.strip_prefix(b",") else { return false };
    let rest = rest.get(skip(rest)..).unwrap_or_default();
    rest.split_last().is_some_and(|(last, before)| ENDS.contains(last) && is_name(before))
}

/// `('Header', least, most)`: so many different fields of that name.
fn count_range(arguments: &Arguments) -> Result<Call, String> {
    let name = arguments.text(0).to_owned();
    let (Some(least), Some(most)) = (arguments.number(1), arguments.number(2)) else {
        return Err("it wants a field and two counts".to_owned());
    };
    Ok(Call::new(move |view| {
        let values = view.header().all(name.as_bytes()).map(|field| field.decoded.as_slice());
        let different: HashSet<&[u8]> = values.collect();
        let count = float(different.len());
        count >= least && count <= most
    }))
}

/// A field with a placeholder like `%FROM_NAME` that ratware forgot to fill in.
fn template(view: &View<'_>) -> Option<String> {
    let all = fields::value(view, "ALL");
    if !PATTERNS.template.is_match(&all) {
        return None;
    }
    let mut lines = all.split(|octet| *octet == b'\n');
    let line = lines.find(|line| {
        PATTERNS.template.is_match(line) && !PATTERNS.may_hold_template.is_match(line)
    })?;
    Some(fields::shown(line))
}

/// The message id holds the sender's address behind 28 capitals.
fn name_in_id(view: &View<'_>) -> bool {
    let id = fields::value(view, "MESSAGEID");
    let Some(found) = PATTERNS.name_id.captures(&id).and_then(|found| found.get(1)) else {
        return false;
    };
    let from = fields::value(view, "From");
    let address = [b"<", found.as_bytes(), b">"].concat();
    memchr::memmem::find_iter(&from, &address).take(100).any(|place| {
        let before = trimmed(from.get(..place).unwrap_or_default());
        let Some(quoted) = before.strip_suffix(b"\"") else { return false };
        memchr::memrchr(b'"', quoted).is_some_and(|open| open + 1 < quoted.len())
    })
}

/// The envelope's sender holds the recipient's address backwards: `domain=user@`.
fn recipient_in_sender(view: &View<'_>) -> bool {
    let to = fields::address(view, "To");
    let sender = fields::address(view, "EnvelopeFrom");
    if is_rewritten(&sender) {
        return false;
    }
    let Some(at) = memchr::memchr(b'@', &to).filter(|at| *at > 0) else { return false };
    let (user, host) = to.split_at_checked(at).unwrap_or((&to, &[]));
    let Some(registered) = host.get(1..).and_then(|host| domain::registered(view, host)) else {
        return false;
    };
    let user = [user, b"@"].concat();
    fields::find_any_case(&sender, &registered).into_iter().any(|place| {
        let behind = sender.get(place + registered.len() + 1..).unwrap_or_default();
        fields::is_border(&sender, place)
            && behind.get(..user.len()).is_some_and(|head| head.eq_ignore_ascii_case(&user))
    })
}

/// A sender that a forwarding host rewrote (SRS).
fn is_rewritten(sender: &[u8]) -> bool {
    sender.get(..3).is_some_and(|head| head.eq_ignore_ascii_case(b"srs"))
        && sender.get(3).is_some_and(u8::is_ascii_digit)
        && matches!(sender.get(4), Some(b'=' | b'+' | b'-'))
}

/// The last two labels of the sender's domain and of the envelope's differ.
fn other_domain(view: &View<'_>) -> Option<String> {
    let from = fields::address(view, "From");
    let sender = fields::address(view, "EnvelopeFrom");
    let (from, sender) = (two_labels(&from)?, two_labels(&sender)?);
    let differ = !from.eq_ignore_ascii_case(sender);
    differ.then(|| format!("{} and {}", fields::shown(from), fields::shown(sender)))
}

fn two_labels(address: &[u8]) -> Option<&[u8]> {
    let at = memchr::memrchr(b'@', address)?;
    let host = address.get(at + 1..).filter(|host| !host.is_empty())?;
    let mut dots = memchr::memrchr_iter(b'.', host);
    let (last, before) = (dots.next(), dots.next());
    let whole = match (last, before) {
        // Something must stand before the dots, between them, and behind.
        (Some(last), Some(before)) => before == 0 || last == before + 1 || last + 1 == host.len(),
        _ => true,
    };
    let start = if whole { 0 } else { before.map_or(0, |dot| dot + 1) };
    host.get(start..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_calls_its_reader() {
        for (subject, name, want) in [
            ("Re: ann\n", "ann", true),
            ("fw: your Ann\n", "ann", true),
            ("ann\n", "Ann", true),
            ("ann, look\n", "ann", true),
            ("Ann, look\n", "ann", false),
            ("ann,look\n", "ann", false),
            (", ann!\n", "ann", true),
            ("hello ann\n", "ann", false),
            ("Re: dear old ann\n", "ann", false),
        ] {
            assert_eq!(calls(subject.as_bytes(), name.as_bytes()), want, "{subject}");
        }
    }

    #[test]
    fn the_last_two_labels_are_compared() {
        for (address, want) in [
            ("a@mail.example.org", Some("example.org")),
            ("a@example.org", Some("example.org")),
            ("a@host", Some("host")),
            ("a@", None),
            ("a", None),
            ("a@b@c.d.e", Some("d.e")),
            ("a@x..org", Some("x..org")),
        ] {
            let got = two_labels(address.as_bytes()).map(|text| std::str::from_utf8(text).unwrap());
            assert_eq!(got, want, "{address}");
        }
    }

    #[test]
    fn lists_of_recipients_are_measured() {
        let list = |text: &str| -> Vec<Vec<u8>> {
            text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
        };
        assert!(sorted(&list("a@x b@x c@x d@x e@x f@x g@x")));
        assert!(!sorted(&list("b@x a@x c@x d@x e@x f@x g@x")));
        assert!(!sorted(&list("a@x b@x")));
        assert!(similarity(&list("aa@x aab@x aac@x aad@x aae@x")) > 0.99);
        assert!(similarity(&list("a1@x b1@x c1@x d1@x e1@x")) < 0.01);
        assert!(PATTERNS.reply.is_match(b"Re: x"));
    }
}
