//! AES in CBC mode, as 7z and rar use it: read through, block by block.

use std::io::{self, ErrorKind, Read};

use aes::cipher::{BlockCipherDecrypt, KeyInit};
use aes::{Aes128Dec, Aes256Dec};

const BLOCK_BYTES: usize = 16;

/// A cipher with its key.
pub(super) enum Cipher {
    Aes128(Box<Aes128Dec>),
    Aes256(Box<Aes256Dec>),
}

impl Cipher {
    pub(super) fn aes128(key: [u8; 16]) -> Self {
        Self::Aes128(Box::new(Aes128Dec::new(&key.into())))
    }

    pub(super) fn aes256(key: [u8; 32]) -> Self {
        Self::Aes256(Box::new(Aes256Dec::new(&key.into())))
    }

    fn decrypt(&self, block: [u8; BLOCK_BYTES]) -> [u8; BLOCK_BYTES] {
        let mut block = block.into();
        match self {
            Self::Aes128(cipher) => cipher.decrypt_block(&mut block),
            Self::Aes256(cipher) => cipher.decrypt_block(&mut block),
        }
        block.into()
    }
}

/// Decrypts what it reads. A last block that is not whole is lost, as it is for everybody.
pub(super) struct Decrypting<R> {
    inner: R,
    cipher: Cipher,
    previous: [u8; BLOCK_BYTES],
    ready: [u8; BLOCK_BYTES],
    at: usize,
}

impl<R: Read> Decrypting<R> {
    pub(super) fn new(inner: R, cipher: Cipher, start: [u8; BLOCK_BYTES]) -> Self {
        Self { inner, cipher, previous: start, ready: [0; BLOCK_BYTES], at: BLOCK_BYTES }
    }

    /// Decrypts the next block. False at the end.
    fn next(&mut self) -> io::Result<bool> {
        let mut block = [0; BLOCK_BYTES];
        match self.inner.read_exact(&mut block) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
        self.ready = self.cipher.decrypt(block);
        for (octet, previous) in self.ready.iter_mut().zip(self.previous) {
            *octet ^= previous;
        }
        self.previous = block;
        self.at = 0;
        Ok(true)
    }
}

impl<R: Read> Read for Decrypting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.at >= BLOCK_BYTES && !self.next()? {
                break;
            }
            let ready = self.ready.get(self.at..).unwrap_or_default();
            let room = buffer.get_mut(filled..).unwrap_or_default();
            let count = ready.len().min(room.len());
            room.iter_mut().zip(ready).for_each(|(to, from)| *to = *from);
            self.at += count;
            filled += count;
        }
        Ok(filled)
    }
}
