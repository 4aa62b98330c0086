//! How git commands are run: the real binary, with everything that can go wrong around it.

use crate::support::poll::eventually;
use crate::support::scratch::ScratchDir;
use gitops_reverser::git::cli::{Git, GitError};
use std::time::Duration;
use tokio::net::TcpListener;

const SOON: Duration = Duration::from_secs(30);

/// Processes whose command line holds `text`.
fn processes_with(text: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(text)).collect()
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_its_children() {
    let git = Git::find(true).await.unwrap();
    let scratch = ScratchDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/never-answers", listener.local_addr().unwrap());
    let command = git.command(scratch.path(), "ls-remote").operand(url.as_str());
    // The connection proves that the child, git's transport, is running when the deadline passes.
    let (result, connection) = tokio::join!(command.deadline(Duration::from_secs(2)).run(), listener.accept());
    connection.unwrap();
    assert!(matches!(result, Err(GitError::Timeout { .. })), "{result:?}");
    eventually(SOON, "the children to be gone", async || {
        let left = processes_with(&url);
        anyhow::ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_command_that_is_dropped_is_killed_with_its_children() {
    let git = Git::find(true).await.unwrap();
    let scratch = ScratchDir::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/dropped", listener.local_addr().unwrap());
    let command = git.command(scratch.path(), "ls-remote").operand(url.as_str());
    tokio::select! {
        result = command.run() => panic!("{result:?}"),
        connection = listener.accept() => drop(connection.unwrap()),
    }
    eventually(SOON, "the children to be gone", async || Ok(processes_with(&url).is_empty().then_some(())))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_could_be_an_option_is_refused() {
    let git = Git::find(true).await.unwrap();
    let scratch = ScratchDir::new().unwrap();
    for operand in ["--upload-pack=touch /tmp/x", "-x", "a\0b"] {
        let result = git.command(scratch.path(), "ls-remote").operand(operand).run().await;
        assert!(matches!(result, Err(GitError::UnsafeOperand { .. })), "{operand}: {result:?}");
    }
}

#[tokio::test]
async fn other_transports_are_not_used() {
    let marker = ScratchDir::new().unwrap();
    let url = format!("ext::sh -c touch% {}/ran", marker.path().display());
    for insecure in [false, true] {
        let git = Git::find(insecure).await.unwrap();
        let output = git.command(marker.path(), "ls-remote").operand(url.as_str()).run().await.unwrap();
        assert!(output.stderr.contains("transport 'ext' not allowed"), "{output:?}");
    }
    let git = Git::find(false).await.unwrap();
    let output = git.command(marker.path(), "ls-remote").operand("http://127.0.0.1:1/r").run().await.unwrap();
    assert!(output.stderr.contains("transport 'http' not allowed"), "{output:?}");
    assert!(!marker.path().join("ran").exists());
}

#[tokio::test]
async fn output_without_end_is_an_error() {
    let git = Git::find(true).await.unwrap();
    let scratch = ScratchDir::new().unwrap();
    let repo = scratch.path().join("repo");
    std::fs::create_dir(&repo).unwrap();
    git.command(&repo, "init").flag("--bare").flag("--quiet").run().await.unwrap().success().unwrap();
    let blob = vec![b'x'; 1 << 20];
    let stored = git.command(&repo, "hash-object").flag("-w").flag("--stdin").input(blob).run().await.unwrap().text();
    let many = stored.repeat(100).into_bytes();
    let result = git.command(&repo, "cat-file").flag("--batch").input(many).run().await;
    assert!(matches!(result, Err(GitError::TooMuchOutput { .. })), "{:?}", result.map(|output| output.stdout.len()));
}
