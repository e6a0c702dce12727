//! What this site knows of a mail's sender by its own experience.

use std::fmt;

/// Answers of the site's own memory about one mail; all are missing if it knows nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// So many days ago the recipients last wrote to the sender: the longest time, if there are several.
    pub correspondent_days: Option<u32>,
    /// The Message-ID of ours which it answers, as it stands there.
    pub reply_to: Option<String>,
    /// What it reports about, if it is a report about mail.
    pub bounce: Option<Bounce>,
    /// Of those that stand for the mail, each that has one.
    pub reputations: Vec<Reputation>,
}

/// What somebody sent lately.
#[derive(Debug, Clone, PartialEq)]
pub struct Reputation {
    /// Who it is.
    pub whose: Whose,
    /// -1 (only ham) to 1 (only spam).
    pub value: f64,
}

/// Who stands for a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// The client's network, as `192.0.2.0/24`.
    Network(String),
    /// A domain that signed it (DKIM `d=`).
    Signer(String),
    /// The author's address, if it is proved.
    Sender(String),
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => write!(f, "the client's network {network}"),
            Self::Signer(domain) => write!(f, "the signing domain {domain}"),
            Self::Sender(address) => write!(f, "the sender {address}"),
        }
    }
}

/// What a report about mail that could not be delivered is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounce {
    /// A mail that was sent by us.
    Ours,
    /// A mail that has a Message-ID of our domains, and was not sent by us.
    Others,
}

impl Standing {
    /// Nothing is known.
    pub const NOTHING: Self =
        Self { correspondent_days: None, reply_to: None, bounce: None, reputations: Vec::new() };
}
