//! Who did it: every way to write, each by a user of its own, against the real API server and its controllers.

use crate::support::control_plane::{ControlPlane, TESTERS};
use crate::support::operator::{Mirror, SOON, apply, shared};
use crate::support::poll::eventually;
use crate::support::remote_repo::CommitInfo;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, EvictParams, ListParams, Patch, PatchParams, PostParams,
    PropagationPolicy,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a commit must say: operation, user, tier.
type Expected = (&'static str, String, &'static str);

/// A mirrored namespace, and what is expected of it, by file.
struct Matrix {
    cluster: &'static ControlPlane,
    mirror: Mirror,
    expected: BTreeMap<String, Vec<Expected>>,
}

/// One object of the matrix.
#[derive(Clone)]
struct Subject {
    kind: ApiResource,
    name: String,
}

fn kind(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    ApiResource { group: group.into(), version: version.into(), api_version, kind: kind.into(), plural: plural.into() }
}

fn config_map(name: &str) -> Subject {
    Subject { kind: kind("", "v1", "ConfigMap", "configmaps"), name: name.to_owned() }
}

fn deployment(name: &str) -> Subject {
    Subject { kind: kind("apps", "v1", "Deployment", "deployments"), name: name.to_owned() }
}

impl Matrix {
    /// The API of a kind, as `user`.
    async fn api(&self, kind: &ApiResource, user: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.cluster.client_as(user).await.unwrap(), &self.mirror.namespace, kind)
    }

    fn expect(&mut self, subject: &Subject, operation: &'static str, user: &str, tier: &'static str) {
        let group = if subject.kind.group.is_empty() { "core" } else { &subject.kind.group };
        let (namespace, version) = (&self.mirror.namespace, &subject.kind.version);
        let path = format!("live/{group}/{version}/{}/{namespace}/{}.yaml", subject.kind.plural, subject.name);
        self.expected.entry(path).or_default().push((operation, user.to_owned(), tier));
    }

    async fn create(&mut self, subject: &Subject, user: &str, body: Value) {
        self.create_as(subject, &subject.kind, user, body).await;
    }

    /// Creates it in the version of `kind`.
    async fn create_as(&mut self, subject: &Subject, kind: &ApiResource, user: &str, mut body: Value) {
        body["metadata"]["name"] = json!(subject.name);
        let object: DynamicObject = serde_json::from_value(body).unwrap();
        self.api(kind, user).await.create(&PostParams::default(), &object).await.unwrap();
        self.expect(subject, "CREATE", user, "exact");
    }

    async fn patch(&mut self, subject: &Subject, user: &str, patch: Patch<Value>) {
        let manager = if matches!(patch, Patch::Apply(_)) { Some(format!("manager-of-{user}")) } else { None };
        let parameters = PatchParams { field_manager: manager, ..PatchParams::default() };
        self.api(&subject.kind, user).await.patch(&subject.name, &parameters, &patch).await.unwrap();
        self.expect(subject, "UPDATE", user, "exact");
    }

    async fn scale(&mut self, subject: &Subject, user: &str, replicas: u32) {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.api(&subject.kind, user).await.patch_scale(&subject.name, &PatchParams::default(), &patch).await.unwrap();
        self.expect(subject, "UPDATE", user, "version");
    }

    async fn delete(&mut self, subject: &Subject, user: &str, propagation: Option<PropagationPolicy>) {
        let parameters = DeleteParams { propagation_policy: propagation, ..DeleteParams::default() };
        self.api(&subject.kind, user).await.delete(&subject.name, &parameters).await.unwrap();
        self.expect(subject, "DELETE", user, "version");
    }

    async fn kubectl(&self, user: &str, arguments: &[&str]) {
        let mut kubectl = self.cluster.kubectl();
        kubectl.args(["--as", user, "--as-group", TESTERS, "--namespace", &self.mirror.namespace]).args(arguments);
        let output = kubectl.env("KUBE_EDITOR", "sed -i s/before/edited/").output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    async fn check(&self) {
        for (path, expected) in &self.expected {
            let log = self.mirror.commits(path, expected.len()).await.unwrap();
            let said: Vec<_> = log.iter().map(verdict).collect();
            let expected: Vec<_> = expected.iter().map(|(op, user, tier)| format!("{op} by {user}: {tier}")).collect();
            assert_eq!(said, expected, "{path}");
        }
    }
}

fn trailer(commit: &CommitInfo, key: &str) -> String {
    let key = format!("X-ConfigButler-{key}: ");
    commit.body.lines().find_map(|line| line.strip_prefix(&key)).unwrap_or("nobody").to_owned()
}

fn verdict(commit: &CommitInfo) -> String {
    format!("{} by {}: {}", trailer(commit, "Operation"), trailer(commit, "User"), trailer(commit, "Attribution"))
}

/// A matrix whose namespace mirrors `resources`, and `definition` if it is given.
async fn matrix(prefix: &str, resources: &[&str], definition: impl Fn(&str) -> Option<Value>) -> Matrix {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::prepare(cluster, prefix).await.unwrap();
    let mut resources: Vec<String> = resources.iter().map(|&resource| resource.to_owned()).collect();
    if let Some(definition) = definition(&mirror.namespace) {
        let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
        apply(cluster, &definition.to_string()).await.unwrap();
        let waited = cluster.kubectl().args(["wait", "--for=condition=Established", "crd", &name]).output().await;
        assert!(waited.unwrap().status.success());
        resources.push(name);
    }
    let resources: Vec<&str> = resources.iter().map(String::as_str).collect();
    apply(cluster, &mirror.configuration(&resources)).await.unwrap();
    mirror.ready(cluster).await.unwrap();
    let matrix = Matrix { cluster, mirror, expected: BTreeMap::new() };
    matrix.registered(&resources).await;
    matrix
}

impl Matrix {
    /// Waits until the API server calls the webhook for all of `resources`.
    async fn registered(&self, resources: &[&str]) {
        eventually(SOON, "the webhook to be registered", async || {
            let mut get = self.cluster.kubectl();
            get.args(["get", "validatingwebhookconfiguration", "gitops-reverser", "--output=jsonpath={..resources}"]);
            let said = String::from_utf8(get.output().await?.stdout)?;
            let is_there =
                |resource: &&str| said.contains(&format!("{:?}", resource.split('.').next().unwrap_or_default()));
            anyhow::ensure!(resources.iter().all(is_there), "{said}");
            Ok(Some(()))
        })
        .await
        .unwrap();
    }
}

fn deployment_body() -> Value {
    let container = json!({"name": "c", "image": "example.invalid/c"});
    json!({"metadata": {}, "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}}})
}

#[tokio::test]
async fn objects_that_are_created_written_and_applied() {
    let mut matrix = matrix("writes", &["configmaps"], |_| None).await;
    let map = config_map("written");
    matrix.create(&map, "creator", json!({"metadata": {}, "data": {"k": "0", "gone": "x"}})).await;
    let mut object = matrix.api(&map.kind, "putter").await.get("written").await.unwrap();
    object.data["data"]["k"] = json!("1");
    matrix.api(&map.kind, "putter").await.replace("written", &PostParams::default(), &object).await.unwrap();
    matrix.expect(&map, "UPDATE", "putter", "exact");
    let json = serde_json::from_value(json!([{"op": "remove", "path": "/data/gone"}])).unwrap();
    matrix.patch(&map, "json-patcher", Patch::Json(json)).await;
    matrix.patch(&map, "merge-patcher", Patch::Merge(json!({"data": {"k": "2"}}))).await;
    matrix.patch(&map, "strategic-patcher", Patch::Strategic(json!({"data": {"k": "3"}}))).await;
    matrix.patch(&map, "system:serviceaccount:tools:bot", Patch::Merge(json!({"data": {"k": "4"}}))).await;

    let generated: DynamicObject =
        serde_json::from_value(json!({"metadata": {"generateName": "made-"}, "data": {"k": "0"}})).unwrap();
    let created = matrix.api(&map.kind, "generator").await.create(&PostParams::default(), &generated).await.unwrap();
    matrix.expect(&config_map(&created.metadata.name.unwrap()), "CREATE", "generator", "exact");

    let applied = config_map("applied");
    let body =
        |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": data});
    matrix.patch(&applied, "applier", Patch::Apply(body(json!({"a": "1"})))).await;
    matrix.expected.values_mut().flatten().filter(|(_, user, _)| user == "applier").for_each(|it| it.0 = "CREATE");
    matrix.patch(&applied, "second-applier", Patch::Apply(body(json!({"b": "1"})))).await;
    matrix.patch(&applied, "applier", Patch::Apply(body(json!({"a": "2"})))).await;
    matrix.check().await;
}

#[tokio::test]
async fn what_kubectl_does() {
    let mut matrix = matrix("kubectl", &["configmaps", "deployments"], |_| None).await;
    let (map, web) = (config_map("edited"), deployment("web"));
    matrix.create(&map, "creator", json!({"metadata": {}, "data": {"k": "before"}})).await;
    matrix.create(&web, "creator", deployment_body()).await;
    let table: [(&str, &[&str], &Subject, &'static str); 6] = [
        ("editor", &["edit", "configmap", "edited"], &map, "exact"),
        ("labeller", &["label", "configmap", "edited", "l=1"], &map, "exact"),
        ("annotator", &["annotate", "deployment", "web", "a=1"], &web, "exact"),
        ("scaler", &["scale", "deployment", "web", "--replicas=3"], &web, "version"),
        ("restarter", &["rollout", "restart", "deployment", "web"], &web, "exact"),
        ("zero-scaler", &["scale", "deployment", "web", "--replicas=0"], &web, "version"),
    ];
    for (user, arguments, subject, tier) in table {
        matrix.kubectl(user, arguments).await;
        matrix.expect(subject, "UPDATE", user, tier);
    }
    matrix.kubectl("deleter", &["delete", "configmap", "edited"]).await;
    matrix.expect(&map, "DELETE", "deleter", "version");
    matrix.check().await;
}

/// A type in two versions, with its replicas in a place of its own.
fn pools(namespace: &str) -> Value {
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            "subresources": {"status": {},
                "scale": {"specReplicasPath": ".spec.pool.size", "statusReplicasPath": ".status.size"}}})
    };
    let group = format!("{namespace}.example.com");
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("pools.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "pools", "singular": "pool", "kind": "Pool"},
            "versions": [version("v2", true), version("v1", false)]}
    })
}

#[tokio::test]
async fn subresources_and_other_versions() {
    let resources = ["deployments", "horizontalpodautoscalers"];
    let mut matrix = matrix("sub", &resources, |namespace| Some(pools(namespace))).await;
    let web = deployment("web");
    matrix.create(&web, "creator", deployment_body()).await;
    let autoscaler = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";
    for replicas in [4, 0, 2] {
        matrix.scale(&web, autoscaler, replicas).await;
    }
    let notes = Patch::Merge(json!({"metadata": {"annotations": {"by": "status"}}}));
    let statuses = matrix.api(&web.kind, "status-writer").await;
    statuses.patch_status("web", &PatchParams::default(), &notes).await.unwrap();
    matrix.expect(&web, "UPDATE", "status-writer", "exact");

    let group = format!("{}.example.com", matrix.mirror.namespace);
    let pool = Subject { kind: kind(&group, "v2", "Pool", "pools"), name: "pool".into() };
    let old = kind(&group, "v1", "Pool", "pools");
    let body =
        json!({"apiVersion": old.api_version, "kind": "Pool", "metadata": {}, "spec": {"pool": {"size": 1}, "x": "a"}});
    matrix.create_as(&pool, &old, "old-creator", body).await;
    for replicas in [3, 0] {
        matrix.scale(&pool, autoscaler, replicas).await;
    }
    let patch = Patch::Merge(json!({"spec": {"x": "b"}}));
    matrix.api(&old, "old-patcher").await.patch("pool", &PatchParams::default(), &patch).await.unwrap();
    matrix.expect(&pool, "UPDATE", "old-patcher", "exact");
    matrix.patch(&pool, "resizer", Patch::Merge(json!({"spec": {"pool": {"size": 7}}}))).await;

    let hpa = Subject {
        kind: kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
        name: "h".into(),
    };
    let old = kind("autoscaling", "v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers");
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "nobody"});
    let body = json!({"metadata": {}, "spec": {"maxReplicas": 3, "scaleTargetRef": reference, "targetCPUUtilizationPercentage": 50}});
    matrix.create_as(&hpa, &old, "old-creator", body).await;
    let patch = Patch::Merge(json!({"spec": {"maxReplicas": 4}}));
    matrix.api(&old, "old-patcher").await.patch("h", &PatchParams::default(), &patch).await.unwrap();
    matrix.expect(&hpa, "UPDATE", "old-patcher", "exact");
    matrix.check().await;
}

#[tokio::test]
async fn deletions_of_every_kind() {
    let mut matrix = matrix("ends", &["configmaps", "pods"], |_| None).await;
    let body = || json!({"metadata": {}, "data": {"k": "0"}});
    for (name, user, propagation) in [
        ("plain", "deleter", None),
        ("behind", "background-deleter", Some(PropagationPolicy::Background)),
        ("in-front", "foreground-deleter", Some(PropagationPolicy::Foreground)),
        ("alone", "orphan-deleter", Some(PropagationPolicy::Orphan)),
    ] {
        matrix.create(&config_map(name), "creator", body()).await;
        matrix.delete(&config_map(name), user, propagation).await;
    }

    for name in ["first", "second"] {
        matrix.create(&config_map(name), "creator", json!({"metadata": {"labels": {"set": "a"}}})).await;
        matrix.expect(&config_map(name), "DELETE", "collector", "version");
    }
    let maps = matrix.api(&config_map("").kind, "collector").await;
    maps.delete_collection(&DeleteParams::default(), &ListParams::default().labels("set=a")).await.unwrap();

    let held = config_map("held");
    matrix.create(&held, "creator", json!({"metadata": {"finalizers": ["example.com/hold"]}})).await;
    matrix.delete(&held, "deleter", None).await;
    // The second has a call and no event, and whoever lets go of the object did not delete it.
    let maps = matrix.api(&held.kind, "late-deleter").await;
    maps.delete("held", &DeleteParams::default()).await.unwrap();
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let maps = matrix.api(&held.kind, "releaser").await;
    maps.patch("held", &PatchParams::default(), &release).await.unwrap();

    let (owner, dependent) = (config_map("owner"), config_map("dependent"));
    matrix.create(&owner, "creator", body()).await;
    let uid = matrix.api(&owner.kind, "creator").await.get("owner").await.unwrap().metadata.uid.unwrap();
    let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid});
    matrix.create(&dependent, "creator", json!({"metadata": {"ownerReferences": [reference]}})).await;
    matrix.delete(&owner, "owner-deleter", Some(PropagationPolicy::Background)).await;
    let collector = "system:serviceaccount:kube-system:generic-garbage-collector";
    matrix.expect(&dependent, "DELETE", collector, "version");
    pods(&mut matrix).await;
    matrix.check().await;
}

async fn pods(matrix: &mut Matrix) {
    let accounts: Api<ServiceAccount> =
        Api::namespaced(matrix.cluster.client().await.unwrap(), &matrix.mirror.namespace);
    eventually(SOON, "the ServiceAccount of Pods", async || Ok(accounts.get_opt("default").await?)).await.unwrap();
    let pod = |name: &str| Subject { kind: kind("", "v1", "Pod", "pods"), name: name.to_owned() };
    let body = || json!({"metadata": {}, "spec": {"containers": [{"name": "c", "image": "example.invalid/c"}]}});
    matrix.create(&pod("evicted"), "creator", body()).await;
    let client = matrix.cluster.client_as("drainer").await.unwrap();
    let api: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(client, &matrix.mirror.namespace);
    api.evict("evicted", &EvictParams::default()).await.unwrap();
    matrix.expect(&pod("evicted"), "DELETE", "drainer", "inferred");
    matrix.create(&pod("deleted"), "creator", body()).await;
    matrix.delete(&pod("deleted"), "pod-deleter", None).await;
}

#[tokio::test]
async fn the_end_of_a_namespace() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::prepare(cluster, "around").await.unwrap();
    let namespace = &mirror.namespace;
    let sink = format!("sinkRef: {{name: live, namespace: {namespace}}}");
    let rules = "[{scope: Cluster, resources: [namespaces]}, {scope: Namespaced, resources: [podtemplates]}]";
    let rule = format!(
        "\n---\napiVersion: configbutler.ai/v1alpha1\nkind: ClusterWatchRule\nmetadata: {{name: {namespace}}}\nspec:\n  {sink}\n  rules: {rules}\n"
    );
    apply(cluster, &(mirror.configuration(&["resourcequotas"]) + &rule)).await.unwrap();
    mirror.ready(cluster).await.unwrap();
    let matrix = Matrix { cluster, mirror, expected: BTreeMap::new() };
    matrix.registered(&["namespaces", "podtemplates"]).await;
    let doomed = format!("{}-doomed", matrix.mirror.namespace);
    matrix.kubectl("founder", &["create", "namespace", &doomed]).await;
    let template = json!({"metadata": {"name": "t"}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "example.invalid/c"}]}}});
    let client = cluster.client_as("founder").await.unwrap();
    let templates: Api<k8s_openapi::api::core::v1::PodTemplate> = Api::namespaced(client, &doomed);
    templates.create(&PostParams::default(), &serde_json::from_value(template).unwrap()).await.unwrap();
    let path = format!("live/core/v1/podtemplates/{doomed}/t.yaml");
    matrix.mirror.commits(&path, 1).await.unwrap();
    matrix.kubectl("destroyer", &["delete", "namespace", &doomed, "--wait=false"]).await;
    let log = matrix.mirror.commits(&path, 2).await.unwrap();
    let controller = "system:serviceaccount:kube-system:namespace-controller";
    let said: Vec<_> = log.iter().map(verdict).collect();
    assert_eq!(said, ["CREATE by founder: exact".to_owned(), format!("DELETE by {controller}: version")]);
    let log = matrix.mirror.commits(&format!("live/core/v1/namespaces/{doomed}.yaml"), 2).await.unwrap();
    let said: Vec<_> = log.iter().map(verdict).collect();
    assert_eq!(said, ["CREATE by founder: exact", "DELETE by destroyer: version"]);
}
