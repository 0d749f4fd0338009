//! `tandem backup`: copies of books and of what a service keeps, while they are in use.

use std::fs;
use std::path::{Path, PathBuf};

use tandem_client::key::create_private;
use tandem_journal::sqlite;
use tandem_web::registry::NodeFile;

use crate::archive::{ARCHIVES, UNFINISHED};
use crate::data::{DATABASE, DEFAULT, make_private};
use crate::export;
use crate::fail::{Failure, Outcome};
use crate::service;

/// What of a service is copied before its books: where the copy is behind them, events come twice,
/// where it were ahead, some would not come.
const BEFORE: [&str; 2] = ["registry.db", "audit.db"];

/// And what after them, so that nobody is in a book whose data is missing.
const AFTER: &str = "persons.db";

/// What is kept apart from the rest.
const KEYS: [&str; 2] = ["person-keys.db", "signing-keys.pem"];

/// Copies books in files and what a service keeps beside them, also while they are in use. What is in
/// the copy already is not copied again, but for the service's small files.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Folder of the books and of the service, as for `tandem serve`.
    #[arg(long, default_value = DEFAULT)]
    data: PathBuf,
    /// Folder for the copies; made if it is not there.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Folder for the copies of keys, of persons and of the service, which are to lie apart. Without it
    /// they are not copied. The key of the vault never is.
    #[arg(long, value_name = "FOLDER")]
    keys_to: Option<PathBuf>,
    /// File with settings of the service, which has the folder.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Copies, and tells what.
pub(crate) fn backup(options: &Options) -> Outcome {
    let books = books(&options.data)?;
    let service = service::folder(&options.data);
    if books.is_empty() && !service.is_dir() {
        return Err(Failure(format!(
            "{}: there are no books and no service here; name their folder with --data",
            options.data.display()
        )));
    }
    let to = service::folder(&options.to);
    let keys_to = options.keys_to.as_deref();
    let mut locks = Vec::new();
    for folder in [Some(options.to.as_path()), keys_to].into_iter().flatten() {
        make_private(folder)?;
        if [&options.data, &service]
            .iter()
            .any(|own| is_same(own, folder))
        {
            return Err(Failure(format!(
                "{}: this is what is to be copied; name another folder for the copy",
                folder.display()
            )));
        }
        let others = "another backup writes to this folder; wait for it, or name another";
        locks.push(service::lock_against(folder, others)?);
    }
    let mut said = String::new();
    for file in BEFORE {
        copy_file(&service, &to, file, &mut said)?;
    }
    for book in books {
        let (from, to) = (options.data.join(&book), options.to.join(&book));
        make_private(&to)?;
        let (journal, copy) = (from.join(DATABASE), to.join(DATABASE));
        // A server may have it.
        if journal.exists() {
            let copied = sqlite::copy(&journal, &copy)?;
            let (all, before) = (copied.head.seq, copied.before);
            let new = all - before;
            said += &format!("{}: {all} batches, {new} of them new\n", copy.display());
        }
        // What the journal names is there before it is named.
        copy_archives(&from.join(ARCHIVES), &to.join(ARCHIVES), &mut said)?;
    }
    copy_file(&service, &to, AFTER, &mut said)?;
    match keys_to {
        Some(folder) => {
            for file in KEYS {
                copy_file(&service, folder, file, &mut said)?;
            }
        }
        None => {
            let left = KEYS.into_iter().filter(|file| service.join(file).exists());
            let left: Vec<_> = left.collect();
            if !left.is_empty() {
                said += &format!(
                    "not copied: {}; name a folder for them with --keys-to\n",
                    left.join(", ")
                );
            }
        }
    }
    export::show(&said)
}

/// True for two names of one folder.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    real(one).is_some_and(|one| real(other) == Some(one))
}

/// Names of the folders with books, or archives of books.
fn books(data: &Path) -> Outcome<Vec<String>> {
    let failed = |error| Failure::io(data, &error);
    let mut found = Vec::new();
    for entry in fs::read_dir(data).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let folder = entry.path();
        if folder.join(DATABASE).is_file() || folder.join(ARCHIVES).is_dir() {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found.sort();
    Ok(found)
}

/// Copies the archives that are whole and not in the copy yet; none of them ever changes.
fn copy_archives(from: &Path, to: &Path, said: &mut String) -> Outcome {
    if !from.is_dir() {
        return Ok(());
    }
    make_private(to)?;
    let failed = |error| Failure::io(from, &error);
    for entry in fs::read_dir(from).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let (archive, copy) = (from.join(&name), to.join(&name));
        if name.to_string_lossy().ends_with(UNFINISHED) || copy.exists() {
            continue;
        }
        let mut part = name;
        part.push(UNFINISHED);
        let part = to.join(part);
        if part.exists() {
            fs::remove_dir_all(&part).map_err(|error| Failure::io(&part, &error))?;
        }
        copy_folder(&archive, &part)?;
        fs::rename(&part, &copy).map_err(|error| Failure::io(&copy, &error))?;
        *said += &format!("{}\n", copy.display());
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Outcome {
    make_private(to)?;
    let failed = |error| Failure::io(from, &error);
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_folder(&from, &to)?;
            continue;
        }
        let copied = fs::copy(&from, &to).and_then(|_| fs::File::open(&to)?.sync_all());
        copied.map_err(|error| Failure::io(&to, &error))?;
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path, file: &str, said: &mut String) -> Outcome {
    let (from, to) = (from.join(file), to.join(file));
    if !from.exists() {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        make_private(folder)?;
    }
    if file.ends_with(".db") {
        let copied = NodeFile::open(&from, &[])
            .map_err(|error| service::about(&from, &error))
            .and_then(|database| Ok(database.copy_to(&to)?));
        copied?;
    } else {
        let text = fs::read_to_string(&from).map_err(|error| Failure::io(&from, &error))?;
        let part = to.with_extension("part");
        let _ = fs::remove_file(&part);
        let written = create_private(&part, &text).and_then(|()| fs::rename(&part, &to));
        written.map_err(|error| Failure::io(&to, &error))?;
    }
    *said += &format!("{}\n", to.display());
    Ok(())
}
