//! Days, monthly cycles and day counts. The business calendar has weekends only; holidays come
//! with the loan engine's calendars.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use minicbor::{Decode, Encode};
use schemars::JsonSchema;
use serde::Deserialize;
use thiserror::Error;

use crate::money::written_as_text;

/// A civil date (proleptic Gregorian), counted in days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Day(#[n(0)] pub i32);

/// Text that is not a date.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not a date; write year-month-day, for example 2018-02-28")]
pub struct DateError(pub String);

impl Day {
    /// The day with this year, month (1–12) and day of month, if there is one.
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Day> {
        if !(1..=9999).contains(&year)
            || !(1..=12).contains(&month)
            || day == 0
            || day > days_in_month(year, month)
        {
            return None;
        }
        Some(Day::of(year, month, day))
    }

    /// Year, month (1–12) and day of month.
    ///
    /// Years are counted from March, so that the leap day is the last of its year and months
    /// follow a linear pattern.
    pub fn ymd(self) -> (i32, u32, u32) {
        let shifted = self.0 + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        (
            year_of_era + era * 400 + i32::from(month <= 2),
            month as u32,
            day as u32,
        )
    }

    fn of(year: i32, month: u32, day: u32) -> Day {
        let year = year - i32::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let march_month = (month as i32 + 9) % 12;
        let day_of_year = (153 * march_month + 2) / 5 + day as i32 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Day(era * 146_097 + day_of_era - 719_468)
    }

    /// The day before.
    pub fn previous(self) -> Day {
        Day(self.0 - 1)
    }

    /// The same day of month `months` later, or that month's last day if it is shorter.
    pub fn plus_months(self, months: u32) -> Day {
        let (year, month, day) = self.ymd_after(months);
        Day::of(year, month, day)
    }

    /// Year, month and day of month of [`Day::plus_months`].
    fn ymd_after(self, months: u32) -> (i32, u32, u32) {
        let (year, month, day) = self.ymd();
        let index = month - 1 + months;
        let (year, month) = (year + (index / 12) as i32, index % 12 + 1);
        (year, month, day.min(days_in_month(year, month)))
    }

    /// True on Saturday and Sunday.
    pub fn is_weekend(self) -> bool {
        // 1970-01-01 was a Thursday.
        matches!((self.0 + 3).rem_euclid(7), 5 | 6)
    }

    /// The business day that lies `days` business days after this one; no days after a weekend
    /// day is the first business day behind it.
    pub fn plus_business_days(self, days: u32) -> Day {
        let mut day = self;
        for _ in 0..days {
            day = day + 1;
            while day.is_weekend() {
                day = day + 1;
            }
        }
        while day.is_weekend() {
            day = day + 1;
        }
        day
    }
}

fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

impl Add<i32> for Day {
    type Output = Day;
    fn add(self, days: i32) -> Day {
        Day(self.0 + days)
    }
}

impl Sub for Day {
    type Output = i32;
    fn sub(self, earlier: Day) -> i32 {
        self.0 - earlier.0
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for Day {
    type Err = DateError;
    fn from_str(text: &str) -> Result<Day, DateError> {
        let parse = || {
            let mut parts = text.trim().splitn(3, '-');
            let mut next = |width: usize| {
                parts
                    .next()
                    .filter(|part| part.len() == width && part.bytes().all(|b| b.is_ascii_digit()))
            };
            let (year, month, day) = (next(4)?, next(2)?, next(2)?);
            Day::from_ymd(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
        };
        parse().ok_or_else(|| DateError(text.to_owned()))
    }
}

written_as_text!(Day, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "2018-02-28");

/// How the time between two days becomes a fraction of a year (ACTUS `dayCountConvention`).
///
/// Each convention here gives every day a number, and the fraction is the difference of the two
/// numbers over the basis. Interest over adjoining periods therefore adds up, and the accrued
/// interest of a whole portfolio is one linear function of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Deserialize, JsonSchema)]
#[cbor(index_only)]
pub enum DayCount {
    /// Actual days over 360.
    #[n(0)]
    #[serde(rename = "A/360")]
    A360,
    /// Actual days over 365.
    #[n(1)]
    #[serde(rename = "A/365")]
    A365,
    /// Months of 30 days over 360 (Eurobond basis): day 31 counts as day 30.
    #[n(2)]
    #[serde(rename = "30E/360")]
    E30360,
}

impl DayCount {
    /// All conventions, in the order of [`DayCount::index`].
    pub const ALL: [DayCount; 3] = [DayCount::A360, DayCount::A365, DayCount::E30360];

    /// The convention's position in [`DayCount::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Days of a year.
    pub fn basis(self) -> i128 {
        match self {
            DayCount::A365 => 365,
            DayCount::A360 | DayCount::E30360 => 360,
        }
    }

    /// The number of a day; differences of numbers are days of interest.
    pub fn number(self, day: Day) -> i32 {
        match self {
            DayCount::A360 | DayCount::A365 => day.0,
            DayCount::E30360 => thirty(day.ymd()),
        }
    }

    /// The number of the day `months` after another.
    pub fn number_after(self, day: Day, months: u32) -> i32 {
        match self {
            DayCount::A360 | DayCount::A365 => day.plus_months(months).0,
            DayCount::E30360 => thirty(day.ymd_after(months)),
        }
    }

    /// Days of interest from one day to another.
    pub fn days(self, from: Day, to: Day) -> i32 {
        self.number(to) - self.number(from)
    }
}

/// The number of a day in months of 30 days.
fn thirty((year, month, day): (i32, u32, u32)) -> i32 {
    360 * year + 30 * month as i32 + day.min(30) as i32
}

impl fmt::Display for DayCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DayCount::A360 => "A/360",
            DayCount::A365 => "A/365",
            DayCount::E30360 => "30E/360",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        text.parse().expect("a date")
    }

    #[test]
    fn every_day_of_four_centuries_survives_the_round_trip() {
        let (first, last) = (day("1800-01-01"), day("2200-12-31"));
        for number in first.0..=last.0 {
            let (year, month, of_month) = Day(number).ymd();
            assert_eq!(Day::from_ymd(year, month, of_month), Some(Day(number)));
        }
        assert_eq!(last - first, 146_461);
        assert_eq!(day("1970-01-01"), Day(0));
    }

    #[test]
    fn impossible_dates_are_refused() {
        for text in [
            "2018-02-29",
            "2018-13-01",
            "2018-00-10",
            "2018-1-1",
            "18-01-01",
            "2018-01-32",
            "soon",
            "",
        ] {
            assert_eq!(
                text.parse::<Day>().map_err(|e| e.to_string()),
                Err(format!(
                    "`{text}` is not a date; write year-month-day, for example 2018-02-28"
                ))
            );
        }
    }

    #[test]
    fn months_keep_the_day_where_they_can() {
        assert_eq!(day("2018-01-31").plus_months(1), day("2018-02-28"));
        assert_eq!(day("2018-01-31").plus_months(2), day("2018-03-31"));
        assert_eq!(day("2019-11-30").plus_months(15), day("2021-02-28"));
        assert_eq!(day("2018-12-15").plus_months(12), day("2019-12-15"));
    }

    #[test]
    fn business_days_pass_over_weekends() {
        // 2018-03-02 was a Friday.
        assert!(!day("2018-03-02").is_weekend() && day("2018-03-03").is_weekend());
        assert_eq!(day("2018-03-02").plus_business_days(1), day("2018-03-05"));
        assert_eq!(day("2018-03-03").plus_business_days(1), day("2018-03-05"));
        assert_eq!(day("2018-03-05").plus_business_days(5), day("2018-03-12"));
    }

    #[test]
    fn day_counts_follow_their_conventions() {
        let (from, to) = (day("2018-01-31"), day("2018-03-01"));
        assert_eq!(DayCount::A360.days(from, to), 29);
        assert_eq!(DayCount::A365.days(from, to), 29);
        assert_eq!(DayCount::E30360.days(from, to), 31);
        assert_eq!(
            DayCount::E30360.days(day("2018-02-28"), day("2018-03-31")),
            32
        );
    }
}
