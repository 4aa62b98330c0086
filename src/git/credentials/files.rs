//! Handing credentials to git without showing them: a file that only we can read, removed after the command.

use super::kinds::{Authentication, Credentials};
use super::ssh::SshFiles;
use crate::git::cli::{Git, GitCommand, GitError};
use crate::resource::RepoUrl;
use crate::resource::url::Scheme;
use std::io::Write as _;
use std::path::Path;
use tempfile::NamedTempFile;

/// Credentials in files for as long as a command runs.
#[derive(Debug)]
pub struct CredentialFile {
    login: Option<NamedTempFile>,
    ssh: Option<SshFiles>,
}

impl CredentialFile {
    /// Writes what `credentials` has for `url` into `directory`, which is private to this process.
    ///
    /// # Errors
    /// When a file cannot be written, or the key of an SSH server is not known.
    pub fn write(git: &Git, credentials: &Credentials, url: &RepoUrl, directory: &Path) -> Result<Self, GitError> {
        if url.scheme() == Scheme::Ssh {
            return Ok(Self { login: None, ssh: Some(SshFiles::write(git, credentials, url, directory)?) });
        }
        let login = Self::write_login(credentials, url, directory);
        let login = login.map_err(|source| GitError::Process { command: "credential".into(), source })?;
        Ok(Self { login, ssh: None })
    }

    fn write_login(
        credentials: &Credentials,
        url: &RepoUrl,
        directory: &Path,
    ) -> std::io::Result<Option<NamedTempFile>> {
        let (Authentication::Basic(auth), Scheme::Https | Scheme::Http) = (&credentials.authentication, url.scheme())
        else {
            return Ok(None);
        };
        // The file is made with mode 0600 and is removed on drop.
        let mut file = tempfile::Builder::new().tempfile_in(directory)?;
        let scheme = if url.scheme() == Scheme::Https { "https" } else { "http" };
        let (user, password) = (percent_encode(auth.username.expose()), percent_encode(auth.password.expose()));
        writeln!(file, "{scheme}://{user}:{password}@{}", url.authority())?;
        file.flush()?;
        Ok(Some(file))
    }

    /// Lets `command` use the credentials.
    #[must_use]
    pub fn apply(&self, command: GitCommand) -> GitCommand {
        let command = match &self.ssh {
            Some(files) => files.apply(command),
            None => command,
        };
        match &self.login {
            // The shell that starts the helper sees the path: a quote cannot occur in a path of tempfile's making
            // below a directory that the administrator chose, but would be escaped.
            Some(file) => {
                let path = file.path().to_string_lossy().replace('\'', r"'\''");
                command.config("credential.helper", format!("store --file='{path}'"))
            }
            None => command,
        }
    }
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_private_escaped_and_goes_away() {
        use std::os::unix::fs::PermissionsExt as _;
        let url = RepoUrl::parse("https://git.example.com:8443/r", false).unwrap();
        let auth = Credentials::basic("a@b", "p:/\n'x");
        let file = CredentialFile::write_login(&auth, &url, Path::new("/tmp")).unwrap().unwrap();
        let path = file.path().to_owned();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "https://a%40b:p%3A%2F%0A%27x@git.example.com:8443\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(file);
        assert!(!path.exists());
    }
}
