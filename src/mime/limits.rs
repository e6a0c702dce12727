//! Everything a stranger can grow has a limit; these are the decoder's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Room;

/// Limits of one decoding. Over a limit means a defect with [`is_limit`](crate::mail::DefectCode::is_limit), never an
/// error, and never "clean".
#[derive(Debug, Clone)]
pub struct Limits {
    /// Nesting of parts, messages and containers together.
    pub depth_max: usize,
    /// Parts of all kinds but archive members.
    pub parts_max: usize,
    /// Header fields in one header section.
    pub headers_max: usize,
    /// Octets of one header field, its folds included.
    pub header_bytes_max: usize,
    /// Fields of one name of which each is a reading: of more, the first ones and the last are looked at.
    pub same_fields_max: usize,
    /// Parameters of one field, and segments of one RFC 2231 parameter.
    pub parameters_max: usize,
    /// Different values that one parameter can be read as.
    pub values_max: usize,
    /// Candidates for the file name of one part.
    pub names_max: usize,
    /// Octets of a boundary. RFC 2046 allows 70; a longer one than this is looked for all the same, and said.
    pub boundary_bytes_max: usize,
    /// Readings of one part: structures times transfer encodings.
    pub readings_max: usize,
    /// Octets that may be read another way again: this many, or those of the message times sixteen if that is more.
    pub again_bytes_min: usize,
    /// The most of them above those of the message itself: each reading of a text keeps a copy of it.
    pub again_more_bytes_max: usize,
    /// Links of a message.
    pub links_max: usize,
    /// Nesting of archives.
    pub archive_depth_max: usize,
    /// Archive members altogether.
    pub archive_files_max: usize,
    /// Octets that all archives together may unpack to.
    pub archive_expanded_bytes_max: u64,
    /// How many times its packed size a member over 1 MiB may unpack to.
    pub archive_ratio_max: u64,
    /// Work that yields no octets, in blocks of a digest (some ten millions are done in a second): keys made of
    /// passwords, most of all. What it does not suffice for stays encrypted. 0: no password is tried at all.
    pub work_max: u64,
    /// Passwords to try on what is encrypted, after those that stand in the mail.
    pub passwords: Arc<[String]>,
    /// Processor time of one decoding: the mark of a mail that was made to be slow. Time spent waiting does not count.
    pub processor_time_max: Duration,
    /// What the unpacked content of all mails may hold together; `None`: as much as it likes.
    pub room: Option<Arc<Room>>,
    /// When to give up; asked between parts and every 64 KiB of unpacking. `None`: never.
    pub deadline: Option<Instant>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth_max: 50,
            parts_max: 10_000,
            headers_max: 10_000,
            header_bytes_max: 1 << 20,
            same_fields_max: 8,
            parameters_max: 100,
            values_max: 64,
            names_max: 64,
            boundary_bytes_max: 1 << 10,
            readings_max: 6,
            again_bytes_min: 16 << 20,
            again_more_bytes_max: 64 << 20,
            links_max: 10_000,
            archive_depth_max: 12,
            archive_files_max: 5_000,
            archive_expanded_bytes_max: 500 << 20,
            archive_ratio_max: 200,
            work_max: 10_000_000,
            passwords: Arc::new([]),
            processor_time_max: Duration::from_secs(20),
            room: None,
            deadline: None,
        }
    }
}
