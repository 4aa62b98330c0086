//! Writes that are nobody's intent: the operator reads them and must do nothing.

use crate::fixture::{Fixture, IN_FLIGHT, object_name};
use crate::observe::processor_time;
use crate::report::{Measurement, Target, Unit};
use crate::support::operator::Operator;
use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// Objects whose status is written.
pub(crate) const OBJECTS: usize = 100;
/// Writes in one run.
const WRITES: usize = 2_000;

/// An ingress: its status is written by an ingress controller, of which there is none here.
pub(crate) fn ingress(number: usize) -> Value {
    json!({
        "metadata": {"name": object_name(number), "labels": {"app.kubernetes.io/name": "bench"}},
        "spec": {"defaultBackend": {"service": {"name": format!("service-{number}"), "port": {"number": 80}}}},
    })
}

/// The operator's processor time for each status write, decoding included. The webhook is not asked about these.
pub(crate) async fn measure(fixture: &Fixture<'_>, operator: &Operator, runs: usize) -> Result<Measurement> {
    let ingresses: Api<Ingress> = fixture.api("alice").await?;
    let (ingresses, parameters) = (&ingresses, &PatchParams::default());
    let mut times = Vec::new();
    for run in 0..runs {
        fixture.settle::<Ingress>().await?;
        let (tip, before) = (fixture.tip()?, processor_time(operator.pid())?);
        let writes = (0..WRITES).map(|write| async move {
            let address = format!("10.{run}.{}.{}", write / 250, write % 250);
            let status = Patch::Merge(json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}));
            ingresses.patch_status(&object_name(write % OBJECTS), parameters, &status).await.map(drop)
        });
        futures::stream::iter(writes).buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
        let markers = fixture.settle::<Ingress>().await?;
        let used = processor_time(operator.pid())?.saturating_sub(before);
        let commits = fixture.commits(&format!("{tip}..main"));
        ensure!(commits.len() == markers, "status writes made commits: {commits:?}");
        times.push(used.as_secs_f64() * 1e6 / WRITES as f64);
        eprintln!("churn: run {run}: {:.0} us each", times[run]);
    }
    let what = format!("{WRITES} status writes, 0 commits: CPU each");
    Ok(Measurement::new(what, Unit::Microseconds, times, Some(Target::median(50.0))))
}
