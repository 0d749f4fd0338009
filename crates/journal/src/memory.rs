//! A store for tests and simulations.

use std::ops::ControlFlow;

use crate::{Batch, BookName, Head, Secret, Stats, Store, StoreError};

/// Keeps batches in memory. A clone is what a crash would leave behind.
#[derive(Clone, Debug)]
pub struct Memory {
    book: BookName,
    secret: Secret,
    /// The batches in order; public, so that a test can damage them.
    pub batches: Vec<Batch>,
}

impl Memory {
    /// An empty store for a book. Its secret is known, so that tests give the same each time.
    pub fn new(book: BookName) -> Self {
        Self {
            book,
            secret: Secret::from_bytes([7; Secret::LEN]),
            batches: Vec::new(),
        }
    }
}

impl Store for Memory {
    fn book(&self) -> &BookName {
        &self.book
    }

    fn secret(&self) -> &Secret {
        &self.secret
    }

    fn place(&self) -> &str {
        "memory"
    }

    fn head(&self) -> Result<Option<Head>, StoreError> {
        Ok(self.batches.last().map(|batch| Head {
            seq: batch.seq,
            hash: batch.hash,
        }))
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.batches.push(batch.clone());
        Ok(())
    }

    fn read(
        &self,
        from: u64,
        visit: &mut dyn FnMut(Batch) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        for batch in self.batches.iter().filter(|batch| batch.seq >= from) {
            if visit(batch.clone()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn stats(&self) -> Result<Stats, StoreError> {
        Ok(self
            .batches
            .iter()
            .fold(Stats::default(), |stats, batch| Stats {
                batches: stats.batches + 1,
                events: stats.events + u64::from(batch.events),
                body_bytes: stats.body_bytes + batch.body.len() as u64,
            }))
    }
}
