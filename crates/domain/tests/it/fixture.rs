//! A small cooperation whose documents can be changed line by line, and a book that proves
//! itself after every command.

use tandem_domain::book::{
    Answer, Application, Book, Command, DeclineReason, Documents, Event, Instruction, Refusal,
    Restore, Snapshot, Verdict, Version,
};
use tandem_domain::calendar::Day;
use tandem_domain::document::Problem;
use tandem_domain::field::Value;
use tandem_domain::funding::Part;
use tandem_domain::ledger::{Account, Entry};
use tandem_domain::loan::{Action, evaluate};
use tandem_domain::money::Amount;
use tandem_domain::party::PartyId;
use tandem_domain::rulebook::Rulebook;
use toml::{Table, Value as Toml};

const AGREEMENT: &str = include_str!("../data/agreement.toml");
const POLICIES: [(&str, &str); 3] = [
    ("river", include_str!("../data/river.toml")),
    ("cloud", include_str!("../data/cloud.toml")),
    ("trust", include_str!("../data/trust.toml")),
];

/// The documents of the cooperation, open for changes.
#[derive(Clone)]
pub(crate) struct Papers {
    tables: Vec<(String, Table)>,
}

impl Papers {
    pub(crate) fn new() -> Papers {
        let texts = POLICIES.iter().chain([&("agreement", AGREEMENT)]);
        let tables = texts.map(|(name, text)| ((*name).to_owned(), text.parse().unwrap()));
        Papers {
            tables: tables.collect(),
        }
    }

    /// Keeps the built-in rulebook `cn`.
    pub(crate) fn under_cn(self) -> Papers {
        self.under("cn")
    }

    /// Keeps a built-in rulebook.
    pub(crate) fn under(self, name: &str) -> Papers {
        let mut papers = self.with(&format!("rulebook = \"{name}\""));
        let text = Rulebook::built_in(name).unwrap();
        papers
            .tables
            .push(("rules".to_owned(), text.parse().unwrap()));
        papers
    }

    /// Counts business days by a calendar with holidays.
    pub(crate) fn with_holidays(mut self) -> Papers {
        let calendar = include_str!("../data/calendar.toml");
        self.tables
            .push(("calendar".to_owned(), calendar.parse().unwrap()));
        self
    }

    /// Changes one value: `product.day_count = "A/360"` in the agreement, or in another document
    /// named before a colon: `river: offer[0].rate = "9%"`. An index behind the last one appends,
    /// and `nothing` removes.
    pub(crate) fn with(mut self, change: &str) -> Papers {
        let (path, value) = change.split_once('=').expect("path = value");
        let (name, path) = path.split_once(':').unwrap_or(("agreement", path));
        let table = self
            .tables
            .iter_mut()
            .find(|(known, _)| known == name.trim());
        let (_, table) = table.unwrap_or_else(|| panic!("there is no document `{name}`"));
        let value = (value.trim() != "nothing").then(|| {
            let read: Table = format!("value = {value}").parse().unwrap();
            read["value"].clone()
        });
        change_at(table, path.trim(), value);
        self
    }

    /// Lets Harbour Trust lend as well, last in every order.
    pub(crate) fn with_trust(self) -> Papers {
        self.with("funding.leftover_order[2] = \"trust\"")
            .with("funding.lender[2] = { party = \"trust\" }")
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let (_, table) = self.tables.iter().find(|(known, _)| known == name)?;
        Some(toml::to_string(table).unwrap())
    }

    pub(crate) fn documents(&self) -> Documents {
        let agreement = self.text("agreement").unwrap();
        let lends = |name: &str| agreement.contains(&format!("party = \"{name}\""));
        let policies = POLICIES.iter().filter(|(name, _)| lends(name));
        let policies = policies.map(|(name, _)| self.text(name).unwrap());
        Documents {
            policies: policies.collect(),
            rulebook: self.text("rules"),
            calendar: self.text("calendar"),
            agreement,
        }
    }

    pub(crate) fn parse(&self) -> Result<Version, Vec<Problem>> {
        Version::parse(self.documents())
    }

    pub(crate) fn version(&self) -> Version {
        self.parse().unwrap()
    }
}

fn change_at(table: &mut Table, path: &str, value: Option<Toml>) {
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    let (key, index) = step.split_once('[').unwrap_or((step, ""));
    let index: Option<usize> = index.trim_end_matches(']').parse().ok();
    match (index, rest, value) {
        (None, "", None) => {
            table.remove(key).expect("there is something to remove");
        }
        (None, "", Some(value)) => {
            table.insert(key.to_owned(), value);
        }
        (None, rest, value) => {
            let inner = table.get_mut(key).and_then(Toml::as_table_mut);
            change_at(inner.expect("a table"), rest, value);
        }
        (Some(index), rest, value) => {
            let empty = Toml::Array(Vec::new());
            let list = table.entry(key.to_owned()).or_insert(empty);
            let list = list.as_array_mut().expect("a list");
            match (rest, value) {
                ("", None) => {
                    list.remove(index);
                }
                ("", Some(value)) if index == list.len() => list.push(value),
                ("", Some(value)) => list[index] = value,
                (rest, value) => {
                    change_at(list[index].as_table_mut().expect("a table"), rest, value);
                }
            }
        }
    }
}

/// A book with its journal, and a second book that only ever saw the journal and, again and again,
/// is written to a snapshot while it goes on and read back.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) book: Book,
    pub(crate) twin: Book,
    pub(crate) events: Vec<Event>,
    pub(crate) entries: Vec<Entry>,
    snapshot: Option<Shelf>,
    /// True if the proof waits for [`Desk::prove`], for histories by the thousand.
    trusting: bool,
}

/// A snapshot on its way from a book to another, and the number of events before it.
struct Shelf {
    snapshot: Snapshot,
    restore: Restore,
    events: usize,
}

impl Shelf {
    fn new(book: &mut Book, events: usize) -> Shelf {
        Shelf {
            snapshot: book.snapshot(),
            restore: Restore::default(),
            events,
        }
    }

    /// Moves a few pieces; the book that they make once there are no more.
    fn step(mut self, book: &mut Book) -> Result<(Book, usize), Shelf> {
        let mut piece = Vec::new();
        for _ in 0..700 {
            piece.clear();
            if !book.next_piece(&mut self.snapshot, &mut piece) {
                let restored = self.restore.finish().expect("all pieces were taken");
                return Ok((restored, self.events));
            }
            self.restore.take(&piece).expect("a piece that was packed");
        }
        Err(self)
    }
}

impl Desk {
    pub(crate) fn new(papers: &Papers) -> Desk {
        let mut desk = Desk::default();
        desk.run(&Command::Sign(Box::new(papers.documents())))
            .unwrap();
        desk
    }

    /// A desk that proves nothing until it is asked.
    pub(crate) fn trusting(papers: &Papers) -> Desk {
        let mut desk = Desk {
            trusting: true,
            ..Desk::default()
        };
        desk.run(&Command::Sign(Box::new(papers.documents())))
            .unwrap();
        desk
    }

    /// Proves at the end what [`Desk::run`] proves after every command.
    pub(crate) fn prove(&self) {
        let mut twin = Book::default();
        for event in &self.events {
            twin.apply(event, &mut |_: &Entry| {});
        }
        assert_eq!(twin.digest(), self.book.digest());
        assert_eq!(self.book.findings(), []);
        self.assert_evaluated();
    }

    /// Carries a command out and proves what must hold after every command.
    pub(crate) fn run(&mut self, command: &Command) -> Result<Answer, Refusal> {
        if self.trusting {
            let book = &mut self.book;
            return book.execute(command.clone(), &mut self.events, &mut |_: &Entry| {});
        }
        let known = self.events.len();
        let before = self.book.digest();
        let entries = &mut self.entries;
        let answer = self
            .book
            .execute(command.clone(), &mut self.events, &mut |entry: &Entry| {
                entries.push(entry.clone());
            });
        if answer != Ok(Answer::Done) {
            assert_eq!(self.events.len(), known, "{command:?}");
            assert_eq!(self.book.digest(), before, "{command:?}");
        }
        for event in &self.events[known..] {
            let bytes = minicbor::to_vec(event).unwrap();
            let read: Event = minicbor::decode(&bytes).unwrap();
            assert_eq!(read, *event);
            self.twin.apply(&read, &mut |_: &Entry| {});
        }
        self.snapshot_twin();
        assert_eq!(self.twin.digest(), self.book.digest(), "{command:?}");
        assert_eq!(self.book.findings(), [], "{command:?}");
        answer
    }

    fn snapshot_twin(&mut self) {
        let (twin, events) = (&mut self.twin, self.events.len());
        let shelf = self.snapshot.take();
        match shelf.unwrap_or_else(|| Shelf::new(twin, events)).step(twin) {
            Err(shelf) => self.snapshot = Some(shelf),
            Ok((mut restored, taken_at)) => {
                for event in &self.events[taken_at..] {
                    restored.apply(event, &mut |_: &Entry| {});
                }
                assert_eq!(restored.findings(), []);
                self.twin = restored;
            }
        }
    }

    /// Every loan is what its terms and its history amount to.
    pub(crate) fn assert_evaluated(&self) {
        for loan in self.book.loans() {
            let to = self.book.business_date().previous();
            let anew = evaluate(&self.book.terms(&loan), &loan.history.transactions(), to);
            assert_eq!(anew, loan.position);
        }
    }

    pub(crate) fn version(&self) -> &Version {
        self.book.current().unwrap().1
    }

    pub(crate) fn party(&self, id: &str) -> PartyId {
        let latest = self.book.latest().unwrap();
        latest.agreement.party_id(id).unwrap()
    }

    /// Applies, with the lenders' own decisions. Options are `region=`, `borrower=` and fields.
    pub(crate) fn apply(
        &mut self,
        key: &str,
        amount: &str,
        months: &str,
        options: &[&str],
    ) -> Result<Answer, Refusal> {
        let application = self.application(key, amount, months, options);
        self.run(&Command::Apply(Box::new(application)))
    }

    pub(crate) fn application(
        &self,
        key: &str,
        amount: &str,
        months: &str,
        options: &[&str],
    ) -> Application {
        let version = self.version();
        let scope = &version.agreement.scope;
        let mut values = vec![Value::Missing; scope.fields.len()];
        let mut borrower = None;
        let (amount, months) = (format!("amount={amount}"), format!("term_months={months}"));
        let standard = [&amount, &months, "region=east"];
        for option in standard.iter().chain(options) {
            let (name, text) = option.split_once('=').unwrap();
            if name == "borrower" {
                borrower = Some(text.to_owned());
                continue;
            }
            let (place, kind) = scope.field(name).unwrap();
            let literal = match kind {
                tandem_domain::field::Kind::Money => format!("{text} CNY"),
                _ => text.to_owned(),
            };
            values[place] = kind.read_literal(&literal, scope.currency).unwrap();
        }
        Application {
            key: key.to_owned(),
            borrower,
            decisions: version.decisions(&values),
            values,
        }
    }

    pub(crate) fn accept(&mut self, key: &str) -> Result<Answer, Refusal> {
        let application = key.to_owned();
        self.run(&Command::Accept { application })
    }

    pub(crate) fn withdraw(&mut self, key: &str) -> Result<Answer, Refusal> {
        let application = key.to_owned();
        self.run(&Command::Withdraw { application })
    }

    pub(crate) fn pay(
        &mut self,
        key: &str,
        application: &str,
        amount: Amount,
        value_date: Day,
        prepay: bool,
    ) -> Result<Answer, Refusal> {
        let action = match prepay {
            true => Action::Prepay(amount, None),
            false => Action::Repay(amount),
        };
        self.instruct(key, application, value_date, action)
    }

    pub(crate) fn instruct(
        &mut self,
        key: &str,
        application: &str,
        value_date: Day,
        action: Action,
    ) -> Result<Answer, Refusal> {
        let (key, application) = (key.to_owned(), application.to_owned());
        self.run(&Command::Instruct(Instruction {
            key,
            application,
            value_date,
            action,
        }))
    }

    pub(crate) fn close(&mut self) {
        let day = self.book.business_date();
        self.run(&Command::CloseDay { day }).unwrap();
        if self.book.portfolio().active == 0 {
            self.assert_income();
        }
    }

    /// When no loan is left, what each party booked as income is the interest it received.
    fn assert_income(&self) {
        let agreement = &self.book.latest().unwrap().agreement;
        for (party, entry) in agreement.parties() {
            let mut received = Amount::ZERO;
            for loan in self.book.loans() {
                let of = &self.book.version_of(&loan).agreement;
                let split = loan.split(of);
                let own = split.own(party);
                received += own.interest + own.capitalised - own.premium_released;
                for sold in &split.sold {
                    if sold.seller == party {
                        received += sold.interest;
                    }
                    if sold.buyer == party {
                        received -= sold.interest;
                    }
                }
            }
            let balance = |account| self.book.ledgers().balance(party, account);
            assert_eq!(-balance(Account::InterestIncome), received, "{}", entry.id);
            assert_eq!(
                balance(Account::InterestReceivable),
                Amount::ZERO,
                "{}",
                entry.id
            );
        }
    }

    pub(crate) fn close_until(&mut self, day: Day) {
        while self.book.business_date() < day {
            self.close();
        }
    }

    /// The verdict of the last application.
    pub(crate) fn verdict(&self) -> &Verdict {
        let decided = self.events.iter().rev().find_map(|event| match event {
            Event::Decided(decided) => Some(decided),
            _ => None,
        });
        &decided.unwrap().verdict
    }

    /// Applies and says in words what came of it.
    pub(crate) fn outcome(&mut self, key: &str, amount: &str, options: &[&str]) -> String {
        self.apply(key, amount, "12", options).unwrap();
        self.decided()
    }

    /// What came of the last application, in words.
    pub(crate) fn decided(&self) -> String {
        let version = self.version();
        let name = |place: usize| &version.agreement.party(version.agreement.lenders[place]).id;
        let decided = self.events.iter().rev().find_map(|event| match event {
            Event::Decided(decided) => Some(decided),
            _ => None,
        });
        let decided = decided.unwrap();
        let mut text = match &decided.verdict {
            Verdict::Offered { parts, .. } => self.parts(parts),
            Verdict::Declined(reason) => {
                let kind = match reason {
                    DeclineReason::Clause(_) => "declined by ",
                    _ => "declined: ",
                };
                format!("{kind}{}", version.decline_reason(*reason))
            }
            Verdict::Referred(places) => {
                let names: Vec<_> = places
                    .iter()
                    .map(|&place| name(place.into()).as_str())
                    .collect();
                format!("referred to {}", names.join(", "))
            }
        };
        for barred in &decided.barred {
            let lender = name(barred.lender.into());
            text += &format!("; {lender} barred by {}", version.clause(barred.clause));
        }
        text
    }

    pub(crate) fn parts(&self, parts: &[Part]) -> String {
        let agreement = &self.version().agreement;
        let shown = parts.iter().zip(&agreement.lenders);
        let shown = shown.map(|(part, &lender)| {
            let amount = agreement.currency().grouped(part.amount);
            format!("{} {amount} at {}", agreement.party(lender).id, part.rate)
        });
        shown.collect::<Vec<_>>().join(", ")
    }
}

pub(crate) fn day(text: &str) -> Day {
    text.parse().unwrap()
}
