//! Functions that look at pictures: how many there are, and how large they are.

use crate::filters::spam::pattern::{Pattern, Refusal};
use crate::filters::spam::text::parts::Part;
use crate::filters::spam::view::View;

use super::html::{limit, number};
use super::{Arguments, Call, Function};

pub(super) const FUNCTIONS: &[Function] = &[
    ("image_count", count),
    ("pixel_coverage", coverage),
    ("image_named", named),
    ("image_name_regex", name_fits),
    ("image_size_exact", size_exact),
    ("image_size_range", size_range),
    ("image_to_text_ratio", text_ratio),
];

/// A picture in base64, of a kind that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Image {
    kind: Kind,
    /// Height and width in pixels, if it tells them and neither is 0.
    size: Option<(u32, u32)>,
    name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gif,
    Png,
    Jpeg,
}

/// The pictures of a message.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Images(Vec<Image>);

impl Images {
    pub(in crate::filters::spam) fn of(view: &View<'_>) -> Self {
        Self(view.parts().leaves().filter_map(Image::of).collect())
    }

    /// Those of a kind that rules name.
    fn of_kind(&self, kind: Option<Kind>) -> impl Iterator<Item = &Image> {
        self.0.iter().filter(move |image| kind.is_none_or(|kind| image.kind == kind))
    }

    fn sizes(&self, kind: Option<Kind>) -> impl Iterator<Item = (f64, f64)> {
        let sizes = self.of_kind(kind).filter_map(|image| image.size);
        sizes.map(|(height, width)| (f64::from(height), f64::from(width)))
    }

    fn pixels(&self, kind: Option<Kind>) -> f64 {
        self.sizes(kind).map(|(height, width)| height * width).sum()
    }
}

impl Image {
    fn of(part: &Part) -> Option<Self> {
        let encoding = part.header.last(b"content-transfer-encoding")?;
        if !encoding.eq_ignore_ascii_case(b"base64") {
            return None;
        }
        let (kind, size) = match part.kind.as_str() {
            "image/gif" => (Kind::Gif, gif(part.decoded())),
            "image/png" => (Kind::Png, png(part.decoded())),
            "image/jpeg" | "image/jpg" => (Kind::Jpeg, jpeg(part.decoded())),
            _ => return None,
        };
        let size = size.filter(|(height, width)| *height > 0 && *width > 0);
        Some(Self { kind, size, name: part.name.clone() })
    }
}

fn gif(octets: &[u8]) -> Option<(u32, u32)> {
    let rest = octets.strip_prefix(b"GIF87a").or_else(|| octets.strip_prefix(b"GIF89a"))?;
    let [w1, w2, h1, h2, ..] = rest else { return None };
    Some((u32::from(u16::from_le_bytes([*h1, *h2])), u32::from(u16::from_le_bytes([*w1, *w2]))))
}

fn png(octets: &[u8]) -> Option<(u32, u32)> {
    let mut rest = octets.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    // Not from chunk to chunk but in steps of eight octets: that is how it is looked for.
    while let Some((head, behind)) = rest.split_first_chunk::<8>() {
        rest = behind;
        if head.ends_with(b"IEND") {
            return None;
        }
        if *head == *b"\0\0\0\x0dIHDR" {
            let (width, behind) = rest.split_first_chunk::<4>()?;
            let (height, _) = behind.split_first_chunk::<4>()?;
            return Some((u32::from_be_bytes(*height), u32::from_be_bytes(*width)));
        }
    }
    None
}

fn jpeg(octets: &[u8]) -> Option<(u32, u32)> {
    let mut rest = octets.strip_prefix(b"\xff\xd8")?;
    loop {
        let [0xff, mark, high, low, behind @ ..] = rest else { return None };
        let length = usize::from(u16::from_be_bytes([*high, *low])).checked_sub(2)?;
        if matches!(mark, 0xda | 0xd9) {
            return None;
        }
        if matches!(mark, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf) {
            let [_, h1, h2, w1, w2, ..] = behind else { return None };
            let side = |high: &u8, low: &u8| u32::from(u16::from_be_bytes([*high, *low]));
            return Some((side(h1, h2), side(w1, w2)));
        }
        rest = behind.get(length..)?;
    }
}

/// The first argument: `all` or a kind.
fn kind(arguments: &Arguments) -> Result<Option<Kind>, String> {
    match arguments.text(0) {
        "all" => Ok(None),
        "gif" => Ok(Some(Kind::Gif)),
        "png" => Ok(Some(Kind::Png)),
        "jpeg" => Ok(Some(Kind::Jpeg)),
        other => Err(format!("`{other}` is no kind of picture; write all, gif, png or jpeg")),
    }
}

fn count(arguments: &Arguments) -> Result<Call, String> {
    let (kind, min, max) = (kind(arguments)?, number(arguments, 1)?, limit(arguments, 2)?);
    Ok(Call::new(move |view| {
        let count = view.images().of_kind(kind).count();
        (min..=max).contains(&u32::try_from(count).map_or(f64::MAX, f64::from))
    }))
}

fn coverage(arguments: &Arguments) -> Result<Call, String> {
    let (kind, min, max) = (kind(arguments)?, number(arguments, 1)?, limit(arguments, 2)?);
    Ok(Call::new(move |view| (min..=max).contains(&view.images().pixels(kind))))
}

/// Names of pictures that tell their size.
fn names(images: &Images) -> impl Iterator<Item = &str> {
    images.0.iter().filter(|image| image.size.is_some()).filter_map(|image| image.name.as_deref())
}

fn named(arguments: &Arguments) -> Result<Call, String> {
    let name = arguments.text(0).to_owned();
    Ok(Call::new(move |view| names(view.images()).any(|other| other == name)))
}

fn name_fits(arguments: &Arguments) -> Result<Call, String> {
    let text = arguments.text(0);
    let inside = text.strip_prefix('/').and_then(|text| text.rsplit_once('/'));
    let (pattern, flags) = inside.unwrap_or((text, ""));
    let pattern = Pattern::compile(pattern.as_bytes(), flags).map_err(|refusal| match refusal {
        Refusal::Wrong(why) => why,
        Refusal::NotBuilt(why) => why.to_owned(),
    })?;
    Ok(Call::new(move |view| {
        let mut names = names(view.images());
        names.find(|name| pattern.is_match(name.as_bytes())).map(str::to_owned)
    }))
}

fn size_exact(arguments: &Arguments) -> Result<Call, String> {
    let (kind, size) = (kind(arguments)?, (number(arguments, 1)?, number(arguments, 2)?));
    Ok(Call::new(move |view| view.images().sizes(kind).any(|other| other == size)))
}

fn size_range(arguments: &Arguments) -> Result<Call, String> {
    let kind = kind(arguments)?;
    let heights = number(arguments, 1)?..=limit(arguments, 3)?;
    let widths = number(arguments, 2)?..=limit(arguments, 4)?;
    Ok(Call::new(move |view| {
        let mut sizes = view.images().sizes(kind);
        sizes.any(|(height, width)| heights.contains(&height) && widths.contains(&width))
    }))
}

/// Octets of text for each pixel; for `rawbody` rules, of text with its markup.
fn text_ratio(arguments: &Arguments) -> Result<Call, String> {
    let (kind, min, max) = (kind(arguments)?, number(arguments, 1)?, number(arguments, 2)?);
    let raw = arguments.raw;
    Ok(Call::new(move |view| {
        let body = if raw { view.raw_body() } else { view.body() };
        let length: usize = (0..body.len()).map(|index| body.get(index).0.len()).sum();
        let length = u32::try_from(length).map_or(f64::MAX, f64::from);
        let pixels = view.images().pixels(kind);
        length > 0.0 && pixels > 0.0 && (min..max).contains(&(length / pixels))
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::filters::spam::evals::mime::tests::hits;

    #[test]
    fn pictures_tell_their_size() {
        assert_eq!(gif(b"GIF89a\x0a\0\x14\0\0\0\0"), Some((20, 10)));
        assert_eq!(gif(b"GIF88a\x0a\0\x14\0"), None);
        let png_head = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x0a\0\0\0\x14";
        assert_eq!(png(png_head), Some((20, 10)));
        assert_eq!(
            jpeg(b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x08\x08\0\x14\0\x0a\x03"),
            Some((20, 10))
        );
        assert_eq!(jpeg(b"\xff\xd8\xff\xda\0\x04ab"), None);
    }

    #[test]
    fn functions_see_pictures() {
        let mail = "Subject: a\nContent-Type: image/gif; name=a.gif\n\
                    Content-Transfer-Encoding: base64\n\nR0lGODlhCgAUAAAAAA==\n";
        for (call, want) in [
            ("image_count('all', 1, 1)", true),
            ("image_count('gif', 1)", true),
            ("image_count('png', 1)", false),
            ("image_count('gif', 2)", false),
            ("pixel_coverage('all', 150, 250)", true),
            ("image_named('a.gif')", true),
            ("image_name_regex('/^A\\.gif$/i')", true),
            ("image_size_exact('gif', 20, 10)", true),
            ("image_size_exact('gif', 10, 20)", false),
            ("image_size_range('gif', 15, 5)", true),
            ("image_size_range('gif', 15, 5, 18, 12)", false),
            ("image_to_text_ratio('all', 0, 0.1)", true),
            ("image_to_text_ratio('all', 0.1, 0.2)", false),
        ] {
            assert_eq!(hits(call, mail), want, "{call}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
            for start in [b"GIF89a".as_slice(), b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\0"] {
                let octets = [start, &octets].concat();
                let _ = (gif(&octets), png(&octets), jpeg(&octets));
            }
        }
    }
}
