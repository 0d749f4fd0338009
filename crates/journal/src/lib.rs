//! An append-only journal of opaque events in hash-chained batches.
//!
//! The journal is the only durable truth of a book: everything else is rebuilt from it. This crate
//! knows nothing of what the events mean. It promises three things about them:
//!
//! - **durable**: [`Journal::append`] returns only after the batch survives a power cut;
//! - **unchanged**: every batch carries the hash of the one before it, and [`Journal::read`]
//!   recomputes all of them, so any edit of history shows;
//! - **provable in part**: an [`Excerpt`] shows a reader its events, or its parts of them, and
//!   proves that they stand in the chain, without showing the others;
//! - **fail-stop**: after any failure the journal refuses everything until it is opened again.
//!
//! A [`Journal`] sits on a [`Store`], which only moves rows. [`Sqlite`] is the embedded one,
//! `Postgres` (behind the feature `postgres`) the one for several nodes, which own books by
//! [leases](lease); [`Memory`] serves tests. The bytes are described in `docs/spec/journal.md`.
//!
//! ```
//! use tandem_journal::{BatchBuilder, BookName, Journal, JournalError, Memory};
//!
//! let mut journal = Journal::open(Memory::new(BookName::new("demo")?))?;
//! let mut batch = BatchBuilder::new();
//! batch.push(b"a loan")?;
//! batch.push(b"a payment")?;
//! let head = journal.append(&mut batch)?;
//! assert_eq!(head.seq, 1);
//!
//! let mut events = 0;
//! journal.read(journal.genesis(), |batch| {
//!     for event in batch.events() {
//!         events += usize::from(!event?.is_empty());
//!     }
//!     Ok::<(), JournalError>(())
//! })?;
//! assert_eq!(events, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod builder;
mod chain;
mod excerpt;
mod head;
mod journal;
pub mod lease;
mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
mod secret;
pub mod snapshot;
pub mod sqlite;
mod store;
mod tree;

pub use batch::{Batch, BatchError, Readers};
pub use builder::{BatchBuilder, PushError};
pub use chain::{BookName, BookNameError, Chain, Hash, Head};
pub use excerpt::{Excerpt, ExcerptError, KnownParts, Section, Shown};
pub use head::TailError;
pub use journal::{Journal, JournalError};
pub use memory::Memory;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
pub use secret::{Salt, Secret};
pub use sqlite::Sqlite;
pub use store::{Stats, Store, StoreError};

/// The most bytes a batch's body may have.
///
/// A row of this size fits SQLite, PostgreSQL and the databases that speak its protocol alike.
pub const MAX_BODY: usize = 512 * 1024;

/// The most bytes an event may have: a body that holds only this event and its length prefix.
pub const MAX_EVENT: usize = MAX_BODY - 3;

/// The version of everything this crate writes: the hashed header, the tables and the head file.
pub const FORMAT: u16 = 2;
