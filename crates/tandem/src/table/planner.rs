//! From what a mapping says to places in a row; collects what does not fit on the way.

use tandem_domain::condition::Scope;
use tandem_domain::document::{Document, Problem};
use tandem_domain::field::{Kind, STANDARD, Value};
use tandem_domain::money::Currency;

use super::cell::{Cell, Date, Number, Reading, Sign, Source};
use super::decimal::{Decimal, Factor, clip};
use super::mapping::{DateColumn, FieldMapping, Mapping, MoneyColumn, OneOrMore};
use crate::words::distance;

/// Most columns that a message lists.
const MAX_LISTED: usize = 60;

const ABOVE_ZERO: &str = "this number must be above zero; remove it";

/// Places columns and collects problems.
pub(crate) struct Planner<'m> {
    document: Document<'m>,
    pub(crate) scope: &'m Scope,
    header: Option<Header<'m>>,
    problems: Vec<Problem>,
}

/// The columns of a file. Without one, everything else can still be checked.
#[derive(Clone, Copy)]
pub(crate) struct Header<'m> {
    pub(crate) file: &'m str,
    pub(crate) names: &'m [String],
}

impl<'m> Planner<'m> {
    pub(crate) fn new(
        mapping: &'m Mapping,
        scope: &'m Scope,
        header: Option<Header<'m>>,
    ) -> Result<Planner<'m>, Problem> {
        Ok(Planner {
            document: Document::parse(mapping.text())?,
            scope,
            header,
            problems: Vec::new(),
        })
    }

    /// Everything that was found.
    pub(crate) fn finish(self) -> Result<(), Vec<Problem>> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(self.problems)
        }
    }

    pub(crate) fn problem(&mut self, path: &str, message: impl Into<String>) {
        self.problems.push(self.document.problem(path, message));
    }

    /// A column with a key or word.
    pub(crate) fn text(&mut self, path: &str, column: &str, required: bool) -> Cell {
        let place = self.place(path, column);
        plain(Source::Columns(vec![place], Reading::Text(None)), required)
    }

    pub(crate) fn date(&mut self, path: &str, column: &DateColumn, required: bool) -> Cell {
        let place = self.place(&format!("{path}.column"), &column.column);
        let DateColumn {
            format,
            spread,
            shift_months,
            ..
        } = *column;
        if spread && !format.is_month() {
            self.problem(
                &format!("{path}.spread"),
                "goes only with a format that names no day",
            );
        }
        let date = Date {
            format,
            spread,
            shift_months,
        };
        plain(Source::Columns(vec![place], Reading::Date(date)), required)
    }

    pub(crate) fn money(&mut self, path: &str, column: &MoneyColumn, required: bool) -> Cell {
        let sign = if column.negative {
            Sign::Any
        } else {
            Sign::NotNegative
        };
        self.money_of_sign(path, column, required, sign)
    }

    /// Money that is above zero. Without a factor it has no more decimals than its currency, if
    /// it must be exact.
    pub(crate) fn payment(&mut self, path: &str, column: &MoneyColumn, exact: bool) -> Cell {
        if column.negative {
            self.problem(&format!("{path}.negative"), ABOVE_ZERO);
        }
        let mut cell = self.money_of_sign(path, column, true, Sign::Positive);
        if let Source::Columns(_, Reading::Number(number)) = &mut cell.source {
            number.exact = exact && column.scale.is_none();
        }
        cell
    }

    fn money_of_sign(
        &mut self,
        path: &str,
        column: &MoneyColumn,
        required: bool,
        sign: Sign,
    ) -> Cell {
        let place = self.place(&format!("{path}.column"), &column.column);
        self.exchange(path, column.unit, column.scale);
        let digits = self.scope.currency.digits();
        let number = Number {
            factor: factor(column.scale),
            digits,
            sign,
            exact: false,
        };
        plain(
            Source::Columns(vec![place], Reading::Number(number)),
            required,
        )
    }

    /// All fields of the agreement in its order.
    pub(crate) fn fields(&mut self, mapping: &Mapping) -> Vec<Cell> {
        let scope = self.scope;
        let fields = &mapping.applications.fields;
        for name in fields.keys() {
            if let Err(message) = scope.field(name) {
                self.problem(&format!("applications.fields.{name}"), message);
            }
        }
        let mapped = |name: &String| fields.contains_key(name);
        let unmapped: Vec<_> = scope
            .fields
            .iter()
            .map(|(name, _)| name)
            .filter(|&name| !mapped(name))
            .cloned()
            .collect();
        if let Some(first) = unmapped.first() {
            let message = format!(
                "no column is named for {}; name one for each, for example {first} = {{ column = \"…\" }}",
                unmapped.join(", ")
            );
            self.problem("applications.fields", message);
        }
        let present = scope
            .fields
            .iter()
            .filter_map(|(name, kind)| Some((name, *kind, fields.get(name)?)));
        present
            .map(|(name, kind, field)| self.field(name, kind, field))
            .collect()
    }

    fn field(&mut self, name: &str, kind: Kind, mapping: &FieldMapping) -> Cell {
        let path = format!("applications.fields.{name}");
        let standard = STANDARD.iter().any(|(known, _)| *known == name);
        if standard && mapping.required == Some(false) {
            self.problem(
                &format!("{path}.required"),
                "every application needs this field; remove it",
            );
        }
        if matches!(name, "amount" | "term_months") && mapping.negative {
            self.problem(&format!("{path}.negative"), ABOVE_ZERO);
        }
        self.check_options(&path, kind, mapping);
        Cell {
            source: self.source(&path, name, kind, mapping),
            strip: mapping
                .strip
                .as_ref()
                .map_or_else(Vec::new, |strip| strip.as_slice().to_vec()),
            missing: mapping.missing.clone(),
            required: standard || mapping.required == Some(true),
        }
    }

    fn check_options(&mut self, path: &str, kind: Kind, mapping: &FieldMapping) {
        let number = matches!(kind, Kind::Money | Kind::Rate | Kind::Integer);
        for (option, given, fits) in [
            ("ratio", mapping.ratio.is_some(), kind == Kind::Rate),
            (
                "unit",
                mapping.unit.is_some(),
                number && mapping.ratio.is_none(),
            ),
            ("scale", mapping.scale.is_some(), number),
            ("negative", mapping.negative, number),
            ("values", mapping.values.is_some(), kind == Kind::Text),
            ("format", mapping.format.is_some(), kind == Kind::Date),
            (
                "shift_months",
                mapping.shift_months.is_some(),
                kind == Kind::Date,
            ),
        ] {
            if given && !fits {
                let what = match (option, kind) {
                    ("unit", Kind::Rate) => "a ratio of columns".to_owned(),
                    _ => format!("a field of kind {}", format!("{kind:?}").to_lowercase()),
                };
                self.problem(
                    &format!("{path}.{option}"),
                    format!("means nothing for {what}; remove it"),
                );
            }
        }
    }

    fn source(&mut self, path: &str, name: &str, kind: Kind, mapping: &FieldMapping) -> Source {
        match (&mapping.column, &mapping.ratio, &mapping.constant) {
            (Some(columns), None, None) => {
                let reading = self.reading(path, name, kind, mapping);
                Source::Columns(self.places(path, columns), reading)
            }
            (None, Some([dividend, divisor]), None) => {
                let dividend = self.place(&format!("{path}.ratio[0]"), dividend);
                let divisor = self.place(&format!("{path}.ratio[1]"), divisor);
                Source::Quotient([dividend, divisor], number(mapping, 8, false))
            }
            (None, None, Some(text)) => {
                let reading = self.reading(path, name, kind, mapping);
                let value = reading.read(text.trim(), "").unwrap_or_else(|message| {
                    self.problem(&format!("{path}.constant"), message);
                    Value::Missing
                });
                Source::Constant(value)
            }
            _ => {
                self.problem(path, "write one of column, ratio and constant");
                Source::Constant(Value::Missing)
            }
        }
    }

    fn places(&mut self, path: &str, columns: &OneOrMore) -> Vec<usize> {
        let path = format!("{path}.column");
        match columns {
            OneOrMore::One(column) => vec![self.place(&path, column)],
            OneOrMore::More(columns) => {
                if columns.is_empty() {
                    self.problem(&path, "name at least one column");
                }
                let named = columns.iter().enumerate();
                named
                    .map(|(index, column)| self.place(&format!("{path}[{index}]"), column))
                    .collect()
            }
        }
    }

    fn reading(&mut self, path: &str, name: &str, kind: Kind, mapping: &FieldMapping) -> Reading {
        match kind {
            Kind::Money => {
                self.money_unit(path, mapping);
                Reading::Number(number(
                    mapping,
                    self.scope.currency.digits(),
                    name == "amount",
                ))
            }
            Kind::Rate => Reading::Number(number(mapping, self.rate_digits(path, mapping), false)),
            Kind::Integer => {
                let term = name == "term_months";
                if term && mapping.unit.as_deref().is_some_and(|unit| unit != "months") {
                    let message = "is counted in months; write \"months\", and scale = \"12\" if the file counts years";
                    self.problem(&format!("{path}.unit"), message);
                }
                Reading::Number(Number {
                    exact: true,
                    ..number(mapping, 0, term)
                })
            }
            Kind::Date => Reading::Date(Date {
                format: mapping.format.unwrap_or_default(),
                spread: false,
                shift_months: mapping.shift_months.unwrap_or_default(),
            }),
            Kind::Text => Reading::Text(mapping.values.clone()),
        }
    }

    fn money_unit(&mut self, path: &str, mapping: &FieldMapping) {
        let currency = self.scope.currency;
        let Some(unit) = &mapping.unit else {
            self.problem(
                path,
                format!("say the currency in the file, for example unit = \"{currency}\""),
            );
            return;
        };
        match unit.parse() {
            Ok(unit) => self.exchange(path, unit, mapping.scale),
            Err(error) => self.problem(&format!("{path}.unit"), format!("{error}")),
        }
    }

    fn exchange(&mut self, path: &str, unit: Currency, scale: Option<Factor>) {
        let currency = self.scope.currency;
        if unit != currency && scale.is_none() {
            let message = format!(
                "is not the agreement's currency; say what 1 {unit} is in {currency}, for example scale = \"6.5\""
            );
            self.problem(&format!("{path}.unit"), message);
        }
    }

    /// Rates are hundred-millionths, so per cent are millionths.
    fn rate_digits(&mut self, path: &str, mapping: &FieldMapping) -> u32 {
        match mapping.unit.as_deref() {
            Some("percent") => 6,
            Some("fraction") => 8,
            Some(_) => {
                self.problem(&format!("{path}.unit"), "write \"percent\" or \"fraction\"");
                8
            }
            None => {
                self.problem(
                    path,
                    "say how the file writes the rate: unit = \"percent\" or unit = \"fraction\"",
                );
                8
            }
        }
    }

    /// The place of a column; one that is not there is a problem.
    fn place(&mut self, path: &str, column: &str) -> usize {
        let Some(Header { file, names }) = self.header else {
            return 0;
        };
        names
            .iter()
            .position(|name| name == column && !name.is_empty())
            .unwrap_or_else(|| {
                let similar = similar(column, names);
                let (which, listed) = match similar.as_slice() {
                    [] => (
                        "its columns are",
                        names.iter().take(MAX_LISTED).map(String::as_str).collect(),
                    ),
                    _ => ("similar are", similar),
                };
                let listed: Vec<_> = listed.into_iter().map(clip).collect();
                let listed = listed.join(", ");
                self.problem(
                    path,
                    format!("{file} has no column `{column}`; {which} {listed}"),
                );
                0
            })
    }
}

fn plain(source: Source, required: bool) -> Cell {
    Cell {
        source,
        strip: Vec::new(),
        missing: Vec::new(),
        required,
    }
}

fn number(mapping: &FieldMapping, digits: u32, positive: bool) -> Number {
    let sign = match (positive, mapping.negative) {
        (true, _) => Sign::Positive,
        (false, true) => Sign::Any,
        (false, false) => Sign::NotNegative,
    };
    Number {
        factor: factor(mapping.scale),
        digits,
        sign,
        exact: false,
    }
}

fn factor(scale: Option<Factor>) -> Decimal {
    scale.map_or(Decimal::ONE, |Factor(decimal)| decimal)
}

/// Up to three names that were perhaps meant, the nearest first.
fn similar<'n>(meant: &str, names: &'n [String]) -> Vec<&'n str> {
    let meant = meant.to_lowercase();
    let mut near: Vec<_> = names
        .iter()
        .filter(|name| !name.is_empty())
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let distance = distance(&meant, &lower);
            let contained = meant.len() > 2 && (lower.contains(&meant) || meant.contains(&lower));
            (contained || distance <= 2.max(meant.len() / 3)).then_some((distance, name.as_str()))
        })
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_near_or_contain_each_other() {
        let names = [
            "loan_amount",
            "annual_income",
            "annual_income_joint",
            "term",
            "id",
            "total_paid",
            "",
        ];
        let names = names.map(str::to_owned);
        assert_eq!(similar("loan_amuont", &names), ["loan_amount"]);
        assert_eq!(similar("Amount", &names), ["loan_amount"]);
        assert_eq!(
            similar("income", &names),
            ["annual_income", "annual_income_joint"]
        );
        assert_eq!(
            similar("anual_income_joined", &names),
            ["annual_income_joint"]
        );
        assert_eq!(similar("colour", &names), [""; 0]);
    }
}
