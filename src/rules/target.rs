//! Judges `GitTarget`s: each by itself, then against each other.

use super::commit_policy::{self, CommitPolicy};
use super::compile::{Age, INVALID_CONFIGURATION, Rejection, Verdict};
use super::policy::{Policy, SecretsPolicy};
use super::provider::Repository;
use super::prune::Prune;
use super::set::Target;
use crate::api::{GROUP, GitTarget, duration};
use crate::resource::{BaseFolder, BranchKey, BranchName, NamespacedName, ProviderKey};
use kube::ResourceExt as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The longest grace: beyond a day the folder is no mirror any more.
const LONGEST_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// How a target wants its folder to be written. Changing it lists nothing anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPolicy {
    /// How long an edit of its files by somebody else is left alone.
    pub foreign_edit_grace: Duration,
    /// How its commits are made.
    pub commit: CommitPolicy,
    /// Which of its files are removed.
    pub prune: Prune,
    /// What is written of Secrets.
    pub secrets: SecretsPolicy,
}

/// What became of each provider.
pub(super) type Providers = BTreeMap<NamespacedName, Result<Repository, Rejection>>;

/// What became of the targets.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// The usable ones.
    pub(super) usable: BTreeMap<NamespacedName, Arc<Target>>,
    /// How these are to be written.
    pub(super) policies: BTreeMap<NamespacedName, TargetPolicy>,
    /// A verdict for each.
    pub(super) verdicts: BTreeMap<NamespacedName, Verdict>,
}

/// Judges all targets.
pub(super) fn judge_all(targets: &[Arc<GitTarget>], providers: &Providers, policy: &Policy) -> Targets {
    let mut by_age: Vec<_> = targets.iter().collect();
    by_age.sort_by_key(|target| Age::of(target.as_ref()));
    let mut all = Targets::default();
    for target in by_age {
        let judged = judge(target, providers, policy)
            .and_then(|judged| stays_apart(&judged.0, all.usable.values()).map(|()| judged));
        let name = NamespacedName::new(&target.namespace().unwrap_or_default(), &target.name_any());
        all.verdicts.insert(name.clone(), judged.as_ref().map(|_| ()).map_err(Clone::clone));
        if let Ok((target, policy)) = judged {
            all.usable.insert(name.clone(), Arc::new(target));
            all.policies.insert(name, policy);
        }
    }
    all
}

fn judge(target: &GitTarget, providers: &Providers, policy: &Policy) -> Result<(Target, TargetPolicy), Rejection> {
    let (spec, namespace) = (&target.spec, target.namespace().unwrap_or_default());
    let reference = &spec.provider_ref;
    if reference.group != GROUP || reference.kind != "GitProvider" {
        let message = format!("spec.providerRef must name a GitProvider of group {GROUP}");
        return Err(Rejection { reason: INVALID_CONFIGURATION, message });
    }
    let provider = NamespacedName::new(&namespace, &reference.name);
    let repository = match providers.get(&provider) {
        Some(Ok(repository)) => repository,
        Some(Err(_)) => {
            let message = format!("GitProvider {provider} is not usable; its own status says what to correct");
            return Err(Rejection { reason: "ProviderNotReady", message });
        }
        None => {
            let message = format!("GitProvider {provider} does not exist; create it or correct spec.providerRef.name");
            return Err(Rejection { reason: "ProviderNotFound", message });
        }
    };
    let invalid =
        |error: &dyn std::fmt::Display| Rejection { reason: INVALID_CONFIGURATION, message: error.to_string() };
    let branch = BranchName::new(&spec.branch).map_err(|error| invalid(&format_args!("spec.branch: {error}")))?;
    let base_folder =
        BaseFolder::new(&spec.base_folder).map_err(|error| invalid(&format_args!("spec.baseFolder: {error}")))?;
    if !repository.allowed_branches.iter().any(|pattern| pattern.admits(&branch)) {
        let message =
            format!("GitProvider {provider} does not allow branch {branch}; add it to its spec.allowedBranches");
        return Err(Rejection { reason: "BranchNotAllowed", message });
    }
    let foreign_edit_grace = duration::parse(&spec.foreign_edit_grace)
        .map_err(|error| invalid(&format_args!("spec.foreignEditGrace: {error}")))?;
    if foreign_edit_grace > LONGEST_GRACE {
        return Err(invalid(&"spec.foreignEditGrace: it must be at most 24h"));
    }
    let key = BranchKey {
        provider: ProviderKey::ours(provider),
        provider_uid: Arc::clone(&repository.provider_uid),
        url: repository.url.clone(),
        branch,
    };
    let commit = commit_policy::judge(&spec.commit)?;
    let target = Target { name: NamespacedName::new(&namespace, &target.name_any()), branch: key, base_folder };
    let prune = Prune { cap: policy.deletes_cap, ..Prune::default() };
    Ok((target, TargetPolicy { foreign_edit_grace, commit, prune, secrets: policy.secrets }))
}

/// Two targets in one folder would delete each other's files; the older one keeps it, through whatever provider.
fn stays_apart<'a>(target: &Target, mut older: impl Iterator<Item = &'a Arc<Target>>) -> Result<(), Rejection> {
    let url = target.branch.url.normalized();
    let overlapping = older.find(|older| {
        older.branch.branch == target.branch.branch
            && older.branch.url.normalized() == url
            && older.base_folder.overlaps(&target.base_folder)
    });
    overlapping.map_or(Ok(()), |older| {
        let message = format!(
            "folder {} overlaps {} of GitTarget {} on the same branch; make a target with a folder of its own",
            target.base_folder, older.base_folder, older.name
        );
        Err(Rejection { reason: "BaseFolderOverlap", message })
    })
}

#[cfg(test)]
mod tests {
    use super::super::compile::tests::{mk_provider, mk_target};
    use super::super::provider;
    use super::*;
    use serde_json::json;

    fn mk_providers() -> Providers {
        let providers = [
            mk_provider(
                "ns",
                "main",
                json!({"url": "https://example.com/r", "allowedBranches": ["main", "release/*"]}),
            ),
            mk_provider("ns", "same", json!({"url": "https://example.com:443/r.git", "allowedBranches": ["*"]})),
            mk_provider("ns", "other", json!({"url": "https://example.com/other", "allowedBranches": ["*"]})),
            mk_provider("ns", "broken", json!({"url": "gopher://example.com/other"})),
        ];
        let judged = providers
            .iter()
            .map(|p| (NamespacedName::new("ns", &p.name_any()), provider::judge(p, &Policy::default())));
        judged.collect()
    }

    fn reasons(targets: &[Arc<GitTarget>]) -> Vec<(String, &'static str)> {
        let Targets { usable, verdicts, policies } = judge_all(targets, &mk_providers(), &Policy::default());
        assert!(usable.keys().eq(policies.keys()));
        assert_eq!(usable.len(), verdicts.values().filter(|verdict| verdict.is_ok()).count());
        let reason = |verdict: &Verdict| verdict.as_ref().map_or_else(|rejection| rejection.reason, |()| "Ready");
        verdicts.iter().map(|(name, verdict)| (name.name.to_string(), reason(verdict))).collect()
    }

    #[test]
    fn a_target_is_checked_without_the_schemas_help() {
        let table = [
            (json!({}), "Ready"),
            (json!({"branch": "release/1"}), "Ready"),
            (json!({"baseFolder": "."}), "Ready"),
            (json!({"branch": "develop"}), "BranchNotAllowed"),
            (json!({"branch": "--force"}), INVALID_CONFIGURATION),
            (json!({"baseFolder": ""}), INVALID_CONFIGURATION),
            (json!({"baseFolder": "../x"}), INVALID_CONFIGURATION),
            (json!({"baseFolder": "/x"}), INVALID_CONFIGURATION),
            (json!({"baseFolder": "x/.git"}), INVALID_CONFIGURATION),
            (
                json!({"commit": {"window": "60s", "message": {"change": "{user}", "group": "{count}", "seed": "{written}"}}}),
                "Ready",
            ),
            (json!({"commit": {"window": "61s"}}), INVALID_CONFIGURATION),
            (json!({"commit": {"window": "soon"}}), INVALID_CONFIGURATION),
            (json!({"commit": {"message": {"change": "{written}"}}}), INVALID_CONFIGURATION),
            (json!({"commit": {"message": {"group": "{kind}"}}}), INVALID_CONFIGURATION),
            (json!({"commit": {"message": {"seed": "{user}"}}}), INVALID_CONFIGURATION),
            (json!({"foreignEditGrace": "0s"}), "Ready"),
            (json!({"foreignEditGrace": "soon"}), INVALID_CONFIGURATION),
            (json!({"foreignEditGrace": "25h"}), INVALID_CONFIGURATION),
            (json!({"providerRef": {"name": "nobody"}}), "ProviderNotFound"),
            (json!({"providerRef": {"name": "broken"}}), "ProviderNotReady"),
            (json!({"providerRef": {"name": "main", "kind": "GitRepository"}}), INVALID_CONFIGURATION),
            (json!({"providerRef": {"name": "main", "group": "example.com"}}), INVALID_CONFIGURATION),
        ];
        for (change, expected) in table {
            assert_eq!(reasons(&[mk_target("ns", "a", 0, change.clone())]), [("a".into(), expected)], "{change}");
        }
    }

    #[test]
    fn a_provider_serves_its_own_namespace_only() {
        assert_eq!(reasons(&[mk_target("elsewhere", "a", 0, json!({}))]), [("a".into(), "ProviderNotFound")]);
    }

    #[test]
    fn the_older_target_keeps_the_folder() {
        let overlap = "BaseFolderOverlap";
        let on = |provider: &str, branch: &str, folder: &str| json!({"providerRef": {"name": provider}, "branch": branch, "baseFolder": folder});
        let table = [
            ((5, on("main", "main", "x")), (3, on("main", "main", "x/y")), (overlap, "Ready")),
            ((3, on("main", "main", "x")), (5, on("main", "main", "x/y")), ("Ready", overlap)),
            ((3, on("main", "main", "x")), (3, on("main", "main", ".")), ("Ready", overlap)),
            ((3, on("main", "main", "x")), (5, on("same", "main", "x")), ("Ready", overlap)),
            ((3, on("main", "main", "x")), (5, on("other", "main", "x")), ("Ready", "Ready")),
            ((3, on("main", "main", "x")), (5, on("main", "release/1", "x")), ("Ready", "Ready")),
            ((3, on("main", "main", "x")), (5, on("main", "main", "xy")), ("Ready", "Ready")),
            ((3, on("main", "develop", "x")), (5, on("same", "develop", "x")), ("BranchNotAllowed", "Ready")),
        ];
        for ((age_a, a), (age_b, b), (expected_a, expected_b)) in table {
            let targets = [mk_target("ns", "b", age_b, b.clone()), mk_target("ns", "a", age_a, a.clone())];
            assert_eq!(reasons(&targets), [("a".into(), expected_a), ("b".into(), expected_b)], "{a} {b}");
        }
    }
}
