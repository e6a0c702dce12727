//! A bound on the memory that bodies of all sessions hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bound.
#[derive(Debug)]
pub struct Budget {
    left: AtomicUsize,
}

/// One session's part of it; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    held: usize,
}

impl Budget {
    /// A bound of that many octets.
    #[must_use]
    pub fn new(octets: usize) -> Self {
        Self { left: AtomicUsize::new(octets) }
    }

    /// An empty share.
    #[must_use]
    pub fn share(self: &Arc<Self>) -> Share {
        Share { budget: Arc::clone(self), held: 0 }
    }
}

impl Share {
    /// Asks for `octets` in all. False if there is not so much left; the share stays as it was then.
    pub fn grow_to(&mut self, octets: usize) -> bool {
        let Some(more) = octets.checked_sub(self.held) else { return true };
        let taken = self
            .budget
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(more));
        if taken.is_ok() {
            self.held = octets;
        }
        taken.is_ok()
    }

    /// Gives everything back: what was held is dropped, though its session may go on for long.
    pub fn give_back(&mut self) {
        self.budget.left.fetch_add(std::mem::take(&mut self.held), Ordering::AcqRel);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_comes_back() {
        let budget = Arc::new(Budget::new(100));
        let (mut one, mut two) = (budget.share(), budget.share());
        assert!(one.grow_to(80) && one.grow_to(40));
        assert!(!two.grow_to(21) && two.grow_to(20));
        drop(one);
        assert!(two.grow_to(100) && !two.grow_to(101));
        two.give_back();
        assert!(budget.share().grow_to(100), "while the session lives on");
        drop(two);
        assert!(!budget.share().grow_to(101), "nothing comes back twice");
    }
}
