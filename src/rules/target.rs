//! Judges `GitTarget`s: each by itself, then against each other.

use super::access::{self, Providers};
use super::claims::Claims;
use super::commit_policy::{self, CommitPolicy};
use super::compile::{Age, INVALID_CONFIGURATION, Inputs, Rejection, SUSPENDED, Verdict};
use super::flux::FLUX_GROUP;
use super::ignore_fields::{IgnoredFields, JsonPointer};
use super::policy::{Policy, SecretsPolicy};
use super::provider::Repository;
use super::prune::{Prune, PruneMode};
use super::set::Target;
use crate::api::git_target::IgnoreFields;
use crate::api::{GROUP, GitTarget, GitTargetSpec, duration};
use crate::resource::{BaseFolder, BranchKey, BranchName, NamespacedName, ProviderKey, ProviderKind};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// The longest grace: beyond a day the folder is no mirror any more.
const LONGEST_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// How a target wants its folder to be written.
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
    /// The fields that are left out.
    pub ignored: Arc<[IgnoredFields]>,
}

/// What became of the targets.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// The usable ones.
    pub(super) usable: BTreeMap<NamespacedName, Arc<Target>>,
    /// How these are to be written.
    pub(super) policies: BTreeMap<NamespacedName, TargetPolicy>,
    /// Whether rules of the cluster may end in these.
    pub(super) cluster_rules: BTreeMap<NamespacedName, Verdict>,
    /// All, usable or not, that take no Secrets.
    pub(super) without_secrets: BTreeSet<NamespacedName>,
    /// A verdict for each.
    pub(super) verdicts: BTreeMap<NamespacedName, Verdict>,
    /// The branches that nothing is to be pushed to any more.
    pub(super) halted: HashSet<BranchKey>,
}

/// A target that is all right by itself.
struct Usable {
    place: Arc<Target>,
    policy: TargetPolicy,
    cluster_rules: Verdict,
}

/// Why a target cannot be used, and what that means for others.
enum Refusal {
    /// Something is wrong.
    Wrong(Rejection),
    /// Who may say so does not let it write: not even what waits to be pushed is.
    Halted(Rejection, Option<Arc<Target>>),
    /// Nothing is written for now, nor pushed. Meanwhile its folder stays its own.
    Dormant(Rejection, Arc<Target>),
}

/// Judges all targets.
pub(super) fn judge_all(inputs: &Inputs<'_>, providers: &Providers<'_>) -> Targets {
    let named = inputs.targets.iter().map(|target| {
        let name = NamespacedName::of(target.as_ref());
        (inputs.access.get(&name).copied().unwrap_or_default(), name, target)
    });
    let mut by_right: Vec<_> = named.collect();
    // Who has not been let into the repository takes a folder from nobody who has.
    by_right.sort_by_cached_key(|(access, _, target)| (*access, Age::of(target.as_ref())));
    // What somebody else has written is not to stay behind on behalf of one that never wrote.
    let was_written = |place: &Target| inputs.known.contains(place);
    let mut all = Targets::default();
    let mut claims = Claims::default();
    for (access, name, target) in by_right {
        if secrets(&target.spec, inputs.policy).is_ok_and(|policy| policy == SecretsPolicy::Omit) {
            all.without_secrets.insert(name.clone());
        }
        let judged = judge(target, &name, providers, inputs.policy).and_then(|usable| {
            claims.admit(&usable.place).map_err(Refusal::Wrong)?;
            Ok(usable)
        });
        let verdict = match judged {
            Ok(Usable { place, policy, cluster_rules }) => {
                claims.take(Arc::clone(&place), access);
                all.usable.insert(name.clone(), place);
                all.policies.insert(name.clone(), policy);
                all.cluster_rules.insert(name.clone(), cluster_rules);
                Ok(())
            }
            Err(Refusal::Wrong(rejection)) => Err(rejection),
            Err(Refusal::Halted(rejection, place)) => {
                let written = place.filter(|place| was_written(place));
                all.halted.extend(written.map(|place| place.branch.clone()));
                Err(rejection)
            }
            Err(Refusal::Dormant(rejection, place)) => {
                all.halted.extend(was_written(&place).then(|| place.branch.clone()));
                if claims.admit(&place).is_ok() {
                    claims.take(place, access);
                }
                Err(rejection)
            }
        };
        all.verdicts.insert(name, verdict);
    }
    for target in all.usable.values() {
        all.halted.remove(&target.branch);
    }
    all
}

fn judge(
    target: &GitTarget,
    name: &NamespacedName,
    providers: &Providers<'_>,
    policy: &Policy,
) -> Result<Usable, Refusal> {
    let judged = check(&target.spec, name, providers, policy);
    if !target.spec.suspend {
        return judged;
    }
    let message = "spec.suspend is true: nothing is written to the target until it is false";
    let rejection = Rejection { reason: SUSPENDED, message: message.to_owned() };
    Err(match judged {
        Ok(Usable { place, .. }) | Err(Refusal::Dormant(_, place)) => Refusal::Dormant(rejection, place),
        Err(Refusal::Halted(_, place)) => Refusal::Halted(rejection, place),
        Err(Refusal::Wrong(_)) => Refusal::Wrong(rejection),
    })
}

fn check(
    spec: &GitTargetSpec,
    name: &NamespacedName,
    providers: &Providers<'_>,
    policy: &Policy,
) -> Result<Usable, Refusal> {
    let key = provider_key(spec, &name.namespace).map_err(Refusal::Wrong)?;
    let repository = providers.judged.get(&key).and_then(|judged| judged.repository.as_ref().ok());
    let place = repository.map(|repository| place(spec, name, &key, repository));
    let provider = providers.admitting(&key, &name.namespace).map_err(|rejection| match &place {
        Some(place) => Refusal::Halted(rejection, place.as_ref().ok().cloned()),
        None => Refusal::Wrong(rejection),
    })?;
    let (repository, place) = match (&provider.repository, place) {
        (Ok(repository), Some(place)) => (repository, place.map_err(Refusal::Wrong)?),
        (Err(_), _) if provider.suspended => return Err(Refusal::Wrong(suspended(&key))),
        (Err(rejection), _) => return Err(Refusal::Wrong(not_usable(&key, rejection))),
        (Ok(_), None) => return Err(Refusal::Wrong(not_ready(format!("{key} is being looked at")))),
    };
    let branch = &place.branch.branch;
    if !repository.allowed_branches.iter().any(|pattern| pattern.admits(branch)) {
        let message = format!("{key} does not allow branch {branch}; add it to its spec.allowedBranches");
        return Err(Refusal::Halted(Rejection { reason: "BranchNotAllowed", message }, Some(place)));
    }
    let policy = settings(spec, policy).map_err(Refusal::Wrong)?;
    if provider.suspended {
        return Err(Refusal::Dormant(suspended(&key), place));
    }
    let allowed = spec.access_policy.as_ref().and_then(|access| access.allow_cluster_rules);
    let cluster_rules = access::cluster_rules(name, allowed, &key, provider);
    Ok(Usable { place, policy, cluster_rules })
}

fn provider_key(spec: &GitTargetSpec, own: &str) -> Result<ProviderKey, Rejection> {
    let reference = &spec.provider_ref;
    let namespace = reference.namespace.as_deref().unwrap_or(own);
    let kind = match (reference.group.as_str(), reference.kind.as_str()) {
        (GROUP, "GitProvider") => ProviderKind::GitProvider,
        (FLUX_GROUP, "GitRepository") if namespace == own => ProviderKind::GitRepository,
        (FLUX_GROUP, "GitRepository") => {
            return Err(invalid("spec.providerRef", &"a GitRepository must be in the namespace of the target"));
        }
        _ => {
            let problem = format!("name a GitProvider of group {GROUP} or a GitRepository of group {FLUX_GROUP}");
            return Err(invalid("spec.providerRef", &problem));
        }
    };
    Ok(ProviderKey { kind, name: NamespacedName::new(namespace, &reference.name) })
}

fn place(
    spec: &GitTargetSpec,
    name: &NamespacedName,
    key: &ProviderKey,
    repository: &Repository,
) -> Result<Arc<Target>, Rejection> {
    let branch = BranchName::new(&spec.branch).map_err(|error| invalid("spec.branch", &error))?;
    let base_folder = BaseFolder::new(&spec.base_folder).map_err(|error| invalid("spec.baseFolder", &error))?;
    let branch = BranchKey {
        provider: key.clone(),
        provider_uid: Arc::clone(&repository.provider_uid),
        url: repository.url.clone(),
        branch,
    };
    Ok(Arc::new(Target { name: name.clone(), branch, base_folder }))
}

fn settings(spec: &GitTargetSpec, policy: &Policy) -> Result<TargetPolicy, Rejection> {
    const GRACE: &str = "spec.foreignEditGrace";
    let foreign_edit_grace = duration::parse(&spec.foreign_edit_grace).map_err(|error| invalid(GRACE, &error))?;
    if foreign_edit_grace > LONGEST_GRACE {
        return Err(invalid(GRACE, &"it must be at most 24h"));
    }
    Ok(TargetPolicy {
        foreign_edit_grace,
        commit: commit_policy::judge(&spec.commit)?,
        prune: prune(spec, policy)?,
        secrets: secrets(spec, policy)?,
        ignored: spec.ignore_fields.iter().map(ignored).collect::<Result<_, _>>()?,
    })
}

fn prune(spec: &GitTargetSpec, policy: &Policy) -> Result<Prune, Rejection> {
    let mode = PruneMode::named(&spec.prune.mode)
        .ok_or_else(|| invalid("spec.prune.mode", &"it is none of Always, OnEvent and Never"))?;
    let own = spec.prune.max_deletes_per_cycle.map(usize::try_from).transpose();
    let own = own.map_err(|_| invalid("spec.prune.maxDeletesPerCycle", &"it must not be negative"))?;
    Ok(Prune { mode, cap: own.into_iter().chain(policy.deletes_cap).min() })
}

fn secrets(spec: &GitTargetSpec, policy: &Policy) -> Result<SecretsPolicy, Rejection> {
    let own = spec.secrets.as_ref().and_then(|secrets| secrets.policy.as_ref()).map(|own| own.parse()).transpose();
    let own: Option<SecretsPolicy> = own.map_err(|error| invalid("spec.secrets.policy", &error))?;
    Ok(own.unwrap_or_default().at_least(policy.secrets))
}

fn ignored(fields: &IgnoreFields) -> Result<IgnoredFields, Rejection> {
    let pointers = fields.json_pointers.iter().map(|pointer| {
        JsonPointer::parse(pointer).map_err(|error| invalid("spec.ignoreFields", &format_args!("{pointer:?}: {error}")))
    });
    Ok(IgnoredFields {
        group: fields.group.clone(),
        resource: fields.resource.clone(),
        namespace: fields.namespace.clone(),
        name: fields.name.clone(),
        pointers: pointers.collect::<Result<_, _>>()?,
    })
}

fn invalid(field: &str, problem: &dyn std::fmt::Display) -> Rejection {
    Rejection { reason: INVALID_CONFIGURATION, message: format!("{field}: {problem}") }
}

fn not_ready(message: String) -> Rejection {
    Rejection { reason: "ProviderNotReady", message }
}

fn suspended(key: &ProviderKey) -> Rejection {
    not_ready(format!("{key} is suspended: nothing is written through it until its spec.suspend is false"))
}

/// Objects of Flux have no status of ours: what is wrong with them is said here.
fn not_usable(key: &ProviderKey, rejection: &Rejection) -> Rejection {
    not_ready(match key.kind {
        ProviderKind::GitProvider => format!("{key} is not usable; its own status says what to correct"),
        ProviderKind::GitRepository => format!("{key} is not usable: {}", rejection.message),
    })
}
