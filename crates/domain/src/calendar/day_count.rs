//! How time becomes a fraction of a year.

use std::fmt;

use minicbor::{Decode, Encode};
use schemars::JsonSchema;
use serde::Deserialize;

use super::day::{Day, days_in_month, is_leap_year};

/// How the time between two days becomes a fraction of a year (ACTUS `dayCountConvention`).
///
/// Each convention gives every day a number, and the fraction is the difference of the two
/// numbers over the basis. Interest over adjoining periods therefore adds up, and the accrued
/// interest of a whole portfolio is one linear function of time. Two conventions bend this on the
/// last day of a period: see [`DayCount::number_at_maturity`] and [`DayCount::Us30360`].
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
    /// Actual days, those of leap years over 366 and the others over 365 (ISDA).
    #[n(3)]
    #[serde(rename = "AA")]
    AA,
    /// Months of 30 days over 360 (ISDA): day 31 and the last day of February count as day 30,
    /// except a last day of February on which the loan matures.
    #[n(4)]
    #[serde(rename = "30E/360 ISDA")]
    E30360Isda,
    /// Months of 30 days over 360 (United States bonds): day 31 and the last day of February
    /// count as day 30 where a period starts; where it ends, only if the start counts alike.
    ///
    /// The end of a period thus depends on its start, and periods do not add up. Interest accrued
    /// day by day with [`DayCount::number`] treats every day as a start; it differs from that of
    /// [`DayCount::days`] by up to two days, to be made up on the due date.
    #[n(5)]
    #[serde(rename = "30/360 US")]
    Us30360,
}

/// A year in the numbers of [`DayCount::AA`]: the least that both 365 and 366 divide.
const AA_YEAR: i32 = 365 * 366;

impl DayCount {
    /// All conventions, in the order of [`DayCount::index`].
    pub const ALL: [DayCount; 6] = [
        DayCount::A360,
        DayCount::A365,
        DayCount::E30360,
        DayCount::AA,
        DayCount::E30360Isda,
        DayCount::Us30360,
    ];

    /// The convention's position in [`DayCount::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// What a year counts in the convention's numbers: days, but for [`DayCount::AA`].
    pub fn basis(self) -> i128 {
        match self {
            DayCount::A365 => 365,
            DayCount::A360 | DayCount::E30360 | DayCount::E30360Isda | DayCount::Us30360 => 360,
            DayCount::AA => AA_YEAR as i128,
        }
    }

    /// The number of a day; a difference of numbers over the basis is a fraction of a year.
    pub fn number(self, day: Day) -> i32 {
        match self {
            DayCount::A360 | DayCount::A365 => day.0,
            _ => self.number_of(day.ymd()),
        }
    }

    /// The number of the day on which a loan matures.
    pub fn number_at_maturity(self, day: Day) -> i32 {
        match self {
            DayCount::E30360Isda => thirty(day.ymd()),
            _ => self.number(day),
        }
    }

    /// The number of the day `months` after another.
    pub fn number_after(self, day: Day, months: u32) -> i32 {
        self.number_of(day.ymd_after(i32::try_from(months).expect("month overflow")))
    }

    /// What the period from one day to another counts, neither of them being the maturity.
    pub fn days(self, from: Day, to: Day) -> i32 {
        let end = match self {
            DayCount::Us30360 => us_end(from, to),
            _ => self.number(to),
        };
        end - self.number(from)
    }

    /// The convention with this name in the ACTUS dictionary; `30U360` is our own addition to it.
    pub fn from_actus(name: &str) -> Option<DayCount> {
        DayCount::ALL
            .into_iter()
            .find(|convention| convention.actus() == name)
    }

    /// The convention's name in the ACTUS dictionary.
    pub fn actus(self) -> &'static str {
        match self {
            DayCount::A360 => "A360",
            DayCount::A365 => "A365",
            DayCount::E30360 => "30E360",
            DayCount::AA => "AA",
            DayCount::E30360Isda => "30E360ISDA",
            DayCount::Us30360 => "30U360",
        }
    }

    fn number_of(self, ymd: (i32, u32, u32)) -> i32 {
        match self {
            DayCount::A360 | DayCount::A365 => Day::of(ymd).0,
            DayCount::E30360 => thirty(ymd),
            DayCount::AA => {
                let year = ymd.0;
                let unit = AA_YEAR / if is_leap_year(year) { 366 } else { 365 };
                AA_YEAR * (year - 1970) + unit * (Day::of(ymd) - Day::of((year, 1, 1)))
            }
            DayCount::E30360Isda | DayCount::Us30360 if is_february_end(ymd) => {
                thirty((ymd.0, 2, 30))
            }
            DayCount::E30360Isda | DayCount::Us30360 => thirty(ymd),
        }
    }
}

/// The number of a day in months of 30 days.
fn thirty((year, month, day): (i32, u32, u32)) -> i32 {
    360 * (year - 1970) + 30 * month as i32 + day.min(30) as i32
}

/// The number, in months of 30 days, of the end of a period of [`DayCount::Us30360`].
fn us_end(from: Day, to: Day) -> i32 {
    let (start, end) = (from.ymd(), to.ymd());
    let from_february_end = is_february_end(start);
    if from_february_end && is_february_end(end) {
        thirty((end.0, 2, 30))
    } else if end.2 == 31 && start.2 < 30 && !from_february_end {
        thirty(end) + 1
    } else {
        thirty(end)
    }
}

fn is_february_end((year, month, day): (i32, u32, u32)) -> bool {
    month == 2 && day == days_in_month(year, 2)
}

impl fmt::Display for DayCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DayCount::A360 => "A/360",
            DayCount::A365 => "A/365",
            DayCount::E30360 => "30E/360",
            DayCount::AA => "AA",
            DayCount::E30360Isda => "30E/360 ISDA",
            DayCount::Us30360 => "30/360 US",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::date as day;

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

    /// The examples of ISDA's memorandum "EMU and Market Conventions" (1998).
    #[test]
    fn actual_actual_gives_the_published_figures() {
        for (from, to, ordinary, leap) in [
            ("2003-11-01", "2004-05-01", 61, 121),
            ("1999-02-01", "1999-07-01", 150, 0),
            ("1999-07-01", "2000-07-01", 184, 182),
            ("2002-08-15", "2003-07-15", 334, 0),
            ("2003-07-15", "2004-01-15", 170, 14),
            ("1999-07-30", "2000-01-30", 155, 29),
            ("2000-01-30", "2000-06-30", 0, 152),
        ] {
            // ordinary/365 + leap/366, over the common denominator.
            let expected = ordinary * 366 + leap * 365;
            assert_eq!(DayCount::AA.days(day(from), day(to)), expected, "{from}");
        }
        assert_eq!(DayCount::AA.basis(), 133_590);
    }

    #[test]
    fn actual_actual_counts_each_day_by_its_year() {
        assert_eq!(DayCount::AA.number(Day(0)), 0);
        for number in day("1890-01-01").0..day("2410-01-01").0 {
            let today = Day(number);
            let leap = Day::from_ymd(today.ymd().0, 2, 29).is_some();
            let expected = if leap { 365 } else { 366 };
            assert_eq!(DayCount::AA.days(today, today + 1), expected, "{today}");
        }
    }

    #[test]
    fn february_ends_count_as_day_30_but_at_maturity() {
        let isda = DayCount::E30360Isda;
        for (from, to, days) in [
            ("2006-08-20", "2007-02-20", 180),
            ("2006-02-28", "2006-08-31", 180),
            ("2006-08-31", "2007-02-28", 180),
            ("2008-02-28", "2008-08-31", 182),
            ("2007-02-28", "2008-02-29", 360),
            ("2008-02-29", "2008-03-01", 1),
        ] {
            assert_eq!(isda.days(day(from), day(to)), days, "{from} {to}");
        }
        let (from, maturity) = (day("2011-08-31"), day("2012-02-29"));
        assert_eq!(isda.number_at_maturity(maturity) - isda.number(from), 179);
        for convention in DayCount::ALL.into_iter().filter(|one| *one != isda) {
            assert_eq!(
                convention.number_at_maturity(maturity),
                convention.number(maturity)
            );
        }
    }

    #[test]
    fn the_end_of_a_bond_period_depends_on_its_start() {
        for (from, to, days) in [
            ("2006-01-31", "2006-02-28", 28),
            ("2006-01-30", "2006-02-28", 28),
            ("2006-02-28", "2006-03-03", 3),
            ("2006-02-14", "2006-02-28", 14),
            ("2006-09-30", "2006-10-31", 30),
            ("2006-10-31", "2006-11-28", 28),
            ("2008-02-28", "2008-08-30", 182),
            ("2008-02-28", "2008-08-31", 183),
            ("2007-02-28", "2008-02-28", 358),
            ("2007-02-28", "2008-02-29", 360),
            ("2008-02-29", "2009-02-28", 360),
            ("2008-02-29", "2008-03-31", 30),
        ] {
            let counted = DayCount::Us30360.days(day(from), day(to));
            assert_eq!(counted, days, "{from} {to}");
        }
        // Day by day, the last day of February counts as day 30.
        let number = |text| DayCount::Us30360.number(day(text));
        assert_eq!(number("2006-02-28") - number("2006-02-14"), 16);
    }

    #[test]
    fn the_number_after_months_is_that_of_the_day() {
        for convention in DayCount::ALL {
            for number in 18_000..18_400 {
                for months in [0, 1, 2, 11, 12, 30] {
                    let later = Day(number).plus_months(months);
                    assert_eq!(
                        convention.number_after(Day(number), months),
                        convention.number(later)
                    );
                }
            }
        }
    }

    #[test]
    fn names_and_encodings_go_both_ways() {
        for (index, convention) in DayCount::ALL.into_iter().enumerate() {
            assert_eq!(convention.index(), index);
            assert_eq!(DayCount::from_actus(convention.actus()), Some(convention));
            let read: toml::Table = format!("it = \"{convention}\"").parse().expect("TOML");
            assert_eq!(read["it"].clone().try_into(), Ok(convention));
            let bytes = minicbor::to_vec(convention).expect("encoding needs no I/O");
            assert_eq!(bytes, [index as u8]);
            assert_eq!(minicbor::decode::<DayCount>(&bytes).ok(), Some(convention));
        }
        assert_eq!(DayCount::from_actus("28E336"), None);
    }
}
