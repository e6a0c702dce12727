//! PDF (ISO 32000): scripts, actions, files inside, addresses; in all revisions, and in files that are broken. What only
//! draws a page is not looked at.

mod crypt;
mod filter;
mod object;
mod scan;
mod text;

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use memchr::memmem;

use self::crypt::{Key, Locked};
use self::object::Object;
use self::scan::{Indirect, Objects, content};
use super::{Ask, Member, Opened};
use crate::mail::{DefectCode, PartFlag};
use crate::mime::budget::Budget;

/// Scripts that are given.
const SCRIPTS_MAX: usize = 200;
/// Links that are given.
const LINKS_MAX: usize = 2_000;
/// Names of one file.
const NAMES_MAX: usize = 16;

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, passwords, budget, .. } = ask;
    let mut objects = scan::scan(data, budget);
    let key = crypt::unlock(&objects, passwords, budget);
    let mut file = File { opened, budget, key: None, locked: false, decrypted: None };
    match key {
        Ok(None) if !passwords.is_empty() => return,
        Ok(None) => {}
        // Without a password readers open it without asking: it is a file as any other.
        Ok(Some((_, None))) if !passwords.is_empty() => return,
        Ok(Some((key, source))) => {
            file.key = Some(key);
            file.decrypted = source.map(PartFlag::Decrypted);
        }
        Err(Locked) => {
            file.locked = true;
            file.opened.flag(PartFlag::Encrypted);
            file.opened.note(DefectCode::Encrypted);
        }
    }
    if !file.locked {
        objects.unpack(file.key.as_ref(), file.budget);
    }
    for code in std::mem::take(&mut objects.odd) {
        file.opened.note(code);
    }
    let found = file.walk(&objects);
    file.scripts(&objects, found.scripts);
    file.forms(&objects, &found.forms);
    if found.runs && file.opened.flags.contains(&PartFlag::Script) {
        file.opened.flag(PartFlag::AutoRun);
    }
    file.files(&objects, &found.files);
}

/// What the dictionaries point at.
#[derive(Default)]
struct Found<'a> {
    /// A script, and the object it stands in.
    scripts: Vec<(&'a Object, &'a Indirect)>,
    /// Objects of forms (XFA).
    forms: Vec<u32>,
    /// Streams that are files, by their numbers, with their names.
    files: HashMap<u32, Vec<String>>,
    /// Something runs when the file, or a page of it, is opened.
    runs: bool,
}

struct File<'a> {
    opened: &'a mut Opened,
    budget: &'a mut Budget,
    key: Option<Key>,
    /// Encrypted, and no password fits.
    locked: bool,
    decrypted: Option<PartFlag>,
}

impl File<'_> {
    /// Looks at every dictionary of every object.
    fn walk<'a>(&mut self, objects: &'a Objects) -> Found<'a> {
        let mut found = Found::default();
        for holder in &objects.all {
            if let Some(code) = self.budget.late() {
                self.opened.note(code);
                break;
            }
            let mut work = vec![&holder.object];
            while let Some(object) = work.pop() {
                match object {
                    Object::Dict(entries) => {
                        self.dictionary(object, holder, objects, &mut found);
                        work.extend(entries.iter().map(|(_, value)| value));
                    }
                    Object::List(list) => work.extend(list),
                    Object::Other
                    | Object::Number(_)
                    | Object::Name(_)
                    | Object::Text(_)
                    | Object::Ref(_) => {}
                }
            }
            let is_file = holder.object.get("Type").is_some_and(|t| t.is_name("EmbeddedFile"));
            if is_file && holder.stream.is_some() {
                found.files.entry(holder.number).or_default();
            }
        }
        found
    }

    fn dictionary<'a>(
        &mut self,
        dict: &'a Object,
        holder: &'a Indirect,
        objects: &'a Objects,
        found: &mut Found<'a>,
    ) {
        let action = |name: &str| {
            dict.get("S").is_some_and(|action| {
                action.is_name(name)
                    || action.reference().is_some_and(|number| {
                        objects.revisions(number).any(|one| one.object.is_name(name))
                    })
            })
        };
        if action("JavaScript") || dict.get("JS").is_some() {
            self.opened.flag(PartFlag::Script);
        }
        if let Some(script) = dict.get("JS") {
            found.scripts.push((script, holder));
        }
        found.runs |= dict.get("OpenAction").is_some()
            || matches!(dict.get("JavaScript"), Some(Object::Ref(_) | Object::Dict(_)))
            // What runs when a field is filled in does not run by itself.
            || dict.get("AA").is_some_and(|events| {
                let runs = |events: &Object| ["O", "PO", "PV"].iter().any(|on| events.get(on).is_some());
                runs(events)
                    || events.reference().is_some_and(|number| {
                        objects.revisions(number).any(|one| runs(&one.object))
                    })
            });
        if action("Launch") {
            self.opened.flag(PartFlag::Launch);
            self.target(dict.get("F"), holder, objects, false);
            self.target(dict.get("Win").and_then(|win| win.get("F")), holder, objects, false);
        }
        if let Some(url) = dict.get("URI").and_then(|url| self.text_of(url, holder, objects)) {
            self.link(url);
        }
        if action("GoToR") || action("GoToE") || action("SubmitForm") || action("ImportData") {
            self.target(dict.get("F"), holder, objects, true);
        }
        if let Some(form) = dict.get("XFA") {
            found.forms.extend(form.reference());
            found.forms.extend(form.list().iter().filter_map(Object::reference));
        }
        if let Some(files) = dict.get("EF") {
            let names = self.names(dict, holder, objects);
            let elsewhere = files.reference().into_iter().flat_map(|n| objects.revisions(n));
            for files in std::iter::once(files).chain(elsewhere.map(|one| &one.object)) {
                add_files(files, &names, found);
            }
        }
    }

    /// A string, or the one that is pointed at.
    fn text_of(&self, value: &Object, holder: &Indirect, objects: &Objects) -> Option<String> {
        if let Some(octets) = value.text() {
            return Some(self.string(octets, holder));
        }
        objects
            .revisions(value.reference()?)
            .find_map(|one| one.object.text().map(|octets| self.string(octets, one)))
    }

    /// A string as text.
    fn string(&self, octets: &[u8], holder: &Indirect) -> String {
        let Some(key) = self.key.as_ref().filter(|_| !holder.packed) else {
            return text::text(octets);
        };
        let open = key.string(holder.number, holder.generation, octets);
        let is_plain =
            |octets: &[u8]| octets.iter().all(|o| matches!(o, b' '..=b'~' | b'\t' | b'\r' | b'\n'));
        // What only makes sense as it stands was not encrypted.
        let plain = open.is_empty() || (is_plain(octets) && !is_plain(&open));
        text::text(if plain { octets } else { &open })
    }

    /// The names of a file specification.
    fn names(&self, dict: &Object, holder: &Indirect, objects: &Objects) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        if self.locked && !holder.packed {
            return names;
        }
        for key in ["UF", "F", "Unix", "DOS", "Mac", "Desc"] {
            let name = dict.get(key).and_then(|name| self.text_of(name, holder, objects));
            let name = name.unwrap_or_default();
            // A description is a name only if there is no other.
            if !name.is_empty() && !names.contains(&name) && (key != "Desc" || names.is_empty()) {
                names.push(name);
            }
        }
        names
    }

    /// A file specification that an action opens.
    fn target(
        &mut self,
        target: Option<&Object>,
        holder: &Indirect,
        objects: &Objects,
        fetches: bool,
    ) {
        let Some(target) = target else { return };
        let elsewhere = target.reference().into_iter().flat_map(|n| objects.revisions(n));
        let place = self.text_of(target, holder, objects).or_else(|| {
            let here = std::iter::once((target, holder));
            here.chain(elsewhere.map(|one| (&one.object, one)))
                .find_map(|(spec, holder)| self.names(spec, holder, objects).into_iter().next())
        });
        let Some(place) = place else { return };
        let is_remote =
            place.contains("://") || place.starts_with("\\\\") || place.starts_with("//");
        if is_remote && fetches {
            self.opened.flag(PartFlag::Remote);
        }
        self.link(place);
    }

    fn link(&mut self, url: String) {
        if !url.is_empty() && self.opened.links.len() < LINKS_MAX && !self.locked {
            self.opened.links.push((crate::mime::links::clean(&url), None));
        }
    }

    /// Gives the scripts as members; without an ending, for Windows runs none of them.
    fn scripts(&mut self, objects: &Objects, scripts: Vec<(&Object, &Indirect)>) {
        let mut seen: HashSet<String> = HashSet::new();
        let mut looked_up: HashSet<u32> = HashSet::new();
        let mut number = 0;
        for (script, holder) in scripts {
            let mut texts: Vec<String> = Vec::new();
            texts.extend(script.text().map(|octets| self.string(octets, holder)));
            let elsewhere = script.reference().filter(|number| looked_up.insert(*number));
            for one in elsewhere.into_iter().flat_map(|number| objects.revisions(number)) {
                texts.extend(self.script_of(objects, one));
            }
            for text in texts {
                if self.locked || text.trim().is_empty() || !seen.insert(text.clone()) {
                    continue;
                }
                number += 1;
                if number > SCRIPTS_MAX {
                    self.opened.note(DefectCode::TooManyFiles);
                    return;
                }
                let names = vec![format!("javascript-{number}")];
                let flags = self.decrypted.into_iter().collect();
                let member = Member { names, data: text.into(), flags, ..Member::default() };
                self.opened.stored(member, self.budget);
            }
        }
    }

    fn script_of(&mut self, objects: &Objects, holder: &Indirect) -> Option<String> {
        if let Object::Text(octets) = &holder.object {
            return Some(self.string(octets, holder));
        }
        let decoded = content(objects, holder, self.key.as_ref(), self.budget)?;
        Some(text::text(&decoded.data))
    }

    /// Forms are XML; some hold scripts.
    fn forms(&mut self, objects: &Objects, forms: &[u32]) {
        const FORMS_MAX: usize = 200;
        if self.locked {
            return;
        }
        for number in forms.iter().take(FORMS_MAX) {
            for holder in objects.revisions(*number) {
                let Some(xml) = content(objects, holder, self.key.as_ref(), self.budget) else {
                    continue;
                };
                if memmem::find(&xml.data, b"<script").is_some() {
                    self.opened.flag(PartFlag::Script);
                }
            }
        }
    }

    /// The files inside.
    fn files(&mut self, objects: &Objects, files: &HashMap<u32, Vec<String>>) {
        let mut numbers: Vec<u32> = files.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            for holder in objects.revisions(number).filter(|holder| holder.stream.is_some()) {
                self.opened.flag(PartFlag::Object);
                if let Err(code) = self.budget.file() {
                    self.opened.note(code);
                    return;
                }
                let names = files.get(&number).cloned().unwrap_or_default();
                if self.locked {
                    self.opened.members.push(Member {
                        names,
                        data: Bytes::new(),
                        flags: vec![PartFlag::Encrypted],
                        odd: vec![DefectCode::Encrypted],
                    });
                    continue;
                }
                let Some(decoded) = content(objects, holder, self.key.as_ref(), self.budget) else {
                    continue;
                };
                let mut flags: Vec<PartFlag> = self.decrypted.into_iter().collect();
                if decoded.odd == Some(DefectCode::UnscannableMember) {
                    flags.push(PartFlag::Unscannable);
                }
                let odd = decoded.odd.into_iter().collect();
                self.opened.members.push(Member { names, data: decoded.data, flags, odd });
            }
        }
    }
}

/// The streams of a file specification, with its names.
fn add_files(files: &Object, names: &[String], found: &mut Found<'_>) {
    let Object::Dict(files) = files else { return };
    for number in files.iter().filter_map(|(_, stream)| stream.reference()) {
        let known = found.files.entry(number).or_default();
        for name in names {
            if known.len() < NAMES_MAX && !known.contains(name) {
                known.push(name.clone());
            }
        }
    }
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
