//! Keeps the operator's entry in a ValidatingWebhookConfiguration equal to what is mirrored, also when somebody else
//! edits or deletes it.

use crate::rules::{Catalog, RuleSet};
use crate::sanitize::FIELD_MANAGER;
use crate::webhook::configuration::{self, Registration};
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long the API server may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The least time between an application and the next one for an edit of somebody else, who may insist.
const SPACING: Duration = Duration::from_secs(1);

/// Whose the rules are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The operator's: they cover exactly what is mirrored.
    Operator,
    /// Somebody else's: the operator sets only the authority that vouches for its certificate.
    Other,
}

/// What the entry depends on.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// What is mirrored. Nothing is registered before the first set that is sent after [`run`] was called.
    pub rules: watch::Receiver<Arc<RuleSet>>,
    /// What the API server serves.
    pub catalog: watch::Receiver<Option<Arc<Catalog>>>,
    /// The authority of the webhook's certificate.
    pub authority: watch::Receiver<Option<String>>,
}

/// Applies the entry when what it depends on has changed, or somebody else has changed it. Ends when no more rules can
/// come.
pub async fn run(client: Client, mut registration: Registration, ownership: Ownership, inputs: Inputs) {
    registration.service_account = own_service_account(&client).await;
    let Inputs { mut rules, mut catalog, mut authority } = inputs;
    let mut edits = std::pin::pin!(versions(client.clone(), &registration.configuration));
    let mut entry = Entry::new(client, registration.configuration.clone());
    let mut begun = false;
    loop {
        tokio::select! {
            changed = rules.changed() => match changed {
                Ok(()) => begun = true,
                Err(_) => return,
            },
            changed = catalog.changed(), if begun => if changed.is_err() { return },
            Ok(()) = authority.changed(), if begun => {}
            Some(version) = edits.next() => {
                entry.seen(version.as_deref());
                continue;
            }
            () = entry.due() => {
                entry.apply().await;
                continue;
            }
        }
        registration.ca_bundle.clone_from(&authority.borrow_and_update());
        let wanted = match ownership {
            Ownership::Operator => {
                let served = catalog.borrow_and_update().clone().unwrap_or_default();
                let rules = configuration::exact_rules(&rules.borrow_and_update(), &served);
                configuration::configuration(&registration, &rules)
            }
            Ownership::Other => configuration::authority(&registration),
        };
        if begun {
            entry.want(wanted);
        }
    }
}

/// The user name of the account that the operator runs under, when that is a service account.
async fn own_service_account(client: &Client) -> Option<String> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let (parameters, question) = (PostParams::default(), SelfSubjectReview::default());
    let username = match tokio::time::timeout(DEADLINE, api.create(&parameters, &question)).await {
        Ok(Ok(review)) => review.status?.user_info?.username?,
        Ok(Err(error)) => {
            tracing::warn!(%error, "Own user name is not known: admission of own writes is asked for too");
            return None;
        }
        Err(_) => return None,
    };
    username.starts_with("system:serviceaccount:").then_some(username)
}

/// The resourceVersion of the configuration each time that it is seen; `None` when it is missing.
fn versions(client: Client, name: &str) -> impl Stream<Item = Option<String>> + use<> {
    let api: Api<PartialObjectMeta<ValidatingWebhookConfiguration>> = Api::all(client);
    let by_name = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut listed = false;
    watcher(api, by_name).default_backoff().filter_map(move |event| {
        let version = |object: PartialObjectMeta<ValidatingWebhookConfiguration>| Some(object.resource_version());
        let seen = match event {
            Ok(watcher::Event::Init) => {
                listed = false;
                None
            }
            Ok(watcher::Event::InitApply(object)) => {
                listed = true;
                version(object)
            }
            Ok(watcher::Event::InitDone) => (!listed).then_some(None),
            Ok(watcher::Event::Apply(object)) => version(object),
            Ok(watcher::Event::Delete(_)) => Some(None),
            Err(error) => {
                tracing::warn!(%error, "Watching the webhook's registration failed");
                None
            }
        };
        std::future::ready(seen)
    })
}

/// The entry in the API server, and what it should be.
struct Entry {
    api: Api<ValidatingWebhookConfiguration>,
    name: String,
    wanted: Option<Value>,
    /// What was applied last, with the resourceVersion that it led to.
    applied: Option<(Value, Option<String>)>,
    /// When that was.
    at: Option<Instant>,
    /// When to apply.
    due: Option<Instant>,
    retry: Option<ExponentialBackoff>,
}

impl Entry {
    fn new(client: Client, name: String) -> Self {
        Self { api: Api::all(client), name, wanted: None, applied: None, at: None, due: None, retry: None }
    }

    /// Takes in what the entry should be.
    fn want(&mut self, wanted: Value) {
        if self.applied.as_ref().is_none_or(|(applied, _)| *applied != wanted) {
            self.due = Some(Instant::now());
        }
        self.wanted = Some(wanted);
    }

    /// Takes in the resourceVersion that the configuration has now; `None`: it is missing.
    fn seen(&mut self, version: Option<&str>) {
        let is_ours =
            self.applied.as_ref().is_some_and(|(_, applied)| applied.is_some() && applied.as_deref() == version);
        if self.wanted.is_none() || is_ours {
            return;
        }
        let next = self.at.map_or_else(Instant::now, |at| at + SPACING);
        self.due = Some(self.due.map_or(next, |due| due.min(next)));
    }

    /// Returns when the entry is to be applied.
    async fn due(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    async fn apply(&mut self) {
        let Some(wanted) = self.wanted.clone() else { return };
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        let patch = Patch::Apply(&wanted);
        let request = self.api.patch(&self.name, &parameters, &patch);
        let answer = tokio::time::timeout(DEADLINE, request).await;
        self.at = Some(Instant::now());
        match answer {
            Ok(Ok(configuration)) => {
                let webhooks = configuration.webhooks.iter().flatten().count();
                tracing::info!(configuration = self.name, webhooks, "Registered for admission");
                self.applied = Some((wanted, configuration.resource_version()));
                (self.due, self.retry) = (None, None);
                return;
            }
            Ok(Err(error)) => tracing::warn!(configuration = self.name, %error, "Registering for admission failed"),
            Err(_) => tracing::warn!(seconds = DEADLINE.as_secs(), "The API server did not answer a registration"),
        }
        let wait = self.retry.get_or_insert_with(backoff).next().unwrap_or_default();
        self.due = self.at.map(|at| at + wait);
    }
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(30))
        .without_max_times()
        .with_jitter()
        .build()
}
