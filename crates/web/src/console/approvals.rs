//! What moves money or changes a plan takes two people of a party: one proposes, another approves.

use axum::extract::Path;
use axum::response::Response;
use tandem_domain::agreement::Agreement;
use tandem_domain::book::{Command, Event, Instruction, Loan, words};
use tandem_domain::calendar::Day;
use tandem_domain::loan::{Action, Sale, Status};

use super::blocks::{Block, Cell, Form, Input, InputKind, Section, Sheet, Table, Tone};
use super::page::{Fault, Fields, Signed, Visit, go};
use super::people::{self, Doer, Person, Role};
use super::scope::Scope;
use super::{Console, amendments, audit, unmatched};
use crate::api::permit;
use crate::read::EventRow;
use crate::registry::{self, Row, values};
use crate::sales::{self, Order};

/// The table of proposals.
pub(super) const SCHEMA: &str = "
create table if not exists proposal (
    id integer primary key,
    -- Under this key it is carried out, so that carrying it out again changes nothing.
    key text not null unique,
    book text not null,
    party text not null,
    loan text not null,
    words text not null,
    reason text not null,
    proposer integer not null references person (id),
    proposed_at integer not null,
    state text not null default 'open',
    decider integer references person (id),
    decided_at integer,
    outcome text not null default ''
) strict;
create index if not exists proposal_party on proposal (book, party, state, id);
create index if not exists proposal_loan on proposal (book, party, loan);
create table if not exists proposal_sale (
    proposal integer primary key references proposal (id),
    -- In days since 1970.
    value_date integer not null,
    -- True if it agrees to what the other side has instructed.
    agrees integer not null
) strict;
";

/// Proposals that are shown of those decided.
const SHOWN: usize = 100;

/// A proposal.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    id: i64,
    key: String,
    loan: String,
    words: String,
    reason: String,
    proposer: Doer,
    decider_name: Option<String>,
    state: String,
    outcome: String,
    /// Value date of a sale, and whether it agrees to what the other side has instructed.
    sale: Option<(Day, bool)>,
}

/// The columns of proposals. A sale that is approved waits for its other side (`unmatched`) until that
/// has instructed the same, or until it waits no more.
fn columns() -> String {
    format!(
        "proposal.id, proposal.key, loan, words, reason, other.name,
         case state when 'unmatched' then coalesce(
            (select case when book_key is null then 'unmatched' else 'done' end from sale where
             sale.book = proposal.book and sale.party = proposal.party and sale.key = proposal.key),
            'ended') else state end, outcome, value_date, agrees, {}
         from proposal join person one on one.id = proposer
         left join person other on other.id = decider
         left join proposal_sale on proposal_sale.proposal = proposal.id",
        Doer::COLUMNS
    )
}

impl Proposal {
    fn read(row: &Row) -> registry::Result<Proposal> {
        Ok(Proposal {
            id: row.get(0)?,
            key: row.get(1)?,
            loan: row.get(2)?,
            words: row.get(3)?,
            reason: row.get(4)?,
            decider_name: row.get(5)?,
            state: row.get(6)?,
            outcome: row.get(7)?,
            sale: match row.get::<Option<i32>>(8)? {
                Some(value_date) => Some((Day(value_date), row.get(9)?)),
                None => None,
            },
            proposer: Doer::read(row, 10)?,
        })
    }

    fn tone(&self) -> Tone {
        match self.state.as_str() {
            "done" => Tone::Good,
            "open" | "unmatched" => Tone::Warn,
            "refused" => Tone::Bad,
            _ => Tone::Plain,
        }
    }

    /// The loan, with its page; who agrees to buy of it may not see that yet.
    fn loan(&self) -> Cell {
        let loan = self.loan.clone();
        let buys = self.sale.is_some_and(|(_, agrees)| agrees);
        match buys && self.state != "done" {
            true => Cell::text(loan),
            false => Cell::Link(loan.clone(), super::loans::path(&loan)),
        }
    }

    /// True if it is this person's to decide on.
    fn is_for(&self, person: &Person) -> bool {
        person.roles.has(Role::Approver) && person.is_apart_from(&self.proposer)
    }

    /// True if somebody can still decide on it.
    fn is_open(&self) -> bool {
        matches!(self.state.as_str(), "open" | "approved")
    }

    /// What carries it out, if the party may do it; the error says what is wrong with it.
    fn order(&self, scope: &Scope<'_>) -> Result<Order, String> {
        let deed = Deed::read(&self.words, scope.agreement())?;
        deed.permit(scope)?;
        let application = self.loan.clone();
        let (key, book) = (self.key.clone(), scope.book);
        Ok(match deed {
            Deed::ChargeOff => Order::Command(Command::ChargeOff { application }),
            Deed::Reverse(of) => {
                let loan = book.loan(&self.loan).map(|(place, _)| place);
                let own = book.instruction(&of);
                if own.is_none_or(|(place, _)| Some(place) != loan) {
                    return Err(format!("loan `{application}` has no instruction `{of}`"));
                }
                Order::Command(Command::Reverse { key, of })
            }
            Deed::Does(Action::Transfer(sale)) => {
                let (value_date, agrees) = self.sale.unwrap_or((book.business_date(), false));
                Order::Sale(sales::Asked {
                    key,
                    loan: application,
                    sale,
                    value_date,
                    agrees,
                })
            }
            Deed::Does(action) => Order::Command(Command::Instruct(Instruction {
                key,
                application,
                value_date: book.business_date(),
                action,
            })),
        })
    }
}

/// What can be proposed.
pub(super) enum Deed {
    ChargeOff,
    /// Takes back the instruction with this key.
    Reverse(String),
    Does(Action),
}

impl Deed {
    /// What a form proposes: each field is read by itself.
    fn of(fields: &Fields, scope: &Scope<'_>) -> Result<Deed, String> {
        let get = |name| fields.get(name).trim();
        let rate = |name| {
            get(name)
                .parse()
                .map_err(|error| format!("{name}: {error}"))
        };
        Ok(match get("what") {
            "charge-off" => Deed::ChargeOff,
            "reverse" => Deed::Reverse(get("of").to_owned()),
            "waive" => Deed::Does(Action::Waive {
                component: words::waivable(get("component")).ok_or_else(|| {
                    let found = get("component");
                    format!("component: `{found}` is not waived; choose fee, penalty or interest")
                })?,
                amount: scope
                    .currency()
                    .amount(get("amount"))
                    .map_err(|error| format!("amount: {error}"))?,
            }),
            "sell" => Deed::Does(Action::Transfer(Sale {
                seller: scope.party,
                buyer: scope.agreement().party_id(get("buyer")).ok_or_else(|| {
                    let found = get("buyer");
                    format!("buyer: there is no party `{found}`; choose one of the agreement's")
                })?,
                part: rate("part")?,
                price: rate("price")?,
            })),
            other => {
                return Err(format!(
                    "`{other}` cannot be proposed; use a form of the loan"
                ));
            }
        })
    }

    /// Reads what [`Deed::words`] wrote.
    fn read(text: &str, agreement: &Agreement) -> Result<Deed, String> {
        if text == "charge-off" {
            return Ok(Deed::ChargeOff);
        }
        match text.strip_prefix("reverse ") {
            Some(of) => Ok(Deed::Reverse(of.to_owned())),
            None => words::parse(text, agreement).map(Deed::Does),
        }
    }

    fn words(&self, agreement: &Agreement) -> String {
        match self {
            Deed::ChargeOff => "charge-off".to_owned(),
            Deed::Reverse(of) => format!("reverse {of}"),
            Deed::Does(action) => words::write(action, agreement),
        }
    }

    /// Refuses what is not the party's to do.
    fn permit(&self, scope: &Scope<'_>) -> Result<(), String> {
        let action = match self {
            Deed::Does(action) => Some(action),
            Deed::ChargeOff | Deed::Reverse(_) => None,
        };
        permit(scope.seen(), action).map_err(|problem| problem.detail)
    }
}

/// Proposals about a loan.
pub(super) fn of_loan(signed: &Signed, loan: &str) -> Result<Vec<Proposal>, Fault> {
    find(
        signed,
        "book = ?3 and proposal.party = ?1 and loan = ?2 order by proposal.id desc",
        loan,
    )
}

fn find(signed: &Signed, tail: &str, value: &str) -> Result<Vec<Proposal>, Fault> {
    let text = format!("select {} where {tail}", columns());
    let values = values![&signed.person.party, value, signed.desk.name()];
    let registry = &signed.visit.console.registry;
    registry.read(|tables| Ok(tables.rows(&text, values, Proposal::read)?))
}

/// Number of proposals that wait for this person.
pub(super) fn waiting(console: &Console, book: &str, person: &Person) -> registry::Result<i64> {
    if !person.roles.has(Role::Approver) {
        return Ok(0);
    }
    let text = format!(
        "select {} where book = ?2 and proposal.party = ?1 and state = 'open'",
        columns()
    );
    let values = values![&person.party, book];
    let open = console
        .registry
        .read(|tables| tables.rows(&text, values, Proposal::read))?;
    let waiting = open.iter().filter(|one| one.is_for(person));
    Ok(waiting.count() as i64)
}

/// What can be proposed for a loan, and what was.
pub(super) fn offer(
    visit: &Visit,
    scope: &Scope<'_>,
    person: &Person,
    loan: &Loan,
    proposals: &[Proposal],
    events: &[EventRow],
    sheet: &mut Sheet<'_>,
) {
    if !proposals.is_empty() {
        let section = Section::new("proposals", visit.t("approval.of_loan"));
        sheet.section(section.with(Block::Table(table(visit, person, proposals, false))));
    }
    if !person.roles.has(Role::Operations) {
        return;
    }
    let key = scope.book.key_of(loan);
    let form = |what: &str, mut inputs: Vec<Input>| {
        inputs.insert(0, Input::hidden("what", what));
        inputs.insert(0, Input::hidden("loan", key));
        inputs.push(Input::new(
            "reason",
            visit.t("approval.reason"),
            "",
            InputKind::Text,
        ));
        Block::Form(Form {
            action: "/console/approvals".to_owned(),
            inputs,
            submit: visit.t("approval.propose").to_owned(),
        })
    };
    let active = loan.position.status == Status::Active;
    let agreement = scope.agreement();
    if scope.services() && active {
        let components = ["fee", "penalty", "interest"]
            .map(|name| (name.to_owned(), visit.word("component", name).to_owned()));
        sheet.section(
            Section::new("waive", visit.t("approval.waive"))
                .half()
                .folded()
                .with(form(
                    "waive",
                    vec![
                        Input::new(
                            "component",
                            visit.t("approval.component"),
                            "fee",
                            InputKind::Choice(components.to_vec()),
                        ),
                        Input::new(
                            "amount",
                            visit
                                .language
                                .fill("approval.amount", &[scope.currency().code()]),
                            "",
                            InputKind::Text,
                        ),
                    ],
                )),
        );
        sheet.section(
            Section::new("charge-off", visit.t("approval.charge_off"))
                .half()
                .folded()
                .with(Block::Text(visit.t("approval.charge_off_text").to_owned()))
                .with(form("charge-off", Vec::new())),
        );
    }
    let instructions: Vec<_> = events
        .iter()
        .rev()
        .filter_map(|row| match &row.event {
            Event::Instructed {
                key, transaction, ..
            } => {
                let words = words::write(&transaction.action, agreement);
                Some((key.clone(), format!("{} · {words} · {key}", row.day)))
            }
            _ => None,
        })
        .collect();
    if scope.services() && !instructions.is_empty() {
        let of = Input::new(
            "of",
            visit.t("approval.of"),
            "",
            InputKind::Choice(instructions),
        );
        let section = Section::new("reverse", visit.t("approval.reverse"))
            .half()
            .folded();
        sheet.section(section.with(form("reverse", vec![of])));
    }
    let own = loan
        .split(&scope.book.version_of(loan).agreement)
        .own(scope.party);
    if active && own.outstanding.is_positive() {
        let buyers = agreement.parties().filter(|(id, _)| *id != scope.party);
        let buyers = buyers.map(|(_, party)| (party.id.clone(), party.name.clone()));
        sheet.section(
            Section::new("sell", visit.t("approval.sell"))
                .half()
                .folded()
                .with(form(
                    "sell",
                    vec![
                        Input::new("part", visit.t("approval.part"), "100%", InputKind::Text),
                        Input::new(
                            "buyer",
                            visit.t("approval.buyer"),
                            "",
                            InputKind::Choice(buyers.collect()),
                        ),
                        Input::new("price", visit.t("approval.price"), "100%", InputKind::Text),
                    ],
                )),
        );
    }
}

fn table(visit: &Visit, person: &Person, proposals: &[Proposal], with_loan: bool) -> Table {
    let mut table = Table::new(&[
        (visit.t("ledger.loan"), ""),
        (visit.t("approval.what"), ""),
        (visit.t("approval.reason"), "?"),
        (visit.t("approval.proposer"), "?"),
        (visit.t("list.state"), ""),
        ("", ""),
    ])
    .empty(visit.t("approval.none"));
    for proposal in proposals {
        let mut people = vec![proposal.proposer.name.clone()];
        people.extend(proposal.decider_name.clone());
        let what = vec![proposal.words.clone(), proposal.outcome.clone()];
        table.row(vec![
            match with_loan {
                true => proposal.loan(),
                false => Cell::text(proposal.loan.clone()),
            },
            Cell::Lines(what.into_iter().filter(|line| !line.is_empty()).collect()),
            Cell::text(proposal.reason.clone()),
            Cell::Lines(people),
            Cell::Badge(
                proposal.tone(),
                visit.word("proposal", &proposal.state).to_owned(),
            ),
            act(visit, person, proposal),
        ]);
    }
    table
}

/// What this person can do with a proposal.
fn act(visit: &Visit, person: &Person, proposal: &Proposal) -> Cell {
    let path = |what: &str| format!("/console/approvals/{}/{what}", proposal.id);
    if !proposal.is_open() {
        return Cell::text("");
    }
    if proposal.proposer.id == person.id {
        let label = visit.t("approval.withdraw").to_owned();
        return Cell::Button(path("withdraw"), Vec::new(), label);
    }
    if !proposal.is_for(person) {
        return Cell::text("");
    }
    Cell::Link(
        visit.t("approval.decide").to_owned(),
        format!("/console/approvals/{}", proposal.id),
    )
}

pub(super) async fn list(signed: Signed) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let open = find(
        &signed,
        "book = ?3 and proposal.party = ?1 and state = ?2 order by proposal.id",
        "open",
    )?;
    let tail = format!(
        "book = ?3 and proposal.party = ?1 and state <> ?2 order by proposal.id desc limit {SHOWN}"
    );
    let decided = find(&signed, &tail, "open")?;
    let mut sheet = Sheet::new(visit, visit.t("nav.approvals"));
    sheet.lead = visit.t("approval.lead").to_owned();
    let section = Section::new("open", visit.t("approval.open"));
    sheet.section(section.with(Block::Table(table(visit, &signed.person, &open, true))));
    sheet.sections.extend(amendments::section(&signed, true)?);
    sheet.sections.extend(unmatched::section(&signed)?);
    let section = Section::new("decided", visit.t("approval.decided"));
    sheet.section(section.with(Block::Table(table(visit, &signed.person, &decided, true))));
    visit.page(&sheet)
}

/// A proposal of the person's party.
fn own(signed: &Signed, id: i64) -> Result<Proposal, Fault> {
    let text = format!(
        "select {} where book = ?3 and proposal.party = ?1 and proposal.id = ?2",
        columns()
    );
    let values = values![&signed.person.party, id, signed.desk.name()];
    let registry = &signed.visit.console.registry;
    let found = registry.read(|tables| tables.row(&text, values, Proposal::read))?;
    found.ok_or(Fault::NotFound)
}

pub(super) async fn show(signed: Signed, Path(id): Path<i64>) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let proposal = own(&signed, id)?;
    let mut sheet = Sheet::new(
        visit,
        visit.language.fill("approval.title", &[&proposal.loan]),
    )
    .below("nav.approvals", "/console/approvals");
    sheet.status = Some((
        proposal.tone(),
        visit.word("proposal", &proposal.state).to_owned(),
    ));
    let fact = |key: &str, cell| (visit.t(key).to_owned(), cell);
    let mut facts = vec![
        fact("ledger.loan", proposal.loan()),
        fact("approval.what", Cell::Code(proposal.words.clone())),
        fact("approval.reason", Cell::text(proposal.reason.clone())),
        fact(
            "approval.proposer",
            Cell::text(proposal.proposer.name.clone()),
        ),
    ];
    if let Some((value_date, _)) = proposal.sale {
        let day = Cell::text(value_date.to_string());
        facts.push(fact("approval.value_date", day));
    }
    if let Some(decider) = &proposal.decider_name {
        facts.push(fact("approval.decider", Cell::text(decider.clone())));
    }
    if !proposal.outcome.is_empty() {
        facts.push(fact(
            "approval.outcome",
            Cell::text(proposal.outcome.clone()),
        ));
    }
    sheet.add("facts", vec![Block::Facts(facts)]);
    if proposal.is_open() && proposal.proposer.id == signed.person.id {
        let text = visit.t("approval.own").to_owned();
        sheet.add("own", vec![Block::Notice(Tone::Warn, text)]);
    } else if proposal.is_open() && proposal.is_for(&signed.person) {
        let form = |what: &str, key: &str| {
            Block::Form(Form {
                action: format!("/console/approvals/{id}/{what}"),
                inputs: Vec::new(),
                submit: visit.t(key).to_owned(),
            })
        };
        let text = match proposal.sale {
            None => "approval.approve_text",
            Some((_, false)) => "approval.approve_sale_text",
            Some((_, true)) => "approval.approve_purchase_text",
        };
        sheet.section(
            Section::new("decide", visit.t("approval.decide"))
                .with(Block::Text(visit.t(text).to_owned()))
                .with(form("approve", "approval.approve"))
                .with(form("reject", "approval.reject")),
        );
    } else if proposal.is_open() && signed.person.roles.has(Role::Approver) {
        let text = not_apart(visit, &proposal.proposer);
        sheet.add("own", vec![Block::Notice(Tone::Warn, text)]);
    }
    visit.page(&sheet)
}

/// Why somebody cannot be the second pair of eyes for what another did.
pub(super) fn not_apart(visit: &Visit, other: &Doer) -> String {
    visit.language.fill("approval.not_apart", &[&other.name])
}

pub(super) async fn propose(signed: Signed, fields: Fields) -> Result<Response, Fault> {
    signed.must(&[Role::Operations])?;
    let loan = fields.get("loan");
    let deed = signed.look(|scope| {
        scope.loan(loan)?;
        Ok(Deed::of(&fields, scope))
    })?;
    match deed {
        Ok(deed) => add(&signed, loan, &deed, None, fields.get("reason")),
        Err(wrong) => refuse(&signed.visit, loan, wrong),
    }
}

/// Adds a proposal. One that agrees to what the other side of a sale has instructed has its value date.
pub(super) fn add(
    signed: &Signed,
    loan: &str,
    deed: &Deed,
    agreed: Option<Day>,
    reason: &str,
) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let key = crate::hex(&people::random::<12>());
    let proposal = signed.look(|scope| {
        deed.permit(scope).map_err(|_| Fault::Forbidden)?;
        let is_sale = matches!(deed, Deed::Does(Action::Transfer(_)));
        let value_date = agreed.unwrap_or(scope.book.business_date());
        let proposal = Proposal {
            id: 0,
            key: format!("console-{key}"),
            loan: loan.to_owned(),
            words: deed.words(scope.agreement()),
            reason: reason.trim().to_owned(),
            proposer: Doer::from(&signed.person),
            decider_name: None,
            state: String::new(),
            outcome: String::new(),
            sale: is_sale.then_some((value_date, agreed.is_some())),
        };
        let wrong = match proposal.order(scope) {
            Err(wrong) => Some(wrong),
            Ok(_) if proposal.reason.is_empty() => Some(visit.t("approval.no_reason").to_owned()),
            Ok(_) => None,
        };
        Ok(wrong.map_or(Ok(proposal), Err))
    })?;
    let proposal = match proposal {
        Ok(proposal) => proposal,
        Err(wrong) => return refuse(visit, loan, wrong),
    };
    visit.console.registry.change(|tables| {
        let id: i64 = tables.value(
            "insert into proposal (key, party, loan, words, reason, proposer, proposed_at, book)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) returning id",
            values![
                proposal.key,
                &signed.person.party,
                proposal.loan,
                proposal.words,
                proposal.reason,
                proposal.proposer.id,
                visit.console.now(),
                signed.desk.name()
            ],
        )?;
        if let Some((value_date, agrees)) = proposal.sale {
            let text =
                "insert into proposal_sale (proposal, value_date, agrees) values (?1, ?2, ?3)";
            tables.execute(text, values![id, value_date.0, agrees])?;
        }
        registry::Result::Ok(())
    })?;
    Ok(go("/console/approvals"))
}

/// Says what is wrong with a proposal.
fn refuse(visit: &Visit, loan: &str, wrong: String) -> Result<Response, Fault> {
    let mut sheet =
        Sheet::new(visit, visit.t("approval.refused")).below("nav.loans", super::loans::path(loan));
    sheet.add("wrong", vec![Block::Notice(Tone::Bad, wrong)]);
    visit.page_with(axum::http::StatusCode::UNPROCESSABLE_ENTITY, &sheet)
}

/// Decides on a proposal: `approve`, `reject` or `withdraw`.
pub(super) async fn decide(
    signed: Signed,
    Path((id, what)): Path<(i64, String)>,
    _: Fields,
) -> Result<Response, Fault> {
    let proposal = own(&signed, id)?;
    let is_own = proposal.proposer.id == signed.person.id;
    let state = match what.as_str() {
        "withdraw" if is_own => "withdrawn",
        "approve" | "reject" if !proposal.is_for(&signed.person) => {
            return Err(Fault::Forbidden);
        }
        "approve" => "approved",
        "reject" => "rejected",
        _ => return Err(Fault::NotFound),
    };
    let console = &signed.visit.console;
    let set = |from: &str, state: &str, outcome: &str| {
        console.registry.change(|tables| {
            tables.execute(
                "update proposal set state = ?3, decider = ?4, decided_at = ?5, outcome = ?6
                 where id = ?1 and state = ?2",
                values![id, from, state, signed.person.id, console.now(), outcome],
            )
        })
    };
    // One that was approved and not carried out, because the service stopped, is approved again.
    let again = state == "approved" && proposal.state == state;
    if !again && set("open", state, "")? == 0 {
        return Ok(go(&format!("/console/approvals/{id}")));
    }
    if state == "approved" {
        let (state, outcome) = match signed.look(|scope| Ok(proposal.order(scope)))? {
            Err(wrong) => ("refused", wrong),
            Ok(order) => match order.carry_out(&console.registry, &signed.view()).await {
                Ok(sales::Outcome::Carried(_)) => ("done", String::new()),
                Ok(sales::Outcome::Waits) => ("unmatched", String::new()),
                Err(problem) if problem.retryable => ("open", problem.detail),
                Err(problem) => ("refused", problem.detail),
            },
        };
        set("approved", state, &outcome)?;
        if state == "refused" {
            let mut answer = go(&format!("/console/approvals/{id}"));
            answer.extensions_mut().insert(audit::Refused);
            return Ok(answer);
        }
    }
    Ok(go(&format!("/console/approvals/{id}")))
}
