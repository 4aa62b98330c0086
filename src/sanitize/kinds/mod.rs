//! Rules of single kinds: what the cluster assigns to objects of one kind, beyond metadata and status.

mod account;
mod extension;
mod node;
mod service;
mod volume;
mod workload;

pub use extension::FIELD_MANAGER;

use super::json::Document;
use crate::resource::ResourceType;
pub(super) use account::is_generated_token;

/// Strips what the rule of the kind names, if there is one. It must run before any other pass.
pub(super) fn strip(document: &mut Document<'_>, kind: &ResourceType) {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Service") => service::service(document),
        ("", "PersistentVolumeClaim") => volume::claim(document),
        ("", "PersistentVolume") => volume::volume(document),
        ("", "ServiceAccount") => account::service_account(document),
        ("", "Secret") => account::token(document),
        ("", "Namespace") => namespace(document),
        ("", "Node") => node::node(document),
        ("", "Pod") => workload::pod(document),
        ("certificates.k8s.io", "CertificateSigningRequest") => account::signing_request(document),
        ("batch", "Job") => workload::job(document),
        ("rbac.authorization.k8s.io", "ClusterRole") => account::cluster_role(document),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") => {
            extension::webhooks(document)
        }
        ("apiregistration.k8s.io", "APIService") => extension::api_service(document),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => extension::definition(document),
        _ => {}
    }
}

/// The finalizer of every Namespace is the API server's own; its `spec` has nothing else.
fn namespace(document: &mut Document<'_>) {
    if let Some(spec) = document.find(&["spec"]) {
        document.prune_members(spec, |_, key, _| key == "finalizers");
    }
}
