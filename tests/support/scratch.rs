//! A directory in the system's temporary directory that does not stay behind, whatever ends us.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

/// Waits until nobody holds the other end of its standard input, then removes the directory.
const KEEPER: &str = r#"read -r _; rm -rf -- "$1""#;

/// A directory that is removed when this value is dropped or this process is gone (SIGKILL included), but not
/// before the last process that was given a [`ScratchDir::lifeline`] is gone too.
pub(crate) struct ScratchDir {
    path: PathBuf,
    lifeline: OwnedFd,
}

impl ScratchDir {
    /// Makes the directory.
    pub(crate) fn new() -> Result<Self> {
        let path =
            tempfile::Builder::new().prefix("gitops-reverser-").tempdir().context("making a scratch directory")?.keep();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "scratch-keeper"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C on a terminal reaches the whole group of the test, and must not reach the keeper.
            .process_group(0)
            .spawn()
            .context("starting the keeper of a scratch directory")?;
        let stdin = keeper.stdin.take().context("the keeper has no standard input")?;
        Ok(Self { path, lifeline: OwnedFd::from(stdin) })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A descriptor for a child process: while the child lives, the directory stays.
    pub(crate) fn lifeline(&self) -> Result<Stdio> {
        Ok(Stdio::from(self.lifeline.try_clone()?))
    }
}
