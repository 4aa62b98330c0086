//! The harness itself: what the other tests take for granted.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::bail;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::api::{Api, PostParams};

use crate::support::control_plane::{self, ControlPlane};
use crate::support::git_server::{Fault, GitServer};
use crate::support::poll::eventually;
use crate::support::process::Process;
use crate::support::remote_repo::git_command;
use crate::support::scratch::ScratchDir;

/// Far more than anything here needs.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_control_plane_serves_the_pinned_release() {
    let cluster = control_plane::shared().await.unwrap();
    let pins = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/controlplane/go.mod")).unwrap();
    let pinned = pins.lines().find_map(|line| line.strip_prefix("require k8s.io/kubernetes ")).unwrap();
    if std::env::var_os("KUBEBUILDER_ASSETS").is_none() {
        assert_eq!(cluster.kube_version(), pinned);
    }
    let output = cluster.kubectl().args(["version", "--output=json"]).output().await.unwrap();
    assert!(text(&output).contains(&format!("\"gitVersion\": \"{}\"", cluster.kube_version())), "{output:?}");
}

#[tokio::test]
async fn an_impersonated_user_is_seen() {
    let cluster = control_plane::shared().await.unwrap();
    let api: Api<SelfSubjectReview> = Api::all(cluster.client_as("alice").await.unwrap());
    let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await.unwrap();
    let user = review.status.unwrap().user_info.unwrap();
    assert_eq!(user.username.as_deref(), Some("alice"));
    let mut groups = user.groups.unwrap();
    groups.sort();
    assert_eq!(groups, ["system:authenticated", "testers"]);
}

#[tokio::test]
async fn an_impersonated_user_may_write() {
    let cluster = control_plane::shared().await.unwrap();
    let namespace = cluster.namespace("harness").await.unwrap();
    let api: Api<ConfigMap> = Api::namespaced(cluster.client_as("bob").await.unwrap(), &namespace);
    let map: ConfigMap = serde_json::from_value(serde_json::json!({"metadata": {"name": "settings"}})).unwrap();
    api.create(&PostParams::default(), &map).await.unwrap();
}

#[tokio::test]
async fn the_controllers_work() {
    let cluster = control_plane::shared().await.unwrap();
    let namespace = cluster.namespace("harness").await.unwrap();
    let api: Api<ServiceAccount> = Api::namespaced(cluster.client().await.unwrap(), &namespace);
    eventually(SOON, "the default ServiceAccount", async || Ok(api.get_opt("default").await?)).await.unwrap();
}

#[tokio::test]
async fn namespaces_do_not_collide() {
    let cluster = control_plane::shared().await.unwrap();
    assert_ne!(cluster.namespace("harness").await.unwrap(), cluster.namespace("harness").await.unwrap());
}

#[tokio::test]
async fn the_api_server_comes_back_with_its_data() {
    let cluster = ControlPlane::start().await.unwrap();
    let namespace = cluster.namespace("kept").await.unwrap();
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.client().await.unwrap());
    cluster.stop_api_server();
    assert!(api.get(&namespace).await.is_err(), "a stopped API server answered");
    cluster.start_api_server().await.unwrap();
    api.get(&namespace).await.unwrap();

    let dir = cluster.dir().to_owned();
    drop(cluster);
    gone(&dir).await;
}

#[tokio::test]
async fn a_clone_needs_the_right_password() {
    let server = GitServer::start().await.unwrap();
    let repo = server.create_repo("demo");
    repo.commit_file("main", "a/b.txt", "hello\n", "Jane Doe <jane@example.com>");
    let scratch = ScratchDir::new().unwrap();

    let refused = repo.authenticated_url().replace(server.password(), "wrong");
    for url in [refused.as_str(), repo.url()] {
        let output = git(&["clone", "--quiet", url, "refused"], scratch.path());
        assert!(!output.status.success(), "{url} was accepted");
    }
    let output = git(&["clone", "--quiet", repo.authenticated_url(), "accepted"], scratch.path());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read_to_string(scratch.path().join("accepted/a/b.txt")).unwrap(), "hello\n");
    assert!(server.request_count() >= 4, "{} requests", server.request_count());
}

#[tokio::test]
async fn what_is_pushed_can_be_read() {
    let server = GitServer::start().await.unwrap();
    let repo = server.create_repo("demo");
    assert_eq!((repo.head("main"), repo.log("main"), repo.files("main")), (None, vec![], vec![]));
    let first = repo.commit_file("main", "ä.txt", "one\n", "Jane Doe <jane@example.com>");

    let scratch = ScratchDir::new().unwrap();
    let clone = scratch.path().join("clone");
    git_ok(&["clone", "--quiet", "--filter=blob:none", repo.authenticated_url(), "clone"], scratch.path());
    // Larger than what git sends in one piece, so that the request is chunked.
    let large: String = (0..400_000).map(|_| fastrand::alphanumeric()).collect::<String>().repeat(8);
    std::fs::write(clone.join("large.txt"), &large).unwrap();
    std::fs::write(clone.join("ä.txt"), "two\n").unwrap();
    git_ok(&["add", "."], &clone);
    git_ok(&["-c", "user.name=x", "commit", "--quiet", "-m", "Subject\n\nBody\n\nTrailer: yes"], &clone);
    git_ok(&["-c", "http.postBuffer=65536", "push", "--quiet", "origin", "main"], &clone);

    assert_eq!(repo.files("main"), ["large.txt", "ä.txt"]);
    assert_eq!(repo.read("main", "large.txt").as_deref(), Some(large.as_str()));
    assert_eq!(repo.read("main", "absent.txt"), None);
    let log = repo.log("main");
    assert_eq!(log.len(), 2);
    assert_eq!((log[0].oid.as_str(), log[0].author_email.as_str()), (first.as_str(), "jane@example.com"));
    assert_eq!(repo.head("main").as_deref(), Some(log[1].oid.as_str()));
    assert_eq!((log[1].subject.as_str(), log[1].body.as_str()), ("Subject", "Body\n\nTrailer: yes"));
    assert_eq!(log[1].changes, [('A', "large.txt".to_owned()), ('M', "ä.txt".to_owned())]);
}

#[tokio::test]
async fn a_fault_lasts_until_it_is_healed() {
    let server = GitServer::start().await.unwrap();
    let repo = server.create_repo("demo");
    let scratch = ScratchDir::new().unwrap();
    let list = || git(&["ls-remote", repo.authenticated_url()], scratch.path());
    assert!(list().status.success());

    server.set_fault(Some(Fault::Down));
    assert!(!list().status.success());
    server.set_fault(Some(Fault::Status(503)));
    let output = list();
    assert!(String::from_utf8_lossy(&output.stderr).contains("returned error: 503"), "{output:?}");
    server.set_fault(None);
    assert!(list().status.success());
}

/// Names the directory that [`holder_of_an_etcd`] shall report to.
const REPORT_TO: &str = "HARNESS_REPORT_TO";

/// Not a test: the process that `a_killed_test_leaves_nothing_behind` starts and kills. Does nothing otherwise.
#[tokio::test]
#[ignore = "started by another test"]
async fn holder_of_an_etcd() {
    let Some(report_to) = std::env::var_os(REPORT_TO).map(PathBuf::from) else {
        return;
    };
    let cluster = ControlPlane::start().await.unwrap();
    let scratch = cluster.dir().to_str().unwrap();
    std::fs::write(report_to.join("partial"), scratch).unwrap();
    std::fs::rename(report_to.join("partial"), report_to.join("report")).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_test_leaves_nothing_behind() {
    let report_to = tempfile::tempdir().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["harness::holder_of_an_etcd", "--exact", "--ignored", "--nocapture"])
        .env(REPORT_TO, report_to.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let reported = eventually(Duration::from_secs(120), "the report of the holder", async || {
        if let Some(status) = holder.try_wait()? {
            return Ok(Some(Err(format!("the holder ended: {status}"))));
        }
        Ok(Some(Ok(std::fs::read_to_string(report_to.path().join("report"))?)))
    });
    let scratch = PathBuf::from(reported.await.unwrap().unwrap());
    let running = processes_with(&scratch);
    assert!(running.len() >= 3, "etcd and the two servers run: {running:?}");

    holder.kill().unwrap();
    holder.wait().unwrap();
    gone(&scratch).await;
    assert_eq!(processes_with(&scratch), Vec::<String>::new());
}

#[tokio::test]
async fn a_process_that_ends_by_itself_is_noticed() {
    let scratch = ScratchDir::new().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "echo some words; echo the reason >&2; exit 3"]);
    let process = Process::start("short-lived", &command, &scratch).unwrap();
    let error = eventually(SOON, "the end of the process", async || Ok(process.check().err())).await.unwrap();
    let error = format!("{error:#}");
    assert!(error.contains("exit status: 3") && error.contains("the reason"), "{error}");
}

#[tokio::test]
async fn a_dropped_process_takes_its_children_along() {
    let scratch = ScratchDir::new().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "sh -c 'touch $0/started; sleep 600; :' $0 & wait"]).arg(scratch.path());
    let process = Process::start("parent", &command, &scratch).unwrap();
    let started = scratch.path().join("started");
    eventually(SOON, "the child to start", async || Ok(started.exists().then_some(()))).await.unwrap();
    drop(process);
    let path = scratch.path().to_owned();
    drop(scratch);
    gone(&path).await;
    assert_eq!(processes_with(&path), Vec::<String>::new());
}

/// Waits until the directory is removed, which happens after the end of all who hold it.
async fn gone(dir: &Path) {
    let what = format!("{} to be removed", dir.display());
    eventually(SOON, &what, async || {
        if dir.exists() {
            bail!("it is there, with {:?}", processes_with(dir));
        }
        Ok(Some(()))
    })
    .await
    .unwrap();
}

/// The command lines of all processes that name `dir`.
fn processes_with(dir: &Path) -> Vec<String> {
    let dir = dir.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    // A process may end while we look.
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(dir)).collect()
}

fn git(args: &[&str], dir: &Path) -> Output {
    git_command().args(args).current_dir(dir).output().unwrap()
}

#[track_caller]
fn git_ok(args: &[&str], dir: &Path) {
    let output = git(args, dir);
    assert!(output.status.success(), "git {args:?}: {}", text(&output));
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
