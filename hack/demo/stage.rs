//! Everything that runs during the demonstration.

use crate::step;
use crate::support::control_plane::ControlPlane;
use crate::support::git_server::GitServer;
use crate::support::operator::{Operator, apply};
use crate::support::poll::eventually;
use crate::support::remote_repo::RemoteRepo;
use crate::support::scratch::ScratchDir;
use anyhow::{Result, ensure};
use gitops_reverser::api::{GitProvider, GitTarget, WatchRule};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, Client};
use std::path::PathBuf;
use std::time::Duration;

/// The namespace that is mirrored.
pub(crate) const NAMESPACE: &str = "shop";
const CONFIGURATION: &str = include_str!("configuration.yaml");
/// Far longer than it takes where nothing is wrong.
const READY: Duration = Duration::from_secs(30);
/// How much of the operator's log stands below an error, in lines.
const TAIL: usize = 12;

/// The control plane, the Git remote and the operator; all end when this is dropped.
pub(crate) struct Stage {
    // Fields are dropped from the top: clients before what they talk to.
    operator: Operator,
    work_dir: ScratchDir,
    server: GitServer,
    /// The repository that is written.
    pub(crate) repo: RemoteRepo,
    cluster: ControlPlane,
}

impl Stage {
    /// Starts everything, and says so.
    pub(crate) async fn start() -> Result<Self> {
        step("Starting Kubernetes: etcd, kube-apiserver, kube-controller-manager");
        let cluster = ControlPlane::start().await?;
        println!("Kubernetes {} serves", cluster.kube_version());

        step("Starting a Git remote: smart HTTP, password, one empty repository");
        let server = GitServer::start().await?;
        let repo = server.create_repo("cluster");
        println!("{}", repo.url());

        step("Starting the operator");
        let work_dir = ScratchDir::new()?;
        let operator = Operator::start(&cluster, &work_dir, &[]).await?;
        println!("gitops-reverser runs as process {}", operator.pid());
        Ok(Self { operator, work_dir, server, repo, cluster })
    }

    /// Makes the namespace and what mirrors it, and waits until all of it is ready.
    pub(crate) async fn configure(&self) -> Result<()> {
        step("Mirroring the namespace shop: Secret, GitProvider, GitTarget, WatchRule (hack/demo/configuration.yaml)");
        self.kubectl(&["create", "namespace", NAMESPACE]).await?;
        let client = self.cluster.client().await?;
        // Made by a controller in every namespace: to be there before anything is counted.
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
        eventually(READY, "the namespace to be complete", async || Ok(maps.get_opt("kube-root-ca.crt").await?)).await?;

        let configuration = CONFIGURATION
            .replace("$USERNAME", self.server.user())
            .replace("$PASSWORD", self.server.password())
            .replace("$URL", self.repo.url());
        apply(&self.cluster, &configuration).await?;
        eventually(READY, "the configuration to be ready", async || not_ready(&client).await).await?;
        println!("GitProvider/cluster-repo, GitTarget/live and WatchRule/apps are Ready");
        Ok(())
    }

    /// Runs kubectl as the administrator.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Result<()> {
        println!("$ kubectl {}", arguments.join(" "));
        let output = self.cluster.kubectl().args(arguments).output().await?;
        print!("{}", String::from_utf8_lossy(&output.stdout));
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {} failed: {}", arguments.join(" "), complaint.trim_end());
        Ok(())
    }

    /// All directories that must be gone in the end.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let repositories = self.repo.path().parent().unwrap_or(self.repo.path());
        vec![self.work_dir.path().to_owned(), repositories.to_owned(), self.cluster.dir().to_owned()]
    }

    /// The last lines that the operator has logged, below a heading.
    pub(crate) fn operator_log_tail(&self) -> String {
        let log = self.operator.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("The end of the operator's log:\n{}", lines[lines.len().saturating_sub(TAIL)..].join("\n"))
    }

    /// How to look around while everything runs.
    pub(crate) fn tour(&self) -> String {
        let kubectl = self.cluster.kubectl();
        let kubectl = kubectl.as_std().get_program().display();
        let work_dir = self.work_dir.path().display();
        format!(
            "==> Everything goes on running until Ctrl-C. In another shell:

export KUBECONFIG={kubeconfig}
alias kubectl={kubectl}
kubectl get reverser --namespace {NAMESPACE}
kubectl --as dave --as-group testers --namespace {NAMESPACE} set env deployment/web LOG_LEVEL=info
git clone {url} /tmp/cluster
git -C {work_dir}/clones/repos/* log main
tail -f {work_dir}/operator.log
",
            kubeconfig = self.cluster.kubeconfig().display(),
            url = self.repo.authenticated_url(),
        )
    }
}

/// What each resource says of itself; `Some` once all are ready.
async fn not_ready(client: &Client) -> Result<Option<()>> {
    let provider = Api::<GitProvider>::namespaced(client.clone(), NAMESPACE).get("cluster-repo").await?;
    ready("GitProvider/cluster-repo", provider.status.map(|status| status.conditions))?;
    let target = Api::<GitTarget>::namespaced(client.clone(), NAMESPACE).get("live").await?;
    ready("GitTarget/live", target.status.map(|status| status.conditions))?;
    let rule = Api::<WatchRule>::namespaced(client.clone(), NAMESPACE).get("apps").await?;
    ready("WatchRule/apps", rule.status.map(|status| status.conditions))?;
    Ok(Some(()))
}

fn ready(name: &str, conditions: Option<Vec<Condition>>) -> Result<()> {
    let conditions = conditions.unwrap_or_default();
    let Some(ready) = conditions.iter().find(|condition| condition.type_ == "Ready") else {
        anyhow::bail!("{name} has no condition Ready yet");
    };
    ensure!(ready.status == "True", "{name} is not ready ({}): {}", ready.reason, ready.message);
    Ok(())
}
