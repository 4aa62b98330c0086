//! From the cluster to changes: one watch a type, initial lists first.

pub mod discovery;
mod failure;
mod follow;
pub mod intake;
mod join;
mod list;
mod list_steps;
pub mod object;
mod outbox;
mod permission;
pub mod plane;
pub mod report;
mod retry;
mod scopes;
mod type_watch;
