//! The client that drives a filter: it speaks as Postfix does, one mail a connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::mails::Mails;
use crate::smtp::Reply;
use crate::smtp::reply::ReplyReader;

/// No reply in this time: the mail failed.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// What is sent, to whom, and how.
#[derive(Debug, Clone)]
pub struct Load {
    /// The filter.
    pub to: SocketAddr,
    /// Connections at once.
    pub connections: usize,
    /// Commands in one packet, as smtp(8) sends them; else one after the other, as smtpd's proxy client does.
    pub pipelined: bool,
    /// How long mails are begun.
    pub time: Duration,
    /// The mails.
    pub mails: Arc<Mails>,
    /// The number of the next mail, over all loads of a run.
    pub number: Arc<AtomicU64>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Result {
    /// Time from connecting to the reply after the dot, of each mail that was taken.
    pub latencies: Vec<Duration>,
    /// Mails that were not taken.
    pub failed: u64,
    /// Why the last of them was not.
    pub failure: Option<String>,
    /// From the first mail to the last reply.
    pub elapsed: Duration,
}

impl Load {
    /// Sends mails until the time is over.
    pub async fn run(&self) -> Result {
        let began = Instant::now();
        let mut lanes = JoinSet::new();
        for _ in 0..self.connections {
            let load = self.clone();
            lanes.spawn(async move { load.lane(began).await });
        }
        let mut result = Result::default();
        while let Some(lane) = lanes.join_next().await {
            let Ok(lane) = lane else { continue };
            result.latencies.extend(lane.latencies);
            result.failed += lane.failed;
            result.failure = lane.failure.or(result.failure);
        }
        result.elapsed = began.elapsed();
        result
    }

    async fn lane(&self, began: Instant) -> Result {
        let mut result = Result::default();
        while began.elapsed() < self.time {
            let mut mail = self.mails.mail(self.number.fetch_add(1, Ordering::Relaxed));
            mail.extend_from_slice(b".\r\n");
            let from = Instant::now();
            let sent = tokio::time::timeout(REPLY_TIMEOUT, self.one(mail)).await;
            match sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(reply) if reply.is_positive() => result.latencies.push(from.elapsed()),
                Ok(reply) => {
                    result.failed += 1;
                    result.failure = Some(reply.to_string());
                }
                Err(error) => {
                    result.failed += 1;
                    result.failure = Some(error.to_string());
                    // A filter that is gone would be asked in a busy loop.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
        result
    }

    /// One mail over a connection of its own; gives the reply after the dot, or the first refusal.
    async fn one(&self, mut mail: Vec<u8>) -> io::Result<Reply> {
        let mut peer = Peer::connect(self.to).await?;
        peer.expect(1).await?;
        peer.say(b"EHLO bench.example\r\n").await?;
        peer.expect(1).await?;
        let commands: [&[u8]; 3] =
            [b"MAIL FROM:<bert@example.org>\r\n", b"RCPT TO:<anna@example.net>\r\n", b"DATA\r\n"];
        if self.pipelined {
            peer.say(&commands.concat()).await?;
            peer.expect(commands.len()).await?;
            // Postfix puts QUIT behind the dot when it will not use the connection again.
            mail.extend_from_slice(b"QUIT\r\n");
            peer.say(&mail).await?;
            peer.reply().await
        } else {
            for command in commands {
                peer.say(command).await?;
                peer.expect(1).await?;
            }
            peer.say(&mail).await?;
            let reply = peer.reply().await?;
            peer.say(b"QUIT\r\n").await?;
            Ok(reply)
        }
    }
}

/// Connects and waits for the banner.
///
/// # Errors
/// When there is none.
pub async fn greeted(address: SocketAddr) -> io::Result<()> {
    let greeted = async { Peer::connect(address).await?.expect(1).await };
    tokio::time::timeout(REPLY_TIMEOUT, greeted)
        .await
        .unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

struct Peer {
    stream: TcpStream,
    input: Vec<u8>,
    replies: ReplyReader,
}

impl Peer {
    async fn connect(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, input: Vec::new(), replies: ReplyReader::default() })
    }

    async fn say(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets).await
    }

    async fn reply(&mut self) -> io::Result<Reply> {
        loop {
            let (used, reply) = self.replies.read(&self.input).map_err(io::Error::other)?;
            self.input.drain(..used);
            if let Some(reply) = reply {
                return Ok(reply);
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// So many replies, none of them a refusal.
    async fn expect(&mut self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            let reply = self.reply().await?;
            if reply.code >= 400 {
                return Err(io::Error::other(reply.to_string()));
            }
        }
        Ok(())
    }
}
