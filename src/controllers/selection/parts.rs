//! Arithmetic of selections.

use crate::resource::NamespaceSet;
use crate::rules::{Selected, Selection};
use std::collections::BTreeMap;

type Type<'a> = (&'a str, &'a str);

fn of(part: &Selected) -> Type<'_> {
    (&part.group, &part.resource)
}

fn by_type(selection: &Selection) -> BTreeMap<Type<'_>, Vec<&Selected>> {
    let mut types: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for part in selection.iter() {
        types.entry(of(part)).or_default().push(part);
    }
    types
}

/// The parts of `old` that `new` does not select: other namespaces or other labels, in whatever version.
#[must_use]
pub fn lost(old: &Selection, new: &Selection) -> Vec<Selected> {
    let new = by_type(new);
    let rest = old.iter().map(|part| {
        let same = new.get(&of(part)).into_iter().flatten();
        let covers = same.filter(|one| one.selector.is_none() || one.selector == part.selector);
        let namespaces = covers.fold(part.namespaces.clone(), |rest, one| rest.minus(&one.namespaces));
        Selected { namespaces, ..part.clone() }
    });
    rest.filter(|part| !part.namespaces.is_empty()).collect()
}

/// What any of `selections` holds, with as few parts as possible.
pub(super) fn union<'a>(selections: impl IntoIterator<Item = &'a Selection>) -> Selection {
    let mut merged: BTreeMap<_, Selected> = BTreeMap::new();
    for part in selections.into_iter().flat_map(Selection::iter) {
        let labels = part.selector.as_ref().map(ToString::to_string);
        let key = (of(part), part.version.as_str(), labels, part.deletes);
        let known = merged.entry(key).or_insert_with(|| Selected { namespaces: NamespaceSet::NONE, ..part.clone() });
        known.namespaces = known.namespaces.union(&part.namespaces);
    }
    Selection::new(merged.into_values())
}
