//! What was found out elsewhere before the filters look at a mail.

use std::sync::Arc;

use super::auth::Auth;
use super::dns::Answers;

/// Answers from outside the mail. Each is missing as long as nobody asked.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Known {
    /// Who vouches for the mail.
    pub auth: Option<Arc<Auth>>,
    /// What DNS lists said.
    pub dns: Option<Arc<Answers>>,
}

impl Known {
    /// Nobody was asked.
    pub const NOTHING: &Self = &Self { auth: None, dns: None };
}
