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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;
    use crate::mime::container::{Container, try_open};

    fn header(entries: u32, store: &[u8]) -> Vec<u8> {
        let bytes = u32::try_from(store.len()).unwrap();
        let index = vec![1; 16 * usize::try_from(entries).unwrap()];
        let counts = [entries.to_be_bytes(), bytes.to_be_bytes()].concat();
        [HEADER_MARK, &[0; 4], &counts, &index, store].concat()
    }

    fn package() -> Vec<u8> {
        let mut lead = b"\xed\xab\xee\xdb\x03\0".to_vec();
        lead.resize(LEAD_BYTES, 0);
        let mut signature = header(2, b"12345");
        signature.resize(signature.len().next_multiple_of(8), 0);
        // What looks like a payload in a header is none.
        [lead, signature, header(3, b"\x1f\x8b\x08 no"), b"\x1f\x8b\x08\0payload".to_vec()].concat()
    }

    fn opened(data: Vec<u8>) -> Opened {
        try_open(Container::Rpm, data, None, &Limits::default())
    }

    #[test]
    fn the_payload_is_what_stands_behind_the_headers() {
        let opened = opened(package());
        assert_eq!(opened.members[0].names, ["payload.cpio.gz"]);
        assert_eq!(&opened.members[0].data[..], b"\x1f\x8b\x08\0payload");
        assert_eq!(opened.odd, []);
    }

    #[test]
    fn a_payload_is_found_behind_damaged_headers() {
        let mut data = package();
        data[LEAD_BYTES] = 0;
        let opened = opened(data);
        assert!(opened.members[0].data.ends_with(b"payload"));
        assert_eq!(opened.odd, [DefectCode::BadArchive]);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(at in 90_usize..250, octets: Vec<u8>, cut in 0_usize..400) {
            let mut data = package();
            for (index, octet) in octets.iter().enumerate() {
                if let Some(place) = data.get_mut(at + index) {
                    *place = *octet;
                }
            }
            data.truncate(cut);
            opened(data);
        }
    }
}
