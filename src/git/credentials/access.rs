//! Handing credentials to one command: files that only we can read, removed after the command, and settings that name
//! them. Everything is bound to the host of the repository, so that it goes nowhere else.

use super::address::{self, Addresses};
use super::error::AccessError;
use super::kinds::{Authentication, BasicAuth, Credentials, Tls};
use super::redaction::{Redaction, percent_encode};
use crate::git::cli::{Git, GitCommand, GitError, Output};
use crate::resource::RepoUrl;
use crate::resource::url::Scheme;
use jiff::Timestamp;
use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use tempfile::TempDir;

/// What one command needs to open a repository. Its files go when it is dropped.
#[derive(Debug)]
pub struct Access {
    files: TempDir,
    settings: Vec<(String, String)>,
    ambient: bool,
    redaction: Redaction,
}

impl Access {
    /// Prepares `credentials` for a command on `url` that starts at `now`; its files are below `directory`, which is
    /// private to this process.
    ///
    /// # Errors
    /// When the key of an SSH server is not known, the files cannot be written, a token cannot be had, or the host is a
    /// local address and that is not allowed.
    pub async fn prepare(
        git: &Git,
        credentials: &Credentials,
        url: &RepoUrl,
        directory: &Path,
        now: Timestamp,
    ) -> Result<Self, GitError> {
        let allow_insecure = git.allows_insecure();
        let private = Permissions::from_mode(0o700);
        let files = tempfile::Builder::new().prefix("access-").permissions(private).tempdir_in(directory);
        let files = files.map_err(AccessError::Files)?;
        let mut access = Self { files, settings: Vec::new(), ambient: false, redaction: Redaction::default() };
        let over_http = matches!(url.scheme(), Scheme::Https | Scheme::Http);
        if over_http && !allow_insecure && address::proxy(url).is_none() {
            let addresses = Addresses::look_up(url.host(), url.effective_port()).await?;
            access.set("http.curloptResolve", addresses.pinned(url.host(), url.effective_port()));
        }
        if url.scheme() == Scheme::Ssh {
            access.ssh(git, credentials, url).await?;
        }
        match &credentials.authentication {
            Authentication::Basic(login) if over_http => access.basic(login, url)?,
            Authentication::Bearer(token) if over_http => access.bearer(token.expose(), url)?,
            Authentication::GithubApp(app) if over_http => {
                let login = app.login(credentials.tls.authority.as_deref(), allow_insecure, now).await?;
                access.basic(&login, url)?;
            }
            Authentication::Ambient => access.ambient = true,
            _ => {}
        }
        if url.scheme() == Scheme::Https {
            access.tls(&credentials.tls, url)?;
        }
        Ok(access)
    }

    /// Lets `command` use the credentials.
    #[must_use]
    pub fn apply(&self, command: GitCommand) -> GitCommand {
        let command = if self.ambient { command.ambient() } else { command };
        self.settings.iter().fold(command, |command, (key, value)| command.config(key, value))
    }

    /// What the command left, without the secrets that a server may have repeated. Objects of the repository stay as they
    /// are.
    #[must_use]
    pub fn redact(&self, output: Output) -> Output {
        let stdout = match output.command {
            "cat-file" => output.stdout,
            _ => self.redaction.redact(&String::from_utf8_lossy(&output.stdout)).into_bytes(),
        };
        Output { stdout, stderr: self.redaction.redact(&output.stderr), ..output }
    }

    fn basic(&mut self, login: &BasicAuth, url: &RepoUrl) -> Result<(), AccessError> {
        self.redaction.add_login(login.username.expose(), login.password.expose());
        let (user, password) = (percent_encode(login.username.expose()), percent_encode(login.password.expose()));
        let line = format!("{}://{user}:{password}@{}\n", scheme(url), url.authority());
        // The shell that starts the helper sees the path, which is below a directory that the administrator chose.
        let path = quoted(&self.file("login", &line)?);
        self.set("credential.helper", format!("store --file={path}"));
        Ok(())
    }

    /// A header that git sends without being asked; in a file, since settings of a command are in its environment.
    fn bearer(&mut self, token: &str, url: &RepoUrl) -> Result<(), AccessError> {
        self.redaction.add(token);
        let token = token.replace('\\', "\\\\").replace('"', "\\\"");
        let section = format!("[http \"{}\"]\n\textraHeader = \"Authorization: Bearer {token}\"\n", site(url));
        let path = self.file("header", &section)?;
        self.set("include.path", path);
        Ok(())
    }

    fn tls(&mut self, tls: &Tls, url: &RepoUrl) -> Result<(), AccessError> {
        let client = tls.client.as_ref();
        let wanted = [
            ("sslCAInfo", tls.authority.as_deref()),
            ("sslCert", client.map(|client| client.certificate.as_str())),
            ("sslKey", client.map(|client| client.key.expose())),
        ];
        for (setting, pem) in wanted {
            if let Some(pem) = pem {
                let path = self.file(setting, pem)?;
                self.set(format!("http.{}.{setting}", site(url)), path);
            }
        }
        Ok(())
    }

    pub(super) fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.settings.push((key.into(), value.into()));
    }

    /// Writes a file that only we can read; returns its path.
    pub(super) fn file(&self, name: &str, content: &str) -> io::Result<String> {
        let path = self.files.path().join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(content.as_bytes())?;
        path.into_os_string().into_string().map_err(|_| io::Error::other("the path of the directory is no UTF-8"))
    }
}

/// One word for a shell, whatever is in it.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What settings for the host of `url` are named by.
fn site(url: &RepoUrl) -> String {
    format!("{}://{}/", scheme(url), url.authority())
}

fn scheme(url: &RepoUrl) -> &'static str {
    if url.scheme() == Scheme::Https { "https" } else { "http" }
}

#[cfg(test)]
mod tests {
    use super::super::{ClientCertificate, Hidden};
    use super::*;

    async fn prepare(credentials: &Credentials, url: &str) -> Access {
        let url = RepoUrl::parse(url, true).unwrap();
        let git = Git::find(true).await.unwrap();
        Access::prepare(&git, credentials, &url, &std::env::temp_dir(), Timestamp::UNIX_EPOCH).await.unwrap()
    }

    fn written(access: &Access) -> Vec<(String, String)> {
        let entries = std::fs::read_dir(access.files.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries
            .map(|path| {
                assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
                (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    fn settings(access: &Access) -> Vec<String> {
        let directory = access.files.path().to_str().unwrap();
        access.settings.iter().map(|(key, value)| format!("{key}={}", value.replace(directory, "DIR"))).collect()
    }

    #[tokio::test]
    async fn files_are_private_escaped_and_go_away() {
        let access = prepare(&Credentials::basic("a@b", "p:/\n'x"), "https://git.example.com:8443/r").await;
        let line = "https://a%40b:p%3A%2F%0A%27x@git.example.com:8443\n";
        assert_eq!(written(&access), [("login".to_owned(), line.to_owned())]);
        assert_eq!(settings(&access), ["credential.helper=store --file='DIR/login'"]);
        let directory = access.files.path().to_owned();
        assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        drop(access);
        assert!(!directory.exists());
    }

    #[tokio::test]
    async fn everything_is_bound_to_the_host() {
        let client = ClientCertificate { certificate: "CRT".into(), key: Hidden::new("KEY") };
        let tls = Tls { authority: Some("CA".into()), client: Some(client) };
        let bearer = Credentials { authentication: Authentication::Bearer(Hidden::new(r#"a"b\c"#)), tls };
        let access = prepare(&bearer, "https://git.example.com/team/r").await;
        let header = "[http \"https://git.example.com/\"]\n\textraHeader = \"Authorization: Bearer a\\\"b\\\\c\"\n";
        let expected = [("header", header), ("sslCAInfo", "CA"), ("sslCert", "CRT"), ("sslKey", "KEY")];
        assert_eq!(written(&access), expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
        assert_eq!(
            settings(&access),
            [
                "include.path=DIR/header",
                "http.https://git.example.com/.sslCAInfo=DIR/sslCAInfo",
                "http.https://git.example.com/.sslCert=DIR/sslCert",
                "http.https://git.example.com/.sslKey=DIR/sslKey",
            ]
        );
        assert!(!format!("{access:?}{bearer:?}").contains("KEY"));
    }

    #[tokio::test]
    async fn a_file_on_this_machine_gets_nothing() {
        let access = prepare(&Credentials::basic("a", "b"), "file:///tmp/r").await;
        assert_eq!((written(&access), settings(&access)), (vec![], vec![]));
    }
}
