//! Values that the tests of several modules need.

use crate::attribution::{Index, Limits, ObservedEvent, Propagation, Record, Request, Transition, User, Verdict};
use crate::git::draft::Edit;
use crate::resource::oid::ObjectFormat;
use crate::resource::{ObjectName, Oid, RepoPath, ResourceId, ResourceType};
use crate::sanitize::Manifest;
use std::sync::Arc;
use std::time::Instant;

/// Seconds since 1970.
pub(super) const ADMITTED: i64 = 1_700_000_000;

/// What is proven when each of `users` made a request that fits: one did it, none or any of them.
pub(super) fn mk_verdict(users: &[&str], field_manager: &str) -> Verdict {
    let index = Index::new(Limits::default());
    for user in users {
        let record = Record {
            uid: "uid".into(),
            request: Request::Delete { base: "1".into(), propagation: Propagation::Background },
            user: User { name: (*user).to_owned() },
            field_manager: Some(field_manager.to_owned()),
            request_uid: (*user).to_owned(),
            at: jiff::Timestamp::from_second(ADMITTED).unwrap(),
        };
        index.insert(record, Instant::now());
    }
    let transition = Transition::Marked { previous: "1", propagation: Propagation::Background };
    let event = ObservedEvent { uid: "uid", api_version: "v1", evictions: None, transition };
    index.resolve(&event, || None, Instant::now())
}

pub(super) fn mk_kind(kind: &str, namespaced: bool) -> Arc<ResourceType> {
    let resource = format!("{}s", kind.to_lowercase());
    Arc::new(ResourceType { group: String::new(), version: "v1".into(), resource, kind: kind.into(), namespaced })
}

/// A change of `path` from one text to another.
pub(super) fn mk_edit(path: &str, before: Option<&str>, after: Option<&str>, verdict: Verdict) -> Edit {
    let manifest = |text: &str| Manifest::new(text.as_bytes().to_vec());
    let oid = |text: &str| Oid::of_blob(ObjectFormat::Sha1, text.as_bytes());
    Edit {
        path: RepoPath::new(path).unwrap(),
        content: after.map(manifest),
        before: before.map(oid),
        after: after.map(oid),
        doubt: None,
        id: ResourceId { kind: mk_kind("ConfigMap", true), name: ObjectName::new(Some("shop"), path) },
        version: crate::change::ObjectVersion::default(),
        candidates: verdict.candidates().iter().cloned().collect(),
        verdict,
        seconds: 1,
    }
}
