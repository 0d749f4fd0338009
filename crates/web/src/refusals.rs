//! Payments and other instructions that a book refused: each needs a person, and is a case of the
//! party that sent it until the book takes it or somebody has done with it.

use crate::problem::Problem;
use crate::registry::{self, Registry, Tables, values};

/// The table of refusals.
pub const SCHEMA: &str = "
create table if not exists refusal (
    book text not null,
    party text not null,
    key text not null,
    loan text not null,
    detail text not null,
    -- Business date, in days since 1970.
    day integer not null,
    primary key (book, party, key)
) strict, without rowid;
create index if not exists refusal_day on refusal (book, party, day);
";

/// Refusals that are shown at most, newest first.
const SHOWN: i64 = 500;

/// Refusals that are kept of a party in a book; older ones go.
const KEPT: i64 = 10_000;

/// An instruction that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Key of the instruction.
    pub key: String,
    /// The loan that it names; empty if that is not known.
    pub loan: String,
    /// Why it was refused, and what to do.
    pub detail: String,
    /// Business date, in days since 1970.
    pub day: i32,
}

/// Keeps what was refused; what is refused again is kept as it was refused last.
pub fn keep(
    registry: &Registry,
    book: &str,
    party: &str,
    refused: &[Refusal],
) -> registry::Result<()> {
    registry.change(|tables| {
        for refusal in refused {
            tables.execute(
                "insert into refusal (book, party, key, loan, detail, day)
                 values (?1, ?2, ?3, ?4, ?5, ?6)
                 on conflict (book, party, key) do update set loan = ?4, detail = ?5, day = ?6",
                values![
                    book,
                    party,
                    &refusal.key,
                    &refusal.loan,
                    &refusal.detail,
                    refusal.day
                ],
            )?;
        }
        let text = "delete from refusal where book = ?1 and party = ?2 and key in
             (select key from refusal where book = ?1 and party = ?2
              order by day desc, key limit 1000000000 offset ?3)";
        tables.execute(text, values![book, party, KEPT]).map(drop)
    })
}

/// Forgets what was refused under a key, since it was taken now.
pub(crate) fn forget(
    tables: &Tables<'_>,
    book: &str,
    party: &str,
    key: &str,
) -> registry::Result<()> {
    let text = "delete from refusal where book = ?1 and party = ?2 and key = ?3";
    tables.execute(text, values![book, party, key]).map(drop)
}

/// What was refused to a party, newest first.
pub fn of(registry: &Registry, book: &str, party: &str) -> registry::Result<Vec<Refusal>> {
    let text = "select key, loan, detail, day from refusal where book = ?1 and party = ?2
                order by day desc, key limit ?3";
    registry.read(|tables| {
        tables.rows(text, values![book, party, SHOWN], |row| {
            Ok(Refusal {
                key: row.get(0)?,
                loan: row.get(1)?,
                detail: row.get(2)?,
                day: row.get(3)?,
            })
        })
    })
}

impl Refusal {
    /// What was refused if an instruction ended with a problem; none if it may be sent again as it
    /// is.
    pub(crate) fn of(key: &str, loan: &str, problem: &Problem, day: i32) -> Option<Refusal> {
        (!problem.retryable).then(|| Refusal {
            key: key.to_owned(),
            loan: loan.to_owned(),
            detail: problem.detail.clone(),
            day,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem;

    #[test]
    fn what_may_be_sent_again_is_not_refused() {
        let refused = |problem| Refusal::of("P-2", "L-2", &problem, 19_000);
        let expected = Refusal {
            key: "P-2".to_owned(),
            loan: "L-2".to_owned(),
            detail: "The loan is over.".to_owned(),
            day: 19_000,
        };
        let over = Problem::new(problem::STATE, "The loan is over.");
        assert_eq!(refused(over), Some(expected));
        let later = Problem::new(problem::UNAVAILABLE, "Come again.");
        assert_eq!(refused(later), None);
    }
}
