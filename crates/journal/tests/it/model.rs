//! The lease protocol, model-checked: every order of events within bounds is tried.
//!
//! Nodes stop for as long as they like, are killed and start again, clocks advance at any moment,
//! a statement arrives late, after its sender gave it up, or its answer is lost, and owners renew,
//! hand over and release. The decisions are those of [`tandem_journal::lease`]; what is modelled
//! here is the database, which carries one statement out at a time, and the order in which a
//! writer does things.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use tandem_journal::lease::{self, Ask, Fate, Lease, Node};
use tandem_journal::{Batch, Hash};

/// A tick of the clock is a millisecond to the protocol.
const DURATION: Duration = Duration::from_millis(3);

const NODES: usize = 2;

/// A clock of a node may be slow: it loses up to this many ticks in the time of a lease.
const SLOW: u8 = 1;

/// What is wrong with the protocol, on purpose.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Batches are written whatever the token is.
    NoFence,
    /// The token is compared before the batch is written, and not in the same statement.
    NoLock,
    /// A lease is trusted from when it was granted, not from when it was asked for.
    TrustsTooLong,
    /// A commit without an answer is taken for one that did not happen.
    Guesses,
}

/// How far to go. Larger bounds give more of the same.
#[derive(Clone, Copy)]
struct Bounds {
    last_tick: u8,
    last_token: u8,
    batches: u8,
    statements_under_way: usize,
}

const SMALL: Bounds = Bounds {
    last_tick: 4,
    last_token: 3,
    batches: 2,
    statements_under_way: 2,
};

const LARGE: Bounds = Bounds {
    last_tick: 6,
    ..SMALL
};

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    /// The time, which is also the database's clock.
    now: u8,
    lease: Row,
    journal: Vec<Written>,
    /// Statements that were sent and are not carried out. They overtake each other.
    under_way: Vec<Message>,
    nodes: [Process; NODES],
    /// Batches made so far. Each stands for commands that must happen once.
    made: u8,
    /// Batches that were answered, with their places.
    answered: Vec<(u8, u8)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Row {
    owner: u8,
    token: u8,
    expires: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Written {
    id: u8,
    /// The batch before, by its writer.
    after: u8,
    token: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Message {
    from: u8,
    /// Whether the sender still waits for the answer.
    awaited: bool,
    statement: Statement,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Statement {
    Replace { seen: Row, by: Row },
    Insert { token: u8, batch: Draft },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Draft {
    seq: u8,
    id: u8,
    after: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Process {
    Stopped,
    Acquiring {
        asked: u8,
    },
    Owner {
        token: u8,
        /// The lease is trusted before this time.
        trusted: u8,
        /// The number of the last batch and the batch, once read.
        head: Option<(u8, u8)>,
        doing: Doing,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Doing {
    Nothing,
    Renewing { asked: u8 },
    Appending(Draft),
    Unclear(Draft),
    Confirming { asked: u8, batch: Draft },
}

fn node(at: u8) -> Node {
    Node {
        name: at.to_string(),
        address: String::new(),
    }
}

/// Has the protocol decide.
fn decide(row: Row, ask: &Ask<'_>, now: u8) -> Option<Row> {
    let lease = Lease {
        owner: node(row.owner),
        token: row.token.into(),
        expires: row.expires.into(),
    };
    let next = lease::decide(&lease, ask, now.into(), DURATION)?;
    Some(Row {
        owner: next.owner.name.parse().unwrap(),
        token: next.token as u8,
        expires: next.expires as u8,
    })
}

impl World {
    fn new() -> Self {
        Self {
            now: 1,
            // Nobody's.
            lease: Row {
                owner: 9,
                token: 0,
                expires: 0,
            },
            journal: Vec::new(),
            under_way: Vec::new(),
            nodes: [Process::Stopped; NODES],
            made: 0,
            answered: Vec::new(),
        }
    }

    /// Every world that can come next.
    fn next(&self, bounds: Bounds, fault: Fault) -> Vec<World> {
        let mut next = Vec::new();
        if self.now < bounds.last_tick {
            let mut world = self.clone();
            world.now += 1;
            next.push(world);
        }
        for at in 0..self.under_way.len() {
            let mut world = self.clone();
            let message = world.under_way.remove(at);
            let answer = world.carry_out(message.statement, fault);
            if message.awaited {
                // With the answer, or without.
                let mut answered = world.clone();
                answered.answer(message, answer, fault);
                next.push(answered);
                world.lose_answer(message.from);
            }
            next.push(world);
        }
        for at in 0..NODES as u8 {
            self.act(at, bounds, fault, &mut next);
        }
        next
    }

    /// The database carries a statement out; true if a row was written.
    fn carry_out(&mut self, statement: Statement, fault: Fault) -> bool {
        match statement {
            Statement::Replace { seen, by } => {
                let same = (self.lease.token, self.lease.expires) == (seen.token, seen.expires);
                if same {
                    self.lease = by;
                }
                same
            }
            Statement::Insert { token, batch } => {
                let fenced = match fault {
                    Fault::NoFence | Fault::NoLock => true,
                    _ => self.lease.token == token,
                };
                // A number that is taken is refused, by the primary key. Others leave no gap.
                let free = usize::from(batch.seq) == self.journal.len() + 1;
                if fenced && free {
                    self.journal.push(Written {
                        id: batch.id,
                        after: batch.after,
                        token,
                    });
                }
                fenced && free
            }
        }
    }

    fn answer(&mut self, message: Message, written: bool, fault: Fault) {
        let now = self.now;
        let trust = |asked: u8| {
            let from = if fault == Fault::TrustsTooLong {
                now
            } else {
                asked
            };
            from + lease::trust(DURATION).as_millis() as u8
        };
        let process = &mut self.nodes[usize::from(message.from)];
        match (process, message.statement, written) {
            (process @ Process::Acquiring { .. }, Statement::Replace { by, .. }, true) => {
                let Process::Acquiring { asked } = *process else {
                    return;
                };
                *process = Process::Owner {
                    token: by.token,
                    trusted: trust(asked),
                    head: None,
                    doing: Doing::Nothing,
                };
            }
            (
                Process::Owner {
                    trusted,
                    head,
                    doing,
                    ..
                },
                _,
                true,
            ) => {
                match *doing {
                    Doing::Renewing { asked } => *trusted = trust(asked),
                    Doing::Appending(batch) => {
                        *head = Some((batch.seq, batch.id));
                        self.answered.push((batch.seq, batch.id));
                    }
                    Doing::Confirming { asked, batch } => {
                        *trusted = trust(asked);
                        *head = Some((batch.seq, batch.id));
                        self.answered.push((batch.seq, batch.id));
                    }
                    Doing::Nothing | Doing::Unclear(_) => {}
                }
                *doing = Doing::Nothing;
            }
            // The number was taken: perhaps by an earlier attempt of ours.
            (Process::Owner { token, doing, .. }, Statement::Insert { batch, .. }, false)
                if self.lease.token == *token =>
            {
                *doing = Doing::Unclear(batch);
            }
            // The lease has changed since it was read; it is read again.
            (Process::Owner { token, doing, .. }, Statement::Replace { .. }, false)
                if self.lease.token == *token =>
            {
                *doing = match *doing {
                    Doing::Confirming { batch, .. } => Doing::Unclear(batch),
                    _ => Doing::Nothing,
                };
            }
            (process, _, _) => *process = Process::Stopped,
        }
    }

    /// A node learns that its connection is gone.
    fn lose_answer(&mut self, at: u8) {
        match &mut self.nodes[usize::from(at)] {
            Process::Owner { doing, .. } => {
                *doing = match *doing {
                    Doing::Appending(batch) | Doing::Confirming { batch, .. } => {
                        Doing::Unclear(batch)
                    }
                    _ => Doing::Nothing,
                }
            }
            process => *process = Process::Stopped,
        }
    }

    fn act(&self, at: u8, bounds: Bounds, fault: Fault, next: &mut Vec<World>) {
        let place = usize::from(at);
        let asked = self.now;
        let mut to = |process: Process, statement: Option<Statement>| {
            let mut world = self.clone();
            world.nodes[place] = process;
            for message in &mut world.under_way {
                // It waits for what it sends now, or for nothing.
                message.awaited &= message.from != at;
            }
            if let Some(statement) = statement {
                world.under_way.push(Message {
                    from: at,
                    awaited: true,
                    statement,
                });
            }
            if let Process::Owner {
                doing: Doing::Appending(batch),
                ..
            } = process
            {
                world.made = world.made.max(batch.id);
            }
            world.under_way.sort();
            next.push(world);
        };
        let replace = |by| {
            Some(Statement::Replace {
                seen: self.lease,
                by,
            })
        };
        let waits = self
            .under_way
            .iter()
            .any(|message| message.awaited && message.from == at);
        let may_send = self.under_way.len() < bounds.statements_under_way;
        let process = self.nodes[place];

        // It is killed, and what it waited for is lost with it.
        if process != Process::Stopped {
            to(Process::Stopped, None);
        }
        if waits {
            // It loses the connection; the statement is still under way.
            let mut world = self.clone();
            for message in &mut world.under_way {
                message.awaited &= message.from != at;
            }
            world.under_way.sort();
            world.lose_answer(at);
            next.push(world);
            return;
        }
        match process {
            Process::Owner { token, .. } if fault == Fault::NoLock && token != self.lease.token => {
            }
            Process::Stopped if may_send => {
                let by = decide(self.lease, &Ask::Acquire(&node(at)), self.now);
                if let Some(by) = by.filter(|by| by.token <= bounds.last_token) {
                    to(Process::Acquiring { asked }, replace(by));
                }
            }
            Process::Stopped | Process::Acquiring { .. } => {}
            Process::Owner {
                token,
                trusted,
                head,
                doing,
            } => {
                let own = |head, doing| Process::Owner {
                    token,
                    trusted,
                    head,
                    doing,
                };
                let insert = |batch| {
                    let appending = own(head, Doing::Appending(batch));
                    (appending, Some(Statement::Insert { token, batch }))
                };
                match (doing, head) {
                    (Doing::Nothing, None) => to(own(Some(self.end()), doing), None),
                    (Doing::Nothing, Some((seq, last))) if may_send => {
                        if self.made < bounds.batches {
                            let (process, statement) = insert(Draft {
                                seq: seq + 1,
                                id: self.made + 1,
                                after: last,
                            });
                            to(process, statement);
                        }
                        match decide(self.lease, &Ask::Renew(token.into()), self.now) {
                            Some(by) => to(own(head, Doing::Renewing { asked }), replace(by)),
                            None => to(Process::Stopped, None),
                        }
                        let other = node((at + 1) % NODES as u8);
                        for ask in [
                            Ask::HandOver(token.into(), &other),
                            Ask::Release(token.into()),
                        ] {
                            let by = decide(self.lease, &ask, self.now);
                            if let Some(by) = by.filter(|by| by.token <= bounds.last_token) {
                                // It trusts the lease no more, whatever the answer is.
                                to(Process::Stopped, replace(by));
                            }
                        }
                    }
                    (Doing::Unclear(batch), _) if may_send => {
                        if fault == Fault::Guesses {
                            let (seq, after) = self.end();
                            let seq = seq + 1;
                            let (process, statement) = insert(Draft {
                                seq,
                                after,
                                ..batch
                            });
                            to(process, statement);
                            return;
                        }
                        match self.fate(batch) {
                            Fate::Absent => {
                                let (process, statement) = insert(batch);
                                to(process, statement);
                            }
                            Fate::Written => {
                                let confirming = Doing::Confirming { asked, batch };
                                match decide(self.lease, &Ask::Renew(token.into()), self.now) {
                                    Some(by) => to(own(head, confirming), replace(by)),
                                    None => to(Process::Stopped, None),
                                }
                            }
                            Fate::Replaced | Fate::TailLost => to(Process::Stopped, None),
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// The number of the last batch, and the batch.
    fn end(&self) -> (u8, u8) {
        let last = self.journal.last().map_or(0, |batch| batch.id);
        (self.journal.len() as u8, last)
    }

    fn fate(&self, draft: Draft) -> Fate {
        let hash = |id: u8| Hash([id; 32]);
        let found = |seq: usize| Some(hash(self.journal.get(seq.checked_sub(1)?)?.id));
        let batch = Batch {
            seq: draft.seq.into(),
            prev: hash(draft.after),
            hash: hash(draft.id),
            events: 0,
            body: Vec::new(),
        };
        lease::fate(
            &batch,
            found(usize::from(draft.seq) - 1),
            found(draft.seq.into()),
        )
    }

    /// What is wrong with this world, if anything.
    fn wrong(&self) -> Option<&'static str> {
        let mut before = Written {
            id: 0,
            after: 0,
            token: 0,
        };
        let mut ids = HashSet::new();
        for &batch in &self.journal {
            if batch.after != before.id {
                return Some("a batch does not continue the one before");
            }
            if batch.token < before.token {
                return Some("a former owner wrote after its successor");
            }
            if !ids.insert(batch.id) {
                return Some("a batch is in the journal twice");
            }
            before = batch;
        }
        for &(seq, id) in &self.answered {
            if self.journal.get(usize::from(seq) - 1).map(|batch| batch.id) != Some(id) {
                return Some("a batch that was answered is not there");
            }
        }
        for process in &self.nodes {
            let Process::Owner {
                token,
                trusted,
                head,
                doing,
            } = *process
            else {
                continue;
            };
            let owns = self.lease.token == token;
            if !owns && self.now < trusted + SLOW {
                return Some("a node trusts a lease that another has");
            }
            if owns && doing == Doing::Nothing && head.is_some_and(|head| head != self.end()) {
                return Some("an owner does not know the end of the journal");
            }
        }
        None
    }

    /// Whether any node can own the book and write it, once it is left alone for long enough.
    fn can_go_on(&self) -> bool {
        let mut world = self.clone();
        for message in std::mem::take(&mut world.under_way) {
            world.carry_out(message.statement, Fault::None);
        }
        world.now = world.now.max(world.lease.expires);
        (0..NODES as u8).all(|at| {
            let mut world = world.clone();
            let Some(by) = decide(world.lease, &Ask::Acquire(&node(at)), world.now) else {
                return false;
            };
            let seen = world.lease;
            let owned = world.carry_out(Statement::Replace { seen, by }, Fault::None);
            let (seq, after) = world.end();
            let (seq, id, token) = (seq + 1, world.made + 1, by.token);
            let batch = Draft { seq, id, after };
            owned && world.carry_out(Statement::Insert { token, batch }, Fault::None)
        })
    }
}

/// Tries everything; the number of worlds, or what is wrong in the nearest bad one.
fn check(bounds: Bounds, fault: Fault) -> Result<usize, &'static str> {
    let mut seen = HashSet::from([World::new()]);
    let mut queue = VecDeque::from([World::new()]);
    while let Some(world) = queue.pop_front() {
        if let Some(wrong) = world.wrong() {
            return Err(wrong);
        }
        if !world.can_go_on() {
            return Err("nobody can take over");
        }
        for next in world.next(bounds, fault) {
            if !seen.contains(&next) {
                seen.insert(next.clone());
                queue.push_back(next);
            }
        }
    }
    Ok(seen.len())
}

#[test]
fn the_lease_protocol_holds_in_every_order_of_events() {
    let worlds = check(SMALL, Fault::None).unwrap();
    println!("{worlds} worlds");
    assert!(
        worlds > 100_000,
        "{worlds} worlds are too few to mean anything"
    );
}

#[test]
#[ignore = "takes a minute; `cargo xtask failover` runs it"]
fn the_lease_protocol_holds_for_longer() {
    println!("{} worlds", check(LARGE, Fault::None).unwrap());
}

#[test]
fn planted_faults_are_found() {
    for (fault, found) in [
        (
            Fault::NoFence,
            "an owner does not know the end of the journal",
        ),
        (
            Fault::NoLock,
            "an owner does not know the end of the journal",
        ),
        (
            Fault::TrustsTooLong,
            "a node trusts a lease that another has",
        ),
        (Fault::Guesses, "a batch is in the journal twice"),
    ] {
        assert_eq!(check(SMALL, fault), Err(found));
    }
}
