//! The plain HTTP server for those who look after the operator: `/metrics`, `/healthz`, `/readyz`.

use super::metrics::Metrics;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::reply::{Reply as _, Response};

/// How many clients may be connected; more are turned away.
const CONNECTIONS: usize = 32;
/// How long a client may take for the head of a request, the wait for it included.
const HEADER: Duration = Duration::from_secs(30);
/// How long the server waits when it cannot accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves on `listener` until it is dropped. `/healthz` always answers 200 and `/readyz` when `is_ready`, else 503.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>, is_ready: impl Fn() -> bool + Send + Sync + 'static) {
    let service = TowerToHyperService::new(warp::service(routes(metrics, is_ready)));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if connections.len() < CONNECTIONS => {
                let mut http = hyper::server::conn::http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(HEADER);
                let connection = http.serve_connection(TokioIo::new(stream), service.clone());
                connections.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "Connection failed");
                    }
                });
            }
            Ok((_, peer)) => tracing::debug!(%peer, "Connection refused: too many are open"),
            Err(error) => {
                tracing::warn!(%error, "Connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn routes(metrics: Arc<Metrics>, is_ready: impl Fn() -> bool + Send + Sync + 'static) -> BoxedFilter<(Response,)> {
    let is_ready = Arc::new(is_ready);
    let text = warp::path!("metrics").map(move || match metrics.text() {
        Ok(text) => warp::reply::with_header(text, "content-type", prometheus::TEXT_FORMAT).into_response(),
        Err(error) => {
            tracing::warn!(%error, "Metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    });
    let alive = warp::path!("healthz").map(|| StatusCode::OK.into_response());
    let ready = warp::path!("readyz").map(move || {
        let status = if is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        status.into_response()
    });
    warp::get().and(text.or(alive).unify().or(ready).unify()).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn what_is_asked_for_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ready = Arc::<AtomicBool>::default();
        let is_ready = Arc::clone(&ready);
        let metrics = Arc::new(Metrics::new().unwrap());
        metrics.attributed().count("ns/live", "exact");
        let mut server = JoinSet::new();
        server.spawn(serve(listener, metrics, move || is_ready.load(Ordering::SeqCst)));
        let get = async |path: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        assert!(get("/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(get("/readyz").await.starts_with("HTTP/1.1 503"));
        ready.store(true, Ordering::SeqCst);
        assert!(get("/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(get("/metrics").await.contains("gitopsreverser_enrich_hits_total"));
        assert!(get("/").await.starts_with("HTTP/1.1 404"));
    }
}
