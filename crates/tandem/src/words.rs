//! What is done to loans, in sentences for people. The commands that a user writes are read and
//! written by `tandem_domain::book::words`.

use tandem_domain::agreement::{Component, Prepayment};
use tandem_domain::loan::{Action, Sale};
use tandem_domain::money::Currency;
use tandem_domain::party::{Party, PartyId};

/// A component of what a borrower owes, as people say it.
fn component(component: Component) -> &'static str {
    match component {
        Component::Fee => "fees",
        Component::Penalty => "penalty",
        Component::Interest => "interest",
        Component::Principal => "principal",
    }
}

/// What an action is, at the beginning of a line.
pub(crate) fn title(action: &Action) -> &'static str {
    match action {
        Action::Repay(_) => "Payment",
        Action::Prepay(..) => "Prepayment",
        Action::ChargeOff { .. } => "Write-off",
        Action::Settle(_) => "Early settlement",
        Action::Draw(_) => "Draw",
        Action::Refund(_) => "Merchant’s refund",
        Action::Chargeback(_) => "Chargeback",
        Action::Waive { .. } => "Waiver",
        Action::Credit(_) => "Goodwill credit",
        Action::ChangeDueDate(_) => "Change of due date",
        Action::Pause { .. } => "Payment holiday",
        Action::ReAge { .. } => "Re-aging",
        Action::ReAmortise { .. } => "Re-amortisation",
        Action::ChangeRate(_) => "Change of rate",
        Action::WriteOff(_) => "Partial write-off",
        Action::Transfer(_) => "Sale of a share",
    }
}

/// An action's amount and what else it says.
pub(crate) fn in_words(action: &Action, parties: &[Party], currency: Currency) -> String {
    let amount = action.amount().map(|amount| currency.show(amount));
    if let (Action::Waive { component: of, .. }, Some(amount)) = (action, &amount) {
        return format!("{amount} of {}", component(*of));
    }
    let words: Vec<_> = amount
        .into_iter()
        .chain(details(action, parties, currency))
        .collect();
    words.join(", ")
}

/// What an action is, beyond its name and amount.
fn details(action: &Action, parties: &[Party], currency: Currency) -> Option<String> {
    Some(match *action {
        Action::Repay(_)
        | Action::Prepay(_, None)
        | Action::Settle(_)
        | Action::Draw(_)
        | Action::Refund(_)
        | Action::Chargeback(_)
        | Action::Credit(_)
        | Action::WriteOff(_)
        | Action::Waive { .. } => return None,
        Action::Prepay(_, Some(effect)) => match effect {
            Prepayment::ShortenTerm => "the term gets shorter".to_owned(),
            Prepayment::ReduceInstalment => "the instalments get smaller".to_owned(),
            Prepayment::NextInstalments => "it pays the next instalments".to_owned(),
        },
        Action::ChargeOff {
            covered, at_most, ..
        } => {
            let most = currency.show(at_most);
            format!("the guarantee covers {covered}, at most {most}")
        }
        Action::ChangeDueDate(to) => format!("to {to}"),
        Action::Pause { cycles, interest } => {
            let runs = if interest {
                "interest runs"
            } else {
                "no interest runs"
            };
            format!("{}, {runs}", counted(cycles, "cycle"))
        }
        Action::ReAge { more } | Action::ReAmortise { more } => match more {
            0 => "over the instalments that are left".to_owned(),
            1 => "with 1 more instalment".to_owned(),
            more => format!("with {more} more instalments"),
        },
        Action::ChangeRate(rate) => format!("to {rate}"),
        Action::Transfer(sale) => transfer(sale, parties),
    })
}

/// `river-bank sells 50.00% of its share to lake-bank at 99.00%`
fn transfer(sale: Sale, parties: &[Party]) -> String {
    let id = |party: PartyId| parties.get(party.index()).map_or("", |party| &party.id);
    let (seller, buyer) = (id(sale.seller), id(sale.buyer));
    let part = match sale.part {
        tandem_domain::money::Rate::ONE => "all".to_owned(),
        part => part.to_string(),
    };
    format!(
        "{seller} sells {part} of its share to {buyer} at {}",
        sale.price
    )
}

/// `1 cycle`, `2 cycles`
pub(crate) fn counted<N: std::fmt::Display + PartialEq + From<u8>>(count: N, what: &str) -> String {
    let plural = if count == N::from(1) { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Edits that lead from one text to the other (Levenshtein), small and large letters alike.
pub(crate) fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (place, character) in one.chars().flat_map(char::to_lowercase).enumerate() {
        let mut diagonal = row[0];
        row[0] = place + 1;
        for (at, &wanted) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(character != wanted);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        assert_eq!(distance("M-00012", "m-00021"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
