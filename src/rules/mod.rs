//! Which targets want which objects: custom resources and discovery in, an immutable [`RuleSet`] and a verdict for
//! each resource out. Pure: no clock, no I/O.

pub mod catalog;
pub mod compile;
pub mod presets;
mod provider;
mod routing;
pub mod selector;
pub mod set;
mod target;

pub use catalog::Catalog;
pub use compile::{Compiled, Inputs, Rejection, Verdict, Verdicts, compile};
pub use provider::{Policy, Repository};
pub use set::{Route, RuleSet, Target, WatchScope};
pub use target::TargetPolicy;
