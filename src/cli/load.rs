//! What every command needs first: the configuration with everything it names, or every mistake in it.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::Path;

use super::{Failure, Options, exit};
use crate::config::{self, Config, Loaded, Request, render_all};
use crate::filters::{Mistake, Severity};
use crate::plain_file;
use crate::quarantine::Quarantine;
use crate::site::Site;

/// Warnings that a command shows which is not about the configuration.
const WARNINGS_IN_BRIEF: usize = 3;

/// The configuration alone.
pub fn config(options: &Options) -> Result<Loaded, Failure> {
    let request = Request::of_process(options.config.clone(), options.set.clone());
    config::load(&request).map_err(|mistakes| Failure::new(exit::CONFIG, mistakes.to_string()))
}

/// The configuration and the filters; warnings go to stderr.
pub fn site(options: &Options, previous: Option<&Site>) -> Result<Site, Failure> {
    let (site, report) = site_with_report(options, previous)?;
    let _ = std::io::stderr().lock().write_all(report.as_bytes());
    Ok(site)
}

/// The same for commands that are given many times a day: of many warnings the first ones, and how many are left.
pub fn site_in_brief(options: &Options) -> Result<Site, Failure> {
    let (site, report) = load(options, None, WARNINGS_IN_BRIEF)?;
    let _ = std::io::stderr().lock().write_all(report.as_bytes());
    Ok(site)
}

/// The configuration and the filters, and their warnings as text.
pub fn site_with_report(
    options: &Options,
    previous: Option<&Site>,
) -> Result<(Site, String), Failure> {
    load(options, previous, usize::MAX)
}

fn load(
    options: &Options,
    previous: Option<&Site>,
    shown: usize,
) -> Result<(Site, String), Failure> {
    let loaded = config(options)?;
    let mut sources = loaded.sources.clone();
    match Site::load(loaded.config, previous) {
        Ok((site, mut warnings)) => {
            let mut all = loaded.warnings;
            all.append(&mut warnings);
            let more = all.len().saturating_sub(shown);
            all.truncate(shown);
            add_sources(&mut sources, &all);
            let mut report = render_all(&all, &sources);
            if more > 0 {
                report += &format!("{more} more warnings: `tamis check` shows them all\n");
            }
            Ok((site, report))
        }
        Err(mistakes) => {
            add_sources(&mut sources, &mistakes);
            let errors =
                mistakes.iter().filter(|mistake| mistake.severity == Severity::Error).count();
            let text = format!("{}{errors} error(s)\n", render_all(&mistakes, &sources));
            Err(Failure::new(exit::CONFIG, text))
        }
    }
}

/// Lines of rule files are shown too; what cannot be read any more is shown without its line.
fn add_sources(sources: &mut config::Sources, mistakes: &[Mistake]) {
    let mut tried: HashSet<&str> = HashSet::new();
    for mistake in mistakes.iter().filter(|mistake| mistake.line > 0) {
        if sources.has(&mistake.file) || !tried.insert(&mistake.file) {
            continue;
        }
        if let Ok(text) = plain_file::read(Path::new(&*mistake.file)) {
            sources.add(mistake.file.clone(), text);
        }
    }
}

/// The quarantine, without looking at its files.
pub fn quarantine(config: &Config) -> Result<Quarantine, Failure> {
    let folder = config.database.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(|error| {
        Failure::new(
            exit::CANNOT_CREATE,
            format!(
                "{}: {error}; create it for the user of the service, or set state_dir",
                folder.display()
            ),
        )
    })?;
    Quarantine::attach(&config.quarantine, &config.database)
        .map_err(|error| Failure::new(exit::CANNOT_CREATE, error.to_string()))
}
