//! The chain, and what happens when it is broken. The store is memory, so nothing else interferes.

use std::ops::ControlFlow;

use tandem_journal::{
    Batch, BatchBuilder, BookName, Chain, Hash, Head, Journal, JournalError, MAX_BODY, Memory,
    Secret, Stats, Store, StoreError,
};

use crate::{append, demo, events, fill, read_after, read_all};

fn filled() -> Memory {
    let mut memory = Memory::new(demo());
    let mut journal = Journal::open(Memory::new(demo())).unwrap();
    fill(&mut journal);
    memory.batches = read_all(&mut journal).unwrap();
    memory
}

/// What verification says after `damage`.
fn verdict(damage: impl FnOnce(&mut Vec<Batch>)) -> String {
    let mut memory = filled();
    damage(&mut memory.batches);
    let mut journal = Journal::open(memory).unwrap();
    let error = read_all(&mut journal).unwrap_err().to_string();
    let stopped = append(&mut journal, &[b"more"]).unwrap_err().to_string();
    assert_eq!(
        stopped,
        "memory: stopped by an earlier failure; start the program again: it continues from what \
         is on disk"
    );
    let error = error.strip_prefix("memory: ").unwrap();
    let error = error
        .strip_suffix("; do not continue with it: restore the journal from a backup")
        .unwrap();
    error.to_owned()
}

/// Gives a batch another event, under a hash that is its own again.
fn rewrite(batch: &mut Batch) {
    let mut other = filled();
    other.batches.truncate(batch.seq as usize - 1);
    let mut journal = Journal::open(other).unwrap();
    append(&mut journal, &[b"another"]).unwrap();
    *batch = read_all(&mut journal).unwrap().pop().unwrap();
}

#[test]
fn batches_come_back_as_they_were_written() {
    let mut journal = Journal::open(filled()).unwrap();
    assert_eq!(journal.book(), &demo());
    let batches = read_all(&mut journal).unwrap();
    assert_eq!(
        batches.iter().map(|batch| batch.seq).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    assert_eq!(events(&batches)[2..4], [&[2][..], &[2; 300]]);
    assert_eq!(batches[0].prev, journal.genesis().hash);
    assert_eq!(batches[3].hash, journal.head().hash);
    assert_eq!(
        journal.stats().unwrap(),
        Stats {
            batches: 4,
            events: 8,
            body_bytes: 4 * 304
        }
    );
}

#[test]
fn reading_continues_after_a_snapshot() {
    let mut journal = Journal::open(Memory::new(demo())).unwrap();
    let heads = fill(&mut journal);
    let after = read_after(&mut journal, heads[1]).unwrap();
    assert_eq!(
        after.iter().map(|batch| batch.seq).collect::<Vec<_>>(),
        [3, 4]
    );
    assert!(read_after(&mut journal, heads[3]).unwrap().is_empty());
}

#[test]
fn a_reader_may_stop_early() {
    #[derive(Debug)]
    enum Stop {
        Enough,
        Journal,
    }
    impl From<JournalError> for Stop {
        fn from(_: JournalError) -> Self {
            Stop::Journal
        }
    }
    let mut journal = Journal::open(filled()).unwrap();
    let genesis = journal.genesis();
    let stop = journal.read(genesis, |batch| {
        if batch.seq == 2 {
            Err(Stop::Enough)
        } else {
            Ok(())
        }
    });
    assert!(matches!(stop, Err(Stop::Enough)));
    append(&mut journal, &[b"goes on"]).unwrap();
}

#[test]
fn a_snapshot_of_another_journal_is_refused() {
    let other = Hash([9; 32]);
    let ask = |seq| {
        let mut journal = Journal::open(filled()).unwrap();
        read_after(&mut journal, Head { seq, hash: other })
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        ask(2),
        "memory: batch 3 does not continue batch 2: the hash it names is another; do not continue \
         with it: restore the journal from a backup"
    );
    assert_eq!(
        ask(4),
        "memory: batch 4 is not the one to continue after: the snapshot belongs to another \
         journal; use the one taken from this journal, or none"
    );
    assert_eq!(
        ask(6),
        "memory ends at batch 4, but was to be continued after batch 6: the journal lost batches, \
         or the snapshot belongs to another one; restore the journal from a backup"
    );
}

#[test]
fn a_flipped_byte_names_its_batch() {
    let changed = "batch 3 does not match its own hash: it was changed after it was written";
    for byte in [1, 4, 100, 303] {
        assert_eq!(verdict(|batches| batches[2].body[byte] ^= 1), changed);
    }
    assert_eq!(
        verdict(|batches| batches[2].events = 3),
        "batch 3 states 3 events, but its body holds 2"
    );
    assert_eq!(verdict(|batches| batches[2].hash.0[31] ^= 1), changed);
    assert_eq!(
        verdict(|batches| batches[2].prev.0[0] ^= 1),
        "batch 3 does not continue batch 2: the hash it names is another"
    );
}

#[test]
fn a_rewritten_batch_does_not_fit_the_next_one() {
    assert_eq!(
        verdict(|batches| rewrite(&mut batches[1])),
        "batch 3 does not continue batch 2: the hash it names is another"
    );
}

#[test]
fn swapped_batches_are_noticed() {
    let swap = |batches: &mut Vec<Batch>| {
        batches.swap(1, 2);
        batches[1].seq = 2;
        batches[2].seq = 3;
    };
    assert_eq!(
        verdict(swap),
        "batch 2 does not continue batch 1: the hash it names is another"
    );
}

#[test]
fn a_missing_batch_is_noticed() {
    assert_eq!(
        verdict(|batches| drop(batches.remove(1))),
        "batch 2 is missing: batch 3 stands in its place"
    );
}

#[test]
fn a_tail_lost_while_open_is_noticed() {
    struct Forgetful(Memory);
    impl Store for Forgetful {
        fn book(&self) -> &BookName {
            self.0.book()
        }
        fn secret(&self) -> &Secret {
            self.0.secret()
        }
        fn place(&self) -> &str {
            self.0.place()
        }
        fn head(&self) -> Result<Option<Head>, StoreError> {
            self.0.head()
        }
        fn append(&mut self, _: &Batch) -> Result<(), StoreError> {
            Ok(())
        }
        fn read(
            &self,
            from: u64,
            visit: &mut dyn FnMut(Batch) -> ControlFlow<()>,
        ) -> Result<(), StoreError> {
            self.0.read(from, visit)
        }
        fn stats(&self) -> Result<Stats, StoreError> {
            self.0.stats()
        }
    }
    let mut journal = Journal::open(Forgetful(filled())).unwrap();
    append(&mut journal, &[b"lost"]).unwrap();
    assert_eq!(
        read_all(&mut journal).unwrap_err().to_string(),
        "memory: batch 5 is missing: the journal should reach batch 5; do not continue with it: \
         restore the journal from a backup"
    );
}

#[test]
fn a_body_that_cannot_be_split_is_named() {
    let split = |body: &[u8]| verdict(|batches| batches[3].body = body.to_vec());
    assert_eq!(
        split(&[2, 7, 6, 7, 7]),
        "batch 4 is malformed: the event at byte 2 of its body runs past the end"
    );
    // A length that is not in its shortest form, one that does not end, one that is too long, no
    // parts, one shared part that is not written as such, and a part without its readers.
    for length in [
        &[0x82, 0x00][..],
        &[0x80],
        &[0x80, 0x80, 0x80, 0x01],
        &[1],
        &[3, 2, 7],
        &[3, 1],
    ] {
        assert_eq!(
            split(&[&[2, 7], length].concat()),
            "batch 4 is malformed: no valid length at byte 2 of its body"
        );
    }
    assert_eq!(
        split(&vec![0; MAX_BODY + 1]),
        "batch 4 has a body of 524289 bytes; the most is 524288"
    );
}

#[test]
fn the_first_malformed_event_is_the_last_item() {
    let mut batch = filled().batches.remove(0);
    batch.body = vec![2, 7, 18, 7];
    let events: Vec<_> = batch.events().collect();
    assert_eq!(events.len(), 2);
    assert_eq!(
        events[1].as_ref().unwrap_err().to_string(),
        "batch 1 is malformed: the event at byte 2 of its body runs past the end"
    );
}

#[test]
fn a_batch_of_another_book_is_refused() {
    let other = BookName::new("other").unwrap();
    let genesis = Head::genesis(&other);
    let mut chain = Chain::after(other, Secret::from_bytes([7; 32]), genesis);
    let error = chain.accept(&filled().batches[0]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "batch 1 does not continue batch 0: the hash it names is another"
    );
    assert_eq!(chain.head(), genesis);
}

#[test]
fn a_name_is_short_and_printable() {
    assert_eq!(
        BookName::new("Übersee-Kredit 7").unwrap().to_string(),
        "Übersee-Kredit 7"
    );
    assert!(BookName::new("x".repeat(64)).is_ok());
    assert!(BookName::new("x".repeat(65)).is_err());
    assert!(BookName::new("").is_err());
    assert_eq!(
        BookName::new("a\0").unwrap_err().to_string(),
        "\"a\\0\" cannot name a book: use 1 to 64 bytes, no control characters"
    );
}

/// A disk that is full after two batches.
struct Full(Memory);

impl Full {
    fn error(&self, doing: &str) -> StoreError {
        StoreError {
            place: self.place().to_owned(),
            doing: doing.to_owned(),
            cause: "no space left".into(),
        }
    }
}

impl Store for Full {
    fn book(&self) -> &BookName {
        self.0.book()
    }

    fn secret(&self) -> &Secret {
        self.0.secret()
    }

    fn place(&self) -> &str {
        "disk"
    }

    fn head(&self) -> Result<Option<Head>, StoreError> {
        self.0.head()
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if self.0.batches.len() == 2 {
            return Err(self.error("write batch 3"));
        }
        self.0.append(batch)
    }

    fn read(&self, _: u64, _: &mut dyn FnMut(Batch) -> ControlFlow<()>) -> Result<(), StoreError> {
        Err(self.error("read batch 1"))
    }

    fn stats(&self) -> Result<Stats, StoreError> {
        Err(self.error("count the batches"))
    }
}

const STOPPED: &str = "disk: stopped by an earlier failure; start the program again: it continues from what is on \
     disk";

#[test]
fn after_a_failed_append_nothing_is_taken() {
    let mut journal = Journal::open(Full(Memory::new(demo()))).unwrap();
    append(&mut journal, &[b"1"]).unwrap();
    let head = append(&mut journal, &[b"2"]).unwrap();

    let mut batch = BatchBuilder::new();
    batch.push(b"three").unwrap();
    assert_eq!(
        journal.append(&mut batch).unwrap_err().to_string(),
        "disk: cannot write batch 3: no space left; nothing more is taken: remove the cause, then \
         start the program again"
    );
    assert_eq!(
        (batch.len(), batch.body_len()),
        (1, 6),
        "the events stay in the builder"
    );
    assert_eq!(journal.head(), head);
    assert_eq!(journal.append(&mut batch).unwrap_err().to_string(), STOPPED);
    assert_eq!(read_all(&mut journal).unwrap_err().to_string(), STOPPED);
    assert_eq!(journal.stats().unwrap_err().to_string(), STOPPED);
}

#[test]
fn a_failed_read_stops_too() {
    let mut journal = Journal::open(Full(Memory::new(demo()))).unwrap();
    assert_eq!(
        read_all(&mut journal).unwrap_err().to_string(),
        "disk: cannot read batch 1: no space left"
    );
    assert_eq!(
        append(&mut journal, &[b"1"]).unwrap_err().to_string(),
        STOPPED
    );

    let mut journal = Journal::open(Full(Memory::new(demo()))).unwrap();
    assert_eq!(
        journal.stats().unwrap_err().to_string(),
        "disk: cannot count the batches: no space left"
    );
    assert_eq!(
        append(&mut journal, &[b"1"]).unwrap_err().to_string(),
        STOPPED
    );
}
