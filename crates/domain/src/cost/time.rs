//! Time between flows, as European and US law count it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use super::apr::{Flow, NoRate};
use crate::calendar::Day;

/// How the EU rate expresses time in years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// A year has 12 equal months.
    Months,
    /// A year has 52 weeks.
    Weeks,
    /// A day is a 365th of a year, in a leap year a 366th.
    Days,
}

impl Times {
    /// Periods of a year that all times are whole numbers of.
    pub(super) fn per_year(self) -> u32 {
        match self {
            Times::Months => 12,
            Times::Weeks => 52,
            Times::Days => 365 * 366,
        }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Times::Months => "equal months",
            Times::Weeks => "weeks",
            Times::Days => "days",
        })
    }
}

/// The unit period of Regulation Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// So many days: a common period that is no whole number of weeks or months, or the term of
    /// a single advance that is paid at once.
    Days(u32),
    /// So many weeks.
    Weeks(u32),
    /// Half a month.
    HalfMonth,
    /// So many months, up to 12.
    Months(u32),
}

impl Unit {
    /// Unit periods of a year, as a fraction.
    pub(super) fn per_year(self) -> (u32, u32) {
        match self {
            Unit::Days(days) => (365, days),
            Unit::Weeks(weeks) => (52, weeks),
            Unit::HalfMonth => (24, 1),
            Unit::Months(months) => (12, months),
        }
    }

    fn days(self) -> u32 {
        match self {
            Unit::Days(days) => days,
            Unit::Weeks(weeks) => 7 * weeks,
            Unit::HalfMonth => 15,
            Unit::Months(months) => 30 * months,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unit::Days(1) => f.write_str("a day"),
            Unit::Days(days) => write!(f, "{days} days"),
            Unit::Weeks(1) => f.write_str("a week"),
            Unit::Weeks(weeks) => write!(f, "{weeks} weeks"),
            Unit::HalfMonth => f.write_str("half a month"),
            Unit::Months(1) => f.write_str("a month"),
            Unit::Months(12) => f.write_str("a year"),
            Unit::Months(months) => write!(f, "{months} months"),
        }
    }
}

/// The days of a transaction. Its flows are in order, one for each day, the first an advance.
pub(super) struct Calendar<'f> {
    flows: &'f [Flow],
    /// Every flow is a whole number of months after the first.
    regular: bool,
    /// Day of month that a payment on a shorter month's last day stands for.
    anchor: u32,
}

impl<'f> Calendar<'f> {
    pub(super) fn new(flows: &'f [Flow]) -> Calendar<'f> {
        let start = flows[0].day;
        let after = |day: Day| start.plus_months(months_apart(start, day));
        let payments: Vec<_> = paid(flows).collect();
        let of_month = payments.iter().map(|day| day.ymd().2).max().unwrap_or(1);
        let all_last = payments.len() > 1 && payments.iter().all(|&day| is_last(day));
        Calendar {
            flows,
            regular: flows.iter().all(|flow| after(flow.day) == flow.day),
            anchor: if all_last { 31 } else { of_month },
        }
    }

    fn start(&self) -> Day {
        self.flows[0].day
    }

    /// The coarsest times in which all intervals are whole.
    pub(super) fn times(&self) -> Times {
        let whole_weeks = |flow: &Flow| (flow.day - self.start()) % 7 == 0;
        if self.regular {
            Times::Months
        } else if self.flows.iter().all(whole_weeks) {
            Times::Weeks
        } else {
            Times::Days
        }
    }

    /// Periods from the first advance to a day.
    pub(super) fn periods(&self, times: Times, to: Day) -> u32 {
        match times {
            Times::Months => months_apart(self.start(), to),
            Times::Weeks => days(self.start(), to) / 7,
            Times::Days => parts_of_years(self.start(), to),
        }
    }

    /// Whole unit periods from the first advance to a day, and the fraction that is left.
    pub(super) fn units(&self, unit: Unit, to: Day) -> (u32, (u32, u32)) {
        let from = self.start();
        let of = |days: u32, period: u32| (days / period, (days % period, period));
        let (months, rest) = self.months(from, to);
        match unit {
            Unit::Days(_) | Unit::Weeks(_) => of(days(from, to), unit.days()),
            Unit::Months(1) => (months, (rest, 30)),
            Unit::Months(12) if rest == 0 => of(months, 12),
            Unit::Months(12) => {
                let years = months / 12;
                (years, (days(from, self.back(to, 12 * years)), 365))
            }
            Unit::HalfMonth | Unit::Months(_) => of(30 * months + rest, unit.days()),
        }
    }

    /// The unit period: the interval that recurs most often, the smaller of two that do; of one
    /// advance and one payment, the term, up to a year.
    pub(super) fn unit(&self) -> Result<Unit, NoRate> {
        if let [advance, payment] = self.flows {
            let (from, to) = (advance.day, payment.day);
            return Ok(match self.months(from, to) {
                (12.., _) => Unit::Months(12),
                (months, 0) => Unit::Months(months),
                _ => Unit::Days(days(from, to)),
            });
        }
        let advances = self.flows.iter().filter(|flow| flow.amount.0 < 0);
        let advances: Vec<_> = advances.map(|flow| flow.day).collect();
        let payments: Vec<_> = [self.start()].into_iter().chain(paid(self.flows)).collect();
        let mut common: BTreeMap<Unit, u32> = BTreeMap::new();
        for series in [payments, advances] {
            let mut halves = vec![false; series.len()];
            for (at, days) in series.windows(3).enumerate() {
                if self.is_half(days) {
                    halves[at] = true;
                    halves[at + 1] = true;
                }
            }
            for (interval, half) in series.windows(2).zip(halves) {
                let mut units = self.lengths(interval[0], interval[1]);
                units.extend(half.then_some(Unit::HalfMonth));
                for unit in units {
                    *common.entry(unit).or_default() += 1;
                }
            }
        }
        common
            .into_iter()
            .filter(|&(_, count)| count > 1)
            .max_by_key(|&(unit, count)| (count, Reverse(unit.days())))
            .map(|(unit, _)| unit)
            .ok_or(NoRate::NoUnit)
    }

    /// What an interval is a whole number of, up to a year.
    fn lengths(&self, from: Day, to: Day) -> Vec<Unit> {
        let days = days(from, to);
        let mut units = Vec::with_capacity(3);
        match days {
            1..=364 if days.is_multiple_of(7) => units.push(Unit::Weeks(days / 7)),
            1..=365 => units.push(Unit::Days(days)),
            _ => {}
        }
        let months = months_apart(from, to);
        if (1..=12).contains(&months) && (self.regular || self.back(to, months) == from) {
            units.push(Unit::Months(months));
        }
        units
    }

    /// True if two intervals are halves of one month.
    fn is_half(&self, series: &[Day]) -> bool {
        let [first, middle, last] = *series else {
            return false;
        };
        let half = |from, to| (13..=18).contains(&days(from, to));
        half(first, middle)
            && half(middle, last)
            && months_apart(first, last) == 1
            && self.back(last, 1) == first
    }

    /// Full months measured back from the later day, and the days left before them.
    fn months(&self, from: Day, to: Day) -> (u32, u32) {
        let months = months_apart(from, to);
        if self.regular {
            return (months, 0);
        }
        let begun = self.back(to, months) < from;
        let months = months - u32::from(begun);
        (months, days(from, self.back(to, months)))
    }

    /// The same day of month `months` earlier.
    fn back(&self, day: Day, months: u32) -> Day {
        let (year, month, of_month) = day.ymd();
        let wanted = match is_last(day) {
            true => of_month.max(self.anchor),
            false => of_month,
        };
        let index = year * 12 + month as i32 - 1 - months as i32;
        let (year, month) = (index.div_euclid(12), index.rem_euclid(12) as u32 + 1);
        (1..=wanted)
            .rev()
            .find_map(|of_month| Day::from_ymd(year, month, of_month))
            .expect("a month within the transaction has days")
    }
}

fn paid(flows: &[Flow]) -> impl Iterator<Item = Day> {
    let payments = flows.iter().filter(|flow| flow.amount.is_positive());
    payments.map(|flow| flow.day)
}

fn is_last(day: Day) -> bool {
    (day + 1).ymd().2 == 1
}

fn days(from: Day, to: Day) -> u32 {
    u32::try_from(to - from).expect("flows are in order")
}

/// Months from one day's month to another's.
fn months_apart(from: Day, to: Day) -> u32 {
    let index = |day: Day| {
        let (year, month, _) = day.ymd();
        12 * year + month as i32
    };
    u32::try_from(index(to) - index(from)).expect("flows are in order")
}

/// Days as parts of years: a 365th in a common year, a 366th in a leap year.
fn parts_of_years(from: Day, to: Day) -> u32 {
    let eve = |year: i32| Day::from_ymd(year, 12, 31).unwrap_or(to);
    (from.ymd().0..=to.ymd().0)
        .map(|year| {
            let first = if year == from.ymd().0 {
                from
            } else {
                eve(year - 1)
            };
            let is_leap = Day::from_ymd(year, 2, 29).is_some();
            days(first, to.min(eve(year))) * if is_leap { 365 } else { 366 }
        })
        .sum()
}
