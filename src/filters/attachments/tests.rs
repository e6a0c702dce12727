use bytes::Bytes;

use super::*;
use crate::mail::{Envelope, FileType};

const EXE: FileType =
    FileType { short: "exe-ms", class: "executable", mime: "application/x-msdownload" };
const ZIP: FileType = FileType { short: "zip", class: "archive", mime: "application/zip" };
const DOCX: FileType = FileType {
    short: "docx",
    class: "document",
    mime: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
};
const TEXT: FileType = FileType { short: "txt", class: "text", mime: "text/plain" };

fn part(path: &str, parent: Option<usize>, name: &str, types: &[FileType]) -> Part {
    Part {
        path: path.into(),
        parent,
        depth: 0,
        kind: if path.contains('/') { PartKind::Member } else { PartKind::Leaf },
        header_octets: Bytes::new(),
        headers: Vec::new(),
        declared_type: "application/octet-stream".into(),
        charset: None,
        disposition: None,
        names: if name.is_empty() { Vec::new() } else { vec![name.into()] },
        data: Bytes::new(),
        text: None,
        wide: false,
        types: types.to_vec(),
        flags: Vec::new(),
        sha256: [0; 32],
    }
}

fn load(texts: &[&str]) -> Attachments {
    let mut files = vec![shipped()];
    files.extend(
        texts
            .iter()
            .enumerate()
            .map(|(i, text)| RuleFile::built_in(&format!("site{i}.toml"), text.as_bytes())),
    );
    let (attachments, mistakes) = Attachments::load(&files, &[]);
    assert_eq!(mistakes, []);
    attachments
}

fn hits(attachments: &Attachments, set: &str, parts: Vec<Part>) -> Vec<BannedHit> {
    let message = Message { parts, ..Message::default() };
    let envelope = Envelope::default();
    attachments.inspect(&Mail::alone(&envelope, &message), &[set.into()])
}

/// The rule of the default set that a leaf of that name and type hits.
fn check(name: &str, types: &[FileType], want: Option<&str>) {
    let got = hits(&load(&[]), "default", vec![part("1", None, name, types)]);
    assert_eq!(got.first().map(|hit| &*hit.rule), want, "{name}");
}

#[test]
fn the_shipped_rules_prove_themselves() {
    let attachments = load(&[]);
    assert_eq!(attachments.run_examples(), []);
    for set in ["default", "strict", "office-macros"] {
        assert!(attachments.has_set(set));
        for rule in &attachments.sets[set] {
            for fits in [true, false] {
                assert!(rule.examples.iter().any(|example| example.fits == fits), "{}", rule.name);
            }
        }
    }
}

#[test]
fn tricks_with_names_are_seen_through() {
    check("photo.jpg            .scr", &[], Some("many-blanks"));
    check("a\u{202e}gpj.exe", &[], Some("right-to-left"));
    check("x.{3050F4D8-98B5-11CF-BB82-00AA00BDCE0B}", &[], Some("class-id"));
    check("invoice.pdf.exe", &[], Some("double-extension"));
    check("invoice.exe.", &[], Some("program-by-name"));
    check("invoice.ExE", &[], Some("program-by-name"));
    check("holiday.jpg", &[EXE], Some("program-by-content"));
}

#[test]
fn ordinary_attachments_pass() {
    check("post.pdf_kopija.zip", &[ZIP], None);
    check("MZ.txt", &[TEXT], None);
    check("report.docx", &[DOCX, ZIP], None);
    check("smime.p7s", &[], None);
    check("", &[TEXT], None);
    check("archive.tar.gz", &[], None);
    let signed = vec![
        part("1", None, "signed.docx", &[DOCX]),
        part("1/signed.docx/[trash]/0001.dat", Some(0), "[trash]/0001.dat", &[]),
    ];
    assert_eq!(hits(&load(&[]), "default", signed), []);
}

#[test]
fn a_reason_shows_the_whole_way_through_archives() {
    let parts = vec![
        part("2", None, "a.zip", &[ZIP]),
        part("2/a.zip/b.tar.gz", Some(0), "b.tar.gz", &[ZIP]),
        part("2/a.zip/b.tar.gz/c.scr", Some(1), "c.scr", &[]),
    ];
    let got = hits(&load(&[]), "default", parts);
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].part, "2/a.zip/b.tar.gz/c.scr");
    assert!(got[0].reason.ends_with(": a.zip/b.tar.gz/c.scr"), "{}", got[0].reason);
}

#[test]
fn a_strangers_name_cannot_write_lines() {
    let got = hits(&load(&[]), "default", vec![part("1", None, "a\r\nX-B: c\u{202e}.exe", &[])]);
    assert_eq!(got[0].name, "a??X-B: c?.exe");
    assert!(!got[0].reason.contains(['\r', '\n', '\u{202e}']));
}

#[test]
fn a_site_replaces_rules_by_name_and_adds_before() {
    let attachments = load(&[
        "[[default]]\nname = 'our-tool'\nmatch = 'name:tool.exe'\naction = 'pass'\nreason = 'Ours'\n\
         [[default]]\nname = 'disk-image'\nmatch = 'ext:nothing'\nreason = 'Off'\n\
         [[extra]]\nname = 'zip'\nmatch = 'ext:zip'\naction = 'tag'\nreason = 'Zip'\n",
    ]);
    let rules = |name: &str, set: &str| {
        hits(&attachments, set, vec![part("1", None, name, &[])])
            .into_iter()
            .map(|hit| (hit.rule.to_string(), hit.action))
            .collect::<Vec<_>>()
    };
    assert_eq!(rules("tool.exe", "default"), []);
    assert_eq!(rules("a.iso", "default"), []);
    assert_eq!(rules("a.exe", "default"), [("program-by-name".to_owned(), None)]);
    assert_eq!(rules("a.zip", "extra"), [("zip".to_owned(), Some(Action::Tag))]);
    assert_eq!(rules("a.zip", "unknown"), []);
}

#[test]
fn mistakes_have_their_place() {
    for (text, line, column) in [
        ("[[a]]\nname = 'x'\nmatch = 'ext:exe is:big'\nreason = 'r'\n", 3, 18),
        ("[[a]]\nname = 'x'\nmatch = 'ext:exe'\nreason = 'r'\naction = 'bounce'\n", 5, 10),
        ("[[a]]\nname = 'x'\nmatch = 'ext:exe'\nreason = 'r'\nacton = 'pass'\n", 5, 1),
        ("[[a]]\nname = \n", 2, 8),
        (
            "[[a]]\nname = 'x'\nmatch = 'ext:a'\nreason = ''\n[[a]]\nname = 'x'\nmatch = 'ext:b'\nreason = ''\n",
            6,
            0,
        ),
    ] {
        let (_, mistakes) =
            Attachments::load(&[RuleFile::built_in("t.toml", text.as_bytes())], &[]);
        assert_eq!(mistakes.len(), 1, "{text}: {mistakes:?}");
        assert_eq!((mistakes[0].line, mistakes[0].column), (line, column), "{}", mistakes[0]);
    }
}

#[test]
fn an_example_that_does_not_hold_is_named() {
    let text = "[[a]]\nname = 'x'\nmatch = 'ext:exe'\nreason = 'r'\nok = ['a.exe', 'b.txt']\nfail = ['c.exe']\n";
    let (attachments, _) = Attachments::load(&[RuleFile::built_in("t.toml", text.as_bytes())], &[]);
    let mistakes = attachments.run_examples();
    let places: Vec<_> = mistakes.iter().map(|mistake| (mistake.line, mistake.column)).collect();
    assert_eq!(places, [(5, 16), (6, 9)], "{mistakes:?}");
}

fn policy(attachments: &[&str], rules: &[(&str, Option<Action>)]) -> Arc<Policy> {
    use crate::config::{AttachmentRule, Thresholds};
    let action = Action::Quarantine;
    Arc::new(Policy {
        message_bytes_max: u64::MAX,
        name: "inbound".into(),
        recipients: Vec::new(),
        virus: action,
        banned: action,
        ambiguous: action,
        incomplete: action,
        encrypted: action,
        over_limits: action,
        malformed: action,
        denied: action,
        dmarc: Action::Pass,
        spam: Thresholds { tag_at: None, quarantine_at: None, reject_at: None },
        subject_prefix: String::new(),
        attachments: attachments.iter().map(|set| (*set).into()).collect(),
        attachment_rules: rules
            .iter()
            .map(|(matches, action)| AttachmentRule {
                matches: (*matches).into(),
                action: *action,
                reply: None,
                file: "tamis.toml".into(),
                line: 7,
            })
            .collect(),
    })
}

#[test]
fn a_policys_own_rules_make_a_set_and_pass_unless_they_say_otherwise() {
    let own = policy(
        &["default", "policy.inbound"],
        &[("name:good.*", None), ("ext:zip", Some(Action::Tag))],
    );
    let (attachments, mistakes) = Attachments::load(&[shipped()], &[own]);
    assert_eq!(mistakes, []);
    let parts = vec![part("1", None, "good.zip", &[]), part("2", None, "bad.zip", &[])];
    let got = hits(&attachments, "policy.inbound", parts);
    assert_eq!(got.len(), 1);
    assert_eq!(
        (got[0].part.as_str(), got[0].action, got[0].source.line),
        ("2", Some(Action::Tag), 7)
    );
}

#[test]
fn a_policy_that_names_no_set_is_told_so() {
    let (_, mistakes) =
        Attachments::load(&[shipped()], &[policy(&["defualt"], &[("is:big", None)])]);
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    assert_eq!((&*mistakes[0].file, mistakes[0].line), ("tamis.toml", 7));
    assert!(mistakes[1].what.contains("defualt"));
}

proptest::proptest! {
    #[test]
    fn any_octets_are_read_as_a_file(text: Vec<u8>, name: String) {
        let (attachments, _) = Attachments::load(&[RuleFile::built_in("t.toml", &text)], &[]);
        let _ = hits(&attachments, "default", vec![part("1", None, &name, &[])]);
    }
}
