//! The methods by which members are packed (APPNOTE.TXT 4.4.5).

use std::io::Read;

use bytes::Bytes;
use bzip2::bufread::BzDecoder;
use lzma_rust2::{LzmaReader, XzReader};
use ppmd_rust::{Ppmd8Decoder, RestoreMethod};
use ruzstd::decoding::StreamingDecoder;

use super::inflate64::inflate64;
use super::u16_at;
use crate::mail::DefectCode;
use crate::mime::budget::Budget;
use crate::mime::container::stream::inflate::{Inflated, inflate};
use crate::mime::container::unpack::drain;

pub(super) const STORED: u16 = 0;

/// Memory a decoder may ask for; what needs more is not unpacked.
const MEMORY_KIB_MAX: u32 = 64 << 10;

/// Frames of zstd that follow each other in one member.
const FRAMES_MAX: usize = 10_000;

/// What is known of a packed member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed<'a> {
    /// From its first octet on, as far as it may reach.
    pub(super) data: &'a [u8],
    /// Its packed size as declared; 0: not known.
    pub(super) claimed: usize,
    /// Its size as declared; 0: not known.
    pub(super) size: u64,
}

/// What came out of a member.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) data: Bytes,
    /// Packed octets that were read, if the method tells its own end.
    pub(super) consumed: Option<usize>,
    pub(super) odd: Option<DefectCode>,
}

/// Unpacks a member by a method other than [`STORED`]; `None` if there is no way to do that here.
pub(super) fn unpack(method: u16, packed: Packed<'_>, budget: &mut Budget) -> Option<Out> {
    let inflated = |inflated: Inflated| Out {
        data: inflated.data.into(),
        consumed: Some(inflated.consumed),
        odd: inflated.odd,
    };
    match method {
        8 => return Some(inflated(inflate(packed.data, budget))),
        9 => return Some(inflated(inflate64(packed.data, budget))),
        _ => {}
    }
    let claimed = packed.data.get(..packed.claimed).filter(|claimed| !claimed.is_empty());
    let out = by_reader(method, claimed.unwrap_or(packed.data), packed.size, budget)?;
    // The declared size is too small, perhaps.
    if out.odd == Some(DefectCode::BadArchive)
        && claimed.is_some_and(|c| c.len() < packed.data.len())
    {
        let again = by_reader(method, packed.data, packed.size, budget)?;
        if again.data.len() > out.data.len() {
            return Some(again);
        }
    }
    Some(out)
}

fn by_reader(method: u16, packed: &[u8], size: u64, budget: &mut Budget) -> Option<Out> {
    let read = |decoder: &mut dyn Read, budget: &mut Budget| {
        let unpacked = drain(decoder, packed.len(), budget);
        Out { data: unpacked.data.into(), consumed: None, odd: unpacked.odd }
    };
    let broken = Out { odd: Some(DefectCode::BadArchive), ..Out::default() };
    match method {
        12 => Some(read(&mut BzDecoder::new(packed), budget)),
        14 => lzma(packed, size, budget),
        20 | 93 => Some(zstd(packed, budget)),
        95 => {
            let mut decoder = XzReader::new_mem_limit(packed, false, MEMORY_KIB_MAX);
            Some(read(&mut decoder, budget))
        }
        98 => {
            // Order, memory in MiB, and what to do when it is full, in one number.
            let Some(parameters) = u16_at(packed, 0) else { return Some(broken) };
            let order = u32::from(parameters & 15) + 1;
            let memory = (u32::from(parameters >> 4 & 0xff) + 1) << 10;
            let restore = match parameters >> 12 {
                0 => RestoreMethod::Restart,
                1 => RestoreMethod::CutOff,
                _ => return None,
            };
            // All of the memory is written to before anything is unpacked: that is work too.
            if memory > MEMORY_KIB_MAX || !budget.work(u64::from(memory) * 16) {
                return None;
            }
            let content = packed.get(2..).unwrap_or_default();
            match Ppmd8Decoder::new(content, order, memory << 10, restore) {
                Ok(decoder) if size > 0 => Some(read(&mut decoder.take(size), budget)),
                Ok(mut decoder) => Some(read(&mut decoder, budget)),
                Err(_) => Some(broken),
            }
        }
        // Shrunk, reduced, imploded; pictures, sound; methods nobody knows.
        _ => None,
    }
}

/// LZMA: version of the packer, length of the properties, properties, stream (APPNOTE.TXT 5.8.8).
fn lzma(packed: &[u8], size: u64, budget: &mut Budget) -> Option<Out> {
    let broken = Out { odd: Some(DefectCode::BadArchive), ..Out::default() };
    let header = packed.get(4..).and_then(|rest| rest.split_first_chunk());
    let Some((&[properties, d0, d1, d2, d3], stream)) = header else { return Some(broken) };
    if u16_at(packed, 2) != Some(5) {
        return Some(broken);
    }
    let window = u32::from_le_bytes([d0, d1, d2, d3]).min(MEMORY_KIB_MAX << 10);
    let mut best = broken;
    // With its mark for the end first, then up to the declared size.
    for size in [u64::MAX, size] {
        let decoder = LzmaReader::new_with_props(stream, size, properties, window, None);
        let Ok(mut decoder) = decoder else { continue };
        let unpacked = drain(&mut decoder, stream.len(), budget);
        let better =
            unpacked.odd != Some(DefectCode::BadArchive) || unpacked.data.len() > best.data.len();
        if better {
            best = Out { data: unpacked.data.into(), consumed: None, odd: unpacked.odd };
        }
        if best.odd != Some(DefectCode::BadArchive) {
            break;
        }
    }
    Some(best)
}

/// zstd: frame after frame.
fn zstd(packed: &[u8], budget: &mut Budget) -> Out {
    const MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";
    let mut rest = packed;
    let mut data = Vec::new();
    let mut odd = None;
    for _ in 0..FRAMES_MAX {
        let Ok(mut decoder) =
            StreamingDecoder::new_with_max_window_size(&mut rest, u64::from(MEMORY_KIB_MAX) << 10)
        else {
            odd = Some(DefectCode::BadArchive);
            break;
        };
        let unpacked = drain(&mut decoder, packed.len(), budget);
        data.extend(unpacked.data);
        odd = unpacked.odd;
        if odd.is_some() || !rest.starts_with(MAGIC) {
            break;
        }
    }
    Out { data: data.into(), consumed: None, odd }
}
