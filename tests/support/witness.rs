//! An admission webhook that allows everything and remembers what it was asked.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The webhook, for as long as the test's runtime lives.
pub(crate) struct Witness {
    requests: Requests,
    url: String,
    ca_pem: String,
}

type Requests = Arc<Mutex<Vec<Value>>>;

impl Witness {
    /// Starts the webhook; registering it is up to the test.
    pub(crate) async fn start() -> Result<Self> {
        let serving = gitops_reverser::webhook::issue(&["127.0.0.1".to_owned()], jiff::Timestamp::now())?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}/", listener.local_addr()?);
        let requests = Requests::default();
        let (acceptor, heard) = (TlsAcceptor::from(serving.tls), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, heard) = (acceptor.clone(), Arc::clone(&heard));
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await?;
                    let service = service_fn(move |request| hear(request, Arc::clone(&heard)));
                    auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
                });
            }
        });
        Ok(Self { requests, url, ca_pem: serving.ca_pem })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The authority that vouches for it, PEM.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The `request` of every call so far, in order.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn hear(request: Request<Incoming>, heard: Requests) -> Result<Response<Full<Bytes>>> {
    let mut review: Value = serde_json::from_slice(&request.into_body().collect().await?.to_bytes())?;
    let asked = review.get_mut("request").context("no request")?.take();
    let response = json!({"uid": asked["uid"], "allowed": true});
    heard.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    Ok(Response::builder().header("content-type", "application/json").body(Full::from(answer.to_string()))?)
}
