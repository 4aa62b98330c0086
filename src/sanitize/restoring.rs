//! The bar: whoever applies a manifest to an empty cluster gets an object that has the same manifest.

use super::fixtures::{Fixture, clean, fixtures, mk_kind, parse};
use super::samples;
use crate::resource::ResourceType;
use proptest::prelude::*;
use serde_json::{Value, json};

/// What a cluster shows once somebody has applied `clean` to it.
pub(super) fn applied(clean: &str, kind: &ResourceType) -> Value {
    let mut live: Value = serde_yaml::from_str(clean).unwrap();
    let copy = live.to_string();
    if !live["metadata"].is_object() {
        live["metadata"] = json!({});
    }
    let metadata = &mut live["metadata"];
    metadata["uid"] = json!("6f0fd0a2-7a0e-4a0c-a5b8-6f6c9f0b7f11");
    metadata["resourceVersion"] = json!("4711");
    metadata["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    metadata["managedFields"] = json!([{"manager": "kubectl-client-side-apply", "operation": "Update"}]);
    // An object that is broken in such a place cannot be applied.
    if metadata["annotations"].is_null() {
        metadata["annotations"] = json!({});
    }
    if let Some(annotations) = metadata["annotations"].as_object_mut() {
        annotations.insert("kubectl.kubernetes.io/last-applied-configuration".to_owned(), json!(copy));
    }
    if kind.kind == "Namespace" {
        match live.get_mut("spec").and_then(Value::as_object_mut) {
            Some(spec) => drop(spec.insert("finalizers".to_owned(), json!(["kubernetes"]))),
            None => live["spec"] = json!({"finalizers": ["kubernetes"]}),
        }
    }
    live["status"] = json!({"observedGeneration": 1});
    live
}

#[test]
fn every_fixture_is_cleaned() {
    for fixture in fixtures() {
        assert_eq!(parse(&clean(&fixture.live, &fixture.kind)), fixture.clean, "{}: {}", fixture.kind, fixture.name);
    }
}

#[test]
fn what_is_applied_to_a_cluster_comes_back_as_the_same_bytes() {
    for Fixture { name, kind, live, .. } in fixtures() {
        let bytes = clean(&live, &kind);
        assert_eq!(clean(&applied(&bytes, &kind), &kind), bytes, "{kind}: {name}");
    }
}

#[test]
fn rules_are_for_a_kind_of_one_group_only() {
    for Fixture { name, kind, live, .. } in fixtures() {
        let other = mk_kind("example.com", &kind.kind);
        let metadata_apart = |mut value: Value| {
            value.as_object_mut().unwrap().retain(|key, _| key != "metadata" && key != "status");
            value
        };
        assert_eq!(metadata_apart(parse(&clean(&live, &other))), metadata_apart(live), "{kind}: {name}");
    }
}

/// A kind with a rule of its own, or one without.
fn kind() -> impl Strategy<Value = ResourceType> {
    let kinds: Vec<_> = fixtures().into_iter().map(|fixture| fixture.kind).collect();
    proptest::sample::select(kinds)
}

/// Any object, with a part of a fixture in it.
fn live() -> impl Strategy<Value = Value> {
    let known: Vec<_> = fixtures().into_iter().map(|fixture| fixture.live).collect();
    (samples::object(), proptest::sample::select(known)).prop_map(|(mut any, known)| {
        // Signals of intent do not survive in the file itself, but as a signal of whoever applies it.
        any.as_object_mut().unwrap().retain(|key, _| !matches!(key.as_str(), "apiVersion" | "kind"));
        for (key, value) in known.as_object().unwrap() {
            any[key] = value.clone();
        }
        any
    })
}

proptest! {
    #[test]
    fn a_second_time_changes_nothing(live in live(), kind in kind()) {
        let bytes = clean(&live, &kind);
        prop_assert_eq!(&clean(&applied(&bytes, &kind), &kind), &bytes);
    }

    #[test]
    fn objects_of_kinds_without_a_rule_are_their_own_manifest(object in samples::object()) {
        let kind = mk_kind("example.com", "Thing");
        let bytes = clean(&object, &kind);
        prop_assert_eq!(&clean(&serde_yaml::from_str(&bytes).unwrap(), &kind), &bytes);
    }
}
