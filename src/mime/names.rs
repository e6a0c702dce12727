//! File names: every way a mail reader may read one.
