//! Which Secrets providers refer to: whoever reads them and whoever must never mirror them means the same ones.

use super::flux::{self, FluxRepositories};
use crate::api::{GitProvider, GitTarget};
use crate::resource::NamespacedName;
use kube::ResourceExt as _;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The Secrets that open or sign for `providers`, all right otherwise or not, and for those of Flux that one of `targets`
/// names.
#[must_use]
pub fn referred_secrets(
    providers: &[Arc<GitProvider>],
    targets: &[Arc<GitTarget>],
    flux: &FluxRepositories,
) -> BTreeSet<NamespacedName> {
    let ours = providers.iter().flat_map(|provider| {
        let namespace = provider.namespace().unwrap_or_default();
        provider.spec.secrets().map(move |secret| NamespacedName::new(&namespace, secret))
    });
    let FluxRepositories::Listed(listed) = flux else { return ours.collect() };
    let named: BTreeSet<_> = targets.iter().filter_map(|target| flux::repository_of(target)).collect();
    let used = listed.iter().filter(|repository| named.contains(&repository.name));
    let of_flux = used.filter_map(|repository| {
        let secret = repository.spec.as_ref().ok()?.secret.as_ref()?;
        Some(NamespacedName::new(&repository.name.namespace, secret))
    });
    ours.chain(of_flux).collect()
}
