//! Any file: whether it is an object, and which, is found out without harm, and the answers agree.

#![no_main]

use gitops_reverser_fuzz::kind;
use gitops_reverser_fuzz::resource::ObjectName;
use gitops_reverser_fuzz::sanitize::{Document, identifies, manifest, same_object};
use libfuzzer_sys::fuzz_target;

const OBJECT: &str = r#"{"metadata":{"name":"web","namespace":"shop","labels":{"a":"b"}},
    "spec":{"list":[1,2.5,-0.0,1e400,18446744073709551616],"map":{"x":null,"y":true},"text":"a\nb\n"}}"#;

fuzz_target!(|file: &[u8]| {
    let kind = kind(0);
    let Ok(manifest) = Document::parse(OBJECT).and_then(|mut document| manifest(&mut document, &kind)) else {
        panic!("the object is fine");
    };
    let named = identifies(file, &kind, &ObjectName::new(Some("shop"), "web"));
    if same_object(file, &manifest) {
        assert!(named, "the same object under another name");
    }
});
