//! How long closing a day takes, and how much memory loans take.

use std::hint::black_box;
use std::time::Instant;

use serde_json::json;
use tandem_domain::book::Book;

use super::portfolio::{BookDesk, Desk, OVERDUE, PAYMENTS, Portfolio, SPREAD, close};
use super::{OWN_STATUS, cpu_seconds, memory_bytes, round};
use crate::export;
use crate::fail::{Failure, Outcome};
use crate::programme::Programme;
use crate::run::progress;

/// Day closes that are measured of each kind.
const CLOSES: usize = 3;

pub(super) fn measure(programme: &Programme, loans: u64) -> Outcome {
    let mut portfolio = Portfolio::of(programme, loans)?;
    let before = memory_bytes(OWN_STATUS, "VmRSS");
    let mut desk = BookDesk::default();
    let bar = progress(portfolio.steps(), "commands");
    let started = Instant::now();
    portfolio.grow(&mut desk, &bar)?;
    let grown = started.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let per_loan = memory_bytes(OWN_STATUS, "VmRSS")
        .zip(before)
        .map(|(after, before)| (after - before) as f64 / loans as f64);
    let overdue = count_overdue(desk.book());

    let month = PAYMENTS + 1;
    let (mut paid, mut unpaid, mut paying) = (Vec::new(), Vec::new(), 0.0);
    // Of the closes for which nobody has paid: others that run beside them take time of the clock.
    let mut processor = Vec::new();
    for started in portfolio.days() {
        while desk.book().business_date() < started.plus_months(month) {
            close(&mut desk)?;
        }
        let comes_in = paid.len() < CLOSES;
        let begun = Instant::now();
        if comes_in {
            portfolio.collect(&mut desk, started, month, &bar)?;
            paying += begun.elapsed().as_secs_f64();
        }
        let (begun, cpu) = (Instant::now(), cpu_seconds("/proc/self/stat"));
        close(&mut desk)?;
        let took = begun.elapsed().as_secs_f64();
        if comes_in {
            paid.push(took);
        } else {
            unpaid.push(took);
            processor.push(cpu_seconds("/proc/self/stat") - cpu);
        }
        if unpaid.len() == CLOSES {
            break;
        }
    }
    let (paid, unpaid, processor) = (median(paid), median(unpaid), median(processor));
    let due = loans as f64 / SPREAD as f64;
    // Of every loan on the agenda its place and its next day are read; one that falls due is read
    // and written once.
    let own = desk.book().loan_bytes() as f64 / loans as f64;
    let touched = |unpaid: f64| 8.0 * due + unpaid * (2.0 * own + 16.0);
    let (touched, unpaid_touched) = (touched(due / OVERDUE as f64), touched(due));
    let bandwidth = read_bandwidth();
    let (streaming, unpaid_streaming) = (touched / bandwidth, unpaid_touched / bandwidth);
    let all_streaming = loans as f64 * own / bandwidth;
    if let Some(finding) = desk.book().findings().first() {
        return Err(Failure(format!(
            "the book is wrong after the run: {finding}"
        )));
    }
    let per_loan_shown = per_loan.map_or("unknown".into(), |bytes| format!("{bytes:.0}"));
    export::show(&format!(
        "{loans} active loans with {PAYMENTS} payments each, {overdue} of them overdue, grown in {grown:.0} s\n\
         {per_loan_shown} bytes of memory a loan, {own:.0} of them its own\n\
         closing a day, {due:.0} loans on the agenda:\n\
         all but the overdue have paid: {:.1} ms; touches {:.1} MB, {:.0} times as long as these stream at \
         {:.1} GB/s, {:.2} times as long as all loans do\n\
         none has paid: {:.0} ms ({:.0} ms of processor time); touches {:.0} MB, {:.0} times as long as \
         these stream\n\
         {:.2} µs a payment; the book is right\n{}\n",
        paid * 1e3,
        touched / 1e6,
        paid / streaming,
        bandwidth / 1e9,
        paid / all_streaming,
        unpaid * 1e3,
        processor * 1e3,
        unpaid_touched / 1e6,
        unpaid / unpaid_streaming,
        paying * 1e6 / (due * CLOSES as f64),
        json!({
            "loans": loans,
            "overdue": overdue,
            "bytes_per_loan": per_loan.map(f64::round),
            "close_ms": round(paid * 1e3),
            "touched_mb": round(touched / 1e6),
            "times_streaming": round(paid / streaming),
            "times_streaming_all": round(paid / all_streaming),
            "close_unpaid_ms": round(unpaid * 1e3),
            "close_unpaid_cpu_ms": round(processor * 1e3),
            "unpaid_touched_mb": round(unpaid_touched / 1e6),
            "unpaid_times_streaming": round(unpaid / unpaid_streaming),
            "read_gb_per_s": round(bandwidth / 1e9),
            "payment_us": round(paying * 1e6 / (due * CLOSES as f64)),
            "grown_s": round(grown),
        })
    ))
}

fn count_overdue(book: &Book) -> usize {
    let today = book.business_date();
    let overdue = book
        .loans()
        .filter(|loan| loan.position.days_past_due(today) > 0);
    overdue.count()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Bytes a second that one core reads in a row.
fn read_bandwidth() -> f64 {
    const WORDS: usize = 1 << 26;
    let words: Vec<u64> = (0..WORDS as u64).collect();
    let pass = || {
        let begun = Instant::now();
        black_box(
            black_box(&words)
                .iter()
                .fold(0u64, |sum, word| sum.wrapping_add(*word)),
        );
        (8 * WORDS) as f64 / begun.elapsed().as_secs_f64()
    };
    (0..5).map(|_| pass()).fold(0.0, f64::max)
}
