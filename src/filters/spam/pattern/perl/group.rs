//! Groups: `(…)` and all that begins with `(?`.

use super::{BACK_REFERENCE, LOOK_AROUND, Modes, Refusal, Translator, wrong};

impl Translator<'_> {
    pub(super) fn open_group(&mut self) -> Result<(), Refusal> {
        self.countable = false;
        let modes = self.current();
        if self.peek() == Some(b'*') {
            return Err(Refusal::NotBuilt("needs a backtracking verb"));
        }
        if self.peek() != Some(b'?') {
            self.out.push('(');
            self.modes.push(modes);
            return Ok(());
        }
        match (self.ahead(1), self.ahead(2)) {
            (Some(b'#'), _) => {
                while self.next().is_some_and(|octet| octet != b')') {}
                Ok(())
            }
            (Some(b'='), _) | (Some(b'!'), _) | (Some(b'<'), Some(b'=' | b'!')) => Err(LOOK_AROUND),
            (Some(b'>'), _) => Err(Refusal::NotBuilt("needs an atomic group")),
            (Some(b'|'), _) => Err(Refusal::NotBuilt("needs a branch reset")),
            (Some(b'('), _) => Err(Refusal::NotBuilt("needs a conditional")),
            (Some(b'R' | b'&' | b'+' | b'0'..=b'9'), _) => {
                Err(Refusal::NotBuilt("needs recursion"))
            }
            (Some(b'P'), Some(b'=' | b'>')) => Err(BACK_REFERENCE),
            (Some(b'P' | b'<' | b'\''), _) => self.named_group(),
            _ => self.mode_group(),
        }
    }

    /// `(?<name>…)`: names serve nothing here, so the group is only a group.
    fn named_group(&mut self) -> Result<(), Refusal> {
        let rest = self.rest();
        let Some(end) = rest.iter().skip(3).position(|octet| matches!(octet, b'>' | b'\'')) else {
            return Err(wrong("a group's name is not closed"));
        };
        self.at += end + 4;
        self.out.push_str("(?:");
        self.modes.push(self.current());
        Ok(())
    }

    /// `(?i-s:…)`, `(?i)`, `(?^:…)`, `(?:…)`.
    fn mode_group(&mut self) -> Result<(), Refusal> {
        self.at += 1;
        let (mut on, mut off) = (String::new(), String::new());
        let mut modes = self.current();
        let mut switch_on = true;
        let closes = loop {
            let Some(flag) = self.next() else { return Err(wrong("a group is not closed")) };
            match flag {
                b'^' => {
                    off.push_str("ims");
                    modes = Modes { extended: false, multiline: false };
                }
                b'-' => switch_on = false,
                b'i' | b's' | b'm' => {
                    let flag = char::from(flag);
                    off.retain(|other| other != flag);
                    if switch_on { &mut on } else { &mut off }.push(flag);
                    if flag == 'm' {
                        modes.multiline = switch_on;
                    }
                }
                b'x' => modes.extended = switch_on,
                b'a' | b'u' | b'l' | b'd' | b'n' | b'p' => {}
                b':' => break false,
                b')' => break true,
                _ => return Err(wrong("a group begins with (? and an unknown letter")),
            }
        };
        let dash = if off.is_empty() { "" } else { "-" };
        if !closes {
            self.out.push_str(&format!("(?{on}{dash}{off}:"));
            self.modes.push(modes);
            return Ok(());
        }
        if !on.is_empty() || !off.is_empty() {
            self.out.push_str(&format!("(?{on}{dash}{off})"));
        }
        if let Some(current) = self.modes.last_mut() {
            *current = modes;
        }
        Ok(())
    }

    pub(super) fn close_group(&mut self) -> Result<(), Refusal> {
        if self.modes.len() < 2 {
            return Err(wrong("a ) closes nothing"));
        }
        self.modes.pop();
        self.out.push(')');
        self.countable = true;
        Ok(())
    }
}
