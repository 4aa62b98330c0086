//! The system `git`: the only place in the program that starts a process.

pub mod command;
pub mod limits;
pub mod process;
pub mod version;

pub use command::{Git, GitCommand, Patience};
pub use limits::ProcessLimits;
pub use process::{GitError, Output};
pub use version::Version;
