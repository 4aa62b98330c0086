//! What becomes of files when rules end, are edited or suspended: at once, after a minute, or never, across a restart too.

use crate::support::control_plane::ControlPlane;
use crate::support::operator::{Mirror, Operator, apply, shared};
use crate::support::poll::eventually;
use crate::support::scratch::ScratchDir;
use crate::support::status::{get, until};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;

/// What is selected no more goes after a minute; this is far longer.
const LATER: Duration = Duration::from_secs(180);
const READY: (&str, &str, &str) = ("Ready", "True", "Ready");

async fn put_rule(cluster: &ControlPlane, namespace: &str, name: &str, change: Value) -> Result<()> {
    let mut spec = json!({"sinkRef": {"name": name}, "rules": [{"resources": ["configmaps", "services"]}]});
    for (field, value) in change.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    let metadata = json!({"name": name, "namespace": namespace});
    let rule =
        json!({"apiVersion": "configbutler.ai/v1alpha1", "kind": "WatchRule", "metadata": metadata, "spec": spec});
    apply(cluster, &rule.to_string()).await
}

async fn delete_rule(cluster: &ControlPlane, namespace: &str, name: &str) -> Result<()> {
    let mut kubectl = cluster.kubectl();
    let output = kubectl.args(["delete", "--namespace", namespace, "watchrule", name]).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A target with a rule of the same name for each of `names`, each with a config map and a service in its folder.
async fn prepare(cluster: &ControlPlane, mirror: &Mirror, names: &[&str]) -> Result<()> {
    let namespace = mirror.namespace.as_str();
    apply(cluster, &mirror.configuration(&["limitranges"])).await?;
    let objects = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web, namespace: {namespace}}}\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: {namespace}}}\nspec: {{ports: [{{port: 80}}]}}\n"
    );
    apply(cluster, &objects).await?;
    for name in names {
        let target = json!({
            "apiVersion": "configbutler.ai/v1alpha1", "kind": "GitTarget", "metadata": {"name": name, "namespace": namespace},
            "spec": {"providerRef": {"name": "git"}, "baseFolder": name},
        });
        apply(cluster, &target.to_string()).await?;
        put_rule(cluster, namespace, name, json!({})).await?;
    }
    for name in names {
        until(cluster, namespace, &format!("watchrule/{name}"), READY).await?;
        let both = [file(mirror, name, "configmaps"), file(mirror, name, "services")];
        eventually(LATER, &format!("the files of {name}"), async || {
            let files = mirror.repo.files("main");
            ensure!(both.iter().all(|file| files.contains(file)), "{files:?}");
            Ok(Some(()))
        })
        .await?;
    }
    Ok(())
}

fn file(mirror: &Mirror, folder: &str, resource: &str) -> String {
    format!("{folder}/core/v1/{resource}/{}/web.yaml", mirror.namespace)
}

/// Waits until exactly these of the two files of `folder` are there.
async fn left(mirror: &Mirror, folder: &str, expected: &[&str]) {
    eventually(LATER, &format!("{expected:?} to be left in {folder}"), async || {
        let files = mirror.repo.files("main");
        let left: Vec<_> = ["configmaps", "services"]
            .into_iter()
            .filter(|resource| files.contains(&file(mirror, folder, resource)))
            .collect();
        ensure!(left == expected, "{left:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn rules_that_end_or_shrink_take_their_files_along_a_minute_later() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::prepare(cluster, "fading").await.unwrap();
    let namespace = mirror.namespace.as_str();
    let names = ["edited", "ended", "renewed", "suspended", "misspelt"];
    prepare(cluster, &mirror, &names).await.unwrap();
    let fewer = json!([{"resources": ["configmaps"]}]);
    delete_rule(cluster, namespace, "renewed").await.unwrap();
    put_rule(cluster, namespace, "suspended", json!({"suspend": true, "rules": fewer})).await.unwrap();
    put_rule(cluster, namespace, "misspelt", json!({"rules": [{"resources": ["configmaps", "servces"]}]}))
        .await
        .unwrap();
    until(cluster, namespace, "watchrule/misspelt", ("Ready", "False", "NoMatchingResources")).await.unwrap();
    put_rule(cluster, namespace, "edited", json!({"rules": fewer})).await.unwrap();
    delete_rule(cluster, namespace, "ended").await.unwrap();
    put_rule(cluster, namespace, "renewed", json!({})).await.unwrap();
    let stored = get(cluster, namespace, "gittarget/ended").await.unwrap()["status"]["selection"].clone();
    assert_eq!(stored[0]["types"], json!(["v1/configmaps", "v1/services"]), "{stored}");

    left(&mirror, "edited", &["configmaps"]).await;
    left(&mirror, "ended", &[]).await;
    for name in ["renewed", "suspended", "misspelt"] {
        left(&mirror, name, &["configmaps", "services"]).await;
        for resource in ["configmaps", "services"] {
            let history = mirror.history(&file(&mirror, name, resource));
            assert_eq!(history.len(), 1, "{name}: nothing was removed and written again: {history:?}");
        }
    }
    eventually(LATER, "what went to be forgotten", async || {
        let target = get(cluster, namespace, "gittarget/ended").await?;
        ensure!(target["status"].get("selection").is_none(), "{}", target["status"]);
        Ok(Some(()))
    })
    .await
    .unwrap();
    // What it selected before stayed, and goes when the rule can be understood again.
    put_rule(cluster, namespace, "misspelt", json!({"rules": fewer})).await.unwrap();
    left(&mirror, "misspelt", &["configmaps"]).await;
}

#[tokio::test]
async fn what_ended_while_nobody_watched_goes_too() {
    let cluster = ControlPlane::start().await.unwrap();
    let work_dir = ScratchDir::new().unwrap();
    let operator = Operator::start(&cluster, &work_dir, &[]).await.unwrap();
    let mirror = Mirror::prepare(&cluster, "unwatched").await.unwrap();
    let namespace = mirror.namespace.as_str();
    prepare(&cluster, &mirror, &["edited", "ended", "suspended", "stays"]).await.unwrap();
    operator.kill();
    drop(operator);
    let fewer = json!([{"resources": ["configmaps"]}]);
    delete_rule(&cluster, namespace, "ended").await.unwrap();
    put_rule(&cluster, namespace, "edited", json!({"rules": fewer})).await.unwrap();
    put_rule(&cluster, namespace, "suspended", json!({"suspend": true, "rules": fewer})).await.unwrap();
    let _operator = Operator::start_again(&cluster, &work_dir, &[], &[]).unwrap();
    left(&mirror, "edited", &["configmaps"]).await;
    left(&mirror, "ended", &[]).await;
    for name in ["suspended", "stays"] {
        left(&mirror, name, &["configmaps", "services"]).await;
        assert_eq!(mirror.history(&file(&mirror, name, "services")).len(), 1, "{name}");
    }
}
