//! The headers of 7z: which streams there are, how they are packed, and what the files are called.
//!
//! As `7zFormat.txt` of the 7-Zip SDK describes them. Every count is checked against the octets that are left, so that
//! nothing is reserved that was only claimed.

use super::super::Cursor;

const END: u64 = 0;
const ARCHIVE_PROPERTIES: u64 = 2;
const ADDITIONAL_STREAMS: u64 = 3;
const MAIN_STREAMS: u64 = 4;
const FILES: u64 = 5;
const PACK_INFO: u64 = 6;
const UNPACK_INFO: u64 = 7;
const SUBSTREAMS: u64 = 8;
const SIZES: u64 = 9;
const DIGESTS: u64 = 10;
const FOLDERS: u64 = 11;
const UNPACK_SIZES: u64 = 12;
const COUNTS: u64 = 13;
const EMPTY_STREAM: u64 = 14;
const EMPTY_FILE: u64 = 15;
const NAMES: u64 = 17;

/// Coders of one folder; 7-Zip itself makes at most a handful.
const CODERS_MAX: u64 = 16;

/// Streams that go into one coder: BCJ2 has four.
const CODER_STREAMS_MAX: u64 = 8;

/// One step of packing.
#[derive(Debug, Default)]
pub(super) struct Coder {
    pub(super) method: u64,
    pub(super) inputs: usize,
    pub(super) properties: Vec<u8>,
}

/// Size and checksum of one file in a folder.
pub(super) type Content = (u64, Option<u32>);

/// Files packed together.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// Every coder makes one stream.
    pub(super) coders: Vec<Coder>,
    /// Which input is fed by which coder.
    pub(super) bonds: Vec<(usize, usize)>,
    /// Inputs that are fed by the archive.
    pub(super) packed: Vec<usize>,
    /// What each coder makes.
    pub(super) sizes: Vec<u64>,
    pub(super) crc: Option<u32>,
    pub(super) files: Vec<Content>,
}

/// What is packed where.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) start: u64,
    pub(super) packed_sizes: Vec<u64>,
    pub(super) folders: Vec<Folder>,
}

/// A file by its name.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) name: Option<String>,
    pub(super) has_stream: bool,
    pub(super) is_folder: bool,
}

/// Reads a header that is not packed. The files are also given if something behind their names is wrong.
pub(super) fn read(octets: &[u8]) -> (Streams, Option<Vec<File>>) {
    let mut cursor = Cursor::new(octets);
    let mut streams = Streams::default();
    let files = read_parts(&mut cursor, &mut streams);
    (streams, files)
}

fn read_parts(cursor: &mut Cursor<'_>, streams: &mut Streams) -> Option<Vec<File>> {
    loop {
        match number(cursor)? {
            1 => {}
            ARCHIVE_PROPERTIES => while skip_property(cursor)? {},
            ADDITIONAL_STREAMS => drop(read_streams(cursor)?),
            MAIN_STREAMS => *streams = read_streams(cursor)?,
            FILES => return read_files(cursor),
            _ => return None,
        }
    }
}

/// Passes one property of the archive. False at the end of them.
fn skip_property(cursor: &mut Cursor<'_>) -> Option<bool> {
    if number(cursor)? == END {
        return Some(false);
    }
    let size = size(cursor)?;
    cursor.take(size)?;
    Some(true)
}

/// A number of one to nine octets: the high bits of the first tell how many follow.
fn number(cursor: &mut Cursor<'_>) -> Option<u64> {
    let first = cursor.octet()?;
    let count = first.leading_ones();
    let mut value = 0_u64;
    for place in 0..count {
        value |= u64::from(cursor.octet()?) << (8 * place);
    }
    if count < 7 {
        let high = u64::from(first & (0x7f >> count));
        value |= high << (8 * count);
    }
    Some(value)
}

fn size(cursor: &mut Cursor<'_>) -> Option<usize> {
    usize::try_from(number(cursor)?).ok()
}

/// A count of things of which each needs at least one octet.
fn count(cursor: &mut Cursor<'_>) -> Option<usize> {
    size(cursor).filter(|count| *count <= cursor.left())
}

/// `count` bits, the highest first.
fn bits(cursor: &mut Cursor<'_>, count: usize) -> Option<Vec<bool>> {
    let octets = cursor.take(count.div_ceil(8))?;
    let all = octets.iter().flat_map(|octet| (0..8).map(move |bit| octet & (0x80 >> bit) != 0));
    Some(all.take(count).collect())
}

/// Checksums, of those that have one.
fn digests(cursor: &mut Cursor<'_>, count: usize) -> Option<Vec<Option<u32>>> {
    let defined = match cursor.octet()? {
        0 => bits(cursor, count)?,
        _ if count.checked_mul(4)? <= cursor.left() => vec![true; count],
        _ => return None,
    };
    defined.into_iter().map(|is| if is { cursor.u32().map(Some) } else { Some(None) }).collect()
}

/// Reads which streams there are.
pub(super) fn read_streams(cursor: &mut Cursor<'_>) -> Option<Streams> {
    let mut streams = Streams::default();
    let mut counted = false;
    loop {
        match number(cursor)? {
            END => break,
            PACK_INFO => read_pack_info(cursor, &mut streams)?,
            UNPACK_INFO => read_folders(cursor, &mut streams.folders)?,
            SUBSTREAMS => {
                counted = true;
                read_substreams(cursor, &mut streams.folders)?;
            }
            _ => return None,
        }
    }
    if !counted {
        for folder in &mut streams.folders {
            folder.files = vec![(made(folder), folder.crc)];
        }
    }
    Some(streams)
}

fn read_pack_info(cursor: &mut Cursor<'_>, streams: &mut Streams) -> Option<()> {
    streams.start = number(cursor)?;
    let count = size(cursor)?;
    loop {
        match number(cursor)? {
            END => return Some(()),
            SIZES if count <= cursor.left() => {
                streams.packed_sizes =
                    (0..count).map(|_| number(cursor)).collect::<Option<Vec<_>>>()?;
            }
            DIGESTS => drop(digests(cursor, count)?),
            _ => return None,
        }
    }
}

fn read_folders(cursor: &mut Cursor<'_>, folders: &mut Vec<Folder>) -> Option<()> {
    if number(cursor)? != FOLDERS {
        return None;
    }
    let count = count(cursor)?;
    if cursor.octet()? != 0 {
        // Kept in another stream: nothing writes that.
        return None;
    }
    for _ in 0..count {
        folders.push(read_folder(cursor)?);
    }
    loop {
        match number(cursor)? {
            END => return Some(()),
            UNPACK_SIZES => {
                for folder in folders.iter_mut() {
                    folder.sizes = (0..folder.coders.len())
                        .map(|_| number(cursor))
                        .collect::<Option<Vec<_>>>()?;
                }
            }
            DIGESTS => {
                let sums = digests(cursor, count)?;
                for (folder, sum) in folders.iter_mut().zip(sums) {
                    folder.crc = sum;
                }
            }
            _ => return None,
        }
    }
}

fn read_folder(cursor: &mut Cursor<'_>) -> Option<Folder> {
    let mut folder = Folder::default();
    let coders = number(cursor)?;
    if coders == 0 || coders > CODERS_MAX {
        return None;
    }
    let mut inputs = 0;
    for _ in 0..coders {
        let flags = cursor.octet()?;
        let id = cursor.take(usize::from(flags & 15))?;
        let method = id.iter().fold(0_u64, |id, octet| id << 8 | u64::from(*octet));
        let mut coder = Coder { method, inputs: 1, ..Coder::default() };
        if flags & 0x10 != 0 {
            let (into, out) = (number(cursor)?, number(cursor)?);
            if into == 0 || into > CODER_STREAMS_MAX || out != 1 {
                return None;
            }
            coder.inputs = usize::try_from(into).ok()?;
        }
        if flags & 0x20 != 0 {
            let size = size(cursor)?;
            coder.properties = cursor.take(size)?.to_vec();
        }
        inputs += coder.inputs;
        folder.coders.push(coder);
    }
    for _ in 1..coders {
        folder.bonds.push((size(cursor)?, size(cursor)?));
    }
    let bound = |input: &usize| folder.bonds.iter().any(|(into, _)| into == input);
    let packed = inputs.checked_sub(folder.bonds.len())?;
    folder.packed = if packed == 1 {
        (0..inputs).filter(|input| !bound(input)).collect()
    } else {
        (0..packed).map(|_| size(cursor)).collect::<Option<Vec<_>>>()?
    };
    Some(folder)
}

/// The coder whose stream feeds no other one: what it makes are the files.
pub(super) fn last_coder(folder: &Folder) -> Option<usize> {
    (0..folder.coders.len()).find(|coder| !folder.bonds.iter().any(|(_, out)| out == coder))
}

/// What a folder unpacks to, as it says.
fn made(folder: &Folder) -> u64 {
    last_coder(folder).and_then(|coder| folder.sizes.get(coder).copied()).unwrap_or(0)
}

fn read_substreams(cursor: &mut Cursor<'_>, folders: &mut [Folder]) -> Option<()> {
    let mut kind = number(cursor)?;
    let mut counts = vec![1; folders.len()];
    if kind == COUNTS {
        let mut room = cursor.left();
        for count in &mut counts {
            *count = size(cursor)?;
            // Of each file but the last in a folder the size follows.
            room = room.checked_sub(count.saturating_sub(1))?;
        }
        kind = number(cursor)?;
    }
    let has_sizes = kind == SIZES;
    for (folder, count) in folders.iter_mut().zip(&counts) {
        let mut rest = made(folder);
        folder.files.clear();
        for place in 1..=*count {
            let size = if place == *count {
                rest
            } else if has_sizes {
                number(cursor)?
            } else {
                return None;
            };
            rest = rest.saturating_sub(size);
            folder.files.push((size, None));
        }
    }
    if has_sizes {
        kind = number(cursor)?;
    }
    loop {
        match kind {
            END => return Some(()),
            DIGESTS => read_file_digests(cursor, folders)?,
            _ => return None,
        }
        kind = number(cursor)?;
    }
}

/// A folder of one file has its checksum already; the others follow in one list.
fn read_file_digests(cursor: &mut Cursor<'_>, folders: &mut [Folder]) -> Option<()> {
    let known = |folder: &Folder| folder.files.len() == 1 && folder.crc.is_some();
    let unknown = folders.iter().filter(|folder| !known(folder)).map(|folder| folder.files.len());
    let mut sums = digests(cursor, unknown.sum())?.into_iter();
    for folder in folders {
        if known(folder) {
            let crc = folder.crc;
            folder.files.iter_mut().for_each(|file| file.1 = crc);
        } else {
            folder.files.iter_mut().for_each(|file| file.1 = sums.next().flatten());
        }
    }
    Some(())
}

fn read_files(cursor: &mut Cursor<'_>) -> Option<Vec<File>> {
    // Each needs at least the end of its name, but a list without names is possible.
    let count = count(cursor)?;
    let mut files: Vec<File> =
        (0..count).map(|_| File { has_stream: true, ..File::default() }).collect();
    let mut empty = Vec::new();
    while let Some(kind) = number(cursor).filter(|kind| *kind != END) {
        let Some(octets) = size(cursor).and_then(|size| cursor.take(size)) else { break };
        let mut property = Cursor::new(octets);
        match kind {
            EMPTY_STREAM => {
                empty = bits(&mut property, count).unwrap_or_default();
                for (file, is_empty) in files.iter_mut().zip(&empty) {
                    file.has_stream = !is_empty;
                    file.is_folder = *is_empty;
                }
            }
            EMPTY_FILE => {
                let total = empty.iter().filter(|is_empty| **is_empty).count();
                let is_file = bits(&mut property, total).unwrap_or_default();
                let without = files.iter_mut().filter(|file| !file.has_stream);
                without.zip(is_file).for_each(|(file, is_file)| file.is_folder = !is_file);
            }
            NAMES if property.octet() == Some(0) => {
                for file in &mut files {
                    let Some(name) = utf16_text(&mut property) else { break };
                    file.name = Some(name);
                }
            }
            _ => {}
        }
    }
    Some(files)
}

/// UTF-16 up to a NUL, or to the end.
fn utf16_text(cursor: &mut Cursor<'_>) -> Option<String> {
    let first = cursor.u16()?;
    let rest = std::iter::from_fn(|| cursor.u16());
    let units: Vec<u16> =
        std::iter::once(first).chain(rest).take_while(|unit| *unit != 0).collect();
    Some(String::from_utf16_lossy(&units))
}
