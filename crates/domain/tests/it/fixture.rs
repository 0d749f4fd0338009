//! A book that proves itself after every command.

use tandem_domain::book::{
    Answer, Application, Archiving, Book, Command, DeclineReason, Event, Instruction, Refusal,
    Restore, Snapshot, Verdict, Version,
};
use tandem_domain::calendar::Day;
use tandem_domain::funding::Part;
use tandem_domain::ledger::{Account, Entry};
use tandem_domain::loan::{Action, evaluate};
use tandem_domain::money::Amount;
use tandem_domain::party::PartyId;

use crate::papers;
pub(crate) use crate::papers::Papers;

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

    /// Moves a few pieces; false once there are no more.
    fn step(&mut self, book: &mut Book) -> bool {
        let mut piece = Vec::new();
        for _ in 0..700 {
            piece.clear();
            if !book.next_piece(&mut self.snapshot, &mut piece) {
                return false;
            }
            self.restore.take(&piece).expect("a piece that was packed");
        }
        true
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
        let shelf = self
            .snapshot
            .get_or_insert_with(|| Shelf::new(twin, events));
        if shelf.step(twin) {
            return;
        }
        if let Some(shelf) = self.snapshot.take() {
            let mut restored = shelf.restore.finish().expect("all pieces were taken");
            for event in &self.events[shelf.events..] {
                restored.apply(event, &mut |_: &Entry| {});
            }
            assert_eq!(restored.findings(), []);
            self.twin = restored;
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
        papers::application(self.version(), key, amount, months, options)
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

    /// Archives what is due.
    pub(crate) fn archive(&mut self) {
        let loans = self.book.due_for_archive();
        let name = self.book.business_date().to_string();
        let archiving = Archiving { name, loans };
        self.run(&Command::Archive(archiving)).unwrap();
    }

    /// The same book with the loans that are archived.
    pub(crate) fn whole(&self) -> Book {
        let mut whole = Book::with_archive();
        for event in &self.events {
            whole.apply(event, &mut |_: &Entry| {});
        }
        assert_eq!(whole.digest(), self.book.digest());
        assert_eq!(whole.findings(), []);
        whole
    }

    /// When no loan is left, what each party booked as income is the interest it received.
    fn assert_income(&self) {
        let agreement = &self.book.latest().unwrap().agreement;
        let archived = (self.book.archived() > 0).then(|| self.whole());
        let book = archived.as_ref().unwrap_or(&self.book);
        for (party, entry) in agreement.parties() {
            let mut received = Amount::ZERO;
            for loan in book.loans() {
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
            Event::Decided(decided) | Event::Underwritten { decided, .. } => Some(decided),
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
            Event::Decided(decided) | Event::Underwritten { decided, .. } => Some(decided),
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
            Verdict::Referred(places, valid_to) => {
                let names: Vec<_> = places
                    .iter()
                    .map(|&place| name(place.into()).as_str())
                    .collect();
                let until = valid_to.map_or("ever".to_owned(), |day| day.to_string());
                format!("referred to {} until {until}", names.join(", "))
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
