//! Chains of entries in their file: each entry follows the hash of the one before.

use std::collections::HashMap;

use ring::digest::{Context, SHA256};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::entry::{Act, Entry};
use crate::hex;
use crate::registry::NodeFile;

/// Tables of the log, in a file of their own.
pub const SCHEMAS: [&str; 2] = [ENTRIES, BEGINNINGS];

/// The table of entries. What is asked for most stands in columns that SQLite reads out of them.
const ENTRIES: &str = "
create table if not exists audit (
    party text not null,
    number integer not null,
    entry text not null,
    hash text not null,
    at integer generated always as (entry ->> 'at') virtual,
    answers integer generated always as (entry ->> 'answers') virtual,
    who text generated always as (coalesce(entry ->> 'client', entry ->> 'login')) virtual,
    primary key (party, number)
) strict, without rowid;
create index if not exists audit_at on audit (party, at);
create index if not exists audit_answers on audit (party, answers) where answers is not null;
create index if not exists audit_who on audit (party, who);
create trigger if not exists audit_changed before update on audit
begin select raise(abort, 'entries of the audit log are never changed'); end;
";

/// Where chains begin whose first entries were removed.
const BEGINNINGS: &str = "
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

/// Entries that are read at once.
const READ: usize = 1000;

/// Adds entries to their chains, all or none, and gives their numbers.
pub fn append(file: &NodeFile, entries: &mut [Entry]) -> rusqlite::Result<Vec<i64>> {
    file.with(|connection| {
        // Another process may write too, so the end of a chain is read under the lock.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut numbers = Vec::with_capacity(entries.len());
        let mut heads: HashMap<String, Head> = HashMap::new();
        for entry in entries {
            let last = match heads.get_mut(&entry.party) {
                Some(last) => last,
                None => {
                    let last = head(&transaction, &entry.party)?;
                    heads.entry(entry.party.clone()).or_insert(last)
                }
            };
            last.number += 1;
            entry.number = last.number;
            let text = serde_json::to_string(entry).expect("an entry becomes JSON");
            let mut insert = transaction.prepare_cached(
                "insert into audit (party, number, entry, hash) values (?1, ?2, ?3, ?4)",
            )?;
            last.hash = chained(&last.hash, &text);
            insert.execute(params![entry.party, entry.number, text, last.hash])?;
            numbers.push(entry.number);
        }
        transaction.commit()?;
        Ok(numbers)
    })
}

/// The end of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Number of the last entry; 0 if there is none.
    pub number: i64,
    /// Its hash in hexadecimal digits; empty if there is none.
    pub hash: String,
}

/// The end of a party's chain.
pub fn head(connection: &Connection, party: &str) -> rusqlite::Result<Head> {
    let mut select = connection.prepare_cached(
        "select number, hash from audit where party = ?1 order by number desc limit 1",
    )?;
    let found = select.query_row([party], |row| {
        Ok(Head {
            number: row.get(0)?,
            hash: row.get(1)?,
        })
    });
    match found.optional()? {
        Some(head) => Ok(head),
        None => Ok(begin(connection, party)?
            .map(|(head, _)| head)
            .unwrap_or_default()),
    }
}

/// Where a chain begins: the last entry that was removed, with the time when it was.
fn begin(connection: &Connection, party: &str) -> rusqlite::Result<Option<(Head, i64)>> {
    let mut select =
        connection.prepare_cached("select number, hash, at from audit_begin where party = ?1")?;
    let found = select.query_row([party], |row| {
        let (number, hash) = (row.get(0)?, row.get(1)?);
        Ok((Head { number, hash }, row.get(2)?))
    });
    found.optional()
}

/// Hash of an entry: SHA-256 of the hash before, a space, and the entry.
pub(super) fn chained(before: &str, entry: &str) -> String {
    let mut context = Context::new(&SHA256);
    for part in [before, " ", entry] {
        context.update(part.as_bytes());
    }
    hex(context.finish().as_ref())
}

/// A line of an export: hash, space, entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Number of the entry.
    pub number: i64,
    /// The line.
    pub text: String,
}

/// Lines of a party's chain after an entry, a thousand at the most, as they are exported. Where the
/// first entries were removed, a line that says so takes their place.
pub fn lines(file: &NodeFile, party: &str, after: i64) -> rusqlite::Result<Vec<Line>> {
    file.with(|connection| {
        let begin = match after {
            0 => begin(connection, party)?,
            _ => None,
        };
        let begin = begin.map(|(begin, at)| Ok(first_line(party, &begin, at)));
        let mut select = connection.prepare_cached(
            "select number, hash || ' ' || entry from audit where party = ?1 and number > ?2
             order by number limit ?3",
        )?;
        let rows = select.query_map(params![party, after, READ as i64], |row| {
            let (number, text) = (row.get(0)?, row.get(1)?);
            Ok(Line { number, text })
        })?;
        begin.into_iter().chain(rows).collect()
    })
}

/// The first line of an export of a chain whose first entries were removed. Its hash is that of the
/// last of them, and not of its own text.
fn first_line(party: &str, begin: &Head, at: i64) -> Line {
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

/// Parties that have a chain; the operator's has an empty name.
pub fn parties(file: &NodeFile) -> rusqlite::Result<Vec<String>> {
    file.with(|connection| {
        // One look for each party, not at each entry.
        let mut select = connection.prepare_cached(
            "with recursive one (party) as (
                 select min(party) from audit union all
                 select (select min(party) from audit where party > one.party) from one
                 where one.party is not null)
             select party from one where party is not null
             union select party from audit_begin order by party",
        )?;
        select.query_map([], |row| row.get(0))?.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::check::check;
    use super::super::tests::{entry, filled, number};
    use super::*;

    #[test]
    fn a_chain_is_each_party_s_own_and_goes_on() {
        let file = filled();
        let river = check(&file, "river", None).unwrap().unwrap().head().clone();
        assert_eq!((river.number, river.hash.len()), (3, 64));
        assert_eq!(number(&file, "cloud"), 1);
        append(&file, &mut [entry("river", "/4")]).unwrap();
        let later = check(&file, "river", Some(&river)).unwrap().unwrap();
        assert_eq!(later.head().number, 4);
        assert_eq!(parties(&file).unwrap(), ["cloud", "river"]);
    }

    #[test]
    fn entries_are_neither_changed_nor_removed() {
        let file = filled();
        for (statement, said) in [
            (
                "update audit set entry = '{}'",
                "entries of the audit log are never changed",
            ),
            (
                "delete from audit",
                "entries of the audit log are removed by their age only",
            ),
        ] {
            let refused = file.with(|connection| connection.execute(statement, []));
            assert_eq!(refused.unwrap_err().to_string(), said);
        }
    }
}
