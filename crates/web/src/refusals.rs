//! Payments and other instructions that a book refused: each needs a person, and is a case of the
//! party that sent it until the book takes it or somebody has done with it.

use rusqlite::params;
use serde::Deserialize;

use crate::problem::Problem;
use crate::registry::Registry;

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
) -> rusqlite::Result<()> {
    registry.with(|connection| {
        let transaction = connection.transaction()?;
        for refusal in refused {
            transaction
                .prepare_cached(
                    "insert into refusal (book, party, key, loan, detail, day)
                     values (?1, ?2, ?3, ?4, ?5, ?6)
                     on conflict do update set loan = ?4, detail = ?5, day = ?6",
                )?
                .execute(params![
                    book,
                    party,
                    refusal.key,
                    refusal.loan,
                    refusal.detail,
                    refusal.day
                ])?;
        }
        transaction
            .prepare_cached(
                "delete from refusal where book = ?1 and party = ?2 and key in
                 (select key from refusal where book = ?1 and party = ?2
                  order by day desc, key limit -1 offset ?3)",
            )?
            .execute(params![book, party, KEPT])?;
        transaction.commit()
    })
}

/// What was refused to a party, newest first.
pub fn of(registry: &Registry, book: &str, party: &str) -> rusqlite::Result<Vec<Refusal>> {
    registry.with(|connection| {
        let mut select = connection.prepare_cached(
            "select key, loan, detail, day from refusal where book = ?1 and party = ?2
             order by day desc, key limit ?3",
        )?;
        let rows = select.query_map(params![book, party, SHOWN], |row| {
            Ok(Refusal {
                key: row.get(0)?,
                loan: row.get(1)?,
                detail: row.get(2)?,
                day: row.get(3)?,
            })
        })?;
        rows.collect()
    })
}

/// What was refused if a call ended with a problem; none if it may be sent again as it is.
pub(crate) fn of_call(key: &str, loan: &str, problem: &Problem, day: i32) -> Option<Refusal> {
    (!problem.retryable).then(|| Refusal {
        key: key.to_owned(),
        loan: loan.to_owned(),
        detail: problem.detail.clone(),
        day,
    })
}

/// A line of the answer to a stream, as far as it matters here.
#[derive(Deserialize)]
struct Answered {
    line: usize,
    reference: Option<String>,
    problem: Option<Wrong>,
}

#[derive(Deserialize)]
struct Wrong {
    detail: String,
    retryable: bool,
}

/// A line of a stream of payments, as far as it matters here.
#[derive(Deserialize)]
struct Sent {
    loan: Option<String>,
}

/// What was refused of a stream of payments: lines as they were sent, and as they were answered.
pub(crate) fn of_stream(sent: &[u8], answered: &[u8], day: i32) -> Vec<Refusal> {
    let mark: &[u8] = br#""problem":"#;
    let answered = answered.split(|byte| *byte == b'\n');
    // Most lines have none, and need not be read.
    let wrong = answered.filter(|line| line.windows(mark.len()).any(|part| part == mark));
    let wrong = wrong.filter_map(|line| serde_json::from_slice::<Answered>(line).ok());
    let lines: Vec<_> = sent.split(|byte| *byte == b'\n').collect();
    let refused = wrong.filter_map(|answer| {
        let problem = answer.problem.filter(|problem| !problem.retryable)?;
        let line = answer.line.checked_sub(1).and_then(|at| lines.get(at))?;
        let sent = serde_json::from_slice::<Sent>(line).ok();
        Some(Refusal {
            key: answer.reference?,
            loan: sent.and_then(|sent| sent.loan).unwrap_or_default(),
            detail: problem.detail,
            day,
        })
    });
    refused.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_lines_of_a_stream_are_found_with_their_loans() {
        let sent = b"{\"reference\":\"P-1\",\"loan\":\"L-1\"}\n\n{\"reference\":\"P-2\",\"loan\":\"L-2\"}\nno json\n";
        let answered = br#"{"line":1,"reference":"P-1","status":201}
{"line":3,"reference":"P-2","status":409,"problem":{"detail":"The loan is over.","retryable":false}}
{"line":4,"status":400,"problem":{"detail":"no JSON","retryable":false}}
{"line":1,"reference":"P-1","status":503,"problem":{"detail":"Come again.","retryable":true}}
"#;
        let refused = of_stream(sent, answered, 19_000);
        let expected = Refusal {
            key: "P-2".to_owned(),
            loan: "L-2".to_owned(),
            detail: "The loan is over.".to_owned(),
            day: 19_000,
        };
        assert_eq!(refused, [expected]);
    }
}
