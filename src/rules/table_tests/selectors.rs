//! Which objects and namespaces a rule selects, and which changes.

use super::check;

/// A rule with these fields besides its resources.
macro_rules! rule {
    ($fields:literal) => {
        concat!("WatchRule ns/r: {rules: [{resources: [roles]}], ", $fields, "}")
    };
}
/// A cluster rule for roles where `namespaceSelector` is this.
macro_rules! namespaces {
    ($selector:literal) => {
        concat!(
            "ClusterWatchRule c: {rules: [{scope: Namespaced, resources: [roles], namespaceSelector: ",
            $selector,
            "}]}"
        )
    };
}

#[test]
fn labels_of_objects() {
    const KEPT: &[&str] = &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns kept"];
    check(&[
        ("none are asked for", rule!("objectSelector: {}"), &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns"], &[]),
        (
            "a value",
            rule!("objectSelector: {matchLabels: {tier: web}}"),
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns where tier=web"],
            &[],
        ),
        (
            "some values",
            rule!("objectSelector: {matchExpressions: [{key: tier, operator: In, values: [web, db]}]}"),
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns where tier in (db,web)"],
            &[],
        ),
        (
            "other values",
            rule!("objectSelector: {matchExpressions: [{key: tier, operator: NotIn, values: [web]}]}"),
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns where tier notin (web)"],
            &[],
        ),
        (
            "with a label, without another",
            rule!(
                "objectSelector: {matchExpressions: [{key: a, operator: Exists}, {key: example.com/b, operator: DoesNotExist}]}"
            ),
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns where a,!example.com/b"],
            &[],
        ),
        (
            "for every item of rules",
            "WatchRule ns/r: {rules: [{resources: [roles]}, {resources: [configmaps]}], objectSelector: {matchLabels: {a: b}}}",
            &["v1/configmaps -> ns/a in ns where a=b", "rbac.authorization.k8s.io/v1/roles -> ns/a in ns where a=b"],
            &[],
        ),
        (
            "two rules, two selectors",
            concat!(
                rule!("objectSelector: {matchLabels: {a: b}}"),
                "\nWatchRule ns/s: {rules: [{resources: [roles], operations: [CREATE]}]}"
            ),
            &[
                "rbac.authorization.k8s.io/v1/roles -> ns/a in ns not UPDATE not DELETE",
                "rbac.authorization.k8s.io/v1/roles -> ns/a in ns where a=b",
            ],
            &[],
        ),
        (
            "a rule of the cluster",
            "ClusterWatchRule c: {objectSelector: {matchLabels: {a: b}}, rules: [{scope: Cluster, resources: [nodes]}]}",
            &["v1/nodes -> ns/a in * where a=b"],
            &[],
        ),
        (
            "no such operator",
            rule!("objectSelector: {matchExpressions: [{key: a, operator: Gt, values: ['1']}]}"),
            KEPT,
            &[
                "WatchRule ns/r InvalidConfiguration correct spec.objectSelector: operator \"Gt\" is none of In, NotIn, Exists and DoesNotExist",
            ],
        ),
        (
            "no values",
            rule!("objectSelector: {matchExpressions: [{key: a, operator: In}]}"),
            KEPT,
            &["WatchRule ns/r InvalidConfiguration In on a needs at least one value"],
        ),
        (
            "an empty list of values",
            rule!("objectSelector: {matchExpressions: [{key: a, operator: NotIn, values: []}]}"),
            KEPT,
            &["WatchRule ns/r InvalidConfiguration NotIn on a needs at least one value"],
        ),
        (
            "too many values",
            rule!("objectSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}"),
            KEPT,
            &["WatchRule ns/r InvalidConfiguration Exists on a takes no values"],
        ),
        (
            "no name of a label",
            rule!("objectSelector: {matchLabels: {'a b': c}}"),
            KEPT,
            &["WatchRule ns/r InvalidConfiguration \"a b\" is no name of a label"],
        ),
        (
            "no name of a label in an expression",
            rule!("objectSelector: {matchExpressions: [{key: '/a', operator: Exists}]}"),
            KEPT,
            &["WatchRule ns/r InvalidConfiguration \"/a\" is no name of a label"],
        ),
    ]);
}

#[test]
fn labels_of_namespaces() {
    const BOTH: &[&str] = &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns, other"];
    check(&[
        ("none are asked for", namespaces!("{}"), &["rbac.authorization.k8s.io/v1/roles -> ns/a in *"], &[]),
        (
            "a value",
            namespaces!("{matchLabels: {team: blue}}"),
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in other"],
            &[],
        ),
        ("some values", namespaces!("{matchExpressions: [{key: team, operator: In, values: [red, blue]}]}"), BOTH, &[]),
        (
            "other values, or none",
            concat!(
                namespaces!("{matchExpressions: [{key: team, operator: NotIn, values: [red]}]}"),
                "\nNamespace third:"
            ),
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in other, third"],
            &[],
        ),
        ("nowhere", namespaces!("{matchLabels: {team: green}}"), &[], &[]),
        (
            "a namespace gains the label",
            concat!(namespaces!("{matchLabels: {team: blue}}"), "\nNamespace ns: {team: blue}"),
            BOTH,
            &[],
        ),
        (
            "a namespace loses the label",
            concat!(namespaces!("{matchLabels: {team: blue}}"), "\nNamespace other: {}"),
            &[],
            &[],
        ),
        (
            "a namespace is deleted",
            concat!(namespaces!("{matchExpressions: [{key: team, operator: Exists}]}"), "\nWithout: Namespace other"),
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns"],
            &[],
        ),
        (
            "items differ",
            "ClusterWatchRule c: {rules: [{scope: Namespaced, resources: [roles], namespaceSelector: {matchLabels: {team: blue}}}, {scope: Namespaced, resources: [configmaps]}, {scope: Cluster, resources: [nodes]}]}",
            &[
                "v1/configmaps -> ns/a in *",
                "v1/nodes -> ns/a in *",
                "rbac.authorization.k8s.io/v1/roles -> ns/a in other",
            ],
            &[],
        ),
        (
            "no such operator",
            namespaces!("{matchExpressions: [{key: team, operator: Like}]}"),
            &[],
            &["ClusterWatchRule c InvalidConfiguration correct spec.rules[0].namespaceSelector: operator \"Like\""],
        ),
        (
            "of what has no namespace",
            "ClusterWatchRule c: {rules: [{scope: Cluster, resources: [nodes], namespaceSelector: {}}]}",
            &[],
            &[
                "ClusterWatchRule c InvalidConfiguration correct spec.rules[0].namespaceSelector: objects of scope Cluster have no namespace",
            ],
        ),
        (
            "together with labels of objects",
            "ClusterWatchRule c: {objectSelector: {matchLabels: {a: b}}, rules: [{scope: Namespaced, resources: [roles], namespaceSelector: {matchLabels: {team: red}}}]}",
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns where a=b"],
            &[],
        ),
    ]);
}

#[test]
fn operations() {
    macro_rules! operations {
        ($operations:literal) => {
            concat!("WatchRule ns/r: {rules: [{resources: [roles], operations: ", $operations, "}]}")
        };
    }
    const ALL: &[&str] = &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns"];
    check(&[
        ("none named: all", operations!("[]"), ALL, &[]),
        ("all", operations!("['*']"), ALL, &[]),
        ("all and one", operations!("[CREATE, '*']"), ALL, &[]),
        ("each", operations!("[DELETE, CREATE, UPDATE]"), ALL, &[]),
        (
            "one",
            operations!("[CREATE]"),
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns not UPDATE not DELETE"],
            &[],
        ),
        ("two", operations!("[CREATE, DELETE]"), &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns not UPDATE"], &[]),
        (
            "another one",
            operations!("[CREATE, CONNECT]"),
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns kept"],
            &[
                "WatchRule ns/r InvalidConfiguration correct spec.rules[0].operations: \"CONNECT\" is none of CREATE, UPDATE, DELETE and *",
            ],
        ),
        (
            "in lower case",
            operations!("[create]"),
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns kept"],
            &["WatchRule ns/r InvalidConfiguration \"create\""],
        ),
        (
            "of two items together",
            "WatchRule ns/r: {rules: [{resources: [roles], operations: [CREATE]}, {resources: [roles], operations: [DELETE]}]}",
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns not UPDATE"],
            &[],
        ),
        (
            "of two rules together",
            "WatchRule ns/r: {rules: [{resources: [roles], operations: [CREATE]}]}\nWatchRule ns/s: {rules: [{resources: [roles], operations: [UPDATE]}]}",
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns not DELETE"],
            &[],
        ),
    ]);
}
