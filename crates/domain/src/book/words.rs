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

use crate::agreement::{Agreement, Component, Prepayment};
use crate::loan::{Action, Sale};
use crate::money::{Amount, Money};
use crate::party::PartyId;

/// What an instruction can begin with; the last four are commands of their own.
const VERBS: &str = "pay, prepay, settle, draw, refund, chargeback, credit, write-off, waive, due, \
                     pause, re-age, re-amortise, rate, sell, reverse, charge-off, replace, fix";

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
                component: match *component {
                    "fee" => Component::Fee,
                    "penalty" => Component::Penalty,
                    "interest" => Component::Interest,
                    _ => return Err(self.wrong("waive fee, penalty or interest 120.00 CNY")),
                },
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
                "{written} is in {found}, but the loan is in {wanted}"
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
            ("pay 1.00 EUR", "1.00 EUR is in EUR, but the loan is in CNY"),
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
