//! HTML to the text a reader sees, and its links.
