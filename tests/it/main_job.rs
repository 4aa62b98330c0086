//! The main job, with every part real: an API server, the operator's process, a smart-HTTP remote.

use crate::support::control_plane::ControlPlane;
use crate::support::denier::Denier;
use crate::support::git_server::Fault;
use crate::support::operator::{COMMITTER, Mirror, Operator, SOON, apply, shared};
use crate::support::poll::eventually;
use crate::support::remote_repo::CommitInfo;
use crate::support::scratch::ScratchDir;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

async fn config_maps(cluster: &ControlPlane, user: &str, mirror: &Mirror) -> Api<ConfigMap> {
    Api::namespaced(cluster.client_as(user).await.unwrap(), &mirror.namespace)
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"key": value}})).unwrap()
}

async fn create(cluster: &ControlPlane, user: &str, mirror: &Mirror, name: &str, value: &str) {
    let api = config_maps(cluster, user, mirror).await;
    api.create(&PostParams::default(), &config_map(name, value)).await.unwrap();
}

async fn update(cluster: &ControlPlane, user: &str, mirror: &Mirror, name: &str, value: &str) {
    let api = config_maps(cluster, user, mirror).await;
    api.patch(name, &PatchParams::default(), &Patch::Merge(json!({"data": {"key": value}}))).await.unwrap();
}

async fn delete(cluster: &ControlPlane, user: &str, mirror: &Mirror, name: &str) {
    let api = config_maps(cluster, user, mirror).await;
    api.delete(name, &DeleteParams::default()).await.unwrap();
}

fn trailer<'a>(commit: &'a CommitInfo, key: &str) -> Option<&'a str> {
    let key = format!("X-ConfigButler-{key}: ");
    commit.body.lines().find_map(|line| line.strip_prefix(&key))
}

#[tokio::test]
async fn every_change_is_one_commit_by_its_user() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::start(cluster, "main-job", &["configmaps"]).await.unwrap();
    create(cluster, "alice", &mirror, "web", "1").await;
    update(cluster, "bob@example.com", &mirror, "web", "2").await;
    let path = mirror.config_map("web");
    mirror.commits(&path, 2).await.unwrap();
    let expected = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\n  namespace: {}\ndata:\n  key: \"2\"\n",
        mirror.namespace
    );
    assert_eq!(mirror.repo.read("main", &path), Some(expected));
    delete(cluster, "carol", &mirror, "web").await;
    let log = mirror.commits(&path, 3).await.unwrap();
    assert_eq!(mirror.repo.read("main", &path), None);

    let expected = [
        ("CREATE", "alice", "alice@users.noreply.invalid", "exact"),
        ("UPDATE", "bob@example.com", "bob-example.com-5ff860bf@users.noreply.invalid", "exact"),
        ("DELETE", "carol", "carol@users.noreply.invalid", "version"),
    ];
    for (commit, (operation, user, email, tier)) in log.iter().zip(expected) {
        let subject = format!("[{operation}] ConfigMap/web in ns/{} by user/{user}", mirror.namespace);
        assert_eq!(commit.subject, subject);
        assert_eq!((commit.author_name.as_str(), commit.author_email.as_str()), (user, email));
        assert_eq!(commit.committer_name, COMMITTER);
        assert_eq!(trailer(commit, "User"), Some(user));
        assert_eq!(trailer(commit, "Operation"), Some(operation));
        assert_eq!(trailer(commit, "Attribution"), Some(tier));
        assert_eq!(trailer(commit, "Resource"), Some(format!("v1/configmaps {}/web", mirror.namespace).as_str()));
        for key in ["UID", "ResourceVersion", "ClusterUID", "ControllerNS", "ControllerName", "InstanceID"] {
            assert!(trailer(commit, key).is_some_and(|value| !value.is_empty()), "{key}: {commit:#?}");
        }
    }
}

#[tokio::test]
async fn what_was_there_before_is_seeded_by_the_committer() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::prepare(cluster, "seed").await.unwrap();
    create(cluster, "alice", &mirror, "early", "1").await;
    apply(cluster, &mirror.configuration(&["configmaps"])).await.unwrap();
    let log = mirror.commits(&mirror.config_map("early"), 1).await.unwrap();
    assert_eq!(log[0].subject, "[RECONCILE] 1 files written, 0 deleted");
    assert_eq!(log[0].author_name, COMMITTER);
}

#[tokio::test]
async fn status_writes_no_ops_and_dry_runs_make_no_commit() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::start(cluster, "quiet", &["configmaps", "deployments"]).await.unwrap();
    create(cluster, "alice", &mirror, "web", "1").await;
    update(cluster, "bob", &mirror, "web", "1").await;
    let maps = config_maps(cluster, "carol", &mirror).await;
    let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
    maps.patch("web", &dry_run, &Patch::Merge(json!({"data": {"key": "dry"}}))).await.unwrap();

    let deployments: Api<Deployment> = Api::namespaced(cluster.client_as("alice").await.unwrap(), &mirror.namespace);
    let container = json!({"name": "c", "image": "example.invalid/c"});
    let deployment = json!({"metadata": {"name": "web"}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    }});
    deployments.create(&PostParams::default(), &serde_json::from_value(deployment).unwrap()).await.unwrap();
    // The deployment controller writes status, and an annotation that is no intent, by itself.
    eventually(SOON, "the controller to write a status", async || {
        let status = deployments.get("web").await?.status.unwrap_or_default();
        Ok((status.observed_generation == Some(1) && status.conditions.is_some()).then_some(()))
    })
    .await
    .unwrap();
    for number in 0..20 {
        let status = json!({"status": {"collisionCount": number}});
        deployments.patch_status("web", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }
    // Whatever those writes cause is there before this one.
    let change = Patch::Merge(json!({"metadata": {"labels": {"last": "one"}}}));
    deployments.patch("web", &PatchParams::default(), &change).await.unwrap();
    update(cluster, "dave", &mirror, "web", "2").await;
    let path = format!("live/apps/v1/deployments/{}/web.yaml", mirror.namespace);
    let log = mirror.commits(&path, 2).await.unwrap();
    assert_eq!(log[1].author_name, "alice");
    let log = mirror.commits(&mirror.config_map("web"), 2).await.unwrap();
    assert_eq!(log[1].author_name, "dave");
}

#[tokio::test]
async fn the_secret_that_opens_the_repository_is_not_mirrored() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::start(cluster, "secrets", &["secrets"]).await.unwrap();
    let secret = |name| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {}}}\nstringData: {{a: b}}\n",
            mirror.namespace
        )
    };
    apply(cluster, &secret("other")).await.unwrap();
    let path = |name| format!("live/core/v1/secrets/{}/{name}.yaml", mirror.namespace);
    mirror.commits(&path("other"), 1).await.unwrap();
    assert!(mirror.history(&path("git")).is_empty());
}

#[tokio::test]
async fn who_was_denied_is_never_an_author() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::start(cluster, "denied", &["configmaps"]).await.unwrap();
    create(cluster, "alice", &mirror, "web", "0").await;
    let denier = Denier::start(cluster, &mirror.namespace, "mallory").await.unwrap();
    let path = mirror.config_map("web");
    let denied = config_maps(cluster, "mallory", &mirror).await;
    let attempt = async |value: &str| {
        let patch = Patch::Merge(json!({"data": {"key": value}}));
        denied.patch("web", &PatchParams::default(), &patch).await.is_err()
    };
    eventually(SOON, "the denier to be called", async || {
        Ok((attempt("denied").await && denier.denied() > 0).then_some(()))
    })
    .await
    .unwrap();
    assert!(denied.delete("web", &DeleteParams::default()).await.is_err());
    // Another content on the version that mallory was denied to change, then the very content that was denied.
    for value in ["1", "2"] {
        assert!(attempt("2").await);
        update(cluster, "bob", &mirror, "web", value).await;
    }
    let log = mirror.commits(&path, 3).await.unwrap();
    let authors: Vec<&str> = log.iter().map(|commit| commit.author_name.as_str()).collect();
    assert_eq!(authors[..2], ["alice", "bob"], "{log:#?}");
    assert!(["bob", COMMITTER].contains(&authors[2]), "{log:#?}");
    assert!(attempt("3").await && denied.create(&PostParams::default(), &config_map("new", "1")).await.is_err());
    delete(cluster, "carol", &mirror, "web").await;
    let log = mirror.commits(&path, 4).await.unwrap();
    assert_eq!(log[3].author_name, "carol");
    assert!(mirror.history(&mirror.config_map("new")).is_empty());
    assert!(mirror.repo.log("main").iter().all(|commit| commit.author_name != "mallory"));
}

#[tokio::test]
async fn a_foreign_commit_is_kept_and_ours_lands_on_top() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::start(cluster, "foreign", &["configmaps"]).await.unwrap();
    create(cluster, "alice", &mirror, "web", "1").await;
    let path = mirror.config_map("web");
    mirror.commits(&path, 1).await.unwrap();
    let foreign = mirror.repo.commit_file("main", "README.md", "hello\n", "Erin <erin@example.com>");
    update(cluster, "bob", &mirror, "web", "2").await;
    let log = mirror.commits(&path, 2).await.unwrap();
    assert_eq!(log[1].author_name, "bob");
    assert_eq!(mirror.repo.read("main", "README.md").as_deref(), Some("hello\n"));
    let oids: Vec<String> = mirror.repo.log("main").into_iter().map(|commit| commit.oid).collect();
    assert_eq!(oids[oids.len() - 2..], [foreign, log[1].oid.clone()]);
}

#[tokio::test]
async fn changes_made_while_the_remote_is_down_arrive_afterwards() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::start(cluster, "outage", &["configmaps"]).await.unwrap();
    create(cluster, "alice", &mirror, "web", "0").await;
    let path = mirror.config_map("web");
    mirror.commits(&path, 1).await.unwrap();
    mirror.server.set_fault(Some(Fault::Down));
    for number in 1..=5 {
        update(cluster, "bob", &mirror, "web", &number.to_string()).await;
    }
    delete(cluster, "carol", &mirror, "web").await;
    let mut wait = cluster.kubectl();
    wait.args(["wait", "--namespace", &mirror.namespace, "gittarget/live", "--timeout=60s"]);
    let output = wait.arg("--for=condition=Ready=false").output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    mirror.server.set_fault(None);
    let log = mirror.commits(&path, 7).await.unwrap();
    let authors: Vec<&str> = log.iter().map(|commit| commit.author_name.as_str()).collect();
    assert_eq!(authors, ["alice", "bob", "bob", "bob", "bob", "bob", "carol"]);
    mirror.ready(cluster).await.unwrap();
}

#[tokio::test]
async fn a_cluster_rule_mirrors_cluster_scoped_objects_and_all_namespaces() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::prepare(cluster, "platform").await.unwrap();
    let namespace = &mirror.namespace;
    let sink = format!("sinkRef: {{name: live, namespace: {namespace}}}");
    let rules = "[{scope: Cluster, resources: [priorityclasses]}, {scope: Namespaced, resources: [limitranges]}]";
    let rule = format!(
        "\n---\napiVersion: configbutler.ai/v1alpha1\nkind: ClusterWatchRule\nmetadata: {{name: {namespace}}}\nspec:\n  {sink}\n  rules: {rules}\n"
    );
    apply(cluster, &(mirror.configuration(&["resourcequotas"]) + &rule)).await.unwrap();
    mirror.ready(cluster).await.unwrap();
    let other = cluster.namespace("elsewhere").await.unwrap();
    apply(
        cluster,
        &format!(
            "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {{name: {namespace}}}\nvalue: 7\n---\napiVersion: v1\nkind: LimitRange\nmetadata: {{name: small, namespace: {other}}}\nspec: {{limits: []}}\n"
        ),
    )
    .await
    .unwrap();
    let class = format!("live/scheduling.k8s.io/v1/priorityclasses/{namespace}.yaml");
    mirror.commits(&class, 1).await.unwrap();
    assert!(mirror.repo.read("main", &class).unwrap().contains("value: 7\n"));
    mirror.commits(&format!("live/core/v1/limitranges/{other}/small.yaml"), 1).await.unwrap();
}

/// A control plane, an operator and a mirror of its own: for tests that stop the operator.
async fn alone(extra: &[&str]) -> (ControlPlane, ScratchDir, Operator, Mirror) {
    let cluster = ControlPlane::start().await.unwrap();
    let work_dir = ScratchDir::new().unwrap();
    let operator = Operator::start(&cluster, &work_dir, extra).await.unwrap();
    let mirror = Mirror::start(&cluster, "alone", &["configmaps"]).await.unwrap();
    (cluster, work_dir, operator, mirror)
}

#[tokio::test]
async fn a_restart_changes_nothing_but_removes_what_went_meanwhile() {
    let (cluster, work_dir, operator, mirror) = alone(&[]).await;
    for name in ["stays", "goes"] {
        create(&cluster, "alice", &mirror, name, "1").await;
        mirror.commits(&mirror.config_map(name), 1).await.unwrap();
    }
    operator.terminate().await.unwrap();
    let head = mirror.repo.head("main");

    let operator = Operator::start(&cluster, &work_dir, &[]).await.unwrap();
    eventually(SOON, "the initial list", async || Ok(operator.log().contains("List is complete").then_some(())))
        .await
        .unwrap();
    update(&cluster, "bob", &mirror, "stays", "2").await;
    mirror.commits(&mirror.config_map("stays"), 2).await.unwrap();
    let first = mirror.repo.log("main").into_iter().skip_while(|commit| Some(&commit.oid) != head.as_ref()).nth(1);
    let first = first.unwrap();
    assert!(first.subject.starts_with("[UPDATE] ConfigMap/stays"), "{first:#?}");
    operator.terminate().await.unwrap();

    delete(&cluster, "carol", &mirror, "goes").await;
    let _operator = Operator::start(&cluster, &work_dir, &[]).await.unwrap();
    let log = mirror.commits(&mirror.config_map("goes"), 2).await.unwrap();
    assert_eq!(log[1].author_name, COMMITTER);
    assert_eq!(log[1].subject, "[RECONCILE] 0 files written, 1 deleted");
}

#[tokio::test]
async fn leaving_on_sigterm_pushes_what_is_queued() {
    let (cluster, _work_dir, operator, mirror) = alone(&["--push-min-spacing=60s"]).await;
    create(&cluster, "alice", &mirror, "web", "0").await;
    for number in 1..=30 {
        update(&cluster, "bob", &mirror, "web", &number.to_string()).await;
    }
    eventually(SOON, "all changes to be seen", async || {
        Ok((operator.log().matches("by user/bob").count() == 30).then_some(()))
    })
    .await
    .unwrap();
    assert!(mirror.history(&mirror.config_map("web")).len() < 31, "nothing is queued, so the test shows nothing");
    operator.terminate().await.unwrap();
    assert_eq!(mirror.history(&mirror.config_map("web")).len(), 31);
}

#[tokio::test]
async fn an_object_that_no_file_can_hold_is_reported_and_holds_up_nothing() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::prepare(cluster, "odd").await.unwrap();
    let name = format!("odds.{}.example.com", mirror.namespace);
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
        "spec": {
            "group": format!("{}.example.com", mirror.namespace), "scope": "Namespaced",
            "names": {"plural": "odds", "singular": "odd", "kind": "Odd"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true
            }}}]
        }
    });
    apply(cluster, &definition.to_string()).await.unwrap();
    let configuration = mirror.configuration(&["configmaps", &name]);
    apply(cluster, &configuration).await.unwrap();
    mirror.ready(cluster).await.unwrap();
    let odd = |object: &str, depth: usize| {
        let nested = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        format!(
            r#"{{"apiVersion":"{0}.example.com/v1","kind":"Odd","metadata":{{"name":"{object}","namespace":"{0}"}},"a":{nested}}}"#,
            mirror.namespace
        )
    };
    eventually(SOON, "the odd object to be accepted", async || Ok(Some(apply(cluster, &odd("deep", 300)).await?)))
        .await
        .unwrap();
    apply(cluster, &odd("flat", 3)).await.unwrap();
    let file = |object| format!("live/{0}.example.com/v1/odds/{0}/{object}.yaml", mirror.namespace);
    mirror.commits(&file("flat"), 1).await.unwrap();
    eventually(SOON, "an event on the target", async || {
        let mut get = cluster.kubectl();
        get.args(["get", "events", "--namespace", &mirror.namespace, "--field-selector=reason=ObjectNotWritten"]);
        let said = String::from_utf8(get.output().await?.stdout)?;
        anyhow::ensure!(said.contains("gittarget/live") && said.contains("/deep is not written: "), "{said}");
        Ok(Some(()))
    })
    .await
    .unwrap();
    assert!(mirror.history(&file("deep")).is_empty());
}
