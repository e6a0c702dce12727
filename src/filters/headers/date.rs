//! Mail that says it is from long ago, or from the future: what hand-written tables of years and months were for, which
//! are out of date each year.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, Time};

use super::action::parse_action;
use crate::filters::{HeaderHit, Source, TableAction};
use crate::mail::Message;

/// What the Date field may say.
#[derive(Debug, Clone, PartialEq)]
pub struct DateRule {
    age_max: Option<Duration>,
    ahead_max: Option<Duration>,
    action: TableAction,
}

impl DateRule {
    /// A rule that asks for `action`, written as in header_checks(5). A limit of zero is none; without a limit, and with
    /// DUNNO, there is no rule.
    ///
    /// # Errors
    /// What is wrong with the action.
    pub fn new(
        age_max: Duration,
        ahead_max: Duration,
        action: &str,
    ) -> Result<Option<Self>, String> {
        let action = parse_action(action.as_bytes())?;
        let limit = |limit: Duration| (!limit.is_zero()).then_some(limit);
        let (age_max, ahead_max) = (limit(age_max), limit(ahead_max));
        let asked = age_max.is_some() || ahead_max.is_some();
        Ok(action.filter(|_| asked).map(|action| Self { age_max, ahead_max, action }))
    }

    /// Looks at the first Date field. One that cannot be read says nothing about its age.
    pub(super) fn inspect(&self, message: &Message, now: Timestamp) -> Option<HeaderHit> {
        let field = message.fields("Date").next()?;
        let text = String::from_utf8_lossy(message.octets(&field.value)).into_owned();
        let date = read(&text)?;
        let seconds = now.as_second().saturating_sub(date.as_second());
        let beyond = |limit: Option<Duration>, seconds: i64| {
            limit.is_some_and(|limit| {
                u64::try_from(seconds).is_ok_and(|seconds| seconds > limit.as_secs())
            })
        };
        if !beyond(self.age_max, seconds) && !beyond(self.ahead_max, seconds.saturating_neg()) {
            return None;
        }
        Some(HeaderHit {
            table: "date",
            source: Source { file: "tables.date_action".into(), line: 0 },
            action: self.action.clone(),
            text: super::action::cleaned(format!("Date:{text}").as_bytes()),
            range: Some(field.field.clone()),
        })
    }
}

/// Reads a date as mail programs write it (RFC 5322 sections 3.3 and 4.3), loosely: the name of the day may be anything,
/// seconds and zone may be missing, years may have two digits.
fn read(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let text = match text.split_once(',') {
        Some((_, rest)) => rest,
        None => text,
    };
    let words: Vec<&str> = text.split(|sign: char| sign.is_whitespace() || sign == '-').collect();
    let mut words = words.into_iter().filter(|word| !word.is_empty()).take(12).peekable();
    // Without a comma the name of the day may still stand there.
    words.next_if(|word| word.chars().all(char::is_alphabetic));
    let day: i8 = words.next()?.parse().ok()?;
    let name: String = words.next()?.chars().take(3).collect::<String>().to_ascii_lowercase();
    let month = MONTHS.iter().position(|month| *month == name)?;
    let month = i8::try_from(month).ok()? + 1;
    let written = words.next()?;
    let year: i16 = written.parse().ok()?;
    let year = match (written.len(), year) {
        (2, 0..=49) => year + 2000,
        (2 | 3, 50..=999) => year + 1900,
        _ => year,
    };
    let mut clock = words.next().unwrap_or("0:0").split(':').map(|part| part.parse::<i8>().ok());
    let (hour, minute) = (clock.next()??, clock.next().flatten().unwrap_or(0));
    let second = clock.next().flatten().unwrap_or(0).min(59);
    let civil =
        Date::new(year, month, day).ok()?.to_datetime(Time::new(hour, minute, second, 0).ok()?);
    let utc = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    let offset = text.split_whitespace().find_map(zone).unwrap_or(0);
    utc.checked_sub(jiff::SignedDuration::from_mins(offset)).ok()
}

/// `+0800`: minutes east of Greenwich.
fn zone(word: &str) -> Option<i64> {
    let (sign, digits) = match word.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let number: i64 = digits.parse().ok().filter(|_| digits.len() == 4)?;
    Some(sign * (number / 100 * 60 + number % 100))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime;

    const DAY: u64 = 86_400;

    fn hit(rule: &DateRule, date: &str, now: &str) -> Option<String> {
        let raw = format!("Subject: x\r\nDate: {date}\r\n\r\nbody\r\n");
        let message = mime::decode(raw.into_bytes().into(), &mime::Limits::default());
        rule.inspect(&message, now.parse().unwrap()).map(|hit| hit.text)
    }

    fn rule(age: u64, ahead: u64) -> DateRule {
        let days = |count: u64| Duration::from_secs(count * DAY);
        DateRule::new(days(age), days(ahead), "DISCARD old").unwrap().unwrap()
    }

    #[test]
    fn dates_are_read_as_mail_programs_write_them() {
        for (text, want) in [
            ("Sun, 6 Mar 2016 18:38:04 +0800 (CST)", "2016-03-06T10:38:04Z"),
            ("Tue,  8 May 2007 19:58:37 -0130", "2007-05-08T21:28:37Z"),
            ("6 Mar 16 18:38 GMT", "2016-03-06T18:38:00Z"),
            ("Sun 6 March 2016 18:38:60", "2016-03-06T18:38:59Z"),
            (", 16 Sep 2007 23:11:24 +0800", "2007-09-16T15:11:24Z"),
            ("6-Mar-2016 18:38:04 +0000", "2016-03-06T18:38:04Z"),
            ("Mon, 1 Jan 99 0:00:00", "1999-01-01T00:00:00Z"),
        ] {
            assert_eq!(read(text), Some(want.parse().unwrap()), "{text}");
        }
        for text in
            ["", "yesterday", "Sun, 31 Feb 2016 10:00:00 +0000", "1 Jan 2016 25:11:24", "1,2,3"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn the_age_is_counted_from_today_whatever_the_year() {
        let old = rule(365, 2);
        for (now, last_year, this_year) in [
            (
                "2012-02-10T00:00:00Z",
                "Tue, 4 Jan 2011 10:00:00 +0100",
                "Mon, 2 Jan 2012 10:00:00 +0100",
            ),
            (
                "2030-02-10T00:00:00Z",
                "Wed, 3 Jan 2029 10:00:00 +0100",
                "Thu, 3 Jan 2030 10:00:00 +0100",
            ),
        ] {
            assert!(hit(&old, last_year, now).is_some_and(|text| text.starts_with("Date: ")));
            assert_eq!(hit(&old, this_year, now), None);
        }
        let now = "2026-11-27T12:00:00Z";
        assert_eq!(hit(&old, "Thu, 27 Nov 2025 12:00:00 +0000", now), None, "at the limit");
        assert!(hit(&old, "Thu, 27 Nov 2025 11:59:59 +0000", now).is_some());
        assert_eq!(hit(&old, "Sun, 29 Nov 2026 12:00:00 +0000", now), None);
        assert!(hit(&old, "Sun, 29 Nov 2026 12:00:01 +0000", now).is_some());
        assert_eq!(hit(&old, "no date", now), None);
    }

    #[test]
    fn a_rule_needs_a_limit_and_an_action() {
        assert_eq!(DateRule::new(Duration::ZERO, Duration::ZERO, "DISCARD"), Ok(None));
        assert_eq!(DateRule::new(Duration::from_secs(1), Duration::ZERO, "DUNNO"), Ok(None));
        assert!(DateRule::new(Duration::from_secs(1), Duration::ZERO, "THROW").is_err());
    }
}
