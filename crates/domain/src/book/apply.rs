//! Applying events: the only place where the state changes. It cannot fail.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::applications::{NONE, Row};
use super::decide::Ready;
use super::event::{Decided, Event, Verdict};
use super::hashes::{Apart, Deferred, Hashes, digest, region};
use super::keys::KeyHash;
use super::loans::PackedTerms;
use super::{ApplicationState, Book, Documents, Exposure, Loan, Offer, Series, Spent, Version};
use crate::calendar::Day;
use crate::funding::Part;
use crate::ledger::{Account, Entry, EntryKind, Obligations};
use crate::loan::{
    Action, Fixing, History, Position, Split, Status, Timeline, Totals, Transaction, evaluate,
};
use crate::money::Amount;
use crate::party::MAX_PARTIES;
use crate::settlement::Plan;
use crate::share::MAX_SHARES;

/// Loans of a day's agenda whose bytes are fetched together.
const FETCHED: usize = 64;

impl Book {
    /// Applies an event and hands out the ledger entries that it makes. Of an event that changes a
    /// loan by a transaction: the change of its totals.
    pub fn apply(&mut self, event: &Event, entries: &mut impl FnMut(&Entry)) -> Option<Totals> {
        self.apply_hashed(event, event.hashes(), entries)
    }

    /// The same of an event whose [`Event::hashes`] are known.
    pub fn apply_hashed(
        &mut self,
        event: &Event,
        hashes: Hashes,
        entries: &mut impl FnMut(&Entry),
    ) -> Option<Totals> {
        self.apply_ready(event, hashes, None, entries)
    }

    /// Reads something of all that events which are applied next change, each with its
    /// [`Event::hashes`]: what is far away comes at the same time that way.
    pub fn fetch(&self, events: &[(Event, Hashes)]) {
        let changed = events.iter().filter_map(|(event, hashes)| match event {
            Event::Instructed { loan, .. }
            | Event::Reversed { loan, .. }
            | Event::ChargedOff { loan, .. } => Some((*loan, hashes.key)),
            _ => None,
        });
        self.loans.fetch(changed.clone().map(|(loan, _)| loan));
        if self.unindexed.is_none() {
            self.instructions.fetch(changed.map(|(_, key)| key));
        }
    }

    /// From now on leaves the digest of loans, and keys of what is done to them, to another thread, which
    /// takes in what [`Book::take_deferred`] gives. Neither is right in the book before it has them back
    /// ([`Book::join`]).
    pub fn set_apart(&mut self) -> Apart {
        self.unindexed = Some(Vec::new());
        Apart {
            keys: std::mem::take(&mut self.instructions),
            loans: self.loans.hash_later(),
        }
    }

    /// Takes out what is left to another thread, with what the book's digest takes if it is asked for;
    /// `room` is what was taken out before.
    pub fn take_deferred(&mut self, room: Deferred, with_digest: bool) -> Deferred {
        let Deferred {
            loans,
            mut keys,
            mut digest,
            ..
        } = room;
        keys.clear();
        if let Some(unindexed) = &mut self.unindexed {
            std::mem::swap(unindexed, &mut keys);
        }
        digest.clear();
        let mut before_loans = 0;
        if with_digest {
            self.digest_before_loans(&mut |bytes| digest.extend_from_slice(&bytes));
            before_loans = digest.len();
            self.digest_after_loans(&mut |bytes| digest.extend_from_slice(bytes));
        }
        Deferred {
            loans: self.loans.take_unhashed(loans),
            keys,
            digest,
            before_loans,
        }
    }

    /// Takes back what was set apart, once it has taken in all that was left to it.
    pub fn join(&mut self, Apart { keys, loans }: Apart) {
        self.instructions = keys;
        self.unindexed = None;
        self.loans.hash_at_once(loans);
    }

    pub(super) fn apply_ready(
        &mut self,
        event: &Event,
        hashes: Hashes,
        ready: Option<Ready>,
        entries: &mut impl FnMut(&Entry),
    ) -> Option<Totals> {
        match event {
            Event::Signed { day, documents } => self.apply_signed(*day, documents),
            Event::Decided(decided) => self.apply_decided(decided, hashes),
            Event::Withdrawn { application } => {
                self.close_offer(*application, ApplicationState::Withdrawn);
                self.withdraw_referral(*application);
            }
            Event::Disbursed { application } => self.apply_disbursed(*application, entries),
            Event::Instructed {
                loan, transaction, ..
            } => {
                let key = self.carry(hashes.key, *loan);
                return Some(self.apply_transaction(
                    *loan,
                    *transaction,
                    Some(key),
                    ready,
                    entries,
                ));
            }
            Event::Reversed {
                body, loan, number, ..
            } => {
                let spent = Spent {
                    key: self.carry(hashes.key, *loan),
                    body: *body,
                    number: 0,
                };
                return Some(self.apply_reversal(*loan, *number, spent, entries));
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
                return Some(self.apply_transaction(*loan, *transaction, None, None, entries));
            }
            Event::Archived { loans, .. } => self.apply_archived(loans),
            Event::SliceSent(sliced) => self.apply_slice(sliced, false),
            Event::SliceReceived(sliced) => self.apply_slice(sliced, true),
            Event::Underwritten {
                application,
                lender,
                decided,
            } => self.apply_underwritten(*application, *lender, decided),
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
        None
    }

    fn apply_signed(&mut self, day: Day, documents: &Documents) {
        let version = Version::parse(documents.clone())
            .expect("a signed agreement was valid when it was signed");
        if self.versions.is_empty() {
            self.business_date = day;
        }
        self.versions.push(version);
    }

    fn apply_decided(&mut self, decided: &Decided, hashes: Hashes) {
        let place = self.application_count() as u32;
        let borrower = decided.borrower.as_deref().map(|key| self.borrower(key));
        let region = self.region(region(&decided.values), hashes.other);
        let (state, detail) = self.stand(place, decided).packed();
        let last = borrower.map(|borrower| &mut self.borrowers[borrower as usize]);
        let row = Row {
            body: decided.body,
            borrower: borrower.unwrap_or(NONE),
            previous: last.map_or(NONE, |last| std::mem::replace(last, place)),
            region,
            decided_on: self.business_date,
            detail,
            version: decided.version,
            state,
        };
        self.applications.push(&decided.key, hashes.key, row);
        self.reserve_offer(place, decided);
    }

    /// Reserves what lenders offer on an application.
    pub(super) fn reserve_offer(&mut self, place: u32, decided: &Decided) {
        if let Verdict::Offered { parts, .. } = &decided.verdict {
            let region = self.applications.rows[place as usize].region;
            let amounts = self.lender_amounts(decided.version, parts);
            self.reserve(region, amounts, 1);
            for (party, part) in self.lender_amounts(decided.version, parts) {
                self.today[party] += part;
            }
        }
    }

    fn borrower(&mut self, key: &str) -> u32 {
        self.borrower_names.find(key).unwrap_or_else(|| {
            self.borrowers.push(NONE);
            self.borrower_names.add(key)
        })
    }

    fn region(&mut self, name: &str, hash: KeyHash) -> u32 {
        self.region_names
            .find_hashed(name, hash)
            .unwrap_or_else(|| {
                self.regions.push(Exposure::default());
                self.region_names.add_hashed(name, hash)
            })
    }

    /// Reserves (or with `sign` −1 releases) what parties are to pay out.
    pub(super) fn reserve(
        &mut self,
        region: u32,
        amounts: impl Iterator<Item = (usize, Amount)>,
        sign: i64,
    ) {
        for (party, part) in amounts {
            let amount = Amount(part.0 * sign);
            self.reserved[party] += amount;
            self.regions[region as usize].reserved[party] += amount;
        }
    }

    /// Place in the ledgers and principal of each lender that takes part.
    pub(super) fn lender_amounts(
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
    fn close_offer(&mut self, application: u32, state: ApplicationState) -> Option<Offer> {
        let offer = self.applications.offers.remove(&application)?;
        self.applications.set_state(application, state);
        let row = self.applications.rows[application as usize];
        self.reserve(
            row.region,
            self.lender_amounts(row.version, &offer.parts),
            -1,
        );
        let taken = matches!(state, ApplicationState::Disbursed(_));
        if row.decided_on == self.business_date && !taken {
            for (party, part) in self.lender_amounts(row.version, &offer.parts) {
                self.today[party] -= part;
            }
        }
        Some(offer)
    }

    fn apply_disbursed(&mut self, application: u32, entries: &mut impl FnMut(&Entry)) {
        let place = self.loan_count() as u32;
        let Some(offer) = self.close_offer(application, ApplicationState::Disbursed(place)) else {
            return;
        };
        let row = self.applications.rows[application as usize];
        let series = self.series_of_today(row.version, offer.months);
        let version = &self.versions[usize::from(row.version)];
        let agreement = &version.agreement;
        let committed: Amount = offer.parts.iter().map(|part| part.amount).sum();
        let product = &agreement.file.product;
        let principal = committed.at(product.first_draw, product.rounding);
        let steps = &self.series[series as usize].timeline;
        let position = Position::disburse(&self.terms_on(version, steps, principal, offer.rate));
        let mut loan = Loan {
            application,
            version: row.version,
            months: offer.months,
            disbursed_on: self.business_date,
            principal,
            rate: offer.rate,
            instalment: position.contract.instalment,
            position,
            parts: SmallVec::from_slice(&offer.parts),
            history: History::default(),
            class: 0,
            own_class: 0,
            non_accrual: false,
            earned: Amount::ZERO,
            series,
            entered: 0,
            agenda: None,
            terms: PackedTerms::default(),
        };
        loan.terms = loan.pack_terms();
        let split = loan.split(agreement);
        let undrawn = loan.undrawn(&loan.position, agreement);
        self.pool.disbursed += loan.principal;
        self.post_disbursement(place, &loan, &split, entries);
        self.expose(row.region, &Split::default(), &split);
        self.reserve_undrawn(row.region, &split, undrawn, 1);
        self.loans.add();
        self.enrol(place, &mut loan, self.business_date.previous(), &split);
    }

    /// The place of the series of loans that are disbursed today.
    fn series_of_today(&mut self, version: u16, months: u16) -> u32 {
        let key = (version, self.business_date, months);
        if let Some(&place) = self.series_places.get(&key) {
            return place;
        }
        self.add_series(version, self.business_date, months)
    }

    pub(super) fn add_series(&mut self, version: u16, disbursed_on: Day, months: u16) -> u32 {
        let of = &self.versions[usize::from(version)];
        let product = &of.agreement.file.product;
        let timeline = Timeline::of(product, disbursed_on, months, &of.calendar);
        let place = self.series.len() as u32;
        self.series.push(Series {
            version,
            disbursed_on,
            months,
            timeline,
        });
        self.series_places
            .insert((version, disbursed_on, months), place);
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
        for place in 0..self.loan_count() as u32 {
            let Some(mut loan) = self.loan_at(place) else {
                continue;
            };
            let moved = loan.history.last_day().is_some_and(|last| last >= today);
            if moved && follows(self.version_of(&loan)) {
                let was = self.evaluate_anew(&mut loan);
                let kind = EntryKind::Modification;
                self.follow(place, &mut loan, &was, kind, yesterday, entries);
            }
        }
    }

    /// Remembers a key under which something was done to a loan; what is to be kept with it.
    fn carry(&mut self, hash: KeyHash, loan: u32) -> u32 {
        match &mut self.unindexed {
            Some(unindexed) => unindexed.push((hash, loan)),
            None => self.instructions.add(hash, loan),
        }
        self.carried_out += 1;
        hash.rest
    }

    fn apply_reversal(
        &mut self,
        place: u32,
        number: u32,
        reversal: Spent,
        entries: &mut impl FnMut(&Entry),
    ) -> Totals {
        let mut loan = self.loan_in(place);
        if let Some((done, Some(key))) = loan.history.remove(number) {
            let body = digest(&(self.key_of(&loan), done.day, done.action));
            let reversed = Spent { key, body, number };
            self.spent.entry(place).or_default().push(reversed);
        }
        self.spent.entry(place).or_default().push(reversal);
        let was = self.evaluate_anew(&mut loan);
        let (kind, yesterday) = (EntryKind::Reversal, self.business_date.previous());
        self.follow(place, &mut loan, &was, kind, yesterday, entries)
    }

    /// Evaluates a loan anew from its history; what it stood at before.
    fn evaluate_anew(&self, loan: &mut Loan) -> Position {
        let yesterday = self.business_date.previous();
        let position = evaluate(&self.terms(loan), &loan.history.transactions(), yesterday);
        std::mem::replace(&mut loan.position, position)
    }

    fn apply_transaction(
        &mut self,
        place: u32,
        transaction: Transaction,
        key: Option<u32>,
        ready: Option<Ready>,
        entries: &mut impl FnMut(&Entry),
    ) -> Totals {
        match ready {
            Some(Ready { mut loan, mut was }) => {
                let came = self.keep_transaction(place, &mut loan, &was, transaction, key, entries);
                self.rooms.give(&mut loan, &mut was);
                came
            }
            None => {
                let mut rooms = std::mem::take(&mut self.rooms);
                let mut loan = self.loan_into(rooms.take(), place);
                let mut was = self.transact(&mut loan, transaction, &mut rooms);
                self.rooms = rooms;
                let came = self.keep_transaction(place, &mut loan, &was, transaction, key, entries);
                self.rooms.give(&mut loan, &mut was);
                came
            }
        }
    }

    /// Keeps a transaction that was carried out on a loan.
    fn keep_transaction(
        &mut self,
        place: u32,
        loan: &mut Loan,
        was: &Position,
        transaction: Transaction,
        key: Option<u32>,
        entries: &mut impl FnMut(&Entry),
    ) -> Totals {
        let is_charge_off = |known: &Transaction| {
            matches!(known.action, Action::ChargeOff { .. }) && known.day <= transaction.day
        };
        let recovered = loan.position.status == Status::ChargedOff
            && loan.history.transactions().iter().any(is_charge_off);
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
        if let Action::ChargeOff { at_most, .. } = transaction.action {
            self.pool.claimed += at_most.saturating_less(loan.claimed());
        }
        loan.entered = transaction.number;
        loan.history.insert(transaction, key);
        let yesterday = self.business_date.previous();
        self.follow(place, loan, was, kind, yesterday, entries)
    }

    fn apply_day_ended(&mut self, day: Day, entries: &mut impl FnMut(&Entry)) {
        self.closing = true;
        while let Some(mut places) = take_first(&mut self.agenda, day) {
            // Who has paid before has left the agenda.
            places.retain(|&place| self.loans.is_on_agenda(place, day));
            // In the order of the loans, whatever put them there.
            places.sort_unstable();
            places.dedup();
            for group in places.chunks(FETCHED) {
                self.loans.fetch(group.iter().copied());
                for &place in group {
                    self.let_fall_due(place, day, entries);
                }
            }
        }
        while let Some(applications) = take_first(&mut self.open_offers, day) {
            for application in applications {
                self.close_offer(application, ApplicationState::Lapsed);
            }
        }
        for application in self.referrals.lapse(day) {
            (self.applications).set_state(application, ApplicationState::Lapsed);
        }
    }

    /// Brings a loan that is on the agenda to the end of the day.
    fn let_fall_due(&mut self, place: u32, day: Day, entries: &mut impl FnMut(&Entry)) {
        let room = self.rooms.take();
        let mut loan = self.loan_into(room, place);
        let mut was = loan.position.copied(self.rooms.take());
        let agreement = &self.versions[usize::from(loan.version)].agreement;
        let terms = self.terms(&loan);
        loan.position.advance(&terms, day);
        let past_due = loan.position.days_past_due(day);
        if past_due >= i32::from(agreement.file.charge_off.days_past_due) {
            self.to_charge_off.push_back(place);
        }
        let kind = EntryKind::AdvanceApplied;
        self.follow(place, &mut loan, &was, kind, day, entries);
        self.rooms.give(&mut loan, &mut was);
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

/// Takes what stands under the first day out of a map, if that is up to a day.
pub(super) fn take_first<T>(map: &mut BTreeMap<Day, T>, up_to: Day) -> Option<T> {
    let first = map.first_entry()?;
    (*first.key() <= up_to).then(|| first.remove())
}
