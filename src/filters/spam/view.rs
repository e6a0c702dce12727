//! What the functions of rules look at: a mail, and what was made of it so far.

use crate::filters::Mail;

use super::Engine;
use super::evals::LureFacts;

/// A mail as the rules see it. What costs time is made when it is first asked for, and once.
pub(super) struct View<'v> {
    pub(super) engine: &'v Engine,
    pub(super) mail: &'v Mail<'v>,
    lures: LureFacts,
}

impl<'v> View<'v> {
    pub(super) fn new(engine: &'v Engine, mail: &'v Mail<'v>) -> Self {
        Self { engine, mail, lures: LureFacts::default() }
    }

    /// What our own functions made of the mail.
    pub(super) fn lures(&self) -> &LureFacts {
        &self.lures
    }
}
