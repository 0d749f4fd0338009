//! The report as a summary for the terminal.

use std::io::{self, Write};

use super::Report;
use super::figures::fraction;
use super::text::{
    count, date, list, mean, of, percent, rate, ratio, rounded, things, upper_first,
};

/// Narrowest line that the tables fit in.
const NARROWEST: usize = 72;
/// Widest line that is still easy to read.
const WIDEST: usize = 100;
/// Letters that a column of words keeps at least.
const FEWEST: usize = 20;
/// Stands beside figures that follow from what borrowers paid.
const MARK: &str = "†";

impl Report {
    /// Writes the summary in lines of at most `width` letters; `colour` if a terminal shows it.
    pub(crate) fn print(&self, out: &mut impl Write, width: usize, colour: bool) -> io::Result<()> {
        let width = width.clamp(NARROWEST, WIDEST);
        let mut screen = Screen { out, width, colour };
        self.print_head(&mut screen)?;
        self.print_decisions(&mut screen)?;
        self.print_reasons(&mut screen)?;
        self.print_lending(&mut screen)?;
        self.print_portfolio(&mut screen)?;
        self.print_limits(&mut screen)?;
        self.print_checks(&mut screen)
    }

    fn print_head(&self, screen: &mut Screen<'_, impl Write>) -> io::Result<()> {
        let figures = &self.figures;
        let file = &figures.agreement().file;
        screen.bold(&file.title)?;
        let (first, last) = figures.period;
        screen.wrapped(
            &format!(
                "{}, version {}; {} to {}; amounts in {}.",
                file.id,
                file.version,
                date(first),
                date(last),
                figures.unit.name()
            ),
            "",
        )?;
        for note in &self.context.notes {
            let mark = match note.about {
                super::About::Payments => "† ",
                super::About::Everything => "",
            };
            screen.warning(&format!(
                "{mark}{}: {}",
                upper_first(&note.label),
                note.text
            ))?;
        }
        if self.figures.limits_bound && !self.mark().is_empty() {
            screen
                .warning("† Limits count what is outstanding, so offers depend on it in part.")?;
        }
        Ok(())
    }

    /// `†` if notes reserve what follows from payments.
    fn mark(&self) -> &'static str {
        if self.context.payment_labels().is_empty() {
            ""
        } else {
            MARK
        }
    }

    fn print_decisions(&self, screen: &mut Screen<'_, impl Write>) -> io::Result<()> {
        let figures = &self.figures;
        let mut table = Rows::new([
            "Decisions",
            "applications",
            "asked",
            "offered",
            "of all",
            "declined",
            "referred",
            "lent",
        ]);
        let shown = figures.months.len().min(6);
        let months = figures.months.iter().skip(figures.months.len() - shown);
        let months = months.map(|(month, outcomes)| (month.to_string(), outcomes));
        for (name, outcomes) in months.chain([("all".to_owned(), &figures.all)]) {
            let [
                applications,
                asked,
                offered,
                of_all,
                declined,
                referred,
                lent,
            ] = outcomes.cells();
            table.row([
                name,
                applications,
                asked,
                offered,
                of_all,
                declined,
                referred,
                lent,
            ]);
        }
        screen.table(&table)?;
        let accepting = figures.accepting.iter().enumerate().rev();
        let accepting: Vec<_> = accepting
            .map(|(number, &applications)| {
                let share = percent(of(applications, figures.all.asked));
                format!("{} {share}", self.so_many(number))
            })
            .collect();
        screen.wrapped(
            &format!(
                "Accepted by {} of the applications they were asked about.",
                list(&accepting)
            ),
            "",
        )
    }

    fn print_reasons(&self, screen: &mut Screen<'_, impl Write>) -> io::Result<()> {
        let figures = &self.figures;
        let mut table = Rows::new(["Most frequent reasons", "code", "given", "alone"]);
        for lender in figures.lenders() {
            let own = figures
                .reasons
                .iter()
                .filter(|reason| reason.lender == lender);
            for reason in own.take(2) {
                table.row([
                    format!("{}: {}", figures.name(lender), reason.words),
                    reason.code.clone(),
                    count(reason.times),
                    count(reason.alone),
                ]);
            }
        }
        for (lender, words, times) in figures.barred.iter().take(3) {
            let words = format!("{}: kept out by {}", figures.name(*lender), words.name);
            table.row([words, String::new(), count(*times), String::new()]);
        }
        if figures.reasons.is_empty() && figures.barred.is_empty() {
            return Ok(());
        }
        screen.table(&table)
    }

    fn print_lending(&self, screen: &mut Screen<'_, impl Write>) -> io::Result<()> {
        let figures = &self.figures;
        let (funded, unit, mark) = (&figures.funded, figures.unit, self.mark());
        let mut table = Rows::new([
            "Lenders".to_owned(),
            "accepts".into(),
            "loans".into(),
            "lent".into(),
            "share".into(),
            "price".into(),
            format!("written off{mark}"),
            format!("result{mark}"),
            format!("a year{mark}"),
        ]);
        for lender in figures.holders() {
            let lent = &funded.lenders[lender.index()];
            let result = figures.result(lender);
            table.row([
                figures.name(lender).to_owned(),
                percent(of(
                    figures.all.lenders[lender.index()].accepted,
                    figures.all.asked,
                )),
                count(lent.loans),
                unit.show(lent.amount),
                percent(ratio(lent.amount, funded.amount)),
                rate(lent.rate()),
                unit.show(lent.charged_off),
                unit.show(result),
                rate(figures.yearly(result, &figures.years, &[lender])),
            ]);
        }
        let result = figures.lenders_result();
        table.row([
            "together".into(),
            String::new(),
            count(funded.loans),
            unit.show(funded.amount),
            percent(ratio(funded.amount, funded.amount)),
            rate(funded.rate),
            unit.show(figures.losses.charged_off),
            unit.show(result),
            rate(figures.yearly(result, &figures.years, &figures.holders())),
        ]);
        screen.table(&table)
    }

    fn print_portfolio(&self, screen: &mut Screen<'_, impl Write>) -> io::Result<()> {
        let figures = &self.figures;
        let (funded, unit, losses, mark) =
            (&figures.funded, figures.unit, &figures.losses, self.mark());
        let mut facts = vec![(
            "Loans".to_owned(),
            format!(
                "{} {} on average; all-in cost {}, at most {}",
                rounded(figures.currency(), mean(funded.amount, funded.loans)),
                figures.currency(),
                rate(funded.all_in_cost),
                rate(Some(fraction(funded.highest_cost)))
            ),
        )];
        if let (Some(now), Some(peak)) = (figures.closes.last(), figures.peak()) {
            facts.push((
                format!("Outstanding{mark}"),
                format!(
                    "{}; at most {} on {}",
                    match now.active {
                        0 => "nothing".to_owned(),
                        active => format!(
                            "{} in {}",
                            unit.words(now.outstanding),
                            things(active, "loan")
                        ),
                    },
                    unit.words(peak.outstanding),
                    date(peak.day)
                ),
            ));
        }
        facts.push((
            format!("Written off{mark}"),
            format!(
                "{} in {}, {} of what was lent; {} collected since",
                unit.words(losses.charged_off),
                things(funded.charged_off, "loan"),
                percent(ratio(losses.charged_off, funded.amount)),
                unit.words(losses.recovered)
            ),
        ));
        if let Some(size) = figures.pool_size() {
            let short = losses.short_since.map_or_else(String::new, |day| {
                format!(
                    "; from {} {} with less cover than agreed",
                    date(day),
                    things(losses.short, "charge-off")
                )
            });
            facts.push((
                format!("Guarantee{mark}"),
                format!(
                    "{} of {} used ({}){short}",
                    unit.words(figures.pool.used),
                    unit.words(size),
                    percent(ratio(figures.pool.used, size))
                ),
            ));
        }
        let total = figures.settlement.total();
        facts.push((
            format!("Settlement{mark}"),
            format!(
                "{}; {} owed, {} paid, {} less by netting",
                things(figures.settlement.windows, "window"),
                unit.words(total.gross),
                unit.words(total.net),
                percent(ratio(total.gross - total.net, total.gross))
            ),
        ));
        screen.gap()?;
        screen.facts(&facts)
    }

    fn print_limits(&self, screen: &mut Screen<'_, impl Write>) -> io::Result<()> {
        let figures = &self.figures;
        let mut limits: Vec<_> = figures.limits.iter().collect();
        limits.sort_by(|a, b| {
            let use_of = |limit: &super::figures::LimitUse| {
                ratio(limit.peak.used, limit.peak.cap).unwrap_or(0.0)
            };
            use_of(b).total_cmp(&use_of(a))
        });
        let mut table = Rows::new([
            format!("Limits nearest to full{}", self.mark()),
            "used".into(),
            "kept out".into(),
            "first on".into(),
        ]);
        for limit in limits.into_iter().take(4) {
            let who = limit
                .lender
                .map_or(limit.words.scope.as_str(), |lender| figures.name(lender));
            table.row([
                format!("{}: {who}", upper_first(&limit.words.name)),
                percent(ratio(limit.peak.used, limit.peak.cap)),
                limit
                    .refusals
                    .map_or(String::new(), |(times, _)| count(times)),
                limit
                    .refusals
                    .map_or(String::new(), |(_, first)| date(first)),
            ]);
        }
        if table.rows.is_empty() {
            Ok(())
        } else {
            screen.table(&table)
        }
    }

    fn print_checks(&self, screen: &mut Screen<'_, impl Write>) -> io::Result<()> {
        let context = &self.context;
        screen.gap()?;
        for check in context.checks.iter().filter(|check| !check.passed) {
            screen.warning(&format!("CHECK FAILED {}: {}", check.name, check.detail))?;
        }
        if context.problem_count > 0 {
            let rows = if context.problem_count == 1 {
                "row"
            } else {
                "rows"
            };
            screen.warning(&format!(
                "{} {rows} of the input could not be used.",
                count(context.problem_count as u64)
            ))?;
        }
        let journal = &self.figures.journal;
        screen.wrapped(
            &format!(
                "{} of {} passed. {} events, {} ledger entries, {} days closed.",
                context.passed(),
                things(context.checks.len() as u64, "check"),
                count(journal.events),
                count(journal.entries),
                count(self.figures.closes.len() as u64)
            ),
            "",
        )
    }
}

/// Rows of a table; the first is its heading, and the first column holds words.
struct Rows<const N: usize> {
    head: [String; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Rows<N> {
    fn new(head: [impl Into<String>; N]) -> Rows<N> {
        Rows {
            head: head.map(Into::into),
            rows: Vec::new(),
        }
    }

    fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }
}

/// Where lines go.
struct Screen<'a, W> {
    out: &'a mut W,
    width: usize,
    colour: bool,
}

impl<W: Write> Screen<'_, W> {
    fn gap(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    fn styled(&mut self, text: &str, code: &str) -> io::Result<()> {
        if self.colour {
            writeln!(self.out, "\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            writeln!(self.out, "{text}")
        }
    }

    fn bold(&mut self, text: &str) -> io::Result<()> {
        self.styled(&cut(text, self.width), "1")
    }

    fn warning(&mut self, text: &str) -> io::Result<()> {
        for line in wrap(text, self.width, "") {
            self.styled(&line, "33")?;
        }
        Ok(())
    }

    fn wrapped(&mut self, text: &str, indent: &str) -> io::Result<()> {
        for line in wrap(text, self.width, indent) {
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    /// Names on the left, texts beside them.
    fn facts(&mut self, facts: &[(String, String)]) -> io::Result<()> {
        let names = facts
            .iter()
            .map(|(name, _)| letters(name))
            .max()
            .unwrap_or(0);
        let indent = " ".repeat(names + 2);
        for (name, text) in facts {
            let pad = " ".repeat(names + 2 - letters(name));
            self.wrapped(&format!("{name}{pad}{text}"), &indent)?;
        }
        Ok(())
    }

    /// Numbers to the right, in columns as wide as they need; words take what is left.
    fn table<const N: usize>(&mut self, table: &Rows<N>) -> io::Result<()> {
        let lines = || [&table.head].into_iter().chain(&table.rows);
        let widest = |column: usize| {
            lines()
                .map(|line| letters(&line[column]))
                .max()
                .unwrap_or(0)
        };
        // Where the terminal is too narrow the last columns are left out.
        let left = |columns: usize| {
            let numbers: usize = (1..columns).map(|column| widest(column) + 2).sum();
            self.width
                .checked_sub(numbers)
                .filter(|left| *left >= widest(0).min(FEWEST))
        };
        let columns = (2..=N)
            .rev()
            .find(|&columns| left(columns).is_some())
            .unwrap_or(1);
        let words = widest(0).min(left(columns).unwrap_or(self.width));
        self.gap()?;
        for (place, line) in lines().enumerate() {
            let mut text = cut(&line[0], words);
            text.push_str(&" ".repeat(words - letters(&text)));
            for (column, cell) in line.iter().enumerate().take(columns).skip(1) {
                text.push_str(&" ".repeat(widest(column) + 2 - letters(cell)));
                text.push_str(cell);
            }
            if place == 0 {
                self.styled(text.trim_end(), "1")?;
            } else {
                writeln!(self.out, "{}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

fn letters(text: &str) -> usize {
    text.chars().count()
}

/// The beginning of a text, with a sign that there is more.
fn cut(text: &str, width: usize) -> String {
    if letters(text) <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Breaks a text between words; lines after the first are indented.
fn wrap(text: &str, width: usize, indent: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if letters(&line) + letters(word) + 1 > width && !line.trim().is_empty() {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
        } else if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}
