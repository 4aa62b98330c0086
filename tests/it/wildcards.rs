//! What wildcards and rules without `resources` select, and several targets that want the same.

use crate::support::control_plane::ControlPlane;
use crate::support::operator::{Mirror, Operator, SOON, apply, shared};
use crate::support::poll::eventually;
use crate::support::scratch::ScratchDir;
use anyhow::ensure;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// One object of each type that is interesting, in the namespace `NS`.
const ALL_SORTS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: web, namespace: NS}
---
apiVersion: v1
kind: LimitRange
metadata: {name: web, namespace: NS}
spec: {limits: []}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: web, namespace: NS}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: sorts.test/v1
kind: Sort
metadata: {name: web, namespace: NS}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: NS}
spec: {containers: [{name: c, image: example.invalid/c}]}
---
apiVersion: events.k8s.io/v1
kind: Event
metadata: {name: web, namespace: NS}
eventTime: '2026-01-01T00:00:00.000000Z'
action: Test
reason: Test
reportingController: example.com/test
reportingInstance: test
regarding: {kind: ConfigMap, name: web, namespace: NS}
type: Normal
---
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: NS}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, namespace: NS}
addressType: IPv4
endpoints: []
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: web, namespace: NS}
---
apiVersion: apps/v1
kind: ControllerRevision
metadata: {name: web, namespace: NS}
revision: 1
data: {a: b}
---
apiVersion: batch/v1
kind: Job
metadata: {name: web, namespace: NS}
spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: c, image: example.invalid/c}]}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: web, namespace: NS}
spec: {suspend: true, schedule: '* * * * *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: example.invalid/c}]}}}}}
";

const SORT: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: sorts.sorts.test}
spec:
  group: sorts.test
  scope: Namespaced
  names: {plural: sorts, kind: Sort}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
";

/// The rules of one target each: its folder, what it selects, and the types of which there is a file in the end.
const SELECTIONS: [(&str, &str, &[&str]); 4] = [
    (
        "wildcard",
        "[{resources: ['*']}]",
        &[
            "configbutler.ai/gitproviders",
            "configbutler.ai/gittargets",
            "configbutler.ai/watchrules",
            "core/configmaps",
            "core/limitranges",
            "core/persistentvolumeclaims",
            "sorts.test/sorts",
        ],
    ),
    ("preset", "[{}]", &["core/configmaps", "core/limitranges"]),
    (
        "named",
        "[{resources: ['*']}, {resources: [jobs, pods, events.events.k8s.io]}]",
        &[
            "batch/jobs",
            "configbutler.ai/gitproviders",
            "configbutler.ai/gittargets",
            "configbutler.ai/watchrules",
            "core/configmaps",
            "core/limitranges",
            "core/persistentvolumeclaims",
            "core/pods",
            "events.k8s.io/events",
            "sorts.test/sorts",
        ],
    ),
    ("groups", "[{apiGroups: [sorts.test, batch], resources: ['*']}]", &["sorts.test/sorts"]),
];

/// The same with `--watch-all --discovery-exclude=limitranges,sorts.test/*,configbutler.ai/*`.
const WITH_FLAGS: [(&str, &str, &[&str]); 3] = [
    ("wildcard", "[{resources: ['*']}]", &["core/configmaps", "core/persistentvolumeclaims"]),
    ("preset", "[{}]", &["core/configmaps", "core/persistentvolumeclaims"]),
    (
        "named",
        "[{resources: [configmaps, limitranges, 'sorts.*']}]",
        &["core/configmaps", "core/limitranges", "sorts.test/sorts"],
    ),
];

/// Makes a target and a rule of each selection, and waits until exactly the expected types are in its folder.
async fn select(mirror: &Mirror, cluster: &ControlPlane, operator: &Operator, selections: &[(&str, &str, &[&str])]) {
    let configuration = mirror.configuration(&["configmaps"]);
    let (provider, _) = configuration.split_once("---\napiVersion: configbutler.ai/v1alpha1\nkind: GitTarget").unwrap();
    let mut manifests = provider.to_owned();
    for (folder, rules, _) in selections {
        write!(manifests, "---\napiVersion: configbutler.ai/v1alpha1\nkind: GitTarget\nmetadata: {{name: {folder}, namespace: NS}}\nspec: {{providerRef: {{name: git}}, baseFolder: {folder}}}\n---\napiVersion: configbutler.ai/v1alpha1\nkind: WatchRule\nmetadata: {{name: {folder}, namespace: NS}}\nspec: {{sinkRef: {{name: {folder}}}, rules: {rules}}}\n").unwrap();
    }
    manifests.push_str("---");
    manifests.push_str(ALL_SORTS);
    let manifests = manifests.replace("NS", &mirror.namespace);
    eventually(SOON, "the namespace to take pods", async || Ok(Some(apply(cluster, &manifests).await?))).await.unwrap();
    let present = |folder: &str| -> BTreeSet<String> {
        let files = mirror.repo.files("main").into_iter();
        let types = files.filter_map(|path| {
            let parts: Vec<&str> = path.split('/').collect();
            (parts[0] == folder && parts.len() > 3).then(|| format!("{}/{}", parts[1], parts[3]))
        });
        types.collect()
    };
    let check = || {
        for (folder, _, expected) in selections {
            let (found, expected) = (present(folder), expected.iter().map(|name| (*name).to_owned()).collect());
            ensure!(found == expected, "{folder}: {:?} instead of the other", found.symmetric_difference(&expected));
        }
        Ok(Some(()))
    };
    let arrived = eventually(SOON, "exactly the types that are selected", async || check()).await;
    arrived.unwrap_or_else(|error| panic!("{error:#}; {}", operator.log()));
    // What is selected wrongly would have come at the latest with what is changed now.
    let mark = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: NS}\ndata: {mark: ''}\n";
    apply(cluster, &mark.replace("NS", &mirror.namespace)).await.unwrap();
    for (folder, ..) in selections.iter().filter(|(.., types)| types.contains(&"core/configmaps")) {
        let path = format!("{folder}/core/v1/configmaps/{}/web.yaml", mirror.namespace);
        eventually(SOON, &format!("the mark in {folder}"), async || {
            Ok(mirror.repo.read("main", &path).filter(|content| content.contains("mark:")))
        })
        .await
        .unwrap();
    }
    check().unwrap();
}

#[tokio::test]
async fn wildcards_pass_over_what_nobody_wants() {
    let cluster = ControlPlane::start().await.unwrap();
    let work_dir = ScratchDir::new().unwrap();
    apply(&cluster, SORT).await.unwrap();
    let operator = Operator::start(&cluster, &work_dir, &[]).await.unwrap();
    let mirror = Mirror::prepare(&cluster, "wildcards").await.unwrap();
    select(&mirror, &cluster, &operator, &SELECTIONS).await;
    operator.terminate().await.unwrap();
    let mut delete = cluster.kubectl();
    let deleted = delete.args(["delete", "namespace", &mirror.namespace]).output().await.unwrap();
    assert!(deleted.status.success(), "{deleted:?}");

    let flags =
        ["--watch-all", "--discovery-exclude=limitranges,sorts.test/*", "--discovery-exclude=configbutler.ai/*"];
    let operator = Operator::start(&cluster, &work_dir, &flags).await.unwrap();
    let mirror = Mirror::prepare(&cluster, "flags").await.unwrap();
    select(&mirror, &cluster, &operator, &WITH_FLAGS).await;
    operator.terminate().await.unwrap();
}

#[tokio::test]
async fn overlapping_rules_of_many_targets_on_one_branch_write_each_change_once() {
    const TARGETS: usize = 8;
    let cluster = shared().await.unwrap();
    let mirror = Mirror::start(cluster, "overlap", &["configmaps"]).await.unwrap();
    let namespace = &mirror.namespace;
    let mut manifests = String::new();
    for number in 0..TARGETS {
        write!(manifests, "---\napiVersion: configbutler.ai/v1alpha1\nkind: GitTarget\nmetadata: {{name: t{number}, namespace: {namespace}}}\nspec: {{providerRef: {{name: git}}, baseFolder: folders/t{number}}}\n").unwrap();
        // Two rules for one target want the same objects, and the target `live` wants them too.
        for (name, resources) in [("some", "configmaps"), ("more", "limitranges, configmaps")] {
            write!(manifests, "---\napiVersion: configbutler.ai/v1alpha1\nkind: WatchRule\nmetadata: {{name: {name}-{number}, namespace: {namespace}}}\nspec: {{sinkRef: {{name: t{number}}}, rules: [{{resources: [{resources}]}}]}}\n").unwrap();
        }
    }
    apply(cluster, &manifests).await.unwrap();
    let mut wait = cluster.kubectl();
    wait.args([
        "wait",
        "--namespace",
        namespace,
        "--for=condition=Ready",
        "--timeout=60s",
        "gittargets,watchrules",
        "--all",
    ]);
    let output = wait.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");

    let map = |value: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web, namespace: {namespace}}}\ndata: {{value: '{value}'}}\n"
        )
    };
    let paths: Vec<String> = (0..TARGETS)
        .map(|number| format!("folders/t{number}/core/v1/configmaps/{namespace}/web.yaml"))
        .chain([mirror.config_map("web")])
        .collect();
    for (count, value) in (1..).zip(["a", "b"]) {
        apply(cluster, &map(value)).await.unwrap();
        for path in &paths {
            mirror.commits(path, count).await.unwrap();
        }
    }
    let deleted =
        cluster.kubectl().args(["delete", "configmap", "web", "--namespace", namespace]).output().await.unwrap();
    assert!(deleted.status.success(), "{deleted:?}");
    for path in &paths {
        let log = mirror.commits(path, 3).await.unwrap();
        let kinds: Vec<char> =
            log.iter().map(|commit| commit.changes.iter().find(|(_, changed)| changed == path).unwrap().0).collect();
        assert_eq!(kinds, ['A', 'M', 'D'], "{path}");
        assert!(log.iter().all(|commit| commit.changes.len() == 1), "one commit a target and change: {log:#?}");
    }
}
