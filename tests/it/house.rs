//! The rules of the house that the compiler does not know.

use std::path::{Path, PathBuf};

use crate::support::tamis::files_below;

const LINES_MAX: usize = 600;

/// Rooms that only think: they move no bytes, read no file and look at no clock, so that every case can be tried.
const PURE_ROOMS: [&str; 5] = ["mail", "mime", "filters", "smtp", "verdict.rs"];

/// What a pure room may not name.
const WORLD: [&str; 9] = [
    "tokio",
    "std::fs",
    "std::net::Tcp",
    "UnixStream",
    "Instant::now",
    "SystemTime::now",
    "Zoned::now",
    "Timestamp::now",
    "std::process",
];

/// Files in pure rooms that touch the world: the word they may name (empty: any), and why.
const EXCEPTIONS: [(&str, &str, &str); 6] = [
    ("smtp/inbound", "", "moves the octets of sessions with clients"),
    ("smtp/outbound", "", "moves the octets of sessions with next hops"),
    ("smtp/stream", "", "moves the octets of both"),
    ("filters/virus", "", "asks scanners, which are other programs"),
    ("filters/spam/run.rs", "Instant::now", "stops at the mail's deadline"),
    ("mime/budget.rs", "Instant::now", "stops at the mail's deadline"),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The files of `src` with their paths in it.
fn files() -> Vec<(String, String)> {
    let source = source();
    let files: Vec<(String, String)> = files_below(&source)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .map(|path| {
            let name = path.strip_prefix(&source).unwrap().display().to_string();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    assert!(files.len() > 10, "src was not found");
    files
}

/// The lines that are compiled into the program: no comments, and nothing from `mod tests` on.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("\n#[cfg(test)]\nmod ").map_or(text.len(), |at| {
        // Declarations of test modules in files of their own may stand anywhere.
        if text[at..].lines().nth(2).is_some_and(|line| line.ends_with(';')) {
            text.len()
        } else {
            at
        }
    });
    let lines = text[..end].lines().enumerate();
    lines.filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(at, line)| (at + 1, line))
}

#[test]
fn pure_rooms_name_nothing_of_the_world() {
    let mut bad = Vec::new();
    for (name, text) in files() {
        let pure = PURE_ROOMS.iter().any(|room| name.starts_with(room));
        if !pure || name.contains("tests") {
            continue;
        }
        let excepted = |found: &str| {
            EXCEPTIONS.iter().any(|(file, word, _)| {
                name.starts_with(file) && (word.is_empty() || *word == found)
            })
        };
        for (number, line) in code(&text) {
            for word in WORLD.iter().filter(|word| line.contains(*word) && !excepted(word)) {
                bad.push(format!("src/{name}:{number}: {word}: {}", line.trim()));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn the_exceptions_of_pure_rooms_are_needed() {
    let files = files();
    for (file, word, why) in EXCEPTIONS {
        let needed = files.iter().any(|(name, text)| name.starts_with(file) && text.contains(word));
        assert!(needed, "{file} ({why}) needs no exception");
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let of_tests = files_below(&tests).into_iter().map(|path| {
        (path.display().to_string(), std::fs::read_to_string(&path).unwrap_or_default())
    });
    let long: Vec<String> = files()
        .into_iter()
        .chain(of_tests)
        .filter(|(_, text)| text.lines().count() > LINES_MAX)
        .map(|(name, text)| format!("{name}: {} lines", text.lines().count()))
        .collect();
    assert!(long.is_empty(), "over {LINES_MAX} lines: {}", long.join(", "));
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> = files()
        .into_iter()
        // What a module's tests are for, the module says.
        .filter(|(name, _)| !name.ends_with("tests.rs"))
        .filter(|(_, text)| !text.lines().take(3).any(|line| line.starts_with("//! ")))
        .map(|(name, _)| name)
        .collect();
    assert!(silent.is_empty(), "no //! line in {}", silent.join(", "));
}

#[test]
fn nothing_is_unsafe() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(std::fs::read_to_string(manifest).unwrap().contains("unsafe_code = \"forbid\""));
}

/// The names in backticks of the last column of each table.
fn proofs(document: &str) -> Vec<String> {
    let rows = document.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let last = |row: &str| row.trim_end_matches('|').rsplit('|').next().unwrap_or("").to_owned();
    let names = |cell: String| -> Vec<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    rows.map(last).flat_map(names).collect()
}

#[test]
fn every_test_that_proves_something_of_attacks_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = std::fs::read_to_string(root.join("docs/attacks.md")).unwrap();
    let mut code: Vec<(String, String)> = files();
    for path in files_below(&root.join("tests")) {
        if path.extension().is_some_and(|end| end == "rs") {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            code.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
    let proofs = proofs(&document);
    assert!(proofs.len() > 150, "only {} proofs were found", proofs.len());
    let there = |proof: &String| {
        let (place, name) = proof.rsplit_once("::").unwrap_or(("", proof));
        let function = if name == "*" { "fn ".to_owned() } else { format!("fn {name}(") };
        let file = format!("tests/it/{place}.rs");
        let fits = |path: &str| place.is_empty() || path == file;
        code.iter().any(|(path, text)| fits(path) && text.contains(&function))
    };
    let missing: Vec<&String> = proofs.iter().filter(|proof| !there(proof)).collect();
    assert!(missing.is_empty(), "docs/attacks.md names tests that are not there: {missing:?}");
}
