//! What the cutters of pages give: texts, tags, comments.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::filters::spam::text::perl::Piece;

/// What stands in a page, in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event<'p> {
    /// Text, character references read.
    Text(Piece<'p>),
    /// A tag in lower case with its attributes; of two of one name the first counts.
    Start(Cow<'p, str>, Vec<Attribute<'p>>),
    /// A closing tag in lower case.
    End(Cow<'p, str>),
    /// `<!doctype …>` and `<!entity …>`, whole.
    Declaration(String),
    /// A comment, whole.
    Comment(String),
}

/// Attributes of one tag that are looked through for one name; of more, the names are kept in a table.
const FEW: usize = 16;

/// An attribute, its name in lower case.
pub(super) type Attribute<'p> = (Cow<'p, str>, Piece<'p>);

/// The attributes of one tag; of two of one name the first counts.
#[derive(Debug, Default)]
pub(super) struct Attributes<'p> {
    list: Vec<Attribute<'p>>,
    /// Their names, once they are more than [`FEW`].
    names: HashSet<Cow<'p, str>>,
}

impl<'p> Attributes<'p> {
    pub(super) fn add(&mut self, name: Cow<'p, str>, value: impl FnOnce() -> Piece<'p>) {
        let is_new = if self.list.len() <= FEW {
            self.list.iter().all(|(known, _)| *known != name)
        } else {
            if self.names.is_empty() {
                self.names.extend(self.list.iter().map(|(known, _)| known.clone()));
            }
            self.names.insert(name.clone())
        };
        if is_new {
            self.list.push((name, value()));
        }
    }

    pub(super) fn into_list(self) -> Vec<Attribute<'p>> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_attributes_of_one_name_the_first_counts_however_many_there_are() {
        let mut attributes = Attributes::default();
        for number in (0..40).chain(0..40) {
            let value = || Piece { text: format!("{number}").into(), wide: false };
            attributes.add(format!("a{}", number % 30).into(), value);
        }
        let list = attributes.into_list();
        assert_eq!(list.len(), 30);
        assert!(list.iter().all(|(name, value)| name.strip_prefix('a') == Some(&*value.text)));
    }
}
