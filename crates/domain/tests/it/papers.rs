//! A small cooperation whose documents can be changed line by line. The simulator (`crates/sim`)
//! reads this file too.

use tandem_domain::book::{Application, Documents, Version};
use tandem_domain::document::Problem;
use tandem_domain::field::{Kind, Value};
use tandem_domain::rulebook::Rulebook;
use toml::{Table, Value as Toml};

const AGREEMENT: &str = include_str!("../data/agreement.toml");
const POLICIES: [(&str, &str); 3] = [
    ("river", include_str!("../data/river.toml")),
    ("cloud", include_str!("../data/cloud.toml")),
    ("trust", include_str!("../data/trust.toml")),
];

/// The documents of the cooperation, open for changes.
#[derive(Clone)]
pub(crate) struct Papers {
    tables: Vec<(String, Table)>,
}

impl Papers {
    pub(crate) fn new() -> Papers {
        let texts = POLICIES.iter().chain([&("agreement", AGREEMENT)]);
        let tables = texts.map(|(name, text)| ((*name).to_owned(), text.parse().unwrap()));
        Papers {
            tables: tables.collect(),
        }
    }

    /// Keeps the built-in rulebook `cn`.
    pub(crate) fn under_cn(self) -> Papers {
        self.under("cn")
    }

    /// Keeps a built-in rulebook.
    pub(crate) fn under(self, name: &str) -> Papers {
        let mut papers = self.with(&format!("rulebook = \"{name}\""));
        let text = Rulebook::built_in(name).unwrap();
        papers
            .tables
            .push(("rules".to_owned(), text.parse().unwrap()));
        papers
    }

    /// Counts business days by a calendar with holidays.
    pub(crate) fn with_holidays(mut self) -> Papers {
        let calendar = include_str!("../data/calendar.toml");
        self.tables
            .push(("calendar".to_owned(), calendar.parse().unwrap()));
        self
    }

    /// Changes one value: `product.day_count = "A/360"` in the agreement, or in another document
    /// named before a colon: `river: offer[0].rate = "9%"`. An index behind the last one appends,
    /// and `nothing` removes.
    pub(crate) fn with(mut self, change: &str) -> Papers {
        let (path, value) = change.split_once('=').expect("path = value");
        let (name, path) = path.split_once(':').unwrap_or(("agreement", path));
        let table = self
            .tables
            .iter_mut()
            .find(|(known, _)| known == name.trim());
        let (_, table) = table.unwrap_or_else(|| panic!("there is no document `{name}`"));
        let value = (value.trim() != "nothing").then(|| {
            let read: Table = format!("value = {value}").parse().unwrap();
            read["value"].clone()
        });
        change_at(table, path.trim(), value);
        self
    }

    /// Lets Harbour Trust lend as well, last in every order.
    pub(crate) fn with_trust(self) -> Papers {
        self.with("funding.leftover_order[2] = \"trust\"")
            .with("funding.lender[2] = { party = \"trust\" }")
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let (_, table) = self.tables.iter().find(|(known, _)| known == name)?;
        Some(toml::to_string(table).unwrap())
    }

    pub(crate) fn documents(&self) -> Documents {
        let agreement = self.text("agreement").unwrap();
        let lends = |name: &str| agreement.contains(&format!("party = \"{name}\""));
        let policies = POLICIES.iter().filter(|(name, _)| lends(name));
        let policies = policies.map(|(name, _)| self.text(name).unwrap());
        Documents {
            policies: policies.collect(),
            rulebook: self.text("rules"),
            calendar: self.text("calendar"),
            agreement,
        }
    }

    pub(crate) fn parse(&self) -> Result<Version, Vec<Problem>> {
        Version::parse(self.documents())
    }

    pub(crate) fn version(&self) -> Version {
        self.parse().unwrap()
    }
}

fn change_at(table: &mut Table, path: &str, value: Option<Toml>) {
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    let (key, index) = step.split_once('[').unwrap_or((step, ""));
    let index: Option<usize> = index.trim_end_matches(']').parse().ok();
    match (index, rest, value) {
        (None, "", None) => {
            table.remove(key).expect("there is something to remove");
        }
        (None, "", Some(value)) => {
            table.insert(key.to_owned(), value);
        }
        (None, rest, value) => {
            let inner = table.get_mut(key).and_then(Toml::as_table_mut);
            change_at(inner.expect("a table"), rest, value);
        }
        (Some(index), rest, value) => {
            let empty = Toml::Array(Vec::new());
            let list = table.entry(key.to_owned()).or_insert(empty);
            let list = list.as_array_mut().expect("a list");
            match (rest, value) {
                ("", None) => {
                    list.remove(index);
                }
                ("", Some(value)) if index == list.len() => list.push(value),
                ("", Some(value)) => list[index] = value,
                (rest, value) => {
                    change_at(list[index].as_table_mut().expect("a table"), rest, value);
                }
            }
        }
    }
}

/// With everything that can be earned, paid or lost.
pub(crate) fn rich(papers: Papers) -> Papers {
    [
        "funding.mode = \"offers\"",
        "funding.lender[0].share = nothing",
        "funding.lender[1].share = nothing",
        "service_fee = { of_interest = \"12.5%\", earned_by = \"mall\" }",
        "guarantee = { party = \"shield\", covers = \"65%\", pool = \"30%\", recoveries = \"guarantor_first\" }",
        "fee[0] = { at = \"overdue\", amount = \"5.00 CNY\", rate = \"1%\", earned_by = \"lenders\" }",
        "fee[1] = { at = \"disbursement\", rate = \"0.7%\", amount = \"1.00 CNY\", earned_by = \"lenders\" }",
        "river: offer[0].rate = \"9.75%\"",
        "river: offer[0].maximum = [\"700 CNY\"]",
        "cloud: offer[0].rate = \"13.1%\"",
        "cloud: offer[0].maximum = [\"900 CNY\"]",
        "trust: offer[0].rate = \"15%\"",
    ]
    .iter()
    .fold(papers, |papers, change| papers.with(change))
}

/// Variants of the agreement that change what is posted.
pub(crate) const VARIANTS: [&[&str]; 6] = [
    &[],
    &[
        "product.day_count = \"A/365\"",
        "settlement.netting = \"multilateral\"",
    ],
    &[
        "product.amortisation = \"bullet\"",
        "guarantee.recoveries = \"pro_rata\"",
        "roles.servicer = \"river\"",
    ],
    &[
        "fee[0].earned_by = \"mall\"",
        "fee[1].earned_by = \"shield\"",
        "product.day_count = \"A/360\"",
    ],
    &[
        "guarantee = nothing",
        "service_fee = nothing",
        "settlement.lag_business_days = 0",
    ],
    &[
        "product.amortisation = \"equal_principal\"",
        "product.prepayment = \"shorten_term\"",
        "roles.servicer = \"shield\"",
    ],
];

pub(crate) fn variant(number: usize) -> Papers {
    let papers = rich(Papers::new().with_trust())
        .with("charge_off.days_past_due = 40")
        .with("class[2].from_days = 35");
    VARIANTS[number]
        .iter()
        .fold(papers, |papers, change| papers.with(change))
}

/// An application with the lenders' own decisions. Options are `region=`, `borrower=` and fields.
pub(crate) fn application(
    version: &Version,
    key: &str,
    amount: &str,
    months: &str,
    options: &[&str],
) -> Application {
    let scope = &version.agreement.scope;
    let mut values = vec![Value::Missing; scope.fields.len()];
    let mut borrower = None;
    let (amount, months) = (format!("amount={amount}"), format!("term_months={months}"));
    let standard = [&amount, &months, "region=east"];
    for option in standard.iter().chain(options) {
        let (name, text) = option.split_once('=').unwrap();
        if name == "borrower" {
            borrower = Some(text.to_owned());
            continue;
        }
        let (place, kind) = scope.field(name).unwrap();
        let literal = match kind {
            Kind::Money => format!("{text} CNY"),
            _ => text.to_owned(),
        };
        values[place] = kind.read_literal(&literal, scope.currency).unwrap();
    }
    Application {
        key: key.to_owned(),
        borrower,
        decisions: version.decisions(&values),
        values,
    }
}
