//! What the functions of rules look at: a mail, and what was made of it so far.

use std::cell::OnceCell;

use crate::filters::Mail;

use super::Engine;
use super::bayes::{self, Inputs, Opinion, Owner, Words};

/// A mail as the rules see it. What costs time is made when it is first asked for, and once.
pub(super) struct View<'v> {
    pub(super) engine: &'v Engine,
    pub(super) mail: &'v Mail<'v>,
    opinion: OnceCell<Result<Option<Opinion>, String>>,
}

impl<'v> View<'v> {
    pub(super) fn new(engine: &'v Engine, mail: &'v Mail<'v>) -> Self {
        Self { engine, mail, opinion: OnceCell::new() }
    }

    // Learned mail.

    /// What was learned says of the mail; `None`: nothing. An error is why the store gave no answer.
    pub(super) fn opinion(&self) -> &Result<Option<Opinion>, String> {
        self.opinion.get_or_init(|| self.ask_learned())
    }

    /// Why the store gave no answer, if it was asked and gave none.
    pub(super) fn learned_is_silent(&self) -> Option<&str> {
        self.opinion.get()?.as_ref().err().map(String::as_str)
    }

    fn ask_learned(&self) -> Result<Option<Opinion>, String> {
        let Some(learned) = &self.mail.known.learned else { return Ok(None) };
        let enough = |owner: Owner<'_>| -> Result<bool, String> {
            Ok(self.engine.tables.learning.is_enough(learned.tokens.totals(owner)?))
        };
        let owner = match learned.user.as_deref() {
            Some(user) if enough(Owner::User(user))? => Owner::User(user),
            _ if enough(Owner::Site)? => Owner::Site,
            _ => return Ok(None),
        };
        bayes::ask(&*learned.tokens, owner, &self.words())
    }

    /// The words that are learned, and looked up.
    pub(super) fn words(&self) -> Words {
        bayes::words(&Inputs::of(self), &self.engine.tables.learning.ignored)
    }
}
