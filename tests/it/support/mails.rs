//! Mails the tests send, good and bad ones. Line ends are CR LF.

use std::io::Write;

use base64::Engine;

/// The test file all scanners know, in two pieces so that none finds it here.
pub fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$".as_bytes(), b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"]
        .concat()
}

/// The text all spam filters know.
pub fn gtube() -> String {
    ["XJS*C4JDBQADN1.NSBN3*2IDNEN*", "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"].concat()
}

/// A mark that is in no other mail: it goes into subject and Message-ID.
pub fn mark(what: &str) -> String {
    format!("{what}-{:016x}", super::random())
}

/// A header section as a well-behaved sender writes it, without the empty line.
pub fn header(mark: &str) -> String {
    format!(
        "Received: from mail.sender.example (mail.sender.example [198.51.100.7])\r\n\tby mx.lab.example (Postfix) with ESMTPS id 4ABCDEF012\r\n\
         \tfor <bob@lab.example>; Mon, 16 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <{mark}@sender.example>\r\nDate: Mon, 16 Nov 2026 10:00:00 +0000\r\nFrom: Alice <alice@sender.example>\r\n\
         To: Bob <bob@lab.example>\r\nSubject: About {mark}\r\nMIME-Version: 1.0\r\n"
    )
}

const TEXT: &str = "Dear Bob,\r\n\r\nhere is what we spoke about on the phone this morning.\r\n.A line with a dot before it.\r\nKind regards, Alice\r\n";

/// A mail nobody minds, with trailing blanks, a tab and 8-bit octets that must all arrive.
pub fn clean(mark: &str) -> Vec<u8> {
    let mut mail = header(mark).into_bytes();
    mail.extend_from_slice(
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
    );
    mail.extend_from_slice(TEXT.as_bytes());
    mail.extend_from_slice("Gr\u{fc}\u{df}e \t \r\n\r\n".as_bytes());
    mail
}

/// As [`clean`], but of 7-bit octets only.
pub fn clean_7_bit(mark: &str) -> Vec<u8> {
    plain(mark, "A last line with blanks and a tab behind it. \t \r\n")
}

/// A mail of one text part.
pub fn plain(mark: &str, text: &str) -> Vec<u8> {
    format!("{}Content-Type: text/plain; charset=us-ascii\r\n\r\n{TEXT}{text}\r\n", header(mark))
        .into_bytes()
}

/// A mail with a text and one more part (its header and body).
pub fn mixed(mark: &str, part: &str) -> Vec<u8> {
    let boundary = format!("=_{:016x}", super::random());
    format!(
        "{}Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         {TEXT}\r\n--{boundary}\r\n{part}\r\n--{boundary}--\r\n",
        header(mark)
    )
    .into_bytes()
}

/// Base64 in lines.
pub fn base64(octets: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(octets);
    let lines: Vec<&str> =
        text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join("\r\n")
}

/// A part that carries a file.
pub fn attachment(content_type: &str, disposition: &str, octets: &[u8]) -> String {
    format!(
        "Content-Type: {content_type}\r\nContent-Disposition: {disposition}\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        base64(octets)
    )
}

/// A mail with a file of that name.
pub fn with_file(mark: &str, name: &str, octets: &[u8]) -> Vec<u8> {
    let disposition = format!("attachment; filename=\"{name}\"");
    mixed(mark, &attachment("application/octet-stream", &disposition, octets))
}

/// The bad mails with what each is called.
pub fn infected() -> Vec<(&'static str, String, Vec<u8>)> {
    let eicar = eicar();
    let text = String::from_utf8(eicar.clone()).unwrap();
    let inner = with_file("inner", "eicar.dat", &eicar);
    let nested =
        format!("Content-Type: message/rfc822\r\n\r\n{}", String::from_utf8(inner).unwrap());
    let plain_mark = mark("eicar-plain");
    let mut only_text = header(&plain_mark).into_bytes();
    only_text.extend_from_slice(format!("Content-Type: text/plain\r\n\r\n{text}\r\n").as_bytes());
    let (encoded, zipped, attached) =
        (mark("eicar-base64"), mark("eicar-zip"), mark("eicar-nested"));
    vec![
        ("in the text", plain_mark, only_text),
        ("as base64", encoded.clone(), with_file(&encoded, "eicar.dat", &eicar)),
        ("in a zip", zipped.clone(), with_file(&zipped, "a.zip", &zip("eicar.dat", &eicar))),
        ("in an attached message", attached.clone(), mixed(&attached, &nested)),
    ]
}

/// Mails with a program in disguise, with what each is called.
pub fn banned() -> Vec<(&'static str, String, Vec<u8>)> {
    let (named, zipped) = (mark("exe-named"), mark("exe-zipped"));
    let program = b"MZ\x90\0 is how programs begin, and this is none";
    // The name `invoice.exe` in pieces and in hex, as RFC 2231 allows.
    let pieces = "attachment;\r\n filename*0*=UTF-8''inv%6Fice;\r\n filename*1*=%2Ee%78e";
    // A zip that calls itself x.exe the same way, with a program of that name inside.
    let of_zip = "attachment;\r\n filename*0*=UTF-8''x%2E;\r\n filename*1=zip";
    let part = attachment("application/octet-stream", pieces, b"nothing but text\r\n");
    let zip_part = attachment("application/zip", of_zip, &zip("x.exe", program));
    vec![
        ("named by RFC 2231", named.clone(), mixed(&named, &part)),
        ("in a zip named by RFC 2231", zipped.clone(), mixed(&zipped, &zip_part)),
    ]
}

/// A zip with one deflated member.
pub fn zip(name: &str, octets: &[u8]) -> Vec<u8> {
    let mut encoder =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(octets).unwrap();
    let packed = encoder.finish().unwrap();
    let mut crc = flate2::Crc::new();
    crc.update(octets);
    let mut common = vec![20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0x5d];
    common.extend_from_slice(&crc.sum().to_le_bytes());
    common.extend_from_slice(&(packed.len() as u32).to_le_bytes());
    common.extend_from_slice(&(octets.len() as u32).to_le_bytes());
    common.extend_from_slice(&(name.len() as u16).to_le_bytes());
    common.extend_from_slice(&[0, 0]);
    let mut zip = b"PK\x03\x04".to_vec();
    zip.extend_from_slice(&common);
    zip.extend_from_slice(name.as_bytes());
    zip.extend_from_slice(&packed);
    let directory = zip.len();
    zip.extend_from_slice(b"PK\x01\x02\x14\x03");
    zip.extend_from_slice(&common);
    zip.extend_from_slice(&[0; 14]);
    zip.extend_from_slice(name.as_bytes());
    let size = zip.len() - directory;
    zip.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    zip.extend_from_slice(&(size as u32).to_le_bytes());
    zip.extend_from_slice(&(directory as u32).to_le_bytes());
    zip.extend_from_slice(&[0, 0]);
    zip
}
