//! An admission webhook of somebody else, which denies what one user asks for.

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

/// Denies every write of `user` to config maps in one namespace, for as long as the test's runtime lives.
pub(crate) struct Denier {
    denied: Arc<AtomicU64>,
}

impl Denier {
    /// Starts the webhook and registers it for `namespace`.
    pub(crate) async fn start(cluster: &ControlPlane, namespace: &str, user: &'static str) -> Result<Self> {
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
                    let service = service_fn(move |request| judge(request, user, Arc::clone(&count)));
                    auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
                });
            }
        });
        apply(cluster, &registration(namespace, &url, &serving.ca_pem)).await?;
        Ok(Self { denied })
    }

    /// How many writes were denied.
    pub(crate) fn denied(&self) -> u64 {
        self.denied.load(Ordering::SeqCst)
    }
}

async fn judge(request: Request<Incoming>, user: &str, denied: Arc<AtomicU64>) -> Result<Response<Full<Bytes>>> {
    let review: Value = serde_json::from_slice(&request.into_body().collect().await?.to_bytes())?;
    let allowed = review["request"]["userInfo"]["username"] != user;
    denied.fetch_add(u64::from(!allowed), Ordering::SeqCst);
    let response = json!({"uid": review["request"]["uid"], "allowed": allowed});
    let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    Ok(Response::builder().header("content-type", "application/json").body(Full::from(answer.to_string()))?)
}

fn registration(namespace: &str, url: &str, ca_pem: &str) -> String {
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"]});
    let webhook = json!({
        "name": "denier.example.com",
        "clientConfig": {"url": url, "caBundle": BASE64_STANDARD.encode(ca_pem)},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "rules": [rule],
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
