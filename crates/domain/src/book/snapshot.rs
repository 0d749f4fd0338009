//! The state of a book in pieces of bytes: written while the book goes on, read back into the
//! same state.
//!
//! A snapshot is of one moment. What is small is packed at once; loans and applications follow
//! in pieces, and what changes before its piece is written is kept as it was. The indexes may be
//! ahead of the moment: whoever finds a place in one looks there anyway. `docs/spec/snapshot.md`
//! describes the pieces.

use std::collections::BTreeMap;
use std::ops::Range;

use super::applications::Row;
use super::archive::Archived;
use super::keys::{Index, MOST};
use super::slices::Slices;
use super::underwrite::Referrals;
use super::{ApplicationState, Book, Documents, Exposure, Offer, Pool, Spent, Version};
use crate::calendar::Day;
use crate::funding::{LenderParts, Part};
use crate::loan::Fixing;
use crate::money::{Amount, Rate};
use crate::packed::{Damaged, Reader, optional, or_missing, put, put_bytes, put_row, small};
use crate::party::MAX_PARTIES;
use crate::share::MAX_SHARES;

/// The format of the pieces.
pub const FORMAT: u16 = 6;

/// Loans and applications in one piece.
const ROWS: u32 = 4_096;

/// A snapshot that is being written.
#[derive(Debug)]
pub struct Snapshot {
    pieces: std::vec::IntoIter<Piece>,
    head: Vec<u8>,
}

/// What a piece holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Head,
    Applications(Range<u32>),
    Borrowers(Range<u32>),
    Loans(Range<u32>),
    /// A segment of an index: of applications, borrowers, instructions.
    Index(u8, usize),
}

impl Piece {
    /// All pieces, in order.
    fn all(applications: u32, borrowers: u32, loans: u32) -> Vec<Piece> {
        let rows = |count: u32, piece: fn(Range<u32>) -> Piece| {
            let starts = (0..count).step_by(ROWS as usize);
            starts.map(move |start| piece(start..count.min(start.saturating_add(ROWS))))
        };
        let indexes = (0..3).flat_map(|of| (0..Index::PIECES).map(move |at| Piece::Index(of, at)));
        [Piece::Head]
            .into_iter()
            .chain(rows(applications, Piece::Applications))
            .chain(rows(borrowers, Piece::Borrowers))
            .chain(rows(loans, Piece::Loans))
            .chain(indexes)
            .collect()
    }
}

impl Book {
    /// Begins a snapshot of the book as it is now. One at a time: a later one ends the one before.
    pub fn snapshot(&mut self) -> Snapshot {
        let mut head = Vec::new();
        self.pack_head(&mut head);
        let [applications, borrowers, loans] = self.counts();
        self.applications.keep_from(0..applications);
        self.loans.keep_from(0..loans);
        Snapshot {
            pieces: Piece::all(applications, borrowers, loans).into_iter(),
            head,
        }
    }

    /// Appends the next piece; false if there is none left.
    pub fn next_piece(&mut self, snapshot: &mut Snapshot, out: &mut Vec<u8>) -> bool {
        let Some(piece) = snapshot.pieces.next() else {
            return false;
        };
        match piece {
            Piece::Head => out.append(&mut snapshot.head),
            Piece::Applications(places) => self.applications.pack(places, out),
            Piece::Borrowers(places) => places.for_each(|at| self.borrower_names.pack(at, out)),
            Piece::Loans(places) => self.loans.pack(places, out),
            Piece::Index(of, at) => self.index(of).pack(at, out),
        }
        true
    }

    /// Ends a snapshot of which no more is wanted: nothing is kept for it any longer.
    pub fn end_snapshot(&mut self, _snapshot: Snapshot) {
        self.applications.keep_from(0..0);
        self.loans.keep_from(0..0);
    }

    fn counts(&self) -> [u32; 3] {
        [
            self.application_count(),
            self.borrowers.len(),
            self.loan_count(),
        ]
        .map(|count| count as u32)
    }

    fn index(&mut self, of: u8) -> &mut Index {
        match of {
            0 => self.applications.names.index(),
            1 => self.borrower_names.index(),
            _ => &mut self.instructions,
        }
    }

    fn pack_head(&self, out: &mut Vec<u8>) {
        put(out, FORMAT.into());
        for count in self.counts() {
            put(out, count.into());
        }
        put(out, self.business_date.0.into());
        put(out, self.closing.into());
        put_list(out, &self.versions, |version, out| {
            put_cbor(out, &version.documents);
        });
        put_list(out, &self.series, |series, out| {
            put_row(
                out,
                [
                    series.version.into(),
                    series.disbursed_on.0.into(),
                    series.months.into(),
                ],
            );
        });
        put(out, self.fixings.len() as i64);
        for (index, fixings) in &self.fixings {
            put_bytes(out, index.as_bytes());
            put_list(out, fixings, |fixing, out| {
                put_row(out, [fixing.day.0.into(), fixing.rate.0]);
            });
        }
        put(out, self.applications.offers.len() as i64);
        for (&application, offer) in &self.applications.offers {
            put(out, application.into());
            pack_offer(offer, out);
        }
        self.referrals.pack(out);
        out.extend_from_slice(&self.applications.digest.to_le_bytes());
        out.extend_from_slice(&self.loans.digest().to_le_bytes());
        put(out, self.carried_out as i64);
        put(out, self.spent.len() as i64);
        for (&loan, spent) in &self.spent {
            put(out, loan.into());
            put_list(out, spent, |spent, out| {
                put_row(
                    out,
                    [spent.key.into(), spent.body as i64, spent.number.into()],
                );
            });
        }
        put_list(out, self.to_charge_off.as_slices().0, |&loan, out| {
            put(out, loan.into())
        });
        put_list(out, self.to_charge_off.as_slices().1, |&loan, out| {
            put(out, loan.into())
        });
        put(out, self.regions.len() as i64);
        for (place, region) in (0..).zip(&self.regions) {
            self.region_names.pack(place, out);
            put_amounts(out, &region.reserved);
            put_amounts(out, &region.outstanding);
        }
        put_amounts(out, &self.reserved);
        put_amounts(out, &self.today);
        self.pool.pack(out);
        self.slices.pack(out);
        self.archived.pack(out);
        self.ledgers.pack(out);
        self.portfolio.pack(out);
        put_list(out, &self.plans, |plan, out| put_cbor(out, plan));
        put(out, self.last_close.is_some().into());
        if let Some(close) = &self.last_close {
            put_cbor(out, close);
        }
    }

    fn unpack_head(from: &mut Reader<'_>) -> Result<(Book, [u32; 3]), Damaged> {
        if from.number()? != i64::from(FORMAT) {
            return Err(Damaged);
        }
        let counts = [from.small()?, from.small()?, from.small()?];
        if counts.iter().any(|&count: &u32| count as usize > MOST) {
            return Err(Damaged);
        }
        let mut book = Book {
            business_date: near(from.number()?)?,
            closing: from.number()? != 0,
            versions: from.list(|from| {
                let documents: Documents = cbor(from)?;
                Version::parse(documents).map_err(|_| Damaged)
            })?,
            ..Book::default()
        };
        for [version, day, months] in from.list(|from| from.row())? {
            let (version, day, months) = (small(version)?, near(day)?, small(months)?);
            let of = book.versions.get(usize::from(version)).ok_or(Damaged)?;
            // A series costs time and memory by its term, so each must be one that was lent.
            let lent = of.agreement.file.product.terms_months.contains(&months);
            if !lent || book.series_places.contains_key(&(version, day, months)) {
                return Err(Damaged);
            }
            book.add_series(version, day, months);
        }
        for _ in 0..from.small::<usize>()? {
            let index = text(from)?;
            let fixings = from.list(|from| {
                let [day, rate] = from.row()?;
                Ok(Fixing {
                    day: Day(small(day)?),
                    rate: Rate(rate),
                })
            })?;
            book.fixings.insert(index, fixings);
        }
        for _ in 0..from.small::<usize>()? {
            let application = from.small()?;
            let offer = unpack_offer(from)?;
            let open = book.open_offers.entry(offer.valid_to).or_default();
            open.push(application);
            book.applications.offers.insert(application, offer);
        }
        book.referrals = Referrals::unpack(from)?;
        book.applications.digest = u64::from_le_bytes(array(from.take(8)?)?);
        let digest = u128::from_le_bytes(array(from.take(16)?)?);
        book.loans.set_digest(digest);
        book.carried_out = from.small()?;
        for _ in 0..from.small::<usize>()? {
            let loan = from.small()?;
            let spent = from.list(|from| {
                let [key, body, number] = from.row()?;
                Ok(Spent {
                    key: small(key)?,
                    body: body as u64,
                    number: small(number)?,
                })
            })?;
            book.spent.insert(loan, spent);
        }
        for _ in 0..2 {
            book.to_charge_off
                .extend(from.list(|from| from.small::<u32>())?);
        }
        for _ in 0..from.small::<usize>()? {
            book.region_names.add(&text(from)?);
            book.regions.push(Exposure {
                reserved: amounts(from)?,
                outstanding: amounts(from)?,
            });
        }
        book.reserved = amounts(from)?;
        book.today = amounts(from)?;
        book.pool = Pool::unpack(from)?;
        book.slices = Slices::unpack(from)?;
        book.archived = Archived::unpack(from)?;
        book.ledgers.unpack(from)?;
        book.portfolio.unpack(from)?;
        book.plans = from.list(cbor)?;
        if from.number()? != 0 {
            book.last_close = Some(cbor(from)?);
        }
        Ok((book, counts))
    }
}

/// Rebuilds a book from the pieces of a snapshot.
#[derive(Debug, Default)]
pub struct Restore {
    book: Book,
    pieces: Option<std::vec::IntoIter<Piece>>,
}

impl Restore {
    /// Takes the next piece.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), Damaged> {
        let mut from = Reader { bytes: piece };
        let Some(pieces) = &mut self.pieces else {
            let (book, [applications, borrowers, loans]) = Book::unpack_head(&mut from)?;
            self.book = book;
            let mut pieces = Piece::all(applications, borrowers, loans).into_iter();
            pieces.next();
            self.pieces = Some(pieces);
            return finished(from);
        };
        let book = &mut self.book;
        match pieces.next().ok_or(Damaged)? {
            Piece::Head => return Err(Damaged),
            Piece::Applications(places) => {
                for place in places {
                    let row = book.applications.unpack(&mut from)?;
                    let regions = book.regions.len() as u32;
                    let versions = book.versions.len();
                    if row.region >= regions || usize::from(row.version) >= versions {
                        return Err(Damaged);
                    }
                    if let Some(borrower) = row.borrower() {
                        let borrower = borrower as usize;
                        if borrower >= book.borrowers.len() {
                            // Borrowers come up in the order of their first applications.
                            book.borrowers.push(place);
                        }
                        *book.borrowers.get_mut(borrower).ok_or(Damaged)? = place;
                    }
                    if row.previous().is_some_and(|previous| previous >= place) {
                        return Err(Damaged);
                    }
                }
            }
            Piece::Borrowers(places) => {
                for _ in places {
                    book.borrower_names.unpack(&mut from)?;
                }
            }
            Piece::Loans(places) => {
                for place in places {
                    let packed = from.prefixed()?;
                    let applications = book.applications.rows.len();
                    let agenda = book.loans.unpack(packed, &book.series, applications)?;
                    if let Some(day) = agenda {
                        book.agenda.entry(day).or_default().push(place);
                    }
                }
            }
            Piece::Index(of, at) => book.index(of).unpack(at, &mut from)?,
        }
        finished(from)
    }

    /// The book, once all pieces are taken.
    pub fn finish(self) -> Result<Book, Damaged> {
        let complete = self.pieces.is_some_and(|mut left| left.next().is_none());
        let book = self.book;
        let loans = book.loan_count() as u32;
        let states_hold = book.applications.rows.iter().all(|row| match row.state() {
            ApplicationState::Disbursed(loan) => loan < loans,
            _ => true,
        });
        let names_hold = book.borrowers.len() == book.borrower_names.len();
        let offers = book.applications.offers.keys().next_back();
        let offers_hold = offers.is_none_or(|&last| (last as usize) < book.application_count());
        let referrals_hold = book
            .referrals()
            .all(|(place, decided)| book.waits(place, decided));
        let mut named = book.to_charge_off.iter().chain(book.spent.keys());
        let loans_hold = named.all(|&loan| loan < loans);
        let gone = (0..loans).filter(|&loan| book.is_archived(loan)).count();
        let archive_holds = gone == book.archived.loans as usize;
        let holds = complete
            && archive_holds
            && states_hold
            && names_hold
            && offers_hold
            && loans_hold
            && referrals_hold;
        holds.then_some(book).ok_or(Damaged)
    }
}

fn finished(from: Reader<'_>) -> Result<(), Damaged> {
    from.bytes.is_empty().then_some(()).ok_or(Damaged)
}

fn put_list<T>(out: &mut Vec<u8>, items: &[T], mut item: impl FnMut(&T, &mut Vec<u8>)) {
    put(out, items.len() as i64);
    for one in items {
        item(one, out);
    }
}

pub(super) fn put_amounts(out: &mut Vec<u8>, amounts: &[Amount; MAX_PARTIES]) {
    put_row(out, amounts.map(|amount| amount.0));
}

pub(super) fn amounts(from: &mut Reader<'_>) -> Result<[Amount; MAX_PARTIES], Damaged> {
    Ok(from.row()?.map(Amount))
}

pub(super) fn put_cbor(out: &mut Vec<u8>, value: &impl minicbor::Encode<()>) {
    let bytes = minicbor::to_vec(value).expect("encoding into memory cannot fail");
    put_bytes(out, &bytes);
}

pub(super) fn cbor<'b, T: minicbor::Decode<'b, ()>>(from: &mut Reader<'b>) -> Result<T, Damaged> {
    minicbor::decode(from.prefixed()?).map_err(|_| Damaged)
}

/// A day for which calendars do not overflow: at most ten thousand years from 1970.
fn near(number: i64) -> Result<Day, Damaged> {
    match number.unsigned_abs() {
        0..=3_652_425 => small(number).map(Day),
        _ => Err(Damaged),
    }
}

fn text(from: &mut Reader<'_>) -> Result<String, Damaged> {
    String::from_utf8(from.prefixed()?.to_vec()).map_err(|_| Damaged)
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Damaged> {
    bytes.try_into().map_err(|_| Damaged)
}

fn pack_offer(offer: &Offer, out: &mut Vec<u8>) {
    put_row(
        out,
        [offer.rate.0, offer.months.into(), offer.valid_to.0.into()],
    );
    put_list(out, &offer.parts, |part, out| {
        put_row(out, [part.amount.0, part.rate.0]);
    });
}

fn unpack_offer(from: &mut Reader<'_>) -> Result<Offer, Damaged> {
    let [rate, months, valid_to] = from.row()?;
    let parts = from.list(|from| {
        let [amount, rate] = from.row()?;
        Ok(Part {
            amount: Amount(amount),
            rate: Rate(rate),
        })
    })?;
    if parts.len() > MAX_SHARES {
        return Err(Damaged);
    }
    Ok(Offer {
        parts: LenderParts::from_slice(&parts),
        rate: Rate(rate),
        months: small(months)?,
        valid_to: Day(small(valid_to)?),
    })
}

/// What was there at the moment of a snapshot and has changed since, of places that are still to
/// be written.
#[derive(Clone, Debug)]
pub(super) struct Kept<T> {
    places: Range<u32>,
    old: BTreeMap<u32, T>,
}

impl<T> Default for Kept<T> {
    fn default() -> Kept<T> {
        Kept {
            places: 0..0,
            old: BTreeMap::new(),
        }
    }
}

impl<T> Kept<T> {
    pub(super) fn from(places: Range<u32>) -> Kept<T> {
        Kept {
            places,
            old: BTreeMap::new(),
        }
    }

    /// Keeps what changes, the first time it does.
    pub(super) fn keep(&mut self, place: u32, old: impl FnOnce() -> T) {
        if self.places.contains(&place) {
            self.old.entry(place).or_insert_with(old);
        }
    }

    /// Takes what was kept of a place that is written now.
    pub(super) fn take(&mut self, place: u32) -> Option<T> {
        self.places.start = place + 1;
        self.old.remove(&place)
    }
}

impl Row {
    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        put_row(
            out,
            [
                self.body as i64,
                optional(self.borrower().map(i64::from)),
                optional(self.previous().map(i64::from)),
                self.region.into(),
                self.decided_on.0.into(),
                self.detail.into(),
                self.version.into(),
                self.state.into(),
            ],
        );
    }

    pub(super) fn unpack(from: &mut Reader<'_>) -> Result<Row, Damaged> {
        let [
            body,
            borrower,
            previous,
            region,
            decided_on,
            detail,
            version,
            state,
        ] = from.row()?;
        let place =
            |number: i64| or_missing(number).map_or(Ok(super::applications::NONE), small::<u32>);
        Ok(Row {
            body: body as u64,
            borrower: place(borrower)?,
            previous: place(previous)?,
            region: small(region)?,
            decided_on: Day(small(decided_on)?),
            detail: small(detail)?,
            version: small(version)?,
            state: small(state)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::{Application, Command, Decided, Series, Verdict};
    use crate::field::Value;
    use crate::loan::Timeline;

    /// A book with one loan.
    fn book() -> Book {
        let documents = Documents {
            agreement: include_str!("../../tests/data/agreement.toml").to_owned(),
            policies: vec![
                include_str!("../../tests/data/river.toml").to_owned(),
                include_str!("../../tests/data/cloud.toml").to_owned(),
            ],
            rulebook: None,
            calendar: None,
        };
        let version = Version::parse(documents.clone()).unwrap();
        let scope = &version.agreement.scope;
        let mut values = vec![Value::Missing; scope.fields.len()];
        values[..3].clone_from_slice(&[
            Value::Number(100_000),
            Value::Number(12),
            Value::Text("east".into()),
        ]);
        let application = Application {
            key: "A-1".to_owned(),
            borrower: Some("somebody".to_owned()),
            decisions: version.decisions(&values),
            values,
        };
        let mut book = Book::default();
        for command in [
            Command::Sign(Box::new(documents)),
            Command::Apply(Box::new(application)),
            Command::Accept {
                application: "A-1".to_owned(),
            },
        ] {
            book.execute(command, &mut Vec::new(), &mut |_| {}).unwrap();
        }
        assert_eq!(book.loan_count(), 1);
        book
    }

    fn restored(mut book: Book) -> Result<Book, Damaged> {
        let (mut restore, mut snapshot) = (Restore::default(), book.snapshot());
        let mut piece = Vec::new();
        while book.next_piece(&mut snapshot, &mut piece) {
            restore.take(&piece)?;
            piece.clear();
        }
        restore.finish()
    }

    /// What a forgery is called, and how it is done.
    type Forgery = (&'static str, fn(&mut Book));

    fn series(book: &mut Book, disbursed_on: Day, months: u16) {
        book.series.push(Series {
            version: 0,
            disbursed_on,
            months,
            timeline: Timeline::default(),
        });
    }

    #[test]
    fn a_book_whose_parts_name_what_is_not_there_is_refused() {
        assert_eq!(restored(book()).unwrap().digest(), book().digest());
        let forgeries: [Forgery; 10] = [
            ("a day beyond all calendars", |book| {
                book.business_date = Day(i32::MAX);
            }),
            ("a series from before all calendars", |book| {
                series(book, Day(i32::MIN), 12);
            }),
            ("a series of a term that nobody lends", |book| {
                series(book, book.business_date, 60_000);
            }),
            ("a series that is there already", |book| {
                series(book, book.business_date, 12);
            }),
            ("a loan of another application", |book| {
                let mut loan = book.loan_in(0);
                loan.application = 1;
                loan.terms = loan.pack_terms();
                book.loans.set(0, &loan);
            }),
            ("a loan of a class that no agreement has", |book| {
                let mut loan = book.loan_in(0);
                loan.class = 8;
                book.loans.set(0, &loan);
            }),
            ("another loan to be charged off", |book| {
                book.to_charge_off.push_back(1);
            }),
            ("a spent key of another loan", |book| {
                book.spent.insert(1, Vec::<Spent>::new());
            }),
            ("a referral of what does not wait", |book| {
                let decided = Decided {
                    key: "A-1".to_owned(),
                    body: book.applications.rows[0].body,
                    borrower: None,
                    version: 0,
                    values: vec![Value::Missing; book.versions[0].agreement.scope.fields.len()],
                    decisions: book.versions[0].decisions(&[]),
                    barred: Vec::new(),
                    verdict: Verdict::Referred(vec![0], Some(Day(0))),
                };
                book.referrals.open(0, &decided);
            }),
            ("an application of another loan", |book| {
                let disbursed = ApplicationState::Disbursed(1);
                book.applications.set_state(0, disbursed);
            }),
        ];
        for (forgery, forge) in forgeries {
            let mut book = book();
            forge(&mut book);
            assert_eq!(restored(book).err(), Some(Damaged), "{forgery}");
        }
        // So many applications would be a list of a million pieces.
        let mut head = Vec::new();
        book().pack_head(&mut head);
        let mut many = Vec::new();
        for number in [FORMAT.into(), i64::from(u32::MAX)] {
            put(&mut many, number);
        }
        many.extend_from_slice(&head[2..]);
        assert_eq!(Restore::default().take(&many), Err(Damaged));
    }
}
