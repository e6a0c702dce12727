//! Every mail of the corpus through the running program: what passes goes on as it came, what is kept is kept as it came.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::support::client::Client;
use crate::support::corpus::Mails;
use crate::support::sink::{Sink, Taken};
use crate::support::tamis::Setup;
use crate::support::{contains, show};

const LANES: usize = 4;
/// Lines of these names are ours to say; a stranger's are dropped.
const OURS: [&str; 7] = [
    "x-spam-",
    "x-spam:",
    "x-virus-",
    "x-amavis-",
    "x-quarantine-id",
    "x-tamis-",
    "authentication-results",
];

/// A mail as a client sends it: each line ends in CR LF.
fn wire(file: &[u8]) -> Vec<u8> {
    let mut mail = Vec::with_capacity(file.len() + file.len() / 40);
    let mut before = 0;
    for &octet in file {
        if octet == b'\n' && before != b'\r' {
            mail.push(b'\r');
        }
        mail.push(octet);
        before = octet;
    }
    if !mail.ends_with(b"\r\n") {
        mail.extend_from_slice(b"\r\n");
    }
    mail
}

/// True if a carriage return stands alone: that mail cannot go on as it came.
fn has_bare_return(mail: &[u8]) -> bool {
    memchr::memchr_iter(b'\r', mail).any(|at| mail.get(at + 1) != Some(&b'\n'))
}

/// Header fields, each with its folded lines, and the rest from the empty line on.
fn fields(mail: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut fields: Vec<&[u8]> = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in mail.split_inclusive(|octet| *octet == b'\n') {
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        if line == b"\r\n" {
            break;
        }
        if !folded && at > start {
            fields.push(&mail[start..at]);
            start = at;
        }
        at += line.len();
    }
    if at > start {
        fields.push(&mail[start..at]);
    }
    (fields, &mail[at..])
}

fn is_ours(field: &[u8]) -> bool {
    let name = field.to_ascii_lowercase();
    OURS.iter().any(|ours| name.starts_with(ours.as_bytes()))
}

/// True if below our block the mail is as it was, but for dropped lines of our names.
fn is_as_it_came(original: &[u8], now: &[u8]) -> bool {
    if now.ends_with(original) {
        return true;
    }
    let (was, was_body) = fields(original);
    let (is, is_body) = fields(now);
    let strip = |fields: Vec<&[u8]>| -> Vec<Vec<u8>> {
        fields.into_iter().filter(|field| !is_ours(field)).map(<[u8]>::to_vec).collect()
    };
    was_body == is_body && strip(is).ends_with(&strip(was))
}

struct Lane<'a> {
    sink: &'a Sink,
    ports: (u16, u16),
}

/// Sends one mail and says what went wrong. The sender's address carries its number, so that it can be found again.
fn pass(
    lane: &Lane,
    client: &mut Client,
    number: usize,
    mail: &[u8],
    codes: &Mutex<BTreeMap<u16, usize>>,
) -> Option<String> {
    let from = format!("n{number}@sender.example");
    lane.sink.forget();
    let heard = client.mail(&from, &["bob@lab.example"], mail);
    *codes.lock().unwrap().entry(heard.code()).or_default() += 1;
    match heard.code() {
        250 => {}
        500.. => return None,
        _ => return Some(format!("{heard:?}")),
    }
    let taken: Vec<Taken> = lane.sink.taken();
    match taken.as_slice() {
        // Kept: the quarantine is looked at when all were sent.
        [] => None,
        [taken] if !taken.defects.is_empty() => Some(taken.defects.join(", ")),
        [_] if has_bare_return(mail) => None,
        [taken] if is_as_it_came(mail, &taken.message) => None,
        [taken] => {
            Some(format!("changed: {}", show(&taken.message[..taken.message.len().min(2000)])))
        }
        more => Some(format!("arrived {} times", more.len())),
    }
}

#[test]
fn every_mail_of_the_corpus_goes_on_or_is_kept_as_it_came() {
    let Some(mails) = Mails::unpack() else { return };
    let sinks: Vec<Sink> = (0..LANES).map(|_| Sink::start()).collect();
    let mut setup = Setup::to(sinks[0].port);
    setup.next_hops = sinks.iter().map(|sink| sink.port).collect();
    let tamis = setup.start();
    let (codes, bad) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for (index, (sink, ports)) in sinks.iter().zip(tamis.pairs()).enumerate() {
            let (mails, codes, bad) = (&mails, &codes, &bad);
            scope.spawn(move || {
                let lane = Lane { sink, ports: *ports };
                for (turn, number) in (index..mails.files.len()).step_by(LANES).enumerate() {
                    // Now on one port, now on the other, with a connection for each mail, as Postfix does.
                    let port = if turn % 2 == 0 { lane.ports.0 } else { lane.ports.1 };
                    let file = &mails.files[number];
                    let mail = wire(&std::fs::read(file).unwrap());
                    let mut client = Client::greeted(port);
                    if let Some(fault) = pass(&lane, &mut client, number, &mail, codes) {
                        let short: String = fault.chars().take(600).collect();
                        bad.lock().unwrap().push(format!("{}: {short}", file.display()));
                    }
                    client.ask("QUIT");
                }
            });
        }
    });
    let mut bad = bad.into_inner().unwrap();
    let kept = tamis.quarantined();
    for (path, stored) in &kept {
        let top = &stored[..stored.len().min(4000)];
        let number = (0..mails.files.len())
            .find(|number| contains(top, format!("<n{number}@sender.example>").as_bytes()));
        let Some(number) = number else {
            bad.push(format!("{} names no sender", path.display()));
            continue;
        };
        let mail = wire(&std::fs::read(&mails.files[number]).unwrap());
        if !has_bare_return(&mail) && !stored.ends_with(&mail) {
            bad.push(format!(
                "{}: kept changed as {}",
                mails.files[number].display(),
                path.display()
            ));
        }
    }
    println!(
        "{} mails, replies {:?}, {} kept",
        mails.files.len(),
        codes.into_inner().unwrap(),
        kept.len()
    );
    assert!(bad.is_empty(), "{} faults:\n{}", bad.len(), bad.join("\n"));
    assert!(!tamis.log().contains("panicked"), "{}", tamis.log());
}
