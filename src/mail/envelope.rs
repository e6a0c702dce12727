//! Who, to whom, and from where: the SMTP envelope, as the client said it.

use std::net::IpAddr;

/// The envelope of one mail.
#[derive(Debug, Clone, Default)]
pub struct Envelope {
    /// The original client: as XFORWARD told it where we trust the teller, else the peer itself.
    pub client: Client,
    /// The client was told by XFORWARD; if not, the next hop is told nothing either.
    pub forwarded: bool,
    /// How the mail came to us.
    pub protocol: Protocol,
    /// What our own peer said in HELO, EHLO or LHLO.
    pub helo: String,
    /// The reverse-path.
    pub sender: Path,
    /// The forward-paths that were accepted, in order, duplicates kept.
    pub recipients: Vec<Recipient>,
}

/// A path of MAIL or RCPT with its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path {
    /// What stood behind `MAIL FROM:` or `RCPT TO:`, octet for octet, parameters included. It goes on as it came.
    pub argument: Vec<u8>,
    /// The address alone: no angle brackets, no source route, quotes kept; empty for the null sender.
    pub address: String,
}

/// One recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipient {
    /// The forward-path.
    pub path: Path,
}

impl Recipient {
    /// The address alone; see [`Path::address`].
    #[must_use]
    pub fn address(&self) -> &str {
        &self.path.address
    }
}

/// What is known of the client that first handed the mail to this site.
///
/// All strings are decoded from xtext and hold no control characters. `None` means not told, or `[UNAVAILABLE]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// NAME: host name by reverse DNS.
    pub name: Option<String>,
    /// ADDR.
    pub address: Option<IpAddr>,
    /// PORT.
    pub port: Option<u16>,
    /// PROTO: `SMTP`, `ESMTP`, …
    pub proto: Option<String>,
    /// HELO: what the original client said.
    pub helo: Option<String>,
    /// IDENT: the queue id on the other side.
    pub ident: Option<String>,
    /// SOURCE: `LOCAL` or `REMOTE`.
    pub source: Option<String>,
}

/// How the mail came to us; the word behind `with` in our Received field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// The peer said HELO.
    Smtp,
    /// The peer said EHLO.
    #[default]
    Esmtp,
    /// The peer said LHLO.
    Lmtp,
}

impl Protocol {
    /// The name as registered for the `with` clause (RFC 3848).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "SMTP",
            Self::Esmtp => "ESMTP",
            Self::Lmtp => "LMTP",
        }
    }
}
