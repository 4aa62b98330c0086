//! Many users write the same objects as fast as the API server takes it, and nobody is named for what another did.
//!
//! Each write carries a number of its own into the object, so that the files say whose they are; deletions are known by
//! their answers. `scripts/storm` runs it at full length.

use crate::support::control_plane::ControlPlane;
use crate::support::denier::{Denier, Denies};
use crate::support::operator::{COMMITTER, Mirror, Operator, SOON, apply};
use crate::support::poll::eventually;
use crate::support::remote_repo::{CommitInfo, RemoteRepo, git_command};
use crate::support::scratch::ScratchDir;
use anyhow::ensure;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Write as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// How much is done. The environment may say more.
#[derive(Clone, Copy)]
struct Size {
    users: usize,
    objects: usize,
    operations: usize,
}

fn size() -> Size {
    let number = |key: &str, short: usize| std::env::var(key).ok().and_then(|text| text.parse().ok()).unwrap_or(short);
    Size {
        users: number("STORM_USERS", 10),
        objects: number("STORM_OBJECTS", 40),
        operations: number("STORM_OPERATIONS", 2_000),
    }
}

/// What really happened, as far as answers tell.
#[derive(Default)]
struct Truth {
    /// By number of the operation.
    asked_by: Vec<usize>,
    /// By uid: versions, and who was answered with them.
    answered: HashMap<String, BTreeMap<u64, usize>>,
    /// By uid.
    deleted_by: HashMap<String, usize>,
    /// By name of the object: who asked for its end.
    deletions: HashMap<String, BTreeSet<usize>>,
}

/// One run.
struct Storm {
    size: Size,
    mirror: Mirror,
    kinds: [ApiResource; 2],
    truth: Mutex<Truth>,
    done: AtomicUsize,
}

fn user(number: usize) -> String {
    format!("user-{number:02}")
}

/// Has a place for every kind of number, and `/scale`.
fn definition(namespace: &str) -> Value {
    let group = format!("{namespace}.example.com");
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("pools.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "pools", "singular": "pool", "kind": "Pool"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                "subresources": {"scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}}}]}
    })
}

impl Storm {
    async fn prepare(cluster: &ControlPlane, size: Size) -> Self {
        let mirror = Mirror::prepare(cluster, "storm").await.unwrap();
        let namespace = &mirror.namespace;
        apply(cluster, &definition(namespace).to_string()).await.unwrap();
        let group = format!("{namespace}.example.com");
        let pools = format!("pools.{group}");
        let waited = cluster.kubectl().args(["wait", "--for=condition=Established", "crd", &pools]).output().await;
        assert!(waited.unwrap().status.success());
        apply(cluster, &mirror.configuration(&["configmaps", &pools])).await.unwrap();
        mirror.ready(cluster).await.unwrap();
        let resources = [("", "configmaps"), (group.as_str(), "pools"), (group.as_str(), "pools/scale")];
        Denier::start_for(cluster, namespace, &resources, Denies::Percent(5)).await.unwrap();
        let kinds = [
            ApiResource {
                group: String::new(),
                version: "v1".into(),
                api_version: "v1".into(),
                kind: "ConfigMap".into(),
                plural: "configmaps".into(),
            },
            ApiResource {
                api_version: format!("{group}/v1"),
                group,
                version: "v1".into(),
                kind: "Pool".into(),
                plural: "pools".into(),
            },
        ];
        Self { size, mirror, kinds, truth: Mutex::default(), done: AtomicUsize::new(0) }
    }

    /// One user does his share.
    async fn write(&self, client: kube::Client, me: usize) {
        let apis = self.kinds.each_ref().map(|kind| Api::namespaced_with(client.clone(), &self.mirror.namespace, kind));
        while self.done.fetch_add(1, Ordering::Relaxed) < self.size.operations {
            let object = fastrand::usize(..self.size.objects);
            let name = format!("object-{object}");
            // An operation that fails was denied, or too late, or both.
            let _failed = self.operate(&apis[object % 2], object % 2 == 1, &name, me).await;
        }
    }

    fn number(&self, me: usize) -> usize {
        let mut truth = self.truth.lock().unwrap();
        truth.asked_by.push(me);
        truth.asked_by.len() - 1
    }

    fn answered(&self, me: usize, uid: Option<String>, version: Option<String>) {
        let (Some(uid), Some(Ok(version))) = (uid, version.map(|version| version.parse())) else { return };
        self.truth.lock().unwrap().answered.entry(uid).or_default().entry(version).or_insert(me);
    }

    async fn operate(&self, api: &Api<DynamicObject>, is_pool: bool, name: &str, me: usize) -> kube::Result<()> {
        let manager = user(me);
        let parameters = PatchParams { field_manager: Some(manager.clone()), ..PatchParams::default() };
        let body = if is_pool { "spec" } else { "data" };
        let number = self.number(me);
        let token = json!(format!("op{number}x"));
        let kind = &self.kinds[usize::from(is_pool)];
        let (api_version, kind) = (&kind.api_version, &kind.kind);
        let object = match fastrand::u8(..100) {
            0..15 => {
                let new = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name},
                    body: if is_pool { json!({"k": token, "size": number}) } else { json!({"k": token}) }});
                let new = serde_json::from_value(new).map_err(kube::Error::SerdeError)?;
                api.create(&PostParams { field_manager: Some(manager), ..PostParams::default() }, &new).await?
            }
            15..45 => api.patch(name, &parameters, &Patch::Merge(json!({body: {"k": token}}))).await?,
            45..55 => {
                let mut old = api.get(name).await?;
                old.data[body]["put"] = token;
                api.replace(name, &PostParams { field_manager: Some(manager), ..PostParams::default() }, &old).await?
            }
            55..63 => {
                let patch = json!({"apiVersion": api_version, "kind": kind, body: {format!("by-{me}"): token}});
                // It would make an object that is not there.
                api.get(name).await?;
                api.patch(name, &parameters.force(), &Patch::Apply(patch)).await?
            }
            63..71 => {
                api.patch(name, &parameters, &Patch::Merge(json!({"metadata": {"annotations": {"a": token}}}))).await?
            }
            71..83 if is_pool => {
                let scale =
                    api.patch_scale(name, &parameters, &Patch::Merge(json!({"spec": {"replicas": number}}))).await?;
                self.answered(me, scale.metadata.uid, scale.metadata.resource_version);
                return Ok(());
            }
            71..88 => {
                // The same by everybody, with the same tool.
                let parameters = PatchParams { field_manager: Some("shared".into()), ..PatchParams::default() };
                let patch = json!({body: {"same": fastrand::u8(..3).to_string()}});
                api.patch(name, &parameters, &Patch::Merge(patch)).await?
            }
            88..93 => {
                let dry = PatchParams { dry_run: true, ..parameters };
                api.patch(name, &dry, &Patch::Merge(json!({body: {"k": token}}))).await?;
                return Ok(());
            }
            _ => {
                self.truth.lock().unwrap().deletions.entry(name.to_owned()).or_default().insert(me);
                let answer = api.delete(name, &DeleteParams::default()).await?;
                let uid = answer.either(|object| object.uid(), |status| Some(status.details?.uid));
                self.truth.lock().unwrap().deleted_by.insert(uid.unwrap_or_default(), me);
                return Ok(());
            }
        };
        self.answered(me, object.uid(), object.resource_version());
        Ok(())
    }

    /// Waits until everything that was done is in the repository.
    async fn settle(&self, cluster: &ControlPlane) {
        let client = cluster.client().await.unwrap();
        for kind in &self.kinds {
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &self.mirror.namespace, kind);
            let last = json!({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "last"}});
            let last: DynamicObject = serde_json::from_value(last).unwrap();
            eventually(SOON, "the last object to be made", async || {
                match api.create(&PostParams::default(), &last).await {
                    Err(kube::Error::Api(status)) if status.code == 409 => Ok(Some(())),
                    made => Ok(Some(made.map(drop)?)),
                }
            })
            .await
            .unwrap();
            let group = if kind.group.is_empty() { "core" } else { &kind.group };
            let path = format!("live/{group}/v1/{}/{}/last.yaml", kind.plural, self.mirror.namespace);
            eventually(8 * SOON, "the last object in the repository", async || {
                Ok(self.mirror.repo.read("main", &path))
            })
            .await
            .unwrap();
        }
    }
}

fn trailer<'a>(commit: &'a CommitInfo, key: &str) -> Option<&'a str> {
    commit.body.lines().find_map(|line| line.strip_prefix("X-ConfigButler-")?.strip_prefix(key)?.strip_prefix(": "))
}

/// The contents of `files`, each a commit and a path, in one go.
fn contents(repo: &RemoteRepo, files: &[(String, String)]) -> Vec<String> {
    let mut git = git_command();
    git.arg("--git-dir").arg(repo.path()).args(["cat-file", "--batch=%(objectsize)"]);
    let mut child = git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let wanted: String = files.iter().map(|(commit, path)| format!("{commit}:{path}\n")).collect();
    let writer = std::thread::spawn(move || input.write_all(wanted.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap();
    let mut rest = output.as_slice();
    let mut contents = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let size: usize = std::str::from_utf8(&rest[..end]).unwrap().parse().unwrap();
        contents.push(String::from_utf8(rest[end + 1..end + 1 + size].to_vec()).unwrap());
        rest = &rest[end + size + 2..];
    }
    assert_eq!(contents.len(), files.len());
    contents
}

/// The numbers of the operations that a file shows.
fn numbers(content: &str) -> HashSet<usize> {
    let tokens = content.split("op").skip(1).filter_map(|rest| rest.split_once('x')?.0.parse().ok());
    let sizes = content.lines().filter_map(|line| line.trim().strip_prefix("size: ")?.parse().ok());
    tokens.chain(sizes).collect()
}

/// What the commits say, against what happened.
#[derive(Default)]
struct Findings {
    wrong: Vec<String>,
    tiers: BTreeMap<String, usize>,
    reached: BTreeMap<String, usize>,
}

/// Where an object stood in the commit before.
#[derive(Default)]
struct Before {
    uid: String,
    version: u64,
    numbers: HashSet<usize>,
}

impl Findings {
    fn of(storm: &Storm, log: &str) -> Self {
        let truth = storm.truth.lock().unwrap();
        let commits = storm.mirror.repo.log("main");
        let written = commits.iter().flat_map(|commit| commit.changes.iter().map(move |change| (commit, change)));
        let files: Vec<_> = written
            .filter(|(_, (status, _))| *status != 'D')
            .map(|(commit, (_, path))| (commit.oid.clone(), path.clone()))
            .collect();
        let mut contents = files.iter().cloned().zip(contents(&storm.mirror.repo, &files)).collect::<HashMap<_, _>>();
        let recorded = recorded(log);
        let mut before: HashMap<String, Before> = HashMap::new();
        let mut findings = Self::default();
        for commit in &commits {
            for (_, path) in &commit.changes {
                let content = contents.remove(&(commit.oid.clone(), path.clone()));
                let old = before.remove(path).unwrap_or_default();
                let uid = trailer(commit, "UID").unwrap_or_default().to_owned();
                let version = trailer(commit, "ResourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
                let new = Before { uid, version, numbers: content.as_deref().map(numbers).unwrap_or_default() };
                if trailer(commit, "Attribution").is_some() && path.contains("/object-") {
                    findings.judge(&truth, &recorded, commit, path, content.is_none(), &old, &new);
                }
                before.insert(path.clone(), new);
            }
        }
        findings
    }

    #[allow(clippy::too_many_arguments)] // All that is known of one commit.
    fn judge(
        &mut self,
        truth: &Truth,
        recorded: &HashSet<(String, String)>,
        commit: &CommitInfo,
        path: &str,
        is_end: bool,
        old: &Before,
        new: &Before,
    ) {
        let tier = trailer(commit, "Attribution").unwrap_or_default().to_owned();
        *self.tiers.entry(tier.clone()).or_default() += 1;
        let name = path.rsplit('/').next().unwrap_or_default().trim_end_matches(".yaml");
        let nobody = BTreeSet::new();
        let deleters = truth.deletions.get(name).unwrap_or(&nobody);
        // Everybody who may have had a part in it: by answers, by what the file says, by having asked for its end.
        let mut users: BTreeSet<usize> = BTreeSet::new();
        let mut is_told = true;
        if is_end {
            match truth.deleted_by.get(&new.uid) {
                Some(user) => drop(users.insert(*user)),
                None => {
                    users.extend(deleters);
                    is_told = false;
                }
            }
        } else {
            let first = if old.uid == new.uid { old.version } else { 0 };
            let versions = truth.answered.get(&new.uid).into_iter().flatten();
            users.extend(
                versions.filter(|(version, _)| (first + 1..=new.version).contains(version)).map(|(_, user)| *user),
            );
            users.extend(new.numbers.difference(&old.numbers).map(|number| truth.asked_by[*number]));
            is_told = !users.is_empty();
        }
        let named = trailer(commit, "User");
        let names: BTreeSet<String> = users.iter().map(|number| user(*number)).collect();
        let is_right = match named {
            Some(named) if !is_end || is_told => !is_told || names.len() == 1 && names.contains(named),
            Some(named) => names.contains(named),
            None => commit.author_name == COMMITTER,
        };
        if !is_right {
            self.wrong.push(format!("{path}: {names:?}, not {named:?}: {commit:#?}"));
        }
        if tier == "ambiguous" {
            // Only what carries no number can be asked for by two, or an end.
            let may_be = if is_end { deleters.len() > 1 } else { new.numbers.is_subset(&old.numbers) };
            if !may_be {
                self.wrong.push(format!("{path} is not ambiguous: {commit:#?}"));
            }
        }
        let reached = tier != "none" || names.iter().any(|name| recorded.contains(&(new.uid.clone(), name.clone())));
        if reached {
            *self.reached.entry(tier).or_default() += 1;
        }
    }

    fn print(&self, what: &str) {
        for (over, tiers) in [("all changes", &self.tiers), ("changes whose call reached us", &self.reached)] {
            let sum: usize = tiers.values().sum();
            let shares: Vec<_> = tiers
                .iter()
                .map(|(tier, count)| format!("{tier} {count} ({:.2} %)", *count as f64 * 100.0 / sum as f64))
                .collect();
            println!("{what}: {sum} {over}: {}", shares.join(", "));
        }
        println!("{what}: {} wrong", self.wrong.len());
    }
}

/// Uid and user of every call that the operator logged as recorded.
fn recorded(log: &str) -> HashSet<(String, String)> {
    let field = |line: &str, key: &str| {
        let (_, rest) = line.split_once(&format!("{key}\":\"")).or_else(|| line.split_once(&format!("{key}=\"")))?;
        let rest = rest.trim_start_matches(['\\', '"']);
        Some(rest.split(['\\', '"']).next()?.to_owned())
    };
    let lines = log.lines().filter(|line| line.contains("Admission recorded"));
    lines.filter_map(|line| Some((field(line, "uid")?, field(line, "user")?))).collect()
}

async fn storm(kills: bool) -> Findings {
    let size = size();
    let cluster = Arc::new(ControlPlane::start().await.unwrap());
    let work_dir = ScratchDir::new().unwrap();
    let log = "--log=info,gitops_reverser::webhook=debug";
    let operator = Operator::start(&cluster, &work_dir, &[log]).await.unwrap();
    let storm = Arc::new(Storm::prepare(&cluster, size).await);
    let mut users = tokio::task::JoinSet::new();
    for me in 0..size.users {
        let (storm, client) = (Arc::clone(&storm), cluster.client_as(&user(me)).await.unwrap());
        users.spawn(async move { storm.write(client, me).await });
    }
    if kills {
        let half = eventually(30 * SOON, "half of the storm", async || {
            Ok((storm.done.load(Ordering::Relaxed) > size.operations / 2).then_some(()))
        });
        half.await.unwrap();
        // Operations that fail at once would use up the rest of the storm.
        let left = storm.done.swap(0, Ordering::Relaxed);
        cluster.stop_api_server();
        cluster.start_api_server().await.unwrap();
        storm.done.store(left.min(size.operations / 2), Ordering::Relaxed);
    }
    while let Some(ended) = users.join_next().await {
        ended.unwrap();
    }
    storm.settle(&cluster).await;
    let findings = Findings::of(&storm, &operator.log());
    findings.print(if kills { "With the API server killed" } else { "Storm" });
    operator.terminate().await.unwrap();
    findings
}

fn check(findings: &Findings) -> anyhow::Result<()> {
    let commits: usize = findings.tiers.values().sum();
    ensure!(commits > 100, "only {commits} commits show nothing");
    ensure!(findings.wrong.is_empty(), "{}", findings.wrong.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_named_for_what_another_did() {
    let findings = storm(false).await;
    check(&findings).unwrap();
    assert!(findings.tiers.contains_key("exact") && findings.tiers.contains_key("version"), "{:?}", findings.tiers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_named_wrongly_when_the_api_server_is_killed() {
    check(&storm(true).await).unwrap();
}
