//! Patterns of rules: Perl's dialect, matched on octets in bounded time.
//!
//! A pattern is read into a [tree](tree), which becomes a [program], which the [machine] runs. The [window] of a
//! pattern, the most telling of its places in what such texts [usually](usual) hold, tells in one pass over a text, for
//! all patterns at once (the [sieve], and how texts [sift] through it; [scouts] where there are few), where it is worth
//! running at all; one that runs much gets a [gate], which asks an [automaton] first.
//!
//! Why not a finished engine: the `regex` crate knows no look-around and no back-references (one stock rule in seven),
//! and keeps up to some hundred kilobytes of automaton for each pattern and thread; with nearly two thousand patterns
//! that is more than all the rest of the program. Here a pattern costs some hundred octets of steps, a thread keeps
//! nothing, and every rule is counted by the same step limit.

mod automaton;
mod compile;
mod gate;
mod machine;
mod matcher;
mod perl;
mod places;
mod program;
mod scouts;
mod set;
mod sieve;
mod sift;
mod tree;
mod usual;
mod window;

pub(in crate::filters::spam) use machine::Machine;
pub(in crate::filters::spam) use matcher::{Pattern, TextRules};
pub(in crate::filters::spam) use perl::Refusal;
pub(in crate::filters::spam) use places::{Candidates, Places};
pub(in crate::filters::spam) use sift::Passes;
pub(in crate::filters::spam) use tree::Lengths;

#[cfg(test)]
use usual::Usual;

#[cfg(test)]
mod tests;
