//! What has become of a loan since disbursement, as cumulative totals.

use minicbor::{Decode, Encode};

use crate::money::Amount;

/// Cumulative totals since disbursement. Whatever is shared or posted is a difference of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Totals {
    /// Received from the borrower, less what was charged back.
    #[n(0)]
    pub received: Amount,
    /// Used for late fees.
    #[n(1)]
    pub fees: Amount,
    /// Used for penalty interest.
    #[n(2)]
    pub penalty: Amount,
    /// Used for interest.
    #[n(3)]
    pub interest: Amount,
    /// Used for principal.
    #[n(4)]
    pub principal: Amount,
    /// Principal received after it was written off.
    #[n(5)]
    pub recovered: Amount,
    /// Principal written off.
    #[n(6)]
    pub charged_off: Amount,
    /// Paid by the guarantor.
    #[n(7)]
    pub compensated: Amount,
    /// Interest given up: at charge-off, or waived.
    #[n(8)]
    pub interest_forgone: Amount,
    /// Given back to the borrower when the loan was repaid with more than it took.
    #[n(9)]
    pub refunded: Amount,
    /// Used for the fees of instalments.
    #[n(10)]
    pub instalment_fees: Amount,
    /// Used for fees on prepayments.
    #[n(11)]
    pub prepayment_fees: Amount,
    /// Paid out after the first disbursement.
    #[n(12)]
    pub drawn: Amount,
    /// Interest that became principal.
    #[n(13)]
    pub capitalised: Amount,
    /// Given to the borrower as goodwill credit.
    #[n(14)]
    pub credited: Amount,
    /// What the lenders owe for the collection of payments.
    #[n(15)]
    pub collection_fees: Amount,
}

impl Totals {
    /// Held for the borrower: received or credited, and not used.
    #[inline]
    pub fn held(&self) -> Amount {
        self.received + self.credited
            - self.fees
            - self.instalment_fees
            - self.prepayment_fees
            - self.penalty
            - self.interest
            - self.principal
            - self.recovered
            - self.refunded
    }

    /// Used for fees of every kind.
    pub fn all_fees(&self) -> Amount {
        self.fees + self.instalment_fees + self.prepayment_fees
    }

    /// Every total, in a fixed order.
    pub fn all(&self) -> [Amount; 16] {
        [
            self.received,
            self.fees,
            self.penalty,
            self.interest,
            self.principal,
            self.recovered,
            self.charged_off,
            self.compensated,
            self.interest_forgone,
            self.refunded,
            self.instalment_fees,
            self.prepayment_fees,
            self.drawn,
            self.capitalised,
            self.credited,
            self.collection_fees,
        ]
    }

    /// What came since `earlier`, total by total.
    pub fn since(&self, earlier: &Totals) -> Totals {
        let (all, before) = (self.all(), earlier.all());
        Totals::from_all(std::array::from_fn(|place| all[place] - before[place]))
    }

    /// Totals in the order of [`Totals::all`].
    pub fn from_all(all: [Amount; 16]) -> Totals {
        Totals {
            received: all[0],
            fees: all[1],
            penalty: all[2],
            interest: all[3],
            principal: all[4],
            recovered: all[5],
            charged_off: all[6],
            compensated: all[7],
            interest_forgone: all[8],
            refunded: all[9],
            instalment_fees: all[10],
            prepayment_fees: all[11],
            drawn: all[12],
            capitalised: all[13],
            credited: all[14],
            collection_fees: all[15],
        }
    }
}
