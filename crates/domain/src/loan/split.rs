//! Every party's part of a loan.
//!
//! What a lender has received, lost or still holds is its part of the loan's *cumulative* totals,
//! by what it holds: never rounded payment by payment. Whenever the lenders' holdings change
//! other than by repayment (a draw, interest that becomes principal, a sale), counting starts
//! anew from the holdings in minor units, which are then the exact parts. Who sells a part of what
//! it holds also passes on that part of what it is to pay out on draws.

use super::position::{Mark, PartChange, Position};
use super::totals::Totals;
use crate::agreement::{Agreement, Earner, FeeTerms, Recoveries};
use crate::funding::Part;
use crate::money::{Amount, Rate, Rounding};
use crate::party::PartyId;
use crate::share::{MAX_SHARES, Parts, allocate};

/// Who holds parts of a loan: the agreement's lenders in leftover order, then those that bought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    parties: [PartyId; MAX_SHARES],
    count: usize,
}

impl Holders {
    /// The holders of a loan after its sales.
    pub fn of(agreement: &Agreement, marks: &[Mark]) -> Holders {
        let mut holders = Holders::default();
        for &lender in &agreement.lenders {
            holders.place(lender);
        }
        for mark in marks {
            if let PartChange::Sold(sale) = mark.change {
                holders.place(sale.buyer);
            }
        }
        holders
    }

    /// The holders in order.
    pub fn iter(&self) -> impl Iterator<Item = PartyId> + use<> {
        self.parties.into_iter().take(self.count)
    }

    /// The place of a party, if it is among the holders.
    pub fn find(&self, party: PartyId) -> Option<usize> {
        self.iter().position(|holder| holder == party)
    }

    /// True if no further party can become a holder.
    pub fn is_full(&self) -> bool {
        self.count == MAX_SHARES
    }

    fn place(&mut self, party: PartyId) -> usize {
        self.find(party).unwrap_or_else(|| {
            self.parties[self.count] = party;
            self.count += 1;
            self.count - 1
        })
    }
}

/// What a sale of a lender's share came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sold {
    /// Who sold.
    pub seller: PartyId,
    /// Who bought.
    pub buyer: PartyId,
    /// Principal that changed hands.
    pub principal: Amount,
    /// Its price.
    pub price: Amount,
    /// Interest due or accrued, paid on top.
    pub interest: Amount,
}

/// Every party's cumulative part of a loan; lists follow the loan's [`Holders`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Who holds the loan.
    pub holders: Holders,
    /// Principal outstanding.
    pub outstanding: Parts,
    /// Principal repaid.
    pub principal: Parts,
    /// Principal written off.
    pub charged_off: Parts,
    /// Principal paid out.
    pub disbursed: Parts,
    /// Interest that became principal.
    pub capitalised: Parts,
    /// Interest received.
    pub interest: Parts,
    /// Fees of the borrower that the lenders received.
    pub fees: Parts,
    /// Penalty interest received.
    pub penalty: Parts,
    /// Compensation received from the guarantor.
    pub compensated: Parts,
    /// Recoveries received.
    pub recovered: Parts,
    /// Service fee paid to the platform.
    pub service_fee: Parts,
    /// What was paid for principal beyond its amount (less if negative) and is not yet income.
    pub premium: Parts,
    /// Fees that another party received: on overdue instalments, on instalments, on prepayments.
    pub fees_elsewhere: [Amount; 3],
    /// Recoveries that the guarantor received.
    pub recovered_by_guarantor: Amount,
    /// Sales of shares, in order.
    pub sold: Vec<Sold>,
    /// That, as far as it has become income.
    pub premium_released: Parts,
    /// That, as far as it was lost with the principal that it was paid for.
    pub premium_lost: Parts,
    /// Gain on what was sold; a loss is negative.
    pub gain: Parts,
    /// Weights of the holders in draws to come.
    pub commitments: [i128; MAX_SHARES],
    /// Weights of the holders in the interest to come.
    pub interest_weights: [i128; MAX_SHARES],
    /// Interest received since the holdings changed last.
    interest_since: Amount,
}

/// What one party has of a loan, as a lender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Principal outstanding.
    pub outstanding: Amount,
    /// Principal written off.
    pub charged_off: Amount,
    /// Principal paid out.
    pub disbursed: Amount,
    /// Interest that became principal.
    pub capitalised: Amount,
    /// Interest received.
    pub interest: Amount,
    /// Fees received.
    pub fees: Amount,
    /// Penalty interest received.
    pub penalty: Amount,
    /// Compensation received.
    pub compensated: Amount,
    /// Recoveries received.
    pub recovered: Amount,
    /// Service fee paid.
    pub service_fee: Amount,
    /// Premium that is not yet income.
    pub premium: Amount,
    /// Premium that is.
    pub premium_released: Amount,
    /// Premium lost with its principal.
    pub premium_lost: Amount,
    /// Gain on sales.
    pub gain: Amount,
    /// Principal, interest, fees, penalty and recoveries received from the borrower.
    pub received: Amount,
}

impl Own {
    /// What came since an earlier moment.
    pub fn since(&self, earlier: &Own) -> Own {
        Own {
            outstanding: self.outstanding - earlier.outstanding,
            charged_off: self.charged_off - earlier.charged_off,
            disbursed: self.disbursed - earlier.disbursed,
            capitalised: self.capitalised - earlier.capitalised,
            interest: self.interest - earlier.interest,
            fees: self.fees - earlier.fees,
            penalty: self.penalty - earlier.penalty,
            compensated: self.compensated - earlier.compensated,
            recovered: self.recovered - earlier.recovered,
            service_fee: self.service_fee - earlier.service_fee,
            premium: self.premium - earlier.premium,
            premium_released: self.premium_released - earlier.premium_released,
            premium_lost: self.premium_lost - earlier.premium_lost,
            gain: self.gain - earlier.gain,
            received: self.received - earlier.received,
        }
    }
}

impl Split {
    /// Splits a loan that was funded in `parts` and of which `principal` was paid out at first.
    pub fn of(
        position: &Position,
        principal: Amount,
        parts: &[Part],
        agreement: &Agreement,
    ) -> Split {
        let (totals, marks) = (&position.totals, &position.marks);
        let mut fold = Fold {
            agreement,
            split: Split {
                holders: Holders::of(agreement, &[]),
                ..Split::default()
            },
            rates: [0; MAX_SHARES],
            lost: position
                .claim
                .as_ref()
                .map_or(Amount::ZERO, |claim| claim.principal)
                + totals.recovered,
            from: Totals::default(),
        };
        for (place, part) in parts.iter().enumerate() {
            fold.split.commitments[place] = part.amount.0.into();
            fold.rates[place] = part.rate.0.into();
        }
        fold.split.disbursed = allocate(principal, &fold.split.commitments);
        fold.split.outstanding = fold.split.disbursed;
        for mark in marks {
            fold.count(&mark.totals);
            fold.change(mark);
        }
        let since = fold.from.interest;
        let holding = fold.split.outstanding;
        fold.count(totals);
        let mut split = fold.split;
        split.interest_since = totals.interest - since;
        split.interest_weights = weights(&holding, &fold.rates, &split.commitments).1;
        if let Some((_, rate)) = agreement.service_fee {
            let rounding = agreement.file.product.rounding;
            for (fee, interest) in split.service_fee.iter_mut().zip(split.interest) {
                *fee += interest.at(rate, rounding);
            }
        }
        split
    }

    /// What a party has as a lender; nothing if it is none.
    pub fn own(&self, party: PartyId) -> Own {
        let Some(place) = self.holders.find(party) else {
            return Own::default();
        };
        Own {
            outstanding: self.outstanding[place],
            charged_off: self.charged_off[place],
            disbursed: self.disbursed[place],
            capitalised: self.capitalised[place],
            interest: self.interest[place],
            fees: self.fees[place],
            penalty: self.penalty[place],
            compensated: self.compensated[place],
            recovered: self.recovered[place],
            service_fee: self.service_fee[place],
            premium: self.premium[place],
            premium_released: self.premium_released[place],
            premium_lost: self.premium_lost[place],
            gain: self.gain[place],
            received: self.received(place),
        }
    }

    /// What a lender received from the borrower, by its place.
    pub fn received(&self, place: usize) -> Amount {
        self.principal[place]
            + self.interest[place]
            + self.fees[place]
            + self.penalty[place]
            + self.recovered[place]
    }

    /// The holders' parts of interest that has fallen due and is not paid.
    pub fn interest_due(&self, due: Amount) -> Parts {
        let mut parts = allocate(self.interest_since + due, &self.interest_weights);
        let paid = allocate(self.interest_since, &self.interest_weights);
        add(&mut parts, &paid, -1);
        parts
    }
}

/// Weights of the holders in principal and in interest.
fn weights(
    holding: &Parts,
    rates: &[i128; MAX_SHARES],
    commitments: &[i128; MAX_SHARES],
) -> ([i128; MAX_SHARES], [i128; MAX_SHARES]) {
    let mut principal = holding.map(|amount| i128::from(amount.0.max(0)));
    if principal.iter().all(|&weight| weight == 0) {
        principal = *commitments;
    }
    let mut interest = [0; MAX_SHARES];
    for place in 0..MAX_SHARES {
        interest[place] = principal[place] * rates[place];
    }
    if interest.iter().all(|&weight| weight == 0) {
        interest = principal;
    }
    (principal, interest)
}

struct Fold<'a> {
    agreement: &'a Agreement,
    split: Split,
    /// Price of each holder.
    rates: [i128; MAX_SHARES],
    /// Principal that was lost at the write-off, whether recovered since or not.
    lost: Amount,
    /// Totals up to which all is counted.
    from: Totals,
}

impl Fold<'_> {
    /// Counts what came up to `to`, by the holdings as they are.
    fn count(&mut self, to: &Totals) {
        let came = to.since(&self.from);
        let split = &mut self.split;
        let (by_principal, by_interest) =
            weights(&split.outstanding, &self.rates, &split.commitments);
        let principal = allocate(came.principal, &by_principal);
        let gone = match came.charged_off.is_zero() {
            true => principal,
            false => allocate(came.principal + came.charged_off, &by_principal),
        };
        add(&mut split.principal, &principal, 1);
        add(&mut split.charged_off, &gone, 1);
        add(&mut split.charged_off, &principal, -1);
        add(
            &mut split.interest,
            &allocate(came.interest, &by_interest),
            1,
        );
        add(
            &mut split.penalty,
            &allocate(came.penalty, &by_principal),
            1,
        );
        add(
            &mut split.compensated,
            &allocate(came.compensated, &by_principal),
            1,
        );
        let by_guarantor = recovered_by_guarantor(to, self.lost, self.agreement);
        let recovered = came.recovered - (by_guarantor - split.recovered_by_guarantor);
        split.recovered_by_guarantor = by_guarantor;
        add(&mut split.recovered, &allocate(recovered, &by_principal), 1);
        let fees = &self.agreement.loan_fees;
        let paid = [
            (fees.late, came.fees),
            (fees.instalment, came.instalment_fees),
            (fees.prepayment, came.prepayment_fees),
        ];
        for (place, (fee, amount)) in paid.into_iter().enumerate() {
            match fee.map(|fee| fee.earner) {
                Some(Earner::Party(_)) => split.fees_elsewhere[place] += amount,
                _ => add(&mut split.fees, &allocate(amount, &by_principal), 1),
            }
        }
        let collection = allocate(came.collection_fees, &by_principal);
        add(&mut split.service_fee, &collection, 1);
        for place in 0..MAX_SHARES {
            release_premium(split, place, gone[place], principal[place]);
            split.outstanding[place] -= gone[place];
        }
        self.from = *to;
    }

    fn interest_weights(&self) -> [i128; MAX_SHARES] {
        let split = &self.split;
        weights(&split.outstanding, &self.rates, &split.commitments).1
    }

    fn change(&mut self, mark: &Mark) {
        let before = self.interest_weights();
        let interest = allocate(mark.interest, &before);
        let split = &mut self.split;
        match mark.change {
            PartChange::Drawn(amount) => {
                let parts = allocate(amount, &split.commitments);
                add(&mut split.outstanding, &parts, 1);
                add(&mut split.disbursed, &parts, 1);
                self.keep_interest(mark.interest, &interest);
            }
            PartChange::Capitalised(amount) => {
                // The period's interest is parted as a whole; what is left of it is due.
                let whole = allocate(amount + mark.interest, &before);
                let mut parts = whole;
                add(&mut parts, &interest, -1);
                add(&mut split.outstanding, &parts, 1);
                add(&mut split.capitalised, &parts, 1);
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
        let later = allocate(interest, &self.interest_weights());
        add(&mut self.split.interest, parts, 1);
        add(&mut self.split.interest, &later, -1);
    }
}

fn add(to: &mut Parts, what: &Parts, sign: i64) {
    for (sum, part) in to.iter_mut().zip(what) {
        *sum += Amount(part.0 * sign);
    }
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

/// The party that earns a fee, if it is not the lenders.
pub fn earner(fee: Option<FeeTerms>) -> Option<PartyId> {
    match fee?.earner {
        Earner::Party(party) => Some(party),
        Earner::Lenders => None,
    }
}
