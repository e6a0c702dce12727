//! Twice the octets take no more than about twice the time, whatever they are.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::*;

/// What doubling may cost.
const RATIO_MAX: f64 = 2.2;
/// Doublings between the two sizes that are compared: what caches and the neighbours of a shared machine add falls upon
/// all of them, what is quadratic grows with each.
const DOUBLINGS: i32 = 2;
const TRIES: usize = 12;
/// Sizes grow until one decoding takes this long.
const LONG_ENOUGH: Duration = Duration::from_millis(if cfg!(debug_assertions) { 8 } else { 20 });
const BYTES_MIN: usize = 8 << 10;
const BYTES_MAX: usize = 4 << 20;

fn repeated(line: &str, bytes: usize) -> String {
    line.repeat(bytes / line.len() + 1)
}

fn multipart(body: &str) -> String {
    format!(
        "Content-Type: multipart/mixed; boundary=boundary\r\n\r\n--boundary\r\n\r\nhi\r\n{body}\r\n--boundary--\r\n"
    )
}

fn encoded(encoding: &str, body: &str) -> String {
    format!(
        "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}"
    )
}

fn typed(kind: &str, body: &str) -> String {
    format!("Content-Type: {kind}\r\n\r\n{body}")
}

/// Lines of 0 to 96 letters, again and again, together a multiple of four.
fn base64_lines(bytes: usize) -> String {
    let line = |length: usize| format!("{}\r\n", "A".repeat(length % 97));
    repeated(&(0..4 * 97).map(line).collect::<String>(), bytes)
}

/// As deep as is looked, with delimiters that only sloppy readers take for such: each is searched for twice.
fn loose_tower() -> String {
    let level = |n: usize| format!("Content-Type: multipart/mixed; boundary=n{n}x\n\n --n{n}x\n");
    (0..49).map(level).collect()
}

/// What strangers may send, by the number of octets.
pub(super) type Maker = fn(usize) -> String;

/// Every case that once was, or easily could be, more than linear.
pub(super) const CASES: &[(&str, Maker)] = &[
    ("look-alike delimiters", |n| multipart(&repeated("--boundar\r\n", n))),
    ("delimiters with a tail", |n| multipart(&repeated("--boundary x\r\n", n))),
    ("delimiters with a tail, bare CR", |n| multipart(&repeated("--boundary x\r", n))),
    ("delimiters with blanks", |n| multipart(&repeated("--boundary \t \t \t", n))),
    ("dashes", |n| multipart(&repeated("--", n))),
    ("lines of dashes", |n| multipart(&repeated("--\r\n", n))),
    ("closing delimiters", |n| multipart(&repeated("--boundary--\r\n", n))),
    ("fields", |n| repeated("X-Field: value\r\n", n) + "\r\nhi"),
    ("folds", |n| format!("Subject: a\r\n{}\r\nhi", repeated(" b\r\n", n))),
    ("lines without colon", |n| format!("A: b\r\n{}\r\n\r\nhi", repeated("stray\r\n", n))),
    ("Content-Type", |n| repeated("Content-Type: text/plain\r\n", n) + "\r\nhi"),
    ("different Content-Types", |n| {
        let lines: String = (0..n / 60)
            .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n:020}\r\n"))
            .collect();
        lines + "\r\nhi"
    }),
    ("segments of a parameter", |n| {
        let list: String = (0..n / 24).map(|n| format!(";\r\n filename*{n}*=%41")).collect();
        format!("Content-Disposition: attachment{list}\r\n\r\nhi")
    }),
    ("boundaries unseen", |n| {
        let list: String = (0..n / 20).map(|n| format!(";\r\n boundary=b{n}")).collect();
        typed(&format!("multipart/mixed{list}"), "hi")
    }),
    ("parts with many names", |n| {
        let list: String = (0..90).map(|n| format!("; name=a{n}; filename=\"b{n}\"")).collect();
        multipart(&repeated(&format!("--boundary\r\nContent-Type: a/b{list}\r\n\r\nhi\r\n"), n))
    }),
    ("comments", |n| typed(&format!("text/plain{}", repeated("(", n)), "hi")),
    ("comments in parameters", |n| typed(&format!("text/plain; {}", repeated("a(b)=c;", n)), "hi")),
    ("quotes", |n| typed(&format!("text/plain; {}", repeated("a=\"", n)), "hi")),
    ("encoded words that do not end", |n| format!("Subject: {}\r\n\r\nhi", repeated("=?a?q?b", n))),
    ("encoded words in a name", |n| {
        format!(
            "Content-Disposition: attachment; filename=\"{}\"\r\n\r\nhi",
            repeated("=?a?q?b", n)
        )
    }),
    ("starts of encoded words", |n| format!("Subject: {}?=\r\n\r\nhi", repeated("=?", n))),
    ("hidden fields", |n| format!("Subject: {}\r\n\r\nhi", repeated("a\rContent-Type: b", n))),
    ("CR", |n| format!("Subject: {}\r\n\r\nhi", repeated("\r", n))),
    ("CR in the body", |n| multipart(&repeated("\r", n))),
    ("multiparts in multiparts", |n| tower(n / 55)),
    ("multiparts over line ends", |n| loose_tower() + &repeated("\n", n)),
    ("multiparts over dashes", |n| {
        loose_tower() + &repeated("\n", n / 8 * 7) + &repeated("\n------------", n / 8)
    }),
    ("multiparts over boundaries alike", |n| {
        loose_tower() + &repeated("\n--n1 and nothing more, not even dashes", n)
    }),
    ("messages in messages", |n| repeated("Content-Type: message/rfc822\r\n\r\n", n)),
    ("readings in readings", |n| {
        let level = |n: usize| {
            format!(
                "Content-Type: multipart/mixed; boundary=a{n}; boundary=b{n}\r\n\r\n--a{n}\r\n--b{n}\r\n"
            )
        };
        (0..n / 80).map(level).collect()
    }),
    ("base64 lines of every length", |n| encoded("base64", &base64_lines(n))),
    ("base64 of an odd length", |n| encoded("base64", &(base64_lines(n) + "AAAAA"))),
    ("base64 with junk", |n| encoded("base64", &repeated("TWF!=u-_\r\n", n))),
    ("soft breaks", |n| encoded("quoted-printable", &repeated("= \t \r\n", n))),
    ("no escapes", |n| encoded("quoted-printable", &repeated("=G=  =", n))),
    ("blanks behind =", |n| encoded("quoted-printable", &format!("={}x", repeated(" ", n)))),
    ("begin", |n| typed("text/plain", &repeated("begin 644 a\r\n", n))),
    ("begin and a row", |n| typed("text/plain", &repeated("begin 644 a\r\n#0V%T\r\n", n))),
    ("begin-base64", |n| typed("text/plain", &repeated("begin-base64 644 a\r\n", n))),
    ("rows without data", |n| typed("text/plain", &repeated("begin 644 a\r\n`\r\n`\r\n", n))),
    ("<", |n| typed("text/html", &repeated("<", n))),
    ("<a b='", |n| typed("text/html", &repeated("<a b='", n))),
    ("<!--", |n| typed("text/html", &repeated("<!-- -", n))),
    ("<script>", |n| typed("text/html", &repeated("<script>", n))),
    ("</", |n| typed("text/html", &format!("<script>{}", repeated("</scrip ", n)))),
    ("<div>", |n| typed("text/html", &repeated("<div style='display:none'>", n))),
    ("&", |n| typed("text/html", &repeated("&#", n))),
    ("links", |n| typed("text/plain", &repeated("http://", n))),
    ("different links", |n| {
        typed("text/plain", &(0..n / 14).map(|n| format!("www.{n:08} ")).collect::<String>())
    }),
    ("local headers of a zip", |n| {
        typed(
            "application/zip",
            &repeated(
                "PK\u{3}\u{4}\u{14}\0\0\0\0\0\0\0\0\0\0\0\0\0\u{2}\0\0\0\u{2}\0\0\0\u{5}\0\0\0a.txthi",
                n,
            ),
        )
    }),
    ("ends of a zip", |n| {
        typed("application/zip", &format!("PK\u{3}\u{4}{}", repeated("PK\u{5}\u{6}", n)))
    }),
    ("directories of a zip", |n| {
        typed("application/zip", &format!("PK\u{3}\u{4}{}", repeated("PK\u{1}\u{2}", n)))
    }),
    ("MIME fields in a text", |n| {
        typed("text/plain", &repeated("Content-Type: text/plain\r\n\r\n", n))
    }),
    ("fields in a text", |n| {
        typed("text/plain", &(repeated("a: b\r\n", n) + "Content-Type: text/plain\r\n\r\n"))
    }),
];

/// The time of the processor for one decoding: what else the machine does at that time does not count.
fn took(text: &str) -> Duration {
    // What is read again up to a floor costs the same whatever the size.
    let limits = Limits { again_bytes_min: 0, ..Limits::default() };
    let raw = Bytes::copy_from_slice(text.as_bytes());
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let start = now();
    let got = decode(raw, &limits);
    let took = now() - start;
    assert!(!got.parts.is_empty());
    took
}

#[test]
fn twice_the_octets_take_twice_the_time() {
    let mut slow = Vec::new();
    for (what, make) in CASES {
        let mut bytes = BYTES_MIN;
        while bytes < BYTES_MAX && took(&make(bytes)) < LONG_ENOUGH {
            bytes *= 2;
        }
        let (small, large) = (make(bytes), make(bytes << DOUBLINGS));
        let (mut least_small, mut least_large) = (Duration::MAX, Duration::MAX);
        let mut ratio = f64::MAX;
        for _ in 0..TRIES {
            least_small = least_small.min(took(&small));
            least_large = least_large.min(took(&large));
            // Generators round: what counts is the time for an octet.
            let doublings = (large.len() as f64 / small.len() as f64).log2();
            let times = least_large.as_secs_f64() / least_small.as_secs_f64();
            ratio = times.powf(1.0 / doublings);
            if ratio <= RATIO_MAX {
                break;
            }
        }
        println!("{what:34} {:>9} octets {least_large:>12.3?}  ratio {ratio:.2}", large.len());
        if ratio > RATIO_MAX {
            slow.push(format!("{what}: {ratio:.2}"));
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
}

/// Measurements of each size, of which the least counts.
const ROUNDS: usize = 5;

/// What is held to the ratio at any size. Kinds that do little more than read the octets once show where the caches of
/// the machine end: they are only printed.
const PROMISED: [&str; 5] = [
    "look-alike delimiters",
    "fields",
    "segments of a parameter",
    "multiparts in multiparts",
    "base64 lines of every length",
];

/// Names the case and the octets that a child of [`large_mails_take_as_long_as_they_are_large`] is to decode.
const CHILD: &str = "TAMIS_LARGE_CASE";

/// The time of the processor for one decoding in a process that has decoded nothing before. In one process a large
/// mail would be compared with a smaller one whose memory the kernel has already given.
fn took_afresh(case: usize, bytes: usize) -> Duration {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "mime::tests::linear::large_mails_take_as_long_as_they_are_large"])
        .args(["--ignored", "--nocapture"])
        .env(CHILD, format!("{case} {bytes}"))
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    let said = String::from_utf8(child.stdout).unwrap();
    let nanos = said.lines().find_map(|line| line.split_once("nanoseconds ")).unwrap().1;
    Duration::from_nanos(nanos.trim().parse().unwrap())
}

/// By hand, in a release build: `TAMIS_LARGE=50 cargo test --release --lib large_mails -- --ignored --nocapture`.
#[test]
#[ignore = "takes a release build and minutes"]
fn large_mails_take_as_long_as_they_are_large() {
    if let Ok(asked) = std::env::var(CHILD) {
        let (case, bytes) = asked.split_once(' ').unwrap();
        let (_, make) = CASES[case.parse::<usize>().unwrap()];
        println!("\nnanoseconds {}", took(&make(bytes.parse().unwrap())).as_nanos());
        return;
    }
    let largest: usize =
        std::env::var("TAMIS_LARGE").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let mut slow = Vec::new();
    for (case, (what, _)) in CASES.iter().enumerate() {
        let sizes = [largest / 4, largest / 2, largest];
        let mut least = [Duration::MAX; 3];
        let ratio = |least: &[Duration; 3], size: usize| {
            let times = least[size].as_secs_f64() / least[size - 1].as_secs_f64();
            times.powf(1.0 / (sizes[size] as f64 / sizes[size - 1] as f64).log2())
        };
        for _ in 0..ROUNDS {
            for (least, megabytes) in least.iter_mut().zip(sizes) {
                *least = (*least).min(took_afresh(case, megabytes << 20));
            }
        }
        print!("{what:34}");
        for size in 0..3 {
            print!("  {:>3} MB {:>7.3} s", sizes[size], least[size].as_secs_f64());
            if size > 0 {
                print!(" ×{:.2}", ratio(&least, size));
            }
        }
        println!();
        if PROMISED.contains(what) && (1..3).any(|size| ratio(&least, size) > RATIO_MAX) {
            slow.push(*what);
        }
    }
    assert!(slow.is_empty(), "more than {RATIO_MAX} times for twice the octets: {slow:?}");
}
