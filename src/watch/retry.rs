//! When what failed is tried again.

use std::time::{Duration, Instant};

/// The first wait.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);
/// So long without another failure, and the next counts as the first.
const CALM: Duration = Duration::from_secs(60);

/// Waits that double with each failure in a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Retry {
    failures: u32,
    /// When the last try was, or will be.
    tried: Option<Instant>,
}

impl Retry {
    /// How long to wait after a failure at `now`. `spread`, from 0 to 1, keeps those that fail together from coming
    /// together again.
    pub(super) fn wait(&mut self, now: Instant, spread: f64) -> Duration {
        if self.tried.is_none_or(|tried| now.saturating_duration_since(tried) > CALM) {
            self.failures = 0;
        }
        let longest = LONGEST.min(FIRST.saturating_mul(1 << self.failures.min(10)));
        let wait = longest.mul_f64(1.0 - spread.clamp(0.0, 1.0) / 2.0);
        self.failures += 1;
        self.tried = Some(now + wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_until_it_has_been_calm() {
        let mut retry = Retry::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..8 {
            let wait = retry.wait(now, 0.0);
            waits.push(wait.as_millis());
            now += wait + Duration::from_secs(59);
        }
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(retry.wait(now + Duration::from_secs(2), 0.0), FIRST);
        assert_eq!(Retry::default().wait(now, 1.0), FIRST / 2);
    }
}
