//! The room as a whole: layers in, configuration or mistakes out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::filters::Severity;

fn load_one(text: &str) -> Result<Loaded, Mistakes> {
    load_texts(vec![("t.toml".into(), text.as_bytes().to_vec())], &[], &[])
}

fn right(text: &str) -> Loaded {
    load_one(text).unwrap_or_else(|mistakes| panic!("{text}\n{mistakes}"))
}

/// All mistakes, one a line, errors and warnings.
fn said(text: &str) -> String {
    let list = match load_one(text) {
        Ok(loaded) => loaded.warnings,
        Err(mistakes) => mistakes.list,
    };
    list.iter().map(|mistake| format!("{mistake}\n")).collect()
}

fn variables(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn uncommented() -> String {
    let key = |line: &&str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
    };
    DEFAULT_TEXT
        .lines()
        .map(|line| if key(&line) { line.trim_start_matches('#') } else { line })
        .fold(String::new(), |text, line| text + line + "\n")
}

#[test]
fn the_commented_file_is_what_the_table_of_keys_says() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write("conf/tamis.toml", show::document()).expect("the file can be written");
        return;
    }
    assert_eq!(DEFAULT_TEXT, show::document(), "run with UPDATE_GOLDEN=1");
}

#[test]
fn the_commented_file_is_the_default_with_and_without_its_comments() {
    assert_eq!(right(DEFAULT_TEXT).config, Config::default());
    let text = uncommented();
    assert!(text.lines().filter(|line| line.contains(" = ")).count() > 60);
    assert_eq!(right(&text).config, Config::default());
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let config = Config::default();
    let listeners: Vec<String> = config
        .listeners
        .iter()
        .map(|l| {
            format!("{} {} {:?} {:?} {}", l.name, l.listen, l.mode, l.protocol, l.next_hop.address)
        })
        .collect();
    assert_eq!(
        listeners,
        [
            "content_filter 127.0.0.1:10024 AfterQueue Smtp 127.0.0.1:10026",
            "proxy_filter 127.0.0.1:10025 PreQueue Smtp 127.0.0.1:10026"
        ]
    );
    assert_eq!(config.mode, Mode::Enforce);
    assert_eq!(config.limits.deadline, Duration::from_secs(90));
    assert_eq!(config.limits.recipients_max, 1100);
    assert_eq!(config.limits.message_bytes_max, 50_000_000);
    let policy = &config.policies["inbound"];
    assert_eq!(policy.spam.tag_at, Some(Score(5_000)));
    assert_eq!(policy.spam.quarantine_at, Some(Score(8_000)));
    assert_eq!(policy.spam.reject_at, Some(Score(20_000)));
    assert_eq!((policy.virus, policy.banned), (Action::Quarantine, Action::Quarantine));
    assert_eq!((policy.encrypted, policy.malformed), (Action::Tag, Action::Tag));
    assert_eq!(policy.attachments, ["default".into()]);
    let scanners: Vec<&ScannerKind> = config.scanners.iter().map(|scanner| &scanner.kind).collect();
    assert_eq!(scanners, [&ScannerKind::Builtin, &ScannerKind::Clamd(None)]);
    assert_eq!(config.quarantine.store, PathBuf::from("/var/lib/tamis/quarantine"));
    assert_eq!(config.quarantine.keep["virus"], Duration::from_secs(30 * 86_400));
    assert_eq!(config.database, PathBuf::from("/var/lib/tamis/tamis.db"));
    assert!(!config.hostname.is_empty() && config.hostname != "auto");
}

#[test]
fn every_mistake_is_named_at_once_with_its_place() {
    let text = "mod = \"enforce\"\n[limits]\ndeadline = 90\nmessage_size = \"10\"\n[policy.inbound.spam]\ntreshold = 8.0\n";
    let said = said(text);
    for want in [
        "t.toml:1:1: error: unknown key `mod`; did you mean `mode`?",
        "t.toml:3:12: error: `90` is not a time; write it with a unit, for example \"90s\"",
        "t.toml:4:16: error: `10` is not a size; write it with a unit, for example \"10MB\"",
        "t.toml:6:1: error: unknown key `treshold` in [policy.inbound.spam]; did you mean `quarantine_at`? known keys here: tag_at, quarantine_at, reject_at",
    ] {
        assert!(said.contains(want), "{want}\n{said}");
    }
}

#[test]
fn each_kind_of_mistake_has_its_word() {
    for (text, want) in [
        ("deadline = \"9s\"", "it belongs into [limits]"),
        ("[listener]\nlisten = \"127.0.0.1:1\"", "tables here have names: write [listener.NAME]"),
        (
            "[listener.x]\nlisten = \"127.0.0.1:9\"",
            "t.toml:1:11: error: [listener.x] has no `mode`",
        ),
        ("[listener.x]\nlisten = \"localhost:9\"\nmode = \"after-queue\"", "write \"127.0.0.1:9\""),
        (
            "[listener.content_filter]\npolicy = \"inbond\"",
            "no policy `inbond`; did you mean \"inbound\"?",
        ),
        ("[listener.content_filter]\nprotocol = \"milter\"", "\"milter\" is not built yet"),
        ("[listener.\"a.b\"]\nlisten = \"off\"", "`a.b` is not a name"),
        (
            "[listener.content_filter]\nlisten = \"127.0.0.1:10025\"",
            "t.toml:2:10: error: listener.content_filter.listen and listener.proxy_filter.listen are the same",
        ),
        ("[listener.content_filter]\nlisten = \"0.0.0.0:9825\"", "metrics.listen are the same"),
        (
            "[listener.content_filter]\nnext_hop = \"smtp://localhost:10025\"",
            "write listener.proxy_filter.listen = \"off\"",
        ),
        ("[quarantine]\nrelease_to = \"smtp://127.0.0.1:10024\"", "round in a circle"),
        ("[policy.a]\nextends = \"b\"\n[policy.b]\nextends = \"a\"", "circle: a → b → a"),
        ("[policy.a]\nextends = \"a\"", "circle: a → a"),
        (
            "[policy.a]\nextends = \"inboun\"",
            "t.toml:2:11: error: there is no policy `inboun`; did you mean \"inbound\"?",
        ),
        ("[policy.inbound]\nvirus = \"bounce\"", "\"bounce\" is not built yet"),
        ("[policy.inbound]\nvirus = \"defer\"", "warning: `virus` = \"defer\""),
        ("[policy.inbound]\nspam = { reject_at = -1 }", "write \"never\""),
        ("[policy.inbound]\nspam = { tag_at = 9 }", "warning: tag_at 9 is above quarantine_at 8"),
        (
            "[policy.inbound.spam]\nreject_at = 9\n[listener.proxy_filter]\nlisten = \"off\"",
            "t.toml:2:13: warning: reject_at has no effect",
        ),
        (
            "[policy.a]\nrecipients = [\"example.org\"]\n[policy.b]\nrecipients = [\"Example.org\"]",
            "both claim \"example.org\"",
        ),
        ("[limits]\ndeadline = \"100s\"", "t.toml:2:12: warning: limits.deadline is not below"),
        ("[scanner.x]\ntype = \"icap\"", "\"icap\" is not built yet"),
        ("[scanner.x]\ntimeout = \"1s\"", "[scanner.x] has no `type`"),
        ("[database]\nurl = \"postgresql://x\"", "not built in this version"),
        ("mode = enforce", "t.toml:1:8: error: this is not TOML"),
        ("", "warning: local_domains is empty"),
    ] {
        let said = said(text);
        assert!(said.contains(want), "{text}\nwant {want}\nsaid {said}");
    }
}

#[test]
fn a_right_file_is_silent() {
    assert_eq!(said("local_domains = [\"example.org\"]"), "");
}

#[test]
fn amavis_wiring_needs_the_second_listener_off() {
    let text = "[listener.content_filter]\nnext_hop = \"smtp://127.0.0.1:10025\"\n[listener.proxy_filter]\nlisten = \"off\"\n";
    assert_eq!(right(text).config.listeners.len(), 1);
}

#[test]
fn a_policy_takes_what_it_does_not_say_from_the_one_it_extends() {
    let loaded = right(
        "[policy.inbound]\nvirus = \"reject\"\nrecipients = [\"a@\"]\nattachments = [{match = \"is:macro\", action = \"tag\"}, \"default\"]\n[policy.outbound]\nextends = \"inbound\"\nspam = { tag_at = \"never\" }\n",
    );
    let policy = &loaded.config.policies["outbound"];
    assert_eq!(policy.virus, Action::Reject);
    assert_eq!(policy.spam.tag_at, None);
    assert_eq!(policy.spam.quarantine_at, Some(Score(8_000)));
    assert!(policy.recipients.is_empty() && policy.attachment_rules.is_empty());
    assert_eq!(policy.attachments, ["policy.inbound".into(), "default".into()]);
    let inbound = &loaded.config.policies["inbound"];
    assert_eq!(inbound.attachment_rules[0].matches, "is:macro");
    assert_eq!(
        (inbound.attachment_rules[0].line, inbound.attachment_rules[0].action),
        (4, Some(Action::Tag))
    );
}

#[test]
fn later_layers_win_key_by_key() {
    let file = |name: &str, text: &str| (Arc::from(name), text.as_bytes().to_vec());
    let loaded = load_texts(
        vec![
            file(
                "a",
                "[limits]\nconcurrency = 1\ndeadline = \"10s\"\nidle = \"11s\"\nrecipients = 7",
            ),
            file("b", "[limits]\ndeadline = \"20s\"\nidle = \"21s\"\nrecipients = 8"),
        ],
        &variables(&[
            ("TAMIS_LIMITS__IDLE", "31s"),
            ("TAMIS_LIMITS__RECIPIENTS", "9"),
            ("TAMIS_LISTENER__CONTENT_FILTER__LISTEN", "[::1]:10024"),
            ("TAMIS_LOCAL_DOMAINS", "a.test, b.test"),
            ("TAMIS_SPAM__POINTS__SUBJECT_SHOUTS", "2.5"),
            ("TAMIS_PORT_10024_TCP_ADDR", "10.0.0.1"),
            ("PATH", "/bin"),
        ]),
        &["limits.recipients=10".to_owned()],
    )
    .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let limits = &loaded.config.limits;
    assert_eq!((limits.concurrency, limits.recipients_max), (1, 10));
    assert_eq!((limits.deadline.as_secs(), limits.idle.as_secs()), (20, 31));
    assert_eq!(loaded.config.listeners[0].listen, Address::Tcp("[::1]:10024".into()));
    assert_eq!(loaded.config.local_domains, ["a.test", "b.test"]);
    assert_eq!(loaded.config.spam.points["SUBJECT_SHOUTS"], Score(2_500));
    let origin = |path: &str| loaded.origins.of(path).expect(path).to_string();
    assert_eq!(origin("limits.concurrency"), "a:2");
    assert_eq!(origin("limits.deadline"), "b:2");
    assert_eq!(origin("limits.idle"), "environment TAMIS_LIMITS__IDLE");
    assert_eq!(origin("limits.recipients"), "command line");
    assert_eq!(origin("limits.connections"), "default");
}

#[test]
fn a_slip_in_a_variable_is_an_error_and_a_strange_one_a_warning() {
    let load = |name: &str| load_texts(Vec::new(), &variables(&[(name, "observe")]), &[]);
    assert!(load("TAMIS_MODE").is_ok());
    assert!(load("TAMIS_MDOE").is_err());
    assert!(load("TAMIS_LIMITS__NOTHING").is_err());
    let warnings = load("TAMIS_SERVICE_HOST").expect("it is none of ours").warnings;
    assert!(warnings.iter().any(|w| w.what.contains("TAMIS_SERVICE_HOST")));
}

#[test]
fn files_are_read_from_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let main = folder.path().join("tamis.toml");
    let request =
        |must_exist| Request { file: main.clone(), must_exist, environment: vec![], flags: vec![] };
    assert!(load(&request(false)).is_ok());
    assert!(load(&request(true)).is_err());
    std::fs::write(folder.path().join("conf.d"), "hostname = \"lost\"").expect("a file");
    let mistakes = load(&request(false)).expect_err("a file is no folder").to_string();
    assert!(mistakes.contains("conf.d") && mistakes.contains("is no folder"), "{mistakes}");
    std::fs::remove_file(folder.path().join("conf.d")).expect("it was there");
    std::fs::create_dir(folder.path().join("conf.d")).expect("a folder");
    std::fs::write(&main, "mode = \"observe\"\nstate_dir = \"state\"").expect("a file");
    std::fs::write(folder.path().join("conf.d/20.toml"), "hostname = \"two\"").expect("a file");
    std::fs::write(folder.path().join("conf.d/10.toml"), "hostname = \"one\"").expect("a file");
    std::fs::write(folder.path().join("conf.d/30.toml.bak"), "x").expect("a file");
    let loaded = load(&request(true)).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!((loaded.config.mode, loaded.config.hostname.as_str()), (Mode::Observe, "two"));
    assert_eq!(loaded.config.quarantine.store, folder.path().join("state/quarantine"));
    assert!(loaded.warnings.iter().any(|w| w.file.ends_with("30.toml.bak")));
}

#[test]
fn what_we_write_to_is_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    crate::plain_file::make_pipe(&pipe);
    let (pipe, folder) = (pipe.display(), folder.path().display());
    for (text, want) in [
        (format!("[log]\ntarget = \"file:{pipe}\""), "t.toml:2:10: error: log.target is"),
        (format!("[database]\nurl = \"sqlite:{pipe}\""), "t.toml:2:7: error: database.url is"),
        (format!("[spam]\nlearned = \"{pipe}\""), "t.toml:2:11: error: spam.learned is"),
        ("[log]\ntarget = \"file:/dev/zero\"".to_owned(), "it is a device, not a file"),
        (format!("[log]\ntarget = \"file:{folder}\""), "it is a folder, not a file"),
    ] {
        let said = said(&text);
        assert!(said.contains(want), "{text}\nwant {want}\nsaid {said}");
    }
    for right in ["/dev/null", "/dev/stdout", "/nowhere/yet.log"] {
        let text = format!("local_domains = [\"a.test\"]\n[log]\ntarget = \"file:{right}\"");
        assert_eq!(said(&text), "", "{right}");
    }
}

#[test]
fn what_is_shown_loads_to_the_same() {
    let text = "hostname = \"mx.test\"\nstate_dir = \"/x\"\n[spam.points]\nA_RULE = -0.5\n[policy.b]\nextends = \"inbound\"\nattachments = [\"default\", {match = \"a\\\"b\", action = \"tag\"}]\n[listener.z]\nlisten = \"unix:/z\"\nmode = \"pre-queue\"\n[tables]\nmime_header_checks = []\n";
    let loaded = right(text);
    for with_origin in [false, true] {
        let shown = show(&loaded, with_origin);
        let mut again = right(&shown).config;
        // The line a rule stands in is the only thing that must differ.
        let mut config = loaded.config.clone();
        for policies in [&mut again.policies, &mut config.policies] {
            for policy in policies.values_mut() {
                Arc::make_mut(policy).attachment_rules.iter_mut().for_each(|rule| rule.line = 0);
            }
        }
        assert_eq!(again, config, "{shown}");
    }
    let shown = show(&loaded, true);
    assert!(shown.contains("state_dir = \"/x\"  # t.toml:2\n"), "{shown}");
    assert!(shown.contains("mode = \"enforce\"  # default\n"), "{shown}");
    let json = show_json(&loaded);
    assert!(json.as_array().is_some_and(|list| list.len() > 70));
}

#[test]
fn every_key_can_be_explained_and_a_slip_is_understood() {
    for key in schema::KEYS {
        assert!(explain(key.path).is_ok_and(|text| text.contains(key.about)), "{}", key.path);
    }
    let text = explain("policy.inbound.spam").expect("a section");
    assert!(text.contains("tag_at") && text.contains("reject_at"), "{text}");
    assert!(explain("listener.content_filter.listen").expect("a key").contains("127.0.0.1:10024"));
    for (key, want) in
        [("deadline", "limits.deadline"), ("limits.dedline", "limits.deadline"), ("logg", "log")]
    {
        let hint = explain(key).expect_err(key);
        assert!(hint.contains(&format!("did you mean `{want}`?")), "{hint}");
    }
}

#[test]
fn mistakes_are_shown_with_line_and_caret() {
    let Err(mistakes) = load_one("[limits]\nconcurency = 5\n") else { panic!("it is wrong") };
    let shown = mistakes.to_string();
    let want = "error: unknown key `concurency` in [limits]\n  --> t.toml:2:1\n  |\n2 | concurency = 5\n  | ^^^^^^^^^^ did you mean `concurrency`?";
    assert!(shown.contains(want), "{shown}");
    assert!(mistakes.list.iter().any(|mistake| mistake.severity == Severity::Error));
}

/// Lines that look like configuration: real keys, values of every kind.
fn lines() -> impl Strategy<Value = String> {
    let keys: Vec<String> =
        schema::KEYS.iter().map(|key| key.path.replace('*', "inbound")).collect();
    let values = proptest::sample::select(vec![
        "1",
        "-1",
        "0.5",
        "nan",
        "true",
        "\"off\"",
        "\"inbound\"",
        "\"10MB\"",
        "\"1s\"",
        "[]",
        "[\"x\"]",
        "{}",
        "{ rules = [{}] }",
        "1979-05-27",
        "\"127.0.0.1:10024\"",
        "\"smtp://127.0.0.1:1\"",
        "99999999999999999999",
        "",
        "[[[[[[[[[[[[1]]]]]]]]]]]]",
        "\"\\u0000\"",
    ]);
    let keys = proptest::sample::select(keys);
    proptest::collection::vec((keys, values), 0..8).prop_map(|lines| {
        lines.into_iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
    })
}

proptest! {
    #[test]
    fn no_octets_make_the_loader_panic(bytes: Vec<u8>) {
        if let Err(mistakes) = load_texts(vec![("t".into(), bytes)], &[], &[]) {
            let _ = mistakes.to_string();
        }
    }

    #[test]
    fn no_text_makes_the_loader_panic(text in "[a-z.=\\[\\]{}\"'#\n -]{0,200}", flag: String) {
        let environment = variables(&[("TAMIS_MODE", &text), ("TAMIS_POLICY__X", &flag)]);
        let _ = load_texts(vec![("t".into(), text.into_bytes())], &environment, &[flag]);
    }

    #[test]
    fn no_values_make_the_loader_panic_and_what_loads_can_be_shown(text in lines()) {
        match load_one(&text) {
            Ok(loaded) => prop_assert!(load_one(&show(&loaded, true)).is_ok()),
            Err(mistakes) => prop_assert!(mistakes.to_string().contains("error")),
        }
    }
}
