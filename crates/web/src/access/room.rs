//! Room that parties share: for bodies that are under way, and for reads of the books' files. No party
//! can take what others need.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::api::Api;
use crate::problem::{self, Problem};
use crate::trace;

/// Bytes that the bodies of all calls under way may have.
const BODIES: usize = 512 << 20;
/// Bytes of these that one party's may have.
const BODIES_OF_ONE: usize = BODIES / 4;
/// Bytes that a call counts with at least: what it takes beside its body.
const CALL: usize = 16 << 10;

/// Reads of one party that are carried out at the same time.
const READS: usize = 4;
/// Reads of one party that may wait for their turn beside them.
const WAITING: usize = 60;

/// Room for bodies. Whoever comes when it is used up is told to come again.
pub(crate) struct Room {
    all: usize,
    of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_party: HashMap<String, usize>,
}

impl Default for Room {
    fn default() -> Room {
        Room::of(BODIES, BODIES_OF_ONE)
    }
}

impl Room {
    /// Room for so many bytes, and so many of one party.
    pub(crate) fn of(all: usize, of_one: usize) -> Room {
        Room {
            all,
            of_one,
            taken: Mutex::default(),
        }
    }

    /// Room for a call of a party whose body may have so many bytes, until it is given back.
    pub(crate) fn take(&self, party: &str, bytes: usize) -> Result<Place<'_>, Problem> {
        let bytes = bytes.max(CALL);
        let Taken { all, by_party } = &mut *self.taken();
        let own = by_party.entry(party.to_owned()).or_default();
        if *own + bytes > self.of_one {
            let most = self.of_one >> 20;
            return Err(busy(format!(
                "the bodies of party {party}'s calls under way take the {most} MiB that it has: come \
                 again in a second"
            )));
        }
        if *all + bytes > self.all {
            return Err(busy("too many calls are under way; come again in a second"));
        }
        *all += bytes;
        *own += bytes;
        Ok(Place {
            room: self,
            party: party.to_owned(),
            bytes,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room that is taken.
pub(crate) struct Place<'a> {
    room: &'a Room,
    party: String,
    bytes: usize,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        taken.all -= self.bytes;
        if let Some(own) = taken.by_party.get_mut(&self.party) {
            *own -= self.bytes;
        }
    }
}

fn busy(detail: impl Into<String>) -> Problem {
    Problem {
        retry_after: Some(1),
        ..Problem::new(problem::UNAVAILABLE, detail)
    }
}

/// Reads that look through a book's file, each on a thread of its own, so that nobody else waits for
/// them.
#[derive(Default)]
pub(crate) struct Reads(Mutex<HashMap<String, Arc<Turns>>>);

struct Turns {
    asked: Semaphore,
    running: Arc<Semaphore>,
}

impl Reads {
    /// Carries out a read of a party, when it is its turn.
    pub(crate) async fn apart<F>(&self, party: &str, read: F) -> Result<F::Output, Problem>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let turns = self.of(party);
        let _asked = turns.asked.try_acquire().map_err(|_| {
            busy(format!(
                "{} reads of party {party} are under way: come again in a second",
                READS + WAITING
            ))
        })?;
        let turn = Arc::clone(&turns.running).acquire_owned().await;
        let turn = turn.map_err(|error| Api::failed(&error))?;
        let (read, runtime) = (trace::carried(read), Handle::current());
        // A caller who goes gives the turn back only when its read has ended.
        let read = spawn_blocking(move || {
            let _turn = turn;
            runtime.block_on(read)
        });
        read.await.map_err(|error| Api::failed(&error))
    }

    fn of(&self, party: &str) -> Arc<Turns> {
        let mut parties = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turns = parties.entry(party.to_owned()).or_insert_with(|| {
            Arc::new(Turns {
                asked: Semaphore::new(READS + WAITING),
                running: Arc::new(Semaphore::new(READS)),
            })
        });
        Arc::clone(turns)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_party_has_its_share_and_all_together_have_an_end() {
        let room = Room::of(100 * CALL, 40 * CALL);
        let said = |taken: Result<Place<'_>, Problem>| {
            taken.err().map(|problem| (problem.status, problem.detail))
        };
        let first = room.take("river", 39 * CALL).unwrap();
        // A body of nothing counts too.
        let _second = room.take("river", 0).unwrap();
        let full = "the bodies of party river's calls under way take the 0 MiB that it has: come \
                    again in a second";
        assert_eq!(said(room.take("river", 1)), Some((503, full.to_owned())));
        let _cloud = room.take("cloud", 40 * CALL).unwrap();
        let _bazaar = room.take("bazaar", 20 * CALL).unwrap();
        let full = "too many calls are under way; come again in a second";
        assert_eq!(said(room.take("harbour", 1)), Some((503, full.to_owned())));
        drop(first);
        assert_eq!(said(room.take("harbour", 39 * CALL)), None);
        assert_eq!(said(room.take("river", 39 * CALL)), None);
    }

    #[tokio::test]
    async fn reads_of_one_party_wait_and_others_do_not() {
        let reads = Arc::new(Reads::default());
        let (done, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let slow = |party: &'static str| {
            let (reads, wait) = (Arc::clone(&reads), Arc::clone(&wait));
            tokio::spawn(async move {
                let read = async move { wait.lock().unwrap().recv().is_ok() };
                reads.apart(party, read).await
            })
        };
        let under_way: Vec<_> = (0..READS + WAITING).map(|_| slow("river")).collect();
        let asked = || reads.of("river").asked.available_permits();
        while asked() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let refused = reads.apart("river", async {}).await.unwrap_err();
        assert_eq!(
            (refused.status, refused.detail.as_str(), refused.retry_after),
            (
                503,
                "64 reads of party river are under way: come again in a second",
                Some(1)
            )
        );
        assert_eq!(reads.apart("cloud", async { 7 }).await.unwrap(), 7);
        // Callers who go give their places back, but what runs goes on to its end.
        let (running, waiting) = under_way.split_at(READS);
        waiting.iter().for_each(|read| read.abort());
        while asked() != WAITING {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running.iter().for_each(|read| read.abort());
        while asked() != READS + WAITING {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(reads.of("river").running.available_permits(), 0);
        for _ in 0..READS {
            done.send(()).unwrap();
        }
        assert_eq!(reads.apart("river", async { 7 }).await.unwrap(), 7);
    }
}
