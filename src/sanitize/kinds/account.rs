//! ServiceAccounts, their tokens, roles that collect others, and who asked for a certificate.

use crate::sanitize::intent::last_applied;
use crate::sanitize::json::{Document, Kind};

/// The type of Secrets that hold the token of a ServiceAccount.
const TOKEN_TYPE: &str = "kubernetes.io/service-account-token";
/// The annotation that says whose token a Secret holds.
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
/// What stands between the name of the account and the random part in the name of a generated Secret.
const GENERATED: [&str; 2] = ["-token-", "-dockercfg-"];
/// How long the random part of a generated name is.
const RANDOM_PART: usize = 5;

/// Strips the references to Secrets that were generated for this ServiceAccount.
pub(super) fn service_account(document: &mut Document<'_>) {
    let Some(account) = document.find(&["metadata", "name"]).and_then(|node| document.string(node)) else { return };
    for list in ["secrets", "imagePullSecrets"] {
        if let Some(list) = document.find(&[list]) {
            document.remove_elements(list, |document, reference| {
                let name = document.get(reference, "name").and_then(|node| document.string(node));
                name.is_some_and(|name| GENERATED.iter().any(|infix| is_generated(&name, infix, &account)))
            });
        }
    }
}

/// Strips what the token controller puts into a Secret that asks for a token: only this cluster accepts it.
pub(super) fn token(document: &mut Document<'_>) {
    if is_token(document)
        && let Some(data) = document.find(&["data"])
    {
        document.prune_members(data, |_, key, _| matches!(key, "token" | "ca.crt" | "namespace"));
    }
}

/// Strips the rules that the cluster collects from other ClusterRoles.
pub(super) fn cluster_role(document: &mut Document<'_>) {
    let aggregates = document.find(&["aggregationRule"]).is_some_and(|node| document.kind(node) == Kind::Object);
    if aggregates && let Some(rules) = document.find(&["rules"]) {
        document.remove(rules);
    }
}

/// Strips who asked for a certificate: the API server notes it, and takes nobody's word for it.
pub(super) fn signing_request(document: &mut Document<'_>) {
    if let Some(spec) = document.find(&["spec"]) {
        document.remove_members(spec, |_, key, _| matches!(key, "extra" | "groups" | "uid" | "username"));
    }
}

/// Whether `secret` is the token of a ServiceAccount that was generated for it, and that nobody asked for.
pub(in crate::sanitize) fn is_generated_token(secret: &Document<'_>) -> bool {
    let text = |path: &[&str]| secret.find(path).and_then(|node| secret.string(node));
    let (Some(name), Some(account)) = (text(&["metadata", "name"]), text(&["metadata", "annotations", ACCOUNT_NAME]))
    else {
        return false;
    };
    is_token(secret) && is_generated(&name, GENERATED[0], &account) && last_applied(secret).is_none()
}

fn is_token(secret: &Document<'_>) -> bool {
    secret.find(&["type"]).and_then(|node| secret.string(node)).is_some_and(|kind| kind == TOKEN_TYPE)
}

/// Whether `name` is the name of `account`, or its start where that is long, followed by `infix` and a random part.
fn is_generated(name: &str, infix: &str, account: &str) -> bool {
    name.rsplit_once(infix).is_some_and(|(start, random)| {
        !start.is_empty()
            && account.starts_with(start)
            && random.len() == RANDOM_PART
            && random.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}
