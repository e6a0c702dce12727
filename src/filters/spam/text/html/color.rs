//! Colours as pages write them, understood as SpamAssassin understands them.

use crate::mime::lower;

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Color {
    /// Red, green, blue.
    Rgb(u8, u8, u8),
    /// `#` and nothing behind it.
    Empty,
    /// What nobody can see a colour in.
    Invalid,
}

impl Color {
    pub(super) const BLACK: Self = Self::Rgb(0, 0, 0);
    pub(super) const WHITE: Self = Self::Rgb(255, 255, 255);

    fn of(rgb: u32) -> Self {
        let [_, red, green, blue] = rgb.to_be_bytes();
        Self::Rgb(red, green, blue)
    }

    /// Reads a name, `#` with digits, or `rgb(…)`.
    pub(super) fn read(text: &str) -> Self {
        let text = lower(text.trim());
        if let Ok(place) = NAMES.binary_search_by(|(name, _)| (*name).cmp(&*text)) {
            return NAMES.get(place).map_or(Self::Invalid, |(_, rgb)| Self::of(*rgb));
        }
        let plain = text.bytes().all(|octet| octet == b'#' || octet.is_ascii_hexdigit());
        let function = text.split_once("rgb(").and_then(|(_, rest)| rest.split_once(')'));
        let numbers = function.map(|(inside, _)| inside).filter(|inside| {
            inside.bytes().all(|octet| octet.is_ascii_digit() || b"%, ".contains(&octet))
        });
        if !plain && numbers.is_none() {
            return Self::Invalid;
        }
        match numbers.and_then(parts) {
            Some(digits) => Self::hex(&digits),
            None if text.starts_with('#') => Self::hex(&text),
            None => Self::Invalid,
        }
    }

    /// Reads `rgb(…)` in a style, where everything but digits and commas is passed over.
    pub(super) fn of_style(text: &str) -> Self {
        let clean = |letter: &char| letter.is_ascii_digit() || *letter == ',';
        let clean: String = text.chars().filter(clean).collect();
        let mut parts = clean.split(',').map(|part| match part.trim_start_matches('0') {
            "" => 0,
            part => part.parse::<u8>().unwrap_or(255),
        });
        let mut next = || parts.next().unwrap_or(0);
        Self::Rgb(next(), next(), next())
    }

    /// Digits behind `#`; too many are cut, too few made up.
    fn hex(text: &str) -> Self {
        let (mut digits, mut count) = ([0_u32; 6], 0);
        let written = text.chars().filter_map(|letter| letter.to_digit(16));
        for (slot, digit) in digits.iter_mut().zip(written) {
            *slot = digit;
            count += 1;
        }
        if count == 0 {
            return Self::Empty;
        }
        if count < 6 {
            let [red, green, blue, ..] = digits;
            digits = [red, red, green, green, blue, blue];
        }
        Self::of(digits.into_iter().fold(0, |rgb, digit| rgb << 4 | digit))
    }

    /// True if one cannot be told from the other.
    pub(super) fn is_like(self, other: Self) -> bool {
        if self == other {
            return true;
        }
        let (Self::Rgb(r1, g1, b1), Self::Rgb(r2, g2, b2)) = (self, other) else { return false };
        let red = 0.2126 * (f64::from(r1) - f64::from(r2));
        let green = 0.7152 * (f64::from(g1) - f64::from(g2));
        let blue = 0.0722 * (f64::from(b1) - f64::from(b2));
        (red * red + green * green + blue * blue).sqrt() < 12.0
    }
}

/// The digits of `1, 2, 3` or of `1%, 2%, 3%`; `None` if it is neither.
fn parts(inside: &str) -> Option<String> {
    let percent = inside.contains('%');
    let mut out = String::new();
    let mut count = 0;
    for (place, part) in inside.split(',').enumerate() {
        let part = part.trim_start_matches(' ');
        let part = if place == 2 { part.trim_end_matches(' ') } else { part };
        let number = if percent { part.strip_suffix('%')? } else { part };
        let number: f64 = number.parse().ok().filter(|number: &f64| *number < 1e6)?;
        let number = if percent { (number / 100.0 * 255.0).floor() } else { number };
        #[expect(clippy::cast_possible_truncation, reason = "it is under a billion")]
        let number = number as i64;
        out.push_str(&format!("{number:02x}"));
        count += 1;
    }
    (count == 3).then_some(out)
}

/// The names of HTML 4 and of CSS (Color Module Level 3, section 4).
static NAMES: &[(&str, u32)] = &[
    ("aliceblue", 0xf0_f8ff),
    ("antiquewhite", 0xfa_ebd7),
    ("aqua", 0x00_ffff),
    ("aquamarine", 0x7f_ffd4),
    ("azure", 0xf0_ffff),
    ("beige", 0xf5_f5dc),
    ("bisque", 0xff_e4c4),
    ("black", 0x00_0000),
    ("blanchedalmond", 0xff_ebcd),
    ("blue", 0x00_00ff),
    ("blueviolet", 0x8a_2be2),
    ("brown", 0xa5_2a2a),
    ("burlywood", 0xde_b887),
    ("cadetblue", 0x5f_9ea0),
    ("chartreuse", 0x7f_ff00),
    ("chocolate", 0xd2_691e),
    ("coral", 0xff_7f50),
    ("cornflowerblue", 0x64_95ed),
    ("cornsilk", 0xff_f8dc),
    ("crimson", 0xdc_143c),
    ("cyan", 0x00_ffff),
    ("darkblue", 0x00_008b),
    ("darkcyan", 0x00_8b8b),
    ("darkgoldenrod", 0xb8_860b),
    ("darkgray", 0xa9_a9a9),
    ("darkgreen", 0x00_6400),
    ("darkgrey", 0xa9_a9a9),
    ("darkkhaki", 0xbd_b76b),
    ("darkmagenta", 0x8b_008b),
    ("darkolivegreen", 0x55_6b2f),
    ("darkorange", 0xff_8c00),
    ("darkorchid", 0x99_32cc),
    ("darkred", 0x8b_0000),
    ("darksalmon", 0xe9_967a),
    ("darkseagreen", 0x8f_bc8f),
    ("darkslateblue", 0x48_3d8b),
    ("darkslategray", 0x2f_4f4f),
    ("darkslategrey", 0x2f_4f4f),
    ("darkturquoise", 0x00_ced1),
    ("darkviolet", 0x94_00d3),
    ("deeppink", 0xff_1493),
    ("deepskyblue", 0x00_bfff),
    ("dimgray", 0x69_6969),
    ("dimgrey", 0x69_6969),
    ("dodgerblue", 0x1e_90ff),
    ("firebrick", 0xb2_2222),
    ("floralwhite", 0xff_faf0),
    ("forestgreen", 0x22_8b22),
    ("fuchsia", 0xff_00ff),
    ("gainsboro", 0xdc_dcdc),
    ("ghostwhite", 0xf8_f8ff),
    ("gold", 0xff_d700),
    ("goldenrod", 0xda_a520),
    ("gray", 0x80_8080),
    ("green", 0x00_8000),
    ("greenyellow", 0xad_ff2f),
    ("grey", 0x80_8080),
    ("honeydew", 0xf0_fff0),
    ("hotpink", 0xff_69b4),
    ("indianred", 0xcd_5c5c),
    ("indigo", 0x4b_0082),
    ("ivory", 0xff_fff0),
    ("khaki", 0xf0_e68c),
    ("lavender", 0xe6_e6fa),
    ("lavenderblush", 0xff_f0f5),
    ("lawngreen", 0x7c_fc00),
    ("lemonchiffon", 0xff_facd),
    ("lightblue", 0xad_d8e6),
    ("lightcoral", 0xf0_8080),
    ("lightcyan", 0xe0_ffff),
    ("lightgoldenrodyellow", 0xfa_fad2),
    ("lightgray", 0xd3_d3d3),
    ("lightgreen", 0x90_ee90),
    ("lightgrey", 0xd3_d3d3),
    ("lightpink", 0xff_b6c1),
    ("lightsalmon", 0xff_a07a),
    ("lightseagreen", 0x20_b2aa),
    ("lightskyblue", 0x87_cefa),
    ("lightslategray", 0x77_8899),
    ("lightslategrey", 0x77_8899),
    ("lightsteelblue", 0xb0_c4de),
    ("lightyellow", 0xff_ffe0),
    ("lime", 0x00_ff00),
    ("limegreen", 0x32_cd32),
    ("linen", 0xfa_f0e6),
    ("magenta", 0xff_00ff),
    ("maroon", 0x80_0000),
    ("mediumaquamarine", 0x66_cdaa),
    ("mediumblue", 0x00_00cd),
    ("mediumorchid", 0xba_55d3),
    ("mediumpurple", 0x93_70db),
    ("mediumseagreen", 0x3c_b371),
    ("mediumslateblue", 0x7b_68ee),
    ("mediumspringgreen", 0x00_fa9a),
    ("mediumturquoise", 0x48_d1cc),
    ("mediumvioletred", 0xc7_1585),
    ("midnightblue", 0x19_1970),
    ("mintcream", 0xf5_fffa),
    ("mistyrose", 0xff_e4e1),
    ("moccasin", 0xff_e4b5),
    ("navajowhite", 0xff_dead),
    ("navy", 0x00_0080),
    ("oldlace", 0xfd_f5e6),
    ("olive", 0x80_8000),
    ("olivedrab", 0x6b_8e23),
    ("orange", 0xff_a500),
    ("orangered", 0xff_4500),
    ("orchid", 0xda_70d6),
    ("palegoldenrod", 0xee_e8aa),
    ("palegreen", 0x98_fb98),
    ("paleturquoise", 0xaf_eeee),
    ("palevioletred", 0xdb_7093),
    ("papayawhip", 0xff_efd5),
    ("peachpuff", 0xff_dab9),
    ("peru", 0xcd_853f),
    ("pink", 0xff_c0cb),
    ("plum", 0xdd_a0dd),
    ("powderblue", 0xb0_e0e6),
    ("purple", 0x80_0080),
    ("red", 0xff_0000),
    ("rosybrown", 0xbc_8f8f),
    ("royalblue", 0x41_69e1),
    ("saddlebrown", 0x8b_4513),
    ("salmon", 0xfa_8072),
    ("sandybrown", 0xf4_a460),
    ("seagreen", 0x2e_8b57),
    ("seashell", 0xff_f5ee),
    ("sienna", 0xa0_522d),
    ("silver", 0xc0_c0c0),
    ("skyblue", 0x87_ceeb),
    ("slateblue", 0x6a_5acd),
    ("slategray", 0x70_8090),
    ("slategrey", 0x70_8090),
    ("snow", 0xff_fafa),
    ("springgreen", 0x00_ff7f),
    ("steelblue", 0x46_82b4),
    ("tan", 0xd2_b48c),
    ("teal", 0x00_8080),
    ("thistle", 0xd8_bfd8),
    ("tomato", 0xff_6347),
    ("turquoise", 0x40_e0d0),
    ("violet", 0xee_82ee),
    ("wheat", 0xf5_deb3),
    ("white", 0xff_ffff),
    ("whitesmoke", 0xf5_f5f5),
    ("yellow", 0xff_ff00),
    ("yellowgreen", 0x9a_cd32),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_understood() {
        for (text, want) in [
            ("White", Color::WHITE),
            (" #fff ", Color::WHITE),
            ("#ffffff00", Color::WHITE),
            ("#12345", Color::Rgb(0x11, 0x22, 0x33)),
            ("#a", Color::Rgb(0xaa, 0, 0)),
            ("#", Color::Empty),
            ("ffffff", Color::Invalid),
            ("rgb(1, 2,3)", Color::Rgb(1, 2, 3)),
            ("rgb(100%,0%,0%)", Color::Rgb(255, 0, 0)),
            ("rgb(1,2)", Color::Invalid),
            ("nonsense", Color::Invalid),
        ] {
            assert_eq!(Color::read(text), want, "{text}");
        }
        assert_eq!(Color::of_style("rgba(1, 300, 3, 0.5)"), Color::Rgb(1, 255, 3));
        assert!(NAMES.is_sorted());
    }

    #[test]
    fn near_colours_are_alike() {
        assert!(Color::WHITE.is_like(Color::read("#fffffe")));
        assert!(!Color::WHITE.is_like(Color::BLACK));
        assert!(Color::Invalid.is_like(Color::Invalid) && !Color::Invalid.is_like(Color::BLACK));
    }
}
