//! The test suite for RFC 7208, put to our check and our resolver through an authority of our own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::*;
use crate::dns::stub::{Reply, Stub};

const SUITE: &str = include_str!("../../../tests/spf/rfc7208.txt");

/// Octets written as `\x80`.
fn octets(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((front, behind)) = rest.split_once('\\') {
        out.extend(front.as_bytes());
        if let Some(hex) = behind.strip_prefix('x') {
            let (octet, behind) = hex.split_at_checked(2).unwrap();
            out.push(u8::from_str_radix(octet, 16).unwrap());
            rest = behind;
        } else {
            out.push(b'\\');
            rest = behind.strip_prefix('\\').unwrap();
        }
    }
    out.extend(rest.as_bytes());
    out
}

fn text(text: &str) -> String {
    String::from_utf8(octets(text)).unwrap()
}

async fn run(group: &str) -> (usize, Vec<String>) {
    let stub = Stub::start();
    let mut zones: BTreeMap<(&str, &str), Vec<Vec<u8>>> = BTreeMap::new();
    let mut cases: Vec<Vec<&str>> = Vec::new();
    for line in group.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split('\t').collect();
        match words.as_slice() {
            ["zone", name, "TIMEOUT"] => stub.set(name, "*", Reply::Silence),
            ["zone", name, kind, value] => {
                zones.entry((name, kind)).or_default().push(octets(value));
            }
            ["case", rest @ ..] => cases.push(rest.to_vec()),
            _ => {}
        }
    }
    for ((name, kind), records) in zones {
        stub.set(name, kind, Reply::Records(records));
    }
    let dns = Dns::new(&[stub.address], Duration::from_millis(250)).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let [name, client, helo, sender, wanted, explanation] = case.as_slice() else {
            panic!("{case:?}")
        };
        let (helo, sender) = (text(helo), text(sender));
        let query = Query {
            client: client.parse().unwrap(),
            helo: &helo,
            sender: Some(sender.as_str()).filter(|sender| !sender.is_empty()),
            receiver: "us.test",
            now: 0,
            until: Instant::now() + Duration::from_secs(10),
        };
        let got = check(&dns, &query).await;
        let right = wanted.split(',').any(|word| word == got.result.as_str());
        if !right || (!explanation.is_empty() && got.explanation != text(explanation)) {
            wrong.push(format!("{name}: {got:?}, wanted {wanted} {explanation}"));
        }
    }
    (cases.len(), wrong)
}

#[tokio::test]
async fn the_test_suite_of_the_standard_passes() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for group in SUITE.split("\n[").skip(1) {
        let (cases, bad) = run(group).await;
        count += cases;
        wrong.extend(bad);
    }
    assert!(wrong.is_empty(), "{} of {count} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 190, "only {count} cases were found");
}

#[tokio::test]
async fn a_dead_dns_is_a_temporary_error_within_its_time() {
    let stub = Stub::start();
    stub.die();
    let dns = Dns::new(&[stub.address], Duration::from_secs(9)).unwrap();
    let began = Instant::now();
    let query = Query {
        client: "192.0.2.1".parse().unwrap(),
        helo: "mx.test",
        sender: Some("a@a.test"),
        receiver: "us.test",
        now: 0,
        until: began + Duration::from_millis(300),
    };
    assert_eq!(check(&dns, &query).await.result, AuthResult::TempError);
    assert!(began.elapsed() < Duration::from_secs(2));
}
