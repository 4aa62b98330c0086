//! Manifests without some fields.

use super::json::{Document, Kind, NodeId};
use super::{Manifest, SanitizeError, yaml};
use crate::resource::ResourceType;

/// What [`manifest`](super::manifest()) has made of `document`, without the values at `pointers`: the keys of an object and
/// the numbers of list items on the way to each. Numbers are those in the live object. What a pointer does not find is not
/// there already; labels, annotations and finalizers that have become empty go as well.
///
/// # Errors
///
/// As of [`manifest`](super::manifest()).
pub fn manifest_without<'p>(
    document: &Document<'_>,
    kind: &ResourceType,
    pointers: impl Iterator<Item = &'p [String]>,
) -> Result<Manifest, SanitizeError> {
    let mut document = document.clone();
    let nodes: Vec<NodeId> = pointers.filter_map(|keys| find(&document, keys)).collect();
    nodes.into_iter().for_each(|node| document.remove(node));
    if let Some(metadata) = document.get(document.root(), "metadata") {
        for key in ["labels", "annotations", "finalizers"] {
            if let Some(emptied) = document.get(metadata, key)
                && document.is_emptied(emptied)
            {
                document.remove(emptied);
            }
        }
    }
    yaml::emit(&document, kind).map(Manifest::new)
}

fn find(document: &Document<'_>, keys: &[String]) -> Option<NodeId> {
    keys.iter().try_fold(document.root(), |node, key| match document.kind(node) {
        Kind::Array => {
            let is_number = key == "0" || (!key.starts_with('0') && key.bytes().all(|byte| byte.is_ascii_digit()));
            document.all_elements(node).nth(key.parse().ok().filter(|_| is_number)?)
        }
        _ => document.get(node, key),
    })
}

#[cfg(test)]
mod tests {
    use super::super::manifest;
    use super::*;

    #[test]
    fn fields_are_found_as_the_rfc_says() {
        let json = r#"{"metadata":{"name":"a","managedFields":[],"annotations":{"a/b":"1","c~d":"2"},"labels":{},"finalizers":["x/y"]},
            "spec":{"list":[{"a":1,"b":2},{"a":3},4],"":5,"replicas":3},"status":{}}"#;
        let all = "\
apiVersion: v1
kind: X
metadata:
  name: a
  labels: {}
  annotations:
    a/b: \"1\"
    c~d: \"2\"
  finalizers:
  - x/y
spec:
  \"\": 5
  list:
  - a: 1
    b: 2
  - a: 3
  - 4
  replicas: 3
";
        let table: &[(&[&[&str]], &[&str])] = &[
            (&[], &[]),
            (&[&["spec", "replicas"]], &["  replicas: 3\n"]),
            (&[&["metadata", "annotations", "a/b"]], &["    a/b: \"1\"\n"]),
            (
                &[&["metadata", "annotations", "a/b"], &["metadata", "annotations", "c~d"]],
                &["  annotations:\n    a/b: \"1\"\n    c~d: \"2\"\n"],
            ),
            (&[&["metadata", "finalizers", "0"]], &["  finalizers:\n  - x/y\n"]),
            (&[&["spec", ""]], &["  \"\": 5\n"]),
            (&[&["spec", "list", "0", "b"]], &["    b: 2\n"]),
            (&[&["spec", "list", "0"], &["spec", "list", "2"]], &["  - a: 1\n    b: 2\n", "  - 4\n"]),
            (&[&["spec", "list", "00"], &["spec", "list", "-"], &["spec", "list", "3"], &["none", "x"]], &[]),
            (&[&["status"], &["metadata", "managedFields"]], &[]),
        ];
        let text = str::to_owned;
        let kind = ResourceType {
            group: text(""),
            version: text("v1"),
            resource: text("xs"),
            kind: text("X"),
            namespaced: true,
        };
        for (pointers, gone) in table {
            let mut document = Document::parse(json).unwrap();
            assert_eq!(manifest(&mut document, &kind).unwrap().bytes(), all.as_bytes());
            let pointers: Vec<Vec<String>> =
                pointers.iter().map(|keys| keys.iter().map(|key| text(key)).collect()).collect();
            let cut = manifest_without(&document, &kind, pointers.iter().map(Vec::as_slice)).unwrap();
            let expected = gone.iter().fold(text(all), |rest, gone| {
                assert!(rest.contains(gone));
                rest.replacen(gone, "", 1)
            });
            assert_eq!(String::from_utf8_lossy(cut.bytes()), expected, "{pointers:?}");
        }
    }
}
