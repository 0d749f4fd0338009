//! The hash chain: names, hashes, and what makes a batch the next one.

use std::fmt;

use crate::batch::Digest;
use crate::{Batch, BatchError, FORMAT, MAX_BODY, Secret};

/// The name of a book: 1 to 64 bytes of UTF-8 without control characters.
///
/// It goes into every hash, so a batch of one book never passes for a batch of another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BookName(String);

impl BookName {
    /// The longest name, in bytes.
    pub const MAX: usize = 64;

    /// Checks a name.
    pub fn new(name: impl Into<String>) -> Result<Self, BookNameError> {
        let name = name.into();
        if name.is_empty() || name.len() > Self::MAX || name.contains(char::is_control) {
            return Err(BookNameError { name });
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no name for a book.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} cannot name a book: use 1 to {} bytes, no control characters",
    BookName::MAX
)]
pub struct BookNameError {
    /// The text.
    pub name: String,
}

/// A BLAKE3 hash, shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A point in a journal: the last batch of a history, and by its hash the whole history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The number of the last batch; 0 before the first.
    pub seq: u64,
    /// The hash of the last batch; before the first, one derived from the book's name.
    pub hash: Hash,
}

impl Head {
    /// The head of a book without batches: the hash of an empty "batch 0".
    pub fn genesis(book: &BookName) -> Self {
        Self {
            seq: 0,
            hash: hash(book, 0, Hash([0; 32]), &Digest::default()),
        }
    }
}

/// Follows a book from batch to batch.
#[derive(Clone, Debug)]
pub struct Chain {
    book: BookName,
    secret: Secret,
    head: Head,
}

impl Chain {
    /// A chain that continues after `head`.
    pub fn after(book: BookName, secret: Secret, head: Head) -> Self {
        Self { book, secret, head }
    }

    /// The book.
    pub fn book(&self) -> &BookName {
        &self.book
    }

    /// What salts are drawn from.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The last batch so far.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Checks that `batch` is whole and the next one, and steps onto it.
    pub fn accept(&mut self, batch: &Batch) -> Result<(), BatchError> {
        let seq = self.head.seq + 1;
        if batch.seq != seq {
            return Err(BatchError::Missing {
                seq,
                found: batch.seq,
            });
        }
        if batch.prev != self.head.hash {
            return Err(BatchError::Prev { seq });
        }
        if batch.body.len() > MAX_BODY {
            return Err(BatchError::TooLarge {
                seq,
                len: batch.body.len(),
            });
        }
        let digest = batch.digest(self.secret.salts(seq))?;
        if batch.hash != hash(&self.book, seq, batch.prev, &digest) {
            return Err(BatchError::Hash { seq });
        }
        let (stated, found) = (batch.events, digest.events());
        if stated != found {
            return Err(BatchError::Count { seq, stated, found });
        }
        self.head = Head {
            seq,
            hash: batch.hash,
        };
        Ok(())
    }

    /// Makes the next batch, without stepping onto it.
    pub(crate) fn seal(&self, events: u32, body: Vec<u8>) -> Batch {
        let (seq, prev) = (self.head.seq + 1, self.head.hash);
        let mut batch = Batch {
            seq,
            prev,
            hash: prev,
            events,
            body,
        };
        let digest = batch
            .digest(self.secret.salts(seq))
            .expect("a builder makes bodies that can be split");
        batch.hash = hash(&self.book, seq, prev, &digest);
        batch
    }

    /// Steps onto a batch that [`Self::seal`] made.
    pub(crate) fn step(&mut self, batch: &Batch) {
        self.head = Head {
            seq: batch.seq,
            hash: batch.hash,
        };
    }
}

/// Hashes a batch: a header of fixed size, then the kinds of its events.
pub(crate) fn hash(book: &BookName, seq: u64, prev: Hash, digest: &Digest) -> Hash {
    let mut name = [0; BookName::MAX];
    name[..book.0.len()].copy_from_slice(book.0.as_bytes());

    let mut hasher = blake3::Hasher::new();
    hasher
        .update(b"TANDEM")
        .update(&FORMAT.to_le_bytes())
        .update(&seq.to_le_bytes())
        .update(&prev.0)
        .update(&digest.events().to_le_bytes())
        .update(&name)
        .update(&digest.root.0);
    for section in &digest.sections {
        hasher.update(&section.0);
    }
    Hash(hasher.update(&digest.kinds).finalize().into())
}
