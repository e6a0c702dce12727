//! The server's side of a session as a pure machine: a command goes in, a [`Step`] comes out. No socket, no clock.

use crate::mail::{Client, Envelope, Path, Protocol, Recipient};
use crate::smtp::command::{Command, MailCommand, RcptCommand};
use crate::smtp::outbound::path_end;
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
    /// Keywords of the EHLO reply, in upper case, that are not offered although they could be.
    pub hidden: Vec<String>,
    /// Addresses must stand in angle brackets, right behind the colon (RFC 5321 section 4.1.2).
    pub strict_addresses: bool,
    /// Nobody is told of a success by servers behind us: SUCCESS is taken out of NOTIFY.
    pub terminate_success: bool,
}

impl Rules {
    /// A session with an ordinary peer: everything is offered but XFORWARD.
    #[must_use]
    pub fn new(message_bytes_max: u64, recipients_max: usize) -> Self {
        Self {
            lmtp: false,
            xforward: false,
            message_bytes_max,
            recipients_max,
            extensions: Extensions::ALL,
            hidden: Vec::new(),
            strict_addresses: false,
            terminate_success: false,
        }
    }

    fn shows(&self, keyword: &str) -> bool {
        !self.hidden.iter().any(|hidden| hidden == keyword)
    }

    /// What may be used: the other side can carry it, and it is not hidden.
    fn offered(&self) -> Extensions {
        let can = &self.extensions;
        let eight_bit = can.eight_bit && self.shows("8BITMIME");
        Extensions {
            eight_bit,
            // SMTPUTF8 needs 8BITMIME (RFC 6531 section 3.1).
            utf8: can.utf8 && eight_bit && self.shows("SMTPUTF8"),
            dsn: can.dsn && self.shows("DSN"),
            require_tls: can.require_tls && self.shows("REQUIRETLS"),
        }
    }
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
    /// REQUIRETLS (RFC 8689): a promise that only a next hop that gives it too can keep.
    pub require_tls: bool,
}

impl Extensions {
    /// All that need no promise of the next hop.
    pub const ALL: Self = Self { eight_bit: true, utf8: true, dsn: true, require_tls: false };
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
            Command::Vrfy if !self.rules.shows("VRFY") => {
                Step::Say(Reply::new(502, "5.5.1 VRFY is not offered"))
            }
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
        let offer = self.rules.offered();
        let size = format!("SIZE {}", self.rules.message_bytes_max);
        let mut lines = vec!["localhost".to_owned()];
        for (line, offered) in [
            ("PIPELINING", true),
            (&*size, true),
            ("VRFY", true),
            ("ENHANCEDSTATUSCODES", true),
            ("8BITMIME", offer.eight_bit),
            ("SMTPUTF8", offer.utf8),
            ("DSN", offer.dsn),
            ("REQUIRETLS", offer.require_tls),
            ("XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE", self.rules.xforward),
        ] {
            let keyword = line.split(' ').next().unwrap_or(line);
            if offered && self.rules.shows(keyword) {
                lines.push(line.to_owned());
            }
        }
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
        let offered = self.rules.offered();
        let refusal = if self.rules.strict_addresses && !is_bracketed(&mail.path) {
            Some((501, "5.5.2 Syntax error: the address must stand in angle brackets"))
        } else if mail.utf8 && !offered.utf8 {
            Some((550, "5.6.7 SMTPUTF8 is not supported by the next hop"))
        } else if mail.dsn && !offered.dsn {
            Some((555, "5.5.4 DSN is not supported by the next hop"))
        } else if mail.require_tls && !offered.require_tls {
            Some((555, "5.7.30 REQUIRETLS is not supported by the next hop"))
        } else {
            None
        };
        match refusal {
            Some((code, text)) => Step::Say(Reply::new(code, text)),
            None => Step::Mail(mail),
        }
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

    fn rcpt(&mut self, mut rcpt: RcptCommand) -> Step {
        let Some(envelope) = &self.transaction else {
            return Step::Say(Reply::new(503, "5.5.1 Say MAIL first"));
        };
        if envelope.recipients.len() >= self.rules.recipients_max {
            return Step::Say(Reply::new(452, "4.5.3 Too many recipients"));
        }
        if self.rules.strict_addresses && !is_bracketed(&rcpt.path) {
            let text = "5.5.2 Syntax error: the address must stand in angle brackets";
            return Step::Say(Reply::new(501, text));
        }
        if rcpt.dsn && !self.rules.offered().dsn {
            return Step::Say(Reply::new(555, "5.5.4 DSN is not supported by the next hop"));
        }
        if self.rules.terminate_success {
            without_success(&mut rcpt.path.argument);
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

fn is_bracketed(path: &Path) -> bool {
    path.argument.starts_with(b"<")
}

/// Takes SUCCESS out of NOTIFY. Who asked for nothing else asked not to be told of a failure.
fn without_success(argument: &mut Vec<u8>) {
    // A quoted local part may hold blanks, and words that look like parameters.
    let end = path_end(argument);
    let parameters = argument.get(end..).unwrap_or_default();
    let mut words: Vec<Vec<u8>> =
        parameters.split(|&octet| octet == b' ').map(<[u8]>::to_vec).collect();
    for word in words.iter_mut().skip(1) {
        let Some((key, value)) = word.split_at_checked(7) else { continue };
        if !key.eq_ignore_ascii_case(b"NOTIFY=") {
            continue;
        }
        let mut rest = value
            .split(|&octet| octet == b',')
            .filter(|event| !event.eq_ignore_ascii_case(b"SUCCESS"))
            .collect::<Vec<_>>()
            .join(&b',');
        if rest.is_empty() {
            rest = b"NEVER".to_vec();
        }
        if rest.len() != value.len() {
            *word = [key, &rest].concat();
        }
    }
    argument.truncate(end);
    argument.extend_from_slice(&words.join(&b' '));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::command::parse;

    fn session() -> Session {
        Session::new(Rules { xforward: true, ..Rules::new(1000, 2) }, Client::default())
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
        s.rules.extensions =
            Extensions { eight_bit: false, utf8: true, dsn: false, require_tls: false };
        s.rules.xforward = false;
        play(&mut s, &["EHLO x"]);
        let text = s.greeting().text();
        for word in ["8BITMIME", "SMTPUTF8", "DSN", "XFORWARD", "CHUNKING", "STARTTLS"] {
            assert!(!text.contains(word), "{text}");
        }
        assert_eq!(play(&mut s, &["XFORWARD NAME=x", "MAIL FROM:<a@b> RET=FULL"]), [550, 555]);
    }

    #[test]
    fn what_is_hidden_is_neither_offered_nor_taken() {
        let mut s = session();
        s.rules.extensions.require_tls = true;
        play(&mut s, &["EHLO x"]);
        for word in ["8BITMIME", "SMTPUTF8", "DSN", "REQUIRETLS", "VRFY", "PIPELINING"] {
            assert!(s.greeting().text().contains(word), "{word}");
        }
        assert_eq!(
            play(&mut s, &["VRFY x", "MAIL FROM:<a@b> REQUIRETLS", "RSET"]),
            [252, 250, 250]
        );
        s.rules.hidden = ["8BITMIME", "DSN", "VRFY", "REQUIRETLS"].map(str::to_owned).to_vec();
        play(&mut s, &["EHLO x"]);
        for word in ["8BITMIME", "SMTPUTF8", "DSN", "REQUIRETLS", "VRFY"] {
            assert!(!s.greeting().text().contains(word), "{word}");
        }
        let lines = ["MAIL FROM:<a@b> SMTPUTF8", "MAIL FROM:<a@b> RET=FULL", "VRFY x"];
        assert_eq!(play(&mut s, &lines), [550, 555, 502]);
        assert_eq!(play(&mut s, &["MAIL FROM:<a@b> REQUIRETLS"]), [555]);
    }

    #[test]
    fn strict_addresses_stand_in_brackets() {
        let mut s = session();
        assert_eq!(play(&mut s, &["MAIL FROM: a@b", "RCPT TO:c@d", "RSET"]), [250, 250, 250]);
        s.rules.strict_addresses = true;
        assert_eq!(play(&mut s, &["MAIL FROM: a@b", "MAIL FROM: <a@b>"]), [501, 501]);
        assert_eq!(
            play(&mut s, &["MAIL FROM:<>", "RCPT TO:c@d", "RCPT TO:<c@d>"]),
            [250, 501, 250]
        );
    }

    #[test]
    fn success_can_be_taken_out_of_notify_and_nothing_else_changes() {
        for (argument, want) in [
            ("<a@b>", "<a@b>"),
            (
                "<a@b> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bb@c",
                "<a@b> NOTIFY=FAILURE ORCPT=rfc822;a+2Bb@c",
            ),
            ("<a@b>  notify=failure,success", "<a@b>  notify=failure"),
            ("<\"x NOTIFY=SUCCESS,y z\"@b>", "<\"x NOTIFY=SUCCESS,y z\"@b>"),
            ("<a@b> NOTIFY=SUCCESS", "<a@b> NOTIFY=NEVER"),
            ("<a@b> NOTIFY=NEVER", "<a@b> NOTIFY=NEVER"),
            ("<a@b> NOTIFY=DELAY,FAILURE", "<a@b> NOTIFY=DELAY,FAILURE"),
        ] {
            let mut octets = argument.as_bytes().to_vec();
            without_success(&mut octets);
            assert_eq!(String::from_utf8(octets).unwrap(), want);
        }
        let mut s = session();
        s.rules.terminate_success = true;
        play(&mut s, &["EHLO x", "MAIL FROM:<a@b>", "RCPT TO:<c@d> NOTIFY=SUCCESS,DELAY"]);
        let path = &s.envelope().unwrap().recipients[0].path;
        assert_eq!(path.argument, b"<c@d> NOTIFY=DELAY");
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
