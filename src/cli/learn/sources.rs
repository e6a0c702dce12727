//! Mails in files: single ones, mboxes, Maildirs, and folders of all these.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::super::{Answer, Failure, exit};
use super::complain;
use crate::plain_file;

/// Octets of one mail.
const MAIL_BYTES_MAX: usize = 100 << 20;

/// What was met on the way.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Files and mails that could not be read, or are too large.
    pub unreadable: u64,
    /// Paths that are not there.
    missing: u64,
}

/// Takes one mail.
pub(super) type Take<'t> = dyn FnMut(&[u8]) -> Answer + 't;

impl Sources {
    /// Hands over every mail below a path; the first failure of `take` ends it.
    pub fn each(&mut self, path: &Path, take: &mut Take<'_>) -> Answer {
        if path.as_os_str() == "-" {
            return self.stream(BufReader::new(std::io::stdin().lock()), "standard input", take);
        }
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => self.folder(path, take),
            Ok(_) => self.file(path, take),
            Err(error) => {
                self.missing += 1;
                complain(&format!("{}: {error}", path.display()));
                Ok(())
            }
        }
    }

    /// The exit status: all mails were read, or not.
    pub fn verdict(&self) -> Answer {
        match (self.missing, self.unreadable) {
            (0, 0) => Ok(()),
            (0, _) => Err(Failure::new(exit::DATA, "")),
            (_, _) => Err(Failure::new(exit::NOT_FOUND, "")),
        }
    }

    fn folder(&mut self, path: &Path, take: &mut Take<'_>) -> Answer {
        let mut waiting = vec![path.to_path_buf()];
        while let Some(folder) = waiting.pop() {
            let entries =
                std::fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let entries = match entries {
                Ok(entries) => entries,
                Err(error) => {
                    self.cannot_read(&folder.display().to_string(), &error.to_string());
                    continue;
                }
            };
            let maildir = folder.join("cur").is_dir();
            let mut paths: Vec<(PathBuf, bool)> = Vec::new();
            for entry in entries {
                // Links are not followed: they may lead in circles.
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() || kind.is_file() {
                    paths.push((entry.path(), kind.is_dir()));
                } else if kind.is_symlink() {
                    complain(&format!(
                        "{}: passed over: a link is followed only if it is named itself",
                        entry.path().display()
                    ));
                } else if let Err(what) = plain_file::check(&entry.path()) {
                    complain(&format!("{}: passed over: {what}", entry.path().display()));
                }
            }
            paths.sort();
            for (path, is_folder) in paths {
                let name = path.file_name().unwrap_or_default().as_encoded_bytes();
                if is_folder {
                    // What lies in `tmp` is not whole yet.
                    if !(maildir && name == b"tmp") {
                        waiting.push(path);
                    }
                } else if !maildir && !name.starts_with(b".") {
                    // Files beside `cur` are lists and indexes of the mail server.
                    self.file(&path, take)?;
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, take: &mut Take<'_>) -> Answer {
        match plain_file::open(path) {
            Ok(file) => self.stream(BufReader::new(file), &path.display().to_string(), take),
            Err(error) => {
                let why = format!("{error}{}", plain_file::hint(&error));
                self.cannot_read(&path.display().to_string(), &why);
                Ok(())
            }
        }
    }

    /// One mail, or an mbox: mails that begin with `From ` behind an empty line.
    fn stream(&mut self, mut input: impl BufRead, name: &str, take: &mut Take<'_>) -> Answer {
        let (mut mail, mut line) = (Vec::new(), Vec::new());
        let (mut mbox, mut first, mut empty_before, mut too_large) = (false, true, true, false);
        loop {
            line.clear();
            let limit = (MAIL_BYTES_MAX as u64).saturating_add(1);
            match std::io::Read::take(&mut input, limit).read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    self.cannot_read(name, &error.to_string());
                    return Ok(());
                }
            }
            let begins = line.starts_with(b"From ");
            mbox |= first && begins;
            if mbox && begins && empty_before {
                if !first {
                    self.one(&mut mail, &mut too_large, name, take)?;
                }
            } else if mail.len() + line.len() > MAIL_BYTES_MAX {
                too_large = true;
                mail.clear();
            } else if !too_large {
                let quoted = mbox && line.starts_with(b">") && {
                    let unquoted = line.iter().position(|octet| *octet != b'>').unwrap_or(0);
                    line.get(unquoted..).is_some_and(|rest| rest.starts_with(b"From "))
                };
                mail.extend_from_slice(line.get(usize::from(quoted)..).unwrap_or_default());
            }
            empty_before = matches!(line.as_slice(), b"\n" | b"\r\n");
            first = false;
        }
        if !mail.is_empty() || too_large {
            self.one(&mut mail, &mut too_large, name, take)?;
        }
        Ok(())
    }

    fn one(
        &mut self,
        mail: &mut Vec<u8>,
        too_large: &mut bool,
        name: &str,
        take: &mut Take<'_>,
    ) -> Answer {
        if std::mem::take(too_large) {
            self.cannot_read(name, "a mail is too large to be learned");
            mail.clear();
            return Ok(());
        }
        take(&std::mem::take(mail))
    }

    fn cannot_read(&mut self, name: &str, why: &str) {
        self.unreadable += 1;
        complain(&format!("{name}: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mails(path: &Path) -> (Vec<String>, Sources) {
        let mut all = Vec::new();
        let mut sources = Sources::default();
        let mut take = |octets: &[u8]| {
            all.push(String::from_utf8_lossy(octets).into_owned());
            Ok(())
        };
        sources.each(path, &mut take).map_err(|failure| failure.message).unwrap();
        (all, sources)
    }

    #[test]
    fn a_pipe_is_refused_and_the_rest_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        plain_file::make_pipe(&pipe);
        std::fs::write(folder.path().join("x"), "A: b\n\n").unwrap();
        let (all, sources) = mails(&pipe);
        assert_eq!((all.len(), sources.unreadable), (0, 1));
        assert_eq!(mails(folder.path()).0.len(), 1);
    }

    #[test]
    fn a_file_is_one_mail_and_an_mbox_is_several() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        for (text, want) in [
            ("A: b\n\nFrom here on\n", &["A: b\n\nFrom here on\n"][..]),
            (
                "From a\nA: 1\n\nx\n\nFrom b\nA: 2\n\n>From y\n>>From z\nFrom w\n",
                &["A: 1\n\nx\n\n", "A: 2\n\nFrom y\n>From z\nFrom w\n"],
            ),
            ("", &[]),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(mails(&file).0, want, "{text:?}");
        }
    }

    #[test]
    fn of_a_maildir_only_what_is_whole_is_read_and_its_folders_too() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("cur/1:2,S", "one"),
            ("new/2", "two"),
            ("tmp/3", "half"),
            (".Junk/cur/4", "four"),
            (".Junk/tmp/5", "half"),
            ("dovecot.index", "index"),
            (".Junk/maildirsize", "size"),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let (mut found, sources) = mails(folder.path());
        found.sort();
        assert_eq!(found, ["four", "one", "two"]);
        assert!(sources.verdict().is_ok());
    }

    #[test]
    fn a_path_that_is_not_there_is_told_at_the_end() {
        let (found, sources) = mails(Path::new("/nowhere/at/all"));
        assert_eq!((found.len(), sources.verdict().unwrap_err().status), (0, exit::NOT_FOUND));
    }
}
