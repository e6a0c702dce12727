//! The nouns of the quarantine: what is put in, what is listed.

use std::net::IpAddr;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::MailId;
use crate::filters::Score;
use crate::mail::Path;
use crate::verdict::Verdict;

/// The class of a mail: the beginning of its file's name, as amavis has it, and how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// `virus-…`
    Virus,
    /// `banned-…`
    Banned,
    /// `spam-…`
    Spam,
    /// `badh-…`
    BadHeader,
    /// `unchecked-…`: nobody could look into all of it.
    Unchecked,
    /// `clean-…`: kept for another reason.
    Other,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 6] =
        [Self::Virus, Self::Banned, Self::Spam, Self::BadHeader, Self::Unchecked, Self::Other];

    /// The class in which a mail of that verdict is kept.
    #[must_use]
    pub fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Virus => Self::Virus,
            Verdict::Banned => Self::Banned,
            Verdict::Ambiguous | Verdict::Incomplete | Verdict::Encrypted | Verdict::OverLimits => {
                Self::Unchecked
            }
            Verdict::Malformed => Self::BadHeader,
            Verdict::Denied | Verdict::Spam | Verdict::Spammy => Self::Spam,
            Verdict::Clean => Self::Other,
        }
    }

    /// The beginning of the file's name.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Virus => "virus",
            Self::Banned => "banned",
            Self::Spam => "spam",
            Self::BadHeader => "badh",
            Self::Unchecked => "unchecked",
            Self::Other => "clean",
        }
    }

    /// The local part that amavis puts into `Delivered-To`.
    pub(super) fn mailbox(self) -> &'static str {
        match self {
            Self::Virus => "virus-quarantine",
            Self::Banned => "banned-quarantine",
            Self::Spam => "spam-quarantine",
            Self::BadHeader => "bad-header-quarantine",
            Self::Unchecked => "unchecked-quarantine",
            Self::Other => "clean-quarantine",
        }
    }

    /// The key of `quarantine.keep` that says how long it is kept.
    #[must_use]
    pub fn keep_key(self) -> &'static str {
        match self {
            Self::Virus => "virus",
            Self::Banned => "banned",
            Self::Spam => "spam",
            Self::BadHeader | Self::Unchecked | Self::Other => "other",
        }
    }

    /// The verdict of a file of which only the name is known.
    pub(super) fn likely_verdict(self) -> &'static str {
        match self {
            Self::Virus => "virus",
            Self::Banned => "banned",
            Self::Spam => "spam",
            Self::BadHeader => "malformed",
            Self::Unchecked => "incomplete",
            Self::Other => "clean",
        }
    }

    /// The class of files that begin so; amavis' `archive-` among them.
    #[must_use]
    pub fn from_prefix(prefix: &str) -> Option<Self> {
        if prefix == "archive" {
            return Some(Self::Other);
        }
        Self::ALL.into_iter().find(|class| class.prefix() == prefix)
    }
}

impl Serialize for Class {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.prefix())
    }
}

/// A mail to be stored.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// Chosen by the caller, who has put it into logs and replies already.
    pub id: MailId,
    /// See [`Class::of`].
    pub class: Class,
    /// The verdict's name.
    pub verdict: String,
    /// The reverse-path.
    pub sender: Path,
    /// Those whose copy is held, and to whom it can be released.
    pub recipients: Vec<Path>,
    /// All of the envelope, in its order.
    pub all_recipients: Vec<Path>,
    /// Those who got the mail.
    pub delivered_recipients: Vec<Path>,
    /// The original client.
    pub client_address: Option<IpAddr>,
    /// Its name by reverse DNS.
    pub client_name: Option<String>,
    /// What it said in HELO.
    pub helo: Option<String>,
    /// Postfix' queue id, by XFORWARD IDENT.
    pub ident: Option<String>,
    /// Decoded.
    pub subject: String,
    /// The From field, decoded.
    pub from_header: String,
    /// With angle brackets.
    pub message_id: String,
    /// `None`: no score was made.
    pub score: Option<Score>,
    /// Lines for the block on top: `X-Amavis-Alert: …`, `X-Spam-Status: …`; may be folded, without end of line.
    pub header_lines: Vec<String>,
    /// The message as it came.
    pub raw: Bytes,
    /// What `show` and `explain` print.
    pub facts: serde_json::Value,
}

/// A mail that is safe now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its id.
    pub id: String,
    /// Its file, below the quarantine's folder: `V/virus-VO57UrVC_Rxf`, as amavis' log line has it.
    pub file: String,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// When it was stored.
    #[serde(serialize_with = "as_text")]
    pub time: Timestamp,
    /// Its class: beginning of the file's name.
    pub class: Class,
    /// The verdict's name.
    pub verdict: String,
    /// Where it stands.
    pub state: ItemState,
    /// True if neither age nor size erases it.
    pub hold: bool,
    /// The envelope's sender; empty: null.
    pub sender: String,
    /// The From field, decoded. It is a stranger's text.
    pub from: String,
    /// Decoded. It is a stranger's text.
    pub subject: String,
    /// The address of the original client.
    pub client: Option<String>,
    /// Octets of the message.
    pub size: u64,
    /// Points.
    #[serde(serialize_with = "as_points")]
    pub score: Option<Score>,
    /// All recipients of the envelope.
    pub recipients: Vec<ItemRecipient>,
}

/// Where a mail stands as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemState {
    /// It is there.
    Stored,
    /// Hidden; erased at a later `gc`.
    Deleted,
    /// The index knows it, its file is gone.
    Missing,
}

/// One recipient of a listed mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemRecipient {
    /// The address.
    pub address: String,
    /// What became of the copy.
    pub state: CopyState,
    /// The next hop's reply to the release, or why it failed last.
    pub reply: Option<String>,
}

/// What became of one recipient's copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CopyState {
    /// It is held and can be released.
    Held,
    /// Somebody is releasing it at this moment.
    Releasing,
    /// The next hop took it.
    Released,
    /// It was sent, but the next hop's answer was lost: only `force` sends it again.
    Unknown,
    /// It went out when the mail came in.
    Delivered,
    /// It was neither held nor delivered: refused or discarded.
    Refused,
}

impl CopyState {
    pub(super) const ALL: [Self; 6] = [
        Self::Held,
        Self::Releasing,
        Self::Released,
        Self::Unknown,
        Self::Delivered,
        Self::Refused,
    ];

    /// The name in index and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Releasing => "releasing",
            Self::Released => "released",
            Self::Unknown => "unknown",
            Self::Delivered => "delivered",
            Self::Refused => "refused",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// All that the index knows of one mail.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ItemDetail {
    /// The line of the list.
    #[serde(flatten)]
    pub item: Item,
    /// The file below the quarantine's folder.
    pub file: String,
    /// With angle brackets.
    pub message_id: String,
    /// Postfix' queue id.
    pub queue_id: Option<String>,
    /// Name of the original client by reverse DNS.
    pub client_name: Option<String>,
    /// What it said in HELO.
    pub helo: Option<String>,
    /// What was behind MAIL FROM, with parameters.
    pub mail_from: String,
    /// What was found, as the caller handed it in.
    pub facts: serde_json::Value,
    /// Who did what, oldest first.
    pub audit: Vec<AuditRow>,
}

/// One act of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    /// When.
    #[serde(serialize_with = "as_text")]
    pub time: Timestamp,
    /// Who.
    pub by: String,
    /// `release`, `delete`, `undelete`, `hold`, `unhold`.
    pub act: String,
    /// For which recipient; empty: for the mail.
    pub recipient: String,
    /// What came of it.
    pub result: String,
}

/// A mail as it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMail {
    /// The lines that were put on top.
    pub block: Bytes,
    /// The original message, octet for octet.
    pub raw: Bytes,
}

pub(super) fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

#[expect(clippy::ref_option, reason = "serde hands the field by reference")]
pub(super) fn as_points<S: Serializer>(
    score: &Option<Score>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match score {
        Some(score) => serializer.serialize_f64(score.as_f64()),
        None => serializer.serialize_none(),
    }
}
