//! Zips as Info-ZIP zip 3.0 and 7-Zip 26.02 wrote them, each of `a.txt` (and `b.txt`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Crc;
use proptest::prelude::*;

use super::header::LOCAL;
use super::*;
use crate::mime::Limits;
use crate::mime::container::{self, Container};

const TEXT: &str = "hello hello hello hello hello hello, this is the text of the first file\n";

/// `zip -P pass1`
const ZIP_CRYPTO: &str = "UEsDBBQACQAIALhwe13XAKl4NQAAAEgAAAAFAAAAYS50eHQNY1ynSXyaRVLfubTjU4hXK6WnYvLbsty4z949tdqk\
    n6lB+VGaYgIOYkPuevKoMMVCJOrDm1BLBwjXAKl4NQAAAEgAAABQSwECHgMUAAkACAC4cHtd1wCpeDUAAABIAAAA\
    BQAAAAAAAAABAAAApIEAAAAAYS50eHRQSwUGAAAAAAEAAQAzAAAAaAAAAAAA";

/// `zip -0 -P pass1`, of `b.txt`
const ZIP_CRYPTO_STORED: &str = "UEsDBAoACQAAALhwe13xhmx6DwAAAAMAAAAFAAAAYi50eHRdxVQkTq+dcNFHpu9M0IpQSwcI8YZseg8AAAADAAAA\
    UEsBAh4DCgAJAAAAuHB7XfGGbHoPAAAAAwAAAAUAAAAAAAAAAAAAAKSBAAAAAGIudHh0UEsFBgAAAAABAAEAMwAA\
    AEIAAAAAAA==";

/// `a.txt` under two2, `b.txt` under one1
const TWO_PASSWORDS: &str = "UEsDBBQACQAIALhwe13XAKl4NQAAAEgAAAAFAAAAYS50eHTuodb5doCo9IzF+upWACBzk6Wjl/+k/Z/NCnB8X7t7\
    TpGPWmrQZE+i6UzD4lZFaBgU/xkFD1BLBwjXAKl4NQAAAEgAAABQSwMECgAJAAAAuHB7XfGGbHoPAAAAAwAAAAUA\
    AABiLnR4dKGKNmpd9ajbbHfjh9+9tlBLBwjxhmx6DwAAAAMAAABQSwECHgMUAAkACAC4cHtd1wCpeDUAAABIAAAA\
    BQAAAAAAAAABAAAApIEAAAAAYS50eHRQSwECHgMKAAkAAAC4cHtd8YZseg8AAAADAAAABQAAAAAAAAABAAAApIFo\
    AAAAYi50eHRQSwUGAAAAAAIAAgBmAAAAqgAAAAAA";

/// `7z -mem=AES128 -ppass1`
const AES_128: &str = "UEsDBDMAAQBjALlwe10AAAAAQwAAAEgAAAAFAAsAYS50eHQBmQcAAgBBRQEIABjzC4/XnSZRGNTlkk2rYSjcVhYq\
    Co/tI3jVuMDHgVe+oZ1S0K9J6VPYci0H64Cg226I7qqIVfXO+G7g/tn78cqn+FZQSwECPwMzAAEAYwC5cHtdAAAA\
    AEMAAABIAAAABQAvAAAAAAAAACCApIEAAAAAYS50eHQKACAAAAAAAAEAGACY0StneH7dAQAAAAAAAAAAAAAAAAAA\
    AAABmQcAAgBBRQEIAFBLBQYAAAAAAQABAGIAAABxAAAAAAA=";

/// `7z -mem=AES192 -ppass1`
const AES_192: &str = "UEsDBDMAAQBjALlwe10AAAAARwAAAEgAAAAFAAsAYS50eHQBmQcAAgBBRQIIAC/ifCNnk/h6Oi4LbDDEEJO6ZNAJ\
    tmt0BoNyl3LmEQbEIB1LTOoZagrGySCEzKAmc9kJGoStGyHp+EGeX+mOaUCLIK3Os+waUEsBAj8DMwABAGMAuXB7\
    XQAAAABHAAAASAAAAAUALwAAAAAAAAAggKSBAAAAAGEudHh0CgAgAAAAAAABABgAmNErZ3h+3QEAAAAAAAAAAAAA\
    AAAAAAAAAZkHAAIAQUUCCABQSwUGAAAAAAEAAQBiAAAAdQAAAAAA";

/// `7z -mem=AES256 -ppass1`
const AES_256: &str = "UEsDBDMAAQBjALlwe10AAAAASwAAAEgAAAAFAAsAYS50eHQBmQcAAgBBRQMIAG+eYSPDJnmvLoR/V1vDycGsvadS\
    RIY+Xzf3gJ4lspw4qG9gccDGK52jYaHGJWKrcQAfv/wUTwgVl3EwH7/p5CdSqpA+fUW+xnhX4FBLAQI/AzMAAQBj\
    ALlwe10AAAAASwAAAEgAAAAFAC8AAAAAAAAAIICkgQAAAABhLnR4dAoAIAAAAAAAAQAYAJjRK2d4ft0BAAAAAAAA\
    AAAAAAAAAAAAAAGZBwACAEFFAwgAUEsFBgAAAAABAAEAYgAAAHkAAAAAAA==";

/// `7z -mm=Deflate64`
const DEFLATE64: &str = "UEsDBBUAAAAJALlwe13XAKl4LwAAAEgAAAAFAAAAYS50eHR9xsEJACAMBMG/VVwBtnWSQCBg7mH5BgsQlmGNEYmv\
    EzIvdDJCPEKu98t3qQ2OC1BLAQI/AxUAAAAJALlwe13XAKl4LwAAAEgAAAAFACQAAAAAAAAAIICkgQAAAABhLnR4\
    dAoAIAAAAAAAAQAYAJjRK2d4ft0BAAAAAAAAAAAAAAAAAAAAAFBLBQYAAAAAAQABAFcAAABSAAAAAAA=";

/// `7z -mm=BZip2`
const BZIP2: &str = "UEsDBC4AAAAMALlwe13XAKl4RwAAAEgAAAAFAAAAYS50eHRCWmg5MUFZJlNZj+c7mgAAD1GAABBABANknEAgAFRA\
    ADCSp7VM0xDz6kY3LnV0BLogqERw07sXATazO/hIF3JFOFCQj+c7mlBLAQI/Ay4AAAAMALlwe13XAKl4RwAAAEgA\
    AAAFACQAAAAAAAAAIICkgQAAAABhLnR4dAoAIAAAAAAAAQAYAJjRK2d4ft0BAAAAAAAAAAAAAAAAAAAAAFBLBQYA\
    AAAAAQABAFcAAABqAAAAAAA=";

/// `7z -mm=LZMA`
const LZMA: &str = "UEsDBD8AAgAOALlwe13XAKl4OgAAAEgAAAAFAAAAYS50eHQaAgUAXQAQAAAANBlJ7o3pV28tO8girdX1ru0LYRZJ\
    7n11PNdhsiH7E1MApoUrq9MF5NIlQMr+59bAUEsBAj8DPwACAA4AuXB7XdcAqXg6AAAASAAAAAUAJAAAAAAAAAAg\
    gKSBAAAAAGEudHh0CgAgAAAAAAABABgAmNErZ3h+3QEAAAAAAAAAAAAAAAAAAAAAUEsFBgAAAAABAAEAVwAAAF0A\
    AAAAAA==";

/// `7z -mm=PPMd`
const PPMD: &str = "UEsDBD8AAABiALlwe13XAKl4KAAAAEgAAAAFAAAAYS50eHQHAGf7g1TXNZcZ/zBHc6xtDevtMtEsr+4VWltb3SPv\
    07lFex0vQgAAUEsBAj8DPwAAAGIAuXB7XdcAqXgoAAAASAAAAAUAJAAAAAAAAAAggKSBAAAAAGEudHh0CgAgAAAA\
    AAABABgAmNErZ3h+3QEAAAAAAAAAAAAAAAAAAAAAUEsFBgAAAAABAAEAVwAAAEsAAAAAAA==";

/// `cat a.txt | zip -0 - -`: zip64, end record too
const STREAMED: &str = "UEsDBC0AAAAAALhwe13XAKl4//////////8BABQALQEAEABIAAAAAAAAAEgAAAAAAAAAaGVsbG8gaGVsbG8gaGVs\
    bG8gaGVsbG8gaGVsbG8gaGVsbG8sIHRoaXMgaXMgdGhlIHRleHQgb2YgdGhlIGZpcnN0IGZpbGUKUEsBAh4DLQAA\
    AAAAuHB7XdcAqXhIAAAASAAAAAEAAAAAAAAAAAAAAIARAAAAAC1QSwYGLAAAAAAAAAAeAy0AAAAAAAAAAAABAAAA\
    AAAAAAEAAAAAAAAALwAAAAAAAAB7AAAAAAAAAFBLBgcAAAAAqgAAAAAAAAABAAAAUEsFBgAAAAABAAEALwAAAHsA\
    AAAAAA==";

/// `zip - a.txt b.txt | cat`: sizes behind the data
const PIPED: &str = "UEsDBBQACAAIALhwe10AAAAAAAAAAEgAAAAFAAAAYS50eHTLSM3JyVfIwEfqKJRkZBYrAFFJRqpCSWpFiUJ+Gpid\
    lllUXAIkc1K5AFBLBwjXAKl4KQAAAEgAAABQSwMEFAAIAAgAuHB7XQAAAAAAAAAAAwAAAAUAAABiLnR4dMvPSwUA\
    UEsHCPGGbHoFAAAAAwAAAFBLAQIeAxQACAAIALhwe13XAKl4KQAAAEgAAAAFAAAAAAAAAAEAAACkgQAAAABhLnR4\
    dFBLAQIeAxQACAAIALhwe13xhmx6BQAAAAMAAAAFAAAAAAAAAAEAAACkgVwAAABiLnR4dFBLBQYAAAAAAgACAGYA\
    AACUAAAAAAA=";

/// `zip -y`: a link to `../../etc/passwd`
const LINK: &str = "UEsDBAoAAAAAALhwe10Da0DfEAAAABAAAAAEAAAAbGluay4uLy4uL2V0Yy9wYXNzd2RQSwECHgMKAAAAAAC4cHtd\
    A2tA3xAAAAAQAAAABAAAAAAAAAAAAAAA/6EAAAAAbGlua1BLBQYAAAAAAQABADIAAAAyAAAAAAA=";

/// `zip -fz a.txt b.txt`
const ZIP64: &str = "UEsDBC0AAAAIALhwe13XAKl4//////////8FABQAYS50eHQBABAASAAAAAAAAAApAAAAAAAAAMtIzcnJV8jAR+oo\
    lGRkFisAUUlGqkJJakWJQn4amJ2WWVRcAiRzUrkAUEsDBC0AAAAAALhwe13xhmx6//////////8FABQAYi50eHQB\
    ABAAAwAAAAAAAAADAAAAAAAAAG9uZVBLAQIeAy0AAAAIALhwe13XAKl4KQAAAP////8FAAwAAAAAAAEAAACkgQAA\
    AABhLnR4dAEACABIAAAAAAAAAFBLAQIeAy0AAAAAALhwe13xhmx6AwAAAP////8FAAwAAAAAAAEAAACkgWAAAABi\
    LnR4dAEACAADAAAAAAAAAFBLBgYsAAAAAAAAAB4DLQAAAAAAAAAAAAIAAAAAAAAAAgAAAAAAAAB+AAAAAAAAAJoA\
    AAAAAAAAUEsGBwAAAAAYAQAAAAAAAAEAAABQSwUGAAAAAAIAAgB+AAAA/////wAA";

/// `xz`, `zstd`: streams to put into a zip.
const XZ: &str = "/Td6WFoAAAFpIt42AgAhARYAAAB0L+Wj4ABHACtdADQZSe6N6VdvLTvIIq3V9a7tC2EWSe59dTzXYbIh+xNTAKaFK6vTBeLHuwAAANcAqXgAAUNIT2DVg5BCmQ0BAAAAAAFZWg==";
const ZSTD: &str =
    "KLUv/QRYhQEAZAJoZWxsbyAsIHRoaXMgaXMgdGhlIHRleHQgb2ZmaXJzdCBmaWxlCgIAXwSWuxQBrB8Txw==";

fn octets(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

fn tried(data: Vec<u8>, passwords: &[&str], limits: &Limits) -> Opened {
    let passwords: Vec<Password> = passwords
        .iter()
        .map(|word| Password { octets: word.as_bytes().to_vec(), source: PasswordSource::Body })
        .collect();
    let mut budget = Budget::new(limits);
    let ask = Ask { data: &data.into(), name: None, passwords: &passwords, budget: &mut budget };
    container::open(Container::Zip, ask)
}

fn seen(opened: &Opened) -> Vec<(&str, &str)> {
    let text = |member: &'_ Member| std::str::from_utf8(&member.data).is_ok();
    assert!(opened.members.iter().all(text));
    opened
        .members
        .iter()
        .map(|m| (m.names[0].as_str(), std::str::from_utf8(&m.data).unwrap_or_default()))
        .collect()
}

#[test]
fn what_tools_write_is_read_without_a_defect() {
    for (name, data, want) in [
        ("deflate64", DEFLATE64, &[("a.txt", TEXT)][..]),
        ("bzip2", BZIP2, &[("a.txt", TEXT)]),
        ("lzma", LZMA, &[("a.txt", TEXT)]),
        ("ppmd", PPMD, &[("a.txt", TEXT)]),
        ("streamed", STREAMED, &[("-", TEXT)]),
        ("piped", PIPED, &[("a.txt", TEXT), ("b.txt", "one")]),
        ("zip64", ZIP64, &[("a.txt", TEXT), ("b.txt", "one")]),
    ] {
        let opened = tried(octets(data), &[], &Limits::default());
        assert_eq!(seen(&opened), want, "{name}");
        assert_eq!((&opened.odd[..], &opened.flags[..]), (&[][..], &[][..]), "{name}");
        assert!(opened.members.iter().all(|m| m.odd.is_empty() && m.flags.is_empty()), "{name}");
        let junk = [b"#!/bin/sh\n".to_vec(), octets(data)].concat();
        assert_eq!(seen(&tried(junk, &[], &Limits::default())), want, "{name} behind a prefix");
    }
}

#[test]
fn a_link_that_leads_elsewhere_is_said() {
    let opened = tried(octets(LINK), &[], &Limits::default());
    assert_eq!(opened.members[0].odd, [DefectCode::UnsafePath]);
}

/// A zip of one member without a directory.
fn wrapped(method: u16, packed: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(TEXT.as_bytes());
    let sizes = [packed.len(), TEXT.len()].map(|size| u32::try_from(size).unwrap().to_le_bytes());
    [
        LOCAL,
        &[20, 0, 0, 0],
        &method.to_le_bytes(),
        &[0; 4],
        &crc.sum().to_le_bytes(),
        &sizes.concat(),
        &[1, 0, 0, 0],
        b"a",
        packed,
    ]
    .concat()
}

#[test]
fn zstd_and_xz_are_read() {
    for (method, packed) in [(93, ZSTD), (20, ZSTD), (95, XZ)] {
        let opened = tried(wrapped(method, &octets(packed)), &[], &Limits::default());
        assert_eq!(seen(&opened), [("a", TEXT)], "{method}");
        assert_eq!(opened.members[0].odd, [], "{method}");
    }
    for method in [1, 2, 3, 4, 5, 6, 10, 94, 96, 97] {
        let opened = tried(wrapped(method, b"x"), &[], &Limits::default());
        assert_eq!(opened.members[0].odd, [DefectCode::UnscannableMember], "{method}");
    }
}

#[test]
fn every_method_is_under_the_limits() {
    for data in
        [octets(DEFLATE64), octets(BZIP2), octets(LZMA), octets(PPMD), wrapped(93, &octets(ZSTD))]
    {
        for (bytes, want) in [(71, &[DefectCode::TooManyOctets][..]), (72, &[])] {
            let limits = Limits { archive_expanded_bytes_max: bytes, ..Limits::default() };
            let opened = tried(data.clone(), &[], &limits);
            assert_eq!(opened.members[0].odd, want);
        }
    }
}

#[test]
fn a_member_opens_under_its_password_and_no_other() {
    for (name, data, want) in [
        ("zip", ZIP_CRYPTO, ("a.txt", TEXT)),
        ("stored", ZIP_CRYPTO_STORED, ("b.txt", "one")),
        ("128", AES_128, ("a.txt", TEXT)),
        ("192", AES_192, ("a.txt", TEXT)),
        ("256", AES_256, ("a.txt", TEXT)),
    ] {
        let closed = tried(octets(data), &[], &Limits::default());
        assert_eq!(seen(&closed), [(want.0, "")], "{name}");
        assert_eq!(closed.flags, [PartFlag::Encrypted], "{name}");
        let open = tried(octets(data), &["nothing", "", "pass1"], &Limits::default());
        assert_eq!(seen(&open), [want], "{name}");
        assert_eq!(open.flags, [], "{name}");
        assert_eq!(open.members[0].flags, [PartFlag::Decrypted(PasswordSource::Body)]);
        let wrong: Vec<String> = (0..300).map(|n| format!("wrong{n}")).collect();
        let wrong: Vec<&str> =
            wrong.iter().map(String::as_str).take(if data.len() > 280 { 3 } else { 300 }).collect();
        let closed = tried(octets(data), &wrong, &Limits::default());
        assert_eq!(closed.members[0].flags, [PartFlag::Encrypted], "{name}");
        assert_eq!(closed.members[0].odd, [DefectCode::Encrypted], "{name}");
    }
}

#[test]
fn each_member_may_have_its_own_password() {
    let both = tried(octets(TWO_PASSWORDS), &["one1", "two2"], &Limits::default());
    assert_eq!(seen(&both), [("a.txt", TEXT), ("b.txt", "one")]);
    assert_eq!(both.flags, []);
    let one = tried(octets(TWO_PASSWORDS), &["one1"], &Limits::default());
    assert_eq!(seen(&one), [("a.txt", ""), ("b.txt", "one")]);
    assert_eq!(one.flags, [PartFlag::Encrypted]);
}

#[test]
fn plain_members_are_not_given_a_second_time() {
    assert_eq!(tried(octets(PIPED), &["one1"], &Limits::default()).members.len(), 0);
}

#[test]
fn passwords_are_tried_up_to_the_limit_of_work() {
    let needed = 2 * 1000 * 2 + 8000 + 10;
    for (work_max, opens) in [(needed, true), (3_000, false)] {
        let limits = Limits { work_max, ..Limits::default() };
        let opened = tried(octets(AES_256), &["wrong", "pass1"], &limits);
        assert_eq!(opened.flags.is_empty(), opens, "{work_max}");
    }
}

#[test]
fn an_altered_content_does_not_count_as_open() {
    let mut data = octets(ZIP_CRYPTO_STORED);
    let at = data.windows(5).position(|five| five == b"b.txt").unwrap() + 5 + 13;
    data[at] ^= 1;
    let opened = tried(data, &["pass1"], &Limits::default());
    assert_eq!(opened.flags, [PartFlag::Encrypted]);
}

proptest! {
    #[test]
    fn no_octets_make_it_fail(
        which in 0_usize..14,
        changes in proptest::collection::vec((0_usize..400, any::<u8>()), 0..6),
        cut in 0_usize..400,
        secret: bool,
    ) {
        let all = [
            ZIP_CRYPTO, ZIP_CRYPTO_STORED, TWO_PASSWORDS, AES_128, AES_192, AES_256, DEFLATE64,
            BZIP2, LZMA, PPMD, STREAMED, PIPED, LINK, ZIP64,
        ];
        let mut data = octets(all[which]);
        for (at, octet) in changes {
            if let Some(place) = data.get_mut(at) {
                *place = octet;
            }
        }
        data.truncate(cut.max(30));
        tried(data, if secret { &["pass1"] } else { &[] }, &Limits::default());
    }
}
