//! Periods and the days that recur after them, as ACTUS writes and counts them.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;
use thiserror::Error;

use super::day::Day;
use crate::money::written_as_text;

/// What a period counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Days, `D`.
    Day,
    /// Weeks, `W`.
    Week,
    /// Months, `M`.
    Month,
    /// Quarters, `Q`, which ACTUS adds to ISO 8601.
    Quarter,
    /// Half years, `H`, which ACTUS adds to ISO 8601.
    HalfYear,
    /// Years, `Y`.
    Year,
}

/// A length of time as ISO 8601 writes it: `P1M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// How many.
    pub count: u16,
    /// Of what.
    pub unit: Unit,
}

/// Text that is not a period.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a period; write P, a number and one of D, W, M, Q, H, Y, for example P1M")]
pub struct PeriodError(pub String);

impl Period {
    /// One month.
    pub const MONTH: Period = Period {
        count: 1,
        unit: Unit::Month,
    };

    /// Length in months, if it is counted in months.
    pub fn months(self) -> Option<u32> {
        let each = match self.unit {
            Unit::Day | Unit::Week => return None,
            Unit::Month => 1,
            Unit::Quarter => 3,
            Unit::HalfYear => 6,
            Unit::Year => 12,
        };
        Some(u32::from(self.count) * each)
    }

    /// The day `times` periods after another. A month too short for its day of month gives its
    /// last day.
    pub fn after(self, day: Day, times: u32) -> Day {
        self.shift(day, i32::try_from(times).expect("period overflow"))
    }

    /// The day one period before another.
    pub fn before(self, day: Day) -> Day {
        self.shift(day, -1)
    }

    fn shift(self, day: Day, times: i32) -> Day {
        let count = i32::from(self.count);
        match self.unit {
            Unit::Day => day + count * times,
            Unit::Week => day + 7 * count * times,
            Unit::Month => day.shift_months(count * times),
            Unit::Quarter => day.shift_months(3 * count * times),
            Unit::HalfYear => day.shift_months(6 * count * times),
            Unit::Year => day.shift_months(12 * count * times),
        }
    }
}

impl FromStr for Period {
    type Err = PeriodError;
    fn from_str(text: &str) -> Result<Period, PeriodError> {
        let parse = || {
            let rest = text.trim().strip_prefix('P')?;
            let (count, unit) = rest.split_at_checked(rest.len().checked_sub(1)?)?;
            let unit = match unit {
                "D" => Unit::Day,
                "W" => Unit::Week,
                "M" => Unit::Month,
                "Q" => Unit::Quarter,
                "H" => Unit::HalfYear,
                "Y" => Unit::Year,
                _ => return None,
            };
            // `parse` alone would take a sign.
            let is_number = count.bytes().all(|byte| byte.is_ascii_digit());
            let count = count.parse().ok().filter(|_| is_number)?;
            Some(Period { count, unit })
        };
        parse().ok_or_else(|| PeriodError(text.to_owned()))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Day => 'D',
            Unit::Week => 'W',
            Unit::Month => 'M',
            Unit::Quarter => 'Q',
            Unit::HalfYear => 'H',
            Unit::Year => 'Y',
        };
        write!(f, "P{}{unit}", self.count)
    }
}

written_as_text!(Period, "^P[0-9]+[DWMQHY]$", "P1M");

/// What becomes of a last period that the end cuts short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stub {
    /// It joins the period before it, `L0`.
    Long,
    /// It stands alone, `L1`.
    Short,
}

/// A period that repeats, written as in ACTUS: `P1ML0`, or `P1M` for a short stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cycle {
    // Private because a cycle of no days would never end.
    period: Period,
    stub: Stub,
}

/// Text that is not a cycle.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not a cycle; write a period above zero and L0 for a long or L1 for a short last \
     one, for example P1ML0"
)]
pub struct CycleError(pub String);

impl Cycle {
    /// The cycle of a period, unless that is empty.
    pub fn new(period: Period, stub: Stub) -> Option<Cycle> {
        (period.count > 0).then_some(Cycle { period, stub })
    }

    /// What repeats.
    pub fn period(self) -> Period {
        self.period
    }

    /// What becomes of the last period.
    pub fn stub(self) -> Stub {
        self.stub
    }
}

impl FromStr for Cycle {
    type Err = CycleError;
    fn from_str(text: &str) -> Result<Cycle, CycleError> {
        let parse = || {
            let (period, stub) = match text.trim().split_once('L') {
                None => (text, Stub::Short),
                Some((period, "0")) => (period, Stub::Long),
                Some((period, "1")) => (period, Stub::Short),
                Some(_) => return None,
            };
            Cycle::new(period.parse().ok()?, stub)
        };
        parse().ok_or_else(|| CycleError(text.to_owned()))
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stub = match self.stub {
            Stub::Long => "L0",
            Stub::Short => "L1",
        };
        write!(f, "{}{stub}", self.period)
    }
}

written_as_text!(Cycle, "^P[0-9]*[1-9][0-9]*[DWMQHY](L[01])?$", "P1ML0");

/// Which day of the month recurs (ACTUS `endOfMonthConvention`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndOfMonth {
    /// The anchor's, or the last of a month too short for it.
    #[default]
    SameDay,
    /// The last one, if the anchor is the last day of its month and the period counts months.
    EndOfMonth,
}

impl EndOfMonth {
    /// The convention with this ACTUS code.
    pub fn from_actus(code: &str) -> Option<EndOfMonth> {
        match code {
            "SD" => Some(EndOfMonth::SameDay),
            "EOM" => Some(EndOfMonth::EndOfMonth),
            _ => None,
        }
    }

    /// The convention's ACTUS code.
    pub fn actus(self) -> &'static str {
        match self {
            EndOfMonth::SameDay => "SD",
            EndOfMonth::EndOfMonth => "EOM",
        }
    }
}

/// The day `k` periods after the anchor. It is counted from the anchor and not from the day
/// before it, so that 31 January leads over 28 February to 31 March.
pub fn nth(anchor: Day, period: Period, eom: EndOfMonth, k: u32) -> Day {
    let day = period.after(anchor, k);
    let in_months = !matches!(period.unit, Unit::Day | Unit::Week);
    if eom == EndOfMonth::EndOfMonth && in_months && anchor == anchor.month_end() {
        day.month_end()
    } else {
        day
    }
}

/// The anchor and the days that recur after it, as far as they lie before `end`, then `end` (the
/// schedule function of the ACTUS specification).
///
/// With a long stub, the last recurring day goes if `end` does not recur itself; the anchor always
/// stays. An end that is not after the anchor is the whole schedule.
pub fn schedule(anchor: Day, end: Day, cycle: Cycle, eom: EndOfMonth) -> Vec<Day> {
    let recurring = |k| nth(anchor, cycle.period, eom, k);
    let mut days: Vec<Day> = (0..).map(recurring).take_while(|day| *day < end).collect();
    if cycle.stub == Stub::Long && days.len() > 1 && recurring(days.len() as u32) != end {
        days.pop();
    }
    days.push(end);
    days
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::date as day;

    fn days(anchor: &str, end: &str, cycle: &str, eom: EndOfMonth) -> Vec<String> {
        let cycle = cycle.parse().expect("a cycle");
        let days = schedule(day(anchor), day(end), cycle, eom);
        days.iter().map(Day::to_string).collect()
    }

    fn period(text: &str) -> Period {
        text.parse().expect("a period")
    }

    #[test]
    fn periods_and_cycles_are_written_as_read() {
        for text in ["P1M", "P2W", "P27D", "P1Y", "P1Q", "P1H", "P0D", "P65535D"] {
            assert_eq!(period(text).to_string(), text);
        }
        for (text, written) in [("P1ML0", "P1ML0"), ("P3ML1", "P3ML1"), ("P1Q", "P1QL1")] {
            let cycle: Cycle = text.parse().expect("a cycle");
            assert_eq!(cycle.to_string(), written);
            assert_eq!(Cycle::new(cycle.period(), cycle.stub()), Some(cycle));
        }
    }

    #[test]
    fn what_is_no_period_or_cycle_is_refused() {
        for text in [
            "", "P", "PM", "1M", "P1", "P+1M", "P-1M", "P1X", "P65536D", "P1M2D", "P1é",
        ] {
            assert_eq!(
                text.parse::<Period>().map_err(|error| error.to_string()),
                Err(format!(
                    "`{text}` is not a period; write P, a number and one of D, W, M, Q, H, Y, \
                     for example P1M"
                ))
            );
        }
        for text in ["P0D", "P0ML1", "P1ML2", "P1ML", "L0", "month"] {
            assert_eq!(
                text.parse::<Cycle>().map_err(|error| error.to_string()),
                Err(format!(
                    "`{text}` is not a cycle; write a period above zero and L0 for a long or L1 \
                     for a short last one, for example P1ML0"
                ))
            );
        }
    }

    #[test]
    fn periods_lead_forwards_and_back() {
        for (text, times, after, before) in [
            ("P0D", 9, "2018-03-31", "2018-03-31"),
            ("P27D", 1, "2018-04-27", "2018-03-04"),
            ("P2W", 2, "2018-04-28", "2018-03-17"),
            ("P1M", 1, "2018-04-30", "2018-02-28"),
            ("P1Q", 2, "2018-09-30", "2017-12-31"),
            ("P1H", 1, "2018-09-30", "2017-09-30"),
            ("P1Y", 2, "2020-03-31", "2017-03-31"),
        ] {
            let from = day("2018-03-31");
            assert_eq!(period(text).after(from, times), day(after), "{text}");
            assert_eq!(period(text).before(from), day(before), "{text}");
        }
    }

    #[test]
    fn month_ends_do_not_drift() {
        let end = "2018-05-01";
        assert_eq!(
            days("2018-01-31", end, "P1M", EndOfMonth::SameDay),
            ["2018-01-31", "2018-02-28", "2018-03-31", "2018-04-30", end]
        );
        assert_eq!(
            days("2018-02-28", end, "P1M", EndOfMonth::SameDay),
            ["2018-02-28", "2018-03-28", "2018-04-28", end]
        );
    }

    #[test]
    fn month_ends_recur_only_where_the_anchor_is_one() {
        let nth = |anchor, text| {
            let day = nth(day(anchor), period(text), EndOfMonth::EndOfMonth, 1);
            day.to_string()
        };
        assert_eq!(nth("2016-02-29", "P1M"), "2016-03-31");
        assert_eq!(nth("2016-02-29", "P1Y"), "2017-02-28");
        assert_eq!(nth("2016-04-30", "P1Q"), "2016-07-31");
        assert_eq!(nth("2016-04-29", "P1M"), "2016-05-29");
        assert_eq!(nth("2016-02-29", "P4W"), "2016-03-28");
    }

    /// Cases with the outcome of the tests of ACTUS's reference implementation.
    #[test]
    fn stubs_are_long_or_short() {
        for (anchor, end, cycle, count, last_but_one) in [
            ("2016-01-15", "2017-01-01", "P1ML1", 13, "2016-12-15"),
            ("2016-01-15", "2017-01-01", "P1ML0", 12, "2016-11-15"),
            ("2016-01-15", "2017-01-01", "P2ML0", 6, "2016-09-15"),
            ("2016-01-01", "2017-01-01", "P1ML0", 13, "2016-12-01"),
            ("2016-02-29", "2017-01-01", "P1ML1", 12, "2016-12-31"),
            ("2016-02-29", "2017-01-01", "P1ML0", 11, "2016-11-30"),
            ("2016-02-29", "2017-01-01", "P2ML0", 6, "2016-10-31"),
            ("2016-11-30", "2017-01-01", "P2ML0", 2, "2016-11-30"),
            ("2016-01-01", "2017-01-01", "P1DL0", 367, "2016-12-31"),
        ] {
            let days = days(anchor, end, cycle, EndOfMonth::EndOfMonth);
            assert_eq!(days.len(), count, "{anchor} {cycle}");
            assert_eq!(days[count - 2], last_but_one, "{anchor} {cycle}");
            assert_eq!((&days[0][..], &days[count - 1][..]), (anchor, end));
        }
        for anchor in ["2018-05-01", "2018-06-01"] {
            let days = days(anchor, "2018-05-01", "P1ML0", EndOfMonth::SameDay);
            assert_eq!(days, ["2018-05-01"]);
        }
    }

    #[test]
    fn month_end_conventions_have_codes() {
        for code in ["SD", "EOM"] {
            assert_eq!(
                EndOfMonth::from_actus(code).map(EndOfMonth::actus),
                Some(code)
            );
        }
        assert_eq!(EndOfMonth::from_actus("EM"), None);
    }
}
