//! What cannot be archived. What can be is in the scenarios and the properties.

use tandem_domain::book::{Answer, Archiving, Command, MOST_AT_ONCE, Refusal};
use tandem_domain::loan::Action;
use tandem_domain::money::Amount;

use crate::fixture::{Desk, Papers, day};

fn archive(name: &str, loans: &[u32]) -> Command {
    let (name, loans) = (name.to_owned(), loans.to_vec());
    Command::Archive(Archiving { name, loans })
}

#[test]
fn what_cannot_be_archived_is_said() {
    let mut desk = Desk::new(&Papers::new().with("archive = { after_days = 1 }"));
    let today = day("2024-01-15");
    for key in ["A", "B", "C"] {
        desk.apply(key, "100.00", "1", &[]).unwrap();
        desk.accept(key).unwrap();
    }
    for key in ["A", "B"] {
        let repay = Action::Settle(Amount(10_000));
        desk.instruct(key, key, today, repay).unwrap();
    }
    let said = |desk: &mut Desk, command: Command| {
        let refusal = desk.run(&command).unwrap_err();
        format!("{}: {refusal}", refusal.code())
    };
    let early = "not_archivable: nothing is archived: loan `A` is not over for long enough";
    assert_eq!(said(&mut desk, archive("x", &[0])), early);
    desk.close();
    let unsigned = Desk::default().run(&archive("x", &[0]));
    assert_eq!(unsigned, Err(Refusal::NotSigned));
    assert_eq!(desk.run(&archive("first", &[1])), Ok(Answer::Done));
    assert_eq!(desk.run(&archive("first", &[1])), Ok(Answer::Known));
    let many: Vec<u32> = (0..=MOST_AT_ONCE as u32).collect();
    for (loans, expected) in [
        (
            &[0, 1][..],
            "not_archivable: nothing is archived: loan 1 is archived, or not there",
        ),
        (
            &[0, 3],
            "not_archivable: nothing is archived: loan 3 is archived, or not there",
        ),
        (
            &[0, 2],
            "not_archivable: nothing is archived: loan `C` is not over for long enough",
        ),
        (
            &[0, 0],
            "not_archivable: nothing is archived: the loans are not in order, or one is named twice",
        ),
        (
            &many,
            "not_archivable: nothing is archived: 50001 loans are too many, send at most 50000",
        ),
    ] {
        assert_eq!(said(&mut desk, archive("x", loans)), expected);
    }
    assert_eq!(desk.book.due_for_archive(), [0]);
    assert_eq!(desk.book.archived(), 1);
    // Without the clause loans stay for ever.
    let mut desk = Desk::new(&Papers::new());
    desk.apply("A", "100.00", "1", &[]).unwrap();
    desk.accept("A").unwrap();
    desk.instruct("P", "A", today, Action::Settle(Amount(10_000)))
        .unwrap();
    desk.close_until(day("2025-01-15"));
    assert_eq!(desk.book.due_for_archive(), [0; 0]);
}
