//! Lists of the hosts that links lead to: `urirhssub`, `uridnsbl` and their kin.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::filters::dns::{Answers, ListKind, Question, RecordKind, reversed};
use crate::filters::dnsbl::is_public;
use crate::filters::spam::evals;
use crate::filters::spam::text::is_address;
use crate::filters::spam::view::View;

use super::test::Test;

/// Hosts of one mail that lists are asked about (`uridnsbl_max_domains`).
const HOSTS_MAX: usize = 20;
/// Name servers of a domain, and addresses of one, that are followed.
const FOLLOWED_MAX: usize = 4;

/// A rule over links.
#[derive(Debug)]
pub(super) struct LinkRule {
    pub(super) zone: String,
    pub(super) test: Test,
    kind: RecordKind,
    by: By,
}

/// What `tflags` say of such a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// `domains_only`: no links that lead to an address.
    only_names: bool,
    /// `ips_only`: nothing else.
    only_addresses: bool,
    /// `notrim`: the whole host, not its registered domain.
    whole: bool,
    /// `a`: addresses of the host.
    host: bool,
    /// `ns`, or without `a`: addresses of the domain's name servers.
    servers: bool,
}

impl Flags {
    pub(super) fn read(flags: &str) -> Self {
        let flag = |wanted: &str| flags.split(' ').any(|flag| flag == wanted);
        Self {
            only_names: flag("domains_only"),
            only_addresses: flag("ips_only"),
            whole: flag("notrim"),
            host: flag("a"),
            servers: flag("ns") || !flag("a"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The domain itself.
    Domain,
    /// The addresses of its name servers, or of the host.
    Address,
    /// The domains of its name servers.
    ServerDomain,
    /// The whole names of its name servers.
    Server,
}

#[derive(Debug, Default)]
pub(super) struct Links {
    pub(super) rules: BTreeMap<String, LinkRule>,
    /// Rules that a function asks for, and are not of 0 points.
    pub(super) asked: BTreeMap<String, Flags>,
    hosts_max: Option<usize>,
}

impl LinkRule {
    pub(super) fn list_kind(&self) -> ListKind {
        super::kind_of(self.by == By::Address)
    }
}

impl Links {
    pub(super) fn read(&mut self, key: &str, text: &str) -> Result<(), String> {
        if key == "uridnsbl_max_domains" {
            let number = text.trim().parse().map_err(|_| format!("`{text}` is no number"))?;
            self.hosts_max = Some(number);
            return Ok(());
        }
        let by = match key {
            "urirhsbl" | "urirhssub" => By::Domain,
            "urinsrhsbl" | "urinsrhssub" => By::ServerDomain,
            "urifullnsrhsbl" | "urifullnsrhssub" => By::Server,
            _ => By::Address,
        };
        let mut words = text.splitn(4, [' ', '\t']).collect::<Vec<_>>();
        // Any run of blanks may stand between the words.
        if words.iter().any(|word| word.is_empty()) {
            words = text.split_ascii_whitespace().collect();
        }
        let (Some(name), Some(zone), Some(kind)) = (words.first(), words.get(1), words.get(2))
        else {
            return Err(format!("`{key}` needs a rule, a zone and a type"));
        };
        let kind = match kind.to_ascii_uppercase().as_str() {
            "A" => RecordKind::A,
            "TXT" => RecordKind::Txt,
            other => return Err(format!("`{key}` cannot ask for {other}")),
        };
        let test = match (key.ends_with("sub"), words.get(3)) {
            (true, Some(test)) => Test::read_sub(test.trim())?,
            (true, None) => return Err(format!("`{key}` needs a test")),
            (false, _) => Test::Any,
        };
        let zone = zone.trim_matches('.').to_lowercase();
        self.rules.insert((*name).to_owned(), LinkRule { zone, test, kind, by });
        Ok(())
    }

    /// The hosts that lists are asked about, with their domains; never those that rule files spare, nor addresses that
    /// no public list can hold.
    pub(super) fn hosts<'v>(&self, view: &'v View<'_>) -> &'v [(String, String)] {
        view.cells.linked_hosts.get_or_init(|| {
            let hosts = view.hosts(self.hosts_max.unwrap_or(HOSTS_MAX).min(HOSTS_MAX));
            let owned = |(host, domain): (&str, &str)| (host.to_owned(), domain.to_owned());
            hosts.into_iter().map(owned).collect()
        })
    }

    /// What a rule asks; into `before` goes what must be known for it and is not.
    pub(super) fn questions(
        &self,
        name: &str,
        view: &View<'_>,
        answers: &Answers,
        before: &mut Vec<Question>,
    ) -> Vec<(String, Question)> {
        let (Some(rule), Some(flags)) = (self.rules.get(name), self.asked.get(name)) else {
            return Vec::new();
        };
        let mut follow = Follow { answers, before, fronts: BTreeSet::new() };
        for (host, domain) in self.hosts(view) {
            if is_address(host) {
                follow.address(rule, *flags, host);
                continue;
            }
            match rule.by {
                By::Domain if flags.only_addresses => {}
                By::Domain => {
                    let name = if flags.whole { host } else { domain };
                    follow.fronts.insert((name.clone(), name.clone()));
                }
                By::Address => {
                    if flags.host {
                        follow.addresses_of(host, host);
                    }
                    if flags.servers {
                        for server in follow.servers_of(domain) {
                            follow.addresses_of(domain, &server);
                        }
                    }
                }
                By::Server | By::ServerDomain => {
                    for server in follow.servers_of(domain) {
                        let front = match rule.by {
                            By::ServerDomain => evals::domain::owned(view, &server),
                            By::Server | By::Domain | By::Address => server,
                        };
                        follow.fronts.insert((domain.clone(), front));
                    }
                }
            }
        }
        let question = |(about, front)| {
            let name = format!("{front}.{}", rule.zone);
            (about, Question::new(&name, rule.kind))
        };
        follow.fronts.into_iter().map(question).collect()
    }
}

/// Following hosts to what a list is asked about.
struct Follow<'f> {
    answers: &'f Answers,
    before: &'f mut Vec<Question>,
    /// What it is about, and what stands before the zone.
    fronts: BTreeSet<(String, String)>,
}

impl Follow<'_> {
    /// A link that leads to an address: only lists of domains are asked, for IPv4 addresses of the Internet.
    fn address(&mut self, rule: &LinkRule, flags: Flags, host: &str) {
        let Some(address) = host.parse::<Ipv4Addr>().ok().map(IpAddr::V4) else { return };
        if rule.by == By::Domain && !flags.only_names && is_public(address) {
            self.fronts.insert((host.to_owned(), reversed(address)));
        }
    }

    fn servers_of(&mut self, domain: &str) -> Vec<String> {
        let question = Question::new(domain, RecordKind::Ns);
        let Some(found) = self.answers.get(&question) else {
            self.before.push(question);
            return Vec::new();
        };
        found.names().take(FOLLOWED_MAX).map(str::to_owned).collect()
    }

    fn addresses_of(&mut self, about: &str, name: &str) {
        let question = Question::new(name, RecordKind::A);
        let Some(found) = self.answers.get(&question) else {
            self.before.push(question);
            return;
        };
        let addresses = found.addresses().take(FOLLOWED_MAX);
        self.fronts.extend(addresses.map(|one| (about.to_owned(), reversed(one.into()))));
    }
}
