//! Attachments: names, declared types, types by content, in archives too.
