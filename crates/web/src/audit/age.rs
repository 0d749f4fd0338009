//! Entries that are old enough are removed from the beginning of a chain. Where it begins then, and
//! the hash that its first entry follows, is kept.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::{Act, Entry, Head, Line};
use crate::registry::NodeFile;

/// Where chains begin whose first entries were removed.
pub(super) const SCHEMA: &str = "
create table if not exists audit_begin (
    party text primary key,
    number integer not null,
    hash text not null,
    at integer not null
) strict, without rowid;
create trigger if not exists audit_removed before delete on audit
when old.number > coalesce((select number from audit_begin where party = old.party), 0)
begin select raise(abort, 'entries of the audit log are removed by their age only'); end;
";

/// Entries that are removed in one step.
const STEP: i64 = 500;

/// Where a chain begins: the last entry that was removed, with the time when it was.
pub(super) fn begin(connection: &Connection, party: &str) -> rusqlite::Result<Option<(Head, i64)>> {
    let mut select =
        connection.prepare_cached("select number, hash, at from audit_begin where party = ?1")?;
    let found = select.query_row([party], |row| {
        let (number, hash) = (row.get(0)?, row.get(1)?);
        Ok((Head { number, hash }, row.get(2)?))
    });
    found.optional()
}

/// The first line of an export of a chain whose first entries were removed. Its hash is that of the
/// last of them, and not of its own text.
pub(super) fn first_line(party: &str, begin: &Head, at: i64) -> Line {
    let number = begin.number;
    let entry = Entry {
        number,
        ..Entry::new((party, ""), Act::Removed, "", at)
    };
    let text = serde_json::to_string(&entry).expect("an entry becomes JSON");
    Line {
        number,
        text: format!("{} {text}", begin.hash),
    }
}

/// Removes entries of a party's chain, from its beginning, that were made before a time; some
/// hundreds at the most, and tells how many.
pub fn remove(file: &NodeFile, party: &str, before: i64, now: i64) -> rusqlite::Result<usize> {
    file.with(|connection| {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let first = "select min(number) from audit where party = ?1";
        let first: Option<i64> = transaction.query_row(first, [party], |row| row.get(0))?;
        let end = first.unwrap_or_default() + STEP;
        let young: Option<i64> = transaction.query_row(
            // The sign keeps SQLite from looking at all that is young.
            "select min(number) from audit where party = ?1 and number < ?2 and +at >= ?3",
            params![party, end, before],
            |row| row.get(0),
        )?;
        // The first one stays if it is young.
        transaction.execute(
            "insert or replace into audit_begin (party, number, hash, at)
             select party, number, hash, ?3 from audit where party = ?1 and number < ?2
             order by number desc limit 1",
            params![party, young.unwrap_or(end), now],
        )?;
        let removed = transaction.execute(
            "delete from audit where party = ?1 and number < ?2",
            params![party, young.unwrap_or(end)],
        )?;
        transaction.commit()?;
        Ok(removed)
    })
}
