//! Allow and deny lists of senders.
