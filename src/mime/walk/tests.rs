//! What is found in pages, texts and blocks of whole messages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::mail::{Message, Part, PartFlag};
use crate::mime::{Limits, decode};

fn message(text: &str) -> Message {
    decode(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
}

fn part<'a>(message: &'a Message, name: &str) -> &'a Part {
    let named = |part: &&Part| part.names.iter().any(|known| known == name);
    message.parts.iter().find(named).unwrap_or_else(|| panic!("{name}: {:?}", message.parts))
}

const EXE: &[u8] = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0\xb8\0\0\0\0\0\0\0\x40\0\0\0";

#[test]
fn files_in_pages_become_parts_in_any_charset() {
    let page = format!(
        "<html><a download='a.exe' href='data:application/octet-stream;base64,{}'>x</a>",
        STANDARD.encode(EXE)
    );
    let wide: Vec<u8> = page.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let wide = STANDARD.encode(wide);
    let fragment = page.trim_start_matches("<html>");
    let zeros = page.replace("href", "hr\0ef");
    let octets = "Content-Type: application/octet-stream; name=x";
    for text in [
        format!("Content-Type: text/html\n\n{page}"),
        format!("Content-Type: text/html\n\n{fragment}"),
        format!("Content-Type: text/html\n\n{zeros}"),
        format!(
            "Content-Type: text/html; charset=utf-16le\nContent-Transfer-Encoding: base64\n\n{wide}"
        ),
        format!("Content-Type: text/html\nContent-Transfer-Encoding: base64\n\n{wide}"),
        format!("{octets}\nContent-Transfer-Encoding: base64\n\n{wide}"),
        format!("{octets}.htm\nContent-Transfer-Encoding: base64\n\n{}", STANDARD.encode(fragment)),
    ] {
        let got = message(&text);
        let found = part(&got, "a.exe");
        assert_eq!(found.types[0].short, "exe-ms", "{text}");
        assert!(found.is(PartFlag::Smuggled), "{text}");
    }
}

#[test]
fn pages_in_pages_are_opened() {
    let exe = format!(
        "<script>a.download='a.exe';f('{}')</script>",
        STANDARD.encode([EXE, &[0; 90]].concat())
    );
    let coded: String = exe.bytes().map(|octet| format!("%{octet:02x}")).collect();
    let got = message(&format!(
        "Content-Type: text/html\n\n<html><script>document.write(unescape('{coded}'))</script>"
    ));
    assert_eq!(part(&got, "a.exe").types[0].short, "exe-ms");
    assert!(got.parts[0].is(PartFlag::Script));
}

#[test]
fn an_ordinary_page_is_one_part() {
    let got = message(
        "Content-Type: text/html\n\n<html><head><style>p{color:red}</style></head><body onclick=''>\
         <img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='><a href='http://a.example/?data:x'>x</a>",
    );
    assert_eq!(got.parts.len(), 1);
    assert_eq!(got.parts[0].flags, []);
}

#[test]
fn yenc_and_binhex_become_parts() {
    let coded = |octet: &u8| octet.wrapping_add(42);
    let yenc = [
        &b"Content-Type: text/plain\n\nHello\n=ybegin line=128 size=3 name=a.exe\n"[..],
        &b"abc".iter().map(coded).collect::<Vec<u8>>(),
        b"\n=yend size=3\n",
    ]
    .concat();
    let named = String::from_utf8_lossy(&yenc).into_owned();
    for raw in [
        yenc.clone(),
        [b"Content-Transfer-Encoding: x-yenc\n", &yenc[..]].concat(),
        memchr::memmem::find(&yenc, b"Hello\n")
            .map(|at| [&yenc[..at], &yenc[at + 6..]].concat())
            .unwrap(),
    ] {
        let got = decode(raw.into(), &Limits::default());
        assert_eq!(&part(&got, "a.exe").data[..], b"abc", "{named}");
        assert!(!got.parts.iter().any(|part| part.is(PartFlag::Unscannable)));
    }
    let hqx = "(This file must be converted with BinHex 4.0)\n\n:";
    for head in ["text/plain", "application/mac-binhex40", "application/octet-stream"] {
        // The name, type and forks of a file `a` with the content `abc`.
        let body = format!("{hqx}!@%!9%9B9(4dH(3!!!!!!!-!!!!!!!\"KBQ-!!!!!:\n");
        let got = message(&format!("Content-Type: {head}\n\n{body}"));
        assert_eq!(got.parts.len(), 2, "{head} {:?}", got.parts);
        assert!(!got.parts.iter().any(|part| part.is(PartFlag::Unscannable)));
    }
}

#[test]
fn what_is_signed_in_one_block_is_a_message_again() {
    // No field needs to come first, and what is before the type may be no field at all.
    for first in ["", "A: b\r\n", "Content-Language: en\r\n", "X_Foo: b\r\n", "From x\r\n"] {
        let inner = format!("{first}Content-Type: application/octet-stream; name=a.exe\r\n\r\nx");
        let octets = [&[4, u8::try_from(inner.len()).unwrap()], inner.as_bytes()].concat();
        let tagged = [&[0xa0, u8::try_from(octets.len()).unwrap()], &octets[..]].concat();
        let number = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07";
        let block = [
            &b"\x30\x80"[..],
            number,
            &[2, 0xa0, 0x80, 0x30, 0x80, 2, 1, 1, 0x31, 0, 0x30, 0x80],
            number,
            &[1],
            &tagged,
        ]
        .concat();
        let got = message(&format!(
            "Content-Type: application/pkcs7-mime; smime-type=signed-data\nContent-Transfer-Encoding: base64\n\n{}",
            STANDARD.encode(block)
        ));
        assert_eq!(&part(&got, "a.exe").data[..], b"x", "{first}");
        assert!(!got.parts.iter().any(|part| part.is(PartFlag::Encrypted)));
    }
}

#[test]
fn what_needs_a_key_is_encrypted_and_a_signature_is_not() {
    let row = "hQEMA".repeat(12);
    for (text, want) in [
        (
            format!(
                "x\n-----BEGIN PGP MESSAGE-----\nVersion: 1\n\n{row}\n-----END PGP MESSAGE-----\n"
            ),
            true,
        ),
        (
            format!(
                "-----BEGIN PGP SIGNED MESSAGE-----\n\nx\n-----BEGIN PGP SIGNATURE-----\n\n{row}\n"
            ),
            false,
        ),
        ("the line -----BEGIN PGP MESSAGE----- begins a block\n".to_owned(), false),
        ("-----BEGIN PGP MESSAGE-----\nis how it begins\n".to_owned(), false),
    ] {
        let got = message(&format!("Content-Type: text/plain\n\n{text}"));
        assert_eq!(got.parts[0].is(PartFlag::Encrypted), want, "{text}");
    }
}

/// A message of parts: the lines of their headers, and their contents, which are put in base64.
fn of_parts(parts: &[(&str, &str)]) -> String {
    let mut text = "Content-Type: multipart/mixed; boundary=b\n\n".to_owned();
    for (header, content) in parts {
        text += &format!(
            "--b\nContent-Type: {header}\nContent-Transfer-Encoding: base64\n\n{}\n",
            STANDARD.encode(content)
        );
    }
    text + "--b--\n"
}

#[test]
fn the_same_octets_under_another_type_or_charset_are_opened_again() {
    // `data:` address of "%PDF-1.4 x".
    let page = r#"<a href="data:application/pdf;base64,JVBERi0xLjQgeA==" download="x.pdf">x</a>"#;
    let utf7 =
        r#"+ADw-a href="data:application/pdf;base64,JVBERi0xLjQgeA=+AD0-" download="x.pdf">x</a>"#;
    for (first, second, content) in [
        ("text/plain", "text/html", page),
        ("application/octet-stream", "text/html", page),
        ("text/html; charset=utf-8", "text/html; charset=utf-7", utf7),
    ] {
        let got = message(&of_parts(&[(first, content), (second, content)]));
        assert_eq!(&part(&got, "x.pdf").data[..], b"%PDF-1.4 x", "{first}, {second}");
    }
}

#[test]
fn files_are_found_in_an_attached_file_of_uuencode() {
    let text = "begin 644 a.exe\n#86)C\n`\nend\n";
    let got = message(&of_parts(&[("application/octet-stream; name=x.uue", text)]));
    assert_eq!(&part(&got, "a.exe").data[..], b"abc");
}

#[test]
fn a_message_behind_another_document_is_read_as_word_processors_do() {
    let mail = "MIME-VERSION: 1.0\nCONTENT-TYPE: application/x; NAME=a.exe\n\nabc";
    for before in ["%PDF-1.4\n1 0 obj <<>> endobj\n", "some junk\n\n"] {
        let got = message(&of_parts(&[("application/msword", &format!("{before}{mail}"))]));
        assert_eq!(&part(&got, "a.exe").data[..], b"abc", "{before}");
    }
}

#[test]
fn fields_in_a_text_are_found_in_capitals() {
    let text = "hello\n\nCONTENT-TYPE: text/x\nCONTENT-TRANSFER-ENCODING: base64\n\nYWJj\n";
    let got = message(text);
    assert!(got.parts.iter().any(|part| &part.data[..] == b"abc"), "{:?}", got.parts);
}

#[test]
fn packets_that_need_no_key_are_not_taken_for_looked_at() {
    let got = message(&of_parts(&[("application/octet-stream; name=a.gpg", "\u{a3}x")]));
    assert!(!got.parts[1].is(PartFlag::Unscannable), "a text");
    let got = message(
        "Content-Type: application/octet-stream; name=a.gpg\nContent-Transfer-Encoding: base64\n\nowE=\n",
    );
    assert!(got.parts[0].is(PartFlag::Unscannable));
}
