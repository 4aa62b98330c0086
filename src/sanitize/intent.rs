//! What tells a value that somebody asked for from one that the cluster assigned.
//!
//! Two signals: the configuration that `kubectl apply` keeps as an annotation, and `managedFields`. The API server
//! notes who set which field before its allocators run, so an address, a port or an IP family that has a manager was
//! in somebody's request. Values that controllers write later have a manager too; of those only the Apply operation,
//! which no controller of Kubernetes uses for them, shows intent.

use super::json::{Document, Kind, NodeId};
use std::borrow::Cow;

/// The annotation with what `kubectl apply` was given.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Whose entries of `managedFields` count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Manager {
    /// Everybody's.
    Any,
    /// Those of whoever applied on the server's side.
    Apply,
}

/// The signals of one object, read before any pass.
pub(super) struct Intent<'d, 'a> {
    live: &'d Document<'a>,
    applied: Option<Document<'d>>,
}

/// The text of the last applied configuration, for [`Intent::read`].
pub(super) fn last_applied<'a>(document: &Document<'a>) -> Option<Cow<'a, str>> {
    document.find(&["metadata", "annotations", LAST_APPLIED]).and_then(|node| document.string(node))
}

impl<'d, 'a> Intent<'d, 'a> {
    /// The signals of `live`, whose last applied configuration is `applied`.
    pub(super) fn read(live: &'d Document<'a>, applied: Option<&'d str>) -> Self {
        Self { live, applied: applied.and_then(|text| Document::parse(text).ok()) }
    }

    /// Whether somebody asked for the member `field` of `spec`.
    pub(super) fn asks_for(&self, field: &str, manager: Manager) -> bool {
        let applied = self.applied.as_ref();
        applied
            .and_then(|applied| applied.find(&["spec", field]).filter(|&node| says_something(applied, node)))
            .is_some()
            || self.managed(manager).any(|spec| self.live.get(spec, &format!("f:{field}")).is_some())
    }

    /// Whether somebody asked for the node port of `port`, an element of a Service's `ports`.
    pub(super) fn asks_for_node_port(&self, port: NodeId) -> bool {
        let Some(wanted) = PortKey::of(self.live, port) else { return false };
        self.applied.as_ref().is_some_and(|applied| {
            let ports = applied.find(&["spec", "ports"]);
            ports.into_iter().flat_map(|ports| applied.elements(ports)).any(|element| {
                let asked = applied.get(element, "nodePort").is_some_and(|node| says_something(applied, node));
                asked && PortKey::of(applied, element).is_some_and(|key| key == wanted)
            })
        }) || self.managed(Manager::Any).filter_map(|spec| self.live.get(spec, "f:ports")).any(|ports| {
            self.live.members(ports).any(|member| {
                let key = self.live.string(member.key).unwrap_or_default();
                self.live.get(member.value, "f:nodePort").is_some() && wanted.is_named_by(&key)
            })
        })
    }

    /// The `f:spec` of every entry of `managedFields` that counts.
    fn managed(&self, manager: Manager) -> impl Iterator<Item = NodeId> {
        let entries = self.live.find(&["metadata", "managedFields"]);
        let entries = entries.into_iter().flat_map(|entries| self.live.elements(entries));
        entries.filter_map(move |entry| {
            let operation = self.live.get(entry, "operation").and_then(|node| self.live.string(node));
            let counts = manager == Manager::Any || operation.as_deref() == Some("Apply");
            let fields = self.live.get(entry, "fieldsV1").filter(|_| counts)?;
            self.live.get(fields, "f:spec")
        })
    }
}

/// Whether a value is more than a place for one: zero, an empty string and null ask for nothing.
fn says_something(document: &Document<'_>, node: NodeId) -> bool {
    match document.kind(node) {
        Kind::Null => false,
        Kind::String => !document.raw(node).is_empty(),
        Kind::Number => document.raw(node) != "0",
        _ => true,
    }
}

/// By what the ports of a Service are told apart.
#[derive(PartialEq, Eq)]
struct PortKey<'a> {
    port: &'a str,
    protocol: Cow<'a, str>,
}

impl<'a> PortKey<'a> {
    fn of(document: &Document<'a>, port: NodeId) -> Option<Self> {
        let number = document.get(port, "port")?;
        let protocol = document.get(port, "protocol").and_then(|node| document.string(node));
        Some(Self { port: document.raw(number), protocol: protocol.unwrap_or(Cow::Borrowed("TCP")) })
    }

    /// Whether `key`, of the form `k:{"port":80,"protocol":"TCP"}`, names this port.
    fn is_named_by(&self, key: &str) -> bool {
        let Some(Ok(key)) = key.strip_prefix("k:").map(Document::parse) else { return false };
        PortKey::of(&key, key.root()).is_some_and(|key| key == *self)
    }
}
