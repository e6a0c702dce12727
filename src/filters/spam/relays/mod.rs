//! The way of a mail from host to host, read from its Received fields: which hosts we trust, which are ours.
//!
//! The newest field stands first. Trust reaches from there as far as each giver is known (`trusted_networks`), has an
//! address of a private network, or had to log in; the first one that is not is the stranger who brought the mail, and
//! nothing below him can be believed.
//!
//! Tamis may sit before its Postfix has written its own field, and then the topmost ones are the sender's, who knows his
//! address and can write it into a field of any name. So a field counts as Postfix' own only if it names the client that
//! Postfix told us of and the queue id that it told with him (XFORWARD IDENT), which no stranger knows. Else the client
//! comes first, as the connection shows him, and no field says anything in his favour.

mod address;
mod auth;
mod envelope;
mod formats;
mod networks;
mod received;
mod shape;

use std::fmt::Write as _;

use crate::filters::Mail;
use crate::filters::spam::view::View;

pub(in crate::filters::spam) use address::{find, find_from, is_private, parse};
pub(in crate::filters::spam) use networks::{KEYS, Networks, network_holds};
pub(in crate::filters::spam) use received::Relay;

use received::Line;

/// Received fields that are read; the others are counted as unknown.
const FIELDS_MAX: usize = 200;

/// The way of a mail. Each list begins with the newest hop.
#[derive(Debug, Default)]
pub(in crate::filters::spam) struct Relays {
    /// Givers we trust.
    pub(in crate::filters::spam) trusted: Vec<Relay>,
    /// The first stranger, and what he says came before.
    pub(in crate::filters::spam) untrusted: Vec<Relay>,
    /// Our own hosts.
    pub(in crate::filters::spam) internal: Vec<Relay>,
    /// The others.
    pub(in crate::filters::spam) external: Vec<Relay>,
    /// Fields in no known format.
    pub(in crate::filters::spam) unknown: usize,
    /// The envelope's sender; empty for the null sender; `None`: not known.
    pub(in crate::filters::spam) sender: Option<Vec<u8>>,
    /// The client that Postfix told us of was put first: no Received field tells of it yet.
    pub(in crate::filters::spam) client_first: bool,
    /// Received fields before the one that a stranger's hop stands in: all that hosts of trust wrote but the last.
    trusted_fields: Fields,
    internal_fields: Fields,
}

/// How many Received fields tell of hops within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Fields {
    /// Not even the newest is from within.
    #[default]
    None,
    /// So many, and the field below was still written within.
    Some(usize),
}

/// Which part of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::filters::spam) enum Zone {
    Trusted,
    Untrusted,
    Internal,
    External,
}

/// What rules ask of it by the name of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::filters::spam) enum Way {
    /// `X-Spam-Relays-…`: the hops.
    Hops(Zone),
    /// `ALL-…`: the fields that hosts there wrote.
    Fields(Zone),
}

impl Way {
    /// `X-Spam-Relays-Trusted` in any case, `ALL-TRUSTED`.
    pub(in crate::filters::spam) fn parse(name: &str) -> Option<Self> {
        let all = [
            ("TRUSTED", Zone::Trusted),
            ("UNTRUSTED", Zone::Untrusted),
            ("INTERNAL", Zone::Internal),
            ("EXTERNAL", Zone::External),
        ];
        if let Some(rest) = name.strip_prefix("ALL-") {
            let zone = all.into_iter().find(|(known, _)| *known == rest)?.1;
            return Some(Self::Fields(zone));
        }
        let start = name.get(..14).filter(|start| start.eq_ignore_ascii_case("X-Spam-Relays-"))?;
        let rest = name.get(start.len()..)?;
        let zone = all.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(rest))?.1;
        Some(Self::Hops(zone))
    }

    /// The text that rules see.
    pub(in crate::filters::spam) fn text(self, view: &View<'_>, raw: bool) -> Option<Vec<u8>> {
        match self {
            Self::Hops(zone) => Some(view.relays().text(zone)),
            Self::Fields(zone) => {
                let header = view.header();
                let text = if raw { header.pristine.clone() } else { header.lines(false) };
                let text = view.relays().fields_of(zone, &text);
                (!text.is_empty()).then_some(text)
            }
        }
    }
}

impl Relays {
    /// Drops the newest hop if it tells of this client: as nobody knows who wrote it, it says nothing that counts, and
    /// the client must not stand there twice.
    fn forget_first(&mut self, client: &Relay) {
        for (inner, outer) in
            [(&mut self.trusted, &mut self.untrusted), (&mut self.internal, &mut self.external)]
        {
            let side = if inner.is_empty() { outer } else { inner };
            if side.first().is_some_and(|relay| relay.address == client.address) {
                side.remove(0);
            }
        }
    }

    /// Reads the way of a mail.
    pub(in crate::filters::spam) fn read(view: &View<'_>) -> Self {
        let networks = &view.engine.tables.networks;
        let mut way = Walk::new(networks, view.mail);
        let header = view.header();
        let fields = header.all(b"Received").map(|field| field.decoded.clone());
        let originating = networks.originating.iter().filter_map(|name| {
            let value = header.last(name.as_bytes())?;
            let ip = address::find(value).and_then(|range| value.get(range))?;
            Some([b"from X-Originating-IP: ", ip].concat())
        });
        let mut scanner_sender = None;
        for (place, value) in fields.chain(originating).enumerate() {
            if place >= FIELDS_MAX {
                way.relays.unknown += 1;
                continue;
            }
            let line = received::read(&value);
            let sender = scanner_sender.take();
            match line {
                Line::Relay(mut relay) => {
                    if sender.is_some() {
                        relay.sender = sender;
                    }
                    way.hop(*relay);
                    continue;
                }
                Line::Ignored(sender) => scanner_sender = sender.filter(|text| !text.is_empty()),
                Line::Fetched => way.fetched(),
                Line::Unknown => way.relays.unknown += 1,
            }
            way.skip();
        }
        let mut relays = way.finish();
        relays.sender = envelope::sender(view, networks, &relays);
        relays
    }

    /// `X-Spam-Relays-…`: all hops of a zone in one line.
    pub(in crate::filters::spam) fn text(&self, zone: Zone) -> Vec<u8> {
        let relays = match zone {
            Zone::Trusted => &self.trusted,
            Zone::Untrusted => &self.untrusted,
            Zone::Internal => &self.internal,
            Zone::External => &self.external,
        };
        let all: Vec<Vec<u8>> = relays.iter().map(line).collect();
        all.join(&b' ')
    }

    /// Of the lines of a header, those that hosts of a zone wrote. The Received field in which a host of trust tells of
    /// a stranger belongs to both sides.
    fn fields_of(&self, zone: Zone, header: &[u8]) -> Vec<u8> {
        let within = match zone {
            Zone::Trusted | Zone::Untrusted => self.trusted_fields,
            Zone::Internal | Zone::External => self.internal_fields,
        };
        let inside = matches!(zone, Zone::Trusted | Zone::Internal);
        let mut out = Vec::with_capacity(header.len());
        // Received fields seen, this one included.
        let mut seen = 0;
        let mut shown = false;
        let mut border_passed = false;
        for line in header.split_inclusive(|octet| *octet == b'\n').filter(|line| *line != b"\n") {
            // A line that goes on belongs to the field above it.
            if !matches!(line.first(), Some(b' ' | b'\t')) {
                seen += usize::from(
                    line.get(..9).is_some_and(|head| head.eq_ignore_ascii_case(b"received:")),
                );
                shown = match (within, inside) {
                    (Fields::None, inside) => !inside,
                    (Fields::Some(count), true) => {
                        seen <= count || (seen == count + 1 && !border_passed)
                    }
                    (Fields::Some(count), false) => seen > count,
                };
                border_passed |= matches!(within, Fields::Some(count) if seen > count);
            }
            if shown {
                out.extend_from_slice(line);
            }
        }
        out
    }
}

/// A hop as rules see it. Rules rely on the order.
fn line(relay: &Relay) -> Vec<u8> {
    let mut out = b"[".to_vec();
    let sender = relay.sender.as_deref().unwrap_or_default();
    let flag = |set: bool| if set { b"1".as_slice() } else { b"0" };
    for (name, value) in [
        ("ip", relay.ip.as_slice()),
        ("rdns", &relay.rdns),
        ("helo", &relay.helo),
        ("by", &relay.by),
        ("ident", &relay.ident),
        ("envfrom", if sender == b"0" { b"" } else { sender }),
        ("intl", flag(relay.internal)),
        ("id", &relay.id),
        ("auth", &relay.auth),
        ("msa", flag(relay.submission)),
    ] {
        let mut head = String::new();
        // Writing to a string cannot fail.
        let _ = write!(head, " {name}=");
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(value);
    }
    out.extend_from_slice(b" ]");
    out
}

/// Reading hop after hop, newest first.
struct Walk<'w> {
    networks: &'w Networks,
    relays: Relays,
    in_trusted: bool,
    in_internal: bool,
    submission: bool,
    /// Markers of fetched mail count as long as hosts of trust write.
    markers: bool,
    /// The client that Postfix told us of, if the fields do not.
    client: Option<Relay>,
    /// Postfix' queue id, as it told it.
    queue_id: Option<&'w str>,
    client_is_ours: bool,
    trusted_fields: usize,
    internal_fields: usize,
}

impl<'w> Walk<'w> {
    fn new(networks: &'w Networks, mail: &'w Mail<'_>) -> Self {
        Self {
            networks,
            relays: Relays::default(),
            in_trusted: true,
            in_internal: true,
            submission: false,
            markers: true,
            client: client(mail),
            queue_id: mail.envelope.client.ident.as_deref(),
            client_is_ours: mail.internal,
            trusted_fields: 0,
            internal_fields: 0,
        }
    }

    /// A field that tells of no hop.
    fn skip(&mut self) {
        self.trusted_fields += usize::from(self.in_trusted);
        self.internal_fields += usize::from(self.in_internal);
    }

    /// What was fetched from a mailbox begins anew there.
    fn fetched(&mut self) {
        if self.markers {
            self.relays.trusted.clear();
            self.relays.internal.clear();
            self.relays.external.clear();
        }
    }

    fn hop(&mut self, mut relay: Relay) {
        if self.in_trusted && !self.submission {
            self.judge(&mut relay);
        }
        relay.internal = self.in_internal;
        if self.in_trusted {
            self.relays.trusted.push(relay.clone());
            self.trusted_fields += 1;
        } else {
            self.relays.untrusted.push(relay.clone());
        }
        self.markers = self.in_trusted;
        if self.in_internal {
            self.relays.internal.push(relay);
            self.internal_fields += 1;
        } else {
            self.relays.external.push(relay);
        }
    }

    /// How far trust reaches. If only one of the two lists is set, it stands for both.
    fn judge(&mut self, relay: &mut Relay) {
        let Networks { trusted, internal, submission, .. } = self.networks;
        let (Some(trusted), Some(internal)) =
            (trusted.as_ref().or(internal.as_ref()), internal.as_ref().or(trusted.as_ref()))
        else {
            if !relay.private && relay.auth.is_empty() {
                self.in_trusted = false;
                self.in_internal = false;
            }
            return;
        };
        if relay.auth.is_empty() && !trusted.holds(relay.address) {
            self.in_trusted = false;
            self.in_internal = false;
            return;
        }
        if relay.auth.is_empty() && !internal.holds(relay.address) {
            self.in_internal = false;
        }
        if submission.holds(relay.address) {
            self.submission = true;
            relay.submission = true;
        }
    }

    /// Puts the client first, unless a field that is surely our site's, or a client of trust, tells of it.
    fn finish(mut self) -> Relays {
        let client = self.client.take();
        let mut relays = self.relays;
        relays.trusted_fields = Fields::Some(self.trusted_fields);
        relays.internal_fields = Fields::Some(self.internal_fields);
        let Some(mut client) = client else { return relays };
        let known = self.networks.trusted.as_ref().or(self.networks.internal.as_ref());
        let ours = self.networks.internal.as_ref().or(self.networks.trusted.as_ref());
        let private = client.private && known.is_none();
        let trusted =
            self.client_is_ours || private || known.is_some_and(|set| set.holds(client.address));
        let internal =
            self.client_is_ours || private || ours.is_some_and(|set| set.holds(client.address));
        let mut told = relays.trusted.iter().chain(relays.untrusted.first());
        let is_own = |relay: &Relay| {
            let named = self.queue_id.is_some_and(|id| relay.id == id.as_bytes());
            relay.address == client.address && (trusted || named)
        };
        if told.any(is_own) {
            return relays;
        }
        client.internal = internal;
        relays.client_first = true;
        if !trusted {
            relays.forget_first(&client);
        }
        client.submission = self.networks.submission.holds(client.address);
        if !trusted {
            let below = std::mem::take(&mut relays.trusted);
            relays.untrusted.splice(0..0, below);
            relays.trusted_fields = Fields::None;
        }
        if !internal {
            let below = std::mem::take(&mut relays.internal);
            relays
                .external
                .splice(0..0, below.into_iter().map(|relay| Relay { internal: false, ..relay }));
            relays.untrusted.iter_mut().for_each(|relay| relay.internal = false);
            relays.internal_fields = Fields::None;
        }
        let (side, place) = match trusted {
            true => (&mut relays.trusted, 0),
            false => (&mut relays.untrusted, 0),
        };
        side.insert(place, client.clone());
        if internal { &mut relays.internal } else { &mut relays.external }.insert(0, client);
        relays
    }
}

/// The client as Postfix told us of it.
fn client(mail: &Mail<'_>) -> Option<Relay> {
    let client = &mail.envelope.client;
    let ip = address::plain(client.address?);
    let name = client.name.clone().filter(|name| !name.eq_ignore_ascii_case("unknown"));
    Some(Relay {
        ip: ip.to_string().into_bytes(),
        address: Some(ip),
        no_name: name.is_none(),
        rdns: received::strip(name.unwrap_or_default().as_bytes()),
        helo: received::strip(client.helo.as_deref().unwrap_or_default().as_bytes()),
        sender: envelope::told(mail).map(|sender| received::strip(&sender)),
        private: is_private(ip),
        ..Relay::default()
    })
}

#[cfg(test)]
mod tests;
