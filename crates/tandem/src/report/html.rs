//! The report as one page of HTML that needs nothing else: no script, no font, no network.

mod decisions;
mod lending;
mod money;
mod portfolio;

use askama::Template;
use tandem_domain::money::Amount;
use tandem_domain::party::PartyId;
use tandem_web::chart::{Chart, Colour};

use super::figures::fraction;
use super::page::{Block, Cell, Facts, Page, Paid, Paragraph, Section, Table, Tile};
use super::text::{Month, count, date, list, mean, of, percent, rate, ratio, rounded, things};
use super::{About, Check, Report};

const ACCENT: Colour = Colour("accent");
const MIDDLE: Colour = Colour("mid");
const PALE: Colour = Colour("pale");
const GREY: Colour = Colour("grey");
const LOSS: Colour = Colour("loss");

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
    fn summary(&self) -> Vec<Paragraph> {
        let figures = &self.figures;
        let (all, funded, unit) = (&figures.all, &figures.funded, figures.unit);
        let lenders = figures.lenders();
        let pick = |tally: &PartyId| of(all.lenders[tally.index()].accepted, all.asked);
        let rates: Vec<_> = lenders
            .iter()
            .map(|lender| format!("{} {}", figures.name(*lender), percent(pick(lender))))
            .collect();
        let mut paragraphs = Vec::new();
        let mut say = |paid, text| paragraphs.push(Paragraph { text, paid });
        say(
            self.offers(),
            format!(
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
            ),
        );
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
            say(
                self.offers(),
                format!(
                    "Enough lenders accepted {} by their own policies. Clauses and rules then kept a lender out {} times: {}.",
                    things(figures.accepted_by_enough(), "application"),
                    count(times),
                    list(&causes.collect::<Vec<_>>()),
                ),
            );
        }
        if funded.loans > 0 {
            say(
                self.offers(),
                format!(
                    "{} was lent, {} {} a loan on average. Borrowers pay {} a year, {} with all fees; the dearest loan costs {}.",
                    unit.full(funded.amount),
                    rounded(figures.currency(), mean(funded.amount, funded.loans)),
                    figures.currency(),
                    rate(funded.rate),
                    rate(funded.all_in_cost),
                    rate(Some(fraction(funded.highest_cost))),
                ),
            );
        }
        let losses = &figures.losses;
        if funded.charged_off > 0 {
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
            say(
                Paid::Wholly,
                format!(
                    "{} {} written off, {} ({} of what was lent){cover}.",
                    things(funded.charged_off, "loan"),
                    if funded.charged_off == 1 {
                        "was"
                    } else {
                        "were"
                    },
                    unit.full(losses.charged_off),
                    percent(ratio(losses.charged_off, funded.amount)),
                ),
            );
        }
        if let Some(day) = losses.short_since {
            say(
                Paid::Wholly,
                format!(
                    "The guarantee pool was too small: from {} on, {} had less cover than agreed.",
                    date(day),
                    things(losses.short, "charge-off"),
                ),
            );
        }
        let result = figures.lenders_result();
        say(
            Paid::Wholly,
            format!(
                "After service fees and losses the lenders earned {}, {} a year on the principal outstanding.",
                unit.full(result),
                rate(figures.yearly(result, &figures.years, &figures.holders())),
            ),
        );
        paragraphs
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
            value: rate(figures.yearly(result, &figures.years, &figures.holders())),
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
            self.reasons(),
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

    /// How many of the lenders: `all 3`, `2 of 3`, `none`.
    pub(super) fn so_many(&self, number: usize) -> String {
        match self.figures.accepting.len() - 1 {
            _ if number == 0 => "none".into(),
            all if all == number => format!("all {all}"),
            all => format!("{number} of {all}"),
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
                    Cell::words(check.name),
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
    let facts = facts
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    Block::Facts(Facts {
        facts: facts.collect(),
        paid,
    })
}

/// A chart with nothing but an axis of months, with room for a bar at each end.
fn over_months(first: Month, last: Month) -> Chart {
    Chart {
        x: (
            f64::from(first.index()) - 0.6,
            f64::from(last.index()) + 0.6,
        ),
        ticks: month_ticks(first, last),
        ..Chart::default()
    }
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
