//! How mail servers write the line of a Received field, as shapes: text as it stands, with names in braces where
//! something is to be read.
//!
//! | in braces | stands for |
//! |---|---|
//! | `helo` `rdns` `by` `ident` `id` | a word, read as this; with `?` behind it may be empty |
//! | `host` | a word that is read as `helo` and as `rdns` |
//! | `ip` | an address; `ip4`: one of IPv4, `ip_`: one that is not read |
//! | `w` | any word; `w?`: it may be empty |
//! | `..` `...` | anything, as little or as much as fits |
//! | `in` | anything but `)` |
//! | `sub` | words like `helo=x ident=y` |
//! | `n` | digits; `n?`: or none |
//! | `[` `]` | a bracket that may be missing |
//! | `a\|b` | one of these texts |
//! | `(` `)` | begin and end of what may be missing |
//! | `end` | the end of the line |

use regex::bytes::{Regex, RegexBuilder};

const IP: &str = "(?i:ipv6:)?[0-9A-Fa-f:.]+";
const FOUR: &str = r"\d{1,3}(?:\.\d{1,3}){3}";
/// As a name, as an IPv4 address, as an IPv6 address, and as the one in the other.
const LOCALHOST: &str = concat!(
    r"(?i:localhost(?:\.localdomain)?|127\.0\.0\.1",
    r"|(?:ipv6:)?(?:(?:0{1,4}:){7}|(?:0{1,4}(?::0{1,4}){0,6})?::(?:0{1,4}:){0,6})0{0,3}1",
    r"|(?:ipv6:)?(?:(?:0{1,4}:){5}|(?:0{1,4}(?::0{1,4}){0,4})?::(?:0{1,4}:){0,4})ffff:127\.0\.0\.1)",
);

/// Makes a pattern of a shape that begins where the line begins.
///
/// # Errors
/// Shapes are constants; a test compiles them all.
pub(super) fn compile(shape: &str) -> Result<Regex, String> {
    let mut pattern = "^".to_owned();
    let mut rest = shape;
    while let Some((before, behind)) = rest.split_once('{') {
        pattern.push_str(&regex::escape(before));
        let (name, behind) = behind.split_once('}').ok_or("a brace is not closed")?;
        pattern.push_str(&piece(name)?);
        rest = behind;
    }
    pattern.push_str(&regex::escape(rest));
    let built = RegexBuilder::new(&pattern).unicode(false).dot_matches_new_line(true).build();
    built.map_err(|error| format!("{shape}: {error}"))
}

fn piece(name: &str) -> Result<String, String> {
    let fixed = match name {
        "w" => r"\S+",
        "w?" => r"\S*",
        ".." => ".*?",
        "..." => ".*",
        "in" => "[^)]+",
        "n" => r"\d+",
        "n?" => r"\d*",
        "[" => r"\[?",
        "]" => r"\]?",
        "(" => "(?:",
        ")" => ")?",
        "end" => r"\z",
        "ip_" => IP,
        "border" => r"\b",
        "localhost" => LOCALHOST,
        "zone" => "(?:%[A-Za-z0-9._~-]*)?",
        "port?" => r"(?:[.:]\d+)?",
        "no dot" => r"[^.]+",
        "user" => r"[^\s@]+",
        "letter" => "[A-Za-z]",
        "few" => r"[^)]{0,40}",
        "hundred" => ".{0,100}",
        "sub" => "(?P<sub>.*?)",
        "sub in" => "(?P<sub>[^)]+)",
        "by word" => r"(?P<by>\S+\b)",
        "by hotmail" => r"(?P<by>\S+\.hotmail\.msn\.com)",
        "by yahoo" => r"(?P<by>\S+\.yahoo\.com)",
        "rdns dot" => r"(?P<rdns>\S+\.\S+)",
        "helo in" => r"(?P<helo>[^ ()]*)",
        "helo to )" => r"(?P<helo>[^)]*)",
        "ident@?" => r"(?:(?P<ident>\S*)@)?",
        "id short" => r"(?P<id>\S+?)",
        // The protocol of qmail; behind that of others stands ` id `.
        "qmail protocol" => {
            r"(?:.* )?(?:SMTP|QMQP)(?: id(?:[^ ]|\z)| i(?:[^d]|\z)| (?:[^i]|\z)|[^ ]|\z)"
        }
        _ => "",
    };
    if !fixed.is_empty() {
        return Ok(fixed.to_owned());
    }
    match name {
        "ip" => Ok(format!("(?P<ip>{IP})")),
        "ip4" => Ok(format!("(?P<ip>{FOUR})")),
        "helo" | "rdns" | "by" | "ident" | "id" | "host" => Ok(format!(r"(?P<{name}>\S+)")),
        "helo?" | "ident?" => Ok(format!(r"(?P<{}>\S*)", name.trim_end_matches('?'))),
        _ if name.contains('|') => {
            let all: Vec<String> = name.split('|').map(regex::escape).collect();
            Ok(format!("(?:{})", all.join("|")))
        }
        _ => Err(format!("`{name}` stands for nothing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_itself_is_known_by_many_names() {
        let regex = compile("({localhost})").unwrap();
        for (text, want) in [
            ("(localhost)", true),
            ("(LOCALHOST.localdomain)", true),
            ("(127.0.0.1)", true),
            ("(::1)", true),
            ("(IPv6:0:0:0:0:0:0:0:1)", true),
            ("(0::0:1)", true),
            ("(::ffff:127.0.0.1)", true),
            ("(::ffff:127.0.0.2)", false),
            ("(::2)", false),
            ("(:1)", false),
        ] {
            assert_eq!(regex.is_match(text.as_bytes()), want, "{text}");
        }
        assert!(compile("{what}").is_err());
    }
}
