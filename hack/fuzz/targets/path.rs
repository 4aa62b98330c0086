//! Any names and paths: what becomes a path is a safe one, stays below its folder, and leads back to the name.

#![no_main]

use gitops_reverser_fuzz::resource::layout::{folder_of, manifest_path, object_at};
use gitops_reverser_fuzz::resource::{BaseFolder, ObjectName, RepoPath, ResourceId, ResourceType};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fn check_safe(path: &str) {
    for component in path.split('/') {
        assert!(!component.is_empty() && component != "." && component != "..", "{path:?}");
        assert!(!component.to_lowercase().starts_with(".git/") && component.to_lowercase() != ".git", "{path:?}");
        assert!(component.len() <= 255 && !component.contains(|c: char| c.is_control()), "{path:?}");
    }
}

fuzz_target!(|input: (&str, &str, &str, &str, bool)| {
    let (folder, namespace, name, path, namespaced) = input;
    if let Ok(path) = RepoPath::new(path) {
        check_safe(path.as_str());
        assert!(path.ancestors().all(|ancestor| path.as_str().starts_with(ancestor)));
    }
    let Ok(base) = BaseFolder::new(folder) else { return };
    assert!(base.prefix().is_empty() || base.prefix().ends_with('/'));
    let kind = Arc::new(ResourceType {
        group: "apps".to_owned(),
        version: "v1".to_owned(),
        resource: "deployments".to_owned(),
        kind: "Deployment".to_owned(),
        namespaced,
    });
    let below = folder_of(&base, &kind, None);

    // From the name to the path, and back where the name is not shortened.
    if !name.is_empty() && namespaced != namespace.is_empty() {
        let id = ResourceId { kind: Arc::clone(&kind), name: ObjectName::new(Some(namespace), name) };
        if let Ok(file) = manifest_path(&base, &id) {
            check_safe(file.as_str());
            assert!(file.as_str().starts_with(&below));
            match object_at(&base, &kind, file.as_str()) {
                Some(found) => assert_eq!(found, id.name),
                None => assert!(namespace.len().max(name.len()) * 3 > 240 || name.contains('%'), "{file:?}"),
            }
        }
    }

    // From any path to a name, and back.
    let file = format!("{below}{path}");
    if let Some(name) = object_at(&base, &kind, &file) {
        let id = ResourceId { kind, name };
        if let Ok(again) = manifest_path(&base, &id) {
            assert_eq!(again.as_str(), file);
        }
    }
});
