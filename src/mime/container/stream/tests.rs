use std::io::Write as _;

use proptest::prelude::*;

use crate::mail::{DefectCode, PartFlag};
use crate::mime::container::{Container, Opened, try_open};
use crate::mime::{Limits, kind};

/// What each of the streams below holds, as the usual tool packed it.
const TEXT: &[u8] = b"tamis tamis tamis tamis\n";

const BZIP2: &[u8] = b"BZh91AY&SYz\xe6\xd6\x89\0\0\x0b\xd1\x80\0\x10@\0 \x22\x0c\0 \x001\x0c\0U@\xde\xa9\x84F\x11j\xf8\xbb\x92)\xc2\x84\x83\xd76\xb4H";
const XZ: &[u8] = b"\xfd7zXZ\0\0\x01i\x22\xde6\x02\0!\x01\x16\0\0\0t/\xe5\xa3\xe0\0\x17\0\x0d]\0:\x18I\xfeT\x1a\xbaR\xb6x[\0\0\0\0\0\0\xfbDz\x18\0\x01%\x18\x9a\xfd\x19\xdb\x90B\x99\x0d\x01\0\0\0\0\x01YZ";
/// With a dictionary of 1.5 GiB, and the filter for programs.
const XZ_X86: &[u8] = b"\xfd7zXZ\0\0\0\xff\x12\xd9A\x02\x01\x04\0!\x01%\0=\xe3^\xeb\xe0\0\x17\0\x0d]\0:\x18I\xfeT\x1a\xbaR\xb6x[\0\0\0\0\0\0\0\x01!\x18\x9e8u\xbf\x06r\x9ez\x01\0\0\0\0\0YZ";
const LZMA: &[u8] = b"]\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0:\x18I\xfeT\x1a\xbaR\xb6\x7f\x04\xdf\xff\xff\xfc\xde\0\0";
const LZMA_OTHER: &[u8] = b"\x14\0\x80\x01\0\xff\xff\xff\xff\xff\xff\xff\xff\0:\x19\x0c\xf2&\xf5\xd80\xfa\x84\x04_\xff\xff\xfd\x8c\0\0";
const LZIP: &[u8] = b"LZIP\x01\x0c\0:\x18I\xfeT\x1a\xbaR\xb6\x7f\x04\xdf\xff\xff\xfc\xde\0\0\xfbDz\x18\x18\0\0\0\0\0\0\0-\0\0\0\0\0\0\0";
const ZSTD: &[u8] = b"(\xb5/\xfd$\x18m\0\x008tamis \x0a\x01\0\x99K\x11I\x9a\xb8\x19";
const ZSTD_LONG: &[u8] = b"(\xb5/\xfd\x04\xa8m\0\x008tamis \x0a\x01\0\x99K\x11I\x9a\xb8\x19";
const LZ4: &[u8] = b"\x04\x22M\x18d@\xa7\x0f\0\0\0itamis \x06\0Pamis\x0a\0\0\0\0;\xb0Q\xa0";
const LZ4_LEGACY: &[u8] = b"\x02!L\x18\x0f\0\0\0itamis \x06\0Pamis\x0a";
const COMPRESS: &[u8] = b"\x1f\x9d\x90t\xc2\xb4I3\x07D\xc0\x81\x05\x0f\x124(\x90\xa0\x02";
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03+I\xcc\xcd,V(A'\xb9\0\xfbDz\x18\x18\0\0\0";

/// Every kind, and what a file of it is detected as.
const ALL: [(Container, &[u8]); 12] = [
    (Container::Gzip, GZIP),
    (Container::Bzip2, BZIP2),
    (Container::Xz, XZ),
    (Container::Xz, XZ_X86),
    (Container::Lzma, LZMA),
    (Container::Lzma, LZMA_OTHER),
    (Container::Lzip, LZIP),
    (Container::Zstd, ZSTD),
    (Container::Zstd, ZSTD_LONG),
    (Container::Lz4, LZ4),
    (Container::Lz4, LZ4_LEGACY),
    (Container::Compress, COMPRESS),
];

fn opened(container: Container, data: &[u8]) -> Opened {
    try_open(container, data.to_vec(), Some("a.txt.gz"), &Limits::default())
}

fn contents(opened: &Opened) -> Vec<&[u8]> {
    opened.members.iter().map(|member| &member.data[..]).collect()
}

#[test]
fn what_the_tools_pack_is_unpacked() {
    for (container, data) in ALL {
        assert_eq!(Container::among(&kind::detect(data)), [container]);
        let opened = opened(container, data);
        assert_eq!(contents(&opened), [TEXT], "{container:?}");
        assert_eq!(opened.members[0].names, ["a.txt"]);
        assert_eq!((opened.odd, opened.flags), (vec![], vec![]), "{container:?}");
        assert_eq!(opened.members[0].odd, [], "{container:?}");
    }
}

#[test]
fn two_streams_are_given_joined_and_single() {
    for (container, data) in ALL {
        // These two have no end but the end of the file.
        if matches!(container, Container::Lzma | Container::Compress) {
            continue;
        }
        for between in [&b""[..], &[0; 8]] {
            let opened = opened(container, &[data, between, data].concat());
            assert_eq!(contents(&opened), [&TEXT.repeat(2)[..], TEXT, TEXT], "{container:?}");
            assert_eq!(opened.odd, [], "{container:?}");
        }
    }
}

#[test]
fn a_stream_behind_junk_is_found_and_the_junk_is_given() {
    const JUNK: &[u8] = b"some junk \x1f\xfdBL(\x04\x02 of a kind";
    for (container, data) in ALL {
        if matches!(container, Container::Lzma | Container::Compress) || data == LZ4_LEGACY {
            continue;
        }
        let opened = opened(container, &[data, JUNK, data, JUNK].concat());
        let want = [&TEXT.repeat(2)[..], TEXT, TEXT, JUNK, JUNK];
        assert_eq!(contents(&opened), want, "{container:?}");
        assert_eq!(opened.odd, [DefectCode::BadArchive], "{container:?}");
    }
}

#[test]
fn a_stream_behind_a_damaged_one_is_found() {
    for (container, data) in [(Container::Gzip, GZIP), (Container::Xz, XZ), (Container::Lzip, LZIP)]
    {
        let cut = &data[..data.len() - 9];
        let opened = opened(container, &[cut, data].concat());
        assert!(contents(&opened)[0].ends_with(TEXT), "{opened:?}");
        assert!(opened.members[0].odd.contains(&DefectCode::BadArchive), "{container:?}");
    }
}

#[test]
fn a_stream_without_its_last_octet_is_still_unpacked() {
    for (container, data) in ALL {
        let opened = opened(container, &data[..data.len() - 1]);
        let got = contents(&opened)[0];
        // What is coded last may need the octets that are gone.
        assert!(got.len() + 8 > TEXT.len() && TEXT.starts_with(got), "{container:?} {got:?}");
        // Nothing tells that it was cut.
        if container != Container::Compress {
            assert_eq!(opened.members[0].odd, [DefectCode::BadArchive], "{container:?}");
        }
    }
}

#[test]
fn a_stream_cut_in_its_middle_gives_what_it_has() {
    for (container, data, length) in [
        (Container::Gzip, GZIP, 18),
        (Container::Xz, XZ, 44),
        (Container::Lzma, LZMA, 27),
        (Container::Lzip, LZIP, 20),
        (Container::Lz4, LZ4, 25),
        (Container::Compress, COMPRESS, 15),
    ] {
        let opened = opened(container, &data[..length]);
        let got = contents(&opened)[0];
        assert!(got.starts_with(b"tamis"), "{container:?} {got:?}");
    }
}

#[test]
fn a_damaged_stream_gives_what_stands_before() {
    for (container, data, at) in [(Container::Lzma, LZMA, 25), (Container::Lzip, LZIP, 19)] {
        let mut data = data.to_vec();
        data[at..at + 3].fill(0x55);
        let opened = opened(container, &data);
        assert!(contents(&opened)[0].starts_with(b"tamis"), "{container:?}");
        assert!(opened.members[0].odd.contains(&DefectCode::BadArchive), "{container:?}");
    }
}

#[test]
fn octets_have_a_limit() {
    for (container, data) in ALL {
        let limits = |bytes| Limits { archive_expanded_bytes_max: bytes, ..Limits::default() };
        let exact = try_open(container, data.to_vec(), None, &limits(24));
        assert_eq!((contents(&exact), &exact.members[0].odd[..]), (vec![TEXT], &[][..]));
        let below = try_open(container, data.to_vec(), None, &limits(23));
        assert_eq!(below.members[0].odd, [DefectCode::TooManyOctets], "{container:?}");
    }
}

#[test]
fn bombs_are_stopped() {
    const SIZE: usize = 32 << 20;
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    bzip2.write_all(&vec![0; SIZE]).unwrap();
    let bzip2 = bzip2.finish().unwrap();
    // Window of 128 KiB; blocks of one octet, each repeated so often.
    let mut zstd = b"\x28\xb5\x2f\xfd\0\x38".to_vec();
    zstd.extend(b"\x02\0\x10\0".repeat(SIZE >> 17));
    zstd.extend(b"\x01\0\0");
    // A block of 16 KiB: one literal, and one copy of it 4 MiB long.
    let mut lz4 = b"\x04\x22\x4d\x18\x60\x70\x73".to_vec();
    let block = [&b"\x1f\0\x01\0"[..], &[255; 16_000], &[0], b"\0"].concat();
    for _ in 0..SIZE >> 22 {
        lz4.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
        lz4.extend(&block);
    }
    let bombs = [(Container::Bzip2, bzip2), (Container::Zstd, zstd), (Container::Lz4, lz4)];
    for (container, bomb) in bombs {
        let member = try_open(container, bomb, None, &Limits::default()).members.remove(0);
        assert_eq!(member.odd, [DefectCode::TooHighRatio], "{container:?}");
        assert!(member.data.len() <= 64 << 10);
    }
}

#[test]
fn a_dictionary_that_is_only_declared_costs_nothing() {
    // The property byte of LZMA2 says 4 GiB; its checksum is not right any more.
    let mut lzma = LZMA.to_vec();
    lzma[1..5].fill(0xff);
    assert_eq!(contents(&opened(Container::Lzma, &lzma)), [TEXT]);
    let mut lzip = LZIP.to_vec();
    lzip[5] = 29;
    assert_eq!(contents(&opened(Container::Lzip, &lzip)), [TEXT]);
    // Where the ratio would not stop it, an xz that asks for more is refused.
    let limits = Limits { archive_ratio_max: 1 << 40, ..Limits::default() };
    let refused = try_open(Container::Xz, XZ_X86.to_vec(), None, &limits);
    assert_eq!((refused.members.len(), refused.flags), (0, vec![PartFlag::Unscannable]));
}

#[test]
fn a_known_size_may_stand_in_an_lzma_header() {
    let mut data = LZMA.to_vec();
    data[5..13].copy_from_slice(&24_u64.to_le_bytes());
    let opened = opened(Container::Lzma, &data);
    assert_eq!((contents(&opened), opened.odd.len()), (vec![TEXT], 0));
}

#[test]
fn what_cannot_be_opened_is_unscannable() {
    let unscannable: [(Container, &[u8]); 4] = [
        // A format before zstd 0.8; a dictionary that is elsewhere; pack's newer brother; a method of gzip's that is none.
        (Container::Zstd, b"\x27\xb5\x2f\xfd\0\0\0\0"),
        (Container::Zstd, b"\x28\xb5\x2f\xfd\x01\x18\x07\x01\0\0"),
        (Container::Compress, b"\x1f\xa0\0\0\0\0"),
        (Container::Gzip, b"\x1f\x8b\x07\0\0\0\0\0\0\0\0\0"),
    ];
    for (container, data) in unscannable {
        let opened = opened(container, data);
        assert_eq!(opened.flags, [PartFlag::Unscannable], "{container:?}");
        assert!(opened.members.is_empty());
    }
}

#[test]
fn frames_for_programs_are_passed_over() {
    let skipped = b"\x5a\x2a\x4d\x18\x03\0\0\0abc";
    for (container, data) in [(Container::Zstd, ZSTD), (Container::Lz4, LZ4)] {
        let data = [&skipped[..], data].concat();
        assert_eq!(Container::among(&kind::detect(&data)), [container]);
        assert_eq!(contents(&opened(container, &data)), [TEXT], "{container:?}");
    }
}

#[test]
fn a_gzip_header_may_hold_all_fields() {
    let header = b"\x1f\x8b\x08\x1f\0\0\0\0\0\x03\x02\0ABname\0comment\0\x12\x34";
    let opened = opened(Container::Gzip, &[header, &GZIP[10..]].concat());
    assert_eq!((contents(&opened), opened.odd.len()), (vec![TEXT], 0));
    assert_eq!(opened.members[0].names, ["a.txt", "name"]);
}

#[test]
fn compress_goes_from_9_to_12_bits_and_back() {
    // Written here as compress(1) does: groups of eight codes, a clear code when the table is full.
    let text: Vec<u8> = (0..40_000_u32).map(|n| (n * n / 7 % 251) as u8).collect();
    let mut packed = b"\x1f\x9d\x8c".to_vec();
    let (mut group, mut bits, mut table) = (Vec::new(), 9, std::collections::HashMap::new());
    let mut put = |code: usize, bits: usize, flush: bool| {
        group.extend((0..bits).map(|bit| code >> bit & 1 == 1));
        if flush {
            group.resize(group.len().next_multiple_of(8 * bits), false);
        }
        if group.len() == 8 * bits {
            let octet = |bits: &[bool]| bits.iter().rev().fold(0, |o, bit| o << 1 | u8::from(*bit));
            packed.extend(group.chunks(8).map(octet));
            group.clear();
        }
    };
    let (mut next, mut current) = (257, usize::from(text[0]));
    for octet in &text[1..] {
        if let Some(code) = table.get(&(current, *octet)) {
            current = *code;
            continue;
        }
        // The reader is one entry behind.
        let widen = next >= 1 << bits && bits < 12;
        put(current, bits, widen);
        bits += usize::from(widen);
        if next < 4096 {
            table.insert((current, *octet), next);
            next += 1;
        } else {
            put(256, bits, true);
            table.clear();
            (next, bits) = (257, 9);
        }
        current = usize::from(*octet);
    }
    put(current, bits, true);
    let opened = opened(Container::Compress, &packed);
    assert!(contents(&opened)[0].starts_with(&text), "{}", contents(&opened)[0].len());
}

#[test]
fn texts_and_pictures_are_no_lzma() {
    let icon = b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0\x68\x04";
    let picture = b"\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\x20\0\x20\0\x20\0";
    let font = b"\0\x01\0\0\0\x0f\0\x80\0\x03\0\x70\0\0\x32\x4f";
    for data in [&icon[..], picture, font, b"]\0\0 is how", &[0; 64], b"\x5d\0\0\x10\0"] {
        let types = kind::detect(data);
        assert!(types.iter().all(|kind| kind.short != "lzma"), "{data:?}");
    }
}

proptest! {
    #[test]
    fn no_octets_make_it_fail(which in 0..ALL.len(), at in 0_usize..80, octets: Vec<u8>, cut in 1_usize..90) {
        let (container, data) = ALL[which];
        let mut data = [data, data].concat();
        let length = data.len();
        for (index, octet) in octets.iter().take(4).enumerate() {
            data[(at + index) % length] = *octet;
        }
        data.truncate(cut.max(8));
        opened(container, &data);
    }

    #[test]
    fn no_octets_behind_a_header_make_it_fail(which in 0..ALL.len(), start in 1_usize..24, octets: Vec<u8>) {
        let (container, data) = ALL[which];
        opened(container, &[&data[..start.min(data.len())], &octets].concat());
    }
}
