//! Hashes of keys and commands. They need no book, so another thread than the book's can work them
//! out.

use super::command::{Application, Command, Instruction, Underwriting};
use super::event::Event;
use super::keys::KeyHash;
use crate::field::Value;
use crate::packed::Cbor;

/// The hashes that deciding a command or applying an event takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hashes {
    /// Of the key under which it comes; if it takes an offer, gives it back or decides on a referral,
    /// the application's.
    pub(super) key: KeyHash,
    /// Of the region of an application.
    pub(super) region: KeyHash,
    /// Digest of an application.
    pub(super) body: u64,
}

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
            })
            | Command::Instruct(Instruction { key, .. })
            | Command::Reverse { key, .. } => Hashes::of_key(key),
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
            region: KeyHash::of(region(values)),
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
