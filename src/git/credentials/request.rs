//! One HTTP request of our own: no redirects, a bounded answer, a deadline.

use super::address::{self, Addresses};
use super::error::AccessError;
use crate::resource::RepoUrl;
use crate::resource::url::Scheme;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri};
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long a request may take in all.
const DEADLINE: Duration = Duration::from_secs(30);
/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 << 10;

type Failure = Box<dyn Error + Send + Sync>;

/// Where a request goes, and how.
#[derive(Debug)]
pub(super) struct Endpoint<'a> {
    /// The address, checked.
    pub(super) url: &'a RepoUrl,
    /// Certificates of authorities besides the system's, PEM.
    pub(super) authority: Option<&'a str>,
    /// Whether local addresses may be used.
    pub(super) allow_insecure: bool,
}

impl Endpoint<'_> {
    /// Sends an empty POST with `authorization`; returns the status and the body of the answer.
    pub(super) async fn post(&self, authorization: &str) -> Result<(StatusCode, Bytes), AccessError> {
        let unreachable = |problem: String| AccessError::Unreachable { host: self.url.host().to_owned(), problem };
        match tokio::time::timeout(DEADLINE, self.exchange(authorization)).await {
            Ok(result) => result.map_err(|error| match error.downcast::<AccessError>() {
                Ok(refused) => *refused,
                Err(error) => unreachable(causes(&*error)),
            }),
            Err(_) => Err(unreachable(format!("no answer within {DEADLINE:?}"))),
        }
    }

    async fn exchange(&self, authorization: &str) -> Result<(StatusCode, Bytes), Failure> {
        let uri: Uri = self.url.as_str().parse()?;
        let tcp = self.connect().await?;
        let request = Request::post(uri.path())
            .header("host", self.url.authority())
            .header("authorization", authorization)
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28")
            .header("user-agent", "gitops-reverser")
            .body(Empty::<Bytes>::new())?;
        if self.url.scheme() != Scheme::Https {
            return send(tcp, request).await;
        }
        let connector = TlsConnector::from(Arc::new(self.tls()?));
        let name = ServerName::try_from(self.url.host().trim_matches(['[', ']']).to_owned())?;
        send(connector.connect(name, tcp).await?, request).await
    }

    async fn connect(&self) -> Result<TcpStream, Failure> {
        let (host, port) = (self.url.host(), self.url.effective_port());
        if let Some(proxy) = address::proxy(self.url) {
            return tunnel(&proxy, &format!("{host}:{port}")).await;
        }
        if self.allow_insecure {
            return Ok(TcpStream::connect((host.trim_matches(['[', ']']), port)).await?);
        }
        let addresses = Addresses::look_up(host, port).await?;
        Ok(TcpStream::connect(addresses.as_slice()).await?)
    }

    fn tls(&self) -> Result<ClientConfig, Failure> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        if let Some(pem) = self.authority {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                roots.add(certificate?)?;
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        Ok(config.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth())
    }
}

/// Asks `proxy` for a connection to `target`, `host:port`.
async fn tunnel(proxy: &Intercept, target: &str) -> Result<TcpStream, Failure> {
    let uri = proxy.uri();
    let host = uri.host().filter(|_| uri.scheme_str() == Some("http")).ok_or("the proxy must be http://host:port")?;
    let mut stream = TcpStream::connect((host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80))).await?;
    let login = proxy.basic_auth().and_then(|login| login.to_str().ok());
    let login = login.map(|login| format!("Proxy-Authorization: {login}\r\n")).unwrap_or_default();
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // What follows the head belongs to the connection.
        head.push(stream.read_u8().await?);
        if head.len() > LONGEST_ANSWER {
            return Err("the proxy's answer has no end".into());
        }
    }
    let status = String::from_utf8_lossy(&head).split(' ').nth(1).map(str::to_owned).unwrap_or_default();
    if status.starts_with('2') { Ok(stream) } else { Err(format!("the proxy answered {}", status.trim()).into()) }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<(StatusCode, Bytes), Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok((head.status, Limited::new(body, LONGEST_ANSWER).collect().await?.to_bytes()))
    };
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The server may close as soon as everything is here.
        _ = &mut connection => exchange.await,
    }
}

/// What went wrong and why, in one line.
fn causes(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    let mut said: Vec<String> = chain.map(ToString::to_string).collect();
    said.dedup();
    said.join(": ")
}
