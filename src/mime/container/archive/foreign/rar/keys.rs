//! Keys of rar: made of a password and a salt, slowly.

use std::io::Read as _;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::super::aes_cbc::{Cipher as Aes, Decrypting};
use crate::mail::PasswordSource;
use crate::mime::budget::Budget;
use crate::mime::container::Password;

/// Passwords tried on one archive.
const PASSWORDS_MAX: usize = 8;

/// Keys made for one archive, whatever salts it has; each costs twenty milliseconds and more.
const KEYS_MAX: usize = 32;

/// Rounds are two to this; rar writes 15.
const ROUNDS_MAX: u8 = 18;

/// How something is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cipher {
    /// As since RAR 5, or as since 2.9.
    pub(super) is_five: bool,
    pub(super) rounds: u8,
    pub(super) salt: Vec<u8>,
    pub(super) start: [u8; 16],
    /// By this a password is told from a wrong one.
    pub(super) check: Option<[u8; 8]>,
    /// The checksums are of no use without the key.
    pub(super) keyed_sums: bool,
}

impl Cipher {
    /// The way of RAR 2.9 to 4.
    pub(super) fn old(salt: Option<&[u8]>) -> Self {
        Self {
            is_five: false,
            rounds: 0,
            salt: salt.unwrap_or_default().to_vec(),
            start: [0; 16],
            check: None,
            keyed_sums: false,
        }
    }

    fn makes_same_keys(&self, other: &Self) -> bool {
        (self.is_five, self.rounds, &self.salt) == (other.is_five, other.rounds, &other.salt)
    }
}

#[derive(Debug, Clone)]
enum Key {
    /// Key, and the value that tells if the password is right.
    Five([u8; 32], [u8; 8]),
    /// Key, and where the chain of blocks begins.
    Old([u8; 16], [u8; 16]),
}

/// The passwords to try, and the keys that were made of them.
pub(super) struct Keys<'a> {
    passwords: &'a [Password],
    made: Vec<(Cipher, usize, Key)>,
    /// The password that fitted last.
    good: Option<usize>,
    failures: usize,
}

impl<'a> Keys<'a> {
    pub(super) fn new(passwords: &'a [Password]) -> Self {
        let passwords = passwords.get(..passwords.len().min(PASSWORDS_MAX)).unwrap_or_default();
        Self { passwords, made: Vec::new(), good: None, failures: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.passwords.is_empty()
    }

    /// Where the password that fitted last was found.
    pub(super) fn source(&self) -> Option<PasswordSource> {
        Some(self.passwords.get(self.good?)?.source)
    }

    /// The passwords in the order they should be tried.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.passwords.len()).collect();
        order.sort_by_key(|index| Some(*index) != self.good);
        order
    }

    fn key(&mut self, cipher: &Cipher, index: usize, budget: &mut Budget) -> Option<Key> {
        let known = self.made.iter().find(|(is, of, _)| *of == index && is.makes_same_keys(cipher));
        if let Some((_, _, key)) = known {
            return Some(key.clone());
        }
        if self.made.len() >= KEYS_MAX || cipher.rounds > ROUNDS_MAX {
            return None;
        }
        let password = &self.passwords.get(index)?.octets;
        // Two digests of a block each; or 2¹⁸ times password and salt.
        let octets = password.len().saturating_mul(2).saturating_add(11) as u64;
        let work = if cipher.is_five { 2_u64 << cipher.rounds } else { octets << 12 };
        if !budget.work(work) {
            return None;
        }
        let key = if cipher.is_five {
            key_of_five(password, &cipher.salt, cipher.rounds)
        } else {
            key_of_three(password, &cipher.salt)
        };
        self.made.push((cipher.clone(), index, key.clone()));
        Some(key)
    }

    /// Decrypts a header: `length` tells from its first octets how long it is, `fits` if it was the right password.
    pub(super) fn header(
        &mut self,
        cipher: &Cipher,
        packed: &[u8],
        length: impl Fn(&[u8]) -> Option<usize>,
        fits: impl Fn(&[u8]) -> bool,
        budget: &mut Budget,
    ) -> Option<Vec<u8>> {
        const FIRST_BYTES: usize = 32;
        self.find(cipher, budget, |aes, start, _| {
            let first = packed.get(..FIRST_BYTES.min(packed.len()))?;
            let length = length(&decrypt(first, aes(), start))?.next_multiple_of(16);
            let plain = decrypt(packed.get(..length)?, aes(), start);
            fits(&plain).then_some(plain)
        })
    }

    /// Tries the passwords on `open`, which is given the cipher and the start of its chain. Those that are known to be
    /// wrong are not tried.
    pub(super) fn find<T>(
        &mut self,
        cipher: &Cipher,
        budget: &mut Budget,
        mut open: impl FnMut(&dyn Fn() -> Aes, [u8; 16], &mut Budget) -> Option<T>,
    ) -> Option<T> {
        for index in self.order() {
            if self.failures > PASSWORDS_MAX || budget.is_late() {
                return None;
            }
            let Some(key) = self.key(cipher, index, budget) else { continue };
            let right = match (&key, &cipher.check) {
                (Key::Five(_, check), Some(want)) => check == want,
                _ => true,
            };
            let opened = if right {
                match key {
                    Key::Five(key, _) => open(&|| Aes::aes256(key), cipher.start, budget),
                    Key::Old(key, start) => open(&|| Aes::aes128(key), start, budget),
                }
            } else {
                None
            };
            if opened.is_some() {
                self.good = Some(index);
                return opened;
            }
            self.failures += 1;
        }
        None
    }
}

/// Decrypts whole blocks.
pub(super) fn decrypt(packed: &[u8], aes: Aes, start: [u8; 16]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(packed.len());
    // Reading memory does not fail.
    let _ = Decrypting::new(packed, aes, start).read_to_end(&mut plain);
    plain
}

/// PBKDF2 with HMAC-SHA-256 (RFC 8018), of which rar takes a first value as the key and a later one as the check.
fn key_of_five(password: &[u8], salt: &[u8], rounds: u8) -> Key {
    const BLOCK_BYTES: usize = 64;
    const CHECK_ROUNDS: u32 = 32;
    let mut padded = [0; BLOCK_BYTES];
    let hashed: [u8; 32] = Sha256::digest(password).into();
    let short = if password.len() > BLOCK_BYTES { &hashed[..] } else { password };
    padded.iter_mut().zip(short).for_each(|(to, from)| *to = *from);
    let (mut inner, mut outer) = (Sha256::new(), Sha256::new());
    inner.update(padded.map(|octet| octet ^ 0x36));
    outer.update(padded.map(|octet| octet ^ 0x5c));
    let sign = |octets: &[u8]| -> [u8; 32] {
        let (mut inner, mut outer) = (inner.clone(), outer.clone());
        inner.update(octets);
        outer.update(inner.finalize());
        outer.finalize().into()
    };
    let mut last = sign(&[salt, &[0, 0, 0, 1]].concat());
    let (mut sum, mut key) = (last, last);
    let count = 1_u32 << rounds;
    for round in 1..count + CHECK_ROUNDS {
        if round == count {
            key = sum;
        }
        last = sign(&last);
        sum.iter_mut().zip(last).for_each(|(to, from)| *to ^= from);
    }
    let mut check = [0; 8];
    for eight in sum.chunks_exact(8) {
        check.iter_mut().zip(eight).for_each(|(to, from)| *to ^= from);
    }
    Key::Five(key, check)
}

/// SHA-1 over the password, the salt and a counter, a quarter of a million times.
fn key_of_three(password: &[u8], salt: &[u8]) -> Key {
    const ROUNDS: u32 = 0x4_0000;
    const PART: u32 = ROUNDS / 16;
    let text = String::from_utf8_lossy(password);
    let mut salted: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    salted.extend_from_slice(salt);
    let mut digest = Sha1::new();
    let mut start = Vec::new();
    for round in 0..ROUNDS {
        digest.update(&salted);
        let [low, middle, high, _] = round.to_le_bytes();
        digest.update([low, middle, high]);
        if round % PART == 0 {
            start.extend(digest.clone().finalize().last());
        }
    }
    let digest: [u8; 20] = digest.finalize().into();
    let mut key = [0; 16];
    for (to, from) in key.chunks_exact_mut(4).zip(digest.chunks_exact(4)) {
        to.iter_mut().zip(from.iter().rev()).for_each(|(to, from)| *to = *from);
    }
    Key::Old(key, start.try_into().unwrap_or([0; 16]))
}
