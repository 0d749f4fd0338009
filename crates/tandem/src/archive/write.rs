//! Writing an archive: first the files, flushed and under their name, then the event.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tandem_domain::book::{Archiving, Book, Command, MOST_AT_ONCE};
use tandem_journal::Journal;

use super::{ARCHIVES, Options, UNFINISHED};
use crate::export;
use crate::fail::{Failure, Outcome};
use crate::words::counted;

/// Writes the loans that are due into an archive, and lets the book go on without them.
pub(crate) fn archive(options: &Options) -> Outcome {
    let place = options.book.place()?;
    let mut engine = place.engine(Journal::open(place.open()?)?)?;
    let loans = engine.book().due_for_archive();
    if loans.is_empty() {
        return export::show(&nothing(engine.book()));
    }
    let folder = match &options.out {
        Some(out) => out.clone(),
        None => place.folder().join(ARCHIVES),
    };
    let today = engine.book().business_date();
    let (name, path) = free(&folder, &today.to_string());
    let unfinished = folder.join(format!("{name}{UNFINISHED}"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(|error| Failure::io(&unfinished, &error))?;
    }
    let application = |&loan: &u32| engine.book().loan_in(loan).application;
    let applications = loans.iter().map(application).collect();
    let rows = export::loans_as_parquet(engine.journal(), &unfinished, &loans, applications)?;
    if rows != loans.len() as u64 {
        return Err(Failure(format!(
            "{} holds {rows} loans instead of {}; nothing is archived",
            unfinished.display(),
            loans.len()
        )));
    }
    // Only what is on the disk leaves the book.
    flush(&unfinished)?;
    fs::rename(&unfinished, &path).map_err(|error| Failure::io(&path, &error))?;
    flush_folder(&folder)?;
    let commands = loans.chunks(MOST_AT_ONCE).map(|loans| {
        let (name, loans) = (name.clone(), loans.to_vec());
        Command::Archive(Archiving { name, loans })
    });
    for answer in engine.submit(commands)? {
        answer.map_err(|refusal| Failure(format!("{}: {refusal}", refusal.code())))?;
    }
    if let Err(error) = engine.snapshot(&place.snapshots()) {
        eprintln!("note: no snapshot was written: {error}");
    }
    export::show(&format!(
        "{today}  {} archived in {}\n",
        counted(loans.len() as u64, "loan"),
        path.display()
    ))
}

fn nothing(book: &Book) -> String {
    let archive = book
        .current()
        .map(|(_, version)| version.agreement.file.archive);
    match archive {
        None => "nothing is signed in this book\n".to_owned(),
        Some(None) => {
            "the agreement in force has no `[archive]`: no loan is archived under it\n".to_owned()
        }
        Some(Some(archive)) => format!(
            "nothing to archive: no other loan was repaid {} ago or earlier\n",
            counted(u64::from(archive.after_days), "day")
        ),
    }
}

/// A name that no archive in the folder has. One without an event in the journal is of a run that
/// was killed: its loans are in the book still, and come into this one again.
fn free(folder: &Path, day: &str) -> (String, PathBuf) {
    let mut name = day.to_owned();
    for number in 2.. {
        if !folder.join(&name).exists() {
            break;
        }
        name = format!("{day}-{number}");
    }
    let path = folder.join(&name);
    (name, path)
}

/// Flushes all files of a folder, and the folders that name them.
fn flush(folder: &Path) -> Outcome {
    let entries = fs::read_dir(folder).map_err(|error| Failure::io(folder, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| Failure::io(folder, &error))?.path();
        match path.is_dir() {
            true => flush(&path)?,
            false => flush_folder(&path)?,
        }
    }
    flush_folder(folder)
}

/// Flushes one file or folder.
fn flush_folder(path: &Path) -> Outcome {
    let flushed = File::open(path).and_then(|file| file.sync_all());
    flushed.map_err(|error| Failure::io(path, &error))
}
