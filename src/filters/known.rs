//! What was found out elsewhere before the filters look at a mail.

use std::sync::Arc;

use super::auth::Auth;
use super::dns::Answers;
use super::spam::bayes::Tokens;
use super::standing::Standing;

/// Answers from outside the mail. Each is missing as long as nobody asked.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Known {
    /// Who vouches for the mail.
    pub auth: Option<Arc<Auth>>,
    /// What DNS lists said.
    pub dns: Option<Arc<Answers>>,
    /// Who keeps what was learned; the rules ask it themselves, because only they have the words.
    pub learned: Option<Learned>,
    /// What this site knows of the sender.
    pub standing: Standing,
}

/// Who is asked about the words of a mail.
#[derive(Debug, Clone)]
pub struct Learned {
    /// The store.
    pub tokens: Arc<dyn Tokens>,
    /// The only recipient, if users have learned mail of their own; without enough of it, the site's counts.
    pub user: Option<String>,
}

impl Known {
    /// Nobody was asked.
    pub const NOTHING: &Self =
        &Self { auth: None, dns: None, learned: None, standing: Standing::NOTHING };
}
