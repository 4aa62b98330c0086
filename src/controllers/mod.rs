//! From custom resources to the desired state of everything else, and back to their conditions.
//!
//! One level-triggered reconciler looks at all inputs at once: whatever changes, the whole is judged anew.
//!
//! ```text
//! inputs (watches) ─┐
//! catalog ──────────┼─► reconcile: rules::compile ─┬─► branches: git::pool
//! branch status ────┘                              ├─► RuleSet: watch plane, registration
//!                                                  └─► outcome ─► status (patches)
//! ```

pub mod branches;
pub mod events;
pub mod inputs;
pub mod outcome;
pub mod reconcile;
pub mod registration;
pub mod revision;
pub mod secret;
pub mod selection;
pub mod status;

pub use reconcile::{Context, Error, run};
