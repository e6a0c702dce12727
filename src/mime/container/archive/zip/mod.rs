//! zip: what the directory lists and what local headers say, both. Where they disagree, every reading is unpacked.

mod crypto;
mod directory;
mod header;
mod inflate64;
mod methods;

use std::ops::Range;

use bytes::Bytes;
use flate2::Crc;
use memchr::memmem;

use super::{Ask, Member, Opened, name_text, u16_at, u32_at};
use crate::mail::{DefectCode, PartFlag, PasswordSource};
use crate::mime::budget::Budget;
use crate::mime::container::Password;
use directory::{Entry, List, after};
use header::{CENTRAL, Local, Manner, Said, is_unsafe_path, read_local, same_name};
use methods::{Out, Packed, STORED};

/// The mark before sizes that stand behind the data.
const DESCRIPTOR: &[u8] = b"PK\x07\x08";

/// Ways to read one member, and lengths of it, that are tried.
const READINGS_MAX: usize = 4;

/// How many times all octets of the container may be gone through; members that share octets ask for more.
const ROUNDS_MAX: u64 = 4;

/// Members that no password opens, after which only the likeliest ones are tried.
const CLOSED_MAX: usize = 3;
const LIKELIEST: usize = 50;

pub(in crate::mime::container) fn open(ask: Ask<'_>, opened: &mut Opened) {
    let Ask { data, budget, passwords, .. } = ask;
    let files_max = budget.limits.archive_files_max;
    let mut list = List::read(data, files_max);
    if !list.listed {
        // Cut short, or no zip at all: repair tools go by the local headers.
        opened.note(DefectCode::BadArchive);
    }
    let octets_left = (data.len() as u64).saturating_mul(ROUNDS_MAX).saturating_add(1 << 20);
    let mut reader = Reader { data, passwords, budget, opened, octets_left, closed: 0, last: 0 };
    while let Some((at, entry)) = list.entries.pop_first() {
        let next = list.entries.keys().next().copied();
        match reader.member(at, &entry, next) {
            // Behind an end that comes too early a member may hide.
            Ok(Some(unread)) => list.find_in(data, unread),
            Ok(None) => {}
            Err(code) => {
                opened.note(code);
                break;
            }
        }
    }
    for (seen, code) in [
        (list.too_many, DefectCode::TooManyFiles),
        (list.unlisted, DefectCode::ArchiveNamesDisagree),
        (list.overlapping, DefectCode::OverlappingMembers),
    ] {
        if seen {
            opened.note(code);
        }
    }
}

/// One pass over a container.
struct Reader<'a> {
    data: &'a Bytes,
    /// Empty: all but the encrypted members; else only those.
    passwords: &'a [Password],
    budget: &'a mut Budget,
    opened: &'a mut Opened,
    /// Octets of the container that may still be gone through.
    octets_left: u64,
    /// Members that no password opened.
    closed: usize,
    /// The password that opened the last member.
    last: usize,
}

/// What both headers say of one member.
struct About<'a> {
    entry: &'a Entry,
    local: &'a Local,
    /// Where the next header stands.
    next: Option<usize>,
    /// Nothing, unless its checksum is right.
    doubtful: bool,
}

impl About<'_> {
    fn said(&self) -> impl Iterator<Item = &Said> {
        self.entry.central.iter().chain(std::iter::once(&self.local.said))
    }

    /// Every packed size that is told, the largest first, cut to what is there.
    fn lengths(&self, data: &[u8], method: u16) -> Vec<usize> {
        let there = data.len().saturating_sub(self.local.start);
        let mut lengths = Vec::new();
        for said in self.said() {
            // Stored members are as large as they say in two places.
            let size = Some(said.size).filter(|_| method == STORED && !said.manner().encrypted);
            for length in std::iter::once(said.packed).chain(size) {
                let told = length != 0 && length != u64::from(u32::MAX);
                let length = usize::try_from(length).unwrap_or(usize::MAX).min(there);
                if told && !lengths.contains(&length) {
                    lengths.push(length);
                }
            }
        }
        lengths.sort_unstable_by(|one, other| other.cmp(one));
        lengths.truncate(READINGS_MAX);
        lengths
    }

    /// The largest size that is told.
    fn size(&self) -> u64 {
        let told = self.said().map(|said| said.size).filter(|size| *size != u64::from(u32::MAX));
        told.max().unwrap_or(0)
    }

    /// True if the checksum of the content is one that is told; `None` if none is. `consumed`: packed octets, behind
    /// which it may stand too.
    fn fits(&self, data: &[u8], content: &[u8], consumed: Option<usize>) -> Option<bool> {
        let mut told: Vec<u32> = self.said().map(|said| said.crc).filter(|crc| *crc != 0).collect();
        if let Some(consumed) = consumed
            && self.said().any(Said::has_descriptor)
        {
            let behind = data.get(self.local.start..).and_then(|rest| rest.get(consumed..));
            let behind = behind.unwrap_or_default();
            told.extend(u32_at(behind.strip_prefix(DESCRIPTOR).unwrap_or(behind), 0));
        }
        if told.is_empty() {
            return None;
        }
        let mut crc = Crc::new();
        crc.update(content);
        Some(told.contains(&crc.sum()))
    }
}

impl Reader<'_> {
    /// Reads the member whose local header stands at `at`. Gives octets of it in which other members may hide.
    fn member(
        &mut self,
        at: usize,
        entry: &Entry,
        next: Option<usize>,
    ) -> Result<Option<Range<usize>>, DefectCode> {
        let data = self.data;
        let local = read_local(data, at);
        let said = || entry.central.iter().chain(local.iter().map(|local| &local.said));
        let mut names: Vec<String> = Vec::new();
        for name in said().flat_map(Said::names) {
            if !name.is_empty() && !names.contains(&name) {
                names.push(name);
            }
        }
        let Some(local) = &local else {
            if self.passwords.is_empty() {
                self.opened.note(DefectCode::BadArchive);
                self.push(named(&names))?;
            }
            return Ok(None);
        };
        let is_folder = names.iter().any(|name| name.ends_with('/'));
        let has_size = said().any(|said| said.packed != 0);
        if is_folder && !has_size && !said().any(Said::has_descriptor) {
            return Ok(None);
        }
        let mut manners: Vec<Manner> = Vec::new();
        for manner in said().map(Said::manner) {
            if !manners.contains(&manner) {
                manners.push(manner);
            }
        }
        let mut named_as = said().map(|said| &said.name).filter(|name| !name.is_empty());
        let disagree = named_as.next().is_some_and(|one| !named_as.all(|two| same_name(one, two)));
        let cut_short = names.iter().any(|name| name.contains('\0'));
        if !entry.doubtful && (disagree || cut_short || manners.len() > 1) {
            self.opened.note(DefectCode::ArchiveNamesDisagree);
        }
        // A right checksum alone tells content from chance.
        let doubtful = entry.doubtful || (is_folder && !has_size);
        let about = About { entry, local, next, doubtful };
        let mut unread = None;
        let several = manners.len() > 1;
        for manner in manners.into_iter().take(READINGS_MAX) {
            if manner.encrypted {
                self.secret(&about, manner, &names)?;
            } else if self.passwords.is_empty() {
                unread = self.plain(&about, manner, &names, several)?.or(unread);
            }
        }
        Ok(unread)
    }

    /// Takes a member, if the limits allow one more.
    fn push(&mut self, mut member: Member) -> Result<(), DefectCode> {
        // In the second pass it was counted in the first.
        if self.passwords.is_empty() {
            self.budget.file()?;
        }
        if member.names.iter().any(|name| is_unsafe_path(name)) {
            member.odd.push(DefectCode::UnsafePath);
        }
        for flag in [PartFlag::Encrypted, PartFlag::Unscannable] {
            if member.flags.contains(&flag) {
                self.opened.flag(flag);
            }
        }
        self.opened.members.push(member);
        Ok(())
    }

    /// Asks for octets of the container to go through.
    fn may_read(&mut self, octets: usize) -> bool {
        let left = self.octets_left.checked_sub(octets as u64);
        self.octets_left = left.unwrap_or(0);
        left.is_some()
    }

    /// Unpacks a member that needs no password.
    fn plain(
        &mut self,
        about: &About<'_>,
        manner: Manner,
        names: &[String],
        several: bool,
    ) -> Result<Option<Range<usize>>, DefectCode> {
        let start = about.local.start;
        if manner.method == STORED {
            return self.stored(about, names);
        }
        let packed = self.data.get(start..).unwrap_or_default();
        let claimed = about.lengths(self.data, manner.method).first().copied().unwrap_or(0);
        let mut member = named(names);
        // What was gone through before is not again, whoever points there.
        if self.octets_left == 0 {
            member.flags.push(PartFlag::Unscannable);
            member.odd.push(DefectCode::OverlappingMembers);
            self.push(member)?;
            return Ok(None);
        }
        let facts = Packed { data: packed, claimed, size: about.size() };
        let Some(out) = methods::unpack(manner.method, facts, self.budget) else {
            if !about.doubtful {
                self.push(unscannable(member))?;
            }
            return Ok(None);
        };
        let Out { data, consumed, odd } = out;
        self.may_read(consumed.unwrap_or(claimed.max(1)));
        let fits = about.fits(self.data, &data, consumed.or(Some(claimed)));
        let whole = fits != Some(false) && odd.is_none();
        let is_nothing = data.is_empty() && names.iter().any(|name| name.ends_with('/'));
        let is_chance = about.doubtful && fits != Some(true);
        // Of two ways to read a member, one is mostly nonsense.
        let is_nonsense = several && data.is_empty() && odd == Some(DefectCode::BadArchive);
        if !is_nothing && !is_chance && !is_nonsense {
            self.add_target(about, &data, &mut member);
            member.data = data;
            member.odd.extend(odd);
            if fits == Some(false) && odd.is_none() {
                member.odd.push(DefectCode::BadArchive);
            }
            self.push(member)?;
        }
        let end = after(start, claimed as u64).min(self.data.len());
        Ok(match consumed {
            Some(consumed) => Some(after(start, consumed as u64)..end),
            None if whole => None,
            None => Some(start..end),
        }
        .filter(|unread| unread.start < unread.end && self.may_read(unread.len())))
    }

    /// A member that is not packed: as long as it is said to be, in each place where that is said.
    fn stored(
        &mut self,
        about: &About<'_>,
        names: &[String],
    ) -> Result<Option<Range<usize>>, DefectCode> {
        let start = about.local.start;
        let mut lengths = about.lengths(self.data, STORED);
        if lengths.is_empty() && about.local.said.has_descriptor() {
            lengths.push(self.stored_length(about));
        }
        if lengths.is_empty() {
            lengths.push(0);
        }
        if lengths.len() > 1 {
            self.opened.note(DefectCode::ArchiveNamesDisagree);
        }
        let mut unread = None;
        for length in lengths {
            let end = start.saturating_add(length).min(self.data.len());
            let content = self.data.slice(start.min(end)..end);
            let may_read = self.may_read(length);
            let fits = if may_read { about.fits(self.data, &content, Some(length)) } else { None };
            if about.doubtful && (content.is_empty() || fits != Some(true)) {
                continue;
            }
            let mut member = named(names);
            if !may_read {
                member.flags.push(PartFlag::Unscannable);
                member.odd.push(DefectCode::OverlappingMembers);
            } else if let Err(code) = self.budget.expand(length, 0, length) {
                member.odd.push(code);
            } else {
                self.add_target(about, &content, &mut member);
                member.data = content;
                if fits == Some(false) {
                    member.odd.push(DefectCode::BadArchive);
                }
                // Nothing vouches for its length.
                let alone = about.entry.central.is_empty() && length > 0;
                if fits == Some(false) || (fits.is_none() && alone) {
                    unread = Some(start..end).filter(|_| self.may_read(length)).or(unread);
                }
            }
            self.push(member)?;
        }
        Ok(unread)
    }

    /// How long a member is whose size stands behind it: up to a size that is right where it stands, or else up to the
    /// next header.
    fn stored_length(&mut self, about: &About<'_>) -> usize {
        let rest = self.data.get(about.local.start..).unwrap_or_default();
        let mut from = 0;
        while let Some(hit) = memmem::find(rest.get(from..).unwrap_or_default(), DESCRIPTOR) {
            let at = from + hit;
            if u32_at(rest, at + 8).map(u64::from) == Some(at as u64) {
                self.may_read(at);
                return at;
            }
            from = at + DESCRIPTOR.len();
            if !self.may_read(hit + 1) {
                return 0;
            }
        }
        self.may_read(rest.len() - from.min(rest.len()));
        let next = about.next.and_then(|next| next.checked_sub(about.local.start));
        let rest = next.and_then(|next| rest.get(..next)).unwrap_or(rest);
        let end = memmem::find(rest, CENTRAL).unwrap_or(rest.len());
        // Without the mark, three numbers stand behind the data.
        match end.checked_sub(12) {
            Some(before) if u32_at(rest, before + 4).map(u64::from) == Some(before as u64) => {
                before
            }
            _ => end,
        }
    }

    /// Says of a link if its target lies elsewhere.
    fn add_target(&self, about: &About<'_>, content: &[u8], member: &mut Member) {
        const TARGET_BYTES_MAX: usize = 4096;
        let is_link = about.entry.central.iter().any(|said| said.link);
        if is_link && content.len() <= TARGET_BYTES_MAX && is_unsafe_path(&name_text(content)) {
            member.odd.push(DefectCode::UnsafePath);
        }
    }

    /// A member that needs a password.
    fn secret(
        &mut self,
        about: &About<'_>,
        manner: Manner,
        names: &[String],
    ) -> Result<(), DefectCode> {
        if about.doubtful {
            return Ok(());
        }
        let mut member = named(names);
        let unlocked = if self.passwords.is_empty() { None } else { self.unlock(about, manner) };
        match unlocked {
            Some((out, source)) => {
                member.flags.push(PartFlag::Decrypted(source));
                match out {
                    Some(out) => {
                        self.add_target(about, &out.data, &mut member);
                        member.data = out.data;
                        member.odd.extend(out.odd);
                    }
                    None => member = unscannable(member),
                }
            }
            None => {
                member.flags.push(PartFlag::Encrypted);
                member.odd.push(DefectCode::Encrypted);
            }
        }
        self.push(member)
    }

    /// Tries the passwords. What is under one that fits may be packed in a way that is not known here.
    fn unlock(
        &mut self,
        about: &About<'_>,
        manner: Manner,
    ) -> Option<(Option<Out>, PasswordSource)> {
        if manner.strong {
            return None;
        }
        let mut lengths = about.lengths(self.data, manner.method);
        if lengths.is_empty() {
            lengths.push(self.stored_length(about));
        }
        let passwords = self.passwords;
        let tried = if self.closed < CLOSED_MAX { passwords.len() } else { LIKELIEST };
        let last = self.last;
        let others = passwords.iter().enumerate().take(tried).filter(|(at, _)| *at != last);
        let order: Vec<_> =
            passwords.get(last).map(|one| (last, one)).into_iter().chain(others).collect();
        for length in lengths {
            let packed = self.data.get(about.local.start..).and_then(|rest| rest.get(..length));
            for (at, password) in &order {
                if let Some(out) =
                    self.try_password(about, manner, packed.unwrap_or_default(), password)
                {
                    self.last = *at;
                    return Some((out, password.source));
                }
                if !self.budget.work(0) {
                    return None;
                }
            }
        }
        self.closed += 1;
        None
    }

    /// `None` if the password does not fit.
    fn try_password(
        &mut self,
        about: &About<'_>,
        manner: Manner,
        packed: &[u8],
        password: &Password,
    ) -> Option<Option<Out>> {
        let plain = match manner.aes {
            Some(aes) => crypto::try_aes(packed, &password.octets, aes, self.budget)?,
            None => {
                let checks: Vec<u8> = about.said().flat_map(Said::check_octets).collect();
                crypto::try_zip_crypto(packed, &password.octets, &checks, self.budget)?
            }
        };
        let (length, sure) = (plain.data.len(), plain.sure);
        let out = if manner.method == STORED {
            let odd = self.budget.expand(length, 0, length).err();
            let data = if odd.is_some() { Bytes::new() } else { plain.data.into() };
            Out { data, consumed: None, odd }
        } else {
            let facts = Packed { data: &plain.data, claimed: length, size: about.size() };
            match methods::unpack(manner.method, facts, self.budget) {
                Some(out) => out,
                None => return sure.then_some(None),
            }
        };
        // A few octets may fit by chance: the content must, too, or at least fill its place exactly.
        let fits = about.fits(self.data, &out.data, Some(packed.len())) == Some(true);
        let fills = out.odd.is_none() && out.consumed == Some(length);
        let over_limit = out.odd.is_some_and(|code| code != DefectCode::BadArchive);
        (sure || fits || fills || over_limit).then_some(Some(out))
    }
}

fn named(names: &[String]) -> Member {
    Member { names: names.to_vec(), ..Member::default() }
}

fn unscannable(mut member: Member) -> Member {
    member.flags.push(PartFlag::Unscannable);
    member.odd.push(DefectCode::UnscannableMember);
    member
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tool_tests;
