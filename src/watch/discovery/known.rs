//! The types that count as served. Pure: the clock is a parameter.

use super::answer::Answer;
use crate::resource::ResourceType;
use crate::rules::Catalog;
use crate::rules::catalog::Absences;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long a type must be missing from complete answers before it counts as gone.
pub const GRACE: Duration = Duration::from_secs(60);

/// The types that count as served.
#[derive(Debug, Default)]
pub(super) struct KnownTypes {
    /// By (group, resource); the versions in order of preference.
    resources: BTreeMap<(String, String), Vec<Known>>,
    /// When the first complete answer came.
    complete_since: Option<Instant>,
    /// Whether complete answers came for so long that what was in none of them is gone.
    proven: bool,
}

#[derive(Clone, Debug)]
struct Known {
    kind: ResourceType,
    subresources: Vec<String>,
    /// When the first complete answer came that lacked it.
    missing_since: Option<Instant>,
}

impl KnownTypes {
    /// Takes `answer` in, and tells what counts as served at `now`.
    pub(super) fn observe(&mut self, answer: Answer, now: Instant) -> Catalog {
        let complete = answer.is_complete();
        let lasted = |since: Option<Instant>| since.is_some_and(|since| now.duration_since(since) >= GRACE);
        self.complete_since = self.complete_since.or_else(|| complete.then_some(now));
        self.proven |= complete && lasted(self.complete_since);
        let mut before = std::mem::take(&mut self.resources);
        for (kind, subresources) in answer.types {
            let versions = self.resources.entry((kind.group.clone(), kind.resource.clone())).or_default();
            versions.push(Known { kind, subresources, missing_since: None });
        }
        // Resources that are missing altogether must be looked at as well.
        for key in before.keys() {
            self.resources.entry(key.clone()).or_default();
        }
        for (key, versions) in &mut self.resources {
            for (place, old) in before.remove(key).unwrap_or_default().into_iter().enumerate() {
                if versions.iter().any(|new| new.kind.version == old.kind.version) {
                    continue;
                }
                let missing_since = old.missing_since.or_else(|| complete.then_some(now));
                if !(complete && lasted(missing_since)) {
                    // In its old place, or the preferred version would change for a moment.
                    versions.insert(place.min(versions.len()), Known { missing_since, ..old });
                }
            }
        }
        self.resources.retain(|_, versions| !versions.is_empty());
        let known = || self.resources.values().flatten();
        Catalog::new(known().map(|known| known.kind.clone()))
            .with_subresources(known().map(|known| (known.kind.clone(), known.subresources.clone())))
            .with_short_names(answer.short_names)
            .with_absences(Absences {
                are_proven: self.proven,
                unwatchable: answer.unwatchable,
                unclear_groups: answer.unclear,
            })
    }

    /// When the next missing type may be dropped, or absences are proven.
    pub(super) fn due(&self) -> Option<Instant> {
        let missing = self.resources.values().flatten().filter_map(|known| known.missing_since);
        let unproven = self.complete_since.filter(|_| !self.proven);
        missing.chain(unproven).min().map(|since| since + GRACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::catalog::Presence;
    use std::collections::BTreeSet;

    fn mk_answer(types: &[(&str, &str)], complete: bool) -> Answer {
        let types = types.iter().map(|(version, resource)| {
            let kind = ResourceType {
                group: "example.com".into(),
                version: (*version).into(),
                resource: (*resource).into(),
                kind: "Any".into(),
                namespaced: true,
            };
            (kind, vec!["status".to_owned()])
        });
        let unclear = if complete { BTreeSet::new() } else { BTreeSet::from(["down.example.com".to_owned()]) };
        Answer { types: types.collect(), unclear, ..Answer::default() }
    }

    fn names(catalog: &Catalog) -> Vec<String> {
        catalog.resources().flatten().map(|kind| format!("{}/{}", kind.version, kind.resource)).collect()
    }

    #[test]
    fn what_is_missing_goes_after_a_minute_of_complete_answers() {
        let (all, less) = (&[("v1", "a"), ("v1", "b")], &[("v1", "a")]);
        let steps: &[(u64, bool, &[(&str, &str)], &[&str])] = &[
            (0, true, all, &["v1/a", "v1/b"]),
            (100, false, less, &["v1/a", "v1/b"]),
            (200, true, less, &["v1/a", "v1/b"]),
            (259, true, less, &["v1/a", "v1/b"]),
            (260, false, less, &["v1/a", "v1/b"]),
            (261, true, less, &["v1/a"]),
            (262, true, all, &["v1/a", "v1/b"]),
            (300, true, less, &["v1/a", "v1/b"]),
            (310, true, all, &["v1/a", "v1/b"]),
            (365, true, less, &["v1/a", "v1/b"]),
            (424, true, less, &["v1/a", "v1/b"]),
            (425, true, less, &["v1/a"]),
        ];
        let start = Instant::now();
        let mut known = KnownTypes::default();
        for (seconds, complete, types, expected) in steps {
            let catalog = known.observe(mk_answer(types, *complete), start + Duration::from_secs(*seconds));
            assert_eq!(names(&catalog), *expected, "at {seconds}");
            let lacks_b = !expected.contains(&"v1/b");
            assert_eq!(catalog.presence("example.com", "b") == Presence::Gone, lacks_b, "at {seconds}");
        }
        assert_eq!(known.due(), None);
    }

    #[test]
    fn what_was_never_seen_is_gone_after_a_minute_of_complete_answers() {
        let served = &[("v1", "a")];
        let steps = [
            (0, false, false),
            (70, false, false),
            (80, true, false),
            (139, true, false),
            (141, false, false),
            (142, true, true),
            (150, false, true),
        ];
        let start = Instant::now();
        let mut known = KnownTypes::default();
        for (seconds, complete, expected) in steps {
            let catalog = known.observe(mk_answer(served, complete), start + Duration::from_secs(seconds));
            assert_eq!(catalog.presence("example.com", "b") == Presence::Gone, expected, "at {seconds}");
            let due = if seconds < 80 || expected { None } else { Some(start + Duration::from_secs(140)) };
            assert_eq!(known.due(), due, "at {seconds}");
        }
    }

    #[test]
    fn what_can_no_longer_be_watched_is_dropped_but_not_gone() {
        let start = Instant::now();
        let mut known = KnownTypes::default();
        known.observe(mk_answer(&[("v1", "a")], true), start);
        let unwatchable = BTreeSet::from([("a".to_owned(), "example.com".to_owned())]);
        for (seconds, expected) in [(10, &["v1/a"][..]), (71, &[])] {
            let answer = Answer { unwatchable: unwatchable.clone(), ..Answer::default() };
            let catalog = known.observe(answer, start + Duration::from_secs(seconds));
            assert_eq!(names(&catalog), expected, "at {seconds}");
            assert_ne!(catalog.presence("example.com", "a"), Presence::Gone, "at {seconds}");
        }
    }

    #[test]
    fn a_version_that_is_missing_for_a_moment_stays_preferred() {
        let start = Instant::now();
        let mut known = KnownTypes::default();
        known.observe(mk_answer(&[("v3", "a"), ("v2", "a"), ("v1", "a")], true), start);
        let catalog = known.observe(mk_answer(&[("v2", "a"), ("v1", "a")], true), start);
        assert_eq!(names(&catalog), ["v3/a", "v2/a", "v1/a"]);
        assert_eq!(known.due(), Some(start + GRACE));
        let catalog = known.observe(mk_answer(&[("v1", "a"), ("v3", "a")], true), start);
        assert_eq!(names(&catalog), ["v1/a", "v2/a", "v3/a"]);
    }

    #[test]
    fn a_new_preferred_version_is_taken_at_once() {
        let start = Instant::now();
        let mut known = KnownTypes::default();
        known.observe(mk_answer(&[("v1", "a")], true), start);
        let catalog = known.observe(mk_answer(&[("v2", "a"), ("v1", "a")], false), start);
        assert_eq!(names(&catalog), ["v2/a", "v1/a"]);
    }
}
