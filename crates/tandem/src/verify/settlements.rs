//! Every plan is what came to be owed, and is paid once, as planned.

use std::collections::BTreeMap;

use tandem_domain::book::Book;
use tandem_domain::book::attest::SETTLEMENTS_NET;
use tandem_domain::calendar::Day;
use tandem_domain::ledger::{Account, Entry, Obligations, Posting};
use tandem_domain::money::Amount;
use tandem_domain::party::PartyId;
use tandem_domain::settlement::{Plan, Transfer};

use super::check::Problems;

/// What is owed and planned.
#[derive(Default)]
pub(super) struct Settlements {
    /// How many plans were made.
    pub(super) planned: u64,
    /// How many were paid.
    pub(super) settled: u64,
    /// What came to be owed since the last plan, from the postings.
    owed: Obligations,
    /// Plans that wait for their day, by window.
    plans: BTreeMap<Day, Plan>,
}

impl Settlements {
    /// Takes in what a party came to owe another.
    pub(super) fn owes(&mut self, posting: &Posting, creditor: PartyId) {
        self.owed[posting.party.index()][creditor.index()] -= posting.amount;
    }

    pub(super) fn planned(&mut self, plan: &Plan, book: &Book, problems: &mut Problems) {
        self.planned += 1;
        let window = plan.window;
        problems.require(plan.is_exact(), SETTLEMENTS_NET, || {
            format!("window {window}: the transfers are not the net positions")
        });
        problems.require(window == book.business_date(), SETTLEMENTS_NET, || {
            format!("window {window} was planned on another day")
        });
        let owed = std::mem::take(&mut self.owed);
        problems.require(covers(&plan.obligations, &owed), SETTLEMENTS_NET, || {
            format!("window {window}: the plan is not what the ledgers came to owe")
        });
        let known = self.plans.insert(window, plan.clone());
        problems.require(known.is_none(), SETTLEMENTS_NET, || {
            format!("window {window} was planned twice")
        });
    }

    pub(super) fn settled(
        &mut self,
        day: Day,
        window: Day,
        entries: &[Entry],
        problems: &mut Problems,
    ) {
        self.settled += 1;
        let Some(plan) = self.plans.remove(&window) else {
            return problems.add(
                SETTLEMENTS_NET,
                format!("window {window} was paid twice, or never planned"),
            );
        };
        problems.require(plan.settle_on <= day, SETTLEMENTS_NET, || {
            format!("window {window} was paid before its day")
        });
        for party in PartyId::ALL {
            let moved = |wanted: fn(Account) -> bool| -> Amount {
                let postings = entries.iter().flat_map(|entry| &entry.postings);
                let own =
                    postings.filter(|posting| posting.party == party && wanted(posting.account));
                own.map(|posting| posting.amount).sum()
            };
            let paid = moved(|account| account == Account::Settlement);
            let cleared = moved(|account| account.counterparty().is_some());
            let net = plan.net(party);
            problems.require((paid, cleared) == (net, -net), SETTLEMENTS_NET, || {
                format!(
                    "window {window}: party {} was not paid its net position",
                    party.0
                )
            });
        }
    }

    /// The plans that the book still holds are those made and unpaid.
    pub(super) fn finish(&self, book: &Book, problems: &mut Problems) {
        let waiting = book.plans().iter().map(|plan| plan.window);
        let same = waiting.eq(self.plans.keys().copied());
        problems.require(same, SETTLEMENTS_NET, || {
            "the plans that wait are not those made and unpaid".into()
        });
    }
}

/// True if the obligations of a plan are, pair by pair, what is owed.
fn covers(obligations: &[Transfer], owed: &Obligations) -> bool {
    let mut left = *owed;
    for obligation in obligations {
        left[obligation.from.index()][obligation.to.index()] -= obligation.amount;
    }
    PartyId::ALL.iter().all(|one| {
        PartyId::ALL
            .iter()
            .all(|other| left[one.index()][other.index()] == left[other.index()][one.index()])
    })
}

#[cfg(test)]
mod tests {
    use tandem_domain::book::Event;
    use tandem_engine::replay;

    use super::super::tests::{forged, found};
    use super::*;
    use crate::export::sample;

    #[test]
    fn a_settlement_paid_twice_or_of_the_wrong_amount_is_found() {
        let mut engine = sample::engine();
        let mut keep = 0;
        let mut settled = None;
        replay(engine.journal(), &mut |step| {
            keep += usize::from(settled.is_none());
            if matches!(step.event, Event::Settled { .. }) {
                settled.get_or_insert(step.event.clone());
            }
        })
        .unwrap();
        let twice = forged(keep, |events| events.extend(settled.clone()));
        assert_eq!(
            found(twice),
            "✗ settlements net to zero   window 2024-01-10 was paid twice, or never planned"
        );
        let inflated = forged(keep - 1, |events| {
            let planned = events
                .iter()
                .position(|event| matches!(event, Event::Planned(_)));
            events.truncate(planned.unwrap() + 1);
            let Some(Event::Planned(plan)) = events.last_mut() else {
                panic!("a plan")
            };
            let Plan {
                obligations,
                transfers,
                ..
            } = plan;
            obligations.clone_from(transfers);
            obligations[0].amount += Amount(1);
            transfers[0].amount += Amount(1);
        });
        assert_eq!(
            found(inflated),
            "✗ settlements net to zero   window 2024-01-10: the plan is not what the ledgers came to owe; \
             inter-party accounts differ from open window and plans"
        );
    }
}
