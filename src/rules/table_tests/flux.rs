//! `GitRepository` of Flux as a provider.

use super::check;

const ROLES: &[&str] = &["rbac.authorization.k8s.io/v1/roles -> ns/f in ns"];
const RULE: &str = "WatchRule ns/r SinkNotReady GitTarget ns/f is not usable (ProviderNotReady)";

/// A target that writes through the repository `flux`, after what `given` says.
macro_rules! flux {
    ($given:literal) => {
        concat!(
            $given,
            "\nGitTarget ns/f: {providerRef: {group: source.toolkit.fluxcd.io, kind: GitRepository, name: flux}}\n",
            "WatchRule ns/r: {sinkRef: {name: f}, rules: [{resources: [roles]}]}"
        )
    };
}

#[test]
fn repositories_of_flux() {
    check(&[
        (
            "as usual",
            flux!(
                "GitRepository ns/flux: {url: 'https://git.example.com/f', secretRef: {name: s}, interval: 1m, ref: {branch: dev}}"
            ),
            ROLES,
            &[],
        ),
        (
            "any branch",
            concat!(
                flux!("GitRepository ns/flux: {url: 'https://git.example.com/f'}"),
                "\nGitTarget ns/f: {branch: x/y, providerRef: {group: source.toolkit.fluxcd.io, kind: GitRepository, name: flux}}"
            ),
            ROLES,
            &[],
        ),
        (
            "the definition is absent",
            flux!("Flux: absent"),
            &[],
            &[
                "GitTarget ns/f ProviderNotFound GitRepository ns/flux cannot exist | does not know GitRepository of group source.toolkit.fluxcd.io: install Flux, or name a GitProvider",
                "WatchRule ns/r SinkNotReady (ProviderNotFound)",
            ],
        ),
        (
            "the object is absent",
            flux!("GitRepository ns/else: {url: 'https://git.example.com/f'}"),
            &[],
            &[
                "GitTarget ns/f ProviderNotFound GitRepository ns/flux does not exist; create it",
                "WatchRule ns/r SinkNotReady (ProviderNotFound)",
            ],
        ),
        (
            "they are being read",
            flux!("Flux: pending"),
            &[],
            &[
                "GitTarget ns/f Validating GitRepository ns/flux is being read",
                "WatchRule ns/r Validating GitTarget ns/f is being looked at: GitRepository ns/flux is being read",
            ],
        ),
        (
            "they cannot be read",
            flux!("Flux: let the operator list gitrepositories"),
            &[],
            &[
                "GitTarget ns/f ProviderNotReady GitRepository ns/flux cannot be read: let the operator list gitrepositories",
                RULE,
            ],
        ),
        (
            "no address",
            flux!("GitRepository ns/flux: {interval: 1m}"),
            &[],
            &["GitTarget ns/f ProviderNotReady GitRepository ns/flux is not usable: spec.url is missing", RULE],
        ),
        (
            "an address that is not allowed",
            flux!("GitRepository ns/flux: {url: 'http://git.example.com/f'}"),
            &[],
            &["GitTarget ns/f ProviderNotReady spec.url is not usable | --allow-insecure-transports", RULE],
        ),
        (
            "credentials of a cloud",
            flux!("GitRepository ns/flux: {url: 'https://git.example.com/f', provider: azure}"),
            &[],
            &["GitTarget ns/f ProviderNotReady spec.provider azure is not supported", RULE],
        ),
        (
            "an app without its keys",
            flux!("GitRepository ns/flux: {url: 'https://git.example.com/f', provider: github}"),
            &[],
            &[
                "GitTarget ns/f ProviderNotReady spec.provider github needs a spec.secretRef with the keys of a GitHub App",
                RULE,
            ],
        ),
        (
            "an app with its keys",
            flux!(
                "GitRepository ns/flux: {url: 'https://git.example.com/f', provider: github, secretRef: {name: app}}"
            ),
            ROLES,
            &[],
        ),
        (
            "a proxy",
            flux!("GitRepository ns/flux: {url: 'https://git.example.com/f', proxySecretRef: {name: p}}"),
            &[],
            &["GitTarget ns/f ProviderNotReady spec.proxySecretRef is not supported", RULE],
        ),
        (
            "suspended",
            flux!("GitRepository ns/flux: {url: 'https://git.example.com/f', suspend: true}"),
            &[],
            &[
                "GitTarget ns/f ProviderNotReady GitRepository ns/flux is suspended | until its spec.suspend is false",
                RULE,
            ],
        ),
        (
            "in another namespace",
            "GitRepository other/flux: {url: 'https://git.example.com/f'}\nGitTarget ns/f: {providerRef: {group: source.toolkit.fluxcd.io, kind: GitRepository, name: flux, namespace: other}}",
            &[],
            &[
                "GitTarget ns/f InvalidConfiguration spec.providerRef: a GitRepository must be in the namespace of the target",
            ],
        ),
        (
            "of the same name as one of ours",
            "GitRepository ns/main: {url: 'https://git.example.com/f'}\nGitTarget ns/a: {}\nWatchRule ns/r: {rules: [{resources: [roles]}]}",
            &["rbac.authorization.k8s.io/v1/roles -> ns/a in ns"],
            &[],
        ),
    ]);
}

#[test]
fn rules_of_the_cluster_need_to_be_asked_for() {
    macro_rules! access {
        ($access:literal) => {
            concat!(
                "GitRepository ns/flux: {url: 'https://git.example.com/f'}\n",
                "GitTarget ns/f: {providerRef: {group: source.toolkit.fluxcd.io, kind: GitRepository, name: flux}",
                $access,
                "}\n",
                "ClusterWatchRule c: {sinkRef: {name: f, namespace: ns}, rules: [{scope: Cluster, resources: [nodes]}]}"
            )
        };
    }
    check(&[
        (
            "nothing is said",
            access!(""),
            &["v1/nodes -> ns/f in * kept"],
            &[
                "ClusterWatchRule c AccessDenied GitTarget ns/f writes through a GitRepository, so it admits ClusterWatchRules only when asked to: have its owner set its spec.accessPolicy.allowClusterRules to true",
            ],
        ),
        ("yes", access!(", accessPolicy: {allowClusterRules: true}"), &["v1/nodes -> ns/f in *"], &[]),
        (
            "no",
            access!(", accessPolicy: {allowClusterRules: false}"),
            &["v1/nodes -> ns/f in * kept"],
            &["ClusterWatchRule c AccessDenied GitTarget ns/f admits no ClusterWatchRule"],
        ),
    ]);
}
