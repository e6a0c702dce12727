//! Members that need a password: PKWARE's own cipher (APPNOTE.TXT 6.1) and WinZip AES (its notes on AE-1 and AE-2).

use aes::cipher::{KeyIvInit as _, StreamCipher};
use aes::{Aes128, Aes192, Aes256};
use ctr::Ctr128LE;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use super::header::Aes;
use crate::mime::budget::Budget;

/// Octets before the data that only salt the cipher; the last one is known.
const HEADER_BYTES: usize = 12;

/// Rounds of PBKDF2 in WinZip AES.
const ROUNDS: u32 = 1000;

/// Octets of SHA-1.
const DIGEST_BYTES: usize = 20;

/// Octets of the mark at the end, by which the whole is known to be right.
const MARK_BYTES: usize = 10;

/// What a password made of a member.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plain {
    /// Still packed.
    pub(super) data: Vec<u8>,
    /// True if nothing more needs to be asked: the mark of AES fits.
    pub(super) sure: bool,
}

/// The keys of PKWARE's cipher.
struct Keys {
    table: &'static [u32; 256],
    keys: [u32; 3],
}

/// The table of the checksum, which the cipher uses octet by octet.
static CRC: [u32; 256] = crc_table();

#[expect(clippy::indexing_slicing, reason = "the index runs below the length")]
const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    let mut start: u32 = 0;
    while at < table.len() {
        let mut value = start;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[at] = value;
        at += 1;
        start += 1;
    }
    table
}

impl Keys {
    fn of(password: &[u8]) -> Self {
        let mut keys = Self { table: &CRC, keys: [0x1234_5678, 0x2345_6789, 0x3456_7890] };
        for octet in password {
            keys.update(*octet);
        }
        keys
    }

    fn crc(&self, value: u32, octet: u8) -> u32 {
        let [low, ..] = value.to_le_bytes();
        let entry = self.table.get(usize::from(low ^ octet)).copied().unwrap_or_default();
        entry ^ value >> 8
    }

    fn update(&mut self, octet: u8) {
        let [one, two, three] = self.keys;
        let one = self.crc(one, octet);
        let two = two.wrapping_add(one & 0xff).wrapping_mul(0x0808_8405).wrapping_add(1);
        let [.., high] = two.to_le_bytes();
        self.keys = [one, two, self.crc(three, high)];
    }

    fn decrypt(&mut self, octet: u8) -> u8 {
        let [.., three] = self.keys;
        let mask = (three | 2) & 0xffff;
        let [_, key, ..] = mask.wrapping_mul(mask ^ 1).to_le_bytes();
        let plain = octet ^ key;
        self.update(plain);
        plain
    }
}

/// Tries a password on a member under PKWARE's cipher. `checks`: what the last octet of the header may be.
pub(super) fn try_zip_crypto(
    packed: &[u8],
    password: &[u8],
    checks: &[u8],
    budget: &mut Budget,
) -> Option<Plain> {
    let (header, content) = packed.split_at_checked(HEADER_BYTES)?;
    let mut keys = Keys::of(password);
    let mut check = 0;
    for octet in header {
        check = keys.decrypt(*octet);
    }
    if !budget.work(1) || !checks.contains(&check) || !budget.work(work_of(content)) {
        return None;
    }
    let data = content.iter().map(|octet| keys.decrypt(*octet)).collect();
    Some(Plain { data, sure: false })
}

/// Tries a password on a member under WinZip AES: salt, two octets by which most wrong passwords are known, data, mark.
pub(super) fn try_aes(
    packed: &[u8],
    password: &[u8],
    aes: Aes,
    budget: &mut Budget,
) -> Option<Plain> {
    let key_bytes: usize = match aes.strength {
        1 => 16,
        2 => 24,
        3 => 32,
        _ => return None,
    };
    let (salt, rest) = packed.split_at_checked(key_bytes / 2)?;
    let (check, rest) = rest.split_first_chunk::<2>()?;
    let (content, mark) = rest.split_at_checked(rest.len().checked_sub(MARK_BYTES)?)?;
    let work = u64::from(ROUNDS) * 2;
    // The two octets stand behind both keys. Only the block of the key that holds them is made at first.
    let check_at = key_bytes * 2;
    let block = derive(password, salt, check_at / DIGEST_BYTES, budget.work(work))?;
    if block.get(check_at % DIGEST_BYTES..)?.get(..2)? != check {
        return None;
    }
    let blocks = key_bytes * 2 / DIGEST_BYTES + 1;
    if !budget.work(work.saturating_mul(blocks as u64).saturating_add(work_of(content) * 2)) {
        return None;
    }
    let mut derived = Vec::with_capacity(blocks * DIGEST_BYTES);
    for number in 0..blocks {
        derived.extend(derive(password, salt, number, true)?);
    }
    let (key, rest) = derived.split_at_checked(key_bytes)?;
    let mut mac = Hmac::<Sha1>::new_from_slice(rest.get(..key_bytes)?).ok()?;
    mac.update(content);
    let sure = mac.verify_truncated_left(mark).is_ok();
    let mut data = content.to_vec();
    let mut counter = [0; 16];
    if let Some(first) = counter.first_mut() {
        *first = 1;
    }
    match aes.strength {
        1 => Ctr128LE::<Aes128>::new_from_slices(key, &counter).ok()?.apply_keystream(&mut data),
        2 => Ctr128LE::<Aes192>::new_from_slices(key, &counter).ok()?.apply_keystream(&mut data),
        _ => Ctr128LE::<Aes256>::new_from_slices(key, &counter).ok()?.apply_keystream(&mut data),
    }
    Some(Plain { data, sure })
}

/// One block of PBKDF2 with HMAC-SHA-1 (RFC 8018 section 5.2), if there is work left for it.
fn derive(
    password: &[u8],
    salt: &[u8],
    number: usize,
    allowed: bool,
) -> Option<[u8; DIGEST_BYTES]> {
    if !allowed {
        return None;
    }
    let keyed = Hmac::<Sha1>::new_from_slice(password).ok()?;
    let mut mac = keyed.clone();
    mac.update(salt);
    mac.update(&u32::try_from(number + 1).ok()?.to_be_bytes());
    let mut last: [u8; DIGEST_BYTES] = mac.finalize().into_bytes().into();
    let mut block = last;
    for _ in 1..ROUNDS {
        let mut mac = keyed.clone();
        mac.update(&last);
        last = mac.finalize().into_bytes().into();
        for (octet, other) in block.iter_mut().zip(last) {
            *octet ^= other;
        }
    }
    Some(block)
}

/// The work of going through so many octets, in blocks of a digest.
fn work_of(octets: &[u8]) -> u64 {
    octets.len() as u64 / 64 + 1
}
