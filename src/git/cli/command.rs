//! One constructor for every git command.

use super::limits::ProcessLimits;
use super::process::{self, GitError, Output};
use super::version::Version;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;

/// Variables of our own environment that every git and its transports may see: where programs and temporary files are,
/// and which way leads out. Whoever sets a proxy sets it here.
const PASSED_ON: [&str; 9] =
    ["PATH", "TMPDIR", "http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"];

/// Variables that lead to credentials of the operator's own: only [`GitCommand::ambient`] commands see them.
const AMBIENT: [&str; 8] = [
    "HOME",
    "USER",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "SSH_AUTH_SOCK",
    "KRB5CCNAME",
];

/// What credential helpers of the big clouds find their identity by; the names begin so.
const AMBIENT_PREFIXES: [&str; 4] = ["AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_"];

/// What other commands get in place of the operator's own configuration: no gitconfig, no `~/.netrc`, no cookies, and
/// nobody's attributes.
const EMPTY_HOME: [(&str, &str); 5] = [
    ("HOME", "/dev/null"),
    ("XDG_CONFIG_HOME", "/dev/null"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_ATTR_NOSYSTEM", "1"),
];

/// What other commands are configured with in place of the operator's own credentials.
const EMPTY_CREDENTIALS: [(&str, &str); 2] = [
    // An empty value forgets the helpers that are configured: credentials come from the provider's Secret only.
    ("credential.helper", ""),
    // A server that asks for Kerberos would be given the operator's ticket.
    ("http.emptyAuth", "false"),
];

/// What holds for every command, whatever the repository or the administrator's configuration says.
const CONFIG: [(&str, &str); 15] = [
    // The repository's or the user's hooks never run.
    ("core.hooksPath", "/dev/null"),
    // Nobody is there to answer.
    ("core.askPass", ""),
    ("protocol.allow", "never"),
    ("protocol.https.allow", "always"),
    ("protocol.ssh.allow", "always"),
    // A redirect could lead to where spec.url may not point.
    ("http.followRedirects", "false"),
    // A connection that moves less than this for as long as `Patience::stalled` is taken for dead.
    ("http.lowSpeedLimit", "1000"),
    // Signing and tidying are ours to decide.
    ("commit.gpgSign", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    // One pack a batch is smaller and faster than loose objects.
    ("fastimport.unpackLimit", "1"),
    // The journal is the queue: it must survive a power loss.
    ("core.fsync", "committed,loose-object,reference"),
    ("core.fsyncMethod", "batch"),
    ("advice.detachedHead", "false"),
    ("transfer.credentialsInUrl", "die"),
];

/// How long a remote may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For moving nothing to speak of, in whole seconds.
    pub stalled: Duration,
    /// For a fetch or a push in all.
    pub transfer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { stalled: Duration::from_secs(30), transfer: Duration::from_secs(600) }
    }
}

/// The git binary, and what every command of it shares.
#[derive(Clone, Debug)]
pub struct Git {
    executable: PathBuf,
    environment: Vec<(OsString, OsString)>,
    ambient: Vec<(OsString, OsString)>,
    /// What `GIT_SSL_CAINFO` names. As a variable it would win over the authority that a provider's Secret names.
    authorities: Option<String>,
    insecure_transports: bool,
    known_hosts: Option<PathBuf>,
    patience: Patience,
    limits: Arc<ProcessLimits>,
}

impl Git {
    /// Finds git on the `PATH` and checks that it is new enough.
    ///
    /// # Errors
    /// One sentence that says what to install.
    pub async fn find(insecure_transports: bool) -> Result<Self, GitError> {
        let executable = which::which("git").map_err(|_| GitError::NotInstalled)?;
        let ours = |is_ours: fn(&str) -> bool| {
            std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_ours)).collect()
        };
        let git = Self {
            executable,
            environment: ours(|name| PASSED_ON.contains(&name)),
            ambient: ours(|name| {
                AMBIENT.contains(&name) || AMBIENT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            }),
            authorities: std::env::var("GIT_SSL_CAINFO").ok(),
            insecure_transports,
            known_hosts: None,
            patience: Patience::default(),
            limits: Arc::default(),
        };
        let answer = GitCommand::new(&git, None, "version").run().await?.success()?;
        match Version::parse(&answer.text()) {
            Some(version) if version >= Version::OLDEST => Ok(git),
            Some(version) => Err(GitError::TooOld { found: version, oldest: Version::OLDEST }),
            None => Err(GitError::Unreadable { command: "version".into(), answer: answer.text() }),
        }
    }

    /// The same, with other limits on how many processes run at once.
    #[must_use]
    pub fn with_limits(self, limits: ProcessLimits) -> Self {
        Self { limits: Arc::new(limits), ..self }
    }

    /// Whether `http://`, `file://` and local addresses may be used.
    #[must_use]
    pub const fn allows_insecure(&self) -> bool {
        self.insecure_transports
    }

    /// The same git, which knows SSH servers by this file too; it is read anew for each command.
    #[must_use]
    pub fn with_known_hosts(self, known_hosts: Option<PathBuf>) -> Self {
        Self { known_hosts, ..self }
    }

    /// The operator's file of SSH servers and their keys.
    #[must_use]
    pub fn known_hosts(&self) -> Option<&Path> {
        self.known_hosts.as_deref()
    }

    /// The same with another patience with remotes.
    #[must_use]
    pub const fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// How long a remote may take.
    #[must_use]
    pub const fn patience(&self) -> Patience {
        self.patience
    }

    /// A command in the repository at `git_dir`.
    #[must_use]
    pub fn command(&self, git_dir: &Path, subcommand: &'static str) -> GitCommand {
        GitCommand::new(self, Some(git_dir), subcommand)
    }
}

/// One git command under construction. What users choose enters only through [`GitCommand::value`], as part of
/// `--flag=value`, and [`GitCommand::operand`], after `--`.
#[derive(Debug)]
pub struct GitCommand {
    git: Git,
    git_dir: Option<PathBuf>,
    subcommand: &'static str,
    flags: Vec<String>,
    operands: Vec<String>,
    config: Vec<(String, String)>,
    deadline: Duration,
    input: Vec<u8>,
    lazy_fetch: bool,
    repository: Option<String>,
    work_tree: Option<PathBuf>,
    low_priority: bool,
    traces_packets: bool,
    ambient: bool,
}

impl GitCommand {
    fn new(git: &Git, git_dir: Option<&Path>, subcommand: &'static str) -> Self {
        Self {
            git: git.clone(),
            git_dir: git_dir.map(Path::to_owned),
            subcommand,
            flags: Vec::new(),
            operands: Vec::new(),
            config: Vec::new(),
            deadline: Duration::from_secs(60),
            input: Vec::new(),
            lazy_fetch: false,
            repository: None,
            work_tree: None,
            low_priority: false,
            traces_packets: false,
            ambient: false,
        }
    }

    /// Adds a flag that the program knows.
    #[must_use]
    pub fn flag(mut self, flag: &'static str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Adds `--flag=value`.
    #[must_use]
    pub fn value(mut self, flag: &'static str, value: &str) -> Self {
        self.flags.push(format!("{flag}={value}"));
        self
    }

    /// Adds an operand; one that could be read as an option makes the command fail before it starts.
    #[must_use]
    pub fn operand(mut self, operand: impl Into<String>) -> Self {
        self.operands.push(operand.into());
        self
    }

    /// Sets a configuration variable for this command. It travels in the environment, not in argv.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.push((key.into(), value.into()));
        self
    }

    /// How long the command may take; 60 s unless told.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// What the command reads on its standard input.
    #[must_use]
    pub fn input(mut self, input: Vec<u8>) -> Self {
        self.input = input;
        self
    }

    /// Lets the command fetch objects that a partial clone lacks.
    #[must_use]
    pub const fn lazy_fetch(mut self) -> Self {
        self.lazy_fetch = true;
        self
    }

    /// Never fetches what a partial clone lacks, but fails. [`GitCommand::lazy_fetch`] left out says the same from git
    /// 2.44 on; before, only a remote that promises nothing is not asked.
    #[must_use]
    pub fn offline(self) -> Self {
        self.config("remote.origin.promisor", "false")
    }

    /// Says that the command talks to the server of `repository`: it then counts towards that one's limit.
    #[must_use]
    pub fn remote(mut self, repository: impl Into<String>) -> Self {
        self.repository = Some(repository.into());
        self
    }

    /// Lets the command change the files at `directory`.
    #[must_use]
    pub fn work_tree(mut self, directory: &Path) -> Self {
        self.work_tree = Some(directory.to_owned());
        self
    }

    /// Runs the command only when nobody else wants the processor.
    #[must_use]
    pub const fn low_priority(mut self) -> Self {
        self.low_priority = true;
        self
    }

    /// Has what is exchanged with the server told in the diagnosis; for commands that exchange names of refs only.
    #[must_use]
    pub const fn trace_packets(mut self) -> Self {
        self.traces_packets = true;
        self
    }

    /// Lets the command use the operator's own configuration and credentials: gitconfig, credential helpers, agent.
    #[must_use]
    pub const fn ambient(mut self) -> Self {
        self.ambient = true;
        self
    }

    /// Runs the command to its end. Its deadline starts when it is its turn: see [`super::limits`].
    ///
    /// # Errors
    /// When it cannot be started, breaks its deadline or has an unsafe operand. An exit code other than 0 is no error
    /// here: see [`Output::success`].
    pub async fn run(self) -> Result<Output, GitError> {
        if let Some(operand) = self.operands.iter().find(|operand| operand.starts_with('-')) {
            return Err(GitError::UnsafeOperand { command: self.subcommand.into(), operand: operand.clone() });
        }
        if self.flags.iter().chain(&self.operands).any(|argument| argument.contains('\0')) {
            return Err(GitError::UnsafeOperand {
                command: self.subcommand.into(),
                operand: "an argument with NUL".into(),
            });
        }
        let command = self.build();
        let _turn = self.git.limits.acquire(self.repository.as_deref()).await;
        process::run(command, self.subcommand, self.input, self.deadline, self.low_priority).await
    }

    fn build(&self) -> Command {
        let mut command = Command::new(&self.git.executable);
        command.arg(self.subcommand).args(&self.flags);
        if !self.operands.is_empty() {
            // rev-parse and rev-list read `--` as the start of paths: revisions are made safe by --end-of-options.
            command.arg(if self.takes_revisions() { "--end-of-options" } else { "--" }).args(&self.operands);
        }
        command.env_clear().envs(self.git.environment.iter().map(|(name, value)| (name, value)));
        if self.ambient {
            command.envs(self.git.ambient.iter().map(|(name, value)| (name, value)));
        } else {
            command.envs(EMPTY_HOME);
        }
        command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0");
        // A path is a path, whatever characters it has.
        command.env("GIT_LITERAL_PATHSPECS", "1");
        if !self.lazy_fetch {
            // Fetching objects behind our back is obeyed from git 2.44 on.
            command.env("GIT_NO_LAZY_FETCH", "1");
        }
        if let Some(git_dir) = &self.git_dir {
            command.env("GIT_DIR", git_dir).current_dir(git_dir);
        }
        let stalled = self.git.patience.stalled.as_secs().to_string();
        if let Some(work_tree) = &self.work_tree {
            command.env("GIT_WORK_TREE", work_tree).current_dir(work_tree);
        }
        if self.traces_packets {
            command.env("GIT_TRACE_PACKET", "1");
        }
        let insecure = ["protocol.http.allow", "protocol.file.allow"].map(|key| (key, "always"));
        let insecure = insecure.iter().filter(|_| self.git.insecure_transports);
        let unarmed = EMPTY_CREDENTIALS.iter().filter(|_| !self.ambient);
        let authorities = self.git.authorities.as_deref().map(|path| ("http.sslCAInfo", path));
        let fixed = CONFIG.iter().chain(unarmed).chain(insecure).map(|(key, value)| (*key, *value)).chain(authorities);
        let own = self.config.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut count = 0;
        for (key, value) in fixed.chain([("http.lowSpeedTime", stalled.as_str())]).chain(own) {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key).env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        command
    }

    fn takes_revisions(&self) -> bool {
        matches!(
            self.subcommand,
            "rev-parse" | "rev-list" | "merge-base" | "ls-tree" | "diff-tree" | "diff-index" | "read-tree"
        )
    }
}
