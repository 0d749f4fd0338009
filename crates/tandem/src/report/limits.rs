//! How much of each limit was in use at its peak: the limits of the agreement and those of its
//! rulebook that cap what a lender lends.
//!
//! Use only grows when an offer is made, so it is measured then.

use std::collections::BTreeMap;

use tandem_domain::agreement::{Agreement, LimitScope};
use tandem_domain::book::{Barred, Book, Clause, Decided, DeclineReason, Event, Verdict, Version};
use tandem_domain::calendar::Day;
use tandem_domain::field::Value;
use tandem_domain::funding::LenderParts;
use tandem_domain::ledger::{Account, EntryKind};
use tandem_domain::money::{Amount, Rounding};
use tandem_domain::party::{PartyId, PartyKind};
use tandem_domain::rulebook::Check;
use tandem_engine::Step;

use super::collect::{ByParty, Decisions};

/// Watches what is lent and offered in each scope that a limit can have.
#[derive(Default)]
pub(super) struct Limits {
    /// Offers that stand open, by application: version, parts and last day.
    open: BTreeMap<u32, (u16, LenderParts, Day)>,
    regions: Vec<ByParty<Amount>>,
    borrowers: Vec<ByParty<Amount>>,
    /// Offered on the business date.
    today: ByParty<Amount>,
    /// The highest use so far.
    pub(super) peaks: BTreeMap<Key, Peak>,
    /// How often a clause kept a lender or an application out, and when first.
    pub(super) refusals: BTreeMap<Key, (u32, Day)>,
}

/// Version and clause; with a lender if it is a rule, which binds each lender by itself.
pub(super) type Key = (u16, Clause, Option<PartyId>);

/// The highest use of a limit.
#[derive(Clone, Debug)]
pub(super) struct Peak {
    pub(super) used: Amount,
    pub(super) cap: Amount,
    pub(super) day: Day,
    /// The region, if the limit is for each region.
    pub(super) region: Option<String>,
}

impl Limits {
    /// Takes one event; `decisions` are those before it.
    pub(super) fn observe(&mut self, step: &Step<'_>, decisions: &Decisions) {
        match step.event {
            Event::Decided(decided) => {
                let last = step.book.application_count() as u32 - 1;
                self.refused(decided, &[], step.book);
                self.offered(last, decided, step.book);
            }
            Event::Underwritten {
                application,
                decided,
                ..
            } => {
                let before = decisions.before(*application);
                let known = before.map_or(&[][..], |before| &before.barred);
                self.refused(decided, known, step.book);
                self.offered(*application, decided, step.book);
            }
            Event::Disbursed { application } => {
                self.open.remove(application);
            }
            Event::Withdrawn { application } => self.end_offer(*application, step.book),
            Event::DayEnded { day } => {
                let lapsed = self.open.iter().filter(|(_, offer)| offer.2 <= *day);
                let lapsed: Vec<u32> = lapsed.map(|(&application, _)| application).collect();
                for application in lapsed {
                    self.end_offer(application, step.book);
                }
            }
            Event::DayClosed(_) => self.today = Default::default(),
            _ => {}
        }
        for entry in step.entries {
            // A disbursement turns an offer into a loan of the same amount.
            let Some(loan) = entry.loan.filter(|_| entry.kind != EntryKind::Disbursement) else {
                continue;
            };
            let application = step.book.loan_in(loan).application;
            for posting in &entry.postings {
                if posting.account == Account::Loans {
                    self.add(application, posting.party, posting.amount, step.book);
                }
            }
        }
    }

    fn add(&mut self, application: u32, party: PartyId, amount: Amount, book: &Book) {
        let record = &book.application_in(application);
        for (sums, place) in [
            (&mut self.regions, Some(record.region)),
            (&mut self.borrowers, record.borrower),
        ] {
            let Some(place) = place.map(|place| place as usize) else {
                continue;
            };
            if sums.len() <= place {
                sums.resize(place + 1, Default::default());
            }
            sums[place][party.index()] += amount;
        }
    }

    /// An offer was given back or not taken in time.
    fn end_offer(&mut self, application: u32, book: &Book) {
        let Some(offer) = self.open.remove(&application) else {
            return;
        };
        self.lend(application, &offer, -1, book);
        if book.application_in(application).decided_on == book.business_date() {
            let lenders = &book.versions()[usize::from(offer.0)].agreement.lenders;
            for (lender, part) in lenders.iter().zip(&offer.1) {
                self.today[lender.index()] -= part.amount;
            }
        }
    }

    fn lend(&mut self, application: u32, offer: &(u16, LenderParts, Day), sign: i64, book: &Book) {
        let lenders = &book.versions()[usize::from(offer.0)].agreement.lenders;
        for (&lender, part) in lenders.iter().zip(&offer.1) {
            self.add(application, lender, Amount(part.amount.0 * sign), book);
        }
    }

    /// Counts what keeps lenders and an application out, but for what was known before.
    fn refused(&mut self, decided: &Decided, known: &[Barred], book: &Book) {
        let lenders = &book.versions()[usize::from(decided.version)]
            .agreement
            .lenders;
        let new = (decided.barred.iter()).filter(|barred| !known.contains(barred));
        let barred = new.map(|barred| {
            let lender = matches!(barred.clause, Clause::Rule(_))
                .then(|| lenders[usize::from(barred.lender)]);
            (decided.version, barred.clause, lender)
        });
        let declined = match decided.verdict {
            Verdict::Declined(DeclineReason::Clause(clause)) => {
                Some((decided.version, clause, None))
            }
            _ => None,
        };
        for key in barred.chain(declined) {
            let first = (0, book.business_date());
            self.refusals.entry(key).or_insert(first).0 += 1;
        }
    }

    fn offered(&mut self, application: u32, decided: &Decided, book: &Book) {
        let Verdict::Offered {
            parts, valid_to, ..
        } = &decided.verdict
        else {
            return;
        };
        let offer = (decided.version, parts.clone(), *valid_to);
        self.lend(application, &offer, 1, book);
        self.open.insert(application, offer);
        let version = &book.versions()[usize::from(decided.version)];
        for (lender, part) in version.agreement.lenders.iter().zip(parts) {
            self.today[lender.index()] += part.amount;
        }
        self.measure_limits(decided, version, application, book);
        self.measure_rules(decided.version, version, book);
    }

    fn measure_limits(
        &mut self,
        decided: &Decided,
        version: &Version,
        application: u32,
        book: &Book,
    ) {
        let agreement = &version.agreement;
        let record = &book.application_in(application);
        let region = match &decided.values[2] {
            Value::Text(region) => region,
            _ => "",
        };
        let mut offered = ByParty::default();
        if let Verdict::Offered { parts, .. } = &decided.verdict {
            for (lender, part) in agreement.lenders.iter().zip(parts) {
                offered[lender.index()] = part.amount;
            }
        }
        let lent = book_sums(book, agreement);
        for (place, limit) in agreement.file.limit.iter().enumerate() {
            if limit.region.as_deref().is_some_and(|only| only != region) {
                continue;
            }
            let sums = match limit.per {
                LimitScope::Day => &self.today,
                LimitScope::Region => &self.regions[record.region as usize],
                LimitScope::Borrower => match record.borrower {
                    Some(borrower) => &self.borrowers[borrower as usize],
                    // An application without a borrower's key stands by itself.
                    None => &offered,
                },
                LimitScope::Total | LimitScope::Partner => &lent,
            };
            let subject = limit.subject(region, decided.borrower.as_deref());
            let used = match agreement.limit_lenders[place] {
                Some(lender) => sums[agreement.lenders[lender].index()],
                None => agreement
                    .lenders
                    .iter()
                    .map(|lender| sums[lender.index()])
                    .sum(),
            };
            let peak = Peak {
                used,
                cap: book.most(limit, subject),
                day: book.business_date(),
                region: (limit.per == LimitScope::Region).then(|| region.to_owned()),
            };
            self.raise((decided.version, Clause::Limit(place as u8), None), peak);
        }
    }

    fn measure_rules(&mut self, place: u16, version: &Version, book: &Book) {
        let Some(rulebook) = &version.rulebook else {
            return;
        };
        for (rule_place, rule) in rulebook.in_force(book.business_date()) {
            for &lender in &version.agreement.lenders {
                let party = version.agreement.party(lender);
                if !matches!(party.kind, PartyKind::RegionalBank | PartyKind::Bank) {
                    continue;
                }
                let (whole, rate, used) = match rule.check {
                    Check::PartnerConcentration { of_tier1_capital } => {
                        (party.tier1_capital, of_tier1_capital, book.lent(lender))
                    }
                    Check::JointLendingCap { of_total_loans } => {
                        let used = book.lent(lender) + party.elsewhere();
                        (party.total_loans, of_total_loans, used)
                    }
                    _ => continue,
                };
                let Some(whole) = whole else { continue };
                let peak = Peak {
                    used,
                    cap: whole.amount.at(rate, Rounding::Down),
                    day: book.business_date(),
                    region: None,
                };
                self.raise((place, Clause::Rule(rule_place as u8), Some(lender)), peak);
            }
        }
    }

    fn raise(&mut self, key: Key, peak: Peak) {
        let highest = self.peaks.entry(key).or_insert_with(|| peak.clone());
        if peak.used > highest.used {
            *highest = peak;
        }
    }
}

/// What each lender has lent and offered in all.
fn book_sums(book: &Book, agreement: &Agreement) -> ByParty<Amount> {
    let mut sums = ByParty::default();
    for &lender in &agreement.lenders {
        sums[lender.index()] = book.lent(lender);
    }
    sums
}

#[cfg(test)]
mod tests {
    use tandem_engine::replay;

    use super::*;
    use crate::export::sample;

    #[test]
    fn what_kept_a_lender_out_before_a_person_decided_counts_once() {
        let (mut once, mut twice) = (Limits::default(), Limits::default());
        let mut engine = sample::engine();
        replay(engine.journal(), &mut |step| {
            if let Event::Decided(decided) = step.event {
                once.refused(decided, &[], step.book);
                twice.refused(decided, &[], step.book);
                twice.refused(decided, &decided.barred, step.book);
            }
        })
        .unwrap();
        assert!(!once.refusals.is_empty());
        assert_eq!(twice.refusals, once.refusals);
    }
}
