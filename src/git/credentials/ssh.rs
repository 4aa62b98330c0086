//! How git gets to a server over SSH: a command line for ssh that is all ours, and the files that it names.

use super::access::{Access, quoted};
use super::address::Addresses;
use super::error::AccessError;
use super::kinds::{Authentication, Credentials};
use super::known_hosts;
use crate::git::cli::Git;
use crate::resource::RepoUrl;
use std::path::Path;

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

impl Access {
    /// Sets what ssh needs for the server of `url`.
    pub(super) async fn ssh(&mut self, git: &Git, credentials: &Credentials, url: &RepoUrl) -> Result<(), AccessError> {
        let key = match &credentials.authentication {
            Authentication::Ssh(key) => Some(key),
            _ => None,
        };
        let is_ambient = credentials.authentication == Authentication::Ambient;
        if !git.allows_insecure() && !is_ambient {
            // Who may use the operator's own settings may have hosts in there that only ssh can find.
            Addresses::look_up(url.host(), url.port().unwrap_or(22)).await?;
        }
        let operators = git.known_hosts().map(read).transpose()?;
        let own = key.and_then(|key| key.known_hosts.as_deref());
        let known_hosts = known_hosts::choose(own, operators.as_deref(), url);
        if known_hosts.is_none() && !is_ambient {
            return Err(AccessError::UnknownHost(known_hosts::name(url)));
        }
        let known_hosts = known_hosts.map(|text| self.file("known_hosts", &text)).transpose()?;
        let key = key.map(|key| self.file("key", key.private_key.expose())).transpose()?;
        self.set("core.sshCommand", command_line(key.as_deref(), known_hosts.as_deref(), is_ambient));
        self.set("ssh.variant", "ssh");
        Ok(())
    }
}

fn read(file: &Path) -> Result<String, AccessError> {
    let failed = |source| AccessError::KnownHosts { path: file.display().to_string(), source };
    std::fs::read_to_string(file).map_err(failed)
}

/// The command line, which a shell reads: only words of ours and paths of our making are in it.
fn command_line(key: Option<&str>, known_hosts: Option<&str>, is_ambient: bool) -> String {
    let mut line = "ssh".to_owned();
    let mut option = |text: &str| line.push_str(&format!(" -o {}", quoted(text)));
    ALWAYS.iter().for_each(|text| option(text));
    if is_ambient {
        // What the person who installed the operator keeps in ~/.ssh counts too, as do that person's settings.
        let home = "~/.ssh/known_hosts";
        let files = known_hosts.map_or_else(|| home.to_owned(), |file| format!("{home} \"{file}\""));
        option(&format!("UserKnownHostsFile={files}"));
        return line;
    }
    ISOLATED.iter().for_each(|text| option(text));
    option(&format!("UserKnownHostsFile=\"{}\"", known_hosts.unwrap_or("/dev/null")));
    option(&format!("IdentityFile=\"{}\"", key.unwrap_or("none")));
    line + " -F /dev/null"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_operators_own_is_used_for_a_tenant() {
        let line = command_line(Some("/shm/it's/key"), Some("/shm/it's/hosts"), false);
        let ends = r#"-o 'UserKnownHostsFile="/shm/it'\''s/hosts"' -o 'IdentityFile="/shm/it'\''s/key"' -F /dev/null"#;
        assert!(line.ends_with(ends), "{line}");
        for word in ["BatchMode=yes", "StrictHostKeyChecking=yes", "IdentityAgent=none", "IdentitiesOnly=yes"] {
            assert!(line.contains(word), "{word}");
        }
        let ambient = command_line(None, Some("/shm/hosts"), true);
        assert!(ambient.contains("StrictHostKeyChecking=yes") && ambient.contains("~/.ssh/known_hosts \"/shm/hosts\""));
        assert!(!ambient.contains("IdentityAgent") && !ambient.contains("-F"), "{ambient}");
    }
}
