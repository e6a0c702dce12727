//! Mail that claims to come from a big mail service, and its way that does not look like that.

use std::sync::LazyLock;

use regex::bytes::Regex;

use crate::filters::spam::relays::{self, Zone};
use crate::filters::spam::view::View;

use super::{Call, Function, fields};

pub(super) const FUNCTIONS: &[Function] = &[
    ("check_for_fake_aol_relay_in_rcvd", |_| Ok(Call::new(aol))),
    ("check_for_forged_hotmail_received_headers", |_| {
        Ok(Call::new(|view| hotmail(view) == Hotmail::Forged))
    }),
    ("check_for_no_hotmail_received_headers", |_| {
        Ok(Call::new(|view| hotmail(view) == Hotmail::Missing))
    }),
    ("check_for_msn_groups_headers", |_| Ok(Call::new(msn_groups))),
    ("check_for_forged_eudoramail_received_headers", |_| Ok(Call::new(eudoramail))),
    ("check_for_forged_yahoo_received_headers", |_| Ok(Call::new(yahoo))),
    ("check_for_forged_juno_received_headers", |_| Ok(Call::new(juno))),
    ("check_for_forged_gmail_received_headers", |_| Ok(Call::new(gmail))),
    ("check_for_forged_gw05_received_headers", |_| Ok(Call::new(gw05))),
    ("gated_through_received_hdr_remover", |_| Ok(Call::new(gated))),
    ("check_messageid_not_usable", |_| Ok(Call::new(id_unusable))),
];

/// An address in a pattern; looser than an address has to be.
const IP: &str = r"(?:\d{1,3}(?:\.\d{1,3}){3}|(?i:ipv6:)?[0-9a-fA-F]*:[0-9a-fA-F:.]*)";

struct Patterns {
    ezmlm: Regex,
    list: Regex,
    qmail: Regex,
    msn: Regex,
    aol_host: Regex,
    aol_version: Regex,
    aol_id: Regex,
    hotmail: [Regex; 5],
    outlook: [Regex; 2],
    hotmail_helo: Regex,
    group_name: Regex,
    group_server: Regex,
    whowhere: Regex,
    yahoo: Vec<Regex>,
    yahoo_relay: Regex,
    yahoo_first: Regex,
    yahoo_bulk: Regex,
    juno_new: Regex,
    juno_cookie: Regex,
    juno_mail: Regex,
    juno_web: Regex,
    gmail: [Regex; 2],
    gmail_smtp: Regex,
    gw05: Regex,
    leave: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let make = fields::constant;
    Patterns {
        ezmlm: make(r"(?m)^contact \S+@\S+; run by ezmlm$"),
        list: make(r"(?m)^mailing list \S+@\S+"),
        qmail: make(r"qmail \d+ invoked (?:from network|by .{3,20})\); \d+ ... \d+"),
        msn: make(r"from groups\.msn\.com \(\S+\.msn\.com "),
        aol_host: make(r"(?i) rly-[a-z][a-z]\d\d\."),
        aol_version: make(r"/AOL-\d+\.\d+\.\d+\)"),
        aol_id: make("ESMTP id (?:RELAY|MAILRELAY|MAILIN)"),
        hotmail: [
            make(r"from (?:\S*\.)?hotmail.com \(\S+\.hotmail(?:\.msn)?\.com[ )]"),
            make(&format!(r"from \S*\.hotmail.com \(\[{IP}\][ ):]")),
            make(r"from \S+ by \S+\.hotmail(?:\.msn)?\.com with HTTP;"),
            make(r"from \[66.218.\S+\] by \S+\.yahoo\.com"),
            make(r"from mail pickup service by hotmail\.com with Microsoft SMTPSVC;"),
        ],
        outlook: [
            make(
                r"from \S*\.outbound\.protection\.outlook\.com \(\S+\.outbound\.protection\.outlook\.com[ )]",
            ),
            make(&format!(r"from \S*\.(?:eur|nam)prd\d+\.prod\.outlook\.com \({IP}\)")),
        ],
        hotmail_helo: make(r"(?:from |HELO |helo=)\S*hotmail\.com\b"),
        group_name: make(r"(?i)<(\S+)@groups\.msn\.com>"),
        group_server: make(r"from mail pickup service by ((?:p\d\d\.)groups\.msn\.com)\b"),
        whowhere: make(r"by \S*whowhere.com;"),
        yahoo: vec![
            make(r"by web\S+\.mail\S*\.yahoo\.com via HTTP"),
            make(r"by sonic\S+\.consmr\.mail\S*\.yahoo\.com with HTTP"),
            make(r"by smtp\S+\.yahoo\.com with SMTP"),
            make(&format!(r"from \[{IP}\] by \S+\.(?:groups|scd|dcn)\.yahoo\.com with NNFMP")),
            make(r"by \w+\.\w+\.yahoo\.com \(\d+\.\d+\.\d+/\d+\.\d+\.\d+\)(?: with ESMTP)? id \w+"),
        ],
        yahoo_relay: make(r" rdns=\S+\.yahoo\.com "),
        yahoo_first: make(r"^[^\]]+ rdns=\S+\.yahoo\.com "),
        yahoo_bulk: make(r"\bmailer\d+\.bulk\.scd\.yahoo\.com\b"),
        juno_new: make(&format!(r"from.*\b(?:juno|untd)\.com.*[\[(]{IP}[\])].*by")),
        juno_cookie: make(r" cookie\.(?:juno|untd)\.com "),
        juno_mail: make(&format!(r"from.*\bmail\.com.*\[{IP}\].*by")),
        juno_web: make(&format!(r"from (webmail\S+\.untd\.com) \((\S+) \[{IP}\]\) by")),
        gmail: [
            make(r"by 10\.\S+ with SMTP id \S+"),
            make(r"by 2002:a\d\d:\w+:\S+ with SMTP id \S+"),
        ],
        gmail_smtp: make(r"by smtp\.googlemail\.com with ESMTPSA id \S+"),
        gw05: make(
            r"\nfrom\s(\S+)\sby\s(\S+)\swith\sESMTP;\s+\S\S\S,\s+\d+\s+\S\S\S\s+\d{4}\s+\d\d:\d\d:\d\d\s+[-+]*\d{4}\n\z",
        ),
        leave: make(r"(?i)<mailto:(?:leave-\S+|\S+-unsubscribe)@\S+>\n?\z"),
    }
});

/// The sender is of that domain, or of one that ends so at the border of a word.
fn from_ends(from: &[u8], domain: &[u8]) -> bool {
    let Some(start) = from.len().checked_sub(domain.len()) else { return false };
    from.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(domain))
        && fields::is_border(from, start)
}

fn has_address(view: &View<'_>, name: &str) -> bool {
    relays::find(&fields::value(view, name)).is_some()
}

/// Lists and gateways that take away the Received fields: what is left tells nothing.
fn gated(view: &View<'_>) -> bool {
    let patterns = &*PATTERNS;
    let received = fields::present(view, "Received");
    if patterns.ezmlm.is_match(&fields::value(view, "Mailing-List"))
        && patterns.list.is_match(&fields::value(view, "Delivered-To"))
        && received.as_ref().is_some_and(|received| patterns.qmail.is_match(received))
    {
        return true;
    }
    received.is_none_or(|received| patterns.msn.is_match(&received))
}

/// A host named like those of AOL, in a field that AOL does not write like that.
fn aol(view: &View<'_>) -> bool {
    let patterns = &*PATTERNS;
    let received = fields::one_line(view, "Received");
    patterns.aol_host.is_match(&received)
        && !patterns.aol_version.is_match(&received)
        && !patterns.aol_id.is_match(&received)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hotmail {
    Fine,
    /// The HELO says Hotmail, the rest does not.
    Forged,
    /// Only the sender does.
    Missing,
}

fn hotmail(view: &View<'_>) -> Hotmail {
    *view.cells.hotmail.get_or_init(|| hotmail_of(view))
}

fn hotmail_of(view: &View<'_>) -> Hotmail {
    let patterns = &*PATTERNS;
    let received = fields::one_line(view, "Received");
    let [from_hotmail @ .., pickup] = &patterns.hotmail;
    if pickup.is_match(&received) || msn_groups(view) || gated(view) {
        return Hotmail::Fine;
    }
    let organisation = fields::value(view, "X-OriginatorOrg");
    let names = [b"hotmail.com".as_slice(), b"msonline-outlook"];
    let is_outlook = names.iter().any(|name| memchr::memmem::find(&organisation, name).is_some());
    if has_address(view, "X-Originating-Ip")
        && from_hotmail.iter().any(|regex| regex.is_match(&received))
    {
        return Hotmail::Fine;
    }
    if is_outlook && patterns.outlook.iter().any(|regex| regex.is_match(&received)) {
        return Hotmail::Fine;
    }
    if patterns.hotmail_helo.is_match(&received) {
        return Hotmail::Forged;
    }
    match from_ends(&fields::address(view, "From"), b"hotmail.com") {
        true => Hotmail::Missing,
        false => Hotmail::Fine,
    }
}

/// The groups of MSN, which Hotmail fed without its own field.
fn msn_groups(view: &View<'_>) -> bool {
    let patterns = &*PATTERNS;
    let to = fields::value(view, "To");
    let Some(list) = patterns.group_name.captures(&to).and_then(|found| found.get(1)) else {
        return false;
    };
    let list = list.as_bytes();
    let received = fields::value(view, "Received");
    let server = patterns.group_server.captures(&received).and_then(|found| found.get(1));
    let Some(server) = server.map(|found| found.as_bytes()) else { return false };
    let id = fields::value(view, "Message-Id");
    let Some(inside) = id.strip_prefix(b"<") else { return false };
    if list == b"notifications" {
        let Some(at) = memchr::memmem::find(inside, &[b"@", server, b">"].concat()) else {
            return false;
        };
        return at > 0
            && !inside.get(..at).is_some_and(|user| user.iter().any(u8::is_ascii_whitespace));
    }
    let sender = fields::address(view, "EnvelopeFrom");
    let bounce = [list, b"-bounce@groups.msn.com"].concat();
    let rest = inside.strip_prefix(list).and_then(|rest| rest.strip_prefix(b"-"));
    rest.is_some_and(|rest| {
        memchr::memmem::find(rest, b"@groups.msn.com>").is_some_and(|place| place > 0)
    }) && memchr::memmem::find(&sender, &bounce).is_some()
}

fn eudoramail(view: &View<'_>) -> bool {
    from_ends(&fields::address(view, "From"), b"eudoramail.com")
        && !gated(view)
        && !(PATTERNS.whowhere.is_match(&fields::one_line(view, "Received"))
            && has_address(view, "X-Sender-Ip"))
}

fn yahoo(view: &View<'_>) -> bool {
    let patterns = &*PATTERNS;
    let from = fields::address(view, "From");
    if !from_ends(&from, b"yahoo.com") {
        return false;
    }
    let resent = |name| fields::present(view, name).is_some();
    let moved = resent("Resent-From") && resent("Resent-To") && resent("X-Received");
    let received = fields::one_line(view, if moved { "X-Received" } else { "Received" });
    if gated(view) {
        return false;
    }
    // What Yahoo returns comes from Yahoo, by the word of a host we trust.
    let relays = view.relays();
    if patterns.yahoo_relay.is_match(&relays.text(Zone::Trusted))
        || patterns.yahoo_first.is_match(&relays.text(Zone::Untrusted))
    {
        return false;
    }
    let reply = b"@reply.yahoo.com";
    let from_reply = from.len() >= reply.len()
        && from.get(from.len() - reply.len()..).is_some_and(|end| end.eq_ignore_ascii_case(reply));
    !(patterns.yahoo.iter().any(|regex| regex.is_match(&received))
        || (from_reply && patterns.yahoo_bulk.is_match(&received)))
}

fn juno(view: &View<'_>) -> bool {
    let patterns = &*PATTERNS;
    if !from_ends(&fields::address(view, "From"), b"juno.com") || gated(view) {
        return false;
    }
    let origin = fields::value(view, "X-Originating-IP");
    let mailer = fields::value(view, "X-Mailer");
    let received = fields::value(view, "Received");
    let says = |text: &[u8]| memchr::memmem::find(&mailer, text).is_some();
    if !origin.is_empty() {
        let way = patterns.juno_new.is_match(&received) || patterns.juno_cookie.is_match(&received);
        return !way || !says(b"Juno ");
    }
    // Older mail of Juno has that field, so without it nothing fits.
    if patterns.juno_mail.is_match(&received) && !says(b"mail.com") {
        return true;
    }
    if let Some(found) = patterns.juno_web.captures(&received)
        && found.get(1).map(|one| one.as_bytes()) == found.get(2).map(|two| two.as_bytes())
        && !mailer.starts_with(b"Webmail Version ")
    {
        return true;
    }
    relays::find(&origin).is_none()
}

fn gmail(view: &View<'_>) -> bool {
    /// Octets of the fields that Gmail puts its state into.
    const STATE_MIN: usize = 60;
    let patterns = &*PATTERNS;
    if !from_ends(&fields::address(view, "From"), b"gmail.com") {
        return false;
    }
    let before = fields::value(view, "X-Received");
    let long = |name| fields::value(view, name).len() >= STATE_MIN;
    !(patterns.gmail.iter().any(|regex| regex.is_match(&before))
        || patterns.gmail_smtp.is_match(&fields::value(view, "Received"))
        || (long("X-Gm-Message-State") && long("X-Google-Smtp-Source")))
}

/// A first hop that ratware made up: a taker without a dot.
fn gw05(view: &View<'_>) -> bool {
    let received = fields::value(view, "Received");
    let found = PATTERNS.gw05.captures(&received).and_then(|found| found.get(2));
    found.is_some_and(|by| !by.as_bytes().contains(&b'.'))
}

/// Lists and servers that write a message id of their own.
fn id_unusable(view: &View<'_>) -> bool {
    let received = fields::value(view, "Received");
    PATTERNS.leave.is_match(&fields::value(view, "List-Unsubscribe"))
        || gated(view)
        || memchr::memmem::find(&received, b"/CWT/DCE)").is_some()
        || memchr::memmem::find(&received, b"iPlanet Messaging Server").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_end_at_the_border_of_a_word() {
        assert!(PATTERNS.yahoo.len() == 5);
        for (from, want) in [
            ("a@hotmail.com", true),
            ("a@HOTMAIL.com", true),
            ("a@mail.hotmail.com", true),
            ("a@nothotmail.com", false),
            ("l.com", false),
        ] {
            assert_eq!(from_ends(from.as_bytes(), b"hotmail.com"), want, "{from}");
        }
    }
}
