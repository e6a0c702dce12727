//! Everything together: the program between real and false neighbours. One program, so that it links once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "tests may stop"
)]

mod next_hop_faults;
mod postfix_after_queue;
mod postfix_pre_queue;
mod smtp_cases;
mod support;
