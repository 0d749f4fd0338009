//! The service's own keys: one signs tokens and answers, the one before it is still published.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tandem_client::key::{Algorithm, Jwks, KeyError, SigningKey, create_private};
use thiserror::Error;

/// Name of the file in the service's folder.
const FILE: &str = "signing-keys.pem";

/// Why the keys cannot be used.
#[derive(Debug, Error)]
pub enum ServerKeyError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds no keys.
    #[error("{}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
    /// Others may read the file.
    #[error("{}: others may read the private keys in it; chmod 600 it and rotate the keys", .0.display())]
    Readable(PathBuf),
}

/// The keys; the newest first.
pub(crate) struct ServerKeys {
    keys: Vec<SigningKey>,
}

impl ServerKeys {
    /// Reads the keys of a service's folder, and makes the first one if there is none.
    pub(crate) fn open(folder: &Path) -> Result<ServerKeys, ServerKeyError> {
        let path = folder.join(FILE);
        match fs::read_to_string(&path) {
            Ok(pem) => {
                private(&path)?;
                let keys = SigningKey::all_from_pem(&pem)
                    .map_err(|source| ServerKeyError::Key { path, source })?;
                Ok(ServerKeys { keys })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => rotate(folder, ""),
            Err(source) => Err(ServerKeyError::File { path, source }),
        }
    }

    /// Makes a new key, which signs from now on. The one before it is published until the next
    /// rotation; answers and tokens that it signed stay valid.
    pub(crate) fn rotate(folder: &Path) -> Result<ServerKeys, ServerKeyError> {
        let path = folder.join(FILE);
        let before = match fs::read_to_string(&path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(ServerKeyError::File { path, source }),
        };
        rotate(folder, &before)
    }

    /// The key that signs.
    pub(crate) fn signing(&self) -> &SigningKey {
        &self.keys[0]
    }

    /// A key by its name.
    pub(crate) fn find(&self, kid: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.public().kid == kid)
    }

    /// The public keys.
    pub(crate) fn jwks(&self) -> Jwks {
        let keys = self.keys.iter().map(|key| key.public().to_jwk()).collect();
        Jwks { keys }
    }
}

fn rotate(folder: &Path, before: &str) -> Result<ServerKeys, ServerKeyError> {
    let path = folder.join(FILE);
    let as_key = |source| ServerKeyError::Key {
        path: path.clone(),
        source,
    };
    let mut pem = SigningKey::generate(Algorithm::Ed25519).map_err(as_key)?;
    let end = "-----END PRIVATE KEY-----\n";
    if let Some(at) = before.find(end) {
        pem.push_str(&before[..at + end.len()]);
    }
    let keys = SigningKey::all_from_pem(&pem).map_err(as_key)?;
    write(&path, &pem).map_err(|source| ServerKeyError::File {
        path: path.clone(),
        source,
    })?;
    Ok(ServerKeys { keys })
}

/// Writes the file anew beside the old one, durably, then puts it in its place.
fn write(path: &Path, pem: &str) -> io::Result<()> {
    let new = path.with_extension("pem.new");
    // What a crash left there is of no use.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => create_private(&new, pem)?,
    }
    fs::rename(&new, path)?;
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(unix)]
fn private(path: &Path) -> Result<(), ServerKeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(path).map_err(|source| ServerKeyError::File {
        path: path.to_owned(),
        source,
    })?;
    if metadata.permissions().mode() & 0o077 == 0 {
        Ok(())
    } else {
        Err(ServerKeyError::Readable(path.to_owned()))
    }
}

#[cfg(not(unix))]
fn private(_: &Path) -> Result<(), ServerKeyError> {
    Ok(())
}
