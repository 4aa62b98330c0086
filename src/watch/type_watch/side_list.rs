//! Lists of what is new to targets, beside the watches that run.

use super::TypeWatch;
use crate::resource::NamespaceSet;
use crate::rules::WatchScope;
use crate::watch::failure::Failure;
use crate::watch::intake::Source;
use crate::watch::list::{ListRequest, list};
use crate::watch::report::FailureReason;
use crate::watch::retry::Retry;
use futures::StreamExt as _;
use futures::stream::{AbortHandle, abortable};
use std::sync::Arc;
use std::time::{Duration, Instant};

impl TypeWatch {
    /// Begins the lists again that have become worthless, and makes those that are missing.
    pub(super) fn mend_lists(&mut self) {
        for source in self.intake.take_spoiled() {
            match source {
                Source::Scope(scope) => self.start_list(&scope, Duration::ZERO, Retry::default()),
                Source::Side => self.stop_side_list(),
            }
        }
        self.list_missing();
    }

    fn stop_side_list(&mut self) {
        if let Some(side) = self.side.take() {
            side.stop.abort();
        }
        self.intake.abandon(&Source::Side);
    }

    /// The list beside the watches has failed at the namespaces `at`. What is to be listed is decided anew: there only
    /// after a while, elsewhere at once.
    pub(super) fn side_list_failed(&mut self, at: usize, failure: &Failure) {
        let failed = self.side.as_mut().map(|side| side.ranges.swap_remove(at));
        self.stop_side_list();
        let Some(failed) = failed else { return };
        tracing::warn!(kind = %self.kind, namespaces = %failed, error = failure.message, "List failed; it is tried again");
        if failed.is_all() && failure.reason == FailureReason::Forbidden {
            self.watch_apart();
        }
        self.pauses.failed(failed, Instant::now(), fastrand::f64());
        self.list_missing();
    }

    /// Lists are made again where none was made for a while.
    pub(super) fn resume_lists(&mut self) {
        self.pauses.pass(Instant::now());
        self.list_missing();
    }

    /// The watch of `range` works again, so lists may too.
    pub(super) fn back_in_reach(&mut self, range: &NamespaceSet) {
        self.pauses.recovered(range);
        self.list_missing();
    }

    /// Lists what is new to targets where watches work. The others get it with the lists from which their watches go on.
    pub(super) fn list_missing(&mut self) {
        if self.side.is_some() {
            return;
        }
        let missing = self.intake.missing(&self.scopes.in_reach().minus(&self.pauses.range()));
        if missing.is_empty() {
            return;
        }
        let ranges = self.side_ranges(missing);
        let apis = ranges.iter().map(|range| self.api(range.single().map(|name| &**name))).collect();
        let (places, retry) = (Arc::clone(&self.places), Retry::default());
        let request = ListRequest { apis, places, streams: None, wait: Duration::ZERO, retry };
        let (steps, stop) = abortable(list(request));
        self.lists.push(steps.map(|step| (Source::Side, step)).boxed());
        self.side = Some(SideList { stop, ranges });
    }

    /// A few namespaces are listed one by one, many at once where that is allowed.
    fn side_ranges(&self, missing: NamespaceSet) -> Vec<NamespaceSet> {
        let lists_all = self.scopes.works(&WatchScope::All);
        match missing.named() {
            Some(names) if !lists_all || names.len() <= self.context.namespaced_watch_limit => {
                names.iter().map(|name| NamespaceSet::one(name)).collect()
            }
            _ => vec![NamespaceSet::ALL],
        }
    }
}

/// A list beside the watches.
pub(super) struct SideList {
    stop: AbortHandle,
    /// What it lists, one after the other.
    ranges: Vec<NamespaceSet>,
}

impl SideList {
    /// All that it lists.
    pub(super) fn range(&self) -> NamespaceSet {
        self.ranges.iter().fold(NamespaceSet::NONE, |all, range| all.union(range))
    }
}
