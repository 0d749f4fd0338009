//! What became of the loans.

use tandem_domain::calendar::Day;
use tandem_domain::money::Amount;
use tandem_web::chart::{Chart, Colour, Mark};

use super::{ACCENT, GREY, LOSS, MIDDLE, PALE, facts_block, marked_months, over_months};
use crate::report::Report;
use crate::report::collect::Closed;
use crate::report::figures::{Lent, fraction};
use crate::report::loans::Vintage;
use crate::report::page::{Block, Cell, Figure, Kind, Paid, Section, Table, numbers};
use crate::report::text::{Month, NONE, count, date, decimal, percent, ratio};

/// Classes of loans, mildest first.
const CLASSES: [Colour; 8] = [
    Colour("k0"),
    Colour("k1"),
    Colour("k2"),
    Colour("k3"),
    Colour("k4"),
    Colour("k5"),
    Colour("k6"),
    Colour("k7"),
];
/// Vintages, oldest first.
const VINTAGES: [Colour; 6] = [
    Colour("v0"),
    Colour("v1"),
    Colour("v2"),
    Colour("v3"),
    Colour("v4"),
    Colour("v5"),
];
/// A chart over time has about this many points.
const POINTS: usize = 190;

impl Report {
    /// Principal outstanding from day to day.
    pub(super) fn portfolio(&self) -> Option<Section> {
        let figures = &self.figures;
        let peak = figures.peak().filter(|peak| !peak.outstanding.is_zero())?;
        let worst = figures.closes.iter().max_by_key(|close| past_due(close));
        let kept = [Some(peak), worst].map(|close| close.map(|close| close.day));
        let closes = thinned(&figures.closes, &kept);
        let (x, ticks) = days(&closes);
        let classes = &figures.agreement().file.class;
        let unit = figures.unit;
        let stack = |from: usize, value: &dyn Fn(&Closed, Amount) -> f64| -> Vec<Mark> {
            let areas = (from..classes.len()).map(|class| {
                let points = closes.iter().map(|close| {
                    let up_to = |end: usize| {
                        close
                            .by_class
                            .get(from..end)
                            .into_iter()
                            .flatten()
                            .copied()
                            .sum()
                    };
                    let (low, high) = (value(close, up_to(class)), value(close, up_to(class + 1)));
                    (f64::from(close.day.0), low, high)
                });
                Mark::Area {
                    colour: CLASSES[class.min(CLASSES.len() - 1)],
                    points: points.collect(),
                }
            });
            areas.collect()
        };
        let legend = |from: usize| {
            let named = classes.iter().enumerate().skip(from);
            named.map(|(place, class)| {
                let name = match class.from_days {
                    0 => class.name.clone(),
                    days => format!("{}, from {days} days", class.name),
                };
                (CLASSES[place.min(CLASSES.len() - 1)], name)
            })
        };
        let outstanding = Chart {
            title: format!(
                "Principal outstanding reached {} on {}",
                unit.full(peak.outstanding),
                date(peak.day)
            ),
            description: "Principal outstanding by class at the close of each day, stacked.".into(),
            x,
            ticks: ticks.clone(),
            marks: stack(0, &|_, amount| unit.value(amount)),
            ..Chart::default()
        };
        let mut blocks = vec![Block::Figure(
            Figure::new(
                outstanding,
                format!("Principal outstanding by class, {}", unit.name()),
            )
            .legend(legend(0)),
        )];
        if let Some(worst) = worst.filter(|worst| past_due(worst).is_positive()) {
            let chart = Chart {
                title: format!(
                    "At most {} was past due, {} of principal on {}",
                    unit.full(past_due(worst)),
                    percent(ratio(past_due(worst), worst.outstanding)),
                    date(worst.day),
                ),
                description: "Principal outstanding of loans that are past due, by class, stacked."
                    .into(),
                x,
                ticks,
                marks: stack(1, &|_, amount| unit.value(amount)),
                ..Chart::default()
            };
            blocks.push(Block::Figure(
                Figure::new(
                    chart,
                    format!(
                        "Principal of loans past due, by class, {}; other scale than above",
                        unit.name()
                    ),
                )
                .legend(legend(1)),
            ));
        }
        Some(Section {
            id: "portfolio",
            title: "The portfolio".into(),
            lead: "Taken from the close of each day, which leaves its totals in the journal. The class of a loan follows from the days since its oldest unpaid due date and is the same for every lender.".into(),
            blocks,
        })
    }

    /// What fell due, and what came in.
    pub(super) fn collections(&self) -> Option<Section> {
        let figures = &self.figures;
        let flows = &figures.performance.months;
        let (first, last) = (*flows.keys().next()?, *flows.keys().next_back()?);
        let unit = figures.unit;
        let (mut marks, mut line) = (Vec::new(), Vec::new());
        let (mut due, mut on_due, mut prepaid) = (Amount::ZERO, Amount::ZERO, Amount::ZERO);
        for (month, flow) in flows {
            let at = f64::from(month.index());
            let on_time = flow.collected - flow.prepaid;
            let (low, high) = (unit.value(on_time), unit.value(flow.collected));
            for (colour, y, amount, what) in [
                (PALE, (0.0, low), on_time, "collected on what was due"),
                (MIDDLE, (low, high), flow.prepaid, "prepaid"),
            ] {
                let hint = format!("{month}: {} {what}", unit.full(amount));
                marks.push(Mark::Bar {
                    colour,
                    x: (at - 0.4, at + 0.4),
                    y,
                    hint,
                });
            }
            line.push((at, unit.value(flow.due)));
            (due, on_due, prepaid) = (due + flow.due, on_due + on_time, prepaid + flow.prepaid);
        }
        marks.push(Mark::Line {
            colour: LOSS,
            points: line,
            label: String::new(),
        });
        let chart = Chart {
            title: format!(
                "For every 100 {} that fell due, {} were collected",
                figures.currency(),
                ratio(on_due, due).map_or(NONE.into(), |part| decimal(part * 100.0, 1))
            ),
            description:
                "Bars: money collected by month. Line: principal and interest that fell due.".into(),
            marks,
            ..over_months(first, last)
        };
        let figure = Figure::new(
            chart,
            format!("By month of the value date, {}", unit.name()),
        )
        .legend([
            (LOSS, "fell due (line)".to_owned()),
            (PALE, "collected on what was due".to_owned()),
            (MIDDLE, "prepaid principal".to_owned()),
        ]);
        let payments = &figures.payments;
        let mut facts = vec![
            (
                "Payments",
                format!(
                    "{}, {} in all",
                    count(payments.count),
                    unit.full(payments.received)
                ),
            ),
            (
                "Back-dated",
                format!(
                    "{} entered after the value date, and put in place",
                    count(payments.back_dated)
                ),
            ),
            ("Prepaid", unit.full(prepaid)),
            (
                "After charge-off",
                format!("{} collected", unit.full(figures.losses.recovered)),
            ),
        ];
        if payments.others + payments.reversed > 0 {
            facts.push((
                "Other instructions",
                format!(
                    "{} changed a plan, sold a share or gave money back; {} reversed",
                    count(payments.others),
                    count(payments.reversed)
                ),
            ));
        }
        Some(Section {
            id: "collections",
            title: "Collections".into(),
            lead: "What fell due is principal and interest by the terms of each loan. What was collected on it includes late payments, penalties and fees, so a month can bring in more than fell due.".into(),
            blocks: vec![Block::Figure(figure), facts_block(facts, Paid::Wholly)],
        })
    }

    /// How the loans of each period fare.
    pub(super) fn vintages(&self) -> Option<Section> {
        let vintages = self.figures.performance.vintages(VINTAGES.len());
        // More years than colours: the latest are shown.
        let vintages = &vintages[vintages.len().saturating_sub(VINTAGES.len())..];
        let months = vintages.iter().map(|(_, vintage)| vintage.months()).max()?;
        if months < 2 {
            return None;
        }
        let chart = |title: String, description: &str, amounts: &dyn Fn(usize) -> Vec<Amount>| {
            let lines = vintages.iter().enumerate().map(|(place, (name, vintage))| {
                let amounts = amounts(place);
                let points = (0..=vintage.months()).map(|month| {
                    let amount = amounts.get(month).copied().unwrap_or_default();
                    let share = ratio(amount, vintage.disbursed).unwrap_or(0.0);
                    (month as f64, share * 100.0)
                });
                Mark::Line {
                    colour: VINTAGES[place * (VINTAGES.len() - 1) / (vintages.len() - 1).max(1)],
                    points: points.collect(),
                    label: name.clone(),
                }
            });
            let step = if months > 24 { 12 } else { 3 };
            let ticks = (0..=months / step).map(|tick| {
                let month = tick * step;
                (month as f64, month.to_string())
            });
            Chart {
                title,
                description: description.into(),
                x: (0.0, months as f64),
                ticks: ticks.collect(),
                suffix: "%",
                marks: lines.collect(),
            }
        };
        let lost = |(_, vintage): &(String, Vintage)| {
            let last = vintage.charged_off.get(vintage.months()).copied();
            ratio(last.unwrap_or_default(), vintage.disbursed).unwrap_or(0.0)
        };
        let worst = vintages.iter().max_by(|a, b| lost(a).total_cmp(&lost(b)))?;
        let written_off = chart(
            format!(
                "The loans of {} lost most: {} so far",
                worst.0,
                percent(Some(lost(worst)))
            ),
            "Principal written off by months on book, for each vintage.",
            &|place| vintages[place].1.charged_off.clone(),
        );
        let behind = chart(
            "Loans a month or more past due".into(),
            "Principal of loans a month or more past due by months on book, for each vintage.",
            &|place| vintages[place].1.behind.clone(),
        );
        let mut table = Table::new(
            "The vintages",
            &[
                "Lent in",
                "Loans",
                &self.figures.unit.name(),
                "Written off",
                "Months on book",
            ],
        )
        .paid();
        for (name, vintage) in vintages {
            let last = vintage.charged_off.get(vintage.months()).copied();
            table.plain(vec![
                Cell::words(name),
                Cell::Number(count(vintage.loans)),
                Cell::Number(self.figures.unit.show(vintage.disbursed)),
                Cell::Number(percent(ratio(last.unwrap_or_default(), vintage.disbursed))),
                Cell::Number(count(vintage.months() as u64)),
            ]);
        }
        Some(Section {
            id: "vintages",
            title: "Vintages".into(),
            lead: "Loans of one period, followed from the month they were lent. Each line ends where its youngest loan stands today, so every point is the whole vintage.".into(),
            blocks: vec![
                Block::Figure(Figure::new(written_off, "Cumulative principal written off by months on book, per cent of what was lent")),
                Block::Figure(Figure::new(behind, "Principal outstanding of these loans by months on book, per cent of what was lent")),
                Block::Table(table),
            ],
        })
    }

    /// What was written off, and who bore it.
    pub(super) fn losses(&self) -> Option<Section> {
        let figures = &self.figures;
        let losses = &figures.losses;
        if losses.loans == 0 {
            return None;
        }
        let unit = figures.unit;
        let closes = thinned(&figures.closes, &[]);
        let (x, ticks) = days(&closes);
        let line = |colour, label: &str, of: &dyn Fn(&Closed) -> Amount| Mark::Line {
            colour,
            points: closes
                .iter()
                .map(|close| (f64::from(close.day.0), unit.value(of(close))))
                .collect(),
            label: label.into(),
        };
        let mut marks = vec![
            line(MIDDLE, "collected after", &|close| close.recovered),
            line(LOSS, "written off", &|close| close.charged_off),
        ];
        let size = figures.pool_size();
        if size.is_some() {
            marks.insert(0, line(GREY, "pool", &|close| close.pool));
            marks.push(line(ACCENT, "guarantor paid", &|close| close.compensated));
        }
        let chart = Chart {
            title: match (size, losses.short_since) {
                (Some(_), Some(day)) => format!("From {} the guarantee pool no longer covered losses as agreed", date(day)),
                (Some(size), None) => format!("The guarantee pool held: {} of it was used", percent(ratio(figures.pool.used, size))),
                (None, _) => format!("{} were written off", unit.full(losses.charged_off)),
            },
            description: "Cumulative principal written off, compensation paid by the guarantor, money collected after charge-off, and the size of the guarantee pool.".into(),
            x,
            ticks,
            marks,
            ..Chart::default()
        };
        let mut table = Table::new(
            format!("Who bore the losses, {}", unit.name()),
            &[
                "Lender",
                "Written off",
                "Guarantor paid",
                "Collected after",
                "Lost for good",
                "of what it lent",
            ],
        )
        .paid();
        let rows = figures.holders().into_iter().map(|lender| {
            let lent = figures.funded.lenders[lender.index()];
            (figures.name(lender).to_owned(), lent, Kind::Plain)
        });
        let mut together = Lent::default();
        for (name, lent, kind) in rows {
            together.amount += lent.amount;
            together.charged_off += lent.charged_off;
            together.compensated += lent.compensated;
            together.recovered += lent.recovered;
            table.row(kind, self.loss_row(name, &lent));
        }
        table.row(Kind::Sum, self.loss_row("Together".into(), &together));
        let mut facts = vec![(
            "Written off after",
            format!(
                "{} days past due",
                figures.agreement().file.charge_off.days_past_due
            ),
        )];
        if let (Some(size), Some(guarantee)) = (size, &figures.agreement().file.guarantee) {
            facts.push((
                "Pool",
                format!(
                    "{} ({} of what was lent); {} used",
                    unit.full(size),
                    percent(Some(fraction(guarantee.pool))),
                    percent(ratio(figures.pool.used, size))
                ),
            ));
            facts.push((
                "Charge-offs with less cover than agreed",
                format!("{} of {}", count(losses.short), count(losses.loans)),
            ));
        }
        Some(Section {
            id: "losses",
            title: "Losses and the guarantee".into(),
            lead: "A loan is written off at a fixed age of its arrears. The guarantor then pays its part of the principal, as long as the pool lasts. What is collected afterwards goes where the agreement says.".into(),
            blocks: vec![
                Block::Figure(Figure::new(chart, format!("Cumulative, {}", unit.name()))),
                Block::Table(table),
                facts_block(facts, Paid::Wholly),
            ],
        })
    }

    fn loss_row(&self, name: String, lent: &Lent) -> Vec<Cell> {
        let unit = self.figures.unit;
        let amounts = numbers([
            unit.show(lent.charged_off),
            unit.show(lent.compensated),
            unit.show(lent.recovered),
            unit.show(lent.lost()),
            percent(ratio(lent.lost(), lent.amount)),
        ]);
        [Cell::Words(name)].into_iter().chain(amounts).collect()
    }
}

/// Principal that is not in the mildest class.
fn past_due(close: &Closed) -> Amount {
    close.by_class.iter().skip(1).copied().sum()
}

/// About [`POINTS`] evenings, evenly chosen; the first, the last and those of `kept` among them.
fn thinned<'a>(closes: &'a [Closed], kept: &[Option<Day>]) -> Vec<&'a Closed> {
    let step = closes.len().div_ceil(POINTS).max(1);
    let last = closes.len().saturating_sub(1);
    let chosen = closes.iter().enumerate().filter(|(place, close)| {
        *place == 0 || (last - place).is_multiple_of(step) || kept.contains(&Some(close.day))
    });
    chosen.map(|(_, close)| close).collect()
}

/// Range and ticks of an axis of days.
fn days(closes: &[&Closed]) -> ((f64, f64), Vec<(f64, String)>) {
    let (Some(first), Some(last)) = (closes.first(), closes.last()) else {
        return ((0.0, 1.0), Vec::new());
    };
    let first_of = |month: Month| {
        let day = Day::from_ymd(month.year(), month.number() as u32, 1);
        day.map_or(0.0, |day| f64::from(day.0))
    };
    let (from, to) = (Month::of(first.day), Month::of(last.day));
    let ticks = marked_months(from, to)
        .map(|(month, label)| (first_of(month), label))
        .filter(|&(place, _)| place >= f64::from(first.day.0));
    (
        (
            f64::from(first.day.0),
            f64::from(last.day.0.max(first.day.0 + 1)),
        ),
        ticks.collect(),
    )
}
