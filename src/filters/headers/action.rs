//! The right side of a rule: a text with `$1` in it, and what its first word asks for.

use crate::filters::TableAction;

/// The text of a REJECT that has none.
const REJECT_TEXT: &str = "message content rejected";
/// The enhanced code of a REJECT that names none (RFC 3463).
const REJECT_ENHANCED: &str = "5.7.1";

/// A right side, cut at its `$1`.
#[derive(Debug)]
pub(super) struct Template {
    pieces: Vec<Piece>,
    /// The highest group it names; 0 if none.
    pub group_max: usize,
}

#[derive(Debug)]
enum Piece {
    Text(Vec<u8>),
    Group(usize),
}

impl Template {
    /// Reads `$1`, `${1}`, `$(1)` and `$$`.
    ///
    /// # Errors
    /// The offset of the dollar sign, and what is wrong with it. Postfix skips such a rule.
    pub fn parse(text: &[u8]) -> Result<Self, (usize, String)> {
        let mut template = Self { pieces: Vec::new(), group_max: 0 };
        let mut literal = Vec::new();
        let mut at = 0;
        while let Some(octet) = text.get(at).copied() {
            let rest = text.get(at + 1..).unwrap_or_default();
            if octet != b'$' {
                literal.push(octet);
                at += 1;
            } else if rest.first() == Some(&b'$') {
                literal.push(b'$');
                at += 2;
            } else {
                let (name, length) = macro_name(rest)
                    .ok_or_else(|| (at, "the bracket behind '$' is not closed".to_owned()))?;
                let group = group_number(name).map_err(|what| (at, what))?;
                if !literal.is_empty() {
                    template.pieces.push(Piece::Text(std::mem::take(&mut literal)));
                }
                template.pieces.push(Piece::Group(group));
                template.group_max = template.group_max.max(group);
                at += 1 + length;
            }
        }
        template.pieces.push(Piece::Text(literal));
        Ok(template)
    }

    /// Fills the groups in; one that took no part is empty.
    pub fn expand<'l>(&self, group: impl Fn(usize) -> &'l [u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Group(number) => out.extend_from_slice(group(*number)),
            }
        }
        out
    }

    /// What is before the first group.
    fn head(&self) -> &[u8] {
        match self.pieces.first() {
            Some(Piece::Text(text)) => text,
            Some(Piece::Group(_)) | None => b"",
        }
    }

    /// What can be said before any mail has come: the mistake in it, if there is one.
    pub fn mistake(&self) -> Option<String> {
        let head = self.head();
        let (word, text) = split_word(head);
        if self.group_max == 0 {
            return parse_action(head).err();
        }
        if text.is_empty() && !head.ends_with(b" ") && !head.ends_with(b"\t") {
            return Some("the action must be written out, not taken from the mail".to_owned());
        }
        let labelled =
            word.eq_ignore_ascii_case(b"PREPEND") || word.eq_ignore_ascii_case(b"REPLACE");
        if labelled && !text.is_empty() && text.contains(&b':') {
            return parse_action(head).err();
        }
        // The text is not complete yet, so only the word can be judged.
        match parse_action(word) {
            Err(what) if what.starts_with("no action") => Some(what),
            _ => None,
        }
    }
}

/// The name behind a `$` and the octets it takes with its brackets; `None` if a bracket is not closed.
fn macro_name(rest: &[u8]) -> Option<(&[u8], usize)> {
    let close = match rest.first() {
        Some(b'{') => b'}',
        Some(b'(') => b')',
        _ => {
            let length = rest
                .iter()
                .take_while(|octet| octet.is_ascii_alphanumeric() || **octet == b'_')
                .count();
            return rest.get(..length).map(|name| (name, length));
        }
    };
    let length = rest.iter().position(|octet| *octet == close)?;
    rest.get(1..length).map(|name| (name, length + 1))
}

fn group_number(name: &[u8]) -> Result<usize, String> {
    if name.is_empty() {
        return Err("a lone '$': write '$$' for a dollar sign".to_owned());
    }
    let text = String::from_utf8_lossy(name);
    match text.parse::<usize>() {
        Ok(number) if (1..1000).contains(&number) && name.iter().all(u8::is_ascii_digit) => {
            Ok(number)
        }
        _ => Err(format!(
            "'${text}' is no group: write ${{1}} for the first one, '$$' for a dollar sign"
        )),
    }
}

/// Reads an action; `Ok(None)` for DUNNO and OK.
///
/// # Errors
/// Why Postfix would do nothing with it.
pub(super) fn parse_action(result: &[u8]) -> Result<Option<TableAction>, String> {
    let (word, text) = split_word(result);
    let name = String::from_utf8_lossy(word).to_ascii_uppercase();
    Ok(Some(match name.as_str() {
        "DUNNO" | "OK" => return Ok(None),
        "REJECT" => reject(text)?,
        "DISCARD" => TableAction::Discard(cleaned(text)),
        "HOLD" => TableAction::Hold(cleaned(text)),
        "IGNORE" => TableAction::Ignore,
        "STRIP" => TableAction::Strip(cleaned(text)),
        "INFO" => TableAction::Info(cleaned(text)),
        "WARN" => TableAction::Warn(cleaned(text)),
        "PASS" => TableAction::Pass,
        "PREPEND" => TableAction::Prepend(line(&name, text)?),
        "REPLACE" => TableAction::Replace(line(&name, text)?),
        "FILTER" if text.contains(&b':') => TableAction::Filter(cleaned(text)),
        "FILTER" => return Err("FILTER needs transport:destination".to_owned()),
        "REDIRECT" if text.contains(&b'@') => TableAction::Redirect(cleaned(text)),
        "BCC" if text.contains(&b'@') => TableAction::Bcc(cleaned(text)),
        "REDIRECT" | "BCC" => return Err(format!("{name} needs user@domain")),
        _ => return Err(format!("no action is named '{}'", cleaned(word))),
    }))
}

/// The first word, and what follows the blanks after it.
fn split_word(result: &[u8]) -> (&[u8], &[u8]) {
    let end = result.iter().position(|octet| matches!(octet, b' ' | b'\t')).unwrap_or(result.len());
    let (word, text) = result.split_at_checked(end).unwrap_or((result, b""));
    (word, text.trim_ascii())
}

fn reject(text: &[u8]) -> Result<TableAction, String> {
    let code_end = enhanced_code_length(text);
    let (enhanced, text) = text.split_at_checked(code_end).unwrap_or((b"", text));
    let mut enhanced = String::from_utf8_lossy(enhanced).into_owned();
    if enhanced.is_empty() {
        REJECT_ENHANCED.clone_into(&mut enhanced);
    }
    // A refusal cannot be a success: Postfix turns 2.x.x into 4.x.x.
    if let Some(rest) = enhanced.strip_prefix('2') {
        enhanced = format!("4{rest}");
    }
    let code = if enhanced.starts_with('4') { 451 } else { 550 };
    let text = cleaned(text.trim_ascii());
    let text = if text.is_empty() { REJECT_TEXT.to_owned() } else { text };
    Ok(TableAction::Reject { code, enhanced, text })
}

/// Octets of a leading `5.7.1` (class 2, 4 or 5; at most three digits each), 0 if there is none.
fn enhanced_code_length(text: &[u8]) -> usize {
    let digits = |from: usize| {
        text.get(from..)
            .unwrap_or_default()
            .iter()
            .take(4)
            .take_while(|octet| octet.is_ascii_digit())
            .count()
    };
    if !matches!(text, [b'2' | b'4' | b'5', b'.', ..]) {
        return 0;
    }
    let subject = digits(2);
    let detail = digits(3 + subject);
    let end = 3 + subject + detail;
    let dot = text.get(2 + subject) == Some(&b'.');
    let ends = text.get(end).is_none_or(u8::is_ascii_whitespace);
    if dot && ends && (1..=3).contains(&subject) && (1..=3).contains(&detail) { end } else { 0 }
}

/// The text of PREPEND or REPLACE: it must begin with a label. Folds that `$1` brought along stay folds.
fn line(action: &str, text: &[u8]) -> Result<String, String> {
    if text.is_empty() {
        return Err(format!("{action} needs a text"));
    }
    let text = String::from_utf8_lossy(text);
    let mut out = String::with_capacity(text.len());
    for (number, piece) in text.split('\n').enumerate() {
        let piece: String = piece.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        match piece.chars().next() {
            _ if number == 0 => {}
            Some(' ' | '\t') if !piece.trim().is_empty() => out.push_str("\r\n"),
            Some(' ' | '\t') | None => continue,
            // A line break without a blank behind it would begin a field of the stranger's making.
            Some(_) => out.push(' '),
        }
        out.push_str(&piece);
    }
    Ok(out)
}

/// True if the text begins with the name of a header field and a colon (RFC 5322 section 2.2).
pub(super) fn has_label(text: &str) -> bool {
    let Some((label, _)) = text.split_once(':') else { return false };
    let label = label.trim_end_matches([' ', '\t']);
    !label.is_empty() && label.bytes().all(|octet| octet.is_ascii_graphic())
}

/// One line of text: a fold becomes one blank, other control characters a question mark.
pub(super) fn cleaned(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut out = String::with_capacity(text.len());
    let mut in_fold = false;
    for c in text.chars() {
        match c {
            '\r' | '\n' | '\t' | ' ' if in_fold => {}
            '\r' | '\n' => {
                in_fold = true;
                while out.ends_with(' ') {
                    out.pop();
                }
                out.push(' ');
            }
            '\t' => out.push(' '),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
        in_fold = in_fold && c.is_whitespace();
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(result: &str, want: &TableAction) {
        assert_eq!(parse_action(result.as_bytes()), Ok(Some(want.clone())), "{result}");
    }

    fn rejected(code: u16, enhanced: &str, text: &str) -> TableAction {
        TableAction::Reject { code, enhanced: enhanced.into(), text: text.into() }
    }

    #[test]
    fn the_text_of_a_reject_may_choose_the_code() {
        check("REJECT", &rejected(550, "5.7.1", "message content rejected"));
        check("reject  no thanks", &rejected(550, "5.7.1", "no thanks"));
        check("REJECT 5.6.0 bad", &rejected(550, "5.6.0", "bad"));
        check("REJECT 4.7.100 later", &rejected(451, "4.7.100", "later"));
        check("REJECT 2.0.0 odd", &rejected(451, "4.0.0", "odd"));
        check("REJECT 5.7.1", &rejected(550, "5.7.1", "message content rejected"));
        check("REJECT 5.7 is no code", &rejected(550, "5.7.1", "5.7 is no code"));
        check("REJECT 5.7.1234 x", &rejected(550, "5.7.1", "5.7.1234 x"));
    }

    #[test]
    fn every_action_is_known() {
        use TableAction as A;
        check("BCC a@b", &A::Bcc("a@b".into()));
        check("DISCARD x", &A::Discard("x".into()));
        check("FILTER smtp:[h]:25", &A::Filter("smtp:[h]:25".into()));
        check("HOLD", &A::Hold(String::new()));
        check("IGNORE whatever", &A::Ignore);
        check("Strip y", &A::Strip("y".into()));
        check("INFO i", &A::Info("i".into()));
        check("WARN w", &A::Warn("w".into()));
        check("PASS p", &A::Pass);
        check("PREPEND X-A: b", &A::Prepend("X-A: b".into()));
        check("REPLACE X-A: b", &A::Replace("X-A: b".into()));
        check("REDIRECT a@b", &A::Redirect("a@b".into()));
        assert_eq!(parse_action(b"DUNNO x"), Ok(None));
        assert_eq!(parse_action(b"ok"), Ok(None));
        for bad in ["FILTER x", "REDIRECT x", "BCC x", "PREPEND", "REPLACE ", "REJCT", "550 no", ""]
        {
            assert!(parse_action(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_stranger_cannot_write_lines_of_his_own() {
        assert_eq!(cleaned(b"a\r\n\tb\r\nX: c\x00"), "a b X: c?");
        check("REPLACE S: a\n b\nX: c\n \n", &TableAction::Replace("S: a\r\n b X: c".into()));
    }

    #[test]
    fn templates_are_filled_in_as_postfix_does() {
        for (text, want) in [
            ("a $1 b", Some("a one b")),
            ("${1}x$(2)", Some("onextwo")),
            ("$1.$2", Some("one.two")),
            ("$$1", Some("$1")),
            ("[$3]", Some("[]")),
            ("$1st", None),
            ("$0", None),
            ("a $", None),
            ("${1", None),
            ("$x", None),
        ] {
            let got = Template::parse(text.as_bytes()).ok().map(|template| {
                template.expand(|group| match group {
                    1 => b"one".as_slice(),
                    2 => b"two",
                    _ => b"",
                })
            });
            assert_eq!(got.map(|text| String::from_utf8(text).unwrap()).as_deref(), want, "{text}");
        }
    }
}
