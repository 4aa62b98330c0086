//! The git processes that an operator runs, while they run: found by what they do, stopped in the midst of it.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

/// Time between two looks: shorter than anything that git does.
const INTERVAL: Duration = Duration::from_micros(300);
/// Stopping a process takes no longer than this.
const STOPS: Duration = Duration::from_secs(5);

/// A running process of one git command.
#[derive(Clone, Debug)]
pub(crate) struct GitProcess {
    pid: Pid,
    /// What the operator asked git for: `push`, `fast-import`, ...; `clone` for the first fetch of a clone. Of a child of
    /// that command, `remote-http` or `pack-objects` for instance.
    pub(crate) name: String,
}

/// Watches for the git processes of one operator.
pub(crate) struct GitProcesses {
    operator: u32,
    /// Processes that were looked at and are no command of the operator, or were handed out.
    known: HashSet<u32>,
}

impl GitProcesses {
    /// Of the operator with this process id. What runs already is no longer handed out.
    pub(crate) fn below(operator: u32) -> Self {
        Self { operator, known: all().collect() }
    }

    /// The next process that runs the command `name` of the operator; `None` if there was none until `deadline`.
    pub(crate) async fn next(&mut self, name: &str, deadline: Instant) -> Option<GitProcess> {
        while Instant::now() < deadline {
            let fresh: Vec<u32> = all().filter(|pid| !self.known.contains(pid)).collect();
            for pid in fresh {
                let Some(found) = self.command(pid) else { continue };
                self.known.insert(pid);
                if found == name {
                    return Some(GitProcess { pid: id(pid)?, name: found });
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
        None
    }

    /// What `pid` does, if it is a command that the operator runs; `None` too while it has not become one yet.
    fn command(&mut self, pid: u32) -> Option<String> {
        let stat = Stat::of(pid)?;
        if stat.parent != self.operator {
            self.known.insert(pid);
            return None;
        }
        let arguments = arguments(pid)?;
        let is_git = Path::new(arguments.first()?).file_name()? == "git";
        let is_clone = arguments.get(1).is_some_and(|name| name == "fetch")
            && arguments.iter().any(|argument| argument.starts_with("--depth="));
        let name = if is_clone { "clone" } else { arguments.get(1)? };
        is_git.then(|| name.to_owned())
    }
}

impl GitProcess {
    /// The processes that this one has started to do its work.
    pub(crate) fn children(&self) -> Vec<Self> {
        let mine =
            |pid: u32| Stat::of(pid).filter(|stat| id(stat.group) == Some(self.pid) && id(pid) != Some(self.pid));
        let named = |pid: u32| {
            let arguments = arguments(pid)?;
            let program = Path::new(arguments.first()?).file_name()?.to_str()?;
            let name = if program != "git" { program.trim_start_matches("git-") } else { arguments.get(1)? };
            Some(Self { pid: id(pid)?, name: name.to_owned() })
        };
        all().filter(|&pid| mine(pid).is_some()).filter_map(named).collect()
    }

    /// Kills it, if it was still at work then.
    pub(crate) async fn kill(&self) -> bool {
        // A process that has ended can be signalled until its parent has noticed; it cannot be stopped.
        let stopped = self.signal(Signal::STOP) && self.stops().await;
        stopped && self.signal(Signal::KILL)
    }

    fn signal(&self, signal: Signal) -> bool {
        match kill_process(self.pid, signal) {
            Ok(()) => true,
            Err(Errno::SRCH) => false,
            Err(error) => panic!("{self:?} cannot be signalled: {error}"),
        }
    }

    async fn stops(&self) -> bool {
        let deadline = Instant::now() + STOPS;
        while let Some(stat) = Stat::of(self.pid.as_raw_nonzero().get().unsigned_abs()) {
            match stat.state {
                'T' => return true,
                'Z' | 'X' => return false,
                state => assert!(Instant::now() < deadline, "{self:?} does not stop: {state}"),
            }
            tokio::time::sleep(INTERVAL).await;
        }
        false
    }
}

/// What the system tells about a process.
struct Stat {
    state: char,
    parent: u32,
    group: u32,
}

impl Stat {
    /// `None` once it is gone.
    fn of(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name of the program, in brackets, may contain anything.
        let mut fields = text.rsplit(')').next()?.split_whitespace();
        let (state, parent, group) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Self { state: state.chars().next()?, parent: parent.parse().ok()?, group: group.parse().ok()? })
    }
}

fn arguments(pid: u32) -> Option<Vec<String>> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&line).split_terminator('\0').map(str::to_owned).collect())
}

fn all() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn id(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}
