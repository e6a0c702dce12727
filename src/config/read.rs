//! One function for each kind of value: as written → as meant, or a mistake that says what to write.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::file::{Node, Value};
use super::suggest::closest;
use super::units::{format_duration, format_size, parse_duration, parse_size};
use crate::filters::{Mistake, Score};
use crate::verdict::Action;

/// Where mistakes are gathered.
pub(super) type Mistakes = Vec<Mistake>;

/// Says at the node's place what it is not and what to write.
pub(super) fn refuse<T>(
    node: &Node,
    out: &mut Mistakes,
    is_no: &str,
    hint: impl Into<String>,
) -> Option<T> {
    out.push(node.origin.error(format!("{} is not {is_no}", node.describe()), hint));
    None
}

/// Any text; `what` and `example` are for the mistake.
pub(super) fn text<'a>(
    node: &'a Node,
    out: &mut Mistakes,
    what: &str,
    example: &str,
) -> Option<&'a str> {
    match &node.value {
        Value::Text(text) => Some(text),
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::List(_)
        | Value::Table(_)
        | Value::Other(_) => refuse(node, out, what, format!("write for example \"{example}\"")),
    }
}

/// One of a list of words; those of `unbuilt` are kept for later.
pub(super) fn word<'a>(
    node: &'a Node,
    out: &mut Mistakes,
    words: &[&str],
    unbuilt: &[&str],
) -> Option<&'a str> {
    let all = words.join("\", \"");
    let word = text(node, out, "one of the words known here", words.first().unwrap_or(&""))?;
    if words.contains(&word) {
        return Some(word);
    }
    if unbuilt.contains(&word) {
        out.push(
            node.origin.error(format!("\"{word}\" is not built yet"), format!("known: \"{all}\"")),
        );
        return None;
    }
    let hint = match closest(word, words.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"? known: \"{all}\""),
        None => format!("known: \"{all}\""),
    };
    refuse(node, out, "a word known here", hint)
}

pub(super) fn boolean(node: &Node, out: &mut Mistakes) -> Option<bool> {
    match node.value {
        Value::Boolean(value) => Some(value),
        Value::Text(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::List(_)
        | Value::Table(_)
        | Value::Other(_) => {
            refuse(node, out, "a yes or no", "write true or false, without quotes")
        }
    }
}

/// A whole number within bounds.
pub(super) fn count(node: &Node, out: &mut Mistakes, min: u64, max: u64) -> Option<u64> {
    let Value::Integer(number) = node.value else {
        let written = as_text(node).map(str::trim).filter(|text| text.parse::<u64>().is_ok());
        let hint = match written {
            Some(number) => format!("write {number} without quotes"),
            None => format!("write for example {min}, without quotes"),
        };
        return refuse(node, out, "a whole number", hint);
    };
    match u64::try_from(number) {
        Ok(number) if (min..=max).contains(&number) => Some(number),
        _ => {
            let hint = format!("{min} to {max} are possible");
            out.push(node.origin.error(format!("`{number}` is out of bounds"), hint));
            None
        }
    }
}

/// [`count`] for numbers kept as `usize`.
pub(super) fn small_count(node: &Node, out: &mut Mistakes, min: u64, max: u64) -> Option<usize> {
    usize::try_from(count(node, out, min, max)?).ok()
}

pub(super) fn size(node: &Node, out: &mut Mistakes, min: u64, max: u64) -> Option<u64> {
    let Some(written) = with_unit(node) else {
        return refuse(node, out, "a size", "write for example \"10MB\"");
    };
    match parse_size(&written) {
        Err(hint) => refuse(node, out, "a size", hint),
        Ok(octets) if (min..=max).contains(&octets) => Some(octets),
        Ok(_) => {
            let hint = format!("\"{}\" to \"{}\" are possible", format_size(min), format_size(max));
            out.push(node.origin.error(format!("{} is out of bounds", node.describe()), hint));
            None
        }
    }
}

pub(super) fn duration(
    node: &Node,
    out: &mut Mistakes,
    min: Duration,
    max: Duration,
) -> Option<Duration> {
    let Some(written) = with_unit(node) else {
        return refuse(node, out, "a time", "write for example \"30s\"");
    };
    match parse_duration(&written) {
        Err(hint) => refuse(node, out, "a time", hint),
        Ok(time) if (min..=max).contains(&time) => Some(time),
        Ok(_) => {
            let hint = format!(
                "\"{}\" to \"{}\" are possible",
                format_duration(min),
                format_duration(max)
            );
            out.push(node.origin.error(format!("{} is out of bounds", node.describe()), hint));
            None
        }
    }
}

/// What a size or a time is read from. A bare number gets the same complaint with and without quotes.
fn with_unit(node: &Node) -> Option<String> {
    if let Value::Integer(number) = node.value {
        return Some(number.to_string());
    }
    as_text(node).map(str::to_owned)
}

fn as_text(node: &Node) -> Option<&str> {
    if let Value::Text(text) = &node.value { Some(text) } else { None }
}

/// Points of a rule: any number.
pub(super) fn points(node: &Node, out: &mut Mistakes) -> Option<Score> {
    let number = match node.value {
        Value::Integer(number) => number as f64,
        Value::Float(number) => number,
        Value::Text(_) | Value::Boolean(_) | Value::List(_) | Value::Table(_) | Value::Other(_) => {
            return refuse(
                node,
                out,
                "a number of points",
                "write for example 3.0, without quotes",
            );
        }
    };
    match Score::from_f64(number) {
        Some(score) => Some(score),
        None => refuse(node, out, "a number of points", "-1000000 to 1000000 are possible"),
    }
}

/// A threshold of points; the inner `None` is "never".
pub(super) fn threshold(node: &Node, out: &mut Mistakes, zero: bool) -> Option<Option<Score>> {
    if let Value::Text(word) = &node.value {
        if word == "never" {
            return Some(None);
        }
        let hint = match word.trim().parse::<f64>() {
            Ok(_) => format!("write {} without quotes", word.trim()),
            Err(_) => "write a number, for example 5.0, or \"never\"".to_owned(),
        };
        return refuse(node, out, "a threshold", hint);
    }
    if matches!(node.value, Value::Boolean(_)) {
        return refuse(node, out, "a threshold", "write a number, for example 5.0, or \"never\"");
    }
    let score = points(node, out)?;
    if score < Score(0) || (score == Score(0) && !zero) {
        let hint = "write \"never\" if it shall never be reached";
        return refuse(node, out, "a threshold", hint);
    }
    Some(Some(score))
}

/// An action by its name.
pub(super) fn action(node: &Node, out: &mut Mistakes) -> Option<Action> {
    const WORDS: [&str; 6] = ["pass", "tag", "quarantine", "reject", "discard", "defer"];
    word(node, out, &WORDS, &["bounce"]).and_then(Action::from_name)
}

/// An absolute path; a relative one is taken from the folder of the file it stands in.
pub(super) fn path(node: &Node, out: &mut Mistakes) -> Option<PathBuf> {
    let written = text(node, out, "a path", "/etc/tamis/allow.list")?;
    path_of(node, out, written)
}

/// As [`path`], for the part of a value that is one.
pub(super) fn path_of(node: &Node, out: &mut Mistakes, written: &str) -> Option<PathBuf> {
    if written.trim().is_empty() || written.contains('\0') {
        return refuse(node, out, "a path", "write for example \"/etc/tamis/allow.list\"");
    }
    if let Some((kind, rest)) = written.split_once(":/")
        && kind.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        let hint = format!("write the path alone: \"/{}\"", rest.trim_start_matches('/'));
        return refuse(node, out, "a path", hint);
    }
    let written = Path::new(written);
    Some(match node.origin.folder() {
        Some(folder) => folder.join(written),
        None => written.to_owned(),
    })
}

/// A list, each item read by `item`; one text alone counts as a list of one only on the command line and in the
/// environment, which are turned into lists before.
pub(super) fn list<T>(
    node: &Node,
    out: &mut Mistakes,
    item: impl Fn(&Node, &mut Mistakes) -> Option<T>,
) -> Option<Vec<T>> {
    let Value::List(items) = &node.value else {
        let hint = match as_text(node) {
            Some(text) => format!("write [{text:?}]"),
            None => "write for example [\"first\", \"second\"]".to_owned(),
        };
        return refuse(node, out, "a list", hint);
    };
    // Every item is looked at, so that every mistake is seen at once.
    let read: Vec<Option<T>> = items.iter().map(|node| item(node, out)).collect();
    read.into_iter().collect()
}

/// `127.0.0.0/8` or a single address.
pub(super) fn network(node: &Node, out: &mut Mistakes) -> Option<IpNet> {
    let written = text(node, out, "a network", "192.0.2.0/24")?;
    if let Ok(address) = written.parse::<IpAddr>() {
        return Some(IpNet::from(address));
    }
    match written.parse::<IpNet>() {
        Ok(network) if network.trunc() == network => Some(network),
        Ok(network) => refuse(
            node,
            out,
            "a network",
            format!("write \"{}\": no bits after the mask", network.trunc()),
        ),
        Err(_) => refuse(
            node,
            out,
            "a network",
            "write for example \"192.0.2.0/24\" or \"2001:db8::/32\"",
        ),
    }
}

/// An address to listen on for HTTP; the inner `None` is "off".
pub(super) fn socket(node: &Node, out: &mut Mistakes) -> Option<Option<SocketAddr>> {
    let written = text(node, out, "an address to listen on", "127.0.0.1:9825")?;
    if written == "off" {
        return Some(None);
    }
    match written.parse() {
        Ok(address) => Some(Some(address)),
        Err(_) => refuse(node, out, "an address to listen on", listen_hint(written)),
    }
}

/// What to write for an address that is almost one.
pub(super) fn listen_hint(written: &str) -> String {
    if let Some(port) =
        written.strip_prefix("localhost:").or_else(|| written.strip_prefix("tcp://localhost:"))
    {
        return format!("names are not looked up here: write \"127.0.0.1:{port}\"");
    }
    if let Some(port) = written.strip_prefix("*:") {
        return format!("write \"0.0.0.0:{port}\" or \"[::]:{port}\" for every address");
    }
    if let Some(rest) = written.strip_prefix("tcp://").or_else(|| written.strip_prefix("smtp://")) {
        return format!("write \"{rest}\"");
    }
    if written.starts_with('/') {
        return format!("write \"unix:{written}\"");
    }
    let port = if written.parse::<u16>().is_ok() { written } else { "10024" };
    format!(
        "write address and port, for example \"127.0.0.1:{port}\" or \"[::1]:{port}\", or \"off\""
    )
}

/// One line of text: it may end up in a header or a reply, where a line end would begin another.
pub(super) fn line(node: &Node, out: &mut Mistakes) -> Option<String> {
    let written = text(node, out, "text", "text")?;
    if written.len() > 900 || written.chars().any(char::is_control) {
        return refuse(
            node,
            out,
            "one short line",
            "leave out control characters; 900 octets at most",
        );
    }
    Some(written.to_owned())
}

/// A list of paths; the inner `None` is the word `$header_checks`.
pub(super) fn paths_or_same(node: &Node, out: &mut Mistakes) -> Option<Option<Vec<PathBuf>>> {
    if matches!(&node.value, Value::Text(word) if word == "$header_checks") {
        return Some(None);
    }
    list(node, out, path).map(Some)
}

/// The word `system`, which is the empty list, or a list.
pub(super) fn resolvers(node: &Node, out: &mut Mistakes) -> Option<Vec<SocketAddr>> {
    if matches!(&node.value, Value::Text(word) if word == "system") {
        return Some(Vec::new());
    }
    list(node, out, resolver)
}

/// A resolver: an address, port 53 if it has none.
pub(super) fn resolver(node: &Node, out: &mut Mistakes) -> Option<SocketAddr> {
    let written = text(node, out, "the address of a resolver", "127.0.0.1:53")?;
    let address = written
        .parse::<IpAddr>()
        .map(|address| SocketAddr::new(address, 53))
        .or_else(|_| written.parse());
    match address {
        Ok(address) => Some(address),
        Err(_) => {
            refuse(node, out, "the address of a resolver", "write for example \"127.0.0.1:53\"")
        }
    }
}

/// `example.org`, or `.example.org` with all below it; kept in lower case.
/// A keyword of the EHLO reply that may be left out.
pub(super) fn keyword(node: &Node, out: &mut Mistakes) -> Option<String> {
    const KNOWN: [&str; 8] = [
        "8BITMIME",
        "SMTPUTF8",
        "DSN",
        "VRFY",
        "PIPELINING",
        "ENHANCEDSTATUSCODES",
        "REQUIRETLS",
        "XFORWARD",
    ];
    word(node, out, &KNOWN, &[]).map(str::to_owned)
}

pub(super) fn domain(node: &Node, out: &mut Mistakes) -> Option<String> {
    let written = text(node, out, "a domain", "example.org")?;
    if let Some(rest) = written.strip_prefix("*.").or_else(|| written.strip_prefix('@')) {
        let dot = if written.starts_with('*') { "." } else { "" };
        return refuse(node, out, "a domain", format!("write \"{dot}{rest}\""));
    }
    if is_domain(written.strip_prefix('.').unwrap_or(written)) {
        return Some(written.to_lowercase());
    }
    refuse(
        node,
        out,
        "a domain",
        "write for example \"example.org\", or \".example.org\" with all below it",
    )
}

/// `user@example.org`, `user@`, `example.org`, `.example.org`; kept in lower case.
pub(super) fn recipient(node: &Node, out: &mut Mistakes) -> Option<String> {
    let written = text(node, out, "a recipient pattern", "user@example.org")?;
    let known = match written.rsplit_once('@') {
        Some(("", _)) => {
            let rest = written.trim_start_matches('@');
            return refuse(node, out, "a recipient pattern", format!("write \"{rest}\""));
        }
        Some((user, domain)) => {
            !user.contains(char::is_whitespace) && (domain.is_empty() || is_domain(domain))
        }
        None => is_domain(written.strip_prefix('.').unwrap_or(written)),
    };
    if known && !written.contains('*') {
        return Some(written.to_lowercase());
    }
    let hint = "write \"user@example.org\", \"user@\", \"example.org\" or \".example.org\" (with all below it)";
    refuse(node, out, "a recipient pattern", hint)
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
    };
    let literal = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    text.len() <= 255
        && (text.split('.').all(label)
            || literal.is_some_and(|literal| {
                !literal.is_empty() && !literal.contains(char::is_whitespace)
            }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::{Origin, parse_value};

    fn node(text: &str) -> Node {
        parse_value(text, &Origin::Default).expect(text)
    }

    /// The value as text, or the mistake.
    fn check<T: std::fmt::Debug>(
        text: &str,
        want: &str,
        read: impl Fn(&Node, &mut Mistakes) -> Option<T>,
    ) {
        let mut out = Vec::new();
        let got = match read(&node(text), &mut out) {
            Some(value) => format!("{value:?}"),
            None => {
                out.iter().map(|mistake| format!("{}; {}\n", mistake.what, mistake.hint)).collect()
            }
        };
        assert!(got.contains(want), "{text}: {got}");
    }

    #[test]
    fn a_bare_number_is_no_size_and_no_time() {
        let hour = Duration::from_secs(3600);
        for text in ["10", "\"10\""] {
            check(
                text,
                "`10` is not a size; write it with a unit, for example \"10MB\"",
                |n, out| size(n, out, 0, u64::MAX),
            );
            check(
                text,
                "`10` is not a time; write it with a unit, for example \"10s\"",
                |n, out| duration(n, out, Duration::ZERO, hour),
            );
        }
        check("\"2h\"", "`2h` is out of bounds; \"1s\" to \"1h\"", |n, out| {
            duration(n, out, Duration::from_secs(1), hour)
        });
    }

    #[test]
    fn never_is_a_word_and_no_number() {
        let read = |n: &Node, out: &mut Mistakes| threshold(n, out, false);
        check("\"never\"", "None", read);
        check("5", "Some(Score(5000))", read);
        check("0.001", "Some(Score(1))", read);
        check("-1", "write \"never\"", read);
        check("0", "write \"never\"", read);
        check("\"5.0\"", "write 5.0 without quotes", read);
        check("nan", "not a number of points", read);
        check("9223372036854775807", "1000000 are possible", read);
    }

    #[test]
    fn a_bounce_is_not_built_yet() {
        check("\"bounce\"", "\"bounce\" is not built yet", action);
        check("\"quarantin\"", "did you mean \"quarantine\"?", action);
    }

    #[test]
    fn networks_have_no_bits_after_the_mask() {
        check("\"127.0.0.0/8\"", "127.0.0.0/8", network);
        check("\"::1\"", "::1/128", network);
        check("\"127.0.0.1/8\"", "write \"127.0.0.0/8\"", network);
        check("\"127.\"", "write for example", network);
    }

    #[test]
    fn domains_and_recipients_are_told_apart() {
        check("\"Example.ORG\"", "\"example.org\"", domain);
        check("\".example.org\"", "\".example.org\"", domain);
        check("\"*.example.org\"", "write \".example.org\"", domain);
        check("\"user@example.org\"", "is not a domain", domain);
        check("\"user@\"", "\"user@\"", recipient);
        check("\"@example.org\"", "write \"example.org\"", recipient);
        check("\"*@example.org\"", "is not a recipient pattern", recipient);
        check("\"a..b\"", "is not a domain", domain);
    }

    #[test]
    fn a_table_type_before_a_path_is_explained() {
        check(
            "\"pcre:/etc/postfix/header_checks\"",
            "write the path alone: \"/etc/postfix/header_checks\"",
            path,
        );
        check("\"\"", "is not a path", path);
    }

    #[test]
    fn every_item_of_a_list_is_looked_at() {
        let mut out = Vec::new();
        let nothing = list(&node("[1, \"10.0.0.0/8\", \"x\"]"), &mut out, network);
        assert_eq!((nothing, out.len()), (None, 2));
    }
}
