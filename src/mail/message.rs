//! A decoded message: what the filters read. Made by [`crate::mime::decode`] and by nobody else.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::Defect;
use crate::mime::Share;

/// One message, decoded once.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The message as it was received: after dot-unstuffing, line ends as CRLF. All ranges point into it.
    pub raw: Bytes,
    /// The fields of the top header section, in order.
    pub headers: Vec<HeaderField>,
    /// Where the body begins; `raw.len()` if there is none.
    pub body_start: usize,
    /// The parts in the order of a walk through the tree, the root first; never empty.
    pub parts: Vec<Part>,
    /// Links seen in text and HTML parts, duplicates dropped.
    pub links: Vec<Link>,
    /// What is odd.
    pub defects: Vec<Defect>,
    /// Where in `raw` a CR LF begins that came as CR alone, in order; the first 65,536 of them.
    pub lone_cr: Vec<usize>,
    /// What its unpacked content holds of the memory that all mails share.
    pub share: Option<Arc<Share>>,
}

/// One header field; all ranges point into the octets it was read from: [`Message::raw`] for the top header,
/// [`Part::header_octets`] for that of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderField {
    /// The whole field with all its lines and the last line's CRLF.
    pub field: Range<usize>,
    /// The name, without blanks and colon.
    pub name: Range<usize>,
    /// What follows the colon, folds included, without the last CRLF.
    pub value: Range<usize>,
}

/// What a part is in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// A multipart: its content is its children.
    Multipart,
    /// An attached message: its only child is that message's root.
    Message,
    /// Neither: text or data. Archives are leaves of MIME too; their members are children of this part.
    Leaf,
    /// A member of an archive, or what was found packed inside another part (uuencode, …).
    Member,
}

/// One node of the tree: a MIME part, or a member of a container.
#[derive(Debug, Clone)]
pub struct Part {
    /// MIME numbers joined by dots, members of containers behind slashes: `2.1/invoice.zip/x.js`. The root is `1`
    /// for a message of one part, and `0` for a multipart root (whose children are `1`, `2`, …).
    pub path: String,
    /// Index of the parent in [`Message::parts`]; `None` for the root.
    pub parent: Option<usize>,
    /// Nesting: 0 for the root.
    pub depth: usize,
    /// What it is in the tree.
    pub kind: PartKind,
    /// The header section of this part, octet for octet (of an attached message: on its child, the root of that
    /// message). Empty for members.
    pub header_octets: Bytes,
    /// The fields of [`Part::header_octets`].
    pub headers: Vec<HeaderField>,
    /// The declared type in lower case, `text/plain` if none was declared; empty for members.
    pub declared_type: String,
    /// The declared charset in lower case.
    pub charset: Option<String>,
    /// The disposition in lower case: `attachment`, `inline`, …
    pub disposition: Option<String>,
    /// Every candidate for a file name, as it was written and decoded, duplicates dropped. Not normalised.
    pub names: Vec<String>,
    /// The content after transfer decoding or unpacking. Empty for [`PartKind::Multipart`].
    pub data: Bytes,
    /// For text parts: the content as Unicode; malformed octets became U+FFFD.
    pub text: Option<String>,
    /// The letters of ASCII are not its octets (UTF-16, UTF-7): who looks for words must look at `text` too.
    pub wide: bool,
    /// Types by content, the most telling first; several for polyglots. Empty if nothing is known.
    pub types: Vec<FileType>,
    /// What else is known.
    pub flags: Vec<PartFlag>,
    /// SHA-256 of `data`.
    pub sha256: [u8; 32],
}

/// A type by content: amavis' short name and the MIME type it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileType {
    /// `exe-ms`, `exe-unix`, `zip`, `doc`, `cdf-ms`, `txt`, `html`, …
    pub short: &'static str,
    /// The class, for rules that name kinds: `executable`, `script`, `archive`, `document`, `image`, `text`, …
    pub class: &'static str,
    /// The MIME type.
    pub mime: &'static str,
}

/// A fact about a part that is no defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartFlag {
    /// It, or something in it, needs a password.
    Encrypted,
    /// It is a container that could not be opened, or not to its end.
    Unscannable,
    /// It was taken out of a text by its own coding (uuencode, …).
    Embedded,
    /// It carries macros.
    Macro,
    /// It carries macros that run when it is opened.
    AutoRun,
    /// It carries an embedded object: a file or a program inside a document.
    Object,
    /// It fetches something from elsewhere when it is opened: a template, a picture, an object.
    Remote,
    /// It carries a script: JavaScript in a PDF, a picture or a page.
    Script,
    /// It starts a program or opens a file when it is opened.
    Launch,
    /// It was made by a script, or by a data address, out of text.
    Smuggled,
    /// It was opened with a password that was found there.
    Decrypted(PasswordSource),
}

/// Where a password was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PasswordSource {
    /// In a text of the mail.
    Body,
    /// In its Subject.
    Subject,
    /// In the name of a file.
    Name,
    /// In the configuration.
    Configured,
}

impl PartFlag {
    /// The flags that rules can ask for.
    pub const ASKABLE: [Self; 10] = [
        Self::Encrypted,
        Self::Unscannable,
        Self::Embedded,
        Self::Macro,
        Self::AutoRun,
        Self::Object,
        Self::Remote,
        Self::Script,
        Self::Launch,
        Self::Smuggled,
    ];

    /// The name as rules and JSON write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Encrypted => "encrypted",
            Self::Unscannable => "unscannable",
            Self::Embedded => "embedded",
            Self::Macro => "macro",
            Self::AutoRun => "auto-run",
            Self::Object => "object",
            Self::Remote => "remote",
            Self::Script => "script",
            Self::Launch => "launch",
            Self::Smuggled => "smuggled",
            Self::Decrypted(PasswordSource::Body) => "decrypted-with=body",
            Self::Decrypted(PasswordSource::Subject) => "decrypted-with=subject",
            Self::Decrypted(PasswordSource::Name) => "decrypted-with=name",
            Self::Decrypted(PasswordSource::Configured) => "decrypted-with=configured",
        }
    }
}

/// A link, as seen in a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The address as written, cleaned of blanks and control characters.
    pub url: String,
    /// Path of the part.
    pub part: String,
    /// The text shown for it in HTML, if it differs from the address.
    pub text: Option<String>,
}

impl Message {
    /// The octets of a field of the top header.
    #[must_use]
    pub fn octets(&self, range: &Range<usize>) -> &[u8] {
        self.raw.get(range.clone()).unwrap_or_default()
    }

    /// The fields of that name (case does not matter), in order.
    pub fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a HeaderField> {
        self.headers
            .iter()
            .filter(move |field| self.octets(&field.name).eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The raw value of the first field of that name, folds kept, without the last CRLF.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.fields(name).next().map(|field| self.octets(&field.value))
    }
}

impl Part {
    /// True if the flag is set.
    #[must_use]
    pub fn is(&self, flag: PartFlag) -> bool {
        self.flags.contains(&flag)
    }
}
