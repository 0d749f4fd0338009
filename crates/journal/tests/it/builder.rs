//! Building a body and taking it apart again.

use proptest::collection::vec;
use proptest::prelude::*;
use tandem_journal::{BatchBuilder, Journal, MAX_BODY, MAX_EVENT, Memory, PushError};

use crate::{demo, events, read_all};

#[test]
fn an_event_that_does_not_fit_goes_into_the_next_batch() {
    let mut batch = BatchBuilder::new();
    batch.push(&vec![1; MAX_BODY - 3 - 100]).unwrap();
    assert_eq!(batch.body_len(), MAX_BODY - 100);
    let full = batch.push(&[2; 100]).unwrap_err();
    assert_eq!(full, PushError::Full);
    assert_eq!(
        full.to_string(),
        "the batch is full: append it to the journal, then add this event again"
    );
    assert_eq!((batch.len(), batch.body_len()), (1, MAX_BODY - 100));
    batch.push(&[2; 98]).unwrap();
    assert_eq!((batch.len(), batch.body_len()), (2, MAX_BODY));
    assert_eq!(batch.push(&[]), Err(PushError::Full));

    batch.clear();
    assert!(batch.is_empty());
    assert_eq!(batch.body_len(), 0);
}

#[test]
fn an_event_larger_than_a_batch_is_an_error() {
    let mut batch = BatchBuilder::new();
    let error = batch.push(&vec![0; MAX_EVENT + 1]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "an event of 524286 bytes fits into no batch; the most is 524285: split it up"
    );
    assert!(batch.is_empty());
    batch.push(&vec![0; MAX_EVENT]).unwrap();
    assert_eq!(batch.body_len(), MAX_BODY);
    assert_eq!(
        batch.push(&vec![0; MAX_EVENT + 1]),
        Err(PushError::TooLarge { len: MAX_EVENT + 1 })
    );
}

#[test]
#[should_panic(expected = "an encoder may only append to the buffer")]
fn an_encoder_may_not_touch_earlier_events() {
    let mut batch = BatchBuilder::new();
    batch.push(b"earlier").unwrap();
    let _ = batch.push_with(Vec::clear);
}

#[test]
fn appending_nothing_does_nothing() {
    let mut journal = Journal::open(Memory::new(demo())).unwrap();
    assert_eq!(
        journal.append(&mut BatchBuilder::new()).unwrap(),
        journal.genesis()
    );
    assert_eq!(journal.stats().unwrap().batches, 0);
}

fn event() -> impl Strategy<Value = Vec<u8>> {
    // The lengths where the prefix grows matter more than the bytes.
    prop_oneof![
        4 => vec(any::<u8>(), 0..40),
        2 => (120usize..136).prop_map(|len| vec![7; len]),
        1 => (16_380usize..16_390).prop_map(|len| vec![8; len]),
        1 => (0usize..MAX_EVENT).prop_map(|len| vec![9; len]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_goes_in_comes_out(written in vec(event(), 0..20)) {
        let mut journal = Journal::open(Memory::new(demo())).unwrap();
        let mut batch = BatchBuilder::new();
        for (i, event) in written.iter().enumerate() {
            // Both ways of adding an event are the same.
            let encode = |body: &mut Vec<u8>| event.iter().for_each(|&byte| body.push(byte));
            let push = |batch: &mut BatchBuilder| {
                if i % 2 == 0 { batch.push(event) } else { batch.push_with(encode) }
            };
            if push(&mut batch) == Err(PushError::Full) {
                journal.append(&mut batch).unwrap();
                push(&mut batch).unwrap();
            }
            prop_assert!(batch.body_len() <= MAX_BODY);
        }
        journal.append(&mut batch).unwrap();
        prop_assert!(batch.is_empty());

        let stats = journal.stats().unwrap();
        let batches = read_all(&mut journal).unwrap();
        prop_assert_eq!(stats.batches, batches.len() as u64);
        prop_assert_eq!(stats.events, written.len() as u64);
        prop_assert_eq!(stats.body_bytes, batches.iter().map(|batch| batch.body.len() as u64).sum::<u64>());
        prop_assert!(events(&batches).into_iter().eq(&written));
    }
}
