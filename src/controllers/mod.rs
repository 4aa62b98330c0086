//! From custom resources to the desired state of everything else, and back to their conditions.
//!
//! One level-triggered reconciler looks at all inputs at once: whatever changes, the whole is judged anew.
//!
//! ```text
//! inputs (watches) ─┐                              ┌─► branches: git::pool
//! catalog ──────────┼─► reconcile: rules::compile ─┼─► RuleSet: watch plane, registration
//! branch status ────┤         selection ◄──────────┼─► outcome ─► status (patches), announcements ─► events
//! watch report ─────┘                              └─► requests: discovery, watch plane
//! ```

pub mod announcements;
pub mod branches;
pub mod events;
pub mod flux;
pub mod inputs;
pub mod listed;
pub mod namespaces;
pub mod numbers;
pub mod outcome;
pub mod proofs;
pub mod publication;
pub mod reconcile;
pub mod registration;
pub mod requests;
pub mod revision;
pub mod secret;
pub mod selection;
pub mod status;

pub use reconcile::{Context, Error, run};
