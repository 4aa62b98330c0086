//! Where lists beside the watches have failed, and until when none is made there. Pure.

use crate::resource::NamespaceSet;
use crate::watch::retry::Retry;
use std::collections::BTreeMap;
use std::time::Instant;

/// A watch that is open stays so when its type is forbidden: only lists tell. What fails in one namespace must not keep
/// others waiting.
#[derive(Debug, Default)]
pub(super) struct Pauses(BTreeMap<NamespaceSet, Pause>);

#[derive(Debug, Default)]
struct Pause {
    retry: Retry,
    /// `None`: over, but remembered, since it is longer if the next list fails too.
    until: Option<Instant>,
}

impl Pauses {
    /// A list of `range` has failed.
    pub(super) fn failed(&mut self, range: NamespaceSet, now: Instant, spread: f64) {
        let pause = self.0.entry(range).or_default();
        pause.until = Some(now + pause.retry.wait(now, spread));
    }

    /// Something in `range` works again.
    pub(super) fn recovered(&mut self, range: &NamespaceSet) {
        self.0.retain(|paused, _| paused.intersection(range).is_empty());
    }

    /// Where no list is to be made.
    pub(super) fn range(&self) -> NamespaceSet {
        let paused = self.0.iter().filter(|(_, pause)| pause.until.is_some());
        paused.fold(NamespaceSet::NONE, |all, (range, _)| all.union(range))
    }

    /// When the next of them is over.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.0.values().filter_map(|pause| pause.until).min()
    }

    /// Those that are over at `now` end.
    pub(super) fn pass(&mut self, now: Instant) {
        for pause in self.0.values_mut() {
            pause.until = pause.until.filter(|until| *until > now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_range_is_left_alone_for_longer_and_longer_until_it_works_again() {
        let (mut pauses, start) = (Pauses::default(), Instant::now());
        let (a, b) = (NamespaceSet::one("a"), NamespaceSet::one("b"));
        pauses.failed(a.clone(), start, 0.0);
        assert_eq!((pauses.range(), pauses.next_end()), (a.clone(), Some(start + Duration::from_millis(500))));
        pauses.pass(start + Duration::from_millis(499));
        assert_eq!(pauses.range(), a);
        let next = start + Duration::from_millis(500);
        pauses.pass(next);
        assert_eq!((pauses.range(), pauses.next_end()), (NamespaceSet::NONE, None));
        pauses.failed(a.clone(), next, 0.0);
        pauses.failed(b.clone(), next, 0.0);
        assert_eq!(pauses.range(), a.union(&b));
        pauses.pass(next + Duration::from_millis(500));
        assert_eq!((pauses.range(), pauses.next_end()), (a.clone(), Some(next + Duration::from_secs(1))));
        pauses.recovered(&NamespaceSet::ALL);
        assert_eq!(pauses.range(), NamespaceSet::NONE);
        pauses.failed(a, next, 0.0);
        assert_eq!(pauses.next_end(), Some(next + Duration::from_millis(500)), "as if it were the first time");
    }
}
