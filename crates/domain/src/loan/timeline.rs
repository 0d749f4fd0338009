//! The dated steps of a contract: when interest and principal fall due, and when a rate or an
//! instalment is set anew. Loans of one product, day and term share one timeline.

use std::ops::BitOr;

use crate::agreement::{Amortisation, Product};
use crate::calendar::{BusinessCalendar, Calculation, Day, DayCount, EndOfMonth, nth};
use crate::packed::{Damaged, Reader, optional, or_missing, put, put_row, small};

/// What happens on a step, as a set. What falls due comes first, then what is set anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ops(u8);

impl Ops {
    /// Principal falls due (ACTUS `PR`).
    pub const PRINCIPAL: Ops = Ops(1);
    /// Interest falls due (ACTUS `IP`).
    pub const INTEREST: Ops = Ops(2);
    /// All principal that is left falls due (ACTUS `MD`).
    pub const MATURITY: Ops = Ops(4);
    /// The rate is set anew (ACTUS `RR`).
    pub const RATE: Ops = Ops(8);
    /// The down payment falls due.
    pub const DOWN_PAYMENT: Ops = Ops(16);
    /// Interest runs again after a pause.
    pub const RESUME: Ops = Ops(32);

    /// True if everything in `ops` happens.
    pub fn has(self, ops: Ops) -> bool {
        self.0 & ops.0 == ops.0
    }

    /// True if anything falls due.
    pub fn falls_due(self) -> bool {
        self.0 & (Ops::PRINCIPAL | Ops::INTEREST | Ops::MATURITY | Ops::DOWN_PAYMENT).0 != 0
    }
}

impl BitOr for Ops {
    type Output = Ops;
    fn bitor(self, other: Ops) -> Ops {
        Ops(self.0 | other.0)
    }
}

/// A day on which the contract does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When; amounts fall due on this day.
    pub day: Day,
    /// The day-count number up to which interest is counted.
    pub number: i32,
    /// The day-count number from which it is counted on.
    pub from: i32,
    /// What happens.
    pub ops: Ops,
}

impl Step {
    /// A step to whose day itself interest is counted, whatever the calendar says of it.
    fn on(product: &Product, day: Day, ops: Ops) -> Step {
        let number = product.day_count.number(day);
        Step {
            day,
            number,
            from: number,
            ops,
        }
    }
}

/// The steps of a contract, in order of their days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// The steps.
    pub steps: Vec<Step>,
    dates: Recurrence,
}

/// How due dates recur, before they are moved to business days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Recurrence {
    /// The day from which they are counted.
    anchor: Day,
    /// Day of the month on which they fall, if the product names one.
    of_month: Option<u8>,
    /// Cycles from the anchor to the last of them.
    last: u32,
}

impl Recurrence {
    /// The due dates of a loan of `months` months: how they recur, and how many cycles after the
    /// anchor the first one is.
    fn of(product: &Product, disbursed_on: Day, months: u16) -> (Recurrence, u32) {
        let period = product.cycle;
        let count = match period.months() {
            Some(each) => u32::from(months) / each.max(1),
            // As many whole cycles as the months hold.
            None => {
                let end = disbursed_on.plus_months(months.into());
                (1..)
                    .take_while(|&k| period.after(disbursed_on, k) <= end)
                    .count() as u32
            }
        }
        .max(1);
        let dates = |anchor, first| Recurrence {
            anchor,
            of_month: product.due_day,
            last: first + count - 1,
        };
        let Some(due_day) = product.due_day else {
            return (dates(disbursed_on, 1), 1);
        };
        let earliest = disbursed_on + i32::from(product.first_period_days.max(1));
        let of_month = |months| earliest.in_month(months, due_day.into());
        let first = if of_month(0) < earliest {
            of_month(1)
        } else {
            of_month(0)
        };
        (dates(first, 0), 0)
    }

    /// The day `k` cycles after the anchor.
    fn date(&self, product: &Product, k: u32) -> Day {
        if let (Some(day), Some(each)) = (self.of_month, product.cycle.months()) {
            return self.anchor.in_month(k * each, day.into());
        }
        let eom = match product.end_of_month {
            true => EndOfMonth::EndOfMonth,
            false => EndOfMonth::SameDay,
        };
        nth(self.anchor, product.cycle, eom, k)
    }
}

impl Timeline {
    /// The steps of a loan of `months` months that is disbursed on a day.
    pub fn of(
        product: &Product,
        disbursed_on: Day,
        months: u16,
        calendar: &BusinessCalendar,
    ) -> Timeline {
        let (dates, first) = Recurrence::of(product, disbursed_on, months);
        let mut timeline = Timeline {
            steps: Vec::with_capacity(dates.last as usize + 2),
            dates,
        };
        if product.down_payment.0 > 0 {
            // It is paid when the loan is, on a business day or not.
            let step = Step::on(product, disbursed_on, Ops::DOWN_PAYMENT);
            timeline.steps.push(step);
        }
        let mut start = disbursed_on;
        for k in first..=dates.last {
            let number = (k - first + 1) as u16;
            let ops = falling_due(product, number, k == dates.last);
            start = timeline.push(product, calendar, start, dates.date(product, k), ops);
        }
        timeline
    }

    /// Adds a step; its date is moved to a business day as the product says. Gives the day to
    /// which interest is counted, with which the next period starts.
    fn push(
        &mut self,
        product: &Product,
        calendar: &BusinessCalendar,
        start: Day,
        date: Day,
        ops: Ops,
    ) -> Day {
        let day = product.business_days.adjust(calendar, date);
        let counted = match product.business_days.calculation {
            Calculation::ShiftFirst => day,
            Calculation::CalculateFirst => date,
        };
        let day_count = product.day_count;
        let number = match (day_count, ops.has(Ops::MATURITY)) {
            (DayCount::E30360Isda, true) => day_count.number_at_maturity(counted),
            _ => day_count.number(start) + day_count.days(start, counted),
        };
        self.steps.push(Step {
            day,
            number,
            from: day_count.number(counted),
            ops,
        });
        counted
    }

    /// Moves the steps from place `next` on, so that the first of them falls on `to`.
    pub fn move_to(
        &mut self,
        product: &Product,
        calendar: &BusinessCalendar,
        next: usize,
        to: Day,
    ) {
        let (start, moved) = self.take_out(next);
        self.dates = Recurrence {
            anchor: to,
            of_month: None,
            last: 0,
        };
        self.put_back(product, calendar, start, moved, 0);
    }

    /// Moves the steps from place `next` on by so many cycles. Gives the date from which a pause
    /// without interest has it run again: a cycle before the first of them.
    pub fn postpone(
        &mut self,
        product: &Product,
        calendar: &BusinessCalendar,
        next: usize,
        cycles: u32,
    ) -> Day {
        let (start, moved) = self.take_out(next);
        let count = moved.iter().filter(|step| step.ops.falls_due()).count() as u32;
        let first = self.dates.last + 1 + cycles - count;
        self.put_back(product, calendar, start, moved, first);
        self.dates.date(product, first - 1)
    }

    /// Has interest run again on a day before the steps from place `next` on. It no longer does
    /// on the day on which it otherwise would have.
    pub fn resume(&mut self, product: &Product, next: usize, day: Day) {
        let coming = self.steps.split_off(next);
        self.steps.push(Step::on(product, day, Ops::RESUME));
        self.steps
            .extend(coming.into_iter().filter(|step| !step.ops.has(Ops::RESUME)));
    }

    /// Takes the steps from place `next` on out, with the day on which their first period starts.
    fn take_out(&mut self, next: usize) -> (Day, Vec<Step>) {
        let moved = self.steps.split_off(next);
        let start = self.steps.last().map_or(self.dates.anchor, |step| step.day);
        (start, moved)
    }

    /// Adds steps that were taken out, the first due date so many cycles after the anchor. Days on
    /// which interest runs again stay, unless they come too late.
    fn put_back(
        &mut self,
        product: &Product,
        calendar: &BusinessCalendar,
        mut start: Day,
        moved: Vec<Step>,
        first: u32,
    ) {
        let mut k = first;
        for step in moved {
            let date = self.dates.date(product, k);
            if step.ops.falls_due() {
                start = self.push(product, calendar, start, date, step.ops);
                self.dates.last = k;
                k += 1;
            } else {
                let day = step.day.min(product.business_days.adjust(calendar, date));
                self.steps.push(Step::on(product, day, step.ops));
            }
        }
    }

    /// Adds instalments at the end, later than `after`.
    pub fn extend(
        &mut self,
        product: &Product,
        calendar: &BusinessCalendar,
        after: Day,
        more: u16,
    ) {
        let instalments = self.steps.iter().filter(|step| step.ops.has(Ops::INTEREST));
        let mut number = instalments.count() as u16;
        if let Some(last) = self
            .steps
            .last_mut()
            .filter(|last| last.ops.has(Ops::MATURITY))
        {
            last.ops = falling_due(product, number, false);
            if product.day_count == DayCount::E30360Isda {
                // The day is no longer counted as that of maturity.
                last.number = last.from;
            }
        }
        let mut k = self.dates.last + 1;
        while self.dates.date(product, k) <= after {
            k += 1;
        }
        let mut start = self.end();
        for place in 1..=more {
            number += 1;
            let ops = falling_due(product, number, place == more);
            start = self.push(product, calendar, start, self.dates.date(product, k), ops);
            self.dates.last = k;
            k += 1;
        }
    }

    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        let Recurrence {
            anchor,
            of_month,
            last,
        } = self.dates;
        let of_month = optional(of_month.map(i64::from));
        put_row(out, [anchor.0.into(), of_month, last.into()]);
        put(out, self.steps.len() as i64);
        for step in &self.steps {
            let day = i64::from(step.day.0);
            let (number, from) = (i64::from(step.number) - day, i64::from(step.from) - day);
            let since = day - i64::from(anchor.0);
            put_row(out, [since, number, from, step.ops.0.into()]);
        }
    }

    pub(super) fn unpack(from: &mut Reader<'_>) -> Result<Timeline, Damaged> {
        let [anchor, of_month, last] = from.row()?;
        let dates = Recurrence {
            anchor: Day(small(anchor)?),
            of_month: or_missing(of_month).map(small).transpose()?,
            last: small(last)?,
        };
        let steps = from.list(|from| {
            let [since, number, counted_from, ops] = from.row()?;
            let day = since.wrapping_add(anchor);
            Ok(Step {
                day: Day(small(day)?),
                number: small(number.wrapping_add(day))?,
                from: small(counted_from.wrapping_add(day))?,
                ops: Ops(small(ops)?),
            })
        })?;
        Ok(Timeline { steps, dates })
    }

    /// Day of the last step.
    pub fn end(&self) -> Day {
        self.steps.last().map_or(Day::default(), |step| step.day)
    }
}

/// What happens when the instalment of a number (from 1) falls due.
fn falling_due(product: &Product, number: u16, is_last: bool) -> Ops {
    if is_last {
        return Ops::INTEREST | Ops::MATURITY;
    }
    let mut ops = Ops::INTEREST;
    if number > product.interest_only && product.amortisation != Amortisation::Bullet {
        ops = ops | Ops::PRINCIPAL;
    }
    if product.rate_changes_after(number) {
        ops = ops | Ops::RATE;
    }
    ops
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Adjustment;
    use crate::money::Money;

    fn day(text: &str) -> Day {
        text.parse().expect("a date")
    }

    fn days(timeline: &Timeline) -> Vec<String> {
        let falling_due = timeline.steps.iter().filter(|step| step.ops.falls_due());
        falling_due.map(|step| step.day.to_string()).collect()
    }

    fn product(day_count: DayCount) -> Product {
        let amount: Money = "1000.00 CNY".parse().expect("money");
        Product::plain(Amortisation::EqualInstalment, day_count, 3, amount)
    }

    fn of(product: &Product, start: &str) -> Timeline {
        Timeline::of(product, day(start), 3, &BusinessCalendar::weekends())
    }

    #[test]
    fn a_short_month_is_forgotten_when_due_dates_move_or_go_on() {
        let (product, calendar) = (product(DayCount::A365), BusinessCalendar::weekends());
        let mut timeline = of(&product, "2024-01-31");
        assert_eq!(days(&timeline), ["2024-02-29", "2024-03-31", "2024-04-30"]);
        let resume = timeline.postpone(&product, &calendar, 0, 1);
        assert_eq!(resume, day("2024-02-29"));
        assert_eq!(days(&timeline), ["2024-03-31", "2024-04-30", "2024-05-31"]);
        timeline.extend(&product, &calendar, day("2024-01-31"), 2);
        assert_eq!(days(&timeline)[3..], ["2024-06-30", "2024-07-31"]);
        // What has fallen due stays, and instalments are added behind today.
        timeline.move_to(&product, &calendar, 3, day("2024-07-05"));
        timeline.extend(&product, &calendar, day("2024-09-05"), 1);
        assert_eq!(
            days(&timeline)[2..],
            ["2024-05-31", "2024-07-05", "2024-08-05", "2024-10-05"]
        );
    }

    #[test]
    fn business_days_do_not_drift() {
        let mut product = product(DayCount::A365);
        product.business_days = Adjustment::from_actus("SCF").expect("a code");
        let calendar = BusinessCalendar::weekends();
        // 15 June 2024 is a Saturday, 15 September a Sunday.
        let mut timeline = of(&product, "2024-03-15");
        assert_eq!(days(&timeline), ["2024-04-15", "2024-05-15", "2024-06-17"]);
        timeline.extend(&product, &calendar, day("2024-03-15"), 3);
        assert_eq!(
            days(&timeline)[3..],
            ["2024-07-15", "2024-08-15", "2024-09-16"]
        );
    }

    #[test]
    fn a_pause_ends_once_and_not_behind_the_next_due_date() {
        let (product, calendar) = (product(DayCount::A365), BusinessCalendar::weekends());
        let mut timeline = of(&product, "2024-01-15");
        for (cycles, resume) in [(2, "2024-03-15"), (1, "2024-04-15")] {
            let day = timeline.postpone(&product, &calendar, 0, cycles);
            assert_eq!(day.to_string(), resume);
            timeline.resume(&product, 0, day);
        }
        timeline.move_to(&product, &calendar, 0, day("2024-04-10"));
        let all = timeline
            .steps
            .iter()
            .map(|step| (step.day.to_string(), step.ops == Ops::RESUME));
        let expected = [
            ("2024-04-10", true),
            ("2024-04-10", false),
            ("2024-05-10", false),
            ("2024-06-10", false),
        ];
        assert!(all.eq(expected.map(|(day, resumes)| (day.to_owned(), resumes))));
    }

    #[test]
    fn added_instalments_keep_what_happens_on_them() {
        let mut product = product(DayCount::E30360Isda);
        product.due_day = Some(31);
        product.interest_only = 4;
        let calendar = BusinessCalendar::weekends();
        let mut timeline = of(&product, "2023-11-30");
        assert_eq!(days(&timeline), ["2023-12-31", "2024-01-31", "2024-02-29"]);
        let last = timeline.steps[2];
        assert_eq!(
            last.from - last.number,
            1,
            "29 days in February at maturity, else 30"
        );
        timeline.extend(&product, &calendar, day("2023-11-30"), 3);
        let last = timeline.steps[2];
        assert_eq!(last.from, last.number);
        let redeems = timeline
            .steps
            .iter()
            .map(|step| step.ops.has(Ops::PRINCIPAL));
        assert!(redeems.eq([false, false, false, false, true, false]));
        assert!(timeline.steps[5].ops.has(Ops::MATURITY));
    }

    #[test]
    fn the_american_count_ends_a_maturity_as_any_period() {
        let mut product = product(DayCount::Us30360);
        product.due_day = Some(31);
        let timeline = Timeline::of(
            &product,
            day("2024-01-15"),
            1,
            &BusinessCalendar::weekends(),
        );
        let start = product.day_count.number(day("2024-01-15"));
        assert_eq!(timeline.steps[0].number - start, 16);
    }
}
