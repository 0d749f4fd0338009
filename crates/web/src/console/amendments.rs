//! Amendments: the next version, proposed by one party. Of the agreement two people of every party
//! approve it before the book signs it; of a lender's policy, which is its own, two of that lender.

mod amendment;
mod decide;
mod documents;
mod propose;
mod sections;
mod show;
mod store;

pub(super) use decide::decide;
pub(super) use propose::{draft, propose, text};
pub(super) use sections::{policy, section};
pub(super) use show::show;
pub(super) use store::{SCHEMA, waiting};
