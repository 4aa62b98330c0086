//! Serves the webhook: its certificate, its path, and how the API server is to be told of both.

use super::{Tasks, endless};
use crate::attribution::Index;
use crate::cli::{RunArguments, WebhookRules};
use crate::resource::hex;
use crate::telemetry::metrics::Metrics;
use crate::webhook::{self, Certificate, Desk, Endpoint, LiveCertificate, Mounted, Registration, Renewal};
use anyhow::Context as _;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

/// The port of the webhook's Service.
const SERVICE_PORT: u16 = 443;
/// The root task that answers admission.
pub(super) const WEBHOOK: &str = "the webhook";
/// What keeps the certificate current.
const CERTIFICATE: &str = "the webhook's certificate";

/// The webhook as it is served.
pub(super) struct Served {
    /// How the API server is to be told of it.
    pub(super) registration: Registration,
    /// The authority of its certificate, which may be renewed.
    pub(super) authority: watch::Receiver<Option<String>>,
    /// What stops it.
    pub(super) stop: oneshot::Sender<()>,
}

/// Starts the webhook.
pub(super) async fn serve(
    tasks: &mut Tasks,
    arguments: &RunArguments,
    namespace: &str,
    index: &Arc<Index>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Served> {
    let listen = arguments.webhook_listen;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("{listen} is not free: choose another address with --webhook-listen"))?;
    let (endpoint, names) = endpoint(arguments, namespace)?;
    let mounted = arguments.webhook_cert_dir.clone().map(Mounted);
    let certificate = match &mounted {
        Some(mounted) => mounted.read()?,
        None => webhook::certificate(&names, jiff::Timestamp::now())?,
    };
    let live = Arc::new(LiveCertificate::new(&certificate)?);
    let client_ca = arguments.webhook_client_ca.as_ref().map(|path| {
        std::fs::read_to_string(path).with_context(|| format!("--webhook-client-ca: {} cannot be read", path.display()))
    });
    let tls = webhook::server_config(Arc::clone(&live), client_ca.transpose()?.as_deref())?;
    // Where somebody else wrote the path, it is no secret.
    let secret = (arguments.webhook_rules == WebhookRules::Exact).then(random_segment).transpose()?;
    let endpoint = secret.as_ref().map_or_else(|| endpoint.clone(), |segment| endpoint.clone().below(segment));
    let desk = Desk {
        index: Arc::clone(index),
        metrics: Arc::clone(metrics),
        secret,
        email_extra: arguments.author_email_extra.clone(),
    };

    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async {
        stopped.await.ok();
    };
    tasks.spawn(WEBHOOK, endless(webhook::serve(listener, tls, desk, webhook::Limits::default(), stopped)));
    let authority = keep_current(tasks, mounted, (certificate, names), live);
    let registration = Registration {
        configuration: arguments.webhook_configuration.clone(),
        endpoint,
        ca_bundle: None,
        service_account: None,
    };
    Ok(Served { registration, authority, stop })
}

/// Keeps the certificate current: by its files, or by making a new one.
fn keep_current(
    tasks: &mut Tasks,
    mounted: Option<Mounted>,
    (certificate, names): (Certificate, Vec<String>),
    live: Arc<LiveCertificate>,
) -> watch::Receiver<Option<String>> {
    let (renewed, authority) = watch::channel(certificate.ca.clone());
    match mounted {
        Some(mounted) => tasks.spawn(CERTIFICATE, endless(mounted.follow(certificate, live, renewed))),
        None => tasks.spawn(CERTIFICATE, endless(Renewal::default().run(names, live, renewed))),
    };
    authority
}

/// 128 bits that nobody can guess, as a segment of a path.
fn random_segment() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system has no randomness"))?;
    Ok(hex(&bytes))
}

/// Where the API server finds the webhook, and the names that its certificate must carry for that.
fn endpoint(arguments: &RunArguments, namespace: &str) -> anyhow::Result<(Endpoint, Vec<String>)> {
    if let Some(url) = &arguments.webhook_url {
        let parsed: hyper::Uri = url.parse().context("--webhook-url is no URL")?;
        let host =
            parsed.host().filter(|_| parsed.scheme_str() == Some("https")).context("--webhook-url must be https://")?;
        return Ok((Endpoint::Url(url.clone()), vec![host.trim_matches(['[', ']']).to_owned()]));
    }
    let name = &arguments.release_name;
    let names = ["svc", "svc.cluster.local"].map(|suffix| format!("{name}.{namespace}.{suffix}"));
    Ok((service(namespace, name), names.into()))
}

/// The webhook behind a Service.
pub(super) fn service(namespace: &str, name: &str) -> Endpoint {
    let path = "/process-validating-webhook".to_owned();
    Endpoint::Service { namespace: namespace.to_owned(), name: name.to_owned(), path, port: SERVICE_PORT }
}
