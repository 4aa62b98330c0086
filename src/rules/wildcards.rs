//! What a rule selects that does not name it, and the types that are left out then.

use super::presets::EXCLUDED_FROM_WILDCARDS;
use crate::resource::ResourceType;
use std::fmt;
use std::str::FromStr;

/// What wildcards, and rules without `resources`, select.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wildcards {
    /// Whether a rule without `resources` selects whatever is served, as with `*`, instead of the preset.
    pub watch_all: bool,
    /// What no wildcard selects, besides the types that none ever does.
    pub excluded: Vec<Exclusion>,
}

impl Wildcards {
    /// Whether wildcards pass over `served`. A rule may still name it.
    #[must_use]
    pub fn pass_over(&self, served: &ResourceType) -> bool {
        EXCLUDED_FROM_WILDCARDS.contains(&(served.group.as_str(), served.resource.as_str()))
            || self.excluded.iter().any(|exclusion| exclusion.holds(served))
    }
}

/// Types that no wildcard selects: `resource.group` or `group/resource`, where `core` is the group without a name; a bare
/// `resource` in whatever group; `*.group` or `group/*` for a whole group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// `None`: any.
    group: Option<String>,
    /// `None`: any.
    resource: Option<String>,
}

/// Why a text is no [`Exclusion`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidExclusion {
    /// It would leave out everything.
    #[error("{0:?} would leave out everything: name a resource or a group, as in jobs.batch or example.com/*")]
    Everything(String),
    /// It has another form.
    #[error(
        "{0:?} names no type: write resource.group, group/resource (core/pods for the core group) or a bare plural, in lower case"
    )]
    Form(String),
}

impl Exclusion {
    fn holds(&self, served: &ResourceType) -> bool {
        self.group.as_ref().is_none_or(|group| *group == served.group)
            && self.resource.as_ref().is_none_or(|resource| *resource == served.resource)
    }
}

impl FromStr for Exclusion {
    type Err = InvalidExclusion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || InvalidExclusion::Form(text.to_owned());
        let (resource, group) = match text.split_once('/') {
            Some((group, resource)) => (resource, Some(group)),
            None => text.split_once('.').map_or((text, None), |(resource, group)| (resource, Some(group))),
        };
        let group = match group {
            None | Some("*") => None,
            Some("core") => Some(String::new()),
            Some(group) if group.split('.').all(is_label) => Some(group.to_owned()),
            Some(_) => return Err(form()),
        };
        let resource = match resource {
            "*" => None,
            resource if is_label(resource) => Some(resource.to_owned()),
            _ => return Err(form()),
        };
        if group.is_none() && resource.is_none() {
            return Err(InvalidExclusion::Everything(text.to_owned()));
        }
        Ok(Self { group, resource })
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = self.group.as_deref().map_or("*", |group| if group.is_empty() { "core" } else { group });
        write!(f, "{group}/{}", self.resource.as_deref().unwrap_or("*"))
    }
}

/// Whether `text` is a DNS label: lower-case letters, digits and hyphens, none of these at an end.
fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= 63 && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::super::catalog::tests::mk_type;
    use super::*;

    #[test]
    fn an_exclusion_leaves_out_what_it_names() {
        let types = [
            ("", "pods"),
            ("", "events"),
            ("events.k8s.io", "events"),
            ("apps", "replicasets"),
            ("example.com", "pods"),
            ("example.com", "widgets"),
        ];
        let table: &[(&str, &str, &[(&str, &str)])] = &[
            ("replicasets.apps", "apps/replicasets", &[("apps", "replicasets")]),
            ("apps/replicasets", "apps/replicasets", &[("apps", "replicasets")]),
            ("replicasets", "*/replicasets", &[("apps", "replicasets")]),
            ("events", "*/events", &[("", "events"), ("events.k8s.io", "events")]),
            ("events.*", "*/events", &[("", "events"), ("events.k8s.io", "events")]),
            ("*/events", "*/events", &[("", "events"), ("events.k8s.io", "events")]),
            ("events.events.k8s.io", "events.k8s.io/events", &[("events.k8s.io", "events")]),
            ("core/events", "core/events", &[("", "events")]),
            ("events.core", "core/events", &[("", "events")]),
            ("*.example.com", "example.com/*", &[("example.com", "pods"), ("example.com", "widgets")]),
            ("example.com/*", "example.com/*", &[("example.com", "pods"), ("example.com", "widgets")]),
            ("core/*", "core/*", &[("", "pods"), ("", "events")]),
            ("unicorns.nowhere", "nowhere/unicorns", &[]),
        ];
        for (text, shown, expected) in table {
            let exclusion: Exclusion = text.parse().unwrap();
            assert_eq!(exclusion.to_string(), *shown);
            let held =
                types.iter().filter(|(group, resource)| exclusion.holds(&mk_type(group, "v1", resource, "K", true)));
            assert!(held.eq(expected.iter()), "{text}");
        }
    }

    #[test]
    fn what_names_no_type_is_refused() {
        let table = [
            ("", "names no type"),
            ("*", "would leave out everything"),
            ("*.*", "would leave out everything"),
            ("*/*", "would leave out everything"),
            ("Pods", "in lower case"),
            ("apps/v1/deployments", "group/resource"),
            ("deployments.", "names no type"),
            (".apps", "names no type"),
            ("/pods", "core/pods"),
            ("pods/", "names no type"),
            ("pods,events", "names no type"),
            ("pods events", "names no type"),
            ("po*", "names no type"),
            ("-pods", "names no type"),
            ("apps..x/pods", "names no type"),
            ("\u{fc}ber.example.com", "names no type"),
        ];
        for (text, expected) in table {
            let message = text.parse::<Exclusion>().unwrap_err().to_string();
            assert!(message.contains(expected) && message.starts_with(&format!("{text:?}")), "{message}");
        }
    }
}
