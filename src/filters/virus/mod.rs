//! Virus scanners: clamd, and the built-in one.
