//! What happens when there are more types than watches.

use super::check;

const ROLES: &str = "rbac.authorization.k8s.io/v1/roles -> ns/a in ns";
const CONFIGMAPS: &str = "v1/configmaps -> ns/a in ns";

#[test]
fn watches() {
    check(&[
        (
            "just enough",
            "Policy: {maxWatches: 2}\nWatchRule ns/r: {rules: [{resources: [roles, configmaps]}]}",
            &[CONFIGMAPS, ROLES],
            &[],
        ),
        (
            "one too few",
            "Policy: {maxWatches: 1}\nWatchRule ns/r: {rules: [{resources: [roles, configmaps]}]}",
            &[CONFIGMAPS, "rbac.authorization.k8s.io/v1/roles -> ns/a in ns kept"],
            &[
                "WatchRule ns/r TooManyResources --max-watches=1 leaves no watch for roles.rbac.authorization.k8s.io, whose files stay as they are: select less, raise it, or lower --namespaced-watch-limit=10; what else it selects is mirrored",
            ],
        ),
        (
            "the older rule comes first",
            "Policy: {maxWatches: 1}\nWatchRule ns/r@5: {rules: [{resources: [configmaps]}]}\nWatchRule ns/s@3: {rules: [{resources: [roles]}]}",
            &["v1/configmaps -> ns/a in ns kept", ROLES],
            &["WatchRule ns/r TooManyResources --max-watches=1 leaves no watch for configmaps"],
        ),
        (
            "what is watched anyhow costs nothing",
            "Policy: {maxWatches: 1}\nGitTarget ns/b: {}\nWatchRule ns/r@3: {rules: [{resources: [roles]}]}\nWatchRule ns/s@5: {sinkRef: {name: b}, rules: [{resources: [roles]}]}",
            &[ROLES, "rbac.authorization.k8s.io/v1/roles -> ns/b in ns"],
            &[],
        ),
        (
            "each namespace costs one",
            "Policy: {maxWatches: 1}\nGitTarget other/b: {providerRef: {name: main, namespace: ns}}\nGitProvider ns/main: {accessPolicy: {namespacedRules: {mode: AllNamespaces}}}\nWatchRule ns/r@3: {rules: [{resources: [roles]}]}\nWatchRule other/s@5: {sinkRef: {name: b}, rules: [{resources: [roles]}]}",
            &[ROLES, "rbac.authorization.k8s.io/v1/roles -> other/b in other kept"],
            &["WatchRule other/s TooManyResources roles"],
        ),
        (
            "beyond the limit they cost one together",
            "Policy: {maxWatches: 1, namespacedLimit: 1}\nGitTarget other/b: {providerRef: {name: main, namespace: ns}}\nGitProvider ns/main: {accessPolicy: {namespacedRules: {mode: AllNamespaces}}}\nWatchRule ns/r@3: {rules: [{resources: [roles]}]}\nWatchRule other/s@5: {sinkRef: {name: b}, rules: [{resources: [roles]}]}",
            &[ROLES, "rbac.authorization.k8s.io/v1/roles -> other/b in other"],
            &[],
        ),
        (
            "a rule that is not in effect costs nothing",
            "Policy: {maxWatches: 1}\nWatchRule ns/r@3: {suspend: true, rules: [{resources: [roles]}]}\nWatchRule ns/s@5: {rules: [{resources: [configmaps]}]}",
            &[CONFIGMAPS, "rbac.authorization.k8s.io/v1/roles -> ns/a in ns kept"],
            &["WatchRule ns/r Suspended "],
        ),
        (
            "a selector that matches no namespace costs nothing",
            "Policy: {maxWatches: 1}\nClusterWatchRule c@3: {rules: [{scope: Namespaced, resources: [roles], namespaceSelector: {matchLabels: {no: one}}}]}\nWatchRule ns/s@5: {rules: [{resources: [configmaps]}]}",
            &[CONFIGMAPS],
            &[],
        ),
        (
            "no watches",
            "Policy: {maxWatches: 0}\nWatchRule ns/r: {rules: [{resources: [roles]}]}",
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns kept"],
            &["WatchRule ns/r TooManyResources --max-watches=0 leaves no watch for roles"],
        ),
        (
            "names and watches are both short",
            "Policy: {maxWatches: 1}\nWatchRule ns/r: {rules: [{resources: [roles, configmaps, unicorns]}]}",
            &[CONFIGMAPS, "rbac.authorization.k8s.io/v1/roles -> ns/a in ns kept"],
            &[
                "WatchRule ns/r NoMatchingResources correct spec.rules: unicorns is not served; --max-watches=1 leaves no watch for roles | ; what else it selects is mirrored",
            ],
        ),
        (
            "many are short",
            "Policy: {maxWatches: 0}\nWatchRule ns/r: {rules: [{resources: ['*']}]}",
            &[
                "v1/configmaps -> ns/a in ns kept",
                "v1/secrets -> ns/a in ns kept",
                "apps/v1/deployments -> ns/a in ns kept",
                "example.com/v1/widgets -> ns/a in ns kept",
                "example.com/v2/widgets -> ns/a in ns kept",
                "networking.k8s.io/v1/ingresses -> ns/a in ns kept",
                "other.example/v1/widgets -> ns/a in ns kept",
                "rbac.authorization.k8s.io/v1/roles -> ns/a in ns kept",
            ],
            &["WatchRule ns/r TooManyResources and 2 more"],
        ),
    ]);
}
