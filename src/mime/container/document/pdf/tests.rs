//! Whole files, looked into.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::mail::PasswordSource;
use crate::mime::Limits;
use crate::mime::container::{self, Container, Password, try_open};

fn opened(pdf: &[u8]) -> Opened {
    try_open(Container::Pdf, pdf.to_vec(), None, &Limits::default())
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(data).unwrap();
    writer.finish().unwrap()
}

fn stream(number: u32, dict: &str, data: &[u8]) -> Vec<u8> {
    let head = format!("{number} 0 obj\n<<{dict}/Length {}>>\nstream\r\n", data.len());
    [head.as_bytes(), data, b"\nendstream\nendobj\n"].concat()
}

fn file() -> Vec<u8> {
    [
        b"%PDF-1.7\n1 0 obj <</Type/Catalog/Names<</EmbeddedFiles 2 0 R>>>> endobj\n".to_vec(),
        b"2 0 obj <</Names[(a) 3 0 R]>> endobj\n3 0 obj <</Type/Filespec/F(a.exe)/UF<FEFF0061002E006500780065>/Desc(nice)/EF<</F 4 0 R>>>>endobj\n".to_vec(),
        stream(4, "/Type/EmbeddedFile/Filter/FlateDecode", &zlib(b"MZ\x90\0")),
    ]
    .concat()
}

#[test]
fn files_inside_are_members_with_their_names() {
    let cut = |pdf: Vec<u8>| pdf[..pdf.len() - 18].to_vec();
    let header = |pdf: Vec<u8>| [&b"junk\n"[..], &pdf].concat();
    for pdf in [file(), cut(file()), header(file())] {
        let opened = opened(&pdf);
        assert_eq!(opened.members.len(), 1, "{opened:?}");
        assert_eq!(opened.members[0].names, ["a.exe"]);
        assert_eq!(&opened.members[0].data[..], b"MZ\x90\0");
        assert_eq!(opened.flags, [PartFlag::Object]);
    }
}

#[test]
fn what_stands_elsewhere_is_looked_up() {
    let pdf = [
        b"%PDF-1.7\n1 0 obj<</F 2 0 R/EF 3 0 R>>endobj 2 0 obj (a.exe) endobj 3 0 obj<</UF 4 0 R>>endobj\n".to_vec(),
        stream(4, "/Filter 5 0 R", &zlib(b"content")),
        b"5 0 obj [/FlateDecode] endobj 6 0 obj<</S 7 0 R/F 8 0 R>>endobj 7 0 obj/Launch endobj\n".to_vec(),
        b"8 0 obj<</F(http://a.example/)>>endobj 9 0 obj<</AA 10 0 R>>endobj 10 0 obj<</O 11 0 R>>endobj\n".to_vec(),
        b"11 0 obj<</S/JavaScript/JS 12 0 R>>endobj 12 0 obj(x)endobj".to_vec(),
    ]
    .concat();
    let opened = opened(&pdf);
    assert_eq!(contents(&opened), [("a.exe", &b"content"[..]), ("javascript-1", b"x")]);
    for flag in [PartFlag::Launch, PartFlag::AutoRun, PartFlag::Object] {
        assert!(opened.flags.contains(&flag), "{flag:?} {opened:?}");
    }
}

#[test]
fn scripts_and_actions_are_known() {
    use PartFlag as F;
    let table: &[(&str, &[PartFlag], usize)] = &[
        (
            "1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>>>endobj",
            &[F::Script, F::AutoRun],
            1,
        ),
        (
            "1 0 obj<</OpenAction 2 0 R>>endobj 2 0 obj<</S/J#61vaScript/#4aS<6178>>>endobj",
            &[F::Script, F::AutoRun],
            1,
        ),
        ("1 0 obj<</AA<</O<</S/JavaScript/JS(x)>>>>>>endobj", &[F::Script, F::AutoRun], 1),
        ("1 0 obj<</AA<</C<</S/JavaScript/JS(AFNumber\\(\\))>>>>>>endobj", &[F::Script], 1),
        ("1 0 obj<</OpenAction[3 0 R/Fit]>>endobj", &[], 0),
        ("1 0 obj<</S/Launch/F(cmd.exe)>>endobj", &[F::Launch], 0),
        ("1 0 obj<</S/Launch/Win<</F(cmd.exe)/P(/c)>>>>endobj", &[F::Launch], 0),
        ("1 0 obj<</A<</S/URI/URI(http://a.example/)>>>>endobj", &[], 0),
        ("1 0 obj<</S/SubmitForm/F<</FS/URL/F(http://a.example/x)>>>>endobj", &[F::Remote], 0),
        ("1 0 obj<</S/GoToR/F(\\\\\\\\a.example\\\\x)>>endobj", &[F::Remote], 0),
        ("1 0 obj<</S/GoToR/F(other.pdf)>>endobj", &[], 0),
        ("1 0 obj (( \n2 0 obj<</S/Launch/F(x)>>endobj", &[F::Launch], 0),
        (
            "1 0 obj<</Length 99>>stream\n5 0 obj<</S/Launch>>endobj\nendstream endobj",
            &[F::Launch],
            0,
        ),
        ("trailer<</Root<</OpenAction<</S/JavaScript/JS(x)>>>>>>", &[F::Script, F::AutoRun], 1),
    ];
    for (source, flags, scripts) in table {
        let opened = opened(format!("%PDF-1.4\n{source}\n").as_bytes());
        assert_eq!((&opened.flags[..], opened.members.len()), (*flags, *scripts), "{source}");
    }
    let links = opened(b"%PDF-1.4\n1 0 obj<</A<</S/URI/URI(http://a.example/)>>>>endobj").links;
    assert_eq!(links, [("http://a.example/".to_owned(), None)]);
    let script = &opened(b"%PDF-1 1 0 obj<</JS(ab)>>endobj").members[0];
    assert_eq!(
        (&script.names[..], &script.data[..]),
        (&["javascript-1".to_owned()][..], &b"ab"[..])
    );
}

#[test]
fn streams_of_objects_and_of_scripts_are_read() {
    let one = "<</S/JavaScript/JS 9 0 R/OpenAction 7>>";
    let head = format!("7 0 8 {} ", one.len());
    let (first, inner) = (head.len(), format!("{head}{one}<</S/Launch>>"));
    let pdf = [
        b"%PDF-1.5\n".to_vec(),
        stream(
            1,
            &format!("/Type/ObjStm/N 2/First {first}/Filter/FlateDecode"),
            &zlib(inner.as_bytes()),
        ),
        stream(9, "/Filter[/ASCIIHexDecode/Fl]", &{
            let hex: String = zlib(b"evil()").iter().map(|octet| format!("{octet:02x}")).collect();
            hex.into_bytes()
        }),
    ]
    .concat();
    let opened = opened(&pdf);
    assert!(opened.flags.contains(&PartFlag::Script) && opened.flags.contains(&PartFlag::AutoRun));
    assert!(opened.flags.contains(&PartFlag::Launch), "{opened:?}");
    assert_eq!(&opened.members[0].data[..], b"evil()");
}

fn contents(opened: &Opened) -> Vec<(&str, &[u8])> {
    let name = |member: &'_ Member| member.names.first().map_or(0, String::len);
    let mut members: Vec<_> = opened.members.iter().collect();
    members.sort_by_key(|member| name(member));
    members.iter().map(|m| (m.names.first().map_or("", String::as_str), &m.data[..])).collect()
}

const CONTENTS: [(&str, &[u8]); 2] = [("a.exe", b"hello"), ("javascript-1", b"app.alert(1)")];

#[test]
fn a_file_that_opens_without_a_password_is_read_as_any_other() {
    for sample in [
        samples::PACKED,
        samples::OPEN_40,
        samples::OPEN_128,
        samples::OPEN_AES,
        samples::OPEN_METADATA,
        samples::OPEN_256_5,
        samples::OPEN_256,
    ] {
        let opened = opened(&STANDARD.decode(sample).unwrap());
        assert_eq!(contents(&opened), CONTENTS, "{sample}");
        assert_eq!(opened.flags, [PartFlag::Script, PartFlag::AutoRun, PartFlag::Object]);
    }
}

#[test]
fn a_revision_that_is_not_encrypted_is_read_as_it_stands() {
    let mut pdf = STANDARD.decode(samples::OPEN_AES).unwrap();
    pdf.extend(stream(90, "/Type/EmbeddedFile/Filter/Fl", &zlib(b"second")));
    pdf.extend(b"91 0 obj<</S/JavaScript/JS(other\\(1\\))>>endobj trailer<</Root 1 0 R>>");
    let opened = opened(&pdf);
    let all = contents(&opened);
    assert!(all.iter().any(|(_, data)| *data == b"second"), "{all:?}");
    assert!(all.iter().any(|(_, data)| *data == b"other(1)"), "{all:?}");
    assert!(all.contains(&CONTENTS[0]) && opened.flags.contains(&PartFlag::Script));
}

#[test]
fn a_file_with_a_password_is_encrypted_until_one_fits() {
    for sample in [samples::USER_128, samples::USER_256] {
        let data: Bytes = STANDARD.decode(sample).unwrap().into();
        let locked = opened(&data);
        assert!(locked.flags.contains(&PartFlag::Encrypted), "{locked:?}");
        assert!(contents(&locked).iter().all(|(_, data)| data.is_empty()));
        for (word, fits) in [("wrong", false), ("user", true), ("owner", true)] {
            let password =
                |word: &str| Password { octets: word.into(), source: PasswordSource::Body };
            let limits = Limits::default();
            let ask = Ask {
                data: &data,
                name: None,
                passwords: &[password("another"), password(word)],
                budget: &mut Budget::new(&limits),
            };
            let opened = container::open(Container::Pdf, ask);
            assert_eq!(opened.flags.contains(&PartFlag::Encrypted), !fits, "{word}");
            if fits {
                assert_eq!(contents(&opened), CONTENTS, "{word}");
                let flag = PartFlag::Decrypted(PasswordSource::Body);
                assert!(opened.members.iter().all(|member| member.flags == [flag]));
            }
        }
    }
}

#[test]
fn objects_that_are_never_closed_cost_linear_time() {
    for piece in ["1 0 obj (", "1 0 obj <<", "1 0 obj<<>>stream\n", "1 0 obj [[[", "trailer<<"] {
        let pdf = piece.repeat(20_000);
        opened(pdf.as_bytes());
    }
}

proptest! {
    #[test]
    fn no_change_of_an_encrypted_file_makes_it_fail(which in 0_usize..3, at: usize, octet: u8) {
        let sample = [samples::OPEN_40, samples::OPEN_AES, samples::OPEN_256][which];
        let mut pdf = STANDARD.decode(sample).unwrap();
        let at = at % pdf.len();
        pdf[at] = octet;
        opened(&pdf);
    }

    #[test]
    fn no_octets_make_it_fail(at: usize, octet: u8, cut: usize) {
        let mut pdf = file();
        let at = at % pdf.len();
        pdf[at] = octet;
        pdf.truncate(cut % (pdf.len() + 1) + 1);
        opened(&pdf);
    }

    #[test]
    fn no_text_makes_it_fail(text in "(1 0 obj|<<|>>|/Encrypt|/JS|/EF|/F| 1 0 R|stream\n|endstream|endobj|trailer|\\(|\\)|/Type/ObjStm|/First 3|/Filter/Fl|){0,40}") {
        opened(text.as_bytes());
    }
}
