//! Sizes and times with their units, as people write them.
//!
//! `KB MB GB TB` count in thousands, `KiB MiB GiB TiB` in 1024s: the meanings of IEC 80000-13, where `50MB` is the
//! 50,000,000 that Postfix' `message_size_limit` would take. A letter alone (`50M`) is refused, because programs
//! disagree on it: it is 1024² octets to clamd and 1000² octets to others.

use std::time::Duration;

/// Units of size with their octets, the largest first, so that formatting takes the largest that divides.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// Units of time with their milliseconds, the largest first.
const TIMES: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a size: a whole number and a unit, in any case, with or without a blank between: `50MB`, `512 KiB`.
///
/// # Errors
/// What to write instead, for people.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let example = "write a whole number with a unit, for example \"10MB\" or \"10MiB\"";
    if number.is_empty() {
        return Err(example.to_owned());
    }
    if unit.is_empty() {
        return Err(format!("write it with a unit, for example \"{number}MB\""));
    }
    let Some((_, octets)) = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) else {
        return Err(match unit {
            "k" | "K" | "m" | "M" | "g" | "G" | "t" | "T" => {
                let letter = unit.to_ascii_uppercase();
                format!(
                    "programs disagree on \"{unit}\": write \"{number}{letter}B\" (thousands) or \"{number}{letter}iB\" (1024s)"
                )
            }
            _ => format!("{example}; units: B, KB, MB, GB, TB, KiB, MiB, GiB, TiB"),
        });
    };
    product(number, *octets)
}

/// Reads a time: a whole number and one of `ms s m h d`: `100ms`, `30s`, `14d`.
///
/// # Errors
/// What to write instead, for people.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let example = "write a whole number with one unit, for example \"30s\"";
    if number.is_empty() {
        return Err(example.to_owned());
    }
    if unit.is_empty() {
        return Err(format!("write it with a unit, for example \"{number}s\""));
    }
    let Some((_, milliseconds)) = TIMES.iter().find(|(name, _)| *name == unit) else {
        return Err(match unit {
            "w" => match number.parse::<u64>().ok().and_then(|weeks| weeks.checked_mul(7)) {
                Some(days) => format!("there are no weeks: write \"{days}d\""),
                None => example.to_owned(),
            },
            _ => format!("{example}; units: ms, s, m (minutes), h, d"),
        });
    };
    product(number, *milliseconds).map(Duration::from_millis)
}

/// Writes a size with the largest unit that keeps it whole; [`parse_size`] reads it back to the same value.
#[must_use]
pub fn format_size(octets: u64) -> String {
    let unit = SIZES.iter().find(|(_, unit)| octets >= *unit && octets.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) => format!("{}{name}", octets / unit),
        None => "0B".to_owned(),
    }
}

/// Writes a time with the largest unit that keeps it whole; what is below a millisecond is dropped.
#[must_use]
pub fn format_duration(time: Duration) -> String {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let unit =
        TIMES.iter().find(|(_, unit)| milliseconds >= *unit && milliseconds.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) => format!("{}{name}", milliseconds / unit),
        None => "0s".to_owned(),
    }
}

/// The digits in front, and what follows them.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    (number, unit.trim_start())
}

fn product(number: &str, unit: u64) -> Result<u64, String> {
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| "the number is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, want) in [
            ("50MB", 50_000_000),
            ("50MiB", 52_428_800),
            ("1 kb", 1_000),
            ("500KiB", 512_000),
            ("0B", 0),
            ("2GB", 2_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn a_refused_size_says_what_to_write() {
        for (text, want) in [
            ("10", "\"10MB\""),
            ("", "\"10MB\""),
            ("50M", "\"50MB\" (thousands) or \"50MiB\" (1024s)"),
            ("1.5GB", "whole number"),
            ("-1MB", "whole number"),
            ("10 bananas", "units: B, KB"),
            ("99999999999TB", "too large"),
        ] {
            let hint = parse_size(text).expect_err(text);
            assert!(hint.contains(want), "{text}: {hint}");
        }
    }

    #[test]
    fn times_are_read_with_their_units() {
        for (text, want) in [
            ("100ms", 100),
            ("30s", 30_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("14 d", 1_209_600_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(want)), "{text}");
        }
    }

    #[test]
    fn a_refused_time_says_what_to_write() {
        for (text, want) in [
            ("30", "\"30s\""),
            ("2w", "\"14d\""),
            ("1h30m", "one unit"),
            ("30S", "units: ms, s"),
            ("-1", "whole number"),
            ("99999999999999999999w", "whole number"),
        ] {
            let hint = parse_duration(text).expect_err(text);
            assert!(hint.contains(want), "{text}: {hint}");
        }
    }

    #[test]
    fn the_largest_unit_that_keeps_it_whole_is_written() {
        for (octets, want) in
            [(0, "0B"), (50_000_000, "50MB"), (52_428_800, "50MiB"), (1_001, "1001B")]
        {
            assert_eq!(format_size(octets), want);
        }
        assert_eq!(format_duration(Duration::from_secs(90)), "90s");
        assert_eq!(format_duration(Duration::from_secs(86_400)), "1d");
        assert_eq!(format_duration(Duration::ZERO), "0s");
    }

    proptest! {
        #[test]
        fn sizes_come_back_as_they_were(octets: u64) {
            prop_assert_eq!(parse_size(&format_size(octets)), Ok(octets));
        }

        #[test]
        fn times_come_back_as_they_were(milliseconds: u64) {
            let time = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse_duration(&format_duration(time)), Ok(time));
        }

        #[test]
        fn no_text_makes_them_panic(text: String) {
            let _ = (parse_size(&text), parse_duration(&text));
        }
    }
}
