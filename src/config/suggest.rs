//! What the writer may have meant.

/// Longer words are cut before they are compared: nobody types such keys, and the work grows with the square.
const COMPARED_CHARS_MAX: usize = 40;

/// Words that other programs, or an older draft, use for keys of ours.
const OTHER_WORDS: [(&str, &str); 16] = [
    ("threshold", "quarantine_at"),
    ("required_score", "tag_at"),
    ("tag2_level", "tag_at"),
    ("kill_level", "quarantine_at"),
    ("oversize", "over_limits"),
    ("unscannable", "over_limits"),
    ("max_servers", "concurrency"),
    ("workers", "concurrency"),
    ("message_size_limit", "message_size"),
    ("myhostname", "hostname"),
    ("mynetworks", "internal_networks"),
    ("forward_method", "next_hop"),
    ("bind", "listen"),
    ("port", "listen"),
    ("retention", "keep"),
    ("socket", "address"),
];

/// The candidate nearest to `word`, if it is near enough for a slip of the finger, or if another program says it so.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let word = plain(word);
    let near = candidates
        .iter()
        .map(|candidate| (distance(&word, &plain(candidate)), *candidate))
        .filter(|(distance, candidate)| *distance <= near_enough(candidate))
        .min_by_key(|(distance, _)| *distance);
    if let Some((_, candidate)) = near {
        return Some(candidate);
    }
    let (_, ours) = OTHER_WORDS
        .iter()
        .find(|(theirs, ours)| candidates.contains(ours) && distance(&word, &plain(theirs)) <= 1)?;
    candidates.into_iter().find(|candidate| candidate == ours)
}

/// A third of the letters may be wrong, but at least one.
fn near_enough(candidate: &str) -> usize {
    (candidate.chars().count() / 3).clamp(1, 3)
}

/// Case and the choice between `-` and `_` do not count.
fn plain(word: &str) -> Vec<char> {
    word.chars()
        .take(COMPARED_CHARS_MAX)
        .map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() })
        .collect()
}

/// Letters to insert, delete, change, or swap with their neighbour, to get from one word to the other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let change = cell(&above, j) + usize::from(a != b);
            let mut best = change.min(cell(&above, j + 1) + 1).min(cell(&row, j) + 1);
            let swapped = i > 0 && j > 0 && from.get(i - 1) == Some(b) && to.get(j - 1) == Some(a);
            if swapped {
                best = best.min(cell(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        let keys = ["tag_at", "quarantine_at", "reject_at", "concurrency", "deadline", "listen"];
        for (word, want) in [
            ("tag-at", Some("tag_at")),
            ("quarantin_at", Some("quarantine_at")),
            ("dedaline", Some("deadline")),
            ("Listen", Some("listen")),
            ("treshold", Some("quarantine_at")),
            ("max_servers", Some("concurrency")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(closest(word, keys), want, "{word}");
        }
    }

    #[test]
    fn neighbours_swapped_are_one_step() {
        let word = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&word("mdoe"), &word("mode")), 1);
        assert_eq!(distance(&word(""), &word("mode")), 4);
        assert_eq!(distance(&word("mode"), &word("mode")), 0);
    }

    #[test]
    fn a_word_without_end_is_cut() {
        assert_eq!(closest(&"a".repeat(1_000_000), ["aaaa"]), None);
    }
}
