//! What an object comes to: a manifest, or a reason to have none.

use super::{Intake, RawObject};
use crate::resource::ObjectName;
use crate::rules::{JsonPointer, Target};
use crate::sanitize::{self, Document, Manifest, SanitizeError};
use std::collections::BTreeMap;

/// Who puts this on an object, as a label or as an annotation, freezes its file.
const IGNORE: &str = "configbutler.ai/ignore";

/// The labels of an object.
pub(super) type Labels = BTreeMap<String, String>;

/// An object that was read.
pub(super) struct Reading<'a> {
    pub(super) content: Read<'a>,
    /// Its labels, where any rule asks for them, else nothing. `None`: they cannot be read.
    pub(super) labels: Option<Labels>,
}

/// What an object came to.
pub(super) enum Read<'a> {
    /// A manifest; the document still knows all of the object.
    Manifest(Document<'a>, Manifest),
    /// Nothing that is worth a file.
    Noise(Document<'a>),
    /// Nothing that anybody wants: there was no need to look.
    Unwanted,
    /// Nothing, as long as it says so itself.
    Ignored,
    /// Something that no file can hold, and why.
    Unusable(SanitizeError),
}

impl Intake {
    /// Parses and sanitizes an object, if anybody may want it.
    pub(super) fn read<'a>(&self, object: &'a RawObject, name: &ObjectName) -> Reading<'a> {
        if !self.is_covered(name) {
            return Reading { content: Read::Unwanted, labels: None };
        }
        let mut document = match Document::parse(object.json()) {
            Ok(document) => document,
            Err(error) => {
                self.complain(name, &error);
                return Reading { content: Read::Unusable(error), labels: None };
            }
        };
        // Before the passes: they take out labels too.
        let labels = Some(if self.rules.reads_labels(&self.kind) { labels(&document) } else { Labels::new() });
        let content = if is_ignored(&document) {
            Read::Ignored
        } else if labels.as_ref().is_some_and(|labels| self.is_unwanted(name, labels)) {
            Read::Unwanted
        } else if self.filters_noise && sanitize::noise(&document, &self.kind).is_some() {
            Read::Noise(document)
        } else {
            match sanitize::manifest(&mut document, &self.kind) {
                Ok(manifest) => Read::Manifest(document, manifest),
                Err(error) => {
                    self.complain(name, &error);
                    Read::Unusable(error)
                }
            }
        };
        Reading { content, labels }
    }

    fn complain(&self, name: &ObjectName, error: &SanitizeError) {
        tracing::warn!(kind = %self.kind, %name, %error, "Object cannot be written; its file stays as it is");
    }

    /// The labels of `object`, where any rule asks for them.
    pub(super) fn labels_of(&self, object: &RawObject) -> Option<Labels> {
        self.labels_if(object, |_| true)
    }

    /// The labels of `object`, where any rule asks for them; `None` also for one that asks to be left alone, which keeps its
    /// file whatever its labels.
    pub(super) fn labels_of_unfrozen(&self, object: &RawObject) -> Option<Labels> {
        self.labels_if(object, |document| !is_ignored(document))
    }

    fn labels_if(&self, object: &RawObject, counts: impl Fn(&Document<'_>) -> bool) -> Option<Labels> {
        if !self.rules.reads_labels(&self.kind) {
            return Some(Labels::new());
        }
        let document = Document::parse(object.json()).ok()?;
        counts(&document).then(|| labels(&document))
    }

    /// What `target` has of an object of which it leaves out fields; `None` if it leaves out none. The passes have run over
    /// `document`.
    pub(super) fn cut(&self, document: &Document<'_>, target: &Target, name: &ObjectName) -> Option<Manifest> {
        let fields = self.rules.ignored(&target.name, &self.kind).filter(|fields| fields.are_in(name));
        let mut pointers = fields.flat_map(|fields| &fields.pointers).peekable();
        pointers.peek()?;
        sanitize::manifest_without(document, &self.kind, pointers.map(JsonPointer::keys)).ok()
    }
}

fn is_ignored(document: &Document<'_>) -> bool {
    let Some(metadata) = document.get(document.root(), "metadata") else { return false };
    let has = |of: &str| document.get(metadata, of).is_some_and(|map| document.get(map, IGNORE).is_some());
    has("labels") || has("annotations")
}

fn labels(document: &Document<'_>) -> Labels {
    let labels = document.find(&["metadata", "labels"]);
    let members = labels.into_iter().flat_map(|labels| document.members(labels));
    let text = |node| document.string(node).map(|text| text.into_owned());
    members.filter_map(|member| Some((text(member.key)?, text(member.value)?))).collect()
}

/// The version of an object or a list as a number: those of one type can be compared. `None` where a server counts in
/// another way.
pub(super) fn number(resource_version: &str) -> Option<u64> {
    resource_version.parse().ok()
}
