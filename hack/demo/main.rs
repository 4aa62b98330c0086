//! The demonstration: a real control plane, a real Git remote and the operator; three people change objects with
//! kubectl, and their names stand in `git log`. Run it with `scripts/demo`, which builds what it needs.
//!
//! `demo [--keep]`, with the operator's binary in the environment variable `GITOPS_REVERSER_BIN`.

mod stage;
mod story;

#[allow(clippy::expect_used, clippy::panic, reason = "shared with the tests, where a panic says what went wrong")]
#[path = "../../tests/support/mod.rs"]
mod support;

use anyhow::{Result, bail};
use stage::Stage;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use support::poll::eventually;
use tokio::signal::unix::{SignalKind, signal};

/// What a shell says of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;
/// How long the end may take: the last process has to be gone before its directory goes.
const GONE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let keep = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--keep") => true,
        Some(other) => {
            eprintln!("demo: unknown argument {other}: only --keep is known");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("demo: no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(interruptible(keep));
    // A control plane that is still starting ends with this process.
    runtime.shutdown_background();
    ended.unwrap_or_else(|error| {
        eprintln!("\nThe demo failed: {error:#}");
        ExitCode::FAILURE
    })
}

async fn interruptible(keep: bool) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let interrupted = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(interrupted);
    let stage = tokio::select! {
        stage = Stage::start() => stage?,
        () = &mut interrupted => return Ok(ExitCode::from(INTERRUPTED)),
    };
    let played = tokio::select! {
        played = play(&stage) => played,
        () = &mut interrupted => return leave(stage).await.map(|()| ExitCode::from(INTERRUPTED)),
    };
    if played.is_err() {
        eprintln!("\n{}", stage.operator_log_tail());
    } else if keep {
        print!("\n{}", stage.tour());
        interrupted.await;
    }
    leave(stage).await?;
    played.map(|()| ExitCode::SUCCESS)
}

async fn play(stage: &Stage) -> Result<()> {
    stage.configure().await?;
    story::perform(stage).await?;
    story::check(&stage.repo).await?;
    story::show(&stage.repo)
}

/// Ends everything and waits until nothing is left of it.
async fn leave(stage: Stage) -> Result<()> {
    step("Stopping everything");
    let directories = stage.directories();
    tokio::task::spawn_blocking(move || drop(stage)).await?;
    let gone = eventually(GONE, "all processes and directories to go", async || {
        let left: Vec<&PathBuf> = directories.iter().filter(|directory| directory.exists()).collect();
        if !left.is_empty() {
            bail!("{left:?}");
        }
        Ok(Some(()))
    });
    gone.await
}

/// Says what takes a while now.
fn step(what: &str) {
    println!("\n==> {what}");
}
