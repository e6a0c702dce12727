//! The texts of `tamis config show` and `tamis config explain`, and the commented file they agree with.

use serde_json::json;

use super::file::{Node, Table, Value};
use super::load::Loaded;
use super::schema::{KEYS, Key, NAMED, children, exact, is_section, join, pattern};
use super::suggest::closest;

/// The effective values as TOML that loads to the same configuration; with `with_origin`, a comment behind each says
/// where it came from.
#[must_use]
pub fn show(loaded: &Loaded, with_origin: bool) -> String {
    let mut text = String::new();
    let mut section = String::new();
    for (path, node) in leaves(&loaded.origins.tree) {
        let (table, key) = path.rsplit_once('.').unwrap_or(("", &path));
        if table != section {
            let gap = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{gap}[{table}]\n"));
            table.clone_into(&mut section);
        }
        let origin = if with_origin {
            format!("  # {}", plain(&node.origin.to_string()))
        } else {
            String::new()
        };
        text.push_str(&format!("{} = {}{origin}\n", quoted(key), node.to_toml()));
    }
    text
}

/// The same as a JSON list of `{"key", "value", "origin"}`.
#[must_use]
pub fn show_json(loaded: &Loaded) -> serde_json::Value {
    let entry = |(path, node): (String, &Node)| json!({ "key": path, "value": node.to_toml(), "origin": node.origin.to_string() });
    leaves(&loaded.origins.tree).into_iter().map(entry).collect()
}

/// What a key or a section means, its kind and its default. Names chosen by the writer may stand in the key, or `*`.
///
/// # Errors
/// A key that is not known; the text suggests another.
pub fn explain(key: &str) -> Result<String, String> {
    let asked = key.trim().replace("NAME", "*");
    let Some(pattern) = pattern(&asked) else {
        return Err(unknown(key.trim()));
    };
    if let Some(known) = exact(&pattern) {
        return Ok(explain_key(known, &asked));
    }
    let mut text = format!("[{}]\n", asked.replace('*', "NAME"));
    for known in KEYS.iter().filter(|known| known.path.starts_with(&format!("{pattern}."))) {
        let rest = known.path.get(pattern.len() + 1..).unwrap_or_default();
        text.push_str(&format!("  {}\n      {}\n", rest.replace('*', "NAME"), known.about));
    }
    Ok(text)
}

fn explain_key(key: &Key, asked: &str) -> String {
    let named = NAMED.iter().find(|(path, _)| *path == asked).map(|(_, default)| *default);
    let default = match named.unwrap_or(key.default) {
        "" => "none".to_owned(),
        default if default.contains("STATE/") => format!("{default}, where STATE is state_dir"),
        default => default.to_owned(),
    };
    let name = asked.replace('*', "NAME");
    // Names with a dash cannot be said by the environment; the form is shown all the same.
    let variable = if asked.starts_with("spam.points.") {
        name.replacen("spam.points.", "SPAM__POINTS__", 1)
    } else {
        name.replace('.', "__").to_ascii_uppercase()
    };
    format!(
        "{name}\n  {}\n\n  kind         {}\n  default      {default}\n  environment  TAMIS_{variable}\n",
        key.about,
        key.kind.describe()
    )
}

fn unknown(key: &str) -> String {
    let near = closest_path(key).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    let shown: String = key.chars().take(80).collect();
    format!("there is no key `{}`{near}", shown.escape_debug())
}

/// The nearest key: by its last word anywhere, or step by step.
fn closest_path(key: &str) -> Option<String> {
    let last = key.rsplit('.').next().unwrap_or(key);
    let same = KEYS.iter().find(|known| known.path.rsplit('.').next() == Some(last));
    if let Some(known) = same {
        return Some(known.path.replace('*', "NAME"));
    }
    let mut path = String::new();
    for segment in key.split('.').take(8) {
        let known = children(&path);
        let next = if known.contains(&"*") { "*" } else { closest(segment, known)? };
        path = join(&path, next);
        if exact(&path).is_some() || !is_section(&path) {
            break;
        }
    }
    (!path.is_empty()).then(|| path.replace('*', "NAME"))
}

/// Every value with its path, plain keys before tables, in the order of the table of keys.
fn leaves(tree: &Table) -> Vec<(String, &Node)> {
    let mut all = Vec::new();
    collect(tree, "", &mut all);
    let rank = |path: &str| {
        let at = |pattern: &str| KEYS.iter().position(|key| key.path == pattern);
        pattern(path).and_then(|pattern| at(&pattern)).unwrap_or(KEYS.len())
    };
    let section = |path: &str| path.rsplit_once('.').map_or("", |(section, _)| section).to_owned();
    // Tables stay in the order of their first key; the name decides between tables of one kind.
    let first = |path: &str| {
        let own = pattern(&section(path)).unwrap_or_default();
        KEYS.iter()
            .position(|key| key.path.rsplit_once('.').map_or("", |(section, _)| section) == own)
            .unwrap_or(KEYS.len())
    };
    all.sort_by_cached_key(|(path, _)| (first(path), section(path), rank(path)));
    all
}

fn collect<'a>(table: &'a Table, path: &str, all: &mut Vec<(String, &'a Node)>) {
    for (name, entry) in table {
        let below = join(path, name);
        let known = pattern(&below);
        let section = known.as_deref().is_some_and(is_section);
        if let Value::Table(inner) = &entry.node.value
            && section
        {
            collect(inner, &below, all);
        } else if known.as_deref().and_then(exact).is_some() {
            // Keys of our own bookkeeping are no keys of the table.
            all.push((below, &entry.node));
        }
    }
}

/// Comments end at a line end; a file name may hold one.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn quoted(key: &str) -> String {
    if key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        && !key.is_empty()
    {
        key.to_owned()
    } else {
        toml::Value::String(key.to_owned()).to_string()
    }
}

/// `conf/tamis.toml` as it must be: every key with its default as a comment, and why one would change it.
#[cfg(test)]
pub(super) fn document() -> String {
    let mut text = String::from(HEAD);
    let section = |key: &Key| key.path.rsplit_once('.').map_or("", |(section, _)| section);
    for group in KEYS.chunk_by(|a, b| section(a) == section(b)) {
        let Some(pattern) = group.first().map(section) else { continue };
        let examples: &[&str] = match pattern.split('.').next() {
            Some("listener") => &["content_filter", "proxy_filter"],
            Some("scanner") => &["clamav", "builtin"],
            Some("engine") => &["spamassassin", "rspamd"],
            Some("policy") => &["inbound"],
            _ => &["*"],
        };
        for (at, name) in examples.iter().enumerate() {
            let table = pattern.replace('*', name);
            if !table.is_empty() {
                text.push_str(&format!("\n[{table}]\n"));
            }
            for key in group {
                let last = key.path.rsplit('.').next().unwrap_or_default();
                let path = join(&table, last);
                let named = NAMED.iter().find(|(named, _)| *named == path);
                // The second example of a kind shows only what differs.
                if at > 0 && named.is_none() {
                    continue;
                }
                let mut default = named.map_or(key.default, |(_, default)| default).to_owned();
                default = default.replace("STATE/", "/var/lib/tamis/");
                let about = if at > 0 { String::new() } else { wrapped(key.about) };
                text.push_str(&about);
                if last != "*" {
                    text.push_str(&format!("#{last} = {default}\n"));
                }
            }
        }
    }
    text
}

#[cfg(test)]
const HEAD: &str = "\
# Configuration of Tamis. The file may be empty: every value here is the default, and every line but the section
# headers is a comment. To change a value, take the # off its line.
#
# Check: tamis check    One key: tamis config explain policy.inbound.spam    Effective: tamis config show --origin
# Later ones win key by key, lists replace: this file, conf.d/*.toml, TAMIS_SECTION__KEY=value, the command line.
# Sizes have units: KB, MB, GB count in thousands, KiB, MiB, GiB in 1024s. So have times: ms, s, m (minutes), h, d.

";

#[cfg(test)]
fn wrapped(about: &str) -> String {
    let mut text = String::new();
    let mut line = String::from("#");
    for word in about.split(' ') {
        if line.chars().count() + word.chars().count() > 110 {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text + &line + "\n"
}
