//! What a Secret says about how to open a repository.
//!
//! The keys of a Secret decide, not its type, so that those of Flux, of Argo CD and of Kubernetes serve as they are.

use crate::git::credentials::{
    AppKeyError, Authentication, BadKey, BasicAuth, ClientCertificate, Credentials, GithubApp, Hidden, OpenKey, SshKey,
    Tls,
};
use crate::resource::{HostPolicy, RepoUrl};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;

const USERNAME: &[&str] = &["username"];
const PASSWORD: &[&str] = &["password"];
const BEARER: &[&str] = &["bearerToken"];
const SSH_KEY: &[&str] = &["identity", "sshPrivateKey", "ssh-privatekey"];
const KNOWN_HOSTS: &[&str] = &["known_hosts"];
const AUTHORITY: &[&str] = &["ca.crt", "caFile"];
const CLIENT_CERTIFICATE: &[&str] = &["tls.crt", "tlsClientCertData"];
const CLIENT_KEY: &[&str] = &["tls.key", "tlsClientCertKey"];
const APP_ID: &[&str] = &["githubAppID"];
const APP_INSTALLATION: &[&str] = &["githubAppInstallationID"];
const APP_KEY: &[&str] = &["githubAppPrivateKey"];
const APP_BASE_URL: &[&str] = &["githubAppBaseURL", "githubAppEnterpriseBaseUrl"];

/// Where apps get their tokens unless the Secret says otherwise.
const GITHUB_API: &str = "https://api.github.com";

/// Why a Secret does not open a repository. Never repeats anything that the Secret holds, but for the address of an API.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidSecret {
    /// None of the keys that are known.
    #[error(
        "it has none of the keys that are understood: username and password; bearerToken; identity, sshPrivateKey or \
         ssh-privatekey; githubAppID; ca.crt; tls.crt and tls.key"
    )]
    Empty,
    /// One key without the other that it needs.
    #[error("it has {present} but no key {missing}")]
    Incomplete {
        /// What is there.
        present: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// A password without a user name.
    #[error("it has no key username; for a token any name does, such as git")]
    NoUsername,
    /// Two ways to authenticate.
    #[error("it has {0} and {1}, and it is not clear which is meant; remove one")]
    Contradiction(&'static str, &'static str),
    /// Two names of the same thing that differ.
    #[error("its keys {0} and {1} mean the same and differ; remove one")]
    Twice(&'static str, &'static str),
    /// A value that cannot be what its key says.
    #[error("its key {key} {problem}")]
    Malformed {
        /// Which.
        key: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An SSH key that cannot be used.
    #[error("its key {key} does not serve: {problem}")]
    SshKey {
        /// Which.
        key: &'static str,
        /// What is wrong with it.
        problem: BadKey,
    },
    /// The address of the API of GitHub.
    #[error("its key githubAppBaseURL is not usable: {0}")]
    BaseUrl(String),
}

/// Reads the credentials in `secret`; `hosts` says where an app may get its tokens.
///
/// # Errors
/// Says what is missing, contradictory or malformed.
pub fn credentials(secret: &Secret, hosts: &HostPolicy) -> Result<Credentials, InvalidSecret> {
    let empty = BTreeMap::new();
    let keys = Keys(secret.data.as_ref().unwrap_or(&empty));
    let tls = tls(&keys)?;
    let authentication = authentication(&keys, hosts)?;
    if authentication == Authentication::None && tls == Tls::default() {
        return Err(InvalidSecret::Empty);
    }
    Ok(Credentials { authentication, tls })
}

struct Keys<'a>(&'a BTreeMap<String, ByteString>);

impl Keys<'_> {
    fn has(&self, names: &[&'static str]) -> bool {
        names.iter().any(|name| self.0.contains_key(*name))
    }

    /// The text under one of `names`, without the newline in which files and here-documents end.
    fn text(&self, names: &[&'static str]) -> Result<Option<(&'static str, &str)>, InvalidSecret> {
        let mut found: Option<(&'static str, &str)> = None;
        for &key in names {
            let Some(value) = self.0.get(key) else { continue };
            let Ok(text) = std::str::from_utf8(&value.0) else {
                return Err(InvalidSecret::Malformed { key, problem: "is no text in UTF-8" });
            };
            let text = text.trim_end_matches(['\r', '\n']);
            match found {
                Some((earlier, same)) if same != text => return Err(InvalidSecret::Twice(earlier, key)),
                Some(_) => {}
                None => found = Some((key, text)),
            }
        }
        match found {
            Some((key, "")) => Err(InvalidSecret::Malformed { key, problem: "is empty" }),
            found => Ok(found),
        }
    }

    /// A text of one line. A newline would end the line of git's credential protocol, or of a header, and begin another.
    fn line(&self, names: &[&'static str]) -> Result<Option<&str>, InvalidSecret> {
        let Some((key, text)) = self.text(names)? else { return Ok(None) };
        if text.contains(char::is_control) {
            return Err(InvalidSecret::Malformed { key, problem: "has control characters, such as a line break" });
        }
        Ok(Some(text))
    }
}

fn authentication(keys: &Keys<'_>, hosts: &HostPolicy) -> Result<Authentication, InvalidSecret> {
    let has_ssh = keys.has(SSH_KEY);
    // Beside an SSH key the password is what opens it.
    let has_basic = keys.has(USERNAME) || (keys.has(PASSWORD) && !has_ssh);
    let has_app = keys.has(APP_ID) || keys.has(APP_INSTALLATION) || keys.has(APP_KEY);
    type Read<'a> = &'a dyn Fn() -> Result<Authentication, InvalidSecret>;
    let ways: [(bool, &'static str, Read<'_>); 4] = [
        (has_ssh, "an SSH key", &|| ssh(keys)),
        (has_basic, "username and password", &|| basic(keys)),
        (keys.has(BEARER), "bearerToken", &|| bearer(keys)),
        (has_app, "a GitHub App", &|| github_app(keys, hosts)),
    ];
    let mut present = ways.iter().filter(|(is_there, ..)| *is_there);
    match (present.next(), present.next()) {
        (None, _) => Ok(Authentication::None),
        (Some((_, _, read)), None) => read(),
        (Some((_, one, _)), Some((_, other, _))) => Err(InvalidSecret::Contradiction(one, other)),
    }
}

fn basic(keys: &Keys<'_>) -> Result<Authentication, InvalidSecret> {
    let Some(username) = keys.line(USERNAME)? else { return Err(InvalidSecret::NoUsername) };
    let Some(password) = keys.line(PASSWORD)? else {
        return Err(InvalidSecret::Incomplete { present: "username", missing: "password" });
    };
    // HTTP puts a colon between the two.
    if username.contains(':') {
        return Err(InvalidSecret::Malformed { key: "username", problem: "has a colon, which HTTP cannot carry" });
    }
    let (username, password) = (Hidden::new(username), Hidden::new(password));
    Ok(Authentication::Basic(BasicAuth { username, password }))
}

fn bearer(keys: &Keys<'_>) -> Result<Authentication, InvalidSecret> {
    let token = keys.line(BEARER)?.unwrap_or_default();
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let problem = "has spaces or other characters that no token has";
        return Err(InvalidSecret::Malformed { key: "bearerToken", problem });
    }
    Ok(Authentication::Bearer(Hidden::new(token)))
}

fn ssh(keys: &Keys<'_>) -> Result<Authentication, InvalidSecret> {
    let Some((key, private_key)) = keys.text(SSH_KEY)? else { return Ok(Authentication::None) };
    let private_key = OpenKey::read(private_key, keys.line(PASSWORD)?);
    Ok(Authentication::Ssh(SshKey {
        private_key: private_key.map_err(|problem| InvalidSecret::SshKey { key, problem })?,
        known_hosts: keys.text(KNOWN_HOSTS)?.map(|(_, hosts)| hosts.to_owned()),
    }))
}

fn github_app(keys: &Keys<'_>, hosts: &HostPolicy) -> Result<Authentication, InvalidSecret> {
    let incomplete = |missing| InvalidSecret::Incomplete { present: "a GitHub App", missing };
    let app_id = keys.line(APP_ID)?.ok_or_else(|| incomplete("githubAppID"))?;
    let installation = keys.line(APP_INSTALLATION)?.ok_or_else(|| incomplete("githubAppInstallationID"))?;
    let (_, key) = keys.text(APP_KEY)?.ok_or_else(|| incomplete("githubAppPrivateKey"))?;
    // Both become part of a URL or of JSON.
    if !app_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.') {
        return Err(InvalidSecret::Malformed {
            key: "githubAppID",
            problem: "is neither an app's id nor its client id",
        });
    }
    if !installation.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidSecret::Malformed { key: "githubAppInstallationID", problem: "is no number" });
    }
    let base_url = keys.line(APP_BASE_URL)?.unwrap_or(GITHUB_API).trim_end_matches('/');
    let invalid = |problem: &dyn std::fmt::Display| InvalidSecret::BaseUrl(problem.to_string());
    let api: RepoUrl = hosts.parse(&format!("{base_url}/app")).map_err(|error| invalid(&error))?;
    if api.host().is_empty() || base_url.contains(['?', '#']) {
        return Err(invalid(&"write it as https://host or https://host/api/v3"));
    }
    GithubApp::new(app_id, installation, Hidden::new(key), base_url).map(Authentication::GithubApp).map_err(
        |AppKeyError| InvalidSecret::Malformed {
            key: "githubAppPrivateKey",
            problem: "holds no RSA private key in PEM of at least 2048 bits",
        },
    )
}

fn tls(keys: &Keys<'_>) -> Result<Tls, InvalidSecret> {
    let authority = keys.text(AUTHORITY)?.map(|(key, pem)| authority(key, pem)).transpose()?;
    let client = match (keys.text(CLIENT_CERTIFICATE)?, keys.text(CLIENT_KEY)?) {
        (None, None) => None,
        (Some(_), None) => return Err(InvalidSecret::Incomplete { present: "tls.crt", missing: "tls.key" }),
        (None, Some(_)) => return Err(InvalidSecret::Incomplete { present: "tls.key", missing: "tls.crt" }),
        (Some((key, certificate)), Some((_, private))) => Some(client_certificate(key, certificate, private)?),
    };
    Ok(Tls { authority, client })
}

fn authority(key: &'static str, pem: &str) -> Result<String, InvalidSecret> {
    let malformed = || InvalidSecret::Malformed { key, problem: "holds no certificates in PEM" };
    let certificates = certificates(pem).ok_or_else(malformed)?;
    let mut roots = RootCertStore::empty();
    if certificates.into_iter().any(|certificate| roots.add(certificate).is_err()) {
        return Err(malformed());
    }
    Ok(pem.to_owned())
}

fn client_certificate(key: &'static str, pem: &str, private: &str) -> Result<ClientCertificate, InvalidSecret> {
    let problem = "holds no certificate in PEM";
    let chain = certificates(pem).ok_or(InvalidSecret::Malformed { key, problem })?;
    let malformed_key = |problem| InvalidSecret::Malformed { key: "tls.key", problem };
    let parsed = PrivateKeyDer::from_pem_slice(private.as_bytes())
        .map_err(|_| malformed_key("holds no private key in PEM; one with a passphrase cannot be used"))?;
    // What this library cannot read, git's may.
    if let Err(rustls::Error::InconsistentKeys(_)) = CertifiedKey::from_der(chain, parsed, &ring::default_provider()) {
        return Err(malformed_key("does not belong to the certificate in tls.crt"));
    }
    Ok(ClientCertificate { certificate: pem.to_owned(), key: Hidden::new(private) })
}

/// At least one certificate, and nothing broken.
fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    found.ok().filter(|found| !found.is_empty())
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
