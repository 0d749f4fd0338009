//! Reading a journal back: what is wrong with it is told after all that comes before it, though
//! it is read ahead.

use tandem_domain::book::{Book, Close, Event};
use tandem_domain::calendar::Day;
use tandem_domain::money::Rate;
use tandem_engine::{Step, replay};
use tandem_journal::{BatchBuilder, BookName, Journal, Memory};

use crate::writer::documents;

/// A journal with an agreement in its first batch, then with batches of these events.
fn journal(batches: &[&[Vec<u8>]]) -> Memory {
    let mut journal = Journal::open(Memory::new(BookName::new("example").unwrap())).unwrap();
    let signed = encoded(&Event::Signed {
        day: Day(0),
        documents: documents(),
    });
    let mut builder = BatchBuilder::new();
    for events in [&[signed][..]].iter().chain(batches) {
        for event in *events {
            builder.push(event).unwrap();
        }
        journal.append(&mut builder).unwrap();
    }
    journal.store().clone()
}

fn encoded(event: &Event) -> Vec<u8> {
    minicbor::to_vec(event).unwrap()
}

fn fixed(day: i32) -> Vec<u8> {
    encoded(&Event::Fixed {
        index: "R".into(),
        day: Day(day),
        rate: Rate(1),
    })
}

/// How many events were seen, and the error that ended the reading.
fn read(store: Memory) -> (usize, String) {
    let mut seen = 0;
    let book = replay(&mut Journal::open(store).unwrap(), &mut |_: Step<'_>| {
        seen += 1;
    });
    (
        seen,
        book.expect_err("something is wrong with it").to_string(),
    )
}

#[test]
fn a_fault_is_told_after_all_events_before_it() {
    let broken = vec![0xff];
    let (seen, error) = read(journal(&[
        &[fixed(1)],
        &[fixed(2), broken.clone(), fixed(3)],
        &[fixed(4)],
    ]));
    assert_eq!(seen, 3);
    let expected = "event 2 of batch 3 cannot be read: ";
    assert!(error.starts_with(expected), "{error}");
    assert!(
        error.ends_with("; the journal was written by another program"),
        "{error}"
    );
}

#[test]
fn of_two_faults_the_first_is_told() {
    let backwards = fixed(1);
    let impossible = "batch 3: an event fixes a reference rate for a day before one that is known; the \
                      journal was not written by this program";
    let (seen, error) = read(journal(&[
        &[fixed(2)],
        &[backwards.clone(), vec![0xff]],
        &[fixed(3)],
    ]));
    assert_eq!((seen, error.as_str()), (2, impossible));
    // Many batches that wait behind it are not waited for, and a broken one is not told.
    let many = vec![fixed(3)];
    let mut batches: Vec<&[Vec<u8>]> = vec![&many; 50];
    let (first, second) = ([fixed(2)], [backwards]);
    batches[..2].copy_from_slice(&[&first[..], &second[..]]);
    let mut store = journal(&batches);
    store.batches[10].body[4] ^= 1;
    let (seen, error) = read(store);
    assert_eq!((seen, error.as_str()), (2, impossible));
}

#[test]
fn a_batch_that_was_changed_is_named_after_all_before_it_are_seen() {
    let batches: Vec<_> = (1..=20).map(|day| vec![fixed(day)]).collect();
    let batches: Vec<&[Vec<u8>]> = batches.iter().map(Vec::as_slice).collect();
    let mut store = journal(&batches);
    store.batches[9].body[4] ^= 1;
    let expected = "memory: batch 10 does not match its own hash: it was changed after it was \
                    written; do not continue with it: restore the journal from a backup";
    assert_eq!(read(store), (9, expected.to_owned()));
}

#[test]
fn a_close_that_comes_out_otherwise_is_named() {
    let close = Close {
        day: Day(0),
        active_loans: 1,
        outstanding: Default::default(),
        by_class: Vec::new(),
        entries: 0,
        digest: [0; 32],
    };
    let (seen, error) = read(journal(&[&[encoded(&Event::DayClosed(close))]]));
    let expected = "batch 2: closing 1970-01-01 gives other totals than recorded; the program that \
                    wrote it calculated differently";
    assert_eq!((seen, error.as_str()), (1, expected));
}

#[test]
fn a_digest_that_differs_is_told_before_anything_that_comes_later() {
    let mut book = Book::default();
    let signed = Event::Signed {
        day: Day(0),
        documents: documents(),
    };
    book.apply(&signed, &mut |_| {});
    let mut close = book.summary();
    let closed = encoded(&Event::DayClosed(close.clone()));
    let sound = journal(&[&[closed, fixed(2)]]);
    let again = replay(&mut Journal::open(sound).unwrap(), &mut |_: Step<'_>| {});
    assert_eq!(again.unwrap().fixings("R").len(), 1);
    close.digest[0] ^= 1;
    let closed = encoded(&Event::DayClosed(close));
    let expected = "batch 2: closing 1970-01-01 gives other digest than recorded; the program that \
                    wrote it calculated differently";
    for later in [fixed(3), fixed(1), vec![0xff]] {
        let store = journal(&[&[closed.clone(), fixed(2), later]]);
        assert_eq!(read(store).1, expected);
    }
    let mut broken = journal(&[&[closed], &[fixed(2)]]);
    broken.batches[2].body[4] ^= 1;
    assert_eq!(read(broken).1, expected);
}
