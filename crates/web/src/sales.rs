//! Sales of shares take both sides: the seller and the buyer each instruct, and the sale is carried
//! out once both say the same. What one has instructed waits here for the other, as settlement
//! instructions do until they match.

use tandem_domain::book::{Answer, Command, Instruction, Refusal};
use tandem_domain::calendar::Day;
use tandem_domain::loan::{Action, Sale, Status};
use tandem_domain::money::{Amount, Rate, Rounding};

use crate::api::Api;
use crate::api::view::{Seen, View};
use crate::problem::{self, Problem};
use crate::refusals;
use crate::registry::{self, Registry, Row, Tables, values};

/// The table of sales that were instructed.
pub const SCHEMA: &str = "
create table if not exists sale (
    id integer primary key,
    book text not null,
    -- The side that instructed it, and its key.
    party text not null,
    key text not null,
    loan text not null,
    seller text not null,
    buyer text not null,
    -- In hundred-millionths.
    part integer not null,
    price integer not null,
    -- In days since 1970; until the end of the second, it waits.
    value_date integer not null,
    valid_to integer not null,
    -- The key in the book, of both sides; null while it waits for the other.
    book_key text,
    unique (book, party, key)
) strict;
create index if not exists sale_waiting on sale (book, loan, seller, buyer);
create index if not exists sale_key on sale (book, book_key);
create index if not exists sale_open on sale (book) where book_key is null;
";

/// Business days for which an instruction waits, after the business date on which it came.
const DAYS: u32 = 5;

/// Instructions of a party that wait in a book at most.
const MOST: i64 = 1_000;

/// Characters of a key in the book at most.
const LONGEST: usize = 80;

/// A sale as one of its sides instructed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instructed {
    pub(crate) id: i64,
    /// The side that instructed it.
    pub(crate) party: String,
    /// Its key of it.
    pub(crate) key: String,
    pub(crate) loan: String,
    pub(crate) seller: String,
    pub(crate) buyer: String,
    pub(crate) part: Rate,
    pub(crate) price: Rate,
    pub(crate) value_date: Day,
    /// Last day on which it waits.
    pub(crate) valid_to: Day,
    /// The key in the book, once both sides have instructed it.
    book_key: Option<String>,
}

const COLUMNS: &str =
    "id, party, key, loan, seller, buyer, part, price, value_date, valid_to, book_key from sale";

impl Instructed {
    fn read(row: &Row) -> registry::Result<Instructed> {
        Ok(Instructed {
            id: row.get(0)?,
            party: row.get(1)?,
            key: row.get(2)?,
            loan: row.get(3)?,
            seller: row.get(4)?,
            buyer: row.get(5)?,
            part: Rate(row.get(6)?),
            price: Rate(row.get(7)?),
            value_date: Day(row.get(8)?),
            valid_to: Day(row.get(9)?),
            book_key: row.get(10)?,
        })
    }

    /// The side that has not instructed it.
    pub(crate) fn other(&self) -> &str {
        match self.party == self.seller {
            true => &self.buyer,
            false => &self.seller,
        }
    }

    /// True if both mean the same sale.
    fn matches(&self, other: &Instructed) -> bool {
        let terms = |it: &Instructed| {
            let parties = [&it.loan, &it.seller, &it.buyer].map(String::clone);
            (parties, it.part, it.price, it.value_date)
        };
        terms(self) == terms(other)
    }

    /// What a party that may not see the loan is shown of it all the same: how much principal is
    /// sold, as the loan stands now, and for how many days it is past due.
    pub(crate) fn standing(&self, seen: &Seen<'_>) -> (Amount, i32) {
        let loan = seen.book.loan(&self.loan).map(|(_, loan)| loan);
        let active = loan.filter(|loan| loan.position.status == Status::Active);
        let seller = seen.agreement.party_id(&self.seller);
        active
            .zip(seller)
            .map_or((Amount::ZERO, 0), |(loan, seller)| {
                let split = loan.split(&seen.book.version_of(&loan).agreement);
                let outstanding = split.own(seller).outstanding;
                let closed = seen.book.business_date().previous();
                (
                    outstanding.at(self.part, Rounding::HalfUp),
                    loan.position.days_past_due(closed),
                )
            })
    }
}

/// What a side asks.
pub(crate) struct Asked {
    pub(crate) key: String,
    pub(crate) loan: String,
    pub(crate) sale: Sale,
    pub(crate) value_date: Day,
    /// True if it agrees to what waits, and nothing is to wait in its place.
    pub(crate) agrees: bool,
}

/// What a party asks for a loan.
pub(crate) enum Order {
    Command(Command),
    Sale(Asked),
}

impl Order {
    /// Has it carried out; a sale may wait for its other side first.
    pub(crate) async fn carry_out(
        self,
        registry: &Registry,
        view: &View,
    ) -> Result<Outcome, Problem> {
        match self {
            Order::Command(command) => view.desk.execute(command).await.map(Outcome::Carried),
            Order::Sale(asked) => instruct(registry, view, asked).await,
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It waits for the other side.
    Waits,
    /// Both sides have instructed it, and it was carried out.
    Carried(Answer),
}

/// What the registry has for an instruction.
enum Place {
    /// Nothing, and nothing that it matches.
    None,
    /// Nothing, and the party is not asked by a side that sees the loan either.
    Uninvited,
    /// It waits.
    Waits,
    /// Both sides have instructed it; the key in the book.
    Matched(String),
    /// The key has another.
    Used,
    /// There is no room for it.
    Full,
}

/// Takes an instruction of a sale by one of its sides, which must be the view's party: it waits for
/// the other side, or is carried out if that has instructed the same.
async fn instruct(registry: &Registry, view: &View, asked: Asked) -> Result<Outcome, Problem> {
    // Only the owner of the book knows how it stands.
    view.desk.submit(Vec::new()).await?;
    let failed = |error: registry::Error| Api::unreachable(&error);
    let agrees = asked.agrees;
    let (seen, side, instruction) = view.look(|seen| {
        let side = Side::of(seen, &asked)?;
        let instruction = Instruction {
            key: side.book_key.clone(),
            application: asked.loan,
            value_date: asked.value_date,
            action: Action::Transfer(asked.sale),
        };
        Ok::<_, Problem>((seen.find_loan(&side.own.loan), side, instruction))
    })?;
    let mut place = registry
        .change(|tables| side.place(tables, seen.is_ok(), false))
        .map_err(failed)?;
    if let (Place::None, false) = (&place, agrees) {
        // Whatever the book would refuse at once is refused at once.
        let refused = view
            .desk
            .look(|book| book.can_instruct(instruction.clone()));
        refused.map_err(|refusal| side.refused(refusal))?;
        place = registry
            .change(|tables| side.place(tables, seen.is_ok(), true))
            .map_err(failed)?;
    }
    let book_key = match (place, seen) {
        (Place::Matched(book_key), _) => book_key,
        (Place::Waits, _) => return Ok(Outcome::Waits),
        (Place::Used, _) => return Err(Refusal::KeyUsed(side.own.key).into()),
        (Place::Uninvited, Err(problem)) => return Err(problem),
        (Place::None | Place::Uninvited, _) => {
            let message = "the other side's instruction does not wait any more: it was taken back, \
                           has lapsed or is carried out";
            return Err(Problem::new(problem::STATE, message));
        }
        (Place::Full, _) => {
            let message = format!(
                "{MOST} sales wait for their other sides already; take some back, or wait until \
                 they lapse"
            );
            return Err(Problem::new(problem::STATE, message));
        }
    };
    let key = book_key.clone();
    let command = Command::Instruct(Instruction { key, ..instruction });
    match view.desk.execute(command).await {
        Ok(answer) => Ok(Outcome::Carried(answer)),
        // Whichever side sends it again has it carried out.
        Err(problem) if problem.retryable => Err(problem),
        Err(problem) => {
            if view.desk.look(|book| book.instruction(&book_key).is_none()) {
                registry
                    .change(|tables| side.undo(tables, &book_key))
                    .map_err(failed)?;
            }
            Err(problem)
        }
    }
}

/// One side's instruction.
struct Side {
    book: String,
    own: Instructed,
    /// Its key in the book, if the sale is carried out under that.
    book_key: String,
    /// The name space of the seller's keys.
    sellers: String,
    today: Day,
}

impl Side {
    fn of(seen: &Seen<'_>, asked: &Asked) -> Result<Side, Problem> {
        let sale = &asked.sale;
        let book_key = seen.book_key(seen.party, &asked.key);
        if asked.key.is_empty() || book_key.chars().count() > LONGEST {
            let space = seen.book_key(seen.party, "").chars().count();
            let most = LONGEST - space;
            let message = format!("a reference of yours has 1 to {most} characters");
            return Err(Problem::field("/reference", message));
        }
        let today = seen.book.business_date();
        Ok(Side {
            book: seen.agreement.file.id.clone(),
            own: Instructed {
                id: 0,
                party: seen.id().to_owned(),
                key: asked.key.clone(),
                loan: asked.loan.clone(),
                seller: seen.name(sale.seller).to_owned(),
                buyer: seen.name(sale.buyer).to_owned(),
                part: sale.part,
                price: sale.price,
                value_date: asked.value_date,
                valid_to: today.plus_business_days(DAYS),
                book_key: None,
            },
            book_key,
            sellers: seen.book_key(sale.seller, ""),
            today,
        })
    }

    /// Finds the place of the instruction: what it is already, or what it matches; with `keep` it
    /// takes a new one if it has none.
    fn place(&self, tables: &Tables<'_>, sees: bool, keep: bool) -> registry::Result<Place> {
        let (book, own) = (&self.book, &self.own);
        let text = "delete from sale where book = ?1 and book_key is null and valid_to < ?2";
        tables.execute(text, values![book, self.today.0])?;
        let text = format!("select {COLUMNS} where book = ?1 and party = ?2 and key = ?3");
        let values = values![book, &own.party, &own.key];
        if let Some(known) = tables.row(&text, values, Instructed::read)? {
            return Ok(match known.book_key {
                _ if !known.matches(own) => Place::Used,
                Some(book_key) => Place::Matched(book_key),
                None => Place::Waits,
            });
        }
        let text = format!(
            "select {COLUMNS} where book = ?1 and party = ?2 and loan = ?3 and book_key is null
             and (seller = ?4 or buyer = ?4) order by id"
        );
        let values = values![book, own.other(), &own.loan, &own.party];
        let waiting = tables.rows(&text, values, Instructed::read)?;
        if waiting.is_empty() && !sees {
            return Ok(Place::Uninvited);
        }
        if let Some(found) = waiting.iter().find(|found| found.matches(own)) {
            let key = match found.party == found.seller {
                true => &found.key,
                false => &own.key,
            };
            let book_key = format!("{}{key}", self.sellers);
            let text = "update sale set book_key = ?2 where id = ?1";
            tables.execute(text, values![found.id, &book_key])?;
            self.keep(tables, Some(&book_key))?;
            return Ok(Place::Matched(book_key));
        }
        if !keep {
            return Ok(Place::None);
        }
        let text = "select count(*) from sale where book = ?1 and party = ?2 and book_key is null";
        if tables.value::<i64>(text, values![book, &own.party])? >= MOST {
            return Ok(Place::Full);
        }
        self.keep(tables, None)?;
        Ok(Place::Waits)
    }

    /// What the book refuses, with the key as the party knows it.
    fn refused(&self, refusal: Refusal) -> Refusal {
        match refusal {
            Refusal::KeyUsed(_) => Refusal::KeyUsed(self.own.key.clone()),
            refusal => refusal,
        }
    }

    fn keep(&self, tables: &Tables<'_>, book_key: Option<&str>) -> registry::Result<()> {
        let own = &self.own;
        refusals::forget(tables, &self.book, &own.party, &own.key)?;
        let text = "insert into sale
            (book, party, key, loan, seller, buyer, part, price, value_date, valid_to, book_key)
            values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let values = values![
            &self.book,
            &own.party,
            &own.key,
            &own.loan,
            &own.seller,
            &own.buyer,
            own.part.0,
            own.price.0,
            own.value_date.0,
            own.valid_to.0,
            book_key
        ];
        tables.execute(text, values).map(drop)
    }

    /// Has the other side wait again, after the book refused the sale to this one.
    fn undo(&self, tables: &Tables<'_>, book_key: &str) -> registry::Result<()> {
        let (book, own) = (&self.book, &self.own);
        let text = "delete from sale where book = ?1 and party = ?2 and key = ?3";
        tables.execute(text, values![book, &own.party, &own.key])?;
        let text = "update sale set book_key = null where book = ?1 and book_key = ?2";
        tables.execute(text, values![book, book_key]).map(drop)
    }
}

/// Sales of which the view's party is a side and that wait for one of both, oldest first.
pub(crate) fn waiting(registry: &Registry, view: &View) -> registry::Result<Vec<Instructed>> {
    let (party, today) = view.look(|seen| (seen.id().to_owned(), seen.book.business_date()));
    let text = format!(
        "select {COLUMNS} where book = ?1 and (seller = ?2 or buyer = ?2) and book_key is null
         and valid_to >= ?3 order by id"
    );
    let values = values![view.desk.name(), party, today.0];
    registry.read(|tables| tables.rows(&text, values, Instructed::read))
}

/// Takes back an instruction of a party, by its key, while it waits; false if none does.
pub(crate) fn take_back(
    registry: &Registry,
    book: &str,
    party: &str,
    key: &str,
) -> registry::Result<bool> {
    registry.change(|tables| {
        let text = "delete from sale
                    where book = ?1 and party = ?2 and key = ?3 and book_key is null";
        Ok(tables.execute(text, values![book, party, key])? == 1)
    })
}

/// The key under which a party instructed a sale that the book has under this key.
pub(crate) fn own_key(
    registry: &Registry,
    book: &str,
    party: &str,
    book_key: &str,
) -> registry::Result<Option<String>> {
    let text = "select key from sale where book = ?1 and book_key = ?2 and party = ?3";
    let values = values![book, book_key, party];
    registry.read(|tables| tables.row(text, values, |row| row.get(0)))
}
