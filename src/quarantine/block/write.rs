//! Writes the block.

use std::fmt::Write as _;

use super::{MAIL, RCPT, STORED, encode};
use crate::mail::Path;
use crate::quarantine::NewEntry;

/// How the lines of a file end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::quarantine) enum LineEnds {
    /// LF stands for CRLF, and CR does not occur.
    Lf,
    /// The message lies there octet for octet.
    AsIs,
}

impl LineEnds {
    /// The form in which this message is stored.
    pub(in crate::quarantine) fn of(raw: &[u8]) -> Self {
        let mut after_cr = false;
        let mut expected = 0;
        for at in memchr::memchr2_iter(b'\r', b'\n', raw) {
            let is_lf = raw.get(at) == Some(&b'\n');
            // After CR the very next octet must be LF; an LF without a CR before it is bare.
            if after_cr != is_lf || (after_cr && at != expected) {
                return Self::AsIs;
            }
            after_cr = !is_lf;
            expected = at + 1;
        }
        if after_cr { Self::AsIs } else { Self::Lf }
    }

    fn line_end(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::AsIs => "\r\n",
        }
    }
}

/// The block for a mail stored at `time` (milliseconds since 1970).
pub(in crate::quarantine) fn write(entry: &NewEntry, time: i64, ends: LineEnds) -> Vec<u8> {
    let mut lines = Vec::new();
    let sender = bracketed(&entry.sender);
    lines.push(format!("Return-Path: {sender}"));
    lines.push(format!("Delivered-To: {}", entry.class.mailbox()));
    lines.push(format!("X-Envelope-From: {sender}"));
    push_list(&mut lines, "X-Envelope-To", &entry.all_recipients);
    push_list(&mut lines, "X-Envelope-To-Blocked", &entry.recipients);
    lines.push(format!("X-Quarantine-ID: <{}>", entry.id));
    for line in &entry.header_lines {
        lines.extend(handed_in(line));
    }
    if !is_plain(&entry.sender) {
        lines.push(format!("{MAIL}: {}", encode(&entry.sender.argument)));
    }
    for path in entry.recipients.iter().filter(|path| !is_plain(path)) {
        let address = encode(path.address.as_bytes());
        lines.push(format!("{RCPT}: {address} {}", encode(&path.argument)));
    }
    lines.push(last_line(entry, time));
    let mut block = lines.join(ends.line_end());
    block.push_str(ends.line_end());
    block.into_bytes()
}

fn last_line(entry: &NewEntry, time: i64) -> String {
    let octets = entry.raw.len();
    let mut line = format!("{STORED}: {} octets={octets} time={time}", entry.id);
    let _ = write!(line, " class={} verdict=", entry.class.prefix());
    line.push_str(&encode(entry.verdict.as_bytes()));
    if let Some(score) = entry.score {
        let _ = write!(line, " score={score}");
    }
    if let Some(address) = entry.client_address {
        let _ = write!(line, " client={address}");
    }
    let words = [("name", &entry.client_name), ("helo", &entry.helo), ("ident", &entry.ident)];
    for (word, value) in words {
        if let Some(value) = value {
            let _ = write!(line, " {word}={}", encode(value.as_bytes()));
        }
    }
    line
}

/// True if nothing is lost when only the address is written down.
fn is_plain(path: &Path) -> bool {
    let address = path.address.as_bytes();
    let inner = path.argument.strip_prefix(b"<").and_then(|rest| rest.strip_suffix(b">"));
    inner == Some(address)
        && address.iter().all(|b| b.is_ascii_graphic() && !b"<>,\"\\".contains(b))
}

fn bracketed(path: &Path) -> String {
    format!("<{}>", safe(&path.address))
}

/// One address a line, as amavis folds them.
fn push_list(lines: &mut Vec<String>, name: &str, paths: &[Path]) {
    for (n, path) in paths.iter().enumerate() {
        let before = if n == 0 { format!("{name}:") } else { String::new() };
        let after = if n + 1 < paths.len() { "," } else { "" };
        lines.push(format!("{before} {}{after}", bracketed(path)));
    }
}

/// No control character of a stranger begins a line of ours, ends it, or moves a terminal's cursor.
fn safe(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A line handed in, folds kept. What is no header field, or has the name of a field that we read back, is left out.
fn handed_in(field: &str) -> Vec<String> {
    let ours = [
        "Return-Path",
        "Delivered-To",
        "X-Envelope-From",
        "X-Envelope-To",
        "X-Envelope-To-Blocked",
        "X-Quarantine-ID",
        MAIL,
        RCPT,
        STORED,
    ];
    let Some((name, _)) = field.split_once(':') else { return Vec::new() };
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    if !is_name || ours.iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return Vec::new();
    }
    let mut lines: Vec<String> = Vec::new();
    for line in field.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let text = line.replace('\t', " ");
        if text.trim().is_empty() {
            continue;
        }
        // A further line always begins with a blank, whatever was handed in: it cannot become a field or a body.
        let fold = if lines.is_empty() || text.starts_with(' ') { "" } else { " " };
        lines.push(format!("{fold}{}", safe(&text)));
    }
    lines
}
