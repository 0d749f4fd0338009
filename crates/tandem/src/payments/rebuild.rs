//! Rebuilding a loan's monthly payments from its recorded outcome.
//!
//! Known are the instalment, what was paid in all, and month and amount of the last payment; the
//! payments in between are not. The rule, in whole months and minor units:
//!
//! 1. What was paid before the last payment stands for `n` instalments; a rest of up to a fifth
//!    of an instalment counts as rounding.
//! 2. If more months passed than payments, the first instalment fell due two calendar months
//!    after the issue month (a loan issued late in a month), and the last payment is one month
//!    earlier in the loan's life.
//! 3. `n` equals the months before the last payment: every month has its instalment. Nothing was
//!    left to guess ([`Certainty::Determined`]).
//! 4. Fewer instalments than months: some months were missed. In a loan that was written off,
//!    just before the last payment; in a paid one, where the last payment comes closest to what
//!    is then owed.
//! 5. More money than months: an early extra payment. In a loan that was written off, in the
//!    month before the last payment; in a paid one, so early that the last payment comes closest
//!    to what is then owed.
//! 6. One payment, or a last payment within the first month: all of it then.

use tandem_domain::money::{Amount, Rate};

/// What is recorded of a loan, without the figures that a rebuilt loan is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded {
    /// Principal.
    pub(crate) principal: Amount,
    /// Yearly rate; a month is a twelfth of a year.
    pub(crate) rate: Rate,
    /// Monthly instalment.
    pub(crate) instalment: Amount,
    /// Paid by the borrower, recoveries excluded.
    pub(crate) paid: Amount,
    /// Amount of the last payment.
    pub(crate) last: Amount,
    /// Months from issue to the last payment, if there was one.
    pub(crate) months: Option<u16>,
    /// True if the loan was paid in full.
    pub(crate) in_full: bool,
}

/// How much of the rebuilt payments was guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Certainty {
    /// Instalment by instalment up to the last payment.
    Determined,
    /// Months were missed, or money came early, at times that are not recorded.
    Guessed,
}

/// Payment of each month of the loan's life, the first being its first due date.
pub(crate) fn rebuild(recorded: &Recorded) -> (Vec<Amount>, Certainty) {
    let Some(months) = recorded.months.filter(|_| recorded.paid.is_positive()) else {
        return (Vec::new(), Certainty::Determined);
    };
    let instalment = recorded.instalment.0.max(1);
    let last = recorded.last.min(recorded.paid).0;
    let before = recorded.paid.0 - last;
    let tolerance = instalment / 5;
    let count = if before > tolerance {
        (before - tolerance + instalment - 1) / instalment
    } else {
        0
    };
    // A double last payment of a loan written off stands for a missed month and its own.
    let doubled = if recorded.in_full || count == 0 {
        1
    } else {
        ((2 * last + instalment) / (2 * instalment)).max(1)
    };
    let shift = i64::from(i64::from(months) > count + doubled);
    let life = (i64::from(months) - shift).max(1);
    let (slots, count) = ((life - 1) as usize, count as usize);
    let whole = (before - count as i64 * instalment).abs() <= tolerance;
    let plan = Plan {
        recorded,
        life: life as usize,
        slots,
        instalment,
        before,
        whole,
    };
    if count == 0 || slots == 0 {
        return (plan.single(), Certainty::Guessed);
    }
    match slots - count.min(slots) {
        _ if count > slots => (plan.surplus(), Certainty::Guessed),
        0 if whole => (plan.with_gap(count, count), Certainty::Determined),
        0 => (plan.with_gap(count, count), Certainty::Guessed),
        _ if !recorded.in_full => (plan.with_gap(count, count), Certainty::Guessed),
        _ => {
            let candidates = (0..=count).rev().map(|place| plan.with_gap(count, place));
            let best = candidates.min_by_key(|payments| recorded.left_open(payments).abs());
            (best.unwrap_or_default(), Certainty::Guessed)
        }
    }
}

impl Recorded {
    /// What is still owed after these payments; negative if they are more than was owed.
    fn left_open(&self, payments: &[Amount]) -> i64 {
        let (mut balance, mut interest, mut over) = (self.principal.0, 0, 0);
        for payment in payments {
            let yearly = i128::from(balance) * i128::from(self.rate.0);
            interest += tandem_domain::money::Rounding::HalfUp.divide(yearly, 12 * Rate::SCALE);
            let to_interest = payment.0.min(interest);
            let to_principal = (payment.0 - to_interest).min(balance);
            interest -= to_interest;
            balance -= to_principal;
            over += payment.0 - to_interest - to_principal;
        }
        balance + interest - over
    }
}

struct Plan<'a> {
    recorded: &'a Recorded,
    /// Months up to the last payment.
    life: usize,
    /// Months before it.
    slots: usize,
    instalment: i64,
    /// Paid before the last payment.
    before: i64,
    /// True if that is a whole number of instalments, but for rounding.
    whole: bool,
}

impl Plan<'_> {
    /// Adds the last payment: all that the others leave.
    fn finish(&self, mut payments: Vec<i64>) -> Vec<Amount> {
        payments.resize(self.life, 0);
        payments[self.life - 1] = self.recorded.paid.0 - payments.iter().sum::<i64>();
        payments.into_iter().map(Amount).collect()
    }

    fn single(&self) -> Vec<Amount> {
        self.finish(vec![0; self.slots])
    }

    /// `count` instalments with the missed months behind the first `place` of them; the last one
    /// may be partial.
    fn with_gap(&self, count: usize, place: usize) -> Vec<Amount> {
        let mut payments = vec![0; self.slots];
        let missed = self.slots - count;
        for number in 0..count {
            let month = if number < place {
                number
            } else {
                number + missed
            };
            let partial = number + 1 == count && !self.whole;
            let others = (count as i64 - 1) * self.instalment;
            payments[month] = if partial {
                self.before - others
            } else {
                self.instalment
            };
        }
        self.finish(payments)
    }

    /// An instalment every month, and all that is over early.
    fn surplus(&self) -> Vec<Amount> {
        let extra = self.before - self.slots as i64 * self.instalment;
        // Part of the extra money in one month and the rest in the next.
        let lump = |month: usize, later: i64| {
            let mut payments = vec![self.instalment; self.slots];
            payments[month] += extra - later;
            if later > 0 {
                payments[month + 1] += later;
            }
            self.finish(payments)
        };
        let open = |payments: &[Amount]| self.recorded.left_open(payments);
        let (mut early, mut late) = (0, self.slots - 1);
        if !self.recorded.in_full || open(&lump(late, 0)) <= 0 {
            return lump(late, 0);
        }
        if open(&lump(early, 0)) >= 0 {
            return lump(early, 0);
        }
        // The later the money came, the more interest is left open.
        while late - early > 1 {
            let middle = (early + late) / 2;
            if open(&lump(middle, 0)) > 0 {
                late = middle
            } else {
                early = middle
            }
        }
        let (mut less, mut more) = (0, extra);
        while more - less > 1 {
            let middle = (less + more) / 2;
            if open(&lump(early, middle)) > 0 {
                more = middle
            } else {
                less = middle
            }
        }
        lump(early, less)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(paid: i64, last: i64, months: u16, in_full: bool) -> Recorded {
        Recorded {
            principal: Amount(1_000_000),
            rate: Rate(12_000_000),
            instalment: Amount(88_849),
            paid: Amount(paid),
            last: Amount(last),
            months: Some(months),
            in_full,
        }
    }

    #[test]
    fn instalment_by_instalment() {
        let (payments, certainty) = rebuild(&recorded(12 * 88_849, 88_849, 12, true));
        assert_eq!(certainty, Certainty::Determined);
        assert_eq!(payments, vec![Amount(88_849); 12]);
        // One calendar month more: the loan was issued late in its month.
        assert_eq!(
            rebuild(&recorded(12 * 88_849, 88_849, 13, true)).0,
            payments
        );
    }

    #[test]
    fn missed_months_of_a_loan_written_off_come_before_the_last_payment() {
        let (payments, certainty) = rebuild(&recorded(4 * 88_849, 88_849, 7, false));
        assert_eq!(certainty, Certainty::Guessed);
        let paid: Vec<_> = payments
            .iter()
            .map(|payment| payment.is_positive())
            .collect();
        assert_eq!(paid, [true, true, true, false, false, true]);
    }

    #[test]
    fn an_early_extra_payment_is_put_where_the_loan_closes() {
        let mut real = vec![Amount(88_849); 6];
        real[2] += Amount(400_000);
        let open = recorded(0, 0, 7, true).left_open(&real);
        let last = recorded(0, 0, 7, true).left_open(&[real.as_slice(), &[Amount(0)]].concat());
        assert!(open > 0);
        real.push(Amount(last));
        let paid = real.iter().map(|payment| payment.0).sum();
        let (payments, certainty) = rebuild(&recorded(paid, last, 7, true));
        assert_eq!(certainty, Certainty::Guessed);
        assert_eq!(payments.iter().copied().sum::<Amount>(), Amount(paid));
        assert!((payments[2] - real[2]).0.abs() < 1_000, "{payments:?}");
    }

    #[test]
    fn nothing_paid_gives_no_payments() {
        assert!(rebuild(&recorded(0, 0, 5, false)).0.is_empty());
        assert!(
            rebuild(&Recorded {
                months: None,
                ..recorded(5, 5, 5, false)
            })
            .0
            .is_empty()
        );
    }
}
