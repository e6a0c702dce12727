use std::time::Instant;

use super::*;
use crate::filters::spam::bayes::ask;
use crate::filters::standing::Bounce;

fn tokens(words: &[&str]) -> Vec<Token> {
    words.iter().map(|word| Token::of("", word)).collect()
}

fn store() -> (tempfile::TempDir, Learned) {
    let folder = tempfile::tempdir().unwrap();
    let learned = Learned::new(&folder.path().join("learned.db"), 1_000_000);
    (folder, learned)
}

fn network(text: &str) -> Whose {
    Whose::Network(text.to_owned())
}

fn counts(learned: &Learned, word: &str) -> (u32, u32) {
    let counts = learned.look_up(Owner::Site, &tokens(&[word])).unwrap();
    (counts[0].spam, counts[0].ham)
}

#[test]
fn nothing_is_created_by_asking() {
    let (folder, learned) = store();
    assert_eq!(learned.totals(Owner::Site).unwrap(), Totals::default());
    assert_eq!(counts(&learned, "a"), (0, 0));
    assert_eq!(learned.standing(&Question::default()).unwrap(), Standing::NOTHING);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_mail_is_learned_once_changes_sides_and_is_forgotten() {
    let (_folder, learned) = store();
    let words = tokens(&["a", "b"]);
    let learn = |class| learned.learn(Owner::Site, "m", class, &words).unwrap();
    let totals = || learned.totals(Owner::Site).unwrap();
    assert_eq!(learn(Class::Spam), Learnt::New);
    assert_eq!(learn(Class::Spam), Learnt::Known);
    assert_eq!((counts(&learned, "a"), totals()), ((1, 0), Totals { spam: 1, ham: 0 }));
    assert_eq!(learn(Class::Ham), Learnt::Changed);
    assert_eq!((counts(&learned, "a"), totals()), ((0, 1), Totals { spam: 0, ham: 1 }));
    assert!(learned.forget(Owner::Site, "m", &words).unwrap());
    assert!(!learned.forget(Owner::Site, "m", &words).unwrap());
    assert_eq!((counts(&learned, "a"), totals()), ((0, 0), Totals::default()));
    assert_eq!(learned.word_count().unwrap(), 0);
    assert_eq!(learned.learn(Owner::Site, "e", Class::Ham, &[]).unwrap(), Learnt::Empty);
}

#[test]
fn what_a_user_learned_is_his_alone() {
    let (_folder, learned) = store();
    let words = tokens(&["a"]);
    learned.learn(Owner::User("Jo@Example.org"), "m", Class::Spam, &words).unwrap();
    assert_eq!(learned.totals(Owner::User("jo@example.org")).unwrap().spam, 1);
    assert_eq!(learned.totals(Owner::Site).unwrap().spam, 0);
    assert_eq!(counts(&learned, "a"), (0, 0));
}

#[test]
fn all_lessons_of_a_batch_are_learned_or_none() {
    let (_folder, learned) = store();
    let lesson = |message: &str, class| Lesson {
        message: message.to_owned(),
        class,
        tokens: tokens(&["a", message]),
    };
    let lessons =
        [lesson("1", Some(Class::Spam)), lesson("2", Some(Class::Ham)), lesson("3", None)];
    let taught = learned.teach(Owner::Site, &lessons).unwrap();
    assert_eq!(taught[2], Taught::Forgotten(false));
    assert_eq!(counts(&learned, "a"), (1, 1));
}

#[test]
fn a_mail_waits_for_no_learner() {
    let (_folder, learned) = store();
    learned.learn(Owner::Site, "m", Class::Spam, &tokens(&["a"])).unwrap();
    let other = Connection::open(learned.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; UPDATE tokens SET spam = 9").unwrap();
    let began = Instant::now();
    assert_eq!(counts(&learned, "a"), (1, 0));
    learned.touch(Owner::Site, &tokens(&["a"]));
    learned.judged_later(vec![network("192.0.2.0/24")], Class::Spam);
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    other.execute_batch("ROLLBACK").unwrap();
    learned.flush();
    assert_eq!(learned.lost(), 0);
}

#[test]
fn a_locked_database_gives_no_answer_in_time() {
    let (_folder, learned) = store();
    learned.learn(Owner::Site, "m", Class::Spam, &tokens(&["a"])).unwrap();
    let file = learned.file().to_path_buf();
    drop(learned);
    let other = Connection::open(&file).unwrap();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let began = Instant::now();
    let learned = Learned::new(&file, 1_000);
    let why = learned.totals(Owner::Site).unwrap_err();
    assert!(why.contains("locked"), "{why}");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[test]
fn a_damaged_database_is_no_answer_and_no_panic() {
    for octets in [b"this is no database, and never was one".repeat(100), vec![0; 5_000]] {
        let (_folder, learned) = store();
        std::fs::write(learned.file(), &octets).unwrap();
        // Zeros are what is left of a file after some crashes: no tables, so nothing was learned.
        let answer = learned.totals(Owner::Site);
        assert!(answer.is_err() || answer == Ok(Totals::default()), "{answer:?}");
        learned.judged_later(vec![network("x")], Class::Ham);
        learned.flush();
    }
    let (_folder, learned) = store();
    for number in 0..200 {
        let words: Vec<String> = (0..20).map(|word| format!("{number} {word}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        learned.learn(Owner::Site, &number.to_string(), Class::Spam, &tokens(&words)).unwrap();
    }
    let file = learned.file().to_path_buf();
    drop(learned);
    let mut octets = std::fs::read(&file).unwrap();
    let length = octets.len();
    octets[4_096..length].fill(0x55);
    std::fs::write(&file, octets).unwrap();
    let learned = Learned::new(&file, 1_000);
    let words = tokens(&["1 1", "2 2"]);
    let answer = learned.totals(Owner::Site).and_then(|_| learned.look_up(Owner::Site, &words));
    assert!(answer.unwrap_err().contains("damaged"));
}

#[test]
fn what_was_of_no_use_for_the_longest_time_goes_first() {
    let (_folder, learned) = store();
    let all: Vec<String> = (0..1_000).map(|word| format!("w{word}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let learned = Learned::new(learned.file(), 400);
    learned.learn(Owner::Site, "1", Class::Spam, &tokens(&all)).unwrap();
    learned.learn(Owner::Site, "2", Class::Spam, &tokens(&all[500..600])).unwrap();
    let other = Connection::open(learned.file()).unwrap();
    other.execute("UPDATE tokens SET used = used - 10 WHERE spam = 1", []).unwrap();
    learned.touch(Owner::Site, &tokens(&["w7"]));
    learned.flush();
    learned.expire().unwrap();
    assert_eq!(learned.word_count().unwrap(), 300);
    assert_eq!((counts(&learned, "w7").0, counts(&learned, "w555").0), (1, 2));
}

#[test]
fn what_waits_is_learned_and_what_is_too_much_is_counted() {
    let (_folder, learned) = store();
    learned.learn_later("m".to_owned(), Class::Ham, || tokens(&["a"]));
    learned.flush();
    assert_eq!(counts(&learned, "a"), (0, 1));
    let (go, wait) = std::sync::mpsc::channel::<()>();
    learned.learn_later("slow".to_owned(), Class::Ham, move || {
        let _ = wait.recv();
        Vec::new()
    });
    for number in 0..100 {
        learned.learn_later(number.to_string(), Class::Ham, || tokens(&["b"]));
    }
    assert!(learned.lost() >= 80, "{}", learned.lost());
    go.send(()).unwrap();
    learned.flush();
    assert!(counts(&learned, "b").1 >= 15);
}

#[test]
fn people_we_wrote_to_are_known_if_all_recipients_did() {
    let (_folder, learned) = store();
    let day = now().div_euclid(86_400);
    let sent = Sent {
        from: "Jo@example.org".to_owned(),
        to: vec!["Ann@example.net".to_owned()],
        message_id: "<1@example.org>".to_owned(),
        day: day - 3,
    };
    learned.remember_later(sent);
    learned.flush();
    let ask = |from: &str, to: &[&str], references: &[&str]| {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let (to, references) = (owned(to), owned(references));
        let question = Question { from: from.to_owned(), to, references, ..Question::default() };
        learned.standing(&question).unwrap()
    };
    assert_eq!(ask("ann@example.net", &["jo@example.org"], &[]).correspondent_days, Some(3));
    assert_eq!(
        ask("ann@example.net", &["jo@example.org", "x@example.org"], &[]).correspondent_days,
        None
    );
    assert_eq!(ask("jo@example.org", &["ann@example.net"], &[]).correspondent_days, None);
    assert_eq!(
        ask("x@y", &["jo@example.org"], &["0@x", "1@example.org"]).reply_to.unwrap(),
        "1@example.org"
    );
    assert_eq!(ask("x@y", &["jo@example.org"], &["0@x"]).reply_to, None);
}

#[test]
fn reports_about_mail_that_we_never_sent_are_known_once_memory_reaches_back() {
    let (_folder, learned) = store();
    let today = now().div_euclid(86_400);
    let sent = |id: &str, day| Sent {
        from: "jo@example.org".to_owned(),
        message_id: id.to_owned(),
        day,
        ..Sent::default()
    };
    let bounce = |id: &str, ours| {
        let bounced = Some((id.to_owned(), ours));
        learned.standing(&Question { bounced, ..Question::default() }).unwrap().bounce
    };
    learned.remember(&[sent("<1@example.org>", today)]).unwrap();
    assert_eq!(bounce("<1@example.org>", true), Some(Bounce::Ours));
    assert_eq!(bounce("<2@example.org>", true), None);
    learned.remember(&[sent("<0@example.org>", today - 8)]).unwrap();
    assert_eq!(bounce("<2@example.org>", true), Some(Bounce::Others));
    assert_eq!(bounce("<2@example.net>", false), None);
}

#[test]
fn a_reputation_rises_is_capped_and_halves_in_a_week() {
    let (_folder, learned) = store();
    let whose = vec![network("192.0.2.0/24")];
    let ask = || {
        let question = Question { reputations: whose.clone(), ..Question::default() };
        learned.standing(&question).unwrap().reputations.first().map(|one| one.value)
    };
    for _ in 0..2 {
        learned.judged_later(whose.clone(), Class::Spam);
    }
    learned.flush();
    assert_eq!(ask(), None, "two mails are no reputation");
    for _ in 0..500 {
        learned.judged_later(whose.clone(), Class::Spam);
        learned.flush();
    }
    let high = ask().unwrap();
    assert!((0.99..=1.0).contains(&high), "{high}");
    let other = Connection::open(learned.file()).unwrap();
    other.execute("UPDATE reputations SET time = time - 7 * 86400", []).unwrap();
    let half = ask().unwrap();
    assert!((half - high / 2.0).abs() < 0.01, "{half}");
    for _ in 0..10 {
        learned.judged_later(whose.clone(), Class::Ham);
    }
    learned.flush();
    assert!(ask().unwrap() < 0.0);
}

#[test]
fn networks_signers_and_senders_have_reputations_of_their_own() {
    let (_folder, learned) = store();
    let signer = Whose::Signer("News.Example".to_owned());
    let sender = Whose::Sender("Ann@example.net".to_owned());
    for _ in 0..4 {
        learned.judged_later(vec![network("192.0.2.0/24"), signer.clone()], Class::Spam);
        learned.judged_later(vec![sender.clone()], Class::Ham);
    }
    learned.flush();
    let ask = |whose: &[Whose]| {
        let question = Question { reputations: whose.to_vec(), ..Question::default() };
        let found = learned.standing(&question).unwrap().reputations;
        found.into_iter().map(|one| (one.whose, one.value > 0.0)).collect::<Vec<_>>()
    };
    let lower = Whose::Signer("news.example".to_owned());
    assert_eq!(
        ask(&[sender.clone(), lower.clone(), network("198.51.100.0/24")]),
        [(sender, false), (lower, true)]
    );
    // The same word is another one where it is said of another kind.
    assert_eq!(ask(&[network("news.example"), Whose::Sender("news.example".to_owned())]), []);
    let other = Connection::open(learned.file()).unwrap();
    let told: i64 = other
        .query_row("SELECT count(*) FROM reputations WHERE whose LIKE '%ann%'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(told, 0, "the file names nobody");
}

#[test]
fn of_too_many_reputations_those_go_that_were_not_seen_for_the_longest_time() {
    let (_folder, learned) = store();
    for number in 0..10 {
        learned.judged_later(vec![Whose::Signer(format!("d{number}.test"))], Class::Spam);
    }
    learned.flush();
    let mut connection = Connection::open(learned.file()).unwrap();
    connection
        .execute("UPDATE reputations SET time = time - 100 WHERE whose < 'dkim:d6'", [])
        .unwrap();
    let left = |connection: &Connection| -> Vec<String> {
        let mut asked = connection.prepare("SELECT whose FROM reputations ORDER BY whose").unwrap();
        asked.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    for (max, want) in [(10, 10), (4, 4)] {
        let transaction = connection.transaction().unwrap();
        people::expire(&transaction, now(), max).unwrap();
        transaction.commit().unwrap();
        assert_eq!(left(&connection).len(), want);
    }
    let kept = ["dkim:d6.test", "dkim:d7.test", "dkim:d8.test", "dkim:d9.test"];
    assert_eq!(left(&connection), kept);
}

#[test]
fn the_store_answers_what_it_was_taught() {
    let (_folder, learned) = store();
    let words = |text: &str| {
        let visible = vec![String::new(), text.to_owned()];
        let inputs = crate::filters::spam::bayes::Inputs { visible, ..Default::default() };
        crate::filters::spam::bayes::words(&inputs, &[])
    };
    for number in 0..20 {
        let spam = words(&format!("cheap replica watches {number}"));
        let ham = words(&format!("minutes of the meeting {number}"));
        learned.learn(Owner::Site, &format!("s{number}"), Class::Spam, &spam.tokens()).unwrap();
        learned.learn(Owner::Site, &format!("h{number}"), Class::Ham, &ham.tokens()).unwrap();
    }
    let opinion = ask(&learned, Owner::Site, &words("cheap watches")).unwrap().unwrap();
    assert!(opinion.chance > 0.9, "{opinion:?}");
}

#[test]
fn a_mail_is_known_again_with_other_line_ends_and_not_with_another_body() {
    let of = |text: &[u8]| {
        identity(&crate::mime::decode(text.to_vec().into(), &crate::mime::Limits::default()))
    };
    let one = of(b"Message-ID: <1@x>\r\n\r\nHello\r\nyou\r\n");
    assert_eq!(one, of(b"Received: by z\r\nMessage-ID: <1@x>\r\n\r\nHello\r\nyou\r\n\r\n"));
    assert_ne!(one, of(b"Message-ID: <1@x>\r\n\r\nBuy\r\n"));
    assert_ne!(one, of(b"Message-ID: <2@x>\r\n\r\nHello\r\nyou\r\n"));
}
