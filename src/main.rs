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
        Command::WebhookConfiguration(arguments) => app::webhook_configuration(arguments),
        Command::Crds => commands::crds::print(&mut std::io::stdout().lock()).map_err(Into::into),
        Command::Reference => commands::reference::print(&mut std::io::stdout().lock()).map_err(Into::into),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gitops-reverser: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, but for those that the text before them has told already.
fn sentence(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| match cause.to_string() {
        cause if told.contains(&cause) => told,
        cause if told.is_empty() => cause,
        cause => format!("{told}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_is_told_twice() {
        let error = anyhow::anyhow!("refused").context("connect failed: refused").context("no API server");
        assert_eq!(super::sentence(&error), "no API server: connect failed: refused");
    }
}
