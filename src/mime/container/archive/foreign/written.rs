//! Archives written for the tests, where no tool makes them any more.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;

fn short(value: usize) -> [u8; 2] {
    u16::try_from(value).unwrap().to_le_bytes()
}

fn long(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap().to_le_bytes()
}

/// A header of RAR 4 with its sum before it.
fn summed(header: &[u8]) -> Vec<u8> {
    let [low, high, ..] = crc32fast::hash(header).to_le_bytes();
    [&[low, high], header].concat()
}

fn rar4_file(name: &[u8], flags: u16, method: u8, packed: &[u8], made: &[u8]) -> Vec<u8> {
    let header = summed(
        &[
            &[0x74][..],
            &flags.to_le_bytes(),
            &short(32 + name.len()),
            &long(packed.len()),
            &long(made.len()),
            &[2],
            &crc32fast::hash(made).to_le_bytes(),
            &[0; 4],
            &[29, method],
            &short(name.len()),
            &[0x20, 0, 0, 0],
            name,
        ]
        .concat(),
    );
    [&header, packed].concat()
}

fn rar4_of(files: &[Vec<u8>]) -> Vec<u8> {
    let main = summed(&[0x73, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0]);
    let end = summed(&[0x7b, 0, 0x40, 7, 0]);
    [b"Rar!\x1a\x07\0".to_vec(), main, files.concat(), end].concat()
}

/// Stored files by name, flags and content.
pub(super) fn rar4(files: &[(&[u8], u16, &[u8])]) -> Vec<u8> {
    let files: Vec<_> =
        files.iter().map(|(name, flags, data)| rar4_file(name, *flags, 0x30, data, data)).collect();
    rar4_of(&files)
}

pub(super) fn rar4_packed(name: &[u8], method: u8, packed: &[u8], made: &[u8]) -> Vec<u8> {
    rar4_of(&[rar4_file(name, 0x8000, method, packed, made)])
}

/// Literals, and then pairs that repeat what is two octets back. Each symbol of the first code has nine bits.
pub(super) fn packed_by_rar3(literals: &[u8], pairs: &[u8]) -> Vec<u8> {
    const SYMBOLS: usize = 299;
    const OTHERS: usize = 60 + 17 + 28;
    let mut bits = String::from("00");
    for length in 0..20 {
        bits.push_str(if length == 0 || length == 9 { "0001" } else { "0000" });
    }
    bits.push_str(&"1".repeat(SYMBOLS));
    bits.push_str(&"0".repeat(OTHERS));
    for octet in literals {
        bits.push_str(&format!("{octet:09b}"));
    }
    for _ in pairs.chunks(2) {
        bits.push_str(&format!("{:09b}{:02b}", 263, 1));
    }
    bits.push_str(&format!("{:09b}00", 256));
    while bits.len() % 8 != 0 {
        bits.push('0');
    }
    let octet = |bits: &[u8]| bits.iter().fold(0, |octet, bit| octet << 1 | (bit - b'0'));
    bits.as_bytes().chunks(8).map(octet).collect()
}

/// A block of a cabinet: no sum, sizes, octets.
pub(super) fn block(packed: &[u8], size: usize) -> Vec<u8> {
    [&[0; 4][..], &short(packed.len()), &short(size), packed].concat()
}

/// 32 KiB of zeros.
pub(super) fn mszip_zeros() -> Vec<u8> {
    let mut writer = DeflateEncoder::new(b"CK".to_vec(), Compression::best());
    writer.write_all(&[0; 32 << 10]).unwrap();
    block(&writer.finish().unwrap(), 32 << 10)
}

/// A cabinet of one folder.
pub(super) fn cab(method: u16, files: &[(&str, usize)], blocks: &[Vec<u8>]) -> Vec<u8> {
    const HEADER_BYTES: usize = 36;
    const FOLDER_BYTES: usize = 8;
    let mut list = Vec::new();
    let mut start = 0;
    for (name, size) in files {
        list.extend([&long(*size)[..], &long(start), &[0; 8], name.as_bytes(), &[0]].concat());
        start += size;
    }
    let data_at = HEADER_BYTES + FOLDER_BYTES + list.len();
    let blocks_all = blocks.concat();
    let header = [
        &b"MSCF\0\0\0\0"[..],
        &long(data_at + blocks_all.len()),
        &[0; 4],
        &long(HEADER_BYTES + FOLDER_BYTES),
        &[0, 0, 0, 0, 3, 1, 1, 0],
        &short(files.len()),
        &[0; 6],
        &long(data_at),
        &short(blocks.len()),
        &method.to_le_bytes(),
    ]
    .concat();
    [header, list, blocks_all].concat()
}

/// A zoo of one stored file.
pub(super) fn zoo(name: &str, data: &[u8]) -> Vec<u8> {
    const FIRST: usize = 42;
    const ENTRY_BYTES: usize = 51;
    let entry = |next: usize, start: usize, name: &str, data: &[u8]| {
        let mut padded = name.as_bytes().to_vec();
        padded.resize(13, 0);
        [
            &b"\xdc\xa7\xc4\xfd\x01\x00"[..],
            &long(next),
            &long(start),
            &[0; 4],
            &super::lha::crc16(data).to_le_bytes(),
            &long(data.len()),
            &long(data.len()),
            &[0; 10],
            &padded,
        ]
        .concat()
    };
    let start = FIRST + ENTRY_BYTES;
    let header =
        [&b"ZOO 2.10 Archive.\x1a\0\0\xdc\xa7\xc4\xfd"[..], &long(FIRST), &[0; FIRST - 28]]
            .concat();
    let last = entry(0, 0, "", b"");
    [header, entry(start + data.len(), start, name, data), data.to_vec(), last].concat()
}

/// An ace of one file.
pub(super) fn ace(name: &str, method: u8, data: &[u8]) -> Vec<u8> {
    let header = |content: &[u8]| [&[0; 2][..], &short(content.len()), content].concat();
    let main = [&[0, 0, 0][..], b"**ACE**", &[0; 20]].concat();
    let file = [
        &[1, 1, 0][..],
        &long(data.len()),
        &long(data.len()),
        &[0; 4],
        &[0x20, 0, 0, 0],
        &(!crc32fast::hash(data)).to_le_bytes(),
        &[method],
        &[0; 5],
        &short(name.len()),
        name.as_bytes(),
    ]
    .concat();
    [header(&main), header(&file), data.to_vec()].concat()
}
