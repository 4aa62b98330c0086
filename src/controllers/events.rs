//! Events on custom resources: what a person should hear of that no condition says.

use crate::api::GitTarget;
use crate::change::Notice;
use crate::git::status::{BranchEvent, Severity};
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

/// Publishes `notices` and what `happened` until there can be no more. Equal ones are counted by the API's event series.
pub async fn run(
    client: Client,
    mut notices: mpsc::Receiver<Notice>,
    mut happened: mpsc::UnboundedReceiver<BranchEvent>,
) {
    let reporter = Reporter { controller: CONTROLLER.to_owned(), instance: None };
    let recorder = Recorder::new(client.clone(), reporter);
    loop {
        let event = tokio::select! {
            Some(notice) = notices.recv() => not_written(&notice),
            Some(event) = happened.recv() => event,
            else => return,
        };
        match tokio::time::timeout(DEADLINE, publish(&client, &recorder, &event)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(target = %event.target, %error, "Event was not accepted"),
            Err(_) => tracing::warn!(target = %event.target, "Event was not accepted in time"),
        }
    }
}

fn not_written(notice: &Notice) -> BranchEvent {
    let message = format!("{} is not written: {}", notice.object, notice.problem);
    BranchEvent { target: notice.target.clone(), severity: Severity::Warning, reason: "ObjectNotWritten", message }
}

async fn publish(client: &Client, recorder: &Recorder, happened: &BranchEvent) -> Result<(), kube::Error> {
    let targets: Api<GitTarget> = Api::namespaced(client.clone(), &happened.target.namespace);
    let Some(target) = targets.get_opt(&happened.target.name).await? else { return Ok(()) };
    let event = Event {
        type_: match happened.severity {
            Severity::Normal => EventType::Normal,
            Severity::Warning => EventType::Warning,
        },
        reason: happened.reason.to_owned(),
        note: Some(happened.message.chars().take(LONGEST_NOTE).collect()),
        action: "Mirror".to_owned(),
        secondary: None,
    };
    recorder.publish(&event, &target.object_ref(&())).await
}
