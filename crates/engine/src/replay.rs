//! Reading a journal back into a book, and checking on the way that it gives what it gave when
//! it was written.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::{self, Scope, ScopedJoinHandle};

use tandem_domain::book::{Apart, ApplicationState, Book, Close, Deferred, Event, Hashes, Version};
use tandem_domain::calendar::Day;
use tandem_domain::ledger::Entry;
use tandem_domain::loan::{Action, Totals, Transaction};
use tandem_domain::party::MAX_PARTIES;
use tandem_domain::settlement::Transfer;
use tandem_journal::{Batch, Head, Journal, JournalError, Store};
use thiserror::Error;

/// One event of a journal, just applied.
pub struct Step<'a> {
    /// Number of its batch.
    pub batch: u64,
    /// The event.
    pub event: &'a Event,
    /// The ledger entries that it made.
    pub entries: &'a [Entry],
    /// The book after it. Its digest is right, and keys of instructions are found, once all is read;
    /// until then that is on its way.
    pub book: &'a Book,
}

/// Why a journal could not be read back.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The journal cannot be read or its chain is broken.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An event cannot be decoded.
    #[error(
        "event {event} of batch {batch} cannot be read: {cause}; the journal was written by another program"
    )]
    Unreadable {
        /// The batch.
        batch: u64,
        /// Number of the event in the batch, from 1.
        event: usize,
        /// What the decoder says.
        cause: String,
    },
    /// An event names something that is not there, or documents that cannot be read.
    #[error("batch {batch}: an event {what}; the journal was not written by this program")]
    Impossible {
        /// The batch.
        batch: u64,
        /// What is impossible about it.
        what: &'static str,
    },
    /// A day close does not give the recorded totals and digest.
    #[error(
        "batch {batch}: closing {day} gives other {what} than recorded; the program that wrote it calculated differently"
    )]
    CloseDiffers {
        /// The batch.
        batch: u64,
        /// The day.
        day: Day,
        /// What differs.
        what: &'static str,
    },
    /// A transaction does not change a loan as recorded.
    #[error(
        "batch {batch}: loan {loan} changes otherwise than recorded; the program that wrote it calculated differently"
    )]
    ChangeDiffers {
        /// The batch.
        batch: u64,
        /// Key of the loan.
        loan: String,
    },
}

/// Rebuilds the book from its journal; `observe` sees every event after it was applied.
pub fn replay<S: Store>(
    journal: &mut Journal<S>,
    observe: &mut impl FnMut(Step<'_>),
) -> Result<Book, ReplayError> {
    let (mut book, mut entries) = (Book::with_archive(), Vec::new());
    let start = journal.genesis();
    each_event(journal, start, &mut book, |book, batch, event, hashes| {
        entries.clear();
        apply_checked(book, event, hashes, batch, &mut |entry| {
            entries.push(entry.clone());
        })?;
        observe(Step {
            batch,
            event,
            entries: &entries,
            book,
        });
        Ok(())
    })?;
    Ok(book)
}

/// Batches that are read ahead of the one whose events are taken, at the most.
const AHEAD: usize = 4;
/// Events whose loans and keys come from memory together.
const FETCHED: usize = 64;
/// Events whose loans are hashed together.
const HASHED: usize = 4 * FETCHED;
/// So many times as many may wait for it.
const BEHIND: usize = 16;

/// Reads the events after `head`, each with the number of its batch and its hashes, and checks what
/// day closes left. The journal is read, checked and decoded on a thread of its own; what is found wrong
/// there is told once all events before it are taken. Digests are compared on a third one; what is found
/// wrong there is told before anything that comes later, some of which may have been taken.
pub(crate) fn each_event<S: Store>(
    journal: &mut Journal<S>,
    head: Head,
    book: &mut Book,
    mut take: impl FnMut(&mut Book, u64, &Event, Hashes) -> Result<(), ReplayError>,
) -> Result<(), ReplayError> {
    let (full, batches) = sync_channel(AHEAD);
    // Events are freed by the thread that asked for their memory, which costs less, and the next take
    // their room.
    let (done, taken) = channel();
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            journal.read(head, |batch| {
                let mut events: Vec<Hashed> = taken.try_recv().unwrap_or_default();
                let whole = decode(batch, &mut events);
                let ends = whole.is_err();
                // Nobody takes more after a fault. None tells that it is not the journal's.
                match full.send((batch.seq, events, whole)) {
                    Ok(()) if !ends => Ok(()),
                    _ => Err(None::<JournalError>),
                }
            })
        });
        let helper = Helper::begin(scope, book.set_apart());
        let each = || -> Result<(), ReplayError> {
            for (batch, events, whole) in batches {
                for events in events.chunks(HASHED) {
                    for events in events.chunks(FETCHED) {
                        book.fetch(events);
                        for (event, hashes) in events {
                            if let Event::DayClosed(recorded) = event {
                                check_close(book, recorded, batch)?;
                                if !helper.hand_over(book, Some((batch, recorded))) {
                                    return Ok(());
                                }
                            }
                            take(book, batch, event, *hashes)?;
                        }
                    }
                    if !helper.hand_over(book, None) {
                        return Ok(());
                    }
                }
                whole?;
                // Once all is read, nobody frees it there.
                let _ = done.send(events);
            }
            Ok(())
        };
        let taken = each();
        // What the helper finds wrong comes before what ended the taking.
        helper.end(book)?;
        taken?;
        match reading.join() {
            Ok(Err(Some(error))) => Err(error.into()),
            Ok(_) => Ok(()),
            Err(panic) => resume_unwind(panic),
        }
    })
}

/// A thread that does what the applying of events need not wait for: it takes the hashes of loans that
/// have changed, compares digests, and keeps the keys.
struct Helper<'scope> {
    work: SyncSender<Work>,
    /// Room for more.
    rooms: Receiver<Deferred>,
    thread: ScopedJoinHandle<'scope, (Apart, Result<(), ReplayError>)>,
}

/// What was left to it, and the day close that comes next, with its batch.
struct Work {
    deferred: Deferred,
    close: Option<(u64, Day, [u8; 32])>,
}

impl<'scope> Helper<'scope> {
    fn begin(scope: &'scope Scope<'scope, '_>, mut apart: Apart) -> Helper<'scope> {
        let (work, works) = sync_channel::<Work>(BEHIND);
        let (done, rooms) = channel();
        let thread = scope.spawn(move || {
            for Work { deferred, close } in works {
                apart.take_in(&deferred);
                if let Some((batch, day, digest)) = close
                    && apart.digest(&deferred) != digest
                {
                    let what = "digest";
                    return (apart, Err(ReplayError::CloseDiffers { batch, day, what }));
                }
                // At the end nobody needs room.
                let _ = done.send(deferred);
            }
            (apart, Ok(()))
        });
        Helper {
            work,
            rooms,
            thread,
        }
    }

    /// Hands over what the book left, before a day is closed or in between; false if it has found
    /// something wrong before.
    fn hand_over(&self, book: &mut Book, close: Option<(u64, &Close)>) -> bool {
        let room = self.rooms.try_recv().unwrap_or_default();
        let deferred = book.take_deferred(room, close.is_some());
        let close = close.map(|(batch, close)| (batch, close.day, close.digest));
        self.work.send(Work { deferred, close }).is_ok()
    }

    /// Gives the book back all that is its own; what was found wrong.
    fn end(self, book: &mut Book) -> Result<(), ReplayError> {
        self.hand_over(book, None);
        drop(self.work);
        let (apart, found) = self
            .thread
            .join()
            .unwrap_or_else(|panic| resume_unwind(panic));
        book.join(apart);
        found
    }
}

/// An event with its hashes.
type Hashed = (Event, Hashes);

/// Makes `events` those of a batch up to the first that cannot be decoded; what is wrong with that.
fn decode(batch: &Batch, events: &mut Vec<Hashed>) -> Result<(), ReplayError> {
    events.clear();
    for (index, bytes) in batch.events().enumerate() {
        let event: Event = minicbor::decode(bytes?).map_err(|error| ReplayError::Unreadable {
            batch: batch.seq,
            event: index + 1,
            cause: error.to_string(),
        })?;
        let hashes = event.hashes();
        events.push((event, hashes));
    }
    Ok(())
}

/// Applies an event of a batch if it can be applied, and checks that it changes its loan, if it
/// changes one, as it says. The hashes are what [`Event::hashes`] gives.
pub fn apply_checked(
    book: &mut Book,
    event: &Event,
    hashes: Hashes,
    batch: u64,
    entries: &mut impl FnMut(&Entry),
) -> Result<(), ReplayError> {
    if let Some(what) = impossible(book, event) {
        return Err(ReplayError::Impossible { batch, what });
    }
    let change = book.apply_hashed(event, hashes, entries);
    check_change(book, event, change, batch)
}

/// Why an event cannot be applied to this book, if it cannot: applying itself never fails.
fn impossible(book: &Book, event: &Event) -> Option<&'static str> {
    let version = |place: u16| book.versions().get(usize::from(place));
    let (holds, what) = match event {
        Event::Signed { documents, .. } => (
            Version::parse(documents.clone()).is_ok(),
            "signs documents that are not valid",
        ),
        Event::Decided(decided) => {
            let expected = version(decided.version)
                .map(|version| (version.agreement.scope.fields.len(), version.policies.len()));
            let found = (decided.values.len(), decided.decisions.len());
            (
                expected == Some(found) && decided.fits(found.1),
                "decides an application that does not fit its agreement",
            )
        }
        Event::Underwritten {
            application,
            lender,
            decided,
        } => (
            book.referral(*application).is_some()
                && book.waits(*application, decided)
                && usize::from(*lender) < decided.decisions.len(),
            "decides an application that does not wait for a person",
        ),
        Event::Withdrawn { application } | Event::Disbursed { application } => {
            let record = book.application_at(*application);
            let offered = record.is_some_and(|record| record.state == ApplicationState::Offered);
            let waits =
                matches!(event, Event::Withdrawn { .. }) && book.referral(*application).is_some();
            (
                offered || waits,
                "takes or gives back an offer that does not stand",
            )
        }
        Event::Instructed {
            loan, transaction, ..
        }
        | Event::ChargedOff {
            loan, transaction, ..
        } => return impossible_transaction(book, *loan, transaction),
        Event::Reversed { loan, number, .. } => {
            let Some(loan) = book.loan_at(*loan) else {
                return Some(NO_LOAN);
            };
            (
                *number > 0
                    && (loan.history.newest_first()).any(|(known, _)| known.number == *number),
                "reverses what was not done to its loan",
            )
        }
        Event::Fixed { index, day, .. } => (
            (book.fixings(index).last()).is_none_or(|last| last.day < *day),
            "fixes a reference rate for a day before one that is known",
        ),
        Event::Planned(plan) => {
            let known = |transfer: &Transfer| {
                transfer.from.index() < MAX_PARTIES && transfer.to.index() < MAX_PARTIES
            };
            let holds =
                plan.is_exact() && plan.obligations.iter().chain(&plan.transfers).all(known);
            (holds, "plans a settlement that is not exact")
        }
        Event::Archived { loans, .. } => (
            book.can_archive(loans),
            "archives loans that are not there or not repaid",
        ),
        Event::SliceSent(sliced) => (book.can_move(sliced, false), NO_ROOM),
        Event::SliceReceived(sliced) => (book.can_move(sliced, true), NO_ROOM),
        Event::DayEnded { .. }
        | Event::Settled { .. }
        | Event::Adjusted { .. }
        | Event::DayClosed(_) => (!book.versions().is_empty(), CLOSES_NOTHING),
    };
    (!holds).then_some(what)
}

const CLOSES_NOTHING: &str = "closes a day without an agreement";
const NO_ROOM: &str = "moves a slice of a limit that is not there, or more than there is of it";
const NO_LOAN: &str = "changes a loan that is not there";

fn impossible_transaction(
    book: &Book,
    loan: u32,
    transaction: &Transaction,
) -> Option<&'static str> {
    let Some(entered) = book.entered(loan) else {
        return Some(NO_LOAN);
    };
    if Some(transaction.number) != entered.checked_add(1) {
        return Some("changes a loan under a number that is not the next");
    }
    match transaction.action {
        Action::Pause { cycles: 0, .. } => Some("pauses a loan for no time"),
        Action::Transfer(sale) => {
            let loan = book.loan_in(loan);
            let holders = loan.split(&book.version_of(&loan).agreement).holders;
            let can_buy = sale.buyer.index() < MAX_PARTIES && !holders.is_full();
            let holds = holders.find(sale.seller).is_some()
                && (can_buy || holders.find(sale.buyer).is_some());
            (!holds).then_some("sells a share between parties that cannot")
        }
        _ => None,
    }
}

/// The loan that an event changes, and how it says so.
fn change_of(event: &Event) -> Option<(u32, &Totals)> {
    match event {
        Event::Instructed { loan, change, .. }
        | Event::Reversed { loan, change, .. }
        | Event::ChargedOff { loan, change, .. } => Some((*loan, change)),
        _ => None,
    }
}

/// Checks all that a day close recorded but the digest, which the helper compares.
fn check_close(book: &Book, recorded: &Close, batch: u64) -> Result<(), ReplayError> {
    if book.versions().is_empty() {
        return Err(ReplayError::Impossible {
            batch,
            what: CLOSES_NOTHING,
        });
    }
    match book.summary_with(recorded.digest) == *recorded {
        true => Ok(()),
        false => Err(ReplayError::CloseDiffers {
            batch,
            day: recorded.day,
            what: "totals",
        }),
    }
}

fn check_change(
    book: &Book,
    event: &Event,
    change: Option<Totals>,
    batch: u64,
) -> Result<(), ReplayError> {
    let recorded = change_of(event);
    if recorded.map(|(_, recorded)| recorded) == change.as_ref() {
        return Ok(());
    }
    let loan = recorded.and_then(|(loan, _)| book.loan_at(loan));
    let loan = loan.map_or_else(String::new, |loan| book.key_of(&loan).to_owned());
    Err(ReplayError::ChangeDiffers { batch, loan })
}
