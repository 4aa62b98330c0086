//! TLS in front of a server that speaks plain HTTP: a certificate of an authority of our own, and on demand one that the
//! client must show.

use super::certificates::{Authority, Identity};
use anyhow::Result;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Serves as long as the test's runtime lives.
pub(crate) struct TlsFront {
    address: SocketAddr,
    authority: Authority,
}

impl TlsFront {
    /// Passes everything on to `backend`. `asks_for_certificate`: only for clients with a certificate of our authority.
    pub(crate) async fn start(backend: SocketAddr, asks_for_certificate: bool) -> Result<Self> {
        let authority = Authority::new()?;
        let serving = authority.server(&["127.0.0.1", "localhost"])?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let config = if asks_for_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes())?)?;
            config.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?,
            )
        } else {
            config.with_no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_slice(serving.certificate.as_bytes())?];
        let config = config.with_single_cert(chain, PrivateKeyDer::from_pem_slice(serving.key.as_bytes())?)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                // A handshake that fails is what some tests do on purpose; the client sees it and reports it.
                tokio::spawn(async move {
                    let mut front = acceptor.accept(stream).await?;
                    let mut back = TcpStream::connect(backend).await?;
                    tokio::io::copy_bidirectional(&mut front, &mut back).await
                });
            }
        });
        Ok(Self { address, authority })
    }

    /// `plain`, an address of the backend, as it is reached through TLS.
    pub(crate) fn url(&self, plain: &str) -> String {
        let path = plain.splitn(4, '/').nth(3).unwrap_or_default();
        format!("https://{}/{path}", self.address)
    }

    /// The certificate of the authority, PEM.
    pub(crate) fn authority(&self) -> &str {
        self.authority.pem()
    }

    /// A certificate that the front takes.
    pub(crate) fn client(&self) -> Result<Identity> {
        self.authority.client("git", "testers")
    }
}
