//! The one-shot commands.

pub mod crds;
pub mod reference;
pub mod snapshot;
pub mod webhook_configuration;
