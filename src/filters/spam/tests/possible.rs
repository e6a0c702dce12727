//! What is told before any rule is asked: which can hit at all.

use super::*;
use crate::filters::spam::run::{every_hit, every_hit_of_all};

fn both(rules: &str, message: &Message) -> [Vec<(String, f64)>; 2] {
    let (engine, _) = load(rules);
    let envelope = Envelope::default();
    let mail = Mail {
        message,
        envelope: &envelope,
        internal: false,
        received: jiff::Timestamp::UNIX_EPOCH,
        known: Known::NOTHING,
    };
    let text = |hits: Vec<(Arc<str>, f64)>| {
        hits.into_iter().map(|(name, count)| (name.to_string(), count)).collect()
    };
    [text(every_hit(&engine, &mail)), text(every_hit_of_all(&engine, &mail))]
}

#[test]
fn what_is_not_there_is_no_hit_unless_the_rule_wants_it_so() {
    let rules = "header A X-No =~ /./\nheader B X-No !~ /a/\nheader C X-No =~ /^$/\n\
        header D X-No =~ /u/ [if-unset: u]\nheader E exists:X-No\nheader F exists:Subject\n\
        header G X-No:addr =~ /@/\nheader H EXISTS =~ /x/\nheader I SUBJECT =~ /^b/\n\
        meta J !A\nmeta K A && B\nmeta L A + 1 < 2\nmeta M L && (B || A)\nmeta N (A || E) && F\n";
    let [possible, all] = both(rules, &message("sUBject: b\n", "text", &[]));
    assert_eq!(possible, all);
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["B", "C", "D", "F", "I", "J", "L", "M"]);
}

proptest! {
    #[test]
    fn only_rules_that_cannot_hit_are_left_out(
        leaves in proptest::collection::vec((0..9_usize, 0..4_usize, "[ab^$.]{1,3}"), 1..24),
        metas in proptest::collection::vec((0..6_usize, 0..40_usize, 0..40_usize, 0..40_usize), 0..16),
        no_points in proptest::collection::vec(0..40_usize, 0..3),
        fields in proptest::collection::vec((0..4_usize, "[ab ]{0,4}"), 0..5),
        body in "[ab\n]{0,12}",
    ) {
        const NAMES: [&str; 4] = ["Subject", "X-One", "x-two", "X-THREE"];
        let named = |place: usize| format!("{}R{place}", if place.is_multiple_of(3) { "__" } else { "" });
        let mut rules = String::new();
        for (place, (kind, name, pattern)) in leaves.iter().enumerate() {
            let (name, rule) = (NAMES[*name], named(place));
            rules += &match kind {
                0 => format!("header {rule} {name} !~ /{pattern}/\n"),
                1 => format!("header {rule} {name} =~ /{pattern}/ [if-unset: a]\n"),
                2 => format!("header {rule} exists:{name}\n"),
                3 => format!("header {rule} {name}:raw =~ /{pattern}/\n"),
                4 => format!("body {rule} /{pattern}/\ntflags {rule} multiple\n"),
                5 => format!("rawbody {rule} /{pattern}/\n"),
                6 => format!("header {rule} eval:check_for_missing_to_header()\n"),
                _ => format!("header {rule} {name} =~ /{pattern}/\n"),
            };
        }
        for (place, (kind, one, two, three)) in metas.iter().enumerate() {
            let (name, one, two, three) = (named(place + leaves.len()), named(*one), named(*two), named(*three));
            rules += &match kind {
                0 => format!("meta {name} {one} && {two} && !{three}\n"),
                1 => format!("meta {name} {one} || ({two} && {three})\n"),
                2 => format!("meta {name} {one} + {two} - {three} > 0\n"),
                3 => format!("meta {name} !{one} && ({two} == {three})\n"),
                4 => format!("meta {name} ({one} + {two} + rules_matching(*R1*)) >= 2\n"),
                _ => format!("meta {name} {one} ? {two} : {three}\n"),
            };
        }
        no_points.iter().for_each(|place| rules += &format!("score {} 0\n", named(*place)));
        let header: String = fields.iter().map(|(name, value)| format!("{}: {value}\n", NAMES[*name])).collect();
        let [possible, all] = both(&rules, &message(&header, &body, &[]));
        prop_assert_eq!(possible, all, "{}", rules);
    }
}

#[test]
fn what_is_no_number_equals_nothing() {
    let squares: String =
        (2..6).map(|place| format!("meta M{place} M{} * M{}\n", place - 1, place - 1)).collect();
    let rules = format!(
        "header A exists:Subject\nmeta M1 A * 99999999999999999999999999999999999999999999999999\n\
         {squares}meta N M5 - M5\nmeta O N > 0\nmeta P N == 1\nmeta Q N && A\n"
    );
    let [possible, all] = both(&rules, &message("Subject: b\n", "text", &[]));
    let names = |hits: &[(String, f64)]| {
        hits.iter().map(|(name, _)| name.clone()).filter(|name| !name.starts_with('M')).collect()
    };
    let want: Vec<String> = ["A", "N", "Q"].map(str::to_owned).into();
    assert_eq!((names(&possible), names(&all)), (want.clone(), want));
}

#[test]
fn rules_on_which_no_points_depend_are_not_sifted_but_counted() {
    let rules = "header A Subject =~ /aqz/\nheader B Subject =~ /bqz/\nheader C Subject =~ /cqz/\n\
        header __D Subject =~ /dqz/\nheader E Subject =~ /eqz/\nscore E 0\n";
    let (engine, _) = load(rules);
    let sifted = engine
        .rules
        .iter()
        .map(|rule| matches!(&rule.check, rules::Check::Pattern(check) if check.slot.is_some()));
    assert_eq!(sifted.collect::<Vec<_>>(), [true, true, true, false, false]);
    let [possible, all] = both(rules, &message("Subject: aqz dqz eqz\n", "text", &[]));
    assert_eq!(possible, all);
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["A", "__D"]);
}
