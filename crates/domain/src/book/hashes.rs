//! Hashes of keys and commands. They need no book, so another thread than the book's can work them
//! out.

use super::command::{Application, Command, Instruction, Underwriting};
use super::event::Event;
use super::keys::{Index, KeyHash};
use super::loans::Unhashed;
use crate::field::Value;
use crate::packed::Cbor;

/// The hashes that deciding a command or applying an event takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hashes {
    /// Of the key under which it comes; if it takes an offer, gives it back or decides on a referral,
    /// the application's.
    pub(super) key: KeyHash,
    /// Of what else is looked up: the region of an application, the application of an instruction, the
    /// key of what is reversed.
    pub(super) other: KeyHash,
    /// Digest of an application, an instruction or a reversal.
    pub(super) body: u64,
}

/// What applying events leaves to another thread than the book's.
#[derive(Debug, Default)]
pub struct Deferred {
    pub(super) loans: Unhashed,
    pub(super) keys: Vec<(KeyHash, u32)>,
    /// What is hashed for the book's digest, but for the digest of the loans.
    pub(super) digest: Vec<u8>,
    /// How much of it is hashed before that.
    pub(super) before_loans: usize,
}

/// Parts of a book that another thread keeps meanwhile: what finds loans by the keys of what was done to
/// them, and the digest of all loans.
#[derive(Debug)]
pub struct Apart {
    pub(super) keys: Index,
    pub(super) loans: u128,
}

impl Apart {
    /// Adds keys and hashes that the book left to it; in their order, so that digests are right.
    pub fn take_in(&mut self, deferred: &Deferred) {
        for few in deferred.keys.chunks(FETCHED) {
            self.keys.fetch(few.iter().map(|(hash, _)| *hash));
            for &(hash, loan) in few {
                self.keys.add(hash, loan);
            }
        }
        self.loans = self.loans.wrapping_add(deferred.loans.sum());
    }

    /// The book's digest when it left this; it was asked for with it.
    pub fn digest(&self, deferred: &Deferred) -> [u8; 32] {
        let (before, after) = deferred.digest.split_at(deferred.before_loans);
        let mut hasher = blake3::Hasher::new();
        hasher.update(before);
        hasher.update(&self.loans.to_le_bytes());
        hasher.update(after);
        *hasher.finalize().as_bytes()
    }
}

/// Keys whose slots come from memory together.
const FETCHED: usize = 64;

impl Command {
    /// The hashes that [`Book::execute_hashed`](super::Book::execute_hashed) takes.
    pub fn hashes(&self) -> Hashes {
        match self {
            Command::Apply(application) => {
                let Application {
                    key,
                    borrower,
                    values,
                    ..
                } = &**application;
                Hashes {
                    body: digest(&(key, borrower, values)),
                    ..Hashes::of_application(key, values)
                }
            }
            Command::Accept { application: key }
            | Command::Withdraw { application: key }
            | Command::Underwrite(Underwriting {
                application: key, ..
            }) => Hashes::of_key(key),
            Command::Instruct(instruction) => Hashes::of_instruction(instruction),
            Command::Reverse { key, of } => Hashes {
                other: KeyHash::of(of),
                body: digest(of),
                ..Hashes::of_key(key)
            },
            _ => Hashes::default(),
        }
    }
}

impl Event {
    /// The hashes that [`Book::apply_hashed`](super::Book::apply_hashed) takes.
    pub fn hashes(&self) -> Hashes {
        match self {
            Event::Decided(decided) => Hashes::of_application(&decided.key, &decided.values),
            Event::Instructed { key, .. } | Event::Reversed { key, .. } => Hashes::of_key(key),
            _ => Hashes::default(),
        }
    }
}

impl Hashes {
    fn of_key(key: &str) -> Hashes {
        Hashes {
            key: KeyHash::of(key),
            ..Hashes::default()
        }
    }

    fn of_application(key: &str, values: &[Value]) -> Hashes {
        Hashes {
            other: KeyHash::of(region(values)),
            ..Hashes::of_key(key)
        }
    }

    pub(super) fn of_instruction(instruction: &Instruction) -> Hashes {
        let Instruction {
            key,
            application,
            value_date,
            action,
        } = instruction;
        Hashes {
            other: KeyHash::of(application),
            body: digest(&(application, value_date, action)),
            ..Hashes::of_key(key)
        }
    }
}

/// The region that the values of an application name; the empty text if they name none.
pub(super) fn region(values: &[Value]) -> &str {
    match values.get(2) {
        Some(Value::Text(region)) => region,
        _ => "",
    }
}

/// A short digest by which a retry is told from another command under the same key.
pub(super) fn digest(body: &impl minicbor::Encode<()>) -> u64 {
    let mut bytes = Vec::with_capacity(256);
    minicbor::encode(body, Cbor(&mut bytes)).expect("encoding into memory cannot fail");
    let hash = blake3::hash(&bytes);
    u64::from_le_bytes(
        hash.as_bytes()[..8]
            .try_into()
            .expect("a hash has more than eight bytes"),
    )
}
