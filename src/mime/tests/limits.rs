//! Each limit of the decoder at its own value, where nothing is said, and one above, where its code is.

use std::fmt::Write as _;
use std::io::Write as _;

use super::*;

/// Decodes what `mail` makes of a number, at the limit and one above it: only above, the code is there.
fn check(
    what: &str,
    limits: &Limits,
    code: DefectCode,
    at: usize,
    mail: impl Fn(usize) -> Vec<u8>,
) {
    assert!(code.is_limit(), "{code} leads to the verdict over-limits");
    let over = |count: usize| {
        let got = decode(mail(count).into(), limits);
        crate::fuzzing::holds_together(&got, limits);
        let limit: Vec<_> = codes(&got).into_iter().filter(|code| code.is_limit()).collect();
        assert!(limit.iter().all(|found| *found == code), "{what} {count}: {limit:?}");
        limit.contains(&code)
    };
    assert!(!over(at), "{what}: {at} is allowed");
    assert!(over(at + 1), "{what}: {} is too much", at + 1);
}

fn fields(count: usize) -> Vec<u8> {
    (0..count).map(|n| format!("X-{n}: y\r\n")).collect::<String>().into_bytes()
}

#[test]
fn fields_have_a_limit() {
    let limits = Limits { headers_max: 7, ..Limits::default() };
    check("fields", &limits, DefectCode::TooManyHeaders, 7, fields);
    check("fields", &Limits::default(), DefectCode::TooManyHeaders, 10_000, fields);
}

#[test]
fn the_octets_of_a_field_have_a_limit_folded_or_not() {
    let limits = Limits { header_bytes_max: 100, ..Limits::default() };
    let plain = |count: usize| format!("X: {}\r\n\r\n", "y".repeat(count - 3)).into_bytes();
    check("octets", &limits, DefectCode::TooManyHeaders, 100, plain);
    let folded = |count: usize| {
        let lines = "\r\n y".repeat(20);
        format!("X: {}{lines}\r\n\r\n", "y".repeat(count - 3 - lines.len())).into_bytes()
    };
    check("folded octets", &limits, DefectCode::TooManyHeaders, 100, folded);
}

#[test]
fn fields_of_one_name_have_a_limit_and_the_last_one_is_read() {
    let same = |count: usize| {
        let first = "Content-Type: text/plain\r\n".repeat(count - 1);
        format!("{first}Content-Type: text/plain; name=x.exe\r\n\r\nhi\r\n").into_bytes()
    };
    let limits = Limits::default();
    check("fields of one name", &limits, DefectCode::TooManyHeaders, limits.same_fields_max, same);
    let got = decode(same(30).into(), &limits);
    assert!(got.parts[0].names.contains(&"x.exe".to_owned()), "{:?}", got.parts[0].names);
}

#[test]
fn parameters_have_a_limit() {
    let limits = Limits { parameters_max: 5, ..Limits::default() };
    let many = |count: usize| {
        let list: String = (0..count).map(|n| format!("; x{n}=y")).collect();
        format!("Content-Type: text/plain{list}\r\n\r\nhi\r\n").into_bytes()
    };
    check("parameters", &limits, DefectCode::TooManyParameters, 5, many);
}

#[test]
fn segments_of_a_parameter_have_a_limit() {
    let segments = |count: usize| {
        let list: String = (0..count).map(|n| format!(";\r\n filename*{n}=\"a\"")).collect();
        format!("Content-Disposition: attachment{list}\r\n\r\nhi\r\n").into_bytes()
    };
    check("segments", &Limits::default(), DefectCode::TooManyParameters, 100, segments);
}

#[test]
fn values_of_a_parameter_have_a_limit() {
    let limits = Limits { values_max: 6, ..Limits::default() };
    let values = |count: usize| {
        let list: String = (0..count).map(|n| format!("; name=a{n}")).collect();
        format!("Content-Type: text/plain{list}\r\n\r\nhi\r\n").into_bytes()
    };
    check("values", &limits, DefectCode::TooManyParameters, 6, values);
}

#[test]
fn names_of_a_part_have_a_limit() {
    let limits = Limits { names_max: 3, ..Limits::default() };
    let names = |count: usize| {
        let list: String = (0..count).map(|n| format!("; name=a{n}")).collect();
        format!("Content-Type: text/plain{list}\r\n\r\nhi\r\n").into_bytes()
    };
    check("names", &limits, DefectCode::TooManyParameters, 3, names);
}

#[test]
fn a_boundary_has_a_limit_and_is_looked_for_all_the_same() {
    let mail = |count: usize| {
        let boundary = "b".repeat(count);
        format!(
            "Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n--{boundary}\r\n\r\nhi\r\n--{boundary}--\r\n"
        )
        .into_bytes()
    };
    let limits = Limits::default();
    check("boundary", &limits, DefectCode::TooManyParameters, limits.boundary_bytes_max, mail);
    assert_eq!(decode(mail(5_000).into(), &limits).parts.len(), 2);
}

#[test]
fn readings_of_a_part_have_a_limit() {
    let limits = Limits { readings_max: 3, ..Limits::default() };
    let mail = |count: usize| {
        let list: String = (0..count).map(|n| format!("; boundary=b{n}")).collect();
        format!("Content-Type: multipart/mixed{list}\r\n\r\n--b0\r\n\r\nhi\r\n--b0--\r\n")
            .into_bytes()
    };
    check("readings", &limits, DefectCode::TooManyParts, 3, mail);
}

#[test]
fn parts_have_a_limit_whatever_made_them() {
    let limits = Limits { parts_max: 10, ..Limits::default() };
    let multipart = |count: usize| {
        let parts: String = (0..count - 1).map(|n| format!("--b\r\n\r\n{n}\r\n")).collect();
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n").into_bytes()
    };
    check("parts", &limits, DefectCode::TooManyParts, 10, multipart);
    let uuencoded = |count: usize| {
        let file = |n: usize| format!("begin 644 a{n}.txt\r\n#0V%T\r\n`\r\nend\r\n");
        format!("\r\n{}", (0..count - 1).map(file).collect::<String>()).into_bytes()
    };
    check("files in a text", &limits, DefectCode::TooManyParts, 10, uuencoded);
}

#[test]
fn depth_has_a_limit_whatever_nests() {
    let limits = Limits { depth_max: 4, ..Limits::default() };
    check("multiparts", &limits, DefectCode::TooDeep, 4, |count| tower(count).into_bytes());
    let messages = |count: usize| {
        format!("{}\r\nhi\r\n", "Content-Type: message/rfc822\r\n\r\n".repeat(count)).into_bytes()
    };
    check("messages", &limits, DefectCode::TooDeep, 4, messages);
    let text = |count: usize| {
        let outer = "Content-Type: message/rfc822\r\n\r\n".repeat(count - 1);
        format!("{outer}\r\nbegin 644 a.txt\r\n#0V%T\r\n`\r\nend\r\n").into_bytes()
    };
    check("a file in a text", &limits, DefectCode::TooDeep, 4, text);
}

#[test]
fn what_is_read_again_has_a_limit() {
    // Three boundaries, so two further readings, each of the whole message: sixteen times is enough for eight levels.
    let level = |n: usize| {
        let list = format!("boundary=a{n}; boundary=b{n}; boundary=c{n}");
        format!("Content-Type: multipart/mixed; {list}\r\n\r\n--a{n}\r\n--b{n}\r\n--c{n}\r\n")
    };
    let over = |levels: usize, again_bytes_min: usize| {
        let limits = Limits { again_bytes_min, ..Limits::default() };
        let text: String = (0..levels).map(level).collect();
        codes(&decode(text.into(), &limits)).contains(&DefectCode::TooManyParts)
    };
    assert!(!over(2, 0) && over(20, 0), "towers of readings end");
    assert!(!over(3, 1 << 20), "small ones may be read to their end");
}

#[test]
fn a_large_mail_is_not_read_again_sixteen_times() {
    // Two boundaries a level, and a tail that belongs to each reading of each.
    let level = |n: usize| {
        format!(
            "Content-Type: multipart/mixed; boundary=a{n}; boundary=b{n}\r\n\r\n--a{n}\r\n--b{n}\r\n"
        )
    };
    let texts = |again_more_bytes_max: usize| {
        let limits = Limits { again_bytes_min: 0, again_more_bytes_max, ..Limits::default() };
        let mail = (0..5).map(level).collect::<String>() + "\r\n" + &"line\r\n".repeat(20_000);
        let octets = mail.len();
        let message = decode(mail.into(), &limits);
        let kept = message.parts.iter().filter_map(|part| Some(part.text.as_ref()?.len()));
        (kept.sum::<usize>() / octets, codes(&message).contains(&DefectCode::TooManyParts))
    };
    let (all, _) = texts(64 << 20);
    assert!(all > 10, "a small one is: {all}");
    let (some, over) = texts(200_000);
    assert!(some <= 4 && over, "what is kept of a large one stays near its size: {some}");
}

#[test]
fn links_have_a_limit() {
    let limits = Limits { links_max: 20, ..Limits::default() };
    let mail = |count: usize| {
        let mut text = "Content-Type: text/plain\r\n\r\n".to_owned();
        for n in 0..count {
            let _ = write!(text, "http://a.example/{n}\r\nhttp://a.example/0\r\n");
        }
        text.into_bytes()
    };
    check("links", &limits, DefectCode::TooManyLinks, 20, mail);
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(data).unwrap();
    writer.finish().unwrap()
}

fn mail_with(data: &[u8]) -> Vec<u8> {
    let mut mail = b"Content-Type: application/octet-stream\r\n\r\n".to_vec();
    mail.extend_from_slice(data);
    mail
}

fn tar(count: usize) -> Vec<u8> {
    let file =
        |n: usize| super::wrapped::tar(&format!("a{n}.txt"), n.to_string().as_bytes(), false);
    let mut data: Vec<u8> = (0..count).flat_map(file).collect();
    data.extend_from_slice(&[0; 1024]);
    data
}

#[test]
fn archives_in_archives_have_a_limit() {
    let limits = Limits { archive_depth_max: 3, ..Limits::default() };
    let nested = |count: usize| {
        let data = (0..count).fold(b"hello".to_vec(), |data, _| gzip(&data));
        mail_with(&data)
    };
    check("archives", &limits, DefectCode::TooDeep, 3, nested);
}

#[test]
fn members_have_a_limit() {
    let limits = Limits { archive_files_max: 5, ..Limits::default() };
    check("members", &limits, DefectCode::TooManyFiles, 5, |count| mail_with(&tar(count)));
    let many = |count: usize| {
        let part = |n: usize| {
            let data = super::wrapped::encode_base64(&gzip(n.to_string().as_bytes()));
            format!("--b\r\nContent-Transfer-Encoding: base64\r\n\r\n{data}\r\n")
        };
        let parts: String = (0..count).map(part).collect();
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n").into_bytes()
    };
    check("members of several", &limits, DefectCode::TooManyFiles, 5, many);
}

#[test]
fn unpacked_octets_have_a_limit_for_all_archives_together() {
    let limits = Limits { archive_expanded_bytes_max: 3_000, ..Limits::default() };
    let one = |count: usize| mail_with(&gzip(&vec![7; count]));
    check("octets", &limits, DefectCode::TooManyOctets, 3_000, one);
    let two = |count: usize| {
        let part = |size: usize, n: u8| {
            let data = super::wrapped::encode_base64(&gzip(&vec![n; size]));
            format!("--b\r\nContent-Transfer-Encoding: base64\r\n\r\n{data}\r\n")
        };
        let parts = part(2_000, 1) + &part(count - 2_000, 2);
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n").into_bytes()
    };
    check("octets of two", &limits, DefectCode::TooManyOctets, 3_000, two);
}

#[test]
fn the_ratio_of_a_member_has_a_limit_once_it_is_large() {
    let ratio = |ratio_max: u64, size: usize| {
        let limits = Limits { archive_ratio_max: ratio_max, ..Limits::default() };
        let packed = gzip(&vec![7; size]);
        let real = (size / packed.len()) as u64;
        let got = codes(&decode(mail_with(&packed).into(), &limits));
        (got.contains(&DefectCode::TooHighRatio), real)
    };
    let (_, real) = ratio(1, 2 << 20);
    assert!(!ratio(real + 1, 2 << 20).0, "under the limit");
    assert!(ratio(real - 1, 2 << 20).0, "over the limit");
    assert!(!ratio(1, 1 << 20).0, "small members may be as flat as they like");
}
