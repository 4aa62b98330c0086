//! Events on custom resources: what a person should hear of that no condition says.

use crate::api::GitTarget;
use crate::change::Notice;
use crate::git::status::{BranchEvent, Severity};
use k8s_openapi::api::core::v1::ObjectReference;
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

/// What is told about one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    /// The resource.
    pub object: ObjectReference,
    /// Whether it went as it should.
    pub severity: Severity,
    /// The reason, in CamelCase.
    pub reason: &'static str,
    /// One sentence: what is, and what to do.
    pub message: String,
}

/// Where events come from.
#[derive(Debug)]
pub struct Sources {
    /// Objects that cannot be written.
    pub notices: mpsc::Receiver<Notice>,
    /// What happened to branches.
    pub happened: mpsc::UnboundedReceiver<BranchEvent>,
    /// What resources have become.
    pub announcements: mpsc::Receiver<Announcement>,
}

/// Publishes what comes from `sources` until there can be no more. Equal ones are counted by the API's event series.
pub async fn run(client: Client, sources: Sources) {
    let Sources { mut notices, mut happened, mut announcements } = sources;
    let reporter = Reporter { controller: CONTROLLER.to_owned(), instance: None };
    let recorder = Recorder::new(client.clone(), reporter);
    loop {
        let (object, published) = tokio::select! {
            Some(notice) = notices.recv() => of_target(&client, &recorder, not_written(&notice)).await,
            Some(event) = happened.recv() => of_target(&client, &recorder, event).await,
            Some(announcement) = announcements.recv() => {
                let published = in_time(publish(&recorder, &announcement)).await;
                (announcement.object.name.unwrap_or_default(), published)
            }
            else => return,
        };
        if let Err(error) = published {
            tracing::warn!(object, %error, "Event was not accepted");
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum EventError {
    #[error("{0}")]
    Request(#[from] kube::Error),
    #[error("the API server did not answer in {} s", DEADLINE.as_secs())]
    Deadline,
}

async fn in_time(request: impl Future<Output = Result<(), kube::Error>>) -> Result<(), EventError> {
    Ok(tokio::time::timeout(DEADLINE, request).await.map_err(|_| EventError::Deadline)??)
}

fn not_written(notice: &Notice) -> BranchEvent {
    let message = format!("{} is not written: {}", notice.object, notice.problem);
    BranchEvent { target: notice.target.clone(), severity: Severity::Warning, reason: "ObjectNotWritten", message }
}

async fn of_target(client: &Client, recorder: &Recorder, happened: BranchEvent) -> (String, Result<(), EventError>) {
    let BranchEvent { target, severity, reason, message } = happened;
    let publish = async {
        let targets: Api<GitTarget> = Api::namespaced(client.clone(), &target.namespace);
        let Some(found) = targets.get_opt(&target.name).await? else { return Ok(()) };
        publish(recorder, &Announcement { object: found.object_ref(&()), severity, reason, message }).await
    };
    (target.to_string(), in_time(publish).await)
}

async fn publish(recorder: &Recorder, announcement: &Announcement) -> Result<(), kube::Error> {
    let event = Event {
        type_: match announcement.severity {
            Severity::Normal => EventType::Normal,
            Severity::Warning => EventType::Warning,
        },
        reason: announcement.reason.to_owned(),
        note: Some(announcement.message.chars().take(LONGEST_NOTE).collect()),
        action: "Mirror".to_owned(),
        secondary: None,
    };
    recorder.publish(&event, &announcement.object).await
}
