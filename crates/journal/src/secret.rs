//! The secret of a book, and the salts that are drawn from it.

use std::fmt;

/// Bytes that only those who keep the whole book know.
///
/// Every event is hashed with a salt drawn from it, so that who is shown the hash of an event, but
/// not the event, cannot find out by trying what stands in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; Secret::LEN]);

impl Secret {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// A new secret, from the system's source of randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; Self::LEN];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// A secret that a store has kept.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a store to keep.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The salts of a batch: one for each section, then one for each event.
    pub(crate) fn salts(&self, seq: u64) -> Salts {
        let mut hasher = blake3::Hasher::new_derive_key("tandem journal format 2 salts");
        hasher.update(&self.0).update(&seq.to_le_bytes());
        Salts {
            stream: hasher.finalize_xof(),
            drawn: [0; DRAWN],
            next: DRAWN,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What is hashed in front of an event or section.
pub type Salt = [u8; 16];

/// Salts are drawn this many bytes at a time.
const DRAWN: usize = 1024;

/// The salts of one batch.
pub(crate) struct Salts {
    stream: blake3::OutputReader,
    drawn: [u8; DRAWN],
    next: usize,
}

impl Salts {
    pub(crate) fn next(&mut self) -> &Salt {
        if self.next == DRAWN {
            self.stream.fill(&mut self.drawn);
            self.next = 0;
        }
        let (_, rest) = self.drawn.split_at(self.next);
        self.next += size_of::<Salt>();
        rest.first_chunk().expect("a block is a number of salts")
    }
}
