//! rspamd: `POST /checkv2` over HTTP/1.0, so that the reply comes in one piece; the answer is JSON.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::frame::Head;
use super::symbols::{OPTIONS_MAX, SYMBOLS_MAX, plain, symbol_name};
use crate::filters::Score;
use crate::mail::Envelope;
use crate::report::{Opinion, Symbol};

/// So many recipients are named.
const RECIPIENTS_MAX: usize = 100;

/// What is sent before a message of that many octets.
pub(super) fn request(host: &str, octets: usize, envelope: &Envelope, settings: &str) -> Vec<u8> {
    let mut head =
        format!("POST /checkv2 HTTP/1.0\r\nHost: {host}\r\nContent-Length: {octets}\r\n");
    let mut field = |name: &str, value: &str| {
        // Longer ones are no addresses or names, and rspamd would refuse all of it.
        let value: String = value.chars().take(1000).collect();
        head.push_str(&format!("{name}: {}\r\n", without_controls(&value)));
    };
    field("From", &envelope.sender.address);
    for recipient in envelope.recipients.iter().take(RECIPIENTS_MAX) {
        field("Rcpt", recipient.address());
    }
    let client = &envelope.client;
    if let Some(address) = client.address {
        field("IP", &address.to_string());
    }
    for (name, value) in [("Helo", &client.helo), ("Hostname", &client.name)] {
        if let Some(value) = value {
            field(name, value);
        }
    }
    if let Some(ident) = &client.ident {
        field("Queue-Id", ident);
    }
    match settings {
        "" => {}
        json if json.starts_with('{') => field("Settings", json),
        id => field("Settings-ID", id),
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn without_controls(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The answer, as far as it is of use.
#[derive(Debug, Deserialize)]
struct Answer {
    score: Option<f64>,
    required_score: Option<f64>,
    action: Option<String>,
    error: Option<String>,
    #[serde(default)]
    is_skipped: bool,
    #[serde(default)]
    symbols: BTreeMap<String, Hit>,
}

#[derive(Debug, Deserialize)]
struct Hit {
    score: Option<f64>,
    description: Option<String>,
    #[serde(default)]
    options: Vec<String>,
}

/// Reads a whole reply.
///
/// # Errors
/// Why it is none.
pub(super) fn read(octets: &[u8]) -> Result<Opinion, String> {
    let head = Head::read(octets).unwrap_or_else(|| Head::cut(octets));
    let mut words = head.first.split_ascii_whitespace();
    if !words.next().is_some_and(|word| word.starts_with("HTTP/1.")) {
        return Err(format!("the reply is no HTTP: \"{}\"", plain(&head.first)));
    }
    if head.field("transfer-encoding").is_some() {
        return Err("the reply comes in pieces, which HTTP/1.0 has not".to_owned());
    }
    let answer = serde_json::from_slice::<Answer>(head.body(octets));
    if words.next() != Some("200") {
        let error = answer.ok().and_then(|answer| answer.error);
        return Err(match error {
            Some(error) => format!("it says \"{}\": {}", plain(&head.first), plain(&error)),
            None => format!("it says \"{}\"", plain(&head.first)),
        });
    }
    let answer = answer.map_err(|error| format!("the answer is not as JSON should be: {error}"))?;
    if let Some(error) = answer.error {
        return Err(format!("it says \"{}\"", plain(&error)));
    }
    let Some(score) = answer.score.and_then(Score::from_f64) else {
        return Err("the answer has no score".to_owned());
    };
    let verdict = match answer.is_skipped {
        true => "skipped".to_owned(),
        false => plain(&answer.action.unwrap_or_default()),
    };
    let required = answer.required_score.and_then(Score::from_f64);
    let mut symbols: Vec<Symbol> = answer.symbols.into_iter().filter_map(symbol).collect();
    // Whoever counts most stands first; the names, which came in order, decide between equals.
    symbols.sort_by_key(|symbol| std::cmp::Reverse(symbol.score.0.saturating_abs()));
    symbols.truncate(SYMBOLS_MAX);
    Ok(Opinion { score, required, verdict, symbols, ..Opinion::default() })
}

fn symbol((name, hit): (String, Hit)) -> Option<Symbol> {
    Some(Symbol {
        name: symbol_name(&name)?,
        score: Score::from_f64(hit.score.unwrap_or_default())?,
        describe: plain(&hit.description.unwrap_or_default()),
        options: hit.options.iter().take(OPTIONS_MAX).map(|option| plain(option)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::{Client, Path, Recipient};

    const JSON: &str = r#"{"is_skipped":false,"score":7.5,"required_score":15.0,"action":"add header",
        "thresholds":{"reject":15.0,"add header":6.0,"greylist":4.0},
        "symbols":{
          "ARC_NA":{"name":"ARC_NA","score":0.0,"metric_score":0.0,"description":"ARC signature absent"},
          "MIME_GOOD":{"name":"MIME_GOOD","score":-0.1,"metric_score":-0.1,"description":"Known content-type","options":["text/plain"]},
          "R_SPF_FAIL":{"name":"R_SPF_FAIL","score":1.0,"metric_score":1.0,"options":["-all"]},
          "ABUSE_SURBL":{"name":"ABUSE_SURBL","score":6.6,"metric_score":5.0,"options":["a.example:url","b\u0000c"]}},
        "messages":{},"message-id":"x@y","time_real":0.12,"milter":{"remove_headers":{"X-Spam":0}}}"#;

    fn reply(status: &str, body: &str) -> Vec<u8> {
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nServer: rspamd/3.4\r\nContent-Length: {}\r\n\
             Content-type: application/json\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    #[test]
    fn an_answer_names_score_action_and_symbols() {
        let opinion = read(&reply("200 OK", JSON)).unwrap();
        assert_eq!((opinion.score, opinion.required), (Score(7500), Some(Score(15_000))));
        assert_eq!(opinion.verdict, "add header");
        let rows: Vec<(&str, i32)> =
            opinion.symbols.iter().map(|symbol| (symbol.name.as_str(), symbol.score.0)).collect();
        let want =
            [("ABUSE_SURBL", 6600), ("R_SPF_FAIL", 1000), ("MIME_GOOD", -100), ("ARC_NA", 0)];
        assert_eq!(rows, want);
        assert_eq!(opinion.symbols[0].options, ["a.example:url", "b?c"]);
        assert_eq!(opinion.symbols[2].describe, "Known content-type");
    }

    #[test]
    fn what_is_no_answer_is_said() {
        let deep = "[".repeat(100_000);
        for (status, body, want) in [
            ("200 OK", "{}", "no score"),
            ("200 OK", "{\"score\":null}", "no score"),
            ("200 OK", "{\"score\":1e300}", "no score"),
            ("200 OK", "{\"score\":1,\"symbols\":[]}", "not as JSON should be"),
            ("200 OK", "{\"error\":\"task\\u0007timeout\"}", "says \"task?timeout\""),
            ("200 OK", "<html>", "not as JSON should be"),
            ("200 OK", &deep, "not as JSON should be"),
            ("403 Forbidden", "{\"error\":\"not allowed\"}", "403 Forbidden\": not allowed"),
            ("500 Oops", "", "500 Oops"),
        ] {
            let told = read(&reply(status, body)).unwrap_err();
            assert!(told.contains(want), "{status} {body:.40}: {told}");
        }
        assert!(read(b"SPAMD/1.0 76 Bad header\r\n\r\n").unwrap_err().contains("no HTTP"));
        let pieces = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        assert!(read(pieces).unwrap_err().contains("in pieces"));
    }

    #[test]
    fn a_mail_that_it_skips_has_no_points() {
        let opinion =
            read(&reply("200 OK", "{\"is_skipped\":true,\"score\":0,\"required_score\":null}"));
        assert_eq!(opinion.unwrap().verdict, "skipped");
    }

    #[test]
    fn the_envelope_goes_along_and_brings_no_lines_of_its_own() {
        let path = |address: &str| Path { argument: Vec::new(), address: address.to_owned() };
        let envelope = Envelope {
            client: Client {
                address: "2001:db8::1".parse().ok(),
                helo: Some("a.test\r\nSettings: {}".to_owned()),
                ident: Some("4XYZ".to_owned()),
                ..Client::default()
            },
            sender: path("a@b.test"),
            recipients: vec![Recipient { path: path("c@d.test") }, Recipient { path: path("e@f") }],
            ..Envelope::default()
        };
        let text = String::from_utf8(request("h:1", 9, &envelope, "mine")).unwrap();
        assert_eq!(
            text,
            "POST /checkv2 HTTP/1.0\r\nHost: h:1\r\nContent-Length: 9\r\nFrom: a@b.test\r\n\
             Rcpt: c@d.test\r\nRcpt: e@f\r\nIP: 2001:db8::1\r\nHelo: a.test??Settings: {}\r\n\
             Queue-Id: 4XYZ\r\nSettings-ID: mine\r\n\r\n"
        );
        let json = String::from_utf8(request("h", 9, &envelope, "{\"a\":1}")).unwrap();
        assert!(json.contains("\r\nSettings: {\"a\":1}\r\n"));
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&[b"HTTP/1.1 200 OK\r\n\r\n", octets.as_slice()].concat());
            let _ = read(&octets);
        }
    }
}
