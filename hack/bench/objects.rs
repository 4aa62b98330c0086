//! Objects as an API server sends them, of four sizes: a Service, a Deployment, a CustomResourceDefinition and a
//! ConfigMap with dashboards.

use gitops_reverser::resource::ResourceType;
use serde_json::{Map, Value, json};

/// An object and its type.
pub(crate) struct Sample {
    /// What it is, and about how large.
    pub(crate) name: &'static str,
    /// Its type.
    pub(crate) kind: ResourceType,
    /// As JSON, the way an API server writes it.
    pub(crate) json: String,
}

/// One object of about 1, 4, 50 and 500 KB each.
pub(crate) fn samples() -> Vec<Sample> {
    vec![
        sample("Service 1 KB", "", "services", "Service", service()),
        sample("Deployment 4 KB", "apps", "deployments", "Deployment", deployment()),
        sample(
            "CustomResourceDefinition 50 KB",
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            "CustomResourceDefinition",
            definition(),
        ),
        sample("ConfigMap 500 KB", "", "configmaps", "ConfigMap", dashboards()),
    ]
}

fn sample(name: &'static str, group: &str, resource: &str, kind: &str, mut object: Value) -> Sample {
    let text = str::to_owned;
    let kind = ResourceType {
        group: text(group),
        version: text("v1"),
        resource: text(resource),
        kind: text(kind),
        namespaced: true,
    };
    object["apiVersion"] = json!(kind.api_version());
    object["kind"] = json!(kind.kind);
    Sample { name, kind, json: object.to_string() }
}

fn metadata(name: &str, fields: Value) -> Value {
    json!({
        "name": name, "namespace": "shop", "uid": "0b6f1c1e-6a8e-4a53-9a8e-8c1f5b9b0d11", "resourceVersion": "123456",
        "generation": 4, "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "shop"},
        "annotations": {"kubernetes.io/change-cause": "kubectl set image"},
        "managedFields": [{"manager": "kubectl", "operation": "Update", "apiVersion": "v1",
            "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields}],
    })
}

fn service() -> Value {
    let fields = json!({"f:spec": {"f:selector": {}, "f:type": {}, "f:ports": {".": {},
        "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}, "f:targetPort": {}}}}});
    json!({
        "metadata": metadata("web", fields),
        "spec": {"clusterIP": "10.96.12.7", "clusterIPs": ["10.96.12.7"], "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None", "type": "NodePort",
            "ports": [{"name": "http", "nodePort": 31234, "port": 80, "protocol": "TCP", "targetPort": "http"}],
            "selector": {"app.kubernetes.io/name": "web"}},
        "status": {"loadBalancer": {}},
    })
}

fn deployment() -> Value {
    let settings = 0..12;
    let environment: Vec<Value> = settings
        .clone()
        .map(|index| json!({"name": format!("SETTING_{index}"), "value": format!("value-{index} with words")}))
        .collect();
    let managed: Map<String, Value> = settings
        .map(|index| (format!("k:{{\"name\":\"SETTING_{index}\"}}"), json!({".": {}, "f:name": {}, "f:value": {}})))
        .collect();
    let fields = json!({"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers":
        {"k:{\"name\":\"web\"}": {"f:env": managed, "f:image": {}}}}}}});
    json!({
        "metadata": metadata("web", fields),
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
            "template": {"metadata": {"creationTimestamp": null, "labels": {"app": "web"}}, "spec": {
                "containers": [{"name": "web", "image": "registry.example.com/shop/web:1.25.3",
                    "command": ["sh", "-c", "set -e\nexec /usr/bin/web --listen :8080\n"],
                    "ports": [{"containerPort": 8080, "protocol": "TCP", "name": "http"}], "env": environment,
                    "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m"}},
                    "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"},
                        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "config", "mountPath": "/etc/web"}],
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    "imagePullPolicy": "IfNotPresent"}],
                "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "config", "configMap": {"name": "web"}}],
                "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
                "securityContext": {}, "schedulerName": "default-scheduler"}}},
        "status": {"observedGeneration": 4, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3,
            "conditions": [{"type": "Available", "status": "True", "lastUpdateTime": "2026-01-01T00:00:00Z",
                "reason": "MinimumReplicasAvailable", "message": "Deployment has minimum availability."}]},
    })
}

/// The schema of an object with `width` members a level.
fn schema(width: usize, depth: usize) -> Value {
    let members: Map<String, Value> = (0..width)
        .map(|index| {
            let member = if depth == 0 {
                json!({"type": "string", "maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
                    "description": "The name of the object that this setting is for: a DNS label.\nIt defaults to the own name."})
            } else {
                schema(width, depth - 1)
            };
            (format!("setting{index}"), member)
        })
        .collect();
    json!({"type": "object", "description": "What is to be done.", "required": ["setting0"], "properties": members})
}

fn definition() -> Value {
    json!({
        "metadata": metadata("things.example.com", json!({"f:spec": {"f:group": {}, "f:names": {}, "f:versions": {}}})),
        "spec": {"group": "example.com", "scope": "Namespaced", "preserveUnknownFields": false,
            "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": schema(6, 2)}}]},
        "status": {"storedVersions": ["v1"], "acceptedNames": {"kind": "Thing", "plural": "things"}},
    })
}

fn dashboards() -> Value {
    let panel = |index: usize| {
        json!({"id": index, "type": "timeseries", "title": format!("Requests of service {index}"), "gridPos": {"h": 8, "w": 12},
            "targets": [{"expr": format!("sum(rate(http_requests_total{{service=\"s{index}\"}}[5m])) by (code)"), "refId": "A"}]})
    };
    let data: Map<String, Value> = (0..10)
        .map(|dashboard| {
            let panels: Vec<Value> = (0..115).map(panel).collect();
            let text = serde_json::to_string_pretty(&json!({"title": dashboard, "panels": panels})).unwrap_or_default();
            (format!("dashboard-{dashboard}.json"), json!(text + "\n"))
        })
        .collect();
    json!({"metadata": metadata("dashboards", json!({"f:data": {}})), "data": data})
}
