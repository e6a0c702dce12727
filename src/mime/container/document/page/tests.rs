//! Whole pages, looked into.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::mime::Limits;
use crate::mime::container::{Container, try_open};

/// Looks at the page as the walk does, at what of it does more than show itself.
fn opened(html: &str) -> Opened {
    let active = html::render(html).active;
    try_open(Container::Page, active.into_bytes(), None, &Limits::default())
}

fn zip() -> Vec<u8> {
    [&b"PK\x03\x04\x14\0\0\0"[..], &[7; 90]].concat()
}

#[test]
fn what_scripts_read_out_of_the_page_is_looked_at() {
    let coded = STANDARD.encode([zip(), vec![7; 300]].concat());
    for html in [
        format!(
            "<script type='application/json'>{{\"d\":\"{coded}\"}}</script><script>go()</script>"
        ),
        format!("<!--{coded}--><script>go()</script>"),
        format!("<p x='{coded}'><script>go()</script>"),
    ] {
        let opened = opened(&html);
        assert_eq!(opened.members.len(), 1, "{html}");
    }
    assert!(
        !opened("<script type='application/json'>{}</script>").flags.contains(&PartFlag::Script)
    );
}

#[test]
fn files_in_addresses_become_members() {
    let coded = STANDARD.encode(zip());
    let percent = coded.replace('=', "%3D").replace('/', "%2f");
    let url = |coded: &str| format!("data:application/zip;base64,{coded}");
    let broken: String = coded.chars().flat_map(|sign| [sign, '\n']).collect();
    for html in [
        format!("<a download='in voice.zip' href='{}'>x</a>", url(&coded)),
        format!("<a download='in voice.zip' href={}>x</a>", url(&percent)),
        format!("<a download='in voice.zip' href=' d&#97;ta&colon;a/b;base64 , {broken}'>x</a>"),
        format!("<svg><a xlink:href='{}' download='in voice.zip'/></svg>", url(&coded)),
    ] {
        let opened = opened(&html);
        assert_eq!(opened.members.len(), 1, "{html}");
        assert_eq!(opened.members[0].names, ["in voice.zip"], "{html}");
        assert_eq!(&opened.members[0].data[..], zip(), "{html}");
        assert_eq!(opened.members[0].flags, [PartFlag::Smuggled], "{html}");
    }
    for html in [
        format!("<embed src=\"{}\">", url(&coded)),
        format!("<object data='{}'></object>", url(&coded)),
        format!("<iframe src='{}'></iframe>", url(&coded)),
        format!("<style>p {{ background: url( \"{}\" ) }}</style>", url(&coded)),
        format!("<p style='background:url({})'>", url(&coded)),
        format!("<meta http-equiv=refresh content='0; url={}'>", url(&coded)),
        format!("<!--[if ie]><img src='{}'><![endif]-->", url(&coded)),
        format!("<?xml version='1.0'?><svg><script href='x'/><image href='{}'/>", url(&coded)),
    ] {
        assert_eq!(opened(&html).members.len(), 1, "{html}");
    }
}

#[test]
fn pictures_in_addresses_are_no_members() {
    let picture = STANDARD.encode(b"\x89PNG\r\n\x1a\n\0\0");
    let html = format!(
        "<img src='data:image/png;base64,{picture}'><p style='background:url(data:image/gif;base64,R0lGODlhAQABAAAAACw=)'>"
    );
    let opened = opened(&html);
    assert!(opened.members.is_empty() && opened.flags.is_empty(), "{opened:?}");
}

#[test]
fn files_that_scripts_make_become_members() {
    let coded = STANDARD.encode(zip());
    let (one, two) = coded.split_at(50);
    let turned: String = coded.chars().rev().collect();
    let numbers: Vec<String> = zip().iter().map(u8::to_string).collect();
    let escaped: String = coded.bytes().map(|octet| format!("\\x{octet:02x}")).collect();
    let name = "a.download='in voice.zip'";
    for script in [
        format!("var b=atob('{coded}');{name}"),
        format!("var b='{one}'+\n\"{two}\";f(b);{name}"),
        format!("var b='{one}'; b+='{two}'; f(b);{name}"),
        format!("f(['{one}','{two}'].join(''));{name}"),
        format!("f('{turned}'.split('').reverse().join(''));{name}"),
        format!("f(rev('{turned}'));{name}"),
        format!("new Blob([new Uint8Array([{}])]);{name}", numbers.join(", ")),
        format!("f(\"{escaped}\");{name}"),
        format!("var n='in voice.zip';navigator.msSaveOrOpenBlob(b('{coded}'), n)"),
        format!("a.href='data:application/zip;base64,'+'{one}'+'{two}';{name}"),
    ] {
        let html = format!("<html><body><SCRIPT>{script}</script>");
        let opened = opened(&html);
        let found = opened.members.iter().find(|member| member.data[..] == zip());
        let found = found.unwrap_or_else(|| panic!("{script}: {opened:?}"));
        assert_eq!(found.names, ["in voice.zip"], "{script}");
        assert_eq!(found.flags, [PartFlag::Smuggled], "{script}");
        assert!(opened.flags.contains(&PartFlag::Script), "{script}");
    }
    let beside = format!("<p id=x hidden>{}</p><script>f(x.innerText)</script>", coded.repeat(3));
    assert_eq!(opened(&beside).members.len(), 1);
}

#[test]
fn what_scripts_write_is_a_page_again() {
    let inner = "<iframe src='http://a.example/login'></iframe>";
    let percent: String = inner.bytes().map(|octet| format!("%{octet:02X}")).collect();
    let coded = STANDARD.encode(inner);
    let codes: Vec<String> = inner.bytes().map(|octet| octet.to_string()).collect();
    for script in [
        format!("document.write(unescape('{percent}'))"),
        format!("document.write(decodeURIComponent(\"{percent}\"))"),
        format!("document.write(atob('{coded}'))"),
        format!("eval(atob('{}'))", STANDARD.encode(format!("document.write(atob('{coded}'))"))),
        format!("document.write(String.fromCharCode({}))", codes.join(",")),
        format!("document.write(\"{inner}\")"),
    ] {
        let opened = opened(&format!("<html><script>{script}</script>"));
        let pages: Vec<_> = opened
            .members
            .iter()
            .filter(|member| member.data.ends_with(inner.as_bytes()))
            .collect();
        assert_eq!(pages.len(), 1, "{script}: {opened:?}");
    }
}

#[test]
fn a_script_anywhere_is_known() {
    for (html, want) in [
        ("<html><script>x()</script>", true),
        ("<script src=http://a.b/c></script>", true),
        ("<svg onload='x()'>", true),
        ("<a href=' java\nscript:x()'>", true),
        ("<svg><foreignObject>", true),
        ("<html><script type='application/ld+json'>{\"a\":1}</script>", false),
        ("<p title='onload=x'>javascript: is a language</p>", false),
    ] {
        assert_eq!(opened(html).flags.contains(&PartFlag::Script), want, "{html}");
    }
}

#[test]
fn addresses_in_scripts_are_links() {
    let opened = opened(
        "<script>window.location = \"http://a.b/\" + 'c'; x='http://www.w3.org/1999/xhtml'</script>",
    );
    assert_eq!(opened.links, [("http://a.b/c".to_owned(), None)]);
}

proptest! {
    #[test]
    fn no_octets_make_it_fail(
        html in "(<script>|</script>|<a href=|<svg|>|<|'|\"|data:|a/b;base64,|UEsDBBQA|\\+|=|\\[|,|1|%3C|atob\\(|\\)|\0|é){0,60}",
    ) {
        opened(&html);
    }

    #[test]
    fn no_change_of_a_page_makes_it_fail(at: usize, octet: u8) {
        let coded = STANDARD.encode(zip());
        let mut html = format!("<html><script>var a=['{coded}','x'].join('');b.download='c.zip'</script>").into_bytes();
        let at = at % html.len();
        html[at] = octet;
        try_open(Container::Page, html, None, &Limits::default());
    }
}
