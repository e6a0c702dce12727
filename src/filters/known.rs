//! What was found out elsewhere before the filters look at a mail.

/// Answers from outside the mail. Each is missing as long as nobody asked.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Known {}

impl Known {
    /// Nobody was asked.
    pub const NOTHING: &Self = &Self {};
}
