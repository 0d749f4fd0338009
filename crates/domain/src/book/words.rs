//! Instructions in words: how people write them, and how they are shown.
//!
//! | words | what is done |
//! |---|---|
//! | `pay 120.00 CNY` | the borrower pays |
//! | `prepay 120.00 CNY [shorten\|reduce\|next]` | the borrower pays ahead |
//! | `settle 120.00 CNY` | the borrower pays all that is left |
//! | `draw`, `refund`, `chargeback`, `credit`, `write-off 120.00 CNY` | more is paid out; the merchant gives back; the payer's bank takes back; goodwill; a part is given up |
//! | `waive fee\|penalty\|interest 120.00 CNY` | something due is given up |
//! | `due 2024-03-15` | the next due date moves |
//! | `pause 2 [interest]` | a payment holiday; interest goes on running or not |
//! | `re-age [3]`, `re-amortise [3]` | overdue is spread, or instalments made level; instalments are added |
//! | `rate 9%` | the rate changes |
//! | `sell 50% river trust 98%` | seller and buyer, and the price of the principal |
//! | `approve river 5000.00 CNY at 13%` | a person at a lender approves an application that it referred |
//! | `decline river R-DTI` | and declines it, with reasons of its policy |
//! | `slice 5000.00 CNY of 7.1 [for north] to hills` | room of a limit goes to another book |
//! | `slice 5000.00 CNY of 7.1 [for north] from hills on 2024-03-15` | and is received, with the day on which it was sent |

use super::Version;
use super::command::{Command, Slice, Underwriting};
use crate::agreement::{Agreement, Component, Prepayment};
use crate::calendar::Day;
use crate::loan::{Action, Sale};
use crate::money::{Amount, Money};
use crate::party::PartyId;
use crate::policy::Outcome;

/// What an instruction can begin with; the last seven are commands of their own.
const VERBS: &str = "pay, prepay, settle, draw, refund, chargeback, credit, write-off, waive, due, \
                     pause, re-age, re-amortise, rate, sell, reverse, charge-off, approve, \
                     decline, replace, fix, slice";

/// Reads an instruction; the error says what is wrong and what can be written.
pub fn parse(text: &str, agreement: &Agreement) -> Result<Action, String> {
    let words: Vec<_> = text.split_whitespace().collect();
    let Some((&verb, rest)) = words.split_first() else {
        return Err(format!("an instruction is empty; write one of {VERBS}"));
    };
    let reader = Reader {
        agreement,
        verb,
        rest,
    };
    reader.action()
}

struct Reader<'a> {
    agreement: &'a Agreement,
    verb: &'a str,
    rest: &'a [&'a str],
}

impl Reader<'_> {
    fn action(&self) -> Result<Action, String> {
        let of_amount = of_amount(self.verb);
        if let (Some(action), [amount @ .., currency]) = (of_amount, self.rest) {
            return Ok(action(self.money(amount, currency)?));
        }
        Ok(match (self.verb, self.rest) {
            ("prepay", [amount, currency]) => {
                Action::Prepay(self.money(&[amount], currency)?, None)
            }
            ("prepay", [amount, currency, effect]) => {
                let effect = match *effect {
                    "shorten" => Prepayment::ShortenTerm,
                    "reduce" => Prepayment::ReduceInstalment,
                    "next" => Prepayment::NextInstalments,
                    _ => return Err(self.wrong("prepay 120.00 CNY shorten, reduce or next")),
                };
                Action::Prepay(self.money(&[amount], currency)?, Some(effect))
            }
            ("waive", [component, amount, currency]) => Action::Waive {
                component: waivable(component)
                    .ok_or_else(|| self.wrong("waive fee, penalty or interest 120.00 CNY"))?,
                amount: self.money(&[amount], currency)?,
            },
            ("due", [day]) => Action::ChangeDueDate(day.parse().map_err(text)?),
            ("pause", [cycles]) => Action::Pause {
                cycles: self.number(cycles)?,
                interest: false,
            },
            ("pause", [cycles, "interest"]) => Action::Pause {
                cycles: self.number(cycles)?,
                interest: true,
            },
            ("re-age", []) => Action::ReAge { more: 0 },
            ("re-age", [more]) => Action::ReAge {
                more: self.number(more)?,
            },
            ("re-amortise", []) => Action::ReAmortise { more: 0 },
            ("re-amortise", [more]) => Action::ReAmortise {
                more: self.number(more)?,
            },
            ("rate", [rate]) => Action::ChangeRate(rate.parse().map_err(text)?),
            ("sell", [part, seller, buyer, price]) => Action::Transfer(Sale {
                seller: self.party(seller)?,
                buyer: self.party(buyer)?,
                part: part.parse().map_err(text)?,
                price: price.parse().map_err(text)?,
            }),
            (verb, _) if verb == "prepay" || of_amount.is_some() => {
                return Err(self.wrong(&format!("{verb} 120.00 CNY")));
            }
            ("waive", _) => return Err(self.wrong("waive interest 120.00 CNY")),
            ("due", _) => return Err(self.wrong("due 2024-03-15")),
            ("pause", _) => return Err(self.wrong("pause 2, or pause 2 interest")),
            ("re-age" | "re-amortise", _) => {
                return Err(self.wrong(&format!("{0}, or {0} 3", self.verb)));
            }
            ("rate", _) => return Err(self.wrong("rate 9%")),
            ("sell", _) => return Err(self.wrong("sell 50% seller buyer 98%")),
            (verb, _) => return Err(format!("`{verb}` is no instruction; write one of {VERBS}")),
        })
    }

    fn wrong(&self, example: &str) -> String {
        let found = self.rest.join(" ");
        format!(
            "`{} {found}` cannot be read; write for example `{example}`",
            self.verb
        )
    }

    fn money(&self, amount: &[&str], currency: &str) -> Result<Amount, String> {
        let written = format!("{} {currency}", amount.join(" "));
        let money: Money = written.trim().parse().map_err(text)?;
        let wanted = self.agreement.currency();
        if money.currency != wanted {
            let found = money.currency;
            return Err(format!(
                "{written} is in {found}, but the agreement is in {wanted}"
            ));
        }
        Ok(money.amount)
    }

    fn number<T: std::str::FromStr>(&self, written: &str) -> Result<T, String> {
        let message = |_| format!("`{written}` is not a whole number that fits here");
        written.parse().map_err(message)
    }

    fn party(&self, id: &str) -> Result<PartyId, String> {
        self.agreement.party_id(id).ok_or_else(|| {
            let known = self.agreement.parties().map(|(_, party)| party.id.as_str());
            let known: Vec<_> = known.collect();
            format!("there is no party `{id}`; there are {}", known.join(", "))
        })
    }
}

/// Reads what a person at a lender decides on an application under a version: `approve river 5000.00 CNY
/// at 13%`, or `decline river R-DTI`.
pub fn underwriting(text: &str, application: &str, version: &Version) -> Result<Command, String> {
    let words: Vec<_> = text.split_whitespace().collect();
    let reader = Reader {
        agreement: &version.agreement,
        verb: words.first().copied().unwrap_or_default(),
        rest: words.get(1..).unwrap_or_default(),
    };
    let (lender, outcome) = match (reader.verb, reader.rest) {
        ("approve", [lender, amount @ .., currency, "at", rate]) if !amount.is_empty() => {
            let maximum = reader.money(amount, currency)?;
            let rate = rate.parse().map_err(self::text)?;
            (lender, Outcome::Approve { maximum, rate })
        }
        ("approve", _) => return Err(reader.wrong("approve river 5000.00 CNY at 13%")),
        (_, [lender, codes @ ..]) if !codes.is_empty() => {
            let mut policies = version.policies.iter();
            let policy = policies.find(|policy| policy.file.lender == **lender);
            let place = |code: &&str| {
                let place = policy.and_then(|policy| policy.reason(code));
                place.ok_or_else(|| format!("the policy of `{lender}` has no reason `{code}`"))
            };
            let places: Result<_, _> = codes.iter().map(place).collect();
            (lender, Outcome::Decline(places?))
        }
        _ => return Err(reader.wrong("decline river R-DTI")),
    };
    Ok(Command::Underwrite(Underwriting {
        application: application.to_owned(),
        lender: (*lender).to_owned(),
        outcome,
    }))
}

/// Reads a slice of a limit, with the word `slice` before it.
pub fn slice(text: &str, key: &str, agreement: &Agreement) -> Result<Command, String> {
    let words: Vec<_> = text.split_whitespace().collect();
    let reader = Reader {
        agreement,
        verb: "slice",
        rest: words.get(1..).unwrap_or_default(),
    };
    let wrong = || {
        let to = "slice 5000.00 CNY of 7.1 to hills";
        Err(reader.wrong(&format!("{to}, or … from hills on 2024-03-15")))
    };
    let (rest, book, sent_on) = match reader.rest {
        [rest @ .., "to", book] => (rest, book, None),
        [rest @ .., "from", book, "on", day] => {
            (rest, book, Some(day.parse().map_err(self::text)?))
        }
        _ => return wrong(),
    };
    let Some(of) = rest
        .iter()
        .position(|&word| word == "of")
        .filter(|&of| of > 0)
    else {
        return wrong();
    };
    // What is before the first `for` names a clause, or all of it does.
    let (clause, subject) = (rest[of + 1..].iter().position(|&word| word == "for")).map_or(
        (&rest[of + 1..], None),
        |at| {
            let (clause, subject) = rest[of + 1..].split_at(at);
            (clause, Some(subject[1..].join(" ")))
        },
    );
    let slice = Slice {
        key: key.to_owned(),
        clause: clause.join(" "),
        subject,
        book: (*book).to_owned(),
        amount: reader.money(&rest[..of - 1], rest[of - 1])?,
    };
    Ok(match sent_on {
        None => Command::SendSlice(slice),
        Some(sent_on) => Command::ReceiveSlice { slice, sent_on },
    })
}

/// A slice as [`slice()`] reads it; with the day on which it was sent if it is received.
pub fn write_slice(slice: &Slice, sent_on: Option<Day>, agreement: &Agreement) -> String {
    let (amount, currency) = (slice.amount, agreement.currency());
    let amount = Money { amount, currency };
    let (clause, book) = (&slice.clause, &slice.book);
    let subject = slice.subject.as_ref();
    let subject = subject.map_or(String::new(), |subject| format!(" for {subject}"));
    match sent_on {
        None => format!("slice {amount} of {clause}{subject} to {book}"),
        Some(day) => format!("slice {amount} of {clause}{subject} from {book} on {day}"),
    }
}

/// What can be waived, by its name.
pub fn waivable(name: &str) -> Option<Component> {
    Some(match name {
        "fee" => Component::Fee,
        "penalty" => Component::Penalty,
        "interest" => Component::Interest,
        _ => return None,
    })
}

/// The action of a verb that takes an amount and nothing else.
fn of_amount(verb: &str) -> Option<fn(Amount) -> Action> {
    Some(match verb {
        "pay" => Action::Repay,
        "settle" => Action::Settle,
        "draw" => Action::Draw,
        "refund" => Action::Refund,
        "chargeback" => Action::Chargeback,
        "credit" => Action::Credit,
        "write-off" => Action::WriteOff,
        _ => return None,
    })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// An action as [`parse`] reads it. A charge-off, which is a command of its own, is `charge-off`.
pub fn write(action: &Action, agreement: &Agreement) -> String {
    let money = |verb: &str, amount: Amount| {
        let currency = agreement.currency();
        format!("{verb} {}", Money { amount, currency })
    };
    let more = |verb: &str, more: u16| match more {
        0 => verb.to_owned(),
        more => format!("{verb} {more}"),
    };
    match *action {
        Action::Repay(amount) => money("pay", amount),
        Action::Prepay(amount, effect) => {
            let effect = match effect {
                None => "",
                Some(Prepayment::ShortenTerm) => " shorten",
                Some(Prepayment::ReduceInstalment) => " reduce",
                Some(Prepayment::NextInstalments) => " next",
            };
            money("prepay", amount) + effect
        }
        Action::ChargeOff { .. } => "charge-off".to_owned(),
        Action::Settle(amount) => money("settle", amount),
        Action::Draw(amount) => money("draw", amount),
        Action::Refund(amount) => money("refund", amount),
        Action::Chargeback(amount) => money("chargeback", amount),
        Action::Credit(amount) => money("credit", amount),
        Action::WriteOff(amount) => money("write-off", amount),
        Action::Waive { component, amount } => match component {
            Component::Fee => money("waive fee", amount),
            Component::Penalty => money("waive penalty", amount),
            Component::Interest => money("waive interest", amount),
            Component::Principal => money("waive principal", amount),
        },
        Action::ChangeDueDate(to) => format!("due {to}"),
        Action::Pause { cycles, interest } => {
            format!("pause {cycles}{}", if interest { " interest" } else { "" })
        }
        Action::ReAge { more: count } => more("re-age", count),
        Action::ReAmortise { more: count } => more("re-amortise", count),
        Action::ChangeRate(rate) => format!("rate {rate}"),
        Action::Transfer(Sale {
            seller,
            buyer,
            part,
            price,
        }) => {
            let name = |party: PartyId| &agreement.party(party).id;
            format!("sell {part} {} {} {price}", name(seller), name(buyer))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreement() -> Agreement {
        Agreement::parse(include_str!("../../tests/data/agreement.toml")).expect("it is valid")
    }

    #[test]
    fn what_is_written_is_read() {
        let agreement = agreement();
        for text in [
            "pay 120.00 CNY",
            "prepay 120.00 CNY",
            "prepay 0.01 CNY next",
            "settle 1.50 CNY",
            "draw 500.00 CNY",
            "refund 500.00 CNY",
            "chargeback 500.00 CNY",
            "credit 500.00 CNY",
            "write-off 500.00 CNY",
            "waive penalty 5.00 CNY",
            "due 2024-03-15",
            "pause 2",
            "pause 2 interest",
            "re-age",
            "re-age 3",
            "re-amortise 12",
            "rate 9.00%",
            "sell 50.00% river trust 98.50%",
        ] {
            let action = parse(text, &agreement).expect("it can be read");
            assert_eq!(write(&action, &agreement), text);
        }
    }

    #[test]
    fn slices_are_read_as_they_are_written() {
        let agreement = agreement();
        for text in [
            "slice 5,000.00 CNY of 7.1 to hills",
            "slice 0.01 CNY of schedule 2, row 3 for the far north to hills",
            "slice 5,000.00 CNY of 7.1 from hills on 2024-03-15",
            "slice 5,000.00 CNY of 7.1 for ann from hills on 2024-03-15",
        ] {
            let (slice, sent_on) = match slice(text, "K", &agreement) {
                Ok(Command::SendSlice(slice)) => (slice, None),
                Ok(Command::ReceiveSlice { slice, sent_on }) => (slice, Some(sent_on)),
                other => panic!("{text}: {other:?}"),
            };
            assert_eq!(slice.key, "K");
            assert_eq!(write_slice(&slice, sent_on, &agreement), text);
        }
        let example = "cannot be read; write for example `slice 5000.00 CNY of 7.1 to hills, or … \
                       from hills on 2024-03-15`";
        for (text, expected) in [
            ("slice", format!("`slice ` {example}")),
            (
                "slice of 7.1 to hills",
                format!("`slice of 7.1 to hills` {example}"),
            ),
            (
                "slice 5.00 CNY of 7.1 from hills",
                format!("`slice 5.00 CNY of 7.1 from hills` {example}"),
            ),
            (
                "slice 5.00 EUR of 7.1 to hills",
                "5.00 EUR is in EUR, but the agreement is in CNY".to_owned(),
            ),
        ] {
            let error = slice(text, "K", &agreement).expect_err("it cannot be read");
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn what_cannot_be_read_is_explained() {
        let agreement = agreement();
        for (text, expected) in [
            ("", "an instruction is empty; write one of"),
            (
                "forgive 1.00 CNY",
                "`forgive` is no instruction; write one of pay, prepay",
            ),
            (
                "pay",
                "`pay ` cannot be read; write for example `pay 120.00 CNY`",
            ),
            (
                "pay 1.00 EUR",
                "1.00 EUR is in EUR, but the agreement is in CNY",
            ),
            (
                "prepay 1.00 CNY twice",
                "`prepay 1.00 CNY twice` cannot be read",
            ),
            (
                "waive rent 1.00 CNY",
                "`waive rent 1.00 CNY` cannot be read",
            ),
            ("pause long", "`long` is not a whole number that fits here"),
            ("due tomorrow", "`tomorrow` is not a date"),
            (
                "sell 50% river fund 98%",
                "there is no party `fund`; there are river, cloud",
            ),
        ] {
            let error = parse(text, &agreement).expect_err("it cannot be read");
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
