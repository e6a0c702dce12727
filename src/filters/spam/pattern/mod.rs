//! Patterns of rules: from Perl's dialect to a matcher, and which of them are worth running on a text.

mod literals;
mod matcher;
mod perl;

pub(in crate::filters::spam) use matcher::{Candidates, Pattern, TextRules};
pub(in crate::filters::spam) use perl::Refusal;
