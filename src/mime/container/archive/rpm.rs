//! RPM packages: a lead, two headers, and a compressed cpio archive, which is given as a member.

use super::{Ask, Member, Opened};
use crate::mail::DefectCode;
use crate::mime::kind;

const LEAD_BYTES: usize = 96;
const HEADER_MARK: &[u8] = b"\x8e\xad\xe8\x01";

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, .. } = ask;
    // The signature is filled up to a multiple of eight octets, the header is not.
    let signature = header_end(data, LEAD_BYTES).and_then(|end| end.checked_next_multiple_of(8));
    let payload = signature.and_then(|start| header_end(data, start));
    let start = match payload.filter(|start| *start < data.len()) {
        Some(start) => start,
        None => {
            opened.note(DefectCode::BadArchive);
            match guess_payload(data) {
                Some(start) => start,
                None => return,
            }
        }
    };
    let content = data.slice(start..);
    let ending = match kind::detect(&content).first() {
        Some(kind) if kind.short != "cpio" => format!(".{}", kind.short),
        _ => String::new(),
    };
    let names = vec![format!("payload.cpio{ending}")];
    opened.stored(Member { names, data: content, ..Member::default() }, budget);
}

/// Where the header ends that begins at `start`: mark, four octets, counts of index entries and of octets of data.
fn header_end(data: &[u8], start: usize) -> Option<usize> {
    let header = data.get(start..)?;
    let number = |at: usize| {
        let octets = header.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(octets)).ok()
    };
    let index = number(8)?.checked_mul(16)?;
    let length = index.checked_add(number(12)?)?.checked_add(16)?;
    let end = start.checked_add(length)?;
    (header.starts_with(HEADER_MARK) && end <= data.len()).then_some(end)
}

/// Where a payload seems to begin, in a package whose headers do not say it.
fn guess_payload(data: &[u8]) -> Option<usize> {
    let marks: [&[u8]; 5] =
        [b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"BZh91AY&SY", b"070701"];
    marks.iter().filter_map(|mark| memchr::memmem::find(data, mark)).min()
}
