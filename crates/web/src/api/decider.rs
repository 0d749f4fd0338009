//! Lenders that decide by services of their own: each is asked, and its answer counts in the place
//! of its policy's. One that says nothing declines.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::json;
use tandem_client::key::random_id;
use tandem_client::system_time;
use tandem_domain::book::{Application, Command};
use tandem_domain::money::Currency;
use tandem_domain::policy::{Decision, Outcome};
use tokio::task::spawn_blocking;

use super::applications::{amount, show_value};
use super::shape::Money;
use super::view::{Seen, View};
use crate::access::Access;
use crate::trace::{self, Sending, Trace};
use crate::webhooks::{agent, check_url, fields, post};

/// How long a lender's service may take for one try.
const PATIENCE: Duration = Duration::from_millis(500);

/// Tries: the first, and one more.
const TRIES: usize = 2;

/// Bytes that an answer may have.
const ANSWER: u64 = 1 << 16;

/// Where lenders decide, by their ids.
pub struct Deciders(Arc<Inner>);

struct Inner {
    urls: BTreeMap<String, String>,
    access: Arc<Access>,
    http: ureq::Agent,
}

impl Deciders {
    /// Services of lenders, by the lenders' ids. Whoever runs this service chose them, so they may
    /// be in a private network. What is wrong with an address is said in words.
    pub fn new(urls: BTreeMap<String, String>, access: Arc<Access>) -> Result<Deciders, String> {
        for (lender, url) in &urls {
            let of_lender = |error| format!("decider of {lender}: {error}");
            check_url(url, true).map_err(of_lender)?;
            if !is_private(url) {
                return Err(of_lender(format!(
                    "`{url}` must begin with https://, since applicants' values go there; http:// is \
                     for an address of this machine, such as http://127.0.0.1:9000/"
                )));
            }
        }
        let http = agent(true, PATIENCE);
        Ok(Deciders(Arc::new(Inner { urls, access, http })))
    }
}

/// True if what is sent there can be read by nobody on the way. A name is no proof of where it leads.
fn is_private(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let address = host.parse::<IpAddr>();
    uri.scheme_str() == Some("https") || address.is_ok_and(|address| address.is_loopback())
}

/// What a lender is asked, and how its answer is read.
struct Question {
    /// Place of the lender's decision.
    place: usize,
    lender: String,
    body: String,
    /// Codes of the reasons that its policy can give.
    reasons: Vec<String>,
    currency: Currency,
}

/// What a lender answers.
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
enum Answer {
    Approve {
        maximum: Money,
        rate: String,
        score: Option<i64>,
    },
    Decline {
        reasons: Vec<String>,
        score: Option<i64>,
    },
    Refer {
        reasons: Vec<String>,
        score: Option<i64>,
    },
}

/// A command; if it is a new application, with the decisions of those who decide elsewhere.
pub(super) async fn decided(view: &View, command: Command) -> Command {
    let Some(Deciders(deciders)) = view.desk.deciders() else {
        return command;
    };
    let Command::Apply(mut application) = command else {
        return command;
    };
    let trace = trace::current();
    let questions = view.look(|seen| questions(seen, deciders, &application));
    let answers = questions.into_iter().map(|question| {
        let deciders = deciders.clone();
        async move {
            let place = question.place;
            let decision = spawn_blocking(move || deciders.decide(&question, trace)).await;
            (place, decision)
        }
    });
    for (place, decision) in join_all(answers).await {
        // It fails only where the service ends, and the application with it.
        if let (Some(given), Ok(decision)) = (application.decisions.get_mut(place), decision) {
            *given = decision;
        }
    }
    Command::Apply(application)
}

fn questions(seen: &Seen<'_>, deciders: &Inner, application: &Application) -> Vec<Question> {
    // What the book knows already is not decided again.
    let known = seen.book.application(&application.key).is_some();
    let Some((_, version)) = seen.book.current().filter(|_| !known) else {
        return Vec::new();
    };
    let agreement = &version.agreement;
    let currency = agreement.currency();
    let asked = version.policies.iter().enumerate();
    let asked = asked.filter(|(_, policy)| deciders.urls.contains_key(&policy.file.lender));
    let questions = asked.map(|(place, policy)| {
        let lender = &policy.file.lender;
        let fields = agreement.scope.fields.iter().zip(&application.values);
        let fields = fields
            .enumerate()
            .filter_map(|(place, ((name, kind), value))| {
                let visible = agreement.may_see(lender, place);
                visible.then(|| (name.clone(), show_value(*kind, value, currency)))
            });
        let fields: BTreeMap<_, _> = fields.collect();
        let body = json!({
            "agreement": agreement.file.id,
            "agreement_version": agreement.file.version,
            "lender": lender,
            "reference": application.key,
            "fields": fields,
        });
        Question {
            place,
            lender: lender.clone(),
            body: body.to_string(),
            reasons: policy
                .reasons
                .iter()
                .map(|(code, _)| code.clone())
                .collect(),
            currency,
        }
    });
    questions.collect()
}

impl Inner {
    /// Asks a lender. One that says nothing that can be used declines, for the reason that its
    /// policy has where it offers nothing.
    fn decide(&self, question: &Question, trace: Option<Trace>) -> Decision {
        let mut last = String::new();
        let id = random_id().unwrap_or_default();
        for _ in 0..TRIES {
            match self.ask(question, &format!("dec_{id}"), trace) {
                Ok(decision) => return decision,
                Err(error) => last = error,
            }
        }
        let lender = &question.lender;
        tracing::warn!(
            lender,
            "its service decides nothing, so it declines: {last}"
        );
        Decision {
            score: None,
            outcome: Outcome::Decline(vec![question.reasons.len().saturating_sub(1) as u8]),
        }
    }

    fn ask(&self, question: &Question, id: &str, trace: Option<Trace>) -> Result<Decision, String> {
        let url = &self.urls[&question.lender];
        let now = system_time();
        let signature = self.access.sign_webhook(id, now, &question.body);
        let signature = signature.map_err(|error| error.to_string())?;
        let asked = fields(id, now, &signature);
        let sending = trace.map(Sending::begin);
        let sent = post(&self.http, url, &asked, &question.body, sending)?;
        let (parts, mut body) = sent.into_parts();
        let status = parts.status.as_u16();
        if status != 200 {
            return Err(format!("{url} answered {status}, not 200"));
        }
        let answer = body.with_config().limit(ANSWER).read_to_vec();
        let answer = answer.map_err(|error| error.to_string())?;
        let signed = (status, &parts.headers, answer.as_slice());
        let signed = self
            .access
            .check_decision(&question.lender, (url, &asked), signed);
        signed.map_err(|error| format!("{url}: {error}"))?;
        let answer = serde_json::from_slice(&answer)
            .map_err(|error| format!("{url} answered what is no decision: {error}"))?;
        read(answer, question).map_err(|error| format!("{url}: {error}"))
    }
}

fn read(answer: Answer, question: &Question) -> Result<Decision, String> {
    let reasons = &question.reasons;
    let places = |codes: Vec<String>| {
        let places = codes.into_iter().map(|code| {
            let place = reasons.iter().position(|known| *known == code);
            let place = place.and_then(|place| u8::try_from(place).ok());
            place.ok_or_else(|| format!("the policy has no reason `{code}`"))
        });
        let places: Vec<u8> = places.collect::<Result<_, _>>()?;
        match places.is_empty() {
            true => Err("it gives no reasons".to_owned()),
            false => Ok(places),
        }
    };
    let (outcome, score) = match answer {
        Answer::Approve {
            maximum,
            rate,
            score,
        } => {
            let rate = rate.parse().map_err(|error| format!("rate: {error}"))?;
            let maximum = amount(&maximum, question.currency)?;
            (Outcome::Approve { maximum, rate }, score)
        }
        Answer::Decline { reasons, score } => (Outcome::Decline(places(reasons)?), score),
        Answer::Refer { reasons, score } => (Outcome::Refer(places(reasons)?), score),
    };
    let decision = Decision { score, outcome };
    match decision.is_usable(reasons.len()) {
        true => Ok(decision),
        false => Err("maximum must be above zero, and the rate from 0% to 100%".to_owned()),
    }
}
