//! Replies of the form that HTTP and spamd share: a first line, fields, an empty line, and a body.

/// Octets of first line and fields.
pub(super) const HEAD_BYTES_MAX: usize = 32 << 10;
/// Octets of a whole reply.
pub(super) const REPLY_BYTES_MAX: usize = 1 << 20;

/// What stands before the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// The first line, without its line end.
    pub(super) first: String,
    /// Fields, names in lower case.
    pub(super) fields: Vec<(String, String)>,
    /// Where the body begins.
    pub(super) body_start: usize,
}

impl Head {
    /// `None` while the empty line behind it has not come.
    pub(super) fn read(octets: &[u8]) -> Option<Self> {
        let near = octets.get(..octets.len().min(HEAD_BYTES_MAX)).unwrap_or_default();
        let (mut rest, mut at) = (near, 0_usize);
        let mut lines: Vec<String> = Vec::new();
        loop {
            let end = memchr::memchr(b'\n', rest)?;
            let (line, more) = rest.split_at_checked(end.saturating_add(1))?;
            at = at.saturating_add(line.len());
            rest = more;
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                break;
            }
            lines.push(String::from_utf8_lossy(line).into_owned());
        }
        let mut lines = lines.into_iter();
        let first = lines.next().unwrap_or_default();
        let field = |line: String| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        };
        Some(Self { first, fields: lines.filter_map(field).collect(), body_start: at })
    }

    /// The head of a reply that ended too early: its first line.
    pub(super) fn cut(octets: &[u8]) -> Self {
        let line = octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
        let line = line.get(..line.len().min(200)).unwrap_or_default();
        let first = String::from_utf8_lossy(line).trim_end().to_owned();
        Self { first, fields: Vec::new(), body_start: octets.len() }
    }

    /// The first field of that name (lower case).
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// How long the reply is altogether; `None` if it ends with the connection.
    pub(super) fn total(&self) -> Option<usize> {
        let length: usize = self.field("content-length")?.parse().ok()?;
        self.body_start.checked_add(length)
    }

    /// The body of a whole reply; what follows it is not of it.
    pub(super) fn body<'o>(&self, octets: &'o [u8]) -> &'o [u8] {
        let end = self.total().unwrap_or(octets.len()).min(octets.len());
        octets.get(self.body_start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_head_ends_at_the_empty_line_whatever_the_line_ends() {
        for (text, want) in [
            ("A 1\r\nX: 1\r\n\r\nbody", Some(("A 1", "body"))),
            ("A 1\nX: 1\n\nbody", Some(("A 1", "body"))),
            ("A\r\nContent-LENGTH: 2\r\n\r\nbody", Some(("A", "bo"))),
            ("A\r\nContent-length: -2\r\n\r\nbody", Some(("A", "body"))),
            ("A\r\nContent-length: 18446744073709551615\r\n\r\nbody", Some(("A", "body"))),
            ("\r\nbody", Some(("", "body"))),
            ("A 1\r\nX: 1\r\n", None),
            ("", None),
        ] {
            let head = Head::read(text.as_bytes());
            let got = head.as_ref().map(|head| {
                (head.first.as_str(), std::str::from_utf8(head.body(text.as_bytes())).unwrap())
            });
            assert_eq!(got, want, "{text:?}");
        }
        assert_eq!(Head::read(&vec![b'x'; HEAD_BYTES_MAX + 10]), None);
    }

    proptest! {
        #[test]
        fn no_octets_make_it_fail(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some(head) = Head::read(&octets) {
                let _ = head.body(&octets);
            }
        }
    }
}
