//! The log as the service keeps it, and what tests of its chains need.

use std::sync::Arc;

use tandem_client::system_time;

use super::*;
use crate::metrics::Metrics;

pub(super) fn entry(party: &str, object: &str) -> Entry {
    Entry {
        address: "10.0.0.5".to_owned(),
        book: "marketplace".to_owned(),
        status: Some(200),
        ..Entry::new((party, "li"), Act::Viewed, object, 1_700_000_000)
    }
}

/// A file with three entries of a party and one of another between them.
pub(super) fn filled() -> NodeFile {
    let file = NodeFile::in_memory(&SCHEMAS).unwrap();
    let entries = [
        ("river", "/1"),
        ("river", "/2"),
        ("cloud", "/"),
        ("river", "/3"),
    ];
    let mut entries = entries.map(|(party, object)| entry(party, object));
    assert_eq!(append(&file, &mut entries).unwrap(), [1, 2, 1, 3]);
    file
}

pub(super) fn number(file: &NodeFile, party: &str) -> i64 {
    let checked = check(file, party, None);
    checked.unwrap().unwrap().head().number
}

/// The end of an export.
pub(super) fn read(lines: &[String]) -> Result<Head, Broken> {
    let mut checker = Checker::default();
    let done = lines.iter().try_for_each(|line| checker.line(line));
    done.map(|()| checker.head().clone())
}

/// Does to the file what the service never does.
pub(super) fn tamper(file: &NodeFile, statement: &str) {
    let free = "drop trigger audit_changed; drop trigger audit_removed;";
    let done = file.with(|connection| connection.execute_batch(&format!("{free}{statement}")));
    done.unwrap();
}

fn opened(file: NodeFile) -> (Audit, Metrics) {
    let metrics = Metrics::default();
    (Audit::open(file, 1, &metrics).unwrap(), metrics)
}

#[tokio::test]
async fn entries_of_many_callers_make_one_chain() {
    let file = NodeFile::in_memory(&SCHEMAS).unwrap();
    let audit = Arc::new(opened(file.another().unwrap()).0);
    let notes = (0..500).map(|_| {
        let audit = audit.clone();
        tokio::spawn(async move { audit.note(entry("river", "/")).await })
    });
    for note in notes.collect::<Vec<_>>() {
        note.await.unwrap().unwrap();
    }
    assert_eq!(number(&file, "river"), 500);
}

#[tokio::test]
async fn what_cannot_be_written_is_said() {
    let (audit, _) = opened(NodeFile::in_memory(&[]).unwrap());
    let said = audit.note(entry("river", "/")).await.unwrap_err();
    assert_eq!(
        said.to_string(),
        "the audit log cannot be written, so nothing is shown or done"
    );
}

fn called(number: i64, act: Act) -> Entry {
    let object = format!("/v1/{number}");
    Entry {
        client: "shop".to_owned(),
        method: "POST".to_owned(),
        ..Entry::new(("bazaar", ""), act, &object, 1_700_000_000)
    }
}

#[tokio::test]
async fn calls_are_written_in_order_without_being_waited_for() {
    let file = NodeFile::in_memory(&SCHEMAS).unwrap();
    let (audit, metrics) = opened(file.another().unwrap());
    for number in 1..=400 {
        audit.called(called(number, Act::Called)).await;
        // Who is nobody's is counted.
        audit.called(called(0, Act::CallFailed)).await;
    }
    audit.flush().await;
    let lines = lines(&file, "bazaar", 0).unwrap();
    let entries = lines
        .iter()
        .map(|line| line.text.split_once(' ').unwrap().1);
    let entries: Vec<Entry> = entries
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    let (calls, failed): (Vec<_>, Vec<_>) =
        entries.iter().partition(|entry| entry.act == Act::Called);
    let objects = calls.iter().map(|entry| entry.object.as_str());
    assert!(objects.eq((1..=400).map(|number| format!("/v1/{number}"))));
    assert_eq!(
        failed.iter().map(|entry| entry.count).collect::<Vec<_>>(),
        [None, Some(399)]
    );
    assert_eq!(metrics.audit_lost.get(), 0);
    assert_eq!(number(&file, "bazaar"), 402);
}

#[tokio::test]
async fn calls_go_on_where_their_entries_cannot_be_written_and_what_is_lost_is_counted() {
    let file = NodeFile::in_memory(&SCHEMAS).unwrap();
    let (audit, metrics) = opened(file.another().unwrap());
    let full = "create trigger full before insert on audit
                begin select raise(abort, 'the disk is full'); end";
    file.with(|connection| connection.execute_batch(full))
        .unwrap();
    let mut sent = 0;
    while metrics.audit_lost.get() == 0 {
        audit.called(called(sent, Act::Called)).await;
        sent += 1;
        assert!(sent as usize <= 2 * (CALLS + 1), "nothing is lost");
    }
    let room = "drop trigger full";
    file.with(|connection| connection.execute_batch(room))
        .unwrap();
    audit.flush().await;
    assert_eq!(number(&file, "bazaar"), sent - 1);
}

#[test]
fn a_service_removes_what_is_older_than_it_keeps() {
    let file = NodeFile::in_memory(&SCHEMAS).unwrap();
    let ages = [3, 2, 0].map(|days| system_time() - days * DAY);
    let mut entries = ages.map(|at| Entry::new(("river", "li"), Act::Viewed, "/", at));
    append(&file, &mut entries).unwrap();
    let (audit, _) = opened(file.another().unwrap());
    assert!(audit.remove_old().unwrap());
    assert!(!audit.remove_old().unwrap());
    let checked = check(&file, "river", None).unwrap().unwrap();
    assert_eq!((checked.removed(), checked.head().number), (2, 3));
}
