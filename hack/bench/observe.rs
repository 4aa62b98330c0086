//! Looks at the remote's ref, at the operator's process and at its log, at as little cost as possible: there may be
//! two processors for everything.

use crate::support::remote_repo::RemoteRepo;
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Time between two looks at the ref, which bounds the precision.
const INTERVAL: Duration = Duration::from_millis(5);
/// After this a scenario has failed.
const DEADLINE: Duration = Duration::from_secs(120);

/// Sees every change of `refs/heads/main` of a bare repository, by its file.
pub(crate) struct RefWatch {
    changes: mpsc::UnboundedReceiver<Arrival>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A new tip of the branch.
pub(crate) struct Arrival {
    /// When it was seen.
    pub(crate) at: Instant,
    /// The commit.
    pub(crate) tip: String,
}

impl RefWatch {
    /// Watches from now on; the present tip is no change.
    pub(crate) fn start(repo: &RemoteRepo) -> Self {
        let file = repo.path().join("refs/heads/main");
        let stop = Arc::<AtomicBool>::default();
        let (sender, changes) = mpsc::unbounded_channel();
        let stopped = Arc::clone(&stop);
        let mut last = read_ref(&file);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let tip = read_ref(&file);
                if tip != last {
                    last.clone_from(&tip);
                    if let Some(tip) = tip
                        && sender.send(Arrival { at: Instant::now(), tip }).is_err()
                    {
                        return;
                    }
                }
                std::thread::sleep(INTERVAL);
            }
        });
        Self { changes, stop, thread: Some(thread) }
    }

    /// The next change.
    pub(crate) async fn next(&mut self) -> Result<Arrival> {
        let next = tokio::time::timeout(DEADLINE, self.changes.recv()).await;
        next.with_context(|| format!("the remote did not move for {DEADLINE:?}"))?.context("the watch of the ref ended")
    }

    /// The first change after which `complete` holds of the tip.
    pub(crate) async fn until(&mut self, mut complete: impl FnMut(&str) -> Result<bool>) -> Result<Arrival> {
        loop {
            let arrival = self.next().await?;
            if complete(&arrival.tip)? {
                return Ok(arrival);
            }
        }
    }
}

impl Drop for RefWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the watch of the ref panicked");
        }
    }
}

fn read_ref(file: &PathBuf) -> Option<String> {
    std::fs::read_to_string(file).ok().map(|tip| tip.trim_end().to_owned())
}

/// The peak of the resident memory of a process so far, in MiB.
pub(crate) fn peak_memory(pid: u32) -> Result<f64> {
    status_of(pid, "VmHWM:")
}

/// The resident memory of a process, in MiB.
pub(crate) fn memory(pid: u32) -> Result<f64> {
    status_of(pid, "VmRSS:")
}

fn status_of(pid: u32, field: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix(field)).context("a field of /proc/PID/status is missing")?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes / 1024.0)
}

/// The processor time that a process has used so far, its children apart.
pub(crate) fn processor_time(pid: u32) -> Result<Duration> {
    // The kernel tells hundredths of a second.
    const TICK: Duration = Duration::from_millis(10);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is a name in brackets that may hold anything; utime and stime are the 14th and 15th.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat is not understood")?;
    let mut times = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let (Some(user), Some(system)) = (times.next(), times.next()) else { bail!("/proc/PID/stat is too short") };
    Ok(TICK * (user? + system?))
}

/// One line of the operator's log.
#[derive(Deserialize)]
pub(crate) struct LogLine {
    /// When it was written.
    pub(crate) timestamp: jiff::Timestamp,
    /// What happened.
    pub(crate) message: String,
    /// How many objects a list has, where it is a list.
    #[serde(default)]
    pub(crate) objects: usize,
}

/// The lines of a log that are understood, oldest first.
pub(crate) fn parse_log(log: &str) -> Vec<LogLine> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The time from `instant` to a time in a log; none if the log is older.
pub(crate) fn since(instant: Instant, logged: jiff::Timestamp) -> Duration {
    let start = jiff::Timestamp::now() - jiff::SignedDuration::try_from(instant.elapsed()).unwrap_or_default();
    Duration::try_from(logged.duration_since(start)).unwrap_or_default()
}
