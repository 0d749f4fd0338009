//! How the lenders that accept fund a loan together.

use minicbor::{Decode, Encode};
use smallvec::SmallVec;

use crate::agreement::{Agreement, FundingMode};
use crate::money::{Amount, Rate, Rounding};
use crate::share::{MAX_SHARES, Parts, allocate};

/// What a lender brings to a loan: the most it will fund, or what it funds, and at what price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Part {
    /// Principal.
    #[n(0)]
    pub amount: Amount,
    /// The lender's yearly rate.
    #[n(1)]
    pub rate: Rate,
}

/// Each lender's part, in leftover order: no memory of their own for up to three lenders.
pub type LenderParts = SmallVec<[Part; 3]>;

/// One place for each lender of the agreement, in leftover order; zero for those that do not
/// take part.
pub type Bids = [Option<Part>; MAX_SHARES];

/// Shares `amount` among the bids by the agreement's funding rule.
///
/// A lender that offers less than its minimum share does not take part. One whose share would
/// come out under its minimum drops out, the last in leftover order first, and the rest is shared
/// again. None if fewer lenders remain than the agreement asks for, or they cannot cover the
/// amount.
pub fn form(agreement: &Agreement, amount: Amount, bids: &Bids) -> Option<Parts> {
    let places = 0..agreement.lenders.len();
    // Rounded down, so that no lender drops out for the unit that sharing exactly costs it.
    let minimum = |place: usize| amount.at(agreement.funding[place].minimum_share, Rounding::Down);
    let mut bids = *bids;
    for place in places.clone() {
        bids[place] = bids[place].filter(|bid| bid.amount >= minimum(place));
    }
    loop {
        let parts = share_out(agreement, amount, &bids)?;
        let too_small =
            |&place: &usize| parts[place].is_positive() && parts[place] < minimum(place);
        if let Some(place) = places.clone().rev().find(too_small) {
            bids[place] = None;
            continue;
        }
        let taking_part = parts.iter().filter(|part| part.is_positive()).count();
        let enough = taking_part >= usize::from(agreement.file.funding.minimum_lenders);
        return enough.then_some(parts);
    }
}

fn share_out(agreement: &Agreement, amount: Amount, bids: &Bids) -> Option<Parts> {
    let mut caps = Parts::default();
    let mut weights = [0i128; MAX_SHARES];
    for (place, lender) in agreement.funding.iter().enumerate() {
        if let Some(bid) = bids[place] {
            // Rounded up: the unit that is left over must go to somebody.
            let others = Rate(Rate::ONE.0 - lender.maximum_share.0);
            let largest = amount - amount.at(others, Rounding::Down);
            caps[place] = bid.amount.min(largest);
            weights[place] = match agreement.file.funding.mode {
                FundingMode::Fixed => lender.share.unwrap_or_default().0.into(),
                FundingMode::Offers => caps[place].0.into(),
                FundingMode::InOrder => 0,
            };
        }
    }
    if caps.iter().copied().sum::<Amount>() < amount {
        return None;
    }
    match agreement.file.funding.mode {
        FundingMode::InOrder => Some(in_order(amount, &caps, &agreement.service_order)),
        FundingMode::Fixed | FundingMode::Offers => proportional(amount, &caps, weights),
    }
}

fn in_order(amount: Amount, caps: &Parts, order: &[usize]) -> Parts {
    let mut parts = Parts::default();
    let mut left = amount;
    for &place in order {
        parts[place] = caps[place].min(left);
        left -= parts[place];
    }
    parts
}

/// Shares by weight; what would go over a lender's cap goes to the others.
fn proportional(amount: Amount, caps: &Parts, mut weights: [i128; MAX_SHARES]) -> Option<Parts> {
    let mut parts = Parts::default();
    let mut left = amount;
    loop {
        if left.is_zero() {
            return Some(parts);
        }
        if weights.iter().all(|&weight| weight == 0) {
            return None;
        }
        let shares = allocate(left, &weights);
        let over =
            (0..MAX_SHARES).filter(|&place| weights[place] > 0 && shares[place] > caps[place]);
        let over: SmallVec<[usize; MAX_SHARES]> = over.collect();
        if over.is_empty() {
            for place in 0..MAX_SHARES {
                parts[place] += shares[place];
            }
            return Some(parts);
        }
        for place in over {
            parts[place] = caps[place];
            left -= caps[place];
            weights[place] = 0;
        }
    }
}

/// The lenders' prices and the borrower's rate, from the rates that the lenders decided on.
///
/// Without fixed yields each lender's price is its rate, and the borrower's the average. With them
/// the borrower's rate is the lead's, the others earn their yields, and the lead's price is what
/// is left. None if nothing is.
pub fn price(agreement: &Agreement, decided: &[Part]) -> Option<(LenderParts, Rate)> {
    let mut parts = LenderParts::from_slice(decided);
    if !agreement.has_yields() {
        return Some((parts, borrower_rate(decided)));
    }
    let lead = decided[agreement.lead];
    let mut left: i128 = 0;
    for (part, lender) in parts.iter_mut().zip(&agreement.funding) {
        part.rate = lender.fixed_yield.unwrap_or_default();
        left += i128::from(part.amount.0) * (i128::from(lead.rate.0) - i128::from(part.rate.0));
    }
    if left < 0 || !lead.amount.is_positive() {
        return None;
    }
    parts[agreement.lead].rate = Rate(Rounding::HalfUp.divide(left, lead.amount.0.into()));
    Some((parts, lead.rate))
}

/// The borrower's rate: the average of the lenders' rates, weighted by their parts.
pub fn borrower_rate(parts: &[Part]) -> Rate {
    let total: Amount = parts.iter().map(|part| part.amount).sum();
    let weighted: i128 = parts
        .iter()
        .map(|part| i128::from(part.amount.0) * i128::from(part.rate.0))
        .sum();
    Rate(Rounding::HalfUp.divide(weighted, total.0.into()))
}
