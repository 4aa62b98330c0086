//! A cluster with providers, targets and rules, from a few lines of text.

use super::super::catalog::tests::mk_type;
use super::super::catalog::{Absences, Catalog};
use super::super::claims::WriteAccess;
use super::super::compile::{Compiled, Inputs, Namespaces, compile};
use super::super::flux::{FluxRepositories, FluxRepository};
use super::super::policy::Policy;
use super::super::set::Target;
use crate::api::{ClusterWatchRule, GitProvider, GitTarget, WatchRule};
use crate::resource::{NamespacedName, ResourceType};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// What the API server of the base world serves: group, version, plural, kind, whether in namespaces.
const SERVED: &[(&str, &str, &str, &str, bool)] = &[
    ("", "v1", "configmaps", "ConfigMap", true),
    ("", "v1", "endpoints", "Endpoints", true),
    ("", "v1", "events", "Event", true),
    ("", "v1", "namespaces", "Namespace", false),
    ("", "v1", "nodes", "Node", false),
    ("", "v1", "pods", "Pod", true),
    ("", "v1", "secrets", "Secret", true),
    ("apps", "v1", "controllerrevisions", "ControllerRevision", true),
    ("apps", "v1", "deployments", "Deployment", true),
    ("batch", "v1", "cronjobs", "CronJob", true),
    ("batch", "v1", "jobs", "Job", true),
    ("coordination.k8s.io", "v1", "leases", "Lease", true),
    ("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true),
    ("events.k8s.io", "v1", "events", "Event", true),
    ("example.com", "v2", "widgets", "Widget", true),
    ("example.com", "v1", "widgets", "Widget", true),
    ("flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "FlowSchema", false),
    ("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations", "PriorityLevelConfiguration", false),
    ("networking.k8s.io", "v1", "ingresses", "Ingress", true),
    ("other.example", "v1", "widgets", "Widget", true),
    ("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false),
    ("rbac.authorization.k8s.io", "v1", "roles", "Role", true),
];

/// All inputs, owned.
#[derive(Clone)]
pub(super) struct World {
    pub(super) providers: BTreeMap<String, Arc<GitProvider>>,
    pub(super) targets: BTreeMap<String, Arc<GitTarget>>,
    pub(super) watch_rules: BTreeMap<String, Arc<WatchRule>>,
    pub(super) cluster_watch_rules: BTreeMap<String, Arc<ClusterWatchRule>>,
    pub(super) flux: FluxRepositories,
    pub(super) namespaces: Namespaces,
    pub(super) served: Vec<ResourceType>,
    pub(super) policy: Policy,
    pub(super) access: BTreeMap<NamespacedName, WriteAccess>,
    pub(super) absences: Absences,
    turned: bool,
}

impl World {
    /// Two namespaces, and a provider and a target in one of them that let everybody of it and of the cluster in.
    pub(super) fn base() -> Self {
        let served = SERVED
            .iter()
            .map(|(group, version, resource, kind, namespaced)| mk_type(group, version, resource, kind, *namespaced));
        let mut world = Self {
            providers: BTreeMap::new(),
            targets: BTreeMap::new(),
            watch_rules: BTreeMap::new(),
            cluster_watch_rules: BTreeMap::new(),
            flux: FluxRepositories::CrdAbsent,
            namespaces: Namespaces::new(),
            served: served.collect(),
            policy: Policy::default(),
            access: BTreeMap::new(),
            absences: Absences::default(),
            turned: false,
        };
        world.put(
            "Namespace ns: {team: red}
             Namespace other: {team: blue}
             GitProvider ns/main: {accessPolicy: {allowClusterRules: true}}
             GitTarget ns/a: {}",
        );
        world
    }

    /// Puts what each line says over what was there: `Kind name@second: {spec}`. Specs need to say only what is not usual;
    /// what is without a second was made at once.
    pub(super) fn put(&mut self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (head, spec) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), "{}"));
            let spec: Value = serde_yaml::from_str(spec).unwrap_or_else(|error| panic!("{line}: {error}"));
            let (kind, name) = head.split_once(' ').unwrap_or((head, ""));
            let (name, second) = name.split_once('@').unwrap_or((name, "0"));
            self.put_one(kind, name, second.parse().unwrap(), spec);
        }
    }

    /// Puts one object, or one fact, over what was there.
    pub(super) fn put_one(&mut self, kind: &str, name: &str, second: u8, spec: Value) {
        let (namespace, own) = name.split_once('/').unwrap_or(("", name));
        let object = |usual: Value| mk_object(kind, namespace, own, second, usual, &spec);
        match kind {
            "Namespace" => _ = self.namespaces.insert(Arc::from(name), serde_json::from_value(spec).unwrap()),
            "GitProvider" => {
                let usual = json!({"url": "https://git.example.com/r", "allowedBranches": ["main"]});
                self.providers.insert(name.to_owned(), parse(object(usual)));
            }
            "GitTarget" => {
                let usual = json!({"providerRef": {"name": "main"}, "baseFolder": own});
                self.targets.insert(name.to_owned(), parse(object(usual)));
            }
            "WatchRule" => {
                self.watch_rules.insert(name.to_owned(), parse(object(json!({"sinkRef": {"name": "a"}}))));
            }
            "ClusterWatchRule" => {
                let usual = json!({"sinkRef": {"name": "a", "namespace": "ns"}});
                self.cluster_watch_rules.insert(name.to_owned(), parse(object(usual)));
            }
            "GitRepository" => {
                let read = FluxRepository::read(NamespacedName::new(namespace, own), own, &spec);
                if !matches!(self.flux, FluxRepositories::Listed(_)) {
                    self.flux = FluxRepositories::Listed(Vec::new());
                }
                let FluxRepositories::Listed(listed) = &mut self.flux else { unreachable!() };
                listed.push(Arc::new(read));
            }
            "Flux" => {
                self.flux = match spec.as_str() {
                    Some("absent") => FluxRepositories::CrdAbsent,
                    Some("pending") => FluxRepositories::Pending,
                    Some(why) => FluxRepositories::Unreadable(why.to_owned()),
                    None => FluxRepositories::Listed(Vec::new()),
                }
            }
            "Proven" => _ = self.access.insert(NamespacedName::new(namespace, own), WriteAccess::Proven),
            "Denied" => _ = self.access.insert(NamespacedName::new(namespace, own), WriteAccess::Denied),
            "Unwatchable" => _ = self.absences.unwatchable.insert((own.to_owned(), namespace.to_owned())),
            "Unclear" => _ = self.absences.unclear_groups.insert(own.to_owned()),
            "Without" => self.remove(spec.as_str().unwrap()),
            "Policy" => self.decide(&spec),
            _ => panic!("{kind} is unknown"),
        }
    }

    fn remove(&mut self, object: &str) {
        let (kind, name) = object.split_once(' ').unwrap();
        let found = match kind {
            "Namespace" => self.namespaces.remove(name).is_some(),
            "GitProvider" => self.providers.remove(name).is_some(),
            "GitTarget" => self.targets.remove(name).is_some(),
            "served" => {
                let before = self.served.len();
                self.served.retain(|served| served.to_string() != name);
                self.served.len() < before
            }
            _ => false,
        };
        assert!(found, "there is no {object}");
    }

    fn decide(&mut self, policy: &Value) {
        for (key, value) in policy.as_object().unwrap() {
            let texts = || value.as_array().unwrap().iter().map(|text| text.as_str().unwrap());
            let number = || usize::try_from(value.as_u64().unwrap()).unwrap();
            match key.as_str() {
                "watchAll" => self.policy.wildcards.watch_all = value.as_bool().unwrap(),
                "exclude" => self.policy.wildcards.excluded = texts().map(|text| text.parse().unwrap()).collect(),
                "secrets" => self.policy.secrets = value.as_str().unwrap().parse().unwrap(),
                "deletesCap" => self.policy.deletes_cap = Some(number()),
                "maxWatches" => self.policy.limits.max_watches = number(),
                "namespacedLimit" => self.policy.limits.namespaced_watch_limit = number(),
                "insecure" => self.policy.hosts.allow_insecure = value.as_bool().unwrap(),
                _ => panic!("{key} is unknown"),
            }
        }
    }

    /// From now on all inputs come in the other order.
    pub(super) fn turn_round(&mut self) {
        self.turned = !self.turned;
        if let FluxRepositories::Listed(listed) = &mut self.flux {
            listed.reverse();
        }
    }

    pub(super) fn catalog(&self) -> Catalog {
        let deployments = mk_type("apps", "v1", "deployments", "Deployment", true);
        Catalog::new(self.served.iter().cloned())
            .with_short_names([(deployments, vec!["deploy".to_owned()])])
            .with_absences(self.absences.clone())
    }

    /// What it comes to once every usable target is ready.
    pub(super) fn compile(&self) -> Compiled {
        let unready = self.compile_with(&HashSet::new(), &HashSet::new());
        let ready = unready.targets.values().map(|target| Target::clone(target)).collect();
        self.compile_with(&ready, &ready)
    }

    pub(super) fn compile_with(&self, ready: &HashSet<Target>, known: &HashSet<Target>) -> Compiled {
        compile(&Inputs {
            providers: &self.listed(&self.providers),
            flux: &self.flux,
            targets: &self.listed(&self.targets),
            watch_rules: &self.listed(&self.watch_rules),
            cluster_watch_rules: &self.listed(&self.cluster_watch_rules),
            namespaces: &self.namespaces,
            catalog: &self.catalog(),
            policy: &self.policy,
            ready,
            known,
            access: &self.access,
        })
    }

    fn listed<K>(&self, objects: &BTreeMap<String, Arc<K>>) -> Vec<Arc<K>> {
        let mut listed: Vec<_> = objects.values().cloned().collect();
        if self.turned {
            listed.reverse();
        }
        listed
    }
}

fn mk_object(kind: &str, namespace: &str, name: &str, second: u8, mut spec: Value, change: &Value) -> Value {
    spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    json!({
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("{kind}-{namespace}-{name}"), "generation": 1,
            "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z")
        },
        "spec": spec
    })
}

fn parse<K: DeserializeOwned>(object: Value) -> Arc<K> {
    Arc::new(serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{object}: {error}")))
}
