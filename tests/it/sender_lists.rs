//! Lists of senders as sites have them: files of any name, included by their local.cf.

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
