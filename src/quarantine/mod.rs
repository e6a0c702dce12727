//! The quarantine: mails kept for the postmaster.
