//! A Git remote over SSH on loopback: a real sshd with its own host key, its own keys, and nothing but git behind them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::poll::eventually;
use super::ports::free_port;
use super::process::Process;
use super::remote_repo::RemoteRepo;
use super::scratch::ScratchDir;

/// What every connection runs: git on a repository of ours, or a refusal in the words of a public host. Its arguments:
/// the directory of the repositories, and `write` or `read`.
const SHELL: &str = r#"#!/bin/sh
set -u
program=${SSH_ORIGINAL_COMMAND%% *}
path=${SSH_ORIGINAL_COMMAND#* }
path=${path#\'} path=${path%\'} path=${path#/}
case $path in
  *..* | *\'* | "") path=none ;;
esac
if [ ! -d "$1/$path" ]; then
  echo "ERROR: Repository not found." >&2
  exit 1
fi
case $program in
  git-upload-pack) exec git upload-pack "$1/$path" ;;
  git-receive-pack)
    if [ "$2" = read ]; then
      echo "ERROR: The key you are authenticating with has been marked as read only." >&2
      exit 1
    fi
    exec git receive-pack "$1/$path" ;;
esac
echo "ERROR: only git is served here" >&2
exit 1
"#;

/// A key pair as ssh-keygen makes it.
#[derive(Clone, Debug)]
pub(crate) struct SshKey {
    /// The private half, in OpenSSH's format.
    pub(crate) private: String,
    /// The public half: type, key and comment on one line.
    pub(crate) public: String,
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Fetch and push.
    Write,
    /// Fetch, as with a deploy key that may not write.
    Read,
}

/// A running sshd with any number of repositories. Dropping it ends it and removes the repositories.
pub(crate) struct SshServer {
    scratch: ScratchDir,
    port: u16,
    user: String,
    host_key: SshKey,
    // Dropped to stop the server.
    process: Option<Process>,
}

impl SshServer {
    /// Starts a server on a free port that knows neither keys nor repositories.
    pub(crate) async fn start() -> Result<Self> {
        let scratch = ScratchDir::new()?;
        // Whoever logs in by key may be another user than who owns the temporary directory's parent.
        fs::write(scratch.path().join("shell"), SHELL)?;
        fs::set_permissions(scratch.path().join("shell"), fs::Permissions::from_mode(0o755))?;
        fs::write(scratch.path().join("authorized_keys"), "")?;
        let user = user()?;
        let host_key = mk_key(scratch.path(), "host-key", "ed25519", "")?;
        let mut server = Self { scratch, port: 0, user, host_key, process: None };
        for _ in 0..5 {
            server.port = free_port()?;
            if server.listen().await.is_ok() {
                return Ok(server);
            }
        }
        // The port was taken each time, or the server does not work.
        server.listen().await?;
        Ok(server)
    }

    async fn listen(&mut self) -> Result<()> {
        let path = |name: &str| self.scratch.path().join(name).display().to_string();
        let config = format!(
            "ListenAddress 127.0.0.1:{}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
             AuthenticationMethods publickey\nPermitRootLogin yes\nLogLevel VERBOSE\n",
            self.port,
            path("host-key"),
            path("authorized_keys")
        );
        fs::write(path("sshd_config"), config)?;
        let mut command = Command::new(program("sshd")?);
        command.args(["-D", "-e", "-f"]).arg(path("sshd_config"));
        let process = Process::start("sshd", &command, &self.scratch)?;
        let port = self.port;
        eventually(Duration::from_secs(20), "sshd to listen", async || {
            process.check()?;
            Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok())
        })
        .await?;
        self.process = Some(process);
        Ok(())
    }

    /// From now on the server has another host key, on the same port.
    pub(crate) async fn change_host_key(&mut self) -> Result<()> {
        self.process = None;
        for name in ["host-key", "host-key.pub"] {
            fs::remove_file(self.scratch.path().join(name))?;
        }
        self.host_key = mk_key(self.scratch.path(), "host-key", "ed25519", "")?;
        self.listen().await
    }

    /// The server as a line of a known_hosts file.
    pub(crate) fn known_hosts(&self) -> String {
        let key: Vec<&str> = self.host_key.public.split(' ').take(2).collect();
        format!("[127.0.0.1]:{} {}\n", self.port, key.join(" "))
    }

    /// Makes a key pair of the given type (`ed25519`, `rsa`, `ecdsa`), with a passphrase unless that is empty.
    pub(crate) fn new_key(&self, kind: &str, passphrase: &str) -> Result<SshKey> {
        let directory = tempfile::tempdir_in(self.scratch.path())?;
        mk_key(directory.path(), "key", kind, passphrase)
    }

    /// From now on exactly these keys are let in.
    pub(crate) fn allow(&self, keys: &[(&SshKey, Access)]) -> Result<()> {
        let directory = self.scratch.path().display();
        let lines = keys.iter().map(|(key, access)| {
            let access = if *access == Access::Write { "write" } else { "read" };
            format!("restrict,command=\"{directory}/shell {directory} {access}\" {}\n", key.public)
        });
        let lines: String = lines.collect();
        Ok(fs::write(self.scratch.path().join("authorized_keys"), lines)?)
    }

    /// Creates the empty bare repository `<name>.git` whose first branch is `main`. Panics when git fails.
    pub(crate) fn create_repo(&self, name: &str) -> RemoteRepo {
        let url = self.url(name);
        RemoteRepo::create(self.scratch.path().join(format!("{name}.git")), url.clone(), url)
    }

    /// The address of a repository, whether or not there is one.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("ssh://{}@127.0.0.1:{}/{name}.git", self.user, self.port)
    }

    /// What sshd has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("sshd.log")).unwrap_or_default()
    }
}

/// The name of the user that this runs as: an sshd that is not root lets nobody else in.
fn user() -> Result<String> {
    let output = Command::new("id").arg("-un").output().context("running id")?;
    ensure!(output.status.success(), "id -un failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Makes the key pair `<name>` and `<name>.pub` in `directory` and returns it.
pub(crate) fn mk_key(directory: &Path, name: &str, kind: &str, passphrase: &str) -> Result<SshKey> {
    let file = directory.join(name);
    let mut keygen = Command::new(program("ssh-keygen")?);
    keygen.args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"]).arg(&file).stdin(Stdio::null());
    let output = keygen.output().context("running ssh-keygen")?;
    ensure!(output.status.success(), "ssh-keygen failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(SshKey {
        private: fs::read_to_string(&file)?,
        public: fs::read_to_string(file.with_extension("pub"))?.trim().to_owned(),
    })
}

/// A program of OpenSSH: from beside `GITOPS_REVERSER_SSHD`, or wherever `scripts/sshd` finds or puts it.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    static SSHD: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    if let Some(sshd) = SSHD.get() {
        return Ok(sshd.with_file_name(name));
    }
    let sshd = match std::env::var_os("GITOPS_REVERSER_SSHD") {
        Some(sshd) => PathBuf::from(sshd),
        None => {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/sshd");
            let output = Command::new(script).output().context("running scripts/sshd")?;
            if !output.status.success() {
                bail!("scripts/sshd failed: {}", String::from_utf8_lossy(&output.stderr));
            }
            PathBuf::from(String::from_utf8(output.stdout)?.trim())
        }
    };
    Ok(SSHD.get_or_init(|| sshd).with_file_name(name))
}
