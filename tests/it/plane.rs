//! The watches against a real API server: how many run, what they miss (nothing), and what labels decide.

mod permission;

use crate::support::control_plane::ControlPlane;
use crate::support::git_server::GitServer;
use crate::support::operator::{self, COMMITTER, Mirror, Operator, SOON, apply};
use crate::support::poll::eventually;
use crate::support::remote_repo::{CommitInfo, RemoteRepo};
use crate::support::scratch::ScratchDir;
use anyhow::{Context as _, Result, ensure};
use hyper::http::Request;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn mk_map(name: &str, value: &str, metadata: Value) -> Result<ConfigMap> {
    let mut map = json!({"metadata": metadata, "data": {"value": value}});
    map["metadata"]["name"] = json!(name);
    Ok(serde_json::from_value(map)?)
}

async fn merge(maps: &Api<ConfigMap>, name: &str, patch: Value) -> Result<()> {
    maps.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

async fn maps_of(cluster: &ControlPlane, user: &str, namespace: &str) -> Result<Api<ConfigMap>> {
    Ok(Api::namespaced(cluster.client_as(user).await?, namespace))
}

fn shown(commits: &[CommitInfo]) -> Vec<(char, &str)> {
    let change = |commit: &CommitInfo| commit.changes.first().map_or('?', |(what, _)| *what);
    commits.iter().map(|commit| (change(commit), commit.author_name.as_str())).collect()
}

/// How many watches of config maps the API server serves: in all namespaces, and in single ones.
async fn watches(client: &Client) -> Result<(u64, u64)> {
    let text = client.request_text(Request::get("/metrics").body(Vec::new())?).await?;
    let of_maps = |line: &&str| {
        line.starts_with("apiserver_longrunning_requests{")
            && line.contains(r#"verb="WATCH""#)
            && line.contains(r#"resource="configmaps""#)
    };
    let mut counts = (0, 0);
    for line in text.lines().filter(of_maps) {
        let count = line.rsplit(' ').next().unwrap_or_default().parse::<f64>()? as u64;
        if line.contains(r#"scope="namespace""#) {
            counts.1 += count;
        } else {
            counts.0 += count;
        }
    }
    Ok(counts)
}

/// How many calls of webhooks the API server has given up.
async fn failed_open(client: &Client) -> Result<u64> {
    let text = client.request_text(Request::get("/metrics").body(Vec::new())?).await?;
    let lines = text.lines().filter(|line| line.starts_with("apiserver_admission_webhook_fail_open_count"));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64)
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_come_and_go_with_their_labels() -> Result<()> {
    let cluster = operator::shared().await?;
    let mirror = Mirror::prepare(cluster, "labels").await?;
    let selecting = "sinkRef: {name: live}\n  objectSelector: {matchLabels: {tier: web}}";
    apply(cluster, &mirror.configuration(&["configmaps"]).replace("sinkRef: {name: live}", selecting)).await?;
    mirror.ready(cluster).await?;
    let alice = maps_of(cluster, "alice", &mirror.namespace).await?;
    let bob = maps_of(cluster, "bob", &mirror.namespace).await?;
    alice.create(&PostParams::default(), &mk_map("quiet", "x", json!({}))?).await?;
    alice.create(&PostParams::default(), &mk_map("moving", "x", json!({"labels": {"tier": "db"}}))?).await?;
    merge(&bob, "moving", json!({"metadata": {"labels": {"tier": "web"}}})).await?;
    let file = mirror.config_map("moving");
    mirror.commits(&file, 1).await?;
    merge(&alice, "moving", json!({"metadata": {"labels": {"tier": null}}})).await?;
    mirror.commits(&file, 2).await?;
    merge(&bob, "moving", json!({"data": {"value": "unseen"}, "metadata": {"labels": {"tier": "web"}}})).await?;
    mirror.commits(&file, 3).await?;
    alice.delete("moving", &DeleteParams::default()).await?;
    let commits = mirror.commits(&file, 4).await?;
    assert_eq!(shown(&commits), [('A', "bob"), ('D', "alice"), ('A', "bob"), ('D', "alice")]);
    assert!(mirror.history(&mirror.config_map("quiet")).is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_a_target_leaves_out_change_nothing() -> Result<()> {
    let cluster = operator::shared().await?;
    let mirror = Mirror::prepare(cluster, "fields").await?;
    let ignoring = "baseFolder: live\n  ignoreFields:\n  - {group: \"\", resource: configmaps, jsonPointers: [/data/a~1b, /metadata/annotations/example.com~1checked]}";
    apply(cluster, &mirror.configuration(&["configmaps"]).replace("baseFolder: live", ignoring)).await?;
    mirror.ready(cluster).await?;
    let alice = maps_of(cluster, "alice", &mirror.namespace).await?;
    let annotated = json!({"annotations": {"example.com/checked": "1"}});
    alice.create(&PostParams::default(), &mk_map("a", "1", annotated)?).await?;
    let file = mirror.config_map("a");
    mirror.commits(&file, 1).await?;
    for turn in 0..3 {
        let checked = json!({"annotations": {"example.com/checked": format!("{turn}")}});
        merge(&alice, "a", json!({"data": {"a.b": null}, "metadata": checked})).await?;
    }
    merge(&alice, "a", json!({"data": {"value": "2"}})).await?;
    let commits = mirror.commits(&file, 2).await?;
    assert_eq!(shown(&commits), [('A', "alice"), ('M', "alice")]);
    let text = mirror.repo.read("main", &file).context("no file")?;
    assert!(text.contains("value: \"2\"") && !text.contains("checked") && !text.contains("annotations"), "{text}");
    Ok(())
}

/// A repository whose branch several rules write.
struct Platform {
    server: GitServer,
    repo: RemoteRepo,
    namespace: String,
}

impl Platform {
    async fn start(cluster: &ControlPlane) -> Result<Self> {
        let server = GitServer::start().await?;
        let repo = server.create_repo("platform");
        let namespace = cluster.namespace("platform").await?;
        let platform = Self { server, repo, namespace };
        platform.provider(cluster, &platform.namespace).await?;
        Ok(platform)
    }

    /// The provider and its Secret, in `namespace`.
    async fn provider(&self, cluster: &ControlPlane, namespace: &str) -> Result<()> {
        let rest = "push: {interval: 200ms}\n  accessPolicy: {allowClusterRules: true}";
        let manifests = operator::provider(namespace, &self.server, &self.repo, rest);
        apply(cluster, &manifests).await
    }

    /// A target in `namespace` that writes the folder of its name.
    async fn target(&self, cluster: &ControlPlane, namespace: &str, name: &str) -> Result<()> {
        let manifest = format!(
            r"
apiVersion: configbutler.ai/v1alpha1
kind: GitTarget
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  providerRef: {{name: git}}
  branch: main
  baseFolder: {namespace}-{name}
"
        );
        apply(cluster, &manifest).await
    }

    async fn rule(&self, cluster: &ControlPlane, namespace: &str, name: &str, target: &str, spec: &str) -> Result<()> {
        let manifest = format!(
            r"
apiVersion: configbutler.ai/v1alpha1
kind: WatchRule
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  sinkRef: {{name: {target}}}
  {spec}
"
        );
        apply(cluster, &manifest).await
    }

    fn file(folder: &str, namespace: &str, name: &str) -> String {
        format!("{folder}/core/v1/configmaps/{namespace}/{name}.yaml")
    }

    fn history(&self, path: &str) -> Vec<CommitInfo> {
        let touches = |commit: &CommitInfo| commit.changes.iter().any(|(_, changed)| changed == path);
        self.repo.log("main").into_iter().filter(touches).collect()
    }

    async fn has(&self, path: &str) -> Result<()> {
        let what = format!("{path} to be pushed");
        eventually(SOON, &what, async || Ok(self.repo.read("main", path).map(|_| ()))).await
    }

    async fn reads(&self, path: &str, value: &str) -> Result<()> {
        let what = format!("{path} to hold {value}");
        eventually(SOON, &what, async || {
            Ok(self.repo.read("main", path).filter(|text| text.contains(&format!("value: {value}\n"))).map(|_| ()))
        })
        .await
    }
}

async fn watched(client: &Client, expected: (u64, u64)) -> Result<()> {
    eventually(SOON, &format!("{expected:?} watches"), async || {
        let seen = watches(client).await?;
        ensure!(seen == expected, "{seen:?}");
        Ok(Some(()))
    })
    .await
}

/// Writes values to the objects `names` in turn, as `user`, until it is told to stop; returns how many versions each has.
async fn write_until(
    maps: Api<ConfigMap>,
    names: Vec<String>,
    mut stop: tokio::sync::oneshot::Receiver<()>,
) -> Result<u32> {
    let mut round = 0;
    while stop.try_recv().is_err() {
        round += 1;
        for name in &names {
            merge(&maps, name, json!({"data": {"value": format!("v{round}")}})).await?;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Ok(round)
}

/// Starts a writer of `count` objects in `namespace`; what it returns stops it.
async fn start_writing(
    cluster: &ControlPlane,
    user: &str,
    namespace: &str,
    count: usize,
) -> Result<(tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<Result<u32>>)> {
    let maps = maps_of(cluster, user, namespace).await?;
    let names: Vec<String> = (0..count).map(|number| format!("w{number}")).collect();
    for name in &names {
        maps.create(&PostParams::default(), &mk_map(name, "v0", json!({}))?).await?;
    }
    let (stop, stopped) = tokio::sync::oneshot::channel();
    Ok((stop, tokio::spawn(write_until(maps, names, stopped))))
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_are_few_and_lose_nothing() -> Result<()> {
    let cluster = ControlPlane::start().await?;
    let work_dir = ScratchDir::new()?;
    let flags = ["--namespaced-watch-limit=2"];
    let operator = Operator::start(&cluster, &work_dir, &flags).await?;
    let client = cluster.client().await?;
    // Those of the control plane itself.
    let base = watches(&client).await?;
    let expect = |all: u64, single: u64| (base.0 + all, base.1 + single);
    let platform = Platform::start(&cluster).await?;
    let mut namespaces = Vec::new();
    for _ in 0..3 {
        let namespace = cluster.namespace("team").await?;
        platform.provider(&cluster, &namespace).await?;
        platform.target(&cluster, &namespace, "live").await?;
        namespaces.push(namespace);
    }
    let spec = "rules: [{resources: [configmaps]}]";
    let folder = |namespace: &str| format!("{namespace}-live");
    for (count, namespace) in (1..).zip(&namespaces[..2]) {
        platform.rule(&cluster, namespace, "maps", "live", spec).await?;
        watched(&client, expect(0, count)).await?;
    }
    let (stop, writer) = start_writing(&cluster, "alice", &namespaces[0], 5).await?;
    platform.has(&Platform::file(&folder(&namespaces[0]), &namespaces[0], "w4")).await?;

    // One namespace more than are watched one by one, and back, while objects change.
    platform.rule(&cluster, &namespaces[2], "maps", "live", spec).await?;
    watched(&client, expect(1, 0)).await?;
    let rules: Api<kube::core::DynamicObject> = Api::namespaced_with(
        client.clone(),
        &namespaces[2],
        &kube::core::ApiResource {
            group: "configbutler.ai".into(),
            version: "v1alpha1".into(),
            api_version: "configbutler.ai/v1alpha1".into(),
            kind: "WatchRule".into(),
            plural: "watchrules".into(),
        },
    );
    rules.delete("maps", &DeleteParams::default()).await?;
    watched(&client, expect(0, 2)).await?;

    // A rule of another target is edited 50 times in a row.
    platform.target(&cluster, &namespaces[0], "edited").await?;
    for edit in 0..50 {
        let spec = match edit % 5 {
            0 => "rules: [{resources: [configmaps], operations: [CREATE]}]",
            1 => "objectSelector: {matchLabels: {tier: web}}\n  rules: [{resources: [configmaps]}]",
            2 => "rules: [{resources: [configmaps, secrets]}]",
            3 => {
                "objectSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}\n  rules: [{resources: [configmaps]}]"
            }
            _ => "rules: [{resources: [configmaps]}]",
        };
        platform.rule(&cluster, &namespaces[0], "edited", "edited", spec).await?;
    }
    ensure!(stop.send(()).is_ok(), "the writer has ended");
    let rounds = writer.await??;
    ensure!(rounds > 10, "only {rounds} rounds");
    let value = format!("v{rounds}");
    let mut without_author = 0;
    for name in (0..5).map(|number| format!("w{number}")) {
        let path = Platform::file(&folder(&namespaces[0]), &namespaces[0], &name);
        platform.reads(&path, &value).await?;
        // Each version is one commit of who made it: nothing was lost, merged, doubled or taken away.
        let history = platform.history(&path);
        let (known, unknown): (Vec<_>, Vec<_>) = history.iter().partition(|commit| commit.author_name == "alice");
        let nobody = unknown.iter().filter(|commit| commit.author_name == COMMITTER).count();
        ensure!(known.len() + nobody == history.len(), "{name}: {unknown:#?}");
        without_author += nobody as u64;
        ensure!(history.len() == rounds as usize + 1, "{} commits of {rounds} rounds of {name}", history.len());
        let edited = Platform::file(&format!("{}-edited", namespaces[0]), &namespaces[0], &name);
        platform.reads(&edited, &value).await?;
        let removed: Vec<_> = platform
            .history(&edited)
            .into_iter()
            .filter(|commit| commit.changes.iter().any(|(what, _)| *what == 'D'))
            .collect();
        ensure!(removed.is_empty(), "{name} was removed: {removed:#?}");
    }
    // A busy API server may give up on the webhook, and then nobody knows.
    let given_up = failed_open(&client).await?;
    ensure!(without_author <= given_up, "{without_author} changes without author, {given_up} calls given up");
    watched(&client, expect(0, 2)).await?;
    let log = operator.log();
    ensure!(!log.contains("it is asked for in pages"), "{log}");
    operator.terminate().await?;
    watched(&client, base).await?;
    ignored_objects_outlive_a_restart(&cluster, &work_dir, &platform, &namespaces[1]).await
}

/// What asks to be left alone is, across a restart too, until it goes.
async fn ignored_objects_outlive_a_restart(
    cluster: &ControlPlane,
    work_dir: &ScratchDir,
    platform: &Platform,
    namespace: &str,
) -> Result<()> {
    let operator = Operator::start_again(cluster, work_dir, &[], &[])?;
    let alice = maps_of(cluster, "alice", namespace).await?;
    let path = |name: &str| Platform::file(&format!("{namespace}-live"), namespace, name);
    for name in ["frozen", "dying", "witness"] {
        alice.create(&PostParams::default(), &mk_map(name, "v1", json!({}))?).await?;
        platform.reads(&path(name), "v1").await?;
    }
    let ignoring = [
        ("frozen", json!({"labels": {"configbutler.ai/ignore": ""}})),
        ("dying", json!({"annotations": {"configbutler.ai/ignore": "x"}})),
    ];
    for (name, metadata) in ignoring {
        merge(&alice, name, json!({"metadata": metadata, "data": {"value": "v2"}})).await?;
        merge(&alice, name, json!({"data": {"value": "v3"}})).await?;
    }
    merge(&alice, "witness", json!({"data": {"value": "v2"}})).await?;
    platform.reads(&path("witness"), "v2").await?;
    operator.terminate().await?;
    let operator = Operator::start_again(cluster, work_dir, &[], &[])?;
    alice.create(&PostParams::default(), &mk_map("orphan", "v1", json!({}))?).await?;
    platform.reads(&path("orphan"), "v1").await?;
    for name in ["frozen", "dying"] {
        platform.reads(&path(name), "v1").await?;
        assert_eq!(platform.history(&path(name)).len(), 1, "{name}");
    }
    merge(&alice, "frozen", json!({"metadata": {"labels": {"configbutler.ai/ignore": null}}})).await?;
    platform.reads(&path("frozen"), "v3").await?;
    let authors: BTreeSet<String> =
        platform.history(&path("frozen"))[1..].iter().map(|one| one.author_name.clone()).collect();
    assert_eq!(authors, [COMMITTER.to_owned()].into(), "others may have had a part in what it has become");
    alice.delete("dying", &DeleteParams::default()).await?;
    eventually(SOON, "the file to go", async || Ok(platform.repo.read("main", &path("dying")).is_none().then_some(())))
        .await?;
    operator.terminate().await
}
