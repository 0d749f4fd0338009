//! How loans performed: every loan is told again month by month, from its terms and its history.

use std::collections::BTreeMap;

use tandem_domain::book::{Book, Loan};
use tandem_domain::calendar::Day;
use tandem_domain::loan::{Action, Position, Status, Terms, Transaction};
use tandem_domain::money::Amount;

use super::text::Month;

/// What fell due and what came in, by month of the value date; and how each vintage fares.
#[derive(Default)]
pub(super) struct Performance {
    pub(super) months: BTreeMap<Month, Flow>,
    vintages: BTreeMap<Month, Vintage>,
}

/// The money of a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flow {
    /// Principal and interest that fell due.
    pub(super) due: Amount,
    /// Principal, interest, penalties and fees collected.
    pub(super) collected: Amount,
    /// Principal collected before it was due.
    pub(super) prepaid: Amount,
    /// Collected after charge-off.
    pub(super) recovered: Amount,
}

/// Loans disbursed in one period.
#[derive(Clone, Debug, Default)]
pub(super) struct Vintage {
    pub(super) loans: u32,
    pub(super) disbursed: Amount,
    /// By months on book: principal written off so far.
    pub(super) charged_off: Vec<Amount>,
    /// By months on book: principal outstanding of loans that are a month or more past due.
    pub(super) behind: Vec<Amount>,
    /// Months on book of its youngest loan; later months are not the whole vintage.
    months: Option<usize>,
}

impl Vintage {
    /// Months on book that every loan of the vintage has reached.
    pub(super) fn months(&self) -> usize {
        self.months.unwrap_or_default()
    }

    fn merge(&mut self, other: &Vintage) {
        self.loans += other.loans;
        self.disbursed += other.disbursed;
        for (sums, own) in [
            (&mut self.charged_off, &other.charged_off),
            (&mut self.behind, &other.behind),
        ] {
            sums.resize(sums.len().max(own.len()), Amount::ZERO);
            for (sum, own) in sums.iter_mut().zip(own) {
                *sum += *own;
            }
        }
        self.months = [self.months, other.months].into_iter().flatten().min();
    }
}

impl Performance {
    /// Tells a loan again up to the end of day `end`.
    pub(super) fn add(&mut self, loan: &Loan, book: &Book, end: Day) {
        let terms = book.terms(loan);
        let mut teller = Teller {
            terms: &terms,
            position: Position::disburse(&terms),
            months: &mut self.months,
        };
        let vintage = self
            .vintages
            .entry(Month::of(loan.disbursed_on))
            .or_default();
        vintage.loans += 1;
        vintage.disbursed += loan.principal + loan.position.totals.drawn;
        let mut history = loan.history.transactions().into_iter().peekable();
        let mut age = 0;
        loop {
            let day = loan.disbursed_on.plus_months(age as u32 + 1);
            if day > end {
                break;
            }
            age += 1;
            while let Some(transaction) = history.next_if(|next| next.day < day) {
                teller.transact(transaction);
            }
            teller.advance(day);
            while let Some(transaction) = history.next_if(|next| next.day == day) {
                teller.transact(transaction);
            }
            teller.note(vintage, age, day);
        }
        for transaction in history {
            teller.transact(transaction);
        }
        vintage.months = Some(vintage.months.map_or(age, |months| months.min(age)));
    }

    /// Vintages by month, quarter or year, so that there are at most `most` (or they are years).
    pub(super) fn vintages(&self, most: usize) -> Vec<(String, Vintage)> {
        let group = |name: &dyn Fn(Month) -> String| {
            let mut groups: Vec<(String, Vintage)> = Vec::new();
            for (month, vintage) in &self.vintages {
                let name = name(*month);
                match groups.last_mut().filter(|(last, _)| *last == name) {
                    Some((_, sum)) => sum.merge(vintage),
                    None => groups.push((name, vintage.clone())),
                }
            }
            groups
        };
        let quarter = |month: Month| format!("Q{} {}", month.number().div_ceil(3), month.year());
        let months = group(&|month| month.to_string());
        if months.len() <= most {
            return months;
        }
        let quarters = group(&quarter);
        if quarters.len() <= most {
            return quarters;
        }
        group(&|month| month.year().to_string())
    }
}

/// Follows one loan and writes down what moves.
struct Teller<'a> {
    terms: &'a Terms<'a>,
    position: Position,
    months: &'a mut BTreeMap<Month, Flow>,
}

impl Teller<'_> {
    /// Lets the contract run to a due date; what falls due there is counted.
    fn advance(&mut self, day: Day) {
        let (to_come, billed, used) = (self.to_come(), self.billed(), self.used());
        self.position.advance(self.terms, day);
        let due = to_come - self.to_come() + self.billed() - billed;
        let collected = self.used() - used;
        if !due.is_zero() || !collected.is_zero() {
            let flow = self.months.entry(Month::of(day)).or_default();
            flow.due += due;
            flow.collected += collected;
        }
    }

    fn transact(&mut self, transaction: Transaction) {
        // The contract runs to the day first, so that only the transaction is seen below.
        self.advance(transaction.day);
        let (to_come, used) = (self.to_come(), self.used());
        let recovered = self.position.totals.recovered;
        self.position.transact(self.terms, transaction);
        let (collected, left) = (self.used() - used, self.to_come());
        let flow = self.months.entry(Month::of(transaction.day)).or_default();
        flow.collected += collected;
        flow.recovered += self.position.totals.recovered - recovered;
        if matches!(
            transaction.action,
            Action::Repay(_) | Action::Prepay(..) | Action::Settle(_) | Action::Refund(_)
        ) {
            flow.prepaid += to_come - left;
        }
    }

    /// Principal that has not fallen due, but for interest that became principal.
    fn to_come(&self) -> Amount {
        self.position.contract.principal - self.position.totals.capitalised
    }

    /// Interest that ever fell due.
    fn billed(&self) -> Amount {
        self.position.totals.interest + self.position.interest_due()
    }

    /// Borrowers' money used for the loan before charge-off.
    fn used(&self) -> Amount {
        let totals = &self.position.totals;
        totals.principal + totals.interest + totals.penalty + totals.all_fees() - totals.credited
    }

    fn note(&self, vintage: &mut Vintage, age: usize, day: Day) {
        for sums in [&mut vintage.charged_off, &mut vintage.behind] {
            sums.resize(sums.len().max(age + 1), Amount::ZERO);
        }
        vintage.charged_off[age] += self.position.totals.charged_off;
        // The shortest month has 28 days.
        let behind =
            self.position.status == Status::Active && self.position.days_past_due(day) >= 28;
        if behind {
            vintage.behind[age] += self.position.outstanding();
        }
    }
}
