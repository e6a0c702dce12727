//! The evasion sets and the mails of every day through `tamis scan`, graded: how much is seen, and what honest mail pays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::corpus::{Mails, corpus};
use crate::support::sink::Sink;
use crate::support::tamis::{Setup, Tamis};

/// Mails for one run of the program.
const TOGETHER: usize = 200;
/// For one mail, where the build is the one that is installed.
const MILLISECONDS_MAX: f64 = 1_000.0;
/// Verdicts that come from decoding alone.
const OF_DECODING: [&str; 5] = ["ambiguous", "incomplete", "encrypted", "over-limits", "malformed"];

/// What became of one mail.
struct Seen {
    name: String,
    verdict: String,
    action: String,
    object: Value,
}

impl Seen {
    fn has(&self, list: &str) -> bool {
        self.object[list].as_array().is_some_and(|list| !list.is_empty())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let parts = self.object["parts"].as_array().into_iter().flatten();
        parts
            .flat_map(|part| part["names"].as_array().into_iter().flatten())
            .filter_map(Value::as_str)
    }

    /// The reasons, for people.
    fn why(&self) -> String {
        let reasons = self.object["reasons"].as_array().into_iter().flatten();
        let reasons: Vec<&str> = reasons.filter_map(Value::as_str).collect();
        let defects = self.object["defects"].as_array().into_iter().flatten();
        let defects: Vec<&str> = defects.filter_map(Value::as_str).collect();
        format!("{}: {} ({}) {:?} {:?}", self.name, self.verdict, self.action, reasons, defects)
    }

    /// Whether this is an outcome as the manifest of the evasion set names it.
    fn is(&self, outcome: &str) -> bool {
        match outcome {
            "detect-virus" => self.has("viruses"),
            "detect-banned" => self.has("banned"),
            "reject-malformed" => matches!(self.verdict.as_str(), "ambiguous" | "malformed"),
            "unchecked" => OF_DECODING.contains(&self.verdict.as_str()),
            "clean" => self.verdict == "clean" && self.action == "pass",
            other => panic!("{other} is no outcome"),
        }
    }
}

/// Scans the files; a panic, a missing verdict, a deferral or a mail that takes too long is a fault of ours.
fn scan(tamis: &Tamis, files: &[PathBuf]) -> Vec<Seen> {
    let mut all = Vec::new();
    for files in files.chunks(TOGETHER) {
        let mut command = tamis.command(&["scan", "--json"]);
        let output = command.arg("--").args(files).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!errors.contains("panicked"), "{errors}");
        for (line, file) in String::from_utf8_lossy(&output.stdout).lines().zip(files) {
            let object: Value = serde_json::from_str(line).unwrap();
            assert_eq!(object["file"].as_str(), file.to_str());
            let word = |key: &str| object[key].as_str().unwrap_or("none").to_owned();
            let took = object["timing_ms"]["total"].as_f64().unwrap_or(0.0);
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            assert!(cfg!(debug_assertions) || took < MILLISECONDS_MAX, "{name} took {took} ms");
            let (verdict, action) = (word("verdict"), word("action"));
            assert!(verdict != "none" && action != "defer", "{name}: {verdict} {action}");
            all.push(Seen { name, verdict, action, object });
        }
    }
    assert_eq!(all.len(), files.len(), "a verdict for each mail");
    all
}

/// A share as the report shows it, and the misses.
fn tell(what: &str, all: usize, misses: &[String]) {
    println!("{what}: {}/{all}", all - misses.len());
    for miss in misses {
        println!("    {miss}");
    }
}

fn python() -> Option<&'static str> {
    ["python3", "/usr/bin/python3"].into_iter().find(|program| {
        Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
    })
}

/// The generated evasion set: the folder, and a line for each case.
fn generated() -> Option<(tempfile::TempDir, Vec<Value>)> {
    let generator = corpus()?.join("evasion/generate.py");
    if !crate::support::has("the generator of evasions", generator.is_file()) {
        return None;
    }
    let program = python();
    if !crate::support::has("python3", program.is_some()) {
        return None;
    }
    let folder = crate::support::folder();
    let mut command = Command::new(program?);
    let made = command.arg(generator).arg("--out").arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let manifest = std::fs::read_to_string(folder.path().join("manifest.jsonl")).unwrap();
    let cases: Vec<Value> =
        manifest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(cases.len() > 300, "the manifest is whole");
    Some((folder, cases))
}

fn prepared() -> Tamis {
    Setup::to(Sink::start().port).prepare()
}

#[test]
fn evasions_of_the_generated_set_are_seen() {
    let Some((folder, cases)) = generated() else { return };
    let file = |case: &Value| folder.path().join(case["file"].as_str().unwrap());
    let files: Vec<PathBuf> = cases.iter().map(file).collect();
    let seen = scan(&prepared(), &files);
    let mut misses: BTreeMap<&str, (usize, Vec<String>)> = BTreeMap::new();
    for (case, seen) in cases.iter().zip(&seen) {
        let level = case["level"].as_str().unwrap();
        let expected = case["expected"].as_array().unwrap().iter().filter_map(Value::as_str);
        // The generator lets what only some parser finds pass; we want to see it all the same.
        let mut wanted = expected.filter(|outcome| level != "should" || *outcome != "clean");
        let (all, missed) = misses.entry(level).or_default();
        *all += 1;
        if !wanted.any(|outcome| seen.is(outcome)) {
            missed.push(format!("{}: {}", seen.why(), case["why"]));
        }
    }
    for (level, (all, missed)) in &misses {
        tell(level, *all, missed);
    }
    let share = |level: &str| {
        let (all, missed) = &misses[level];
        100.0 * (all - missed.len()) as f64 / *all as f64
    };
    assert_eq!(misses["must"].1, Vec::<String>::new(), "what a reader in wide use opens is seen");
    assert_eq!(misses["control"].1, Vec::<String>::new(), "harmless mail passes");
    assert!(share("should") >= 90.0, "{} % of what some parser finds", share("should"));
}

#[test]
fn broken_mime_that_readers_repair_hides_nothing() {
    let Some(mails) = Mails::unpack() else { return };
    let files: Vec<PathBuf> = of_theme(&mails, "noxxi");
    let (mut valid, mut broken) = ((0, Vec::new()), (0, Vec::new()));
    for seen in scan(&prepared(), &files) {
        // The name says what is hidden, and how much of it a standard allows: content__v0__….
        let mut words = seen.name.split("__");
        let (kind, validity) = (words.next().unwrap(), words.next().unwrap());
        let named = seen.names().any(|name| {
            tamis::mime::names::normalised(name).iter().any(|form| form.ends_with(".zip"))
        });
        let objected = matches!(
            seen.verdict.as_str(),
            "virus" | "banned" | "ambiguous" | "malformed" | "over-limits" | "encrypted"
        );
        let (all, missed) = if validity == "v0" { &mut broken } else { &mut valid };
        *all += 1;
        if !(objected || (kind == "filename" && named)) {
            missed.push(seen.why());
        }
    }
    tell("validity 1 and more", valid.0, &valid.1);
    tell("validity 0", broken.0, &broken.1);
    assert!(valid.0 > 40 && broken.0 > 100, "the set is whole");
    assert_eq!(valid.1, Vec::<String>::new(), "what a standard allows is seen");
    assert!(broken.1.len() * 100 <= broken.0 * 3, "{} of {}", broken.1.len(), broken.0);
}

fn of_theme(mails: &Mails, theme: &str) -> Vec<PathBuf> {
    let parent =
        |file: &Path| file.parent().and_then(Path::file_name).is_some_and(|at| at == theme);
    mails.files.iter().filter(|file| parent(file)).cloned().collect()
}

#[test]
fn honest_mail_pays_nothing_for_the_decoders_suspicion() {
    let Some(mails) = Mails::unpack() else { return };
    let tamis = prepared();
    let ham = scan(&tamis, &of_theme(&mails, "ham"));
    let of_decoding = |seen: &&Seen| OF_DECODING.contains(&seen.verdict.as_str());
    let (delivered, stopped): (Vec<&Seen>, Vec<&Seen>) = ham
        .iter()
        .filter(of_decoding)
        .partition(|seen| matches!(seen.action.as_str(), "pass" | "tag"));
    let tell_all = |what: &str, list: &[&Seen]| {
        tell(what, ham.len(), &list.iter().map(|seen| seen.why()).collect::<Vec<_>>());
    };
    tell_all("ham not stopped by decoding", &stopped);
    tell_all("ham not marked by decoding", &delivered);
    tell_all(
        "ham not banned",
        &ham.iter().filter(|seen| seen.verdict == "banned").collect::<Vec<_>>(),
    );
    assert!(ham.len() > 1_000, "the set is whole");
    assert!(stopped.len() <= 1, "{} are stopped", stopped.len());
    // Of the torture set only this is asked: a verdict for each, in time.
    let torture = scan(&tamis, &of_theme(&mails, "mime"));
    let mut verdicts: BTreeMap<&str, usize> = BTreeMap::new();
    for seen in &torture {
        *verdicts.entry(&seen.verdict).or_default() += 1;
    }
    println!("{} mails of the torture set: {verdicts:?}", torture.len());
}
