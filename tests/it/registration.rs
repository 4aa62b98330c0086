//! Which calls the API server makes, for every way to write, and who keeps the registration that says so.

use crate::support::control_plane::ControlPlane;
use crate::support::operator::{Mirror, Operator, SOON, apply, install_definitions};
use crate::support::poll::eventually;
use crate::support::scratch::ScratchDir;
use crate::support::witness::Witness;
use anyhow::{Context as _, Result, ensure};
use hyper::http::Request;
use serde_json::{Value, json};
use std::process::Command;

const NAMESPACE: &str = "calls";
/// What the operator's own service account is called here.
const OWN: &str = "system:serviceaccount:operators:reverser";

/// Prints the configuration for `witness` with the operator's binary.
fn printed(cluster: &ControlPlane, witness: &Witness, scratch: &ScratchDir, rules: &str) -> String {
    let ca_file = scratch.path().join("witness.pem");
    std::fs::write(&ca_file, witness.ca_pem()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gitops-reverser"));
    command.args(["webhook-configuration", "--namespace=operators", "--service-account=reverser"]);
    command.args([&format!("--rules={rules}"), &format!("--url={}", witness.url())]);
    let output = command.arg("--ca-file").arg(ca_file).env("KUBECONFIG", cluster.kubeconfig()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Namespaces, some of the core's types and a custom resource of two versions; a rule that selects `resources` of a
/// namespace, and namespaces. Its target does not work: nobody pushes here.
fn setting(resources: &str) -> String {
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
        })
    };
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [version("v1", true), version("v2", false)],
        }
    });
    format!(
        r"{definition}
---
apiVersion: configbutler.ai/v1alpha1
kind: GitProvider
metadata: {{name: git, namespace: {NAMESPACE}}}
spec: {{url: 'https://git.example.com/calls.git', allowedBranches: [main], accessPolicy: {{allowClusterRules: true}}}}
---
apiVersion: configbutler.ai/v1alpha1
kind: GitTarget
metadata: {{name: live, namespace: {NAMESPACE}}}
spec: {{providerRef: {{name: git}}, branch: main, baseFolder: live}}
---
apiVersion: configbutler.ai/v1alpha1
kind: ClusterWatchRule
metadata: {{name: all}}
spec:
  sinkRef: {{name: live, namespace: {NAMESPACE}}}
  rules: [{{scope: Namespaced, resources: [{resources}]}}, {{scope: Cluster, resources: [namespaces]}}]
"
    )
}

async fn start(resources: &str) -> (ControlPlane, Witness, ScratchDir) {
    let cluster = ControlPlane::start().await.unwrap();
    install_definitions(&cluster).await.unwrap();
    apply(&cluster, &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n")).await.unwrap();
    if !resources.is_empty() {
        apply(&cluster, &setting(resources)).await.unwrap();
    }
    (cluster, Witness::start().await.unwrap(), ScratchDir::new().unwrap())
}

/// Sends one request as `user`: method, path and body, apart by spaces.
async fn send(cluster: &ControlPlane, user: &str, method: &str, path: &str, body: &Value) -> Result<String> {
    let content = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
    let request = Request::builder().method(method).uri(path).header("content-type", content).body(body)?;
    let sent = cluster.client_as(user).await?.request_text(request).await;
    sent.with_context(|| format!("{user}: {method} {path}"))
}

/// The calls about requests of `user`: operation, resource, subresource, version of the object. An update that the API
/// server tried again on a newer base counts once.
fn calls(witness: &Witness, user: &str) -> Vec<String> {
    let of_user = |request: &Value| request["userInfo"]["username"] == user;
    let call = |request: Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = if request["object"].is_null() { &request["oldObject"] } else { &request["object"] };
        let resource = match text(&request["subResource"]) {
            none if none.is_empty() => text(&request["resource"]["resource"]),
            name => format!("{}/{name}", text(&request["resource"]["resource"])),
        };
        format!("{} {resource} {}", text(&request["operation"]), text(&object["apiVersion"]))
    };
    let mut calls: Vec<String> = witness.requests().into_iter().filter(of_user).map(call).collect();
    calls.dedup_by(|again, call| again == call && call.starts_with("UPDATE "));
    calls
}

/// Waits until a write of a config map leads to a call.
async fn in_effect(cluster: &ControlPlane, witness: &Witness) {
    let maps = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    let body = json!({"metadata": {"generateName": "probe-"}});
    eventually(SOON, "the registration to be in effect", async || {
        send(cluster, "prober", "POST", &maps, &body).await?;
        Ok((!calls(witness, "prober").is_empty()).then_some(()))
    })
    .await
    .unwrap();
}

fn pod(name: &str) -> Value {
    let spec = json!({"containers": [{"name": "c", "image": "none"}], "terminationGracePeriodSeconds": 0});
    json!({"metadata": {"name": name, "labels": {"app": "web"}}, "spec": spec})
}

fn deployment() -> Value {
    let template = json!({"metadata": {"labels": {"app": "none"}}, "spec": pod("x")["spec"]});
    let mut template = template;
    template["spec"].as_object_mut().unwrap().remove("terminationGracePeriodSeconds");
    json!({
        "metadata": {"name": "web"},
        "spec": {"replicas": 0, "paused": true, "selector": {"matchLabels": {"app": "none"}}, "template": template}
    })
}

/// Every kind of write: what it is, method, path below the API server, body, and the calls that it leads to.
#[rustfmt::skip]
fn writes() -> Vec<(&'static str, &'static str, String, Value, Vec<&'static str>)> {
    let core = |rest: &str| format!("/api/v1/namespaces/{NAMESPACE}/{rest}");
    let apps = |rest: &str| format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments{rest}");
    let widget = |version: &str, rest: &str| format!("/apis/example.com/{version}/namespaces/{NAMESPACE}/widgets{rest}");
    let labels = |value: &str| json!({"metadata": {"labels": {"touched": value}}});
    let condition = json!({"status": {"conditions": [{"type": "Tested", "status": "True"}]}});
    let note = json!({"metadata": {"annotations": {"note": "x"}}});
    let replicas = |count: u32| json!({"spec": {"replicas": count}});
    let finalize = |value: &[&str]| json!({"metadata": {"name": "other"}, "spec": {"finalizers": value}});
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "evicted"}});
    let binding = json!({"metadata": {"name": "bound"}, "target": {"kind": "Node", "name": "node"}});
    let made = |version: &str, name: &str| json!({"apiVersion": format!("example.com/{version}"), "kind": "Widget", "metadata": {"name": name}, "spec": {"replicas": 1}});
    vec![
        ("create", "POST", core("configmaps"), json!({"metadata": {"name": "web"}}), vec!["CREATE configmaps v1"]),
        ("a generated name", "POST", core("configmaps"), json!({"metadata": {"generateName": "web-"}}), vec!["CREATE configmaps v1"]),
        ("dry run", "POST", core("configmaps?dryRun=All"), json!({"metadata": {"name": "dry"}}), vec![]),
        ("dry update", "PATCH", core("configmaps/web?dryRun=All"), labels("dry"), vec![]),
        ("update", "PATCH", core("configmaps/web"), labels("1"), vec!["UPDATE configmaps v1"]),
        ("no-op", "PATCH", core("configmaps/web"), labels("1"), vec![]),
        ("a large object", "PATCH", core("configmaps/web"), json!({"data": {"large": "x".repeat(900_000)}}), vec!["UPDATE configmaps v1"]),
        ("many entries", "PATCH", core("configmaps/web"), json!({"data": (0..20_000).map(|n| (format!("key-{n}"), json!("v"))).collect::<serde_json::Map<_, _>>()}), vec!["UPDATE configmaps v1"]),
        ("delete", "DELETE", core("configmaps/web"), Value::Null, vec!["DELETE configmaps v1"]),
        ("not mirrored", "POST", core("secrets"), json!({"metadata": {"name": "web"}}), vec![]),
        ("a deployment", "POST", apps(""), deployment(), vec!["CREATE deployments apps/v1"]),
        ("scale", "PATCH", apps("/web/scale"), replicas(2), vec!["UPDATE deployments/scale autoscaling/v1"]),
        ("scale to zero", "PATCH", apps("/web/scale"), replicas(0), vec!["UPDATE deployments/scale autoscaling/v1"]),
        ("scale to the same", "PATCH", apps("/web/scale"), replicas(0), vec![]),
        ("status", "PATCH", apps("/web/status"), condition.clone(), vec![]),
        ("status with metadata", "PATCH", apps("/web/status"), note.clone(), vec!["UPDATE deployments/status apps/v1"]),
        ("status with other metadata", "PATCH", apps("/web/status"), json!({"metadata": {"annotations": {"note": "y"}}}), vec!["UPDATE deployments/status apps/v1"]),
        ("status with the same metadata", "PATCH", apps("/web/status"), json!({"metadata": {"annotations": {"note": "y"}}, "status": {"observedGeneration": 77}}), vec![]),
        ("a finalizer through status", "PATCH", core("pods/evicted/status"), json!({"metadata": {"labels": {"a": "b"}}}), vec!["UPDATE pods/status v1"]),
        ("a pod's status", "PATCH", core("pods/evicted/status"), condition.clone(), vec![]),
        ("eviction", "POST", core("pods/evicted/eviction"), eviction, vec!["CREATE pods/eviction policy/v1"]),
        ("binding", "POST", core("pods/bound/binding"), binding, vec!["CREATE pods/binding v1"]),
        ("an ephemeral container", "PATCH", core("pods/bound/ephemeralcontainers"), json!({"spec": {"ephemeralContainers": [{"name": "e", "image": "none"}]}}), vec!["UPDATE pods/ephemeralcontainers v1"]),
        ("a token", "POST", core("serviceaccounts/default/token"), json!({"spec": {"audiences": []}}), vec![]),
        ("a namespace", "POST", "/api/v1/namespaces".into(), json!({"metadata": {"name": "other"}}), vec!["CREATE namespaces v1"]),
        ("finalize", "PUT", "/api/v1/namespaces/other/finalize".into(), finalize(&["kubernetes", "example.com/x"]), vec!["UPDATE namespaces/finalize v1"]),
        ("a widget of the watched version", "POST", widget("v2", ""), made("v2", "two"), vec!["CREATE widgets example.com/v2"]),
        ("a widget of another version", "POST", widget("v1", ""), made("v1", "one"), vec!["CREATE widgets example.com/v2"]),
        ("a change in another version", "PATCH", widget("v1", "/one"), labels("1"), vec!["UPDATE widgets example.com/v2"]),
        ("a widget's scale", "PATCH", widget("v2", "/one/scale"), replicas(3), vec!["UPDATE widgets/scale autoscaling/v1"]),
        ("its scale in another version", "PATCH", widget("v1", "/one/scale"), replicas(4), vec!["UPDATE widgets/scale autoscaling/v1"]),
        ("its status", "PATCH", widget("v1", "/one/status"), condition, vec![]),
        ("several at once", "DELETE", widget("v1", ""), Value::Null, vec!["DELETE widgets example.com/v2", "DELETE widgets example.com/v2"]),
    ]
}

#[tokio::test]
async fn every_kind_of_write_to_what_is_mirrored_leads_to_a_call_and_nothing_else() {
    let (cluster, witness, scratch) =
        start("configmaps, pods, serviceaccounts, deployments.apps, widgets.example.com").await;
    // Discovery learns of a new definition a moment after it is established.
    let configuration = eventually(SOON, "the widgets to be served", async || {
        let text = printed(&cluster, &witness, &scratch, "exact");
        Ok(text.contains("widgets/scale").then_some(text))
    })
    .await
    .unwrap();
    apply(&cluster, &configuration).await.unwrap();
    in_effect(&cluster, &witness).await;
    for name in ["evicted", "bound"] {
        let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
        eventually(SOON, "a pod", async || Ok(Some(send(&cluster, "admin", "POST", &pods, &pod(name)).await?)))
            .await
            .unwrap();
    }
    let mut wrong = Vec::new();
    for (number, (what, method, path, body, expected)) in writes().into_iter().enumerate() {
        let user = format!("user-{number}");
        if let Err(error) = send(&cluster, &user, method, &path, &body).await {
            wrong.push(format!("{what}: {error:#}"));
        }
        let heard = calls(&witness, &user);
        if heard != expected {
            wrong.push(format!("{what}: {heard:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    let maps = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    send(&cluster, OWN, "POST", &maps, &json!({"metadata": {"name": "own"}})).await.unwrap();
    send(&cluster, &format!("{OWN}2"), "POST", &maps, &json!({"metadata": {"name": "own2"}})).await.unwrap();
    assert_eq!((calls(&witness, OWN).len(), calls(&witness, &format!("{OWN}2")).len()), (0, 1));
    let deletions = || calls(&witness, "system:serviceaccount:kube-system:namespace-controller");
    send(&cluster, "alice", "DELETE", "/api/v1/namespaces/other", &Value::Null).await.unwrap();
    eventually(SOON, "the namespace's contents to go", async || {
        let heard = deletions();
        ensure!(heard.iter().any(|call| call == "UPDATE namespaces/finalize v1"), "{heard:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
    assert_eq!(calls(&witness, "alice"), ["DELETE namespaces v1"]);
}

async fn webhooks(cluster: &ControlPlane, configuration: &str) -> Result<Vec<Value>> {
    let path = format!("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{configuration}");
    let text = send(cluster, "admin", "GET", &path, &Value::Null).await?;
    let mut found: Value = serde_json::from_str(&text)?;
    Ok(serde_json::from_value(found["webhooks"].take()).unwrap_or_default())
}

const REQUESTS: &str = "gitopsreverser_webhook_request_duration_seconds_count";
const CONFIGURATION: &str = "gitops-reverser";

#[tokio::test]
async fn nothing_mirrored_means_no_call_and_a_new_rule_is_in_effect_at_once_and_defended() {
    let cluster = ControlPlane::start().await.unwrap();
    let scratch = ScratchDir::new().unwrap();
    let mapping = scratch.path().join("authors.yaml");
    std::fs::write(&mapping, "authors: [{user: bob, name: Bob B, email: bob@example.com}]").unwrap();
    let extra = format!("--author-mapping={}", mapping.display());
    let operator = Operator::start(&cluster, &scratch, &[&extra]).await.unwrap();
    eventually(SOON, "the registration", async || {
        Ok(webhooks(&cluster, CONFIGURATION).await?.is_empty().then_some(()))
    })
    .await
    .unwrap();
    let mirror = Mirror::prepare(&cluster, "calls").await.unwrap();
    let maps = format!("/api/v1/namespaces/{}/configmaps", mirror.namespace);
    for number in 0..20 {
        let body = json!({"metadata": {"name": format!("before-{number}")}});
        send(&cluster, "alice", "POST", &maps, &body).await.unwrap();
    }
    assert_eq!(operator.metric(REQUESTS).await.unwrap(), 0.0);

    let began = std::time::Instant::now();
    apply(&cluster, &mirror.configuration(&["configmaps"])).await.unwrap();
    eventually(SOON, "a call", async || {
        send(&cluster, "alice", "POST", &maps, &json!({"metadata": {"generateName": "probe-"}})).await?;
        Ok((operator.metric(REQUESTS).await? > 0.0).then_some(()))
    })
    .await
    .unwrap();
    println!("the first call came {:?} after the rule was applied", began.elapsed());
    mirror.ready(&cluster).await.unwrap();
    send(&cluster, "bob", "POST", &maps, &json!({"metadata": {"name": "web"}})).await.unwrap();
    let log = mirror.commits(&mirror.config_map("web"), 1).await.unwrap();
    assert_eq!((log[0].author_name.as_str(), log[0].author_email.as_str()), ("Bob B", "bob@example.com"));
    std::fs::write(&mapping, "authors: [{user: bob, name: Robert}]").unwrap();
    eventually(SOON, "the new name", async || {
        let name = format!("renamed-{}", began.elapsed().as_millis());
        send(&cluster, "bob", "POST", &maps, &json!({"metadata": {"name": name}})).await?;
        let log = mirror.commits(&mirror.config_map(&name), 1).await?;
        Ok((log[0].author_name == "Robert").then_some(()))
    })
    .await
    .unwrap();
    eventually(SOON, "the counts of the target", async || {
        let path = format!("/apis/configbutler.ai/v1alpha1/namespaces/{}/gittargets/live", mirror.namespace);
        let target: Value = serde_json::from_str(&send(&cluster, "admin", "GET", &path, &Value::Null).await?)?;
        let counts = &target["status"]["attribution"];
        ensure!(counts["exact"].as_i64() >= Some(1), "{counts}");
        Ok(Some(()))
    })
    .await
    .unwrap();
    assert!(operator.metric("gitopsreverser_enrich_hits_total").await.unwrap() >= 1.0);

    let expected = webhooks(&cluster, CONFIGURATION).await.unwrap();
    assert_eq!(expected.len(), 1);
    let path = format!("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{CONFIGURATION}");
    let edit = json!({"webhooks": null});
    for (method, body) in [("PATCH", edit), ("DELETE", Value::Null)] {
        send(&cluster, "mallory", method, &path, &body).await.unwrap();
        eventually(SOON, "the registration to be repaired", async || {
            let found = webhooks(&cluster, CONFIGURATION).await?;
            ensure!(found == expected, "{found:?}");
            Ok(Some(()))
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn rules_of_somebody_else_are_left_alone() {
    let (cluster, witness, scratch) = start("").await;
    let broad = printed(&cluster, &witness, &scratch, "broad");
    apply(&cluster, &broad).await.unwrap();
    in_effect(&cluster, &witness).await;
    let body = json!({"metadata": {"name": "everything"}});
    // Heartbeats first: what they led to would stand before the rest.
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases");
    send(&cluster, "alice", "POST", &leases, &body).await.unwrap();
    send(&cluster, "alice", "POST", &format!("/api/v1/namespaces/{NAMESPACE}/secrets"), &body).await.unwrap();
    assert_eq!(calls(&witness, "alice"), ["CREATE secrets v1"]);

    let before = webhooks(&cluster, CONFIGURATION).await.unwrap();
    let _operator = Operator::start(&cluster, &scratch, &["--webhook-rules=broad"]).await.unwrap();
    let after = eventually(SOON, "the authority", async || {
        let found = webhooks(&cluster, CONFIGURATION).await?;
        ensure!(found[0]["clientConfig"]["caBundle"] != before[0]["clientConfig"]["caBundle"]);
        Ok(Some(found))
    })
    .await
    .unwrap();
    let without_authority = |mut webhooks: Vec<Value>| {
        webhooks[0]["clientConfig"].as_object_mut().unwrap().remove("caBundle");
        webhooks
    };
    assert_eq!(without_authority(after), without_authority(before));
}
