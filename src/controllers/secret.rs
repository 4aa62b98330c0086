//! Credentials: what is read of a Secret, and how it is watched.

use crate::git::spec::Credentials;
use crate::resource::NamespacedName;
use futures::stream::{AbortHandle, Abortable, BoxStream, SelectAll};
use futures::{StreamExt as _, future};
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

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
    Invalid(&'static str),
    /// What it holds.
    Found(Credentials),
}

impl From<Option<&Secret>> for SecretState {
    fn from(secret: Option<&Secret>) -> Self {
        let Some(secret) = secret else { return Self::Missing };
        let text = |key: &str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(key));
            // Files and here-documents end in a newline that is no part of a password.
            bytes.map(|bytes| std::str::from_utf8(&bytes.0).map(|text| text.trim_end_matches(['\r', '\n']).to_owned()))
        };
        match (text("username"), text("password")) {
            (None, _) => Self::Invalid("it has no key username"),
            (_, None) => Self::Invalid("it has no key password"),
            (Some(Ok(username)), Some(Ok(password))) if is_clean(&username) && is_clean(&password) => {
                Self::Found(Credentials::basic(username, password))
            }
            _ => Self::Invalid("username and password must be text in UTF-8, not empty, without control characters"),
        }
    }
}

/// A newline would end the line of git's credential protocol and begin another.
fn is_clean(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}

type Seen = (NamespacedName, Result<SecretState, String>);

/// Watches exactly the Secrets that are referred to, each by its name; others never leave the API server.
pub struct SecretWatches {
    client: Client,
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
    /// Watches nothing yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, states: BTreeMap::new(), aborts: BTreeMap::new(), streams: SelectAll::new() }
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
            let (stream, abort) = futures::stream::abortable(states(&self.client, &name));
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

fn states(client: &Client, name: &NamespacedName) -> BoxStream<'static, Seen> {
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
            Ok(watcher::Event::InitDone) => Some(Ok(SecretState::from(listed.take().as_ref()))),
            Ok(watcher::Event::Apply(secret)) => Some(Ok(SecretState::from(Some(&secret)))),
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

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;

    fn mk_secret(data: &[(&str, &[u8])]) -> Secret {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec()))).collect();
        Secret { data: Some(data), ..Secret::default() }
    }

    #[test]
    fn credentials_are_read_or_it_is_said_what_is_wrong() {
        let found = |username: &str, password: &str| SecretState::Found(Credentials::basic(username, password));
        let unusable = "username and password must be text in UTF-8, not empty, without control characters";
        let table: &[(&[(&str, &[u8])], SecretState)] = &[
            (&[("username", b"bot"), ("password", b"p:w")], found("bot", "p:w")),
            (&[("username", b"bot\n"), ("password", b"pw\r\n"), ("other", b"x")], found("bot", "pw")),
            (&[("password", b"pw")], SecretState::Invalid("it has no key username")),
            (&[("username", b"bot"), ("token", b"pw")], SecretState::Invalid("it has no key password")),
            (&[("username", b"bot"), ("password", b"")], SecretState::Invalid(unusable)),
            (&[("username", b"bot"), ("password", b"\xff")], SecretState::Invalid(unusable)),
            (&[("username", b"a\nhost=evil"), ("password", b"pw")], SecretState::Invalid(unusable)),
        ];
        for (data, expected) in table {
            assert_eq!(SecretState::from(Some(&mk_secret(data))), *expected);
        }
        assert_eq!(SecretState::from(None), SecretState::Missing);
        assert_eq!(SecretState::from(Some(&Secret::default())), SecretState::Invalid("it has no key username"));
    }
}
