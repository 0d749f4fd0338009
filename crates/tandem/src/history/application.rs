//! The application: what was asked, what the lenders said, and what came of it.

use std::fmt::Write as _;

use tandem_domain::agreement::{Agreement, FundingMode, LimitScope};
use tandem_domain::book::{Book, Clause, Decided, DeclineReason, Verdict, Version};
use tandem_domain::field::STANDARD;
use tandem_domain::funding::Part;
use tandem_domain::money::{Amount, Rate};
use tandem_domain::policy::Outcome as Answer;

use super::story::Story;
use crate::export::grid::Grid;

impl Story<'_> {
    pub(super) fn decided(&mut self, decided: &Decided, book: &Book) {
        let version = &book.versions()[usize::from(decided.version)];
        let file = &version.agreement.file;
        let _ = writeln!(
            self.text,
            "{}, under version {} of “{}”",
            self.key, file.version, file.title
        );
        self.event(book.business_date(), "Application");
        if let Some(borrower) = &decided.borrower {
            self.note(format_args!("Borrower {borrower}"));
        }
        self.values(decided, &version.agreement);
        self.blank();
        self.judged(decided, version);
    }

    /// What each lender says, and what comes of it.
    pub(super) fn judged(&mut self, decided: &Decided, version: &Version) {
        let file = &version.agreement.file;
        self.decisions(decided, version);
        self.blank();
        for barred in &decided.barred {
            let lender = lender(&version.agreement, usize::from(barred.lender));
            self.note(format_args!(
                "{lender} takes no part: {}",
                clause(version, barred.clause)
            ));
        }
        match &decided.verdict {
            Verdict::Offered {
                parts,
                rate,
                valid_to,
            } => {
                self.offered = true;
                self.funding(decided, parts, *rate, version);
                self.note(format_args!("The offer stands until {valid_to}."));
            }
            Verdict::Declined(reason) => {
                let words = match reason {
                    DeclineReason::Clause(reason) => clause(version, *reason),
                    DeclineReason::Ineligible(place) => {
                        let row = &file.ineligible[usize::from(*place)];
                        format!("{}, {}", row.code, row.reason)
                    }
                    reason => version.decline_reason(*reason),
                };
                self.note(format_args!("Declined: {words}"));
            }
            Verdict::Referred(places, valid_to) => {
                let names = places
                    .iter()
                    .map(|&place| lender(&version.agreement, usize::from(place)));
                let names = names.collect::<Vec<_>>().join(", ");
                let until = valid_to.map_or_else(String::new, |day| format!(", until {day}"));
                self.note(format_args!(
                    "Referred: it waits for a person at {names}{until}"
                ));
            }
        }
    }

    /// The application's data, and who saw it.
    fn values(&mut self, decided: &Decided, agreement: &Agreement) {
        let mut grid = Grid::new(3, ["field", "value", "seen by"]);
        for (place, ((name, kind), value)) in agreement
            .scope
            .fields
            .iter()
            .zip(&decided.values)
            .enumerate()
        {
            let seen_by = match place.checked_sub(STANDARD.len()) {
                Some(own) => agreement.file.field[own].seen_by.join(", "),
                None => "every lender".to_owned(),
            };
            grid.row([
                name.clone(),
                kind.show(value, agreement.currency()),
                seen_by,
            ]);
        }
        self.grid(&grid);
    }

    /// What each lender said, with its reasons.
    fn decisions(&mut self, decided: &Decided, version: &Version) {
        let currency = version.agreement.currency();
        let mut grid = Grid::new(4, ["lender", "policy", "score", "decision"]);
        for (policy, decision) in version.policies.iter().zip(&decided.decisions) {
            let score = decision
                .score
                .map_or("–".to_owned(), |score| score.to_string());
            let (says, reasons): (_, &[u8]) = match &decision.outcome {
                Answer::Approve { maximum, rate } => (
                    format!("approves up to {} at {rate}", currency.show(*maximum)),
                    &[],
                ),
                Answer::Decline(reasons) => ("declines".to_owned(), reasons),
                Answer::Refer(reasons) => ("asks a person to decide".to_owned(), reasons),
            };
            grid.row([
                policy.file.lender.clone(),
                policy.file.version.clone(),
                score,
                says,
            ]);
            for &place in reasons {
                let (code, words) = &policy.reasons[usize::from(place)];
                grid.row(["", "", "", &format!("  {code}: {words}")]);
            }
        }
        self.grid(&grid);
    }

    /// How the lenders share the loan, and why so.
    fn funding(&mut self, decided: &Decided, parts: &[Part], rate: Rate, version: &Version) {
        let agreement = &version.agreement;
        let currency = agreement.currency();
        let whole: Amount = parts.iter().map(|part| part.amount).sum();
        self.note(match agreement.file.funding.mode {
            FundingMode::Fixed => "Funded by the shares that the agreement fixes:",
            FundingMode::Offers => {
                "Funded in proportion to what each lender offers, within its largest share:"
            }
            FundingMode::InOrder => {
                "Funded by one lender after the other, each as far as it offers:"
            }
        });
        let mut grid = Grid::new(1, ["lender", currency.code(), "share", "rate"]);
        for (place, part) in parts.iter().enumerate() {
            let id = lender(agreement, place);
            if part.amount.is_positive() {
                let share = Rate::of(part.amount, whole);
                grid.row([
                    id,
                    &currency.grouped(part.amount),
                    &share.to_string(),
                    &part.rate.to_string(),
                ]);
            }
        }
        grid.row([
            "together",
            &currency.grouped(whole),
            &Rate::ONE.to_string(),
            &rate.to_string(),
        ]);
        self.grid(&grid);
        for (place, decision) in decided.decisions.iter().enumerate() {
            let approved = matches!(decision.outcome, Answer::Approve { .. });
            let barred = decided
                .barred
                .iter()
                .any(|barred| usize::from(barred.lender) == place);
            if approved && !barred && parts[place].amount.is_zero() {
                let why = match agreement.file.funding.mode {
                    FundingMode::InOrder => {
                        "the others cover the amount, or leave it less than its smallest share"
                    }
                    FundingMode::Fixed | FundingMode::Offers => {
                        "its part would be less than its smallest share"
                    }
                };
                self.note(format_args!(
                    "{} takes no part: {why}",
                    lender(agreement, place)
                ));
            }
        }
    }
}

pub(super) fn lender(agreement: &Agreement, place: usize) -> &str {
    agreement
        .lenders
        .get(place)
        .map_or("", |&party| &agreement.party(party).id)
}

/// A clause with what it allows: `clause 7.1 of the agreement, at most 12,000.00 CNY in all`.
fn clause(version: &Version, clause: Clause) -> String {
    let words = version.clause(clause);
    let Clause::Limit(place) = clause else {
        return words;
    };
    let Some(limit) = version.agreement.file.limit.get(usize::from(place)) else {
        return words;
    };
    let scope = match limit.per {
        LimitScope::Day => "a day",
        LimitScope::Total => "in all",
        LimitScope::Region => "in a region",
        LimitScope::Borrower => "for a borrower",
        LimitScope::Partner => "through the platform",
    };
    format!("{words}, at most {} {scope}", limit.amount)
}
