//! From a loan's split to every party's postings.
//!
//! What is posted is always the difference between what each party's cumulative part *is* and
//! what it *was*, so payments in order, back-dated ones, reversals and write-offs all go the same
//! way.

use super::{Book, Loan};
use crate::agreement::{Agreement, Earner};
use crate::ledger::{Account, Entry, EntryKind, Ledgers};
use crate::loan::{Own, Sold, Split, Totals, earner};
use crate::money::Amount;
use crate::party::PartyId;
use crate::share::allocate;

impl Book {
    /// The servicer pays the borrower; lenders owe it their parts, it owes fees to who earns them.
    pub(super) fn post_disbursement(
        &mut self,
        place: u32,
        loan: &Loan,
        split: &Split,
        entries: &mut impl FnMut(&Entry),
    ) {
        let agreement = &self.versions[usize::from(loan.version)].agreement;
        let (servicer, ledgers) = (agreement.servicer, &mut self.ledgers);
        let rounding = agreement.file.product.rounding;
        ledgers.begin(self.business_date, EntryKind::Disbursement, Some(place));
        let mut net = loan.principal;
        let disbursed = split.parts(|own| own.disbursed);
        for (&lender, part) in agreement.lenders.iter().zip(disbursed) {
            ledgers.post(lender, Account::Loans, part);
            ledgers.owe(lender, servicer, part);
        }
        for fee in &agreement.disbursement_fees {
            let amount = fee.on(loan.principal, rounding);
            net -= amount;
            match fee.earner {
                Earner::Party(party) => {
                    ledgers.post(party, Account::FeeIncome, -amount);
                    ledgers.owe(servicer, party, amount);
                }
                Earner::Lenders => {
                    let parts = allocate(amount, &disbursed);
                    for (&lender, part) in agreement.lenders.iter().zip(parts) {
                        ledgers.post(lender, Account::FeeIncome, -part);
                        ledgers.owe(servicer, lender, part);
                    }
                }
            }
        }
        ledgers.post(servicer, Account::Settlement, -net);
        ledgers.end().into_iter().for_each(entries);
    }

    /// Posts what has changed in a loan.
    pub(super) fn post_change(
        &mut self,
        place: u32,
        version: usize,
        came: &Totals,
        [before, after]: [&Split; 2],
        kind: EntryKind,
        entries: &mut impl FnMut(&Entry),
    ) {
        let agreement = &self.versions[version].agreement;
        let ledgers = &mut self.ledgers;
        ledgers.begin(self.business_date, kind, Some(place));
        post_servicer(ledgers, agreement, came);
        let holders = before.holders.iter().chain(after.holders.iter());
        let held = holders.fold(0u32, |held, party| held | 1 << party.index());
        let holders = PartyId::ALL.into_iter();
        for party in holders.filter(|party| held & 1 << party.index() != 0) {
            post_holder(ledgers, agreement, party, before, after);
        }
        // Sales that came out the same are left alone.
        let sales = before.sold.len().max(after.sold.len());
        for place in 0..sales {
            let (was, is) = (before.sold.get(place), after.sold.get(place));
            if was != is {
                was.inspect(|sold| post_sale(ledgers, sold, -1));
                is.inspect(|sold| post_sale(ledgers, sold, 1));
            }
        }
        let fees = &agreement.loan_fees;
        for (place, fee) in [fees.late, fees.instalment, fees.prepayment]
            .into_iter()
            .enumerate()
        {
            if let Some(party) = earner(fee) {
                let amount = after.fees_elsewhere[place] - before.fees_elsewhere[place];
                ledgers.post(party, Account::FeeIncome, -amount);
                ledgers.owe(agreement.servicer, party, amount);
            }
        }
        if let Some(guarantor) = agreement.guarantor {
            let amount = after.recovered_by_guarantor - before.recovered_by_guarantor;
            ledgers.post(guarantor, Account::RecoveryIncome, -amount);
            ledgers.owe(agreement.servicer, guarantor, amount);
        }
        ledgers.end().into_iter().for_each(entries);
    }
}

/// The servicer receives from borrowers and pays out to them, and holds what is not used.
fn post_servicer(ledgers: &mut Ledgers, agreement: &Agreement, came: &Totals) {
    let servicer = agreement.servicer;
    let cash = came.received - came.refunded - came.drawn;
    ledgers.post(servicer, Account::Settlement, cash);
    ledgers.post(servicer, Account::CustomerFunds, -came.held());
    ledgers.post(agreement.goodwill, Account::GoodwillExpense, came.credited);
    ledgers.owe(agreement.goodwill, servicer, came.credited);
}

/// A lender's part: what it is owed by the servicer, and where it comes from.
fn post_holder(
    ledgers: &mut Ledgers,
    agreement: &Agreement,
    party: PartyId,
    before: &Split,
    after: &Split,
) {
    let nothing = Own::default();
    let [was, is] = [before, after].map(|split| split.find(party).unwrap_or(&nothing));
    let own = is.since(was);
    ledgers.owe(agreement.servicer, party, own.received() - own.disbursed);
    ledgers.post(party, Account::Loans, own.outstanding);
    let interest = own.interest + own.capitalised;
    ledgers.post(party, Account::InterestReceivable, -interest);
    ledgers.post(party, Account::FeeIncome, -own.fees);
    ledgers.post(party, Account::PenaltyIncome, -own.penalty);
    ledgers.post(party, Account::RecoveryIncome, -own.recovered);
    let lost = own.charged_off + own.premium_lost - own.compensated;
    ledgers.post(party, Account::LossAllowance, lost);
    ledgers.post(party, Account::LoanPremium, own.premium);
    ledgers.post(party, Account::InterestIncome, own.premium_released);
    ledgers.post(party, Account::SaleGain, -own.gain);
    if let Some(guarantor) = agreement.guarantor {
        ledgers.post(guarantor, Account::GuaranteeExpense, own.compensated);
        ledgers.owe(guarantor, party, own.compensated);
    }
    if let Some((platform, _)) = agreement.service_fee {
        ledgers.post(party, Account::ServiceFeeExpense, own.service_fee);
        ledgers.owe(party, platform, own.service_fee);
        ledgers.post(platform, Account::ServiceFeeIncome, -own.service_fee);
    }
}

/// The buyer of a share pays its price and the interest that comes with it. The principal itself
/// is in what each party holds.
fn post_sale(ledgers: &mut Ledgers, sold: &Sold, sign: i64) {
    let signed = |amount: Amount| Amount(amount.0 * sign);
    let interest = signed(sold.interest);
    ledgers.post(sold.buyer, Account::InterestReceivable, interest);
    ledgers.post(sold.seller, Account::InterestReceivable, -interest);
    ledgers.owe(sold.buyer, sold.seller, signed(sold.price + sold.interest));
}
