//! The HTTPS server that the API server calls.

use super::admission::{Answer, decode};
use super::connection::serve_connection;
use crate::attribution::Index;
use hyper::body::Bytes;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error, warn};
use warp::http::StatusCode;
use warp::reject::Rejection;
use warp::reply::{Reply, Response};
use warp::{Filter, filters::BoxedFilter};

/// What clients of the server may take. Anybody on the pod network can connect: nothing is unbounded.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body: u32,
    /// The largest sum of all bodies that are being read or judged, in bytes. More are refused at once,
    /// because a call that waits delays somebody's write.
    pub bodies: u32,
    /// How many connections may be open. More are closed at once, for the same reason.
    pub connections: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long the head of an HTTP/1.1 request may take, the wait for it included, and how long an HTTP/2
    /// client may leave a ping unanswered.
    pub header: Duration,
    /// How long a request may take, its body included.
    pub request: Duration,
    /// How long a connection may go without a request.
    pub idle: Duration,
    /// How long a connection that is told to end may take for the requests that it still has.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 4 * 1024 * 1024,
            bodies: 64 * 1024 * 1024,
            connections: 256,
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(10),
            request: Duration::from_secs(5),
            idle: Duration::from_secs(300),
            drain: Duration::from_secs(5),
        }
    }
}

/// How long the server waits when it cannot accept a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers admission requests on `listener` and puts what they tell into `index`, until `shutdown`.
///
/// Then it accepts no more, tells every client to go elsewhere (GOAWAY), answers what is under way and
/// returns, at the latest after [`Limits::drain`]. No client can make it end or panic.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    index: Arc<Index>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let tls = TlsAcceptor::from(tls);
    let service = TowerToHyperService::new(warp::service(routes(index, limits)));
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if connections.len() < limits.connections => {
                let (tls, service, stopped) = (tls.clone(), service.clone(), stopped.clone());
                connections.spawn(serve_connection(stream, tls, service, limits, stopped));
            }
            Ok((_, peer)) => debug!(peer = %peer, "Connection refused: too many are open"),
            Err(error) => {
                warn!(error = %error, "Connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(error = %error, "Connection task failed");
    }
}

fn routes(index: Arc<Index>, limits: Limits) -> BoxedFilter<(Response,)> {
    let path = warp::path!("process-validating-webhook").or(warp::path!("validate")).unify();
    let room = Arc::new(Semaphore::new(limits.bodies as usize));
    path.and(warp::post())
        .and(warp::body::content_length_limit(limits.body.into()))
        .and(warp::header::<u32>("content-length"))
        .and_then(move |length| {
            std::future::ready(
                Arc::clone(&room).try_acquire_many_owned(length).map_err(|_| warp::reject::custom(NoRoom)),
            )
        })
        .and(warp::body::bytes())
        .map(move |room: OwnedSemaphorePermit, body: Bytes| {
            let answer = review(&body, &index);
            drop(room);
            answer
        })
        .recover(refuse)
        .unify()
        .boxed()
}

/// The bodies that are being read take all the room that there is.
#[derive(Debug)]
struct NoRoom;

impl warp::reject::Reject for NoRoom {}

async fn refuse(rejection: Rejection) -> Result<Response, Rejection> {
    match rejection.find::<NoRoom>() {
        Some(NoRoom) => Ok(StatusCode::SERVICE_UNAVAILABLE.into_response()),
        None => Err(rejection),
    }
}

fn review(body: &[u8], index: &Index) -> Response {
    let decoded = match decode(body, jiff::Timestamp::now()) {
        Ok(decoded) => decoded,
        Err(error) => {
            warn!(error = %error, "Malformed admission request");
            return warp::reply::with_status(error.to_string(), StatusCode::BAD_REQUEST).into_response();
        }
    };
    let answer = warp::reply::json(&Answer::allow(&decoded.response_uid)).into_response();
    match decoded.record {
        Some(record) => {
            debug!(request = ?record.request_uid, user = ?record.user.name, operation = %record.request.operation(), uid = ?record.uid, "Admission recorded");
            index.insert(record, Instant::now());
        }
        None => debug!(request = ?decoded.response_uid, "Admission not recorded"),
    }
    answer
}
