//! Sends the rules to whoever watches and registers, as soon as the statuses hold what they select: what is written and
//! selected no more after a crash could not be told from anybody's files else.

use super::outcome::ObjectKey;
use super::selection::lost;
use super::status::Observed;
use crate::rules::{RuleSet, Selection};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long new rules wait for the statuses: what the API server does not take must not stop everybody's rules.
const PATIENCE: Duration = Duration::from_secs(2);

/// The rules in effect, and those that wait.
#[derive(Debug, Default)]
pub struct Publication {
    published: Option<Arc<RuleSet>>,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    set: Arc<RuleSet>,
    missing: Vec<Missing>,
    since: Instant,
}

/// What the status of a target has to hold before rules take effect.
#[derive(Debug)]
pub struct Missing {
    /// The target.
    pub target: ObjectKey,
    /// As it was last seen.
    pub observed: Observed,
    /// What its status has to hold.
    pub selection: Selection,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

impl Publication {
    /// From now on `set` is wanted. `missing` says what no status holds yet that it selects; it is asked only if the set
    /// is another one than is in effect.
    pub fn want(&mut self, set: &RuleSet, missing: impl FnOnce() -> Vec<Missing>, now: Instant) {
        let since = self.waiting.take().map_or(now, |waiting| waiting.since);
        if self.published.as_deref() != Some(set) {
            self.waiting = Some(Waiting { set: Arc::new(set.clone()), missing: missing(), since });
        }
    }

    /// Sends what waits to `rules` if nothing is missing any more, or has been for too long. `stored` is what the status of
    /// a target holds now; `None`: the API server does not take it.
    pub fn proceed(
        &mut self,
        rules: &watch::Sender<Arc<RuleSet>>,
        stored: impl Fn(&ObjectKey, &Observed) -> Option<Selection>,
        now: Instant,
    ) {
        let Some(waiting) = &mut self.waiting else { return };
        // One that the API server does not take must not keep everybody waiting at each change.
        let is_missing = |one: &mut Missing| {
            stored(&one.target, &one.observed).is_some_and(|stored| !lost(&one.selection, &stored).is_empty())
        };
        waiting.missing.retain_mut(is_missing);
        if let Some(missing) = waiting.missing.first() {
            if now < waiting.since + PATIENCE {
                return;
            }
            tracing::warn!(target = %missing, "Rules take effect although the status of their target could not be written");
        }
        self.published = Some(Arc::clone(&waiting.set));
        rules.send_replace(Arc::clone(&waiting.set));
        self.waiting = None;
    }

    /// When what waits is sent in any case.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|waiting| waiting.since + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::branches::tests::{mk_compiled, mk_snapshot};
    use super::super::outcome::Kind;
    use super::*;
    use crate::resource::{NamespaceSet, NamespacedName};
    use crate::rules::Selected;
    use std::cell::RefCell;

    fn mk_selection(resource: &str) -> Selection {
        let (group, resource, version) = (String::new(), resource.to_owned(), "v1".to_owned());
        Selection::new([Selected {
            group,
            resource,
            version,
            namespaces: NamespaceSet::ALL,
            selector: None,
            deletes: true,
        }])
    }

    fn mk_missing(resource: &str) -> Vec<Missing> {
        let target = ObjectKey::of(Kind::GitTarget, &NamespacedName::new("ns", "a"));
        vec![Missing { target, observed: Observed::default(), selection: mk_selection(resource) }]
    }

    #[test]
    fn rules_are_sent_as_soon_as_the_statuses_hold_what_they_select() {
        let set = mk_compiled(&mk_snapshot()).set;
        let start = Instant::now();
        let stored = RefCell::new(Some(Selection::default()));
        let mut publication = Publication::default();
        let sends = |publication: &mut Publication, after: Duration| {
            let (rules, mut sent) = watch::channel(Arc::default());
            publication.proceed(&rules, |_, _| stored.borrow().clone(), start + after);
            sent.has_changed().is_ok_and(|sent| sent) && **sent.borrow_and_update() == set
        };
        let soon = Duration::from_millis(10);
        assert!(!sends(&mut publication, soon), "nothing waits");
        publication.want(&set, || mk_missing("secrets"), start);
        assert!(!sends(&mut publication, soon));
        publication.want(&set, || mk_missing("configmaps"), start + soon);
        *stored.borrow_mut() = Some(mk_selection("secrets"));
        assert!(!sends(&mut publication, soon), "other rules are wanted by now");
        assert_eq!(publication.due(), Some(start + PATIENCE), "which does not make the first wait longer");
        *stored.borrow_mut() = Some(mk_selection("configmaps"));
        assert!(sends(&mut publication, soon));
        assert!(!sends(&mut publication, PATIENCE) && publication.due().is_none());
        publication.want(&set, || mk_missing("secrets"), start);
        assert!(!sends(&mut publication, PATIENCE), "they are in effect");
    }

    #[test]
    fn what_the_api_server_does_not_take_stops_nobody() {
        let set = mk_compiled(&mk_snapshot()).set;
        let start = Instant::now();
        for (stored, patience) in [(None, Duration::ZERO), (Some(Selection::default()), PATIENCE)] {
            let mut publication = Publication::default();
            publication.want(&set, || mk_missing("secrets"), start);
            let (rules, sent) = watch::channel(Arc::default());
            publication.proceed(&rules, |_, _| stored.clone(), start + patience);
            assert!(sent.has_changed().unwrap());
        }
    }
}
