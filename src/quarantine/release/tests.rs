use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::quarantine::tests::{House, entry, path};
use crate::quarantine::{NewEntry, Quarantine};

fn three() -> NewEntry {
    let mut new = entry(b"DKIM-Signature: x\r\nSubject: y\r\n\r\nbody\r\n");
    new.sender.argument = b"<from@example.com> BODY=8BITMIME".to_vec();
    new.recipients = vec![path("a@x"), path("b@x"), path("C@x")];
    new.all_recipients.clone_from(&new.recipients);
    new
}

#[tokio::test]
async fn an_address_that_was_named_twice_gets_one_mail() {
    let house = House::new();
    let mut new = three();
    new.recipients.extend([path("a@x"), path("b@x")]);
    let id = house.quarantine.store(new).await.unwrap().id;
    let outcomes = outcomes(&house.quarantine, &id, false, Ok("250 queued".to_owned())).await;
    assert_eq!(outcomes.len(), 3);
}

async fn ok(_: ReleaseMail) -> Result<String, ReleaseError> {
    Ok("250 queued".to_owned())
}

async fn outcomes(
    quarantine: &Quarantine,
    id: &str,
    force: bool,
    answer: Result<String, ReleaseError>,
) -> Vec<ReleaseOutcome> {
    let send = |_| std::future::ready(answer.clone());
    let results = quarantine.release(id, None, "ab", force, send).await.unwrap();
    results.into_iter().map(|result| result.outcome).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_tries_at_once_one_sends() {
    let house = House::new();
    let id = house.quarantine.store(three()).await.unwrap().id;
    let sent = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..20 {
        let quarantine = if n % 4 == 0 { house.another() } else { house.quarantine.clone() };
        let (sent, id) = (Arc::clone(&sent), id.clone());
        tasks.spawn(async move {
            let send = |_| async {
                tokio::task::yield_now().await;
                sent.fetch_add(1, Ordering::SeqCst);
                Ok("250 queued".to_owned())
            };
            let results = quarantine.release(&id, None, "ab", false, send).await.unwrap();
            results.iter().filter(|result| result.outcome.is_released()).count()
        });
    }
    let released: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!((released, sent.load(Ordering::SeqCst)), (3, 3));
    let audit = house.quarantine.show(&id).unwrap().unwrap().audit;
    assert_eq!(audit.len(), 60, "every try is written down");
    assert_eq!(audit.iter().filter(|row| row.result.starts_with("released: ")).count(), 3);
}

#[tokio::test]
async fn only_the_one_asked_for_gets_the_original_octets_and_parameters() {
    let house = House::new();
    let new = three();
    let id = house.quarantine.store(new.clone()).await.unwrap().id;
    let seen = Mutex::new(Vec::new());
    let send = |mail| {
        seen.lock().unwrap().push(mail);
        std::future::ready(Ok("250 queued".to_owned()))
    };
    let wanted = ["c@x".to_owned(), "c@x".to_owned(), "nobody@x".to_owned()];
    let results = house.quarantine.release(&id, Some(&wanted), "ab", false, send).await.unwrap();
    assert_eq!(results.len(), 2);
    assert!(results[0].outcome.is_released());
    assert_eq!(results[1].outcome, ReleaseOutcome::NotHeld);
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!((&seen[0].sender, &seen[0].recipient), (&new.sender, &path("C@x")));
    assert_eq!(seen[0].raw, new.raw);
    let detail = house.quarantine.show(&id).unwrap().unwrap();
    let states: Vec<_> = detail.item.recipients.iter().map(|r| r.state).collect();
    assert_eq!(states, [CopyState::Held, CopyState::Held, CopyState::Released]);
}

#[tokio::test]
async fn what_failed_is_held_and_what_may_have_arrived_needs_force() {
    let house = House::new();
    let id = house.quarantine.store(entry(b"x")).await.unwrap().id;
    let quarantine = &house.quarantine;
    let temporary = ReleaseError::Temporary("451 later".to_owned());
    let unknown = ReleaseError::Unknown("answer lost".to_owned());
    let sent = Ok("250 queued".to_owned());
    for (force, answer, want) in [
        (false, Err(temporary), ReleaseOutcome::Temporary("451 later".to_owned())),
        (false, Err(unknown), ReleaseOutcome::Unknown("answer lost".to_owned())),
        (false, sent.clone(), ReleaseOutcome::Unknown("answer lost".to_owned())),
        (true, sent.clone(), ReleaseOutcome::Released("250 queued".to_owned())),
        (false, sent.clone(), ReleaseOutcome::AlreadyReleased("250 queued".to_owned())),
        (true, sent, ReleaseOutcome::Released("250 queued".to_owned())),
    ] {
        assert_eq!(outcomes(quarantine, &id, force, answer).await, [want]);
    }
}

#[tokio::test]
async fn a_virus_needs_force_and_a_deleted_mail_must_be_undeleted() {
    let house = House::new();
    let mut virus = entry(b"x");
    virus.class = Class::Virus;
    let virus = house.quarantine.store(virus).await.unwrap().id;
    let refused = house.quarantine.release(&virus, None, "ab", false, ok).await;
    assert!(matches!(refused, Err(Trouble::NeedsForce(_))), "{refused:?}");
    assert!(
        house.quarantine.release(&virus, None, "ab", true, ok).await.unwrap()[0]
            .outcome
            .is_released()
    );
    let spam = house.quarantine.store(entry(b"x")).await.unwrap().id;
    house.quarantine.delete(&spam, "ab").await.unwrap();
    let refused = house.quarantine.release(&spam, None, "ab", true, ok).await;
    assert!(matches!(refused, Err(Trouble::Deleted(_))), "{refused:?}");
}

#[tokio::test]
async fn a_release_that_is_broken_off_is_unknown() {
    let house = House::new();
    let id = house.quarantine.store(entry(b"x")).await.unwrap().id;
    let never = |_| std::future::pending();
    let release = house.quarantine.release(&id, None, "ab", false, never);
    tokio::time::timeout(Duration::from_millis(200), release).await.unwrap_err();
    house.quarantine.flush().await;
    let state = house.quarantine.show(&id).unwrap().unwrap().item.recipients[0].state;
    assert_eq!(state, CopyState::Unknown);
}

#[tokio::test]
async fn the_claim_of_a_dead_process_becomes_unknown_after_ten_minutes() {
    let house = House::new();
    let id = house.quarantine.store(entry(b"x")).await.unwrap().id;
    let sent = Ok("250 queued".to_owned());
    let minutes_ago = |n: i64| Timestamp::now().as_millisecond() - n * 60_000;
    let alive = this_process();
    for (owner, minutes, want) in [
        ("999999999:1", 9, ReleaseOutcome::Busy),
        (alive.as_str(), 11, ReleaseOutcome::Busy),
        ("999999999:1", 11, unknown()),
        (alive.as_str(), 61, unknown()),
    ] {
        let claimed = minutes_ago(minutes);
        house.execute(&format!(
            "UPDATE recipients SET state = 'releasing', owner = '{owner}', claimed = {claimed}"
        ));
        let outcome = outcomes(&house.quarantine, &id, false, sent.clone()).await;
        assert_eq!(outcome, [want], "{owner} {minutes}");
    }
    assert!(outcomes(&house.quarantine, &id, true, sent).await[0].is_released());
}

fn unknown() -> ReleaseOutcome {
    ReleaseOutcome::Unknown("the program ended while it was being released".to_owned())
}
