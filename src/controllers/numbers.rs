//! When what moves all the time in the statuses of targets is worth a patch by itself.

use super::outcome::{Kind, ObjectKey, Outcome};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How often they are brought up to date: the targets of a busy branch would all be patched at each push otherwise.
pub const SPACING: Duration = Duration::from_secs(30);

/// Remembers what was told.
#[derive(Debug, Default)]
pub struct Numbers {
    /// When all are worth a patch next.
    due: Option<Instant>,
    told: BTreeMap<ObjectKey, Told>,
}

/// What was told of a target.
#[derive(Debug, Default)]
struct Told {
    tip: Option<Value>,
    changes: Option<Value>,
    /// When a commit of its own was last told at once.
    at: Option<Instant>,
}

impl Numbers {
    /// The targets whose numbers are worth a patch `now`, to become what `outcomes` say: from time to time all, and before
    /// that one whose own changes have arrived on the remote, unless that was told of it a moment ago.
    pub fn worth(&mut self, outcomes: &BTreeMap<ObjectKey, Outcome>, now: Instant) -> BTreeSet<ObjectKey> {
        let all = self.due.is_none_or(|due| due <= now);
        if all {
            self.due = Some(now + SPACING);
        }
        self.told.retain(|key, _| outcomes.contains_key(key));
        let targets = outcomes.iter().filter(|(key, _)| key.kind == Kind::GitTarget);
        let worth = targets.filter(|(key, outcome)| {
            let git = outcome.rest.get("gitStatus");
            let tip = git.and_then(|git| git.get("lastCommitSHA")).cloned();
            let changes = outcome.rest.get("attribution").cloned();
            let told = self.told.entry((*key).clone()).or_default();
            let is_own = told.tip != tip && told.changes != changes;
            let is_first = !all && is_own && told.at.is_none_or(|at| at + SPACING <= now);
            if is_first {
                told.at = Some(now);
            }
            if is_first || all {
                (told.tip, told.changes) = (tip, changes);
            }
            is_first || all
        });
        worth.map(|(key, _)| key.clone()).collect()
    }

    /// When all are worth a patch next.
    #[must_use]
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::NamespacedName;
    use serde_json::json;

    #[test]
    fn a_commit_of_its_own_is_told_at_once_and_those_of_others_in_time() {
        let start = Instant::now();
        let mut numbers = Numbers::default();
        // When, the tip of the branch, how many changes of a and b are in it, and of whom that is told.
        let table = [
            (0, "0", (0, 0), "ab"),
            (1, "0", (1, 0), ""),
            (2, "1", (1, 0), "a"),
            (3, "2", (2, 0), ""),
            (4, "3", (2, 1), "b"),
            (29, "4", (3, 2), ""),
            (30, "4", (3, 2), "ab"),
            (31, "5", (4, 3), ""),
            (32, "6", (5, 3), "a"),
            (60, "6", (5, 3), "ab"),
            (61, "7", (5, 3), ""),
        ];
        for (at, tip, (a, b), expected) in table {
            let outcome = |changes: u8| {
                let rest = json!({"gitStatus": {"lastCommitSHA": tip}, "attribution": {"exact": changes}});
                Outcome { conditions: Vec::new(), rest: rest.as_object().unwrap().clone() }
            };
            let key = |name| ObjectKey::of(Kind::GitTarget, &NamespacedName::new("ns", name));
            let outcomes = BTreeMap::from([(key("a"), outcome(a)), (key("b"), outcome(b))]);
            let worth = numbers.worth(&outcomes, start + Duration::from_secs(at));
            let names: String = worth.into_iter().map(|key| key.name).collect();
            assert_eq!(names, expected, "at {at} s");
        }
    }
}
