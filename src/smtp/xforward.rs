//! Postfix's XFORWARD (XFORWARD_README): the original client's attributes, in xtext (RFC 3461 section 4).
//!
//! The values are for judging and logging. They are strangers' words: none goes raw into a command, a header or a log.

use std::net::IpAddr;

use crate::mail::Client;
use crate::smtp::Reply;

/// Octets of one value, as Postfix keeps them.
const VALUE_BYTES_MAX: usize = 255;
/// Octets of one XFORWARD command line with CRLF (RFC 5321 section 4.5.3.1.4).
const LINE_BYTES_MAX: usize = 512;
/// The attributes, in the order in which Postfix writes them.
pub const ATTRIBUTES: [&str; 7] = ["NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"];

/// Takes the attributes of one command into `client`. Nothing is taken if one of them is wrong.
///
/// # Errors
/// The reply for the client.
pub fn receive(client: &mut Client, arguments: &str) -> Result<(), Reply> {
    let mut new = client.clone();
    let mut any = false;
    for word in arguments.split(' ').filter(|word| !word.is_empty()) {
        let (name, value) = word.split_once('=').ok_or_else(|| bad("attribute without value"))?;
        let value = decode(value)?;
        take(&mut new, name, value)?;
        any = true;
    }
    if !any {
        return Err(bad("no attribute"));
    }
    *client = new;
    Ok(())
}

fn bad(what: &str) -> Reply {
    Reply::new(501, format!("5.5.4 Bad XFORWARD: {what}"))
}

fn take(client: &mut Client, name: &str, value: Option<String>) -> Result<(), Reply> {
    match name.to_ascii_uppercase().as_str() {
        "NAME" => client.name = value,
        "ADDR" => client.address = value.map(|text| address(&text)).transpose()?,
        "PORT" => {
            let port = |text: String| text.parse().map_err(|_| bad("PORT is no port number"));
            client.port = value.map(port).transpose()?;
        }
        "PROTO" => client.proto = value,
        "HELO" => client.helo = value,
        "IDENT" => client.ident = value,
        "SOURCE" => match value.as_deref().map(str::to_ascii_uppercase).as_deref() {
            None => client.source = None,
            Some(word @ ("LOCAL" | "REMOTE")) => client.source = Some(word.to_owned()),
            Some(_) => return Err(bad("SOURCE is LOCAL or REMOTE")),
        },
        _ => return Err(bad("unknown attribute")),
    }
    Ok(())
}

fn address(text: &str) -> Result<IpAddr, Reply> {
    let tagged = text.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("IPV6:"));
    let plain = if tagged { text.get(5..).unwrap_or_default() } else { text };
    // A listener of Postfix on `::` tells IPv4 clients as ::ffff:192.0.2.1.
    plain
        .parse()
        .map(|address: IpAddr| address.to_canonical())
        .map_err(|_| bad("ADDR is no IP address"))
}

/// Undoes xtext. `[UNAVAILABLE]` and nothing at all are `None`.
fn decode(value: &str) -> Result<Option<String>, Reply> {
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => {
                let (high, low) = (rest.next().and_then(hex), rest.next().and_then(hex));
                high.zip(low)
                    .map(|(high, low)| high << 4 | low)
                    .ok_or_else(|| bad("broken xtext"))?
            }
            b'!'..=b'~' => octet,
            _ => return Err(bad("not xtext")),
        });
    }
    let text = String::from_utf8(octets).map_err(|_| bad("not UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(bad("control character"));
    }
    if text.len() > VALUE_BYTES_MAX {
        return Err(bad("value too long"));
    }
    Ok((!text.is_empty() && !text.eq_ignore_ascii_case("[UNAVAILABLE]")).then_some(text))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The commands, without line ends, that tell a next hop what we know; only attributes it `offered` (upper case), each
/// line within 512 octets. Empty if there is nothing to tell.
#[must_use]
pub fn send(client: &Client, offered: &[String]) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    for name in ATTRIBUTES {
        if !offered.iter().any(|known| known == name) {
            continue;
        }
        let Some(value) = value_of(client, name) else { continue };
        let word = format!(" {name}={}", encode(&value));
        match commands.last_mut() {
            Some(line) if line.len() + word.len() + 2 <= LINE_BYTES_MAX => line.push_str(&word),
            _ => commands.push(format!("XFORWARD{word}")),
        }
    }
    commands
}

fn value_of(client: &Client, name: &str) -> Option<String> {
    match name {
        "NAME" => client.name.clone(),
        "ADDR" => client.address.map(|address| match address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("IPV6:{v6}"),
        }),
        "PORT" => client.port.map(|port| port.to_string()),
        "PROTO" => client.proto.clone(),
        "HELO" => client.helo.clone(),
        "IDENT" => client.ident.clone(),
        _ => client.source.clone(),
    }
}

/// Writes xtext, cut so that the encoded value has at most 255 octets and no escape is broken.
fn encode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for octet in value.bytes() {
        let plain = matches!(octet, b'!'..=b'~') && octet != b'+' && octet != b'=';
        let width = if plain { 1 } else { 3 };
        if text.len() + width > VALUE_BYTES_MAX {
            break;
        }
        if plain {
            text.push(char::from(octet));
        } else {
            text.push_str(&format!("+{octet:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(arguments: &str) -> Result<Client, u16> {
        let mut client = Client::default();
        receive(&mut client, arguments).map(|()| client).map_err(|reply| reply.code)
    }

    #[test]
    fn attributes_are_decoded() {
        let client =
            received("NAME=a+2Bb ADDR=IPV6:2001:db8::1 IDENT=5BC5 PORT=1025 SOURCE=remote")
                .unwrap();
        assert_eq!(client.name.as_deref(), Some("a+b"));
        assert_eq!(client.address, Some("2001:db8::1".parse().unwrap()));
        assert_eq!((client.port, client.ident.as_deref()), (Some(1025), Some("5BC5")));
        assert_eq!(client.source.as_deref(), Some("REMOTE"));
        assert_eq!(received("NAME=[unavailable] ADDR=[UNAVAILABLE]"), Ok(Client::default()));
        for mapped in
            ["ADDR=::ffff:192.0.2.1", "ADDR=IPV6:::ffff:192.0.2.1", "ADDR=IPv6:::FFFF:c000:201"]
        {
            let client = received(mapped).unwrap();
            assert_eq!(client.address, "192.0.2.1".parse().ok(), "{mapped}");
            assert_eq!(send(&client, &["ADDR".into()]), ["XFORWARD ADDR=192.0.2.1"]);
        }
        assert_eq!(received("NAME="), Ok(Client::default()));
    }

    #[test]
    fn what_could_inject_is_refused() {
        for arguments in [
            "NAME=evil+0D+0AMAIL",
            "NAME=a+00b",
            "NAME=a+ZZ",
            "NAME=a+0",
            "FOO=bar",
            "ADDR=not-an-ip",
            "PORT=99999999",
            "NAME=é",
            "NAME",
            "",
            "SOURCE=moon",
        ] {
            assert_eq!(received(arguments), Err(501), "{arguments}");
        }
        assert_eq!(received(&format!("NAME={}", "a".repeat(256))), Err(501));
    }

    #[test]
    fn what_is_sent_comes_back_and_no_line_is_too_long() {
        let client = Client {
            name: Some("n+\u{e9}=".repeat(9)),
            address: Some("2001:db8::1".parse().unwrap()),
            port: Some(25),
            proto: Some("ESMTP".into()),
            helo: Some("h".repeat(200)),
            ident: Some("i".repeat(200)),
            source: Some("REMOTE".into()),
        };
        let offered: Vec<String> = ATTRIBUTES.iter().map(|&name| name.to_owned()).collect();
        let mut back = Client::default();
        for line in send(&client, &offered) {
            assert!(line.len() + 2 <= 512, "{}", line.len());
            receive(&mut back, line.strip_prefix("XFORWARD ").unwrap()).unwrap();
        }
        assert_eq!(back, client);
        assert_eq!(send(&client, &["PORT".to_owned()]), ["XFORWARD PORT=25"]);
        assert!(send(&Client::default(), &offered).is_empty());
    }
}
