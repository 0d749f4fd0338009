//! Limits that span books: whatever is lost, repeated or late between them, all books together
//! never use more than the limit, and all room comes home in the end.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tandem_domain::agreement::{Agreement, BookSplit};
use tandem_domain::book::{Answer, Command, Event, Refusal, Slice};
use tandem_domain::calendar::Day;
use tandem_domain::loan::{Action, Status};
use tandem_domain::money::Amount;

use crate::fixture::{Desk, Papers, day};

const HOME: &str = "river-cloud";
const BOOKS: [&str; 3] = [HOME, "north", "south"];

/// A limit of each kind, small enough to be used up: what it is, and its amount.
const LIMITS: [(&str, i64); 7] = [
    ("per = \"total\"", 900_000),
    ("per = \"total\", lender = \"cloud\"", 250_000),
    ("per = \"partner\", lender = \"river\"", 700_000),
    ("per = \"region\"", 500_000),
    ("per = \"region\", region = \"east\"", 400_000),
    ("per = \"borrower\"", 300_000),
    ("per = \"day\"", 350_000),
];
const REGIONS: [&str; 2] = ["east", "west"];
const BORROWERS: [&str; 2] = ["ann", "bob"];
/// Place of the limit that is for each day.
const DAY: usize = 6;

fn clause(place: usize) -> String {
    format!("7.{place}")
}

/// The documents of a book, with some limits at home in [`HOME`].
fn papers(book: &str) -> Papers {
    let mut papers = Papers::new().with(&format!("id = \"{book}\""));
    for (place, (what, amount)) in LIMITS.iter().enumerate() {
        let home = match book {
            HOME => "",
            _ => ", home = \"river-cloud\"",
        };
        let (clause, amount) = (clause(place), amount / 100);
        papers = papers.with(&format!(
            "limit[{place}] = {{ clause = \"{clause}\", amount = \"{amount}.00 CNY\", {what}{home} }}"
        ));
    }
    papers
}

/// Every limit with every region or borrower that it is for.
fn rooms() -> Vec<(usize, Option<&'static str>)> {
    let rooms = LIMITS.iter().enumerate().flat_map(|(place, (what, _))| {
        let subjects: Vec<Option<&str>> = match *what {
            "per = \"region\"" => REGIONS.map(Some).to_vec(),
            "per = \"borrower\"" => BORROWERS.map(Some).to_vec(),
            _ => vec![None],
        };
        subjects.into_iter().map(move |subject| (place, subject))
    });
    rooms.collect()
}

/// A slice on its way.
#[derive(Clone, Debug)]
struct Message {
    to: usize,
    slice: Slice,
    sent_on: Day,
}

struct World {
    desks: [Desk; 3],
    /// Everything that was ever sent, in order; a message can come any number of times.
    sent: Vec<Message>,
    /// True for the messages that have come.
    come: Vec<bool>,
    /// What each book offered on each day.
    offered: BTreeMap<(Day, usize), Amount>,
    keys: u32,
}

#[derive(Clone, Debug)]
enum Step {
    Send(u8, u8, u8, i64),
    Deliver(prop::sample::Index),
    Lend(u8, u8, i64),
    Withdraw(u8, prop::sample::Index),
    Repay(u8, prop::sample::Index),
    Close(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0u8..3, 0u8..3, any::<u8>(), 1i64..500_000).prop_map(|(a, b, c, d)| Step::Send(a, b, c, d)),
        4 => any::<prop::sample::Index>().prop_map(Step::Deliver),
        6 => (0u8..3, any::<u8>(), 10_000i64..200_000).prop_map(|(a, b, c)| Step::Lend(a, b, c)),
        1 => (0u8..3, any::<prop::sample::Index>()).prop_map(|(a, b)| Step::Withdraw(a, b)),
        1 => (0u8..3, any::<prop::sample::Index>()).prop_map(|(a, b)| Step::Repay(a, b)),
        2 => (0u8..3).prop_map(Step::Close),
    ];
    prop::collection::vec(step, 1..120)
}

impl World {
    fn new() -> World {
        World {
            desks: BOOKS.map(|book| Desk::trusting(&papers(book))),
            sent: Vec::new(),
            come: Vec::new(),
            offered: BTreeMap::new(),
            keys: 0,
        }
    }

    fn key(&mut self) -> String {
        self.keys += 1;
        format!("K{}", self.keys)
    }

    /// Every book has a third of every limit, so that each can lend.
    fn share(&mut self) {
        for (place, subject) in rooms() {
            for to in [1, 2] {
                assert!(self.send(0, to, (place, subject), LIMITS[place].1 / 3));
            }
        }
        (0..self.sent.len()).for_each(|place| self.deliver(place));
    }

    /// True if it was sent.
    fn send(&mut self, from: usize, to: usize, room: (usize, Option<&str>), amount: i64) -> bool {
        let slice = Slice {
            key: self.key(),
            clause: clause(room.0),
            subject: room.1.map(str::to_owned),
            book: BOOKS[to].to_owned(),
            amount: Amount(amount),
        };
        let command = Command::SendSlice(slice.clone());
        let Ok(Answer::Done) = self.desks[from].run(&command) else {
            return false;
        };
        // The answer may have been lost and the command come again.
        assert_eq!(self.desks[from].run(&command), Ok(Answer::Known));
        let sent_on = self.desks[from].book.business_date();
        let book = BOOKS[from].to_owned();
        self.sent.push(Message {
            to,
            slice: Slice { book, ..slice },
            sent_on,
        });
        self.come.push(false);
        true
    }

    fn deliver(&mut self, place: usize) {
        let Message { to, slice, sent_on } = self.sent[place].clone();
        let desk = &mut self.desks[to];
        let answer = desk.run(&Command::ReceiveSlice { slice, sent_on });
        let early = sent_on > desk.book.business_date();
        match answer {
            Ok(Answer::Done) => assert!(!early && !std::mem::replace(&mut self.come[place], true)),
            Ok(Answer::Known) => assert!(self.come[place]),
            Err(Refusal::SliceTooEarly { .. }) => assert!(early && !self.come[place]),
            Err(refusal) => panic!("what was sent can be received: {refusal}"),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Send(from, to, room, amount) => {
                let rooms = rooms();
                // The limit per day is what depends on when a slice comes.
                let room = rooms.get(usize::from(room) % (2 * rooms.len()));
                let room = room.copied().unwrap_or((DAY, None));
                self.send(from.into(), to.into(), room, amount);
            }
            Step::Deliver(of) if !self.sent.is_empty() => self.deliver(of.index(self.sent.len())),
            Step::Deliver(_) => {}
            Step::Lend(at, who, amount) => {
                let key = self.key();
                let desk = &mut self.desks[usize::from(at)];
                let region = format!("region={}", REGIONS[usize::from(who) % 2]);
                let borrower = format!("borrower={}", BORROWERS[usize::from(who / 2) % 2]);
                let amount = format!("{}.{:02}", amount / 100, amount % 100);
                let options = [region.as_str(), borrower.as_str()];
                desk.apply(&key, &amount, "1", &options).unwrap();
                if who < 200 {
                    // A refusal says that nothing was offered.
                    let _ = desk.accept(&key);
                }
            }
            Step::Withdraw(at, of) => {
                let desk = &mut self.desks[usize::from(at)];
                if desk.book.application_count() > 0 {
                    let place = of.index(desk.book.application_count()) as u32;
                    let key = desk.book.application_in(place).key.to_owned();
                    let _ = desk.withdraw(&key);
                }
            }
            Step::Repay(at, of) => {
                let desk = &mut self.desks[usize::from(at)];
                if desk.book.loan_count() > 0 {
                    settle(desk, of.index(desk.book.loan_count()) as u32);
                }
            }
            Step::Close(at) => self.desks[usize::from(at)].close(),
        }
        self.check();
    }

    fn check(&mut self) {
        for (place, subject) in rooms() {
            let rooms = self
                .desks
                .each_ref()
                .map(|desk| desk.book.room(&clause(place), subject).unwrap());
            let limit = Amount(LIMITS[place].1);
            let most: Amount = rooms.iter().map(|room| room.most).sum();
            let under_way = self.sent.iter().zip(&self.come).filter(|(message, come)| {
                let slice = &message.slice;
                !**come && slice.clause == clause(place) && slice.subject.as_deref() == subject
            });
            let under_way: Amount = under_way.map(|(message, _)| message.slice.amount).sum();
            assert_eq!(most + under_way, limit, "{place} {subject:?}");
            for room in rooms {
                assert!(room.used <= room.most, "{place} {subject:?}: {room:?}");
            }
            if place == DAY {
                for (at, room) in rooms.iter().enumerate() {
                    let today = self.desks[at].book.business_date();
                    self.offered.insert((today, at), room.used);
                }
            }
        }
        // Books need not be on the same day.
        for &(day, _) in self.offered.keys() {
            let of_day = self.offered.range((day, 0)..=(day, BOOKS.len()));
            let sum: Amount = of_day.map(|(_, &amount)| amount).sum();
            assert!(sum <= Amount(LIMITS[DAY].1), "{day}: {sum:?}");
        }
    }

    /// Everything is delivered, every loan is repaid, and what is not at home is sent there.
    fn end(&mut self) {
        let today = self
            .desks
            .iter()
            .map(|desk| desk.book.business_date())
            .max();
        // Offers lapse within a week.
        let end = today.unwrap() + 8;
        for desk in &mut self.desks {
            desk.close_until(end);
            for place in 0..desk.book.loan_count() as u32 {
                settle(desk, place);
            }
        }
        (0..self.sent.len()).for_each(|place| self.deliver(place));
        self.check();
        for (place, subject) in rooms() {
            for from in [1, 2] {
                let room = self.desks[from].book.room(&clause(place), subject).unwrap();
                assert_eq!(room.used, Amount::ZERO);
                let sent = self.send(from, 0, (place, subject), room.most.0);
                assert_eq!(sent, !room.most.is_zero());
            }
        }
        (0..self.sent.len()).for_each(|place| self.deliver(place));
        self.check();
        for desk in &self.desks {
            assert_eq!(desk.book.held().count(), 0);
        }
    }
}

fn settle(desk: &mut Desk, place: u32) {
    let loan = desk.book.loan_in(place);
    if loan.position.status == Status::Active {
        let today = desk.book.business_date();
        let application = desk.book.key_of(&loan).to_owned();
        let position = desk.book.position_on(&loan, today);
        let payoff = position.payoff(&desk.book.terms(&loan), today).total();
        let key = format!("S{place}");
        let settled = desk.instruct(&key, &application, today, Action::Settle(payoff));
        assert_eq!(settled, Ok(Answer::Done));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn all_books_together_keep_the_limit(steps in steps()) {
        let mut world = World::new();
        world.share();
        steps.iter().for_each(|step| world.step(step));
        world.end();
        world.desks.iter().for_each(Desk::prove);
    }
}

/// The random histories are worth something: they lend from slices, are refused, and have messages
/// that come early and twice.
#[test]
fn a_history_in_which_everything_happens() {
    let mut world = World::new();
    for (place, subject) in rooms() {
        assert!(world.send(0, 1, (place, subject), LIMITS[place].1 / 2));
        assert!(!world.send(0, 2, (place, subject), LIMITS[place].1));
    }
    world.step(&Step::Lend(1, 0, 100_000));
    assert_eq!(world.desks[1].book.loan_count(), 0);
    (0..world.sent.len()).for_each(|place| world.deliver(place));
    (0..world.sent.len()).for_each(|place| world.deliver(place));
    world.step(&Step::Lend(1, 0, 100_000));
    assert_eq!(world.desks[1].book.loan_count(), 1);
    world.step(&Step::Close(1));
    assert!(world.send(1, 0, (DAY, None), 100_000));
    let last = world.sent.len() - 1;
    world.deliver(last);
    assert!(!world.come[last]);
    world.end();
    assert!(world.come[last]);
}

/// A book that is a day ahead sends what it has for its new day to one that is not there yet.
#[test]
fn a_limit_per_day_holds_on_every_date() {
    let mut world = World::new();
    for (place, subject) in rooms() {
        assert!(world.send(0, 1, (place, subject), LIMITS[place].1 / 2));
    }
    (0..world.sent.len()).for_each(|place| world.deliver(place));
    world.step(&Step::Lend(0, 0, 150_000));
    world.step(&Step::Close(0));
    assert!(world.send(0, 1, (DAY, None), 175_000));
    world.deliver(world.sent.len() - 1);
    world.step(&Step::Lend(1, 0, 150_000));
    world.step(&Step::Lend(1, 3, 150_000));
    world.step(&Step::Close(1));
    world.deliver(world.sent.len() - 1);
    world.step(&Step::Lend(1, 3, 150_000));
    let loans = world.desks.each_ref().map(|desk| desk.book.loan_count());
    assert_eq!(loans, [1, 2, 0]);
}

#[test]
fn what_is_wrong_with_a_slice_is_said() {
    let (unsigned, unlimited, home, north) = (0, 1, 2, 3);
    let mut desks = [
        Desk::default(),
        Desk::new(&Papers::new()),
        Desk::new(&papers(HOME)),
        Desk::new(&papers("north")),
    ];
    let slice = |clause: &str, subject: Option<&str>, book: &str, amount: i64| Slice {
        key: "S".to_owned(),
        clause: clause.to_owned(),
        subject: subject.map(str::to_owned),
        book: book.to_owned(),
        amount: Amount(amount),
    };
    let said = |answer: Result<Answer, Refusal>| {
        let refusal = answer.unwrap_err();
        format!("{}: {refusal}", refusal.code())
    };
    let today = day("2024-01-15");
    let receive = |slice, sent_on| Command::ReceiveSlice { slice, sent_on };
    let send = Command::SendSlice;
    for (desk, command, expected) in [
        (
            unsigned,
            send(slice("7.0", None, "north", 1)),
            "not_signed: no agreement is signed; sign one first",
        ),
        (
            unlimited,
            send(slice("7.0", None, "north", 1)),
            "bad_slice: the slice is not possible: the agreement has no limits",
        ),
        (
            home,
            send(slice("9.9", None, "north", 1)),
            "bad_slice: the slice is not possible: no limit has clause 9.9; there are 7.0, 7.1, 7.2, 7.3, 7.4, 7.5, 7.6",
        ),
        (
            home,
            send(slice("7.3", None, "north", 1)),
            "bad_slice: the slice is not possible: clause 7.3 is for each region; name it",
        ),
        (
            home,
            send(slice("7.5", Some(""), "north", 1)),
            "bad_slice: the slice is not possible: clause 7.5 is for each borrower; name it",
        ),
        (
            home,
            send(slice("7.4", Some("east"), "north", 1)),
            "bad_slice: the slice is not possible: clause 7.4 is one for all; name no region or borrower",
        ),
        (
            home,
            send(slice("7.3", Some(&"x".repeat(1_001)), "north", 1)),
            "long_value: `7.3` is too long: it has 1001 bytes; a text has at most 1000",
        ),
        (
            home,
            send(slice("7.0", None, HOME, 1)),
            "bad_slice: the slice is not possible: `river-cloud` is not the name of another book",
        ),
        (
            home,
            send(slice("7.0", None, "No book", 1)),
            "bad_slice: the slice is not possible: `No book` is not the name of another book",
        ),
        (
            north,
            receive(slice("7.0", None, "south", 1), today),
            "bad_slice: the slice is not possible: clause 7.0 is at home in book `river-cloud`; its slices come from there and go back there",
        ),
        (
            home,
            send(slice("7.0", None, "north", 0)),
            "bad_amount: the amount must be above zero and at most 10,000,000,000,000.00",
        ),
        (
            home,
            send(slice("7.0", None, "north", 900_001)),
            "too_much: 9,000.01 CNY is more than the room that is free, which is 9,000.00 CNY on 2024-01-15; send at most that",
        ),
        (
            north,
            send(slice("7.0", None, HOME, 1)),
            "too_much: 0.01 CNY is more than the room that is free, which is 0.00 CNY on 2024-01-15; send at most that",
        ),
        (
            home,
            receive(slice("7.0", None, "north", 1), today),
            "too_much: 0.01 CNY is more than what that book has of the limit, which is 0.00 CNY on 2024-01-15; send at most that",
        ),
        (
            north,
            receive(slice("7.0", None, HOME, 1), today + 1),
            "slice_too_early: slice `S` was sent on 2024-01-16, and the business date is 2024-01-15; receive it once that day is open",
        ),
    ] {
        assert_eq!(said(desks[desk].run(&command)), expected);
    }
    let most = slice("7.0", None, HOME, Amount::MAX.0);
    desks[north].run(&receive(most.clone(), today)).unwrap();
    let more = Slice {
        key: "T".to_owned(),
        ..most
    };
    assert_eq!(
        said(desks[north].run(&receive(more, today))),
        "too_much: 10,000,000,000,000.00 CNY is more than what a book can have of a limit, which is 0.00 CNY on 2024-01-15; send at most that"
    );
}

#[test]
fn the_same_key_is_the_same_slice() {
    let (mut home, mut north) = (Desk::new(&papers(HOME)), Desk::new(&papers("north")));
    let today = day("2024-01-15");
    let sent = |key: &str, book: &str, amount| Slice {
        key: key.to_owned(),
        clause: "7.0".to_owned(),
        subject: None,
        book: book.to_owned(),
        amount: Amount(amount),
    };
    let send = |key: &str, book: &str, amount| Command::SendSlice(sent(key, book, amount));
    let receive = |key: &str, book: &str, amount, sent_on| Command::ReceiveSlice {
        slice: sent(key, book, amount),
        sent_on,
    };
    let used = |key: &str| Err(Refusal::KeyUsed(key.to_owned()));
    assert_eq!(home.run(&send("S", "north", 100)), Ok(Answer::Done));
    // A retry is known on another day too.
    home.close();
    assert_eq!(home.run(&send("S", "north", 100)), Ok(Answer::Known));
    assert_eq!(home.run(&send("S", "north", 101)), used("S"));
    assert_eq!(home.run(&send("S", "south", 100)), used("S"));
    assert_eq!(north.run(&receive("S", HOME, 100, today)), Ok(Answer::Done));
    assert_eq!(
        north.run(&receive("S", HOME, 100, today)),
        Ok(Answer::Known)
    );
    assert_eq!(north.run(&receive("S", HOME, 99, today)), used("S"));
    // Each book chooses keys for itself.
    assert_eq!(home.run(&send("T", "south", 100)), Ok(Answer::Done));
    assert_eq!(north.run(&send("S", HOME, 60)), Ok(Answer::Done));
    assert_eq!(
        home.run(&receive("S", "north", 60, today)),
        Ok(Answer::Done)
    );
    assert_eq!(
        home.run(&receive("S", "south", 60, today)),
        Ok(Answer::Done)
    );
    let held: Vec<_> = home
        .book
        .held()
        .map(|held| (held.book, held.amount.0))
        .collect();
    assert_eq!(held, [("north", -40), ("south", -40)]);
}

#[test]
fn an_amendment_keeps_limits_with_slices() {
    let mut home = Desk::new(&papers(HOME));
    let slice = Slice {
        key: "S".to_owned(),
        clause: "7.3".to_owned(),
        subject: Some("east".to_owned()),
        book: "north".to_owned(),
        amount: Amount(100),
    };
    home.run(&Command::SendSlice(slice)).unwrap();
    let sign = |papers: Papers| Command::Sign(Box::new(papers.documents()));
    let next = papers(HOME).with("version = 2");
    for change in [
        "limit[3].region = \"east\"",
        "limit[3].per = \"borrower\"",
        "limit[3].lender = \"cloud\"",
        "limit[3].home = \"north\"",
        "limit[3] = nothing",
    ] {
        let refusal = home.run(&sign(next.clone().with(change))).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "clause 7.3 changes in more than its amount while slices of it are out; an amendment \
             keeps id, currency and parties, and may add parties at the end",
            "{change}"
        );
    }
    // A limit may come down below what is out: then there is no room until slices come back.
    let lower = next.with("limit[3].amount = \"0.50 CNY\"");
    assert_eq!(home.run(&sign(lower)), Ok(Answer::Done));
    let room = home.book.room("7.3", Some("east")).unwrap();
    assert_eq!((room.most, room.free()), (Amount(-50), Amount::ZERO));
}

#[test]
fn a_split_agreement_has_one_book_for_each_borrower() {
    let split = |part: u16, of: u16| {
        Desk::new(&Papers::new().with(&format!("split = {{ part = {part}, of = {of} }}")))
    };
    let mut parts = [split(1, 2), split(2, 2)];
    let mut taken = [0, 0];
    for number in 0..40 {
        let key = format!("A{number}");
        let borrower = format!("borrower=B{}", number / 2);
        let options = if number < 20 {
            vec![borrower.as_str()]
        } else {
            vec![]
        };
        let answers = parts
            .each_mut()
            .map(|desk| desk.apply(&key, "1000.00", "12", &options));
        let place = answers.iter().position(Result::is_ok).unwrap();
        taken[place] += 1;
        let refused = answers[1 - place].clone().unwrap_err();
        let (own, part) = (2 - place, 1 + place);
        assert_eq!(
            format!("{}: {refused}", refused.code()),
            format!(
                "other_part: application `{key}` belongs to part {part} of the split agreement, \
                 and this book is part {own}; send it to the book of that part"
            )
        );
    }
    assert_eq!(taken, [17, 23]);
    // What was decided before the split stays known where it was.
    let mut whole = Desk::new(&Papers::new());
    (0..9).for_each(|number| {
        whole
            .apply(&format!("A{number}"), "1000.00", "12", &[])
            .unwrap();
    });
    let second = Papers::new()
        .with("version = 2")
        .with("split = { part = 1, of = 2 }");
    whole
        .run(&Command::Sign(Box::new(second.documents())))
        .unwrap();
    let answers: Vec<_> = (0..18)
        .map(|number| whole.apply(&format!("A{number}"), "1000.00", "12", &[]))
        .collect();
    assert!(
        answers[..9]
            .iter()
            .all(|answer| *answer == Ok(Answer::Known))
    );
    assert!(answers[9..].iter().any(Result::is_err));
    assert!(answers[9..].iter().any(Result::is_ok));
}

/// Others can route as the book does: `docs/spec/limits.md` has these.
#[test]
fn parts_of_keys_that_are_written_down() {
    let part = |key: &str| BookSplit { part: 1, of: 3 }.part_of(key);
    assert_eq!(
        ["ann", "bob", "eve", "A-1", "A-7"].map(part),
        [2, 1, 1, 1, 3]
    );
}

#[test]
fn a_slice_says_which_limit_it_is_of() {
    let mut home = Desk::new(&papers(HOME));
    let slice = Slice {
        key: "S".to_owned(),
        clause: "7.5".to_owned(),
        subject: Some("ann".to_owned()),
        book: "north".to_owned(),
        amount: Amount(100),
    };
    home.run(&Command::SendSlice(slice)).unwrap();
    let Some(Event::SliceSent(sliced)) = home.events.last() else {
        panic!("{:?}", home.events.last());
    };
    let agreement: &Agreement = &home.version().agreement;
    let limit = &agreement.file.limit[usize::from(sliced.limit)];
    assert_eq!((limit.clause.as_str(), sliced.version), ("7.5", 0));
    // It counts for that borrower alone.
    let room = |subject| home.book.room("7.5", Some(subject)).unwrap().most;
    assert_eq!(
        [room("ann"), room("bob")],
        [Amount(299_900), Amount(300_000)]
    );
}
