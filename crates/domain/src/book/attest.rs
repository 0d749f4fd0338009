//! Proving that the book is right: a digest of its state, and checks of everything that must
//! hold between its parts.

use std::collections::BTreeMap;
use std::fmt;

use smallvec::SmallVec;

use super::enrol::contribution;
use super::{Book, Loan};
use crate::agreement::Agreement;
use crate::ledger::Account;
use crate::loan::{Split, Status};
use crate::money::Amount;
use crate::party::{MAX_PARTIES, PartyId};
use crate::share::allocate;

/// Bytes that are hashed together.
const GATHERED: usize = 8_192;

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

impl Book {
    /// Digest of the state (BLAKE3): equal books have equal digests.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        // Many numbers are hashed faster together.
        let mut gathered = SmallVec::<[u8; GATHERED]>::new();
        self.digest_before_loans(&mut |bytes| {
            gathered.extend_from_slice(&bytes);
            if gathered.len() == GATHERED {
                hasher.update(&gathered);
                gathered.clear();
            }
        });
        hasher.update(&gathered);
        hasher.update(&self.loans.digest().to_le_bytes());
        self.digest_after_loans(&mut |bytes| {
            hasher.update(bytes);
        });
        *hasher.finalize().as_bytes()
    }

    /// What is hashed before the digest of the loans.
    pub(super) fn digest_before_loans(&self, put: &mut impl FnMut([u8; 16])) {
        let mut put = |number: i128| put(number.to_le_bytes());
        put(self.business_date.0.into());
        put(self.versions.len() as i128);
        put(self.application_count() as i128);
        put(self.loans.len() as i128);
        put(self.carried_out.into());
        put(self.plans.len() as i128);
        put(self.pool.disbursed.0.into());
        put(self.pool.used.0.into());
        put(self.pool.claimed.0.into());
        put(self.ledgers.entries().into());
        for fixing in self.fixings.values().flatten() {
            put(fixing.day.0.into());
            put(fixing.rate.0.into());
        }
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
        put(self.applications.digest.into());
    }

    /// What is hashed after it.
    pub(super) fn digest_after_loans(&self, put: &mut impl FnMut(&[u8])) {
        self.slices.digest(put);
        if self.archived.loans > 0 {
            put(&self.archived.loans.to_le_bytes());
        }
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
        let key = |place: usize| {
            let loan = self.loan_in(place as u32);
            self.key_of(&loan).to_owned()
        };
        for (place, surplus) in &sums.inexact {
            check(false, SHARES_EXACT, &|| {
                format!("loan {} is off by {} minor units", key(*place), surplus.0)
            });
        }
        for (place, what) in &sums.unsound {
            check(false, LOANS_SOUND, &|| {
                format!("loan {}: {what}", key(*place))
            });
        }
        for party in PartyId::ALL {
            for (account, booked) in &sums.booked.accounts[party.index()] {
                let posted = self.ledgers.balance(party, *account);
                check(posted == *booked, SHARES_EXACT, &|| {
                    let (party, name) = (self.party_name(party), account.name());
                    format!("{party}: {name} {} against loans {}", posted.0, booked.0)
                });
            }
        }
        let cash: Amount = PartyId::ALL
            .map(|party| self.ledgers.balance(party, Account::Settlement))
            .into_iter()
            .sum();
        check(cash == sums.booked.cash, CASH_CONSERVED, &|| {
            format!(
                "settlement accounts {} against loans {}",
                cash.0, sums.booked.cash.0
            )
        });
        check(sums.booked.pool == self.pool, SUMS_CURRENT, &|| {
            "the use of the guarantee pool differs".to_owned()
        });
        check(sums.reserved == self.reserved, SUMS_CURRENT, &|| {
            "open offers and what can be drawn differ from what is reserved".to_owned()
        });
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
        let digest = self.loans.digest_anew();
        let digest = digest.wrapping_add(self.archived.digest);
        check(digest == self.loans.digest(), SUMS_CURRENT, &|| {
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
        let mut sums = Sums {
            booked: self.archived.booked.clone(),
            ..Sums::default()
        };
        self.recompute_offers(&mut sums);
        for (place, loan) in self.placed_loans() {
            let agreement = &self.version_of(&loan).agreement;
            let totals = &loan.position.totals;
            let split = loan.split(agreement);
            let (mut left, mut received) = (Amount::ZERO, Amount::ZERO);
            for party in split.holders.iter() {
                let own = split.own(party);
                sums.outstanding[party.index()] += own.outstanding;
                left += own.outstanding;
                received += own.received();
            }
            let elsewhere: Amount = split.fees_elsewhere.iter().copied().sum();
            let surplus = (left - loan.position.outstanding())
                + (received
                    + elsewhere
                    + split.recovered_by_guarantor
                    + totals.held()
                    + totals.refunded
                    - totals.received
                    - totals.credited);
            if !surplus.is_zero() {
                sums.inexact.push((place as usize, surplus));
            }
            sums.held += totals.held();
            if let Some(what) = loan.unsound() {
                sums.unsound.push((place as usize, what));
            }
            sums.booked.add(&loan, agreement, &split);
            let undrawn = allocate(loan.undrawn(&loan.position, agreement), &split.commitments);
            for (party, part) in split.holders.iter().zip(undrawn) {
                sums.reserved[party.index()] += part;
            }
            if let Some(contribution) = contribution(&loan, &loan.position, agreement) {
                sums.portfolio.add(&split, contribution, 1);
            }
        }
        sums
    }

    fn recompute_offers(&self, sums: &mut Sums) {
        for (&place, offer) in &self.applications.offers {
            let version = self.applications.rows[place as usize].version;
            for (party, part) in self.lender_amounts(version, &offer.parts) {
                sums.reserved[party] += part;
            }
        }
    }
}

impl Loan {
    /// What is wrong with the loan by itself, if anything is.
    fn unsound(&self) -> Option<&'static str> {
        let position = &self.position;
        let totals = &position.totals;
        let outstanding = position.outstanding();
        let lent = self.principal + totals.drawn + totals.capitalised;
        let least = position
            .due
            .iter()
            .flat_map(|due| [due.principal, due.interest, due.fee]);
        let least = least
            .chain(totals.all())
            .chain([totals.held(), position.contract.principal]);
        let over = position.status != Status::Active;
        let left = outstanding + position.interest_due() + totals.held();
        [
            (
                lent != totals.principal + totals.charged_off + outstanding,
                "principal is lost",
            ),
            (least.min() < Some(Amount::ZERO), "something is below zero"),
            (
                totals.compensated > totals.charged_off,
                "more is compensated than was lost",
            ),
            (
                totals.compensated > self.claimed(),
                "more is compensated than was claimed",
            ),
            (
                over && !left.is_zero(),
                "something is left of a loan that is over",
            ),
        ]
        .into_iter()
        .find_map(|(wrong, what)| wrong.then_some(what))
    }
}

impl Booked {
    /// Adds what a loan brought each party.
    pub(super) fn add(&mut self, loan: &Loan, agreement: &Agreement, split: &Split) {
        let totals = &loan.position.totals;
        let product = &agreement.file.product;
        let mut book = |party: PartyId, account: Account, amount: Amount| {
            *self.accounts[party.index()].entry(account).or_default() += amount;
        };
        for party in split.holders.iter() {
            let own = split.own(party);
            book(party, Account::LoanPremium, own.premium);
            book(party, Account::PenaltyIncome, -own.penalty);
            book(party, Account::RecoveryIncome, -own.recovered);
            book(party, Account::SaleGain, -own.gain);
            if agreement.service_fee.is_some() {
                book(party, Account::ServiceFeeExpense, own.service_fee);
            }
        }
        if let Some(guarantor) = agreement.guarantor {
            book(guarantor, Account::GuaranteeExpense, totals.compensated);
            book(
                guarantor,
                Account::RecoveryIncome,
                -split.recovered_by_guarantor,
            );
        }
        book(
            agreement.goodwill,
            Account::GoodwillExpense,
            totals.credited,
        );
        let fees = agreement.disbursement_fees.iter();
        let kept: Amount = fees
            .map(|fee| fee.on(loan.principal, product.rounding))
            .sum();
        self.cash += totals.received - totals.refunded - totals.drawn - (loan.principal - kept);
        self.pool.disbursed += loan.principal + totals.drawn;
        self.pool.used += totals.compensated;
        self.pool.claimed += loan.claimed();
    }
}

/// What loans brought in all.
#[derive(Clone, Debug, Default)]
pub(super) struct Booked {
    /// What stands on accounts that only loans are posted to, by party.
    pub(super) accounts: [BTreeMap<Account, Amount>; MAX_PARTIES],
    /// What borrowers paid less what was paid out to them.
    pub(super) cash: Amount,
    /// Use of the guarantee pool.
    pub(super) pool: super::Pool,
}

/// Sums taken anew from all loans.
#[derive(Default)]
struct Sums {
    booked: Booked,
    reserved: [Amount; MAX_PARTIES],
    unsound: Vec<(usize, &'static str)>,
    outstanding: [Amount; MAX_PARTIES],
    held: Amount,
    portfolio: super::Portfolio,
    inexact: Vec<(usize, Amount)>,
}

/// Debits equal credits in every party's ledger.
pub const LEDGERS_BALANCE: &str = "ledgers balanced";
/// What one party is owed, the other owes.
pub const MIRRORS_EQUAL: &str = "mirrors equal";
/// Parts sum to the whole, and ledgers to loans.
pub const SHARES_EXACT: &str = "shares exact";
/// A loan is lent, repaid, lost or outstanding, and nothing of it is below zero.
pub const LOANS_SOUND: &str = "loans sound";
/// Money comes only from borrowers and goes only to them.
pub const CASH_CONSERVED: &str = "cash conserved";
/// Every settlement brings each party exactly its net position.
pub const SETTLEMENTS_NET: &str = "settlements net to zero";
/// Running sums equal sums taken anew.
pub const SUMS_CURRENT: &str = "running sums current";
