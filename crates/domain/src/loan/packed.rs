//! A position and a history as few bytes.

use smallvec::{Array, SmallVec};

use super::action::{Action, Sale, Transaction};
use super::claim::Claim;
use super::contract::Contract;
use super::due::Due;
use super::holders::{Mark, PartChange};
use super::position::{Position, Status};
use super::timeline::Timeline;
use super::totals::Totals;
use crate::agreement::{Component, Prepayment};
use crate::calendar::Day;
use crate::money::{Amount, Rate};
use crate::packed::{Damaged, Reader, Sink, optional, or_missing, put, put_row, put_wide, small};
use crate::party::PartyId;

/// What a position mostly repeats of its loan's terms; only what differs takes bytes.
#[derive(Clone, Copy, Debug)]
pub struct Base {
    /// The day of disbursement.
    pub disbursed_on: Day,
    /// The yearly rate.
    pub rate: Rate,
    /// The first level instalment.
    pub instalment: Amount,
}

impl Base {
    fn since(&self, number: i32) -> i64 {
        i64::from(number) - i64::from(self.disbursed_on.0)
    }

    fn number(&self, since: i64) -> Result<i32, Damaged> {
        small(since.wrapping_add(self.disbursed_on.0.into()))
    }
}

const TOTALS: usize = 16;
/// Numbers of a position before its totals.
const OWN: usize = 15;

impl Position {
    /// Appends the position.
    pub fn pack(&self, base: Base, out: &mut Vec<u8>) {
        let contract = &self.contract;
        let mut row = [0; OWN + TOTALS];
        row[..OWN].copy_from_slice(&[
            contract.next.into(),
            contract.principal.0,
            contract.rate.0 - base.rate.0,
            contract.instalment.0 - base.instalment.0,
            optional(contract.base.map(|amount| amount.0)),
            base.since(contract.accrued_to),
            i64::from(contract.accrued != 0),
            self.status as i64,
            self.difference.0,
            self.agreed.0 - base.rate.0,
            optional(self.paused.map(|rate| rate.0)),
            self.due.len() as i64,
            self.marks.len() as i64,
            self.claim.is_some().into(),
            self.timeline.is_some().into(),
        ]);
        row[OWN..].copy_from_slice(&self.totals.all().map(|amount| amount.0));
        put_row(out, row);
        if contract.accrued != 0 {
            put_wide(out, contract.accrued);
        }
        for due in &self.due {
            due.pack(base, out);
        }
        for mark in &self.marks {
            mark.pack(out);
        }
        if let Some(claim) = &self.claim {
            claim.pack(out);
        }
        if let Some(timeline) = &self.timeline {
            timeline.pack(out);
        }
    }

    /// Makes a position of nothing what was packed.
    pub fn unpack(&mut self, base: Base, from: &mut Reader<'_>) -> Result<(), Damaged> {
        let [
            next,
            principal,
            rate,
            instalment,
            bearing,
            accrued_to,
            accrued,
            status,
            difference,
            agreed,
            paused,
            due,
            marks,
            claim,
            timeline,
            totals @ ..,
        ] = from.row::<{ OWN + TOTALS }>()?;
        let rate_of = |number: i64| Rate(number.wrapping_add(base.rate.0));
        self.contract = Contract {
            next: small(next)?,
            principal: Amount(principal),
            rate: rate_of(rate),
            instalment: Amount(instalment.wrapping_add(base.instalment.0)),
            base: or_missing(bearing).map(Amount),
            accrued_to: base.number(accrued_to)?,
            accrued: if accrued != 0 { from.wide()? } else { 0 },
        };
        self.status = match status {
            0 => Status::Active,
            1 => Status::Repaid,
            2 => Status::ChargedOff,
            _ => return Err(Damaged),
        };
        self.totals = totals_of(totals);
        self.difference = Amount(difference);
        self.agreed = rate_of(agreed);
        self.paused = or_missing(paused).map(Rate);
        for _ in 0..due {
            self.due.push(Due::unpack(base, from)?);
        }
        for _ in 0..marks {
            self.marks.push(Mark::unpack(from)?);
        }
        if claim != 0 {
            self.claim = Some(Box::new(Claim::unpack(from)?));
        }
        if timeline != 0 {
            self.timeline = Some(Box::new(Timeline::unpack(from)?));
        }
        Ok(())
    }
}

fn totals_of(row: [i64; TOTALS]) -> Totals {
    Totals::from_all(row.map(Amount))
}

fn pack_totals(totals: &Totals, out: &mut Vec<u8>) {
    put_row(out, totals.all().map(|amount| amount.0));
}

impl Due {
    fn pack(&self, base: Base, out: &mut Vec<u8>) {
        put_row(
            out,
            [
                base.since(self.day.0),
                self.principal.0,
                self.interest.0,
                self.fee.0,
                self.instalment_fee.0,
                self.prepayment_fee.0,
                self.fee_charged.into(),
                i64::from(self.accrued_to) - i64::from(self.day.0),
                (self.accrued != 0).into(),
                (self.penalty != 0).into(),
            ],
        );
        for exact in [self.accrued, self.penalty] {
            if exact != 0 {
                put_wide(out, exact);
            }
        }
    }

    fn unpack(base: Base, from: &mut Reader<'_>) -> Result<Due, Damaged> {
        let [
            day,
            principal,
            interest,
            fee,
            instalment_fee,
            prepayment_fee,
            fee_charged,
            accrued_to,
            accrued,
            penalty,
        ] = from.row()?;
        let mut wide = |there: i64| if there != 0 { from.wide() } else { Ok(0) };
        let day = Day(base.number(day)?);
        Ok(Due {
            day,
            principal: Amount(principal),
            interest: Amount(interest),
            fee: Amount(fee),
            instalment_fee: Amount(instalment_fee),
            prepayment_fee: Amount(prepayment_fee),
            fee_charged: fee_charged != 0,
            accrued_to: small(accrued_to.wrapping_add(day.0.into()))?,
            accrued: wide(accrued)?,
            penalty: wide(penalty)?,
        })
    }
}

impl Mark {
    fn pack(&self, out: &mut Vec<u8>) {
        pack_totals(&self.totals, out);
        put(out, self.interest.0);
        match self.change {
            PartChange::Drawn(amount) => put_row(out, [1, amount.0]),
            PartChange::Capitalised(amount) => put_row(out, [2, amount.0]),
            PartChange::Waived => put_row(out, [4, 0]),
            PartChange::Sold(sale) => {
                put_row(out, [3, 0]);
                pack_sale(sale, out);
            }
        }
    }

    fn unpack(from: &mut Reader<'_>) -> Result<Mark, Damaged> {
        let totals = totals_of(from.row()?);
        let interest = Amount(from.number()?);
        let [kind, amount] = from.row()?;
        let change = match kind {
            1 => PartChange::Drawn(Amount(amount)),
            2 => PartChange::Capitalised(Amount(amount)),
            3 => PartChange::Sold(unpack_sale(from)?),
            4 => PartChange::Waived,
            _ => return Err(Damaged),
        };
        Ok(Mark {
            totals,
            interest,
            change,
        })
    }
}

fn pack_sale(sale: Sale, out: &mut impl Sink) {
    let parties = [sale.seller, sale.buyer].map(|party| i64::from(party.0));
    put_row(out, [parties[0], parties[1], sale.part.0, sale.price.0]);
}

fn unpack_sale(from: &mut Reader<'_>) -> Result<Sale, Damaged> {
    let [seller, buyer, part, price] = from.row()?;
    let party = |place: i64| PartyId::ALL.get(place as usize).copied().ok_or(Damaged);
    Ok(Sale {
        seller: party(seller)?,
        buyer: party(buyer)?,
        part: Rate(part),
        price: Rate(price),
    })
}

/// What people did to a loan, by value date, newest first: so that the next thing they do is put
/// before the others and nothing of these changes but what the first repeats of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    bytes: Bytes,
}

/// Bytes that need no memory of their own up to some twenty payments.
type Bytes = SmallVec<[u8; 256]>;

/// A transaction, with a part of the hash of the key that it came under, if it came under one.
pub type Entered = (Transaction, Option<u32>);

/// In the first byte of a transaction, beside the kind of its action in the lowest four bits:
/// it came under a key; it came just before the newer one; its amount is that of the newer one.
const KEYED: u8 = 16;
const JUST_BEFORE: u8 = 32;
const SAME_AMOUNT: u8 = 64;

impl History {
    /// What was packed before.
    pub fn from_packed(bytes: &[u8]) -> History {
        History {
            bytes: Bytes::from_slice(bytes),
        }
    }

    /// The bytes.
    pub fn packed(&self) -> &[u8] {
        &self.bytes
    }

    /// The transactions, newest first, with what is kept of their keys.
    pub fn newest_first(&self) -> impl Iterator<Item = Entered> {
        let read = Newest {
            from: Reader { bytes: &self.bytes },
            newer: NOTHING,
        };
        read.map(|entered| entered.expect("a history holds what was packed"))
    }

    /// The transactions, oldest first.
    pub fn transactions(&self) -> Vec<Transaction> {
        self.entered().into_iter().map(|(done, _)| done).collect()
    }

    fn entered(&self) -> Vec<Entered> {
        let mut all: Vec<_> = self.newest_first().collect();
        all.reverse();
        all
    }

    /// Value date of the last transaction.
    pub fn last_day(&self) -> Option<Day> {
        let mut from = Reader { bytes: &self.bytes };
        from.byte().ok()?;
        let day = unpack_day(&mut from, NOTHING);
        Some(day.expect("a history holds what was packed"))
    }

    /// Puts a transaction behind all others of its value date, but for what the day's close did.
    pub fn insert(&mut self, done: Transaction, key: Option<u32>) {
        let mut from = Newest {
            from: Reader { bytes: &self.bytes },
            newer: NOTHING,
        };
        let newest = from
            .next()
            .transpose()
            .expect("a history holds what was packed");
        match newest {
            Some((newest, _)) if !comes_before(&newest, &done) => {
                let mut all = self.entered();
                let place = all.partition_point(|(earlier, _)| comes_before(earlier, &done));
                all.insert(place, (done, key));
                *self = History::from_oldest(&all);
            }
            newest => {
                // Of the others, only what the newest repeats of this one changes.
                let changed = self.bytes.len() - from.from.bytes.len();
                let mut head = SmallVec::<[u8; 64]>::new();
                pack_entered((done, key), NOTHING, &mut head);
                if let Some(newest) = newest {
                    pack_entered(newest, done, &mut head);
                }
                self.bytes.drain(..changed);
                self.bytes.insert_from_slice(0, &head);
            }
        }
    }

    /// Takes a transaction out, by its number.
    pub fn remove(&mut self, number: u32) -> Option<Entered> {
        let mut all = self.entered();
        let place = all.iter().position(|(done, _)| done.number == number)?;
        let removed = all.remove(place);
        *self = History::from_oldest(&all);
        Some(removed)
    }

    fn from_oldest(all: &[Entered]) -> History {
        let mut bytes = Bytes::with_capacity(16 * all.len());
        let mut newer = NOTHING;
        for &entered in all.iter().rev() {
            pack_entered(entered, newer, &mut bytes);
            newer = entered.0;
        }
        History { bytes }
    }

    /// Checks bytes that come from outside.
    pub fn check(&self) -> Result<(), Damaged> {
        let mut all = Newest {
            from: Reader { bytes: &self.bytes },
            newer: NOTHING,
        };
        all.try_for_each(|entered| entered.map(|_| ()))
    }
}

/// True if what was entered earlier is carried out before what is entered now.
fn comes_before(earlier: &Transaction, now: &Transaction) -> bool {
    let order = |done: &Transaction| (done.day, done.action.is_of_close());
    order(earlier) <= order(now)
}

/// What the newest transaction is packed against.
const NOTHING: Transaction = Transaction {
    day: Day(0),
    action: Action::Repay(Amount::ZERO),
    number: 0,
};

/// Reads a history.
struct Newest<'a> {
    from: Reader<'a>,
    newer: Transaction,
}

impl Iterator for Newest<'_> {
    type Item = Result<Entered, Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.from.bytes.is_empty() {
            return None;
        }
        let entered = unpack_entered(&mut self.from, self.newer);
        match &entered {
            Ok((done, _)) => self.newer = *done,
            Err(Damaged) => self.from.bytes = &[],
        }
        Some(entered)
    }
}

fn pack_entered<A: Array<Item = u8>>(
    (done, key): Entered,
    newer: Transaction,
    out: &mut SmallVec<A>,
) {
    let (kind, [amount, detail]) = numbers(&done.action);
    let just_before = done.number.wrapping_add(1) == newer.number;
    let same = amount != 0 && numbers(&newer.action).1[0] == amount;
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    out.push(
        kind | flag(key.is_some(), KEYED)
            | flag(just_before, JUST_BEFORE)
            | flag(same, SAME_AMOUNT),
    );
    put(out, i64::from(newer.day.0) - i64::from(done.day.0));
    if !just_before {
        put(out, done.number.into());
    }
    if !same {
        put(out, amount);
    }
    match done.action {
        Action::Transfer(sale) => pack_sale(sale, out),
        Action::ChargeOff { days_past_due, .. } => {
            put(out, detail);
            put(out, days_past_due.map_or(-1, i64::from));
        }
        Action::Prepay(..) | Action::Waive { .. } | Action::Pause { .. } => {
            put(out, detail);
        }
        _ => {}
    }
    if let Some(key) = key {
        out.extend_from_slice(&key.to_le_bytes());
    }
}

fn unpack_entered(from: &mut Reader<'_>, newer: Transaction) -> Result<Entered, Damaged> {
    let first = from.byte()?;
    let day = unpack_day(from, newer)?;
    let number = match first & JUST_BEFORE {
        0 => from.small()?,
        _ => newer.number.wrapping_sub(1),
    };
    let amount = match first & SAME_AMOUNT {
        0 => from.number()?,
        _ => numbers(&newer.action).1[0],
    };
    let action = action(first & 15, amount, from)?;
    let key = match first & KEYED {
        0 => None,
        _ => {
            let bytes = from.take(4)?.try_into().map_err(|_| Damaged)?;
            Some(u32::from_le_bytes(bytes))
        }
    };
    Ok((
        Transaction {
            day,
            action,
            number,
        },
        key,
    ))
}

fn unpack_day(from: &mut Reader<'_>, newer: Transaction) -> Result<Day, Damaged> {
    small(i64::from(newer.day.0).wrapping_sub(from.number()?)).map(Day)
}

/// The kind of an action, and the numbers that it is made of; a sale is written by itself.
fn numbers(action: &Action) -> (u8, [i64; 2]) {
    match *action {
        Action::Repay(amount) => (0, [amount.0, 0]),
        Action::Prepay(amount, effect) => {
            let effect = effect.map(|effect| match effect {
                Prepayment::ShortenTerm => 0,
                Prepayment::ReduceInstalment => 1,
                Prepayment::NextInstalments => 2,
            });
            (1, [amount.0, optional(effect)])
        }
        Action::ChargeOff {
            covered, at_most, ..
        } => (2, [at_most.0, covered.0]),
        Action::Settle(amount) => (3, [amount.0, 0]),
        Action::Draw(amount) => (4, [amount.0, 0]),
        Action::Refund(amount) => (5, [amount.0, 0]),
        Action::Chargeback(amount) => (6, [amount.0, 0]),
        Action::Waive { component, amount } => (7, [amount.0, component as i64]),
        Action::Credit(amount) => (8, [amount.0, 0]),
        Action::ChangeDueDate(day) => (9, [day.0.into(), 0]),
        Action::Pause { cycles, interest } => (10, [cycles.into(), interest.into()]),
        Action::ReAge { more } => (11, [more.into(), 0]),
        Action::ReAmortise { more } => (12, [more.into(), 0]),
        Action::ChangeRate(rate) => (13, [rate.0, 0]),
        Action::WriteOff(amount) => (14, [amount.0, 0]),
        Action::Transfer(_) => (15, [0, 0]),
    }
}

fn action(kind: u8, first: i64, from: &mut Reader<'_>) -> Result<Action, Damaged> {
    let amount = Amount(first);
    Ok(match kind {
        0 => Action::Repay(amount),
        1 => {
            let effect = match or_missing(from.number()?) {
                None => None,
                Some(0) => Some(Prepayment::ShortenTerm),
                Some(1) => Some(Prepayment::ReduceInstalment),
                Some(2) => Some(Prepayment::NextInstalments),
                Some(_) => return Err(Damaged),
            };
            Action::Prepay(amount, effect)
        }
        2 => Action::ChargeOff {
            covered: Rate(from.number()?),
            at_most: amount,
            days_past_due: match from.number()? {
                -1 => None,
                days => Some(small(days)?),
            },
        },
        3 => Action::Settle(amount),
        4 => Action::Draw(amount),
        5 => Action::Refund(amount),
        6 => Action::Chargeback(amount),
        7 => {
            let all = [
                Component::Fee,
                Component::Penalty,
                Component::Interest,
                Component::Principal,
            ];
            let named = from.number()?;
            let component = all.into_iter().find(|&known| known as i64 == named);
            Action::Waive {
                component: component.ok_or(Damaged)?,
                amount,
            }
        }
        8 => Action::Credit(amount),
        9 => Action::ChangeDueDate(Day(small(first)?)),
        10 => Action::Pause {
            cycles: small(first)?,
            interest: from.number()? != 0,
        },
        11 => Action::ReAge {
            more: small(first)?,
        },
        12 => Action::ReAmortise {
            more: small(first)?,
        },
        13 => Action::ChangeRate(Rate(first)),
        14 => Action::WriteOff(amount),
        _ => Action::Transfer(unpack_sale(from)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_transaction() -> impl Strategy<Value = Entered> {
        let sale = Sale {
            seller: PartyId(1),
            buyer: PartyId(3),
            part: Rate(7),
            price: Rate::ONE,
        };
        let amount = 1i64..1_000;
        let action = prop_oneof![
            amount
                .clone()
                .prop_map(|amount| Action::Repay(Amount(amount))),
            Just(Action::Repay(Amount(500))),
            (
                amount.clone(),
                prop::option::of(Just(Prepayment::ReduceInstalment))
            )
                .prop_map(|(amount, effect)| Action::Prepay(Amount(amount), effect)),
            (amount.clone(), prop::option::of(0u16..400)).prop_map(|(amount, days_past_due)| {
                Action::ChargeOff {
                    covered: Rate(amount * 3),
                    at_most: Amount(amount),
                    days_past_due,
                }
            }),
            amount.clone().prop_map(|amount| Action::Waive {
                component: Component::Interest,
                amount: Amount(amount),
            }),
            amount
                .clone()
                .prop_map(|amount| Action::ChangeDueDate(Day(amount as i32))),
            (1u8..9, any::<bool>())
                .prop_map(|(cycles, interest)| Action::Pause { cycles, interest }),
            amount.prop_map(|amount| Action::ChangeRate(Rate(amount))),
            Just(Action::Transfer(sale)),
        ];
        (0i32..400, action, 1u32..60, prop::option::of(any::<u32>())).prop_map(
            |(day, action, number, key)| {
                (
                    Transaction {
                        day: Day(20_000 + day),
                        action,
                        number,
                    },
                    key,
                )
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn a_history_is_what_was_put_into_it(
            done in prop::collection::vec(any_transaction(), 0..20),
            gone in any::<prop::sample::Index>(),
        ) {
            let mut history = History::default();
            let mut plain: Vec<Entered> = Vec::new();
            for &(transaction, key) in &done {
                history.insert(transaction, key);
                let of_close = |done: &Transaction| {
                    matches!(done.action, Action::ChargeOff { days_past_due: Some(_), .. })
                };
                let place = plain.partition_point(|(earlier, _)| {
                    earlier.day < transaction.day
                        || earlier.day == transaction.day
                            && (!of_close(earlier) || of_close(&transaction))
                });
                plain.insert(place, (transaction, key));
                prop_assert_eq!(&history.entered(), &plain);
                prop_assert_eq!(&history, &History::from_oldest(&plain));
            }
            prop_assert_eq!(history.last_day(), plain.last().map(|last| last.0.day));
            prop_assert_eq!(history.check(), Ok(()));
            if !plain.is_empty() {
                let number = plain[gone.index(plain.len())].0.number;
                let place = plain.iter().position(|(done, _)| done.number == number);
                let removed = history.remove(number);
                prop_assert_eq!(removed, place.map(|place| plain.remove(place)));
                prop_assert_eq!(history.entered(), plain);
            }
        }
    }
}
