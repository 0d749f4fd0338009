//! The report as one page of HTML that needs nothing else: no script, no font, no network.

use askama::Template;

use tandem_domain::agreement::{Amortisation, FeeTime, FundingMode, Netting, Recoveries};
use tandem_domain::calendar::Day;
use tandem_domain::ledger::Account;
use tandem_domain::money::{Amount, Rate};
use tandem_domain::party::PartyId;

use super::chart::{Chart, Colour, Mark};
use super::collect::{Closed, RESULT, Year};
use super::figures::{LenderReason, fraction, party_words};
use super::page::{Block, Cell, Facts, Figure, Kind, Page, Paid, Section, Table, Tile, numbers};
use super::text::{
    Month, NONE, count, date, decimal, exact, list, mean, of, percent, rate, ratio, rounded,
    things, upper_first, written,
};
use super::{About, Check, Report};

const ACCENT: Colour = Colour("accent");
const MIDDLE: Colour = Colour("mid");
const PALE: Colour = Colour("pale");
const GREY: Colour = Colour("grey");
const LOSS: Colour = Colour("loss");
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
    /// The whole report as one file.
    pub(crate) fn html(&self) -> String {
        let (figures, context) = (&self.figures, &self.context);
        let failed = |check: &&Check| !check.passed;
        let page = Page {
            title: &figures.agreement().file.title,
            checked: match context.checks.len() {
                0 => String::new(),
                checks => format!(
                    "{} of {} passed",
                    context.passed(),
                    things(checks as u64, "check")
                ),
            },
            subtitle: self.subtitle(),
            notes: &context.notes,
            failed: context.checks.iter().filter(failed).collect(),
            summary: self.summary(),
            tiles: self.tiles(),
            sections: self.sections(),
            label: context.payment_labels().join(", "),
            note: context
                .notes
                .iter()
                .position(|note| note.about == About::Payments)
                .map_or(0, |place| place + 1),
            generated_with: &context.generated_with,
        };
        page.render()
            .expect("a page of strings can always be written")
    }

    /// Who cooperates, and from when to when.
    fn subtitle(&self) -> String {
        let figures = &self.figures;
        let lenders: Vec<_> = figures
            .lenders()
            .iter()
            .map(|&lender| figures.name(lender))
            .collect();
        let (first, last) = figures.period;
        format!(
            "{} lend together through {}. {} to {}, every day closed. Amounts in {}.",
            list(&lenders),
            figures.name(figures.agreement().platform),
            date(first),
            date(last),
            figures.currency(),
        )
    }

    /// What a reader must take away, in a few sentences.
    pub(super) fn summary(&self) -> Vec<String> {
        let figures = &self.figures;
        let (all, funded, unit) = (&figures.all, &figures.funded, figures.unit);
        let lenders = figures.lenders();
        let pick = |tally: &PartyId| of(all.lenders[tally.index()].accepted, all.asked);
        let rates: Vec<_> = lenders
            .iter()
            .map(|lender| format!("{} {}", figures.name(*lender), percent(pick(lender))))
            .collect();
        let mut sentences = vec![format!(
            "Of {}, {} ({}) ended in a joint offer and {} in a loan. Of those that they were asked about, the lenders accepted, each by itself: {}.",
            things(all.applications, "application"),
            count(all.offered),
            percent(of(all.offered, all.applications)),
            if all.disbursed == all.offered {
                "all of these".to_owned()
            } else {
                count(all.disbursed)
            },
            list(&rates),
        )];
        if !figures.barred.is_empty() {
            let times: u32 = figures.barred.iter().map(|(_, _, times)| times).sum();
            let causes = figures.barred.iter().take(3).map(|(lender, words, times)| {
                format!(
                    "{} {} times by {}",
                    figures.name(*lender),
                    count(*times),
                    words.name
                )
            });
            sentences.push(format!(
                "Enough lenders accepted {} by their own policies. Clauses and rules then kept a lender out {} times: {}.",
                things(figures.accepted_by_enough(), "application"),
                count(times),
                list(&causes.collect::<Vec<_>>()),
            ));
        }
        if funded.loans > 0 {
            sentences.push(format!(
                "{} was lent, {} {} a loan on average. Borrowers pay {} a year, {} with all fees; the dearest loan costs {}.",
                unit.full(funded.amount),
                rounded(figures.currency(), mean(funded.amount, funded.loans)),
                figures.currency(),
                rate(funded.rate),
                rate(funded.all_in_cost),
                rate(Some(fraction(funded.highest_cost))),
            ));
        }
        let losses = &figures.losses;
        if losses.loans > 0 {
            let cover = match figures.pool_size() {
                Some(_) => format!(
                    ", of which the guarantor paid {} and later collections brought back {}",
                    unit.words(losses.compensated),
                    unit.words(losses.recovered)
                ),
                None => format!(
                    ", of which later collections brought back {}",
                    unit.words(losses.recovered)
                ),
            };
            sentences.push(format!(
                "{} were written off, {} ({} of what was lent){cover}.",
                things(losses.loans, "loan"),
                unit.full(losses.charged_off),
                percent(ratio(losses.charged_off, funded.amount)),
            ));
        }
        if let Some(day) = losses.short_since {
            sentences.push(format!(
                "The guarantee pool was too small: from {} on, {} had less cover than agreed.",
                date(day),
                things(losses.short, "charge-off"),
            ));
        }
        let result = figures.lenders_result();
        sentences.push(format!(
            "After service fees and losses the lenders earned {}, {} a year on the principal outstanding.",
            unit.full(result),
            rate(figures.yearly(result, &figures.years, &lenders)),
        ));
        sentences
    }

    /// How far offers follow from what borrowers paid.
    fn offers(&self) -> Paid {
        if self.figures.limits_bound {
            Paid::Partly
        } else {
            Paid::No
        }
    }

    fn tiles(&self) -> Vec<Tile> {
        let figures = &self.figures;
        let offers = self.offers();
        let (all, funded, unit) = (&figures.all, &figures.funded, figures.unit);
        let mut tiles = vec![
            Tile {
                name: "Applications".into(),
                value: count(all.applications),
                unit: String::new(),
                detail: match (figures.months.first(), figures.months.last()) {
                    (Some((first, _)), Some((last, _))) if first == last => first.to_string(),
                    (Some((first, _)), Some((last, _))) => format!("{first} to {last}"),
                    _ => String::new(),
                },
                paid: Paid::No,
            },
            Tile {
                name: "Offered jointly".into(),
                value: percent(of(all.offered, all.applications)),
                unit: String::new(),
                detail: format!(
                    "{} offered, {} declined, {} with a person",
                    count(all.offered),
                    count(all.declined),
                    count(all.referred)
                ),
                paid: offers,
            },
            Tile {
                name: "Lent".into(),
                value: unit.show(funded.amount),
                unit: unit.name(),
                detail: format!(
                    "{}, {} {} on average",
                    things(funded.loans, "loan"),
                    rounded(figures.currency(), mean(funded.amount, funded.loans)),
                    figures.currency()
                ),
                paid: offers,
            },
            Tile {
                name: "Borrower’s rate".into(),
                value: rate(funded.rate),
                unit: "a year".into(),
                detail: format!("{} with all fees", rate(funded.all_in_cost)),
                paid: offers,
            },
        ];
        let now = figures.closes.last();
        tiles.push(Tile {
            name: format!("Outstanding on {}", date(figures.period.1)),
            value: now.map_or("0".into(), |close| match close.outstanding {
                Amount::ZERO => "0".into(),
                amount => unit.show(amount),
            }),
            unit: unit.name(),
            detail: figures.peak().map_or_else(String::new, |peak| {
                format!(
                    "{} active; at most {} on {}",
                    things(now.map_or(0, |close| close.active), "loan"),
                    unit.show(peak.outstanding),
                    date(peak.day)
                )
            }),
            paid: Paid::Wholly,
        });
        let losses = &figures.losses;
        tiles.push(Tile {
            name: "Written off".into(),
            value: percent(ratio(losses.charged_off, funded.amount)),
            unit: "of what was lent".into(),
            detail: format!(
                "{}; {} lost for good",
                unit.full(losses.charged_off),
                percent(ratio(self.lost(), funded.amount))
            ),
            paid: Paid::Wholly,
        });
        if let Some(size) = figures.pool_size() {
            tiles.push(Tile {
                name: "Guarantee pool used".into(),
                value: percent(ratio(figures.pool.used, size)),
                unit: String::new(),
                detail: format!("{} of {}", unit.show(figures.pool.used), unit.full(size)),
                paid: Paid::Wholly,
            });
        }
        let result = figures.lenders_result();
        tiles.push(Tile {
            name: "Lenders’ yield after losses".into(),
            value: rate(figures.yearly(result, &figures.years, &figures.lenders())),
            unit: "a year".into(),
            detail: format!("{} earned in all", unit.full(result)),
            paid: Paid::Wholly,
        });
        tiles
    }

    /// Principal that nobody gave back to the lenders.
    fn lost(&self) -> Amount {
        self.figures
            .funded
            .lenders
            .iter()
            .map(|lent| lent.lost())
            .sum()
    }

    fn sections(&self) -> Vec<Section> {
        let sections = [
            Some(self.decisions()),
            Some(self.reasons()),
            Some(self.lending()),
            self.comparison(),
            self.portfolio(),
            self.collections(),
            self.vintages(),
            self.losses(),
            self.results(),
            self.settlement(),
            self.limits(),
            self.ledgers(),
            Some(self.agreement()),
            Some(self.checks()),
        ];
        sections.into_iter().flatten().collect()
    }

    fn decisions(&self) -> Section {
        let figures = &self.figures;
        let head = [
            "",
            "Applications",
            "Lenders asked",
            "Offered",
            "of all",
            "Declined",
            "With a person",
            "Lent",
        ];
        let mut months = Table::new(
            format!(
                "Month by month, {} of all were offered",
                percent(of(figures.all.offered, figures.all.applications))
            ),
            &head,
        );
        let all = ("All".to_owned(), &figures.all, Kind::Sum);
        let each = figures
            .months
            .iter()
            .map(|(month, outcomes)| (month.to_string(), outcomes, Kind::Plain));
        for (name, outcomes, kind) in each.chain([all]) {
            let cells = numbers([
                count(outcomes.applications),
                count(outcomes.asked),
                count(outcomes.offered),
                percent(of(outcomes.offered, outcomes.applications)),
                count(outcomes.declined),
                count(outcomes.referred),
                count(outcomes.disbursed),
            ]);
            months.row(kind, [Cell::Words(name)].into_iter().chain(cells).collect());
        }

        let mut funnel = Table::new(
            format!(
                "Enough lenders accepted {}; {} became an offer",
                things(figures.accepted_by_enough(), "application"),
                count(figures.all.offered)
            ),
            &["From application to loan", "Applications", "of all", ""],
        );
        for (step, applications) in [
            ("Came in", figures.all.applications),
            (
                "Fit product and agreement, so that lenders were asked",
                figures.all.asked,
            ),
            (
                "Accepted by enough lenders, each by its own policy",
                figures.accepted_by_enough(),
            ),
            (
                "Offered, once limits, rules and amounts were minded",
                figures.all.offered,
            ),
            ("Taken by the borrower and lent", figures.all.disbursed),
        ] {
            let share = of(applications, figures.all.applications);
            funnel.plain(vec![
                Cell::words(step),
                Cell::Number(count(applications)),
                Cell::Number(percent(share)),
                Cell::bar(ACCENT, share),
            ]);
        }

        let months_named: Vec<_> = figures
            .months
            .iter()
            .map(|(month, _)| month.to_string())
            .collect();
        let show_months = (2..=6).contains(&months_named.len());
        let mut head = vec![
            "Lender",
            "Accepts",
            "of asked",
            "Declines",
            "Refers to a person",
            "accepts, refers, declines",
        ];
        if show_months {
            head.extend(months_named.iter().map(String::as_str));
        }
        let mut lenders = Table::new("Each lender decides for itself", &head);
        for lender in figures.lenders() {
            let tally = figures.all.lenders[lender.index()];
            let part = |number| of(number, figures.all.asked).unwrap_or(0.0);
            let mut cells = vec![
                Cell::words(figures.name(lender)),
                Cell::Number(count(tally.accepted)),
                Cell::Number(percent(of(tally.accepted, figures.all.asked))),
                Cell::Number(count(tally.declined)),
                Cell::Number(count(tally.referred)),
                Cell::Bar(vec![
                    (ACCENT, part(tally.accepted)),
                    (MIDDLE, part(tally.referred)),
                    (GREY, part(tally.declined)),
                ]),
            ];
            if show_months {
                cells.extend(figures.months.iter().map(|(_, month)| {
                    let accepted = month.lenders[lender.index()].accepted;
                    Cell::Number(percent(of(accepted, month.asked)))
                }));
            }
            lenders.plain(cells);
        }

        let mut overlap = Table::new(
            self.overlap_title(),
            &["Accepted by", "Applications", "of asked", ""],
        );
        for (number, &applications) in figures.accepting.iter().enumerate().rev() {
            let share = of(applications, figures.all.asked);
            overlap.plain(vec![
                Cell::Words(self.so_many(number)),
                Cell::Number(count(applications)),
                Cell::Number(percent(share)),
                Cell::bar(
                    if number >= self.fewest() {
                        ACCENT
                    } else {
                        GREY
                    },
                    share,
                ),
            ]);
        }
        Section {
            id: "decisions",
            title: "Decisions".into(),
            lead: "An application that fits the product and the agreement goes to every lender at once. Each answers by its own policy, from the data that the agreement lets it see. If enough accept, they offer one loan together.".into(),
            blocks: vec![
                Block::Table(funnel.marked(self.offers())),
                Block::Table(months.marked(self.offers())),
                Block::Table(lenders),
                Block::Table(overlap),
            ],
        }
    }

    fn fewest(&self) -> usize {
        usize::from(self.figures.agreement().file.funding.minimum_lenders)
    }

    fn overlap_title(&self) -> String {
        let enough = percent(of(
            self.figures.accepted_by_enough(),
            self.figures.all.asked,
        ));
        match self.fewest() {
            1 => format!("{enough} are accepted by at least one lender, enough for a loan"),
            fewest => format!(
                "{enough} are accepted by at least {fewest} lenders, enough for a joint loan"
            ),
        }
    }

    /// How many of the lenders: `all 3`, `2 of 3`, `none`.
    pub(super) fn so_many(&self, number: usize) -> String {
        match self.figures.accepting.len() - 1 {
            _ if number == 0 => "none".into(),
            all if all == number => format!("all {all}"),
            all => format!("{number} of {all}"),
        }
    }

    fn reasons(&self) -> Section {
        let figures = &self.figures;
        let all = figures.all.applications;
        // Bars are as long as the reason is frequent, compared with the most frequent one.
        let most_declined = figures.declined.first().map_or(0, |(_, times)| *times);
        let most_given = figures.reasons.first().map_or(0, |reason| reason.times);
        let mut declined = Table::new(
            "Why applications were declined as a whole",
            &["Reason", "Applications", "of all", ""],
        );
        for (words, times) in &figures.declined {
            declined.plain(vec![
                Cell::words(words),
                Cell::Number(count(*times)),
                Cell::Number(percent(of(*times, all))),
                Cell::bar(ACCENT, of(*times, most_declined)),
            ]);
        }
        let mut blocks = vec![Block::Table(declined.marked(self.offers()))];
        for lender in figures.lenders() {
            let own = |reason: &&LenderReason| reason.lender == lender;
            let tally = figures.all.lenders[lender.index()];
            let mut table = Table::new(
                format!(
                    "{} declines {} and refers {}",
                    figures.name(lender),
                    percent(of(tally.declined, figures.all.asked)),
                    percent(of(tally.referred, figures.all.asked))
                ),
                &[
                    "Reason in its own words",
                    "Code",
                    "Given",
                    "of asked",
                    "Only reason",
                    "",
                ],
            );
            for reason in figures.reasons.iter().filter(own) {
                let words = if reason.refers {
                    format!("{} (refers to a person)", reason.words)
                } else {
                    reason.words.clone()
                };
                table.plain(vec![
                    Cell::Words(words),
                    Cell::words(&reason.code),
                    Cell::Number(count(reason.times)),
                    Cell::Number(percent(of(reason.times, figures.all.asked))),
                    Cell::Number(count(reason.alone)),
                    Cell::Bar(vec![
                        (ACCENT, of(reason.alone, most_given).unwrap_or(0.0)),
                        (
                            PALE,
                            of(reason.times - reason.alone, most_given).unwrap_or(0.0),
                        ),
                    ]),
                ]);
            }
            if !table.rows.is_empty() {
                blocks.push(Block::Table(table));
            }
        }
        if !figures.barred.is_empty() {
            let times: u32 = figures.barred.iter().map(|(_, _, times)| times).sum();
            let mut table = Table::new(
                format!(
                    "{} times a lender would have lent and a clause or rule kept it out",
                    count(times)
                ),
                &["Lender", "Clause or rule", "Times"],
            );
            for (lender, words, times) in &figures.barred {
                table.plain(vec![
                    Cell::words(figures.name(*lender)),
                    Cell::Words(words.to_string()),
                    Cell::Number(count(*times)),
                ]);
            }
            blocks.push(Block::Table(table));
        }
        Section {
            id: "reasons",
            title: "Why not".into(),
            lead: "A lender gives every reason that applies, so its reasons add up to more than its declines. The stronger part of a bar counts where a reason stood alone. Bars of all lenders have one scale.".into(),
            blocks,
        }
    }

    fn lending(&self) -> Section {
        let figures = &self.figures;
        let (funded, unit) = (&figures.funded, figures.unit);
        let mut lenders = Table::new(
            format!(
                "{} in {}",
                unit.full(funded.amount),
                things(funded.loans, "loan")
            ),
            &[
                "Lender",
                "Loans",
                unit.name().as_str(),
                "Share",
                "Average part",
                "Its price",
                "",
            ],
        );
        for lender in figures.lenders() {
            let lent = &funded.lenders[lender.index()];
            lenders.plain(vec![
                Cell::words(figures.name(lender)),
                Cell::Number(count(lent.loans)),
                Cell::Number(unit.show(lent.amount)),
                Cell::Number(percent(ratio(lent.amount, funded.amount))),
                Cell::Number(rounded(figures.currency(), mean(lent.amount, lent.loans))),
                Cell::Number(rate(lent.rate())),
                Cell::bar(ACCENT, ratio(lent.amount, funded.amount)),
            ]);
        }
        lenders.row(
            Kind::Sum,
            vec![
                Cell::words("Together"),
                Cell::Number(count(funded.loans)),
                Cell::Number(unit.show(funded.amount)),
                Cell::Number(percent(ratio(funded.amount, funded.amount))),
                Cell::Number(rounded(
                    figures.currency(),
                    mean(funded.amount, funded.loans),
                )),
                Cell::Number(rate(funded.rate)),
                Cell::words(""),
            ],
        );
        let mut together = Table::new(
            "Who lends together",
            &["Lenders", "Loans", unit.name().as_str(), "of all", ""],
        );
        for &(bits, loans, amount) in &funded.together {
            together.plain(vec![
                Cell::Words(list(&figures.names(bits))),
                Cell::Number(count(loans)),
                Cell::Number(unit.show(amount)),
                Cell::Number(percent(ratio(amount, funded.amount))),
                Cell::bar(ACCENT, ratio(amount, funded.amount)),
            ]);
        }
        let facts = [
            (
                "Average term",
                funded.months.map_or(NONE.into(), |months| {
                    format!("{} months", decimal(months, 1))
                }),
            ),
            (
                "All-in cost",
                format!(
                    "{} on average, {} at most",
                    rate(funded.all_in_cost),
                    rate(Some(fraction(funded.highest_cost)))
                ),
            ),
            (
                "Offers not taken",
                format!(
                    "{} lapsed, {} given back, {} open",
                    count(funded.lapsed),
                    count(funded.withdrawn),
                    count(funded.open)
                ),
            ),
        ];
        Section {
            id: "lending",
            title: "What was lent".into(),
            lead: "One loan, one rate for the borrower: the average of the lenders’ prices, weighted by their parts. Averages here are weighted by principal. The all-in cost is the yearly rate at which everything that the borrower pays is worth what it received.".into(),
            blocks: vec![
                Block::Table(lenders.marked(self.offers())),
                Block::Table(together.marked(self.offers())),
                facts_block(facts, self.offers()),
            ],
        }
    }

    fn comparison(&self) -> Option<Section> {
        let comparison = self.context.comparison.as_ref()?;
        let head: Vec<_> = comparison.header.iter().map(String::as_str).collect();
        let mut table = Table::new("", &head);
        for row in &comparison.rows {
            let mut cells = row.iter();
            let name = cells.next().map_or("", String::as_str);
            let rest = numbers(cells.cloned());
            table.plain([Cell::words(name)].into_iter().chain(rest).collect());
        }
        Some(Section {
            id: "comparison",
            title: comparison.title.clone(),
            lead: comparison.explanation.clone(),
            blocks: vec![Block::Table(table)],
        })
    }

    fn portfolio(&self) -> Option<Section> {
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

    fn collections(&self) -> Option<Section> {
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
            x: (
                f64::from(first.index()) - 0.6,
                f64::from(last.index()) + 0.6,
            ),
            ticks: month_ticks(first, last),
            marks,
            ..Chart::default()
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
        let facts = [
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
                    "{} came after their value date and were put in their place",
                    count(payments.back_dated)
                ),
            ),
            ("Prepaid", unit.full(prepaid)),
            (
                "After charge-off",
                format!("{} collected", unit.full(figures.losses.recovered)),
            ),
        ];
        Some(Section {
            id: "collections",
            title: "Collections".into(),
            lead: "What fell due is principal and interest by the terms of each loan. What was collected on it includes late payments, penalties and late fees, so a month can bring in more than fell due.".into(),
            blocks: vec![Block::Figure(figure), facts_block(facts, Paid::Wholly)],
        })
    }

    fn vintages(&self) -> Option<Section> {
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
        let lost = |(_, vintage): &(String, super::loans::Vintage)| {
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

    fn losses(&self) -> Option<Section> {
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
        let rows = figures.lenders().into_iter().map(|lender| {
            let lent = figures.funded.lenders[lender.index()];
            (figures.name(lender).to_owned(), lent, Kind::Plain)
        });
        let mut together = super::figures::Lent::default();
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

    fn loss_row(&self, name: String, lent: &super::figures::Lent) -> Vec<Cell> {
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

    fn results(&self) -> Option<Section> {
        let figures = &self.figures;
        let unit = figures.unit;
        let years = &figures.years;
        if years.is_empty() {
            return None;
        }
        let mut head: Vec<String> = vec![String::new()];
        head.extend(years.iter().map(|year| year.year.to_string()));
        head.push("All".into());
        let mut table = Table {
            caption: format!("Result of each party, {}", unit.name()),
            paid: Paid::Wholly,
            head,
            ..Table::default()
        };
        let lenders = figures.lenders();
        for (party, entry) in figures.agreement().parties() {
            let lines = result_lines(years, party);
            if lines
                .iter()
                .all(|(_, amounts)| amounts.iter().all(|amount| amount.is_zero()))
            {
                continue;
            }
            table.row(Kind::Group, vec![Cell::words(&entry.name)]);
            for (name, amounts) in &lines {
                table.plain(amount_row(name, amounts, |amount| unit.show(amount)));
            }
            let sums: Vec<Amount> = (0..years.len())
                .map(|year| lines.iter().map(|(_, amounts)| amounts[year]).sum())
                .collect();
            table.row(
                Kind::Sum,
                amount_row("Result", &sums, |amount| unit.show(amount)),
            );
            if lenders.contains(&party) {
                let interest = |year: &Year| year.result[party.index()][0];
                for (name, amounts) in [
                    (
                        "Interest, a year on principal",
                        years.iter().map(interest).collect(),
                    ),
                    ("Result, a year on principal", sums),
                ] {
                    table.plain(self.yield_row(name, party, &amounts));
                }
            }
        }
        Some(Section {
            id: "result",
            title: "Income and result".into(),
            lead: "From each party’s own ledger, without its cost of funds, staff and tax. Interest is earned day by day; losses are what the loss allowance had to be raised by. A yield relates a year to the principal outstanding on its days, and is left out where hardly any was.".into(),
            blocks: vec![Block::Table(self.division()), Block::Table(table)],
        })
    }

    /// Who has what of the money that borrowers paid for their loans.
    fn division(&self) -> Table {
        let figures = &self.figures;
        let unit = figures.unit;
        let paid = figures.earned_from_borrowers();
        let lenders = figures.lenders_result();
        let mut table = Table::new(
            format!(
                "Of every 100 {} that borrowers owed in interest and fees, the lenders keep {} after losses",
                figures.currency(),
                ratio(lenders, paid).map_or(NONE.into(), |part| decimal(part * 100.0, 1))
            ),
            &["", &unit.name(), "of all", ""],
        )
        .paid();
        let mut row = |name: &str, amount: Amount, colour| {
            let share = ratio(amount, paid);
            table.plain(vec![
                Cell::words(name),
                Cell::Number(unit.show(amount)),
                Cell::Number(percent(share)),
                Cell::bar(colour, share.map(|share| share.max(0.0))),
            ]);
        };
        let mut left = paid;
        for (party, entry) in figures.agreement().parties() {
            left -= figures.result(party);
            row(&entry.name, figures.result(party), ACCENT);
        }
        row("Lost on loans, after collections", left, LOSS);
        let all = [unit.show(paid), percent(ratio(paid, paid))];
        let cells = [Cell::words("Interest, fees and penalties")]
            .into_iter()
            .chain(numbers(all));
        table.row(Kind::Sum, cells.chain([Cell::words("")]).collect());
        table
    }

    fn yield_row(&self, name: &str, party: PartyId, amounts: &[Amount]) -> Vec<Cell> {
        let years = &self.figures.years;
        let most = years
            .iter()
            .map(|year| year.principal_days[party.index()])
            .max();
        let mut cells = vec![Cell::words(name)];
        for (year, &amount) in years.iter().zip(amounts) {
            let enough = year.principal_days[party.index()] * 20 >= most.unwrap_or(0);
            let part = enough.then(|| {
                self.figures
                    .yearly(amount, std::slice::from_ref(year), &[party])
            });
            cells.push(Cell::Number(rate(part.flatten())));
        }
        let all = amounts.iter().copied().sum();
        cells.push(Cell::Number(rate(self.figures.yearly(
            all,
            years,
            &[party],
        ))));
        cells
    }

    fn settlement(&self) -> Option<Section> {
        let figures = &self.figures;
        let (settlement, unit) = (&figures.settlement, figures.unit);
        let total = settlement.total();
        let (first, last) = (
            *settlement.months.keys().next()?,
            *settlement.months.keys().next_back()?,
        );
        let saved = ratio(total.gross - total.net, total.gross);
        let mut marks = Vec::new();
        for (month, netting) in &settlement.months {
            let at = f64::from(month.index());
            for (colour, amount, what) in
                [(PALE, netting.gross, "owed"), (ACCENT, netting.net, "paid")]
            {
                marks.push(Mark::Bar {
                    colour,
                    x: (at - 0.4, at + 0.4),
                    y: (0.0, unit.value(amount)),
                    hint: format!("{month}: {} {what}", unit.full(amount)),
                });
            }
        }
        let chart = Chart {
            title: format!(
                "Netting saved {} of the money that would have moved",
                percent(saved)
            ),
            description: "By month: what parties owed each other, and what they paid.".into(),
            x: (
                f64::from(first.index()) - 0.6,
                f64::from(last.index()) + 0.6,
            ),
            ticks: month_ticks(first, last),
            marks,
            ..Chart::default()
        };
        let mut table = Table::new(
            format!("Owed and paid between parties, {}", unit.name()),
            &["", "Owed to others", "Owed by others", "Paid", "Received"],
        )
        .paid();
        for (party, entry) in figures.agreement().parties() {
            let paid = settlement.parties[party.index()];
            let amounts = [paid.owed, paid.owning, paid.paid, paid.received];
            let amounts = numbers(amounts.map(|amount| unit.show(amount)));
            table.plain(
                [Cell::words(&entry.name)]
                    .into_iter()
                    .chain(amounts)
                    .collect(),
            );
        }
        let facts = [
            (
                "Windows",
                format!(
                    "{} closed, {} paid, {} waiting",
                    count(settlement.windows),
                    count(settlement.settled),
                    count(figures.waiting as u64)
                ),
            ),
            (
                "Obligations",
                format!(
                    "{}, {}",
                    count(settlement.obligations),
                    unit.full(total.gross)
                ),
            ),
            (
                "Transfers",
                format!("{}, {}", count(settlement.transfers), unit.full(total.net)),
            ),
        ];
        Some(Section {
            id: "settlement",
            title: "Settlement".into(),
            lead: "Each day’s obligations between the parties form a window, which is netted and paid as agreed. Every plan brings each party exactly its net position.".into(),
            blocks: vec![
                Block::Figure(
                    Figure::new(chart, format!("By month of the window, {}", unit.name()))
                        .legend([(PALE, "owed, gross".to_owned()), (ACCENT, "paid, net".to_owned())]),
                ),
                Block::Table(table),
                facts_block(facts, Paid::Wholly),
            ],
        })
    }

    fn limits(&self) -> Option<Section> {
        let figures = &self.figures;
        if figures.limits.is_empty() {
            return None;
        }
        let unit = figures.unit;
        let used = format!("Used at most, {}", unit.name());
        let mut table = Table::new(
            "Highest use of each limit",
            &[
                "Clause or rule",
                "Who and what",
                used.as_str(),
                "of",
                "",
                "",
                "Highest on",
                "Kept out",
            ],
        )
        .paid();
        for limit in &figures.limits {
            let used = ratio(limit.peak.used, limit.peak.cap);
            let scope = match (limit.lender, &limit.peak.region) {
                (Some(lender), _) => figures.name(lender).to_owned(),
                (None, Some(region)) => {
                    format!("{} (most in {region})", upper_first(&limit.words.scope))
                }
                (None, None) => upper_first(&limit.words.scope),
            };
            let colour = if limit.refusals.is_some() {
                LOSS
            } else {
                ACCENT
            };
            table.plain(vec![
                Cell::Words(upper_first(&limit.words.name)),
                Cell::Words(scope),
                Cell::Number(unit.show(limit.peak.used)),
                Cell::Number(unit.show(limit.peak.cap)),
                Cell::Number(percent(used)),
                Cell::Bar(vec![
                    (colour, used.unwrap_or(0.0)),
                    (PALE, 1.0 - used.unwrap_or(0.0)),
                ]),
                Cell::Number(date(limit.peak.day)),
                Cell::Number(
                    limit
                        .refusals
                        .map_or(NONE.into(), |(times, _)| count(times)),
                ),
            ]);
        }
        Some(Section {
            id: "limits",
            title: "Limits in use".into(),
            lead: "Measured whenever an offer is made, with principal outstanding and open offers. “Kept out” counts how often the limit stopped a lender or an application; its bar then has the other colour. Rules about all joint loans of a bank include those under other agreements, as reported.".into(),
            blocks: vec![Block::Table(table)],
        })
    }

    fn ledgers(&self) -> Option<Section> {
        let figures = &self.figures;
        if figures.ledger.is_empty() {
            return None;
        }
        let parties: Vec<_> = figures.agreement().parties().collect();
        let mut head = vec!["Account".to_owned(), "No.".to_owned()];
        head.extend(parties.iter().map(|(_, party)| party.name.clone()));
        let mut table = Table {
            caption: format!(
                "Balances on {}, {}",
                date(figures.period.1),
                figures.currency()
            ),
            paid: Paid::Wholly,
            head,
            ..Table::default()
        };
        let mut sums = vec![Amount::ZERO; parties.len()];
        for (account, balances) in &figures.ledger {
            let name = account.counterparty().map_or_else(
                || upper_first(account.name()),
                |party| format!("{} {}", upper_first(account.name()), figures.name(party)),
            );
            let mut cells = vec![Cell::Words(name), Cell::Words(account.number().to_string())];
            for (place, (party, _)) in parties.iter().enumerate() {
                let balance = balances[party.index()];
                sums[place] += balance;
                cells.push(Cell::Number(exact(figures.currency(), balance)));
            }
            table.plain(cells);
        }
        let zero = |sum: Amount| {
            if sum.is_zero() {
                figures.currency().grouped(sum)
            } else {
                exact(figures.currency(), sum)
            }
        };
        let mut cells = vec![Cell::words("Debits less credits"), Cell::words("")];
        cells.extend(sums.into_iter().map(|sum| Cell::Number(zero(sum))));
        table.row(Kind::Sum, cells);
        Some(Section {
            id: "ledgers",
            title: "Trial balance".into(),
            lead: "Every party has its own ledger, fed by the same events. Debits are positive, credits negative, and each ledger sums to zero. What one party is due from another stands in the other’s ledger as due to it.".into(),
            blocks: vec![Block::Table(table)],
        })
    }

    fn agreement(&self) -> Section {
        let figures = &self.figures;
        let agreement = figures.agreement();
        let file = &agreement.file;
        let mut parties = Table::new(
            "Parties",
            &[
                "Party",
                "What it is and does",
                "Lends",
                "At most",
                "At least",
            ],
        );
        for (party, entry) in agreement.parties() {
            let funding = agreement.lenders.iter().position(|&lender| lender == party);
            let (lends, most, least) = match funding.map(|place| &agreement.funding[place]) {
                None => (NONE.to_owned(), NONE.to_owned(), NONE.to_owned()),
                Some(lender) => (
                    lender.share.map_or("by offers".to_owned(), written),
                    written(lender.maximum_share),
                    written(lender.minimum_share),
                ),
            };
            let territory = match entry.territory.len() {
                0 => String::new(),
                regions => format!("; lends in {}", things(regions as u64, "region")),
            };
            parties.plain(vec![
                Cell::words(&entry.name),
                Cell::Words(format!("{}{territory}", party_words(agreement, party))),
                Cell::Number(lends),
                Cell::Number(most),
                Cell::Number(least),
            ]);
        }
        let mut versions = Table::new(
            "Versions in force",
            &["Agreement", "From", "Policies", "Rulebook"],
        );
        for version in &figures.versions {
            let file = &version.agreement.file;
            let policies: Vec<_> = version
                .policies
                .iter()
                .map(|policy| {
                    let lender = version.agreement.party_id(&policy.file.lender);
                    let name =
                        lender.map_or(policy.file.lender.as_str(), |lender| figures.name(lender));
                    format!("{name} {}", policy.file.version)
                })
                .collect();
            versions.plain(vec![
                Cell::Words(format!("{}, version {}", file.id, file.version)),
                Cell::Words(date(file.effective_from).replace(' ', "\u{a0}")),
                Cell::Words(policies.join("; ")),
                Cell::Words(version.rulebook.as_ref().map_or(NONE.into(), |book| {
                    format!("{} {}: {}", book.id, book.version, book.title)
                })),
            ]);
        }
        let product = &file.product;
        let currency = figures.currency();
        let terms: Vec<_> = product.terms_months.iter().map(u16::to_string).collect();
        let fees = file.fee.iter().map(|fee| {
            let mut size = Vec::new();
            if fee.rate != Rate::ZERO {
                size.push(written(fee.rate));
            }
            size.extend(fee.amount.map(|money| currency.show(money.amount)));
            let at = match fee.at {
                FeeTime::Disbursement => "at disbursement",
                FeeTime::Overdue => "for an overdue instalment",
            };
            let to = agreement.party_id(&fee.earned_by);
            let to = to.map_or("the lenders", |party| figures.name(party));
            format!("{} {at} to {to}", list(&size))
        });
        let mut facts = vec![
            (
                "Loans",
                format!(
                    "{} to {} {currency}",
                    rounded(currency, product.minimum_amount.amount),
                    rounded(currency, product.maximum_amount.amount)
                ),
            ),
            (
                "Terms",
                format!(
                    "{} months, {}",
                    list(&terms),
                    match product.amortisation {
                        Amortisation::EqualInstalment => "equal instalments",
                        Amortisation::EqualPrincipal => "equal parts of principal",
                        Amortisation::Bullet => "repaid at the end",
                    }
                ),
            ),
            (
                "Interest",
                format!(
                    "{}, penalty {} after {}",
                    product.day_count,
                    written(product.penalty_rate),
                    things(product.grace_days, "day")
                ),
            ),
            (
                "Funding",
                format!(
                    "{}, at least {}",
                    match file.funding.mode {
                        FundingMode::Fixed => "agreed shares",
                        FundingMode::Offers => "in proportion to what the lenders offer",
                        FundingMode::InOrder => "one lender after the other",
                    },
                    things(file.funding.minimum_lenders, "lender")
                ),
            ),
            ("Fees from borrowers", fees.collect::<Vec<_>>().join("; ")),
        ];
        if let Some((party, of_interest)) = agreement.service_fee {
            facts.push((
                "Service fee",
                format!(
                    "{} of interest to {}",
                    written(of_interest),
                    figures.name(party)
                ),
            ));
        }
        if let (Some(guarantee), Some(party)) = (&file.guarantee, agreement.guarantor) {
            let order = match guarantee.recoveries {
                Recoveries::GuarantorFirst => "recoveries go to it first",
                Recoveries::ProRata => "recoveries are shared",
            };
            facts.push((
                "Guarantee",
                format!(
                    "{} covers {} of principal written off, up to {} of what was lent; {order}",
                    figures.name(party),
                    written(guarantee.covers),
                    written(guarantee.pool)
                ),
            ));
        }
        let netting = match file.settlement.netting {
            Netting::Bilateral => "bilateral",
            Netting::Multilateral => "multilateral",
        };
        let lag = things(file.settlement.lag_business_days, "business day");
        facts.push(("Settlement", format!("{netting} netting, paid after {lag}")));
        facts.retain(|(_, value)| !value.is_empty());
        let classes = file.class.iter().map(|class| {
            format!(
                "{} from {} days ({})",
                class.name,
                class.from_days,
                written(class.allowance)
            )
        });
        facts.push((
            "Classes and loss allowance",
            classes.collect::<Vec<_>>().join("; "),
        ));
        Section {
            id: "agreement",
            title: "The agreement".into(),
            lead: "Terms are those of the latest version. The agreement, the policies and the rulebook stand in the journal as they were signed.".into(),
            blocks: vec![Block::Table(parties), facts_block(facts, Paid::No), Block::Table(versions)],
        }
    }

    fn checks(&self) -> Section {
        let (figures, context) = (&self.figures, &self.context);
        let mut blocks = Vec::new();
        if !context.checks.is_empty() {
            let mut table = Table::new(
                format!(
                    "{} of {} passed",
                    context.passed(),
                    things(context.checks.len() as u64, "check")
                ),
                &["", "What must hold", "What was looked at"],
            );
            for check in &context.checks {
                table.plain(vec![
                    Cell::words(if check.passed { "✓" } else { "✗ failed" }),
                    Cell::words(&check.name),
                    Cell::words(&check.detail),
                ]);
            }
            blocks.push(Block::Table(table));
        }
        if context.problem_count > 0 {
            let mut table = Table::new(
                format!(
                    "{} could not be used",
                    things(context.problem_count as u64, "row of the input")
                        .replace("row of the inputs", "rows of the input")
                ),
                &["What is wrong"],
            );
            for problem in &context.problems {
                table.plain(vec![Cell::words(problem)]);
            }
            let more = context.problem_count.saturating_sub(context.problems.len());
            if more > 0 {
                table.plain(vec![Cell::Words(format!(
                    "and {} more",
                    count(more as u64)
                ))]);
            }
            blocks.push(Block::Table(table));
        }
        let journal = &figures.journal;
        let mut facts = vec![
            (
                "Journal",
                format!(
                    "{} events in {} batches",
                    count(journal.events),
                    count(journal.batches)
                ),
            ),
            ("Ledger entries", count(journal.entries)),
            ("Days closed", count(figures.closes.len() as u64)),
        ];
        if let Some(digest) = &journal.digest {
            facts.push(("Digest of the last day", digest.clone()));
        }
        blocks.push(facts_block(facts, Paid::No));
        Section {
            id: "checks",
            title: "Checks, and how to read this".into(),
            lead: "Every figure is computed from the journal, a chain of facts in which any later change would show. Whoever has the journal can make this page again and must find the same digest.\n\nA dash means nothing, or nothing to divide by. Percentages are rounded to the digits shown.".into(),
            blocks,
        }
    }
}

fn facts_block<'a>(facts: impl IntoIterator<Item = (&'a str, String)>, paid: Paid) -> Block {
    let facts = facts.into_iter().map(|(name, value)| (name.to_owned(), value));
    Block::Facts(Facts {
        facts: facts.collect(),
        paid,
    })
}

/// The lines of a party's statement, each with the accounts that it sums up.
const STATEMENT: [(&str, &[Account]); 7] = [
    ("Interest", &[Account::InterestIncome]),
    (
        "Fees and penalties",
        &[Account::FeeIncome, Account::PenaltyIncome],
    ),
    ("Service fees earned", &[Account::ServiceFeeIncome]),
    ("Collected after charge-off", &[Account::RecoveryIncome]),
    ("Service fees paid", &[Account::ServiceFeeExpense]),
    ("Guarantee paid", &[Account::GuaranteeExpense]),
    ("Losses", &[Account::ImpairmentLoss]),
];

/// The lines of a party's result that are not empty: name and amount by year.
fn result_lines(years: &[Year], party: PartyId) -> Vec<(&'static str, Vec<Amount>)> {
    let lines = STATEMENT.iter().map(|(name, accounts)| {
        let amounts = years.iter().map(|year| {
            let amounts = RESULT.iter().zip(year.result[party.index()]);
            amounts
                .filter(|(account, _)| accounts.contains(account))
                .map(|(_, amount)| amount)
                .sum()
        });
        (*name, amounts.collect::<Vec<Amount>>())
    });
    lines
        .filter(|(_, amounts)| amounts.iter().any(|amount| !amount.is_zero()))
        .collect()
}

/// A row with an amount for each year and their sum.
fn amount_row(name: &str, amounts: &[Amount], show: impl Fn(Amount) -> String) -> Vec<Cell> {
    let all = amounts.iter().copied().sum();
    let amounts = amounts.iter().copied().chain([all]);
    [Cell::words(name)]
        .into_iter()
        .chain(numbers(amounts.map(show)))
        .collect()
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
        *place == 0 || (last - place) % step == 0 || kept.contains(&Some(close.day))
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

/// Ticks of an axis of months.
fn month_ticks(first: Month, last: Month) -> Vec<(f64, String)> {
    marked_months(first, last)
        .map(|(month, label)| (f64::from(month.index()), label))
        .collect()
}

/// Months that carry a label: each January over years, else every month or quarter.
fn marked_months(first: Month, last: Month) -> impl Iterator<Item = (Month, String)> {
    let months = last.index() - first.index();
    let step = match months {
        0..=9 => 1,
        10..=30 => 3,
        _ => 12,
    };
    (first.index()..=last.index())
        .map(Month::at)
        .filter(move |month| (month.number() as i32 - 1) % step == 0)
        .map(move |month| {
            let label = if step == 12 {
                month.year().to_string()
            } else {
                month.to_string()
            };
            (month, label)
        })
}
