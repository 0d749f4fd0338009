//! Where the loan stands at the end, and every posting that it made.

use std::fmt::Write as _;

use tandem_domain::book::{Book, Loan};
use tandem_domain::loan::{Split, Status};
use tandem_domain::money::Amount;

use super::parties::{PartyTable, Row};
use super::story::{INDENT, Story};
use crate::export::grid::Grid;

impl Story<'_> {
    /// Where the loan stands at the end of the journal.
    pub(super) fn position(&mut self, loan: &Loan, book: &Book) {
        let agreement = &book.version_of(loan).agreement;
        let (currency, today) = (agreement.currency(), book.business_date());
        let position = &loan.position;
        match position.status {
            Status::Repaid => self.event(today, "Position: repaid"),
            Status::ChargedOff => self.event(today, "Position: written off"),
            Status::Active => {
                let mut then = position.clone();
                let terms = book.terms(loan);
                then.advance(&terms, today);
                let payoff = currency.show(then.payoff(&terms, today).total());
                self.event(
                    today,
                    format_args!("Position: active; {payoff} would repay it today"),
                );
                if !position.due.is_empty() {
                    let with_fee = position.due.iter().any(|due| !due.instalment_fee.is_zero());
                    let fee = with_fee.then(|| "fee".to_owned());
                    let head = ["unpaid since", "principal", "interest", "late fee"];
                    let mut grid = Grid::new(1, head.map(str::to_owned).into_iter().chain(fee));
                    for due in &position.due {
                        let [principal, interest, late, fee] =
                            [due.principal, due.interest, due.fee, due.instalment_fee]
                                .map(|amount| currency.grouped(amount));
                        let cells = [due.day.to_string(), principal, interest, late];
                        grid.row(cells.into_iter().chain(with_fee.then_some(fee)));
                    }
                    self.grid(&grid);
                    self.blank();
                }
            }
        }
        let split = loan.split(agreement);
        let mut table = PartyTable::of(&position.totals, &Split::default(), &split, agreement);
        let mut funded = Row::new("funded", loan.principal + position.totals.drawn);
        let mut outstanding = Row::new("outstanding", position.outstanding());
        for party in split.holders.iter() {
            let own = split.own(party);
            funded.parties[party.index()] = own.disbursed;
            outstanding.parties[party.index()] = own.outstanding;
        }
        // What was drawn is in what was funded.
        table.rows[0] = funded;
        table.rows.retain(|row| !row.is_empty());
        table.rows.push(outstanding);
        self.grid(&table.grid(agreement));
    }

    /// Every posting that the loan made.
    pub(super) fn postings(&mut self, book: &Book) {
        let Some(agreement) = book.latest().map(|version| &version.agreement) else {
            return;
        };
        let mut grid = Grid::new(3, ["party", "", "account", "debit", "credit"]);
        let mut heads = vec![Some("\nPostings".to_owned())];
        for entry in &self.entries {
            let mut head = Some(format!(
                "{}  entry {}, {}",
                entry.day, entry.number, entry.kind
            ));
            for posting in &entry.postings {
                let amount = agreement.currency().grouped(Amount(posting.amount.0.abs()));
                let (debit, credit) = match posting.amount.is_positive() {
                    true => (amount, String::new()),
                    false => (String::new(), amount),
                };
                let other = posting.account.counterparty();
                let other = other.map_or(String::new(), |party| {
                    format!(" {}", agreement.party(party).id)
                });
                grid.row([
                    agreement.party(posting.party).id.clone(),
                    posting.account.number().to_string(),
                    format!("{}{other}", posting.account.name()),
                    debit,
                    credit,
                ]);
                heads.push(head.take());
            }
        }
        for (line, head) in grid.plain(INDENT).lines().zip(heads) {
            if let Some(head) = head {
                let _ = writeln!(self.text, "{head}");
            }
            let _ = writeln!(self.text, "{line}");
        }
    }
}
