//! An admission webhook of somebody else, which denies some of what is asked for.

use super::control_plane::ControlPlane;
use super::operator::apply;
use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What is denied.
#[derive(Clone, Copy)]
pub(crate) enum Denies {
    /// What this user asks for.
    User(&'static str),
    /// So many of 100 requests, by chance.
    Percent(u8),
}

/// Denies some writes to one type in one namespace, for as long as the test's runtime lives.
pub(crate) struct Denier {
    denied: Arc<AtomicU64>,
}

impl Denier {
    /// Starts the webhook and registers it for the config maps of `namespace`.
    pub(crate) async fn start(cluster: &ControlPlane, namespace: &str, user: &'static str) -> Result<Self> {
        Self::start_for(cluster, namespace, &[("", "configmaps")], Denies::User(user)).await
    }

    /// The same for the resources `(group, resource)`.
    pub(crate) async fn start_for(
        cluster: &ControlPlane,
        namespace: &str,
        resources: &[(&str, &str)],
        denies: Denies,
    ) -> Result<Self> {
        let serving = gitops_reverser::webhook::issue(&["127.0.0.1".to_owned()], jiff::Timestamp::now())?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}/", listener.local_addr()?);
        let denied = Arc::<AtomicU64>::default();
        let (acceptor, count) = (TlsAcceptor::from(serving.tls), Arc::clone(&denied));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await?;
                    let service = service_fn(move |request| judge(request, denies, Arc::clone(&count)));
                    auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
                });
            }
        });
        apply(cluster, &registration(namespace, resources, &url, &serving.ca_pem)).await?;
        Ok(Self { denied })
    }

    /// How many writes were denied.
    pub(crate) fn denied(&self) -> u64 {
        self.denied.load(Ordering::SeqCst)
    }
}

async fn judge(request: Request<Incoming>, denies: Denies, denied: Arc<AtomicU64>) -> Result<Response<Full<Bytes>>> {
    let review: Value = serde_json::from_slice(&request.into_body().collect().await?.to_bytes())?;
    let allowed = match denies {
        Denies::User(user) => review["request"]["userInfo"]["username"] != user,
        Denies::Percent(percent) => fastrand::u8(..100) >= percent,
    };
    denied.fetch_add(u64::from(!allowed), Ordering::SeqCst);
    let response = json!({"uid": review["request"]["uid"], "allowed": allowed});
    let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    Ok(Response::builder().header("content-type", "application/json").body(Full::from(answer.to_string()))?)
}

fn registration(namespace: &str, resources: &[(&str, &str)], url: &str, ca_pem: &str) -> String {
    let rule = |(group, resource): &(&str, &str)| json!({"apiGroups": [group], "apiVersions": ["*"], "resources": [resource], "operations": ["*"]});
    let rules: Vec<_> = resources.iter().map(rule).collect();
    let webhook = json!({
        "name": "denier.example.com",
        "clientConfig": {"url": url, "caBundle": BASE64_STANDARD.encode(ca_pem)},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": rules,
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    });
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": format!("denier-{namespace}")},
        "webhooks": [webhook],
    });
    configuration.to_string()
}
