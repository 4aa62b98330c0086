//! The Secrets that are referred to, each watched by its name.

use super::parse::{InvalidSecret, credentials};
use crate::git::spec::Credentials;
use crate::resource::{HostPolicy, NamespacedName};
use futures::stream::{AbortHandle, Abortable, BoxStream, SelectAll};
use futures::{StreamExt as _, future};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// What is known of a Secret that a provider refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretState {
    /// Not answered yet.
    Pending,
    /// There is none.
    Missing,
    /// The API server refuses to show it: its words.
    Unreadable(String),
    /// It holds no credentials: what is wrong.
    Invalid(InvalidSecret),
    /// What it holds.
    Found(Credentials),
}

impl SecretState {
    fn of(secret: Option<&Secret>, hosts: &HostPolicy) -> Self {
        let Some(secret) = secret else { return Self::Missing };
        match credentials(secret, hosts) {
            Ok(credentials) => Self::Found(credentials),
            Err(problem) => Self::Invalid(problem),
        }
    }
}

type Seen = (NamespacedName, Result<SecretState, String>);

/// Watches exactly the Secrets that are referred to, each by its name; others never leave the API server.
pub struct SecretWatches {
    client: Client,
    hosts: Arc<HostPolicy>,
    states: BTreeMap<NamespacedName, SecretState>,
    aborts: BTreeMap<NamespacedName, AbortHandle>,
    streams: SelectAll<Abortable<BoxStream<'static, Seen>>>,
}

impl fmt::Debug for SecretWatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretWatches").field("states", &self.states).finish_non_exhaustive()
    }
}

impl SecretWatches {
    /// Watches nothing yet. `hosts` says where an app may get its tokens.
    #[must_use]
    pub fn new(client: Client, hosts: HostPolicy) -> Self {
        Self {
            client,
            hosts: Arc::new(hosts),
            states: BTreeMap::new(),
            aborts: BTreeMap::new(),
            streams: SelectAll::new(),
        }
    }

    /// Watches `wanted` and nothing else. What is new is [`SecretState::Pending`] at first.
    pub fn want(&mut self, wanted: BTreeSet<NamespacedName>) {
        self.states.retain(|name, _| wanted.contains(name));
        self.aborts.retain(|name, watch| {
            let keep = wanted.contains(name);
            if !keep {
                watch.abort();
            }
            keep
        });
        for name in wanted {
            if self.states.contains_key(&name) {
                continue;
            }
            let (stream, abort) = futures::stream::abortable(states(&self.client, Arc::clone(&self.hosts), &name));
            self.streams.push(stream);
            self.aborts.insert(name.clone(), abort);
            self.states.insert(name, SecretState::Pending);
        }
    }

    /// What is known of each wanted Secret.
    #[must_use]
    pub const fn states(&self) -> &BTreeMap<NamespacedName, SecretState> {
        &self.states
    }

    /// Returns once a state has changed. May be dropped and called again.
    pub async fn changed(&mut self) {
        loop {
            let Some((name, seen)) = self.streams.next().await else { return future::pending().await };
            let Some(state) = self.states.get_mut(&name) else { continue };
            let new = match seen {
                Ok(new) => new,
                // What was read stays good while the API server cannot be asked.
                Err(_) if matches!(state, SecretState::Found(_)) => continue,
                Err(error) => SecretState::Unreadable(error),
            };
            if *state != new {
                *state = new;
                return;
            }
        }
    }
}

fn states(client: &Client, hosts: Arc<HostPolicy>, name: &NamespacedName) -> BoxStream<'static, Seen> {
    let api = Api::<Secret>::namespaced(client.clone(), &name.namespace);
    let name = name.clone();
    let fields = format!("metadata.name={}", name.name);
    let mut listed = None;
    let events = watcher(api, watcher::Config::default().fields(&fields)).default_backoff();
    let states = events.filter_map(move |event| {
        let state = match event {
            Ok(watcher::Event::Init) => {
                listed = None;
                None
            }
            Ok(watcher::Event::InitApply(secret)) => {
                listed = Some(secret);
                None
            }
            Ok(watcher::Event::InitDone) => Some(Ok(SecretState::of(listed.take().as_ref(), &hosts))),
            Ok(watcher::Event::Apply(secret)) => Some(Ok(SecretState::of(Some(&secret), &hosts))),
            Ok(watcher::Event::Delete(_)) => Some(Ok(SecretState::Missing)),
            Err(error) => {
                tracing::warn!(secret = %name, %error, "Watching a Secret failed");
                Some(Err(error.to_string()))
            }
        };
        future::ready(state.map(|state| (name.clone(), state)))
    });
    states.boxed()
}
