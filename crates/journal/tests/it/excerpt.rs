//! What a reader is shown of a batch, and that nothing else passes for it.

use proptest::collection::vec;
use proptest::prelude::*;
use tandem_journal::{Batch, BatchBuilder, Excerpt, Hash, Journal, Memory, Readers};

use crate::{demo, read_all};

/// Bytes of each part, and who is shown them: none for all.
type Parts = Vec<(Vec<u8>, Option<u8>)>;

/// A journal with one batch of these events.
fn journal(events: &[Parts]) -> (Journal<Memory>, Batch) {
    let mut journal = Journal::open(Memory::new(demo())).unwrap();
    let mut batch = BatchBuilder::new();
    for event in events {
        let encode = |body: &mut Vec<u8>, parts: &mut Vec<(usize, Readers)>| {
            for (bytes, readers) in event {
                body.extend(bytes);
                parts.push((body.len(), readers.map_or(Readers::Shared, Readers::Only)));
            }
        };
        batch.push_parts(encode).unwrap();
    }
    journal.append(&mut batch).unwrap();
    let batch = read_all(&mut journal).unwrap().pop().unwrap();
    (journal, batch)
}

fn excerpt(journal: &Journal<Memory>, batch: &Batch, reader: u8, shown: &[u32]) -> Excerpt {
    Excerpt::of(batch, journal.secret(), reader, shown).unwrap()
}

/// Three events: one shared, one in parts, one that is not shown.
fn example() -> (Journal<Memory>, Excerpt) {
    let parts = vec![
        (b"ab shared".to_vec(), None),
        (b"for 0 and 2".to_vec(), Some(0b101)),
        (b"for nobody".to_vec(), Some(0)),
    ];
    let other = vec![(b"cd other".to_vec(), None)];
    let (journal, batch) = journal(&[other.clone(), parts, other]);
    let excerpt = excerpt(&journal, &batch, 2, &[0, 1]);
    (journal, excerpt)
}

/// What a reader of the example says after `damage`.
fn verdict(damage: impl FnOnce(&mut Excerpt)) -> String {
    let (journal, mut excerpt) = example();
    damage(&mut excerpt);
    let checked = excerpt.check(&demo(), journal.genesis());
    let checked = checked.and_then(|_| excerpt.parts().map(|_| ()));
    checked.unwrap_err().to_string()
}

#[test]
fn a_reader_is_shown_its_parts_and_no_others() {
    let (journal, excerpt) = example();
    let head = excerpt.check(&demo(), journal.genesis()).unwrap();
    assert_eq!(head, journal.head());
    assert_eq!(excerpt.kinds, b"cdabcd");
    let parts = excerpt.parts().unwrap();
    let event = &parts[&1];
    assert_eq!(event.shared.as_ref().unwrap()[&0], b"ab shared");
    assert_eq!(event.addressed[&1], b"for 0 and 2");
    assert_eq!(event.addressed.len(), 1);
    let shown = format!("{excerpt:?}");
    let nobody = format!("{:?}", b"for nobody").replace(['[', ']'], "");
    assert!(!shown.contains(&nobody), "{shown}");
}

#[test]
fn whatever_is_changed_is_noticed() {
    let changed = "batch 1 does not match its hash: something in it was changed, or the batch \
                   before is another";
    for damage in [
        |excerpt: &mut Excerpt| excerpt.shown[1].bytes[5] ^= 1,
        |excerpt: &mut Excerpt| excerpt.shown[1].salt[0] ^= 1,
        |excerpt: &mut Excerpt| excerpt.section.bytes[5] ^= 1,
        |excerpt: &mut Excerpt| excerpt.section.salt[0] ^= 1,
        |excerpt: &mut Excerpt| excerpt.sections[7].0[0] ^= 1,
        |excerpt: &mut Excerpt| excerpt.proof[0].0[0] ^= 1,
        |excerpt: &mut Excerpt| excerpt.kinds[4] ^= 1,
        |excerpt: &mut Excerpt| excerpt.hash.0[0] ^= 1,
        |excerpt: &mut Excerpt| excerpt.reader = 3,
    ] {
        assert_eq!(verdict(damage), changed);
    }
    let count = "batch 1 has another number of hashes than its shown events need: an event was \
                 left out or put in";
    assert_eq!(verdict(|excerpt| drop(excerpt.shown.remove(1))), count);
    assert_eq!(verdict(|excerpt| excerpt.proof.push(Hash([0; 32]))), count);
    let malformed = "batch 1 is malformed: its parts are not those of events in order";
    assert_eq!(verdict(|excerpt| excerpt.shown.reverse()), malformed);
    assert_eq!(verdict(|excerpt| excerpt.shown[1].event = 3), malformed);
    assert_eq!(verdict(|excerpt| excerpt.reader = 9), malformed);
    assert_eq!(verdict(|excerpt| excerpt.kinds.truncate(5)), malformed);
    assert_eq!(
        verdict(|excerpt| excerpt.seq = 2),
        "batch 1 is missing: batch 2 stands in its place"
    );
}

fn part() -> impl Strategy<Value = (Vec<u8>, Option<u8>)> {
    (vec(any::<u8>(), 0..20), proptest::option::of(any::<u8>()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_choice_is_proved(
        events in vec((vec(part(), 1..5), any::<bool>()), 1..40),
        reader in 0..8u8,
    ) {
        let parts: Vec<Parts> = events.iter().map(|(parts, _)| parts.clone()).collect();
        let (journal, batch) = journal(&parts);
        let shown: Vec<u32> = (0..).zip(&events).filter(|(_, (_, shown))| *shown).map(|(place, _)| place).collect();
        let excerpt = excerpt(&journal, &batch, reader, &shown);
        prop_assert_eq!(excerpt.check(&demo(), journal.genesis()), Ok(journal.head()));
        // The kind of an event of several parts may be spread over them.
        let Ok(known) = excerpt.parts() else { return Ok(()) };
        for (place, (parts, is_shown)) in (0..).zip(&events) {
            let known = known.get(&place).cloned().unwrap_or_default();
            prop_assert_eq!(known.shared.is_some(), *is_shown);
            for (part, (bytes, readers)) in (0..).zip(parts) {
                let shared = known.shared.as_ref().and_then(|shared| shared.get(&part));
                let addressed = known.addressed.get(&part);
                let (is_shared, is_addressed) = match readers {
                    None => (*is_shown, false),
                    Some(set) => (false, set >> reader & 1 == 1),
                };
                prop_assert_eq!(shared.copied(), is_shared.then_some(bytes.as_slice()));
                prop_assert_eq!(addressed.copied(), is_addressed.then_some(bytes.as_slice()));
            }
        }
    }
}
