//! One session: commands to the engine of its listener, bodies to the verdict core, replies back.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::budget::Share;
use super::pass_through::Upstream;
use super::{Server, store_and_forward};
use crate::config::{Listener, ListenerMode, ListenerProtocol};
use crate::delivery::Outcome;
use crate::examine::{Examined, Question, examine};
use crate::explain;
use crate::journal::{Entry, queued_as};
use crate::learned;
use crate::mail::{Client, Envelope};
use crate::metrics::{ClassLabels, ListenerLabel, MailLabels, ReasonLabel};
use crate::policy::is_local;
use crate::quarantine::HistoryRow;
use crate::site::Site;
use crate::smtp::Reply;
use crate::smtp::body::{Body, BodyReader, Finished};
use crate::smtp::command::parse;
use crate::smtp::inbound::{Broken, Inbound, Line};
use crate::smtp::session::{Rules, Session, Step};
use crate::smtp::stream::Stream;

/// A body must be there in this time, however the client cuts it.
const BODY_TIME: Duration = Duration::from_mins(10);

/// Turns a client away.
pub async fn refuse(stream: Stream, reply: &Reply) {
    let mut inbound = Inbound::new(stream, Duration::from_secs(5));
    inbound.say(reply);
    inbound.close().await;
}

/// One session and its surroundings.
struct Connection<'a> {
    server: &'a Arc<Server>,
    listener: &'a Listener,
    peer: IpAddr,
    inbound: Inbound,
    session: Session,
    /// `None`: the store-and-forward engine.
    upstream: Option<Upstream<'a>>,
}

/// Serves a session to its end.
pub async fn serve(server: &Arc<Server>, listener: Listener, stream: Stream, peer: IpAddr) {
    let limits = server.site.load().config.limits.clone();
    let lmtp = listener.protocol == ListenerProtocol::Lmtp;
    let rules = Rules {
        lmtp,
        xforward: listener.trust_xforward.iter().any(|network| network.contains(&peer)),
        hidden: listener.hide.clone(),
        strict_addresses: listener.strict_addresses,
        terminate_success: listener.terminate_success,
        ..Rules::new(limits.message_bytes_max, limits.recipients_max)
    };
    let client = Client { address: Some(peer), ..Client::default() };
    let pre_queue = listener.mode == ListenerMode::PreQueue;
    let deadline = tokio::time::Instant::now() + limits.deadline;
    let upstream =
        pre_queue.then(|| Upstream::new(&server.courier.pool, &listener.next_hop, deadline));
    let mut connection = Connection {
        server,
        listener: &listener,
        peer,
        inbound: Inbound::new(stream, limits.idle),
        session: Session::new(rules, client),
        upstream,
    };
    let word = if lmtp { "LMTP" } else { "ESMTP" };
    connection.inbound.say(&Reply::new(220, format!("localhost {word} Tamis ready")));
    connection.run().await;
    let Connection { inbound, upstream, .. } = connection;
    if let Some(upstream) = upstream {
        upstream.end().await;
    }
    inbound.close().await;
}

impl Connection<'_> {
    async fn run(&mut self) {
        let mut stopping = self.server.stopping.subscribe();
        loop {
            let line = tokio::select! {
                biased;
                line = self.inbound.line() => line,
                _ = stopping.wait_for(|stop| *stop) => {
                    self.inbound.say(&Reply::shutting_down());
                    return;
                }
            };
            let command = match line {
                Line::Whole(line) => parse(&line),
                Line::TooLong => Err(Reply::new(500, "5.5.2 Line too long")),
                Line::Endless => {
                    self.inbound.say(&Reply::new(421, "4.5.2 Lines end in CR LF, closing channel"));
                    return;
                }
                Line::Idle => {
                    self.inbound.say(&Reply::idle());
                    return;
                }
                Line::Gone => return,
            };
            let is_data = matches!(command, Ok(crate::smtp::command::Command::Data));
            let is_bdat = matches!(command, Ok(crate::smtp::command::Command::NotOffered("BDAT")));
            if let Some(upstream) = &mut self.upstream {
                upstream.deadline =
                    tokio::time::Instant::now() + self.server.site.load().config.limits.deadline;
            }
            let step = self.session.step(command);
            let refused = (is_data || is_bdat) && !matches!(step, Step::ReadBody);
            if !self.take(step).await {
                return;
            }
            // What follows a refused DATA or BDAT in the same packet is content: it must not be run as commands.
            if refused && self.inbound.has_input() {
                self.inbound.say(&Reply::new(
                    421,
                    "4.5.0 Content after a refused command, closing channel",
                ));
                return;
            }
        }
    }

    /// Carries out a step. False ends the session.
    async fn take(&mut self, step: Step) -> bool {
        match step {
            Step::Say(reply) => self.inbound.say(&reply),
            Step::HangUp(reply) => {
                self.inbound.say(&reply);
                return false;
            }
            Step::Greeted => return self.greeted().await,
            Step::Mail(mail) => {
                let reply = match &mut self.upstream {
                    None => store_and_forward::mail(&mail),
                    Some(upstream) => {
                        let client = self.session.is_forwarded().then(|| self.session.client());
                        upstream.mail(client.as_ref(), &mail.path).await
                    }
                };
                self.session.sender(mail, &reply);
                self.inbound.say(&reply);
            }
            Step::Rcpt(rcpt) => {
                let reply = match &mut self.upstream {
                    None => store_and_forward::rcpt(&self.server.courier, &self.session, &rcpt),
                    Some(upstream) => upstream.rcpt(&rcpt.path).await,
                };
                self.session.recipient(rcpt, &reply);
                self.inbound.say(&reply);
            }
            Step::Reset(reply) => {
                if let Some(upstream) = &mut self.upstream {
                    upstream.reset().await;
                }
                self.inbound.say(&reply);
            }
            Step::ReadBody => return self.data().await,
        }
        true
    }

    /// Before the queue only what the next hop has is offered, so it must be asked first.
    async fn greeted(&mut self) -> bool {
        if let Some(upstream) = &mut self.upstream {
            upstream.reset().await;
            match upstream.extensions().await {
                Ok(extensions) => self.session.rules.extensions = extensions,
                Err(trouble) => {
                    let next_hop = &self.listener.next_hop;
                    tracing::warn!(%trouble, "next hop {next_hop} failed");
                    let text = format!("4.4.1 MTA({next_hop}) failed, {trouble}");
                    self.inbound.say(&Reply::new(421, text));
                    return false;
                }
            }
        }
        self.inbound.say(&self.session.greeting());
        true
    }

    async fn data(&mut self) -> bool {
        let site = self.server.site.load_full();
        self.inbound.say(&Reply::new(354, "End data with <CR><LF>.<CR><LF>"));
        let mut share = self.server.budget.share();
        let mut room = true;
        let mut reader = BodyReader::new(site.config.limits.message_bytes_max);
        let until = tokio::time::Instant::now() + BODY_TIME;
        let read = self
            .inbound
            .body(&mut reader, until, |octets| {
                room = room && share.grow_to(octets);
                if !room {
                    share.give_back();
                }
                room
            })
            .await;
        let received = Instant::now();
        let Some(envelope) = self.session.take_envelope() else { return false };
        if let Err(broken) = read {
            if broken == Broken::Idle {
                self.inbound.say(&Reply::idle());
            }
            return false;
        }
        let finished = reader.finish();
        let body = match finished {
            _ if !room => Err(Reply::no_room()),
            // A reload took the policy away; another one might let through what this one stopped.
            _ if !site.config.policies.contains_key(&*self.listener.policy) => {
                Err(Reply::try_again("the configuration has changed, connect again"))
            }
            Finished::TooLarge(octets) => Err(Reply::too_large(octets)),
            Finished::Whole(body) => Ok(body),
        };
        match body {
            Ok(body) => self.mail(&site, Arc::new(envelope), body, received, share).await,
            Err(reply) => {
                tracing::info!(listener = &*self.listener.name, from = envelope.sender.address, %reply, "mail not taken");
                self.reset_upstream().await;
                self.answer(&vec![reply.clone(); envelope.recipients.len()], &reply);
                true
            }
        }
    }

    async fn reset_upstream(&mut self) {
        if let Some(upstream) = &mut self.upstream {
            upstream.reset().await;
        }
    }

    /// A whole mail: verdict, deeds, reply, journal.
    async fn mail(
        &mut self,
        site: &Arc<Site>,
        envelope: Arc<Envelope>,
        body: Body,
        received: Instant,
        share: Share,
    ) -> bool {
        let label = ListenerLabel { listener: self.listener.name.to_string() };
        let metrics = &self.server.metrics;
        metrics.message_bytes.get_or_create(&label).inc_by(body.octets.len() as u64);
        metrics.in_flight.get_or_create(&label).inc();
        let question = Question {
            listener: self.listener,
            envelope: Arc::clone(&envelope),
            body,
            peer: self.peer,
            received,
            slots: &self.server.slots,
            memory: &self.server.courier.memory,
        };
        let mut examined = examine(site, question).await;
        let alive = self.inbound.is_there();
        let outcome = match &examined {
            // Whoever is gone comes again: what we deliver now would arrive twice (RFC 1047).
            Ok(_) if !alive => None,
            Ok(examined) => Some(self.carry_out(site, &envelope, examined, received).await),
            Err(reply) => {
                tracing::warn!(listener = &*self.listener.name, from = envelope.sender.address, %reply, "mail not taken");
                Some(Outcome::same(reply.clone(), envelope.recipients.len()))
            }
        };
        self.reset_upstream().await;
        metrics.in_flight.get_or_create(&label).dec();
        drop(share);
        let Some(outcome) = outcome else {
            tracing::info!(
                listener = &*self.listener.name,
                "the client was gone before the verdict; nothing was done"
            );
            return false;
        };
        let reply = outcome.reply.clone().unwrap_or_else(|| Reply::try_again("no reply"));
        self.answer(&outcome.replies, &reply);
        let flushed = self.inbound.flush().await;
        if let Ok(examined) = &mut examined {
            self.record(site, &envelope, examined, &outcome, received.elapsed());
        }
        flushed
    }

    async fn carry_out(
        &mut self,
        site: &Site,
        envelope: &Envelope,
        examined: &Examined,
        received: Instant,
    ) -> Outcome {
        let deadline = tokio::time::Instant::from_std(received + site.config.limits.deadline);
        let (courier, mode) = (&self.server.courier, site.config.mode);
        match &mut self.upstream {
            None => {
                let mut sender = store_and_forward::sender(courier, self.listener, deadline);
                courier.carry_out(mode, self.listener, envelope, examined, &mut sender).await
            }
            Some(upstream) => {
                upstream.deadline = deadline;
                courier.carry_out(mode, self.listener, envelope, examined, upstream).await
            }
        }
    }

    /// SMTP has one reply for the mail, LMTP one for each recipient (RFC 2033 section 4.2).
    fn answer(&mut self, replies: &[Reply], together: &Reply) {
        if self.session.rules.lmtp {
            for reply in replies {
                self.inbound.say(reply);
            }
        } else {
            self.inbound.say(together);
        }
    }

    fn record(
        &self,
        site: &Arc<Site>,
        envelope: &Arc<Envelope>,
        examined: &mut Examined,
        outcome: &Outcome,
        took: Duration,
    ) {
        let config = &site.config;
        let local = |recipient: &crate::mail::Recipient| {
            is_local(&config.local_domains, recipient.address())
        };
        let internal = envelope.client.address.is_some_and(|address| {
            config.internal_networks.iter().any(|network| network.contains(&address))
        });
        self.server.journal.load().mail(&Entry {
            listener: &self.listener.name,
            listener_mode: self.listener.mode,
            mode: config.mode,
            peer: self.peer,
            envelope,
            examined,
            outcome,
            took,
            local: envelope.recipients.iter().map(local).collect(),
            internal,
        });
        self.count(examined, outcome, took);
        let verdict = learned::Verdict::new(internal, &outcome.accepted, &examined.decisions);
        learned::note(site, envelope, &examined.report, verdict);
        self.server.courier.quarantine.record(history(envelope, examined, outcome));
    }

    fn count(&self, examined: &Examined, outcome: &Outcome, took: Duration) {
        let metrics = &self.server.metrics;
        let listener = self.listener.name.to_string();
        let label = ListenerLabel { listener: listener.clone() };
        metrics.duration.get_or_create(&label).observe(took.as_secs_f64());
        metrics.note_stages(&examined.report.timing);
        let text = |key: &str| {
            examined.facts.get(key).and_then(|value| value.as_str()).unwrap_or("").to_owned()
        };
        let first = examined.decisions.first();
        let delivered = !outcome.accepted.is_empty();
        metrics
            .messages
            .get_or_create(&MailLabels {
                listener: listener.clone(),
                policy: first.map_or(String::new(), |decision| decision.policy.name.to_string()),
                verdict: text("verdict"),
                action: text("action"),
            })
            .inc();
        for code in &outcome.codes {
            let class = format!("{}xx", code / 100);
            metrics
                .next_hop_replies
                .get_or_create(&ClassLabels { listener: listener.clone(), class })
                .inc();
        }
        if delivered && !examined.report.is_virus_scanned() {
            let wanted = examined
                .report
                .not_run
                .iter()
                .filter(|missing| missing.check.starts_with("virus"))
                .any(|missing| missing.weight == crate::filters::Weight::Wanted);
            let reason = if wanted { "error" } else { "off" };
            metrics.unscanned.get_or_create(&ReasonLabel { reason: reason.to_owned() }).inc();
        }
        if examined.refusal.is_some() {
            metrics.loops.get_or_create(&label).inc();
        }
        if examined.report.not_run.iter().any(|missing| missing.check == "panic") {
            metrics.panics.inc();
        }
    }
}

/// The facts move into the row: nothing needs them after it.
fn history(envelope: &Envelope, examined: &mut Examined, outcome: &Outcome) -> HistoryRow {
    let mut facts = std::mem::take(&mut examined.facts);
    let text = |key: &str| facts.get(key).and_then(|value| value.as_str()).unwrap_or("").to_owned();
    let (verdict, action) = (text("verdict"), text("action"));
    if let Some(object) = facts.as_object_mut() {
        object.insert(
            "outcome".to_owned(),
            serde_json::json!({
                "reply": outcome.reply.as_ref().map(ToString::to_string),
                "quarantine": outcome.quarantined.as_ref().map(|stored| stored.file.clone()),
                "out": outcome.accepted.iter().filter_map(|text| queued_as(text)).collect::<Vec<_>>(),
            }),
        );
    }
    HistoryRow {
        id: examined.id.as_str().to_owned(),
        time: jiff::Timestamp::now(),
        queue_id: envelope.client.ident.clone(),
        message_id: explain::header_text(&examined.report.message, "Message-ID"),
        sender: envelope.sender.address.clone(),
        recipients: envelope
            .recipients
            .iter()
            .map(|recipient| recipient.address().to_owned())
            .collect(),
        verdict,
        action,
        score: examined.report.score,
        layout: explain::FACTS_LAYOUT,
        facts,
    }
}
