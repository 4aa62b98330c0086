//! What extends the API server: certificate authorities that something injects, and CustomResourceDefinitions.

use crate::sanitize::json::{Document, NodeId};

/// The field manager under which the operator applies; its own webhook's certificate authority is stripped.
pub const FIELD_MANAGER: &str = "gitops-reverser";

/// Annotations that ask for a certificate authority to be injected.
const INJECTORS: [&str; 7] = [
    "cert-manager.io/inject-apiserver-ca",
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "certmanager.k8s.io/inject-apiserver-ca",
    "certmanager.k8s.io/inject-ca-from",
    "service.alpha.openshift.io/inject-cabundle",
    "service.beta.openshift.io/inject-cabundle",
];

/// Strips injected certificate authorities from the webhooks of a configuration, and the operator's own; and the whole
/// webhook that the operator has registered by itself: it does so at each start, with a path that is a secret.
pub(super) fn webhooks(document: &mut Document<'_>) {
    let Some(webhooks) = document.find(&["webhooks"]) else { return };
    let registered = own_webhooks(document, &["f:rules"]);
    let is_one_of = |names: &[String], document: &Document<'_>, webhook: NodeId| {
        name(document, webhook).is_some_and(|name| names.contains(&name))
    };
    document.remove_elements(webhooks, |document, webhook| is_one_of(&registered, document, webhook));
    let injected = is_injected(document);
    let own = if injected { Vec::new() } else { own_webhooks(document, &["f:clientConfig", "f:caBundle"]) };
    let unwanted = |webhook: &NodeId| injected || is_one_of(&own, document, *webhook);
    let clients = document.elements(webhooks).filter(unwanted);
    let bundles = clients.filter_map(|webhook| document.get(document.get(webhook, "clientConfig")?, "caBundle"));
    let doomed: Vec<NodeId> = bundles.collect();
    doomed.into_iter().for_each(|bundle| document.remove(bundle));
}

/// Strips the certificate authority that was injected into an APIService.
pub(super) fn api_service(document: &mut Document<'_>) {
    remove_if_injected(document, &["spec", "caBundle"]);
}

/// Strips from a CustomResourceDefinition the certificate authority that was injected for its conversion, and what the
/// API server adds to say that unknown fields are dropped, which is the only choice there is.
pub(super) fn definition(document: &mut Document<'_>) {
    remove_if_injected(document, &["spec", "conversion", "webhook", "clientConfig", "caBundle"]);
    if let Some(preserve) = document.find(&["spec", "preserveUnknownFields"])
        && document.raw(preserve) == "false"
    {
        document.remove(preserve);
    }
}

fn remove_if_injected(document: &mut Document<'_>, path: &[&str]) {
    if let Some(bundle) = document.find(path).filter(|_| is_injected(document)) {
        document.remove(bundle);
    }
}

fn is_injected(document: &Document<'_>) -> bool {
    let Some(annotations) = document.find(&["metadata", "annotations"]) else { return false };
    document
        .members(annotations)
        .any(|member| document.string(member.key).is_some_and(|key| INJECTORS.contains(&key.as_ref())))
}

/// The names of the webhooks of which the operator has applied the field at `path`.
fn own_webhooks(document: &Document<'_>, path: &[&str]) -> Vec<String> {
    let entries = document.find(&["metadata", "managedFields"]);
    let entries = entries.into_iter().flat_map(|entries| document.elements(entries));
    let ours = entries.filter(|&entry| {
        let manager = document.get(entry, "manager").and_then(|node| document.string(node));
        manager.is_some_and(|manager| manager == FIELD_MANAGER)
    });
    let fields = ours.filter_map(|entry| document.get(document.get(entry, "fieldsV1")?, "f:webhooks"));
    let webhooks = fields.flat_map(|webhooks| document.members(webhooks));
    let applied = webhooks
        .filter(|member| path.iter().try_fold(member.value, |fields, field| document.get(fields, field)).is_some());
    applied
        .filter_map(|member| {
            let key = document.string(member.key)?;
            let key = Document::parse(key.strip_prefix("k:")?).ok()?;
            name(&key, key.root())
        })
        .collect()
}

fn name(document: &Document<'_>, node: NodeId) -> Option<String> {
    document.get(node, "name").and_then(|name| document.string(name)).map(|name| name.into_owned())
}
