//! Who may write a book: ownership by leases with fencing tokens, decided without I/O.
//!
//! A database that several nodes reach keeps one [`Lease`] for each book. A node reads it together
//! with the database's clock, [`decide`]s what the lease would become, and the database replaces
//! the lease it read by that, or nothing if the lease has changed meanwhile. Each change of owner
//! raises the **token**. A batch is written only if the token is still the writer's, and in the
//! same statement, so that an owner that slept through its own end can do no harm.
//!
//! Clocks of nodes are never compared. Whether a lease is over is told by the database's clock;
//! an owner trusts its lease for [`trust`] after it *asked* for it, by its own clock, and so stops
//! before the database would let somebody else in.
//!
//! What follows is checked by trying every order of events in `tests/it/model.rs`.

use std::fmt;
use std::time::Duration;

use crate::{Batch, Hash};

/// How long a lease lasts unless it is renewed.
pub const DURATION: Duration = Duration::from_secs(10);

/// How often an owner renews a lease of this duration.
pub const fn renew_every(duration: Duration) -> Duration {
    duration.checked_div(4).expect("four is not zero")
}

/// How long an owner trusts a lease of this duration, by its own clock, from when it asked for it.
/// The rest is the margin for clocks that run at different rates.
pub const fn trust(duration: Duration) -> Duration {
    duration.saturating_sub(duration.checked_div(5).expect("five is not zero"))
}

/// A process that can own books.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Node {
    /// Its name. Two processes never have the same one at a time: the later takes the books of
    /// the earlier, as a process that was started again should.
    pub name: String,
    /// Where clients reach it.
    pub address: String,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address.as_str() {
            "" => write!(f, "`{}`", self.name),
            address => write!(f, "`{}` at {address}", self.name),
        }
    }
}

/// Who owns a book, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The owner; once the lease is over, the last one.
    pub owner: Node,
    /// Raised with every change of owner; 0 before the first.
    pub token: u64,
    /// When it is over, in milliseconds by the database's clock.
    pub expires: u64,
}

impl Lease {
    /// How long it lasts from `now` on, by the database's clock; nothing once it is over.
    pub fn left(&self, now: u64) -> Duration {
        Duration::from_millis(self.expires.saturating_sub(now))
    }
}

/// What a node asks of a lease. An owner names its token.
#[derive(Clone, Debug)]
pub enum Ask<'a> {
    /// To own the book.
    Acquire(&'a Node),
    /// To own it for longer.
    Renew(u64),
    /// To let another node have it, before all others.
    HandOver(u64, &'a Node),
    /// To let anybody have it.
    Release(u64),
}

/// What the lease becomes, or `None` if the one who asks may not.
///
/// `now` is the database's clock in milliseconds, read with the lease.
pub fn decide(lease: &Lease, ask: &Ask<'_>, now: u64, duration: Duration) -> Option<Lease> {
    let expires = now.saturating_add(duration.as_millis() as u64);
    let next = |owner: &Node, expires| Lease {
        owner: owner.clone(),
        token: lease.token + 1,
        expires,
    };
    match *ask {
        Ask::Acquire(node) => {
            let free = lease.left(now).is_zero() || lease.owner.name == node.name;
            free.then(|| next(node, expires))
        }
        // Also when it is over: as long as nobody else took it, nothing has happened.
        Ask::Renew(token) => (lease.token == token).then(|| Lease {
            expires,
            ..lease.clone()
        }),
        Ask::HandOver(token, to) => (lease.token == token).then(|| next(to, expires)),
        Ask::Release(token) => (lease.token == token).then(|| next(&lease.owner, now)),
    }
}

/// What became of a batch whose writing ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in the journal.
    Written,
    /// It is not in the journal, and may be written again under the same token.
    Absent,
    /// The journal has another batch of its number: somebody else writes too.
    Replaced,
    /// The batch before it is gone: the database is not the one it was.
    TailLost,
}

/// Tells the fate of a batch by the hashes that the journal has at its number and at the one
/// before.
pub fn fate(batch: &Batch, before: Option<Hash>, found: Option<Hash>) -> Fate {
    match found {
        Some(hash) if hash == batch.hash => Fate::Written,
        Some(_) => Fate::Replaced,
        None if batch.seq == 1 || before == Some(batch.prev) => Fate::Absent,
        None => Fate::TailLost,
    }
}

/// A node lost a book to another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the book belongs to {} now (fencing token {}, ours was {ours}); send commands there",
    lease.owner, lease.token
)]
pub struct Lost {
    /// The token that was good once.
    pub ours: u64,
    /// The lease as it is.
    pub lease: Lease,
}
