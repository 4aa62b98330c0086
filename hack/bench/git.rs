//! The git engine by itself, on a large repository behind smart HTTP: the clone, the journal, a push, a replay; beside
//! each what git alone takes.

use crate::calibration::run_git;
use crate::observe::{RefWatch, peak_memory};
use crate::report::{Measurement, Target, Unit};
use crate::signing;
use crate::support::engine::{Engine, kind, manifest, target};
use crate::support::git_server::{Fault, GitServer};
use crate::support::poll::eventually;
use crate::support::remote_repo::{RemoteRepo, git_command};
use crate::support::scratch::ScratchDir;
use anyhow::{Context as _, Result, ensure};
use gitops_reverser::attribution::Verdict;
use gitops_reverser::change::{Change, Content, ObjectVersion};
use gitops_reverser::git::cli::Git;
use gitops_reverser::git::clone::policy::ClonePolicy;
use gitops_reverser::git::clone::{BranchClone, Opening};
use gitops_reverser::git::commit::{Commit, FileChange, Signature};
use gitops_reverser::git::credentials::Credentials;
use gitops_reverser::git::places::Places;
use gitops_reverser::git::spec::Identity;
use gitops_reverser::resource::{BaseFolder, ObjectName, Operations, RepoPath, ResourceId, layout};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Files in each folder: objects of one type in one namespace.
const IN_FOLDER: usize = 1_000;
/// Commits of one batch, and of a journal that is replayed.
const BATCH: usize = 200;
/// Commits for which the journal is measured.
const JOURNAL: usize = 2_000;
/// After this something has failed.
const DEADLINE: Duration = Duration::from_secs(300);

/// Measures on 10 000 files with a short history and on 100 000 files with a long one.
pub(crate) async fn measure(runs: usize) -> Result<Vec<Measurement>> {
    // The engine tells every commit.
    gitops_reverser::telemetry::logging::init("warn").ok();
    let mut measured = Vec::new();
    for (files, commits) in [(10_000, 1_000), (100_000, 50_000)] {
        measured.extend(Repository::new(files, commits).await?.measure(runs).await?);
    }
    Ok(measured)
}

struct Repository {
    server: GitServer,
    repo: RemoteRepo,
    files: usize,
    /// `100000 files, 50000 commits`.
    name: String,
}

impl Repository {
    async fn new(files: usize, commits: usize) -> Result<Self> {
        let name = format!("{files} files, {commits} commits");
        eprintln!("git: making a repository of {name}");
        let server = GitServer::start().await?;
        let repo = server.create_repo("large");
        let mut git = git_command();
        git.arg("--git-dir").arg(repo.path()).args(["-c", "fastimport.unpackLimit=1", "fast-import", "--quiet"]);
        run_git(&mut git, history(files, commits)?.as_bytes())?;
        repo.git(&["repack", "-adq", "--write-bitmap-index"]);
        Ok(Self { server, repo, files, name })
    }

    async fn measure(&self, runs: usize) -> Result<Vec<Measurement>> {
        let [mut clones, mut pushes, mut rates, mut replays, mut signed, mut added] = [const { Vec::new() }; 6];
        let [mut git_clones, mut git_pushes, mut git_rates] = [const { Vec::new() }; 3];
        for run in 0..runs {
            let (clone, push, rate) = self.git_alone(run)?;
            git_clones.push(clone);
            git_pushes.push(push);
            git_rates.push(rate);
            let work_dir = ScratchDir::new()?;
            let (clone, push, rate) = self.engine(&work_dir, run).await?;
            clones.push(clone);
            pushes.push(push);
            rates.push(rate);
            let (replay, (alone, more)) = self.replay(&work_dir, run).await?;
            replays.push(replay);
            signed.push(alone);
            added.push(more);
            eprintln!(
                "git, {}: run {run}: clone {clone:.3} s, push {push:.3} s, {rate:.0} commits/s, replay {replay:.3} s",
                self.name
            );
        }
        let seconds = |what: &str, samples, target| {
            Measurement::new(format!("{what}, {}", self.name), Unit::Seconds, samples, target)
        };
        let per_second = |what: &str, samples, target| {
            Measurement::new(format!("{what}, {}", self.name), Unit::PerSecond, samples, target)
        };
        let each =
            |what: &str, samples| Measurement::new(format!("{what}, {}", self.name), Unit::Microseconds, samples, None);
        let git_clone = seconds("calibration: git alone, clone", git_clones, None);
        let git_push = seconds("calibration: git alone, push of 1 commit", git_pushes, None);
        let git_rate = per_second("calibration: git alone, commits in batches of 200", git_rates, None);
        let journal = per_second("commits into the journal, batches of 200", rates, Some(Target::at_least(500.0)));
        Ok(vec![
            seconds("clone, until changes are taken", clones, None).compared_with(&git_clone),
            git_clone,
            seconds("change -> ref on the remote", pushes, None).compared_with(&git_push),
            git_push,
            journal.compared_with(&git_rate),
            git_rate,
            seconds("replay of 200 commits onto a moved tip", replays, Some(Target::median(1.0))),
            each("signing a commit, in process", signed),
            each("signing a commit, all that a batch of 200 takes longer", added),
            Measurement::new(
                format!("peak memory of this process, server included, {}", self.name),
                Unit::Mebibytes,
                vec![peak_memory(std::process::id())?],
                None,
            ),
        ])
    }

    /// Seconds for a clone, seconds for a change to arrive, commits a second into the journal.
    async fn engine(&self, work_dir: &ScratchDir, run: usize) -> Result<(f64, f64, f64)> {
        let started = Instant::now();
        let engine = Engine::start(work_dir, self.repo.url(), self.server.password()).await;
        let mailbox = engine.ready().await;
        let clone = started.elapsed().as_secs_f64();

        let mut remote = RefWatch::start(&self.repo);
        let started = Instant::now();
        mailbox.send(change(self.files, 0, &format!("push-{run}"))?);
        let arrival = remote.next().await?;
        let push = (arrival.at - started).as_secs_f64();
        let unpushed = |count| {
            let engine = &engine;
            eventually(DEADLINE, "commits in the journal", async move || {
                Ok((engine.status().counts.unpushed == count).then_some(()))
            })
        };
        unpushed(0).await?;

        self.server.set_fault(Some(Fault::Down));
        let started = Instant::now();
        for number in 0..JOURNAL {
            mailbox.send(change(self.files, number, &format!("journal-{run}-{number}"))?);
        }
        unpushed(JOURNAL).await?;
        let rate = JOURNAL as f64 / started.elapsed().as_secs_f64();
        self.server.set_fault(None);
        engine.stop().await;
        Ok((clone, push, rate))
    }

    /// Seconds for putting a batch onto a tip that has moved; what signing costs, see [`signing::cost`].
    async fn replay(&self, work_dir: &ScratchDir, run: usize) -> Result<(f64, (f64, f64))> {
        let engine = Engine::start(work_dir, self.repo.url(), self.server.password()).await;
        engine.ready().await;
        let (key, credentials) = (engine.key.clone(), Credentials::basic("git", self.server.password()));
        engine.stop().await;
        let git = Git::find(true).await?;
        let places = Places::take(&work_dir.path().join("clones"))?;
        let policy = ClonePolicy { least_free_percent: 0, ..ClonePolicy::default() };
        let opened = BranchClone::open(&git, &places, policy, &key, Opening::AsItIs, &credentials, None).await?;
        ensure!(!opened.is_new, "the clone was made anew");
        let mut clone = opened.clone;
        let base = clone.fetch(None, &credentials).await?.tip;
        let tip = base.context("the branch is gone")?;
        let commits = commits(self.files, run)?;
        let signing = signing::cost(&mut clone, tip, &commits).await?;
        let ids = clone.commit(base, &commits).await?;
        self.repo.commit_file("main", "README.md", &format!("run {run}\n"), "Erin <erin@example.com>");
        let onto = clone.fetch(base, &credentials).await?.tip;
        let started = Instant::now();
        let (_, replayed) = clone.replay(base, ids.last().copied(), onto, &BTreeSet::new(), &credentials).await?;
        let seconds = started.elapsed().as_secs_f64();
        ensure!(replayed == BATCH, "{replayed} of {BATCH} commits were replayed");
        Ok((seconds, signing))
    }

    /// The same by git alone: a clone as the engine makes it, a push of one commit, a batch at a time.
    fn git_alone(&self, run: usize) -> Result<(f64, f64, f64)> {
        let scratch = ScratchDir::new()?;
        let local = scratch.path().join("clone.git");
        let started = Instant::now();
        let mut clone = git_command();
        clone.args(["clone", "--quiet", "--bare", "--single-branch", "--no-tags", "--depth=50", "--filter=blob:none"]);
        run_git(clone.arg(self.repo.authenticated_url()).arg(&local), b"")?;
        let clone = started.elapsed().as_secs_f64();

        import(&local, &batch(self.files, 1, run)?)?;
        let started = Instant::now();
        let mut push = git_command();
        push.arg("--git-dir").arg(&local).args(["push", "--quiet", self.repo.authenticated_url(), "refs/heads/main"]);
        run_git(&mut push, b"")?;
        let push = started.elapsed().as_secs_f64();

        let stream = batch(self.files, BATCH, run)?;
        let started = Instant::now();
        for _ in 0..JOURNAL / BATCH {
            import(&local, &stream)?;
        }
        Ok((clone, push, JOURNAL as f64 / started.elapsed().as_secs_f64()))
    }
}

/// One object of the repository, by its number.
fn object(number: usize) -> ResourceId {
    let namespace = format!("namespace-{:03}", number / IN_FOLDER);
    ResourceId { kind: kind(), name: ObjectName::new(Some(namespace.as_str()), &format!("object-{number:06}")) }
}

fn path(id: &ResourceId) -> Result<RepoPath> {
    Ok(layout::manifest_path(&BaseFolder::new("base")?, id)?)
}

/// Objects that follow each other are in different folders.
fn spread(number: usize, files: usize) -> usize {
    number * 7_919 % files
}

fn change(files: usize, number: usize, value: &str) -> Result<Change> {
    let id = object(spread(number, files));
    Ok(Change {
        target: target(),
        path: path(&id)?,
        content: Content::Upsert(manifest(&id.name.name, value)),
        is_news: true,
        id,
        operations: Operations::ALL,
        version: ObjectVersion::default(),
        verdict: Verdict::none(),
    })
}

fn commits(files: usize, run: usize) -> Result<Vec<Commit>> {
    let who = Signature::new(&Identity { name: "c".into(), email: "c@example.invalid".into() }, 1_700_000_000);
    let commit = |number| {
        let id = object(spread(number, files));
        let content = manifest(&id.name.name, &format!("replay-{run}-{number}"));
        Ok(Commit {
            target: None,
            author: who.clone(),
            committer: who.clone(),
            message: "x\n".into(),
            files: vec![FileChange::Write(path(&id)?, content)],
        })
    };
    (0..BATCH).map(commit).collect()
}

/// A stream of one commit with all files, and `commits` of one file each.
fn history(files: usize, commits: usize) -> Result<String> {
    let mut stream = commit_line("");
    for number in 0..files {
        write_file(&mut stream, number, "initial")?;
    }
    for number in 0..commits {
        stream.push_str(&commit_line(""));
        write_file(&mut stream, spread(number, files), &number.to_string())?;
    }
    Ok(stream)
}

fn batch(files: usize, commits: usize, run: usize) -> Result<String> {
    let mut stream = String::new();
    for number in 0..commits {
        stream.push_str(&commit_line(if number == 0 { "from refs/heads/main^0\n" } else { "" }));
        write_file(&mut stream, spread(number, files), &format!("batch-{run}-{number}-{commits}"))?;
    }
    Ok(stream)
}

fn commit_line(from: &str) -> String {
    format!("commit refs/heads/main\ncommitter c <c@example.invalid> 1700000000 +0000\ndata 1\nx\n{from}")
}

fn write_file(stream: &mut String, number: usize, value: &str) -> Result<()> {
    let id = object(number);
    let text = String::from_utf8(manifest(&id.name.name, value).bytes().to_vec())?;
    writeln!(stream, "M 100644 inline {}\ndata {}\n{text}", path(&id)?, text.len())?;
    Ok(())
}

fn import(local: &Path, stream: &str) -> Result<()> {
    let mut git = git_command();
    git.arg("--git-dir").arg(local).args(["-c", "fastimport.unpackLimit=1", "fast-import", "--quiet"]);
    run_git(&mut git, stream.as_bytes())
}
