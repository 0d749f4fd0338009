//! How the parts of a loan come to be: totals are counted from one change of the holdings to the
//! next.

use super::holders::{Mark, PartChange, Sold};
use super::position::Position;
use super::split::{Split, earner};
use super::totals::Totals;
use crate::agreement::{Agreement, Recoveries};
use crate::funding::Part;
use crate::money::{Amount, Rate, Rounding};
use crate::share::{MAX_SHARES, Parts, allocate};

/// Weights of the holders.
type Weights = [i128; MAX_SHARES];

/// A split on the way.
pub(super) struct Fold<'a> {
    agreement: &'a Agreement,
    split: &'a mut Split,
    /// Price of each holder.
    rates: Weights,
    /// Principal that was lost at the write-off, whether recovered since or not.
    lost: Amount,
    /// Totals up to which all is counted.
    from: Totals,
}

impl<'a> Fold<'a> {
    /// The split on the day of disbursement.
    pub(super) fn new(
        split: &'a mut Split,
        principal: Amount,
        parts: &[Part],
        agreement: &'a Agreement,
        position: &Position,
    ) -> Fold<'a> {
        let claim = position.claim.as_ref();
        let claimed = claim.map_or(Amount::ZERO, |claim| claim.principal);
        let mut fold = Fold {
            agreement,
            split,
            rates: [0; MAX_SHARES],
            lost: claimed + position.totals.recovered,
            from: Totals::default(),
        };
        for (place, part) in parts.iter().enumerate() {
            fold.split.commitments[place] = part.amount.0.into();
            fold.rates[place] = part.rate.0.into();
        }
        fold.split.disbursed = allocate(principal, &fold.split.commitments);
        fold.split.outstanding = fold.split.disbursed;
        fold
    }

    /// Counts what is left to count, and what is reckoned on the whole.
    pub(super) fn finish(mut self, totals: &Totals) {
        let weights = self.count(totals);
        let split = self.split;
        split.interest_weights = weights;
        let of: i128 = weights.iter().sum();
        // Weights are below 2⁸⁰. Where they are all zero, so are the shares.
        split.interest_shares = weights.map(|weight| match weight {
            0 => 0,
            weight => (weight << Split::SHARE_DIGITS) / of,
        });
        if let Some((_, rate)) = self.agreement.service_fee {
            let rounding = self.agreement.file.product.rounding;
            for (fee, interest) in split.service_fee.iter_mut().zip(split.interest) {
                *fee += interest.at(rate, rounding);
            }
        }
    }

    /// Counts what came up to `to`, by the holdings as they are; their weights in interest.
    pub(super) fn count(&mut self, to: &Totals) -> Weights {
        let came = to.since(&self.from);
        let (by_principal, by_interest) = self.weights();
        let split = &mut *self.split;
        let principal = allocate(came.principal, &by_principal);
        let gone = match came.charged_off.is_zero() {
            true => principal,
            false => allocate(came.principal + came.charged_off, &by_principal),
        };
        add(&mut split.principal, &principal);
        add(&mut split.charged_off, &gone);
        take(&mut split.charged_off, &principal);
        let by_guarantor = recovered_by_guarantor(to, self.lost, self.agreement);
        let recovered = came.recovered - (by_guarantor - split.recovered_by_guarantor);
        split.recovered_by_guarantor = by_guarantor;
        split.interest_since = came.interest;
        split.interest_parts = allocate(came.interest, &by_interest);
        add(&mut split.interest, &split.interest_parts);
        share(&mut split.penalty, came.penalty, &by_principal);
        share(&mut split.compensated, came.compensated, &by_principal);
        share(&mut split.recovered, recovered, &by_principal);
        share(&mut split.service_fee, came.collection_fees, &by_principal);
        let fees = &self.agreement.loan_fees;
        let paid = [
            (fees.late, came.fees),
            (fees.instalment, came.instalment_fees),
            (fees.prepayment, came.prepayment_fees),
        ];
        for (place, (fee, amount)) in paid.into_iter().enumerate() {
            match earner(fee) {
                Some(_) => split.fees_elsewhere[place] += amount,
                None => share(&mut split.fees, amount, &by_principal),
            }
        }
        for place in 0..MAX_SHARES {
            release_premium(split, place, gone[place], principal[place]);
        }
        take(&mut split.outstanding, &gone);
        self.from = *to;
        by_interest
    }

    /// Weights of the holders in principal and in interest.
    fn weights(&self) -> (Weights, Weights) {
        let split = &self.split;
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
        (principal, interest)
    }

    /// Changes the holdings.
    pub(super) fn change(&mut self, mark: &Mark) {
        let before = self.weights().1;
        let interest = allocate(mark.interest, &before);
        let split = &mut *self.split;
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
        let later = allocate(interest, &self.weights().1);
        add(&mut self.split.interest, parts);
        take(&mut self.split.interest, &later);
    }
}

/// Adds everybody's part of an amount, of which there is mostly none.
fn share(parts: &mut Parts, amount: Amount, weights: &Weights) {
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
