//! Paths of MAIL and RCPT (RFC 5321 section 4.1.2), taken as the client wrote them.

use crate::mail::Path;
use crate::smtp::Reply;

/// Octets of an address we take; RFC 5321 section 4.5.3.1.3 asks for 256 at least.
const ADDRESS_BYTES_MAX: usize = 512;

/// A path and the parameters behind it, each `KEYWORD` or `KEYWORD=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// As it goes on.
    pub path: Path,
    /// Keyword in upper case, and value.
    pub parameters: Vec<(String, Option<String>)>,
}

/// Reads what follows `MAIL FROM:` or `RCPT TO:`.
///
/// Brackets may be missing, source routes are taken, quoted local parts stay as they are. The line has been checked
/// for control characters already.
///
/// # Errors
/// The reply for the client.
pub fn parse(argument: &[u8]) -> Result<Parsed, Reply> {
    let text = std::str::from_utf8(argument).map_err(|_| bad("the address is not UTF-8"))?;
    let trimmed = text.trim_start_matches(' ');
    let (mailbox, rest) = match trimmed.strip_prefix('<') {
        Some(inner) => bracketed(inner)?,
        None => trimmed.split_once(' ').unwrap_or((trimmed, "")),
    };
    if !trimmed.starts_with('<') && (mailbox.is_empty() || mailbox.contains(['<', '>', '"'])) {
        return Err(bad("the address must stand in angle brackets"));
    }
    if mailbox.len() > ADDRESS_BYTES_MAX {
        return Err(bad("the address is too long"));
    }
    let address = without_route(mailbox)?.to_owned();
    Ok(Parsed {
        path: Path { argument: argument.to_vec(), address },
        parameters: parameters(rest)?,
    })
}

fn bad(what: &str) -> Reply {
    Reply::new(501, format!("5.5.2 Syntax error: {what}"))
}

/// Finds the closing bracket outside of quotes; gives what is inside and the parameters behind it.
fn bracketed(inner: &str) -> Result<(&str, &str), Reply> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => {
                let (mailbox, rest) = inner.split_at(at);
                let rest = rest.strip_prefix('>').unwrap_or_default();
                return match rest.strip_prefix(' ') {
                    Some(parameters) => Ok((mailbox, parameters)),
                    None if rest.is_empty() => Ok((mailbox, "")),
                    None => Err(bad("something follows the closing bracket")),
                };
            }
            '<' | ' ' if !quoted => {
                return Err(bad("a blank or bracket stands inside the address"));
            }
            _ => {}
        }
    }
    Err(bad("the closing bracket is missing"))
}

/// Cuts a source route, `@relay,@relay:` (RFC 5321 appendix C: accepted, ignored).
fn without_route(mailbox: &str) -> Result<&str, Reply> {
    if !mailbox.starts_with('@') {
        return Ok(mailbox);
    }
    match mailbox.split_once(':') {
        Some((_, address)) if !address.is_empty() => Ok(address),
        _ => Err(bad("the source route has no end")),
    }
}

fn parameters(rest: &str) -> Result<Vec<(String, Option<String>)>, Reply> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    for word in rest.split(' ').filter(|word| !word.is_empty()) {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) if !value.is_empty() => (keyword, Some(value.to_owned())),
            Some(_) => return Err(bad("a parameter has no value")),
            None => (word, None),
        };
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if keyword.is_empty() || !keyword.bytes().all(legal) {
            return Err(bad("a parameter cannot be read"));
        }
        let keyword = keyword.to_ascii_uppercase();
        if found.iter().any(|(known, _)| *known == keyword) {
            return Err(bad("a parameter is given twice"));
        }
        found.push((keyword, value));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_written() {
        for (argument, address) in [
            ("<a@b>", "a@b"),
            ("<>", ""),
            (" <a@b>", "a@b"),
            (" u@d", "u@d"),
            ("u@d", "u@d"),
            ("<\"a b>c\"@d>", "\"a b>c\"@d"),
            ("<\"a\\\"b\"@d>", "\"a\\\"b\"@d"),
            ("<@r:u@d>", "u@d"),
            ("<@r,@s:u@d>", "u@d"),
            ("<%s%n@d>", "%s%n@d"),
            ("<é@d>", "é@d"),
            ("<a@b> SIZE=1", "a@b"),
        ] {
            let parsed = parse(argument.as_bytes()).unwrap();
            assert_eq!(parsed.path.address, address, "{argument}");
            assert_eq!(parsed.path.argument, argument.as_bytes());
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for argument in [
            "",
            "<a@b",
            "<a@b>RCPT TO:<c@d>>",
            "<a b@c>",
            "<a<b@c>",
            "a>b",
            "<@r>",
            "<a@b> =x",
            "<a@b> X=",
            "<a@b> X X",
            "a\"b@c d",
        ] {
            assert_eq!(parse(argument.as_bytes()).unwrap_err().code, 501, "{argument}");
        }
        assert!(parse(b"<\xe9@d>").is_err());
        assert!(parse(format!("<{}@d>", "a".repeat(600)).as_bytes()).is_err());
    }

    #[test]
    fn parameters_are_keyword_and_value() {
        let parsed = parse(b"<a@b> size=10 SMTPUTF8").unwrap();
        assert_eq!(
            parsed.parameters,
            [("SIZE".into(), Some("10".into())), ("SMTPUTF8".into(), None)]
        );
    }
}
