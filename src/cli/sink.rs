//! A next hop of our own, for `try` and `bench`: it takes every mail, and keeps, counts or hands it on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::config::NextHop;
use crate::mail::{Client, Envelope};
use crate::smtp::Reply;
use crate::smtp::body::{BodyReader, Finished};
use crate::smtp::command::parse;
use crate::smtp::inbound::{Inbound, Line};
use crate::smtp::outbound::{Pool, Transaction, deliver};
use crate::smtp::session::{Rules, Session, Step};
use crate::smtp::stream::Stream;

/// The largest mail it takes.
const MESSAGE_BYTES_MAX: u64 = 200 << 20;

/// What becomes of mails.
#[derive(Debug, Default)]
pub struct Sink {
    /// A Maildir to store them in.
    pub maildir: Option<PathBuf>,
    /// A next hop to hand them on to: an empty relay, which looks at nothing.
    pub next_hop: Option<NextHop>,
    /// Connections to that next hop.
    pub pool: Pool,
    /// Mails taken.
    pub taken: AtomicU64,
}

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, sink: Arc<Sink>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(session(Stream::tcp(stream), Arc::clone(&sink)));
    }
}

async fn session(stream: Stream, sink: Arc<Sink>) {
    let rules = Rules { xforward: true, ..Rules::new(MESSAGE_BYTES_MAX, 10_000) };
    let mut inbound = Inbound::new(stream, Duration::from_secs(300));
    let mut session = Session::new(rules, Client::default());
    inbound.say(&Reply::new(220, "nexthop ESMTP"));
    loop {
        let Line::Whole(line) = inbound.line().await else { break };
        match session.step(parse(&line)) {
            Step::Say(reply) | Step::Reset(reply) => inbound.say(&reply),
            Step::HangUp(reply) => {
                inbound.say(&reply);
                break;
            }
            Step::Greeted => inbound.say(&session.greeting()),
            Step::Mail(mail) => {
                let ok = Reply::new(250, "2.1.0 Ok");
                session.sender(mail, &ok);
                inbound.say(&ok);
            }
            Step::Rcpt(rcpt) => {
                let ok = Reply::new(250, "2.1.5 Ok");
                session.recipient(rcpt, &ok);
                inbound.say(&ok);
            }
            Step::ReadBody => {
                inbound.say(&Reply::new(354, "Go ahead"));
                let mut reader = BodyReader::new(MESSAGE_BYTES_MAX);
                let until = Instant::now() + Duration::from_secs(300);
                if inbound.body(&mut reader, until, |_| true).await.is_err() {
                    return;
                }
                let Some(envelope) = session.take_envelope() else { return };
                let Finished::Whole(body) = reader.finish() else { return };
                let reply = match &sink.next_hop {
                    None => sink.store(&body.octets),
                    Some(next_hop) => sink.hand_on(next_hop, &envelope, body.octets).await,
                };
                inbound.say(&reply);
            }
        }
    }
    inbound.close().await;
}

impl Sink {
    /// As the engine behind the queue does it, with nothing in between: 250 only after the next hop's.
    async fn hand_on(&self, next_hop: &NextHop, envelope: &Envelope, octets: Bytes) -> Reply {
        self.taken.fetch_add(1, Ordering::AcqRel);
        let transaction = Transaction {
            client: Some(&envelope.client).filter(|_| envelope.forwarded),
            sender: &envelope.sender,
            recipients: envelope.recipients.iter().map(|recipient| &recipient.path).collect(),
            pieces: &[octets],
        };
        let until = Instant::now() + Duration::from_secs(90);
        match deliver(&self.pool, next_hop, &transaction, until).await {
            Ok(replies) => replies
                .into_iter()
                .next()
                .unwrap_or_else(|| Reply::try_again("the next hop gave no reply")),
            Err(trouble) => trouble.reply(next_hop, "relay"),
        }
    }

    fn store(&self, octets: &[u8]) -> Reply {
        let number = self.taken.fetch_add(1, Ordering::AcqRel);
        if let Some(maildir) = &self.maildir {
            let name = format!("{}.{number}.tamis", std::process::id());
            let (tmp, new) = (maildir.join("tmp").join(&name), maildir.join("new").join(&name));
            let stored = std::fs::write(&tmp, octets).and_then(|()| std::fs::rename(&tmp, &new));
            if let Err(error) = stored {
                return Reply::new(451, format!("4.3.0 {error}"));
            }
        }
        Reply::new(250, format!("2.0.0 Ok: queued as {number:08X}"))
    }
}
