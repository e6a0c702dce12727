//! What the words are taken from. Whoever renders mails anew changes the maker of this, and nothing else here.

/// The texts and facts of a mail.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Fields of the top header in order: name, and value with its folds undone and its encoded words read.
    pub headers: Vec<(String, String)>,
    /// The sender of the envelope, or what `Return-Path` says of it in a mail from a mailbox.
    pub sender: String,
    /// Subject and paragraphs that a reader sees.
    pub visible: Vec<String>,
    /// Text that is written, but not shown.
    pub invisible: Vec<String>,
    /// Links.
    pub links: Vec<String>,
    /// The parts.
    pub parts: Vec<PartFacts>,
}

/// What is known of a part.
#[derive(Debug, Clone, Default)]
pub struct PartFacts {
    /// The declared type.
    pub kind: String,
    /// The declared charset; may be empty.
    pub charset: String,
    /// The end of its file name behind the last dot, in lower case; may be empty.
    pub extension: String,
    /// A digest of its content, unless it is text; may be empty.
    pub digest: String,
}
