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
    let Ok(text) = std::str::from_utf8(content) else { return false };
    let Some(head) = reader::read::<Head>(text, text.len()) else { return false };
    head.api_version == kind.api_version()
        && head.kind == kind.kind
        && head.metadata.name == *name.name
        && head.metadata.namespace.as_deref() == name.namespace.as_deref()
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
