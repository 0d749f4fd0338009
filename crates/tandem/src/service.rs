//! What a service keeps beside its books: where it is, and opening it.

use std::fmt::Display;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use tandem_web::audit;
use tandem_web::registry::{self, Registry};
use tandem_web::{access, vault};

use crate::data::{DEFAULT, make_private};
use crate::fail::{Failure, Outcome};

/// Folder of the service's own files below that of the books.
pub(crate) const FOLDER: &str = "service";

/// Where a service is.
#[derive(clap::Args)]
pub(crate) struct Place {
    /// Folder of the service, as for `tandem serve`.
    #[arg(long, default_value = DEFAULT, global = true)]
    pub(crate) data: PathBuf,
    /// PostgreSQL server of its books, as for `tandem serve`.
    #[arg(long, value_name = "ADDRESS", global = true)]
    pub(crate) store: Option<String>,
    /// File with settings of the service, which has both.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

impl Place {
    /// What the service keeps.
    pub(crate) fn registry(&self) -> Outcome<Registry> {
        open_registry(&self.data, self.store.as_deref())
    }
}

/// The folder in which a service below a folder keeps its files.
pub(crate) fn folder(data: &Path) -> PathBuf {
    data.join(FOLDER)
}

/// Makes the folder in which a service below a folder keeps its files, if it is not there.
pub(crate) fn make_folder(data: &Path) -> Outcome<PathBuf> {
    let folder = folder(data);
    make_private(&folder)?;
    Ok(folder)
}

/// Keeps the service's own files to one service, as long as it is held.
pub(crate) fn lock(folder: &Path) -> Outcome<File> {
    lock_against(
        folder,
        "another service runs in this folder; stop it, or name another with --data",
    )
}

/// Keeps a folder to one program, as long as it is held; others are told why not.
pub(crate) fn lock_against(folder: &Path, others: &str) -> Outcome<File> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(|error| Failure::io(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(about(folder, &others)),
        Err(TryLockError::Error(error)) => Err(Failure::io(&path, &error)),
    }
}

/// The file in which a node keeps answers to repeat, and without a server its registry.
pub(crate) fn registry_file(data: &Path) -> PathBuf {
    folder(data).join("registry.db")
}

/// Opens the registry: on the server that has the books, or in a file.
pub(crate) fn open_registry(data: &Path, store: Option<&str>) -> Outcome<Registry> {
    open(
        &registry_file(data),
        store,
        "service",
        &tandem_web::schemas(),
    )
}

/// Opens what the vault keeps, beside the registry: the keys of persons, and their data.
pub(crate) fn open_persons(data: &Path, store: Option<&str>) -> Outcome<(Registry, Registry)> {
    let folder = folder(data);
    let keys = folder.join("person-keys.db");
    let keys = open(&keys, store, "person_keys", &vault::KEYS)?;
    let persons = open(&folder.join("persons.db"), store, "persons", &vault::DATA)?;
    Ok((keys, persons))
}

fn open(file: &Path, store: Option<&str>, area: &str, tables: &[&str]) -> Outcome<Registry> {
    match store {
        Some(address) => on_server(address, area, tables),
        None => {
            must_be_there(file)?;
            Registry::open(file, tables).map_err(|error| about(file, &error))
        }
    }
}

#[cfg(feature = "postgres")]
fn on_server(address: &str, area: &str, tables: &[&str]) -> Outcome<Registry> {
    let opened = Registry::on(&address.parse()?, area, tables);
    opened.map_err(|error| Failure(error.to_string()))
}

#[cfg(not(feature = "postgres"))]
fn on_server(_: &str, _: &str, _: &[&str]) -> Outcome<Registry> {
    Err(crate::data::without_server())
}

/// Opens the answers, which each node keeps for itself.
pub(crate) fn open_answers(data: &Path) -> Outcome<registry::NodeFile> {
    open_file(&registry_file(data), &access::ANSWERS)
}

/// Where a node keeps its audit log.
pub(crate) fn audit_file(data: &Path) -> PathBuf {
    folder(data).join("audit.db")
}

/// Opens it.
pub(crate) fn open_audit(data: &Path) -> Outcome<registry::NodeFile> {
    open_file(&audit_file(data), &audit::SCHEMAS)
}

fn open_file(file: &Path, tables: &[&str]) -> Outcome<registry::NodeFile> {
    must_be_there(file)?;
    registry::NodeFile::open(file, tables).map_err(|error| about(file, &error))
}

fn must_be_there(file: &Path) -> Outcome {
    match file.parent().is_some_and(Path::is_dir) {
        true => Ok(()),
        false => Err(about(
            file,
            &"there is no service here; name its folder with --data",
        )),
    }
}

/// What is wrong with a file.
pub(crate) fn about(file: &Path, error: &dyn Display) -> Failure {
    Failure(format!("{}: {error}", file.display()))
}
