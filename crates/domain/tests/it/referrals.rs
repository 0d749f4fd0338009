//! Referrals of journals that were written before people could decide them.

use tandem_domain::book::{
    ApplicationState, Command, Decided, Event, Refusal, Underwriting, Verdict,
};
use tandem_domain::policy::Outcome;

use crate::fixture::{Desk, Papers};

#[test]
fn a_referral_without_a_last_day_stays_as_it_is() {
    let mut desk = Desk::new(&Papers::new());
    let application = desk.application("A", "1000.00", "12", &[]);
    let old = Event::Decided(Decided {
        key: application.key,
        body: 1,
        borrower: None,
        version: 0,
        values: application.values,
        decisions: application.decisions,
        barred: Vec::new(),
        verdict: Verdict::Referred(vec![0], None),
    });
    desk.book.apply(&old, &mut |_| {});
    desk.twin.apply(&old, &mut |_| {});
    desk.events.push(old);
    for _ in 0..20 {
        desk.close();
    }
    let state = desk.book.application("A").unwrap().state;
    assert_eq!(state, ApplicationState::Referred);
    let decline = Command::Underwrite(Underwriting {
        application: "A".to_owned(),
        lender: "river".to_owned(),
        outcome: Outcome::Decline(vec![0]),
    });
    let refusal: Refusal = desk.run(&decline).unwrap_err();
    assert_eq!(
        format!("{}: {refusal}", refusal.code()),
        "not_possible: a decision is not possible: the application was referred when referrals could \
         not be decided; send it anew"
    );
}
