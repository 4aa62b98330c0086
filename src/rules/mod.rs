//! Which targets want which objects: custom resources and discovery in, an immutable [`RuleSet`] and a verdict for
//! each resource out. Pure: no clock, no I/O.

pub mod catalog;
pub mod commit_policy;
pub mod compile;
pub mod presets;
mod provider;
mod routing;
pub mod selection;
pub mod selector;
pub mod set;
mod target;
pub mod template;

pub use catalog::Catalog;
pub use commit_policy::CommitPolicy;
pub use compile::{Compiled, Inputs, Rejection, Verdict, Verdicts, compile};
pub use provider::{Policy, Repository};
pub use selection::{Selected, Selection};
pub use set::{Route, RuleSet, Target, WatchScope, Wish};
pub use target::TargetPolicy;
pub use template::MessageTemplates;
