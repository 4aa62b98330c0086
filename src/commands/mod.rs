//! The one-shot commands.

pub mod crds;
pub mod snapshot;
