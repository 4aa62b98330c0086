//! The kinds of credentials. Nothing in here can be shown: no `Display`, and a `Debug` without content.

use super::github_app::GithubApp;
use super::hidden::Hidden;
use super::private_key::OpenKey;
use crate::resource::url::Scheme;

/// How a repository is opened. Equal credentials change nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Who we are.
    pub authentication: Authentication,
    /// How the server is known, and how we are known below HTTP.
    pub tls: Tls,
}

/// How we tell the server who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// Not at all.
    #[default]
    None,
    /// User name and password, or token, over HTTP.
    Basic(BasicAuth),
    /// A token in the header `Authorization: Bearer`.
    Bearer(Hidden),
    /// A private key over SSH.
    Ssh(SshKey),
    /// Tokens that the API of GitHub mints for an installed app.
    GithubApp(GithubApp),
    /// Whatever git finds by itself: an agent's socket, credential helpers, the administrator's gitconfig.
    Ambient,
}

/// User name and password for HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    /// User name; hidden because some hosts take the token here.
    pub username: Hidden,
    /// Password or token.
    pub password: Hidden,
}

/// A private key for SSH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshKey {
    /// The key.
    pub private_key: OpenKey,
    /// The keys of hosts, in the form of ssh's `known_hosts`; `None`: the Secret names none.
    pub known_hosts: Option<String>,
}

/// What a TLS connection needs beyond the system's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificates of the authorities that the server's certificate must come from, PEM; `None`: the system's.
    pub authority: Option<String>,
    /// The certificate that we show.
    pub client: Option<ClientCertificate>,
}

/// A certificate and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and its chain, PEM.
    pub certificate: String,
    /// The private key, PEM.
    pub key: Hidden,
}

impl Credentials {
    /// Credentials that are a user name and a password.
    #[must_use]
    pub fn basic(username: impl Into<String>, password: impl Into<String>) -> Self {
        let login = BasicAuth { username: Hidden::new(username), password: Hidden::new(password) };
        Self { authentication: Authentication::Basic(login), tls: Tls::default() }
    }

    /// Whether repositories that are reached by `scheme` can be opened with these.
    ///
    /// # Errors
    /// What does not fit, as the end of a sentence about the Secret.
    pub const fn suits(&self, scheme: Scheme) -> Result<(), &'static str> {
        match (scheme, &self.authentication) {
            (Scheme::Https | Scheme::Http, Authentication::Ssh(_)) => {
                Err("it holds an SSH key, but spec.url is reached over HTTP")
            }
            (Scheme::Ssh, Authentication::Ssh(_) | Authentication::Ambient) => Ok(()),
            (Scheme::Ssh, _) => Err("it holds no SSH key, but spec.url is reached over SSH"),
            (Scheme::Http, _) if self.tls.client.is_some() => {
                Err("it holds a client certificate, but spec.url does not begin with https://")
            }
            _ => Ok(()),
        }
    }
}
