//! The formats in which known mail servers write a Received field, in the order in which they are tried. `from ` is
//! cut off before.
//!
//! The order is SpamAssassin's, because some servers write what others would read in another way, and rules know
//! what comes out. Formats that an earlier one covers are not listed.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use regex::bytes::Regex;

use super::shape;

/// A format, and what to make of it.
pub(super) struct Format {
    /// Must stand somewhere in the line; a quick way to say no.
    pub(super) needs: Finder<'static>,
    pub(super) regex: Regex,
    pub(super) then: Then,
}

/// What a line of this format is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// A hop between hosts.
    Hop,
    /// The same, by a server that looks up names: if there is none, the host has none.
    LookedUp,
    /// The same; `unknown` means that there is no name.
    Unknown,
    /// The same; `unverified` means that there is no name.
    Unverified,
    /// The same; the name may have what the host said of its user before it, with `@`.
    User,
    /// The same; `softdnserr` means that it was not looked up.
    SoftError,
    /// A hop; HELO and user stand in words behind it.
    Words,
    /// The same; what stands first is also the HELO.
    WordsAfterHost,
    /// A hop without an id.
    NoId,
    /// The name is only looked up if it is not `UNKNOWN`.
    Obtuse,
    /// Nothing that counts: within a host, or without an address.
    Ignored,
    /// As [`Then::Ignored`]; the sender it names belongs to the field below.
    Scanner,
    /// Mail was fetched here from a mailbox; what is above says nothing of its way.
    Fetched,
}

/// A product known by words in the line. Only the first one found is tried before [`GENERAL`].
pub(super) struct Product {
    pub(super) sign: &'static str,
    pub(super) found: Finder<'static>,
    pub(super) formats: Vec<Format>,
}

type Row = (&'static str, &'static str, Then);

pub(super) static SENDMAIL: LazyLock<Vec<Format>> =
    LazyLock::new(|| formats(&[("", "{helo} ({rdns} [{ip}]{...}) by {by} (", Then::User)]));

pub(super) static PRODUCTS: LazyLock<Vec<Product>> = LazyLock::new(|| {
    let product = |(sign, rows): &(&'static str, &[Row])| Product {
        sign,
        found: Finder::new(*sign),
        formats: formats(rows),
    };
    PRODUCT_ROWS.iter().map(product).collect()
});

pub(super) static EXCHANGE: LazyLock<Vec<Format>> =
    LazyLock::new(|| formats(&[("", "{helo} ({[}{ip}{zone}{]}) by {by} ", Then::NoId)]));

pub(super) static EARLY: LazyLock<Vec<Format>> = LazyLock::new(|| {
    formats(&[(
        "with HTTP (WebMailUI)",
        "{..}{ip} by {by} ({ip_}) with HTTP (WebMailUI)",
        Then::Hop,
    )])
});

pub(super) static WEB: LazyLock<Vec<Format>> =
    LazyLock::new(|| formats(&[("with HTTP", "{ip} ([{ip_}]) by {by}", Then::Hop)]));

/// Shapes of qmail, and what all of them have in common.
pub(super) static QMAIL: LazyLock<(Vec<Format>, Vec<Format>)> = LazyLock::new(|| {
    let common = formats(&[(
        "",
        "{w}{(} ({HELO|EHLO} {w?}){)} ({(}{w}@{)}{[}{ip_}{]}){(} (envelope-sender <{w}>){)} \
         by {w}{(} ({...}){)} with {qmail protocol}",
        Then::Hop,
    )]);
    let rows = formats(&[
        (
            "",
            "{rdns} ({HELO|EHLO} {helo in}) ({ident?}@{[}{ip}{]}){(} (envelope-sender <{w}>){)} by {by}",
            Then::Hop,
        ),
        (
            "",
            "{rdns} ({HELO|EHLO} {helo in}) ({[}{ip}{]}){(} (envelope-sender <{w}>){)} by {by}",
            Then::Hop,
        ),
        ("", "{host} ({ident?}@{[}{ip}{]}){(} (envelope-sender <{w}>){)} by {by}", Then::Hop),
        ("", "{host} ({[}{ip}{]}){(} (envelope-sender <{w}>){)} by {by}", Then::Hop),
    ]);
    (common, rows)
});

pub(super) static BEFORE_QMAIL: LazyLock<Vec<Format>> =
    LazyLock::new(|| formats(BEFORE_QMAIL_ROWS));

pub(super) static GENERAL: LazyLock<Vec<Format>> = LazyLock::new(|| formats(GENERAL_ROWS));

/// Lines that begin with `FROM `.
pub(super) static UPPER: LazyLock<Vec<Format>> = LazyLock::new(|| {
    formats(&[(
        "",
        "{helo} ({rdns} [{ip}]) BY {by} {(}({in}) WITH SMTP {)}ID {(}<{)}{id short}{(}>{)}{(} FOR <{w}>{)}{end}",
        Then::Unverified,
    )])
});

/// Lines that begin with `(from `.
pub(super) static IN_PARENTHESES: LazyLock<Vec<Format>> = LazyLock::new(|| {
    formats(&[
        ("(NAVGW ", "{helo?} [{ip}]) by {by} (NAVGW {..}) with ", Then::Hop),
        ("", "{w}@localhost) by {w} ", Then::Ignored),
        ("(jqueuemail) id ", "{user}@{in}) by {w}(jqueuemail) id {w}", Then::Ignored),
    ])
});

fn formats(rows: &[Row]) -> Vec<Format> {
    let one = |(needs, text, then): &Row| {
        // A shape that cannot be compiled is left out; a test sees to it that there is none.
        let regex = shape::compile(text).ok()?;
        Some(Format { needs: Finder::new(*needs), regex, then: *then })
    };
    rows.iter().filter_map(one).collect()
}

#[rustfmt::skip]
const PRODUCT_ROWS: [(&str, &[Row]); 7] = [
    (" SMTPSVC", &[
        ("", "{helo?} ([{ip}]{few}) by {by} with Microsoft SMTPSVC", Then::Hop),
        ("", "mail pickup service by {w} with Microsoft SMTPSVC{end}", Then::Ignored),
    ]),
    ("[XMail ", &[("", "{helo} ({[}{ip4}{]}:{n}) by {by}{(} ({w}){)} with [XMail", Then::Hop)]),
    ("(ecelerity", &[
        ("", "([{ip4}:{n}] helo={helo}) by {by} ", Then::Hop),
        ("", "{w} ([{ip4}:{n}]) by {by} ", Then::Hop),
    ]),
    ("Exim", &[
        ("", "[{ip}] ({sub}) by {by} ", Then::Words),
        ("", "{rdns} ([{ip}]{sub}) by {by} ", Then::WordsAfterHost),
        ("", "{host} [{ip}]{(}:{n}{)} by {by} ", Then::Hop),
    ]),
    (" (Postfix) with", &[
        ("", "{helo} ({rdns} [{ip}]) by {by} ", Then::Unknown),
        ("", "{helo} ({rdns}[{ip}]) by {by} ", Then::Unknown),
    ]),
    ("(Scalix SMTP Relay", &[("", "{helo} ({(} {)}{ip}) by {by}", Then::Hop)]),
    (" (Lotus Domino ", &[("", "{helo} ([{ip}]) by {by} (Lotus", Then::Hop)]),
];

#[rustfmt::skip]
const BEFORE_QMAIL_ROWS: &[Row] = &[
    ("", "{helo} ({rdns} [{ip}]) by {by} with {w} (", Then::LookedUp),
    ("] helo=", "{rdns} ([{ip}] helo={helo}) by {by} with ", Then::Hop),
    ("<unknown", "{helo} (<unknown{w?}>[{ip}]) by {by} ", Then::Hop),
    ("", "{helo} ({rdns dot}[{ip}]) by {by} ", Then::LookedUp),
    ("@[", "{helo} ({ident?}@[{ip}]{...}) by {by} (", Then::LookedUp),
    (".hotmail.msn.com ", "{ip} {..}by {by hotmail} ", Then::Hop),
    (".hotmail.msn.com ", "{..}by {by hotmail} ", Then::Hop),
    ("(qpsmtpd/", "{rdns} ({HELO|EHLO} {helo?}) ({ip}) by {by} (qpsmtpd/{w}) with {ESMTP|SMTP}", Then::Hop),
    ("(LHLO ", "{rdns} (LHLO {helo?}) ({ip}) by {by} with LMTP", Then::Hop),
    ("LO ", "{rdns} ({HELO|EHLO} {helo?}) [{ip}] by {by} ({in}) with {ESMTP|SMTP}", Then::Hop),
    ("via smtpd (for ", "{helo} ([{ip}]) by {by} via smtpd (for {w}) with SMTP(", Then::Hop),
];

#[rustfmt::skip]
const GENERAL_ROWS: &[Row] = &[
    (" via HTTP", "[{ip}] by {by} via HTTP{end}", Then::Hop),
    (" ( [", "{w} ( [{ip}]){..} by {by} ", Then::Hop),
    ("", "({helo} [{ip}]) by {by} ", Then::Hop),
    ("", "[{ip}] by {by} ", Then::Hop),
    ("", "({[}{ip}{]}) by {by} ", Then::Hop),
    ("] with ", "{helo} [{ip}] by {by} [{ip_}] with ", Then::LookedUp),
    ("[(", "{helo} [({ip})] by {by} ({ip_}) ", Then::Hop),
    ("([", "{helo} ([{ip}]) by {by} (", Then::LookedUp),
    ("", "{helo} ({rdns} [{ip}]){..} by {by word}", Then::SoftError),
    ("([", "{helo} ([{ip}]){..} by {by} ", Then::LookedUp),
    ("([", "{helo} ([{ip4}{port?}]){..} by {by} ", Then::LookedUp),
    ("with ", "{..}with {POP3|IMAP}", Then::Fetched),
    ("LO ", "{rdns} ({HELO|EHLO} {helo to )}) ({ident@?}{[}{ip}{]}){...} by {by} ", Then::LookedUp),
    ("", "{host} ({ident@?}{[}{ip}{]}){...} by {by} ", Then::LookedUp),
    (" via smap ", "{rdns}({ip}) by {by} via smap ", Then::LookedUp),
    (" via smap ", "{rdns}({ip}, {HELO|EHLO} {helo?}) by {by} via smap ", Then::LookedUp),
    ("", "{ip} by {by} ({SMTPL|InterScan}{border}", Then::Hop),
    (" with BSMTP", "{w} by {w} with BSMTP", Then::Ignored),
    ("LO ", "{rdns} ({HELO|EHLO} {helo?}) ({ident@?}{ip}{..}) by {by} with ", Then::LookedUp),
    ("LO ", "[{ip}] ({(}account {w} {)}{HELO|EHLO} {helo?}) by {by} (", Then::Hop),
    (" (CommuniGate Pro", "{host} ([{ip}] verified) by {by} (", Then::LookedUp),
    (" (Content Technologies ", "{w} ({w}) by {w} (Content Technologies ", Then::Ignored),
    ("] [", "{helo} ([{ip}] [{w}]) by {by} with ", Then::Hop),
    ("", "{ip} by {by} with ", Then::Hop),
    ("", "{helo} ({rdns}[{ip}]) by {by} ", Then::LookedUp),
    ("LO ", "[{ip}]{w} ({HELO|EHLO} {helo?}) by {by} ", Then::Hop),
    ("LO ", "{ip} ({HELO|EHLO} {helo?}) by {by} ", Then::Hop),
    ("", "{helo} [{ip}] by {by} ", Then::Hop),
    ("", "{rdns}({ip}) by {by} ", Then::Hop),
    ("", "{ip} ({letter}{in}) by {by} with ", Then::Hop),
    ("", "[{ip}] ({sub in}) by {by} ", Then::Words),
    (" via ", "{rdns}({ip}){(}, claiming to be \"{helo}\"{)} via {w} by {by},", Then::Obtuse),
    (" with login)", "{helo} ({w}@{ip} with login) by {by yahoo} with SMTP", Then::Hop),
    ("X-Originating-IP: ", "X-Originating-IP: {ip}{end}", Then::Hop),
    ("", "{w} ({user}@{localhost}) by {w} (", Then::Ignored),
    (" with local-", "{w} {w} by {w} with local-{esmtp|smtp} ", Then::Ignored),
    ("(AVG SMTP ", "127.0.0.1 (AVG SMTP {w} [{w}])", Then::Ignored),
    ("", "{w}@{w} by {w} ", Then::Ignored),
    ("", "Unknown/Local (", Then::Ignored),
    ("", "{localhost} ({(}{w}@{)}{localhost}{)|[}", Then::Ignored),
    ("", "{w} ({(}{w}@{)}{localhost}) ", Then::Ignored),
    ("", "{w} ({w}@{w} [{localhost}]) ", Then::Ignored),
    ("", "(AUTH: {w}) by {w} with ", Then::Ignored),
    ("", "localhost (localhost [[UNIX: localhost]]) by ", Then::Ignored),
    (" with Novell_GroupWise", "{no dot} by {w} with Novell_GroupWise", Then::Ignored),
    (" with qmail-scanner", "{w} by {w} ({hundred}) with qmail-scanner", Then::Scanner),
    ("([unix socket])", "{w} ([unix socket]) by {w} (Cyrus v{n?}.{n?}.{n?}) with LMTPA", Then::Ignored),
    ("", "{w} by {w} {with|via|for|(}", Then::Ignored),
    ("", "{w} {with|via|for} {w} by{border}", Then::Ignored),
    ("", "{w} (unverified) by{border}", Then::Ignored),
    ("", "{w} (unknown) by {w} (SG) with {border}", Then::Ignored),
    ("", "{w} ({w} [local]) by {w} (OpenSMTPD) with {border}", Then::Ignored),
    ("(LSMTP for", "{..}(LSMTP for", Then::Ignored),
    ("", "([{localhost}]) with MailEnable ", Then::Ignored),
    ("", "facebook.com ({in}) by facebook.com with Thrift id {w}{end}", Then::Ignored),
    ("", "{w} named {w} by gmailapi.google.com with HTTPREST{end}", Then::Ignored),
    ("", "{w} id {w}{end}", Then::Ignored),
    ("(Jetsend", "[<{..} (Jetsend", Then::Ignored),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_compiles() {
        let all = PRODUCT_ROWS.iter().flat_map(|(_, rows)| rows.iter());
        for (_, text, _) in all.chain(BEFORE_QMAIL_ROWS).chain(GENERAL_ROWS) {
            shape::compile(text).unwrap();
        }
        assert_eq!(PRODUCTS.iter().map(|one| one.formats.len()).sum::<usize>(), 12);
        let (common, rows) = &*QMAIL;
        assert_eq!((common.len(), rows.len()), (1, 4));
        for (formats, want) in [
            (&SENDMAIL, 1),
            (&EXCHANGE, 1),
            (&EARLY, 1),
            (&WEB, 1),
            (&UPPER, 1),
            (&IN_PARENTHESES, 3),
        ] {
            assert_eq!(formats.len(), want);
        }
        assert!(shape::compile("{what}").is_err());
    }
}
