//! Physical lines to logical lines, as Postfix joins them, with the way back to line and column.

/// One logical line: text that starts in column 1 with the indented lines that follow it.
pub(super) struct LogicalLine {
    /// Its octets; line ends are gone, the blanks of continuation lines are kept.
    pub text: Vec<u8>,
    /// Line of its first octet, from 1.
    pub line: u32,
    /// Where each physical line begins in `text`, and its number.
    pieces: Vec<(usize, u32)>,
}

impl LogicalLine {
    /// Line and column, both from 1, of an octet of the text.
    pub fn position(&self, offset: usize) -> (u32, u32) {
        let before = self.pieces.partition_point(|(start, _)| *start <= offset);
        let (start, line) = before
            .checked_sub(1)
            .and_then(|i| self.pieces.get(i))
            .copied()
            .unwrap_or((0, self.line));
        let piece = self.text.get(start..offset.min(self.text.len())).unwrap_or_default();
        // Columns are for people: they count characters, so the octets inside one are skipped.
        let column = piece.iter().filter(|octet| (**octet & 0xc0) != 0x80).count() + 1;
        (line, u32::try_from(column).unwrap_or(u32::MAX))
    }
}

/// What is said about lines that belong to nothing.
pub(super) struct Stray {
    /// The line, from 1.
    pub line: u32,
}

/// Joins the lines of a table. Blank lines and comments are dropped wherever they stand, even between a line and its
/// continuation: that is how Postfix reads them.
pub(super) fn logical_lines(text: &[u8]) -> (Vec<LogicalLine>, Vec<Stray>) {
    let mut lines: Vec<LogicalLine> = Vec::new();
    let mut strays = Vec::new();
    let mut stray_goes_on = false;
    for (number, physical) in (1u32..).zip(text.split(|octet| *octet == b'\n')) {
        let physical = physical.strip_suffix(b"\r").unwrap_or(physical);
        let trimmed = physical.trim_ascii_start();
        if trimmed.is_empty() || trimmed.first() == Some(&b'#') {
            continue;
        }
        if trimmed.len() == physical.len() {
            stray_goes_on = false;
            lines.push(LogicalLine {
                text: physical.into(),
                line: number,
                pieces: vec![(0, number)],
            });
        } else if let (Some(last), false) = (lines.last_mut(), stray_goes_on) {
            last.pieces.push((last.text.len(), number));
            last.text.extend_from_slice(physical);
        } else {
            if !stray_goes_on {
                strays.push(Stray { line: number });
            }
            stray_goes_on = true;
        }
    }
    (lines, strays)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &[(u32, &str)]) {
        let (lines, _) = logical_lines(text.as_bytes());
        let got: Vec<_> =
            lines.iter().map(|l| (l.line, String::from_utf8_lossy(&l.text).into_owned())).collect();
        let want: Vec<_> = want.iter().map(|(line, text)| (*line, (*text).to_owned())).collect();
        assert_eq!(got, want, "{text:?}");
    }

    #[test]
    fn indented_lines_continue_the_line_before() {
        check("/a/\n  OK\n/b/ OK\n", &[(1, "/a/  OK"), (3, "/b/ OK")]);
        check("/a/ REJECT\r\n\tone\r\n", &[(1, "/a/ REJECT\tone")]);
    }

    #[test]
    fn comments_and_blank_lines_do_not_end_a_logical_line() {
        check("# top\n\n/a/\n # inside\n\n# flush\n  OK\n", &[(3, "/a/  OK")]);
    }

    #[test]
    fn an_indented_first_line_belongs_to_nothing() {
        let (lines, strays) = logical_lines(b"  /a/ OK\n  more\n/b/ OK\n");
        assert_eq!((lines.len(), strays.len(), strays[0].line), (1, 1, 1));
    }

    #[test]
    fn positions_lead_back_to_the_file() {
        let (lines, _) = logical_lines("/a/\n  ö(x)\n".as_bytes());
        assert_eq!(lines[0].position(1), (1, 2));
        assert_eq!(lines[0].position(7), (2, 4));
    }
}
