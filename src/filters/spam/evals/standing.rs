//! What this site knows of a sender: people it wrote to, answers to its own mail, reputation, bounces.

use crate::filters::standing::Bounce;

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

/// `check_reputation(min, max)`: hits if the reputation (-1: only ham, 1: only spam) is over `min` and at most `max`.
fn reputation(arguments: &Arguments) -> Result<Call, String> {
    let min = arguments.number(0).ok_or("the lower border is missing, for example 0.6")?;
    let max = arguments.number(1).ok_or("the upper border is missing, for example 1")?;
    Ok(Call::new(move |view| match &view.mail.known.standing.reputation {
        Some((whose, value)) if *value > min && *value <= max => {
            Answer::Hit(format!("{whose}: {value:.2}"))
        }
        Some(_) | None => Answer::No,
    }))
}
