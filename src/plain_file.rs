//! Files that somebody named: a pipe, a socket or a device among them is refused, for to open it may wait without end.

use std::fs::{File, FileType};
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path};

/// Opens a file to be read.
///
/// # Errors
/// If it is something else than a file, or cannot be opened.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    check(path)?;
    File::open(path)
}

/// Reads a file.
///
/// # Errors
/// As [`open`], or if it cannot be read.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    open(path)?.read_to_end(&mut octets)?;
    Ok(octets)
}

/// Refuses pipes, sockets and devices; what is not there is no mistake yet. `/dev/null` is an empty file. The streams
/// that this process was started with (`/dev/stdin`, `/dev/fd/63` as shells write for `<(…)`) are open already.
///
/// # Errors
/// Says what it is.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    let Ok(found) = std::fs::metadata(path) else { return Ok(()) };
    let own = ["/dev/null", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/fd", "/proc/self/fd"];
    // `/dev/fd/../zero` begins so too, and is another file.
    let leads_back = path.components().any(|part| part == Component::ParentDir);
    let is_own = !leads_back && own.iter().any(|own| path.starts_with(own));
    match special(found.file_type()) {
        Some(what) if !is_own => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, not a file")))
        }
        Some(_) | None => Ok(()),
    }
}

/// What to do instead, behind an error about a mail; empty if it is another error.
pub(crate) fn hint(error: &io::Error) -> &'static str {
    match error.kind() == io::ErrorKind::InvalidInput {
        true => "; to read a stream, write `-` and feed it on standard input",
        false => "",
    }
}

fn special(kind: FileType) -> Option<&'static str> {
    match () {
        () if kind.is_fifo() => Some("a named pipe"),
        () if kind.is_socket() => Some("a socket"),
        () if kind.is_char_device() || kind.is_block_device() => Some("a device"),
        () => None,
    }
}

/// A named pipe at this path, for tests.
#[cfg(test)]
pub(crate) fn make_pipe(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Request, load};
    use crate::filters::RuleFile;

    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, socket) = (folder.path().join("pipe"), folder.path().join("socket"));
        make_pipe(&pipe);
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, want) in [
            (pipe.as_path(), "it is a named pipe, not a file"),
            (&socket, "it is a socket, not a file"),
            (Path::new("/dev/zero"), "it is a device, not a file"),
            (Path::new("/proc/self/fd/../../../dev/zero"), "it is a device, not a file"),
            (Path::new("/dev/fd/../../../../dev/zero"), "it is a device, not a file"),
        ] {
            assert_eq!(read(path).unwrap_err().to_string(), want);
            assert_eq!(RuleFile::read(path).unwrap_err().to_string(), want);
            let request = Request {
                file: path.to_owned(),
                must_exist: true,
                environment: Vec::new(),
                flags: Vec::new(),
            };
            assert!(load(&request).unwrap_err().to_string().contains(want));
        }
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert_eq!(read(&file).unwrap(), b"x");
        assert!(check(&folder.path().join("nothing")).is_ok());
        assert!(check(Path::new("/dev/stdin")).is_ok());
        assert_eq!(read(Path::new("/dev/null")).unwrap(), b"");
    }
}
