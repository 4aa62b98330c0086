//! Each reason of each condition, from the states that lead to it.

use super::super::branches::tests::{mk, mk_compiled, mk_signing_snapshot, mk_snapshot, mk_ssh};
use super::condition::{RECONCILING, STALLED};
use super::*;
use crate::controllers::secret::{InvalidSecret, SecretState};
use crate::git::credentials::BadKey;
use crate::git::spec::Credentials;
use crate::git::status::{Counts, PushState, RemoteFailure, RemoteState, TargetState, TargetStatus};
use crate::resource::Oid;
use serde_json::json;
use std::sync::Arc;

type Words = (&'static str, &'static str);

fn key(kind: Kind, name: &str) -> ObjectKey {
    ObjectKey { kind, namespace: "ns".into(), name: name.into() }
}

fn derive_from(snapshot: &Snapshot, branches: &HashMap<BranchKey, BranchStatus>) -> BTreeMap<ObjectKey, Outcome> {
    let compiled = mk_compiled(snapshot);
    let (watches, selections) = (WatchReport::default(), Selections::default());
    derive(&Scene { snapshot, compiled: &compiled, branches, watches: &watches, selections: &selections })
}

/// What the condition `about` of `kind` `name` says; its message must hold `part`.
fn said_about(outcome: &Outcome, about: &str, part: &str) -> Words {
    let (_, said) = outcome.conditions.iter().find(|(kind, _)| *kind == about).unwrap();
    assert!(said.message.contains(part), "{}", said.message);
    assert!(!said.message.ends_with('.') && !said.message.contains('\n'), "{}", said.message);
    (said.status, said.reason)
}

fn said(outcomes: &BTreeMap<ObjectKey, Outcome>, kind: Kind, name: &str, part: &str) -> Words {
    let outcome = &outcomes[&key(kind, name)];
    let ready = said_about(outcome, "Ready", part);
    let abnormal = outcome.conditions.iter().filter(|(kind, _)| [RECONCILING, STALLED].contains(kind)).count();
    assert_eq!(abnormal, usize::from(ready.0 != "True"), "{outcome:?}");
    ready
}

#[test]
fn a_provider_is_ready_with_its_credentials() {
    let found = SecretState::Found(Credentials::basic("u", "hunter2"));
    let table: [(SecretState, Words, Words, &str); 5] = [
        (found, ("True", "Ready"), ("Unknown", "Validating"), ""),
        (SecretState::Pending, ("Unknown", "Validating"), ("Unknown", "Validating"), "Secret ns/login"),
        (
            SecretState::Missing,
            ("False", "SecretNotFound"),
            ("False", "ProviderNotReady"),
            "create it, as with the keys",
        ),
        (
            SecretState::Unreadable("403".into()),
            ("False", "SecretNotFound"),
            ("False", "ProviderNotReady"),
            "allow the operator",
        ),
        (
            SecretState::Invalid(InvalidSecret::NoUsername),
            ("False", "InvalidSecret"),
            ("False", "ProviderNotReady"),
            "no key username",
        ),
    ];
    for (state, provider, target, part) in table {
        let mut snapshot = mk_snapshot();
        snapshot.secrets.insert(NamespacedName::new("ns", "login"), state);
        let outcomes = derive_from(&snapshot, &HashMap::new());
        assert_eq!(said(&outcomes, Kind::GitProvider, "closed", part), provider);
        assert_eq!(said(&outcomes, Kind::GitTarget, "c", ""), target);
        assert_eq!(said(&outcomes, Kind::GitProvider, "open", ""), ("True", "Ready"));
        assert!(!format!("{outcomes:?}{snapshot:?}").contains("hunter2"));
    }
}

#[test]
fn a_provider_that_cannot_sign_says_so() {
    let login = SecretState::Found(Credentials::basic("u", "p"));
    let table: [(SecretState, Words, &str); 5] = [
        (SecretState::Found(mk_ssh()), ("True", "Ready"), "can use"),
        (SecretState::Pending, ("Unknown", "Validating"), "Secret ns/key is being read; nothing is committed"),
        (SecretState::Missing, ("False", "SecretNotFound"), "the keys identity; nothing is committed"),
        (login, ("False", "InvalidSecret"), "does not sign commits: it holds no SSH key; correct it; nothing is"),
        (
            SecretState::Invalid(InvalidSecret::PrivateKey { key: "identity", problem: BadKey::WrongPassphrase }),
            ("False", "InvalidSecret"),
            "its key identity cannot be used: the passphrase under the key password does not open it",
        ),
    ];
    for (state, expected, part) in table {
        let mut snapshot = mk_signing_snapshot();
        snapshot.secrets.insert(NamespacedName::new("ns", "key"), state);
        let outcomes = derive_from(&snapshot, &HashMap::new());
        assert_eq!(said(&outcomes, Kind::GitProvider, "open", part), expected);
    }
}

const TIP: &str = "0123456789012345678901234567890123456789";

/// What is said about the target `a`, whose branch is in the state `remote`, with its folder in the state `target`.
fn target_with(remote: RemoteState, target: Option<TargetState>, change: impl Fn(&mut BranchStatus)) -> Outcome {
    let snapshot = mk_snapshot();
    let compiled = mk_compiled(&snapshot);
    let name = NamespacedName::new("ns", "a");
    let folder = compiled.targets[&name].base_folder.clone();
    let mk = |state| TargetStatus { folder: folder.clone(), state, ..mk_status() };
    let mut branch = BranchStatus {
        remote,
        targets: target.map(|state| (name.clone(), mk(state))).into_iter().collect(),
        pushed: Some(TIP.parse::<Oid>().unwrap()),
        branch_exists: Some(true),
        push: Some(PushState::Success),
        counts: Counts {
            last_look: Some(60),
            last_push: Some(120),
            files: [(name.clone(), 3)].into(),
            ..Counts::default()
        },
    };
    change(&mut branch);
    let branches = HashMap::from([(compiled.targets[&name].branch.clone(), branch)]);
    derive_from(&snapshot, &branches).remove(&key(Kind::GitTarget, "a")).unwrap()
}

fn mk_status() -> TargetStatus {
    let folder = crate::resource::BaseFolder::new("x").unwrap();
    TargetStatus { folder, state: TargetState::Ready, swept: std::sync::Arc::default(), held_back: 0 }
}

#[test]
fn a_target_is_what_its_branch_is() {
    let failed = |reason| RemoteState::Failed(RemoteFailure { reason, message: "the remote says no".into() });
    let refused = || Some(TargetState::Refused("a symlink is in the way".into()));
    let ready = || Some(TargetState::Ready);
    let (checking, in_progress) = (("Unknown", "Checking"), ("Unknown", "SyncInProgress"));
    let (not_started, available) = (("Unknown", "WorkerNotStarted"), ("True", "Available"));
    let (idle, wait) = (("True", "Idle"), ("Unknown", "Validating"));
    let table: [(RemoteState, Option<TargetState>, [Words; 4], &str, &str); 7] = [
        (RemoteState::Checking, None, [wait, checking, not_started, in_progress], RECONCILING, "being fetched"),
        (RemoteState::Checking, ready(), [wait, checking, idle, ("True", "Synced")], RECONCILING, "being fetched"),
        (RemoteState::Available, None, [wait, available, not_started, in_progress], RECONCILING, "being fetched"),
        (
            RemoteState::Available,
            ready(),
            [("True", "Ready"), available, idle, ("True", "Synced")],
            "",
            "changes are written",
        ),
        (
            RemoteState::Available,
            refused(),
            [("False", "FolderRefused"), available, ("False", "WorkerStopped"), in_progress],
            STALLED,
            "symlink",
        ),
        (
            failed("AuthenticationFailed"),
            None,
            [
                ("False", "AuthenticationFailed"),
                ("False", "AuthenticationFailed"),
                not_started,
                ("False", "SyncFailed"),
            ],
            STALLED,
            "says no",
        ),
        (
            failed("NetworkError"),
            ready(),
            [("False", "NetworkError"), ("False", "NetworkError"), idle, ("False", "SyncFailed")],
            RECONCILING,
            "says no",
        ),
    ];
    for (remote, state, expected, abnormal, part) in table {
        let is_available = remote == RemoteState::Available;
        let outcome = target_with(remote, state, |_| ());
        let found = ["Ready", "Available", "Active", "Synced"];
        let parts = [part, "", "", ""];
        let found = [0, 1, 2, 3].map(|at| said_about(&outcome, found[at], parts[at]));
        assert_eq!(found, expected);
        let kinds: Vec<_> = outcome.conditions.iter().map(|(kind, _)| *kind).skip(4).collect();
        assert_eq!(kinds.join(" "), abnormal, "{expected:?}");
        let git = json!({"branchExists": true, "lastCommitSHA": TIP, "lastChecked": "1970-01-01T00:01:00Z"});
        assert_eq!(outcome.rest["gitStatus"], if is_available { git } else { Value::Null });
        assert_eq!(outcome.rest["trackedObjects"], 3);
        assert_eq!(outcome.rest["workerStatus"]["lastPushTime"], "1970-01-01T00:02:00Z");
    }
}

#[test]
fn a_target_is_synced_when_nothing_waits() {
    let with = |change: fn(&mut BranchStatus)| {
        let outcome = target_with(RemoteState::Available, Some(TargetState::Ready), change);
        (said_about(&outcome, "Synced", ""), outcome.rest["workerStatus"]["lastPushStatus"].clone())
    };
    let table: [(fn(&mut BranchStatus), Words, &str); 5] = [
        (|_| (), ("True", "Synced"), "Success"),
        (|branch| branch.counts.queued = 1, ("False", "EventsQueued"), "Success"),
        (
            |branch| (branch.counts.unpushed, branch.push) = (1, Some(PushState::Pending)),
            ("False", "EventsQueued"),
            "Pending",
        ),
        (|branch| branch.push = Some(PushState::Failed), ("False", "SyncFailed"), "Failed"),
        (
            |branch| branch.targets.values_mut().for_each(|target| target.held_back = 4),
            ("False", "SyncInProgress"),
            "Success",
        ),
    ];
    for (change, expected, push) in table {
        assert_eq!(with(change), (expected, json!(push)));
    }
}

/// What is said of the target `a` when it is rejected.
fn rejected(snapshot: &Snapshot, reason: &'static str) -> Outcome {
    let verdict = Err(crate::rules::Rejection { reason, message: "no".to_owned() });
    let (watches, selections, branches) = (WatchReport::default(), Selections::default(), HashMap::new());
    let scene = Scene {
        snapshot,
        compiled: &mk_compiled(snapshot),
        branches: &branches,
        watches: &watches,
        selections: &selections,
    };
    target::outcome(&NamespacedName::new("ns", "a"), &verdict, &scene)
}

#[test]
fn what_is_stopped_by_somebody_is_told_from_what_never_began() {
    let snapshot = mk_snapshot();
    let table = [
        ("Suspended", "WorkerStopped"),
        ("AccessDenied", "WorkerStopped"),
        ("BranchNotAllowed", "WorkerNotStarted"),
        ("BaseFolderOverlap", "WorkerNotStarted"),
    ];
    for (reason, active) in table {
        let outcome = rejected(&snapshot, reason);
        assert_eq!(said_about(&outcome, "Ready", "no"), ("False", reason));
        assert_eq!(said_about(&outcome, "Active", "Ready says"), ("False", active));
        assert_eq!(said_about(&outcome, "Available", ""), ("Unknown", "Checking"));
        assert_eq!(said_about(&outcome, STALLED, "no"), ("True", reason));
        assert_eq!((&outcome.rest["gitStatus"], &outcome.rest["workerStatus"]), (&Value::Null, &Value::Null));
    }
}

#[test]
fn what_a_provider_lacks_is_told_in_its_own_namespace_only() {
    let mut snapshot = mk_snapshot();
    let closed = json!({"providerRef": {"name": "closed", "namespace": "ns"}, "baseFolder": "d"});
    let open_to_all = json!({
        "url": "https://git.example.com/closed", "allowedBranches": ["*"], "secretRef": {"name": "login"},
        "accessPolicy": {"namespacedRules": {"mode": "AllNamespaces"}}
    });
    snapshot.providers[1] = mk("closed", open_to_all);
    let mut stranger: crate::api::GitTarget = Arc::unwrap_or_clone(mk("d", closed));
    stranger.metadata.namespace = Some("other".to_owned());
    snapshot.targets.push(Arc::new(stranger));
    snapshot.secrets.insert(NamespacedName::new("ns", "login"), SecretState::Unreadable("etcd says no".into()));
    let outcomes = derive_from(&snapshot, &HashMap::new());
    assert_eq!(said(&outcomes, Kind::GitTarget, "c", "etcd says no"), ("False", "ProviderNotReady"));
    let theirs = &outcomes[&ObjectKey { namespace: "other".into(), ..key(Kind::GitTarget, "d") }];
    let part = "is not ready (SecretNotFound): its own status says what to correct";
    assert_eq!(said_about(theirs, "Ready", part), ("False", "ProviderNotReady"));
    assert!(!format!("{theirs:?}").contains("etcd") && !format!("{theirs:?}").contains("login"));
}

#[test]
fn what_lost_an_overlap_has_still_had_access() {
    let mut snapshot = mk_snapshot();
    let condition = json!({"type": "Available", "status": "True", "reason": "Available", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let observed = snapshot.observed.entry(key(Kind::GitTarget, "a")).or_default();
    observed.reported = super::super::status::Reported::of(&json!({"conditions": [condition]}));
    let table = [("BaseFolderOverlap", ("True", "Available")), ("AccessDenied", ("Unknown", "Checking"))];
    for (reason, expected) in table {
        let outcome = rejected(&snapshot, reason);
        assert_eq!(said_about(&outcome, "Available", ""), expected);
        assert_eq!(said_about(&outcome, "Ready", "no"), ("False", reason));
    }
}

#[test]
fn what_is_not_known_yet_is_no_no() {
    let mut snapshot = mk_snapshot();
    snapshot.flux = crate::rules::FluxRepositories::Pending;
    let reference = json!({"group": "source.toolkit.fluxcd.io", "kind": "GitRepository", "name": "flux"});
    snapshot.targets.push(mk("f", json!({"providerRef": reference, "baseFolder": "f"})));
    snapshot.watch_rules.push(mk("r", json!({"sinkRef": {"name": "f"}})));
    let outcomes = derive_from(&snapshot, &HashMap::new());
    let part = "GitRepository ns/flux is being read";
    assert_eq!(said(&outcomes, Kind::GitTarget, "f", part), ("Unknown", "Validating"));
    assert_eq!(said(&outcomes, Kind::WatchRule, "r", part), ("Unknown", "Validating"));
}

#[test]
fn a_type_that_is_not_served_may_be_a_moment_later() {
    for (reason, expected) in [("NoMatchingResources", RECONCILING), ("InvalidConfiguration", STALLED)] {
        let (kind, _) = condition::abnormal(&Said::no(reason, "no"), false).unwrap();
        assert_eq!(kind, expected);
    }
}

#[test]
fn rejections_and_unreadable_resources_are_passed_on() {
    let mut snapshot = mk_snapshot();
    snapshot.targets.push(mk("bad", json!({"providerRef": {"name": "nobody"}, "baseFolder": "x"})));
    snapshot.watch_rules.push(mk("lost", json!({"sinkRef": {"name": "nobody"}})));
    snapshot.unreadable.insert(key(Kind::WatchRule, "odd"), "missing field `sinkRef`".into());
    let outcomes = derive_from(&snapshot, &HashMap::new());
    assert_eq!(said(&outcomes, Kind::GitTarget, "bad", "nobody"), ("False", "ProviderNotFound"));
    assert_eq!(said(&outcomes, Kind::WatchRule, "lost", "nobody"), ("False", "SinkNotFound"));
    assert_eq!(said(&outcomes, Kind::WatchRule, "odd", "sinkRef"), ("False", "InvalidConfiguration"));
    assert_eq!(outcomes.len(), 2 + 4 + 1 + 1);
}
