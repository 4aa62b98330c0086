//! What the program tells about itself.

pub mod admin;
pub mod logging;
pub mod metrics;
