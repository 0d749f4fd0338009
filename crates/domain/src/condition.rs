//! Tests on the fields of an application, written as data.
//!
//! | text | holds if |
//! |---|---|
//! | `>= 30000 CNY`, `< 40%`, `> 2`, `<= 5` | the value compares so |
//! | `> 10% and <= 20%` | both hold |
//! | `own` | the value equals |
//! | `not own` | the value is stated and differs |
//! | `missing`, `present` | the application does not state it, or does |
//! | `["own", "mortgage"]` | the value equals one of them |
//!
//! A comparison with a missing value does not hold.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::field::{Kind, Value};
use crate::money::Currency;

/// A test as written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a test is a text such as \">= 30%\" or a list of texts such as [\"own\", \"rent\"]"
)]
pub enum TestText {
    /// One or more tests joined by `and`.
    All(String),
    /// Equal to any of these.
    AnyOf(Vec<String>),
}

/// Tests by field name, all of which must hold.
pub type ConditionText = BTreeMap<String, TestText>;

/// What names mean where a condition stands.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Name and kind of each value, in the order of the values.
    pub fields: Vec<(String, Kind)>,
    /// Currency of amounts.
    pub currency: Currency,
}

impl Scope {
    /// The place and kind of a field.
    pub fn field(&self, name: &str) -> Result<(usize, Kind), String> {
        let place = self.fields.iter().position(|(known, _)| known == name);
        place
            .map(|place| (place, self.fields[place].1))
            .ok_or_else(|| {
                let known: Vec<_> = self
                    .fields
                    .iter()
                    .map(|(known, _)| known.as_str())
                    .collect();
                format!(
                    "there is no field `{name}` here; there are {}",
                    known.join(", ")
                )
            })
    }
}

#[derive(Clone, Debug)]
enum Test {
    Below(i64),
    AtMost(i64),
    Above(i64),
    AtLeast(i64),
    OneOf(Vec<Value>),
    Not(Value),
    Missing,
    Present,
}

impl Test {
    fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Test::Missing, value) => *value == Value::Missing,
            (_, Value::Missing) => false,
            (Test::Present, _) => true,
            (Test::OneOf(values), value) => values.contains(value),
            (Test::Not(other), value) => value != other,
            (Test::Below(bound), Value::Number(number)) => number < bound,
            (Test::AtMost(bound), Value::Number(number)) => number <= bound,
            (Test::Above(bound), Value::Number(number)) => number > bound,
            (Test::AtLeast(bound), Value::Number(number)) => number >= bound,
            (_, Value::Text(_)) => false,
        }
    }
}

/// Tests on several fields, ready to be evaluated.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    tests: Vec<(usize, Test)>,
}

impl Condition {
    /// Reads a condition; problems name the field they are about.
    pub fn compile(
        text: &ConditionText,
        scope: &Scope,
    ) -> Result<Condition, Vec<(String, String)>> {
        let mut condition = Condition::default();
        let mut problems = Vec::new();
        for (name, test) in text {
            if let Err(problem) = condition.add(name, test, scope) {
                problems.push((name.clone(), problem));
            }
        }
        if problems.is_empty() {
            Ok(condition)
        } else {
            Err(problems)
        }
    }

    /// Adds the tests written for one field.
    pub fn add(&mut self, name: &str, text: &TestText, scope: &Scope) -> Result<(), String> {
        let (place, kind) = scope.field(name)?;
        match text {
            TestText::AnyOf(texts) => {
                let values: Result<Vec<_>, _> = texts
                    .iter()
                    .map(|text| kind.read_literal(text, scope.currency))
                    .collect();
                self.tests.push((place, Test::OneOf(values?)));
            }
            TestText::All(text) => {
                for part in text.split(" and ") {
                    self.tests
                        .push((place, read_test(part.trim(), kind, scope.currency)?));
                }
            }
        }
        Ok(())
    }

    /// True if every test holds.
    pub fn holds(&self, values: &[Value]) -> bool {
        self.holds_with(values, &Value::Missing)
    }

    /// True if every test holds, with one more value behind the others.
    pub fn holds_with(&self, values: &[Value], last: &Value) -> bool {
        self.tests
            .iter()
            .all(|(place, test)| test.holds(values.get(*place).unwrap_or(last)))
    }

    /// The places of the fields it looks at.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        self.tests.iter().map(|(place, _)| *place)
    }
}

fn read_test(text: &str, kind: Kind, currency: Currency) -> Result<Test, String> {
    let number = |text: &str| match kind.read_literal(text, currency)? {
        Value::Number(number) => Ok(number),
        _ => Err(format!(
            "a text cannot be compared with `{text}`; write the word itself or a list of words"
        )),
    };
    match text {
        "missing" => return Ok(Test::Missing),
        "present" => return Ok(Test::Present),
        _ => {}
    }
    if let Some(rest) = text.strip_prefix(">=") {
        Ok(Test::AtLeast(number(rest)?))
    } else if let Some(rest) = text.strip_prefix("<=") {
        Ok(Test::AtMost(number(rest)?))
    } else if let Some(rest) = text.strip_prefix('>') {
        Ok(Test::Above(number(rest)?))
    } else if let Some(rest) = text.strip_prefix('<') {
        Ok(Test::Below(number(rest)?))
    } else if let Some(rest) = text.strip_prefix("not ") {
        Ok(Test::Not(kind.read_literal(rest, currency)?))
    } else {
        Ok(Test::OneOf(vec![kind.read_literal(text, currency)?]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        let fields = [
            ("income", Kind::Money),
            ("debt_ratio", Kind::Rate),
            ("home", Kind::Text),
        ];
        Scope {
            fields: fields.map(|(name, kind)| (name.to_owned(), kind)).into(),
            currency: "CNY".parse().expect("a currency"),
        }
    }

    fn holds(field: &str, test: TestText, values: [Value; 3]) -> bool {
        let mut condition = Condition::default();
        condition.add(field, &test, &scope()).expect("well-formed");
        condition.holds(&values)
    }

    #[test]
    fn tests_read_as_they_are_written() {
        let values = || {
            [
                Value::Number(3_000_000),
                Value::Number(25_000_000),
                Value::Text("own".into()),
            ]
        };
        let all = |field: &str, text: &str| holds(field, TestText::All(text.into()), values());
        assert!(all("income", ">= 30000 CNY") && !all("income", "> 30000.00 CNY"));
        assert!(all("debt_ratio", "> 20% and <= 25%") && !all("debt_ratio", "< 25%"));
        assert!(all("home", "own") && !all("home", "not own") && all("home", "not rent"));
        assert!(all("home", "present") && !all("home", "missing"));
        assert!(holds(
            "home",
            TestText::AnyOf(vec!["rent".into(), "own".into()]),
            values()
        ));
        let nothing = || [Value::Missing, Value::Missing, Value::Missing];
        assert!(holds("income", TestText::All("missing".into()), nothing()));
        assert!(!holds("income", TestText::All("< 5 CNY".into()), nothing()));
    }

    #[test]
    fn errors_say_what_to_write() {
        let error = |field: &str, text: &str| {
            Condition::default()
                .add(field, &TestText::All(text.into()), &scope())
                .expect_err("is wrong")
        };
        assert_eq!(
            error("age", "> 5"),
            "there is no field `age` here; there are income, debt_ratio, home"
        );
        assert_eq!(
            error("home", "> own"),
            "a text cannot be compared with ` own`; write the word itself or a list of words"
        );
        assert_eq!(
            error("income", "> 5 USD"),
            "`5 USD` is not in the agreement's currency; write it in CNY"
        );
    }
}
