//! The next hop of the tests: it keeps what it was sent, octet for octet, and can be told to misbehave.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::contains;

/// One mail that was taken with 250.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// The lines of the session since the mail before, with their line ends.
    pub commands: Vec<Vec<u8>>,
    /// The MAIL command without its line end.
    pub mail: String,
    /// The RCPT commands that were answered 250, without their line ends.
    pub recipients: Vec<String>,
    /// The message with its dots unstuffed and without the last lone dot.
    pub message: Vec<u8>,
    /// What was wrong with its octets on the wire.
    pub defects: Vec<String>,
}

impl Taken {
    /// The recipients' bare addresses.
    pub fn to(&self) -> Vec<&str> {
        let bare = |line: &'_ str| line.find('<').zip(line.find('>')).map(|(a, b)| (a + 1, b));
        self.recipients.iter().filter_map(|line| line.get(bare(line)?.0..bare(line)?.1)).collect()
    }

    /// The header block: all up to the empty line.
    pub fn header(&self) -> &[u8] {
        let end = memchr::memmem::find(&self.message, b"\r\n\r\n").unwrap_or(self.message.len());
        &self.message[..end]
    }

    /// True if the message ends with these octets, as a mail does that only got lines put on top.
    pub fn is_below_a_block(&self, original: &[u8]) -> bool {
        self.message.ends_with(original)
            && self.message.strip_suffix(original).is_some_and(|block| {
                block.is_empty() || block.ends_with(b"\r\n") && !contains(block, b"\r\n\r\n")
            })
    }
}

/// When it misbehaves, and how: the words of the byte scripts.
#[derive(Debug, Clone, Default)]
pub struct Fault {
    /// `connect`, `banner`, `ehlo`, `mail`, `rcpt`, `data`, `data_end`; empty: never.
    pub stage: String,
    /// Octets to send in place of the reply (a line end is added).
    pub reply: Option<Vec<u8>>,
    /// The reply to HELO, if EHLO is answered otherwise.
    pub helo: Option<Vec<u8>>,
    /// The reply to the RCPT of that number, counted from 1.
    pub reply_nth: Vec<(usize, Vec<u8>)>,
    /// A line to send so many times, and the last line.
    pub repeat: Option<(Vec<u8>, usize, Vec<u8>)>,
    /// Octets to send once so many octets of the message came.
    pub after_bytes: Option<(usize, Vec<u8>)>,
    /// Wait before the reply.
    pub delay: Duration,
    /// Keep the mail before misbehaving at its end.
    pub store: bool,
    /// Close without a reply.
    pub close: bool,
    /// Say nothing and keep the connection.
    pub hang: bool,
}

/// What it offers to EHLO.
const OFFERS: &str = "PIPELINING\nSIZE 104857600\n8BITMIME\nSMTPUTF8\nDSN\nENHANCEDSTATUSCODES\nXFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT";

#[derive(Default)]
struct State {
    taken: Mutex<Vec<Taken>>,
    lines: Mutex<Vec<Vec<u8>>>,
    streams: Mutex<BTreeMap<usize, TcpStream>>,
    fault: Mutex<Fault>,
    offers: Mutex<String>,
    quiet_since: Mutex<Option<Instant>>,
    open: AtomicUsize,
    connections: AtomicUsize,
    number: AtomicUsize,
    ended: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running next hop; it ends with the value.
pub struct Sink {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    state: Arc<State>,
}

impl Sink {
    /// One that behaves.
    pub fn start() -> Self {
        Self::start_on(super::free_port())
    }

    /// One that behaves, on that port.
    pub fn start_on(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let state = Arc::new(State::default());
        OFFERS.clone_into(&mut lock(&state.offers));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&shared)) else { continue };
                shared.open.fetch_add(1, Ordering::SeqCst);
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let number = shared.number.fetch_add(1, Ordering::SeqCst);
                if let Ok(copy) = stream.try_clone() {
                    lock(&shared.streams).insert(number, copy);
                }
                std::thread::spawn(move || {
                    serve(&stream, &shared);
                    stream.shutdown(Shutdown::Both).ok();
                    lock(&shared.streams).remove(&number);
                    shared.touch();
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, state }
    }

    /// One that misbehaves.
    pub fn faulty(fault: Fault) -> Self {
        let sink = Self::start();
        sink.misbehave(fault);
        sink
    }

    /// From now on.
    pub fn misbehave(&self, fault: Fault) {
        *lock(&self.state.fault) = fault;
    }

    /// The EHLO keywords from now on, with line feeds between.
    pub fn offer(&self, keywords: &str) {
        keywords.clone_into(&mut lock(&self.state.offers));
    }

    /// All mails so far.
    pub fn taken(&self) -> Vec<Taken> {
        lock(&self.state.taken).clone()
    }

    /// How many mails so far.
    pub fn count(&self) -> usize {
        lock(&self.state.taken).len()
    }

    /// Every command line so far, those of broken off sessions included.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        lock(&self.state.lines).clone()
    }

    /// How often it was connected to.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Forgets mails and lines.
    pub fn forget(&self) {
        lock(&self.state.taken).clear();
        lock(&self.state.lines).clear();
        self.state.connections.store(0, Ordering::SeqCst);
    }

    /// Waits for so many mails and gives them.
    pub fn wait(&self, count: usize) -> Vec<Taken> {
        super::wait_for(&format!("the next hop has {count} mails"), || {
            (self.count() >= count).then(|| self.taken())
        })
    }

    /// Waits for the mail whose octets hold `mark`.
    pub fn wait_marked(&self, mark: &str) -> Taken {
        super::wait_for(&format!("the next hop has {mark}"), || self.marked(mark).pop())
    }

    /// The mails whose octets hold `mark`.
    pub fn marked(&self, mark: &str) -> Vec<Taken> {
        let taken = lock(&self.state.taken);
        taken.iter().filter(|taken| contains(&taken.message, mark.as_bytes())).cloned().collect()
    }

    /// Waits until nothing more is under way: no connection is open, or none says anything. That nothing comes can only be
    /// seen by waiting a little.
    pub fn settle(&self) {
        self.state.touch();
        super::wait_for("the next hop is at rest", || {
            let quiet =
                lock(&self.state.quiet_since).map_or(Duration::ZERO, |since| since.elapsed());
            let idle = self.state.open.load(Ordering::SeqCst) == 0;
            (quiet > Duration::from_millis(if idle { 60 } else { 400 })).then_some(())
        });
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        for stream in lock(&self.state.streams).values() {
            stream.shutdown(Shutdown::Both).ok();
        }
        // Wakes the thread that waits for connections.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

impl State {
    fn touch(&self) {
        *lock(&self.quiet_since) = Some(Instant::now());
    }

    /// The fault, if this is its stage.
    fn fault(&self, stage: &str) -> Option<Fault> {
        let fault = lock(&self.fault);
        (fault.stage == stage).then(|| fault.clone())
    }
}

/// Whether the session goes on.
enum Then {
    GoOn,
    End,
}

/// Sends a reply, or does what the fault of that stage says.
fn answer(mut stream: &TcpStream, state: &State, stage: &str, usual: &[u8]) -> Then {
    let Some(fault) = state.fault(stage) else { return said(stream, usual) };
    let until = Instant::now() + fault.delay;
    while Instant::now() < until && !state.ended.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(20));
    }
    if fault.hang {
        // Reads on, so that what ends the wait is the other side's time-out.
        std::io::copy(&mut stream, &mut std::io::sink()).ok();
        return Then::End;
    }
    if let Some((line, times, last)) = &fault.repeat {
        let mut octets = line.repeat(*times);
        octets.extend_from_slice(last);
        return said(stream, &octets);
    }
    if fault.close {
        return Then::End;
    }
    match &fault.reply {
        Some(reply) => said(stream, &[reply, b"\r\n".as_slice()].concat()),
        None => said(stream, usual),
    }
}

fn said(mut stream: &TcpStream, octets: &[u8]) -> Then {
    if stream.write_all(octets).is_ok() { Then::GoOn } else { Then::End }
}

/// One session.
fn serve(stream: &TcpStream, state: &State) {
    stream.set_nodelay(true).ok();
    let mut reader = BufReader::new(stream);
    let mut mail = Taken::default();
    let mut recipients = 0;
    if state.fault("connect").is_some() {
        if matches!(answer(stream, state, "connect", b"220 sink.example ESMTP\r\n"), Then::End) {
            return;
        }
    } else if matches!(answer(stream, state, "banner", b"220 sink.example ESMTP\r\n"), Then::End) {
        return;
    }
    loop {
        let mut line = Vec::new();
        if !matches!(reader.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            return;
        }
        state.touch();
        lock(&state.lines).push(line.clone());
        mail.commands.push(line.clone());
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let verb = text.split([' ', ':']).next().unwrap_or("").to_ascii_uppercase();
        let then = match verb.as_str() {
            "EHLO" => answer(stream, state, "ehlo", &offers(state)),
            "HELO" => match state.fault("ehlo").and_then(|fault| fault.helo) {
                Some(reply) => said(stream, &[&reply, b"\r\n".as_slice()].concat()),
                None => answer(stream, state, "ehlo", b"250 sink.example\r\n"),
            },
            "MAIL" => {
                mail = Taken { mail: text, commands: mail.commands, ..Taken::default() };
                recipients = 0;
                answer(stream, state, "mail", b"250 2.1.0 Ok\r\n")
            }
            "RCPT" => {
                recipients += 1;
                recipient(stream, state, recipients, text, &mut mail)
            }
            "DATA" => data(stream, &mut reader, state, &mut mail),
            "RSET" => {
                mail = Taken::default();
                said(stream, b"250 2.0.0 Ok\r\n")
            }
            "QUIT" => {
                said(stream, b"221 2.0.0 Bye\r\n");
                return;
            }
            "NOOP" | "XFORWARD" => said(stream, b"250 2.0.0 Ok\r\n"),
            _ => said(stream, b"502 5.5.2 Unknown command\r\n"),
        };
        if matches!(then, Then::End) {
            return;
        }
    }
}

fn offers(state: &State) -> Vec<u8> {
    let offers = lock(&state.offers);
    let mut lines: Vec<&str> = vec!["sink.example"];
    lines.extend(offers.lines());
    let last = lines.len() - 1;
    let each = lines.iter().enumerate();
    each.map(|(at, line)| format!("250{}{line}\r\n", if at == last { ' ' } else { '-' }))
        .collect::<String>()
        .into_bytes()
}

fn recipient(
    stream: &TcpStream,
    state: &State,
    nth: usize,
    text: String,
    mail: &mut Taken,
) -> Then {
    let fault = state.fault("rcpt");
    if let Some(fault) = fault.filter(|fault| !fault.reply_nth.is_empty()) {
        if let Some((_, reply)) = fault.reply_nth.iter().find(|(at, _)| *at == nth) {
            return said(stream, &[reply, b"\r\n".as_slice()].concat());
        }
        mail.recipients.push(text);
        return said(stream, b"250 2.1.5 Ok\r\n");
    }
    mail.recipients.push(text);
    answer(stream, state, "rcpt", b"250 2.1.5 Ok\r\n")
}

/// DATA and the message. Only CRLF.CRLF ends it here, and each octet that could end it elsewhere is noted as a defect.
fn data(stream: &TcpStream, reader: &mut impl BufRead, state: &State, mail: &mut Taken) -> Then {
    if mail.recipients.is_empty() {
        return said(stream, b"554 5.5.1 No valid recipients\r\n");
    }
    let fault = state.fault("data");
    let after_bytes = fault.as_ref().and_then(|fault| fault.after_bytes.clone());
    if after_bytes.is_some() {
        said(stream, b"354 Go on\r\n");
    } else {
        match answer(stream, state, "data", b"354 Go on\r\n") {
            Then::End => return Then::End,
            Then::GoOn if fault.is_some() => return Then::GoOn,
            Then::GoOn => {}
        }
    }
    loop {
        let mut line = Vec::new();
        if !matches!(reader.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            return Then::End;
        }
        state.touch();
        if let Some((limit, reply)) = &after_bytes
            && mail.message.len() + line.len() > *limit
        {
            said(stream, reply);
            return Then::End;
        }
        let Some(content) = line.strip_suffix(b"\r\n") else {
            mail.defects.push(format!("a bare line feed: {}", super::show(&line)));
            mail.message.extend_from_slice(&line);
            continue;
        };
        if content == b"." {
            break;
        }
        if contains(content, b"\r") {
            mail.defects.push(format!("a bare carriage return: {}", super::show(&line)));
        }
        let unstuffed = line.strip_prefix(b".").unwrap_or(&line);
        if line.starts_with(b".") && !unstuffed.starts_with(b".") {
            mail.defects.push(format!("a dot that was not doubled: {}", super::show(&line)));
        }
        mail.message.extend_from_slice(unstuffed);
    }
    let done = std::mem::take(mail);
    let fault = state.fault("data_end");
    // What is answered with success is taken, although the answer is odd; and before the answer, for whoever hears it
    // looks at once.
    let taken = fault.as_ref().is_none_or(|fault| {
        let yes = fault.reply.as_ref().is_some_and(|reply| reply.starts_with(b"2"));
        fault.store || fault.repeat.is_some() || yes
    });
    if taken {
        lock(&state.taken).push(done);
    }
    answer(stream, state, "data_end", b"250 2.0.0 Ok: queued as SINK\r\n")
}
