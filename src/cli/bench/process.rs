//! The programs under test, and what the kernel says they used.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ticks of processor time in a second: what the kernel shows to programs is the same on all common machines.
const TICKS: u64 = 100;

/// A child that is killed when it is dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts this program with other arguments. What it has to say goes to `log`.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn start(program: &Path, arguments: &[&str], log: &Path) -> std::io::Result<Self> {
        let log = std::fs::File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(program);
        // Settings of the shell must not change what is measured.
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
            command.env_remove(name);
        }
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Self(command.spawn()?))
    }

    /// True if it ended on its own.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// Processor time used so far; a hundredth of a second exact.
    #[must_use]
    pub fn processor_time(&self) -> Duration {
        let stat = self.read("stat");
        // The name may hold blanks; what follows its bracket is numbered from field 3 on (proc(5)).
        let behind = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 = behind
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Duration::from_millis(ticks * 1000 / TICKS)
    }

    /// The most memory it has held at once, in MiB.
    #[must_use]
    pub fn peak_memory(&self) -> f64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or_default() / 1024.0
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.0.id())).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already cannot be killed; nothing else is to be done about it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_ours(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("TAMIS_")
}

/// An address nobody listens on now.
///
/// # Errors
/// When there is none.
pub fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
