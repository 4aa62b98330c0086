//! Running one git process: its own process group, a deadline, bounded output.

use super::version::Version;
use crate::git::credentials::AccessError;
use rustix::process::{Pid, Signal, kill_process_group, setpriority_process};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

/// What git may say on its standard output; a tree of half a million files fits.
const LONGEST_OUTPUT: u64 = 64 << 20;
/// What is kept of its diagnosis.
const LONGEST_DIAGNOSIS: u64 = 64 << 10;

/// What Unix calls the nicest.
const LOWEST_PRIORITY: i32 = 19;

/// Why a git command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no git.
    #[error("git is not on the PATH; install git {} or newer", Version::OLDEST)]
    NotInstalled,
    /// The git that was found is too old.
    #[error("git {found} is too old; install git {oldest} or newer")]
    TooOld {
        /// What was found.
        found: Version,
        /// What is needed.
        oldest: Version,
    },
    /// The process could not be started or talked to.
    #[error("git {command} could not be run: {source}")]
    Process {
        /// The subcommand.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// What the command needs to open the repository cannot be had.
    #[error("git was not run: {0}")]
    Access(#[from] AccessError),
    /// An operand looks like an option.
    #[error("git {command} was not run: {operand:?} could be read as an option")]
    UnsafeOperand {
        /// The subcommand.
        command: String,
        /// The operand.
        operand: String,
    },
    /// Nobody has said which key an SSH server has. It was not connected to.
    #[error("no SSH key of the server {0} is known")]
    UnknownHost(String),
    /// The deadline passed; the process and its children were killed.
    #[error("git {command} did not finish within {deadline:?} and was stopped")]
    Timeout {
        /// The subcommand.
        command: String,
        /// How long it had.
        deadline: Duration,
    },
    /// Git said more than is kept; it was stopped.
    #[error("git {command} said more than {} MiB and was stopped", LONGEST_OUTPUT >> 20)]
    TooMuchOutput {
        /// The subcommand.
        command: String,
    },
    /// Git exited with an error.
    #[error("git {command} failed with exit code {code}")]
    Failed {
        /// The subcommand.
        command: String,
        /// Exit code; -1 when a signal ended it.
        code: i32,
        /// The end of what it said; not shown by `Display`, since servers write into it.
        diagnosis: String,
    },
    /// Too little room is left to go on safely.
    #[error("git {command} was not run: less than {percent} % of the disk is free")]
    DiskLow {
        /// The subcommand.
        command: String,
        /// The share that has to be free.
        percent: u8,
    },
    /// The repository is not what it was.
    #[error("the clone is damaged: {what}")]
    Damaged {
        /// What was found.
        what: String,
    },
    /// Git answered in a form that is not understood.
    #[error("git {command} gave an answer that is not understood: {answer:?}")]
    Unreadable {
        /// The subcommand.
        command: String,
        /// The beginning of the answer.
        answer: String,
    },
}

impl GitError {
    /// An answer of `command` that is not understood, cut to a length that can be logged.
    #[must_use]
    pub fn unreadable(command: &str, answer: &[u8]) -> Self {
        let answer = String::from_utf8_lossy(answer).chars().take(200).collect();
        Self::Unreadable { command: command.to_owned(), answer }
    }
}

/// What a finished git process left.
#[derive(Debug)]
pub struct Output {
    /// The subcommand.
    pub command: &'static str,
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Data.
    pub stdout: Vec<u8>,
    /// Diagnosis, bounded.
    pub stderr: String,
}

impl Output {
    /// The output itself if the exit code is 0.
    ///
    /// # Errors
    /// [`GitError::Failed`] for any other exit code.
    pub fn success(self) -> Result<Self, GitError> {
        if self.code == 0 {
            return Ok(self);
        }
        Err(GitError::Failed { command: self.command.to_owned(), code: self.code, diagnosis: self.stderr })
    }

    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Kills the whole process group unless it was disarmed: killing git alone would leave its ssh or http child alive.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.take()
            && let Err(error) = kill_process_group(pid, Signal::KILL)
        {
            tracing::debug!(%error, "Process group was gone already");
        }
    }
}

/// Runs `command` with `input`, within `deadline`; with `low_priority`, only when nobody else wants the processor.
pub(super) async fn run(
    mut command: Command,
    name: &'static str,
    input: Vec<u8>,
    deadline: Duration,
    low_priority: bool,
) -> Result<Output, GitError> {
    let failed = |source| GitError::Process { command: name.to_owned(), source };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.process_group(0).kill_on_drop(true).spawn().map_err(failed)?;
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut group = Group(pid);
    if let (true, Some(pid)) = (low_priority, pid)
        && let Err(error) = setpriority_process(Some(pid), LOWEST_PRIORITY)
    {
        tracing::debug!(%error, "Runs with the usual priority");
    }
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let work = async {
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A process that ends before it has read everything says why on stderr; the broken pipe adds nothing.
                if stdin.write_all(&input).await.is_ok() {
                    stdin.shutdown().await.ok();
                }
            }
        };
        let ((), stdout, stderr) = tokio::join!(feed, read_all(stdout), read_diagnosis(stderr));
        let Some(stdout) = stdout.map_err(failed)? else {
            return Err(GitError::TooMuchOutput { command: name.to_owned() });
        };
        Ok((child.wait().await.map_err(failed)?, stdout, stderr.map_err(failed)?))
    };
    let (status, stdout, stderr) = match tokio::time::timeout(deadline, work).await {
        Ok(result) => result?,
        Err(_) => return Err(GitError::Timeout { command: name.to_owned(), deadline }),
    };
    group.0 = None;
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    Ok(Output { command: name, code: status.code().unwrap_or(-1), stdout, stderr })
}

/// Reads to the end; `None`, at once, if that is further away than is kept.
async fn read_all(source: Option<impl AsyncRead + Unpin>) -> std::io::Result<Option<Vec<u8>>> {
    let mut data = Vec::new();
    if let Some(source) = source {
        source.take(LONGEST_OUTPUT + 1).read_to_end(&mut data).await?;
    }
    Ok((data.len() as u64 <= LONGEST_OUTPUT).then_some(data))
}

/// Reads to the end, keeps the beginning.
async fn read_diagnosis(source: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(mut source) = source {
        (&mut source).take(LONGEST_DIAGNOSIS).read_to_end(&mut kept).await?;
        tokio::io::copy(&mut source, &mut tokio::io::sink()).await?;
    }
    Ok(kept)
}
