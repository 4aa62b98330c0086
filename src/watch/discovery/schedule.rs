//! When the API server is asked next. Pure: the clock is a parameter.

use std::time::Duration;
use tokio::time::Instant;

/// After something has changed, the API server takes a moment to serve accordingly: looks after such waits.
const AFTER_CHANGE: [Duration; 3] = [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(4)];
/// The least time between two questions, however much changes.
const SPACING: Duration = Duration::from_secs(1);

/// The next looks.
#[derive(Debug)]
pub(super) struct Schedule {
    /// When the API server was asked last.
    asked: Option<Instant>,
    /// The look that is due without any cause.
    regular: Instant,
    /// Those with a cause.
    looks: Vec<Instant>,
}

impl Schedule {
    /// The first look is due at once.
    pub(super) const fn new(now: Instant) -> Self {
        Self { asked: None, regular: now, looks: Vec::new() }
    }

    /// The API server was asked at `sent`; without a cause it is asked again at `regular`.
    pub(super) fn asked(&mut self, sent: Instant, regular: Instant) {
        self.asked = Some(sent);
        self.regular = regular;
        // What was due meanwhile may have a cause that the answer does not know.
        self.looks.retain(|look| *look > sent);
    }

    /// Something has changed that decides what is served.
    pub(super) fn changed(&mut self, now: Instant) {
        let [first, rest @ ..] = AFTER_CHANGE.map(|wait| now + wait);
        let pending = self.looks.iter().min().copied().unwrap_or(first).min(first);
        self.looks = std::iter::once(self.spaced(pending)).chain(rest).collect();
    }

    /// Somebody wants to know it now.
    pub(super) fn wanted(&mut self, now: Instant) {
        self.looks.push(self.spaced(now));
    }

    /// When to ask next, if not at `due` already.
    pub(super) fn next(&self, due: Option<Instant>) -> Instant {
        self.looks.iter().copied().chain(due).fold(self.regular, Instant::min)
    }

    fn spaced(&self, look: Instant) -> Instant {
        self.asked.map_or(look, |asked| look.max(asked + SPACING))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Asks whenever it is due until `end`, and returns when that was, in milliseconds; every answer takes `answer`.
    fn play(end: u64, refresh: u64, answer: u64, changes: &[u64]) -> Vec<u128> {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        let mut changes = changes.iter().map(|change| start + ms(*change)).peekable();
        let mut asked = Vec::new();
        loop {
            let next = schedule.next(None);
            if let Some(change) = changes.next_if(|change| *change < next) {
                schedule.changed(change);
                continue;
            }
            if next > start + ms(end) {
                return asked;
            }
            asked.push((next - start).as_millis());
            schedule.asked(next, next + ms(answer + refresh));
        }
    }

    #[test]
    fn without_a_cause_only_the_refresh_counts() {
        assert_eq!(play(1_000_000, 300_000, 0, &[]), [0, 300_000, 600_000, 900_000]);
    }

    #[test]
    fn a_change_is_looked_at_soon_and_again_later() {
        assert_eq!(play(60_000, 300_000, 10, &[10_000]), [0, 10_200, 11_000, 14_000]);
        assert_eq!(play(60_000, 300_000, 10, &[10_000, 10_100, 12_000]), [0, 10_200, 11_100, 12_200, 13_000, 16_000]);
    }

    #[test]
    fn changes_that_never_end_neither_starve_nor_flood() {
        let changes: Vec<u64> = (0..600).map(|number| 10_000 + 100 * number).collect();
        let asked = play(75_000, 300_000, 10, &changes);
        let during = asked.iter().filter(|at| (10_000..70_000).contains(*at)).count();
        assert!((55..=61).contains(&during), "{asked:?}");
        assert!(asked.iter().any(|at| *at >= 70_000), "the last change is looked at: {asked:?}");
    }

    #[test]
    fn who_wants_to_know_is_answered_at_once_but_not_for_ever() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        schedule.asked(start, start + ms(300_000));
        schedule.wanted(start + ms(400));
        assert_eq!(schedule.next(None), start + ms(1_000));
        schedule.asked(start + ms(1_000), start + ms(301_000));
        schedule.wanted(start + ms(9_000));
        assert_eq!(schedule.next(None), start + ms(9_000));
        assert_eq!(schedule.next(Some(start + ms(8_000))), start + ms(8_000));
    }

    #[test]
    fn a_change_while_the_answer_is_on_its_way_is_looked_at() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        schedule.changed(start + ms(100));
        schedule.asked(start, start + ms(300_000));
        assert_eq!(schedule.next(None), start + ms(300));
    }
}
