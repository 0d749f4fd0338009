//! What ends a command: a text for the user that says what is wrong, where, and what to do.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use tandem_domain::document::Problem;

/// A failure, ready to be shown.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

/// The outcome of a command.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A file or folder that cannot be used.
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Failure {
        let advice = match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                "; change its permissions, or name another place"
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                "; make room on the disk, then run the command again"
            }
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                "; there is a file where a folder should be: name another place"
            }
            ErrorKind::IsADirectory => "; it is a folder: name a file",
            _ => "",
        };
        Failure(format!("{}: {error}{advice}", path.display()))
    }

    /// Everything that is wrong with a document.
    pub(crate) fn problems(path: &Path, problems: &[Problem]) -> Failure {
        let lines: Vec<_> = problems
            .iter()
            .map(|problem| format!("{}, {problem}", path.display()))
            .collect();
        Failure(lines.join("\n"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.0.replace('\n', "\nerror: "))
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure(error.to_string())
    }
}
