//! How git gets to a server over SSH: a command line for ssh that is all ours, and the files that it names.

use super::kinds::{Authentication, Credentials};
use super::known_hosts;
use crate::git::cli::{Git, GitCommand, GitError};
use crate::resource::RepoUrl;
use std::io::Write as _;
use std::path::Path;
use tempfile::NamedTempFile;

/// What every ssh of ours does: it asks nobody, trusts nobody, and notices a dead connection.
const ALWAYS: &[&str] = &[
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    // The file is gone after the command, and what it says was decided by a person.
    "UpdateHostKeys=no",
    "CheckHostIP=no",
    "ConnectTimeout=20",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "ControlMaster=no",
    "ControlPath=none",
    "RequestTTY=no",
];

/// What holds unless the operator's own credentials may be used: no agent, and nobody's keys or known hosts.
const ISOLATED: &[&str] = &[
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PreferredAuthentications=publickey",
    "GlobalKnownHostsFile=/dev/null",
    "ProxyCommand=none",
];

/// The files of one connection, for as long as a command runs; made with mode 0600, removed on drop.
#[derive(Debug)]
pub(super) struct SshFiles {
    key: Option<NamedTempFile>,
    known_hosts: Option<NamedTempFile>,
    is_ambient: bool,
}

impl SshFiles {
    /// Writes what `credentials` has for the server of `url` into `directory`, which is private to this process.
    ///
    /// # Errors
    /// [`GitError::UnknownHost`] when nobody has said which key the server has; otherwise when a file cannot be written or
    /// the operator's known_hosts file cannot be read.
    pub(super) fn write(
        git: &Git,
        credentials: &Credentials,
        url: &RepoUrl,
        directory: &Path,
    ) -> Result<Self, GitError> {
        let key = match &credentials.authentication {
            Authentication::Ssh(key) => Some(key),
            _ => None,
        };
        let is_ambient = credentials.authentication == Authentication::Ambient;
        let operators = git.known_hosts().map(std::fs::read_to_string).transpose().map_err(failed)?;
        let own = key.and_then(|key| key.known_hosts.as_deref());
        let known_hosts = known_hosts::choose(own, operators.as_deref(), url);
        if known_hosts.is_none() && !is_ambient {
            return Err(GitError::UnknownHost(known_hosts::name(url)));
        }
        let write = |text: &str| -> std::io::Result<NamedTempFile> {
            let mut file = tempfile::Builder::new().tempfile_in(directory)?;
            file.write_all(text.as_bytes())?;
            file.flush()?;
            Ok(file)
        };
        let key = key.map(|key| write(key.private_key.expose())).transpose().map_err(failed)?;
        let known_hosts = known_hosts.as_deref().map(write).transpose().map_err(failed)?;
        Ok(Self { key, known_hosts, is_ambient })
    }

    /// Lets `command` use them.
    pub(super) fn apply(&self, command: GitCommand) -> GitCommand {
        command.config("core.sshCommand", self.command_line()).config("ssh.variant", "ssh")
    }

    /// The command line, which a shell reads: only words of ours and paths of our making are in it.
    fn command_line(&self) -> String {
        let mut line = "ssh".to_owned();
        let mut option = |text: &str| line.push_str(&format!(" -o {}", quoted(text)));
        ALWAYS.iter().for_each(|text| option(text));
        let known_hosts = self.known_hosts.as_ref().map(|file| file.path().to_string_lossy());
        if self.is_ambient {
            // What the person who installed the operator keeps in ~/.ssh counts too, as do that person's settings.
            let home = "~/.ssh/known_hosts";
            let files = known_hosts.map_or_else(|| home.to_owned(), |file| format!("{home} \"{file}\""));
            option(&format!("UserKnownHostsFile={files}"));
            return line;
        }
        ISOLATED.iter().for_each(|text| option(text));
        option(&format!("UserKnownHostsFile=\"{}\"", known_hosts.as_deref().unwrap_or("/dev/null")));
        let key = self.key.as_ref().map(|file| file.path().to_string_lossy());
        option(&format!("IdentityFile=\"{}\"", key.as_deref().unwrap_or("none")));
        line + " -F /dev/null"
    }
}

/// One word for a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn failed(source: std::io::Error) -> GitError {
    GitError::Process { command: "ssh".into(), source }
}
