//! A private Postfix: its own configuration, queue and log in a folder that ends with the test, wired with the snippets
//! that the project ships.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::wiring::Recipe;
use super::{free_port, listens, tamis, wait_for};

/// A running Postfix; it ends with the value.
pub struct Postfix {
    folder: tempfile::TempDir,
    /// Where it takes mail from outside.
    pub port: u16,
}

/// The services every Postfix has, but for the one that listens.
const SERVICES: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";

impl Postfix {
    /// Starts one whose mail for everybody ends at the next hop `sink`, and waits until it answers. In the recipe, the
    /// filter's documented port stands for `filter`, and the one it gives mail back to for `back`.
    pub fn start(sink: u16, recipe: &Recipe, filter: u16, back: u16) -> Self {
        let folder = super::folder();
        let postfix = Self { folder, port: free_port() };
        let path = postfix.folder.path();
        let ports = [(25, postfix.port), (recipe.filter, filter), (recipe.back, back)];
        for name in ["etc", "queue", "data", "log"] {
            std::fs::create_dir(path.join(name)).unwrap();
        }
        let chown = Command::new("chown").args(["postfix:postfix"]).arg(path.join("data")).status();
        assert!(chown.unwrap().success());
        let etc = path.join("etc");
        for name in ["postfix-files", "dynamicmaps.cf"] {
            std::fs::copy(Path::new("/etc/postfix").join(name), etc.join(name)).ok();
        }
        for name in ["postfix-files.d", "dynamicmaps.cf.d"] {
            copy_folder(&Path::new("/etc/postfix").join(name), &etc.join(name));
        }
        std::fs::write(etc.join("main.cf"), postfix.main(sink) + &place(&recipe.main, &ports))
            .unwrap();
        std::fs::write(etc.join("master.cf"), postfix.master(&recipe.master, &ports)).unwrap();
        let started = postfix.command("postfix", &["start"]);
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        wait_for("Postfix listens", || (listens(postfix.port) && listens(back)).then_some(()));
        postfix
    }

    fn main(&self, sink: u16) -> String {
        let path = self.folder.path().display();
        format!(
            "compatibility_level = 3.6
queue_directory = {path}/queue
data_directory = {path}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
meta_directory = {path}/etc
mail_owner = postfix
setgid_group = postdrop
maillog_file = {path}/log/maillog
maillog_file_prefixes = {path}
myhostname = mx.lab.example
mydomain = lab.example
mydestination =
relay_domains = lab.example
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_peername_lookup = no
relay_transport = relay:[127.0.0.1]:{sink}
default_transport = relay:[127.0.0.1]:{sink}
local_recipient_maps =
alias_maps =
alias_database =
smtpd_relay_restrictions = permit_mynetworks, reject
notify_classes =
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
"
        )
    }

    fn master(&self, wiring: &str, ports: &[(u16, u16)]) -> String {
        let wired = place(wiring, ports);
        let listens =
            wired.lines().any(|line| line.starts_with(&format!("127.0.0.1:{} ", self.port)));
        let outside = if listens {
            String::new()
        } else {
            format!("127.0.0.1:{} inet n - n - - smtpd\n", self.port)
        };
        format!("{outside}{SERVICES}{wired}")
    }

    /// One of Postfix' commands on this instance.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(format!("/usr/sbin/{program}"));
        command.arg("-c").arg(self.folder.path().join("etc")).args(arguments);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().unwrap()
    }

    /// All it logged.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("log/maillog")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Waits for a log line with that text.
    pub fn wait_log(&self, text: &str) {
        wait_for(&format!("Postfix logs {text:?}"), || self.log().contains(text).then_some(()));
    }

    /// The mails in its queues.
    pub fn queue(&self) -> Vec<PathBuf> {
        ["maildrop", "incoming", "active", "deferred", "hold"]
            .iter()
            .flat_map(|queue| tamis::files_below(&self.folder.path().join("queue").join(queue)))
            .collect()
    }

    /// Waits until nothing is in its queues.
    pub fn wait_empty(&self) {
        wait_for("Postfix' queue is empty", || self.queue().is_empty().then_some(()));
    }

    /// The ids of mails that were ever in its queue: those of the lines `ID: from=<…>` of the queue manager.
    pub fn queue_ids(&self) -> Vec<String> {
        let log = self.log();
        let ids = log.lines().filter(|line| line.contains("/cleanup[")).filter_map(|line| {
            let (_, rest) = line.split_once("]: ")?;
            let (id, rest) = rest.split_once(": ")?;
            rest.starts_with("message-id=").then(|| id.to_owned())
        });
        ids.collect()
    }

    /// Tries deferred mail at once.
    pub fn flush(&self) {
        self.command("postqueue", &["-f"]);
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of Postfix ---\n{}", self.log());
        }
        let stopped = self.command("postfix", &["stop"]);
        if !stopped.status.success() && !std::thread::panicking() {
            eprintln!("Postfix does not stop: {}", String::from_utf8_lossy(&stopped.stderr));
        }
    }
}

/// The real ports in place of the documented ones: `10025` wherever it stands as a whole word, and `smtp inet` for 25.
fn place(text: &str, ports: &[(u16, u16)]) -> String {
    let mut placed = String::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        for (documented, real) in ports {
            if *documented == 25 {
                let first = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
                if first == "smtp inet" && !line.starts_with('#') {
                    let rest = line.trim_start().strip_prefix("smtp").unwrap_or("").to_owned();
                    line = format!("127.0.0.1:{real} {}", rest.trim_start());
                }
                continue;
            }
            line = replace_word(&line, &documented.to_string(), &format!("@{real}@"));
        }
        // Marked until now, so that no real port was taken for a documented one.
        placed.push_str(&line.replace('@', ""));
        placed.push('\n');
    }
    placed
}

fn replace_word(line: &str, word: &str, with: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(word) {
        let digit = |octet: Option<&u8>| octet.is_some_and(u8::is_ascii_digit);
        let end = at + word.len();
        let inside =
            at > 0 && digit(rest.as_bytes().get(at - 1)) || digit(rest.as_bytes().get(end));
        out.push_str(&rest[..at]);
        out.push_str(if inside { word } else { with });
        rest = &rest[end..];
    }
    out + rest
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in tamis::files_below(from) {
        std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

/// Postfix can be run: it is installed and we are root.
pub fn can_run() -> bool {
    super::has("Postfix, with root to start it", super::installed("postfix") && super::is_root())
}
