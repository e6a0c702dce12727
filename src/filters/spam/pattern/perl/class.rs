//! Classes: `[…]`. Set syntax of the `regex` crate (`[`, `&&`, `~~`) is plain text in Perl.

use super::{Refusal, Translator, push_octet, wrong};

/// What one item of a class stands for.
enum ClassItem {
    Octet(u32),
    Set(String),
}

impl Translator<'_> {
    pub(super) fn class(&mut self) -> Result<(), Refusal> {
        let mut body = String::new();
        let inverted = self.peek() == Some(b'^');
        if inverted {
            self.at += 1;
        }
        let mut first = true;
        loop {
            match self.peek() {
                None => return Err(wrong("a [ is not closed")),
                Some(b']') if !first => {
                    self.at += 1;
                    break;
                }
                Some(_) => {}
            }
            first = false;
            let start = self.class_item()?;
            let range = self.peek() == Some(b'-') && !matches!(self.ahead(1), Some(b']') | None);
            match start {
                ClassItem::Set(set) => body.push_str(&set),
                ClassItem::Octet(low) if range => {
                    self.at += 1;
                    self.class_range(low, &mut body)?;
                }
                ClassItem::Octet(value) if value < 256 => push_octet(&mut body, value),
                ClassItem::Octet(_) => {}
            }
        }
        // A class of nothing but characters beyond an octet is empty: it matches nothing, or everything if inverted.
        match (body.is_empty(), inverted) {
            (true, false) => self.set(r"[^\x00-\xFF]"),
            (true, true) => self.set(r"[\x00-\xFF]"),
            (false, false) => self.set(&format!("[{body}]")),
            (false, true) => self.set(&format!("[^{body}]")),
        }
        Ok(())
    }

    fn class_range(&mut self, low: u32, body: &mut String) -> Result<(), Refusal> {
        match self.class_item()? {
            ClassItem::Octet(high) if high < low => return Err(wrong("a range runs backwards")),
            ClassItem::Octet(_) if low > 255 => {}
            ClassItem::Octet(high) => {
                push_octet(body, low);
                body.push('-');
                push_octet(body, high.min(255));
            }
            // `[a-\d]` is no range: the dash is plain.
            ClassItem::Set(set) => {
                if low < 256 {
                    push_octet(body, low);
                }
                body.push_str(r"\x2D");
                body.push_str(&set);
            }
        }
        Ok(())
    }

    fn class_item(&mut self) -> Result<ClassItem, Refusal> {
        if self.rest().starts_with(b"[:")
            && let Some(end) = memchr::memmem::find(self.rest(), b":]")
        {
            let name = self.rest().get(..end + 2).unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            self.at += end + 2;
            return Ok(ClassItem::Set(name));
        }
        let Some(octet) = self.next() else { return Err(wrong("a [ is not closed")) };
        if octet != b'\\' {
            return Ok(ClassItem::Octet(u32::from(octet)));
        }
        let Some(letter) = self.next() else { return Err(wrong("a [ is not closed")) };
        if let Some(value) = self.escaped_octet(letter)? {
            return Ok(ClassItem::Octet(value));
        }
        Ok(match letter {
            b'd' | b'D' | b'w' | b'W' | b's' | b'S' => {
                ClassItem::Set(format!("\\{}", char::from(letter)))
            }
            b'h' => ClassItem::Set(r"\x20\x09".to_owned()),
            b'v' => ClassItem::Set(r"\n\x0B\x0C\r".to_owned()),
            b'R' | b'H' | b'V' | b'N' | b'p' | b'P' => {
                return Err(Refusal::NotBuilt("needs a class inside a class"));
            }
            b'b' => ClassItem::Octet(8),
            b'1'..=b'7' => ClassItem::Octet(self.octal(u32::from(letter - b'0'), 2) & 255),
            _ => ClassItem::Octet(u32::from(letter)),
        })
    }
}
