//! Where delimiter lines may stand in a large body: for bodies that are searched for many boundaries.
//!
//! Multiparts in multiparts that are never closed all reach to the end of the message. Searched one by one, each costs a
//! pass over the rest; with this, all of them together cost a few.

use bytes::Bytes;

/// Blanks and dashes that may stand before a delimiter on its line.
pub(super) const LEAD_MAX: usize = 9;

/// Octets behind the two dashes by which places are sorted. A shorter boundary is searched for without this.
const KEY_BYTES: usize = 3;

/// One place is kept for so many octets of the body, and a few besides: at eight octets each, half of the body's size.
const BYTES_A_PLACE: usize = 16;
const PLACES_FREE: usize = 100;

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

impl Delimiters {
    /// Goes through `body` once. `None` if it is too large for places of 32 bits, or if there are too many of them.
    pub(super) fn of(body: &Bytes) -> Option<Self> {
        u32::try_from(body.len()).ok()?;
        let places_max = body.len() / BYTES_A_PLACE + PLACES_FREE;
        let mut places = Vec::new();
        for end in memchr::memchr2_iter(b'\r', b'\n', body) {
            let line = body.get(end + 1..).unwrap_or_default();
            let lead = line.iter().take_while(|octet| matches!(octet, b' ' | b'\t' | b'-'));
            // The last of the dashes may be the delimiter's own.
            for lead in 0..=lead.take(LEAD_MAX).count() {
                let found =
                    line.get(lead..).and_then(|rest| rest.strip_prefix(b"--")).and_then(key);
                if let Some(key) = found {
                    places.push(key | u64::try_from(end + 1 + lead).ok()?);
                }
            }
            if places.len() > places_max {
                return None;
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
    /// dashes. `None` if that can only be told by a search.
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
        let first = self.places.partition_point(|place| *place < from);
        let behind = self.places.get(first..)?.iter().take_while(move |place| **place < to);
        let at = move |place: &u64| usize::try_from(*place & u64::from(u32::MAX)).ok();
        let here = behind.filter_map(at).map(move |at| at - offset);
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
