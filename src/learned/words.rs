//! Words and mails learned, as rows.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Trouble, digest};
use crate::filters::spam::bayes::{Class, Counts, Learnt, Owner, Token, Totals};

/// That a word is of use is noted so many days after the last time: most mails then write nothing.
const STALE_DAYS: i64 = 3;

/// The row of an owner.
pub(super) struct Account {
    id: i64,
    pub totals: Totals,
}

fn name(owner: Owner<'_>) -> String {
    match owner {
        Owner::Site => String::new(),
        Owner::User(address) => address.to_lowercase(),
    }
}

pub(super) fn account(
    connection: &Connection,
    owner: Owner<'_>,
) -> Result<Option<Account>, Trouble> {
    let mut question =
        connection.prepare_cached("SELECT owner, spam, ham FROM owners WHERE name = ?")?;
    let row = question.query_row([name(owner)], |row| {
        let totals = Totals { spam: row.get(1)?, ham: row.get(2)? };
        Ok(Account { id: row.get(0)?, totals })
    });
    Ok(row.optional()?)
}

fn account_to_write(connection: &Connection, owner: Owner<'_>) -> Result<Account, Trouble> {
    if let Some(account) = account(connection, owner)? {
        return Ok(account);
    }
    connection.execute("INSERT INTO owners (name) VALUES (?)", [name(owner)])?;
    Ok(Account { id: connection.last_insert_rowid(), totals: Totals::default() })
}

/// The counts of these words, in their order; all from one state of the database.
pub(super) fn look_up(
    connection: &Connection,
    owner: Owner<'_>,
    tokens: &[Token],
    today: i64,
) -> Result<Vec<Counts>, Trouble> {
    let mut all = vec![Counts::default(); tokens.len()];
    let transaction = connection.unchecked_transaction()?;
    let Some(account) = account(&transaction, owner)? else { return Ok(all) };
    // In the order of the table, so that neighbours are found on one page.
    let mut order: Vec<(Token, usize)> = tokens.iter().copied().zip(0..).collect();
    order.sort_unstable();
    let mut question = transaction
        .prepare_cached("SELECT spam, ham, used FROM tokens WHERE owner = ? AND token = ?")?;
    for (token, place) in order {
        let mut rows = question.query(params![account.id, token.0])?;
        if let (Some(row), Some(counts)) = (rows.next()?, all.get_mut(place)) {
            let stale = row.get::<_, i64>(2)? < today.saturating_sub(STALE_DAYS);
            *counts = Counts { spam: row.get(0)?, ham: row.get(1)?, stale };
        }
    }
    Ok(all)
}

/// Learns one mail. The caller holds a transaction.
pub(super) fn learn(
    connection: &Connection,
    owner: Owner<'_>,
    message: &str,
    class: Class,
    tokens: &[Token],
    today: i64,
) -> Result<Learnt, Trouble> {
    if tokens.is_empty() {
        return Ok(Learnt::Empty);
    }
    let account = account_to_write(connection, owner)?;
    let message = digest(&[message.as_bytes()]);
    let before = seen(connection, &account, &message)?;
    if before == Some(class) {
        return Ok(Learnt::Known);
    }
    if let Some(other) = before {
        take_back(connection, &account, other, tokens)?;
    }
    let (spam, ham) = steps(class);
    let mut change = connection.prepare_cached(
        "INSERT INTO tokens (owner, token, spam, ham, used) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET spam = spam + excluded.spam, ham = ham + excluded.ham,
         used = max(used, excluded.used)",
    )?;
    for token in sorted(tokens) {
        change.execute(params![account.id, token.0, spam, ham, today])?;
    }
    connection.execute(
        "UPDATE owners SET spam = spam + ?, ham = ham + ? WHERE owner = ?",
        params![spam, ham, account.id],
    )?;
    connection.execute(
        "INSERT OR REPLACE INTO seen (owner, message, spam, day) VALUES (?, ?, ?, ?)",
        params![account.id, message, spam, today],
    )?;
    Ok(if before.is_some() { Learnt::Changed } else { Learnt::New })
}

/// Undoes that. The caller holds a transaction.
pub(super) fn forget(
    connection: &Connection,
    owner: Owner<'_>,
    message: &str,
    tokens: &[Token],
) -> Result<bool, Trouble> {
    let Some(account) = account(connection, owner)? else { return Ok(false) };
    let message = digest(&[message.as_bytes()]);
    let Some(class) = seen(connection, &account, &message)? else { return Ok(false) };
    take_back(connection, &account, class, tokens)?;
    connection.execute(
        "DELETE FROM seen WHERE owner = ? AND message = ?",
        params![account.id, message],
    )?;
    Ok(true)
}

fn sorted(tokens: &[Token]) -> Vec<Token> {
    let mut tokens = tokens.to_vec();
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

fn steps(class: Class) -> (i64, i64) {
    match class {
        Class::Spam => (1, 0),
        Class::Ham => (0, 1),
    }
}

fn seen(
    connection: &Connection,
    account: &Account,
    message: &[u8],
) -> Result<Option<Class>, Trouble> {
    let spam: Option<bool> = connection
        .prepare_cached("SELECT spam FROM seen WHERE owner = ? AND message = ?")?
        .query_row(params![account.id, message], |row| row.get(0))
        .optional()?;
    Ok(spam.map(|spam| if spam { Class::Spam } else { Class::Ham }))
}

/// Words may have been dropped meanwhile, or be cut otherwise by a newer program: no count goes under zero.
fn take_back(
    connection: &Connection,
    account: &Account,
    class: Class,
    tokens: &[Token],
) -> Result<(), Trouble> {
    let (spam, ham) = steps(class);
    let mut change = connection.prepare_cached(
        "UPDATE tokens SET spam = max(spam - ?, 0), ham = max(ham - ?, 0)
         WHERE owner = ? AND token = ?",
    )?;
    let mut drop = connection.prepare_cached(
        "DELETE FROM tokens WHERE owner = ? AND token = ? AND spam = 0 AND ham = 0",
    )?;
    for token in sorted(tokens) {
        change.execute(params![spam, ham, account.id, token.0])?;
        drop.execute(params![account.id, token.0])?;
    }
    connection.execute(
        "UPDATE owners SET spam = max(spam - ?, 0), ham = max(ham - ?, 0) WHERE owner = ?",
        params![spam, ham, account.id],
    )?;
    Ok(())
}

/// Notes that words were of use today. The caller holds a transaction.
pub(super) fn touch(
    connection: &Connection,
    owner: Owner<'_>,
    tokens: &[Token],
    today: i64,
) -> Result<(), Trouble> {
    let Some(account) = account(connection, owner)? else { return Ok(()) };
    let mut change = connection
        .prepare_cached("UPDATE tokens SET used = ? WHERE owner = ? AND token = ? AND used < ?")?;
    for token in tokens {
        change.execute(params![today, account.id, token.0, today])?;
    }
    Ok(())
}

/// How many words there are.
pub(super) fn count(connection: &Connection) -> Result<u64, Trouble> {
    let count: i64 = connection.query_row("SELECT count(*) FROM tokens", [], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Drops what was of no use for the longest time, down to three quarters of `words_max`, a piece at each call: `true` if
/// there is more to do. The caller holds a transaction.
pub(super) fn expire(
    connection: &Connection,
    words_max: u64,
    surplus: &mut Option<u64>,
) -> Result<bool, Trouble> {
    const PIECE: u64 = 20_000;
    let left = match *surplus {
        Some(left) => left,
        None => {
            let count = count(connection)?;
            if count <= words_max { 0 } else { count.saturating_sub(words_max / 4 * 3) }
        }
    };
    if left == 0 {
        return Ok(false);
    }
    // Of one day those go first that were seen once: most words are never seen again.
    let dropped = connection.execute(
        "DELETE FROM tokens WHERE (owner, token) IN (
         SELECT owner, token FROM tokens ORDER BY used, spam + ham LIMIT ?)",
        [i64::try_from(left.min(PIECE)).unwrap_or(0)],
    )?;
    let left = left.saturating_sub(dropped as u64);
    *surplus = Some(left);
    Ok(left > 0 && dropped > 0)
}
