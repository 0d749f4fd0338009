//! What a journal needs from the database below it.

use std::error::Error;
use std::ops::ControlFlow;

use crate::{Batch, BookName, Head, Secret};

/// A place for the batches of one book. It moves rows and checks nothing about their content. A
/// journal is read on a thread of its own while its events are applied on another.
pub trait Store: Send {
    /// The book.
    fn book(&self) -> &BookName;

    /// The book's secret, made when the journal was and kept beside its name.
    fn secret(&self) -> &Secret;

    /// Where the batches are, as error messages name it.
    fn place(&self) -> &str;

    /// The last batch, or `None` when there is none.
    fn head(&self) -> Result<Option<Head>, StoreError>;

    /// Adds a batch. It must be durable when this returns, and a batch of the same number must be
    /// refused. After an error the journal asks for nothing more.
    fn append(&mut self, batch: &Batch) -> Result<(), StoreError>;

    /// Shows the batches from number `from` on, in order, until `visit` breaks.
    fn read(
        &self,
        from: u64,
        visit: &mut dyn FnMut(Batch) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Counts what is there.
    fn stats(&self) -> Result<Stats, StoreError>;
}

/// So that a program can choose its store when it runs.
impl<S: Store + ?Sized> Store for Box<S> {
    fn book(&self) -> &BookName {
        (**self).book()
    }

    fn secret(&self) -> &Secret {
        (**self).secret()
    }

    fn place(&self) -> &str {
        (**self).place()
    }

    fn head(&self) -> Result<Option<Head>, StoreError> {
        (**self).head()
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        (**self).append(batch)
    }

    fn read(
        &self,
        from: u64,
        visit: &mut dyn FnMut(Batch) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        (**self).read(from, visit)
    }

    fn stats(&self) -> Result<Stats, StoreError> {
        (**self).stats()
    }
}

/// How much a journal holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The number of batches.
    pub batches: u64,
    /// The number of events in them.
    pub events: u64,
    /// The bytes of their bodies.
    pub body_bytes: u64,
}

/// A store could not do something.
#[derive(Debug, thiserror::Error)]
#[error("{place}: cannot {doing}: {cause}")]
pub struct StoreError {
    /// Where.
    pub place: String,
    /// What it was doing, such as "write batch 7".
    pub doing: String,
    /// What the layer below says.
    pub cause: Box<dyn Error + Send + Sync>,
}
