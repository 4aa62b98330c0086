//! GitRepositories of Flux as providers, with the real definition: absent, there, changed, and gone again.

use crate::support::control_plane::ControlPlane;
use crate::support::operator::{Mirror, Operator, SOON, apply};
use crate::support::poll::eventually;
use crate::support::scratch::ScratchDir;
use crate::support::status::{get, until, until_it_says};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const READY: (&str, &str, &str) = ("Ready", "True", "Ready");
const NOT_FOUND: (&str, &str, &str) = ("Ready", "False", "ProviderNotFound");

/// The definition as the pinned Flux has it.
fn definition() -> Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/flux");
    let output = Command::new(script).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = String::from_utf8(output.stdout)?;
    std::fs::read_to_string(path.trim_end()).context("reading the definition")
}

async fn kubectl(cluster: &ControlPlane, arguments: &[&str]) {
    let output = cluster.kubectl().args(arguments).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn repository(mirror: &Mirror, change: &Value) -> String {
    let mut spec = json!({
        "interval": "1h", "url": mirror.repo.url(), "secretRef": {"name": "git"}, "ref": {"branch": "other"},
    });
    for (field, value) in change.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
        "metadata": {"name": "cluster", "namespace": mirror.namespace}, "spec": spec,
    })
    .to_string()
}

/// What writes through the repository of Flux.
fn configuration(mirror: &Mirror) -> String {
    let (namespace, group) = (&mirror.namespace, "configbutler.ai/v1alpha1");
    let reference = json!({"group": "source.toolkit.fluxcd.io", "kind": "GitRepository", "name": "cluster"});
    let objects = [
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git", "namespace": namespace},
            "stringData": {"username": mirror.server.user(), "password": mirror.server.password()},
        }),
        json!({
            "apiVersion": group, "kind": "GitTarget", "metadata": {"name": "live", "namespace": namespace},
            "spec": {"providerRef": reference, "baseFolder": "live"},
        }),
        json!({
            "apiVersion": group, "kind": "WatchRule", "metadata": {"name": "all", "namespace": namespace},
            "spec": {"sinkRef": {"name": "live"}, "rules": [{"resources": ["configmaps"]}]},
        }),
        json!({
            "apiVersion": group, "kind": "ClusterWatchRule", "metadata": {"name": "cluster"},
            "spec": {"sinkRef": {"name": "live", "namespace": namespace}, "rules": [{"scope": "Cluster", "resources": ["namespaces"]}]},
        }),
    ];
    objects.map(|object| object.to_string()).join("\n---\n")
}

/// A target that would take a part of the same folder by another way.
fn younger(mirror: &Mirror) -> String {
    let group = "configbutler.ai/v1alpha1";
    let metadata = |name: &str| json!({"name": name, "namespace": mirror.namespace});
    let provider = json!({"url": mirror.repo.url(), "secretRef": {"name": "git"}, "allowedBranches": ["main"]});
    let target = json!({"providerRef": {"name": "ours"}, "baseFolder": "live/part"});
    let objects = [
        json!({"apiVersion": group, "kind": "GitProvider", "metadata": metadata("ours"), "spec": provider}),
        json!({"apiVersion": group, "kind": "GitTarget", "metadata": metadata("younger"), "spec": target}),
    ];
    objects.map(|object| object.to_string()).join("\n---\n")
}

async fn says(cluster: &ControlPlane, mirror: &Mirror, words: (&str, &str, &str), part: &str) {
    until_it_says(cluster, &mirror.namespace, "gittarget/live", words, part).await.unwrap();
}

#[tokio::test]
async fn a_repository_of_flux_is_followed_from_its_definition_to_its_end() {
    let cluster = ControlPlane::start().await.unwrap();
    let work_dir = ScratchDir::new().unwrap();
    let operator = Operator::start(&cluster, &work_dir, &[]).await.unwrap();
    let mirror = Mirror::prepare(&cluster, "fluxed").await.unwrap();
    let namespace = mirror.namespace.as_str();
    apply(&cluster, &configuration(&mirror)).await.unwrap();
    says(&cluster, &mirror, NOT_FOUND, "install Flux").await;

    apply(&cluster, &definition().unwrap()).await.unwrap();
    says(&cluster, &mirror, NOT_FOUND, "does not exist; create it").await;
    eventually(SOON, "the definition to be served", async || {
        Ok(apply(&cluster, &repository(&mirror, &json!({}))).await.ok())
    })
    .await
    .unwrap();
    says(&cluster, &mirror, READY, "").await;
    mirror.ready(&cluster).await.unwrap();
    let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web, namespace: {namespace}}}\n");
    apply(&cluster, &map).await.unwrap();
    let path = mirror.config_map("web");
    mirror.commits(&path, 1).await.unwrap();
    let denied = ("Ready", "False", "AccessDenied");
    let message = until(&cluster, "", "clusterwatchrule/cluster", denied).await.unwrap();
    assert!(message.contains("GitRepository"), "{message}");

    apply(&cluster, &younger(&mirror)).await.unwrap();
    until(&cluster, namespace, "gittarget/younger", ("Ready", "False", "BaseFolderOverlap")).await.unwrap();
    let conditions =
        async || get(&cluster, namespace, "gittarget/younger").await.unwrap()["status"]["conditions"].clone();
    let before = conditions().await;
    operator.terminate().await.unwrap();
    let operator = Operator::start_again(&cluster, &work_dir, &[], &[]).unwrap();
    apply(&cluster, &map.replace("name: web", "name: late")).await.unwrap();
    mirror.commits(&mirror.config_map("late"), 1).await.unwrap();
    assert_eq!(conditions().await, before, "while Flux's were listed, it had the folder");
    kubectl(&cluster, &["delete", "--namespace", namespace, "gittarget/younger"]).await;

    apply(&cluster, &repository(&mirror, &json!({"suspend": true}))).await.unwrap();
    says(&cluster, &mirror, ("Ready", "False", "ProviderNotReady"), "suspend").await;
    apply(&cluster, &repository(&mirror, &json!({"suspend": false, "secretRef": {"name": "nothing"}}))).await.unwrap();
    says(&cluster, &mirror, ("Ready", "False", "ProviderNotReady"), "nothing does not exist").await;
    let elsewhere = format!("{}-which-is-not-there", mirror.repo.url());
    apply(&cluster, &repository(&mirror, &json!({"url": elsewhere}))).await.unwrap();
    says(&cluster, &mirror, ("Ready", "False", "RepositoryNotFound"), "").await;
    apply(&cluster, &repository(&mirror, &json!({}))).await.unwrap();
    says(&cluster, &mirror, READY, "").await;

    kubectl(&cluster, &["delete", "--namespace", namespace, "gitrepository/cluster"]).await;
    says(&cluster, &mirror, NOT_FOUND, "does not exist; create it").await;
    apply(&cluster, &repository(&mirror, &json!({}))).await.unwrap();
    says(&cluster, &mirror, READY, "").await;
    kubectl(&cluster, &["delete", "customresourcedefinition", "gitrepositories.source.toolkit.fluxcd.io"]).await;
    says(&cluster, &mirror, NOT_FOUND, "").await;
    assert!(mirror.repo.read("main", &path).is_some(), "what was mirrored stays");
    operator.terminate().await.unwrap();
}
