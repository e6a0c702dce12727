//! How pages are cut, by example.

use proptest::prelude::*;

use super::*;

/// Events as one line: `S:tag(name=value)`, `E:tag`, `T<text>`, `C<comment>`, `D<declaration>`.
fn cut(page: &str) -> String {
    let mut out = Vec::new();
    for event in Tokens::new(page, false).read().0 {
        out.push(match event {
            Event::Text(text) => format!("T<{}>", text.text),
            Event::Start(tag, attributes) => {
                let pairs: Vec<String> =
                    attributes.iter().map(|(n, v)| format!("{n}={}", v.text)).collect();
                format!("S:{tag}({})", pairs.join(","))
            }
            Event::End(tag) => format!("E:{tag}"),
            Event::Declaration(text) => format!("D<{text}>"),
            Event::Comment(text) => format!("C<{text}>"),
        });
    }
    out.join(" ")
}

#[test]
fn pages_are_cut_where_the_model_cuts_them() {
    for (page, want) in [
        ("<script>\"</script>\"x</script>y", "S:script() T<\"> E:script T<\"x> E:script T<y>"),
        ("<_foo>x<:a>y<1>z", "S:_foo() T<x> S::a() T<y> T<<1>z>"),
        ("<a href>x</A>", "S:a(href=href) T<x> E:a"),
        ("<img width height=>", "S:img(width=width,height=)"),
        ("<a HREF=\"x\" href=y>", "S:a(href=x)"),
        ("a < b <c> d", "T<a > T<< b > S:c() T< d>"),
        ("x <!-- a -- > y <!-- z", "T<x > C<<!-- a -- >> T< y > C<<!-- z>"),
        ("<!DOCTYPE html><!foo>bar<!>", "D<<!DOCTYPE html>> C<<!foo>> T<bar> C<<!>>"),
        ("<![CDATA[ <b>&lt; ]]>y<![if !mso]>q", "T< <b>&lt; > T<y> C<<![if !mso]>> T<q>"),
        ("<![ignore[ a<b> ]]>c", "T<c>"),
        ("foo bar &am", "T<foo bar> T< &am>"),
        ("foo <b", "T<foo > C<<b>"),
        ("<title>a<b>c</title>d", "S:title() T<a<b>c> E:title T<d>"),
        ("<title>abc", "S:title() T<abc> E:title"),
        ("<textarea><b>x", "S:textarea() T<<b>x>"),
        ("<style>abc", "S:style() T<abc> E:style"),
        ("<title>x<style>y z", "S:title() T<x> E:title S:style() E:style T<y> T< z>"),
        ("</ foo>x</>y</1>", "C<</ foo>> T<x> C<</>> T<y> E:1"),
        ("<?php a > b ?>", "T< b> T< ?>>"),
        ("<br\n/>x", "S:br(/=/) T<x>"),
        ("<p x=\"a>b\">y", "S:p(x=a>b) T<y>"),
        ("<p x=\"ab>y <b>z</b>", "C<<p x=\"ab>y <b>z</b>>"),
        ("<iframe src=x>foo<b>", "S:iframe(src=x) T<foo<b>>"),
        ("<plaintext>a</plaintext>b", "S:plaintext() T<a</plaintext>b>"),
        ("<xmp><b>x</xmp>y", "S:xmp() T<<b>x> E:xmp T<y>"),
        ("<!--->x-->y<!---->z", "C<<!--->x-->> T<y> C<<!---->> T<z>"),
        ("a<!b", "T<a> C<<!b>"),
        ("<a b=\"c\"d=e =x>", "S:a(b=c,d=e,=x==x)"),
        ("foo  ", "T<foo> T<  >"),
        ("<", "C<<>"),
        ("", ""),
    ] {
        assert_eq!(cut(page), want, "{page}");
    }
}

#[test]
fn what_never_closes_is_looked_for_once() {
    for opening in ["<title>", "<![a[", "<!--", "<a \"", "<textarea>", "<![a[]]>x]]", "<", "]]>"] {
        let page = opening.repeat(100_000);
        let begin = std::time::Instant::now();
        let _ = Tokens::new(&page, true).read();
        assert!(begin.elapsed().as_secs() < 10, "{opening}");
    }
}

proptest! {
    #[test]
    fn no_page_makes_it_fail(
        page in "(</?|/?>|[ab]|style|title|textarea|!--|--|<!\\[|cdata|\\[|\\]\\]>|=|[\"' \n]|&lt|é|!doctype ){0,40}"
    ) {
        let _ = Tokens::new(&page, true).read();
    }
}
