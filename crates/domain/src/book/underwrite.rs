//! Referrals: an application that a lender's policy leaves to a person waits until the lender has
//! decided, or until its days are over.
//!
//! What a lender's person decides takes the place of what its policy said; gate and funding then run
//! as for a fresh application, with what the other lenders decided when it came in.

use std::collections::BTreeMap;

use super::apply::take_first;
use super::command::{Refusal, Underwriting};
use super::event::{Decided, Event, Verdict};
use super::hashes::{Hashes, digest};
use super::snapshot::{cbor, put_cbor};
use super::{ApplicationState, Book, Offer};
use crate::calendar::Day;
use crate::money::{Money, Rate};
use crate::packed::{Damaged, Reader, put};
use crate::policy::Outcome;

/// Applications that wait for people, and what people decided.
#[derive(Clone, Debug, Default)]
pub(super) struct Referrals {
    /// Those that wait, by place, as they stand.
    open: BTreeMap<u32, Decided>,
    /// The same by the last day on which they can be decided.
    by_day: BTreeMap<Day, Vec<u32>>,
    /// Digests of what people decided, by application and place of the lender, to recognise a retry.
    done: BTreeMap<(u32, u8), u64>,
}

impl Referrals {
    /// Lets an application wait. One that was referred before referrals had a last day does not.
    pub(super) fn open(&mut self, place: u32, decided: &Decided) {
        let Verdict::Referred(_, Some(valid_to)) = decided.verdict else {
            return;
        };
        if self.open.insert(place, decided.clone()).is_none() {
            self.by_day.entry(valid_to).or_default().push(place);
        }
    }

    /// Those that nobody decided up to the end of a day; they wait no longer.
    pub(super) fn lapse(&mut self, day: Day) -> Vec<u32> {
        let over = std::iter::from_fn(|| take_first(&mut self.by_day, day)).flatten();
        over.filter(|place| self.open.remove(place).is_some())
            .collect()
    }

    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        put(out, self.open.len() as i64);
        for (&place, decided) in &self.open {
            put(out, place.into());
            put_cbor(out, decided);
        }
        put(out, self.done.len() as i64);
        for (&(place, lender), &body) in &self.done {
            put(out, place.into());
            put(out, lender.into());
            put(out, body as i64);
        }
    }

    pub(super) fn unpack(from: &mut Reader<'_>) -> Result<Referrals, Damaged> {
        let mut referrals = Referrals::default();
        for _ in 0..from.small::<usize>()? {
            let place = from.small()?;
            referrals.open(place, &cbor(from)?);
        }
        for _ in 0..from.small::<usize>()? {
            let decision = (from.small()?, from.small()?);
            referrals.done.insert(decision, from.number()? as u64);
        }
        Ok(referrals)
    }
}

impl Book {
    /// An application that waits for people, by its place: what was decided of it so far.
    pub fn referral(&self, application: u32) -> Option<&Decided> {
        self.referrals.open.get(&application)
    }

    /// All applications that wait for people, oldest first.
    pub fn referrals(&self) -> impl Iterator<Item = (u32, &Decided)> {
        let open = self.referrals.open.iter();
        open.map(|(&place, decided)| (place, decided))
    }

    pub(super) fn decide_underwriting(
        &self,
        underwriting: Underwriting,
        hashes: Hashes,
    ) -> Result<Option<Event>, Refusal> {
        let Underwriting {
            application,
            lender,
            outcome,
        } = underwriting;
        let place = self.place_hashed(&application, hashes.key)?;
        let row = self.applications.rows[place as usize];
        let version = &self.versions[usize::from(row.version)];
        let agreement = &version.agreement;
        let party = agreement.party_id(&lender);
        let at = agreement.lenders.iter().position(|&id| Some(id) == party);
        let Some(at) = at else {
            return Err(Refusal::BadParty {
                party: lender,
                what: "decide on a referral: it is no lender of the agreement",
            });
        };
        if let Some(&known) = self.referrals.done.get(&(place, at as u8)) {
            return match known == digest(&outcome) {
                true => Ok(None),
                false => Err(Refusal::AlreadyUnderwritten {
                    application,
                    lender,
                }),
            };
        }
        let Some(referral) = self.referral(place) else {
            return Err(match row.state() {
                ApplicationState::Referred => Refusal::NotPossible {
                    action: "a decision",
                    reason: "the application was referred when referrals could not be decided; send it anew",
                },
                state => Refusal::NoReferral {
                    application,
                    state: state.name(),
                },
            });
        };
        if !matches!(referral.decisions[at].outcome, Outcome::Refer(_)) {
            return Err(Refusal::NotReferredBy {
                application,
                lender,
            });
        }
        self.check_underwritten(referral, at, &outcome)?;
        let approves = matches!(outcome, Outcome::Approve { .. });
        let mut decided = referral.clone();
        decided.decisions[at].outcome = outcome;
        let mut request = self.request(&decided, hashes)?;
        request.region_place = Some(row.region);
        let judged = self.judge(version, &decided, &request);
        decided.barred = judged.barred;
        let verdict = match judged.against {
            None => judged.verdict,
            Some(clause) if approves => return Err(Refusal::BarredNow(clause)),
            // The others may not make their offer; a decline stands all the same.
            Some(_) => self.unfunded(version, &decided),
        };
        decided.verdict = match (verdict, &referral.verdict) {
            (Verdict::Referred(left, _), Verdict::Referred(_, valid_to)) => {
                Verdict::Referred(left, *valid_to)
            }
            (verdict, _) => verdict,
        };
        Ok(Some(Event::Underwritten {
            application: place,
            lender: at as u8,
            decided,
        }))
    }

    /// Refuses what a lender's person cannot decide: a reason that its policy does not have, or
    /// other terms than its policy has for an application like this.
    fn check_underwritten(
        &self,
        referral: &Decided,
        lender: usize,
        outcome: &Outcome,
    ) -> Result<(), Refusal> {
        let version = &self.versions[usize::from(referral.version)];
        let policy = &version.policies[lender];
        let beyond = |field, what: String| Err(Refusal::BeyondPolicy { field, what });
        let decision = crate::policy::Decision {
            score: None,
            outcome: outcome.clone(),
        };
        if !decision.is_usable(policy.reasons.len()) {
            let (field, what) = match outcome {
                Outcome::Approve { rate, .. } if !(Rate::ZERO..=Rate::ONE).contains(rate) => {
                    ("rate", "a rate lies between 0% and 100%")
                }
                Outcome::Approve { .. } => ("maximum", "an amount lies above zero"),
                Outcome::Decline(_) | Outcome::Refer(_) => (
                    "reasons",
                    "give reasons that the policy has, each of them once",
                ),
            };
            return beyond(field, what.to_owned());
        }
        let (maximum, rate) = match outcome {
            Outcome::Approve { maximum, rate } => (*maximum, *rate),
            Outcome::Decline(reasons) if !reasons.is_empty() => return Ok(()),
            Outcome::Decline(_) | Outcome::Refer(_) => {
                return beyond(
                    "outcome",
                    "approve, or decline with one reason at least".to_owned(),
                );
            }
        };
        let Some((most, least)) = policy.authority(&referral.values) else {
            return beyond(
                "outcome",
                "the policy would not lend on this application if it referred none; decline it"
                    .to_owned(),
            );
        };
        if maximum > most {
            let currency = version.agreement.currency();
            let money = |amount| Money { amount, currency };
            let (maximum, most) = (money(maximum), money(most));
            return beyond(
                "maximum",
                format!("{maximum} is more than the policy's {most}; approve at most that"),
            );
        }
        if rate < least {
            return beyond(
                "rate",
                format!("a rate of {rate} is below the policy's {least}; approve at that or more"),
            );
        }
        Ok(())
    }

    pub(super) fn apply_underwritten(&mut self, place: u32, lender: u8, decided: &Decided) {
        let body = (decided.decisions.get(usize::from(lender)))
            .map_or(0, |decision| digest(&decision.outcome));
        self.referrals.done.insert((place, lender), body);
        self.applications.mix(&(place, lender, body));
        let state = self.stand(place, decided);
        if state != ApplicationState::Referred {
            self.referrals.open.remove(&place);
            let today = self.business_date;
            self.applications.decide_again(place, state, today);
        }
        self.reserve_offer(place, decided);
    }

    /// An application that waited is taken back.
    pub(super) fn withdraw_referral(&mut self, place: u32) {
        if self.referrals.open.remove(&place).is_some() {
            (self.applications).set_state(place, ApplicationState::Withdrawn);
        }
    }

    /// True if an application waits for a person with these contents: those of a snapshot or a journal
    /// that were not made up.
    pub fn waits(&self, place: u32, decided: &Decided) -> bool {
        let Some(row) = self.applications.rows.get(place as usize) else {
            return false;
        };
        let version = self.versions.get(usize::from(decided.version));
        let fits = version.is_some_and(|version| {
            let (fields, lenders) = (version.agreement.scope.fields.len(), version.policies.len());
            (decided.values.len(), decided.decisions.len()) == (fields, lenders)
                && decided.fits(lenders)
        });
        fits && row.state() == ApplicationState::Referred
            && (row.version, row.body) == (decided.version, decided.body)
    }

    /// Keeps the offer that was made on an application, or lets it wait for people; its state.
    pub(super) fn stand(&mut self, place: u32, decided: &Decided) -> ApplicationState {
        match &decided.verdict {
            Verdict::Declined(reason) => ApplicationState::Declined(*reason),
            Verdict::Referred(..) => {
                self.referrals.open(place, decided);
                ApplicationState::Referred
            }
            Verdict::Offered {
                parts,
                rate,
                valid_to,
            } => {
                let months = decided.values[1].number().unwrap_or_default() as u16;
                self.open_offers.entry(*valid_to).or_default().push(place);
                let offer = Offer {
                    parts: parts.clone(),
                    rate: *rate,
                    months,
                    valid_to: *valid_to,
                };
                self.applications.offers.insert(place, offer);
                ApplicationState::Offered
            }
        }
    }
}
