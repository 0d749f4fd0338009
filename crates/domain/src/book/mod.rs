//! The book: all state of a cooperation, as a deterministic state machine.
//!
//! [`Book::execute`] takes a command, decides it against the state (`decide.rs`, `gate.rs`,
//! `close.rs`), applies the events that follow (`apply.rs`, `posting.rs`) and hands them out for
//! the journal. [`Book::apply`] alone rebuilds the same state from a journal.

mod applications;
mod apply;
mod archive;
pub mod attest;
mod close;
mod command;
mod decide;
mod enrol;
mod event;
mod gate;
mod hashes;
mod instruct;
mod keys;
mod limits;
mod loans;
mod portfolio;
mod posting;
mod slices;
mod snapshot;
mod underwrite;
pub mod words;

pub use archive::MOST_AT_ONCE;
pub use attest::Finding;
pub use command::{
    Answer, Application, Archiving, Command, Documents, Instruction, LONGEST_TEXT, MOST_DOCUMENTS,
    MOST_VALUES, Refusal, Replacement, Slice, Underwriting,
};
pub use event::{Barred, Clause, Close, Decided, DeclineReason, Event, Sliced, Verdict};
pub use hashes::{Apart, Deferred, Hashes};
pub use limits::LimitUse;
pub use portfolio::{Holding, Portfolio};
pub use slices::{Held, Room};
pub use snapshot::{FORMAT as SNAPSHOT_FORMAT, Restore, Snapshot};

use std::collections::BTreeMap;

use smallvec::SmallVec;

use applications::Applications;
use archive::Archived;
use keys::{Index, KeyHash, Names};
use loans::{Loans, PackedTerms};
use slices::Slices;
use underwrite::Referrals;

use crate::agreement::{Agreement, Amortisation};
use crate::calendar::{BusinessCalendar, Day};
use crate::document::Problem;
use crate::field::Value;
use crate::funding::{LenderParts, Part};
use crate::ledger::{Entry, Ledgers};
use crate::loan::{Action, Due, Fixing, History, Position, Split, Status, Terms, Timeline};
use crate::money::{Amount, Rate};
use crate::packed::{Damaged, Reader, put_row};
use crate::party::{MAX_PARTIES, PartyId};
use crate::policy::{Decision, Policy};
use crate::rulebook::Rulebook;
use crate::settlement::Plan;
use crate::share::MAX_SHARES;

/// One version of the agreement with the policies and rules that belong to it.
#[derive(Clone, Debug)]
pub struct Version {
    /// As signed.
    pub documents: Documents,
    /// The agreement.
    pub agreement: Agreement,
    /// The lenders' policies, in leftover order.
    pub policies: Vec<Policy>,
    /// The rules to keep.
    pub rulebook: Option<Rulebook>,
    /// Business days.
    pub calendar: BusinessCalendar,
}

impl Version {
    /// Reads the documents; problems are those of the first document that has any.
    pub fn parse(documents: Documents) -> Result<Version, Vec<Problem>> {
        let agreement = Agreement::parse(&documents.agreement)?;
        let mut policies: Vec<Option<Policy>> = vec![None; agreement.lenders.len()];
        for text in &documents.policies {
            let policy = Policy::parse(text, &agreement)?;
            let lender = agreement.party_id(&policy.file.lender);
            let place = agreement.lenders.iter().position(|&id| Some(id) == lender);
            let place = place.expect("a policy that parses names a lender");
            if policies[place].is_some() {
                let message = format!("`{}` has two policies; send one", policy.file.lender);
                return Err(vec![Problem {
                    line: 1,
                    field: "lender".into(),
                    message,
                }]);
            }
            policies[place] = Some(policy);
        }
        if let Some(place) = policies.iter().position(Option::is_none) {
            let lender = &agreement.party(agreement.lenders[place]).id;
            return Err(vec![Problem {
                line: 1,
                field: "lender".into(),
                message: format!("no policy for lender `{lender}`"),
            }]);
        }
        let rulebook = documents
            .rulebook
            .as_deref()
            .map(Rulebook::parse)
            .transpose()?;
        let named = agreement.file.rulebook.as_deref();
        let sent = rulebook.as_ref().map(|book| book.id.as_str());
        if named != sent {
            let show = |id: Option<&str>| id.map_or("none".to_owned(), |id| format!("`{id}`"));
            return Err(vec![Problem {
                line: 1,
                field: "rulebook".into(),
                message: format!(
                    "the agreement names {}, the documents have {}",
                    show(named),
                    show(sent)
                ),
            }]);
        }
        let calendar = match documents.calendar.as_deref() {
            Some(text) => BusinessCalendar::parse(text)?,
            None => BusinessCalendar::weekends(),
        };
        Ok(Version {
            documents,
            agreement,
            policies: policies.into_iter().flatten().collect(),
            rulebook,
            calendar,
        })
    }

    /// What each lender says to an application, in leftover order. Every policy was compiled
    /// against the fields that the agreement lets its lender see.
    pub fn decisions(&self, values: &[Value]) -> Vec<Decision> {
        self.policies
            .iter()
            .map(|policy| policy.decide(values))
            .collect()
    }

    /// A clause in words: what it is, and where it is written.
    pub fn clause(&self, clause: Clause) -> String {
        match clause {
            Clause::Limit(place) => {
                let limit = &self.agreement.file.limit[usize::from(place)];
                format!("clause {} of the agreement", limit.clause)
            }
            Clause::Rule(place) => {
                let rule = self
                    .rulebook
                    .as_ref()
                    .map(|book| &book.rule[usize::from(place)]);
                rule.map_or_else(
                    || "a rule".into(),
                    |rule| format!("rule {}: {}", rule.id, rule.title),
                )
            }
        }
    }

    /// A reason to decline, in words.
    pub fn decline_reason(&self, reason: DeclineReason) -> String {
        match reason {
            DeclineReason::Term => "the product has no such term".into(),
            DeclineReason::Amount => "the amount is outside the product's bounds".into(),
            DeclineReason::Ineligible(place) => self.agreement.file.ineligible[usize::from(place)]
                .reason
                .clone(),
            DeclineReason::Funding => {
                "the lenders that accept are too few or cover too little".into()
            }
            DeclineReason::Clause(clause) => self.clause(clause),
            DeclineReason::Yields => {
                "the lead's rate does not cover the yields of the other lenders".into()
            }
        }
    }
}

/// Where an application stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationState {
    /// Declined.
    Declined(DeclineReason),
    /// Waits for a person.
    Referred,
    /// Offered and neither taken nor given back.
    Offered,
    /// Offered and not taken in time, or left to a person and not decided in time.
    Lapsed,
    /// Offered and given back, or referred and taken back.
    Withdrawn,
    /// Disbursed: the place of the loan.
    Disbursed(u32),
}

impl ApplicationState {
    /// Names of all states.
    pub const NAMES: [&str; 6] = [
        "offered",
        "disbursed",
        "referred",
        "declined",
        "lapsed",
        "withdrawn",
    ];

    /// Name of the state; one of [`NAMES`](Self::NAMES).
    pub fn name(&self) -> &'static str {
        match self {
            ApplicationState::Declined(_) => "declined",
            ApplicationState::Referred => "referred",
            ApplicationState::Offered => "offered",
            ApplicationState::Lapsed => "lapsed",
            ApplicationState::Withdrawn => "withdrawn",
            ApplicationState::Disbursed(_) => "disbursed",
        }
    }
}

/// An offer that stands open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Each lender's part, in leftover order.
    pub parts: LenderParts,
    /// The borrower's yearly rate.
    pub rate: Rate,
    /// Term in months.
    pub months: u16,
    /// Last business date on which it can be taken.
    pub valid_to: Day,
}

/// What the book keeps of an application.
#[derive(Clone, Copy, Debug)]
pub struct ApplicationRecord<'a> {
    /// Its key.
    pub key: &'a str,
    /// Place of the agreement version that governs it.
    pub version: u16,
    /// Place of the borrower, if the application names one.
    pub borrower: Option<u32>,
    /// Place of the region.
    pub region: u32,
    /// The business date of its decision.
    pub decided_on: Day,
    /// Where it stands.
    pub state: ApplicationState,
}

/// A loan.
#[derive(Clone, Debug, Default)]
pub struct Loan {
    /// Place of its application.
    pub application: u32,
    /// Place of the agreement version that governs it.
    pub version: u16,
    /// Term in months.
    pub months: u16,
    /// Value date of the disbursement.
    pub disbursed_on: Day,
    /// Principal disbursed at first.
    pub principal: Amount,
    /// The borrower's yearly rate.
    pub rate: Rate,
    /// Each lender's part, in leftover order.
    pub parts: SmallVec<[Part; MAX_SHARES]>,
    /// What people did to it, by value date.
    pub history: History,
    /// What its terms and history amount to.
    pub position: Position,
    /// The first level instalment.
    pub instalment: Amount,
    /// Place of its class: that of the borrower's worst loan.
    pub class: u8,
    /// Place of the class that the loan would have by itself.
    own_class: u8,
    /// True once it is so long past due that it accrues no income.
    pub non_accrual: bool,
    /// If so, all interest that was earned before, received or not.
    earned: Amount,
    /// Place of the series that it belongs to.
    series: u32,
    /// Number of the last transaction that came in.
    pub entered: u32,
    /// The next business date on which a day close must look at it.
    agenda: Option<Day>,
    /// Its terms, packed: they never change.
    terms: PackedTerms,
}

impl Loan {
    /// What each party has of it.
    #[inline]
    pub fn split(&self, agreement: &Agreement) -> Split {
        Split::of(&self.position, self.principal, &self.parts, agreement)
    }

    /// The most that the guarantor can come to pay for it, by the write-offs in its history.
    fn claimed(&self) -> Amount {
        let claims = self
            .history
            .newest_first()
            .map(|(done, _)| match done.action {
                Action::ChargeOff { at_most, .. } => at_most,
                _ => Amount::ZERO,
            });
        claims.max().unwrap_or_default()
    }

    /// What was agreed to be lent.
    pub fn committed(&self) -> Amount {
        self.parts.iter().map(|part| part.amount).sum()
    }

    /// What can still be drawn at a position.
    pub fn undrawn(&self, position: &Position, agreement: &Agreement) -> Amount {
        let committed = self.committed();
        if position.status != Status::Active {
            return Amount::ZERO;
        }
        match agreement.file.product.amortisation {
            Amortisation::Revolving => committed.saturating_less(position.outstanding()),
            _ => committed - self.principal - position.totals.drawn,
        }
    }
}

/// Loans of one version, day and term: they have their steps in common.
#[derive(Clone, Debug)]
struct Series {
    version: u16,
    disbursed_on: Day,
    months: u16,
    timeline: Timeline,
}

/// A key under which something was done to a loan that is not in its history: a reversal, or
/// what was reversed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spent {
    /// What is kept of the key.
    key: u32,
    /// Digest of the command, to recognise a retry.
    body: u64,
    /// Number of the transaction that was reversed; zero for the reversal itself.
    number: u32,
}

/// What is lent and offered, by party.
#[derive(Clone, Debug, Default)]
struct Exposure {
    /// Offered and not yet taken.
    reserved: [Amount; MAX_PARTIES],
    /// Principal outstanding.
    outstanding: [Amount; MAX_PARTIES],
}

/// Use of the guarantee pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Principal ever disbursed.
    pub disbursed: Amount,
    /// Compensation paid.
    pub used: Amount,
    /// The most that it can come to: of each loan, what a write-off was compensated when it was made,
    /// which it may be again though a later history has it be less.
    pub claimed: Amount,
}

impl Pool {
    fn pack(&self, out: &mut Vec<u8>) {
        put_row(out, [self.disbursed.0, self.used.0, self.claimed.0]);
    }

    fn unpack(from: &mut Reader<'_>) -> Result<Pool, Damaged> {
        let [disbursed, used, claimed] = from.row()?.map(Amount);
        Ok(Pool {
            disbursed,
            used,
            claimed,
        })
    }
}

/// All state of a cooperation.
#[derive(Clone, Debug, Default)]
pub struct Book {
    business_date: Day,
    versions: Vec<Version>,
    applications: Applications,
    loans: Loans,
    archived: Archived,
    /// Loans by the keys of what was done to them.
    instructions: Index,
    /// While that is away: what it lacks.
    unindexed: Option<Vec<(KeyHash, u32)>>,
    /// Number of instructions and reversals carried out.
    carried_out: u64,
    /// By loan.
    spent: BTreeMap<u32, Vec<Spent>>,
    series: Vec<Series>,
    series_places: BTreeMap<(u16, Day, u16), u32>,
    /// Reference rates by name, oldest first.
    fixings: BTreeMap<String, Vec<Fixing>>,
    /// Loans that a day close must look at, by day. An entry is stale if the loan's own agenda
    /// names another day.
    agenda: BTreeMap<Day, Vec<u32>>,
    /// Loans past due long enough to be written off, in the course of a day close. It is state,
    /// so that a close that was interrupted can be taken up again.
    to_charge_off: std::collections::VecDeque<u32>,
    /// Open offers by their last day.
    open_offers: BTreeMap<Day, Vec<u32>>,
    referrals: Referrals,
    regions: Vec<Exposure>,
    region_names: Names,
    /// The last application of each borrower.
    borrowers: Vec<u32>,
    borrower_names: Names,
    /// Open offers of all, by party.
    reserved: [Amount; MAX_PARTIES],
    /// Offered on the business date and not given back, by party.
    today: [Amount; MAX_PARTIES],
    pool: Pool,
    slices: Slices,
    ledgers: Ledgers,
    portfolio: Portfolio,
    /// Plans that wait for their day, by window.
    plans: Vec<Plan>,
    /// True from the end of the business date to its close; an interrupted close is taken up
    /// again before anything else is done.
    closing: bool,
    last_close: Option<Close>,
    rooms: Rooms,
}

/// Memory of what had fallen due on loans before, for the next ones.
#[derive(Clone, Debug, Default)]
struct Rooms(Vec<Vec<Due>>);

/// As many as one command takes at the same time.
const ROOMS: usize = 2;

impl Rooms {
    fn take(&mut self) -> Vec<Due> {
        self.0.pop().unwrap_or_default()
    }

    /// Takes back what a loan has, and its position before.
    fn give(&mut self, loan: &mut Loan, was: &mut Position) {
        for due in [&mut loan.position.due, &mut was.due] {
            if self.0.len() < ROOMS {
                due.clear();
                self.0.push(std::mem::take(due));
            }
        }
    }
}

impl Book {
    /// The day that is open.
    pub fn business_date(&self) -> Day {
        self.business_date
    }

    /// The agreement's versions, in the order in which they were signed.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The version that governs new applications: the last one in effect.
    pub fn current(&self) -> Option<(u16, &Version)> {
        let in_effect =
            |version: &Version| version.agreement.file.effective_from <= self.business_date;
        let place = self
            .versions
            .iter()
            .rposition(in_effect)
            .or((!self.versions.is_empty()).then_some(0))?;
        Some((place as u16, &self.versions[place]))
    }

    /// The latest version signed; parties are listed there in full.
    pub fn latest(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// Number of applications.
    pub fn application_count(&self) -> usize {
        self.applications.rows.len()
    }

    /// All applications, in order.
    pub fn applications(&self) -> impl Iterator<Item = ApplicationRecord<'_>> {
        (0..).map_while(|place| self.application_at(place))
    }

    /// An application by its place.
    pub fn application_at(&self, place: u32) -> Option<ApplicationRecord<'_>> {
        self.applications.get(place)
    }

    /// The application at a place that an event or another record names.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn application_in(&self, place: u32) -> ApplicationRecord<'_> {
        self.application_at(place)
            .expect("the application is there")
    }

    /// An application by its key.
    pub fn application(&self, key: &str) -> Option<ApplicationRecord<'_>> {
        self.application_at(self.applications.find(key)?)
    }

    /// The place of an application, by its key.
    pub fn application_place(&self, key: &str) -> Option<u32> {
        self.applications.find(key)
    }

    /// Key of a borrower, by its place.
    pub fn borrower_key(&self, place: u32) -> Option<&str> {
        let known = (place as usize) < self.borrowers.len();
        known.then(|| self.borrower_names.get(place))
    }

    /// The open offer on an application, by its place.
    pub fn offer(&self, application: u32) -> Option<&Offer> {
        self.applications.offers.get(&application)
    }

    /// Number of loans, archived ones too.
    pub fn loan_count(&self) -> usize {
        self.loans.len()
    }

    /// Bytes that loans take, packed.
    pub fn loan_bytes(&self) -> usize {
        self.loans.bytes()
    }

    /// All loans that are in memory, in order.
    pub fn loans(&self) -> impl Iterator<Item = Loan> {
        self.placed_loans().map(|(_, loan)| loan)
    }

    /// The same, with their places.
    pub fn placed_loans(&self) -> impl Iterator<Item = (u32, Loan)> {
        let places = 0..self.loan_count() as u32;
        places.filter_map(|place| Some((place, self.loan_at(place)?)))
    }

    /// A loan by its place; none if it is archived.
    pub fn loan_at(&self, place: u32) -> Option<Loan> {
        let packed = self.loans.get(place)?;
        Some(self.unpacked(packed))
    }

    #[inline]
    fn unpacked(&self, packed: &[u8]) -> Loan {
        self.unpacked_into(Vec::new(), packed)
    }

    /// Unpacks a loan, with room for what has fallen due on it.
    #[inline]
    fn unpacked_into(&self, due: Vec<Due>, packed: &[u8]) -> Loan {
        // It is too large to be moved.
        let mut loan = Loan::default();
        loan.position.due = due;
        (loan.unpack(packed, &self.series)).expect("a loan is what was packed");
        loan
    }

    /// Number of the last transaction that came in on a loan.
    pub fn entered(&self, loan: u32) -> Option<u32> {
        self.loans.entered(loan)
    }

    /// The loan of an application; none if it is archived.
    pub fn loan(&self, application: &str) -> Option<(u32, Loan)> {
        match self.application(application)?.state {
            ApplicationState::Disbursed(place) => Some((place, self.loan_at(place)?)),
            _ => None,
        }
    }

    /// Key of the application that a loan was made of.
    pub fn key_of(&self, loan: &Loan) -> &str {
        self.applications.names.get(loan.application)
    }

    /// The loan at a place that an event or another record names.
    ///
    /// # Panics
    ///
    /// If there is none, or it is archived.
    #[inline]
    pub fn loan_in(&self, place: u32) -> Loan {
        self.loan_into(Vec::new(), place)
    }

    #[inline]
    fn loan_into(&self, due: Vec<Due>, place: u32) -> Loan {
        self.unpacked_into(due, self.loans.get(place).expect("the loan is there"))
    }

    /// The ledgers of all parties.
    pub fn ledgers(&self) -> &Ledgers {
        &self.ledgers
    }

    /// Sums over all active loans.
    pub fn portfolio(&self) -> &Portfolio {
        &self.portfolio
    }

    /// Use of the guarantee pool.
    pub fn pool(&self) -> Pool {
        self.pool
    }

    /// Settlement plans that wait for their day.
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// True if an offer waits for its borrower.
    pub fn has_open_offers(&self) -> bool {
        self.reserved.iter().any(|amount| !amount.is_zero())
    }

    /// True if the close of the business date was interrupted; only closing it is possible.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// The last day close.
    pub fn last_close(&self) -> Option<&Close> {
        self.last_close.as_ref()
    }

    /// The version that governs a loan.
    pub fn version_of(&self, loan: &Loan) -> &Version {
        &self.versions[usize::from(loan.version)]
    }

    /// The terms of a loan.
    pub fn terms<'a>(&'a self, loan: &Loan) -> Terms<'a> {
        let timeline = &self.series[loan.series as usize].timeline;
        Terms {
            disbursed_on: loan.disbursed_on,
            instalment: Some(loan.instalment),
            ..self.terms_on(self.version_of(loan), timeline, loan.principal, loan.rate)
        }
    }

    /// The terms of a loan that is disbursed on the business date, by the steps of its contract.
    pub(crate) fn terms_on<'a>(
        &'a self,
        version: &'a Version,
        timeline: &'a Timeline,
        principal: Amount,
        rate: Rate,
    ) -> Terms<'a> {
        let agreement = &version.agreement;
        let floating = agreement.file.product.floating.as_ref();
        Terms {
            principal,
            rate,
            disbursed_on: self.business_date,
            timeline,
            product: &agreement.file.product,
            fees: &agreement.loan_fees,
            fixings: floating.map_or(&[], |floating| self.fixings(&floating.index)),
            calendar: &version.calendar,
            instalment: None,
        }
    }

    /// Values of a reference rate, oldest first.
    pub fn fixings(&self, index: &str) -> &[Fixing] {
        self.fixings.get(index).map_or(&[], Vec::as_slice)
    }

    /// Places of the active loans of which a party holds a part.
    pub fn held_by(&self, party: PartyId) -> impl Iterator<Item = u32> {
        let holds = move |loan: &Loan| {
            let split = loan.split(&self.version_of(loan).agreement);
            split.own(party).outstanding.is_positive()
        };
        let loans = self.placed_loans();
        loans
            .filter(move |(_, loan)| loan.position.status == Status::Active && holds(loan))
            .map(|(place, _)| place)
    }

    /// The loan and the number of the transaction of an instruction, by its key.
    pub fn instruction(&self, key: &str) -> Option<(u32, u32)> {
        let (loan, done) = self.carried(KeyHash::of(key))?;
        Some((loan, done.number()))
    }

    /// Carries a command out: decides it, applies what follows, and hands out the events for the
    /// journal and the ledger entries they made. A refused command changes nothing.
    pub fn execute(
        &mut self,
        command: Command,
        events: &mut Vec<Event>,
        entries: &mut impl FnMut(&Entry),
    ) -> Result<Answer, Refusal> {
        let hashes = command.hashes();
        self.execute_hashed(command, hashes, events, entries)
    }

    /// The same of a command whose [`Command::hashes`] are known.
    pub fn execute_hashed(
        &mut self,
        command: Command,
        hashes: Hashes,
        events: &mut Vec<Event>,
        entries: &mut impl FnMut(&Entry),
    ) -> Result<Answer, Refusal> {
        if let Command::CloseDay { day } = command {
            return self.close_day(day, events, entries).map(|()| Answer::Done);
        }
        if self.closing {
            return Err(Refusal::Closing(self.business_date));
        }
        if let Command::ReplaceLender(replacement) = command {
            return self.replace_lender(&replacement, events, entries);
        }
        let event = if let Command::Instruct(instruction) = command {
            let mut rooms = std::mem::take(&mut self.rooms);
            let decided = self.decide_instruction(instruction, hashes, &mut rooms);
            self.rooms = rooms;
            let Some((event, ready)) = decided? else {
                return Ok(Answer::Known);
            };
            self.apply_ready(&event, hashes, Some(ready), entries);
            event
        } else {
            let Some(event) = self.decide(command, hashes)? else {
                return Ok(Answer::Known);
            };
            self.apply_hashed(&event, hashes, entries);
            event
        };
        events.push(event);
        Ok(Answer::Done)
    }
}
