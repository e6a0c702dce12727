//! What one header says: the local one before a member, and the directory's entry for it (APPNOTE.TXT 4.3.7, 4.3.12).

use std::borrow::Cow;

use super::{u16_at, u32_at};

pub(super) const LOCAL: &[u8] = b"PK\x03\x04";
pub(super) const CENTRAL: &[u8] = b"PK\x01\x02";

/// The bit of the flags that says: needs a password.
const ENCRYPTED_BIT: u16 = 1;
/// Sizes and checksum stand behind the data.
const DESCRIPTOR_BIT: u16 = 8;
/// Encrypted by what only PKWARE's own programs can open.
const STRONG_BIT: u16 = 1 << 6;
/// The name is UTF-8.
const UTF8_BIT: u16 = 1 << 11;

const ZIP64: u16 = 1;
const UNICODE_PATH: u16 = 0x7075;
const AES: u16 = 0x9901;

/// The method number under which WinZip hides the real one.
pub(super) const AES_METHOD: u16 = 99;

/// What a header says of its member.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    pub(super) name: Vec<u8>,
    /// The name that Info-ZIP keeps beside.
    unicode: Option<Vec<u8>>,
    pub(super) method: u16,
    flags: u16,
    time: u16,
    pub(super) crc: u32,
    pub(super) packed: u64,
    pub(super) size: u64,
    pub(super) aes: Option<Aes>,
    /// A symbolic link: the content is its target.
    pub(super) link: bool,
    /// Version needed, only to tell a header from chance.
    version: u16,
}

/// How WinZip AES was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Aes {
    /// 1, 2, 3: 128, 192, 256 bits.
    pub(super) strength: u8,
    /// The method under it.
    pub(super) method: u16,
}

/// A local header, and where its data begins.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) said: Said,
    pub(super) start: usize,
}

/// An entry of the directory, the local header it points to, and where the next entry begins.
pub(super) struct Central {
    pub(super) said: Said,
    pub(super) offset: u64,
    pub(super) next: usize,
}

/// How a member is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) encrypted: bool,
    /// Encrypted in a way that is not known here.
    pub(super) strong: bool,
    pub(super) method: u16,
    pub(super) aes: Option<Aes>,
}

impl Said {
    pub(super) fn manner(&self) -> Manner {
        let aes = self.aes.filter(|_| self.method == AES_METHOD);
        Manner {
            encrypted: self.flags & ENCRYPTED_BIT != 0,
            strong: self.flags & STRONG_BIT != 0 || (self.method == AES_METHOD && aes.is_none()),
            method: aes.map_or(self.method, |aes| aes.method),
            aes,
        }
    }

    /// True if the sizes stand behind the data.
    pub(super) fn has_descriptor(&self) -> bool {
        self.flags & DESCRIPTOR_BIT != 0
    }

    /// Octets that the first of the decrypted header may end with: of the checksum, or of the time.
    pub(super) fn check_octets(&self) -> [u8; 2] {
        let [.., crc] = self.crc.to_le_bytes();
        let [.., time] = self.time.to_le_bytes();
        [crc, time]
    }

    /// Every text the name may stand for, the likeliest first.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let declared = self.flags & UTF8_BIT != 0;
        for octets in std::iter::once(&self.name).chain(&self.unicode) {
            names.push(super::name_text(octets));
            let is_sure = declared && std::str::from_utf8(octets).is_ok();
            if !octets.is_ascii() && !is_sure {
                names.push(dos_text(octets));
            }
        }
        names
    }

    /// False if it hardly is a header, but octets that look like the begin of one.
    pub(super) fn is_likely(&self) -> bool {
        let named = !self.name.is_empty() && !self.name.iter().any(u8::is_ascii_control);
        let [low, high] = self.version.to_le_bytes();
        named && low <= 100 && high <= 30
    }

    fn read_extras(&mut self, extras: &[u8]) {
        self.unicode = extra_field(extras, UNICODE_PATH)
            .and_then(|field| Some(field.get(5..)?.to_vec()))
            .filter(|name| !name.is_empty());
        self.aes = extra_field(extras, AES)
            .and_then(|field| Some(Aes { strength: *field.get(4)?, method: u16_at(field, 5)? }));
    }
}

/// Reads the local header at `at`, if there is one.
pub(super) fn read_local(data: &[u8], at: usize) -> Option<Local> {
    let header = data.get(at..)?;
    if !header.starts_with(LOCAL) {
        return None;
    }
    let name_length = usize::from(u16_at(header, 26)?);
    let extra_length = usize::from(u16_at(header, 28)?);
    let name = header.get(30..)?.get(..name_length)?.to_vec();
    let extras = header.get(30 + name_length..).unwrap_or_default();
    let extras = extras.get(..extra_length).unwrap_or(extras);
    let mut said = Said {
        name,
        version: u16_at(header, 4)?,
        flags: u16_at(header, 6)?,
        method: u16_at(header, 8)?,
        time: u16_at(header, 10)?,
        crc: u32_at(header, 14)?,
        packed: u64::from(u32_at(header, 18)?),
        size: u64::from(u32_at(header, 22)?),
        ..Said::default()
    };
    said.read_extras(extras);
    let mut wide = Wide::of(extras);
    wide.widen(&mut said.size);
    wide.widen(&mut said.packed);
    let start = at.saturating_add(30 + name_length + extra_length).min(data.len());
    Some(Local { said, start })
}

/// Reads the entry of the directory at `at`, if there is one.
pub(super) fn read_central(data: &[u8], at: usize) -> Option<Central> {
    let header = data.get(at..)?;
    if !header.starts_with(CENTRAL) {
        return None;
    }
    let length = |at| u16_at(header, at).map(usize::from);
    let (name_length, extra_length, comment) = (length(28)?, length(30)?, length(32)?);
    let name = header.get(46..)?.get(..name_length)?.to_vec();
    let extras = header.get(46 + name_length..).unwrap_or_default();
    let extras = extras.get(..extra_length).unwrap_or(extras);
    let [_, host] = u16_at(header, 4)?.to_le_bytes();
    let mut said = Said {
        name,
        version: u16_at(header, 6)?,
        flags: u16_at(header, 8)?,
        method: u16_at(header, 10)?,
        time: u16_at(header, 12)?,
        crc: u32_at(header, 16)?,
        packed: u64::from(u32_at(header, 20)?),
        size: u64::from(u32_at(header, 24)?),
        // Unix and macOS keep the mode in the upper half; 0o120000 is a link.
        link: matches!(host, 3 | 19) && u32_at(header, 38)? >> 28 == 0o12,
        ..Said::default()
    };
    said.read_extras(extras);
    let mut offset = u64::from(u32_at(header, 42)?);
    let mut wide = Wide::of(extras);
    wide.widen(&mut said.size);
    wide.widen(&mut said.packed);
    wide.widen(&mut offset);
    let next = at.saturating_add(46 + name_length + extra_length + comment);
    Some(Central { said, offset, next })
}

/// The wide numbers of zip64: one for each field of the header that is all ones, in the order of the fields.
struct Wide<'a>(&'a [u8]);

impl<'a> Wide<'a> {
    fn of(extras: &'a [u8]) -> Self {
        Self(extra_field(extras, ZIP64).unwrap_or_default())
    }

    fn widen(&mut self, value: &mut u64) {
        if *value == u64::from(u32::MAX)
            && let Some((wide, rest)) = self.0.split_first_chunk()
        {
            *value = u64::from_le_bytes(*wide);
            self.0 = rest;
        }
    }
}

/// The content of the extra field with that id.
fn extra_field(mut extras: &[u8], want: u16) -> Option<&[u8]> {
    while let (Some(id), Some(length)) = (u16_at(extras, 0), u16_at(extras, 2)) {
        let length = usize::from(length);
        let content = extras.get(4..)?;
        if id == want {
            return Some(content.get(..length).unwrap_or(content));
        }
        extras = content.get(length..)?;
    }
    None
}

/// The upper half of the code page of the first PCs (437), in which zips without a flag are written.
const DOS: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»\
    ░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
    αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

fn dos_text(octets: &[u8]) -> String {
    let upper: Vec<char> = DOS.chars().collect();
    let sign = |octet: &u8| match octet.checked_sub(0x80) {
        None => char::from(*octet),
        Some(place) => upper.get(usize::from(place)).copied().unwrap_or('\u{fffd}'),
    };
    octets.iter().map(sign).collect()
}

/// True if the names say the same: but for slashes, and for letters outside of ASCII, which the two headers may have in
/// two code pages.
pub(super) fn same_name(one: &[u8], other: &[u8]) -> bool {
    fn plain(name: &[u8]) -> Cow<'_, [u8]> {
        if name.iter().all(|octet| octet.is_ascii() && *octet != b'\\') {
            return Cow::Borrowed(name);
        }
        let mut out = Vec::with_capacity(name.len());
        for octet in name {
            match octet {
                b'\\' => out.push(b'/'),
                octet if octet.is_ascii() => out.push(*octet),
                _ if out.last() == Some(&0xff) => {}
                _ => out.push(0xff),
            }
        }
        Cow::Owned(out)
    }
    plain(one) == plain(other)
}

/// True if the name leads out of the folder it is unpacked to.
pub(super) fn is_unsafe_path(name: &str) -> bool {
    let name = name.replace('\\', "/");
    let drive = matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    drive || name.starts_with('/') || name.split('/').any(|step| step.trim_end() == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_page_has_a_sign_for_each_octet() {
        assert_eq!(DOS.chars().count(), 128);
        assert_eq!(dos_text(b"R\x82sum\x82 \xe1\xff"), "Résumé ß\u{a0}");
    }

    #[test]
    fn names_are_the_same_but_for_slashes_and_code_pages() {
        for (one, other, want) in [
            (&b"a/b.txt"[..], &b"a\\b.txt"[..], true),
            (b"a.txt", b"a.exe", false),
            (b"\xe4.txt", "ä.txt".as_bytes(), true),
            (b"\xe4.txt", "ä.exe".as_bytes(), false),
            (b"a.txt", b"a.txt\0", false),
        ] {
            assert_eq!(same_name(one, other), want, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_path_is_unsafe_if_it_leads_elsewhere() {
        for (name, want) in [
            ("a/b.txt", false),
            ("a\\b.txt", false),
            ("../a", true),
            ("a/..\\b", true),
            ("/etc/passwd", true),
            ("\\\\host\\share\\a", true),
            ("C:\\a", true),
            ("a..b/c...", false),
            ("..", true),
        ] {
            assert_eq!(is_unsafe_path(name), want, "{name}");
        }
    }
}
