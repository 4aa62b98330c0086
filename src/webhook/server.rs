//! The HTTPS server that the API server calls.

use super::admission::{Answer, decode_with, response_uid};
use super::connection::serve_connection;
use crate::attribution::Index;
use crate::telemetry::metrics::{AdmissionOutcome, Metrics};
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

/// Where requests end up.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Takes what they tell.
    pub index: Arc<Index>,
    /// Takes how long they took.
    pub metrics: Arc<Metrics>,
    /// The last segment of the path that the API server was told; without it a request is answered but not believed.
    /// `None`: every request is.
    pub secret: Option<String>,
    /// The key in `userInfo.extra` under which the authenticator gives e-mail addresses.
    pub email_extra: Option<String>,
}

impl Desk {
    /// Whether a request to a path that ends with `segment` comes from somebody who was told the path. Takes as long for
    /// a near miss as for any other.
    fn is_told(&self, segment: Option<&str>) -> bool {
        let Some(secret) = &self.secret else { return true };
        let segment = segment.unwrap_or_default();
        let differs = secret.bytes().zip(segment.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
        secret.len() == segment.len() && differs == 0
    }
}

/// How long the server waits when it cannot accept a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers admission requests on `listener` and puts what they tell on the `desk`, until `shutdown`.
///
/// Then it accepts no more, tells every client to go elsewhere (GOAWAY), answers what is under way and
/// returns, at the latest after [`Limits::drain`]. No client can make it end or panic.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    desk: Desk,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let tls = TlsAcceptor::from(tls);
    let metrics = Arc::clone(&desk.metrics);
    let service = TowerToHyperService::new(warp::service(routes(desk, limits)));
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
                connections.spawn(serve_connection(stream, tls, service, Arc::clone(&metrics), limits, stopped));
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

fn routes(desk: Desk, limits: Limits) -> BoxedFilter<(Response,)> {
    let name = || warp::path("process-validating-webhook").or(warp::path("validate")).unify();
    let bare = name().and(warp::path::end()).map(|| None);
    let longer = name().and(warp::path::param()).and(warp::path::end()).map(Some::<String>);
    let path = bare.or(longer).unify();
    // Strangers have a share of their own: what they send slowly takes nothing from the API server.
    let strangers = if desk.secret.is_some() { limits.bodies / 4 } else { 0 };
    let room = |bytes: u32| Arc::new(Semaphore::new(bytes as usize));
    let (room, rest) = (room(limits.bodies - strangers), room(strangers));
    let gate = desk.clone();
    path.and(warp::post())
        .and(warp::body::content_length_limit(limits.body.into()))
        .and(warp::header::<u32>("content-length"))
        .and_then(move |segment: Option<String>, length| {
            let room = if gate.is_told(segment.as_deref()) { &room } else { &rest };
            let permit = Arc::clone(room).try_acquire_many_owned(length);
            std::future::ready(permit.map(|permit| (segment, permit)).map_err(|_| warp::reject::custom(NoRoom)))
        })
        .untuple_one()
        .and(warp::body::bytes())
        .map(move |segment: Option<String>, room: OwnedSemaphorePermit, body: Bytes| {
            let answer = review(&body, &desk, segment.as_deref());
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

/// Allows whatever can be answered at all. What is not understood is allowed too, and proves nothing.
fn review(body: &[u8], desk: &Desk, segment: Option<&str>) -> Response {
    let decoded = match decode_with(body, jiff::Timestamp::now(), desk.email_extra.as_deref()) {
        Ok(decoded) => decoded,
        Err(error) => {
            warn!(error = %error, "Malformed admission request");
            let mut answer = match response_uid(body) {
                Some(uid) => warp::reply::json(&Answer::allow(&uid)).into_response(),
                None => warp::reply::with_status(error.to_string(), StatusCode::BAD_REQUEST).into_response(),
            };
            answer.extensions_mut().insert(AdmissionOutcome::Malformed);
            return answer;
        }
    };
    let mut answer = warp::reply::json(&Answer::allow(&decoded.response_uid)).into_response();
    answer.extensions_mut().insert(AdmissionOutcome::Allowed);
    match decoded.record {
        Some(record) if desk.is_told(segment) => {
            debug!(request = ?record.request_uid, user = ?record.user.name, operation = %record.request.operation(), uid = ?record.uid, "Admission recorded");
            desk.index.insert(record, Instant::now());
        }
        Some(_) => debug!(request = ?decoded.response_uid, "Admission not recorded: it came by another path"),
        None => debug!(request = ?decoded.response_uid, "Admission not recorded"),
    }
    answer
}
