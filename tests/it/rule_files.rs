//! Rule files as sites have them: a local.cf with lists of senders in files of any name, and with keys that mean nothing to us.

use serde_json::Value;

use crate::support::sink::Sink;
use crate::support::tamis::Setup;

#[test]
fn the_lists_that_a_local_cf_includes_count() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("local.cf", "required_score 5\nreport_safe 0\ninclude whitelist\ninclude blacklist\n");
    write("whitelist", "whitelist_from *@*.progclub.*\n");
    write("blacklist", "#blacklist_from someone@example.com\nblacklist_from *@bad.example\n");
    let rules = folder.path().join("local.cf");
    let mut setup = Setup::to(Sink::start().port);
    setup.more = format!("[spam]\nrules = [\"{}\"]\n", rules.display());
    let tamis = setup.prepare();
    for (sender, rule, points) in [
        ("logwatch@hope.progclub.net", "USER_IN_WELCOMELIST", -100.0),
        ("someone@bad.example", "USER_IN_BLOCKLIST", 100.0),
    ] {
        let mail = folder.path().join("mail.eml");
        let text = format!(
            "From: <{sender}>\nTo: <ann@example.org>\nSubject: Log of today\n\
             Date: Fri, 27 Nov 2026 10:00:00 +0000\nMessage-ID: <1@example.net>\n\nAll is well.\n"
        );
        std::fs::write(&mail, text).unwrap();
        let report = tamis.json(&["scan", "--json", mail.to_str().unwrap()]).remove(0);
        let rules = report["rules"].as_array().cloned().unwrap_or_default();
        let hit = rules.iter().find(|hit| hit["name"] == rule);
        assert_eq!(hit.map(|hit| &hit["score"]), Some(&Value::from(points)), "{sender}: {rules:?}");
    }
    let output = tamis.run(&["check"]);
    let told = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(!told.contains("cannot be read"), "{told}");
}

#[test]
fn of_many_warnings_scan_shows_the_first_and_check_all() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("local.cf");
    let keys =
        ["report_contact x", "clear_headers", "bayes_auto_learn 1", "report_safe 1", "report a"];
    std::fs::write(&rules, format!("{}\n", keys.join("\n"))).unwrap();
    let mail = folder.path().join("mail.eml");
    std::fs::write(&mail, "From: <ann@example.net>\nSubject: Hello\n\nAll is well.\n").unwrap();
    let tables = format!("[spam]\nrules = [\"{}\"]\n", rules.display());
    let tamis = Setup::to(Sink::start().port).more(&tables).prepare();
    let told = |arguments: &[&str]| {
        let output = tamis.run(arguments);
        [output.stderr, output.stdout].map(|octets| String::from_utf8(octets).unwrap()).concat()
    };
    let warnings = |text: &str| text.lines().filter(|line| line.starts_with("warning: ")).count();
    let (check, scan) = (told(&["check"]), told(&["scan", mail.to_str().unwrap()]));
    let all = warnings(&check);
    assert!(all >= keys.len(), "{check}");
    assert_eq!(warnings(&scan), 3, "{scan}");
    let more = format!("{} more warnings: `tamis check` shows them all\n", all - 3);
    assert!(scan.contains(&more), "{scan}");
}
