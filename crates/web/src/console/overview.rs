//! What a head of lending wants to see on one screen.

use axum::response::Response;
use tandem_domain::agreement::{Limit, LimitScope};
use tandem_domain::ledger::Account;
use tandem_domain::money::{Amount, Currency};

use super::blocks::{
    Block, Cell, Figure, Section, Sheet, Table, Tile, count, hundredths, money, percent, rounded,
};
use super::cases;
use super::figures::{Figures, Month};
use super::page::{Fault, Signed, Visit};
use super::scope::Scope;
use crate::chart::{Chart, Colour, Mark};

/// Months that charts show.
const SHOWN: i32 = 18;

/// Colours of classes, mildest first.
pub(super) const CLASSES: [&str; 8] = ["k0", "k1", "k2", "k3", "k4", "k5", "k5", "k5"];

pub(super) async fn show(signed: Signed) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let figures = signed.figures()?;
    let cases = cases::open(&signed)?;
    let sheet = signed.look(|scope| {
        let mut sheet = Sheet::new(visit, visit.t("overview.title"));
        sheet.lead = scope.agreement().file.title.clone();
        sheet.add("figures", vec![Block::Tiles(tiles(visit, scope, &figures))]);
        let mut today = Section::new("today", visit.t("overview.today"));
        today.measure = match cases.len() {
            0 => String::new(),
            all => visit.language.fill("overview.cases", &[&count(all as i64)]),
        };
        today = today.with(Block::Table(cases::table(visit, &cases, 6)));
        if cases.len() > 6 {
            let link = (
                visit.t("overview.all_cases").to_owned(),
                "/console/cases".to_owned(),
            );
            today = today.with(Block::Links(vec![link]));
        }
        sheet.section(today);
        if scope.lends() {
            charts(visit, scope, &figures, &mut sheet);
            sheet.section(classes(visit, scope));
        }
        sheet.section(limits(visit, scope, true));
        Ok(sheet)
    })?;
    visit.page(&sheet)
}

fn tiles(visit: &Visit, scope: &Scope<'_>, figures: &Figures) -> Vec<Tile> {
    let currency = scope.currency();
    let tile = |key: &str, amount: Amount, detail: String, path: &str| {
        let (value, unit) = rounded(visit, amount, currency);
        Tile {
            name: visit.t(key).to_owned(),
            value,
            unit,
            detail,
            path: path.to_owned(),
        }
    };
    let month = Month::of(scope.book.business_date());
    let balance = |account: Account| scope.book.ledgers().balance(scope.party, account);
    let mut tiles = Vec::new();
    if scope.lends() {
        let classes = scope
            .book
            .portfolio()
            .of(scope.party)
            .classes(scope.agreement());
        let outstanding: Amount = classes.iter().copied().sum();
        let late: Amount = classes.iter().skip(1).copied().sum();
        let today = scope.book.business_date().to_string();
        tiles.push(tile(
            "overview.outstanding",
            outstanding,
            visit.language.fill("overview.on", &[&today]),
            "/console/loans",
        ));
        let this_month = money(figures.funded_in(month), currency);
        tiles.push(tile(
            "overview.funded",
            figures.funded(),
            visit.language.fill("overview.this_month", &[&this_month]),
            "/console/applications?state=disbursed",
        ));
        tiles.push(Tile {
            name: visit.t("overview.arrears").to_owned(),
            value: percent(late, outstanding),
            unit: String::new(),
            detail: visit.language.fill(
                "overview.of_outstanding",
                &[&money(late, currency), currency.code()],
            ),
            path: "/console/loans?state=late".to_owned(),
        });
        let (earned, average) = year(figures, month);
        tiles.push(Tile {
            name: visit.t("overview.yield").to_owned(),
            value: percent(earned, average),
            unit: String::new(),
            detail: visit.t("overview.yield_detail").to_owned(),
            path: "/console/ledger".to_owned(),
        });
    } else {
        let fees = balance(Account::FeeIncome) + balance(Account::ServiceFeeIncome);
        tiles.push(tile(
            "overview.fees",
            -fees,
            visit.t("overview.fees_detail").to_owned(),
            "/console/ledger",
        ));
    }
    if scope.lends() {
        let allowance = -balance(Account::LossAllowance);
        let outstanding = balance(Account::Loans);
        let share = percent(allowance, outstanding);
        tiles.push(tile(
            "overview.allowance",
            allowance,
            visit.language.fill("overview.allowance_detail", &[&share]),
            "/console/ledger/accounts/1390",
        ));
    }
    let before = figures.result(Month(month.0 - 1));
    tiles.push(tile(
        "overview.result",
        figures.result(month),
        visit
            .language
            .fill("overview.month_before", &[&money(before, currency)]),
        "/console/statements",
    ));
    let owed: Amount = (0..scope.agreement().file.party.len() as u8)
        .map(tandem_domain::party::PartyId)
        .map(|party| balance(Account::DueFrom(party)) + balance(Account::DueTo(party)))
        .sum();
    tiles.push(tile(
        "overview.to_settle",
        owed,
        visit.t("overview.to_settle_detail").to_owned(),
        "/console/settlements",
    ));
    if let Some(guarantee) = &scope.agreement().file.guarantee {
        let pool = scope.book.pool();
        let room = pool
            .disbursed
            .at(guarantee.pool, tandem_domain::money::Rounding::Down);
        tiles.push(Tile {
            name: visit.t("overview.pool").to_owned(),
            value: percent(pool.used, room),
            unit: String::new(),
            detail: visit.language.fill(
                "overview.pool_detail",
                &[
                    &money(pool.used, currency),
                    &money(room, currency),
                    currency.code(),
                ],
            ),
            path: "/console/agreement#guarantee".to_owned(),
        });
    }
    tiles
}

/// What was earned in the last twelve months, for a whole year, and what was outstanding on
/// average at their ends.
fn year(figures: &Figures, month: Month) -> (Amount, Amount) {
    let Some((first, _)) = figures.span() else {
        return (Amount::ZERO, Amount::ZERO);
    };
    let months: Vec<_> = (first.0.max(month.0 - 12)..month.0).map(Month).collect();
    let count = months.len() as i64;
    if count == 0 {
        return (Amount::ZERO, Amount::ZERO);
    }
    let earned: Amount = months.iter().map(|month| figures.earned(*month)).sum();
    let balance = |month: &Month| figures.balance(*month, Account::Loans.number());
    let outstanding: Amount = months.iter().map(balance).sum();
    (Amount(earned.0 * 12 / count), Amount(outstanding.0 / count))
}

/// The charts side by side.
fn charts(visit: &Visit, scope: &Scope<'_>, figures: &Figures, sheet: &mut Sheet<'_>) {
    let Some((first, _)) = figures.span() else {
        return;
    };
    let last = Month::of(scope.book.business_date());
    let months: Vec<_> = (first.0.max(last.0 - SHOWN + 1)..=last.0)
        .map(Month)
        .collect();
    let currency = scope.currency();
    let scale = 10f64.powi(currency.digits() as i32) * 1_000_000.0;
    let millions = |amount: Amount| amount.0 as f64 / scale;
    let unit = visit.language.fill("overview.millions", &[currency.code()]);
    let outstanding = |month: Month| figures.balance(month, Account::Loans.number());
    let series: Vec<_> = months
        .iter()
        .map(|month| (month.0, outstanding(*month)))
        .collect();
    let area = Mark::Area {
        colour: Colour("pale"),
        points: series
            .iter()
            .map(|(month, amount)| (f64::from(*month), 0.0, millions(*amount)))
            .collect(),
    };
    let line = Mark::Line {
        colour: Colour("accent"),
        points: series
            .iter()
            .map(|(month, amount)| (f64::from(*month), millions(*amount)))
            .collect(),
        label: String::new(),
    };
    let range = (
        f64::from(months[0].0),
        f64::from(last.0).max(f64::from(months[0].0) + 1.0),
    );
    let title = visit.t("overview.outstanding_chart");
    let chart = chart(title, &unit, &months, range, vec![area, line]);
    sheet.section(
        Section::new("outstanding", title)
            .measured(unit.clone())
            .half()
            .with(figure(&chart, Vec::new())),
    );
    let range = (f64::from(months[0].0) - 0.5, f64::from(last.0) + 0.5);
    let title = visit.t("overview.result_chart");
    let mut marks = Vec::new();
    for &month in &months {
        let earned = figures.earned(month);
        let cost = earned - figures.result(month);
        for (colour, from, amount) in [("accent", -0.38, earned), ("loss", 0.02, cost)] {
            let from = f64::from(month.0) + from;
            marks.push(Mark::Bar {
                colour: Colour(colour),
                x: (from, from + 0.36),
                y: (0.0, millions(amount).max(0.0)),
                hint: format!("{}: {}", month.name(), currency.show(amount)),
            });
        }
    }
    let chart = self::chart(title, &unit, &months, range, marks);
    let legend = vec![
        ("accent", visit.t("overview.earned").to_owned()),
        ("loss", visit.t("overview.cost").to_owned()),
    ];
    sheet.section(
        Section::new("result", title)
            .measured(unit)
            .half()
            .with(figure(&chart, legend)),
    );
}

fn chart(title: &str, unit: &str, months: &[Month], x: (f64, f64), marks: Vec<Mark>) -> Chart {
    Chart {
        title: title.to_owned(),
        description: format!(
            "{unit}, {} – {}",
            months[0].name(),
            months[months.len() - 1].name()
        ),
        x,
        ticks: months
            .iter()
            .map(|month| (f64::from(month.0), month.name()))
            .collect(),
        suffix: "",
        marks,
    }
}

/// A chart as half of a page.
fn figure(chart: &Chart, legend: Vec<(&'static str, String)>) -> Block {
    Block::Figure(Figure {
        legend,
        wide: chart.svg(560.0, 230.0),
        narrow: chart.svg(350.0, 200.0),
    })
}

/// The party's outstanding principal by class.
fn classes(visit: &Visit, scope: &Scope<'_>) -> Section {
    let currency = scope.currency();
    let amounts = scope
        .book
        .portfolio()
        .of(scope.party)
        .classes(scope.agreement());
    let all: Amount = amounts.iter().copied().sum();
    let mut table = Table::new(&[
        (visit.t("overview.class"), "!"),
        (visit.t("overview.outstanding"), "#"),
        (visit.t("overview.share"), "#"),
        ("", "?"),
    ]);
    for (place, (class, amount)) in scope
        .agreement()
        .file
        .class
        .iter()
        .zip(&amounts)
        .enumerate()
    {
        let path = format!("/console/loans?state={}", class.name);
        table.row(vec![
            Cell::Link(visit.word("class", &class.name).to_owned(), path),
            Cell::amount(*amount, currency),
            Cell::number(percent(*amount, all)),
            Cell::Bar(vec![(CLASSES[place.min(7)], hundredths(*amount, all))]),
        ]);
    }
    table.sum(vec![
        Cell::text(visit.t("overview.all")),
        Cell::amount(all, currency),
        Cell::text(""),
        Cell::text(""),
    ]);
    Section::new("classes", visit.t("overview.classes"))
        .measured(amounts_in(visit, currency))
        .half()
        .with(Block::Table(table))
}

/// “Amounts in CNY”.
pub(super) fn amounts_in(visit: &Visit, currency: Currency) -> String {
    visit.language.fill("frame.amounts", &[currency.code()])
}

/// Limits that the party may see, and how far they are used. A limit of one lender is shown to
/// that lender; those of all together to everybody.
pub(super) fn limits(visit: &Visit, scope: &Scope<'_>, half: bool) -> Section {
    let currency = scope.currency();
    let mut table = Table::new(&[
        (visit.t("overview.limit"), ""),
        (visit.t("overview.used"), "#"),
        (visit.t("overview.share"), "#"),
        ("", "?"),
    ])
    .empty(visit.t("overview.no_limits"));
    let Some((_, version)) = scope.book.current() else {
        return Section::default();
    };
    let agreement = &version.agreement;
    let used = scope.book.limits_used();
    for (place, terms) in agreement.file.limit.iter().enumerate() {
        let own = agreement.limit_lenders[place];
        if own.is_some_and(|place| agreement.lenders[place] != scope.party) {
            continue;
        }
        let Some(limit) = used.iter().find(|used| used.limit == place) else {
            // A limit for each borrower has no use as a whole.
            let cap = money(terms.amount.amount, currency);
            let cap = visit.language.fill("overview.cap", &[&cap]);
            table.row(vec![
                Cell::Lines(limit_lines(visit, scope, terms, None)),
                Cell::Lines(vec!["–".to_owned(), cap]),
                Cell::text(""),
                Cell::text(""),
            ]);
            continue;
        };
        let cap = limit.most;
        let share = hundredths(limit.used, cap);
        let class = match share {
            9_500.. => "loss",
            8_000.. => "amber",
            _ => "accent",
        };
        table.row(vec![
            Cell::Lines(limit_lines(visit, scope, terms, limit.region.as_deref())),
            Cell::Lines(vec![
                money(limit.used, currency),
                visit
                    .language
                    .fill("overview.cap", &[&money(cap, currency)]),
            ]),
            Cell::number(percent(limit.used, cap)),
            Cell::Bar(vec![(class, share)]),
        ]);
    }
    let section = Section::new("limits", visit.t("overview.limits"))
        .measured(amounts_in(visit, currency))
        .with(Block::Table(table));
    if half { section.half() } else { section }
}

/// Where a limit is written, and what it adds up.
fn limit_lines(
    visit: &Visit,
    scope: &Scope<'_>,
    limit: &Limit,
    region: Option<&str>,
) -> Vec<String> {
    vec![
        visit.language.fill("overview.clause", &[&limit.clause]),
        limit_words(visit, scope, limit, region),
    ]
}

/// What a limit adds up, in words.
pub(super) fn limit_words(
    visit: &Visit,
    scope: &Scope<'_>,
    limit: &Limit,
    region: Option<&str>,
) -> String {
    let who = limit.lender.as_deref().and_then(|id| scope.name_of(id));
    let who = who.unwrap_or(visit.t("limit.together"));
    let what = match limit.per {
        LimitScope::Day => visit.t("limit.day").to_owned(),
        LimitScope::Total => visit.t("limit.total").to_owned(),
        LimitScope::Partner => visit.t("limit.partner").to_owned(),
        LimitScope::Borrower => visit.t("limit.borrower").to_owned(),
        LimitScope::Region => match limit.region.as_deref().or(region) {
            Some(region) => visit.language.fill("limit.region", &[region]),
            None => visit.t("limit.any_region").to_owned(),
        },
    };
    visit.language.fill("limit.words", &[who, &what])
}
