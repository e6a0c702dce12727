//! The server's side of a session as a pure machine: a command goes in, a [`Step`] comes out. No socket, no clock.

use crate::mail::{Client, Envelope, Protocol, Recipient};
use crate::smtp::command::{Command, MailCommand, RcptCommand};
use crate::smtp::{Reply, xforward};

/// Commands that were refused before the session is closed.
const ERRORS_MAX: u32 = 100;

/// What a session may do, by its listener.
#[derive(Debug, Clone)]
pub struct Rules {
    /// LMTP instead of SMTP.
    pub lmtp: bool,
    /// The peer may use XFORWARD.
    pub xforward: bool,
    /// For the EHLO reply and SIZE.
    pub message_bytes_max: u64,
    /// Recipients of a mail.
    pub recipients_max: usize,
    /// What the other side can carry.
    pub extensions: Extensions,
}

/// Extensions that a transaction may use, because the next hop can carry them too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extensions {
    /// 8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// SMTPUTF8 (RFC 6531).
    pub utf8: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
}

impl Extensions {
    /// All of them.
    pub const ALL: Self = Self { eight_bit: true, utf8: true, dsn: true };
}

/// What the engine must do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Say this and go on.
    Say(Reply),
    /// Say this and close.
    HangUp(Reply),
    /// The client greeted: find out what can be offered, set [`Rules::extensions`], then say [`Session::greeting`].
    Greeted,
    /// Ask the next hop, or accept; then tell [`Session::sender`].
    Mail(MailCommand),
    /// Ask the next hop, or accept; then tell [`Session::recipient`].
    Rcpt(RcptCommand),
    /// Undo the transaction on the other side as well, then say this.
    Reset(Reply),
    /// Say 354 and read the body.
    ReadBody,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    /// What it may do.
    pub rules: Rules,
    protocol: Option<Protocol>,
    helo: String,
    /// What XFORWARD told; forgotten at the end of a transaction.
    forwarded: Option<Client>,
    peer: Client,
    transaction: Option<Envelope>,
    errors: u32,
}

impl Session {
    /// A session with a peer of that address.
    #[must_use]
    pub fn new(rules: Rules, peer: Client) -> Self {
        Self {
            rules,
            protocol: None,
            helo: String::new(),
            forwarded: None,
            peer,
            transaction: None,
            errors: 0,
        }
    }

    /// What the peer called itself; empty before its greeting.
    #[must_use]
    pub fn helo(&self) -> &str {
        &self.helo
    }

    /// The original client, as far as we know it now.
    #[must_use]
    pub fn client(&self) -> Client {
        match &self.forwarded {
            Some(client) => client.clone(),
            None => Client { helo: Some(self.helo.clone()), ..self.peer.clone() },
        }
    }

    /// True if XFORWARD told us of another client.
    #[must_use]
    pub fn is_forwarded(&self) -> bool {
        self.forwarded.is_some()
    }

    /// Takes a command.
    pub fn step(&mut self, command: Result<Command, Reply>) -> Step {
        let step = match command {
            Ok(command) => self.take(command),
            Err(reply) => Step::Say(reply),
        };
        if let Step::Say(reply) = &step
            && reply.is_permanent()
        {
            self.errors += 1;
            if self.errors >= ERRORS_MAX {
                return Step::HangUp(Reply::new(421, "4.7.0 Too many errors, closing channel"));
            }
        }
        step
    }

    fn take(&mut self, command: Command) -> Step {
        match command {
            Command::Helo(name) => self.greet(Protocol::Smtp, name),
            Command::Ehlo(name) => self.greet(Protocol::Esmtp, name),
            Command::Lhlo(name) => self.greet(Protocol::Lmtp, name),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(rcpt) => self.rcpt(rcpt),
            Command::Data => self.data(),
            Command::Rset => {
                self.finished();
                Step::Reset(Reply::new(250, "2.0.0 Ok"))
            }
            Command::Noop => Step::Say(Reply::new(250, "2.0.0 Ok")),
            Command::Vrfy => Step::Say(Reply::new(252, "2.0.0 Argument not checked")),
            Command::Help => Step::Say(Reply::new(214, "2.0.0 See RFC 5321")),
            Command::Quit => Step::HangUp(Reply::new(221, "2.0.0 Bye")),
            Command::Xforward(arguments) => self.xforward(&arguments),
            Command::NotOffered(verb) => {
                let reply = Reply::new(502, format!("5.5.1 {verb} is not offered"));
                // Whoever sends BDAT counts its octets as content: the transaction they belong to must not live on.
                if verb == "BDAT" { self.abandon(reply) } else { Step::Say(reply) }
            }
            Command::Unknown => Step::Say(Reply::new(502, "5.5.2 Command not recognized")),
        }
    }

    fn abandon(&mut self, reply: Reply) -> Step {
        self.finished();
        Step::Reset(reply)
    }

    fn greet(&mut self, protocol: Protocol, name: String) -> Step {
        if (protocol == Protocol::Lmtp) != self.rules.lmtp {
            let verb = if self.rules.lmtp { "LHLO" } else { "EHLO" };
            return Step::Say(Reply::new(502, format!("5.5.1 Say {verb} here")));
        }
        self.protocol = Some(protocol);
        self.helo = name;
        self.finished();
        Step::Greeted
    }

    /// The reply to HELO, EHLO or LHLO.
    #[must_use]
    pub fn greeting(&self) -> Reply {
        if self.protocol == Some(Protocol::Smtp) {
            return Reply::new(250, "localhost");
        }
        let offer = &self.rules.extensions;
        let mut lines = vec![
            "localhost".to_owned(),
            "PIPELINING".to_owned(),
            format!("SIZE {}", self.rules.message_bytes_max),
            "VRFY".to_owned(),
            "ENHANCEDSTATUSCODES".to_owned(),
        ];
        lines.extend(offer.eight_bit.then(|| "8BITMIME".to_owned()));
        // SMTPUTF8 needs 8BITMIME (RFC 6531 section 3.1).
        lines.extend((offer.utf8 && offer.eight_bit).then(|| "SMTPUTF8".to_owned()));
        lines.extend(offer.dsn.then(|| "DSN".to_owned()));
        lines.extend(
            self.rules
                .xforward
                .then(|| "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE".to_owned()),
        );
        Reply { code: 250, lines }
    }

    fn mail(&mut self, mail: MailCommand) -> Step {
        // Postfix and amavisd take a MAIL without any greeting, and small scripts rely on it.
        if self.protocol.is_none() && self.rules.lmtp {
            return Step::Say(Reply::new(503, "5.5.1 Say LHLO first"));
        }
        if self.transaction.is_some() {
            return Step::Say(Reply::new(503, "5.5.1 A transaction is under way"));
        }
        if let Some(size) = mail.size
            && size > self.rules.message_bytes_max
        {
            return Step::Say(Reply::too_large(size));
        }
        if mail.utf8 && !self.rules.extensions.utf8 {
            return Step::Say(Reply::new(550, "5.6.7 SMTPUTF8 is not supported by the next hop"));
        }
        if mail.dsn && !self.rules.extensions.dsn {
            return Step::Say(Reply::new(555, "5.5.4 DSN is not supported by the next hop"));
        }
        Step::Mail(mail)
    }

    /// MAIL was answered with `reply`.
    pub fn sender(&mut self, mail: MailCommand, reply: &Reply) {
        if !reply.is_positive() {
            return;
        }
        self.transaction = Some(Envelope {
            client: self.client(),
            forwarded: self.is_forwarded(),
            protocol: self.protocol.unwrap_or_default(),
            helo: self.helo.clone(),
            sender: mail.path,
            recipients: Vec::new(),
        });
    }

    fn rcpt(&mut self, rcpt: RcptCommand) -> Step {
        let Some(envelope) = &self.transaction else {
            return Step::Say(Reply::new(503, "5.5.1 Say MAIL first"));
        };
        if envelope.recipients.len() >= self.rules.recipients_max {
            return Step::Say(Reply::new(452, "4.5.3 Too many recipients"));
        }
        if rcpt.dsn && !self.rules.extensions.dsn {
            return Step::Say(Reply::new(555, "5.5.4 DSN is not supported by the next hop"));
        }
        Step::Rcpt(rcpt)
    }

    /// RCPT was answered with `reply`.
    pub fn recipient(&mut self, rcpt: RcptCommand, reply: &Reply) {
        if let Some(envelope) = &mut self.transaction
            && reply.is_positive()
        {
            envelope.recipients.push(Recipient { path: rcpt.path });
        }
    }

    fn data(&mut self) -> Step {
        match &self.transaction {
            None => Step::Say(Reply::new(503, "5.5.1 Say MAIL and RCPT first")),
            Some(envelope) if envelope.recipients.is_empty() => {
                // RFC 2033 section 4.2 wants 503 in LMTP.
                let code = if self.rules.lmtp { "503 5.1.1" } else { "554 5.1.1" };
                let (code, enhanced) = code.split_once(' ').unwrap_or((code, ""));
                let code = code.parse().unwrap_or(554);
                Step::Say(Reply::new(code, format!("{enhanced} Error (DATA): no valid recipients")))
            }
            Some(_) => Step::ReadBody,
        }
    }

    /// The envelope of the mail whose body was read. XFORWARD and the transaction end with it.
    pub fn take_envelope(&mut self) -> Option<Envelope> {
        let envelope = self.transaction.take();
        self.finished();
        envelope
    }

    /// The transaction under way, if any.
    #[must_use]
    pub fn envelope(&self) -> Option<&Envelope> {
        self.transaction.as_ref()
    }

    fn finished(&mut self) {
        self.transaction = None;
        self.forwarded = None;
    }

    fn xforward(&mut self, arguments: &str) -> Step {
        if !self.rules.xforward {
            return Step::Say(Reply::new(550, "5.7.0 XFORWARD is not for you"));
        }
        if self.transaction.is_some() {
            return Step::Say(Reply::new(503, "5.5.1 XFORWARD inside a transaction"));
        }
        // Postfix sends the attributes in two commands: they add up.
        let mut client = self.forwarded.clone().unwrap_or_default();
        match xforward::receive(&mut client, arguments) {
            Ok(()) => {
                self.forwarded = Some(client);
                Step::Say(Reply::new(250, "2.0.0 Ok"))
            }
            Err(reply) => Step::Say(reply),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::command::parse;

    fn session() -> Session {
        let rules = Rules {
            lmtp: false,
            xforward: true,
            message_bytes_max: 1000,
            recipients_max: 2,
            extensions: Extensions::ALL,
        };
        Session::new(rules, Client::default())
    }

    /// Plays lines as a store-and-forward engine would, accepting everything; gives the codes, 354 for a body.
    fn play(session: &mut Session, lines: &[&str]) -> Vec<u16> {
        let ok = Reply::new(250, "2.1.0 Ok");
        lines
            .iter()
            .map(|line| match session.step(parse(line.as_bytes())) {
                Step::Say(reply) | Step::HangUp(reply) | Step::Reset(reply) => reply.code,
                Step::Greeted => session.greeting().code,
                Step::Mail(mail) => {
                    session.sender(mail, &ok);
                    ok.code
                }
                Step::Rcpt(rcpt) => {
                    session.recipient(rcpt, &ok);
                    ok.code
                }
                Step::ReadBody => {
                    session.take_envelope();
                    354
                }
            })
            .collect()
    }

    #[test]
    fn commands_have_an_order() {
        let mut s = session();
        let lines = [
            "MAIL FROM:<a@b>",
            "EHLO x",
            "RCPT TO:<c@d>",
            "DATA",
            "MAIL FROM:<a@b>",
            "MAIL FROM:<c@b>",
            "DATA",
        ];
        assert_eq!(play(&mut s, &lines), [250, 250, 503, 503, 250, 503, 554]);
        assert_eq!(play(&mut s, &["RCPT TO:<c@d>", "RSET", "DATA", "QUIT"]), [250, 250, 503, 221]);
    }

    #[test]
    fn only_lmtp_needs_a_greeting() {
        assert_eq!(play(&mut session(), &["MAIL FROM:<a@b>"]), [250]);
        let mut lmtp = session();
        lmtp.rules.lmtp = true;
        assert_eq!(
            play(&mut lmtp, &["MAIL FROM:<a@b>", "LHLO x", "MAIL FROM:<a@b>"]),
            [503, 250, 250]
        );
    }

    #[test]
    fn the_third_of_two_recipients_is_one_too_many() {
        let mut s = session();
        let lines = [
            "EHLO x",
            "MAIL FROM:<a@b>",
            "RCPT TO:<1@d>",
            "RCPT TO:<2@d>",
            "RCPT TO:<3@d>",
            "DATA",
        ];
        assert_eq!(play(&mut s, &lines), [250, 250, 250, 250, 452, 354]);
    }

    #[test]
    fn xforward_ends_with_its_transaction() {
        let mut s = session();
        play(&mut s, &["EHLO x", "XFORWARD NAME=n", "XFORWARD ADDR=192.0.2.1"]);
        assert_eq!(s.client().name.as_deref(), Some("n"));
        assert_eq!(s.client().address, Some("192.0.2.1".parse().unwrap()));
        play(&mut s, &["MAIL FROM:<a@b>", "RCPT TO:<c@d>"]);
        assert_eq!(play(&mut s, &["XFORWARD NAME=m"]), [503]);
        play(&mut s, &["DATA"]);
        assert!(!s.is_forwarded());
    }

    #[test]
    fn what_the_next_hop_cannot_carry_is_not_offered() {
        let mut s = session();
        s.rules.extensions = Extensions { eight_bit: false, utf8: true, dsn: false };
        s.rules.xforward = false;
        play(&mut s, &["EHLO x"]);
        let text = s.greeting().text();
        for word in ["8BITMIME", "SMTPUTF8", "DSN", "XFORWARD", "CHUNKING", "STARTTLS"] {
            assert!(!text.contains(word), "{text}");
        }
        assert_eq!(play(&mut s, &["XFORWARD NAME=x", "MAIL FROM:<a@b> RET=FULL"]), [550, 555]);
    }

    #[test]
    fn bdat_ends_the_transaction_but_not_the_session() {
        let mut s = session();
        let lines = ["EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "BDAT 5 LAST", "DATA", "NOOP"];
        assert_eq!(play(&mut s, &lines), [250, 250, 250, 502, 503, 250]);
    }

    #[test]
    fn a_session_of_errors_is_closed() {
        let mut s = session();
        let codes = play(&mut s, &["FOO"; 100]);
        assert_eq!((codes[98], codes[99]), (502, 421));
    }

    #[test]
    fn a_declared_size_over_the_limit_is_refused_at_once() {
        let mut s = session();
        assert_eq!(
            play(&mut s, &["HELO x", "MAIL FROM:<a@b> SIZE=1001", "MAIL FROM:<a@b> SIZE=1000"]),
            [250, 552, 250]
        );
    }
}
