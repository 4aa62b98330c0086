//! Reading YAML that a stranger may have written: the way kubectl reads it, and within bounds.

use super::json::MAX_DEPTH;
use serde::de::DeserializeOwned;
use serde_saphyr::Options;
use serde_saphyr::options::NonFiniteFloatPolicy;

/// The stack on which YAML is read, in bytes: the reader recurses, and a level can take 40 KiB of it.
const STACK: usize = 64 * 1024 * 1024;

/// The one document of `text`. `None` when there is none or more than one, when it is nested deeper than an
/// object may be, and when it holds more than fits into `size` bytes of a manifest, aliases followed.
pub(super) fn read<T: DeserializeOwned + Send>(text: &str, size: usize) -> Option<T> {
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(STACK);
        let reader = reader.spawn_scoped(scope, || serde_saphyr::from_str_with_options(text, options(size)).ok());
        reader.ok()?.join().ok()?
    })
}

fn options(size: usize) -> Options {
    // Whatever it is, it takes a byte and one that separates it; a collection is two events.
    let nodes = size.saturating_add(16);
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            // The document is a level too.
            max_depth: MAX_DEPTH + 1,
            flow_nesting_limit: MAX_DEPTH + 1,
            max_nodes: nodes,
            max_events: nodes,
            max_recorded_anchor_events: nodes,
            max_total_scalar_bytes: size,
            max_recorded_anchor_bytes: size,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: nodes },
        // As the YAML 1.1 of kubectl.
        legacy_octal_numbers: true,
        // Whoever reads numbers goes by their text.
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    }
}
