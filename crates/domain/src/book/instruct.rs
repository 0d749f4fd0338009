//! Deciding what is done to a loan: every instruction is tried against the loan as it stood at
//! its value date, and refused for one precise reason.

use super::command::{Answer, Instruction, Refusal, Replacement};
use super::decide::{INSTRUCTION_KEY, Ready, check_key, check_text};
use super::event::Event;
use super::hashes::{Hashes, digest};
use super::keys::KeyHash;
use super::{Book, Loan, Rooms, Spent, Version};
use crate::agreement::{Amortisation, Component};
use crate::calendar::Day;
use crate::ledger::Entry;
use crate::loan::{Action, Position, Sale, Split, Status, Terms, Timeline, Transaction, evaluate};
use crate::money::{Amount, Money, Rate};
use crate::party::{PartyId, PartyKind};

/// Most instalments that can be added to a loan at once.
const MOST_INSTALMENTS: u16 = 480;
/// Highest price of a share that is sold.
const HIGHEST_PRICE: Rate = Rate(2 * Rate::ONE.0);

impl Book {
    /// Why an instruction would be refused if it were carried out now.
    pub fn can_instruct(&self, instruction: Instruction) -> Result<(), Refusal> {
        let hashes = Hashes::of_instruction(&instruction);
        let decided = self.decide_instruction(instruction, hashes, &mut Rooms::default());
        decided.map(drop)
    }

    pub(super) fn decide_instruction(
        &self,
        instruction: Instruction,
        hashes: Hashes,
        rooms: &mut Rooms,
    ) -> Result<Option<(Event, Ready)>, Refusal> {
        let Instruction {
            key,
            application,
            value_date,
            action,
        } = instruction;
        check_key(&key, INSTRUCTION_KEY)?;
        if action
            .amount()
            .is_some_and(|amount| !amount.is_positive() || amount > Amount::MAX)
        {
            return Err(Refusal::BadAmount);
        }
        if self.was_carried_out(&key, hashes)? {
            return Ok(None);
        }
        let place = self.loan_of(&application, hashes.other)?;
        let mut loan = self.loan_into(rooms.take(), place);
        if value_date < loan.disbursed_on {
            return Err(Refusal::BeforeDisbursement {
                value_date,
                disbursed_on: loan.disbursed_on,
            });
        }
        if value_date > self.business_date {
            return Err(Refusal::InFuture {
                value_date,
                business_date: self.business_date,
            });
        }
        let transaction = Transaction {
            day: value_date,
            action,
            number: loan.entered + 1,
        };
        let attempt = |loan: &Loan, now: &Position, at: &Position| {
            let attempt = Attempt {
                book: self,
                version: self.version_of(loan),
                loan,
                now,
                application: &application,
                day: value_date,
                at,
                terms: self.terms(loan),
            };
            attempt.check(action)
        };
        let was = if self.is_next(&loan, value_date) {
            // It is tried on the way to where it leads.
            let was = loan.position.copied(rooms.take());
            let terms = self.terms(&loan);
            loan.position.advance(&terms, value_date);
            attempt(&loan, &was, &loan.position)?;
            loan.position.transact(&terms, transaction);
            was
        } else {
            attempt(&loan, &loan.position, &self.position_on(&loan, value_date))?;
            self.transact(&mut loan, transaction, rooms)
        };
        let event = Event::Instructed {
            key,
            body: hashes.body,
            loan: place,
            transaction,
            change: loan.position.totals.since(&was.totals),
        };
        Ok(Some((event, Ready { loan, was })))
    }

    /// True if the same was carried out before under this key.
    fn was_carried_out(&self, key: &str, hashes: Hashes) -> Result<bool, Refusal> {
        let Some((place, known)) = self.carried(hashes.key) else {
            return Ok(false);
        };
        let known = match known {
            Carried::Spent(spent) => spent.body,
            Carried::Stands(done) => {
                digest(&(self.key_of(&self.loan_in(place)), done.day, done.action))
            }
        };
        match known == hashes.body {
            true => Ok(true),
            false => Err(Refusal::KeyUsed(key.to_owned())),
        }
    }

    /// What was done under a key, and to which loan.
    pub(super) fn carried(&self, hash: KeyHash) -> Option<(u32, Carried)> {
        let mut found = None;
        let place = self.instructions.find(hash, |place| {
            found = self.done_under(place, hash.rest);
            found.is_some()
        })?;
        found.map(|done| (place, done))
    }

    fn done_under(&self, place: u32, key: u32) -> Option<Carried> {
        let loan = self.loan_at(place)?;
        let mut stands = loan.history.newest_first();
        let stands = stands.find(|(_, of)| *of == Some(key));
        let spent = self.spent.get(&place).into_iter().flatten();
        stands.map(|(done, _)| Carried::Stands(done)).or_else(|| {
            spent
                .copied()
                .find(|spent| spent.key == key)
                .map(Carried::Spent)
        })
    }

    /// A loan as it stood at the end of a day, by all that is known now.
    pub fn position_on(&self, loan: &Loan, day: Day) -> Position {
        let terms = self.terms(loan);
        let last = loan.history.last_day();
        if last.is_none_or(|last| last <= day) && day >= self.business_date.previous() {
            let mut position = loan.position.clone();
            position.advance(&terms, day);
            return position;
        }
        let history = loan.history.transactions();
        let known = history.partition_point(|earlier| earlier.day <= day);
        evaluate(&terms, &history[..known], day)
    }

    pub(super) fn decide_reversal(
        &self,
        key: String,
        of: &str,
        hashes: Hashes,
    ) -> Result<Option<Event>, Refusal> {
        check_key(&key, INSTRUCTION_KEY)?;
        if self.was_carried_out(&key, hashes)? {
            return Ok(None);
        }
        let reversed = hashes.other;
        let Some((place, carried)) = self.carried(reversed) else {
            let is_archived = |place| self.is_archived(place);
            return Err(match self.instructions.find(reversed, is_archived) {
                Some(_) => Refusal::InstructionArchived(of.to_owned()),
                None => Refusal::UnknownInstruction(of.to_owned()),
            });
        };
        let Carried::Stands(Transaction { number, .. }) = carried else {
            return Err(Refusal::NotReversible(of.to_owned()));
        };
        let loan = &self.loan_in(place);
        let without = self.without(loan, number);
        Ok(Some(Event::Reversed {
            key,
            body: hashes.body,
            loan: place,
            number,
            change: without.totals.since(&loan.position.totals),
        }))
    }

    /// A loan's position without one of its transactions.
    pub(super) fn without(&self, loan: &Loan, number: u32) -> Position {
        let mut history = loan.history.transactions();
        history.retain(|known| known.number != number);
        evaluate(&self.terms(loan), &history, self.business_date.previous())
    }

    pub(super) fn decide_fixing(
        &self,
        index: String,
        day: Day,
        rate: Rate,
    ) -> Result<Option<Event>, Refusal> {
        check_text("index", &index)?;
        within("a reference rate", rate, Rate(-Rate::ONE.0), Rate::ONE)?;
        let known = self.fixings(&index).last();
        if known.is_some_and(|last| last.day == day && last.rate == rate) {
            return Ok(None);
        }
        let late = day < self.business_date && self.loan_count() > 0;
        if late || known.is_some_and(|last| last.day >= day) {
            let business_date = self.business_date;
            return Err(Refusal::LateFixing {
                index,
                day,
                business_date,
            });
        }
        Ok(Some(Event::Fixed { index, day, rate }))
    }

    /// Sells all that a lender holds, loan by loan. What was sold before is left out, so that an
    /// interrupted replacement can be sent again.
    pub(super) fn replace_lender(
        &mut self,
        replacement: &Replacement,
        events: &mut Vec<Event>,
        entries: &mut impl FnMut(&Entry),
    ) -> Result<Answer, Refusal> {
        let version = self.latest().ok_or(Refusal::NotSigned)?;
        let party = |id: &str, what| {
            let found = version.agreement.party_id(id);
            found.ok_or_else(|| Refusal::BadParty {
                party: id.to_owned(),
                what,
            })
        };
        let sale = Sale {
            seller: party(&replacement.seller, NOT_A_PARTY)?,
            buyer: party(&replacement.buyer, NOT_A_PARTY)?,
            part: Rate::ONE,
            price: replacement.price,
        };
        // All are tried before the first is carried out.
        let decided = self.held_by(sale.seller).map(|place| {
            let application = self.key_of(&self.loan_in(place)).to_owned();
            let key = format!("{}/{application}", replacement.key);
            let instruction = Instruction {
                key,
                application,
                value_date: self.business_date,
                action: Action::Transfer(sale),
            };
            let hashes = Hashes::of_instruction(&instruction);
            self.decide_instruction(instruction, hashes, &mut Rooms::default())
        });
        let decided: Vec<_> = decided.collect::<Result<_, _>>()?;
        let mut answer = Answer::Known;
        for (event, _) in decided.into_iter().flatten() {
            self.apply(&event, entries);
            events.push(event);
            answer = Answer::Done;
        }
        Ok(answer)
    }

    /// The steps of a loan under a version that is disbursed on the business date, if they are known.
    pub(super) fn timeline(&self, version: u16, months: u16) -> Option<&Timeline> {
        let key = (version, self.business_date, months);
        let place = self.series_places.get(&key)?;
        Some(&self.series[*place as usize].timeline)
    }
}

/// What was done under a key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Carried {
    /// A transaction of the loan.
    Stands(Transaction),
    /// Nothing that counts any more, or a reversal.
    Spent(Spent),
}

impl Carried {
    /// Number of the transaction within the loan; zero for a reversal.
    pub(super) fn number(self) -> u32 {
        match self {
            Carried::Stands(done) => done.number,
            Carried::Spent(spent) => spent.number,
        }
    }
}

const NOT_A_PARTY: &str = "be found among the parties; sign an amendment that adds it";

/// An instruction that is tried.
struct Attempt<'a> {
    book: &'a Book,
    version: &'a Version,
    loan: &'a Loan,
    /// The loan as it stands.
    now: &'a Position,
    application: &'a str,
    day: Day,
    /// The loan at the end of the value date, without the instruction.
    at: &'a Position,
    terms: Terms<'a>,
}

impl Attempt<'_> {
    fn check(&self, action: Action) -> Result<(), Refusal> {
        let product = self.terms.product;
        let status = self.at.status;
        let payment = matches!(
            action,
            Action::Repay(_) | Action::Prepay(..) | Action::Refund(_) | Action::Chargeback(_)
        );
        match status {
            // A payment that belongs before what repaid the loan evaluates it anew.
            Status::Repaid if !matches!(action, Action::Chargeback(_)) => {
                return Err(Refusal::LoanRepaid(self.application.to_owned()));
            }
            Status::ChargedOff if !payment => {
                return Err(Refusal::LoanChargedOff(self.application.to_owned()));
            }
            _ => {}
        }
        let name = action.name();
        let not_possible = |reason| {
            Err(Refusal::NotPossible {
                action: name,
                reason,
            })
        };
        match action {
            Action::Repay(_) | Action::Prepay(..) | Action::Refund(_) => Ok(()),
            Action::ChargeOff { .. } => not_possible("write the loan off by its own command"),
            Action::Settle(amount) => {
                let payoff = self.at.payoff(&self.terms, self.day).total();
                if amount < payoff {
                    return Err(Refusal::ShortOfPayoff {
                        amount: self.money(amount),
                        payoff: self.money(payoff),
                        day: self.day,
                    });
                }
                Ok(())
            }
            Action::Draw(amount) => {
                // What was drawn later counts as well.
                let undrawn = |position| self.loan.undrawn(position, &self.version.agreement);
                let undrawn = undrawn(self.at).min(undrawn(self.now));
                if self.loan.committed() == self.loan.principal
                    && product.amortisation != Amortisation::Revolving
                {
                    return not_possible("the loan was paid out in full at once; offer a new loan");
                }
                if self.at.timeline(&self.terms).end() <= self.day {
                    return not_possible("the last instalment has fallen due; offer a new loan");
                }
                self.at_most(amount, "what is left to draw", undrawn)
            }
            Action::Chargeback(amount) => {
                let totals = &self.at.totals;
                let kept = totals.received - totals.refunded;
                self.at_most(amount, "what was received and not given back", kept)
            }
            Action::Waive { component, amount } => {
                let payoff = self.at.payoff(&self.terms, self.day);
                let accrued = self.at.accrued(&self.terms, self.day);
                match component {
                    Component::Fee => self.at_most(amount, "the fees due", payoff.fees),
                    Component::Penalty => self.at_most(amount, "the penalty", payoff.penalty),
                    Component::Interest => {
                        let due = payoff.interest.saturating_less(accrued);
                        self.at_most(amount, "the interest due", due)
                    }
                    Component::Principal => not_possible("principal is not waived; write it off"),
                }
            }
            Action::Credit(amount) => {
                let payoff = self.at.payoff(&self.terms, self.day);
                self.at_most(amount, "what is owed", payoff.without_prepayment_fee())
            }
            Action::WriteOff(amount) => {
                let outstanding = self.at.outstanding();
                if amount == outstanding {
                    return not_possible(
                        "it is all that is outstanding; write the loan off by its own command",
                    );
                }
                self.at_most(amount, "the principal outstanding", outstanding)
            }
            Action::ChangeDueDate(to) => {
                let due = self.next_due(name)?;
                let steps = &self.at.timeline(&self.terms).steps;
                let place = usize::from(self.at.contract.next);
                let before = place
                    .checked_sub(1)
                    .map_or(self.day, |place| steps[place].day);
                let after = before.max(self.day);
                if to <= after || to > product.after(due, 1) {
                    return Err(Refusal::BadDueDate { due, to, after });
                }
                Ok(())
            }
            Action::Pause { cycles, .. } => {
                self.next_due(name)?;
                match cycles {
                    1..=24 => Ok(()),
                    _ => not_possible("a payment holiday has 1 to 24 cycles; send so many"),
                }
            }
            Action::ReAge { more } => {
                if self.at.behind_since().is_none_or(|since| since >= self.day) {
                    return not_possible(
                        "nothing is overdue; re-amortise to change what is to come",
                    );
                }
                self.more(name, more)
            }
            Action::ReAmortise { more } => {
                if !self.at.contract.principal.is_positive() {
                    return not_possible("all principal is due already; re-age the loan");
                }
                self.more(name, more)
            }
            Action::ChangeRate(rate) => within("a rate", rate, Rate::ZERO, Rate::ONE),
            Action::Transfer(sale) => self.check_sale(sale),
        }
    }

    fn check_sale(&self, sale: Sale) -> Result<(), Refusal> {
        let latest = self
            .book
            .latest()
            .map_or(&self.version.agreement, |latest| &latest.agreement);
        let bad = |party: PartyId, what| {
            let known = latest.file.party.get(party.index());
            Err(Refusal::BadParty {
                party: known.map_or_else(|| party.0.to_string(), |party| party.id.clone()),
                what,
            })
        };
        let agreement = &self.version.agreement;
        let split = Split::of(self.at, self.loan.principal, &self.loan.parts, agreement);
        if !split.own(sale.seller).outstanding.is_positive() {
            return bad(
                sale.seller,
                "sell: it holds nothing of the loan on that day; name a holder",
            );
        }
        if sale.buyer == sale.seller {
            return bad(sale.buyer, "buy from itself; name another party");
        }
        match latest
            .file
            .party
            .get(sale.buyer.index())
            .map(|party| party.kind)
        {
            None => return bad(sale.buyer, NOT_A_PARTY),
            Some(PartyKind::Platform | PartyKind::Guarantor) => {
                return bad(
                    sale.buyer,
                    "buy: it is not a lender by its kind; name a lender",
                );
            }
            Some(_) => {}
        }
        within("a part", sale.part, Rate(1), Rate::ONE)?;
        within("a price", sale.price, Rate::ZERO, HIGHEST_PRICE)
    }

    fn money(&self, amount: Amount) -> Money {
        Money {
            amount,
            currency: self.version.agreement.currency(),
        }
    }

    fn at_most(&self, amount: Amount, what: &'static str, most: Amount) -> Result<(), Refusal> {
        if amount <= most {
            return Ok(());
        }
        Err(Refusal::TooMuch {
            amount: self.money(amount),
            what,
            most: self.money(most),
            day: self.day,
        })
    }

    fn next_due(&self, action: &'static str) -> Result<Day, Refusal> {
        self.at.next_due(&self.terms).ok_or(Refusal::NotPossible {
            action,
            reason: "the last instalment has fallen due; re-age what is overdue",
        })
    }

    fn more(&self, action: &'static str, more: u16) -> Result<(), Refusal> {
        let not_possible = |reason| Err(Refusal::NotPossible { action, reason });
        if more > MOST_INSTALMENTS {
            return not_possible("at most 480 instalments can be added at once; add fewer");
        }
        if more == 0 && self.at.timeline(&self.terms).end() <= self.day {
            return not_possible("the last instalment has fallen due; add instalments");
        }
        Ok(())
    }
}

fn within(what: &'static str, rate: Rate, least: Rate, most: Rate) -> Result<(), Refusal> {
    if (least..=most).contains(&rate) {
        return Ok(());
    }
    Err(Refusal::BadRate {
        what,
        rate,
        least,
        most,
    })
}
