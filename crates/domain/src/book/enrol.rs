//! What depends on where a loan stands: postings, exposures, class, income, sums, agenda, digest.
//! All of it follows the loan's position, whatever moved it.

use super::portfolio::Contribution;
use super::{ApplicationState, Book, Loan};
use crate::agreement::{Agreement, Recognition};
use crate::calendar::Day;
use crate::ledger::{Entry, EntryKind};
use crate::loan::{Accrual, Fold, Position, Split, Status, Totals, evaluate};
use crate::money::Amount;
use crate::party::PartyId;
use crate::share::allocate;

impl Book {
    /// Brings everything that depends on a loan's position up to date: postings, exposures, sums,
    /// agenda and digest. The change of its totals since it `was` elsewhere.
    pub(super) fn follow(
        &mut self,
        place: u32,
        loan: &mut Loan,
        was: &Position,
        kind: EntryKind,
        looked_at: Day,
        entries: &mut impl FnMut(&Entry),
    ) -> Totals {
        let is = &loan.position;
        let agreement = &self.versions[usize::from(loan.version)].agreement;
        let mut before = Split::default();
        let mut after = Split::default();
        let fold = Fold::of(&mut after, was, loan.principal, &loan.parts, agreement);
        fold.count_to(was, &mut before);
        if let Some(contribution) = contribution(loan, was, agreement) {
            self.portfolio.add(&before, contribution, -1);
        }
        // All that parties' parts and what is reserved depend on.
        if (was.totals, was.status, &was.claim, &was.marks)
            == (is.totals, is.status, &is.claim, &is.marks)
        {
            self.enrol(place, loan, looked_at, &before);
            return Totals::default();
        }
        fold.end_at(is);
        let undrawn = [was, is].map(|position| loan.undrawn(position, agreement));
        let came = is.totals.since(&was.totals);
        let region = self.applications.rows[loan.application as usize].region;
        self.pool.used += came.compensated;
        self.pool.disbursed += came.drawn;
        self.post_change(
            place,
            usize::from(loan.version),
            &came,
            [&before, &after],
            kind,
            entries,
        );
        self.expose(region, &before, &after);
        self.reserve_undrawn(region, &before, undrawn[0], -1);
        self.reserve_undrawn(region, &after, undrawn[1], 1);
        self.enrol(place, loan, looked_at, &after);
        came
    }

    /// Principal counts against limits as long as it is outstanding.
    pub(super) fn expose(&mut self, region: u32, before: &Split, after: &Split) {
        let outstanding = &mut self.regions[region as usize].outstanding;
        for (split, sign) in [(after, 1), (before, -1)] {
            for (party, own) in split.holders.iter().zip(&split.own) {
                outstanding[party.index()] += Amount(own.outstanding.0 * sign);
            }
        }
    }

    /// What can still be drawn stays reserved, by who is to pay it out.
    pub(super) fn reserve_undrawn(
        &mut self,
        region: u32,
        split: &Split,
        undrawn: Amount,
        sign: i64,
    ) {
        if undrawn.is_zero() {
            return;
        }
        let parts = allocate(undrawn, &split.commitments);
        let parties = split.holders.iter().map(PartyId::index);
        self.reserve(region, parties.zip(parts), sign);
    }

    /// Puts a loan into its class, the sums and the agenda, and keeps it.
    pub(super) fn enrol(&mut self, place: u32, loan: &mut Loan, looked_at: Day, split: &Split) {
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
        if let Some(day) = agenda.filter(|_| agenda != loan.agenda) {
            self.agenda.entry(day).or_default().push(place);
        }
        (loan.own_class, loan.agenda) = (class, agenda);
        (loan.class, loan.non_accrual, loan.earned) = (class, from.is_some(), earned);
        self.classify(place, loan);
        let agreement = &self.versions[usize::from(loan.version)].agreement;
        if let Some(contribution) = contribution(loan, &loan.position, agreement) {
            self.portfolio.add(split, contribution, 1);
        }
        self.loans.set(place, loan);
    }

    /// All interest that a loan had earned by the end of a day, by what was paid until then.
    fn earned(&self, loan: &Loan, day: Day) -> Amount {
        let terms = self.terms(loan);
        let history = loan.history.transactions();
        let known = history.partition_point(|earlier| earlier.day <= day);
        let then = evaluate(&terms, &history[..known], day);
        let accrual = then.accrual();
        let number = i128::from(terms.product.day_count.number(day));
        let accrued = terms
            .measure()
            .amount(accrual.slope * number + accrual.offset);
        used_interest(&then) + then.interest_due() + accrued
    }

    /// Gives all loans of a borrower the class of the worst. All but this one are in the sums.
    fn classify(&mut self, place: u32, loan: &mut Loan) {
        let row = &self.applications.rows[loan.application as usize];
        let last = row.borrower().map(|place| self.borrowers[place as usize]);
        // Most have one application.
        if last.is_none_or(|last| last == loan.application) && row.previous().is_none() {
            return;
        }
        let siblings = self.applications.of_borrower(last);
        let siblings = siblings.filter_map(|application| {
            match self.applications.rows[application as usize].state() {
                ApplicationState::Disbursed(sibling) if sibling != place => {
                    Some((sibling, self.loan_at(sibling)?))
                }
                _ => None,
            }
        });
        let active = |loan: &Loan| loan.position.status == Status::Active;
        let siblings: Vec<_> = siblings.filter(|(_, sibling)| active(sibling)).collect();
        let classes = siblings.iter().map(|(_, sibling)| sibling.own_class);
        let own = active(loan).then_some(loan.own_class);
        let Some(worst) = classes.chain(own).max() else {
            return;
        };
        for (place, mut sibling) in siblings {
            if sibling.class == worst {
                continue;
            }
            let agreement = &self.versions[usize::from(sibling.version)].agreement;
            let split = sibling.split(agreement);
            let before = contribution(&sibling, &sibling.position, agreement);
            sibling.class = worst;
            let after = contribution(&sibling, &sibling.position, agreement);
            for (contribution, sign) in [(before, -1), (after, 1)] {
                if let Some(contribution) = contribution {
                    self.portfolio.add(&split, contribution, sign);
                }
            }
            self.loans.set(place, &sibling);
        }
        if own.is_some() {
            loan.class = worst;
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

/// What a loan adds to the sums at a position, if it is active there. Interest counts as the agreement
/// recognises income.
pub(super) fn contribution(
    loan: &Loan,
    position: &Position,
    agreement: &Agreement,
) -> Option<Contribution> {
    let income = &agreement.file.income;
    let (interest_due, accrual) = match income.recognition {
        _ if position.status != Status::Active => return None,
        Recognition::Cash => Default::default(),
        Recognition::Accrual if !loan.non_accrual => (position.interest_due(), position.accrual()),
        Recognition::Accrual if income.reverse_accrued => Default::default(),
        // What was earned before stays until it is received.
        Recognition::Accrual => {
            let left = loan.earned.saturating_less(used_interest(position));
            (left, Accrual::default())
        }
    };
    Some(Contribution {
        class: loan.class.into(),
        day_count: agreement.file.product.day_count,
        interest_due,
        accrual,
    })
}

/// Interest that is no longer receivable: received, made principal or given up.
fn used_interest(position: &Position) -> Amount {
    let totals = &position.totals;
    totals.interest + totals.capitalised + totals.interest_forgone
}
