//! A bound on the memory that the unpacked content of all mails holds together: one mail has its own limit, but twenty at
//! once must not add up to more than the machine has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bound.
#[derive(Debug)]
pub struct Room {
    left: AtomicU64,
}

/// One mail's part of it; given back when the last copy of its message is dropped.
#[derive(Debug)]
pub struct Share {
    room: Arc<Room>,
    held: AtomicU64,
}

impl Room {
    /// A bound of that many octets.
    #[must_use]
    pub fn new(octets: u64) -> Self {
        Self { left: AtomicU64::new(octets) }
    }

    /// An empty share.
    #[must_use]
    pub fn share(self: &Arc<Self>) -> Share {
        Share { room: Arc::clone(self), held: AtomicU64::new(0) }
    }
}

impl Share {
    /// Asks for `octets` more. False if there is not so much left.
    #[must_use]
    pub fn grow(&self, octets: u64) -> bool {
        let taken = self
            .room
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(octets));
        if taken.is_ok() {
            self.held.fetch_add(octets, Ordering::AcqRel);
        }
        taken.is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.left.fetch_add(*self.held.get_mut(), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_comes_back_with_the_last_copy() {
        let room = Arc::new(Room::new(10));
        let share = Arc::new(room.share());
        let copy = Arc::clone(&share);
        assert!(share.grow(4) && share.grow(6) && !share.grow(1));
        drop(share);
        assert!(!room.share().grow(1));
        drop(copy);
        assert!(room.share().grow(10));
    }
}
