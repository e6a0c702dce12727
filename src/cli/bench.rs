//! `tamis bench` (not written yet).
use super::{Answer, Failure, exit};
/// Options.
#[derive(Debug, clap::Args)]
pub struct BenchOptions {}
/// Runs it.
pub fn run(_: &BenchOptions) -> Answer {
    Err(Failure::new(exit::BUG, "not yet"))
}
