//! Applications that wait for people: for a lender those that it referred, with which of its rules
//! fired, to be approved within its policy or declined; for the platform all, and for whom they wait.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use tandem_domain::book::{ApplicationState, Command, Decided, Underwriting, Verdict, Version};
use tandem_domain::calendar::Day;
use tandem_domain::field::Value;
use tandem_domain::money::{Amount, Money};
use tandem_domain::policy::{Outcome, Policy};

use super::blocks::{Block, Cell, Form, Input, InputKind, Section, Sheet, Table, Tone, money};
use super::overview::amounts_in;
use super::page::{Fault, Fields, Signed, Visit, go};
use super::people::{Person, Role};
use super::scope::Scope;

/// Applications that are shown (and are cases), oldest first: the next come up as these are decided.
pub(super) const SHOWN: usize = 500;

/// The last day on which the party's people can decide, if an application waits for them.
pub(super) fn own_deadline(scope: &Scope<'_>, decided: &Decided) -> Option<Day> {
    match &decided.verdict {
        Verdict::Referred(_, valid_to) if scope.waits_for(decided).contains(&scope.party) => {
            *valid_to
        }
        _ => None,
    }
}

/// Applications that wait, for the party's people or, if it is the platform, for anybody's.
pub(super) async fn list(signed: Signed) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let sheet = signed.look(|scope| {
        let mut sheet = Sheet::new(visit, visit.t("nav.referrals"));
        sheet.lead = visit.t("referral.lead").to_owned();
        let mut table = Table::new(&[
            (visit.t("application.key"), "!"),
            (visit.t("referral.until"), "!"),
            (visit.word("field", "amount"), "#"),
            (visit.word("field", "term_months"), "#?"),
            (visit.t("referral.waits_for"), "?"),
            (visit.t("application.reasons"), ""),
        ])
        .empty(visit.t("referral.none"));
        let waiting = scope.book.referrals().map(|(_, decided)| decided);
        let waiting = waiting.map(|decided| (decided, scope.waits_for(decided)));
        let waiting = waiting.filter(|(_, lenders)| !lenders.is_empty());
        for (decided, lenders) in waiting.take(SHOWN) {
            let version = &scope.book.versions()[usize::from(decided.version)];
            if let Verdict::Referred(_, Some(valid_to)) = &decided.verdict {
                let number = |place: usize| decided.values[place].number().unwrap_or_default();
                let names: Vec<_> = lenders.iter().map(|&lender| scope.name(lender)).collect();
                let own = scope
                    .policy(version)
                    .map(|(place, policy)| (&decided.decisions[place], policy));
                let reasons = own.map(|(decision, policy)| match &decision.outcome {
                    Outcome::Refer(reasons) => said(policy, reasons),
                    _ => Vec::new(),
                });
                table.row(vec![
                    Cell::Link(decided.key.clone(), super::applications::path(&decided.key)),
                    Cell::text(valid_to.to_string()),
                    Cell::amount(Amount(number(0)), version.agreement.currency()),
                    Cell::number(number(1)),
                    Cell::text(visit.list(&names)),
                    reasons.map_or(
                        Cell::Soft(visit.t("application.not_shown").to_owned()),
                        Cell::Lines,
                    ),
                ]);
            }
        }
        let section = Section::new("open", "").measured(amounts_in(visit, scope.currency()));
        sheet.section(section.with(Block::Table(table)));
        Ok(sheet)
    })?;
    visit.page(&sheet)
}

/// Reasons of a policy, each with its code.
pub(super) fn said(policy: &Policy, reasons: &[u8]) -> Vec<String> {
    let given = reasons
        .iter()
        .filter_map(|&place| policy.reasons.get(usize::from(place)));
    given
        .map(|(code, words)| format!("{code}: {words}"))
        .collect()
}

/// For whom an application waits, in words, or that nobody decided in time.
pub(super) fn waits(
    visit: &Visit,
    scope: &Scope<'_>,
    decided: &Decided,
    state: ApplicationState,
) -> String {
    let valid_to = match &decided.verdict {
        Verdict::Referred(_, Some(valid_to)) => valid_to.to_string(),
        _ => return visit.t("application.referred").to_owned(),
    };
    let lenders = scope.waits_for(decided);
    if state == ApplicationState::Lapsed {
        visit.t("referral.lapsed").to_owned()
    } else if state == ApplicationState::Withdrawn {
        visit.t("referral.withdrawn").to_owned()
    } else if lenders.contains(&scope.party) {
        visit
            .language
            .fill("application.referred_own", &[&valid_to])
    } else if lenders.is_empty() {
        visit.t("application.referred").to_owned()
    } else {
        let names: Vec<_> = lenders.iter().map(|&lender| scope.name(lender)).collect();
        let names = visit.list(&names);
        visit.language.fill("referral.waits", &[&names, &valid_to])
    }
}

/// What a person can decide on an application that waits for the party.
pub(super) fn offer(
    visit: &Visit,
    scope: &Scope<'_>,
    person: &Person,
    application: u32,
    sheet: &mut Sheet<'_>,
) {
    let Some(decided) = scope.book.referral(application) else {
        return;
    };
    let version = &scope.book.versions()[usize::from(decided.version)];
    let Some((_, policy)) = scope.policy(version) else {
        return;
    };
    if !scope.waits_for(decided).contains(&scope.party) || !person.roles.has(Role::Risk) {
        return;
    }
    let currency = version.agreement.currency();
    let form = |what: &str, submit: &str, inputs: Vec<Input>| {
        Block::Form(Form {
            action: format!("{}/{what}", super::applications::path(&decided.key)),
            inputs,
            submit: submit.to_owned(),
        })
    };
    let approve = Section::new("approve", visit.t("referral.approve")).half();
    sheet.section(match policy.authority(&decided.values) {
        None => approve.with(Block::Notice(
            Tone::Warn,
            visit.t("referral.no_authority").to_owned(),
        )),
        Some((most, least)) => {
            let asked = match decided.values.first() {
                Some(Value::Number(asked)) => Amount(*asked),
                _ => most,
            };
            let most_words = money(most, currency);
            let authority = [&*most_words, currency.code(), &least.to_string()];
            let words = visit.language.fill("referral.authority", &authority);
            let label = visit.language.fill("referral.maximum", &[currency.code()]);
            let maximum = currency.grouped(asked.min(most));
            approve.with(Block::Text(words)).with(form(
                "approve",
                visit.t("referral.approve"),
                vec![
                    Input::new("maximum", label, maximum, InputKind::Text),
                    Input::new(
                        "rate",
                        visit.t("application.rate"),
                        least.to_string(),
                        InputKind::Text,
                    ),
                ],
            ))
        }
    });
    let reasons = policy.reasons.iter();
    let reasons = reasons.map(|(code, words)| (code.clone(), format!("{code}: {words}")));
    let reason = Input::new(
        "reason",
        visit.t("referral.reason"),
        "",
        InputKind::Choice(reasons.collect()),
    );
    sheet.section(
        Section::new("decline", visit.t("referral.decline"))
            .half()
            .with(Block::Text(visit.t("referral.decline_text").to_owned()))
            .with(form("decline", visit.t("referral.decline"), vec![reason])),
    );
}

/// What a form decides; the error says what is wrong with it.
fn decision(
    what: &str,
    fields: &Fields,
    version: &Version,
    policy: &Policy,
) -> Result<Outcome, String> {
    if what == "approve" {
        let currency = version.agreement.currency();
        let maximum = fields.get("maximum").trim();
        let maximum: Money = format!("{maximum} {currency}")
            .parse()
            .map_err(|error| format!("{error}"))?;
        let rate = fields.get("rate").trim().parse();
        return Ok(Outcome::Approve {
            maximum: maximum.amount,
            rate: rate.map_err(|error| format!("{error}"))?,
        });
    }
    let code = fields.get("reason");
    let place = policy
        .reason(code)
        .ok_or_else(|| format!("the policy has no reason `{code}`"))?;
    Ok(Outcome::Decline(vec![place]))
}

/// Decides on an application for the party: `approve` or `decline`.
pub(super) async fn decide(
    signed: Signed,
    Path((key, what)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, Fault> {
    signed.must(&[Role::Risk])?;
    let visit = &signed.visit;
    let command = signed.look(|scope| {
        let record = scope.application(&key)?;
        if !["approve", "decline"].contains(&what.as_str()) {
            return Err(Fault::NotFound);
        }
        let version = &scope.book.versions()[usize::from(record.version)];
        let (_, policy) = scope.policy(version).ok_or(Fault::Forbidden)?;
        let outcome = decision(&what, &fields, version, policy);
        Ok(outcome.map(|outcome| {
            Command::Underwrite(Underwriting {
                application: key.clone(),
                lender: policy.file.lender.clone(),
                outcome,
            })
        }))
    })?;
    let wrong = match command {
        Ok(command) => match signed.desk.execute(command).await {
            Ok(_) => return Ok(go(&super::applications::path(&key))),
            Err(problem) => problem.detail,
        },
        Err(wrong) => wrong,
    };
    let mut sheet = Sheet::new(visit, visit.t("referral.refused"))
        .below("nav.applications", super::applications::path(&key));
    sheet.add("wrong", vec![Block::Notice(Tone::Bad, wrong)]);
    visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &sheet)
}
