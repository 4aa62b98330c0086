//! Label selectors of the API, checked and evaluated.

use super::compile::Namespaces;
use crate::resource::NamespaceSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};
use std::sync::Arc;

/// Reads `selector`; `None` for one that matches everything.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(selector: &LabelSelector) -> Result<Option<Arc<Selector>>, String> {
    for requirement in selector.match_expressions.iter().flatten() {
        let (key, operator) = (&requirement.key, requirement.operator.as_str());
        let values = requirement.values.as_deref().unwrap_or_default();
        match operator {
            "In" | "NotIn" if values.is_empty() => return Err(format!("{operator} on {key} needs at least one value")),
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                return Err(format!("{operator} on {key} takes no values"));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => return Err(format!("operator {operator:?} is none of In, NotIn, Exists and DoesNotExist")),
        }
    }
    let keys = selector.match_labels.iter().flatten().map(|(key, _)| key);
    let mut keys = keys.chain(selector.match_expressions.iter().flatten().map(|requirement| &requirement.key));
    if let Some(key) = keys.find(|key| !is_key(key)) {
        return Err(format!("{key:?} is no name of a label"));
    }
    let selector = Selector::try_from(selector.clone()).map_err(|error| error.to_string())?;
    Ok(Some(selector).filter(|selector| !selector.selects_all()).map(Arc::new))
}

/// The namespaces whose labels `selector` matches: all, those to come included, when it asks for nothing.
///
/// # Errors
/// What is wrong with `selector`.
pub(super) fn namespaces(selector: &LabelSelector, namespaces: &Namespaces) -> Result<NamespaceSet, String> {
    let Some(selector) = parse(selector)? else { return Ok(NamespaceSet::ALL) };
    let matching = namespaces.iter().filter(|(_, labels)| selector.matches(labels));
    Ok(NamespaceSet::Only(matching.map(|(name, _)| Arc::clone(name)).collect()))
}

/// Whether labels may have this key: a name of at most 63 characters, after a DNS name and a slash or alone.
fn is_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let ends = |text: &str| {
        text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric())
            && text.chars().last().is_some_and(|c| c.is_ascii_alphanumeric())
    };
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let dns = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    name.len() <= 63
        && ends(name)
        && name.chars().all(inner)
        && prefix.is_none_or(|prefix| prefix.len() <= 253 && ends(prefix) && prefix.chars().all(dns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_labels_are_told_from_other_text() {
        let long = "x".repeat(64);
        for key in ["a", "A.b_c-D", "0", "app.kubernetes.io/name", &long[1..]] {
            assert!(is_key(key), "{key}");
        }
        for key in ["", "/", "a/", "/a", "a/b/c", "-a", "a-", "A.example/b", "a b", "\u{e4}", "a\n", &long] {
            assert!(!is_key(key), "{key}");
        }
    }
}
