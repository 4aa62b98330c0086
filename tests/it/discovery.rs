//! What becomes of a mirror when the API server serves more, less, or for a while nothing of a type.

use crate::support::account::Account;
use crate::support::control_plane::ControlPlane;
use crate::support::operator::{Mirror, Operator, SOON, apply};
use crate::support::poll::eventually;
use crate::support::remote_repo::CommitInfo;
use crate::support::scratch::ScratchDir;
use anyhow::{Result, ensure};
use std::time::Duration;

/// Long before the next look at what is served that has no cause.
const SECONDS: Duration = Duration::from_secs(30);
/// Longer than a type must be missing until it counts as gone.
const GONE: Duration = Duration::from_secs(180);
/// Longer than what was selected by an earlier process stays.
const FADED: Duration = Duration::from_secs(75);
/// Longer than the pause between two attempts to watch what cannot be watched.
const RETRIED: Duration = Duration::from_secs(120);

/// A control plane and an operator of its own, and a namespace with a repository; nothing is mirrored yet.
struct World {
    mirror: Mirror,
    operator: Option<Operator>,
    account: Option<Account>,
    work_dir: ScratchDir,
    cluster: ControlPlane,
}

impl World {
    /// The operator acts as an account that may read `permitted`, and of what it always may not even read `lacks`; or else
    /// as `admin`.
    async fn start(permitted: Option<&[(&str, &[&str])]>, lacks: &'static [&'static str]) -> Self {
        let cluster = ControlPlane::start().await.unwrap();
        let account = match permitted {
            Some(permitted) => Some(Account::create_lacking(&cluster, permitted, lacks).await.unwrap()),
            None => None,
        };
        crate::support::operator::install_definitions(&cluster).await.unwrap();
        let mirror = Mirror::prepare(&cluster, "mirrored").await.unwrap();
        let mut world = Self { mirror, operator: None, account, work_dir: ScratchDir::new().unwrap(), cluster };
        world.start_operator();
        world
    }

    fn start_operator(&mut self) {
        let environment = self.account.as_ref().map(Account::environment);
        let environment = environment.as_ref().map_or(&[][..], |environment| &environment[..]);
        self.operator = Some(Operator::start_again(&self.cluster, &self.work_dir, &[], environment).unwrap());
    }

    async fn stop_operator(&mut self) {
        self.operator.take().unwrap().terminate().await.unwrap();
    }

    fn log(&self) -> String {
        self.operator.as_ref().map(Operator::log).unwrap_or_default()
    }

    /// Mirrors these types.
    async fn mirror(&self, resources: &[&str]) {
        apply(&self.cluster, &self.mirror.configuration(resources)).await.unwrap();
        let mut wait = self.cluster.kubectl();
        wait.args(["wait", "--namespace", &self.mirror.namespace, "--for=condition=Ready", "--timeout=60s"]);
        let output = wait.arg("gittarget/live").output().await.unwrap();
        assert!(output.status.success(), "{output:?}; {}", self.log());
    }

    async fn apply(&self, manifests: &str) {
        apply(&self.cluster, &manifests.replace("NS", &self.mirror.namespace)).await.unwrap();
    }

    async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let output = self.cluster.kubectl().args(["--namespace", &self.mirror.namespace]).args(args).output().await?;
        ensure!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The path of an object in the repository.
    fn path(&self, folder: &str, name: &str) -> String {
        format!("live/{folder}/{}/{name}.yaml", self.mirror.namespace)
    }

    fn files(&self, part: &str) -> Vec<String> {
        self.mirror.repo.files("main").into_iter().filter(|path| path.contains(part)).collect()
    }

    /// Waits until exactly these files are there whose path contains `part`.
    async fn until_files(&self, part: &str, expected: &[String], deadline: Duration) {
        eventually(deadline, &format!("exactly {expected:?}"), async || {
            let files = self.files(part);
            ensure!(files == expected, "{files:?}");
            Ok(Some(()))
        })
        .await
        .unwrap_or_else(|error| panic!("{error:#}; {}", self.log()));
    }

    /// A change of a config map after which everything before it has been dealt with; it is there at once, whatever
    /// else does not work.
    async fn mark(&self, value: &str) {
        self.apply(&format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: mark, namespace: NS}}, data: {{value: '{value}'}}}}"
        ))
        .await;
        let path = self.path("core/v1/configmaps", "mark");
        eventually(SOON, &format!("the mark {value}"), async || {
            let content = self.mirror.repo.read("main", &path).unwrap_or_default();
            Ok(content.contains(&format!("value: {value}")).then_some(()))
        })
        .await
        .unwrap_or_else(|error| panic!("{error:#}; {}", self.log()));
    }

    /// Waits until the rule's condition Ready has this reason and a message with this part.
    async fn until_rule(&self, rule: &str, reason: &str, says: &str, deadline: Duration) {
        let path = "-o=jsonpath={range .status.conditions[?(@.type==\"Ready\")]}{.reason}: {.message}{end}";
        eventually(deadline, &format!("the rule {rule} to be {reason}"), async || {
            let condition = self.kubectl(&["get", "watchrule", rule, path]).await?;
            ensure!(condition.starts_with(&format!("{reason}: ")) && condition.contains(says), "{condition}");
            Ok(Some(()))
        })
        .await
        .unwrap();
    }

    /// The commits that changed a path with `part` in it.
    fn log_of(&self, part: &str) -> Vec<CommitInfo> {
        let touches = |commit: &CommitInfo| commit.changes.iter().any(|(_, path)| path.contains(part));
        self.mirror.repo.log("main").into_iter().filter(touches).collect()
    }
}

/// The definition of a namespaced type, with these versions; the first is the one that is stored.
fn definition(group: &str, plural: &str, kind: &str, versions: &[&str]) -> String {
    let schema = "{openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}";
    let version = |(number, name): (usize, &&str)| {
        format!("{{name: {name}, served: true, storage: {}, schema: {schema}}}", number == 0)
    };
    let versions: Vec<String> = versions.iter().enumerate().map(version).collect();
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {plural}.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{plural: {plural}, kind: {kind}}}\n  versions: [{}]\n",
        versions.join(", ")
    )
}

fn gadget(version: &str, name: &str, value: u32) -> String {
    format!(
        "apiVersion: lifecycle.test/{version}\nkind: Gadget\nmetadata: {{name: {name}, namespace: NS}}\nspec: {{value: {value}}}\n"
    )
}

#[tokio::test]
async fn a_type_comes_changes_its_version_and_goes() {
    // That API services may not be watched only means that definitions alone tell of changes.
    let permitted: &[(&str, &[&str])] = &[("", &["configmaps"]), ("lifecycle.test", &["gadgets"])];
    let world = World::start(Some(permitted), &["apiservices"]).await;
    world.mirror(&["configmaps", "gadgets.lifecycle.test"]).await;
    world.until_rule("all", "NoMatchingResources", "gadgets.lifecycle.test is not served", SOON).await;
    world.mark("before").await;

    world.apply(&definition("lifecycle.test", "gadgets", "Gadget", &["v1"])).await;
    world
        .kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd/gadgets.lifecycle.test"])
        .await
        .unwrap();
    for name in ["one", "two"] {
        let made = eventually(SOON, "the type to be served", async || {
            Ok(Some(apply(&world.cluster, &gadget("v1", name, 1).replace("NS", &world.mirror.namespace)).await?))
        });
        made.await.unwrap();
    }
    let of = |version: &str| ["one", "two"].map(|name| world.path(&format!("lifecycle.test/{version}/gadgets"), name));
    world.until_files("gadgets", &of("v1"), SECONDS).await;
    world.mirror.ready(&world.cluster).await.unwrap();

    world.apply(&definition("lifecycle.test", "gadgets", "Gadget", &["v1", "v2"])).await;
    world.until_files("gadgets", &of("v2"), SECONDS).await;
    let moved: Vec<CommitInfo> = world
        .log_of("gadgets/")
        .into_iter()
        .filter(|commit| commit.changes.iter().any(|(_, path)| path.contains("/v2/")))
        .collect();
    let mut changes = moved[0].changes.clone();
    changes.sort();
    let expected: Vec<_> =
        of("v2").map(|path| ('A', path)).into_iter().chain(of("v1").map(|path| ('D', path))).collect();
    assert_eq!((moved.len(), changes), (1, expected), "{moved:#?}");
    world.apply(&gadget("v1", "one", 2)).await;
    let edited = eventually(SOON, "the edit of an object in the old version", async || {
        Ok(world.mirror.repo.read("main", &of("v2")[0]).filter(|content| content.contains("value: 2")))
    });
    assert!(edited.await.unwrap().starts_with("apiVersion: lifecycle.test/v2\n"));

    world.kubectl(&["delete", "crd", "gadgets.lifecycle.test"]).await.unwrap();
    world.until_files("gadgets", &[], SOON).await;
    world.mark("removed").await;
    world.until_rule("all", "NoMatchingResources", "gadgets.lifecycle.test is not served", GONE).await;
    world.mark("gone").await;
    assert_eq!(world.files("gadgets"), [""; 0], "none returns");
}

#[tokio::test]
async fn a_broken_api_service_touches_nothing() {
    let mut world = World::start(None, &[]).await;
    world.apply(&definition("broken.test", "widgets", "Widget", &["v1"])).await;
    world.apply(&definition("sound.test", "widgets", "Widget", &["v1"])).await;
    let names = ["crd/widgets.broken.test", "crd/widgets.sound.test"];
    world.kubectl(&[&["wait", "--for=condition=Established", "--timeout=60s"], &names[..]].concat()).await.unwrap();
    let widget = |group: &str, value: u32| {
        format!(
            "apiVersion: {group}/v1\nkind: Widget\nmetadata: {{name: web, namespace: NS}}\nspec: {{value: {value}}}\n"
        )
    };
    // A rule that names the type, and one that does not and so cannot miss it.
    world.mirror(&["configmaps", "'widgets.*'"]).await;
    world.apply("{apiVersion: configbutler.ai/v1alpha1, kind: GitTarget, metadata: {name: named, namespace: NS}, spec: {providerRef: {name: git}, baseFolder: named}}").await;
    world.apply("{apiVersion: configbutler.ai/v1alpha1, kind: WatchRule, metadata: {name: named, namespace: NS}, spec: {sinkRef: {name: named}, rules: [{resources: [widgets.broken.test]}]}}").await;
    for group in ["broken.test", "sound.test"] {
        eventually(SOON, "the type to be served", async || {
            Ok(Some(apply(&world.cluster, &widget(group, 1).replace("NS", &world.mirror.namespace)).await?))
        })
        .await
        .unwrap();
    }
    let [broken, sound] = ["broken.test", "sound.test"].map(|group| world.path(&format!("{group}/v1/widgets"), "web"));
    let all = [broken.clone(), sound.clone(), broken.replacen("live", "named", 1)];
    world.until_files("widgets", &all, SOON).await;

    // The group's requests now go to a Service that is not there.
    let nowhere = r#"[{"op": "remove", "path": "/metadata/labels/kube-aggregator.kubernetes.io~1automanaged"},
        {"op": "add", "path": "/spec/service", "value": {"namespace": "default", "name": "nowhere", "port": 443}},
        {"op": "add", "path": "/spec/insecureSkipTLSVerify", "value": true}]"#;
    world.kubectl(&["patch", "apiservice", "v1.broken.test", "--type=json", "--patch", nowhere]).await.unwrap();
    let noticed = async |world: &World| {
        eventually(SECONDS, "discovery to be incomplete", async || {
            Ok(world.log().contains("Discovery is incomplete").then_some(()))
        })
        .await
        .unwrap_or_else(|error| panic!("{error:#}; {}", world.log()));
    };
    noticed(&world).await;
    let deletes = |world: &World| {
        world
            .mirror
            .repo
            .log("main")
            .iter()
            .flat_map(|commit| commit.changes.clone())
            .filter(|(change, _)| *change == 'D')
            .count()
    };
    for (round, value) in ["running", "restarted"].into_iter().enumerate() {
        world.mark(value).await;
        world.apply(&widget("sound.test", 10 + u32::try_from(round).unwrap())).await;
        eventually(SOON, "the other group to be mirrored", async || {
            Ok(world
                .mirror
                .repo
                .read("main", &sound)
                .filter(|content| content.contains(&format!("value: {}", 10 + round))))
        })
        .await
        .unwrap();
        if round == 1 {
            world
                .until_rule(
                    "named",
                    "NoMatchingResources",
                    "the API server behind group broken.test does not answer",
                    SOON,
                )
                .await;
            // What no rule selects after a start is swept after a while.
            tokio::time::sleep(FADED).await;
            world.mark("later").await;
        }
        assert_eq!(world.files("widgets"), all, "{value}");
        assert_eq!(deletes(&world), 0, "{value}");
        if round == 0 {
            world.stop_operator().await;
            world.start_operator();
            noticed(&world).await;
        }
    }
    // The group comes back: the API server makes the service for its own group anew.
    world.kubectl(&["delete", "apiservice", "v1.broken.test"]).await.unwrap();
    eventually(SOON, "the group to be back", async || {
        Ok(Some(apply(&world.cluster, &widget("broken.test", 2).replace("NS", &world.mirror.namespace)).await?))
    })
    .await
    .unwrap();
    eventually(RETRIED, "the group to be mirrored again", async || {
        Ok(world.mirror.repo.read("main", &broken).filter(|content| content.contains("value: 2")))
    })
    .await
    .unwrap_or_else(|error| panic!("{error:#}; {}", world.log()));
    assert_eq!(deletes(&world), 0);
    world.mirror.ready(&world.cluster).await.unwrap();
}

#[tokio::test]
async fn a_type_that_is_forbidden_for_a_while_stays_and_catches_up() {
    const ALL: &[(&str, &[&str])] = &[("", &["configmaps", "limitranges"])];
    const LESS: &[(&str, &[&str])] = &[("", &["configmaps"])];
    let mut world = World::start(Some(ALL), &[]).await;
    let range = |name: &str| {
        format!("apiVersion: v1\nkind: LimitRange\nmetadata: {{name: {name}, namespace: NS}}\nspec: {{limits: []}}\n")
    };
    let paths = |world: &World, names: &[&str]| {
        names.iter().map(|name| world.path("core/v1/limitranges", name)).collect::<Vec<_>>()
    };
    for name in ["a", "b"] {
        world.apply(&range(name)).await;
    }
    world.mirror(&["configmaps", "limitranges"]).await;
    world.until_files("limitranges", &paths(&world, &["a", "b"]), SOON).await;
    world.mirror.ready(&world.cluster).await.unwrap();

    // A watch that is open stays so, whatever is forbidden: it ends with the API server.
    world.account.as_ref().unwrap().permit(&world.cluster, LESS).await.unwrap();
    world.cluster.start_api_server().await.unwrap();
    world.until_rule("all", "ResourcesUnavailable", "limitranges", RETRIED).await;
    world.kubectl(&["delete", "limitrange", "a"]).await.unwrap();
    world.apply(&range("c")).await;
    world.mark("forbidden").await;
    assert_eq!(world.files("limitranges"), paths(&world, &["a", "b"]));

    world.stop_operator().await;
    world.kubectl(&["delete", "limitrange", "b"]).await.unwrap();
    world.start_operator();
    world.until_rule("all", "ResourcesUnavailable", "limitranges", RETRIED).await;
    world.mark("restarted").await;
    assert_eq!(world.files("limitranges"), paths(&world, &["a", "b"]));

    world.account.as_ref().unwrap().permit(&world.cluster, ALL).await.unwrap();
    world.until_files("limitranges", &paths(&world, &["c"]), RETRIED).await;
    world.mirror.ready(&world.cluster).await.unwrap();
    world.apply(&range("d")).await;
    world.until_files("limitranges", &paths(&world, &["c", "d"]), SOON).await;
}
