//! Postfix header_checks(5) and body_checks tables.
//!
//! `lines` joins physical lines, `pattern` compiles PCRE and POSIX patterns, `action` reads the right side, `table`
//! searches, `walk` leads a mail's lines past the tables in the order in which Postfix would see them.

mod action;
mod date;
mod examples;
mod lines;
mod pattern;
mod table;
mod walk;

use std::sync::Arc;

use super::{HeaderHit, Mail, Mistake, RuleFile};

pub use date::DateRule;
pub use table::{Table, TableKind};

/// The four tables. Each is a list of files; the first file with a rule that fits a line decides about that line.
pub struct Checks {
    header: Arc<[Table]>,
    mime: Arc<[Table]>,
    nested: Arc<[Table]>,
    body: Arc<[Table]>,
    /// Whether body tables see decoded text too.
    decoded: bool,
    date: Option<DateRule>,
}

impl Checks {
    /// Loads the tables. `None` means "as header", which is Postfix's default.
    #[must_use]
    pub fn load(
        header: &[RuleFile],
        mime: Option<&[RuleFile]>,
        nested: Option<&[RuleFile]>,
        body: &[RuleFile],
    ) -> (Self, Vec<Mistake>) {
        let mut mistakes = Vec::new();
        let header = tables(header, TableKind::Header, &mut mistakes);
        let mut or_header = |files: Option<&[RuleFile]>| match files {
            Some(files) => tables(files, TableKind::Header, &mut mistakes),
            None => Arc::clone(&header),
        };
        let (mime, nested) = (or_header(mime), or_header(nested));
        let body = tables(body, TableKind::Body, &mut mistakes);
        (Self { header, mime, nested, body, decoded: false, date: None }, mistakes)
    }

    /// Lets body tables see the lines of decoded text (base64, quoted-printable, other charsets as UTF-8) as well,
    /// which Postfix cannot do. Such hits have no range.
    #[must_use]
    pub fn with_decoded_text(mut self) -> Self {
        self.decoded = true;
        self
    }

    /// Adds the rule about the age of mail; it is asked before the tables.
    #[must_use]
    pub fn with_date(self, date: Option<DateRule>) -> Self {
        Self { date, ..self }
    }

    /// Leads every header field and body line past its tables; the hits stand in the order of the mail.
    ///
    /// REJECT, DISCARD and PASS are the last hit of a mail; HOLD is reported once.
    #[must_use]
    pub fn inspect(&self, mail: &Mail<'_>) -> Vec<HeaderHit> {
        let date = self.date.as_ref().and_then(|rule| rule.inspect(mail.message, mail.received));
        let mut hits = walk::inspect(self, mail.message);
        hits.splice(..0, date);
        hits
    }

    /// Runs the `#= input => ACTION` lines of every table.
    #[must_use]
    pub fn run_examples(&self) -> Vec<Mistake> {
        let shared = |tables: &Arc<[Table]>| Arc::ptr_eq(tables, &self.header);
        let lists = [
            Some(&self.header),
            (!shared(&self.mime)).then_some(&self.mime),
            (!shared(&self.nested)).then_some(&self.nested),
            Some(&self.body),
        ];
        lists
            .into_iter()
            .flatten()
            .flat_map(|tables| tables.iter())
            .flat_map(Table::run_examples)
            .collect()
    }
}

/// The shipped tables, built into the program.
pub struct Shipped {
    /// `filters/headers.pcre`.
    pub header: RuleFile,
    /// `filters/mime_headers.pcre`.
    pub mime: RuleFile,
    /// `filters/nested_headers.pcre`.
    pub nested: RuleFile,
    /// `filters/body.pcre`.
    pub body: RuleFile,
}

/// The shipped tables. They go behind the site's own, so that a site's DUNNO comes first.
#[must_use]
pub fn shipped() -> Shipped {
    let built_in = RuleFile::built_in;
    Shipped {
        header: built_in("filters/headers.pcre", include_bytes!("../../../filters/headers.pcre")),
        mime: built_in(
            "filters/mime_headers.pcre",
            include_bytes!("../../../filters/mime_headers.pcre"),
        ),
        nested: built_in(
            "filters/nested_headers.pcre",
            include_bytes!("../../../filters/nested_headers.pcre"),
        ),
        body: built_in("filters/body.pcre", include_bytes!("../../../filters/body.pcre")),
    }
}

fn tables(files: &[RuleFile], kind: TableKind, mistakes: &mut Vec<Mistake>) -> Arc<[Table]> {
    files
        .iter()
        .map(|file| {
            let (table, found) = Table::load(file, kind);
            mistakes.extend(found);
            table
        })
        .collect()
}

#[cfg(test)]
mod tests;
