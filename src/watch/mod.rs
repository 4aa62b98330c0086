//! From the cluster to changes: one watch a type, initial lists first.

pub mod discovery;
pub mod intake;
mod join;
pub mod object;
pub mod plane;
pub mod report;
pub mod stream;
