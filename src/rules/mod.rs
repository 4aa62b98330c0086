//! Which targets want which objects: custom resources and discovery in, an immutable [`RuleSet`] and a verdict for
//! each resource out. Pure: no clock, no I/O.

mod access;
pub mod catalog;
mod claims;
pub mod commit_policy;
pub mod compile;
pub mod credentials;
pub mod flux;
pub mod ignore_fields;
mod labels;
pub mod outcome;
mod plan;
pub mod policy;
pub mod presets;
mod provider;
pub mod prune;
mod routing;
mod rule;
pub mod selection;
pub mod selector;
pub mod set;
#[cfg(test)]
mod table_tests;
mod target;
pub mod template;
pub mod wildcards;

pub use catalog::Catalog;
pub use claims::WriteAccess;
pub use commit_policy::CommitPolicy;
pub use compile::{Compiled, Inputs, Namespaces, Rejection, VALIDATING, Verdict, Verdicts, compile};
pub use flux::{FluxRepositories, FluxRepository};
pub use ignore_fields::{IgnoredFields, JsonPointer};
pub use outcome::{Revision, RuleKey, RuleOutcome};
pub use policy::{PlanLimits, Policy, SecretsPolicy};
pub use provider::Repository;
pub use prune::{Prune, PruneMode};
pub use selection::{Selected, Selection};
pub use set::{Route, RuleSet, Target, WatchScope, Wish};
pub use target::TargetPolicy;
pub use template::MessageTemplates;
pub use wildcards::{Exclusion, Wildcards};
