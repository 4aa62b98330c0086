//! The mirrored folder beside others who write and apply it: the whole operator, with restarts.

use crate::support::control_plane::ControlPlane;
use crate::support::operator::{Mirror, Operator, SOON, apply, shared};
use crate::support::poll::eventually;
use crate::support::scratch::ScratchDir;
use crate::sweeps::commit_files;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

const ERIN: &str = "Erin <erin@example.com>";

fn mk_map(name: &str, value: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"key": value}})).unwrap()
}

fn config_map(namespace: &str, name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: {namespace}\ndata:\n  key: old\n")
}

/// Applied and ignored edits, additions and deletions, with the operator restarted in between.
#[tokio::test]
async fn a_restart_changes_nothing_for_what_a_gitops_tool_applies_in_time() {
    let cluster = ControlPlane::start().await.unwrap();
    let work_dir = ScratchDir::new().unwrap();
    let operator = Operator::start(&cluster, &work_dir, &[]).await.unwrap();
    let mirror = Mirror::prepare(&cluster, "restart").await.unwrap();
    let grace = "baseFolder: live\n  foreignEditGrace: 30s";
    apply(&cluster, &mirror.configuration(&["configmaps"]).replace("baseFolder: live", grace)).await.unwrap();
    mirror.ready(&cluster).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client_as("flux").await.unwrap(), &mirror.namespace);
    for name in ["applied", "ignored"] {
        maps.create(&PostParams::default(), &mk_map(name, "old")).await.unwrap();
        mirror.commits(&mirror.config_map(name), 1).await.unwrap();
    }
    let [applied, ignored, added, stray] = ["applied", "ignored", "added", "stray"].map(|name| mirror.config_map(name));
    for file in [&applied, &ignored] {
        let edited = mirror.repo.read("main", file).unwrap().replace("old", "theirs");
        mirror.repo.commit_file("main", file, &edited, ERIN);
    }
    for (file, name) in [(&added, "added"), (&stray, "stray")] {
        mirror.repo.commit_file("main", file, &config_map(&mirror.namespace, name), ERIN);
    }
    // Whether or not the operator has seen the push yet, it is gone when the tool applies half of it.
    operator.terminate().await.unwrap();
    let patch = Patch::Merge(json!({"data": {"key": "theirs"}}));
    maps.patch("applied", &PatchParams::default(), &patch).await.unwrap();
    let operator = Operator::start_again(&cluster, &work_dir, &[], &[]).unwrap();
    // The other comes while it runs. What happens then shows that the lists are over, and the edits still there.
    maps.create(&PostParams::default(), &mk_map("added", "old")).await.unwrap();
    maps.create(&PostParams::default(), &mk_map("another", "1")).await.unwrap();
    mirror.commits(&mirror.config_map("another"), 1).await.unwrap();
    assert_eq!(mirror.history(&ignored).len(), 2, "{:#?}", mirror.history(&ignored));
    assert!(mirror.repo.read("main", &ignored).unwrap().contains("theirs"));
    assert!(mirror.repo.read("main", &stray).is_some());
    // Afterwards the cluster wins where nobody applied anything.
    let log = mirror.commits(&ignored, 3).await.unwrap();
    assert!(log[2].subject.starts_with("[RECONCILE]"), "{log:#?}");
    assert!(mirror.repo.read("main", &ignored).unwrap().contains("old"));
    eventually(SOON, "the stray file to go", async || Ok(mirror.repo.read("main", &stray).is_none().then_some(())))
        .await
        .unwrap();
    assert_eq!(mirror.history(&applied).len(), 2, "{:#?}", mirror.history(&applied));
    assert!(mirror.repo.read("main", &applied).unwrap().contains("theirs"));
    assert_eq!(mirror.history(&added)[0].author_name, "Erin");
    assert!(mirror.repo.read("main", &added).is_some());
    operator.terminate().await.unwrap();
}

#[tokio::test]
async fn orphans_in_a_folder_that_is_taken_over_go_in_one_commit() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::prepare(cluster, "takeover").await.unwrap();
    let namespace = &mirror.namespace;
    let orphan = |number: usize| format!("orphan-{number}");
    let orphans = (0..600).map(orphan).map(|name| (mirror.config_map(&name), config_map(namespace, &name)));
    let foreign = [
        ("live/README.md".to_owned(), "hello\n".to_owned()),
        ("live/core/v1/configmaps/README.md".to_owned(), "hello\n".to_owned()),
        (mirror.config_map("misplaced"), config_map(namespace, "other")),
        (mirror.config_map("odd"), "- a list\n".to_owned()),
        ("live/core/v1/configmaps/elsewhere/a.yaml".to_owned(), config_map("elsewhere", "a")),
        ("live/core/v1/secrets/x.yaml".to_owned(), config_map(namespace, "x")),
    ];
    commit_files(&mirror.repo, orphans.chain(foreign.clone()));
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client_as("alice").await.unwrap(), namespace);
    maps.create(&PostParams::default(), &mk_map("stays", "1")).await.unwrap();
    apply(cluster, &mirror.configuration(&["configmaps"])).await.unwrap();
    mirror.ready(cluster).await.unwrap();
    let commit = mirror.commits(&mirror.config_map(&orphan(0)), 2).await.unwrap().remove(1);
    assert_eq!(commit.subject, "[RECONCILE] 1 files written, 600 deleted");
    let mut expected: Vec<String> = foreign.into_iter().map(|(path, _)| path).collect();
    expected.push(mirror.config_map("stays"));
    expected.sort();
    assert_eq!(mirror.repo.files("main"), expected);
    for reason in ["Pruned", "Pushed"] {
        eventually(SOON, "the event", async || {
            let mut events = cluster.kubectl();
            events.args(["get", "events", "--namespace", namespace, "--output=name"]);
            events.arg(format!("--field-selector=reason={reason},type=Normal"));
            let output = events.output().await?;
            Ok((!output.stdout.is_empty()).then_some(()))
        })
        .await
        .unwrap();
    }
}
