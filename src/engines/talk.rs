//! One conversation with an engine: a connection, a request, a reply, all within its time.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use super::frame::{HEAD_BYTES_MAX, Head, REPLY_BYTES_MAX};
use super::symbols::plain;
use super::{Trouble, reader, rspamd, spamd};
use crate::config::{Address, Engine, EngineKind};
use crate::mail::Envelope;
use crate::report::Opinion;

/// The queue of a busy engine is full: unlike TCP, the kernel does not wait for us at a Unix socket.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Asks about a mail.
pub(super) async fn ask(
    engine: &Engine,
    envelope: &Envelope,
    octets: &[u8],
    deadline: Instant,
) -> Result<Opinion, Trouble> {
    let limit = Instant::now().checked_add(engine.timeout).unwrap_or(deadline);
    let late = || match deadline < limit {
        true => Trouble::Deadline,
        false => Trouble::Silent(engine.timeout),
    };
    let until = limit.min(deadline);
    let stream = match timeout_at(until, connect(&engine.address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Trouble::Connect(format!("{}: {error}", engine.address))),
        Err(_) => return Err(late()),
    };
    let front = front(engine, envelope);
    let total = front.len().saturating_add(octets.len());
    let head = match engine.kind {
        EngineKind::Spamd => spamd::request(total, &engine.user),
        EngineKind::Rspamd => {
            let host = match &engine.address {
                Address::Tcp(host) => host.as_str(),
                Address::Unix(_) => "localhost",
            };
            rspamd::request(host, total, envelope, &engine.settings)
        }
    };
    // spamd reads by lines, whatever the length says: a mail whose last line has no end would keep it waiting. To rspamd
    // a client that closes its side is one that has gone.
    let ends = engine.kind == EngineKind::Spamd;
    match timeout_at(until, converse(stream, &[&head, &front, octets], ends)).await {
        Ok(reply) => reader(engine.kind)(&reply?).map_err(Trouble::NoAnswer),
        Err(_) => Err(late()),
    }
}

/// Asks whether the engine is there.
pub(super) async fn ping(engine: &Engine, limit: Duration) -> Result<(), Trouble> {
    let limit = limit.min(engine.timeout);
    let (request, start, code): (&[u8], _, _) = match engine.kind {
        EngineKind::Spamd => (b"PING SPAMC/1.5\r\n\r\n", "SPAMD/", "0"),
        EngineKind::Rspamd => (b"GET /ping HTTP/1.0\r\nHost: localhost\r\n\r\n", "HTTP/1.", "200"),
    };
    let ask = async {
        let stream = connect(&engine.address)
            .await
            .map_err(|error| Trouble::Connect(format!("{}: {error}", engine.address)))?;
        let reply = converse(stream, &[request], engine.kind == EngineKind::Spamd).await?;
        let first = Head::cut(&reply).first;
        let second = first.split_ascii_whitespace().nth(1);
        match first.starts_with(start) && second == Some(code) {
            true => Ok(()),
            false => Err(Trouble::NoAnswer(format!("it says \"{}\"", plain(&first)))),
        }
    };
    tokio::time::timeout(limit, ask).await.unwrap_or(Err(Trouble::Silent(limit)))
}

/// SpamAssassin is told the envelope sender by a field at the top, as a mailbox would have it; to rspamd it is told
/// apart. The null sender is not told: it may as well be that nobody knows it.
fn front(engine: &Engine, envelope: &Envelope) -> Vec<u8> {
    let sender = envelope.sender.address.as_str();
    let fits = sender.len() <= 320 && !sender.chars().any(|c| c.is_control() || c.is_whitespace());
    match engine.kind {
        EngineKind::Spamd if !sender.is_empty() && fits => {
            format!("Return-Path: <{sender}>\r\n").into_bytes()
        }
        EngineKind::Spamd | EngineKind::Rspamd => Vec::new(),
    }
}

async fn connect(address: &Address) -> io::Result<Box<dyn Stream>> {
    match address {
        Address::Tcp(host) => Ok(Box::new(TcpStream::connect(host.as_str()).await?)),
        Address::Unix(path) => loop {
            match UnixStream::connect(path).await {
                Ok(stream) => break Ok(Box::new(stream)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(error) => break Err(error),
            }
        },
    }
}

/// Sends, and reads at the same time: an engine may refuse before it has all. What a broken connection leaves unsent
/// matters only if no reply comes. `ends`: our side is closed when all is sent.
async fn converse(
    stream: Box<dyn Stream>,
    pieces: &[&[u8]],
    ends: bool,
) -> Result<Vec<u8>, Trouble> {
    let (read, mut write) = tokio::io::split(stream);
    let send = async {
        for piece in pieces {
            if write.write_all(piece).await.is_err() {
                break;
            }
        }
        let _ = if ends { write.shutdown().await } else { write.flush().await };
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        reply = receive(read) => reply,
        never = send => match never {},
    }
}

/// A whole reply: as long as it says, else to the end of the connection.
async fn receive(mut read: impl AsyncRead + Unpin) -> Result<Vec<u8>, Trouble> {
    let mut reply = Vec::new();
    let mut head: Option<Head> = None;
    loop {
        let before = reply.len();
        let more = read.read_buf(&mut reply).await;
        let ended = match more {
            Ok(count) => count == 0,
            // Some close before they have read all; what they said holds.
            Err(error) if reply.is_empty() => return Err(Trouble::Broken(error.to_string())),
            Err(_) => true,
        };
        if head.is_none() && has_empty_line(&reply, before) {
            head = Head::read(&reply);
        }
        let total = head.as_ref().and_then(Head::total);
        if reply.len() > REPLY_BYTES_MAX || total.is_some_and(|total| total > REPLY_BYTES_MAX) {
            return Err(Trouble::TooLong);
        }
        if head.is_none() && reply.len() > HEAD_BYTES_MAX {
            return Err(Trouble::TooLong);
        }
        match total {
            Some(total) if reply.len() >= total => return Ok(reply),
            Some(_) if ended => return Err(Trouble::Cut),
            None if ended && reply.is_empty() => return Err(Trouble::Cut),
            None if ended => return Ok(reply),
            Some(_) | None => {}
        }
    }
}

/// Whether an empty line came with the octets from `before` on. Who sends one octet at a time must not have all of them
/// read anew with each.
fn has_empty_line(reply: &[u8], before: usize) -> bool {
    let new = reply.get(before.saturating_sub(2)..).unwrap_or_default();
    reply.starts_with(b"\n")
        || reply.starts_with(b"\r\n")
        || memchr::memmem::find(new, b"\n\n").is_some()
        || memchr::memmem::find(new, b"\n\r\n").is_some()
}
