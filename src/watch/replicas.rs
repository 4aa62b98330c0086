//! Where custom resources have the replicas that their subresource `scale` sets: their definitions say so.

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

/// The paths of all custom types in `catalog` that can be scaled. Where a definition cannot be read, its type is taken
/// for one like the built-in ones; then only the authors of its scales stay unknown.
pub(super) async fn of_custom_types(client: &Client, catalog: &Catalog) -> BTreeMap<ResourceType, ReplicasPath> {
    let mut paths = BTreeMap::new();
    for scalable in scalable(catalog) {
        let Some(name) = scalable.first().map(|kind| kind.plural_group()) else { continue };
        let definitions = match tokio::time::timeout(DEADLINE, definitions(client, &name)).await {
            Ok(Ok(definitions)) => definitions,
            Ok(Err(error)) => {
                tracing::warn!(definition = name, %error, "Definition cannot be read");
                continue;
            }
            Err(_) => {
                tracing::warn!(definition = name, "Definition was not read in time");
                continue;
            }
        };
        let versions = definitions.items.into_iter().flat_map(|definition| definition.spec.versions);
        let served: BTreeMap<String, ReplicasPath> = versions.filter_map(path).collect();
        paths.extend(scalable.iter().filter_map(|kind| Some(((**kind).clone(), served.get(&kind.version)?.clone()))));
    }
    paths
}

/// The versions of each custom resource that can be scaled.
fn scalable(catalog: &Catalog) -> Vec<Vec<Arc<ResourceType>>> {
    let is_scalable =
        |kind: &&Arc<ResourceType>| !BUILT_IN.contains(&&*kind.group) && catalog.replicas_path(kind).is_some();
    catalog.resources().map(|versions| versions.iter().filter(is_scalable).cloned().collect()).collect()
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
}
