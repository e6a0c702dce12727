use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::config::{Address, NextHop};
use crate::filters::Score;
use crate::mail::Path as MailPath;

pub(super) fn path(address: &str) -> MailPath {
    MailPath { argument: format!("<{address}>").into_bytes(), address: address.to_owned() }
}

pub(super) fn entry(raw: &[u8]) -> NewEntry {
    NewEntry {
        id: MailId::new().unwrap(),
        class: Class::Spam,
        verdict: "spam".to_owned(),
        sender: path("from@example.com"),
        recipients: vec![path("to@example.org")],
        all_recipients: vec![path("to@example.org")],
        delivered_recipients: Vec::new(),
        client_address: None,
        client_name: None,
        helo: None,
        ident: None,
        subject: "subject".to_owned(),
        from_header: "From <from@example.com>".to_owned(),
        message_id: "<1@example.com>".to_owned(),
        score: None,
        header_lines: Vec::new(),
        raw: Bytes::copy_from_slice(raw),
        facts: json!({"rules": []}),
    }
}

pub(super) struct House {
    pub folder: tempfile::TempDir,
    pub config: config::Quarantine,
    pub quarantine: Quarantine,
}

impl House {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config::Quarantine {
            store: folder.path().join("quarantine"),
            keep: BTreeMap::new(),
            max_bytes: u64::MAX,
            min_free_bytes: 0,
            release_to: NextHop { lmtp: false, address: Address::Tcp("127.0.0.1:1".to_owned()) },
        };
        let quarantine = Quarantine::open(&config, &folder.path().join("db")).unwrap();
        Self { folder, config, quarantine }
    }

    /// What another process has.
    pub fn another(&self) -> Quarantine {
        Quarantine::open(&self.config, &self.database()).unwrap()
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("db")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.config.store.join(name)
    }

    pub fn execute(&self, sql: &str) {
        schema::connect(&self.database()).unwrap().execute_batch(sql).unwrap();
    }
}

fn ids(quarantine: &Quarantine, query: &str) -> Vec<String> {
    let search = Search::parse(query).unwrap();
    quarantine.list(&search, 1000).unwrap().into_iter().map(|item| item.id).collect()
}

#[tokio::test]
async fn a_stored_mail_is_listed_shown_and_given_back() {
    let house = House::new();
    let mut new = entry(b"Subject: x\r\n\r\nbody\r\n");
    new.score = Some(Score(8500));
    new.all_recipients = vec![path("to@example.org"), path("b@example.org"), path("c@x")];
    new.delivered_recipients = vec![path("b@example.org")];
    let stored = house.quarantine.store(new.clone()).await.unwrap();
    assert!(house.file(&stored.file).is_file());
    let detail = house.another().show(&stored.file).unwrap().unwrap();
    assert_eq!(detail.item.id, new.id.as_str());
    assert_eq!(detail.facts, new.facts);
    let states: Vec<_> =
        detail.item.recipients.iter().map(|r| (r.address.as_str(), r.state)).collect();
    let want = [
        ("to@example.org", CopyState::Held),
        ("b@example.org", CopyState::Delivered),
        ("c@x", CopyState::Refused),
    ];
    assert_eq!(states, want);
    let json = serde_json::to_value(&detail).unwrap();
    assert_eq!((&json["score"], &json["class"]), (&json!(8.5), &json!("spam")));
    assert!(!json.to_string().contains(new.id.secret()), "the secret is shown to nobody");
    assert_eq!(house.quarantine.octets(&stored.id).unwrap().raw, new.raw);
    assert!(house.quarantine.is_proved(&stored.id, new.id.secret()));
    assert!(house.quarantine.show("aaaaaaaaaaaa").unwrap().is_none());
    assert!(matches!(house.quarantine.octets("aaaaaaaaaaaa"), Err(Trouble::NotFound(_))));
}

#[tokio::test]
async fn an_id_is_taken_once() {
    let house = House::new();
    let first = entry(b"one");
    house.quarantine.store(first.clone()).await.unwrap();
    let again = house.quarantine.store(first.clone()).await;
    assert!(matches!(again, Err(Trouble::Taken(_))), "{again:?}");
    let mut other_class = first.clone();
    other_class.class = Class::Virus;
    let again = house.quarantine.store(other_class).await;
    assert!(matches!(again, Err(Trouble::Taken(_))), "{again:?}");
    assert_eq!(house.quarantine.octets(first.id.as_str()).unwrap().raw, first.raw);
    let folder = first.id.as_str().get(..1).unwrap();
    let names = fs::read_dir(house.file(folder)).unwrap().count();
    assert_eq!(names, 1, "what was refused left nothing");
}

#[tokio::test]
async fn without_space_nothing_is_stored_and_nothing_is_left() {
    let house = House::new();
    let config = config::Quarantine { min_free_bytes: 1 << 60, ..house.config.clone() };
    let full = Quarantine::open(&config, &house.database()).unwrap();
    let trouble = full.store(entry(b"x")).await.unwrap_err();
    assert!(trouble.is_no_space(), "{trouble}");
    assert!(ids(&full, "").is_empty());
    assert_eq!(fs::read_dir(&house.config.store).unwrap().count(), 0);
}

#[tokio::test]
async fn a_mail_that_the_index_does_not_take_leaves_no_file() {
    let house = House::new();
    house.execute("CREATE TRIGGER no BEFORE INSERT ON mails BEGIN SELECT raise(FAIL, 'no'); END");
    house.quarantine.store(entry(b"x")).await.unwrap_err();
    house.execute("DROP TRIGGER no");
    assert_eq!(house.quarantine.recover().unwrap(), Recovery::default());
    assert!(ids(&house.quarantine, "").is_empty());
}

#[tokio::test]
async fn the_list_is_searched() {
    let house = House::new();
    let quarantine = &house.quarantine;
    let mut spam = entry(b"a");
    spam.score = Some(Score(8500));
    spam.subject = "Cheap 100% offers".to_owned();
    let mut virus = entry(&[b'x'; 5000]);
    virus.class = Class::Virus;
    virus.recipients = vec![path("Anna@example.net")];
    for new in [&spam, &virus] {
        quarantine.store(new.clone()).await.unwrap();
    }
    let (spam, virus) = (spam.id.to_string(), virus.id.to_string());
    let both = [virus.clone(), spam.clone()];
    for (query, want) in [
        ("", &both[..]),
        ("class:virus", &both[..1]),
        ("-class:virus", &both[1..]),
        ("score:>8", &both[1..]),
        ("score:>8.5", &[]),
        ("score:8.5..9 100%", &both[1..]),
        ("size:>4KB", &both[..1]),
        ("to:anna@", &both[..1]),
        ("to:*@example.net", &both[..1]),
        ("domain:example.net", &both[..1]),
        ("age:<1h", &both[..]),
        ("age:>1h", &[]),
        ("on:1999-01-01", &[]),
        ("from:example.com subject:cheap", &both[1..]),
        ("is:open", &both[..]),
        ("is:released", &[]),
        ("is:deleted", &[]),
    ] {
        assert_eq!(ids(quarantine, query), want, "{query}");
    }
    let mut page = Search::default();
    page.after = Some(virus);
    let rest: Vec<_> = quarantine.list(&page, 10).unwrap().into_iter().map(|i| i.id).collect();
    assert_eq!(rest, [spam]);
    assert_eq!(quarantine.list(&Search::default(), 1).unwrap().len(), 1);
}

#[tokio::test]
async fn deleting_hides_and_undeleting_brings_back() {
    let house = House::new();
    let id = house.quarantine.store(entry(b"a")).await.unwrap().id;
    assert!(house.quarantine.delete(&id, "ab").await.unwrap());
    assert!(!house.quarantine.delete(&id, "ab").await.unwrap());
    assert!(ids(&house.quarantine, "").is_empty());
    assert_eq!(ids(&house.quarantine, "is:deleted"), std::slice::from_ref(&id));
    assert!(house.quarantine.undelete(&id, "cd").await.unwrap());
    assert_eq!(ids(&house.quarantine, ""), std::slice::from_ref(&id));
    let audit = house.quarantine.show(&id).unwrap().unwrap().audit;
    let acts: Vec<_> = audit.iter().map(|row| (row.by.as_str(), row.act.as_str())).collect();
    assert_eq!(acts, [("ab", "delete"), ("cd", "undelete")]);
    let unknown = house.quarantine.delete("aaaaaaaaaaaa", "ab").await;
    assert!(matches!(unknown, Err(Trouble::NotFound(_))));
}

#[tokio::test]
async fn gc_erases_by_age_and_size_and_spares_what_is_on_hold() {
    let house = House::new();
    let quarantine = &house.quarantine;
    let mut stored = Vec::new();
    for n in 0..6 {
        let stored_one = quarantine.store(entry(&[b'x'; 1000])).await.unwrap();
        let sql = format!("UPDATE mails SET time = {n} WHERE id = '{}'", stored_one.id);
        house.execute(&sql);
        stored.push(stored_one);
    }
    let id = |n: usize| stored[n].id.as_str();
    quarantine.hold(id(0), true, "ab").await.unwrap();
    quarantine.delete(id(5), "ab").await.unwrap();
    house.execute("UPDATE mails SET state_time = 0 WHERE state = 'deleted'");
    let now = Timestamp::from_millisecond(10_002).unwrap();
    let keep = BTreeMap::from([
        ("spam".to_owned(), Duration::from_secs(10)),
        ("deleted".to_owned(), Duration::from_secs(1)),
    ]);
    let summary = quarantine.gc(&keep, u64::MAX, now).await.unwrap();
    assert_eq!((summary.expired, summary.deleted, summary.over_size), (1, 1, 0), "{summary:?}");
    assert_eq!(ids(quarantine, ""), [id(4), id(3), id(2), id(0)]);
    let each = summary.octets_left / 4;
    let summary = quarantine.gc(&BTreeMap::new(), each * 2 + 1, now).await.unwrap();
    assert_eq!((summary.over_size, summary.octets_left), (2, each * 2), "{summary:?}");
    assert_eq!(ids(quarantine, ""), [id(4), id(0)]);
    let there: Vec<bool> = stored.iter().map(|s| house.file(&s.file).exists()).collect();
    assert_eq!(there, [true, false, false, false, true, false]);
    let summary = quarantine.gc(&BTreeMap::new(), 0, now).await.unwrap();
    assert_eq!(summary.over_size, 1, "what is on hold stays, and the run ends");
    assert_eq!(ids(quarantine, ""), [id(0)]);
}

#[tokio::test]
async fn after_a_crash_folder_and_index_agree_again() {
    let house = House::new();
    let mut kept = Vec::new();
    for _ in 0..4 {
        let mut new = entry(b"Subject: =?utf-8?q?gr=C3=BCn?=\r\nFrom: A <a@b.c>\r\n\r\nbody\r\n");
        new.all_recipients.push(path("other@example.org"));
        new.sender.argument = b"<from@example.com> BODY=8BITMIME".to_vec();
        new.helo = Some("mx example".to_owned());
        new.verdict = "over-limits".to_owned();
        kept.push(house.quarantine.store(new).await.unwrap());
    }
    // Crashed before the row; file lost; crashed while erasing before and after the file was gone; while writing.
    let row = |n: usize| format!("(SELECT row FROM mails WHERE id = '{}')", kept[n].id);
    house.execute(&format!("DELETE FROM recipients WHERE mail = {}", row(0)));
    house.execute(&format!("DELETE FROM mail_facts WHERE mail = {}", row(0)));
    house.execute(&format!("DELETE FROM mails WHERE row = {}", row(0)));
    fs::remove_file(house.file(&kept[1].file)).unwrap();
    house.execute(&format!("UPDATE mails SET state = 'erasing' WHERE row = {}", row(2)));
    house.execute(&format!("UPDATE mails SET state = 'erasing' WHERE row = {}", row(3)));
    fs::remove_file(house.file(&kept[3].file)).unwrap();
    fs::write(house.file(".tmp-aaaaaaaaaaaa"), b"half").unwrap();

    let want = Recovery { adopted: 1, missing: 1, stale: 1, erased: 2, ..Recovery::default() };
    assert_eq!(house.quarantine.recover().unwrap(), want);
    assert_eq!(house.quarantine.recover().unwrap(), Recovery::default());

    let adopted = house.quarantine.show(&kept[0].id).unwrap().unwrap();
    assert_eq!(adopted.item.verdict, "over-limits");
    assert_eq!(adopted.item.subject, "grün");
    assert_eq!(adopted.item.from, "A <a@b.c>");
    assert_eq!(adopted.helo.as_deref(), Some("mx example"));
    assert_eq!(adopted.mail_from, "<from@example.com> BODY=8BITMIME");
    let states: Vec<_> = adopted.item.recipients.iter().map(|r| r.state).collect();
    assert_eq!(states[0], CopyState::Held);
    assert_eq!(adopted.item.recipients[0].address, "to@example.org");
    assert_eq!(ids(&house.quarantine, "is:missing"), [kept[1].id.clone()]);
    assert!(matches!(house.quarantine.octets(&kept[1].id), Err(Trouble::FileMissing(_))));
    assert!(!house.file(&kept[2].file).exists());
}

#[tokio::test]
async fn files_of_amavis_are_adopted_plain_packed_and_without_subfolder() {
    let house = House::new();
    let text = "Return-Path: <>\nDelivered-To: spam-quarantine\nX-Envelope-From: <>\n\
                X-Envelope-To: <a@example.org>,\n <b@example.org>\n\
                X-Envelope-To-Blocked: <b@example.org>\nX-Quarantine-ID: <7vykgLjHGVrk>\n\
                X-Spam-Score: 16.685\nSubject: old\nMessage-ID: <m@x>\n\nbody\n";
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
    fs::create_dir(house.file("7")).unwrap();
    fs::write(house.file("7/spam-7vykgLjHGVrk.gz"), packed.finish().unwrap()).unwrap();
    fs::write(house.file("virus-SIXGUR_-RBUt"), text.replace("7vykgLjHGVrk", "SIXGUR_-RBUt"))
        .unwrap();
    fs::write(house.file("notes.txt"), "of the postmaster").unwrap();
    assert_eq!(house.quarantine.recover().unwrap().adopted, 2);
    let spam = house.quarantine.show("7vykgLjHGVrk").unwrap().unwrap();
    assert_eq!(spam.item.score, Some(Score(16_685)));
    assert_eq!((spam.item.sender.as_str(), spam.mail_from.as_str()), ("", "<>"));
    let states: Vec<_> =
        spam.item.recipients.iter().map(|r| (r.address.as_str(), r.state)).collect();
    let want = [("b@example.org", CopyState::Held), ("a@example.org", CopyState::Delivered)];
    assert_eq!(states, want);
    for id in ["7vykgLjHGVrk", "SIXGUR_-RBUt"] {
        let raw = house.quarantine.octets(id).unwrap().raw;
        assert_eq!(raw, "Subject: old\r\nMessage-ID: <m@x>\r\n\r\nbody\r\n");
    }
}

#[tokio::test]
async fn a_damaged_file_is_not_given_out() {
    let house = House::new();
    let stored = house.quarantine.store(entry(b"Subject: x\r\n\r\nlong body\r\n")).await.unwrap();
    let path = house.file(&stored.file);
    let octets = fs::read(&path).unwrap();
    fs::write(&path, &octets[..octets.len() - 3]).unwrap();
    let answer = house.quarantine.octets(&stored.id);
    assert!(matches!(answer, Err(Trouble::Damaged { .. })), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_at_once_are_all_stored_while_another_process_recovers() {
    let house = House::new();
    let started = std::time::Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let quarantine = house.quarantine.clone();
        tasks.spawn(async move {
            let mut ids = Vec::new();
            for _ in 0..10 {
                let body = b"Subject: x\r\n\r\nbody\r\n".repeat(100);
                ids.push(quarantine.store(entry(&body)).await.unwrap().id);
            }
            ids
        });
    }
    let other = house.another();
    for _ in 0..5 {
        let other = other.clone();
        let recovery = tokio::task::spawn_blocking(move || other.recover().unwrap()).await.unwrap();
        assert_eq!((recovery.missing, recovery.stale, recovery.unreadable), (0, 0, 0));
    }
    let stored: HashSet<String> = tasks.join_all().await.into_iter().flatten().collect();
    println!("{} mails in {:?}", stored.len(), started.elapsed());
    assert_eq!(stored.len(), 200);
    assert_eq!(ids(&house.quarantine, "").into_iter().collect::<HashSet<_>>(), stored);
    assert_eq!(house.quarantine.recover().unwrap(), Recovery::default());
}

#[tokio::test]
async fn history_is_written_without_waiting_and_pruned_by_age() {
    let house = House::new();
    let row = |n: i64| HistoryRow {
        id: format!("id{n}"),
        time: Timestamp::from_millisecond(n).unwrap(),
        queue_id: Some(format!("Q{n}")),
        message_id: format!("<m{n}@x>"),
        sender: "a@b".to_owned(),
        recipients: vec!["c@d".to_owned()],
        verdict: "clean".to_owned(),
        action: "pass".to_owned(),
        score: Some(Score(-100)),
        layout: 1,
        facts: json!({"n": n}),
    };
    for n in 0..600 {
        house.quarantine.record(row(n));
    }
    house.quarantine.flush().await;
    assert_eq!(house.quarantine.history_lost(), 0);
    for text in ["id7", "Q7", "m7@x", "<m7@x>"] {
        assert_eq!(house.quarantine.history(text).unwrap(), [row(7)], "{text}");
    }
    let keep = BTreeMap::from([("metadata".to_owned(), Duration::from_secs(1))]);
    let now = Timestamp::from_millisecond(1500).unwrap();
    let summary = house.quarantine.gc(&keep, u64::MAX, now).await.unwrap();
    assert_eq!(summary.history, 500);
    assert!(house.quarantine.history("id499").unwrap().is_empty());
    assert_eq!(house.quarantine.history("id500").unwrap().len(), 1);
    house.quarantine.record(row(1000));
    let other = house.another();
    drop(house.quarantine);
    assert_eq!(other.history("id1000").unwrap().len(), 1, "the last handle writes what waits");
}

/// The folder for a test that runs as another process.
const CHILD: &str = "TAMIS_TEST_QUARANTINE";

#[tokio::test]
#[ignore = "is the other process of the two tests below"]
async fn child() {
    // Without its parent it has nothing to do.
    let Some(folder) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let config = config::Quarantine {
        store: folder.join("quarantine"),
        keep: BTreeMap::new(),
        max_bytes: u64::MAX,
        min_free_bytes: 0,
        release_to: NextHop { lmtp: false, address: Address::Tcp("127.0.0.1:1".to_owned()) },
    };
    let quarantine = Quarantine::open(&config, &folder.join("db")).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let quarantine = quarantine.clone();
        tasks.spawn(async move {
            for n in 0_usize.. {
                match quarantine.store(entry(&[b'x'; 100_000])).await {
                    Ok(stored) => println!("\nstored {}", stored.id),
                    Err(trouble) if trouble.is_no_space() => return println!("\nno space"),
                    Err(trouble) => return println!("\ntrouble {n} {trouble}"),
                }
            }
        });
    }
    tasks.join_all().await;
}

fn start_child(house: &House, shell: &str) -> std::process::Child {
    let program = std::env::current_exe().unwrap();
    std::process::Command::new("sh")
        .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
        .arg(program)
        .args(["--exact", "quarantine::tests::child", "--ignored", "--nocapture"])
        .env(CHILD, house.folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn what_was_answered_before_kill_9_is_there_and_whole() {
    use std::io::BufRead as _;
    let house = House::new();
    let mut answered = Vec::new();
    for round in 1..=4 {
        let mut child = start_child(&house, "");
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.by_ref().map(Result::unwrap) {
            answered.extend(line.strip_prefix("stored ").map(str::to_owned));
            if answered.len() >= round * 25 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died, and nobody had read yet.
        let rest = lines.map(Result::unwrap);
        answered.extend(rest.filter_map(|line| line.strip_prefix("stored ").map(str::to_owned)));
    }
    assert!(answered.len() >= 100);
    let recovery = house.quarantine.recover().unwrap();
    assert_eq!((recovery.missing, recovery.unreadable), (0, 0), "{recovery:?}");
    assert_eq!(house.quarantine.recover().unwrap(), Recovery::default());
    for id in &answered {
        assert_eq!(house.quarantine.octets(id).unwrap().raw.len(), 100_000);
    }
    for id in ids(&house.quarantine, "") {
        assert_eq!(house.quarantine.octets(&id).unwrap().raw.len(), 100_000, "adopted whole");
    }
}

#[test]
fn a_file_that_cannot_be_written_whole_is_no_space_and_leaves_nothing() {
    let house = House::new();
    // 64 blocks of 512 octets: neither a mail nor the index fits.
    let child = start_child(&house, "trap '' XFSZ; ulimit -f 64;");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("no space"), "{said}");
    assert!(!said.contains("stored ") && !said.contains("trouble"), "{said}");
    assert!(ids(&house.quarantine, "").is_empty());
    let mut files = 0;
    for folder in fs::read_dir(&house.config.store).unwrap() {
        files += fs::read_dir(folder.unwrap().path()).unwrap().count();
    }
    assert_eq!(files, 0);
}
