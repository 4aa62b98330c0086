//! What mints tokens for apps, as the API of GitHub does, and who asked.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

/// A private key of an app, and what its signatures are checked with.
pub(crate) struct AppKey {
    /// PEM, as GitHub gives it out.
    pub(crate) private: String,
    public: Vec<u8>,
}

impl AppKey {
    /// Makes a key below `dir`.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let path = dir.join(format!("app-{:016x}.pem", fastrand::u64(..)));
        let run = |arguments: &[&str]| -> Result<Vec<u8>> {
            let output = Command::new("ssh-keygen").args(arguments).arg("-f").arg(&path).output()?;
            ensure!(output.status.success(), "ssh-keygen: {}", String::from_utf8_lossy(&output.stderr));
            Ok(output.stdout)
        };
        run(&["-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""])?;
        let public = String::from_utf8(run(&["-e", "-m", "PEM"])?)?;
        let public: String = public.lines().filter(|line| !line.starts_with("-----")).collect();
        Ok(Self { private: std::fs::read_to_string(&path)?, public: BASE64_STANDARD.decode(public)? })
    }

    /// The claims of a token that this key has signed.
    fn verified(&self, token: &str) -> Result<Value> {
        let [head, body, signature] = token.split('.').collect::<Vec<_>>()[..] else {
            anyhow::bail!("not three parts")
        };
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part);
        let head: Value = serde_json::from_slice(&decode(head)?)?;
        ensure!(head["alg"] == "RS256", "{head}");
        let text = token.rsplit_once('.').context("a signature")?.0;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public);
        ensure!(key.verify(text.as_bytes(), &decode(signature)?).is_ok(), "the signature is not the app's");
        Ok(serde_json::from_slice(&decode(body)?)?)
    }
}

/// How the API answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// With this token, which ends at this time.
    Token(String, jiff::Timestamp),
    /// With this status and body.
    Status(u16, String),
    /// With a redirect to this address.
    Redirect(String),
}

/// The API on loopback, for as long as the test's runtime lives.
pub(crate) struct Github {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    /// The claims of each request whose signature was right; a sentence for each other.
    seen: Seen,
}

type Seen = Arc<Mutex<Vec<Result<Value, String>>>>;

impl Github {
    /// Starts it for the installation `456` of the app with this key.
    pub(crate) async fn start(key: AppKey, answer: Answer) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (answer, seen, key) = (Arc::new(Mutex::new(answer)), Seen::default(), Arc::new(key));
        let (answers, log) = (Arc::clone(&answer), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, log, key) = (Arc::clone(&answers), Arc::clone(&log), Arc::clone(&key));
                let service = service_fn(move |request| {
                    let answer = answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    log.lock().unwrap_or_else(PoisonError::into_inner).push(claims(&key, &request));
                    async move { respond(answer) }
                });
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Ok(Self { address, answer, seen })
    }

    /// What a Secret has as `githubAppBaseURL`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/api/v3", self.address)
    }

    /// The address that it listens at.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it answers from now on.
    pub(crate) fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// What was asked since the last look.
    pub(crate) fn seen(&self) -> Vec<Result<Value, String>> {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn claims(key: &AppKey, request: &Request<Incoming>) -> Result<Value, String> {
    if request.method() != "POST" || request.uri().path() != "/api/v3/app/installations/456/access_tokens" {
        return Err(format!("{} {}", request.method(), request.uri()));
    }
    let header = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    key.verified(header.strip_prefix("Bearer ").unwrap_or_default()).map_err(|error| format!("{error:#}"))
}

fn respond(answer: Answer) -> Result<Response<Full<Bytes>>> {
    let response = match answer {
        Answer::Token(token, expires) => {
            Response::builder().status(201).body(json!({"token": token, "expires_at": expires}).to_string())
        }
        Answer::Status(status, body) => Response::builder().status(status).body(body),
        Answer::Redirect(to) => Response::builder().status(307).header("location", to).body(String::new()),
    };
    Ok(response?.map(|body| Full::from(Bytes::from(body))))
}
