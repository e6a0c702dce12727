use proptest::prelude::*;

use crate::filters::spam::hunt::Hunt;
use crate::filters::spam::text::{Segments, Target};

use super::program::Program;
use super::sift::Passes;
use super::{Machine, Pattern, Refusal, TextRules, Usual, compile, perl};

const STEPS: u64 = 1_000_000;

fn pattern(text: &str, flags: &str) -> Pattern {
    made(text, flags).unwrap_or_else(|why| panic!("{text}: {why:?}"))
}

fn made(text: &str, flags: &str) -> Result<Pattern, Refusal> {
    made_for(Usual::Words, text, flags)
}

fn made_for(usual: Usual, text: &str, flags: &str) -> Result<Pattern, Refusal> {
    let mut pattern = Pattern::compile(text.as_bytes(), flags)?;
    pattern.make_windows(usual);
    Ok(pattern)
}

fn matches(text: &str, flags: &str, subject: &[u8]) -> bool {
    pattern(text, flags).is_match(subject)
}

/// Where the matches lie, one after the other.
fn all(text: &str, subject: &str) -> Vec<(usize, usize)> {
    let pattern = pattern(text, "");
    let mut machine = Machine::new(STEPS);
    let mut from = 0;
    let mut found = Vec::new();
    while let Some(range) = pattern.find(subject.as_bytes(), from, &mut machine) {
        from = range.end.max(range.start + 1);
        found.push((range.start, range.end));
    }
    found
}

#[test]
fn perl_patterns_keep_their_meaning() {
    let cases: &[(&str, &str, &[u8], bool)] = &[
        ("^abc$", "", b"abc\n", true),
        ("^abc$", "", b"abc\nd", false),
        ("^abc$", "m", b"x\nabc\nd", true),
        ("^", "m", b"", true),
        (r"\n^", "m", b"a\n", false),
        (r"abc\z", "", b"abc\n", false),
        (r"abc\Z", "", b"abc\n", true),
        (r"\<b\>", "", b"a<b>c", true),
        ("[[]x[&&]", "", b"[x&", true),
        (r"^\x{41}\x42\103$", "", b"ABC", true),
        (r"[\101]", "", b"A", true),
        (r"\x{20ac}", "", "€".as_bytes(), false),
        (r"[\x{20ac}]", "", "€".as_bytes(), false),
        (r"[^\x{20ac}]", "", b"a", true),
        (r"a\vb", "", b"a\nb", true),
        (r"a\hb", "", b"a\xA0b", true),
        (r"a\Rb", "", b"a\r\nb", true),
        ("a{,2}b{x", "", b"aab{x", true),
        ("a{ 1, 2 }b", "", b"aab", true),
        ("a b # c", "x", b"ab", true),
        ("[a b]c", "x", b" c", true),
        (r"\Qa.b\E.", "", b"a.bc", true),
        (r"\Qa.b\E.", "", b"axbc", false),
        ("(?i:FREE) money", "", b"free money", true),
        ("(?i)FREE money", "", b"free MONEY", true),
        ("a(?i)b|c", "", b"C", true),
        ("(?:a(?i)b)c", "", b"aBC", false),
        ("\u{e9}", "i", "é".as_bytes(), true),
        // Letters above 127 have the cases of Latin-1.
        (r"\xE9", "i", b"\xC9", true),
        (r"[\xE0-\xE9]", "i", b"\xC9", true),
        (r"\w", "", b"\xE9", false),
        (r"[[:alpha:]]", "", b"\xE9", false),
        (r"[[:^digit:]]", "", b"1", false),
        ("a(?#note)b", "", b"ab", true),
        (r"\/x\/", "", b"/x/", true),
        (".", "", b"\n", false),
        (".", "s", b"\n", true),
    ];
    for (text, flags, subject, want) in cases {
        assert_eq!(matches(text, flags, subject), *want, "{text}");
    }
}

#[test]
fn what_looks_around_or_back_is_understood() {
    let cases: &[(&str, &str, bool)] = &[
        ("a(?=b)", "ab", true),
        ("a(?=b)c", "abc", false),
        ("a(?!b)", "ab", false),
        ("a(?!b)", "abac", true),
        ("(?<!a)b", "ab", false),
        ("(?<!a)b", "b", true),
        ("(?<=ab|c)d", "abd", true),
        ("(?<=ab|c)d", "cd", true),
        ("(?<=ab|c)d", "bd", false),
        ("^(?!.*x)a", "aax", false),
        ("^(?=.*x)a", "aax", true),
        (r"\b(?:(?!no)\w)+\b", "knot", false),
        (r"(a+)-\1$", "aa-aa", true),
        (r"^(a+)-\1$", "aa-a", false),
        (r"(\w)\1", "hello", true),
        (r"(?i)(a)\1", "aA", true),
        (r"(?<x>a)\k<x>", "aa", true),
        (r"(?P<x>a)(?P=x)", "aa", true),
        (r"(a)(b)\g{-1}", "abb", true),
        ("a++a", "aaa", false),
        ("a*+b", "aab", true),
        ("(?>a|ab)c", "abc", false),
        ("(?:a|ab)++c", "abc", false),
        ("(?>a*)ab", "aab", false),
        (r"(?:(x)|y)*\1z", "xyxz", true),
        (r"(?=(a+))\1b", "aab", true),
        // Perl takes a place in a group for an item, however often it is wanted.
        ("a(?:$)+", "ba", true),
        ("a(?:$)+", "ab", false),
        ("a(?:$)*b", "ab", true),
        (r"(?:\b){2,3}a", "ba", false),
        ("a$?b", "ab", true),
        ("(?:^)+?a", "ba", false),
    ];
    for (text, subject, want) in cases {
        assert_eq!(matches(text, "", subject.as_bytes()), *want, "{text} on {subject}");
    }
}

#[test]
fn matches_follow_one_another() {
    assert_eq!(all("a|ab", "abab"), [(0, 1), (2, 3)]);
    assert_eq!(all("ab|a", "abab"), [(0, 2), (2, 4)]);
    assert_eq!(all("a+?", "aa"), [(0, 1), (1, 2)]);
    assert_eq!(all("(?:ab?)+", "aabxab"), [(0, 3), (4, 6)]);
    assert_eq!(all(".*x", "ax\nbx\nc"), [(0, 2), (3, 5)]);
    assert_eq!(all("^a", "aa"), [(0, 1)]);
    assert_eq!(all("x*", "ax"), [(0, 0), (1, 2), (2, 2)]);
}

#[test]
fn broken_patterns_are_wrong() {
    for text in [
        "(a",
        "a)",
        "[a",
        "*a",
        r"a\",
        "(?y)",
        "[z-a]",
        "a**",
        r"\1",
        "[[:x:]]",
        "a{3,2}",
        "(?<=a+)b",
        r"\b+a",
        "^*a",
        "(?:$)+*",
        r"\x{110000}",
        r"[a\x{110000}]",
        r"\N{U+110000}",
        r"\o{4200000}",
    ] {
        let got = Pattern::compile(text.as_bytes(), "");
        assert!(matches!(got, Err(Refusal::Wrong(_))), "{text}: {got:?}");
    }
    for text in [r"\p{L}", "(?|a)", "(?R)", r"\Ga", "((((a){999}){999}){999}){999}"] {
        let got = Pattern::compile(text.as_bytes(), "");
        assert!(matches!(got, Err(Refusal::NotBuilt(_))), "{text}: {got:?}");
    }
}

/// Patterns on which a matcher that only goes back and tries again needs a lifetime.
#[test]
fn no_pattern_runs_away() {
    let many = "a".repeat(20_000);
    for text in
        ["(?:a*)*b", "(?:a|a)*b", "(?:a|aa)+$x", "(?:a?){30}a{30}b", "(?:.*,)*y", "(?:a+a+)+b"]
    {
        let pattern = pattern(text, "");
        let mut machine = Machine::new(STEPS);
        assert_eq!(pattern.find(many.as_bytes(), 0, &mut machine), None, "{text}");
    }
    // With what was caught before, ways that meet are not alike: the limit ends it.
    let pattern = pattern(r"(a*)*\1b", "");
    let mut machine = Machine::new(STEPS);
    assert_eq!(pattern.find(many.as_bytes(), 0, &mut machine), None);
    assert_eq!(machine.left, 0);
}

fn program_of(text: &str) -> Program {
    compile::compile(&perl::parse(text.as_bytes(), "").unwrap()).unwrap().0
}

#[test]
fn a_run_keeps_what_cannot_follow_it() {
    use super::tree::Greed;
    let greeds =
        |text: &str| -> Vec<Greed> { program_of(text).runs.iter().map(|run| run.greed).collect() };
    assert_eq!(greeds("a+b"), [Greed::Possessive]);
    assert_eq!(greeds("a+?b"), [Greed::Possessive]);
    assert_eq!(greeds("a+ab"), [Greed::Most]);
    assert_eq!(greeds("a+"), [Greed::Most]);
}

/// Patterns of links: what begins like all others is passed by for what tells more.
fn link_patterns() -> impl Strategy<Value = String> {
    let part = |texts: &'static [&'static str]| proptest::sample::select(texts);
    let begin =
        part(&["^https?://", "https?://", "://", r"^https?://(?:\w+\.)*", "^https?://[^/]+", ""]);
    let middle =
        part(&["exq", r"(?:ab|cd|ef)\.", r"[a-d]{1,3}\.", r"\w+", "q{0,2}zx", ".{0,40}zx"]);
    let end = part(&["/x", r"\.com", "$", "", r"\b[a-d]{2}z"]);
    (begin, middle, end).prop_map(|(begin, middle, end)| format!("{begin}{middle}{end}"))
}

/// What `regex` says, which knows nothing of looks and groups.
fn referee(text: &str, subject: &[u8]) -> Option<Vec<(usize, usize)>> {
    let regex = regex::bytes::RegexBuilder::new(text).unicode(false).build().ok()?;
    Some(regex.find_iter(subject).map(|found| (found.start(), found.end())).collect())
}

/// Whether something is repeated from outside that would rather take nothing: in Perl a round that takes nothing is the
/// last one, for `regex` it is not: `(?:[^a]|a{0,2}?)*` takes one octet of `\na` in Perl, and two for `regex`, as does
/// `(?:\b|[^a])*` of `\nb`.
fn has_empty_rounds(text: &str) -> bool {
    let counted =
        |place: usize| matches!(text.as_bytes().get(place), Some(b'*' | b'+' | b'?' | b'{'));
    let mut open = Vec::new();
    // What there is so far: something lazy, borders, choices.
    let (mut lazy, mut borders, mut choices) = (0, 0, 0);
    for (place, octet) in text.bytes().enumerate() {
        match octet {
            b'(' => open.push((lazy, borders, choices)),
            b')' => {
                let before = open.pop().unwrap_or_default();
                let choice = borders > before.1 && choices > before.2;
                if (lazy > before.0 || choice) && counted(place + 1) {
                    return true;
                }
            }
            b'*' | b'+' | b'?' | b'}' if text.as_bytes().get(place + 1) == Some(&b'?') => lazy += 1,
            b'\\' => borders += 1,
            b'^' if text.as_bytes().get(place.wrapping_sub(1)) != Some(&b'[') => borders += 1,
            b'|' => choices += 1,
            _ => {}
        }
    }
    false
}

fn patterns() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[abc]",
        Just("[ab]".to_owned()),
        Just("[^a]".to_owned()),
        Just(".".to_owned()),
        Just(r"\b".to_owned()),
        Just("(?:^)".to_owned()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|pieces| pieces.concat()),
            proptest::collection::vec(inner.clone(), 1..4)
                .prop_map(|pieces| format!("(?:{})", pieces.join("|"))),
            (
                inner,
                prop_oneof![
                    "[*+?]",
                    Just("{2}".to_owned()),
                    Just("{1,3}".to_owned()),
                    Just("{0,2}".to_owned())
                ],
                "[?]?"
            )
                .prop_map(|(piece, count, lazy)| format!("(?:{piece}){count}{lazy}")),
        ]
    })
}

/// Patterns of octets that are rare in text, so that nearly all have a window, with borders of words and lines.
fn rare_patterns() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[abQZ%]",
        Just("Q".to_owned()),
        Just("[QZ]".to_owned()),
        Just("[%.]".to_owned()),
        Just("[a-z]+".to_owned()),
        Just(r"\s".to_owned()),
        Just(r"\b".to_owned()),
        Just(r"\B".to_owned()),
        Just("^".to_owned()),
        Just("(?m:^)".to_owned()),
        Just("$".to_owned()),
        Just("(?!a)".to_owned()),
        Just("(?<=Q)".to_owned()),
    ];
    let row = proptest::collection::vec(leaf, 1..4).prop_map(|pieces| pieces.concat());
    let piece = prop_oneof![
        row.clone(),
        proptest::collection::vec(row.clone(), 1..4)
            .prop_map(|rows| format!("(?:{})", rows.join("|"))),
        (row, prop_oneof!["[*+?]", Just("{2}".to_owned()), Just("{0,3}".to_owned())])
            .prop_map(|(row, count)| format!("(?:{row}){count}")),
    ];
    proptest::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat())
}

/// A gate that knows a text runs the program only where a match may begin.
#[test]
fn a_gate_saves_steps() {
    let pattern =
        pattern(r"(?:your\s)?(?:full\s|legal\s){0,3}(?:name|address|phone)[:,](?!x)", "i");
    let text = b"your full legal naming, Your phones full address. ".repeat(50);
    let steps = || {
        let mut machine = Machine::new(STEPS);
        assert_eq!(pattern.find(&text, 0, &mut machine), None);
        STEPS - machine.left
    };
    let without = steps();
    pattern.make_gate();
    // Each search learns what a place shows.
    for _ in 0..20 {
        steps();
    }
    assert!(steps() * 2 < without, "{} of {without}", steps());
}

/// Places that lie before a window of which only the least and most distance are known.
#[test]
fn a_start_is_looked_for_where_it_can_be() {
    let far = [r"\b[ab]{1,90}Z%Q", "x*Z%Q", "(?m)^[ab ]+Z%Q", "c{2}.{0,80}Z%Q"];
    let near = [r"\b[ab]{1,9}Z%Q", "x{0,3}Z%Q", "c{2}.{0,8}Z%Q", "Z%Qd"];
    let patterns: Vec<Pattern> =
        near.into_iter().chain(far).map(|text| pattern(text, "")).collect();
    let text = "aab babbaZ%Q xxxxZ%Q Z%Qd cc1234Z%Q ccc123456789Z%Q";
    let mut segments = Segments::default();
    segments.push(text.as_bytes());
    segments.push(b"aZ%Q");
    let mut rules = TextRules::new(Target::Body, "body".to_owned());
    let slots = rules.sift(&patterns.iter().collect::<Vec<_>>(), patterns.len());
    let candidates = rules.candidates(&segments, &mut Passes::default());
    let most = [Some(8), Some(3), Some(8), Some(0), Some(89), None, None, Some(80)];
    for ((pattern, slot), most) in patterns.iter().zip(slots).zip(most) {
        let distance = pattern.distance().unwrap();
        assert_eq!(distance.max.map(|max| max - distance.min), most);
        let matches = |places| {
            let mut lengths = Vec::new();
            let hunt = Hunt { pattern, text: &segments, unset: None, places, skip: 0 };
            hunt.count(9, false, &mut Machine::new(STEPS), |piece, _| lengths.push(piece.len()));
            (lengths, hunt.first(&mut Machine::new(STEPS)))
        };
        let places = slot.and_then(|slot| candidates.get(slot));
        let found = matches(places);
        assert!(places.is_some() && !found.0.is_empty());
        assert_eq!(found, matches(None));
    }
}

fn is_found_as_everywhere(
    usual: Usual,
    words: &[String],
    pieces: &[String],
) -> Result<(), TestCaseError> {
    let patterns: Vec<Pattern> =
        words.iter().filter_map(|text| made_for(usual, text, "").ok()).collect();
    let mut text = Segments::default();
    pieces.iter().for_each(|piece| text.push(piece.as_bytes()));
    let mut rules = TextRules::new(Target::Body, "body".to_owned());
    let slots = rules.sift(&patterns.iter().collect::<Vec<_>>(), patterns.len());
    let candidates = rules.candidates(&text, &mut Passes::default());
    for ((pattern, slot), word) in patterns.iter().zip(slots).zip(words) {
        let places = slot.and_then(|slot| candidates.get(slot));
        let hunt = |places| Hunt { pattern, text: &text, unset: None, places, skip: 0 };
        let want = hunt(None).first(&mut Machine::new(STEPS));
        let found = hunt(places).first(&mut Machine::new(STEPS));
        prop_assert_eq!(&found, &want, "{} in {:?}", word, pieces);
        // What a gate has learned lets every match through.
        pattern.make_gate();
        for _ in 0..4 {
            for places in [places, None] {
                let found = hunt(places).first(&mut Machine::new(STEPS));
                prop_assert_eq!(&found, &want, "{} in {:?}", word, pieces);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_pattern_finds_what_another_engine_finds(text in patterns(), subject in "[abc\n]{0,24}") {
        let Some(want) = referee(&text, subject.as_bytes()) else { return Ok(()) };
        prop_assume!(!has_empty_rounds(&text));
        // After an empty match both go on one octet later, but the other engine skips one that touches the last.
        let want: Vec<_> = want.into_iter().filter(|(start, end)| start < end).collect();
        let Ok(pattern) = made(&text, "") else { return Ok(()) };
        let mut machine = Machine::new(STEPS);
        let first = pattern.find(subject.as_bytes(), 0, &mut machine);
        pattern.make_gate();
        for _ in 0..4 {
            prop_assert_eq!(&pattern.find(subject.as_bytes(), 0, &mut machine), &first, "{}", text);
        }
        let first = first.filter(|range| !range.is_empty()).map(|range| (range.start, range.end));
        if let Some(first) = first {
            prop_assert_eq!(want.first(), Some(&first), "{}", text);
        } else if pattern.find(subject.as_bytes(), 0, &mut machine).is_none() {
            prop_assert!(want.is_empty(), "{}: {:?}", text, want);
        }
    }

    /// Where the sieve says that a pattern may match, it finds the same as everywhere.
    #[test]
    fn what_the_sieve_passes_by_holds_no_match(
        words in proptest::collection::vec(rare_patterns(), 4..8),
        pieces in proptest::collection::vec("[abQZ% .\n]{0,24}", 1..5),
    ) {
        is_found_as_everywhere(Usual::Words, &words, &pieces)?;
    }

    #[test]
    fn what_the_sieve_passes_by_among_links_holds_no_match(
        words in proptest::collection::vec(link_patterns(), 4..6),
        pieces in proptest::collection::vec("(https?://)?[abcdefqzx./]{0,16}(zx|\\.com)?(/x)?", 1..9),
    ) {
        is_found_as_everywhere(Usual::Links, &words, &pieces)?;
    }

    /// With and without noticing that ways meet, and with the sieve, the answer is the same.
    #[test]
    fn the_sieve_loses_no_match(words in proptest::collection::vec(patterns(), 4..8), subject in "[abc\n]{0,40}") {
        let patterns: Vec<Pattern> =
            words.iter().filter_map(|text| made(text, "").ok()).collect();
        let mut text = Segments::default();
        text.push(subject.as_bytes());
        let mut rules = TextRules::new(Target::Body, "body".to_owned());
        let slots = rules.sift(&patterns.iter().collect::<Vec<_>>(), patterns.len());
        let candidates = rules.candidates(&text, &mut Passes::default());
        for (pattern, slot) in patterns.iter().zip(slots) {
            let Some(slot) = slot else { continue };
            let found = pattern.find(subject.as_bytes(), 0, &mut Machine::new(STEPS));
            prop_assert!(found.is_none() || !candidates.get(slot).unwrap().is_empty());
        }
    }

    #[test]
    fn no_octets_make_it_fail(
        text in proptest::collection::vec(any::<u8>(), 0..60),
        flags in "[imsx]{0,2}",
        subject in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        if let Ok(pattern) = Pattern::compile(&text, &flags) {
            let _ = pattern.find(&subject, 0, &mut Machine::new(20_000));
        }
    }

    #[test]
    fn what_looks_like_a_pattern_is_read_or_refused(text in r"[ab()|*+?{}\[\]^$.\\1<=!>:0-9-]{0,30}") {
        if let Ok(pattern) = Pattern::compile(text.as_bytes(), "") {
            let _ = pattern.find(b"abab1", 0, &mut Machine::new(20_000));
        }
    }

    #[test]
    fn quoted_text_matches_itself(text in "[ -~]{1,30}") {
        prop_assume!(!text.contains("\\E"));
        let pattern = format!("^\\Q{text}\\E$");
        prop_assert!(matches(&pattern, "", text.as_bytes()), "{}", pattern);
    }
}
