//! Rule files: lines become drafts in a book, the book becomes an engine.

mod abilities;
mod book;
mod brief;
mod build;
mod directive;
mod elsewhere;
mod examples;
mod expression;
mod implied;
mod reader;
mod replace;
mod settings;
mod shipped;
mod template;

pub(in crate::filters::spam) use brief::{Brief, Briefs};
pub(in crate::filters::spam) use build::{Check, PatternCheck, Rule, build};
pub(in crate::filters::spam) use examples::run as run_examples;
pub use reader::includes;
pub(in crate::filters::spam) use reader::read;
pub(in crate::filters::spam) use settings::{Setting, Settings};
pub use shipped::shipped;
pub(in crate::filters::spam) use template::Template;
