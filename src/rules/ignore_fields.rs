//! Fields of objects that a target never writes.

use crate::resource::{ObjectName, ResourceType};
use std::fmt;

/// Fields of some objects of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredFields {
    /// API group; empty for the core group.
    pub group: String,
    /// Plural.
    pub resource: String,
    /// The namespace of the objects; `None`: any.
    pub namespace: Option<String>,
    /// The name of the object; `None`: any.
    pub name: Option<String>,
    /// Where the fields are, in the order in which they are to be taken away.
    pub pointers: Vec<JsonPointer>,
}

impl IgnoredFields {
    /// Whether they may be in objects of `kind`, in whatever version.
    #[must_use]
    pub fn are_of(&self, kind: &ResourceType) -> bool {
        self.group == kind.group && self.resource == kind.resource
    }

    /// Whether the object `name`, of the right type, is meant.
    #[must_use]
    pub fn are_in(&self, name: &ObjectName) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| name.namespace.as_deref() == Some(namespace))
            && self.name.as_deref().is_none_or(|wanted| *name.name == *wanted)
    }
}

/// The way to a field of an object (RFC 6901): keys, and numbers of list items from 0. Never the way to what an object is
/// known by, nor to all of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JsonPointer(Vec<String>);

/// Why a text is no [`JsonPointer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPointer {
    /// It is empty, or does not begin with a slash.
    #[error("it must begin with a slash, as in /spec/replicas")]
    NoSlash,
    /// A tilde is followed by something else than 0 or 1.
    #[error("~ must be written as ~0, and a slash within a key as ~1")]
    Escape,
    /// Without the field the rest would be no object.
    #[error("apiVersion, kind, metadata.name and metadata.namespace are always written")]
    Identity,
}

impl JsonPointer {
    /// Reads a pointer.
    ///
    /// # Errors
    /// Why `text` is none, or none that may be ignored.
    pub fn parse(text: &str) -> Result<Self, InvalidPointer> {
        let keys = text.strip_prefix('/').ok_or(InvalidPointer::NoSlash)?;
        let keys: Vec<String> = keys.split('/').map(unescape).collect::<Option<_>>().ok_or(InvalidPointer::Escape)?;
        let path: Vec<&str> = keys.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["apiVersion" | "kind", ..] | ["metadata"] | ["metadata", "name" | "namespace", ..] => {
                Err(InvalidPointer::Identity)
            }
            _ => Ok(Self(keys)),
        }
    }

    /// Its keys, unescaped; at least one.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.0
    }
}

fn unescape(key: &str) -> Option<String> {
    let mut parts = key.split('~');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push(match part.as_bytes().first() {
            Some(b'0') => '~',
            Some(b'1') => '/',
            _ => return None,
        });
        plain.push_str(&part[1..]);
    }
    Some(plain)
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|key| write!(f, "/{}", key.replace('~', "~0").replace('/', "~1")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::tests::mk_type;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pointers_are_read_as_the_rfc_says() {
        let table: &[(&str, &[&str])] = &[
            ("/spec/replicas", &["spec", "replicas"]),
            ("/metadata/annotations/example.com~1checksum", &["metadata", "annotations", "example.com/checksum"]),
            ("/data/a~0b", &["data", "a~b"]),
            ("/data/~01", &["data", "~1"]),
            ("/spec/containers/0/image", &["spec", "containers", "0", "image"]),
            ("/metadata/labels", &["metadata", "labels"]),
            ("/spec//x", &["spec", "", "x"]),
            ("/", &[""]),
            ("/kinds", &["kinds"]),
            ("/metadata/nam", &["metadata", "nam"]),
        ];
        for (text, keys) in table {
            let pointer = JsonPointer::parse(text).unwrap();
            assert_eq!(pointer.keys(), *keys);
            assert_eq!(pointer.to_string(), *text);
        }
        let refused = [
            ("", InvalidPointer::NoSlash),
            ("spec/replicas", InvalidPointer::NoSlash),
            ("/a~2", InvalidPointer::Escape),
            ("/a~", InvalidPointer::Escape),
            ("/a~\u{20ac}", InvalidPointer::Escape),
            ("/apiVersion", InvalidPointer::Identity),
            ("/kind", InvalidPointer::Identity),
            ("/metadata", InvalidPointer::Identity),
            ("/metadata/name", InvalidPointer::Identity),
            ("/metadata/namespace/x", InvalidPointer::Identity),
        ];
        for (text, expected) in refused {
            assert_eq!(JsonPointer::parse(text), Err(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_pointer_survives_writing_and_reading(keys in proptest::collection::vec("[a-z/~]{0,5}", 1..4)) {
            let pointer = JsonPointer(keys);
            if let Ok(read) = JsonPointer::parse(&pointer.to_string()) {
                prop_assert_eq!(read, pointer);
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,20}") {
            if let Ok(pointer) = JsonPointer::parse(&text) {
                prop_assert_eq!(pointer.to_string(), text);
            }
        }
    }

    #[test]
    fn absent_parts_mean_any_object() {
        let mk = |namespace: Option<&str>, name: Option<&str>| IgnoredFields {
            group: "apps".into(),
            resource: "deployments".into(),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            pointers: Vec::new(),
        };
        let web = ObjectName::new(Some("shop"), "web");
        let table = [
            (mk(None, None), true),
            (mk(Some("shop"), None), true),
            (mk(None, Some("web")), true),
            (mk(Some("shop"), Some("web")), true),
            (mk(Some("other"), None), false),
            (mk(None, Some("other")), false),
            (mk(Some("shop"), Some("other")), false),
        ];
        for (fields, expected) in table {
            assert_eq!(fields.are_in(&web), expected, "{fields:?}");
        }
        assert!(!mk(Some("shop"), None).are_in(&ObjectName::new(None, "web")));
        assert!(mk(None, None).are_of(&mk_type("apps", "v9", "deployments", "Deployment", true)));
        assert!(!mk(None, None).are_of(&mk_type("", "v1", "deployments", "Deployment", true)));
    }
}
