//! Whatever a command holds, its event fits into a batch of the journal or the book refuses it.

use std::fmt::Write;

use tandem_domain::book::{
    Answer, Application, Barred, Clause, Command, Decided, Documents, Event, MOST_AT_ONCE,
    MOST_DOCUMENTS, MOST_VALUES, Verdict, Version,
};
use tandem_domain::calendar::Day;
use tandem_domain::field::Value;
use tandem_domain::funding::Part;
use tandem_domain::money::{Amount, Rate};
use tandem_domain::policy::{Decision, Outcome};
use tandem_domain::share::MAX_SHARES;
use tandem_engine::Engine;
use tandem_engine::disclosure::Disclosure;
use tandem_journal::{BatchBuilder, BookName, Journal, MAX_BODY, Memory};

fn engine() -> Engine<Memory> {
    let memory = Memory::new(BookName::new("example").unwrap());
    Engine::open(Journal::open(memory).unwrap()).unwrap()
}

/// A small agreement with so many fields of text, seen by another party than the one before.
fn documents(fields: usize) -> Documents {
    let example = |file: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/lending-club/");
        std::fs::read_to_string(format!("{folder}{file}")).unwrap()
    };
    let mut agreement = example("agreement.toml");
    for field in 0..fields {
        let seen_by = ["house", "investors"][field % 2];
        write!(
            agreement,
            "\n[[field]]\nname = \"f{field}\"\nkind = \"text\"\nseen_by = [\"{seen_by}\"]\n"
        )
        .unwrap();
    }
    Documents {
        agreement,
        policies: vec![
            example("policies/house.toml"),
            example("policies/investors.toml"),
        ],
        rulebook: None,
        calendar: None,
    }
}

/// The documents with a comment that brings them to so many bytes.
fn padded(version: u32, bytes: usize) -> Command {
    let mut documents = documents(0);
    documents.agreement =
        (documents.agreement).replacen("version = 1\n", &format!("version = {version}\n"), 1);
    let padding = bytes - documents.bytes() - 2;
    documents.agreement += &format!("# {}", "x".repeat(padding));
    Command::Sign(Box::new(documents))
}

/// How many bytes a batch has with nothing but this event.
fn body_of(event: &Event, disclosure: &Disclosure) -> usize {
    let mut batch = BatchBuilder::new();
    batch
        .push_parts(|body, parts| disclosure.encode(event, body, parts))
        .unwrap();
    batch.body_len()
}

#[test]
fn documents_fit_into_a_batch_or_are_refused() {
    let mut engine = engine();
    for (version, bytes) in [(1, MOST_DOCUMENTS), (2, MOST_DOCUMENTS - 1)] {
        let answers = engine.submit([padded(version, bytes)]).unwrap();
        assert_eq!(answers, [Ok(Answer::Done)]);
    }
    // What is signed is known, however long it is.
    let again = engine.submit([padded(1, MOST_DOCUMENTS)]).unwrap();
    assert_eq!(again, [Ok(Answer::Known)]);
    for bytes in [MOST_DOCUMENTS + 1, 2_000_000] {
        let answers = engine.submit([padded(3, bytes)]).unwrap();
        let refusal = answers[0].as_ref().unwrap_err();
        let more = bytes - MOST_DOCUMENTS;
        assert_eq!(
            (refusal.code(), refusal.to_string()),
            (
                "long_documents",
                format!(
                    "the documents have {bytes} bytes together, at most 524160 can be signed; \
                     shorten them by {more}"
                )
            )
        );
    }
    assert_eq!(
        engine.submit([padded(3, 100_000)]).unwrap(),
        [Ok(Answer::Done)]
    );
}

#[test]
fn the_event_of_the_longest_documents_fits() {
    // Lengths that take most bytes to write, for as many texts as there can be.
    for (policy, other) in [(0x1_0000 - 100, 0), (0x8000, 0x1_0000), (0, 0x2_0000)] {
        let text = |bytes| "x".repeat(bytes);
        let mut documents = Documents {
            agreement: String::new(),
            policies: vec![text(policy); MAX_SHARES],
            rulebook: Some(text(other)),
            calendar: Some(text(other)),
        };
        documents.agreement = text(MOST_DOCUMENTS - documents.bytes());
        let signed = Event::Signed {
            day: Day(i32::MAX),
            documents,
        };
        let len = body_of(&signed, &Disclosure::default());
        assert!((MOST_DOCUMENTS + 40..=MAX_BODY).contains(&len), "{len}");
    }
}

/// An application with a text of so many bytes in each of the agreement's last fields.
fn application(version: &Version, region: usize, text: usize) -> Application {
    let fields = version.agreement.scope.fields.iter();
    let mut values: Vec<_> = fields
        .map(|(name, _)| match name.strip_prefix('f') {
            Some(place) if place.parse::<usize>().is_ok() => Value::Text("x".repeat(text).into()),
            _ => Value::Missing,
        })
        .collect();
    values[0] = Value::Number(100_000);
    values[1] = Value::Number(36);
    values[2] = Value::Text("x".repeat(region).into());
    Application {
        key: "A-1".to_owned(),
        borrower: None,
        decisions: version.decisions(&values),
        values,
    }
}

#[test]
fn an_application_fits_into_a_batch_or_is_refused() {
    const FIELDS: usize = 493;
    let mut engine = engine();
    let documents = documents(FIELDS);
    let version = Version::parse(documents.clone()).unwrap();
    let signed = Command::Sign(Box::new(documents.clone()));
    assert_eq!(engine.submit([signed]).unwrap(), [Ok(Answer::Done)]);
    let count = version.agreement.scope.fields.len();
    let region = MOST_VALUES - count * 13 - FIELDS * 1000;
    let mut apply = |region| {
        let application = application(&version, region, 1000);
        engine
            .submit([Command::Apply(Box::new(application))])
            .unwrap()
    };
    let refusal = apply(region + 1)[0].clone().unwrap_err();
    assert_eq!(
        (refusal.code(), refusal.to_string()),
        (
            "long_application",
            format!(
                "the application's {count} values take 500001 bytes together, at most 500000 are \
                 possible; shorten its texts"
            )
        )
    );
    assert_eq!(apply(region), [Ok(Answer::Done)]);

    // The same with the longest of everything else, and an offer, which has most parts.
    let decision = Decision {
        score: Some(i64::MIN),
        outcome: Outcome::Refer(vec![250; 251]),
    };
    let lenders = version.agreement.lenders.len();
    let values = application(&version, region, 1000).values;
    let decided = Decided {
        key: "\u{10ffff}".repeat(64),
        body: u64::MAX,
        borrower: Some("\u{10ffff}".repeat(64)),
        version: 0,
        values,
        decisions: vec![decision.clone(); lenders],
        barred: vec![
            Barred {
                lender: 7,
                clause: Clause::Limit(249),
            };
            MAX_SHARES
        ],
        verdict: Verdict::Offered {
            parts: vec![
                Part {
                    amount: Amount::MAX,
                    rate: Rate(i64::MAX),
                };
                MAX_SHARES
            ]
            .into(),
            rate: Rate(i64::MAX),
            valid_to: Day(i32::MAX),
        },
    };
    let mut disclosure = Disclosure::default();
    disclosure.observe(&Event::Signed {
        day: Day(0),
        documents,
    });
    let underwritten = Event::Underwritten {
        application: u32::MAX,
        lender: 0,
        decided: decided.clone(),
    };
    for event in [Event::Decided(decided), underwritten] {
        let len = body_of(&event, &disclosure);
        // Each further lender's decision is a part of its own.
        let lender = minicbor::to_vec(&decision).unwrap().len() + 4;
        let most = len + (MAX_SHARES - lenders) * lender;
        assert!((MOST_VALUES..=MAX_BODY).contains(&most), "{most}");
    }
}

#[test]
fn the_event_of_the_most_archived_loans_fits() {
    let archived = Event::Archived {
        name: "\u{10ffff}".repeat(80),
        loans: vec![u32::MAX; MOST_AT_ONCE],
    };
    let len = body_of(&archived, &Disclosure::default());
    assert!(len <= MAX_BODY, "{len}");
}
