//! Tokens of a GitHub App.

use super::hidden::Hidden;

/// An app that is installed for the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubApp {
    /// The app's id, or client id.
    pub app_id: String,
    /// The id of its installation.
    pub installation_id: String,
    /// The app's private key, PEM.
    pub private_key: Hidden,
    /// The base of the API, as in `https://api.github.com`.
    pub base_url: String,
}
