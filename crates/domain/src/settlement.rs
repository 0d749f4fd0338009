//! Settlement of what parties owe each other: an immutable plan, then its execution.

use minicbor::{Decode, Encode};

use crate::agreement::Netting;
use crate::calendar::Day;
use crate::ledger::Obligations;
use crate::money::Amount;
use crate::party::PartyId;

/// An amount that one party pays another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Transfer {
    /// Who pays.
    #[n(0)]
    pub from: PartyId,
    /// Who receives.
    #[n(1)]
    pub to: PartyId,
    /// How much, above zero.
    #[n(2)]
    pub amount: Amount,
}

/// What is paid for one settlement window. Once made it never changes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Plan {
    /// The business date whose obligations are settled, also the plan's name.
    #[n(0)]
    pub window: Day,
    /// When it is paid.
    #[n(1)]
    pub settle_on: Day,
    /// What is owed, gross.
    #[n(2)]
    pub obligations: Vec<Transfer>,
    /// What is paid, net.
    #[n(3)]
    pub transfers: Vec<Transfer>,
}

impl Plan {
    /// Nets the obligations of a window; none if nothing is owed.
    pub fn make(window: Day, settle_on: Day, owed: &Obligations, netting: Netting) -> Option<Plan> {
        let obligations = gross(owed);
        if obligations.is_empty() {
            return None;
        }
        let transfers = match netting {
            Netting::Bilateral => bilateral(owed),
            Netting::Multilateral => multilateral(&obligations),
        };
        Some(Plan {
            window,
            settle_on,
            obligations,
            transfers,
        })
    }

    /// What a party receives, less what it pays, by the gross obligations.
    pub fn net(&self, party: PartyId) -> Amount {
        net(&self.obligations, party)
    }

    /// True if the transfers bring every party exactly its net position.
    pub fn is_exact(&self) -> bool {
        let parties = self
            .obligations
            .iter()
            .chain(&self.transfers)
            .flat_map(|t| [t.from, t.to]);
        parties
            .into_iter()
            .all(|party| net(&self.transfers, party) == self.net(party))
    }
}

fn net(transfers: &[Transfer], party: PartyId) -> Amount {
    let received = transfers
        .iter()
        .filter(|t| t.to == party)
        .map(|t| t.amount)
        .sum::<Amount>();
    received
        - transfers
            .iter()
            .filter(|t| t.from == party)
            .map(|t| t.amount)
            .sum()
}

/// Every amount of a window that is above zero; none is below.
fn gross(owed: &Obligations) -> Vec<Transfer> {
    let mut transfers = Vec::new();
    for (debtor, row) in owed.iter().enumerate() {
        for (creditor, &amount) in row.iter().enumerate() {
            if amount.is_positive() {
                transfers.push(Transfer {
                    from: PartyId(debtor as u8),
                    to: PartyId(creditor as u8),
                    amount,
                });
            }
        }
    }
    transfers
}

fn bilateral(owed: &Obligations) -> Vec<Transfer> {
    let mut net = Obligations::default();
    for (one, row) in owed.iter().enumerate() {
        for (other, &amount) in row.iter().enumerate() {
            net[one][other] = amount.saturating_less(owed[other][one]);
        }
    }
    gross(&net)
}

/// Parties that owe pay those that are owed, both in the order of the agreement.
fn multilateral(obligations: &[Transfer]) -> Vec<Transfer> {
    let parties = (0..crate::party::MAX_PARTIES as u8).map(PartyId);
    let positions: Vec<_> = parties
        .map(|party| (party, net(obligations, party)))
        .collect();
    let mut payers: Vec<_> = positions
        .iter()
        .filter(|(_, net)| net.0 < 0)
        .map(|&(party, net)| (party, -net))
        .collect();
    let mut payers = payers.iter_mut();
    let mut payer = payers.next();
    let mut transfers = Vec::new();
    for &(to, mut wanted) in positions.iter().filter(|(_, net)| net.is_positive()) {
        while wanted.is_positive() {
            let Some((from, left)) = payer.as_deref_mut() else {
                return transfers;
            };
            let amount = wanted.min(*left);
            transfers.push(Transfer {
                from: *from,
                to,
                amount,
            });
            wanted -= amount;
            *left -= amount;
            if left.is_zero() {
                payer = payers.next();
            }
        }
    }
    transfers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::party::MAX_PARTIES;
    use proptest::prelude::*;

    fn plan(owed: &Obligations, netting: Netting) -> Option<Plan> {
        Plan::make(Day(0), Day(1), owed, netting)
    }

    #[test]
    fn a_circle_of_debts_needs_no_transfer() {
        let mut owed = Obligations::default();
        (owed[0][1], owed[1][2], owed[2][0]) = (Amount(5), Amount(5), Amount(5));
        let multilateral = plan(&owed, Netting::Multilateral).expect("something is owed");
        assert_eq!(
            (multilateral.obligations.len(), multilateral.transfers.len()),
            (3, 0)
        );
        let bilateral = plan(&owed, Netting::Bilateral).expect("something is owed");
        assert_eq!(bilateral.transfers.len(), 3);
        assert_eq!(plan(&Obligations::default(), Netting::Bilateral), None);
    }

    proptest! {
        #[test]
        fn transfers_bring_every_party_its_net_position(
            amounts in prop::collection::vec(0i64..1_000, MAX_PARTIES * MAX_PARTIES)
        ) {
            let mut owed = Obligations::default();
            for (index, amount) in amounts.iter().enumerate() {
                if index / MAX_PARTIES != index % MAX_PARTIES {
                    owed[index / MAX_PARTIES][index % MAX_PARTIES] = Amount(*amount);
                }
            }
            for netting in [Netting::Bilateral, Netting::Multilateral] {
                if let Some(plan) = plan(&owed, netting) {
                    prop_assert!(plan.is_exact());
                    prop_assert!(plan.transfers.iter().all(|transfer| transfer.amount.is_positive()));
                    let sum: Amount = (0..MAX_PARTIES as u8).map(|party| plan.net(PartyId(party))).sum();
                    prop_assert!(sum.is_zero());
                }
            }
        }
    }
}
