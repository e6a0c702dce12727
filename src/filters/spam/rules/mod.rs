//! Rule files: lines become drafts in a book, the book becomes an engine.

mod book;
mod build;
mod directive;
mod examples;
mod expression;
mod reader;
mod settings;
mod shipped;

pub(in crate::filters::spam) use build::{Check, PatternCheck, Rule, build};
pub(in crate::filters::spam) use examples::run as run_examples;
pub(in crate::filters::spam) use reader::read;
pub(in crate::filters::spam) use settings::{Setting, Settings};
pub use shipped::shipped;
