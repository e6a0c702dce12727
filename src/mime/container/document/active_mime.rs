//! ActiveMime: what the word processor packs the programs of a document into, when it saves that as XML or as a page.
//!
//! A head, and a stream of zlib behind it. A field of the head says where, but readers look further.

use super::{Ask, Member, Opened};
use crate::mail::DefectCode;
use crate::mime::container::stream::inflate::inflate;
use crate::mime::container::u16_at;

/// Octets in which the stream begins.
const HEAD_BYTES: usize = 4096;

/// Streams that are tried.
const TRIES_MAX: usize = 32;

pub(super) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, .. } = ask;
    let named = u16_at(data, 0x1e).map(|offset| usize::from(offset).saturating_add(46));
    let head = data.get(..data.len().min(HEAD_BYTES)).unwrap_or_default();
    let places = named.into_iter().chain(memchr::memchr_iter(0x78, head));
    let streams = places.filter_map(|at| match data.get(at..)? {
        [0x78, second, packed @ ..] if (0x7800 + u16::from(*second)).is_multiple_of(31) => {
            Some(packed)
        }
        _ => None,
    });
    for packed in streams.take(TRIES_MAX) {
        let inflated = inflate(packed, budget);
        if inflated.data.is_empty() {
            continue;
        }
        if let Some(code) = inflated.odd {
            opened.note(code);
        }
        if let Err(code) = budget.file() {
            opened.note(code);
            return;
        }
        opened.members.push(Member { data: inflated.data.into(), ..Member::default() });
        return;
    }
    opened.note(DefectCode::BadArchive);
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;
    use crate::mime::container::{Container, try_open};

    fn sample(at: usize, field: u8, content: &[u8]) -> Vec<u8> {
        let mut packer =
            flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(content).unwrap();
        let mut data = b"ActiveMime\0\0\x01\xf0\x04\0\0\0\xff\xff\xff\xff".to_vec();
        data.resize(at, 0);
        data[0x1e] = field;
        [data, packer.finish().unwrap()].concat()
    }

    #[test]
    fn what_is_packed_is_found_wherever_it_begins() {
        for (at, field) in [(0x32, 4), (0x32, 0), (0x22a, 200), (1000, 0)] {
            let opened = try_open(
                Container::ActiveMime,
                sample(at, field, b"abc"),
                None,
                &Limits::default(),
            );
            assert_eq!(opened.odd, [], "{at}");
            assert_eq!(opened.members.len(), 1);
            assert_eq!(&opened.members[0].data[..], b"abc");
        }
        let empty =
            try_open(Container::ActiveMime, b"ActiveMime".to_vec(), None, &Limits::default());
        assert_eq!(empty.odd, [DefectCode::BadArchive]);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(at in 0_usize..200, octet: u8, cut in 0_usize..200) {
            let mut data = sample(0x32, 4, b"some content that is packed");
            let end = data.len();
            data[at % end] = octet;
            data.truncate(cut);
            try_open(Container::ActiveMime, data, None, &Limits::default());
        }
    }
}
