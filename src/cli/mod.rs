//! The command line: a file a command, sysexits(3) as exit status, data to stdout, messages to stderr.

mod bench;
mod check;
mod config;
mod explain;
mod learn;
mod load;
mod quarantine;
mod scan;
mod serve;
mod sink;
mod status;
mod try_it;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Exit statuses, as sysexits(3) has them.
pub mod exit {
    /// Negative answer of `scan --exit-code` and `status`.
    pub const NEGATIVE: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 64;
    /// A message cannot be read.
    pub const DATA: u8 = 65;
    /// No such file or item.
    pub const NOT_FOUND: u8 = 66;
    /// A service that is needed does not answer.
    pub const UNAVAILABLE: u8 = 69;
    /// A bug of ours.
    pub const BUG: u8 = 70;
    /// Something cannot be created.
    pub const CANNOT_CREATE: u8 = 73;
    /// Reading or writing failed.
    pub const IO: u8 = 74;
    /// Try again later.
    pub const TEMPORARY: u8 = 75;
    /// Not permitted.
    pub const NOT_PERMITTED: u8 = 77;
    /// The configuration is wrong.
    pub const CONFIG: u8 = 78;
}

/// Why a command ends without success.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub status: u8,
    /// What is said on stderr; empty: nothing.
    pub message: String,
}

impl Failure {
    /// A failure with a message.
    pub fn new(status: u8, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

/// What a command gives.
pub type Answer = Result<(), Failure>;

#[derive(Debug, Parser)]
#[command(
    name = "tamis",
    version,
    about = "SMTP content filter for Postfix",
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The configuration; if it is not named and does not exist, the built-in defaults hold
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Overrides one key: limits.concurrency=5
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Prints data as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs in the foreground; SIGTERM drains, SIGHUP reloads
    Serve,
    /// Loads configuration, rules and tables, and runs the rules' own examples; silent when all is well
    Check,
    /// Shows the configuration
    Config {
        #[command(subcommand)]
        what: config::What,
    },
    /// The whole thing on built-in defaults: listeners, a next hop, sample mails, a table of verdicts
    Try {
        /// Exits after the table, with 1 if a verdict is wrong
        #[arg(long)]
        once: bool,
    },
    /// Decides about messages as if they came in, and explains
    Scan(scan::ScanOptions),
    /// Reviews kept mail
    Quarantine {
        #[command(subcommand)]
        what: quarantine::What,
    },
    /// Teaches which mail is spam and which is not, and whom users write to
    Learn {
        #[command(subcommand)]
        what: learn::What,
    },
    /// Says why a mail was stopped, or was not
    Explain {
        /// Our id, Postfix's queue id, or a Message-ID
        id: String,
    },
    /// Is it healthy, and what is off
    Status,
    /// Drives a running Tamis and an empty relay side by side, and prints rates, latencies, CPU and memory
    Bench(bench::BenchOptions),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let status = if error.use_stderr() { exit::USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(status);
        }
    };
    let options = cli.options;
    let answer = match cli.command {
        Command::Serve => serve::run(&options),
        Command::Check => check::run(&options),
        Command::Config { what } => config::run(&options, &what),
        Command::Try { once } => try_it::run(once),
        Command::Scan(scan) => scan::run(&options, &scan),
        Command::Quarantine { what } => quarantine::run(&options, &what),
        Command::Learn { what } => learn::run(&options, &what),
        Command::Explain { id } => explain::run(&options, &id),
        Command::Status => status::run(&options),
        Command::Bench(bench) => bench::run(&options, &bench),
    };
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                let _ = writeln!(std::io::stderr(), "{}", failure.message.trim_end());
            }
            ExitCode::from(failure.status)
        }
    }
}

/// Writes data to stdout. A reader that has gone away (`| head`) is no failure.
pub fn print(text: &str) -> Answer {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(exit::IO, format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// A runtime for commands that wait.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(exit::BUG, format!("no runtime: {error}")))
}

/// A stranger's text on a terminal: no control characters.
#[must_use]
pub fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
