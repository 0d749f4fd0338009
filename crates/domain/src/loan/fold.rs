//! How the parts of a loan come to be: totals are counted from one change of the holdings to the
//! next.

use std::array;

use super::holders::{Holders, Mark, PartChange, Sold};
use super::position::Position;
use super::split::{Own, Split, earner};
use super::totals::Totals;
use crate::agreement::{Agreement, Recoveries};
use crate::funding::Part;
use crate::money::{Amount, Rate, Rounding};
use crate::share::{MAX_SHARES, Parts, allocate};

/// The parts of a loan as they were when its holdings changed last: what every later split is
/// counted from.
pub(crate) struct Fold<'a> {
    agreement: &'a Agreement,
    position: &'a Position,
    principal: Amount,
    parts: &'a [Part],
    /// What everybody has by then.
    split: &'a mut Split,
    /// Price of each holder.
    rates: [Rate; MAX_SHARES],
    /// Weights of the holders in principal; those in interest are the split's.
    by_principal: Parts,
    /// Totals up to which all is counted.
    from: Totals,
}

impl<'a> Fold<'a> {
    /// Counts a loan up to the last change of its holdings, from a split of nothing.
    pub(crate) fn of(
        split: &'a mut Split,
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
            split,
            rates: [Rate::ZERO; MAX_SHARES],
            by_principal: Parts::default(),
            from: Totals::default(),
        };
        fold.split.holders = Holders::of(agreement);
        for (place, part) in parts.iter().enumerate() {
            fold.split.commitments[place] = part.amount;
            fold.rates[place] = part.rate;
        }
        let disbursed = allocate(principal, &fold.split.commitments[..parts.len()]);
        for (own, part) in fold.split.own.iter_mut().zip(disbursed) {
            (own.disbursed, own.outstanding) = (part, part);
        }
        fold.weigh();
        for mark in &position.marks {
            let by_guarantor = recovered_by_guarantor(&mark.totals, lost(position), agreement);
            let came = mark.totals.since(&fold.from);
            fold.split
                .count(&fold.by_principal, &came, by_guarantor, agreement);
            fold.from = mark.totals;
            fold.change(mark);
            fold.weigh();
        }
        let of: i128 = fold.split.interest_weights.iter().sum();
        // Weights are below 2⁸⁰. Where they are all zero, so are the shares.
        fold.split.interest_shares = fold.split.interest_weights.map(|weight| match weight {
            0 => 0,
            weight => (((weight as u128) << Split::SHARE_DIGITS) + of as u128 / 2) / of as u128,
        } as u64);
        fold
    }

    /// Makes a split of nothing the one at this or another position of the loan.
    pub(crate) fn count_to(&self, position: &Position, split: &mut Split) {
        if self.holds(position) {
            split.copy(self.split);
            split.end(&self.by_principal, &self.from, position, self.agreement);
        } else {
            Fold::of(split, position, self.principal, self.parts, self.agreement).end_at(position);
        }
    }

    /// The same with the split that it began with.
    pub(crate) fn end_at(self, position: &Position) {
        if self.holds(position) {
            (self.split).end(&self.by_principal, &self.from, position, self.agreement);
        } else {
            *self.split = Split::of(position, self.principal, self.parts, self.agreement);
        }
    }

    /// True if the holdings changed on the way to a position as they did here.
    fn holds(&self, position: &Position) -> bool {
        position.marks == self.position.marks
            && (position.marks.is_empty() || lost(position) == lost(self.position))
    }

    /// Weighs the holders in principal and in interest by what they hold now.
    fn weigh(&mut self) {
        let split = &mut *self.split;
        let holders = split.holders.len();
        let mut principal = split.parts(|own| own.outstanding.max(Amount::ZERO));
        if principal.iter().all(|part| part.is_zero()) {
            principal = split.commitments;
        }
        let mut interest = [0; MAX_SHARES];
        for place in 0..holders {
            let rate = i128::from(self.rates[place].0);
            interest[place] = i128::from(principal[place].0) * rate;
        }
        if interest.iter().all(|&weight| weight == 0) {
            interest = principal.map(i128::from);
        }
        self.by_principal = principal;
        split.interest_weights = interest;
    }

    /// Changes the holdings. Interest owed stays with those to whom it is, but for what becomes principal
    /// or is sold.
    fn change(&mut self, mark: &Mark) {
        let split = &mut *self.split;
        let capitalised = match mark.change {
            PartChange::Capitalised(amount) => amount,
            _ => Amount::ZERO,
        };
        split.owe(capitalised + mark.interest);
        match mark.change {
            PartChange::Waived => {}
            PartChange::Drawn(amount) => {
                let parts = allocate(amount, &split.commitments);
                for (own, part) in split.own.iter_mut().zip(parts) {
                    own.outstanding += part;
                    own.disbursed += part;
                }
            }
            PartChange::Capitalised(amount) => {
                let parts = allocate(amount, &split.interest_owed);
                let owed = split.interest_owed.iter_mut();
                for ((own, part), owed) in split.own.iter_mut().zip(parts).zip(owed) {
                    *owed -= part;
                    own.outstanding += part;
                    own.capitalised += part;
                }
            }
            PartChange::Sold(sale) => {
                let seller = split.holders.place(sale.seller);
                let buyer = split.holders.place(sale.buyer);
                let own = &mut split.own;
                let principal = own[seller].outstanding.at(sale.part, Rounding::HalfUp);
                let owed = &mut split.interest_owed;
                let interest = owed[seller].at(sale.part, Rounding::HalfUp);
                owed[seller] -= interest;
                owed[buyer] += interest;
                let sold = Sold {
                    seller: sale.seller,
                    buyer: sale.buyer,
                    principal,
                    price: principal.at(sale.price, Rounding::HalfUp),
                    interest,
                };
                let held = i128::from(own[buyer].outstanding.0);
                let bought = i128::from(principal.0);
                if held + bought > 0 {
                    let rate = |place: usize| i128::from(self.rates[place].0);
                    let worth = held * rate(buyer) + bought * rate(seller);
                    self.rates[buyer] = Rate((worth / (held + bought)) as i64);
                }
                own[seller].outstanding -= principal;
                own[buyer].outstanding += principal;
                let premium = own[seller].premium.at(sale.part, Rounding::HalfUp);
                own[seller].premium -= premium;
                own[buyer].premium += sold.price - principal;
                own[seller].gain += sold.price - principal - premium;
                let commitment = split.commitments[seller].at(sale.part, Rounding::Down);
                split.commitments[seller] -= commitment;
                split.commitments[buyer] += commitment;
                split.sold.push(sold);
            }
        }
    }
}

impl Split {
    /// Has `interest` be owed to the holders: what was owed and has not come since, and what was earned since
    /// by their weights until now. If it was given up, less is.
    fn owe(&mut self, interest: Amount) {
        let left = self.interest_accrued_before(Amount::ZERO);
        let before: Amount = left.into_iter().sum();
        self.interest_owed = match interest < before {
            true => allocate(interest, &left),
            false => {
                let earned = allocate(interest - before, &self.interest_weights);
                array::from_fn(|place| left[place] + earned[place])
            }
        };
    }

    /// Counts what came until a position since the holdings changed last.
    fn end(
        &mut self,
        by_principal: &Parts,
        from: &Totals,
        position: &Position,
        agreement: &Agreement,
    ) {
        let totals = &position.totals;
        let by_guarantor = recovered_by_guarantor(totals, lost(position), agreement);
        self.count(by_principal, &totals.since(from), by_guarantor, agreement);
        if let Some((_, rate)) = agreement.service_fee {
            let rounding = agreement.file.product.rounding;
            for own in self.holding() {
                own.service_fee += own.interest.at(rate, rounding);
            }
        }
    }

    /// Counts what came, by the holdings as they are. `by_guarantor` is what the guarantor has back
    /// so far.
    fn count(
        &mut self,
        by_principal: &Parts,
        came: &Totals,
        by_guarantor: Amount,
        agreement: &Agreement,
    ) {
        let holders = self.holders.len();
        let by_principal = &by_principal[..holders];
        self.interest_since = came.interest;
        let interest = self.interest(came.interest);
        let principal = allocate(came.principal, by_principal);
        let all_gone;
        let gone = match came.charged_off.is_zero() {
            true => &principal,
            false => {
                all_gone = allocate(came.principal + came.charged_off, by_principal);
                &all_gone
            }
        };
        let parts = interest.iter().zip(&principal).zip(gone);
        for (own, ((&interest, &principal), &gone)) in self.holding().iter_mut().zip(parts) {
            own.interest += interest;
            own.principal += principal;
            own.charged_off += gone - principal;
            own.release_premium(gone, principal);
            own.outstanding -= gone;
        }
        let recovered = came.recovered - (by_guarantor - self.recovered_by_guarantor);
        self.recovered_by_guarantor = by_guarantor;
        let Split {
            own,
            fees_elsewhere,
            ..
        } = self;
        // Adds everybody's part of an amount, of which there is mostly none.
        let mut share = |of: fn(&mut Own) -> &mut Amount, amount: Amount| {
            if !amount.is_zero() {
                let parts = allocate(amount, by_principal);
                for (own, part) in own.iter_mut().zip(parts) {
                    *of(own) += part;
                }
            }
        };
        share(|own| &mut own.penalty, came.penalty);
        share(|own| &mut own.compensated, came.compensated);
        share(|own| &mut own.recovered, recovered);
        share(|own| &mut own.service_fee, came.collection_fees);
        let fees = &agreement.loan_fees;
        let paid = [
            (fees.late, came.fees),
            (fees.instalment, came.instalment_fees),
            (fees.prepayment, came.prepayment_fees),
        ];
        for (place, (fee, amount)) in paid.into_iter().enumerate() {
            match earner(fee) {
                Some(_) => fees_elsewhere[place] += amount,
                None => share(|own| &mut own.fees, amount),
            }
        }
    }
}

/// Principal of a loan that was lost at its write-off, whether recovered since or not.
fn lost(position: &Position) -> Amount {
    let claim = position.claim.as_ref();
    claim.map_or(Amount::ZERO, |claim| claim.principal) + position.totals.recovered
}

impl Own {
    /// Premium goes with the principal that it was paid for: into income as that is repaid, into the
    /// loss as it is written off. Principal that comes back to more than was bought has none.
    fn release_premium(&mut self, gone: Amount, repaid: Amount) {
        let (held, premium) = (self.outstanding, self.premium);
        if premium.is_zero() || !held.is_positive() || gone <= Amount::ZERO {
            return;
        }
        let part = |of: Amount| {
            let exact = i128::from(premium.0) * i128::from(of.0);
            Amount(Rounding::HalfUp.divide(exact, held.0.into()))
        };
        let released = part(repaid.max(Amount::ZERO).min(gone));
        let left = part(held - gone);
        self.premium = left;
        self.premium_released += released;
        self.premium_lost += premium - left - released;
    }
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
            allocate(totals.recovered, &[totals.compensated, uncovered])[0]
        }
    }
}
