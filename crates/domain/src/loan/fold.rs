//! How the parts of a loan come to be: totals are counted from one change of the holdings to the
//! next.

use super::holders::{Holders, Mark, PartChange, Sold};
use super::position::Position;
use super::split::{Split, earner};
use super::totals::Totals;
use crate::agreement::{Agreement, Recoveries};
use crate::funding::Part;
use crate::money::{Amount, Rate, Rounding};
use crate::share::{MAX_SHARES, Parts, allocate};

/// Weights of the holders.
type Weights = [i128; MAX_SHARES];

/// The parts of a loan as they were when its holdings changed last: what every later split is
/// counted from.
pub(crate) struct Fold<'a> {
    agreement: &'a Agreement,
    position: &'a Position,
    principal: Amount,
    parts: &'a [Part],
    split: Split,
    /// Price of each holder.
    rates: Weights,
    /// Weights of the holders in principal; those in interest are the split's.
    by_principal: Weights,
    /// Totals up to which all is counted.
    from: Totals,
}

impl<'a> Fold<'a> {
    /// Counts a loan up to the last change of its holdings.
    pub(crate) fn of(
        position: &'a Position,
        principal: Amount,
        parts: &'a [Part],
        agreement: &'a Agreement,
    ) -> Fold<'a> {
        let mut fold = Fold {
            agreement,
            position,
            principal,
            parts,
            split: Split {
                holders: Holders::of(agreement),
                ..Split::default()
            },
            rates: [0; MAX_SHARES],
            by_principal: [0; MAX_SHARES],
            from: Totals::default(),
        };
        for (place, part) in parts.iter().enumerate() {
            fold.split.commitments[place] = part.amount.0.into();
            fold.rates[place] = part.rate.0.into();
        }
        fold.split.disbursed = allocate(principal, &fold.split.commitments[..parts.len()]);
        fold.split.outstanding = fold.split.disbursed;
        fold.weigh();
        for mark in &position.marks {
            let came = mark.totals.since(&fold.from);
            let by_guarantor = recovered_by_guarantor(&mark.totals, lost(position), agreement);
            count(
                &mut fold.split,
                &fold.by_principal,
                &came,
                by_guarantor,
                agreement,
            );
            fold.from = mark.totals;
            fold.weigh();
            fold.change(mark);
            fold.weigh();
        }
        let of: i128 = fold.split.interest_weights.iter().sum();
        // Weights are below 2⁸⁰. Where they are all zero, so are the shares.
        fold.split.interest_shares = fold.split.interest_weights.map(|weight| match weight {
            0 => 0,
            weight => (((weight as u128) << Split::SHARE_DIGITS) / of as u128) as u64,
        });
        fold
    }

    /// The split at this or another position of the loan.
    pub(crate) fn split_at(&self, position: &Position) -> Split {
        let same = position.marks == self.position.marks
            && (position.marks.is_empty() || lost(position) == lost(self.position));
        let other;
        let fold = match same {
            true => self,
            false => {
                other = Fold::of(position, self.principal, self.parts, self.agreement);
                &other
            }
        };
        let (totals, agreement) = (&position.totals, self.agreement);
        let came = totals.since(&fold.from);
        let by_guarantor = recovered_by_guarantor(totals, lost(position), agreement);
        let mut split = fold.split.clone();
        count(
            &mut split,
            &fold.by_principal,
            &came,
            by_guarantor,
            agreement,
        );
        if let Some((_, rate)) = agreement.service_fee {
            let rounding = agreement.file.product.rounding;
            for place in 0..split.holders.len() {
                split.service_fee[place] += split.interest[place].at(rate, rounding);
            }
        }
        split
    }

    /// Weighs the holders in principal and in interest by what they hold now.
    fn weigh(&mut self) {
        let split = &mut self.split;
        let mut principal = split.outstanding.map(|amount| amount.0.max(0).into());
        if is_nothing(&principal) {
            principal = split.commitments;
        }
        let mut interest = [0; MAX_SHARES];
        for place in (0..MAX_SHARES).filter(|&place| principal[place] != 0) {
            interest[place] = principal[place] * self.rates[place];
        }
        if is_nothing(&interest) {
            interest = principal;
        }
        self.by_principal = principal;
        split.interest_weights = interest;
    }

    /// Changes the holdings.
    fn change(&mut self, mark: &Mark) {
        let before = self.split.interest_weights;
        let interest = allocate(mark.interest, &before);
        let split = &mut self.split;
        match mark.change {
            PartChange::Drawn(amount) => {
                let parts = allocate(amount, &split.commitments);
                add(&mut split.outstanding, &parts);
                add(&mut split.disbursed, &parts);
                self.keep_interest(mark.interest, &interest);
            }
            PartChange::Capitalised(amount) => {
                // The period's interest is parted as a whole; what is left of it is due.
                let mut parts = allocate(amount + mark.interest, &before);
                take(&mut parts, &interest);
                add(&mut split.outstanding, &parts);
                add(&mut split.capitalised, &parts);
                self.keep_interest(mark.interest, &interest);
            }
            PartChange::Sold(sale) => {
                let seller = split.holders.place(sale.seller);
                let buyer = split.holders.place(sale.buyer);
                let principal = split.outstanding[seller].at(sale.part, Rounding::HalfUp);
                let interest = interest[seller];
                let sold = Sold {
                    seller: sale.seller,
                    buyer: sale.buyer,
                    principal,
                    price: principal.at(sale.price, Rounding::HalfUp),
                    interest: interest.at(sale.part, Rounding::HalfUp),
                };
                let held = i128::from(split.outstanding[buyer].0);
                let bought = i128::from(principal.0);
                if held + bought > 0 {
                    let worth = held * self.rates[buyer] + bought * self.rates[seller];
                    self.rates[buyer] = worth / (held + bought);
                }
                split.outstanding[seller] -= principal;
                split.outstanding[buyer] += principal;
                let premium = split.premium[seller].at(sale.part, Rounding::HalfUp);
                split.premium[seller] -= premium;
                split.premium[buyer] += sold.price - principal;
                split.gain[seller] += sold.price - principal - premium;
                let commitment = split.commitments[seller] * i128::from(sale.part.0) / Rate::SCALE;
                split.commitments[seller] -= commitment;
                split.commitments[buyer] += commitment;
                split.sold.push(sold);
            }
        }
    }

    /// Interest that had accrued belongs to the holders as they were, though it comes later and
    /// is parted as they are: what it will bring them too little is added now.
    fn keep_interest(&mut self, interest: Amount, parts: &Parts) {
        self.weigh();
        let later = allocate(interest, &self.split.interest_weights);
        add(&mut self.split.interest, parts);
        take(&mut self.split.interest, &later);
    }
}

/// Counts what came, by the holdings as they are. `by_guarantor` is what the guarantor has back so
/// far.
fn count(
    split: &mut Split,
    by_principal: &Weights,
    came: &Totals,
    by_guarantor: Amount,
    agreement: &Agreement,
) {
    let holders = split.holders.len();
    let by_principal = &by_principal[..holders];
    split.interest_since = came.interest;
    split.interest_parts = allocate(came.interest, &split.interest_weights[..holders]);
    add(&mut split.interest, &split.interest_parts);
    let principal = allocate(came.principal, by_principal);
    add(&mut split.principal, &principal);
    let mut gone = principal;
    if !came.charged_off.is_zero() {
        gone = allocate(came.principal + came.charged_off, by_principal);
        add(&mut split.charged_off, &gone);
        take(&mut split.charged_off, &principal);
    }
    let recovered = came.recovered - (by_guarantor - split.recovered_by_guarantor);
    split.recovered_by_guarantor = by_guarantor;
    share(&mut split.penalty, came.penalty, by_principal);
    share(&mut split.compensated, came.compensated, by_principal);
    share(&mut split.recovered, recovered, by_principal);
    share(&mut split.service_fee, came.collection_fees, by_principal);
    let fees = &agreement.loan_fees;
    let paid = [
        (fees.late, came.fees),
        (fees.instalment, came.instalment_fees),
        (fees.prepayment, came.prepayment_fees),
    ];
    for (place, (fee, amount)) in paid.into_iter().enumerate() {
        match earner(fee) {
            Some(_) => split.fees_elsewhere[place] += amount,
            None => share(&mut split.fees, amount, by_principal),
        }
    }
    for place in 0..holders {
        release_premium(split, place, gone[place], principal[place]);
    }
    take(&mut split.outstanding, &gone);
}

/// Principal of a loan that was lost at its write-off, whether recovered since or not.
fn lost(position: &Position) -> Amount {
    let claim = position.claim.as_ref();
    claim.map_or(Amount::ZERO, |claim| claim.principal) + position.totals.recovered
}

/// Adds everybody's part of an amount, of which there is mostly none.
fn share(parts: &mut Parts, amount: Amount, weights: &[i128]) {
    if !amount.is_zero() {
        add(parts, &allocate(amount, weights));
    }
}

fn add(to: &mut Parts, what: &Parts) {
    for (sum, part) in to.iter_mut().zip(what) {
        *sum += *part;
    }
}

pub(super) fn take(from: &mut Parts, what: &Parts) {
    for (sum, part) in from.iter_mut().zip(what) {
        *sum -= *part;
    }
}

fn is_nothing(weights: &Weights) -> bool {
    weights.iter().all(|&weight| weight == 0)
}

/// Premium goes with the principal that it was paid for: into income as that is repaid, into the
/// loss as it is written off. Principal that comes back to more than was bought has none.
fn release_premium(split: &mut Split, place: usize, gone: Amount, repaid: Amount) {
    let (held, premium) = (split.outstanding[place], split.premium[place]);
    if premium.is_zero() || !held.is_positive() || gone <= Amount::ZERO {
        return;
    }
    let part = |of: Amount| {
        let exact = i128::from(premium.0) * i128::from(of.0);
        Amount(Rounding::HalfUp.divide(exact, held.0.into()))
    };
    let released = part(repaid.max(Amount::ZERO).min(gone));
    let left = part(held - gone);
    split.premium[place] = left;
    split.premium_released[place] += released;
    split.premium_lost[place] += premium - left - released;
}

/// What the guarantor has back of what it paid, of all that was lost.
fn recovered_by_guarantor(totals: &Totals, lost: Amount, agreement: &Agreement) -> Amount {
    match agreement
        .file
        .guarantee
        .as_ref()
        .map(|guarantee| guarantee.recoveries)
    {
        None => Amount::ZERO,
        Some(Recoveries::GuarantorFirst) => totals.recovered.min(totals.compensated),
        Some(Recoveries::ProRata) => {
            let uncovered = lost.saturating_less(totals.compensated);
            allocate(
                totals.recovered,
                &[totals.compensated.0.into(), uncovered.0.into()],
            )[0]
        }
    }
}
