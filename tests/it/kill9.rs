//! The operator and, in turn, one of the git processes that it runs is killed without a word, again and again, while
//! changes flow. Afterwards the branch is what the cluster is, what was in the journal is there, and nothing twice.
//!
//! `KILL9_POINTS` (6) says how often, `KILL9_SEED` (random, printed) makes a run like another. `scripts/kill9` is the long
//! form.

use crate::support::control_plane::ControlPlane;
use crate::support::git_processes::{GitProcess, GitProcesses};
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
/// How many commits a clone begins with.
const DEPTH: usize = 50;
/// A busy machine may take long to start the operator.
const PATIENT: Duration = Duration::from_secs(90);

/// How long one cause is given to make git do what is waited for.
const CAUSED: Duration = Duration::from_secs(20);
/// The git commands that are killed, in turn, and how many milliseconds after they began at most. Most take longer than
/// that on a machine that is not idle.
const COMMANDS: [(&str, u64); 6] =
    [("push", 250), ("fast-import", 20), ("fetch", 100), ("update-ref", 1), ("clone", 100), ("ls-remote", 40)];

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
    /// With which depth the operator was started.
    depth: usize,
    /// Commits of somebody else.
    foreign: usize,
    changes: usize,
}

fn start(cluster: &ControlPlane, work_dir: &ScratchDir, depth: usize) -> Operator {
    Operator::start_again(cluster, work_dir, &[&format!("--clone-depth={depth}")], &[]).unwrap()
}

impl Run {
    async fn new(seed: u64) -> Self {
        let cluster = ControlPlane::start().await.unwrap();
        let work_dir = ScratchDir::new().unwrap();
        install_definitions(&cluster).await.unwrap();
        let operator = start(&cluster, &work_dir, DEPTH);
        let mirror = Mirror::start(&cluster, "kill9", &["configmaps"]).await.unwrap();
        let random = Rng::with_seed(seed);
        let (objects, value, journal, killed, foreign, changes) = <_>::default();
        let depth = DEPTH;
        Self { cluster, mirror, work_dir, operator, random, objects, value, journal, killed, depth, foreign, changes }
    }

    async fn change_some(&mut self) {
        let user = ["alice", "bob", "carol"][self.random.usize(..3)];
        let api: Api<ConfigMap> = Api::namespaced(self.cluster.client_as(user).await.unwrap(), &self.mirror.namespace);
        for _ in 0..CHANGES {
            self.changes += 1;
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
        self.restart();
    }

    /// Kills git at what it does with this turn's command.
    async fn kill_a_git(&mut self, turn: usize) {
        let (name, at_most) = COMMANDS[turn % COMMANDS.len()];
        let deadline = Instant::now() + PATIENT;
        while !self.caught(name, at_most).await {
            assert!(Instant::now() < deadline, "no git {name} could be killed: {}", self.operator.log());
        }
        self.read_journal();
    }

    /// Gives the operator a cause for the command; whether a process was killed that was at it.
    async fn caught(&mut self, name: &str, at_most: u64) -> bool {
        if name == "clone" {
            self.restart_with_another_depth();
        }
        let mut running = GitProcesses::below(self.operator.pid());
        if name == "fetch" {
            self.somebody_else_writes();
        }
        self.change_some().await;
        let Some(git) = running.next(name, Instant::now() + CAUSED).await else { return false };
        if self.random.usize(..3) > 0 {
            self.some_time(at_most).await;
        }
        self.kill_one_of(git).await
    }

    /// Kills the command, or what it has started to do the work: a transport, a packer.
    async fn kill_one_of(&mut self, git: GitProcess) -> bool {
        let child = if self.random.bool() { self.random.choice(git.children()) } else { None };
        let name = child.as_ref().map_or_else(|| git.name.clone(), |child| format!("{}: {}", git.name, child.name));
        let is_killed = child.unwrap_or(git).kill().await;
        if is_killed {
            *self.killed.entry(name).or_default() += 1;
        }
        is_killed
    }

    /// A clone that was made with another depth is made anew, and its journal put onto it.
    fn restart_with_another_depth(&mut self) {
        self.operator.kill();
        *self.killed.entry("operator, before a clone".to_owned()).or_default() += 1;
        self.read_journal();
        self.depth = if self.depth == DEPTH { DEPTH + 1 } else { DEPTH };
        self.restart();
    }

    fn restart(&mut self) {
        self.operator = start(&self.cluster, &self.work_dir, self.depth);
    }

    fn somebody_else_writes(&mut self) {
        self.foreign += 1;
        let path = format!("theirs/{}", self.foreign);
        self.mirror.repo.commit_file("main", &path, "theirs\n", "Erin <erin@example.com>");
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
        .unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.operator.log(), self.diagnosis()));
    }

    /// What git itself says about the clone.
    fn diagnosis(&self) -> String {
        let url = self.mirror.repo.authenticated_url();
        let commands: [&[&str]; 4] = [
            &["fsck", "--connectivity-only"],
            &["for-each-ref"],
            &["log", "--oneline", "--all", "--graph", "-30"],
            &["push", "--porcelain", url, "refs/heads/main:refs/heads/diagnosis"],
        ];
        let mut said = String::new();
        for clone in clones(self.work_dir.path()) {
            for arguments in commands {
                let output = git_command().arg("-C").arg(&clone).args(arguments).output().unwrap();
                let [stdout, stderr] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
                said.push_str(&format!("git {arguments:?}: {}\n{stdout}{stderr}\n", output.status));
            }
        }
        said
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
            self.changes,
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
    let paths = found.into_iter().flatten().flatten().map(|entry| entry.path());
    // Beside the clone lie one that is being made, and those that were replaced.
    let beside = |path: &PathBuf| [".new", ".old", ".damaged"].iter().any(|end| path.to_string_lossy().ends_with(end));
    paths.filter(|path| !beside(path)).collect()
}

#[tokio::test]
async fn a_kill_at_any_time_loses_and_doubles_nothing() {
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let points = usize::try_from(variable("KILL9_POINTS").unwrap_or(6)).unwrap();
    let seed = variable("KILL9_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("KILL9_POINTS={points} KILL9_SEED={seed}");
    let mut run = Run::new(seed).await;
    // A short run has not all of the commands, and so not always the same.
    let first = run.random.usize(..COMMANDS.len());
    for point in 0..points {
        if point % 5 == 4 {
            run.somebody_else_writes();
        }
        match point % 2 {
            0 => run.kill_the_operator().await,
            _ => run.kill_a_git(first + point / 2).await,
        }
    }
    run.change_some().await;
    run.converged().await;
    run.check();
}
