//! Civil dates and their arithmetic.

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
        Some(Day::of((year, month, day)))
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

    pub(super) fn of((year, month, day): (i32, u32, u32)) -> Day {
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
        self.shift_months(i32::try_from(months).expect("month overflow"))
    }

    /// [`Day::plus_months`], also backwards.
    pub(super) fn shift_months(self, months: i32) -> Day {
        Day::of(self.ymd_after(months))
    }

    /// Year, month and day of month of [`Day::shift_months`].
    pub(super) fn ymd_after(self, months: i32) -> (i32, u32, u32) {
        let (year, month, day) = self.ymd();
        let index = month as i32 - 1 + months;
        let (year, month) = (year + index.div_euclid(12), index.rem_euclid(12) as u32 + 1);
        (year, month, day.min(days_in_month(year, month)))
    }

    /// The last day of the day's month.
    pub fn month_end(self) -> Day {
        let (year, month, _) = self.ymd();
        Day::of((year, month, days_in_month(year, month)))
    }

    /// The day of the week.
    pub fn weekday(self) -> Weekday {
        // 1970-01-01 was a Thursday.
        Weekday::ALL[(self.0 + 3).rem_euclid(7) as usize]
    }

    /// The day of month `day`, or the last one if the month is shorter, `months` after this
    /// day's month.
    pub fn in_month(self, months: u32, day: u32) -> Day {
        let (year, month, _) = self.ymd();
        let first = Day::of((year, month, 1)).plus_months(months);
        (first + (day as i32 - 1)).min(first.month_end())
    }

    /// True on Saturday and Sunday.
    pub fn is_weekend(self) -> bool {
        matches!(self.weekday(), Weekday::Saturday | Weekday::Sunday)
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

pub(super) fn is_leap_year(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(super) fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap_year(year) => 29,
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

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

impl Weekday {
    /// The week from Monday on.
    pub const ALL: [Weekday; 7] = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::date as day;

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
        assert_eq!(day("2018-03-31").shift_months(-1), day("2018-02-28"));
        assert_eq!(day("2018-01-15").shift_months(-13), day("2016-12-15"));
        assert_eq!(day("2016-02-10").month_end(), day("2016-02-29"));
    }

    #[test]
    fn business_days_pass_over_weekends() {
        // 2018-03-02 was a Friday.
        assert_eq!(day("2018-03-02").weekday(), Weekday::Friday);
        assert!(!day("2018-03-02").is_weekend() && day("2018-03-03").is_weekend());
        assert_eq!(day("2018-03-02").plus_business_days(1), day("2018-03-05"));
        assert_eq!(day("2018-03-03").plus_business_days(1), day("2018-03-05"));
        assert_eq!(day("2018-03-05").plus_business_days(5), day("2018-03-12"));
    }
}
