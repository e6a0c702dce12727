//! One counter a decision: what `/metrics` shows. The names follow Prometheus' conventions; no address is ever a label.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Labels of a mail.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MailLabels {
    /// Listener.
    pub listener: String,
    /// Policy of the first recipient.
    pub policy: String,
    /// Worst verdict.
    pub verdict: String,
    /// Its action.
    pub action: String,
}

/// One label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ListenerLabel {
    /// Listener.
    pub listener: String,
}

/// A stage of the work.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StageLabel {
    /// `decode`, `virus`, `spam`, `headers`, `attachments`, `builtin`.
    pub stage: String,
}

/// A scanner.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ScannerLabel {
    /// Its name.
    pub scanner: String,
}

/// Another spam engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EngineLabel {
    /// Its name.
    pub engine: String,
}

/// A reply of a next hop, by class.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ClassLabels {
    /// Listener.
    pub listener: String,
    /// `2xx`, `4xx`, `5xx`.
    pub class: String,
}

/// Why a mail was delivered without a virus scan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// `off`, `wanted`.
    pub reason: String,
}

/// The build.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BuildLabels {
    /// Version of Tamis.
    pub version: String,
}

type Total = Counter<u64, AtomicU64>;
type Level = Gauge<i64, AtomicI64>;

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Sessions accepted.
    pub connections: Family<ListenerLabel, Total>,
    /// Sessions now.
    pub connections_active: Family<ListenerLabel, Level>,
    /// Mails, once each.
    pub messages: Family<MailLabels, Total>,
    /// Octets as received.
    pub message_bytes: Family<ListenerLabel, Total>,
    /// Between the end of data and our reply.
    pub in_flight: Family<ListenerLabel, Level>,
    /// From the end of data to our reply.
    pub duration: Family<ListenerLabel, Histogram, fn() -> Histogram>,
    /// Time of each stage.
    pub stages: Family<StageLabel, Histogram, fn() -> Histogram>,
    /// 1 if the scanner answers.
    pub scanner_up: Family<ScannerLabel, Level>,
    /// 1 if the engine answers.
    pub engine_up: Family<EngineLabel, Level>,
    /// Replies for recipients.
    pub next_hop_replies: Family<ClassLabels, Total>,
    /// Delivered without a virus scan.
    pub unscanned: Family<ReasonLabel, Total>,
    /// Mails that came back.
    pub loops: Family<ListenerLabel, Total>,
    /// 1 if the last reload worked.
    pub reload_successful: Level,
    /// Caught panics; each is a bug.
    pub panics: Total,
    /// History rows that could not be written.
    pub history_lost: Level,
}

fn seconds() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
        60.0, 120.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut this = Self {
            registry: Registry::with_prefix("tamis"),
            connections: Family::default(),
            connections_active: Family::default(),
            messages: Family::default(),
            message_bytes: Family::default(),
            in_flight: Family::default(),
            duration: Family::new_with_constructor(seconds),
            stages: Family::new_with_constructor(seconds),
            scanner_up: Family::default(),
            engine_up: Family::default(),
            next_hop_replies: Family::default(),
            unscanned: Family::default(),
            loops: Family::default(),
            reload_successful: Level::default(),
            panics: Total::default(),
            history_lost: Level::default(),
        };
        this.reload_successful.set(1);
        this.register();
        this
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("connections", "SMTP sessions accepted", self.connections.clone());
        r.register("connections_active", "SMTP sessions now", self.connections_active.clone());
        r.register(
            "messages",
            "Mails by verdict and action, each counted once",
            self.messages.clone(),
        );
        r.register_with_unit(
            "message",
            "Octets of mails as received",
            Unit::Bytes,
            self.message_bytes.clone(),
        );
        r.register(
            "messages_in_flight",
            "Mails between end of data and reply",
            self.in_flight.clone(),
        );
        r.register_with_unit(
            "processing_duration",
            "From end of data to reply",
            Unit::Seconds,
            self.duration.clone(),
        );
        r.register_with_unit(
            "stage_duration",
            "Time of each stage",
            Unit::Seconds,
            self.stages.clone(),
        );
        r.register("scanner_up", "1 if the scanner answers", self.scanner_up.clone());
        r.register("engine_up", "1 if the other spam engine answers", self.engine_up.clone());
        r.register(
            "next_hop_replies",
            "Replies for recipients by class",
            self.next_hop_replies.clone(),
        );
        r.register(
            "unscanned_messages",
            "Mails delivered without a virus scan",
            self.unscanned.clone(),
        );
        r.register("loops_detected", "Mails that came back to their listener", self.loops.clone());
        r.register(
            "config_last_reload_successful",
            "1 if the last reload worked",
            self.reload_successful.clone(),
        );
        r.register("panics", "Caught panics, each of them a bug", self.panics.clone());
        r.register(
            "history_lost",
            "History rows that could not be written",
            self.history_lost.clone(),
        );
        let build = Family::<BuildLabels, Level>::default();
        build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION").to_owned() }).set(1);
        r.register("build_info", "Version", build);
        let start: Gauge<f64, AtomicU64> = Gauge::default();
        start.set(jiff::Timestamp::now().as_duration().as_secs_f64());
        r.register_with_unit("start_time", "Start, as Unix time", Unit::Seconds, start);
    }

    /// Notes how long the stages of a mail took.
    pub fn note_stages(&self, timing: &[(&'static str, Duration)]) {
        for (stage, took) in timing {
            self.stages
                .get_or_create(&StageLabel { stage: (*stage).to_owned() })
                .observe(took.as_secs_f64());
        }
    }

    /// All metrics in the OpenMetrics text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}
