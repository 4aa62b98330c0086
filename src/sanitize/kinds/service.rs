//! Services: addresses, node ports and IP families, unless somebody asked for them.

use crate::sanitize::intent::{Intent, Manager, last_applied};
use crate::sanitize::json::{Document, NodeId};

/// Strips what the allocators of the API server have filled in.
pub(super) fn service(document: &mut Document<'_>) {
    let Some(spec) = document.find(&["spec"]) else { return };
    let applied = last_applied(document);
    let doomed = assigned(document, spec, &Intent::read(document, applied.as_deref()));
    doomed.into_iter().for_each(|node| document.remove(node));
}

fn assigned(document: &Document<'_>, spec: NodeId, intent: &Intent<'_, '_>) -> Vec<NodeId> {
    let unasked = |field: &str| document.get(spec, field).filter(|_| !intent.asks_for(field, Manager::Any));
    let is = |node: NodeId, text: &str| document.string(node).is_some_and(|value| value == text);
    let mut doomed = Vec::new();

    // `None` makes a Service headless: nobody assigns that.
    doomed.extend(unasked("clusterIP").filter(|&node| !is(node, "None")));
    doomed.extend(unasked("clusterIPs").filter(|&node| !document.elements(node).any(|address| is(address, "None"))));
    doomed.extend(unasked("healthCheckNodePort"));

    // Two families, or a policy that asks for two, are never the default.
    let single_stack = document.get(spec, "ipFamilyPolicy").is_some_and(|node| is(node, "SingleStack"));
    let families = document.get(spec, "ipFamilies");
    if single_stack && families.is_none_or(|node| document.elements(node).count() == 1) {
        doomed.extend(unasked("ipFamilies"));
        doomed.extend(unasked("ipFamilyPolicy"));
    }

    let ports = document.get(spec, "ports");
    for port in ports.into_iter().flat_map(|ports| document.elements(ports)) {
        doomed.extend(document.get(port, "nodePort").filter(|_| !intent.asks_for_node_port(port)));
    }
    doomed
}
