//! Kinds of money by party, as a table.

use tandem_domain::agreement::Agreement;
use tandem_domain::loan::{Own, Sold, Split, Totals, earner};
use tandem_domain::money::Amount;
use tandem_domain::party::{MAX_PARTIES, PartyId};

use crate::export::grid::Grid;

/// A kind of money and what each party had of it.
pub(super) struct Row {
    name: &'static str,
    whole: Amount,
    pub(super) parties: [Amount; MAX_PARTIES],
}

impl Row {
    pub(super) fn new(name: &'static str, whole: Amount) -> Row {
        Row {
            name,
            whole,
            parties: [Amount::ZERO; MAX_PARTIES],
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_zero() && self.parties.iter().all(|amount| amount.is_zero())
    }
}

/// Kinds of money by party.
pub(super) struct PartyTable {
    pub(super) rows: Vec<Row>,
}

impl PartyTable {
    /// What a loan's totals, or a change of them, are for each party, by its splits before and
    /// after; the first row is what was drawn.
    pub(super) fn of(
        totals: &Totals,
        before: &Split,
        after: &Split,
        agreement: &Agreement,
    ) -> PartyTable {
        let holders = |name, whole, of: &dyn Fn(&Own) -> Amount| {
            let mut row = Row::new(name, whole);
            for (split, sign) in [(after, 1), (before, -1)] {
                for (party, own) in split.holders.iter().zip(&split.own) {
                    row.parties[party.index()] += Amount(sign * of(own).0);
                }
            }
            row
        };
        let give = |row: &mut Row, party: Option<PartyId>, amount: Amount| {
            if let Some(party) = party {
                row.parties[party.index()] += amount;
            }
        };
        let kinds = [
            ("late fees", totals.fees, agreement.loan_fees.late),
            (
                "instalment fees",
                totals.instalment_fees,
                agreement.loan_fees.instalment,
            ),
            (
                "prepayment fees",
                totals.prepayment_fees,
                agreement.loan_fees.prepayment,
            ),
        ];
        let charged = || kinds.iter().filter(|(_, amount, _)| !amount.is_zero());
        let name = match (charged().count(), charged().next()) {
            (1, Some((name, ..))) => name,
            _ => "fees",
        };
        let mut fees = holders(name, totals.all_fees(), &|own| own.fees);
        for (place, (_, _, fee)) in kinds.into_iter().enumerate() {
            let amount = after.fees_elsewhere[place] - before.fees_elsewhere[place];
            give(&mut fees, earner(fee), amount);
        }
        let of_which = charged().filter(|_| charged().count() > 1);
        let of_which = of_which.map(|(name, amount, _)| Row::new(name, *amount));
        let mut recovered = holders("recovered", totals.recovered, &|own| own.recovered);
        give(
            &mut recovered,
            agreement.guarantor,
            after.recovered_by_guarantor - before.recovered_by_guarantor,
        );
        let mut compensation = holders("compensation", Amount::ZERO, &|own| own.compensated);
        give(&mut compensation, agreement.guarantor, -totals.compensated);
        let mut service_fee = holders("service fee", Amount::ZERO, &|own| -own.service_fee);
        let paid: Amount = service_fee.parties.iter().copied().sum();
        let platform = agreement.service_fee.map(|(platform, _)| platform);
        give(&mut service_fee, platform, -paid);
        let mut credited = Row::new("goodwill credit", totals.credited);
        give(&mut credited, Some(agreement.goodwill), -totals.credited);
        let (mut bought, mut price) = (
            Row::new("principal bought", Amount::ZERO),
            Row::new("paid for it", Amount::ZERO),
        );
        for (sold, sign) in signed(&after.sold, 1).chain(signed(&before.sold, -1)) {
            let paid = sold.price + sold.interest;
            for (party, sign) in [(sold.buyer, sign), (sold.seller, -sign)] {
                bought.parties[party.index()] += Amount(sign * sold.principal.0);
                price.parties[party.index()] -= Amount(sign * paid.0);
            }
        }
        let mut rows = vec![
            holders("drawn", totals.drawn, &|own| own.disbursed),
            Row::new("received", totals.received),
            credited,
            fees,
        ];
        rows.extend(of_which);
        rows.extend([
            holders("penalty", totals.penalty, &|own| own.penalty),
            holders("interest", totals.interest, &|own| own.interest),
            holders("principal", totals.principal, &|own| own.principal),
            recovered,
            Row::new("held", totals.held()),
            Row::new("given back", totals.refunded),
            holders("written off", totals.charged_off, &|own| own.charged_off),
            Row::new("interest given up", totals.interest_forgone),
            holders("capitalised", totals.capitalised, &|own| own.capitalised),
            bought,
            price,
            compensation,
            service_fee,
        ]);
        PartyTable { rows }
    }

    /// With a column for the loan and for each party that has to do with it.
    pub(super) fn grid(&self, agreement: &Agreement) -> Grid {
        let currency = agreement.currency();
        let concerned: Vec<_> = agreement
            .parties()
            .filter(|(party, _)| {
                self.rows
                    .iter()
                    .any(|row| !row.parties[party.index()].is_zero())
            })
            .collect();
        let names = concerned.iter().map(|(_, party)| party.id.as_str());
        let mut grid = Grid::new(1, [currency.code(), "loan"].into_iter().chain(names));
        let cell = |amount: Amount| match amount.is_zero() {
            true => String::new(),
            false => currency.grouped(amount),
        };
        for row in &self.rows {
            let parties = concerned
                .iter()
                .map(|(party, _)| cell(row.parties[party.index()]));
            let whole = if row.is_empty() {
                currency.grouped(row.whole)
            } else {
                cell(row.whole)
            };
            grid.row([row.name.to_owned(), whole].into_iter().chain(parties));
        }
        grid
    }
}

fn signed(sales: &[Sold], sign: i64) -> impl Iterator<Item = (&Sold, i64)> {
    sales.iter().map(move |sold| (sold, sign))
}
