//! What is left of the limits while one message is decoded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Limits, Share};
use crate::mail::DefectCode;

/// Octets unpacked between two looks at the clock.
pub(super) const STEP_BYTES: usize = 64 << 10;

/// A member may be this large without being asked for its ratio.
const RATIO_FREE_BYTES: u64 = 1 << 20;

/// The running account of one decoding.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) limits: Limits,
    parts: usize,
    files: usize,
    expanded_bytes: u64,
    work_left: u64,
    /// Processor time of this thread at the start.
    began: Duration,
    share: Option<Arc<Share>>,
    late: Option<DefectCode>,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            parts: 0,
            files: 0,
            expanded_bytes: 0,
            work_left: limits.work_max,
            began: processor_time(),
            share: limits.room.as_ref().map(|room| Arc::new(room.share())),
            late: None,
        }
    }

    /// Asks for one more part that is no archive member.
    pub(super) fn part(&mut self) -> Result<(), DefectCode> {
        if self.parts >= self.limits.parts_max {
            return Err(DefectCode::TooManyParts);
        }
        self.parts += 1;
        Ok(())
    }

    /// How many parts may still come.
    pub(super) fn parts_left(&self) -> usize {
        self.limits.parts_max.saturating_sub(self.parts)
    }

    /// Asks for one more archive member.
    pub(super) fn file(&mut self) -> Result<(), DefectCode> {
        if self.files >= self.limits.archive_files_max {
            return Err(DefectCode::TooManyFiles);
        }
        self.files += 1;
        Ok(())
    }

    /// Asks for `step` more unpacked octets of a member that has `before` octets by now and `packed` octets packed.
    pub(super) fn expand(
        &mut self,
        step: usize,
        before: usize,
        packed: usize,
    ) -> Result<(), DefectCode> {
        let (step, before, packed) = (step as u64, before as u64, packed as u64);
        if self.expanded_bytes.saturating_add(step) > self.limits.archive_expanded_bytes_max {
            return Err(DefectCode::TooManyOctets);
        }
        let size = before.saturating_add(step);
        let size_max = packed.max(1).saturating_mul(self.limits.archive_ratio_max);
        if size > RATIO_FREE_BYTES && size > size_max {
            return Err(DefectCode::TooHighRatio);
        }
        if let Some(code) = self.late() {
            return Err(code);
        }
        if self.share.as_ref().is_some_and(|share| !share.grow(step)) {
            return Err(DefectCode::NoRoom);
        }
        self.expanded_bytes = self.expanded_bytes.saturating_add(step);
        Ok(())
    }

    /// Asks for work that yields no octets: keys made of passwords, memory filled. One unit is what a digest needs for
    /// one block, about 64 octets. False if it is not to be done: what depends on it stays closed.
    pub(super) fn work(&mut self, units: u64) -> bool {
        let left = self.work_left.checked_sub(units).filter(|_| !self.is_late());
        self.work_left = left.unwrap_or(0);
        left.is_some()
    }

    /// True from the moment the time is over.
    pub(super) fn is_late(&mut self) -> bool {
        self.late().is_some()
    }

    /// Which time is over: the mail's own share of the processor, or the deadline.
    pub(super) fn late(&mut self) -> Option<DefectCode> {
        if self.late.is_none() {
            let used = processor_time().saturating_sub(self.began);
            self.late = if used > self.limits.processor_time_max {
                Some(DefectCode::TooSlow)
            } else if self.limits.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                Some(DefectCode::DeadlineOver)
            } else {
                None
            };
        }
        self.late
    }

    /// What the unpacked content holds of the memory of all; to be kept as long as the content is.
    pub(super) fn share(&self) -> Option<Arc<Share>> {
        self.share.clone()
    }
}

/// Processor time of this thread. A decoding never changes its thread.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Limits of which the deadline is over.
#[cfg(test)]
pub(super) fn late_limits() -> Limits {
    Limits { deadline: Some(Instant::now()), ..Limits::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limits: Limits) -> Budget {
        Budget::new(&limits)
    }

    #[test]
    fn a_limit_is_passed_only_above_its_own_value() {
        let mut small = budget(Limits { parts_max: 2, archive_files_max: 1, ..Limits::default() });
        assert_eq!(small.part(), Ok(()));
        assert_eq!(small.part(), Ok(()));
        assert_eq!(small.part(), Err(DefectCode::TooManyParts));
        assert_eq!(small.file(), Ok(()));
        assert_eq!(small.file(), Err(DefectCode::TooManyFiles));
    }

    #[test]
    fn octets_and_ratio_have_a_limit() {
        let mut small = budget(Limits { archive_expanded_bytes_max: 10, ..Limits::default() });
        assert_eq!(small.expand(10, 0, 1), Ok(()));
        assert_eq!(small.expand(1, 10, 1), Err(DefectCode::TooManyOctets));
        let mut flat = budget(Limits { archive_ratio_max: 2, ..Limits::default() });
        assert_eq!(flat.expand(1 << 20, 0, 1), Ok(()), "up to 1 MiB the ratio does not matter");
        assert_eq!(flat.expand(1, 1 << 20, 1), Err(DefectCode::TooHighRatio));
        assert_eq!(flat.expand(2 << 20, 0, 1 << 20), Ok(()));
        assert_eq!(flat.expand(1, 2 << 20, 1 << 20), Err(DefectCode::TooHighRatio));
    }

    #[test]
    fn work_is_done_up_to_its_limit_and_never_again() {
        let mut small = budget(Limits { work_max: 10, ..Limits::default() });
        assert!(small.work(4) && small.work(6));
        assert!(!small.work(1));
        let mut small = budget(Limits { work_max: 10, ..Limits::default() });
        assert!(!small.work(11) && !small.work(1));
    }

    #[test]
    fn a_mail_that_takes_the_processor_for_too_long_is_too_slow() {
        let mut slow = budget(Limits { processor_time_max: Duration::ZERO, ..Limits::default() });
        assert_eq!(slow.expand(1, 0, 1), Err(DefectCode::TooSlow));
        assert!(slow.is_late());
    }

    #[test]
    fn all_mails_share_their_room() {
        let room = Arc::new(crate::mime::Room::new(10));
        let limits = Limits { room: Some(Arc::clone(&room)), ..Limits::default() };
        let (mut one, mut two) = (budget(limits.clone()), budget(limits));
        assert_eq!(one.expand(6, 0, 6), Ok(()));
        assert_eq!(two.expand(5, 0, 5), Err(DefectCode::NoRoom));
        let held = one.share();
        drop(one);
        assert_eq!(two.expand(5, 0, 5), Err(DefectCode::NoRoom), "its content is still there");
        drop(held);
        assert_eq!(two.expand(5, 0, 5), Ok(()));
    }

    #[test]
    fn a_deadline_in_the_past_is_over() {
        let mut late = budget(late_limits());
        assert!(late.is_late());
        assert_eq!(late.expand(1, 0, 1), Err(DefectCode::DeadlineOver));
    }
}
