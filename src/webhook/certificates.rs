//! The certificate that the webhook shows, and the authority that vouches for it.

use super::tls::{LiveCertificate, TlsError, server_config};
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use std::sync::Arc;
use std::time::Duration;

/// How long a certificate is valid after it was issued.
pub const VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long before it was issued a certificate is valid already, for the sake of other machines' clocks.
const BACKDATED: Duration = Duration::from_secs(3600);

/// A certificate with its key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificates of the authority: what the API server must trust (`caBundle`). `None`: what it trusts anyway.
    pub ca: Option<String>,
    /// The certificate, first, and those that lead to the authority.
    pub chain: String,
    /// Its private key.
    pub key: String,
}

impl std::fmt::Debug for Certificate {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("ca", &self.ca).field("chain", &self.chain).finish_non_exhaustive()
    }
}

/// What is needed to serve the webhook.
#[derive(Clone, Debug)]
pub struct Serving {
    /// The certificate of the authority, PEM: what the API server must trust (`caBundle`).
    pub ca_pem: String,
    /// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, no client certificate.
    pub tls: Arc<ServerConfig>,
}

/// A certificate that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Nothing to make it for.
    #[error("the webhook's certificate has no name; give at least the Service's DNS name")]
    NoName,
    /// The clock is off.
    #[error("the clock says {0}, for which no certificate can be issued; set it right")]
    Clock(Timestamp),
    /// A name that is neither a DNS name nor an IP address, or no randomness.
    #[error("the webhook's certificate for {names} cannot be made; each must be a DNS name or an IP address")]
    Issue {
        /// The names, separated by commas.
        names: String,
        /// What the library says.
        source: rcgen::Error,
    },
    /// TLS refuses the certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Makes an authority and a certificate as [`certificate`] does, and serves with it without asking clients for theirs.
///
/// # Errors
/// Says which of `names` and `now` is wrong.
pub fn issue(names: &[String], now: Timestamp) -> Result<Serving, CertificateError> {
    let made = certificate(names, now)?;
    let tls = server_config(Arc::new(LiveCertificate::new(&made)?), None)?;
    Ok(Serving { ca_pem: made.ca.unwrap_or_default(), tls })
}

/// Makes an authority, and with it a certificate for `names`, DNS names and IP addresses, valid for
/// [`VALIDITY`] from `now`. The authority's key is gone when this returns: it vouches for nothing else.
///
/// # Errors
/// Says which of `names` and `now` is wrong.
pub fn certificate(names: &[String], now: Timestamp) -> Result<Certificate, CertificateError> {
    if names.is_empty() {
        return Err(CertificateError::NoName);
    }
    let failed = |source| CertificateError::Issue { names: names.join(", "), source };
    let mut authority = params(Vec::new(), "gitops-reverser webhook authority", now)?.map_err(failed)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let mut leaf = params(names.to_vec(), "gitops-reverser webhook", now)?.map_err(failed)?;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;

    let key = KeyPair::generate().map_err(failed)?;
    let authority_key = KeyPair::generate().map_err(failed)?;
    let ca = authority.self_signed(&authority_key).map_err(failed)?.pem();
    let chain = leaf.signed_by(&key, &Issuer::new(authority, authority_key)).map_err(failed)?.pem();
    Ok(Certificate { ca: Some(ca), chain, key: key.serialize_pem() })
}

fn params(
    names: Vec<String>,
    common_name: &str,
    now: Timestamp,
) -> Result<Result<CertificateParams, rcgen::Error>, CertificateError> {
    // Certificates can tell more, but nothing outside of this span is a clock that is right.
    let seconds = u32::try_from(now.as_second()).ok().filter(|seconds| u64::from(*seconds) > BACKDATED.as_secs());
    let now =
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.ok_or(CertificateError::Clock(now))?.into());
    Ok(CertificateParams::new(names).map(|mut params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.not_before = now - BACKDATED;
        params.not_after = now + VALIDITY;
        params
    }))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An authority, and the certificate of a client that it vouches for.
    pub(in super::super) struct ClientAuthority {
        pub(in super::super) ca: String,
        pub(in super::super) client: Certificate,
    }

    pub(in super::super) fn mk_client_authority() -> ClientAuthority {
        let now = Timestamp::now();
        let mut authority = params(Vec::new(), "clients", now).unwrap().unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let mut leaf = params(Vec::new(), "api-server", now).unwrap().unwrap();
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (key, authority_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let ca = authority.self_signed(&authority_key).unwrap().pem();
        let chain = leaf.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap().pem();
        ClientAuthority { ca, client: Certificate { ca: None, chain, key: key.serialize_pem() } }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn wrong_input_is_refused() {
        assert!(matches!(issue(&[], now()), Err(CertificateError::NoName)));
        assert!(matches!(issue(&["ä.example".to_owned()], now()), Err(CertificateError::Issue { .. })));
        for clock in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
            assert!(matches!(issue(&["a".to_owned()], clock), Err(CertificateError::Clock(_))), "{clock}");
        }
    }

    #[test]
    fn the_authority_is_pem_and_differs_each_time() {
        let issued = || issue(&["a.example".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()], now()).unwrap();
        let (one, other) = (issued(), issued());
        assert!(one.ca_pem.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(!one.ca_pem.contains("PRIVATE KEY"));
        assert_ne!(one.ca_pem, other.ca_pem);
    }
}
