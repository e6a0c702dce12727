//! What is left of the limits while one message is decoded.

use std::time::Instant;

use super::Limits;
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
    over_deadline: bool,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            parts: 0,
            files: 0,
            expanded_bytes: 0,
            work_left: limits.work_max,
            over_deadline: false,
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
        if self.is_late() {
            return Err(DefectCode::DeadlineOver);
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

    /// True from the moment the deadline is over.
    pub(super) fn is_late(&mut self) -> bool {
        if !self.over_deadline {
            self.over_deadline =
                self.limits.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        }
        self.over_deadline
    }
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
    fn a_deadline_in_the_past_is_over() {
        let mut late = budget(late_limits());
        assert!(late.is_late());
        assert_eq!(late.expand(1, 0, 1), Err(DefectCode::DeadlineOver));
    }
}
