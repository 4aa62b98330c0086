//! The checks of a `WatchRule` and of a `ClusterWatchRule`.

use super::selectors::selector_mistakes;
use super::{Kind, Mistake, mistake};

pub(super) const WATCH_RULE: Kind = Kind {
    name: "WatchRule",
    plural: "watchrules",
    namespaced: true,
    least: "{sinkRef: {name: live}}",
    stored: "{sinkRef: {group: configbutler.ai, kind: GitTarget, name: live}, suspend: false}",
    mistakes: &[WATCH_RULE_MISTAKES, WATCH_RULE_SELECTOR],
    fine: &[
        "{rules: null, objectSelector: null, suspend: null}",
        "{suspend: true}",
        "{objectSelector: {}}",
        "{objectSelector: {matchLabels: {}}}",
        "{objectSelector: {matchLabels: {app.kubernetes.io/name: web, tier: ''}}}",
        "{objectSelector: {matchExpressions: [{key: tier, operator: In, values: [web, Api.2, '']}, {key: example.com/x, operator: DoesNotExist, values: []}]}}",
        "{rules: [{}]}",
        "{rules: [{operations: [CREATE, UPDATE, DELETE, '*'], apiGroups: ['', apps, '*'], apiVersions: [v1, '*'], resources: [deployments, roles.rbac.authorization.k8s.io, 'ingresses.*', '*', pods/status, 'pods/*']}]}",
        "{rules: [{operations: [], apiGroups: [], apiVersions: [], resources: []}]}",
        "{rules: '<64 of {resources: [secrets]}>'}",
    ],
};

const WATCH_RULE_MISTAKES: &[Mistake] = &[
    mistake("spec", "required", "{sinkRef: null}", "spec.sinkRef: Required value"),
    mistake("spec.sinkRef", "required", "{sinkRef: {name: null}}", "spec.sinkRef.name: Required value"),
    mistake(
        "spec.sinkRef.group",
        "enum",
        "{sinkRef: {group: example.com}}",
        r#"spec.sinkRef.group: Unsupported value: "example.com": supported values: "configbutler.ai""#,
    ),
    mistake(
        "spec.sinkRef.kind",
        "enum",
        "{sinkRef: {kind: GitProvider}}",
        r#"spec.sinkRef.kind: Unsupported value: "GitProvider": supported values: "GitTarget""#,
    ),
    mistake(
        "spec.sinkRef.name",
        "minLength",
        "{sinkRef: {name: ''}}",
        r#"spec.sinkRef.name: Invalid value: "": spec.sinkRef.name in body should be at least 1 chars long"#,
    ),
    mistake(
        "spec.sinkRef.name",
        "maxLength",
        "{sinkRef: {name: '<254 a>'}}",
        "spec.sinkRef.name: Too long: may not be more than 253 bytes",
    ),
    mistake(
        "spec.rules",
        "minItems",
        "{rules: []}",
        "spec.rules: Invalid value: 0: spec.rules in body should have at least 1 items",
    ),
    mistake("spec.rules", "maxItems", "{rules: '<65 of {}>'}", "spec.rules: Too many: 65: must have at most 64 items"),
    mistake(
        "spec.rules[].operations",
        "maxItems",
        "{rules: [{operations: '<5 of CREATE>'}]}",
        "spec.rules[0].operations: Too many: 5: must have at most 4 items",
    ),
    mistake(
        "spec.rules[].operations[]",
        "enum",
        "{rules: [{operations: [create]}]}",
        r#"spec.rules[0].operations[0]: Unsupported value: "create": supported values: "CREATE", "UPDATE", "DELETE", "*""#,
    ),
    mistake(
        "spec.rules[].apiGroups",
        "maxItems",
        "{rules: [{apiGroups: '<65 of apps>'}]}",
        "spec.rules[0].apiGroups: Too many: 65: must have at most 64 items",
    ),
    mistake(
        "spec.rules[].apiGroups[]",
        "maxLength",
        "{rules: [{apiGroups: ['<254 a>']}]}",
        "spec.rules[0].apiGroups[0]: Too long: may not be more than 253 bytes",
    ),
    mistake(
        "spec.rules[].apiVersions",
        "maxItems",
        "{rules: [{apiVersions: '<65 of v1>'}]}",
        "spec.rules[0].apiVersions: Too many: 65: must have at most 64 items",
    ),
    mistake(
        "spec.rules[].apiVersions[]",
        "minLength",
        "{rules: [{apiVersions: ['']}]}",
        r#"spec.rules[0].apiVersions[0]: Invalid value: "": spec.rules[0].apiVersions[0] in body should be at least 1 chars long"#,
    ),
    mistake(
        "spec.rules[].apiVersions[]",
        "maxLength",
        "{rules: [{apiVersions: ['<64 a>']}]}",
        "spec.rules[0].apiVersions[0]: Too long: may not be more than 63 bytes",
    ),
    mistake(
        "spec.rules[].resources",
        "maxItems",
        "{rules: [{resources: '<257 of secrets>'}]}",
        "spec.rules[0].resources: Too many: 257: must have at most 256 items",
    ),
    mistake(
        "spec.rules[].resources[]",
        "minLength",
        "{rules: [{resources: ['']}]}",
        r#"spec.rules[0].resources[0]: Invalid value: "": spec.rules[0].resources[0] in body should be at least 1 chars long"#,
    ),
    mistake(
        "spec.rules[].resources[]",
        "maxLength",
        "{rules: [{resources: ['<318 a>']}]}",
        "spec.rules[0].resources[0]: Too long: may not be more than 317 bytes",
    ),
    mistake(
        "spec.suspend",
        "type",
        "{suspend: 'true'}",
        r#"spec.suspend: Invalid value: "string": spec.suspend in body must be of type boolean: "string""#,
    ),
];

const WATCH_RULE_SELECTOR: &[Mistake] =
    &selector_mistakes!("spec.objectSelector", "spec.objectSelector", "{objectSelector: ", "}");

pub(super) const CLUSTER_WATCH_RULE: Kind = Kind {
    name: "ClusterWatchRule",
    plural: "clusterwatchrules",
    namespaced: false,
    least: "{sinkRef: {name: live, namespace: platform}}",
    stored: "{sinkRef: {group: configbutler.ai, kind: GitTarget, name: live, namespace: platform}, suspend: false}",
    mistakes: &[CLUSTER_WATCH_RULE_MISTAKES, CLUSTER_WATCH_RULE_SELECTOR, NAMESPACE_SELECTOR],
    fine: &[
        "{rules: null, objectSelector: null, suspend: null}",
        "{suspend: true}",
        "{objectSelector: {}}",
        "{objectSelector: {matchLabels: {}}}",
        "{objectSelector: {matchLabels: {app.kubernetes.io/name: web, tier: ''}}}",
        "{objectSelector: {matchExpressions: [{key: tier, operator: In, values: [web, Api.2, '']}, {key: example.com/x, operator: DoesNotExist, values: []}]}}",
        "{rules: [{scope: Cluster}, {scope: Namespaced}]}",
        "{rules: [{scope: Cluster, namespaceSelector: null}]}",
        "{rules: [{scope: Namespaced, namespaceSelector: {matchLabels: {}}}]}",
        "{rules: [{scope: Namespaced, namespaceSelector: {matchLabels: {app.kubernetes.io/name: web, tier: ''}}}]}",
        "{rules: [{scope: Namespaced, namespaceSelector: {matchExpressions: [{key: tier, operator: In, values: [web, Api.2, '']}, {key: example.com/x, operator: DoesNotExist, values: []}]}}]}",
    ],
};

const CLUSTER_WATCH_RULE_MISTAKES: &[Mistake] = &[
    mistake("spec", "required", "{sinkRef: null}", "spec.sinkRef: Required value"),
    mistake("spec.sinkRef", "required", "{sinkRef: {name: null}}", "spec.sinkRef.name: Required value"),
    mistake("spec.sinkRef", "required", "{sinkRef: {namespace: null}}", "spec.sinkRef.namespace: Required value"),
    mistake(
        "spec.sinkRef.group",
        "enum",
        "{sinkRef: {group: example.com}}",
        r#"spec.sinkRef.group: Unsupported value: "example.com": supported values: "configbutler.ai""#,
    ),
    mistake(
        "spec.sinkRef.kind",
        "enum",
        "{sinkRef: {kind: GitProvider}}",
        r#"spec.sinkRef.kind: Unsupported value: "GitProvider": supported values: "GitTarget""#,
    ),
    mistake(
        "spec.sinkRef.name",
        "minLength",
        "{sinkRef: {name: ''}}",
        r#"spec.sinkRef.name: Invalid value: "": spec.sinkRef.name in body should be at least 1 chars long"#,
    ),
    mistake(
        "spec.sinkRef.name",
        "maxLength",
        "{sinkRef: {name: '<254 a>'}}",
        "spec.sinkRef.name: Too long: may not be more than 253 bytes",
    ),
    mistake(
        "spec.sinkRef.namespace",
        "minLength",
        "{sinkRef: {namespace: ''}}",
        r#"spec.sinkRef.namespace: Invalid value: "": spec.sinkRef.namespace in body should be at least 1 chars long"#,
    ),
    mistake(
        "spec.sinkRef.namespace",
        "maxLength",
        "{sinkRef: {namespace: '<64 a>'}}",
        "spec.sinkRef.namespace: Too long: may not be more than 63 bytes",
    ),
    mistake(
        "spec.rules",
        "minItems",
        "{rules: []}",
        "spec.rules: Invalid value: 0: spec.rules in body should have at least 1 items",
    ),
    mistake(
        "spec.rules",
        "maxItems",
        "{rules: '<65 of {scope: Namespaced}>'}",
        "spec.rules: Too many: 65: must have at most 64 items",
    ),
    mistake("spec.rules[]", "required", "{rules: [{resources: [secrets]}]}", "spec.rules[0].scope: Required value"),
    mistake(
        "spec.rules[].scope",
        "enum",
        "{rules: [{scope: namespaced}]}",
        r#"spec.rules[0].scope: Unsupported value: "namespaced": supported values: "Cluster", "Namespaced""#,
    ),
    mistake(
        "spec.rules[]",
        "cel",
        "{rules: [{scope: Cluster, namespaceSelector: {}}]}",
        "spec.rules[0].namespaceSelector: Forbidden: objects of scope Cluster have no namespace: leave namespaceSelector out, or write scope Namespaced",
    ),
    mistake(
        "spec.rules[].operations",
        "maxItems",
        "{rules: [{scope: Namespaced, operations: '<5 of CREATE>'}]}",
        "spec.rules[0].operations: Too many: 5: must have at most 4 items",
    ),
    mistake(
        "spec.rules[].operations[]",
        "enum",
        "{rules: [{scope: Namespaced, operations: [create]}]}",
        r#"spec.rules[0].operations[0]: Unsupported value: "create": supported values: "CREATE", "UPDATE", "DELETE", "*""#,
    ),
    mistake(
        "spec.rules[].apiGroups",
        "maxItems",
        "{rules: [{scope: Namespaced, apiGroups: '<65 of apps>'}]}",
        "spec.rules[0].apiGroups: Too many: 65: must have at most 64 items",
    ),
    mistake(
        "spec.rules[].apiGroups[]",
        "maxLength",
        "{rules: [{scope: Namespaced, apiGroups: ['<254 a>']}]}",
        "spec.rules[0].apiGroups[0]: Too long: may not be more than 253 bytes",
    ),
    mistake(
        "spec.rules[].apiVersions",
        "maxItems",
        "{rules: [{scope: Namespaced, apiVersions: '<65 of v1>'}]}",
        "spec.rules[0].apiVersions: Too many: 65: must have at most 64 items",
    ),
    mistake(
        "spec.rules[].apiVersions[]",
        "minLength",
        "{rules: [{scope: Namespaced, apiVersions: ['']}]}",
        r#"spec.rules[0].apiVersions[0]: Invalid value: "": spec.rules[0].apiVersions[0] in body should be at least 1 chars long"#,
    ),
    mistake(
        "spec.rules[].apiVersions[]",
        "maxLength",
        "{rules: [{scope: Namespaced, apiVersions: ['<64 a>']}]}",
        "spec.rules[0].apiVersions[0]: Too long: may not be more than 63 bytes",
    ),
    mistake(
        "spec.rules[].resources",
        "maxItems",
        "{rules: [{scope: Namespaced, resources: '<257 of secrets>'}]}",
        "spec.rules[0].resources: Too many: 257: must have at most 256 items",
    ),
    mistake(
        "spec.rules[].resources[]",
        "minLength",
        "{rules: [{scope: Namespaced, resources: ['']}]}",
        r#"spec.rules[0].resources[0]: Invalid value: "": spec.rules[0].resources[0] in body should be at least 1 chars long"#,
    ),
    mistake(
        "spec.rules[].resources[]",
        "maxLength",
        "{rules: [{scope: Namespaced, resources: ['<318 a>']}]}",
        "spec.rules[0].resources[0]: Too long: may not be more than 317 bytes",
    ),
    mistake(
        "spec.suspend",
        "type",
        "{suspend: 'true'}",
        r#"spec.suspend: Invalid value: "string": spec.suspend in body must be of type boolean: "string""#,
    ),
];

const CLUSTER_WATCH_RULE_SELECTOR: &[Mistake] =
    &selector_mistakes!("spec.objectSelector", "spec.objectSelector", "{objectSelector: ", "}");

const NAMESPACE_SELECTOR: &[Mistake] = &selector_mistakes!(
    "spec.rules[].namespaceSelector",
    "spec.rules[0].namespaceSelector",
    "{rules: [{scope: Namespaced, namespaceSelector: ",
    "}]}"
);
