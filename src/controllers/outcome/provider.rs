//! `Ready` of a provider.

use super::{Said, Scene, rejected};
use crate::controllers::branches::{Obstacle, credentials, signing};
use crate::resource::ProviderKey;
use crate::rules::Verdict;

/// Whether the repository of `provider`, which was judged so, can be used.
pub(super) fn ready(verdict: &Verdict, provider: &ProviderKey, scene: &Scene<'_>) -> Said {
    if let Some(rejected) = rejected(verdict) {
        return rejected;
    }
    let secrets = &scene.snapshot.secrets;
    let Some(repository) = scene.compiled.repositories.get(provider) else {
        return Said::wait("the provider is being looked at");
    };
    let secret = |secret: Option<&str>| format!("Secret {}/{}", provider.name.namespace, secret.unwrap_or_default());
    if let Err(obstacle) = credentials(repository, provider, secrets) {
        let secret = secret(repository.secret.as_deref());
        return no_secret(obstacle, &secret, "open the repository", "username and password");
    }
    match signing(repository, provider, secrets) {
        Ok(_) => Said::yes("Ready", "targets can use the repository"),
        Err(obstacle) => {
            let said = no_secret(obstacle, &secret(repository.signing.as_deref()), "sign commits", "identity");
            Said { message: format!("{}; nothing is committed until then", said.message), ..said }
        }
    }
}

/// Why a provider has to wait for `secret`, which is to serve a purpose, as with these keys.
fn no_secret(obstacle: Obstacle<'_>, secret: &str, purpose: &str, keys: &str) -> Said {
    match obstacle {
        Obstacle::Pending => Said::wait(format!("{secret} is being read")),
        Obstacle::Missing => {
            let message = format!("{secret} does not exist; create it, as with the keys {keys}");
            Said::no("SecretNotFound", message)
        }
        Obstacle::Unreadable(error) => {
            let message = format!("{secret} cannot be read; allow the operator to list and watch it: {error}");
            Said::no("SecretNotFound", message)
        }
        Obstacle::Invalid(problem) => {
            Said::no("InvalidSecret", format!("{secret} does not {purpose}: {problem}; correct it"))
        }
    }
}
