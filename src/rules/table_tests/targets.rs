//! What is wrong with a target.

use super::check;

/// A rule that writes to the target `a`, over which `spec` is put.
macro_rules! target {
    ($spec:literal) => {
        concat!("GitTarget ns/a: ", $spec, "\nWatchRule ns/r: {rules: [{resources: [roles]}]}")
    };
}

const ROLES: &[&str] = &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns"];
const RULE: &str =
    "WatchRule ns/r SinkNotReady GitTarget ns/a is not usable (InvalidConfiguration); its own status says";

#[test]
fn places() {
    check(&[
        ("as usual", target!("{}"), ROLES, &[]),
        ("the root of the repository", target!("{baseFolder: .}"), ROLES, &[]),
        ("no folder", target!("{baseFolder: ''}"), &[], &["GitTarget ns/a InvalidConfiguration spec.baseFolder", RULE]),
        (
            "a folder above",
            target!("{baseFolder: ../x}"),
            &[],
            &["GitTarget ns/a InvalidConfiguration spec.baseFolder", RULE],
        ),
        (
            "an absolute folder",
            target!("{baseFolder: /x}"),
            &[],
            &["GitTarget ns/a InvalidConfiguration spec.baseFolder", RULE],
        ),
        (
            "git's own folder",
            target!("{baseFolder: x/.git}"),
            &[],
            &["GitTarget ns/a InvalidConfiguration spec.baseFolder", RULE],
        ),
        (
            "an option as a branch",
            target!("{branch: --force}"),
            &[],
            &["GitTarget ns/a InvalidConfiguration spec.branch", RULE],
        ),
        (
            "a branch that is not allowed",
            target!("{branch: develop}"),
            &[],
            &[
                "GitTarget ns/a BranchNotAllowed GitProvider ns/main does not allow branch develop; add it to its spec.allowedBranches",
                "WatchRule ns/r SinkNotReady (BranchNotAllowed)",
            ],
        ),
        (
            "a branch that a glob allows",
            concat!("GitProvider ns/main: {allowedBranches: ['release/*']}\n", target!("{branch: release/1}")),
            ROLES,
            &[],
        ),
        (
            "no such provider",
            target!("{providerRef: {name: nobody}}"),
            &[],
            &[
                "GitTarget ns/a ProviderNotFound GitProvider ns/nobody does not exist; create it or correct spec.providerRef.name",
                "WatchRule ns/r SinkNotReady (ProviderNotFound)",
            ],
        ),
        (
            "another kind of provider",
            target!("{providerRef: {name: main, kind: Bucket}}"),
            &[],
            &[
                "GitTarget ns/a InvalidConfiguration spec.providerRef: name a GitProvider of group configbutler.ai or a GitRepository of group source.toolkit.fluxcd.io",
                RULE,
            ],
        ),
        (
            "another group of providers",
            target!("{providerRef: {name: main, group: example.com}}"),
            &[],
            &["GitTarget ns/a InvalidConfiguration spec.providerRef", RULE],
        ),
        (
            "a kind of Flux in our group",
            target!("{providerRef: {name: main, kind: GitRepository}}"),
            &[],
            &["GitTarget ns/a InvalidConfiguration spec.providerRef", RULE],
        ),
        (
            "suspended",
            target!("{suspend: true}"),
            &[],
            &[
                "GitTarget ns/a Suspended spec.suspend is true: nothing is written",
                "WatchRule ns/r SinkNotReady GitTarget ns/a is not usable (Suspended)",
            ],
        ),
        (
            "suspended and wrong",
            target!("{suspend: true, branch: develop}"),
            &[],
            &["GitTarget ns/a Suspended spec.suspend", "WatchRule ns/r SinkNotReady (Suspended)"],
        ),
        (
            "no such target",
            "Without: GitTarget ns/a\nWatchRule ns/r: {}",
            &[],
            &["WatchRule ns/r SinkNotFound GitTarget ns/a does not exist; create it or correct spec.sinkRef"],
        ),
        (
            "a target of another namespace",
            "WatchRule other/r: {}",
            &[],
            &["WatchRule other/r SinkNotFound GitTarget other/a does not exist"],
        ),
    ]);
}

#[test]
fn settings() {
    check(&[
        ("a window", target!("{commit: {window: 60s}}"), ROLES, &[]),
        (
            "too long a window",
            target!("{commit: {window: 61s}}"),
            &[],
            &["GitTarget ns/a InvalidConfiguration spec.commit.window is not usable: it must be at most 60s", RULE],
        ),
        (
            "a window that is none",
            target!("{commit: {window: soon}}"),
            &[],
            &["GitTarget ns/a InvalidConfiguration spec.commit.window", RULE],
        ),
        (
            "a placeholder of another message",
            target!("{commit: {message: {seed: '{user}'}}}"),
            &[],
            &["GitTarget ns/a InvalidConfiguration spec.commit.message.seed", RULE],
        ),
        (
            "too long a grace",
            target!("{foreignEditGrace: 25h}"),
            &[],
            &["GitTarget ns/a InvalidConfiguration spec.foreignEditGrace: it must be at most 24h", RULE],
        ),
        (
            "a grace that is none",
            target!("{foreignEditGrace: ever}"),
            &[],
            &["GitTarget ns/a InvalidConfiguration spec.foreignEditGrace", RULE],
        ),
        (
            "a mode that is none",
            target!("{prune: {mode: Sometimes}}"),
            &[],
            &["GitTarget ns/a InvalidConfiguration spec.prune.mode: it is none of Always, OnEvent and Never", RULE],
        ),
        (
            "fewer than no deletes",
            target!("{prune: {maxDeletesPerCycle: -1}}"),
            &[],
            &["GitTarget ns/a InvalidConfiguration spec.prune.maxDeletesPerCycle", RULE],
        ),
        (
            "a policy that is none",
            target!("{secrets: {policy: Encrypt}}"),
            &[],
            &[
                "GitTarget ns/a InvalidConfiguration spec.secrets.policy: \"Encrypt\" is no policy for Secrets: write Plaintext or Omit",
                RULE,
            ],
        ),
        (
            "a pointer that is none",
            target!("{ignoreFields: [{group: apps, resource: deployments, jsonPointers: [spec.replicas]}]}"),
            &[],
            &[
                "GitTarget ns/a InvalidConfiguration spec.ignoreFields: \"spec.replicas\": it must begin with a slash, as in /spec/replicas",
                RULE,
            ],
        ),
        (
            "a pointer to the name",
            target!("{ignoreFields: [{group: '', resource: configmaps, jsonPointers: [/data, /metadata/name]}]}"),
            &[],
            &[
                "GitTarget ns/a InvalidConfiguration \"/metadata/name\": apiVersion, kind, metadata.name and metadata.namespace are always written",
                RULE,
            ],
        ),
        (
            "a pointer",
            target!("{ignoreFields: [{group: apps, resource: deployments, jsonPointers: [/spec/replicas]}]}"),
            ROLES,
            &[],
        ),
    ]);
}

#[test]
fn secrets() {
    check(&[
        ("as they are", "WatchRule ns/r: {rules: [{resources: [secrets]}]}", &["v1/secrets -> ns/a in ns"], &[]),
        (
            "omitted from the preset",
            "GitTarget ns/a: {secrets: {policy: Omit}}\nWatchRule ns/r: {rules: [{apiGroups: ['']}]}",
            &["v1/configmaps -> ns/a in ns"],
            &[],
        ),
        (
            "omitted from wildcards",
            "GitTarget ns/a: {secrets: {policy: Omit}}\nWatchRule ns/r: {rules: [{resources: ['*'], apiGroups: ['']}]}",
            &["v1/configmaps -> ns/a in ns"],
            &[],
        ),
        (
            "omitted though named",
            "GitTarget ns/a: {secrets: {policy: Omit}}\nWatchRule ns/r: {rules: [{resources: [configmaps, secrets]}]}",
            &["v1/configmaps -> ns/a in ns"],
            &[
                "WatchRule ns/r NoMatchingResources GitTarget ns/a takes no secrets | Omit | ; what else it selects is mirrored",
            ],
        ),
        (
            "omitted by the operator",
            "Policy: {secrets: Omit}\nWatchRule ns/r: {rules: [{apiGroups: ['']}]}",
            &["v1/configmaps -> ns/a in ns"],
            &[],
        ),
        (
            "a target cannot loosen that",
            "Policy: {secrets: Omit}\nGitTarget ns/a: {secrets: {policy: Plaintext}}\nWatchRule ns/r: {rules: [{apiGroups: ['']}]}",
            &["v1/configmaps -> ns/a in ns"],
            &[],
        ),
        (
            "one target omits, another does not",
            "GitTarget ns/a: {secrets: {policy: Omit}}\nGitTarget ns/b: {}\nWatchRule ns/r: {rules: [{apiGroups: ['']}]}\nWatchRule ns/s: {sinkRef: {name: b}, rules: [{apiGroups: ['']}]}",
            &["v1/configmaps -> ns/a in ns", "v1/configmaps -> ns/b in ns", "v1/secrets -> ns/b in ns"],
            &[],
        ),
        (
            "other types stay",
            "GitTarget ns/a: {secrets: {policy: Omit}}\nWatchRule ns/r: {rules: [{resources: [widgets.example.com]}]}",
            &["example.com/v2/widgets -> ns/a in ns"],
            &[],
        ),
    ]);
}
