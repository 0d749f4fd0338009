//! A simulated disk, what can go wrong with it, and the journal's store on it.
//!
//! The disk holds a log of batches and, apart from it, the head: the last batch, remembered in two
//! slots that are written in turn and never flushed, as `docs/spec/journal.md` has it. What is
//! written is in the system's cache until it is flushed; a killed process leaves the cache alone,
//! a power cut loses it. Time is a number, so nothing here waits.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tandem_journal::{Batch, BookName, Hash, Head, Secret, Stats, Store, StoreError};

/// What goes wrong with one append. A part that is written is in thousandths of the batch: 0 is
/// nothing, 1000 all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: this append succeeds, the next fault waits for the one after it.
    Pass,
    /// It takes so many milliseconds of simulated time.
    Slow(u32),
    /// The store reports an error; a part was written.
    Error(u16),
    /// There is no space for more than a part.
    Full(u16),
    /// The process is killed when a part is written.
    Kill(u16),
    /// The power fails when a part is on the disk; the head is as it was last flushed, or current.
    PowerCut {
        /// Part that is on the disk.
        part: u16,
        /// True if what was written to the head survives.
        head: bool,
    },
    /// A bit flips between the store and the disk.
    Flip(u32),
    /// The disk says that it flushed and does not, until the power fails.
    Lie,
}

/// What happens to a disk while nobody has it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A bit of the log flips.
    Flip(u64),
    /// The last batches are gone.
    LoseTail(u8),
    /// The last batch is cut off in its middle.
    Tear,
    /// A batch is gone from the middle.
    Drop(u32),
    /// Two neighbouring batches change places.
    Swap(u32),
    /// A bit of the head flips. The log is whole, so this must harm nothing.
    FlipHead(u8),
}

/// What the disk went through.
#[derive(Clone, Debug, Default)]
pub struct Wear {
    /// Appends that went well.
    pub appends: u64,
    /// Faults that struck, by kind: see [`Fault::NAMES`].
    pub faults: [u64; Fault::NAMES.len()],
    /// Simulated time that slow appends took, in milliseconds.
    pub waited: u64,
}

impl Fault {
    /// Names of the kinds of fault.
    pub const NAMES: [&'static str; 8] = [
        "slow",
        "error before",
        "error torn",
        "error after",
        "full disk",
        "killed",
        "power cut",
        "flipped or unflushed",
    ];

    fn kind(self) -> Option<usize> {
        Some(match self {
            Fault::Pass => return None,
            Fault::Slow(_) => 0,
            Fault::Error(0) => 1,
            Fault::Error(part) if part < 1000 => 2,
            Fault::Error(_) => 3,
            Fault::Full(_) => 4,
            Fault::Kill(_) => 5,
            Fault::PowerCut { .. } => 6,
            Fault::Flip(_) | Fault::Lie => 7,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |f: &mut fmt::Formatter<'_>, part: u16| match part {
            0 => f.write_str("before any of the batch is written"),
            1000 => f.write_str("after all of the batch is written, before the answer"),
            part => write!(
                f,
                "when {}.{} % of the batch is written",
                part / 10,
                part % 10
            ),
        };
        match *self {
            Fault::Pass => f.write_str("one append goes well"),
            Fault::Slow(time) => write!(f, "the append takes {time} ms"),
            Fault::Error(written) => {
                f.write_str("the append fails ")?;
                part(f, written)
            }
            Fault::Full(written) => {
                f.write_str("the disk is full ")?;
                part(f, written)
            }
            Fault::Kill(written) => {
                f.write_str("the process is killed ")?;
                part(f, written)
            }
            Fault::PowerCut {
                part: written,
                head,
            } => {
                f.write_str("the power fails ")?;
                part(f, written)?;
                f.write_str(if head { "" } else { "; the head file is old" })
            }
            Fault::Flip(bit) => write!(f, "bit {bit} of the batch flips on its way to the disk"),
            Fault::Lie => f.write_str("the disk says flushed and flushes nothing from here on"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Flip(bit) => write!(f, "bit {bit} of the log flips"),
            Damage::LoseTail(batches) => write!(f, "the last {batches} batches are lost"),
            Damage::Tear => f.write_str("the last batch is cut off in its middle"),
            Damage::Drop(batch) => write!(f, "batch {batch} is lost"),
            Damage::Swap(batch) => write!(f, "batch {batch} changes places with the next"),
            Damage::FlipHead(bit) => write!(f, "bit {bit} of the head file flips"),
        }
    }
}

/// The two slots of the head.
type HeadFile = [[u8; SLOT]; 2];
const SLOT: usize = 48;

/// A disk with the journal of one book on it. Clones share nothing.
#[derive(Clone, Debug)]
pub struct Disk {
    log: Vec<u8>,
    /// The log as it would be if no bit ever flipped and no disk ever lied: a backup.
    backup: Vec<u8>,
    /// So much of the log survives a power cut.
    flushed: usize,
    /// So much of the log was answered for.
    answered: usize,
    head: HeadFile,
    flushed_head: HeadFile,
    /// Faults of the appends to come.
    faults: VecDeque<Fault>,
    /// A bit that flips when the log is read the next time.
    flip_on_read: Option<u64>,
    /// False from the death of the process to the next opening.
    running: bool,
    lying: bool,
    wear: Wear,
}

/// The disk as the process and the world around it share it.
#[derive(Clone, Debug)]
pub struct SharedDisk(Arc<Mutex<Disk>>);

impl SharedDisk {
    /// An empty disk.
    pub fn new() -> SharedDisk {
        SharedDisk(Arc::new(Mutex::new(Disk {
            log: Vec::new(),
            backup: Vec::new(),
            flushed: 0,
            answered: 0,
            head: [[0; SLOT]; 2],
            flushed_head: [[0; SLOT]; 2],
            faults: VecDeque::new(),
            flip_on_read: None,
            running: true,
            lying: false,
            wear: Wear::default(),
        })))
    }

    /// The disk itself.
    pub fn get(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for SharedDisk {
    fn default() -> SharedDisk {
        SharedDisk::new()
    }
}

impl Disk {
    /// What the disk went through so far.
    pub fn wear(&self) -> &Wear {
        &self.wear
    }

    /// Plans the faults of the appends to come.
    pub fn plan(&mut self, faults: impl IntoIterator<Item = Fault>) {
        self.faults = faults.into_iter().collect();
    }

    /// Takes back the faults that did not strike.
    pub fn take_plan(&mut self) -> VecDeque<Fault> {
        std::mem::take(&mut self.faults)
    }

    /// Lets a bit flip when the log is read the next time.
    pub fn flip_on_read(&mut self, bit: u64) {
        self.flip_on_read = Some(bit);
    }

    /// The batch of which a bit flips when it is read the next time.
    pub fn misreads(&self) -> Option<u64> {
        let batches = records(&self.log).len().max(1) as u64;
        self.flip_on_read.map(|bit| bit % batches + 1)
    }

    /// From now on every bit is read as it is.
    pub fn read_right(&mut self) {
        self.flip_on_read = None;
    }

    /// True if the log is not what was written to it: it must not be opened.
    pub fn is_damaged(&self) -> bool {
        whole(&self.log) != whole(&self.backup)
    }

    /// True if the log is not what was written to it behind so many batches.
    pub fn is_damaged_after(&self, batches: u64) -> bool {
        let [log, backup] = [&self.log, &self.backup].map(|log| {
            let after = records(log).get(batches as usize).copied();
            after.map_or(&[][..], |at| &whole(log)[at..])
        });
        log != backup
    }

    /// Puts an old copy in the place of log and head: from when there were so many batches.
    pub fn put_back(&mut self, batches: u64) {
        let records = records(&self.log);
        if let Some(&at) = records.get(batches as usize) {
            self.log.truncate(at);
            self.flushed = at;
            self.head = [[0; SLOT]; 2];
            if let Some(last) = batches.checked_sub(1) {
                let Batch { seq, hash, .. } = batch_at(&self.log, records[last as usize]);
                self.answer(Head { seq, hash });
            }
        }
    }

    /// Puts the backup in the place of the log.
    pub fn restore(&mut self) {
        self.log.clone_from(&self.backup);
        self.flushed = self.log.len();
    }

    /// The process dies; what it wrote stays.
    pub fn kill(&mut self) {
        self.running = false;
    }

    /// The power fails: what was not flushed is gone, and what was written to the head unless it
    /// `survives`.
    pub fn cut_power(&mut self, survives: bool) {
        // Two things at once are not asked for: if the log is harmed, the head is current.
        if survives || self.lying || self.is_damaged() {
            self.flushed_head = self.head;
        } else {
            self.head = self.flushed_head;
        }
        let kept = if self.lying {
            self.answered
        } else {
            self.flushed
        };
        self.backup.truncate(kept);
        self.log.truncate(self.flushed);
        self.lying = false;
        self.kill();
    }

    /// Number of batches and of events that are on the disk, torn ones left out.
    pub fn holds(&self) -> (u64, u64) {
        let records = records(&self.log);
        let events = records.iter().map(|&at| events_at(&self.log, at));
        (records.len() as u64, events.sum())
    }

    /// Damages what is on the disk; false if there is nothing to damage in this way.
    pub fn damage(&mut self, damage: Damage) -> bool {
        let records = records(&self.log);
        let range = |place: usize| {
            let end = records.get(place + 1).copied();
            records[place]..end.unwrap_or(self.log.len())
        };
        match damage {
            _ if records.is_empty() => return false,
            Damage::Flip(bit) => flip(&mut self.log, bit),
            Damage::LoseTail(batches) => {
                let keep = records.len().saturating_sub(batches.max(1).into());
                self.log.truncate(records[keep]);
            }
            Damage::Tear => {
                let last = range(records.len() - 1);
                self.log.truncate(last.start + last.len() / 2);
            }
            Damage::Drop(batch) => {
                let gone = range(batch as usize % records.len());
                self.log.drain(gone);
            }
            Damage::Swap(batch) => {
                if records.len() < 2 {
                    return false;
                }
                let first = range(batch as usize % (records.len() - 1));
                let second = range(batch as usize % (records.len() - 1) + 1);
                self.log[first.start..second.end].rotate_left(first.len());
            }
            Damage::FlipHead(bit) => flip(self.head.as_flattened_mut(), bit.into()),
        }
        self.flushed = self.log.len();
        true
    }

    fn write(&mut self, batch: &Batch) -> Result<(), &'static str> {
        if !self.running {
            return Err(DEAD);
        }
        let fault = self.faults.pop_front().unwrap_or(Fault::Pass);
        if let Some(kind) = fault.kind() {
            self.wear.faults[kind] += 1;
        }
        let mut record = record(batch);
        let failed = match fault {
            Fault::Error(part) => Some((part, "input/output error")),
            Fault::Full(part) => Some((part.min(999), "no space left on device")),
            Fault::Kill(part) | Fault::PowerCut { part, .. } => Some((part, DEAD)),
            Fault::Pass | Fault::Slow(_) | Fault::Flip(_) | Fault::Lie => None,
        };
        if let Some((part, cause)) = failed {
            let written = record.len() * usize::from(part.min(1000)) / 1000;
            record.truncate(written);
            match fault {
                Fault::Kill(_) => self.kill(),
                Fault::PowerCut { head, .. } => self.cut_power(head),
                _ => {}
            }
            self.write_log(&record, None);
            if matches!(fault, Fault::PowerCut { .. }) {
                self.flushed = self.log.len();
            }
            return Err(cause);
        }
        self.lying |= fault == Fault::Lie;
        match fault {
            Fault::Flip(bit) => self.write_log(&record, Some(bit)),
            Fault::Slow(time) => {
                self.wear.waited += u64::from(time);
                self.write_log(&record, None);
            }
            _ => self.write_log(&record, None),
        }
        self.flush();
        self.answer(Head {
            seq: batch.seq,
            hash: batch.hash,
        });
        self.wear.appends += 1;
        Ok(())
    }

    fn write_log(&mut self, record: &[u8], flipped: Option<u32>) {
        let at = self.log.len();
        self.backup.extend(record);
        self.log.extend(record);
        if let Some(bit) = flipped {
            flip(&mut self.log[at..], bit.into());
        }
    }

    fn flush(&mut self) {
        if !self.lying {
            self.flushed = self.log.len();
        }
    }

    /// Remembers the batch up to which clients may be answered.
    fn answer(&mut self, head: Head) {
        self.answered = self.log.len();
        self.head[(head.seq % 2) as usize] = slot(head);
    }

    fn remembered(&self) -> Option<Head> {
        let heads = self.head.iter().filter_map(read_slot);
        heads
            .filter(|head| head.seq > 0)
            .max_by_key(|head| head.seq)
    }
}

const DEAD: &str = "the process is dead";

fn flip(bytes: &mut [u8], bit: u64) {
    if let Some(bits) = (bytes.len() as u64 * 8).checked_sub(1) {
        let bit = bit % (bits + 1);
        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
    }
}

fn slot(head: Head) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(&head.seq.to_le_bytes());
    slot[8..40].copy_from_slice(&head.hash.0);
    let mut check = DefaultHasher::new();
    slot[..40].hash(&mut check);
    slot[40..].copy_from_slice(&check.finish().to_le_bytes());
    slot
}

fn read_slot(bytes: &[u8; SLOT]) -> Option<Head> {
    let (seq, rest) = bytes.split_first_chunk()?;
    let head = Head {
        seq: u64::from_le_bytes(*seq),
        hash: Hash(*rest.first_chunk()?),
    };
    (slot(head) == *bytes).then_some(head)
}

/// Bytes before the body of a record: length of the body, number, both hashes, number of events.
const HEADER: usize = 4 + 8 + 32 + 32 + 4;

fn record(batch: &Batch) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER + batch.body.len());
    record.extend((batch.body.len() as u32).to_le_bytes());
    record.extend(batch.seq.to_le_bytes());
    record.extend(batch.prev.0);
    record.extend(batch.hash.0);
    record.extend(batch.events.to_le_bytes());
    record.extend(&batch.body);
    record
}

/// Where the records of a log begin; what is not whole at its end is left out.
fn records(log: &[u8]) -> Vec<usize> {
    let mut records = Vec::new();
    let mut at = 0;
    while log.len() - at >= HEADER {
        let end = at + HEADER + number(log, at, 4) as usize;
        if end > log.len() {
            break;
        }
        records.push(at);
        at = end;
    }
    records
}

/// The part of a log that is whole.
fn whole(log: &[u8]) -> &[u8] {
    let last = records(log).last().copied();
    let end = last.map_or(0, |at| at + HEADER + number(log, at, 4) as usize);
    &log[..end]
}

fn batch_at(log: &[u8], at: usize) -> Batch {
    let hash = |from: usize| {
        let mut hash = [0; 32];
        hash.copy_from_slice(&log[from..from + 32]);
        Hash(hash)
    };
    let body = at + HEADER;
    Batch {
        seq: number(log, at + 4, 8),
        prev: hash(at + 12),
        hash: hash(at + 44),
        events: events_at(log, at) as u32,
        body: log[body..body + number(log, at, 4) as usize].to_vec(),
    }
}

fn events_at(log: &[u8], at: usize) -> u64 {
    number(log, at + 76, 4)
}

fn number(log: &[u8], at: usize, bytes: usize) -> u64 {
    let mut number = [0; 8];
    number[..bytes].copy_from_slice(&log[at..at + bytes]);
    u64::from_le_bytes(number)
}

/// The journal's store on a simulated disk.
#[derive(Debug)]
pub struct SimStore {
    disk: SharedDisk,
    book: BookName,
    secret: Secret,
    records: Vec<usize>,
}

impl SimStore {
    /// Opens what the disk holds. A torn batch at the end was never answered and is cut off; a
    /// log that ends before the batch that the head remembers, or has another one in its place,
    /// is refused.
    pub fn open(disk: &SharedDisk, book: &BookName) -> Result<SimStore, StoreError> {
        let mut held = disk.get();
        held.running = true;
        let records = records(&held.log);
        let last = records.last().map(|&at| batch_at(&held.log, at));
        if let Some(remembered) = held.remembered() {
            let place = usize::try_from(remembered.seq - 1).ok();
            let there = place.and_then(|place| records.get(place));
            let there = there.map(|&at| batch_at(&held.log, at));
            if there
                .is_none_or(|batch| (batch.seq, batch.hash) != (remembered.seq, remembered.hash))
            {
                let cause = format!("it has lost batch {}, or holds another", remembered.seq);
                return Err(error("open the log", cause));
            }
        }
        let Disk { log, backup, .. } = &mut *held;
        for copy in [log, backup] {
            copy.truncate(whole(copy).len());
        }
        // What a dead process left may not have been flushed.
        held.flush();
        if let Some(Batch { seq, hash, .. }) = last {
            held.answer(Head { seq, hash });
        }
        drop(held);
        Ok(SimStore {
            disk: disk.clone(),
            book: book.clone(),
            secret: Secret::from_bytes([7; Secret::LEN]),
            records,
        })
    }
}

impl Store for SimStore {
    fn book(&self) -> &BookName {
        &self.book
    }

    fn secret(&self) -> &Secret {
        &self.secret
    }

    fn place(&self) -> &str {
        PLACE
    }

    fn head(&self) -> Result<Option<Head>, StoreError> {
        let disk = self.disk.get();
        Ok(self.records.last().map(|&at| {
            let Batch { seq, hash, .. } = batch_at(&disk.log, at);
            Head { seq, hash }
        }))
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut disk = self.disk.get();
        let at = disk.log.len();
        disk.write(batch)
            .map_err(|cause| error(format!("write batch {}", batch.seq), cause))?;
        self.records.push(at);
        Ok(())
    }

    fn read(
        &self,
        from: u64,
        visit: &mut dyn FnMut(Batch) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut disk = self.disk.get();
        let flipped = disk.misreads().zip(disk.flip_on_read);
        for (number, &at) in (1..).zip(&self.records) {
            let mut batch = batch_at(&disk.log, at);
            if batch.seq < from {
                continue;
            }
            if let Some((_, bit)) = flipped.filter(|(hit, _)| *hit == number) {
                disk.read_right();
                match batch.body.is_empty() {
                    true => flip(&mut batch.hash.0, bit),
                    false => flip(&mut batch.body, bit),
                }
            }
            if visit(batch).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn stats(&self) -> Result<Stats, StoreError> {
        let disk = self.disk.get();
        let mut stats = Stats::default();
        for &at in &self.records {
            let batch = batch_at(&disk.log, at);
            stats.batches += 1;
            stats.events += u64::from(batch.events);
            stats.body_bytes += batch.body.len() as u64;
        }
        Ok(stats)
    }
}

const PLACE: &str = "the simulated disk";

fn error(doing: impl Into<String>, cause: impl Into<String>) -> StoreError {
    StoreError {
        place: PLACE.to_owned(),
        doing: doing.into(),
        cause: cause.into().into(),
    }
}
