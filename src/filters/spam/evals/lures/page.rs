//! Pages: the HTML parts as a reader sees them, and those that come as files.

use std::collections::HashSet;

use crate::filters::spam::overlooked::is_page;
use crate::filters::spam::view::View;
use crate::mail::{Message, Part, PartFlag, PartKind};
use crate::mime::html;

/// Octets of one part that are looked at.
const PART_BYTES_MAX: usize = 256 * 1024;
/// Parts that are looked at.
const PARTS_MAX: usize = 16;

/// An HTML part that is shown.
#[derive(Debug)]
pub(super) struct Page {
    /// What is seen.
    pub(super) text: String,
    /// Letters that are seen.
    seen: usize,
    /// Letters that are written but not shown.
    hidden: usize,
    /// Pictures that are fetched from elsewhere.
    pictures: usize,
    /// Links to be pressed.
    anchors: usize,
}

/// The shown HTML parts of a message.
pub(super) fn read(message: &Message) -> Vec<Page> {
    let shown = message.parts.iter().filter(|part| {
        part.kind == PartKind::Leaf && is_page(part) == Some(true) && !is_file(part)
    });
    shown.take(PARTS_MAX).map(page).collect()
}

fn page(part: &Part) -> Page {
    let lossy;
    let text = match &part.text {
        Some(text) => text.as_str(),
        None => {
            let head = part.data.get(..PART_BYTES_MAX).unwrap_or(&part.data);
            lossy = String::from_utf8_lossy(head).into_owned();
            &lossy
        }
    };
    let text = text.get(..text.floor_char_boundary(PART_BYTES_MAX)).unwrap_or_default();
    let rendered = html::render(text);
    let lower = text.to_ascii_lowercase();
    Page {
        seen: letters(&rendered.text),
        hidden: rendered.hidden,
        pictures: remote_pictures(&lower),
        anchors: lower.matches("href=").count().min(lower.matches("<a").count()),
        text: rendered.text,
    }
}

/// Pictures that are fetched and seen: counters of one pixel are none.
fn remote_pictures(lower: &str) -> usize {
    const COUNTERS: [&str; 8] = [
        "width=\"1\"",
        "width='1'",
        "width=1 ",
        "height=\"1\"",
        "height='1'",
        "height=1 ",
        "width:1px",
        "display:none",
    ];
    let behind = |(at, _): (usize, &str)| lower.get(at..).unwrap_or_default();
    let tags = lower.match_indices("<img").map(behind).take(1_000);
    let tags = tags.map(|text| text.split('>').next().unwrap_or_default());
    tags.filter(|tag| tag.contains("http") && !COUNTERS.iter().any(|mark| tag.contains(mark)))
        .count()
}

/// Letters and digits. A sign of Chinese, Japanese or Korean says as much as several letters.
fn letters(text: &str) -> usize {
    text.chars()
        .filter(|sign| sign.is_alphanumeric())
        .map(|sign| if sign >= '\u{2e80}' { 4 } else { 1 })
        .sum()
}

/// True for a part that is offered as a file.
fn is_file(part: &Part) -> bool {
    part.disposition.as_deref() == Some("attachment") || !part.names.is_empty()
}

/// More is hidden than seen: so many times as much, and so many letters at least.
pub(super) fn hidden_text(view: &View<'_>, times: usize, letters: usize) -> Option<String> {
    let pages = view.lures().pages(view).iter();
    let (seen, hidden) =
        pages.fold((0, 0), |(seen, hidden), page| (seen + page.seen, hidden + page.hidden));
    let found = hidden >= letters && hidden >= seen.saturating_mul(times);
    found.then(|| format!("{hidden} letters hidden, {seen} seen"))
}

/// Pictures from elsewhere and links, and hardly a letter to read.
pub(super) fn picture_only(view: &View<'_>, letters_max: usize) -> Option<String> {
    let pages = view.lures().pages(view);
    let seen: usize = pages.iter().map(|page| page.seen).sum();
    let pictures: usize = pages.iter().map(|page| page.pictures).sum();
    let pressed = pages.iter().any(|page| page.anchors > 0);
    let plain = view.mail.message.parts.iter().filter(|part| {
        part.kind == PartKind::Leaf && part.declared_type == "text/plain" && !is_file(part)
    });
    let plain = plain.filter_map(|part| part.text.as_deref()).any(|text| {
        // Twice as many, because addresses stand in this text too.
        letters(text.get(..text.floor_char_boundary(4_096)).unwrap_or_default()) > letters_max * 2
    });
    let found = pictures > 0 && pressed && seen <= letters_max && !plain;
    found.then(|| format!("{pictures} pictures, {seen} letters"))
}

/// The plain text and the page of one mail say different things.
pub(super) fn alternatives_differ(view: &View<'_>) -> Option<String> {
    /// Fewer words say nothing: "Your program does not show HTML".
    const WORDS_MIN: usize = 20;
    let message = view.mail.message;
    let root = message.parts.first()?;
    if root.declared_type != "multipart/alternative" {
        return None;
    }
    let child = |part: &&Part| part.parent == Some(0) && part.declared_type == "text/plain";
    let plain = words(message.parts.iter().find(child)?.text.as_deref()?);
    let page = words(&view.lures().pages(view).first()?.text);
    if plain.len() < WORDS_MIN || page.len() < WORDS_MIN {
        return None;
    }
    let common = plain.intersection(&page).count();
    (common * 10 < plain.len().min(page.len()))
        .then(|| format!("{common} common words of {} and {}", plain.len(), page.len()))
}

/// The different words of four letters and more.
fn words(text: &str) -> HashSet<String> {
    let text = text.get(..text.floor_char_boundary(64 * 1024)).unwrap_or_default();
    let words = text.split(|sign: char| !sign.is_alphanumeric());
    words.filter(|word| word.chars().count() >= 4).map(str::to_lowercase).collect()
}

/// A page or a picture that is a page comes as a file, and has a script (0), asks for something (1), or leads away at
/// once (2).
pub(super) fn attached(message: &Message, kind: usize) -> Option<String> {
    const NAMES: [&str; 8] = [".htm", ".html", ".shtml", ".xhtml", ".xht", ".svg", ".svgz", ".mht"];
    let pages = message.parts.iter().filter(|part| {
        let named = part.names.iter().any(|name| {
            let name = name.to_lowercase();
            NAMES.iter().any(|end| name.trim_end().ends_with(end))
        });
        let declared = matches!(
            part.declared_type.as_str(),
            "text/html" | "image/svg+xml" | "application/xhtml+xml"
        );
        matches!(part.kind, PartKind::Leaf | PartKind::Member)
            && (named || (declared && part.disposition.as_deref() == Some("attachment")))
    });
    pages.take(PARTS_MAX).find_map(|part| {
        let head = part.data.get(..PART_BYTES_MAX).unwrap_or(&part.data);
        let text = String::from_utf8_lossy(head).to_ascii_lowercase();
        let has = |marks: &[&str]| marks.iter().any(|mark| text.contains(mark));
        let found = match kind {
            0 => {
                part.is(PartFlag::Script)
                    || part.is(PartFlag::Smuggled)
                    || has(&["<script", "javascript:", "onload=", "onerror=", "atob("])
            }
            1 => has(&["type=\"password\"", "type='password'", "type=password"]),
            _ => {
                has(&["http-equiv=\"refresh\"", "http-equiv='refresh'", "http-equiv=refresh"])
                    || has(&[
                        "location.href",
                        "location.replace",
                        "window.location",
                        "location.assign",
                    ])
            }
        };
        found.then(|| part.names.first().cloned().unwrap_or_else(|| part.path.clone()))
    })
}
