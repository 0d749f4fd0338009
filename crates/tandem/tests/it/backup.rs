//! Copies that are made while a service goes on.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::common::{examples, marketplace, servicing, tandem, text};
use super::serve::Demo;

fn said(folder: &Path, words: &str) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    let output = tandem(folder, &words);
    text(&output.stdout) + &text(&output.stderr)
}

fn call(folder: &Path, demo: &Demo, words: &str) -> String {
    let who = format!(
        "--client demo-bazaar --key demo/keys/bazaar.pem --base {}",
        demo.base
    );
    said(folder, &format!("call {words} {who}"))
}

#[test]
fn a_service_goes_on_while_it_is_copied_and_from_its_copy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let demo = Demo::start_with(path, |_| {});
    let first = said(path, "backup --data demo --to copy");
    let (service, book) = first.split_once("copy/marketplace/book.db: ").unwrap();
    assert_eq!(service, "copy/service/registry.db\ncopy/service/audit.db\n");
    assert!(
        book.ends_with(
            " of them new\ncopy/service/persons.db\nnot copied: person-keys.db, signing-keys.pem; \
             name a folder for them with --keys-to\n"
        ),
        "{first}"
    );
    let applications = "/v1/agreements/marketplace/applications";
    let application = examples().join("partner/application.json");
    let application = application.display();
    let submitted = call(
        path,
        &demo,
        &format!("POST {applications} --body {application}"),
    );
    assert!(submitted.contains("\"state\": \"offered\""), "{submitted}");
    for archive in ["2022-06-30", "2022-07-31.unfinished"] {
        let month = path
            .join("demo/marketplace/archive")
            .join(archive)
            .join("loans");
        fs::create_dir_all(&month).unwrap();
        fs::write(month.join("1.parquet"), archive).unwrap();
    }
    let keys = "backup --data demo --to copy --keys-to copy/service";
    let second = said(path, keys);
    assert!(second.contains(", 1 of them new\n"), "{second}");
    assert!(second.ends_with("copy/service/person-keys.db\ncopy/service/signing-keys.pem\n"));
    assert_eq!(second.matches("/archive/").count(), 1, "{second}");
    let archive = path.join("copy/marketplace/archive");
    let loans = archive.join("2022-06-30/loans/1.parquet");
    assert_eq!(fs::read_to_string(loans).unwrap(), "2022-06-30");
    assert_eq!(fs::read_dir(archive).unwrap().count(), 1);
    let verified = tandem(path, &["verify", "--data", "copy/marketplace"]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    drop(demo);

    // The folder is lost; the vault's key was kept elsewhere.
    fs::rename(
        path.join("demo/service/vault.key"),
        path.join("copy/service/vault.key"),
    )
    .unwrap();
    fs::rename(path.join("demo/keys"), path.join("copy/keys")).unwrap();
    fs::remove_dir_all(path.join("demo")).unwrap();
    fs::rename(path.join("copy"), path.join("demo")).unwrap();
    let demo = Demo::start_with(path, |_: &mut Command| {});
    let found = call(path, &demo, &format!("GET {applications}/API-1"));
    assert!(found.contains("\"state\": \"offered\""), "{found}");
}

#[test]
fn what_cannot_be_copied_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir(path.join("empty")).unwrap();
    assert_eq!(
        said(path, "backup --data empty --to copy"),
        "error: empty: there are no books and no service here; name their folder with --data\n"
    );
    assert_eq!(
        said(path, "backup --data nowhere --to copy"),
        "error: nowhere: No such file or directory (os error 2)\n"
    );
    for own in ["one", "one/service"] {
        fs::create_dir_all(path.join("one/service")).unwrap();
        let (to, keys) = if own == "one" {
            (own, "keys")
        } else {
            ("copy", own)
        };
        assert_eq!(
            said(
                path,
                &format!("backup --data one --to {to} --keys-to {keys}")
            ),
            format!(
                "error: {own}: this is what is to be copied; name another folder for the copy\n"
            )
        );
    }
    let busy = fs::File::create(path.join("copy/lock")).unwrap();
    busy.lock().unwrap();
    assert_eq!(
        said(path, "backup --data one --to copy"),
        "error: copy: another backup writes to this folder; wait for it, or name another\n"
    );
    drop(busy);
    // Two books of one name.
    for (programme, data) in [(servicing(path), "one"), (marketplace(path, 10), "two")] {
        let programme = programme.display();
        said(
            path,
            &format!("run {programme} --data {data}/book --out out"),
        );
    }
    assert!(said(path, "backup --data one --to copy").contains("copy/book/book.db: "));
    assert_eq!(
        said(path, "backup --data two --to copy"),
        "error: copy/book/book.db: this is no copy of two/book/book.db; name another folder for the \
         copy\n"
    );
}
