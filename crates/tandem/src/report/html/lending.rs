//! What was lent, and under which agreement.

use tandem_domain::agreement::{Amortisation, FeeTime, FundingMode, Netting, Recoveries};
use tandem_domain::money::Rate;

use super::{ACCENT, facts_block};
use crate::check::particulars;
use crate::report::Report;
use crate::report::figures::{fraction, party_words};
use crate::report::page::{Block, Cell, Kind, Paid, Section, Table, numbers};
use crate::report::text::{
    NONE, count, date, decimal, list, mean, percent, rate, ratio, rounded, things, written,
};

impl Report {
    /// What was lent, by whom and at what price.
    pub(super) fn lending(&self) -> Section {
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
        for lender in figures.holders() {
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
                    "{} lapsed, {} withdrawn, {} open",
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

    /// The comparison, if there is one.
    pub(super) fn comparison(&self) -> Option<Section> {
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

    /// Parties, terms and versions.
    pub(super) fn agreement(&self) -> Section {
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
                FeeTime::Instalment => "with each instalment",
                FeeTime::Prepayment => "on what is prepaid",
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
                        Amortisation::FixedInstalment => "fixed instalments",
                        Amortisation::Planned => "repaid by a plan",
                        Amortisation::Revolving => "a credit line with a minimum payment",
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
        let particulars = particulars(product);
        if !particulars.is_empty() {
            facts.insert(2, ("Besides", particulars.join("; ")));
        }
        if let Some((party, of_interest)) = agreement.service_fee {
            facts.push((
                "Service fee",
                format!(
                    "{} of interest{} to {}",
                    written(of_interest),
                    match agreement.loan_fees.collection {
                        None => String::new(),
                        Some(fee) if fee.minimum.is_zero() => {
                            format!(" and {} of each payment", written(fee.rate))
                        }
                        Some(fee) => format!(
                            " and {} of each payment, at least {},",
                            written(fee.rate),
                            currency.show(fee.minimum)
                        ),
                    },
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
}
