//! `tamis learn`: teaches the site which mail is spam and which is not, and whom its users write to.

mod contacts;
mod sources;

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use clap::Subcommand;

use super::{Answer, Failure, Options, exit, load, print, shown};
use crate::filters::spam::bayes::{Class, Learnt, Owner, Tokens as _};
use crate::filters::{Known, Mail};
use crate::learned::{Lesson, Taught, Trouble, identity};
use crate::mail::{Envelope, Message};
use crate::mime;
use crate::site::Site;
use crate::smtp::body;

use sources::Sources;

/// Mails in one transaction: others wait for the lock no longer than this takes.
const BATCH_MAX: usize = 50;
/// Progress is shown after so many mails.
const PROGRESS_EVERY: u64 = 100;

/// What is learned.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Mail that nobody wanted: files, mboxes, Maildirs, folders of them; `-` is standard input
    Spam(Mails),
    /// Mail that somebody wanted
    Ham(Mails),
    /// Undoes what was learned of these mails
    Forget(Mails),
    /// Everybody the owner of these mailboxes wrote to: from folders of sent mail, and mail of his addresses
    Contacts(contacts::Contacts),
}

/// Where mails are.
#[derive(Debug, clap::Args)]
pub struct Mails {
    /// For this recipient alone (spam.bayes_per_user); without it for the whole site
    #[arg(long, value_name = "ADDRESS")]
    user: Option<String>,
    /// Files, mboxes, Maildirs, folders; `-` is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Learns.
pub fn run(options: &Options, what: &What) -> Answer {
    let site = load::site_in_brief(options)?;
    match what {
        What::Spam(mails) => learn(options, &site, mails, Some(Class::Spam)),
        What::Ham(mails) => learn(options, &site, mails, Some(Class::Ham)),
        What::Forget(mails) => learn(options, &site, mails, None),
        What::Contacts(mails) => contacts::run(options, &site, mails),
    }
}

fn learn(options: &Options, site: &Site, mails: &Mails, class: Option<Class>) -> Answer {
    let owner = mails.user.as_deref().map_or(Owner::Site, Owner::User);
    let mut school = School::new(site, owner, class);
    let mut sources = Sources::default();
    for path in &mails.paths {
        sources.each(path, &mut |octets| school.mail(octets))?;
    }
    school.finish()?;
    school.tell(options, &sources)?;
    sources.verdict()
}

/// Learns the mails of a quarantine, already read.
pub fn learn_mails(
    options: &Options,
    site: &Site,
    class: Class,
    mails: impl Iterator<Item = Result<Vec<u8>, Failure>>,
) -> Answer {
    let mut school = School::new(site, Owner::Site, Some(class));
    let mut failed = None;
    for mail in mails {
        match mail {
            Ok(octets) => school.mail(&octets)?,
            Err(failure) => failed = Some(failure),
        }
    }
    school.finish()?;
    school.tell(options, &Sources::default())?;
    failed.map_or(Ok(()), Err)
}

/// Decodes a mail as if it came in.
fn decode(site: &Site, octets: &[u8]) -> Message {
    mime::decode(body::from_file(octets).octets, &site.config.limits.mime())
}

/// Why the store failed, as an exit status.
fn failure(trouble: &Trouble) -> Failure {
    let status = match trouble {
        Trouble::Locked => exit::TEMPORARY,
        Trouble::Damaged(_) | Trouble::Database(_) => exit::IO,
        Trouble::File(_) => exit::CANNOT_CREATE,
    };
    Failure::new(status, trouble.to_string())
}

struct School<'s> {
    site: &'s Site,
    owner: Owner<'s>,
    class: Option<Class>,
    lessons: Vec<Lesson>,
    counts: Counts,
    began: Instant,
}

#[derive(Default)]
struct Counts {
    mails: u64,
    new: u64,
    known: u64,
    changed: u64,
    empty: u64,
    forgotten: u64,
    unknown: u64,
}

impl<'s> School<'s> {
    fn new(site: &'s Site, owner: Owner<'s>, class: Option<Class>) -> Self {
        let (lessons, counts) = (Vec::new(), Counts::default());
        Self { site, owner, class, lessons, counts, began: Instant::now() }
    }

    fn mail(&mut self, octets: &[u8]) -> Answer {
        let message = decode(self.site, octets);
        let envelope = Envelope::default();
        let mail = Mail {
            envelope: &envelope,
            message: &message,
            internal: false,
            received: jiff::Timestamp::now(),
            known: Known::NOTHING,
        };
        let tokens = self.site.engine.words(&mail).tokens();
        let lesson = Lesson { message: identity(&message), class: self.class, tokens };
        self.lessons.push(lesson);
        self.counts.mails += 1;
        progress(self.counts.mails);
        if self.lessons.len() >= BATCH_MAX { self.finish() } else { Ok(()) }
    }

    /// Writes what waits.
    fn finish(&mut self) -> Answer {
        if self.lessons.is_empty() {
            return Ok(());
        }
        let taught = self.site.learned.teach(self.owner, &self.lessons);
        for taught in taught.map_err(|trouble| failure(&trouble))? {
            let counts = &mut self.counts;
            let count = match taught {
                Taught::Learnt(Learnt::New) => &mut counts.new,
                Taught::Learnt(Learnt::Known) => &mut counts.known,
                Taught::Learnt(Learnt::Changed) => &mut counts.changed,
                Taught::Learnt(Learnt::Empty) => &mut counts.empty,
                Taught::Forgotten(true) => &mut counts.forgotten,
                Taught::Forgotten(false) => &mut counts.unknown,
            };
            *count += 1;
        }
        self.lessons.clear();
        Ok(())
    }

    fn tell(&self, options: &Options, sources: &Sources) -> Answer {
        let store = &self.site.learned;
        store.expire().map_err(|trouble| failure(&trouble))?;
        let totals = store.totals(self.owner).map_err(|why| Failure::new(exit::IO, why))?;
        let words = store.word_count().map_err(|trouble| failure(&trouble))?;
        let counts = &self.counts;
        let seconds = self.began.elapsed().as_secs_f64();
        if options.json {
            let facts = serde_json::json!({
                "mails": counts.mails, "learned": counts.new, "known": counts.known,
                "changed": counts.changed, "empty": counts.empty, "forgotten": counts.forgotten,
                "not_known": counts.unknown, "unreadable": sources.unreadable,
                "seconds": (seconds * 1000.0).round() / 1000.0,
                "spam": totals.spam, "ham": totals.ham, "words": words,
            });
            return print(&format!("{facts}\n"));
        }
        let mut out = String::new();
        let _ = match self.class {
            Some(class) => write!(
                out,
                "{}: {} learned, {} known already, {} learned as the other before, {} empty",
                class.as_str(),
                counts.new,
                counts.known,
                counts.changed,
                counts.empty
            ),
            None => write!(out, "{} forgotten, {} never learned", counts.forgotten, counts.unknown),
        };
        let _ = writeln!(
            out,
            ", {} unreadable, of {} in {seconds:.1} s; now {} spam, {} ham, {words} words",
            sources.unreadable,
            counts.mails + sources.unreadable,
            totals.spam,
            totals.ham
        );
        if self.class.is_some() && !self.site.engine.is_enough_learned(totals) {
            out.push_str("nothing is said of new mail before 200 spam and 200 ham are learned\n");
        }
        print(&out)
    }
}

/// Shows on a terminal that something happens.
fn progress(mails: u64) {
    let mut err = std::io::stderr();
    if mails.is_multiple_of(PROGRESS_EVERY) && err.is_terminal() {
        let _ = write!(err, "\r{mails} mails \r");
        let _ = err.flush();
    }
}

/// A line about a file that cannot be read.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", shown(text));
}
