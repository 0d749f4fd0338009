//! What goes wrong on real machines: each command says what is wrong, where, and what to do;
//! nothing is harmed, and once the cause is gone the run ends in the same book.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tandem_journal::Sqlite;

use super::common::{digest, golden_in, servicing, text};

/// Every command that opens a book, on the example `servicing` in the current folder.
const COMMANDS: [&[&str]; 6] = [
    &["verify", "--data", "data"],
    &["history", "L-1", "--data", "data"],
    &["export", "hledger", "--party", "cloud", "--data", "data"],
    &[
        "instruct", "--key", "K-1", "--data", "data", "L-1", "pay", "1.00 CNY",
    ],
    &["quote", "L-1", "--data", "data"],
    RUN,
];

const RUN: &[&str] = &["run", "servicing", "--data", "data", "--out", "out"];

/// A user without special rights: an administrator may write everywhere.
const NOBODY: u32 = 65_534;

fn tandem(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.current_dir(folder).args(arguments);
    command
}

fn is_administrator() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    text(&id.stdout).trim() == "0"
}

fn until(day: &'static str) -> Vec<&'static str> {
    [RUN, &["--until", day]].concat()
}

/// A book in the middle of its life, in a folder that everyone may use.
fn book() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    servicing(folder.path());
    let ran = tandem(folder.path(), &until("2024-03-24"))
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    open_to_all(folder.path());
    folder
}

fn open_to_all(path: &Path) {
    let mode = if path.is_dir() { 0o777 } else { 0o666 };
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            open_to_all(&entry.unwrap().path());
        }
    }
}

/// The digest of the book that nothing happened to.
fn expected() -> String {
    let folder = tempfile::tempdir().unwrap();
    servicing(folder.path());
    digest(&tandem(folder.path(), RUN).output().unwrap())
}

fn sql(folder: &Path, sql: &str) {
    let database = rusqlite::Connection::open(folder.join("data/book.db")).unwrap();
    database.execute_batch(sql).unwrap();
}

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn truncate(path: &Path, share: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / share)
        .unwrap();
}

/// A trouble: its name, and what it does to the folder with the book.
type Trouble = (&'static str, fn(&Path));

const TROUBLES: [Trouble; 15] = [
    ("there is no book", |data| fs::remove_dir_all(data).unwrap()),
    ("the folder holds something else", |data| {
        fs::remove_dir_all(data).unwrap();
        fs::create_dir(data).unwrap();
        fs::write(data.join("letter.txt"), "Dear Sir").unwrap();
        permit(data, 0o777);
    }),
    ("the folder is a file", |data| {
        fs::remove_dir_all(data).unwrap();
        fs::write(data, "Dear Sir").unwrap();
    }),
    ("the database is another file", |data| {
        fs::write(data.join("book.db"), "Dear Sir, ".repeat(1_000)).unwrap();
    }),
    ("the database is a folder", |data| {
        fs::remove_file(data.join("book.db")).unwrap();
        fs::create_dir(data.join("book.db")).unwrap();
    }),
    ("the database is cut in half", |data| {
        truncate(&data.join("book.db"), 2);
    }),
    ("the database is cut in its first page", |data| {
        let file = File::options().write(true).open(data.join("book.db"));
        file.unwrap().set_len(1_000).unwrap();
    }),
    ("the database is empty", |data| {
        fs::write(data.join("book.db"), "").unwrap();
    }),
    ("the database is deleted, its head file is not", |data| {
        fs::remove_file(data.join("book.db")).unwrap();
    }),
    ("the book is of a newer format", |data| {
        sql(data.parent().unwrap(), "UPDATE meta SET format = 99");
    }),
    ("the book is of a format that never was", |data| {
        sql(data.parent().unwrap(), "UPDATE meta SET format = 0");
    }),
    ("the folder may only be read", |data| permit(data, 0o555)),
    ("the folder may not be entered", |data| permit(data, 0o000)),
    ("the database may only be read", |data| {
        permit(&data.join("book.db"), 0o444);
    }),
    ("the database may not be read", |data| {
        permit(&data.join("book.db"), 0o000);
    }),
];

#[test]
fn every_command_says_what_is_wrong_with_the_book() {
    let folder = book();
    let (path, data) = (folder.path(), folder.path().join("data"));
    let kept: Vec<_> = ["book.db", "book.db-head"]
        .into_iter()
        .map(|name| (name, fs::read(data.join(name)).unwrap()))
        .collect();
    let expected = expected();
    let mut said = String::new();
    for (name, strike) in TROUBLES {
        strike(&data);
        said += &format!("# {name}\n\n");
        for arguments in COMMANDS {
            let mut command = tandem(path, arguments);
            if is_administrator() {
                command.uid(NOBODY).gid(NOBODY);
            }
            said += &line(arguments, &command.output().unwrap());
        }
        said.push('\n');
        // The cause is removed: a backup comes back, or the rights do.
        if data.is_dir() {
            permit(&data, 0o777);
            fs::remove_dir_all(&data).unwrap();
        } else if data.exists() {
            fs::remove_file(&data).unwrap();
        }
        fs::create_dir(&data).unwrap();
        for (name, bytes) in &kept {
            fs::write(data.join(name), bytes).unwrap();
        }
        open_to_all(&data);
        let _ = fs::remove_dir_all(path.join("out"));
    }
    golden_in("trouble", &said, "book");
    assert_eq!(digest(&tandem(path, RUN).output().unwrap()), expected);
}

#[test]
fn a_book_that_somebody_writes_is_read_and_left_to_it() {
    let folder = book();
    let writer = Sqlite::open(folder.path().join("data/book.db")).unwrap();
    for arguments in COMMANDS {
        let output = tandem(folder.path(), arguments).output().unwrap();
        let writes = ["instruct", "run"].contains(&arguments[0]);
        let expected = match writes {
            true => {
                "error: data/book.db: the journal is in use by another program; a journal has one \
                 writer: stop the other program first\n"
            }
            false => "",
        };
        assert_eq!(text(&output.stderr), expected, "{arguments:?}");
        assert_eq!(output.status.success(), !writes, "{arguments:?}");
    }
    drop(writer);
    assert_eq!(
        digest(&tandem(folder.path(), RUN).output().unwrap()),
        expected()
    );
}

#[test]
fn a_run_that_was_killed_while_it_made_the_database_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    servicing(folder.path());
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/book.db"), "").unwrap();
    assert_eq!(
        digest(&tandem(folder.path(), RUN).output().unwrap()),
        expected()
    );
}

/// A limit on the size of files stops the log at some batch, as a full disk does.
#[test]
fn a_log_that_cannot_grow_ends_the_run_and_harms_nothing() {
    let folder = book();
    // Without the trap the system ends the process, and says nothing.
    let limited = r#"trap '' XFSZ; ulimit -f 66; exec "$0" "$@""#;
    let mut command = Command::new("sh");
    command
        .current_dir(folder.path())
        .args(["-c", limited, env!("CARGO_BIN_EXE_tandem")])
        .args(RUN);
    let output = command.output().unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success(), "the limit was not met");
    assert!(
        said.starts_with("error: data/book.db: cannot ")
            && said.ends_with(
                "; nothing more is taken: remove the cause, then start the program again\n"
            ),
        "{said}"
    );
    let verified = tandem(folder.path(), COMMANDS[0]).output().unwrap();
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    assert_eq!(
        digest(&tandem(folder.path(), RUN).output().unwrap()),
        expected()
    );
}

/// A file system of the size given, while it lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Nothing where this user may not mount.
    fn mount(path: &Path, size: &str) -> Option<SmallDisk> {
        fs::create_dir_all(path).unwrap();
        mount(&["-t", "tmpfs", "-o", size, "tmpfs"], path).then(|| SmallDisk(path.to_owned()))
    }

    fn resize(&self, size: &str) {
        assert!(mount(&["-o", &format!("remount,{size}")], &self.0));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn mount(options: &[&str], path: &Path) -> bool {
    let mounted = Command::new("mount").args(options).arg(path).output();
    mounted.is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_disk_ends_the_run_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    servicing(folder.path());
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    let Some(disk) = SmallDisk::mount(&data, "size=300k") else {
        eprintln!("skipped: only an administrator can mount a small disk");
        return;
    };
    let run = || tandem(folder.path(), RUN).output().unwrap();
    let mut said = format!("# no room for the journal\n\n{}", line(RUN, &run()));
    disk.resize("size=16m");
    let verified = tandem(folder.path(), COMMANDS[0]).output().unwrap();
    assert!(verified.status.success(), "{}", text(&verified.stderr));

    let results = SmallDisk::mount(&out, "size=32k").unwrap();
    said += &format!("\n# no room for the results\n\n{}", line(RUN, &run()));
    results.resize("size=16m");
    golden_in("trouble", &said, "full");
    assert_eq!(digest(&run()), expected());
}

#[test]
fn results_that_cannot_be_written_are_noticed_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    fs::create_dir(folder.path().join("march.csv")).unwrap();
    servicing(folder.path());
    let mut said = String::new();
    for arguments in [
        "run servicing --out file",
        "run servicing --data file",
        "export hledger --data data --party cloud --out folder",
        "export hledger --data data --party cloud --out none/ledger.journal",
        "export hledger --data data --party cloud --out file/ledger.journal",
        "export statement --data data --party cloud --out folder",
        "export statement --data data --party cloud --out march.md",
    ] {
        let arguments: Vec<_> = arguments.split(' ').collect();
        said += &line(
            &arguments,
            &tandem(folder.path(), &arguments).output().unwrap(),
        );
    }
    golden_in("trouble", &said, "results");
    assert!(
        !folder.path().join("march.md").exists(),
        "none is left behind"
    );
}

/// What a command said: its error, or that it went well.
fn line(arguments: &[&str], output: &Output) -> String {
    let command = format!("$ tandem {}", arguments.join(" "));
    match output.status.success() {
        true => format!("{command}\n(well)\n"),
        false => format!("{command}\n{}", text(&output.stderr)),
    }
}
