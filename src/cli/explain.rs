//! `tamis explain`.

use super::{Answer, Failure, Options, exit, load, print, scan};

/// Prints what is known of a mail in the history.
pub fn run(options: &Options, id: &str) -> Answer {
    let site = load::site_in_brief(options)?;
    let quarantine = load::quarantine(&site.config)?;
    let rows = quarantine.history(id).map_err(|error| Failure::new(exit::IO, error.to_string()))?;
    if rows.is_empty() {
        return Err(Failure::new(
            exit::NOT_FOUND,
            format!(
                "no mail {id} in the history; try the queue id or the Message-ID: tamis explain '<…>'"
            ),
        ));
    }
    let mut out = String::new();
    for row in rows {
        if options.json {
            out.push_str(&format!("{}\n", row.facts));
        } else {
            out.push_str(&format!("{} {} <{}>\n", row.time, row.id, super::shown(&row.sender)));
            out.push_str(&scan::text(&row.facts, &row.id));
        }
    }
    print(&out)
}
