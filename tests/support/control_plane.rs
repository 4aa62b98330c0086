//! A real Kubernetes control plane on loopback: etcd, kube-apiserver, kube-controller-manager.
//!
//! The programs are the pinned ones of `scripts/controlplane`. RBAC is on, the default admission plugins and
//! all default controllers run, there is no node.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::http::Request;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;

use super::certificates::{Authority, Identity};
use super::poll::eventually;
use super::ports::free_port;
use super::process::Process;
use super::scratch::ScratchDir;

/// How long each program may take to become ready. Far more than needed, since a machine may be busy.
const READY: Duration = Duration::from_secs(90);

/// Starts that are tried when somebody else takes one of the ports between our look and our use.
const ATTEMPTS: u32 = 3;

/// The group of the users that [`ControlPlane::client_as`] makes. It may do everything.
pub(crate) const TESTERS: &str = "testers";

/// A running control plane; dropping it ends its processes and removes its data.
pub(crate) struct ControlPlane {
    // Order matters: fields are dropped from the top, clients of a server before the server.
    _controller_manager: Process,
    api_server: Mutex<Option<Process>>,
    etcd: Process,
    launch: Launch,
    kube_version: String,
    namespaces: AtomicU32,
    scratch: ScratchDir,
}

/// What the programs are started with.
struct Launch {
    binaries: PathBuf,
    dir: PathBuf,
    admin: PathBuf,
    etcd_port: u16,
    api_port: u16,
    /// What the API server is told beyond what it always is.
    api_server_arguments: &'static [&'static str],
    /// Whether it logs what [`super::account::NAMESPACE`]'s accounts ask for.
    audited: bool,
}

/// The control plane that all tests of this binary share, started by the first test that asks for it.
///
/// It holds no clients: each test has a runtime of its own, and a client must not outlive the runtime that made
/// it. A test that stops the API server starts a control plane of its own.
pub(crate) async fn shared() -> Result<&'static ControlPlane> {
    static SHARED: OnceLock<Result<ControlPlane>> = OnceLock::new();
    let started =
        tokio::task::spawn_blocking(|| SHARED.get_or_init(|| ControlPlane::start_blocking(&[], false))).await?;
    started.as_ref().map_err(|error| anyhow!("the shared control plane did not start: {error:#}"))
}

impl ControlPlane {
    /// Starts a control plane and waits until it serves and its controllers work. The first start on a machine
    /// builds the programs. On failure the error carries the ends of the logs.
    pub(crate) async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with more arguments for the API server.
    pub(crate) async fn start_with(api_server_arguments: &'static [&'static str]) -> Result<Self> {
        tokio::task::spawn_blocking(|| Self::start_blocking(api_server_arguments, false)).await?
    }

    /// The same with a log of every request of the operator's account, for [`super::audit`].
    pub(crate) async fn start_audited() -> Result<Self> {
        tokio::task::spawn_blocking(|| Self::start_blocking(&[], true)).await?
    }

    fn start_blocking(api_server_arguments: &'static [&'static str], audited: bool) -> Result<Self> {
        let binaries = binaries()?;
        // A runtime for the start alone: what it leaves behind are processes, which need none.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut attempt = 1;
        loop {
            match runtime.block_on(Self::launch(&binaries, api_server_arguments, audited)) {
                Err(error) if attempt < ATTEMPTS && format!("{error:#}").contains("address already in use") => {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn launch(binaries: &Path, api_server_arguments: &'static [&'static str], audited: bool) -> Result<Self> {
        let scratch = ScratchDir::new()?;
        let launch = Launch {
            binaries: binaries.to_owned(),
            dir: scratch.path().to_owned(),
            admin: scratch.path().join("admin.kubeconfig"),
            etcd_port: free_port()?,
            api_port: free_port()?,
            api_server_arguments,
            audited,
        };
        launch.write_files()?;
        let etcd = Process::start("etcd", &launch.etcd(), &scratch)?;
        let api_server = Process::start("kube-apiserver", &launch.api_server(), &scratch)?;
        launch.wait_ready(&[&etcd, &api_server]).await?;

        let manager = Process::start("kube-controller-manager", &launch.controller_manager(), &scratch)?;
        let client = launch.client().await?;
        grant_testers(client.clone()).await?;
        wait_for_controllers(&client, &manager).await?;
        let kube_version = client.apiserver_version().await?.git_version;
        Ok(Self {
            _controller_manager: manager,
            api_server: Mutex::new(Some(api_server)),
            etcd,
            launch,
            kube_version,
            namespaces: AtomicU32::new(0),
            scratch,
        })
    }

    /// The kubeconfig of the user `admin`, a member of `system:masters`. It refers to no other file.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.launch.admin
    }

    /// What the API server says its version is, like `v1.36.3`.
    pub(crate) fn kube_version(&self) -> &str {
        &self.kube_version
    }

    /// The directory with logs, certificates and etcd's data; goes away with the control plane.
    pub(crate) fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// A client for `admin`. Belongs to the runtime of the caller.
    pub(crate) async fn client(&self) -> Result<kube::Client> {
        self.launch.client().await
    }

    /// A client for `user`, who may do everything as a member of [`TESTERS`]. Belongs to the runtime of the
    /// caller.
    pub(crate) async fn client_as(&self, user: &str) -> Result<kube::Client> {
        let mut config = self.launch.config().await?;
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(vec![TESTERS.to_owned()]);
        Ok(kube::Client::try_from(config)?)
    }

    /// `kubectl` of the same release, as `admin`. For another user add `--as NAME --as-group testers`.
    pub(crate) fn kubectl(&self) -> tokio::process::Command {
        let mut kubectl = tokio::process::Command::new(self.launch.binaries.join("kubectl"));
        kubectl
            .env("KUBECONFIG", self.kubeconfig())
            .env("KUBECACHEDIR", self.launch.dir.join("kubectl-cache"))
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        kubectl
    }

    /// Creates a namespace `<prefix>-<number>` that nobody else in this control plane has.
    pub(crate) async fn namespace(&self, prefix: &str) -> Result<String> {
        let name = format!("{prefix}-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        let namespace = Namespace { metadata: named(&name), ..Namespace::default() };
        let api: Api<Namespace> = Api::all(self.client().await?);
        api.create(&PostParams::default(), &namespace).await.with_context(|| format!("creating namespace {name}"))?;
        Ok(name)
    }

    /// Kills the API server. Nothing happens if it is stopped already.
    pub(crate) fn stop_api_server(&self) {
        drop(self.api_server_slot().take());
    }

    /// Starts the API server again, at the same address and with the same data, and waits until it serves.
    pub(crate) async fn start_api_server(&self) -> Result<()> {
        self.stop_api_server();
        let process = Process::start("kube-apiserver", &self.launch.api_server(), &self.scratch)?;
        self.launch.wait_ready(&[&self.etcd, &process]).await?;
        *self.api_server_slot() = Some(process);
        Ok(())
    }

    fn api_server_slot(&self) -> MutexGuard<'_, Option<Process>> {
        self.api_server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Launch {
    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// Keys, certificates and kubeconfigs.
    fn write_files(&self) -> Result<()> {
        let authority = Authority::new()?;
        self.write("ca.crt", authority.pem())?;
        self.write("ca.key", &authority.key_pem())?;

        let names = ["127.0.0.1", "localhost", "kubernetes.default.svc", "10.0.0.1"];
        let server = authority.server(&names)?;
        self.write("server.crt", &server.certificate)?;
        self.write("server.key", &server.key)?;

        let accounts = rcgen::KeyPair::generate()?;
        self.write("service-accounts.key", &accounts.serialize_pem())?;
        self.write("service-accounts.pub", &accounts.public_key_pem())?;

        self.write("audit-policy.json", &super::audit::policy().to_string())?;
        let manager = "system:kube-controller-manager";
        self.write_kubeconfig("admin", &authority, &authority.client("admin", "system:masters")?)?;
        self.write_kubeconfig("controller-manager", &authority, &authority.client(manager, manager)?)
    }

    fn write_kubeconfig(&self, user: &str, authority: &Authority, identity: &Identity) -> Result<()> {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": user,
            "contexts": [{"name": user, "context": {"cluster": "control-plane", "user": user}}],
            "clusters": [{"name": "control-plane", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.api_port),
                "certificate-authority-data": BASE64_STANDARD.encode(authority.pem()),
            }}],
            "users": [{"name": user, "user": {
                "client-certificate-data": BASE64_STANDARD.encode(&identity.certificate),
                "client-key-data": BASE64_STANDARD.encode(&identity.key),
            }}],
        });
        self.write(&format!("{user}.kubeconfig"), &config.to_string())
    }

    fn write(&self, name: &str, content: &str) -> Result<()> {
        std::fs::write(self.dir.join(name), content).with_context(|| format!("writing {name}"))
    }

    fn etcd(&self) -> Command {
        let url = format!("http://127.0.0.1:{}", self.etcd_port);
        let mut command = Command::new(self.binaries.join("etcd"));
        command.args([
            format!("--data-dir={}", self.path("etcd")),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            // A single member: nobody ever connects to it as a peer.
            "--listen-peer-urls=http://127.0.0.1:0".to_owned(),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ]);
        command
    }

    fn api_server(&self) -> Command {
        let mut command = Command::new(self.binaries.join("kube-apiserver"));
        command.env("NO_PROXY", "127.0.0.1").args([
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            format!("--secure-port={}", self.api_port),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            // A loopback address is not allowed in the endpoints of the Service `kubernetes`.
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--cert-dir={}", self.dir.display()),
            format!("--tls-cert-file={}", self.path("server.crt")),
            format!("--tls-private-key-file={}", self.path("server.key")),
            format!("--client-ca-file={}", self.path("ca.crt")),
            format!("--service-account-key-file={}", self.path("service-accounts.pub")),
            format!("--service-account-signing-key-file={}", self.path("service-accounts.key")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            "--anonymous-auth=false".to_owned(),
        ]);
        if self.audited {
            command.arg(format!("--audit-policy-file={}", self.path("audit-policy.json")));
            command.arg(format!("--audit-log-path={}", self.path(super::audit::LOG)));
        }
        command.args(self.api_server_arguments);
        command
    }

    fn controller_manager(&self) -> Command {
        let mut command = Command::new(self.binaries.join("kube-controller-manager"));
        command.env("NO_PROXY", "127.0.0.1").args([
            format!("--kubeconfig={}", self.path("controller-manager.kubeconfig")),
            format!("--root-ca-file={}", self.path("ca.crt")),
            format!("--cluster-signing-cert-file={}", self.path("ca.crt")),
            format!("--cluster-signing-key-file={}", self.path("ca.key")),
            format!("--service-account-private-key-file={}", self.path("service-accounts.key")),
            "--use-service-account-credentials=true".to_owned(),
            "--leader-elect=false".to_owned(),
            // Nobody asks it anything, so it needs no port.
            "--secure-port=0".to_owned(),
            // The default limits make namespace deletion and garbage collection wait for their turn.
            "--kube-api-qps=500".to_owned(),
            "--kube-api-burst=1000".to_owned(),
        ]);
        command
    }

    async fn config(&self) -> Result<kube::Config> {
        let kubeconfig = Kubeconfig::read_from(&self.admin)?;
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        // Loopback is never reached through the proxy that the environment may name.
        config.proxy_url = None;
        Ok(config)
    }

    async fn client(&self) -> Result<kube::Client> {
        Ok(kube::Client::try_from(self.config().await?)?)
    }

    /// Waits until the API server says that it is ready, or one of the processes has ended.
    async fn wait_ready(&self, processes: &[&Process]) -> Result<()> {
        let client = self.client().await?;
        let answered = eventually(READY, "the API server to be ready", async || {
            if let Some(ended) = processes.iter().find_map(|process| process.check().err()) {
                return Ok(Some(Err(ended)));
            }
            let request = Request::get("/readyz").body(Vec::new())?;
            client.request_text(request).await?;
            Ok(Some(Ok(())))
        });
        answered.await.with_context(|| processes.iter().map(|process| process.log_tail()).collect::<String>())?
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

async fn grant_testers(client: kube::Client) -> Result<()> {
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": TESTERS},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": TESTERS}],
    }))?;
    Api::all(client).create(&PostParams::default(), &binding).await.context("granting everything to the testers")?;
    Ok(())
}

/// The default ServiceAccount is made by a controller, so its presence shows that they work.
async fn wait_for_controllers(client: &kube::Client, manager: &Process) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let made = eventually(READY, "the controller manager to make a ServiceAccount", async || {
        if let Err(ended) = manager.check() {
            return Ok(Some(Err(ended)));
        }
        Ok(accounts.get_opt("default").await?.map(|_| Ok(())))
    });
    made.await.with_context(|| manager.log_tail())?
}

/// The directory of the pinned programs, building them if need be.
fn binaries() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/controlplane");
    let output = Command::new(&script)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("running {}", script.display()))?;
    if !output.status.success() {
        bail!("{} failed ({}), see its messages", script.display(), output.status);
    }
    let dir = String::from_utf8(output.stdout).context("scripts/controlplane printed something else than a path")?;
    Ok(PathBuf::from(dir.trim_end_matches('\n')))
}
