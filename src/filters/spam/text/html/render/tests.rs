//! How pages are rendered, by example.

use proptest::prelude::*;

use super::*;

fn page(text: &str) -> Page {
    render(&Text { text: text.to_owned(), wide: !text.is_ascii() })
}

#[test]
fn tags_become_white_space() {
    for (html, want) in [
        ("a <br> b", "a\nb"),
        ("a<p>b</p>c", "a\n\nb\n\nc"),
        ("a<td>b</td> c", "a b c"),
        ("a  \n b<b> c</b>", "a b c"),
        ("a&nbsp;&nbsp;b<br/>c", "a b\nc"),
        ("a<style>x</style>b<script>y</script>c<!-- z -->d", "abcd"),
        ("<title>t</title>a", "\n\nt\n\na"),
        ("a &lt;b&gt; &eacute;", "a <b> \u{e9}"),
    ] {
        assert_eq!(page(html).text.text, want, "{html}");
    }
}

#[test]
fn hidden_text_is_told_from_seen_text() {
    let page = page("a<font color=white>b</font>c<p style='display:none'>d</p>");
    assert_eq!(page.visible.text, "ac\n\n\n\n");
    assert_eq!(page.invisible.text, "bd");
    assert!(page.facts.font_low_contrast);
}

#[test]
fn tags_are_counted() {
    let facts = page("<html><foo>a</b></b><a href=' x '>y<img width=10 height=50%></a>").facts;
    assert_eq!((facts.tags, facts.elements, facts.closed_extra), (7, 6, 2));
    assert_eq!((facts.tags_seen, facts.elements_seen), (5, 4));
    assert_eq!(facts.inside.get("html"), Some(&1));
    assert_eq!(facts.inside.get("a"), Some(&0));
    assert_eq!(facts.image_area, 3_000.0);
    assert_eq!(facts.anchors, [Anchor { href: "x".to_owned(), text: "y<img>\n".to_owned() }]);
    assert_eq!(facts.uris.len(), 1);
}

#[test]
fn addresses_stand_in_many_tags() {
    let page = page(
        "<base href='http://h/d/i.html'><a x/href=a><img src=b><body background=c><form action=d>\
         <meta http-equiv=refresh content='5; URL=e; x'><iframe src=f></iframe>",
    );
    let uris: Vec<(&str, &str)> =
        page.facts.uris.iter().map(|uri| (uri.tag.as_str(), uri.value.as_str())).collect();
    let want = [
        ("base", "http://h/d/i.html"),
        ("a", "a"),
        ("img", "b"),
        ("body", "c"),
        ("form", "d"),
        ("meta", "e"),
        ("iframe", "f"),
    ];
    assert_eq!(uris, want);
    assert_eq!(page.facts.uris[1].base.as_deref(), Some("http://h/d/"));
}

#[test]
fn words_cut_by_tags_are_counted() {
    let facts = page("Vi<b>ag</b>ra x <i>y</i>").facts;
    assert_eq!((facts.obfuscation, facts.backhair), (2, 1));
}

#[test]
fn the_known_tags_are_sorted() {
    assert!(ELEMENTS.is_sorted());
}

proptest! {
    /// With a letter over ASCII at its end, a text is gone through letter by letter.
    #[test]
    fn runs_of_blanks_become_one(text in "[a \t\n\x0b\x0c]{0,30}", blank: bool) {
        let pushed = |text: &str| {
            let mut out = "x".to_owned();
            push_with_one_blank(&mut out, text, blank);
            out
        };
        prop_assert_eq!(format!("{}é", pushed(&text)), pushed(&format!("{text}é")));
    }

    #[test]
    fn no_page_makes_it_fail(
        text in "(<|>|</|/>|p|td|font|style| color=|white|[\"' \n]|a href=|&nbsp;|x|é|_|%){0,60}"
    ) {
        let page = page(&text);
        prop_assert!(page.visible.text.len() + page.invisible.text.len() == page.text.text.len());
    }
}
