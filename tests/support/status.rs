//! What the status of a custom resource says, as kubectl shows it.

use super::control_plane::ControlPlane;
use super::operator::SOON;
use super::poll::eventually;
use anyhow::{Result, ensure};
use serde_json::Value;

/// A condition: its status, reason and message.
pub(crate) type Words = (String, String, String);

/// The object `object`, as in `gittarget/live`; the namespace does not matter to those without one.
pub(crate) async fn get(cluster: &ControlPlane, namespace: &str, object: &str) -> Result<Value> {
    let mut get = cluster.kubectl();
    let output = get.args(["get", "--namespace", namespace, object, "--output", "json"]).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// What the condition `kind` of `object` says, if the object is not newer than that.
pub(crate) fn condition(object: &Value, kind: &str) -> Option<Words> {
    let status = &object["status"];
    if status["observedGeneration"] != object["metadata"]["generation"] {
        return None;
    }
    let condition = status["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)?;
    let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason"), text("message")))
}

/// Waits until the condition `kind` of `object` has this status and reason, and returns its message.
pub(crate) async fn until(
    cluster: &ControlPlane,
    namespace: &str,
    object: &str,
    words: (&str, &str, &str),
) -> Result<String> {
    until_it_says(cluster, namespace, object, words, "").await
}

/// The same, and until the message holds `part`.
pub(crate) async fn until_it_says(
    cluster: &ControlPlane,
    namespace: &str,
    object: &str,
    (kind, status, reason): (&str, &str, &str),
    part: &str,
) -> Result<String> {
    eventually(SOON, &format!("{object} to be {kind}={status} ({reason}) and to say {part:?}"), async || {
        let found = condition(&get(cluster, namespace, object).await?, kind);
        let (is, why, message) = found.unwrap_or_default();
        ensure!((is.as_str(), why.as_str()) == (status, reason), "{kind}={is} ({why}): {message}");
        ensure!(message.contains(part), "{message}");
        Ok(Some(message))
    })
    .await
}
