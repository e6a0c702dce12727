//! An SMTP client that sends any octets and says what came back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// What the server said, or did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A whole reply: its lines without their line ends, as one text with `\n` between.
    Reply(String),
    /// It closed the connection.
    Close,
    /// Nothing within the time.
    Silence,
}

impl Heard {
    /// The code; 0 if there is none.
    pub fn code(&self) -> u16 {
        match self {
            Self::Reply(text) => text.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0),
            Self::Close | Self::Silence => 0,
        }
    }

    /// The text; a word for what is no reply.
    pub fn text(&self) -> &str {
        match self {
            Self::Reply(text) => text,
            Self::Close => "close",
            Self::Silence => "silence",
        }
    }

    /// True if the last line begins so. `close` stands for a closed connection, and a server that says `421` may also
    /// just have closed.
    pub fn is(&self, prefix: &str) -> bool {
        match self {
            Self::Reply(text) => text.rsplit('\n').next().unwrap_or("").starts_with(prefix),
            Self::Close => prefix == "close" || prefix == "421",
            Self::Silence => false,
        }
    }
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects; the greeting is not read yet.
    pub fn connect(port: u16) -> Self {
        Self::try_connect(port).unwrap_or_else(|error| panic!("connects to {port}: {error}"))
    }

    /// As [`Client::connect`], for a server that may be away.
    pub fn try_connect(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(super::PATIENCE))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Connects, reads the greeting and says EHLO.
    pub fn greeted(port: u16) -> Self {
        let mut client = Self::connect(port);
        client.wants("220");
        client.says("EHLO client.example.org", "250");
        client
    }

    /// Sends octets as they are.
    pub fn send(&mut self, octets: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(octets)
    }

    /// Reads one reply.
    pub fn hear(&mut self) -> Heard {
        self.hear_within(super::PATIENCE)
    }

    /// Reads one reply, for some time at most.
    pub fn hear_within(&mut self, time: Duration) -> Heard {
        let end = Instant::now() + time;
        let mut lines = Vec::new();
        loop {
            while let Some(at) = memchr::memchr(b'\n', &self.buffer) {
                let line: Vec<u8> = self.buffer.drain(..=at).collect();
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                let more = line.as_bytes().get(3) == Some(&b'-');
                lines.push(line);
                if !more {
                    return Heard::Reply(lines.join("\n"));
                }
            }
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left)).unwrap();
            let mut chunk = [0; 8192];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Heard::Close,
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Heard::Silence;
                }
                Err(_) => return Heard::Close,
            }
        }
    }

    /// Reads one reply, which must begin so.
    pub fn wants(&mut self, prefix: &str) -> Heard {
        let heard = self.hear();
        assert!(heard.is(prefix), "wanted {prefix}, heard {heard:?}");
        heard
    }

    /// Sends a line and reads its reply.
    pub fn ask(&mut self, line: &str) -> Heard {
        match self.send(format!("{line}\r\n").as_bytes()) {
            Ok(()) => self.hear(),
            // What the server said before it closed is still to be read.
            Err(_) => self.hear_within(Duration::from_millis(200)),
        }
    }

    /// Sends a line; its reply must begin so.
    pub fn says(&mut self, line: &str, prefix: &str) -> Heard {
        let heard = self.ask(line);
        assert!(heard.is(prefix), "to {line:?} wanted {prefix}, heard {heard:?}");
        heard
    }

    /// One mail in an open session: the reply to the dot, or the first that refuses.
    pub fn mail(&mut self, from: &str, to: &[&str], message: &[u8]) -> Heard {
        let mut lines = vec![format!("MAIL FROM:<{from}>")];
        lines.extend(to.iter().map(|to| format!("RCPT TO:<{to}>")));
        lines.push("DATA".to_owned());
        for line in lines {
            let heard = self.ask(&line);
            if !(200..400).contains(&heard.code()) {
                return heard;
            }
        }
        match self.send(&stuffed(message)) {
            Ok(()) => self.hear(),
            Err(_) => self.hear_within(Duration::from_millis(200)),
        }
    }

    /// Ends the sending side, so that the server sees the end of the stream.
    pub fn shut_write(&self) {
        self.stream.shutdown(Shutdown::Write).ok();
    }

    /// Ends the connection with a reset instead of an orderly end.
    pub fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).unwrap();
    }
}

/// A whole session with one mail: the reply to the dot, or the first that refuses, the greeting included.
pub fn deliver(port: u16, from: &str, to: &[&str], message: &[u8]) -> Heard {
    let Ok(mut client) = Client::try_connect(port) else { return Heard::Close };
    let greeting = client.hear();
    if greeting.code() != 220 {
        return greeting;
    }
    let hello = client.ask("EHLO client.example.org");
    if hello.code() != 250 {
        return hello;
    }
    let heard = client.mail(from, to, message);
    client.ask("QUIT");
    heard
}

/// The octets of DATA: lines that begin with a dot get another, and a lone dot ends.
pub fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + 8);
    let mut at_line_start = true;
    for &octet in message {
        if at_line_start && octet == b'.' {
            wire.push(b'.');
        }
        wire.push(octet);
        at_line_start = octet == b'\n';
    }
    if !wire.ends_with(b"\r\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}
