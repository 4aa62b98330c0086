//! What git alone takes on this machine for the same files: other numbers are to be compared with these.

use crate::fixture::Fixture;
use crate::report::{Measurement, Unit};
use crate::support::remote_repo::{RemoteRepo, git_command};
use crate::support::scratch::ScratchDir;
use anyhow::{Context as _, Result, ensure};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Commits of one file for each run.
const SINGLES: usize = 4;

/// `git fast-import` of what the branch has now as one commit, and `git push` of it to an empty repository; then commits
/// of one file each, pushed one by one.
pub(crate) fn measure(fixture: &Fixture<'_>, runs: usize) -> Result<(Measurement, Measurement)> {
    let tree = fixture.tip()?;
    let orphan = fixture.mirror.repo.git(&["commit-tree", "-m", "calibration", &format!("{tree}^{{tree}}")]);
    fixture.mirror.repo.git(&["update-ref", "refs/heads/calibration", &orphan]);
    let rename = "--refspec=refs/heads/calibration:refs/heads/main";
    let stream = fixture.mirror.repo.git(&["fast-export", rename, "refs/heads/calibration"]);
    fixture.mirror.repo.git(&["update-ref", "-d", "refs/heads/calibration"]);

    let (mut seeds, mut singles) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let remote = fixture.mirror.server.create_repo(&format!("calibration-{:016x}", fastrand::u64(..)));
        let local = ScratchDir::new()?;
        run_git(git_command().args(["init", "--quiet", "--bare"]).arg(local.path()), b"")?;
        let started = Instant::now();
        import_and_push(local.path(), &remote, stream.as_bytes())?;
        seeds.push(started.elapsed().as_secs_f64());
        for single in 0..SINGLES {
            let text = format!("value {single}\n");
            let commit = format!(
                "commit refs/heads/main\ncommitter c <c@example.invalid> 1700000000 +0000\ndata 1\nx\nfrom refs/heads/main^0\nM 100644 inline one\ndata {}\n{text}\n",
                text.len(),
            );
            let started = Instant::now();
            import_and_push(local.path(), &remote, commit.as_bytes())?;
            singles.push(started.elapsed().as_secs_f64());
        }
    }
    let what = |of: &str| format!("calibration: git alone, {of}");
    let seed = Measurement::new(what(&format!("{} files", fixture.count)), Unit::Seconds, seeds, None);
    let single = Measurement::new(what(&format!("1 of {}", fixture.count)), Unit::Seconds, singles, None);
    Ok((seed, single))
}

fn import_and_push(local: &Path, remote: &RemoteRepo, stream: &[u8]) -> Result<()> {
    let git = || {
        let mut git = git_command();
        git.arg("--git-dir").arg(local);
        git
    };
    run_git(git().args(["-c", "fastimport.unpackLimit=1", "fast-import", "--quiet"]), stream)?;
    run_git(git().args(["push", "--quiet", remote.authenticated_url(), "refs/heads/main"]), b"")
}

/// Runs git to its end with this input.
pub(crate) fn run_git(git: &mut Command, input: &[u8]) -> Result<()> {
    let mut child = git.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    child.stdin.take().context("git has no input")?.write_all(input)?;
    let status = child.wait()?;
    ensure!(status.success(), "{git:?} failed: {status}");
    Ok(())
}
