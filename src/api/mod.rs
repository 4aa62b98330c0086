//! The custom resources of group `configbutler.ai`, version `v1alpha1`.
//!
//! Field docs become the descriptions of the schema. Values that the API server checks arrive here as plain
//! strings, so that an object stored under an older schema still parses; [`crate::rules`] checks them anew.

pub mod access;
pub mod cluster_watch_rule;
pub mod duration;
pub mod git_provider;
pub mod git_target;
mod labels;
pub mod refs;
pub mod status;
pub mod watch_rule;

pub use cluster_watch_rule::{ClusterWatchRule, ClusterWatchRuleSpec};
pub use git_provider::{GitProvider, GitProviderSpec};
pub use git_target::{GitTarget, GitTargetSpec};
pub use status::{ProviderStatus, RuleStatus, TargetStatus};
pub use watch_rule::{WatchRule, WatchRuleSpec};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt as _;
use std::collections::BTreeMap;

/// The group of every kind here.
pub const GROUP: &str = "configbutler.ai";

/// The definitions of all four kinds, in the order in which their descriptions refer to each other.
#[must_use]
pub fn definitions() -> [CustomResourceDefinition; 4] {
    let mut definitions = [GitProvider::crd(), GitTarget::crd(), WatchRule::crd(), ClusterWatchRule::crd()];
    for version in definitions.iter_mut().flat_map(|definition| &mut definition.spec.versions) {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            take_null_as_absence(schema);
        }
    }
    definitions
}

/// The API server drops `null` where a field is not called nullable; where it is, enums and CEL rules trip over it.
fn take_null_as_absence(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.properties.iter_mut().flat_map(BTreeMap::values_mut).for_each(take_null_as_absence);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        take_null_as_absence(items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_field_is_described() {
        for crd in definitions() {
            let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
            let root = &schema["openAPIV3Schema"];
            assert!(undescribed(root, "").is_empty(), "{:?}: {:?}", crd.metadata.name, undescribed(root, ""));
        }
    }

    fn undescribed(schema: &Value, at: &str) -> Vec<String> {
        let properties = schema["properties"].as_object().into_iter().flatten();
        let nested = properties.flat_map(|(name, property)| {
            let at = format!("{at}.{name}");
            let missing = property["description"].as_str().is_none_or(str::is_empty);
            let mut found: Vec<_> = missing.then(|| at.clone()).into_iter().collect();
            found.extend(undescribed(property, &at));
            found.extend(undescribed(&property["items"], &at));
            found
        });
        nested.collect()
    }

    #[test]
    fn every_kind_has_a_status_names_and_columns() {
        for crd in definitions() {
            let version = &crd.spec.versions[0];
            assert!(version.subresources.as_ref().unwrap().status.is_some());
            assert_eq!(crd.spec.names.categories.as_deref(), Some(&["reverser".to_owned()][..]));
            assert_eq!(crd.spec.names.short_names.as_ref().map(Vec::len), Some(1));
            let columns: Vec<_> =
                version.additional_printer_columns.iter().flatten().map(|c| c.name.as_str()).collect();
            assert_eq!(columns[..2], ["READY", "REASON"]);
            assert_eq!(columns.last(), Some(&"AGE"));
        }
    }
}
