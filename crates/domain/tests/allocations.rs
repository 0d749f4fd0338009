//! What commands ask of the allocator, on the thread that decides them.
//!
//! Each kind is bounded by what it asks for when a book is under way: what the book keeps, and the few
//! lists that a day's events take along. The bounds are the numbers themselves, rounded up to a
//! hundredth, so that a list made in passing is noticed.

use allocation_counter::measure;
use tandem_domain::book::{
    Application, Book, Command, Decided, Documents, Event, Instruction, Verdict, Version,
};
use tandem_domain::field::Value;
use tandem_domain::loan::Action;

/// Loans of a portfolio; enough for the indexes and lists of the book to grow rarely.
const LOANS: u64 = 8_192;

/// A book that is measured, with room for its events.
struct Desk {
    book: Book,
    version: Version,
    events: Vec<Event>,
}

impl Desk {
    fn new() -> Desk {
        let documents = Documents {
            // Room for all.
            agreement: include_str!("data/agreement.toml").replace("000000.00", "000000000.00"),
            policies: vec![
                include_str!("data/river.toml").to_owned(),
                include_str!("data/cloud.toml").to_owned(),
            ],
            rulebook: None,
            calendar: None,
        };
        let mut desk = Desk {
            book: Book::default(),
            version: Version::parse(documents.clone()).expect("the documents are valid"),
            events: Vec::with_capacity(2 * LOANS as usize),
        };
        desk.allocated([Command::Sign(Box::new(documents))]);
        desk
    }

    /// How often commands ask for memory when they are carried out: each, in hundredths, rounded up.
    fn allocated(&mut self, commands: impl IntoIterator<Item = Command>) -> u64 {
        let hashed: Vec<_> = (commands.into_iter())
            .map(|command| (command.hashes(), command))
            .collect();
        let count = hashed.len() as u64;
        self.events.clear();
        let made = measure(|| {
            for (hashes, command) in hashed {
                let events = &mut self.events;
                let answer = (self.book).execute_hashed(command, hashes, events, &mut |_| {});
                answer.expect("nothing is refused");
            }
        });
        (100 * made.count_total).div_ceil(count)
    }

    /// Applications of a thousand each.
    fn applications(&self, name: &str, months: i64) -> Vec<Command> {
        let mut values = vec![Value::Missing; self.version.agreement.scope.fields.len()];
        values[..3].clone_from_slice(&[
            Value::Number(100_000),
            Value::Number(months),
            Value::Text("east".into()),
        ]);
        let application = |number| Application {
            key: format!("{name}-{number}"),
            borrower: None,
            decisions: self.version.decisions(&values),
            values: values.clone(),
        };
        let all = (0..LOANS).map(application);
        all.map(|application| Command::Apply(Box::new(application)))
            .collect()
    }

    fn accept(&mut self, name: &str) -> u64 {
        self.allocated((0..LOANS).map(|number| Command::Accept {
            application: format!("{name}-{number}"),
        }))
    }

    /// Every loan pays its instalment.
    fn pay(&mut self, month: u32) -> u64 {
        let payments: Vec<_> = (0..self.book.loan_count() as u32)
            .map(|place| {
                let loan = self.book.loan_in(place);
                let application = self.book.key_of(&loan).to_owned();
                Command::Instruct(Instruction {
                    key: format!("{application}/{month}"),
                    application,
                    value_date: self.book.business_date(),
                    action: Action::Repay(loan.instalment),
                })
            })
            .collect();
        self.allocated(payments)
    }

    fn close(&mut self) -> u64 {
        let day = self.book.business_date();
        self.allocated([Command::CloseDay { day }])
    }

    /// Closes days until the instalments of a month are due.
    fn close_until(&mut self, month: u32) {
        let due = self.book.loan_in(0).disbursed_on.plus_months(month);
        while self.book.business_date() < due {
            self.close();
        }
    }

    fn decided(&self) -> &Decided {
        match &self.events[0] {
            Event::Decided(decided) => decided,
            other => panic!("{other:?}"),
        }
    }
}

fn at_most(most: u64, found: u64, what: &str) {
    assert!(
        found <= most,
        "{what}: {found} hundredths of an allocation a command, {most} at the most"
    );
}

#[test]
fn commands_ask_for_what_the_book_keeps() {
    let mut desk = Desk::new();
    desk.allocated(desk.applications("A", 12));
    desk.accept("A");

    // Room in the index of keys (0.31 a command), and a sixth of a node of the tree of open offers.
    let offer = desk.allocated(desk.applications("B", 12));
    assert!(matches!(desk.decided().verdict, Verdict::Offered { .. }));
    at_most(48, offer, "an application that becomes an offer");
    // Room in the index of keys.
    let declined = desk.allocated(desk.applications("C", 13));
    assert!(matches!(desk.decided().verdict, Verdict::Declined(_)));
    at_most(32, declined, "an application that is declined");
    // The loan's bytes.
    at_most(101, desk.accept("B"), "a disbursement");

    // Now and then the loan's bytes outgrow their box, all in the same months, since the loans are the same;
    // and room in the index of keys, which takes eight keys in a segment by the first of these payments.
    let mut payments = Vec::new();
    for month in 1..=6 {
        desk.close_until(month);
        payments.push(desk.pay(month));
        // The day's plan of settlement, two lists, in the event and in the book; what is adjusted, two
        // lists; what is outstanding by class, in the event and in the book.
        at_most(800, desk.close(), "closing a day on which loans were paid");
    }
    let most = payments.iter().copied().max().unwrap_or_default();
    at_most(133, most, "a payment");
    let mean = payments.iter().sum::<u64>() / 6;
    at_most(75, mean, "a payment, the mean of six months");
    // Besides, a loan's bytes with what has fallen due, and room for all that are on one day's agenda.
    desk.close_until(7);
    let loans = desk.book.loan_count() as u64;
    let most = 100 * (loans + 18);
    at_most(most, desk.close(), "closing a day on which loans fall due");
    at_most(400, desk.close(), "closing a day on which nothing happens");
    // A loan's bytes are fewer once it is paid: in a smaller box, or in the same.
    at_most(16, desk.pay(7), "a late payment");
}
