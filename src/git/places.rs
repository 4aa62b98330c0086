//! The directories that belong to this process alone.

use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A directory that is held in memory on Linux, so that a secret never reaches a disk.
const IN_MEMORY: &str = "/dev/shm";
/// What the names of our directories start with.
const PREFIX: &str = "gitops-reverser-";

/// Where things are kept. Holds a lock on the work directory.
#[derive(Debug)]
pub struct Places {
    /// Where clones live.
    pub work_dir: PathBuf,
    /// Where credentials are while a command runs.
    pub secrets: PathBuf,
    _locks: [File; 2],
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
    /// Takes `work_dir` for this process, and removes what processes that were killed left of credentials.
    ///
    /// # Errors
    /// When it cannot be written, or another process has it.
    pub fn take(work_dir: &Path) -> Result<Self, PlacesError> {
        let failed = |source| PlacesError::NotWritable { path: work_dir.to_owned(), source };
        std::fs::create_dir_all(work_dir).map_err(failed)?;
        let Some(lock) = lock(work_dir).map_err(failed)? else {
            return Err(PlacesError::InUse(work_dir.to_owned()));
        };
        // Where there is no such directory, or it is read-only, the work directory is as private.
        let secrets = private_dir(Path::new(IN_MEMORY)).or_else(|_| private_dir(work_dir)).map_err(failed)?;
        Ok(Self { work_dir: work_dir.to_owned(), secrets: secrets.0, _locks: [lock, secrets.1] })
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.secrets) {
            tracing::debug!(%error, "The directory for credentials stays");
        }
    }
}

/// Locks a directory for as long as the file lives; `None` while somebody else has it.
fn lock(dir: &Path) -> io::Result<Option<File>> {
    let lock = File::create(dir.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A new directory below `parent` that only we can read, and its lock. Those that nobody locks any more are removed.
fn private_dir(parent: &Path) -> io::Result<(PathBuf, File)> {
    for entry in std::fs::read_dir(parent)?.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX) && entry.path().join("lock").is_file();
        // One that belongs to another user cannot be locked, and stays.
        if is_ours && lock(&entry.path()).is_ok_and(|lock| lock.is_some()) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    // Named when it is locked, so that nobody takes it for left behind.
    let (hidden, mut builder) = (format!(".{PREFIX}"), tempfile::Builder::new());
    let unnamed = builder.prefix(&hidden).permissions(Permissions::from_mode(0o700)).tempdir_in(parent)?;
    let Some(lock) = lock(unnamed.path())? else { return Err(io::ErrorKind::WouldBlock.into()) };
    let name = unnamed.path().file_name().map(|name| name.to_string_lossy().trim_start_matches('.').to_owned());
    let named = parent.join(name.unwrap_or_default());
    std::fs::rename(unnamed.keep(), &named)?;
    Ok((named, lock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::take(dir.path()).unwrap();
        let mode = std::fs::metadata(&places.secrets).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(matches!(Places::take(dir.path()), Err(PlacesError::InUse(_))));
        assert!(places.secrets.exists(), "who is refused touches nothing");
        let secrets = places.secrets.clone();
        drop(places);
        assert!(!secrets.exists());
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let (dead, its_lock) = private_dir(parent.path()).unwrap();
        std::fs::write(dead.join("secret"), "x").unwrap();
        let (living, _lock) = private_dir(parent.path()).unwrap();
        assert!(dead.exists(), "its process lives");
        drop(its_lock);
        let _third = private_dir(parent.path()).unwrap();
        assert!(!dead.exists() && living.exists());
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let error = Places::take(Path::new("/dev/null/x")).unwrap_err().to_string();
        assert!(error.contains("/dev/null/x") && error.contains("--work-dir"), "{error}");
    }
}
