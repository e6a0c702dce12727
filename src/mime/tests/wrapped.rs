//! A virus in random wrappings is found, however the wrappings are written.

use std::fmt::Write as _;
use std::io::Write as _;

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;

use super::*;
use crate::filters::defects::{self, Defects};
use crate::filters::virus::{self, Builtin};
use crate::mail::PartFlag;

const CASES: u64 = 2_000;

/// Random numbers that come again with the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        // xorshift64*: enough for choices.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.roll() % count as u64).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    fn word(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b'a' + u8::try_from(self.below(26)).unwrap())).collect()
    }
}

fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$".as_bytes(), b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"]
        .concat()
}

/// What is wrapped next: a file, or an entity with a header section.
enum Thing {
    File { name: String, data: Vec<u8> },
    Entity { header: String, body: Vec<u8> },
}

pub(super) fn encode_base64(data: &[u8]) -> String {
    wrapped_at(&STANDARD.encode(data), 76)
}

fn wrapped_at(text: &str, width: usize) -> String {
    let lines: Vec<_> = text.as_bytes().chunks(width.max(1)).map(String::from_utf8_lossy).collect();
    lines.join("\r\n")
}

fn quoted_printable(dice: &mut Dice, data: &[u8]) -> String {
    let (mut text, mut column) = (String::new(), 0);
    let all = dice.chance(30);
    for octet in data {
        if column > 70 {
            text.push_str(dice.pick(&["=\r\n", "= \r\n", "=\t\r\n"]));
            column = 0;
        }
        let plain = octet.is_ascii_graphic() && *octet != b'=' && !all;
        if plain && !(column == 0 && *octet == b'-') {
            text.push(char::from(*octet));
            column += 1;
        } else {
            let _ = if dice.chance(50) {
                write!(text, "={octet:02X}")
            } else {
                write!(text, "={octet:02x}")
            };
            column += 3;
        }
    }
    text
}

fn uuencode(name: &str, data: &[u8]) -> String {
    let sign = |six: u8| char::from(if six == 0 { b'`' } else { six + 0x20 });
    let mut text = format!("begin 644 {name}\r\n");
    for row in data.chunks(45) {
        text.push(sign(u8::try_from(row.len()).unwrap()));
        for three in row.chunks(3) {
            let at = |index: usize| three.get(index).copied().unwrap_or(0);
            let (a, b, c) = (at(0), at(1), at(2));
            for six in [a >> 2, (a << 4 | b >> 4) & 0x3f, (b << 2 | c >> 6) & 0x3f, c & 0x3f] {
                text.push(sign(six));
            }
        }
        text.push_str("\r\n");
    }
    text + "`\r\nend\r\n"
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(data).unwrap();
    writer.finish().unwrap()
}

fn gzip(data: &[u8], name: Option<&str>) -> Vec<u8> {
    let mut builder = flate2::GzBuilder::new();
    if let Some(name) = name {
        builder = builder.filename(name);
    }
    let mut writer = builder.write(Vec::new(), flate2::Compression::best());
    writer.write_all(data).unwrap();
    writer.finish().unwrap()
}

pub(super) fn tar(name: &str, data: &[u8], ended: bool) -> Vec<u8> {
    let mut header = vec![0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|octet| u32::from(*octet)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header.extend_from_slice(data);
    header.resize(header.len().div_ceil(512) * 512, 0);
    if ended {
        header.extend_from_slice(&[0; 1024]);
    }
    header
}

/// A zip of one member; sizes in the local header may be left to a descriptor behind the data.
fn zip(dice: &mut Dice, name: &str, data: &[u8]) -> Vec<u8> {
    let packs = dice.chance(60);
    let later = packs && dice.chance(30);
    let packed = if packs { deflate(data) } else { data.to_vec() };
    let mut crc = flate2::Crc::new();
    crc.update(data);
    let sizes = |zip: &mut Vec<u8>| {
        zip.extend_from_slice(&crc.sum().to_le_bytes());
        zip.extend_from_slice(&u32::try_from(packed.len()).unwrap().to_le_bytes());
        zip.extend_from_slice(&u32::try_from(data.len()).unwrap().to_le_bytes());
    };
    let length = u16::try_from(name.len()).unwrap().to_le_bytes();
    let common = |zip: &mut Vec<u8>, hide: bool| {
        zip.extend_from_slice(&[
            20,
            0,
            if later { 8 } else { 0 },
            0,
            if packs { 8 } else { 0 },
            0,
            0,
            0,
            0,
            0,
        ]);
        if hide {
            zip.extend_from_slice(&[0; 12])
        } else {
            sizes(zip)
        }
        zip.extend_from_slice(&length);
        zip.extend_from_slice(&[0, 0]);
    };
    // What stands before a zip does not matter.
    let junk = if dice.chance(25) { dice.word(200) } else { String::new() };
    let mut zip = junk.into_bytes();
    let start = zip.len();
    zip.extend_from_slice(b"PK\x03\x04");
    common(&mut zip, later);
    zip.extend_from_slice(name.as_bytes());
    zip.extend_from_slice(&packed);
    if later {
        zip.extend_from_slice(b"PK\x07\x08");
        sizes(&mut zip);
    }
    let directory = zip.len();
    zip.extend_from_slice(b"PK\x01\x02\x14\0");
    common(&mut zip, false);
    zip.extend_from_slice(&[0; 10]);
    let from = if dice.chance(50) { 0 } else { start };
    zip.extend_from_slice(&u32::try_from(start - from).unwrap().to_le_bytes());
    zip.extend_from_slice(name.as_bytes());
    let size = u32::try_from(zip.len() - directory).unwrap();
    zip.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    zip.extend_from_slice(&size.to_le_bytes());
    zip.extend_from_slice(&u32::try_from(directory - from).unwrap().to_le_bytes());
    zip.extend_from_slice(&[0, 0]);
    if dice.chance(20) {
        zip.extend_from_slice(dice.word(20).as_bytes());
    }
    zip
}

/// A field's name in odd letters, its colon, and what may stand between it and its value.
fn field(dice: &mut Dice, name: &str, value: &str) -> String {
    let name: String = name
        .chars()
        .map(|sign| if dice.chance(20) { sign.to_ascii_uppercase() } else { sign })
        .collect();
    let gap = dice.pick(&[" ", "", "\t", "\r\n ", "  ", " (note) ", "\r\n\t(a (b) \\) c) "]);
    format!("{name}:{gap}{value}\r\n")
}

/// A parameter as one of the standards, or only custom, has it.
fn parameter(dice: &mut Dice, name: &str, value: &str) -> String {
    let gap = dice.pick(&["; ", ";", ";\r\n\t", " ;\r\n ", "; (x) ", ";;"]);
    let written = match dice.below(7) {
        0 => format!("{name}={value}"),
        1 => format!("{name}*=us-ascii''{value}"),
        2 => {
            let coded: String = value.bytes().map(|octet| format!("%{octet:02x}")).collect();
            format!("{name}*=utf-8'en'{coded}")
        }
        3 if value.len() > 3 => {
            let (a, b) = value.split_at(value.len() / 2);
            let (one, two) = (format!("{name}*0=\"{a}\""), format!("{name}*1=\"{b}\""));
            if dice.chance(50) { format!("{one};\r\n {two}") } else { format!("{two}; {one}") }
        }
        4 => format!("{name} = \"{value}\""),
        5 => format!("{}=\"\\{value}\" (c)", name.to_uppercase()),
        _ => format!("{name}=\"{value}\""),
    };
    gap.to_owned() + &written
}

fn content_type(dice: &mut Dice, kind: &str, parameters: &[(&str, &str)]) -> String {
    let mut value = if dice.chance(15) { kind.to_uppercase() } else { kind.to_owned() };
    for (name, text) in parameters {
        value.push_str(&parameter(dice, name, text));
    }
    if dice.chance(20) {
        value.push_str(dice.pick(&[";", " ", "; ", "; charset=us-ascii"]));
    }
    field(dice, "Content-Type", &value)
}

/// A file becomes an entity in some transfer encoding.
fn attached(dice: &mut Dice, name: &str, data: &[u8]) -> Thing {
    let kind =
        dice.pick(&["application/octet-stream", "text/plain", "image/png", "application/zip"]);
    let mut header = content_type(dice, kind, &[("name", name)]);
    let (encoding, body) = match dice.below(5) {
        0 => (
            dice.pick(&["quoted-printable", "Quoted-Printable "]),
            quoted_printable(dice, data).into_bytes(),
        ),
        1 => (dice.pick(&["x-uuencode", "uuencode", "x-uue"]), uuencode(name, data).into_bytes()),
        2 => (dice.pick(&["8bit", "binary"]), data.to_vec()),
        _ => {
            let width = if dice.chance(60) { 76 } else { 4 * (1 + dice.below(30)) };
            let mut text = wrapped_at(&STANDARD.encode(data), width);
            if dice.chance(20) {
                text.insert_str(0, "\r\n \r\n");
            }
            let written = ["base64", "BASE64", "\"base64\"", "base64 (x)", "(x) base64", "base64;"];
            (dice.pick(&written), text.into_bytes())
        }
    };
    header.push_str(&field(dice, "Content-Transfer-Encoding", encoding));
    if dice.chance(50) {
        let value = "attachment".to_owned() + &parameter(dice, "filename", name);
        header.push_str(&field(dice, "Content-Disposition", &value));
    }
    Thing::Entity { header, body }
}

fn boundary(dice: &mut Dice) -> String {
    let length = 1 + dice.below(40);
    dice.pick(&["=_", "----", "", "b'+_,-./:?", "NextPart"]).to_owned() + &dice.word(length)
}

/// An entity becomes a part of a multipart, among others.
fn multipart(dice: &mut Dice, header: &str, body: &[u8]) -> Thing {
    let kinds =
        ["mixed", "alternative", "related", "signed", "report", "parallel", "x-odd", "form-data"];
    let kind = format!("multipart/{}", dice.pick(&kinds));
    let border = boundary(dice);
    let quoted = border.bytes().all(|octet| octet.is_ascii_alphanumeric());
    // What is no token must be quoted.
    let outer = if quoted {
        content_type(dice, &kind, &[("boundary", &border)])
    } else {
        let gap = dice.pick(&["", "\r\n "]);
        field(dice, "Content-Type", &format!("{kind};{gap} boundary=\"{border}\""))
    };
    let mut out = Vec::new();
    let mut say = |text: &str| out.extend_from_slice(text.as_bytes());
    if dice.chance(40) {
        say(dice.pick(&[
            "This is a multi-part message in MIME format.\r\n",
            "\r\n",
            "--\r\n",
            "-- \r\nx\r\n",
        ]));
    }
    let (before, after) = (dice.below(3), dice.below(3));
    let late = dice.chance(8);
    for _ in 0..before {
        say(&format!("--{border}\r\n\r\nhello\r\n"));
    }
    if late {
        // Behind the end, where only some look.
        say(&format!("--{border}\r\n\r\nhello\r\n--{border}--\r\n"));
    }
    say(&format!("--{border}{}\r\n", dice.pick(&["", "", " ", "\t "])));
    say(header);
    say("\r\n");
    out.extend_from_slice(body);
    let mut say = |text: &str| out.extend_from_slice(text.as_bytes());
    for _ in 0..after {
        say(&format!("\r\n--{border}\r\nContent-Type: text/html\r\n\r\n<p>hi</p>"));
    }
    if dice.chance(80) {
        say(&format!("\r\n--{border}--{}", dice.pick(&["", "\r\n", "\r\nepilogue\r\n"])));
    }
    Thing::Entity { header: outer, body: out }
}

/// An entity becomes a message in a message.
fn forwarded(dice: &mut Dice, header: &str, body: &[u8]) -> Thing {
    let mut inner = format!("Subject: {}\r\n{header}\r\n", dice.word(8)).into_bytes();
    inner.extend_from_slice(body);
    if dice.chance(20) {
        let mut outer = content_type(dice, "message/rfc822", &[]);
        outer.push_str(&field(dice, "Content-Transfer-Encoding", "base64"));
        return Thing::Entity { header: outer, body: encode_base64(&inner).into_bytes() };
    }
    let kind = dice.pick(&["message/rfc822", "message/rfc822", "message/global"]);
    Thing::Entity { header: content_type(dice, kind, &[]), body: inner }
}

/// One more layer.
fn wrap(dice: &mut Dice, thing: Thing) -> Thing {
    match thing {
        Thing::File { name, data } => match dice.below(5) {
            0 => {
                let named = dice.chance(50).then_some(name.as_str());
                let data = gzip(&data, named);
                Thing::File { name: name.clone() + ".gz", data }
            }
            1 => {
                let data = zip(dice, &name, &data);
                Thing::File { name: "a.zip".to_owned(), data }
            }
            2 => {
                let ended = dice.chance(80);
                let mut all = tar("first.txt", b"hello", false);
                all.extend(tar(&name, &data, ended));
                Thing::File { name: "a.tar".to_owned(), data: all }
            }
            _ => attached(dice, &name, &data),
        },
        Thing::Entity { mut header, body } => {
            if dice.chance(10) {
                // Another opinion about the same content.
                let other = dice.pick(&[
                    "Content-Type: text/plain\r\n",
                    "Content-Transfer-Encoding: 7bit\r\n",
                    "Content-Type: multipart/mixed; boundary=none\r\n",
                ]);
                if dice.chance(50) { header.push_str(other) } else { header.insert_str(0, other) }
            }
            match dice.below(4) {
                0 => forwarded(dice, &header, &body),
                1 if dice.chance(30) => {
                    let mut data =
                        format!("From: a@b.example\r\nSubject: x\r\n{header}\r\n").into_bytes();
                    data.extend_from_slice(&body);
                    Thing::File { name: "mail.eml".to_owned(), data }
                }
                _ => multipart(dice, &header, &body),
            }
        }
    }
}

fn mail(seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..8 {
        dice.roll();
    }
    let mut thing = Thing::File { name: "eicar.com".to_owned(), data: eicar() };
    for _ in 0..1 + dice.below(6) {
        thing = wrap(&mut dice, thing);
    }
    if let Thing::File { name, data } = &thing {
        thing = attached(&mut dice, name, data);
    }
    let Thing::Entity { header, body } = thing else { return Vec::new() };
    let mut mail =
        b"From: a@b.example\r\nTo: c@d.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n".to_vec();
    mail.extend_from_slice(header.as_bytes());
    mail.extend_from_slice(b"\r\n");
    mail.extend_from_slice(&body);
    if dice.chance(15) {
        // As a file: lines end in LF. Nothing binary may stand in it then.
        let text = String::from_utf8(mail.clone());
        return text.map_or(mail, |text| text.replace("\r\n", "\n").into_bytes());
    }
    mail
}

/// True if the mail would not be delivered as clean all the same.
fn is_suspicious(message: &Message, table: &Defects) -> bool {
    !table.inspect(&message.defects).is_empty()
        || message.parts.iter().any(|part| part.is(PartFlag::Unscannable))
}

#[test]
fn a_virus_is_found_in_every_wrapping() {
    let (scanner, mistakes) = Builtin::build("builtin", &virus::shipped());
    assert!(mistakes.is_empty());
    let (table, _) = Defects::load(&[defects::shipped()]);
    let random = {
        use std::hash::{BuildHasher as _, Hasher as _};
        std::collections::hash_map::RandomState::new().build_hasher().finish()
    };
    println!("random seed: {random}");
    let (mut missed, mut suspected) = (Vec::new(), 0);
    for seed in (0..CASES).chain((0..CASES / 4).map(|n| random.wrapping_add(n))) {
        let raw = Bytes::from(mail(seed));
        let message = decode(raw.clone(), &Limits::default());
        if !scanner.scan(&message).is_empty() {
            continue;
        }
        suspected += 1;
        println!("not found, seed {seed}: {:?} {:?}", paths(&message), codes(&message));
        if !is_suspicious(&message, &table) {
            missed.push((seed, raw));
        }
    }
    if let Some((seed, raw)) = missed.first() {
        panic!("{} missed, the first with seed {seed}:\n{}", missed.len(), raw.escape_ascii());
    }
    assert!(suspected < 20, "{suspected} were only suspected");
}

#[test]
fn a_message_decoded_and_made_anew_has_the_same_leaves() {
    for seed in 0..200 {
        let message = decode(mail(seed).into(), &Limits::default());
        let again = decode(message.raw.clone(), &Limits::default());
        let leaves = |message: &Message| {
            message.parts.iter().map(|part| (part.path.clone(), part.sha256)).collect::<Vec<_>>()
        };
        assert_eq!(leaves(&message), leaves(&again));
        crate::fuzzing::message(&message.raw);
    }
}
