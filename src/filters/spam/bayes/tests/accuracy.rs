//! How well learned mail tells spam from ham: run by hand over folders of mails.

use std::path::{Path, PathBuf};

use super::Memory;
use crate::filters::Mail;
use crate::filters::spam::Engine;
use crate::filters::spam::bayes::*;
use crate::mail::Envelope;

/// Ten times: learns one half of the mails below `MAILS_HAM` and `MAILS_SPAM`, chosen at random but always the same, and
/// judges the other. Prints how much of the spam is found with no more than one in a thousand of the ham above it.
#[test]
#[ignore = "needs folders of mails: MAILS_HAM=… MAILS_SPAM=… cargo test accuracy -- --ignored --nocapture"]
fn one_half_learned_tells_the_other_half() {
    let folder = |name: &str| PathBuf::from(std::env::var_os(name).expect(name));
    let ham = mails(&folder("MAILS_HAM"));
    let spam = mails(&folder("MAILS_SPAM"));
    let (mut found_sum, mut sure_sum, mut wrong_sum) = (0.0, 0.0, 0);
    for seed in 0..10 {
        let (ham_learned, ham_judged) = halves(&ham, seed);
        let (spam_learned, spam_judged) = halves(&spam, seed + 100);
        let store = Memory::default();
        for (class, mails) in [(Class::Ham, ham_learned), (Class::Spam, spam_learned)] {
            for (name, words) in mails {
                store.learn(Owner::Site, name, class, &words.tokens()).unwrap();
            }
        }
        let judge = |mails: &[&(String, Words)]| -> Vec<f64> {
            let chance = |words: &Words| ask(&store, Owner::Site, words).unwrap();
            mails.iter().map(|(_, words)| chance(words).map_or(0.5, |o| o.chance)).collect()
        };
        let mut ham_chances = judge(&ham_judged);
        let spam_chances = judge(&spam_judged);
        ham_chances.sort_by(|a, b| b.total_cmp(a));
        let border = ham_chances[ham_chances.len() / 1_000];
        let share = |over: f64| {
            let count = spam_chances.iter().filter(|chance| **chance > over).count();
            100.0 * count as f64 / spam_chances.len() as f64
        };
        let wrong = ham_chances.iter().filter(|chance| **chance > 0.99).count();
        println!(
            "half {seed}: {:.2} % over the highest ham ({border:.6}), {:.2} % over 0.99 with {wrong} ham",
            share(border),
            share(0.99)
        );
        found_sum += share(border);
        sure_sum += share(0.99);
        wrong_sum += wrong;
    }
    println!(
        "mean: {:.2} %, {:.2} % over 0.99 with {wrong_sum} ham in all",
        found_sum / 10.0,
        sure_sum / 10.0
    );
    assert!(sure_sum / 10.0 > 70.0);
}

fn mails(folder: &Path) -> Vec<(String, Words)> {
    let (engine, _) = Engine::load(&[], &std::collections::BTreeMap::new());
    let envelope = Envelope::default();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &PathBuf| {
        let body = crate::smtp::body::from_file(&std::fs::read(path).ok()?);
        let message = crate::mime::decode(body.octets, &crate::mime::Limits::default());
        let mail = Mail::alone(&envelope, &message);
        Some((path.display().to_string(), engine.words(&mail)))
    };
    files.iter().filter(|path| path.is_file()).filter_map(read).collect()
}

type Half<'m> = Vec<&'m (String, Words)>;

/// Two halves, mixed by a small generator (splitmix64).
fn halves(mails: &[(String, Words)], seed: u64) -> (Half<'_>, Half<'_>) {
    let mut state = seed.wrapping_mul(7_919);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let mut order: Vec<(u64, &(String, Words))> = mails.iter().map(|mail| (next(), mail)).collect();
    order.sort_by_key(|(key, _)| *key);
    let mut learned: Half<'_> = order.into_iter().map(|(_, mail)| mail).collect();
    let judged = learned.split_off(learned.len() / 2);
    (learned, judged)
}
