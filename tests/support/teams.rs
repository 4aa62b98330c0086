//! 200 rules of 50 namespaces over 30 types, all on one branch of one provider.

use super::control_plane::ControlPlane;
use super::operator::{self, Mirror, SOON, apply};
use super::poll::eventually;
use anyhow::{Result, ensure};
use std::time::Duration;

/// How many namespaces have rules, four each.
pub(crate) const NAMESPACES: usize = 50;
/// Types that the API server has by itself: as a rule names them, and as the audit log does.
pub(crate) const BUILT_IN: [(&str, &str); 10] = [
    ("configmaps", "core/v1/configmaps"),
    ("limitranges", "core/v1/limitranges"),
    ("resourcequotas", "core/v1/resourcequotas"),
    ("services", "core/v1/services"),
    ("deployments", "apps/v1/deployments"),
    ("statefulsets", "apps/v1/statefulsets"),
    ("roles", "rbac.authorization.k8s.io/v1/roles"),
    ("rolebindings", "rbac.authorization.k8s.io/v1/rolebindings"),
    ("networkpolicies", "networking.k8s.io/v1/networkpolicies"),
    ("poddisruptionbudgets", "policy/v1/poddisruptionbudgets"),
];
/// Types that have a definition.
pub(crate) const CUSTOM: usize = 20;
/// The first of these are wanted in a few namespaces only,
pub(crate) const RARE: usize = 5;
/// so many, which is less than the default of `--namespaced-watch-limit`.
pub(crate) const FEW: usize = 8;
/// The least `pollInterval` that a provider may have.
pub(crate) const POLL: Duration = Duration::from_secs(10);

/// The namespace of a team, and the folder of its target.
pub(crate) fn namespace(number: usize) -> String {
    format!("team-{number:02}")
}

/// The plural of a custom type.
pub(crate) fn custom(number: usize) -> String {
    format!("kind{number:02}s")
}

fn definitions() -> String {
    let schema = "{openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}";
    (0..CUSTOM).fold(String::new(), |mut all, number| {
        let plural = custom(number);
        all.push_str(&format!("---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {plural}.scale.test}}\nspec:\n  group: scale.test\n  scope: Namespaced\n  names: {{plural: {plural}, kind: Kind{number:02}}}\n  versions: [{{name: v1, served: true, storage: true, schema: {schema}}}]\n"));
        all
    })
}

/// The types that each of the four rules of a namespace names.
pub(crate) fn wanted(team: usize) -> [Vec<String>; 4] {
    let built_in = |range: std::ops::Range<usize>| BUILT_IN[range].iter().map(|(name, _)| (*name).to_owned()).collect();
    let rare = if team < FEW { 0..RARE } else { 0..0 };
    let customs = |range: std::ops::Range<usize>| range.map(custom);
    [built_in(0..5), built_in(4..10), customs(RARE..13).collect(), customs(12..CUSTOM).chain(customs(rare)).collect()]
}

/// A target and four rules for each namespace, all on one branch of one provider.
pub(crate) fn teams(provider: &str) -> String {
    let mut all = String::new();
    for team in 0..NAMESPACES {
        let namespace = namespace(team);
        all.push_str(&format!("---\napiVersion: configbutler.ai/v1alpha1\nkind: GitTarget\nmetadata: {{name: live, namespace: {namespace}}}\nspec: {{providerRef: {{name: git, namespace: {provider}}}, branch: main, baseFolder: {namespace}}}\n"));
        for (number, resources) in wanted(team).iter().enumerate() {
            let resources = resources.join(", ");
            all.push_str(&rule(&namespace, number, &resources));
        }
    }
    all
}

/// One rule.
pub(crate) fn rule(namespace: &str, number: usize, resources: &str) -> String {
    format!(
        "---\napiVersion: configbutler.ai/v1alpha1\nkind: WatchRule\nmetadata: {{name: rule-{number}, namespace: {namespace}}}\nspec: {{sinkRef: {{name: live}}, rules: [{{resources: [{resources}]}}]}}\n"
    )
}

fn provider(mirror: &Mirror) -> String {
    let access = "accessPolicy: {namespacedRules: {mode: AllNamespaces}}";
    let rest = format!("push: {{interval: 200ms}}\n  pollInterval: {}s\n  {access}", POLL.as_secs());
    operator::provider(&mirror.namespace, &mirror.server, &mirror.repo, &rest)
}

/// The one object of a custom type in a namespace.
pub(crate) fn object(team: usize, number: usize, value: &str) -> String {
    format!(
        "---\napiVersion: scale.test/v1\nkind: Kind{number:02}\nmetadata: {{name: web, namespace: {}}}\nspec: {{value: {value}}}\n",
        namespace(team)
    )
}

/// A config map in each namespace, and an object of each other type in one of them.
fn objects(value: &str) -> String {
    let maps = (0..NAMESPACES).map(|team| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web, namespace: {}}}\ndata: {{value: {value}}}\n",
            namespace(team)
        )
    });
    maps.chain((0..CUSTOM).map(|number| object(0, number, value))).collect()
}

/// Its file.
pub(crate) fn file(team: usize, number: usize) -> String {
    let namespace = namespace(team);
    format!("{namespace}/scale.test/v1/{}/{namespace}/web.yaml", custom(number))
}

/// Makes the namespaces, the types, the provider and the objects; [`teams`] is what is left to apply.
pub(crate) async fn prepare(cluster: &ControlPlane, mirror: &Mirror) -> Result<()> {
    let namespaces = (0..NAMESPACES)
        .map(|team| format!("---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", namespace(team)));
    apply(cluster, &namespaces.collect::<String>()).await?;
    apply(cluster, &(definitions() + "---\n" + &provider(mirror))).await?;
    eventually(SOON, "all types to be served", async || Ok(Some(apply(cluster, &objects("before")).await?))).await
}

/// Waits until all objects are in the repository, and nothing besides.
pub(crate) async fn until_mirrored(mirror: &Mirror) -> Result<()> {
    let map = |team: usize| format!("{0}/core/v1/configmaps/{0}/web.yaml", namespace(team));
    let mut expected: Vec<String> = (0..NAMESPACES).map(map).chain((0..CUSTOM).map(|number| file(0, number))).collect();
    expected.sort();
    eventually(3 * SOON, &format!("all {} files", expected.len()), async || {
        let files = mirror.repo.files("main");
        ensure!(files == expected, "{} files", files.len());
        Ok(Some(()))
    })
    .await
}
