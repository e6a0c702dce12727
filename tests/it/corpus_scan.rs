//! Every mail of the corpus through `tamis scan`: a verdict for each, in time, and never "later" for what a mail is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::corpus::Mails;
use crate::support::sink::Sink;
use crate::support::tamis::{Setup, Tamis};

/// For one mail. A build without optimisation is many times slower than what is installed.
const MILLISECONDS_MAX: f64 = if cfg!(debug_assertions) { 5_000.0 } else { 1_000.0 };
/// Mails for one run of the program.
const TOGETHER: usize = 250;

/// The longest of the times, which is that of the whole.
fn milliseconds(object: &Value) -> f64 {
    let times = object["timing_ms"].as_object().into_iter().flat_map(|times| times.values());
    times.filter_map(Value::as_f64).fold(0.0, f64::max)
}

fn scan(tamis: &Tamis, files: &[PathBuf], verdicts: &mut BTreeMap<String, usize>) -> Vec<String> {
    let mut command = tamis.command(&["scan", "--json"]);
    let output = command.arg("--").args(files).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let mut bad = Vec::new();
    if errors.contains("panicked") || output.status.code() != Some(0) {
        bad.push(format!("the scan ended with {}: {errors}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let objects: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    if objects.len() != files.len() {
        bad.push(format!(
            "{} objects for {} mails, after {:?}",
            objects.len(),
            files.len(),
            files.first()
        ));
    }
    for object in &objects {
        let (verdict, action) = (object["verdict"].as_str(), object["action"].as_str());
        *verdicts.entry(verdict.unwrap_or("none").to_owned()).or_default() += 1;
        let took = milliseconds(object);
        let fault = match (verdict, action) {
            (None, _) => "no verdict".to_owned(),
            (_, None | Some("defer")) => format!("action {action:?}"),
            (Some("incomplete"), _) => "incomplete".to_owned(),
            _ if took > MILLISECONDS_MAX => format!("took {took} ms"),
            _ => continue,
        };
        bad.push(format!("{}: {fault}", object["file"]));
    }
    bad
}

#[test]
fn every_mail_of_the_corpus_gets_a_verdict_in_time() {
    let Some(mails) = Mails::unpack() else { return };
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).prepare();
    let mut verdicts = BTreeMap::new();
    let mut bad = Vec::new();
    for files in mails.files.chunks(TOGETHER) {
        bad.extend(scan(&tamis, files, &mut verdicts));
    }
    println!("{} mails: {verdicts:?}", mails.files.len());
    assert!(bad.is_empty(), "{} faults:\n{}", bad.len(), bad.join("\n"));
}
