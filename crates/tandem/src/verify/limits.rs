//! What lenders have lent and offered, and what a borrower can still draw, stays within every limit.

use std::collections::BTreeMap;

use tandem_domain::agreement::{Amortisation, Limit, LimitScope};
use tandem_domain::book::{ApplicationState, Book, Decided, Verdict};
use tandem_domain::calendar::Day;
use tandem_domain::field::Value;
use tandem_domain::funding::Part;
use tandem_domain::loan::Status;
use tandem_domain::money::Amount;
use tandem_domain::party::{MAX_PARTIES, PartyId};
use tandem_domain::share::allocate;

use super::check::Problems;

pub(super) const LIMITS: &str = "limits kept";

/// What parties have lent and offered, by party.
type Exposure = [Amount; MAX_PARTIES];

/// What counts against limits.
#[derive(Default)]
pub(super) struct Limits {
    /// How many offers there were.
    pub(super) offered: u64,
    /// Open offers, by place of the application.
    offers: BTreeMap<u32, Vec<Part>>,
    /// What can still be drawn and who is to pay it out, by place of the loan.
    undrawn: BTreeMap<u32, Vec<(PartyId, Amount)>>,
    lent: Exposure,
    today: Exposure,
    regions: Vec<Exposure>,
    borrowers: Vec<Exposure>,
}

impl Limits {
    /// An offer adds to what its lenders have at stake; no limit may be exceeded by it. (Nothing
    /// else adds: a loan that is disbursed takes the place of its offer.)
    pub(super) fn offered(
        &mut self,
        application: u32,
        decided: &Decided,
        book: &Book,
        problems: &mut Problems,
    ) {
        let Verdict::Offered { parts, .. } = &decided.verdict else {
            return;
        };
        self.offered += 1;
        let version = &book.versions()[usize::from(decided.version)];
        let agreement = &version.agreement;
        let now = book.current().map_or(agreement, |(_, now)| &now.agreement);
        self.offers.insert(application, parts.to_vec());
        let mut own = Exposure::default();
        for (&lender, part) in agreement.lenders.iter().zip(parts) {
            own[lender.index()] += part.amount;
            self.today[lender.index()] += part.amount;
            self.lend(application, lender, part.amount, book);
        }
        // What the agreement in force limits, and what only the application's version does.
        let gone = |limit: &Limit| !now.file.limit.iter().any(|other| other.is_same(limit));
        let limits = now
            .limits()
            .chain(agreement.limits().filter(|(limit, _)| gone(limit)));
        for (limit, lender) in limits {
            let bound = match &lender {
                Some(lender) if own[lender.index()].is_zero() => continue,
                Some(lender) => std::slice::from_ref(lender),
                None => &PartyId::ALL[..],
            };
            let used = self.used(limit, &own, decided, bound, book);
            let most = limit.amount;
            problems.require(used <= most.amount, LIMITS, || {
                let used = agreement.currency().show(used);
                format!(
                    "clause {}: application {} brings {used}, above {most}",
                    limit.clause, decided.key
                )
            });
        }
    }

    /// What counts against a limit, the application's own offer included.
    fn used(
        &self,
        limit: &Limit,
        own: &Exposure,
        decided: &Decided,
        bound: &[PartyId],
        book: &Book,
    ) -> Amount {
        let Some(record) = book.application(&decided.key) else {
            return Amount::ZERO;
        };
        let elsewhere = match (&limit.region, &decided.values[2]) {
            (Some(bound), Value::Text(region)) => **bound != **region,
            _ => false,
        };
        let exposure = match limit.per {
            LimitScope::Region if elsewhere => return Amount::ZERO,
            LimitScope::Region => &self.regions[record.region as usize],
            LimitScope::Day => &self.today,
            LimitScope::Total | LimitScope::Partner => &self.lent,
            LimitScope::Borrower => match record.borrower {
                Some(place) => &self.borrowers[place as usize],
                None => own,
            },
        };
        bound.iter().map(|party| exposure[party.index()]).sum()
    }

    /// Adds to (or takes from) what a party has at stake, everywhere it counts.
    pub(super) fn lend(&mut self, application: u32, party: PartyId, amount: Amount, book: &Book) {
        let record = &book.application_in(application);
        self.lent[party.index()] += amount;
        for (exposures, place) in [
            (&mut self.regions, Some(record.region)),
            (&mut self.borrowers, record.borrower),
        ] {
            let Some(place) = place.map(|place| place as usize) else {
                continue;
            };
            if exposures.len() <= place {
                exposures.resize(place + 1, Exposure::default());
            }
            exposures[place][party.index()] += amount;
        }
    }

    /// What a borrower can still draw is at stake like an offer.
    pub(super) fn keep_undrawn(&mut self, place: u32, book: &Book) {
        let loan = &book.loan_in(place);
        let agreement = &book.version_of(loan).agreement;
        let agreed: Amount = loan.parts.iter().map(|part| part.amount).sum();
        let left = match agreement.file.product.amortisation {
            _ if loan.position.status != Status::Active => Amount::ZERO,
            Amortisation::Revolving => agreed.saturating_less(loan.position.outstanding()),
            _ => agreed - loan.principal - loan.position.totals.drawn,
        };
        for (party, amount) in self.undrawn.remove(&place).unwrap_or_default() {
            self.lend(loan.application, party, -amount, book);
        }
        if left.is_zero() {
            return;
        }
        let split = loan.split(agreement);
        let parts = allocate(left, &split.commitments);
        let parts: Vec<_> = split.holders.iter().zip(parts).collect();
        for &(party, amount) in &parts {
            self.lend(loan.application, party, amount, book);
        }
        self.undrawn.insert(place, parts);
    }

    /// An offer is taken, given back or lapses; only one that is taken still counts for its day.
    pub(super) fn end_offer(&mut self, application: u32, book: &Book) {
        let parts = self.offers.remove(&application).unwrap_or_default();
        let record = &book.application_in(application);
        let taken = matches!(record.state, ApplicationState::Disbursed(_));
        let of_today = record.decided_on == book.business_date();
        let agreement = &book.versions()[usize::from(record.version)].agreement;
        for (&lender, part) in agreement.lenders.iter().zip(&parts) {
            self.lend(application, lender, -part.amount, book);
            if of_today && !taken {
                self.today[lender.index()] -= part.amount;
            }
        }
    }

    /// Offers may have lapsed, and time may have ended what can be drawn.
    pub(super) fn day_ended(&mut self, book: &Book) {
        let state = |place: u32| book.application_in(place).state;
        let ended = |place: &u32| !matches!(state(*place), ApplicationState::Offered);
        let ended: Vec<_> = self.offers.keys().copied().filter(ended).collect();
        for application in ended {
            self.end_offer(application, book);
        }
        for loan in self.undrawn.keys().copied().collect::<Vec<_>>() {
            self.keep_undrawn(loan, book);
        }
    }

    /// What was counted here must be what the book counted.
    pub(super) fn day_closed(&mut self, day: Day, book: &Book, problems: &mut Problems) {
        self.today = Exposure::default();
        for party in PartyId::ALL {
            problems.require(self.lent[party.index()] == book.lent(party), LIMITS, || {
                format!(
                    "{day}: what party {} has lent and offered is not what was counted",
                    party.0
                )
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_domain::book::Event;

    use super::super::tests::{forged, found};
    use super::*;

    #[test]
    fn an_offer_above_a_limit_is_found() {
        let journal = forged(2, |events| {
            let Event::Decided(decided) = &mut events[1] else {
                panic!("an application")
            };
            let Verdict::Offered { parts, .. } = &mut decided.verdict else {
                panic!("an offer")
            };
            parts[1].amount = Amount(1_200_001);
        });
        assert_eq!(
            found(journal),
            "✗ limits kept               clause 7.1: application A-1 brings 12,000.01 CNY, above 12,000.00 CNY"
        );
    }
}
