//! Sample mails, made when they are needed: no virus test string lies in the program as such.

use mail_builder::MessageBuilder;

use crate::config::ListenerMode;
use crate::verdict::Verdict;

/// One sample.
pub struct Sample {
    /// Its name in the table.
    pub name: &'static str,
    /// What it must be judged.
    pub verdict: Verdict,
    text: String,
    attachment: Option<(&'static str, &'static str, Vec<u8>)>,
}

impl Sample {
    /// The whole message.
    pub fn message(&self, message_id: &str) -> Vec<u8> {
        let mut builder = MessageBuilder::new()
            .from(("A sender", "sender@try.example"))
            .to("recipient@try.example")
            .subject(format!("tamis try: {}", self.name))
            .message_id(message_id.trim_matches(['<', '>']).to_owned())
            .text_body(self.text.clone());
        if let Some((name, kind, data)) = &self.attachment {
            builder = builder.attachment(*kind, *name, data.clone());
        }
        // Writing into memory cannot fail; an empty message would show as a wrong verdict.
        builder.write_to_vec().unwrap_or_default()
    }

    /// How the reply must begin.
    pub fn code(&self, mode: ListenerMode) -> &'static str {
        let refused = matches!(self.verdict, Verdict::Virus | Verdict::Banned | Verdict::Spam);
        if refused && mode == ListenerMode::PreQueue { "554 5.7.0" } else { "250" }
    }
}

/// All samples.
pub fn all() -> Vec<Sample> {
    let sample = |name, verdict, text: &str, attachment| Sample {
        name,
        verdict,
        text: text.to_owned(),
        attachment,
    };
    let hello = "Good morning,\n\nthe minutes of Monday are attached.\n\nKind regards\n";
    vec![
        sample("clean", Verdict::Clean, hello, None),
        sample(
            "clean, with attachment",
            Verdict::Clean,
            hello,
            Some(("minutes.txt", "text/plain", b"Nothing new.\n".to_vec())),
        ),
        sample(
            "virus test file",
            Verdict::Virus,
            hello,
            Some(("eicar.dat", "application/octet-stream", eicar())),
        ),
        sample(
            "virus test file in zip",
            Verdict::Virus,
            hello,
            Some(("a.zip", "application/zip", zip("eicar.dat", &eicar()))),
        ),
        sample("spam test text", Verdict::Spam, &format!("{hello}\n{}\n", gtube()), None),
        sample(
            "program in zip",
            Verdict::Banned,
            hello,
            Some(("b.zip", "application/zip", zip("setup.exe", b"no program at all\n"))),
        ),
        sample(
            "double extension",
            Verdict::Banned,
            hello,
            Some(("photo.jpg.scr", "image/jpeg", b"no picture\n".to_vec())),
        ),
    ]
}

/// The EICAR anti-virus test file, put together from pieces.
fn eicar() -> Vec<u8> {
    ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD", "-ANTIVIRUS-TEST", "-FILE!$H+H*"]
        .concat()
        .into_bytes()
}

/// The GTUBE anti-spam test text, put together from pieces.
fn gtube() -> String {
    ["XJS*C4JDBQADN1.NSBN3*2IDNEN*", "GTUBE-STANDARD", "-ANTI-UBE-TEST", "-EMAIL*C.34X"].concat()
}

/// A zip with one stored member (APPNOTE.TXT sections 4.3.7, 4.3.12 and 4.3.16).
fn zip(name: &str, data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(data);
    let size = u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes();
    let name_length = u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes();
    let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0x5b];
    for piece in [&crc.sum().to_le_bytes()[..], &size, &size, &name_length, &[0, 0]] {
        common.extend_from_slice(piece);
    }
    let local = [&b"PK\x03\x04"[..], &common, name.as_bytes(), data].concat();
    let central = [&b"PK\x01\x02\x14\x00"[..], &common, &[0; 14], name.as_bytes()].concat();
    let at = u32::try_from(local.len()).unwrap_or(u32::MAX).to_le_bytes();
    let length = u32::try_from(central.len()).unwrap_or(u32::MAX).to_le_bytes();
    let end = [&b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..], &length, &at, &[0, 0]].concat();
    [local, central, end].concat()
}
