//! When the events of a contract happen: its schedules, moved to business days and put in order.

use tandem_domain::calendar::{Calculation, Stub, nth, schedule};

use super::event::{Event, EventKind};
use super::file::Observed;
use super::maturity::{BEYOND, anchor, last_day, maturity};
use super::number::Time;
use super::stop::Stop;
use super::terms::{Base, Kind, Plan, Prepayment, Terms};

/// The course of a contract.
pub(super) struct Course<'a> {
    terms: &'a Terms,
    /// Maturity as its schedule has it, before it is moved to a business day.
    pub(super) maturity: Option<Time>,
    /// Where schedules end that go on until maturity.
    end: Time,
    /// Exercise of a call and its settlement.
    exercise: Option<(Time, Time)>,
}

impl<'a> Course<'a> {
    pub(super) fn new(
        terms: &'a Terms,
        observed: &[Observed],
        to: Option<Time>,
    ) -> Result<Course<'a>, Stop> {
        let maturity = maturity(terms)?;
        let callable = matches!(terms.kind, Kind::Clm | Kind::Ump);
        let called = observed.iter().find(|event| callable && event.kind == "XD");
        let called = called.filter(|event| maturity.is_none_or(|maturity| event.time < maturity));
        let exercise = called.map(|event| {
            let notice = terms
                .notice
                .map_or(event.time.day, |notice| notice.after(event.time.day, 1));
            (event.time, event.time.on(notice))
        });
        if exercise.is_some_and(|(_, settled)| settled.day > last_day()) {
            return Err(Stop::malformed("xDayNotice", BEYOND));
        }
        let end = exercise.map(|(exercise, _)| exercise).or(maturity).or(to);
        let end =
            end.ok_or_else(|| Stop::malformed("to", "is missing; the contract has no end"))?;
        Ok(Course {
            terms,
            maturity,
            end,
            exercise,
        })
    }

    /// All events that are evaluated, in order.
    pub(super) fn events(
        &self,
        observed: &[Observed],
        to: Option<Time>,
    ) -> Result<Vec<Event>, Stop> {
        let terms = self.terms;
        let mut events = vec![self.event(EventKind::Ied, terms.exchange, false)];
        if let Some(maturity) = self.maturity.filter(|_| self.exercise.is_none()) {
            events.push(self.event(EventKind::Md, maturity, self.maturity_moves()));
        }
        self.principal(&mut events);
        self.interest(&mut events)?;
        self.resets(&mut events)?;
        if terms.fee.is_some() {
            self.all(
                &mut events,
                EventKind::Fp,
                terms.fees,
                terms.kind != Kind::Clm,
            );
        }
        if terms.scaling.is_some() {
            self.all(&mut events, EventKind::Sc, terms.scalings, false);
        }
        if terms.base == Base::Ntl {
            self.all(&mut events, EventKind::Ipcb, terms.bases, false);
        }
        self.observed(&mut events, observed)?;
        self.exercised(&mut events);
        if let Some((time, _)) = terms.purchase {
            events.push(self.event(EventKind::Prd, time, false));
        }
        if let Some((time, _)) = terms.termination {
            events.retain(|event| (event.time, event.kind) <= (time, EventKind::Td));
            events.push(self.event(EventKind::Td, time, false));
        }
        let settled = |event: &Event| {
            self.exercise
                .is_some_and(|(_, settled)| event.time == settled)
        };
        events.retain(|event| {
            let asked = to.is_none_or(|to| event.time <= to);
            event.time > terms.status && (asked || settled(event))
        });
        events.sort_by_key(|event| (event.time, event.kind));
        if let Some((time, _)) = terms.purchase {
            for event in &mut events {
                event.shown = (event.time, event.kind) >= (time, EventKind::Prd);
            }
        }
        Ok(events)
    }

    /// An event on a date, moved to a business day if it belongs to a schedule.
    fn event(&self, kind: EventKind, planned: Time, moves: bool) -> Event {
        let terms = self.terms;
        let moved = planned.on(terms.adjustment.adjust(&terms.calendar, planned.day));
        let time = if moves { moved } else { planned };
        // Interest counts to the moved day even where the event stays.
        let counted = match terms.adjustment.calculation {
            Calculation::ShiftFirst => moved.counted(moved.day),
            Calculation::CalculateFirst => planned.counted(planned.day),
        };
        let number = match self.maturity == Some(planned) {
            true => terms.day_count.number_at_maturity(counted),
            false => terms.day_count.number(counted),
        };
        Event {
            time,
            planned,
            kind,
            number,
            // Nothing accrues after maturity.
            from: match self.maturity == Some(planned) {
                true => number,
                false => terms.day_count.number(counted),
            },
            value: None,
            shown: true,
        }
    }

    /// The maturity of an amortising contract is one of its redemption dates and moves like them.
    fn maturity_moves(&self) -> bool {
        matches!(self.terms.kind, Kind::Lam | Kind::Nam | Kind::Ann)
    }

    /// Adds the events of a schedule, the end of the contract included or not.
    fn all(&self, events: &mut Vec<Event>, kind: EventKind, plan: Plan, with_end: bool) {
        if plan.is_empty() {
            return;
        }
        let times = self.times(plan, self.end);
        events.extend(times.into_iter().map(|time| self.event(kind, time, true)));
        if with_end {
            events.push(self.event(kind, self.end, self.maturity_moves()));
        }
    }

    /// The dates of a schedule before its end.
    fn times(&self, plan: Plan, end: Time) -> Vec<Time> {
        let anchor = anchor(self.terms, plan);
        let eom = self.terms.eom;
        match plan.cycle {
            _ if anchor >= end => Vec::new(),
            None => vec![anchor],
            Some(cycle) if anchor.on(end.day) == end => {
                let mut days = schedule(anchor.day, end.day, cycle, eom);
                days.pop();
                days.into_iter().map(|day| anchor.on(day)).collect()
            }
            // The end lies within a day, so that no date can recur on it.
            Some(cycle) => {
                let recurring = |k| anchor.on(nth(anchor.day, cycle.period(), eom, k));
                let mut times: Vec<Time> = (0..)
                    .map(recurring)
                    .take_while(|time| *time < end)
                    .collect();
                if cycle.stub() == Stub::Long && times.len() > 1 {
                    times.pop();
                }
                times
            }
        }
    }

    /// The dates on which principal is redeemed before `end`.
    fn redemptions(&self, end: Time) -> Vec<Time> {
        self.times(self.terms.principal, end)
    }

    fn principal(&self, events: &mut Vec<Event>) {
        if !self.maturity_moves() {
            return;
        }
        self.all(events, EventKind::Pr, self.terms.principal, false);
        if self.terms.kind == Kind::Ann && self.terms.instalment.is_none() {
            let first = anchor(self.terms, self.terms.principal);
            events.push(self.event(EventKind::Prf, first.on(first.day.previous()), false));
        }
    }

    fn interest(&self, events: &mut Vec<Event>) -> Result<(), Stop> {
        let terms = self.terms;
        let mut interest = Vec::new();
        match terms.kind {
            Kind::Clm | Kind::Ump => {
                if terms.interest.cycle.is_some() {
                    self.all(&mut interest, EventKind::Ipci, terms.interest, false);
                }
                if let Some(maturity) = self.maturity.filter(|_| self.exercise.is_none()) {
                    interest.push(self.event(EventKind::Ip, maturity, false));
                }
                events.extend(interest);
                return Ok(());
            }
            _ if terms.rate.is_none() => {}
            // Without a schedule of its own, interest is paid with principal.
            Kind::Pam | Kind::Lam if terms.interest.is_empty() => {
                if terms.capitalization_end.is_none() {
                    self.all(&mut interest, EventKind::Ip, terms.principal, false);
                    interest.push(self.event(EventKind::Ip, self.end, self.maturity_moves()));
                }
            }
            Kind::Pam | Kind::Lam => self.all(&mut interest, EventKind::Ip, terms.interest, true),
            // Interest is part of each redemption; until one period before the first of them it
            // has a schedule of its own.
            Kind::Nam | Kind::Ann => {
                let first = anchor(terms, terms.principal);
                let before = terms
                    .principal
                    .cycle
                    .map_or(first, |cycle| first.on(cycle.period().before(first.day)));
                if !terms.interest.is_empty() && anchor(terms, terms.interest) <= before {
                    let times = self.times(terms.interest, before);
                    let moved = |time| self.event(EventKind::Ip, time, true);
                    interest.extend(times.into_iter().chain([before]).map(moved));
                }
                self.all(&mut interest, EventKind::Ip, terms.principal, true);
            }
        }
        if let Some(end) = terms.capitalization_end {
            let last = self.event(EventKind::Ipci, end, true);
            interest.retain(|event| event.time != last.time);
            for event in interest.iter_mut().filter(|event| event.time < last.time) {
                event.kind = EventKind::Ipci;
            }
            interest.push(last);
        }
        events.extend(interest);
        Ok(())
    }

    fn resets(&self, events: &mut Vec<Event>) -> Result<(), Stop> {
        let terms = self.terms;
        let mut resets = Vec::new();
        self.all(&mut resets, EventKind::Rr, terms.resets, false);
        resets.sort_by_key(|event| event.time);
        if terms.reset.next.is_some() {
            let next = resets.iter_mut().find(|event| event.time > terms.status);
            if let Some(next) = next {
                next.kind = EventKind::Rrf;
            }
        }
        let observes = resets.iter().any(|event| event.kind == EventKind::Rr);
        if observes && terms.reset.object.is_none() {
            return Err(Stop::malformed("marketObjectCodeOfRateReset", "is missing"));
        }
        if terms.kind == Kind::Ann {
            let fixing = |event: &Event| Event {
                kind: EventKind::Prf,
                ..*event
            };
            let fixings: Vec<Event> = resets.iter().map(fixing).collect();
            events.extend(fixings);
        }
        events.extend(resets);
        Ok(())
    }

    fn observed(&self, events: &mut Vec<Event>, observed: &[Observed]) -> Result<(), Stop> {
        for one in observed {
            let kind = match (one.kind.as_str(), self.terms.kind) {
                ("XD", Kind::Clm | Kind::Ump) | ("AD", _) => continue,
                ("PR", Kind::Ump) => EventKind::Pr,
                ("PI", Kind::Ump) => EventKind::Pi,
                ("PP", _) if self.terms.prepayment == Prepayment::None => continue,
                ("PP", Kind::Pam | Kind::Lam | Kind::Nam | Kind::Ann) => EventKind::Pp,
                (other, _) => return Err(Stop::unsupported("eventsObserved", other)),
            };
            let mut event = self.event(kind, one.time, false);
            event.value = Some(one.value);
            if kind == EventKind::Pp && self.terms.penalty.is_some() {
                events.push(Event {
                    kind: EventKind::Py,
                    ..event
                });
            }
            events.push(event);
        }
        Ok(())
    }

    fn exercised(&self, events: &mut Vec<Event>) {
        if let Some((exercise, settled)) = self.exercise {
            events.push(self.event(EventKind::Xd, exercise, false));
            events.push(self.event(EventKind::Ip, settled, false));
            events.push(self.event(EventKind::Std, settled, false));
        }
    }

    /// The day-count numbers of the dates after `time` on which principal is redeemed, the last
    /// one at maturity or, if that is another date, when a full amortisation would end.
    pub(super) fn redemption_numbers(&self, time: Time) -> Vec<i32> {
        let end = self.terms.amortization.unwrap_or(self.end);
        let dates = self.redemptions(end);
        let later = dates
            .into_iter()
            .filter(|date| *date > time)
            .map(|date| self.event(EventKind::Pr, date, true).from);
        let last = self.event(EventKind::Md, end, self.maturity_moves()).number;
        later.chain([last]).collect()
    }

    /// The last date on which interest fell due before `time`, or the initial exchange.
    pub(super) fn interest_before(&self, time: Time) -> Time {
        let plan = match self.terms.interest.is_empty() {
            true => self.terms.principal,
            false => self.terms.interest,
        };
        let dates = match plan.is_empty() {
            true => Vec::new(),
            false => self.times(plan, self.end),
        };
        let past = dates.into_iter().filter(|date| *date < time).max();
        past.map_or(self.terms.exchange, |past| past.max(self.terms.exchange))
    }

    /// The day-count number of a date.
    pub(super) fn number(&self, time: Time) -> i32 {
        self.event(EventKind::Ied, time, true).from
    }
}
