//! What was measured, as a table and as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

/// One measurement: a peer, a size, a number of connections, one round.
#[derive(Debug, Clone)]
pub struct Run {
    /// Which row it belongs to.
    pub key: Key,
    /// Mails a second.
    pub rate: f64,
    /// The same of the peer's empty relay in the same round.
    pub ratio: f64,
    /// From connecting to the last reply, sorted.
    pub latencies: Vec<Duration>,
    /// Processor time of the filter for a mail, in ms.
    pub processor: f64,
    /// Peak memory of the filter, in MiB.
    pub memory: f64,
    /// Mails that were not taken.
    pub failed: u64,
    /// Why.
    pub failure: Option<String>,
}

/// What makes a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Octets of a mail.
    pub size: usize,
    /// Connections at once.
    pub connections: usize,
    /// Who was driven.
    pub peer: &'static str,
}

/// A row: all rounds of one key.
struct Row<'a> {
    key: &'a Key,
    runs: Vec<&'a Run>,
}

impl Row<'_> {
    fn median(&self, of: fn(&Run) -> f64) -> f64 {
        let mut values: Vec<f64> = self.runs.iter().map(|run| of(run)).collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        (at(values.len().saturating_sub(1) / 2) + at(values.len() / 2)) / 2.0
    }

    fn ends(&self, of: fn(&Run) -> f64) -> (f64, f64) {
        let values = || self.runs.iter().map(|run| of(run));
        (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max))
    }

    /// Milliseconds below which this many hundredths of the mails were answered.
    fn percentile(&self, hundredths: usize) -> f64 {
        let mut all: Vec<Duration> =
            self.runs.iter().flat_map(|run| run.latencies.iter().copied()).collect();
        all.sort_unstable();
        let at = (all.len() * hundredths / 100).min(all.len().saturating_sub(1));
        all.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }

    fn failed(&self) -> u64 {
        self.runs.iter().map(|run| run.failed).sum()
    }
}

fn rows(runs: &[Run]) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for run in runs {
        match rows.iter_mut().find(|row| *row.key == run.key) {
            Some(row) => row.runs.push(run),
            None => rows.push(Row { key: &run.key, runs: vec![run] }),
        }
    }
    rows.sort_by_key(|row| (row.key.size, row.key.connections));
    rows
}

/// For people: medians of the rounds, the least and the greatest in brackets.
#[must_use]
pub fn text(runs: &[Run]) -> String {
    let mut out = format!(
        "{:>7} {:>5}  {:<22} {:>8} {:>15} {:>6} {:>13} {:>8} {:>8} {:>8} {:>7}\n",
        "bytes", "conns", "filter", "mails/s", "", "ratio", "", "p50 ms", "p99 ms", "CPU ms", "MiB"
    );
    let mut failures = String::new();
    for row in rows(runs) {
        let ((slow, fast), (low, high)) = (row.ends(|run| run.rate), row.ends(|run| run.ratio));
        let _ = writeln!(
            out,
            "{:>7} {:>5}  {:<22} {:>8.0} {:>15} {:>6.2} {:>13} {:>8.2} {:>8.2} {:>8.3} {:>7.0}",
            row.key.size,
            row.key.connections,
            row.key.peer,
            row.median(|run| run.rate),
            format!("({slow:.0}..{fast:.0})"),
            row.median(|run| run.ratio),
            format!("({low:.2}..{high:.2})"),
            row.percentile(50),
            row.percentile(99),
            row.median(|run| run.processor),
            row.median(|run| run.memory),
        );
        if let Some(failure) = row.runs.iter().find_map(|run| run.failure.as_ref()) {
            let _ = writeln!(
                failures,
                "{} of {} B: {} mails were not taken: {failure}",
                row.key.peer,
                row.key.size,
                row.failed()
            );
        }
    }
    out + &failures
}

/// For programs.
#[must_use]
pub fn json(runs: &[Run]) -> Value {
    let row = |row: &Row<'_>| {
        let (rates, ratios) = (row.ends(|run| run.rate), row.ends(|run| run.ratio));
        json!({
            "bytes": row.key.size,
            "connections": row.key.connections,
            "filter": row.key.peer,
            "rounds": row.runs.len(),
            "mails_per_second": { "median": row.median(|run| run.rate), "min": rates.0, "max": rates.1 },
            "ratio": { "median": row.median(|run| run.ratio), "min": ratios.0, "max": ratios.1 },
            "latency_ms": { "p50": row.percentile(50), "p99": row.percentile(99) },
            "processor_ms": row.median(|run| run.processor),
            "memory_mib": row.median(|run| run.memory),
            "failed": row.failed(),
        })
    };
    Value::Array(rows(runs).iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(peer: &'static str, rate: f64, milliseconds: &[u64]) -> Run {
        Run {
            key: Key { size: 2_000, connections: 1, peer },
            rate,
            ratio: rate / 100.0,
            latencies: milliseconds.iter().map(|&ms| Duration::from_millis(ms)).collect(),
            processor: 0.5,
            memory: 30.0,
            failed: 0,
            failure: None,
        }
    }

    #[test]
    fn a_row_shows_the_median_of_its_rounds_and_both_ends() {
        let runs = [
            run("relay", 100.0, &[1]),
            run("x", 50.0, &[9, 2]),
            run("x", 70.0, &[3]),
            run("x", 60.0, &[4]),
        ];
        let table = json(&runs);
        let row = &table[1];
        assert_eq!(row["filter"], "x");
        assert_eq!(row["rounds"], 3);
        assert_eq!(row["mails_per_second"], json!({ "median": 60.0, "min": 50.0, "max": 70.0 }));
        assert_eq!(row["ratio"]["median"], 0.6);
        assert_eq!(row["latency_ms"], json!({ "p50": 4.0, "p99": 9.0 }));
        assert_eq!(text(&runs).lines().count(), 3);
    }
}
