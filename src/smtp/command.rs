//! Commands as they come over the wire (RFC 5321 section 4.1), checked as a whole before any of it is used.

use crate::mail::Path;
use crate::smtp::{Reply, path};

/// Octets of a command line we take, CR LF included. Longer ones are refused and read to their end.
pub const LINE_BYTES_MAX: usize = 2048;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// HELO, with the client's name.
    Helo(String),
    /// EHLO, with the client's name.
    Ehlo(String),
    /// LHLO, with the client's name.
    Lhlo(String),
    /// MAIL.
    Mail(MailCommand),
    /// RCPT.
    Rcpt(RcptCommand),
    /// DATA.
    Data,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY.
    Vrfy,
    /// HELP.
    Help,
    /// XFORWARD, with its arguments as written.
    Xforward(String),
    /// A verb of the standards that we do not offer: BDAT, STARTTLS, AUTH, ETRN, EXPN, XCLIENT, ….
    NotOffered(&'static str),
    /// Anything else.
    Unknown,
}

/// MAIL with its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MailCommand {
    /// The reverse-path as written.
    pub path: Path,
    /// SIZE (RFC 1870).
    pub size: Option<u64>,
    /// BODY=8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// SMTPUTF8 (RFC 6531).
    pub utf8: bool,
    /// RET or ENVID was given (RFC 3461).
    pub dsn: bool,
    /// REQUIRETLS (RFC 8689).
    pub require_tls: bool,
}

/// RCPT with its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RcptCommand {
    /// The forward-path as written.
    pub path: Path,
    /// NOTIFY or ORCPT was given (RFC 3461).
    pub dsn: bool,
}

/// Reads one line, without its CR LF.
///
/// # Errors
/// The reply for the client; nothing of the line may be used then.
pub fn parse(line: &[u8]) -> Result<Command, Reply> {
    if line.iter().any(|&octet| octet < b' ' || octet == 0x7f) {
        return Err(Reply::new(500, "5.5.2 Syntax error: control character in the command"));
    }
    let end = line.iter().position(|&octet| octet == b' ').unwrap_or(line.len());
    let (verb, rest) = line.split_at(end);
    let verb = verb.to_ascii_uppercase();
    let argument = rest.strip_prefix(b" ").unwrap_or(rest);
    match verb.as_slice() {
        b"HELO" => name(argument).map(Command::Helo),
        b"EHLO" => name(argument).map(Command::Ehlo),
        b"LHLO" => name(argument).map(Command::Lhlo),
        b"MAIL" => after(argument, b"FROM:").and_then(mail).map(Command::Mail),
        b"RCPT" => after(argument, b"TO:").and_then(rcpt).map(Command::Rcpt),
        b"DATA" => bare(argument, Command::Data),
        b"RSET" => bare(argument, Command::Rset),
        b"QUIT" => bare(argument, Command::Quit),
        b"NOOP" => Ok(Command::Noop),
        b"VRFY" => Ok(Command::Vrfy),
        b"HELP" => Ok(Command::Help),
        b"XFORWARD" => match std::str::from_utf8(argument) {
            Ok(text) if text.is_ascii() => Ok(Command::Xforward(text.to_owned())),
            _ => Err(Reply::new(501, "5.5.4 Bad XFORWARD: not xtext")),
        },
        _ => Ok(not_offered(&verb).map_or(Command::Unknown, Command::NotOffered)),
    }
}

fn not_offered(verb: &[u8]) -> Option<&'static str> {
    ["BDAT", "STARTTLS", "AUTH", "ETRN", "EXPN", "XCLIENT", "TURN", "SEND", "SOML", "SAML", "BURL"]
        .into_iter()
        .find(|known| known.as_bytes() == verb)
}

fn syntax(what: &str) -> Reply {
    Reply::new(501, format!("5.5.4 Syntax error: {what}"))
}

fn bare(argument: &[u8], command: Command) -> Result<Command, Reply> {
    let blank = argument.iter().all(|&octet| octet == b' ');
    if blank { Ok(command) } else { Err(syntax("the command takes no argument")) }
}

fn name(argument: &[u8]) -> Result<String, Reply> {
    let text = String::from_utf8_lossy(argument);
    let text = text.trim();
    if text.is_empty() || text.len() > 255 {
        return Err(syntax("a host name must follow"));
    }
    Ok(text.to_owned())
}

fn after<'a>(argument: &'a [u8], word: &[u8]) -> Result<&'a [u8], Reply> {
    match argument.split_at_checked(word.len()) {
        Some((head, rest)) if head.eq_ignore_ascii_case(word) => Ok(rest),
        _ => Err(syntax("the address must follow FROM: or TO:")),
    }
}

fn unknown_parameter(keyword: &str) -> Reply {
    Reply::new(555, format!("5.5.4 Unsupported option: {keyword}"))
}

fn mail(argument: &[u8]) -> Result<MailCommand, Reply> {
    let parsed = path::parse(argument)?;
    let mut command = MailCommand { path: parsed.path, ..MailCommand::default() };
    for (keyword, value) in parsed.parameters {
        match (keyword.as_str(), value.as_deref()) {
            ("SIZE", Some(digits)) => command.size = Some(size(digits)?),
            ("BODY", Some(kind)) if kind.eq_ignore_ascii_case("7BIT") => {}
            ("BODY", Some(kind)) if kind.eq_ignore_ascii_case("8BITMIME") => {
                command.eight_bit = true
            }
            ("SMTPUTF8", None) => command.utf8 = true,
            ("REQUIRETLS", None) => command.require_tls = true,
            ("RET", Some(what))
                if ["FULL", "HDRS"].iter().any(|known| what.eq_ignore_ascii_case(known)) =>
            {
                command.dsn = true;
            }
            ("ENVID", Some(text)) if is_xtext(text) => command.dsn = true,
            ("BODY" | "SIZE" | "RET" | "ENVID", _) => {
                return Err(syntax("bad value of a parameter"));
            }
            _ => return Err(unknown_parameter(&keyword)),
        }
    }
    ascii_unless(&command.path, command.utf8)?;
    Ok(command)
}

fn rcpt(argument: &[u8]) -> Result<RcptCommand, Reply> {
    let parsed = path::parse(argument)?;
    let mut command = RcptCommand { path: parsed.path, dsn: false };
    if command.path.address.is_empty() {
        return Err(syntax("the recipient must not be empty"));
    }
    for (keyword, value) in parsed.parameters {
        match (keyword.as_str(), value) {
            // An ORCPT of an international address may hold UTF-8 (RFC 6533 section 3).
            ("NOTIFY" | "ORCPT", Some(_)) => command.dsn = true,
            ("NOTIFY" | "ORCPT", None) => return Err(syntax("bad value of a parameter")),
            _ => return Err(unknown_parameter(&keyword)),
        }
    }
    Ok(command)
}

fn ascii_unless(path: &Path, utf8: bool) -> Result<(), Reply> {
    if utf8 || path.argument.is_ascii() {
        return Ok(());
    }
    Err(Reply::new(553, "5.6.7 Address is not ASCII and SMTPUTF8 was not asked for"))
}

fn size(digits: &str) -> Result<u64, Reply> {
    if digits.len() > 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(syntax("SIZE is a number of at most 20 digits"));
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

fn is_xtext(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'!'..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_read_in_any_case() {
        assert_eq!(parse(b"ehlo x"), Ok(Command::Ehlo("x".into())));
        assert_eq!(parse(b"Data"), Ok(Command::Data));
        assert_eq!(parse(b"NOOP whatever"), Ok(Command::Noop));
        assert_eq!(parse(b"BDAT 5 LAST"), Ok(Command::NotOffered("BDAT")));
        assert_eq!(parse(b"FOO"), Ok(Command::Unknown));
        assert_eq!(parse(b""), Ok(Command::Unknown));
    }

    #[test]
    fn parameters_of_mail_are_understood() {
        let Ok(Command::Mail(mail)) =
            parse(b"MAIL FROM:<a@b> SIZE=12 body=8bitmime SMTPUTF8 ENVID=x RET=HDRS")
        else {
            panic!()
        };
        assert_eq!((mail.size, mail.eight_bit, mail.utf8, mail.dsn), (Some(12), true, true, true));
        assert_eq!(mail.path.argument, b"<a@b> SIZE=12 body=8bitmime SMTPUTF8 ENVID=x RET=HDRS");
    }

    #[test]
    fn bad_lines_are_refused_as_a_whole() {
        for (line, code) in [
            ("MAIL FROM:<a@b>\nRCPT TO:<c@d>", 500),
            ("MAIL FROM:<a\0b@c>", 500),
            ("MAIL FROM:<a\tb@c>", 500),
            ("MAIL FROM:<a@b> SIZE=-1", 501),
            ("MAIL FROM:<a@b> SIZE=99999999999999999999999", 501),
            ("MAIL FROM:<a@b> XYZZY=1", 555),
            ("MAIL FROM:<a@b> AUTH=<>", 555),
            ("MAIL FROM:<a@b> BODY=BINARYMIME", 501),
            ("MAIL <a@b>", 501),
            ("MAIL FROM:<é@b>", 553),
            ("RCPT TO:<>", 501),
            ("RCPT TO:<a@b> FOO", 555),
            ("DATA now", 501),
            ("EHLO", 501),
        ] {
            assert_eq!(parse(line.as_bytes()).unwrap_err().code, code, "{line:?}");
        }
        assert!(parse(b"MAIL FROM:<\xe9@b>").is_err());
        assert!(parse(b"XFORWARD NAME=\xe9").is_err());
    }
}
