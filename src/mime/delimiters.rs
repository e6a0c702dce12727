//! Where delimiter lines may stand in a large body: for bodies that are searched for many boundaries.
//!
//! Multiparts in multiparts that are never closed all reach to the end of the message. Searched one by one, each costs a
//! pass over the rest; with this, all of them together cost a few.

use bytes::Bytes;
use memchr::memmem;

/// Blanks and dashes that may stand before a delimiter on its line.
pub(super) const LEAD_MAX: usize = 9;

/// Octets behind the two dashes by which places are sorted. A shorter boundary is searched for without this.
const KEY_BYTES: usize = 3;

/// One place is kept for so many octets of the body, and a few besides: at eight octets each, half of the body's size.
const BYTES_A_PLACE: usize = 16;
const PLACES_FREE: usize = 100;

/// A search for a boundary is as fast as looking at one place for so many octets of the part.
const BYTES_A_LOOK: usize = 256;
const LOOKS_FREE: usize = 16;

/// The places of one body, by what follows the dashes.
#[derive(Debug)]
pub(super) struct Delimiters {
    body: Bytes,
    /// Key and place, as one number each, in order.
    places: Vec<u64>,
}

fn key(octets: &[u8]) -> Option<u64> {
    let key: &[u8; KEY_BYTES] = octets.first_chunk()?;
    let ends_a_line = |octet: &u8| matches!(octet, b'\r' | b'\n');
    if key.iter().any(ends_a_line) {
        return None;
    }
    Some(key.iter().fold(0, |key, octet| key << 8 | u64::from(*octet)) << 32)
}

/// The blanks and dashes between the line's start and what stands before; `None` if there are too many or anything else.
fn lead(before: &[u8]) -> Option<usize> {
    let mut near = before.iter().rev().take(LEAD_MAX + 1).enumerate();
    let (lead, end) = near.find(|(_, octet)| !matches!(octet, b' ' | b'\t' | b'-'))?;
    matches!(end, b'\r' | b'\n').then_some(lead)
}

impl Delimiters {
    /// Goes through `body` once. `None` if it is too large for places of 32 bits, or if there are too many of them.
    pub(super) fn of(body: &Bytes) -> Option<Self> {
        u32::try_from(body.len()).ok()?;
        let places_max = body.len() / BYTES_A_PLACE + PLACES_FREE;
        let finder = memmem::Finder::new(b"--");
        let (mut places, mut from) = (Vec::new(), 0);
        while let Some(hit) = finder.find(body.get(from..)?) {
            let start = from + hit;
            let run = body.get(start..)?;
            let dashes = run.iter().position(|octet| *octet != b'-').unwrap_or(run.len());
            from = start + dashes;
            let Some(lead) = lead(body.get(..start)?) else { continue };
            // The last two of the dashes may be the delimiter's own, or any two before them.
            for at in start..=(from - 2).min(start + LEAD_MAX - lead) {
                let Some(key) = body.get(at + 2..).and_then(key) else { continue };
                if places.len() >= places_max {
                    return None;
                }
                if places.len() == places.capacity() {
                    places.reserve_exact(places.len().max(64).min(places_max - places.len()));
                }
                places.push(key | u64::try_from(at).ok()?);
            }
        }
        places.sort_unstable();
        Some(Self { body: body.clone(), places })
    }

    /// Where `part` begins in the body; `None` if it is no slice of it.
    fn offset(&self, part: &[u8]) -> Option<usize> {
        let offset = part.as_ptr().addr().checked_sub(self.body.as_ptr().addr())?;
        (offset.checked_add(part.len())? <= self.body.len()).then_some(offset)
    }

    /// True if `part` is a slice of the body.
    pub(super) fn cover(&self, part: &[u8]) -> bool {
        self.offset(part).is_some()
    }

    /// The places in `part` where the delimiter stands behind a line end and no more than [`LEAD_MAX`] blanks and
    /// dashes. `None` if that can only be told by a search, or sooner by one.
    ///
    /// What stands in the first octets of `part` is judged by what stands before them in the body: callers search there
    /// themselves.
    pub(super) fn places<'a>(
        &'a self,
        part: &'a [u8],
        delimiter: &'a [u8],
    ) -> Option<impl Iterator<Item = usize> + 'a> {
        let offset = self.offset(part)?;
        if memchr::memchr2(b'\r', b'\n', delimiter).is_some() {
            return None;
        }
        let key = key(delimiter.strip_prefix(b"--")?)?;
        let from = key | u64::try_from(offset).ok()?;
        let to = key | u64::try_from(offset.checked_add(part.len())?).ok()?;
        let place_of = |bound: u64| self.places.partition_point(|place| *place < bound);
        let places = self.places.get(place_of(from)..place_of(to))?;
        if places.len() > part.len() / BYTES_A_LOOK + LOOKS_FREE {
            return None;
        }
        let at = move |place: &u64| usize::try_from(*place & u64::from(u32::MAX)).ok();
        let here = places.iter().filter_map(at).map(move |at| at - offset);
        Some(here.filter(move |at| part.get(*at..).is_some_and(|rest| rest.starts_with(delimiter))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(body: &'static str, range: std::ops::Range<usize>, delimiter: &str) -> Vec<usize> {
        let body = Bytes::from_static(body.as_bytes());
        let part = body.slice(range);
        let all = Delimiters::of(&body).unwrap();
        all.places(&part, delimiter.as_bytes()).unwrap().collect()
    }

    #[test]
    fn places_are_those_of_lines_of_the_part() {
        let body = "--abc\n--abc x\r -\t--abcd, no --abc\n--ab\n---abc-----------";
        assert_eq!(places(body, 0..body.len(), "--abc"), [6, 17, 40]);
        assert_eq!(places(body, 10..body.len(), "--abc"), [7, 30]);
        assert_eq!(places(body, 10..20, "--abc"), [0_usize; 0], "cut");
        assert_eq!(places(body, 0..body.len(), "--abcd"), [17]);
        let dashes = "a long enough text before it\n------------";
        assert_eq!(places(dashes, 0..dashes.len(), "-----").len(), 8);
    }

    #[test]
    fn what_only_a_search_can_tell_is_said_so() {
        let body = Bytes::from_static(b"\n--abc\n--d");
        let all = Delimiters::of(&body).unwrap();
        assert!(all.places(&body, b"--ab").is_none(), "too short");
        assert!(all.places(&body, b"--abc\nd").is_none());
        assert!(all.places(b"\n--abc", b"--abc").is_none(), "another body");
        assert!(all.cover(&body.slice(3..5)) && !all.cover(b"abc"));
    }

    #[test]
    fn too_many_places_are_not_kept() {
        assert!(Delimiters::of(&Bytes::from("\n--abc".repeat(1_000))).is_none());
        assert!(Delimiters::of(&Bytes::from("\n--abc and more".repeat(1_000))).is_some());
    }
}
