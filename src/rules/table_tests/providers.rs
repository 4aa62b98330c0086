//! What is wrong with a provider.

use super::check;

/// A rule that mirrors through the provider `main`, over which `spec` is put.
macro_rules! provider {
    ($spec:literal) => {
        concat!("GitProvider ns/main: ", $spec, "\nWatchRule ns/r: {rules: [{resources: [roles]}]}")
    };
}

const ROLES: &[&str] = &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns"];
const TARGET: &str =
    "GitTarget ns/a ProviderNotReady GitProvider ns/main is not usable; its own status says what to correct";
const SUSPENDED: &str =
    "GitTarget ns/a ProviderNotReady GitProvider ns/main is suspended | until its spec.suspend is false";
const RULE: &str = "WatchRule ns/r SinkNotReady GitTarget ns/a is not usable (ProviderNotReady)";

#[test]
fn providers() {
    check(&[
        ("as usual", provider!("{}"), ROLES, &[]),
        ("over SSH", provider!("{url: 'git@git.example.com:r'}"), ROLES, &[]),
        (
            "no such scheme",
            provider!("{url: 'gopher://git.example.com/r'}"),
            &[],
            &["GitProvider ns/main InvalidConfiguration spec.url is not usable", TARGET, RULE],
        ),
        (
            "not encrypted",
            provider!("{url: 'http://git.example.com/r'}"),
            &[],
            &["GitProvider ns/main InvalidConfiguration spec.url | --allow-insecure-transports", TARGET, RULE],
        ),
        (
            "not encrypted, which is allowed",
            concat!("Policy: {insecure: true}\n", provider!("{url: 'http://git.example.com/r'}")),
            ROLES,
            &[],
        ),
        (
            "an address of this host",
            provider!("{url: 'https://127.0.0.1/r'}"),
            &[],
            &["GitProvider ns/main InvalidConfiguration spec.url", TARGET, RULE],
        ),
        (
            "no branches",
            provider!("{allowedBranches: []}"),
            &[],
            &["GitProvider ns/main InvalidConfiguration spec.allowedBranches", TARGET, RULE],
        ),
        (
            "no pushes",
            provider!("{push: {interval: 0s}}"),
            &[],
            &["GitProvider ns/main InvalidConfiguration spec.push.interval", TARGET, RULE],
        ),
        (
            "polls without end",
            provider!("{pollInterval: 1s}"),
            &[],
            &[
                "GitProvider ns/main InvalidConfiguration spec.pollInterval is not usable: it must be from 10s to 24h",
                TARGET,
                RULE,
            ],
        ),
        (
            "suspended",
            provider!("{suspend: true}"),
            &[],
            &["GitProvider ns/main Suspended spec.suspend is true | until it is false", SUSPENDED, RULE],
        ),
        (
            "suspended and wrong",
            provider!("{suspend: true, allowedBranches: []}"),
            &[],
            &["GitProvider ns/main Suspended spec.suspend", SUSPENDED, RULE],
        ),
        (
            "no such mode",
            provider!("{accessPolicy: {namespacedRules: {mode: Everybody}}}"),
            &[],
            &[
                "GitProvider ns/main InvalidConfiguration spec.accessPolicy.namespacedRules.mode \"Everybody\" is none of SameNamespace, AllNamespaces and FromSelector",
                TARGET,
                RULE,
            ],
        ),
        (
            "a selector is missing",
            provider!("{accessPolicy: {namespacedRules: {mode: FromSelector}}}"),
            &[],
            &[
                "GitProvider ns/main InvalidConfiguration spec.accessPolicy.namespacedRules: mode FromSelector needs a namespaceSelector",
                TARGET,
                RULE,
            ],
        ),
        (
            "a selector that nothing reads",
            provider!("{accessPolicy: {namespacedRules: {mode: AllNamespaces, namespaceSelector: {}}}}"),
            &[],
            &["GitProvider ns/main InvalidConfiguration is read by mode FromSelector only", TARGET, RULE],
        ),
        (
            "a selector that is none",
            provider!(
                "{accessPolicy: {namespacedRules: {mode: FromSelector, namespaceSelector: {matchExpressions: [{key: a, operator: Near}]}}}}"
            ),
            &[],
            &[
                "GitProvider ns/main InvalidConfiguration operator \"Near\" is none of In, NotIn, Exists and DoesNotExist",
                TARGET,
                RULE,
            ],
        ),
        (
            "one does not stain another",
            "GitProvider ns/bad: {allowedBranches: []}\nGitTarget ns/b: {providerRef: {name: bad}}\nWatchRule ns/r: {rules: [{resources: [roles]}]}",
            ROLES,
            &["GitProvider ns/bad InvalidConfiguration ", "GitTarget ns/b ProviderNotReady GitProvider ns/bad"],
        ),
    ]);
}
