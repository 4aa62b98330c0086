//! The status of a target.

use super::{Kind, ObjectKey, Outcome, Said, Scene, provider, rejected};
use crate::api::status::{GitStatus, WorkerStatus};
use crate::git::status::{BranchStatus, PushState, RemoteState, TargetState, TargetStatus};
use crate::resource::NamespacedName;
use crate::rules::{Target, Verdict, Wish};
use crate::watch::report::WatchState;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// Why a target that was written may be written no more, by somebody's will.
const STOPPED: [&str; 2] = ["Suspended", "AccessDenied"];

/// What keeps a target from being used without saying anything about its access: that it has had it stays known. A folder is
/// taken only from those that have not, also after a restart.
const SAYS_NOTHING_OF_ACCESS: [&str; 4] = ["BaseFolderOverlap", "ProviderNotReady", "Suspended", "Validating"];

/// What is known of a target.
struct View<'a> {
    name: &'a NamespacedName,
    /// Why nothing is done for it.
    blocked: Option<Said>,
    branch: Option<&'a BranchStatus>,
    status: Option<&'a TargetStatus>,
    scene: &'a Scene<'a>,
}

/// What is to be said about the target `name`, which was judged so.
pub(super) fn outcome(name: &NamespacedName, verdict: &Verdict, scene: &Scene<'_>) -> Outcome {
    let target = scene.compiled.targets.get(name);
    let blocked = match (rejected(verdict), target) {
        (Some(rejected), _) => Some(rejected),
        (None, Some(target)) => unready_provider(target, scene),
        (None, None) => Some(Said::wait("the target is being looked at")),
    };
    let branch = target.filter(|_| blocked.is_none()).and_then(|target| scene.branches.get(&target.branch));
    let of_folder = |status: &&TargetStatus| target.is_some_and(|target| target.base_folder == status.folder);
    let status = branch.and_then(|branch| branch.targets.get(name)).filter(of_folder);
    let view = View { name, blocked, branch, status, scene };

    let (available, active) = (view.available(), view.active());
    let ready = view.ready(&available, &active);
    let git = branch.filter(|_| available.status == "True").and_then(git_status);
    let worker = branch.map(|branch| worker_status(branch, active.status == "True"));
    let conditions = vec![("Available", available), ("Active", active), ("Synced", view.synced())];
    let mut outcome = Outcome::new(ready, conditions, false);
    outcome.rest.insert("gitStatus".to_owned(), git.map_or(Value::Null, |git| json!(git)));
    outcome.rest.insert("workerStatus".to_owned(), worker.map_or(Value::Null, |worker| json!(worker)));
    if let Some(files) = branch.and_then(|branch| branch.counts.files.get(name)) {
        outcome.rest.insert("trackedObjects".to_owned(), json!(files));
    }
    if let Some(stored) = scene.selections.stored(name) {
        let stored = if stored.is_empty() { Value::Null } else { json!(stored.to_status()) };
        outcome.rest.insert("selection".to_owned(), stored);
    }
    outcome
}

fn unready_provider(target: &Target, scene: &Scene<'_>) -> Option<Said> {
    let key = &target.branch.provider;
    let said = provider::ready(&Ok(()), key, scene);
    match said.status {
        "True" => None,
        "False" => {
            // What is wrong there, such as with which Secret, is told to those who may look there.
            let why = if key.name.namespace == target.name.namespace {
                said.message.as_str()
            } else {
                "its own status says what to correct"
            };
            Some(Said::no("ProviderNotReady", format!("{key} is not ready ({}): {why}", said.reason)))
        }
        _ => Some(Said::wait(format!("{key} is not ready yet"))),
    }
}

impl View<'_> {
    fn available(&self) -> Said {
        let checking = |message: &str| Said::unknown("Checking", message);
        match (&self.blocked, self.branch.map(|branch| &branch.remote)) {
            (Some(blocked), _) if SAYS_NOTHING_OF_ACCESS.contains(&blocked.reason) && self.has_written() => Said::yes(
                "Available",
                "the remote took pushes when it was last asked; Ready says why it is not asked now",
            ),
            (Some(_), _) => checking("the remote is asked as soon as the target can be used; Ready says what it lacks"),
            (None, None) => checking("the remote is about to be asked"),
            (None, Some(RemoteState::Checking)) => checking("the remote is being asked whether it would take a push"),
            (None, Some(RemoteState::Available)) => Said::yes("Available", "the remote takes pushes"),
            (None, Some(RemoteState::Failed(failure))) => Said::no(failure.reason, &failure.message),
        }
    }

    fn has_written(&self) -> bool {
        let observed = self.scene.observed(&ObjectKey::of(Kind::GitTarget, self.name));
        observed.is_some_and(|observed| observed.reported.has_written())
    }

    fn active(&self) -> Said {
        match (&self.blocked, self.status.map(|status| &status.state)) {
            (Some(blocked), _) if STOPPED.contains(&blocked.reason) => {
                let message = "nothing is written any more, and what is there stays; Ready says why and what to do";
                Said::no("WorkerStopped", message)
            }
            (Some(blocked), _) => {
                let message = "nothing is written before the target can be used; Ready says what it lacks";
                let status = if blocked.status == "Unknown" { "Unknown" } else { "False" };
                Said { status, reason: "WorkerNotStarted", message: message.to_owned() }
            }
            (None, None) => Said::unknown("WorkerNotStarted", "the branch is being fetched"),
            (None, Some(TargetState::Refused(reason))) => Said::no("WorkerStopped", reason),
            (None, Some(TargetState::Ready)) if self.is_wanted() => {
                Said::yes("Active", "what rules select is written to the folder")
            }
            (None, Some(TargetState::Ready)) => {
                let message = "no rule selects anything for this target; make a WatchRule whose spec.sinkRef names it";
                Said::yes("Idle", message)
            }
        }
    }

    fn ready(&self, available: &Said, active: &Said) -> Said {
        match (&self.blocked, available.status, active.status) {
            (Some(blocked), _, _) => blocked.clone(),
            (None, "False", _) => available.clone(),
            (None, _, "False") => Said { reason: "FolderRefused", ..active.clone() },
            (None, "True", "True") => Said::yes("Ready", "changes are written to the branch"),
            _ => Said::wait("the branch is being fetched"),
        }
    }

    fn synced(&self) -> Said {
        let progress = |message: &str| Said::no("SyncInProgress", message);
        let (Some(branch), None) = (self.branch, &self.blocked) else {
            return Said::unknown("SyncInProgress", "nothing is compared before the target can be used");
        };
        if let RemoteState::Failed(failure) = &branch.remote {
            return Said::no("SyncFailed", format!("the remote cannot be used: {}", failure.message));
        }
        let Some(TargetStatus { state: TargetState::Ready, held_back, .. }) = self.status else {
            return Said::unknown("SyncInProgress", "the branch is being fetched");
        };
        if let Some(listing) = self.unsynced_type() {
            return listing;
        }
        if branch.push == Some(PushState::Failed) {
            return Said::no("SyncFailed", "the last push did not work; it is tried again");
        }
        if *held_back > 0 {
            let message = "files that are to go are held back; raise spec.prune.maxDeletesPerCycle, or the operator's \
                           --deletes-cap-per-cycle, if they shall go faster";
            return progress(message);
        }
        if branch.counts.queued > 0 || branch.counts.unpushed > 0 {
            return Said::no("EventsQueued", "changes wait to be committed or pushed");
        }
        Said::yes("Synced", "the branch holds what rules select")
    }

    /// What a type that is not followed says.
    fn unsynced_type(&self) -> Option<Said> {
        let set = &self.scene.compiled.set;
        let routes = set.kinds().flat_map(|kind| set.routes(kind).iter().map(move |route| (kind, route)));
        let mirrored = routes.filter(|(_, route)| route.target.name == *self.name && route.wish != Wish::Keep);
        let mut is_listing = false;
        for (kind, route) in mirrored {
            match self.scene.watches.state(kind, &route.namespaces) {
                Some(WatchState::Live { .. }) => {}
                None | Some(WatchState::Listing) => is_listing = true,
                Some(WatchState::Failed { message, .. }) => {
                    return Some(Said::no("SyncFailed", format!("{kind} cannot be watched: {message}")));
                }
            }
        }
        is_listing.then(|| Said::no("SyncInProgress", "what rules select is being listed"))
    }

    fn is_wanted(&self) -> bool {
        let rules = self.scene.compiled.rules.values();
        rules.into_iter().any(|rule| rule.in_effect && rule.sink == *self.name && !rule.selection.is_empty())
    }
}

fn git_status(branch: &BranchStatus) -> Option<GitStatus> {
    let branch_exists = branch.branch_exists?;
    let tip = branch.pushed.filter(|_| branch_exists);
    let last_checked = branch.counts.last_look.and_then(time);
    Some(GitStatus { branch_exists, last_commit_sha: tip.map(|tip| tip.to_string()), last_checked })
}

fn worker_status(branch: &BranchStatus, active: bool) -> WorkerStatus {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    WorkerStatus {
        active,
        queued_events: number(branch.counts.queued),
        unpushed_commits: number(branch.counts.unpushed),
        last_push_time: branch.counts.last_push.and_then(time),
        last_push_status: branch.push.map(|push| format!("{push:?}")),
    }
}

fn time(seconds: i64) -> Option<Time> {
    Timestamp::from_second(seconds).ok().map(Time)
}
