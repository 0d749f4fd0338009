use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use proptest::prelude::*;
use tandem_domain::book::{Answer, Command, Event, Slice, Verdict};
use tandem_domain::ledger::Account;
use tandem_domain::money::{Amount, Rate};
use tandem_domain::policy::Outcome;
use tandem_engine::Engine;
use tandem_engine::disclosure::Disclosure;
use tandem_journal::{Batch, Excerpt, Hash, JournalError, Memory};

use super::check::{Found, check};
use super::figures::Figures;
use super::file::{Reader, Title, Writer};
use super::{report, write};
use crate::export::tests::golden;
use crate::export::{parties, sample};

/// Where a view is written to.
#[derive(Clone, Default)]
struct Buffer(Rc<RefCell<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn view(engine: &mut Engine<Memory>, party: &str) -> Vec<u8> {
    let buffer = Buffer::default();
    let out = || Ok(Box::new(buffer.clone()) as Box<dyn Write>);
    write::write(engine.journal(), party, out).unwrap();
    buffer.0.take()
}

/// A view taken apart.
#[derive(Clone, Debug, PartialEq)]
struct Opened {
    title: Title,
    excerpts: Vec<Excerpt>,
    figures: Figures,
}

impl Opened {
    fn read(bytes: &[u8]) -> Opened {
        let mut reader = Reader::new(bytes).unwrap();
        let title = reader.title.clone();
        let excerpts = (1..=title.head.seq).map(|seq| reader.excerpt(seq).unwrap());
        Opened {
            excerpts: excerpts.collect(),
            figures: reader.figures().unwrap(),
            title,
        }
    }

    /// The file, under a check of its own.
    fn sealed(&self) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), &self.title).unwrap();
        for excerpt in &self.excerpts {
            writer.excerpt(excerpt).unwrap();
        }
        writer.finish(&self.figures).unwrap()
    }

    /// The first batch and event that show a text.
    fn showing(&self, text: &[u8]) -> (usize, usize) {
        let contains = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        for (batch, excerpt) in self.excerpts.iter().enumerate() {
            let event = excerpt
                .shown
                .iter()
                .position(|shown| contains(&shown.bytes));
            if let Some(event) = event {
                return (batch, event);
            }
        }
        panic!("it is shown")
    }
}

fn refusal(bytes: &[u8]) -> String {
    check(bytes, None).unwrap_err()
}

/// Every party's view gives exactly its figures in the whole book.
fn every_view_verifies(mut engine: Engine<Memory>) -> Vec<Found> {
    let ids: Vec<String> = parties(engine.book())
        .iter()
        .map(|party| party.id.clone())
        .collect();
    let views = ids.into_iter().map(|id| {
        let bytes = view(&mut engine, &id);
        let found = check(&bytes, Some(engine.journal().head().hash)).unwrap();
        let book = engine.book();
        let party = book.latest().unwrap().agreement.party_id(&id).unwrap();
        let balances = Account::chart(parties(book).len()).map(|account| {
            let balance = book.ledgers().balance(party, account);
            (account.number(), balance)
        });
        let balances: Vec<_> = balances.filter(|(_, balance)| !balance.is_zero()).collect();
        assert_eq!(found.figures.balances, balances, "{id}");
        assert_eq!(Opened::read(&bytes).sealed(), bytes);
        found
    });
    views.collect()
}

#[test]
fn every_view_of_the_sample_verifies() {
    let found = every_view_verifies(sample::engine());
    let reports: Vec<_> = found.iter().map(report).collect();
    golden(&reports.join("\n"), "verify-view");
}

#[test]
fn every_view_of_a_book_in_which_everything_was_done_verifies() {
    let found = every_view_verifies(sample::eventful());
    let bought = found
        .iter()
        .find(|found| found.title.party == "lake-trust")
        .unwrap();
    // Of the loans it is shown the one of which it bought a share, from its beginning.
    assert_eq!((bought.loans, bought.all_loans), (1, 2));
    assert_eq!(bought.figures.loans[0].0, "C-1");
}

#[test]
fn what_a_person_decided_is_shown_once_it_is_an_offer() {
    let mut engine = sample::referred();
    let found = every_view_verifies(sample::referred());
    let shown = |id: &str| found.iter().find(|found| found.title.party == id).unwrap();
    assert_eq!(
        (shown("river-bank").loans, shown("cloud-bank").loans),
        (1, 1)
    );
    for party in ["river-bank", "cloud-bank"] {
        let bytes = view(&mut engine, party);
        let contains = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        assert!(contains(b"D-1"));
        assert!(!contains(b"D-2") && !contains(b"D-3"));
        // What the one bank's person approved is not the other's to know.
        let decision = minicbor::to_vec(Outcome::Approve {
            maximum: Amount(1_000_000),
            rate: Rate(13_500_000),
        });
        assert_eq!(contains(&decision.unwrap()), party == "river-bank");
    }
}

#[test]
fn a_party_is_shown_neither_others_decisions_nor_fields_that_it_may_not_see() {
    let mut engine = sample::engine();
    let parties: Vec<String> = parties(engine.book())
        .iter()
        .map(|party| party.id.clone())
        .collect();
    let views: Vec<_> = parties
        .iter()
        .map(|party| (party.as_str(), view(&mut engine, party)))
        .collect();
    let shown_to = |bytes: &[u8]| -> Vec<&str> {
        let contain =
            |view: &&(&str, Vec<u8>)| view.1.windows(bytes.len()).any(|part| part == bytes);
        views
            .iter()
            .filter(contain)
            .map(|(party, _)| *party)
            .collect()
    };
    assert_eq!(
        shown_to(b"drill, saw"),
        ["cloud-bank", "orchard"],
        "a purpose"
    );
    assert_eq!(shown_to(b"B-1"), [""; 0], "a declined application");
    assert_eq!(shown_to(&[7; 16]), [""; 0], "the secret of the book");
    for (policy, lender) in sample::documents()
        .policies
        .iter()
        .zip(["river-bank", "cloud-bank"])
    {
        assert_eq!(shown_to(policy.as_bytes()), [lender]);
    }
    let mut decisions = Vec::new();
    tandem_engine::replay(engine.journal(), &mut |step| {
        if let Event::Decided(decided) = step.event
            && let Verdict::Offered { parts, .. } = &decided.verdict
        {
            let lenders = step.book.latest().unwrap().agreement.lenders.clone();
            let of = lenders
                .into_iter()
                .zip(decided.decisions.clone())
                .zip(parts.clone());
            decisions.extend(of.map(|((lender, decision), part)| (lender, decision, part)));
        }
    })
    .unwrap();
    assert!(decisions.len() > 6);
    for (lender, decision, part) in decisions {
        let party = parties[lender.index()].as_str();
        let shown = shown_to(&minicbor::to_vec(&decision).unwrap());
        let own = part.amount.is_positive();
        // A short one may stand elsewhere by chance, and a lender may say the same twice.
        if matches!(decision.outcome, Outcome::Approve { .. }) {
            assert!(!own || shown.contains(&party), "{decision:?}");
            assert!(shown.iter().all(|&other| other == party), "{decision:?}");
        }
    }
}

#[test]
fn a_slice_is_shown_to_those_whom_its_limit_binds() {
    let mut engine = sample::empty();
    let mut documents = sample::documents();
    documents.agreement +=
        "\n[[limit]]\nclause = \"7.3\"\nper = \"total\"\namount = \"1.00 CNY\"\n";
    let slice = |key: &str, clause: &str, subject: Option<&str>| Slice {
        key: key.to_owned(),
        clause: clause.to_owned(),
        subject: subject.map(str::to_owned),
        book: "hills".to_owned(),
        amount: Amount(50),
    };
    let sent_on = "2024-01-10".parse().unwrap();
    let back = Slice {
        amount: Amount(20),
        ..slice("slice-4", "7.1", None)
    };
    let commands = [
        Command::Sign(Box::new(documents)),
        Command::SendSlice(slice("slice-1", "7.1", None)),
        Command::SendSlice(slice("slice-2", "7.2", Some("a-borrower"))),
        Command::SendSlice(slice("slice-3", "7.3", None)),
        Command::ReceiveSlice {
            slice: back,
            sent_on,
        },
    ];
    let answers = engine.submit(commands).unwrap();
    assert!(
        answers.iter().all(|answer| *answer == Ok(Answer::Done)),
        "{answers:?}"
    );
    for (party, shown) in [
        ("river-bank", ["slice-1", "slice-3", "slice-4"].as_slice()),
        ("cloud-bank", &["slice-3"]),
        ("orchard", &["slice-3"]),
    ] {
        let sound = view(&mut engine, party);
        check(&sound, Some(engine.journal().head().hash)).unwrap();
        let contains = |text: &&str| {
            sound
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        let keys = ["slice-1", "slice-2", "slice-3", "slice-4", "a-borrower"];
        let found: Vec<_> = keys.into_iter().filter(contains).collect();
        assert_eq!(found, shown, "{party}");
        for key in shown {
            let said = left_out(&mut engine, &sound, key.as_bytes());
            let expected = "it is to be shown to this party, but is left out";
            assert!(said.ends_with(expected), "{key}: {said}");
        }
    }
}

#[test]
fn parts_of_an_event_are_its_documented_bytes() {
    for mut engine in [sample::engine(), sample::eventful()] {
        let mut disclosure = Disclosure::default();
        tandem_engine::replay(engine.journal(), &mut |step| {
            disclosure.observe(step.event);
            let (mut bytes, mut parts) = (Vec::new(), Vec::new());
            disclosure.encode(step.event, &mut bytes, &mut parts);
            assert_eq!(bytes, minicbor::to_vec(step.event).unwrap());
            assert!(parts.is_sorted_by_key(|(end, _)| *end));
            assert!(parts.last().is_none_or(|(end, _)| *end == bytes.len()));
        })
        .unwrap();
    }
}

#[test]
fn a_hash_known_another_way_is_compared() {
    let mut engine = sample::engine();
    let bytes = view(&mut engine, "orchard");
    let alone = report(&check(&bytes, None).unwrap());
    assert!(
        alone.contains("185 batches; compared with nothing\n"),
        "{alone}"
    );
    assert!(
        alone.ends_with(
            "\nThis head is the file's own claim. Compare it with one that you got another way:\n\
             tandem verify-view FILE --head HASH\n"
        ),
        "{alone}"
    );
    let earlier = Opened::read(&bytes).excerpts[3].hash;
    assert_eq!(check(&bytes, Some(earlier)).unwrap().anchored, Some(4));
    assert_eq!(
        check(&bytes, Some(Hash([9; 32]))).unwrap_err(),
        format!(
            "no batch has the hash {}: it is a view of another chain than the one you know",
            "09".repeat(32)
        )
    );
}

/// What is said to a view with true proofs, which shows these events of each batch.
fn shown_as(engine: &mut Engine<Memory>, sound: &[u8], shown: &[Vec<u32>]) -> String {
    let mut opened = Opened::read(sound);
    let journal = engine.journal();
    let secret = journal.secret().clone();
    let mut excerpts = opened.excerpts.iter_mut().zip(shown);
    let visit = |whole: &Batch| {
        let (excerpt, shown) = excerpts.next().unwrap();
        *excerpt = Excerpt::of(whole, &secret, excerpt.reader, shown).unwrap();
        Ok::<(), JournalError>(())
    };
    journal.read(journal.genesis(), visit).unwrap();
    refusal(&opened.sealed())
}

/// The same, but all events that the view shows without the first that has this text in it.
fn left_out(engine: &mut Engine<Memory>, sound: &[u8], text: &[u8]) -> String {
    let mut opened = Opened::read(sound);
    let (batch, event) = opened.showing(text);
    opened.excerpts[batch].shown.remove(event);
    shown_as(engine, sound, &places(&opened))
}

/// The events that a view shows, by batch.
fn places(opened: &Opened) -> Vec<Vec<u32>> {
    let places = |excerpt: &Excerpt| excerpt.shown.iter().map(|shown| shown.event).collect();
    opened.excerpts.iter().map(places).collect()
}

/// What is done to a view, and how it is found out.
#[test]
fn a_view_that_was_tampered_with_is_refused() {
    let mut engine = sample::engine();
    let sound = view(&mut engine, "river-bank");
    let forged = |forge: &dyn Fn(&mut Opened)| {
        let mut opened = Opened::read(&sound);
        forge(&mut opened);
        refusal(&opened.sealed())
    };
    let mut without = |text: &[u8]| left_out(&mut engine, &sound, text);
    let mut flipped = sound.clone();
    flipped[sound.len() / 2] ^= 1;
    let cases = [
        ("a byte is flipped", refusal(&flipped)),
        (
            "the file is cut short",
            refusal(&sound[..sound.len() - 100]),
        ),
        ("it is something else", refusal(b"something else")),
        (
            "an amount is changed",
            forged(&|opened| {
                let (batch, event) = opened.showing(b"P-1");
                *opened.excerpts[batch].shown[event]
                    .bytes
                    .last_mut()
                    .unwrap() ^= 1;
            }),
        ),
        (
            "a salt is another's",
            forged(&|opened| {
                let (batch, event) = opened.showing(b"P-1");
                opened.excerpts[batch].shown[event].salt = opened.excerpts[0].section.salt;
            }),
        ),
        (
            "an event is cut out",
            forged(&|opened| {
                let (batch, event) = opened.showing(b"P-1");
                opened.excerpts[batch].shown.remove(event);
            }),
        ),
        ("an application is left out", without(b"A-1")),
        ("a payment is left out", without(b"P-1")),
        ("the agreement is left out", without(b"effective_from")),
        ("a payment before the share was bought is left out", {
            let mut engine = sample::eventful();
            let sound = view(&mut engine, "lake-trust");
            left_out(&mut engine, &sound, b"D-2")
        }),
        ("an application of others is shown", {
            let mut engine = sample::engine();
            let cloud = Opened::read(&view(&mut engine, "cloud-bank"));
            shown_as(&mut engine, &sound, &places(&cloud))
        }),
        (
            "a batch is left out",
            forged(&|opened| drop(opened.excerpts.remove(4))),
        ),
        (
            "the last batch is left out",
            forged(&|opened| drop(opened.excerpts.pop())),
        ),
        (
            "the head is another",
            forged(&|opened| opened.title.head.hash.0[0] ^= 1),
        ),
        (
            "a balance is another",
            forged(&|opened| opened.figures.balances[0].1 += Amount(1)),
        ),
        (
            "a month is another",
            forged(&|opened| opened.figures.months[0].2 += Amount(1)),
        ),
        (
            "a part of a loan is another",
            forged(&|opened| opened.figures.loans[0].1[4] += Amount(1)),
        ),
        (
            "it names another party",
            forged(&|opened| opened.title.party = "cloud-bank".to_owned()),
        ),
        (
            "it names another book",
            forged(&|opened| opened.title.book = "garden".to_owned()),
        ),
    ];
    let text: Vec<_> = cases
        .iter()
        .map(|(what, said)| format!("{what}:\n  {said}\n"))
        .collect();
    golden(&text.join(""), "verify-view-refusals");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn flipped_bytes_are_never_believed(flips in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 1..4)) {
        thread_local! {
            static SOUND: Vec<u8> = view(&mut sample::eventful(), "lake-trust");
        }
        let sound = SOUND.with(Clone::clone);
        let mut bytes = sound.clone();
        let items = bytes.len() - 34;
        for (place, flip) in flips {
            bytes[place.index(items)] ^= flip;
        }
        // Who changes a view makes its check anew.
        let check_again = *blake3::hash(&bytes[..items]).as_bytes();
        bytes[items + 2..].copy_from_slice(&check_again);
        if check(&bytes, None).is_ok() {
            prop_assert_eq!(Opened::read(&bytes), Opened::read(&sound));
        }
    }
}
