//! An application that two lenders refer: what each party is told of it, and when.

use tandem_domain::book::{Command, Underwriting};
use tandem_domain::policy::Outcome;

use super::book::Book;
use super::pages::console;
use super::*;
use tandem_engine::disclosure::only;

const PARTIES: [&str; 5] = ["harbour", "river", "cloud", "bazaar", "shield"];

/// Kinds of the events of an application that each party is told.
fn told(book: &Book, key: &str) -> [Vec<String>; 5] {
    let (place, parties) = book.desk.look(|book| {
        let agreement = &book.latest().unwrap().agreement;
        let party = |id| only(agreement.party_id(id).unwrap());
        (book.application_place(key), PARTIES.map(party))
    });
    parties.map(|party| {
        let told = book.desk.reader().events(party, 0, 10_000).unwrap();
        let told = told.into_iter().filter(|row| row.application == place);
        told.map(|row| row.kind).collect()
    })
}

async fn decline(book: &Book, key: &str, lender: &str) {
    let command = Command::Underwrite(Underwriting {
        application: key.to_owned(),
        lender: lender.to_owned(),
        outcome: Outcome::Decline(vec![0]),
    });
    book.desk.execute(command).await.unwrap();
}

#[tokio::test]
async fn each_is_told_what_concerns_it_of_what_two_lenders_refer() {
    let book = Book::open().await;
    let console = console(&book).await;
    book.refer("A-7").await;
    let page = "/console/applications/A-7";
    let mut people = Vec::new();
    for party in PARTIES {
        people.push(console.signed_in(party, party, &[Role::Risk]).await);
    }
    let [harbour, river, cloud, bazaar, _] = &mut people[..] else {
        unreachable!();
    };
    let waits = "It waits for a person at Cloud Bank, River Valley Bank, until";
    bazaar.get(page).await.says(waits);
    let (decided, by_person) = ("application.decided", "application.underwritten");
    let judges = told(&book, "A-7");
    assert_eq!(
        judges,
        [
            vec![decided],
            vec![decided],
            vec![decided],
            vec![decided],
            vec![]
        ]
    );

    // The first decision is told to whom it is of and to the platform, and to no other lender.
    decline(&book, "A-7", "river").await;
    let both = || vec![decided, by_person];
    assert_eq!(
        told(&book, "A-7"),
        [vec![decided], both(), vec![decided], both(), vec![]]
    );
    let said = "It waits for a person at Cloud Bank, until";
    bazaar.get(page).await.says(said);
    river.get(page).await.says("A person at your institution");
    for other in [harbour, cloud] {
        let seen = other.get(page).await.body;
        assert!(!seen.contains("A person at your institution"), "{seen}");
        assert!(!seen.contains("River Valley Bank, until"), "{seen}");
    }
    let list = "/console/referrals";
    river.get(list).await.says("A-3");
    assert!(!river.get(list).await.body.contains("A-7"));

    // What ends the wait is told to all who judged.
    decline(&book, "A-7", "cloud").await;
    let all = || vec![decided, by_person, by_person];
    assert_eq!(told(&book, "A-7"), [both(), all(), both(), all(), vec![]]);
}

#[tokio::test]
async fn what_is_taken_back_while_it_waits_is_told_to_all_who_judged() {
    let book = Book::open().await;
    let console = console(&book).await;
    book.refer("A-7").await;
    decline(&book, "A-7", "river").await;
    let application = "A-7".to_owned();
    let withdraw = Command::Withdraw { application };
    book.desk.execute(withdraw).await.unwrap();
    let (decided, withdrawn) = ("application.decided", "offer.withdrawn");
    let (judge, first) = (
        || vec![decided, withdrawn],
        || vec![decided, "application.underwritten", withdrawn],
    );
    assert_eq!(
        told(&book, "A-7"),
        [judge(), first(), judge(), first(), vec![]]
    );
    for party in ["cloud", "river", "bazaar"] {
        let mut browser = console.signed_in(party, party, &[Role::Risk]).await;
        let page = browser.get("/console/applications/A-7").await;
        page.says("Withdrawn");
        page.says("It waited for a person, and the platform took it back.");
        assert!(!page.body.contains("/A-7/decline"), "{}", page.body);
        let list = browser.get("/console/referrals").await;
        assert!(!list.body.contains("A-7"), "{}", list.body);
    }
}
