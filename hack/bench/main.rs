//! Measures the operator against a real control plane and a smart-HTTP remote, and checks that what was measured is
//! right. `scripts/bench` builds it and starts it.

// The parts shared with the tests panic when git fails, as a test would; a measurement that cannot go on has failed too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admission;
mod calibration;
mod changes;
mod churn;
mod fixture;
mod git;
mod observe;
mod report;
mod rules;
mod seed;
mod signing;

#[path = "../../tests/support/mod.rs"]
mod support;

use anyhow::Result;
use clap::Parser;
use fixture::Fixture;
use k8s_openapi::api::networking::v1::Ingress;
use report::Measurement;
use serde_json::json;
use std::path::PathBuf;
use support::control_plane::ControlPlane;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
enum Scenario {
    /// 1 000 config maps that were there before.
    Seed1k,
    /// 10 000 config maps that were there before.
    Seed10k,
    /// A restart with 10 000 config maps and no change.
    Restart,
    /// Single changes on an idle branch with 10 000 config maps.
    Single,
    /// 1 000 changes of 1 000 config maps in 5 s.
    Burst1k,
    /// The same where there are 10 000: git writes the folder's whole list for every commit.
    Burst10k,
    /// 2 000 status writes.
    Churn,
    /// 10 000 admission requests in 10 s.
    Admission,
    /// The edit of one of 200 rules.
    Rules,
}

#[derive(Debug, Parser)]
struct Arguments {
    /// Repetitions of each scenario; single changes and edits of rules are ten times as many.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    /// Only these scenarios.
    #[arg(long)]
    only: Vec<Scenario>,
    /// Only the git engine, without a control plane.
    #[arg(long, conflicts_with = "only")]
    git: bool,
    /// Writes the numbers to this file too, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Arguments {
    fn wants(&self, scenario: Scenario) -> bool {
        self.only.is_empty() || self.only.contains(&scenario)
    }

    fn runs(&self) -> usize {
        self.runs.into()
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let processors = std::thread::available_parallelism()?.get();
    let report = if arguments.git {
        json!({"processors": processors, "measurements": shown(git::measure(arguments.runs()).await?)})
    } else {
        let cluster = ControlPlane::start().await?;
        let measurements = shown(measure(&cluster, &arguments).await?);
        json!({"processors": processors, "kubernetes": cluster.kube_version(), "measurements": measurements})
    };
    if let Some(file) = &arguments.json {
        std::fs::write(file, format!("{report:#}\n"))?;
    }
    Ok(())
}

fn shown(measurements: Vec<Measurement>) -> Vec<Measurement> {
    print!("{}", report::table(&measurements));
    measurements
}

async fn measure(cluster: &ControlPlane, arguments: &Arguments) -> Result<Vec<Measurement>> {
    let mut measurements = Vec::new();
    if [Scenario::Seed1k, Scenario::Burst1k].iter().any(|&it| arguments.wants(it)) {
        measurements.extend(small(cluster, arguments).await?);
    }
    if [Scenario::Seed10k, Scenario::Restart, Scenario::Single, Scenario::Burst10k]
        .iter()
        .any(|&it| arguments.wants(it))
    {
        measurements.extend(large(cluster, arguments).await?);
    }
    if arguments.wants(Scenario::Churn) {
        measurements.push(churn(cluster, arguments).await?);
    }
    if arguments.wants(Scenario::Admission) {
        measurements.extend(admission(cluster, arguments).await?);
    }
    if arguments.wants(Scenario::Rules) {
        // Last: its rules stay.
        measurements.extend(rules::measure(cluster, arguments.runs() * 10).await?);
    }
    if arguments.only.is_empty() {
        measurements.extend(git::measure(arguments.runs()).await?);
    }
    Ok(measurements)
}

async fn small(cluster: &ControlPlane, arguments: &Arguments) -> Result<Vec<Measurement>> {
    let fixture = prepared(cluster, "small", 1_000).await?;
    let mut measured = Vec::new();
    if arguments.wants(Scenario::Seed1k) {
        measured.extend(seeds(&fixture, arguments, 2.0).await?);
    }
    if arguments.wants(Scenario::Burst1k) {
        measured.push(burst(&fixture, arguments).await?);
    }
    fixture.retire().await?;
    Ok(measured)
}

async fn large(cluster: &ControlPlane, arguments: &Arguments) -> Result<Vec<Measurement>> {
    let fixture = prepared(cluster, "large", 10_000).await?;
    let mut measured = Vec::new();
    if arguments.wants(Scenario::Seed10k) {
        measured.extend(seeds(&fixture, arguments, 10.0).await?);
    }
    if arguments.wants(Scenario::Restart) {
        let (work_dir, operator, _) = fixture.seed(&[]).await?;
        operator.terminate().await?;
        measured.push(seed::restart(&fixture, &work_dir, arguments.runs()).await?);
    }
    if arguments.wants(Scenario::Single) {
        fixture.configure(changes::IDLE.0).await?;
        let (_work_dir, operator, _) = fixture.seed(&[changes::IDLE.1]).await?;
        let (_, alone) = calibration::measure(&fixture, arguments.runs())?;
        let mut single = changes::single(&fixture, &operator, arguments.runs() * 10).await?;
        single[0] = single[0].clone().compared_with(&alone);
        measured.push(alone);
        measured.extend(single);
        operator.terminate().await?;
    }
    if arguments.wants(Scenario::Burst10k) {
        measured.push(burst(&fixture, arguments).await?);
    }
    fixture.retire().await?;
    Ok(measured)
}

async fn prepared<'a>(cluster: &'a ControlPlane, name: &'static str, count: usize) -> Result<Fixture<'a>> {
    let fixture = Fixture::config_maps(cluster, name, count).await?;
    // The definitions come with the operator.
    support::operator::install_definitions(cluster).await?;
    fixture.configure("1m").await?;
    Ok(fixture)
}

async fn seeds(fixture: &Fixture<'_>, arguments: &Arguments, limit: f64) -> Result<Vec<Measurement>> {
    let mut measured = seed::measure(fixture, arguments.runs(), limit).await?;
    let (alone, _) = calibration::measure(fixture, arguments.runs())?;
    measured[0] = measured[0].clone().compared_with(&alone);
    measured.insert(0, alone);
    Ok(measured)
}

async fn burst(fixture: &Fixture<'_>, arguments: &Arguments) -> Result<Measurement> {
    fixture.configure(changes::BURST.0).await?;
    let (_work_dir, operator, _) = fixture.seed(&[changes::BURST.1]).await?;
    let measured = changes::burst(fixture, arguments.runs()).await?;
    operator.terminate().await?;
    Ok(measured)
}

async fn churn(cluster: &ControlPlane, arguments: &Arguments) -> Result<Measurement> {
    let fixture = Fixture::objects::<Ingress>(cluster, "churn", "ingresses", churn::OBJECTS, churn::ingress).await?;
    support::operator::install_definitions(cluster).await?;
    fixture.configure(changes::BURST.0).await?;
    let (_work_dir, operator, _) = fixture.seed(&[changes::BURST.1]).await?;
    let measured = churn::measure(&fixture, &operator, arguments.runs()).await?;
    operator.terminate().await?;
    fixture.retire().await?;
    Ok(measured)
}

async fn admission(cluster: &ControlPlane, arguments: &Arguments) -> Result<Vec<Measurement>> {
    let fixture = prepared(cluster, "admission", 1).await?;
    let (_work_dir, operator, _) = fixture.seed(&[]).await?;
    let measured = admission::measure(cluster, &operator, arguments.runs()).await?;
    operator.terminate().await?;
    fixture.retire().await?;
    Ok(measured)
}
