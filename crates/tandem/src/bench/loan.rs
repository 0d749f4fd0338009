//! How fast loans are planned and evaluated, on one core.

use std::hint::black_box;
use std::time::Instant;

use serde_json::json;
use tandem_domain::agreement::{Agreement, Amortisation, Product};
use tandem_domain::calendar::{BusinessCalendar, Day};
use tandem_domain::funding::Part;
use tandem_domain::loan::{
    Action, OwnTerms, Split, Status, Terms, Transaction, evaluate, schedule,
};
use tandem_domain::money::{Amount, Rate};
use tandem_domain::party::PartyId;

use crate::export;
use crate::fail::{Failure, Outcome};

const MONTHS: u16 = 36;
/// Different loans, so that the processor cannot learn one by heart.
const LOANS: i64 = 64;
/// The fastest of several rounds is told: other programs on the machine only ever slow it down.
const ROUNDS: u32 = 7;

struct Sample {
    own: OwnTerms,
    instalment: Amount,
    parts: [Part; 3],
    history: Vec<Transaction>,
    end: Day,
}

impl Sample {
    fn new(product: &Product, number: i64) -> Sample {
        let principal = Amount(1_200_000 + 7_919 * number);
        let rate = Rate(9_000_000 + 211_111 * number);
        let day = Day(19_737 + number as i32);
        let calendar = BusinessCalendar::weekends();
        let own = OwnTerms::new(product.clone(), calendar, (principal, rate), MONTHS, day);
        let rows = schedule(&own.terms());
        let payments = rows.iter().zip(1..).map(|(row, number)| Transaction {
            day: row.day,
            action: Action::Repay(row.total()),
            number,
        });
        let history: Vec<_> = payments.collect();
        let end = history.last().map_or(day, |last| last.day);
        let part = |tenths: i64, points: i64| Part {
            amount: Amount(principal.0 * tenths / 10),
            rate: Rate(rate.0 + points),
        };
        let mut parts = [part(0, 0), part(3, 1_000_000), part(1, -1_000_000)];
        parts[0].amount = principal - parts[1].amount - parts[2].amount;
        let instalment = evaluate(&own.terms(), &[], day).contract.instalment;
        Sample {
            own,
            instalment,
            parts,
            history,
            end,
        }
    }

    /// The terms as a book keeps them, with the first instalment known.
    fn terms(&self) -> Terms<'_> {
        Terms {
            instalment: Some(self.instalment),
            ..self.own.terms()
        }
    }
}

/// Measures and prints; the last line is JSON.
pub(super) fn measure(agreement: &Agreement) -> Outcome {
    let mut agreement = agreement.clone();
    agreement.lenders = vec![PartyId(0), PartyId(1), PartyId(2)];
    let mut product = agreement.file.product.clone();
    product.amortisation = Amortisation::EqualInstalment;
    let samples: Vec<_> = (0..LOANS)
        .map(|number| Sample::new(&product, number))
        .collect();
    for sample in &samples {
        let position = evaluate(&sample.terms(), &sample.history, sample.end);
        if position.status != Status::Repaid {
            return Err(Failure("a loan that was paid in full is not repaid".into()));
        }
    }
    let evaluations = a_second(&samples, |sample| {
        let terms = sample.terms();
        let position = evaluate(&terms, &sample.history, sample.end);
        let split = Split::of(&position, terms.principal, &sample.parts, &agreement);
        split.own[0].interest.0
    });
    let positions = a_second(&samples, |sample| {
        evaluate(&sample.terms(), &sample.history, sample.end)
            .totals
            .interest
            .0
    });
    let schedules = a_second(&samples, |sample| {
        schedule(&sample.own.terms()).len() as i64
    });
    let text = format!(
        "One core, {MONTHS} equal instalments, fastest of {ROUNDS} rounds.\n  \
         {evaluations:>9} evaluations a second, each of {MONTHS} instalments, {MONTHS} payments and \
         three lenders\n  \
         {positions:>9} without parting it among the lenders\n  \
         {schedules:>9} schedules a second, each with its instalment calculated"
    );
    export::show(&format!(
        "{text}\n{}\n",
        json!({
            "evaluations_per_s": evaluations,
            "positions_per_s": positions,
            "schedules_per_s": schedules,
            "instalments": MONTHS,
            "lenders": 3,
        })
    ))
}

/// How often a second something can be done to each of the samples in turn.
fn a_second(samples: &[Sample], work: impl Fn(&Sample) -> i64) -> u64 {
    let mut best = f64::INFINITY;
    let times = 400;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..times {
            for sample in samples {
                black_box(work(black_box(sample)));
            }
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    (f64::from(times) * samples.len() as f64 / best) as u64
}
