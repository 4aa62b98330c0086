//! Which types a rule selects, as people write them.

use super::check;

/// A rule with one item of `spec.rules`.
macro_rules! one {
    ($part:literal) => {
        concat!("WatchRule ns/r: {rules: [{", $part, "}]}")
    };
}
/// A cluster rule with one item of `spec.rules`.
macro_rules! cluster {
    ($part:literal) => {
        concat!("ClusterWatchRule c: {rules: [{", $part, "}]}")
    };
}

const WIDGETS: &[&str] = &["example.com/v2/widgets -> ns/a in ns", "other.example/v1/widgets -> ns/a in ns"];
const PRESET: &[&str] = &[
    "v1/configmaps -> ns/a in ns",
    "v1/secrets -> ns/a in ns",
    "apps/v1/deployments -> ns/a in ns",
    "networking.k8s.io/v1/ingresses -> ns/a in ns",
    "rbac.authorization.k8s.io/v1/roles -> ns/a in ns",
];
const EVERYTHING: &[&str] = &[
    "v1/configmaps -> ns/a in ns",
    "v1/secrets -> ns/a in ns",
    "apps/v1/deployments -> ns/a in ns",
    "example.com/v2/widgets -> ns/a in ns",
    "networking.k8s.io/v1/ingresses -> ns/a in ns",
    "other.example/v1/widgets -> ns/a in ns",
    "rbac.authorization.k8s.io/v1/roles -> ns/a in ns",
];
const CLUSTER_WIDE: &[&str] =
    &["v1/namespaces -> ns/a in *", "v1/nodes -> ns/a in *", "rbac.authorization.k8s.io/v1/clusterroles -> ns/a in *"];
const NONE: &str = "WatchRule ns/r NoMatchingResources ";

#[test]
fn names() {
    check(&[
        ("a plural", one!("resources: [deployments]"), &["apps/v1/deployments -> ns/a in ns"], &[]),
        ("a plural of several groups", one!("resources: [widgets]"), WIDGETS, &[]),
        ("a plural and its group", one!("resources: [widgets.other.example]"), &WIDGETS[1..], &[]),
        ("a plural and any group", one!("resources: ['widgets.*']"), WIDGETS, &[]),
        ("a plural in apiGroups", one!("resources: [widgets], apiGroups: [example.com]"), &WIDGETS[..1], &[]),
        (
            "a plural in one of apiGroups",
            one!("resources: [widgets], apiGroups: [apps, example.com]"),
            &WIDGETS[..1],
            &[],
        ),
        ("a plural in all apiGroups", one!("resources: [widgets], apiGroups: ['*']"), WIDGETS, &[]),
        (
            "a name with its group overrides apiGroups",
            one!("resources: [widgets.other.example], apiGroups: [apps]"),
            &WIDGETS[1..],
            &[],
        ),
        (
            "a name with any group overrides apiGroups",
            one!("resources: ['widgets.*'], apiGroups: [apps]"),
            WIDGETS,
            &[],
        ),
        (
            "a plural of the core group",
            one!("resources: [configmaps], apiGroups: ['']"),
            &["v1/configmaps -> ns/a in ns"],
            &[],
        ),
        (
            "a subresource means its parent",
            one!("resources: [deployments/scale]"),
            &["apps/v1/deployments -> ns/a in ns"],
            &[],
        ),
        (
            "all subresources mean their parent",
            one!("resources: ['deployments/*']"),
            &["apps/v1/deployments -> ns/a in ns"],
            &[],
        ),
        (
            "a subresource with a group",
            one!("resources: [deployments.apps/status]"),
            &["apps/v1/deployments -> ns/a in ns"],
            &[],
        ),
        (
            "the same twice",
            one!("resources: [deployments, deployments.apps, deployments/scale]"),
            &["apps/v1/deployments -> ns/a in ns"],
            &[],
        ),
        (
            "two items of rules",
            "WatchRule ns/r: {rules: [{resources: [deployments]}, {resources: [roles]}]}",
            &["apps/v1/deployments -> ns/a in ns", "rbac.authorization.k8s.io/v1/roles -> ns/a in ns"],
            &[],
        ),
        (
            "what wildcards pass over may be named",
            one!("resources: [pods, jobs, cronjobs.batch]"),
            &["v1/pods -> ns/a in ns", "batch/v1/cronjobs -> ns/a in ns", "batch/v1/jobs -> ns/a in ns"],
            &[],
        ),
        (
            "and named beside a wildcard",
            one!("resources: ['*', pods], apiGroups: ['']"),
            &["v1/configmaps -> ns/a in ns", "v1/pods -> ns/a in ns", "v1/secrets -> ns/a in ns"],
            &[],
        ),
        (
            "both kinds of events",
            one!("resources: [events]"),
            &["v1/events -> ns/a in ns", "events.k8s.io/v1/events -> ns/a in ns"],
            &[],
        ),
        (
            "one kind of events",
            one!("resources: [events.events.k8s.io]"),
            &["events.k8s.io/v1/events -> ns/a in ns"],
            &[],
        ),
    ]);
}

#[test]
fn names_that_select_nothing() {
    const DEPLOYMENTS: &[&str] = &["WatchRule ns/r NoMatchingResources is not served (did you mean deployments?)"];
    check(&[
        ("a typo", one!("resources: [deploymets]"), &[], DEPLOYMENTS),
        ("a kind", one!("resources: [Deployment]"), &[], DEPLOYMENTS),
        ("a singular", one!("resources: [deployment]"), &[], DEPLOYMENTS),
        ("a plural in upper case", one!("resources: [Deployments]"), &[], DEPLOYMENTS),
        (
            "a kind whose plural is irregular",
            one!("resources: [Ingress]"),
            &[],
            &["WatchRule ns/r NoMatchingResources Ingress is not served (did you mean ingresses?)"],
        ),
        (
            "a kind with its group",
            one!("resources: [Deployment.apps]"),
            &[],
            &["WatchRule ns/r NoMatchingResources did you mean deployments.apps?"],
        ),
        (
            "another group",
            one!("resources: [deployments.extensions]"),
            &[],
            &[
                "WatchRule ns/r NoMatchingResources deployments.extensions is not served (did you mean deployments.apps?)",
            ],
        ),
        (
            "the group first",
            one!("resources: [apps/deployments]"),
            &[],
            &["WatchRule ns/r NoMatchingResources apps/deployments is not served (did you mean deployments.apps?)"],
        ),
        (
            "version and group first",
            one!("resources: [deployments.v1.apps]"),
            &[],
            &["WatchRule ns/r NoMatchingResources did you mean deployments.apps?"],
        ),
        (
            "all of a group",
            one!("resources: ['*.apps']"),
            &[],
            &["WatchRule ns/r NoMatchingResources *.apps is no name (write * and the group in apiGroups)"],
        ),
        ("a short name", one!("resources: [deploy]"), &[], DEPLOYMENTS),
        (
            "a short name with its group",
            one!("resources: [deploy.apps]"),
            &[],
            &["WatchRule ns/r NoMatchingResources did you mean deployments.apps?"],
        ),
        (
            "what cannot be watched",
            concat!(one!("resources: [bindings]"), "\nUnwatchable bindings:"),
            &[],
            &["WatchRule ns/r NoMatchingResources bindings is served, but cannot be listed and watched"],
        ),
        (
            "what cannot be watched in that group",
            concat!(one!("resources: [pods.metrics.k8s.io]"), "\nUnwatchable metrics.k8s.io/pods:"),
            &[],
            &["WatchRule ns/r NoMatchingResources pods.metrics.k8s.io is served, but"],
        ),
        (
            "what cannot be watched in another group",
            concat!(one!("resources: [roles, roles.apps]"), "\nUnwatchable z.example/roles:"),
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns"],
            &["WatchRule ns/r NoMatchingResources roles.apps is not served (did you mean roles.rbac"],
        ),
        (
            "a group whose server is down",
            concat!(one!("resources: [gadgets.down.example]"), "\nUnclear down.example:"),
            &[],
            &[
                "WatchRule ns/r NoMatchingResources gadgets.down.example is not served at the moment (the API server behind group down.example does not answer)",
            ],
        ),
        (
            "nothing like it",
            one!("resources: [unicorns]"),
            &[],
            &["WatchRule ns/r NoMatchingResources correct spec.rules: unicorns is not served"],
        ),
        ("nothing at all", one!("resources: ['']"), &[], &["WatchRule ns/r NoMatchingResources a name is empty"]),
        ("only a slash", one!("resources: ['/']"), &[], &["WatchRule ns/r NoMatchingResources a name is empty"]),
        ("only dots", one!("resources: ['..']"), &[], &[NONE]),
        (
            "not in these groups",
            one!("resources: [roles], apiGroups: [apps, '']"),
            &[],
            &[
                "WatchRule ns/r NoMatchingResources roles is not in these apiGroups (served as roles.rbac.authorization.k8s.io)",
            ],
        ),
        (
            "not in these versions",
            one!("resources: [widgets.example.com], apiVersions: [v7]"),
            &[],
            &["WatchRule ns/r NoMatchingResources widgets.example.com is not in these apiVersions (served: v2, v1)"],
        ),
        (
            "without a namespace",
            one!("resources: [clusterroles]"),
            &[],
            &["WatchRule ns/r NoMatchingResources clusterroles has no namespace (use a ClusterWatchRule)"],
        ),
        (
            "without a namespace, in scope Namespaced",
            cluster!("scope: Namespaced, resources: [nodes]"),
            &[],
            &["ClusterWatchRule c NoMatchingResources nodes has no namespace (use scope Cluster)"],
        ),
        (
            "with a namespace, in scope Cluster",
            cluster!("scope: Cluster, resources: [roles]"),
            &[],
            &["ClusterWatchRule c NoMatchingResources roles has a namespace (use scope Namespaced)"],
        ),
        (
            "the rest of the rule carries on",
            one!("resources: [deploymets, secrets]"),
            &["v1/secrets -> ns/a in ns"],
            &["WatchRule ns/r NoMatchingResources did you mean deployments?) | ; what else it selects is mirrored"],
        ),
        (
            "only some are listed",
            one!("resources: [u1, u2, u3, u4, u5, u6, u7]"),
            &[],
            &["WatchRule ns/r NoMatchingResources u5 is not served and 2 more"],
        ),
        (
            "each is listed once",
            one!("resources: [unicorns, unicorns/status, unicorns]"),
            &[],
            &["WatchRule ns/r NoMatchingResources correct spec.rules: unicorns is not served"],
        ),
        (
            "a group that nobody serves",
            one!("apiGroups: [nowhere.example]"),
            &[],
            &["WatchRule ns/r NoMatchingResources selects nothing that this cluster serves"],
        ),
        (
            "a wildcard in a group without such types",
            cluster!("scope: Cluster, resources: ['*'], apiGroups: [apps]"),
            &[],
            &["ClusterWatchRule c NoMatchingResources selects nothing"],
        ),
        (
            "a type that is gone",
            "WatchRule ns/r: {rules: [{resources: [roles, ingresses]}]}\nWithout: served networking.k8s.io/v1/ingresses",
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns"],
            &["WatchRule ns/r NoMatchingResources ingresses is not served"],
        ),
    ]);
}

#[test]
fn wildcards_and_presets() {
    check(&[
        ("no rules", "WatchRule ns/r: {}", PRESET, &[]),
        ("no resources", one!(""), PRESET, &[]),
        ("no resources, in a group", one!("apiGroups: [apps]"), &PRESET[2..3], &[]),
        ("no resources, in the core group", one!("apiGroups: ['']"), &PRESET[..2], &[]),
        ("a wildcard", one!("resources: ['*']"), EVERYTHING, &[]),
        ("a wildcard for subresources too", one!("resources: ['*/*']"), EVERYTHING, &[]),
        ("a wildcard in a group", one!("resources: ['*'], apiGroups: [example.com]"), &EVERYTHING[3..4], &[]),
        (
            "a wildcard in a version",
            one!("resources: ['*'], apiGroups: [example.com], apiVersions: [v1]"),
            &["example.com/v1/widgets -> ns/a in ns"],
            &[],
        ),
        (
            "a wildcard in a group that is passed over",
            one!("resources: ['*'], apiGroups: [batch]"),
            &[],
            &["WatchRule ns/r NoMatchingResources selects nothing"],
        ),
        (
            "a cluster rule without rules",
            "ClusterWatchRule c: {}",
            &[
                "v1/configmaps -> ns/a in *",
                "v1/namespaces -> ns/a in *",
                "v1/secrets -> ns/a in *",
                "apps/v1/deployments -> ns/a in *",
                "networking.k8s.io/v1/ingresses -> ns/a in *",
                "rbac.authorization.k8s.io/v1/clusterroles -> ns/a in *",
                "rbac.authorization.k8s.io/v1/roles -> ns/a in *",
            ],
            &[],
        ),
        ("the preset of scope Cluster", cluster!("scope: Cluster"), &[CLUSTER_WIDE[0], CLUSTER_WIDE[2]], &[]),
        ("a wildcard of scope Cluster", cluster!("scope: Cluster, resources: ['*']"), CLUSTER_WIDE, &[]),
        (
            "what it passes over may be named",
            cluster!("scope: Cluster, resources: [flowschemas]"),
            &["flowcontrol.apiserver.k8s.io/v1/flowschemas -> ns/a in *"],
            &[],
        ),
    ]);
}

#[test]
fn what_the_operator_is_told_about_wildcards() {
    check(&[
        ("everything for a rule without rules", "WatchRule ns/r: {}\nPolicy: {watchAll: true}", EVERYTHING, &[]),
        (
            "everything for a rule without resources",
            "WatchRule ns/r: {rules: [{apiGroups: [example.com]}]}\nPolicy: {watchAll: true}",
            &EVERYTHING[3..4],
            &[],
        ),
        (
            "names stay names",
            "WatchRule ns/r: {rules: [{resources: [roles]}]}\nPolicy: {watchAll: true}",
            &EVERYTHING[6..],
            &[],
        ),
        (
            "everything of the cluster",
            "ClusterWatchRule c: {rules: [{scope: Cluster}]}\nPolicy: {watchAll: true}",
            CLUSTER_WIDE,
            &[],
        ),
        (
            "a type is excluded",
            "WatchRule ns/r: {rules: [{resources: ['*'], apiGroups: [example.com, other.example]}]}\nPolicy: {exclude: [widgets.example.com]}",
            &EVERYTHING[5..6],
            &[],
        ),
        (
            "a plural is excluded in all groups",
            "WatchRule ns/r: {rules: [{resources: ['*'], apiGroups: [example.com, apps]}]}\nPolicy: {exclude: [widgets]}",
            &EVERYTHING[2..3],
            &[],
        ),
        (
            "a group is excluded",
            "WatchRule ns/r: {rules: [{resources: ['*'], apiGroups: [example.com, apps]}]}\nPolicy: {exclude: [apps/*]}",
            &EVERYTHING[3..4],
            &[],
        ),
        (
            "with --watch-all too",
            "WatchRule ns/r: {}\nPolicy: {watchAll: true, exclude: [core/secrets, apps/deployments, widgets]}",
            &[EVERYTHING[0], EVERYTHING[4], EVERYTHING[6]],
            &[],
        ),
        (
            "a name overrides that",
            "WatchRule ns/r: {rules: [{resources: [widgets.example.com]}]}\nPolicy: {exclude: [widgets.example.com]}",
            &EVERYTHING[3..4],
            &[],
        ),
        (
            "the preset is named by the operator itself",
            "WatchRule ns/r: {rules: [{apiGroups: [apps]}]}\nPolicy: {exclude: [deployments.apps]}",
            &EVERYTHING[2..3],
            &[],
        ),
    ]);
}
