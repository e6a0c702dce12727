//! What the rules over lists need of a mail: relays, senders, hosts of links.

use std::net::IpAddr;

use crate::filters::dnsbl;
use crate::filters::spam::view::View;

/// Addresses of relays, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hops {
    /// Those outside our own networks, trusted ones among them.
    pub(super) external: Vec<IpAddr>,
    /// Those that nobody vouches for.
    pub(super) untrusted: Vec<IpAddr>,
}

/// The relays of a mail: the client that handed it to this site.
pub(super) fn hops(view: &View<'_>) -> Hops {
    let clients: Vec<IpAddr> = dnsbl::clients(view.mail).collect();
    Hops { external: clients.clone(), untrusted: clients }
}

/// The name in HELO of the last relay outside.
pub(super) fn helo(view: &View<'_>) -> Option<String> {
    let client = &view.mail.envelope.client;
    client.helo.clone().filter(|name| dnsbl::is_host(name))
}

/// Domains of the envelope sender, in lower case.
pub(super) fn envelope_domains(view: &View<'_>) -> Vec<String> {
    let address = &view.mail.envelope.sender.address;
    address.rsplit_once('@').and_then(|(_, domain)| host(domain)).into_iter().collect()
}

/// Domains of the From field.
pub(super) fn author_domains(view: &View<'_>) -> Vec<String> {
    header_domains(view, "From")
}

/// Domains of the addresses of a field.
pub(super) fn header_domains(view: &View<'_>, name: &str) -> Vec<String> {
    let mut domains: Vec<String> =
        addresses(view, name).iter().filter_map(|one| host(one.rsplit_once('@')?.1)).collect();
    domains.sort();
    domains.dedup();
    domains
}

/// The addresses of a field, in lower case.
pub(super) fn addresses(view: &View<'_>, name: &str) -> Vec<String> {
    if name.eq_ignore_ascii_case("EnvelopeFrom") {
        return vec![view.mail.envelope.sender.address.to_lowercase()];
    }
    let Some(value) = view.mail.message.value(name) else { return Vec::new() };
    let value = value.get(..value.len().min(8_192)).unwrap_or_default();
    let text = String::from_utf8_lossy(value);
    let words = text.split(|letter: char| letter.is_whitespace() || "<>(),;:\"".contains(letter));
    words.filter(|word| word.contains('@')).map(str::to_lowercase).take(20).collect()
}

fn host(domain: &str) -> Option<String> {
    let domain = domain.trim_matches('.').to_lowercase();
    let ascii = idna::domain_to_ascii(&domain).unwrap_or(domain);
    dnsbl::is_host(&ascii).then_some(ascii)
}

/// Hosts of links with the domain that somebody registered.
pub(super) fn link_hosts(view: &View<'_>) -> Vec<(String, String)> {
    let hosts = dnsbl::link_hosts(view.mail).into_iter();
    hosts.map(|host| (host.clone(), registered(&host))).collect()
}

/// The last two labels, or three below what looks like `co.uk`.
pub(super) fn registered(host: &str) -> String {
    let labels: Vec<&str> = host.split('.').collect();
    let second = ["ac", "co", "com", "edu", "gov", "net", "org"];
    let below = |back: usize| labels.len().checked_sub(back).and_then(|at| labels.get(at));
    let country = below(1).is_some_and(|top| top.len() == 2)
        && below(2).is_some_and(|label| second.contains(label));
    let take = if country { 3 } else { 2 };
    labels.get(labels.len().saturating_sub(take)..).unwrap_or_default().join(".")
}
