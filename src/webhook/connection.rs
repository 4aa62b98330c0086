//! One connection of the webhook server, from its handshake to its end.

use super::server::Limits;
use crate::telemetry::metrics::{AdmissionOutcome, Metrics};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::debug;
use warp::http::{Request, StatusCode};
use warp::reply::{Reply, Response};

/// How much of a request's head is kept while it is incomplete (HTTP/1.1), in bytes.
const HEAD_BUFFER: usize = 64 * 1024;
/// How much one HTTP/2 stream, and all streams of a connection, may send before they are read, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// How many requests of one HTTP/2 connection may be under way.
const STREAMS: u32 = 256;

/// Serves one connection until the client leaves, breaks a limit or `stop` becomes true. A connection that
/// is told to end finishes the requests that it has, within the limit for that.
pub(super) async fn serve_connection<S>(
    stream: TcpStream,
    tls: TlsAcceptor,
    service: S,
    metrics: Arc<Metrics>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let handshake = async {
        stream.set_nodelay(true)?;
        tls.accept(stream).await
    };
    let stream = tokio::select! {
        _ = stop.wait_for(|stop| *stop) => return,
        shaken = timeout(limits.handshake, handshake) => match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return debug!(error = %error, "TLS handshake failed"),
            Err(_) => return debug!("TLS handshake took too long"),
        },
    };
    let activity = Arc::new(Activity::new());
    let service = bounded(service, Arc::clone(&activity), metrics, limits);
    let builder = builder(limits);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    loop {
        tokio::select! {
            ended = connection.as_mut() => return report(ended),
            _ = stop.wait_for(|stop| *stop) => break,
            () = sleep_until(activity.quiet_since() + limits.idle) => {
                if activity.quiet_since().elapsed() >= limits.idle {
                    break;
                }
            }
        }
    }
    connection.as_mut().graceful_shutdown();
    match timeout(limits.drain, connection).await {
        Ok(ended) => report(ended),
        Err(_) => debug!("Connection did not end in time"),
    }
}

fn report(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        debug!(error = %error, "Connection failed");
    }
}

fn builder(limits: Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header).max_buf_size(HEAD_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.header)
        .keep_alive_timeout(limits.header)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// `service` with a deadline on each request, its body included, and a note of when there are requests and how long
/// they take.
fn bounded<S>(
    service: S,
    activity: Arc<Activity>,
    metrics: Arc<Metrics>,
    limits: Limits,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send + 'static>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    service_fn(move |request| {
        let under_way = UnderWay::new(Arc::clone(&activity));
        let (began, metrics) = (Instant::now(), Arc::clone(&metrics));
        let answer = service.call(request);
        async move {
            let answer = timeout(limits.request, answer).await;
            drop(under_way);
            let Ok(answer) = answer.unwrap_or_else(|_| Ok(StatusCode::REQUEST_TIMEOUT.into_response()));
            let outcome = answer.extensions().get().copied().unwrap_or(AdmissionOutcome::Refused);
            metrics.admission(began.elapsed(), outcome);
            Ok(answer)
        }
    })
}

/// When a connection last had a request: an open connection that is never used costs a place.
#[derive(Debug)]
struct Activity(Mutex<Requests>);

#[derive(Debug)]
struct Requests {
    under_way: usize,
    last: Instant,
}

impl Activity {
    fn new() -> Self {
        Self(Mutex::new(Requests { under_way: 0, last: Instant::now() }))
    }

    /// Since when there has been no request; now, if there is one.
    fn quiet_since(&self) -> Instant {
        let requests = self.lock();
        if requests.under_way > 0 { Instant::now() } else { requests.last }
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request that is not answered yet.
struct UnderWay(Arc<Activity>);

impl UnderWay {
    fn new(activity: Arc<Activity>) -> Self {
        activity.lock().under_way += 1;
        Self(activity)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut requests = self.0.lock();
        requests.under_way -= 1;
        requests.last = Instant::now();
    }
}
