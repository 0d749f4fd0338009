//! What was decided, why not, and which limits bound.

use super::{ACCENT, GREY, LOSS, MIDDLE, PALE};
use crate::report::Report;
use crate::report::figures::LenderReason;
use crate::report::page::{Block, Cell, Kind, Paid, Section, Table, numbers};
use crate::report::text::{NONE, count, date, of, percent, ratio, things, upper_first};

impl Report {
    /// How many applications came in, and what became of them.
    pub(super) fn decisions(&self) -> Section {
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
            let cells = numbers(outcomes.cells());
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
        let partly = match self.offers() {
            Paid::No => "",
            _ => {
                "\n\nLimits count what is outstanding, so repayments decide how much room later offers find."
            }
        };
        Section {
            id: "decisions",
            title: "Decisions".into(),
            lead: format!(
                "An application that fits the product and the agreement goes to every lender at once. Each answers by its own policy, from the data that the agreement lets it see. If enough accept, they offer one loan together.{partly}"
            ),
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

    /// Why applications were declined, and which reasons lenders gave.
    pub(super) fn reasons(&self) -> Option<Section> {
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
        let mut blocks = Vec::new();
        if !figures.declined.is_empty() {
            blocks.push(Block::Table(declined.marked(self.offers())));
        }
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
            blocks.push(Block::Table(table.marked(self.offers())));
        }
        (!blocks.is_empty()).then(|| Section {
            id: "reasons",
            title: "Why not".into(),
            lead: "A lender gives every reason that applies, so its reasons add up to more than its declines. The stronger part of a bar counts where a reason stood alone. Bars of all lenders have one scale.".into(),
            blocks,
        })
    }

    /// How much of each limit was used.
    pub(super) fn limits(&self) -> Option<Section> {
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
}
