//! The `gitops-reverser` binary: parses the command line and dispatches.

use clap::Parser as _;
use gitops_reverser::cli::{Cli, Command};
use gitops_reverser::{app, commands};
use std::process::ExitCode;

/// After a burst, memory goes back to the system: a tenth of what the default allocator keeps.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(arguments) => app::run(*arguments),
        Command::Snapshot(arguments) => app::snapshot(arguments),
        Command::Crds => commands::crds::print(&mut std::io::stdout().lock()).map_err(Into::into),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gitops-reverser: {error:#}");
            ExitCode::FAILURE
        }
    }
}
