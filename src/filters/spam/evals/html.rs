//! Functions that look at what the tags of HTML parts tell.

use crate::filters::spam::pattern::{Pattern, Refusal};
use crate::filters::spam::text::html::Html;

use super::{Arguments, Call, Function, mime};

pub(super) const FUNCTIONS: &[Function] = &[
    ("html_tag_balance", tag_balance),
    ("html_image_only", image_only),
    ("html_image_ratio", image_ratio),
    ("html_charset_faraway", charset_faraway),
    ("html_tag_exists", tag_exists),
    ("html_test", test),
    ("html_eval", eval),
    ("html_text_match", text_match),
    ("html_title_subject_ratio", title_subject_ratio),
    ("html_text_not_match", text_not_match),
    ("html_range", range),
    ("check_iframe_src", iframe_src),
];

/// A comparison as rules write it: `< 384`, `!= 0`.
#[derive(Debug, Clone, Copy)]
struct Comparison {
    operator: Operator,
    number: f64,
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

impl Comparison {
    fn read(text: &str) -> Result<Self, String> {
        const KNOWN: [(&str, Operator); 6] = [
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let text = text.trim();
        let known = KNOWN.iter().find_map(|(sign, operator)| {
            let number = text.strip_prefix(sign)?.trim().parse().ok()?;
            Some(Self { operator: *operator, number })
        });
        known.ok_or_else(|| format!("`{text}` is no comparison like `< 384` or `!= 0`"))
    }

    fn holds(self, value: f64) -> bool {
        match self.operator {
            Operator::Less => value < self.number,
            Operator::LessOrEqual => value <= self.number,
            Operator::Equal => value == self.number,
            Operator::NotEqual => value != self.number,
            Operator::GreaterOrEqual => value >= self.number,
            Operator::Greater => value > self.number,
        }
    }
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

/// A fact by the name that rules know; `None`: this page does not tell.
fn fact(html: &Html, name: &str) -> Option<f64> {
    let share = |part: u32, all: u32| (all > 0).then(|| f64::from(part) / f64::from(all));
    let flag = |set: bool| set.then_some(1.0);
    match name {
        "html" => Some(1.0),
        "length" => Some(count(html.length)),
        "html_length" => Some(count(html.html_length)),
        "non_space_len" => Some(count(html.non_space_length)),
        "ratio" => html.ratio,
        "image_area" => Some(html.image_area),
        "min_size" => Some(html.min_size),
        "max_size" => Some(html.max_size),
        "closed_extra_ratio" => share(html.closed_extra, html.tags),
        "bad_tag_ratio" if html.elements > 0 => {
            share(html.tags.saturating_sub(html.elements), html.tags)
        }
        "non_element_ratio" if html.elements_seen > 0 => {
            share(html.tags_seen.saturating_sub(html.elements_seen), html.tags_seen)
        }
        "obfuscation_ratio" if html.obfuscation > 0 => share(html.obfuscation, html.tags),
        "backhair_count" => (html.backhair > 0).then(|| f64::from(html.backhair)),
        "font_low_contrast" => flag(html.font_low_contrast),
        "font_invalid_color" => flag(html.font_invalid_color),
        "font_face_bad" => flag(html.font_face_bad),
        "form_action_mailto" => flag(html.form_action_mailto),
        "embeds" => flag(html.embeds),
        "uri_truncated" => flag(html.uri_truncated),
        "charsets" => flag(html.charsets.is_some()),
        _ => None,
    }
}

/// Names that [`fact`] knows.
const FACTS: [&str; 20] = [
    "html",
    "length",
    "html_length",
    "non_space_len",
    "ratio",
    "image_area",
    "min_size",
    "max_size",
    "closed_extra_ratio",
    "bad_tag_ratio",
    "non_element_ratio",
    "obfuscation_ratio",
    "backhair_count",
    "font_low_contrast",
    "font_invalid_color",
    "font_face_bad",
    "form_action_mailto",
    "embeds",
    "uri_truncated",
    "charsets",
];

fn known_fact(name: &str) -> Result<String, String> {
    if FACTS.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(format!("nothing known of HTML is called `{name}`; write one of {}", FACTS.join(", ")))
}

/// Texts by the name that rules know.
fn texts<'h>(html: &'h Html, name: &str) -> Vec<&'h str> {
    let all = |texts: &'h [String]| texts.iter().map(String::as_str).collect();
    match name {
        "anchor" => html.anchors.iter().map(|anchor| anchor.text.as_str()).collect(),
        "comment" => all(&html.comments),
        "script" => all(&html.scripts),
        "title" => all(&html.titles),
        _ => Vec::new(),
    }
}

/// The number of an argument that must be there.
pub(super) fn number(arguments: &Arguments, place: usize) -> Result<f64, String> {
    arguments.number(place).ok_or_else(|| format!("`{}` is no number", arguments.text(place)))
}

/// The number of an argument that may be missing.
pub(super) fn limit(arguments: &Arguments, place: usize) -> Result<f64, String> {
    match arguments.text(place) {
        "" | "undef" | "inf" => Ok(f64::INFINITY),
        _ => number(arguments, place),
    }
}

fn tag_balance(arguments: &Arguments) -> Result<Call, String> {
    let tag = arguments.text(0).to_owned();
    let comparison = Comparison::read(arguments.text(1))?;
    Ok(Call::new(move |view| {
        let open = |html: &Html| html.inside.get(&tag).copied();
        let holds =
            |open: i64| i32::try_from(open).is_ok_and(|open| comparison.holds(f64::from(open)));
        view.html().any(|html| open(html).is_some_and(holds))
    }))
}

fn image_only(arguments: &Arguments) -> Result<Call, String> {
    let (min, max) = (number(arguments, 0)?, number(arguments, 1)?);
    Ok(Call::new(move |view| {
        view.html().any(|html| {
            let length = count(html.length);
            html.inside.contains_key("img") && length > min && length <= max
        })
    }))
}

fn image_ratio(arguments: &Arguments) -> Result<Call, String> {
    let (min, max) = (number(arguments, 0)?, number(arguments, 1)?);
    Ok(Call::new(move |view| {
        view.html().any(|html| {
            let ratio = count(html.non_space_length) / html.image_area;
            html.image_area > 0.0 && ratio > min && ratio <= max
        })
    }))
}

fn charset_faraway(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| {
        view.html().any(|html| {
            let charsets = html.charsets.as_deref().unwrap_or_default();
            let (near, far): (Vec<&str>, Vec<&str>) =
                charsets.split_whitespace().partition(|charset| mime::is_near(view, charset));
            !far.is_empty() && far.len() >= near.len()
        })
    }))
}

fn tag_exists(arguments: &Arguments) -> Result<Call, String> {
    let tag = arguments.text(0).to_owned();
    Ok(Call::new(move |view| view.html().any(|html| html.inside.contains_key(&tag))))
}

fn test(arguments: &Arguments) -> Result<Call, String> {
    let name = known_fact(arguments.text(0))?;
    Ok(Call::new(move |view| {
        view.html().any(|html| fact(html, &name).is_some_and(|value| value != 0.0))
    }))
}

fn eval(arguments: &Arguments) -> Result<Call, String> {
    let name = known_fact(arguments.text(0))?;
    let comparison = Comparison::read(arguments.text(1))?;
    Ok(Call::new(move |view| {
        view.html().any(|html| fact(html, &name).is_some_and(|value| comparison.holds(value)))
    }))
}

fn range(arguments: &Arguments) -> Result<Call, String> {
    let name = known_fact(arguments.text(0))?;
    let (min, max) = (number(arguments, 1)?, limit(arguments, 2)?);
    Ok(Call::new(move |view| {
        let within = |value: f64| value > min && value <= max;
        view.html().any(|html| fact(html, &name).is_some_and(within))
    }))
}

fn pattern(arguments: &Arguments) -> Result<(String, Pattern), String> {
    let name = arguments.text(0);
    if !["anchor", "comment", "script", "title"].contains(&name) {
        let names = "`anchor`, `comment`, `script` or `title`";
        return Err(format!("no text of HTML is called `{name}`; write {names}"));
    }
    let pattern = Pattern::compile(arguments.text(1).as_bytes(), "");
    let pattern = pattern.map_err(|refusal| match refusal {
        Refusal::Wrong(why) => why,
        Refusal::NotBuilt(why) => why.to_owned(),
    })?;
    Ok((name.to_owned(), pattern))
}

fn text_match(arguments: &Arguments) -> Result<Call, String> {
    let (name, pattern) = pattern(arguments)?;
    Ok(Call::new(move |view| {
        let texts = view.html().flat_map(|html| texts(html, &name));
        let mut fits = texts.filter(|text| pattern.is_match(text.as_bytes()));
        fits.next().map(str::to_owned)
    }))
}

fn text_not_match(arguments: &Arguments) -> Result<Call, String> {
    let (name, pattern) = pattern(arguments)?;
    Ok(Call::new(move |view| {
        let mut texts = view.html().flat_map(|html| texts(html, &name));
        texts.any(|text| !pattern.is_match(text.as_bytes()))
    }))
}

fn title_subject_ratio(arguments: &Arguments) -> Result<Call, String> {
    let ratio = number(arguments, 0)?;
    Ok(Call::new(move |view| {
        // The line end behind each Subject counts, as it does there.
        let subjects = view.header().all(b"subject").map(|field| field.decoded.len() + 1);
        let subject = subjects.sum::<usize>();
        subject > 0
            && view
                .html()
                .flat_map(|html| &html.titles)
                .any(|title| count(title.chars().count()) / count(subject) > ratio && title != "0")
    }))
}

fn iframe_src(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| {
        let mut uris = view.html().flat_map(|html| &html.uris);
        uris.find(|uri| uri.tag == "iframe").map(|uri| uri.value.clone())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::spam::evals::mime::tests::hits;

    #[test]
    fn comparisons_are_read() {
        for (text, value, want) in [
            ("< 384", 383.0, true),
            ("<= 3", 3.0, true),
            ("!= 0", 0.0, false),
            (">5", 6.0, true),
            ("== 1", 1.0, true),
        ] {
            assert_eq!(Comparison::read(text).unwrap().holds(value), want, "{text}");
        }
        assert!(Comparison::read("~ 3").is_err());
    }

    #[test]
    fn functions_see_pages() {
        let mail = "Subject: abc\nContent-Type: text/html\n\n<html><head><title>A long title</title>\
                    <body><a href=x><img src=y width=10 height=10></a><!-- saved --><center>\
                    <font color=#fefefe size=7>hidden</font><iframe src=z></iframe>";
        for (call, want) in [
            ("html_tag_balance('center', '!= 0')", true),
            ("html_tag_balance('iframe', '!= 0')", false),
            ("html_tag_balance('table', '== 0')", false),
            ("html_image_only(0, 400)", true),
            ("html_image_only(400, 800)", false),
            ("html_image_ratio('0.1', '1')", true),
            ("html_tag_exists('body')", true),
            ("html_tag_exists('table')", false),
            ("html_test('html')", true),
            ("html_test('font_low_contrast')", true),
            ("html_test('embeds')", false),
            ("html_eval('length', '< 384')", true),
            ("html_range('max_size', '6', 'inf')", true),
            ("html_range('length', '1000')", false),
            ("html_text_match('comment', 's[a]ved')", true),
            ("html_text_match('anchor', '<img>')", true),
            ("html_text_match('title', '^B')", false),
            ("html_text_not_match('title', '^B')", true),
            ("html_title_subject_ratio('2.5')", true),
            ("html_title_subject_ratio('3.5')", false),
            ("html_charset_faraway()", false),
            ("check_iframe_src()", true),
        ] {
            assert_eq!(hits(call, mail), want, "{call}");
        }
        assert!(!hits("html_test('html')", "Subject: a\n\n<b>text</b>"));
    }

    #[test]
    fn wrong_arguments_are_told() {
        for call in ["html_test('bogus')", "html_eval('length', 'x')", "html_text_match('x', 'y')"]
        {
            assert!(super::super::call(call).is_err(), "{call}");
        }
    }
}
