//! What depends on where a loan stands: postings, exposures, class, income, sums, agenda, digest.
//! All of it follows the loan's position, whatever moved it.

use super::portfolio::Contribution;
use super::{Book, Exposure, Loan};
use crate::agreement::{Agreement, Recognition};
use crate::calendar::Day;
use crate::ledger::{Entry, EntryKind};
use crate::loan::{Accrual, Position, Split, Status, evaluate};
use crate::money::Amount;
use crate::party::PartyId;
use crate::share::allocate;

impl Book {
    /// Gives a loan a new position and brings everything that depends on it up to date: postings,
    /// exposures, sums, agenda and digest.
    pub(super) fn move_to(
        &mut self,
        place: u32,
        position: Position,
        kind: EntryKind,
        looked_at: Day,
        entries: &mut impl FnMut(&Entry),
    ) {
        let loan = &mut self.loans[place as usize];
        let agreement = &self.versions[usize::from(loan.version)].agreement;
        let before = loan.split(agreement);
        let undrawn = loan.undrawn(&loan.position, agreement);
        let contribution = contribution(loan, agreement, &before);
        self.portfolio.add(&contribution, -1);
        let old = std::mem::replace(&mut loan.position, position);
        // All that parties' parts and what is reserved depend on.
        let new = &loan.position;
        if (old.totals, old.status, &old.claim, &old.marks)
            == (new.totals, new.status, &new.claim, &new.marks)
        {
            self.enrol(place, looked_at, &before);
            return;
        }
        let after = loan.split(agreement);
        let (totals, version) = (loan.position.totals, usize::from(loan.version));
        let record = &self.applications[loan.application as usize];
        let (region, borrower) = (record.region, record.borrower);
        self.pool.used += totals.compensated - old.totals.compensated;
        self.pool.disbursed += totals.drawn - old.totals.drawn;
        self.post_change(
            place,
            (&old.totals, &before),
            (&totals, &after),
            kind,
            entries,
        );
        self.expose(region, borrower, &before, &after);
        let loan = &self.loans[place as usize];
        let agreement = &self.versions[version].agreement;
        let (application, left) = (loan.application, loan.undrawn(&loan.position, agreement));
        self.reserve_undrawn(application, &before, undrawn, -1);
        self.reserve_undrawn(application, &after, left, 1);
        self.enrol(place, looked_at, &after);
    }

    /// Principal counts against limits as long as it is outstanding.
    pub(super) fn expose(
        &mut self,
        region: u32,
        borrower: Option<u32>,
        before: &Split,
        after: &Split,
    ) {
        let change =
            PartyId::ALL.map(|party| after.own(party).outstanding - before.own(party).outstanding);
        for exposure in self.exposures(region, borrower) {
            for (outstanding, change) in exposure.outstanding.iter_mut().zip(change) {
                *outstanding += change;
            }
        }
    }

    /// What can still be drawn stays reserved, by who is to pay it out.
    pub(super) fn reserve_undrawn(
        &mut self,
        application: u32,
        split: &Split,
        undrawn: Amount,
        sign: i64,
    ) {
        if undrawn.is_zero() {
            return;
        }
        let record = &self.applications[application as usize];
        let (region, borrower) = (record.region, record.borrower);
        let parts = allocate(undrawn, &split.commitments);
        let parties = split.holders.iter().map(PartyId::index);
        self.reserve(region, borrower, parties.zip(parts), sign);
    }

    /// The exposures that an application counts for: its region's, and its borrower's if it names
    /// one.
    pub(super) fn exposures(
        &mut self,
        region: u32,
        borrower: Option<u32>,
    ) -> impl Iterator<Item = &mut Exposure> {
        let borrower = borrower.map(|place| &mut self.borrowers[place as usize]);
        std::iter::once(&mut self.regions[region as usize]).chain(borrower)
    }

    /// Puts a loan into its class, the sums, the agenda and the digest.
    pub(super) fn enrol(&mut self, place: u32, looked_at: Day, split: &Split) {
        let loan = &self.loans[place as usize];
        let agreement = &self.versions[usize::from(loan.version)].agreement;
        let days = loan.position.days_past_due(self.business_date);
        let class = agreement.class_of(days) as u8;
        let income = &agreement.file.income;
        let from = income
            .non_accrual_days
            .map(i32::from)
            .filter(|&from| days >= from);
        let keeps = income.recognition == Recognition::Accrual && !income.reverse_accrued;
        let stopped = from.filter(|_| keeps).zip(loan.position.behind_since());
        let earned = stopped.map_or(Amount::ZERO, |(from, since)| {
            self.earned(loan, (since + from).previous())
        });
        let agenda = self.next_look(loan, agreement, looked_at);
        let digest = loan.digest_now(place);
        if let Some(day) = agenda.filter(|_| agenda != loan.agenda) {
            self.agenda.entry(day).or_default().push(place);
        }
        self.loans_digest = self
            .loans_digest
            .wrapping_sub(loan.digest)
            .wrapping_add(digest);
        let borrower = self.applications[loan.application as usize].borrower;
        let loan = &mut self.loans[place as usize];
        (loan.own_class, loan.agenda, loan.digest) = (class, agenda, digest);
        (loan.class, loan.non_accrual, loan.earned) = (class, from.is_some(), earned);
        let siblings = borrower.map(|place| &self.borrowers[place as usize].loans);
        if let Some(siblings) = siblings.filter(|siblings| siblings.len() > 1) {
            self.classify(place, &siblings.clone());
        }
        let loan = &self.loans[place as usize];
        let agreement = &self.versions[usize::from(loan.version)].agreement;
        let contribution = contribution(loan, agreement, split);
        self.portfolio.add(&contribution, 1);
    }

    /// All interest that a loan had earned by the end of a day, by what was paid until then.
    fn earned(&self, loan: &Loan, day: Day) -> Amount {
        let terms = self.terms(loan);
        let known = loan.history.partition_point(|earlier| earlier.day <= day);
        let then = evaluate(&terms, &loan.history[..known], day);
        let accrual = then.accrual();
        let number = i128::from(terms.product.day_count.number(day));
        let accrued = terms
            .measure()
            .amount(accrual.slope * number + accrual.offset);
        used_interest(&then) + then.interest_due() + accrued
    }

    /// Gives all loans of a borrower the class of the worst. All but `place` are in the sums.
    fn classify(&mut self, place: u32, siblings: &[u32]) {
        let active =
            |book: &Book, place: u32| book.loans[place as usize].position.status == Status::Active;
        let worst = siblings.iter().filter(|&&sibling| active(self, sibling));
        let worst = worst
            .map(|&sibling| self.loans[sibling as usize].own_class)
            .max();
        let Some(worst) = worst else {
            return;
        };
        for &sibling in siblings {
            let loan = &self.loans[sibling as usize];
            if sibling == place || loan.class == worst || !active(self, sibling) {
                continue;
            }
            let agreement = &self.versions[usize::from(loan.version)].agreement;
            let split = loan.split(agreement);
            let before = contribution(loan, agreement, &split);
            self.loans[sibling as usize].class = worst;
            let loan = &self.loans[sibling as usize];
            let agreement = &self.versions[usize::from(loan.version)].agreement;
            let after = contribution(loan, agreement, &split);
            self.portfolio.add(&before, -1);
            self.portfolio.add(&after, 1);
        }
        if active(self, place) {
            self.loans[place as usize].class = worst;
        }
    }

    /// The next day after `looked_at` on which a day close must look at the loan: an instalment
    /// falls due, a fee is charged, the class or the recognition of income changes, or the loan
    /// is to be written off.
    fn next_look(&self, loan: &Loan, agreement: &Agreement, looked_at: Day) -> Option<Day> {
        if loan.position.status != Status::Active {
            return None;
        }
        let step = loan.position.next_step(&self.terms(loan));
        let since = loan.position.behind_since();
        let file = &agreement.file;
        let changes = since.into_iter().flat_map(|since| {
            let classes = file.class.iter().map(|class| class.from_days);
            let days = classes.chain(file.income.non_accrual_days);
            let days = days.map(move |days| since + i32::from(days));
            days.filter(move |&day| day > looked_at).chain([
                // A day that has passed is made up for at the next close.
                (since + i32::from(file.charge_off.days_past_due)).max(looked_at + 1),
            ])
        });
        step.into_iter().chain(changes).min()
    }
}

/// What a loan adds to the sums. Interest counts as the agreement recognises income.
pub(super) fn contribution(loan: &Loan, agreement: &Agreement, split: &Split) -> Contribution {
    let position = &loan.position;
    let income = &agreement.file.income;
    let interest = match income.recognition {
        Recognition::Cash => Default::default(),
        Recognition::Accrual if !loan.non_accrual => (position.interest_due(), position.accrual()),
        Recognition::Accrual if income.reverse_accrued => Default::default(),
        // What was earned before stays until it is received.
        Recognition::Accrual => {
            let left = loan.earned.saturating_less(used_interest(position));
            (left, Accrual::default())
        }
    };
    let active = position.status == Status::Active;
    let day_count = agreement.file.product.day_count;
    Contribution::of(split, active, usize::from(loan.class), day_count, interest)
}

/// Interest that is no longer receivable: received, made principal or given up.
fn used_interest(position: &Position) -> Amount {
    let totals = &position.totals;
    totals.interest + totals.capitalised + totals.interest_forgone
}
