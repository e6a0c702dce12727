//! Policies: `extends` worked in, and the policies made of the effective tree.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::build::{get, line, names, word};
use super::file::{Entry, Table, Value, find, merge};
use super::read;
use super::rules::rules;
use super::suggest::closest;
use super::{Policy, Thresholds};
use crate::filters::Mistake;
use crate::verdict::Action;

/// Works in `extends`: what a policy does not say comes from the one it names, but for `recipients`, or two policies
/// would claim the same ones.
pub(super) fn extend(tree: &mut Table, found: &mut Vec<Mistake>) {
    let mut written: BTreeMap<String, Table> = BTreeMap::new();
    if let Some(Value::Table(policies)) = find(tree, "policy").map(|node| &node.value) {
        for (name, Entry { node, .. }) in policies {
            if let Value::Table(policy) = &node.value {
                written.insert(name.clone(), policy.clone());
            }
        }
    }
    // The built-in one can be extended even if nobody wrote a word about it.
    written.entry("inbound".to_owned()).or_default();
    for name in names(tree, "policy") {
        let extended = extended(&name, &written, found);
        if let Some(Value::Table(policies)) =
            tree.get_mut("policy").map(|entry| &mut entry.node.value)
            && let Some(entry) = policies.get_mut(&name)
            && matches!(entry.node.value, Value::Table(_))
        {
            entry.node.value = Value::Table(extended);
        }
    }
}

/// One policy over all it extends, the farthest first.
fn extended(name: &str, written: &BTreeMap<String, Table>, found: &mut Vec<Mistake>) -> Table {
    let mut chain: Vec<&str> = vec![name];
    let mut at = name;
    while let Some(node) = written.get(at).and_then(|policy| find(policy, "extends")) {
        let Value::Text(parent) = &node.value else { break };
        if parent.is_empty() {
            break;
        }
        let Some((parent, _)) = written.get_key_value(parent) else {
            // Said once, by the policy that names it.
            if at == name {
                let what = format!("there is no policy `{}`", parent.escape_debug());
                found.push(node.origin.error(what, known(parent, written.keys())));
            }
            break;
        };
        if chain.contains(&parent.as_str()) {
            if at == name || parent == name {
                let what =
                    format!("`extends` goes round in a circle: {} → {parent}", chain.join(" → "));
                found.push(node.origin.error(what, "leave out one `extends`"));
            }
            break;
        }
        chain.push(parent);
        at = parent;
    }
    let mut policy = Table::new();
    for (distance, ancestor) in chain.iter().enumerate().rev() {
        let mut layer = written.get(*ancestor).cloned().unwrap_or_default();
        if distance > 0 {
            layer.remove("recipients");
            layer.remove("extends");
        }
        own_rules(&mut layer, ancestor);
        merge(&mut policy, layer);
    }
    policy
}

/// Marks rules with the policy they were written in, because an heir uses the set of its ancestor.
fn own_rules(layer: &mut Table, policy: &str) {
    if let Some(Value::Table(table)) =
        layer.get_mut("attachments").map(|entry| &mut entry.node.value)
        && let Some(rules) = table.get("rules").cloned()
    {
        let mut owner = rules.clone();
        owner.node.value = Value::Text(policy.to_owned());
        table.insert(OWNER.to_owned(), owner);
    }
}

/// A key of the effective tree only; the blank keeps it apart from all that can be written without quotes.
pub(super) const OWNER: &str = "rules of";

/// The hint for a policy that is not there.
pub(super) fn known<'a>(word: &str, names: impl Iterator<Item = &'a String> + Clone) -> String {
    let list = names.clone().map(String::as_str).collect::<Vec<_>>().join(", ");
    match closest(word, names.map(String::as_str)) {
        Some(near) => format!("did you mean \"{near}\"? known: {list}"),
        None => format!("known: {list}"),
    }
}

/// Every policy by name.
pub(super) fn policies(tree: &Table) -> Option<BTreeMap<String, Arc<Policy>>> {
    names(tree, "policy")
        .into_iter()
        .map(|name| Some((name.clone(), policy(tree, &name)?)))
        .collect()
}

const DMARC: [(&str, Action); 4] = [
    ("ignore", Action::Pass),
    ("tag", Action::Tag),
    ("quarantine", Action::Quarantine),
    ("reject", Action::Reject),
];

fn policy(tree: &Table, name: &str) -> Option<Arc<Policy>> {
    let path = |key: &str| format!("policy.{name}.{key}");
    let action = |key: &str| get(tree, &path(key), read::action);
    let threshold = |key: &str| get(tree, &path(key), |node, out| read::threshold(node, out, true));
    let rules = get(tree, &path("attachments.rules"), rules)?;
    let owner = match find(tree, &path(&format!("attachments.{OWNER}"))).map(|node| &node.value) {
        Some(Value::Text(owner)) => owner.as_str(),
        _ => name,
    };
    let own_set: Arc<str> = format!("policy.{owner}").into();
    Some(Arc::new(Policy {
        name: name.into(),
        recipients: get(tree, &path("recipients"), |n, out| read::list(n, out, read::recipient))?,
        virus: action("virus")?,
        banned: action("banned")?,
        ambiguous: action("ambiguous")?,
        incomplete: action("incomplete")?,
        encrypted: action("encrypted")?,
        over_limits: action("over_limits")?,
        malformed: action("malformed")?,
        denied: action("denied")?,
        dmarc: word(tree, &path("dmarc"), &DMARC)?,
        spam: Thresholds {
            tag_at: threshold("spam.tag_at")?,
            quarantine_at: threshold("spam.quarantine_at")?,
            reject_at: threshold("spam.reject_at")?,
        },
        message_bytes_max: get(tree, &path("message_size"), |node, out| {
            read::size(node, out, 0, u64::MAX)
        })?,
        subject_prefix: line(tree, &path("subject_prefix"))?,
        attachments: rules
            .sets
            .into_iter()
            .map(|set| set.unwrap_or_else(|| Arc::clone(&own_set)))
            .collect(),
        attachment_rules: if owner == name { rules.own } else { Vec::new() },
    }))
}
