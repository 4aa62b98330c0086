//! The operator's service account, with exactly the permissions that a test gives it.

use super::control_plane::ControlPlane;
use super::operator::apply;
use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::PathBuf;

/// Where the account lives.
pub(crate) const NAMESPACE: &str = "reverser";
/// Its user name.
pub(crate) const USER: &str = "system:serviceaccount:reverser:gitops-reverser";
const NAME: &str = "gitops-reverser";

/// A service account, and the kubeconfig that goes with it.
pub(crate) struct Account {
    kubeconfig: PathBuf,
    /// Resources that it may not even read although every operator does.
    lacks: &'static [&'static str],
}

impl Account {
    /// Makes the account. It may do what every operator does, and read objects of the types `mirrored`: each a group
    /// and its resources.
    pub(crate) async fn create(cluster: &ControlPlane, mirrored: &[(&str, &[&str])]) -> Result<Self> {
        Self::create_lacking(cluster, mirrored, &[]).await
    }

    /// The same where what every operator may do is reduced by these resources.
    pub(crate) async fn create_lacking(
        cluster: &ControlPlane,
        mirrored: &[(&str, &[&str])],
        lacks: &'static [&'static str],
    ) -> Result<Self> {
        let account = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {NAME}, namespace: {NAMESPACE}}}\n"
        );
        apply(cluster, &account).await?;
        let account = Self { kubeconfig: cluster.dir().join(format!("{NAME}.kubeconfig")), lacks };
        account.permit(cluster, mirrored).await?;
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": NAME},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        });
        apply(cluster, &binding.to_string()).await?;
        let token = token(cluster).await?;
        let mut config: Value = serde_json::from_slice(&std::fs::read(cluster.kubeconfig())?)?;
        config["contexts"][0]["context"]["namespace"] = json!(NAMESPACE);
        config["users"][0]["user"] = json!({"token": token});
        std::fs::write(&account.kubeconfig, config.to_string())?;
        Ok(account)
    }

    /// From now on the account may read objects of these types and no others.
    pub(crate) async fn permit(&self, cluster: &ControlPlane, mirrored: &[(&str, &[&str])]) -> Result<()> {
        let mut rules = always();
        rules.retain(|rule| !self.lacks.iter().any(|lacking| rule["resources"][0] == *lacking));
        let read = |(group, resources): &(&str, &[&str])| rule(group, resources, &["get", "list", "watch"]);
        rules.extend(mirrored.iter().map(read));
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": NAME}, "rules": rules,
        });
        apply(cluster, &role.to_string()).await
    }

    /// What makes a process act as this account.
    pub(crate) fn environment(&self) -> [(&'static str, OsString); 1] {
        [("KUBECONFIG", self.kubeconfig.clone().into_os_string())]
    }
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// What the operator needs whatever it mirrors.
fn always() -> Vec<Value> {
    let read = ["get", "list", "watch"];
    let kinds = ["gitproviders", "gittargets", "watchrules", "clusterwatchrules"];
    let statuses = kinds.map(|kind| format!("{kind}/status"));
    let statuses: Vec<&str> = statuses.iter().map(String::as_str).collect();
    vec![
        rule("configbutler.ai", &kinds, &read),
        rule("configbutler.ai", &statuses, &["get", "patch"]),
        rule("", &["namespaces", "secrets"], &read),
        rule("", &["events"], &["create", "patch"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
        rule(
            "admissionregistration.k8s.io",
            &["validatingwebhookconfigurations"],
            &["get", "list", "watch", "create", "patch"],
        ),
        rule("apiextensions.k8s.io", &["customresourcedefinitions"], &["get", "list", "watch"]),
        rule("apiregistration.k8s.io", &["apiservices"], &["list", "watch"]),
        rule("authorization.k8s.io", &["selfsubjectaccessreviews"], &["create"]),
    ]
}

async fn token(cluster: &ControlPlane) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client().await?, NAMESPACE);
    let request = TokenRequest::default();
    let answer = accounts.create_token_request(NAME, &PostParams::default(), &request).await?;
    Ok(answer.status.context("no token was issued")?.token)
}
