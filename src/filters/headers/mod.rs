//! Postfix header_checks(5) and body_checks tables.
