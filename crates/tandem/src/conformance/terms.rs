//! The terms of a contract, by their names in the ACTUS dictionary.

use tandem_domain::calendar::{Adjustment, BusinessCalendar, Cycle, DayCount, EndOfMonth, Period};
use tandem_domain::money::{Amount, Rate};

use super::number::{Decimal, Time};
use super::stop::Stop;

/// Decimals of every rate, and the denominator of the engine's measure.
pub(super) const RATE_DIGITS: u32 = 14;
/// See [`RATE_DIGITS`].
pub(super) const RATE_SCALE: i128 = 100_000_000_000_000;
/// Largest term in the contract's smallest unit: room for growth within the engine's integers.
const LARGEST: i64 = 100_000_000_000_000_000;

/// Contract types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Principal at maturity.
    Pam,
    /// Linear amortizer.
    Lam,
    /// Negative amortizer.
    Nam,
    /// Annuity.
    Ann,
    /// Call money.
    Clm,
    /// Undefined maturity profile.
    Ump,
}

/// Anchor and cycle of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) anchor: Option<Time>,
    pub(super) cycle: Option<Cycle>,
}

impl Plan {
    pub(super) fn is_empty(self) -> bool {
        self.anchor.is_none() && self.cycle.is_none()
    }
}

/// What interest is counted on (ACTUS `interestCalculationBase`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// Current principal.
    Nt,
    /// A fixed amount.
    Ntied,
    /// Principal as of the last fixing.
    Ntl,
}

/// What a prepayment changes (ACTUS `prepaymentEffect`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prepayment {
    /// Prepayment is not allowed.
    None,
    /// The contract ends earlier.
    Shorter,
    /// Instalments become smaller.
    Smaller,
}

/// A fee.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fee {
    /// An amount on each date.
    Amount(Amount),
    /// A yearly rate on principal.
    Rate(Rate),
}

/// Limits of a rate or of its change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) floor: Option<Decimal>,
    pub(super) cap: Option<Decimal>,
}

impl Limits {
    pub(super) fn apply(self, value: Decimal) -> Decimal {
        let value = self.floor.filter(|floor| *floor > value).unwrap_or(value);
        self.cap.filter(|cap| *cap < value).unwrap_or(value)
    }
}

/// How a rate is reset.
#[derive(Clone, Debug)]
pub(super) struct Reset {
    pub(super) object: Option<String>,
    pub(super) next: Option<Decimal>,
    pub(super) multiplier: Decimal,
    pub(super) spread: Decimal,
    pub(super) life: Limits,
    pub(super) period: Limits,
}

/// What an index scales.
#[derive(Clone, Debug)]
pub(super) struct Scaling {
    pub(super) object: String,
    pub(super) interest: bool,
    pub(super) notional: bool,
    pub(super) index: Decimal,
}

/// All terms of a contract.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) kind: Kind,
    /// Sign of the contract role: an asset's cash flows are positive.
    pub(super) sign: i64,
    pub(super) currency: String,
    /// Decimals in which amounts are counted.
    pub(super) digits: u32,
    pub(super) status: Time,
    pub(super) exchange: Time,
    pub(super) maturity: Option<Time>,
    pub(super) amortization: Option<Time>,
    pub(super) notional: Amount,
    pub(super) premium: Amount,
    pub(super) rate: Option<Rate>,
    pub(super) accrued: Option<Amount>,
    pub(super) day_count: DayCount,
    pub(super) adjustment: Adjustment,
    pub(super) calendar: BusinessCalendar,
    pub(super) eom: EndOfMonth,
    pub(super) interest: Plan,
    pub(super) principal: Plan,
    pub(super) resets: Plan,
    pub(super) bases: Plan,
    pub(super) fees: Plan,
    pub(super) scalings: Plan,
    pub(super) capitalization_end: Option<Time>,
    pub(super) instalment: Option<Amount>,
    pub(super) base: Base,
    pub(super) base_amount: Option<Amount>,
    pub(super) reset: Reset,
    pub(super) fee: Option<Fee>,
    pub(super) fee_accrued: Amount,
    pub(super) scaling: Option<Scaling>,
    pub(super) notional_multiplier: Decimal,
    pub(super) interest_multiplier: Decimal,
    pub(super) purchase: Option<(Time, Amount)>,
    pub(super) termination: Option<(Time, Amount)>,
    pub(super) notice: Option<Period>,
    pub(super) prepayment: Prepayment,
    pub(super) penalty: Option<Fee>,
}

impl Terms {
    /// True if the contract has begun by its status date.
    pub(super) fn has_begun(&self) -> bool {
        self.exchange <= self.status
    }

    /// A decimal in the contract's smallest unit.
    pub(super) fn amount(&self, name: &str, value: Decimal) -> Result<Amount, Stop> {
        units(name, value, self.digits)
    }
}

/// A decimal as an amount.
pub(super) fn units(name: &str, value: Decimal, digits: u32) -> Result<Amount, Stop> {
    let units = value.units(digits).filter(|units| units.abs() <= LARGEST);
    units
        .map(Amount)
        .ok_or_else(|| Stop::malformed(name, &format!("`{value}` is too large")))
}

/// A decimal as a rate.
pub(super) fn rate(name: &str, value: Decimal) -> Result<Rate, Stop> {
    let units = value.units(RATE_DIGITS);
    units
        .map(Rate)
        .ok_or_else(|| Stop::malformed(name, &format!("`{value}` is too large a rate")))
}
