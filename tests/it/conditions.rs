//! What a person gets to read in the status of each kind, on the real API server: every reason of every condition.

use crate::support::control_plane::ControlPlane;
use crate::support::git_server::{Fault, GitServer};
use crate::support::operator::{Mirror, apply, shared};
use crate::support::status::{condition, get, until};
use anyhow::Result;

/// A condition, its status and reason, and a part of its message.
type Said = (&'static str, &'static str, &'static str, &'static str);

struct Case {
    /// Which object to look at, as kubectl names it.
    object: &'static str,
    /// The objects to make.
    manifests: &'static str,
    says: &'static [Said],
}

const READY: &str = "Ready";
const AVAILABLE: &str = "Available";
const ACTIVE: &str = "Active";
const SYNCED: &str = "Synced";
const RECONCILING: &str = "Reconciling";
const STALLED: &str = "Stalled";

/// `NS` stands for the namespace, `URL` for the repository, `ODD` for one whose server answers with redirects to nowhere,
/// `STUCK` for one whose server never answers, `LONG` and `PREFIX` for names
/// that are too long.
const CASES: &[Case] = &[
    Case {
        object: "gitprovider/git",
        manifests: "",
        says: &[(READY, "True", "Ready", "targets can use the repository")],
    },
    Case {
        object: "gitprovider/suspended",
        manifests: "
kind: GitProvider
metadata: {name: suspended}
spec: {url: 'URL', allowedBranches: [main], suspend: true}
---
kind: GitTarget
metadata: {name: suspended-provider}
spec: {providerRef: {name: suspended}, baseFolder: suspended-provider}
",
        says: &[(READY, "False", "Suspended", "spec.suspend"), (STALLED, "True", "Suspended", "spec.suspend")],
    },
    Case {
        object: "gittarget/suspended-provider",
        manifests: "",
        says: &[
            (READY, "False", "ProviderNotReady", "GitProvider NS/suspended is suspended"),
            (ACTIVE, "False", "WorkerNotStarted", "Ready says"),
        ],
    },
    Case {
        object: "gitprovider/picky",
        manifests: "
kind: GitProvider
metadata: {name: picky}
spec: {url: 'http://git.example.com:99999/r', allowedBranches: [main]}
",
        says: &[(READY, "False", "InvalidConfiguration", "spec.url"), (STALLED, "True", "InvalidConfiguration", "")],
    },
    Case {
        object: "gitprovider/no-secret",
        manifests: "
kind: GitProvider
metadata: {name: no-secret}
spec: {url: 'URL', secretRef: {name: nothing}, allowedBranches: [main]}
---
kind: GitTarget
metadata: {name: no-secret}
spec: {providerRef: {name: no-secret}, baseFolder: no-secret}
",
        says: &[
            (READY, "False", "SecretNotFound", "create it, as with the keys username and password"),
            (RECONCILING, "True", "SecretNotFound", "NS/nothing"),
        ],
    },
    Case {
        object: "gittarget/no-secret",
        manifests: "",
        says: &[
            (READY, "False", "ProviderNotReady", "SecretNotFound"),
            (AVAILABLE, "Unknown", "Checking", "Ready says what it lacks"),
            (ACTIVE, "False", "WorkerNotStarted", "Ready says what it lacks"),
            (SYNCED, "Unknown", "SyncInProgress", "before the target can be used"),
            (RECONCILING, "True", "ProviderNotReady", "SecretNotFound"),
        ],
    },
    Case {
        object: "gitprovider/bad-secret",
        manifests: "
kind: Secret
apiVersion: v1
metadata: {name: bad-secret}
stringData: {colour: blue}
---
kind: GitProvider
metadata: {name: bad-secret}
spec: {url: 'URL', secretRef: {name: bad-secret}, allowedBranches: [main]}
",
        says: &[(READY, "False", "InvalidSecret", "correct it"), (STALLED, "True", "InvalidSecret", "NS/bad-secret")],
    },
    Case {
        object: "gittarget/live",
        manifests: "",
        says: &[
            (READY, "True", "Ready", "changes are written to the branch"),
            (AVAILABLE, "True", "Available", "takes pushes"),
            (ACTIVE, "True", "Active", "what rules select is written"),
            (SYNCED, "True", "Synced", "holds what rules select"),
        ],
    },
    Case {
        object: "gittarget/idle",
        manifests: "
kind: GitTarget
metadata: {name: idle}
spec: {providerRef: {name: git}, baseFolder: idle}
",
        says: &[
            (READY, "True", "Ready", ""),
            (ACTIVE, "True", "Idle", "make a WatchRule"),
            (SYNCED, "True", "Synced", ""),
        ],
    },
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
        says: &[
            (READY, "False", "NetworkError", "Could not resolve host: nowhere.invalid"),
            (AVAILABLE, "False", "NetworkError", "Could not resolve host: nowhere.invalid"),
            (SYNCED, "False", "SyncFailed", "the remote cannot be used"),
            (RECONCILING, "True", "NetworkError", ""),
        ],
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
        says: &[
            (READY, "False", "AuthenticationFailed", "check the credentials in the Secret"),
            (AVAILABLE, "False", "AuthenticationFailed", "and that they may write"),
            (STALLED, "True", "AuthenticationFailed", ""),
        ],
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
        says: &[
            (READY, "False", "RepositoryNotFound", "check spec.url of the GitProvider"),
            (AVAILABLE, "False", "RepositoryNotFound", ""),
            (STALLED, "True", "RepositoryNotFound", ""),
        ],
    },
    Case {
        object: "gittarget/odd",
        manifests: "
kind: GitProvider
metadata: {name: odd}
spec: {url: 'ODD', secretRef: {name: git}, allowedBranches: [main]}
---
kind: GitTarget
metadata: {name: odd}
spec: {providerRef: {name: odd}, baseFolder: odd}
",
        says: &[(READY, "False", "GitOperationFailed", "302"), (AVAILABLE, "False", "GitOperationFailed", "302")],
    },
    Case {
        object: "gittarget/stuck",
        manifests: "
kind: GitProvider
metadata: {name: stuck}
spec: {url: 'STUCK', secretRef: {name: git}, allowedBranches: [main]}
---
kind: GitTarget
metadata: {name: stuck}
spec: {providerRef: {name: stuck}, baseFolder: stuck}
---
kind: WatchRule
metadata: {name: stuck}
spec: {sinkRef: {name: stuck}, rules: [{resources: [configmaps]}]}
",
        says: &[
            (READY, "Unknown", "Validating", "being fetched"),
            (AVAILABLE, "Unknown", "Checking", "being asked"),
            (ACTIVE, "Unknown", "WorkerNotStarted", "being fetched"),
            (SYNCED, "Unknown", "SyncInProgress", "being fetched"),
            (RECONCILING, "True", "Validating", ""),
        ],
    },
    Case {
        object: "watchrule/stuck",
        manifests: "",
        says: &[
            (READY, "Unknown", "Validating", "being listed for GitTarget NS/stuck"),
            (RECONCILING, "True", "Validating", ""),
        ],
    },
    Case {
        object: "gittarget/branch",
        manifests: "
kind: GitTarget
metadata: {name: branch}
spec: {providerRef: {name: git}, branch: production, baseFolder: branch}
",
        says: &[
            (READY, "False", "BranchNotAllowed", "production"),
            (STALLED, "True", "BranchNotAllowed", "spec.allowedBranches"),
        ],
    },
    Case {
        object: "gittarget/overlap",
        manifests: "
kind: GitTarget
metadata: {name: overlap}
spec: {providerRef: {name: git}, baseFolder: live/inside}
",
        says: &[(READY, "False", "BaseFolderOverlap", "NS/live"), (STALLED, "True", "BaseFolderOverlap", "")],
    },
    Case {
        object: "gittarget/orphan",
        manifests: "
kind: GitTarget
metadata: {name: orphan}
spec: {providerRef: {name: nobody}, baseFolder: orphan}
",
        says: &[(READY, "False", "ProviderNotFound", "nobody"), (RECONCILING, "True", "ProviderNotFound", "create it")],
    },
    Case {
        object: "gittarget/no-access",
        manifests: "
kind: GitTarget
metadata: {name: no-access}
spec: {providerRef: {name: secret, namespace: kube-system}, baseFolder: no-access}
",
        says: &[
            (READY, "False", "AccessDenied", "does not let namespace NS in"),
            (ACTIVE, "False", "WorkerStopped", "Ready says why"),
            (STALLED, "True", "AccessDenied", ""),
        ],
    },
    Case {
        object: "gittarget/suspended",
        manifests: "
kind: GitTarget
metadata: {name: suspended}
spec: {providerRef: {name: git}, baseFolder: suspended, suspend: true}
---
kind: WatchRule
metadata: {name: to-suspended}
spec: {sinkRef: {name: suspended}, rules: [{resources: [configmaps]}]}
",
        says: &[
            (READY, "False", "Suspended", "spec.suspend"),
            (ACTIVE, "False", "WorkerStopped", "Ready says why"),
            (STALLED, "True", "Suspended", ""),
        ],
    },
    Case {
        object: "watchrule/to-suspended",
        manifests: "",
        says: &[(READY, "False", "SinkNotReady", "NS/suspended"), (RECONCILING, "True", "SinkNotReady", "Suspended")],
    },
    Case {
        object: "gittarget/lengthy",
        manifests: "
kind: GitTarget
metadata: {name: lengthy}
spec: {providerRef: {name: git}, baseFolder: lengthy, branch: LONG}
",
        says: &[(READY, "False", "InvalidConfiguration", "spec.branch"), (STALLED, "True", "InvalidConfiguration", "")],
    },
    Case {
        object: "gittarget/refused",
        manifests: "
kind: GitTarget
metadata: {name: refused}
spec: {providerRef: {name: git}, baseFolder: refused}
",
        says: &[
            (READY, "False", "FolderRefused", "refused"),
            (AVAILABLE, "True", "Available", ""),
            (ACTIVE, "False", "WorkerStopped", "refused"),
            (STALLED, "True", "FolderRefused", ""),
        ],
    },
    Case { object: "watchrule/all", manifests: "", says: &[(READY, "True", "Ready", "is mirrored to its target")] },
    Case {
        object: "watchrule/suspended",
        manifests: "
kind: WatchRule
metadata: {name: suspended}
spec: {sinkRef: {name: live}, suspend: true, rules: [{resources: [configmaps]}]}
",
        says: &[(READY, "False", "Suspended", "spec.suspend"), (STALLED, "True", "Suspended", "")],
    },
    Case {
        object: "watchrule/no-sink",
        manifests: "
kind: WatchRule
metadata: {name: no-sink}
spec: {sinkRef: {name: nobody}}
",
        says: &[(READY, "False", "SinkNotFound", "NS/nobody"), (RECONCILING, "True", "SinkNotFound", "create it")],
    },
    Case {
        object: "clusterwatchrule/NS-denied",
        manifests: "
kind: GitTarget
metadata: {name: closed}
spec: {providerRef: {name: git}, baseFolder: closed, accessPolicy: {allowClusterRules: false}}
---
kind: ClusterWatchRule
metadata: {name: NS-denied}
spec: {sinkRef: {name: closed, namespace: NS}, rules: [{scope: Cluster, resources: [namespaces]}]}
",
        says: &[
            (READY, "False", "AccessDenied", "spec.accessPolicy.allowClusterRules"),
            (STALLED, "True", "AccessDenied", ""),
        ],
    },
    Case {
        object: "watchrule/odd-label",
        manifests: "
kind: WatchRule
metadata: {name: odd-label}
spec: {sinkRef: {name: live}, objectSelector: {matchLabels: {PREFIX/tier: web}}, rules: [{resources: [configmaps]}]}
",
        says: &[
            (READY, "False", "InvalidConfiguration", "spec.objectSelector"),
            (STALLED, "True", "InvalidConfiguration", ""),
        ],
    },
    Case {
        object: "watchrule/unknown-type",
        manifests: "
kind: WatchRule
metadata: {name: unknown-type}
spec: {sinkRef: {name: live}, rules: [{resources: [configmapps]}]}
",
        says: &[
            (READY, "False", "NoMatchingResources", "configmaps"),
            (RECONCILING, "True", "NoMatchingResources", ""),
        ],
    },
    Case {
        object: "watchrule/version-2",
        manifests: "
kind: WatchRule
metadata: {name: version-1}
spec: {sinkRef: {name: live}, rules: [{resources: [horizontalpodautoscalers], apiVersions: [v2]}]}
---
kind: WatchRule
metadata: {name: version-2}
spec: {sinkRef: {name: live}, rules: [{resources: [horizontalpodautoscalers], apiVersions: [v1]}]}
",
        says: &[
            (READY, "False", "VersionConflict", "horizontalpodautoscalers"),
            (STALLED, "True", "VersionConflict", ""),
        ],
    },
];

/// What stands for the surroundings in the manifests and messages.
struct Surroundings {
    mirror: Mirror,
    odd: GitServer,
    stuck: GitServer,
}

impl Surroundings {
    async fn start(cluster: &ControlPlane) -> Result<Self> {
        let (odd, stuck) = (GitServer::start().await?, GitServer::start().await?);
        odd.set_fault(Some(Fault::Status(302)));
        stuck.set_fault(Some(Fault::Stall));
        let mirror = Mirror::prepare(cluster, "said").await?;
        mirror.repo.commit_file("main", "refused", "no folder\n", "Erin <erin@example.com>");
        apply(cluster, &mirror.configuration(&["configmaps"])).await?;
        mirror.ready(cluster).await?;
        Ok(Self { mirror, odd, stuck })
    }

    fn fill(&self, text: &str) -> String {
        let at = |server: &GitServer| format!("http://{}/r", server.address());
        let text = text.replace("NS", &self.mirror.namespace).replace("URL", self.mirror.repo.url());
        // The schema admits so many characters, but git not so many bytes, and labels no prefixes of that length.
        let text = text.replace("LONG", &"ä".repeat(150)).replace("PREFIX", &"a".repeat(254));
        text.replace("ODD", &at(&self.odd)).replace("STUCK", &at(&self.stuck))
    }

    /// The documents with what all of them have.
    fn complete(&self, manifests: &str) -> String {
        let namespace = format!("metadata: {{namespace: {}, ", self.mirror.namespace);
        let documents = manifests.split("---").map(|document| {
            let is_of_cluster = document.contains("kind: ClusterWatchRule");
            let document = self.fill(document);
            let document = if is_of_cluster { document } else { document.replace("metadata: {", &namespace) };
            let group = if document.contains("apiVersion:") { "" } else { "apiVersion: configbutler.ai/v1alpha1" };
            format!("{group}\n{document}")
        });
        documents.collect::<Vec<_>>().join("---\n")
    }
}

#[tokio::test]
async fn every_reason_is_said_and_stops_nothing_else() {
    let cluster = shared().await.unwrap();
    let around = Surroundings::start(cluster).await.unwrap();
    let namespace = around.mirror.namespace.as_str();
    for case in CASES.iter().filter(|case| !case.manifests.is_empty()) {
        apply(cluster, &around.complete(case.manifests)).await.expect(case.object);
    }
    for case in CASES {
        let object = around.fill(case.object);
        for (kind, status, reason, part) in case.says {
            let message = until(cluster, namespace, &object, (kind, status, reason)).await.unwrap();
            assert!(message.contains(&around.fill(part)), "{object}: {message}");
            println!("{object}: {kind}={status} ({reason}): {message}");
        }
        let found = get(cluster, namespace, &object).await.unwrap();
        let is_ready = condition(&found, READY).is_some_and(|(status, ..)| status == "True");
        let abnormal = [RECONCILING, STALLED].iter().filter(|kind| condition(&found, kind).is_some()).count();
        assert_eq!(abnormal, usize::from(!is_ready), "{object}: {}", found["status"]);
    }
    let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: web, namespace: {namespace}}}\n");
    apply(cluster, &map).await.unwrap();
    around.mirror.commits(&around.mirror.config_map("web"), 1).await.unwrap();
    around.mirror.ready(cluster).await.unwrap();
}
