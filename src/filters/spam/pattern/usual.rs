//! What texts usually hold, so that of all places of a pattern the most telling one becomes its window.

use super::set::OctetSet;
use super::window::{DEPTH, Row};

/// What a text usually holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::filters::spam) enum Usual {
    /// Words.
    Words,
    /// Links, one in a line.
    Links,
}

/// Links all begin alike: how common one of their octets is says nothing of how common several in a row are. These are
/// of the kinds that mails have.
const LINKS: &[u8] = b"http://www.example.com/
https://shop.example.org/products/view.php?id=10472&ref=mail
https://click.news.example.net/track/5f3a91bc07de/unsubscribe?user=8f3a&list=weekly
http://images.example.com/img/header/logo.gif
https://www.example.de/de/konto/anmelden.html#start
mailto:info@example.com
https://example.co.uk/
https://static.example.net/assets/2024/banner-600x200.png
https://lnk.example.com/ls/click?upn=u001.kZ7Qx2vPq9sB&e=aGVsbG8
http://example.org/blog/2024/03/how-to-choose
";

impl Usual {
    /// The share of places of such a text that a row fits, and the share that its first two octets fit.
    pub(super) fn shares(self, row: &Row) -> (f64, f64) {
        let first = &row.before;
        let product = |sets: &[OctetSet]| common(first) * sets.iter().map(common).product::<f64>();
        let near = product(row.sets.get(..2).unwrap_or_default());
        let all = (product(&row.sets), near);
        match self {
            Self::Words => all,
            Self::Links => {
                let seen = shares_of(LINKS, row);
                (all.0.max(seen.0), all.1.max(seen.1))
            }
        }
    }
}

/// The same in that text.
fn shares_of(text: &[u8], row: &Row) -> (f64, f64) {
    let [first, ..] = &row.sets;
    let (mut all, mut near) = (0_u32, 0_u32);
    for (at, _) in text.iter().enumerate().filter(|(_, octet)| first.has(**octet)) {
        if row.fits(text, at, 2) {
            near += 1;
            all += u32::from(row.fits(text, at, DEPTH));
        }
    }
    let length = u32::try_from(text.len()).map_or(f64::MAX, f64::from);
    (f64::from(all) / length, f64::from(near) / length)
}

/// How much of an ordinary text such octets are.
pub(super) fn common(set: &OctetSet) -> f64 {
    if *set == OctetSet::ALL {
        return 1.0;
    }
    set.iter().map(commonness).sum::<f64>().min(1.0)
}

/// How common an octet is in text, roughly: most mail is in languages of Latin letters.
fn commonness(octet: u8) -> f64 {
    let thousandths = match octet {
        b' ' => 140.0,
        b'e' => 80.0,
        b't' | b'a' | b'o' => 55.0,
        b'n' | b'i' | b's' | b'r' => 45.0,
        b'h' | b'l' | b'd' | b'c' => 26.0,
        b'u' | b'm' | b'p' | b'\n' => 17.0,
        b'f' | b'g' | b'w' | b'y' | b'b' | b'.' | b'=' => 12.0,
        b'v' | b'k' | b',' | b'-' | b'/' | b'<' | b'>' | b'"' | b':' => 8.0,
        b'0'..=b'9' => 6.0,
        b'A'..=b'Z' => 4.0,
        b'x' | b'j' | b'q' | b'z' => 3.0,
        b'!'..=b'~' => 2.0,
        128..=255 => 0.6,
        _ => 0.1,
    };
    thousandths / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Row {
        let mut row = Row { before: OctetSet::ALL, sets: [OctetSet::ALL; DEPTH] };
        for (set, octet) in row.sets.iter_mut().zip(text.bytes()) {
            *set = OctetSet::one(octet);
        }
        row
    }

    #[test]
    fn what_all_links_begin_with_is_common_in_links_only() {
        let share = |usual: Usual, text: &str| usual.shares(&row(text)).0;
        assert!(share(Usual::Words, "://") < 1e-6 && share(Usual::Links, "://") > 0.01);
        assert!(share(Usual::Links, "walmart") < 1e-6);
        let (all, near) = Usual::Links.shares(&row("http://w"));
        assert!(near > 2.0 * all && all > 0.001);
    }
}
