//! The only reader and the only writer of message bodies.
//!
//! Only `CR LF . CR LF` ends the data (RFC 5321 section 4.1.1.4). A bare CR or LF is content: it is noted and becomes
//! CR LF here, so that what the filters read is what goes on, and none ever leaves us.

use bytes::Bytes;

/// A body, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// The message: dots removed, line ends CR LF.
    pub octets: Bytes,
    /// A CR stood without LF.
    pub bare_cr: bool,
    /// An LF stood without CR.
    pub bare_lf: bool,
    /// Where in `octets` a CR LF begins that came as CR alone, in order; the first 65,536 of them.
    pub lone_cr: Vec<usize>,
}

/// Places that are remembered of CR without LF.
const LONE_CR_MAX: usize = 65_536;

/// Where the reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Behind CR LF, or at the start.
    LineStart,
    /// Behind CR LF and a dot.
    Dot,
    /// Behind CR LF, a dot and CR.
    DotCr,
    /// Inside a line.
    Text,
    /// Inside a line, behind a CR.
    Cr,
}

/// Reads a body from octets in pieces of any size.
#[derive(Debug)]
pub struct BodyReader {
    octets: Vec<u8>,
    state: State,
    bare_cr: bool,
    bare_lf: bool,
    lone_cr: Vec<usize>,
    bytes_max: u64,
    /// Octets of the message so far, those not kept included.
    length: u64,
}

/// What [`BodyReader::finish`] gives.
#[derive(Debug, PartialEq, Eq)]
pub enum Finished {
    /// The body.
    Whole(Body),
    /// It had that many octets, more than allowed; they were read and dropped.
    TooLarge(u64),
}

impl BodyReader {
    /// A reader that keeps at most `bytes_max` octets; it reads a longer body to its end all the same, because what is
    /// left unread would be taken for commands.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        Self {
            octets: Vec::new(),
            state: State::LineStart,
            bare_cr: false,
            bare_lf: false,
            lone_cr: Vec::new(),
            bytes_max,
            length: 0,
        }
    }

    /// Octets held in memory.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.octets.len()
    }

    /// Takes octets; gives how many were used, and whether the end of data is reached. Octets behind the end are left
    /// to the caller.
    pub fn read(&mut self, input: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(&octet) = input.get(at) {
            match (self.state, octet) {
                (State::Text | State::LineStart, _) if octet != b'\r' && octet != b'\n' => {
                    if self.state == State::LineStart && octet == b'.' {
                        self.state = State::Dot;
                        at += 1;
                        continue;
                    }
                    let rest = input.get(at..).unwrap_or_default();
                    let run = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                    self.keep(rest.get(..run).unwrap_or_default());
                    self.state = State::Text;
                    at += run;
                    continue;
                }
                (State::Text | State::LineStart, b'\r') => self.state = State::Cr,
                (State::Text | State::LineStart, _) => self.bare(b'\n'),
                (State::Cr, b'\n') => {
                    self.keep(b"\r\n");
                    self.state = State::LineStart;
                }
                (State::Cr, _) => {
                    self.bare(b'\r');
                    continue;
                }
                (State::Dot, b'\r') => self.state = State::DotCr,
                (State::Dot, b'\n') => {
                    // A lone dot before a bare LF is content, not the end: it stays visible as a line of its own.
                    self.keep(b".");
                    self.bare(b'\n');
                }
                (State::Dot, _) => {
                    // The sender's stuffing: the first dot goes, what follows is the line.
                    self.state = State::Text;
                    continue;
                }
                (State::DotCr, b'\n') => return (at + 1, true),
                (State::DotCr, _) => {
                    self.keep(b".");
                    self.bare(b'\r');
                    continue;
                }
            }
            at += 1;
        }
        (at, false)
    }

    /// A bare CR or LF ends a line for whoever reads it later, but is no line end for dots: only a client that writes
    /// CR LF stuffs them.
    fn bare(&mut self, octet: u8) {
        if octet == b'\r' {
            self.bare_cr = true;
            if self.lone_cr.len() < LONE_CR_MAX && self.length <= self.bytes_max {
                self.lone_cr.push(self.octets.len());
            }
        } else {
            self.bare_lf = true;
        }
        self.keep(b"\r\n");
        self.state = State::Text;
    }

    fn keep(&mut self, octets: &[u8]) {
        self.length += octets.len() as u64;
        if self.length <= self.bytes_max {
            self.octets.extend_from_slice(octets);
        } else if !self.octets.is_empty() {
            self.octets = Vec::new();
        }
    }

    /// Drops what was read and keeps nothing more; the body is still read to its end.
    pub fn give_up(&mut self) {
        self.bytes_max = 0;
        self.octets = Vec::new();
    }

    /// The body, after [`BodyReader::read`] said that the end is reached.
    #[must_use]
    pub fn finish(self) -> Finished {
        if self.length > self.bytes_max {
            return Finished::TooLarge(self.length);
        }
        Finished::Whole(Body {
            octets: Bytes::from(self.octets),
            bare_cr: self.bare_cr,
            bare_lf: self.bare_lf,
            lone_cr: self.lone_cr,
        })
    }
}

/// Makes a file's octets a body: line ends become CR LF, bare ones are noted, as if they had come by SMTP.
///
/// A file whose lines all end in LF is what Unix programs store, so LF alone is no oddity there.
#[must_use]
pub fn from_file(octets: &[u8]) -> Body {
    if !octets.contains(&b'\r') {
        let mut out = Vec::with_capacity(octets.len() + octets.len() / 32);
        let mut rest = octets;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, tail) = rest.split_at(end);
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
            rest = tail.get(1..).unwrap_or_default();
        }
        out.extend_from_slice(rest);
        return Body { octets: out.into(), ..Body::default() };
    }
    let mut reader = BodyReader::new(u64::MAX);
    reader.state = State::Text;
    let mut rest = octets;
    // Dots are no stuffing in a file: each line start is met in the state in which dots are content.
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, tail) = rest.split_at(end + 1);
        reader.read(line);
        reader.state = State::Text;
        rest = tail;
    }
    reader.read(rest);
    if reader.state == State::Cr {
        reader.bare(b'\r');
    }
    let Finished::Whole(body) = reader.finish() else { return Body::default() };
    body
}

/// Octets to send as a body, in pieces that are not copied unless dots must be stuffed, the final dot included.
///
/// The pieces together must have CR LF line ends only; [`BodyReader`] and [`from_file`] see to it. A last line without
/// line end gets one.
#[must_use]
pub fn to_wire(pieces: &[Bytes]) -> Vec<Bytes> {
    let mut out = Vec::with_capacity(pieces.len() + 1);
    let mut line_start = true;
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        stuff(piece, line_start, &mut out);
        line_start = piece.last() == Some(&b'\n');
    }
    out.push(Bytes::from_static(if line_start { b".\r\n" } else { b"\r\n.\r\n" }));
    out
}

fn stuff(piece: &Bytes, line_start: bool, out: &mut Vec<Bytes>) {
    let mut from = 0;
    if line_start && piece.first() == Some(&b'.') {
        out.push(Bytes::from_static(b"."));
    }
    for at in memchr::memmem::find_iter(piece, b"\n.") {
        out.push(piece.slice(from..=at));
        out.push(Bytes::from_static(b"."));
        from = at + 1;
    }
    out.push(piece.slice(from..));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_in(pieces: &[&[u8]]) -> (Option<Body>, usize) {
        let mut reader = BodyReader::new(1 << 20);
        let mut left = 0;
        let mut done = false;
        for piece in pieces {
            if done {
                left += piece.len();
                continue;
            }
            let (used, end) = reader.read(piece);
            done = end;
            left += piece.len() - used;
        }
        match reader.finish() {
            Finished::Whole(body) if done => (Some(body), left),
            Finished::Whole(_) | Finished::TooLarge(_) => (None, left),
        }
    }

    fn body(input: &[u8]) -> Vec<u8> {
        read_in(&[input]).0.expect("the end of data").octets.to_vec()
    }

    #[test]
    fn only_crlf_dot_crlf_ends_the_data() {
        for inner in [
            "\n.\n",
            "\n.\r\n",
            "\r.\r",
            "\r.\r\n",
            "\r\n.\n",
            "\r\n.\r",
            "\n.\r",
            "\r.\n",
            "\n\r.\n\r",
            "\r\r\n.\r\r\n",
            "\r\n.\r\r\n",
            "\r\n\0.\r\n",
            "\r\n.\0\r\n",
            "\r\n. \r\n",
            "\r\n..\r\n",
            "\u{85}.\u{85}",
            "\r\n\u{b}.\r\n",
        ] {
            let input = format!("one{inner}MAIL FROM:<x>\r\n.\r\nrest");
            let (found, left) = read_in(&[input.as_bytes()]);
            let octets = found.unwrap().octets;
            assert_eq!(left, 4, "{inner:?}");
            assert!(octets.ends_with(b"MAIL FROM:<x>\r\n"), "{inner:?} {octets:?}");
        }
    }

    #[test]
    fn dots_are_removed_once() {
        assert_eq!(body(b"..\r\n...\r\n..x\r\n.y\r\n\r\n.\r\n"), b".\r\n..\r\n.x\r\ny\r\n\r\n");
        assert_eq!(body(b".\r\n"), b"");
    }

    #[test]
    fn bare_line_ends_become_crlf_and_are_noted() {
        let (found, _) = read_in(&[b"a\nb\rc\r\n.\r\n"]);
        let found = found.unwrap();
        assert_eq!(&found.octets[..], b"a\r\nb\r\nc\r\n");
        assert_eq!(found.lone_cr, [4]);
        assert!(found.bare_cr && found.bare_lf);
        assert_eq!(body(b"a\r\n.\nb\r\n.\r\n"), b"a\r\n.\r\nb\r\n");
    }

    #[test]
    fn a_body_over_the_limit_is_read_to_its_end() {
        let mut reader = BodyReader::new(4);
        assert_eq!(reader.read(b"12345\r\n.\r\nQUIT"), (10, true));
        assert_eq!(reader.finish(), Finished::TooLarge(7));
        let mut reader = BodyReader::new(7);
        assert!(reader.read(b"12345\r\n.\r\n").1);
        assert!(matches!(reader.finish(), Finished::Whole(_)));
    }

    #[test]
    fn a_file_with_lf_lines_is_no_oddity() {
        let read = from_file(b"a\n.\n..b\n");
        assert_eq!(&read.octets[..], b"a\r\n.\r\n..b\r\n");
        assert!(!read.bare_lf);
        let read = from_file(b"a\r\n.\r\nb\nc\rd\r\n.x\r\n");
        assert_eq!(&read.octets[..], b"a\r\n.\r\nb\r\nc\r\nd\r\n.x\r\n");
        assert!(read.bare_cr && read.bare_lf);
    }

    fn wire(pieces: &[Bytes]) -> Vec<u8> {
        to_wire(pieces).concat()
    }

    #[test]
    fn dots_are_stuffed_across_pieces() {
        let pieces = [
            Bytes::from_static(b"h: x\r\n"),
            Bytes::from_static(b".a\r\n.\r\nb"),
            Bytes::from_static(b".c"),
        ];
        assert_eq!(wire(&pieces), b"h: x\r\n..a\r\n..\r\nb.c\r\n.\r\n");
        assert_eq!(wire(&[]), b".\r\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(lines in proptest::collection::vec("[.a\u{0}é]{0,5}", 0..20), cut in 0usize..200) {
            let octets: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\r\n").into_bytes()).collect();
            let sent = wire(&[Bytes::from(octets.clone())]);
            let cut = cut.min(sent.len());
            let (read, left) = read_in(&[&sent[..cut], &sent[cut..]]);
            prop_assert_eq!(left, 0);
            prop_assert_eq!(&read.unwrap().octets[..], &octets[..]);
        }

        #[test]
        fn no_bare_line_end_ever_leaves(input in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a')], 0..60)) {
            let mut reader = BodyReader::new(1 << 20);
            let mut at = 0;
            while at < input.len() {
                let (used, end) = reader.read(&input[at..]);
                at += used;
                if end { break; }
            }
            reader.read(b"x\r\n.\r\n");
            let Finished::Whole(body) = reader.finish() else { panic!() };
            let sent = wire(&[body.octets]);
            let text = String::from_utf8(sent).unwrap();
            let without = text.replace("\r\n", "");
            prop_assert!(!without.contains(['\r', '\n']));
            prop_assert_eq!(text.find("\r\n.\r\n").map(|at| at + 5).unwrap_or(3), text.len());
        }

        #[test]
        fn the_cut_does_not_matter(input in "[\r\n.a]{0,40}", cut in 0usize..40) {
            let octets = format!("{input}\r\n.\r\n").into_bytes();
            let cut = cut.min(octets.len());
            prop_assert_eq!(read_in(&[&octets]), read_in(&[&octets[..cut], &octets[cut..]]));
        }
    }
}
