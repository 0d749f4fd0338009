//! Checking and explaining what people write: programmes, agreements, policies, mappings.

use std::fmt::Write as _;
use std::path::Path;

use clap::ValueEnum;
use schemars::{JsonSchema, schema_for};
use tandem_domain::agreement::{
    Agreement, AgreementFile, Amortisation, Excess, FeeBase, FeeTime, FundingMode, LimitScope,
    Netting, Prepayment, Product, Recognition,
};
use tandem_domain::book::Version;
use tandem_domain::calendar::{BusinessCalendar, CalendarFile, Day, Period};
use tandem_domain::cost::all_in_cost_by;
use tandem_domain::document::Document;
use tandem_domain::loan::{OwnTerms, schedule};
use tandem_domain::money::{Amount, Rate};
use tandem_domain::party::{Party, PartyKind};
use tandem_domain::policy::PolicyFile;
use tandem_domain::rulebook::{Check, Rulebook};

use crate::export;
use crate::fail::{Failure, Outcome};
use crate::instruct::{self, Asks};
use crate::programme::{Programme, Read, read_text, read_version};
use crate::schedule::TermsFile;
use crate::table::{Mapping, PaymentSource};
use crate::words::counted;

/// A file format with a JSON Schema.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// `agreement.toml`
    Agreement,
    /// `policies/*.toml`
    Policy,
    /// `mapping.toml`
    Mapping,
    /// `rulebooks/*.toml`
    Rulebook,
    /// `calendar.toml`
    Calendar,
    /// The terms of one loan, for `schedule` and `apr`
    Terms,
}

/// Prints the JSON Schema of a format.
pub(crate) fn schema(format: Format) -> Outcome {
    fn of<T: JsonSchema>() -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(&schema_for!(T))
    }
    let text = match format {
        Format::Agreement => of::<AgreementFile>(),
        Format::Policy => of::<PolicyFile>(),
        Format::Mapping => of::<Mapping>(),
        Format::Rulebook => of::<Rulebook>(),
        Format::Calendar => of::<CalendarFile>(),
        Format::Terms => of::<TermsFile>(),
    };
    export::show(&(text? + "\n"))
}

/// Checks a programme's folder or one file and explains it.
pub(crate) fn check(path: &Path) -> Outcome {
    export::show(&match path.is_dir() {
        true => of_programme(&Programme::read(path)?)?,
        false => of_file(path)?,
    })
}

/// Most bad rows of a file that are shown.
const SHOWN: usize = 10;

fn of_programme(programme: &Programme) -> Outcome<String> {
    let mut text = explain(&programme.version);
    text += "\nThe programme is valid.\n";
    if programme.applications_path(None).is_file() {
        rows(&mut text, "Applications", programme.applications(None)?);
    }
    if let PaymentSource::File(columns) = &programme.mapping.payments {
        match programme.folder.join(&columns.file).is_file() {
            true => rows(&mut text, "Payments", programme.payments()?),
            false => text += &format!("Payments: there is no {} yet.\n", columns.file),
        }
    }
    if programme.folder.join(instruct::FILE).is_file() {
        let mut read = programme.instructions()?;
        // A book may hold applications of older versions; here there is only this one.
        read.rows.retain(|row| match &row.asks {
            Asks::Decision(decision) => {
                let problem = decision.command(&programme.version).err();
                read.problems
                    .extend(problem.iter().map(ToString::to_string));
                problem.is_none()
            }
            Asks::Command(_) => true,
        });
        rows(&mut text, "Instructions", read);
    }
    Ok(text)
}

/// How many rows of a file are good, and what is wrong with the others.
fn rows<T>(text: &mut String, what: &str, read: Read<T>) {
    let Read { rows, problems } = read;
    let (good, bad) = (counted(rows.len() as u64, "row"), problems.len());
    let is = |count| if count == 1 { "is" } else { "are" };
    *text += &match bad {
        0 => format!("{what}: {good}, all good.\n"),
        bad => format!(
            "{what}: {good} {} good, {bad} {} not.\n",
            is(rows.len()),
            is(bad)
        ),
    };
    for problem in problems.iter().take(SHOWN) {
        *text += &format!("  {problem}\n");
    }
    if bad > SHOWN {
        *text += &format!("  and {} more\n", bad - SHOWN);
    }
}

fn of_file(path: &Path) -> Outcome<String> {
    let text = read_text(path)?;
    let document = Document::parse(&text).map_err(|problem| Failure::problems(path, &[problem]))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    Ok(if document.has("party") {
        let agreement = Agreement::parse(&text);
        agreement.map_err(|problems| Failure::problems(path, &problems))?;
        match read_version(folder) {
            Ok((version, _)) => explain(&version),
            Err(failure) => format!("The agreement is valid. Beside it: {}\n", failure.0),
        }
    } else if document.has("offer") {
        let folder = folder
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let agreement_path = folder.join("agreement.toml");
        let agreement = Agreement::parse(&read_text(&agreement_path)?)
            .map_err(|problems| Failure::problems(&agreement_path, &problems))?;
        let policy = tandem_domain::policy::Policy::parse(&text, &agreement)
            .map_err(|problems| Failure::problems(path, &problems))?;
        format!(
            "The policy of `{}`, version {}, is valid: {} reasons, {} offers.\n",
            policy.file.lender,
            policy.file.version,
            policy.reasons.len(),
            policy.file.offer.len()
        )
    } else if document.has("rule") {
        let book = Rulebook::parse(&text).map_err(|problems| Failure::problems(path, &problems))?;
        format!(
            "The rulebook `{}`, version {}, is valid: {} rules.\n",
            book.id,
            book.version,
            book.rule.len()
        )
    } else if document.has("weekend") {
        let calendar = BusinessCalendar::parse(&text);
        let calendar = calendar.map_err(|problems| Failure::problems(path, &problems))?;
        let file: CalendarFile = document
            .read()
            .map_err(|problem| Failure::problems(path, &[problem]))?;
        format!(
            "The calendar `{}` is valid: {} without business besides weekends, {} worked.\n",
            calendar.id,
            counted(file.holiday.len() as u64, "day"),
            counted(file.working.len() as u64, "weekend day")
        )
    } else if document.has("applications") {
        Mapping::parse(&text).map_err(|problems| Failure::problems(path, &problems))?;
        "The mapping is valid. Check its folder to see whether it fits the agreement and the files.\n"
            .to_owned()
    } else {
        return Err(Failure(format!(
            "{}: this is no agreement ([[party]]), policy ([[offer]]), rulebook ([[rule]]), calendar (weekend) or mapping ([applications])",
            path.display()
        )));
    })
}

/// What is particular about a product, a line each.
pub(crate) fn particulars(product: &Product) -> Vec<String> {
    let mut lines = Vec::new();
    let is_set = |rate: Rate| rate != Rate::ZERO;
    if product.cycle != Period::MONTH {
        lines.push(format!("an instalment every {}", product.cycle));
    }
    if let Some(day) = product.due_day {
        let first = product.first_period_days.max(1);
        let first = counted(first, "day");
        lines.push(format!(
            "due on day {day} of the month, the first time {first} after the disbursement at the earliest"
        ));
    }
    if product.end_of_month {
        lines.push("what is disbursed on the last day of a month falls due on last days".into());
    }
    let convention = product.business_days.actus();
    if convention != "NOS" {
        lines.push(format!("due dates move to business days by {convention}"));
    }
    if product.flat {
        lines.push("interest is counted on the principal disbursed (a flat rate)".into());
    }
    if product.interest_only > 0 {
        let first = counted(product.interest_only, "instalment");
        lines.push(format!("the first {first} of interest alone"));
    }
    if is_set(product.balloon) {
        lines.push(format!(
            "a balloon of {} with the last instalment",
            product.balloon
        ));
    }
    if is_set(product.down_payment) {
        lines.push(format!(
            "a down payment of {} at disbursement",
            product.down_payment
        ));
    }
    if product.first_draw != Rate::ONE {
        let first = product.first_draw;
        lines.push(format!(
            "{first} are paid out at disbursement, the rest is drawn later"
        ));
    }
    if let Some(part) = product.instalment {
        lines.push(format!(
            "each instalment is {part} of the principal; interest beyond it becomes principal"
        ));
    }
    if !product.plan.is_empty() {
        let plan: Vec<_> = product.plan.iter().map(Rate::to_string).collect();
        lines.push(format!(
            "parts of the principal: {}, then the rest",
            plan.join(", ")
        ));
    }
    if let Some(minimum) = &product.minimum {
        lines.push(format!(
            "each cycle {} of the principal falls due, at least {}",
            minimum.rate, minimum.amount
        ));
    }
    for step in &product.rate_step {
        lines.push(format!(
            "from instalment {} on {} of the agreed rate",
            step.from_instalment, step.times
        ));
    }
    if let Some(floating) = &product.floating {
        let cap = floating
            .cap
            .map_or(String::new(), |cap| format!(", at most {cap}"));
        let once = floating.most_at_once;
        let once = once.map_or(String::new(), |most| format!(", by at most {most} at once"));
        let every = counted(floating.every, "instalment");
        lines.push(format!(
            "the rate follows {} every {every}, at least {}{cap}{once}",
            floating.index, floating.floor
        ));
    }
    if let Some(multiple) = product.instalment_multiple {
        lines.push(format!("level instalments are multiples of {multiple}"));
    }
    if product.excess == Excess::Prepay {
        lines.push("what is paid beyond what is due prepays principal".into());
    }
    lines
}

/// What an agreement means, in words.
pub(crate) fn explain(version: &Version) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = Explanation {
        version,
        text: &mut text,
    }
    .write();
    text
}

struct Explanation<'a> {
    version: &'a Version,
    text: &'a mut String,
}

impl Explanation<'_> {
    fn write(&mut self) -> std::fmt::Result {
        let file = &self.version.agreement.file;
        writeln!(self.text, "{}", file.title)?;
        writeln!(
            self.text,
            "version {}, in effect from {}, in {}\n",
            file.version, file.effective_from, file.currency
        )?;
        self.parties()?;
        self.product()?;
        self.funding()?;
        self.protection()?;
        self.example()
    }

    fn parties(&mut self) -> std::fmt::Result {
        let agreement = &self.version.agreement;
        writeln!(self.text, "Parties")?;
        for (id, party) in agreement.parties() {
            let mut roles = Vec::new();
            for (role, holds) in [
                ("lender", agreement.lenders.contains(&id)),
                ("lead", agreement.file.roles.lead == party.id),
                ("platform", agreement.platform == id),
                ("servicer", agreement.servicer == id),
                ("guarantor", agreement.guarantor == Some(id)),
            ] {
                if holds {
                    roles.push(role);
                }
            }
            let sees = agreement
                .file
                .field
                .iter()
                .filter(|field| field.seen_by.contains(&party.id))
                .count();
            let territory = match party.territory.len() {
                0 => String::new(),
                regions => format!(", lends in {regions} regions"),
            };
            let id = format!("{} ({})", party.name, party.id);
            writeln!(
                self.text,
                "  {id:<34} {}; sees {} of {} fields{territory}",
                roles.join(", "),
                sees,
                agreement.file.field.len()
            )?;
        }
        Ok(())
    }

    fn product(&mut self) -> std::fmt::Result {
        let file = &self.version.agreement.file;
        let product = &file.product;
        let amortisation = match product.amortisation {
            Amortisation::EqualInstalment => "equal instalments",
            Amortisation::EqualPrincipal => "equal principal",
            Amortisation::Bullet => "principal at the end",
            Amortisation::FixedInstalment => "fixed instalments",
            Amortisation::Planned => "principal by a plan",
            Amortisation::Revolving => "a credit line",
        };
        let terms: Vec<_> = product.terms_months.iter().map(u16::to_string).collect();
        writeln!(self.text, "\nLoan")?;
        writeln!(
            self.text,
            "  {} to {}, {} months, {amortisation}, day count {}",
            product.minimum_amount,
            product.maximum_amount,
            terms.join(" or "),
            product.day_count
        )?;
        let prepayment = match product.prepayment {
            Prepayment::ShortenTerm => "shortens the term",
            Prepayment::ReduceInstalment => "reduces the instalment",
            Prepayment::NextInstalments => "pays the next instalments",
        };
        writeln!(
            self.text,
            "  penalty {} a year on overdue principal after {} days of grace; a prepayment {prepayment}",
            product.penalty_rate, product.grace_days
        )?;
        for line in particulars(product) {
            writeln!(self.text, "  {line}")?;
        }
        for fee in &file.fee {
            let at = match fee.at {
                FeeTime::Disbursement => "kept back from the disbursement",
                FeeTime::Overdue => "for each overdue instalment",
                FeeTime::Instalment => "with each instalment",
                FeeTime::Prepayment => "on principal that is prepaid",
            };
            let of = match fee.of {
                FeeBase::Amount => "",
                FeeBase::Principal => " of the principal",
            };
            let rate = (fee.rate != Rate::ZERO).then(|| format!("{}{of}", fee.rate));
            let amount = fee.amount.map(|amount| amount.to_string());
            let size: Vec<_> = rate.into_iter().chain(amount).collect();
            let least = fee.minimum.map(|money| format!(", at least {money}"));
            let most = fee.maximum.map(|money| format!(", at most {money}"));
            writeln!(
                self.text,
                "  fee {}{}{} {at}, earned by {}",
                size.join(" + "),
                least.unwrap_or_default(),
                most.unwrap_or_default(),
                fee.earned_by
            )?;
        }
        if let Some(fee) = &file.service_fee {
            writeln!(
                self.text,
                "  lenders pay {} of their interest to {}",
                fee.of_interest, fee.earned_by
            )?;
            let least = fee.minimum_per_collection;
            if fee.of_collection != Rate::ZERO || least.is_some() {
                let least = least.map(|money| format!(", at least {money}"));
                writeln!(
                    self.text,
                    "  and {} of each payment collected{}",
                    fee.of_collection,
                    least.unwrap_or_default()
                )?;
            }
        }
        if let Some(archive) = &file.archive {
            writeln!(
                self.text,
                "  loans are archived {} days after they were repaid",
                archive.after_days
            )?;
        }
        if let Some(party) = &file.goodwill_borne_by {
            writeln!(self.text, "  goodwill credits are paid by {party}")?;
        }
        if file.income.recognition == Recognition::Cash {
            writeln!(self.text, "  interest is income when it is received")?;
        }
        if let Some(days) = file.income.non_accrual_days {
            let reversed = match file.income.reverse_accrued {
                true => "; what was accrued is taken back",
                false => "",
            };
            writeln!(
                self.text,
                "  from {} past due on, a loan accrues no income{reversed}",
                counted(days, "day")
            )?;
        }
        Ok(())
    }

    fn funding(&mut self) -> std::fmt::Result {
        let funding = &self.version.agreement.file.funding;
        writeln!(self.text, "\nFunding")?;
        let mode = match funding.mode {
            FundingMode::Fixed => "in fixed shares",
            FundingMode::Offers => "in proportion to what each decision offers",
            FundingMode::InOrder => "each lender in turn takes what it offers",
        };
        writeln!(
            self.text,
            "  {mode}; at least {} lenders a loan",
            funding.minimum_lenders
        )?;
        for lender in &funding.lender {
            let share = lender
                .share
                .map_or(String::new(), |share| format!("share {share}, "));
            let price = lender
                .fixed_yield
                .map_or(String::new(), |rate| format!(", at a yield of {rate}"));
            writeln!(
                self.text,
                "  {:<12} {share}between {} and {} of a loan{price}",
                lender.party, lender.minimum_share, lender.maximum_share
            )?;
        }
        writeln!(
            self.text,
            "  leftover cents go to {}",
            funding.leftover_order.join(", then ")
        )
    }

    fn protection(&mut self) -> std::fmt::Result {
        let file = &self.version.agreement.file;
        writeln!(self.text, "\nLimits and rules")?;
        for limit in &file.limit {
            let scope = match limit.per {
                LimitScope::Day => "a day",
                LimitScope::Total => "in all",
                LimitScope::Region => "in each region",
                LimitScope::Borrower => "to each borrower",
                LimitScope::Partner => "through the platform",
            };
            let region = limit
                .region
                .as_ref()
                .map_or(String::new(), |region| format!(" ({region})"));
            let who = limit.lender.as_deref().unwrap_or("all lenders");
            writeln!(
                self.text,
                "  clause {:<6} {who}: at most {} {scope}{region}",
                limit.clause, limit.amount
            )?;
            if let Some(home) = &limit.home {
                writeln!(
                    self.text,
                    "  {:<13} here only as far as slices of it come from book {home}",
                    ""
                )?;
            }
        }
        for rule in self.version.rulebook.iter().flat_map(|book| &book.rule) {
            let until = rule
                .effective_to
                .map_or(String::new(), |day| format!(" until {day}"));
            writeln!(
                self.text,
                "  {:<26} from {}{until}: {}",
                rule.id, rule.effective_from, rule.title
            )?;
            if let Some(why) = self.not_applied(&rule.check) {
                writeln!(self.text, "  {:<26} NOT APPLIED: {why}", "")?;
            }
        }
        if let Some(guarantee) = &file.guarantee {
            writeln!(
                self.text,
                "  {} covers {} of what is written off, in all at most {} of what was disbursed",
                guarantee.party, guarantee.covers, guarantee.pool
            )?;
        }
        let calendar = match self.version.documents.calendar {
            Some(_) => format!(" by the calendar `{}`", self.version.calendar.id),
            None => String::new(),
        };
        let netting = match file.settlement.netting {
            Netting::Bilateral => "between each pair",
            Netting::Multilateral => "over all parties",
        };
        writeln!(
            self.text,
            "  written off {} days past due; settled net {netting}, {} business day(s) later{calendar}",
            file.charge_off.days_past_due, file.settlement.lag_business_days
        )
    }

    /// Why a rule binds nobody, or not everybody whom it is meant for.
    fn not_applied(&self, check: &Check) -> Option<String> {
        let agreement = &self.version.agreement;
        let lacking = |what: &str, stated: fn(&Party) -> bool| {
            let banks = agreement
                .lenders
                .iter()
                .map(|&lender| agreement.party(lender));
            let banks = banks
                .filter(|party| matches!(party.kind, PartyKind::RegionalBank | PartyKind::Bank));
            let lacking: Vec<_> = banks
                .filter(|party| !stated(party))
                .map(|party| party.id.as_str())
                .collect();
            (!lacking.is_empty())
                .then(|| format!("{} does not state its {what}", lacking.join(", ")))
        };
        match check {
            Check::PersonalAmount { cap } if cap.currency != agreement.currency() => Some(format!(
                "the cap is in {}, the agreement in {}",
                cap.currency,
                agreement.currency()
            )),
            Check::PartnerConcentration { .. } => {
                lacking("tier1_capital", |party| party.tier1_capital.is_some())
            }
            Check::JointLendingCap { .. } => {
                lacking("total_loans", |party| party.total_loans.is_some())
            }
            _ => None,
        }
    }

    /// A loan at the product's largest amount and a round rate, to see the figures at work.
    fn example(&mut self) -> std::fmt::Result {
        let agreement = &self.version.agreement;
        let product = &agreement.file.product;
        let months = product.terms_months[0];
        let mut terms = OwnTerms::new(
            product.clone(),
            self.version.calendar.clone(),
            (product.maximum_amount.amount, Rate(12_000_000)),
            months,
            agreement.file.effective_from,
        );
        terms.fees = agreement.loan_fees;
        let instalments = schedule(&terms.terms());
        let fees: Amount = agreement
            .disbursement_fees
            .iter()
            .map(|fee| fee.on(terms.principal, product.rounding))
            .sum();
        let interest: Amount = instalments
            .iter()
            .map(|instalment| instalment.interest)
            .sum();
        let show = |amount| agreement.currency().show(amount);
        let last: Day = instalments
            .last()
            .map_or(terms.disbursed_on, |instalment| instalment.day);
        writeln!(self.text, "\nFor example")?;
        writeln!(
            self.text,
            "  {} at 12.00% for {} months: first instalment {}, interest {} until {last},",
            show(terms.principal),
            months,
            show(instalments[0].total()),
            show(interest),
        )?;
        writeln!(
            self.text,
            "  fees {}, all-in cost {} a year",
            show(fees),
            all_in_cost_by(product.cycle, terms.principal - fees, &instalments)
        )
    }
}
