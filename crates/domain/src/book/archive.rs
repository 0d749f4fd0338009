//! Loans that are over leave the book's memory once they are in an archive. What they brought
//! stays in every sum, ledger and digest, and their keys stay known. `docs/spec/archive.md` says more.

use std::collections::BTreeMap;

use super::attest::Booked;
use super::command::{Archiving, Refusal};
use super::decide::check_key;
use super::event::Event;
use super::{Book, Loan, Pool};
use crate::ledger::Account;
use crate::loan::Status;
use crate::money::Amount;
use crate::packed::{Damaged, Reader, put};
use crate::party::MAX_PARTIES;

/// Most loans that are archived by one command, so that its event fits into a batch.
pub const MOST_AT_ONCE: usize = 50_000;
/// Most characters of an archive's name.
const NAME: usize = 80;

/// What is left of loans that were archived.
#[derive(Clone, Debug, Default)]
pub(super) struct Archived {
    /// How many.
    pub(super) loans: u32,
    /// Sum of the digests of those that are not in memory.
    pub(super) digest: u128,
    /// What those brought, by account.
    pub(super) booked: Booked,
}

impl Archived {
    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        put(out, self.loans.into());
        out.extend_from_slice(&self.digest.to_le_bytes());
        let Booked {
            accounts,
            cash,
            pool,
        } = &self.booked;
        put(out, cash.0);
        pool.pack(out);
        for booked in accounts {
            for account in Account::chart(MAX_PARTIES) {
                put(out, booked.get(&account).map_or(0, |amount| amount.0));
            }
        }
    }

    pub(super) fn unpack(from: &mut Reader<'_>) -> Result<Archived, Damaged> {
        let loans = from.small()?;
        let digest = from.take(16)?.first_chunk().copied().ok_or(Damaged)?;
        let cash = Amount(from.number()?);
        let pool = Pool::unpack(from)?;
        let mut accounts: [BTreeMap<Account, Amount>; MAX_PARTIES] = Default::default();
        for booked in &mut accounts {
            for account in Account::chart(MAX_PARTIES) {
                let amount = Amount(from.number()?);
                if !amount.is_zero() {
                    booked.insert(account, amount);
                }
            }
        }
        Ok(Archived {
            loans,
            digest: u128::from_le_bytes(digest),
            booked: Booked {
                accounts,
                cash,
                pool,
            },
        })
    }
}

impl Book {
    /// An empty book that keeps archived loans in memory too, to look at the whole of a journal.
    /// Sums and digests are the same.
    pub fn with_archive() -> Book {
        let mut book = Book::default();
        book.loans.keeps_archived = true;
        book
    }

    /// How many loans are archived.
    pub fn archived(&self) -> u32 {
        self.archived.loans
    }

    /// True if a loan is archived and not in memory.
    pub fn is_archived(&self, loan: u32) -> bool {
        self.loans.is_archived(loan)
    }

    /// Places of the loans that can be archived on the business date.
    pub fn due_for_archive(&self) -> Vec<u32> {
        let places = 0..self.loan_count() as u32;
        let due = |&place: &u32| self.loan_at(place).is_some_and(|loan| self.is_due(&loan));
        places.filter(due).collect()
    }

    /// True for a loan that was repaid so long ago that its agreement lets it go. What is
    /// written off may still be paid.
    fn is_due(&self, loan: &Loan) -> bool {
        let archive = &self.version_of(loan).agreement.file.archive;
        let ended = loan.history.last_day();
        loan.position.status == Status::Repaid
            && archive.zip(ended).is_some_and(|(archive, ended)| {
                ended + i32::from(archive.after_days) <= self.business_date
            })
    }

    pub(super) fn decide_archive(&self, archiving: Archiving) -> Result<Option<Event>, Refusal> {
        let Archiving { name, loans } = archiving;
        check_key(&name, NAME)?;
        if self.versions.is_empty() {
            return Err(Refusal::NotSigned);
        }
        if loans.iter().all(|&loan| self.is_archived(loan)) {
            return Ok(None);
        }
        let refused = |what: String| Err(Refusal::NotArchivable(what));
        if loans.len() > MOST_AT_ONCE {
            let count = loans.len();
            return refused(format!(
                "{count} loans are too many, send at most {MOST_AT_ONCE}"
            ));
        }
        if !loans.is_sorted_by(|a, b| a < b) {
            return refused("the loans are not in order, or one is named twice".to_owned());
        }
        for &place in &loans {
            let loan = self.loan_at(place);
            match loan {
                Some(loan) if self.is_due(&loan) => {}
                Some(loan) => {
                    let key = self.key_of(&loan);
                    return refused(format!("loan `{key}` is not over for long enough"));
                }
                None => return refused(format!("loan {place} is archived, or not there")),
            }
        }
        Ok(Some(Event::Archived { name, loans }))
    }

    /// True if these loans can be archived: they are there and repaid.
    pub fn can_archive(&self, loans: &[u32]) -> bool {
        let repaid = |&place: &u32| {
            let loan = self.loan_at(place);
            loan.is_some_and(|loan| loan.position.status == Status::Repaid)
        };
        loans.is_sorted_by(|a, b| a < b) && loans.iter().all(repaid)
    }

    pub(super) fn apply_archived(&mut self, loans: &[u32]) {
        self.archived.loans += loans.len() as u32;
        if self.loans.keeps_archived {
            return;
        }
        for &place in loans {
            let loan = self.loan_in(place);
            let agreement = &self.versions[usize::from(loan.version)].agreement;
            let split = loan.split(agreement);
            self.archived.booked.add(&loan, agreement, &split);
            let digest = self.loans.archive(place);
            self.archived.digest = self.archived.digest.wrapping_add(digest);
            self.spent.remove(&place);
        }
    }
}
