//! What goes over the wire. Amounts are whole minor units with their currency (ISO 4217), rates
//! and dates are texts: `12.9%`, yearly; `2024-03-15`, the agreement's business calendar.

mod agreement;
mod application;
mod book;
mod common;
mod event;
mod instruction;
mod ledger;
mod loan;
mod person;
mod sandbox;

pub use agreement::{Agreement, Field, Limit, Party};
pub use application::{
    Application, ApplicationRequest, Decision, Offer, Part, Reason, Referral, UnderwritingOutcome,
    UnderwritingRequest,
};
pub use book::{Close, CloseRequest, HandoverRequest};
pub use common::{List, Money};
pub use event::{Delivery, Event, Webhook, WebhookRequest};
pub use instruction::{
    InstructionRequest, LineResult, PaymentRequest, Receipt, ReversalRequest, UnmatchedSale,
};
pub use ledger::{Balance, Posting, Settlement, StatementLine, Transfer};
pub use loan::{Holding, Instalment, Loan, Quote, Totals, Transaction};
pub use person::{Access, Person, PersonStored};
pub use sandbox::{Sandbox, SeedStep, Seeded, SignatureCheck, Trigger};
