//! Documents of Office since 2007 (OOXML), after their zip was opened: what the members say they do.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use memchr::memmem;

use super::{field, markup};
use crate::mail::PartFlag;
use crate::mime::budget::Budget;
use crate::mime::container::{Member, Opened, u16_at};

/// Octets of one member that are looked at: the texts of fields stand anywhere.
const LOOKED_BYTES_MAX: usize = 32 << 20;

/// Types of relationships that lead somewhere only when somebody clicks.
const CLICKED: [&str; 2] = ["/hyperlink", "/hlinks"];

/// Types of relationships to what may hold macros or programs.
const ACTIVE: [&str; 6] =
    ["/attachedtemplate", "/oleobject", "/frame", "/subdocument", "/externallinkpath", "/afchunk"];

/// Names that Excel calls when a workbook is opened or closed.
static AUTO_NAMES: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let names = ["auto_open", "auto_close", "auto_activate", "auto_deactivate"];
    let wide = |name: &str| name.bytes().flat_map(|octet| [octet, 0]).collect::<Vec<u8>>();
    let patterns = names.iter().flat_map(|name| [name.as_bytes().to_vec(), wide(name)]);
    AhoCorasick::builder().ascii_case_insensitive(true).build(patterns).ok()
});

/// Looks over the members of a zip that was opened, and flags it if it is a document.
pub(in crate::mime::container) fn look(opened: &mut Opened, budget: &mut Budget) {
    let names: Vec<Vec<String>> = opened
        .members
        .iter()
        .map(|member| member.names.iter().map(|name| part_name(name)).collect())
        .collect();
    let is_document = names.iter().flatten().any(|name| {
        name == "[content_types].xml"
            || name.ends_with("vbaproject.bin")
            || ["word/", "xl/", "ppt/"].iter().any(|folder| name.starts_with(folder))
    });
    if !is_document {
        return;
    }
    let members = std::mem::take(&mut opened.members);
    for (member, names) in members.iter().zip(&names) {
        if budget.is_late() {
            break;
        }
        for name in names {
            look_at_name(name, opened);
            look_at_content(name, member, opened);
        }
    }
    opened.members = members;
}

/// A name as the package sees it.
fn part_name(name: &str) -> String {
    let name = name.to_lowercase().replace('\\', "/");
    name.trim_start_matches("./").trim_start_matches('/').to_owned()
}

fn look_at_name(name: &str, opened: &mut Opened) {
    if name.ends_with("vbaproject.bin") || name.contains("/macrosheets/") {
        opened.flag(PartFlag::Macro);
    }
    if name.contains("/embeddings/") || name.contains("/activex/") {
        opened.flag(PartFlag::Object);
    }
}

fn look_at_content(name: &str, member: &Member, opened: &mut Opened) {
    let data = member.data.get(..member.data.len().min(LOOKED_BYTES_MAX)).unwrap_or_default();
    if name.ends_with("xl/workbook.bin") || name == "workbook.bin" {
        if AUTO_NAMES.as_ref().is_some_and(|names| names.is_match(data)) {
            opened.flag(PartFlag::AutoRun);
        }
    } else if name.contains("externallinks/") && name.ends_with(".bin") {
        if is_program_link(data) {
            opened.flag(PartFlag::Launch);
        }
    } else if name.ends_with(".rels") {
        relationships(&markup::text_of(data), opened);
    } else if name.ends_with("[content_types].xml") {
        content_types(&markup::text_of(data), opened);
    } else if name.ends_with(".xml") {
        contents(&markup::text_of(data), opened);
    }
}

/// A link to a program in a binary workbook ([MS-XLSB] 2.4.101): the record's number, its length in octets of seven bits,
/// and the kind of link.
fn is_program_link(data: &[u8]) -> bool {
    const DDE: u16 = 1;
    let Some(rest) = data.strip_prefix(&[0xe8, 2]) else { return false };
    let length = rest.iter().take(4).take_while(|octet| **octet >= 0x80).count() + 1;
    u16_at(rest, length) == Some(DDE)
}

/// The types of parts tell what they are, whatever they are called.
fn content_types(text: &str, opened: &mut Opened) {
    for tag in markup::tags(text).filter(|tag| tag.name == "override" || tag.name == "default") {
        let kind = tag.attribute("contenttype").unwrap_or_default().to_ascii_lowercase();
        let has_part = tag.name == "override";
        if kind.contains("vbaproject") && has_part || kind.contains("macrosheet") {
            opened.flag(PartFlag::Macro);
        }
        if has_part && (kind.contains("activex") || kind.ends_with("oleobject")) {
            opened.flag(PartFlag::Object);
        }
    }
}

fn relationships(text: &str, opened: &mut Opened) {
    for tag in markup::tags(text).filter(|tag| tag.name == "relationship") {
        let kind = tag.attribute("type").unwrap_or_default().to_ascii_lowercase();
        let Some(target) = tag.attribute("target") else { continue };
        let is_external = tag
            .attribute("targetmode")
            .is_some_and(|mode| mode.trim().eq_ignore_ascii_case("external"));
        if kind.ends_with("/vbaproject") || kind.ends_with("macrosheet") {
            opened.flag(PartFlag::Macro);
        }
        if CLICKED.iter().any(|clicked| kind.ends_with(clicked)) {
            if is_external {
                field::link(&target, opened);
            }
        } else if is_external {
            field::remote(&target, opened);
            // These bring more than a picture with them.
            let brings = ACTIVE.iter().any(|active| kind.ends_with(active));
            if brings && field::leads_away(&target) {
                opened.flag(PartFlag::Object);
            }
        }
    }
}

/// Fields, links to programs, and names that run, in any XML part.
fn contents(text: &str, opened: &mut Opened) {
    /// Octets of one field's instruction.
    const FIELD_BYTES_MAX: usize = 10_000;
    const TELLING: [&str; 5] = ["nstrText", "fldSimple", "fldChar", "ddeLink", "definedName"];
    if !TELLING.iter().any(|name| memmem::find(text.as_bytes(), name.as_bytes()).is_some()) {
        return;
    }
    let mut field_text = String::new();
    let mut is_fresh = false;
    for tag in markup::tags(text) {
        match tag.name.as_str() {
            "instrtext" | "delinstrtext" if field_text.len() < FIELD_BYTES_MAX => {
                field_text.push_str(&markup::plain(tag.text));
                is_fresh = true;
            }
            "fldchar" => {
                let kind = tag.attribute("fldchartype").unwrap_or_default();
                // A field in a field writes a part of it; only where the last one ends, the text is whole.
                if !kind.eq_ignore_ascii_case("begin") && std::mem::take(&mut is_fresh) {
                    field::look(&field_text, opened);
                }
                if kind.eq_ignore_ascii_case("end") {
                    field_text.clear();
                }
            }
            "fldsimple" => field::look(&tag.attribute("instr").unwrap_or_default(), opened),
            "ddelink" => opened.flag(PartFlag::Launch),
            "definedname" => {
                let name = tag.attribute("name").unwrap_or_default();
                if AUTO_NAMES.as_ref().is_some_and(|names| names.is_match(name.as_bytes())) {
                    opened.flag(PartFlag::AutoRun);
                }
            }
            _ => {}
        }
    }
    if is_fresh {
        field::look(&field_text, opened);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::Limits;

    fn looked(members: &[(&str, &str)]) -> Opened {
        let member = |(name, data): &(&str, &str)| Member {
            names: vec![(*name).to_owned()],
            data: data.as_bytes().to_vec().into(),
            ..Member::default()
        };
        let mut opened =
            Opened { members: members.iter().map(member).collect(), ..Opened::default() };
        look(&mut opened, &mut Budget::new(&Limits::default()));
        assert_eq!(opened.members.len(), members.len());
        opened
    }

    fn check(name: &str, data: &str, flags: &[PartFlag], links: &[&str]) {
        let opened = looked(&[("[Content_Types].xml", ""), (name, data)]);
        let got: Vec<&str> = opened.links.iter().map(|(url, _)| url.as_str()).collect();
        assert_eq!((&opened.flags[..], &got[..]), (flags, links), "{name} {data}");
    }

    fn relationship(kind: &str, target: &str) -> String {
        format!(
            "<Relationships><Relationship Id='r' Type='http://s/{kind}' Target='{target}' TargetMode='External'/></Relationships>"
        )
    }

    #[test]
    fn programs_are_seen_by_name_and_by_type() {
        check("word/vbaProject.bin", "", &[PartFlag::Macro], &[]);
        check("word\\VBAPROJECT.BIN", "", &[PartFlag::Macro], &[]);
        check("xl/macrosheets/sheet1.xml", "", &[PartFlag::Macro], &[]);
        check("word/embeddings/oleObject1.bin", "", &[PartFlag::Object], &[]);
        check("word/activeX/activeX1.bin", "", &[PartFlag::Object], &[]);
        let types = "<Types><Override PartName='/word/x.bin' ContentType='application/vnd.ms-office.vbaProject'/></Types>";
        assert_eq!(looked(&[("[Content_Types].xml", types)]).flags, [PartFlag::Macro]);
        let names = "<definedName name='_xlnm.Auto_Open' hidden='1'>x</definedName>";
        check("xl/workbook.xml", names, &[PartFlag::AutoRun], &[]);
        check("xl/workbook.bin", "A\0U\0t\0o\0_\0O\0p\0e\0n\0", &[PartFlag::AutoRun], &[]);
    }

    #[test]
    fn what_is_fetched_is_told_from_what_is_clicked() {
        let remote = [PartFlag::Remote];
        let rels = "word/_rels/settings.xml.rels";
        check(
            rels,
            &relationship("attachedTemplate", "http://a.b/x.dotm?a&amp;b"),
            &[PartFlag::Remote, PartFlag::Object],
            &["http://a.b/x.dotm?a&b"],
        );
        check(
            rels,
            &relationship("oleObject", "mhtml:http://a.b!x"),
            &[PartFlag::Remote, PartFlag::Object],
            &["mhtml:http://a.b!x"],
        );
        check(rels, &relationship("image", "\\\\a.b\\x.png"), &remote, &["\\\\a.b\\x.png"]);
        check(rels, &relationship("hyperlink", "http://a.b/"), &[], &["http://a.b/"]);
        check(rels, &relationship("attachedTemplate", "file:///C:\\Normal.dotm"), &[], &[]);
        check(rels, &relationship("image", "http://a").replace("External", "Internal"), &[], &[]);
    }

    #[test]
    fn fields_are_put_together() {
        let launch = [PartFlag::Launch];
        let split = "<w:fldChar w:fldCharType='begin'/><w:instrText> DD</w:instrText><w:instrText>EAUTO c:\\\\x</w:instrText><w:fldChar w:fldCharType='end'/>";
        check("word/document.xml", split, &launch, &[]);
        check("word/header1.xml", "<w:fldSimple w:instr=' DDE &quot;x&quot; y'/>", &launch, &[]);
        check("xl/externalLinks/externalLink1.bin", "\u{0}", &[], &[]);
        assert!(is_program_link(b"\xe8\x02\x10\x01\0") && !is_program_link(b"\xe8\x02\x10\0\0"));
        check("xl/externalLinks/externalLink1.xml", "<ddeLink ddeService='cmd'/>", &launch, &[]);
        check("word/document.xml", "<w:t>DDEAUTO is only spoken of</w:t>", &[], &[]);
    }

    #[test]
    fn a_zip_that_is_no_document_is_left_alone() {
        let rels = relationship("image", "http://a.b/");
        assert_eq!(looked(&[("a.rels", &rels)]).flags, []);
    }
}
