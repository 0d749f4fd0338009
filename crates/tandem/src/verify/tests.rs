//! Journals as somebody could change or forge them.

use indicatif::ProgressBar;
use tandem_domain::book::{Event, Verdict};
use tandem_domain::funding::Part;
use tandem_domain::loan::{Action, Sale, Totals, Transaction};
use tandem_domain::money::{Amount, Rate};
use tandem_domain::party::PartyId;
use tandem_engine::replay;
use tandem_journal::{BookName, Journal, JournalError, Memory};
use tandem_web::hex;

use super::check::Check;
use super::read;
use crate::export::sample;
use crate::fail::Outcome;

pub(super) fn verified(mut journal: Journal<Memory>) -> Outcome<(Vec<Check>, String)> {
    read(&mut journal, &ProgressBar::hidden())
}

/// The sample's journal with the first `keep` events after an edit of them, under a chain of
/// hashes that is whole: what somebody who runs the book could write.
pub(super) fn forged(keep: usize, edit: impl FnOnce(&mut Vec<Event>)) -> Journal<Memory> {
    forged_of(&mut sample::engine(), keep, edit)
}

pub(super) fn forged_of(
    engine: &mut tandem_engine::Engine<Memory>,
    keep: usize,
    edit: impl FnOnce(&mut Vec<Event>),
) -> Journal<Memory> {
    let mut events: Vec<Event> = Vec::new();
    replay(engine.journal(), &mut |step| {
        events.push(step.event.clone())
    })
    .unwrap();
    events.truncate(keep);
    edit(&mut events);
    let mut journal = Journal::open(Memory::new(BookName::new("orchard").unwrap())).unwrap();
    let mut batch = tandem_journal::BatchBuilder::new();
    for event in events {
        batch.push(&minicbor::to_vec(&event).unwrap()).unwrap();
        journal.append(&mut batch).unwrap();
    }
    journal
}

/// What fails in a forged journal.
pub(super) fn found(journal: Journal<Memory>) -> String {
    let (checks, _) = verified(journal).unwrap();
    let failed = checks
        .iter()
        .filter(|check| !check.passed)
        .map(ToString::to_string);
    failed.collect::<Vec<_>>().join("\n")
}

/// The sample's journal after an edit of its batches.
fn edited(edit: impl FnOnce(&mut Memory)) -> Journal<Memory> {
    let mut memory = Memory::new(BookName::new("orchard").unwrap());
    let mut engine = sample::engine();
    let journal = engine.journal();
    let copy = |batch: &tandem_journal::Batch| {
        memory.batches.push(batch.clone());
        Ok::<_, JournalError>(())
    };
    journal.read(journal.genesis(), copy).unwrap();
    edit(&mut memory);
    Journal::open(memory).unwrap()
}

#[test]
fn a_sound_book_passes_every_check() {
    let (checks, text) = verified(edited(|_| {})).unwrap();
    assert!(checks.iter().all(|check| check.passed), "{text}");
    let book = sample::engine().book().digest();
    let digest = hex(&book);
    let (rest, last) = text.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(last, format!("digest {digest}"));
    crate::export::tests::golden(rest, "verify");
}

#[test]
fn a_book_in_which_everything_was_done_passes_every_check() {
    for mut engine in [sample::eventful(), sample::referred()] {
        let (checks, text) = read(engine.journal(), &ProgressBar::hidden()).unwrap();
        assert!(checks.iter().all(|check| check.passed), "{text}");
    }
}

#[test]
fn a_changed_byte_names_its_batch() {
    let journal = edited(|memory| {
        let body = &mut memory.batches[6].body;
        let middle = body.len() / 2;
        body[middle] ^= 1;
    });
    assert_eq!(
        verified(journal).expect_err("it was changed").0,
        "memory: batch 7 does not match its own hash: it was changed after it was written; \
         do not continue with it: restore the journal from a backup"
    );
}

#[test]
fn a_verdict_about_lenders_that_are_not_there_is_refused() {
    let part = Part {
        amount: Amount(1),
        rate: Rate::ONE,
    };
    let offered = Verdict::Offered {
        parts: [part].into_iter().collect(),
        rate: Rate::ONE,
        valid_to: "2030-01-01".parse().unwrap(),
    };
    let verdicts = [Verdict::Referred(vec![7], None), offered];
    for (underwritten, expected) in [
        (
            false,
            "decides an application that does not fit its agreement",
        ),
        (
            true,
            "decides an application that does not wait for a person",
        ),
    ] {
        for verdict in &verdicts {
            let journal = forged_of(&mut sample::referred(), 8, |events| {
                let decided = events.iter_mut().find_map(|event| match event {
                    Event::Decided(decided) if !underwritten => Some(decided),
                    Event::Underwritten { decided, .. } if underwritten => Some(decided),
                    _ => None,
                });
                decided.unwrap().verdict = verdict.clone();
            });
            let said = verified(journal).expect_err("there is no such lender").0;
            assert!(said.contains(expected), "{said}");
        }
    }
}

#[test]
fn an_event_about_nothing_is_refused() {
    let journal = forged(usize::MAX, |events| {
        events.push(Event::Disbursed { application: 99 });
    });
    let said = verified(journal)
        .expect_err("there is no such application")
        .0;
    assert!(
        said.contains("an event takes or gives back an offer that does not stand"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_done_to_a_loan_is_refused() {
    let fixed = |day: &str| Event::Fixed {
        index: "LPR1Y".to_owned(),
        day: day.parse().unwrap(),
        rate: Rate(3_450_000),
    };
    let instructed = |number, action| Event::Instructed {
        key: "X".to_owned(),
        body: 0,
        loan: 1,
        transaction: Transaction {
            day: "2024-07-05".parse().unwrap(),
            action,
            number,
        },
        change: Totals::default(),
    };
    let reversed = |loan, number| Event::Reversed {
        key: "X".to_owned(),
        body: 0,
        loan,
        number,
        change: Totals::default(),
    };
    let sale = |seller, buyer| {
        Action::Transfer(Sale {
            seller: PartyId(seller),
            buyer: PartyId(buyer),
            part: Rate::ONE,
            price: Rate::ONE,
        })
    };
    let pause = |cycles| Action::Pause {
        cycles,
        interest: true,
    };
    let unknown = "reverses what was not done to its loan";
    let used = "changes a loan under a number that is not the next";
    let sells = "sells a share between parties that cannot";
    for (events, expected) in [
        (vec![reversed(1, 99)], unknown),
        // It was reversed once already.
        (vec![reversed(1, 1)], unknown),
        (vec![reversed(1, 0)], unknown),
        (vec![reversed(2, 1)], "changes a loan that is not there"),
        (vec![instructed(8, pause(1))], used),
        (vec![instructed(9, pause(0))], "pauses a loan for no time"),
        (vec![instructed(9, sale(3, 0))], sells),
        (vec![instructed(9, sale(0, 200))], sells),
        (
            vec![fixed("2024-08-01"), fixed("2024-08-01")],
            "fixes a reference rate for a day before one that is known",
        ),
    ] {
        let mut engine = sample::eventful();
        let journal = forged_of(&mut engine, usize::MAX, |known| known.extend(events));
        let said = verified(journal).expect_err("it is impossible").0;
        assert!(said.contains(&format!("an event {expected};")), "{said}");
    }
    let journal = forged_of(&mut sample::eventful(), usize::MAX, |known| {
        known.push(reversed(1, 8));
    });
    let said = verified(journal).expect_err("it changes more").0;
    assert!(
        said.contains("loan C-2 changes otherwise than recorded"),
        "{said}"
    );
}

#[test]
fn what_the_day_close_recorded_must_come_out() {
    let journal = forged(usize::MAX, |events| {
        let close = events.iter_mut().find_map(|event| match event {
            Event::DayClosed(close) => Some(close),
            _ => None,
        });
        close.unwrap().digest[0] ^= 1;
    });
    let said = verified(journal).expect_err("it differs").0;
    assert!(
        said.contains("closing 2024-01-10 gives other digest than recorded"),
        "{said}"
    );
}
