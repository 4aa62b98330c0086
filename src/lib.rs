//! GitOps Reverser: watches a Kubernetes cluster and commits every change to Git, authored by whoever made it.
//!
//! Layers; a module imports only from lower ones:
//!
//! ```text
//! L6  cli, app                parse, wire, supervise
//! L5  controllers, commands   custom resources -> desired runtime state, conditions out | one-shot commands
//! L4  watch  |  webhook       cluster -> changes | admission -> evidence
//! L3  git                     everything that touches git
//! L2  change                  the one value that crosses from watch to git
//! L1  sanitize | rules | attribution      pure
//! L0  api | resource | telemetry          types, identities and paths, instruments
//! ```
//!
//! Flow:
//!
//! ```text
//! watch ──► sanitize, hash, route, skip if unchanged ──► mailbox ──► batch ──► git fast-import ──► git push
//!                       ▲ who?
//! webhook ──► attribution index
//! ```

pub mod api;
pub mod resource;
pub mod telemetry;

pub mod attribution;
pub mod rules;
pub mod sanitize;

pub mod change;

pub mod git;

pub mod watch;
pub mod webhook;

pub mod commands;
pub mod controllers;

pub mod app;
pub mod cli;
