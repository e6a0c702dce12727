//! Lists of the hosts that links lead to: `urirhssub`, `uridnsbl` and their kin.

use std::collections::{BTreeMap, BTreeSet};

use crate::filters::dns::{Answers, ListKind, Question, RecordKind, reversed};
use crate::filters::spam::view::View;

use super::inputs;
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The domain itself.
    Domain,
    /// The addresses of its name servers.
    ServerAddress,
    /// The domains of its name servers.
    ServerDomain,
    /// The whole names of its name servers.
    Server,
}

#[derive(Debug, Default)]
pub(super) struct Links {
    pub(super) rules: BTreeMap<String, LinkRule>,
    skipped: BTreeSet<String>,
    hosts_max: Option<usize>,
}

impl LinkRule {
    pub(super) fn list_kind(&self) -> ListKind {
        super::kind_of(self.by == By::ServerAddress)
    }
}

impl Links {
    pub(super) fn read(&mut self, key: &str, text: &str) -> Result<(), String> {
        match key {
            "uridnsbl_skip_domain" => {
                self.skipped.extend(text.split_ascii_whitespace().map(str::to_lowercase));
                return Ok(());
            }
            "clear_uridnsbl_skip_domain" if text.trim().is_empty() => {
                self.skipped.clear();
                return Ok(());
            }
            "clear_uridnsbl_skip_domain" => {
                for domain in text.split_ascii_whitespace() {
                    self.skipped.remove(&domain.to_lowercase());
                }
                return Ok(());
            }
            "uridnsbl_max_domains" => {
                let number = text.trim().parse().map_err(|_| format!("`{text}` is no number"))?;
                self.hosts_max = Some(number);
                return Ok(());
            }
            _ => {}
        }
        let by = match key {
            "urirhsbl" | "urirhssub" => By::Domain,
            "urinsrhsbl" | "urinsrhssub" => By::ServerDomain,
            "urifullnsrhsbl" | "urifullnsrhssub" => By::Server,
            _ => By::ServerAddress,
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

    /// The hosts that lists are asked about, with their domains; never those that rule files spare.
    pub(super) fn hosts(&self, view: &View<'_>) -> Vec<(String, String)> {
        let spared = |(host, domain): &(String, String)| {
            self.skipped.contains(host) || self.skipped.contains(domain)
        };
        let hosts = inputs::link_hosts(view).into_iter().filter(|one| !spared(one));
        hosts.take(self.hosts_max.unwrap_or(HOSTS_MAX).min(HOSTS_MAX)).collect()
    }

    /// What a rule asks; into `before` goes what must be known for it and is not.
    pub(super) fn questions(
        &self,
        rule: &LinkRule,
        view: &View<'_>,
        answers: &Answers,
        before: &mut Vec<Question>,
    ) -> Vec<(String, Question)> {
        let domains: BTreeSet<String> =
            self.hosts(view).into_iter().map(|(_, domain)| domain).collect();
        let mut fronts: BTreeSet<(String, String)> = BTreeSet::new();
        for domain in domains {
            if rule.by == By::Domain {
                fronts.insert((domain.clone(), domain));
                continue;
            }
            let question = Question::new(&domain, RecordKind::Ns);
            let Some(servers) = answers.get(&question) else {
                before.push(question);
                continue;
            };
            for server in servers.names().take(FOLLOWED_MAX) {
                match rule.by {
                    By::Domain | By::Server => {
                        fronts.insert((domain.clone(), server.to_owned()));
                    }
                    By::ServerDomain => {
                        fronts.insert((domain.clone(), inputs::registered(server)));
                    }
                    By::ServerAddress => {
                        let question = Question::new(server, RecordKind::A);
                        let Some(found) = answers.get(&question) else {
                            before.push(question);
                            continue;
                        };
                        let addresses = found.addresses().take(FOLLOWED_MAX);
                        fronts.extend(addresses.map(|one| (domain.clone(), reversed(one.into()))));
                    }
                }
            }
        }
        let question = |(about, front)| {
            let name = format!("{front}.{}", rule.zone);
            (about, Question::new(&name, rule.kind))
        };
        fronts.into_iter().map(question).collect()
    }
}
