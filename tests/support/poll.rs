//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// Time between two looks at the condition.
const INTERVAL: Duration = Duration::from_millis(25);

/// Looks at `check` until it answers `Some`, and returns that.
///
/// `Ok(None)` and `Err` both mean "not yet"; an `Err` says what was seen instead. After `deadline` the error
/// names `what` and the last thing seen. A `check` that hangs is cut at the deadline.
pub(crate) async fn eventually<T>(
    deadline: Duration,
    what: &str,
    mut check: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    let mut seen = String::from("nothing");
    loop {
        let left = deadline.saturating_sub(started.elapsed());
        match tokio::time::timeout(left, check()).await {
            Ok(Ok(Some(value))) => return Ok(value),
            Ok(Ok(None)) => seen = String::from("nothing"),
            Ok(Err(error)) => seen = format!("{error:#}"),
            Err(_) => {
                return Err(anyhow!(
                    "waited {deadline:?} for {what}; the last look did not end, the one before saw: {seen}"
                ));
            }
        }
        if started.elapsed() >= deadline {
            return Err(anyhow!("waited {deadline:?} for {what}; last seen: {seen}"));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
