//! DNS lists: zones, and zones with what is looked up in them and what their replies are worth.

use std::sync::Arc;

use super::file::{Node, Origin, Table, Value};
use super::read::{Mistakes, domain, points, refuse, word};
use super::suggest::closest;
use crate::filters::dns::Mask;
use crate::filters::dnsbl::{Blocklist, Subject};
use crate::filters::{Score, Source};

/// Points of a list that names none.
const POINTS: Score = Score(3_000);

const EXAMPLE: &str = "write for example [\"bl.example.org\"] or [{ zone = \"bl.example.org\", what = \"client\", points = 2.5 }]";

/// Reads the list of lists.
pub(super) fn blocklists(node: &Node, out: &mut Mistakes) -> Option<Vec<Blocklist>> {
    let Value::List(items) = &node.value else {
        return refuse(node, out, "a list of DNS lists", EXAMPLE);
    };
    let read: Vec<Option<Blocklist>> = items.iter().map(|item| one(item, out)).collect();
    read.into_iter().collect()
}

fn one(item: &Node, out: &mut Mistakes) -> Option<Blocklist> {
    let Value::Table(table) = &item.value else {
        let zone = zone(item, out)?;
        let replies = vec![(None, POINTS)];
        return Some(Blocklist { zone, subject: Subject::Client, replies, source: source(item) });
    };
    let before = out.len();
    unknown(table, out);
    let field = |name: &str| table.get(name).map(|entry| &entry.node);
    let zone = match field("zone") {
        Some(node) => zone(node, out),
        None => {
            out.push(item.origin.error("a DNS list without `zone`", EXAMPLE));
            None
        }
    };
    let subject = match field("what") {
        Some(node) => subject(node, out),
        None => Some(Subject::Client),
    };
    let every = field("points").map(|node| points(node, out));
    let replies = match field("replies") {
        Some(node) => replies(node, out),
        None => Some(vec![(None, every.unwrap_or(Some(POINTS)).unwrap_or(POINTS))]),
    };
    if every.is_some() && field("replies").is_some() {
        let hint = "write the points behind each reply, and leave out `points`";
        out.push(item.origin.error("`points` and `replies` of one list", hint));
    }
    if out.len() > before {
        return None;
    }
    Some(Blocklist { zone: zone?, subject: subject?, replies: replies?, source: source(item) })
}

fn unknown(table: &Table, out: &mut Mistakes) {
    const KNOWN: [&str; 4] = ["zone", "what", "points", "replies"];
    for (key, entry) in table.iter().filter(|(key, _)| !KNOWN.contains(&key.as_str())) {
        let near =
            closest(key, KNOWN).map_or(String::new(), |near| format!("did you mean `{near}`? "));
        let hint = format!("{near}known keys here: {}", KNOWN.join(", "));
        let what = format!("unknown key `{}` of a DNS list", key.escape_debug());
        out.push(entry.key.error(what, hint));
    }
}

fn zone(node: &Node, out: &mut Mistakes) -> Option<Arc<str>> {
    // Rule files and zone files end names with a dot.
    let mut node = node.clone();
    if let Value::Text(text) = &mut node.value
        && text.ends_with('.')
    {
        text.pop();
    }
    domain(&node, out).map(|zone| zone.trim_matches('.').into())
}

fn subject(node: &Node, out: &mut Mistakes) -> Option<Subject> {
    const WORDS: [&str; 4] = ["client", "sender-domain", "link-domain", "hash"];
    Some(match word(node, out, &WORDS, &[])? {
        "client" => Subject::Client,
        "sender-domain" => Subject::SenderDomain,
        "link-domain" => Subject::LinkDomain,
        _ => Subject::Hash,
    })
}

fn replies(node: &Node, out: &mut Mistakes) -> Option<Vec<(Option<Mask>, Score)>> {
    let example = "write for example { \"127.0.0.2\" = 3.0, \"127.0.0.4-127.0.0.7\" = 2.0 }";
    let Value::Table(table) = &node.value else {
        return refuse(node, out, "a table of replies and their points", example);
    };
    let mut replies = Vec::new();
    for (reply, entry) in table {
        let mask = Mask::parse(reply);
        if mask.is_none() {
            let what = format!("`{}` is no reply of a DNS list", reply.escape_debug());
            out.push(entry.key.error(what, example));
        }
        let points = points(&entry.node, out);
        if let (Some(mask), Some(points)) = (mask, points) {
            replies.push((Some(mask), points));
        }
    }
    Some(replies)
}

fn source(item: &Node) -> Source {
    match &item.origin {
        Origin::File { file, line, .. } => Source { file: Arc::clone(file), line: *line },
        other @ (Origin::Default | Origin::Environment(_) | Origin::Flag(_)) => {
            Source { file: other.to_string().into(), line: 0 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::parse_value;

    fn read(text: &str) -> (Option<Vec<Blocklist>>, Vec<String>) {
        let mut out = Vec::new();
        let lists = blocklists(&parse_value(text, &Origin::Default).expect(text), &mut out);
        (lists, out.into_iter().map(|mistake| mistake.what).collect())
    }

    #[test]
    fn a_zone_alone_is_a_list_of_clients() {
        let (lists, _) = read(
            r#"["BL.test.", {zone = "dbl.test", what = "link-domain", points = 1.5}, {zone = "z.test", replies = {"127.0.0.2" = 3, "4" = 1}}]"#,
        );
        let lists = lists.expect("it is right");
        assert_eq!((&*lists[0].zone, lists[0].subject), ("bl.test", Subject::Client));
        assert_eq!(lists[0].replies, [(None, POINTS)]);
        assert_eq!(lists[1].replies, [(None, Score(1_500))]);
        assert_eq!(lists[2].replies.len(), 2);
    }

    #[test]
    fn mistakes_in_lists_are_named() {
        for (text, want) in [
            ("\"bl.test\"", "`bl.test` is not a list of DNS lists"),
            ("[1]", "`1` is not a domain"),
            ("[{what = \"client\"}]", "a DNS list without `zone`"),
            ("[{zone = \"a.test\", wat = 1}]", "unknown key `wat` of a DNS list"),
            ("[{zone = \"a.test\", what = \"x\"}]", "`x` is not a word known here"),
            ("[{zone = \"a.test\", replies = {x = 1}}]", "`x` is no reply of a DNS list"),
            (
                "[{zone = \"a.test\", points = 1, replies = {\"127.0.0.2\" = 1}}]",
                "`points` and `replies` of one list",
            ),
        ] {
            assert_eq!(read(text), (None, vec![want.to_owned()]), "{text}");
        }
    }
}
