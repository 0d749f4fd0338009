//! The writer of a book that many threads ask: it decides what comes next while the store
//! flushes what came before.
//!
//! ```text
//!  clients ──► bounded queue ──► writer ───── full flights ────► flusher ──► answers
//!                                decide, apply                   encode, hash, append, flush
//!                                   ▲                               │
//!                                   └──────── empty flights ◄───────┘
//! ```
//!
//! A fixed number of flights goes round between the two threads, so that the book is ahead of the
//! journal by that many at most, and nothing is allocated for a batch. When all of them are on
//! their way the writer waits, the queue fills, and clients wait: nobody can fill the memory.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::{iter, mem, panic};

use tandem_domain::book::{Answer, Book, Command, Event, Hashes, Refusal};
use tandem_journal::snapshot::SnapshotError;
use tandem_journal::{BookName, Head, Store};

use crate::snapshot::{self, Cut, Job};
use crate::{Engine, EngineError, Tail};

/// Flights that go round, besides the one being filled: one is flushed, one waits for that.
const FLIGHTS: usize = 2;

/// A flight ends with the command that brings it this many events, which is about a batch, or
/// with the request that brings it this many replies, for all may have been refused.
const EVENTS: usize = 4_096;
const REPLIES: usize = 1_024;

/// Requests that a client may have under way; to send another it waits for its oldest answer.
const UNDER_WAY: usize = 16;

/// A book that is being written, by two threads of its own.
///
/// Any failure ends it: whatever is not durable then is answered with
/// [`EngineError::Stopped`], and so is everything later. [`Writer::stop`] says what failed.
pub struct Writer<S: Store> {
    queue: SyncSender<Message>,
    writer: JoinHandle<(Book, Result<(), EngineError>)>,
    flusher: JoinHandle<(Tail<S>, Result<(), EngineError>)>,
}

/// Where a command comes from: bytes of its caller's own, which go along with its events.
pub type Origin = [u8; 25];

/// Commands that go to the writer together, and come back as their answers once they are durable.
///
/// Each command is carried out or refused for itself; no other client's come between them.
#[derive(Debug, Default)]
pub struct Request {
    /// What is asked; empty when it comes back, so that it can be filled again.
    pub commands: Vec<Command>,
    /// Where each command comes from, in their order, for whoever observes the writer; commands
    /// beyond the last come from nowhere.
    pub origins: Vec<Option<Origin>>,
    /// The answers, in the order of the commands.
    pub answers: Vec<Result<Answer, Refusal>>,
}

impl<S: Store + Send + 'static> Writer<S> {
    /// Starts the threads. `queue` requests may wait for the writer; whoever sends another waits
    /// for a place.
    pub fn start(engine: Engine<S>, queue: usize) -> Result<Writer<S>, EngineError> {
        Writer::start_with(engine, queue, None)
    }

    /// Starts the threads; `observe` is handed all events once they are durable, before anybody is
    /// answered. While it takes its time the writer waits.
    pub fn observed(
        engine: Engine<S>,
        queue: usize,
        observe: impl FnMut(Written) + Send + 'static,
    ) -> Result<Writer<S>, EngineError> {
        Writer::start_with(engine, queue, Some(Box::new(observe)))
    }

    fn start_with(
        engine: Engine<S>,
        queue: usize,
        mut observe: Option<Observe>,
    ) -> Result<Writer<S>, EngineError> {
        let Engine {
            mut book,
            events,
            mut tail,
            failed,
        } = engine;
        if failed {
            return Err(EngineError::Stopped);
        }
        let name = tail.journal.book().clone();
        let (queue, requests) = sync_channel(queue);
        let (full, to_flush) = sync_channel(FLIGHTS);
        let (flushed, empty) = sync_channel(FLIGHTS);
        for _ in 0..FLIGHTS {
            flushed
                .send(Flight::default())
                .expect("there is room for all, and a receiver");
        }
        let spawn = |name: &str| thread::Builder::new().name(name.to_owned());
        let flusher = spawn("flusher").spawn(move || {
            let outcome = flush(&mut tail, &to_flush, &flushed, &mut observe);
            (tail, outcome)
        })?;
        let writer = spawn("writer").spawn(move || {
            let mut line = Line {
                filling: Flight {
                    events,
                    ..Flight::default()
                },
                full,
                empty,
            };
            let outcome = write(&mut book, &name, &mut line, &requests);
            (book, outcome)
        })?;
        Ok(Writer {
            queue,
            writer,
            flusher,
        })
    }

    /// A new client of this writer.
    pub fn client(&self) -> Client {
        Client::new(self.queue.clone())
    }

    /// Carries out all that was sent before, makes it durable and answers it, then ends the
    /// threads. What clients send later is answered with [`EngineError::Stopped`].
    ///
    /// Gives the engine back, or says what had ended the writer.
    ///
    /// # Panics
    ///
    /// When one of the threads panicked, with its panic.
    pub fn stop(self) -> Result<Engine<S>, EngineError> {
        // A writer that has ended already takes no messages.
        let _ = self.queue.send(Message::Stop);
        let joined = self.writer.join();
        let (book, written) = joined.unwrap_or_else(|panic| panic::resume_unwind(panic));
        let joined = self.flusher.join();
        let (tail, flushed) = joined.unwrap_or_else(|panic| panic::resume_unwind(panic));
        // A failed flush stops the writer, so it comes first.
        flushed?;
        written?;
        Ok(Engine {
            book,
            events: Vec::new(),
            tail,
            failed: false,
        })
    }
}

/// Asks a [`Writer`]. Each thread has its own; a clone has nothing under way.
///
/// Answers come in the order in which the client sent its requests.
pub struct Client {
    queue: SyncSender<Message>,
    reply: SyncSender<Option<Request>>,
    replies: Receiver<Option<Request>>,
    /// Requests sent whose replies are not taken from the channel.
    under_way: usize,
    /// Replies taken from the channel to make room in it.
    ready: VecDeque<Option<Request>>,
}

impl Client {
    fn new(queue: SyncSender<Message>) -> Client {
        let (reply, replies) = sync_channel(UNDER_WAY);
        Client {
            queue,
            reply,
            replies,
            under_way: 0,
            ready: VecDeque::new(),
        }
    }

    /// Sends commands, and waits until they are durable.
    pub fn submit(
        &mut self,
        commands: impl IntoIterator<Item = Command>,
    ) -> Result<Vec<Result<Answer, Refusal>>, EngineError> {
        self.send(Request {
            commands: commands.into_iter().collect(),
            ..Request::default()
        });
        while self.under_way > 1 {
            self.take_reply();
        }
        self.under_way -= 1;
        let reply = self.replies.recv().ok().flatten();
        reply
            .map(|request| request.answers)
            .ok_or(EngineError::Stopped)
    }

    /// Sends a request; [`Self::receive`] brings its answers. Waits for a place in the queue, and
    /// for the oldest answer if sixteen requests of this client are under way.
    pub fn send(&mut self, request: Request) {
        let message = self.message(request);
        // Where nobody receives, the message is dropped, which is an answer too.
        let _ = self.queue.send(message);
    }

    /// Sends a request if there is a place in the queue; otherwise gives it back.
    pub fn try_send(&mut self, request: Request) -> Result<(), Request> {
        let message = self.message(request);
        match self.queue.try_send(message) {
            Err(TrySendError::Full(Message::Commands(mut parcel))) => {
                self.under_way -= 1;
                Err(parcel.request.take().expect("it is not answered yet"))
            }
            _ => Ok(()),
        }
    }

    /// Waits for the answers to the oldest request under way; `None` if there is none.
    pub fn receive(&mut self) -> Option<Result<Request, EngineError>> {
        if self.ready.is_empty() {
            if self.under_way == 0 {
                return None;
            }
            self.take_reply();
        }
        Some(self.ready.pop_front()?.ok_or(EngineError::Stopped))
    }

    /// Looks at the book between two requests, and waits until what it saw is durable: the book in
    /// memory is ahead of the journal, and what a failure takes back must not have been seen.
    ///
    /// `look` runs on the writer's thread, which does nothing else meanwhile; if it panics the
    /// writer ends.
    pub fn query<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Book) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        let (reply, seen) = sync_channel(1);
        let query = move |book: &Book| -> Delivery {
            let answer = look(book);
            // Nobody receives it if the client's thread has ended.
            Box::new(move || drop(reply.send(answer)))
        };
        // Where nobody receives, the query is dropped and `seen` ends.
        let _ = self.queue.send(Message::Query(Box::new(query)));
        seen.recv().map_err(|_| EngineError::Stopped)
    }

    /// Writes a snapshot of the book as it is now into a folder, and waits for it; the writer goes
    /// on meanwhile. None if the writer ended before, or the system gives it no thread.
    pub fn snapshot(&self, folder: &Path) -> Option<Result<PathBuf, SnapshotError>> {
        let (done, outcome) = sync_channel(1);
        let folder = folder.to_owned();
        let _ = self.queue.send(Message::Snapshot(folder, done));
        outcome.recv().ok()
    }

    fn message(&mut self, request: Request) -> Message {
        if self.under_way == UNDER_WAY {
            self.take_reply();
        }
        self.under_way += 1;
        let hashes = request.commands.iter().map(Command::hashes).collect();
        Message::Commands(Parcel {
            request: Some(request),
            hashes,
            reply: self.reply.clone(),
        })
    }

    fn take_reply(&mut self) {
        self.under_way -= 1;
        self.ready.push_back(self.replies.recv().ok().flatten());
    }
}

impl Clone for Client {
    fn clone(&self) -> Client {
        Client::new(self.queue.clone())
    }
}

enum Message {
    Commands(Parcel),
    Query(Box<dyn FnOnce(&Book) -> Delivery + Send>),
    Snapshot(PathBuf, SyncSender<snapshot::Outcome>),
    Stop,
}

/// Sends a client what a query saw.
type Delivery = Box<dyn FnOnce() + Send>;

/// A request and whom to answer. Dropped unanswered, wherever it is, it says so.
struct Parcel {
    /// Nothing once it is answered or given back.
    request: Option<Request>,
    /// Of its commands, worked out where it was sent.
    hashes: Vec<Hashes>,
    reply: SyncSender<Option<Request>>,
}

impl Parcel {
    fn request(&mut self) -> &mut Request {
        self.request.as_mut().expect("it is not answered yet")
    }

    fn answer(mut self) {
        // There is always room, and nobody receives if the client is gone.
        let _ = self.reply.send(self.request.take());
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if self.request.is_some() {
            let _ = self.reply.send(None);
        }
    }
}

/// What is answered when a flight is durable.
enum Reply {
    Request(Parcel),
    Query(Delivery),
    /// Tells a snapshot after which batch it was taken.
    Cut(SyncSender<Cut>),
}

/// Events, and the replies that wait for them.
#[derive(Default)]
struct Flight {
    events: Vec<Event>,
    /// Which of the events come from where.
    origins: Vec<(Range<usize>, Origin)>,
    replies: Vec<Reply>,
}

/// The writer's end of the line to the flusher.
struct Line {
    filling: Flight,
    full: SyncSender<Flight>,
    empty: Receiver<Flight>,
}

impl Line {
    /// Sends the flight on its way, if there is anything in it, and waits for an empty one. A
    /// flusher that failed has closed both ways.
    fn hand_over(&mut self) -> Result<(), EngineError> {
        if self.filling.events.is_empty() && self.filling.replies.is_empty() {
            return Ok(());
        }
        let empty = self.empty.recv().map_err(|_| EngineError::Stopped)?;
        let full = mem::replace(&mut self.filling, empty);
        self.full.send(full).map_err(|_| EngineError::Stopped)
    }
}

/// Takes what is waiting, and hands it over when nothing more waits or the flight is full.
fn write(
    book: &mut Book,
    name: &BookName,
    line: &mut Line,
    queue: &Receiver<Message>,
) -> Result<(), EngineError> {
    let mut job: Option<Job> = None;
    loop {
        let message = match queue.try_recv() {
            Err(TryRecvError::Empty) => {
                line.hand_over()?;
                if let Some(writing) = job {
                    // Nobody waits, so the snapshot may.
                    job = writing.step(book, true);
                    continue;
                }
                queue.recv().unwrap_or(Message::Stop)
            }
            message => message.unwrap_or(Message::Stop),
        };
        job = job.and_then(|writing| writing.step(book, false));
        match message {
            Message::Commands(mut parcel) => {
                let hashes = mem::take(&mut parcel.hashes);
                let Request {
                    commands,
                    origins,
                    answers,
                } = parcel.request();
                answers.clear();
                let origins = origins.drain(..).chain(iter::repeat(None));
                for ((command, hashes), origin) in commands.drain(..).zip(hashes).zip(origins) {
                    let events = &mut line.filling.events;
                    let before = events.len();
                    answers.push(book.execute_hashed(command, hashes, events, &mut |_| {}));
                    let made = before..line.filling.events.len();
                    if let Some(origin) = origin.filter(|_| !made.is_empty()) {
                        line.filling.origins.push((made, origin));
                    }
                    if line.filling.events.len() >= EVENTS {
                        line.hand_over()?;
                    }
                }
                line.filling.replies.push(Reply::Request(parcel));
            }
            Message::Query(look) => {
                line.hand_over()?;
                let delivery = look(book);
                line.filling.replies.push(Reply::Query(delivery));
            }
            Message::Snapshot(folder, done) => {
                // One at a time.
                while let Some(writing) = job {
                    job = writing.step(book, true);
                }
                let (to, head) = sync_channel(1);
                line.hand_over()?;
                line.filling.replies.push(Reply::Cut(to));
                line.hand_over()?;
                job = Job::start(book, name.clone(), folder, head, done);
            }
            Message::Stop => {
                // A snapshot that has begun is written to its end.
                while let Some(writing) = job {
                    job = writing.step(book, true);
                }
                return line.hand_over();
            }
        }
        if line.filling.replies.len() >= REPLIES {
            line.hand_over()?;
        }
    }
}

/// Events that are durable.
#[derive(Debug)]
pub struct Written {
    /// The events, each with the number of its batch.
    pub events: Vec<(u64, Event)>,
    /// Which of the events, by their places, come from where.
    pub origins: Vec<(Range<usize>, Origin)>,
    /// The last batch.
    pub head: Head,
}

type Observe = Box<dyn FnMut(Written) + Send>;

/// Makes one flight after the other durable, and only then sends its replies.
fn flush<S: Store>(
    tail: &mut Tail<S>,
    full: &Receiver<Flight>,
    empty: &SyncSender<Flight>,
    observe: &mut Option<Observe>,
) -> Result<(), EngineError> {
    for mut flight in full {
        match observe {
            None => {
                tail.write(&mut flight.events, &mut |_, _| {})?;
                tail.flush()?;
            }
            Some(observe) => {
                let mut events = Vec::with_capacity(flight.events.len());
                tail.write(&mut flight.events, &mut |batch, event| {
                    events.push((batch, event));
                })?;
                tail.flush()?;
                if !events.is_empty() {
                    observe(Written {
                        events,
                        origins: mem::take(&mut flight.origins),
                        head: tail.journal.head(),
                    });
                }
            }
        }
        flight.origins.clear();
        for reply in flight.replies.drain(..) {
            match reply {
                Reply::Request(parcel) => parcel.answer(),
                Reply::Query(deliver) => deliver(),
                // Nobody receives it if there was no thread to write the snapshot.
                Reply::Cut(to) => drop(to.send(Cut::of(tail))),
            }
        }
        // A writer that has ended needs no flight.
        let _ = empty.send(flight);
    }
    Ok(())
}
