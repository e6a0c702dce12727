//! The coders of a folder, put together so that they can be read through.

use std::io::Read;

use bzip2::read::MultiBzDecoder;
use flate2::read::DeflateDecoder;
use lzma_rust2::filter::bcj::BcjReader;
use lzma_rust2::filter::bcj2::Bcj2Reader;
use lzma_rust2::filter::delta::DeltaReader;
use lzma_rust2::{Lzma2Reader, LzmaReader};
use ppmd_rust::Ppmd7Decoder;
use sha2::{Digest as _, Sha256};

use super::super::aes_cbc::{Cipher, Decrypting};
use super::super::ask_for_model;
use super::header::{Coder, Folder, last_coder};
use crate::mail::DefectCode;
use crate::mime::budget::Budget;

pub(super) const AES: u64 = 0x06f1_0701;

const PPMD: u64 = 0x03_0401;

/// Memory that a folder may make PPMd reserve, all of which is touched: 7-Zip takes 16 MiB, at its higher level 64.
const PPMD_BYTES_MAX: u32 = 64 << 20;

/// Rounds of the key are two to this; 7-Zip writes 19.
const ROUNDS_MAX: u8 = 20;

/// A window grows with what is unpacked, up to here: what 7-Zip takes at its highest level.
const WINDOW_BYTES_MAX: u32 = 64 << 20;

pub(super) type Reader<'a> = Box<dyn Read + 'a>;

/// Makes a reader of what the folder unpacks to. `packed`: the streams that it is fed with, in its order.
pub(super) fn reader<'a>(
    folder: &Folder,
    packed: &[&'a [u8]],
    key: Option<[u8; 32]>,
    budget: &mut Budget,
) -> Result<Reader<'a>, DefectCode> {
    const UNKNOWN: DefectCode = DefectCode::UnscannableMember;
    let last = last_coder(folder).ok_or(UNKNOWN)?;
    check_sizes(folder, packed, last, budget)?;
    let mut made: Vec<Option<Reader<'a>>> = folder.coders.iter().map(|_| None).collect();
    let mut done = vec![false; folder.coders.len()];
    // Each round makes at least one more coder, or there is a circle.
    for _ in 0..folder.coders.len() {
        let mut first = 0;
        for (index, coder) in folder.coders.iter().enumerate() {
            let inputs = first..first + coder.inputs;
            first = inputs.end;
            let feeds = |input: usize| {
                folder.bonds.iter().find(|(into, _)| *into == input).map(|(_, out)| *out)
            };
            let is_ready = |input: usize| {
                feeds(input).is_none_or(|out| made.get(out).is_some_and(Option::is_some))
            };
            if done.get(index) != Some(&false) || !inputs.clone().all(is_ready) {
                continue;
            }
            let mut sources: Vec<Reader<'a>> = Vec::new();
            for input in inputs {
                let source = match feeds(input) {
                    Some(out) => made.get_mut(out).and_then(Option::take),
                    None => folder
                        .packed
                        .iter()
                        .position(|place| *place == input)
                        .and_then(|place| packed.get(place))
                        .map(|octets| Box::new(*octets) as Reader<'a>),
                };
                sources.push(source.ok_or(UNKNOWN)?);
            }
            let size = folder.sizes.get(index).copied().ok_or(UNKNOWN)?;
            let reader = decoder(coder, sources, size, key, budget)?;
            if let (Some(place), Some(is)) = (made.get_mut(index), done.get_mut(index)) {
                *place = Some(Box::new(reader.take(size)));
                *is = true;
            }
        }
    }
    made.get_mut(last).and_then(Option::take).ok_or(UNKNOWN)
}

/// What only stands between two coders is not counted when it is unpacked, so it is measured before.
fn check_sizes(
    folder: &Folder,
    packed: &[&[u8]],
    last: usize,
    budget: &Budget,
) -> Result<(), DefectCode> {
    const FREE_BYTES: u64 = 1 << 20;
    let packed = packed.iter().map(|octets| octets.len() as u64).fold(0, u64::saturating_add);
    let between = folder.sizes.iter().enumerate().filter(|(coder, _)| *coder != last);
    let between = between.map(|(_, size)| *size).fold(0, u64::saturating_add);
    if between > budget.limits.archive_expanded_bytes_max {
        return Err(DefectCode::TooManyOctets);
    }
    if between > FREE_BYTES && between > packed.saturating_mul(budget.limits.archive_ratio_max) {
        return Err(DefectCode::TooHighRatio);
    }
    Ok(())
}

fn decoder<'a>(
    coder: &Coder,
    mut sources: Vec<Reader<'a>>,
    size: u64,
    key: Option<[u8; 32]>,
    budget: &mut Budget,
) -> Result<Reader<'a>, DefectCode> {
    const BAD: DefectCode = DefectCode::BadArchive;
    let properties = &coder.properties;
    let word = |at: usize| {
        let octets = properties.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(octets.try_into().ok()?))
    };
    let first = properties.first().copied();
    if coder.method == 0x0303_011b {
        let reader = Bcj2Reader::try_new(sources, size).map_err(|_| BAD)?;
        return Ok(Box::new(reader));
    }
    let (Some(source), true) = (sources.pop(), sources.is_empty()) else { return Err(BAD) };
    // Branches are counted from where the filter says that the octets began, which is nearly always the start.
    let start = word(0).and_then(|start| usize::try_from(start).ok()).unwrap_or(0);
    let reader: Reader<'a> = match coder.method {
        0 => source,
        0x03_0101 => {
            let window = word(1).ok_or(BAD)?.min(WINDOW_BYTES_MAX);
            let reader = LzmaReader::new_with_props(source, size, first.ok_or(BAD)?, window, None);
            let mut reader = reader.map_err(|_| BAD)?;
            reader.set_defer_errors(true);
            Box::new(reader)
        }
        0x21 => Box::new(Lzma2Reader::new(source, lzma2_window(first.ok_or(BAD)?), None)),
        PPMD => {
            let memory = word(1).ok_or(BAD)?;
            if memory > PPMD_BYTES_MAX {
                return Err(DefectCode::UnscannableMember);
            }
            ask_for_model(memory, budget)?;
            let order = u32::from(first.ok_or(BAD)?);
            Box::new(Ppmd7Decoder::new(source, order, memory).map_err(|_| BAD)?)
        }
        0x04_0108 => Box::new(DeflateDecoder::new(source)),
        0x04_0202 => Box::new(MultiBzDecoder::new(source)),
        3 => Box::new(DeltaReader::new(source, usize::from(first.unwrap_or(0)) + 1)),
        4 | 0x0303_0103 => Box::new(BcjReader::new_x86(source, start)),
        5 | 0x0303_0205 => Box::new(BcjReader::new_ppc(source, start)),
        6 | 0x0303_0401 => Box::new(BcjReader::new_ia64(source, start)),
        7 | 0x0303_0501 => Box::new(BcjReader::new_arm(source, start)),
        8 | 0x0303_0701 => Box::new(BcjReader::new_arm_thumb(source, start)),
        9 | 0x0303_0805 => Box::new(BcjReader::new_sparc(source, start)),
        10 => Box::new(BcjReader::new_arm64(source, start)),
        11 => Box::new(BcjReader::new_riscv(source, start)),
        AES => {
            let salted = Salted::read(properties).ok_or(BAD)?;
            let key = key.ok_or(DefectCode::Encrypted)?;
            Box::new(Decrypting::new(source, Cipher::aes256(key), salted.start))
        }
        _ => return Err(DefectCode::UnscannableMember),
    };
    Ok(reader)
}

/// The window of LZMA2, of which the size is written as a half logarithm.
fn lzma2_window(property: u8) -> u32 {
    let half = u32::from(property & 63);
    if half > 32 {
        return WINDOW_BYTES_MAX;
    }
    ((2 | half & 1) << (half / 2 + 11)).min(WINDOW_BYTES_MAX)
}

/// How a key is made of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Salted {
    rounds: u8,
    salt: Vec<u8>,
    start: [u8; 16],
}

impl Salted {
    /// What the folder's first encryption says.
    pub(super) fn of(folder: &Folder) -> Option<Self> {
        Self::read(&folder.coders.iter().find(|coder| coder.method == AES)?.properties)
    }

    fn read(properties: &[u8]) -> Option<Self> {
        let first = *properties.first()?;
        let second = properties.get(1).copied().unwrap_or(0);
        let salt_bytes = usize::from(first >> 7) + usize::from(second >> 4);
        let start_bytes = usize::from(first >> 6 & 1) + usize::from(second & 15);
        let rest = properties.get(2..).unwrap_or_default();
        let mut start = [0; 16];
        let octets = rest.get(salt_bytes..salt_bytes + start_bytes)?;
        start.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
        let salt = rest.get(..salt_bytes)?.to_vec();
        Some(Self { rounds: first & 63, salt, start })
    }

    /// True if both make the same key of a password.
    pub(super) fn same_key(&self, other: &Self) -> bool {
        (self.rounds, &self.salt) == (other.rounds, &other.salt)
    }

    /// What making the key costs, for [`Budget::work`].
    pub(super) fn work(&self, password: &[u8]) -> u64 {
        if self.rounds > ROUNDS_MAX {
            return 1;
        }
        let octets = self.salt.len().saturating_add(password.len().saturating_mul(2)) as u64;
        (octets.saturating_add(8).saturating_mul(1 << self.rounds) / 64).max(1)
    }

    /// The key, unless making it would take too long.
    pub(super) fn key(&self, password: &[u8]) -> Option<[u8; 32]> {
        const PLAIN: u8 = 63;
        let text: Vec<u8> =
            String::from_utf8_lossy(password).encode_utf16().flat_map(u16::to_le_bytes).collect();
        let salted = [&self.salt[..], &text].concat();
        if self.rounds == PLAIN {
            let mut key = [0; 32];
            key.iter_mut().zip(&salted).for_each(|(to, from)| *to = *from);
            return Some(key);
        }
        if self.rounds > ROUNDS_MAX {
            return None;
        }
        let mut digest = Sha256::new();
        for round in 0_u64..1 << self.rounds {
            digest.update(&salted);
            digest.update(round.to_le_bytes());
        }
        Some(digest.finalize().into())
    }
}
