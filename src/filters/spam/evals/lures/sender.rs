//! Who the sender says he is, and whom he writes to.

use crate::filters::spam::view::View;

use super::{brands, domains, field};

/// Fields of one name that are looked at.
const FIELDS_MAX: usize = 40;
/// Shorter addresses are too likely to stand in a text by chance.
const ADDRESS_BYTES_MIN: usize = 8;
/// Addresses of recipients looked at.
const RECIPIENTS_MAX: usize = 20;

/// The sender calls himself a firm, and writes from elsewhere.
pub(super) fn brand_in_name(view: &View<'_>) -> Option<String> {
    let brand = brands::named(&brands::words(&field(view, "From:name")))?;
    let addresses = field(view, "From:addr").to_lowercase();
    let mut addresses = addresses.lines().filter(|line| line.contains('@')).peekable();
    addresses.peek()?;
    let elsewhere = addresses.all(|address| {
        let (local, domain) = address.rsplit_once('@').unwrap_or(("", address));
        // Exchange sends its own reports in this name.
        !local.starts_with("microsoftexchange")
            && !brand.labels.iter().any(|label| domain.contains(label))
    });
    elsewhere.then(|| brand.name.to_owned())
}

/// The sender's domain looks like a firm's.
pub(super) fn lookalike_sender(view: &View<'_>) -> Option<String> {
    let addresses = field(view, "From:addr");
    addresses.lines().find_map(|address| {
        let (_, domain) = address.rsplit_once('@')?;
        let brand = brands::looks_like(domains::own_label(&domain.to_lowercase()))?;
        Some(format!("{domain} ({brand})"))
    })
}

/// No relay, signature or message id speaks of the sender's domain: anybody could have written it there.
pub(super) fn unvouched(view: &View<'_>) -> bool {
    let from = field(view, "From:addr").to_lowercase();
    let Some((_, domain)) = from.lines().next().unwrap_or_default().rsplit_once('@') else {
        return false;
    };
    let own = domains::registered(domain.trim());
    let message = view.mail.message;
    if own.is_empty() || message.fields("Received").next().is_none() {
        return false;
    }
    let (marks, free): (&[&str], bool) = match provider(own) {
        Some(marks) => (marks, true),
        None => (&[own], false),
    };
    // Whoever uses a mailbox of a large provider hands his mail to that provider: an id proves nothing there.
    let names: &[&str] = if free {
        &["Received", "DKIM-Signature", "ARC-Seal"]
    } else {
        &["Received", "DKIM-Signature", "ARC-Seal", "Message-Id"]
    };
    !names.iter().any(|name| {
        message.fields(name).take(FIELDS_MAX).any(|field| {
            let value = message.octets(&field.value).to_ascii_lowercase();
            marks.iter().any(|mark| memchr::memmem::find(&value, mark.as_bytes()).is_some())
        })
    })
}

/// Answers go to a free mailbox, and the sender's address is another one: of another provider, or of the same.
pub(super) fn reply_elsewhere(view: &View<'_>) -> Option<String> {
    const FREE: [&str; 24] = [
        "gmail",
        "googlemail",
        "hotmail",
        "outlook",
        "live",
        "msn",
        "yahoo",
        "ymail",
        "aol",
        "gmx",
        "mail",
        "yandex",
        "protonmail",
        "proton",
        "icloud",
        "zoho",
        "tutanota",
        "rediffmail",
        "excite",
        "lycos",
        "qq",
        "163",
        "126",
        "web",
    ];
    let from = field(view, "From:addr").trim().to_lowercase();
    let reply = field(view, "Reply-To:addr").to_lowercase();
    let reply = reply.lines().next().unwrap_or_default().trim().trim_start_matches("www.");
    let (_, domain) = reply.rsplit_once('@')?;
    let free = FREE.contains(&domains::own_label(domain));
    (free && !from.lines().any(|address| address.trim() == reply)).then(|| reply.to_owned())
}

/// Sender and the one recipient have the same address.
pub(super) fn from_is_to(view: &View<'_>) -> bool {
    let from = field(view, "From:addr").trim().to_lowercase();
    from.contains('@') && from == field(view, "To:addr").trim().to_lowercase()
}

/// What stands in the relays' names of large providers of mailboxes.
fn provider(domain: &str) -> Option<&'static [&'static str]> {
    Some(match domain.split('.').next().unwrap_or_default() {
        "gmail" | "googlemail" => &["google.com", "gmail.com"],
        "hotmail" | "outlook" | "live" | "msn" => {
            &["hotmail.com", "outlook.com", "msn.com", "live.com", "microsoft.com"]
        }
        "yahoo" | "ymail" | "aol" | "netscape" | "rocketmail" => {
            &["yahoo.", "aol.com", "yahoodns.", "netscape."]
        }
        "icloud" | "me" | "mac" if domain.ends_with(".com") => {
            &["icloud.com", "apple.com", "mac.com", "me.com"]
        }
        "excite" if domain == "excite.com" => &["excite.com", "excitenetwork.com"],
        _ => return None,
    })
}

/// The addresses the mail goes to, in lower case.
fn recipients(view: &View<'_>) -> Vec<String> {
    let mut all: Vec<String> = field(view, "ToCc:addr").lines().map(str::to_lowercase).collect();
    let envelope = view.mail.envelope.recipients.iter();
    all.extend(envelope.map(|recipient| recipient.address().to_lowercase()));
    all.retain(|address| address.contains('@') && address.len() >= ADDRESS_BYTES_MIN);
    all.truncate(RECIPIENTS_MAX);
    all
}

/// The subject holds the whole address of a recipient.
pub(super) fn recipient_in_subject(view: &View<'_>) -> Option<String> {
    let subject = field(view, "Subject").to_lowercase();
    recipients(view).into_iter().find(|address| subject.contains(address.as_str()))
}

/// The text greets an address where a name would stand: `Dear ann@example.org`.
pub(super) fn recipient_greeted(view: &View<'_>) -> Option<String> {
    const GREETINGS: [&str; 22] = [
        "dear",
        "hello",
        "hi",
        "attention",
        "hey",
        "hallo",
        "guten tag",
        "sehr geehrte/r",
        "sehr geehrter",
        "lieber",
        "bonjour",
        "cher",
        "hola",
        "estimado",
        "olá",
        "prezado(a)",
        "prezado",
        "beste",
        "congratulations",
        "witaj",
        "sayın",
        "gentile",
    ];
    /// Letters of a part in which the greeting is looked for.
    const HEAD_BYTES: usize = 16 * 1024;
    let recipients = recipients(view);
    for page in view.lures().pages(view) {
        let text = page.text.get(..page.text.floor_char_boundary(HEAD_BYTES)).unwrap_or_default();
        let text = text.to_lowercase();
        for address in &recipients {
            for (at, _) in text.match_indices(address.as_str()).take(10) {
                let before = text.get(..at).unwrap_or_default();
                let before = before.trim_end_matches([' ', ',', ':', '!', '\u{a0}', '\n']);
                if GREETINGS.iter().any(|greeting| before.ends_with(greeting)) {
                    return Some(address.clone());
                }
            }
        }
    }
    None
}

/// A link carries a recipient's address behind `#`, where a page reads it and no server does.
pub(super) fn recipient_in_fragment(view: &View<'_>) -> Option<String> {
    let recipients = recipients(view);
    view.mail.message.links.iter().take(500).find_map(|link| {
        let (_, fragment) = link.url.split_once('#')?;
        let fragment = fragment.to_lowercase().replace("%40", "@");
        recipients.iter().find(|address| fragment.contains(address.as_str())).cloned()
    })
}
