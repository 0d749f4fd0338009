//! How long a book takes to open: from a snapshot, and from its journal.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use tandem_domain::book::{Book, Command};
use tandem_engine::Engine;
use tandem_journal::{
    Batch, BookName, Head, Journal, Memory, Secret, Sqlite, Stats, Store, StoreError, snapshot,
};

use super::portfolio::{Desk, Portfolio, carried_out};
use super::{memory_bytes, round};
use crate::export;
use crate::fail::{Failure, Outcome};
use crate::programme::Programme;
use crate::run::progress;

/// Grows a portfolio, writes a snapshot, and opens the book from it.
pub(super) fn from_snapshot(programme: &Programme, loans: u64, folder: &Path) -> Outcome {
    let store = LastOnly(Memory::new(BookName::new("bench")?));
    let mut engine = grown(programme, loans, Journal::open(store)?)?;
    let digest = engine.book().digest();
    let begun = Instant::now();
    let path = engine.snapshot(folder)?;
    let writing = begun.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(&path).map_err(|error| Failure::io(&path, &error))?;
    let store = engine.journal().store().clone();
    drop(engine);
    // A start finds the file as the last run left it, in the system's memory or not.
    let begun = Instant::now();
    let (engine, unusable) = Engine::open_from(Journal::open(store)?, folder)?;
    let opening = begun.elapsed().as_secs_f64();
    if let Some(error) = unusable.first() {
        return Err(Failure(error.to_string()));
    }
    if engine.book().digest() != digest {
        return Err(Failure("the book that was opened is another".to_owned()));
    }
    let megabytes = bytes.len() as f64 / 1e6;
    export::show(&format!(
        "{loans} loans: a snapshot of {megabytes:.0} MB written in {writing:.2} s, the book opened from it in \
         {opening:.2} s; its digest is the same\n{}\n",
        json!({
            "loans": loans,
            "snapshot_mb": round(megabytes),
            "write_s": round(writing),
            "open_s": round(opening),
            "peak_memory_mib": memory_bytes(super::OWN_STATUS, "VmHWM").map(|bytes| bytes >> 20),
        })
    ))?;
    for (path, _) in snapshot::list(folder).map_err(|error| Failure::io(folder, &error))? {
        std::fs::remove_file(&path).map_err(|error| Failure::io(&path, &error))?;
    }
    Ok(())
}

/// Grows a portfolio in a journal, and reads the journal back.
pub(super) fn from_journal(programme: &Programme, loans: u64, folder: &Path) -> Outcome {
    let path = folder.join("book.db");
    let store = Sqlite::create(&path, &BookName::new("bench")?)?;
    let mut engine = grown(programme, loans, Journal::open(store)?)?;
    let (digest, stats) = (engine.book().digest(), engine.journal().stats()?);
    drop(engine);
    let begun = Instant::now();
    let engine = Engine::open(Journal::open(Sqlite::open_read_only(&path)?)?)?;
    let took = begun.elapsed().as_secs_f64();
    if engine.book().digest() != digest {
        return Err(Failure("the book that was read back is another".to_owned()));
    }
    let a_second = stats.events as f64 / took;
    export::show(&format!(
        "{} events of {loans} loans read back and checked in {took:.2} s: {a_second:.0} a second\n{}\n",
        stats.events,
        json!({
            "loans": loans,
            "events": stats.events,
            "journal_mb": round(stats.body_bytes as f64 / 1e6),
            "seconds": round(took),
            "events_per_s": a_second.round(),
        })
    ))
}

fn grown<S: Store>(programme: &Programme, loans: u64, journal: Journal<S>) -> Outcome<Engine<S>> {
    let mut portfolio = Portfolio::of(programme, loans)?;
    let mut engine = Engine::open(journal)?;
    let bar = progress(portfolio.steps(), "commands");
    portfolio.grow(&mut engine, &bar)?;
    bar.finish_and_clear();
    Ok(engine)
}

impl<S: Store> Desk for Engine<S> {
    fn submit(&mut self, commands: Vec<Command>) -> Outcome {
        for answer in Engine::submit(self, commands)? {
            carried_out(answer)?;
        }
        Ok(())
    }

    fn book(&self) -> &Book {
        Engine::book(self)
    }
}

/// Keeps the last batch alone, for a book whose journal would not fit.
#[derive(Clone)]
struct LastOnly(Memory);

impl Store for LastOnly {
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

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.0.batches.clear();
        self.0.append(batch)
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
