//! What this site knows of a sender: people it wrote to, answers to its own mail, reputation, bounces.

use crate::filters::standing::{Bounce, Whose};

use super::{Answer, Arguments, Call, Function};

pub(super) const FUNCTIONS: &[Function] = &[
    ("check_known_correspondent", correspondent),
    ("check_reply_to_ours", reply),
    ("check_bounce_of_ours", bounce_of_ours),
    ("check_bounce_of_others", bounce_of_others),
    ("check_reputation", reputation),
];

/// Every recipient of ours wrote to the sender before.
fn correspondent(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| {
        let standing = &view.mail.known.standing;
        standing.correspondent_days.map(|days| match days {
            0 => "we wrote to them today".to_owned(),
            1 => "we wrote to them yesterday".to_owned(),
            _ => format!("we wrote to them {days} days ago"),
        })
    }))
}

/// It answers a mail that was sent by us.
fn reply(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| view.mail.known.standing.reply_to.clone()))
}

/// A report about a mail that was sent by us.
fn bounce_of_ours(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| view.mail.known.standing.bounce == Some(Bounce::Ours)))
}

/// A report about a mail with our domain's name that we never sent.
fn bounce_of_others(_: &Arguments) -> Result<Call, String> {
    Ok(Call::new(|view| view.mail.known.standing.bounce == Some(Bounce::Others)))
}

/// `check_reputation(min, max, whose)`: hits if the reputation (-1: only ham, 1: only spam) is over `min` and at most
/// `max`. `whose`: `network` of the client (if it is not said), `signer` or `sender`.
fn reputation(arguments: &Arguments) -> Result<Call, String> {
    let min = arguments.number(0).ok_or("the lower border is missing, for example 0.6")?;
    let max = arguments.number(1).ok_or("the upper border is missing, for example 1")?;
    if min >= max {
        return Err(format!(
            "no reputation is over {min} and at most {max}: the lower one stands first"
        ));
    }
    let is_meant: fn(&Whose) -> bool = match arguments.text(2) {
        "" | "network" => |whose| matches!(whose, Whose::Network(_)),
        "signer" => |whose| matches!(whose, Whose::Signer(_)),
        "sender" => |whose| matches!(whose, Whose::Sender(_)),
        other => {
            return Err(format!("`{other}` has no reputation: write network, signer or sender"));
        }
    };
    Ok(Call::new(move |view| {
        let all = &view.mail.known.standing.reputations;
        match all.iter().find(|one| is_meant(&one.whose)) {
            Some(one) if one.value > min && one.value <= max => {
                Answer::Hit(format!("{}: {:.2}", one.whose, one.value))
            }
            Some(_) | None => Answer::No,
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::filters::spam::Engine;
    use crate::filters::standing::{Reputation, Standing, Whose};
    use crate::filters::{Known, Mail, RuleFile};
    use crate::mail::Envelope;

    #[test]
    fn a_hit_says_whose_reputation_it_was() {
        let rules = "header N eval:check_reputation('0.6', '1')\n\
            header D eval:check_reputation('-2', '-0.6', 'signer')\n\
            header S eval:check_reputation('0.6', '1', 'sender')\n\
            header X eval:check_reputation('0.6', '1', 'nobody')\n\
            header Y eval:check_reputation('1', '0.6')\n";
        let file = RuleFile::built_in("t.cf", rules.as_bytes());
        let (engine, mistakes) = Engine::load(&[file], &BTreeMap::new());
        let [nobody, turned] = mistakes.as_slice() else { panic!("{mistakes:?}") };
        assert!(nobody.what.contains("write network, signer or sender"), "{}", nobody.what);
        assert!(turned.what.contains("the lower one stands first"), "{}", turned.what);
        let message = crate::mime::decode(
            bytes::Bytes::from_static(b"Subject: x\r\n\r\nx\r\n"),
            &crate::mime::Limits::default(),
        );
        let envelope = Envelope::default();
        let hits = |all: &[(Whose, f64)]| {
            let all = all.iter().cloned();
            let reputations = all.map(|(whose, value)| Reputation { whose, value }).collect();
            let standing = Standing { reputations, ..Standing::default() };
            let known = Known { standing, ..Known::default() };
            let mail = Mail { known: &known, ..Mail::alone(&envelope, &message) };
            let hits = engine.inspect(&mail, None).hits;
            hits.iter().map(|hit| hit.evidence.clone()).collect::<Vec<_>>().join(", ")
        };
        let network = || Whose::Network("192.0.2.0/24".to_owned());
        let signer = || Whose::Signer("a.test".to_owned());
        let sender = || Whose::Sender("jo@a.test".to_owned());
        assert_eq!(hits(&[]), "");
        assert_eq!(hits(&[(network(), 0.8)]), "the client's network 192.0.2.0/24: 0.80");
        assert_eq!(
            hits(&[(network(), 0.5), (signer(), -0.9), (sender(), 0.7)]),
            "the signing domain a.test: -0.90, the sender jo@a.test: 0.70"
        );
        assert_eq!(hits(&[(signer(), 0.9), (sender(), -0.9)]), "");
    }
}
