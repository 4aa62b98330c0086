//! Who made a change: admission records, and the join that proves one of them.
//!
//! The watch proves that a change happened; a record of an admission request only says who asked for
//! it. A record never causes anything: a denied, retried or forged request stays without effect,
//! because nothing joins it. Everything here is pure; time is a parameter.

pub mod index;
pub mod record;
pub mod resolve;
pub mod verdict;

pub use index::{Evictions, Index, Limits};
pub use record::{Asked, Propagation, Record, Request, User, pod_key};
pub use resolve::{ObservedEvent, Transition};
pub use verdict::{Author, Tier, Verdict};
