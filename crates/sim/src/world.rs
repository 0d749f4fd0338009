//! The world around a writer: a disk that fails, clients that send again, and a book beside it
//! that nothing ever happens to.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use tandem_domain::book::{Answer, Book, Command, Event, Refusal};
use tandem_domain::ledger::Entry;
use tandem_engine::{Engine, EngineError, ReplayError};
use tandem_journal::snapshot::{SnapshotError, list};
use tandem_journal::{BookName, Journal};
use tempfile::TempDir;

use crate::check::{self, PartsOf, Violation, ensure};
use crate::disk::{Fault, SharedDisk, SimStore, Wear};
use crate::notes::{LOST, Notes, TWICE};
use crate::step::{Shot, Step, Stop};

/// What is simulated: a writer of a book. Everything the simulator does with an engine goes
/// through these functions.
pub trait Writer: Sized {
    /// Opens the book from what the disk holds, and from a snapshot of the folder if it can. Also
    /// says which newer snapshots could not be used.
    fn open(journal: Journal<SimStore>, snapshots: &Path) -> Result<Opened<Self>, ReplayError>;

    /// Writes a snapshot into a folder, if it writes any.
    fn snapshot(&mut self, _snapshots: &Path) -> Option<Result<PathBuf, SnapshotError>> {
        None
    }

    /// Carries commands out and answers when they are durable.
    fn submit(&mut self, commands: Vec<Command>) -> Result<Answers, EngineError>;

    /// The book as of the last answer.
    fn book(&self) -> &Book;
}

/// A writer, and the snapshots that it could not use.
pub type Opened<W> = (W, Vec<SnapshotError>);

/// Answers to a batch of commands, in order.
pub type Answers = Vec<Result<Answer, Refusal>>;

impl Writer for Engine<SimStore> {
    fn open(journal: Journal<SimStore>, snapshots: &Path) -> Result<Opened<Self>, ReplayError> {
        Engine::open_from(journal, snapshots)
    }

    fn snapshot(&mut self, snapshots: &Path) -> Option<Result<PathBuf, SnapshotError>> {
        Some(Engine::snapshot(self, snapshots))
    }

    fn submit(&mut self, commands: Vec<Command>) -> Result<Answers, EngineError> {
        Engine::submit(self, commands)
    }

    fn book(&self) -> &Book {
        Engine::book(self)
    }
}

/// What a simulation went through.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Commands answered, retries included: carried out, known, refused.
    pub answers: [u64; 3],
    /// Commands that changed the book, by kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Batches that were sent and answered.
    pub batches: u64,
    /// Events that became durable.
    pub events: u64,
    /// Times that the process died, in the middle of a batch or between two.
    pub crashes: u64,
    /// Of them, times that a command was left half done.
    pub halves: u64,
    /// Damages of the disk that were noticed.
    pub noticed: u64,
    /// Snapshots: written, opened from, refused because they were damaged.
    pub snapshots: [u64; 3],
    /// Full checks of the book.
    pub checks: u64,
    /// What the disk went through.
    pub wear: Wear,
}

impl Counts {
    /// Adds the counts of another simulation.
    pub fn add(&mut self, other: &Counts) {
        let sum = |ours: &mut [u64], others: &[u64]| {
            ours.iter_mut()
                .zip(others)
                .for_each(|(ours, other)| *ours += other);
        };
        sum(&mut self.answers, &other.answers);
        sum(&mut self.wear.faults, &other.wear.faults);
        sum(&mut self.snapshots, &other.snapshots);
        for (&kind, count) in &other.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        self.batches += other.batches;
        self.events += other.events;
        self.crashes += other.crashes;
        self.halves += other.halves;
        self.noticed += other.noticed;
        self.checks += other.checks;
        self.wear.appends += other.wear.appends;
        self.wear.waited += other.wear.waited;
    }
}

/// Batches between two full checks; there is one after every crash as well.
const CHECK_EVERY: u64 = 8;

/// A batch is sent so often at most; there are fewer faults that wait.
const ATTEMPTS: usize = 32;

/// A writer, its disk and its clients.
pub(crate) struct World<W> {
    disk: SharedDisk,
    name: BookName,
    snapshots: TempDir,
    /// The batch after which the newest snapshot was taken, if it is sound.
    sound: Option<u64>,
    /// None only while it is being opened.
    writer: Option<W>,
    /// What the writer's book must be: it executes the same commands and knows no disk.
    twin: Book,
    notes: Notes,
    /// Commands put into the next batch, and faults that wait for it.
    batch: Vec<Command>,
    faults: VecDeque<Fault>,
    /// Commands that changed the book, each once, in the order in which they did.
    effective: Vec<Command>,
    parts_of: PartsOf,
    counts: Counts,
}

/// A command and the events that follow from it, by their place.
type Asked = (Command, Range<usize>);

impl<W: Writer> World<W> {
    /// An empty book on an empty disk.
    pub(crate) fn new(parts_of: PartsOf) -> Result<World<W>, Violation> {
        let mut world = World {
            disk: SharedDisk::new(),
            name: BookName::new("simulated").expect("it is a good name"),
            snapshots: tempfile::tempdir().expect("there is a place for temporary files"),
            sound: None,
            writer: None,
            twin: Book::default(),
            notes: Notes::default(),
            batch: Vec::new(),
            faults: VecDeque::new(),
            effective: Vec::new(),
            parts_of,
            counts: Counts::default(),
        };
        world.open()?;
        Ok(world)
    }

    /// The book, as a client sees it.
    pub(crate) fn book(&self) -> &Book {
        self.writer.as_ref().map_or(&self.twin, Writer::book)
    }

    /// Takes a step and checks what must hold after it.
    pub(crate) fn step(&mut self, step: &Step) -> Result<(), Violation> {
        match step {
            Step::Ask(command) => self.batch.push((**command).clone()),
            Step::Fault(fault) => self.faults.push_back(*fault),
            Step::Send => {
                let batch = std::mem::take(&mut self.batch);
                let mut faults = std::mem::take(&mut self.faults);
                self.carry_out(&batch, &mut faults)?;
            }
            Step::Snapshot(shot) => self.shoot(*shot)?,
            Step::Stop(stop) => self.stop(*stop)?,
        }
        Ok(())
    }

    /// Ends the simulation: what was still to be sent is sent, and the book must be that of a
    /// run of the same commands without faults.
    pub(crate) fn end(mut self) -> Result<Counts, Violation> {
        self.step(&Step::Send)?;
        self.stop(Stop::Kill)?;
        let mut straight = Book::with_archive();
        for command in &self.effective {
            let answer = execute(&mut straight, command, &mut Vec::new());
            ensure(answer == Ok(Answer::Done), SAME, || {
                format!("without faults a command is answered {answer:?}")
            })?;
        }
        check::book(&straight, &self.notes, self.parts_of)?;
        let digest = self.twin.digest();
        ensure(straight.digest() == digest, SAME, || {
            "the digest of a run without faults is another".to_owned()
        })?;
        self.counts.wear = self.disk.get().wear().clone();
        Ok(self.counts)
    }

    /// Sends a batch until it is answered.
    fn carry_out(
        &mut self,
        batch: &[Command],
        faults: &mut VecDeque<Fault>,
    ) -> Result<(), Violation> {
        for _ in 0..ATTEMPTS {
            self.disk.get().plan(faults.drain(..));
            let Some(writer) = &mut self.writer else {
                return Ok(());
            };
            let answered = writer.submit(batch.to_vec());
            *faults = self.disk.get().take_plan();
            match answered {
                Ok(answers) => return self.acknowledge(batch, &answers),
                Err(_) => {
                    // Whoever goes on with a writer that failed gets no answer any more.
                    let again = writer.submit(Vec::new());
                    ensure(again.is_err(), "a failed writer stops", || {
                        "it took another batch".to_owned()
                    })?;
                    // A command that is half done is taken up first, as a close must be.
                    if let Some(half) = self.recover(batch)? {
                        self.carry_out(&[half], faults)?;
                    }
                }
            }
        }
        ensure(false, "a healthy disk takes every batch", || {
            format!(
                "a batch of {} commands failed {ATTEMPTS} times",
                batch.len()
            )
        })
    }

    /// The writer answered: the twin does the same.
    fn acknowledge(&mut self, batch: &[Command], answers: &Answers) -> Result<(), Violation> {
        ensure(
            batch.len() == answers.len(),
            "every command is answered",
            || format!("{} answers for {} commands", answers.len(), batch.len()),
        )?;
        let mut events = Vec::new();
        for (command, answer) in batch.iter().zip(answers) {
            events.clear();
            self.notes.take(command, answer)?;
            let twins = execute(&mut self.twin, command, &mut events);
            ensure(*answer == twins, SAME, || {
                format!("{command:?} was answered {answer:?}; without faults {twins:?}")
            })?;
            if !events.is_empty() {
                self.changed(command.clone());
            }
            self.counts.events += events.len() as u64;
            let kind = match answer {
                Ok(Answer::Done) => 0,
                Ok(Answer::Known) => 1,
                Err(_) => 2,
            };
            self.counts.answers[kind] += 1;
            for event in &events {
                self.check_limits(event)?;
            }
        }
        self.counts.batches += 1;
        self.check_same()?;
        if self.counts.batches.is_multiple_of(CHECK_EVERY) {
            self.check_all()?;
        }
        Ok(())
    }

    /// The process died while a batch was being written. It starts again from what the disk
    /// holds, which must be what was acknowledged and a part of the batch from its beginning.
    /// Gives back the command that is half done.
    fn recover(&mut self, batch: &[Command]) -> Result<Option<Command>, Violation> {
        self.counts.crashes += 1;
        let mut events = Vec::new();
        let mut would_be = self.twin.clone();
        let mut asked: Vec<Asked> = Vec::new();
        for command in batch {
            let from = events.len();
            // What the answer would have been, nobody knows.
            let _ = execute(&mut would_be, command, &mut events);
            asked.push((command.clone(), from..events.len()));
        }
        self.open()?;
        let durable = self.durable_beyond(events.len())?;
        for event in &events[..durable] {
            self.twin.apply(event, &mut |_: &Entry| {});
            self.check_limits(event)?;
        }
        self.counts.events += durable as u64;
        let mut half = None;
        for (command, range) in asked {
            if !range.is_empty() && range.end <= durable {
                self.notes.take(&command, &Ok(Answer::Done))?;
                self.changed(command);
            } else if range.contains(&durable) && range.start < durable {
                half = Some(command);
            }
        }
        self.counts.halves += u64::from(half.is_some());
        self.check_same()?;
        // A book in the middle of a close has entries to come.
        if half.is_none() {
            self.check_all()?;
        }
        Ok(half)
    }

    /// A command changed the book.
    fn changed(&mut self, command: Command) {
        *self.counts.kinds.entry(kind(&command)).or_default() += 1;
        self.effective.push(command);
    }

    /// A snapshot is written, or the newest one harmed.
    fn shoot(&mut self, shot: Shot) -> Result<(), Violation> {
        let folder = self.snapshots.path();
        if shot == Shot::Write {
            let written = self.writer.as_mut().and_then(|it| it.snapshot(folder));
            let failed = written.and_then(Result::err);
            ensure(failed.is_none(), "a snapshot is written", || {
                format!("{failed:?}")
            })?;
            self.sound = shots(folder).first().map(|(_, seq)| *seq);
            self.counts.snapshots[0] += u64::from(self.sound.is_some());
            return Ok(());
        }
        self.sound = None;
        let Some((path, _)) = shots(folder).into_iter().next() else {
            return Ok(());
        };
        let mut bytes = fs::read(&path).unwrap_or_default();
        match shot {
            Shot::Write | Shot::Delete => bytes.clear(),
            Shot::Flip(bit) => {
                let bit = bit % (bytes.len().max(1) as u64 * 8);
                if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            Shot::Cut(part) => bytes.truncate(bytes.len() * usize::from(part) / 1000),
        }
        let harmed = match shot {
            Shot::Delete => fs::remove_file(path),
            _ => fs::write(path, bytes),
        };
        ensure(harmed.is_ok(), "a snapshot is harmed", || {
            format!("{harmed:?}")
        })
    }

    /// The process ends between two batches and starts again.
    fn stop(&mut self, stop: Stop) -> Result<(), Violation> {
        self.writer = None;
        self.counts.crashes += 1;
        {
            let mut disk = self.disk.get();
            match stop {
                Stop::Kill => disk.kill(),
                Stop::PowerCut { head } => disk.cut_power(head),
                Stop::Damage(damage) => {
                    disk.kill();
                    disk.damage(damage);
                }
                Stop::FlipOnRead(bit) if disk.holds().0 > 0 => {
                    disk.kill();
                    disk.flip_on_read(bit.into());
                }
                Stop::FlipOnRead(_) => disk.kill(),
                Stop::OldCopy => {
                    disk.kill();
                    // Without a snapshot nobody could know that there had been more.
                    if let Some(before) = self.sound.and_then(|seq| seq.checked_sub(1)) {
                        disk.put_back(before);
                    }
                }
            }
        }
        self.open()?;
        self.durable_beyond(0)?;
        self.check_same()?;
        self.check_all()
    }

    /// Number of durable events beyond those that were acknowledged: at most what was asked for.
    fn durable_beyond(&self, asked: usize) -> Result<usize, Violation> {
        let (held, known) = (self.disk.get().holds().1, self.counts.events);
        let told = || format!("{known} events were acknowledged, the disk holds {held}");
        ensure(held >= known, LOST, told)?;
        let durable = (held - known) as usize;
        ensure(durable <= asked, TWICE, told)?;
        Ok(durable)
    }

    /// Opens the book. A damaged disk must be refused; then the backup is put in its place.
    fn open(&mut self) -> Result<(), Violation> {
        self.writer = None;
        let (damaged, misread) = {
            let disk = self.disk.get();
            (disk.is_damaged(), disk.misreads())
        };
        let folder = self.snapshots.path();
        let opened = self.try_open(folder);
        self.disk.get().read_right();
        let refused = opened.as_ref().map_or(0, |(_, refused)| refused.len());
        let point = shots(folder).get(refused).map_or(0, |(_, seq)| *seq);
        if damaged || (misread.is_some() && opened.is_err()) {
            let beyond = self.disk.get().is_damaged_after(point);
            // What lies before a snapshot is not read, but whoever reads all of it finds it.
            let noticed =
                opened.is_err() || (!beyond && self.try_open(&folder.join("none")).is_err());
            ensure(noticed, NOTICED, || {
                "a journal opened that was not what had been written".to_owned()
            })?;
            self.counts.noticed += 1;
            let mut disk = self.disk.get();
            disk.restore();
            drop(disk);
            return self.open();
        }
        let (writer, refused) = opened.map_err(|error| Violation {
            rule: "a whole journal opens",
            detail: error,
        })?;
        ensure(misread.is_none_or(|batch| batch <= point), NOTICED, || {
            "a journal opened that was misread".to_owned()
        })?;
        let as_written = self.sound.is_none_or(|seq| seq == point);
        ensure(as_written, "a sound snapshot is used", || {
            format!("{refused:?}")
        })?;
        self.counts.snapshots[1] += u64::from(point > 0);
        self.counts.snapshots[2] += refused.len() as u64;
        self.writer = Some(writer);
        Ok(())
    }

    fn try_open(&self, snapshots: &Path) -> Result<Opened<W>, String> {
        let store = SimStore::open(&self.disk, &self.name).map_err(|error| error.to_string())?;
        let journal = Journal::open(store).map_err(|error| error.to_string())?;
        W::open(journal, snapshots).map_err(|error| error.to_string())
    }

    fn check_same(&self) -> Result<(), Violation> {
        ensure(self.book().digest() == self.twin.digest(), SAME, || {
            let (one, other) = (self.book().business_date(), self.twin.business_date());
            format!("the digest differs; business dates {one} and {other}")
        })
    }

    fn check_limits(&self, event: &Event) -> Result<(), Violation> {
        match event {
            Event::Decided(decided) | Event::Underwritten { decided, .. } => {
                check::limits(&self.twin, decided)
            }
            _ => Ok(()),
        }
    }

    fn check_all(&mut self) -> Result<(), Violation> {
        self.counts.checks += 1;
        check::book(self.book(), &self.notes, self.parts_of)
    }
}

/// Snapshots in a folder, newest first.
fn shots(folder: &Path) -> Vec<(PathBuf, u64)> {
    list(folder).unwrap_or_default()
}

const NOTICED: &str = "damage is noticed";
const SAME: &str = "the book is that of a run without faults";

fn execute(book: &mut Book, command: &Command, events: &mut Vec<Event>) -> Result<Answer, Refusal> {
    book.execute(command.clone(), events, &mut |_: &Entry| {})
}

fn kind(command: &Command) -> &'static str {
    match command {
        Command::Sign(_) => "sign",
        Command::Apply(_) => "apply",
        Command::Accept { .. } => "accept",
        Command::Withdraw { .. } => "withdraw",
        Command::Underwrite(_) => "underwrite",
        Command::Instruct(instruction) => instruction.action.name(),
        Command::Reverse { .. } => "reverse",
        Command::ReplaceLender(_) => "replace lender",
        Command::Fix { .. } => "fix rate",
        Command::Archive(_) => "archive",
        Command::SendSlice(_) => "send slice",
        Command::ReceiveSlice { .. } => "receive slice",
        Command::ChargeOff { .. } => "charge off",
        Command::CloseDay { .. } => "close day",
    }
}
