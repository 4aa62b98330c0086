//! `gitops-reverser webhook-configuration`: prints the ValidatingWebhookConfiguration.

use crate::api::{ClusterWatchRule, GitProvider, GitTarget, WatchRule};
use crate::resource::HostPolicy;
use crate::rules::flux;
use crate::rules::{self, Catalog, Compiled, FluxRepositories, FluxRepository, Namespaces, PlanLimits, compile};
use crate::watch::discovery::{self, DiscoveryError};
use crate::webhook::configuration::{self, Registration};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::Write;
use std::sync::Arc;

/// What the configuration is to cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// What the rules in the cluster mirror at the moment: what the operator would apply.
    Exact,
    /// Everything, so that the operator need not change the rules.
    Broad,
    /// Nothing: the shell that the operator fills.
    Nothing,
}

/// Why the configuration could not be printed.
#[derive(Debug, thiserror::Error)]
pub enum WebhookConfigurationError {
    /// The cluster cannot be talked to.
    #[error("what is mirrored cannot be read from the cluster (--rules=broad needs none): {0}")]
    Cluster(#[from] kube::Error),
    /// The kubeconfig is missing or broken.
    #[error("what is mirrored cannot be read from the cluster (--rules=broad needs none): {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// The cluster does not say what it serves.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The document cannot be serialized.
    #[error("the configuration cannot be written as YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
    /// Nobody reads.
    #[error("the configuration cannot be written: {0}")]
    Write(#[from] std::io::Error),
}

/// Writes the configuration of `registration` as YAML.
///
/// # Errors
/// When the cluster does not tell what is mirrored, or nobody reads.
pub async fn print(
    registration: &Registration,
    coverage: Coverage,
    out: &mut impl Write,
) -> Result<(), WebhookConfigurationError> {
    let rules = match coverage {
        Coverage::Exact => mirrored().await?,
        Coverage::Broad => configuration::broad_rules(),
        Coverage::Nothing => Vec::new(),
    };
    out.write_all(serde_yaml::to_string(&configuration::configuration(registration, &rules))?.as_bytes())?;
    Ok(())
}

/// The rules for what the cluster's own rules select.
async fn mirrored() -> Result<Vec<Value>, WebhookConfigurationError> {
    let client = Client::try_from(kube::Config::infer().await?)?;
    let catalog = discovery::discover(&client).await?;
    let Compiled { set, .. } = compile(&rules::Inputs {
        providers: &list::<GitProvider>(&client).await?,
        targets: &list::<GitTarget>(&client).await?,
        watch_rules: &list::<WatchRule>(&client).await?,
        cluster_watch_rules: &list::<ClusterWatchRule>(&client).await?,
        flux: &flux_repositories(&client, &catalog).await?,
        namespaces: &namespaces(&client).await?,
        access: &BTreeMap::new(),
        catalog: &catalog,
        // Whatever the operator was told: the more is covered, the less is missing.
        policy: &rules::Policy {
            hosts: HostPolicy { allow_insecure: true, ..HostPolicy::default() },
            limits: PlanLimits { max_watches: usize::MAX, ..PlanLimits::default() },
            ..rules::Policy::default()
        },
        ready: &HashSet::new(),
        known: &HashSet::new(),
    });
    Ok(configuration::exact_rules(&set, &catalog))
}

async fn namespaces(client: &Client) -> Result<Namespaces, kube::Error> {
    let namespaces = list::<PartialObjectMeta<Namespace>>(client).await?;
    let labels = |namespace: &Arc<PartialObjectMeta<Namespace>>| {
        (Arc::from(namespace.name_any()), namespace.labels().clone().into_iter().collect())
    };
    Ok(namespaces.iter().map(labels).collect())
}

async fn flux_repositories(client: &Client, catalog: &Catalog) -> Result<FluxRepositories, kube::Error> {
    let Some(kind) = flux::kind_in(catalog) else { return Ok(FluxRepositories::CrdAbsent) };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind.api_resource());
    let read = |object: &DynamicObject| Arc::new(FluxRepository::of(object));
    Ok(FluxRepositories::Listed(api.list(&ListParams::default()).await?.items.iter().map(read).collect()))
}

async fn list<K>(client: &Client) -> Result<Vec<Arc<K>>, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug,
{
    let api: Api<K> = Api::all(client.clone());
    Ok(api.list(&ListParams::default()).await?.items.into_iter().map(Arc::new).collect())
}
