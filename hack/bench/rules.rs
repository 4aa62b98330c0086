//! Many rules, of which one is edited.

use crate::changes::IDLE;
use crate::observe::{self, RefWatch};
use crate::report::{Measurement, Target, Unit};
use crate::support::control_plane::ControlPlane;
use crate::support::operator::{Mirror, Operator, apply, install_definitions};
use crate::support::scratch::ScratchDir;
use crate::support::teams::{self, FEW, NAMESPACES, RARE, custom, file, namespace, object, rule, teams, wanted};
use anyhow::{Context as _, Result, ensure};
use std::time::{Duration, Instant};

/// From the answer to the edit of one of 200 rules until the commit of what it newly selects, and until the remote has
/// it. Each edit selects a type in a namespace where it was not selected before.
pub(crate) async fn measure(cluster: &ControlPlane, runs: usize) -> Result<Vec<Measurement>> {
    install_definitions(cluster).await?;
    let mirror = Mirror::prepare(cluster, "rules").await?;
    teams::prepare(cluster, &mirror).await?;
    apply(cluster, &teams(&mirror.namespace)).await?;
    let work_dir = ScratchDir::new()?;
    let operator = Operator::start_again(cluster, &work_dir, &[IDLE.1], &[])?;
    teams::until_mirrored(&mirror).await.with_context(|| operator.log())?;
    let mut remote = RefWatch::start(&mirror.repo);
    let (mut committed, mut pushed, mut used) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..runs {
        // Rare types become common on the way: then they are no longer watched one namespace at a time.
        let (team, number) = (FEW + run / RARE, run % RARE);
        ensure!(team < NAMESPACES, "so many runs have no namespace left");
        apply(cluster, &object(team, number, "new")).await?;
        tokio::time::sleep(Duration::from_millis(700 + fastrand::u64(0..500))).await;
        let (lines, before) = (operator.log().lines().count(), observe::processor_time(operator.pid())?);
        let mut types = wanted(team)[3].clone();
        types.extend((0..=number).map(custom));
        apply(cluster, &rule(&namespace(team), 3, &types.join(", "))).await?;
        let answered = Instant::now();
        let arrival = remote.until(|_| Ok(mirror.repo.read("main", &file(team, number)).is_some())).await?;
        pushed.push(arrival.at.saturating_duration_since(answered).as_secs_f64());
        used.push(observe::processor_time(operator.pid())?.saturating_sub(before).as_secs_f64());
        let log = operator.log().lines().skip(lines).collect::<Vec<_>>().join("\n");
        let log = observe::parse_log(&log);
        let line = log.iter().find(|line| line.message == "Committed").context("the operator logged no commit")?;
        committed.push(observe::since(answered, line.timestamp).as_secs_f64());
    }
    operator.terminate().await?;
    let what = "edit of one of 200 rules: until the first commit";
    Ok(vec![
        Measurement::new(what, Unit::Seconds, committed, Some(Target::p95(1.0))),
        Measurement::new("  the same until the ref", Unit::Seconds, pushed, None),
        Measurement::new("  CPU of the operator for it", Unit::Seconds, used, None),
    ])
}
