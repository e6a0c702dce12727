//! What is taught on the command line is said of the next mail, while the service runs.

use std::fmt::Write as _;

use crate::support::client::deliver;
use crate::support::mails;
use crate::support::sink::Sink;
use crate::support::tamis::{Setup, Tamis};

/// An mbox of so many mails with these words in their texts.
fn mbox(tamis: &Tamis, name: &str, count: usize, text: &str) -> String {
    let mut all = String::new();
    for number in 0..count {
        // Marks by chance would be words that one run knows from spam and another one from ham.
        let mail =
            mails::plain(&format!("{name}-{number:016x}"), &format!("{text} number {number}"));
        let mail = String::from_utf8(mail).unwrap().replace("\r\n", "\n");
        writeln!(all, "From somebody Mon Nov 16 10:00:00 2026\n{mail}\n").unwrap();
    }
    let path = tamis.file().with_file_name(format!("{name}.mbox"));
    std::fs::write(&path, all).unwrap();
    path.display().to_string()
}

fn learn(tamis: &Tamis, what: &str, path: &str) -> serde_json::Value {
    tamis.json(&["learn", what, path, "--json"]).pop().expect("it says what it learned")
}

/// Names of the rules that hit this mail.
fn hits(tamis: &Tamis, mail: &[u8]) -> Vec<String> {
    let path = tamis.file().with_file_name("mail.eml");
    std::fs::write(&path, mail).unwrap();
    let facts = tamis.json(&["scan", "--json", path.to_str().unwrap()]).pop().unwrap();
    let rules = facts["rules"].as_array().unwrap();
    rules.iter().map(|rule| rule["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_learned_is_said_of_the_next_mail_and_can_be_undone() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).start();
    let spam = mbox(&tamis, "spam", 200, "cheap replica watches for everybody who clicks now");
    let ham = mbox(&tamis, "ham", 200, "minutes of the meeting about the budget of the workshop");
    let said = learn(&tamis, "spam", &spam);
    assert_eq!(
        (&said["learned"], &said["spam"], &said["ham"]),
        (&200.into(), &200.into(), &0.into())
    );
    let mail = mails::plain("next-mail", "cheap replica watches for everybody who clicks now");
    assert!(
        !hits(&tamis, &mail).iter().any(|name| name.starts_with("BAYES")),
        "too little is learned"
    );
    assert_eq!(learn(&tamis, "ham", &ham)["ham"], 200);
    assert!(hits(&tamis, &mail).iter().any(|name| name == "BAYES_99"), "{:?}", hits(&tamis, &mail));
    let good = mails::plain("good-mail", "minutes of the meeting about the budget of the workshop");
    assert!(hits(&tamis, &good).iter().any(|name| name == "BAYES_00"), "{:?}", hits(&tamis, &good));
    // Once more is no more; as the other is the other.
    assert_eq!(learn(&tamis, "spam", &spam)["known"], 200);
    let said = learn(&tamis, "ham", &spam);
    assert_eq!(
        (&said["changed"], &said["spam"], &said["ham"]),
        (&200.into(), &0.into(), &400.into())
    );
    assert_eq!(learn(&tamis, "forget", &spam)["forgotten"], 200);
    assert_eq!(tamis.run(&["learn", "spam", "/nowhere"]).status.code(), Some(66));
}

#[test]
fn what_is_passed_over_in_a_folder_is_told() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).start();
    let folder = tamis.file().with_file_name("mails");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("one.eml"), mails::clean("one")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink("one.eml", folder.join("link.eml")).unwrap();
    let said = tamis.run(&["learn", "ham", folder.to_str().unwrap(), "--json"]);
    let told = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(told.contains("pipe: passed over: it is a named pipe, not a file"), "{told}");
    assert!(told.contains("link.eml: passed over: a link is followed only if"), "{told}");
    assert_eq!(said.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&said.stdout).contains("\"learned\":1"), "{said:?}");
}

#[test]
fn mail_flows_while_the_store_is_damaged() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).prepare();
    let mut tamis = tamis;
    std::fs::write(tamis.file().with_file_name("learned.db"), "no database".repeat(1_000)).unwrap();
    tamis.launch();
    let heard = deliver(
        tamis.after_queue(),
        "alice@sender.example",
        &["bob@lab.example"],
        &mails::clean("x"),
    );
    assert_eq!(heard.code(), 250, "{heard:?}");
    let path = tamis.file().with_file_name("mail.eml");
    std::fs::write(&path, mails::clean("y")).unwrap();
    let facts = tamis.json(&["scan", "--json", path.to_str().unwrap()]).pop().unwrap();
    assert!(facts["not_run"].to_string().contains("damaged"), "{}", facts["not_run"]);
    assert_eq!(tamis.run(&["learn", "spam", path.to_str().unwrap()]).status.code(), Some(74));
}

#[test]
fn a_kept_mail_is_learned_and_stays_kept() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).start();
    let mark = mails::mark("kept");
    let mail = mails::plain(&mark, &mails::gtube());
    deliver(tamis.after_queue(), "alice@sender.example", &["bob@lab.example"], &mail);
    tamis.wait_quarantined(&mark);
    let list = tamis.json(&["quarantine", "list", "--json"]);
    let id = list[0]["id"].as_str().unwrap();
    let said = tamis.json(&["quarantine", "learn", "spam", id, "--json"]).pop().unwrap();
    assert_eq!((&said["learned"], &said["spam"]), (&1.into(), &1.into()));
    let path = tamis.file().with_file_name("mail.eml");
    std::fs::write(&path, &mail).unwrap();
    assert_eq!(learn(&tamis, "spam", path.to_str().unwrap())["known"], 1, "it is the same mail");
    assert_eq!(tamis.json(&["quarantine", "list", "--json"]).len(), 1);
    assert_eq!(tamis.run(&["quarantine", "learn", "spam", "nothing"]).status.code(), Some(66));
}

#[test]
fn answers_to_mail_that_was_sent_by_us_are_known() {
    let sink = Sink::start();
    let setup = Setup::to(sink.port).more("[tables]\nallow = []\n");
    let tamis = setup.start();
    // Postfix names the client by XFORWARD: one of ours sends.
    let mut client = crate::support::client::Client::greeted(tamis.after_queue());
    client.says("XFORWARD ADDR=192.168.7.7 NAME=desk.lab.example", "250");
    let mail = String::from_utf8(mails::clean_7_bit("sent"))
        .unwrap()
        .replace("From: Alice <alice@sender.example>", "From: Bob <bob@lab.example>")
        .replace("@sender.example>\r\nDate", "@lab.example>\r\nDate");
    let heard = client.mail("bob@lab.example", &["carol@friend.example"], mail.as_bytes());
    assert_eq!(heard.code(), 250, "{heard:?}");
    let answer = "Message-ID: <2@friend.example>\r\nDate: Mon, 16 Nov 2026 10:00:00 +0000\r\nFrom: Carol <carol@friend.example>\r\n\
                  To: bob@lab.example\r\nSubject: Re: it\r\nIn-Reply-To: <sent@lab.example>\r\n\r\nYes.\r\n";
    let path = tamis.file().with_file_name("answer.eml");
    std::fs::write(&path, answer).unwrap();
    let file = path.to_str().unwrap().to_owned();
    let names = crate::support::wait_for("the answer is known", || {
        let arguments =
            ["scan", "--json", "--client", "203.0.113.9", "--rcpt", "bob@lab.example", &file];
        let facts = tamis.json(&arguments).pop().unwrap();
        let names = facts["rules"].to_string();
        names.contains("KNOWN_CORRESPONDENT").then_some(names)
    });
    assert!(names.contains("REPLY_TO_OURS"), "{names}");
    // Whom he wrote to is told to the recipient, and nobody else can tell it.
    client.says("XFORWARD ADDR=203.0.113.9 NAME=mx.friend.example", "250");
    let forged = format!("X-Tamis-Known: 0 days\r\n{answer}");
    let heard = client.mail("carol@friend.example", &["bob@lab.example"], forged.as_bytes());
    assert_eq!(heard.code(), 250, "{heard:?}");
    let got = sink.wait_marked("2@friend.example");
    let got = String::from_utf8_lossy(&got.message).into_owned();
    assert_eq!(got.matches("X-Tamis-Known:").count(), 1, "{got}");
    assert!(got.contains("X-Tamis-Known: 0 days (sender not verified)\r\n"), "{got}");
}
