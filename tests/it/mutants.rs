//! Real mails, broken at random: none makes the decoder fail, and none takes unduly long.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tamis::{fuzzing, mime};

use crate::support::corpus::Mails;
use crate::support::random;

const MUTANTS: usize = 1_000;
/// Larger mails say nothing new here and take long.
const BYTES_MAX: usize = 100 << 10;
/// Where there is no corpus.
const OWN: [&str; 3] = [
    "Subject: =?utf-8?q?a=C3=A9?=\r\nContent-Type: multipart/mixed; boundary=\"a\"\r\n\r\n--a\r\n\r\nhi\r\n--a\r\n\
     Content-Type: application/zip; name*0=x.; name*1=zip\r\nContent-Transfer-Encoding: base64\r\n\r\nUEsDBA==\r\n--a--\r\n",
    "Content-Type: message/rfc822\r\n\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
     <a href=3D\"http://a.example\">b</a>=\r\n",
    "Subject: x\r\n\r\nbegin 644 a.txt\r\n#0V%T\r\n`\r\nend\r\n",
];

/// What a mutation puts in: what decoders look for.
const WORDS: [&[u8]; 16] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"--",
    b"=",
    b"=?utf-8?b?",
    b"?=",
    b"\r\n\r\n",
    b"; boundary=a",
    b"Content-Type: ",
    b"begin 644 a\r\n",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"(",
    b"\"",
];

struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % count.max(1) as u64) as usize
    }
}

/// One to eight changes: octets flipped, cut out, doubled, put in, and pieces of another mail.
fn mutant(dice: &mut Dice, mail: &[u8], other: &[u8]) -> Vec<u8> {
    let mut mail = mail.to_vec();
    for _ in 0..1 + dice.below(8) {
        let at = dice.below(mail.len());
        let end = (at + 1 + dice.below(200)).min(mail.len());
        let end = end.max(at);
        match dice.below(6) {
            0 if at < mail.len() => mail[at] ^= 1 << dice.below(8),
            1 => drop(mail.drain(at..end)),
            2 => {
                let piece = mail[at..end].to_vec();
                mail.splice(at..at, piece);
            }
            3 => {
                let from = dice.below(other.len());
                let piece = &other[from..(from + dice.below(500)).min(other.len())];
                mail.splice(at..at, piece.iter().copied());
            }
            4 => mail.truncate(at.max(mail.len() / 2)),
            _ => drop(mail.splice(at..at, WORDS[dice.below(WORDS.len())].iter().copied())),
        }
    }
    mail
}

fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

#[test]
fn a_thousand_mutants_of_real_mails_are_decoded_in_time() {
    let unpacked = Mails::unpack();
    let read =
        |mails: &Mails| mails.files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    let mut mails: Vec<Vec<u8>> =
        unpacked.as_ref().map_or_else(|| OWN.map(|mail| mail.as_bytes().to_vec()).to_vec(), read);
    mails.retain(|mail| mail.len() <= BYTES_MAX && !mail.is_empty());
    let seed = random();
    println!("random seed: {seed}");
    let limits = mime::Limits::default();
    let mut times = Vec::new();
    for number in 0..MUTANTS {
        // One half is the same each time.
        let mut dice =
            Dice(if number % 2 == 0 { number as u64 } else { seed.wrapping_add(number as u64) });
        let (mail, other) = (dice.below(mails.len()), dice.below(mails.len()));
        let octets = mutant(&mut dice, &mails[mail], &mails[other]);
        let start = now();
        let message = mime::decode(octets.clone().into(), &limits);
        times.push((now() - start, number));
        fuzzing::holds_together(&message, &limits);
    }
    let whole: Duration = times.iter().map(|(time, _)| time).sum();
    let (longest, number) = times.iter().max().unwrap();
    println!("{MUTANTS} mutants in {whole:?}, the longest {longest:?} (number {number})");
    assert!(*longest < whole / 4, "mutant {number} took {longest:?} of {whole:?}");
}
