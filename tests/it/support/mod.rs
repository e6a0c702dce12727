//! What the tests stand on: the program under test, its neighbours (client, next hop, scanner, Postfix) and their mails.

pub mod clamd;
pub mod client;
pub mod corpus;
pub mod dkim;
#[path = "../../../src/dns/stub.rs"]
pub mod dns;
pub mod mails;
pub mod player;
pub mod postfix;
pub mod sink;
pub mod tamis;
pub mod wiring;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a test waits for an event before it fails: far more than it takes, since machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A number nobody can foresee.
pub fn random() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// A TCP port of the loopback on which nothing listens.
///
/// It is chosen below the range from which the kernel takes the ports of outgoing connections, so that no connection of
/// another test takes it between our look and the use. Tests that run side by side, each in a process of its own, choose
/// from ranges of their own.
pub fn free_port() -> u16 {
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let port = 15_000 + (std::process::id() % 170) as u16 * 100 + (random() % 100) as u16;
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && taken.insert(port) {
            return port;
        }
    }
}

/// Waits until `ready` gives a value.
///
/// # Panics
/// After [`PATIENCE`], naming `what` was waited for.
pub fn wait_for<T>(what: &str, ready: impl FnMut() -> Option<T>) -> T {
    wait_at_most(PATIENCE, ready)
        .unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain until {what}"))
}

/// As [`wait_for`], with a time of its own and without a panic.
pub fn wait_at_most<T>(time: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return Some(value);
        }
        if start.elapsed() > time {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// True if something listens on a port of the loopback.
pub fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// True if the program of that name can be run.
pub fn installed(program: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/bin", "/usr/local/sbin"]
        .iter()
        .any(|folder| std::path::Path::new(folder).join(program).is_file())
}

/// True if a test has what it needs. Without it the test says so and ends, as if it were not there; on a machine that
/// builds for others (`CI=true`) it fails instead, since there nobody would read the line.
pub fn has(what: &str, there: bool) -> bool {
    if !there {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} is missing");
        println!("SKIPPED: {what} is missing; tests/setup installs what tests need");
    }
    there
}

/// True if we are root, who alone may mount, run Postfix and trace.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder that ends with the test and that every user may enter.
pub fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::Builder::new().prefix("tamis-it.").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// True if `needle` is somewhere in `hay`.
pub fn contains(hay: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(hay, needle).is_some()
}

/// Octets for people.
pub fn show(octets: &[u8]) -> String {
    octets.escape_ascii().to_string()
}
