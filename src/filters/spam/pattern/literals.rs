//! What a text must hold for a pattern to have a chance.
//!
//! One pass over a text for the literals of all rules at once tells which few patterns are worth running.

use regex_syntax::hir::{Class, Hir, HirKind};

/// More literals than this for one pattern cost more than they spare.
const LITERALS_MAX: usize = 2_000;
/// Longer literals are cut: the tail adds little.
const LENGTH_MAX: usize = 16;
/// Shorter literals occur everywhere.
const LENGTH_MIN: usize = 3;
/// A class of more octets is not spelt out.
const CLASS_MAX: usize = 16;

type Literals = Vec<Vec<u8>>;

/// Literals in lower case, one of which (whatever its case) is in every text that the pattern matches; `None` if
/// there is nothing to hold on to.
pub(in crate::filters::spam) fn required(hir: &Hir) -> Option<Literals> {
    let literals = survey(hir).best()?;
    let shortest = literals.iter().map(Vec::len).min()?;
    (shortest >= LENGTH_MIN).then(|| without_longer(literals))
}

/// What is known of a piece of a pattern.
#[derive(Default)]
struct Survey {
    /// Every text it can match, in lower case.
    exact: Option<Literals>,
    /// One of these is in every text it can match.
    inner: Option<Literals>,
}

impl Survey {
    fn best(self) -> Option<Literals> {
        better(self.exact.filter(useful), self.inner)
    }
}

/// Walks the pattern. The depth is that of its groups, which the parser limits.
fn survey(hir: &Hir) -> Survey {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => exactly(vec![Vec::new()]),
        HirKind::Literal(literal) => {
            let lower = literal.0.to_ascii_lowercase();
            match lower.get(..LENGTH_MAX) {
                Some(head) if lower.len() > LENGTH_MAX => {
                    Survey { exact: None, inner: Some(vec![head.to_vec()]) }
                }
                _ => exactly(vec![lower]),
            }
        }
        HirKind::Class(class) => spell_out(class).map_or_else(Survey::default, exactly),
        HirKind::Capture(capture) => survey(&capture.sub),
        HirKind::Repetition(repetition) => {
            repeated(survey(&repetition.sub), repetition.min, repetition.max)
        }
        HirKind::Concat(pieces) => in_a_row(pieces),
        HirKind::Alternation(branches) => one_of(branches),
    }
}

fn exactly(set: Literals) -> Survey {
    Survey { exact: Some(set), inner: None }
}

fn spell_out(class: &Class) -> Option<Literals> {
    let mut octets = Vec::new();
    match class {
        Class::Bytes(bytes) => {
            for range in bytes.iter() {
                if range.len() > CLASS_MAX || octets.len() > 2 * CLASS_MAX {
                    return None;
                }
                octets.extend(range.start()..=range.end());
            }
        }
        Class::Unicode(points) => {
            for range in points.iter() {
                if range.len() > CLASS_MAX || octets.len() > 2 * CLASS_MAX {
                    return None;
                }
                for point in range.start()..=range.end() {
                    octets.push(u8::try_from(point).ok().filter(u8::is_ascii)?);
                }
            }
        }
    }
    let set = sorted(octets.into_iter().map(|octet| vec![octet.to_ascii_lowercase()]).collect());
    (!set.is_empty() && set.len() <= CLASS_MAX).then_some(set)
}

fn repeated(sub: Survey, min: u32, max: Option<u32>) -> Survey {
    match (min, max) {
        (0, Some(1)) => match sub.exact {
            Some(mut set) => {
                set.push(Vec::new());
                exactly(sorted(set))
            }
            None => Survey::default(),
        },
        (0, _) => Survey::default(),
        (1, Some(1)) => sub,
        _ => {
            let Some(one) = sub.exact else { return sub };
            let mut row = one.clone();
            for _ in 1..min.min(8) {
                match product(&row, &one) {
                    Some(longer) => row = longer,
                    None => {
                        return Survey { exact: None, inner: Some(row).filter(useful) };
                    }
                }
            }
            if Some(min) == max && min <= 8 {
                return exactly(row);
            }
            Survey { exact: None, inner: Some(row).filter(useful) }
        }
    }
}

fn in_a_row(pieces: &[Hir]) -> Survey {
    let mut run: Literals = vec![Vec::new()];
    let mut whole = true;
    let mut inner = None;
    for piece in pieces {
        let known = survey(piece);
        inner = better(inner, known.inner);
        match known.exact {
            Some(set) => match product(&run, &set) {
                Some(longer) => run = longer,
                None => {
                    inner = better(inner, Some(std::mem::replace(&mut run, set)).filter(useful));
                    whole = false;
                }
            },
            None => {
                let done = std::mem::replace(&mut run, vec![Vec::new()]);
                inner = better(inner, Some(done).filter(useful));
                whole = false;
            }
        }
    }
    if whole {
        return Survey { exact: Some(run), inner };
    }
    Survey { exact: None, inner: better(inner, Some(run).filter(useful)) }
}

fn one_of(branches: &[Hir]) -> Survey {
    let known: Vec<Survey> = branches.iter().map(survey).collect();
    if known.iter().all(|branch| branch.exact.is_some()) {
        let all =
            sorted(known.iter().filter_map(|branch| branch.exact.clone()).flatten().collect());
        if all.len() <= LITERALS_MAX {
            return exactly(all);
        }
    }
    let mut inner = Vec::new();
    for branch in known {
        match branch.best() {
            Some(set) if inner.len() + set.len() <= LITERALS_MAX => inner.extend(set),
            _ => return Survey::default(),
        }
    }
    Survey { exact: None, inner: Some(sorted(inner)) }
}

/// Every text of `left` followed by every text of `right`; `None` if that is too much.
fn product(left: &Literals, right: &Literals) -> Option<Literals> {
    if left.len().saturating_mul(right.len()) > LITERALS_MAX {
        return None;
    }
    let mut all = Vec::with_capacity(left.len() * right.len());
    for head in left {
        for tail in right {
            if head.len() + tail.len() > LENGTH_MAX {
                return None;
            }
            all.push([head.as_slice(), tail.as_slice()].concat());
        }
    }
    Some(sorted(all))
}

/// A set with the empty text in it rules nothing out.
fn useful(set: &Literals) -> bool {
    !set.is_empty() && set.iter().all(|literal| !literal.is_empty())
}

/// The set that fewer texts will hold: long literals first, then few of them.
fn better(left: Option<Literals>, right: Option<Literals>) -> Option<Literals> {
    let worth = |set: &Literals| {
        let shortest = set.iter().map(Vec::len).min().unwrap_or(0).min(8);
        (shortest * 4).saturating_sub(set.len().ilog2() as usize)
    };
    match (left, right) {
        (Some(left), Some(right)) => Some(if worth(&right) > worth(&left) { right } else { left }),
        (left, right) => left.or(right),
    }
}

fn sorted(mut set: Literals) -> Literals {
    set.sort();
    set.dedup();
    set
}

/// Drops literals that hold another one of the set: finding the shorter one is enough.
fn without_longer(mut set: Literals) -> Literals {
    set.sort_by_key(Vec::len);
    let mut kept: Literals = Vec::with_capacity(set.len());
    for literal in set {
        if !kept.iter().any(|short| memchr::memmem::find(&literal, short).is_some()) {
            kept.push(literal);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pattern: &str) -> Option<Vec<String>> {
        let hir =
            regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern);
        let set = required(&hir.unwrap())?;
        Some(set.into_iter().map(|literal| String::from_utf8(literal).unwrap()).collect())
    }

    #[test]
    fn the_most_telling_literals_are_found() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("viagra", Some(&["viagra"])),
            ("(?i)ViaGra", Some(&["viagra"])),
            (r"\d+ dollars", Some(&[" dollars"])),
            ("(?:free|cheap) .*", Some(&["free ", "cheap "])),
            ("a|b", None),
            ("x*", None),
            ("(?:abc)?", None),
            (".{3}abc.*defgh", Some(&["defgh"])),
            ("colou?r", Some(&["color", "colour"])),
            ("(?:ab){2,}", Some(&["abab"])),
        ];
        for (pattern, want) in cases {
            let got = of(pattern).map(|mut set| {
                set.sort();
                set
            });
            let want = want.map(|set| {
                let mut set: Vec<String> = set.iter().map(|text| (*text).to_owned()).collect();
                set.sort();
                set
            });
            assert_eq!(got, want, "{pattern}");
        }
    }
}
