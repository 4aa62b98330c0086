//! Rules that are not in effect: what they select is kept, and nobody else notices.

use super::check;

#[test]
fn what_is_not_in_effect_is_kept() {
    check(&[
        (
            "suspended",
            "WatchRule ns/r: {suspend: true, rules: [{resources: [roles]}]}",
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns kept"],
            &[
                "WatchRule ns/r Suspended spec.suspend is true: nothing that the rule selects is written or removed until it is false",
            ],
        ),
        (
            "a suspended rule of the cluster",
            "ClusterWatchRule c: {suspend: true, rules: [{scope: Cluster, resources: [nodes]}]}",
            &["v1/nodes -> ns/a in * kept"],
            &["ClusterWatchRule c Suspended "],
        ),
        (
            "with its labels",
            "WatchRule ns/r: {suspend: true, objectSelector: {matchLabels: {a: b}}, rules: [{resources: [roles]}]}",
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns where a=b kept"],
            &["WatchRule ns/r Suspended "],
        ),
        (
            "in every version",
            "WatchRule ns/r: {suspend: true, rules: [{resources: [widgets.example.com]}]}",
            &["example.com/v1/widgets -> ns/a in ns kept", "example.com/v2/widgets -> ns/a in ns kept"],
            &["WatchRule ns/r Suspended "],
        ),
        (
            "suspended, and wrong besides",
            "WatchRule ns/r: {suspend: true, rules: [{resources: [roles], operations: [X]}]}",
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns kept"],
            &["WatchRule ns/r Suspended "],
        ),
        (
            "another rule mirrors the same",
            "WatchRule ns/r: {suspend: true, rules: [{resources: [roles]}]}\nWatchRule ns/s: {rules: [{resources: [roles]}]}",
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns"],
            &["WatchRule ns/r Suspended "],
        ),
        (
            "another rule mirrors a part of it",
            "ClusterWatchRule c: {suspend: true, rules: [{scope: Namespaced, resources: [roles]}]}\nWatchRule ns/s: {rules: [{resources: [roles]}]}",
            &[
                "rbac.authorization.k8s.io/v1/roles -> ns/a in ns",
                "rbac.authorization.k8s.io/v1/roles -> ns/a in * kept",
            ],
            &["ClusterWatchRule c Suspended "],
        ),
        (
            "a rule that writes to something else",
            "WatchRule ns/r: {sinkRef: {name: a, kind: Bucket}, rules: [{resources: [roles]}]}",
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns kept"],
            &[
                "WatchRule ns/r InvalidConfiguration correct spec.sinkRef must name a GitTarget of group configbutler.ai",
            ],
        ),
        (
            "a scope that is none",
            "ClusterWatchRule c: {rules: [{scope: Galaxy, resources: [nodes]}, {scope: Cluster, resources: [clusterroles]}]}",
            &["rbac.authorization.k8s.io/v1/clusterroles -> ns/a in * kept"],
            &["ClusterWatchRule c InvalidConfiguration correct spec.rules[0].scope: it must be Cluster or Namespaced"],
        ),
        (
            "several things wrong",
            "ClusterWatchRule c: {objectSelector: {matchLabels: {'-': x}}, rules: [{scope: Galaxy, operations: [X]}]}",
            &[],
            &[
                "ClusterWatchRule c InvalidConfiguration spec.objectSelector | spec.rules[0].operations | spec.rules[0].scope",
            ],
        ),
        (
            "nowhere to keep it",
            "GitTarget ns/a: {suspend: true}\nWatchRule ns/r: {suspend: true}",
            &[],
            &["GitTarget ns/a Suspended ", "WatchRule ns/r Suspended "],
        ),
        (
            "one bad rule beside a good one",
            "WatchRule ns/bad: {objectSelector: {matchLabels: {'': x}}}\nWatchRule ns/worse: {sinkRef: {name: nobody}}\nWatchRule ns/good: {rules: [{resources: [widgets.other.example]}]}",
            &[
                "v1/configmaps -> ns/a in ns kept",
                "v1/secrets -> ns/a in ns kept",
                "apps/v1/deployments -> ns/a in ns kept",
                "networking.k8s.io/v1/ingresses -> ns/a in ns kept",
                "other.example/v1/widgets -> ns/a in ns",
                "rbac.authorization.k8s.io/v1/roles -> ns/a in ns kept",
            ],
            &["WatchRule ns/bad InvalidConfiguration ", "WatchRule ns/worse SinkNotFound "],
        ),
        (
            "two targets of one rule's namespace",
            "GitTarget ns/b: {}\nWatchRule ns/r: {rules: [{resources: [roles]}]}\nWatchRule ns/s: {sinkRef: {name: b}, rules: [{resources: [roles]}]}",
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns", "rbac.authorization.k8s.io/v1/roles -> ns/b in ns"],
            &[],
        ),
        (
            "rules of two namespaces",
            "GitProvider other/main: {url: 'https://git.example.com/o'}\nGitTarget other/a: {}\nWatchRule ns/r: {rules: [{resources: [roles]}]}\nWatchRule other/r: {rules: [{resources: [roles]}]}",
            &[
                "rbac.authorization.k8s.io/v1/roles -> ns/a in ns",
                "rbac.authorization.k8s.io/v1/roles -> other/a in other",
            ],
            &[],
        ),
        (
            "a rule of the cluster over one of a namespace",
            "ClusterWatchRule c: {rules: [{scope: Namespaced, resources: [roles]}]}\nWatchRule ns/r: {rules: [{resources: [roles]}]}",
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns", "rbac.authorization.k8s.io/v1/roles -> ns/a in *"],
            &[],
        ),
    ]);
}
