//! Every test that needs a real part: an API server, a Git remote, the built binary.

// A test that cannot go on has failed, and a panic says where.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod attribution_matrix;
mod attribution_storm;
mod beside_gitops;
mod canary;
mod conditions;
mod credentials;
mod discovery;
mod documentation;
mod examples;
mod flux;
mod git_argv;
mod git_attributes;
mod git_clone;
mod git_engine;
mod git_faults;
mod git_foreign;
mod git_grouping;
mod git_journal;
mod git_process;
mod git_signing;
mod git_ssh;
mod halting;
mod harness;
mod hostile_input;
mod inventory;
mod kill9;
mod layers;
mod main_job;
mod plane;
mod pruning;
mod registration;
mod round_trip;
mod scale;
mod selection;
mod snapshot;
mod ssh_job;
mod statuses;
mod sweeps;
mod validation;
mod wildcards;

#[path = "../support/mod.rs"]
mod support;
