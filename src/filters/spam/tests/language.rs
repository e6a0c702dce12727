//! The rule language as SpamAssassin's rule files use it.

use super::*;

fn mail(body: &str) -> Message {
    message(
        "Subject: hello\nTo: Ann <ann@example.org>\n",
        body,
        &["http://x.example/?ann@example.org"],
    )
}

fn hits(rules: &str, body: &str) -> Vec<String> {
    let file = RuleFile::built_in("t/x.cf", rules.as_bytes());
    let options = Options { captures: true, ..Options::default() };
    let (engine, _) = Engine::load_for(&[file], &BTreeMap::new(), options);
    names(&run(&engine, &mail(body))).into_iter().map(str::to_owned).collect()
}

fn scores(rules: &str, options: Options) -> Vec<Score> {
    let file = RuleFile::built_in("t/x.cf", rules.as_bytes());
    let (engine, _) = Engine::load_for(&[file], &BTreeMap::new(), options);
    engine.rules.iter().map(|rule| rule.score(options.learned)).collect()
}

#[test]
fn the_way_of_running_chooses_among_four_points() {
    let rules = "body A /a/\nscore A 1 2 3 4\nscore A (0.5)\nbody B /b/\nscore B 7\n";
    for (network, learned, want) in
        [(false, false, 1_500), (true, false, 2_500), (false, true, 3_500), (true, true, 4_500)]
    {
        assert_eq!(
            scores(rules, Options { network, learned, captures: false }),
            [Score(want), Score(7_000)]
        );
    }
    let rules = "header N eval:check_from_in_blacklist()\ntflags N net\n";
    let (engine, mistakes) = load(rules);
    assert_eq!(mistakes, []);
    assert_eq!(engine.describe("N").unwrap().unavailable, Some("the network is not asked"));
}

#[test]
fn points_have_defaults() {
    let rules = "body A /a/\nbody T_B /b/\nbody C /c/\ntflags C nice\nbody __D /d/\n";
    let want = [1_000, 10, -1_000, 1_000].map(Score);
    assert_eq!(scores(rules, Options::default()), want);
}

#[test]
fn a_rule_of_no_points_is_nothing_to_others() {
    assert_eq!(hits("body __A /x/\nscore __A 0\nmeta B !__A\n", "x"), ["B"]);
    // It waits for a value that never comes.
    assert_eq!(hits("meta __A 1\nscore __A 0\nmeta B !__A\nmeta C B || 1\n", "x"), [""; 0]);
}

#[test]
fn the_last_definition_counts_whatever_its_kind() {
    assert_eq!(hits("body A /x/\nmeta A 0\n", "x"), [""; 0]);
    assert_eq!(hits("meta A 0\nbody A /x/\nscore A 2\n", "x"), ["A"]);
}

#[test]
fn hits_are_counted_and_added() {
    let rules = "body __X /x/\ntflags __X multiple maxhits=3\nbody __Y /y/\n\
        meta A __X == 3\nmeta B (__X + __Y) > 3\nmeta C rules_matching(__*) >= 4\nmeta D __X ^ 1\n\
        meta E __NONE\nmeta F ( )\nmeta G -1\n";
    assert_eq!(hits(rules, "x x x x y"), ["A", "B", "C", "D", "G"]);
}

#[test]
fn only_lines_in_our_language_are_read() {
    let (engine, mistakes) =
        load("lang de describe A egal\nlang en describe A yes\nbody A /a/\nlang fr body B /b/\n");
    assert_eq!(mistakes, []);
    assert_eq!((engine.describe("A").unwrap().describe, engine.rule_count()), ("yes", 1));
}

#[test]
fn conditions_are_answered_as_spamassassin_does() {
    for (condition, want) in [
        ("if can(Mail::SpamAssassin::Conf::feature_bug6558_free)", true),
        ("if has(Mail::SpamAssassin::Plugin::URIDetail::has_host_key)", true),
        ("if can(Mail::SpamAssassin::Conf::feature_x)", false),
        ("if !plugin(Mail::SpamAssassin::Plugin::Bayes)", false),
        ("if (version >= 4.000000) && (version < 5)", true),
        ("if local_tests_only", true),
        ("ifplugin Mail::SpamAssassin::Plugin::DKIM", true),
        ("ifplugin Mail::SpamAssassin::Plugin::TextCat", false),
    ] {
        let (engine, _) = load(&format!("{condition}\nbody A /a/\nelse\nbody B /b/\nendif\n"));
        assert_eq!(engine.rule_names().next(), Some(if want { "A" } else { "B" }), "{condition}");
    }
    let (engine, mistakes) = load("body A /a/\nrequire_version 3.004006\nbody B /b/\n");
    assert_eq!(engine.rule_count(), 1);
    assert!(mistakes[0].to_string().starts_with("t/x.cf:2: warning: the rest of this file"));
}

#[test]
fn tags_are_replaced_where_rules_ask_for_it() {
    let rules = "replace_tag V (?:v|\\\\\\/)\nreplace_inter GAP [-.]?\nreplace_rules A\n\
        body A /<inter GAP><V><V>x/\nbody B /<V>x/\n";
    assert_eq!(hits(rules, "v-\\/x"), ["A"]);
    assert_eq!(hits(rules, "<V>x"), ["B"]);
}

#[test]
fn a_pattern_may_hold_what_another_has_caught() {
    let rules = "header __TO To:addr =~ /(?<WHO>.+)/\nuri A /\\?%{WHO}$/\nuri B /%{NOBODY}/\n";
    let body = "see http://x.example/?ann@example.org";
    assert_eq!(hits(rules, body), ["A"]);
    assert_eq!(hits("uri A /%{WHO}/\n", body), [""; 0]);
    let (engine, _) = load(rules);
    assert_eq!(names(&run(&engine, &mail(body))), [""; 0], "only where the site wants it");
}

#[test]
fn a_line_end_that_came_as_cr_alone_is_seen_as_it_came() {
    let (engine, _) = load("full A /one\\rtwo\\nthree/\nbody B /one two/\n");
    let mut message = message("Subject: hello\n", "one\r\ntwo\r\nthree\r\n", &[]);
    assert_eq!(names(&run(&engine, &message)), ["B"]);
    message.lone_cr = memchr::memmem::find(&message.raw, b"\r\ntwo").into_iter().collect();
    assert_eq!(names(&run(&engine, &message)), ["A", "B"]);
}

#[test]
fn a_name_alone_is_a_rule_that_never_hits() {
    let (engine, mistakes) = load("reuse A\nbody B /x/\nreuse B\nmeta C !A\n");
    assert_eq!(mistakes, []);
    assert_eq!(names(&run(&engine, &mail("x"))), ["B", "C"]);
}

#[test]
fn what_is_not_used_is_told_once_with_what_to_set() {
    let (_, mistakes) =
        load("report_safe 0\nreport_safe 1\nadd_header all X y\nversion_tag z\nrazor_timeout 1\n");
    let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "t/x.cf:3: warning: `add_header` is not used here; our own header fields are always added; see `tamis config`",
            "t/x.cf:5: warning: `razor_timeout` is not used here; there is no client for Razor",
            "t/x.cf:1: warning: `report_safe` is not used here and 1 more; what passes is never repacked",
        ]
    );
}

#[test]
fn a_hit_says_where_it_is() {
    let (engine, _) = load(
        "body A /needle/\nbody B /hello/\nheader C To:addr =~ /example/\nrawbody D /hay/\nmeta E A && B\n",
    );
    let outcome = run(&engine, &mail("hay\r\n\r\na needle\r\n"));
    let places: Vec<(&str, &str)> =
        outcome.hits.iter().map(|hit| (hit.place.as_str(), hit.evidence.as_str())).collect();
    assert_eq!(
        places,
        [
            ("body, paragraph 2, octet 2", "needle"),
            ("subject, octet 0", "hello"),
            ("header To:addr, octet 4", "example"),
            ("rawbody, piece 1, octet 0", "hay"),
            ("rules", "A B"),
        ]
    );
}

#[test]
fn a_rule_that_takes_too_much_is_told_and_the_others_run() {
    let rules = "rawbody A /(a*)*\\1b/\nbody B /aaa/\n";
    let (engine, mistakes) = load(rules);
    assert_eq!(mistakes, []);
    let outcome = run(&engine, &mail(&"a".repeat(60_000)));
    assert_eq!(names(&outcome), ["B"]);
    // So much text is more than what rules look at, which is told as well.
    let checks: Vec<&str> = outcome.not_run.iter().map(|one| one.check.as_str()).collect();
    assert_eq!(checks, ["spam:A", "spam:text"]);
    assert_eq!(outcome.not_run[0].why, "it took more than its share of time");
}

#[test]
fn words_of_tflags_that_mean_nothing_are_told_with_their_place() {
    let (engine, mistakes) = load(
        "body A /a/\ntflags A multiple, maxhits=2 nice\nbody B /b/\ntflags B  mutliple maxhits=x nolog\n",
    );
    assert_eq!(engine.rule_count(), 2);
    let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[0].starts_with(
            "t/x.cf:4:11: warning: B: `mutliple` is no flag, and does nothing; flags are a, "
        ),
        "{told:?}"
    );
    assert!(told[1].starts_with("t/x.cf:4:20: warning: B: `maxhits=x` is no flag"), "{told:?}");
    assert!(told[2].starts_with("t/x.cf:4:30: warning: B: `nolog` is not built"), "{told:?}");
}

/// A mail of three parts: the message, `text/plain` and `image/png`.
const PARTS: &str = "Subject: hello\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n\
    --b\nContent-Type: text/plain\nX-Note: one\n\ntext\n--b\nContent-Type: image/png; name=a.png\n\nx\n--b--\n";

fn of_parts(rules: &str) -> Vec<String> {
    let (engine, mistakes) = load(rules);
    assert_eq!(mistakes, [], "{rules}");
    let message =
        crate::mime::decode(PARTS.replace('\n', "\r\n").into(), &crate::mime::Limits::default());
    names(&run(&engine, &message)).into_iter().map(str::to_owned).collect()
}

#[test]
fn rules_about_parts_look_at_those_that_their_range_names() {
    for (range, text, hits) in [
        ("1", "multipart", true),
        ("1", "plain", false),
        ("2-", "plain", true),
        ("2-", "image", true),
        ("2-", "multipart", false),
        ("-2", "plain", true),
        ("-2", "image", false),
        ("2-2", "plain", true),
        ("0-1", "multipart", true),
        ("3", "image", true),
        ("4-", "image", false),
    ] {
        let rule = format!("mimeheader A Content-Type =~ /{text}/\ntflags A range={range}\n");
        assert_eq!(of_parts(&rule) == ["A"], hits, "{range} {text}");
    }
    // Each range is a text of its own.
    let both = "mimeheader A Content-Type =~ /plain/\ntflags A range=1\nmimeheader B Content-Type =~ /plain/\n";
    assert_eq!(of_parts(both), ["B"]);
    let negated = "mimeheader A Content-Type !~ /plain/\ntflags A range=3\n";
    assert_eq!(of_parts(negated), ["A"]);
}

#[test]
fn rules_about_parts_can_see_all_of_them_as_one_text() {
    for (rule, hits) in [
        ("Content-Type =~ /mixed.*\\ntext\\/plain\\nimage/\ntflags A concat", true),
        ("Content-Type =~ /mixed.*\\ntext\\/plain\\nimage/", false),
        ("Content-Type =~ /^text\\/plain\\nimage/\ntflags A concat range=2-", true),
        ("X-Note =~ /^\\none\\n\\n$/\ntflags A concat", true),
        ("X-Note =~ /^none\\none\\nnone\\n$/ [if-unset: none]\ntflags A concat", true),
        ("X-Note =~ /^one$/\ntflags A concat range=3", false),
        ("X-Note !~ /one/\ntflags A concat", false),
    ] {
        assert_eq!(of_parts(&format!("mimeheader A {rule}\n")) == ["A"], hits, "{rule}");
    }
    let counted = "mimeheader __A Content-Type =~ /(?:text|image|multipart)\\//\ntflags __A multiple concat\nmeta B __A == 3\n";
    assert_eq!(of_parts(counted), ["B"]);
}

#[test]
fn flags_of_parts_that_mean_nothing_are_told() {
    for (rule, why) in [
        ("mimeheader A Content-Type =~ /x/\ntflags A range=x", "`range=x` is no flag"),
        ("mimeheader A Content-Type =~ /x/\ntflags A range=-", "`range=-` is no flag"),
        ("mimeheader A Content-Type =~ /x/\ntflags A range=3-2", "`range=3-2` holds no part"),
        ("mimeheader A Content-Type =~ /x/\ntflags A range=0", "`range=0` holds no part"),
        ("body A /x/\ntflags A range=1", "for mimeheader rules only"),
        ("header A Subject =~ /x/\ntflags A concat", "for mimeheader rules only"),
        ("mimeheader A =~ /x/", "has no name of a field"),
        ("mimeheader A :raw =~ /x/", "has no name of a field"),
        ("header A !~ /x/", "has no name of a field"),
        ("header A exists:", "has no name of a field"),
        ("mimeheader A Content-Type:addr =~ /x/", "only have `:raw`"),
        ("header A Subject:sideways =~ /x/", "`:sideways`"),
    ] {
        let (_, mistakes) = load(&format!("{rule}\n"));
        assert!(mistakes.iter().any(|one| one.what.contains(why)), "{rule}: {mistakes:?}");
    }
}

#[test]
fn fields_can_be_asked_for_their_hosts() {
    let rules = "util_rb_tld org example\nheader A To:addr:host =~ /^mail\\.example\\.org$/\n\
        header B To:addr:domain =~ /^example\\.org$/\nheader C Received:last:host =~ /^old\\.example$/\n\
        header D X-Url:domain =~ /^b\\.example$/\nheader E exists:Subject:host\nheader F To:first:host =~ /^mail/\n";
    let (engine, mistakes) = load(rules);
    assert_eq!(mistakes, []);
    let message = message(
        "Received: from new.example by x\nReceived: from old.example by y\nTo: Ann <ann@mail.example.org>\n\
         X-Url: see https://a@www.b.example/ there\nSubject: nothing\n",
        "x\r\n",
        &[],
    );
    assert_eq!(names(&run(&engine, &message)), ["A", "B", "C", "D", "F"]);
}
