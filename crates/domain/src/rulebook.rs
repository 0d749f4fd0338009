//! Regulators' rules as data: each with its id, parameter, source and effective date.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::calendar::Day;
use crate::document::{Document, Problem};
use crate::money::{Amount, Money, Rate};

/// The rulebooks that come with the program: name and text.
pub const BUILT_IN: [(&str, &str); 2] = [
    ("cn", include_str!("../rulebooks/cn.toml")),
    ("in", include_str!("../rulebooks/in.toml")),
];

/// A set of rules that an agreement names.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rulebook {
    /// Version of this file format: 1.
    pub format: u32,
    /// Name, as agreements write it.
    pub id: String,
    /// Version of the rulebook.
    pub version: String,
    /// Title for people.
    pub title: String,
    /// The rules.
    pub rule: Vec<Rule>,
}

/// A rule of a regulator.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Stable id, named in refusals.
    pub id: String,
    /// What the rule asks, in one sentence.
    pub title: String,
    /// The official text it comes from.
    pub source: String,
    /// First day it applies.
    pub effective_from: Day,
    /// First day it no longer applies.
    pub effective_to: Option<Day>,
    /// What is checked, with its parameter.
    pub check: Check,
}

/// What a rule checks, with its parameter.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Check {
    /// The other lenders together fund at least this share of each loan of a regional bank.
    MinimumPartnerShare {
        /// Share of the loan.
        share: Rate,
    },
    /// A bank's joint loans with one partner are at most this part of its net tier-1 capital.
    PartnerConcentration {
        /// Part of net tier-1 capital.
        of_tier1_capital: Rate,
    },
    /// All joint loans of a bank are at most this part of all its loans.
    JointLendingCap {
        /// Part of all loans.
        of_total_loans: Rate,
    },
    /// A regional bank lends only where it is registered.
    Territory {},
    /// What one person owes under the agreement is at most this.
    PersonalAmount {
        /// The cap; applies to agreements in its currency.
        cap: Money,
    },
    /// A bullet loan runs at most this long.
    BulletTerm {
        /// Months.
        months: u16,
    },
    /// Everything the borrower pays is worth at most this yearly rate.
    AllInCost {
        /// The cap, as the internal rate of a cycle times the cycles of a year.
        cap: Rate,
    },
    /// Each lender that takes part keeps at least this share of the loan.
    MinimumShareEach {
        /// Share of the loan.
        share: Rate,
    },
    /// The borrower's rate is the average of the rates that the lenders decided on, weighted by
    /// their parts.
    WeightedRate {},
    /// The guarantee pays in all at most this part of what was disbursed.
    GuaranteeCap {
        /// Part of what was disbursed.
        of_disbursed: Rate,
    },
    /// The guarantee pays, at the charge-off, at most so many days after the due date.
    GuaranteeInvocation {
        /// Days past due.
        days: u16,
    },
    /// A revolving loan has no guarantee.
    NoGuaranteeOfRevolving {},
    /// A loan has the same overdue class at all its lenders, that of its borrower's worst loan.
    /// The book keeps one class for a loan and its borrower, so nothing is refused.
    EqualClass {},
}

impl Rulebook {
    /// Reads a rulebook.
    pub fn parse(text: &str) -> Result<Rulebook, Vec<Problem>> {
        let document = Document::parse(text).map_err(|problem| vec![problem])?;
        let book: Rulebook = document.read().map_err(|problem| vec![problem])?;
        if book.format != 1 {
            return Err(vec![
                document.problem("format", "this program reads format 1"),
            ]);
        }
        if book.rule.len() > 250 {
            return Err(vec![
                document.problem("rule", "a rulebook has at most 250 rules"),
            ]);
        }
        let out_of_range = |rule: &Rule| match rule.check {
            Check::MinimumPartnerShare { share: rate }
            | Check::PartnerConcentration {
                of_tier1_capital: rate,
            }
            | Check::JointLendingCap {
                of_total_loans: rate,
            }
            | Check::AllInCost { cap: rate }
            | Check::MinimumShareEach { share: rate }
            | Check::GuaranteeCap { of_disbursed: rate } => {
                !(Rate::ZERO..=Rate::ONE).contains(&rate)
            }
            Check::PersonalAmount { cap } => cap.amount < Amount::ZERO,
            Check::Territory {}
            | Check::BulletTerm { .. }
            | Check::WeightedRate {}
            | Check::GuaranteeInvocation { .. }
            | Check::NoGuaranteeOfRevolving {}
            | Check::EqualClass {} => false,
        };
        let places = (0..book.rule.len()).filter(|&place| out_of_range(&book.rule[place]));
        let problems: Vec<_> = places
            .map(|place| {
                let message = "a rate must lie between 0% and 100%, an amount not below zero";
                document.problem(format!("rule[{place}].check"), message)
            })
            .collect();
        if problems.is_empty() {
            Ok(book)
        } else {
            Err(problems)
        }
    }

    /// The text of a rulebook that comes with the program.
    pub fn built_in(id: &str) -> Option<&'static str> {
        BUILT_IN
            .iter()
            .find(|(name, _)| *name == id)
            .map(|(_, text)| *text)
    }

    /// The rules in force on a day, with their places.
    pub fn in_force(&self, day: Day) -> impl Iterator<Item = (usize, &Rule)> {
        self.rule.iter().enumerate().filter(move |(_, rule)| {
            rule.effective_from <= day && rule.effective_to.is_none_or(|end| day < end)
        })
    }
}
