//! A child process that cannot outlive us.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};

use super::scratch::ScratchDir;

/// Becomes the program, after leaving a watcher behind in the same process group. The watcher holds the read
/// end of a pipe that only we write to: when we drop it, or die in any way, it kills the group. Since the
/// watcher is a member of the group, the number of the group cannot have been given to somebody else.
///
/// In: 0 the pipe, 1 the lifeline of the scratch directory, 2 the log. The lifeline stays open as 4.
const WATCHED: &str = r#"
exec 3<&0 4>&1 </dev/null >&2
{ read -r _ <&3; kill -s KILL -- "-$$"; } &
exec 3<&-
exec "$@"
"#;

/// How much of a log an error carries, in lines.
const TAIL: usize = 30;

/// A running program in a process group of its own. Killed (SIGKILL, the whole group) when dropped, and when
/// this process ends, however it ends. What the program prints goes to a log file.
pub(crate) struct Process {
    name: String,
    child: Mutex<Child>,
    lifeline: Option<ChildStdin>,
    log: PathBuf,
}

impl Process {
    /// Starts `command`: its program, arguments, environment and directory count, its standard streams do not.
    /// The log is `<name>.log` in the scratch directory; a second process of that name continues it.
    pub(crate) fn start(name: &str, command: &Command, scratch: &ScratchDir) -> Result<Self> {
        let log = scratch.path().join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let mut watched = Command::new("sh");
        watched
            .args(["-c", WATCHED, name])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::piped())
            .stdout(scratch.lifeline()?)
            .stderr(output)
            .process_group(0);
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => watched.env(key, value),
                None => watched.env_remove(key),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            watched.current_dir(dir);
        }
        let mut child = watched.spawn().with_context(|| format!("starting {name}"))?;
        let lifeline = child.stdin.take();
        Ok(Self { name: name.to_owned(), child: Mutex::new(child), lifeline, log })
    }

    /// The process id of the program itself.
    pub(crate) fn pid(&self) -> u32 {
        self.child().id()
    }

    /// An error with the end of the log, if the program has ended by itself.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(status) = self.child().try_wait()? {
            bail!("{} ended by itself ({status}); {}", self.name, self.log_tail());
        }
        Ok(())
    }

    /// Kills (SIGKILL) the program alone, and waits until it is gone.
    pub(crate) fn kill(&self) {
        let mut child = self.child();
        if let Err(error) = child.kill().and_then(|()| child.wait()) {
            eprintln!("could not kill {}: {error}", self.name);
        }
    }

    /// The exit code once the program has ended by itself; -1 when a signal ended it.
    pub(crate) fn exit_code(&self) -> Result<Option<i32>> {
        Ok(self.child().try_wait()?.map(|status| status.code().unwrap_or(-1)))
    }

    /// The file with everything the program has printed.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of the log, with a heading, for error messages.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n  ");
        format!("end of the log of {}:\n  {tail}\n", self.name)
    }

    fn child(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watcher kills the group. Killing the program directly as well means that the wait below ends
        // even if somebody else has killed the watcher.
        drop(self.lifeline.take());
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        let ended = child.kill().and_then(|()| child.wait());
        if let Err(error) = ended {
            eprintln!("could not end {}: {error}", self.name);
        }
    }
}
