//! What machines ask: alive, ready, how much.

use crate::support::client::deliver;
use crate::support::mails;
use crate::support::sink::Sink;
use crate::support::tamis::Setup;

/// The sum of all samples whose name begins so.
fn sum(metrics: &str, name: &str) -> f64 {
    let samples = metrics.lines().filter(|line| line.starts_with(name));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[test]
fn metrics_count_mails_and_verdicts() {
    let sink = Sink::start();
    let tamis = Setup::to(sink.port).start();
    assert_eq!(tamis.get("/livez").0, 200);
    assert_eq!(tamis.get("/readyz").0, 200);
    assert_eq!(tamis.get("/no-such-page").0, 404);
    let (status, before) = tamis.get("/metrics");
    assert_eq!(status, 200);
    for count in 0..3 {
        let mail = mails::clean(&mails::mark(&format!("count-{count}")));
        assert_eq!(
            deliver(tamis.after_queue(), "a@example.org", &["b@lab.example"], &mail).code(),
            250
        );
    }
    let (_, _, infected) = mails::infected().remove(0);
    assert_eq!(
        deliver(tamis.pre_queue(), "a@example.org", &["b@lab.example"], &infected).code(),
        554
    );
    let (_, after) = tamis.get("/metrics");
    let grown = sum(&after, "tamis_messages_total") - sum(&before, "tamis_messages_total");
    assert!((grown - 4.0).abs() < 0.5, "tamis_messages_total grew by {grown}:\n{after}");
    let viruses = after
        .lines()
        .any(|line| line.starts_with("tamis_messages_total") && line.contains("virus"));
    assert!(viruses, "no virus is counted:\n{after}");
}
