//! What an engine said, as rules that hit: their points add up to what the engine counts for.

use crate::config::{Engine, EngineKind};
use crate::filters::{RuleHit, Score, Source};
use crate::report::{Opinion, Symbol};

/// Symbols of one mail that are kept; the points of others are in the rest.
pub(super) const SYMBOLS_MAX: usize = 200;
/// Options of one symbol that are kept.
pub(super) const OPTIONS_MAX: usize = 20;
/// Points beyond these are no points.
const POINTS_MAX: f64 = 1_000_000.0;
/// Signs of a text.
const TEXT_MAX: usize = 200;
/// Signs of a name.
const NAME_MAX: usize = 80;

/// One line of at most 200 signs, control characters replaced.
pub(super) fn plain(text: &str) -> String {
    text.chars().take(TEXT_MAX).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The name of a rule of others: it stands in header fields and log lines, so only harmless signs are kept.
pub(super) fn symbol_name(text: &str) -> Option<String> {
    let sign = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' };
    (!text.is_empty()).then(|| text.chars().take(NAME_MAX).map(sign).collect())
}

/// A number as engines write it.
pub(super) fn points(text: &str) -> Option<Score> {
    Score::parse(text)
}

/// The rules that hit, and what they count for together. Their points are the engine's by its factor. Engines round, and limit groups of symbols, so what
/// is left to their own sum is a hit of its own, as is what goes beyond `max_points`.
pub(super) fn hits(engine: &Engine, opinion: &Opinion) -> (Vec<RuleHit>, Score) {
    let scaled = |score: Score| {
        let points = (score.as_f64() * engine.factor).clamp(-POINTS_MAX, POINTS_MAX);
        Score::from_f64(points).unwrap_or_default()
    };
    let source = Source { file: format!("engine.{}", engine.name).into(), line: 0 };
    let hit = |name: &str, score: Score, describe: &str, evidence: String| RuleHit {
        name: format!("{}:{name}", engine.name).into(),
        score,
        describe: describe.into(),
        evidence,
        place: String::new(),
        source: source.clone(),
    };
    if engine.factor <= 0.0 {
        return (Vec::new(), Score(0));
    }
    // Most symbols of rspamd are worth nothing; they are to be seen among what it said.
    let counts = |symbol: &&Symbol| symbol.score != Score(0) || engine.kind == EngineKind::Spamd;
    let mut hits: Vec<RuleHit> = opinion
        .symbols
        .iter()
        .filter(counts)
        .map(|symbol| {
            let evidence = plain(&symbol.options.join(", "));
            hit(&symbol.name, scaled(symbol.score), &symbol.describe, evidence)
        })
        .collect();
    let total = scaled(opinion.score);
    let listed: Score = hits.iter().map(|hit| hit.score).sum();
    let rest = difference(total, listed);
    if rest != Score(0) {
        let describe = "Points that it gives beyond those of the symbols it names";
        hits.push(hit("rest", rest, describe, String::new()));
    }
    let max = engine.points_max.0.saturating_abs();
    let kept = Score(total.0.clamp(max.saturating_neg(), max));
    if kept != total {
        let describe = "It counts for no more than max_points";
        hits.push(hit("max_points", difference(kept, total), describe, String::new()));
    }
    (hits, kept)
}

fn difference(one: Score, other: Score) -> Score {
    Score(one.0.saturating_sub(other.0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Address;

    fn engine(kind: EngineKind, factor: f64) -> Engine {
        Engine {
            name: "sa".into(),
            kind,
            address: Address::Tcp("127.0.0.1:1".to_owned()),
            factor,
            points_max: Score(20_000),
            timeout: Duration::from_secs(1),
            max_size_bytes: 1000,
            required: false,
            user: String::new(),
            settings: String::new(),
        }
    }

    fn told(engine: &Engine, score: i32, symbols: &[(&str, i32)]) -> Vec<(String, i32)> {
        let symbol = |(name, score): &(&str, i32)| Symbol {
            name: (*name).to_owned(),
            score: Score(*score),
            ..Symbol::default()
        };
        let symbols = symbols.iter().map(symbol).collect();
        let opinion = Opinion { score: Score(score), symbols, ..Opinion::default() };
        let (hits, together) = hits(engine, &opinion);
        assert_eq!(together, hits.iter().map(|hit| hit.score).sum());
        hits.iter().map(|hit| (hit.name.to_string(), hit.score.0)).collect()
    }

    fn want(rows: &[(&str, i32)]) -> Vec<(String, i32)> {
        rows.iter().map(|(name, score)| ((*name).to_owned(), *score)).collect()
    }

    #[test]
    fn points_are_multiplied_and_add_up_to_the_engines_own_sum() {
        let spamd = engine(EngineKind::Spamd, 1.0);
        let rspamd = engine(EngineKind::Rspamd, 0.5);
        assert_eq!(
            told(&spamd, 3000, &[("A", 1000), ("B", 2000), ("Z", 0)]),
            want(&[("sa:A", 1000), ("sa:B", 2000), ("sa:Z", 0)])
        );
        assert_eq!(
            told(&spamd, 3100, &[("A", 1000), ("B", 2000)]),
            want(&[("sa:A", 1000), ("sa:B", 2000), ("sa:rest", 100)])
        );
        assert_eq!(
            told(&rspamd, 3000, &[("A", 1000), ("B", 3000), ("Z", 0)]),
            want(&[("sa:A", 500), ("sa:B", 1500), ("sa:rest", -500)])
        );
        // rspamd's reject at 15 is tag2 at 6.31 in amavis.
        assert_eq!(
            told(&engine(EngineKind::Rspamd, 6.31 / 15.0), 15_000, &[]),
            want(&[("sa:rest", 6310)])
        );
    }

    #[test]
    fn no_engine_counts_more_than_it_may_and_with_factor_zero_none_counts() {
        let spamd = engine(EngineKind::Spamd, 1.0);
        assert_eq!(
            told(&spamd, 1_000_000, &[("GTUBE", 1_000_000)]),
            want(&[("sa:GTUBE", 1_000_000), ("sa:max_points", -980_000)])
        );
        assert_eq!(
            told(&spamd, -100_000, &[("USER_IN_WELCOMELIST", -100_000)]),
            want(&[("sa:USER_IN_WELCOMELIST", -100_000), ("sa:max_points", 80_000)])
        );
        assert_eq!(told(&engine(EngineKind::Spamd, 0.0), 9000, &[("A", 9000)]), []);
        let sum: i32 = told(&engine(EngineKind::Spamd, 100.0), 1_000_000_000, &[("A", 7)])
            .iter()
            .map(|(_, score)| *score)
            .sum();
        assert_eq!(sum, 20_000);
    }

    #[test]
    fn names_and_texts_of_others_are_harmless() {
        assert_eq!(symbol_name("A b\r\n:c=1").as_deref(), Some("A_b___c_1"));
        assert_eq!(symbol_name(""), None);
        assert_eq!(symbol_name(&"x".repeat(999)).map(|name| name.len()), Some(80));
        assert_eq!(plain("a\u{1b}b\nc"), "a?b?c");
    }
}
