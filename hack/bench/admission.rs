//! Admission requests at a steady rate, by the address and the authority that the API server was told.

use crate::observe::{memory, processor_time};
use crate::report::{Measurement, Target, Unit};
use crate::support::control_plane::ControlPlane;
use crate::support::operator::{Operator, SOON};
use crate::support::poll::eventually;
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Api;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// Requests a second.
const RATE: u32 = 1_000;
/// Requests in one run: as many as there can be records.
const REQUESTS: u32 = 10_000;
/// Connections that share them; an API server keeps one, each of its replicas its own.
const CONNECTIONS: usize = 3;
/// Bytes of an object, about.
const OBJECT: usize = 4_000;

/// Latency and processor time of one request, and memory with a full index.
pub(crate) async fn measure(cluster: &ControlPlane, operator: &Operator, runs: usize) -> Result<Vec<Measurement>> {
    let (url, authority) = registered(cluster).await?;
    let empty = memory(operator.pid())?;
    let (mut median, mut p99, mut processor) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..runs {
        let connections = futures::future::try_join_all((0..CONNECTIONS).map(|_| connect(&url, &authority))).await?;
        let before = processor_time(operator.pid())?;
        let mut times = send_all(&connections, &url, run).await?;
        let used = processor_time(operator.pid())?.saturating_sub(before);
        times.sort_by(f64::total_cmp);
        median.push(times[times.len() / 2]);
        p99.push(times[times.len() * 99 / 100]);
        processor.push(used.as_secs_f64() * 1e6 / f64::from(REQUESTS));
        eprintln!(
            "admission: run {run}: p50 {:.0} us, p99 {:.0} us, {:.0} us CPU",
            median[run], p99[run], processor[run]
        );
    }
    let full = memory(operator.pid())? - empty;
    let records = operator.metric("gitopsreverser_kv_entries").await?;
    ensure!(records >= f64::from(REQUESTS), "{records} records of {REQUESTS} requests: the index is not full");
    let what = |what: &str| format!("admission, {RATE}/s of 4 KB objects: {what}");
    Ok(vec![
        Measurement::new(what("p50 of a run"), Unit::Microseconds, median, None),
        Measurement::new(what("p99 of a run"), Unit::Microseconds, p99, Some(Target::median(5_000.0))),
        Measurement::new(what("CPU each"), Unit::Microseconds, processor, None),
        Measurement::new("memory, more with a full index than before", Unit::Mebibytes, vec![full], None),
    ])
}

/// Where the API server calls, and the authority that it trusts there, once something is mirrored.
async fn registered(cluster: &ControlPlane) -> Result<(Uri, Vec<u8>)> {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(cluster.client().await?);
    let entry = eventually(SOON, "the registration", async || {
        let found = configurations.get_opt("gitops-reverser").await?;
        Ok(found.and_then(|found| found.webhooks).into_iter().flatten().next())
    });
    let client = entry.await?.client_config;
    let url = client.url.context("the webhook has no URL")?.parse()?;
    Ok((url, client.ca_bundle.context("the webhook has no authority")?.0))
}

type Connection = SendRequest<Full<Bytes>>;

async fn connect(url: &Uri, authority: &[u8]) -> Result<Connection> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let host = url.host().context("the URL has no host")?.to_owned();
    let stream = TcpStream::connect((host.as_str(), url.port_u16().unwrap_or(443))).await?;
    stream.set_nodelay(true)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(host)?, stream).await?;
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Sends every request at its time; the answers take so long, in microseconds from that time on.
async fn send_all(connections: &[Connection], url: &Uri, run: usize) -> Result<Vec<f64>> {
    let start = Instant::now() + Duration::from_millis(50);
    let mut under_way = JoinSet::new();
    for number in 0..REQUESTS {
        let at = start + Duration::from_secs(1) * number / RATE;
        let body = review(run, number).to_string();
        // A timer of the runtime is up to a millisecond late, which would count.
        tokio::task::block_in_place(|| std::thread::sleep(at.saturating_duration_since(Instant::now())));
        let (mut sender, url) = (connections[number as usize % connections.len()].clone(), url.clone());
        under_way.spawn(async move {
            let request = Request::post(url).header("content-type", "application/json").body(Full::from(body))?;
            let answer = sender.send_request(request).await?;
            ensure!(answer.status().is_success(), "the webhook answered {}", answer.status());
            answer.into_body().collect().await?;
            Ok(at.elapsed().as_secs_f64() * 1e6)
        });
    }
    let mut times = Vec::new();
    while let Some(time) = under_way.join_next().await {
        times.push(time??);
    }
    Ok(times)
}

/// A change of an object that nobody else has.
fn review(run: usize, number: u32) -> Value {
    let object = |value: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c", "namespace": "n", "uid": format!("object-{run}-{number}"), "resourceVersion": "7"},
            "data": {"key": value, "text": "some words ".repeat(OBJECT / 11)},
        })
    };
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": format!("call-{run}-{number}"), "operation": "UPDATE", "dryRun": false,
            "resource": {"group": "", "version": "v1", "resource": "configmaps"},
            "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
            "options": {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-edit"},
            "object": object("new"), "oldObject": object("old"),
        },
    })
}
