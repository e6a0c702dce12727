//! One connection to a next hop.

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::config::NextHop;
use crate::mail::Client;
use crate::smtp::reply::{BadReply, ReplyReader};
use crate::smtp::session::Extensions;
use crate::smtp::stream::Stream;
use crate::smtp::{Reply, body, xforward};

/// For connecting and the banner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// For the reply to a command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// The last reply may take this long even when the deadline is over: to give up after the dot risks a duplicate.
const AFTER_DOT_MIN: Duration = Duration::from_secs(10);

/// How far we were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Connecting.
    Connect,
    /// Waiting for 220.
    Banner,
    /// EHLO, HELO or LHLO.
    Greeting,
    /// XFORWARD.
    Xforward,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// Sending the body.
    Body,
    /// The dot was sent: the next hop may have the mail.
    AfterDot,
    /// RSET.
    Reset,
}

impl Stage {
    fn doing(self) -> &'static str {
        match self {
            Self::Connect => "connecting",
            Self::Banner => "waiting for the banner",
            Self::Greeting => "EHLO",
            Self::Xforward => "XFORWARD",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Body => "sending the body",
            Self::AfterDot => "waiting for the reply after the dot",
            Self::Reset => "RSET",
        }
    }
}

/// Why a next hop could not be talked to. A reply to MAIL, RCPT or the dot is no trouble.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {what}", stage.doing())]
pub struct Trouble {
    /// How far we were.
    pub stage: Stage,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum What {
    /// The system could not connect, read or write.
    #[error("{0}")]
    Io(String),
    /// It took too long.
    #[error("timed out")]
    Timeout,
    /// It hung up.
    #[error("the connection was closed")]
    Closed,
    /// It said something that is no reply.
    #[error("{0}")]
    BadReply(#[from] BadReply),
    /// It refused at a stage where the mail cannot be the reason.
    #[error("it said {0}")]
    Refused(Reply),
}

impl Trouble {
    /// What the client hears: always 4xx, for none of it is a property of the mail.
    #[must_use]
    pub fn reply(&self, next_hop: &NextHop, id: &str) -> Reply {
        let enhanced = if matches!(self.what, What::Timeout) { "4.4.2" } else { "4.4.1" };
        Reply::new(450, format!("{enhanced} MTA({next_hop}) failed, {self}, id={id}"))
    }
}

/// What the next hop offered in its greeting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// 8BITMIME.
    pub eight_bit: bool,
    /// SMTPUTF8.
    pub utf8: bool,
    /// DSN.
    pub dsn: bool,
    /// SIZE.
    pub size: bool,
    /// REQUIRETLS.
    pub require_tls: bool,
    /// The attributes of XFORWARD, in upper case.
    pub xforward: Vec<String>,
}

impl Offer {
    fn read(reply: &Reply) -> Self {
        let mut offer = Self::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split(' ').map(str::to_ascii_uppercase);
            match words.next().as_deref() {
                Some("PIPELINING") => offer.pipelining = true,
                Some("8BITMIME") => offer.eight_bit = true,
                Some("SMTPUTF8") => offer.utf8 = true,
                Some("DSN") => offer.dsn = true,
                Some("SIZE") => offer.size = true,
                Some("REQUIRETLS") => offer.require_tls = true,
                Some("XFORWARD") => offer.xforward = words.collect(),
                _ => {}
            }
        }
        offer
    }

    /// What a session before it may offer.
    #[must_use]
    pub fn extensions(&self) -> Extensions {
        Extensions {
            eight_bit: self.eight_bit,
            utf8: self.utf8 && self.eight_bit,
            dsn: self.dsn,
            require_tls: self.require_tls,
        }
    }
}

/// One connection, greeted.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    input: Vec<u8>,
    replies: ReplyReader,
    /// What it offered.
    pub offer: Offer,
    /// Mails it has carried.
    pub mails: u32,
    /// True if it comes out of the pool: it may be dead without our knowing.
    pub pooled: bool,
}

impl Connection {
    /// Connects and greets, as `localhost`: a name that equals the next hop's would look like a loop to it.
    ///
    /// # Errors
    /// When it is not there, too slow, or refuses.
    pub async fn open(next_hop: &NextHop, deadline: Instant) -> Result<Self, Trouble> {
        let until = deadline.min(Instant::now() + CONNECT_TIMEOUT);
        let trouble = |what| Trouble { stage: Stage::Connect, what };
        let stream = match timeout_at(until, Stream::connect(&next_hop.address)).await {
            Err(_) => return Err(trouble(What::Timeout)),
            Ok(Err(error)) => return Err(trouble(What::Io(error.to_string()))),
            Ok(Ok(stream)) => stream,
        };
        let mut this = Self {
            stream,
            input: Vec::new(),
            replies: ReplyReader::default(),
            offer: Offer::default(),
            mails: 0,
            pooled: false,
        };
        this.positive(Stage::Banner, until).await?;
        let hello: &[u8] =
            if next_hop.lmtp { b"LHLO localhost\r\n" } else { b"EHLO localhost\r\n" };
        let reply = this.command(hello, Stage::Greeting, deadline).await?;
        if reply.is_positive() {
            this.offer = Offer::read(&reply);
        } else if reply.is_permanent() && !next_hop.lmtp {
            this.send(b"HELO localhost\r\n", Stage::Greeting, deadline).await?;
            this.positive(Stage::Greeting, deadline).await?;
        } else {
            return Err(Trouble { stage: Stage::Greeting, what: What::Refused(reply) });
        }
        Ok(this)
    }

    async fn positive(&mut self, stage: Stage, deadline: Instant) -> Result<Reply, Trouble> {
        let reply = self.reply(stage, deadline).await?;
        if reply.is_positive() {
            Ok(reply)
        } else {
            Err(Trouble { stage, what: What::Refused(reply) })
        }
    }

    /// Sends octets.
    ///
    /// # Errors
    /// When they cannot be sent in time.
    pub async fn send(
        &mut self,
        octets: &[u8],
        stage: Stage,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        let until = deadline.min(Instant::now() + COMMAND_TIMEOUT);
        match timeout_at(until, self.stream.write_all(octets)).await {
            Err(_) => Err(Trouble { stage, what: What::Timeout }),
            Ok(Err(error)) => Err(Trouble { stage, what: What::Io(error.to_string()) }),
            Ok(Ok(())) => Ok(()),
        }
    }

    /// Waits for a reply. 421 is a reply like any other here.
    ///
    /// # Errors
    /// When none comes.
    pub async fn reply(&mut self, stage: Stage, deadline: Instant) -> Result<Reply, Trouble> {
        let until = if stage == Stage::AfterDot {
            deadline.max(Instant::now() + AFTER_DOT_MIN)
        } else {
            deadline.min(Instant::now() + COMMAND_TIMEOUT)
        };
        loop {
            let (used, reply) = self
                .replies
                .read(&self.input)
                .map_err(|bad| Trouble { stage, what: bad.into() })?;
            self.input.drain(..used);
            if let Some(reply) = reply {
                // 3xx asks for more, which only DATA has: taken for an answer it would be neither yes nor no.
                if (300..400).contains(&reply.code) && stage != Stage::Data {
                    return Err(Trouble { stage, what: BadReply::Garbage.into() });
                }
                return Ok(reply);
            }
            self.input.reserve(4096);
            match timeout_at(until, self.stream.read_buf(&mut self.input)).await {
                Err(_) => return Err(Trouble { stage, what: What::Timeout }),
                Ok(Err(error)) => return Err(Trouble { stage, what: What::Io(error.to_string()) }),
                Ok(Ok(0)) => return Err(Trouble { stage, what: What::Closed }),
                Ok(Ok(_)) => {}
            }
        }
    }

    /// Sends a command line and waits for its reply.
    ///
    /// # Errors
    /// When it cannot be sent, or no reply comes.
    pub async fn command(
        &mut self,
        line: &[u8],
        stage: Stage,
        deadline: Instant,
    ) -> Result<Reply, Trouble> {
        self.send(line, stage, deadline).await?;
        self.reply(stage, deadline).await
    }

    /// Tells who the original client is, as far as the next hop wants to know. A refusal is no trouble: the mail goes on.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn xforward(&mut self, client: &Client, deadline: Instant) -> Result<(), Trouble> {
        for line in xforward::send(client, &self.offer.xforward) {
            let reply =
                self.command(format!("{line}\r\n").as_bytes(), Stage::Xforward, deadline).await?;
            if !reply.is_positive() {
                tracing::warn!(%reply, "the next hop refused XFORWARD; see smtpd_authorized_xforward_hosts");
                break;
            }
        }
        Ok(())
    }

    /// Sends the body with its final dot. The replies are for the caller to wait for.
    ///
    /// # Errors
    /// When it cannot be sent in time; the stage says whether the dot may have left.
    pub async fn body(&mut self, pieces: &[Bytes], deadline: Instant) -> Result<(), Trouble> {
        let mut wire = body::to_wire(pieces);
        // What is not the last piece cannot end the mail, so trouble there is no unknown outcome.
        let last = wire.pop().unwrap_or_default();
        let tail_from = wire.len().saturating_sub(WIRE_TOGETHER);
        let (head, tail) = wire.split_at(tail_from);
        // What is said before the dot is no answer to it, and must never be taken for one.
        if !self.is_quiet() {
            return Err(Trouble { stage: Stage::Body, what: BadReply::Early.into() });
        }
        self.write(head, Stage::Body, deadline).await?;
        let mut tail = tail.to_vec();
        tail.push(last);
        self.write(&tail, Stage::AfterDot, deadline).await
    }

    async fn write(
        &mut self,
        pieces: &[Bytes],
        stage: Stage,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        for group in pieces.chunks(WIRE_TOGETHER + 1) {
            let mut slices: Vec<IoSlice<'_>> =
                group.iter().map(|piece| IoSlice::new(piece)).collect();
            let mut slices = slices.as_mut_slice();
            while !slices.is_empty() {
                let written = timeout_at(deadline, self.stream.write_vectored(slices)).await;
                match written {
                    Err(_) => return Err(Trouble { stage, what: What::Timeout }),
                    Ok(Err(error)) => {
                        return Err(Trouble { stage, what: What::Io(error.to_string()) });
                    }
                    Ok(Ok(0)) => return Err(Trouble { stage, what: What::Closed }),
                    Ok(Ok(length)) => IoSlice::advance_slices(&mut slices, length),
                }
            }
        }
        Ok(())
    }

    /// Looks, without waiting, whether it is still usable: nothing to read and not closed.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let mut piece = [0u8; 64];
        self.input.is_empty()
            && matches!(self.stream.try_read(&mut piece), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Ends the session in order, without waiting for the answer.
    pub async fn quit(mut self) {
        let until = Instant::now() + Duration::from_secs(1);
        let _ = timeout_at(until, self.stream.write_all(b"QUIT\r\n")).await;
    }
}

/// Pieces that go out in one system call.
const WIRE_TOGETHER: usize = 15;

impl std::fmt::Display for NextHop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.lmtp { "lmtp" } else { "smtp" };
        match &self.address {
            crate::config::Address::Tcp(address) => match address.rsplit_once(':') {
                Some((host, port)) => {
                    write!(f, "{scheme}:[{}]:{port}", host.trim_matches(['[', ']']))
                }
                None => write!(f, "{scheme}:{address}"),
            },
            unix @ crate::config::Address::Unix(_) => write!(f, "{scheme}:{unix}"),
        }
    }
}
