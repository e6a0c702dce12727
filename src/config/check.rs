//! Holds a layer against the table of keys: unknown keys, and values of the wrong kind.

use super::file::{Table, Value};
use super::schema::{NAMED_SECTIONS, children, exact, join, step};
use super::suggest::closest;
use crate::filters::Mistake;

/// Says every mistake in a layer.
pub(super) fn check(layer: &Table, found: &mut Vec<Mistake>) {
    check_table(layer, "", "", found);
}

/// Goes down only where keys are known, so it is never deeper than the longest key.
fn check_table(table: &Table, pattern: &str, path: &str, found: &mut Vec<Mistake>) {
    for (name, entry) in table {
        let Some(below) = step(pattern, name) else {
            found.push(entry.key.error(unknown(name, path), hint(name, pattern)));
            continue;
        };
        let real = join(path, name);
        if let Some(key) = exact(&below) {
            key.kind.check(&entry.node, found);
            continue;
        }
        if NAMED_SECTIONS.contains(&pattern) && !is_name(name) {
            let what = format!("`{}` is not a name", short(name));
            found.push(entry.key.error(what, "letters, digits, - and _ are possible; 64 at most"));
            continue;
        }
        if let Value::Table(inner) = &entry.node.value {
            check_table(inner, &below, &real, found);
            continue;
        }
        let example = children(&below).first().copied().unwrap_or_default();
        let hint = match NAMED_SECTIONS.iter().find(|section| **section == pattern) {
            Some(section) => format!("tables here have names: write [{section}.NAME] above it"),
            None if example == "*" => format!("write [{real}.NAME]"),
            None => format!("write [{real}] and below it for example {example} = …"),
        };
        found.push(entry.node.origin.error(format!("`{real}` is a table"), hint));
    }
}

fn unknown(name: &str, path: &str) -> String {
    let name = short(name);
    if path.is_empty() {
        format!("unknown key `{name}`")
    } else {
        format!("unknown key `{name}` in [{path}]")
    }
}

fn hint(name: &str, pattern: &str) -> String {
    let known = children(pattern);
    let list = format!("known keys here: {}", known.join(", "));
    if let Some(near) = closest(name, known.iter().copied()) {
        return format!("did you mean `{near}`? {list}");
    }
    let elsewhere = super::schema::KEYS.iter().find_map(|key| {
        let (section, last) = key.path.rsplit_once('.')?;
        (last == name).then(|| section.replace('*', "NAME"))
    });
    match elsewhere {
        Some(section) => format!("it belongs into [{section}]; {list}"),
        None => list,
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn short(name: &str) -> String {
    name.chars().take(60).collect::<String>().escape_debug().to_string()
}
