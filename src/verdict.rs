//! The words of a decision: what a mail is, and what is done about it.

use std::fmt;

/// What a mail is, worst first, so that the smallest wins when several hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// A scanner found a virus.
    Virus,
    /// An attachment, a header or a body line is of a kind that a rule refuses.
    Banned,
    /// Two readers could see two different messages.
    Ambiguous,
    /// A required check gave no answer.
    Incomplete,
    /// Something in it needs a password, so nobody could look.
    Encrypted,
    /// It is larger, deeper or more than the limits allow to look at.
    OverLimits,
    /// Broken, but readable in one way only.
    Malformed,
    /// The sender is on the deny list.
    Denied,
    /// At or over the score at which the policy quarantines or rejects.
    Spam,
    /// At or over the score at which the policy tags.
    Spammy,
    /// Every required check answered, and none objected.
    Clean,
}

impl Verdict {
    /// Every verdict, worst first.
    pub const ALL: [Self; 11] = [
        Self::Virus,
        Self::Banned,
        Self::Ambiguous,
        Self::Incomplete,
        Self::Encrypted,
        Self::OverLimits,
        Self::Malformed,
        Self::Denied,
        Self::Spam,
        Self::Spammy,
        Self::Clean,
    ];

    /// The name in JSON, logs, metrics and configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Virus => "virus",
            Self::Banned => "banned",
            Self::Ambiguous => "ambiguous",
            Self::Incomplete => "incomplete",
            Self::Encrypted => "encrypted",
            Self::OverLimits => "over-limits",
            Self::Malformed => "malformed",
            Self::Denied => "denied",
            Self::Spam => "spam",
            Self::Spammy => "spammy",
            Self::Clean => "clean",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is done about a mail for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It goes on as it came, with our block of header lines on top.
    Pass,
    /// It goes on, marked.
    Tag,
    /// It is kept for the postmaster and does not go on.
    Quarantine,
    /// It is refused with 5xx.
    Reject,
    /// It is claimed to be delivered and dropped.
    Discard,
    /// It must wait: 4xx.
    Defer,
    /// It is refused by a notice of our own. No policy has it by default.
    Bounce,
}

impl Action {
    /// Every action, the mildest first.
    pub const ALL: [Self; 7] = [
        Self::Pass,
        Self::Tag,
        Self::Quarantine,
        Self::Reject,
        Self::Discard,
        Self::Defer,
        Self::Bounce,
    ];

    /// The name in JSON, logs, metrics and configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Tag => "tag",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
            Self::Discard => "discard",
            Self::Defer => "defer",
            Self::Bounce => "bounce",
        }
    }

    /// The action of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }

    /// True if the recipient gets the mail.
    #[must_use]
    pub fn delivers(self) -> bool {
        matches!(self, Self::Pass | Self::Tag)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
