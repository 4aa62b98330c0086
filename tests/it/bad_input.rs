//! What a person gets to read who configured something wrong, on the real API server.

use crate::support::control_plane::ControlPlane;
use crate::support::operator::{Mirror, SOON, apply, shared};
use crate::support::poll::eventually;
use anyhow::Result;

struct Case {
    /// Which object to look at, as kubectl names it.
    object: &'static str,
    /// The objects.
    manifests: &'static str,
    reason: &'static str,
    /// A part of the message.
    says: &'static str,
}

/// `NS` stands for the namespace, `URL` for the repository, `PORT` for a port where nobody listens.
const CASES: [Case; 9] = [
    Case {
        object: "gittarget/unknown-host",
        manifests: "
kind: GitProvider
metadata: {name: unknown-host}
spec: {url: 'http://nowhere.invalid/r', allowedBranches: [main]}
---
kind: GitTarget
metadata: {name: unknown-host}
spec: {providerRef: {name: unknown-host}, baseFolder: unknown-host}
",
        reason: "NetworkError",
        says: "Could not resolve host: nowhere.invalid",
    },
    Case {
        object: "gittarget/wrong-password",
        manifests: "
kind: Secret
apiVersion: v1
metadata: {name: wrong-password}
stringData: {username: git, password: wrong}
---
kind: GitProvider
metadata: {name: wrong-password}
spec: {url: 'URL', secretRef: {name: wrong-password}, allowedBranches: [main]}
---
kind: GitTarget
metadata: {name: wrong-password}
spec: {providerRef: {name: wrong-password}, baseFolder: wrong-password}
",
        reason: "AuthenticationFailed",
        says: "check the credentials in the Secret of the GitProvider, and that they may write",
    },
    Case {
        object: "gittarget/no-repository",
        manifests: "
kind: GitProvider
metadata: {name: no-repository}
spec: {url: 'URL-which-is-not-there', secretRef: {name: git}, allowedBranches: [main]}
---
kind: GitTarget
metadata: {name: no-repository}
spec: {providerRef: {name: no-repository}, baseFolder: no-repository}
",
        reason: "RepositoryNotFound",
        says: "check spec.url of the GitProvider",
    },
    Case {
        object: "gittarget/branch",
        manifests: "
kind: GitTarget
metadata: {name: branch}
spec: {providerRef: {name: git}, branch: production, baseFolder: branch}
",
        reason: "BranchNotAllowed",
        says: "production",
    },
    Case {
        object: "gittarget/overlap",
        manifests: "
kind: GitTarget
metadata: {name: overlap}
spec: {providerRef: {name: git}, baseFolder: live/inside}
",
        reason: "BaseFolderOverlap",
        says: "NS/live",
    },
    Case {
        object: "gittarget/orphan",
        manifests: "
kind: GitTarget
metadata: {name: orphan}
spec: {providerRef: {name: nobody}, baseFolder: orphan}
",
        reason: "ProviderNotFound",
        says: "nobody",
    },
    Case {
        object: "gitprovider/no-secret",
        manifests: "
kind: GitProvider
metadata: {name: no-secret}
spec: {url: 'URL', secretRef: {name: nothing}, allowedBranches: [main]}
",
        reason: "SecretNotFound",
        says: "create it, as with the keys username and password",
    },
    Case {
        object: "watchrule/unknown-type",
        manifests: "
kind: WatchRule
metadata: {name: unknown-type}
spec: {sinkRef: {name: live}, rules: [{resources: [configmapps]}]}
",
        reason: "NoMatchingResources",
        says: "configmaps",
    },
    Case {
        object: "watchrule/no-sink",
        manifests: "
kind: WatchRule
metadata: {name: no-sink}
spec: {sinkRef: {name: nobody}}
",
        reason: "SinkNotFound",
        says: "nobody",
    },
];

fn fill(text: &str, mirror: &Mirror) -> String {
    text.replace("NS", &mirror.namespace).replace("URL", mirror.repo.url())
}

/// The documents with what all of them have.
fn complete(manifests: &str, mirror: &Mirror) -> String {
    let namespace = format!("metadata: {{namespace: {}, ", mirror.namespace);
    let documents = manifests.split("---").map(|document| {
        let document = fill(document, mirror).replace("metadata: {", &namespace);
        let group = if document.contains("apiVersion") { "" } else { "apiVersion: configbutler.ai/v1alpha1" };
        format!("{group}\n{document}")
    });
    documents.collect::<Vec<_>>().join("---\n")
}

async fn condition(cluster: &ControlPlane, mirror: &Mirror, object: &str) -> Result<(String, String, String)> {
    let fields =
        [".status", ".reason", ".message"].map(|field| format!("{{.status.conditions[?(@.type=='Ready')]{field}}}"));
    let mut get = cluster.kubectl();
    let output = get.args(["get", "--namespace", &mirror.namespace, object, "--output"]);
    let output = output.arg(format!("jsonpath={}", fields.join("|"))).output().await?;
    let text = String::from_utf8(output.stdout)?;
    let mut parts = text.splitn(3, '|').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    Ok((next(), next(), next()))
}

#[tokio::test]
async fn every_mistake_is_a_condition_and_stops_nothing_else() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::start(cluster, "mistakes", &["configmaps"]).await.unwrap();
    for case in &CASES {
        apply(cluster, &complete(case.manifests, &mirror)).await.unwrap();
    }
    for case in &CASES {
        let what = format!("{} to be {}", case.object, case.reason);
        let (status, _, message) = eventually(SOON, &what, async || {
            let condition = condition(cluster, &mirror, case.object).await?;
            anyhow::ensure!(condition.1 == case.reason, "{condition:?}");
            Ok(Some(condition))
        })
        .await
        .unwrap();
        assert_eq!(status, "False", "{}", case.object);
        assert!(message.contains(&fill(case.says, &mirror)), "{}: {message}", case.object);
        println!("{}: {}: {message}", case.object, case.reason);
    }
    let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web, namespace: {}}}\n", mirror.namespace);
    apply(cluster, &map).await.unwrap();
    mirror.commits(&mirror.config_map("web"), 1).await.unwrap();
    mirror.ready(cluster).await.unwrap();
}
