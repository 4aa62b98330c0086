//! Statuses as time goes by: what is written and what is not, what becomes an event, and what people can ask for.

use crate::support::account::Account;
use crate::support::control_plane::ControlPlane;
use crate::support::operator::{Mirror, Operator, SOON, apply, shared};
use crate::support::poll::eventually;
use crate::support::scratch::ScratchDir;
use crate::support::status::{condition, get, until, until_it_says};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

const OBJECTS: [&str; 3] = ["gitprovider/git", "gittarget/live", "watchrule/all"];

async fn versions(cluster: &ControlPlane, namespace: &str) -> Result<Vec<Value>> {
    let mut versions = Vec::new();
    for object in OBJECTS {
        versions.push(get(cluster, namespace, object).await?["metadata"]["resourceVersion"].clone());
    }
    Ok(versions)
}

fn orphan(namespace: &str, name: &str) -> String {
    format!(
        "apiVersion: configbutler.ai/v1alpha1\nkind: GitTarget\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{providerRef: {{name: nobody}}, baseFolder: {name}}}\n"
    )
}

#[tokio::test]
async fn nothing_is_written_while_nothing_changes() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::start(cluster, "still", &["configmaps"]).await.unwrap();
    until(cluster, &mirror.namespace, "gittarget/live", ("Synced", "True", "Synced")).await.unwrap();
    let mut round = 0;
    // Numbers may follow once; then there is nothing to say.
    eventually(SOON, "three looks at everything without a patch", async || {
        let before = versions(cluster, &mirror.namespace).await?;
        for _ in 0..3 {
            round += 1;
            let name = format!("orphan-{round}");
            apply(cluster, &orphan(&mirror.namespace, &name)).await?;
            // Whoever has judged this one has looked at all others too.
            let object = format!("gittarget/{name}");
            until(cluster, &mirror.namespace, &object, ("Ready", "False", "ProviderNotFound")).await?;
        }
        let after = versions(cluster, &mirror.namespace).await?;
        ensure!(before == after, "{before:?} became {after:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_is_mended_is_ready_and_nothing_abnormal_is_left() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::prepare(cluster, "mended").await.unwrap();
    let namespace = mirror.namespace.as_str();
    let configuration = mirror.configuration(&["configmaps"]);
    let (secret, rest) = configuration.split_once("---").unwrap();
    apply(cluster, rest).await.unwrap();
    until(cluster, namespace, "gittarget/live", ("Reconciling", "True", "ProviderNotReady")).await.unwrap();
    apply(cluster, secret).await.unwrap();
    mirror.ready(cluster).await.unwrap();
    let target = get(cluster, namespace, "gittarget/live").await.unwrap();
    let conditions = target["status"]["conditions"].as_array().unwrap();
    let kinds: Vec<_> = conditions.iter().map(|condition| condition["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Ready", "Available", "Active", "Synced"]);
    for condition in conditions {
        assert_eq!(condition["observedGeneration"], target["metadata"]["generation"], "{condition}");
    }
    let provider = get(cluster, namespace, "gitprovider/git").await.unwrap();
    assert_eq!(provider["status"]["conditions"].as_array().unwrap().len(), 1, "{provider}");
}

#[tokio::test]
async fn a_status_tells_what_git_holds() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::start(cluster, "told", &["configmaps", "secrets"]).await.unwrap();
    let namespace = mirror.namespace.as_str();
    let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web, namespace: {namespace}}}\n");
    apply(cluster, &map).await.unwrap();
    mirror.commits(&mirror.config_map("web"), 1).await.unwrap();
    eventually(SOON, "the status to tell of the commit", async || {
        let status = get(cluster, namespace, "gittarget/live").await?["status"].clone();
        ensure!(status["gitStatus"]["lastCommitSHA"] == json!(mirror.repo.head("main")), "{status}");
        ensure!(status["gitStatus"]["branchExists"] == true, "{status}");
        ensure!(status["workerStatus"]["active"] == true, "{status}");
        ensure!(status["workerStatus"]["lastPushStatus"] == "Success", "{status}");
        ensure!(status["workerStatus"]["lastPushTime"].is_string(), "{status}");
        ensure!(status["trackedObjects"].as_i64().is_some_and(|objects| objects >= 1), "{status}");
        let selection = json!([{"types": ["v1/configmaps", "v1/secrets"], "namespaces": [namespace], "deletes": true}]);
        ensure!(status["selection"] == selection, "{status}");
        Ok(Some(()))
    })
    .await
    .unwrap();
    let rule = get(cluster, namespace, "watchrule/all").await.unwrap();
    assert_eq!(rule["status"]["resources"], json!(["v1/configmaps", "v1/secrets"]));
}

/// The events of the namespace as (object, type, reason, how often).
async fn events(cluster: &ControlPlane, namespace: &str) -> Result<Vec<(String, String, String)>> {
    let mut get = cluster.kubectl();
    let output = get.args(["get", "events", "--namespace", namespace, "--output", "json"]).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = list["items"].as_array().into_iter().flatten().map(|event| {
        let object = &event["involvedObject"];
        let name = format!("{}/{}", text(&object["kind"]), text(&object["name"]));
        (name, text(&event["type"]), text(&event["reason"]))
    });
    Ok(events.collect())
}

async fn event(cluster: &ControlPlane, namespace: &str, object: &str, kind: &str, reason: &str) -> Result<()> {
    eventually(SOON, &format!("the event {reason} of {object}"), async || {
        let events = events(cluster, namespace).await?;
        let wanted = (object.to_owned(), kind.to_owned(), reason.to_owned());
        ensure!(events.contains(&wanted), "{events:?}");
        Ok(Some(()))
    })
    .await
}

#[tokio::test]
async fn people_can_ask_for_a_new_look() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::start(cluster, "asked", &["configmaps"]).await.unwrap();
    let namespace = mirror.namespace.as_str();
    let at_once = json!({
        "apiVersion": "configbutler.ai/v1alpha1", "kind": "GitTarget", "metadata": {"name": "live", "namespace": namespace},
        "spec": {"providerRef": {"name": "git"}, "baseFolder": "live", "foreignEditGrace": "0s"},
    });
    apply(cluster, &at_once.to_string()).await.unwrap();
    let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web, namespace: {namespace}}}\n");
    apply(cluster, &map).await.unwrap();
    let path = mirror.config_map("web");
    mirror.commits(&path, 1).await.unwrap();
    let ours = mirror.repo.read("main", &path);
    let kinds = ["gittarget/live", "gitprovider/git", "watchrule/all"];
    for (number, object) in kinds.iter().enumerate() {
        // Nobody looks at the remote for five minutes otherwise.
        mirror.repo.commit_file("main", &path, "somebody: else\n", "Erin <erin@example.com>");
        let mut annotate = cluster.kubectl();
        let request = format!("reconcile.configbutler.ai/requestedAt={number}");
        annotate.args(["annotate", "--overwrite", "--namespace", namespace, object, &request]);
        assert!(annotate.output().await.unwrap().status.success());
        eventually(SOON, "the file to be ours again", async || {
            ensure!(mirror.repo.read("main", &path) == ours, "{:?}", mirror.repo.read("main", &path));
            let target = get(cluster, namespace, "gittarget/live").await?;
            ensure!(
                target["status"]["lastHandledRequest"].as_str() == Some(number.to_string().as_str()),
                "{}",
                target["status"]
            );
            Ok(Some(()))
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn what_waits_and_what_is_held_back_is_not_synced() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::prepare(cluster, "waiting").await.unwrap();
    let namespace = mirror.namespace.as_str();
    let orphan = format!("live/core/v1/configmaps/{namespace}/orphan.yaml");
    let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: orphan\n  namespace: {namespace}\n");
    mirror.repo.commit_file("main", &orphan, &text, "Erin <erin@example.com>");
    let configuration = |prune: &str| {
        let folder = format!("baseFolder: live\n  foreignEditGrace: 0s\n  prune: {{{prune}}}\n");
        mirror.configuration_pushing(&["configmaps"], "1h").replace("baseFolder: live\n", &folder)
    };
    apply(cluster, &configuration("maxDeletesPerCycle: 0")).await.unwrap();
    let live = "gittarget/live";
    let held_back = ("Synced", "False", "SyncInProgress");
    until_it_says(cluster, namespace, live, held_back, "spec.prune.maxDeletesPerCycle").await.unwrap();
    apply(cluster, &configuration("")).await.unwrap();
    until(cluster, namespace, live, ("Synced", "True", "Synced")).await.unwrap();
    assert_eq!(mirror.repo.read("main", &orphan), None);
    // The first commit goes at once and those after it wait, which is told along with whatever else there is to say.
    let mut number = 0;
    eventually(SOON, "changes to wait", async || {
        number += 1;
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": namespace},
            "data": {"number": number.to_string()},
        });
        apply(cluster, &map.to_string()).await?;
        apply(cluster, &configuration(&format!("maxDeletesPerCycle: {number}"))).await?;
        let synced = eventually(SOON, "the edit to be judged", async || {
            Ok(condition(&get(cluster, namespace, live).await?, "Synced"))
        });
        let (_, reason, message) = synced.await?;
        ensure!(reason == "EventsQueued", "{reason}: {message}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

/// An account that may do nothing to events but create and patch them, and may not read everything that rules name.
#[tokio::test]
async fn what_the_operator_may_not_read_is_said() {
    let cluster = ControlPlane::start().await.unwrap();
    let account = Account::create(&cluster, &[("", &["configmaps", "secrets"])]).await.unwrap();
    crate::support::operator::install_definitions(&cluster).await.unwrap();
    let work_dir = ScratchDir::new().unwrap();
    let arguments = ["--max-watches=3"];
    let _operator = Operator::start_again(&cluster, &work_dir, &arguments, &account.environment()).unwrap();
    let mirror = Mirror::start(&cluster, "limited", &["configmaps", "secrets"]).await.unwrap();
    let namespace = mirror.namespace.as_str();
    let rule = |name: &str, resource: &str| {
        format!(
            "apiVersion: configbutler.ai/v1alpha1\nkind: WatchRule\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{sinkRef: {{name: live}}, rules: [{{resources: [{resource}]}}]}}\n"
        )
    };
    event(&cluster, namespace, "GitTarget/live", "Normal", "Ready").await.unwrap();
    event(&cluster, namespace, "GitTarget/live", "Warning", "PlaintextSecrets").await.unwrap();
    apply(&cluster, &rule("forbidden", "deployments")).await.unwrap();
    let unavailable = ("Ready", "False", "ResourcesUnavailable");
    let message = until(&cluster, namespace, "watchrule/forbidden", unavailable).await.unwrap();
    assert!(message.starts_with("apps/v1/deployments cannot be watched (Forbidden): "), "{message}");
    let status = get(&cluster, namespace, "watchrule/forbidden").await.unwrap()["status"].clone();
    assert_eq!(status["unavailable"][0]["reason"], "Forbidden", "{status}");
    assert_eq!(status["unavailable"][0]["resource"], "apps/v1/deployments", "{status}");
    until(&cluster, namespace, "watchrule/forbidden", ("Stalled", "True", "ResourcesUnavailable")).await.unwrap();
    until(&cluster, namespace, "gittarget/live", ("Synced", "False", "SyncFailed")).await.unwrap();
    event(&cluster, namespace, "WatchRule/forbidden", "Warning", "ResourcesUnavailable").await.unwrap();

    apply(&cluster, &rule("surplus", "services")).await.unwrap();
    let message =
        until(&cluster, namespace, "watchrule/surplus", ("Ready", "False", "TooManyResources")).await.unwrap();
    assert!(message.contains("--max-watches"), "{message}");

    account.permit(&cluster, &[("", &["configmaps", "secrets"]), ("apps", &["deployments"])]).await.unwrap();
    until(&cluster, namespace, "watchrule/forbidden", ("Ready", "True", "Ready")).await.unwrap();
    event(&cluster, namespace, "WatchRule/forbidden", "Normal", "Ready").await.unwrap();
    let rule = get(&cluster, namespace, "watchrule/forbidden").await.unwrap();
    assert_eq!(rule["status"].get("unavailable"), None, "{rule}");
    assert_eq!(condition(&rule, "Stalled"), None, "{rule}");
    let told = events(&cluster, namespace).await.unwrap();
    let plaintext = told.iter().filter(|(_, _, reason)| reason == "PlaintextSecrets").count();
    assert_eq!(plaintext, 1, "{told:?}");
}
