//! Leases in the database, and the thread that keeps one alive.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;

use super::server::{Connection, Server, explain};
use super::{Cause, number, signed};
use crate::BookName;
use crate::lease::{self, Ask, Lease, Lost, Node};

/// How long closing waits for the lease to be released. If it is not, it runs out by itself.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);

/// The lease of a book and the database's clock; `None` if there is no such book.
pub(super) fn read(client: &mut Client, book: &BookName) -> Result<Option<(Lease, u64)>, Cause> {
    let select = "SELECT owner, address, token, expires,
                         CAST(floor(extract(epoch FROM now()) * 1000) AS BIGINT)
                  FROM tandem_book WHERE book = $1";
    let row = client.query_opt(select, &[&book.as_str()]);
    let Some(row) = row.map_err(|error| explain(&error))? else {
        return Ok(None);
    };
    let owner = Node {
        name: row.try_get(0)?,
        address: row.try_get(1)?,
    };
    let lease = Lease {
        owner,
        token: number(&row, 2)?,
        expires: number(&row, 3)?,
    };
    Ok(Some((lease, number(&row, 4)?)))
}

/// Why a lease was not granted: the lease as it is, and how long it lasts.
pub(super) struct Refused {
    pub(super) lease: Lease,
    pub(super) left: Duration,
}

/// Asks for a change of a book's lease.
pub(super) fn ask(
    client: &mut Client,
    book: &BookName,
    ask: &Ask<'_>,
    duration: Duration,
) -> Result<Result<Lease, Refused>, Cause> {
    // The token changes with the owner, so these two tell whether the lease is the one we saw.
    let replace = "UPDATE tandem_book SET owner = $2, address = $3, token = $4, expires = $5
                   WHERE book = $1 AND token = $6 AND expires = $7";
    loop {
        let (lease, now) = read(client, book)?.ok_or("the book is gone from the database")?;
        let Some(next) = lease::decide(&lease, ask, now, duration) else {
            let left = lease.left(now);
            return Ok(Err(Refused { lease, left }));
        };
        let replaced = client.execute(
            replace,
            &[
                &book.as_str(),
                &next.owner.name,
                &next.owner.address,
                &signed(next.token)?,
                &signed(next.expires)?,
                &signed(lease.token)?,
                &signed(lease.expires)?,
            ],
        );
        if replaced.map_err(|error| explain(&error))? == 1 {
            return Ok(Ok(next));
        }
    }
}

/// That a book is owned, seen from the process that owns it. Clones see the same.
#[derive(Clone, Debug)]
pub struct Ownership {
    token: u64,
    duration: Duration,
    standing: Arc<Mutex<Standing>>,
    orders: Sender<Order>,
}

#[derive(Debug)]
struct Standing {
    /// Until when the lease is to be trusted, by our own clock.
    trusted: Instant,
    lost: Option<Lost>,
}

/// What the keeper is told to do.
#[derive(Debug)]
enum Order {
    HandOver(Node, SyncSender<Result<Lease, Cause>>),
    Release(SyncSender<()>),
}

impl Ownership {
    /// The fencing token.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Whether nobody else can own the book at this moment. When not, what is in memory may be
    /// out of date: answer no questions from it.
    pub fn is_held(&self) -> bool {
        let standing = self.standing();
        standing.lost.is_none() && Instant::now() < standing.trusted
    }

    /// To whom the book was lost, once that is known.
    pub fn lost(&self) -> Option<Lost> {
        self.standing().lost.clone()
    }

    /// Lets another node have the book: it alone can take it until the lease is over. From now on
    /// nothing more is written here, so append and answer everything before.
    pub fn hand_over(&self, to: &Node) -> Result<Lease, Cause> {
        let (reply, answer) = mpsc::sync_channel(1);
        let sent = self.orders.send(Order::HandOver(to.clone(), reply));
        let answered = sent.ok().and_then(|()| answer.recv().ok());
        answered.unwrap_or_else(|| {
            let lost = self.lost().map(Cause::from);
            Err(lost.unwrap_or_else(|| "the journal is closed".into()))
        })
    }

    /// Owns a book from a lease that was asked for at `asked` on.
    pub(super) fn begin(
        server: Server,
        book: BookName,
        token: u64,
        asked: Instant,
        duration: Duration,
    ) -> Result<Self, Cause> {
        let (orders, received) = mpsc::channel();
        let ownership = Self {
            token,
            duration,
            standing: Arc::new(Mutex::new(Standing {
                trusted: asked + lease::trust(duration),
                lost: None,
            })),
            orders,
        };
        let keeper = Keeper {
            server,
            book,
            connection: None,
            ownership: ownership.clone(),
        };
        thread::Builder::new()
            .name("lease".to_owned())
            .spawn(move || keeper.run(&received))?;
        Ok(ownership)
    }

    /// Renews the lease on a connection.
    pub(super) fn renew(&self, client: &mut Client, book: &BookName) -> Result<(), Renewal> {
        let asked = Instant::now();
        let answer = ask(client, book, &Ask::Renew(self.token), self.duration);
        match answer.map_err(Renewal::Failed)? {
            Ok(_) => {
                self.standing().trusted = asked + lease::trust(self.duration);
                Ok(())
            }
            Err(refused) => Err(Renewal::Lost(self.lose(refused.lease))),
        }
    }

    /// Notes to whom the book was lost.
    pub(super) fn lose(&self, lease: Lease) -> Lost {
        let lost = Lost {
            ours: self.token,
            lease,
        };
        self.standing().lost = Some(lost.clone());
        lost
    }

    /// Lets anybody have the book.
    pub(super) fn release(&self) {
        let (reply, answer) = mpsc::sync_channel(1);
        if self.orders.send(Order::Release(reply)).is_ok() {
            let _ = answer.recv_timeout(RELEASE_WITHIN);
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a lease was not renewed.
pub(super) enum Renewal {
    Lost(Lost),
    Failed(Cause),
}

/// Renews a lease from a thread and a connection of its own, so that neither a long computation
/// nor a slow batch lets it run out.
struct Keeper {
    server: Server,
    book: BookName,
    connection: Option<Connection>,
    ownership: Ownership,
}

impl Keeper {
    fn run(mut self, orders: &Receiver<Order>) {
        let pause = lease::renew_every(self.ownership.duration);
        let token = self.ownership.token;
        while self.ownership.lost().is_none() {
            match orders.recv_timeout(pause) {
                Ok(Order::HandOver(to, reply)) => {
                    let _ = reply.send(self.give(&Ask::HandOver(token, &to)));
                }
                Ok(Order::Release(reply)) => {
                    let _ = self.give(&Ask::Release(token));
                    let _ = reply.send(());
                    return;
                }
                Err(RecvTimeoutError::Timeout) => self.renew(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// A renewal that fails is tried again after the pause, on a new connection.
    fn renew(&mut self) {
        let ownership = self.ownership.clone();
        let book = self.book.clone();
        let renewed = self
            .connected()
            .and_then(|client| match ownership.renew(client, &book) {
                Err(Renewal::Failed(cause)) => Err(cause),
                Ok(()) | Err(Renewal::Lost(_)) => Ok(()),
            });
        if renewed.is_err() {
            self.connection = None;
        }
    }

    /// Gives the book away.
    fn give(&mut self, ask: &Ask<'_>) -> Result<Lease, Cause> {
        let (book, duration) = (self.book.clone(), self.ownership.duration);
        match self::ask(self.connected()?, &book, ask, duration)? {
            Ok(lease) => {
                self.ownership.lose(lease.clone());
                Ok(lease)
            }
            Err(refused) => Err(self.ownership.lose(refused.lease).into()),
        }
    }

    fn connected(&mut self) -> Result<&mut Client, Cause> {
        let connection = match self.connection.take() {
            Some(connection) if !connection.client.is_closed() => connection,
            _ => self.server.connect_to_write()?,
        };
        Ok(&mut self.connection.insert(connection).client)
    }
}
