//! Compressed streams: one file in each, nearly always without its name.
//!
//! What stands behind a stream is looked at, too: another stream of the kind is unpacked wherever it begins, and the rest
//! is a member of its own.

mod bzip2;
mod compress;
pub(super) mod gzip;
pub(super) mod inflate;
mod lz4;
mod lzma;
mod name;
mod run;
mod zstd;

use std::ops::Range;

use bytes::Bytes;

use self::run::{End, Ending, Sink};
use super::{Ask, Container, Member, Opened, name_text, u16_at, u32_at};
use crate::mail::{DefectCode, PartFlag};

pub(in crate::mime) use self::bzip2::begins as is_bzip2;
pub(in crate::mime) use self::compress::begins as is_compress;
pub(in crate::mime) use self::lzma::is_lzma;
pub(in crate::mime) use self::zstd::behind_skipped;

/// Streams in one container that are joined: more is no file but an attack on our time.
const STREAMS_MAX: usize = 10_000;

/// Streams that are also given one by one, not only joined.
const SINGLES_MAX: usize = 16;

/// Places behind a stream, beyond junk, that look like another one and are tried.
const TRIES_MAX: usize = 16;

/// Junk of fewer octets holds nothing.
const JUNK_BYTES_MIN: usize = 4;

/// One kind of stream.
struct Format {
    /// True if a stream begins there.
    begins: fn(&[u8]) -> bool,
    /// The first octet of every stream that may follow junk.
    first: &'static [u8],
    /// Unpacks the stream at the start of the octets.
    unpack: fn(&[u8], &mut Sink<'_>) -> Ending,
    /// The start tells little: what gives nothing was no stream.
    guessed: bool,
}

/// gzip, bzip2, xz, lzma, lzip, zstd, lz4, compress.
pub(super) fn open(container: Container, ask: Ask<'_>, opened: &mut Opened) {
    let formats = [
        (Container::Gzip, &gzip::FORMAT),
        (Container::Bzip2, &bzip2::FORMAT),
        (Container::Xz, &lzma::XZ),
        (Container::Lzma, &lzma::LZMA),
        (Container::Lzip, &lzma::LZIP),
        (Container::Zstd, &zstd::FORMAT),
        (Container::Lz4, &lz4::FORMAT),
        (Container::Compress, &compress::FORMAT),
    ];
    match formats.iter().find(|(known, _)| *known == container) {
        Some((_, format)) => open_as(format, ask, opened),
        None => opened.flag(PartFlag::Unscannable),
    }
}

/// What is known of the streams of a container.
#[derive(Default)]
struct Found {
    whole: Member,
    /// Where in the joined content each stream begins and ends.
    singles: Vec<Range<usize>>,
    /// What stands between and behind the streams.
    junk: Vec<Range<usize>>,
    streams: usize,
    broken: bool,
    refused: bool,
}

fn open_as(format: &Format, ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, name, budget, .. } = ask;
    let mut found = Found::default();
    found.whole.names.extend(name.map(name::inside));
    let mut sink = Sink { data: Vec::new(), packed: data.len(), budget };
    read_all(format, data, &mut sink, &mut found, opened);
    let Sink { data: joined, budget, .. } = sink;
    if found.refused {
        opened.flag(PartFlag::Unscannable);
        found.whole.flags.push(PartFlag::Unscannable);
        found.whole.odd.push(DefectCode::UnscannableMember);
    }
    if joined.is_empty() && format.guessed {
        return;
    }
    if found.broken {
        found.whole.odd.push(DefectCode::BadArchive);
    }
    if joined.is_empty() && found.refused {
        return;
    }
    if found.streams == 0 {
        opened.note(DefectCode::BadArchive);
        opened.flag(PartFlag::Unscannable);
        return;
    }
    give(data, joined.into(), found, budget, opened);
}

/// Gives the joined content, the single ones if there are several, and the junk.
fn give(
    data: &Bytes,
    joined: Bytes,
    found: Found,
    budget: &mut super::Budget,
    opened: &mut Opened,
) {
    let names = found.whole.names.clone();
    let mut members = vec![Member { data: joined.clone(), ..found.whole }];
    if found.singles.len() > 1 {
        for range in found.singles {
            let end = range.end.min(joined.len());
            let data = joined.slice(range.start.min(end)..end);
            members.push(Member { names: names.clone(), data, ..Member::default() });
        }
    }
    for range in found.junk {
        opened.note(DefectCode::BadArchive);
        members.push(Member { data: data.slice(range), ..Member::default() });
    }
    for member in members {
        if let Err(code) = budget.file() {
            opened.note(code);
            return;
        }
        opened.members.push(member);
    }
}

/// Unpacks stream after stream, over whatever stands between them.
fn read_all(
    format: &Format,
    data: &Bytes,
    sink: &mut Sink<'_>,
    found: &mut Found,
    opened: &mut Opened,
) {
    let (mut at, mut from, mut tries) = (0, 0, 0);
    // A stream that broke off has no end that could be told from junk.
    let mut after_whole = true;
    while let Some(start) = next_start(format, data, from) {
        let gap = data.get(at..start).unwrap_or_default();
        if !is_padding(gap) {
            tries += 1;
        }
        if found.streams >= STREAMS_MAX {
            opened.note(DefectCode::TooManyFiles);
            return;
        }
        if tries > TRIES_MAX {
            opened.flag(PartFlag::Unscannable);
            break;
        }
        let base = sink.data.len();
        let ending = (format.unpack)(data.get(start..).unwrap_or_default(), sink);
        let gave = sink.data.len() > base;
        if start > 0 && !gave && ending.end == End::Broken {
            from = start.saturating_add(1);
            continue;
        }
        if after_whole {
            add_junk(at..start, data, found);
        }
        found.streams += 1;
        if gave && found.singles.len() < SINGLES_MAX {
            found.singles.push(base..sink.data.len());
        }
        found.whole.names.extend(ending.name.filter(|name| !found.whole.names.contains(name)));
        after_whole = ending.end == End::Whole;
        match ending.end {
            End::Whole => {}
            End::Broken => found.broken = true,
            End::Refused => found.refused = true,
            End::Limit(code) => {
                found.whole.odd.push(code);
                return;
            }
        }
        if after_whole || ending.end == End::Refused {
            at = start.saturating_add(ending.read.max(1)).min(data.len());
            from = at;
        } else {
            // What a cut stream seems to hold may be the next one.
            (at, from) = (start, start.saturating_add(1));
        }
    }
    if after_whole && found.streams > 0 {
        add_junk(at..data.len(), data, found);
    }
}

/// Where the next stream begins, at `from` or behind.
fn next_start(format: &Format, data: &[u8], from: usize) -> Option<usize> {
    let is_start = |at: &usize| data.get(*at..).is_some_and(format.begins);
    if is_start(&from) {
        return Some(from);
    }
    let rest = data.get(from..)?;
    match format.first {
        [one] => memchr::memchr_iter(*one, rest).map(|hit| from + hit).find(is_start),
        [one, two] => memchr::memchr2_iter(*one, *two, rest).map(|hit| from + hit).find(is_start),
        _ => None,
    }
}

/// Tapes and transports fill up with these.
fn is_padding(octets: &[u8]) -> bool {
    octets.iter().all(|octet| matches!(octet, 0 | b'\r' | b'\n' | b' ' | 0x1a))
}

fn add_junk(range: Range<usize>, data: &[u8], found: &mut Found) {
    let junk = data.get(range.clone()).unwrap_or_default();
    if junk.len() >= JUNK_BYTES_MIN && !is_padding(junk) && found.streams > 0 {
        found.junk.push(range);
    }
}

#[cfg(test)]
mod tests;
