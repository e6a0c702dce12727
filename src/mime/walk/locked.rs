//! The second pass: what needed a password is opened again, with those that the mail itself tells.

use std::collections::HashSet;

use bytes::Bytes;

use super::Walk;
use crate::mail::{DefectCode, Part, PartFlag, PartKind};
use crate::mime::container::{self, Ask, Container, Member, Opened, Password};
use crate::mime::passwords::{self, Texts};
use crate::mime::{charset, html, words};

/// Times that all is tried: what opens may hold a further container, or the password for another one.
const ROUNDS_MAX: usize = 8;

/// Texts in which passwords are looked for, and octets of them altogether.
const TEXTS_MAX: usize = 200;
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Passwords that are tried in a later round at least.
const LATER_MAX: usize = 50;

/// A container with something in it that needs a password.
pub(super) struct Locked {
    index: usize,
    container: Container,
    /// Containers around its members, itself included.
    archive_depth: usize,
}

impl Walk {
    /// Keeps a container for the second pass, if something in it needs a password.
    pub(super) fn remember_locked(
        &mut self,
        index: usize,
        container: Container,
        opened: &Opened,
        archive_depth: usize,
    ) {
        if opened.flags.contains(&PartFlag::Encrypted) {
            self.locked.push(Locked { index, container, archive_depth });
            *self.closed.entry(index).or_default() += 1;
        }
    }

    /// Opens again what needed a password, as long as something new comes of it.
    pub(super) fn unlock(&mut self) {
        if self.budget.limits.work_max == 0 {
            return;
        }
        let configured = self.budget.limits.passwords.clone();
        let mut tried: Vec<Password> = Vec::new();
        // Containers that were asked with all that was tried.
        let mut old: Vec<Locked> = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let new = std::mem::take(&mut self.locked);
            if self.budget.is_late() || (new.is_empty() && old.is_empty()) {
                return;
            }
            let left = passwords::PASSWORDS_MAX.saturating_sub(tried.len()).max(LATER_MAX);
            let known: HashSet<&[u8]> = tried.iter().map(|one| one.octets.as_slice()).collect();
            let fresh: Vec<Password> = passwords::gather(&self.texts(), &configured)
                .into_iter()
                .filter(|one| !known.contains(one.octets.as_slice()))
                .take(left)
                .collect();
            if new.is_empty() && fresh.is_empty() {
                return;
            }
            if !fresh.is_empty() {
                old.retain(|locked| !self.opens_all(locked, &fresh));
            }
            tried.extend(fresh);
            old.extend(new.into_iter().filter(|locked| !self.opens_all(locked, &tried)));
            self.go_through();
        }
    }

    /// True if nothing in the container needs a password any more.
    fn opens_all(&mut self, locked: &Locked, passwords: &[Password]) -> bool {
        let index = locked.index;
        let Some(part) = self.message.parts.get(index) else { return true };
        let (data, path, name) =
            (part.data.clone(), part.path.clone(), part.names.first().cloned());
        let ask = Ask { data: &data, name: name.as_deref(), passwords, budget: &mut self.budget };
        let Opened { members, mut flags, odd, links } = container::open(locked.container, ask);
        let has_opened = |member: &Member| member.flags.iter().any(is_decrypted);
        let mut waiting = self.closed_members(index);
        if !members.iter().any(has_opened) && !flags.iter().any(is_decrypted) {
            return false;
        }
        // Members that opened in an earlier round are asked for again, and not with the same passwords.
        let by_flag = waiting.is_empty() && flags.contains(&PartFlag::Encrypted);
        let mut fresh = Vec::new();
        for member in members.into_iter().filter(has_opened) {
            let same = |place: &usize| {
                self.message.parts.get(*place).is_some_and(|part| part.names == member.names)
            };
            match waiting.iter().position(same) {
                Some(at) => self.fill_in(waiting.remove(at), member, locked.archive_depth),
                None => fresh.push(member),
            }
        }
        let closed = by_flag || !waiting.is_empty();
        if !closed {
            self.open_part(index, &path);
        }
        flags.retain(|flag| *flag != PartFlag::Encrypted);
        let rest = Opened { members: fresh, flags, odd, links };
        self.take_members(index, rest, locked.archive_depth);
        !closed
    }

    /// One reading of the part is open; if it was the last that was not, so is the part.
    fn open_part(&mut self, index: usize, path: &str) {
        let Some(left) = self.closed.get_mut(&index) else { return };
        *left = left.saturating_sub(1);
        if *left > 0 {
            return;
        }
        if let Some(part) = self.message.parts.get_mut(index) {
            part.flags.retain(|flag| *flag != PartFlag::Encrypted);
        }
        self.forget_encrypted(path);
    }

    /// Members of a container that stand there without content because they need a password.
    fn closed_members(&self, parent: usize) -> Vec<usize> {
        let is_closed = |part: &Part| {
            part.parent == Some(parent)
                && part.kind == PartKind::Member
                && part.is(PartFlag::Encrypted)
                && part.data.is_empty()
        };
        let parts = self.message.parts.iter().enumerate();
        parts.filter(|(_, part)| is_closed(part)).map(|(index, _)| index).collect()
    }

    /// Gives a member its content, and looks into it.
    fn fill_in(&mut self, index: usize, member: Member, archive_depth: usize) {
        let Some(part) = self.message.parts.get_mut(index) else { return };
        part.flags.retain(|flag| *flag != PartFlag::Encrypted);
        part.flags.extend(member.flags);
        let path = part.path.clone();
        self.forget_encrypted(&path);
        for code in member.odd {
            self.note(code, &path, "");
        }
        self.set_data(index, member.data);
        let page = self.collect_links(index);
        self.look_into_member(index, page, &member.names, archive_depth);
    }

    /// The member is open: no defect any more.
    fn forget_encrypted(&mut self, path: &str) {
        let same_name_closed =
            self.message.parts.iter().any(|part| part.path == path && part.is(PartFlag::Encrypted));
        if !same_name_closed {
            self.message
                .defects
                .retain(|defect| defect.code != DefectCode::Encrypted || defect.part != path);
        }
    }

    /// All texts of the mail, so far as it is decoded.
    fn texts(&self) -> Texts {
        let mut texts = Texts {
            subject: self
                .message
                .parts
                .first()
                .map(|part| subject(&part.header_octets, part))
                .unwrap_or_default(),
            ..Texts::default()
        };
        let mut left = TEXT_BYTES_MAX;
        for part in &self.message.parts {
            if texts.names.len() < TEXTS_MAX {
                texts.names.extend(part.names.iter().take(4).cloned());
            }
            let is_text = part.types.first().is_some_and(|kind| kind.class == "text");
            let text = match &part.text {
                Some(text) => text.as_str().into(),
                None if is_text && part.kind != PartKind::Multipart => charset::guess(&part.data),
                None => continue,
            };
            if texts.bodies.len() >= TEXTS_MAX || left < text.len() {
                continue;
            }
            left -= text.len();
            let marked_up = part.declared_type == "text/html"
                || part.types.iter().any(|kind| kind.short == "html");
            let text = if marked_up { html::render(&text).text } else { text.into_owned() };
            texts.bodies.push(text);
        }
        texts
    }

    /// Brings the parts into the order of a walk through the tree, after some were added at the end.
    pub(super) fn sort_parts(&mut self) {
        let count = self.message.parts.len();
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); count];
        let mut open = Vec::new();
        for (index, part) in self.message.parts.iter().enumerate() {
            match part.parent.and_then(|parent| children.get_mut(parent)) {
                Some(siblings) => siblings.push(index),
                None => open.push(index),
            }
        }
        open.reverse();
        let mut order = Vec::with_capacity(count);
        while let Some(index) = open.pop() {
            order.push(index);
            let below = children.get_mut(index).map(std::mem::take).unwrap_or_default();
            open.extend(below.into_iter().rev());
        }
        let mut places = vec![0; count];
        for (place, index) in order.iter().enumerate() {
            if let Some(slot) = places.get_mut(*index) {
                *slot = place;
            }
        }
        let mut parts: Vec<Option<Part>> =
            std::mem::take(&mut self.message.parts).into_iter().map(Some).collect();
        for index in order {
            if let Some(mut part) = parts.get_mut(index).and_then(Option::take) {
                part.parent = part.parent.and_then(|parent| places.get(parent).copied());
                self.message.parts.push(part);
            }
        }
    }
}

fn is_decrypted(flag: &PartFlag) -> bool {
    matches!(flag, PartFlag::Decrypted(_))
}

/// The text of the Subject in the header section of a part.
fn subject(octets: &Bytes, part: &Part) -> String {
    let named = |range: &std::ops::Range<usize>| {
        octets.get(range.clone()).is_some_and(|name| name.eq_ignore_ascii_case(b"subject"))
    };
    let field = part.headers.iter().find(|field| named(&field.name));
    let value = field.and_then(|field| octets.get(field.value.clone()));
    value.map(words::decode).unwrap_or_default()
}

#[cfg(test)]
mod tests;
