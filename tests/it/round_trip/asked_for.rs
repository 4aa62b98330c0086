//! Whether manifests still say what somebody asked for: a folder that lost it would come back as it is, too.

use super::Files;
use anyhow::{Context as _, Result};
use gitops_reverser::resource::{BaseFolder, ObjectName, ResourceId, layout};
use gitops_reverser::rules::Catalog;
use serde_json::Value;
use std::sync::Arc;

/// Members of fixtures that the API server takes, and shows elsewhere.
const WRITE_ONLY: [&str; 1] = ["stringData"];

/// Everything that the documents in `fixture` ask for and that `files` do not say, a line each.
pub(super) fn lost(fixture: &str, files: &Files, catalog: &Catalog) -> Result<Vec<String>> {
    let mut lost = Vec::new();
    for asked in serde_saphyr::from_multiple::<Value>(fixture)? {
        let path = path_of(&asked, catalog)?;
        match files.get(&path) {
            None => lost.push(format!("{path}: no such file")),
            Some(file) => collect(&path, &asked, &serde_saphyr::from_str(file)?, &mut lost),
        }
    }
    Ok(lost)
}

/// The path of the file of an object.
fn path_of(object: &Value, catalog: &Catalog) -> Result<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let api_version = text(&object["apiVersion"]).context("no apiVersion")?;
    let name = text(&object["metadata"]["name"]).context("no name")?;
    let is_it = |kind: &&Arc<_>| kind_is(kind, &api_version, object["kind"].as_str());
    let kind = catalog.resources().flatten().find(is_it).with_context(|| format!("{api_version} is not served"))?;
    let namespace = text(&object["metadata"]["namespace"]);
    let id = ResourceId { kind: Arc::clone(kind), name: ObjectName::new(namespace.as_deref(), &name) };
    Ok(layout::manifest_path(&BaseFolder::root(), &id)?.as_str().to_owned())
}

fn kind_is(kind: &gitops_reverser::resource::ResourceType, api_version: &str, name: Option<&str>) -> bool {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    kind.group == group && kind.version == version && Some(kind.kind.as_str()) == name
}

/// Adds what is in `asked` and not in `said`. Null and empty ask for nothing.
fn collect(place: &str, asked: &Value, said: &Value, lost: &mut Vec<String>) {
    match (asked, said) {
        (Value::Null, _) => {}
        (Value::Array(list), _) if list.is_empty() => {}
        (Value::Object(asked), Value::Object(said)) => {
            for (key, value) in asked {
                if !WRITE_ONLY.contains(&key.as_str()) {
                    collect(&format!("{place} {key}"), value, said.get(key).unwrap_or(&Value::Null), lost);
                }
            }
        }
        (Value::Array(asked), Value::Array(said)) if asked.len() == said.len() => {
            for (index, (asked, said)) in asked.iter().zip(said).enumerate() {
                collect(&format!("{place} {index}"), asked, said, lost);
            }
        }
        // The API server writes 1.0 as 1, and what is too large for an integer with the digits of a float.
        (Value::Number(asked), Value::Number(said)) if asked.as_f64() == said.as_f64() => {}
        _ if asked == said => {}
        _ => lost.push(format!("{place}: asked for {asked:?}, said is {said:?}")),
    }
}
