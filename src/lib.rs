//! Tamis, an SMTP content filter for Postfix.
//!
//! The rooms stand in the order in which a mail walks through them; `docs/ARCHITECTURE.md` draws the way.

pub mod config;
pub mod filters;
pub mod mail;
pub mod mime;
pub mod policy;
pub mod quarantine;
pub mod report;
pub mod smtp;
pub mod verdict;
