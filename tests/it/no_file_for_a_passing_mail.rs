//! A mail that passes leaves no file behind, not even for a moment.

use crate::support::client::deliver;
use crate::support::sink::Sink;
use crate::support::tamis::Setup;
use crate::support::{folder, has, installed, is_root, mails};

#[test]
fn no_file_is_created_for_mail_that_passes() {
    if !has("strace, with root to trace", installed("strace") && is_root()) {
        return;
    }
    let folder = folder();
    let trace = folder.path().join("trace");
    let sink = Sink::start();
    let mut setup = Setup::to(sink.port);
    let calls = "trace=open,openat,openat2,creat,mkdir,mkdirat,mknodat,link,linkat,rename,renameat,renameat2,memfd_create";
    // With -D the tracer stands aside, and the process that we know is the program itself.
    setup.under = ["strace", "-D", "-f", "-qq", "-e", "signal=none", "-e", calls, "-o"]
        .map(str::to_owned)
        .to_vec();
    setup.under.push(trace.display().to_string());
    let mut tamis = setup.start();
    let send = |what: &str| {
        for port in [tamis.after_queue(), tamis.pre_queue()] {
            let heard = deliver(
                port,
                "a@example.org",
                &["b@lab.example"],
                &mails::clean(&mails::mark(what)),
            );
            assert_eq!(heard.code(), 250, "{heard:?}");
        }
    };
    // What the first mail sets up once is not the mails' cost.
    send("first");
    let before = std::fs::read_to_string(&trace).unwrap().lines().count();
    for _ in 0..10 {
        send("passing");
    }
    // The end writes what was held back, so all calls are in the trace.
    tamis.signal(rustix::process::Signal::TERM);
    tamis.wait_end();
    let text = std::fs::read_to_string(&trace).unwrap();
    assert!(text.lines().any(|line| line.contains("tamis.toml")), "the trace works");
    let created: Vec<&str> = text
        .lines()
        .skip(before)
        .filter(|line| !line.contains("ENOENT") && !line.contains("tamis.db"))
        .filter(|line| {
            line.contains("O_CREAT") || line.contains("O_TMPFILE") || !line.contains("open")
        })
        .filter(|line| {
            ["open", "creat", "mkdir", "mknod", "link", "rename", "memfd"]
                .iter()
                .any(|call| line.contains(call))
        })
        .collect();
    assert!(created.is_empty(), "{}", created.join("\n"));
}
