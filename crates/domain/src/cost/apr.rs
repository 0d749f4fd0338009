//! Annual percentage rates: the EU's of Directive 2008/48/EC, the US one of Regulation Z
//! (appendix J, actuarial method), and the internal rate of monthly instalments times twelve.
//!
//! All three discount the same flows and differ in how they count time and how a rate per period
//! becomes a rate per year. The equation is solved by bisection in integers; a rate and a discount
//! factor carry 60 binary digits.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use super::time::Calendar;
pub use super::time::{Times, Unit};
use crate::calendar::Day;
use crate::loan::Instalment;
use crate::money::{Amount, Rate, Rounding, format_decimal};

const ONE: i128 = 1 << 60;
/// The highest rate that is searched: 10000%, as a multiple of the whole.
const HIGHEST: i128 = 100;

/// Money between lender and borrower: an advance is negative, a payment positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// When.
    pub day: Day,
    /// How much the borrower pays.
    pub amount: Amount,
}

/// A yearly rate with the way it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apr {
    /// The rate, not yet rounded as its law says.
    pub rate: Rate,
    /// The way.
    pub basis: Basis,
}

impl Apr {
    /// The rate as it is disclosed: to one decimal in the EU, to two in the US, to three as
    /// internal rate.
    pub fn disclosed(&self) -> String {
        let decimals = match self.basis {
            Basis::Eu(_) => 1,
            Basis::RegulationZ(_) => 2,
            Basis::Monthly => 3,
        };
        let unit = 10i128.pow(6 - decimals);
        let rounded = Rounding::HalfUp.divide(self.rate.0.into(), unit);
        format!("{}%", format_decimal(rounded, decimals))
    }
}

/// The way a yearly rate is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Directive 2008/48/EC, annex I: compound, times in years.
    Eu(Times),
    /// Regulation Z, appendix J: rate of the unit period times unit periods of a year.
    RegulationZ(Unit),
    /// Internal rate of the monthly instalments times twelve.
    Monthly,
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Basis::Eu(times) => write!(f, "EU, Directive 2008/48/EC: times in {times}"),
            Basis::RegulationZ(unit) => {
                write!(f, "US, Regulation Z appendix J: unit period of {unit}")
            }
            Basis::Monthly => f.write_str("internal rate of monthly instalments times 12"),
        }
    }
}

/// Why flows have no rate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoRate {
    /// No flow is negative.
    #[error("there is no advance; an advance to the borrower is a negative amount")]
    NoAdvance,
    /// No flow is positive.
    #[error("there is no payment; a payment by the borrower is a positive amount")]
    NoPayment,
    /// The borrower pays first.
    #[error("a payment on {payment} comes before the first advance on {advance}")]
    PaymentFirst {
        /// Day of the payment.
        payment: Day,
        /// Day of the advance.
        advance: Day,
    },
    /// What is paid at once is no less than what is advanced.
    #[error("what is paid on the day of the first advance takes all of it; nothing is lent")]
    NothingLent,
    /// The rate would be negative.
    #[error("payments are less in all than advances, so the rate would be below zero")]
    BelowAdvances,
    /// Beyond the range.
    #[error("the rate is above 10000%")]
    TooHigh,
    /// The equation may have more than one solution.
    #[error(
        "the borrower pays back more than it owes and is lent to again, so more than one rate may fit"
    )]
    Ambiguous,
    /// Regulation Z's average of irregular intervals is not computed.
    #[error(
        "no interval between payments or between advances occurs twice, so there is no unit period"
    )]
    NoUnit,
    /// The times asked for do not fit.
    #[error("the intervals are not whole {0}")]
    NotWhole(Times),
    /// Beyond [`Amount::MAX`].
    #[error("an amount is too large")]
    TooLarge,
}

/// The EU's annual percentage rate of charge. Times are in months if all are whole months after
/// the first advance, else in weeks if all are whole weeks, else in days.
pub fn eu(flows: &[Flow]) -> Result<Apr, NoRate> {
    let flows = ordered(flows)?;
    eu_of(&flows, Calendar::new(&flows).times())
}

/// The EU's rate with times of one kind.
pub fn eu_in(times: Times, flows: &[Flow]) -> Result<Apr, NoRate> {
    let flows = ordered(flows)?;
    let start = flows[0].day;
    let is_whole = match times {
        Times::Months => Calendar::new(&flows).times() == Times::Months,
        Times::Weeks => flows.iter().all(|flow| (flow.day - start) % 7 == 0),
        Times::Days => true,
    };
    match is_whole {
        true => eu_of(&flows, times),
        false => Err(NoRate::NotWhole(times)),
    }
}

fn eu_of(flows: &[Flow], times: Times) -> Result<Apr, NoRate> {
    let calendar = Calendar::new(flows);
    let timed = flows.iter().map(|flow| Timed {
        amount: flow.amount,
        whole: calendar.periods(times, flow.day),
        part: (0, 1),
    });
    let rate = solve(&timed.collect::<Vec<_>>())?;
    let year = power(discount(rate), times.per_year());
    if year * (HIGHEST + 1) < ONE {
        return Err(NoRate::TooHigh);
    }
    yearly(ONE * ONE / year - ONE, Basis::Eu(times))
}

/// The US annual percentage rate.
pub fn regulation_z(flows: &[Flow]) -> Result<Apr, NoRate> {
    let flows = ordered(flows)?;
    let calendar = Calendar::new(&flows);
    let unit = calendar.unit()?;
    let timed = flows.iter().map(|flow| {
        let (whole, part) = calendar.units(unit, flow.day);
        Timed {
            amount: flow.amount,
            whole,
            part,
        }
    });
    let rate = solve(&timed.collect::<Vec<_>>())?;
    let (periods, years) = unit.per_year();
    yearly(
        rate * i128::from(periods) / i128::from(years),
        Basis::RegulationZ(unit),
    )
}

/// The internal rate of monthly instalments times twelve for a borrower who receives `net`:
/// [`all_in_cost`](super::all_in_cost), with a reason where it has none.
pub fn monthly(net: Amount, instalments: &[Instalment]) -> Result<Apr, NoRate> {
    if !net.is_positive() {
        return Err(NoRate::NothingLent);
    }
    let amounts = instalments.iter().map(Instalment::total).chain([net]);
    if amounts.max() > Some(Amount::MAX) {
        return Err(NoRate::TooLarge);
    }
    let payments = instalments.iter().map(|instalment| Timed {
        amount: instalment.total(),
        whole: instalment.number.into(),
        part: (0, 1),
    });
    let advance = Timed {
        amount: -net,
        whole: 0,
        part: (0, 1),
    };
    let flows: Vec<_> = [advance].into_iter().chain(payments).collect();
    yearly(12 * solve(&flows)?, Basis::Monthly)
}

fn yearly(rate: i128, basis: Basis) -> Result<Apr, NoRate> {
    if rate > HIGHEST * ONE {
        return Err(NoRate::TooHigh);
    }
    Ok(Apr {
        rate: Rate(Rounding::HalfUp.divide(rate * Rate::SCALE, ONE)),
        basis,
    })
}

/// One flow for each day, in order, of which the first is an advance.
fn ordered(flows: &[Flow]) -> Result<Vec<Flow>, NoRate> {
    let first = |is: fn(Amount) -> bool| {
        let days = flows.iter().filter(|flow| is(flow.amount));
        days.map(|flow| flow.day).min()
    };
    let advance = first(|amount| amount.0 < 0).ok_or(NoRate::NoAdvance)?;
    let payment = first(Amount::is_positive).ok_or(NoRate::NoPayment)?;
    if payment < advance {
        return Err(NoRate::PaymentFirst { payment, advance });
    }
    let mut by_day: BTreeMap<Day, i128> = BTreeMap::new();
    for flow in flows {
        *by_day.entry(flow.day).or_default() += i128::from(flow.amount.0);
    }
    if by_day.get(&advance).is_some_and(|&net| net >= 0) {
        return Err(NoRate::NothingLent);
    }
    by_day.retain(|_, net| *net != 0);
    by_day
        .into_iter()
        .map(|(day, net)| match i64::try_from(net) {
            Ok(net) if (-Amount::MAX.0..=Amount::MAX.0).contains(&net) => Ok(Flow {
                day,
                amount: Amount(net),
            }),
            _ => Err(NoRate::TooLarge),
        })
        .collect()
}

/// A flow at whole periods and a part of one after the first advance.
struct Timed {
    amount: Amount,
    whole: u32,
    part: (u32, u32),
}

impl Timed {
    /// Today's worth at a rate per period, in 2⁻⁵⁰ of a minor unit. Within the part of a period
    /// interest is simple.
    fn worth(&self, rate: i128, discount: i128) -> i128 {
        let (part, period) = (i128::from(self.part.0), i128::from(self.part.1));
        let odd = ONE + rate * part / period;
        let factor = power(discount, self.whole) * ONE / odd;
        i128::from(self.amount.0) * (factor >> 10)
    }
}

fn discount(rate: i128) -> i128 {
    ONE * ONE / (ONE + rate)
}

fn power(base: i128, mut exponent: u32) -> i128 {
    let (mut power, mut square) = (ONE, base);
    while exponent > 0 && power > 0 {
        if exponent & 1 == 1 {
            power = (power * square) >> 60;
        }
        square = (square * square) >> 60;
        exponent >>= 1;
    }
    power
}

/// The rate per period at which payments are worth what the advances are, in 2⁻⁶⁰.
fn solve(flows: &[Timed]) -> Result<i128, NoRate> {
    let worth = |rate: i128| -> i128 {
        let discount = discount(rate);
        flows.iter().map(|flow| flow.worth(rate, discount)).sum()
    };
    if worth(0) < 0 {
        return Err(NoRate::BelowAdvances);
    }
    let (mut low, mut high) = (0, HIGHEST * ONE);
    if worth(high) > 0 {
        return Err(NoRate::TooHigh);
    }
    if worth(0) == 0 {
        high = 0;
    }
    while high - low > 1 {
        let middle = (low + high) / 2;
        match worth(middle) > 0 {
            true => low = middle,
            false => high = middle,
        }
    }
    // A rate at which the borrower never is the lender is the only one. What bisection leaves is
    // within a minor unit for each flow and a 2³⁰th of the largest.
    let discount = discount(high);
    let largest = flows.iter().map(|flow| flow.amount.0.abs()).max();
    let tolerance = ((flows.len() as i128) << 50) + (i128::from(largest.unwrap_or(0)) << 20);
    let mut paid = 0;
    for flow in flows {
        paid += flow.worth(high, discount);
        if paid > tolerance {
            return Err(NoRate::Ambiguous);
        }
    }
    Ok(high)
}
