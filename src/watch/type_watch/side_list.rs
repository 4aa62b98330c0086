//! Lists of what is new to targets, beside the watches that run.

use super::TypeWatch;
use crate::resource::NamespaceSet;
use crate::rules::WatchScope;
use crate::watch::intake::Source;
use crate::watch::list::{ListRequest, list};
use crate::watch::object::RawObject;
use crate::watch::retry::Retry;
use futures::StreamExt as _;
use futures::stream::abortable;
use kube::Api;
use std::sync::Arc;
use std::time::Duration;

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
        if let Some((stop, _)) = self.side.take() {
            stop.abort();
        }
        self.intake.abandon(&Source::Side);
    }

    /// Lists what is new to targets where watches run. The others get it with the lists from which their watches go on.
    pub(super) fn list_missing(&mut self) {
        let missing = self.intake.missing(&self.scopes.followed());
        if self.side.is_some() || missing.is_empty() {
            return;
        }
        let (apis, range) = self.side_apis(&missing);
        let (places, retry) = (Arc::clone(&self.places), Retry::default());
        let request = ListRequest { apis, places, streams: None, wait: Duration::ZERO, retry };
        let (steps, stop) = abortable(list(request));
        self.lists.push(steps.map(|step| (Source::Side, step)).boxed());
        self.side = Some((stop, range));
    }

    /// A few namespaces are listed one by one, many at once where that is allowed.
    fn side_apis(&self, missing: &NamespaceSet) -> (Vec<Api<RawObject>>, NamespaceSet) {
        let lists_all = self.scopes.is_live(&WatchScope::All);
        if let Some(names) = missing.named()
            && (!lists_all || names.len() <= self.context.namespaced_watch_limit)
        {
            return (names.iter().map(|name| self.api(Some(name))).collect(), missing.clone());
        }
        (vec![self.api(None)], NamespaceSet::ALL)
    }
}
