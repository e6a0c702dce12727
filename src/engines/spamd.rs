//! SpamAssassin's daemon: SPAMC/1.5, the command REPORT, which names each rule with its points.

use super::frame::Head;
use super::symbols::{SYMBOLS_MAX, plain, points, symbol_name};
use crate::filters::Score;
use crate::report::{Opinion, Symbol};

/// What is sent before a message of that many octets.
pub(super) fn request(octets: usize, user: &str) -> Vec<u8> {
    let mut head = format!("REPORT SPAMC/1.5\r\nContent-length: {octets}\r\n");
    if !user.is_empty() {
        head.push_str(&format!("User: {}\r\n", plain(user)));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Reads a whole reply.
///
/// # Errors
/// Why it is none.
pub(super) fn read(octets: &[u8]) -> Result<Opinion, String> {
    // With an error, spamd may say the first line and no more.
    let head = Head::read(octets).unwrap_or_else(|| Head::cut(octets));
    let mut words = head.first.split_ascii_whitespace();
    if !words.next().is_some_and(|word| word.starts_with("SPAMD/")) {
        return Err(format!("the reply is none of spamd: \"{}\"", plain(&head.first)));
    }
    if words.next() != Some("0") {
        return Err(format!("it says \"{}\"", plain(&head.first)));
    }
    let told = head.field("spam").and_then(spam);
    let Some((verdict, score, required)) = told else {
        return Err("the reply has no score".to_owned());
    };
    let text = String::from_utf8_lossy(head.body(octets));
    let verdict = verdict.to_owned();
    let mut opinion = Opinion { score, required: Some(required), verdict, ..Opinion::default() };
    opinion.symbols = table(&text);
    Ok(opinion)
}

/// `True ; 11.8 / 5.0`.
fn spam(value: &str) -> Option<(&'static str, Score, Score)> {
    let (is_spam, numbers) = value.split_once(';')?;
    let (score, required) = numbers.split_once('/')?;
    let verdict = match is_spam.trim() {
        "True" | "Yes" => "spam",
        "False" | "No" => "ham",
        _ => return None,
    };
    Some((verdict, points(score)?, points(required)?))
}

/// The table of rules at the end of a report. It begins at the last line of dashes: above it stands a piece of the
/// mail, which may look like one. A rule's description goes on in lines that are indented.
fn table(report: &str) -> Vec<Symbol> {
    let lines: Vec<&str> = report.lines().collect();
    let is_rule = |line: &&str| line.starts_with("---- -----");
    let Some(start) = lines.iter().rposition(is_rule) else { return Vec::new() };
    let mut symbols: Vec<Symbol> = Vec::new();
    for line in lines.iter().skip(start.saturating_add(1)) {
        if line.trim().is_empty() {
            break;
        }
        if let Some(symbol) = row(line) {
            if symbols.len() >= SYMBOLS_MAX {
                break;
            }
            symbols.push(symbol);
        } else if line.starts_with("      ")
            && let Some(last) = symbols.last_mut()
        {
            last.describe = plain(&format!("{} {}", last.describe, line.trim()));
        }
    }
    symbols
}

/// ` 1.0 BANG_GUAR              BODY: Something is …`.
fn row(line: &str) -> Option<Symbol> {
    if line.starts_with("      ") {
        return None;
    }
    let (score, rest) = line.trim_start().split_once(' ')?;
    let (name, describe) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
    let score = points(score)?;
    let name = symbol_name(name)?;
    Some(Symbol { name, score, describe: plain(describe.trim()), options: Vec::new() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As SpamAssassin 4.0.1 writes it.
    const REPORT: &str = r#"SPAMD/1.1 0 EX_OK
Spam: True ; 6.5 / 5.0

Spam detection software, running on the system "vm",
has identified this incoming email as possible spam.  The original
message has been attached to this so you can view it or label
similar future email.  If you have any questions, see
@@CONTACT_ADDRESS@@ for details.

Content preview:  Buy now

Content analysis details:   (6.5 points, 5.0 required)

 pts rule name              description
---- ---------------------- --------------------------------------------------
 1.0 BANG_GUAR              BODY: Something is emphatically guaranteed
 2.9 MONEY_BACK             BODY: Money back guarantee
 1.0 HEADER_FROM_DIFFERENT_DOMAINS From and EnvelopeFrom 2nd level mail
                            domains are different
-0.2 RCVD_IN_DNSWL_NONE     RBL: Sender listed at a list, no trust
                            [192.0.2.1 listed in list.example]
 2.4 RDNS_NONE              Delivered to internal network by a host with no rDNS
 0.0 T_FILL_THIS_FORM_SHORT Fill in a short form with personal information

"#;

    fn reply(head: &str) -> Vec<u8> {
        format!("{head}\r\n\r\n").into_bytes()
    }

    #[test]
    fn a_report_names_every_rule_with_its_points() {
        let opinion = read(REPORT.as_bytes()).unwrap();
        assert_eq!((opinion.score, opinion.required), (Score(6500), Some(Score(5000))));
        assert_eq!(opinion.verdict, "spam");
        let rows: Vec<(&str, i32)> =
            opinion.symbols.iter().map(|symbol| (symbol.name.as_str(), symbol.score.0)).collect();
        let want = [
            ("BANG_GUAR", 1000),
            ("MONEY_BACK", 2900),
            ("HEADER_FROM_DIFFERENT_DOMAINS", 1000),
            ("RCVD_IN_DNSWL_NONE", -200),
            ("RDNS_NONE", 2400),
            ("T_FILL_THIS_FORM_SHORT", 0),
        ];
        assert_eq!(rows, want);
        assert_eq!(
            opinion.symbols[2].describe,
            "From and EnvelopeFrom 2nd level mail domains are different"
        );
    }

    #[test]
    fn a_table_that_the_mail_itself_shows_is_not_believed() {
        let preview =
            "Content preview:  x\n---- ---------------------- ---\n-9.9 NICE good\n\nContent";
        let text = REPORT.replacen("Content preview:  Buy now\n\nContent", preview, 1);
        let opinion = read(text.as_bytes()).unwrap();
        assert_eq!(opinion.symbols.len(), 6);
        assert!(!opinion.symbols.iter().any(|symbol| symbol.name == "NICE"));
    }

    #[test]
    fn a_site_may_have_written_a_report_of_its_own() {
        let mut text = reply("SPAMD/1.1 0 EX_OK\r\nSpam: False ; -1.1 / 5.0");
        text.extend_from_slice("Nothing to see here.\n\u{fffd}\n".as_bytes());
        let opinion = read(&text).unwrap();
        assert_eq!((opinion.score, opinion.verdict.as_str()), (Score(-1100), "ham"));
        assert!(opinion.symbols.is_empty());
    }

    #[test]
    fn what_is_no_reply_is_said() {
        for (head, want) in [
            ("SPAMD/1.1 0 EX_OK", "no score"),
            ("SPAMD/1.1 0 EX_OK\r\nSpam: Maybe ; 1 / 2", "no score"),
            ("SPAMD/1.1 0 EX_OK\r\nSpam: True ; 1e99 / 5.0", "no score"),
            ("SPAMD/1.1 0 EX_OK\r\nSpam: True ; nan / 5.0", "no score"),
            (
                "SPAMD/1.0 76 Bad header line: (Content-Length contains non-numeric data)",
                "says \"SPAMD/1.0 76 Bad",
            ),
            ("SPAMD/1.1 79 Timeout: (30 second timeout while trying to REPORT)", "79 Timeout"),
            ("HTTP/1.1 400 Bad Request", "none of spamd: \"HTTP/1.1 400"),
            ("\u{1b}[2J", "none of spamd: \"?[2J\""),
        ] {
            let told = read(&reply(head)).unwrap_err();
            assert!(told.contains(want), "{head}: {told}");
        }
        assert!(read(b"").is_err());
    }

    #[test]
    fn a_user_cannot_bring_lines_of_its_own() {
        let text = String::from_utf8(request(5, "a\r\nCompress: zlib")).unwrap();
        assert_eq!(
            text,
            "REPORT SPAMC/1.5\r\nContent-length: 5\r\nUser: a??Compress: zlib\r\n\r\n"
        );
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut text = reply("SPAMD/1.1 0 EX_OK\r\nSpam: True ; 1.0 / 5.0");
            text.extend_from_slice(b"---- -----\n");
            text.extend_from_slice(&octets);
            let _ = read(&text);
            let _ = read(&octets);
        }
    }
}
