//! Any bytes as the body of an admission request, and any text as the objects of a well-formed one: whatever comes, it
//! is refused or becomes at most one record, which the index bounds and joins without a panic.

#![no_main]

use gitops_reverser_fuzz::attribution::{Index, Limits};
use gitops_reverser_fuzz::webhook::admission::decode;
use libfuzzer_sys::fuzz_target;
use std::time::Instant;

const OPERATIONS: [&str; 4] = ["CREATE", "UPDATE", "DELETE", "CONNECT"];
const SUBRESOURCES: [&str; 6] = ["", "scale", "status", "eviction", "binding", "finalize"];

fuzz_target!(|input: (u8, &[u8], &str, &str)| {
    let (choice, bytes, object, old) = input;
    let at = jiff::Timestamp::UNIX_EPOCH;
    let index = Index::new(Limits { records: 4, records_per_uid: 2, bytes: 1 << 16, ..Limits::default() });
    let operation = OPERATIONS[usize::from(choice) % OPERATIONS.len()];
    let subresource = SUBRESOURCES[usize::from(choice / 4) % SUBRESOURCES.len()];
    let wrapped = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","operation":"{operation}",
        "subResource":"{subresource}","namespace":"n","name":"c","resource":{{"group":"","version":"v1","resource":"pods"}},
        "userInfo":{{"username":"alice"}},"object":{object},"oldObject":{old}}}}}"#
    );
    for body in [bytes, wrapped.as_bytes()] {
        let Ok(decoded) = decode(body, at) else { continue };
        assert!(!decoded.response_uid.is_empty());
        if let Some(record) = decoded.record {
            assert!(!record.uid.is_empty() && !record.user.name.is_empty());
            for _ in 0..3 {
                index.insert(record.clone(), Instant::now());
            }
            assert!(index.len() <= 4);
        }
    }
});
