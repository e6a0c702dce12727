//! Where log lines go.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogTarget;

/// The place of all log lines; the journal's and those of tracing share it, so that no two lines mix.
#[derive(Debug, Clone)]
pub struct Target {
    place: Arc<Mutex<Place>>,
}

#[derive(Debug)]
enum Place {
    Stderr,
    Syslog(UnixDatagram),
    File(File),
}

/// Facility mail, severity info (RFC 5424 section 6.2.1).
const PRIORITY: u8 = 2 * 8 + 6;

impl Target {
    /// Opens the place.
    ///
    /// # Errors
    /// If the file or /dev/log cannot be opened.
    pub fn open(target: &LogTarget) -> io::Result<Self> {
        let place = match target {
            LogTarget::Stderr => Place::Stderr,
            LogTarget::File(path) => {
                // A pipe that nobody reads would stop the mail.
                crate::plain_file::check(path).map_err(|error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                })?;
                Place::File(OpenOptions::new().create(true).append(true).open(path)?)
            }
            LogTarget::Syslog => {
                let socket = UnixDatagram::unbound()?;
                socket.connect("/dev/log")?;
                Place::Syslog(socket)
            }
        };
        Ok(Self { place: Arc::new(Mutex::new(place)) })
    }

    /// Standard error.
    #[must_use]
    pub fn stderr() -> Self {
        Self { place: Arc::new(Mutex::new(Place::Stderr)) }
    }

    /// Writes a line of the journal.
    pub fn line(&self, text: &str) {
        self.write(&format!("{} mail: {text}\n", now()));
    }

    /// Writes a line of the journal as JSON.
    pub fn object(&self, fields: Map<String, Value>) {
        let mut object = Map::with_capacity(fields.len() + 1);
        object.insert("time".to_owned(), now().into());
        object.extend(fields);
        self.write(&format!("{}\n", Value::Object(object)));
    }

    /// A log that cannot be written must not stop mail: what fails here is lost.
    fn write(&self, text: &str) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = match &mut *place {
            Place::Stderr => io::stderr().lock().write_all(text.as_bytes()),
            Place::File(file) => file.write_all(text.as_bytes()),
            Place::Syslog(socket) => {
                let line =
                    format!("<{PRIORITY}>tamis[{}]: {}", std::process::id(), text.trim_end());
                socket.send(line.as_bytes()).map(|_| ())
            }
        };
    }
}

fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// One event of tracing.
#[derive(Debug)]
pub struct EventWriter(Target);

impl Write for EventWriter {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.write(&String::from_utf8_lossy(octets));
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Target {
    type Writer = EventWriter;

    fn make_writer(&'a self) -> EventWriter {
        EventWriter(self.clone())
    }
}
