//! The journal: a store and the chain that runs through it.

use std::ops::ControlFlow;

use crate::{
    Batch, BatchBuilder, BatchError, BookName, Chain, Head, Secret, Stats, Store, StoreError,
};

/// The journal of one book.
#[derive(Debug)]
pub struct Journal<S> {
    store: S,
    chain: Chain,
    failed: bool,
}

impl<S: Store> Journal<S> {
    /// Opens the journal at its last batch. Nothing is verified yet: [`Self::read`] does that.
    pub fn open(store: S) -> Result<Self, JournalError> {
        let (book, secret) = (store.book().clone(), store.secret().clone());
        let head = store.head()?.unwrap_or_else(|| Head::genesis(&book));
        Ok(Self {
            store,
            chain: Chain::after(book, secret, head),
            failed: false,
        })
    }

    /// The book.
    pub fn book(&self) -> &BookName {
        self.chain.book()
    }

    /// The store below.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// What its salts are drawn from.
    pub fn secret(&self) -> &Secret {
        self.chain.secret()
    }

    /// The point before the first batch.
    pub fn genesis(&self) -> Head {
        Head::genesis(self.book())
    }

    /// The last batch.
    pub fn head(&self) -> Head {
        self.chain.head()
    }

    /// Looks for batches that another process wrote since the journal was opened, so that a reader
    /// can follow it.
    pub fn refresh(&mut self) -> Result<Head, JournalError> {
        self.refuse_if_failed()?;
        if let Some(head) = self.store.head()? {
            let (book, secret) = (self.book().clone(), self.secret().clone());
            self.chain = Chain::after(book, secret, head);
        }
        Ok(self.head())
    }

    /// Makes the events durable as one batch and clears the builder. Without events it does
    /// nothing.
    ///
    /// After an error the batch may or may not be in the journal, and the events stay in the
    /// builder: answer nobody, stop, and let the next start read what is there.
    pub fn append(&mut self, events: &mut BatchBuilder) -> Result<Head, JournalError> {
        self.refuse_if_failed()?;
        if events.is_empty() {
            return Ok(self.head());
        }
        let batch = self.chain.seal(events.len(), events.take());
        let written = self.store.append(&batch);
        if let Err(error) = written {
            self.failed = true;
            events.give_back(batch.body);
            return Err(JournalError::Append(error));
        }
        self.chain.step(&batch);
        events.give_back(batch.body);
        events.clear();
        Ok(self.head())
    }

    /// Shows every batch after `after`, verified, up to the head.
    ///
    /// Start at [`Self::genesis`], or at the head that a snapshot was taken at: one that does not
    /// belong to this journal is noticed. `visit` ends the reading by an error of its own, which
    /// does not count as a failure of the journal.
    pub fn read<E: From<JournalError>>(
        &mut self,
        after: Head,
        mut visit: impl FnMut(&Batch) -> Result<(), E>,
    ) -> Result<(), E> {
        self.refuse_if_failed()?;
        let end = self.head().seq;
        let mut chain = Chain::after(self.book().clone(), self.secret().clone(), after);
        let mut broken = None;
        let mut stopped = None;
        let read = self.store.read(after.seq + 1, &mut |batch| {
            if chain.head().seq >= end {
                return ControlFlow::Break(());
            }
            broken = chain.accept(&batch).err();
            if broken.is_none() {
                stopped = visit(&batch).err();
            }
            if broken.is_some() || stopped.is_some() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        if let Some(error) = stopped {
            return Err(error);
        }
        let verified = match (read, broken) {
            (Err(error), _) => Err(JournalError::Store(error)),
            (_, Some(batch)) => Err(self.broken(batch)),
            _ => self.check_end(chain.head()),
        };
        self.failed = verified.is_err();
        Ok(verified?)
    }

    /// Checks that a point belongs to this journal.
    pub fn check_point(&mut self, point: Head) -> Result<(), JournalError> {
        self.refuse_if_failed()?;
        let (place, seq) = (self.place(), point.seq);
        if seq > self.head().seq {
            return Err(JournalError::Ahead {
                place,
                after: seq,
                head: self.head().seq,
            });
        }
        let mut found = (seq == 0).then(|| self.genesis().hash);
        if seq > 0 {
            self.store.read(seq, &mut |batch| {
                found = (batch.seq == seq).then_some(batch.hash);
                ControlFlow::Break(())
            })?;
        }
        match found == Some(point.hash) {
            true => Ok(()),
            false => Err(JournalError::Foreign { place, seq }),
        }
    }

    /// Counts what the journal holds.
    pub fn stats(&mut self) -> Result<Stats, JournalError> {
        self.refuse_if_failed()?;
        let stats = self.store.stats();
        self.failed = stats.is_err();
        Ok(stats?)
    }

    /// Checks that a reading which found no fault ended at the head.
    fn check_end(&self, end: Head) -> Result<(), JournalError> {
        let (place, head) = (self.place(), self.head());
        if end.seq > head.seq {
            return Err(JournalError::Ahead {
                place,
                after: end.seq,
                head: head.seq,
            });
        }
        if end.seq < head.seq {
            return Err(self.broken(BatchError::Cut {
                seq: end.seq + 1,
                head: head.seq,
            }));
        }
        if end.hash != head.hash {
            return Err(JournalError::Foreign {
                place,
                seq: head.seq,
            });
        }
        Ok(())
    }

    fn refuse_if_failed(&self) -> Result<(), JournalError> {
        if self.failed {
            return Err(JournalError::Failed {
                place: self.place(),
            });
        }
        Ok(())
    }

    fn broken(&self, batch: BatchError) -> JournalError {
        JournalError::Broken {
            place: self.place(),
            batch,
        }
    }

    fn place(&self) -> String {
        self.store.place().to_owned()
    }
}

/// Why a journal did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A batch was not made durable.
    #[error("{0}; nothing more is taken: remove the cause, then start the program again")]
    Append(StoreError),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An earlier failure stopped the journal.
    #[error(
        "{place}: stopped by an earlier failure; start the program again: it continues from what \
         is on disk"
    )]
    Failed {
        /// Where.
        place: String,
    },
    /// The verification found a fault.
    #[error("{place}: {batch}; do not continue with it: restore the journal from a backup")]
    Broken {
        /// Where.
        place: String,
        /// Which batch, and what is wrong.
        batch: BatchError,
    },
    /// Reading was to continue after a batch that is not there.
    #[error(
        "{place} ends at batch {head}, but was to be continued after batch {after}: the journal \
         lost batches, or the snapshot belongs to another one; restore the journal from a backup"
    )]
    Ahead {
        /// Where.
        place: String,
        /// The batch to continue after.
        after: u64,
        /// The last batch.
        head: u64,
    },
    /// Reading was to continue after a batch of another journal.
    #[error(
        "{place}: batch {seq} is not the one to continue after: the snapshot belongs to another \
         journal; use the one taken from this journal, or none"
    )]
    Foreign {
        /// Where.
        place: String,
        /// The batch to continue after.
        seq: u64,
    },
    /// A batch that nobody verified is malformed.
    #[error(transparent)]
    Batch(#[from] BatchError),
}
