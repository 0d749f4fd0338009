//! When a contract ends, and how far dates may lead.

use tandem_domain::calendar::{Cycle, Day, nth};

use super::number::Time;
use super::stop::Stop;
use super::terms::{Kind, Plan, RATE_SCALE, Terms};

/// Days between the first date that can be written and the last one.
const MOST_DAYS: u64 = 3_652_059;

/// What is wrong with a term that leads too far.
pub(super) const BEYOND: &str = "leads beyond the year 9999";

/// The last day that can be written.
pub(super) fn last_day() -> Day {
    Day::from_ymd(9_999, 12, 31).unwrap_or_default()
}

/// Where a schedule starts: a cycle without an anchor starts one period after the exchange.
pub(super) fn anchor(terms: &Terms, plan: Plan) -> Time {
    let after = |cycle: Cycle| {
        terms
            .exchange
            .on(cycle.period().after(terms.exchange.day, 1))
    };
    plan.anchor
        .or_else(|| plan.cycle.map(after))
        .unwrap_or(terms.exchange)
}

/// The maturity, counted from the instalment if no term names it.
pub(super) fn maturity(terms: &Terms) -> Result<Option<Time>, Stop> {
    let named = match terms.kind {
        Kind::Ann => terms.maturity.or(terms.amortization),
        _ => terms.maturity,
    };
    let Some(cycle) = terms.principal.cycle else {
        return Ok(named);
    };
    if named.is_some() || matches!(terms.kind, Kind::Clm | Kind::Ump | Kind::Pam) {
        return Ok(named);
    }
    let name = "nextPrincipalRedemptionPayment";
    let instalment = terms
        .instalment
        .filter(|instalment| instalment.is_positive());
    let instalment = instalment.ok_or_else(|| {
        Stop::malformed(name, "must be above zero, or maturityDate must be given")
    })?;
    let anchor = anchor(terms, terms.principal);
    let date = |k: u32| anchor.on(nth(anchor.day, cycle.period(), terms.eom, k));
    let past = (0..).take_while(|&k| date(k) < terms.status).count() as u32;
    let last = past.saturating_sub(1);
    let (unit, interest) = match terms.kind {
        Kind::Lam => (1, 0),
        _ => {
            let unit = RATE_SCALE * terms.day_count.basis();
            let rate = i128::from(terms.rate.unwrap_or_default().0);
            let days = terms.day_count.days(date(last).day, date(last + 1).day);
            let interest = rate * i128::from(days);
            (
                unit,
                interest
                    .checked_mul(terms.notional.0.into())
                    .ok_or_else(|| Stop::too_large("nominalInterestRate"))?,
            )
        }
    };
    let redeemed = i128::from(instalment.0) * unit - interest;
    if redeemed <= 0 {
        return Err(Stop::malformed(
            name,
            "does not cover the interest; maturityDate must be given",
        ));
    }
    let owed = i128::from(terms.notional.0) * unit;
    let count = (owed + redeemed - 1) / redeemed;
    // The first date that lies ahead redeems too.
    let steps = count - i128::from(past == 0) + i128::from(last);
    let steps = u64::try_from(steps.max(0)).unwrap_or(u64::MAX);
    let length = (cycle.period().after(Day(0), 1) - Day(0)).max(1) as u64;
    if steps.saturating_mul(length) > MOST_DAYS || date(steps as u32).day > last_day() {
        return Err(Stop::malformed(name, BEYOND));
    }
    Ok(Some(date(steps as u32)))
}
