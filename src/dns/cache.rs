//! Answers that are kept for a while, good and bad ones, within a bound of octets.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::filters::dns::{Answer, Question, Record};

/// Octets of all answers together.
const BYTES_MAX: usize = 16 << 20;
/// What a table entry costs beside its names and records.
const ENTRY_BYTES: usize = 160;

/// The answers of all mails.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    answers: HashMap<Question, (Answer, Instant)>,
    bytes: usize,
}

impl Cache {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, question: &Question, now: Instant) -> Option<Answer> {
        let kept = self.kept();
        let (answer, until) = kept.answers.get(question)?;
        (*until > now).then(|| answer.clone())
    }

    pub(super) fn insert(
        &self,
        question: &Question,
        answer: &Answer,
        keep: Duration,
        now: Instant,
    ) {
        let Some(until) = now.checked_add(keep) else { return };
        let mut kept = self.kept();
        let bytes = size(question, answer);
        if kept.bytes.saturating_add(bytes) > BYTES_MAX {
            kept.make_room(now);
        }
        kept.bytes = kept.bytes.saturating_add(bytes);
        let old = kept.answers.insert(question.clone(), (answer.clone(), until));
        if let Some((old, _)) = old {
            kept.bytes = kept.bytes.saturating_sub(size(question, &old));
        }
    }
}

impl Kept {
    /// Drops what is over; if that is less than half, any of the rest.
    fn make_room(&mut self, now: Instant) {
        self.answers.retain(|_, (_, until)| *until > now);
        self.bytes =
            self.answers.iter().map(|(question, (answer, _))| size(question, answer)).sum();
        let mut bytes = self.bytes;
        self.answers.retain(|question, (answer, _)| {
            let stays = bytes <= BYTES_MAX / 2;
            if !stays {
                bytes = bytes.saturating_sub(size(question, answer));
            }
            stays
        });
        self.bytes = bytes;
    }
}

fn size(question: &Question, answer: &Answer) -> usize {
    let record = |record: &Record| match record {
        Record::Txt(text) => text.len() + 32,
        Record::Name(name) => name.len() + 32,
        Record::A(_) | Record::Aaaa(_) => 32,
    };
    let records: usize = answer.records().iter().map(record).sum();
    records.saturating_add(question.name.len()).saturating_add(ENTRY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::dns::RecordKind;

    fn question(name: &str) -> Question {
        Question::new(name, RecordKind::Txt)
    }

    #[test]
    fn an_answer_is_kept_for_its_time() {
        let (cache, now) = (Cache::default(), Instant::now());
        cache.insert(&question("A.test."), &Answer::NoName, Duration::from_secs(5), now);
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(cache.get(&question("a.test"), after(4)), Some(Answer::NoName));
        assert_eq!(cache.get(&question("a.test"), after(5)), None);
    }

    #[test]
    fn many_large_answers_stay_within_the_bound() {
        let (cache, now) = (Cache::default(), Instant::now());
        let large = Answer::Records([Record::Txt(vec![b'x'; 16_000])].into());
        for number in 0..3_000 {
            cache.insert(
                &question(&format!("{number}.test")),
                &large,
                Duration::from_secs(60),
                now,
            );
        }
        let kept = cache.kept();
        assert!(kept.bytes <= BYTES_MAX && kept.answers.len() > 100, "{}", kept.bytes);
        let sum: usize =
            kept.answers.iter().map(|(question, (answer, _))| size(question, answer)).sum();
        assert_eq!(kept.bytes, sum);
    }
}
