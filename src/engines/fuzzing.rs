//! A door for fuzzing into replies of other spam engines.

use super::frame::Head;
use super::symbols::{self, OPTIONS_MAX, SYMBOLS_MAX};
use super::{rspamd, spamd};
use crate::config::{Address, Engine, EngineKind};
use crate::filters::Score;
use crate::report::Opinion;

/// A reply: what stands behind its end changes nothing, its texts are one harmless line each, and its points add up to
/// no more than it may count for.
pub fn engines(octets: &[u8]) {
    let longer = [octets, b"\r\n 9.9 MORE more\r\n\r\n{}"].concat();
    let has_end = Head::read(octets).and_then(|head| head.total());
    let is_whole = has_end.is_some_and(|total| total <= octets.len());
    type Reader = fn(&[u8]) -> Result<Opinion, String>;
    let readers: [(EngineKind, Reader); 2] =
        [(EngineKind::Spamd, spamd::read), (EngineKind::Rspamd, rspamd::read)];
    for (kind, read) in readers {
        let told = read(octets);
        assert!(!is_whole || read(&longer) == told, "what is behind the reply counts");
        let opinion = match told {
            Ok(opinion) => opinion,
            Err(why) => {
                assert!(!why.is_empty() && why.chars().count() <= 600, "{why}");
                assert!(!why.chars().any(char::is_control), "{why:?}");
                continue;
            }
        };
        assert!(opinion.symbols.len() <= SYMBOLS_MAX);
        one_line(&opinion.verdict);
        for symbol in &opinion.symbols {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            assert!(!symbol.name.is_empty() && symbol.name.chars().all(plain), "{}", symbol.name);
            one_line(&symbol.describe);
            assert!(symbol.options.len() <= OPTIONS_MAX);
            symbol.options.iter().for_each(|option| one_line(option));
        }
        for factor in [1.0, 0.3, 100.0] {
            let engine = Engine {
                name: "a".into(),
                kind,
                address: Address::Tcp(String::new()),
                factor,
                points_max: Score(20_000),
                timeout: std::time::Duration::from_secs(1),
                max_size_bytes: 1000,
                required: false,
                user: String::new(),
                settings: String::new(),
            };
            let (hits, together) = symbols::hits(&engine, &opinion);
            assert_eq!(together, hits.iter().map(|hit| hit.score).sum(), "points do not add up");
            assert!(together.0.abs() <= 20_000, "{together} points");
        }
    }
}

fn one_line(text: &str) {
    assert!(text.chars().count() <= 200 && !text.chars().any(char::is_control), "{text:?}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_octets_make_an_opinion_that_does_not_hold(
            octets in proptest::collection::vec(any::<u8>(), 0..100),
            text in "(Content-length: |Spam: True ; |1\\.5|-2|/|\r\n|\n|---- -----|  |      |A_RULE|é|[0-9]{1,8}| |:|\u{1b}){0,60}",
            json in "(\\{|\\}|\"score\":|\"symbols\":|\"A\"|:|,|1e9|-0\\.5|\"options\":|\\[|\\]|\"a\\\\u0007\"|\"action\":|\"error\":|null){0,40}",
        ) {
            engines(&octets);
            engines(&[b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 1.5 / 5\r\n", text.as_bytes()].concat());
            engines(&[b"HTTP/1.1 200 OK\r\n\r\n{\"score\":1,", json.as_bytes()].concat());
            engines(&[b"HTTP/1.1 200 OK\r\n", text.as_bytes(), b"\r\n\r\n", json.as_bytes()].concat());
        }
    }
}
