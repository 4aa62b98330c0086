//! Verdicts as the attribution index reaches them.

use gitops_reverser::attribution::{
    Index, Limits, ObservedEvent, Propagation, Record, Request, Transition, User, Verdict,
};
use std::time::Instant;

/// What is proven when each of `users` asked for the same: one of them did it, none or any of them.
pub(crate) fn verdict(users: &[&str], field_manager: &str) -> Verdict {
    let index = Index::new(Limits::default());
    for user in users {
        let record = Record {
            uid: "uid".into(),
            request: Request::Delete { base: "1".into(), propagation: Propagation::Background },
            user: User { name: (*user).to_owned(), email: None },
            field_manager: Some(field_manager.to_owned()),
            request_uid: (*user).to_owned(),
            at: jiff::Timestamp::constant(1_767_225_600, 0),
        };
        index.insert(record, Instant::now());
    }
    let transition = Transition::Marked { previous: "1", propagation: Propagation::Background };
    let event = ObservedEvent { uid: "uid", api_version: "v1", evictions: None, transition };
    index.resolve(&event, || None, Instant::now())
}
