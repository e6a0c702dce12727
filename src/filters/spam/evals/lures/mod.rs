//! Functions of our own rules: what patterns cannot tell. Their names begin with `lure_`.
//!
//! They look for what a reader is led to believe against what is there: a firm in the sender's name, the text of a
//! link, the words that are hidden, the file that is a page.

mod brands;
mod domains;
mod page;
mod sender;

use std::cell::OnceCell;

use crate::filters::spam::text::Selector;
use crate::filters::spam::view::View;

use super::{Arguments, Call, Function};

use page::Page;

pub(super) const FUNCTIONS: &[Function] = &[
    ("lure_brand_in_name", |_| Ok(Call::new(sender::brand_in_name))),
    ("lure_brand_in_domain", brand_in_domain),
    ("lure_sender_unvouched", |_| Ok(Call::new(sender::unvouched))),
    ("lure_reply_elsewhere", |_| Ok(Call::new(sender::reply_elsewhere))),
    ("lure_from_is_to", |_| Ok(Call::new(sender::from_is_to))),
    ("lure_names_recipient", names_recipient),
    ("lure_link_shows_other", link_shows_other),
    ("lure_links_elsewhere", |_| Ok(Call::new(domains::links_elsewhere))),
    ("lure_hidden_text", hidden_text),
    ("lure_picture_only", picture_only),
    ("lure_alternatives_differ", |_| Ok(Call::new(page::alternatives_differ))),
    ("lure_page", attached_page),
];

/// What is made of a mail once for all of these functions.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Facts {
    pages: OnceCell<Vec<Page>>,
}

impl Facts {
    /// The HTML parts, as a reader sees them.
    fn pages(&self, view: &View<'_>) -> &[Page] {
        self.pages.get_or_init(|| page::read(view.mail.message))
    }
}

/// The text of a header as rules name it (`From:addr`); empty if there is none.
fn field(view: &View<'_>, selector: &str) -> String {
    let text = Selector::parse(selector).ok().and_then(|selector| selector.text(view));
    String::from_utf8_lossy(&text.unwrap_or_default()).into_owned()
}

/// Which of the words of a function's first argument it is.
fn choice(arguments: &Arguments, words: &[&str]) -> Result<usize, String> {
    let given = arguments.text(0);
    let place = words.iter().position(|word| *word == given);
    place.ok_or_else(|| format!("the first argument is one of '{}'", words.join("', '")))
}

fn count(arguments: &Arguments, place: usize) -> Result<usize, String> {
    let number = arguments.text(place).parse();
    number.map_err(|_| format!("argument {} is a whole number", place + 1))
}

/// `lure_brand_in_domain('from'|'link')`
fn brand_in_domain(arguments: &Arguments) -> Result<Call, String> {
    Ok(match choice(arguments, &["from", "link"])? {
        0 => Call::new(sender::lookalike_sender),
        _ => Call::new(domains::lookalike_link),
    })
}

/// `lure_names_recipient('subject'|'greeting'|'fragment')`
fn names_recipient(arguments: &Arguments) -> Result<Call, String> {
    Ok(match choice(arguments, &["subject", "greeting", "fragment"])? {
        0 => Call::new(sender::recipient_in_subject),
        1 => Call::new(sender::recipient_greeted),
        _ => Call::new(sender::recipient_in_fragment),
    })
}

/// `lure_link_shows_other('any'|'brand')`
fn link_shows_other(arguments: &Arguments) -> Result<Call, String> {
    let brand = choice(arguments, &["any", "brand"])? == 1;
    Ok(Call::new(move |view| domains::link_shows_other(view, brand)))
}

/// `lure_hidden_text(times, letters)`: so many times as much as is seen, and so many letters at least.
fn hidden_text(arguments: &Arguments) -> Result<Call, String> {
    let (times, letters) = (count(arguments, 0)?, count(arguments, 1)?);
    Ok(Call::new(move |view| page::hidden_text(view, times, letters)))
}

/// `lure_picture_only(letters)`: so many letters are seen at most.
fn picture_only(arguments: &Arguments) -> Result<Call, String> {
    let letters = count(arguments, 0)?;
    Ok(Call::new(move |view| page::picture_only(view, letters)))
}

/// `lure_page('script'|'form'|'leads')`
fn attached_page(arguments: &Arguments) -> Result<Call, String> {
    let kind = choice(arguments, &["script", "form", "leads"])?;
    Ok(Call::new(move |view| page::attached(view.mail.message, kind)))
}

#[cfg(test)]
mod tests;
