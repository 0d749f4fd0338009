//! What people do to a loan.

use minicbor::{Decode, Encode};

use crate::agreement::{Component, Prepayment};
use crate::calendar::Day;
use crate::money::{Amount, Rate};
use crate::party::PartyId;

/// What people do to a loan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Action {
    /// The borrower pays what is due; what is over is held for the next instalments, or prepays
    /// if the product says so.
    #[n(0)]
    Repay(#[n(0)] Amount),
    /// The borrower pays what is due; what is over reduces the principal at once.
    #[n(1)]
    Prepay(
        #[n(0)] Amount,
        /// What it changes, if not what the product says.
        #[n(1)]
        Option<Prepayment>,
    ),
    /// The loan is written off; the guarantor pays a part of the principal.
    #[n(2)]
    ChargeOff {
        /// The part.
        #[n(0)]
        covered: Rate,
        /// What the guarantor pays, of what was left in its pool; no more of it, if it turns out that more
        /// was lost.
        #[n(1)]
        at_most: Amount,
        /// Days past due for which the close of the day wrote it off; nothing if somebody decided it. If it
        /// turns out that it was not so late, it was not written off.
        #[n(2)]
        days_past_due: Option<u16>,
    },
    /// The borrower pays all that is left, as quoted for the day.
    #[n(3)]
    Settle(#[n(0)] Amount),
    /// More of the agreed amount is paid out.
    #[n(4)]
    Draw(#[n(0)] Amount),
    /// The merchant gives money back; it reduces the principal, without fee.
    #[n(5)]
    Refund(#[n(0)] Amount),
    /// The payer's bank takes a payment back; what it had paid is owed again, due on the day.
    #[n(6)]
    Chargeback(#[n(0)] Amount),
    /// Something that is due is given up.
    #[n(7)]
    Waive {
        /// A fee, penalty or interest.
        #[n(0)]
        component: Component,
        /// How much of it.
        #[n(1)]
        amount: Amount,
    },
    /// A credit out of goodwill, paid by who bears it instead of the borrower.
    #[n(8)]
    Credit(#[n(0)] Amount),
    /// The next due date moves, and the later ones with it.
    #[n(9)]
    ChangeDueDate(#[n(0)] Day),
    /// The next instalments fall due later.
    #[n(10)]
    Pause {
        /// How many cycles later.
        #[n(0)]
        cycles: u8,
        /// True if interest goes on running.
        #[n(1)]
        interest: bool,
    },
    /// What is overdue is spread over the coming instalments.
    #[n(11)]
    ReAge {
        /// Instalments added at the end.
        #[n(0)]
        more: u16,
    },
    /// The coming instalments are made level again.
    #[n(12)]
    ReAmortise {
        /// Instalments added at the end.
        #[n(0)]
        more: u16,
    },
    /// The rate changes from the day on.
    #[n(13)]
    ChangeRate(#[n(0)] Rate),
    /// A part of the principal is given up for good; the loan goes on.
    #[n(14)]
    WriteOff(#[n(0)] Amount),
    /// A lender sells a part of what it holds of the loan to another.
    #[n(15)]
    Transfer(#[n(0)] Sale),
}

/// The sale of a lender's share of a loan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Sale {
    /// Who sells.
    #[n(0)]
    pub seller: PartyId,
    /// Who buys: a lender of the loan or a new one.
    #[n(1)]
    pub buyer: PartyId,
    /// The part of what the seller holds.
    #[n(2)]
    pub part: Rate,
    /// Price of the principal; accrued interest is paid on top of it. 100% is par.
    #[n(3)]
    pub price: Rate,
}

/// An action on its value date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Transaction {
    /// Value date.
    #[n(0)]
    pub day: Day,
    /// What is done.
    #[n(1)]
    pub action: Action,
    /// Order in which it came, within the loan.
    #[n(2)]
    #[cbor(default)]
    pub number: u32,
}

impl Action {
    /// Stable name.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Repay(_) => "repay",
            Action::Prepay(..) => "prepay",
            Action::ChargeOff { .. } => "charge off",
            Action::Settle(_) => "settle early",
            Action::Draw(_) => "disburse",
            Action::Refund(_) => "refund",
            Action::Chargeback(_) => "chargeback",
            Action::Waive { .. } => "waive",
            Action::Credit(_) => "goodwill credit",
            Action::ChangeDueDate(_) => "change due date",
            Action::Pause { .. } => "payment holiday",
            Action::ReAge { .. } => "re-age",
            Action::ReAmortise { .. } => "re-amortise",
            Action::ChangeRate(_) => "rate change",
            Action::WriteOff(_) => "write off",
            Action::Transfer(_) => "transfer",
        }
    }

    /// True if it is the close of its day that did it, after all that people did on the day.
    pub(super) fn is_of_close(&self) -> bool {
        matches!(
            self,
            Action::ChargeOff {
                days_past_due: Some(_),
                ..
            }
        )
    }

    /// True if money comes from the borrower's side or goes there. It does so even if the loan has
    /// ended by then: what was paid out is owed, what came in is used or given back.
    pub fn moves_money(&self) -> bool {
        matches!(
            self,
            Action::Repay(_)
                | Action::Prepay(..)
                | Action::Settle(_)
                | Action::Draw(_)
                | Action::Refund(_)
                | Action::Chargeback(_)
                | Action::Credit(_)
        )
    }

    /// Money that the action brings from the borrower, or takes away.
    pub fn amount(&self) -> Option<Amount> {
        match *self {
            Action::Repay(amount)
            | Action::Prepay(amount, _)
            | Action::Settle(amount)
            | Action::Draw(amount)
            | Action::Refund(amount)
            | Action::Chargeback(amount)
            | Action::Waive { amount, .. }
            | Action::Credit(amount)
            | Action::WriteOff(amount) => Some(amount),
            _ => None,
        }
    }
}
