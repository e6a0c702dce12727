//! Layers: defaults, `tamis.toml`, `conf.d/*.toml`, environment, command line; later ones win key by key.
//!
//! The crate `config` is not used: the layers of the environment and the command line need the table of keys to know
//! that `TAMIS_LIMITS__DEADLINE=60s` is text and `TAMIS_LIMITS__CONCURRENCY=8` is none, and every value must keep the
//! place it came from, which that crate drops.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{Entry, Node, Origin, Table, Value, merge, parse_file, parse_value, set};
use super::mistakes::{Mistakes, Sources};
use super::suggest::closest;
use super::{Config, build, check, schema};
use crate::filters::{Mistake, Severity};

/// The file that is read if none is named; it need not exist.
pub const DEFAULT_FILE: &str = "/etc/tamis/tamis.toml";

/// The commented file with every key and its default.
pub const DEFAULT_TEXT: &str = include_str!("../../conf/tamis.toml");

/// Octets of one file; a configuration is never this long.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What to load.
#[derive(Debug, Clone)]
pub struct Request {
    /// The main file; `conf.d` is looked for beside it.
    pub file: PathBuf,
    /// Whether it is a mistake that the file does not exist.
    pub must_exist: bool,
    /// Variables of the environment; those that do not begin with `TAMIS_` are skipped.
    pub environment: Vec<(String, String)>,
    /// `key=value`, from the command line.
    pub flags: Vec<String>,
}

impl Request {
    /// The file named on the command line, or [`DEFAULT_FILE`], with the environment of this process.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<String>) -> Self {
        let environment = std::env::vars_os()
            .filter(|(name, _)| name.as_encoded_bytes().starts_with(b"TAMIS_"))
            .map(|(name, value)| {
                (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
            })
            .collect();
        let must_exist = file.is_some();
        let file = file.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        Self { file, must_exist, environment, flags }
    }
}

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// As meant.
    pub config: Config,
    /// What may not be as the writer thinks.
    pub warnings: Vec<Mistake>,
    /// Every value as written, with where it came from.
    pub origins: Origins,
    /// The texts of the files, to show mistakes in them.
    pub sources: Sources,
}

/// Every effective value as written, with where it came from.
#[derive(Debug, Clone)]
pub struct Origins {
    pub(super) tree: Table,
}

impl Origins {
    /// Where the value at this path came from: `policy.inbound.spam.tag_at`.
    #[must_use]
    pub fn of(&self, path: &str) -> Option<Origin> {
        super::file::find(&self.tree, path).map(|node| node.origin.clone())
    }
}

/// Reads files, environment and flags.
///
/// # Errors
/// Every mistake at once, warnings among them.
pub fn load(request: &Request) -> Result<Loaded, Mistakes> {
    let mut found = Vec::new();
    let mut files = Vec::new();
    for (path, must_exist) in paths(request, &mut found) {
        let name: Arc<str> = path.display().to_string().into();
        match read(&path) {
            Ok(bytes) => files.push((name, bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {}
            Err(error) => {
                found.push(whole_file(name, format!("cannot be read: {error}"), Severity::Error));
            }
        }
    }
    finish(files, &request.environment, &request.flags, found)
}

/// [`load`] without a disk: files by name and content, lowest layer first.
///
/// # Errors
/// As [`load`].
pub fn load_texts(
    files: Vec<(Arc<str>, Vec<u8>)>,
    environment: &[(String, String)],
    flags: &[String],
) -> Result<Loaded, Mistakes> {
    finish(files, environment, flags, Vec::new())
}

fn finish(
    files: Vec<(Arc<str>, Vec<u8>)>,
    environment: &[(String, String)],
    flags: &[String],
    mut found: Vec<Mistake>,
) -> Result<Loaded, Mistakes> {
    let mut tree = Table::new();
    let mut sources = Sources::default();
    for (name, bytes) in files {
        let mut layer = parse_file(&name, &bytes, &mut found);
        sources.add(name, bytes);
        add_layer(&mut tree, &mut layer, &mut found);
    }
    for mut layer in [environment_layer(environment, &mut found), flags_layer(flags, &mut found)] {
        add_layer(&mut tree, &mut layer, &mut found);
    }
    let readable = !found.iter().any(|mistake| mistake.severity == Severity::Error);
    let (tree, config) = build::build(tree, readable, &mut found);
    let failed = found.iter().any(|mistake| mistake.severity == Severity::Error);
    match config {
        Some(config) if !failed => {
            let warnings = Mistakes::new(found, sources.clone()).list;
            Ok(Loaded { config, warnings, origins: Origins { tree }, sources })
        }
        _ => Err(Mistakes::new(found, sources)),
    }
}

fn add_layer(tree: &mut Table, layer: &mut Table, found: &mut Vec<Mistake>) {
    lengthen_attachments(layer);
    check::check(layer, found);
    merge(tree, std::mem::take(layer));
}

/// `attachments = [...]` is short for `attachments = { rules = [...] }`.
fn lengthen_attachments(layer: &mut Table) {
    let Some(Value::Table(policies)) = layer.get_mut("policy").map(|entry| &mut entry.node.value)
    else {
        return;
    };
    for policy in policies.values_mut() {
        let Value::Table(policy) = &mut policy.node.value else { continue };
        let Some(entry) = policy.get_mut("attachments") else { continue };
        if matches!(entry.node.value, Value::List(_)) {
            let origin = entry.node.origin.clone();
            let list = std::mem::replace(&mut entry.node.value, Value::Table(Table::new()));
            let node = Node { value: list, origin };
            let inner = Entry { key: entry.key.clone(), node };
            entry.node.value = Value::Table(BTreeMap::from([("rules".to_owned(), inner)]));
        }
    }
}

/// The main file, then the files of `conf.d` in the order of their names; whether each must exist.
fn paths(request: &Request, found: &mut Vec<Mistake>) -> Vec<(PathBuf, bool)> {
    let mut paths = vec![(request.file.clone(), request.must_exist)];
    let folder = request.file.parent().unwrap_or(Path::new("")).join("conf.d");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => {
            let no_folder = error.kind() == std::io::ErrorKind::NotADirectory;
            if error.kind() == std::io::ErrorKind::NotFound || (no_folder && !folder.exists()) {
                return paths;
            }
            let what = if no_folder {
                "is no folder: settings are read from files NAME.toml in a folder of that name"
                    .to_owned()
            } else {
                format!("cannot be read: {error}")
            };
            let name = folder.display().to_string().into();
            found.push(whole_file(name, what, Severity::Error));
            return paths;
        }
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    for path in files {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push((path, true));
        } else if !hidden {
            let name = path.display().to_string().into();
            let what = "is not read: only names that end in .toml are".to_owned();
            found.push(whole_file(name, what, Severity::Warning));
        }
    }
    paths
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    crate::plain_file::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other("longer than any configuration (4 MiB)"));
    }
    Ok(bytes)
}

fn whole_file(file: Arc<str>, what: String, severity: Severity) -> Mistake {
    Mistake { file, line: 0, column: 0, what, hint: String::new(), severity }
}

/// `TAMIS_LISTENER__CONTENT_FILTER__LISTEN=…`: two underscores between levels.
fn environment_layer(variables: &[(String, String)], found: &mut Vec<Mistake>) -> Table {
    let mut layer = Table::new();
    let mut variables: Vec<_> = variables.iter().collect();
    variables.sort();
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix("TAMIS_") else { continue };
        let origin = Origin::Environment(name.as_str().into());
        let mut path = rest.to_ascii_lowercase().replace("__", ".");
        // Names of rules are written in capitals, and stay so.
        if path.starts_with("spam.points.") {
            path =
                format!("spam.points.{}", rest.get("SPAM__POINTS__".len()..).unwrap_or_default());
        }
        if !path.contains('.') && schema::pattern(&path).is_none() {
            // A container's surroundings set variables of their own (TAMIS_PORT, TAMIS_SERVICE_HOST): without two
            // underscores, only what looks like a slip of the finger stops the start.
            let what = format!("no key is meant by {name}");
            found.push(match closest(&path, schema::children("")) {
                Some(near) => {
                    origin.error(what, format!("did you mean TAMIS_{}?", near.to_ascii_uppercase()))
                }
                None => origin.warning(what, "it is not used"),
            });
            continue;
        }
        insert(&mut layer, &path, text, &origin);
    }
    layer
}

/// `key=value`, as often as wanted.
fn flags_layer(flags: &[String], found: &mut Vec<Mistake>) -> Table {
    let mut layer = Table::new();
    for flag in flags {
        match flag.split_once('=') {
            Some((key, text)) => {
                let key = key.trim();
                insert(&mut layer, key, text, &Origin::Flag(key.into()));
            }
            None => {
                let hint = "write key=value, for example log.level=debug";
                found.push(Origin::Flag(flag.as_str().into()).error("a value is missing", hint));
            }
        }
    }
    layer
}

/// Puts a value into a layer: a plain text is made what the key takes.
fn insert(layer: &mut Table, path: &str, text: &str, origin: &Origin) {
    let pattern = schema::pattern(path);
    let kind = pattern.as_deref().and_then(schema::exact).map(|key| key.kind);
    let toml = || parse_value(text.trim(), origin);
    let plain = || Node { value: Value::Text(text.to_owned()), origin: origin.clone() };
    let is_list = kind.is_some_and(schema::Kind::is_list)
        || pattern.as_deref() == Some("policy.*.attachments");
    let node = if is_list && (text == "system" || text == "$header_checks") {
        plain()
    } else if is_list && !text.trim_start().starts_with(['[', '{']) {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let item =
            |item: &str| Node { value: Value::Text(item.to_owned()), origin: origin.clone() };
        Node { value: Value::List(items.map(item).collect()), origin: origin.clone() }
    } else if is_list || kind.is_none_or(schema::Kind::is_bare) || text.starts_with(['"', '\'']) {
        toml().unwrap_or_else(plain)
    } else {
        plain()
    };
    // Deeper paths than any key has would only nest tables.
    let segments: Vec<&str> = path.splitn(8, '.').collect();
    set(layer, &segments, node);
}
