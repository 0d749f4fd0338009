//! Checking a view: the chain and its proofs, then the party's own book, rebuilt from what is
//! shown.
//!
//! Applications and loans that are not shown are only counted, so that those that are shown get
//! places of their own in a book that has no others.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::agreement::Agreement;
use tandem_domain::book::{Book, Event};
use tandem_domain::calendar::Day;
use tandem_domain::ledger::{Account, Entry};
use tandem_domain::loan::Transaction;
use tandem_domain::money::Amount;
use tandem_domain::party::{MAX_PARTIES, PartyId};
use tandem_domain::settlement::{Plan, Transfer};
use tandem_engine::disclosure::{Disclosure, only};
use tandem_engine::{ReplayError, apply_checked};
use tandem_journal::{BookName, Excerpt, Hash, Head, KnownParts};

use super::figures::{Collector, Figures};
use super::file::{Reader, Title};

/// What was found out about a view.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) title: Title,
    /// The batch whose hash is the one to compare with.
    pub(super) anchored: Option<u64>,
    pub(super) first: Option<Day>,
    pub(super) last: Option<Day>,
    pub(super) events: u64,
    pub(super) shown: u64,
    pub(super) loans: u64,
    pub(super) all_loans: u64,
    pub(super) changes: u64,
    pub(super) plans: u64,
    pub(super) closes: u64,
    /// Closes whose loss allowance hangs on the party's loans alone.
    pub(super) determined: u64,
    pub(super) figures: Figures,
}

/// Checks a view; `anchor` is a hash of the chain that its reader got another way.
pub(super) fn check(bytes: &[u8], anchor: Option<Hash>) -> Result<Found, String> {
    let mut reader = Reader::new(bytes)?;
    let title = reader.title.clone();
    let book = BookName::new(title.book.clone()).map_err(|error| error.to_string())?;
    let mut head = Head::genesis(&book);
    let mut rebuilding = Rebuilding::new(&title);
    let mut anchored = None;
    while head.seq < title.head.seq {
        let excerpt = reader.excerpt(head.seq + 1)?;
        head = excerpt
            .check(&book, head)
            .map_err(|error| error.to_string())?;
        if anchor == Some(head.hash) {
            anchored = Some(head.seq);
        }
        rebuilding.batch(&excerpt)?;
    }
    let stated = reader.figures()?;
    if head != title.head {
        let last = head.seq;
        return Err(format!(
            "its head is not the hash of batch {last}, its last"
        ));
    }
    if let (Some(anchor), None) = (anchor, anchored) {
        return Err(format!(
            "no batch has the hash {anchor}: it is a view of another chain than the one you know"
        ));
    }
    let found = rebuilding.finish(&stated)?;
    Ok(Found { anchored, ..found })
}

/// The book of one party, as far as its view is read.
struct Rebuilding<'a> {
    id: &'a str,
    /// Number of the party in the journal, once a batch was read.
    reader: Option<u8>,
    book: Book,
    disclosure: Disclosure,
    /// None until the party has signed.
    collector: Option<Collector>,
    /// Own place of each application that is shown, by its place in the whole book.
    applications: BTreeMap<u32, u32>,
    all_applications: u32,
    /// The same of loans.
    loans: BTreeMap<u32, OwnLoan>,
    all_loans: u32,
    /// True if some application names its borrower, who may have loans that are not shown.
    borrowers: bool,
    found: Found,
}

struct OwnLoan {
    place: u32,
    /// Place of its application in the whole book.
    application: u32,
    /// Number of the last transaction.
    number: u32,
}

impl Rebuilding<'_> {
    fn new(title: &Title) -> Rebuilding<'_> {
        Rebuilding {
            id: &title.party,
            reader: None,
            book: Book::default(),
            disclosure: Disclosure::default(),
            collector: None,
            applications: BTreeMap::new(),
            all_applications: 0,
            loans: BTreeMap::new(),
            all_loans: 0,
            borrowers: false,
            found: Found {
                title: title.clone(),
                anchored: None,
                first: None,
                last: None,
                events: 0,
                shown: 0,
                loans: 0,
                all_loans: 0,
                changes: 0,
                plans: 0,
                closes: 0,
                determined: 0,
                figures: Figures::default(),
            },
        }
    }

    fn batch(&mut self, excerpt: &Excerpt) -> Result<(), String> {
        if *self.reader.get_or_insert(excerpt.reader) != excerpt.reader {
            let batch = excerpt.seq;
            return Err(format!(
                "batch {batch} is addressed to another party than the one before"
            ));
        }
        let mut known = excerpt.parts().map_err(|error| error.to_string())?;
        for (place, kind) in (0..).zip(excerpt.kinds.chunks_exact(2)) {
            self.found.events += 1;
            let done = match known.remove(&place) {
                Some(known) => self.shown(&known, excerpt),
                None => self.sealed(kind),
            };
            done.map_err(|what| {
                let (event, batch) = (place + 1, excerpt.seq);
                format!("event {event} of batch {batch}: {what}")
            })?;
        }
        match known.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "batch {}: parts of no event are shown",
                excerpt.seq
            )),
        }
    }

    /// Counts an event that is not shown.
    fn sealed(&mut self, kind: &[u8]) -> Result<(), String> {
        match kind {
            [0x82, 1] => {
                self.all_applications += 1;
                self.disclosure.pass_application();
            }
            [0x82, 3] => {
                self.all_loans += 1;
                self.disclosure.pass_loan();
            }
            [0x82, 2 | 4 | 6 | 11 | 13 | 14 | 15 | 16] => {}
            _ => {
                return Err(
                    "events of its kind are shown to every party, but it is left out".to_owned(),
                );
            }
        }
        Ok(())
    }

    /// Applies an event that is shown.
    fn shown(&mut self, known: &KnownParts<'_>, excerpt: &Excerpt) -> Result<(), String> {
        self.found.shown += 1;
        let reader = only(PartyId(excerpt.reader));
        let mut event = self.disclosure.restore(known, reader)?;
        if let Event::Signed { documents, .. } = &event
            && self.collector.is_none()
        {
            let agreement = Agreement::parse(&documents.agreement);
            let party = agreement
                .ok()
                .and_then(|agreement| agreement.party_id(self.id));
            self.collector = party.map(Collector::new);
        }
        let party = self.party();
        if party.is_some_and(|party| party.0 != excerpt.reader) {
            return Err(format!(
                "what is shown is addressed to another party than {}",
                self.id
            ));
        }
        self.place(&mut event)?;
        if let Some(party) = party {
            self.compare(&event, party)?;
        }
        if let Event::Planned(plan) = &mut event {
            complete(plan);
        }
        let collector = &mut self.collector;
        let mut collect = |entry: &Entry| {
            if let Some(collector) = collector {
                collector.entry(entry);
            }
        };
        apply_checked(
            &mut self.book,
            &event,
            event.hashes(),
            excerpt.seq,
            &mut collect,
        )
        .map_err(|error| match error {
            ReplayError::ChangeDiffers { loan, .. } => format!(
                "it changes loan {loan} otherwise than what is shown of the loan gives: an earlier \
                 event is left out or changed, or the program that wrote it calculated differently"
            ),
            ReplayError::Impossible { what, .. } => format!("it {what}"),
            error => error.to_string(),
        })
    }

    fn party(&self) -> Option<PartyId> {
        self.collector.as_ref().map(|collector| collector.party)
    }

    /// Gives applications and loans the places that they have among those that are shown.
    fn place(&mut self, event: &mut Event) -> Result<(), String> {
        match event {
            Event::Decided(decided) => {
                let own = self.applications.len() as u32;
                self.applications.insert(self.all_applications, own);
                self.all_applications += 1;
                self.borrowers |= decided.borrower.is_some();
            }
            Event::Underwritten {
                application,
                decided,
                ..
            } => {
                // What it was before is not shown, so here it is new.
                let own = self.applications.len() as u32;
                if self.applications.insert(*application, own).is_some() {
                    return Err("its application was decided before".to_owned());
                }
                self.borrowers |= decided.borrower.is_some();
                *event = Event::Decided(decided.clone());
            }
            Event::Withdrawn { application } => {
                *application = self.own_application(*application)?
            }
            Event::Disbursed { application } => {
                let loan = OwnLoan {
                    place: self.loans.len() as u32,
                    application: *application,
                    number: 0,
                };
                *application = self.own_application(*application)?;
                self.loans.insert(self.all_loans, loan);
                self.all_loans += 1;
            }
            Event::Instructed {
                loan, transaction, ..
            }
            | Event::ChargedOff {
                loan, transaction, ..
            } => {
                let own = self.own_loan(*loan)?;
                let Transaction { number, .. } = *transaction;
                if number != own.number + 1 {
                    let last = own.number;
                    return Err(format!(
                        "it is transaction {number} of its loan, the one shown before is {last}: \
                         what lies between is left out"
                    ));
                }
                own.number = number;
                *loan = own.place;
                self.found.changes += 1;
            }
            Event::Reversed { loan, .. } => {
                *loan = self.own_loan(*loan)?.place;
                self.found.changes += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn own_application(&self, application: u32) -> Result<u32, String> {
        let own = self.applications.get(&application).copied();
        own.ok_or_else(|| "its application is left out".to_owned())
    }

    fn own_loan(&mut self, loan: u32) -> Result<&mut OwnLoan, String> {
        let left_out = || "its loan is left out".to_owned();
        self.loans.get_mut(&loan).ok_or_else(left_out)
    }

    /// Compares what the book as a whole came to with what the party's own loans give.
    fn compare(&mut self, event: &Event, party: PartyId) -> Result<(), String> {
        match event {
            Event::Planned(plan) => self.compare_plan(plan, party),
            Event::DayClosed(close) => {
                self.found.first.get_or_insert(close.day);
                self.found.last = Some(close.day);
                self.compare_close(party)
            }
            _ => Ok(()),
        }
    }

    fn compare_plan(&mut self, plan: &Plan, party: PartyId) -> Result<(), String> {
        self.found.plans += 1;
        let known = |row: &Transfer| row.from.index() < MAX_PARTIES && row.to.index() < MAX_PARTIES;
        if !plan.obligations.iter().chain(&plan.transfers).all(known) {
            return Err("it names a party that no agreement can have".to_owned());
        }
        let owed = self.owed(party);
        let stated = &plan.obligations;
        let of = |rows: &[Transfer], row: &Transfer| {
            let rows = rows
                .iter()
                .filter(|other| (other.from, other.to) == (row.from, row.to));
            rows.map(|row| row.amount).sum::<Amount>()
        };
        if let Some(row) = owed
            .iter()
            .chain(stated)
            .find(|row| of(&owed, row) != of(stated, row))
        {
            let (stated, found) = (of(stated, row).0, of(&owed, row).0);
            let name = |party: PartyId| crate::export::name(&self.book, party).to_owned();
            return Err(format!(
                "of the window of {}, {} owes {} {stated} minor units, what is shown gives {found}: \
                 an event is left out or changed",
                plan.window,
                name(row.from),
                name(row.to)
            ));
        }
        let paid = Plan {
            obligations: plan.transfers.clone(),
            ..plan.clone()
        };
        if paid.net(party) != plan.net(party) {
            return Err(format!(
                "the transfers for the window of {} do not come to what it owes",
                plan.window
            ));
        }
        Ok(())
    }

    /// What the party owes and is owed in the open window.
    fn owed(&self, party: PartyId) -> Vec<Transfer> {
        let window = &self.book.ledgers().window;
        let pairs = PartyId::ALL
            .into_iter()
            .flat_map(|from| PartyId::ALL.map(|to| (from, to)));
        let own = pairs.filter(|&(from, to)| from == party || to == party);
        let rows = own.map(|(from, to)| Transfer {
            from,
            to,
            amount: window[from.index()][to.index()],
        });
        rows.filter(|row| !row.amount.is_zero()).collect()
    }

    fn compare_close(&mut self, party: PartyId) -> Result<(), String> {
        self.found.closes += 1;
        let (day, Some((_, version))) = (self.book.business_date(), self.book.current()) else {
            return Ok(());
        };
        if !self.owed(party).is_empty() {
            return Err(format!(
                "something is owed on {day}, but no plan settles it"
            ));
        }
        let holding = self.book.portfolio().of(party);
        let balance = |account| self.book.ledgers().balance(party, account);
        // The class of a loan is that of its borrower's worst, which may not be shown.
        let determined = !self.borrowers || self.loans.len() as u32 == self.all_loans;
        let due = [
            (
                true,
                Account::InterestReceivable,
                holding.interest_receivable(day),
            ),
            (
                determined,
                Account::LossAllowance,
                -holding.allowance(&version.agreement),
            ),
        ];
        for (determined, account, own) in due {
            if determined && balance(account) != own {
                return Err(format!(
                    "at the close of {day}, {} is {} minor units, what is shown gives {}: an event \
                     is left out or changed",
                    account.name(),
                    balance(account).0,
                    own.0
                ));
            }
        }
        self.found.determined += u64::from(determined);
        Ok(())
    }

    /// Nothing may be shown that in the end does not concern the party.
    fn check_concern(&self, party: PartyId) -> Result<(), String> {
        let concerns = |parties| parties & only(party) != 0;
        let loans = self.loans.iter();
        let loans = loans.filter(|(place, _)| concerns(self.disclosure.loan(**place)));
        let lent: BTreeSet<u32> = loans.map(|(_, loan)| loan.application).collect();
        let foreign = self
            .applications
            .keys()
            .find(|place| !concerns(self.disclosure.application(**place)) && !lent.contains(place));
        foreign.map_or(Ok(()), |place| {
            let (number, id) = (place + 1, self.id);
            Err(format!(
                "application {number} of the book is shown, which does not concern {id}"
            ))
        })
    }

    fn finish(mut self, stated: &Figures) -> Result<Found, String> {
        let Some(collector) = self.collector.take() else {
            return Err(format!("`{}` never signed in this book", self.id));
        };
        self.check_concern(collector.party)?;
        let figures = collector.finish(&self.book);
        if let Some(difference) = stated.difference(&figures) {
            return Err(difference);
        }
        Ok(Found {
            loans: self.loans.len() as u64,
            all_loans: self.all_loans.into(),
            figures,
            ..self.found
        })
    }
}

/// Adds transfers between others, so that a plan of which only one party's rows are shown brings
/// everybody what these rows owe.
fn complete(plan: &mut Plan) {
    let paid = Plan {
        obligations: plan.transfers.clone(),
        ..plan.clone()
    };
    let mut left = PartyId::ALL.map(|party| plan.net(party) - paid.net(party));
    for to in PartyId::ALL {
        for from in PartyId::ALL {
            let amount = left[to.index()].min(-left[from.index()]);
            if amount.is_positive() {
                plan.transfers.push(Transfer { from, to, amount });
                left[to.index()] -= amount;
                left[from.index()] += amount;
            }
        }
    }
}
