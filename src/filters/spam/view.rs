//! What the functions of rules look at: a mail, and what was made of it so far.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::filters::Mail;

use super::Engine;
use super::bayes::{self, Inputs, Opinion, Owner, Words};
use super::evals::Cells;
use super::evals::Images;
use super::evals::LureFacts;
use super::evals::mime::MimeFacts;
use super::relays::Relays;
use super::text::header::Header;
use super::text::html::Html;
use super::text::parts::{Parts, as_it_came, lines_ended_by_lf};
use super::text::{Cut, LINKS_ROOM, Links, PageLinks, Segments, Shown, paragraphs, raw_body};

/// A mail as the rules see it. What costs time is made when it is first asked for, and once.
pub(super) struct View<'v> {
    pub(super) engine: &'v Engine,
    pub(super) mail: &'v Mail<'v>,
    octets: OnceCell<Cow<'v, [u8]>>,
    header: OnceCell<(Header, usize)>,
    parts: OnceCell<Parts>,
    body: OnceCell<Cut>,
    visible: OnceCell<Cut>,
    invisible: OnceCell<Cut>,
    raw_body: OnceCell<Cut>,
    relays: OnceCell<Relays>,
    pub(super) cells: Cells,
    pages: OnceCell<Vec<PageLinks>>,
    links: OnceCell<Links>,
    opinion: OnceCell<Result<Option<Opinion>, String>>,
    lures: LureFacts,
    mime: OnceCell<MimeFacts>,
    images: OnceCell<Images>,
}

/// The texts that were asked for.
#[derive(Clone, Copy)]
pub(super) struct Made<'m> {
    pub(super) header: Option<&'m Header>,
    pub(super) parts: Option<&'m Parts>,
    pub(super) body: Option<&'m Cut>,
    pub(super) raw_body: Option<&'m Cut>,
    pub(super) links: Option<&'m Links>,
}

impl<'v> View<'v> {
    pub(super) fn new(engine: &'v Engine, mail: &'v Mail<'v>) -> Self {
        Self {
            engine,
            mail,
            octets: OnceCell::new(),
            header: OnceCell::new(),
            parts: OnceCell::new(),
            body: OnceCell::new(),
            visible: OnceCell::new(),
            invisible: OnceCell::new(),
            raw_body: OnceCell::new(),
            relays: OnceCell::new(),
            cells: Cells::default(),
            pages: OnceCell::new(),
            links: OnceCell::new(),
            opinion: OnceCell::new(),
            lures: LureFacts::default(),
            mime: OnceCell::new(),
            images: OnceCell::new(),
        }
    }

    /// The same mail with parts that were read in another manner.
    pub(super) fn of_parts(engine: &'v Engine, mail: &'v Mail<'v>, parts: Parts) -> Self {
        let view = Self::new(engine, mail);
        // What readers took the type of the whole to say counts for rules over the header too; as it was written it stays.
        let (mut header, body) = view.header_and_body().clone();
        let root = parts.root().and_then(|root| root.header.last(b"content-type"));
        if let (Some(own), Some(root)) = (header.last_field(b"content-type"), root) {
            own.decoded = root.to_vec();
        }
        Self { parts: parts.into(), header: (header, body).into(), ..view }
    }

    /// Only the tree of parts, with what was made of them so far.
    pub(super) fn into_parts(self) -> Parts {
        self.parts();
        self.parts.into_inner().unwrap_or_default()
    }

    /// The way of the mail from host to host.
    pub(super) fn relays(&self) -> &Relays {
        self.relays.get_or_init(|| Relays::read(self))
    }

    // The texts: what SpamAssassin makes of the octets of the message.

    /// The message as it came, lines ended by LF.
    pub(super) fn octets(&self) -> &[u8] {
        self.octets.get_or_init(|| {
            let message = self.mail.message;
            if message.lone_cr.is_empty() {
                return lines_ended_by_lf(&message.raw);
            }
            as_it_came(&message.raw, &message.lone_cr).into()
        })
    }

    /// The top header; `.all(name)` gives its fields, raw and decoded.
    pub(super) fn header(&self) -> &Header {
        &self.header_and_body().0
    }

    fn header_and_body(&self) -> &(Header, usize) {
        self.header.get_or_init(|| {
            let octets = self.octets();
            let (mut header, body) = Header::read(octets);
            header.forget_marks();
            (header, octets.len() - body.len())
        })
    }

    /// What stands behind the top header, as it came.
    pub(super) fn octets_of_body(&self) -> &[u8] {
        self.octets().get(self.header_and_body().1..).unwrap_or_default()
    }

    /// The tree of parts.
    pub(super) fn parts(&self) -> &Parts {
        self.parts.get_or_init(|| Parts::read(self.header().clone(), self.octets_of_body()))
    }

    /// What the tags of HTML parts tell, one for each part that is HTML and not empty.
    pub(super) fn html(&self) -> impl Iterator<Item = &Html> {
        self.parts().leaves().filter_map(|part| part.rendered()?.html.as_ref())
    }

    /// What the parts and their octets tell.
    pub(super) fn mime(&self) -> &MimeFacts {
        self.mime.get_or_init(|| MimeFacts::of(self))
    }
    /// The subject, then the paragraphs of all text parts, hidden text of HTML included.
    pub(super) fn body(&self) -> &Segments {
        &self.body.get_or_init(|| paragraphs(self.parts(), Shown::All)).text
    }

    /// The same without hidden text.
    pub(super) fn visible(&self) -> &Segments {
        &self.visible.get_or_init(|| paragraphs(self.parts(), Shown::Visible)).text
    }

    /// Only the hidden text, without the subject.
    pub(super) fn invisible(&self) -> &Segments {
        &self.invisible.get_or_init(|| paragraphs(self.parts(), Shown::Invisible)).text
    }

    /// The decoded text parts with their markup, in pieces of 2 to 4 kilobytes.
    pub(super) fn raw_body(&self) -> &Segments {
        &self.raw_body.get_or_init(|| raw_body(self.parts())).text
    }

    // What was made so far, for telling what was left out of it.

    pub(super) fn made(&self) -> Made<'_> {
        Made {
            header: self.header.get().map(|(header, _)| header),
            parts: self.parts.get(),
            body: self.body.get(),
            raw_body: self.raw_body.get(),
            links: self.links.get(),
        }
    }

    // Links.

    /// The links of each HTML part.
    pub(super) fn pages(&self) -> &[PageLinks] {
        self.pages.get_or_init(|| {
            let mut room = LINKS_ROOM;
            let pages = self.parts().leaves().filter_map(|part| {
                let rendered = part.rendered()?;
                Some(PageLinks::read(rendered.html.as_ref()?, rendered.text.wide, &mut room))
            });
            pages.collect()
        })
    }

    /// All links: of the text, of HTML tags, and those of other parts, which `uri` rules do not look at.
    pub(super) fn links(&self) -> &Links {
        self.links.get_or_init(|| {
            let tables = &self.engine.tables.links;
            let mut links = Links::default();
            let body = self.body();
            for index in 0..body.len() {
                links.add_text(body.get(index).0, tables);
            }
            for page in self.pages() {
                links.add_page(page, tables);
            }
            for name in [b"domainkey-signature".as_slice(), b"dkim-signature"] {
                for field in self.header().all(name) {
                    links.add_signatures(&field.decoded, tables);
                }
            }
            let message = self.mail.message;
            for link in &message.links {
                let part = message.parts.iter().find(|part| part.path == link.part);
                let kind = part.and_then(|part| part.types.first());
                if let Some(kind) = kind.filter(|kind| kind.class != "text") {
                    links.add_elsewhere(&link.url, link.text.as_deref(), kind.short, tables);
                }
            }
            links
        })
    }

    /// Hosts that links lead to, at most so many, each with its registered domain.
    pub(super) fn hosts(&self, limit: usize) -> Vec<(&str, &str)> {
        self.links().hosts(&self.engine.tables.links, limit)
    }

    // Learned mail.

    /// What was learned says of the mail; `None`: nothing. An error is why the store gave no answer.
    pub(super) fn opinion(&self) -> &Result<Option<Opinion>, String> {
        self.opinion.get_or_init(|| self.ask_learned())
    }

    /// Why the store gave no answer, if it was asked and gave none.
    pub(super) fn learned_is_silent(&self) -> Option<&str> {
        self.opinion.get()?.as_ref().err().map(String::as_str)
    }

    /// True if so much was learned that it is asked.
    pub(super) fn is_learned(&self) -> bool {
        matches!(self.owner(), Ok(Some(_)))
    }

    /// Whose learned mail is asked.
    fn owner(&self) -> Result<Option<Owner<'_>>, String> {
        let Some(learned) = &self.mail.known.learned else { return Ok(None) };
        let enough = |owner: Owner<'_>| -> Result<bool, String> {
            Ok(self.engine.tables.learning.is_enough(learned.tokens.totals(owner)?))
        };
        Ok(match learned.user.as_deref() {
            Some(user) if enough(Owner::User(user))? => Some(Owner::User(user)),
            _ if enough(Owner::Site)? => Some(Owner::Site),
            _ => None,
        })
    }

    fn ask_learned(&self) -> Result<Option<Opinion>, String> {
        match (&self.mail.known.learned, self.owner()?) {
            (Some(learned), Some(owner)) => bayes::ask(&*learned.tokens, owner, &self.words()),
            _ => Ok(None),
        }
    }

    /// The words that are learned, and looked up.
    pub(super) fn words(&self) -> Words {
        bayes::words(&Inputs::of(self), &self.engine.tables.learning.ignored)
    }

    /// What our own functions made of the mail.
    pub(super) fn lures(&self) -> &LureFacts {
        &self.lures
    }

    /// Image parts.
    pub(super) fn images(&self) -> &Images {
        self.images.get_or_init(|| Images::of(self))
    }
}
