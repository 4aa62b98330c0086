//! TLS for the webhook: a certificate that can be exchanged while connections are open, and which clients may connect.

use super::certificates::Certificate;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use std::sync::{Arc, PoisonError, RwLock};

/// PEM that cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate or its key.
    #[error("the webhook's certificate cannot be used: {0}")]
    Certificate(String),
    /// The certificates that clients are checked against.
    #[error("the authority of the webhook's clients cannot be used: {0}")]
    ClientAuthority(String),
    /// Anything else.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// The certificate that new connections are shown. Those that are open keep the one that they have seen.
#[derive(Debug)]
pub struct LiveCertificate(RwLock<Arc<CertifiedKey>>);

impl LiveCertificate {
    /// Begins with `certificate`.
    ///
    /// # Errors
    /// When it is no PEM, or its key is another's.
    pub fn new(certificate: &Certificate) -> Result<Self, TlsError> {
        Ok(Self(RwLock::new(certified(certificate)?)))
    }

    /// Goes on with `certificate`.
    ///
    /// # Errors
    /// When it is no PEM, or its key is another's; then nothing has changed.
    pub fn replace(&self, certificate: &Certificate) -> Result<(), TlsError> {
        let certified = certified(certificate)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certified;
        Ok(())
    }
}

impl ResolvesServerCert for LiveCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn certified(certificate: &Certificate) -> Result<Arc<CertifiedKey>, TlsError> {
    let wrong = |what: String| TlsError::Certificate(what);
    let chain = certificates(&certificate.chain).map_err(wrong)?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    // Refuses a key that does not belong to the certificate.
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &provider()).map_err(|error| wrong(error.to_string()))?))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err("it holds no certificate".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn provider() -> CryptoProvider {
    ring::default_provider()
}

/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, with `certificate`. With `client_ca`, certificates as PEM, only clients that
/// show a certificate of such an authority may connect.
///
/// # Errors
/// When `client_ca` holds no certificate.
pub fn server_config(
    certificate: Arc<LiveCertificate>,
    client_ca: Option<&str>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(pem).map_err(TlsError::ClientAuthority)? {
                roots.add(authority)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| TlsError::ClientAuthority(error.to_string()))?)
        }
    };
    let mut config = builder.with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::certificate;

    fn mk_certificate() -> Certificate {
        certificate(&["a.example".to_owned()], jiff::Timestamp::from_second(1_800_000_000).unwrap()).unwrap()
    }

    #[test]
    fn what_does_not_fit_together_is_refused_and_the_old_stays() {
        let (one, other) = (mk_certificate(), mk_certificate());
        let live = LiveCertificate::new(&one).unwrap();
        let before = Arc::clone(&live.0.read().unwrap());
        for (chain, key) in [(one.chain.as_str(), other.key.as_str()), ("", &one.key), (&one.chain, ""), ("x", "y")] {
            let broken = Certificate { ca: None, chain: chain.to_owned(), key: key.to_owned() };
            let error = live.replace(&broken).unwrap_err();
            assert!(matches!(error, TlsError::Certificate(_)), "{error}");
        }
        assert!(Arc::ptr_eq(&before, &live.0.read().unwrap()));
        live.replace(&other).unwrap();
        assert!(!Arc::ptr_eq(&before, &live.0.read().unwrap()));
    }

    #[test]
    fn an_authority_of_clients_must_be_one() {
        let live = Arc::new(LiveCertificate::new(&mk_certificate()).unwrap());
        for pem in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(server_config(Arc::clone(&live), Some(pem)).is_err(), "{pem}");
        }
        server_config(live, mk_certificate().ca.as_deref()).unwrap();
    }
}
