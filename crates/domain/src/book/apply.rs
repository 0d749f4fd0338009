//! Applying events: the only place where the state changes. It cannot fail.

use super::decide::insert;
use super::event::{Decided, Event, Verdict};
use super::{
    ApplicationRecord, ApplicationState, Book, Carried, Documents, Exposure, Loan, Offer, Version,
};
use crate::calendar::Day;
use crate::field::Value;
use crate::funding::Part;
use crate::ledger::{Account, Entry, EntryKind, Obligations};
use crate::loan::{Action, Fixing, Position, Split, Status, Timeline, Transaction, evaluate};
use crate::money::Amount;
use crate::party::MAX_PARTIES;
use crate::settlement::Plan;
use crate::share::MAX_SHARES;

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
            Event::Instructed {
                key,
                body,
                loan,
                transaction,
                ..
            } => {
                self.carried(key, *body, *loan, transaction.number);
                self.apply_transaction(*loan, *transaction, entries);
            }
            Event::Reversed {
                key,
                body,
                loan,
                number,
                ..
            } => {
                self.carried(key, *body, *loan, 0);
                let position = self.without(&self.loans[*loan as usize], *number);
                let history = &mut self.loans[*loan as usize].history;
                history.retain(|known| known.number != *number);
                let day = self.business_date.previous();
                self.move_to(*loan, position, EntryKind::Reversal, day, entries);
            }
            Event::Fixed { index, day, rate } => {
                let fixing = Fixing {
                    day: *day,
                    rate: *rate,
                };
                self.apply_fixed(index, fixing, entries);
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
            let amounts = self.lender_amounts(decided.version, parts);
            self.reserve(region, borrower, amounts, 1);
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

    /// Reserves (or with `sign` −1 releases) what parties are to pay out.
    pub(super) fn reserve(
        &mut self,
        region: u32,
        borrower: Option<u32>,
        amounts: impl Iterator<Item = (usize, Amount)>,
        sign: i64,
    ) {
        for (party, part) in amounts {
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
            let amounts = self.lender_amounts(version, &offer.parts);
            self.reserve(region, borrower, amounts, -1);
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
        let (version, region, borrower) = (record.version, record.region, record.borrower);
        let timeline = self.share_timeline(version, offer.months);
        let version_of = &self.versions[usize::from(version)];
        let agreement = &version_of.agreement;
        let committed: Amount = offer.parts.iter().map(|part| part.amount).sum();
        let product = &agreement.file.product;
        let principal = committed.at(product.first_draw, product.rounding);
        let steps = &self.timelines[timeline as usize];
        let position = Position::disburse(&self.terms_on(version_of, steps, principal, offer.rate));
        let loan = Loan {
            application,
            version,
            months: offer.months,
            disbursed_on: self.business_date,
            principal,
            rate: offer.rate,
            instalment: position.contract.instalment,
            position,
            parts: offer.parts.into_boxed_slice(),
            history: Vec::new(),
            class: 0,
            own_class: 0,
            non_accrual: false,
            earned: Amount::ZERO,
            timeline,
            entered: 0,
            agenda: None,
            digest: 0,
        };
        let split = loan.split(agreement);
        let undrawn = loan.undrawn(&loan.position, agreement);
        self.pool.disbursed += loan.principal;
        self.post_disbursement(place, &loan, &split, entries);
        self.expose(region, borrower, &Split::default(), &split);
        self.reserve_undrawn(application, &split, undrawn, 1);
        if let Some(borrower) = borrower {
            self.borrowers[borrower as usize].loans.push(place);
        }
        self.loans.push(loan);
        self.enrol(place, self.business_date.previous(), &split);
    }

    /// The place of the steps of loans that are disbursed today.
    fn share_timeline(&mut self, version: u16, months: u16) -> u32 {
        let key = (version, self.business_date, months);
        if let Some(&place) = self.timeline_places.get(&key) {
            return place;
        }
        let of = &self.versions[usize::from(version)];
        let product = &of.agreement.file.product;
        let timeline = Timeline::of(product, self.business_date, months, &of.calendar);
        let place = self.timelines.len() as u32;
        self.timelines.push(timeline);
        self.timeline_places.insert(key, place);
        place
    }

    /// A transaction of today may have carried a loan past the setting of its rate.
    fn apply_fixed(&mut self, index: &str, fixing: Fixing, entries: &mut impl FnMut(&Entry)) {
        self.fixings
            .entry(index.to_owned())
            .or_default()
            .push(fixing);
        let (today, yesterday) = (self.business_date, self.business_date.previous());
        if fixing.day > today {
            return;
        }
        let follows = |version: &Version| {
            let floating = &version.agreement.file.product.floating;
            floating
                .as_ref()
                .is_some_and(|floating| floating.index == index)
        };
        for place in 0..self.loans.len() {
            let loan = &self.loans[place];
            let moved = loan.history.last().is_some_and(|last| last.day >= today);
            if moved && follows(&self.versions[usize::from(loan.version)]) {
                let position = evaluate(&self.terms(loan), &loan.history, yesterday);
                let kind = EntryKind::Modification;
                self.move_to(place as u32, position, kind, yesterday, entries);
            }
        }
    }

    fn carried(&mut self, key: &str, body: u64, loan: u32, number: u32) {
        let carried = Carried { body, loan, number };
        self.instructions.insert(key.into(), carried);
    }

    fn apply_transaction(
        &mut self,
        place: u32,
        transaction: Transaction,
        entries: &mut impl FnMut(&Entry),
    ) {
        let position = self.after(&self.loans[place as usize], transaction);
        let loan = &mut self.loans[place as usize];
        let is_charge_off = |known: &Transaction| {
            matches!(known.action, Action::ChargeOff { .. }) && known.day <= transaction.day
        };
        let recovered =
            position.status == Status::ChargedOff && loan.history.iter().any(is_charge_off);
        let kind = match transaction.action {
            Action::ChargeOff { .. } | Action::WriteOff(_) => EntryKind::ChargeOff,
            Action::Chargeback(_) => EntryKind::Chargeback,
            Action::Credit(_) => EntryKind::Credit,
            Action::Draw(_) => EntryKind::Disbursement,
            Action::Refund(_) => EntryKind::Refund,
            Action::Transfer(_) => EntryKind::Transfer,
            Action::Repay(_) | Action::Prepay(..) | Action::Settle(_) if recovered => {
                EntryKind::Recovery
            }
            Action::Repay(_) | Action::Prepay(..) | Action::Settle(_) => EntryKind::Repayment,
            _ => EntryKind::Modification,
        };
        loan.entered = transaction.number;
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
                position.advance(&self.terms(loan), day);
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
