//! Tokens that the API of GitHub mints for an installed app.
//!
//! The app signs, with its private key, a claim of who it is; with that it asks for a token of its installation, which
//! opens repositories over HTTP for an hour.

use super::error::AccessError;
use super::hidden::Hidden;
use super::kinds::BasicAuth;
use super::request::Endpoint;
use crate::resource::RepoUrl;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::Signer;
use serde::Deserialize;
use serde_json::json;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The user name that goes with a token.
const TOKEN_USER: &str = "x-access-token";
/// How far clocks may differ: a claim begins so much earlier.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(60);
/// How long a claim holds; GitHub allows ten minutes.
const CLAIM: SignedDuration = SignedDuration::from_secs(9 * 60);
/// A token is replaced so long before it ends, so that the longest command ends before it does.
const BEFORE_THE_END: SignedDuration = SignedDuration::from_secs(15 * 60);

/// An app that is installed for the repository. Its clones share the token that was minted last.
#[derive(Clone)]
pub struct GithubApp {
    app_id: String,
    installation_id: String,
    private_key: Hidden,
    base_url: String,
    token: Arc<Mutex<Option<Token>>>,
}

struct Token {
    secret: Hidden,
    expires: Timestamp,
}

/// The private key of an app that is none.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("it is no RSA private key in PEM of at least 2048 bits")]
pub struct AppKeyError;

/// What the API answers.
#[derive(Deserialize)]
struct Minted {
    token: String,
    expires_at: Timestamp,
}

impl GithubApp {
    /// The app `app_id` as installed by `installation_id`, which gets its tokens from the API at `base_url`.
    ///
    /// # Errors
    /// When `private_key` cannot sign.
    pub fn new(app_id: &str, installation_id: &str, private_key: Hidden, base_url: &str) -> Result<Self, AppKeyError> {
        signer(&private_key)?;
        Ok(Self {
            app_id: app_id.to_owned(),
            installation_id: installation_id.to_owned(),
            private_key,
            base_url: base_url.to_owned(),
            token: Arc::default(),
        })
    }

    /// A login that holds for a while after `now`: the last one, or a new one.
    ///
    /// # Errors
    /// When the API cannot be reached or gives none.
    pub async fn login(
        &self,
        authority: Option<&str>,
        allow_insecure: bool,
        now: Timestamp,
    ) -> Result<BasicAuth, AccessError> {
        // Held while a token is minted, so that the workers of many branches do not ask for one each.
        let mut token = self.token.lock().await;
        let secret = match &*token {
            Some(token) if token.expires > now + BEFORE_THE_END => token.secret.clone(),
            _ => {
                let minted = self.mint(authority, allow_insecure, now).await?;
                let secret = minted.secret.clone();
                *token = Some(minted);
                secret
            }
        };
        Ok(BasicAuth { username: Hidden::new(TOKEN_USER), password: secret })
    }

    /// Forgets the last token: somebody has refused it.
    pub async fn forget(&self) {
        *self.token.lock().await = None;
    }

    async fn mint(&self, authority: Option<&str>, allow_insecure: bool, now: Timestamp) -> Result<Token, AccessError> {
        let url = format!("{}/app/installations/{}/access_tokens", self.base_url, self.installation_id);
        let unreachable = |problem: String| AccessError::Unreachable { host: self.base_url.clone(), problem };
        let url = RepoUrl::parse(&url, allow_insecure).map_err(|error| unreachable(error.to_string()))?;
        let claim = self.claim(now).map_err(|error| unreachable(error.to_string()))?;
        let endpoint = Endpoint { url: &url, authority, allow_insecure };
        let (status, body) = endpoint.post(&format!("Bearer {claim}")).await?;
        let refused = |advice| AccessError::NoToken { host: url.host().to_owned(), status: status.as_u16(), advice };
        if status != 201 {
            return Err(refused(advice(status.as_u16())));
        }
        // What cannot be read may be a token all the same: it is not repeated.
        let minted: Minted = serde_json::from_slice(&body).map_err(|_| refused("what it sent is no token"))?;
        if minted.token.is_empty() || !minted.token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refused("what it sent is no token"));
        }
        tracing::info!(host = url.host(), app = self.app_id, expires = %minted.expires_at, "Minted a token");
        Ok(Token { secret: Hidden::new(minted.token), expires: minted.expires_at })
    }

    /// A JSON Web Token that says who the app is.
    fn claim(&self, now: Timestamp) -> Result<String, AppKeyError> {
        let encode = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
        let head = json!({"alg": "RS256", "typ": "JWT"});
        let (from, until) = ((now - CLOCK_SKEW).as_second(), (now + CLAIM).as_second());
        let body = json!({"iat": from, "exp": until, "iss": self.app_id});
        let text = format!("{}.{}", encode(head.to_string()), encode(body.to_string()));
        let signature = signer(&self.private_key)?.sign(text.as_bytes()).map_err(|_| AppKeyError)?;
        Ok(format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

const fn advice(status: u16) -> &'static str {
    match status {
        401 => "check githubAppID and githubAppPrivateKey in the Secret, and this machine's clock",
        403 => "the installation may be suspended, or lack the permission to write contents",
        404 => "check githubAppInstallationID and githubAppBaseURL in the Secret",
        422 => "the installation does not have what is asked for",
        300..=399 => "redirects are not followed; write where it leads into githubAppBaseURL",
        _ => "it is tried again by itself",
    }
}

fn signer(key: &Hidden) -> Result<Box<dyn Signer>, AppKeyError> {
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| AppKeyError)?;
    let key = any_supported_type(&key).map_err(|_| AppKeyError)?;
    key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).ok_or(AppKeyError)
}

/// Two apps are equal when they are configured equally, whatever tokens they have.
impl PartialEq for GithubApp {
    fn eq(&self, other: &Self) -> bool {
        let configuration = |app: &Self| (app.app_id.clone(), app.installation_id.clone(), app.base_url.clone());
        configuration(self) == configuration(other) && self.private_key == other.private_key
    }
}

impl Eq for GithubApp {}

impl fmt::Debug for GithubApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GithubApp")
            .field("app_id", &self.app_id)
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}
