use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::bayes::{Owner, Token, Tokens};
use super::*;
use crate::filters::{Known, Severity, Weight};
use crate::mail::{Envelope, HeaderField, Link, Message, Part, PartKind};

mod compare;
mod language;
mod possible;

/// A message of one text part, made by hand: the decoder is not what is tried here.
fn message(header: &str, body: &str, links: &[&str]) -> Message {
    let header = header.replace('\n', "\r\n");
    let raw = Bytes::from(format!("{header}\r\n{body}"));
    let mut headers = Vec::new();
    let mut at = 0;
    for line in header.split_inclusive("\r\n") {
        let colon = line.find(':').unwrap();
        let end = at + line.len();
        headers.push(HeaderField {
            field: at..end,
            name: at..at + colon,
            value: at + colon + 1..end - 2,
        });
        at = end;
    }
    let part = Part {
        path: "1".into(),
        parent: None,
        depth: 0,
        kind: PartKind::Leaf,
        header_octets: raw.slice(..at),
        headers: headers.clone(),
        declared_type: "text/plain".into(),
        charset: None,
        disposition: None,
        names: vec![],
        data: Bytes::from(body.to_owned()),
        text: Some(body.to_owned()),
        wide: false,
        types: vec![],
        flags: vec![],
        sha256: [0; 32],
    };
    let link = |url: &&str| Link { url: (*url).to_owned(), part: "1".into(), text: None };
    Message {
        share: None,
        body_start: at + 2,
        raw,
        headers,
        parts: vec![part],
        links: links.iter().map(link).collect(),
        defects: vec![],
        lone_cr: vec![],
    }
}

fn load(rules: &str) -> (Engine, Vec<Mistake>) {
    Engine::load(&[RuleFile::built_in("t/x.cf", rules.as_bytes())], &BTreeMap::new())
}

fn run(engine: &Engine, message: &Message) -> Outcome {
    let mut envelope = Envelope::default();
    envelope.sender.address = "bounce@example.net".into();
    engine.inspect(
        &Mail {
            envelope: &envelope,
            message,
            internal: false,
            received: jiff::Timestamp::UNIX_EPOCH,
            known: Known::NOTHING,
        },
        None,
    )
}

fn names(outcome: &Outcome) -> Vec<&str> {
    outcome.hits.iter().map(|hit| &*hit.name).collect()
}

#[track_caller]
fn check(rules: &str, message: &Message, want: &[&str]) {
    let (engine, mistakes) = load(rules);
    assert_eq!(mistakes, []);
    assert_eq!(names(&run(&engine, message)), want);
}

fn shipped_engine() -> Engine {
    let (engine, mistakes) = Engine::load(&shipped(), &BTreeMap::new());
    assert_eq!(mistakes, []);
    engine
}

#[test]
fn every_kind_of_rule_looks_at_its_text() {
    let mail = message(
        "Subject: =?utf-8?Q?Hello?= there\nFrom: \"Ann\" <ann@example.org>\nTo: b@x\nCc: c@y\n",
        "First\r\nline\r\n\r\nSecond <b>line</b> http://example.com/a\r\n",
        &[],
    );
    check("header A Subject =~ /^Hello there$/", &mail, &["A"]);
    check("header A Subject:raw =~ /=\\?utf-8/", &mail, &["A"]);
    check("header A From:addr =~ /^ann\\@example\\.org$/", &mail, &["A"]);
    check("header A From:name =~ /^Ann$/", &mail, &["A"]);
    check("header A X-None !~ /x/", &mail, &["A"]);
    check("header A X-None =~ /x/", &mail, &[]);
    check("header A X-None =~ /^none$/ [if-unset: none]", &mail, &["A"]);
    check("header A exists:Cc", &mail, &["A"]);
    check("header A exists:Bcc", &mail, &[]);
    check("header A ToCc =~ /c\\@y/", &mail, &["A"]);
    check("header A ALL =~ /^Cc: c\\@y$/m", &mail, &["A"]);
    check("header A EnvelopeFrom =~ /bounce/", &mail, &["A"]);
    check("body A /^First line$/", &mail, &["A"]);
    check("body A /line Second/", &mail, &[]);
    check("body A /Hello there/", &mail, &["A"]);
    check("body A /Hello there/\ntflags A nosubject", &mail, &[]);
    check("rawbody A /line\\n\\nSecond <b>/", &mail, &["A"]);
    check("full A /Cc: c\\@y\\n\\nFirst/", &mail, &["A"]);
    check("uri A m{^http://example\\.com/}", &mail, &["A"]);
    check("uri_detail A domain =~ /^example\\.com$/ type =~ /^parsed$/", &mail, &["A"]);
    check("uri_detail A domain =~ /^example\\.com$/ type =~ /^img$/", &mail, &[]);
    check("mimeheader A Subject =~ /Hello/", &mail, &["A"]);
}

#[test]
fn a_thing_five_times_is_there_three_times() {
    let rules = "body A /(?:ab[ ,]){5}/\nbody B /(?:ab[ ,]){3}/\nbody C /(?:ab[ ,]){4}/i";
    for (text, want) in [
        ("ab ab,", &[][..]),
        ("ab ab,ab ab ", &["B", "C"]),
        ("AB AB AB AB ", &["C"]),
        ("x ab ab ab,ab ab x", &["A", "B", "C"]),
        ("ab ab abab ab ", &[]),
    ] {
        check(rules, &message("Subject: s\n", text, &[]), want);
    }
    // One of no points is not asked: nothing follows from its silence.
    let rules = format!("{rules}\nscore B 0");
    check(&rules, &message("Subject: s\n", "ab ab ab ab ab ", &[]), &["A", "C"]);
}

#[test]
fn expressions_count_and_combine() {
    let mail = message("Subject: s\n", "win win win\r\n", &[]);
    let base = "body __WIN /win/\ntflags __WIN multiple maxhits=2\nbody __NO /lose/\n";
    for (meta, want) in [
        ("__WIN", true),
        ("__WIN == 2", true),
        ("__WIN > 2", false),
        ("__WIN && !__NO", true),
        ("__NO || (__WIN + __NO >= 2)", true),
        ("__LATER && __WIN", true),
    ] {
        let rules = format!("{base}meta M {meta}\nmeta __LATER __WIN > 1\n");
        check(&rules, &mail, if want { &["M"] } else { &[] });
    }
}

#[test]
fn points_come_from_the_file_the_default_or_the_site() {
    let rules = "body A /a/\nbody B /a/\ntflags B nice\nbody T_C /a/\nbody D /a/\nscore D 2.5 1 1 1\n\
        score D (0.5)\nbody E /a/\nscore E 0\nbody F /a/\nmeta G E || F\n";
    let points = BTreeMap::from([("F".to_owned(), Score(7_000)), ("NONE".to_owned(), Score(1))]);
    let (engine, mistakes) = Engine::load(&[RuleFile::built_in("x", rules.as_bytes())], &points);
    assert_eq!(mistakes.len(), 1);
    let outcome = run(&engine, &message("Subject: a\n", "", &[]));
    let points: Vec<(&str, i32)> =
        outcome.hits.iter().map(|hit| (&*hit.name, hit.score.0)).collect();
    let want = [("A", 1_000), ("B", -1_000), ("T_C", 10), ("D", 3_000), ("F", 7_000), ("G", 1_000)];
    assert_eq!(points, want);
    assert_eq!(outcome.score, Score(11_010));
    assert_eq!((outcome.positive, outcome.negative), (Score(12_010), Score(-1_000)));
}

#[test]
fn a_later_folder_replaces_a_rule_whole_and_the_same_folder_adds_to_it() {
    let files = [
        RuleFile::built_in("stock/1.cf", b"score A 4\nbody A /a/\ndescribe A stock\n"),
        RuleFile::built_in("stock/2.cf", b"score A 5\nbody B /a/\nscore B 2\n"),
        RuleFile::built_in("site/1.cf", b"body A /b/\nscore B 3\n"),
    ];
    let (engine, mistakes) = Engine::load(&files, &BTreeMap::new());
    assert_eq!(mistakes, []);
    let rule = engine.describe("A").unwrap();
    assert_eq!((rule.score, rule.describe), (Score(1_000), ""));
    assert_eq!(rule.source.to_string(), "site/1.cf:1");
    assert_eq!(engine.describe("B").unwrap().score, Score(3_000));
    let (engine, _) = Engine::load(&files[..2], &BTreeMap::new());
    assert_eq!(engine.describe("A").unwrap().score, Score(5_000));
}

#[test]
fn mistakes_name_their_place() {
    for (rules, want) in [
        ("body A (/", "t/x.cf:1:8: error: A: a pattern like /…/i is missing"),
        ("\nbody A /(/", "t/x.cf:2:8: error: A: a group is not closed"),
        (
            "body 9A /a/",
            "t/x.cf:1:6: error: `9A` is no name for a rule; use letters, digits and `_`",
        ),
        ("score A 1 2", "t/x.cf:1:9: error: A: a score has one value or four, not 2"),
        ("meta A B &&", "t/x.cf:1:8: error: A: it ends too soon"),
        ("meta A A", "t/x.cf:1: error: A depends on itself"),
        (
            "body A /a\\p{L}/",
            "t/x.cf:1:8: warning: A needs Unicode properties; not built yet, so it never hits",
        ),
        (
            "required_score 5",
            "t/x.cf:1: warning: `required_score` is not used here; set `spam` in `[policy.NAME]`",
        ),
        ("frobnicate 5", "t/x.cf:1: warning: `frobnicate` is not used here"),
        (
            "header A eval:check_x()",
            "t/x.cf:1: warning: `eval:check_x` is not built yet; these rules never hit: A",
        ),
        (
            "header A Received:sideways =~ /a/",
            "t/x.cf:1: warning: needs the header modifier `:sideways`; these rules never hit: A",
        ),
        (
            "test A maybe x",
            "t/x.cf:1:8: error: A: a test says `ok` or `fail`, not `maybe`; write: test NAME ok TEXT",
        ),
    ] {
        let (_, mistakes) = load(rules);
        let got: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(got, [want], "{rules}");
    }
}

#[test]
fn rules_that_cannot_be_asked_count_as_nothing_in_expressions() {
    let (engine, mistakes) = load("body A /a\\p{L}/\nheader B eval:check_b()\nmeta C !A && !B\n");
    assert!(mistakes.iter().all(|mistake| mistake.severity == Severity::Warning));
    assert_eq!(names(&run(&engine, &message("Subject: a\n", "a", &[]))), ["C"]);
    assert_eq!(engine.describe("A").unwrap().unavailable, Some("needs Unicode properties"));
}

#[test]
fn senders_on_the_lists_of_rule_files_are_found() {
    let mut files = shipped();
    files.push(RuleFile::built_in(
        "local.cf",
        b"whitelist_from *@*.Example.org\nblocklist_from a@x b@x\n",
    ));
    let (engine, mistakes) = Engine::load(&files, &BTreeMap::new());
    assert_eq!(mistakes, []);
    let sum = |from: &str| run(&engine, &message(from, "text", &[])).score;
    assert!(sum("From: <ann@mail.example.ORG>\n") < Score(-90_000));
    assert!(sum("From: B@x\n") > Score(90_000));
    assert!(sum("From: B@y\n") < Score(90_000));
    assert!(sum("From: B@x\nResent-From: c@y\n") < Score(90_000));
}

#[test]
fn the_test_text_is_spam() {
    let text = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
    let outcome = run(&shipped_engine(), &message("Subject: test\n", text, &[]));
    assert_eq!(names(&outcome).first(), Some(&"GTUBE"));
    assert!(outcome.score >= Score(1_000_000));
}

#[test]
fn the_shipped_rules_prove_themselves() {
    let engine = shipped_engine();
    assert_eq!(engine.run_examples(), []);
    for rule in engine.rules.iter().filter(|rule| !rule.name.starts_with("__")) {
        assert!(!rule.describe.is_empty(), "{} has no description", rule.name);
        let function = matches!(rule.check, rules::Check::Function(_) | rules::Check::Off(_));
        let says = |hits| rule.examples.iter().any(|example| example.hits == hits);
        assert!(function || (says(true) && says(false)), "{} has no examples", rule.name);
    }
}

#[test]
fn the_shipped_files_are_those_of_the_folder() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/filters/spam");
    let mut there: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| format!("filters/spam/{}", entry.unwrap().file_name().to_string_lossy()))
        .filter(|name| name.ends_with(".cf"))
        .collect();
    there.sort();
    let built_in: Vec<String> = shipped().iter().map(|file| file.name.to_string()).collect();
    assert_eq!(built_in, there);
}

#[test]
fn examples_that_fail_are_told() {
    let (engine, _) = load(
        "body A /a/\ntest A ok b\ntest A fail a\ntest A ok a\nmeta M A && B\ntest M ok A B\ntest M fail A\n",
    );
    let lines: Vec<u32> = engine.run_examples().iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines, [2, 3]);
}

#[test]
fn what_was_not_asked_in_time_is_told() {
    let engine = shipped_engine();
    let mail = message("Subject: a\n", "a", &[]);
    let envelope = Envelope::default();
    let mail = Mail::alone(&envelope, &mail);
    let late = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
    let outcome = engine.inspect(&mail, Some(late));
    assert_eq!(outcome.hits, []);
    assert_eq!(outcome.not_run.len(), 11);
    assert!(outcome.not_run.iter().all(|check| check.weight == Weight::Required));
}

#[test]
fn a_rule_that_takes_more_than_its_share_is_told_and_the_others_are_asked() {
    let endless = |name: &str| format!("rawbody {name} /^(a+)+\\1b\\1c/\n");
    let mail = message("Subject: s\n", &format!("{} win\r\n", "a".repeat(60)), &[]);
    let (engine, mistakes) = load(&format!("{}body B /win/\n", endless("A")));
    assert_eq!(mistakes, []);
    let outcome = run(&engine, &mail);
    assert_eq!(names(&outcome), ["B"]);
    let [missing] = outcome.not_run.as_slice() else { panic!("{:?}", outcome.not_run) };
    assert_eq!(missing.check, "spam:A");
    assert_eq!(missing.why, "it took more than its share of time");
    // The mail is judged by what the others say: nobody may keep his mail waiting by such a text.
    assert_eq!(missing.weight, Weight::Wanted);
    // Many of them share the time of the mail, and ten are named.
    let many: String = (0..30).map(|number| endless(&format!("A{number}"))).collect();
    let (engine, _) = load(&format!("{many}body B /win/\n"));
    let outcome = run(&engine, &mail);
    assert_eq!(names(&outcome), ["B"]);
    assert_eq!(outcome.not_run.len(), 11);
    assert_eq!(outcome.not_run.last().unwrap().check, "spam: 20 more rules");
    assert!(outcome.not_run.iter().all(|check| check.weight == Weight::Wanted));
}

/// A store of so many mails, in which no word was ever seen; or one that gives no answer.
#[derive(Debug)]
struct Store(Result<bayes::Totals, String>);

impl Tokens for Store {
    fn totals(&self, _: Owner<'_>) -> Result<bayes::Totals, String> {
        self.0.clone()
    }

    fn look_up(&self, _: Owner<'_>, tokens: &[Token]) -> Result<Vec<bayes::Counts>, String> {
        Ok(vec![bayes::Counts::default(); tokens.len()])
    }

    fn touch(&self, _: Owner<'_>, _: &[Token]) {}

    fn learn(
        &self,
        _: Owner<'_>,
        _: &str,
        _: bayes::Class,
        _: &[Token],
    ) -> Result<bayes::Learnt, String> {
        Err("this store cannot be written".into())
    }

    fn forget(&self, _: Owner<'_>, _: &str, _: &[Token]) -> Result<bool, String> {
        Err("this store cannot be written".into())
    }
}

#[test]
fn points_for_learned_mail_count_once_enough_was_learned() {
    let rules = "body A /win/\nscore A 1 2 4 8\nbayes_min_spam_num 10\nbayes_min_ham_num 20\n\
        body BAYES_50 eval:check_bayes('0.4', '0.6')\ntflags BAYES_50 learn\n";
    let file = RuleFile::built_in("t/x.cf", rules.as_bytes());
    let message = message("Subject: s\n", "win\r\n", &[]);
    let envelope = Envelope::default();
    let points = |options: Options, totals: Result<(u32, u32), &str>| {
        let (engine, mistakes) =
            Engine::load_for(std::slice::from_ref(&file), &BTreeMap::new(), options);
        assert_eq!(mistakes, []);
        let totals = totals.map(|(spam, ham)| bayes::Totals { spam, ham }).map_err(str::to_owned);
        let learned = crate::filters::Learned { tokens: Arc::new(Store(totals)), user: None };
        let mail = Mail {
            known: &Known { learned: Some(learned), ..Known::default() },
            ..Mail::alone(&envelope, &message)
        };
        let outcome = engine.inspect(&mail, None);
        let not_run: Vec<String> = outcome.not_run.into_iter().map(|one| one.check).collect();
        (outcome.score.0, not_run)
    };
    let learned = |network| Options { network, learned: true, captures: false };
    for (options, totals, want) in [
        (learned(false), Ok((10, 20)), 4_000),
        (learned(true), Ok((10, 20)), 8_000),
        // Of one kind too little.
        (learned(false), Ok((9, 1_000)), 1_000),
        (learned(true), Ok((1_000, 19)), 2_000),
        (learned(false), Ok((0, 0)), 1_000),
        // Learned mail is not asked.
        (Options { network: true, learned: false, captures: false }, Ok((1_000, 1_000)), 2_000),
        (Options::default(), Ok((1_000, 1_000)), 1_000),
    ] {
        assert_eq!(points(options, totals), (want, vec![]), "{options:?} {totals:?}");
    }
    // A store that gives no answer is as if nothing was learned, and that is told.
    assert_eq!(points(learned(false), Err("locked")), (1_000, vec!["spam:bayes".to_owned()]));
}

#[test]
fn evidence_is_one_short_line() {
    let (engine, _) = load("full A /x.*z/s\n");
    let body = format!("x\r\n\u{7}{}z", "y".repeat(500));
    let outcome = run(&engine, &message("Subject: a\n", &body, &[]));
    let evidence = &outcome.hits[0].evidence;
    assert!(evidence.starts_with("x  yyy") && evidence.chars().count() <= 200, "{evidence}");
}

#[test]
fn a_long_part_does_not_hide_the_next_one() {
    let header = "Subject: a\nContent-Type: multipart/mixed; boundary=b\n";
    let long = "long words\r\n\r\n".repeat(100_000);
    let body = format!("--b\r\n\r\n{long}\r\n--b\r\n\r\nneedle\r\n--b--\r\n");
    let mail = message(header, &body, &[]);
    check("body A /^needle$/", &mail, &["A"]);
    check("rawbody A /^needle$/", &mail, &["A"]);
}

#[test]
fn a_site_may_give_points_before_it_defines_the_rule_anew() {
    let files = [
        RuleFile::built_in("stock/1.cf", b"body A /a/\nscore A 4\ndescribe A stock\n"),
        RuleFile::built_in("site/1.cf", b"score A 2\nbody A /b/\n"),
    ];
    let (engine, _) = Engine::load(&files, &BTreeMap::new());
    let rule = engine.describe("A").unwrap();
    assert_eq!((rule.score, rule.describe), (Score(2_000), ""));
}

#[test]
fn threads_share_an_engine() {
    fn shared<T: Send + Sync>() {}
    shared::<Engine>();
}

#[test]
fn forms_that_stock_rules_use_are_read() {
    let (engine, mistakes) = load(
        "header __A Received=~/x/ # note\nuri __B m;^https?://;i\nbody __C m'it\\'s'\n\
         header __D X-Y =~ m{^a{2}$}i [if-unset: b]\nmimeheader __E Content-Type:raw =~ /x/\n\
         if can(Mail::SpamAssassin::Conf::feature_x) && version >= 3.004\nbody __F /f/\nendif\n\
         meta G ((__A + __B + __C) > 1) && !__D\nlang de describe G egal\nscore G 0.1 0.2 0.3 0.4\n\
         tflags __A multiple maxhits=3\npriority G -100\nbody __H /\\bfoo\\#bar\\b/\n",
    );
    assert_eq!(mistakes, []);
    assert_eq!(engine.rule_count(), 7);
}

/// Words from which rule files are made; some fit together, most do not.
const WORDS: [&str; 24] = [
    "header",
    "body",
    "meta",
    "A",
    "B",
    "__C",
    "/a/i",
    "/(/",
    "=~",
    "Subject",
    "score",
    "1",
    "-2.5",
    "\n",
    "\n",
    "if",
    "(version > 3)",
    "else",
    "endif",
    "test",
    "ok",
    "&&",
    "include",
    "[if-unset: x]",
];

proptest! {
    #[test]
    fn any_octets_can_be_loaded(text in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Engine::load(&[RuleFile { name: "x".into(), text: text.into() }], &BTreeMap::new());
    }

    #[test]
    fn any_words_can_be_loaded_and_run(words in proptest::collection::vec(0..WORDS.len(), 0..60)) {
        let text: Vec<&str> = words.iter().map(|word| WORDS[*word]).collect();
        let (engine, _) = load(&text.join(" "));
        let _ = run(&engine, &message("Subject: a\n", "a", &[]));
        let _ = engine.run_examples();
    }

    /// Whether a body rule hits must not depend on what stands in other paragraphs, in the header, or in links: the
    /// prefilter must never lose a match.
    #[test]
    fn a_hit_does_not_depend_on_other_texts(
        junk in "[a-z<>=?%:/\u{e9} ]{0,60}", more in "[ -~]{0,60}", subject in "[ -~]{0,30}"
    ) {
        let rules = "body A /needle/\nbody B /n[e3]{2}dle/i\nbody C /hay(?:stack|loft)/\nbody D /\\bneed/\n\
            body E /nomatch/\n";
        let (engine, _) = load(rules);
        let body = format!("{junk}\r\n\r\nneedle haystack\r\n\r\n{more}");
        let outcome = run(&engine, &message(&format!("Subject: {subject}\n"), &body, &[&junk]));
        let mut hits = names(&outcome);
        hits.retain(|name| *name != "E");
        prop_assert_eq!(hits, ["A", "B", "C", "D"]);
    }
}
