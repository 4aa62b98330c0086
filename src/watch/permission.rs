//! Whether the operator may watch a type everywhere.

use crate::resource::ResourceType;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use std::time::Duration;
use tokio::time::timeout;

/// How long the API server may take to answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Whether objects of `kind` may be listed and watched in all namespaces at once. What cannot be found out counts as
/// forbidden.
pub(super) async fn may_watch_everywhere(client: &Client, kind: &ResourceType) -> bool {
    let both = async { Ok(may(client, kind, "list").await? && may(client, kind, "watch").await?) };
    let answer: Result<Result<bool, kube::Error>, _> = timeout(DEADLINE, both).await;
    match answer {
        Ok(Ok(may)) => may,
        Ok(Err(error)) => {
            tracing::warn!(%kind, %error, "It cannot be found out whether all namespaces may be watched");
            false
        }
        Err(_) => {
            tracing::warn!(%kind, "The API server does not say whether all namespaces may be watched");
            false
        }
    }
}

async fn may(client: &Client, kind: &ResourceType, verb: &str) -> Result<bool, kube::Error> {
    let text = |text: &str| Some(text.to_owned());
    let attributes = ResourceAttributes {
        group: text(&kind.group),
        resource: text(&kind.resource),
        verb: text(verb),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
