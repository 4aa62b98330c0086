//! Everything that touches git: one worker a branch drives the system `git`.
//!
//! ```text
//! pool ── mailbox ─► worker ─► stage (what differs?) ─► batch ─► fast_import ─► clone: refs/heads/<branch>
//!                      │                                                          │ the journal
//!                      └─◄─ remote (push, fetch) ◄── schedule (when?) ◄───────────┘
//! ```

pub mod attributes;
pub mod author;
pub mod batch;
pub mod classify;
pub mod cli;
pub mod clone;
pub mod commit;
pub mod credentials;
pub mod draft;
pub mod fast_import;
pub mod foreign;
pub mod journal;
pub mod mailbox;
pub mod message;
pub mod missed;
pub mod places;
pub mod pool;
pub mod push;
pub mod remote;
#[cfg(test)]
mod samples;
pub mod schedule;
pub mod signing;
pub mod spec;
pub mod stage;
pub mod status;
pub mod sweeps;
pub mod tree;
pub mod window;
pub mod worker;
