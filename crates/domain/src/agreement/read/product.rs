//! What a product can be: when and how principal and interest fall due.

use super::Reader;
use crate::agreement::*;
use crate::calendar::Day;
use crate::money::{Amount, Rate};

impl Reader<'_> {
    pub(super) fn check_product(&mut self) {
        let product = &self.file.product;
        self.money("product.minimum_amount", &product.minimum_amount);
        self.money("product.maximum_amount", &product.maximum_amount);
        self.require(
            product.minimum_amount.amount.is_positive()
                && product.minimum_amount.amount <= product.maximum_amount.amount
                && product.maximum_amount.amount <= Amount(Amount::MAX.0 / 1_000),
            "product.maximum_amount",
            "amounts must satisfy 0 < minimum_amount <= maximum_amount <= 10,000,000,000.00",
        );
        self.require(
            !product.terms_months.is_empty(),
            "product.terms_months",
            "at least one term is needed",
        );
        self.require(
            product
                .terms_months
                .iter()
                .all(|months| (1..=480).contains(months)),
            "product.terms_months",
            "a term has 1 to 480 months",
        );
        let complete = |waterfall: &[Component]| {
            let all = [
                Component::Fee,
                Component::Penalty,
                Component::Interest,
                Component::Principal,
            ];
            waterfall.len() == 4 && all.iter().all(|component| waterfall.contains(component))
        };
        let message = "name each of fee, penalty, interest and principal once";
        let (first, then) = (
            complete(&product.waterfall),
            complete(&product.recovery_waterfall),
        );
        self.require(first, "product.waterfall", message);
        self.require(then, "product.recovery_waterfall", message);
        self.check_plan();
        self.ratio("product.penalty_rate", product.penalty_rate);
        self.require(
            product.offer_valid_days >= 1,
            "product.offer_valid_days",
            "an offer stands for at least one day",
        );
        self.require(
            product.referral_valid_days >= 1,
            "product.referral_valid_days",
            "a referral waits for at least one day",
        );
    }

    /// When and how principal and interest fall due.
    pub(super) fn check_plan(&mut self) {
        let product = &self.file.product;
        let months = product.cycle.months();
        self.require(
            product.cycle.count > 0,
            "product.cycle",
            "a cycle has at least one day",
        );
        let whole = |each| {
            product
                .terms_months
                .iter()
                .all(|term| u32::from(*term) % each == 0)
        };
        self.require(
            months.is_none_or(|each| each == 0 || whole(each)),
            "product.cycle",
            "every term must be a whole number of cycles",
        );
        let due_day = product.due_day.is_none_or(|day| (1..=31).contains(&day));
        self.require(due_day, "product.due_day", "must lie between 1 and 31");
        self.require(
            product.due_day.is_none() || months.is_some(),
            "product.due_day",
            "goes only with a cycle of months",
        );
        self.require(
            u32::from(product.interest_only) < self.fewest_instalments(),
            "product.interest_only",
            "must leave an instalment of principal in the shortest term",
        );
        self.ratio("product.balloon", product.balloon);
        self.ratio("product.first_draw", product.first_draw);
        self.require(
            (Rate::ZERO..Rate::ONE).contains(&product.down_payment),
            "product.down_payment",
            "must lie between 0% and 100%",
        );
        let kind = product.amortisation;
        for (given, wanted, field, message) in [
            (
                product.instalment.is_some(),
                kind == Amortisation::FixedInstalment,
                "product.instalment",
                "goes with amortisation = \"fixed_instalment\", which needs it",
            ),
            (
                !product.plan.is_empty(),
                kind == Amortisation::Planned,
                "product.plan",
                "goes with amortisation = \"planned\", which needs it",
            ),
            (
                product.minimum.is_some(),
                kind == Amortisation::Revolving,
                "product.minimum",
                "goes with amortisation = \"revolving\", which needs it",
            ),
        ] {
            self.require(given == wanted, field, message);
        }
        let planned: i64 = product.plan.iter().map(|part| part.0).sum();
        self.require(
            product.plan.iter().all(|part| part.0 >= 0) && planned <= Rate::ONE.0,
            "product.plan",
            "parts must not be negative and sum to at most 100%",
        );
        self.ratio("product.instalment", product.instalment.unwrap_or_default());
        if let Some(minimum) = &product.minimum {
            self.ratio("product.minimum.rate", minimum.rate);
            self.money("product.minimum.amount", &minimum.amount);
        }
        self.check_combinations();
        if let Some(multiple) = &product.instalment_multiple {
            self.money("product.instalment_multiple", multiple);
            self.require(
                multiple.amount.is_positive(),
                "product.instalment_multiple",
                "must be above zero",
            );
        }
        let ordered = product.rate_step.windows(2);
        let ordered = ordered
            .into_iter()
            .all(|two| two[0].from_instalment < two[1].from_instalment);
        let possible = |step: &RateStep| step.from_instalment >= 1 && step.times.0 >= 0;
        self.require(
            ordered && product.rate_step.iter().all(possible),
            "product.rate_step",
            "steps must follow each other from instalment 1 on, and no rate may be negative",
        );
        if let Some(floating) = &product.floating {
            self.require(
                floating.every >= 1 && product.rate_step.is_empty(),
                "product.floating",
                "must set the rate every 1 or more instalments, and takes no rate_step",
            );
            self.require(
                floating.floor.0 >= 0 && floating.cap.is_none_or(|cap| cap >= floating.floor),
                "product.floating.cap",
                "must not be below floor, and floor not below 0%",
            );
            self.require(
                floating.most_at_once.is_none_or(|most| most.0 >= 0),
                "product.floating.most_at_once",
                "is negative; write how far the rate may move either way",
            );
        }
    }

    /// Terms that would do nothing, or contradict each other, beside others.
    pub(super) fn check_combinations(&mut self) {
        let product = &self.file.product;
        let kind = product.amortisation;
        let equal = matches!(
            kind,
            Amortisation::EqualInstalment | Amortisation::EqualPrincipal
        );
        let revolving = kind == Amortisation::Revolving;
        let level = equal || kind == Amortisation::FixedInstalment;
        let at_once = product.first_draw >= Rate::ONE;
        let kept = product.plan.len() < self.fewest_instalments() as usize;
        for (given, allowed, field, message) in [
            (
                product.balloon.0 > 0,
                equal && at_once,
                "product.balloon",
                "goes with amortisation = \"equal_instalment\" or \"equal_principal\", paid out at once",
            ),
            (
                product.interest_only > 0,
                level,
                "product.interest_only",
                "goes with equal or fixed instalments; a plan writes 0% instead",
            ),
            (
                product.instalment_multiple.is_some(),
                level,
                "product.instalment_multiple",
                "goes with equal or fixed instalments",
            ),
            (
                product.residual == Residual::First,
                equal,
                "product.residual",
                "\"first\" goes with amortisation = \"equal_instalment\" or \"equal_principal\"",
            ),
            (
                product.flat,
                product.floating.is_none() && (equal || !level) && !revolving,
                "product.flat",
                "goes neither with a floating rate nor with revolving or fixed instalments",
            ),
            (
                product.down_payment.0 > 0,
                !revolving && at_once,
                "product.down_payment",
                "goes with a loan that is paid out at once",
            ),
            (
                !at_once,
                revolving || product.first_draw.0 > 0 && (equal || kind == Amortisation::Bullet),
                "product.first_draw",
                "goes with equal instalments, a bullet or a revolving loan; only the last may start from 0%",
            ),
            (
                !product.plan.is_empty(),
                kept,
                "product.plan",
                "has a part for each instalment but the last; the shortest term has fewer",
            ),
            (
                product.first_period_days > 0,
                product.due_day.is_some(),
                "product.first_period_days",
                "goes with due_day",
            ),
            (
                product.end_of_month,
                product.due_day.is_none() && product.cycle.months().is_some(),
                "product.end_of_month",
                "goes with a cycle of months and without due_day; due_day = 31 is the last day of months",
            ),
            (
                product.excess == Excess::Prepay,
                product.prepayment != Prepayment::NextInstalments,
                "product.excess",
                "\"prepay\" contradicts prepayment = \"next_instalments\"",
            ),
        ] {
            self.require(!given || allowed, field, message);
        }
    }

    /// The fewest instalments that a loan can have.
    pub(super) fn fewest_instalments(&self) -> u32 {
        let product = &self.file.product;
        let shortest = product.terms_months.iter().min().copied().unwrap_or(1);
        let shortest = u32::from(shortest);
        let count = match product.cycle.months() {
            Some(each) => shortest / each.max(1),
            // A month has at least 28 days.
            None => {
                let day = Day(0);
                28 * shortest / (product.cycle.after(day, 1) - day).max(1) as u32
            }
        };
        count.max(1)
    }
}
