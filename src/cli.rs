//! The command line: flags, environment names, defaults, units. Nothing is decided here.

use crate::rules::{Exclusion, SecretsPolicy};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Commits what happens in a Kubernetes cluster to Git, authored by whoever did it.
#[derive(Debug, Parser)]
#[command(name = "gitops-reverser", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the operator.
    Run(Box<RunArguments>),
    /// Writes the objects of a cluster as files, once: the same bytes as the operator's.
    Snapshot(SnapshotArguments),
    /// Prints the definitions of the custom resources, for `kubectl apply -f -`.
    Crds,
    /// Prints the fields of the custom resources, as Markdown.
    Reference,
    /// Prints the ValidatingWebhookConfiguration, for `kubectl apply --server-side -f -`.
    WebhookConfiguration(WebhookConfigurationArguments),
}

/// Which rules the API server is given for its calls of the webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WebhookRules {
    /// Exactly what is mirrored, every version pinned; kept so by the operator.
    Exact,
    /// Everything, whether mirrored or not; the operator sets only caBundle. Objects that are submitted in another
    /// version than the one that is watched have no exact author then.
    Broad,
}

/// Which rules are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrintedRules {
    /// What the rules in the cluster mirror at the moment: what the operator applies by itself.
    Exact,
    /// Everything, for an operator that runs with --webhook-rules=broad.
    Broad,
    /// Nothing: the object that the operator fills.
    Nothing,
}

/// What the printed configuration is to say.
#[derive(Debug, Args)]
pub struct WebhookConfigurationArguments {
    /// What it covers.
    #[arg(long, value_enum, default_value_t = PrintedRules::Exact)]
    pub rules: PrintedRules,

    /// The configuration's name.
    #[arg(long, default_value = "gitops-reverser")]
    pub name: String,

    /// The namespace of the operator and of its Service.
    #[arg(long, default_value = "gitops-reverser")]
    pub namespace: String,

    /// The name of the Service.
    #[arg(long, default_value = "gitops-reverser")]
    pub service: String,

    /// The URL of the webhook, instead of a Service.
    #[arg(long, conflicts_with = "service")]
    pub url: Option<String>,

    /// The operator's service account, whose own writes are left out; an empty name leaves out nobody.
    #[arg(long, default_value = "gitops-reverser")]
    pub service_account: String,

    /// A PEM file with the certificates that the webhook's own is checked against; by default the operator adds them.
    #[arg(long)]
    pub ca_file: Option<PathBuf>,
}

/// What to write, and where to.
#[derive(Debug, Args)]
pub struct SnapshotArguments {
    /// The folder for the files; `-` prints one YAML stream instead.
    #[arg(long, short)]
    pub output: PathBuf,

    /// The namespace; by default that of the context.
    #[arg(long, short)]
    pub namespace: Option<String>,

    /// All namespaces, and with the default resources also what has no namespace.
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    pub all_namespaces: bool,

    /// The kubeconfig; by default as kubectl finds it.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,

    /// The context; by default the current one.
    #[arg(long)]
    pub context: Option<String>,

    /// Writes what the cluster makes by itself too, such as the ConfigMap kube-root-ca.crt or the Pods of a Deployment.
    #[arg(long)]
    pub no_noise_filter: bool,

    /// Which types, such as deployments or clusterroles.rbac.authorization.k8s.io; by default those that describe the
    /// desired state.
    pub resources: Vec<String>,
}

/// Settings of the operator.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct RunArguments {
    /// Where clones live. Must be writable, and private to this process.
    #[arg(long, env = "GITOPS_REVERSER_WORK_DIR", default_value = "/var/cache/gitops-reverser")]
    pub work_dir: PathBuf,

    /// Permits http://, file:// and local addresses as repositories.
    #[arg(long, env = "GITOPS_REVERSER_ALLOW_INSECURE_TRANSPORTS")]
    pub allow_insecure_transports: bool,

    /// SSH servers and their keys, in the form of ssh's known_hosts, for providers whose Secret names none for the server.
    /// The public hosts are known without.
    #[arg(long, env = "GITOPS_REVERSER_KNOWN_HOSTS")]
    pub known_hosts: Option<PathBuf>,

    /// The hosts that GitProviders may name, and the API of a GitHub App: globs such as github.com or *.example.com,
    /// separated by commas; by default any.
    #[arg(long, env = "GITOPS_REVERSER_ALLOWED_GIT_HOSTS", value_delimiter = ',')]
    pub allowed_git_hosts: Vec<String>,

    /// The namespaces, besides the operator's own, whose GitProviders without a Secret use the operator's own
    /// credentials: agent socket, credential helpers, mounted gitconfig. Separated by commas.
    #[arg(long, env = "GITOPS_REVERSER_AMBIENT_CREDENTIALS_NAMESPACES", value_delimiter = ',')]
    pub ambient_credentials_namespaces: Vec<String>,

    /// A batch becomes commits when it has so many files.
    #[arg(long, env = "GITOPS_REVERSER_GIT_BATCH_MAX_FILES", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub git_batch_max_files: u32,

    /// A batch becomes commits when it has so much content, in MiB.
    #[arg(long, env = "GITOPS_REVERSER_GIT_BATCH_MAX_BYTES_MIB", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub git_batch_max_bytes_mib: u32,

    /// The longest that a commit waits to be pushed, in seconds, whatever its provider's push.interval says.
    #[arg(long, env = "GITOPS_REVERSER_GIT_BATCH_MAX_WAIT_SEC", default_value_t = 20)]
    pub git_batch_max_wait_sec: u32,

    /// The least time between two pushes of one branch, such as 10s or 500ms.
    #[arg(long, env = "GITOPS_REVERSER_PUSH_MIN_SPACING", default_value = "10s", value_parser = crate::api::duration::parse)]
    pub push_min_spacing: std::time::Duration,

    /// How many commits of a branch's history are fetched when it is cloned; 0: all.
    #[arg(long, env = "GITOPS_REVERSER_CLONE_DEPTH", default_value_t = 50)]
    pub clone_depth: u32,

    /// What is left out of a clone: blob:none (the content of files, fetched where it is needed) or none.
    #[arg(long, env = "GITOPS_REVERSER_CLONE_FILTER", default_value = "blob:none")]
    pub clone_filter: crate::git::clone::policy::Filter,

    /// How long a clone stays that no target uses any more, such as 168h; 0s: for ever.
    #[arg(long, env = "GITOPS_REVERSER_CLONE_TTL", default_value = "168h", value_parser = crate::api::duration::parse)]
    pub clone_ttl: std::time::Duration,

    /// While less of the disk below the work directory is free than this share, in percent, and less than 5 GiB, nothing
    /// is committed; 0: as long as there is any.
    #[arg(long, env = "GITOPS_REVERSER_MIN_FREE_DISK_PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=90))]
    pub min_free_disk_percent: u8,

    /// How many git processes may run at once. A quarter of them is kept for work on the local disk.
    #[arg(long, env = "GITOPS_REVERSER_WORKERS_MAX_GLOBAL", default_value_t = 24, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub workers_max_global: u32,

    /// How many of them may talk to one repository.
    #[arg(long, env = "GITOPS_REVERSER_WORKERS_MAX_PER_REPO", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub workers_max_per_repo: u32,

    /// Writes what the cluster makes by itself too, such as the ConfigMap kube-root-ca.crt or the Pods of a Deployment.
    #[arg(long, env = "GITOPS_REVERSER_NO_NOISE_FILTER")]
    pub no_noise_filter: bool,

    /// How often the API server is asked which types it serves, such as 5m; at least 1s.
    #[arg(long, env = "GITOPS_REVERSER_DISCOVERY_REFRESH", default_value = "5m", value_parser = refresh)]
    pub discovery_refresh: std::time::Duration,

    /// Rules without `resources` select every type that is served, but for those that no wildcard selects, instead of the
    /// types that describe the desired state.
    #[arg(long, env = "GITOPS_REVERSER_WATCH_ALL")]
    pub watch_all: bool,

    /// A type that no wildcard selects, only a rule that names it: resource.group or group/resource (core/pods for one of
    /// the core group), or a plural alone for those of all groups; `*` may stand for resource or group. May be repeated,
    /// or name several separated by commas.
    #[arg(long, env = "GITOPS_REVERSER_DISCOVERY_EXCLUDE", value_delimiter = ',')]
    pub discovery_exclude: Vec<Exclusion>,

    /// How many watches there are at most. What does not fit is not mirrored, and its rule says so; the older rule goes
    /// first.
    #[arg(long, env = "GITOPS_REVERSER_MAX_WATCHES", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_watches: u32,

    /// In how many namespaces a type is watched one by one; where more are wanted, it is watched in all at once.
    #[arg(long, env = "GITOPS_REVERSER_NAMESPACED_WATCH_LIMIT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub namespaced_watch_limit: u32,

    /// How many files one sweep of a target may remove; the rest waits for the next one. 0: none. By default any number.
    /// A target can only set a smaller one.
    #[arg(long, env = "GITOPS_REVERSER_DELETES_CAP_PER_CYCLE")]
    pub deletes_cap_per_cycle: Option<u32>,

    /// What is written of Secrets where a target does not say: Plaintext (everything, readable for whoever reads the
    /// repository) or Omit (nothing, whatever a target says).
    #[arg(long, env = "GITOPS_REVERSER_SECRETS_POLICY", default_value_t = SecretsPolicy::Plaintext)]
    pub secrets_policy: SecretsPolicy,

    /// Committer's name where a provider names none.
    #[arg(long, env = "GITOPS_REVERSER_COMMITTER_NAME", default_value = "GitOps Reverser")]
    pub committer_name: String,

    /// Committer's e-mail address where a provider names none.
    #[arg(long, env = "GITOPS_REVERSER_COMMITTER_EMAIL", default_value = "gitops-reverser@users.noreply.invalid")]
    pub committer_email: String,

    /// The operator's own namespace; by default that of its service account or kubeconfig.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: Option<String>,

    /// The release's name.
    #[arg(long, env = "GITOPS_REVERSER_RELEASE_NAME", default_value = "gitops-reverser")]
    pub release_name: String,

    /// Names this installation in commits; by default `<uid of its namespace>/<release name>`.
    #[arg(long, env = "GITOPS_REVERSER_INSTANCE_ID")]
    pub instance_id: Option<String>,

    /// Where the admission webhook listens.
    #[arg(long, env = "GITOPS_REVERSER_WEBHOOK_LISTEN", default_value = "0.0.0.0:9443")]
    pub webhook_listen: SocketAddr,

    /// The URL by which the API server reaches the webhook; by default the Service of the release's name.
    #[arg(long, env = "GITOPS_REVERSER_WEBHOOK_URL")]
    pub webhook_url: Option<String>,

    /// The ValidatingWebhookConfiguration that is kept equal to what is mirrored.
    #[arg(long, env = "GITOPS_REVERSER_WEBHOOK_CONFIGURATION", default_value = "gitops-reverser")]
    pub webhook_configuration: String,

    /// Which calls the API server makes: exact, those that concern what is mirrored, kept up to date; or broad, where
    /// the rules belong to whoever made the configuration, and the operator sets only its caBundle.
    #[arg(long, env = "GITOPS_REVERSER_WEBHOOK_RULES", value_enum, default_value_t = WebhookRules::Exact)]
    pub webhook_rules: WebhookRules,

    /// How many admission requests are remembered, to find the authors of changes.
    #[arg(long, env = "GITOPS_REVERSER_ATTRIBUTION_MAX_RECORDS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub attribution_max_records: u32,

    /// How many of them may concern one object.
    #[arg(long, env = "GITOPS_REVERSER_ATTRIBUTION_MAX_PER_UID", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    pub attribution_max_per_uid: u32,

    /// A directory with tls.crt, tls.key and perhaps ca.crt for the webhook, read again when they change; by default
    /// the operator makes a certificate of its own.
    #[arg(long, env = "GITOPS_REVERSER_WEBHOOK_CERT_DIR")]
    pub webhook_cert_dir: Option<PathBuf>,

    /// A PEM file: only clients with a certificate of these authorities may call the webhook. The API server must have
    /// been given one (its --admission-control-config-file), or it is turned away too.
    #[arg(long, env = "GITOPS_REVERSER_WEBHOOK_CLIENT_CA")]
    pub webhook_client_ca: Option<PathBuf>,

    /// A YAML file that says how users are called in Git, by name or pattern, read again when it changes; see
    /// docs/attribution.md. Users that it does not name have an address that is nobody's.
    #[arg(long, env = "GITOPS_REVERSER_AUTHOR_MAPPING")]
    pub author_mapping: Option<PathBuf>,

    /// The key in userInfo.extra whose value is the user's e-mail address, as the API server's authenticator gives it.
    /// Only for users of whom the author mapping knows no address.
    #[arg(long, env = "GITOPS_REVERSER_AUTHOR_EMAIL_EXTRA")]
    pub author_email_extra: Option<String>,

    /// Where /metrics, /healthz and /readyz are served.
    #[arg(long, env = "GITOPS_REVERSER_METRICS_LISTEN", default_value = "0.0.0.0:8080")]
    pub metrics_listen: SocketAddr,

    /// What is logged: error, warn, info, debug or trace, or levels by module.
    #[arg(long, env = "GITOPS_REVERSER_LOG", default_value = "info")]
    pub log: String,
}

/// Reads how often discovery looks.
fn refresh(text: &str) -> Result<std::time::Duration, String> {
    let refresh = crate::api::duration::parse(text).map_err(|error| error.to_string())?;
    if refresh < std::time::Duration::from_secs(1) {
        return Err("asking more often would only burden the API server; write at least 1s".to_owned());
    }
    Ok(refresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn every_setting_has_an_environment_name() {
        use clap::CommandFactory as _;
        let cli = Cli::command();
        let run = cli.find_subcommand("run").unwrap();
        for argument in run.get_arguments().filter(|argument| argument.get_id() != "help") {
            assert!(argument.get_env().is_some(), "{}", argument.get_id());
        }
    }

    #[test]
    fn every_setting_is_read_by_something() {
        use clap::CommandFactory as _;
        let readers = [include_str!("app.rs"), include_str!("app/admission.rs")].concat();
        let cli = Cli::command();
        for argument in cli.find_subcommand("run").unwrap().get_arguments() {
            let field = format!("arguments.{}", argument.get_id());
            // Followed by what cannot be part of a longer name.
            let is_read =
                readers.split(&field).skip(1).any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'));
            assert!(is_read || argument.get_id() == "help", "nothing reads {field}");
        }
    }

    fn parse_run(flags: &[&str]) -> Result<Box<RunArguments>, String> {
        let line = ["gitops-reverser", "run"].into_iter().chain(flags.iter().copied());
        match Cli::try_parse_from(line).map_err(|error| error.to_string())?.command {
            Command::Run(arguments) => Ok(arguments),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_watched_and_pruned_is_as_documented_by_default() {
        let arguments = parse_run(&[]).unwrap();
        assert_eq!((arguments.max_watches, arguments.namespaced_watch_limit), (300, 10));
        assert_eq!(arguments.discovery_refresh, std::time::Duration::from_secs(300));
        assert!(!arguments.watch_all && arguments.discovery_exclude.is_empty());
        assert_eq!(arguments.deletes_cap_per_cycle, None);
        assert_eq!(arguments.secrets_policy, SecretsPolicy::Plaintext);
    }

    #[test]
    fn exclusions_may_be_repeated_or_listed() {
        let arguments = parse_run(&["--discovery-exclude=jobs.batch,apps/*", "--discovery-exclude=core/pods"]).unwrap();
        let shown: Vec<String> = arguments.discovery_exclude.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["batch/jobs", "apps/*", "core/pods"]);
    }

    #[test]
    fn what_is_malformed_is_refused_at_start() {
        let table = [
            ("--discovery-exclude=Pods", "in lower case"),
            ("--discovery-exclude=*", "would leave out everything"),
            ("--discovery-exclude=jobs.batch,", "names no type"),
            ("--max-watches=0", "0 is not in 1..=100000"),
            ("--max-watches=many", "invalid digit"),
            ("--namespaced-watch-limit=-1", "-1 is not in 0..=10000"),
            ("--deletes-cap-per-cycle=-1", "-1 is not in 0.."),
            ("--secrets-policy=omit", "write Plaintext or Omit"),
            ("--secrets-policy=Encrypt", "write Plaintext or Omit"),
            ("--discovery-refresh=5", "write it like"),
            ("--discovery-refresh=0s", "at least 1s"),
            ("--watch-all=yes", "unexpected value"),
        ];
        for (flag, expected) in table {
            let refusal = parse_run(&[flag]).expect_err(flag);
            assert!(refusal.contains(expected), "{flag}: {refusal}");
        }
    }
}
