//! Encryption of PDF by the standard handler: revisions 2 to 4 (ISO 32000-1 section 7.6), 5 and 6 (ISO 32000-2). A file
//! that opens with the empty password asks its reader for none.

use std::collections::HashSet;

use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use aes::{Aes128, Aes256};
use md5::{Digest as _, Md5};
use sha2::{Sha256, Sha384, Sha512};

use super::object::Object;
use super::scan::{Indirect, Objects};
use crate::mail::PasswordSource;
use crate::mime::budget::Budget;
use crate::mime::container::Password;

/// No password fits.
#[derive(Debug)]
pub(super) struct Locked;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Identity,
    Rc4,
    Aes128,
    Aes256,
}

/// What decrypts a file.
#[derive(Debug)]
pub(super) struct Key {
    key: Vec<u8>,
    strings: Method,
    streams: Method,
}

/// Fills a password up to 32 octets.
const PAD: [u8; 32] = [
    0x28, 0xbf, 0x4e, 0x5e, 0x4e, 0x75, 0x8a, 0x41, 0x64, 0x00, 0x4e, 0x56, 0xff, 0xfa, 0x01, 0x08,
    0x2e, 0x2e, 0x00, 0xb6, 0xd0, 0x68, 0x3e, 0x80, 0x2f, 0x0c, 0xa9, 0xfe, 0x64, 0x53, 0x69, 0x7a,
];

/// Identifiers that are tried; a file has one.
const IDS_MAX: usize = 4;

const AES_BLOCK: usize = 16;

/// The key, and where its password was found if it is not the empty one; nothing if the file is not encrypted.
pub(super) fn unlock(
    objects: &Objects,
    passwords: &[Password],
    budget: &mut Budget,
) -> Result<Option<(Key, Option<PasswordSource>)>, Locked> {
    let mut handlers: Vec<&Object> = Vec::new();
    let mut ids: Vec<&[u8]> = Vec::new();
    for holder in &objects.all {
        match holder.object.get("Encrypt") {
            Some(dict @ Object::Dict(_)) => handlers.push(dict),
            Some(Object::Ref(number)) => {
                let revisions = objects.revisions(*number).map(|one: &Indirect| &one.object);
                handlers.extend(revisions.filter(|object| object.get("O").is_some()));
            }
            _ => continue,
        }
        if let Some(Object::List(list)) = holder.object.get("ID")
            && let Some(Object::Text(id)) = list.first()
            && !ids.contains(&id.as_slice())
        {
            ids.push(id);
        }
    }
    if handlers.is_empty() {
        return Ok(None);
    }
    ids.truncate(IDS_MAX);
    if ids.is_empty() {
        ids.push(&[]);
    }
    let mut seen = HashSet::new();
    let empty = (&[][..], None);
    let given = passwords.iter().map(|one| (one.octets.as_slice(), Some(one.source)));
    for (password, source) in std::iter::once(empty).chain(given) {
        if !seen.insert(password) {
            continue;
        }
        for handler in handlers.iter().take(IDS_MAX) {
            let Some(terms) = Terms::read(handler) else { continue };
            let mut tried = ids.iter().filter(|_| budget.work(terms.work()));
            if let Some(key) = tried.find_map(|id| terms.key(password, id)) {
                return Ok(Some((
                    Key { key, strings: terms.strings, streams: terms.streams },
                    source,
                )));
            }
        }
    }
    Err(Locked)
}

/// What the handler's dictionary says.
struct Terms<'a> {
    revision: i64,
    key_bytes: usize,
    permissions: [u8; 4],
    owner: &'a [u8],
    user: &'a [u8],
    owner_key: &'a [u8],
    user_key: &'a [u8],
    strings: Method,
    streams: Method,
}

impl<'a> Terms<'a> {
    /// What one try costs at most, for [`Budget::work`]: since revision 6 two times a hundred rounds over 5 kB and more.
    fn work(&self) -> u64 {
        if self.revision < 6 { 200 } else { 30_000 }
    }

    fn read(dict: &'a Object) -> Option<Self> {
        let text = |key: &str| match dict.get(key) {
            Some(Object::Text(octets)) => octets.as_slice(),
            _ => &[],
        };
        let number = |key: &str| dict.get(key).and_then(Object::number);
        let version = number("V").unwrap_or(0);
        let revision = number("R")?;
        let method = |which: &str| match version {
            1 | 2 => Method::Rc4,
            _ => crypt_filter(dict, which),
        };
        let bits = usize::try_from(number("Length").unwrap_or(40)).unwrap_or(40);
        // Some writers count octets instead of bits.
        let key_bytes = match (version, bits) {
            (1, _) => 5,
            (2, 5..=16) => bits,
            (2, _) => (bits / 8).clamp(5, 16),
            _ => 16,
        };
        // Written as a signed or as an unsigned number.
        let [a, b, c, d, ..] = number("P").unwrap_or(0).to_le_bytes();
        Some(Self {
            revision,
            key_bytes,
            permissions: [a, b, c, d],
            owner: text("O"),
            user: text("U"),
            owner_key: text("OE"),
            user_key: text("UE"),
            strings: method("StrF"),
            streams: method("StmF"),
        })
    }

    /// The key, if the password is that of the user or that of the owner.
    fn key(&self, password: &[u8], id: &[u8]) -> Option<Vec<u8>> {
        if self.revision >= 5 {
            return self.long_key(password);
        }
        // Whether descriptions are encrypted goes into the key; what the file says of it is not believed.
        let variants = if self.revision >= 4 { vec![true, false] } else { vec![true] };
        for with_metadata in variants {
            let user = [padded(password).to_vec(), self.user_of_owner(password)];
            for user in user {
                let key = self.short_key(&user, id, with_metadata);
                if self.fits(&key, id) {
                    return Some(key);
                }
            }
        }
        None
    }

    fn short_key(&self, padded: &[u8], id: &[u8], with_metadata: bool) -> Vec<u8> {
        let mut hash = Md5::new();
        hash.update(padded);
        hash.update(self.owner.get(..self.owner.len().min(32)).unwrap_or_default());
        hash.update(self.permissions);
        hash.update(id);
        if self.revision >= 4 && !with_metadata {
            hash.update([0xff; 4]);
        }
        self.stretched(hash.finalize().to_vec())
    }

    fn stretched(&self, mut key: Vec<u8>) -> Vec<u8> {
        key.truncate(self.key_bytes);
        if self.revision >= 3 {
            for _ in 0..50 {
                key = Md5::digest(&key).to_vec();
                key.truncate(self.key_bytes);
            }
        }
        key
    }

    fn fits(&self, key: &[u8], id: &[u8]) -> bool {
        if self.revision < 3 {
            return rc4(key, &PAD) == self.user.get(..32).unwrap_or_default();
        }
        let mut hash = Md5::new();
        hash.update(PAD);
        hash.update(id);
        let mut check = rc4(key, &hash.finalize());
        for round in 1..20_u8 {
            let mixed: Vec<u8> = key.iter().map(|octet| octet ^ round).collect();
            check = rc4(&mixed, &check);
        }
        self.user.get(..16) == Some(check.as_slice())
    }

    /// The user's password, padded, as the owner's opens it.
    fn user_of_owner(&self, password: &[u8]) -> Vec<u8> {
        let mut key = Md5::digest(padded(password)).to_vec();
        if self.revision >= 3 {
            for _ in 0..50 {
                key = Md5::digest(&key).to_vec();
            }
        }
        key.truncate(self.key_bytes);
        let mut user = self.owner.get(..self.owner.len().min(32)).unwrap_or_default().to_vec();
        let rounds = if self.revision >= 3 { 20 } else { 1 };
        for round in (0..rounds).rev() {
            let mixed: Vec<u8> = key.iter().map(|octet| octet ^ round).collect();
            user = rc4(&mixed, &user);
        }
        user
    }

    /// Revisions 5 and 6: hash, then 8 octets of salt to check with, then 8 for the key.
    fn long_key(&self, password: &[u8]) -> Option<Vec<u8>> {
        let password = password.get(..password.len().min(127))?;
        let user = self.user.get(..48)?;
        for (entry, packed, extra) in
            [(user, self.user_key, &[][..]), (self.owner.get(..48)?, self.owner_key, user)]
        {
            let (hash, salts) = entry.split_at_checked(32)?;
            let (check, salt) = salts.split_at_checked(8)?;
            if self.long_hash(password, check, extra) == hash {
                let key = self.long_hash(password, salt, extra);
                return Some(cbc_decrypt(&key, &[0; AES_BLOCK], packed.get(..32)?));
            }
        }
        None
    }

    fn long_hash(&self, password: &[u8], salt: &[u8], extra: &[u8]) -> Vec<u8> {
        let mut key = Sha256::digest([password, salt, extra].concat()).to_vec();
        if self.revision < 6 {
            return key;
        }
        const ROUNDS_MAX: u32 = 1_000;
        for round in 0..ROUNDS_MAX {
            let block = [password, &key, extra].concat().repeat(64);
            let (Some(first), Some(iv)) = (key.get(..16), key.get(16..32)) else { return key };
            let coded = cbc_encrypt(first, iv, &block);
            let sum: u32 = coded.iter().take(16).map(|octet| u32::from(*octet)).sum();
            key = match sum % 3 {
                0 => Sha256::digest(&coded).to_vec(),
                1 => Sha384::digest(&coded).to_vec(),
                _ => Sha512::digest(&coded).to_vec(),
            };
            let last = coded.last().copied().map_or(0, u32::from);
            if round >= 63 && last + 32 <= round + 1 {
                break;
            }
        }
        key.truncate(32);
        key
    }
}

fn crypt_filter(dict: &Object, which: &str) -> Method {
    let Some(Object::Name(name)) = dict.get(which) else { return Method::Identity };
    let Ok(name) = std::str::from_utf8(name) else { return Method::Identity };
    let filter = dict.get("CF").and_then(|filters| filters.get(name));
    match filter.and_then(|filter| filter.get("CFM")) {
        Some(Object::Name(name)) => match name.as_slice() {
            b"V2" => Method::Rc4,
            b"AESV2" => Method::Aes128,
            b"AESV3" => Method::Aes256,
            _ => Method::Identity,
        },
        _ => Method::Identity,
    }
}

fn padded(password: &[u8]) -> [u8; 32] {
    let mut out = PAD;
    for (place, octet) in out.iter_mut().zip(password.iter().chain(&PAD)) {
        *place = *octet;
    }
    out
}

impl Key {
    pub(super) fn string(&self, number: u32, generation: u32, octets: &[u8]) -> Vec<u8> {
        self.decrypt(self.strings, number, generation, octets)
    }

    pub(super) fn stream(
        &self,
        number: u32,
        generation: u32,
        dict: &Object,
        octets: &[u8],
    ) -> Vec<u8> {
        // A filter of its own that does nothing.
        let filter = match dict.get("Filter") {
            Some(Object::List(list)) => list.first(),
            one => one,
        };
        let parameters = match dict.get("DecodeParms") {
            Some(Object::List(list)) => list.first(),
            one => one,
        };
        let named = parameters.and_then(|parameters| parameters.get("Name"));
        let identity = named.is_none_or(|name| name.is_name("Identity"));
        if filter.is_some_and(|filter| filter.is_name("Crypt")) && identity {
            return octets.to_vec();
        }
        self.decrypt(self.streams, number, generation, octets)
    }

    fn decrypt(&self, method: Method, number: u32, generation: u32, octets: &[u8]) -> Vec<u8> {
        let object_key = |salt: &[u8]| {
            let [n0, n1, n2, _] = number.to_le_bytes();
            let [g0, g1, ..] = generation.to_le_bytes();
            let mut key =
                Md5::digest([&self.key, &[n0, n1, n2, g0, g1][..], salt].concat()).to_vec();
            key.truncate((self.key.len() + 5).min(16));
            key
        };
        match method {
            Method::Identity => octets.to_vec(),
            Method::Rc4 => rc4(&object_key(b""), octets),
            Method::Aes128 => aes(&object_key(b"sAlT"), octets),
            Method::Aes256 => aes(&self.key, octets),
        }
    }
}

/// The first block is where to begin from; the last says how many octets fill it up.
fn aes(key: &[u8], octets: &[u8]) -> Vec<u8> {
    let Some((iv, coded)) = octets.split_at_checked(AES_BLOCK) else { return Vec::new() };
    let mut out = cbc_decrypt(key, iv, coded);
    let fill = out.last().copied().map_or(0, usize::from);
    if (1..=AES_BLOCK).contains(&fill) {
        out.truncate(out.len().saturating_sub(fill));
    }
    out
}

fn cbc_decrypt(key: &[u8], iv: &[u8], coded: &[u8]) -> Vec<u8> {
    enum Cipher {
        Short(Aes128),
        Long(Aes256),
    }
    let cipher = match key.len() {
        32 => Aes256::new_from_slice(key).map(Cipher::Long),
        _ => Aes128::new_from_slice(key).map(Cipher::Short),
    };
    let Ok(cipher) = cipher else { return Vec::new() };
    let mut out = Vec::with_capacity(coded.len());
    let mut before = iv;
    for block in coded.chunks_exact(AES_BLOCK) {
        let Ok(octets) = <[u8; AES_BLOCK]>::try_from(block) else { break };
        let mut plain = octets.into();
        match &cipher {
            Cipher::Short(cipher) => cipher.decrypt_block(&mut plain),
            Cipher::Long(cipher) => cipher.decrypt_block(&mut plain),
        }
        out.extend(plain.iter().zip(before).map(|(octet, mask)| octet ^ mask));
        before = block;
    }
    out
}

fn cbc_encrypt(key: &[u8], iv: &[u8], plain: &[u8]) -> Vec<u8> {
    let Ok(cipher) = Aes128::new_from_slice(key) else { return Vec::new() };
    let mut out: Vec<u8> = Vec::with_capacity(plain.len());
    let mut before: [u8; AES_BLOCK] = iv.try_into().unwrap_or_default();
    for block in plain.chunks_exact(AES_BLOCK) {
        let mut mixed = [0; AES_BLOCK];
        for ((place, octet), mask) in mixed.iter_mut().zip(block).zip(before) {
            *place = octet ^ mask;
        }
        let mut coded = mixed.into();
        cipher.encrypt_block(&mut coded);
        out.extend_from_slice(&coded);
        before = coded.into();
    }
    out
}

/// RC4 of the data.
fn rc4(key: &[u8], data: &[u8]) -> Vec<u8> {
    if key.is_empty() {
        return data.to_vec();
    }
    let mut state: [u8; 256] = std::array::from_fn(|index| u8::try_from(index).unwrap_or(0));
    let get = |state: &[u8; 256], at: u8| state.get(usize::from(at)).copied().unwrap_or(0);
    let mut other = 0_u8;
    for (at, octet) in (0..=255_u8).zip(key.iter().cycle()) {
        other = other.wrapping_add(get(&state, at)).wrapping_add(*octet);
        state.swap(usize::from(at), usize::from(other));
    }
    let (mut at, mut other) = (0_u8, 0_u8);
    data.iter()
        .map(|octet| {
            at = at.wrapping_add(1);
            other = other.wrapping_add(get(&state, at));
            state.swap(usize::from(at), usize::from(other));
            octet ^ get(&state, get(&state, at).wrapping_add(get(&state, other)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rc4_gives_what_its_authors_published() {
        assert_eq!(rc4(b"Key", b"Plaintext"), b"\xbb\xf3\x16\xe8\xd9\x40\xaf\x0a\xd3");
    }

    #[test]
    fn aes_undoes_what_it_did() {
        let plain = [7; 32];
        let coded = cbc_encrypt(&[1; 16], &[2; 16], &plain);
        assert_eq!(cbc_decrypt(&[1; 16], &[2; 16], &coded), plain);
    }
}
