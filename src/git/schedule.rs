//! When to push. Pure: the clock is passed in.

use super::spec::PushPolicy;
use std::time::{Duration, Instant};

/// A leading push waits until nothing was committed for so long,
const QUIET: Duration = Duration::from_millis(200);
/// but no longer than this.
const LONGEST_QUIET: Duration = Duration::from_secs(1);
/// A failed push is tried again after this, doubled each time,
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// up to this, so that everything is there soon after an outage.
const LAST_RETRY: Duration = Duration::from_secs(8);

/// What a person has to mend is tried again after this.
const SLOW_RETRY: Duration = Duration::from_secs(60);

/// How long to wait after so many failures in a row: longer for each that is `transient`, a minute for one that a person
/// has to mend. `jitter` is from 0 to 1.
#[must_use]
pub fn retry_after(transient: bool, failures: u32, jitter: f64) -> Duration {
    if transient { backoff(failures, jitter) } else { spread(SLOW_RETRY, jitter) }
}

/// How long to wait after so many failures in a row. `jitter` is from 0 to 1.
#[must_use]
pub fn backoff(failures: u32, jitter: f64) -> Duration {
    let wait = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LAST_RETRY);
    spread(wait, jitter)
}

fn spread(wait: Duration, jitter: f64) -> Duration {
    wait.mul_f64(0.75 + jitter / 4.0)
}

/// Decides when the journal is pushed: at once on a branch that was quiet, else coalesced.
#[derive(Debug)]
pub struct PushSchedule {
    interval: Duration,
    max_commits: usize,
    spacing: Duration,
    ceiling: Duration,
    queued: usize,
    first_unpushed: Option<Instant>,
    last_commit: Option<Instant>,
    last_push: Option<Instant>,
    retry_at: Option<Instant>,
    failures: u32,
    /// Pushes in a row that found the remote moved.
    stale: u32,
    poll: Duration,
    last_look: Option<Instant>,
}

impl PushSchedule {
    /// A schedule with nothing queued. Pushes are never less than `spacing` apart; `ceiling` is the operator's upper bound
    /// on every provider's interval.
    #[must_use]
    pub fn new(policy: PushPolicy, spacing: Duration, ceiling: Duration) -> Self {
        Self {
            interval: policy.interval.min(ceiling),
            max_commits: policy.max_commits,
            spacing,
            ceiling,
            queued: 0,
            first_unpushed: None,
            last_commit: None,
            last_push: None,
            retry_at: None,
            failures: 0,
            stale: 0,
            poll: Duration::MAX,
            last_look: None,
        }
    }

    /// How long the remote may go without being looked at while nothing waits.
    pub const fn set_poll(&mut self, poll: Duration) {
        self.poll = poll;
    }

    /// The remote has told where the branch stands.
    pub const fn looked(&mut self, now: Instant) {
        self.last_look = Some(now);
    }

    /// Takes over a changed policy. What waits for a retry goes now, since its cause may have been mended.
    pub fn set_policy(&mut self, policy: PushPolicy, now: Instant) {
        self.interval = policy.interval.min(self.ceiling);
        self.max_commits = policy.max_commits;
        self.retry_at = self.retry_at.map(|_| now);
    }

    /// How many commits wait.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.queued
    }

    /// `commits` were added to the journal.
    pub fn committed(&mut self, commits: usize, now: Instant) {
        if commits > 0 {
            self.queued += commits;
            self.first_unpushed.get_or_insert(now);
            self.last_commit = Some(now);
        }
    }

    /// A push was started.
    pub const fn started(&mut self, now: Instant) {
        self.last_push = Some(now);
    }

    /// The remote was reached; `left` commits still wait.
    pub const fn succeeded(&mut self, left: usize, now: Instant) {
        self.failures = 0;
        self.stale = 0;
        self.retry_at = None;
        self.queued = left;
        self.first_unpushed = if left > 0 { Some(now) } else { None };
    }

    /// The remote is to be looked at soon.
    pub const fn look(&mut self, now: Instant) {
        self.retry_at = Some(now);
    }

    /// The journal has `commits` commits, however it came to that.
    pub fn recount(&mut self, commits: usize, now: Instant) {
        self.queued = 0;
        self.first_unpushed = None;
        self.committed(commits, now);
    }

    /// The remote was looked at and has nothing new: what is queued goes when it is due.
    pub const fn reached(&mut self, now: Instant) {
        self.retry_at = if self.queued > 0 { Some(now) } else { None };
    }

    /// Whether the last use of the remote failed.
    #[must_use]
    pub const fn is_retrying(&self) -> bool {
        self.retry_at.is_some()
    }

    /// A push found that the remote has moved: look at it now; on a branch that moves under every push, from the fourth in
    /// a row on, later each time. The wait is before the look, so that what is replayed is pushed while it still fits.
    pub fn stale(&mut self, jitter: f64, now: Instant) {
        self.stale = self.stale.saturating_add(1);
        let wait = if self.stale > 3 { backoff(self.stale - 3, jitter) } else { Duration::ZERO };
        self.retry_at = Some(now + wait);
    }

    /// The journal was put onto the remote's commits: the `left` commits that it has are pushed now.
    pub fn replayed(&mut self, left: usize, now: Instant) {
        self.queued = left;
        self.first_unpushed = (left > 0).then_some(now);
        self.retry_at = self.first_unpushed;
    }

    /// The remote could not be used: try again, soon if `transient`, else after a minute. `jitter` is from 0 to 1.
    pub fn failed(&mut self, transient: bool, jitter: f64, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + retry_after(transient, self.failures, jitter));
    }

    /// When the remote is to be used next; `None` while there is nothing to do.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        if let Some(retry_at) = self.retry_at {
            return Some(retry_at);
        }
        let (Some(first), Some(last)) = (self.first_unpushed, self.last_commit) else {
            return self.last_look?.checked_add(self.poll);
        };
        let quiet = (last + QUIET).min(first + LONGEST_QUIET);
        let Some(last_push) = self.last_push else { return Some(quiet) };
        let wanted = if first >= last_push + self.interval || self.queued >= self.max_commits {
            quiet
        } else {
            last_push + self.interval
        };
        Some(wanted.max(last_push + self.spacing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn mk_schedule() -> (PushSchedule, Instant) {
        let policy = PushPolicy { interval: MINUTE, max_commits: 20 };
        (PushSchedule::new(policy, Duration::from_secs(10), Duration::from_secs(20)), Instant::now())
    }

    #[test]
    fn the_first_commit_on_a_quiet_branch_goes_at_once() {
        let (mut schedule, start) = mk_schedule();
        assert_eq!(schedule.due(), None);
        schedule.committed(1, start);
        assert_eq!(schedule.due(), Some(start + QUIET));
    }

    #[test]
    fn a_steady_stream_cannot_put_off_the_first_push() {
        let (mut schedule, start) = mk_schedule();
        for tick in 0..30 {
            schedule.committed(1, start + Duration::from_millis(100) * tick);
        }
        assert_eq!(schedule.due(), Some(start + LONGEST_QUIET));
    }

    #[test]
    fn later_commits_wait_for_the_interval_under_the_ceiling() {
        let (mut schedule, start) = mk_schedule();
        schedule.committed(1, start);
        schedule.started(start);
        schedule.succeeded(0, start);
        schedule.committed(1, start + Duration::from_secs(1));
        assert_eq!(schedule.due(), Some(start + Duration::from_secs(20)));
    }

    #[test]
    fn many_commits_go_earlier_but_never_too_close() {
        let (mut schedule, start) = mk_schedule();
        schedule.started(start);
        schedule.committed(20, start + Duration::from_secs(1));
        assert_eq!(schedule.due(), Some(start + Duration::from_secs(10)));
        schedule.committed(1, start + Duration::from_secs(12));
        assert_eq!(schedule.due(), Some(start + Duration::from_secs(10)).max(Some(start + Duration::from_secs(2))));
    }

    #[test]
    fn a_remote_to_which_nothing_is_pushed_is_looked_at_now_and_then() {
        let (mut schedule, start) = mk_schedule();
        schedule.set_poll(5 * MINUTE);
        assert_eq!(schedule.due(), None, "the first look is not a matter of time");
        schedule.looked(start);
        assert_eq!(schedule.due(), Some(start + 5 * MINUTE));
        schedule.committed(1, start + MINUTE);
        assert_eq!(schedule.due(), Some(start + MINUTE + QUIET));
        schedule.started(start + 2 * MINUTE);
        schedule.succeeded(0, start + 2 * MINUTE);
        schedule.looked(start + 2 * MINUTE);
        assert_eq!(schedule.due(), Some(start + 7 * MINUTE));
        schedule.failed(true, 1.0, start + 7 * MINUTE);
        assert_eq!(schedule.due(), Some(start + 7 * MINUTE + FIRST_RETRY));
    }

    #[test]
    fn failures_back_off_and_are_forgotten_on_success() {
        let (mut schedule, start) = mk_schedule();
        schedule.committed(1, start);
        let mut waits = Vec::new();
        for _ in 0..8 {
            schedule.failed(true, 1.0, start);
            waits.push((schedule.due().unwrap() - start).as_millis());
        }
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000, 8_000]);
        schedule.failed(false, 0.0, start);
        assert_eq!(schedule.due(), Some(start + Duration::from_secs(45)));
        schedule.set_policy(PushPolicy { interval: MINUTE, max_commits: 20 }, start);
        assert_eq!(schedule.due(), Some(start), "a changed policy, or a changed Secret, is tried at once");
        schedule.succeeded(0, start);
        assert_eq!(schedule.due(), None);
        let waits: Vec<_> = (0..6)
            .map(|_| {
                schedule.stale(1.0, start);
                (schedule.due().unwrap() - start).as_millis()
            })
            .collect();
        assert_eq!(waits, [0, 0, 0, 500, 1_000, 2_000]);
        schedule.replayed(1, start);
        assert_eq!(schedule.due(), Some(start), "what is replayed goes before the remote moves again");
        schedule.succeeded(0, start);
        schedule.committed(1, start);
        schedule.failed(true, 1.0, start);
        assert_eq!(schedule.due(), Some(start + FIRST_RETRY));
    }
}
