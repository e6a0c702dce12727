//! Virus scanners: a clamd of our own with one signature, and a false one that misbehaves.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{free_port, mails, wait_for};

/// A running clamd; it ends with the value.
pub struct Clamd {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Clamd {
    /// Starts one that knows the EICAR test file only, and waits until it answers.
    pub fn start() -> Self {
        let folder = super::folder();
        let database = folder.path().join("db");
        std::fs::create_dir(&database).unwrap();
        let hex: String = mails::eicar().iter().map(|octet| format!("{octet:02x}")).collect();
        std::fs::write(database.join("it.ndb"), format!("Eicar-Test-Signature:0:*:{hex}\n"))
            .unwrap();
        let port = free_port();
        let text = format!(
            "Foreground yes\nTCPSocket {port}\nTCPAddr 127.0.0.1\nDatabaseDirectory {}\nTemporaryDirectory {}\n\
             LogFile {}\nLogTime yes\nStreamMaxLength 26214400\nConcurrentDatabaseReload no\nMaxThreads 4\n",
            database.display(),
            folder.path().display(),
            folder.path().join("clamd.log").display(),
        );
        std::fs::write(folder.path().join("clamd.conf"), text).unwrap();
        let mut clamd = Self { folder, port, child: None };
        clamd.launch();
        clamd
    }

    /// How the configuration names it.
    pub fn address(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// Starts it (again).
    pub fn launch(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("out.log")).unwrap();
        let mut command = Command::new("clamd");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin");
        command.arg("-c").arg(self.folder.path().join("clamd.conf")).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        wait_for("clamd answers PING", || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            stream.write_all(b"zPING\0").ok()?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).ok()?;
            (answer == *b"PONG\0").then_some(())
        });
    }

    /// Ends it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

impl Drop for Clamd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// How a false clamd answers INSTREAM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// Says that octets are clean, as a good one would.
    Clean,
    /// Says nothing at all, ever.
    Hangs,
    /// Reads the whole stream and then says nothing.
    HangsAfterStream,
    /// Closes in the middle of the stream.
    ClosesInStream,
    /// Answers with these octets, and what ends a reply.
    Says(Vec<u8>),
}

/// A false clamd on a port of its own; its thread ends with the test program.
pub struct FalseClamd {
    port: u16,
    manner: Arc<Mutex<Manner>>,
}

impl FalseClamd {
    /// Starts it.
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", free_port())).unwrap();
        let port = listener.local_addr().unwrap().port();
        let manner = Arc::new(Mutex::new(manner));
        let shared = Arc::clone(&manner);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || scan(stream, &shared));
            }
        });
        Self { port, manner }
    }

    /// How the configuration names it.
    pub fn address(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// From the next stream on.
    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }
}

fn scan(mut stream: TcpStream, manner: &Mutex<Manner>) {
    let mut octet = [0];
    // In a session (`IDSESSION`) replies bear the number of their command, and the next one may follow.
    let (mut session, mut number) = (false, 0);
    loop {
        let mut command = Vec::new();
        while stream.read_exact(&mut octet).is_ok() && octet[0] != 0 && octet[0] != b'\n' {
            command.push(octet[0]);
        }
        let now = manner.lock().unwrap().clone();
        let end: &[u8] = if command.first() == Some(&b'n') { b"\n" } else { b"\0" };
        let verb = command.get(1..).unwrap_or(b"").to_vec();
        number += usize::from(session);
        let said = match verb.as_slice() {
            b"IDSESSION" => {
                session = true;
                continue;
            }
            b"PING" if now != Manner::Hangs => b"PONG".to_vec(),
            b"VERSION" if now != Manner::Hangs => {
                b"ClamAV 1.4.3/27000/Mon Nov 16 10:00:00 2026".to_vec()
            }
            b"INSTREAM" => match stream_of(&mut stream, &now) {
                Some(said) => said,
                None => return,
            },
            b"END" | b"" => return,
            _ => {
                std::io::copy(&mut stream, &mut std::io::sink()).ok();
                return;
            }
        };
        let prefix = if session { format!("{number}: ") } else { String::new() };
        if stream.write_all(&[prefix.as_bytes(), &said, end].concat()).is_err() || !session {
            return;
        }
    }
}

/// Takes a stream and gives the reply; `None` ends the connection.
fn stream_of(stream: &mut TcpStream, manner: &Manner) -> Option<Vec<u8>> {
    if *manner == Manner::Hangs {
        // Takes what comes, so that no full buffer ends the wait.
        std::io::copy(stream, &mut std::io::sink()).ok();
        return None;
    }
    let mut length = [0; 4];
    while stream.read_exact(&mut length).is_ok() {
        let count = u32::from_be_bytes(length);
        if count == 0 {
            break;
        }
        if *manner == Manner::ClosesInStream {
            return None;
        }
        std::io::copy(&mut stream.take(u64::from(count)), &mut std::io::sink()).ok();
    }
    match manner {
        Manner::Says(octets) => Some(octets.clone()),
        Manner::HangsAfterStream => {
            std::io::copy(stream, &mut std::io::sink()).ok();
            None
        }
        _ => Some(b"stream: OK".to_vec()),
    }
}
