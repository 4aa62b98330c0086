//! What the operator asks git to do, over a whole run with everything that goes wrong: never to force anything, and never
//! with a secret where others can read it.

use crate::support::control_plane::ControlPlane;
use crate::support::engine::in_clone;
use crate::support::git_recorder::{GitCall, GitRecorder};
use crate::support::git_server::{Fault, Kind};
use crate::support::operator::{Mirror, Operator, SOON, install_definitions};
use crate::support::poll::eventually;
use crate::support::scratch::ScratchDir;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

const ERIN: &str = "Erin <erin@example.com>";

struct Run {
    cluster: ControlPlane,
    mirror: Mirror,
    value: usize,
}

impl Run {
    /// Changes the object, and waits until that is on the branch.
    async fn change(&mut self) {
        self.begin_change().await;
        let path = self.mirror.config_map("web");
        let line = format!("  key: \"{}\"\n", self.value);
        eventually(SOON, "the change to arrive", async || {
            Ok(self.mirror.repo.read("main", &path).filter(|text| text.contains(&line)).map(drop))
        })
        .await
        .unwrap();
    }

    async fn begin_change(&mut self) {
        self.value += 1;
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"},
            "data": {"key": self.value.to_string()}
        });
        let api: Api<ConfigMap> =
            Api::namespaced(self.cluster.client_as("alice").await.unwrap(), &self.mirror.namespace);
        api.patch("web", &PatchParams::apply("test").force(), &Patch::Apply(object)).await.unwrap();
    }
}

async fn logged(operator: &Operator, text: &str) {
    let what = format!("the operator to log {text:?}");
    eventually(SOON, &what, async || Ok(operator.log().contains(text).then_some(()))).await.unwrap();
}

#[tokio::test]
async fn nothing_is_ever_forced_and_no_secret_is_seen() {
    let cluster = ControlPlane::start().await.unwrap();
    let work_dir = ScratchDir::new().unwrap();
    let recorder = GitRecorder::new(&work_dir).unwrap();
    install_definitions(&cluster).await.unwrap();
    let environment = [("PATH", recorder.path())];
    let start = |cluster: &ControlPlane| Operator::start_again(cluster, &work_dir, &[], &environment).unwrap();
    let operator = start(&cluster);
    let mirror = Mirror::start(&cluster, "argv", &["configmaps"]).await.unwrap();
    let mut run = Run { cluster, mirror, value: 0 };
    run.change().await;
    // A foreign commit, and one in our file's way.
    run.mirror.repo.commit_file("main", "README.md", "theirs\n", ERIN);
    run.change().await;
    let ours = run.mirror.repo.head("main").unwrap();
    // Whatever the server answers.
    for fault in [Fault::AnswerLost, Fault::CutRequest(50), Fault::Status(500)] {
        run.mirror.server.fault_once(Kind::ReceivePack, fault);
        run.change().await;
    }
    // The history rewritten: what is ours must follow, not win.
    let theirs = run.mirror.repo.commit_file_on(Some(&ours), "theirs", "theirs\n", ERIN);
    run.mirror.repo.git(&["update-ref", "refs/heads/main", &theirs]);
    run.change().await;
    run.mirror.repo.set_hook("pre-receive", "echo 'no YAML on Fridays' >&2; exit 1");
    run.begin_change().await;
    logged(&operator, "no YAML on Fridays").await;
    run.mirror.repo.set_hook("pre-receive", "exit 0");
    // A journal that another process has to go on with.
    run.mirror.server.set_fault(Some(Fault::Down));
    run.begin_change().await;
    let newest = format!("key: \"{}\"", run.value);
    eventually(SOON, "the change to be in the journal", async || {
        Ok(in_clone(&work_dir, &["log", "-p", "main"]).contains(&newest).then_some(()))
    })
    .await
    .unwrap();
    drop(operator);
    run.mirror.repo.commit_file("main", "README.md", "theirs again\n", ERIN);
    run.mirror.server.set_fault(None);
    let operator = start(&run.cluster);
    run.change().await;
    operator.terminate().await.unwrap();

    let secret = run.mirror.server.password();
    let calls = recorder.calls().unwrap();
    check(&calls, secret);
    let children = recorder.children().unwrap();
    assert!(children.iter().any(|child| child.contains("remote-http")), "{children:#?}");
    for child in &children {
        assert!(!child.contains(secret), "{child}");
        let pushes = child.contains("send-pack") || child.contains("receive-pack");
        assert!(!pushes || !(child.contains("--force") || child.contains("\"+")), "{child}");
    }
}

fn check(calls: &[GitCall], secret: &str) {
    let named =
        |name: &str| calls.iter().filter(|call| call.arguments.first().is_some_and(|first| first == name)).count();
    for name in ["push", "fetch", "ls-remote", "fast-import"] {
        assert!(named(name) > 1, "{name} was called {} times", named(name));
    }
    for call in calls {
        let is_push = call.arguments[0] == "push";
        for argument in &call.arguments[1..] {
            let forces = argument.starts_with("--force") || argument == "-f";
            // Where a replay is prepared, on a ref that is never pushed by its name.
            assert!(!forces || call.arguments[0] == "fast-import", "{call:#?}");
            assert!(!argument.contains(secret) && !has_user(argument), "{call:#?}");
            let risky = ["--mirror", "--delete", "-d", "--prune", "--all", "--tags"].contains(&argument.as_str());
            let removes_or_forces = argument.starts_with('+') || argument.starts_with(':');
            assert!(!(is_push && (risky || removes_or_forces)), "{call:#?}");
        }
        for variable in &call.environment {
            let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
            assert!(!value.contains(secret) && !has_user(value), "{name} shows a secret: {:?}", call.arguments);
            let key = if name.starts_with("GIT_CONFIG_KEY_") { value } else { Default::default() };
            let pushes = key.starts_with("remote.") && (key.ends_with(".push") || key.ends_with(".mirror"));
            assert!(!pushes, "{key}: {:?}", call.arguments);
        }
    }
}

/// Whether there is a URL with a user in it.
fn has_user(text: &str) -> bool {
    let authority = text.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    authority.is_some_and(|authority| authority.contains('@') && !text.starts_with("ssh"))
}
