//! What is odd about a message. A defect is data, never an error: rules may score it, policy may act on it.

use std::fmt;

/// One oddity, where it was seen, and enough of it to explain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// The stable code; tables, logs and JSON use its name.
    pub code: DefectCode,
    /// Path of the part it was seen in; empty for the message itself.
    pub part: String,
    /// At most 200 bytes of printable detail, already cleaned of control characters.
    pub detail: String,
}

macro_rules! defect_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Stable codes of the oddities the decoder knows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DefectCode { $($(#[$doc])* $name,)* }

        impl DefectCode {
            /// Every code, for tables and documentation.
            pub const ALL: &'static [DefectCode] = &[$(DefectCode::$name,)*];

            /// The name as tables, logs and JSON write it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(DefectCode::$name => $text,)* }
            }

            /// The code of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(DefectCode::$name),)* _ => None }
            }
        }
    };
}

defect_codes! {
    /// A CR without LF in the message as it was received.
    BareCr = "bare-cr",
    /// An LF without CR in the message as it was received.
    BareLf = "bare-lf",
    /// A NUL octet.
    Nul = "nul",
    /// The message begins with a continuation line.
    LeadingContinuation = "leading-continuation",
    /// A header line without a colon, that is no continuation either.
    HeaderLineWithoutColon = "header-line-without-colon",
    /// Blanks between a field's name and its colon.
    BlankBeforeColon = "blank-before-colon",
    /// A continuation line of nothing but blanks.
    BlankContinuation = "blank-continuation",
    /// Octets over 127 in a header, where no SMTPUTF8 was asked for.
    EightBitHeader = "8bit-header",
    /// A line of more than 998 octets (RFC 5322 section 2.1.1).
    LongLine = "long-line",
    /// No empty line after the header section.
    NoSeparator = "no-separator",
    /// `Content-Type` more than once in one header.
    DuplicateContentType = "duplicate-content-type",
    /// `Content-Transfer-Encoding` more than once in one header.
    DuplicateTransferEncoding = "duplicate-transfer-encoding",
    /// `Content-Disposition` more than once in one header.
    DuplicateDisposition = "duplicate-disposition",
    /// `MIME-Version` more than once in one header.
    DuplicateMimeVersion = "duplicate-mime-version",
    /// One parameter given twice with different values.
    DuplicateParameter = "duplicate-parameter",
    /// The `boundary` parameter given twice with different values.
    DuplicateBoundary = "duplicate-boundary",
    /// A `Content-Type` that cannot be read.
    BadContentType = "bad-content-type",
    /// A `Content-Transfer-Encoding` that no standard knows.
    UnknownTransferEncoding = "unknown-transfer-encoding",
    /// base64 or quoted-printable declared on a container.
    EncodedContainer = "encoded-container",
    /// A multipart without a boundary parameter.
    NoBoundary = "no-boundary",
    /// A boundary that never appears in the body.
    BoundaryNeverAppears = "boundary-never-appears",
    /// The closing delimiter is missing.
    NoClosingBoundary = "no-closing-boundary",
    /// Text that looks like a part stands before the first delimiter or after the last.
    ContentOutsideParts = "content-outside-parts",
    /// Characters outside the alphabet inside base64 data.
    Base64Junk = "base64-junk",
    /// Padding inside base64 data, with more data after it.
    Base64InnerPadding = "base64-inner-padding",
    /// base64 data of a length that is no multiple of four.
    Base64Length = "base64-length",
    /// `=` followed by what quoted-printable does not allow.
    BadQuotedPrintable = "bad-quoted-printable",
    /// A file in a text (uuencode, yEnc, BinHex) that breaks off or does not add up.
    BadUuencode = "bad-uuencode",
    /// A charset that is not known.
    UnknownCharset = "unknown-charset",
    /// Octets that are not valid in the declared charset.
    BadCharset = "bad-charset",
    /// An encoded word that cannot be decoded.
    BadEncodedWord = "bad-encoded-word",
    /// A parameter value written as RFC 2231 that cannot be decoded, or two writings that disagree.
    BadParameter = "bad-parameter",
    /// message/partial: the rest of the message is elsewhere.
    MessagePartial = "message-partial",
    /// message/external-body: the content is elsewhere.
    MessageExternalBody = "message-external-body",
    /// An archive that cannot be read to its end.
    BadArchive = "bad-archive",
    /// A zip whose central directory and local headers disagree.
    ArchiveNamesDisagree = "archive-names-disagree",
    /// Archive members that share octets, as no packer makes them.
    OverlappingMembers = "overlapping-members",
    /// The name of an archive member, or the target of a link, leads out of the folder it is unpacked to.
    UnsafePath = "unsafe-path",
    /// An archive member packed by a method that cannot be unpacked here.
    UnscannableMember = "unscannable-member",
    /// An archive member or document that needs a password.
    Encrypted = "encrypted",
    /// Nested deeper than the limit.
    TooDeep = "too-deep",
    /// More parts than the limit.
    TooManyParts = "too-many-parts",
    /// More header fields, or longer ones, than the limit.
    TooManyHeaders = "too-many-headers",
    /// More parameters or segments of parameters than the limit.
    TooManyParameters = "too-many-parameters",
    /// More links than the limit.
    TooManyLinks = "too-many-links",
    /// More archive members than the limit.
    TooManyFiles = "too-many-files",
    /// Archives unpack to more octets than the limit.
    TooManyOctets = "too-many-octets",
    /// An archive member unpacks to more than the limit's multiple of its packed size.
    TooHighRatio = "too-high-ratio",
    /// Decoding took the processor for longer than the limit.
    TooSlow = "too-slow",
    /// There was no memory left for what unpacks, because of other mails; no limit of size, and no fault of the mail.
    NoRoom = "no-room",
    /// The time for the mail was over before all of it was decoded; no limit of size, and no fault of the mail.
    DeadlineOver = "deadline-over",
}

impl DefectCode {
    /// True for the codes that mean "a limit was reached": they lead to the verdict `over-limits`.
    #[must_use]
    pub fn is_limit(self) -> bool {
        matches!(
            self,
            Self::TooDeep
                | Self::TooManyParts
                | Self::TooManyHeaders
                | Self::TooManyParameters
                | Self::TooManyLinks
                | Self::TooManyFiles
                | Self::TooManyOctets
                | Self::TooHighRatio
                | Self::TooSlow
        )
    }
}

impl fmt::Display for DefectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.part.is_empty() {
            write!(f, " in part {}", self.part)?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        Ok(())
    }
}
