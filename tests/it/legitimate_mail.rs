//! Mail of today that people want, against the shipped rules: none of it is spam.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::sink::Sink;
use crate::support::tamis::{Setup, files_below};

/// A mail is flagged from so many points on.
const FLAGGED: f64 = 5.0;
/// More points than these make a mail too likely to be flagged together with what learning or lists say.
const POINTS_MAX: f64 = 3.0;
const MAILS_MIN: usize = 60;

/// A mail's points over zero, its verdict, and the rules behind them.
struct Judged {
    points: f64,
    verdict: String,
    line: String,
}

fn judged(report: &Value) -> Judged {
    let rules = report["rules"].as_array().into_iter().flatten();
    let rules: Vec<(f64, String)> = rules
        .map(|rule| {
            let points = rule["score"].as_f64().unwrap();
            (points, format!("{}={points}", rule["name"].as_str().unwrap()))
        })
        .collect();
    let points = rules.iter().map(|rule| rule.0).filter(|points| *points > 0.0).sum();
    let names: Vec<&str> = rules.iter().map(|rule| rule.1.as_str()).collect();
    let name = Path::new(report["file"].as_str().unwrap()).file_name().unwrap().to_string_lossy();
    let verdict = report["verdict"].as_str().unwrap_or("none").to_owned();
    let line = format!("{points:5.2} {name} {verdict}: {}", names.join(" "));
    Judged { points, verdict, line }
}

#[test]
fn wanted_mail_of_today_is_no_spam() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ham");
    let mut files: Vec<PathBuf> = files_below(&folder);
    files.retain(|file| file.extension().is_some_and(|end| end == "eml"));
    files.sort();
    assert!(files.len() >= MAILS_MIN, "{} mails in {}", files.len(), folder.display());

    let tamis = Setup::to(Sink::start().port).prepare();
    let output = tamis.command(&["scan", "--json"]).arg("--").args(&files).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let reports = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut all: Vec<Judged> = reports.map(|report| judged(&report)).collect();
    assert_eq!(all.len(), files.len(), "a verdict for each mail");

    all.sort_by(|one, other| other.points.total_cmp(&one.points));
    println!("the worst:");
    all.iter().take(10).for_each(|mail| println!("  {}", mail.line));
    let lines = |bad: &dyn Fn(&&Judged) -> bool| {
        all.iter().filter(bad).map(|mail| mail.line.clone()).collect::<Vec<_>>()
    };
    assert_eq!(lines(&|mail| mail.points >= FLAGGED), Vec::<String>::new(), "none is flagged");
    assert_eq!(lines(&|mail| mail.verdict == "spam"), Vec::<String>::new(), "none is spam");
    assert_eq!(lines(&|mail| mail.points > POINTS_MAX), Vec::<String>::new(), "all stay away");
}
