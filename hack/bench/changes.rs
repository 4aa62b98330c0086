//! Changes of users: one by one on an idle branch, and many at once.

use crate::fixture::{Fixture, IN_FLIGHT, object_name};
use crate::observe::{self, RefWatch};
use crate::report::{Measurement, Target, Unit};
use crate::support::operator::Operator;
use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Settings under which the branch is idle again soon after a push.
pub(crate) const IDLE: (&str, &str) = ("500ms", "--push-min-spacing=500ms");
/// Settings of the burst.
pub(crate) const BURST: (&str, &str) = ("1s", "--push-min-spacing=1s");
/// The users of the burst.
const USERS: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
/// Changes of the burst, each of another object.
const CHANGES: usize = 1_000;
/// How long the burst takes.
const BURST_TIME: Duration = Duration::from_secs(5);

/// From the request until the ref on the remote has it, and the parts of that.
pub(crate) async fn single(fixture: &Fixture<'_>, operator: &Operator, changes: usize) -> Result<Vec<Measurement>> {
    fixture.settle::<ConfigMap>().await?;
    let maps: Api<ConfigMap> = fixture.api("alice").await?;
    let mut remote = RefWatch::start(&fixture.mirror.repo);
    let (mut total, mut answered) = (Vec::new(), Vec::new());
    let mut committed = Vec::new();
    let mut pushed = Vec::new();
    for number in 1..=changes {
        // Longer than the interval, and out of step with it.
        tokio::time::sleep(Duration::from_millis(700 + fastrand::u64(0..500))).await;
        let (lines, started) = (operator.log().lines().count(), Instant::now());
        change(&maps, number, &format!("single-{number}")).await?;
        answered.push(started.elapsed().as_secs_f64());
        let arrival = remote.next().await?;
        total.push((arrival.at - started).as_secs_f64());
        check_single(fixture, &arrival.tip, number)?;

        let log = operator.log().lines().skip(lines).collect::<Vec<_>>().join("\n");
        let log = observe::parse_log(&log);
        let line = log.iter().find(|line| line.message == "Committed").context("the operator logged no commit")?;
        let commit = observe::since(started, line.timestamp).as_secs_f64();
        committed.push(commit - answered[number - 1]);
        pushed.push(total[number - 1] - commit);
    }
    let what = format!("one change of {}, idle branch", fixture.count);
    let part = |name, samples| Measurement::new(format!("  of it: {name}"), Unit::Seconds, samples, None);
    Ok(vec![
        Measurement::new(what, Unit::Seconds, total, Some(Target::p95(1.0))),
        part("request until answer", answered),
        part("answer until commit", committed),
        part("commit until ref", pushed),
    ])
}

fn check_single(fixture: &Fixture<'_>, tip: &str, number: usize) -> Result<()> {
    let commits = fixture.commits(&format!("{tip}~1..{tip}"));
    let subject =
        format!("[UPDATE] ConfigMap/{} in ns/{} by user/alice", object_name(number), fixture.mirror.namespace);
    ensure!(commits[0].author == "alice" && commits[0].subject == subject, "not {subject:?}: {commits:?}");
    let content = fixture.mirror.repo.read("main", &fixture.mirror.config_map(&object_name(number)));
    ensure!(content.is_some_and(|content| content.contains(&format!("value: single-{number}\n"))), "wrong content");
    Ok(())
}

async fn change(maps: &Api<ConfigMap>, number: usize, value: &str) -> Result<()> {
    let patch = Patch::Merge(json!({"data": {"value": value}}));
    maps.patch(&object_name(number), &PatchParams::default(), &patch).await?;
    Ok(())
}

/// Many changes by several users: from the last answer until the ref on the remote has all.
pub(crate) async fn burst(fixture: &Fixture<'_>, runs: usize) -> Result<Measurement> {
    fixture.settle::<ConfigMap>().await?;
    let mut users = Vec::new();
    for user in USERS {
        users.push(fixture.api::<ConfigMap>(user).await?);
    }
    let mut times = Vec::new();
    for run in 0..runs {
        // The push that is under way ends, and the branch is idle.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let before = fixture.tip()?;
        let mut remote = RefWatch::start(&fixture.mirror.repo);
        let value = format!("burst-{run}");
        let started = tokio::time::Instant::now();
        let changes = (0..CHANGES).map(|number| {
            let (users, value) = (&users, &value);
            async move {
                tokio::time::sleep_until(started + BURST_TIME * u32::try_from(number)? / u32::try_from(CHANGES)?).await;
                change(&users[number % USERS.len()], number, value).await
            }
        });
        futures::stream::iter(changes).buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
        let (answered, took) = (Instant::now(), started.elapsed());
        let range = |tip: &str| format!("{before}..{tip}");
        let complete = |tip: &str| Ok(fixture.mirror.repo.git(&["rev-list", "--count", &range(tip)]) == "1000");
        let arrival = remote.until(complete).await?;
        times.push(arrival.at.saturating_duration_since(answered).as_secs_f64());
        eprintln!("burst: run {run}: {CHANGES} changes in {took:.1?}, there {:.3} s later", times[run]);
        check_burst(fixture, &range(&arrival.tip), &value)?;
    }
    let what = format!("{CHANGES} changes in 5 s, {} objects", fixture.count);
    Ok(Measurement::new(what, Unit::Seconds, times, Some(Target::median(5.0))))
}

/// One commit a change, by whoever made it, and every object as it was left.
fn check_burst(fixture: &Fixture<'_>, range: &str, value: &str) -> Result<()> {
    let commits = fixture.commits(range);
    let by_subject: HashMap<&str, &str> =
        commits.iter().map(|commit| (commit.subject.as_str(), commit.author.as_str())).collect();
    ensure!(commits.len() == CHANGES, "{} commits", commits.len());
    let namespace = &fixture.mirror.namespace;
    for number in 0..CHANGES {
        let user = USERS[number % USERS.len()];
        let subject = format!("[UPDATE] ConfigMap/{} in ns/{namespace} by user/{user}", object_name(number));
        ensure!(by_subject.get(subject.as_str()) == Some(&user), "no commit {subject:?} by {user}");
    }
    let right = fixture.lines(&format!("  value: {value}$")).len();
    ensure!(right == CHANGES, "{right} of {CHANGES} objects are right");
    Ok(())
}
