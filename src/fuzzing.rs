//! Doors for fuzzing: each function takes octets, and panics if something does not hold. No interface for anybody else.
//!
//! The targets in `fuzz/` call one of them each; unit tests call them with what was found.

use std::collections::BTreeMap;

pub use crate::auth::fuzzing::{auth, spf};
pub use crate::dns::fuzzing::dns;
pub use crate::engines::fuzzing::engines;
use crate::filters::headers::{Checks, Table, TableKind};
pub use crate::filters::spam::fuzzing::{
    learned_words, rated, relays, spam_fields, spam_page, spam_texts,
};
use crate::filters::{
    Mail, RuleFile, attachments::Attachments, defects::Defects, lists::Lists, spam, virus,
};
use crate::mail::{Client, Envelope};
pub use crate::mime::fuzzing::{
    container, header, holds_together, message, multipart, name, page, small_limits, transfer, zip,
};
pub use crate::policy::fuzzing::results;
use crate::smtp::body::{self, BodyReader, Finished};
use crate::smtp::session::{Rules, Session, Step};
use crate::smtp::{Reply, command, reply, xforward};

/// Cuts the input in two: rules before the first NUL, what they are tried on behind it.
fn halves(octets: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(0, octets).unwrap_or(octets.len());
    let (rules, rest) = octets.split_at(end);
    (rules, rest.get(1..).unwrap_or_default())
}

fn decoded(octets: &[u8]) -> crate::mail::Message {
    crate::mime::decode(bytes::Bytes::copy_from_slice(octets), &small_limits())
}

/// A table of Postfix, PCRE and POSIX, and a mail for it.
pub fn tables(octets: &[u8]) {
    let (rules, mail) = halves(octets);
    for name in ["pcre:a", "regexp:a"] {
        let file = RuleFile::built_in(name, rules);
        for kind in [TableKind::Header, TableKind::Body] {
            let (table, _) = Table::load(&file, kind);
            for line in mail.split(|octet| *octet == b'\n').take(50) {
                let _ = table.query(line);
                let _ = table.query_text(line);
            }
        }
        let files = [file];
        let (checks, _) = Checks::load(&files, None, None, &files);
        let _ = checks.run_examples();
        let message = decoded(mail);
        let envelope = Envelope::default();
        let mail = Mail {
            envelope: &envelope,
            message: &message,
            internal: false,
            received: jiff::Timestamp::UNIX_EPOCH,
            known: crate::filters::Known::NOTHING,
        };
        let _ = checks.with_decoded_text().inspect(&mail);
    }
}

/// Rules as SpamAssassin has them, and a mail for them.
pub fn spam_rules(octets: &[u8]) {
    let (rules, mail) = halves(octets);
    let (engine, _) = spam::Engine::load(&[RuleFile::built_in("a.cf", rules)], &BTreeMap::new());
    let _ = engine.run_examples();
    let message = decoded(mail);
    let envelope = Envelope::default();
    let mail = Mail {
        envelope: &envelope,
        message: &message,
        internal: false,
        received: jiff::Timestamp::UNIX_EPOCH,
        known: crate::filters::Known::NOTHING,
    };
    let _ = engine.inspect(&mail, None);
}

/// The other files of a site: attachment rules, lists, signatures.
pub fn rule_files(octets: &[u8]) {
    let file = [RuleFile::built_in("a", octets)];
    let (attachments, _) = Attachments::load(&file, &[]);
    let _ = attachments.run_examples();
    let day = jiff::civil::Date::constant(2026, 1, 1);
    let (defects, _) = Defects::load(&file);
    let (lists, _) = Lists::load(&file, &[], day);
    let message = decoded(octets);
    let envelope = Envelope::default();
    let mail = Mail {
        envelope: &envelope,
        message: &message,
        internal: false,
        received: jiff::Timestamp::UNIX_EPOCH,
        known: crate::filters::Known::NOTHING,
    };
    let _ = lists.find(&mail);
    let _ = defects.inspect(&message.defects);
    let (scanner, _) = virus::Builtin::build("a", &file);
    let _ = scanner.scan(&message);
}

/// A body by SMTP: however it is cut, the same message comes out, and it goes on as it came.
pub fn smtp_body(octets: &[u8]) {
    let read = |piece_bytes: usize| {
        let mut reader = BodyReader::new(1 << 20);
        for (number, piece) in octets.chunks(piece_bytes).enumerate() {
            let (used, ended) = reader.read(piece);
            assert!(ended || used == piece.len(), "octets were left");
            if ended {
                return (Some(number * piece_bytes + used), reader.finish());
            }
        }
        (None, reader.finish())
    };
    let whole = read(octets.len().max(1));
    for piece_bytes in [1, 2, 3, 7] {
        assert_eq!(read(piece_bytes), whole, "pieces of {piece_bytes}");
    }
    if let (Some(_), Finished::Whole(body)) = whole {
        let sent = body::to_wire(std::slice::from_ref(&body.octets)).concat();
        let mut next = BodyReader::new(u64::MAX);
        let (used, ended) = next.read(&sent);
        assert!(ended && used == sent.len(), "the end stands elsewhere for the next hop");
        let Finished::Whole(taken) = next.finish() else { return };
        assert!(taken.octets.starts_with(&body.octets), "the next hop reads another body");
        assert!(!taken.bare_cr && !taken.bare_lf, "a bare CR or LF went on");
    }
    let _ = body::from_file(octets);
}

/// A session: lines in, steps out.
pub fn smtp_commands(octets: &[u8]) {
    let mut session = Session::new(
        Rules {
            lmtp: octets.first().is_some_and(|octet| octet % 2 == 1),
            xforward: true,
            ..Rules::new(1 << 20, 5)
        },
        Client::default(),
    );
    let yes = Reply::new(250, "2.0.0 Ok");
    for line in octets.split(|octet| *octet == b'\n').take(300) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match session.step(command::parse(line)) {
            Step::Say(reply) | Step::Reset(reply) => well_formed(&reply),
            Step::HangUp(reply) => return well_formed(&reply),
            Step::Greeted => well_formed(&session.greeting()),
            Step::Mail(mail) => session.sender(mail, &yes),
            Step::Rcpt(recipient) => session.recipient(recipient, &yes),
            Step::ReadBody => {
                let envelope = session.take_envelope();
                assert!(envelope.is_some_and(|envelope| !envelope.recipients.is_empty()));
            }
        }
        let _ = session.client();
    }
}

/// A reply goes out in lines of its own only.
fn well_formed(reply: &Reply) {
    let mut out = Vec::new();
    reply.write_to(&mut out);
    assert!(out.ends_with(b"\r\n"));
    for line in out.split_inclusive(|octet| *octet == b'\n') {
        assert!(line.ends_with(b"\r\n"));
        let text = line.get(..line.len() - 2).unwrap_or_default();
        assert!(!text.iter().any(|octet| octet.is_ascii_control()), "{}", text.escape_ascii());
    }
}

/// XFORWARD in, XFORWARD out: what we took we can tell on, and the next one takes the same. Only what has more than 255
/// octets as xtext, because it came without the escapes that it should have, is cut.
pub fn xforward(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    let mut client = Client::default();
    if xforward::receive(&mut client, text).is_err() {
        assert_eq!(client, Client::default(), "something was taken of a bad command");
        return;
    }
    let offered = xforward::ATTRIBUTES.map(str::to_owned);
    let mut next = Client::default();
    for line in xforward::send(&client, &offered) {
        assert!(line.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{line:?}");
        let arguments = line.strip_prefix("XFORWARD ").unwrap_or(&line);
        assert!(xforward::receive(&mut next, arguments).is_ok(), "{line:?}");
    }
    for (told, known) in [
        (&mut next.name, &client.name),
        (&mut next.proto, &client.proto),
        (&mut next.helo, &client.helo),
        (&mut next.ident, &client.ident),
    ] {
        if let (Some(cut), Some(whole)) = (&told, known)
            && cut.len() >= 255 / 3 - 4
            && whole.starts_with(cut.as_str())
        {
            told.clone_from(known);
        }
    }
    assert_eq!(next, client, "the next hop is told something else");
}

/// What next hops and scanners say.
pub fn replies(octets: &[u8]) {
    virus::read_reply(octets);
    let read = |piece_bytes: usize| {
        let mut reader = reply::ReplyReader::default();
        let (mut held, mut replies) = (Vec::new(), Vec::new());
        for piece in octets.chunks(piece_bytes) {
            held.extend_from_slice(piece);
            loop {
                match reader.read(&held) {
                    Ok((used, found)) => {
                        held.drain(..used);
                        let Some(found) = found else { break };
                        well_formed(&found);
                        replies.push(found);
                    }
                    Err(bad) => return (replies, Some(format!("{bad:?}"))),
                }
            }
        }
        (replies, None)
    };
    let whole = read(octets.len().max(1));
    for piece_bytes in [1, 3] {
        assert_eq!(read(piece_bytes), whole, "pieces of {piece_bytes}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every door with the same octets.
    fn all(octets: &[u8]) {
        for door in [
            message,
            transfer,
            name,
            header,
            multipart,
            page,
            container,
            zip,
            tables,
            spam_rules,
            rule_files,
            smtp_body,
            smtp_commands,
            xforward,
            replies,
            auth,
            spf,
            dns,
            engines,
            learned_words,
            rated,
            relays,
            spam_fields,
            spam_page,
            spam_texts,
            results,
        ] {
            door(octets);
        }
    }

    #[test]
    fn every_door_opens() {
        for octets in [
            &b""[..],
            b"\0",
            b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nhi\r\n--a--\r\n",
            b"/^Subject: (a|b)/ REJECT no $1\nheader A Subject =~ /x/i\nscore A 1\0Subject: a\n\nx",
            b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n",
            b"NAME=a+2Bb ADDR=IPV6:::1 PORT=25 PROTO=ESMTP HELO=x IDENT=1 SOURCE=REMOTE",
            b"250-a\r\n250 b\r\n1: stream: OK",
        ] {
            all(octets);
        }
    }

    /// What fuzzing found, made small; each once broke something.
    #[test]
    fn what_was_found_does_not_come_back() {
        for octets in [
            // A name with `=` unescaped is longer once it is told on.
            [b"NAME=".as_slice(), &[b'='; 200]].concat().as_slice(),
            // Rows of uuencode that lost the blanks at their ends grow, but by no more than these.
            b"\n&\n\n\n".as_slice(),
            // A message that stands in a root of many parts without any got the root's own path.
            &b"Content-Type: multipart/mixed; boundary=A\nContent-Type: message/rfc822\n\nFrom: a@b\n\
               Content-Type: multipart/mixed; boundary=B\n\n--B--\n"[..],
            // Octets that are no UTF-8 grow twice in an encoded word of a charset that has none of them.
            &[b"=?us-ascii?q?".as_slice(), &[0xff; 60], b"?="].concat(),
            // A name that stands for all others.
            b"*",
        ] {
            all(octets);
        }
    }
}
