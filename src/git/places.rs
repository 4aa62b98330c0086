//! The directories that belong to this process alone.

use sha2::Digest as _;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A directory that is held in memory on Linux, so that a secret never reaches a disk.
const IN_MEMORY: &str = "/dev/shm";

/// Where things are kept. Holds a lock on the work directory.
#[derive(Debug)]
pub struct Places {
    /// Where clones live.
    pub work_dir: PathBuf,
    /// Where credentials are while a command runs.
    pub secrets: PathBuf,
    _lock: File,
}

/// A directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlacesError {
    /// It cannot be written.
    #[error("the work directory {} is not writable ({source}); choose another with --work-dir", path.display())]
    NotWritable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process works in it: two would remove each other's files.
    #[error("another process uses the work directory {}; end it, or choose another with --work-dir", .0.display())]
    InUse(PathBuf),
}

impl Places {
    /// Takes `work_dir` for this process, and removes what an earlier one left of credentials.
    ///
    /// # Errors
    /// When it cannot be written, or another process has it.
    pub fn take(work_dir: &Path) -> Result<Self, PlacesError> {
        let failed = |source| PlacesError::NotWritable { path: work_dir.to_owned(), source };
        std::fs::create_dir_all(work_dir).map_err(failed)?;
        let lock = File::create(work_dir.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(PlacesError::InUse(work_dir.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let hash = sha2::Sha256::digest(work_dir.as_os_str().as_encoded_bytes());
        let name: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let in_memory = Path::new(IN_MEMORY).join(format!("gitops-reverser-{name}"));
        // Where there is no such directory, or it is read-only, the work directory is as private.
        let secrets = match empty_private_dir(&in_memory) {
            Ok(()) => in_memory,
            Err(_) => {
                let secrets = work_dir.join("secrets");
                empty_private_dir(&secrets).map_err(failed)?;
                secrets
            }
        };
        Ok(Self { work_dir: work_dir.to_owned(), secrets, _lock: lock })
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.secrets) {
            tracing::debug!(%error, "The directory for credentials stays");
        }
    }
}

fn empty_private_dir(path: &Path) -> io::Result<()> {
    // Somebody else's link or directory is not followed into.
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path)?,
        Ok(_) => std::fs::remove_file(path)?,
        Err(_) => {}
    }
    std::fs::DirBuilder::new().mode(0o700).create(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_the_directory_and_old_secrets_go() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::take(dir.path()).unwrap();
        let left = places.secrets.join("left");
        std::fs::write(&left, "x").unwrap();
        assert_eq!(std::fs::metadata(&places.secrets).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(Places::take(dir.path()), Err(PlacesError::InUse(_))));
        assert!(left.exists(), "who is refused touches nothing");
        drop(places);
        assert!(!left.exists());
        std::fs::create_dir(left.parent().unwrap()).unwrap();
        std::fs::write(&left, "from a process that was killed").unwrap();
        let _places = Places::take(dir.path()).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let error = Places::take(Path::new("/dev/null/x")).unwrap_err().to_string();
        assert!(error.contains("/dev/null/x") && error.contains("--work-dir"), "{error}");
    }
}
