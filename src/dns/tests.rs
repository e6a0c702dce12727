//! Our resolver against an authority of our own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::stub::{Reply, Stub};
use super::*;

fn dns(stub: &Stub) -> Arc<Dns> {
    Arc::new(Dns::new(&[stub.address], Duration::from_millis(400)).unwrap())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

async fn ask(dns: &Dns, name: &str, kind: RecordKind) -> Answer {
    dns.ask(&Question::new(name, kind), soon()).await
}

fn list(zone: &str, front: &str) -> Wanted {
    Wanted {
        question: Question::new(&format!("{front}.{zone}"), RecordKind::A),
        list: Some((zone.into(), ListKind::Address)),
    }
}

#[tokio::test]
async fn answers_of_all_kinds_are_read() {
    let stub = Stub::start();
    stub.add("a.test", "A", &["192.0.2.1", "192.0.2.2"]);
    stub.add("a.test", "MX", &["20 B.test", "10 c.test"]);
    stub.add("t.test", "TXT", &["one\x1f two"]);
    stub.add("alias.test", "CNAME", &["a.test"]);
    stub.set("broken.test", "*", Reply::Failure);
    let dns = dns(&stub);
    let a = ask(&dns, "A.TEST.", RecordKind::A).await;
    assert_eq!(a.addresses().count(), 2);
    let mx = ask(&dns, "a.test", RecordKind::Mx).await;
    assert_eq!(mx.names().collect::<Vec<_>>(), ["c.test", "b.test"]);
    let txt = ask(&dns, "t.test", RecordKind::Txt).await;
    assert_eq!(txt.texts().collect::<Vec<_>>(), [b"one two"]);
    assert_eq!(ask(&dns, "alias.test", RecordKind::A).await.addresses().count(), 2);
    assert_eq!(ask(&dns, "t.test", RecordKind::A).await, Answer::NoData);
    assert_eq!(ask(&dns, "none.test", RecordKind::A).await, Answer::NoName);
    assert!(matches!(ask(&dns, "broken.test", RecordKind::A).await, Answer::Failed(_)));
    let long = format!("{}.test", "a".repeat(64));
    assert_eq!(ask(&dns, &long, RecordKind::A).await, Answer::NoName);
    assert_eq!(ask(&dns, "a..test", RecordKind::A).await, Answer::NoName);
}

#[tokio::test]
async fn good_and_bad_answers_are_kept() {
    let stub = Stub::start();
    stub.add("a.test", "A", &["192.0.2.1"]);
    let dns = dns(&stub);
    for name in ["a.test", "none.test", "a.test", "none.test"] {
        ask(&dns, name, RecordKind::A).await;
    }
    assert_eq!(stub.asked().len(), 2);
}

#[tokio::test]
async fn a_text_too_big_for_udp_comes_by_tcp() {
    let stub = Stub::start();
    let big = "x".repeat(6_000);
    stub.add("big.test", "TXT", &[&big]);
    stub.add("huge.test", "TXT", &[&big, &big, &big, &big]);
    let dns = dns(&stub);
    let answer = ask(&dns, "big.test", RecordKind::Txt).await;
    assert_eq!(answer.texts().map(<[u8]>::len).collect::<Vec<_>>(), [6_000]);
    let answer = ask(&dns, "huge.test", RecordKind::Txt).await;
    assert!(matches!(answer, Answer::Failed(_)), "{answer:?}");
}

#[tokio::test]
async fn silence_ends_with_the_time_limit_and_then_nobody_asks() {
    let stub = Stub::start();
    stub.die();
    let dns = dns(&stub);
    let began = Instant::now();
    let wanted = (0..6).map(|number| Wanted {
        question: Question::new(&format!("{number}.test"), RecordKind::A),
        list: None,
    });
    let asked = dns.ask_all(wanted.collect(), soon()).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(asked.not_run.len(), 6, "{:?}", asked.not_run);
    let before = stub.asked().len();
    let began = Instant::now();
    assert!(matches!(ask(&dns, "again.test", RecordKind::A).await, Answer::Failed(_)));
    assert!(began.elapsed() < Duration::from_millis(100));
    assert_eq!(stub.asked().len(), before);
}

#[tokio::test]
async fn a_strangers_silent_servers_do_not_blame_the_resolver() {
    let stub = Stub::start();
    stub.add("a.test", "A", &["192.0.2.1"]);
    for number in 0..8 {
        stub.set(&format!("{number}.test"), "*", Reply::Silence);
    }
    let dns = dns(&stub);
    let wanted = (0..8).map(|number| Wanted {
        question: Question::new(&format!("{number}.test"), RecordKind::A),
        list: None,
    });
    dns.ask_all(wanted.collect(), soon()).await;
    assert!(matches!(ask(&dns, "a.test", RecordKind::A).await, Answer::Records(_)));
}

#[tokio::test]
async fn a_budget_ends_all_questions() {
    let stub = Stub::start();
    stub.die();
    let dns = Arc::new(Dns::new(&[stub.address], Duration::from_secs(20)).unwrap());
    let began = Instant::now();
    let until = began + Duration::from_millis(300);
    let asked = dns.ask_all(vec![list("l.test", "4.3.2.1")], until).await;
    assert!(began.elapsed() < Duration::from_secs(1));
    let not_run: Vec<&str> = asked.not_run.iter().map(|one| one.check.as_str()).collect();
    assert_eq!(not_run, ["dnsbl:l.test"]);
}

#[tokio::test]
async fn only_a_list_that_was_tried_is_believed() {
    let stub = Stub::start();
    for (name, reply) in [
        ("2.0.0.127.good.test", "127.0.0.2"),
        ("4.3.2.1.good.test", "127.0.0.4"),
        ("1.0.0.127.dead.test", "127.0.0.2"),
        ("4.3.2.1.dead.test", "127.0.0.2"),
        ("4.3.2.1.refuses.test", "127.255.255.254"),
        ("4.3.2.1.untried.test", "127.0.0.2"),
    ] {
        stub.add(name, "A", &[reply]);
    }
    stub.set("1.0.0.127.untried.test", "*", Reply::Failure);
    let dns = dns(&stub);
    let zones = ["good.test", "dead.test", "refuses.test", "untried.test", "quiet.test"];
    let wanted: Vec<Wanted> = zones.iter().map(|zone| list(zone, "4.3.2.1")).collect();
    let asked = dns.ask_all(wanted.clone(), soon()).await;
    let hits: Vec<usize> = wanted
        .iter()
        .map(|one| {
            let answer = asked.answers.get(&one.question).unwrap();
            crate::filters::dns::entries(answer).count()
        })
        .collect();
    assert_eq!(hits, [1, 0, 0, 0, 0]);
    let mut not_run: Vec<&str> = asked.not_run.iter().map(|one| one.check.as_str()).collect();
    not_run.sort_unstable();
    assert_eq!(not_run, ["dnsbl:dead.test", "dnsbl:refuses.test", "dnsbl:untried.test"]);
    assert_eq!(dns.troubles().len(), 1);
    let before = stub.asked().len();
    dns.ask_all(vec![list("dead.test", "9.9.9.9")], soon()).await;
    assert_eq!(stub.asked().len(), before, "a dead list is not asked again");
}
