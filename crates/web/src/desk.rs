//! A book at work: who writes it, what is asked of it, and what can be seen of it.
//!
//! Each book has a thread that owns it if it can, and follows its owner otherwise:
//!
//! ```text
//!  callers ──► bounded queue ──► desk's thread ──► writer ──► journal
//!                                                    │ durable
//!  callers ◄── answers ◄── reader (a replica and its rows) ◄─┘
//! ```

use std::iter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tandem_domain::book::{Answer, Book, Command, Documents, Refusal};
use tandem_engine::{Client, EngineError, Origin, Request, Writer, Written};
use tandem_journal::lease::Node;
use tandem_journal::{Journal, Store};
use tokio::sync::{oneshot, watch};

use crate::api::Deciders;
use crate::problem::{self, Problem};
use crate::read::Reader;
use crate::trace::{self, Stage};

/// Any store of a journal.
pub type AnyStore = Box<dyn Store + Send>;

/// Callers that may wait for the writer; more are told to come again.
const QUEUE: usize = 1_024;

/// Commands that go to the writer together, at the most.
const TOGETHER: usize = 1_024;

/// Requests between desk and writer.
const REQUESTS: usize = 4;

/// Parcels for the reader.
const PARCELS: usize = 64;

/// Commands go to the writer this often at the most: what comes between is written and flushed
/// together. A call that comes after a pause waits for nobody.
pub(crate) const PACE: Duration = Duration::from_millis(4);

/// How often the desk looks up from an empty queue.
const TICK: Duration = Duration::from_millis(50);

/// How often a book is looked at that another node owns.
const FOLLOW: Duration = Duration::from_millis(250);

/// How often a snapshot is written, if there is something new.
const SNAPSHOT: Duration = Duration::from_secs(900);

/// Where a book's journal is.
pub trait Source: Send + 'static {
    /// Opens the journal for writing, and makes it if it is not there.
    fn own(&self) -> Result<Owned, NotOwned>;

    /// Opens the journal for reading.
    fn read(&self) -> Result<Journal<AnyStore>, String>;
}

/// A journal that this process may write.
pub struct Owned {
    /// The journal.
    pub journal: Journal<AnyStore>,
    /// The lease, where there can be several nodes.
    pub lease: Option<Box<dyn Lease>>,
}

/// A lease of a book.
pub trait Lease: Send {
    /// To whom it was lost, once that is known.
    fn lost(&self) -> Option<Node>;

    /// Lets another node have the book.
    fn hand_over(&self, to: &Node) -> Result<(), String>;
}

/// Why this process may not write a journal.
#[derive(Debug)]
pub enum NotOwned {
    /// Another node owns it.
    By(Node),
    /// Something is wrong, in words.
    Failed(String),
}

/// What this process is for a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Not known yet.
    Opening,
    /// It writes the book.
    Owner,
    /// It follows the owner.
    Standby(Node),
    /// It has stopped, and why.
    Stopped(String),
}

/// What a desk needs to begin.
pub struct Setup {
    /// Where the journal is.
    pub source: Box<dyn Source>,
    /// File for rows, made if it is not there.
    pub rows: PathBuf,
    /// Folder for snapshots.
    pub snapshots: PathBuf,
    /// What is signed if the book has nothing newer.
    pub documents: Documents,
}

/// Commands, and whom to answer.
struct Job {
    commands: Vec<Command>,
    origin: Option<Origin>,
    reply: oneshot::Sender<Carried>,
}

/// What became of a job, when it went to the writer, and when it was durable.
struct Carried {
    answers: Answers,
    sent: Instant,
    durable: Instant,
}

/// What the reader is handed, in this order.
enum Parcel {
    /// Events, to take in.
    Written(Written),
    /// Answers, to give once their events can be seen.
    Answered(Vec<(oneshot::Sender<Carried>, Carried)>),
}

/// What became of commands, in their order.
pub type Answers = Vec<Result<Answer, Refusal>>;

/// A book at work.
pub struct Desk {
    name: String,
    snapshots: PathBuf,
    reader: Arc<Reader>,
    role: watch::Sender<Role>,
    jobs: SyncSender<Job>,
    orders: SyncSender<Order>,
    deciders: OnceLock<Deciders>,
    stop: AtomicBool,
}

/// That another node is to have the book.
struct Order {
    to: Node,
    reply: oneshot::Sender<Result<(), String>>,
}

/// How owning a book ended.
enum End {
    Stopped,
    Lost,
    Given(Order),
    Failed(String),
}

impl Desk {
    /// Opens a book and puts it to work; what is wrong is said in words.
    pub fn open(setup: Setup) -> Result<(Arc<Desk>, JoinHandle<()>), String> {
        let mut owned = match setup.source.own() {
            Ok(owned) => Some(owned),
            Err(NotOwned::By(_)) => None,
            Err(NotOwned::Failed(message)) => return Err(message),
        };
        // A file has one user at a time, so its owner reads it through the journal that it owns.
        let mut read = match owned {
            Some(_) => None,
            None => Some(setup.source.read()?),
        };
        let journal = owned.as_mut().map(|owned| &mut owned.journal);
        let journal = journal.or(read.as_mut()).expect("it is one or the other");
        let name = journal.book().to_string();
        let opened = Reader::open(&setup.rows, journal, &setup.snapshots);
        let (reader, unusable) = opened.map_err(|error| error.to_string())?;
        for error in unusable {
            tracing::warn!("{error}; what it was to spare is read from the journal");
        }
        let (jobs, waiting) = sync_channel(QUEUE);
        let (orders, ordered) = sync_channel(1);
        let desk = Arc::new(Desk {
            name,
            snapshots: setup.snapshots.clone(),
            reader: Arc::new(reader),
            role: watch::Sender::new(Role::Opening),
            jobs,
            orders,
            deciders: OnceLock::new(),
            stop: AtomicBool::new(false),
        });
        let working = Working {
            desk: desk.clone(),
            setup,
            waiting,
            ordered,
        };
        let thread = thread::Builder::new().name(format!("desk {}", desk.name));
        let thread = thread.spawn(move || working.run(owned));
        Ok((desk, thread.map_err(|error| error.to_string())?))
    }

    /// Name of the book, which is the agreement's id.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Folder of the book's snapshots.
    pub(crate) fn snapshots(&self) -> &Path {
        &self.snapshots
    }

    /// Has lenders decide by services of their own; once, before the first application.
    pub fn decide_by(&self, deciders: Deciders) {
        self.deciders.get_or_init(|| deciders);
    }

    /// The lenders that decide by services of their own.
    pub(crate) fn deciders(&self) -> Option<&Deciders> {
        self.deciders.get()
    }

    /// What can be seen of the book.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// What this process is for the book.
    pub fn role(&self) -> Role {
        self.role.borrow().clone()
    }

    /// Tells when the role changes.
    pub fn roles(&self) -> watch::Receiver<Role> {
        self.role.subscribe()
    }

    /// Looks at the book as far as it is durable.
    pub fn look<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        self.reader.look(look)
    }

    /// Has commands carried out in order, with nobody else's between them, and waits until they
    /// are durable and can be seen.
    pub async fn submit(&self, commands: Vec<Command>) -> Result<Answers, Problem> {
        self.must_own()?;
        let (reply, carried) = oneshot::channel();
        let queued = Instant::now();
        let place = |party: &str| self.look(|book| book.latest()?.agreement.party_id(party));
        let job = Job {
            commands,
            origin: trace::to_keep(place).map(Origin::from),
            reply,
        };
        match self.jobs.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                let message = "too many calls wait for this book; come again in a second";
                return Err(Problem {
                    retry_after: Some(1),
                    ..Problem::new(problem::UNAVAILABLE, message)
                });
            }
            Err(TrySendError::Disconnected(_)) => return Err(self.stopped()),
        }
        let carried = carried.await.map_err(|_| self.stopped())?;
        let Carried { sent, durable, .. } = carried;
        trace::note(Stage::Queue, queued, sent);
        trace::note(Stage::Append, sent, durable);
        trace::note(Stage::Seen, durable, Instant::now());
        Ok(carried.answers)
    }

    /// Has one command carried out.
    pub async fn execute(&self, command: Command) -> Result<Answer, Problem> {
        let answers = self.submit(vec![command]).await?;
        let answer = answers.into_iter().next().ok_or_else(|| self.stopped())?;
        answer.map_err(Problem::from)
    }

    /// Lets another node have the book.
    pub async fn hand_over(&self, to: Node) -> Result<(), Problem> {
        self.must_own()?;
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.try_send(Order { to, reply });
        sent.map_err(|_| self.stopped())?;
        let answer = answer.await.map_err(|_| self.stopped())?;
        answer.map_err(|message| Problem::new(problem::STATE, message))
    }

    /// Has the thread write what waits, and end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    fn must_own(&self) -> Result<(), Problem> {
        match &*self.role.borrow() {
            Role::Owner => Ok(()),
            Role::Standby(node) => {
                let name = &node.name;
                let message = format!(
                    "book `{}` is owned by node `{name}`; send it there",
                    self.name
                );
                Err(Problem {
                    owner: Some(node.address.clone()),
                    retry_after: Some(1),
                    ..Problem::new(problem::NOT_OWNER, message)
                })
            }
            Role::Opening | Role::Stopped(_) => Err(self.stopped()),
        }
    }

    fn stopped(&self) -> Problem {
        let message = format!(
            "book `{}` takes no calls at the moment; whether this one was carried out is told by \
             sending it again with the same key",
            self.name
        );
        Problem {
            retry_after: Some(2),
            ..Problem::new(problem::UNAVAILABLE, message)
        }
    }

    fn become_role(&self, role: Role) {
        tracing::info!(book = self.name, ?role, "role");
        self.role.send_replace(role);
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// The desk's thread.
struct Working {
    desk: Arc<Desk>,
    setup: Setup,
    waiting: Receiver<Job>,
    ordered: Receiver<Order>,
}

impl Working {
    fn run(self, mut owned: Option<Owned>) {
        let mut journal = None;
        while !self.desk.is_stopping() {
            let mine = owned.take().map_or_else(|| self.setup.source.own(), Ok);
            let end = match mine {
                Ok(owned) => {
                    journal = None;
                    self.own(owned)
                }
                Err(NotOwned::By(node)) => self.follow(node, &mut journal),
                Err(NotOwned::Failed(message)) => End::Failed(message),
            };
            match end {
                End::Stopped => break,
                End::Lost | End::Given(_) => {}
                End::Failed(message) => {
                    self.desk.become_role(Role::Stopped(message));
                    return;
                }
            }
        }
        self.desk
            .become_role(Role::Stopped("it was stopped".to_owned()));
    }

    /// Follows the owner for a while.
    fn follow(&self, node: Node, journal: &mut Option<Journal<AnyStore>>) -> End {
        let role = Role::Standby(node);
        if self.desk.role() != role {
            self.desk.become_role(role);
        }
        // Whoever asked too late is told so.
        self.waiting.try_iter().for_each(drop);
        // A server that does not answer may do so later.
        let mut read = || -> Result<Journal<AnyStore>, String> {
            let mut journal = journal
                .take()
                .map_or_else(|| self.setup.source.read(), Ok)?;
            journal.refresh().map_err(|error| error.to_string())?;
            Ok(journal)
        };
        match read() {
            Ok(mut read) => {
                if let Err(error) = self.desk.reader.follow(&mut read) {
                    return End::Failed(error.to_string());
                }
                *journal = Some(read);
            }
            Err(message) => tracing::warn!("{message}"),
        }
        thread::sleep(FOLLOW);
        End::Lost
    }

    fn own(&self, owned: Owned) -> End {
        let Owned { mut journal, lease } = owned;
        let reader = &self.desk.reader;
        if let Err(error) = reader.follow(&mut journal) {
            return End::Failed(error.to_string());
        }
        let engine = match reader.engine(journal) {
            Ok(engine) => engine,
            Err(error) => return End::Failed(error.to_string()),
        };
        let (parcels, arrived) = sync_channel(PARCELS);
        let reading = thread::Builder::new().name("reader".to_owned()).spawn({
            let reader = reader.clone();
            move || read(&reader, &arrived)
        });
        let observe = {
            let parcels = parcels.clone();
            move |written| {
                // A reader that has failed takes nothing; the desk notices.
                let _ = parcels.send(Parcel::Written(written));
            }
        };
        let (reading, writer) = match (reading, Writer::observed(engine, REQUESTS, observe)) {
            (Ok(reading), Ok(writer)) => (reading, writer),
            (Err(error), _) => return End::Failed(error.to_string()),
            (_, Err(error)) => return End::Failed(error.to_string()),
        };
        let mut client = writer.client();
        let end = self.serve(&mut client, parcels, lease.as_deref(), &reading);
        let stopped = writer.stop();
        let read = reading.join();
        let mut engine = match stopped {
            Ok(engine) => engine,
            Err(error) => return self.ended(&error, lease.as_deref()),
        };
        if let Ok(Err(message)) = read {
            return End::Failed(message);
        }
        match end {
            End::Stopped => {
                if let Err(error) = engine.snapshot(self.desk.snapshots()) {
                    tracing::warn!("no snapshot was written: {error}");
                }
                End::Stopped
            }
            End::Given(Order { to, reply }) => {
                let given = lease.as_deref().map(|lease| lease.hand_over(&to));
                let alone = || Err("the book is in a file of this node alone".to_owned());
                // Nobody receives it if the caller is gone.
                let _ = reply.send(given.unwrap_or_else(alone));
                End::Lost
            }
            end => end,
        }
    }

    /// How it goes on after the writer failed: a lost lease is no failure.
    fn ended(&self, error: &EngineError, lease: Option<&dyn Lease>) -> End {
        match lease.and_then(Lease::lost) {
            Some(node) => {
                tracing::warn!("book `{}` was lost to {node}: {error}", self.desk.name);
                End::Lost
            }
            None => End::Failed(error.to_string()),
        }
    }

    /// Passes on what callers ask until the book is given away or the desk is stopped.
    fn serve(
        &self,
        client: &mut Client,
        parcels: SyncSender<Parcel>,
        lease: Option<&dyn Lease>,
        reading: &JoinHandle<Result<(), String>>,
    ) -> End {
        if let Err(end) = self.begin(client) {
            return end;
        }
        self.desk.become_role(Role::Owner);
        let mut last = (Instant::now(), self.desk.reader.head());
        let mut sent = Instant::now();
        loop {
            if self.desk.is_stopping() {
                return End::Stopped;
            }
            if reading.is_finished() {
                return End::Failed("the reader has ended".to_owned());
            }
            if lease.is_some_and(|lease| lease.lost().is_some()) {
                return End::Lost;
            }
            if let Ok(order) = self.ordered.try_recv() {
                return End::Given(order);
            }
            let first = match self.waiting.recv_timeout(TICK) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    let (at, head) = last;
                    if at.elapsed() > SNAPSHOT && head != self.desk.reader.head() {
                        last = (Instant::now(), self.desk.reader.head());
                        self.snapshot(client.clone());
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return End::Stopped,
            };
            thread::sleep(PACE.saturating_sub(sent.elapsed()));
            let mut request = Request::default();
            let mut replies = Vec::new();
            let mut next = Some(first);
            while let Some(mut job) = next {
                let count = job.commands.len();
                request.commands.append(&mut job.commands);
                request.origins.extend(iter::repeat_n(job.origin, count));
                replies.push((count, job.reply));
                next = match request.commands.len() < TOGETHER {
                    true => self.waiting.try_recv().ok(),
                    false => None,
                };
            }
            sent = Instant::now();
            client.send(request);
            // When the writer has failed, dropping the replies tells the callers.
            let Some(Ok(request)) = client.receive() else {
                return End::Lost;
            };
            let durable = Instant::now();
            let mut answers = request.answers.into_iter();
            let replies = replies.into_iter().map(|(count, reply)| {
                let carried = Carried {
                    answers: answers.by_ref().take(count).collect(),
                    sent,
                    durable,
                };
                (reply, carried)
            });
            let _ = parcels.send(Parcel::Answered(replies.collect()));
        }
    }

    /// Has a snapshot written while the book is at work.
    fn snapshot(&self, client: Client) {
        let folder = self.desk.snapshots.clone();
        let write = move || {
            if let Some(Err(error)) = client.snapshot(&folder) {
                tracing::warn!("no snapshot was written: {error}");
            }
        };
        if let Err(error) = thread::Builder::new().name("snapshot".into()).spawn(write) {
            tracing::warn!("no snapshot was written: {error}");
        }
    }

    /// Signs the documents, if they are new, and ends a close that was interrupted.
    fn begin(&self, client: &mut Client) -> Result<(), End> {
        let ended = |error: EngineError| End::Failed(error.to_string());
        let closing = |book: &Book| book.is_closing().then(|| book.business_date());
        if let Some(day) = client.query(closing).map_err(ended)? {
            client.submit([Command::CloseDay { day }]).map_err(ended)?;
        }
        let sign = Command::Sign(Box::new(self.setup.documents.clone()));
        for answer in client.submit([sign]).map_err(ended)? {
            answer.map_err(|refusal| End::Failed(refusal.to_string()))?;
        }
        Ok(())
    }
}

/// Takes in what the writer makes durable, and answers the callers, until writer and desk end.
fn read(reader: &Reader, arrived: &Receiver<Parcel>) -> Result<(), String> {
    while let Ok(first) = arrived.recv() {
        let (mut written, mut answered) = (Vec::new(), Vec::new());
        for parcel in iter::once(first).chain(arrived.try_iter().take(PARCELS)) {
            match parcel {
                Parcel::Written(events) => written.push(events),
                Parcel::Answered(mut answers) => answered.append(&mut answers),
            }
        }
        reader.take(written).map_err(|error| error.to_string())?;
        for (reply, carried) in answered {
            // Nobody receives it if the caller is gone.
            let _ = reply.send(carried);
        }
    }
    Ok(())
}
