//! One mail to one next hop, in one transaction.

use bytes::Bytes;
use tokio::time::Instant;

use super::connection::{Connection, Offer, Stage, Trouble, What};
use super::pool::Pool;
use crate::config::NextHop;
use crate::mail::{Client, Path};
use crate::smtp::Reply;

/// What is sent.
#[derive(Debug, Clone)]
pub struct Transaction<'a> {
    /// Told by XFORWARD, if the next hop wants to know; `None` tells nothing.
    pub client: Option<&'a Client>,
    /// The reverse-path.
    pub sender: &'a Path,
    /// The forward-paths, one at least.
    pub recipients: Vec<&'a Path>,
    /// The message in pieces.
    pub pieces: &'a [Bytes],
}

/// Delivers one transaction; gives the next hop's reply for each recipient, in order. A recipient that it refused has
/// that refusal; if it refused one for now (4xx) and took another, nothing is sent, and all get the 4xx: after DATA
/// there is one reply for all, so a part that must wait could not be told apart (only LMTP can).
///
/// A connection out of the pool that turns out dead before the dot is replaced once; after the dot nothing is tried
/// again (RFC 1047).
///
/// # Errors
/// When the next hop could not be asked, or its answer after the dot is not known.
pub async fn deliver(
    pool: &Pool,
    next_hop: &NextHop,
    transaction: &Transaction<'_>,
    deadline: Instant,
) -> Result<Vec<Reply>, Trouble> {
    let mut connection = pool.take(next_hop, deadline).await?;
    let mut outcome = attempt(&mut connection, next_hop.lmtp, transaction, deadline).await;
    if connection.pooled && is_stale(&outcome) {
        connection = Connection::open(next_hop, deadline).await?;
        outcome = attempt(&mut connection, next_hop.lmtp, transaction, deadline).await;
    }
    let (replies, clean) = outcome?;
    if clean {
        connection.mails += 1;
        pool.give_back(next_hop, connection).await;
    } else {
        connection.quit().await;
    }
    Ok(replies)
}

/// The pooled connection had been closed, or was about to be, before anything of the mail was taken.
fn is_stale(outcome: &Result<(Vec<Reply>, bool), Trouble>) -> bool {
    match outcome {
        Err(trouble) => {
            let gone = matches!(trouble.what, What::Closed | What::Io(_));
            let refused = matches!(&trouble.what, What::Refused(reply) if reply.code == 421);
            (gone || refused) && trouble.stage != Stage::AfterDot
        }
        Ok((replies, _)) => replies.iter().all(|reply| reply.code == 421),
    }
}

async fn attempt(
    connection: &mut Connection,
    lmtp: bool,
    transaction: &Transaction<'_>,
    deadline: Instant,
) -> Result<(Vec<Reply>, bool), Trouble> {
    if let Some(reply) = impossible(&connection.offer, transaction) {
        return Ok((vec![reply; transaction.recipients.len()], true));
    }
    if let Some(client) = transaction.client {
        connection.xforward(client, deadline).await?;
    }
    let asked = if connection.offer.pipelining {
        ask_in_one(connection, transaction, deadline).await?
    } else {
        ask_in_turn(connection, transaction, deadline).await?
    };
    let (mut replies, data) = match asked {
        Asked::Refused(reply) => return Ok((vec![reply; transaction.recipients.len()], false)),
        Asked::Answered { recipients, data } => (recipients, data),
    };
    let accepted = replies.iter().filter(|reply| reply.is_positive()).count();
    let waiting = replies.iter().find(|reply| !reply.is_positive() && !reply.is_permanent());
    if let Some(reply) = waiting.filter(|_| !lmtp).cloned() {
        // Left without the dot: a 354 may have been said already, so the connection cannot be used again.
        return Ok((vec![reply; replies.len()], false));
    }
    if accepted == 0 {
        return Ok((replies, false));
    }
    if data.code != 354 {
        return Err(Trouble { stage: Stage::Data, what: What::Refused(data) });
    }
    connection.body(transaction.pieces, deadline).await?;
    let (mut clean, mut heard) = (true, false);
    let mut last: Option<Reply> = None;
    for reply in replies.iter_mut().filter(|reply| reply.is_positive()) {
        *reply = match &last {
            Some(last) => Reply::clone(last),
            None => match connection.reply(Stage::AfterDot, deadline).await {
                Ok(reply) => reply,
                // LMTP: whoever was answered before has the mail, and must not get it again with the others.
                Err(trouble) if lmtp && heard => {
                    clean = false;
                    Reply::new(451, format!("4.4.2 {trouble}"))
                }
                Err(trouble) => return Err(trouble),
            },
        };
        heard = true;
        last = (!lmtp || !clean).then(|| reply.clone());
    }
    clean &= replies.iter().all(|reply| reply.code != 421);
    Ok((replies, clean))
}

enum Asked {
    /// MAIL was refused.
    Refused(Reply),
    /// A reply for each RCPT, and that to DATA.
    Answered { recipients: Vec<Reply>, data: Reply },
}

fn commands(offer: &Offer, transaction: &Transaction<'_>) -> (Vec<u8>, Vec<Vec<u8>>) {
    let line = |verb: &str, path: &Path| {
        let mut line = verb.as_bytes().to_vec();
        line.extend_from_slice(&argument_for(path, offer));
        line.extend_from_slice(b"\r\n");
        line
    };
    let recipients = transaction.recipients.iter().map(|path| line("RCPT TO:", path)).collect();
    (line("MAIL FROM:", transaction.sender), recipients)
}

async fn ask_in_one(
    connection: &mut Connection,
    transaction: &Transaction<'_>,
    deadline: Instant,
) -> Result<Asked, Trouble> {
    let (mail, recipients) = commands(&connection.offer, transaction);
    let count = recipients.len();
    let mut octets = mail;
    octets.extend(recipients.into_iter().flatten());
    octets.extend_from_slice(b"DATA\r\n");
    connection.send(&octets, Stage::Mail, deadline).await?;
    let reply = connection.reply(Stage::Mail, deadline).await?;
    if !reply.is_positive() {
        return Ok(Asked::Refused(reply));
    }
    let mut replies = Vec::with_capacity(count);
    for _ in 0..count {
        replies.push(connection.reply(Stage::Rcpt, deadline).await?);
    }
    let data = connection.reply(Stage::Data, deadline).await?;
    Ok(Asked::Answered { recipients: replies, data })
}

async fn ask_in_turn(
    connection: &mut Connection,
    transaction: &Transaction<'_>,
    deadline: Instant,
) -> Result<Asked, Trouble> {
    let (mail, recipients) = commands(&connection.offer, transaction);
    let reply = connection.command(&mail, Stage::Mail, deadline).await?;
    if !reply.is_positive() {
        return Ok(Asked::Refused(reply));
    }
    let mut replies = Vec::with_capacity(recipients.len());
    for line in recipients {
        replies.push(connection.command(&line, Stage::Rcpt, deadline).await?);
    }
    if !replies.iter().any(Reply::is_positive) {
        return Ok(Asked::Answered {
            recipients: replies,
            data: Reply::new(554, "5.5.1 no recipients"),
        });
    }
    let data = connection.command(b"DATA\r\n", Stage::Data, deadline).await?;
    Ok(Asked::Answered { recipients: replies, data })
}

/// The refusal of what the next hop cannot carry at all, and we must not convert.
#[must_use]
pub fn impossible(offer: &Offer, transaction: &Transaction<'_>) -> Option<Reply> {
    let asks = |word: &str| has_parameter(&transaction.sender.argument, word);
    if !offer.utf8 && asks("SMTPUTF8") {
        let writable = |path: &&Path| path.argument.is_ascii() || ascii_address(path).is_some();
        let addresses =
            writable(&transaction.sender) && transaction.recipients.iter().all(writable);
        if !addresses || !is_header_ascii(transaction.pieces) {
            return Some(Reply::new(550, "5.6.7 SMTPUTF8 is not supported by the next hop"));
        }
    }
    // A promise that nobody behind us gives must not be dropped in silence (RFC 8689 section 4.2.1).
    if !offer.require_tls && asks("REQUIRETLS") {
        return Some(Reply::new(550, "5.7.30 REQUIRETLS is not supported by the next hop"));
    }
    if !offer.eight_bit
        && asks("BODY=8BITMIME")
        && !transaction.pieces.iter().all(|piece| piece.is_ascii())
    {
        return Some(Reply::new(554, "5.6.3 Conversion to 7BIT required but not supported"));
    }
    None
}

/// The address with its domain in A-labels (RFC 5890), where only the domain is not ASCII.
fn ascii_address(path: &Path) -> Option<String> {
    let (local, domain) = path.address.rsplit_once('@')?;
    let domain = idna::domain_to_ascii(domain).ok().filter(|domain| !domain.is_empty())?;
    local.is_ascii().then(|| format!("{local}@{domain}"))
}

/// True if the header section, which may span pieces, has ASCII only.
fn is_header_ascii(pieces: &[Bytes]) -> bool {
    for piece in pieces {
        let end = memchr::memmem::find(piece, b"\r\n\r\n");
        let header = piece.get(..end.unwrap_or(piece.len())).unwrap_or_default();
        if !header.is_ascii() {
            return false;
        }
        if end.is_some() {
            return true;
        }
    }
    true
}

fn has_parameter(argument: &[u8], word: &str) -> bool {
    argument.split(|&octet| octet == b' ').any(|found| found.eq_ignore_ascii_case(word.as_bytes()))
}

/// The argument of MAIL or RCPT for a next hop: octet for octet as it came, without those parameters that the next hop
/// does not know, and with the domain in A-labels for one without SMTPUTF8.
#[must_use]
pub fn argument_for(path: &Path, offer: &Offer) -> Vec<u8> {
    let unknown = |word: &[u8]| {
        let keyword =
            word.split(|&octet| octet == b'=').next().unwrap_or_default().to_ascii_uppercase();
        match keyword.as_slice() {
            b"SIZE" => !offer.size,
            b"BODY" => !offer.eight_bit,
            b"SMTPUTF8" => !offer.utf8,
            b"RET" | b"ENVID" | b"NOTIFY" | b"ORCPT" => !offer.dsn,
            _ => false,
        }
    };
    let end = path_end(&path.argument);
    let (address, parameters) =
        path.argument.split_at_checked(end).unwrap_or((&path.argument, &[]));
    let known = !parameters.split(|&octet| octet == b' ').any(unknown);
    if known && (offer.utf8 || address.is_ascii()) {
        return path.argument.clone();
    }
    let mut argument = match ascii_address(path).filter(|_| !offer.utf8 && !address.is_ascii()) {
        Some(address) => format!("<{address}>").into_bytes(),
        None => address.to_vec(),
    };
    for word in
        parameters.split(|&octet| octet == b' ').filter(|word| !word.is_empty() && !unknown(word))
    {
        argument.push(b' ');
        argument.extend_from_slice(word);
    }
    argument
}

/// Where the path ends and the parameters begin.
pub(in crate::smtp) fn path_end(argument: &[u8]) -> usize {
    let start = argument.iter().position(|&octet| octet != b' ').unwrap_or(0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, &octet) in argument.iter().enumerate().skip(start) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b' ' if !quoted => return at,
            _ => {}
        }
    }
    argument.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(text: &str, offer: &Offer) -> String {
        let path = Path { argument: text.as_bytes().to_vec(), address: String::new() };
        String::from_utf8(argument_for(&path, offer)).unwrap()
    }

    #[test]
    fn arguments_leave_as_they_came_where_the_next_hop_can_carry_them() {
        let all = Offer {
            pipelining: true,
            eight_bit: true,
            utf8: true,
            dsn: true,
            size: true,
            require_tls: true,
            xforward: vec![],
        };
        for text in [
            "<a@b> SIZE=1  body=8BITMIME ENVID=x+2By",
            " a@b",
            "<\"a b\"@c> NOTIFY=NEVER ORCPT=rfc822;a+2Bb@c",
        ] {
            assert_eq!(argument(text, &all), text);
        }
    }

    #[test]
    fn an_international_domain_is_written_in_a_labels_for_a_next_hop_without_smtputf8() {
        let path = |address: &str| Path {
            argument: format!("<{address}> SMTPUTF8").into_bytes(),
            address: address.to_owned(),
        };
        let old = Offer { eight_bit: true, ..Offer::default() };
        let domain = path("joe@b\u{fc}cher.example");
        assert_eq!(argument_for(&domain, &old), b"<joe@xn--bcher-kva.example>");
        let refusal = |sender: &Path, message: &'static str| {
            let pieces = [Bytes::from_static(b"X: y\r\n"), Bytes::from_static(message.as_bytes())];
            let transaction =
                Transaction { client: None, sender, recipients: vec![&domain], pieces: &pieces };
            impossible(&old, &transaction).map(|reply| reply.code)
        };
        assert_eq!(refusal(&domain, "Subject: x\r\n\r\n\u{fc}"), None);
        assert_eq!(refusal(&domain, "Subject: \u{fc}\r\n\r\n"), Some(550));
        assert_eq!(refusal(&path("jo\u{eb}@example.org"), "Subject: x\r\n\r\n"), Some(550));
    }

    #[test]
    fn parameters_a_next_hop_does_not_know_are_left_out() {
        let none = Offer::default();
        assert_eq!(argument("<a@b> SIZE=1 BODY=8BITMIME RET=FULL", &none), "<a@b>");
        assert_eq!(argument("<\"a b\"@c> NOTIFY=NEVER", &none), "<\"a b\"@c>");
        let size = Offer { size: true, ..Offer::default() };
        assert_eq!(argument("<a@b> BODY=7BIT SIZE=1", &size), "<a@b> SIZE=1");
    }

    #[tokio::test]
    async fn an_lmtp_answer_that_is_lost_does_not_undo_the_ones_before() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut piece = [0u8; 4096];
            // Banner, LHLO, MAIL, RCPT, RCPT, DATA, and the first of two answers.
            for reply in ["220 x", "250 x", "250 x", "250 x", "250 x", "354 x", "250 first has it"]
            {
                stream.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap();
                if reply != "250 first has it" {
                    assert!(stream.read(&mut piece).await.unwrap() > 0);
                }
            }
        });
        let next_hop = NextHop { lmtp: true, address: crate::config::Address::Tcp(address) };
        let path = |text: &str| Path { argument: text.as_bytes().to_vec(), address: String::new() };
        let (sender, one, two) = (path("<s@x>"), path("<a@x>"), path("<b@x>"));
        let transaction = Transaction {
            client: None,
            sender: &sender,
            recipients: vec![&one, &two],
            pieces: &[Bytes::from_static(b"A: b\r\n\r\nc\r\n")],
        };
        let until = Instant::now() + std::time::Duration::from_secs(10);
        let replies = deliver(&Pool::default(), &next_hop, &transaction, until).await.unwrap();
        server.await.unwrap();
        let codes: Vec<u16> = replies.iter().map(|reply| reply.code).collect();
        assert_eq!(codes, [250, 451]);
    }
}
