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

mod corpus_relay;
mod corpus_scan;
mod disagreement;
mod disk_is_full;
mod dns_and_auth;
mod endpoints;
mod engines;
mod evasion;
mod house;
mod kill_nine;
mod learning;
mod legitimate_mail;
mod lifecycle;
mod lmtp;
mod loop_guard;
mod mutants;
mod next_hop_faults;
mod no_file_for_a_passing_mail;
mod partial;
mod postfix_after_queue;
mod postfix_pre_queue;
mod postfix_relays;
mod release;
mod rule_files;
mod scanner_faults;
mod smtp_cases;
mod support;
mod what_passes;
