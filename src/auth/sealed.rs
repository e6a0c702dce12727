//! What sealers of an ARC chain saw: whether a mail that fails DMARC here passed it where a trusted one took it (RFC 8617
//! section 7.2).

use mail_auth::arc::Set;

use super::clean;
use crate::filters::auth::{is_below, is_within};

/// Octets of a field that are read, and methods in it.
const FIELD_MAX: usize = 16 << 10;
const METHODS_MAX: usize = 100;

/// A result of a method, as Authentication-Results writes it: `dkim=pass header.d=example.org`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Method {
    name: String,
    result: String,
    properties: Vec<(String, String)>,
}

/// Who saw the author's domain pass, for people: `arc=pass as[1].d=list.test`; `None`: nobody whom the site trusts.
///
/// A seal vouches for what its sealer saw, and for nothing that stood there before. So the chain is followed from the last
/// seal backwards as long as sealers are trusted, and a stranger's seal ends it.
pub(super) fn vouched(sets: &[Set<'_>], author: &str, trusted: &[String]) -> Option<String> {
    // The last sealer's signature holds the mail together: who it is from must be part of that.
    let last = sets.last()?;
    if !last.signature.header.h.iter().any(|name| name.eq_ignore_ascii_case("from")) {
        return None;
    }
    let mut told = "arc=pass".to_owned();
    for set in sets.iter().rev() {
        let sealer = clean(&set.seal.header.d).to_lowercase();
        if !trusted.iter().any(|pattern| is_within(&sealer, pattern)) {
            return None;
        }
        told.push_str(&format!(" as[{}].d={sealer}", set.seal.header.i));
        if passed(&methods(set.results.value), author) == Some(true) {
            return Some(told);
        }
    }
    None
}

/// Whether the author's domain passed by these results: DMARC if that was checked for it, else a signature or SPF of his
/// domain, or of one above or below it. `None`: they say nothing of it.
fn passed(methods: &[Method], author: &str) -> Option<bool> {
    let of = |method: &Method, property: &str| {
        let mut values = method.properties.iter().filter(|(name, _)| name == property);
        values.next().map(|(_, value)| {
            let domain = value.rsplit_once('@').map_or(value.as_str(), |(_, domain)| domain);
            domain.trim_end_matches('.').to_lowercase()
        })
    };
    let about = |name: &'static str| methods.iter().filter(move |method| method.name == name);
    let mut dmarc =
        about("dmarc").filter(|one| of(one, "header.from").as_deref() == Some(author)).peekable();
    if dmarc.peek().is_some() {
        return Some(dmarc.all(|one| one.result == "pass"));
    }
    let kin = |domain: Option<String>| {
        domain.is_some_and(|domain| {
            domain.contains('.') && (is_below(author, &domain) || is_below(&domain, author))
        })
    };
    let mut signed = about("dkim").filter(|one| one.result == "pass");
    let mut sent = about("spf").filter(|one| one.result == "pass");
    let signer = |one: &Method| of(one, "header.d").or_else(|| of(one, "header.i"));
    let vouched =
        signed.any(|one| kin(signer(one))) || sent.any(|one| kin(of(one, "smtp.mailfrom")));
    vouched.then_some(true)
}

/// The methods of an ARC-Authentication-Results field (RFC 8617 section 4.1.1): `i=1; host; dmarc=pass header.from=a.test`.
fn methods(value: &[u8]) -> Vec<Method> {
    let value = value.get(..FIELD_MAX).unwrap_or(value);
    let pieces = pieces(&String::from_utf8_lossy(value));
    // The number of the set and the host stand first.
    let results = pieces.iter().skip(2).take(METHODS_MAX);
    results.filter_map(|piece| method(piece)).collect()
}

/// What stands between semicolons, as words; comments fall away, what is quoted is a part of its word. `=` is a word.
fn pieces(text: &str) -> Vec<Vec<String>> {
    let (mut all, mut words, mut word) = (Vec::new(), Vec::new(), String::new());
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for letter in text.chars() {
        if std::mem::take(&mut escaped) {
            if quoted {
                word.push(letter);
            }
            continue;
        }
        match letter {
            '\\' if quoted || depth > 0 => escaped = true,
            '"' if depth == 0 => quoted = !quoted,
            _ if quoted => word.push(letter),
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            ';' | '=' | ' ' | '\t' | '\r' | '\n' => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                match letter {
                    ';' => all.push(std::mem::take(&mut words)),
                    '=' => words.push("=".to_owned()),
                    _ => {}
                }
            }
            _ => word.push(letter),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    // What is not closed may mean anything.
    if depth == 0 && !quoted {
        all.push(words);
    }
    all
}

fn method(words: &[String]) -> Option<Method> {
    let [name, equal, result, rest @ ..] = words else { return None };
    if equal != "=" || result == "=" {
        return None;
    }
    // `dkim/1` names a version.
    let name = name.split_once('/').map_or(name.as_str(), |(name, _)| name).to_lowercase();
    let mut properties = Vec::new();
    let mut rest = rest;
    while let [word, behind @ ..] = rest {
        rest = behind;
        if let [equal, value, behind @ ..] = rest
            && equal == "="
            && value != "="
        {
            properties.push((word.to_lowercase(), value.clone()));
            rest = behind;
        }
    }
    Some(Method { name, result: result.to_lowercase(), properties })
}

/// What an ARC-Authentication-Results field says of a domain; for fuzzing.
pub(super) fn read(value: &[u8]) -> Option<bool> {
    let methods = methods(value);
    assert!(methods.len() <= METHODS_MAX, "{} methods", methods.len());
    passed(&methods, "a.test")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn results_say_whether_the_author_passed() {
        for (value, want) in [
            ("i=1; mx.test; dmarc=pass header.from=a.test", Some(true)),
            ("i=1; mx.test 1; dmarc=pass (p=none dis=none) header.from=A.Test", Some(true)),
            ("i=1;\r\n mx.test;\r\n dmarc = pass\r\n header.from = a.test", Some(true)),
            ("i=1; mx.test; dmarc/1=pass reason=\"x; y\" header.from=\"a.test\"", Some(true)),
            ("i=1; mx.test; dmarc=fail header.from=a.test; dkim=pass header.d=a.test", Some(false)),
            (
                "i=1; mx.test; dmarc=pass header.from=a.test; dmarc=fail header.from=a.test",
                Some(false),
            ),
            ("i=1; mx.test; dmarc=pass header.from=b.test", None),
            ("i=1; mx.test; dmarc=pass", None),
            ("i=1; mx.test; dmarc=none header.from=b.test; dkim=pass header.d=a.test", Some(true)),
            ("i=1; mx.test; dkim=pass header.i=@m.a.test", Some(true)),
            ("i=1; mx.test; dkim=pass header.d=nota.test; spf=pass smtp.mailfrom=x@b.test", None),
            (
                "i=1; mx.test; dkim=fail header.d=a.test; spf=pass smtp.mailfrom=x@bounce.a.test",
                Some(true),
            ),
            ("i=1; mx.test; dkim=pass header.d=test", None),
            ("i=1; mx.test; spf=softfail smtp.mailfrom=a.test", None),
            // Words in comments and quotes are no results, and what is not closed is none.
            ("i=1; mx.test; spf=fail (dmarc=pass header.from=a.test)", None),
            ("i=1; mx.test; spf=fail (; dmarc=pass header.from=a.test", None),
            ("i=1; mx.test; spf=fail reason=\"; dmarc=pass header.from=a.test;", None),
            ("i=1; mx.test (a\\); dmarc=pass header.from=a.test) x; none", None),
            ("i=1; dmarc=pass header.from=a.test", None),
            ("i=1; mx.test; none", None),
            ("", None),
        ] {
            assert_eq!(read(value.as_bytes()), want, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_make_results_that_do_not_hold(
            octets in proptest::collection::vec(any::<u8>(), 0..300),
            text in "(i=1|mx|;|=|pass|fail|dmarc|dkim|spf|header\\.from|header\\.d|a\\.test|\\(|\\)|\"|\\\\| |/1|é){0,60}"
        ) {
            read(&octets);
            read(text.as_bytes());
        }
    }
}
