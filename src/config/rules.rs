//! Attachment rules of a policy: names of sets, and rules written out.

use std::sync::Arc;

use super::AttachmentRule;
use super::file::{Node, Origin, Table, Value};
use super::read::{Mistakes, action, line, refuse, text};
use super::suggest::closest;

/// What stands in `attachments.rules`.
#[derive(Debug, PartialEq)]
pub(super) struct Rules {
    /// Names of sets; where the policy's own rules stand among them, `None`.
    pub sets: Vec<Option<Arc<str>>>,
    /// The policy's own rules.
    pub own: Vec<AttachmentRule>,
}

/// Reads the list. Rules of the policy's own must stand together, because they become one set with one place in the
/// order.
pub(super) fn rules(node: &Node, out: &mut Mistakes) -> Option<Rules> {
    let Value::List(items) = &node.value else {
        return refuse(node, out, "a list of rules", "write for example [\"default\"]");
    };
    let mut rules = Rules { sets: Vec::new(), own: Vec::new() };
    let mut complete = true;
    for item in items {
        if let Value::Table(table) = &item.value {
            if rules.sets.contains(&None) && rules.sets.last() != Some(&None) {
                out.push(item.origin.error(
                    "rules of the policy's own must stand together",
                    "move the names of sets before or behind them",
                ));
                complete = false;
            } else if rules.sets.last() != Some(&None) {
                rules.sets.push(None);
            }
            match rule(item, table, out) {
                Some(rule) => rules.own.push(rule),
                None => complete = false,
            }
        } else {
            match text(item, out, "the name of a rule set or a rule", "default") {
                Some(name) => rules.sets.push(Some(name.into())),
                None => complete = false,
            }
        }
    }
    complete.then_some(rules)
}

fn rule(item: &Node, table: &Table, out: &mut Mistakes) -> Option<AttachmentRule> {
    const KNOWN: [&str; 3] = ["match", "action", "reply"];
    let before = out.len();
    for (key, entry) in table {
        if !KNOWN.contains(&key.as_str()) {
            let near = closest(key, KNOWN)
                .map_or(String::new(), |near| format!("did you mean `{near}`? "));
            let hint = format!("{near}known keys here: match, action, reply");
            out.push(
                entry.key.error(format!("unknown key `{}` in a rule", key.escape_debug()), hint),
            );
        }
    }
    let field = |name: &str| table.get(name).map(|entry| &entry.node);
    let matches = match field("match") {
        Some(node) => line(node, out),
        None => {
            out.push(item.origin.error("a rule without `match`", "write match = \"name:*.iso\""));
            None
        }
    };
    let action = match field("action") {
        Some(node) => action(node, out),
        None => {
            out.push(item.origin.error("a rule without `action`", "write action = \"quarantine\""));
            None
        }
    };
    let reply = field("reply").and_then(|node| line(node, out));
    if out.len() > before {
        return None;
    }
    let (file, line): (Arc<str>, u32) = match &item.origin {
        Origin::File { file, line, .. } => (Arc::clone(file), *line),
        other @ (Origin::Default | Origin::Environment(_) | Origin::Flag(_)) => {
            (other.to_string().into(), 0)
        }
    };
    let action = action.filter(|action| *action != crate::verdict::Action::Pass);
    Some(AttachmentRule { matches: matches?, action, reply, file, line })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::parse_value;
    use crate::verdict::Action;

    fn read(text: &str) -> (Option<Rules>, Vec<String>) {
        let mut out = Vec::new();
        let rules = rules(&parse_value(text, &Origin::Default).expect(text), &mut out);
        (rules, out.into_iter().map(|mistake| mistake.what).collect())
    }

    #[test]
    fn names_and_rules_keep_their_order() {
        let (rules, _) = read(
            r#"["a", {match = "name:*.iso", action = "reject", reply = "no"}, {match = "is:macro", action = "pass"}, "b"]"#,
        );
        let rules = rules.expect("it is right");
        assert_eq!(rules.sets, [Some("a".into()), None, Some("b".into())]);
        assert_eq!(rules.own[0].action, Some(Action::Reject));
        assert_eq!(rules.own[1].action, None);
    }

    #[test]
    fn mistakes_in_rules_are_named() {
        for (text, want) in [
            (r#"[{match = "x"}]"#, "a rule without `action`"),
            (r#"[{action = "tag"}]"#, "a rule without `match`"),
            (r#"[{match = "x", action = "tag", replay = "x"}]"#, "unknown key `replay` in a rule"),
            (
                r#"[{match = "x", action = "tag"}, "a", {match = "y", action = "tag"}]"#,
                "rules of the policy's own must stand together",
            ),
            ("\"default\"", "`default` is not a list of rules"),
            ("[1]", "`1` is not the name of a rule set or a rule"),
        ] {
            let (rules, mistakes) = read(text);
            assert_eq!((rules, mistakes), (None, vec![want.to_owned()]), "{text}");
        }
    }
}
