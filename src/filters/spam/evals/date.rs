//! Dates in the header: is the mail of another time than its way says?

use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::filters::spam::text::Selector;
use crate::filters::spam::view::View;

use super::{Arguments, Call, Function, fields};

pub(super) const FUNCTIONS: &[Function] = &[
    ("check_for_shifted_date", shifted),
    ("received_within_months", within_months),
    ("check_outlook_message_id", outlook_id),
];

/// Seconds of a year: 365.2425 days.
const YEAR: f64 = 31_556_952.0;
/// Octets of a text in which a date is looked for.
const TEXT_MAX: usize = 64 * 1024;
/// Dates of Received fields that are looked at.
const DATES_MAX: usize = 200;

struct Patterns {
    zone: Regex,
    received: Regex,
    local: Regex,
    by_user: Regex,
    fetchmail: Regex,
    outlook: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| Patterns {
    zone: fields::constant(r"\b([A-Z]{2,4}(?:-DST)?)\b"),
    received: fields::constant(r"(\s.?\d+ \S\S\S \d+ \d+:\d+:\d+ \S+)"),
    local: fields::constant(r"\bfrom (?:localhost\s|(?:\S+ ){1,2}\S*\b127\.0\.0\.1\b)"),
    by_user: fields::constant(r"qmail \d+ invoked by uid \d+"),
    fetchmail: fields::constant(r"\bby localhost with \w+ \(fetchmail-[\d.]+"),
    outlook: fields::constant(r"^<[0-9a-f]{4}([0-9a-f]{8})\$[0-9a-f]{8}\$[0-9a-f]{8}@"),
});

/// Abbreviations of time zones that are believed, with their minutes east of Greenwich.
#[rustfmt::skip]
const ZONES: [(&str, i64); 49] = [
    ("UT", 0), ("UTC", 0), ("GMT", 0), ("WET", 0), ("WEST", 60), ("BST", 60), ("IST", 60),
    ("CET", 60), ("CEST", 120), ("MET", 60), ("MEST", 120), ("MEZ", 60), ("MESZ", 120),
    ("EET", 120), ("EEST", 180), ("MSK", 180), ("MSD", 240), ("IDT", 180),
    ("NST", -210), ("NDT", -150), ("AST", -240), ("ADT", -180), ("EST", -300), ("EDT", -240),
    ("CST", -360), ("CDT", -300), ("MST", -420), ("MDT", -360), ("PST", -480), ("PDT", -420),
    ("AKST", -540), ("AKDT", -480), ("HST", -600), ("HAST", -600), ("HADT", -540),
    ("BRT", -180), ("BRST", -120),
    ("AWST", 480), ("ACST", 570), ("ACDT", 630), ("AEST", 600), ("AEDT", 660),
    ("NZST", 720), ("NZDT", 780), ("JST", 540), ("KST", 540), ("HKT", 480), ("SGT", 480),
    ("PHT", 480),
];

/// Seconds since 1970 of a date as mail writes it (RFC 5322 section 3.3, and what real mail does wrong).
///
/// It is as forgiving as SpamAssassin, whose points are fitted to that: the pieces may stand anywhere, other words
/// between them do not matter, an hour, minute or second too many becomes the last of the day, a day too many the first
/// of the next month, and years are held between 1970 and 2037. Without a zone it is Greenwich.
fn parse(text: &[u8]) -> Option<i64> {
    let text = text.get(..TEXT_MAX).unwrap_or(text);
    let mut words: Vec<&[u8]> = text
        .split(|octet| fields::is_blank(*octet) || *octet == b',')
        .filter(|word| !word.is_empty())
        .collect();
    let (place, date) = date_in(&words)?;
    let WrittenDate { words: length, mut day, mut month, year } = date;
    words.drain(place..place + length);
    let mut year = match (number(year), year.len()) {
        (year, 4) => year,
        (year, 2) if year < 50 => year + 2000,
        (year, _) => year + 1900,
    };
    let mut clock = [0; 3];
    if let Some((place, found)) =
        words.iter().enumerate().find_map(|(place, word)| Some((place, clock_in(word)?)))
    {
        clock = found;
        words.remove(place);
    }
    let [hour, minute, second] = clock;
    let (hour, minute, second) = (hour.min(23), minute.min(59), second.min(59));
    if day > days(month, year) {
        day = 1;
        month += 1;
        if month > 12 {
            month = 1;
            year += 1;
        }
    }
    let year = i16::try_from(year.clamp(1970, 2037)).ok()?;
    let month = i8::try_from(month).ok()?;
    let date = jiff::civil::Date::new(year, month, i8::try_from(day).ok()?).ok()?;
    let since = date.since(jiff::civil::date(1970, 1, 1)).ok()?.get_days();
    let time = i64::from(since) * 86_400 + hour * 3_600 + minute * 60 + second;
    // Before 1970 there is nothing.
    let offset = offset(&words);
    Some(if offset > 0 { (time - offset).max(0) } else { time - offset })
}

/// A date among words.
struct WrittenDate<'t> {
    /// So many words make it up.
    words: usize,
    day: i64,
    month: i64,
    year: &'t [u8],
}

/// `1 Jan 2026`, else `Jan 1 12:00:00 2026`, else `1 Jan 26`, and which word it begins with.
fn date_in<'t>(words: &[&'t [u8]]) -> Option<(usize, WrittenDate<'t>)> {
    let day_first = |digits: std::ops::RangeInclusive<usize>| {
        words.windows(3).enumerate().find_map(|(place, words)| {
            let [day, month, year] = words else { return None };
            let fits = is_number(day) && is_number(year) && digits.contains(&year.len());
            let month = month_number(month).filter(|_| fits)?;
            Some((place, WrittenDate { words: 3, day: number(day), month, year }))
        })
    };
    let month_first = || {
        words.windows(4).enumerate().find_map(|(place, words)| {
            let [month, day, clock, year] = words else { return None };
            let mut numbers = clock.split(|octet| *octet == b':');
            let is_clock = numbers.clone().count() == 3 && numbers.all(is_number);
            let fits = is_number(day) && is_clock && is_number(year) && year.len() == 4;
            let month = month_number(month).filter(|_| fits)?;
            Some((place, WrittenDate { words: 4, day: number(day), month, year }))
        })
    };
    day_first(4..=4).or_else(month_first).or_else(|| day_first(2..=3))
}

/// `9:05` and `09:05:30`.
fn clock_in(word: &[u8]) -> Option<[i64; 3]> {
    let mut numbers = word.split(|octet| *octet == b':');
    let (hour, minute, second) = (numbers.next()?, numbers.next()?, numbers.next());
    let fits = is_number(hour)
        && hour.len() <= 2
        && [Some(minute), second].into_iter().flatten().all(|two| is_number(two) && two.len() == 2)
        && numbers.next().is_none();
    fits.then(|| [number(hour), number(minute), second.map_or(0, number)])
}

fn is_number(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_digit)
}

fn number(digits: &[u8]) -> i64 {
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).unwrap_or(i64::MAX)
}

fn month_number(name: &[u8]) -> Option<i64> {
    const NAMES: [&[u8]; 12] = [
        b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov",
        b"dec",
    ];
    let place = NAMES.iter().position(|known| name.eq_ignore_ascii_case(known))?;
    i64::try_from(place + 1).ok()
}

fn days(month: i64, year: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Seconds east of Greenwich: `+0100`. Of other words, only the first that may be a zone counts.
fn offset(words: &[&[u8]]) -> i64 {
    let digits = words.iter().find_map(|word| {
        let (sign, digits) = word.split_first()?;
        let fits = matches!(sign, b'+' | b'-') && digits.len() == 4 && is_number(digits);
        let (hours, minutes) = digits.split_at_checked(2).filter(|_| fits)?;
        let seconds = (number(hours) * 60 + number(minutes)) * 60;
        Some(if *sign == b'-' { -seconds } else { seconds })
    });
    if let Some(seconds) = digits {
        return seconds;
    }
    let found = words.iter().find_map(|word| PATTERNS.zone.find(word));
    let word = found.map_or(b"".as_slice(), |found| found.as_bytes());
    let zone = ZONES.iter().find(|(name, _)| name.as_bytes() == word);
    zone.map_or(0, |(_, minutes)| minutes * 60)
}

/// What the header says about time, in seconds since 1970.
pub(super) struct Times {
    /// `Resent-Date`, else `Date`.
    written: Option<i64>,
    /// Of the Received fields, newest first.
    received: Vec<i64>,
    /// When it was fetched from a mailbox.
    fetched: Option<i64>,
}

impl Times {
    fn read(view: &View<'_>) -> Self {
        let dates = ["Resent-Date", "Date"].into_iter().flat_map(|name| lines(view, name));
        let written = dates.filter(|date| !date.is_empty()).find_map(|date| parse(&date));
        let mut received: Vec<Vec<u8>> = lines(view, "Received");
        received.retain(|line| line.iter().any(|octet| !fields::is_blank(*octet)));
        let mut rest = received.as_slice();
        let mut local: Vec<&[u8]> = Vec::new();
        if let Some((first, behind)) = rest.split_first()
            && (PATTERNS.local.is_match(first) || PATTERNS.by_user.is_match(first))
        {
            local.push(first);
            rest = behind;
        }
        match rest.split_first() {
            Some((first, behind)) if PATTERNS.fetchmail.is_match(first) => {
                local.push(first);
                rest = behind;
            }
            // Not fetched: the local hop counts like the others.
            _ if !local.is_empty() => {
                local.clear();
                rest = &received;
            }
            _ => {}
        }
        let now = view.mail.received.as_second();
        let fetched = local.into_iter().filter_map(date_of).filter(|time| *time <= now).max();
        let mut received: Vec<i64> = Vec::new();
        // The Received field of our own site is not yet written.
        if view.relays().client_first {
            received.push(now);
        }
        received.extend(rest.iter().filter_map(|line| date_of(line)).take(DATES_MAX));
        Self { written, received, fetched }
    }

    /// Seconds by which the date is later than the way says; 0 if one of both says nothing. Of all Received fields, the
    /// one nearest to the date is believed.
    fn difference(&self) -> i64 {
        let Some(written) = self.written else { return 0 };
        let mut all: Vec<i64> = self.received.iter().map(|time| written - time).collect();
        // The sender's own server often copies the date.
        if all.len() > 1 && all.last() == Some(&0) {
            all.pop();
        }
        all.into_iter().min_by_key(|seconds| seconds.abs()).unwrap_or(0)
    }

    /// When the mail came, as far as it says.
    fn came(&self) -> i64 {
        let mut all: Vec<i64> = self.written.into_iter().collect();
        all.extend(self.received.first());
        all.extend(self.fetched);
        if let Some(written) = self.written
            && !self.received.is_empty()
        {
            all.push(written - self.difference());
        }
        all.sort_unstable_by(|left, right| right.cmp(left));
        all.get(all.len().saturating_sub(1) / 2).copied().unwrap_or(0)
    }
}

fn times<'v>(view: &'v View<'_>) -> &'v Times {
    view.cells.times.get_or_init(|| Times::read(view))
}

/// The values of all fields of that name.
fn lines(view: &View<'_>, name: &str) -> Vec<Vec<u8>> {
    let text = Selector::parse(name).ok().and_then(|selector| selector.text(view));
    let text = text.unwrap_or_default();
    text.split(|octet| *octet == b'\n').map(<[u8]>::to_vec).collect()
}

fn date_of(line: &[u8]) -> Option<i64> {
    parse(PATTERNS.received.captures(line)?.get(1)?.as_bytes())
}

/// A limit that a rule gives; `undef` or nothing: none.
fn limit(arguments: &Arguments, place: usize) -> Result<Option<f64>, String> {
    match arguments.text(place) {
        "" | "undef" => Ok(None),
        text => match arguments.number(place) {
            Some(number) => Ok(Some(number)),
            None => Err(format!("`{text}` is no number")),
        },
    }
}

fn within(value: f64, least: Option<f64>, below: Option<f64>) -> bool {
    least.is_none_or(|least| value >= least) && below.is_none_or(|below| value < below)
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a few hundred years")]
fn float(seconds: i64) -> f64 {
    seconds as f64
}

fn shifted(arguments: &Arguments) -> Result<Call, String> {
    let (least, below) = (limit(arguments, 0)?, limit(arguments, 1)?);
    Ok(Call::new(move |view| {
        let difference = times(view).difference();
        let hours = float(difference) / 3_600.0;
        within(hours, least, below).then(|| format!("the date differs by {hours:.1} hours"))
    }))
}

fn within_months(arguments: &Arguments) -> Result<Call, String> {
    let (least, below) = (limit(arguments, 0)?, limit(arguments, 1)?);
    Ok(Call::new(move |view| {
        let age = float(view.mail.received.as_second() - times(view).came());
        within(age * 12.0 / YEAR, least, below)
    }))
}

/// Outlook's message ids hold the time they were made at, in units of some seven minutes.
fn outlook_id(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| {
        let id = fields::value(view, "MESSAGEID");
        let found = PATTERNS.outlook.captures(&id).and_then(|found| found.get(1))?;
        let stamp = i64::from_str_radix(std::str::from_utf8(found.as_bytes()).ok()?, 16).ok()?;
        let far = |name: &str| {
            let time = float(parse(&fields::value(view, name)).unwrap_or(0));
            let expected = (time * 0.002_328_306_436_538_7 + 27_111_902.832_984_9).trunc();
            (float(stamp) - expected).abs() >= 250.0
        };
        (far("Date") && far("Received")).then(|| fields::shown(&id))
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_read_in_all_their_forms() {
        for (text, want) in [
            ("Thu, 13 Feb 2003 14:02:21 +0100 (CET)", Some(1_045_141_341)),
            ("13 Feb 2003 13:02:21 GMT", Some(1_045_141_341)),
            ("Thu, 13 Feb 2003 8:02:21 EST", Some(1_045_141_341)),
            // In this order the time is lost with the date, as in SpamAssassin.
            ("Thu Feb 13 13:02:21 2003", Some(1_045_094_400)),
            ("13 Feb 03 13:02:21", Some(1_045_141_341)),
            ("13 Feb 103 13:02", Some(1_045_141_320)),
            ("31 Feb 2003 00:00:00 +0000", Some(1_046_476_800)),
            ("13 Feb 2003 99:99:99 +0000", Some(1_045_180_799)),
            ("1 Jan 1970 00:00:00 +0100", Some(0)),
            ("1 Jan 3000 00:00:00 +0000", Some(2_114_380_800)),
            ("0 Jan 2003 00:00:00 +0000", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(parse(text.as_bytes()), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&text);
        }

        #[test]
        fn no_numbers_make_it_fail(text in "[0-9]{1,20} Feb [0-9]{1,6} [0-9]{1,3}:[0-9]{2} [-+][0-9]{4}") {
            let _ = parse(text.as_bytes());
        }
    }
}
