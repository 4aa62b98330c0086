//! Objects that were there before the operator: the first list, and the list after a restart.

use crate::fixture::{Fixture, object_name};
use crate::observe::peak_memory;
use crate::report::{Measurement, Target, Unit};
use crate::support::operator::{COMMITTER, Operator};
use crate::support::scratch::ScratchDir;
use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use std::collections::BTreeSet;

/// From the start of the process until the ref on the remote has every object.
pub(crate) async fn measure(fixture: &Fixture<'_>, runs: usize, limit: f64) -> Result<Vec<Measurement>> {
    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    for run in 0..runs {
        let (_work_dir, operator, arrival) = fixture.seed(&["--push-min-spacing=10s"]).await?;
        times.push((arrival.at - operator.started()).as_secs_f64());
        check(fixture)?;
        peaks.push(peak_memory(operator.pid())?);
        eprintln!("seed {}: run {run}: {:.3} s, {:.1} MiB", fixture.count, times[run], peaks[run]);
        operator.terminate().await?;
    }
    let what = format!("seed {}", fixture.count);
    let peak = (fixture.count >= 10_000).then(|| Target::median(64.0));
    Ok(vec![
        Measurement::new(what.clone(), Unit::Seconds, times, Some(Target::median(limit))),
        Measurement::new(format!("{what}: peak memory"), Unit::Mebibytes, peaks, peak),
    ])
}

/// Every object once, by the committer.
fn check(fixture: &Fixture<'_>) -> Result<()> {
    let indexes: BTreeSet<String> = fixture.lines("  index: ").into_iter().collect();
    ensure!(indexes.len() == fixture.count, "{} of {} objects are right", indexes.len(), fixture.count);
    let commits = fixture.commits("main");
    ensure!(commits.iter().all(|commit| commit.author == COMMITTER), "somebody else seeded: {commits:?}");
    Ok(())
}

/// A restart when nothing has changed, over the clone in `work_dir`.
pub(crate) async fn restart(fixture: &Fixture<'_>, work_dir: &ScratchDir, runs: usize) -> Result<Measurement> {
    let mut times = Vec::new();
    for run in 0..runs {
        let before = fixture.tip()?;
        let operator = Operator::start(fixture.cluster, work_dir, &[]).await?;
        times.push(fixture.listed(&operator).await?.as_secs_f64());
        eprintln!("restart {}: run {run}: {:.3} s", fixture.count, times[run]);
        let markers = fixture.settle::<ConfigMap>().await?;
        let commits = fixture.commits(&format!("{before}..main"));
        let marker = format!("[UPDATE] ConfigMap/{} ", object_name(0));
        let expected = commits.len() == markers && commits.iter().all(|commit| commit.subject.starts_with(&marker));
        ensure!(expected, "the restart made commits: {commits:?}");
        operator.terminate().await?;
    }
    Ok(Measurement::new(
        format!("restart {}: list compared, 0 commits", fixture.count),
        Unit::Seconds,
        times,
        Some(Target::median(3.0)),
    ))
}
