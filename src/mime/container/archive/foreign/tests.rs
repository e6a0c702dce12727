//! Tests of all these archives: real ones, written ones, cut ones, and mutants.

use bytes::Bytes;
use proptest::prelude::*;

use super::samples::{self, octets};
use super::*;
use crate::mail::PasswordSource;
use crate::mime::budget::late_limits;
use crate::mime::container::{self, Password, try_open};
use crate::mime::{Limits, kind};

const HELLO: &str = "hello hello hello hello hello hello hello hello\n";
const SCRIPT: &[u8] = b"alert(1)\n";

fn hello() -> Vec<u8> {
    HELLO.repeat(3).into_bytes()
}

fn opened(container: Container, data: &[u8]) -> Opened {
    try_open(container, data.to_vec(), None, &Limits::default())
}

fn opened_with(container: Container, data: &[u8], passwords: &[&str]) -> Opened {
    opened_within(&Limits::default(), container, data, passwords)
}

fn opened_within(limits: &Limits, container: Container, data: &[u8], passwords: &[&str]) -> Opened {
    let mut budget = Budget::new(limits);
    let passwords: Vec<Password> = passwords
        .iter()
        .map(|password| Password {
            octets: password.as_bytes().to_vec(),
            source: PasswordSource::Subject,
        })
        .collect();
    let data = Bytes::from(data.to_vec());
    let ask = Ask { data: &data, name: None, passwords: &passwords, budget: &mut budget };
    container::open(container, ask)
}

fn names(opened: &Opened) -> Vec<&str> {
    opened.members.iter().flat_map(|member| &member.names).map(String::as_str).collect()
}

const SAMPLES: &[(Container, &str)] = &[
    (Container::SevenZip, samples::SEVEN_ZIP),
    (Container::SevenZip, samples::SEVEN_ZIP_PPMD),
    (Container::Rar, samples::RAR),
    (Container::Rar, samples::RAR_SOLID),
    (Container::Cab, samples::CAB),
    (Container::Cab, samples::CAB_STORED),
    (Container::Arj, samples::ARJ),
    (Container::Arj, samples::ARJ_FASTEST),
    (Container::Lha, samples::LHA_LEVEL0),
    (Container::Lha, samples::LHA_LEVEL1),
    (Container::Lha, samples::LHA_LEVEL2),
    (Container::SevenZip, samples::SEVEN_ZIP_BZIP2),
    (Container::Lha, samples::LHA_FIRST),
    (Container::SevenZip, samples::SEVEN_ZIP_DEFLATE64),
    (Container::SevenZip, samples::SEVEN_ZIP_ENCRYPTED),
    (Container::SevenZip, samples::SEVEN_ZIP_HIDDEN),
    (Container::Rar, samples::RAR_ENCRYPTED),
    (Container::Rar, samples::RAR_HIDDEN),
    (Container::Arj, samples::ARJ_GARBLED),
];

/// How many of these hold `hello.txt` and `a.js`, and of those that follow, `hello.txt` alone.
const WITH_BOTH: usize = 11;
const WITH_ONE: usize = 2;

#[test]
fn what_the_real_tools_pack_is_listed_and_unpacked() {
    for (number, (container, sample)) in SAMPLES.iter().enumerate().take(WITH_BOTH + WITH_ONE) {
        let data = octets(sample);
        let types = kind::detect(&data);
        assert_eq!(Container::among(&types), [*container], "sample {number}");
        let opened = opened(*container, &data);
        assert_eq!((&opened.flags, &opened.odd), (&vec![], &vec![]), "sample {number}");
        let mut members: Vec<_> =
            opened.members.iter().map(|m| (m.names[0].as_str(), &m.data[..])).collect();
        members.sort_unstable();
        let hello = hello();
        let mut want = vec![("a.js", SCRIPT), ("hello.txt", &hello)];
        if number >= WITH_BOTH {
            want = vec![("hello.txt", &hello)];
        }
        assert_eq!(members, want, "sample {number}");
    }
}

#[test]
fn an_archive_behind_a_program_or_junk_is_found() {
    let mut program = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0".to_vec();
    program.resize(1000, 0);
    for (container, sample) in &SAMPLES[..WITH_BOTH] {
        let data = [program.clone(), octets(sample)].concat();
        let types = kind::detect(&data);
        assert_eq!(types[0].short, "exe-ms");
        assert_eq!(Container::among(&types), [*container]);
        let opened = opened(*container, &data);
        assert_eq!((opened.members.len(), &opened.odd), (2, &vec![]), "{container:?}");
    }
    let data = [b"\x01junk".to_vec(), octets(samples::RAR), octets(samples::SEVEN_ZIP)].concat();
    assert_eq!(
        Container::among(&kind::detect(&data)),
        [Container::SevenZip, Container::Rar],
        "both are found, one behind the other"
    );
    let signatures = b"\x01\x02 7z\xbc\xaf\x27\x1c Rar!\x1a\x07\0 MSCF\0\0\0\0 \x60\xea **ACE";
    assert_eq!(Container::among(&kind::detect(signatures)), [], "signatures alone are no archive");
}

#[test]
fn two_archives_in_one_file_are_both_opened() {
    let both = |one, other| [octets(one), octets(other)].concat();
    let seven = opened(Container::SevenZip, &both(samples::SEVEN_ZIP, samples::SEVEN_ZIP_BZIP2));
    assert_eq!(names(&seven), ["a.js", "hello.txt", "hello.txt"]);
    let rar = opened(Container::Rar, &both(samples::RAR, samples::RAR_SOLID));
    assert_eq!(rar.members.len(), 4);
    let cab = opened(Container::Cab, &both(samples::CAB, samples::CAB_STORED));
    assert_eq!(cab.members.len(), 4);
}

#[test]
fn names_of_encrypted_members_are_listed_and_a_password_opens_them() {
    for (container, sample) in [
        (Container::SevenZip, samples::SEVEN_ZIP_ENCRYPTED),
        (Container::Rar, samples::RAR_ENCRYPTED),
        (Container::Arj, samples::ARJ_GARBLED),
    ] {
        let data = octets(sample);
        let first = opened(container, &data);
        assert!(names(&first).contains(&"hello.txt"), "{container:?}");
        assert_eq!(first.flags, [PartFlag::Encrypted]);
        for member in &first.members {
            assert_eq!((&member.odd, member.data.len()), (&vec![DefectCode::Encrypted], 0));
        }
        let wrong = opened_with(container, &data, &["wrong", "worse"]);
        assert_eq!(wrong.members.len(), first.members.len());
        assert_eq!(wrong.flags, [PartFlag::Encrypted]);
        let right = opened_with(container, &data, &["wrong", "secret"]);
        let member = right.members.iter().find(|member| member.names == ["hello.txt"]).unwrap();
        assert_eq!(member.data, hello());
        assert_eq!(member.flags, [PartFlag::Decrypted(PasswordSource::Subject)]);
        assert_eq!((&right.flags, &right.odd), (&vec![], &vec![]));
    }
}

#[test]
fn keys_are_made_only_as_far_as_the_work_suffices() {
    let limits = Limits { work_max: 20_000, ..Limits::default() };
    for (container, sample) in [
        (Container::SevenZip, samples::SEVEN_ZIP_ENCRYPTED),
        (Container::Rar, samples::RAR_ENCRYPTED),
    ] {
        let closed = opened_within(&limits, container, &octets(sample), &["secret"]);
        assert_eq!(closed.flags, [PartFlag::Encrypted], "{container:?}");
        assert!(closed.members.iter().all(|member| member.data.is_empty()));
    }
}

#[test]
fn hidden_names_are_said_and_a_password_shows_them() {
    for (container, sample) in
        [(Container::SevenZip, samples::SEVEN_ZIP_HIDDEN), (Container::Rar, samples::RAR_HIDDEN)]
    {
        let data = octets(sample);
        let first = opened(container, &data);
        assert_eq!(first.members.len(), 0);
        assert_eq!(first.flags, [PartFlag::Encrypted]);
        assert_eq!(first.odd, [DefectCode::Encrypted]);
        let right = opened_with(container, &data, &["secret"]);
        let member = right.members.iter().find(|member| member.names == ["hello.txt"]).unwrap();
        assert_eq!((right.members.len(), &member.data[..]), (2, &hello()[..]), "{container:?}");
        assert_eq!(right.flags, []);
    }
}

#[test]
fn with_passwords_only_what_needed_one_is_given() {
    for (container, sample) in &SAMPLES[..WITH_BOTH] {
        assert_eq!(opened_with(*container, &octets(sample), &["secret"]).members.len(), 0);
    }
}

#[test]
fn an_unknown_method_leaves_the_names() {
    let opened = opened(Container::SevenZip, &octets(samples::SEVEN_ZIP_DEFLATE64));
    assert_eq!(names(&opened), ["hello.txt"]);
    assert_eq!(opened.members[0].odd, [DefectCode::UnscannableMember]);
    assert_eq!(opened.flags, [PartFlag::Unscannable]);
}

#[test]
fn a_cut_archive_gives_what_is_left_and_is_never_clean() {
    for (container, sample) in &SAMPLES[..WITH_BOTH] {
        let data = octets(sample);
        for cut in 8..data.len() - 1 {
            let opened = opened(*container, &data[..cut]);
            let all = opened.members.len() == 2
                && opened.members.iter().all(|member| member.odd.is_empty());
            let said = !opened.odd.is_empty()
                || opened.members.iter().any(|member| !member.odd.is_empty());
            // LHA's archives need no end mark: whole members are all there is.
            let ends = *container == Container::Lha && !opened.members.is_empty();
            assert!(all || said || ends, "{container:?} cut at {cut}");
        }
    }
    let data = octets(samples::RAR);
    let cut = opened(Container::Rar, &data[..data.len() - 12]);
    assert_eq!(names(&cut), ["hello.txt", "a.js"], "only the end mark is cut");
    assert_eq!(cut.odd, [DefectCode::BadArchive]);
}

#[test]
fn limits_are_passed_only_above_their_own_value() {
    for (container, sample) in &SAMPLES[..WITH_BOTH] {
        let open = |limits| try_open(*container, octets(sample), None, &limits);
        let files = |files| open(Limits { archive_files_max: files, ..Limits::default() });
        assert_eq!(files(2).odd, [], "{container:?}");
        assert_eq!(files(1).odd, [DefectCode::TooManyFiles], "{container:?}");
        assert_eq!(files(1).members.len(), 1);
        let octets =
            |octets| open(Limits { archive_expanded_bytes_max: octets, ..Limits::default() });
        let size = hello().len() as u64;
        let limited = |opened: &Opened| {
            opened.members.iter().any(|member| member.odd.contains(&DefectCode::TooManyOctets))
        };
        assert!(limited(&octets(size - 1)) || !octets(size - 1).odd.is_empty(), "{container:?}");
        // Headers are unpacked, too, and a model counts by its memory.
        assert!(!limited(&octets(size * 1000)), "{container:?}");
    }
}

#[test]
fn a_bomb_stops_at_the_ratio() {
    // Deflate of zeros in one MSZIP block after the other: each is 32 KiB of a hundred octets.
    let blocks: Vec<Vec<u8>> = (0..600).map(|_| written::mszip_zeros()).collect();
    let data = written::cab(1, &[("zeros", 600 * (32 << 10))], &blocks);
    let opened = opened(Container::Cab, &data);
    assert_eq!(opened.members[0].odd, [DefectCode::TooHighRatio]);
    assert!(opened.members[0].data.len() <= 64 << 10);
}

#[test]
fn rar_4_is_read_with_its_names_in_two_writings() {
    let plain = written::rar4(&[(b"a.txt", 0x8000, b"one")]);
    let opened_plain = opened(Container::Rar, &plain);
    assert_eq!(names(&opened_plain), ["a.txt"]);
    assert_eq!((&opened_plain.members[0].data[..], &opened_plain.odd), (&b"one"[..], &vec![]));
    let wide = written::rar4(&[(b"??.exe\0\x04\x50\x31\x41.e\0xe", 0x8200, b"one")]);
    assert_eq!(names(&opened(Container::Rar, &wide)), ["\u{431}\u{441}.exe", "??.exe"]);
    let secret = written::rar4(&[(b"a.exe", 0x8004, b"one")]);
    let secret = opened(Container::Rar, &secret);
    assert_eq!((names(&secret), &secret.flags), (vec!["a.exe"], &vec![PartFlag::Encrypted]));
    let split = opened(Container::Rar, &written::rar4(&[(b"a.exe", 0x8002, b"one")]));
    assert_eq!(&split.members[0].data[..], b"one", "what is there is given");
    assert_eq!(split.flags, [PartFlag::Unscannable]);
    let mut damaged = plain;
    damaged[20] ^= 1;
    assert_eq!(opened(Container::Rar, &damaged).odd, [DefectCode::BadArchive]);
    assert_eq!(names(&opened(Container::Rar, &damaged)), ["a.txt"], "readers do not mind a sum");
}

#[test]
fn what_rar_3_packs_is_unpacked() {
    let packed = written::packed_by_rar3(b"abcabd", b"bdbdbd");
    let data = written::rar4_packed(b"a.txt", 0x33, &packed, b"abcabdbdbdbd");
    let opened = opened(Container::Rar, &data);
    assert_eq!(
        (&opened.members[0].data[..], &opened.members[0].odd),
        (&b"abcabdbdbdbd"[..], &vec![])
    );
    let other = written::rar4_packed(b"a.txt", 0x33, &packed, b"abcabdbdbdbX");
    let other = super::tests::opened(Container::Rar, &other);
    assert_eq!(other.members[0].odd, [DefectCode::BadArchive], "the checksum is another");
}

#[test]
fn lzx_without_codes_is_unpacked() {
    // One bit: calls are not translated; three: a block without codes; 24: its length.
    let bits = 0b0011_u32 << 28 | 3 << 4;
    let [first, second, third, fourth] = bits.to_be_bytes();
    let block = [&[second, first, fourth, third][..], &[1, 0, 0, 0].repeat(3), b"abc\0"].concat();
    let data = written::cab(0x0f03, &[("a.txt", 3)], &[written::block(&block, 3)]);
    let opened = opened(Container::Cab, &data);
    assert_eq!((&opened.members[0].data[..], &opened.members[0].odd), (&b"abc"[..], &vec![]));
    let quantum = written::cab(0x0012, &[("a.exe", 3)], &[written::block(&block, 3)]);
    let quantum = super::tests::opened(Container::Cab, &quantum);
    assert_eq!((names(&quantum), &quantum.flags), (vec!["a.exe"], &vec![PartFlag::Unscannable]));
}

#[test]
fn zoo_and_ace_are_listed_and_what_is_stored_is_given() {
    let zoo = opened(Container::Zoo, &written::zoo("a.js", SCRIPT));
    assert_eq!((names(&zoo), &zoo.members[0].data[..]), (vec!["a.js"], SCRIPT));
    assert_eq!((&zoo.odd, &zoo.members[0].odd), (&vec![], &vec![]));
    let ace = opened(Container::Ace, &written::ace("a.js", 0, SCRIPT));
    assert_eq!((names(&ace), &ace.members[0].data[..]), (vec!["a.js"], SCRIPT));
    assert_eq!((&ace.odd, &ace.members[0].odd), (&vec![], &vec![]));
    let packed = opened(Container::Ace, &written::ace("a.js", 1, SCRIPT));
    assert_eq!((names(&packed), &packed.flags), (vec!["a.js"], &vec![PartFlag::Unscannable]));
    assert_eq!(opened(Container::Unknown, b"ALZ\x01").flags, [PartFlag::Unscannable]);
}

#[test]
fn a_deadline_ends_the_search_for_a_password() {
    let mut budget = Budget::new(&late_limits());
    let passwords = [Password { octets: b"secret".to_vec(), source: PasswordSource::Body }];
    for (container, sample) in
        [(Container::SevenZip, samples::SEVEN_ZIP_HIDDEN), (Container::Rar, samples::RAR_HIDDEN)]
    {
        let data = Bytes::from(octets(sample));
        let ask = Ask { data: &data, name: None, passwords: &passwords, budget: &mut budget };
        assert_eq!(container::open(container, ask).flags, [PartFlag::Encrypted]);
    }
}

proptest! {
    #[test]
    fn no_octets_make_it_fail(
        sample in 0..SAMPLES.len(),
        changes: Vec<(u16, u8)>,
        cut in 0_usize..1000,
        secret: bool,
    ) {
        let (container, sample) = SAMPLES[sample];
        let mut data = octets(sample);
        for (at, octet) in changes.iter().take(8) {
            let at = usize::from(*at) % data.len();
            data[at] = *octet;
        }
        data.truncate(cut.max(8));
        let _ = kind::detect(&data);
        if secret && container == Container::Arj {
            opened_with(container, &data, &["secret"]);
        } else {
            opened(container, &data);
        }
    }

    #[test]
    fn no_written_archive_makes_it_fail(at in 0_usize..200, octets: Vec<u8>, which in 0_usize..5) {
        let (container, mut data) = match which {
            0 => (Container::Zoo, written::zoo("a.js", SCRIPT)),
            1 => (Container::Ace, written::ace("a.js", 0, SCRIPT)),
            2 => (Container::Rar, written::rar4(&[(b"a\0\x04\xc0\x81\x02", 0x8200, SCRIPT)])),
            3 => {
                let packed = written::packed_by_rar3(b"abcabd", b"bdbd");
                (Container::Rar, written::rar4_packed(b"a", 0x33, &packed, b"abcabdbdbd"))
            }
            _ => (Container::Cab, written::cab(0x1503, &[("a", 3)], &[written::block(&octets, 99)])),
        };
        for (index, octet) in octets.iter().enumerate() {
            if let Some(place) = data.get_mut(at + index) {
                *place = *octet;
            }
        }
        opened(container, &data);
    }
}
