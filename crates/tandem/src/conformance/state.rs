//! What a contract stands at, and what each event does to it and pays.
//!
//! Principal, rate and interest are the loan engine's own [`Contract`], counted in units so small
//! that it is as good as exact: interest accrues, falls due and becomes principal here by the
//! very functions by which it does in a book.

use tandem_domain::loan::{Contract, Measure, Ops, Step};
use tandem_domain::money::{Amount, Rate};

use super::event::{Event, EventKind};
use super::market::Market;
use super::number::{Decimal, ROUNDING, Time, round};
use super::schedule::Course;
use super::stop::Stop;
use super::terms::{Base, Fee, Kind, Prepayment, RATE_DIGITS, RATE_SCALE, Terms, rate};

/// Amounts stay below this, so that two of them can be added.
const LARGEST: i128 = 4_000_000_000_000_000_000;

/// An event as it came out.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) time: Time,
    pub(super) kind: EventKind,
    /// Payoff, principal, rate and accrued interest.
    pub(super) figures: [Decimal; 4],
}

/// A factor by which payments are multiplied.
type Factor = (i128, i128);

/// The state of a contract between two events.
pub(super) struct State<'a> {
    terms: &'a Terms,
    course: &'a Course<'a>,
    market: &'a Market,
    measure: Measure,
    contract: Contract,
    /// Fees accrued since they last fell due, exact like interest.
    fee: i128,
    notional_scale: Factor,
    interest_scale: Factor,
    /// Interest has stopped because the contract was called.
    called: bool,
}

impl<'a> State<'a> {
    /// The contract on its status date.
    pub(super) fn new(
        terms: &'a Terms,
        course: &'a Course<'a>,
        market: &'a Market,
    ) -> Result<State<'a>, Stop> {
        let measure = Measure::new(terms.day_count, ROUNDING, RATE_SCALE);
        let factor = |name, value: Decimal| value.fraction().ok_or_else(|| Stop::too_large(name));
        let mut state = State {
            terms,
            course,
            market,
            measure,
            contract: Contract {
                next: 0,
                principal: Amount::ZERO,
                rate: Rate::ZERO,
                instalment: terms.instalment.unwrap_or_default(),
                base: None,
                accrued_to: course.number(terms.status),
                accrued: 0,
            },
            fee: i128::from(terms.sign * terms.fee_accrued.0) * measure.unit(),
            notional_scale: factor("notionalScalingMultiplier", terms.notional_multiplier)?,
            interest_scale: factor("interestScalingMultiplier", terms.interest_multiplier)?,
            called: false,
        };
        if terms.has_begun() {
            let since = course.interest_before(terms.status);
            state.begin(Some(course.number(since)))?;
            if terms.instalment.is_none() {
                state.fix_instalment(terms.status)?;
            }
        }
        Ok(state)
    }

    /// Principal, rate and base of the contract from its exchange on, and the interest that has
    /// accrued: as the terms say, or since a day if there is one.
    fn begin(&mut self, since: Option<i32>) -> Result<(), Stop> {
        let terms = self.terms;
        let signed = |amount: Amount| Amount(terms.sign * amount.0);
        let contract = &mut self.contract;
        contract.principal = signed(terms.notional);
        contract.rate = terms.rate.unwrap_or_default();
        contract.base = match terms.base {
            Base::Nt => None,
            Base::Ntied | Base::Ntl => Some(signed(terms.base_amount.unwrap_or(terms.notional))),
        };
        contract.accrued = 0;
        let now = contract.accrued_to;
        match (terms.accrued, since) {
            (Some(accrued), _) => {
                contract.accrued = i128::from(signed(accrued).0) * self.measure.unit();
            }
            (None, Some(since)) if !matches!(terms.kind, Kind::Clm | Kind::Ump) => {
                contract.accrued_to = since;
                self.accrue(now)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Lets interest accrue, unless that outgrows the engine's integers.
    fn accrue(&mut self, to: i32) -> Result<(), Stop> {
        let days = i128::from(to) - i128::from(self.contract.accrued_to);
        let grown = self.contract.slope().checked_mul(days);
        let grown = grown.and_then(|grown| grown.checked_add(self.contract.accrued));
        match grown.map(|grown| grown.abs() / self.measure.unit() < LARGEST) {
            Some(true) => {
                self.contract.accrue(to);
                Ok(())
            }
            _ => Err(Stop::too_large("nominalInterestRate")),
        }
    }

    /// Interest and fees up to an event.
    fn advance(&mut self, event: &Event) -> Result<(), Stop> {
        if !self.called {
            if let Some(Fee::Rate(rate)) = self.terms.fee {
                self.fee = self
                    .proportional(rate, event)?
                    .checked_add(self.fee)
                    .ok_or_else(|| Stop::too_large("feeRate"))?;
            }
            self.accrue(event.number)?;
        }
        self.contract.accrued_to = event.from;
        Ok(())
    }

    /// What a yearly rate takes of principal since the last event, exact.
    fn proportional(&self, rate: Rate, event: &Event) -> Result<i128, Stop> {
        let days = i128::from(event.number) - i128::from(self.contract.accrued_to);
        let yearly = i128::from(self.contract.principal.0) * i128::from(rate.0);
        let exact = yearly
            .checked_mul(days)
            .filter(|exact| exact.abs() / self.measure.unit() < LARGEST);
        exact.ok_or_else(|| Stop::too_large("feeRate"))
    }

    /// Evaluates an event.
    pub(super) fn apply(&mut self, event: &Event) -> Result<Found, Stop> {
        let terms = self.terms;
        let sign = terms.sign;
        let penalty = match (event.kind, terms.penalty) {
            (EventKind::Py, Some(Fee::Amount(amount))) => Amount(sign * amount.0),
            (EventKind::Py, Some(Fee::Rate(rate))) => {
                self.measure.amount(self.proportional(rate, event)?)
            }
            _ => Amount::ZERO,
        };
        self.advance(event)?;
        let payoff = match event.kind {
            EventKind::Ied => self.exchange()?,
            EventKind::Fp => self.take_fee(),
            EventKind::Pr | EventKind::Pi => self.redeem(event)?,
            EventKind::Py => penalty,
            EventKind::Pp => self.prepay(event)?,
            EventKind::Xd => {
                self.called = true;
                Amount::ZERO
            }
            EventKind::Ip => {
                let interest = self.contract.take_interest(self.measure);
                scaled(interest, self.interest_scale)?
            }
            EventKind::Ipci => {
                let interest = self.contract.take_interest(self.measure);
                self.contract.principal = sum(self.contract.principal, interest)?;
                Amount::ZERO
            }
            EventKind::Rrf => {
                let next = terms.reset.next.unwrap_or(Decimal::ZERO);
                self.contract.rate = rate("nextResetRate", next)?;
                Amount::ZERO
            }
            EventKind::Rr => {
                self.contract.rate = self.reset(event.planned)?;
                Amount::ZERO
            }
            EventKind::Prf => {
                self.fix_instalment(event.planned)?;
                Amount::ZERO
            }
            EventKind::Ipcb => {
                self.contract.base = Some(self.contract.principal);
                Amount::ZERO
            }
            EventKind::Sc => {
                self.scale(event.planned)?;
                Amount::ZERO
            }
            EventKind::Prd => {
                let price = terms.purchase.map_or(Amount::ZERO, |(_, price)| price);
                let paid = sum(price, self.measure.amount(self.contract.accrued))?;
                Amount(-sign * paid.0)
            }
            EventKind::Td => {
                let price = terms.termination.map_or(Amount::ZERO, |(_, price)| price);
                // As the specification has it, which gives a liability's interest the sign of
                // its role a second time.
                let paid = sum(price, self.measure.amount(self.contract.accrued))?;
                self.end();
                Amount(sign * paid.0)
            }
            EventKind::Md | EventKind::Std => {
                let principal = scaled(self.contract.principal, self.notional_scale)?;
                let interest = self.contract.take_interest(self.measure);
                let interest = scaled(interest, self.interest_scale)?;
                let fee = self.measure.amount(self.fee);
                self.end();
                sum(sum(principal, interest)?, fee)?
            }
        };
        let amount = |amount: Amount| Decimal::new(amount.0.into(), terms.digits);
        Ok(Found {
            time: event.time,
            kind: event.kind,
            figures: [
                amount(payoff),
                amount(self.contract.principal),
                Decimal::new(self.contract.rate.0.into(), RATE_DIGITS),
                amount(self.measure.amount(self.contract.accrued)),
            ],
        })
    }

    fn exchange(&mut self) -> Result<Amount, Stop> {
        let terms = self.terms;
        let anchor = terms
            .interest
            .anchor
            .filter(|anchor| *anchor < terms.exchange);
        self.begin(anchor.map(|anchor| self.course.number(anchor)))?;
        if terms.instalment.is_none() {
            // A redemption on the day of the exchange counts too.
            let before = terms.exchange.day.previous();
            self.fix_instalment(terms.exchange.on(before))?;
        }
        let paid = sum(terms.notional, terms.premium)?;
        Ok(Amount(-terms.sign * paid.0))
    }

    fn take_fee(&mut self) -> Amount {
        let accrued = self.measure.amount(self.fee);
        self.fee = 0;
        match self.terms.fee {
            Some(Fee::Amount(fee)) => Amount(self.terms.sign * fee.0),
            _ => accrued,
        }
    }

    fn redeem(&mut self, event: &Event) -> Result<Amount, Stop> {
        let sign = self.terms.sign;
        let left = self.contract.principal.0.abs();
        let instalment = self.contract.instalment.0;
        let redeemed = match (event.value, self.terms.kind) {
            (Some(value), _) => {
                let amount = self.terms.amount("eventsObserved", value)?.0;
                if event.kind == EventKind::Pi {
                    -amount
                } else {
                    amount
                }
            }
            (None, Kind::Lam) => instalment.min(left),
            (None, _) => {
                let interest = sign * self.measure.amount(self.contract.accrued).0;
                sum(Amount(instalment), Amount(-interest))?.0.min(left)
            }
        };
        self.contract.principal = sum(self.contract.principal, Amount(-sign * redeemed))?;
        scaled(Amount(sign * redeemed), self.notional_scale)
    }

    fn prepay(&mut self, event: &Event) -> Result<Amount, Stop> {
        let value = event.value.unwrap_or(Decimal::ZERO);
        let left = self.contract.principal.0.abs();
        let paid = self.terms.amount("eventsObserved", value)?.0.min(left);
        let paid = Amount(self.terms.sign * paid);
        self.contract.principal = sum(self.contract.principal, Amount(-paid.0))?;
        if self.terms.prepayment == Prepayment::Smaller {
            self.fix_instalment(event.planned)?;
        }
        Ok(paid)
    }

    /// The rate that the market gives: its change, then itself, kept within their limits.
    fn reset(&self, time: Time) -> Result<Rate, Stop> {
        let terms = &self.terms.reset;
        let name = "marketObjectCodeOfRateReset";
        let code = terms
            .object
            .as_deref()
            .ok_or_else(|| Stop::malformed(name, "is missing"))?;
        let observed = self.market.at(code, time)?;
        let old = Decimal::new(self.contract.rate.0.into(), RATE_DIGITS);
        let new = || {
            let new = observed.times(terms.multiplier)?.plus(terms.spread)?;
            let change = terms.period.apply(new.plus(old.negated())?);
            Some(terms.life.apply(old.plus(change)?))
        };
        rate(name, new().ok_or_else(|| Stop::too_large(name))?)
    }

    fn scale(&mut self, time: Time) -> Result<(), Stop> {
        let Some(scaling) = &self.terms.scaling else {
            return Ok(());
        };
        let observed = self.market.at(&scaling.object, time)?;
        let factor = |multiplier: Decimal| {
            let (above, below) = observed.times(multiplier)?.fraction()?;
            let (index, unit) = scaling.index.fraction()?;
            Some((above.checked_mul(unit)?, below.checked_mul(index)?))
        };
        let name = "marketObjectCodeOfScalingIndex";
        let factor = |multiplier| factor(multiplier).ok_or_else(|| Stop::too_large(name));
        if scaling.interest {
            self.interest_scale = factor(self.terms.interest_multiplier)?;
        }
        if scaling.notional {
            self.notional_scale = factor(self.terms.notional_multiplier)?;
        }
        Ok(())
    }

    /// Sets the instalment so that principal is redeemed on the dates after a time.
    fn fix_instalment(&mut self, time: Time) -> Result<(), Stop> {
        let name = "nextPrincipalRedemptionPayment";
        let numbers = self.course.redemption_numbers(time);
        let principal = Amount(self.contract.principal.0.abs());
        self.contract.instalment = match (self.terms.kind, numbers.first()) {
            (Kind::Lam, Some(_)) => {
                Amount(ROUNDING.divide(principal.0.into(), numbers.len() as i128))
            }
            (Kind::Nam | Kind::Ann, Some(&first)) => {
                // Interest up to the first instalment is part of it, so that its discount is one.
                let kept = self.contract;
                if first > kept.accrued_to {
                    self.accrue(first)?;
                }
                let accrued = i128::from(self.terms.sign) * self.contract.accrued;
                self.contract = kept;
                let last = numbers.last().copied().unwrap_or(first);
                let shrinks = -i128::from(kept.rate.0) * (i128::from(last) - i128::from(first));
                if shrinks > self.measure.unit() / 2 {
                    return Err(Stop::too_large(name));
                }
                let step = |number| Step {
                    day: time.day,
                    number,
                    from: number,
                    ops: Ops::PRINCIPAL,
                };
                let steps: Vec<Step> = numbers.into_iter().map(step).collect();
                let balloon = Amount::ZERO;
                self.measure
                    .annuity(principal, accrued, kept.rate, first, &steps, balloon)
            }
            _ => return Ok(()),
        };
        Ok(())
    }

    /// Nothing is left.
    fn end(&mut self) {
        self.contract.principal = Amount::ZERO;
        self.contract.accrued = 0;
        self.fee = 0;
    }
}

fn sum(one: Amount, other: Amount) -> Result<Amount, Stop> {
    let sum = i128::from(one.0) + i128::from(other.0);
    amount(sum)
}

fn scaled(value: Amount, (above, below): Factor) -> Result<Amount, Stop> {
    let product = i128::from(value.0).checked_mul(above);
    amount(round(
        product.ok_or_else(|| Stop::too_large("scalingEffect"))?,
        below,
    ))
}

fn amount(units: i128) -> Result<Amount, Stop> {
    let value = i64::try_from(units).ok().filter(|_| units.abs() < LARGEST);
    value
        .map(Amount)
        .ok_or_else(|| Stop::too_large("notionalPrincipal"))
}
