//! Who may write through what.

use super::check;

const ROLES: &[&str] = &["rbac.authorization.k8s.io/v1/roles -> other/b in other"];
const RULE: &str = "WatchRule other/r SinkNotReady GitTarget other/b is not usable (AccessDenied)";
const DENIED: &str = "GitTarget other/b AccessDenied GitProvider ns/main does not exist or does not let namespace other in: correct spec.providerRef | spec.accessPolicy.namespacedRules";

/// A target of the namespace `other` that uses the provider of `ns`, whose rules for namespaces are `rules`.
macro_rules! namespaces {
    ($rules:literal) => {
        concat!(
            "GitProvider ns/main: {accessPolicy: {namespacedRules: ",
            $rules,
            "}}\n",
            "GitTarget other/b: {providerRef: {name: main, namespace: ns}}\n",
            "WatchRule other/r: {sinkRef: {name: b}, rules: [{resources: [roles]}]}"
        )
    };
}

#[test]
fn namespaces_that_a_provider_lets_in() {
    const OWN: &str = "GitTarget ns/a AccessDenied GitProvider ns/main does not let targets of its own namespace in: its spec.accessPolicy.namespacedRules must match the labels of namespace ns";
    check(&[
        ("its own", namespaces!("{mode: SameNamespace}"), &[], &[DENIED, RULE]),
        ("all", namespaces!("{mode: AllNamespaces}"), ROLES, &[]),
        (
            "those with a label",
            namespaces!("{mode: FromSelector, namespaceSelector: {matchExpressions: [{key: team, operator: Exists}]}}"),
            ROLES,
            &[],
        ),
        (
            "those with another label",
            namespaces!("{mode: FromSelector, namespaceSelector: {matchLabels: {team: red}}}"),
            &[],
            &[DENIED, RULE],
        ),
        (
            "those with that label, its own not",
            namespaces!("{mode: FromSelector, namespaceSelector: {matchLabels: {team: blue}}}"),
            ROLES,
            &[OWN],
        ),
        ("a selector without requirements", namespaces!("{mode: FromSelector, namespaceSelector: {}}"), ROLES, &[]),
        (
            "the label is taken away",
            concat!(
                namespaces!(
                    "{mode: FromSelector, namespaceSelector: {matchExpressions: [{key: team, operator: In, values: [red, blue]}]}}"
                ),
                "\nNamespace other: {}"
            ),
            &[],
            &[DENIED, RULE],
        ),
        (
            "the namespace is not known",
            concat!(
                namespaces!(
                    "{mode: FromSelector, namespaceSelector: {matchExpressions: [{key: team, operator: DoesNotExist}]}}"
                ),
                "\nWithout: Namespace other"
            ),
            &[],
            &[DENIED, RULE, OWN],
        ),
        (
            "who is not let in learns nothing of a provider that is not there",
            concat!(namespaces!("{mode: AllNamespaces}"), "\nWithout: GitProvider ns/main"),
            &[],
            &[DENIED, RULE, "GitTarget ns/a ProviderNotFound GitProvider ns/main does not exist"],
        ),
        (
            "nor what is wrong with one",
            concat!(namespaces!("{mode: SameNamespace}"), "\nGitProvider ns/main: {allowedBranches: []}"),
            &[],
            &[
                DENIED,
                RULE,
                "GitProvider ns/main InvalidConfiguration spec.allowedBranches",
                "GitTarget ns/a ProviderNotReady GitProvider ns/main",
            ],
        ),
        (
            "who is let in is told of it",
            concat!(
                namespaces!("{mode: SameNamespace}"),
                "\nGitProvider ns/main: {allowedBranches: [], accessPolicy: {namespacedRules: {mode: AllNamespaces}}}"
            ),
            &[],
            &[
                "GitTarget other/b ProviderNotReady GitProvider ns/main is not usable",
                "WatchRule other/r SinkNotReady (ProviderNotReady)",
                "GitProvider ns/main InvalidConfiguration ",
                "GitTarget ns/a ProviderNotReady ",
            ],
        ),
        (
            "a policy that is none lets in nobody from elsewhere",
            namespaces!("{mode: Nobody}"),
            &[],
            &[
                DENIED,
                RULE,
                "GitProvider ns/main InvalidConfiguration spec.accessPolicy",
                "GitTarget ns/a ProviderNotReady ",
            ],
        ),
        (
            "its own namespace, written out",
            "GitTarget ns/a: {providerRef: {name: main, namespace: ns}}\nWatchRule ns/r: {rules: [{resources: [roles]}]}",
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns"],
            &[],
        ),
    ]);
}

#[test]
fn rules_of_the_cluster() {
    const NODES: &[&str] = &["v1/nodes -> ns/a in *"];
    const KEPT: &[&str] = &["v1/nodes -> ns/a in * kept"];
    macro_rules! both {
        ($provider:literal, $target:literal) => {
            concat!(
                "GitProvider ns/main: {accessPolicy: ",
                $provider,
                "}\nGitTarget ns/a: {",
                $target,
                "}\n",
                "ClusterWatchRule c: {rules: [{scope: Cluster, resources: [nodes]}]}"
            )
        };
    }
    check(&[
        ("both let them in", both!("{allowClusterRules: true}", "accessPolicy: {allowClusterRules: true}"), NODES, &[]),
        ("the target says nothing", both!("{allowClusterRules: true}", ""), NODES, &[]),
        ("the target says nothing else", both!("{allowClusterRules: true}", "accessPolicy: {}"), NODES, &[]),
        (
            "the provider says nothing",
            both!("{}", ""),
            KEPT,
            &[
                "ClusterWatchRule c AccessDenied GitTarget ns/a writes through GitProvider ns/main; GitProvider ns/main admits no ClusterWatchRule: have its owner set its spec.accessPolicy.allowClusterRules to true",
            ],
        ),
        (
            "the provider refuses",
            both!("{allowClusterRules: false}", "accessPolicy: {allowClusterRules: true}"),
            KEPT,
            &["ClusterWatchRule c AccessDenied GitProvider ns/main admits no ClusterWatchRule"],
        ),
        (
            "the target refuses",
            both!("{allowClusterRules: true}", "accessPolicy: {allowClusterRules: false}"),
            KEPT,
            &[
                "ClusterWatchRule c AccessDenied GitTarget ns/a admits no ClusterWatchRule: have its owner set its spec.accessPolicy.allowClusterRules",
            ],
        ),
        (
            "both refuse",
            both!("{allowClusterRules: false}", "accessPolicy: {allowClusterRules: false}"),
            KEPT,
            &[
                "ClusterWatchRule c AccessDenied neither GitTarget ns/a nor its GitProvider ns/main admits ClusterWatchRules | in both",
            ],
        ),
        (
            "rules of the namespace are none of the cluster",
            concat!(both!("{allowClusterRules: false}", ""), "\nWatchRule ns/r: {rules: [{resources: [roles]}]}"),
            &["v1/nodes -> ns/a in * kept", "rbac.authorization.k8s.io/v1/roles -> ns/a in ns"],
            &["ClusterWatchRule c AccessDenied "],
        ),
        (
            "it is not asked who may, where nothing can be written",
            both!("{}", "branch: develop"),
            &[],
            &["GitTarget ns/a BranchNotAllowed ", "ClusterWatchRule c SinkNotReady (BranchNotAllowed)"],
        ),
    ]);
}
