//! The rows of the file, and how they are found.

use rusqlite::{Connection, OptionalExtension, Params, Row as Found, ToSql, params};
use tandem_domain::book::{Event, Verdict};
use tandem_domain::calendar::Day;
use tandem_domain::ledger::Entry;
use tandem_domain::money::Amount;
use tandem_domain::party::PartyId;
use tandem_engine::disclosure::{Disclosure, Parties, only};
use tandem_engine::{Origin, Step};
use tandem_journal::{Hash, Head};

use crate::trace::Trace;

/// Version of the tables; a file of another one is made anew.
pub(super) const FORMAT: i64 = 3;

pub(super) const SCHEMA: &str = "
    CREATE TABLE head (batch INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;
    CREATE TABLE event (
        number INTEGER PRIMARY KEY,
        batch INTEGER NOT NULL,
        day INTEGER NOT NULL,
        kind TEXT NOT NULL,
        application INTEGER,
        loan INTEGER,
        parties INTEGER NOT NULL,
        body BLOB NOT NULL,
        trace BLOB
    ) STRICT;
    CREATE INDEX event_application ON event (application) WHERE application IS NOT NULL;
    CREATE INDEX event_settlement ON event (kind, number) WHERE kind LIKE 'settlement.%';
    CREATE TABLE posting (
        entry INTEGER NOT NULL,
        line INTEGER NOT NULL,
        event INTEGER NOT NULL,
        day INTEGER NOT NULL,
        kind TEXT NOT NULL,
        loan INTEGER,
        party INTEGER NOT NULL,
        account INTEGER NOT NULL,
        amount INTEGER NOT NULL,
        PRIMARY KEY (entry, line)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX posting_account ON posting (party, account, entry);
    CREATE INDEX posting_loan ON posting (loan, entry) WHERE loan IS NOT NULL;
    CREATE INDEX posting_event ON posting (event)";

/// An event and its postings on their way to the file.
pub(super) struct Row {
    batch: u64,
    day: Day,
    kind: &'static str,
    application: Option<u32>,
    loan: Option<u32>,
    parties: Parties,
    body: Vec<u8>,
    trace: Option<Origin>,
    entries: Vec<Entry>,
}

impl Row {
    pub(super) fn of(step: &Step<'_>, disclosure: &Disclosure, trace: Option<Origin>) -> Row {
        let (application, loan) = subject(step);
        let of_loan = |place: u32| step.book.loan_at(place).map(|loan| loan.application);
        let parties = match (step.event, loan, application) {
            (Event::SliceSent(sliced) | Event::SliceReceived(sliced), ..) => {
                disclosure.slice(sliced)
            }
            (Event::Archived { .. }, ..) => 0,
            (Event::Decided(decided) | Event::Underwritten { decided, .. }, ..) => {
                // Who brought it and who judged it know of it anyway, also if nothing comes of it. While
                // it waits, other lenders are not told what one of them has decided.
                let agreement = &step.book.versions()[usize::from(decided.version)].agreement;
                let by = match (step.event, &decided.verdict) {
                    (Event::Underwritten { lender, .. }, Verdict::Referred(..)) => Some(*lender),
                    _ => None,
                };
                let judges = (0..).zip(&agreement.lenders);
                let judges = judges
                    .filter(|(place, _)| by.is_none_or(|by| by == *place))
                    .fold(0, |set, (_, lender)| set | only(*lender));
                let offered = application.map_or(0, |place| disclosure.application(place));
                offered | judges | only(agreement.platform)
            }
            (Event::Withdrawn { application }, ..) if disclosure.application(*application) == 0 => {
                // No offer was made: it waited for people.
                let record = step.book.application_at(*application);
                let version = record.map_or(0, |record| record.version);
                let agreement = &step.book.versions()[usize::from(version)].agreement;
                let lenders = agreement.lenders.iter();
                lenders.fold(only(agreement.platform), |set, lender| set | only(*lender))
            }
            (_, Some(loan), _) => disclosure.loan(loan),
            (_, None, Some(application)) => disclosure.application(application),
            (_, None, None) => Parties::MAX,
        };
        Row {
            batch: step.batch,
            day: step.book.business_date(),
            kind: kind(step.event),
            application: application.or_else(|| of_loan(loan?)),
            loan,
            parties,
            body: minicbor::to_vec(step.event).unwrap_or_default(),
            trace,
            entries: step.entries.to_vec(),
        }
    }

    /// Place of the application that the event is about.
    pub(super) fn application(&self) -> Option<u32> {
        self.application
    }
}

/// Names every event, so that none can be without a name, or be shown and not be listed.
macro_rules! name_events {
    (shown { $($shown:pat => $name:literal,)* } hidden { $($hidden:pat => $other:literal,)* }) => {
        /// Names of all events that parties are shown.
        pub const EVENT_KINDS: &[&str] = &[$($name),*];

        fn kind(event: &Event) -> &'static str {
            match event {
                $($shown => $name,)*
                $($hidden => $other,)*
            }
        }
    };
}

name_events! {
    shown {
        Event::Signed { .. } => "agreement.signed",
        Event::Decided(_) => "application.decided",
        Event::Underwritten { .. } => "application.underwritten",
        Event::Withdrawn { .. } => "offer.withdrawn",
        Event::Disbursed { .. } => "loan.disbursed",
        Event::Instructed { .. } => "loan.instructed",
        Event::Reversed { .. } => "loan.reversed",
        Event::ChargedOff { .. } => "loan.charged_off",
        Event::DayEnded { .. } => "day.ended",
        Event::Planned(_) => "settlement.planned",
        Event::Settled { .. } => "settlement.settled",
        Event::Adjusted { .. } => "day.adjusted",
        Event::DayClosed(_) => "day.closed",
        Event::Fixed { .. } => "rate.fixed",
        Event::SliceSent(_) => "slice.sent",
        Event::SliceReceived(_) => "slice.received",
    }
    hidden {
        Event::Archived { .. } => "loans.archived",
    }
}

/// Application and loan that an event is about.
fn subject(step: &Step<'_>) -> (Option<u32>, Option<u32>) {
    let last = |count: usize| count.checked_sub(1).map(|place| place as u32);
    match step.event {
        Event::Decided(_) => (last(step.book.application_count()), None),
        Event::Withdrawn { application } | Event::Underwritten { application, .. } => {
            (Some(*application), None)
        }
        Event::Disbursed { application } => (Some(*application), last(step.book.loan_count())),
        Event::Instructed { loan, .. }
        | Event::Reversed { loan, .. }
        | Event::ChargedOff { loan, .. } => (None, Some(*loan)),
        _ => (None, None),
    }
}

/// The last batch of which all rows are written.
pub(super) fn known(file: &Connection) -> rusqlite::Result<Option<Head>> {
    let known = file.query_row("SELECT batch, hash FROM head", [], |row| {
        Ok(Head {
            seq: row.get::<_, i64>(0)? as u64,
            hash: Hash(row.get(1)?),
        })
    });
    known.optional()
}

/// Drops rows of batches that were not written to their end.
pub(super) fn trim(file: &Connection, known: u64) -> rusqlite::Result<()> {
    let known = known as i64;
    let beyond = "DELETE FROM posting WHERE event IN (SELECT number FROM event WHERE batch > ?1)";
    file.execute(beyond, [known])?;
    file.execute("DELETE FROM event WHERE batch > ?1", [known])?;
    Ok(())
}

/// Writes rows in one transaction, and gives the number of the last event; `known` is the last
/// batch that is whole with them.
pub(super) fn write(
    file: &mut Connection,
    rows: &[Row],
    known: Option<Head>,
) -> rusqlite::Result<u64> {
    let transaction = file.transaction()?;
    let mut last = 0;
    {
        let mut event = transaction.prepare_cached(
            "INSERT INTO event (batch, day, kind, application, loan, parties, body, trace)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        let mut posting = transaction.prepare_cached(
            "INSERT INTO posting (entry, line, event, day, kind, loan, party, account, amount)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        for row in rows {
            let number = event.insert(params![
                row.batch as i64,
                row.day.0,
                row.kind,
                row.application,
                row.loan,
                row.parties,
                row.body,
                row.trace,
            ])?;
            last = number as u64;
            for entry in &row.entries {
                for (line, made) in entry.postings.iter().enumerate() {
                    posting.execute(params![
                        entry.number as i64,
                        line as i64,
                        number,
                        entry.day.0,
                        entry.kind.name(),
                        entry.loan,
                        made.party.0,
                        made.account.number(),
                        made.amount.0,
                    ])?;
                }
            }
        }
        if let Some(known) = known {
            transaction.execute("DELETE FROM head", [])?;
            let insert = "INSERT INTO head (batch, hash) VALUES (?1, ?2)";
            transaction.execute(insert, params![known.seq as i64, known.hash.0])?;
        }
    }
    transaction.commit()?;
    Ok(last)
}

/// An event as it is found.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// Its number in the book, from 1.
    pub number: u64,
    /// Number of its batch in the journal.
    pub batch: u64,
    /// Business date.
    pub day: Day,
    /// Stable name.
    pub kind: String,
    /// Place of the application that it is about.
    pub application: Option<u32>,
    /// Place of the loan that it is about.
    pub loan: Option<u32>,
    /// Whom it concerns.
    pub parties: Parties,
    /// The trace of the call that made it, where that is known: the journal does not have it.
    pub trace: Option<Trace>,
    /// The event.
    pub event: Event,
}

const EVENT: &str =
    "SELECT number, batch, day, kind, application, loan, parties, body, trace FROM event";

impl EventRow {
    fn read(row: &Found<'_>) -> rusqlite::Result<EventRow> {
        let body: Vec<u8> = row.get(7)?;
        let event = minicbor::decode(&body).map_err(|error| {
            let kind = rusqlite::types::Type::Blob;
            rusqlite::Error::FromSqlConversionFailure(7, kind, Box::new(error))
        })?;
        Ok(EventRow {
            number: row.get::<_, i64>(0)? as u64,
            batch: row.get::<_, i64>(1)? as u64,
            day: Day(row.get(2)?),
            kind: row.get(3)?,
            application: row.get(4)?,
            loan: row.get(5)?,
            parties: row.get(6)?,
            trace: row.get::<_, Option<Origin>>(8)?.map(Trace::from),
            event,
        })
    }

    fn all(file: &Connection, tail: &str, with: impl Params) -> rusqlite::Result<Vec<EventRow>> {
        let mut select = file.prepare_cached(&format!("{EVENT} {tail}"))?;
        select.query_map(with, EventRow::read)?.collect()
    }

    pub(super) fn after(
        file: &Connection,
        parties: Parties,
        after: u64,
        most: usize,
    ) -> rusqlite::Result<Vec<EventRow>> {
        let tail = "WHERE number > ?1 AND (parties & ?2) != 0 ORDER BY number LIMIT ?3";
        // Numbers beyond are none yet, and must not count as negative ones.
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        EventRow::all(file, tail, params![after, parties, most as i64])
    }

    pub(super) fn of_application(
        file: &Connection,
        application: u32,
    ) -> rusqlite::Result<Vec<EventRow>> {
        EventRow::all(
            file,
            "WHERE application = ?1 ORDER BY number",
            [application],
        )
    }

    pub(super) fn first_of(
        file: &Connection,
        application: u32,
    ) -> rusqlite::Result<Option<EventRow>> {
        let tail = "WHERE application = ?1 ORDER BY number LIMIT 1";
        Ok(EventRow::all(file, tail, [application])?.into_iter().next())
    }

    /// What a person decided last on an application.
    pub(super) fn underwritten(
        file: &Connection,
        application: u32,
    ) -> rusqlite::Result<Option<EventRow>> {
        let tail = "WHERE application = ?1 AND kind = 'application.underwritten'
                    ORDER BY number DESC LIMIT 1";
        Ok(EventRow::all(file, tail, [application])?.into_iter().next())
    }

    pub(super) fn newest(
        file: &Connection,
        kind: &str,
        before: Option<u64>,
        most: usize,
    ) -> rusqlite::Result<Vec<EventRow>> {
        let tail = "WHERE kind = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3";
        let before = before.map_or(i64::MAX, |before| before as i64);
        EventRow::all(file, tail, params![kind, before, most as i64])
    }

    pub(super) fn numbered(file: &Connection, number: u64) -> rusqlite::Result<Option<EventRow>> {
        let found = EventRow::all(file, "WHERE number = ?1", [number as i64])?;
        Ok(found.into_iter().next())
    }
}

/// Which postings of a party's ledger.
#[derive(Clone, Copy, Debug)]
pub struct PostingFilter {
    /// Whose ledger.
    pub party: PartyId,
    /// Number of the account.
    pub account: Option<u16>,
    /// Place of the loan.
    pub loan: Option<u32>,
    /// Number of the event.
    pub event: Option<u64>,
}

impl PostingFilter {
    /// All postings of a party's ledger.
    pub fn of(party: PartyId) -> PostingFilter {
        PostingFilter {
            party,
            account: None,
            loan: None,
            event: None,
        }
    }
}

/// A page of a list that goes from the newest to the oldest.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Only what lies before this entry.
    pub before: Option<u64>,
    /// Lines at the most.
    pub most: usize,
}

/// A line of a ledger.
#[derive(Clone, Debug)]
pub struct PostingRow {
    /// Number of the entry in the book, from 1.
    pub entry: u64,
    /// Number of the event that made it.
    pub event: u64,
    /// Business date.
    pub day: Day,
    /// Place of the loan.
    pub loan: Option<u32>,
    /// Number of the account.
    pub account: u16,
    /// Debits are positive, credits negative.
    pub amount: Amount,
    /// What the entry was made for.
    pub kind: String,
}

impl PostingRow {
    pub(super) fn find(
        file: &Connection,
        filter: PostingFilter,
        page: Page,
    ) -> rusqlite::Result<Vec<PostingRow>> {
        let mut sql = String::from(
            "SELECT entry, event, day, loan, account, amount, kind FROM posting WHERE party = ?1",
        );
        let mut with: Vec<Box<dyn ToSql>> = vec![Box::new(filter.party.0)];
        let mut and = |test: &str, value: Box<dyn ToSql>| {
            with.push(value);
            sql += &format!(" AND {test} ?{}", with.len());
        };
        if let Some(account) = filter.account {
            and("account =", Box::new(account));
        }
        if let Some(loan) = filter.loan {
            and("loan =", Box::new(loan));
        }
        if let Some(event) = filter.event {
            and("event =", Box::new(event as i64));
        }
        if let Some(before) = page.before {
            and("entry <", Box::new(before as i64));
        }
        sql += &format!(" ORDER BY entry DESC, line LIMIT {}", page.most);
        let mut select = file.prepare_cached(&sql)?;
        let with = with.iter().map(AsRef::as_ref);
        let rows = select.query_map(rusqlite::params_from_iter(with), |row| {
            Ok(PostingRow {
                entry: row.get::<_, i64>(0)? as u64,
                event: row.get::<_, i64>(1)? as u64,
                day: Day(row.get(2)?),
                loan: row.get(3)?,
                account: row.get(4)?,
                amount: Amount(row.get(5)?),
                kind: row.get(6)?,
            })
        })?;
        rows.collect()
    }
}
