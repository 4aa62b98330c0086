//! Who may use which provider, and whether rules of the cluster may end in a target.
//!
//! A refusal says whose field refuses. It says nothing of an object in another namespace that whoever asks may not use: not
//! even whether it is there.

use super::compile::{ACCESS_DENIED, Inputs, Rejection, VALIDATING};
use super::flux::{self, FluxRepositories};
use super::provider::{self, Judged};
use crate::resource::{NamespacedName, ProviderKey, ProviderKind};
use std::collections::BTreeMap;

/// The providers of both kinds, judged.
pub(super) struct Providers<'a> {
    pub(super) judged: BTreeMap<ProviderKey, Judged>,
    flux: &'a FluxRepositories,
}

impl<'a> Providers<'a> {
    /// Judges all of them.
    pub(super) fn judge(inputs: &Inputs<'a>) -> Self {
        let ours = inputs.providers.iter().map(|provider| {
            let name = NamespacedName::of(provider.as_ref());
            (ProviderKey::ours(name), provider::judge(provider, inputs.policy, inputs.namespaces))
        });
        let listed = match inputs.flux {
            FluxRepositories::Listed(repositories) => repositories.as_slice(),
            _ => &[],
        };
        let of_flux = listed.iter().map(|repository| {
            let key = ProviderKey { kind: ProviderKind::GitRepository, name: repository.name.clone() };
            (key, flux::judge(repository, inputs.policy))
        });
        Self { judged: ours.chain(of_flux).collect(), flux: inputs.flux }
    }

    /// The provider `key`, if targets of `namespace` may use it.
    pub(super) fn admitting(&self, key: &ProviderKey, namespace: &str) -> Result<&Judged, Rejection> {
        match self.judged.get(key) {
            Some(judged) if judged.admitted.contains(Some(namespace)) => Ok(judged),
            None if *key.name.namespace == *namespace => Err(self.absent(key)),
            Some(_) if *key.name.namespace == *namespace => Err(Rejection {
                reason: ACCESS_DENIED,
                message: format!(
                    "{key} does not let targets of its own namespace in: its spec.accessPolicy.namespacedRules must match \
                     the labels of namespace {namespace}"
                ),
            }),
            // One sentence for both: who is not let in does not learn which providers there are.
            Some(_) | None => Err(Rejection {
                reason: ACCESS_DENIED,
                message: format!(
                    "{key} does not exist or does not let namespace {namespace} in: correct spec.providerRef, or have its \
                     owner add the namespace to its spec.accessPolicy.namespacedRules"
                ),
            }),
        }
    }

    fn absent(&self, key: &ProviderKey) -> Rejection {
        let (reason, message) = match (key.kind, self.flux) {
            (ProviderKind::GitRepository, FluxRepositories::CrdAbsent) => (
                "ProviderNotFound",
                format!(
                    "{key} cannot exist, since this cluster does not know GitRepository of group {}: install Flux, or name a GitProvider",
                    flux::FLUX_GROUP
                ),
            ),
            (ProviderKind::GitRepository, FluxRepositories::Pending) => (VALIDATING, format!("{key} is being read")),
            (ProviderKind::GitRepository, FluxRepositories::Unreadable(why)) => {
                ("ProviderNotReady", format!("{key} cannot be read: {why}"))
            }
            (ProviderKind::GitRepository, FluxRepositories::Listed(_)) | (ProviderKind::GitProvider, _) => {
                ("ProviderNotFound", format!("{key} does not exist; create it or correct spec.providerRef.name"))
            }
        };
        Rejection { reason, message }
    }
}

/// Whether rules of the cluster may end in the target `name`, which says `allowed` if anything, and writes through the
/// provider `key`.
pub(super) fn cluster_rules(
    name: &NamespacedName,
    allowed: Option<bool>,
    key: &ProviderKey,
    provider: &Judged,
) -> Result<(), Rejection> {
    const FIELD: &str = "spec.accessPolicy.allowClusterRules";
    let of_flux = key.kind == ProviderKind::GitRepository;
    let refuses = |object: &dyn std::fmt::Display| {
        format!("{object} admits no ClusterWatchRule: have its owner set its {FIELD} to true")
    };
    let target = format!("GitTarget {name}");
    let message = match (allowed, provider.admits_cluster_rules) {
        (Some(true), true) => return Ok(()),
        (None, true) if !of_flux => return Ok(()),
        (None, _) if of_flux => format!(
            "{target} writes through a GitRepository, so it admits ClusterWatchRules only when asked to: have its owner set its {FIELD} to true"
        ),
        (Some(false), true) | (None, true) => refuses(&target),
        (Some(true) | None, false) => format!("{target} writes through {key}; {}", refuses(key)),
        (Some(false), false) => {
            format!(
                "neither {target} nor its {key} admits ClusterWatchRules: have their owners set {FIELD} to true in both"
            )
        }
    };
    Err(Rejection { reason: ACCESS_DENIED, message })
}
