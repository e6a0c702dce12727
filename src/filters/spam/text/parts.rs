//! The parts of a message as SpamAssassin sees them. It knows no more of MIME than what follows here; what it gets
//! wrong its rules have learned to live with.

mod graft;

use std::cell::OnceCell;
use std::collections::{HashMap, VecDeque};

use super::content_type::{ContentType, disposition_name};
use super::header::{Header, first_line, starts_field};
use super::html;
use super::perl::{self, Text};
use super::rendered::Rendered;
use super::{charset, transfer};

pub(in crate::filters::spam) use graft::{Place, Shown, bare, sight, spaced};

/// Nesting of parts that is followed.
const DEPTH_MAX: u32 = 20;
/// Parts of one multipart that are looked at.
const PARTS_MAX: usize = 1_000;
/// Parts of the whole message that are looked at. SpamAssassin has no such limit.
const ALL_PARTS_MAX: usize = 5_000;
/// Octets of a line of a part; what is longer is cut, and gets a line end there.
const LINE_MAX: usize = 2_048;
/// Empty lines in a row that are kept.
const BLANK_LINES_MAX: usize = 20;
/// Octets of attached messages that are read as messages, all together; more stays a leaf.
const ATTACHED_MAX: usize = 64 * 1024 * 1024;
/// Octets of a text that are rendered: head and tail. SpamAssassin has no limit here, but cuts what comes out.
const TEXT_HEAD_MAX: usize = 1024 * 1024;
const TEXT_TAIL_MAX: usize = 64 * 1024;

/// A part.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Part {
    pub(in crate::filters::spam) header: Header,
    /// `text/html`; may be empty if nothing sensible is declared.
    pub(in crate::filters::spam) kind: String,
    /// As declared, any case.
    pub(in crate::filters::spam) charset: Option<String>,
    /// A file name.
    pub(in crate::filters::spam) name: Option<String>,
    /// It has no parts of its own, and no message.
    pub(in crate::filters::spam) leaf: bool,
    /// Index of the parts below it.
    pub(in crate::filters::spam) children: Vec<usize>,
    /// The content as it was written, line ends LF; empty if it is no leaf.
    pub(in crate::filters::spam) raw: Vec<u8>,
    /// The content as mail readers decode it, where that is another.
    shown: Option<Vec<u8>>,
    /// Odd pages are cut in the manner of browsers.
    for_browsers: bool,
    decoded: OnceCell<Vec<u8>>,
    rendered: OnceCell<Option<Rendered>>,
}

impl Part {
    /// A new part, its header read as far as the tree needs it.
    fn new(header: Header) -> Self {
        Self { header, ..Self::default() }
    }

    pub(in crate::filters::spam) fn content_type(&self) -> ContentType {
        ContentType::read(self.header.last(b"content-type"))
    }

    /// The content without its transfer encoding.
    pub(in crate::filters::spam) fn decoded(&self) -> &[u8] {
        if let Some(shown) = &self.shown {
            return shown;
        }
        let encoding = self.header.last(b"content-transfer-encoding").unwrap_or_default();
        let quoted = encoding.eq_ignore_ascii_case(b"quoted-printable");
        if !quoted && !encoding.eq_ignore_ascii_case(b"base64") {
            return &self.raw;
        }
        self.decoded.get_or_init(|| {
            if quoted {
                return without_cr(&transfer::quoted_printable(&self.raw));
            }
            let octets = transfer::base64(&self.raw);
            let is_text = ["text/", "message/"].iter().any(|start| self.kind.starts_with(start));
            if is_text { without_cr(&octets) } else { octets }
        })
    }

    /// The type that counts: what is named like a page is one.
    pub(in crate::filters::spam) fn effective_kind(&self) -> &str {
        let name = self.name.as_deref().unwrap_or_default().to_ascii_lowercase();
        let page = [".htm", ".html", ".shtm", ".shtml"].iter().any(|end| name.ends_with(end));
        if page { "text/html" } else { &self.kind }
    }

    /// Octets of a text that are so many that they are not rendered.
    pub(in crate::filters::spam) fn not_rendered(&self) -> usize {
        match self.rendered() {
            Some(_) => self.decoded().len().saturating_sub(TEXT_HEAD_MAX + TEXT_TAIL_MAX),
            None => 0,
        }
    }

    /// The text of a leaf; `None` if it is no text for readers.
    pub(in crate::filters::spam) fn rendered(&self) -> Option<&Rendered> {
        self.rendered.get_or_init(|| self.render()).as_ref()
    }

    fn render(&self) -> Option<Rendered> {
        let kind = self.effective_kind();
        if !self.leaf || (kind != "text/plain" && kind != "text/html") {
            return None;
        }
        let whole = self.decoded();
        let octets = head_and_tail(whole);
        let text = self.text_of(&octets);
        if kind == "text/plain" || octets.is_empty() {
            return Some(Rendered { text, ..Rendered::default() });
        }
        let mut page = html::render(&text);
        if page.odd && self.for_browsers {
            page = html::render_as_browsers(&text);
        }
        page.facts.measure(&page.text, whole.len());
        Some(Rendered {
            text: page.text,
            visible: Some(page.visible),
            invisible: page.invisible,
            hidden: page.hidden,
            html: Some(page.facts),
            odd: page.odd,
        })
    }

    fn text_of(&self, octets: &[u8]) -> Text {
        charset::decode(octets, self.charset.as_deref().unwrap_or("us-ascii"))
    }
}

/// All of a text, or its head and its tail.
fn head_and_tail(octets: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if octets.len() <= TEXT_HEAD_MAX + TEXT_TAIL_MAX {
        return octets.into();
    }
    let head = octets.get(..TEXT_HEAD_MAX).unwrap_or_default();
    let tail = octets.get(octets.len() - TEXT_TAIL_MAX..).unwrap_or_default();
    [head, b"\n", tail].concat().into()
}

/// What is odd about a message's structure, by the names that rules ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::filters::spam) struct Flags {
    /// A part begins without header.
    pub(in crate::filters::spam) missing_mime_headers: bool,
    /// A part's header ends without an empty line.
    pub(in crate::filters::spam) missing_mime_head_body_separator: bool,
    /// Something stands behind the last boundary.
    pub(in crate::filters::spam) mime_epilogue_exists: bool,
    /// There are more parts than are looked at.
    pub(in crate::filters::spam) mimepart_limit_exceeded: bool,
    /// A boundary is opened and not closed, or the other way round.
    pub(in crate::filters::spam) mime_missing_boundary: bool,
}

/// The tree of parts.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Parts {
    /// The root is the first.
    nodes: Vec<Part>,
    /// Nodes in the order in which they stand in the message.
    order: Vec<usize>,
    pub(in crate::filters::spam) flags: Flags,
    /// Parts were not taken apart, for depth, number or size.
    pub(in crate::filters::spam) cut: bool,
    /// Per boundary: 1 if it was opened, 0 again if it was closed.
    balance: HashMap<Vec<u8>, i32>,
}

/// What waits to be taken apart.
struct Waiting {
    node: usize,
    boundary: Option<Vec<u8>>,
    body: Vec<u8>,
    depth_left: u32,
}

impl Parts {
    /// Reads a message whose line ends are LF: its header was read, `body` is the rest.
    pub(in crate::filters::spam) fn read(header: Header, body: &[u8]) -> Self {
        let mut parts = Self::default();
        let mut waiting = VecDeque::new();
        parts.add_message(header, body, DEPTH_MAX, &mut waiting);
        let mut attached_left = ATTACHED_MAX;
        while let Some(next) = waiting.pop_front() {
            let kind = parts.nodes.get(next.node).map_or("", |part| &part.kind);
            let multipart = kind.starts_with("multipart/");
            match &next.boundary {
                Some(boundary) if multipart && next.depth_left > 0 => {
                    let boundary = boundary.clone();
                    parts.multipart(&next, &boundary, &mut waiting);
                }
                _ => parts.leaf(next, &mut attached_left, &mut waiting),
            }
        }
        parts.flags.mime_missing_boundary = parts.balance.values().any(|open| *open != 0);
        parts.order = parts.walk();
        parts
    }

    /// The top of the tree.
    pub(in crate::filters::spam) fn root(&self) -> Option<&Part> {
        self.nodes.first()
    }

    /// All parts in the order in which they stand, those without any type left out.
    pub(in crate::filters::spam) fn all(&self) -> impl Iterator<Item = &Part> {
        let nodes = self.order.iter().filter_map(|place| self.nodes.get(*place));
        nodes.filter(|part| !part.kind.is_empty())
    }

    /// Those of them that have no parts below.
    pub(in crate::filters::spam) fn leaves(&self) -> impl Iterator<Item = &Part> {
        self.all().filter(|part| part.leaf)
    }

    /// The parts right below one.
    pub(in crate::filters::spam) fn children<'p>(
        &'p self,
        part: &'p Part,
    ) -> impl Iterator<Item = &'p Part> {
        part.children.iter().filter_map(|place| self.nodes.get(*place))
    }

    /// Where a part stands: `1.2`, the same numbers as [`crate::mail::Part::path`]; `0` for a multipart on top.
    pub(in crate::filters::spam) fn path_of(&self, part: &Part) -> String {
        let Some(mut place) = self.nodes.iter().position(|node| std::ptr::eq(node, part)) else {
            return String::new();
        };
        let mut numbers = Vec::new();
        // Parts stand behind the one they are in, so that this ends.
        loop {
            let above = self.nodes.iter().take(place).enumerate().find_map(|(above, node)| {
                let number = node.children.iter().position(|child| *child == place)?;
                Some((above, number, node.kind.starts_with("message/")))
            });
            let holds_parts = self
                .nodes
                .get(place)
                .is_some_and(|node| node.kind.starts_with("multipart/") && !node.leaf);
            match above {
                // A message: what is in it counts only if it is no multipart.
                None | Some((_, _, true)) if holds_parts => {}
                Some((_, number, _)) => numbers.push(number + 1),
                None => numbers.push(1),
            }
            let Some((above, ..)) = above else { break };
            place = above;
        }
        if numbers.is_empty() {
            return "0".to_owned();
        }
        let numbers: Vec<String> = numbers.iter().rev().map(ToString::to_string).collect();
        numbers.join(".")
    }

    fn walk(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut stack = vec![0];
        while let Some(place) = stack.pop() {
            let Some(part) = self.nodes.get(place) else { continue };
            order.push(place);
            stack.extend(part.children.iter().rev());
        }
        order
    }

    /// A message: the top one or an attached one.
    fn add_message(
        &mut self,
        header: Header,
        body: &[u8],
        depth_left: u32,
        waiting: &mut VecDeque<Waiting>,
    ) -> usize {
        let mut part = Part::new(header);
        let declared = part.content_type();
        part.kind = declared.kind;
        let mut body = without_blank_lines(body);
        let (first, rest) = first_line(&body);
        if part.kind.starts_with("multipart/") && !rest.is_empty() && !perl::trim(first).is_empty()
        {
            let opens = declared.boundary.as_ref().is_some_and(|boundary| {
                first.strip_prefix(b"--").is_some_and(|line| line.starts_with(boundary))
            });
            if !opens {
                body.insert(0, b'\n');
            }
        }
        let node = self.nodes.len();
        self.nodes.push(part);
        waiting.push_back(Waiting { node, boundary: declared.boundary, body, depth_left });
        node
    }

    fn leaf(&mut self, next: Waiting, attached_left: &mut usize, waiting: &mut VecDeque<Waiting>) {
        let Some(part) = self.nodes.get_mut(next.node) else { return };
        let declared = part.content_type();
        if !declared.missing {
            let no_boundary = declared.kind.starts_with("multipart/") && next.boundary.is_none();
            part.kind = if no_boundary { "text/plain".to_owned() } else { declared.kind };
        }
        part.charset = declared.charset;
        let disposition = part.header.last(b"content-disposition").unwrap_or_default();
        let named = disposition_name(disposition);
        part.name = named.or(declared.name.filter(|name| !name.is_empty() && name != "0"));
        part.leaf = true;
        part.raw = next.body;
        let message = part.kind == "message/rfc822" || part.kind == "message/global";
        self.cut |= part.kind.starts_with("multipart/") && next.depth_left == 0;
        if !message {
            return;
        }
        if next.depth_left == 0 || self.nodes.len() >= ALL_PARTS_MAX {
            self.cut = true;
            return;
        }
        let Some(part) = self.nodes.get_mut(next.node) else { return };
        let octets = part.decoded();
        let Some(left) = attached_left.checked_sub(octets.len()) else {
            self.cut = true;
            return;
        };
        if octets.is_empty() {
            return;
        }
        *attached_left = left;
        let octets = lines_ended_by_lf(octets).into_owned();
        part.leaf = false;
        part.raw = Vec::new();
        part.decoded = OnceCell::new();
        let (header, body) = Header::read(&octets);
        let child = self.add_message(header, body, next.depth_left - 1, waiting);
        if let Some(part) = self.nodes.get_mut(next.node) {
            part.children.push(child);
        }
    }

    fn multipart(&mut self, next: &Waiting, boundary: &[u8], waiting: &mut VecDeque<Waiting>) {
        let body = self.without_preamble(&next.body, boundary);
        let mut reader = Reader::default();
        let mut rest = body;
        let mut count = 0;
        while !rest.is_empty() {
            let (line, behind) = first_line(rest);
            let last_line = behind.is_empty();
            rest = behind;
            let mut ends = boundary_of(line, boundary);
            if ends.is_some() && reader.nested {
                reader.nested = ends == Some(Boundary::Between);
                ends = None;
            }
            if !last_line && ends.is_none() {
                reader.take(line, boundary, &mut self.flags);
                continue;
            }
            match ends {
                None => push_line(&mut reader.body, line),
                Some(_) => chomp(&mut reader.body),
            }
            let done = std::mem::take(&mut reader);
            reader.nested = done.nested;
            self.add_part(next, boundary, done, waiting);
            match ends {
                Some(Boundary::Last) => {
                    *self.balance.entry(boundary.to_vec()).or_default() -= 1;
                    break;
                }
                _ if !rest.is_empty() && !starts_field(first_line(rest).0, false) => {
                    self.flags.missing_mime_headers = true;
                }
                _ => {}
            }
            count += 1;
            if count == PARTS_MAX || self.nodes.len() >= ALL_PARTS_MAX {
                self.flags.mimepart_limit_exceeded = true;
                self.cut = true;
                return;
            }
        }
        let odd = |octet: &u8| !perl::is_space(*octet) && *octet != b'.';
        self.flags.mime_epilogue_exists |= rest.iter().any(odd);
    }

    /// What stands behind the first boundary; all if there is none.
    fn without_preamble<'b>(&mut self, body: &'b [u8], boundary: &[u8]) -> &'b [u8] {
        let mut rest = body;
        while !rest.is_empty() {
            let (line, behind) = first_line(rest);
            if boundary_of(line, boundary) == Some(Boundary::Between) {
                self.balance.insert(boundary.to_vec(), 1);
                if !behind.is_empty() && !starts_field(first_line(behind).0, false) {
                    self.flags.missing_mime_headers = true;
                }
                return behind;
            }
            rest = behind;
        }
        body
    }

    fn add_part(
        &mut self,
        parent: &Waiting,
        boundary: &[u8],
        done: Reader,
        waiting: &mut VecDeque<Waiting>,
    ) {
        let mut part = Part::new(done.header);
        let declared = part.content_type();
        let digest =
            self.nodes.get(parent.node).is_some_and(|parent| parent.kind == "multipart/digest");
        part.kind =
            if declared.missing && digest { "message/rfc822".to_owned() } else { declared.kind };
        let own = declared.boundary.filter(|own| !own.is_empty() && own != b"0");
        let node = self.nodes.len();
        self.nodes.push(part);
        if let Some(parent) = self.nodes.get_mut(parent.node) {
            parent.children.push(node);
        }
        waiting.push_back(Waiting {
            node,
            // A part without a boundary of its own has its parent's.
            boundary: Some(own.unwrap_or_else(|| boundary.to_vec())),
            body: done.body,
            depth_left: parent.depth_left.saturating_sub(1),
        });
    }
}

/// A part of a multipart as its lines come.
#[derive(Default)]
struct Reader {
    header: Header,
    field: Vec<u8>,
    in_body: bool,
    body: Vec<u8>,
    /// A part below has the same boundary: the next end belongs to it.
    nested: bool,
}

impl Reader {
    fn take(&mut self, line: &[u8], boundary: &[u8], flags: &mut Flags) {
        if !self.in_body {
            if starts_field(line, true) {
                self.finish_field();
                self.field.extend_from_slice(line);
                return;
            }
            if matches!(line.first(), Some(b' ' | b'\t')) && !self.field.is_empty() {
                self.field.extend_from_slice(line);
                return;
            }
            let is_type = self.finish_field();
            let declared = ContentType::read(self.header.last(b"content-type"));
            if is_type && declared.boundary.as_deref() == Some(boundary) {
                self.nested = true;
            }
            self.in_body = true;
            if line == b"\n" || line == b"\r\n" || line == b"\r" {
                return;
            }
            flags.missing_mime_head_body_separator = true;
        }
        push_line(&mut self.body, line);
    }

    /// Keeps the field that was collected; true if it was `Content-Type`.
    fn finish_field(&mut self) -> bool {
        if self.field.is_empty() {
            return false;
        }
        let field = std::mem::take(&mut self.field);
        self.header.add_part_line(&field);
        field.get(..13).is_some_and(|name| name.eq_ignore_ascii_case(b"content-type:"))
    }
}

fn push_line(body: &mut Vec<u8>, line: &[u8]) {
    let mut rest = line;
    while let Some((head, behind)) = rest.split_at_checked(LINE_MAX) {
        if behind.is_empty() {
            break;
        }
        body.extend_from_slice(head);
        body.push(b'\n');
        rest = behind;
    }
    body.extend_from_slice(rest);
}

/// The line end before a boundary belongs to the boundary.
fn chomp(body: &mut Vec<u8>) {
    if body.last() == Some(&b'\n') {
        body.pop();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Boundary {
    Between,
    Last,
}

fn boundary_of(line: &[u8], boundary: &[u8]) -> Option<Boundary> {
    let behind = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
    let blank = |octets: &[u8]| octets.iter().all(|octet| perl::is_space(*octet));
    if blank(behind) {
        return Some(Boundary::Between);
    }
    behind.strip_prefix(b"--").filter(|behind| blank(behind)).map(|_| Boundary::Last)
}

/// Of many empty lines in a row the first and some of the last are kept.
fn without_blank_lines(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while !rest.is_empty() {
        // At the very start one line more counts as the line before.
        let head = if rest.len() == body.len() { 2 } else { 1 };
        let mut run: VecDeque<&[u8]> = VecDeque::new();
        let mut count = 0;
        let mut line: &[u8] = &[];
        while !rest.is_empty() {
            (line, rest) = first_line(rest);
            if !line.iter().all(|octet| perl::is_space(*octet)) {
                break;
            }
            count += 1;
            if count <= head {
                out.extend_from_slice(line);
            } else {
                run.push_back(line);
                if run.len() >= BLANK_LINES_MAX {
                    run.pop_front();
                }
            }
            line = &[];
        }
        run.into_iter().for_each(|line| out.extend_from_slice(line));
        out.extend_from_slice(line);
    }
    out
}

/// LF for CRLF, if the first or the last line ends with CRLF: else the message is taken as it is.
pub(in crate::filters::spam) fn lines_ended_by_lf(message: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let (first, _) = first_line(message);
    if first.ends_with(b"\r\n") || message.ends_with(b"\r\n") {
        return without_cr(message).into();
    }
    message.into()
}

/// LF for CRLF, but CR for those that came as CR alone: rules are written for what was sent.
pub(in crate::filters::spam) fn as_it_came(message: &[u8], lone_cr: &[usize]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    let mut from = 0;
    for place in lone_cr {
        out.extend(without_cr(message.get(from..*place).unwrap_or_default()));
        out.push(b'\r');
        from = place.saturating_add(2);
    }
    out.extend(without_cr(message.get(from..).unwrap_or_default()));
    out
}

/// CR before LF goes.
pub(in crate::filters::spam) fn without_cr(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = memchr::memchr(b'\r', rest) {
        let (before, behind) = rest.split_at_checked(place).unwrap_or((rest, &[]));
        out.extend_from_slice(before);
        if behind.get(1) != Some(&b'\n') {
            out.push(b'\r');
        }
        rest = behind.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}
