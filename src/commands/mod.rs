//! The one-shot commands.

pub mod crds;
