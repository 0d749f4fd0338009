//! The days banks work on, and what becomes of a day that falls on another.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::day::{Day, Weekday};
use crate::document::{Document, Problem};

/// A business calendar as its document writes it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CalendarFile {
    /// Version of this file format: 1.
    pub format: u32,
    /// Name, as agreements write it.
    pub id: String,
    /// Title for people.
    pub title: String,
    /// Where the days are published.
    pub source: Option<String>,
    /// Days of the week without business, at most six; an empty list for none.
    pub weekend: Vec<Weekday>,
    /// Other days without business.
    #[serde(default)]
    pub holiday: Vec<Holiday>,
    /// Weekend days that are worked all the same.
    #[serde(default)]
    pub working: Vec<Day>,
}

/// A day without business.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Holiday {
    /// The day.
    pub day: Day,
    /// Its name for people.
    pub name: String,
}

/// Which days are business days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusinessCalendar {
    /// Name, as agreements write it.
    pub id: String,
    // Private because a search for a business day must find one: some day of the week is none
    // of the weekend, and the lists of days are sorted.
    weekend: Vec<Weekday>,
    holidays: Vec<Day>,
    working_days: Vec<Day>,
}

impl BusinessCalendar {
    /// Every day is a business day (ACTUS `NC`).
    pub fn no_holidays() -> BusinessCalendar {
        BusinessCalendar::weekly("no_holidays", Vec::new())
    }

    /// Monday to Friday are business days (ACTUS `MF`).
    pub fn weekends() -> BusinessCalendar {
        BusinessCalendar::weekly("weekends", vec![Weekday::Saturday, Weekday::Sunday])
    }

    fn weekly(id: &str, weekend: Vec<Weekday>) -> BusinessCalendar {
        BusinessCalendar {
            id: id.to_owned(),
            weekend,
            holidays: Vec::new(),
            working_days: Vec::new(),
        }
    }

    /// Reads a calendar.
    pub fn parse(text: &str) -> Result<BusinessCalendar, Vec<Problem>> {
        let document = Document::parse(text).map_err(|problem| vec![problem])?;
        let file: CalendarFile = document.read().map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let mut problem = |field: String, message: String| {
            problems.push(document.problem(field, message));
        };
        if file.format != 1 {
            problem("format".into(), "this program reads format 1".into());
        }
        if Weekday::ALL.iter().all(|day| file.weekend.contains(day)) {
            let message = "no day of the week is left for business; name at most six";
            problem("weekend".into(), message.into());
        }
        let mut holidays = BTreeSet::new();
        for (place, Holiday { day, .. }) in file.holiday.iter().enumerate() {
            if !holidays.insert(*day) {
                let message = format!("{day} is named twice; name each day once");
                problem(format!("holiday[{place}].day"), message);
            }
        }
        let mut working_days = BTreeSet::new();
        for (place, &day) in file.working.iter().enumerate() {
            let wrong = if holidays.contains(&day) {
                "is also a holiday; leave out one of the two"
            } else if !file.weekend.contains(&day.weekday()) {
                "is not on a weekend; name only weekend days that are worked"
            } else if !working_days.insert(day) {
                "is named twice; name each day once"
            } else {
                continue;
            };
            problem(format!("working[{place}]"), format!("{day} {wrong}"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(BusinessCalendar {
            id: file.id,
            weekend: file.weekend,
            holidays: holidays.into_iter().collect(),
            working_days: working_days.into_iter().collect(),
        })
    }

    /// True if business is done on the day.
    pub fn is_business_day(&self, day: Day) -> bool {
        let within = |days: &[Day]| days.binary_search(&day).is_ok();
        if self.weekend.contains(&day.weekday()) {
            within(&self.working_days)
        } else {
            !within(&self.holidays)
        }
    }

    /// The day, or the first business day after it.
    pub fn following(&self, mut day: Day) -> Day {
        while !self.is_business_day(day) {
            day = day + 1;
        }
        day
    }

    /// The day, or the last business day before it.
    pub fn preceding(&self, mut day: Day) -> Day {
        while !self.is_business_day(day) {
            day = day.previous();
        }
        day
    }

    /// The business day that lies `days` business days after this one; no days after a day
    /// without business is the first business day behind it.
    pub fn plus_business_days(&self, day: Day, days: u32) -> Day {
        self.following((0..days).fold(day, |day, _| self.following(day + 1)))
    }
}

/// Where a day without business is moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BusinessDayConvention {
    /// Nowhere.
    #[default]
    None,
    /// To the next business day.
    Following,
    /// To the next business day, or to the one before if that is in another month.
    ModifiedFollowing,
    /// To the business day before.
    Preceding,
    /// To the business day before, or to the next one if that is in another month.
    ModifiedPreceding,
}

/// To which day a period counts whose last day is moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Calculation {
    /// Shift, then calculate: interest is computed to the shifted day.
    #[default]
    ShiftFirst,
    /// Calculate, then shift: interest is computed to the unshifted day.
    CalculateFirst,
}

/// How a day of a schedule avoids days without business (ACTUS `businessDayConvention`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adjustment {
    /// Where it moves.
    pub convention: BusinessDayConvention,
    /// To which day interest is computed.
    #[serde(default)]
    pub calculation: Calculation,
}

impl Adjustment {
    /// The adjustment with this ACTUS code.
    pub fn from_actus(code: &str) -> Option<Adjustment> {
        if matches!(code, "NOS" | "NULL") {
            return Some(Adjustment::default());
        }
        let (order, convention) = code.split_at_checked(2)?;
        Some(Adjustment {
            convention: match convention {
                "F" => BusinessDayConvention::Following,
                "MF" => BusinessDayConvention::ModifiedFollowing,
                "P" => BusinessDayConvention::Preceding,
                "MP" => BusinessDayConvention::ModifiedPreceding,
                _ => return None,
            },
            calculation: match order {
                "SC" => Calculation::ShiftFirst,
                "CS" => Calculation::CalculateFirst,
                _ => return None,
            },
        })
    }

    /// The adjustment's ACTUS code.
    pub fn actus(self) -> &'static str {
        use BusinessDayConvention as To;
        use Calculation::{CalculateFirst, ShiftFirst};
        match (self.calculation, self.convention) {
            (_, To::None) => "NOS",
            (ShiftFirst, To::Following) => "SCF",
            (ShiftFirst, To::ModifiedFollowing) => "SCMF",
            (ShiftFirst, To::Preceding) => "SCP",
            (ShiftFirst, To::ModifiedPreceding) => "SCMP",
            (CalculateFirst, To::Following) => "CSF",
            (CalculateFirst, To::ModifiedFollowing) => "CSMF",
            (CalculateFirst, To::Preceding) => "CSP",
            (CalculateFirst, To::ModifiedPreceding) => "CSMP",
        }
    }

    /// The shifted day, on which the payment falls. Interest is computed to it under "shift, then
    /// calculate", and to the unshifted `day` under "calculate, then shift".
    pub fn adjust(&self, calendar: &BusinessCalendar, day: Day) -> Day {
        let in_month = |shifted: Day| shifted.month_end() == day.month_end();
        let (after, before) = (calendar.following(day), calendar.preceding(day));
        match self.convention {
            BusinessDayConvention::None => day,
            BusinessDayConvention::Following => after,
            BusinessDayConvention::ModifiedFollowing if in_month(after) => after,
            BusinessDayConvention::ModifiedFollowing | BusinessDayConvention::Preceding => before,
            BusinessDayConvention::ModifiedPreceding if in_month(before) => before,
            BusinessDayConvention::ModifiedPreceding => after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::date as day;

    const CHINA: &str = r#"format = 1
id = "cn"
title = "Mainland China, Spring Festival 2024"
source = "State Council, 2023-10-25"
weekend = ["saturday", "sunday"]
working = ["2024-02-18", "2024-02-04"]
[[holiday]]
day = "2024-02-12"
name = "Spring Festival"
[[holiday]]
day = "2024-02-10"
name = "Spring Festival"
"#;

    fn problems(text: &str) -> Vec<String> {
        let problems = BusinessCalendar::parse(text).expect_err("the calendar is wrong");
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn holidays_rest_and_working_weekends_work() {
        let china = BusinessCalendar::parse(CHINA).expect("a calendar");
        assert_eq!(china.id, "cn");
        for (date, works) in [
            ("2024-02-03", false),
            ("2024-02-04", true),
            ("2024-02-09", true),
            ("2024-02-10", false),
            ("2024-02-12", false),
            ("2024-02-18", true),
        ] {
            assert_eq!(china.is_business_day(day(date)), works, "{date}");
        }
        assert_eq!(china.following(day("2024-02-10")), day("2024-02-13"));
        assert_eq!(china.following(day("2024-02-04")), day("2024-02-04"));
        assert_eq!(china.preceding(day("2024-02-12")), day("2024-02-09"));
        for (days, expected) in [(0, "2024-02-13"), (1, "2024-02-13"), (2, "2024-02-14")] {
            let counted = china.plus_business_days(day("2024-02-10"), days);
            assert_eq!(counted, day(expected));
        }
    }

    #[test]
    fn weekends_count_as_days_do() {
        let (all, weekdays) = (
            BusinessCalendar::no_holidays(),
            BusinessCalendar::weekends(),
        );
        for today in (17_600..17_620).map(Day) {
            assert!(all.is_business_day(today));
            assert_eq!(weekdays.is_business_day(today), !today.is_weekend());
            for days in 0..15 {
                assert_eq!(all.plus_business_days(today, days), today + days as i32);
                assert_eq!(
                    weekdays.plus_business_days(today, days),
                    today.plus_business_days(days)
                );
            }
        }
    }

    #[test]
    fn each_problem_has_its_line_and_field() {
        let text = CHINA.replace("format = 1", "format = 2");
        assert_eq!(
            problems(&text),
            ["line 1, format: this program reads format 1"]
        );
        assert_eq!(
            problems(&CHINA.replace("2024-02-12", "2024-02-10")),
            ["line 11, holiday[1].day: 2024-02-10 is named twice; name each day once"]
        );
        let text = CHINA.replace(
            r#""2024-02-18", "2024-02-04""#,
            r#""2024-02-04", "2024-02-04", "2024-02-10", "2024-02-05""#,
        );
        assert_eq!(
            problems(&text),
            [
                "line 6, working[1]: 2024-02-04 is named twice; name each day once",
                "line 6, working[2]: 2024-02-10 is also a holiday; leave out one of the two",
                "line 6, working[3]: 2024-02-05 is not on a weekend; name only weekend days that \
                 are worked",
            ]
        );
        let week = r#""monday", "tuesday", "wednesday", "thursday", "friday", "saturday""#;
        assert_eq!(
            problems(&CHINA.replace("\"saturday\"", week)),
            ["line 5, weekend: no day of the week is left for business; name at most six"]
        );
        assert_eq!(
            problems(&CHINA.replace("title", "titel")),
            [
                "line 3, titel: unknown field `titel`, expected one of `format`, `id`, `title`, \
                 `source`, `weekend`, `holiday`, `working`"
            ]
        );
    }

    #[test]
    fn days_move_to_business_days_within_their_month() {
        // 2018-03-31 was a Saturday, 2018-04-01 a Sunday, 2018-06-16 a Saturday.
        let calendar = BusinessCalendar::weekends();
        for (code, month_end, month_start, mid_month) in [
            ("NOS", "2018-03-31", "2018-04-01", "2018-06-16"),
            ("SCF", "2018-04-02", "2018-04-02", "2018-06-18"),
            ("SCMF", "2018-03-30", "2018-04-02", "2018-06-18"),
            ("CSF", "2018-04-02", "2018-04-02", "2018-06-18"),
            ("CSMF", "2018-03-30", "2018-04-02", "2018-06-18"),
            ("SCP", "2018-03-30", "2018-03-30", "2018-06-15"),
            ("SCMP", "2018-03-30", "2018-04-02", "2018-06-15"),
            ("CSP", "2018-03-30", "2018-03-30", "2018-06-15"),
            ("CSMP", "2018-03-30", "2018-04-02", "2018-06-15"),
        ] {
            let adjustment = Adjustment::from_actus(code).expect("an ACTUS code");
            assert_eq!(adjustment.actus(), code);
            let first = adjustment.calculation == Calculation::CalculateFirst;
            assert_eq!(first, code.starts_with("CS"));
            let moved = |date| adjustment.adjust(&calendar, day(date)).to_string();
            assert_eq!(moved("2018-03-31"), month_end, "{code}");
            assert_eq!(moved("2018-04-01"), month_start, "{code}");
            assert_eq!(moved("2018-06-16"), mid_month, "{code}");
            assert_eq!(moved("2018-06-15"), "2018-06-15", "{code}");
        }
        assert_eq!(Adjustment::from_actus("NULL"), Some(Adjustment::default()));
        for code in ["", "SC", "SCX", "XXF", "éé"] {
            assert_eq!(Adjustment::from_actus(code), None);
        }
    }

    #[test]
    fn agreements_name_an_adjustment_in_words() {
        let read = |text: &str| {
            toml::from_str::<Adjustment>(text)
                .ok()
                .map(Adjustment::actus)
        };
        assert_eq!(read("convention = \"modified_following\""), Some("SCMF"));
        let text = "convention = \"preceding\"\ncalculation = \"calculate_first\"";
        assert_eq!(read(text), Some("CSP"));
        assert_eq!(read("convention = \"sideways\""), None);
    }
}
