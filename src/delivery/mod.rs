//! Carries a plan out, and says what became of the mail.
//!
//! Invariant: 2xx is answered only after the next hop's 2xx, or after the quarantine copy is synced to disk.

pub mod loop_guard;
mod memory;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::config::{Listener, ListenerMode, ListenerProtocol, Mode, NextHop};
use crate::examine::Examined;
use crate::explain;
use crate::mail::{Client, Envelope, Path};
use crate::policy::edit;
use crate::policy::{Delivery, summary};
use crate::quarantine::{Class, MailId, NewEntry, Quarantine, Stored, Trouble};
use crate::smtp::Reply;
use crate::smtp::outbound::Transaction;
use crate::smtp::outbound::{Pool, Trouble as NextHopTrouble, What, deliver};

pub use memory::Memory;

/// What carries mail out: shared by all sessions, and kept over reloads.
#[derive(Debug, Clone)]
pub struct Courier {
    /// Connections to next hops.
    pub pool: Arc<Pool>,
    /// The quarantine.
    pub quarantine: Quarantine,
    /// What earlier tries of the same mail have reached.
    pub memory: Arc<Memory>,
}

/// What became of a mail.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// A reply for each recipient, in order.
    pub replies: Vec<Reply>,
    /// The reply for all of them together.
    pub reply: Option<Reply>,
    /// The quarantine's file.
    pub quarantined: Option<Stored>,
    /// What the next hops said of mails they took, once for each transaction.
    pub accepted: Vec<String>,
    /// The codes of all their final replies, trouble with them as 4xx.
    pub codes: Vec<u16>,
}

/// How one transaction is sent; the pass-through engine has one under way already.
pub trait Sender {
    /// Sends to these paths; a reply for each, in order.
    fn send(
        &mut self,
        client: Option<&Client>,
        sender: &Path,
        delivery: &Delivery,
        pieces: &[bytes::Bytes],
    ) -> impl Future<Output = Result<Vec<Reply>, NextHopTrouble>> + Send;

    /// Where to, for replies.
    fn next_hop(&self) -> &NextHop;
}

/// Sends over connections of the pool.
pub struct ByPool<'a> {
    /// The pool.
    pub pool: &'a Pool,
    /// Where to.
    pub next_hop: &'a NextHop,
    /// When to give up.
    pub deadline: Instant,
}

impl Sender for ByPool<'_> {
    async fn send(
        &mut self,
        client: Option<&Client>,
        sender: &Path,
        delivery: &Delivery,
        pieces: &[bytes::Bytes],
    ) -> Result<Vec<Reply>, NextHopTrouble> {
        let recipients = delivery.paths.iter().collect();
        let transaction = Transaction { client, sender, recipients, pieces };
        deliver(self.pool, self.next_hop, &transaction, self.deadline).await
    }

    fn next_hop(&self) -> &NextHop {
        self.next_hop
    }
}

impl Courier {
    /// Carries out the plan of an examined mail that came to `listener`.
    pub async fn carry_out<S: Sender>(
        &self,
        mode: Mode,
        listener: &Listener,
        envelope: &Envelope,
        examined: &Examined,
        sender: &mut S,
    ) -> Outcome {
        let count = envelope.recipients.len();
        let waiting = examined.refusal.as_ref().or(examined.plan.wait.as_ref());
        if let Some(reply) = waiting.filter(|_| mode == Mode::Enforce || examined.refusal.is_some())
        {
            return Outcome::same(reply.clone(), count);
        }
        let own_replies = listener.protocol == ListenerProtocol::Lmtp;
        let message = &examined.report.message;
        let known = match own_replies {
            true => HashMap::new(),
            false => self.memory.recall(&listener.name, envelope, message),
        };
        let mut outcome = Outcome::default();
        let new = unkept(envelope, examined, &known);
        if !new.is_empty() {
            match self.quarantine.store(entry(envelope, examined, &new)).await {
                Ok(stored) => outcome.quarantined = Some(stored),
                Err(trouble) => {
                    return Outcome::same(
                        quarantine_trouble(&trouble, examined.id.as_str()),
                        count,
                    );
                }
            }
        }
        let mut replies: Vec<Option<Reply>> = examined.plan.replies.clone();
        replies.resize(count, None);
        for delivery in &examined.plan.deliveries {
            self.one(envelope, examined, delivery, &known, sender, &mut replies, &mut outcome)
                .await;
        }
        outcome.replies = replies
            .into_iter()
            .map(|reply| reply.unwrap_or_else(|| Reply::try_again("no answer for this recipient")))
            .collect();
        let reply = if own_replies {
            outcome.replies.first().cloned()
        } else {
            Some(self.together(listener, envelope, examined, &mut outcome).await)
        };
        outcome.reply = reply;
        outcome
    }

    #[expect(clippy::too_many_arguments, reason = "one step of carry_out, apart for its length")]
    async fn one<S: Sender>(
        &self,
        envelope: &Envelope,
        examined: &Examined,
        delivery: &Delivery,
        known: &HashMap<String, Reply>,
        sender: &mut S,
        replies: &mut [Option<Reply>],
        outcome: &mut Outcome,
    ) {
        // Whoever got the mail in an earlier try of the client does not get it again.
        let mut delivery = delivery.clone();
        for &index in &delivery.recipients {
            let address =
                envelope.recipients.get(index).map_or("", |recipient| recipient.address());
            if let (Some(reply), Some(slot)) = (known.get(address), replies.get_mut(index)) {
                *slot = Some(reply.clone());
                if !delivery.redirected {
                    delivery.paths.retain(|path| path.address != address);
                }
            }
        }
        delivery.recipients.retain(|&index| replies.get(index).is_some_and(Option::is_none));
        if delivery.paths.is_empty() || delivery.recipients.is_empty() {
            return;
        }
        let raw = &examined.report.message.raw;
        let pieces = edit::apply(raw, delivery.block.as_bytes(), &delivery.edits);
        let client = Some(&envelope.client).filter(|_| envelope.forwarded);
        let sent = sender.send(client, &envelope.sender, &delivery, &pieces).await;
        let next_hop = sender.next_hop();
        let answers: Vec<Reply> = match sent {
            Ok(answers) => {
                let taken = answers.iter().find(|reply| reply.is_positive());
                outcome.accepted.extend(taken.map(Reply::text));
                answers.iter().map(|reply| from_next_hop(next_hop, reply)).collect()
            }
            Err(trouble) => {
                tracing::warn!(id = examined.id.as_str(), %trouble, "next hop {next_hop} failed");
                vec![trouble_reply(&trouble, next_hop, examined.id.as_str())]
            }
        };
        outcome.codes.extend(answers.iter().map(|reply| reply.code));
        for (at, &index) in delivery.recipients.iter().enumerate() {
            let answer = if delivery.redirected {
                answers.first()
            } else {
                answers.get(at).or(answers.first())
            };
            if let Some(slot) = replies.get_mut(index) {
                *slot = answer.cloned();
            }
        }
    }

    /// One reply for all recipients. A part that failed must neither be forgotten nor make the others get the mail
    /// twice, so what was reached is remembered for the client's next try.
    async fn together(
        &self,
        listener: &Listener,
        envelope: &Envelope,
        examined: &Examined,
        outcome: &mut Outcome,
    ) -> Reply {
        let message = &examined.report.message;
        let replies = outcome.replies.clone();
        let some = |test: fn(&Reply) -> bool| replies.iter().find(|reply| test(reply));
        let (positive, permanent) = (some(Reply::is_positive), some(Reply::is_permanent));
        let kept: &[usize] =
            if outcome.quarantined.is_some() { &examined.plan.quarantine } else { &[] };
        let after_queue = listener.mode == ListenerMode::AfterQueue;
        if let Some(reply) = some(Reply::is_temporary) {
            if positive.is_some() || permanent.is_some() || !kept.is_empty() {
                self.memory.remember(&listener.name, envelope, message, &replies, kept);
                self.memory.refuse(envelope, &replies);
            }
            return reply.clone();
        }
        match (positive, permanent) {
            (None, Some(reply)) => reply.clone(),
            (Some(_), Some(_)) if after_queue && self.memory.refuse(envelope, &replies) => {
                self.memory.remember(&listener.name, envelope, message, &replies, kept);
                Reply::new(
                    451,
                    "4.3.0 Some recipients were refused; try again, and each is answered on its own",
                )
            }
            (Some(_), Some(_)) => self.keep_refused(envelope, examined, outcome).await,
            _ => {
                self.memory.forget(&listener.name, envelope, message);
                best(&replies)
            }
        }
    }

    /// The next hop took the mail for some and refused others for good, and nobody can be told: the copies of the
    /// refused are kept for the postmaster.
    async fn keep_refused(
        &self,
        envelope: &Envelope,
        examined: &Examined,
        outcome: &mut Outcome,
    ) -> Reply {
        let mut entry = entry(envelope, examined, &examined.plan.quarantine);
        match MailId::new() {
            Ok(id) => entry.id = id,
            Err(trouble) => return quarantine_trouble(&trouble, examined.id.as_str()),
        }
        let refused = |reply: &Reply| reply.is_permanent();
        let each = || envelope.recipients.iter().zip(&outcome.replies);
        let paths = |keep: bool| -> Vec<Path> {
            each()
                .filter(|(_, reply)| refused(reply) == keep)
                .map(|(recipient, _)| recipient.path.clone())
                .collect()
        };
        (entry.recipients, entry.delivered_recipients) = (paths(true), paths(false));
        entry.class = Class::Other;
        let why = outcome.replies.iter().find(|reply| refused(reply)).map(ToString::to_string);
        entry
            .header_lines
            .push(format!("X-Amavis-Alert: refused by the next hop, {}", why.unwrap_or_default()));
        match self.quarantine.store(entry).await {
            Ok(stored) => {
                tracing::warn!(
                    id = examined.id.as_str(),
                    file = stored.file,
                    "the next hop refused some recipients; their copy is kept"
                );
                outcome.quarantined.get_or_insert(stored);
                for reply in outcome.replies.iter_mut().filter(|reply| refused(reply)) {
                    *reply = Reply::new(
                        250,
                        format!("2.7.0 Ok, quarantined, the next hop said: {reply}"),
                    );
                }
                best(&outcome.replies)
            }
            Err(trouble) => quarantine_trouble(&trouble, examined.id.as_str()),
        }
    }
}

/// The key under which a recipient's copy in the quarantine is remembered among addresses; no address looks like it.
fn quarantined(address: &str) -> String {
    format!("<quarantined> {address}")
}

/// Recipients whose copy must be kept and is not kept yet. That the copy of others is says nothing of theirs: Postfix
/// sends a mail of many recipients in several transactions.
fn unkept(envelope: &Envelope, examined: &Examined, known: &HashMap<String, Reply>) -> Vec<usize> {
    let kept = |index: &usize| {
        let recipient = envelope.recipients.get(*index);
        recipient.is_some_and(|recipient| known.contains_key(&quarantined(recipient.address())))
    };
    examined.plan.quarantine.iter().copied().filter(|index| !kept(index)).collect()
}

/// A delivery's reply tells most; what was held back is added to it.
fn best(replies: &[Reply]) -> Reply {
    let delivered = |reply: &&Reply| !reply.text().starts_with("2.7.0");
    let held = replies.iter().filter(|reply| !delivered(reply)).count();
    match replies.iter().find(delivered) {
        Some(reply) if held > 0 => {
            Reply::new(reply.code, format!("{}, but {held} DISCARD", reply.text()))
        }
        Some(reply) => reply.clone(),
        None => replies.first().cloned().unwrap_or_else(|| Reply::new(250, "2.0.0 Ok")),
    }
}

fn from_next_hop(next_hop: &NextHop, reply: &Reply) -> Reply {
    let enhanced =
        reply.enhanced().map_or_else(|| format!("{}.0.0", reply.code / 100), str::to_owned);
    Reply::new(reply.code, format!("{enhanced} from MTA({next_hop}): {reply}"))
}

/// A lost answer after the dot is a 4xx like the others: the mail may arrive twice, but it is not lost.
fn trouble_reply(trouble: &NextHopTrouble, next_hop: &NextHop, id: &str) -> Reply {
    match &trouble.what {
        What::Io(_) | What::Timeout | What::Closed | What::BadReply(_) | What::Refused(_) => {
            trouble.reply(next_hop, id)
        }
    }
}

fn quarantine_trouble(trouble: &Trouble, id: &str) -> Reply {
    tracing::error!(id, %trouble, "a mail could not be quarantined; its sender keeps it");
    if trouble.is_no_space() {
        Reply::new(452, format!("4.3.1 The quarantine has no space, id={id}"))
    } else {
        Reply::try_again(&format!("id={id}, the quarantine cannot be written"))
    }
}

fn entry(envelope: &Envelope, examined: &Examined, recipients: &[usize]) -> NewEntry {
    let message = &examined.report.message;
    let text = |name: &str| explain::header_text(message, name);
    let path =
        |index: &usize| envelope.recipients.get(*index).map(|recipient| recipient.path.clone());
    let delivered = examined.plan.deliveries.iter().flat_map(|delivery| delivery.recipients.iter());
    let decision = recipients.first().and_then(|&index| examined.decisions.get(index));
    let verdict = decision.map_or(crate::verdict::Verdict::Clean, |decision| decision.verdict);
    let mut lines = Vec::new();
    if let Some(decision) = decision {
        lines.push(format!("X-Amavis-Alert: {}", summary(&examined.report, decision)));
        let mut spam = String::new();
        crate::policy::block::spam(&mut spam, &examined.report, decision);
        lines.extend(fields(&spam));
    }
    NewEntry {
        id: examined.id.clone(),
        class: Class::of(verdict),
        verdict: verdict.as_str().to_owned(),
        sender: envelope.sender.clone(),
        recipients: recipients.iter().filter_map(path).collect(),
        all_recipients: envelope
            .recipients
            .iter()
            .map(|recipient| recipient.path.clone())
            .collect(),
        delivered_recipients: delivered.filter_map(path).collect(),
        client_address: envelope.client.address,
        client_name: envelope.client.name.clone(),
        helo: envelope.client.helo.clone(),
        ident: envelope.client.ident.clone(),
        subject: text("Subject"),
        from_header: text("From"),
        message_id: text("Message-ID"),
        score: examined.report.score,
        header_lines: lines,
        raw: message.raw.clone(),
        facts: examined.facts.clone(),
    }
}

/// Whole fields out of a block of folded lines.
fn fields(block: &str) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for line in block.split("\r\n").filter(|line| !line.is_empty()) {
        match fields.last_mut() {
            Some(field) if line.starts_with(' ') => {
                field.push_str("\r\n");
                field.push_str(line);
            }
            _ => fields.push(line.to_owned()),
        }
    }
    fields
}

impl Outcome {
    /// The same reply for every recipient, nothing done.
    #[must_use]
    pub fn same(reply: Reply, count: usize) -> Self {
        Self { replies: vec![reply.clone(); count], reply: Some(reply), ..Self::default() }
    }
}
