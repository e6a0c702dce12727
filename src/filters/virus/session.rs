//! One connection to clamd, kept open for many streams (IDSESSION), and its conversation.
//!
//! clamav-client opens a connection for each stream, copies it through 4 KiB chunks with two writes each, and reads the
//! reply without a limit. Here one mail's streams go out back to back in vectored writes straight from the message's
//! octets, while replies are read whenever they come: clamd(8) asks for exactly that, and breaks the connection of a
//! client that only writes. An early reply ("size limit exceeded") is seen at once and not after the last octet.
//!
//! Measured against clamd 1.4.6 on a Unix socket, three streams a mail, four mails at once: 2 kB take 17 µs of our
//! processor instead of 52 (6,900 streams a second instead of 5,200), 500 kB take 360 µs instead of 660. Over TCP, with
//! its dearer connections: 20 µs instead of 92, and 110 instead of 440.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};

use super::cache::Digest;
use super::connect::Stream;
use super::reply::{self, Answer, Reply};

/// Octets for clamd to look at, and what it said about them.
#[derive(Debug)]
pub(super) struct Job {
    /// Path of the part; empty for the message as a whole.
    pub(super) part: String,
    /// The octets.
    pub(super) data: Bytes,
    /// What they are known by, if a clean answer may be remembered: of parts, never of a whole message.
    pub(super) digest: Option<Digest>,
    /// `None` until clamd answered.
    pub(super) answer: Option<Answer>,
}

impl Job {
    /// True if a virus was found in it; a heuristic is none.
    pub(super) fn is_infected(&self) -> bool {
        matches!(&self.answer, Some(Answer::Found(name)) if !reply::is_heuristic(name))
    }
}

/// Why clamd gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("cannot connect to {address}: {error}")]
    Connect { address: String, error: io::Error },
    #[error("{address} was down a moment ago: {error}")]
    Resting { address: String, error: String },
    #[error("no clamd found")]
    NeverSeen,
    #[error("hung up without an answer")]
    HungUp,
    #[error("connection broke: {0}")]
    Broken(io::Error),
    #[error("not a word of clamd: {0}")]
    Garbage(String),
    #[error("no answer within {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("no answer before the deadline of the mail")]
    Deadline,
    #[error("all streams to clamd were busy until the deadline of the mail")]
    Busy,
}

/// How a conversation ended without trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Every job is answered and nothing is under way: the connection can be used again.
    Idle,
    /// There are answers, but the connection is of no more use. Jobs may be left without an answer.
    Spent,
}

/// A connection to clamd.
pub(super) struct Session {
    stream: Box<dyn Stream>,
    /// Requests so far; clamd numbers them from 1.
    requests: u32,
    /// A reply, as far as it came.
    input: Vec<u8>,
    idle_since: Instant,
}

impl Session {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, requests: 0, input: Vec::new(), idle_since: Instant::now() }
    }

    /// True if it was used before: it may have died since.
    pub(super) fn is_used(&self) -> bool {
        self.requests > 0
    }

    /// True if it can take another mail: not too old, not closed, and nothing came unasked.
    pub(super) async fn is_fit(&mut self) -> bool {
        if self.requests >= REQUESTS_MAX || self.idle_since.elapsed() > IDLE_MAX {
            return false;
        }
        let stream = &mut self.stream;
        poll_fn(|context| {
            let mut buffer = [0; 1];
            let read = Pin::new(&mut *stream).poll_read(context, &mut ReadBuf::new(&mut buffer));
            Poll::Ready(read.is_pending())
        })
        .await
    }

    /// Asks about every job without an answer, until all are answered or one is infected.
    ///
    /// `timeout` is for one job, from its first octet to its answer.
    ///
    /// # Errors
    /// [`Trouble`]; answers that came before stay in the jobs.
    pub(super) async fn run(
        &mut self,
        jobs: &mut [Job],
        timeout: Duration,
        deadline: Instant,
    ) -> Result<End, Trouble> {
        let mut talk = Talk::default();
        loop {
            talk.fill(jobs, &mut self.requests);
            let Some(oldest) = talk.oldest() else {
                self.idle_since = Instant::now();
                return Ok(End::Idle);
            };
            let limit = deadline.min(oldest + timeout);
            let Ok(event) = timeout_at(limit, talk.step(&mut self.stream, &mut self.input)).await
            else {
                return Err(if limit == deadline {
                    Trouble::Deadline
                } else {
                    Trouble::Silent(timeout)
                });
            };
            match event {
                Event::Wrote(count) => talk.wrote(count),
                Event::Read => {
                    if self.take_replies(&mut talk, jobs)? {
                        return Ok(End::Spent);
                    }
                    if !talk.waiting.is_empty() {
                        self.stream.acknowledge();
                    }
                }
                Event::End => return Err(talk.broken.map_or(Trouble::HungUp, Trouble::Broken)),
                Event::ReadFailed(error) => return Err(Trouble::Broken(error)),
                Event::WriteFailed(error) => talk.broken = Some(error),
            }
        }
    }

    /// True if the conversation is over: an infected job, or a reply after which clamd closes.
    fn take_replies(&mut self, talk: &mut Talk, jobs: &mut [Job]) -> Result<bool, Trouble> {
        let mut over = false;
        let mut rest = self.input.as_slice();
        while let Some(end) = memchr::memchr(0, rest) {
            let (octets, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            let reply = reply::parse(octets).map_err(Trouble::Garbage)?;
            let settled = talk.settle(&reply).ok_or_else(|| {
                Trouble::Garbage(format!("answer to no request: {}", reply::printable(octets)))
            })?;
            over |= match &reply.answer {
                Answer::Clean => false,
                Answer::Found(name) => !reply::is_heuristic(name),
                // After "size limit exceeded" clamd closes; after other errors it may.
                Answer::TooLarge(_) | Answer::Error(_) => true,
            };
            if let Some(job) = jobs.get_mut(settled) {
                job.answer = Some(reply.answer);
            }
        }
        if rest.len() > REPLY_BYTES_MAX {
            return Err(Trouble::Garbage(format!("endless reply: {}", reply::printable(rest))));
        }
        let taken = self.input.len() - rest.len();
        self.input.drain(..taken);
        Ok(over)
    }
}

/// What happened on the connection.
enum Event {
    Wrote(usize),
    Read,
    End,
    ReadFailed(io::Error),
    WriteFailed(io::Error),
}

/// The requests under way.
#[derive(Default)]
struct Talk {
    /// Index of the first job not looked at yet.
    next_job: usize,
    /// Not sent to the end; the first may be sent in part.
    sending: VecDeque<Request>,
    /// Octets of the first of `sending` that are on their way.
    sent_bytes: usize,
    /// Sent, not answered.
    waiting: Vec<Request>,
    /// Writing failed; a reply that says why may still be there to read.
    broken: Option<io::Error>,
}

/// One job as it goes over the wire.
struct Request {
    job: usize,
    id: u32,
    began: Instant,
    /// Command and length.
    head: Vec<u8>,
    data: Bytes,
}

impl Request {
    fn len(&self) -> usize {
        self.head.len() + self.data.len() + END_OF_STREAM.len()
    }
}

impl Talk {
    /// Puts further jobs on the way, as many as may be under way at once.
    fn fill(&mut self, jobs: &mut [Job], requests: &mut u32) {
        while self.sending.len() + self.waiting.len() < UNDER_WAY_MAX {
            let index = self.next_job;
            if index > 0 && is_first_awaited(jobs) {
                break;
            }
            let Some(job) = jobs.get_mut(index) else { break };
            self.next_job += 1;
            if job.answer.is_some() {
                continue;
            }
            let Ok(length) = u32::try_from(job.data.len()) else {
                job.answer = Some(Answer::TooLarge("more than 4 GiB".to_owned()));
                continue;
            };
            let mut head = Vec::with_capacity(START.len() + COMMAND.len() + 4);
            if *requests == 0 {
                head.extend_from_slice(START);
            }
            head.extend_from_slice(COMMAND);
            // One chunk: clamd reads it piecewise anyway, and refuses at once what is too large for it. A chunk of
            // no octets would end the stream, so nothing stands for an empty job.
            if length > 0 {
                head.extend_from_slice(&length.to_be_bytes());
            }
            *requests += 1;
            let (began, data) = (Instant::now(), job.data.clone());
            self.sending.push_back(Request { job: index, id: *requests, began, head, data });
        }
    }

    /// When the oldest request under way began.
    fn oldest(&self) -> Option<Instant> {
        self.waiting.iter().chain(&self.sending).map(|request| request.began).min()
    }

    /// Reads or writes, whichever can go on; replies first, so that clamd never waits for us to read.
    async fn step(&self, stream: &mut Box<dyn Stream>, input: &mut Vec<u8>) -> Event {
        poll_fn(|context| {
            let mut buffer = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut buffer);
            match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(Event::End),
                Poll::Ready(Ok(())) => {
                    input.extend_from_slice(buffer.filled());
                    Poll::Ready(Event::Read)
                }
                Poll::Ready(Err(error)) => Poll::Ready(Event::ReadFailed(error)),
                Poll::Pending => self.poll_write(stream, context),
            }
        })
        .await
    }

    fn poll_write(&self, stream: &mut Box<dyn Stream>, context: &mut Context<'_>) -> Poll<Event> {
        if self.sending.is_empty() || self.broken.is_some() {
            return Poll::Pending;
        }
        let mut slices = [IoSlice::new(&[]); 3 * UNDER_WAY_MAX];
        let pieces = self.sending.iter().flat_map(|request| {
            [request.head.as_slice(), request.data.as_ref(), END_OF_STREAM.as_slice()]
        });
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
        }
        let mut slices = slices.as_mut_slice();
        IoSlice::advance_slices(&mut slices, self.sent_bytes);
        match Pin::new(stream).poll_write_vectored(context, slices) {
            Poll::Ready(Ok(count)) => Poll::Ready(Event::Wrote(count)),
            Poll::Ready(Err(error)) => Poll::Ready(Event::WriteFailed(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn wrote(&mut self, count: usize) {
        self.sent_bytes += count;
        while let Some(request) = self.sending.pop_front_if(|first| first.len() <= self.sent_bytes)
        {
            self.sent_bytes -= request.len();
            self.waiting.push(request);
        }
    }

    /// The job that is answered by this; `None` if nothing asked for it. A stream that is not sent to its end can be
    /// refused, but it cannot be clean and cannot be infected.
    fn settle(&mut self, reply: &Reply) -> Option<usize> {
        if let Some(at) = self.waiting.iter().position(|request| reply.id == Some(request.id)) {
            return Some(self.waiting.swap_remove(at).job);
        }
        match reply.answer {
            Answer::TooLarge(_) | Answer::Error(_) => {
                let first = self.sending.front()?;
                reply.id.is_none_or(|id| id == first.id).then_some(first.job)
            }
            Answer::Clean | Answer::Found(_) => None,
        }
    }
}

/// True while the whole message should be answered before its parts are asked about. clamd looks into the message by
/// itself and remembers the digests of what it found clean there; a part it has seen so costs it no more than reading.
/// Asked at the same time, it would do the work twice: 150 ms of processor instead of 88 for a mail of 520 kB.
fn is_first_awaited(jobs: &[Job]) -> bool {
    let Some((first, parts)) = jobs.split_first() else { return false };
    let octets: usize =
        parts.iter().filter(|job| job.answer.is_none()).map(|job| job.data.len()).sum();
    first.answer.is_none() && octets > SIDE_BY_SIDE_BYTES_MAX
}

/// So few octets are looked at twice in less time than it takes to answer and ask once more.
const SIDE_BY_SIDE_BYTES_MAX: usize = 32 << 10;

const START: &[u8] = b"zIDSESSION\0";
const COMMAND: &[u8] = b"zINSTREAM\0";
const END_OF_STREAM: &[u8; 4] = &[0; 4];
const READ_BYTES: usize = 1024;

/// Octets of one reply; names of viruses are far shorter.
const REPLY_BYTES_MAX: usize = 2048;

/// Requests of one mail that clamd has at once: enough to hide the way there and back and to use several of its
/// threads, few enough that eight mails stay below its queue of 100 (MaxQueue).
const UNDER_WAY_MAX: usize = 4;

/// clamd closes a session after 30 s without a command (CommandReadTimeout).
const IDLE_MAX: Duration = Duration::from_secs(15);

/// A connection is renewed after so many requests, long before their numbers run out.
const REQUESTS_MAX: u32 = 100_000;
