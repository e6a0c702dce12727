//! Ids of mails, in the form that amavis gave them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use md5::{Digest as _, Md5};
use serde::{Serialize, Serializer};

use super::Trouble;

/// Characters of an id: 72 bits in base64url.
pub const ID_LENGTH: usize = 12;
const SECRET_OCTETS: usize = 9;

/// The id of one mail, and the secret behind it.
///
/// The id is the beginning of the MD5 digest of the secret, so that whoever knows the secret can prove it to anybody
/// who knows the id alone. MD5 is good enough for this: the digest is cut to 72 bits, and a collision is of no use.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MailId {
    id: String,
    secret: String,
}

impl MailId {
    /// A new id.
    ///
    /// # Errors
    /// [`Trouble::NoRandom`] if the system has no random octets.
    pub fn new() -> Result<Self, Trouble> {
        // One try in eight fails the form; a hundred failures in a row mean that the source is not random.
        for _ in 0..100 {
            let mut secret = [0_u8; SECRET_OCTETS];
            getrandom::fill(&mut secret).map_err(|e| Trouble::NoRandom(e.to_string()))?;
            if let Some(found) = Self::from_secret_octets(&secret) {
                return Ok(found);
            }
        }
        Err(Trouble::NoRandom("no id of the right form came up".to_owned()))
    }

    fn from_secret_octets(secret: &[u8]) -> Option<Self> {
        let id = id_of_secret(secret);
        let secret = URL_SAFE_NO_PAD.encode(secret);
        (is_well_formed(&id) && is_well_formed(&secret)).then_some(Self { id, secret })
    }

    /// The id of a file that is there already, whose secret nobody knows.
    pub(super) fn known(id: &str) -> Self {
        Self { id: id.to_owned(), secret: String::new() }
    }

    /// The id: in names of files, logs and headers.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// The secret, which gives the right to release the mail. It belongs into no log.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// True if `secret` is the one behind `id`. Says nothing of whether such a mail exists.
    #[must_use]
    pub fn proves(secret: &str, id: &str) -> bool {
        match URL_SAFE_NO_PAD.decode(secret) {
            Ok(octets) if octets.len() == SECRET_OCTETS => id_of_secret(&octets) == id,
            _ => false,
        }
    }
}

impl fmt::Debug for MailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailId({})", self.id)
    }
}

impl fmt::Display for MailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl Serialize for MailId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.id)
    }
}

fn id_of_secret(secret: &[u8]) -> String {
    let mut text = URL_SAFE_NO_PAD.encode(Md5::digest(secret));
    text.truncate(ID_LENGTH);
    text
}

/// An id must begin and end with a letter or digit, so that a double click takes it whole and no option begins with it.
fn is_well_formed(id: &str) -> bool {
    is_id(id)
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// True for what can be an id of ours or of any amavis: old ones had `+` in place of `_`.
pub(super) fn is_id(id: &str) -> bool {
    id.len() == ID_LENGTH && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_+".contains(&b))
}

/// The id in what a person typed: the id itself, in angle brackets, or the name of the file with or without folder.
pub(super) fn id_in(text: &str) -> &str {
    let text = text.trim().trim_start_matches('<').trim_end_matches('>');
    let name = text.rsplit('/').next().unwrap_or(text);
    match super::store::class_and_id(name) {
        Some((_, id)) => id,
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_72_bits_and_begins_and_ends_with_a_letter_or_digit() {
        for _ in 0..500 {
            let id = MailId::new().unwrap();
            for text in [id.as_str(), id.secret()] {
                assert_eq!(text.len(), 12);
                assert!(is_well_formed(text), "{text}");
            }
            assert!(MailId::proves(id.secret(), id.as_str()));
            assert!(!MailId::proves(id.as_str(), id.as_str()));
        }
    }

    #[test]
    fn the_id_is_the_beginning_of_the_digest_of_the_secret() {
        // md5("123456789") = 25f9e794323b453885f5181f1b624d0b
        assert_eq!(id_of_secret(b"123456789"), "JfnnlDI7RTiF");
        assert!(MailId::proves("MTIzNDU2Nzg5", "JfnnlDI7RTiF"));
        assert!(!MailId::proves("MTIzNDU2Nzg5AA", "JfnnlDI7RTiF"));
        assert!(!MailId::proves("", "JfnnlDI7RTiF"));
    }

    #[test]
    fn the_secret_is_in_no_debug_text() {
        let id = MailId::new().unwrap();
        assert!(!format!("{id:?}{id}").contains(id.secret()));
    }

    #[test]
    fn an_id_is_found_in_what_people_type() {
        for text in [
            "VO57UrVC_Rxf",
            " <VO57UrVC_Rxf>",
            "V/virus-VO57UrVC_Rxf",
            "/var/x/V/spam-VO57UrVC_Rxf.gz",
        ] {
            assert_eq!(id_in(text), "VO57UrVC_Rxf", "{text}");
        }
        assert_eq!(id_in("../../etc/passwd"), "passwd");
        assert_eq!(id_in(""), "");
    }
}
