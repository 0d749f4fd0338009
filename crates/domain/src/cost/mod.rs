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
use crate::loan::{Instalment, Terms, scaled};
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

/// True if it shows without a plan that the all-in cost of a loan is not above `cap`; false says
/// nothing. It is asked of every application, and most loans stay far below the cap.
///
/// Instalments must be level, and no cycle may bear more than the cap, which is `c` a cycle. Then
/// to pay less in an instalment and the rest later, at no more than `c`, makes them worth less at
/// the cap, and so does less interest in a cycle. So they are worth no more than instalments that
/// are level at the highest interest of all `n` cycles, `i`. With `B(k)` left of the principal `P`
/// after `k` of these, and `v = 1/(1 + c)`, those are worth
///
/// ```text
/// Σ [B(k−1)·(1 + i) − B(k)]·vᵏ = P − (c − i)·Σ B(k−1)·vᵏ
/// ```
///
/// Level instalments repay little at first, `B(k) ≥ P·(n − k)/n`, and `vᵏ ≤ 1/(1 + k·c)`, so that
///
/// ```text
/// Σ B(k−1)·vᵏ ≥ P·(1 − Σ vᵏ/n)/c ≥ P·(n + 1)/(2·(1 + n·c))
/// ```
///
/// Rounding adds less than a minor unit to each level instalment and half of one to each interest,
/// the digits of discount factors far less than a millionth of the principal to all of them.
pub fn is_clearly_within(terms: &Terms<'_>, net: Amount, cap: Rate) -> bool {
    let is_alike = terms.product.is_level() && terms.fees.instalment.is_none();
    is_alike && leaves_room(terms, net, cap).unwrap_or(false)
}

/// What [`is_clearly_within`] says of level instalments; none if numbers get too large.
fn leaves_room(terms: &Terms<'_>, net: Amount, cap: Rate) -> Option<bool> {
    let (periods, years) = per_year(terms.product.cycle);
    let basis = terms.product.day_count.basis();
    let [periods, years, basis, scale] = [periods, years, basis, Rate::SCALE].map(|n| n as i64);
    let (principal, cycles) = (terms.principal.0, terms.timeline.steps.len() as i64);
    // The cap and the highest interest of a cycle, in parts of periods × basis × scale.
    let capped = years.checked_mul(cap.0)?;
    let longest = periods.checked_mul(terms.longest_cycle().into())?;
    let interest = longest.checked_mul(terms.rate.0.max(0))?;
    let spread = capped.checked_mul(basis)?.checked_sub(interest)?;
    let parts = (periods * scale).checked_add(cycles.checked_mul(capped)?)?;
    let parts = parts.checked_mul(2 * basis)?;
    let saved = i128::from(principal) * i128::from(spread.checked_mul(cycles + 1)?);
    let taken = principal - net.0 + 2 * cycles + principal / 1_000_000 + 1;
    Some(spread >= 0 && saved >= i128::from(taken) * i128::from(parts))
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
