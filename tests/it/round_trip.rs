//! The bar of a clean manifest: what `kubectl apply` makes of a folder in an empty cluster has the same folder.

mod asked_for;

use crate::support::control_plane::ControlPlane;
use crate::support::operator::SOON;
use crate::support::poll::eventually;
use crate::support::scratch::ScratchDir;
use anyhow::{Context as _, Result, bail, ensure};
use gitops_reverser::resource::{BaseFolder, ObjectName, ResourceId, ResourceType, layout};
use gitops_reverser::rules::Catalog;
use gitops_reverser::rules::presets::{CLUSTER_WIDE_V1, DESIRED_STATE_V1};
use gitops_reverser::sanitize::{self, Document};
use gitops_reverser::watch::discovery::discover;
use gitops_reverser::watch::object::RawObject;
use kube::api::ListParams;
use kube::{Api, Resource as _};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Every API that the server has: also those of alpha and beta versions.
const EVERY_API: &[&str] = &[
    "--runtime-config=api/all=true",
    "--feature-gates=ClusterTrustBundle=true,GenericWorkload=true,StorageVersionMigrator=true",
];

/// The fixtures, in the order in which they are created.
const FIXTURES: [&str; 13] = [
    "namespaces-and-definitions",
    "workloads",
    "storage",
    "core",
    "services",
    "pods",
    "network",
    "rbac",
    "custom",
    "extension",
    "certificates",
    "devices",
    "scheduling",
];

/// Types whose objects cannot be restored by applying a manifest, and why.
const NOT_RESTORABLE: &[(&str, &str, &str)] = &[
    ("", "events", "a report of a cluster, which makes others all the time"),
    ("events.k8s.io", "events", "a report of a cluster, which makes others all the time"),
];

/// Types without which there are no objects of others.
const NEEDED: [(&str, &str); 2] = [("", "namespaces"), ("apiextensions.k8s.io", "customresourcedefinitions")];

/// How many types, each version counting, have to come back beyond those of the presets.
const MORE_TYPES: usize = 60;

/// Files by their path below a folder.
type Files = BTreeMap<String, String>;

#[tokio::test]
async fn a_folder_that_is_applied_to_an_empty_cluster_comes_back_as_it_is() {
    let source = ControlPlane::start_with(EVERY_API).await.unwrap();
    create_fixtures(&source).await.unwrap();
    let catalog = discover(&source.client().await.unwrap()).await.unwrap();
    settle(&source, &types_at(0, &catalog)).await.unwrap();
    let (mut covered, mut written) = (BTreeSet::new(), Files::new());
    for rank in 0.. {
        let kinds = types_at(rank, &catalog);
        if kinds.is_empty() {
            break;
        }
        let folder = ScratchDir::new().unwrap();
        write(&source, rank, &kinds, folder.path()).await.unwrap();
        written.extend(read(folder.path()).unwrap());
        let restored = ControlPlane::start_with(EVERY_API).await.unwrap();
        restore(&restored, folder.path()).await.unwrap();
        covered.extend(with_files(&kinds, folder.path()));
        let same = eventually(SOON, "the same files", async || {
            let again = ScratchDir::new()?;
            write(&restored, rank, &kinds, again.path()).await?;
            compare(&read(folder.path())?, &read(again.path())?).map(Some)
        });
        same.await.unwrap();
    }
    for name in FIXTURES {
        let fixture = std::fs::read_to_string(fixture(name)).unwrap();
        let lost = asked_for::lost(&fixture, &written, &catalog).unwrap();
        assert!(lost.is_empty(), "manifests of {name} lost:\n{}", lost.join("\n"));
    }
    check_coverage(&covered, &catalog);
}

/// The types to compare: those that are preferred, then, with what they need, those that are next.
fn types_at(rank: usize, catalog: &Catalog) -> BTreeSet<Arc<ResourceType>> {
    let mut kinds: BTreeSet<_> =
        catalog.resources().filter(is_restorable).filter_map(|versions| versions.get(rank)).cloned().collect();
    if !kinds.is_empty() {
        let needed = NEEDED.iter().filter_map(|&(group, resource)| catalog.versions(resource, group).first());
        kinds.extend(needed.cloned());
    }
    kinds
}

fn is_restorable(versions: &&[Arc<ResourceType>]) -> bool {
    let is_of = |kind: &Arc<ResourceType>, group, resource| kind.group == group && kind.resource == resource;
    versions.iter().all(|kind| NOT_RESTORABLE.iter().all(|&(group, resource, _)| !is_of(kind, group, resource)))
}

/// Creates the fixtures as people do: without asking for what the cluster would choose.
async fn create_fixtures(cluster: &ControlPlane) -> Result<()> {
    for name in FIXTURES {
        let file = fixture(name);
        kubectl(cluster, &["create", "-f", &file.display().to_string()]).await.context(name)?;
        if name == FIXTURES[0] {
            wait_for_accounts(cluster).await?;
            kubectl(cluster, &["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]).await?;
        }
    }
    Ok(())
}

/// The file of the fixtures called `name`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/round_trip").join(name).with_extension("yaml")
}

/// Applies `folder`: once, and because files have no order once more.
async fn restore(cluster: &ControlPlane, folder: &Path) -> Result<()> {
    let folder = folder.display().to_string();
    let apply = ["apply", "-R", "-f", &folder];
    if kubectl(cluster, &apply).await.is_err() {
        wait_for_accounts(cluster).await?;
        kubectl(cluster, &["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]).await?;
        kubectl(cluster, &apply).await?;
    }
    Ok(())
}

/// A Pod can be created once there is the ServiceAccount that a controller makes in every namespace.
async fn wait_for_accounts(cluster: &ControlPlane) -> Result<()> {
    for namespace in ["shop", "play"] {
        eventually(SOON, "the default ServiceAccount", async || {
            kubectl(cluster, &["get", "serviceaccount", "default", "-n", namespace]).await.map(Some)
        })
        .await?;
    }
    Ok(())
}

async fn kubectl(cluster: &ControlPlane, arguments: &[&str]) -> Result<()> {
    let output = cluster.kubectl().args(arguments).output().await?;
    ensure!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Waits until the controllers have written what they write: two looks in a row see the same.
async fn settle(cluster: &ControlPlane, kinds: &BTreeSet<Arc<ResourceType>>) -> Result<()> {
    for arguments in WRITTEN_LATE {
        kubectl(cluster, &[&["wait", "--timeout=60s"], *arguments].concat()).await?;
    }
    let mut before = Files::new();
    eventually(SOON, "the controllers to have nothing to do", async || {
        let folder = ScratchDir::new()?;
        write(cluster, 0, kinds, folder.path()).await?;
        let now = read(folder.path())?;
        let same = compare(&before, &now);
        before = now;
        same.map(Some)
    })
    .await
}

/// What controllers write only after others have written, as arguments of `kubectl wait`.
const WRITTEN_LATE: &[&[&str]] = &[
    &["pvc/data", "-n", "shop", "--for=jsonpath={.status.phase}=Bound"],
    &["pvc/bound-by-the-cluster", "-n", "play", "--for=jsonpath={.status.phase}=Bound"],
    &["deployment/running", "-n", "play", "--for=jsonpath={.status.replicas}=1"],
    &["job/running", "-n", "play", "--for=jsonpath={.status.active}=1"],
    &["configmap/kube-apiserver-legacy-service-account-token-tracking", "-n", "kube-system", "--for=create"],
];

/// Writes the objects of `kinds` as files: those of preferred versions the way people do, others by the same rules.
async fn write(cluster: &ControlPlane, rank: usize, kinds: &BTreeSet<Arc<ResourceType>>, folder: &Path) -> Result<()> {
    if rank == 0 {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_gitops-reverser"));
        command.args(["snapshot", "-A", "--output"]).arg(folder).env("KUBECONFIG", cluster.kubeconfig());
        command.args(kinds.iter().map(|kind| kind.plural_group()));
        let output = command.output().await?;
        ensure!(output.status.success(), "no snapshot: {}", String::from_utf8_lossy(&output.stderr));
        return Ok(());
    }
    let client = cluster.client().await?;
    for kind in kinds {
        let api: Api<RawObject> = Api::all_with(client.clone(), &kind.api_resource());
        for object in api.list(&ListParams::default()).await?.items {
            let mut document = Document::parse(object.json())?;
            if sanitize::noise(&document, kind).is_some() {
                continue;
            }
            let meta = object.meta();
            let name = meta.name.as_deref().context("an object without a name")?;
            let id = ResourceId { kind: Arc::clone(kind), name: ObjectName::new(meta.namespace.as_deref(), name) };
            let path = folder.join(layout::manifest_path(&BaseFolder::root(), &id)?.as_str());
            std::fs::create_dir_all(path.parent().context("a file without a folder")?)?;
            std::fs::write(path, sanitize::manifest(&mut document, kind)?.bytes())?;
        }
    }
    Ok(())
}

/// The types that have a file below `folder`.
fn with_files(kinds: &BTreeSet<Arc<ResourceType>>, folder: &Path) -> impl Iterator<Item = Arc<ResourceType>> {
    let has_file = |kind: &&Arc<ResourceType>| folder.join(layout::folder_of(&BaseFolder::root(), kind, None)).is_dir();
    kinds.iter().filter(has_file).cloned()
}

/// Fails unless every type that is served and restorable has come back, and enough of them are not ours.
fn check_coverage(covered: &BTreeSet<Arc<ResourceType>>, catalog: &Catalog) {
    let served = catalog.resources().filter(is_restorable).flatten();
    let left_out: Vec<_> = served.filter(|kind| !covered.contains(*kind)).map(ToString::to_string).collect();
    assert_eq!(left_out, Vec::<String>::new(), "types without a fixture");
    let names: BTreeSet<_> = covered.iter().map(|kind| (kind.group.as_str(), kind.resource.as_str())).collect();
    let preset: BTreeSet<_> = DESIRED_STATE_V1.iter().chain(CLUSTER_WIDE_V1).copied().collect();
    assert_eq!(preset.difference(&names).collect::<Vec<_>>(), Vec::<&(&str, &str)>::new(), "types of the preset");
    let built_in: Vec<_> = covered.iter().filter(|kind| kind.group != "example.com").map(ToString::to_string).collect();
    assert!(built_in.len() >= preset.len() + MORE_TYPES, "only {} built-in types: {built_in:#?}", built_in.len());
}

fn read(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder)?.display().to_string();
                files.insert(name, std::fs::read_to_string(path)?);
            }
        }
    }
    Ok(files)
}

/// An error that shows how `second` differs from `first`, unless they are equal.
fn compare(first: &Files, second: &Files) -> Result<()> {
    let names: BTreeSet<_> = first.keys().chain(second.keys()).collect();
    let differing: Vec<_> = names.into_iter().filter(|name| first.get(*name) != second.get(*name)).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let shown: Vec<_> = differing.iter().take(SHOWN).map(|name| difference(name, first, second)).collect();
    bail!("{} files differ:\n{}", differing.len(), shown.concat())
}

/// How many differing files an error shows.
const SHOWN: usize = 10;

fn difference(name: &str, first: &Files, second: &Files) -> String {
    let (Some(before), Some(after)) = (first.get(name), second.get(name)) else {
        let what = if first.contains_key(name) { "did not come back" } else { "was not there before" };
        return format!("{name}: {what}\n");
    };
    format!("{name}:\n{}", lines_apart(before, after))
}

/// The lines that only one of two texts has, from the first to the last that differs.
fn lines_apart(before: &str, after: &str) -> String {
    let (mut before, mut after): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    while let (Some(left), Some(right)) = (before.last(), after.last())
        && left == right
    {
        before.pop();
        after.pop();
    }
    let same = before.iter().zip(&after).take_while(|(left, right)| left == right).count();
    let sign = |sign: &'static str| move |line: &&str| format!("  {sign} {line}\n");
    before.iter().skip(same).map(sign("-")).chain(after.iter().skip(same).map(sign("+"))).collect()
}
