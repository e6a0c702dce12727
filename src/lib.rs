//! Tamis, an SMTP content filter for Postfix.
//!
//! The rooms stand in the order in which a mail walks through them; `docs/ARCHITECTURE.md` draws the way.

pub mod auth;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod dns;
pub mod engines;
pub mod examine;
pub mod explain;
pub mod filters;
#[doc(hidden)]
pub mod fuzzing;
pub mod journal;
pub mod learned;
pub mod mail;
pub mod metrics;
pub mod mime;
pub mod outside;
pub mod pipeline;
mod plain_file;
pub mod policy;
pub mod quarantine;
pub mod report;
pub mod server;
pub mod site;
pub mod smtp;
pub mod verdict;
