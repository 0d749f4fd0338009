//! A lender's own credit policy: reasons to decline or refer, a points scorecard, and a table of
//! offers.
//!
//! A policy is data. It is compiled once against the fields that the agreement lets its lender
//! see, so a decision cannot look at anything else.

use minicbor::{Decode, Encode};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::agreement::{Agreement, Reason};
use crate::condition::{Condition, ConditionText, Scope, TestText};
use crate::document::{Document, Problem};
use crate::field::{Kind, Value};
use crate::money::{Amount, Money, Rate, Rounding};

/// A lender's credit policy.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// Version of this file format: 1.
    pub format: u32,
    /// Version of the policy, in the lender's own words.
    pub version: String,
    /// The lender, by its party id.
    pub lender: String,
    /// Rows that decline; every row that matches gives its reason.
    #[serde(default)]
    pub decline: Vec<Reason>,
    /// Rows that ask a person to decide, if nothing declines.
    #[serde(default)]
    pub refer: Vec<Reason>,
    /// Points; their sum is the field `score` of the offer table.
    pub scorecard: Option<Scorecard>,
    /// Offers; the first row that matches says how much and at what rate.
    pub offer: Vec<Offer>,
    /// The reason if no offer matches.
    pub no_offer: NoOffer,
}

/// A points scorecard.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scorecard {
    /// Points that everybody starts with.
    pub base: i64,
    /// What gives points.
    pub characteristic: Vec<Characteristic>,
}

/// A field that gives points.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Characteristic {
    /// The field.
    pub field: String,
    /// The first bin that holds gives its points; none gives zero.
    pub bins: Vec<Bin>,
}

/// A bin of a characteristic.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bin {
    /// Test on the field.
    pub when: TestText,
    /// Points.
    pub points: i64,
}

/// A row of the offer table.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// When it applies; besides the fields there is `score`.
    #[serde(default)]
    pub when: ConditionText,
    /// The smallest of these is the most that the lender will fund: an amount (`50000 CNY`) or a
    /// part of a money field (`40% of annual_income`).
    pub maximum: Vec<String>,
    /// The lender's yearly rate (`10.5%`), or the name of a rate field.
    pub rate: String,
}

/// The reason if no offer matches.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOffer {
    /// Stable code.
    pub code: String,
    /// The reason in words that an applicant may read.
    pub reason: String,
}

/// What one lender says to one application.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Decision {
    /// Points, if the policy has a scorecard.
    #[n(0)]
    pub score: Option<i64>,
    /// The outcome.
    #[n(1)]
    pub outcome: Outcome,
}

impl Decision {
    /// True if the decision can be meant, by a policy with this many reasons.
    pub fn is_usable(&self, reasons: usize) -> bool {
        match &self.outcome {
            Outcome::Approve { maximum, rate } => {
                maximum.is_positive()
                    && *maximum <= Amount::MAX
                    && (Rate::ZERO..=Rate::ONE).contains(rate)
            }
            Outcome::Decline(given) | Outcome::Refer(given) => {
                let is_known = |&reason: &u8| usize::from(reason) < reasons;
                given.len() <= reasons && given.iter().all(is_known)
            }
        }
    }
}

/// The outcome of a decision. Reasons are places in [`Policy::reasons`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// The lender will fund up to `maximum` at `rate`.
    #[n(0)]
    Approve {
        /// The most it will fund.
        #[n(0)]
        maximum: Amount,
        /// Its yearly rate.
        #[n(1)]
        rate: Rate,
    },
    /// The lender declines.
    #[n(1)]
    Decline(#[n(0)] Vec<u8>),
    /// A person at the lender must decide.
    #[n(2)]
    Refer(#[n(0)] Vec<u8>),
}

/// A policy ready to decide.
#[derive(Clone, Debug)]
pub struct Policy {
    /// As written.
    pub file: PolicyFile,
    /// Code and words of every reason it can give: decline, refer, then no offer.
    pub reasons: Vec<(String, String)>,
    /// True for each value of an application that the policy looks at or may see.
    pub visible: Vec<bool>,
    decline: Vec<Condition>,
    refer: Vec<Condition>,
    bins: Vec<Vec<(Condition, i64)>>,
    offers: Vec<CompiledOffer>,
}

#[derive(Clone, Debug)]
struct CompiledOffer {
    when: Condition,
    maximum: Vec<Maximum>,
    rate: Price,
}

#[derive(Clone, Debug)]
enum Maximum {
    Fixed(Amount),
    PartOf(usize, Rate),
}

#[derive(Clone, Debug)]
enum Price {
    Fixed(Rate),
    Field(usize),
}

impl Policy {
    /// Reads a policy for a lender of `agreement` and finds everything that is wrong with it.
    pub fn parse(text: &str, agreement: &Agreement) -> Result<Policy, Vec<Problem>> {
        let document = Document::parse(text).map_err(|problem| vec![problem])?;
        let file: PolicyFile = document.read().map_err(|problem| vec![problem])?;
        let mut compiler = Compiler::new(&document, &file, agreement);
        let policy = compiler.compile();
        if compiler.problems.is_empty() {
            Ok(policy)
        } else {
            Err(compiler.problems)
        }
    }

    /// Decides an application from its values (in the agreement's order).
    pub fn decide(&self, values: &[Value]) -> Decision {
        let score = self.score(values);
        let declined = matching(&self.decline, values, 0);
        if !declined.is_empty() {
            return Decision {
                score,
                outcome: Outcome::Decline(declined),
            };
        }
        let referred = matching(&self.refer, values, self.decline.len());
        if !referred.is_empty() {
            return Decision {
                score,
                outcome: Outcome::Refer(referred),
            };
        }
        let outcome = match self.terms(score, values) {
            Some((maximum, rate)) => Outcome::Approve { maximum, rate },
            None => Outcome::Decline(vec![(self.reasons.len() - 1) as u8]),
        };
        Decision { score, outcome }
    }

    /// The place of a reason, by its code.
    pub fn reason(&self, code: &str) -> Option<u8> {
        let place = self.reasons.iter().position(|(known, _)| known == code)?;
        u8::try_from(place).ok()
    }

    /// What a person may approve of an application that was referred: the most, and the lowest rate.
    /// It is what the policy would offer if it referred nothing; none if it would decline.
    pub fn authority(&self, values: &[Value]) -> Option<(Amount, Rate)> {
        let declined = self.decline.iter().any(|row| row.holds(values));
        let score = self.score(values);
        (!declined).then(|| self.terms(score, values)).flatten()
    }

    /// What the offer table gives.
    fn terms(&self, score: Option<i64>, values: &[Value]) -> Option<(Amount, Rate)> {
        let points = score.map_or(Value::Missing, Value::Number);
        let offer = self
            .offers
            .iter()
            .find(|offer| offer.when.holds_with(values, &points));
        offer
            .and_then(|offer| offer.terms(values))
            .filter(|(maximum, _)| maximum.is_positive())
    }

    fn score(&self, values: &[Value]) -> Option<i64> {
        let card = self.file.scorecard.as_ref()?;
        Some(card.base + self.points(values))
    }

    fn points(&self, values: &[Value]) -> i64 {
        self.bins
            .iter()
            .filter_map(|bins| {
                bins.iter()
                    .find(|(test, _)| test.holds(values))
                    .map(|(_, points)| points)
            })
            .sum()
    }
}

fn matching(conditions: &[Condition], values: &[Value], first: usize) -> Vec<u8> {
    let places = conditions
        .iter()
        .enumerate()
        .filter(|(_, condition)| condition.holds(values));
    places.map(|(place, _)| (first + place) as u8).collect()
}

impl CompiledOffer {
    fn terms(&self, values: &[Value]) -> Option<(Amount, Rate)> {
        let mut maximum = Amount::MAX;
        for bound in &self.maximum {
            let bound = match bound {
                Maximum::Fixed(amount) => *amount,
                Maximum::PartOf(place, rate) => Amount(values[*place].number()?)
                    .min(Amount::MAX)
                    .at(*rate, Rounding::Down),
            };
            maximum = maximum.min(bound);
        }
        let rate = match self.rate {
            Price::Fixed(rate) => rate,
            Price::Field(place) => Rate(values[place].number()?),
        };
        is_price(rate).then_some((maximum, rate))
    }
}

/// The largest part of a money field that an offer may be: ten times.
const LARGEST_PART: Rate = Rate(10 * Rate::ONE.0);

/// The most points that a bin gives or takes.
const MOST_POINTS: u64 = 1_000_000;

fn is_price(rate: Rate) -> bool {
    (Rate::ZERO..=Rate::ONE).contains(&rate)
}

/// Compiles a policy and collects problems on the way.
struct Compiler<'a> {
    document: &'a Document<'a>,
    file: &'a PolicyFile,
    agreement: &'a Agreement,
    /// The fields, and `score` behind them if there is a scorecard.
    scope: Scope,
    problems: Vec<Problem>,
}

impl<'a> Compiler<'a> {
    fn new(
        document: &'a Document<'a>,
        file: &'a PolicyFile,
        agreement: &'a Agreement,
    ) -> Compiler<'a> {
        let mut scope = agreement.scope.clone();
        if file.scorecard.is_some() {
            scope.fields.push(("score".to_owned(), Kind::Integer));
        }
        Compiler {
            document,
            file,
            agreement,
            scope,
            problems: Vec::new(),
        }
    }

    fn compile(&mut self) -> Policy {
        let file = self.file;
        if file.format != 1 {
            self.problem("format", "this program reads format 1");
        }
        let is_lender = self
            .agreement
            .party_id(&file.lender)
            .is_some_and(|id| self.agreement.lenders.contains(&id));
        if !is_lender {
            self.problem(
                "lender",
                format!("`{}` is not a lender of the agreement", file.lender),
            );
        }
        if file.decline.len() + file.refer.len() > 250 {
            self.problem("decline", "a policy has at most 250 reasons");
        }
        let decline = self.rows("decline", &file.decline);
        let refer = self.rows("refer", &file.refer);
        let bins = self.bins();
        let offers = self.offers();
        let reasons = file
            .decline
            .iter()
            .chain(&file.refer)
            .map(|row| (row.code.clone(), row.reason.clone()));
        let no_offer = (file.no_offer.code.clone(), file.no_offer.reason.clone());
        let visible = (0..self.agreement.scope.fields.len())
            .map(|place| self.agreement.may_see(&file.lender, place))
            .collect();
        Policy {
            reasons: reasons.chain([no_offer]).collect(),
            file: file.clone(),
            visible,
            decline,
            refer,
            bins,
            offers,
        }
    }

    fn problem(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.problems.push(self.document.problem(field, message));
    }

    /// Refuses a field that the agreement does not let the lender see.
    fn check_visible(&mut self, field: &str, place: usize) {
        if place < self.agreement.scope.fields.len()
            && !self.agreement.may_see(&self.file.lender, place)
        {
            let name = &self.agreement.scope.fields[place].0;
            let message = format!(
                "the agreement does not let `{}` see `{name}`; add it to the field's seen_by or leave the test out",
                self.file.lender
            );
            self.problem(field, message);
        }
    }

    fn condition(&mut self, field: &str, text: &ConditionText) -> Condition {
        match Condition::compile(text, &self.scope) {
            Ok(condition) => {
                for place in condition.places().collect::<Vec<_>>() {
                    self.check_visible(field, place);
                }
                condition
            }
            Err(problems) => {
                for (name, message) in problems {
                    self.problem(format!("{field}.{name}"), message);
                }
                Condition::default()
            }
        }
    }

    fn rows(&mut self, table: &str, rows: &[Reason]) -> Vec<Condition> {
        let conditions: Vec<_> = rows
            .iter()
            .enumerate()
            .map(|(index, row)| self.condition(&format!("{table}[{index}].when"), &row.when))
            .collect();
        for (index, row) in rows.iter().enumerate() {
            if row.when.contains_key("score") {
                self.problem(
                    format!("{table}[{index}].when.score"),
                    "the score is for the offer table; test it there",
                );
            }
        }
        conditions
    }

    fn bins(&mut self) -> Vec<Vec<(Condition, i64)>> {
        let mut all = Vec::new();
        if let Some(card) = &self.file.scorecard {
            self.check_points("scorecard.base", card.base);
        }
        for (index, characteristic) in self
            .file
            .scorecard
            .iter()
            .flat_map(|card| &card.characteristic)
            .enumerate()
        {
            if characteristic.field == "score" {
                self.problem(
                    format!("scorecard.characteristic[{index}].field"),
                    "points cannot depend on the score that they sum to",
                );
            }
            let mut bins = Vec::new();
            for (place, bin) in characteristic.bins.iter().enumerate() {
                let field = format!("scorecard.characteristic[{index}].bins[{place}].when");
                let text = ConditionText::from([(characteristic.field.clone(), bin.when.clone())]);
                bins.push((self.condition(&field, &text), bin.points));
                let field = format!("scorecard.characteristic[{index}].bins[{place}].points");
                self.check_points(&field, bin.points);
            }
            all.push(bins);
        }
        all
    }

    /// Points are summed, so each must be far from what a number holds.
    fn check_points(&mut self, field: &str, points: i64) {
        if points.unsigned_abs() > MOST_POINTS {
            self.problem(
                field,
                format!(
                    "{points} points are too many; write at most a million, or minus a million"
                ),
            );
        }
    }

    fn offers(&mut self) -> Vec<CompiledOffer> {
        let mut offers = Vec::new();
        for (index, offer) in self.file.offer.iter().enumerate() {
            let when = self.condition(&format!("offer[{index}].when"), &offer.when);
            let mut maximum = Vec::new();
            for (place, text) in offer.maximum.iter().enumerate() {
                let field = format!("offer[{index}].maximum[{place}]");
                match self.maximum(&field, text) {
                    Ok(bound) => maximum.push(bound),
                    Err(message) => self.problem(field, message),
                }
            }
            if maximum.is_empty() {
                self.problem(
                    format!("offer[{index}].maximum"),
                    "an offer needs at least one largest amount",
                );
            }
            let field = format!("offer[{index}].rate");
            match self.price(&field, &offer.rate) {
                Ok(rate) => offers.push(CompiledOffer {
                    when,
                    maximum,
                    rate,
                }),
                Err(message) => self.problem(field, message),
            }
        }
        offers
    }

    fn maximum(&mut self, field: &str, text: &str) -> Result<Maximum, String> {
        if let Some((rate, name)) = text.split_once(" of ") {
            let (place, kind) = self.scope.field(name.trim())?;
            if kind != Kind::Money {
                return Err(format!("`{}` is not a money field", name.trim()));
            }
            self.check_visible(field, place);
            let rate: Rate = rate.parse().map_err(|error| format!("{error}"))?;
            if !(Rate::ZERO..=LARGEST_PART).contains(&rate) {
                return Err(format!("a part must lie between 0% and {LARGEST_PART}"));
            }
            return Ok(Maximum::PartOf(place, rate));
        }
        let money: Money = text
            .parse()
            .map_err(|error| format!("{error}, or a part such as \"40% of annual_income\""))?;
        if money.currency != self.scope.currency {
            return Err(format!(
                "`{text}` is not in the agreement's currency; write it in {}",
                self.scope.currency
            ));
        }
        Ok(Maximum::Fixed(money.amount))
    }

    fn price(&mut self, field: &str, text: &str) -> Result<Price, String> {
        if text.trim_end().ends_with('%') {
            let rate: Rate = text.parse().map_err(|error| format!("{error}"))?;
            if !is_price(rate) {
                return Err("must lie between 0% and 100%".to_owned());
            }
            return Ok(Price::Fixed(rate));
        }
        let (place, kind) = self.scope.field(text.trim())?;
        if kind != Kind::Rate {
            return Err(format!("`{}` is not a rate field", text.trim()));
        }
        self.check_visible(field, place);
        Ok(Price::Field(place))
    }
}
