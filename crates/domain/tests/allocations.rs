//! What applying an event asks of the allocator.

use allocation_counter::measure;
use tandem_domain::book::{Application, Book, Command, Documents, Event, Instruction, Version};
use tandem_domain::field::Value;
use tandem_domain::loan::Action;

const LOANS: u64 = 64;

fn execute(book: &mut Book, command: Command) -> Vec<Event> {
    let mut events = Vec::new();
    let answer = book.execute(command, &mut events, &mut |_| {});
    answer.expect("nothing is refused");
    events
}

/// A book of loans of a thousand each, disbursed on one day.
fn lent() -> Book {
    let documents = Documents {
        agreement: include_str!("data/agreement.toml").to_owned(),
        policies: vec![
            include_str!("data/river.toml").to_owned(),
            include_str!("data/cloud.toml").to_owned(),
        ],
        rulebook: None,
        calendar: None,
    };
    let version = Version::parse(documents.clone()).expect("the documents are valid");
    let mut values = vec![Value::Missing; version.agreement.scope.fields.len()];
    values[..3].clone_from_slice(&[
        Value::Number(100_000),
        Value::Number(12),
        Value::Text("east".into()),
    ]);
    let mut book = Book::default();
    execute(&mut book, Command::Sign(Box::new(documents)));
    for number in 0..LOANS {
        let application = Application {
            key: format!("A-{number}"),
            borrower: None,
            decisions: version.decisions(&values),
            values: values.clone(),
        };
        let key = application.key.clone();
        execute(&mut book, Command::Apply(Box::new(application)));
        execute(&mut book, Command::Accept { application: key });
    }
    assert_eq!(book.loan_count() as u64, LOANS);
    book
}

/// A loan that pays on its due date is packed anew with one transaction more, and of so few keys
/// each is the first in its segment of the index. Little else is asked for: the list in which what
/// falls due stands until it is paid goes from loan to loan.
#[test]
fn a_payment_allocates_the_bytes_of_its_loan_and_room_for_its_key() {
    let mut book = lent();
    let disbursed_on = book.loan_in(0).disbursed_on;
    for month in 1..=6 {
        while book.business_date() < disbursed_on.plus_months(month) {
            let day = book.business_date();
            execute(&mut book, Command::CloseDay { day });
        }
        let mut twin = book.clone();
        let mut events = Vec::new();
        for number in 0..LOANS {
            let payment = Instruction {
                key: format!("A-{number}/{month}"),
                application: format!("A-{number}"),
                value_date: book.business_date(),
                action: Action::Repay(book.loan_in(number as u32).instalment),
            };
            events.extend(execute(&mut book, Command::Instruct(payment)));
        }
        let hashes: Vec<_> = events.iter().map(Event::hashes).collect();
        let made = measure(|| {
            for (event, hashes) in events.iter().zip(hashes) {
                twin.apply_hashed(event, hashes, &mut |_| {});
            }
        });
        assert_eq!(twin.digest(), book.digest());
        let most = 2 * LOANS + LOANS / 4;
        assert!(made.count_total <= most, "month {month}: {made:?}");
    }
}
