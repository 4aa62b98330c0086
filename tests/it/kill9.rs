//! The operator, or one of the git processes that it runs, is killed without a word, again and again, while changes flow.
//! Afterwards the branch is what the cluster is, what was in the journal is there, and nothing twice.
//!
//! `KILL9_POINTS` (6) says how often, `KILL9_SEED` (random, printed) makes a run like another. `scripts/kill9` is the long
//! form.

use crate::support::control_plane::ControlPlane;
use crate::support::operator::{Mirror, Operator, install_definitions};
use crate::support::poll::eventually;
use crate::support::remote_repo::{CommitInfo, git_command};
use crate::support::scratch::ScratchDir;
use fastrand::Rng;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Changes between two kills.
const CHANGES: usize = 2;
const OBJECTS: usize = 12;
/// A busy machine may take long to start the operator.
const PATIENT: Duration = Duration::from_secs(90);

/// One change, as the trailers of its commit name it: uid, resourceVersion, operation.
type Named = (String, String, String);

struct Run {
    cluster: ControlPlane,
    mirror: Mirror,
    work_dir: ScratchDir,
    operator: Operator,
    random: Rng,
    /// What the cluster has: the value of each object. Values only grow.
    objects: BTreeMap<String, usize>,
    value: usize,
    /// What was seen in the journal.
    journal: BTreeSet<Named>,
    killed: BTreeMap<String, usize>,
}

fn start(cluster: &ControlPlane, work_dir: &ScratchDir) -> Operator {
    Operator::start_again(cluster, work_dir, &[], &[]).unwrap()
}

impl Run {
    async fn new(seed: u64) -> Self {
        let cluster = ControlPlane::start().await.unwrap();
        let work_dir = ScratchDir::new().unwrap();
        install_definitions(&cluster).await.unwrap();
        let operator = start(&cluster, &work_dir);
        let mirror = Mirror::start(&cluster, "kill9", &["configmaps"]).await.unwrap();
        let random = Rng::with_seed(seed);
        let (objects, journal, killed) = <_>::default();
        Self { cluster, mirror, work_dir, operator, random, objects, value: 0, journal, killed }
    }

    async fn change_some(&mut self) {
        let user = ["alice", "bob", "carol"][self.random.usize(..3)];
        let api: Api<ConfigMap> = Api::namespaced(self.cluster.client_as(user).await.unwrap(), &self.mirror.namespace);
        for _ in 0..CHANGES {
            let name = format!("object-{}", self.random.usize(..OBJECTS));
            if self.objects.contains_key(&name) && self.random.usize(..5) == 0 {
                api.delete(&name, &DeleteParams::default()).await.unwrap();
                self.objects.remove(&name);
                continue;
            }
            self.value += 1;
            let object = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
                "data": {"key": self.value.to_string()}
            });
            api.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(object)).await.unwrap();
            self.objects.insert(name, self.value);
        }
    }

    /// Chance, not waiting: somewhere in what the operator does next.
    async fn some_time(&mut self, at_most: u64) {
        tokio::time::sleep(Duration::from_millis(self.random.u64(..=at_most))).await;
    }

    async fn kill_the_operator(&mut self) {
        self.change_some().await;
        if self.random.usize(..3) > 0 {
            let operator = &self.operator;
            eventually(PATIENT, "the operator to commit something", async || {
                Ok(operator.log().contains("\"Committed\"").then_some(()))
            })
            .await
            .unwrap_or_else(|error| panic!("{error}: {}", operator.log()));
            self.change_some().await;
            self.some_time(400).await;
        } else {
            self.some_time(3_000).await;
        }
        // Killed as a process; its git processes are in groups of their own and live on for a moment.
        self.operator.kill();
        *self.killed.entry("operator".to_owned()).or_default() += 1;
        self.read_journal();
        self.operator = start(&self.cluster, &self.work_dir);
    }

    /// Kills one of the git processes below the operator, as soon as there is one.
    async fn kill_a_git(&mut self) {
        self.change_some().await;
        let wait = self.random.u64(..200);
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let pid = self.operator.pid();
        let deadline = Instant::now() + PATIENT;
        let mut next_change = Instant::now() + Duration::from_secs(2);
        let (git, name) = loop {
            let running = below(pid);
            if let Some(found) = self.random.choice(running) {
                break found;
            }
            assert!(Instant::now() < deadline, "no git runs: {}", self.operator.log());
            if Instant::now() > next_change {
                self.change_some().await;
                next_change = Instant::now() + Duration::from_secs(2);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let pid = rustix::process::Pid::from_raw(i32::try_from(git).unwrap()).unwrap();
        // It may have ended meanwhile.
        if rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok() {
            *self.killed.entry(name).or_default() += 1;
        }
        self.read_journal();
    }

    /// Notes what has reached the journal.
    fn read_journal(&mut self) {
        let Some(clone) = clones(self.work_dir.path()).pop() else { return };
        let log =
            |range: &[&str]| git_command().arg("-C").arg(&clone).args(["log", "--format=%B%x00"]).args(range).output();
        let read = log(&["refs/heads/main", "^refs/reverser/base"]).unwrap();
        // Before anything was pushed there is no base; before the clone is complete there is nothing.
        let read = if read.status.success() { read } else { log(&["refs/heads/main"]).unwrap() };
        let text = String::from_utf8_lossy(&read.stdout);
        self.journal.extend(text.split('\0').filter_map(named));
    }

    /// Waits until the branch is what the cluster is.
    async fn converged(&self) {
        let expected: BTreeMap<String, usize> =
            self.objects.iter().map(|(name, value)| (self.mirror.config_map(name), *value)).collect();
        eventually(PATIENT, "the branch to be what the cluster is", async || {
            let files = self.mirror.repo.files("main").into_iter().filter(|file| file.starts_with("live/core/"));
            let found: BTreeMap<String, usize> =
                files.filter_map(|file| Some((file.clone(), value(&self.mirror.repo.read("main", &file)?)?))).collect();
            anyhow::ensure!(found == expected, "{found:?} instead of {expected:?}");
            Ok(Some(()))
        })
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", self.operator.log()));
    }

    fn check(&self) {
        let log = self.mirror.repo.log("main");
        let mut seen = BTreeSet::new();
        let mut last: BTreeMap<&str, usize> = BTreeMap::new();
        for commit in &log {
            assert!(!commit.changes.is_empty(), "an empty commit: {commit:#?}");
            let change = named(&format!("{}\n\n{}", commit.subject, commit.body));
            assert!(change.is_none_or(|change| seen.insert(change)), "a doubled commit: {commit:#?}");
            self.check_values(commit, &mut last);
        }
        let lost: Vec<&Named> = self.journal.difference(&seen).collect();
        assert!(lost.is_empty(), "lost from the journal: {lost:?} of {}", self.journal.len());
        let by_user = log.iter().filter(|commit| commit.subject.contains(" by user/")).count();
        println!(
            "{} changes, {} commits of which {by_user} are single changes; {} were seen in the journal; killed: {:?}",
            self.value,
            log.len(),
            self.journal.len(),
            self.killed
        );
    }

    /// A file never goes back to an older value, nor is the same written again.
    fn check_values<'a>(&self, commit: &'a CommitInfo, last: &mut BTreeMap<&'a str, usize>) {
        for (kind, path) in commit.changes.iter().filter(|(_, path)| path.starts_with("live/core/")) {
            if *kind == 'D' {
                continue;
            }
            let blob = self.mirror.repo.git(&["cat-file", "blob", &format!("{}:{path}", commit.oid)]);
            let Some(value) = value(&blob) else { panic!("no value: {blob}") };
            let before = last.insert(path, value);
            assert!(before.is_none_or(|before| before < value), "{path} goes from {before:?} to {value}: {commit:#?}");
        }
    }
}

fn value(manifest: &str) -> Option<usize> {
    manifest.lines().find_map(|line| line.strip_prefix("  key: \"")?.strip_suffix('"')?.parse().ok())
}

fn named(message: &str) -> Option<Named> {
    let trailer = |key: &str| {
        let key = format!("X-ConfigButler-{key}: ");
        message.lines().find_map(|line| line.strip_prefix(&key)).map(str::to_owned)
    };
    Some((trailer("UID")?, trailer("ResourceVersion")?, trailer("Operation")?))
}

fn clones(work_dir: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(work_dir.join("clones/repos"));
    found.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The processes below `ancestor`, and what they are: `push`, `remote-http`, `pack-objects`, ...
fn below(ancestor: u32) -> Vec<(u32, String)> {
    let mut processes = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // One may end while we look.
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some(parent) = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok())
        else {
            continue;
        };
        processes.push((pid, parent));
    }
    let mut found = vec![ancestor];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(processes.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    let name = |pid: u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let mut arguments = line.split('\0');
        let program = Path::new(arguments.next()?).file_name()?.to_str()?.to_owned();
        Some((pid, if program == "git" { arguments.next()?.to_owned() } else { program }))
    };
    // The watcher beside the operator is a shell.
    found.into_iter().skip(1).filter_map(name).filter(|(_, name)| name != "sh" && !name.is_empty()).collect()
}

#[tokio::test]
async fn a_kill_at_any_time_loses_and_doubles_nothing() {
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let points = variable("KILL9_POINTS").unwrap_or(6);
    let seed = variable("KILL9_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("KILL9_POINTS={points} KILL9_SEED={seed}");
    let mut run = Run::new(seed).await;
    for point in 0..points {
        if point % 5 == 4 {
            run.mirror.repo.commit_file("main", &format!("theirs/{point}"), "theirs\n", "Erin <erin@example.com>");
        }
        match point % 2 {
            0 => run.kill_the_operator().await,
            _ => run.kill_a_git().await,
        }
    }
    run.change_some().await;
    run.converged().await;
    run.check();
}
