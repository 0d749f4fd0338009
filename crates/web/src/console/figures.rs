//! Sums of a party's postings by month, kept current as the ledger grows.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use tandem_domain::calendar::Day;
use tandem_domain::ledger::Account;
use tandem_domain::money::Amount;

use super::page::{Fault, Signed};

/// A month: twelve times the year, and its place in the year from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month(pub(super) i32);

impl Month {
    pub(super) fn of(day: Day) -> Month {
        let (year, month, _) = day.ymd();
        Month(year * 12 + month as i32 - 1)
    }

    /// `2024-03`.
    pub(super) fn name(self) -> String {
        let (year, month) = (self.0.div_euclid(12), self.0.rem_euclid(12) + 1);
        format!("{year}-{month:02}")
    }

    /// The month of a name.
    pub(super) fn named(name: &str) -> Option<Month> {
        format!("{name}-01").parse().ok().map(Month::of)
    }
}

/// Debits and credits of an account in a month.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turnover {
    pub(super) debits: Amount,
    pub(super) credits: Amount,
}

/// A party's sums.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// The last entry that is counted.
    last: u64,
    sums: BTreeMap<(Month, u16), Turnover>,
    /// Principal paid out, by month.
    funded: BTreeMap<Month, Amount>,
    /// Loans of which a payment was taken back, newest last, with the day.
    pub(super) taken_back: Vec<(Day, u32)>,
}

impl Signed {
    /// The party's sums up to now.
    pub(super) fn figures(&self) -> Result<Figures, Fault> {
        let all = &self.visit.console.figures;
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (self.desk.name().to_owned(), self.party.0);
        let figures = all.entry(key).or_default();
        self.desk.reader().rows(|rows| {
            let mut select = rows.prepare_cached(
                // By entry, of which few are new, and not by account, of which there are all.
                "SELECT entry, day, kind, account, amount, loan FROM posting
                 WHERE entry > ?1 AND +party = ?2 ORDER BY entry",
            )?;
            let mut found = select.query((figures.last as i64, self.party.0))?;
            while let Some(row) = found.next()? {
                let (day, amount) = (Day(row.get(1)?), Amount(row.get(4)?));
                let kind = row.get_ref(2)?.as_str()?;
                figures.add(day, kind, row.get(3)?, amount, row.get(5)?);
                figures.last = row.get::<_, i64>(0)? as u64;
            }
            Ok(())
        })?;
        Ok(figures.clone())
    }
}

impl Figures {
    fn add(&mut self, day: Day, kind: &str, account: u16, amount: Amount, loan: Option<u32>) {
        let month = Month::of(day);
        let turnover = self.sums.entry((month, account)).or_default();
        if amount.is_positive() {
            turnover.debits += amount;
        } else {
            turnover.credits -= amount;
        }
        if account == Account::Loans.number() && kind == "disbursement" {
            *self.funded.entry(month).or_default() += amount;
        }
        if let (Some(loan), "chargeback") = (loan, kind)
            && self.taken_back.last() != Some(&(day, loan))
        {
            self.taken_back.push((day, loan));
        }
    }

    /// Turnover of an account in a month.
    pub(super) fn turnover(&self, month: Month, account: u16) -> Turnover {
        self.sums
            .get(&(month, account))
            .copied()
            .unwrap_or_default()
    }

    /// Accounts with postings, in order of their numbers.
    pub(super) fn accounts(&self) -> Vec<u16> {
        let mut accounts: Vec<_> = self.sums.keys().map(|(_, account)| *account).collect();
        accounts.sort_unstable();
        accounts.dedup();
        accounts
    }

    /// Balance of an account at the end of a month; debits are positive.
    pub(super) fn balance(&self, month: Month, account: u16) -> Amount {
        let of = self
            .sums
            .iter()
            .filter(|((at, of), _)| *of == account && *at <= month);
        of.map(|(_, turnover)| turnover.debits - turnover.credits)
            .sum()
    }

    /// The first and last month with postings.
    pub(super) fn span(&self) -> Option<(Month, Month)> {
        let first = self.sums.keys().next()?.0;
        let last = self.sums.keys().next_back()?.0;
        Some((first, last))
    }

    /// Principal paid out in a month.
    pub(super) fn funded_in(&self, month: Month) -> Amount {
        self.funded.get(&month).copied().unwrap_or_default()
    }

    /// Principal ever paid out.
    pub(super) fn funded(&self) -> Amount {
        self.funded.values().copied().sum()
    }

    /// Income less expenses of a month.
    pub(super) fn result(&self, month: Month) -> Amount {
        self.of_class(month, |account| account >= 4_000)
    }

    /// Income less the service fee of a month: what a yield counts, before losses.
    pub(super) fn earned(&self, month: Month) -> Amount {
        let fee = Account::ServiceFeeExpense.number();
        self.of_class(month, |account| {
            (4_000..5_000).contains(&account) || account == fee
        })
    }

    fn of_class(&self, month: Month, counts: impl Fn(u16) -> bool) -> Amount {
        let in_month = self.sums.range((month, 0)..=(month, u16::MAX));
        let counted = in_month.filter(|((_, account), _)| counts(*account));
        counted
            .map(|(_, turnover)| turnover.credits - turnover.debits)
            .sum()
    }
}
