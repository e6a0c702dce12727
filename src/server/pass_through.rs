//! The engine before the queue: MAIL and RCPT go to the next hop at once and its replies come back at once; the body goes
//! only after the verdict, and on a refusal the dot is never sent.

use bytes::Bytes;
use tokio::time::Instant;

use crate::config::NextHop;
use crate::delivery::{ByPool, Sender};
use crate::mail::{Client, Path};
use crate::policy::Delivery;
use crate::smtp::Reply;
use crate::smtp::outbound::Transaction;
use crate::smtp::outbound::{Connection, Pool, Stage, Trouble, What, argument_for, impossible};
use crate::smtp::session::Extensions;

/// The next hop's side of a session.
pub struct Upstream<'a> {
    pool: &'a Pool,
    next_hop: &'a NextHop,
    connection: Option<Connection>,
    /// MAIL was accepted there, and no RSET or body followed.
    open: bool,
    /// XFORWARD was told there, and nothing has ended what it holds for.
    told: bool,
    /// Recipients accepted there.
    accepted: Vec<Path>,
    /// Until when the next answer must come.
    pub deadline: Instant,
}

impl<'a> Upstream<'a> {
    /// Not connected yet.
    pub fn new(pool: &'a Pool, next_hop: &'a NextHop, deadline: Instant) -> Self {
        Self {
            pool,
            next_hop,
            connection: None,
            open: false,
            told: false,
            accepted: Vec::new(),
            deadline,
        }
    }

    /// Connects if need be; gives what can be offered to the client.
    pub async fn extensions(&mut self) -> Result<Extensions, Trouble> {
        if let Some(connection) = &self.connection {
            return Ok(connection.offer.extensions());
        }
        let connection = self.pool.take(self.next_hop, self.deadline).await?;
        let extensions = connection.offer.extensions();
        self.connection = Some(connection);
        Ok(extensions)
    }

    /// MAIL. The reply comes back word for word; trouble of ours is 4xx.
    pub async fn mail(&mut self, client: Option<&Client>, sender: &Path) -> Reply {
        self.reset().await;
        // What was said since the last answer is the announcement that the connection ends, or a mistake of theirs.
        self.connection.take_if(|connection| !connection.is_quiet());
        let mut outcome = self.try_mail(client, sender).await;
        let stale = match &outcome {
            Err(trouble) => matches!(trouble.what, What::Closed | What::Io(_)),
            Ok(reply) => reply.code == 421,
        };
        if stale {
            // A kept connection may have been closed meanwhile; nothing of the mail has left yet.
            self.connection = None;
            outcome = match Connection::open(self.next_hop, self.deadline).await {
                Ok(connection) => {
                    self.connection = Some(connection);
                    self.try_mail(client, sender).await
                }
                Err(trouble) => Err(trouble),
            };
        }
        match outcome {
            Ok(reply) => {
                self.open = reply.is_positive();
                reply
            }
            Err(trouble) => self.failed(&trouble),
        }
    }

    async fn try_mail(&mut self, client: Option<&Client>, sender: &Path) -> Result<Reply, Trouble> {
        self.extensions().await?;
        let deadline = self.deadline;
        let Some(connection) = &mut self.connection else {
            return Err(Trouble { stage: Stage::Connect, what: What::Closed });
        };
        if let Some(client) = client {
            self.told = true;
            connection.xforward(client, deadline).await?;
        }
        let line = line(b"MAIL FROM:", sender, connection);
        connection.command(&line, Stage::Mail, deadline).await
    }

    /// RCPT.
    pub async fn rcpt(&mut self, recipient: &Path) -> Reply {
        let deadline = self.deadline;
        let Some(connection) = self.connection.as_mut().filter(|_| self.open) else {
            return Reply::new(451, "4.4.1 The connection to the next hop was lost");
        };
        let line = line(b"RCPT TO:", recipient, connection);
        match connection.command(&line, Stage::Rcpt, deadline).await {
            Ok(reply) => {
                if reply.is_positive() {
                    self.accepted.push(recipient.clone());
                }
                reply
            }
            Err(trouble) => self.failed(&trouble),
        }
    }

    /// Undoes a transaction that is open there, and what XFORWARD told for one: it must not hold for the next mail.
    pub async fn reset(&mut self) {
        self.accepted.clear();
        let open = std::mem::take(&mut self.open);
        if !(std::mem::take(&mut self.told) || open) {
            return;
        }
        let deadline = self.deadline;
        if let Some(connection) = &mut self.connection {
            let reply = connection.command(b"RSET\r\n", Stage::Reset, deadline).await;
            if !reply.is_ok_and(|reply| reply.is_positive()) {
                self.connection = None;
            }
        }
    }

    /// Gives the connection back for others.
    pub async fn end(mut self) {
        self.reset().await;
        if let Some(connection) = self.connection.take() {
            self.pool.give_back(self.next_hop, connection).await;
        }
    }

    fn failed(&mut self, trouble: &Trouble) -> Reply {
        tracing::warn!(%trouble, "next hop {} failed", self.next_hop);
        self.connection = None;
        self.open = false;
        Reply::new(451, format!("4.4.1 MTA({}) failed, {trouble}", self.next_hop))
    }

    /// DATA and the body in the open transaction.
    async fn body(&mut self, pieces: &[Bytes]) -> Result<Reply, Trouble> {
        let deadline = self.deadline;
        let Some(connection) = self.connection.as_mut() else {
            return Err(Trouble { stage: Stage::Data, what: What::Closed });
        };
        self.open = false;
        let reply = connection.command(b"DATA\r\n", Stage::Data, deadline).await?;
        if reply.code != 354 {
            return Err(Trouble { stage: Stage::Data, what: What::Refused(reply) });
        }
        connection.body(pieces, deadline).await?;
        let reply = connection.reply(Stage::AfterDot, deadline).await?;
        self.told = false;
        connection.mails += 1;
        if reply.code == 421 {
            self.connection = None;
        }
        Ok(reply)
    }
}

fn line(verb: &[u8], path: &Path, connection: &Connection) -> Vec<u8> {
    let mut line = verb.to_vec();
    line.extend_from_slice(&argument_for(path, &connection.offer));
    line.extend_from_slice(b"\r\n");
    line
}

/// The connection had ended before DATA was answered.
fn is_gone(trouble: &Trouble) -> bool {
    let ended = match &trouble.what {
        What::Closed | What::Io(_) => true,
        What::Refused(reply) => reply.code == 421,
        What::Timeout | What::BadReply(_) => false,
    };
    ended && trouble.stage == Stage::Data
}

impl Sender for Upstream<'_> {
    async fn send(
        &mut self,
        client: Option<&Client>,
        sender: &Path,
        delivery: &Delivery,
        pieces: &[Bytes],
    ) -> Result<Vec<Reply>, Trouble> {
        let count = delivery.paths.len();
        if self.open && delivery.paths == self.accepted && !self.next_hop.lmtp {
            let transaction =
                Transaction { client, sender, recipients: delivery.paths.iter().collect(), pieces };
            let refusal = self
                .connection
                .as_ref()
                .and_then(|connection| impossible(&connection.offer, &transaction));
            if let Some(reply) = refusal {
                return Ok(vec![reply; count]);
            }
            let sent = self.body(pieces).await;
            if sent.is_err() {
                self.connection = None;
            }
            match sent {
                // A client that took long for its body finds the connection closed meanwhile; nothing of it has left.
                Err(trouble) if is_gone(&trouble) => {}
                sent => return sent.map(|reply| vec![reply; count]),
            }
        }
        // Recipients get different mails: each group needs a transaction of its own. Ours goes back to the pool first, so
        // that no session waits for a second connection while it holds one.
        self.reset().await;
        if let Some(connection) = self.connection.take() {
            self.pool.give_back(self.next_hop, connection).await;
        }
        let mut by_pool =
            ByPool { pool: self.pool, next_hop: self.next_hop, deadline: self.deadline };
        by_pool.send(client, sender, delivery, pieces).await
    }

    fn next_hop(&self) -> &NextHop {
        self.next_hop
    }
}
