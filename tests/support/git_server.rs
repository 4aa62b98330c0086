//! A Git remote over smart HTTP on loopback, with basic authentication and faults on demand.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
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

/// A way for the server to fail until told otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Connections are accepted and closed at once.
    Down,
    /// Every request, with or without credentials, is answered with this status and an empty body.
    Status(u16),
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
    fault: Mutex<Option<Fault>>,
    requests: AtomicU64,
}

impl State {
    fn fault(&self) -> Option<Fault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GitServer {
    /// Starts a server without repositories on a free port.
    pub(crate) async fn start() -> Result<Self> {
        tokio::task::spawn_blocking(Self::start_blocking).await?
    }

    fn start_blocking() -> Result<Self> {
        let state =
            Arc::new(State { scratch: ScratchDir::new()?, fault: Mutex::new(None), requests: AtomicU64::new(0) });
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
        *self.state.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// HTTP requests that have arrived so far, whatever they were answered with.
    pub(crate) fn request_count(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
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
        if matches!(state.fault(), Some(Fault::Down)) {
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
    match state.fault() {
        Some(Fault::Down) => return Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
        Some(Fault::Status(code)) => {
            let status = StatusCode::from_u16(code).map_err(io::Error::other)?;
            return Ok(empty(status));
        }
        None => {}
    }
    if !authenticated(&request) {
        let mut response = empty(StatusCode::UNAUTHORIZED);
        response.headers_mut().insert(WWW_AUTHENTICATE, hyper::header::HeaderValue::from_static("Basic realm=\"git\""));
        return Ok(response);
    }
    answer_or_500(state.scratch.path(), request).await
}

async fn answer_or_500(root: &Path, request: Request<Incoming>) -> io::Result<Response<Body>> {
    git_cgi::answer(root, USER, request).await.or_else(|error| {
        eprintln!("the Git server could not answer: {error:#}");
        Ok(empty(StatusCode::INTERNAL_SERVER_ERROR))
    })
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
