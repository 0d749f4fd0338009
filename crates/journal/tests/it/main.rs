//! What the journal promises, seen from outside.
#![expect(
    clippy::unwrap_used,
    reason = "helpers are not test functions to clippy"
)]

mod builder;
mod chain;
mod excerpt;
#[cfg(feature = "postgres")]
mod faults;
mod format;
mod model;
#[cfg(feature = "postgres")]
mod postgres;
mod sqlite;
mod stores;

use tandem_journal::{Batch, BatchBuilder, BookName, Head, Journal, JournalError, Store};

fn demo() -> BookName {
    BookName::new("demo").unwrap()
}

fn append<S: Store>(journal: &mut Journal<S>, events: &[&[u8]]) -> Result<Head, JournalError> {
    let mut batch = BatchBuilder::new();
    for event in events {
        batch.push(event).unwrap();
    }
    journal.append(&mut batch)
}

fn read_all<S: Store>(journal: &mut Journal<S>) -> Result<Vec<Batch>, JournalError> {
    read_after(journal, journal.genesis())
}

fn read_after<S: Store>(journal: &mut Journal<S>, after: Head) -> Result<Vec<Batch>, JournalError> {
    let mut batches = Vec::new();
    journal.read(after, |batch| {
        batches.push(batch.clone());
        Ok::<(), JournalError>(())
    })?;
    Ok(batches)
}

fn events(batches: &[Batch]) -> Vec<&[u8]> {
    batches
        .iter()
        .flat_map(Batch::events)
        .map(Result::unwrap)
        .collect()
}

/// Appends four batches with two events each, and returns the heads after each.
fn fill<S: Store>(journal: &mut Journal<S>) -> Vec<Head> {
    (1..=4u8)
        .map(|i| append(journal, &[&[i], &[i; 300]]).unwrap())
        .collect()
}
