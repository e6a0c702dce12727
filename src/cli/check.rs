//! `tamis check`.

use super::{Answer, Failure, Options, exit, load};
use crate::filters::Severity;

/// Loads everything and runs the rules' own examples. Silent when all is well.
pub fn run(options: &Options) -> Answer {
    let (site, mut report) = load::site_with_report(options, None)?;
    let failed = site.run_examples();
    let mut errors = 0;
    for mistake in &failed {
        errors += usize::from(mistake.severity == Severity::Error);
        report.push_str(&format!("{mistake}\n"));
    }
    if errors > 0 {
        report.push_str(&format!("{errors} examples fail\n"));
        return Err(Failure::new(exit::CONFIG, report));
    }
    if !report.is_empty() {
        let mut err = std::io::stderr().lock();
        let _ = std::io::Write::write_all(&mut err, report.as_bytes());
    }
    Ok(())
}
