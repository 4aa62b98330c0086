//! Where an object's file lies below a base folder:
//! `{group-or-core}/{version}/{resource}/{namespace}/{name}.yaml`, cluster-scoped without the namespace.
//!
//! Components are percent-encoded outside `[A-Za-z0-9._-]`. A legal object name holds no `%`, so the encoding
//! is injective and reversible.

use super::hex::hex;
use super::id::{ObjectName, ResourceId, ResourceType};
use super::path::{BaseFolder, InvalidPath, RepoPath};
use sha2::Digest as _;

/// What the core group, which has no name, is called.
const CORE: &str = "core";
const EXTENSION: &str = ".yaml";
/// A file name has at most 255 bytes; this leaves room for the extension.
const LONGEST_COMPONENT: usize = 240;
const KEPT_OF_LONG_COMPONENT: usize = 200;

/// The file of `id` below `base`.
///
/// # Errors
/// When a part of the identity cannot be a path component at all.
pub fn manifest_path(base: &BaseFolder, id: &ResourceId) -> Result<RepoPath, InvalidPath> {
    let folder = folder_of(base, &id.kind, id.name.namespace.as_deref());
    RepoPath::new(&format!("{folder}{}{EXTENSION}", encode(&id.name.name)))
}

/// What the paths of all objects of `kind` (in `namespace`, when given) below `base` start with; ends in `/`.
#[must_use]
pub fn folder_of(base: &BaseFolder, kind: &ResourceType, namespace: Option<&str>) -> String {
    let mut folder = group_folder(base, &kind.group);
    for component in [Some(&*kind.version), Some(&kind.resource), namespace].into_iter().flatten() {
        folder.push_str(&encode(component));
        folder.push('/');
    }
    folder
}

/// What the paths of all objects of types of `group` below `base` start with; ends in `/`. The next component is the
/// version.
#[must_use]
pub fn group_folder(base: &BaseFolder, group: &str) -> String {
    format!("{}{}/", base.prefix(), encode(if group.is_empty() { CORE } else { group }))
}

/// The type, but for its kind, and the namespace of an object whose file can be `path`; `None` for foreign files.
#[must_use]
pub fn type_at(base: &BaseFolder, path: &str) -> Option<(ResourceType, Option<String>)> {
    let mut parts = path.strip_prefix(&base.prefix())?.splitn(4, '/');
    let mut next = || decode(parts.next()?);
    let (group, version, resource) = (next()?, next()?, next()?);
    let (group, rest) = (if group == CORE { String::new() } else { group }, parts.next()?);
    let namespaced = rest.contains('/');
    let kind = ResourceType { group, version, resource, kind: String::new(), namespaced };
    let is_file = rest.strip_suffix(EXTENSION).is_some_and(|rest| !rest.is_empty());
    let (namespace, name) = rest.split_once('/').map_or((None, rest), |(namespace, name)| (Some(namespace), name));
    let is_ours = is_file && !name.contains('/') && name != EXTENSION;
    match namespace {
        Some(namespace) => is_ours.then(|| Some((kind, Some(decode(namespace)?))))?,
        None => is_ours.then_some((kind, None)),
    }
}

/// The name of the object whose file `path` is, if this layout produces such a path for an object of `kind`.
/// `None` for foreign files, and for names so long that only the file's content can tell.
#[must_use]
pub fn object_at(base: &BaseFolder, kind: &ResourceType, path: &str) -> Option<ObjectName> {
    let rest = path.strip_prefix(&folder_of(base, kind, None))?.strip_suffix(EXTENSION)?;
    let (namespace, name) = match rest.split_once('/') {
        Some((namespace, name)) if kind.namespaced => (Some(decode(namespace)?), decode(name)?),
        None if !kind.namespaced => (None, decode(rest)?),
        _ => return None,
    };
    Some(ObjectName::new(namespace.as_deref(), &name))
}

fn encode(component: &str) -> String {
    let mut encoded = String::with_capacity(component.len());
    for byte in component.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    if encoded.len() > LONGEST_COMPONENT {
        let digest = sha2::Sha256::digest(component.as_bytes());
        encoded.truncate(KEPT_OF_LONG_COMPONENT);
        encoded.push('~');
        encoded.push_str(&hex(&digest[..8]));
    }
    encoded
}

/// What a component of a path stands for; `None` if nothing does, or if it was shortened.
#[must_use]
pub fn decode(component: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(component.len());
    let mut rest = component.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (!name.is_empty() && encode(&name) == component).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn mk_id(namespaced: bool, namespace: &str, name: &str) -> ResourceId {
        let kind = ResourceType {
            group: "rbac.authorization.k8s.io".into(),
            version: "v1".into(),
            resource: "roles".into(),
            kind: "Role".into(),
            namespaced,
        };
        ResourceId { kind: Arc::new(kind), name: ObjectName::new(Some(namespace).filter(|_| namespaced), name) }
    }

    #[test]
    fn files_lie_where_people_look_for_them() {
        let base = BaseFolder::new("clusters/eu").unwrap();
        let table = [
            (mk_id(true, "shop", "web"), "clusters/eu/rbac.authorization.k8s.io/v1/roles/shop/web.yaml"),
            (
                mk_id(true, "shop", "system:a b"),
                "clusters/eu/rbac.authorization.k8s.io/v1/roles/shop/system%3Aa%20b.yaml",
            ),
            (mk_id(false, "", "web"), "clusters/eu/rbac.authorization.k8s.io/v1/roles/web.yaml"),
        ];
        for (id, path) in table {
            assert_eq!(manifest_path(&base, &id).unwrap().as_str(), path);
        }
    }

    #[test]
    fn the_core_group_is_called_core_and_the_root_adds_nothing() {
        let mut id = mk_id(true, "a", "b");
        Arc::make_mut(&mut id.kind).group.clear();
        assert_eq!(manifest_path(&BaseFolder::new(".").unwrap(), &id).unwrap().as_str(), "core/v1/roles/a/b.yaml");
    }

    #[test]
    fn foreign_files_are_nobodys() {
        let base = BaseFolder::new("x").unwrap();
        let kind = mk_id(true, "a", "b").kind;
        let folder = folder_of(&base, &kind, None);
        for path in [
            "a/b.yml",
            "a/b/c.yaml",
            "b.yaml",
            "/b.yaml",
            "a/.yaml",
            "a/b%2.yaml",
            "a/b%41.yaml",
            "a/b%zz.yaml",
            "a/b%3a.yaml",
            "a/ü.yaml",
        ] {
            assert_eq!(object_at(&base, &kind, &format!("{folder}{path}")), None, "{path}");
        }
        assert_eq!(object_at(&base, &kind, "y/a/b.yaml"), None);
    }

    proptest! {
        #[test]
        fn every_name_has_a_path_of_its_own(one in "[^/%\0]{1,60}", other in "[^/%\0]{1,60}") {
            let base = BaseFolder::new("b").unwrap();
            let paths = [&one, &other].map(|name| manifest_path(&base, &mk_id(true, "ns", name)).unwrap());
            prop_assert_eq!(paths[0] == paths[1], one == other);
            let id = mk_id(true, "ns", &one);
            if one.len() * 3 <= LONGEST_COMPONENT {
                prop_assert_eq!(object_at(&base, &id.kind, paths[0].as_str()), Some(id.name));
            }
        }

        #[test]
        fn long_names_fit_a_file_name(name in "[a-z:]{253}") {
            let path = manifest_path(&BaseFolder::new("b").unwrap(), &mk_id(true, "ns", &name)).unwrap();
            prop_assert!(path.as_str().rsplit('/').next().unwrap().len() <= 255);
        }
    }
}
