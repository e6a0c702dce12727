//! Documents that are one file of XML: the flat form of Office Open XML and of Open Document, and WordprocessingML of
//! 2003. What would be files of its own elsewhere stands in base64 between tags: programs, objects, pictures.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{Ask, Member, Opened, markup};

/// base64 as readers of XML take it.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

pub(super) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, .. } = ask;
    let text = markup::text_of(data);
    let mut part = None;
    for tag in markup::tags(&text) {
        match tag.name.as_str() {
            "part" => part = tag.attribute("name"),
            "binarydata" | "bindata" | "binary-data" => {
                let mut coded: Vec<u8> =
                    tag.text.bytes().filter(|octet| is_coded(*octet)).collect();
                // Four signs are three octets; what is left alone at the end is none.
                if coded.len() % 4 == 1 {
                    coded.pop();
                }
                let Ok(octets) = LENIENT.decode(coded) else { continue };
                let own = tag.attribute("name");
                let names = own.or_else(|| part.take()).into_iter().collect();
                opened.stored(Member { names, data: octets.into(), ..Member::default() }, budget);
            }
            _ => {}
        }
        if budget.is_late() {
            return;
        }
    }
}

fn is_coded(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::mime::Limits;
    use crate::mime::container::{Container, try_open};

    #[test]
    fn files_between_tags_become_members() {
        for (xml, name) in [
            (
                "<?xml version='1.0'?><pkg:package><pkg:part pkg:name='/word/vbaProject.bin'>\
                 <pkg:binaryData>YW\r\nJj</pkg:binaryData></pkg:part></pkg:package>",
                Some("/word/vbaProject.bin"),
            ),
            ("<w:wordDocument><w:binData w:name='editdata.mso'>YWJj", Some("editdata.mso")),
            ("<office:document><office:binary-data>YWJj==</office:binary-data>", None),
        ] {
            let octets = xml.as_bytes().to_vec();
            let opened = try_open(Container::FlatXml, octets, None, &Limits::default());
            assert_eq!(opened.members.len(), 1, "{xml}");
            assert_eq!(&opened.members[0].data[..], b"abc");
            assert_eq!(opened.members[0].names.first().map(String::as_str), name);
        }
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(text in "(<(pkg:part|binData|/)? ?(name=)?['\"]?>?|[A-Za-z=]{0,9}){0,20}") {
            try_open(Container::FlatXml, text.into_bytes(), None, &Limits::default());
        }
    }
}
