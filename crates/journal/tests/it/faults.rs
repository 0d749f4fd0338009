//! Servers that stop, crash and are replaced while a load runs: what was acknowledged is there,
//! once, and the load goes on by itself.
//!
//! `cargo xtask failover` runs more rounds than the tests do.

use std::collections::HashSet;
use std::env;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tandem_journal::postgres::Server;
use tandem_journal::{Hash, Journal, JournalError, Postgres};
use tandem_pgtest as pgtest;

use crate::postgres::writer;
use crate::{append, demo};

/// How often to let a server die; more with `cargo xtask failover`.
fn rounds() -> u64 {
    let rounds = env::var("TANDEM_FAILOVER_ROUNDS").ok();
    rounds.map_or(1, |rounds| rounds.parse().unwrap())
}

/// A client that appends numbered events as fast as it can, from a thread of its own, and keeps
/// what was acknowledged.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Receiver<Acknowledged>,
    thread: JoinHandle<Result<(), JournalError>>,
    list: Vec<Acknowledged>,
}

struct Acknowledged {
    /// The event, which is the number of the attempt.
    event: u64,
    seq: u64,
    hash: Hash,
    at: Instant,
}

impl Load {
    fn start(server: &Server, head_file: &Path) -> Self {
        let writer = writer("load", head_file);
        let mut journal =
            Journal::open(Postgres::create(server, &demo(), &writer).unwrap()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, acknowledged) = mpsc::channel();
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            for event in 0u64.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let head = append(&mut journal, &[&event.to_le_bytes()])?;
                let (seq, hash, at) = (head.seq, head.hash, Instant::now());
                let _ = sender.send(Acknowledged {
                    event,
                    seq,
                    hash,
                    at,
                });
            }
            Ok(())
        });
        Self {
            stop,
            acknowledged,
            thread,
            list: Vec::new(),
        }
    }

    /// Waits for an acknowledgement after a moment.
    fn goes_on(&mut self, after: Instant) {
        let wait = Duration::from_secs(60);
        loop {
            let Ok(next) = self.acknowledged.recv_timeout(wait) else {
                panic!("the load ended: {:?}", self.stopped());
            };
            let at = next.at;
            self.list.push(next);
            if at > after {
                return;
            }
        }
    }

    /// Lets the load run for a while.
    fn runs(&mut self) {
        self.goes_on(Instant::now() + Duration::from_millis(300));
    }

    /// Has something happen; the longest time without an acknowledgement around it.
    fn survives(&mut self, event: impl FnOnce()) -> Duration {
        self.runs();
        let before = self.list.len() - 1;
        event();
        self.goes_on(Instant::now());
        self.runs();
        let pairs = self.list[before..].windows(2);
        let pauses = pairs.map(|pair| pair[1].at - pair[0].at);
        pauses.max().expect("there are two at least")
    }

    fn stopped(&mut self) -> Option<String> {
        let idle = thread::spawn(|| Ok(()));
        let ended = std::mem::replace(&mut self.thread, idle).join().unwrap();
        self.list.extend(self.acknowledged.try_iter());
        ended.err().map(|error| error.to_string())
    }

    /// Stops the load and compares its list with the journal.
    fn finish(mut self, what: &str, server: &Server, head_file: &Path, times: &[Duration]) {
        self.stop.store(true, Ordering::Relaxed);
        assert_eq!(self.stopped(), None);
        let store = Postgres::open(server, &demo(), &writer("check", head_file)).unwrap();
        let mut journal = Journal::open(store).unwrap();
        let mut found = Vec::new();
        let genesis = journal.genesis();
        // Reading verifies the chain.
        let read = journal.read(genesis, |batch| {
            let event = batch.events().next().unwrap()?;
            found.push((u64::from_le_bytes(event.try_into().unwrap()), batch.hash));
            Ok::<(), JournalError>(())
        });
        read.unwrap();
        let there =
            |one: &&Acknowledged| found.get(one.seq as usize - 1) == Some(&(one.event, one.hash));
        let lost = self.list.len() - self.list.iter().filter(there).count();
        let once: HashSet<u64> = found.iter().map(|(event, _)| *event).collect();
        let doubled = found.len() - once.len();
        let slowest = times.iter().max().unwrap();
        let mean = times.iter().sum::<Duration>() / times.len() as u32;
        println!(
            "{what}: {} times, load pauses for {mean:.2?} ({slowest:.2?} at most); \
             acknowledged {}, found {}, lost {lost}, doubled {doubled}",
            times.len(),
            self.list.len(),
            found.len(),
        );
        assert_eq!((lost, doubled), (0, 0));
        assert!(self.list.len() > times.len());
    }
}

#[test]
fn a_server_that_crashes_loses_nothing() {
    let Some(server) = pgtest::Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let head_file = folder.path().join("head");
    let address: Server = pgtest::address(&[&server], &server.schema())
        .parse()
        .unwrap();
    let mut load = Load::start(&address, &head_file);
    let mut times = Vec::new();
    for _ in 0..2 * rounds() {
        times.push(load.survives(|| {
            server.crash();
            server.restart();
        }));
    }
    load.finish("server stopped and restarted", &address, &head_file, &times);

    server.configure("fsync = off");
    server.restart();
    let refused = Postgres::open(&address, &demo(), &writer("check", &head_file));
    let told = refused.unwrap_err().to_string();
    assert!(
        told.contains("the server runs with fsync = off, so it may lose"),
        "{told}"
    );
}

#[test]
fn a_promoted_standby_loses_nothing() {
    let Some(mut primary) = pgtest::Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let schema = primary.schema();
    for round in 0..rounds() {
        let standby = primary.synchronous_standby();
        let address: Server = pgtest::address(&[&primary, &standby], &schema)
            .parse()
            .unwrap();
        let head_file = folder.path().join(format!("head{round}"));
        let mut load = Load::start(&address, &head_file);
        let time = load.survives(|| {
            primary.kill();
            standby.configure("synchronous_standby_names = ''");
            standby.promote();
        });
        load.finish(
            "primary killed and standby promoted",
            &address,
            &head_file,
            &[time],
        );
        primary = standby;
        primary.sql(&schema, "DROP TABLE tandem_book, tandem_batch");
    }
}

#[test]
fn a_batch_that_no_standby_has_is_not_acknowledged() {
    let Some(server) = pgtest::Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (schema, head_file) = (server.schema(), folder.path().join("head"));
    let address: Server = pgtest::address(&[&server], &schema).parse().unwrap();
    let store = Postgres::create(&address, &demo(), &writer("a", &head_file)).unwrap();
    let mut journal = Journal::open(store).unwrap();
    append(&mut journal, &[b"first"]).unwrap();
    // Now a standby is asked for that does not exist, and the wait for it is given up by somebody.
    server.configure("synchronous_standby_names = 'nobody'");
    server.sql(&schema, "SELECT pg_reload_conf()");
    let waiting = thread::spawn(move || append(&mut journal, &[b"second"]));
    let cancel = format!(
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity
         WHERE wait_event = 'SyncRep' AND query LIKE '%tandem_batch%' AND application_name = '{schema}'"
    );
    while server.sql(&schema, &cancel).trim() == "0" {
        thread::sleep(Duration::from_millis(50));
    }
    let told = waiting.join().unwrap().unwrap_err().to_string();
    assert!(
        told.contains(
            "cannot write batch 2: the server confirmed the batch with a warning, so it may not be \
             durable: canceling wait for synchronous replication due to user request"
        ),
        "{told}"
    );
}
