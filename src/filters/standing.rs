//! What this site knows of a mail's sender by its own experience.

/// Answers of the site's own memory about one mail; all are missing if it knows nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// So many days ago the recipients last wrote to the sender: the longest time, if there are several.
    pub correspondent_days: Option<u32>,
    /// The Message-ID of ours which it answers, as it stands there.
    pub reply_to: Option<String>,
    /// What it reports about, if it is a report about mail.
    pub bounce: Option<Bounce>,
    /// Whose reputation, and what it is: -1 (only ham) to 1 (only spam).
    pub reputation: Option<(String, f64)>,
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
        Self { correspondent_days: None, reply_to: None, bounce: None, reputation: None };
}
