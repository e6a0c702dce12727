//! Documents of Office that are encrypted as a whole ([MS-OFFCRYPTO] 2.3.4): the zip of an OOXML document, in one
//! stream, under a password.

use aes::cipher::{Array, BlockCipherDecrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::compound::Compound;
use super::needs_password;
use crate::mail::{PartFlag, PasswordSource};
use crate::mime::budget::Budget;
use crate::mime::container::document::markup;
use crate::mime::container::{Member, Opened, Password, u16_at, u32_at};

/// Office tries this one by itself and asks nobody: what is encrypted with it opens like any other document.
pub(super) const OWN_PASSWORD: &str = "VelvetSweatshop";

const BLOCK_BYTES: usize = 16;
const SEGMENT_BYTES: usize = 4_096;

/// Rounds of hashing that a document may ask for; Office asks for 100,000.
const ROUNDS_MAX: u32 = 1_000_000;

/// Rounds spent on one document, for all passwords together.
const ROUNDS_SUM_MAX: u64 = 5_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn of(self, parts: &[&[u8]]) -> Vec<u8> {
        fn run<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut digest = D::new();
            for part in parts {
                digest.update(part);
            }
            digest.finalize().to_vec()
        }
        match self {
            Self::Sha1 => run::<Sha1>(parts),
            Self::Sha256 => run::<Sha256>(parts),
            Self::Sha384 => run::<Sha384>(parts),
            Self::Sha512 => run::<Sha512>(parts),
        }
    }
}

/// How the package is encrypted.
enum Scheme {
    Standard {
        salt: Vec<u8>,
        key_bytes: usize,
        verifier: Vec<u8>,
        verifier_hash: Vec<u8>,
    },
    Agile {
        password: Cipher,
        rounds: u32,
        verifier: Vec<u8>,
        verifier_hash: Vec<u8>,
        key: Vec<u8>,
        package: Cipher,
    },
}

struct Cipher {
    hash: Hash,
    key_bytes: usize,
    salt: Vec<u8>,
}

/// Opens the package if there is one.
pub(super) fn open(
    file: &mut Compound<'_>,
    name: Option<&str>,
    passwords: &[Password],
    budget: &mut Budget,
    opened: &mut Opened,
) {
    let place = |name: &str| {
        let found = file.entries.iter().position(|entry| entry.name.eq_ignore_ascii_case(name));
        found.filter(|index| file.entries.get(*index).is_some_and(|entry| !entry.is_storage))
    };
    let (info, package) = match (place("EncryptionInfo"), place("EncryptedPackage")) {
        (Some(info), Some(package)) => (info, package),
        (None, None) => return,
        (Some(_), None) | (None, Some(_)) => {
            needs_password(opened);
            return;
        }
    };
    let (info, package) = (file.stream(info), file.stream(package));
    let Some(scheme) = scheme(&info) else {
        needs_password(opened);
        return;
    };
    let own = Password { octets: OWN_PASSWORD.into(), source: PasswordSource::Configured };
    let tried: &[Password] =
        if passwords.is_empty() { std::slice::from_ref(&own) } else { passwords };
    let mut rounds_left = ROUNDS_SUM_MAX;
    for password in tried {
        if budget.is_late() {
            break;
        }
        if !budget.work(scheme.work()) {
            break;
        }
        let Some(key) = scheme.key(&password.octets, &mut rounds_left) else { continue };
        let allowed = budget.file().and_then(|()| budget.expand(package.len(), 0, package.len()));
        if let Err(code) = allowed {
            opened.note(code);
            return;
        }
        let flags = match passwords {
            [] => Vec::new(),
            _ => vec![PartFlag::Decrypted(password.source)],
        };
        let data = scheme.package(&key, &package);
        let names = name.map(str::to_owned).into_iter().collect();
        opened.members.push(Member { names, data, flags, odd: Vec::new() });
        return;
    }
    needs_password(opened);
    if let Some(code) = budget.late() {
        opened.note(code);
    }
}

/// A password as Office hashes it: UTF-16, at most 255 units.
pub(super) fn wide(password: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(password);
    text.encode_utf16().take(255).flat_map(u16::to_le_bytes).collect()
}

fn scheme(info: &[u8]) -> Option<Scheme> {
    match (u16_at(info, 0)?, u16_at(info, 2)?) {
        (4, 4) => agile(info.get(8..)?),
        (2..=4, 2) => standard(info),
        _ => None,
    }
}

fn standard(info: &[u8]) -> Option<Scheme> {
    let header = usize::try_from(u32_at(info, 8)?).ok()?;
    let key_bytes = match u32_at(info, 12 + 16)? {
        0 | 128 => 16,
        192 => 24,
        256 => 32,
        _ => return None,
    };
    let rest = info.get(12_usize.checked_add(header)?..)?;
    Some(Scheme::Standard {
        salt: rest.get(4..20)?.to_vec(),
        key_bytes,
        verifier: rest.get(20..36)?.to_vec(),
        verifier_hash: rest.get(40..72)?.to_vec(),
    })
}

fn agile(xml: &[u8]) -> Option<Scheme> {
    let text = markup::text_of(xml);
    let data = markup::tags(&text).find(|tag| tag.name == "keydata")?;
    let key = markup::tags(&text).find(|tag| tag.name == "encryptedkey")?;
    let octets = |name: &str| STANDARD.decode(key.attribute(name)?.as_bytes()).ok();
    Some(Scheme::Agile {
        password: cipher(&key)?,
        rounds: key.attribute("spincount")?.parse().ok().filter(|count| *count <= ROUNDS_MAX)?,
        verifier: octets("encryptedverifierhashinput")?,
        verifier_hash: octets("encryptedverifierhashvalue")?,
        key: octets("encryptedkeyvalue")?,
        package: cipher(&data)?,
    })
}

fn cipher(tag: &markup::Tag<'_>) -> Option<Cipher> {
    let is = |name: &str, wanted: &str| {
        tag.attribute(name).is_some_and(|value| value.eq_ignore_ascii_case(wanted))
    };
    if !is("cipheralgorithm", "AES") || !is("cipherchaining", "ChainingModeCBC") {
        return None;
    }
    let hash = match tag.attribute("hashalgorithm")?.to_ascii_uppercase().as_str() {
        "SHA1" | "SHA-1" => Hash::Sha1,
        "SHA256" | "SHA-256" => Hash::Sha256,
        "SHA384" | "SHA-384" => Hash::Sha384,
        "SHA512" | "SHA-512" => Hash::Sha512,
        _ => return None,
    };
    let key_bytes = match tag.attribute("keybits")?.as_str() {
        "128" => 16,
        "192" => 24,
        "256" => 32,
        _ => return None,
    };
    let salt = STANDARD.decode(tag.attribute("saltvalue")?.as_bytes()).ok()?;
    Some(Cipher { hash, key_bytes, salt })
}

impl Scheme {
    /// What one try costs, for [`Budget::work`]: a round is a digest of one block, with the long ones of a larger one.
    fn work(&self) -> u64 {
        match self {
            Self::Standard { .. } => 50_000,
            Self::Agile { rounds, .. } => 2 * u64::from(*rounds),
        }
    }

    /// The key of the package, if this is the password.
    fn key(&self, password: &[u8], rounds_left: &mut u64) -> Option<Vec<u8>> {
        match self {
            Self::Standard { salt, key_bytes, verifier, verifier_hash } => {
                let hash = spun(Hash::Sha1, salt, password, 50_000, rounds_left)?;
                let hash = Hash::Sha1.of(&[&hash, &[0; 4]]);
                let padded = |fill: u8| {
                    let mut block = [fill; 64];
                    block.iter_mut().zip(&hash).for_each(|(octet, other)| *octet ^= other);
                    Hash::Sha1.of(&[&block])
                };
                let key = fitted([padded(0x36), padded(0x5c)].concat(), *key_bytes);
                let wanted = decrypted(&key, None, verifier_hash)?;
                let got = Hash::Sha1.of(&[&decrypted(&key, None, verifier)?]);
                wanted.starts_with(&got).then_some(key)
            }
            Self::Agile { password: cipher, rounds, verifier, verifier_hash, key, .. } => {
                let hash = spun(cipher.hash, &cipher.salt, password, *rounds, rounds_left)?;
                let part = |block: &[u8], octets: &[u8]| {
                    let key = fitted(cipher.hash.of(&[&hash, block]), cipher.key_bytes);
                    decrypted(&key, Some(&cipher.salt), octets)
                };
                let input = part(b"\xfe\xa7\xd2\x76\x3b\x4b\x9e\x79", verifier)?;
                let wanted = part(b"\xd7\xaa\x0f\x6d\x30\x61\x34\x4e", verifier_hash)?;
                let input = input.get(..cipher.salt.len().min(input.len()))?;
                let key = part(b"\x14\x6e\x0b\xe7\xab\xac\xd0\xd6", key)?;
                wanted.starts_with(&cipher.hash.of(&[input])).then_some(key)
            }
        }
    }

    fn package(&self, key: &[u8], package: &[u8]) -> Bytes {
        let size = u32_at(package, 0).and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
        let body = package.get(8..).unwrap_or_default();
        let mut out = Vec::with_capacity(body.len());
        for (number, segment) in (0_u32..).zip(body.chunks(SEGMENT_BYTES)) {
            let plain = match self {
                Self::Standard { .. } => decrypted(key, None, segment),
                Self::Agile { package, .. } => {
                    let key = key.get(..package.key_bytes).unwrap_or(key);
                    let start = package.hash.of(&[&package.salt, &number.to_le_bytes()]);
                    decrypted(key, Some(&start), segment)
                }
            };
            out.extend(plain.unwrap_or_default());
        }
        out.truncate(size);
        out.into()
    }
}

/// The password hashed again and again. `None`: not worth the time.
fn spun(
    hash: Hash,
    salt: &[u8],
    password: &[u8],
    rounds: u32,
    rounds_left: &mut u64,
) -> Option<Vec<u8>> {
    *rounds_left = rounds_left.checked_sub(u64::from(rounds))?;
    let mut current = hash.of(&[salt, &wide(password)]);
    for round in 0..rounds {
        current = hash.of(&[&round.to_le_bytes(), &current]);
    }
    Some(current)
}

/// Cut or filled up to the length of a key.
fn fitted(mut octets: Vec<u8>, length: usize) -> Vec<u8> {
    octets.resize(length, 0x36);
    octets
}

/// AES; with a start, blocks are chained to it. Octets that fill no block are left out.
fn decrypted(key: &[u8], start: Option<&[u8]>, octets: &[u8]) -> Option<Vec<u8>> {
    match key.len() {
        16 => Some(run(&Aes128::new_from_slice(key).ok()?, start, octets)),
        24 => Some(run(&Aes192::new_from_slice(key).ok()?, start, octets)),
        32 => Some(run(&Aes256::new_from_slice(key).ok()?, start, octets)),
        _ => None,
    }
}

fn run<C>(cipher: &C, start: Option<&[u8]>, octets: &[u8]) -> Vec<u8>
where
    C: BlockCipherDecrypt<BlockSize = aes::cipher::consts::U16>,
{
    let mut out = Vec::with_capacity(octets.len());
    let mut before = start.map(|start| fitted(start.to_vec(), BLOCK_BYTES));
    for chunk in octets.chunks_exact(BLOCK_BYTES) {
        let Ok(mut block) = Array::try_from(chunk) else { break };
        cipher.decrypt_block(&mut block);
        if let Some(before) = before.as_mut() {
            block.iter_mut().zip(before.iter()).for_each(|(octet, other)| *octet ^= other);
            before.copy_from_slice(chunk);
        }
        out.extend_from_slice(&block);
    }
    out
}

#[cfg(test)]
mod tests {
    use aes::cipher::BlockCipherEncrypt;

    use super::super::compound::writer;
    use super::*;
    use crate::mime::Limits;
    use crate::mime::container::{Ask, Container, open as open_container};

    fn encrypted(key: &[u8], start: Option<&[u8]>, octets: &[u8]) -> Vec<u8> {
        let cipher = Aes128::new_from_slice(key).unwrap();
        let mut before = start.map_or([0; 16], |start| start[..16].try_into().unwrap());
        let mut out = Vec::new();
        for chunk in octets.chunks(16) {
            let mut block = [0; 16];
            block[..chunk.len()].copy_from_slice(chunk);
            if start.is_some() {
                block.iter_mut().zip(before).for_each(|(octet, other)| *octet ^= other);
            }
            let mut block = block.into();
            cipher.encrypt_block(&mut block);
            before = block.into();
            out.extend(before);
        }
        out
    }

    /// A document with that password, in the newer scheme.
    fn agile(password: &str, content: &[u8]) -> Vec<u8> {
        let (salt, key, input) = ([3; 16], [5; 16], [7; 16]);
        let hash = spun(Hash::Sha512, &salt, password.as_bytes(), 10, &mut 10).unwrap();
        let part = |block: &[u8], octets: &[u8]| {
            let key = fitted(Hash::Sha512.of(&[&hash, block]), 16);
            STANDARD.encode(encrypted(&key, Some(&salt), octets))
        };
        let how = format!(
            "saltSize=\"16\" keyBits=\"128\" cipherAlgorithm=\"AES\" cipherChaining=\"ChainingModeCBC\" hashAlgorithm=\"SHA512\" saltValue=\"{}\"",
            STANDARD.encode(salt)
        );
        let xml = format!(
            "<encryption><keyData {how}/><p:encryptedKey spinCount=\"10\" {how} encryptedVerifierHashInput=\"{}\" encryptedVerifierHashValue=\"{}\" encryptedKeyValue=\"{}\"/></encryption>",
            part(b"\xfe\xa7\xd2\x76\x3b\x4b\x9e\x79", &input),
            part(b"\xd7\xaa\x0f\x6d\x30\x61\x34\x4e", &Hash::Sha512.of(&[&input])),
            part(b"\x14\x6e\x0b\xe7\xab\xac\xd0\xd6", &key),
        );
        let mut package = u64::try_from(content.len()).unwrap().to_le_bytes().to_vec();
        for (number, segment) in (0_u32..).zip(content.chunks(SEGMENT_BYTES)) {
            let start = Hash::Sha512.of(&[&salt, &number.to_le_bytes()]);
            package.extend(encrypted(&key, Some(&start), segment));
        }
        let info = [&[4, 0, 4, 0, 0x40, 0, 0, 0][..], xml.as_bytes()].concat();
        writer::pack(&[("EncryptionInfo", &info), ("EncryptedPackage", &package)], [0; 16])
    }

    /// The same in the older scheme.
    fn standard(password: &str, content: &[u8]) -> Vec<u8> {
        let (salt, input) = ([3; 16], [7; 16]);
        let hash = spun(Hash::Sha1, &salt, password.as_bytes(), 50_000, &mut 50_000).unwrap();
        let hash = Hash::Sha1.of(&[&hash, &[0; 4]]);
        let mut block = [0x36; 64];
        block.iter_mut().zip(&hash).for_each(|(octet, other)| *octet ^= other);
        let key = fitted(Hash::Sha1.of(&[&block]), 16);
        let mut info = [4, 0, 2, 0, 0x24, 0, 0, 0, 32, 0, 0, 0].to_vec();
        info.extend(
            [&[0; 16][..], &128_u32.to_le_bytes(), &[0; 12], &[16, 0, 0, 0], &salt].concat(),
        );
        info.extend(encrypted(&key, None, &input));
        info.extend(20_u32.to_le_bytes());
        info.extend(encrypted(&key, None, &Hash::Sha1.of(&[&input])));
        let size = u64::try_from(content.len()).unwrap().to_le_bytes();
        let package = [&size[..], &encrypted(&key, None, content)].concat();
        writer::pack(&[("EncryptionInfo", &info), ("EncryptedPackage", &package)], [0; 16])
    }

    fn opened(data: &[u8], passwords: &[&str]) -> Opened {
        let data = Bytes::copy_from_slice(data);
        let passwords: Vec<Password> = passwords
            .iter()
            .map(|text| Password { octets: text.as_bytes().into(), source: PasswordSource::Body })
            .collect();
        let mut budget = Budget::new(&Limits::default());
        let ask =
            Ask { data: &data, name: Some("a.xlsx"), passwords: &passwords, budget: &mut budget };
        open_container(Container::Ole, ask)
    }

    #[test]
    fn a_document_opens_with_its_password() {
        let content = b"PK\x03\x04 and so on".repeat(500);
        for pack in [agile, standard] {
            let data = pack("sécret", &content);
            let closed = opened(&data, &[]);
            assert_eq!((closed.members.len(), &closed.flags[..]), (0, &[PartFlag::Encrypted][..]));
            let wrong = opened(&data, &["other"]);
            assert_eq!((wrong.members.len(), &wrong.flags[..]), (0, &[PartFlag::Encrypted][..]));
            let right = opened(&data, &["other", "sécret"]);
            assert_eq!(right.flags, []);
            assert_eq!(right.members[0].names, ["a.xlsx"]);
            assert_eq!(right.members[0].data, content);
            assert_eq!(right.members[0].flags, [PartFlag::Decrypted(PasswordSource::Body)]);
        }
    }

    #[test]
    fn the_password_that_office_tries_itself_is_tried() {
        let open = opened(&agile(OWN_PASSWORD, b"PK\x03\x04"), &[]);
        assert_eq!((open.members.len(), open.flags, open.odd), (1, vec![], vec![]));
        assert_eq!(open.members[0].flags, []);
    }

    #[test]
    fn a_document_that_asks_for_hours_stays_closed() {
        let at = |data: &[u8]| memchr::memmem::find(data, b"spinCount=\"10\"").unwrap();
        let mut data = agile(OWN_PASSWORD, b"PK\x03\x04");
        let place = at(&data);
        data[place..place + 14].copy_from_slice(b"spinCount='9e9");
        assert_eq!(opened(&data, &[]).flags, [PartFlag::Encrypted]);
        assert!(spun(Hash::Sha1, b"", b"", 11, &mut 10).is_none());
    }
}
