//! The octets of a client's session: command lines in, bodies in, replies out.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::smtp::Reply;
use crate::smtp::body::BodyReader;
use crate::smtp::command::LINE_BYTES_MAX;
use crate::smtp::stream::Stream;

/// A line longer than this without an end: whoever sends it does not speak SMTP.
const ENDLESS_BYTES: usize = 64 << 10;
/// How long we wait for the CR LF that must follow, once a bare LF stands in an unfinished line.
const BARE_LF_WAIT: Duration = Duration::from_secs(2);
/// Octets read at once.
const READ_BYTES: usize = 64 << 10;
/// Replies kept back while more commands wait, so that a pipelining client gets them in one packet.
const REPLIES_BYTES_MAX: usize = 16 << 10;

/// A line of a client, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Without its CR LF.
    Whole(Vec<u8>),
    /// Longer than [`LINE_BYTES_MAX`]; it was read to its end and dropped.
    TooLong,
    /// It has no end, or ends in a bare LF: the session cannot go on.
    Endless,
    /// The client was silent, or did not finish its line in time.
    Idle,
    /// The client is gone.
    Gone,
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The client was silent, or too slow altogether.
    Idle,
    /// The client is gone.
    Gone,
}

/// One client's connection.
#[derive(Debug)]
pub struct Inbound {
    stream: Stream,
    input: Vec<u8>,
    /// Octets of `input` that were used already.
    used: usize,
    output: Vec<u8>,
    idle: Duration,
}

impl Inbound {
    /// A connection whose client may be silent for `idle`.
    #[must_use]
    pub fn new(stream: Stream, idle: Duration) -> Self {
        Self { stream, input: Vec::new(), used: 0, output: Vec::new(), idle }
    }

    /// Puts a reply into the output; it leaves before we wait for the client again.
    pub fn say(&mut self, reply: &Reply) {
        reply.write_to(&mut self.output);
    }

    /// True if octets of the client wait that nobody has looked at.
    #[must_use]
    pub fn has_input(&self) -> bool {
        self.used < self.input.len()
    }

    /// Sends what is in the output. False if the client does not take it.
    pub async fn flush(&mut self) -> bool {
        if self.output.is_empty() {
            return true;
        }
        let until = Instant::now() + self.idle;
        let sent = timeout_at(until, self.stream.write_all(&self.output)).await;
        self.output.clear();
        matches!(sent, Ok(Ok(())))
    }

    /// The next command line. The time is for the whole line, so that a slow sender cannot stretch it.
    pub async fn line(&mut self) -> Line {
        let mut until = Instant::now() + self.idle;
        let mut dropped = 0usize;
        let mut looked = 0usize;
        if self.output.len() > REPLIES_BYTES_MAX && !self.flush().await {
            return Line::Gone;
        }
        loop {
            let rest = self.input.get(self.used..).unwrap_or_default();
            if let Some(end) = find_crlf(rest, looked) {
                let line = rest.get(..end).unwrap_or_default().to_vec();
                self.used += end + 2;
                self.forget_used();
                return if dropped + line.len() + 2 > LINE_BYTES_MAX {
                    Line::TooLong
                } else {
                    Line::Whole(line)
                };
            }
            looked = rest.len().saturating_sub(1);
            if memchr::memchr(b'\n', rest).is_some() {
                until = until.min(Instant::now() + BARE_LF_WAIT);
            }
            if rest.len() > LINE_BYTES_MAX {
                // The CR of a CR LF may be the last octet.
                let keep = usize::from(rest.last() == Some(&b'\r'));
                dropped += rest.len() - keep;
                self.used = self.input.len() - keep;
                looked = 0;
            }
            if dropped > ENDLESS_BYTES {
                return Line::Endless;
            }
            if !self.flush().await {
                return Line::Gone;
            }
            match self.more(until).await {
                Ok(()) => {}
                Err(Broken::Gone) => return Line::Gone,
                Err(Broken::Idle) => {
                    let waiting = self.input.get(self.used..).unwrap_or_default();
                    let bare = memchr::memchr(b'\n', waiting).is_some();
                    return if bare { Line::Endless } else { Line::Idle };
                }
            }
        }
    }

    /// Reads a body into `reader`. `held` is told after each read how many octets are in memory; if it says no, the
    /// reader gives up its octets and the body is read to its end without being kept.
    ///
    /// # Errors
    /// When the client is gone or too slow.
    pub async fn body(
        &mut self,
        reader: &mut BodyReader,
        until: Instant,
        mut held: impl FnMut(usize) -> bool,
    ) -> Result<(), Broken> {
        if !self.flush().await {
            return Err(Broken::Gone);
        }
        loop {
            let (used, end) = reader.read(self.input.get(self.used..).unwrap_or_default());
            self.used += used;
            self.forget_used();
            if !held(reader.held_bytes()) {
                reader.give_up();
            }
            if end {
                return Ok(());
            }
            self.more(until.min(Instant::now() + self.idle)).await?;
        }
    }

    /// Looks, without waiting, whether the client is still there. What it has sent meanwhile is kept.
    pub fn is_there(&mut self) -> bool {
        let mut piece = [0u8; 1024];
        match self.stream.try_read(&mut piece) {
            Ok(0) => false,
            Ok(length) => {
                self.input.extend_from_slice(piece.get(..length).unwrap_or_default());
                true
            }
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }

    /// Says good-bye so that the last reply arrives: what the client still sends is read for a moment, because closing
    /// with unread octets would reset the connection and take the reply with it.
    pub async fn close(mut self) {
        if !self.flush().await || self.stream.shutdown().await.is_err() {
            return;
        }
        let until = Instant::now() + Duration::from_millis(500);
        let mut total = 0;
        let mut piece = vec![0u8; 16 << 10];
        while total < 1 << 20 {
            match timeout_at(until, self.stream.read(&mut piece)).await {
                Ok(Ok(length)) if length > 0 => total += length,
                _ => return,
            }
        }
    }

    fn forget_used(&mut self) {
        if self.used >= self.input.len() {
            self.input.clear();
            self.used = 0;
            // One large packet must not cost every idle session its memory.
            self.input.shrink_to(4096);
        }
    }

    async fn more(&mut self, until: Instant) -> Result<(), Broken> {
        if self.used > 0 {
            self.input.drain(..self.used.min(self.input.len()));
            self.used = 0;
        }
        let room = if self.input.capacity() < READ_BYTES / 8 { 4096 } else { READ_BYTES };
        self.input.reserve(room);
        match timeout_at(until, self.stream.read_buf(&mut self.input)).await {
            Err(_) => Err(Broken::Idle),
            Ok(Ok(0) | Err(_)) => Err(Broken::Gone),
            Ok(Ok(_)) => Ok(()),
        }
    }
}

/// Where the first CR LF begins, at or behind `from`.
fn find_crlf(octets: &[u8], from: usize) -> Option<usize> {
    let rest = octets.get(from..)?;
    memchr::memmem::find(rest, b"\r\n").map(|at| at + from)
}
