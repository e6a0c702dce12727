//! A configuration with everything it names loaded: what one mail sees from start to end, and a reload swaps.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, Limits, Policy};
use crate::engines::Engines;
use crate::filters::attachments::{self, Attachments};
use crate::filters::defects::{self, Defects};
use crate::filters::headers::{self, Checks, DateRule};
use crate::filters::lists::Lists;
use crate::filters::spam::{self, Engine};
use crate::filters::virus::{self, Scanners};
use crate::filters::{Mistake, RuleFile, Severity};
use crate::learned::Learned;
use crate::mime::Room;
use crate::outside::Outside;
use crate::policy::Chooser;

/// The configuration and the filters made by it.
pub struct Site {
    /// As meant.
    pub config: Arc<Config>,
    /// Which policy holds for whom.
    pub chooser: Chooser,
    /// The spam engine.
    pub engine: Engine,
    /// Allow and deny lists.
    pub lists: Lists,
    /// Postfix tables.
    pub checks: Checks,
    /// What follows from oddities of a message.
    pub defects: Defects,
    /// Attachment rules.
    pub attachments: Attachments,
    /// Virus scanners.
    pub scanners: Scanners,
    /// Other spam engines.
    pub engines: Engines,
    /// What was learned; it survives a reload that does not move it.
    pub learned: Learned,
    /// Who is asked by DNS.
    pub outside: Outside,
    /// The memory that unpacked content of all mails may hold together; it survives a reload.
    pub room: Arc<Room>,
    /// Where neither recipient nor listener names a policy that exists; the loader lets no such listener pass.
    last_resort: Arc<Policy>,
}

impl Site {
    /// Loads all rule files; `previous` hands over what scanners know already. Gives the site and warnings.
    ///
    /// # Errors
    /// Every mistake found, warnings among them, if one is an error.
    pub fn load(
        config: Config,
        previous: Option<&Self>,
    ) -> Result<(Self, Vec<Mistake>), Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let files = Files { folder: &config.tables.site_filters };
        let shipped = if config.spam.shipped { spam::shipped() } else { Vec::new() };
        let spam = files.with(shipped, "spam", "cf", &config.spam.rules, &mut mistakes);
        let options = spam::Options {
            network: config.dns.rule_lists || Outside::authenticates(&config),
            learned: config.spam.bayes,
            captures: config.spam.captures,
        };
        let spam = with_included(spam);
        let (engine, found) = Engine::load_for(&spam, &config.spam.points, options);
        mistakes.extend(found);
        let allow = files.lists("allow.list", &config.tables.allow, &mut mistakes);
        let deny = files.lists("deny.list", &config.tables.deny, &mut mistakes);
        let today = jiff::Zoned::now().date();
        let (lists, found) = Lists::load(&allow, &deny, today);
        mistakes.extend(found);
        let checks = tables(&config, &files, &mut mistakes);
        let policies: Vec<Arc<Policy>> = config.policies.values().cloned().collect();
        let mut sets = vec![attachments::shipped()];
        sets.extend(files.one("attachments.toml", &mut mistakes));
        let (attachments, found) = Attachments::load(&sets, &policies);
        mistakes.extend(found);
        let mut rated = vec![defects::shipped()];
        rated.extend(files.one("defects.list", &mut mistakes));
        let (defects, found) = Defects::load(&rated);
        mistakes.extend(found);
        let signatures = files.with(virus::shipped(), "virus", "sig", &[], &mut mistakes);
        let (scanners, found) =
            Scanners::build(&config, &signatures, previous.map(|site| &site.scanners));
        mistakes.extend(found);
        let before = previous.map(|site| (&site.outside, &*site.config));
        let engines = Engines::new(&config, previous.map(|site| &site.engines));
        let (outside, found) = Outside::new(&config, before);
        mistakes.extend(found);
        drop_repeated(&mut mistakes);
        let Some(last_resort) = policies.first().map(Arc::clone) else { return Err(mistakes) };
        if mistakes.iter().any(|mistake| mistake.severity == Severity::Error) {
            return Err(mistakes);
        }
        let chooser = Chooser::new(&config);
        let octets =
            |limits: &Limits| ROOM_BYTES.max(limits.archive_expanded_bytes_max.saturating_mul(2));
        // If one mail may have more than before, it must not be larger than all of them together.
        let same = |site: &&Self| octets(&site.config.limits) == octets(&config.limits);
        let room = previous.filter(same).map_or_else(
            || Arc::new(Room::new(octets(&config.limits))),
            |site| Arc::clone(&site.room),
        );
        let learned = learned(&config, previous);
        let config = Arc::new(config);
        let site = Self {
            config,
            chooser,
            engine,
            lists,
            checks,
            defects,
            attachments,
            scanners,
            engines,
            learned,
            outside,
            room,
            last_resort,
        };
        Ok((site, mistakes))
    }

    /// Runs the examples that rules carry; each that fails is a mistake.
    #[must_use]
    pub fn run_examples(&self) -> Vec<Mistake> {
        let mut mistakes = self.engine.run_examples();
        mistakes.extend(self.checks.run_examples());
        mistakes.extend(self.attachments.run_examples());
        mistakes
    }

    /// The policy of a recipient: one that claims him, else the listener's.
    #[must_use]
    pub fn policy(&self, address: &str, listener_policy: &str) -> Arc<Policy> {
        let named = || self.config.policies.get(listener_policy);
        Arc::clone(self.chooser.find(address).or_else(named).unwrap_or(&self.last_resort))
    }
}

/// Memory for what is unpacked; twice what one mail may unpack, if that is more.
const ROOM_BYTES: u64 = 1 << 30;

/// Rule files, those that others include among them.
const INCLUDED_MAX: usize = 1_000;

/// What was learned, with its readers and writer as they are if it is the same file.
fn learned(config: &Config, previous: Option<&Site>) -> Learned {
    let (file, words_max) = (&config.spam.learned, config.spam.bayes_words_max);
    let same = |learned: &&Learned| learned.file() == file && learned.words_max() == words_max;
    let previous = previous.map(|site| &site.learned).filter(same);
    previous.cloned().unwrap_or_else(|| Learned::new(file, words_max))
}

/// One file may serve as several tables; its mistakes are told once.
fn drop_repeated(mistakes: &mut Vec<Mistake>) {
    let mut seen = HashSet::new();
    mistakes.retain(|mistake| seen.insert(mistake.clone()));
}

/// The site's own tables come first, so that its DUNNO can spare a line from the shipped rules.
fn tables(config: &Config, files: &Files<'_>, mistakes: &mut Vec<Mistake>) -> Checks {
    let shipped = headers::shipped();
    let named = &config.tables;
    let own = files.read(&named.header_checks, mistakes);
    let mut table = |name: &str, paths: Option<&Vec<PathBuf>>, last: RuleFile| {
        let mut table: Vec<RuleFile> = files.one(name, mistakes).into_iter().collect();
        match paths {
            Some(paths) => table.extend(files.read(paths, mistakes)),
            // Postfix' default for MIME and nested headers is the header table.
            None => table.extend(own.iter().cloned()),
        }
        table.push(last);
        table
    };
    let header = table("headers.pcre", None, shipped.header);
    let mime = table("mime_headers.pcre", named.mime_header_checks.as_ref(), shipped.mime);
    let nested = table("nested_headers.pcre", named.nested_header_checks.as_ref(), shipped.nested);
    let body = table("body.pcre", Some(&named.body_checks), shipped.body);
    let (checks, found) = Checks::load(&header, Some(&mime), Some(&nested), &body);
    mistakes.extend(found);
    let date = DateRule::new(named.date_age_max, named.date_ahead_max, &named.date_action);
    checks.with_date(date.unwrap_or_else(|what| {
        mistakes.push(Mistake {
            file: "tables.date_action".into(),
            line: 0,
            column: 0,
            what,
            hint: "write an action of header_checks(5), for example \"DISCARD date\"".to_owned(),
            severity: Severity::Error,
        });
        None
    }))
}

/// Where a site's own filter files lie.
struct Files<'a> {
    folder: &'a Path,
}

impl Files<'_> {
    fn read(&self, paths: &[PathBuf], mistakes: &mut Vec<Mistake>) -> Vec<RuleFile> {
        let mut files = Vec::new();
        for path in paths {
            match RuleFile::read(path) {
                Ok(file) => files.push(file),
                Err(error) => mistakes.push(unreadable(path, &error)),
            }
        }
        files
    }

    /// A file of the site's filter folder, if it is there.
    fn one(&self, name: &str, mistakes: &mut Vec<Mistake>) -> Option<RuleFile> {
        let path = self.folder.join(name);
        match path.try_exists() {
            Ok(false) => None,
            // What is there and cannot be read must not count as not there.
            Ok(true) | Err(_) => self.read(&[path], mistakes).pop(),
        }
    }

    fn lists(&self, name: &str, paths: &[PathBuf], mistakes: &mut Vec<Mistake>) -> Vec<RuleFile> {
        let mut files: Vec<RuleFile> = self.one(name, mistakes).into_iter().collect();
        files.extend(self.read(paths, mistakes));
        files
    }

    /// The shipped files, those of a folder in the site's filters, and those that are named; a named folder stands for
    /// the files in it.
    fn with(
        &self,
        mut files: Vec<RuleFile>,
        folder: &str,
        extension: &str,
        named: &[PathBuf],
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<RuleFile> {
        let mut paths = listed(&self.folder.join(folder), extension, mistakes);
        for path in named {
            if path.is_dir() {
                paths.extend(listed(path, extension, mistakes));
            } else {
                paths.push(path.clone());
            }
        }
        files.extend(self.read(&paths, mistakes));
        files
    }
}

/// Rule files with those that they include, whatever their names end with. What cannot be read is left out here: who
/// reads the line that includes it tells so.
fn with_included(mut files: Vec<RuleFile>) -> Vec<RuleFile> {
    let mut next = 0;
    while let Some(file) = files.get(next).filter(|_| files.len() < INCLUDED_MAX) {
        let known = |name: &String| files.iter().any(|file| *file.name == **name);
        let names = spam::includes(file).into_iter().filter(|name| !known(name));
        let found: Vec<RuleFile> =
            names.filter_map(|name| RuleFile::read(Path::new(&name)).ok()).collect();
        files.extend(found);
        next += 1;
    }
    files
}

/// The files of a folder with that extension, in the order of their names; none if the folder is not there.
fn listed(folder: &Path, extension: &str, mistakes: &mut Vec<Mistake>) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut paths: Vec<PathBuf> = match entries {
        Ok(entries) => entries.into_iter().map(|entry| entry.path()).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            mistakes.push(unreadable(folder, &error));
            Vec::new()
        }
    };
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths
}

fn unreadable(path: &Path, error: &std::io::Error) -> Mistake {
    Mistake {
        file: path.display().to_string().into(),
        line: 0,
        column: 0,
        what: format!("cannot be read: {error}"),
        hint: "name a file that exists and that the user of the service may read".to_owned(),
        severity: Severity::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_filters_that_cannot_be_read_is_a_mistake_and_a_missing_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut mistakes = Vec::new();
        let files = Files { folder: folder.path() };
        assert!(files.with(Vec::new(), "spam", "cf", &[], &mut mistakes).is_empty());
        assert!(files.one("headers.pcre", &mut mistakes).is_none());
        assert_eq!(mistakes, []);
        std::fs::write(folder.path().join("spam"), "no folder").unwrap();
        files.with(Vec::new(), "spam", "cf", &[], &mut mistakes);
        assert_eq!(mistakes.len(), 1);
        // A file in the place of the folder: the table is not missing, it cannot be reached.
        let place = folder.path().join("spam");
        Files { folder: &place }.one("headers.pcre", &mut mistakes);
        assert_eq!(mistakes.len(), 2);
    }
}
