//! Where links lead, and where they say they lead.

use crate::filters::spam::view::View;
use crate::mail::Link;

use super::{brands, field};

/// Links looked at.
const LINKS_MAX: usize = 500;
/// A host is cut here (RFC 1035 section 2.3.4).
const HOST_BYTES_MAX: usize = 255;

/// The host of a web address, in lower case.
pub(super) fn host(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let name = authority.rsplit('@').next()?.split(':').next()?.trim_end_matches('.');
    (!name.is_empty() && name.len() <= HOST_BYTES_MAX).then(|| name.to_lowercase())
}

/// The part of a host that somebody registered: two labels, or three where countries have kinds of names.
pub(super) fn registered(host: &str) -> &str {
    const KINDS: [&str; 14] = [
        "co", "com", "net", "org", "gov", "ac", "edu", "gob", "gouv", "gov", "or", "ne", "go", "sa",
    ];
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    let (Some(last), Some(second)) = (dots.next(), dots.next()) else { return host };
    let kind = host.get(second + 1..last).unwrap_or_default();
    let country = host.len() - last == 3 || kind == "sa";
    let start = if country && KINDS.contains(&kind) { dots.next() } else { Some(second) };
    start.map_or(host, |dot| host.get(dot + 1..).unwrap_or(host))
}

/// The first label of what was registered.
pub(super) fn own_label(host: &str) -> &str {
    registered(host).split('.').next().unwrap_or_default()
}

fn links<'v>(view: &'v View<'_>) -> impl Iterator<Item = &'v Link> {
    view.mail.message.links.iter().take(LINKS_MAX)
}

/// A link leads to a domain that looks like a firm's.
pub(super) fn lookalike_link(view: &View<'_>) -> Option<String> {
    links(view).filter_map(|link| host(&link.url)).find_map(|host| {
        brands::looks_like(own_label(&host)).map(|brand| format!("{host} ({brand})"))
    })
}

/// There are links, and none leads to the sender's domain.
pub(super) fn links_elsewhere(view: &View<'_>) -> bool {
    let from = field(view, "From:addr");
    let Some((_, domain)) = from.trim().rsplit_once('@') else { return false };
    let domain = domain.to_lowercase();
    let own = registered(&domain);
    let mut hosts = links(view).filter_map(|link| host(&link.url)).peekable();
    hosts.peek().is_some() && hosts.all(|host| registered(&host) != own)
}

/// A link shows an address, and leads to another one. With `brand`: it shows a firm's.
pub(super) fn link_shows_other(view: &View<'_>, brand: bool) -> Option<String> {
    links(view).find_map(|link| {
        let shown = shown_host(link.text.as_deref()?)?;
        let target = host(&link.url)?;
        let other = registered(&shown) != registered(&target);
        let firm = || brands::named(&brands::words(own_label(&shown)));
        let wanted = match (brand, firm()) {
            (false, _) => true,
            (true, None) => false,
            (true, Some(firm)) => !firm.labels.iter().any(|label| target.contains(label)),
        };
        (other && wanted).then(|| format!("{shown} leads to {target}"))
    })
}

/// The host that a link's text shows, if it is nothing but an address.
fn shown_host(text: &str) -> Option<String> {
    const ENDINGS: [&str; 24] = [
        "com", "net", "org", "de", "fr", "es", "it", "nl", "pl", "uk", "eu", "ch", "at", "be",
        "br", "pt", "tr", "jp", "cn", "ru", "us", "gov", "edu", "info",
    ];
    let text = text.trim();
    if text.contains(char::is_whitespace) || text.contains('@') || text.len() > 2_000 {
        return None;
    }
    if text.contains("://") {
        return host(text).filter(|host| host.contains('.'));
    }
    let host = host(&format!("http://{text}"))?;
    let (front, ending) = host.rsplit_once('.')?;
    let plain = front.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-.".contains(&octet));
    (plain && !front.is_empty() && ENDINGS.contains(&ending)).then_some(host)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_host_of_a_link_is_found() {
        for (url, want) in [
            ("https://Example.org/a", Some("example.org")),
            ("http://user@evil.example:81/x", Some("evil.example")),
            ("http://a.example\\@b.example", Some("a.example")),
            ("mailto:a@b.example", None),
            ("http:///x", None),
            ("", None),
        ] {
            assert_eq!(host(url).as_deref(), want, "{url}");
        }
    }

    #[test]
    fn what_was_registered_is_cut_out() {
        for (host, want, label) in [
            ("www.example.org", "example.org", "example"),
            ("a.b.example.co.uk", "example.co.uk", "example"),
            ("shop.example.com.br", "example.com.br", "example"),
            ("x.offers.sa.com", "offers.sa.com", "offers"),
            ("example.org", "example.org", "example"),
            ("co.uk", "co.uk", "co"),
            ("localhost", "localhost", "localhost"),
        ] {
            assert_eq!((registered(host), own_label(host)), (want, label), "{host}");
        }
    }

    #[test]
    fn an_address_as_the_text_of_a_link_is_known() {
        for (text, want) in [
            ("https://www.bank.example/login", Some("www.bank.example")),
            ("www.example.org", Some("www.example.org")),
            ("example.com/a", Some("example.com")),
            ("invoice.pdf", None),
            ("Click here", None),
            ("ann@example.org", None),
            ("3.5", None),
        ] {
            assert_eq!(shown_host(text).as_deref(), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "\\PC{0,80}") {
            let name = host(&text).unwrap_or(text.clone());
            prop_assert!(name.contains(registered(&name)));
            let _ = (shown_host(&text), own_label(&name), brands::looks_like(&text));
        }
    }
}
