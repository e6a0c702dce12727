//! Which policy holds for a recipient, and which recipients are ours.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Config, Policy};

/// Finds policies by recipient, the most specific pattern first, in amavis' order of lookup keys.
#[derive(Debug, Clone, Default)]
pub struct Chooser {
    by_pattern: HashMap<String, Arc<Policy>>,
}

impl Chooser {
    /// For all policies of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let by_pattern = config
            .policies
            .values()
            .flat_map(|policy| policy.recipients.iter().map(move |pattern| (pattern, policy)))
            .map(|(pattern, policy)| {
                let key = pattern.strip_prefix("*@").unwrap_or(pattern);
                (key.to_lowercase(), Arc::clone(policy))
            })
            .collect();
        Self { by_pattern }
    }

    /// The policy of that address, if a pattern claims it.
    #[must_use]
    pub fn find(&self, address: &str) -> Option<&Arc<Policy>> {
        if self.by_pattern.is_empty() {
            return None;
        }
        keys(address).iter().find_map(|key| self.by_pattern.get(key))
    }
}

/// `user+ext@sub.example.com`, `user@sub.example.com`, `user+ext@`, `user@`, `sub.example.com`, `.sub.example.com`,
/// `.example.com`, `.com`, `.`.
fn keys(address: &str) -> Vec<String> {
    let address = address.to_lowercase();
    let (local, domain) = address.rsplit_once('@').unwrap_or((address.as_str(), ""));
    let mut keys = vec![address.clone()];
    let plain = local.split_once('+').map(|(user, _)| user);
    keys.extend(plain.map(|user| format!("{user}@{domain}")));
    keys.push(format!("{local}@"));
    keys.extend(plain.map(|user| format!("{user}@")));
    keys.extend(domain_keys(domain));
    keys
}

fn domain_keys(domain: &str) -> Vec<String> {
    let mut keys = vec![domain.to_owned(), format!(".{domain}")];
    // A name has at most 127 labels; a stranger's may have more.
    let mut rest = domain;
    for _ in 0..127 {
        let Some((_, parent)) = rest.split_once('.') else { break };
        keys.push(format!(".{parent}"));
        rest = parent;
    }
    keys.push(".".to_owned());
    keys
}

/// True if the recipient is one of ours: his domain is listed, or none is.
#[must_use]
pub fn is_local(local_domains: &[String], address: &str) -> bool {
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain).to_lowercase();
    local_domains.is_empty()
        || domain.is_empty()
        || domain_keys(&domain)
            .iter()
            .any(|key| local_domains.iter().any(|known| known.eq_ignore_ascii_case(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_pattern_wins() {
        assert_eq!(
            keys("User+foo@Sub.Example.com"),
            [
                "user+foo@sub.example.com",
                "user@sub.example.com",
                "user+foo@",
                "user@",
                "sub.example.com",
                ".sub.example.com",
                ".example.com",
                ".com",
                "."
            ]
        );
    }

    #[test]
    fn a_domain_with_a_dot_in_front_means_all_below_it() {
        let domains = ["example.org".to_owned(), ".example.net".to_owned()];
        for (address, local) in [
            ("a@example.org", true),
            ("a@sub.example.org", false),
            ("a@EXAMPLE.net", true),
            ("a@b.example.net", true),
            ("a@other.test", false),
            ("postmaster", true),
        ] {
            assert_eq!(is_local(&domains, address), local, "{address}");
        }
        assert!(is_local(&[], "a@b"));
    }
}
