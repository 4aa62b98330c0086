//! What the operator does with as little permission as it gets.

use super::*;
use crate::support::account::{self, Account};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::rbac::v1::RoleBinding;

/// Lets the operator's account read the config maps of `namespace`.
async fn permit_in(cluster: &ControlPlane, namespace: &str) -> Result<()> {
    let manifests = format!(
        r"
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: mirrored, namespace: {namespace}}}
rules: [{{apiGroups: [''], resources: [configmaps], verbs: [get, list, watch]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: mirrored, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: mirrored}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: '{}'}}]
",
        account::USER
    );
    apply(cluster, &manifests).await
}

/// Takes that away again, and waits until it counts.
async fn forbid_in(cluster: &ControlPlane, namespace: &str) -> Result<()> {
    let client = cluster.client().await?;
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), namespace);
    bindings.delete("mirrored", &DeleteParams::default()).await?;
    let attributes = json!({"namespace": namespace, "resource": "configmaps", "verb": "list"});
    let review: SubjectAccessReview = serde_json::from_value(
        json!({"metadata": {}, "spec": {"user": account::USER, "resourceAttributes": attributes}}),
    )?;
    let reviews: Api<SubjectAccessReview> = Api::all(client);
    eventually(SOON, "the permission to be gone", async || {
        let answer = reviews.create(&PostParams::default(), &review).await?;
        Ok(answer.status.is_some_and(|status| !status.allowed).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn little_permission_and_a_server_that_streams_no_lists_are_enough() -> Result<()> {
    let cluster = ControlPlane::start_with(&["--feature-gates=WatchList=false"]).await?;
    operator::install_definitions(&cluster).await?;
    let account = Account::create(&cluster, &[]).await?;
    let work_dir = ScratchDir::new()?;
    let client = cluster.client().await?;
    let base = watches(&client).await?;
    let platform = Platform::start(&cluster).await?;
    let mut namespaces = Vec::new();
    for number in 0..3 {
        let namespace = cluster.namespace("team").await?;
        platform.provider(&cluster, &namespace).await?;
        platform.target(&cluster, &namespace, "live").await?;
        platform.rule(&cluster, &namespace, "maps", "live", "rules: [{resources: [configmaps]}]").await?;
        if number < 2 {
            permit_in(&cluster, &namespace).await?;
        }
        namespaces.push(namespace);
    }
    let file = |namespace: &str| Platform::file(&format!("{namespace}-live"), namespace, "a");
    let flags = ["--namespaced-watch-limit=1"];
    let operator = Operator::start_again(&cluster, &work_dir, &flags, &account.environment())?;
    for namespace in &namespaces {
        let maps = maps_of(&cluster, "alice", namespace).await?;
        maps.create(&PostParams::default(), &mk_map("a", "v1", json!({}))?).await?;
    }
    // It may not watch all namespaces, so it watches each, and the one that it may not watch disturbs no other.
    for namespace in &namespaces[..2] {
        platform.reads(&file(namespace), "v1").await?;
        merge(&maps_of(&cluster, "alice", namespace).await?, "a", json!({"data": {"value": "v2"}})).await?;
        platform.reads(&file(namespace), "v2").await?;
    }
    watched(&client, (base.0, base.1 + 2)).await?;
    let log = operator.log();
    ensure!(log.contains("it is asked for in pages") && log.contains("grant list and watch"), "{log}");
    permit_in(&cluster, &namespaces[2]).await?;
    platform.reads(&file(&namespaces[2]), "v1").await?;
    watched(&client, (base.0, base.1 + 3)).await?;
    a_new_target_waits_for_no_namespace_that_is_forbidden(&cluster, &platform, &operator, &namespaces).await?;
    operator.terminate().await
}

/// Watches that are open stay so when lists are forbidden.
async fn a_new_target_waits_for_no_namespace_that_is_forbidden(
    cluster: &ControlPlane,
    platform: &Platform,
    operator: &Operator,
    namespaces: &[String],
) -> Result<()> {
    let (forbidden, permitted) = (&namespaces[0], &namespaces[1]);
    forbid_in(cluster, forbidden).await?;
    let file = |namespace: &str| Platform::file(&format!("{namespace}-second"), namespace, "a");
    for namespace in [forbidden, permitted] {
        platform.target(cluster, namespace, "second").await?;
        platform.rule(cluster, namespace, "second", "second", "rules: [{resources: [configmaps]}]").await?;
        if namespace == forbidden {
            eventually(SOON, "a list to fail", async || Ok(operator.log().contains("List failed").then_some(())))
                .await?;
        }
    }
    platform.has(&file(permitted)).await?;
    ensure!(platform.repo.read("main", &file(forbidden)).is_none());
    permit_in(cluster, forbidden).await?;
    platform.has(&file(forbidden)).await
}
