//! `GitRepository` of Flux (`source.toolkit.fluxcd.io`) as a provider.

use crate::resource::NamespacedName;
use serde_json::Value;
use std::sync::Arc;

/// The API group of [`FluxRepository`].
pub const FLUX_GROUP: &str = "source.toolkit.fluxcd.io";

/// What is known of the Flux repositories of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FluxRepositories {
    /// The cluster does not know the kind.
    CrdAbsent,
    /// They cannot be read: why, and what to do.
    Unreadable(String),
    /// All of them.
    Listed(Vec<Arc<FluxRepository>>),
}

/// A `GitRepository`, of which only what matters here was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FluxRepository {
    /// Its namespace and name.
    pub name: NamespacedName,
    /// Its uid.
    pub uid: Arc<str>,
    /// What it says; or the field that does not say it, and what is wrong with that.
    pub spec: Result<FluxSpec, String>,
}

/// What a `GitRepository` says, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FluxSpec {
    /// `spec.url`.
    pub url: String,
    /// `spec.secretRef.name`.
    pub secret: Option<String>,
    /// `spec.provider`; empty where it is absent.
    pub provider: String,
    /// Whether there is a `spec.proxySecretRef`.
    pub has_proxy: bool,
    /// `spec.suspend`.
    pub suspend: bool,
}

impl FluxRepository {
    /// Reads the `spec` of the object `name`. Whatever it holds besides is passed over: the definition is not ours.
    #[must_use]
    pub fn read(name: NamespacedName, uid: &str, spec: &Value) -> Self {
        Self { name, uid: Arc::from(uid), spec: read(spec) }
    }
}

fn read(spec: &Value) -> Result<FluxSpec, String> {
    let text = |at: &str| match spec.pointer(at) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("spec{} is no text", at.replace('/', "."))),
    };
    let suspend = match spec.get("suspend") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(suspend)) => *suspend,
        Some(_) => return Err("spec.suspend is neither true nor false".to_owned()),
    };
    Ok(FluxSpec {
        url: text("/url")?.filter(|url| !url.is_empty()).ok_or("spec.url is missing")?,
        secret: text("/secretRef/name")?,
        provider: text("/provider")?.unwrap_or_default(),
        has_proxy: spec.get("proxySecretRef").is_some_and(|reference| !reference.is_null()),
        suspend,
    })
}
