//! What the worker tells: its status, and what people should hear of.

use super::{Worker, now};
use crate::git::spec::TargetSpec;
use crate::git::status::{PushState, Severity, TargetState, TargetStatus};
use crate::git::sweeps::Told;
use crate::resource::{BaseFolder, NamespacedName, Oid};
use std::collections::BTreeMap;

/// How pushing goes.
#[derive(Debug, Default)]
pub(super) struct PushRecord {
    /// Commits of each target that were made here and are not known to be on the remote.
    made: BTreeMap<NamespacedName, usize>,
    /// Those that the push under way carries.
    carried: BTreeMap<NamespacedName, usize>,
    /// Whether the last try failed.
    has_failed: bool,
    /// When the remote last took a push, in seconds since 1970.
    last: Option<i64>,
    /// Whether the remote has the branch.
    pub(super) branch_exists: Option<bool>,
    /// When the remote last told where the branch stands, in seconds since 1970.
    last_look: Option<i64>,
}

impl PushRecord {
    /// Commits for these targets were made.
    pub(super) fn made(&mut self, targets: impl Iterator<Item = NamespacedName>) {
        targets.for_each(|target| *self.made.entry(target).or_default() += 1);
    }

    /// All that is made is being pushed.
    pub(super) fn started(&mut self) {
        for (target, commits) in std::mem::take(&mut self.made) {
            *self.carried.entry(target).or_default() += commits;
        }
    }

    /// The push has ended without success, or nobody knows how.
    pub(super) fn ended(&mut self) {
        for (target, commits) in std::mem::take(&mut self.carried) {
            *self.made.entry(target).or_default() += commits;
        }
    }

    /// The remote could not be used while commits waited.
    pub(super) fn failed(&mut self) {
        self.has_failed = true;
        self.ended();
    }

    /// The remote can be used.
    pub(super) fn reached(&mut self) {
        self.has_failed = false;
    }

    /// The remote has told where the branch stands.
    pub(super) fn looked(&mut self) {
        self.last_look = Some(now().seconds);
    }

    /// The journal was given up.
    pub(super) fn lost(&mut self) {
        self.made.clear();
        self.carried.clear();
    }

    /// The remote has all that was being pushed; how many commits of each target.
    fn succeeded(&mut self) -> BTreeMap<NamespacedName, usize> {
        let second = now().seconds;
        (self.has_failed, self.last, self.last_look, self.branch_exists) =
            (false, Some(second), Some(second), Some(true));
        std::mem::take(&mut self.carried)
    }

    const fn state(&self, unpushed: usize) -> Option<PushState> {
        match (unpushed, self.has_failed, self.last) {
            (1.., true, _) => Some(PushState::Failed),
            (1.., false, _) => Some(PushState::Pending),
            (0, _, Some(_)) => Some(PushState::Success),
            (0, _, None) => None,
        }
    }
}

impl Worker {
    /// Tells which targets can be written; none before the remote was looked at, nor while something is damaged.
    pub(super) fn report_targets(&self) {
        if self.first_look.is_some() || self.repair.is_some() {
            return;
        }
        let state = |name: &NamespacedName, folder: &BaseFolder| match self.stage.index().obstacle_to_folder(folder) {
            Some(obstacle) => TargetState::Refused(format!(
                "{obstacle:?} on the branch is no folder, so nothing can be written below it; remove it or choose another spec.baseFolder"
            )),
            None => match self.guard.refusal(name) {
                Some(filtered) => TargetState::Refused(filtered.sentence()),
                None => TargetState::Ready,
            },
        };
        let status = |name: &NamespacedName, target: &TargetSpec| TargetStatus {
            folder: target.folder.clone(),
            state: state(name, &target.folder),
            swept: self.deselected.swept(name),
            held_back: self.stage.sweeps(name).map_or(0, |sweeps| sweeps.held_back()),
        };
        let targets = self.spec.targets.iter();
        let targets = targets.map(|(name, target)| (name.clone(), status(name, target))).collect();
        self.channels.report(|status| status.targets = targets);
    }

    pub(super) fn report_journal(&self) {
        let (pushed, unpushed) = (self.base, self.schedule.queued());
        self.channels.report(|status| {
            status.pushed = pushed;
            status.branch_exists = self.push.branch_exists;
            status.push = self.push.state(unpushed);
            status.counts.unpushed = unpushed;
            status.counts.last_look = self.push.last_look;
            status.counts.last_push = self.push.last;
            status.counts.files.clone_from(self.stage.files());
        });
    }

    /// Tells every target of the branch what a person should look at.
    pub(super) fn warn(&self, reason: &'static str, message: &str) {
        for target in self.spec.targets.keys() {
            self.channels.tell(target, Severity::Warning, reason, message);
        }
    }

    /// Tells whose commits the remote has now, up to `tip`. Of those that an earlier process made nobody knows whose they
    /// are unless there is but one target.
    pub(super) fn tell_pushed(&mut self, tip: Oid, commits: usize) {
        let mut carried = self.push.succeeded();
        if let (Some((target, _)), 1) = (self.spec.targets.first_key_value(), self.spec.targets.len()) {
            carried.insert(target.clone(), commits);
        }
        for (target, commits) in carried {
            let commits = if commits == 1 { "1 commit was".to_owned() } else { format!("{commits} commits were") };
            let message = format!("{commits} pushed; the branch stands at {}", tip.short());
            self.channels.tell(&target, Severity::Normal, "Pushed", &message);
        }
    }

    /// Tells what sweeps have removed, and what they hold back.
    pub(super) fn tell_pruned(&mut self) {
        let told = self.stage.take_told();
        for (target, Told { removed, .. }, held_back) in &told {
            let message = match (removed, held_back) {
                (0, 0) => continue,
                (_, 0) => format!("{removed} files that nothing stands for any more were removed"),
                _ => format!(
                    "{removed} files that nothing stands for any more were removed, {held_back} more are held back by the limit on deletes"
                ),
            };
            self.channels.tell(target, Severity::Normal, "Pruned", &message);
        }
        if !told.is_empty() {
            self.report_targets();
        }
    }
}
