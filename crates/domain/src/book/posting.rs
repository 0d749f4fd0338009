//! From a loan's totals to every party's postings.
//!
//! What is posted is always the difference between what each party's cumulative part *is* and
//! what it *was*, so payments in order, back-dated ones and write-offs all go the same way.

use super::{Book, Loan, weights};
use crate::agreement::{Agreement, Earner, Recoveries};
use crate::funding::Part;
use crate::ledger::{Account, Entry, EntryKind};
use crate::loan::Totals;
use crate::money::Amount;
use crate::share::{MAX_SHARES, Parts, allocate};

/// Every party's cumulative part of a loan's totals; lists are in leftover order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Principal repaid.
    pub principal: Parts,
    /// Principal written off.
    pub charged_off: Parts,
    /// Interest received.
    pub interest: Parts,
    /// Late fees that the lenders received.
    pub fees: Parts,
    /// Penalty interest received.
    pub penalty: Parts,
    /// Compensation received from the guarantor.
    pub compensated: Parts,
    /// Recoveries received.
    pub recovered: Parts,
    /// Service fee paid to the platform.
    pub service_fee: Parts,
    /// Late fees that another party received.
    pub fees_elsewhere: Amount,
    /// Recoveries that the guarantor received.
    pub recovered_by_guarantor: Amount,
}

impl Split {
    /// Splits a loan's totals by its parts and the agreement.
    pub fn of(totals: &Totals, parts: &[Part], agreement: &Agreement) -> Split {
        let (by_principal, by_interest) = weights(parts);
        let principal = allocate(totals.principal, &by_principal);
        let gone = allocate(totals.principal + totals.charged_off, &by_principal);
        let interest = allocate(totals.interest, &by_interest);
        let fees_to_lenders = agreement
            .late_fee
            .is_none_or(|fee| fee.earner == Earner::Lenders);
        let by_guarantor = recovered_by_guarantor(totals, agreement);
        let rounding = agreement.file.product.rounding;
        Split {
            principal,
            charged_off: minus(&gone, &principal),
            fees: if fees_to_lenders {
                allocate(totals.fees, &by_principal)
            } else {
                Parts::default()
            },
            fees_elsewhere: if fees_to_lenders {
                Amount::ZERO
            } else {
                totals.fees
            },
            penalty: allocate(totals.penalty, &by_principal),
            compensated: allocate(totals.compensated, &by_principal),
            recovered: allocate(totals.recovered - by_guarantor, &by_principal),
            recovered_by_guarantor: by_guarantor,
            service_fee: match agreement.service_fee {
                Some((_, rate)) => interest.map(|interest| interest.at(rate, rounding)),
                None => Parts::default(),
            },
            interest,
        }
    }

    /// What came since an earlier split.
    pub fn since(&self, earlier: &Split) -> Split {
        Split {
            principal: minus(&self.principal, &earlier.principal),
            charged_off: minus(&self.charged_off, &earlier.charged_off),
            interest: minus(&self.interest, &earlier.interest),
            fees: minus(&self.fees, &earlier.fees),
            penalty: minus(&self.penalty, &earlier.penalty),
            compensated: minus(&self.compensated, &earlier.compensated),
            recovered: minus(&self.recovered, &earlier.recovered),
            service_fee: minus(&self.service_fee, &earlier.service_fee),
            fees_elsewhere: self.fees_elsewhere - earlier.fees_elsewhere,
            recovered_by_guarantor: self.recovered_by_guarantor - earlier.recovered_by_guarantor,
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
}

fn minus(from: &Parts, what: &Parts) -> Parts {
    let mut difference = *from;
    for place in 0..MAX_SHARES {
        difference[place] -= what[place];
    }
    difference
}

fn recovered_by_guarantor(totals: &Totals, agreement: &Agreement) -> Amount {
    match agreement
        .file
        .guarantee
        .as_ref()
        .map(|guarantee| guarantee.recoveries)
    {
        None => Amount::ZERO,
        Some(Recoveries::GuarantorFirst) => totals.recovered.min(totals.compensated),
        Some(Recoveries::ProRata) if totals.charged_off.is_zero() => Amount::ZERO,
        Some(Recoveries::ProRata) => {
            let lost = (totals.charged_off - totals.compensated).0.into();
            allocate(totals.recovered, &[totals.compensated.0.into(), lost])[0]
        }
    }
}

impl Book {
    /// The servicer pays the borrower; lenders owe it their parts, it owes fees to who earns them.
    pub(super) fn post_disbursement(
        &mut self,
        place: u32,
        loan: &Loan,
        entries: &mut impl FnMut(&Entry),
    ) {
        let agreement = &self.versions[usize::from(loan.version)].agreement;
        let (servicer, ledgers) = (agreement.servicer, &mut self.ledgers);
        let rounding = agreement.file.product.rounding;
        ledgers.begin(self.business_date, EntryKind::Disbursement, Some(place));
        let mut net = loan.principal;
        for (&lender, part) in agreement.lenders.iter().zip(&loan.parts) {
            ledgers.post(lender, Account::Loans, part.amount);
            ledgers.owe(lender, servicer, part.amount);
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
                    let parts = allocate(amount, &weights(&loan.parts).0);
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

    /// Posts what a loan's totals have changed by since `before`.
    pub(super) fn post_change(
        &mut self,
        place: u32,
        before: &Totals,
        kind: EntryKind,
        entries: &mut impl FnMut(&Entry),
    ) {
        let loan = &self.loans[place as usize];
        let agreement = &self.versions[usize::from(loan.version)].agreement;
        let totals = &loan.position.totals;
        let change = totals.since(before);
        let split = Split::of(totals, &loan.parts, agreement).since(&Split::of(
            before,
            &loan.parts,
            agreement,
        ));
        let (servicer, ledgers) = (agreement.servicer, &mut self.ledgers);
        ledgers.begin(self.business_date, kind, Some(place));
        ledgers.post(
            servicer,
            Account::Settlement,
            change.received - change.refunded,
        );
        ledgers.post(
            servicer,
            Account::CustomerFunds,
            before.held() - totals.held(),
        );
        for (at, &lender) in agreement.lenders.iter().enumerate() {
            ledgers.owe(servicer, lender, split.received(at));
            ledgers.post(
                lender,
                Account::Loans,
                -(split.principal[at] + split.charged_off[at]),
            );
            ledgers.post(lender, Account::InterestReceivable, -split.interest[at]);
            ledgers.post(lender, Account::FeeIncome, -split.fees[at]);
            ledgers.post(lender, Account::PenaltyIncome, -split.penalty[at]);
            ledgers.post(lender, Account::RecoveryIncome, -split.recovered[at]);
            ledgers.post(
                lender,
                Account::LossAllowance,
                split.charged_off[at] - split.compensated[at],
            );
            if let Some(guarantor) = agreement.guarantor {
                ledgers.post(guarantor, Account::GuaranteeExpense, split.compensated[at]);
                ledgers.owe(guarantor, lender, split.compensated[at]);
            }
            if let Some((platform, _)) = agreement.service_fee {
                ledgers.post(lender, Account::ServiceFeeExpense, split.service_fee[at]);
                ledgers.owe(lender, platform, split.service_fee[at]);
                ledgers.post(platform, Account::ServiceFeeIncome, -split.service_fee[at]);
            }
        }
        if let Some(Earner::Party(party)) = agreement.late_fee.map(|fee| fee.earner) {
            ledgers.post(party, Account::FeeIncome, -split.fees_elsewhere);
            ledgers.owe(servicer, party, split.fees_elsewhere);
        }
        if let Some(guarantor) = agreement.guarantor {
            ledgers.post(
                guarantor,
                Account::RecoveryIncome,
                -split.recovered_by_guarantor,
            );
            ledgers.owe(servicer, guarantor, split.recovered_by_guarantor);
        }
        ledgers.end().into_iter().for_each(entries);
    }
}
