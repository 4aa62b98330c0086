//! Objects as a cluster shows them, and what is to be left of each: a row for every rule.

use super::{Document, manifest};
use crate::resource::ResourceType;
use serde_json::{Value, json};

/// An object before and after. `apiVersion` and `kind` are left out of both.
pub(super) struct Fixture {
    /// What it shows.
    pub(super) name: &'static str,
    pub(super) kind: ResourceType,
    pub(super) live: Value,
    pub(super) clean: Value,
}

pub(super) fn mk_kind(group: &str, kind: &str) -> ResourceType {
    let text = str::to_owned;
    let resource = format!("{}s", kind.to_lowercase());
    ResourceType { group: text(group), version: text("v1"), resource, kind: text(kind), namespaced: true }
}

/// The manifest of `live`.
pub(super) fn clean(live: &Value, kind: &ResourceType) -> String {
    let manifest = manifest(&mut Document::parse(&live.to_string()).unwrap(), kind).unwrap();
    String::from_utf8(manifest.bytes().to_vec()).unwrap()
}

/// What `clean` says, without what the type says.
pub(super) fn parse(clean: &str) -> Value {
    let mut value: Value = serde_yaml::from_str(clean).unwrap();
    value.as_object_mut().unwrap().retain(|key, _| key != "apiVersion" && key != "kind");
    value
}

fn managed(operation: &str, fields: Value) -> Value {
    json!([{"manager": "m", "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": fields}])
}

fn last_applied(object: &Value) -> Value {
    json!({"kubectl.kubernetes.io/last-applied-configuration": format!("{object}\n")})
}

/// Every fixture.
pub(super) fn fixtures() -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    let mut group = "";
    let mut add = |kind: &str, name: &'static str, live: Value, clean: Value| {
        if let Some((of, _)) = kind.split_once('/') {
            group = match of {
                "admission" => "admissionregistration.k8s.io",
                "rbac" => "rbac.authorization.k8s.io",
                "apiregistration" => "apiregistration.k8s.io",
                "apiextensions" => "apiextensions.k8s.io",
                "batch" => "batch",
                "scheduling" => "scheduling.k8s.io",
                "storage" => "storage.k8s.io",
                "networking" => "networking.k8s.io",
                "apps" => "apps",
                "certificates" => "certificates.k8s.io",
                other => panic!("no group {other}"),
            };
        } else {
            group = "";
        }
        let kind = mk_kind(group, kind.rsplit('/').next().unwrap());
        fixtures.push(Fixture { name, kind, live, clean });
    };
    services(&mut add);
    storage(&mut add);
    accounts(&mut add);
    extensions(&mut add);
    workloads(&mut add);
    kept(&mut add);
    fixtures
}

type Add<'a> = &'a mut dyn FnMut(&str, &'static str, Value, Value);

fn services(add: Add<'_>) {
    let spec = json!({"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"], "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster", "externalTrafficPolicy": "Local",
        "sessionAffinity": "None", "allocateLoadBalancerNodePorts": true, "healthCheckNodePort": 31000,
        "type": "LoadBalancer", "selector": {"app": "web"},
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http", "nodePort": 30080},
                  {"name": "dns", "port": 80, "protocol": "UDP", "targetPort": 53, "nodePort": 30053}]});
    let without = |fields: &[&str], ports: [Option<u16>; 2]| {
        let mut spec = spec.clone();
        spec.as_object_mut().unwrap().retain(|key, _| !fields.contains(&key.as_str()));
        for (index, port) in ports.into_iter().enumerate() {
            let element = spec["ports"][index].as_object_mut().unwrap();
            match port {
                Some(port) => drop(element.insert("nodePort".to_owned(), json!(port))),
                None => drop(element.remove("nodePort")),
            }
        }
        spec
    };
    let assigned = ["clusterIP", "clusterIPs", "healthCheckNodePort", "ipFamilies", "ipFamilyPolicy"];
    let but = |kept: &[&str]| assigned.into_iter().filter(|field| !kept.contains(field)).collect::<Vec<_>>();
    let service = |metadata: Value, spec: Value| json!({"metadata": metadata, "spec": spec});
    let bare = || json!({"name": "web"});

    add(
        "Service",
        "a Service keeps nothing that was assigned",
        service(bare(), spec.clone()),
        service(bare(), without(&assigned, [None, None])),
    );
    add(
        "Service",
        "managers of other fields do not count",
        service(
            json!({"name": "web", "managedFields": managed("Apply", json!({"f:spec": {"f:type": {}, "f:ports":
            {"k:{\"port\":80,\"protocol\":\"TCP\"}": {"f:port": {}}}}, "f:clusterIP": {}}))}),
            spec.clone(),
        ),
        service(bare(), without(&assigned, [None, None])),
    );
    add(
        "Service",
        "an address that somebody manages was asked for",
        service(
            json!({"name": "web", "managedFields": managed("Update", json!({"f:spec": {"f:clusterIP": {}}}))}),
            spec.clone(),
        ),
        service(bare(), without(&but(&["clusterIP"]), [None, None])),
    );
    add(
        "Service",
        "what was applied was asked for",
        service(
            json!({"name": "web", "annotations": last_applied(&json!({"apiVersion": "v1", "kind": "Service",
            "spec": {"clusterIP": "10.96.7.7", "healthCheckNodePort": 31000, "ipFamilies": ["IPv4"],
            "ports": [{"port": 80, "nodePort": 30080}, {"port": 80, "protocol": "UDP", "nodePort": 0}]}}))}),
            spec.clone(),
        ),
        service(bare(), without(&but(&["clusterIP", "healthCheckNodePort", "ipFamilies"]), [Some(30080), None])),
    );
    add(
        "Service",
        "a node port belongs to one port and protocol",
        service(
            json!({"name": "web", "managedFields": managed("Update", json!({"f:spec": {"f:ports":
            {".": {}, "k:{\"port\":80,\"protocol\":\"UDP\"}": {".": {}, "f:nodePort": {}},
            "k:{\"port\":81,\"protocol\":\"TCP\"}": {"f:nodePort": {}}, "k:broken": {"f:nodePort": {}}}}}))}),
            spec.clone(),
        ),
        service(bare(), without(&assigned, [None, Some(30053)])),
    );
    add(
        "Service",
        "a policy that was asked for stays",
        service(
            json!({"name": "web", "managedFields": managed("Update", json!({"f:spec": {"f:ipFamilyPolicy": {}}}))}),
            spec.clone(),
        ),
        service(bare(), without(&but(&["ipFamilyPolicy"]), [None, None])),
    );
    let headless = json!({"clusterIP": "None", "clusterIPs": ["None"], "selector": {"app": "db"}});
    add("Service", "a headless Service stays headless", service(bare(), headless.clone()), service(bare(), headless));
    add(
        "Service",
        "two families are no default",
        service(
            bare(),
            json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"],
            "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"}),
        ),
        service(bare(), json!({"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"})),
    );
    add(
        "Service",
        "a policy for two families stays on a cluster that has one",
        service(bare(), json!({"ipFamilies": ["IPv4"], "ipFamilyPolicy": "PreferDualStack"})),
        service(bare(), json!({"ipFamilies": ["IPv4"], "ipFamilyPolicy": "PreferDualStack"})),
    );
    let strange = json!({"clusterIP": 1, "ports": {"nodePort": 1}});
    add(
        "Service",
        "a strange Service",
        service(bare(), strange.clone()),
        service(bare(), json!({"ports": {"nodePort": 1}})),
    );
}

fn storage(add: Add<'_>) {
    let claim =
        |annotations: Value, spec: Value| json!({"metadata": {"name": "d", "annotations": annotations}, "spec": spec});
    let bound = || json!({"volumeName": "pvc-1", "volumeMode": "Filesystem", "storageClassName": "fast"});
    let unbound = || json!({"volumeMode": "Filesystem", "storageClassName": "fast"});
    let bare = |spec: Value| json!({"metadata": {"name": "d"}, "spec": spec});
    let provisioned = || {
        json!({"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes",
        "volume.kubernetes.io/selected-node": "n", "volume.kubernetes.io/storage-provisioner": "csi"})
    };
    add(
        "PersistentVolumeClaim",
        "a volume that was made for the claim",
        claim(provisioned(), bound()),
        bare(unbound()),
    );
    add(
        "PersistentVolumeClaim",
        "the older annotation tells the same",
        claim(
            json!({"volume.beta.kubernetes.io/storage-provisioner": "csi", "volume.kubernetes.io/storage-resizer": "csi"}),
            bound(),
        ),
        bare(unbound()),
    );
    add(
        "PersistentVolumeClaim",
        "a volume that was there before",
        claim(json!({"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/migrated-to": "csi"}), bound()),
        bare(bound()),
    );
    let mut asked = claim(provisioned(), bound());
    asked["metadata"]["managedFields"] = managed("Apply", json!({"f:spec": {"f:volumeName": {}}}));
    add("PersistentVolumeClaim", "a volume that was asked for", asked.clone(), bare(bound()));
    asked["metadata"]["managedFields"] = managed("Update", json!({"f:spec": {"f:volumeName": {}}}));
    add("PersistentVolumeClaim", "the controller that binds asks for nothing", asked, bare(unbound()));
    add(
        "PersistentVolume",
        "a volume keeps the name of its claim",
        json!({"metadata": {"name": "v", "finalizers": ["kubernetes.io/pv-protection", "external-attacher/csi"],
            "annotations": {"pv.kubernetes.io/provisioned-by": "csi"}},
            "spec": {"claimRef": {"kind": "PersistentVolumeClaim", "namespace": "shop", "name": "data", "uid": "u", "resourceVersion": "1"}}}),
        json!({"metadata": {"name": "v", "annotations": {"pv.kubernetes.io/provisioned-by": "csi"}},
            "spec": {"claimRef": {"kind": "PersistentVolumeClaim", "namespace": "shop", "name": "data"}}}),
    );
}

fn accounts(add: Add<'_>) {
    let account = |secrets: Value, pull: Value| json!({"metadata": {"name": "builder"}, "secrets": secrets, "imagePullSecrets": pull});
    let generated = json!([{"name": "builder-token-x7k2p"}, {"name": "builder-dockercfg-9zzw4"}]);
    add(
        "ServiceAccount",
        "generated references go",
        account(generated.clone(), json!([{"name": "builder-dockercfg-9zzw4"}])),
        json!({"metadata": {"name": "builder"}}),
    );
    add(
        "ServiceAccount",
        "references of somebody stay",
        account(
            json!([{"name": "builder-token-x7k2p"}, {"name": "builder-token-deploy"}, {"name": "registry"}]),
            json!([]),
        ),
        account(json!([{"name": "builder-token-deploy"}, {"name": "registry"}]), json!([])),
    );
    add(
        "ServiceAccount",
        "a name that only looks generated",
        account(
            json!([{"name": "other-token-x7k2p"}, {"name": "-token-x7k2p"}, "builder-token-x7k2p", {}]),
            json!([{"name": "builder-token-X7K2P"}]),
        ),
        account(
            json!([{"name": "other-token-x7k2p"}, {"name": "-token-x7k2p"}, "builder-token-x7k2p", {}]),
            json!([{"name": "builder-token-X7K2P"}]),
        ),
    );
    let token = |data: Value| {
        json!({"metadata": {"name": "ci", "annotations": {"kubernetes.io/service-account.name": "builder",
        "kubernetes.io/service-account.uid": "u"}}, "type": "kubernetes.io/service-account-token", "data": data})
    };
    add(
        "Secret",
        "a token that somebody asked for keeps its skeleton",
        token(json!({"token": "dA==", "ca.crt": "Yw==", "namespace": "bg=="})),
        json!({"metadata": {"name": "ci", "annotations": {"kubernetes.io/service-account.name": "builder"}},
            "type": "kubernetes.io/service-account-token"}),
    );
    add(
        "Secret",
        "and what else is in it",
        token(json!({"token": "dA==", "extra": "eA=="})),
        json!({"metadata": {"name": "ci", "annotations": {"kubernetes.io/service-account.name": "builder"}},
            "type": "kubernetes.io/service-account-token", "data": {"extra": "eA=="}}),
    );
    let opaque = json!({"metadata": {"name": "s"}, "type": "Opaque", "data": {"token": "dA==", "ca.crt": "Yw=="}});
    add("Secret", "other Secrets keep all", opaque.clone(), opaque);
    add(
        "certificates/CertificateSigningRequest",
        "who asks for a certificate is noted by the cluster",
        json!({"metadata": {"name": "c"}, "spec": {"request": "cg==", "signerName": "example.com/s", "usages": ["client auth"],
            "username": "ann", "uid": "u", "groups": ["system:authenticated"], "extra": {"example.com/id": ["1"]}}}),
        json!({"metadata": {"name": "c"}, "spec": {"request": "cg==", "signerName": "example.com/s", "usages": ["client auth"]}}),
    );
    let rules = json!([{"verbs": ["*"], "resources": ["*"], "apiGroups": ["*"]}]);
    let aggregation = json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]});
    add(
        "rbac/ClusterRole",
        "collected rules go",
        json!({"metadata": {"name": "r"}, "aggregationRule": aggregation, "rules": rules}),
        json!({"metadata": {"name": "r"}, "aggregationRule": aggregation}),
    );
    let own = json!({"metadata": {"name": "r"}, "rules": rules, "aggregationRule": null});
    add("rbac/ClusterRole", "own rules stay", own.clone(), own);
}

fn extensions(add: Add<'_>) {
    let hooks = |bundles: [Option<&str>; 2]| {
        let hook = |name: &str, bundle: Option<&str>| match bundle {
            Some(bundle) => json!({"name": name, "clientConfig": {"url": "https://x", "caBundle": bundle}}),
            None => json!({"name": name, "clientConfig": {"url": "https://x"}}),
        };
        json!([hook("a.example.com", bundles[0]), hook("b.example.com", bundles[1])])
    };
    let both = || hooks([Some("YQ=="), Some("Yg==")]);
    let annotated = |annotation: &str| json!({"name": "c", "annotations": {annotation: "ns/cert"}});
    for kind in ["admission/ValidatingWebhookConfiguration", "admission/MutatingWebhookConfiguration"] {
        for injector in [
            "cert-manager.io/inject-ca-from",
            "cert-manager.io/inject-ca-from-secret",
            "cert-manager.io/inject-apiserver-ca",
            "service.beta.openshift.io/inject-cabundle",
        ] {
            add(
                kind,
                "an injected authority goes, the wish for it stays",
                json!({"metadata": annotated(injector), "webhooks": both()}),
                json!({"metadata": annotated(injector), "webhooks": hooks([None, None])}),
            );
        }
        let by_hand = json!({"metadata": {"name": "c"}, "webhooks": both()});
        add(kind, "an authority that somebody wrote stays", by_hand.clone(), by_hand);
    }
    let fields = json!({"f:webhooks": {"k:{\"name\":\"b.example.com\"}": {"f:clientConfig": {"f:caBundle": {}}}, "k:{": {"f:clientConfig": {"f:caBundle": {}}}}});
    let mut managed_by = |manager: &str, name: &'static str, left: Value| {
        let managers = json!([{"manager": manager, "operation": "Apply", "fieldsV1": fields}]);
        add(
            "admission/ValidatingWebhookConfiguration",
            name,
            json!({"metadata": {"name": "c", "managedFields": managers}, "webhooks": both()}),
            json!({"metadata": {"name": "c"}, "webhooks": left}),
        );
    };
    managed_by("gitops-reverser", "our own authority goes", hooks([Some("YQ=="), None]));
    managed_by("somebody", "that of somebody else stays", both());
    let registered = json!({"f:webhooks": {"k:{\"name\":\"b.example.com\"}": {".": {}, "f:rules": {}, "f:clientConfig": {"f:caBundle": {}, "f:url": {}}}}});
    let mut registered_by = |manager: &str, name: &'static str, webhooks: Value, left: Value| {
        let managers = json!([{"manager": manager, "operation": "Apply", "fieldsV1": registered}]);
        add(
            "admission/ValidatingWebhookConfiguration",
            name,
            json!({"metadata": {"name": "c", "managedFields": managers}, "webhooks": webhooks}),
            left,
        );
    };
    let rest = json!([both()[0]]);
    registered_by(
        "gitops-reverser",
        "what we registered goes",
        both(),
        json!({"metadata": {"name": "c"}, "webhooks": rest}),
    );
    registered_by("gitops-reverser", "and leaves nothing", json!([both()[1]]), json!({"metadata": {"name": "c"}}));
    registered_by(
        "somebody",
        "what others registered stays",
        both(),
        json!({"metadata": {"name": "c"}, "webhooks": both()}),
    );

    let service = |bundle: bool| if bundle { json!({"group": "g", "caBundle": "YQ=="}) } else { json!({"group": "g"}) };
    add(
        "apiregistration/APIService",
        "an APIService that is injected",
        json!({"metadata": annotated("cert-manager.io/inject-ca-from"), "spec": service(true)}),
        json!({"metadata": annotated("cert-manager.io/inject-ca-from"), "spec": service(false)}),
    );
    add(
        "apiregistration/APIService",
        "one that is not",
        json!({"metadata": {"name": "c"}, "spec": service(true)}),
        json!({"metadata": {"name": "c"}, "spec": service(true)}),
    );
    let crd = |bundle: bool| {
        let client = if bundle { json!({"caBundle": "YQ=="}) } else { json!({}) };
        json!({"group": "g", "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": client}}})
    };
    let with_preserve = |preserve: bool, mut spec: Value| {
        spec["preserveUnknownFields"] = json!(preserve);
        spec
    };
    add(
        "apiextensions/CustomResourceDefinition",
        "a definition that is injected",
        json!({"metadata": annotated("cert-manager.io/inject-ca-from"), "spec": with_preserve(false, crd(true)), "status": {"storedVersions": ["v1"]}}),
        json!({"metadata": annotated("cert-manager.io/inject-ca-from"), "spec": crd(false)}),
    );
    add(
        "apiextensions/CustomResourceDefinition",
        "a definition that is not",
        json!({"metadata": {"name": "c", "finalizers": ["customresourcecleanup.apiextensions.k8s.io"]}, "spec": with_preserve(true, crd(true))}),
        json!({"metadata": {"name": "c"}, "spec": with_preserve(true, crd(true))}),
    );
    add(
        "Namespace",
        "a Namespace is its name",
        json!({"metadata": {"name": "shop", "labels": {"kubernetes.io/metadata.name": "shop"}}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}),
        json!({"metadata": {"name": "shop"}}),
    );
    add(
        "Namespace",
        "and what else it says",
        json!({"metadata": {"name": "shop"}, "spec": {"finalizers": ["kubernetes"], "new": 1}}),
        json!({"metadata": {"name": "shop"}, "spec": {"new": 1}}),
    );
}

fn workloads(add: Add<'_>) {
    let labels = || json!({"batch.kubernetes.io/controller-uid": "u", "batch.kubernetes.io/job-name": "j", "controller-uid": "u", "job-name": "j"});
    let selector = || json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}});
    let job = |labels: Value, spec: Value| json!({"metadata": {"name": "j", "labels": labels}, "spec": spec});
    add(
        "batch/Job",
        "a Job without a selector of its own",
        job(labels(), json!({"selector": selector(), "template": {"metadata": {"labels": labels()}, "spec": {}}})),
        json!({"metadata": {"name": "j"}, "spec": {"template": {"metadata": {}, "spec": {}}}}),
    );
    let mut more = labels();
    more["app"] = json!("x");
    add(
        "batch/Job",
        "labels of somebody stay",
        job(
            more.clone(),
            json!({"manualSelector": false, "selector": selector(), "template": {"metadata": {"labels": more}}}),
        ),
        job(json!({"app": "x"}), json!({"manualSelector": false, "template": {"metadata": {"labels": {"app": "x"}}}})),
    );
    let manual = job(
        labels(),
        json!({"manualSelector": true, "selector": selector(), "template": {"metadata": {"labels": labels()}}}),
    );
    add("batch/Job", "a manual selector stays, with its labels", manual.clone(), manual);

    let toleration = |key: &str, seconds: u32| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
    let (not_ready, unreachable) = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable");
    let container = |mounts: Value| json!([{"name": "c", "image": "i", "volumeMounts": mounts}]);
    add(
        "Pod",
        "a bare Pod",
        json!({"metadata": {"name": "p"}, "spec": {"nodeName": "node-1", "priority": 0, "preemptionPolicy": "PreemptLowerPriority",
            "overhead": {"cpu": "1"}, "ephemeralContainers": [{"name": "debug"}], "serviceAccountName": "default",
            "tolerations": [toleration(not_ready, 300), toleration(unreachable, 300)],
            "volumes": [{"name": "kube-api-access-x7k2p", "projected": {}}],
            "containers": container(json!([{"name": "kube-api-access-x7k2p", "mountPath": "/var/run"}]))}}),
        json!({"metadata": {"name": "p"}, "spec": {"serviceAccountName": "default", "containers": [{"name": "c", "image": "i"}]}}),
    );
    add(
        "Pod",
        "a bare Pod with volumes and tolerations of its own",
        json!({"metadata": {"name": "p"}, "spec": {"priorityClassName": "high",
            "tolerations": [toleration(not_ready, 300), toleration(not_ready, 30), toleration("example.com/x", 300)],
            "volumes": [{"name": "default-token-x7k2p", "secret": {}}, {"name": "data", "emptyDir": {}}],
            "initContainers": container(json!([{"name": "default-token-x7k2p"}])),
            "containers": container(json!([{"name": "data"}, {"name": "default-token-x7k2p"}]))}}),
        json!({"metadata": {"name": "p"}, "spec": {"priorityClassName": "high",
            "tolerations": [toleration(not_ready, 30), toleration("example.com/x", 300)],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "initContainers": [{"name": "c", "image": "i"}],
            "containers": container(json!([{"name": "data"}]))}}),
    );
    let taint = |key: &str| json!({"key": key, "effect": "NoSchedule"});
    let machine =
        |taints: Value| json!({"metadata": {"name": "machine"}, "spec": {"unschedulable": true, "taints": taints}});
    add(
        "Node",
        "taints that repeat the state of a machine go",
        machine(json!([
            taint("example.com/gpu"),
            taint(unreachable),
            taint("node.kubernetes.io/unschedulable"),
            taint("node.kubernetes.io/out-of-service")
        ])),
        machine(json!([taint("example.com/gpu"), taint("node.kubernetes.io/out-of-service")])),
    );
    add(
        "Node",
        "and leave no empty list",
        machine(json!([taint(not_ready)])),
        json!({"metadata": {"name": "machine"}, "spec": {"unschedulable": true}}),
    );
    let template = json!({"metadata": {"name": "w"}, "spec": {"template": {"spec": {"nodeName": "node-1", "priority": 1,
        "tolerations": [toleration(not_ready, 300)]}}}});
    add("apps/Deployment", "what is assigned to Pods is asked for in a template", template.clone(), template);
}

/// Objects that a list of what to keep would lose.
fn kept(add: Add<'_>) {
    for (kind, name, live) in [
        (
            "storage/StorageClass",
            "a StorageClass",
            json!({"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "csi", "parameters": {"type": "ssd"}, "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer"}),
        ),
        (
            "scheduling/PriorityClass",
            "a PriorityClass",
            json!({"metadata": {"name": "high"}, "value": 1000, "globalDefault": false, "preemptionPolicy": "Never"}),
        ),
        (
            "networking/NetworkPolicy",
            "empty selectors",
            json!({"metadata": {"name": "deny"}, "spec": {"podSelector": {}, "ingress": [], "policyTypes": ["Ingress"], "x": ""}}),
        ),
        (
            "ConfigMap",
            "a ConfigMap",
            json!({"metadata": {"name": "c", "namespace": "shop"}, "data": {"status": "s", "a": "1\n"}, "binaryData": {"b": "AA=="}, "immutable": true}),
        ),
        (
            "rbac/RoleBinding",
            "fields beside metadata",
            json!({"metadata": {"name": "b"}, "roleRef": {"name": "r"}, "subjects": [{"kind": "User", "name": "u"}]}),
        ),
    ] {
        add(kind, name, live.clone(), live);
    }
}
