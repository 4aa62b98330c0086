//! Handing credentials to git without showing them: a file that only we can read, removed after the command.

use super::kinds::{Authentication, Credentials};
use crate::git::cli::GitCommand;
use crate::resource::RepoUrl;
use crate::resource::url::Scheme;
use std::io::Write as _;
use std::path::Path;
use tempfile::NamedTempFile;

/// Credentials in a file for as long as a command runs.
#[derive(Debug)]
pub struct CredentialFile(Option<NamedTempFile>);

impl CredentialFile {
    /// Writes what `credentials` has for `url` into `directory`, which is private to this process.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(credentials: &Credentials, url: &RepoUrl, directory: &Path) -> std::io::Result<Self> {
        let (Authentication::Basic(auth), Scheme::Https | Scheme::Http) = (&credentials.authentication, url.scheme())
        else {
            return Ok(Self(None));
        };
        // The file is made with mode 0600 and is removed on drop.
        let mut file = tempfile::Builder::new().tempfile_in(directory)?;
        let scheme = if url.scheme() == Scheme::Https { "https" } else { "http" };
        let (user, password) = (percent_encode(auth.username.expose()), percent_encode(auth.password.expose()));
        writeln!(file, "{scheme}://{user}:{password}@{}", url.authority())?;
        file.flush()?;
        Ok(Self(Some(file)))
    }

    /// Lets `command` use the credentials.
    #[must_use]
    pub fn apply(&self, command: GitCommand) -> GitCommand {
        match &self.0 {
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
        let file = CredentialFile::write(&auth, &url, Path::new("/tmp")).unwrap();
        let path = file.0.as_ref().unwrap().path().to_owned();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "https://a%40b:p%3A%2F%0A%27x@git.example.com:8443\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(file);
        assert!(!path.exists());
    }
}
