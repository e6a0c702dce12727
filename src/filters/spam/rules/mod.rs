//! Rule files: lines become drafts in a book, the book becomes an engine.

mod abilities;
mod book;
mod build;
mod directive;
mod elsewhere;
mod examples;
mod expression;
mod implied;
mod possible;
mod reader;
mod replace;
mod settings;
mod shipped;
mod template;

pub(in crate::filters::spam) use build::{Check, Meta, PatternCheck, Rule, build};
pub(in crate::filters::spam) use examples::run as run_examples;
pub(in crate::filters::spam) use possible::Possible;
pub use reader::includes;
pub(in crate::filters::spam) use reader::read;
pub(in crate::filters::spam) use settings::{Setting, Settings};
pub use shipped::shipped;
pub(in crate::filters::spam) use template::Template;
