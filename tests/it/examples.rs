//! What the documentation shows works: every manifest is accepted, and every example is in effect as a whole.

use crate::support::control_plane::{self, ControlPlane};
use crate::support::git_server::GitServer;
use crate::support::operator::{Operator, SOON, apply, install_definitions};
use crate::support::poll::eventually;
use crate::support::remote_repo::RemoteRepo;
use crate::support::scratch::ScratchDir;
use anyhow::{Context as _, Result, ensure};
use gitops_reverser::api::{ClusterWatchRule, GitProvider, GitTarget, WatchRule};
use gitops_reverser::resource::NamespacedName;
use gitops_reverser::rules::{self, FluxRepositories, FluxRepository, Inputs, Policy};
use gitops_reverser::watch::discovery::discover;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The documents of a file or of a block of one.
struct Manifests {
    /// Where they stand.
    place: String,
    documents: Vec<Value>,
}

impl Manifests {
    fn read(place: String, yaml: &str) -> Self {
        let documents = serde_yaml::Deserializer::from_str(yaml);
        let documents = documents.map(|document| serde::Deserialize::deserialize(document).expect(&place));
        Self { documents: documents.filter(|document: &Value| !document.is_null()).collect(), place }
    }

    fn all<T: DeserializeOwned>(&self, kind: &str) -> Vec<Arc<T>> {
        let of_kind = self.documents.iter().filter(|document| document["kind"] == kind);
        of_kind.map(|document| Arc::new(serde_json::from_value(document.clone()).expect(&self.place))).collect()
    }

    fn namespaces(&self) -> rules::Namespaces {
        let namespaces = self.documents.iter().filter(|document| document["kind"] == "Namespace");
        let labels = |namespace: &Value| -> BTreeMap<String, String> {
            serde_json::from_value(namespace["metadata"]["labels"].clone()).unwrap_or_default()
        };
        namespaces.map(|namespace| (Arc::from(text(&namespace["metadata"]["name"])), labels(namespace))).collect()
    }

    fn flux(&self) -> FluxRepositories {
        let repositories = self.documents.iter().filter(|document| document["kind"] == "GitRepository");
        let read = |object: &Value| {
            let metadata = &object["metadata"];
            let name = NamespacedName::new(text(&metadata["namespace"]), text(&metadata["name"]));
            Arc::new(FluxRepository::read(name, "uid", &object["spec"]))
        };
        FluxRepositories::Listed(repositories.map(read).collect())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn files(dir: &Path, extension: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let paths = entries.filter(|path| path.extension().is_some_and(|found| found == extension));
    paths.map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap())).collect()
}

fn examples() -> Vec<Manifests> {
    let files = files(&docs().join("examples"), "yaml");
    files.into_iter().map(|(path, yaml)| Manifests::read(path, &yaml)).collect()
}

/// The blocks of YAML in a page that are whole objects.
fn blocks(path: &str, markdown: &str) -> Vec<Manifests> {
    let blocks = markdown.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let whole = blocks.enumerate().filter(|(_, block)| block.starts_with("apiVersion: "));
    whole.map(|(number, block)| Manifests::read(format!("{path}, block {}", number + 1), block)).collect()
}

fn pages() -> Vec<Manifests> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = [root.to_owned(), docs(), docs().join("examples")].map(|dir| files(&dir, "md"));
    pages.into_iter().flatten().flat_map(|(path, markdown)| blocks(&path, &markdown)).collect()
}

/// Every target and rule of an example is ready, and every target gets something.
#[tokio::test]
async fn every_example_is_in_effect() {
    let cluster = control_plane::shared().await.unwrap();
    install_definitions(cluster).await.unwrap();
    let catalog = discover(&cluster.client().await.unwrap()).await.unwrap();
    let examples = examples();
    assert_eq!(examples.len(), 5, "an example is missing, or has no file of its own");
    for example in examples {
        let (namespaces, flux) = (example.namespaces(), example.flux());
        let providers: Vec<Arc<GitProvider>> = example.all("GitProvider");
        let targets: Vec<Arc<GitTarget>> = example.all("GitTarget");
        let watch_rules: Vec<Arc<WatchRule>> = example.all("WatchRule");
        let cluster_watch_rules: Vec<Arc<ClusterWatchRule>> = example.all("ClusterWatchRule");
        let mut inputs = Inputs {
            providers: &providers,
            flux: &flux,
            targets: &targets,
            watch_rules: &watch_rules,
            cluster_watch_rules: &cluster_watch_rules,
            namespaces: &namespaces,
            catalog: &catalog,
            policy: &Policy::default(),
            ready: &HashSet::new(),
            known: &HashSet::new(),
            access: &BTreeMap::new(),
        };
        let usable = rules::compile(&inputs).targets;
        let ready: HashSet<_> = usable.values().map(|target| (**target).clone()).collect();
        (inputs.ready, inputs.known) = (&ready, &ready);
        let compiled = rules::compile(&inputs);
        let rules::Verdicts { providers, targets, watch_rules, cluster_watch_rules } = &compiled.verdicts;
        let verdicts = providers.values().chain(targets.values()).chain(watch_rules.values());
        for verdict in verdicts.chain(cluster_watch_rules.values()) {
            assert_eq!(verdict, &Ok(()), "{}", example.place);
        }
        let served: BTreeSet<_> =
            compiled.set.kinds().flat_map(|kind| compiled.set.routes(kind)).map(|route| &route.target.name).collect();
        assert_eq!(served, targets.keys().collect(), "{}: some target gets nothing", example.place);
    }
}

/// What comes of an example, once these objects are there. Those that get no file come first: when the others have
/// theirs, it is certain.
struct Effect {
    example: &'static str,
    objects: &'static str,
    files: &'static [&'static str],
    no_files: &'static [&'static str],
}

const EFFECTS: [Effect; 5] = [
    Effect {
        example: "one-team-one-repository",
        objects: "
apiVersion: v1
kind: ConfigMap
metadata: {name: fleeting, namespace: shop, labels: {preview: '17'}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: greeting, namespace: shop}
",
        files: &["shop/core/v1/configmaps/shop/greeting.yaml"],
        no_files: &["shop/core/v1/configmaps/shop/fleeting.yaml", "shop/core/v1/secrets/shop/git.yaml"],
    },
    Effect {
        example: "platform-repository",
        objects: "
apiVersion: v1
kind: Namespace
metadata: {name: other}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: greeting, namespace: other}
---
apiVersion: v1
kind: LimitRange
metadata: {name: limits, namespace: other}
---
apiVersion: v1
kind: Namespace
metadata: {name: ingress, labels: {owner: platform}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: greeting, namespace: ingress}
---
apiVersion: v1
kind: Secret
metadata: {name: hidden, namespace: ingress}
",
        files: &[
            "clusters/production/apiextensions.k8s.io/v1/customresourcedefinitions/gittargets.configbutler.ai.yaml",
            "clusters/production/core/v1/configmaps/ingress/greeting.yaml",
            "clusters/production/core/v1/limitranges/other/limits.yaml",
            "clusters/production/core/v1/namespaces/other.yaml",
        ],
        no_files: &[
            "clusters/production/core/v1/configmaps/other/greeting.yaml",
            "clusters/production/core/v1/secrets/ingress/hidden.yaml",
        ],
    },
    Effect {
        example: "namespaces-to-folders",
        objects: "
apiVersion: v1
kind: ConfigMap
metadata: {name: greeting, namespace: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: greeting, namespace: billing}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: billing}
spec:
  schedule: '0 0 31 2 *'
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}
",
        files: &[
            "namespaces/billing/batch/v1/cronjobs/billing/nightly.yaml",
            "namespaces/billing/core/v1/configmaps/billing/greeting.yaml",
            "namespaces/shop/core/v1/configmaps/shop/greeting.yaml",
        ],
        no_files: &[],
    },
    Effect {
        example: "beside-argo-cd",
        objects: "
apiVersion: v1
kind: ConfigMap
metadata: {name: greeting, namespace: shop}
",
        files: &["live/core/v1/configmaps/shop/greeting.yaml"],
        no_files: &["live/core/v1/secrets/shop/shop-git.yaml"],
    },
    Effect {
        example: "beside-flux",
        objects: "
apiVersion: v1
kind: ConfigMap
metadata: {name: greeting, namespace: shop}
",
        files: &["live/core/v1/configmaps/shop/greeting.yaml"],
        no_files: &["live/core/v1/secrets/shop/shop-git.yaml"],
    },
];

/// With a repository and a cluster of one's own, the examples do what they say.
#[tokio::test]
async fn the_examples_mirror_what_they_say() {
    let cluster = ControlPlane::start().await.unwrap();
    install_flux(&cluster).await.unwrap();
    let work_dir = ScratchDir::new().unwrap();
    let _operator = Operator::start(&cluster, &work_dir, &[]).await.unwrap();
    let server = GitServer::start().await.unwrap();
    let examples = examples();
    for effect in EFFECTS {
        let repo = server.create_repo(effect.example);
        let ours = |place: &str| place.ends_with(&format!("{}.yaml", effect.example));
        let example = examples.iter().find(|example| ours(&example.place)).unwrap();
        let objects: Vec<Value> =
            example.documents.iter().filter_map(|document| at(document, &server, &repo)).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        apply(&cluster, &list.to_string()).await.context(effect.example).unwrap();
        apply(&cluster, effect.objects).await.context(effect.example).unwrap();
        let complete = async || {
            let files = repo.head("main").map(|_| repo.files("main")).unwrap_or_default();
            let has = |path: &&str| files.iter().any(|file| file == path);
            ensure!(effect.files.iter().all(has), "{files:#?}");
            Ok(Some(effect.no_files.iter().filter(|path| has(path)).collect::<Vec<_>>()))
        };
        let too_many = eventually(SOON, effect.example, complete).await.unwrap();
        assert!(too_many.is_empty(), "{}: {too_many:?}", effect.example);
        for kinds in [&["clusterwatchrules"][..], &["watchrules,gittargets,gitproviders", "--all-namespaces"]] {
            let mut delete = cluster.kubectl();
            let output = delete.args(["delete", "--all"]).args(kinds).output().await.unwrap();
            assert!(output.status.success(), "{output:?}");
        }
    }
}

/// `document` with the repository and the credentials of the test; nothing for kinds that the test cluster lacks.
fn at(document: &Value, server: &GitServer, repo: &RemoteRepo) -> Option<Value> {
    let mut document = document.clone();
    match text(&document["kind"]) {
        "Application" | "Kustomization" => return None,
        "Secret" => document["stringData"] = json!({"username": server.user(), "password": server.password()}),
        "GitRepository" => document["spec"]["url"] = json!(repo.url()),
        "GitProvider" => {
            document["spec"]["url"] = json!(repo.url());
            document["spec"]["push"] = json!({"interval": "200ms"});
        }
        _ => {}
    }
    Some(document)
}

/// Installs Flux's definition of GitRepository.
async fn install_flux(cluster: &ControlPlane) -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/flux");
    let output = tokio::process::Command::new(script).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let definition = String::from_utf8(output.stdout)?;
    apply(cluster, &std::fs::read_to_string(definition.trim())?).await?;
    let mut wait = cluster.kubectl();
    wait.args(["wait", "--for=condition=Established", "--timeout=60s", "crd/gitrepositories.source.toolkit.fluxcd.io"]);
    let waited = wait.output().await?;
    ensure!(waited.status.success(), "{waited:?}");
    Ok(())
}

/// The API server accepts every object of ours and of its own that the documentation shows, field by field.
#[tokio::test]
async fn every_manifest_is_accepted() {
    let cluster = control_plane::shared().await.unwrap();
    install_definitions(cluster).await.unwrap();
    let namespace = cluster.namespace("examples").await.unwrap();
    let mut accepted = 0;
    for manifests in examples().into_iter().chain(pages()) {
        for document in &manifests.documents {
            let is_known = matches!(text(&document["apiVersion"]), "v1" | "configbutler.ai/v1alpha1");
            if is_known {
                accept(cluster, &namespace, document).await.with_context(|| manifests.place.clone()).unwrap();
                accepted += 1;
            }
        }
    }
    assert!(accepted >= 40, "{accepted}");
}

/// Creates `document`, but for keeping it; what has a namespace in `namespace`.
async fn accept(cluster: &ControlPlane, namespace: &str, written: &Value) -> Result<()> {
    let mut document = written.clone();
    let kind = text(&written["kind"]);
    let (group, version) = text(&written["apiVersion"]).rsplit_once('/').unwrap_or(("", "v1"));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let client = cluster.client().await?;
    let api: Api<DynamicObject> = if matches!(kind, "Namespace" | "ClusterWatchRule") {
        ensure!(document["metadata"]["namespace"].is_null(), "{kind} has no namespace");
        document["metadata"]["name"] = json!(format!("{}-{namespace}", text(&document["metadata"]["name"])));
        Api::all_with(client, &resource)
    } else {
        ensure!(document["metadata"]["namespace"].is_string(), "{kind} has a namespace, so that it can be applied");
        document["metadata"]["namespace"] = json!(namespace);
        Api::namespaced_with(client, namespace, &resource)
    };
    let object: DynamicObject = serde_json::from_value(document)?;
    let created = api.create(&PostParams { dry_run: true, ..PostParams::default() }, &object).await?;
    if group == "configbutler.ai" {
        let dropped = lost(&written["spec"], &created.data["spec"], "spec");
        ensure!(dropped.is_empty(), "{kind} has no fields {dropped:?}");
    }
    Ok(())
}

/// The fields of `written` that are not in `stored`: the API server drops those that it does not know.
fn lost(written: &Value, stored: &Value, at: &str) -> Vec<String> {
    match (written, stored) {
        (Value::Object(written), Value::Object(_)) => {
            written.iter().flat_map(|(name, value)| lost(value, &stored[name], &format!("{at}.{name}"))).collect()
        }
        (Value::Array(written), Value::Array(stored)) if written.len() == stored.len() => {
            written.iter().zip(stored).flat_map(|(written, stored)| lost(written, stored, at)).collect()
        }
        (written, stored) if written == stored => Vec::new(),
        _ => vec![at.to_owned()],
    }
}
