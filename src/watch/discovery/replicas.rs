//! Where custom resources have the replicas that their subresource `scale` sets: their definitions say so.

use super::changes::Change;
use crate::resource::ResourceType;
use crate::rules::Catalog;
use crate::rules::catalog::ReplicasPath;
use hyper::http::Request;
use kube::Client;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long the API server may take for one definition.
const DEADLINE: Duration = Duration::from_secs(10);
/// The groups of the API server itself, which have no definitions.
const BUILT_IN: [&str; 2] = ["", "apps"];

/// As much of a list of CustomResourceDefinitions as says where replicas are.
#[derive(Default, Deserialize)]
struct Definitions {
    items: Vec<Definition>,
}

#[derive(Deserialize)]
struct Definition {
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    name: String,
    subresources: Option<Subresources>,
}

#[derive(Deserialize)]
struct Subresources {
    scale: Option<Scale>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scale {
    spec_replicas_path: String,
}

/// The paths of the definitions that were read, each until it changes.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    /// By name of the definition, then by version.
    read: BTreeMap<String, BTreeMap<String, ReplicasPath>>,
}

impl Replicas {
    /// What has changed is read again.
    pub(super) fn forget(&mut self, change: &Change) {
        match change {
            Change::Definition(name) => drop(self.read.remove(name)),
            Change::Definitions => self.read.clear(),
            Change::Service => {}
        }
    }

    /// Reads the definitions of all custom types in `catalog` that can be scaled and were not read yet.
    pub(super) async fn read(&mut self, client: &Client, catalog: &Catalog) {
        for (name, _) in scalable(catalog) {
            if self.read.contains_key(&name) {
                continue;
            }
            match tokio::time::timeout(DEADLINE, definitions(client, &name)).await {
                Ok(Ok(definitions)) => {
                    let versions = definitions.items.into_iter().flat_map(|definition| definition.spec.versions);
                    self.read.insert(name, versions.filter_map(path).collect());
                }
                Ok(Err(error)) => tracing::warn!(definition = name, %error, "Definition cannot be read"),
                Err(_) => tracing::warn!(definition = name, "Definition was not read in time"),
            }
        }
    }

    /// The paths of all custom types in `catalog` that can be scaled. Where a definition could not be read, its type is
    /// taken for one like the built-in ones; then only the authors of its scales stay unknown.
    pub(super) fn paths(&self, catalog: &Catalog) -> BTreeMap<ResourceType, ReplicasPath> {
        let path = |name: &str, kind: &ResourceType| self.read.get(name)?.get(&kind.version).cloned();
        let all = scalable(catalog).flat_map(|(name, kinds)| {
            let paths = kinds.into_iter().filter_map(|kind| Some(((*kind).clone(), path(&name, &kind)?)));
            paths.collect::<Vec<_>>()
        });
        all.collect()
    }
}

/// The versions of each custom resource that can be scaled, with the name of its definition.
fn scalable(catalog: &Catalog) -> impl Iterator<Item = (String, Vec<Arc<ResourceType>>)> {
    let is_scalable =
        |kind: &&Arc<ResourceType>| !BUILT_IN.contains(&&*kind.group) && catalog.replicas_path(kind).is_some();
    catalog.resources().filter_map(move |versions| {
        let kinds: Vec<_> = versions.iter().filter(is_scalable).cloned().collect();
        Some((kinds.first()?.plural_group(), kinds))
    })
}

async fn definitions(client: &Client, name: &str) -> Result<Definitions, kube::Error> {
    let path =
        format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions?fieldSelector=metadata.name%3D{name}&limit=1");
    let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    client.request(request).await
}

fn path(version: Version) -> Option<(String, ReplicasPath)> {
    let path = version.subresources?.scale?.spec_replicas_path;
    Some((version.name, path.trim_start_matches('.').split('.').map(str::to_owned).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_a_path_of_its_own() {
        let list = r#"{"items":[{"spec":{"versions":[
            {"name":"v1","subresources":{"status":{},"scale":{"specReplicasPath":".spec.pool.size","statusReplicasPath":".status.x"}}},
            {"name":"v2","subresources":{"status":{}}},{"name":"v3"}]}}]}"#;
        let list: Definitions = serde_json::from_str(list).unwrap();
        let paths: Vec<_> = list.items.into_iter().flat_map(|item| item.spec.versions).filter_map(path).collect();
        assert_eq!(paths, [("v1".to_owned(), ["spec", "pool", "size"].map(str::to_owned).into())]);
    }

    #[test]
    fn only_the_definition_that_has_changed_is_read_again() {
        let mut replicas = Replicas::default();
        let left = |replicas: &Replicas| replicas.read.keys().cloned().collect::<Vec<_>>();
        for name in ["a.example.com", "b.example.com"] {
            replicas.read.insert(name.to_owned(), BTreeMap::new());
        }
        replicas.forget(&Change::Service);
        replicas.forget(&Change::Definition("c.example.com".to_owned()));
        assert_eq!(left(&replicas), ["a.example.com", "b.example.com"]);
        replicas.forget(&Change::Definition("a.example.com".to_owned()));
        assert_eq!(left(&replicas), ["b.example.com"]);
        replicas.forget(&Change::Definitions);
        assert!(left(&replicas).is_empty());
    }
}
