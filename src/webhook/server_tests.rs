//! The server over real TLS on loopback.

use super::{Certificate, Desk, Limits, LiveCertificate, certificate, serve, server_config};
use crate::attribution::Index;
use crate::telemetry::metrics::Metrics;
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
    certificate: Arc<LiveCertificate>,
    index: Arc<Index>,
    metrics: Arc<Metrics>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Limits of which none is met unless a test lowers it.
fn wide() -> Limits {
    Limits { handshake: HANGS, header: HANGS, request: HANGS, idle: HANGS, drain: HANGS, ..Limits::default() }
}

async fn start(limits: Limits) -> Server {
    start_with(limits, None, None).await
}

fn mk_certificate() -> Certificate {
    certificate(&[NAME.to_owned(), "127.0.0.1".to_owned()], jiff::Timestamp::now()).unwrap()
}

async fn start_with(limits: Limits, secret: Option<&str>, client_ca: Option<&str>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let made = mk_certificate();
    let live = Arc::new(LiveCertificate::new(&made).unwrap());
    let tls = server_config(Arc::clone(&live), client_ca).unwrap();
    let index = Arc::new(Index::new(crate::attribution::Limits::default()));
    let metrics = Arc::new(Metrics::new().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { stopped.await.unwrap_or_default() };
    let desk = Desk {
        index: Arc::clone(&index),
        metrics: Arc::clone(&metrics),
        secret: secret.map(str::to_owned),
        email_extra: None,
    };
    let task = tokio::spawn(serve(listener, tls, desk, limits, stopped));
    Server { address, ca_pem: made.ca.unwrap(), certificate: live, index, metrics, stop, task }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS / 2, future).await.expect("it hangs")
}

fn roots(ca_pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    roots
}

/// Trusts `ca_pem` only, and shows the certificate of `client`.
fn client_config(ca_pem: &str, client: Option<&Certificate>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_root_certificates(roots(ca_pem));
    let Some(client) = client else { return builder.with_no_client_auth() };
    let chain = vec![rustls::pki_types::CertificateDer::from_pem_slice(client.chain.as_bytes()).unwrap()];
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(client.key.as_bytes()).unwrap();
    builder.with_client_auth_cert(chain, key).unwrap()
}

/// A TLS connection that trusts `ca_pem` only and offers the protocol `alpn`.
async fn connect_with(
    address: SocketAddr,
    ca_pem: &str,
    name: &str,
    alpn: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots(ca_pem))
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
        (post("/validate/x/y", &review(false)), 404),
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

#[tokio::test]
async fn what_cannot_be_understood_is_allowed_where_it_can_be_answered() {
    let server = start(wide()).await;
    let odd = review(false).replace("\"username\":\"alice\"", "\"username\":7");
    let answer = server.http1(&post("/validate", &odd)).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(ALLOWED), "{answer}");
    assert!(server.index.is_empty());
    server.http1(&post("/validate", "garbage")).await;
    server.http1(&post("/validate", &review(false))).await;
    server.http1(&post("/", "")).await;
    let text = String::from_utf8(server.metrics.text().unwrap()).unwrap();
    for (outcome, count) in [("allowed", 1), ("malformed", 2), ("refused", 1)] {
        let line = format!("gitopsreverser_webhook_request_duration_seconds_count{{outcome=\"{outcome}\"}} {count}");
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn only_who_was_told_the_path_is_believed() {
    let server = start_with(wide(), Some("s3cret"), None).await;
    let (mut sender, _connection) = server.http2().await;
    for path in ["/validate", "/validate/", "/validate/s3cre", "/validate/s3cretx", "/validate/S3cret"] {
        let response = send(&mut sender, path, &review(false)).await;
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), ALLOWED, "{path}");
        assert!(server.index.is_empty(), "{path}");
    }
    for (path, records) in [("/validate/s3cret", 1), ("/process-validating-webhook/s3cret?timeout=1s", 2)] {
        assert_eq!(send(&mut sender, path, &review(false)).await.status(), 200);
        assert_eq!(server.index.len(), records);
    }
}

#[tokio::test]
async fn only_clients_of_the_given_authority_may_connect() {
    let issuer = crate::webhook::certificates::tests::mk_client_authority();
    let server = start_with(wide(), None, Some(&issuer.ca)).await;
    let ask = async |client: Option<&Certificate>| {
        let config = client_config(&server.ca_pem, client);
        let name = ServerName::try_from(NAME).unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(server.address).await?);
        let mut stream = soon(stream).await?;
        stream.write_all(post("/validate", &review(false)).as_bytes()).await?;
        let mut text = String::new();
        soon(stream.read_to_string(&mut text)).await?;
        std::io::Result::Ok(text)
    };
    let stranger = crate::webhook::certificates::tests::mk_client_authority();
    assert!(ask(None).await.is_err());
    assert!(ask(Some(&stranger.client)).await.is_err());
    assert!(server.index.is_empty());
    assert!(ask(Some(&issuer.client)).await.unwrap().ends_with(ALLOWED));
    assert_eq!(server.index.len(), 1);
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let server = start(wide()).await;
    let (mut old, _connection) = server.http2().await;
    let renewed = mk_certificate();
    server.certificate.replace(&renewed).unwrap();
    assert_eq!(send(&mut old, "/validate", &review(false)).await.status(), 200);
    let connect = |ca: String| async move { connect_with(server.address, &ca, NAME, "h2", rustls::ALL_VERSIONS).await };
    assert!(soon(connect(server.ca_pem.clone())).await.is_err());
    assert!(soon(connect(renewed.ca.unwrap())).await.is_ok());
}

/// Garbage, truncated, huge and slow requests, and idle connections, on every side of the good ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_clients_change_nothing_for_good_ones() {
    let server = Arc::new(start(Limits::default()).await);
    let mut idle = Vec::new();
    for number in 0..200 {
        // Half of them have not even begun to talk.
        idle.push(if number % 2 == 0 {
            (Some(TcpStream::connect(server.address).await.unwrap()), None)
        } else {
            (None, Some(server.connect("http/1.1").await))
        });
    }
    let mut slow = server.connect("http/1.1").await;
    begin(&mut slow, &post("/validate", &review(false))).await;
    let bad = tokio::spawn({
        let server = Arc::clone(&server);
        async move {
            for _ in 0..20 {
                let whole = review(false);
                let huge = " ".repeat(4 * 1024 * 1024 + 1);
                let truncated = post("/validate", &whole[..whole.len() / 2]);
                for request in
                    ["garbage\r\n\r\n".to_owned(), truncated, post("/validate", "{"), post("/validate", "\u{0}")]
                {
                    assert!(server.http1(&request).await.starts_with("HTTP/1.1 400"));
                }
                let (mut sender, _connection) = server.http2().await;
                assert_eq!(send(&mut sender, "/validate", &huge).await.status(), 413);
                let mut cut = server.connect("http/1.1").await;
                cut.write_all(&post("/validate", &whole).as_bytes()[..100]).await.unwrap();
                drop(cut);
            }
        }
    });
    let (mut sender, _connection) = server.http2().await;
    let mut answered = 0;
    while answered < 100 || !bad.is_finished() {
        assert_eq!(send(&mut sender, "/validate", &review(false)).await.status(), 200);
        answered += 1;
    }
    bad.await.unwrap();
    assert!(server.index.len() <= answered);
    assert_eq!(server.index.len(), answered.min(crate::attribution::Limits::default().records_per_uid));
    drop((idle, slow));
}

#[tokio::test]
async fn who_was_not_told_the_path_cannot_take_all_the_room() {
    let body = review(false);
    let length = u32::try_from(body.len()).unwrap();
    let server = start_with(Limits { bodies: 4 * length, ..wide() }, Some("s3cret"), None).await;
    let (mut sender, _connection) = server.http2().await;
    let mut slow = vec![server.connect("http/1.1").await];
    begin(&mut slow[0], &post("/validate", &body)).await;
    assert_eq!(send(&mut sender, "/validate", &body).await.status(), 503);
    for _ in 0..3 {
        let mut stream = server.connect("http/1.1").await;
        begin(&mut stream, &post("/validate/s3cret", &body)).await;
        slow.push(stream);
    }
    assert_eq!(send(&mut sender, "/validate/s3cret", &body).await.status(), 503, "there is no more");
}
