//! What SpamAssassin's reading of a message overlooks, though mail readers show it: texts under a type, an encoding or a
//! charset that it does not understand, multiparts that it does not take apart, pages that browsers cut elsewhere.
//!
//! Rules are asked a second time about a mail that has any of it, over a tree of parts that shows it
//! ([`Overlooked::view`]). An ordinary mail pays for one comparison of its texts.

use std::collections::{HashMap, HashSet};

use crate::filters::Mail;
use crate::mail::{FileType, Message, Part as Decoded, PartKind};

use super::Engine;
use super::text::parts::{Part, Parts, Place, Shown, bare, sight, spaced, without_cr};
use super::view::View;

/// What is named one by one.
const NAMED_MAX: usize = 3;
/// Pages that are told apart; behind them no more are looked for.
const PAGES_MAX: usize = 4;
/// Octets that are gone through in search of texts that stand in other parts. Behind it, they count as overlooked.
const SEARCHED_MAX: usize = 64 * 1024 * 1024;

/// Why a text was not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It stands within a signature that was not opened.
    Signed,
    /// No part stands where it is.
    Structure,
    Type,
    Encoding,
    /// The content begins or ends elsewhere.
    Content,
    Charset,
}

impl Why {
    /// For people.
    fn text(self) -> &'static str {
        match self {
            Self::Signed => "signed message not opened",
            Self::Structure => "multipart not taken apart",
            Self::Type => "type not understood",
            Self::Encoding => "encoding not understood",
            Self::Content => "content cut elsewhere",
            Self::Charset => "charset not understood",
        }
    }
}

/// A text of the message as mail readers show it.
struct Leaf<'m> {
    part: &'m Decoded,
    place: Option<Place>,
    is_page: bool,
    /// It stands in a block that SpamAssassin does not open.
    signed: bool,
}

/// What was overlooked in a mail.
pub(super) struct Overlooked<'m> {
    /// Texts that were not seen where they stand, and whether they were seen nowhere.
    leaves: Vec<(Leaf<'m>, Why, bool)>,
    /// Where pages stand that browsers cut elsewhere: the first ones.
    pages: Vec<String>,
}

impl<'m> Overlooked<'m> {
    /// Compares what the rules saw with the decoded message. `None`: they saw everything, or did not look at texts.
    pub(super) fn of<'v: 'm>(view: &View<'v>) -> Option<Self> {
        let parts = view.made().parts?;
        let places = parts.places();
        let mut leaves = Vec::new();
        for leaf in shown(view.mail.message) {
            let part = leaf.place.as_ref().and_then(|place| parts.leaf_at(&places, place));
            if let Err(why) = leaf.is_seen_as(part) {
                leaves.push((leaf, why, true));
            }
        }
        let mut seen = Seen { parts, shown: None, left: SEARCHED_MAX };
        // One content many times is looked for once.
        let mut known: HashMap<_, bool> = HashMap::new();
        for (leaf, _, overlooked) in &mut leaves {
            let key = (&leaf.part.data, leaf.part.charset.as_deref(), leaf.is_page);
            *overlooked = *known.entry(key).or_insert_with(|| !seen.holds(leaf));
        }
        let odd = parts.leaves().filter(|part| part.is_another_page_in_browsers());
        let pages: Vec<String> = odd.take(PAGES_MAX).map(|part| parts.path_of(part)).collect();
        let any = !pages.is_empty() || leaves.iter().any(|(_, _, overlooked)| *overlooked);
        any.then_some(Self { leaves, pages })
    }

    /// The mail as mail readers show it; `first` is what was compared.
    pub(super) fn view<'v>(
        &self,
        engine: &'v Engine,
        mail: &'v Mail<'v>,
        first: View<'_>,
    ) -> View<'v> {
        let mut parts = first.into_parts();
        let shown = self.leaves.iter().map(|(leaf, _, overlooked)| Shown {
            place: leaf.place.as_deref(),
            is_page: leaf.is_page,
            charset: leaf.part.charset.as_deref(),
            header: &leaf.part.header_octets,
            content: without_cr(leaf.text().as_bytes()),
            overlooked: *overlooked,
        });
        parts.graft(shown.collect());
        View::of_parts(engine, mail, parts)
    }

    /// For people: `type not understood: part 1.2; cut elsewhere by browsers: part 2, part 3, 4 more`.
    pub(super) fn told(&self) -> String {
        let mut told: Vec<String> = Vec::new();
        let mut tell = |what: &str, paths: Vec<&str>| {
            let mut named: Vec<String> =
                paths.iter().take(NAMED_MAX).map(|path| format!("part {path}")).collect();
            if let Some(more) = paths.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
                named.push(format!("{more} more"));
            }
            if !named.is_empty() {
                told.push(format!("{what}: {}", named.join(", ")));
            }
        };
        for why in
            [Why::Signed, Why::Structure, Why::Type, Why::Encoding, Why::Content, Why::Charset]
        {
            let leaves =
                self.leaves.iter().filter(|(_, own, overlooked)| *overlooked && *own == why);
            tell(why.text(), leaves.map(|(leaf, ..)| &*leaf.part.path).collect());
        }
        tell("cut elsewhere by browsers", self.pages.iter().map(String::as_str).collect());
        told.join("; ")
    }
}

impl Leaf<'_> {
    fn text(&self) -> std::borrow::Cow<'_, str> {
        match &self.part.text {
            Some(text) if !text.contains('\0') => text.into(),
            Some(_) | None => crate::mime::page_text(&self.part.data),
        }
    }

    /// Whether that part shows the same text in the same manner.
    fn is_seen_as(&self, part: Option<&Part>) -> Result<(), Why> {
        let part = part.ok_or(if self.signed { Why::Signed } else { Why::Structure })?;
        let kind = part.effective_kind();
        if !matches!(kind, "text/html" | "text/plain") || (self.is_page && kind != "text/html") {
            return Err(Why::Type);
        }
        if !is_same(&self.part.data, part.decoded()) {
            return Err(if part.has_known_encoding() { Why::Content } else { Why::Encoding });
        }
        let data = &self.part.data;
        // Whatever is declared, readers take this for UTF-16, or leave the NULs out.
        let wide = self.part.wide
            || memchr::memchr(0, data).is_some()
            || data.starts_with(b"\xff\xfe")
            || data.starts_with(b"\xfe\xff");
        // In all charsets but those of shifts these octets are the letters of ASCII.
        let plain = !wide && data.is_ascii() && memchr::memchr3(0x1b, b'~', b'+', data).is_none();
        let (one, other) = (self.part.charset.as_deref(), part.charset.as_deref());
        let label = |label: Option<&str>| label.unwrap_or("us-ascii").trim().to_ascii_lowercase();
        let declared = !wide && label(one) == label(other);
        if plain || declared {
            return Ok(());
        }
        let source = part.source().map(|text| bare(&text.text));
        if source.is_some_and(|source| source == bare(&self.text())) {
            Ok(())
        } else {
            Err(Why::Charset)
        }
    }
}

/// True if two contents are the same but for white space.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let (mut one, mut other) = (one, other);
    loop {
        let same = common(one, other);
        (one, other) = (one.get(same..).unwrap_or_default(), other.get(same..).unwrap_or_default());
        let (left, right) = (one.len(), other.len());
        (one, other) = (one.trim_ascii_start(), other.trim_ascii_start());
        if one.is_empty() && other.is_empty() {
            return true;
        }
        if (one.len(), other.len()) == (left, right) {
            return false;
        }
    }
}

/// How many octets are the same at the start of both.
fn common(one: &[u8], other: &[u8]) -> usize {
    const STEP: usize = 16;
    let steps = one.chunks_exact(STEP).zip(other.chunks_exact(STEP));
    let whole = steps.take_while(|(one, other)| one == other).count() * STEP;
    let rest = one.iter().skip(whole).zip(other.iter().skip(whole));
    whole + rest.take_while(|(one, other)| one == other).count()
}

/// What the rules saw, for the search of what stands in another place: only what is shown of it counts, or a page in a
/// comment would be a place to hide the same page from the rules.
struct Seen<'p> {
    parts: &'p Parts,
    /// The texts that are shown, and the links.
    shown: Option<(String, HashSet<&'p str>)>,
    /// Octets that may still be gone through.
    left: usize,
}

impl Seen<'_> {
    /// True if the rules saw this text and its links somewhere.
    fn holds(&mut self, leaf: &Leaf<'_>) -> bool {
        let sight = sight(&leaf.text(), leaf.is_page);
        let parts = self.parts;
        let (text, links) = self.shown.get_or_insert_with(|| {
            let (mut all, mut links) = (String::new(), HashSet::new());
            for rendered in parts.leaves().filter_map(Part::rendered) {
                all.push_str(&spaced(&rendered.visible().text));
                all.push('\n');
                let html = rendered.html.iter().flat_map(|html| &html.uris);
                links.extend(html.map(|link| link.value.as_str()));
            }
            (all, links)
        });
        let Some(left) = self.left.checked_sub(text.len()) else { return false };
        self.left = left;
        sight.links.iter().all(|link| links.contains(link.as_str()))
            && memchr::memmem::find(text.as_bytes(), sight.text.as_bytes()).is_some()
    }
}

/// The texts that mail readers show without being asked to.
fn shown(message: &Message) -> Vec<Leaf<'_>> {
    /// A part that was passed: whether what is below it is shown, where it stands, and whether it was opened.
    type Passed = Option<(Option<Place>, bool)>;
    let mut passed: Vec<Passed> = Vec::with_capacity(message.parts.len());
    let mut leaves = Vec::new();
    for part in &message.parts {
        let above =
            part.parent.and_then(|parent| Some((message.parts.get(parent)?, passed.get(parent)?)));
        let opened = is_opened(message, part);
        let place: Passed = match above {
            None => part.parent.is_none().then(|| (Some(Place::new()), false)),
            Some((_, None)) => None,
            Some((parent, Some((place, inside)))) => {
                // Below a block there are no places of the message.
                let place = match () {
                    () if opened => is_shown(part, parent).then_some(None),
                    () if is_opened(message, parent) => Some(None),
                    () => below(part, parent, place.as_deref()),
                };
                place.map(|place| (place, *inside || opened))
            }
        };
        // Readers ask for a disposition only where there is something to show below another part.
        let parent = part.parent.and_then(|parent| message.parts.get(parent));
        // The root of a message in a block is one as well.
        let is_below = parent.is_some_and(|parent| !is_opened(message, parent));
        let may_be_attached = is_below && part.kind != PartKind::Multipart;
        let is_attached = may_be_attached && part.disposition.as_deref() == Some("attachment");
        let is_attached = is_attached && !(is_signed(part) && has_usual_name(part));
        let place = place.filter(|_| (part.kind != PartKind::Member || opened) && !is_attached);
        let is_text = part.kind == PartKind::Leaf || (opened && !part.types.iter().any(is_mail));
        if let Some((place, signed)) = &place
            && is_text
            && let Some(is_page) = is_page(part)
        {
            leaves.push(Leaf { part, place: place.clone(), is_page, signed: *signed });
        }
        passed.push(place);
    }
    leaves
}

/// True for a message within its signature, or compressed (S/MIME, RFC 8551 section 3.5.2): readers open it without being
/// asked, whoever signed it.
fn is_signed(part: &Decoded) -> bool {
    part.kind == PartKind::Leaf
        && part.declared_type.starts_with("application/")
        && part.types.iter().any(|kind| kind.short == "p7m")
}

/// True for what was found in such a block.
fn is_opened(message: &Message, part: &Decoded) -> bool {
    let parent = part.parent.and_then(|parent| message.parts.get(parent));
    part.kind == PartKind::Member && parent.is_some_and(is_signed)
}

/// The name that such a block has where it is the message itself, though that says it were attached; signed files have
/// names of their own (`invoice.xml.p7m`).
fn has_usual_name(part: &Decoded) -> bool {
    let usual = |name: &String| {
        ["smime.p7m", "smime.p7z"].iter().any(|usual| name.eq_ignore_ascii_case(usual))
    };
    part.names.is_empty() || part.names.iter().any(usual)
}

/// Whether readers show what they find in a block: a message, and all else where the block does not look like a file.
fn is_shown(part: &Decoded, block: &Decoded) -> bool {
    block.parent.is_none() || has_usual_name(block) || part.types.iter().any(is_mail)
}

fn is_mail(kind: &FileType) -> bool {
    kind.short == "mail"
}

/// Where a part stands below another one. `None`: what is found there is not shown.
fn below(part: &Decoded, parent: &Decoded, place: Option<&[u32]>) -> Option<Option<Place>> {
    let name = part.path.rsplit('/').next().filter(|name| name.len() < part.path.len());
    if name.is_some_and(|name| name.starts_with("reading"))
        && !name.is_some_and(|name| name.contains('.'))
    {
        return Some(None);
    }
    let number = match parent.kind {
        PartKind::Message => Some(0),
        PartKind::Multipart => part.path.rsplit('.').next().and_then(|number| number.parse().ok()),
        PartKind::Leaf | PartKind::Member => return None,
    };
    if part.path.ends_with("/text") {
        return None;
    }
    let place = place.zip(number).map(|(place, number)| [place, &[number]].concat());
    Some(place)
}

/// Whether a leaf is shown as a page, or as plain text; `None`: as neither.
pub(super) fn is_page(part: &Decoded) -> Option<bool> {
    /// Of these, readers show nothing, or offer a file.
    const OTHERS: [&str; 10] = [
        "application/",
        "audio/",
        "font/",
        "image/",
        "message/",
        "model/",
        "multipart/",
        "video/",
        "text/calendar",
        "text/x-vcard",
    ];
    let is_html = || part.types.iter().any(|kind| kind.short == "html");
    match part.declared_type.as_str() {
        "text/html" | "application/xhtml+xml" => Some(true),
        other if OTHERS.iter().any(|start| other.starts_with(start)) => None,
        other if other.starts_with("text/") => Some(!says_type(part) && is_html()),
        _ if is_html() => Some(true),
        _ => part.types.first().is_some_and(|kind| kind.class == "text").then_some(false),
    }
}

/// True if a part says a type that anybody understands, or nothing at all.
fn says_type(part: &Decoded) -> bool {
    let octets = &part.header_octets;
    let named = part.headers.iter().filter(|field| {
        octets
            .get(field.name.clone())
            .is_some_and(|name| name.eq_ignore_ascii_case(b"content-type"))
    });
    let mut values = named.filter_map(|field| octets.get(field.value.clone()));
    values.all(|value| {
        value.trim_ascii_start().get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"text/"))
    })
}

#[cfg(test)]
mod tests;
