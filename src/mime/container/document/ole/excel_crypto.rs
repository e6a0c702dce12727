//! Encrypted workbooks of Excel up to 2003 ([MS-XLS] 2.2.10, [MS-OFFCRYPTO] 2.3.5 to 2.3.7). One that opens is given as
//! a whole: the same file with the stream in plain.

use md5::{Digest as _, Md5};
use sha1::Sha1;

use super::compound::Compound;
use super::crypto::{OWN_PASSWORD, wide};
use super::{excel, needs_password};
use crate::mail::{PartFlag, PasswordSource};
use crate::mime::budget::Budget;
use crate::mime::container::{Member, Opened, Password, u16_at, u32_at};

/// A key holds for so many octets of the stream.
const BLOCK_BYTES: usize = 1_024;

/// Records that are never encrypted.
const PLAIN: [u16; 7] = [0x809, 0x2f, 0x194, 0x195, 0xe1, 0x196, 0x138];
const BOUND_SHEET: u16 = 0x85;

enum Scheme {
    Xor { key: [u8; 2], verifier: u16 },
    Rc4 { salt: Vec<u8>, verifier: Vec<u8> },
    CryptoApi { salt: Vec<u8>, key_bytes: usize, verifier: Vec<u8> },
}

/// What a password makes of a scheme.
enum Key {
    Xor([u8; 16]),
    Rc4(Vec<u8>),
    CryptoApi(Vec<u8>, usize),
}

/// Opens the workbook if it is encrypted.
pub(super) fn open(
    file: &mut Compound<'_>,
    name: Option<&str>,
    passwords: &[Password],
    budget: &mut Budget,
    opened: &mut Opened,
) {
    /// Workbooks that are looked at: objects in a document may be some, too.
    const WORKBOOKS_MAX: usize = 16;
    let is_workbook =
        |name: &str| ["workbook", "book"].iter().any(|known| name.eq_ignore_ascii_case(known));
    let found: Vec<usize> = (0..file.entries.len())
        .filter(|index| file.entries.get(*index).is_some_and(|entry| is_workbook(&entry.name)))
        .take(WORKBOOKS_MAX)
        .collect();
    for index in found {
        let stream = file.stream(index);
        let Some(record) = excel::file_pass(&stream) else { continue };
        let content = stream.get(record.start..record.end).unwrap_or_default();
        let Some(scheme) = scheme(content) else {
            needs_password(opened);
            continue;
        };
        let own = Password { octets: OWN_PASSWORD.into(), source: PasswordSource::Configured };
        let tried: &[Password] =
            if passwords.is_empty() { std::slice::from_ref(&own) } else { passwords };
        let found = tried
            .iter()
            .find_map(|password| scheme.key(&password.octets).map(|key| (key, password.source)));
        let Some((key, source)) = found else {
            needs_password(opened);
            continue;
        };
        let size = file.size().saturating_add(stream.len());
        if let Err(code) = budget.file().and_then(|()| budget.expand(size, 0, size)) {
            opened.note(code);
            return;
        }
        let data = file.with_stream(index, &key.plain(&stream));
        let names = name.map(str::to_owned).into_iter().collect();
        let flags = match passwords {
            [] => Vec::new(),
            _ => vec![PartFlag::Decrypted(source)],
        };
        opened.members.push(Member { names, data: data.into(), flags, odd: Vec::new() });
        return;
    }
}

fn scheme(content: &[u8]) -> Option<Scheme> {
    let octets = |start: usize, length: usize| {
        content.get(start..start.checked_add(length)?).map(<[u8]>::to_vec)
    };
    match (u16_at(content, 0)?, u16_at(content, 2)?, u16_at(content, 4)?) {
        (0, key, verifier) => Some(Scheme::Xor { key: key.to_le_bytes(), verifier }),
        (1, 1, 1) => Some(Scheme::Rc4 { salt: octets(6, 16)?, verifier: octets(22, 32)? }),
        (1, 2..=4, 2) => {
            let header = usize::try_from(u32_at(content, 10)?).ok()?;
            let key_bits = match u32_at(content, 14 + 16)? {
                0 => 40,
                bits => usize::try_from(bits).ok()?,
            };
            let rest = 14_usize.checked_add(header)?;
            let verifier_at = rest.checked_add(20)?;
            let verifier =
                [octets(verifier_at, 16)?, octets(verifier_at.checked_add(20)?, 20)?].concat();
            let salt = octets(rest.checked_add(4)?, 16)?;
            Some(Scheme::CryptoApi { salt, key_bytes: (key_bits / 8).clamp(5, 16), verifier })
        }
        _ => None,
    }
}

impl Scheme {
    /// The key, if this is the password.
    fn key(&self, password: &[u8]) -> Option<Key> {
        let check = |key: Key, verifier: &[u8], hash: fn(&[u8]) -> Vec<u8>| {
            let plain = key.stream(0, verifier);
            let (input, wanted) = plain.split_at_checked(16)?;
            wanted.starts_with(&hash(input)).then_some(key)
        };
        match self {
            Self::Xor { key, verifier } => {
                (xor_verifier(password) == *verifier).then(|| Key::Xor(xor_array(password, *key)))
            }
            Self::Rc4 { salt, verifier } => {
                let hash = Md5::digest(wide(password));
                let short = hash.get(..5).unwrap_or_default();
                let hash = Md5::digest([short, salt].concat().repeat(16));
                let key = Key::Rc4(hash.get(..5).unwrap_or_default().to_vec());
                check(key, verifier, |octets| Md5::digest(octets).to_vec())
            }
            Self::CryptoApi { salt, key_bytes, verifier } => {
                let hash = Sha1::digest([salt, &wide(password)[..]].concat()).to_vec();
                let key = Key::CryptoApi(hash, *key_bytes);
                check(key, verifier, |octets| Sha1::digest(octets).to_vec())
            }
        }
    }
}

impl Key {
    /// The key for a block of the stream.
    fn of_block(&self, block: u32) -> Vec<u8> {
        match self {
            Self::Xor(array) => array.to_vec(),
            Self::Rc4(hash) => Md5::digest([hash, &block.to_le_bytes()[..]].concat()).to_vec(),
            Self::CryptoApi(hash, length) => {
                let digest = Sha1::digest([hash, &block.to_le_bytes()[..]].concat());
                let mut key = digest.get(..*length).unwrap_or(&digest).to_vec();
                if *length == 5 {
                    key.resize(16, 0);
                }
                key
            }
        }
    }

    /// RC4 over octets that begin at a block.
    fn stream(&self, first_block: u32, octets: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(octets.len());
        for (number, block) in (first_block..).zip(octets.chunks(BLOCK_BYTES)) {
            out.extend(rc4(&self.of_block(number), block));
        }
        out
    }

    /// The stream in plain, in which no record says that it is encrypted.
    fn plain(&self, stream: &[u8]) -> Vec<u8> {
        let mut out = stream.to_vec();
        let whole = match self {
            Self::Xor(_) => Vec::new(),
            Self::Rc4(_) | Self::CryptoApi(..) => self.stream(0, stream),
        };
        for record in excel::records(stream) {
            if record.id == 0x2f
                && let Some(id) = out.get_mut(record.start.saturating_sub(4))
            {
                *id = 0;
            }
            // Where a sheet begins stands there in plain.
            let skip = if record.id == BOUND_SHEET { 4 } else { 0 };
            let start = record.start.saturating_add(skip).min(record.end);
            if PLAIN.contains(&record.id) {
                continue;
            }
            let Some(place) = out.get_mut(start..record.end) else { continue };
            if let Self::Xor(array) = self {
                let first = start.saturating_add(record.end - record.start);
                let keys = array.iter().cycle().skip(first % 16);
                place.iter_mut().zip(keys).for_each(|(octet, key)| {
                    *octet = (*octet ^ key).rotate_right(5);
                });
            } else if let Some(plain) = whole.get(start..record.end) {
                place.copy_from_slice(plain);
            }
        }
        out
    }
}

fn rc4(key: &[u8], octets: &[u8]) -> Vec<u8> {
    let mut state: [u8; 256] = std::array::from_fn(|index| u8::try_from(index).unwrap_or(0));
    let mut other = 0_u8;
    for (index, key) in (0_usize..256).zip(key.iter().cycle()) {
        other = other.wrapping_add(at(&state, index)).wrapping_add(*key);
        state.swap(index, usize::from(other));
    }
    let (mut one, mut other) = (0_u8, 0_u8);
    octets
        .iter()
        .map(|octet| {
            one = one.wrapping_add(1);
            other = other.wrapping_add(at(&state, one.into()));
            state.swap(one.into(), other.into());
            let sum = at(&state, one.into()).wrapping_add(at(&state, other.into()));
            octet ^ at(&state, sum.into())
        })
        .collect()
}

fn at(state: &[u8; 256], index: usize) -> u8 {
    state.get(index).copied().unwrap_or(0)
}

/// [MS-OFFCRYPTO] 2.3.7.1.
fn xor_verifier(password: &[u8]) -> u16 {
    let length = u8::try_from(password.len()).unwrap_or(u8::MAX);
    let octets = password.iter().rev().chain(std::iter::once(&length));
    let sum = octets
        .fold(0_u16, |sum, octet| ((sum >> 14 & 1) | (sum << 1 & 0x7fff)) ^ u16::from(*octet));
    sum ^ 0xce4b
}

/// [MS-OFFCRYPTO] 2.3.7.2, with the key that stands in the file.
fn xor_array(password: &[u8], key: [u8; 2]) -> [u8; 16] {
    const PADDING: [u8; 15] =
        [0xbb, 0xff, 0xff, 0xba, 0xff, 0xff, 0xb9, 0x80, 0, 0xbe, 0x0f, 0, 0xbf, 0x0f, 0];
    let octets = password.iter().take(15).chain(&PADDING);
    let mut array = [0; 16];
    for ((cell, octet), key) in array.iter_mut().zip(octets).zip(key.iter().cycle()) {
        *cell = (octet ^ key).rotate_right(1);
    }
    array
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::compound::writer;
    use super::*;
    use crate::mime::Limits;
    use crate::mime::container::{Ask, Container, open as open_container};

    fn record(id: u16, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap();
        [&id.to_le_bytes()[..], &length.to_le_bytes(), content].concat()
    }

    /// A workbook in plain, but for its record of encryption.
    fn workbook(pass: &[u8]) -> Vec<u8> {
        let sheet = record(BOUND_SHEET, &[1, 2, 3, 4, 0, 1, 1, 0, b'A']);
        [record(0x809, &[0, 6, 5, 0]), record(0x2f, pass), sheet, record(0x3d, &[9; 6000])].concat()
    }

    /// Encrypts what [`Key::plain`] makes plain: RC4 undoes itself, the other turns the other way.
    fn encrypted(key: &Key, plain: &[u8]) -> Vec<u8> {
        let Key::Xor(array) = key else {
            let mut out = key.plain(plain);
            out[8] = 0x2f;
            return out;
        };
        let mut out = plain.to_vec();
        for record in excel::records(plain).filter(|record| !PLAIN.contains(&record.id)) {
            let skip = if record.id == BOUND_SHEET { 4 } else { 0 };
            for at in record.start + skip..record.end {
                let first = record.start + skip + (record.end - record.start);
                let key = array[(first + at - record.start - skip) % 16];
                out[at] = out[at].rotate_left(5) ^ key;
            }
        }
        out
    }

    fn opened(stream: &[u8], passwords: &[&str]) -> Opened {
        let data = writer::pack(&[("Workbook", stream)], [0; 16]).into();
        let passwords: Vec<Password> = passwords
            .iter()
            .map(|text| Password { octets: text.as_bytes().into(), source: PasswordSource::Name })
            .collect();
        let mut budget = crate::mime::budget::Budget::new(&Limits::default());
        open_container(
            Container::Ole,
            Ask { data: &data, name: Some("a.xls"), passwords: &passwords, budget: &mut budget },
        )
    }

    fn check(pass: &[u8], key: &Key, password: &str) {
        let stream = encrypted(key, &workbook(pass));
        let own = password == OWN_PASSWORD;
        let first = opened(&stream, &[]);
        assert_eq!(first.flags.contains(&PartFlag::Encrypted), !own);
        let opened = if own { first } else { opened(&stream, &["other", password]) };
        let mut want = workbook(pass);
        want[8] = 0;
        assert_eq!(opened.members.len(), 1);
        assert_eq!(opened.members[0].names, ["a.xls"]);
        let plain = writer::pack(&[("Workbook", &want)], [0; 16]);
        assert_eq!(opened.members[0].data, plain);
        assert_eq!(opened.members[0].flags.is_empty(), own);
    }

    #[test]
    fn workbooks_open_with_their_passwords() {
        for password in [OWN_PASSWORD, "secret"] {
            let verifier = xor_verifier(password.as_bytes()).to_le_bytes();
            let pass = [&[0, 0, 0x12, 0x34][..], &verifier].concat();
            check(&pass, &Key::Xor(xor_array(password.as_bytes(), [0x12, 0x34])), password);

            let salt = [7; 16];
            let hash = Md5::digest(wide(password.as_bytes()));
            let hash = Md5::digest([&hash[..5], &salt].concat().repeat(16));
            let key = Key::Rc4(hash[..5].to_vec());
            let verifier = key.stream(0, &[&[1; 16][..], &Md5::digest([1; 16])].concat());
            let pass = [&[1, 0, 1, 0, 1, 0][..], &salt, &verifier].concat();
            check(&pass, &key, password);

            let hash = Sha1::digest([&salt[..], &wide(password.as_bytes())].concat()).to_vec();
            let key = Key::CryptoApi(hash, 16);
            let verifier = key.stream(0, &[&[1; 16][..], &Sha1::digest([1; 16])].concat());
            let head = [
                &[1, 0, 4, 0, 2, 0, 4, 0, 0, 0, 32, 0, 0, 0][..],
                &[0; 16],
                &[128, 0, 0, 0],
                &[0; 12],
            ];
            let tail =
                [&[16, 0, 0, 0][..], &salt, &verifier[..16], &[20, 0, 0, 0], &verifier[16..]];
            check(&[head.concat(), tail.concat()].concat(), &key, password);
        }
    }

    #[test]
    fn the_verifier_is_that_of_the_specification() {
        assert_eq!(xor_verifier(b"VelvetSweatshop"), 0x9a0a);
        assert_eq!(rc4(b"Key", b"Plaintext"), b"\xbb\xf3\x16\xe8\xd9\x40\xaf\x0a\xd3");
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(pass: Vec<u8>, kind in 0_u8..3, more: Vec<u8>) {
            let pass = [&[kind.min(1), 0, kind, 0, 2, 0][..], &pass].concat();
            if let Some(scheme) = scheme(&pass) {
                scheme.key(b"x");
            }
            Key::Xor([1; 16]).plain(&more);
            Key::Rc4(vec![1; 5]).plain(&more);
            opened(&[record(0x2f, &pass), more].concat(), &["x"]);
        }
    }
}
