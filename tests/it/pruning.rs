//! What becomes of files when rules end and limits change: the whole operator, across restarts.

use crate::support::control_plane::ControlPlane;
use crate::support::operator::{Mirror, Operator, SOON, apply, shared};
use crate::support::poll::eventually;
use crate::support::scratch::ScratchDir;
use crate::sweeps::commit_files;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::Role;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;
use std::time::Duration;

/// What a rule selected stays for a minute after its end.
const A_MINUTE_LATER: Duration = Duration::from_secs(150);

fn rule(mirror: &Mirror, name: &str, resources: &str) -> String {
    format!(
        "apiVersion: configbutler.ai/v1alpha1\nkind: WatchRule\nmetadata: {{name: {name}, namespace: {}}}\nspec: {{sinkRef: {{name: live}}, rules: [{{resources: [{resources}]}}]}}\n---\n",
        mirror.namespace
    )
}

async fn kubectl(cluster: &ControlPlane, mirror: &Mirror, arguments: &[&str]) {
    let output = cluster.kubectl().args(["--namespace", &mirror.namespace]).args(arguments).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

async fn gone(mirror: &Mirror, file: &str) {
    let is_gone = async || Ok(mirror.repo.read("main", file).is_none().then_some(()));
    eventually(A_MINUTE_LATER, &format!("{file} to go"), is_gone).await.unwrap();
}

/// A config map, a service account and a role, each mirrored.
async fn objects(cluster: &ControlPlane, mirror: &Mirror) -> [String; 3] {
    let client = cluster.client_as("alice").await.unwrap();
    let (namespace, post) = (mirror.namespace.as_str(), PostParams::default());
    let object = json!({"metadata": {"name": "x"}});
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    maps.create(&post, &serde_json::from_value(object.clone()).unwrap()).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    accounts.create(&post, &serde_json::from_value(object.clone()).unwrap()).await.unwrap();
    let roles: Api<Role> = Api::namespaced(client, namespace);
    roles.create(&post, &serde_json::from_value(object).unwrap()).await.unwrap();
    let files = [
        mirror.config_map("x"),
        format!("live/core/v1/serviceaccounts/{namespace}/x.yaml"),
        format!("live/rbac.authorization.k8s.io/v1/roles/{namespace}/x.yaml"),
    ];
    for file in &files {
        eventually(SOON, file, async || Ok(mirror.repo.read("main", file))).await.unwrap();
    }
    files
}

#[tokio::test]
async fn what_only_a_deleted_rule_selected_goes_unless_the_rule_comes_back() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::start(cluster, "ended", &["configmaps"]).await.unwrap();
    let again = rule(&mirror, "again", "roles");
    apply(cluster, &(rule(&mirror, "more", "configmaps, serviceaccounts") + &again)).await.unwrap();
    let [map, account, role] = objects(cluster, &mirror).await;
    kubectl(cluster, &mirror, &["delete", "watchrule", "more", "again"]).await;
    apply(cluster, &again).await.unwrap();
    gone(&mirror, &account).await;
    for kept in [&map, &role] {
        assert_eq!(mirror.history(kept).len(), 1, "{:#?}", mirror.history(kept));
        assert!(mirror.repo.read("main", kept).is_some());
    }
    let log = mirror.history(&account);
    assert!(log[1].subject.starts_with("[RECONCILE] 0 files written"), "{log:#?}");
}

#[tokio::test]
async fn what_ended_while_the_operator_was_down_ends_after_its_start() {
    let cluster = ControlPlane::start().await.unwrap();
    let work_dir = ScratchDir::new().unwrap();
    let operator = Operator::start(&cluster, &work_dir, &[]).await.unwrap();
    let mirror = Mirror::start(&cluster, "down", &["configmaps"]).await.unwrap();
    let another = rule(&mirror, "another", "roles");
    apply(&cluster, &(rule(&mirror, "more", "serviceaccounts") + &another)).await.unwrap();
    let [map, account, role] = objects(&cluster, &mirror).await;
    // Files that no rule has ever selected are nobody's.
    let stray = mirror.config_map("x").replace("configmaps", "limitranges");
    let manifest =
        format!("apiVersion: v1\nkind: LimitRange\nmetadata: {{name: x, namespace: {}}}\n", mirror.namespace);
    commit_files(&mirror.repo, [(stray.clone(), manifest)]);
    operator.terminate().await.unwrap();
    kubectl(&cluster, &mirror, &["delete", "watchrule", "more"]).await;
    let client = cluster.client_as("alice").await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(client, &mirror.namespace);
    maps.delete("x", &DeleteParams::default()).await.unwrap();
    // Not even the clone is left of what was known.
    std::fs::remove_dir_all(work_dir.path().join("clones")).unwrap();
    let operator = Operator::start_again(&cluster, &work_dir, &[], &[]).unwrap();
    gone(&mirror, &map).await;
    gone(&mirror, &account).await;
    assert_eq!(mirror.history(&role).len(), 1, "{:#?}", mirror.history(&role));
    assert_eq!(mirror.history(&stray).len(), 1, "{:#?}", mirror.history(&stray));
    operator.terminate().await.unwrap();
}

#[tokio::test]
async fn a_limit_on_deletes_holds_back_until_it_is_raised() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::prepare(cluster, "limit").await.unwrap();
    let name = |number: usize| format!("orphan-{number}");
    let file = |name: String| {
        let text =
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {}}}\n", mirror.namespace);
        (mirror.config_map(&name), text)
    };
    commit_files(&mirror.repo, (0..5).map(name).map(file));
    let limited = mirror.configuration(&["configmaps"]);
    let limited = limited.replace("baseFolder: live", "baseFolder: live\n  prune: {maxDeletesPerCycle: 0}");
    apply(cluster, &limited).await.unwrap();
    mirror.ready(cluster).await.unwrap();
    let left = async |count: usize| {
        let is_left = async || Ok((mirror.repo.files("main").len() == count).then_some(()));
        eventually(SOON, &format!("{count} files to be left"), is_left).await.unwrap();
    };
    eventually(SOON, "the event", async || {
        let mut events = cluster.kubectl();
        events.args(["get", "events", "--namespace", &mirror.namespace, "--output=jsonpath={.items[*].message}"]);
        let output = events.arg("--field-selector=reason=Pruned,type=Normal").output().await?;
        Ok(String::from_utf8(output.stdout)?.contains("5 more are held back").then_some(()))
    })
    .await
    .unwrap();
    left(5).await;
    let patch = async |patch: &str| {
        kubectl(cluster, &mirror, &["patch", "gittarget", "live", "--type=merge", "--patch", patch]).await;
    };
    patch(r#"{"spec":{"prune":{"maxDeletesPerCycle":2}}}"#).await;
    left(3).await;
    patch(r#"{"spec":{"prune":{"maxDeletesPerCycle":null}}}"#).await;
    left(0).await;
}
