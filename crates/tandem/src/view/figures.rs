//! What a party should end with: the figures that a view states, and that its reader recomputes.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use tandem_domain::book::Book;
use tandem_domain::calendar::Day;
use tandem_domain::ledger::{Account, Entry};
use tandem_domain::loan::Own;
use tandem_domain::money::Amount;
use tandem_domain::party::PartyId;

use crate::export::{key_of, parties};

/// A party's ledger, statement and parts of loans at the end of a view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Figures {
    /// Number and balance of every account that is not empty.
    #[n(0)]
    pub(super) balances: Vec<(u16, Amount)>,
    /// The statement's totals: first day of a month, number of an account, debits and credits.
    #[n(1)]
    pub(super) months: Vec<(Day, u16, Amount, Amount)>,
    /// Key of each loan that it has or had a part of, and the amounts of [`parts`].
    #[n(2)]
    pub(super) loans: Vec<(String, Vec<Amount>)>,
}

/// What a party has of a loan, in the order of the view's format.
fn parts(own: &Own) -> [(&'static str, Amount); 14] {
    [
        ("principal outstanding", own.outstanding),
        ("principal written off", own.charged_off),
        ("principal paid out", own.disbursed),
        ("interest made principal", own.capitalised),
        ("interest", own.interest),
        ("fees", own.fees),
        ("penalty interest", own.penalty),
        ("compensation", own.compensated),
        ("recoveries", own.recovered),
        ("service fee", own.service_fee),
        ("premium", own.premium),
        ("premium released", own.premium_released),
        ("premium lost", own.premium_lost),
        ("gain on sales", own.gain),
    ]
}

impl Figures {
    /// Where these figures, which a view states, differ from those that its events give.
    pub(super) fn difference(&self, recomputed: &Figures) -> Option<String> {
        let amounts = |figures: &Figures| {
            let Figures {
                balances,
                months,
                loans,
            } = figures;
            let balances = balances
                .iter()
                .map(|&(account, amount)| (format!("the balance of {}", name(account)), amount));
            let months = months
                .iter()
                .flat_map(|&(month, account, debits, credits)| {
                    [("debits", debits), ("credits", credits)].map(|(side, amount)| {
                        let (year, month, _) = month.ymd();
                        let account = name(account);
                        (format!("{side} of {account} in {year}-{month:02}"), amount)
                    })
                });
            let loans = loans.iter().flat_map(|(key, amounts)| {
                let named = parts(&Own::default()).into_iter().zip(amounts);
                named.map(move |((part, _), &amount)| (format!("{part} of loan {key}"), amount))
            });
            balances
                .chain(months)
                .chain(loans)
                .collect::<BTreeMap<_, _>>()
        };
        let (stated, found) = (amounts(self), amounts(recomputed));
        let either = stated.keys().chain(found.keys());
        let difference = either.into_iter().find_map(|what| {
            let of =
                |amounts: &BTreeMap<String, Amount>| amounts.get(what).map_or(0, |found| found.0);
            let (stated, found) = (of(&stated), of(&found));
            let text =
                || format!("{what} is stated as {stated} minor units, its events give {found}");
            (stated != found).then(text)
        });
        let unlike = || "the stated figures are not in the order of the format".to_owned();
        difference.or_else(|| (self != recomputed).then(unlike))
    }
}

/// The name of an account by its number.
fn name(number: u16) -> String {
    let all = Account::chart(tandem_domain::party::MAX_PARTIES);
    let account = all.into_iter().find(|account| account.number() == number);
    let name = account.map_or("an unknown account", Account::name);
    format!("{number} {name}")
}

/// Collects a party's figures while a book goes on.
pub(super) struct Collector {
    pub(super) party: PartyId,
    months: BTreeMap<(Day, u16), (Amount, Amount)>,
}

impl Collector {
    pub(super) fn new(party: PartyId) -> Collector {
        Collector {
            party,
            months: BTreeMap::new(),
        }
    }

    pub(super) fn entry(&mut self, entry: &Entry) {
        for posting in &entry.postings {
            if posting.party != self.party {
                continue;
            }
            let (_, _, day) = entry.day.ymd();
            let month = entry.day + (1 - day as i32);
            let account = posting.account.number();
            let (debits, credits) = self.months.entry((month, account)).or_default();
            if posting.amount.is_positive() {
                *debits += posting.amount;
            } else {
                *credits -= posting.amount;
            }
        }
    }

    pub(super) fn finish(self, book: &Book) -> Figures {
        let accounts = Account::chart(parties(book).len());
        let balances = accounts.map(|account| {
            let balance = book.ledgers().balance(self.party, account);
            (account.number(), balance)
        });
        let months = self.months.into_iter();
        let months =
            months.map(|((day, account), (debits, credits))| (day, account, debits, credits));
        let loans = (0..).zip(book.loans()).filter_map(|(place, loan)| {
            let agreement = &book.version_of(&loan).agreement;
            let own = loan.split(agreement).own(self.party);
            let amounts = || parts(&own).map(|(_, amount)| amount).to_vec();
            let key = || key_of(book, Some(place)).to_owned();
            (own != Own::default()).then(|| (key(), amounts()))
        });
        Figures {
            balances: balances.filter(|(_, balance)| !balance.is_zero()).collect(),
            months: months.collect(),
            loans: loans.collect(),
        }
    }
}
