//! The operator as a process, the way it runs in production, and a mirrored namespace to try it on.

use super::control_plane::{self, ControlPlane};
use super::git_server::GitServer;
use super::poll::eventually;
use super::ports::free_port;
use super::process::Process;
use super::remote_repo::{CommitInfo, RemoteRepo};
use super::scratch::ScratchDir;
use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use std::ffi::OsString;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// Far longer than anything takes that works.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// How the operator commits what nobody is proven to have done.
pub(crate) const COMMITTER: &str = "GitOps Reverser";

/// The control plane that all tests of this binary share, with one operator in it.
pub(crate) async fn shared() -> Result<&'static ControlPlane> {
    static OPERATOR: OnceCell<(Operator, ScratchDir)> = OnceCell::const_new();
    let cluster = control_plane::shared().await?;
    let start = || async {
        let work_dir = ScratchDir::new()?;
        let operator = Operator::start(cluster, &work_dir, &[]).await?;
        anyhow::Ok((operator, work_dir))
    };
    OPERATOR.get_or_try_init(start).await?;
    Ok(cluster)
}

/// A running operator. Dropping it kills it; [`Operator::terminate`] asks it to leave.
pub(crate) struct Operator {
    process: Process,
    metrics_port: u16,
    /// What an earlier operator logged in the same place, in bytes.
    logged_before: usize,
    started: Instant,
}

impl Operator {
    /// Installs the custom resource definitions and starts the operator with `extra` arguments; its clones live in
    /// `work_dir`. The binary is that of `GITOPS_REVERSER_BIN`, else the one that cargo built for the tests.
    pub(crate) async fn start(cluster: &ControlPlane, work_dir: &ScratchDir, extra: &[&str]) -> Result<Self> {
        install_definitions(cluster).await?;
        Self::start_again(cluster, work_dir, extra, &[])
    }

    /// The same where the definitions are installed already, with additions to its environment.
    pub(crate) fn start_again(
        cluster: &ControlPlane,
        work_dir: &ScratchDir,
        extra: &[&str],
        environment: &[(&str, OsString)],
    ) -> Result<Self> {
        let (port, metrics_port) = (free_port()?, free_port()?);
        let mut command = Command::new(binary()?);
        command
            .arg("run")
            .args(["--allow-insecure-transports", "--push-min-spacing=100ms"])
            // The machine that runs the tests may be nearly full.
            .arg("--min-free-disk-percent=0")
            .arg(format!("--work-dir={}", work_dir.path().join("clones").display()))
            .arg(format!("--webhook-listen=127.0.0.1:{port}"))
            .arg(format!("--webhook-url=https://127.0.0.1:{port}/process-validating-webhook"))
            .arg(format!("--metrics-listen=127.0.0.1:{metrics_port}"))
            .args(extra)
            .env("KUBECONFIG", cluster.kubeconfig())
            .envs(environment.iter().map(|(name, value)| (name, value)));
        let log = work_dir.path().join("operator.log");
        let logged_before = std::fs::metadata(log).map(|log| log.len()).unwrap_or_default();
        let started = Instant::now();
        let process = Process::start("operator", &command, work_dir)?;
        Ok(Self { process, metrics_port, logged_before: usize::try_from(logged_before)?, started })
    }

    /// Asks the operator to leave, and waits until it has.
    pub(crate) async fn terminate(self) -> Result<()> {
        let killed = Command::new("kill").args(["-s", "TERM", &self.process.pid().to_string()]).status()?;
        ensure!(killed.success(), "the operator cannot be signalled; {}", self.process.log_tail());
        eventually(SOON, "the operator to leave", async || Ok(self.process.exit_code()?)).await.and_then(|code| {
            ensure!(code == 0, "the operator left with exit code {code}; {}", self.process.log_tail());
            Ok(())
        })
    }

    /// The sum of the values of the metric `name`, over all its labels.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.metrics_port)).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        let values =
            text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        Ok(values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Kills the operator's process as a lack of memory would, and waits until it is gone. What it has started is not
    /// killed.
    pub(crate) fn kill(&self) {
        self.process.kill();
    }

    /// When the process was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Everything it has logged.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.process.log()).unwrap_or_default();
        String::from_utf8_lossy(log.get(self.logged_before..).unwrap_or_default()).into_owned()
    }
}

fn binary() -> Result<String> {
    let binary = std::env::var("GITOPS_REVERSER_BIN").ok();
    let binary = binary.or(option_env!("CARGO_BIN_EXE_gitops-reverser").map(str::to_owned));
    binary.context("GITOPS_REVERSER_BIN does not name the operator's binary")
}

/// Installs the custom resource definitions that the operator's binary prints.
pub(crate) async fn install_definitions(cluster: &ControlPlane) -> Result<()> {
    let definitions = Command::new(binary()?).arg("crds").output()?;
    ensure!(definitions.status.success(), "the definitions cannot be printed: {definitions:?}");
    apply(cluster, &String::from_utf8(definitions.stdout)?).await?;
    let mut wait = cluster.kubectl();
    wait.args(["wait", "--for=condition=Established", "--timeout=60s", "crd"]);
    let kinds = ["gitproviders", "gittargets", "watchrules", "clusterwatchrules"];
    let waited = wait.args(kinds.map(|kind| format!("{kind}.configbutler.ai"))).output().await?;
    ensure!(waited.status.success(), "the definitions are not established: {waited:?}");
    Ok(())
}

/// Applies `manifests` as `admin`, with kubectl.
pub(crate) async fn apply(cluster: &ControlPlane, manifests: &str) -> Result<()> {
    use tokio::io::AsyncWriteExt as _;
    let mut kubectl = cluster.kubectl();
    kubectl.args(["apply", "--server-side", "-f", "-"]).stdin(std::process::Stdio::piped());
    let mut child = kubectl.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("kubectl has no input")?;
    stdin.write_all(manifests.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "kubectl apply failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A namespace whose objects of some types are mirrored to a repository of its own.
pub(crate) struct Mirror {
    /// The namespace.
    pub(crate) namespace: String,
    /// The Git server.
    pub(crate) server: GitServer,
    /// The repository; the branch is `main`, the folder `live`.
    pub(crate) repo: RemoteRepo,
}

/// The provider `git` of `repo` on `server`, and its Secret, in `namespace`; `rest` holds the other fields of its spec.
pub(crate) fn provider(namespace: &str, server: &GitServer, repo: &RemoteRepo, rest: &str) -> String {
    let (user, password, url) = (server.user(), server.password(), repo.url());
    format!(
        r"
apiVersion: v1
kind: Secret
metadata: {{name: git, namespace: {namespace}}}
stringData: {{username: {user}, password: {password}}}
---
apiVersion: configbutler.ai/v1alpha1
kind: GitProvider
metadata: {{name: git, namespace: {namespace}}}
spec:
  url: {url}
  secretRef: {{name: git}}
  allowedBranches: [main]
  {rest}
"
    )
}

impl Mirror {
    /// Makes the namespace, and what mirrors its objects of the types `resources`.
    pub(crate) async fn start(cluster: &ControlPlane, prefix: &str, resources: &[&str]) -> Result<Self> {
        let mirror = Self::prepare(cluster, prefix).await?;
        apply(cluster, &mirror.configuration(resources)).await?;
        mirror.ready(cluster).await?;
        Ok(mirror)
    }

    /// Makes the namespace and the repository only.
    pub(crate) async fn prepare(cluster: &ControlPlane, prefix: &str) -> Result<Self> {
        let server = GitServer::start().await?;
        let repo = server.create_repo(prefix);
        let namespace = cluster.namespace(prefix).await?;
        // Made by a controller in every namespace: to be there before anything is counted.
        let maps: Api<ConfigMap> = Api::namespaced(cluster.client().await?, &namespace);
        eventually(SOON, "the namespace to be complete", async || Ok(maps.get_opt("kube-root-ca.crt").await?)).await?;
        Ok(Self { namespace, server, repo })
    }

    /// The four objects that mirror the namespace.
    pub(crate) fn configuration(&self, resources: &[&str]) -> String {
        self.configuration_pushing(resources, "200ms")
    }

    /// The same with another `push.interval`.
    pub(crate) fn configuration_pushing(&self, resources: &[&str], push_interval: &str) -> String {
        let Self { namespace, server, repo } = self;
        let rest = format!("accessPolicy: {{allowClusterRules: true}}\n  push: {{interval: {push_interval}}}");
        let provider = provider(namespace, server, repo, &rest);
        format!(
            r"
{provider}
---
apiVersion: configbutler.ai/v1alpha1
kind: GitTarget
metadata: {{name: live, namespace: {namespace}}}
spec:
  providerRef: {{name: git}}
  branch: main
  baseFolder: live
---
apiVersion: configbutler.ai/v1alpha1
kind: WatchRule
metadata: {{name: all, namespace: {namespace}}}
spec:
  sinkRef: {{name: live}}
  rules: [{{resources: [{resources}]}}]
",
            resources = resources.join(", "),
        )
    }

    /// Waits until target and rule are ready, as a user would.
    pub(crate) async fn ready(&self, cluster: &ControlPlane) -> Result<()> {
        let mut wait = cluster.kubectl();
        wait.args(["wait", "--namespace", &self.namespace, "--for=condition=Ready", "--timeout=60s"]);
        let output = wait.args(["gittarget/live", "watchrule/all"]).output().await?;
        let path = "-o=jsonpath={range .items[*]}{.kind}: {.status}{\"\\n\"}{end}";
        let mut get = cluster.kubectl();
        get.args(["get", "--namespace", &self.namespace, "gittarget,watchrule", path]);
        let statuses = String::from_utf8_lossy(&get.output().await?.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the mirror is not ready: {said}\n{statuses}");
        Ok(())
    }

    /// The file of the config map `name`.
    pub(crate) fn config_map(&self, name: &str) -> String {
        format!("live/core/v1/configmaps/{}/{name}.yaml", self.namespace)
    }

    /// The commits that touch `path`, oldest first.
    pub(crate) fn history(&self, path: &str) -> Vec<CommitInfo> {
        let Some(_) = self.repo.head("main") else { return Vec::new() };
        let touches = |commit: &CommitInfo| commit.changes.iter().any(|(_, changed)| changed == path);
        self.repo.log("main").into_iter().filter(touches).collect()
    }

    /// Waits until exactly `count` commits touch `path`; more are an error.
    pub(crate) async fn commits(&self, path: &str, count: usize) -> Result<Vec<CommitInfo>> {
        eventually(SOON, &format!("{count} commits of {path}"), async || {
            let history = self.history(path);
            if history.len() > count {
                return Ok(Some(Err(anyhow::anyhow!("{} commits instead of {count}: {history:#?}", history.len()))));
            }
            Ok((history.len() == count).then_some(Ok(history)))
        })
        .await?
    }
}
