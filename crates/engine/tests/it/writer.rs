//! The writer that many threads ask, on a store that does what a test tells it.
//!
//! No test sleeps: the store stops at each append until the test lets it go on, so what happens
//! meanwhile is certain.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use tandem_domain::book::{Answer, Command, Documents, Refusal};
use tandem_domain::calendar::Day;
use tandem_domain::money::Rate;
use tandem_engine::{Engine, EngineError, Request, Writer, replay};
use tandem_journal::{Batch, BookName, Head, Journal, Memory, Secret, Stats, Store, StoreError};

/// A store that the test can see into. Each append waits for the test's word.
struct Gated {
    book: BookName,
    secret: Secret,
    disk: Arc<Mutex<Memory>>,
    /// Says that an append has begun, and of how many events.
    begun: Sender<u32>,
    /// True lets it succeed, false makes it fail; once the test has dropped its end all succeed.
    verdict: Receiver<bool>,
}

impl Store for Gated {
    fn book(&self) -> &BookName {
        &self.book
    }

    fn secret(&self) -> &Secret {
        &self.secret
    }

    fn place(&self) -> &str {
        "gated"
    }

    fn head(&self) -> Result<Option<Head>, StoreError> {
        self.disk.lock().unwrap().head()
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        // The test may have stopped listening.
        let _ = self.begun.send(batch.events);
        if self.verdict.recv() == Ok(false) {
            return Err(StoreError {
                place: "gated".into(),
                doing: format!("write batch {}", batch.seq),
                cause: "the test says no".into(),
            });
        }
        self.disk.lock().unwrap().append(batch)
    }

    fn read(
        &self,
        from: u64,
        visit: &mut dyn FnMut(Batch) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.disk.lock().unwrap().read(from, visit)
    }

    fn stats(&self) -> Result<Stats, StoreError> {
        self.disk.lock().unwrap().stats()
    }
}

/// A book with a signed agreement, as batch 1, that is being written.
struct Scene {
    writer: Writer<Gated>,
    begun: Receiver<u32>,
    verdict: Sender<bool>,
    disk: Arc<Mutex<Memory>>,
}

impl Scene {
    fn new() -> Scene {
        Scene::with_queue(4)
    }

    fn with_queue(queue: usize) -> Scene {
        let book = BookName::new("example").unwrap();
        let disk = Arc::new(Mutex::new(Memory::new(book.clone())));
        let (begun, begins) = channel();
        let (say, verdict) = channel();
        let store = Gated {
            book,
            secret: Secret::from_bytes([7; Secret::LEN]),
            disk: disk.clone(),
            begun,
            verdict,
        };
        let mut engine = Engine::open(Journal::open(store).unwrap()).unwrap();
        say.send(true).unwrap();
        let signed = engine.submit([Command::Sign(Box::new(documents()))]);
        assert_eq!(signed.unwrap(), [Ok(Answer::Done)]);
        assert_eq!(begins.recv().unwrap(), 1);
        Scene {
            writer: Writer::start(engine, queue).unwrap(),
            begun: begins,
            verdict: say,
            disk,
        }
    }

    /// Lets every append succeed from now on.
    fn open_the_gate(self) -> (Writer<Gated>, Arc<Mutex<Memory>>) {
        (self.writer, self.disk)
    }
}

/// Days of the fixings that are durable, in order.
fn durable(disk: &Mutex<Memory>) -> Vec<i32> {
    let mut journal = Journal::open(disk.lock().unwrap().clone()).unwrap();
    let book = replay(&mut journal, &mut |_| {}).unwrap();
    book.fixings("R")
        .iter()
        .map(|fixing| fixing.day.0)
        .collect()
}

pub(crate) fn documents() -> Documents {
    let example = |file: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/lending-club/");
        std::fs::read_to_string(format!("{folder}{file}")).unwrap()
    };
    Documents {
        agreement: example("agreement.toml"),
        policies: vec![
            example("policies/house.toml"),
            example("policies/investors.toml"),
        ],
        rulebook: None,
        calendar: None,
    }
}

/// A fixing of the rate R. They must come in the order of their days, or are refused.
pub(crate) fn fix(day: i32) -> Command {
    Command::Fix {
        index: "R".into(),
        day: Day(day),
        rate: Rate(day.into()),
    }
}

fn asking(days: impl IntoIterator<Item = i32>) -> Request {
    Request {
        commands: days.into_iter().map(fix).collect(),
        ..Request::default()
    }
}

const DONE: Result<Answer, Refusal> = Ok(Answer::Done);

#[test]
fn events_come_with_the_origins_of_their_commands() {
    let memory = Memory::new(BookName::new("example").unwrap());
    let mut engine = Engine::open(Journal::open(memory).unwrap()).unwrap();
    engine
        .submit([Command::Sign(Box::new(documents()))])
        .unwrap();
    let (seen, written) = channel();
    let writer = Writer::observed(engine, 4, move |written| seen.send(written).unwrap()).unwrap();
    let mut client = writer.client();
    // The second fixing of day 2 is known already, and the last has no origin.
    client.send(Request {
        origins: vec![Some([1; 25]), None, Some([2; 25]), Some([3; 25])],
        ..asking([1, 2, 2, 3, 4])
    });
    let request = client.receive().unwrap().unwrap();
    assert_eq!(request.answers[2], Ok(Answer::Known));
    let written = written.recv().unwrap();
    assert_eq!(written.events.len(), 4);
    assert_eq!(written.origins, [(0..1, [1; 25]), (2..3, [3; 25])]);
    writer.stop().unwrap();
}

#[test]
fn answers_come_in_order_and_say_what_became_of_each_command() {
    let scene = Scene::new();
    let mut client = scene.writer.client();
    let (writer, disk) = scene.open_the_gate();
    for round in 0..100 {
        client.send(asking(3 * round..3 * round + 3));
    }
    client.send(asking([299, 7]));
    for round in 0..100 {
        let request = client.receive().unwrap().unwrap();
        assert_eq!(request.answers, [DONE, DONE, DONE], "round {round}");
        assert!(request.commands.is_empty(), "it can be filled again");
    }
    let last = client.receive().unwrap().unwrap();
    assert_eq!(last.answers[0], Ok(Answer::Known));
    assert!(matches!(last.answers[1], Err(Refusal::LateFixing { .. })));
    assert!(client.receive().is_none(), "nothing is under way");
    let mut engine = writer.stop().unwrap();
    assert_eq!(durable(&disk), (0..300).collect::<Vec<_>>());
    assert_eq!(engine.book().fixings("R").len(), 300);
    assert_eq!(engine.submit([fix(300)]).unwrap(), [DONE]);
}

#[test]
fn many_threads_are_each_answered_what_they_asked() {
    let scene = Scene::new();
    let first = scene.writer.client();
    let (writer, disk) = scene.open_the_gate();
    thread::scope(|scope| {
        for thread in 0..8 {
            let mut client = first.clone();
            scope.spawn(move || {
                for day in 0..200 {
                    let command = || Command::Fix {
                        index: format!("R-{thread}"),
                        day: Day(day),
                        rate: Rate(thread),
                    };
                    let answers = client.submit([command(), command()]).unwrap();
                    assert_eq!(answers, [DONE, Ok(Answer::Known)]);
                    let seen = client
                        .query(move |book| book.fixings(&format!("R-{thread}")).len())
                        .unwrap();
                    assert_eq!(seen, day as usize + 1, "a client sees what it did");
                }
            });
        }
    });
    writer.stop().unwrap();
    let mut journal = Journal::open(disk.lock().unwrap().clone()).unwrap();
    let book = replay(&mut journal, &mut |_| {}).unwrap();
    for thread in 0..8 {
        assert_eq!(book.fixings(&format!("R-{thread}")).len(), 200);
    }
}

#[test]
fn what_waits_while_the_store_flushes_shares_a_batch() {
    let scene = Scene::with_queue(64);
    let first = scene.writer.client();
    let mut clients: Vec<_> = (0..40).map(|_| first.clone()).collect();
    for (client, day) in clients.iter_mut().zip(0..) {
        client.send(asking([day]));
        if day == 0 {
            assert_eq!(scene.begun.recv().unwrap(), 1);
        }
    }
    // The store has flushed nothing until now. One batch may stand behind the first, one may be
    // filled, and all that came later is in the queue.
    let (writer, disk) = scene.open_the_gate();
    for client in &mut clients {
        assert_eq!(client.receive().unwrap().unwrap().answers, [DONE]);
    }
    writer.stop().unwrap();
    let batches = disk.lock().unwrap().batches.len();
    assert!(batches <= 1 + 4, "{batches} batches for 40 callers");
}

#[test]
fn a_full_batch_is_handed_over_in_the_middle_of_a_request() {
    let scene = Scene::new();
    let mut client = scene.writer.client();
    let (writer, disk) = scene.open_the_gate();
    client.send(asking(0..60_000));
    client.send(asking(60_000..60_001));
    let request = client.receive().unwrap().unwrap();
    assert_eq!(request.answers.len(), 60_000);
    assert!(request.answers.iter().all(|answer| *answer == DONE));
    client.receive().unwrap().unwrap();
    writer.stop().unwrap();
    assert!(disk.lock().unwrap().batches.len() > 2);
    assert_eq!(durable(&disk).len(), 60_001);
}

#[test]
fn while_the_store_rests_only_so_much_is_taken() {
    let scene = Scene::new();
    let first = scene.writer.client();
    let mut waiting = Vec::new();
    let refused = loop {
        let mut client = first.clone();
        match client.try_send(asking([waiting.len() as i32])) {
            Ok(()) => waiting.push(client),
            Err(request) => break request,
        }
        // One is flushed, one waits behind it, one is being filled; each may hold all that was in
        // the queue when it was taken. More is never in memory.
        assert!(waiting.len() <= 4 * (4 + 1), "{}", waiting.len());
    };
    assert_eq!(refused.commands.len(), 1, "it is given back as it was");
    let (writer, disk) = scene.open_the_gate();
    let mut late = first.clone();
    late.send(asking([waiting.len() as i32]));
    for client in waiting.iter_mut().chain([&mut late]) {
        assert_eq!(client.receive().unwrap().unwrap().answers, [DONE]);
    }
    writer.stop().unwrap();
    assert_eq!(durable(&disk).len(), waiting.len() + 1);
}

#[test]
fn a_client_waits_for_its_oldest_answer_before_it_sends_too_much() {
    let scene = Scene::with_queue(64);
    let mut client = scene.writer.client();
    let (begun, disk) = (scene.begun, scene.disk);
    let (sent, sends) = channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            for day in 0..17 {
                client.send(asking([day]));
                sent.send(day).unwrap();
            }
            for _ in 0..17 {
                assert_eq!(client.receive().unwrap().unwrap().answers, [DONE]);
            }
        });
        begun.recv().unwrap();
        for day in 0..16 {
            assert_eq!(sends.recv().unwrap(), day);
        }
        assert!(
            durable(&disk).is_empty(),
            "sixteen are sent without an answer"
        );
        scene.verdict.send(true).unwrap();
        assert_eq!(sends.recv().unwrap(), 16);
        assert_eq!(durable(&disk)[0], 0, "the seventeenth after the first");
        drop(scene.verdict);
    });
    scene.writer.stop().unwrap();
    assert_eq!(durable(&disk).len(), 17);
}

#[test]
fn after_a_failed_append_nothing_is_answered_as_done() {
    let scene = Scene::with_queue(64);
    let first = scene.writer.client();
    let mut clients: Vec<_> = (0..30).map(|_| first.clone()).collect();
    let mut done = 0;
    for (client, day) in clients.iter_mut().zip(0..) {
        client.send(asking([day]));
        if day < 10 {
            done += scene.begun.recv().unwrap();
            scene.verdict.send(true).unwrap();
            assert_eq!(client.receive().unwrap().unwrap().answers, [DONE]);
        }
    }
    assert_eq!(done, 10);
    // The next append stands at the gate now, with at least one batch behind it.
    scene.verdict.send(false).unwrap();
    for client in &mut clients[10..] {
        let stopped = client.receive().unwrap().unwrap_err();
        assert!(matches!(stopped, EngineError::Stopped), "{stopped}");
        let later = client.submit([fix(99)]).unwrap_err();
        assert_eq!(
            later.to_string(),
            "the engine has stopped; open the book again to go on from what is durable"
        );
    }
    assert!(first.query(|_| ()).is_err());
    assert_eq!(durable(&scene.disk), (0..10).collect::<Vec<_>>());
    let failed = scene.writer.stop().err().unwrap();
    assert_eq!(
        failed.to_string(),
        "gated: cannot write batch 12: the test says no; nothing more is taken: remove the cause, \
         then start the program again"
    );
}

#[test]
fn a_query_is_answered_only_when_what_it_saw_is_durable() {
    let scene = Scene::new();
    let mut client = scene.writer.client();
    let reader = client.clone();
    client.send(asking([0]));
    assert_eq!(scene.begun.recv().unwrap(), 1);
    let (looked, looks) = channel();
    let query = thread::spawn(move || {
        reader.query(move |book| {
            looked.send(()).unwrap();
            book.fixings("R").len()
        })
    });
    // It has seen the fixing, which is not durable, and will not be.
    looks.recv().unwrap();
    scene.verdict.send(false).unwrap();
    let answer = query.join().unwrap();
    assert!(matches!(answer, Err(EngineError::Stopped)), "{answer:?}");
    assert!(client.receive().unwrap().is_err());
    assert!(durable(&scene.disk).is_empty());
}

#[test]
fn what_is_refused_or_known_waits_for_what_made_it_so() {
    let scene = Scene::new();
    let mut first = scene.writer.client();
    let mut again = first.clone();
    first.send(asking([7]));
    assert_eq!(scene.begun.recv().unwrap(), 1);
    again.send(asking([7, 3]));
    scene.verdict.send(false).unwrap();
    // That 7 is known and 3 too late would be wrong: 7 was never booked.
    assert!(again.receive().unwrap().is_err());
    assert!(first.receive().unwrap().is_err());
}

#[test]
fn stopping_drains_the_queue_and_takes_nothing_more() {
    let scene = Scene::with_queue(64);
    let first = scene.writer.client();
    let mut clients: Vec<_> = (0..40).map(|_| first.clone()).collect();
    for (client, day) in clients.iter_mut().zip(0..) {
        client.send(asking([day]));
    }
    let (writer, disk) = scene.open_the_gate();
    let engine = writer.stop().unwrap();
    assert_eq!(engine.book().fixings("R").len(), 40);
    for client in &mut clients {
        assert_eq!(client.receive().unwrap().unwrap().answers, [DONE]);
    }
    let mut late = first.clone();
    assert!(matches!(late.submit([fix(50)]), Err(EngineError::Stopped)));
    assert!(first.query(|_| ()).is_err());
    assert_eq!(durable(&disk).len(), 40);
}

#[test]
fn a_client_that_leaves_holds_nobody_up() {
    let scene = Scene::new();
    let mut stays = scene.writer.client();
    let mut leaves = stays.clone();
    leaves.send(asking([0]));
    drop(leaves);
    let (writer, disk) = scene.open_the_gate();
    assert_eq!(stays.submit([fix(1)]).unwrap(), [DONE]);
    writer.stop().unwrap();
    assert_eq!(durable(&disk), [0, 1]);
}
