//! The all-in cost of credit: the yearly rate at which everything the borrower pays is worth
//! what the borrower receives.
//!
//! The rate is the internal rate of the monthly flows times twelve, as Chinese regulators ask it
//! to be shown. All arithmetic is in integers; discount factors carry 60 binary digits.
//!
//! [`apr`] has the rates that European and US law ask for, from flows of any dates.

pub mod apr;
mod time;

use crate::loan::Instalment;
use crate::money::{Amount, Rate, Rounding};

const ONE: i128 = 1 << 60;
const MONTHS: i128 = 12;

/// What the instalments are worth on the day of disbursement at a yearly rate, in 2⁻²⁰ of a
/// minor unit.
fn worth(instalments: &[Instalment], rate: Rate) -> i128 {
    let growth = MONTHS * Rate::SCALE;
    let mut factor = ONE;
    let mut worth = 0;
    for instalment in instalments {
        factor = factor * growth / (growth + i128::from(rate.0));
        worth += i128::from(instalment.total().0) * (factor >> 20);
    }
    worth >> 20
}

fn fixed(amount: Amount) -> i128 {
    i128::from(amount.0) << 20
}

/// True if the all-in cost of `instalments` for a borrower who receives `net` is above `cap`.
pub fn exceeds(net: Amount, instalments: &[Instalment], cap: Rate) -> bool {
    // Half a minor unit on each instalment is within what rounding to the minor unit explains.
    let tolerance = fixed(Amount(instalments.len() as i64)) / 2;
    worth(instalments, cap) > fixed(net) + tolerance
}

/// The all-in cost, to a thousandth of a per cent, up to 1000%.
pub fn all_in_cost(net: Amount, instalments: &[Instalment]) -> Rate {
    let (mut low, mut high) = (0, 10 * Rate::ONE.0);
    while high - low > 1 {
        let middle = (low + high) / 2;
        if worth(instalments, Rate(middle)) > fixed(net) {
            low = middle
        } else {
            high = middle
        }
    }
    Rate(Rounding::HalfUp.divide(i128::from(high), 1_000) * 1_000)
}
