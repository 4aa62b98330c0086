//! Events on custom resources: what a person should hear of that no condition says.

use crate::api::GitTarget;
use crate::change::Notice;
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

/// Publishes `notices` until there can be no more. Equal ones are counted by the API's event series.
pub async fn run(client: Client, mut notices: mpsc::Receiver<Notice>) {
    let reporter = Reporter { controller: CONTROLLER.to_owned(), instance: None };
    let recorder = Recorder::new(client.clone(), reporter);
    while let Some(notice) = notices.recv().await {
        match tokio::time::timeout(DEADLINE, publish(&client, &recorder, &notice)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(target = %notice.target, %error, "Event was not accepted"),
            Err(_) => tracing::warn!(target = %notice.target, "Event was not accepted in time"),
        }
    }
}

async fn publish(client: &Client, recorder: &Recorder, notice: &Notice) -> Result<(), kube::Error> {
    let targets: Api<GitTarget> = Api::namespaced(client.clone(), &notice.target.namespace);
    let Some(target) = targets.get_opt(&notice.target.name).await? else { return Ok(()) };
    let note = format!("{} is not written: {}", notice.object, notice.problem);
    let event = Event {
        type_: EventType::Warning,
        reason: "ObjectNotWritten".to_owned(),
        note: Some(note.chars().take(LONGEST_NOTE).collect()),
        action: "Mirror".to_owned(),
        secondary: None,
    };
    recorder.publish(&event, &target.object_ref(&())).await
}
