//! Which object a file in Git is, read from its content.

use super::reader;
use crate::resource::{ObjectName, ResourceType};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    api_version: String,
    kind: String,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
}

/// Whether `content` is one YAML document that describes the object `name` of type `kind`.
///
/// A file that says something else was not written for that object, whatever its path.
#[must_use]
pub fn identifies(content: &[u8], kind: &ResourceType, name: &ObjectName) -> bool {
    kind_of(content, &kind.api_version(), name).is_some_and(|told| told == kind.kind)
}

/// The kind of the object that `content` describes, if it is one YAML document about an object `name` of that
/// `api_version`.
#[must_use]
pub fn kind_of(content: &[u8], api_version: &str, name: &ObjectName) -> Option<String> {
    let text = std::str::from_utf8(content).ok()?;
    let Head { api_version: told, kind, metadata } = reader::read::<Head>(text, text.len())?;
    let is_it = told == api_version
        && metadata.name == *name.name
        && metadata.namespace.as_deref() == name.namespace.as_deref();
    is_it.then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_object_itself_is_recognised() {
        let kind = ResourceType {
            group: String::new(),
            version: "v1".into(),
            resource: "configmaps".into(),
            kind: "ConfigMap".into(),
            namespaced: true,
        };
        let name = ObjectName::new(Some("shop"), "web");
        let table = [
            ("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\n  namespace: shop\ndata: {a: b}\n", true),
            ("# by hand\nkind: ConfigMap\napiVersion: v1\nmetadata: {namespace: shop, name: web}\n", true),
            ("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\n", false),
            ("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: other\n  namespace: shop\n", false),
            ("apiVersion: v1\nkind: Secret\nmetadata:\n  name: web\n  namespace: shop\n", false),
            ("apiVersion: v2\nkind: ConfigMap\nmetadata:\n  name: web\n  namespace: shop\n", false),
            ("", false),
            ("just text", false),
            ("a: [", false),
        ];
        for (content, expected) in table {
            assert_eq!(identifies(content.as_bytes(), &kind, &name), expected, "{content}");
        }
        assert!(!identifies(b"\xff", &kind, &name));
    }
}
