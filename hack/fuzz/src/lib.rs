//! The pure layers of the operator, compiled from the product's own files.
//!
//! They are taken file by file instead of as a dependency, because everything else of the product (clients, TLS,
//! HTTP) would take minutes to instrument and is not called.

#![forbid(unsafe_code)]

#[path = "../../../src/attribution/mod.rs"]
pub mod attribution;
#[path = "../../../src/change.rs"]
pub mod change;
#[path = "../../../src/resource/mod.rs"]
pub mod resource;
#[path = "../../../src/sanitize/mod.rs"]
pub mod sanitize;

/// What the webhook does before it answers.
#[allow(dead_code, reason = "the server that uses the rest is not here")]
#[path = "../../../src/webhook"]
pub mod webhook {
    pub mod admission;
    mod subresource;
}

/// Templates of messages.
#[path = "../../../src/rules"]
pub mod rules {
    pub mod template;
}

/// From a change to the stream that git reads.
#[path = "../../../src/git"]
pub mod git {
    pub mod author;
    pub mod commit;
    pub mod draft;
    pub mod fast_import;
    pub mod message;

    /// What these modules name of the running of git, which does not happen here.
    pub mod cli {
        /// An answer that is not understood.
        #[derive(Debug)]
        pub struct GitError;

        impl GitError {
            /// An answer of `command`.
            #[must_use]
            pub const fn unreadable(_command: &str, _answer: &[u8]) -> Self {
                Self
            }
        }
    }

    /// What these modules name of the state that controllers want.
    pub mod spec {
        /// A name and an e-mail address.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Identity {
            /// Name.
            pub name: String,
            /// E-mail address.
            pub email: String,
        }
    }
}

use resource::ResourceType;

/// Kinds with a rule of their own, and one without.
const KINDS: [(&str, &str); 16] = [
    ("example.com", "Thing"),
    ("", "Service"),
    ("", "PersistentVolumeClaim"),
    ("", "PersistentVolume"),
    ("", "ServiceAccount"),
    ("", "Secret"),
    ("", "Namespace"),
    ("", "Pod"),
    ("", "ConfigMap"),
    ("batch", "Job"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("apiregistration.k8s.io", "APIService"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("scheduling.k8s.io", "PriorityClass"),
];

/// The kind that a byte of the input chooses.
#[must_use]
pub fn kind(choice: u8) -> ResourceType {
    let (group, kind) = KINDS[usize::from(choice) % KINDS.len()];
    ResourceType {
        group: group.to_owned(),
        version: "v1".to_owned(),
        resource: format!("{}s", kind.to_lowercase()),
        kind: kind.to_owned(),
        namespaced: true,
    }
}
