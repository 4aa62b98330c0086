//! `run`: builds everything, supervises the root tasks, leaves cleanly.
//!
//! On SIGTERM the watches stop first, then every branch's worker pushes what it has; the webhook goes on answering
//! until the end. A root task that ends by itself makes the process exit with an error.

mod admission;

use crate::attribution::{self, Evictions, Index};
use crate::cli::{PrintedRules, RunArguments, SnapshotArguments, WebhookConfigurationArguments, WebhookRules};
use crate::commands::snapshot::{self, Namespaces, Output};
use crate::commands::webhook_configuration::{self, Coverage};
use crate::controllers::registration::{self, Ownership};
use crate::controllers::{self, events};
use crate::git::author::Authors;
use crate::git::batch::BatchLimits;
use crate::git::cli::{Git, ProcessLimits};
use crate::git::clone::policy::ClonePolicy;
use crate::git::message::Installation;
use crate::git::places::Places;
use crate::git::pool::{self, Pool};
use crate::git::spec::Identity;
use crate::git::worker;
use crate::resource::{HostPattern, HostPolicy};
use crate::rules::{PlanLimits, Policy, RuleSet, Wildcards};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{admin, logging};
use crate::watch::report::{Reporter, WatchReport};
use crate::watch::{discovery, plane};
use crate::webhook::{Endpoint, Registration};
use anyhow::Context as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};

/// The root task that commits and pushes.
const GIT: &str = "git";
/// How long leaving may take before it is cut short; the workers' own deadline is shorter.
const LEAVE: Duration = Duration::from_secs(30);
/// How many events may wait to be published.
const NOTICES: usize = 100;
/// How many changes of conditions may wait to become events.
const ANNOUNCEMENTS: usize = 1_000;
/// How often the author mapping is looked at. A mounted ConfigMap takes a minute to follow anyway.
const MAPPING_LOOK: Duration = Duration::from_secs(5);
/// How long the API server may take to answer at start.
const FIRST_ANSWER: Duration = Duration::from_secs(15);

/// Runs the operator until it is told to leave.
///
/// # Errors
/// When a precondition does not hold, or a part of it ended by itself; one sentence each.
pub fn run(arguments: RunArguments) -> anyhow::Result<()> {
    logging::init(&arguments.log)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(supervise(arguments))
}

/// Runs the one-shot command `snapshot`.
///
/// # Errors
/// When something of the snapshot is missing.
pub fn snapshot(arguments: SnapshotArguments) -> anyhow::Result<()> {
    let SnapshotArguments { output, namespace, all_namespaces, kubeconfig, context, no_noise_filter, resources } =
        arguments;
    let options = snapshot::Options {
        kubeconfig,
        context,
        namespaces: if all_namespaces { Namespaces::All } else { Namespaces::One(namespace) },
        resources,
        filters_noise: !no_noise_filter,
        output: if output.as_os_str() == "-" { Output::Stream } else { Output::Folder(output) },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(snapshot::run(options))?)
}

/// Runs the one-shot command `webhook-configuration`.
///
/// # Errors
/// When what is mirrored cannot be read, or nobody reads.
pub fn webhook_configuration(arguments: WebhookConfigurationArguments) -> anyhow::Result<()> {
    let WebhookConfigurationArguments { rules, name, namespace, service, url, service_account, ca_file } = arguments;
    let read = |path: std::path::PathBuf| {
        std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let registration = Registration {
        configuration: name,
        endpoint: url.map_or_else(|| admission::service(&namespace, &service), Endpoint::Url),
        ca_bundle: ca_file.map(read).transpose()?,
        service_account: (!service_account.is_empty())
            .then(|| format!("system:serviceaccount:{namespace}:{service_account}")),
    };
    let coverage = match rules {
        PrintedRules::Exact => Coverage::Exact,
        PrintedRules::Broad => Coverage::Broad,
        PrintedRules::Nothing => Coverage::Nothing,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut out = std::io::stdout().lock();
    Ok(runtime.block_on(webhook_configuration::print(&registration, coverage, &mut out))?)
}

async fn supervise(arguments: RunArguments) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let mut operator = tokio::select! {
        operator = Operator::start(arguments) => operator?,
        () = signals.next() => return Ok(()),
    };
    tokio::select! {
        ended = operator.tasks.join_next() => return Err(describe_end(ended)),
        () = signals.next() => {}
    }
    tracing::info!("Leaving: pushing what is queued");
    tokio::select! {
        left = tokio::time::timeout(LEAVE, operator.leave()) => {
            left.context("queued changes could not be pushed in time; they are in the work directory")?
        }
        () = signals.next() => anyhow::bail!("told twice to leave; queued changes stay in the work directory"),
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Root tasks, with their names.
type Running = JoinSet<(&'static str, anyhow::Result<()>)>;
type Ended = Result<(&'static str, anyhow::Result<()>), tokio::task::JoinError>;

fn describe_end(ended: Option<Ended>) -> anyhow::Error {
    match ended {
        Some(Ok((name, Ok(())))) => anyhow::anyhow!("{name} ended by itself"),
        Some(Ok((name, Err(error)))) => error.context(format!("{name} failed")),
        Some(Err(error)) => anyhow::Error::new(error).context("a part of the operator failed"),
        None => anyhow::anyhow!("nothing runs"),
    }
}

/// The running parts.
struct Operator {
    tasks: Running,
    /// What stops first when leaving: nothing that they would still do is wanted.
    producers: Vec<AbortHandle>,
    pool: Arc<Pool>,
    stop_webhook: oneshot::Sender<()>,
}

impl Operator {
    async fn start(arguments: RunArguments) -> anyhow::Result<Self> {
        if let Some(file) = &arguments.known_hosts {
            std::fs::read_to_string(file)
                .with_context(|| format!("the file of --known-hosts, {}, cannot be read", file.display()))?;
        }
        let limits = ProcessLimits::new(arguments.workers_max_global as usize, arguments.workers_max_per_repo as usize);
        let git = Git::find(arguments.allow_insecure_transports).await?.with_limits(limits);
        let git = git.with_known_hosts(arguments.known_hosts.clone());
        let places = Places::take(&arguments.work_dir)?;
        let client = connect().await?;
        let namespace = arguments.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let installation = Arc::new(identify(&client, &arguments, &namespace).await?);
        tracing::info!(work_dir = %arguments.work_dir.display(), instance = installation.instance_id, "Starting");

        let mut tasks = Tasks::default();
        let evidence = Arc::new(evidence(&arguments));
        let metrics = Arc::new(Metrics::new()?);
        observe(&metrics, &evidence);
        let served = admission::serve(&mut tasks, &arguments, &namespace, &evidence, &metrics).await?;
        let (resync, resyncs) = mpsc::unbounded_channel();
        let (warnings_out, warnings) = mpsc::unbounded_channel();
        let (pool, starts) = Pool::new(resync.clone(), warnings_out);
        let pool = Arc::new(pool);
        let authors = name_authors(&mut tasks, &arguments)?;
        let settings = worker_settings(&arguments, git, places, installation, (authors, &metrics));
        tasks.spawn(GIT, pool::run(Arc::new(settings), starts));

        let (rules_out, rules) = watch::channel(Arc::<RuleSet>::default());
        let (catalog_out, catalog) = watch::channel(None);
        let (notices_out, notices) = mpsc::channel(NOTICES);
        let (announcements_out, announcements) = mpsc::channel(ANNOUNCEMENTS);
        let (watches_out, watches) = watch::channel(Arc::<WatchReport>::default());
        let plane = plane::Context {
            client: client.clone(),
            pool: Arc::clone(&pool),
            notices: notices_out,
            evidence,
            filters_noise: !arguments.no_noise_filter,
            reporter: Reporter::new(watches_out),
            namespaced_watch_limit: arguments.namespaced_watch_limit as usize,
        };
        let ownership = match arguments.webhook_rules {
            WebhookRules::Exact => Ownership::Operator,
            WebhookRules::Broad => Ownership::Other,
        };
        let authority = served.authority;
        let inputs = registration::Inputs { rules: rules.clone(), catalog: catalog.clone(), authority };
        let registration = registration::run(client.clone(), served.registration, ownership, inputs);
        serve_admin(&mut tasks, &arguments, &metrics, rules.clone()).await?;
        let prompt = discovery::Prompt::default();
        let discovery = discovery::Settings {
            refresh: arguments.discovery_refresh,
            prompt: prompt.clone(),
            metrics: Arc::clone(&metrics),
        };
        let discovery = discovery::run(client.clone(), discovery, catalog_out);
        let controllers = controllers::Context {
            client: client.clone(),
            pool: Arc::clone(&pool),
            catalog,
            discovery: prompt,
            watches,
            rules: rules_out,
            resync,
            announcements: announcements_out,
            attributed: Arc::clone(metrics.attributed()),
            policy: policy(&arguments, &namespace),
            committer: Identity { name: arguments.committer_name, email: arguments.committer_email },
        };
        let events = events::Sources { notices, happened: warnings, announcements };
        let producers = vec![
            tasks.spawn("the watches", plane::run(plane, rules, resyncs)),
            tasks.spawn("discovery", endless(discovery)),
            tasks.spawn("the controllers", controllers::run(controllers)),
            tasks.spawn("the events", endless(events::run(client, events))),
            tasks.spawn("the webhook's registration", endless(registration)),
        ];
        Ok(Self { tasks: tasks.0, producers, pool, stop_webhook: served.stop })
    }

    async fn leave(mut self) -> anyhow::Result<()> {
        self.producers.iter().for_each(AbortHandle::abort);
        self.pool.close();
        let pushed = ended(&mut self.tasks, GIT).await?;
        // Whoever waits to hear that it is over is gone only when everything is.
        if self.stop_webhook.send(()).is_ok() {
            // What it could still say is of no use to anybody.
            drop(ended(&mut self.tasks, admission::WEBHOOK).await?);
        }
        self.tasks.shutdown().await;
        pushed
    }
}

/// Waits until the task `name` has ended, and returns what it ended with. One stopped part makes others end too.
async fn ended(tasks: &mut Running, name: &str) -> anyhow::Result<anyhow::Result<()>> {
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok((ended, result)) if ended == name => return Ok(result),
            Ok((ended, result)) => tracing::debug!(name = ended, ?result, "Ended"),
            Err(error) if error.is_cancelled() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Ok(()))
}

/// Root tasks under their names.
#[derive(Default)]
struct Tasks(Running);

impl Tasks {
    fn spawn<E>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> AbortHandle
    where
        E: Into<anyhow::Error>,
    {
        self.0.spawn(async move { (name, task.await.map_err(Into::into)) })
    }
}

async fn connect() -> anyhow::Result<Client> {
    let client = Client::try_default()
        .await
        .context("the API server is not known: run in a Pod with a service account, or set KUBECONFIG")?;
    let version = tokio::time::timeout(FIRST_ANSWER, client.apiserver_version())
        .await
        .context("the API server did not answer in time")?
        .context("the API server cannot be reached")?;
    tracing::info!(version = version.git_version, "Connected to the API server");
    Ok(client)
}

/// Names this installation by uids, which no other has.
async fn identify(client: &Client, arguments: &RunArguments, namespace: &str) -> anyhow::Result<Installation> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let uid = async |name: &str| -> anyhow::Result<Option<String>> {
        let found = namespaces.get_opt(name).await;
        let found =
            found.with_context(|| format!("the namespace {name} cannot be read: check the operator's ClusterRole"))?;
        Ok(found.and_then(|namespace| namespace.metadata.uid))
    };
    let name = arguments.release_name.clone();
    let instance_id = match &arguments.instance_id {
        Some(instance_id) => instance_id.clone(),
        None => format!("{}/{name}", uid(namespace).await?.unwrap_or_else(|| namespace.to_owned())),
    };
    let cluster_uid = uid("kube-system").await?.unwrap_or_default();
    Ok(Installation { cluster_uid, namespace: namespace.to_owned(), name, instance_id })
}

fn policy(arguments: &RunArguments, namespace: &str) -> Policy {
    let named = |list: &[String]| -> Vec<String> { list.iter().filter(|name| !name.is_empty()).cloned().collect() };
    let mut ambient = named(&arguments.ambient_credentials_namespaces);
    ambient.push(namespace.to_owned());
    Policy {
        hosts: HostPolicy {
            allow_insecure: arguments.allow_insecure_transports,
            allowed: named(&arguments.allowed_git_hosts).iter().map(|pattern| HostPattern::new(pattern)).collect(),
        },
        ambient_namespaces: ambient.into_iter().collect(),
        secrets: arguments.secrets_policy,
        deletes_cap: arguments.deletes_cap_per_cycle.map(|cap| cap as usize),
        wildcards: Wildcards { watch_all: arguments.watch_all, excluded: arguments.discovery_exclude.clone() },
        limits: PlanLimits {
            namespaced_watch_limit: arguments.namespaced_watch_limit as usize,
            max_watches: arguments.max_watches as usize,
        },
    }
}

fn evidence(arguments: &RunArguments) -> Index {
    let index = Index::new(attribution::Limits {
        records: arguments.attribution_max_records as usize,
        records_per_uid: arguments.attribution_max_per_uid as usize,
        ..attribution::Limits::default()
    });
    match arguments.webhook_rules {
        WebhookRules::Exact => index,
        WebhookRules::Broad => index.with_other_versions(),
    }
}

fn worker_settings(
    arguments: &RunArguments,
    git: Git,
    places: Places,
    installation: Arc<Installation>,
    (authors, metrics): (Arc<Authors>, &Metrics),
) -> worker::Settings {
    worker::Settings {
        git,
        places,
        installation,
        authors,
        attributed: Arc::clone(metrics.attributed()),
        clones: ClonePolicy {
            depth: arguments.clone_depth,
            filter: arguments.clone_filter,
            ttl: arguments.clone_ttl,
            least_free_percent: arguments.min_free_disk_percent,
            ..ClonePolicy::default()
        },
        batch: BatchLimits {
            files: arguments.git_batch_max_files as usize,
            bytes: (arguments.git_batch_max_bytes_mib as usize) << 20,
        },
        push_spacing: arguments.push_min_spacing,
        push_ceiling: Duration::from_secs(arguments.git_batch_max_wait_sec.into()),
    }
}

/// Reads how authors are called, and keeps that current.
fn name_authors(tasks: &mut Tasks, arguments: &RunArguments) -> anyhow::Result<Arc<Authors>> {
    let Some(path) = arguments.author_mapping.clone() else { return Ok(Arc::default()) };
    let authors = Arc::new(Authors::read(&path)?);
    tasks.spawn("the author mapping", endless(follow_mapping(Arc::clone(&authors), path)));
    Ok(authors)
}

/// Looks at the mapping file again and again. While it is broken the last good one stays; that is logged once.
async fn follow_mapping(authors: Arc<Authors>, path: PathBuf) {
    let mut complaint = String::new();
    loop {
        tokio::time::sleep(MAPPING_LOOK).await;
        match authors.reload(&path) {
            Ok(is_new) => {
                complaint.clear();
                if is_new {
                    tracing::info!(file = %path.display(), "The author mapping has changed");
                }
            }
            Err(error) if error.to_string() == complaint => {}
            Err(error) => {
                tracing::warn!(%error, "The last good author mapping stays in use");
                complaint = error.to_string();
            }
        }
    }
}

/// Lets the metrics tell of the admission records.
fn observe(metrics: &Metrics, evidence: &Arc<Index>) {
    let (records, evictions) = (Arc::clone(evidence), Arc::clone(evidence));
    let evictions = move || {
        let Evictions { records, records_per_uid, bytes } = evictions.evictions();
        [("records", records), ("records_per_uid", records_per_uid), ("bytes", bytes)]
    };
    metrics.observe_records(move || records.len() as u64, evictions);
}

/// Starts the server for metrics and probes; ready as soon as the first rules are known.
async fn serve_admin(
    tasks: &mut Tasks,
    arguments: &RunArguments,
    metrics: &Arc<Metrics>,
    rules: watch::Receiver<Arc<RuleSet>>,
) -> anyhow::Result<()> {
    let listen = arguments.metrics_listen;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("{listen} is not free: choose another address with --metrics-listen"))?;
    let is_ready = move || rules.has_changed().unwrap_or_default();
    tasks.spawn("the metrics", endless(admin::serve(listener, Arc::clone(metrics), is_ready)));
    Ok(())
}

/// A task that has no way to fail, and no reason to end.
async fn endless(task: impl Future<Output = ()>) -> anyhow::Result<()> {
    task.await;
    Ok(())
}
