//! What a status says, and what it is to say next.

use super::super::outcome::condition::{READY, RECONCILING, STALLED};
use super::super::outcome::{Outcome, Said};
use crate::api::status::SelectedTypes;
use crate::rules::Selection;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize as _, Serialize};
use serde_json::{Map, Value, json};

/// How many characters of a message are kept; what a server says may be longer.
pub(super) const LONGEST_MESSAGE: usize = 1_000;

/// What moves all the time: by itself it is worth a patch now and then only.
const MOVING: [&str; 6] = [
    "/trackedObjects",
    "/attribution",
    "/gitStatus/lastCommitSHA",
    "/workerStatus/queuedEvents",
    "/workerStatus/unpushedCommits",
    "/workerStatus/lastPushTime",
];
/// When somebody last looked, which by itself is never worth a patch.
const LOOKED: &str = "/gitStatus/lastChecked";

/// The parts of a status that the operator writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reported {
    /// The generation that the conditions are about.
    pub observed_generation: Option<i64>,
    /// The conditions, also those of others.
    pub conditions: Vec<Condition>,
    /// Everything else.
    pub rest: Map<String, Value>,
}

impl Reported {
    /// What `status` says.
    #[must_use]
    pub fn of(status: &impl Serialize) -> Self {
        let Ok(Value::Object(mut rest)) = serde_json::to_value(status) else { return Self::default() };
        let conditions = rest.remove("conditions").and_then(|conditions| serde_json::from_value(conditions).ok());
        let generation = rest.remove("observedGeneration").and_then(|generation| generation.as_i64());
        Self { observed_generation: generation, conditions: conditions.unwrap_or_default(), rest }
    }

    /// What the status becomes, of which all is to be said that `outcome` says of `generation`; `None` when that is said
    /// already, or not worth a patch. Numbers alone are worth one only if `counts`.
    pub(super) fn next(&self, generation: i64, outcome: &Outcome, now: Timestamp, counts: bool) -> Option<Self> {
        let mut next = self.clone();
        next.observed_generation = Some(generation);
        for (kind, said) in &outcome.conditions {
            set_condition(&mut next.conditions, kind, said, generation, now);
        }
        let holds = |kind: &str| outcome.conditions.iter().any(|(said, _)| *said == kind);
        next.conditions
            .retain(|condition| ![RECONCILING, STALLED].contains(&condition.type_.as_str()) || holds(&condition.type_));
        for (name, value) in &outcome.rest {
            match value {
                Value::Null => drop(next.rest.remove(name)),
                value => drop(next.rest.insert(name.clone(), value.clone())),
            }
        }
        let differs = next.essence(counts) != self.essence(counts);
        differs.then_some(next)
    }

    /// What is worth a patch.
    fn essence(&self, counts: bool) -> Self {
        let mut rest = Value::Object(self.rest.clone());
        let mut conditions = self.conditions.clone();
        take(&mut rest, LOOKED);
        if !counts {
            MOVING.iter().for_each(|pointer| take(&mut rest, pointer));
            // As long as all goes well, pushes come and go.
            let goes_well = |status: &mut Value| {
                if *status == "Pending" {
                    *status = json!("Success");
                }
            };
            rest.pointer_mut("/workerStatus/lastPushStatus").into_iter().for_each(goes_well);
            for synced in conditions.iter_mut().filter(|condition| condition.reason == "EventsQueued") {
                "True".clone_into(&mut synced.status);
                "Synced".clone_into(&mut synced.reason);
            }
            for synced in
                conditions.iter_mut().filter(|condition| condition.type_ == "Synced" && condition.status == "True")
            {
                synced.message.clear();
                synced.last_transition_time = Time(Timestamp::UNIX_EPOCH);
            }
        }
        let rest = if let Value::Object(rest) = rest { rest } else { Map::new() };
        Self { observed_generation: self.observed_generation, conditions, rest }
    }

    /// The merge patch that makes `next` of it.
    pub(super) fn patch(&self, next: &Self) -> Value {
        let mut status = difference(&self.rest, &next.rest);
        if self.observed_generation != next.observed_generation {
            status.insert("observedGeneration".to_owned(), json!(next.observed_generation));
        }
        if self.conditions != next.conditions {
            status.insert("conditions".to_owned(), json!(next.conditions));
        }
        json!({"status": status})
    }

    /// What it says that rules select or keep.
    #[must_use]
    pub fn selection(&self) -> Selection {
        let entries = self.rest.get("selection").map(Vec::<SelectedTypes>::deserialize);
        Selection::from_status(&entries.and_then(Result::ok).unwrap_or_default())
    }

    /// Whether it says that the remote has taken a push, or would.
    #[must_use]
    pub fn has_written(&self) -> bool {
        self.conditions.iter().any(|condition| condition.type_ == "Available" && condition.status == "True")
    }

    /// What its condition `Ready` says, and of which generation.
    #[must_use]
    pub fn ready(&self) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == READY)
    }
}

fn set_condition(conditions: &mut Vec<Condition>, kind: &str, said: &Said, generation: i64, now: Timestamp) {
    let old = conditions.iter_mut().find(|condition| condition.type_ == kind);
    let since = old.as_ref().filter(|old| old.status == said.status).map(|old| old.last_transition_time.clone());
    let condition = Condition {
        type_: kind.to_owned(),
        status: said.status.to_owned(),
        reason: said.reason.to_owned(),
        message: said.message.chars().take(LONGEST_MESSAGE).collect(),
        observed_generation: Some(generation),
        last_transition_time: since.unwrap_or(Time(now)),
    };
    match old {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
}

fn take(value: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    if let Some(Value::Object(parent)) = value.pointer_mut(parent) {
        parent.remove(name);
    }
}

/// The JSON merge patch (RFC 7386) that makes `after` of `before`.
fn difference(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, new) in after {
        match (before.get(name), new) {
            (Some(old), new) if old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                patch.insert(name.clone(), Value::Object(difference(old, new)));
            }
            (_, new) => drop(patch.insert(name.clone(), new.clone())),
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_outcome(status: &'static str, message: &str, rest: Value) -> Outcome {
        let said = |status, message: &str| Said { status, reason: "Reason", message: message.into() };
        let mut conditions = vec![(READY, said(status, message))];
        if status != "True" {
            conditions.push((STALLED, said("True", message)));
        }
        let Value::Object(rest) = rest else { panic!("{rest}") };
        Outcome { conditions, rest }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn first(outcome: &Outcome) -> Reported {
        Reported::default().next(1, outcome, at(1), true).unwrap()
    }

    #[test]
    fn a_status_that_says_it_all_is_left_alone() {
        let outcome = mk_outcome("True", "m", json!({"resources": ["a"]}));
        let first = first(&outcome);
        assert_eq!(first.next(1, &outcome, at(2), true), None);
        assert_eq!(first.next(1, &mk_outcome("True", "m", json!({})), at(2), true), None, "what is unknown is no news");
        assert!(first.next(2, &outcome, at(2), false).is_some());
        assert!(first.next(1, &mk_outcome("True", "n", json!({})), at(2), false).is_some());
        assert!(first.next(1, &mk_outcome("True", "m", json!({"resources": ["b"]})), at(2), false).is_some());
        assert!(first.next(1, &mk_outcome("True", "m", json!({"resources": null})), at(2), false).is_some());
    }

    #[test]
    fn numbers_wait_for_their_time_or_go_along() {
        let worker = |queued: u8, push: &str| json!({"active": true, "queuedEvents": queued, "lastPushStatus": push});
        let status_at = |tip: &str, queued: u8, push: &str, objects: u8, looked: &str| {
            let git = json!({"branchExists": true, "lastCommitSHA": tip, "lastChecked": looked});
            json!({"workerStatus": worker(queued, push), "trackedObjects": objects, "gitStatus": git})
        };
        let status = |queued, push: &str, objects, looked: &str| status_at("c1", queued, push, objects, looked);
        let first = first(&mk_outcome("True", "m", status(0, "Success", 1, "t1")));
        let table = [
            (status_at("c2", 0, "Success", 1, "t1"), false, true),
            (status(0, "Success", 1, "t2"), false, false),
            (status(1, "Success", 1, "t1"), false, true),
            (status(0, "Pending", 1, "t1"), false, true),
            (status(0, "Success", 2, "t1"), false, true),
            (status(0, "Failed", 1, "t1"), true, true),
        ];
        for (rest, alone, in_time) in table {
            let outcome = mk_outcome("True", "m", rest);
            assert_eq!(first.next(1, &outcome, at(2), false).is_some(), alone, "{outcome:?}");
            assert_eq!(first.next(1, &outcome, at(2), true).is_some(), in_time, "{outcome:?}");
        }
        let next = first.next(1, &mk_outcome("True", "n", status(7, "Success", 2, "t2")), at(2), false).unwrap();
        assert_eq!((&next.rest["trackedObjects"], &next.rest["gitStatus"]["lastChecked"]), (&json!(2), &json!("t2")));
    }

    #[test]
    fn pushes_that_go_well_are_told_now_and_then() {
        let synced = |status, reason| {
            let said = Said { status, reason, message: format!("because {reason}") };
            Outcome { conditions: vec![("Synced", said)], rest: Map::new() }
        };
        let (done, queued, failed) =
            (synced("True", "Synced"), synced("False", "EventsQueued"), synced("False", "SyncFailed"));
        let first = first(&done);
        assert_eq!(first.next(1, &queued, at(2), false), None);
        assert!(first.next(1, &failed, at(2), false).is_some());
        let later = first.next(1, &queued, at(2), true).unwrap();
        assert_eq!(later.conditions[0].reason, "EventsQueued");
        assert!(later.next(1, &failed, at(2), false).is_some());
    }

    #[test]
    fn the_time_moves_with_the_status_only() {
        let second = first(&mk_outcome("True", "m", json!({})));
        let second = second.next(2, &mk_outcome("True", "n", json!({})), at(2), false).unwrap();
        assert_eq!(second.conditions[0].last_transition_time, Time(at(1)));
        let third = second.next(2, &mk_outcome("False", "n", json!({})), at(3), false).unwrap();
        assert_eq!(third.conditions[0].last_transition_time, Time(at(3)));
    }

    #[test]
    fn conditions_stay_in_place_and_abnormal_ones_go() {
        let mut before = first(&mk_outcome("False", "m", json!({})));
        let other = Condition { type_: "Other".into(), ..before.conditions[0].clone() };
        before.conditions.insert(0, other.clone());
        let kinds = |reported: &Reported| {
            reported.conditions.iter().map(|condition| condition.type_.clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(kinds(&before), "Other Ready Stalled");
        let after = before.next(1, &mk_outcome("True", "m", json!({})), at(2), false).unwrap();
        assert_eq!((kinds(&after).as_str(), &after.conditions[0]), ("Other Ready", &other));
    }

    #[test]
    fn a_patch_holds_what_differs() {
        let before = first(&mk_outcome("True", "m", json!({"a": {"b": 1, "c": 2}, "d": [1], "e": 1})));
        let mut after = before.clone();
        after.rest = json!({"a": {"b": 1, "f": 3}, "d": [2], "e": 1}).as_object().unwrap().clone();
        assert_eq!(before.patch(&after), json!({"status": {"a": {"c": null, "f": 3}, "d": [2]}}));
        after.conditions.clear();
        assert_eq!(before.patch(&after)["status"]["conditions"], json!([]));
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let after = first(&mk_outcome("True", &"ä".repeat(5_000), json!({})));
        assert_eq!(after.conditions[0].message.chars().count(), LONGEST_MESSAGE);
    }
}
