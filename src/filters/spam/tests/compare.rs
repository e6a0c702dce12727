//! Our texts against those that SpamAssassin itself made of the same messages.
//!
//! `TAMIS_SA_TEXTS` names a folder of `*.jsonl` files, one message a line: `f` its file, `body` and `rawbody` the
//! texts in pieces, `hdr` header texts by name; written by SpamAssassin's own library, octets as Latin-1.
//! `TAMIS_SA_EVERY=10` looks at every tenth message. Run with `--run-ignored all`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;

use crate::filters::Mail;
use crate::filters::spam::Engine;
use crate::filters::spam::text::{Segments, Selector};
use crate::filters::spam::view::View;
use crate::mail::{Envelope, Message};

/// A line of such a file, its octets one character each.
fn lines() -> Vec<serde_json::Value> {
    let folder = std::env::var("TAMIS_SA_TEXTS").expect("TAMIS_SA_TEXTS names a folder");
    let every: usize = std::env::var("TAMIS_SA_EVERY").map_or(1, |text| text.parse().unwrap());
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "jsonl"));
    files.sort();
    let mut out = Vec::new();
    for file in files {
        let octets = std::fs::read(file).unwrap();
        for line in octets.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()) {
            let text: String = line.iter().map(|octet| char::from(*octet)).collect();
            out.push(text);
        }
    }
    out.iter().step_by(every).map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(in crate::filters::spam) fn octets(value: &serde_json::Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_default();
    text.chars().map(|letter| u8::try_from(letter).unwrap_or(b'?')).collect()
}

fn pieces(value: &serde_json::Value) -> Vec<Vec<u8>> {
    value.as_array().map(|all| all.iter().map(octets).collect()).unwrap_or_default()
}

fn of(segments: &Segments) -> Vec<Vec<u8>> {
    (0..segments.len()).map(|index| segments.get(index).0.to_vec()).collect()
}

/// SpamAssassin's FreeMail functions take addresses out of the very text that rules look at, and the dump was made
/// after that: here they are taken out on both sides, and all white space with them.
fn without_addresses(pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let pattern = r"(?i-u)<?https?://\S{0,255}(?:@|%40)\S{0,255}|<?[^\s<>]*@[^\s<>]*(?:>|\s{1,10}[a-z-]{2,11}:)?";
    let addresses = regex::bytes::Regex::new(pattern).unwrap();
    let clean = |piece: &Vec<u8>| {
        let mut text = addresses.replace_all(piece, b"".as_slice()).into_owned();
        text.retain(|octet| !octet.is_ascii_whitespace());
        text
    };
    pieces.iter().map(clean).collect()
}

/// The first place where they differ.
fn difference(ours: &[u8], theirs: &[u8]) -> String {
    let same = ours.iter().zip(theirs).take_while(|(one, other)| one == other).count();
    let near = |text: &[u8]| {
        let start = same.saturating_sub(30);
        let end = text.len().min(same + 50);
        format!("{:?}", String::from_utf8_lossy(text.get(start..end).unwrap_or_default()))
    };
    format!("at {same}\n   ours   {}\n   theirs {}", near(ours), near(theirs))
}

/// The mail that a line is about, if it is still there.
fn mail_of(line: &serde_json::Value) -> Option<(&str, Message)> {
    let file = line["f"].as_str()?;
    let raw = std::fs::read(file).ok()?;
    Some((file, Message { raw: Bytes::from(raw), ..Message::default() }))
}

#[test]
#[ignore = "needs texts that SpamAssassin made"]
fn texts_are_those_that_spamassassin_makes() {
    let (engine, _) = Engine::load(&[], &BTreeMap::new());
    let show: usize = std::env::var("TAMIS_SA_SHOW").map_or(20, |text| text.parse().unwrap());
    let only = std::env::var("TAMIS_SA_ONLY").unwrap_or_default();
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut shown = 0;
    for line in lines() {
        let Some((file, message)) = mail_of(&line) else { continue };
        let envelope = Envelope::default();
        let mail = Mail::alone(&envelope, &message);
        let view = View::new(&engine, &mail);
        let mut check = |what: &str, ours: Vec<Vec<u8>>, theirs: Vec<Vec<u8>>| {
            let count = counts.entry(what.to_owned()).or_default();
            count.0 += 1;
            if ours != theirs {
                count.1 += 1;
                if shown < show && (only.is_empty() || only == what) {
                    shown += 1;
                    let (ours, theirs) = (ours.join(&b'|'), theirs.join(&b'|'));
                    println!("{what} {file} {}", difference(&ours, &theirs));
                }
            }
        };
        check("body", of(view.body()), pieces(&line["body"]));
        let ours = without_addresses(&of(view.body()));
        check("body without addresses", ours, without_addresses(&pieces(&line["body"])));
        check("rawbody", of(view.raw_body()), pieces(&line["rawbody"]));
        for name in ["From:addr", "From:name", "ToCc", "MESSAGEID", "ALL", "Subject"] {
            // The other side was asked in list context and joined nothing: the first value stands for all there.
            let selector = Selector::parse(name).unwrap();
            let ours = selector.text(&view).unwrap_or_default();
            let theirs = octets(&line["hdr"][name]);
            let ours = if name.contains(':') {
                ours.split(|octet| *octet == b'\n').next().unwrap_or_default().to_vec()
            } else {
                ours
            };
            check(name, vec![ours], vec![theirs]);
        }
    }
    for (what, (all, bad)) in counts {
        println!("{what}: {bad} of {all} differ");
    }
}

/// The calls of rules, by `conf.json` in the same folder: SpamAssassin's own tables.
fn calls() -> Vec<(String, String)> {
    let folder = PathBuf::from(std::env::var("TAMIS_SA_TEXTS").unwrap());
    let octets = std::fs::read(folder.join("conf.json")).unwrap();
    let text: String = octets.iter().map(|octet| char::from(*octet)).collect();
    let conf: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut out = Vec::new();
    for kind in ["body_evals", "rawbody_evals", "head_evals", "full_evals"] {
        for (name, rule) in conf[kind].as_object().into_iter().flatten() {
            let arguments = rule["v"][1].as_array().cloned().unwrap_or_default();
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            // In patterns a backslash stands twice in JSON.
            let arguments = arguments.join(",").replace("\\\\", "\\");
            out.push((name.clone(), format!("{}({arguments})", rule["v"][0].as_str().unwrap())));
        }
    }
    out
}

#[test]
#[ignore = "needs texts that SpamAssassin made"]
fn functions_hit_where_those_of_spamassassin_hit() {
    let (engine, _) = Engine::load(&[], &BTreeMap::new());
    let mut rules = Vec::new();
    for (name, call) in calls() {
        let ours = ["html_", "check_iframe", "check_for_mime", "check_m", "check_for_ascii"]
            .iter()
            .chain(&[
                "check_abundant",
                "image_",
                "check_for_upper",
                "check_base64",
                "check_qp",
                "check_for_faraway_charset(",
            ])
            .any(|start| call.starts_with(start));
        if ours && let Ok(call) = crate::filters::spam::evals::call(&call) {
            rules.push((name, call, 0, Vec::new(), Vec::new()));
        }
    }
    for line in lines() {
        let Some((file, message)) = mail_of(&line) else { continue };
        let envelope = Envelope::default();
        let mail = Mail::alone(&envelope, &message);
        let view = View::new(&engine, &mail);
        let hits = line["hits"].as_array().into_iter().chain(line["sub"].as_array()).flatten();
        let hits: Vec<&str> = hits.filter_map(|hit| hit.as_str()?.split('(').next()).collect();
        for (name, call, hit, false_hits, missed) in &mut rules {
            let ours = call.ask(&view) != crate::filters::spam::evals::Answer::No;
            let theirs = hits.contains(&name.as_str());
            *hit += usize::from(theirs);
            match (ours, theirs) {
                (true, false) => false_hits.push(file.to_owned()),
                (false, true) => missed.push(file.to_owned()),
                _ => {}
            }
        }
    }
    for (name, _, hit, false_hits, missed) in rules {
        let odd: Vec<&String> = false_hits.iter().chain(&missed).take(3).collect();
        println!("{name}: {hit} hits, {} false, {} missed {odd:?}", false_hits.len(), missed.len());
    }
}
