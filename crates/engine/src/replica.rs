//! A book that follows its journal without writing it.

use tandem_domain::book::{Book, Event, Hashes};
use tandem_domain::ledger::Entry;
use tandem_journal::{Head, Journal, Store};

use crate::disclosure::Disclosure;
use crate::replay::{ReplayError, Step, apply_checked, each_event};
use crate::{Engine, Tail, Written};

/// A book as it was after a batch of its journal. It is moved on by reading the journal, or by
/// being handed what a writer made durable, and becomes the book of a writer at a takeover.
#[derive(Clone, Debug)]
pub struct Replica {
    pub(crate) book: Book,
    pub(crate) disclosure: Disclosure,
    pub(crate) head: Head,
}

impl Replica {
    pub(crate) fn empty(genesis: Head) -> Replica {
        Replica {
            book: Book::default(),
            disclosure: Disclosure::default(),
            head: genesis,
        }
    }

    /// The book.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The last batch that it knows.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Who is shown what of the next event.
    pub fn disclosure(&self) -> &Disclosure {
        &self.disclosure
    }

    /// Reads what the journal holds beyond this replica, and checks it; `observe` sees every
    /// event after it was applied.
    pub fn advance<S: Store>(
        &mut self,
        journal: &mut Journal<S>,
        observe: &mut impl FnMut(Step<'_>, &Disclosure),
    ) -> Result<(), ReplayError> {
        let (book, disclosure) = (&mut self.book, &mut self.disclosure);
        let mut entries = Vec::new();
        each_event(journal, self.head, book, |book, batch, event, hashes| {
            take(
                book,
                disclosure,
                batch,
                (event, hashes),
                &mut entries,
                observe,
            )
        })?;
        self.head = journal.head();
        Ok(())
    }

    /// Applies what a writer of this process has made durable beyond this replica.
    pub fn feed(
        &mut self,
        written: &Written,
        observe: &mut impl FnMut(Step<'_>, &Disclosure),
    ) -> Result<(), ReplayError> {
        let (book, disclosure) = (&mut self.book, &mut self.disclosure);
        let mut entries = Vec::new();
        for (batch, event) in &written.events {
            take(
                book,
                disclosure,
                *batch,
                (event, event.hashes()),
                &mut entries,
                observe,
            )?;
        }
        self.head = written.head;
        Ok(())
    }

    /// Makes it the book of a writer; reads first what the journal holds beyond it.
    pub fn into_engine<S: Store>(
        mut self,
        mut journal: Journal<S>,
    ) -> Result<Engine<S>, ReplayError> {
        let (book, disclosure) = (&mut self.book, &mut self.disclosure);
        each_event(
            &mut journal,
            self.head,
            book,
            |book, batch, event, hashes| {
                disclosure.observe(event);
                apply_checked(book, event, hashes, batch, &mut |_| {})
            },
        )?;
        Ok(Engine {
            book: self.book,
            events: Vec::new(),
            tail: Tail::new(journal, self.disclosure),
            failed: false,
        })
    }
}

fn take(
    book: &mut Book,
    disclosure: &mut Disclosure,
    batch: u64,
    (event, hashes): (&Event, Hashes),
    entries: &mut Vec<Entry>,
    observe: &mut impl FnMut(Step<'_>, &Disclosure),
) -> Result<(), ReplayError> {
    entries.clear();
    disclosure.observe(event);
    apply_checked(book, event, hashes, batch, &mut |entry| {
        entries.push(entry.clone())
    })?;
    let step = Step {
        batch,
        event,
        entries,
        book,
    };
    observe(step, disclosure);
    Ok(())
}
