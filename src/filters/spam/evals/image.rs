//! Images: how many, how large, beside how much text.

use std::collections::BTreeSet;

use crate::filters::spam::pattern::{Pattern, Refusal};
use crate::filters::spam::text::Segments;
use crate::filters::spam::view::View;

use super::{Arguments, Call, Function};

pub(super) const FUNCTIONS: &[Function] = &[
    ("image_count", image_count),
    ("pixel_coverage", pixel_coverage),
    ("image_size_exact", image_size_exact),
    ("image_size_range", image_size_range),
    ("image_named", image_named),
    ("image_name_regex", image_name_regex),
    ("image_to_text_ratio", image_to_text_ratio),
];

/// Kinds of images that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Gif,
    Png,
    Jpeg,
}

/// One image part.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Image {
    format: Format,
    /// Height and width in pixels; `None` if it is no such image, or is empty.
    size: Option<(u32, u32)>,
    name: Option<String>,
}

/// The images of a mail: parts that say so and are base64.
#[derive(Debug, Clone, Default)]
pub(in crate::filters::spam) struct Images(Vec<Image>);

impl Images {
    pub(in crate::filters::spam) fn read(view: &View<'_>) -> Self {
        let images = view.parts().leaves().filter_map(|part| {
            let format = match part.kind.as_str() {
                "image/gif" => Format::Gif,
                "image/png" => Format::Png,
                "image/jpeg" | "image/jpg" => Format::Jpeg,
                _ => return None,
            };
            let encoding = part.header.last(b"content-transfer-encoding")?;
            if !encoding.eq_ignore_ascii_case(b"base64") {
                return None;
            }
            let octets = part.decoded();
            let size = match format {
                Format::Gif => gif(octets),
                Format::Png => png(octets),
                Format::Jpeg => jpeg(octets),
            };
            let size = size.filter(|(height, width)| *height > 0 && *width > 0);
            Some(Image { format, size, name: part.name.clone() })
        });
        Self(images.collect())
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Image> {
        self.0.iter().filter(move |image| kind.0.is_none_or(|format| format == image.format))
    }

    /// Pixels of all images together.
    fn pixels(&self, kind: Kind) -> f64 {
        let sizes = self.of(kind).filter_map(|image| image.size);
        sizes.map(|(height, width)| f64::from(height) * f64::from(width)).sum()
    }

    /// Heights and widths, each pair once.
    fn sizes(&self, kind: Kind) -> BTreeSet<(u32, u32)> {
        self.of(kind).filter_map(|image| image.size).collect()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let known = self.0.iter().filter(|image| image.size.is_some());
        known.filter_map(|image| image.name.as_deref()).filter(|name| !matches!(*name, "" | "0"))
    }
}

/// The images that a rule asks for; `None`: all.
#[derive(Debug, Clone, Copy)]
struct Kind(Option<Format>);

impl Kind {
    fn read(arguments: &Arguments) -> Result<Self, String> {
        Ok(Self(match arguments.text(0) {
            "all" => None,
            "gif" => Some(Format::Gif),
            "png" => Some(Format::Png),
            "jpeg" => Some(Format::Jpeg),
            other => {
                return Err(format!("`{other}` is no kind of image; write all, gif, png or jpeg"));
            }
        }))
    }
}

fn octets<const N: usize>(data: &[u8], from: usize) -> Option<[u8; N]> {
    data.get(from..from.checked_add(N)?)?.try_into().ok()
}

/// Height and width (GIF 89a section 18).
fn gif(data: &[u8]) -> Option<(u32, u32)> {
    if !data.starts_with(b"GIF87a") && !data.starts_with(b"GIF89a") {
        return None;
    }
    let width = u16::from_le_bytes(octets(data, 6)?);
    let height = u16::from_le_bytes(octets(data, 8)?);
    Some((height.into(), width.into()))
}

/// Height and width (PNG, 11.2.2 IHDR). Its header is looked for at every eighth octet, as SpamAssassin does.
fn png(data: &[u8]) -> Option<(u32, u32)> {
    let mut rest = data.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    while let Some((head, behind)) = rest.split_at_checked(8) {
        rest = behind;
        if head.ends_with(b"IEND") {
            return None;
        }
        if head == b"\0\0\0\x0dIHDR" {
            let width = u32::from_be_bytes(octets(rest, 0)?);
            let height = u32::from_be_bytes(octets(rest, 4)?);
            return Some((height, width));
        }
    }
    None
}

/// Height and width (ITU T.81 annex B.2.2).
fn jpeg(data: &[u8]) -> Option<(u32, u32)> {
    let mut rest = data.strip_prefix(b"\xff\xd8")?;
    loop {
        let [0xff, mark, high, low] = octets::<4>(rest, 0)? else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if matches!(mark, 0xd9 | 0xda) || length < 2 {
            return None;
        }
        if matches!(mark, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf) {
            let height = u16::from_be_bytes(octets(rest, 5)?);
            let width = u16::from_be_bytes(octets(rest, 7)?);
            return Some((height.into(), width.into()));
        }
        rest = rest.get(2 + length..)?;
    }
}

/// True from `least` to `most`.
fn within(value: f64, least: f64, most: Option<f64>) -> bool {
    value >= least && most.is_none_or(|most| value <= most)
}

fn least(arguments: &Arguments, place: usize) -> Result<f64, String> {
    arguments.wanted_number(place)?.ok_or_else(|| "the least value is missing".to_owned())
}

fn image_count(arguments: &Arguments) -> Result<Call, String> {
    let (kind, least) = (Kind::read(arguments)?, least(arguments, 1)?);
    let most = arguments.wanted_number(2)?;
    Ok(Call::new(move |view| {
        let count = u32::try_from(view.images().of(kind).count()).unwrap_or(u32::MAX);
        within(f64::from(count), least, most)
    }))
}

fn pixel_coverage(arguments: &Arguments) -> Result<Call, String> {
    let (kind, least) = (Kind::read(arguments)?, least(arguments, 1)?);
    let most = arguments.wanted_number(2)?;
    Ok(Call::new(move |view| within(view.images().pixels(kind), least, most)))
}

fn image_size_exact(arguments: &Arguments) -> Result<Call, String> {
    let kind = Kind::read(arguments)?;
    let number = |place: usize| {
        let text = arguments.text(place);
        text.parse::<u32>().map_err(|_| format!("`{text}` is no number of pixels"))
    };
    let wanted = (number(1)?, number(2)?);
    Ok(Call::new(move |view| view.images().sizes(kind).contains(&wanted)))
}

fn image_size_range(arguments: &Arguments) -> Result<Call, String> {
    let kind = Kind::read(arguments)?;
    let (least_height, least_width) = (least(arguments, 1)?, least(arguments, 2)?);
    let (most_height, most_width) = (arguments.wanted_number(3)?, arguments.wanted_number(4)?);
    Ok(Call::new(move |view| {
        view.images().sizes(kind).into_iter().any(|(height, width)| {
            within(height.into(), least_height, most_height)
                && within(width.into(), least_width, most_width)
        })
    }))
}

fn image_named(arguments: &Arguments) -> Result<Call, String> {
    let wanted = arguments.text(0).to_owned();
    Ok(Call::new(move |view| view.images().names().any(|name| name == wanted)))
}

fn image_name_regex(arguments: &Arguments) -> Result<Call, String> {
    let text = arguments.text(0);
    let pattern = Pattern::compile(text.as_bytes(), "").map_err(|refusal| match refusal {
        Refusal::NotBuilt(why) => why.to_owned(),
        Refusal::Wrong(why) => why,
    })?;
    Ok(Call::new(move |view| {
        let mut names = view.images().names();
        names.find(|name| pattern.is_match(name.as_bytes())).map(str::to_owned)
    }))
}

/// Octets of text for each pixel, from the least to below the most.
fn image_to_text_ratio(arguments: &Arguments) -> Result<Call, String> {
    let (kind, least) = (Kind::read(arguments)?, least(arguments, 1)?);
    let below = arguments.wanted_number(2)?.ok_or("the value above is missing")?;
    let raw = arguments.raw;
    Ok(Call::new(move |view| {
        let pixels = view.images().pixels(kind);
        if pixels == 0.0 {
            return false;
        }
        let text = if raw { view.raw_body() } else { view.body() };
        let length = length(text);
        length > 0.0 && length / pixels >= least && length / pixels < below
    }))
}

fn length(text: &Segments) -> f64 {
    let octets: usize = (0..text.len()).map(|index| text.get(index).0.len()).sum();
    u32::try_from(octets).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_from_the_head_of_an_image() {
        assert_eq!(gif(b"GIF89a\x02\0\x01\0\0\0\0"), Some((1, 2)));
        assert_eq!(gif(b"GIF90a\x02\0\x01\0\0\0\0"), None);
        let png_head = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x01\0\0\0\0\x02\x08\0";
        assert_eq!(png(png_head), Some((2, 256)));
        assert_eq!(png(b"\x89PNG\r\n\x1a\n\0\0\0\0IEND"), None);
        let jpeg_head = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08\0\x03\0\x05\x03";
        assert_eq!(jpeg(jpeg_head), Some((3, 5)));
        assert_eq!(jpeg(b"\xff\xd8\xff\xda\0\x04ab"), None);
        assert_eq!(jpeg(b"\xff\xd8\xff"), None);
    }

    #[test]
    fn images_are_counted_by_kind() {
        let image = |format, size| Image { format, size, name: None };
        let all = Images(vec![
            image(Format::Gif, Some((10, 20))),
            image(Format::Gif, Some((10, 20))),
            image(Format::Png, None),
        ]);
        assert_eq!(all.of(Kind(None)).count(), 3);
        assert_eq!(all.of(Kind(Some(Format::Gif))).count(), 2);
        assert!((all.pixels(Kind(None)) - 400.0).abs() < 0.1);
        assert_eq!(all.sizes(Kind(None)).len(), 1);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(data in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = gif(&[b"GIF89a".as_slice(), &data].concat());
            let _ = png(&[b"\x89PNG\r\n\x1a\n".as_slice(), &data].concat());
            let _ = jpeg(&[b"\xff\xd8\xff\xe0\0\x04".as_slice(), &data].concat());
        }
    }
}
