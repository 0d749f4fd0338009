//! Entries that are old enough are removed from the beginning of a chain.

use rusqlite::{TransactionBehavior, params};

use crate::registry::NodeFile;

/// Entries that are removed in one step.
const STEP: i64 = 500;

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

#[cfg(test)]
mod tests {
    use super::super::chain::{SCHEMAS, append, lines, parties};
    use super::super::check::check;
    use super::super::entry::{Act, Entry};
    use super::super::tests::{entry, number, read};
    use super::*;

    #[test]
    fn old_entries_are_removed_and_the_rest_still_follows() {
        let file = NodeFile::in_memory(&SCHEMAS).unwrap();
        let mut entries: Vec<_> = (0..1200)
            .map(|at| Entry::new(("river", "li"), Act::Viewed, "/", at))
            .collect();
        // Clocks differ a little, so one that is old may follow one that is not.
        entries[1010].at = 5;
        append(&file, &mut entries).unwrap();
        let export = |after| {
            let lines = lines(&file, "river", after).unwrap().into_iter();
            lines.map(|line| line.text).collect::<Vec<_>>()
        };
        let before = export(0);
        let known = |count: usize| read(&before[..count]).unwrap();
        let step = || remove(&file, "river", 1005, 9_000).unwrap();
        assert_eq!([step(), step(), step(), step()], [500, 500, 5, 0]);
        let checked = check(&file, "river", None).unwrap().unwrap();
        assert_eq!((checked.removed(), checked.head().number), (1005, 1200));
        let lines = export(0);
        let first = r#" {"party":"river","number":1005,"at":9000,"login":"","address":"","book":"","act":"removed","object":""}"#;
        assert_eq!((lines.len(), &lines[0][64..]), (196, first));
        assert_eq!(read(&lines).unwrap().number, 1200);
        assert!(read(&lines[1..]).is_err());
        assert_eq!(export(1005).len(), 195);
        // What was exported before is still compared, unless it ends before what is left.
        let against = |count| check(&file, "river", Some(&known(count))).unwrap();
        assert!(against(1000).is_err());
        let said = against(999).unwrap_err().to_string();
        assert_eq!(
            said,
            "the entries of `river` to 1005 were removed by their age, and the export ends before, \
             with 999: what was between is not known any more; export more often"
        );
        // A chain of which nothing is left goes on.
        while remove(&file, "river", 9_000, 9_001).unwrap() > 0 {}
        append(&file, &mut [entry("river", "/")]).unwrap();
        assert_eq!(number(&file, "river"), 1201);
        assert_eq!(parties(&file).unwrap(), ["river"]);
    }
}
