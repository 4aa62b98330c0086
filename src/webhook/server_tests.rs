//! The server over real TLS on loopback.

use super::{Limits, issue, serve};
use crate::attribution::Index;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use warp::http::{Request, Response};

/// Longer than anything here takes; what takes as long hangs.
const HANGS: Duration = Duration::from_secs(30);
/// A limit that a test wants to see broken.
const SHORT: Duration = Duration::from_millis(50);

const NAME: &str = "webhook.example.svc";

struct Server {
    address: SocketAddr,
    ca_pem: String,
    index: Arc<Index>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Limits of which none is met unless a test lowers it.
fn wide() -> Limits {
    Limits { handshake: HANGS, header: HANGS, request: HANGS, idle: HANGS, drain: HANGS, ..Limits::default() }
}

async fn start(limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = issue(&[NAME.to_owned(), "127.0.0.1".to_owned()], jiff::Timestamp::now()).unwrap();
    let index = Arc::new(Index::new(crate::attribution::Limits::default()));
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { stopped.await.unwrap_or_default() };
    let task = tokio::spawn(serve(listener, serving.tls, Arc::clone(&index), limits, stopped));
    Server { address, ca_pem: serving.ca_pem, index, stop, task }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS / 2, future).await.expect("it hangs")
}

/// A TLS connection that trusts `ca_pem` only and offers the protocol `alpn`.
async fn connect_with(
    address: SocketAddr,
    ca_pem: &str,
    name: &str,
    alpn: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
}

impl Server {
    async fn connect(&self, alpn: &str) -> TlsStream<TcpStream> {
        soon(connect_with(self.address, &self.ca_pem, NAME, alpn, rustls::ALL_VERSIONS)).await.unwrap()
    }

    /// An HTTP/2 connection, and the task that ends with it.
    async fn http2(&self) -> (SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>) {
        let stream = self.connect("h2").await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        (sender, tokio::spawn(connection))
    }

    /// Sends one HTTP/1.1 request as it is written and returns all that comes back.
    async fn http1(&self, request: &str) -> String {
        let mut stream = self.connect("http/1.1").await;
        stream.write_all(request.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }
}

async fn rest(stream: &mut TlsStream<TcpStream>) -> String {
    let mut text = Vec::new();
    // The server may close without a farewell where the client broke a limit.
    let read = soon(stream.read_to_end(&mut text)).await;
    assert!(read.is_ok() || text.is_empty(), "{read:?}");
    String::from_utf8(text).unwrap()
}

/// Sends the head of `request` and returns when the server reads the body.
async fn begin(stream: &mut TlsStream<TcpStream>, request: &str) {
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    stream.write_all(format!("{head}\r\nexpect: 100-continue\r\n\r\n").as_bytes()).await.unwrap();
    let mut leave = [0; 25];
    soon(stream.read_exact(&mut leave)).await.unwrap();
    assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n");
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn send(sender: &mut SendRequest<Full<Bytes>>, path: &str, body: &str) -> Response<hyper::body::Incoming> {
    let request = Request::post(format!("https://{NAME}{path}")).body(Full::from(body.to_owned())).unwrap();
    soon(sender.send_request(request)).await.unwrap()
}

fn review(dry_run: bool) -> String {
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"the-call","operation":"DELETE",
        "dryRun":{dry_run},"userInfo":{{"username":"alice"}},"object":null,
        "oldObject":{{"metadata":{{"uid":"the-object","resourceVersion":"7"}}}}}}}}"#
    )
}

const ALLOWED: &str =
    r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"the-call","allowed":true}}"#;

#[tokio::test]
async fn a_review_is_recorded_and_allowed() {
    let server = start(wide()).await;
    let (mut sender, _connection) = server.http2().await;
    for (path, records) in [("/process-validating-webhook?timeout=1s", 1), ("/validate", 2)] {
        let response = send(&mut sender, path, &review(false)).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), ALLOWED);
        assert_eq!(server.index.len(), records);
    }
    let answer = server.http1(&post("/validate", &review(false))).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(ALLOWED), "{answer}");
    assert_eq!(server.index.len(), 3);
}

#[tokio::test]
async fn a_dry_run_is_allowed_but_not_recorded() {
    let server = start(wide()).await;
    let (mut sender, _connection) = server.http2().await;
    let response = send(&mut sender, "/validate", &review(true)).await;
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), ALLOWED);
    assert!(server.index.is_empty());
}

#[tokio::test]
async fn what_is_no_review_is_refused() {
    let server = start(Limits { body: 1_000, ..wide() }).await;
    let table = [
        (post("/validate", "garbage"), 400),
        (post("/validate", ""), 400),
        (post("/validate", &" ".repeat(1_001)), 413),
        (post("/validate", &" ".repeat(1_001)).replace("content-length: 1001", "content-length: 99999999999999"), 413),
        (
            "POST /validate HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_owned(),
            411,
        ),
        (post("/", &review(false)), 404),
        (post("/validate/x", &review(false)), 404),
        (post("/validate", &review(false)).replace("POST", "PUT"), 405),
        ("garbage\r\n\r\n".to_owned(), 400),
    ];
    for (request, status) in table {
        let answer = server.http1(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.80}: {answer}");
    }
    assert!(server.index.is_empty());
    let (mut sender, _connection) = server.http2().await;
    assert_eq!(send(&mut sender, "/validate", &" ".repeat(1_001)).await.status(), 413);
    assert_eq!(send(&mut sender, "/validate", &review(false)).await.status(), 200);
}

#[tokio::test]
async fn bodies_beyond_all_room_are_refused_at_once() {
    let body = review(false);
    let server = start(Limits { bodies: u32::try_from(body.len()).unwrap() + 10, ..wide() }).await;
    let mut slow = server.connect("http/1.1").await;
    begin(&mut slow, &post("/validate", &body)).await;
    let (mut sender, _connection) = server.http2().await;
    assert_eq!(send(&mut sender, "/validate", &body).await.status(), 503);
    slow.write_all(body.as_bytes()).await.unwrap();
    assert!(rest(&mut slow).await.starts_with("HTTP/1.1 200"));
    assert_eq!(send(&mut sender, "/validate", &body).await.status(), 200);
}

#[tokio::test]
async fn clients_that_keep_the_server_waiting_are_cut_off() {
    let server = start(Limits { handshake: SHORT, ..wide() }).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(soon(silent.read(&mut [0; 1])).await.unwrap(), 0, "no handshake");

    let server = start(Limits { header: SHORT, ..wide() }).await;
    let mut stream = server.connect("http/1.1").await;
    stream.write_all(b"POST /validate HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    rest(&mut stream).await;

    let server = start(Limits { idle: SHORT, drain: SHORT, ..wide() }).await;
    assert_eq!(rest(&mut server.connect("http/1.1").await).await, "", "no request");
    assert_eq!(server.http1("PRI").await, "", "part of an HTTP/2 preface");
    let (_sender, connection) = server.http2().await;
    // Whether the client has been told why depends on how far its own handshake got.
    assert!(soon(connection).await.is_ok());

    let server = start(Limits { request: SHORT, ..wide() }).await;
    let answer = server.http1(&post("/validate", "body").replace("content-length: 4", "content-length: 5")).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_cap_are_closed() {
    let server = start(Limits { connections: 1, ..wide() }).await;
    let (mut sender, connection) = server.http2().await;
    assert_eq!(send(&mut sender, "/validate", &review(false)).await.status(), 200);
    let again = || connect_with(server.address, &server.ca_pem, NAME, "h2", rustls::ALL_VERSIONS);
    assert!(soon(again()).await.is_err());
    drop(sender);
    soon(connection).await.unwrap().unwrap();
    soon(async { while again().await.is_err() {} }).await;
}

#[tokio::test]
async fn shutdown_ends_connections_and_finishes_requests() {
    let server = start(wide()).await;
    let (mut sender, idle_http2) = server.http2().await;
    assert_eq!(send(&mut sender, "/validate", &review(false)).await.status(), 200);
    let mut idle_http1 = server.connect("http/1.1").await;
    let _no_handshake = TcpStream::connect(server.address).await.unwrap();
    let (mut busy, body) = (server.connect("http/1.1").await, review(false));
    begin(&mut busy, &post("/validate", &body).replace("close", "keep-alive")).await;

    server.stop.send(()).unwrap();
    soon(idle_http2).await.unwrap().unwrap();
    assert_eq!(rest(&mut idle_http1).await, "");
    assert!(!server.task.is_finished());
    busy.write_all(body.as_bytes()).await.unwrap();
    assert!(rest(&mut busy).await.starts_with("HTTP/1.1 200"));
    soon(server.task).await.unwrap();
    assert_eq!(server.index.len(), 2);
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let server = start(Limits { drain: SHORT, ..wide() }).await;
    let mut busy = server.connect("http/1.1").await;
    begin(&mut busy, &post("/validate", "body")).await;
    server.stop.send(()).unwrap();
    soon(server.task).await.unwrap();
}

#[tokio::test]
async fn only_the_right_authority_and_name_are_trusted() {
    let (server, other) = (start(wide()).await, start(wide()).await);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let connect = |ca, name| connect_with(server.address, ca, name, "h2", std::slice::from_ref(&version));
        for name in [NAME, "127.0.0.1"] {
            let stream = soon(connect(server.ca_pem.as_str(), name)).await.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        }
        assert!(soon(connect(server.ca_pem.as_str(), "other.example.svc")).await.is_err());
        assert!(soon(connect(other.ca_pem.as_str(), NAME)).await.is_err());
    }
}
