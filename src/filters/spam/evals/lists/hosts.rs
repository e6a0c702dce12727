//! Hosts of links on lists.

use std::collections::BTreeMap;

use crate::filters::spam::text::Link;
use crate::filters::spam::view::View;

use super::{Arguments, Call, Function, lists};

pub(super) const FUNCTIONS: &[Function] = &[
    ("check_uri_host_listed", listed),
    ("check_uri_host_in_blocklist", |_| Ok(Call::new(|view| host_on(view, "BLOCK")))),
    ("check_uri_host_in_blacklist", |_| Ok(Call::new(|view| host_on(view, "BLOCK")))),
    ("check_uri_host_in_welcomelist", |_| Ok(Call::new(|view| host_on(view, "WELCOME")))),
    ("check_uri_host_in_whitelist", |_| Ok(Call::new(|view| host_on(view, "WELCOME")))),
];

/// Ends of a name that are looked up, the shortest ones.
const ENDS_MAX: usize = 11;

fn listed(arguments: &Arguments) -> Result<Call, String> {
    let list = arguments.text(0).to_owned();
    if list.is_empty() {
        return Err("the name of a list is missing".to_owned());
    }
    Ok(Call::new(move |view| host_on(view, &list)))
}

fn host_on(view: &View<'_>, list: &str) -> Option<String> {
    let list = lists(view).hosts.get(list).filter(|list| !list.is_empty())?;
    hosts(view).find(|host| is_on(list, host)).map(str::to_owned)
}

/// The longest end of the name that is listed decides.
fn is_on(list: &BTreeMap<String, bool>, host: &str) -> bool {
    if let Some(literal) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return list.get(literal) == Some(&true);
    }
    let ends_in_digit = host.bytes().next_back().is_some_and(|octet| octet.is_ascii_digit());
    if ends_in_digit && host.parse::<std::net::Ipv4Addr>().is_ok() {
        return list.get(host) == Some(&true);
    }
    let behind_dots = host.match_indices('.').filter_map(|(place, _)| host.get(place + 1..));
    let count = 1 + host.matches('.').count();
    let mut shortest =
        std::iter::once(host).chain(behind_dots).skip(count.saturating_sub(ENDS_MAX));
    shortest.find_map(|end| list.get(end)) == Some(&true)
}

/// The hosts of all links. Addresses of mail do not count.
fn hosts<'v>(view: &'v View<'_>) -> impl Iterator<Item = &'v str> {
    let listed = |link: &&Link| {
        let mail = link.raw.get(..7).is_some_and(|head| head.eq_ignore_ascii_case(b"mailto:"));
        !link.elsewhere && !mail
    };
    let links = view.links().all().iter().filter(listed);
    let mut last = "";
    let hosts = links.flat_map(|link| &link.hosts).map(|(host, _)| host.as_str());
    hosts.filter(move |host| std::mem::replace(&mut last, host) != *host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_entry_decides() {
        let list = [("example.org", true), ("good.example.org", false), ("192.0.2.1", true)];
        let list: BTreeMap<String, bool> =
            list.into_iter().map(|(host, on)| (host.to_owned(), on)).collect();
        for (host, want) in [
            ("example.org", true),
            ("www.example.org", true),
            ("a.good.example.org", false),
            ("badexample.org", false),
            ("192.0.2.1", true),
            ("1.192.0.2.1", true),
            ("[192.0.2.1]", true),
        ] {
            assert_eq!(is_on(&list, host), want, "{host}");
        }
    }
}
