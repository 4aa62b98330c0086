//! The one-shot command `snapshot`.

use crate::support::control_plane::ControlPlane;
use crate::support::operator::{Mirror, apply, shared};
use crate::support::scratch::ScratchDir;
use std::process::{Command, Output};

fn snapshot(cluster: &ControlPlane, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gitops-reverser"));
    command.arg("snapshot").args(arguments).env("KUBECONFIG", cluster.kubeconfig()).output().unwrap()
}

#[tokio::test]
async fn a_snapshot_has_the_bytes_of_the_mirror() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::start(cluster, "snapshot", &["configmaps", "services"]).await.unwrap();
    let namespace = mirror.namespace.as_str();
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web, namespace: {namespace}}}\ndata: {{a: 'yes'}}\n"
    );
    apply(cluster, &map).await.unwrap();
    let file = mirror.config_map("web");
    mirror.commits(&file, 1).await.unwrap();

    let folder = ScratchDir::new().unwrap();
    let output = folder.path().to_str().unwrap();
    let done = snapshot(cluster, &["-n", namespace, "--output", output, "configmaps"]);
    assert!(done.status.success(), "{done:?}");
    let written = std::fs::read_to_string(folder.path().join(file.strip_prefix("live/").unwrap())).unwrap();
    assert_eq!(Some(&written), mirror.repo.read("main", &file).as_ref());

    let stream = snapshot(cluster, &["-n", namespace, "-o", "-", "configmaps"]);
    assert!(String::from_utf8(stream.stdout).unwrap().contains(&format!("---\n{written}")));

    let preset = folder.path().join("preset");
    let done = snapshot(cluster, &["-A", "--output", preset.to_str().unwrap()]);
    assert!(done.status.success(), "{done:?}");
    assert!(preset.join("apiextensions.k8s.io/v1/customresourcedefinitions/gittargets.configbutler.ai.yaml").is_file());
    assert!(preset.join(format!("core/v1/namespaces/{namespace}.yaml")).is_file());
}

#[tokio::test]
async fn what_a_snapshot_cannot_have_is_said() {
    let cluster = shared().await.unwrap();
    for (arguments, says) in [
        (&["-o", "-", "configmapz"][..], "configmapz is not served (did you mean configmaps?)"),
        (&["-o", "-", "--context", "nowhere"], "nowhere"),
        (&["-o", "/dev/null/x", "-A", "namespaces"], "/dev/null/x"),
    ] {
        let failed = snapshot(cluster, arguments);
        assert_eq!(failed.status.code(), Some(1), "{arguments:?}");
        let said = String::from_utf8(failed.stderr).unwrap();
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    assert_eq!(snapshot(cluster, &[]).status.code(), Some(2));
}
