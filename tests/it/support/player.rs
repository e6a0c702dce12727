//! Plays the byte scripts of clients (`cases.json`) and checks what reached the next hop.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Client, Heard};
use super::sink::Sink;
use super::{contains, show};

/// Plays one case against a port whose next hop is `sink`, and gives all that went wrong.
///
/// `wait_max` cuts the script's own waits short; it must be longer than the server's idle limit.
pub fn play(case: &Value, port: u16, sink: &Sink, wait_max: Duration) -> Vec<String> {
    sink.forget();
    let mut bad = Vec::new();
    let mut sent = Vec::new();
    converse(case, port, wait_max, &mut sent, &mut bad);
    sink.settle();
    check(&case["check"], sink, &sent, &mut bad);
    bad
}

/// Each character of a script's string is one octet.
fn octets(text: &Value) -> Vec<u8> {
    text.as_str().unwrap().chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect()
}

fn prefixes(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|prefix| prefix.as_str().unwrap().to_owned()).collect()
}

fn converse(
    case: &Value,
    port: u16,
    wait_max: Duration,
    sent: &mut Vec<u8>,
    bad: &mut Vec<String>,
) {
    let mut client = Some(Client::connect(port));
    let mut last = Heard::Silence;
    for step in case["steps"].as_array().unwrap() {
        let Some(open) = client.as_mut() else { return };
        // A server may close early; what it said before is still to be heard, so an error is no end.
        send(step, open, sent, &mut last, wait_max).ok();
        if let Some(wait) = step["wait_ms"].as_u64() {
            sleep(Duration::from_millis(wait).min(wait_max));
        }
        let want = match (&step["expect"], &step["expect_one_of"]) {
            (Value::String(prefix), _) => vec![prefix.clone()],
            (_, list @ Value::Array(_)) => prefixes(list),
            _ => Vec::new(),
        };
        if !want.is_empty() {
            let heard = open.hear_within(Duration::from_secs(30));
            if !want.iter().any(|prefix| heard.is(prefix)) {
                bad.push(format!("wanted {want:?}, heard {:?}", heard.text()));
                if heard.code() == 0 {
                    return;
                }
            }
            if step["exactly_one_reply"] == true {
                let second = open.hear_within(Duration::from_millis(700));
                if second.code() != 0 {
                    bad.push(format!("a second reply: {}", second.text()));
                }
            }
        }
        if let list @ Value::Array(_) = &step["expect_last_one_of"]
            && !prefixes(list).iter().any(|prefix| last.is(prefix))
        {
            bad.push(format!("wanted {list} at last, heard {:?}", last.text()));
        }
        match step["close"].as_str() {
            Some("rst") => client.take().unwrap().reset(),
            Some("fin") => client = None,
            Some("shut_wr") => open.shut_write(),
            _ => {}
        }
    }
}

/// The sending part of a step.
fn send(
    step: &Value,
    client: &mut Client,
    sent: &mut Vec<u8>,
    last: &mut Heard,
    wait_max: Duration,
) -> std::io::Result<()> {
    if step["send"].is_string() {
        let text = octets(&step["send"]);
        sent.extend_from_slice(&text);
        client.send(&text)?;
    }
    if let Some(repeat) = step["send_repeat"].as_array() {
        let (unit, mut left) = (octets(&repeat[0]), repeat[1].as_u64().unwrap() as usize);
        let together = (65_536 / unit.len()).max(1);
        while left > 0 {
            let count = left.min(together);
            // What a short repetition sends is compared later; a flood is not.
            if sent.len() < 1 << 22 {
                sent.extend_from_slice(&unit.repeat(count));
            }
            client.send(&unit.repeat(count))?;
            left -= count;
        }
    }
    if let Some(line) = step["send_lines"].as_str() {
        for number in 0..step["count"].as_u64().unwrap() {
            client.send(line.replace("%d", &number.to_string()).as_bytes())?;
            *last = client.hear();
        }
    }
    if step["send_slow"].is_string() {
        let pause = Duration::from_millis(step["delay_ms"].as_u64().unwrap());
        let end = Instant::now() + wait_max;
        for octet in octets(&step["send_slow"]) {
            if Instant::now() > end {
                break;
            }
            client.send(&[octet])?;
            sleep(pause);
        }
    }
    Ok(())
}

/// What must hold at the next hop, whatever the case, and what this case asks for.
fn check(wanted: &Value, sink: &Sink, sent: &[u8], bad: &mut Vec<String>) {
    let taken = sink.taken();
    if let Some(counts) = wanted["next_hop_messages"].as_array()
        && !counts.iter().any(|count| count.as_u64() == Some(taken.len() as u64))
    {
        bad.push(format!("the next hop got {} messages, wanted {counts:?}", taken.len()));
    }
    for line in sink.lines() {
        let upper = line.to_ascii_uppercase();
        let content = line.strip_suffix(b"\r\n").unwrap_or(&line);
        if content.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0))
            || !line.ends_with(b"\r\n")
        {
            bad.push(format!("a broken line at the next hop: {}", show(&line)));
        }
        let envelope = upper.starts_with(b"MAIL") || upper.starts_with(b"RCPT");
        if envelope && contains(&upper, b"SMUGGLED") {
            bad.push(format!("a smuggled command at the next hop: {}", show(&line)));
        }
        if wanted["next_hop_commands"].is_string()
            && envelope
            && !sent.split_inclusive(|octet| *octet == b'\n').any(|command| command == line)
        {
            bad.push(format!("the next hop got a command nobody sent: {}", show(&line)));
        }
    }
    for mail in &taken {
        bad.extend(mail.defects.iter().cloned());
        if let Some(sender) = wanted["no_message_from"].as_str()
            && mail.mail.contains(sender)
        {
            bad.push(format!("a smuggled message reached the next hop: {}", mail.mail));
        }
        if let Some(name) = wanted["no_header"].as_str()
            && memchr::memmem::find_iter(mail.header(), format!("\n{name}:").as_bytes())
                .next()
                .is_some()
        {
            bad.push(format!("a header {name} was injected"));
        }
        if wanted["body_sha"] == "compare" {
            let content = content_sent(sent);
            if !mail.is_below_a_block(&content) {
                bad.push(format!(
                    "the message changed: sent {} octets, got {} octets: {}",
                    content.len(),
                    mail.message.len(),
                    show(&mail.message[..mail.message.len().min(900)])
                ));
            }
        }
    }
}

/// The message a script sent: what stands between DATA and the lone dot, unstuffed.
fn content_sent(sent: &[u8]) -> Vec<u8> {
    let start = memchr::memmem::find(sent, b"DATA\r\n").map_or(0, |at| at + 6);
    let mut content = Vec::new();
    for line in sent[start..].split_inclusive(|octet| *octet == b'\n') {
        if line == b".\r\n" {
            break;
        }
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    content
}
