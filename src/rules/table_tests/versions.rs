//! One folder holds one version of a type.

use super::{Row, check};

const V1: &str = "example.com/v1/widgets -> ns/a in ns";
const V2: &str = "example.com/v2/widgets -> ns/a in ns";

#[test]
fn versions() {
    const ROWS: &[Row<'_>] = &[
        ("none named: the preferred one", "WatchRule ns/r: {rules: [{resources: [widgets.example.com]}]}", &[V2], &[]),
        (
            "any: the preferred one",
            "WatchRule ns/r: {rules: [{resources: [widgets.example.com], apiVersions: ['*']}]}",
            &[V2],
            &[],
        ),
        (
            "any and another: the preferred one",
            "WatchRule ns/r: {rules: [{resources: [widgets.example.com], apiVersions: ['*', v1]}]}",
            &[V2],
            &[],
        ),
        (
            "one is named",
            "WatchRule ns/r: {rules: [{resources: [widgets.example.com], apiVersions: [v1]}]}",
            &[V1],
            &[],
        ),
        (
            "several are named: the server's choice",
            "WatchRule ns/r: {rules: [{resources: [widgets.example.com], apiVersions: [v1, v2]}]}",
            &[V2],
            &[],
        ),
        ("one that only some have", "WatchRule ns/r: {rules: [{resources: [widgets], apiVersions: [v2]}]}", &[V2], &[]),
        (
            "the preferred one changes",
            "WatchRule ns/r: {rules: [{resources: [widgets.example.com]}]}\nWithout: served example.com/v2/widgets",
            &[V1],
            &[],
        ),
    ];
    check(ROWS);
}

#[test]
fn conflicts() {
    const ROWS: &[Row<'_>] = &[
        (
            "the older rule decides",
            "WatchRule ns/r1@1: {rules: [{resources: [widgets.example.com], apiVersions: [v1]}]}\nWatchRule ns/r2@2: {rules: [{resources: [widgets.example.com], apiVersions: [v2]}]}",
            &[V1, "example.com/v2/widgets -> ns/a in ns kept"],
            &[
                "WatchRule ns/r2 VersionConflict GitTarget ns/a holds one version of a resource: drop example.com/v2/widgets (v1 was named first) from apiVersions",
            ],
        ),
        (
            "whatever it is called",
            "WatchRule ns/r1@2: {rules: [{resources: [widgets.example.com], apiVersions: [v1]}]}\nWatchRule ns/r2@1: {rules: [{resources: [widgets.example.com], apiVersions: [v2]}]}",
            &["example.com/v1/widgets -> ns/a in ns kept", V2],
            &["WatchRule ns/r1 VersionConflict (v2 was named first)"],
        ),
        (
            "of the same second: the first name",
            "WatchRule ns/r1: {rules: [{resources: [widgets.example.com], apiVersions: [v1]}]}\nWatchRule ns/r2: {rules: [{resources: [widgets.example.com], apiVersions: [v2]}]}",
            &[V1, "example.com/v2/widgets -> ns/a in ns kept"],
            &["WatchRule ns/r2 VersionConflict"],
        ),
        (
            "within one rule: the first item",
            "WatchRule ns/r: {rules: [{resources: [widgets.example.com], apiVersions: [v1]}, {resources: [widgets.example.com], apiVersions: [v2]}]}",
            &[V1, "example.com/v2/widgets -> ns/a in ns kept"],
            &["WatchRule ns/r VersionConflict ; what else it selects is mirrored"],
        ),
        (
            "who names none follows",
            "WatchRule ns/r1@1: {rules: [{resources: [widgets.example.com]}]}\nWatchRule ns/r2@2: {rules: [{resources: [widgets.example.com], apiVersions: [v1]}]}",
            &[V1],
            &[],
        ),
        (
            "the rest of the rule carries on",
            "WatchRule ns/r1@1: {rules: [{resources: [widgets.example.com], apiVersions: [v1]}]}\nWatchRule ns/r2@2: {rules: [{resources: [widgets.example.com], apiVersions: [v2]}, {resources: [roles]}]}",
            &[V1, "example.com/v2/widgets -> ns/a in ns kept", "rbac.authorization.k8s.io/v1/roles -> ns/a in ns"],
            &["WatchRule ns/r2 VersionConflict ; what else it selects is mirrored"],
        ),
        (
            "each target decides for itself",
            "GitTarget ns/b: {}\nWatchRule ns/r1@1: {rules: [{resources: [widgets.example.com], apiVersions: [v1]}]}\nWatchRule ns/r2@2: {sinkRef: {name: b}, rules: [{resources: [widgets.example.com], apiVersions: [v2]}]}",
            &[V1, "example.com/v2/widgets -> ns/b in ns"],
            &[],
        ),
        (
            "a suspended rule decides nothing",
            "WatchRule ns/r1@1: {suspend: true, rules: [{resources: [widgets.example.com], apiVersions: [v1]}]}\nWatchRule ns/r2@2: {rules: [{resources: [widgets.example.com], apiVersions: [v2]}]}",
            &["example.com/v1/widgets -> ns/a in ns kept", V2],
            &["WatchRule ns/r1 Suspended"],
        ),
        (
            "a rule of the cluster decides too",
            "ClusterWatchRule c@1: {rules: [{scope: Namespaced, resources: [widgets.example.com], apiVersions: [v1]}]}\nWatchRule ns/r@2: {rules: [{resources: [widgets.example.com]}]}",
            &["example.com/v1/widgets -> ns/a in ns", "example.com/v1/widgets -> ns/a in *"],
            &[],
        ),
    ];
    check(ROWS);
}
