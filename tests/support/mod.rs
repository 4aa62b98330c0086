//! The real parts that the tests and the benchmark run against, all on loopback and all gone afterwards:
//! a Kubernetes control plane, Git remotes over smart HTTP and SSH, and processes that cannot outlive us.

// Compiled into the integration binary and into examples; each uses a part of it.
#![allow(dead_code)]

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod certificates;
pub(crate) mod control_plane;
pub(crate) mod denier;
pub(crate) mod engine;
pub(crate) mod evidence;
pub(crate) mod git_cgi;
pub(crate) mod git_processes;
pub(crate) mod git_recorder;
pub(crate) mod git_server;
pub(crate) mod github;
pub(crate) mod operator;
pub(crate) mod parrot;
pub(crate) mod poll;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod remote_repo;
pub(crate) mod scratch;
pub(crate) mod sshd;
pub(crate) mod status;
pub(crate) mod teams;
pub(crate) mod tls_front;
pub(crate) mod witness;
