//! Replies, ours and the next hop's. Ours are built here and nowhere else.

use std::fmt;

/// An SMTP reply (RFC 5321 section 4.2) with its enhanced status code (RFC 3463) as part of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 ≤ code ≤ 599.
    pub code: u16,
    /// One line of text for each line of the reply, without code and line end; printable, never empty.
    pub lines: Vec<String>,
}

/// Lines of a reply we take from a next hop.
const LINES_MAX: usize = 100;
/// Octets of a reply line we take from a next hop.
const LINE_BYTES_MAX: usize = 2048;

impl Reply {
    /// A reply of one line. Control characters in the text become blanks, so that a stranger's words cannot end it.
    #[must_use]
    pub fn new(code: u16, text: impl AsRef<str>) -> Self {
        Self { code, lines: vec![printable(text.as_ref())] }
    }

    /// 2xx.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// 4xx.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// 5xx.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }

    /// The lines joined by blanks.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// The enhanced status code at the head of the text, if there is one of the same class.
    #[must_use]
    pub fn enhanced(&self) -> Option<&str> {
        let word = self.lines.first()?.split(' ').next()?;
        let mut numbers = word.split('.');
        let class = numbers.next()?.parse::<u16>().ok()?;
        let rest =
            numbers.filter(|n| n.len() <= 3 && n.bytes().all(|b| b.is_ascii_digit())).count();
        (class == self.code / 100 && rest == 2 && word.split('.').count() == 3).then_some(word)
    }

    /// The reply as it goes over the wire.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        for (index, line) in self.lines.iter().enumerate() {
            let separator = if index == last { ' ' } else { '-' };
            out.extend_from_slice(format!("{}{separator}{line}\r\n", self.code).as_bytes());
        }
    }

    /// The reply after `354` and EHLO aside: what the client hears of a failure of ours.
    #[must_use]
    pub fn try_again(what: &str) -> Self {
        Self::new(451, format!("4.5.0 Error in processing, {what}"))
    }

    /// The session ends because of us.
    #[must_use]
    pub fn shutting_down() -> Self {
        Self::new(421, "4.3.2 Service shutting down, closing channel")
    }

    /// The session ends because the client was silent.
    #[must_use]
    pub fn idle() -> Self {
        Self::new(421, "4.4.2 Idle for too long, closing channel")
    }

    /// More sessions than we serve at once.
    #[must_use]
    pub fn too_busy() -> Self {
        Self::new(421, "4.3.2 Too many connections, try again later")
    }

    /// The message is larger than the limit.
    #[must_use]
    pub fn too_large(octets: u64) -> Self {
        Self::new(552, format!("5.3.4 Message size ({octets} B) exceeds size limit"))
    }

    /// No room to take the message in.
    #[must_use]
    pub fn no_room() -> Self {
        Self::new(452, "4.3.1 Too much mail in flight, try again later")
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text())
    }
}

/// Control characters become blanks.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What a next hop sent that is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadReply {
    /// Not `NNN text`.
    #[error("what the next hop said is no SMTP reply")]
    Garbage,
    /// A reply to nothing that was asked.
    #[error("the next hop spoke before it was asked")]
    Early,
    /// More or longer lines than a reply may have.
    #[error("the next hop's reply is too long")]
    TooLong,
}

/// Reads replies out of a stream of octets, line by line.
#[derive(Debug, Default)]
pub struct ReplyReader {
    code: Option<u16>,
    lines: Vec<String>,
}

impl ReplyReader {
    /// Takes octets from the front of `input`; gives the reply once its last line is there, and how many octets were
    /// used. The caller keeps what is left.
    ///
    /// # Errors
    /// When the octets are no reply; the connection is of no use then.
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, Option<Reply>), BadReply> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let Some(end) = memchr::memchr(b'\n', rest) else {
                return if rest.len() > LINE_BYTES_MAX {
                    Err(BadReply::TooLong)
                } else {
                    Ok((used, None))
                };
            };
            let line = rest.get(..end).unwrap_or_default();
            used += end + 1;
            if let Some(reply) = self.line(line.strip_suffix(b"\r").unwrap_or(line))? {
                return Ok((used, Some(reply)));
            }
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, BadReply> {
        if line.len() > LINE_BYTES_MAX || self.lines.len() >= LINES_MAX {
            return Err(BadReply::TooLong);
        }
        let (Some(digits), rest) = (line.get(..3), line.get(3..).unwrap_or_default()) else {
            return Err(BadReply::Garbage);
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(BadReply::Garbage);
        }
        let code = digits.iter().fold(0u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        if !(200..600).contains(&code) || self.code.is_some_and(|first| first != code) {
            return Err(BadReply::Garbage);
        }
        let last = match rest.first() {
            None | Some(b' ') => true,
            Some(b'-') => false,
            Some(_) => return Err(BadReply::Garbage),
        };
        self.code = Some(code);
        self.lines.push(printable(&String::from_utf8_lossy(rest.get(1..).unwrap_or_default())));
        if !last {
            return Ok(None);
        }
        self.code = None;
        Ok(Some(Reply { code, lines: std::mem::take(&mut self.lines) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(octets: &[u8]) -> Result<Option<Reply>, BadReply> {
        ReplyReader::default().read(octets).map(|(_, reply)| reply)
    }

    #[test]
    fn a_reply_may_have_several_lines() {
        let reply = read(b"250-one\r\n250 two\r\n").unwrap().unwrap();
        assert_eq!((reply.code, reply.lines), (250, vec!["one".to_owned(), "two".to_owned()]));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for octets in [
            &b"hello\r\n"[..],
            b"25\r\n",
            b"250-a\r\n251 b\r\n",
            b"250_x\r\n",
            b"999 x\r\n",
            b"\0\xff\r\n",
        ] {
            assert_eq!(read(octets), Err(BadReply::Garbage), "{octets:?}");
        }
        assert_eq!(read(&b"250-x\r\n".repeat(1000)), Err(BadReply::TooLong));
        assert_eq!(read(&b"2".repeat(5000)), Err(BadReply::TooLong));
    }

    #[test]
    fn octets_arrive_in_any_pieces() {
        let whole = b"250-one\r\n250 two\r\n";
        for cut in 0..whole.len() {
            let mut reader = ReplyReader::default();
            let (used, none) = reader.read(&whole[..cut]).unwrap();
            assert_eq!(none, None);
            let (_, reply) = reader.read(&whole[used..]).unwrap();
            assert_eq!(reply.unwrap().lines.len(), 2, "cut at {cut}");
        }
    }

    #[test]
    fn a_strangers_text_cannot_end_a_reply() {
        let mut out = Vec::new();
        Reply::new(550, "5.7.1 no\r\n250 yes").write_to(&mut out);
        assert_eq!(out, b"550 5.7.1 no  250 yes\r\n");
    }

    #[test]
    fn the_enhanced_code_is_of_the_same_class() {
        assert_eq!(Reply::new(550, "5.1.1 unknown").enhanced(), Some("5.1.1"));
        for text in ["4.1.1 x", "5.1 x", "hello", "5.1.x y", "5.1.1.1 z"] {
            assert_eq!(Reply::new(550, text).enhanced(), None, "{text}");
        }
    }
}
