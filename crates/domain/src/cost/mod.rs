//! The all-in cost of credit: the yearly rate at which everything the borrower pays is worth
//! what the borrower receives.
//!
//! The rate is the internal rate of equal periods times the periods of a year, as Chinese
//! regulators ask it to be shown for months: instalment *k* lies *k* cycles after the
//! disbursement, whatever its date; a down payment lies on it.
//!
//! [`apr`] has the rates that European and US law ask for, from flows of any dates.

pub mod apr;
mod time;

use crate::calendar::{Period, Unit};
use crate::loan::{Instalment, scaled};
use crate::money::{Amount, Rate, Rounding};

const ONE: i128 = 1 << 60;

/// Cycles of a year, as a fraction: 12 months, 52 weeks or 365 days over the length of one.
fn per_year(cycle: Period) -> (i128, i128) {
    let count = i128::from(cycle.count.max(1));
    match cycle.unit {
        Unit::Day => (365, count),
        Unit::Week => (52, count),
        Unit::Month | Unit::Quarter | Unit::HalfYear | Unit::Year => {
            (12, cycle.months().unwrap_or(1).max(1).into())
        }
    }
}

/// What the instalments are worth on the day of disbursement at a yearly rate, in 2⁻²⁰ of a
/// minor unit.
fn worth(instalments: &[Instalment], cycle: Period, rate: Rate) -> i128 {
    let (periods, years) = per_year(cycle);
    let one = periods * Rate::SCALE;
    let growth = one + years * i128::from(rate.0);
    let (mut factor, mut number, mut worth) = (ONE, 0, 0);
    for instalment in instalments {
        while number < instalment.number {
            factor = scaled(factor, one, growth);
            number += 1;
        }
        // Two short numbers, whose product needs no check.
        worth += i128::from(instalment.total().0) * i128::from((factor >> 20) as i64);
    }
    worth >> 20
}

fn fixed(amount: Amount) -> i128 {
    i128::from(amount.0) << 20
}

/// True if the all-in cost of monthly `instalments` for a borrower who receives `net` is above
/// `cap`.
pub fn exceeds(net: Amount, instalments: &[Instalment], cap: Rate) -> bool {
    exceeds_by(Period::MONTH, net, instalments, cap)
}

/// [`exceeds`] for instalments of any cycle.
pub fn exceeds_by(cycle: Period, net: Amount, instalments: &[Instalment], cap: Rate) -> bool {
    // Half a minor unit on each instalment is within what rounding to the minor unit explains.
    let tolerance = fixed(Amount(instalments.len() as i64)) / 2;
    worth(instalments, cycle, cap) > fixed(net) + tolerance
}

/// The all-in cost of monthly instalments, to a thousandth of a per cent, up to 1000%.
pub fn all_in_cost(net: Amount, instalments: &[Instalment]) -> Rate {
    all_in_cost_by(Period::MONTH, net, instalments)
}

/// [`all_in_cost`] for instalments of any cycle.
pub fn all_in_cost_by(cycle: Period, net: Amount, instalments: &[Instalment]) -> Rate {
    let (mut low, mut high) = (0, 10 * Rate::ONE.0);
    while high - low > 1 {
        let middle = (low + high) / 2;
        if worth(instalments, cycle, Rate(middle)) > fixed(net) {
            low = middle
        } else {
            high = middle
        }
    }
    Rate(Rounding::HalfUp.divide(i128::from(high), 1_000) * 1_000)
}
