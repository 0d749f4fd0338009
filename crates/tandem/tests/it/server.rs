//! Books on a PostgreSQL server, as the program's users have them.

use std::{process::Stdio, thread::sleep, time::Instant};

use super::common::{command, digest, marketplace, tandem, text};

#[test]
fn a_book_on_a_server_is_the_same_book() {
    let Some(server) = tandem_pgtest::Server::shared() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let programme = marketplace(folder, 100);
    let begun = Instant::now();
    let expected = digest(&command(&programme, &folder.join("file")).output().unwrap());
    let whole = begun.elapsed();

    // Killed and started again under the same name, it goes on at once.
    let address = tandem_pgtest::address(&[server], &server.schema());
    let on_server = || {
        let mut command = command(&programme, &folder.join("server"));
        command.args(["--store", &address, "--node", "one"]);
        command
    };
    for moment in 1..4 {
        let mut child = on_server().stdout(Stdio::null()).spawn().unwrap();
        sleep(whole * moment / 4);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(digest(&on_server().output().unwrap()), expected);

    let reads = [
        &["verify"][..],
        &["history", "M-00001"],
        &["export", "csv", "--out", "tables"],
    ];
    for read in reads {
        let store = ["--store", &address, "--data", "server/data"];
        let said = tandem(folder, &[read, &store].concat());
        assert!(said.status.success(), "{read:?}: {}", text(&said.stderr));
    }

    let other = tandem_journal::BookName::new("other").unwrap();
    let node = tandem_journal::lease::Node::default();
    let writer = tandem_journal::postgres::Writer::new(node, folder.join("other-head"));
    drop(tandem_journal::Postgres::create(&address.parse().unwrap(), &other, &writer).unwrap());
    let said = tandem(folder, &["verify", "--store", &address]);
    assert!(
        text(&said.stderr)
            .ends_with("there are several books; name one with --book: marketplace, other\n"),
        "{}",
        text(&said.stderr)
    );

    // The node remembers the end of the book.
    let schema = server.schema();
    let empty = tandem_pgtest::address(&[server], &schema);
    let store = ["--store", &empty, "--data", "server/data"];
    let said = tandem(folder, &[&["verify"], &store[..]].concat());
    assert!(text(&said.stderr).ends_with("there is no book here\n"));
    let said = tandem(folder, &[&["verify", "--book", "x"], &store[..]].concat());
    let said = text(&said.stderr);
    assert!(
        said.contains("the journal ends at batch 0, but server/data/server-head remembers"),
        "{said}"
    );
}

#[test]
fn clients_and_people_are_added_for_all_nodes() {
    let Some(server) = tandem_pgtest::Server::shared() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let address = tandem_pgtest::address(&[server], &server.schema());
    let said = |words: &[&str], data: &str| {
        let place = ["--store", &address, "--data", data];
        tandem(folder.path(), &[words, &place].concat())
    };
    let add = [
        "client",
        "add",
        "ours",
        "--party=bazaar",
        "--key-out=ours.pem",
    ];
    assert!(
        said(&[&add[..], &["--scopes=loans:read"]].concat(), "one")
            .status
            .success()
    );
    let list = said(&["client", "list"], "two");
    assert_eq!(text(&list.stdout), "ours  bazaar  active  loans:read\n");
    let person = [
        "person",
        "li.wei@river.example",
        "--name=Li Wei",
        "--party=river",
    ];
    assert!(said(&person, "one").status.success());
    assert_eq!(
        text(&said(&person, "two").stderr),
        "error: the sign-in name `li.wei@river.example` is taken; choose another\n"
    );
}

#[test]
fn passwords_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (bad, away) = (
        "postgres://me:sec@ret@db:x/lending",
        "host=/nowhere user=me dbname=lending password=secret",
    );
    for address in [bad, away] {
        let said = tandem(
            folder.path(),
            &["verify", "--book", "x", "--store", address],
        );
        let said = text(&said.stderr);
        assert!(!said.is_empty() && !said.contains("ret"), "{said}");
    }
}
