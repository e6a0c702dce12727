//! What the functions of rules look at: a mail, and what was made of it so far.

use std::cell::OnceCell;

use crate::filters::Mail;

use super::Engine;
use super::relays::Relays;

/// A mail as the rules see it. What costs time is made when it is first asked for, and once.
pub(super) struct View<'v> {
    pub(super) engine: &'v Engine,
    pub(super) mail: &'v Mail<'v>,
    relays: OnceCell<Relays>,
}

impl<'v> View<'v> {
    pub(super) fn new(engine: &'v Engine, mail: &'v Mail<'v>) -> Self {
        Self { engine, mail, relays: OnceCell::new() }
    }

    /// The way of the mail from host to host.
    pub(super) fn relays(&self) -> &Relays {
        self.relays.get_or_init(|| Relays::read(self))
    }
}
