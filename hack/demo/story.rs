//! Who changes what, and what Git must say of it afterwards.

use crate::stage::{NAMESPACE, Stage};
use crate::step;
use crate::support::control_plane::TESTERS;
use crate::support::poll::eventually;
use crate::support::remote_repo::RemoteRepo;
use anyhow::{Context as _, Result, bail};
use std::time::Duration;

/// Far longer than it takes where nothing is wrong.
const MIRRORED: Duration = Duration::from_secs(30);

/// A user and what kubectl is told.
const SCENES: [(&str, &[&str]); 5] = [
    ("alice", &["create", "deployment", "web", "--image=nginx:1.27", "--replicas=2"]),
    ("alice", &["create", "configmap", "settings", "--from-literal=colour=green"]),
    ("bob", &["set", "image", "deployment/web", "nginx=nginx:1.28"]),
    ("bob", &["set", "env", "deployment/web", "LOG_LEVEL=debug"]),
    ("carol", &["delete", "configmap", "settings"]),
];

const DEPLOYMENT: &str = "live/apps/v1/deployments/shop/web.yaml";
const CONFIG_MAP: &str = "live/core/v1/configmaps/shop/settings.yaml";
/// Each file and the authors of its commits, oldest first.
const EXPECTED: [(&str, &[&str]); 2] = [(DEPLOYMENT, &["alice", "bob", "bob"]), (CONFIG_MAP, &["alice", "carol"])];

/// Lets everybody do their part.
pub(crate) async fn perform(stage: &Stage) -> Result<()> {
    step("Alice creates, Bob changes, Carol deletes");
    for (user, arguments) in SCENES {
        let identity = ["--namespace", NAMESPACE, "--as", user, "--as-group", TESTERS];
        stage.kubectl(&[arguments, &identity].concat()).await?;
    }
    Ok(())
}

/// Waits until the remote has a commit of each change, and compares the authors.
pub(crate) async fn check(repo: &RemoteRepo) -> Result<()> {
    step("Waiting for the commits to be on the remote");
    for (path, expected) in EXPECTED {
        let awaited = format!("{} commits of {path}", expected.len());
        let enough = eventually(MIRRORED, &awaited, async || {
            let authors = authors(repo, path);
            if authors.len() < expected.len() {
                bail!("commits by {authors:?}");
            }
            Ok(Some(authors))
        });
        let authors = enough.await?;
        if authors != expected {
            bail!("the authors of {path} are {authors:?} instead of {expected:?}");
        }
    }
    println!("All are there");
    Ok(())
}

/// The authors of the commits that touch `path`, oldest first.
fn authors(repo: &RemoteRepo, path: &str) -> Vec<String> {
    let commits = repo.log("main").into_iter();
    let of_path = commits.filter(|commit| commit.changes.iter().any(|(_, changed)| changed == path));
    of_path.map(|commit| commit.author_name).collect()
}

/// Prints what the remote has now.
pub(crate) fn show(repo: &RemoteRepo) -> Result<()> {
    step("The remote's history, newest first");
    git(repo, &["log", "--format=%h  %<(15)%an  %s", "main"]);

    step("One commit in full");
    let commits = repo.log("main");
    let last = commits.iter().rev().find(|commit| commit.changes.iter().any(|(_, path)| path == DEPLOYMENT));
    let last = last.with_context(|| format!("{DEPLOYMENT} has no commit"))?;
    git(repo, &["show", "--format=fuller", "--unified=1", &last.oid[..10]]);

    step("The Deployment as it is in Git");
    git(repo, &["show", &format!("main:{DEPLOYMENT}")]);
    println!("\nEvery change is one commit, and its author is who made it: alice, bob, carol.");
    Ok(())
}

fn git(repo: &RemoteRepo, arguments: &[&str]) {
    let typed: Vec<String> = arguments
        .iter()
        .map(|argument| if argument.contains(' ') { format!("'{argument}'") } else { (*argument).to_owned() })
        .collect();
    println!("$ git {}\n{}", typed.join(" "), repo.git(arguments));
}
