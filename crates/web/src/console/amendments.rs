//! Amendments: the next version, proposed by one party. Of the agreement two people of every party
//! approve it before the book signs it; of a lender's policy, which is its own, two of that lender.

use std::slice;

use axum::extract::{Path, Query};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tandem_domain::agreement::Agreement;
use tandem_domain::book::{Book, Command, Documents, Refusal, Version};
use tandem_domain::document::{Document, Problem};
use tandem_domain::policy::{Policy, PolicyFile};
use toml::Spanned;

use super::agreement::changed;
use super::approvals::not_apart;
use super::blocks::{Block, Cell, Form, Input, InputKind, Section, Sheet, Table, Tone};
use super::page::{Fault, Fields, Signed, Visit, go};
use super::people::{Doer, Person, Role};
use super::scope::Scope;
use super::{Console, audit};
use crate::registry::{self, Row, Tables, values};

/// Tables of amendments.
pub(super) const SCHEMA: &str = "
create table if not exists amendment (
    id integer primary key,
    book text not null,
    -- The whole text; policies, rulebook and calendar stay as they are signed, but for a policy
    -- in `amendment_policy`.
    agreement text not null,
    version integer not null,
    reason text not null,
    -- The party that proposes it.
    party text not null,
    proposed_at integer not null,
    state text not null default 'open',
    outcome text not null default ''
) strict;
create index if not exists amendment_book on amendment (book, id);
create table if not exists amendment_policy (
    amendment integer primary key references amendment (id),
    -- The whole policy of the party that proposes it.
    policy text not null
) strict;
create table if not exists amendment_consent (
    amendment integer not null references amendment (id),
    party text not null,
    -- The person who stands behind it, and the other who approves.
    proposer integer not null references person (id),
    approver integer references person (id),
    primary key (amendment, party)
) strict, without rowid;
";

/// An amendment.
struct Amendment {
    id: i64,
    agreement: String,
    /// The policy of the party that proposes it, if that is what changes.
    policy: Option<String>,
    version: u32,
    reason: String,
    party: String,
    state: String,
    outcome: String,
    consents: Vec<Consent>,
}

/// What a party's people have said to it.
struct Consent {
    party: String,
    proposer: Doer,
    approver_name: Option<String>,
}

/// What somebody can do about an amendment now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Stand behind it, as the first of the party.
    Support,
    /// Approve it, as the second.
    Approve,
    /// Have it signed again, where the book could not be reached.
    Sign,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::Support => "support",
            Step::Approve => "approve",
            Step::Sign => "sign",
        }
    }
}

impl Amendment {
    fn read(row: &Row) -> registry::Result<Amendment> {
        Ok(Amendment {
            id: row.get(0)?,
            agreement: row.get(1)?,
            version: row.get(2)?,
            reason: row.get(3)?,
            party: row.get(4)?,
            state: row.get(5)?,
            outcome: row.get(6)?,
            policy: row.get(7)?,
            consents: Vec::new(),
        })
    }

    fn consent(&self, party: &str) -> Option<&Consent> {
        self.consents.iter().find(|consent| consent.party == party)
    }

    /// True if two people of a party stand behind it.
    fn has(&self, party: &str) -> bool {
        let consent = self.consent(party);
        consent.is_some_and(|consent| consent.approver_name.is_some())
    }

    /// True if a person proposed it.
    fn is_by(&self, person: &Person) -> bool {
        let consent = self.consent(&self.party);
        consent.is_some_and(|consent| consent.proposer.id == person.id)
    }

    /// True if somebody can still decide on it.
    fn is_open(&self) -> bool {
        matches!(self.state.as_str(), "open" | "approved")
    }

    /// A party shows it to the others once two of its people stand behind it; of its policy it
    /// shows them nothing.
    fn is_shown_to(&self, party: &str) -> bool {
        self.party == party || self.policy.is_none() && self.has(&self.party)
    }

    /// Who must approve it, where these are all parties.
    fn approvers<'a>(&'a self, parties: &'a [String]) -> &'a [String] {
        match self.policy {
            Some(_) => slice::from_ref(&self.party),
            None => parties,
        }
    }

    /// True if all who must have approved it.
    fn is_approved(&self, parties: &[String]) -> bool {
        let mut approvers = self.approvers(parties).iter();
        approvers.all(|party| self.has(party))
    }

    /// What it has the book sign.
    fn documents(&self, book: &Book) -> Result<Documents, Fault> {
        documents(book, &self.agreement, &self.party, self.policy.as_deref())
    }

    /// What a person can do now, where these are all parties.
    fn step(&self, person: &Person, parties: &[String]) -> Option<Step> {
        let may = |role| person.roles.has(role);
        if !self.is_open() || !self.is_shown_to(&person.party) {
            return None;
        }
        if self.is_approved(parties) {
            return may(Role::Approver).then_some(Step::Sign);
        }
        match self.consent(&person.party) {
            None => may(Role::Operations).then_some(Step::Support),
            Some(consent) => {
                let other =
                    consent.approver_name.is_none() && person.is_apart_from(&consent.proposer);
                (other && may(Role::Approver)).then_some(Step::Approve)
            }
        }
    }

    fn tone(&self) -> Tone {
        match self.state.as_str() {
            "done" => Tone::Good,
            "open" | "approved" => Tone::Warn,
            "refused" => Tone::Bad,
            _ => Tone::Plain,
        }
    }

    fn path(&self) -> String {
        format!("/console/agreement/amendments/{}", self.id)
    }
}

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Agreement,
    /// The policy of the lender that proposes it.
    Policy,
}

impl Subject {
    fn named(name: &str) -> Subject {
        match name {
            "policy" => Subject::Policy,
            _ => Subject::Agreement,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Subject::Agreement => "agreement",
            Subject::Policy => "policy",
        }
    }

    /// Who may propose it.
    fn roles(self) -> &'static [Role] {
        match self {
            Subject::Agreement => &[Role::Operations],
            Subject::Policy => &[Role::Operations, Role::Risk],
        }
    }
}

/// The latest documents with another agreement, and another policy of a lender if there is one.
fn documents(
    book: &Book,
    agreement: &str,
    lender: &str,
    policy: Option<&str>,
) -> Result<Documents, Fault> {
    let latest = book.latest().ok_or(Fault::NotFound)?;
    let mut documents = latest.documents.clone();
    agreement.clone_into(&mut documents.agreement);
    if let Some(policy) = policy {
        let place = policy_place(latest, lender).ok_or(Fault::NotFound)?;
        policy.clone_into(&mut documents.policies[place]);
    }
    Ok(documents)
}

/// Place of a lender's policy among the documents of a version.
fn policy_place(version: &Version, lender: &str) -> Option<usize> {
    version.documents.policies.iter().position(|text| {
        let policy = Policy::parse(text, &version.agreement);
        policy.is_ok_and(|policy| policy.file.lender == lender)
    })
}

/// The lender whose policy a text is, if it can be read.
fn lender_of(policy: &str) -> Option<String> {
    let file: PolicyFile = Document::parse(policy).ok()?.read().ok()?;
    Some(file.lender)
}

/// A lender's policy as it was signed with a version.
fn policy_text<'a>(version: &'a Version, lender: &str) -> Result<&'a str, Fault> {
    let place = policy_place(version, lender).ok_or(Fault::NotFound)?;
    Ok(&version.documents.policies[place])
}

/// The latest agreement under the number of its next version, with the rest as it is written.
fn next_agreement(latest: &Version) -> String {
    #[derive(Deserialize)]
    struct Numbered {
        version: Spanned<u32>,
    }
    let mut agreement = latest.documents.agreement.clone();
    if let Ok(Numbered { version }) = toml::from_str(&agreement) {
        let next = version.get_ref() + 1;
        agreement.replace_range(version.span(), &next.to_string());
    }
    agreement
}

/// Ids of all parties of the agreement as last signed: each must approve.
fn parties(scope: &Scope<'_>) -> Vec<String> {
    let parties = scope.agreement().parties();
    parties.map(|(_, party)| party.id.clone()).collect()
}

/// Which amendments: those on which somebody can still decide.
const OPEN: &str = "state in ('open', 'approved')";

/// Amendments of a book that a party is shown and that are as `which` says, newest first.
fn select(
    console: &Console,
    book: &str,
    party: &str,
    which: &str,
) -> registry::Result<Vec<Amendment>> {
    console.registry.read(|tables| {
        let text = format!(
            "select id, agreement, version, reason, party, state, outcome, policy from amendment
             left join amendment_policy on amendment = id where book = ?1 and {which} order by id desc"
        );
        let mut found = tables.rows(&text, values![book], Amendment::read)?;
        let text = format!(
            "select amendment_consent.party, other.name, {} from amendment_consent
             join person one on one.id = proposer left join person other on other.id = approver
             where amendment = ?1",
            Doer::COLUMNS
        );
        for amendment in &mut found {
            amendment.consents = tables.rows(&text, values![amendment.id], |row| {
                Ok(Consent {
                    party: row.get(0)?,
                    approver_name: row.get(1)?,
                    proposer: Doer::read(row, 2)?,
                })
            })?;
        }
        found.retain(|amendment| amendment.is_shown_to(party));
        Ok(found)
    })
}

/// Number of amendments that wait for this person.
pub(super) fn waiting(
    console: &Console,
    book: &str,
    person: &Person,
    parties: &[String],
) -> registry::Result<i64> {
    let open = select(console, book, &person.party, OPEN)?;
    let waiting = open
        .iter()
        .filter(|one| one.step(person, parties).is_some());
    Ok(waiting.count() as i64)
}

/// Amendments, for the pages of the agreement and of approvals; none if there is nothing to show.
pub(super) fn section(signed: &Signed, only_open: bool) -> Result<Option<Section>, Fault> {
    let visit = &signed.visit;
    let which = if only_open { OPEN } else { "true" };
    let (book, party) = (signed.desk.name(), &signed.person.party);
    let all = select(&visit.console, book, party, which)?;
    let proposes = !only_open && signed.person.roles.has(Role::Operations);
    if all.is_empty() && !proposes {
        return Ok(None);
    }
    let mut table = Table::new(&[
        (visit.t("agreement.version"), "#"),
        (visit.t("approval.reason"), ""),
        (visit.t("amendment.by"), "?"),
        (visit.t("amendment.approved_by"), "?"),
        (visit.t("list.state"), ""),
    ])
    .empty(visit.t("amendment.none"));
    signed.look(|scope| {
        let parties = parties(scope);
        for amendment in &all {
            let approvers = amendment.approvers(&parties);
            let approved = approvers.iter().filter(|party| amendment.has(party));
            let values = [approved.count().to_string(), approvers.len().to_string()];
            let values = values.each_ref().map(String::as_str);
            table.row(vec![
                Cell::NumberLink(amendment.version.to_string(), amendment.path()),
                Cell::Link(amendment.reason.clone(), amendment.path()),
                Cell::text(name(scope, &amendment.party)),
                Cell::text(visit.language.fill("amendment.of", &values)),
                state(visit, amendment),
            ]);
        }
        Ok(())
    })?;
    let mut section =
        Section::new("amendments", visit.t("amendment.title")).with(Block::Table(table));
    if proposes {
        let propose = visit.t("amendment.propose").to_owned();
        let path = "/console/agreement/amendments".to_owned();
        section = section.with(Block::Links(vec![(propose, path)]));
    }
    Ok(Some(section))
}

fn state(visit: &Visit, amendment: &Amendment) -> Cell {
    let word = visit.word("proposal", &amendment.state);
    Cell::Badge(amendment.tone(), word.to_owned())
}

fn name(scope: &Scope<'_>, party: &str) -> String {
    let found = scope.agreement().party_id(party);
    found.map_or(party, |party| scope.name(party)).to_owned()
}

/// The party's policy as it was signed with a version, and where another is proposed.
pub(super) fn policy(signed: &Signed) -> Result<Option<Section>, Fault> {
    let visit = &signed.visit;
    let latest = signed.look(|scope| {
        let latest = scope.book.latest().ok_or(Fault::NotFound)?;
        let own = scope.policy(latest);
        let own = own.map(|(_, policy)| policy.file.version.clone());
        Ok(own.map(|own| (latest.agreement.file.version, own)))
    })?;
    let Some((version, policy)) = latest else {
        return Ok(None);
    };
    let mut links = vec![(
        visit.t("amendment.download").to_owned(),
        format!("/console/agreement/text/{version}?of=policy"),
    )];
    if signed.must(Subject::Policy.roles()).is_ok() {
        let propose = visit.t("amendment.propose_policy").to_owned();
        links.push((
            propose,
            "/console/agreement/amendments?of=policy".to_owned(),
        ));
    }
    let text = visit.language.fill("amendment.policy_text", &[&policy]);
    let mut section = Section::new("policy", visit.t("amendment.policy")).with(Block::Text(text));
    section.blocks.extend(later(signed)?);
    Ok(Some(section.with(Block::Links(links))))
}

/// From which day on the policy signed last decides, and one that is proposed now, if not yet.
fn later(signed: &Signed) -> Result<Option<Block>, Fault> {
    let visit = &signed.visit;
    signed.look(|scope| {
        let latest = scope.book.latest().ok_or(Fault::NotFound)?;
        let day = latest.agreement.file.effective_from;
        Ok((day > scope.book.business_date()).then(|| {
            let day = day.to_string();
            let text = visit.language.fill("amendment.later", &[&day]);
            Block::Notice(Tone::Warn, text)
        }))
    })
}

/// Which document is asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    of: String,
}

/// The text of the agreement, or of the party's policy, as it was signed.
pub(super) async fn text(
    signed: Signed,
    Path(version): Path<u32>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let subject = Subject::named(&asked.of);
    let text = signed.look(|scope| {
        let versions = scope.book.versions().iter();
        let mut found = versions.filter(|one| one.agreement.file.version == version);
        let found = found.next().ok_or(Fault::NotFound)?;
        match subject {
            Subject::Agreement => Ok(found.documents.agreement.clone()),
            Subject::Policy => policy_text(found, &signed.person.party).map(str::to_owned),
        }
    })?;
    let name = subject.name();
    let name = format!("attachment; filename=\"{name}-{version}.toml\"");
    let headers = [
        (header::CONTENT_TYPE, "application/toml; charset=utf-8"),
        (header::CONTENT_DISPOSITION, name.as_str()),
    ];
    Ok((headers, text).into_response())
}

/// The form for an amendment, with what was last signed to begin from.
pub(super) async fn draft(signed: Signed, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let subject = Subject::named(&asked.of);
    signed.must(subject.roles())?;
    let text = signed.look(|scope| {
        let latest = scope.book.latest().ok_or(Fault::NotFound)?;
        match subject {
            Subject::Agreement => Ok(next_agreement(latest)),
            Subject::Policy => policy_text(latest, &signed.person.party).map(str::to_owned),
        }
    })?;
    form(&signed, StatusCode::OK, subject, &text, "", Vec::new())
}

fn form(
    signed: &Signed,
    status: StatusCode,
    subject: Subject,
    text: &str,
    reason: &str,
    wrong: Vec<String>,
) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let (title, lead, label) = match subject {
        Subject::Agreement => ("amendment.propose", "amendment.lead", "amendment.text"),
        Subject::Policy => (
            "amendment.propose_policy",
            "amendment.policy_lead",
            "amendment.policy",
        ),
    };
    let mut sheet = Sheet::new(visit, visit.t(title)).below("nav.agreement", "/console/agreement");
    sheet.lead = visit.t(lead).to_owned();
    if !wrong.is_empty() {
        let wrong = wrong
            .into_iter()
            .map(|wrong| Block::Notice(Tone::Bad, wrong));
        sheet.add("wrong", wrong.collect());
    }
    if subject == Subject::Policy
        && let Some(later) = later(signed)?
    {
        sheet.add("later", vec![later]);
    }
    let form = Form {
        action: "/console/agreement/amendments".to_owned(),
        inputs: vec![
            Input::hidden("of", subject.name()),
            Input::new(subject.name(), visit.t(label), text, InputKind::Document),
            Input::new(
                "reason",
                visit.t("approval.reason"),
                reason,
                InputKind::Text,
            ),
        ],
        submit: visit.t("approval.propose").to_owned(),
    };
    sheet.section(Section::new("draft", "").with(Block::Form(form)));
    visit.page_with(status, &sheet)
}

pub(super) async fn propose(signed: Signed, fields: Fields) -> Result<Response, Fault> {
    let subject = Subject::named(fields.get("of"));
    signed.must(subject.roles())?;
    let visit = &signed.visit;
    let party = &signed.person.party;
    // Browsers end lines in two characters; documents are compared byte by byte.
    let text = fields.get(subject.name()).replace("\r\n", "\n");
    let policy = (subject == Subject::Policy).then_some(text.as_str());
    let reason = fields.get("reason").trim();
    let mut wrong = Vec::new();
    if reason.is_empty() {
        wrong.push(visit.t("amendment.no_reason").to_owned());
    }
    let (agreement, version) = signed.look(|scope| {
        let latest = scope.book.latest().ok_or(Fault::NotFound)?;
        let (agreement, same) = match policy {
            None => {
                let mut versions = scope.book.versions().iter();
                let same = versions.any(|one| one.documents.agreement == text);
                (text.clone(), same)
            }
            Some(text) => (next_agreement(latest), policy_text(latest, party)? == text),
        };
        if same {
            wrong.push(visit.t("agreement.no_changes").to_owned());
        }
        let documents = documents(scope.book, &agreement, party, policy)?;
        // What would be wrong with it in another lender's place says little.
        if policy.and_then(lender_of).is_some_and(|of| of != *party) {
            let text = visit.language.fill("amendment.not_own", &[party]);
            wrong.push(text);
        } else {
            wrong.extend(refusals(visit, scope, &documents, Some(party)));
        }
        let version = Version::parse(documents).ok();
        let version = version.map_or(0, |version| version.agreement.file.version);
        Ok((agreement, version))
    })?;
    if !wrong.is_empty() {
        return form(
            &signed,
            StatusCode::UNPROCESSABLE_ENTITY,
            subject,
            &text,
            reason,
            wrong,
        );
    }
    let id = visit.console.registry.change(|tables| {
        let id: i64 = tables.value(
            "insert into amendment (book, agreement, version, reason, party, proposed_at)
             values (?1, ?2, ?3, ?4, ?5, ?6) returning id",
            values![
                signed.desk.name(),
                agreement,
                version,
                reason,
                party,
                visit.console.now()
            ],
        )?;
        if let Some(policy) = policy {
            let text = "insert into amendment_policy (amendment, policy) values (?1, ?2)";
            tables.execute(text, values![id, policy])?;
        }
        stand_behind(tables, id, &signed.person)?;
        registry::Result::Ok(id)
    })?;
    Ok(go(&format!("/console/agreement/amendments/{id}")))
}

/// True if a version is signed under this number.
fn is_taken(book: &Book, version: u32) -> bool {
    let mut versions = book.versions().iter();
    versions.any(|one| one.agreement.file.version == version)
}

/// Why the book would refuse to sign documents, as a party may know it, or as all may: what is in a
/// policy is told to its lender only.
fn refusals(
    visit: &Visit,
    scope: &Scope<'_>,
    documents: &Documents,
    to: Option<&str>,
) -> Vec<String> {
    let problems = match scope.book.can_sign(documents.clone()) {
        Ok(()) => return Vec::new(),
        Err(Refusal::InvalidDocuments(problems)) => problems,
        Err(refusal) => return vec![refusal.to_string()],
    };
    let words = |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.to_string());
    let Ok(agreement) = Agreement::parse(&documents.agreement) else {
        return words(problems).collect();
    };
    let version = agreement.file.version;
    if is_taken(scope.book, version) {
        let id = agreement.file.id;
        return vec![Refusal::VersionUsed { id, version }.to_string()];
    }
    let mut wrong = Vec::new();
    for text in &documents.policies {
        let Err(problems) = Policy::parse(text, &agreement) else {
            continue;
        };
        match lender_of(text) {
            Some(lender) if to != Some(lender.as_str()) => {
                let lender = name(scope, &lender);
                wrong.push(visit.language.fill("amendment.unfit", &[&lender]));
            }
            // One that cannot be read was never signed, so it is the one that is proposed.
            _ => wrong.extend(words(problems)),
        }
    }
    if wrong.is_empty() {
        wrong.extend(words(problems));
    }
    wrong
}

fn stand_behind(tables: &Tables<'_>, id: i64, person: &Person) -> registry::Result<()> {
    let text = "insert into amendment_consent (amendment, party, proposer) values (?1, ?2, ?3)
                on conflict do nothing";
    let values = values![id, &person.party, person.id];
    tables.execute(text, values).map(drop)
}

/// An amendment that is shown to the person's party.
fn one(signed: &Signed, id: i64) -> Result<Amendment, Fault> {
    let (book, party) = (signed.desk.name(), &signed.person.party);
    let found = select(&signed.visit.console, book, party, &format!("id = {id}"))?;
    found.into_iter().next().ok_or(Fault::NotFound)
}

pub(super) async fn show(signed: Signed, Path(id): Path<i64>) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let amendment = one(&signed, id)?;
    let person = &signed.person;
    let sheet = signed.look(|scope| {
        let number = amendment.version.to_string();
        let (title, two) = match amendment.policy {
            None => ("amendment.one", "amendment.two"),
            Some(_) => ("amendment.one_policy", "amendment.two_own"),
        };
        let mut sheet = Sheet::new(visit, visit.language.fill(title, &[&number]))
            .below("nav.agreement", "/console/agreement");
        sheet.lead = amendment.reason.clone();
        sheet.status = Some((
            amendment.tone(),
            visit.word("proposal", &amendment.state).to_owned(),
        ));
        if !amendment.outcome.is_empty() {
            let outcome = amendment.outcome.clone();
            sheet.add("outcome", vec![Block::Notice(Tone::Bad, outcome)]);
        }
        if amendment.state == "open" && is_taken(scope.book, amendment.version) {
            let text = visit.language.fill("amendment.overtaken", &[&number]);
            sheet.add("overtaken", vec![Block::Notice(Tone::Bad, text)]);
        }
        let parties = parties(scope);
        sheet.section(
            Section::new("consents", visit.t("amendment.consents"))
                .measured(visit.t(two))
                .with(Block::Table(consents(visit, scope, &amendment, &parties))),
        );
        let versions = scope.book.versions().iter();
        let mut before = versions.filter(|one| one.agreement.file.version < amendment.version);
        let before = before.next_back().ok_or(Fault::NotFound)?;
        let since = before.agreement.file.version.to_string();
        let title = visit.language.fill("agreement.changes", &[&since, &number]);
        let lines = match &amendment.policy {
            None => changed(&before.documents.agreement, &amendment.agreement),
            Some(policy) => changed(policy_text(before, &amendment.party)?, policy),
        };
        sheet.section(Section::new("changes", title).with(Block::Diff(lines)));
        decision(visit, person, &amendment, &parties, &mut sheet);
        Ok(sheet)
    })?;
    visit.page(&sheet)
}

/// Who of each party stands behind it.
fn consents(visit: &Visit, scope: &Scope<'_>, amendment: &Amendment, parties: &[String]) -> Table {
    let mut table = Table::new(&[
        (visit.t("agreement.party"), ""),
        (visit.t("approval.proposer"), "?"),
        (visit.t("amendment.approver"), "?"),
        (visit.t("list.state"), ""),
    ]);
    for party in amendment.approvers(parties) {
        let consent = amendment.consent(party);
        let proposer = consent.map(|consent| consent.proposer.name.clone());
        let approver = consent.and_then(|consent| consent.approver_name.clone());
        let (tone, key) = match (&proposer, &approver) {
            (_, Some(_)) => (Tone::Good, "amendment.approved"),
            (Some(_), None) => (Tone::Warn, "amendment.half"),
            (None, None) => (Tone::Plain, "amendment.not_yet"),
        };
        let shown = |name: Option<String>| Cell::text(name.unwrap_or("–".to_owned()));
        table.row(vec![
            Cell::text(name(scope, party)),
            shown(proposer),
            shown(approver),
            Cell::Badge(tone, visit.t(key).to_owned()),
        ]);
    }
    table
}

/// What the person can do.
fn decision(
    visit: &Visit,
    person: &Person,
    amendment: &Amendment,
    parties: &[String],
    sheet: &mut Sheet<'_>,
) {
    let form = |what: &str, key: &str| {
        Block::Form(Form {
            action: format!("{}/{what}", amendment.path()),
            inputs: Vec::new(),
            submit: visit.t(key).to_owned(),
        })
    };
    let own = amendment.is_by(person);
    let mut section = Section::new("decide", visit.t("approval.decide"));
    if let Some(step) = amendment.step(person, parties) {
        let (text, key) = match step {
            Step::Support => ("amendment.support_text", "amendment.support"),
            Step::Approve => ("amendment.approve_text", "amendment.approve"),
            Step::Sign => ("amendment.sign_text", "amendment.sign"),
        };
        section = section
            .with(Block::Text(visit.t(text).to_owned()))
            .with(form(step.name(), key));
    }
    let approver = person.roles.has(Role::Approver);
    let half = amendment
        .consent(&person.party)
        .filter(|consent| consent.approver_name.is_none());
    if let Some(Consent { proposer, .. }) = half
        && amendment.is_open()
        && approver
        && proposer.id != person.id
        && !person.is_apart_from(proposer)
    {
        let text = not_apart(visit, proposer);
        section = section.with(Block::Notice(Tone::Warn, text));
    }
    match amendment.is_open() {
        true if own => sheet.section(section.with(form("withdraw", "approval.withdraw"))),
        true if approver => sheet.section(section.with(form("reject", "approval.reject"))),
        _ if section.blocks.is_empty() => {}
        _ => sheet.section(section),
    }
}

/// Decides on an amendment: `support`, `approve`, `sign`, `reject` or `withdraw`.
pub(super) async fn decide(
    signed: Signed,
    Path((id, what)): Path<(i64, String)>,
    _: Fields,
) -> Result<Response, Fault> {
    let amendment = one(&signed, id)?;
    let person = &signed.person;
    let registry = &signed.visit.console.registry;
    let parties = signed.look(|scope| Ok(parties(scope)))?;
    let step = amendment.step(person, &parties);
    let own = amendment.is_by(person);
    match what.as_str() {
        "support" | "approve" | "sign" if step.is_none_or(|step| step.name() != what) => {
            return Err(Fault::Forbidden);
        }
        "support" => registry.change(|tables| stand_behind(tables, id, person))?,
        "approve" => registry.change(|tables| {
            let text = "update amendment_consent set approver = ?3
                        where amendment = ?1 and party = ?2 and approver is null and proposer <> ?3";
            tables.execute(text, values![id, &person.party, person.id]).map(drop)
        })?,
        "sign" => {}
        "withdraw" if own => {
            set(&signed, id, "withdrawn", "")?;
        }
        "reject" if person.roles.has(Role::Approver) && !own => {
            set(&signed, id, "rejected", "")?;
        }
        "withdraw" | "reject" => return Err(Fault::Forbidden),
        _ => return Err(Fault::NotFound),
    }
    let mut answer = go(&amendment.path());
    let amendment = one(&signed, id)?;
    if amendment.is_open() && amendment.is_approved(&parties) {
        let refused = sign(&signed, &amendment).await?;
        if refused {
            answer.extensions_mut().insert(audit::Refused);
        }
    }
    Ok(answer)
}

/// Ends an amendment that is open, or says how far it is; false if it is over. What the book signed
/// is done, whatever was said meanwhile.
fn set(signed: &Signed, id: i64, state: &str, outcome: &str) -> registry::Result<bool> {
    signed.visit.console.registry.change(|tables| {
        let text = format!(
            "update amendment set state = ?2, outcome = ?3
             where id = ?1 and ({OPEN} or ?2 = 'done')"
        );
        let changed = tables.execute(&text, values![id, state, outcome])?;
        Ok(changed == 1)
    })
}

/// Has the book sign what all parties approved; signing it again changes nothing. True if the book
/// refuses it.
async fn sign(signed: &Signed, amendment: &Amendment) -> Result<bool, Fault> {
    if !set(signed, amendment.id, "approved", "")? {
        // Somebody has ended it since.
        return Ok(false);
    }
    let documents = signed.look(|scope| amendment.documents(scope.book))?;
    let command = Command::Sign(Box::new(documents.clone()));
    let (state, outcome) = match signed.desk.execute(command).await {
        Ok(_) => ("done", String::new()),
        Err(problem) if problem.retryable => ("approved", problem.detail),
        // Its details may be of a policy, and what is kept is shown to all.
        Err(problem) if problem.code == "invalid_documents" => {
            let visit = &signed.visit;
            let to = amendment.policy.is_some().then_some(&*amendment.party);
            let words = signed.look(|scope| Ok(refusals(visit, scope, &documents, to)))?;
            ("refused", words.join("\n"))
        }
        Err(problem) => ("refused", problem.detail),
    };
    set(signed, amendment.id, state, &outcome)?;
    Ok(state == "refused")
}
