//! Any text as an object of any kind: what is accepted becomes one YAML document, always the same, and every part of
//! the operator that reads files recognises it.

#![no_main]

use gitops_reverser_fuzz::kind;
use gitops_reverser_fuzz::sanitize::{Document, fingerprint, manifest, noise, same_object};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &str)| {
    let (choice, json) = input;
    let kind = kind(choice);
    let Ok(document) = Document::parse(json) else { return };
    let hash = fingerprint(&document);
    let reason = noise(&document, &kind);

    let mut stripped = document.clone();
    let Ok(written) = manifest(&mut stripped, &kind) else { return };
    assert_eq!(fingerprint(&stripped), hash, "a pass changed what the object was");
    assert_eq!(noise(&document, &kind), reason);
    let again = manifest(&mut document.clone(), &kind).map(|manifest| manifest.oid());
    assert_eq!(again, Ok(written.oid()), "the same object, other bytes");

    // Commented, so that it is read instead of compared byte by byte.
    let file = [b"# read me\n", written.bytes()].concat();
    assert!(same_object(&file, &written), "{}", String::from_utf8_lossy(&file));
    let ends_well = written.bytes().ends_with(b"\n") && !written.bytes().ends_with(b"\n\n");
    assert!(ends_well && !written.bytes().contains(&b'\r'));
});
