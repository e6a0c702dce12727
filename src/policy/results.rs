//! The Authentication-Results field (RFC 8601): ours, and the forged ones that claim to be ours.

use std::fmt::Write as _;

use crate::filters::auth::{Auth, AuthResult};
use crate::mail::Message;
use crate::report::Report;

use super::edit::Edit;

/// Signatures that are told one by one.
const SIGNATURES_MAX: usize = 10;
/// Letters of one value.
const VALUE_MAX: usize = 250;

/// Our field, with its line ends; `sender` is the envelope sender.
#[must_use]
pub fn field(hostname: &str, sender: &str, auth: &Auth) -> String {
    let mut methods: Vec<String> = Vec::new();
    if let Some(spf) = &auth.spf {
        methods.push(format!(
            "spf={}{} smtp.mailfrom={}",
            spf.result,
            comment(&spf.why),
            value(sender)
        ));
    } else if let Some(helo) = &auth.helo {
        let name = value(&helo.domain);
        methods.push(format!("spf={}{} smtp.helo={name}", helo.result, comment(&helo.why)));
    }
    for one in auth.dkim.iter().take(SIGNATURES_MAX) {
        let mut method = format!("dkim={}{}", one.result, comment(&one.why));
        if !one.domain.is_empty() {
            let _ = write!(
                method,
                " header.d={} header.s={}",
                value(&one.domain),
                value(&one.selector)
            );
            let _ = write!(method, " header.b={}", value(&one.signature));
        }
        methods.push(method);
    }
    if auth.dkim.is_empty() {
        methods.push("dkim=none".to_owned());
    }
    if let Some(dmarc) = auth.dmarc.as_ref().filter(|dmarc| !dmarc.domain.is_empty()) {
        let policy = match dmarc.result {
            // RFC 7489 section 7.2 calls it a local policy.
            AuthResult::Fail if !dmarc.fails() => comment(&format!(
                "p={} dis=none, local policy: {}",
                dmarc.policy.as_str(),
                dmarc.overridden
            )),
            AuthResult::Pass | AuthResult::Fail => comment(&format!("p={}", dmarc.policy.as_str())),
            AuthResult::SoftFail
            | AuthResult::Neutral
            | AuthResult::None
            | AuthResult::TempError
            | AuthResult::PermError => comment(&dmarc.why),
        };
        methods.push(format!(
            "dmarc={}{policy} header.from={}",
            dmarc.result,
            value(&dmarc.domain)
        ));
    }
    if let Some(arc) = &auth.arc {
        methods.push(format!("arc={}{}", arc.result, comment(&format!("i={}", arc.length))));
    }
    format!("Authentication-Results: {hostname};\r\n {}\r\n", methods.join(";\r\n "))
}

/// ` (text)`, or nothing; what could end a comment or begin another becomes `?`.
fn comment(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let plain = |letter: char| match letter {
        '(' => '[',
        ')' => ']',
        ' '..='~' if letter != '\\' => letter,
        _ => '?',
    };
    format!(" ({})", text.chars().take(VALUE_MAX).map(plain).collect::<String>())
}

/// A value as it stands, or in quotes where it would break the field.
fn value(text: &str) -> String {
    let plain = |letter: char| if (' '..='~').contains(&letter) { letter } else { '?' };
    let text: String = text.chars().take(VALUE_MAX).map(plain).collect();
    let bare =
        |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-./^_`{|}~@".contains(letter);
    if !text.is_empty() && text.chars().all(bare) {
        return text;
    }
    let inside: String =
        text.chars().map(|letter| if "\"\\".contains(letter) { '?' } else { letter }).collect();
    format!("\"{inside}\"")
}

/// Removes the fields of strangers that claim to be ours (RFC 8601 section 5).
#[must_use]
pub fn forged(hostname: &str, report: &Report) -> Vec<Edit> {
    let message: &Message = &report.message;
    let fields = message.fields("Authentication-Results");
    let ours = fields.filter(|field| is_ours(hostname, message.octets(&field.value)));
    ours.map(|field| Edit::delete(&field.field)).collect()
}

/// True if the field says that it was written by this host. The name stands first, after comments, and may be quoted.
pub(super) fn is_ours(hostname: &str, value: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut escaped = false;
    let mut name = Vec::new();
    let mut quoted = false;
    for octet in value.iter().copied() {
        if escaped {
            escaped = false;
            if depth == 0 {
                name.push(octet);
            }
            continue;
        }
        match octet {
            b'\\' if depth > 0 || quoted => escaped = true,
            b'"' if depth == 0 && quoted => break,
            b'"' if depth == 0 && name.is_empty() => quoted = true,
            _ if quoted && !b"\r\n".contains(&octet) => name.push(octet),
            b'(' if name.is_empty() || depth > 0 => depth += 1,
            b')' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            b' ' | b'\t' | b'\r' | b'\n' if name.is_empty() => {}
            b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' => break,
            _ => name.push(octet),
        }
        if name.len() > 300 {
            break;
        }
    }
    let name = String::from_utf8_lossy(&name);
    let name = name.trim().trim_end_matches('.');
    // `host/1` is a version behind the name.
    let name = name.split_once('/').map_or(name, |(name, _)| name);
    name.eq_ignore_ascii_case(hostname.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::auth::{Dkim, Dmarc, DmarcPolicy, Spf};

    #[test]
    fn the_field_tells_every_method() {
        let auth = Auth {
            spf: Some(Spf {
                result: AuthResult::Pass,
                domain: "a.test".into(),
                why: "mx (x)".into(),
                ..Spf::default()
            }),
            dkim: vec![Dkim {
                result: AuthResult::Fail,
                domain: "b.test".into(),
                selector: "s1".into(),
                signature: "abc+/=".into(),
                ..Dkim::default()
            }],
            dmarc: Some(Dmarc {
                result: AuthResult::Fail,
                domain: "c.test".into(),
                policy: DmarcPolicy::Reject,
                ..Dmarc::default()
            }),
            ..Auth::default()
        };
        assert_eq!(
            field("mx.test", "x y@a.test", &auth),
            "Authentication-Results: mx.test;\r\n spf=pass (mx [x]) smtp.mailfrom=\"x y@a.test\";\r\n \
             dkim=fail header.d=b.test header.s=s1 header.b=\"abc+/=\";\r\n \
             dmarc=fail (p=reject) header.from=c.test\r\n"
        );
        let mut listed = auth.clone();
        if let Some(dmarc) = &mut listed.dmarc {
            dmarc.overridden = "arc=pass as[1].d=list.test".into();
        }
        let text = field("mx.test", "x@a.test", &listed);
        assert!(
            text.contains(" dmarc=fail (p=reject dis=none, local policy: arc=pass as[1].d=list.test) header.from=c.test\r\n"),
            "{text}"
        );
        let none = field("mx.test", "", &Auth::default());
        assert_eq!(none, "Authentication-Results: mx.test;\r\n dkim=none\r\n");
    }

    #[test]
    fn a_strangers_words_stay_in_their_place() {
        let spf = Spf { why: "a) \r\nEvil: x\\".into(), ..Spf::default() };
        let auth = Auth { spf: Some(spf), ..Auth::default() };
        let text = field("mx.test", "a\"\r\nEvil: x@b", &auth);
        assert!(
            text.split("\r\n").skip(1).all(|line| line.is_empty() || line.starts_with(' ')),
            "{text}"
        );
        assert_eq!(text.matches('"').count(), 2);
    }

    #[test]
    fn only_what_claims_to_be_ours_is_forged() {
        for (value, ours) in [
            (" mx.test; spf=pass", true),
            ("\r\n\tMX.Test.;\r\n spf=pass", true),
            (" (x (y) \\) z) mx.test (c); spf=pass", true),
            (" \"mx.test\"; spf=pass", true),
            (" mx.test 1; spf=pass", true),
            (" mx.test/1; none", true),
            (" mx.test", true),
            (" other.test; x=mx.test", false),
            (" mx.test.example; none", false),
            (" (mx.test) other; none", false),
            ("", false),
        ] {
            assert_eq!(is_ours("mx.test", value.as_bytes()), ours, "{value:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_octets_make_it_fail(value: Vec<u8>) {
            let _ = is_ours("mx.test", &value);
        }
    }
}
