//! Proving that the book is right: a digest of its state, and checks of everything that must
//! hold between its parts.

use std::fmt;

use super::{ApplicationRecord, ApplicationState, Book, Loan, Split};
use crate::ledger::Account;
use crate::money::Amount;
use crate::party::{MAX_PARTIES, PartyId};

/// Something that must hold and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What must hold.
    pub invariant: &'static str,
    /// Where and by how much it does not.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.detail)
    }
}

impl Loan {
    /// The loan's part in the digest of all loans.
    pub(super) fn digest_now(&self, place: u32) -> u128 {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(&place.to_le_bytes());
        self.position.digest_into(&mut bytes);
        let hash = blake3::hash(&bytes);
        u128::from_le_bytes(
            hash.as_bytes()[..16]
                .try_into()
                .expect("a hash has more than sixteen bytes"),
        )
    }
}

impl ApplicationRecord {
    /// The application's part in the digest of all applications. It is to find bugs; that nobody
    /// edits the past is what the journal's hashes are for.
    pub(super) fn digest_now(&self, place: u32) -> u64 {
        let state = match &self.state {
            ApplicationState::Declined(_) => 1,
            ApplicationState::Referred => 2,
            ApplicationState::Offered(_) => 3,
            ApplicationState::Lapsed => 4,
            ApplicationState::Withdrawn => 5,
            ApplicationState::Disbursed(_) => 6,
        };
        let mixed =
            (self.body ^ (u64::from(place) << 8) ^ state).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 32)
    }
}

impl Book {
    /// Digest of the state (BLAKE3): equal books have equal digests.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut put = |number: i128| {
            hasher.update(&number.to_le_bytes());
        };
        put(self.business_date.0.into());
        put(self.versions.len() as i128);
        put(self.applications.len() as i128);
        put(self.loans.len() as i128);
        put(self.payments.len() as i128);
        put(self.plans.len() as i128);
        put(self.pool.disbursed.0.into());
        put(self.pool.used.0.into());
        put(self.ledgers.entries().into());
        for amount in self
            .ledgers
            .all_balances()
            .chain(self.ledgers.window.iter().flatten().copied())
        {
            put(amount.0.into());
        }
        let regions = self
            .regions
            .iter()
            .flat_map(|region| region.reserved.iter().chain(&region.outstanding));
        for amount in self.reserved.iter().chain(&self.today).chain(regions) {
            put(amount.0.into());
        }
        put(self.applications_digest.into());
        hasher.update(&self.loans_digest.to_le_bytes());
        *hasher.finalize().as_bytes()
    }

    /// Checks everything that must hold between the parts of the book; empty if all does.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut check = |holds: bool, invariant: &'static str, detail: &dyn Fn() -> String| {
            if !holds {
                findings.push(Finding {
                    invariant,
                    detail: detail(),
                });
            }
        };
        for (party, surplus) in self.ledgers.unbalanced() {
            check(false, LEDGERS_BALANCE, &|| {
                format!(
                    "{} is off by {} minor units",
                    self.party_name(party),
                    surplus.0
                )
            });
        }
        for (creditor, debtor) in self.ledgers.unmirrored() {
            check(false, MIRRORS_EQUAL, &|| {
                format!(
                    "{} and {}",
                    self.party_name(creditor),
                    self.party_name(debtor)
                )
            });
        }
        let sums = self.recompute();
        for (place, surplus) in sums.inexact {
            let key = &self.applications[self.loans[place].application as usize].key;
            check(false, SHARES_EXACT, &|| {
                format!("loan {key} is off by {} minor units", surplus.0)
            });
        }
        for party in (0..MAX_PARTIES as u8).map(PartyId) {
            let (posted, outstanding) = (
                self.ledgers.balance(party, Account::Loans),
                sums.outstanding[party.index()],
            );
            check(posted == outstanding, SHARES_EXACT, &|| {
                format!(
                    "{}: ledger {} against loans {}",
                    self.party_name(party),
                    posted.0,
                    outstanding.0
                )
            });
        }
        let held: Amount = (0..MAX_PARTIES as u8)
            .map(|party| self.ledgers.balance(PartyId(party), Account::CustomerFunds))
            .sum();
        check((held + sums.held).is_zero(), SHARES_EXACT, &|| {
            format!("customer funds {} against loans {}", -held.0, sums.held.0)
        });
        check(sums.portfolio == self.portfolio, SUMS_CURRENT, &|| {
            "recomputed sums differ".to_owned()
        });
        check(sums.digest == self.loans_digest, SUMS_CURRENT, &|| {
            "recomputed digest differs".to_owned()
        });
        for plan in &self.plans {
            check(plan.is_exact(), SETTLEMENTS_NET, &|| {
                format!("window {}", plan.window)
            });
        }
        check(self.unsettled_matches(), SETTLEMENTS_NET, &|| {
            "inter-party accounts differ from open window and plans".to_owned()
        });
        findings
    }

    fn party_name(&self, party: PartyId) -> String {
        let known = self
            .latest()
            .and_then(|version| version.agreement.file.party.get(party.index()));
        known.map_or_else(|| format!("party {}", party.0), |party| party.id.clone())
    }

    /// Everything owed between parties is in the open window or in a plan that waits.
    fn unsettled_matches(&self) -> bool {
        let parties = || (0..MAX_PARTIES as u8).map(PartyId);
        parties().all(|debtor| {
            let owed: Amount = parties()
                .map(|creditor| self.ledgers.balance(debtor, Account::DueTo(creditor)))
                .sum();
            let owning: Amount = parties()
                .map(|other| self.ledgers.balance(debtor, Account::DueFrom(other)))
                .sum();
            let window = &self.ledgers.window;
            let open: Amount = parties()
                .map(|other| {
                    window[other.index()][debtor.index()] - window[debtor.index()][other.index()]
                })
                .sum();
            let planned: Amount = self.plans.iter().map(|plan| plan.net(debtor)).sum();
            owed + owning == open + planned
        })
    }

    fn recompute(&self) -> Sums {
        let mut sums = Sums::default();
        for (place, loan) in self.loans.iter().enumerate() {
            let agreement = &self.version_of(loan).agreement;
            let totals = &loan.position.totals;
            let split = Split::of(totals, &loan.parts, agreement);
            let mut left = Amount::ZERO;
            for (at, &lender) in agreement.lenders.iter().enumerate() {
                let outstanding =
                    loan.parts[at].amount - split.principal[at] - split.charged_off[at];
                sums.outstanding[lender.index()] += outstanding;
                left += outstanding;
            }
            let received: Amount = (0..loan.parts.len()).map(|at| split.received(at)).sum();
            let surplus = (left - loan.position.outstanding())
                + (received
                    + split.fees_elsewhere
                    + split.recovered_by_guarantor
                    + totals.held()
                    + totals.refunded
                    - totals.received);
            if !surplus.is_zero() {
                sums.inexact.push((place, surplus));
            }
            sums.held += totals.held();
            sums.portfolio.add(&self.contribution(place as u32), 1);
            sums.digest = sums.digest.wrapping_add(loan.digest_now(place as u32));
        }
        sums
    }
}

/// Sums taken anew from all loans.
#[derive(Default)]
struct Sums {
    outstanding: [Amount; MAX_PARTIES],
    held: Amount,
    portfolio: super::Portfolio,
    digest: u128,
    inexact: Vec<(usize, Amount)>,
}

/// Debits equal credits in every party's ledger.
pub const LEDGERS_BALANCE: &str = "ledgers balanced";
/// What one party is owed, the other owes.
pub const MIRRORS_EQUAL: &str = "mirrors equal";
/// Parts sum to the whole, and ledgers to loans.
pub const SHARES_EXACT: &str = "shares exact";
/// Every settlement brings each party exactly its net position.
pub const SETTLEMENTS_NET: &str = "settlements net to zero";
/// Running sums equal sums taken anew.
pub const SUMS_CURRENT: &str = "running sums current";
