//! A loan is a pure function of its terms and its transactions.
//!
//! Folding the transactions in order of their value dates gives the position ([`evaluate`]); a
//! back-dated one is put into its place and the fold is done again. [`Position::disburse`] starts
//! it, [`Position::advance`] lets contract days pass and [`Position::transact`] takes what people
//! do.
//!
//! | to find | look in |
//! |---|---|
//! | what was agreed: amounts, rates, level instalments | `terms` |
//! | when something falls due, and how dates move | `timeline` |
//! | how time becomes interest; what is not due yet | `contract` |
//! | what a loan stands at; arrears, accrual, payoff, digest | `position` |
//! | days: steps of the contract, accrual, late fees | `advance` |
//! | what is due: what is owed on it, and how money pays it | `due` |
//! | the list of what people do | `action` |
//! | money: payments, prepayments, refunds, draws, waivers | `transact` |
//! | changes of plan: due dates, pauses, re-ageing, rates | `replan` |
//! | write-offs, recoveries, money that is taken back | `claim` |
//! | cumulative totals, of which all shares and postings are differences | `totals` |
//! | the planned instalments | `plan` |
//! | who holds parts of the loan; draws and sales that change them | `holders` |
//! | each lender's part of the totals | `split`, counted by `fold` |
//! | positions and histories as few bytes | `packed` |
//!
//! Interest accrues on principal exactly and is rounded when it falls due or is paid. Principal
//! that is past due bears nothing within the grace days; beyond them it bears interest and
//! penalty from its due date.

mod action;
mod advance;
mod claim;
mod contract;
mod due;
mod fold;
mod holders;
mod packed;
mod plan;
mod position;
mod replan;
mod split;
mod terms;
mod timeline;
mod totals;
mod transact;

pub use action::{Action, Sale, Transaction};
pub use claim::Claim;
pub(crate) use contract::scaled;
pub use contract::{Contract, Measure};
pub use due::Due;
pub(crate) use fold::Fold;
pub use holders::{Holders, Mark, PartChange, Sold};
pub use packed::{Base, Entered, History};
pub use plan::{Instalment, coming, schedule};
pub use position::{Accrual, Payoff, Position, Status, evaluate};
pub use split::{Own, Split, earner};
pub use terms::{Fixing, OwnTerms, Terms};
pub use timeline::{Ops, Step, Timeline};
pub use totals::Totals;
