//! A loan is a pure function of its terms and its transactions.
//!
//! Its [`Timeline`] says when something falls due, its [`Contract`] what (interest, principal,
//! instalment), and its [`Position`] what became of it: instalments unpaid, money held, totals.
//! [`Position::disburse`] starts it, [`Position::advance`] lets contract days pass and
//! [`Position::transact`] takes what people do. Folding the transactions in order of their value
//! dates gives the position; a back-dated one is put into its place and the fold is done again
//! ([`evaluate`]). What each lender has of it is in [`Split`].
//!
//! Interest accrues on principal exactly and is rounded when it falls due or is paid. Principal
//! that is past due bears nothing within the grace days; beyond them it bears interest and
//! penalty from its due date.

mod action;
mod contract;
mod plan;
mod position;
mod split;
mod terms;
mod timeline;
mod totals;

pub use action::{Action, Sale, Transaction};
pub use contract::{Contract, Measure};
pub use plan::{Instalment, schedule};
pub use position::{Accrual, Claim, Due, Mark, PartChange, Payoff, Position, Status, evaluate};
pub use split::{Holders, Own, Sold, Split, earner};
pub use terms::{Fixing, OwnTerms, Terms};
pub use timeline::{Ops, Step, Timeline};
pub use totals::Totals;
