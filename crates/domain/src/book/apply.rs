//! Applying events: the only place where the state changes. It cannot fail.

use super::decide::insert;
use super::event::{Decided, Event, Verdict};
use super::portfolio::{Contribution, LenderPart};
use super::{
    ApplicationRecord, ApplicationState, Book, Documents, Exposure, Loan, Offer, Version, amounts,
    weights,
};
use crate::agreement::Agreement;
use crate::calendar::Day;
use crate::field::Value;
use crate::funding::Part;
use crate::ledger::{Account, Entry, EntryKind, Obligations};
use crate::loan::{Action, Position, Status, Terms, Totals, Transaction};
use crate::money::Amount;
use crate::party::MAX_PARTIES;
use crate::settlement::Plan;
use crate::share::{MAX_SHARES, allocate};

impl Book {
    /// Applies an event and hands out the ledger entries that it makes.
    pub fn apply(&mut self, event: &Event, entries: &mut impl FnMut(&Entry)) {
        match event {
            Event::Signed { day, documents } => self.apply_signed(*day, documents),
            Event::Decided(decided) => self.apply_decided(decided),
            Event::Withdrawn { application } => {
                self.close_offer(*application, ApplicationState::Withdrawn);
            }
            Event::Disbursed { application } => self.apply_disbursed(*application, entries),
            Event::Paid {
                key,
                body,
                loan,
                transaction,
                ..
            } => {
                self.payments.insert(key.as_str().into(), *body);
                self.apply_transaction(*loan, *transaction, entries);
            }
            Event::ChargedOff {
                loan, transaction, ..
            } => {
                if self.to_charge_off.front() == Some(loan) {
                    self.to_charge_off.pop_front();
                }
                self.apply_transaction(*loan, *transaction, entries);
            }
            Event::DayEnded { day } => self.apply_day_ended(*day, entries),
            Event::Planned(plan) => {
                self.ledgers.window = Obligations::default();
                self.plans.push(plan.clone());
            }
            Event::Settled { window, .. } => self.apply_settled(*window, entries),
            Event::Adjusted {
                interest,
                allowance,
            } => self.apply_adjusted(interest, allowance, entries),
            Event::DayClosed(close) => {
                self.business_date = close.day + 1;
                self.closing = false;
                self.today = [Amount::ZERO; MAX_PARTIES];
                self.last_close = Some(close.clone());
            }
        }
    }

    fn apply_signed(&mut self, day: Day, documents: &Documents) {
        let version = Version::parse(documents.clone())
            .expect("a signed agreement was valid when it was signed");
        if self.versions.is_empty() {
            self.business_date = day;
        }
        self.versions.push(version);
    }

    fn apply_decided(&mut self, decided: &Decided) {
        let place = self.applications.len() as u32;
        let key: Box<str> = decided.key.as_str().into();
        let borrower = decided
            .borrower
            .as_deref()
            .map(|key| intern(&mut self.borrower_places, &mut self.borrowers, key));
        let region = match &decided.values[2] {
            Value::Text(region) => region,
            _ => "",
        };
        let region = intern(&mut self.region_places, &mut self.regions, region);
        let state = match &decided.verdict {
            Verdict::Declined(reason) => ApplicationState::Declined(*reason),
            Verdict::Referred(_) => ApplicationState::Referred,
            Verdict::Offered {
                parts,
                rate,
                valid_to,
            } => {
                let months = decided.values[1].number().unwrap_or_default() as u16;
                self.open_offers.entry(*valid_to).or_default().push(place);
                ApplicationState::Offered(Box::new(Offer {
                    parts: parts.clone(),
                    rate: *rate,
                    months,
                    valid_to: *valid_to,
                }))
            }
        };
        if let Verdict::Offered { parts, .. } = &decided.verdict {
            self.reserve(decided.version, region, borrower, parts, 1);
            for (party, part) in self.lender_amounts(decided.version, parts) {
                self.today[party] += part;
            }
        }
        self.application_places.insert(key.clone(), place);
        let record = ApplicationRecord {
            key,
            body: decided.body,
            version: decided.version,
            borrower,
            region,
            decided_on: self.business_date,
            state,
        };
        self.applications_digest = self
            .applications_digest
            .wrapping_add(record.digest_now(place));
        self.applications.push(record);
    }

    /// Reserves (or with `sign` −1 releases) the parts of an offer.
    fn reserve(
        &mut self,
        version: u16,
        region: u32,
        borrower: Option<u32>,
        parts: &[Part],
        sign: i64,
    ) {
        for (party, part) in self.lender_amounts(version, parts) {
            let amount = Amount(part.0 * sign);
            self.reserved[party] += amount;
            for exposure in self.exposures(region, borrower) {
                exposure.reserved[party] += amount;
            }
        }
    }

    /// Place in the ledgers and principal of each lender that takes part.
    fn lender_amounts(
        &self,
        version: u16,
        parts: &[Part],
    ) -> impl Iterator<Item = (usize, Amount)> + use<> {
        let lenders = &self.versions[usize::from(version)].agreement.lenders;
        let mut pairs = [(0, Amount::ZERO); MAX_SHARES];
        for (pair, (lender, part)) in pairs.iter_mut().zip(lenders.iter().zip(parts)) {
            *pair = (lender.index(), part.amount);
        }
        pairs.into_iter().filter(|(_, amount)| !amount.is_zero())
    }

    /// Ends an open offer; its reservation is released.
    fn close_offer(&mut self, application: u32, state: ApplicationState) -> Option<Box<Offer>> {
        let taken = matches!(state, ApplicationState::Disbursed(_));
        let record = &mut self.applications[application as usize];
        let (version, region, borrower) = (record.version, record.region, record.borrower);
        let of_today = record.decided_on == self.business_date;
        self.applications_digest = self
            .applications_digest
            .wrapping_sub(record.digest_now(application));
        let before = std::mem::replace(&mut record.state, state);
        let offer = match before {
            ApplicationState::Offered(offer) => Some(offer),
            other => {
                record.state = other;
                None
            }
        };
        self.applications_digest = self
            .applications_digest
            .wrapping_add(record.digest_now(application));
        if let Some(offer) = &offer {
            self.reserve(version, region, borrower, &offer.parts, -1);
            if of_today && !taken {
                for (party, part) in self.lender_amounts(version, &offer.parts) {
                    self.today[party] -= part;
                }
            }
        }
        offer
    }

    fn apply_disbursed(&mut self, application: u32, entries: &mut impl FnMut(&Entry)) {
        let place = self.loans.len() as u32;
        let Some(offer) = self.close_offer(application, ApplicationState::Disbursed(place)) else {
            return;
        };
        let record = &self.applications[application as usize];
        let agreement = &self.versions[usize::from(record.version)].agreement;
        let principal = offer.parts.iter().map(|part| part.amount).sum();
        let terms = Terms::under(
            agreement,
            principal,
            offer.rate,
            offer.months,
            self.business_date,
        );
        let loan = Loan {
            application,
            version: record.version,
            months: offer.months,
            disbursed_on: self.business_date,
            principal,
            rate: offer.rate,
            position: Position::disburse(&terms),
            parts: offer.parts.into_boxed_slice(),
            history: Vec::new(),
            class: 0,
            agenda: None,
            digest: 0,
        };
        let (region, borrower) = (record.region, record.borrower);
        for (party, part) in self.lender_amounts(loan.version, &loan.parts) {
            for exposure in self.exposures(region, borrower) {
                exposure.outstanding[party] += part;
            }
        }
        self.pool.disbursed += loan.principal;
        self.post_disbursement(place, &loan, entries);
        self.loans.push(loan);
        self.enrol(place, self.business_date.previous());
    }

    fn apply_transaction(
        &mut self,
        place: u32,
        transaction: Transaction,
        entries: &mut impl FnMut(&Entry),
    ) {
        let position = self.after(place, transaction);
        let loan = &mut self.loans[place as usize];
        let kind = match transaction.action {
            Action::ChargeOff { .. } => EntryKind::ChargeOff,
            _ if position.totals.recovered > loan.position.totals.recovered => EntryKind::Recovery,
            _ => EntryKind::Repayment,
        };
        insert(&mut loan.history, transaction);
        self.move_to(
            place,
            position,
            kind,
            self.business_date.previous(),
            entries,
        );
    }

    fn apply_day_ended(&mut self, day: Day, entries: &mut impl FnMut(&Entry)) {
        self.closing = true;
        for (_, places) in split_up_to(&mut self.agenda, day) {
            for place in places {
                let loan = &self.loans[place as usize];
                if loan.agenda.is_none_or(|next| next > day) {
                    continue;
                }
                let agreement = &self.versions[usize::from(loan.version)].agreement;
                let mut position = loan.position.clone();
                position.advance(&loan.terms(agreement), day);
                let past_due = position.days_past_due(day);
                if past_due >= i32::from(agreement.file.charge_off.days_past_due) {
                    self.to_charge_off.push_back(place);
                }
                self.move_to(place, position, EntryKind::AdvanceApplied, day, entries);
            }
        }
        for (_, applications) in split_up_to(&mut self.open_offers, day) {
            for application in applications {
                if matches!(
                    self.applications[application as usize].state,
                    ApplicationState::Offered(_)
                ) {
                    self.close_offer(application, ApplicationState::Lapsed);
                }
            }
        }
    }

    /// Gives a loan a new position and brings everything that depends on it up to date: postings,
    /// exposures, sums, agenda and digest.
    fn move_to(
        &mut self,
        place: u32,
        position: Position,
        kind: EntryKind,
        looked_at: Day,
        entries: &mut impl FnMut(&Entry),
    ) {
        self.withdraw_from_sums(place);
        let loan = &mut self.loans[place as usize];
        let before = std::mem::replace(&mut loan.position, position).totals;
        if before != self.loans[place as usize].position.totals {
            self.post_change(place, &before, kind, entries);
            self.release_exposure(place, &before);
        }
        self.enrol(place, looked_at);
    }

    /// Principal that is repaid or written off no longer counts against limits.
    fn release_exposure(&mut self, place: u32, before: &Totals) {
        let loan = &self.loans[place as usize];
        let (weights, _) = weights(&loan.parts);
        let gone = |totals: &Totals| allocate(totals.principal + totals.charged_off, &weights);
        let (old, new) = (gone(before), gone(&loan.position.totals));
        let record = &self.applications[loan.application as usize];
        let (region, borrower) = (record.region, record.borrower);
        self.pool.used += loan.position.totals.compensated - before.compensated;
        let lenders = &self.versions[usize::from(loan.version)].agreement.lenders;
        let mut released = [Amount::ZERO; MAX_PARTIES];
        for (at, party) in lenders.iter().enumerate() {
            released[party.index()] = new[at] - old[at];
        }
        for exposure in self.exposures(region, borrower) {
            for (outstanding, released) in exposure.outstanding.iter_mut().zip(released) {
                *outstanding -= released;
            }
        }
    }

    /// The exposures that an application counts for: its region's, and its borrower's if it names
    /// one.
    fn exposures(
        &mut self,
        region: u32,
        borrower: Option<u32>,
    ) -> impl Iterator<Item = &mut Exposure> {
        let borrower = borrower.map(|place| &mut self.borrowers[place as usize]);
        std::iter::once(&mut self.regions[region as usize]).chain(borrower)
    }

    fn withdraw_from_sums(&mut self, place: u32) {
        let contribution = self.contribution(place);
        self.portfolio.add(&contribution, -1);
    }

    /// Puts a loan into its class, the sums, the agenda and the digest.
    fn enrol(&mut self, place: u32, looked_at: Day) {
        let loan = &self.loans[place as usize];
        let agreement = &self.versions[usize::from(loan.version)].agreement;
        let class = agreement.class_of(loan.position.days_past_due(self.business_date)) as u8;
        let agenda = next_look(loan, agreement, looked_at);
        let digest = loan.digest_now(place);
        if let Some(day) = agenda.filter(|_| agenda != loan.agenda) {
            self.agenda.entry(day).or_default().push(place);
        }
        self.loans_digest = self
            .loans_digest
            .wrapping_sub(loan.digest)
            .wrapping_add(digest);
        let loan = &mut self.loans[place as usize];
        (loan.class, loan.agenda, loan.digest) = (class, agenda, digest);
        let contribution = self.contribution(place);
        self.portfolio.add(&contribution, 1);
    }

    pub(super) fn contribution(&self, place: u32) -> Contribution {
        let loan = &self.loans[place as usize];
        let agreement = &self.versions[usize::from(loan.version)].agreement;
        let (principal_weights, interest_weights) = weights(&loan.parts);
        let totals = &loan.position.totals;
        let gone = allocate(totals.principal + totals.charged_off, &principal_weights);
        let interest_due = loan.position.interest_due();
        let (due, paid) = if interest_due.is_zero() {
            Default::default()
        } else {
            (
                allocate(totals.interest + interest_due, &interest_weights),
                allocate(totals.interest, &interest_weights),
            )
        };
        let funded = amounts(&loan.parts);
        let of = interest_weights.iter().sum();
        let parts = agreement
            .lenders
            .iter()
            .enumerate()
            .map(|(at, &party)| LenderPart {
                party,
                outstanding: funded[at] - gone[at],
                interest_due: due[at] - paid[at],
                weight: interest_weights[at],
                of,
            });
        Contribution::of(
            &loan.position,
            &loan.terms(agreement),
            usize::from(loan.class),
            parts,
        )
    }

    fn apply_settled(&mut self, window: Day, entries: &mut impl FnMut(&Entry)) {
        let Some(place) = self.plans.iter().position(|plan| plan.window == window) else {
            return;
        };
        let Plan {
            obligations,
            transfers,
            ..
        } = self.plans.remove(place);
        self.ledgers
            .begin(self.business_date, EntryKind::Settlement, None);
        for owed in obligations {
            self.ledgers
                .post(owed.from, Account::DueTo(owed.to), owed.amount);
            self.ledgers
                .post(owed.to, Account::DueFrom(owed.from), -owed.amount);
        }
        for transfer in transfers {
            self.ledgers
                .post(transfer.from, Account::Settlement, -transfer.amount);
            self.ledgers
                .post(transfer.to, Account::Settlement, transfer.amount);
        }
        self.ledgers.end().into_iter().for_each(entries);
    }

    fn apply_adjusted(
        &mut self,
        interest: &[Amount],
        allowance: &[Amount],
        entries: &mut impl FnMut(&Entry),
    ) {
        let parties = || (0..MAX_PARTIES as u8).map(crate::party::PartyId);
        self.ledgers
            .begin(self.business_date, EntryKind::Accrual, None);
        for (party, &amount) in parties().zip(interest) {
            self.ledgers
                .post(party, Account::InterestReceivable, amount);
            self.ledgers.post(party, Account::InterestIncome, -amount);
        }
        self.ledgers.end().into_iter().for_each(&mut *entries);
        self.ledgers
            .begin(self.business_date, EntryKind::Impairment, None);
        for (party, &amount) in parties().zip(allowance) {
            self.ledgers.post(party, Account::ImpairmentLoss, amount);
            self.ledgers.post(party, Account::LossAllowance, -amount);
        }
        self.ledgers.end().into_iter().for_each(entries);
    }
}

/// The next day after `looked_at` on which a day close must look at the loan: an instalment falls
/// due, a fee is charged, the class changes or the loan is to be written off.
fn next_look(loan: &Loan, agreement: &Agreement, looked_at: Day) -> Option<Day> {
    if loan.position.status != Status::Active {
        return None;
    }
    let step = loan.position.next_step(&loan.terms(agreement));
    let since = loan.position.behind_since();
    let changes = since.into_iter().flat_map(|since| {
        let classes = agreement
            .file
            .class
            .iter()
            .map(move |class| since + i32::from(class.from_days));
        classes.filter(move |&day| day > looked_at).chain([
            // A day that has passed is made up for at the next close.
            (since + i32::from(agreement.file.charge_off.days_past_due)).max(looked_at + 1),
        ])
    });
    step.into_iter().chain(changes).min()
}

fn intern(
    places: &mut rustc_hash::FxHashMap<Box<str>, u32>,
    exposures: &mut Vec<Exposure>,
    name: &str,
) -> u32 {
    if let Some(&place) = places.get(name) {
        return place;
    }
    let place = exposures.len() as u32;
    places.insert(name.into(), place);
    exposures.push(Exposure::default());
    place
}

/// Takes everything up to a day out of a map.
fn split_up_to<T>(
    map: &mut std::collections::BTreeMap<Day, T>,
    day: Day,
) -> std::collections::BTreeMap<Day, T> {
    let later = map.split_off(&(day + 1));
    std::mem::replace(map, later)
}
