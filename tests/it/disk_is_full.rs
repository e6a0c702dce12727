//! A full disk under the quarantine: what must be kept and cannot be has to wait, and clean mail is not touched by it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::client::deliver;
use crate::support::sink::Sink;
use crate::support::tamis::{Setup, Tamis};
use crate::support::{contains, folder, has, is_root, mails};

const FROM: &str = "alice@sender.example";
const BOB: &str = "bob@lab.example";

/// A file system of 2 MiB of our own.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        let disk = Self { folder: folder() };
        let options = ["-t", "tmpfs", "-o", "size=2m,mode=755", "tamis-it"];
        let mounted = is_root()
            && Command::new("mount")
                .args(options)
                .arg(disk.folder.path())
                .status()
                .is_ok_and(|status| status.success());
        has("the right to mount", mounted).then_some(disk)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Fills it up but for some octets.
    fn fill(&self, left: u64) -> PathBuf {
        let ballast = self.path().join("ballast");
        let space = rustix::fs::statvfs(self.path()).unwrap();
        let size = (space.f_bavail * space.f_frsize).saturating_sub(left);
        std::fs::write(&ballast, vec![b'x'; size as usize]).unwrap();
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.folder.path()).status().ok();
    }
}

/// A virus with some more that no compression makes small.
fn large_infected(mark: &str) -> Vec<u8> {
    let noise: Vec<u8> = (0..40_000).flat_map(|_| crate::support::random().to_ne_bytes()).collect();
    let mut file = mails::eicar();
    let text = String::from_utf8(file.split_off(0)).unwrap();
    let mut part = mails::attachment(
        "application/octet-stream",
        "attachment; filename=\"eicar.dat\"",
        text.as_bytes(),
    );
    part.push_str("\r\n");
    let mut mail = mails::mixed(mark, &part);
    mail.extend_from_slice(mails::base64(&noise).as_bytes());
    mail.extend_from_slice(b"\r\n");
    mail
}

fn check(min_free: &str, left: u64) {
    let Some(disk) = SmallDisk::mount() else { return };
    let sink = Sink::start();
    let mut setup = Setup::to(sink.port);
    setup.quarantine = format!("min_free = \"{min_free}\"");
    setup.store = Some(disk.path().join("quarantine"));
    let mut tamis = setup.start();
    let ballast = disk.fill(left);
    for port in [tamis.after_queue(), tamis.pre_queue()] {
        let mark = mails::mark("no-room");
        let mail = large_infected(&mark);
        let heard = deliver(port, FROM, &[BOB], &mail);
        // Before the queue it is refused whether the copy was kept or not: the sender still has it.
        let refused = port == tamis.pre_queue() && heard.code() == 554;
        assert!(heard.is("452") || heard.is("451") || refused, "{heard:?}");
        whole_or_absent(&tamis, &mark, &mail);
        let clean = mails::mark("clean");
        assert_eq!(deliver(port, FROM, &[BOB], &mails::clean(&clean)).code(), 250);
        sink.wait_marked(&clean);
    }
    assert_eq!(sink.count(), 2, "only the clean ones passed");
    std::fs::remove_file(ballast).unwrap();
    tamis.kill();
    tamis.launch();
    let mark = mails::mark("room-again");
    let mail = large_infected(&mark);
    assert_eq!(deliver(tamis.after_queue(), FROM, &[BOB], &mail).code(), 250);
    assert!(tamis.wait_quarantined(&mark).1.ends_with(&mail));
}

fn whole_or_absent(tamis: &Tamis, mark: &str, mail: &[u8]) {
    for (path, stored) in tamis.quarantined() {
        let half =
            contains(&stored, mark.as_bytes()) && !stored.ends_with(mail) || stored.is_empty();
        assert!(!half, "{} is half a mail", path.display());
    }
}

#[test]
fn mail_waits_when_the_disk_is_full() {
    check("1KB", 65_536);
}

#[test]
fn mail_waits_when_less_than_the_minimum_is_free() {
    check("1MB", 900_000);
}
