//! What is done to loans, in words that history and tables share.

use tandem_domain::agreement::{Component, Prepayment};
use tandem_domain::loan::{Action, Sale};
use tandem_domain::money::Currency;
use tandem_domain::party::{Party, PartyId};

/// A component of what a borrower owes, as people say it.
pub(crate) fn component(component: Component) -> &'static str {
    match component {
        Component::Fee => "fees",
        Component::Penalty => "penalty",
        Component::Interest => "interest",
        Component::Principal => "principal",
    }
}

/// What an action is, beyond its name and amount.
pub(crate) fn details(action: &Action, parties: &[Party], currency: Currency) -> Option<String> {
    Some(match *action {
        Action::Repay(_)
        | Action::Prepay(_, None)
        | Action::Settle(_)
        | Action::Draw(_)
        | Action::Refund(_)
        | Action::Chargeback(_)
        | Action::Credit(_)
        | Action::WriteOff(_) => return None,
        Action::Prepay(_, Some(effect)) => match effect {
            Prepayment::ShortenTerm => "the term gets shorter".to_owned(),
            Prepayment::ReduceInstalment => "the instalments get smaller".to_owned(),
            Prepayment::NextInstalments => "it pays the next instalments".to_owned(),
        },
        Action::ChargeOff { covered, at_most } => {
            let most = currency.show(at_most);
            format!("the guarantee covers {covered}, at most {most}")
        }
        Action::Waive { component: of, .. } => component(of).to_owned(),
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
            more => format!("with {} more", counted(more, "instalment")),
        },
        Action::ChangeRate(rate) => format!("to {rate}"),
        Action::Transfer(sale) => transfer(sale, parties),
    })
}

/// `river-bank sells 50.00% of its share to lake-bank at 99.00%`
pub(crate) fn transfer(sale: Sale, parties: &[Party]) -> String {
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
