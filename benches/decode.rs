//! `cargo bench --bench decode -- [--rounds N] NAME=FOLDER …`: decoding, beside Python's `email` and mail-parser.
//!
//! Each set of mails is decoded by each of the three in a process of its own, in turn, round after round; the medians
//! are shown, with the ratio to ours. Two mails of our own making (500 kB, 25 MB) come last. Without arguments it is a
//! sign of life with small mails. Times are those of the processor.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark may stop"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use bytes::Bytes;
use mail_parser::{MessageParser, MimeHeaders as _};
use rustix::time::{ClockId, clock_gettime};
use tamis::mime;

const TOOLS: [&str; 3] = ["tamis", "mail-parser", "python"];

/// Python's part: read all, then decode all, and say seconds and the most memory in kilobytes.
const PYTHON: &str = r"
import email, pathlib, resource, sys, time
mails = [file.read_bytes() for file in sorted(pathlib.Path(sys.argv[1]).iterdir())]
start, size = time.process_time(), 0
for mail in mails:
    message = email.message_from_bytes(mail)
    for part in message.walk():
        part.get_filename()
        size += len(part.get_payload(decode=True) or b'')
print(time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, size)
";

/// What one run took.
#[derive(Clone, Copy)]
struct Run {
    seconds: f64,
    kilobytes: f64,
}

fn main() -> ExitCode {
    let mut words: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench" && word != "--test").collect();
    if words.first().is_some_and(|word| word == "--one") {
        return one(words.get(1).map_or("", String::as_str), Path::new(&words[2]));
    }
    let mut rounds = 1;
    if words.first().is_some_and(|word| word == "--rounds") {
        rounds = words.get(1).and_then(|text| text.parse().ok()).unwrap_or(3);
        words.drain(..2);
    }
    let made = tempfile::tempdir().expect("a folder for mails");
    let large = rounds > 1;
    let mut sets: Vec<(String, PathBuf)> = words
        .iter()
        .filter_map(|word| word.split_once('='))
        .map(|(name, folder)| (name.to_owned(), PathBuf::from(folder)))
        .collect();
    for (name, bytes, count) in [
        ("500 kB", if large { 500_000 } else { 5_000 }, if large { 20 } else { 2 }),
        ("25 MB", if large { 25_000_000 } else { 25_000 }, 1),
    ] {
        let folder = made.path().join(name);
        std::fs::create_dir(&folder).expect("a folder");
        for number in 0..count {
            std::fs::write(folder.join(format!("{number}.eml")), mail(bytes)).expect("a mail");
        }
        sets.push((name.to_owned(), folder));
    }
    println!(
        "{:10} {:>6} {:>9}  {:12} {:>9} {:>10} {:>8} {:>9}",
        "set", "mails", "MB", "tool", "MB/s", "µs/mail", "× ours", "peak MB"
    );
    for (name, folder) in &sets {
        show(name, folder, rounds);
    }
    ExitCode::SUCCESS
}

fn show(name: &str, folder: &Path, rounds: usize) {
    let sizes: Vec<u64> = std::fs::read_dir(folder)
        .expect("a folder of mails")
        .filter_map(|file| Some(file.ok()?.metadata().ok()?.len()))
        .collect();
    let megabytes = sizes.iter().sum::<u64>() as f64 / 1e6;
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); TOOLS.len()];
    for _ in 0..rounds {
        for (tool, runs) in TOOLS.iter().zip(&mut runs) {
            runs.extend(child(tool, folder));
        }
    }
    let ours = median(&runs[0], |run| run.seconds);
    for (tool, runs) in TOOLS.iter().zip(&runs).filter(|(_, runs)| !runs.is_empty()) {
        let seconds = median(runs, |run| run.seconds);
        println!(
            "{name:10} {:>6} {megabytes:>9.2}  {tool:12} {:>9.1} {:>10.1} {:>8.2} {:>9.1}",
            sizes.len(),
            megabytes / seconds,
            seconds * 1e6 / sizes.len() as f64,
            seconds / ours,
            median(runs, |run| run.kilobytes) / 1e3,
        );
    }
}

fn median(runs: &[Run], value: fn(&Run) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Lets a tool decode the folder in a process of its own. `None` where there is no Python.
fn child(tool: &str, folder: &Path) -> Option<Run> {
    let mut command = if tool == "python" {
        let mut command = Command::new("python3");
        command.args(["-c", PYTHON]).arg(folder);
        command
    } else {
        let mut command = Command::new(std::env::current_exe().ok()?);
        command.args(["--one", tool]).arg(folder);
        command
    };
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.split_whitespace().filter_map(|word| word.parse().ok());
    Some(Run { seconds: words.next()?, kilobytes: words.next()? })
}

/// The child's part for us and for mail-parser.
fn one(tool: &str, folder: &Path) -> ExitCode {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").filter_map(|f| Some(f.ok()?.path())).collect();
    files.sort();
    let mails: Vec<Bytes> =
        files.iter().map(|file| std::fs::read(file).expect("a mail").into()).collect();
    let limits = mime::Limits::default();
    let start = processor_time();
    let mut size = 0;
    for mail in &mails {
        size += if tool == "tamis" {
            let message = mime::decode(mail.clone(), &limits);
            message.parts.iter().map(|part| part.data.len() + part.names.len()).sum::<usize>()
        } else {
            let message = MessageParser::default().parse(mail.as_ref());
            let parts = message.iter().flat_map(|message| &message.parts);
            parts
                .map(|part| part.contents().len() + part.attachment_name().map_or(0, str::len))
                .sum()
        };
    }
    let seconds = (processor_time() - start).as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    println!("{seconds} {} {size}", peak.trim().trim_end_matches(" kB"));
    ExitCode::SUCCESS
}

/// What this process used of the processor: a busy machine does not count.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// A text, a page, and an attachment in base64 that nothing can be unpacked from.
fn mail(bytes: usize) -> Vec<u8> {
    let mut state = 4711_u64;
    let mut sign = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let six = usize::try_from(state >> 58).unwrap_or(0);
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[six])
    };
    let mut mail = "From: a@b.example\r\nTo: c@d.example\r\nSubject: report\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=\"frontier\"\r\n\r\n--frontier\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\r\nHello,\r\n\r\nplease find the report attached.\r\n"
        .to_owned();
    mail.push_str(
        "--frontier\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
    );
    while mail.len() < bytes / 20 {
        mail.push_str("<p class=3D\"x\">a line of a page, with a <a href=3D\"http://a.example/\">link</a>=\r\n</p>\r\n");
    }
    mail.push_str(
        "--frontier\r\nContent-Type: application/octet-stream; name=\"report.bin\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n",
    );
    while mail.len() < bytes {
        mail.extend((0..76).map(|_| sign()));
        mail.push_str("\r\n");
    }
    mail.push_str("--frontier--\r\n");
    mail.into_bytes()
}
