//! What the API server says that it serves, entry by entry: one that is not understood hides no other.

use crate::resource::ResourceType;
use kube::core::discovery::v2::{APIResourceDiscovery, APISubresourceDiscovery};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// What is written to a subresource and changes the object above it, besides objects of the type itself: replicas, the
/// eviction of a Pod, and the node that it is bound to.
const CHANGE_THEIR_PARENT: [&str; 3] = ["Scale", "Eviction", "Binding"];
/// What stands for the name of a group that does not tell it.
const NAMELESS: &str = "(a group without a name)";

/// What the API server says that it serves.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// The types that can be listed and watched, the versions of a resource in order of preference; with the
    /// subresources through which their objects can be changed.
    pub(super) types: Vec<(ResourceType, Vec<String>)>,
    /// The short names of some of them, as in `cm`.
    pub(super) short_names: Vec<(ResourceType, Vec<String>)>,
    /// What is served, but not for listing and watching: by (resource, group).
    pub(super) unwatchable: BTreeSet<(String, String)>,
    /// The groups of which something is missing, old or not understood.
    pub(super) unclear: BTreeSet<String>,
}

/// A list of groups, none of which is looked into yet.
#[derive(Deserialize)]
struct Groups<'a> {
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Group<'a> {
    #[serde(default)]
    metadata: Metadata,
    #[serde(borrow, default)]
    versions: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Version<'a> {
    version: String,
    freshness: Option<String>,
    #[serde(borrow, default)]
    resources: Vec<&'a RawValue>,
}

/// A document that names no groups at all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamesNothing;

impl Answer {
    /// Whether what it lacks is not served.
    pub(super) fn is_complete(&self) -> bool {
        self.unclear.is_empty()
    }

    /// Reads the document of the core group and that of all others.
    ///
    /// # Errors
    /// When either names no groups: the server is too old, not ready, or speaks another language.
    pub(super) fn read(core: &str, groups: &str) -> Result<Self, NamesNothing> {
        let mut answer = Self::default();
        for (document, is_core) in [(core, true), (groups, false)] {
            let groups: Groups<'_> = serde_json::from_str(document).map_err(|_| NamesNothing)?;
            if groups.items.is_empty() {
                return Err(NamesNothing);
            }
            groups.items.into_iter().for_each(|group| answer.add_group(group, is_core));
        }
        Ok(answer)
    }

    fn add_group(&mut self, group: &RawValue, is_core: bool) {
        let Ok(Group { metadata, versions }) = serde_json::from_str(group.get()) else {
            return self.doubt(NAMELESS);
        };
        // Only the core group has no name; any other without one would pass for it.
        if metadata.name.is_empty() != is_core {
            return self.doubt(NAMELESS);
        }
        if versions.is_empty() {
            self.doubt(&metadata.name);
        }
        for version in versions {
            match serde_json::from_str(version.get()) {
                Ok(version) => self.add_version(&metadata.name, &version),
                Err(_) => self.doubt(&metadata.name),
            }
        }
    }

    fn add_version(&mut self, group: &str, Version { version, freshness, resources }: &Version<'_>) {
        // "Stale": the server behind this group did not answer; what is listed may be old or missing.
        if version.is_empty() || freshness.as_deref() == Some("Stale") {
            self.doubt(group);
        }
        for resource in resources {
            let parsed = serde_json::from_str::<APIResourceDiscovery>(resource.get()).ok();
            let short_names = parsed.as_ref().map(|resource| resource.short_names.clone()).unwrap_or_default();
            match parsed.and_then(|resource| Resource::of(resource, group, version)) {
                Some(Resource::Watchable(kind, subresources)) => {
                    self.short_names.push((kind.clone(), short_names));
                    self.types.push((kind, subresources));
                }
                Some(Resource::Other(resource)) => {
                    self.unwatchable.insert((resource, group.to_owned()));
                }
                None => self.doubt(group),
            }
        }
    }

    fn doubt(&mut self, group: &str) {
        self.unclear.insert(group.to_owned());
    }
}

enum Resource {
    Watchable(ResourceType, Vec<String>),
    Other(String),
}

impl Resource {
    /// `None` when something is missing that every resource has.
    fn of(served: APIResourceDiscovery, group: &str, version: &str) -> Option<Self> {
        let resource = served.resource.filter(|resource| !resource.is_empty())?;
        if !["list", "watch"].iter().all(|verb| served.verbs.iter().any(|served| served == verb)) {
            return Some(Self::Other(resource));
        }
        let kind = ResourceType {
            group: group.to_owned(),
            version: Some(version).filter(|version| !version.is_empty())?.to_owned(),
            resource,
            kind: served.response_kind.and_then(|kind| kind.kind).filter(|kind| !kind.is_empty())?,
            namespaced: match served.scope.as_deref() {
                Some("Namespaced") => true,
                Some("Cluster") => false,
                _ => return None,
            },
        };
        let doors = served.subresources.iter().filter(|subresource| changes_parent(subresource, &kind.kind));
        let mut names: Vec<String> = doors.filter_map(|subresource| subresource.subresource.clone()).collect();
        names.sort();
        Some(Self::Watchable(kind, names))
    }
}

fn changes_parent(subresource: &APISubresourceDiscovery, parent: &str) -> bool {
    let writes = subresource.verbs.iter().any(|verb| ["create", "update", "patch"].contains(&verb.as_str()));
    let served = subresource.response_kind.as_ref().and_then(|kind| kind.kind.as_deref());
    writes && served.is_some_and(|served| served == parent || CHANGE_THEIR_PARENT.contains(&served))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn mk_resource(resource: &str, kind: &str, verbs: &[&str]) -> Value {
        json!({"resource": resource, "responseKind": {"kind": kind}, "scope": "Namespaced", "verbs": verbs})
    }

    fn mk_group(name: &str, freshness: &str, resources: Vec<Value>) -> Value {
        json!({"metadata": {"name": name}, "versions": [{"version": "v1", "freshness": freshness, "resources": resources}]})
    }

    fn read(groups: Vec<Value>) -> Answer {
        let pods =
            json!({"versions": [{"version": "v1", "resources": [mk_resource("pods", "Pod", &["list", "watch"])]}]});
        Answer::read(&json!({"items": [pods]}).to_string(), &json!({"items": groups}).to_string()).unwrap()
    }

    fn names(answer: &Answer) -> Vec<String> {
        answer.types.iter().map(|(kind, _)| kind.to_string()).collect()
    }

    #[test]
    fn only_what_can_be_listed_and_watched_is_taken() {
        let mut deployments = mk_resource("deployments", "Deployment", &["list", "watch"]);
        deployments["shortNames"] = json!(["deploy"]);
        deployments["subresources"] = json!([
            {"subresource": "status", "responseKind": {"kind": "Deployment"}, "verbs": ["get", "patch"]},
            {"subresource": "scale", "responseKind": {"kind": "Scale"}, "verbs": ["get", "update"]},
            {"subresource": "log", "responseKind": {"kind": "Deployment"}, "verbs": ["get"]},
            {"subresource": "token", "responseKind": {"kind": "TokenRequest"}, "verbs": ["create"]}]);
        let bindings = mk_resource("bindings", "Binding", &["create"]);
        // Known only by its subresources: it has no kind, which is as it should be.
        let checks = json!({"resource": "checks", "scope": "Cluster", "verbs": []});
        let answer = read(vec![mk_group("apps", "Current", vec![deployments, bindings, checks])]);
        assert_eq!(names(&answer), ["v1/pods", "apps/v1/deployments"]);
        assert!(answer.is_complete());
        assert_eq!(answer.types[1].1, ["scale", "status"], "what changes a Deployment");
        assert_eq!(answer.short_names[1].1, ["deploy"]);
        let unwatchable: Vec<_> = answer.unwatchable.iter().map(|(resource, _)| resource.as_str()).collect();
        assert_eq!(unwatchable, ["bindings", "checks"]);
    }

    #[test]
    fn an_entry_that_is_not_understood_hides_no_other() {
        let served = || mk_resource("a", "A", &["list", "watch"]);
        let with = |change: fn(&mut Value)| {
            let mut odd = mk_resource("b", "B", &["list", "watch"]);
            change(&mut odd);
            mk_group("g", "Current", vec![odd, served()])
        };
        let all = &["v1/pods", "g/v1/a", "h/v1/a"][..];
        let without = &["v1/pods", "h/v1/a"][..];
        let odd_version = json!({"metadata": {"name": "g"}, "versions": [{"version": 1}, {"version": "v1", "resources": [served()]}]});
        let table: [(&str, Value, &[&str], &str); 13] = [
            ("verbs of another shape", with(|odd| odd["verbs"] = json!("list")), all, "g"),
            ("no name", with(|odd| odd["resource"] = Value::Null), all, "g"),
            ("an empty name", with(|odd| odd["resource"] = json!("")), all, "g"),
            ("no kind", with(|odd| odd["responseKind"] = Value::Null), all, "g"),
            ("an empty kind", with(|odd| odd["responseKind"]["kind"] = json!("")), all, "g"),
            ("a new scope", with(|odd| odd["scope"] = json!("Galaxy")), all, "g"),
            ("no resource at all", with(|odd| *odd = json!([])), all, "g"),
            ("a version that is a number", odd_version, all, "g"),
            ("no versions", json!({"metadata": {"name": "g"}}), without, "g"),
            ("a stale version", mk_group("g", "Stale", vec![served()]), all, "g"),
            ("versions of another shape", json!({"metadata": {"name": "g"}, "versions": {}}), without, NAMELESS),
            ("a group without a name", mk_group("", "Current", vec![served()]), without, NAMELESS),
            ("no group at all", json!(7), without, NAMELESS),
        ];
        for (what, odd, expected, unclear) in table {
            let answer = read(vec![odd, mk_group("h", "Current", vec![served()])]);
            assert_eq!(names(&answer), expected, "{what}");
            assert_eq!(answer.unclear, BTreeSet::from([unclear.to_owned()]), "{what}");
        }
        assert!(read(vec![mk_group("g", "Current", vec![served()])]).is_complete());
    }

    #[test]
    fn a_document_without_groups_is_no_answer() {
        let good = json!({"items": [{"versions": []}]}).to_string();
        for document in ["", "[]", "{", r#"{"kind": "APIVersions", "versions": ["v1"]}"#, r#"{"items": []}"#] {
            assert_eq!(Answer::read(document, &good).err(), Some(NamesNothing), "{document}");
            assert_eq!(Answer::read(&good, document).err(), Some(NamesNothing), "{document}");
        }
    }
}
