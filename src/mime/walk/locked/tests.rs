//! Whole mails with something encrypted in them.

use std::sync::Arc;

use crate::filters::RuleFile;
use crate::filters::virus::Builtin;
use crate::mail::{DefectCode, Message, PartFlag, PasswordSource};
use crate::mime::{Limits, decode};

/// `zip -P s3cret`, of the test virus.
const VIRUS: &str = "UEsDBAoACQAAALhwe108z1FoUAAAAEQAAAAFAAAAZS5jb208STVOQmhIBOf825+J9wlDQB9ZR9G6Yf8ee4pj2yzL\
    JhTmvyoWtEm36FWSs+aljcVlCf8gGOnUZsJCXp6NDxKawmsfxRa9jLsckSTqkewralBLBwg8z1FoUAAAAEQAAABQ\
    SwECHgMKAAkAAAC4cHtdPM9RaFAAAABEAAAABQAAAAAAAAABAAAApIEAAAAAZS5jb21QSwUGAAAAAAEAAQAzAAAA\
    gwAAAAAA";

/// `zip -P outer9`, of that zip and a text: "The next password: s3cret".
const NESTED: &str = "UEsDBAoACQAAALhwe13v/jey2AAAAMwAAAAFAAAAZS56aXBcmRWVCiAFZkv8CDmb61SM2qOQPJDlKUmSwsMjYEsg\
    03yXkHIR+Ch8+dKCajY2Pt7bDU2wQ62p+Z9wzbNeNpQpC+eMxF2ky1xL5FJbRdMLQkUskxFEqOSZxRJWRLTZWXEX\
    e0w6CAP2DDqTsKuTToiPjJer6HWxCql4snZza5G5l2JvUW6ZSnZd0kJnZSOFmKj3lWAp4icAaf7DNflCJktM9xuX\
    l5CjOUSqIC9F9kdPSJ/zH4IogAD8u6KmoqcoF0GE1JkzDiB6M9Sm+bw5caU4EOPSVs/8NZxQSwcI7/43stgAAADM\
    AAAAUEsDBAoACQAAABFye11dhixxJgAAABoAAAAIAAAAaGludC50eHSqbpbj7jPgZX4ttuJNyP3wgAwaLgOktSze\
    SwIdJBATk6z2by1x0lBLBwhdhixxJgAAABoAAABQSwECHgMKAAkAAAC4cHtd7/43stgAAADMAAAABQAAAAAAAAAA\
    AAAApIEAAAAAZS56aXBQSwECHgMKAAkAAAARcntdXYYscSYAAAAaAAAACAAAAAAAAAABAAAApIELAQAAaGludC50\
    eHRQSwUGAAAAAAIAAgBpAAAAZwEAAAAA";

/// `b.txt` under zz11, `a.txt` under none.
const MIXED: &str = "UEsDBAoACQAAALhwe13xhmx6DwAAAAMAAAAFAAAAYi50eHTatndpGlB5phYNZ+QQiTdQSwcI8YZseg8AAAADAAAA\
    UEsDBBQAAAAIALhwe13XAKl4KQAAAEgAAAAFAAAAYS50eHTLSM3JyVfIwEfqKJRkZBYrAFFJRqpCSWpFiUJ+Gpid\
    lllUXAIkc1K5AFBLAQIeAwoACQAAALhwe13xhmx6DwAAAAMAAAAFAAAAAAAAAAEAAACkgQAAAABiLnR4dFBLAQIe\
    AxQAAAAIALhwe13XAKl4KQAAAEgAAAAFAAAAAAAAAAEAAACkgUIAAABhLnR4dFBLBQYAAAAAAgACAGYAAACOAAAA\
    AAA=";

fn mail(subject: &str, body: &str, name: &str, zip: &str) -> Vec<u8> {
    format!(
        "Subject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{body}\r\n\
         --b\r\nContent-Type: application/zip; name=\"{name}\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{zip}\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nbye\r\n--b--\r\n"
    )
    .into_bytes()
}

fn message(subject: &str, body: &str, name: &str, zip: &str, configured: &[&str]) -> Message {
    let passwords: Arc<[String]> = configured.iter().map(|word| (*word).to_owned()).collect();
    let limits = Limits { passwords, ..Limits::default() };
    decode(mail(subject, body, name, zip).into(), &limits)
}

fn facts(message: &Message) -> Vec<(&str, &[PartFlag])> {
    message.parts.iter().map(|part| (part.path.as_str(), part.flags.as_slice())).collect()
}

#[test]
fn a_password_is_found_wherever_the_mail_tells_it() {
    let table = [
        ("x", "<p>The password is <b>s3cret</b>.</p>", "a.zip", &[][..], PasswordSource::Body),
        ("Invoice, password s3cret", "see there", "a.zip", &[], PasswordSource::Subject),
        ("x", "see there", "invoice_s3cret.zip", &[], PasswordSource::Name),
        ("x", "see there", "a.zip", &["s3cret"], PasswordSource::Configured),
    ];
    for (subject, body, name, configured, source) in table {
        let got = message(subject, body, name, VIRUS, configured);
        let opened = [PartFlag::Decrypted(source)];
        assert_eq!(
            facts(&got),
            [("0", &[][..]), ("1", &[]), ("2", &[]), ("2/e.com", &opened), ("3", &[])],
            "{source:?}"
        );
        assert!(!got.defects.iter().any(|defect| defect.code == DefectCode::Encrypted));
        assert_eq!(got.parts[3].parent, Some(2));
        assert_eq!(got.parts[3].data.len(), 68);
    }
}

#[test]
fn a_virus_under_a_password_of_the_mail_is_found() {
    let text = include_bytes!("../../../../filters/virus/eicar.sig");
    let (scanner, mistakes) = Builtin::build("builtin", &[RuleFile::built_in("x", text)]);
    assert_eq!(mistakes, []);
    let hits = |body: &str| {
        let got = message("x", body, "a.zip", VIRUS, &[]);
        scanner.scan(&got).into_iter().map(|hit| hit.part).collect::<Vec<_>>()
    };
    assert_eq!(hits("Passwort: s3cret"), ["2/e.com"]);
    assert!(hits("no word of it").is_empty());
}

#[test]
fn what_stays_closed_stays_encrypted_and_named() {
    let got = message("x", "no word of it", "a.zip", VIRUS, &["wrong"]);
    let closed = [PartFlag::Encrypted];
    assert_eq!(facts(&got)[2..4], [("2", &closed[..]), ("2/e.com", &closed)]);
    assert_eq!(got.parts[3].names, ["e.com"]);
    assert!(got.defects.iter().any(|defect| defect.code == DefectCode::Encrypted));
}

#[test]
fn what_opens_is_opened_in_turn_with_what_it_tells() {
    let got = message("x", "password: outer9", "a.zip", NESTED, &[]);
    let opened = [PartFlag::Decrypted(PasswordSource::Body)];
    assert_eq!(
        facts(&got)[2..6],
        [("2", &[][..]), ("2/e.zip", &opened), ("2/e.zip/e.com", &opened), ("2/hint.txt", &opened)]
    );
    assert!(got.parts.iter().enumerate().all(|(at, part)| part.parent.is_none_or(|up| up < at)));
}

#[test]
fn a_container_is_encrypted_as_long_as_one_member_is() {
    let got = message("x", "nothing", "a.zip", MIXED, &[]);
    assert_eq!(facts(&got)[2..5].iter().filter(|(_, flags)| !flags.is_empty()).count(), 2);
    let got = message("x", "code: zz11", "a.zip", MIXED, &[]);
    assert!(got.parts.iter().all(|part| !part.is(PartFlag::Encrypted)));
    assert_eq!(got.parts.iter().filter(|part| part.path.starts_with("2/")).count(), 2);
}

#[test]
fn no_work_allowed_means_no_password_is_tried() {
    let limits = Limits { work_max: 0, ..Limits::default() };
    let got = decode(mail("x", "password: s3cret", "a.zip", VIRUS).into(), &limits);
    assert!(got.parts[2].is(PartFlag::Encrypted));
}
