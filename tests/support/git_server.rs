//! A Git remote over smart HTTP on loopback, with basic authentication and faults on demand.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::git_cgi::{self, Body};
use super::remote_repo::RemoteRepo;
use super::scratch::ScratchDir;

const USER: &str = "git";
const PASSWORD: &str = "loopback-only";
const TOKEN: &str = "loopback-token";

/// A way for the server to fail.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Connections are accepted and closed at once.
    Down,
    /// The answer is this status with an empty body.
    Status(u16),
    /// There is never an answer.
    Stall,
    /// Git gets so many bytes of the request's body, and the client a closed connection.
    CutRequest(usize),
    /// Git does all its work, and the client gets so many bytes of the answer's body before the connection is closed.
    CutAnswer(usize),
    /// Git does all its work, and the client gets no answer: the connection is closed.
    AnswerLost,
    /// The answer takes so long.
    Slow(Duration),
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first request of every fetch and push: `info/refs`.
    Refs,
    /// `git-upload-pack`: listing refs by protocol 2, and fetching.
    UploadPack,
    /// `git-receive-pack`: the push itself.
    ReceivePack,
}

impl Kind {
    fn of(request: &Request<Incoming>) -> Self {
        match request.uri().path() {
            path if path.ends_with("/git-upload-pack") => Self::UploadPack,
            path if path.ends_with("/git-receive-pack") => Self::ReceivePack,
            _ => Self::Refs,
        }
    }
}

/// A fault and what it is for.
#[derive(Clone, Copy, Debug)]
struct Injected {
    fault: Fault,
    /// `None`: every request, with or without credentials. Otherwise only requests with the right credentials.
    kind: Option<Kind>,
    once: bool,
}

/// A running server with any number of repositories. Dropping it closes the port and removes the repositories.
///
/// It has a thread and a runtime of its own, so a test may block its own runtime on a `git` that talks to it.
pub(crate) struct GitServer {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    scratch: ScratchDir,
    fault: Mutex<Option<Injected>>,
    requests: AtomicU64,
    /// Those of them that list refs or fetch.
    looks: AtomicU64,
    faults_met: AtomicU64,
}

impl State {
    fn set(&self, injected: Option<Injected>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = injected;
    }

    fn is_down(&self) -> bool {
        let injected = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*injected, Some(Injected { fault: Fault::Down, .. }))
    }

    /// The fault that a request meets.
    fn meet(&self, request: &Request<Incoming>) -> Option<Fault> {
        let mut injected = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        let applies = |kind| kind == Kind::of(request) && authenticated(request);
        let met = injected.filter(|injected| injected.kind.is_none_or(applies))?;
        if met.once {
            *injected = None;
        }
        self.faults_met.fetch_add(1, Ordering::Relaxed);
        Some(met.fault)
    }
}

impl GitServer {
    /// Starts a server without repositories on a free port.
    pub(crate) async fn start() -> Result<Self> {
        tokio::task::spawn_blocking(Self::start_blocking).await?
    }

    fn start_blocking() -> Result<Self> {
        let state = Arc::new(State {
            scratch: ScratchDir::new()?,
            fault: Mutex::default(),
            requests: AtomicU64::default(),
            looks: AtomicU64::default(),
            faults_met: AtomicU64::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener =
            runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).context("binding the Git server")?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let serving = accept(listener, Arc::clone(&state));
        let thread = std::thread::Builder::new().name("git-server".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serving => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, state, stop: Some(stop), thread: Some(thread) })
    }

    /// The one user that the server knows.
    pub(crate) fn user(&self) -> &'static str {
        USER
    }

    /// The password of [`GitServer::user`].
    pub(crate) fn password(&self) -> &'static str {
        PASSWORD
    }

    /// A token that opens everything too: as a bearer, or as the password of `x-access-token`.
    pub(crate) fn token(&self) -> &'static str {
        TOKEN
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Creates the empty bare repository `<name>.git` whose first branch is `main`. Panics when git fails.
    pub(crate) fn create_repo(&self, name: &str) -> RemoteRepo {
        let file = format!("{name}.git");
        let url = format!("http://{}/{file}", self.address);
        let authenticated = format!("http://{USER}:{PASSWORD}@{}/{file}", self.address);
        RemoteRepo::create(self.state.scratch.path().join(file), url, authenticated)
    }

    /// From now on every connection and request meets this fault; `None` heals.
    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        self.state.set(fault.map(|fault| Injected { fault, kind: None, once: false }));
    }

    /// From now on every request of this kind that has the right credentials meets this fault, until `set_fault(None)`.
    pub(crate) fn fault_on(&self, kind: Kind, fault: Fault) {
        self.state.set(Some(Injected { fault, kind: Some(kind), once: false }));
    }

    /// The next request of this kind that has the right credentials meets this fault.
    pub(crate) fn fault_once(&self, kind: Kind, fault: Fault) {
        self.state.set(Some(Injected { fault, kind: Some(kind), once: true }));
    }

    /// Requests that have met a fault so far; connections that were closed at once are not counted.
    pub(crate) fn faults_met(&self) -> u64 {
        self.state.faults_met.load(Ordering::Relaxed)
    }

    /// HTTP requests that have arrived so far, whatever they were answered with.
    pub(crate) fn request_count(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }
}

impl GitServer {
    /// How often somebody with the right credentials has listed refs or fetched: one for each `ls-remote`.
    pub(crate) fn looks(&self) -> usize {
        usize::try_from(self.state.looks.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("the Git server panicked");
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    loop {
        // A connection that failed before we took it is the client's business.
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        if state.is_down() {
            continue;
        }
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request| respond(Arc::clone(&state), request));
            // A connection that breaks is what some tests do on purpose; the client sees it and reports it.
            if http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.is_err() {}
        });
    }
}

/// An error closes the connection without an answer.
async fn respond(state: Arc<State>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    state.requests.fetch_add(1, Ordering::Relaxed);
    if Kind::of(&request) == Kind::UploadPack && authenticated(&request) {
        state.looks.fetch_add(1, Ordering::Relaxed);
    }
    let fault = state.meet(&request);
    match fault {
        Some(Fault::Down) => return Err(closed()),
        Some(Fault::Status(code)) => return Ok(empty(StatusCode::from_u16(code).map_err(io::Error::other)?)),
        Some(Fault::Stall) => return std::future::pending().await,
        Some(Fault::Slow(delay)) => tokio::time::sleep(delay).await,
        _ => {}
    }
    if !authenticated(&request) {
        let mut response = empty(StatusCode::UNAUTHORIZED);
        response.headers_mut().insert(WWW_AUTHENTICATE, hyper::header::HeaderValue::from_static("Basic realm=\"git\""));
        return Ok(response);
    }
    let passed_on = if let Some(Fault::CutRequest(bytes)) = fault { bytes } else { usize::MAX };
    let answer = git_cgi::answer(state.scratch.path(), USER, request, passed_on).await.or_else(|error| {
        eprintln!("the Git server could not answer: {error:#}");
        io::Result::Ok(empty(StatusCode::INTERNAL_SERVER_ERROR))
    })?;
    let passed_back = match fault {
        Some(Fault::CutAnswer(bytes)) => bytes,
        Some(Fault::CutRequest(_) | Fault::AnswerLost) => 0,
        _ => return Ok(answer),
    };
    let (head, body) = answer.into_parts();
    // Git has done its work when its answer is complete.
    let complete = body.collect().await?.to_bytes();
    if passed_back == 0 {
        return Err(closed());
    }
    let first = complete.slice(..passed_back.min(complete.len()));
    let frames = stream::iter([Ok(Frame::data(first)), Err(closed())]);
    Ok(Response::from_parts(head, StreamBody::new(frames).boxed_unsync()))
}

fn closed() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionAborted)
}

fn authenticated(request: &Request<Incoming>) -> bool {
    let basic = |login: String| format!("Basic {}", BASE64_STANDARD.encode(login));
    let accepted =
        [basic(format!("{USER}:{PASSWORD}")), basic(format!("x-access-token:{TOKEN}")), format!("Bearer {TOKEN}")];
    let shown = request.headers().get(AUTHORIZATION);
    shown.is_some_and(|value| accepted.iter().any(|accepted| value.as_bytes() == accepted.as_bytes()))
}

fn empty(status: StatusCode) -> Response<Body> {
    let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
