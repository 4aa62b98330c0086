//! Events on custom resources: what a person should hear of that no condition says.

use crate::api::GitTarget;
use crate::change::Notice;
use crate::git::status::Warning;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource as _};
use std::time::Duration;
use tokio::sync::mpsc;

/// Who reports.
const CONTROLLER: &str = "gitops-reverser";
/// How long the API server may take to accept one event.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest note, in characters: the API server takes 1024 bytes.
const LONGEST_NOTE: usize = 250;

/// Publishes `notices` and `warnings` until there can be no more. Equal ones are counted by the API's event series.
pub async fn run(client: Client, mut notices: mpsc::Receiver<Notice>, mut warnings: mpsc::UnboundedReceiver<Warning>) {
    let reporter = Reporter { controller: CONTROLLER.to_owned(), instance: None };
    let recorder = Recorder::new(client.clone(), reporter);
    loop {
        let warning = tokio::select! {
            Some(notice) = notices.recv() => not_written(&notice),
            Some(warning) = warnings.recv() => warning,
            else => return,
        };
        match tokio::time::timeout(DEADLINE, publish(&client, &recorder, &warning)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(target = %warning.target, %error, "Event was not accepted"),
            Err(_) => tracing::warn!(target = %warning.target, "Event was not accepted in time"),
        }
    }
}

fn not_written(notice: &Notice) -> Warning {
    let message = format!("{} is not written: {}", notice.object, notice.problem);
    Warning { target: notice.target.clone(), reason: "ObjectNotWritten", message }
}

async fn publish(client: &Client, recorder: &Recorder, warning: &Warning) -> Result<(), kube::Error> {
    let targets: Api<GitTarget> = Api::namespaced(client.clone(), &warning.target.namespace);
    let Some(target) = targets.get_opt(&warning.target.name).await? else { return Ok(()) };
    let event = Event {
        type_: EventType::Warning,
        reason: warning.reason.to_owned(),
        note: Some(warning.message.chars().take(LONGEST_NOTE).collect()),
        action: "Mirror".to_owned(),
        secondary: None,
    };
    recorder.publish(&event, &target.object_ref(&())).await
}
