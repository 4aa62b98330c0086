//! A server that repeats in its answers whatever it was sent, as careless ones do.

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;

/// Serves as long as the test's runtime lives.
pub(crate) struct Parrot {
    address: SocketAddr,
    repeated: Arc<AtomicU64>,
}

impl Parrot {
    /// Asks for a login, and answers with `status` whoever shows one.
    pub(crate) async fn start(status: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let repeated = Arc::<AtomicU64>::default();
        let count = Arc::clone(&repeated);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                let service = service_fn(move |request| {
                    let answer = answer(status, &request, &count);
                    async move { answer }
                });
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { address, repeated })
    }

    /// A repository on it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/r", self.address)
    }

    /// How often it has repeated a login.
    pub(crate) fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::SeqCst)
    }
}

fn answer(status: u16, request: &Request<Incoming>, repeated: &AtomicU64) -> Result<Response<Full<Bytes>>> {
    let Some(shown) = request.headers().get("authorization").and_then(|value| value.to_str().ok()) else {
        return Ok(Response::builder().status(401).header("www-authenticate", "Basic").body(Full::default())?);
    };
    repeated.fetch_add(1, Ordering::SeqCst);
    let (_, login) = shown.split_once(' ').unwrap_or_default();
    let decoded = BASE64_STANDARD.decode(login).unwrap_or_default();
    let decoded = String::from_utf8_lossy(&decoded);
    let encoded: String = decoded.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let body = format!("you sent {shown}\nwhich is {decoded}\nor {encoded}\nfatal: you sent {login}, {decoded}\n");
    // Git shows text to its user.
    Ok(Response::builder().status(status).header("content-type", "text/plain").body(Full::from(body))?)
}
