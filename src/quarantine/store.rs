//! The files: one mail, one file, in amavis' layout `V/virus-VO57UrVC_Rxf`.
//!
//! A file is written under a temporary name, synced, and linked to its final name, which never overwrites; then its
//! folder is synced. Under a final name there is never half a mail.
//!
//! Whoever writes a file keeps it locked (flock) until the index has its row. The kernel drops the lock when the
//! process dies, so that another process can tell a file left over from one that is still being written.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flate2::read::MultiGzDecoder;

use super::block::LineEnds;
use super::id::is_id;
use super::{Class, Trouble};

/// What the quarantine keeps of one mail, and unpacks of a `.gz` file.
pub(super) const MAIL_OCTETS_MAX: u64 = 512 << 20;
const TEMPORARY: &str = ".tmp-";
/// From creating a file to locking it takes microseconds.
const EMPTY_AGE: Duration = Duration::from_mins(1);
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;

/// The folder with the files.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    free_octets_min: u64,
    /// Folders whose own entry is known to be on the disk. That one exists is not enough: whoever created it a moment
    /// ago may not have synced it yet.
    durable: Mutex<BTreeSet<PathBuf>>,
}

/// A file that is on the disk; locked as long as this lives.
#[derive(Debug)]
pub(super) struct Written {
    pub name: String,
    pub octets: u64,
    _lock: File,
}

impl Files {
    pub fn open(root: &Path, free_octets_min: u64) -> Result<Self, Trouble> {
        make_folder(root)?;
        for above in root.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
            // We may not be allowed to open what is not ours; that was not created by us either.
            let _ = sync_folder(above);
        }
        Ok(Self { root: root.to_path_buf(), free_octets_min, durable: Mutex::default() })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes and syncs a file and its folder.
    pub fn write(
        &self,
        class: Class,
        id: &str,
        block: &[u8],
        raw: &[u8],
        ends: LineEnds,
    ) -> Result<Written, Trouble> {
        let octets = raw.len() as u64;
        if octets > MAIL_OCTETS_MAX {
            return Err(Trouble::TooBig { octets, octets_max: MAIL_OCTETS_MAX });
        }
        self.check_space(block.len() as u64 + octets)?;
        let name = file_name(class, id);
        let path = self.path(&name);
        let folder = path.parent().unwrap_or(&self.root);
        self.make_durable(folder)?;
        let temporary = Temporary(folder.join(format!("{TEMPORARY}{id}")));
        let file = create(&temporary.0)?;
        write_message(&file, block, raw, ends)
            .and_then(|()| file.sync_all())
            .map_err(|e| Trouble::io("write", &temporary.0, e))?;
        match name_finally(&temporary.0, &path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Trouble::Taken(id.to_owned()));
            }
            answer => answer.map_err(|e| Trouble::io("link", &path, e))?,
        }
        drop(temporary);
        if let Err(trouble) = sync_folder(folder) {
            // The caller says 4xx and the mail comes again: a second copy of it must not stay behind.
            let _ = fs::remove_file(&path);
            return Err(trouble);
        }
        let octets = file.metadata().map_or(octets, |data| data.len());
        Ok(Written { name, octets, _lock: file })
    }

    fn make_durable(&self, folder: &Path) -> Result<(), Trouble> {
        let known = self.durable.lock().unwrap_or_else(PoisonError::into_inner).contains(folder);
        if !known || !folder.is_dir() {
            make_folder(folder)?;
            sync_folder(&self.root)?;
            let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
            durable.insert(folder.to_path_buf());
        }
        Ok(())
    }

    fn check_space(&self, octets: u64) -> Result<(), Trouble> {
        let space = rustix::fs::statvfs(&self.root)
            .map_err(|e| Trouble::io("look for space in", &self.root, e.into()))?;
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        if free < self.free_octets_min.saturating_add(octets) {
            let asked = self.free_octets_min;
            return Err(Trouble::NoSpace(format!(
                "{free} octets are free in {}, and min_free asks for {asked}",
                self.root.display()
            )));
        }
        Ok(())
    }

    /// The octets of a file, unpacked if it is a `.gz`.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Trouble> {
        let path = self.path(name);
        let wrap = |e| Trouble::io("read", &path, e);
        let file = open_plain(&path).map_err(wrap)?;
        let mut octets = Vec::new();
        let limit = MAIL_OCTETS_MAX + (16 << 20);
        if path.extension().is_some_and(|end| end == "gz") {
            MultiGzDecoder::new(file).take(limit).read_to_end(&mut octets).map_err(wrap)?;
        } else {
            file.take(limit).read_to_end(&mut octets).map_err(wrap)?;
        }
        if octets.len() as u64 >= limit {
            return Err(Trouble::TooBig { octets: limit, octets_max: limit });
        }
        Ok(octets)
    }

    /// Erases a file; true if it was there.
    pub fn remove(&self, name: &str) -> Result<bool, Trouble> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Trouble::io("erase", &path, e)),
        }
    }

    /// Syncs the folders of these files, each once.
    pub fn sync_folders_of<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<(), Trouble> {
        let mut folders: Vec<PathBuf> =
            names.filter_map(|name| self.path(name).parent().map(Path::to_path_buf)).collect();
        folders.sort();
        folders.dedup();
        folders.iter().filter(|folder| folder.is_dir()).try_for_each(|folder| sync_folder(folder))
    }

    /// The folders that hold files: `""` for the top, and each of one character below it.
    pub fn folders(&self) -> Result<Vec<String>, Trouble> {
        let mut folders = vec![String::new()];
        for entry in self.entries("")? {
            if entry.chars().count() == 1 && self.path(&entry).is_dir() {
                folders.push(entry);
            }
        }
        Ok(folders)
    }

    /// The names in a folder.
    pub fn entries(&self, folder: &str) -> Result<Vec<String>, Trouble> {
        let path = self.path(folder);
        let wrap = |e| Trouble::io("list", &path, e);
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(wrap)? {
            names.extend(entry.map_err(wrap)?.file_name().into_string());
        }
        Ok(names)
    }

    /// Removes a temporary file whose writer is dead; true if it did.
    pub fn remove_stale(&self, name: &str) -> bool {
        if !self.is_temporary(name) {
            return false;
        }
        let Some(lock) = self.lock_left_over(name) else { return false };
        // Its writer takes the lock while the file is empty: an empty one may be about to be locked.
        let is_new = lock.metadata().is_ok_and(|data| {
            let age = data.modified().ok().and_then(|time| time.elapsed().ok());
            data.len() == 0 && age.is_none_or(|age| age < EMPTY_AGE)
        });
        !is_new && fs::remove_file(self.path(name)).is_ok()
    }

    fn is_temporary(&self, name: &str) -> bool {
        name.rsplit('/').next().is_some_and(|last| last.starts_with(TEMPORARY))
    }

    /// The lock of a file that nobody is writing.
    pub fn lock_left_over(&self, name: &str) -> Option<File> {
        let file = open_plain(&self.path(name)).ok()?;
        match file.try_lock() {
            Ok(()) => Some(file),
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
        }
    }
}

/// The class and id that are in the name of a file, without folder.
pub(super) fn class_and_id(name: &str) -> Option<(Class, &str)> {
    let (prefix, id) = name.split_once('-')?;
    let id = id.strip_suffix(".gz").unwrap_or(id);
    is_id(id).then_some((Class::from_prefix(prefix)?, id))
}

fn file_name(class: Class, id: &str) -> String {
    let folder: String = id.chars().take(1).collect();
    format!("{folder}/{}-{id}", class.prefix())
}

/// Removes the temporary name again, whatever happens.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn create(path: &Path) -> Result<File, Trouble> {
    let wrap = |e| Trouble::io("create", path, e);
    let file =
        OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path).map_err(wrap)?;
    // Between these two lines nobody takes the file for left over, because it is empty and new.
    file.lock().map_err(wrap)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(wrap)?;
    Ok(file)
}

/// Gives a file its final name, unless a file has it. Some file systems know no links, and some no such renaming.
fn name_finally(temporary: &Path, path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match fs::hard_link(temporary, path) {
        Err(e)
            if matches!(e.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) =>
        {
            Ok(renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE)?)
        }
        answer => answer,
    }
}

fn write_message(file: &File, block: &[u8], raw: &[u8], ends: LineEnds) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(64 << 10, file);
    out.write_all(block)?;
    match ends {
        LineEnds::AsIs => out.write_all(raw)?,
        LineEnds::Lf => {
            let mut from = 0;
            for at in memchr::memchr_iter(b'\r', raw) {
                out.write_all(raw.get(from..at).unwrap_or_default())?;
                from = at + 1;
            }
            out.write_all(raw.get(from..).unwrap_or_default())?;
        }
    }
    out.flush()
}

fn make_folder(path: &Path) -> Result<(), Trouble> {
    let wrap = |e| Trouble::io("create the folder", path, e);
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path).map_err(wrap)?;
    fs::set_permissions(path, Permissions::from_mode(FOLDER_MODE)).map_err(wrap)
}

fn sync_folder(path: &Path) -> Result<(), Trouble> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|e| Trouble::io("sync", path, e))
}

/// A link that somebody laid there must not lead out of the quarantine, and a pipe must not hold us up.
fn open_plain(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(free: u64) -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(&folder.path().join("quarantine"), free).unwrap();
        (folder, files)
    }

    #[test]
    fn a_file_lies_in_amavis_layout_and_only_our_group_reads_it() {
        let (_folder, files) = files(0);
        let written =
            files.write(Class::Virus, "VO57UrVC_Rxf", b"A: b\n", b"c\r\n", LineEnds::Lf).unwrap();
        assert_eq!(written.name, "V/virus-VO57UrVC_Rxf");
        assert_eq!(files.read(&written.name).unwrap(), b"A: b\nc\n");
        let mode = |name: &str| fs::metadata(files.path(name)).unwrap().permissions().mode();
        assert_eq!(mode("V/virus-VO57UrVC_Rxf") & 0o7777, 0o640);
        assert_eq!(mode("V") & 0o7777, 0o750);
        assert_eq!(files.entries("V").unwrap().len(), 1, "no temporary name is left");
    }

    #[test]
    fn a_file_is_never_overwritten() {
        let (_folder, files) = files(0);
        drop(files.write(Class::Spam, "aaaaaaaaaaaa", b"", b"one", LineEnds::AsIs).unwrap());
        let second = files.write(Class::Spam, "aaaaaaaaaaaa", b"", b"two", LineEnds::AsIs);
        assert!(matches!(second, Err(Trouble::Taken(_))), "{second:?}");
        assert_eq!(files.read("a/spam-aaaaaaaaaaaa").unwrap(), b"one");
    }

    #[test]
    fn nothing_is_written_below_min_free() {
        let (_folder, files) = files(u64::MAX);
        let answer = files.write(Class::Spam, "aaaaaaaaaaaa", b"", b"one", LineEnds::AsIs);
        assert!(matches!(answer, Err(Trouble::NoSpace(_))), "{answer:?}");
        assert_eq!(files.entries("").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_temporary_file_goes_only_when_its_writer_is_gone() {
        let (_folder, files) = files(0);
        let path = files.path(".tmp-aaaaaaaaaaaa");
        let writer = create(&path).unwrap();
        assert!(!files.remove_stale(".tmp-aaaaaaaaaaaa"));
        drop(writer);
        assert!(!files.remove_stale(".tmp-aaaaaaaaaaaa"), "it may be about to be locked");
        fs::write(&path, b"half").unwrap();
        assert!(files.remove_stale(".tmp-aaaaaaaaaaaa"));
        assert!(!path.exists());
    }

    #[test]
    fn a_link_is_not_followed() {
        let (_folder, files) = files(0);
        std::os::unix::fs::symlink("/etc/passwd", files.path("spam-aaaaaaaaaaaa")).unwrap();
        assert!(files.read("spam-aaaaaaaaaaaa").is_err());
    }

    #[test]
    fn names_of_amavis_are_understood() {
        for (name, want) in [
            ("virus-SIXGUR_-RBUt", Some((Class::Virus, "SIXGUR_-RBUt"))),
            ("spam-7vykgLjHGVrk.gz", Some((Class::Spam, "7vykgLjHGVrk"))),
            ("badh-7vykgLjHGV+k", Some((Class::BadHeader, "7vykgLjHGV+k"))),
            ("archive-7vykgLjHGVrk.gz", Some((Class::Other, "7vykgLjHGVrk"))),
            ("spam-short", None),
            ("secret-7vykgLjHGVrk", None),
            (".tmp-7vykgLjHGVrk", None),
        ] {
            assert_eq!(class_and_id(name), want, "{name}");
        }
    }
}
