//! Loans as they stand, and what became of them.

use serde::Serialize;
use utoipa::ToSchema;

use super::common::Money;

/// A loan as it stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Loan {
    /// Key of the application that it came from.
    pub reference: String,
    /// Version of the agreement that governs it.
    pub agreement_version: u32,
    /// `active`, `repaid` or `charged_off`.
    pub status: String,
    /// Class by days past due, while it is active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Days since the oldest unpaid due date.
    pub days_past_due: i32,
    /// Value date of the disbursement.
    #[schema(format = Date)]
    pub disbursed_on: String,
    /// Principal disbursed at first.
    pub amount: Money,
    /// Yearly rate at disbursement.
    pub rate: String,
    /// Term in months.
    pub term_months: u16,
    /// Principal outstanding.
    pub outstanding: Money,
    /// What the borrower owes by the end of the business date.
    pub amount_due: Money,
    /// Next due date.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Date)]
    pub next_due: Option<String>,
    /// What has become of it so far.
    pub totals: Totals,
    /// What each lender has of it, and had.
    pub parts: Vec<Holding>,
}

/// Sums since disbursement.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Totals {
    /// Received from the borrower, less what was charged back.
    pub received: Money,
    /// Of it, principal.
    pub principal: Money,
    /// Of it, interest.
    pub interest: Money,
    /// Of it, fees.
    pub fees: Money,
    /// Of it, penalty interest.
    pub penalty: Money,
    /// Held for the borrower.
    pub held: Money,
    /// Given back to the borrower.
    pub refunded: Money,
    /// Principal written off.
    pub charged_off: Money,
    /// Paid by the guarantor.
    pub compensated: Money,
    /// Principal received after it was written off.
    pub recovered: Money,
}

/// What a lender has of a loan.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Holding {
    /// The lender.
    pub lender: String,
    /// Principal outstanding.
    pub outstanding: Money,
    /// Principal received.
    pub principal: Money,
    /// Interest received.
    pub interest: Money,
    /// Fees received.
    pub fees: Money,
    /// Penalty interest received.
    pub penalty: Money,
    /// Service fee paid.
    pub service_fee: Money,
    /// Principal written off.
    pub charged_off: Money,
    /// Compensation received from the guarantor.
    pub compensated: Money,
    /// Recoveries received.
    pub recovered: Money,
}

/// An instalment, due or coming.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Instalment {
    /// Due date.
    #[schema(format = Date)]
    pub due: String,
    /// `overdue`, or `coming` as it will fall due if everything is paid in time.
    pub state: String,
    /// Principal to pay.
    pub principal: Money,
    /// Interest to pay.
    pub interest: Money,
    /// Fees to pay.
    pub fees: Money,
    /// Principal outstanding after it; for what is overdue there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Money>,
}

/// What settles a loan on a day.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Quote {
    /// Key of the loan.
    pub reference: String,
    /// The day.
    #[schema(format = Date)]
    pub on: String,
    /// All that is to be paid.
    pub total: Money,
    /// Of it, principal.
    pub principal: Money,
    /// Of it, interest to the day.
    pub interest: Money,
    /// Of it, penalty interest to the day.
    pub penalty: Money,
    /// Of it, fees.
    pub fees: Money,
    /// Of it, the fee on the prepayment.
    pub prepayment_fee: Money,
    /// Held for the borrower already, and subtracted.
    pub held: Money,
}

/// Something that was done to a loan.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Transaction {
    /// Number within the loan; a reversal has that of what it takes back.
    pub number: u32,
    /// Its key, if it came with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Business date on which it came.
    #[schema(format = Date)]
    pub entered: String,
    /// Date from which it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Date)]
    pub value_date: Option<String>,
    /// What was done: `repay`, `prepay`, …, `charge off`, `reversal`.
    pub action: String,
    /// The whole of it in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
    /// Change of what was received.
    pub received: Money,
    /// Change of principal paid.
    pub principal: Money,
    /// Change of interest paid.
    pub interest: Money,
    /// Change of fees paid.
    pub fees: Money,
    /// Change of penalty interest paid.
    pub penalty: Money,
}
