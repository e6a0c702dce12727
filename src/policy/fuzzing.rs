//! A door for fuzzing into the Authentication-Results field.

use super::results::{field, is_ours};
use crate::filters::auth::{Auth, AuthResult, Chain, Dkim, Dmarc, Spf};

/// Words of strangers, one a line: our field stays one field whatever they say, and is known as ours wherever it comes
/// back.
pub fn results(octets: &[u8]) {
    let _ = is_ours("mx.test", octets);
    let text = String::from_utf8_lossy(octets);
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default().to_owned();
    let sender = next();
    let spf = Spf { result: AuthResult::Fail, domain: next(), why: next(), explanation: next() };
    let dkim = Dkim {
        result: AuthResult::Fail,
        domain: next(),
        selector: next(),
        identity: next(),
        signature: next(),
        why: next(),
    };
    let domain = next();
    let methods_want = 3 + usize::from(!domain.is_empty());
    let dmarc = Dmarc { domain, why: next(), ..Dmarc::default() };
    let arc = Chain { sealer: next(), why: next(), ..Chain::default() };
    let helo_only = octets.len() % 2 == 1;
    let auth = Auth {
        spf: (!helo_only).then(|| spf.clone()),
        helo: Some(spf),
        dkim: vec![dkim],
        dmarc: Some(dmarc),
        arc: Some(arc),
        ..Auth::default()
    };
    let whole = field("mx.test", &sender, &auth);
    assert!(whole.is_ascii() && whole.ends_with("\r\n"), "{whole:?}");
    for line in whole.trim_end().split("\r\n").skip(1) {
        assert!(line.starts_with(' ') && !line.trim().is_empty(), "{whole:?}");
        assert!(!line.contains(['\r', '\n']) && line.len() <= 2_000, "{whole:?}");
    }
    let (name, value) = whole.split_once(':').unwrap_or_default();
    assert_eq!(name, "Authentication-Results");
    assert!(is_ours("mx.test", value.as_bytes()), "{whole:?}");
    // Three methods behind our name, and DMARC for a domain: no word of a stranger made another.
    let methods = outside_of_comments(value).matches(';').count();
    assert_eq!(methods, methods_want, "{whole:?}");
}

/// The value without comments and quoted strings.
fn outside_of_comments(value: &str) -> String {
    let mut out = String::new();
    let (mut depth, mut quoted) = (0_usize, false);
    for letter in value.chars() {
        match letter {
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth > 0 => depth -= 1,
            _ if quoted || depth > 0 => {}
            _ => out.push(letter),
        }
    }
    assert!(depth == 0 && !quoted, "something is not closed: {value:?}");
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_words_of_strangers_break_our_field(
            octets in proptest::collection::vec(any::<u8>(), 0..300),
            text in "(a|b\\.test|\\(|\\)|\"|\\\\|;|=|\r|\n| |\t|é|mx\\.test){0,80}"
        ) {
            results(&octets);
            results(text.as_bytes());
        }
    }
}
