//! The program under test: a configuration, a process, its ports and its log.

use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{free_port, listens, wait_at_most, wait_for};

/// The program: the one that was just built, or another (a packaged one) named by `$TAMIS_PROGRAM`.
pub fn program() -> String {
    std::env::var("TAMIS_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_tamis").to_owned())
}

/// What the configuration says; the rest is as the house ships it, but for the scanner daemon, which is off, and DNS.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The ports of the next hop, one for each pair of listeners.
    pub next_hops: Vec<u16>,
    /// Lines of the table `[limits]`.
    pub limits: String,
    /// Lines of each listener's table.
    pub listener: String,
    /// Lines of the table `[scanner.clamav]`.
    pub clamd: String,
    /// Lines of the table `[quarantine]`.
    pub quarantine: String,
    /// The folder of the quarantine, if it is not to be in the test's own.
    pub store: Option<PathBuf>,
    /// Whole tables more.
    pub more: String,
    /// A program to start ours under, with its arguments.
    pub under: Vec<String>,
}

impl Setup {
    /// One pair of listeners before that next hop.
    pub fn to(next_hop: u16) -> Self {
        Self {
            next_hops: vec![next_hop],
            limits: String::new(),
            listener: String::new(),
            clamd: "address = \"off\"".to_owned(),
            quarantine: "min_free = \"1MB\"".to_owned(),
            store: None,
            more: String::new(),
            under: Vec::new(),
        }
    }

    /// With lines for `[limits]`.
    pub fn limits(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.limits);
        self
    }

    /// With a scanner daemon at that address (`unix:…`, `tcp://…`).
    pub fn clamd(mut self, address: &str) -> Self {
        self.clamd = format!("address = \"{address}\"\ntimeout = \"5s\"");
        self
    }

    /// With whole tables more.
    pub fn more(mut self, tables: &str) -> Self {
        tables.clone_into(&mut self.more);
        self
    }

    /// Starts the program and waits until it answers.
    pub fn start(self) -> Tamis {
        let mut tamis = self.prepare();
        tamis.launch();
        tamis
    }

    /// Writes the configuration and starts nothing yet.
    pub fn prepare(self) -> Tamis {
        let folder = super::folder();
        let ports = self.next_hops.iter().map(|_| (free_port(), free_port())).collect();
        let tamis = Tamis {
            store: self.store.clone().unwrap_or_else(|| folder.path().join("quarantine")),
            folder,
            ports,
            metrics: free_port(),
            setup: self,
            child: None,
        };
        tamis.write(&tamis.configuration());
        tamis
    }
}

/// A running program, or one that ran; it ends with the value.
pub struct Tamis {
    folder: tempfile::TempDir,
    ports: Vec<(u16, u16)>,
    /// The port of `/metrics`, `/livez`, `/readyz`.
    pub metrics: u16,
    /// The folder of the quarantine.
    pub store: PathBuf,
    setup: Setup,
    child: Option<Child>,
}

impl Tamis {
    /// The port after the queue (store and forward).
    pub fn after_queue(&self) -> u16 {
        self.ports[0].0
    }

    /// The port before the queue (pass-through).
    pub fn pre_queue(&self) -> u16 {
        self.ports[0].1
    }

    /// The ports of each pair of listeners: after and before the queue.
    pub fn pairs(&self) -> &[(u16, u16)] {
        &self.ports
    }

    /// The configuration file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("tamis.toml")
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it was started").id()
    }

    /// The text of the configuration as the set-up wants it.
    pub fn configuration(&self) -> String {
        let state = self.folder.path().display();
        let mut text = format!(
            "hostname = \"filter.example.net\"\nstate_dir = \"{state}\"\nlocal_domains = [\"example.net\", \"lab.example\"]\n\
             [limits]\n{}\n[scanner.clamav]\ntype = \"clamd\"\n{}\n[database]\nurl = \"sqlite:{state}/tamis.db\"\n\
             [web]\nlisten = \"off\"\n[metrics]\nlisten = \"127.0.0.1:{}\"\n\
             [quarantine]\nstore = \"{}\"\nrelease_to = \"smtp://127.0.0.1:{}\"\n{}\n",
            self.setup.limits,
            self.setup.clamd,
            self.metrics,
            self.store.display(),
            self.setup.next_hops[0],
            self.setup.quarantine,
        );
        for (at, ((after, before), next)) in
            self.ports.iter().zip(&self.setup.next_hops).enumerate()
        {
            let number = if at == 0 { String::new() } else { format!("_{at}") };
            for (name, port, mode) in
                [("content_filter", after, "after-queue"), ("proxy_filter", before, "pre-queue")]
            {
                writeln!(
                    text,
                    "[listener.{name}{number}]\nlisten = \"127.0.0.1:{port}\"\nmode = \"{mode}\"\n\
                     next_hop = \"smtp://127.0.0.1:{next}\"\n{}",
                    self.setup.listener
                )
                .unwrap();
            }
        }
        text + &self.setup.more
    }

    /// Writes the configuration file.
    pub fn write(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    /// Starts the process (again) and waits until all its ports answer.
    pub fn launch(&mut self) {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = match self.setup.under.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program());
                command
            }
            None => Command::new(program()),
        };
        without_ours(&mut command);
        command.args(["serve", "-c"]).arg(self.file()).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        let ports: Vec<u16> = self
            .ports
            .iter()
            .flat_map(|(after, before)| [*after, *before])
            .chain([self.metrics])
            .collect();
        let up = wait_at_most(super::PATIENCE, || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                panic!("tamis ended with {status} at its start:\n{}", self.log());
            }
            ports.iter().all(|port| listens(*port)).then_some(())
        });
        assert!(up.is_some(), "tamis does not listen on {ports:?}:\n{}", self.log());
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("stderr.log")
    }

    /// All it wrote so far, of earlier starts too.
    pub fn log(&self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = std::fs::File::open(self.log_file()) {
            file.read_to_end(&mut text).ok();
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Waits for a log line with that text.
    pub fn wait_log(&self, text: &str) {
        wait_for(&format!("the log says {text:?}"), || self.log().contains(text).then_some(()));
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid() as i32).unwrap(), signal).unwrap();
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Waits for its end and gives the exit status.
    pub fn wait_end(&mut self) -> std::process::ExitStatus {
        let mut child = self.child.take().expect("it was started");
        let ended = wait_at_most(super::PATIENCE, || child.try_wait().unwrap());
        if ended.is_none() {
            child.kill().ok();
            child.wait().ok();
        }
        ended.unwrap_or_else(|| panic!("tamis does not end:\n{}", self.log()))
    }

    /// Runs a command of the program with this configuration: `tamis quarantine list -c FILE …`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        without_ours(&mut command);
        command.args(arguments).arg("-c").arg(self.file()).stdin(Stdio::null());
        command
    }

    /// As [`Tamis::command`], and waits for its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The JSON objects such a command prints, one a line; a list counts as its members.
    pub fn json(&self, arguments: &[&str]) -> Vec<serde_json::Value> {
        let output = self.run(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        let values: Vec<serde_json::Value> = serde_json::Deserializer::from_str(&text)
            .into_iter()
            .map(|value| {
                value.unwrap_or_else(|error| panic!("{arguments:?} prints {text:?}: {error}"))
            })
            .collect();
        let members = |value| match value {
            serde_json::Value::Array(members) => members,
            value => vec![value],
        };
        values.into_iter().flat_map(members).collect()
    }

    /// The messages in the quarantine's folder: path and octets. Files that are being written have other names, and so
    /// are listed too: a test that looks for them wants to see them.
    pub fn quarantined(&self) -> Vec<(PathBuf, Vec<u8>)> {
        files_below(&self.store)
            .into_iter()
            .filter_map(|path| std::fs::read(&path).ok().map(|octets| (path, octets)))
            .map(|(path, octets)| {
                let packed = path.extension().is_some_and(|end| end == "gz");
                let octets = if packed { unpacked(&octets) } else { octets };
                (path, as_sent(octets))
            })
            .collect()
    }

    /// Waits for the quarantined message that holds `mark`.
    pub fn wait_quarantined(&self, mark: &str) -> (PathBuf, Vec<u8>) {
        wait_for(&format!("the quarantine has {mark}"), || {
            self.quarantined()
                .into_iter()
                .find(|(_, octets)| super::contains(octets, mark.as_bytes()))
        })
    }

    /// GET on the port of metrics: the status and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.metrics)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        (status, answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
    }
}

impl Drop for Tamis {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(100)..];
            eprintln!("--- the last of the log of tamis ---\n{}", last.join("\n"));
        }
    }
}

/// As amavis does, the quarantine keeps a mail whose lines all end in CR LF with LF alone; its first line shows which.
fn as_sent(octets: Vec<u8>) -> Vec<u8> {
    let first = octets.iter().position(|octet| *octet == b'\n').unwrap_or(0);
    if first > 0 && octets[first - 1] == b'\r' {
        return octets;
    }
    let mut sent = Vec::with_capacity(octets.len() + octets.len() / 40);
    for octet in octets {
        if octet == b'\n' {
            sent.push(b'\r');
        }
        sent.push(octet);
    }
    sent
}

/// Variables that are meant for the tests would be taken for settings.
fn without_ours(command: &mut Command) {
    command.env_remove("TAMIS_PROGRAM").env_remove("TAMIS_CORPUS");
}

/// What a gzip file holds, as far as it can be read.
fn unpacked(octets: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    flate2::read::GzDecoder::new(octets).read_to_end(&mut all).ok();
    all
}

/// All files below a folder, in order.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
