//! Who may write where: each decision both ways, and what happens when labels of namespaces change while all runs.

use crate::support::control_plane::ControlPlane;
use crate::support::operator::{Mirror, SOON, apply, shared};
use crate::support::poll::eventually;
use crate::support::status::{until, until_it_says};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

const READY: (&str, &str, &str) = ("Ready", "True", "Ready");
const DENIED: (&str, &str, &str) = ("Ready", "False", "AccessDenied");
const OVERLAP: (&str, &str, &str) = ("Ready", "False", "BaseFolderOverlap");

/// Applies an object of ours.
async fn put(cluster: &ControlPlane, kind: &str, namespace: &str, name: &str, spec: Value) -> Result<()> {
    let mut metadata = json!({"name": name});
    if kind != "ClusterWatchRule" {
        metadata["namespace"] = json!(namespace);
    }
    let object = json!({"apiVersion": "configbutler.ai/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec});
    apply(cluster, &object.to_string()).await
}

async fn put_map(cluster: &ControlPlane, namespace: &str, name: &str, value: &str) -> Result<()> {
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": {"value": value},
    });
    apply(cluster, &map.to_string()).await
}

/// Puts labels on a namespace or, as in `team-`, takes them off.
async fn label(cluster: &ControlPlane, namespace: &str, label: &str) -> Result<()> {
    let mut kubectl = cluster.kubectl();
    let output = kubectl.args(["label", "--overwrite", "namespace", namespace, label]).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// What a provider of `mirror`'s repository says, with this access policy.
fn provider(mirror: &Mirror, access: Value) -> Value {
    json!({
        "url": mirror.repo.url(), "secretRef": {"name": "git"}, "allowedBranches": ["main"],
        "push": {"interval": "200ms"}, "accessPolicy": access,
    })
}

/// A target in another namespace than its provider `git`.
fn target(mirror: &Mirror, folder: &str) -> Value {
    json!({"providerRef": {"name": "git", "namespace": mirror.namespace}, "baseFolder": folder})
}

fn secret(mirror: &Mirror, namespace: &str) -> String {
    let login = json!({"username": mirror.server.user(), "password": mirror.server.password()});
    let metadata = json!({"name": "git", "namespace": namespace});
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": login}).to_string()
}

fn maps() -> Value {
    json!({"sinkRef": {"name": "ours"}, "rules": [{"resources": ["configmaps"]}]})
}

fn file(folder: &str, namespace: &str, name: &str) -> String {
    format!("{folder}/core/v1/configmaps/{namespace}/{name}.yaml")
}

async fn holds(mirror: &Mirror, path: &str, part: &str) -> Result<()> {
    eventually(SOON, &format!("{path} to hold {part}"), async || {
        let text = mirror.repo.read("main", path).unwrap_or_default();
        ensure!(text.contains(part), "{text:?} among {:?}", mirror.repo.files("main"));
        Ok(Some(()))
    })
    .await
}

#[tokio::test]
async fn a_provider_says_which_namespaces_use_it() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::prepare(cluster, "lender").await.unwrap();
    let tenant = cluster.namespace("tenant").await.unwrap();
    apply(cluster, &secret(&mirror, &mirror.namespace)).await.unwrap();
    let policy = |access: Value| put(cluster, "GitProvider", &mirror.namespace, "git", provider(&mirror, access));
    let rules = |rules: Value| json!({"namespacedRules": rules});
    let by_team = json!({"mode": "FromSelector", "namespaceSelector": {"matchLabels": {"team": "blue"}}});

    policy(json!({})).await.unwrap();
    put(cluster, "GitTarget", &tenant, "ours", target(&mirror, "tenant")).await.unwrap();
    put(cluster, "WatchRule", &tenant, "maps", maps()).await.unwrap();
    let message = until(cluster, &tenant, "gittarget/ours", DENIED).await.unwrap();
    assert!(message.contains("spec.accessPolicy.namespacedRules") && !message.contains(mirror.repo.url()), "{message}");
    policy(rules(json!({"mode": "AllNamespaces"}))).await.unwrap();
    until(cluster, &tenant, "gittarget/ours", READY).await.unwrap();
    policy(rules(json!({"mode": "SameNamespace"}))).await.unwrap();
    until(cluster, &tenant, "gittarget/ours", DENIED).await.unwrap();
    policy(rules(by_team)).await.unwrap();
    put_map(cluster, &tenant, "web", "one").await.unwrap();
    until(cluster, &tenant, "gittarget/ours", DENIED).await.unwrap();
    label(cluster, &tenant, "team=blue").await.unwrap();
    until(cluster, &tenant, "gittarget/ours", READY).await.unwrap();
    let path = file("tenant", &tenant, "web");
    holds(&mirror, &path, "one").await.unwrap();

    // Revoked while all runs: at once nothing is written any more, and nothing is removed.
    label(cluster, &tenant, "team=red").await.unwrap();
    until(cluster, &tenant, "gittarget/ours", DENIED).await.unwrap();
    until(cluster, &tenant, "gittarget/ours", ("Active", "False", "WorkerStopped")).await.unwrap();
    let head = mirror.repo.head("main");
    put_map(cluster, &tenant, "web", "two").await.unwrap();
    put_map(cluster, &tenant, "late", "two").await.unwrap();
    until(cluster, &tenant, "watchrule/maps", ("Ready", "False", "SinkNotReady")).await.unwrap();
    assert_eq!(mirror.repo.head("main"), head);
    label(cluster, &tenant, "team=blue").await.unwrap();
    holds(&mirror, &path, "two").await.unwrap();
    holds(&mirror, &file("tenant", &tenant, "late"), "two").await.unwrap();
    assert_eq!(mirror.history(&path).len(), 2);
}

#[tokio::test]
async fn rules_of_the_cluster_need_provider_and_target() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::prepare(cluster, "platform").await.unwrap();
    let namespace = mirror.namespace.as_str();
    let other = cluster.namespace("elsewhere").await.unwrap();
    apply(cluster, &secret(&mirror, namespace)).await.unwrap();
    let policy = |allow: bool| {
        put(cluster, "GitProvider", namespace, "git", provider(&mirror, json!({"allowClusterRules": allow})))
    };
    let ours = |allow: bool| {
        let spec =
            json!({"providerRef": {"name": "git"}, "baseFolder": "all", "accessPolicy": {"allowClusterRules": allow}});
        put(cluster, "GitTarget", namespace, "ours", spec)
    };
    let sink = json!({"name": "ours", "namespace": namespace});
    let by_name = json!({"matchLabels": {"kubernetes.io/metadata.name": other}});
    let part = json!({"scope": "Namespaced", "resources": ["configmaps"], "namespaceSelector": by_name});
    let rule = format!("{namespace}-maps");
    put(cluster, "ClusterWatchRule", "", &rule, json!({"sinkRef": sink, "rules": [part]})).await.unwrap();
    let object = format!("clusterwatchrule/{rule}");
    for (provider, target, denied) in [
        (false, true, Some("GitProvider")),
        (true, true, None),
        (true, false, Some("GitTarget")),
        (false, false, Some("neither")),
    ] {
        policy(provider).await.unwrap();
        ours(target).await.unwrap();
        let Some(part) = denied else {
            until(cluster, "", &object, READY).await.unwrap();
            continue;
        };
        until_it_says(cluster, "", &object, DENIED, part).await.unwrap();
    }
    policy(true).await.unwrap();
    ours(true).await.unwrap();
    put_map(cluster, &other, "web", "one").await.unwrap();
    holds(&mirror, &file("all", &other, "web"), "one").await.unwrap();
}

#[tokio::test]
async fn a_namespace_comes_and_goes_with_its_label() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::prepare(cluster, "chosen").await.unwrap();
    let namespace = mirror.namespace.as_str();
    let other = cluster.namespace("candidate").await.unwrap();
    apply(cluster, &secret(&mirror, namespace)).await.unwrap();
    put(cluster, "GitProvider", namespace, "git", provider(&mirror, json!({"allowClusterRules": true}))).await.unwrap();
    let spec = json!({"providerRef": {"name": "git"}, "baseFolder": "all"});
    put(cluster, "GitTarget", namespace, "ours", spec).await.unwrap();
    let selector = json!({"matchLabels": {"chosen": namespace}});
    let part = json!({"scope": "Namespaced", "resources": ["configmaps"], "namespaceSelector": selector});
    let sink = json!({"name": "ours", "namespace": namespace});
    let rule = format!("{namespace}-maps");
    label(cluster, namespace, &format!("chosen={namespace}")).await.unwrap();
    put(cluster, "ClusterWatchRule", "", &rule, json!({"sinkRef": sink, "rules": [part]})).await.unwrap();
    put_map(cluster, namespace, "stays", "one").await.unwrap();
    put_map(cluster, &other, "web", "one").await.unwrap();
    let (stays, web) = (file("all", namespace, "stays"), file("all", &other, "web"));
    holds(&mirror, &stays, "one").await.unwrap();
    assert_eq!(mirror.repo.read("main", &web), None);
    label(cluster, &other, &format!("chosen={namespace}")).await.unwrap();
    holds(&mirror, &web, "one").await.unwrap();
    label(cluster, &other, "chosen-").await.unwrap();
    eventually(SOON, "the files of the namespace to go", async || {
        ensure!(mirror.repo.read("main", &web).is_none(), "{:?}", mirror.repo.files("main"));
        Ok(Some(()))
    })
    .await
    .unwrap();
    holds(&mirror, &stays, "one").await.unwrap();
    assert_eq!(mirror.history(&stays).len(), 1, "what stays is not written again");
}

#[tokio::test]
async fn the_older_target_keeps_a_folder_whatever_the_way_to_it() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::prepare(cluster, "crowded").await.unwrap();
    let other = cluster.namespace("crowd").await.unwrap();
    let namespaces = [mirror.namespace.as_str(), other.as_str()];
    for namespace in namespaces {
        apply(cluster, &secret(&mirror, namespace)).await.unwrap();
        put(cluster, "GitProvider", namespace, "git", provider(&mirror, json!({}))).await.unwrap();
    }
    let mine = |folder: &str| json!({"providerRef": {"name": "git"}, "baseFolder": folder});
    // One that was never let in keeps nobody out, however old it is.
    let wrong = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wrong", "namespace": mirror.namespace},
        "stringData": {"username": "git", "password": "wrong"},
    });
    apply(cluster, &wrong.to_string()).await.unwrap();
    let mut locked_out = provider(&mirror, json!({}));
    locked_out["secretRef"]["name"] = json!("wrong");
    put(cluster, "GitProvider", &mirror.namespace, "wrong", locked_out).await.unwrap();
    let squatter = json!({"providerRef": {"name": "wrong"}, "baseFolder": "teams"});
    put(cluster, "GitTarget", &mirror.namespace, "a-squatter", squatter).await.unwrap();
    until(cluster, &mirror.namespace, "gittarget/a-squatter", ("Ready", "False", "AuthenticationFailed"))
        .await
        .unwrap();

    put(cluster, "GitTarget", &mirror.namespace, "b-older", mine("teams")).await.unwrap();
    until(cluster, &mirror.namespace, "gittarget/b-older", READY).await.unwrap();
    put(cluster, "GitTarget", &other, "c-younger", mine("teams/blue")).await.unwrap();
    let message = until(cluster, &other, "gittarget/c-younger", OVERLAP).await.unwrap();
    assert!(message.contains("another namespace") && !message.contains("b-older"), "{message}");
    let mut delete = cluster.kubectl();
    delete.args(["delete", "--namespace", &mirror.namespace, "gittarget/b-older"]);
    assert!(delete.output().await.unwrap().status.success());
    until(cluster, &other, "gittarget/c-younger", READY).await.unwrap();
}
