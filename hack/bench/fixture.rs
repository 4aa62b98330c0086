//! A mirrored namespace with many objects, and what all scenarios do with it.

use crate::observe::{self, Arrival, RefWatch};
use crate::support::control_plane::ControlPlane;
use crate::support::operator::{Mirror, Operator, SOON, apply};
use crate::support::poll::eventually;
use crate::support::scratch::ScratchDir;
use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Requests to the API server at the same time.
pub(crate) const IN_FLIGHT: usize = 24;
/// The object that is changed to see that everything before it has been dealt with.
const MARKER: usize = 0;
/// Who changes it.
const MARKING_USER: &str = "marker";

/// A mirrored namespace with `count` objects of one type, all made by `admin`.
pub(crate) struct Fixture<'a> {
    pub(crate) cluster: &'a ControlPlane,
    pub(crate) mirror: Mirror,
    pub(crate) count: usize,
    name: &'static str,
    resource: &'static str,
}

impl<'a> Fixture<'a> {
    /// A namespace with config maps of about 600 bytes each.
    pub(crate) async fn config_maps(cluster: &'a ControlPlane, name: &'static str, count: usize) -> Result<Self> {
        let mirror = Mirror::prepare(cluster, name).await?;
        let fixture = Self { cluster, mirror, count, name, resource: "configmaps" };
        fixture.create::<ConfigMap>(config_map).await?;
        Ok(fixture)
    }

    /// A namespace with objects of another type.
    pub(crate) async fn objects<K>(
        cluster: &'a ControlPlane,
        name: &'static str,
        resource: &'static str,
        count: usize,
        object: impl Fn(usize) -> Value,
    ) -> Result<Self>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + Debug,
    {
        let mirror = Mirror::prepare(cluster, name).await?;
        let fixture = Self { cluster, mirror, count, name, resource };
        fixture.create::<K>(object).await?;
        Ok(fixture)
    }

    async fn create<K>(&self, object: impl Fn(usize) -> Value) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + Debug,
    {
        eprintln!("{}: creating {} {}", self.name, self.count, self.resource);
        let api: Api<K> = Api::namespaced(self.cluster.client().await?, &self.mirror.namespace);
        let (api, parameters) = (&api, &PostParams::default());
        let requests = (0..self.count).map(|number| {
            let object = serde_json::from_value::<K>(object(number));
            async move { Ok::<_, anyhow::Error>(api.create(parameters, &object?).await.map(drop)?) }
        });
        futures::stream::iter(requests).buffer_unordered(IN_FLIGHT).try_collect::<()>().await
    }

    /// Access to the objects, as `user`.
    pub(crate) async fn api<K>(&self, user: &str) -> Result<Api<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Ok(Api::namespaced(self.cluster.client_as(user).await?, &self.mirror.namespace))
    }

    /// Makes the objects mirrored, or changes how often is pushed.
    pub(crate) async fn configure(&self, push_interval: &str) -> Result<()> {
        apply(self.cluster, &self.mirror.configuration_pushing(&[self.resource], push_interval)).await
    }

    /// No longer mirrors the objects, so that the next operator has nothing to do with them.
    pub(crate) async fn retire(&self) -> Result<()> {
        let mut delete = self.cluster.kubectl();
        delete.args(["delete", "--namespace", &self.mirror.namespace, "watchrule/all", "gittarget/live"]);
        let output = delete.arg("gitprovider/git").output().await?;
        ensure!(output.status.success(), "the configuration cannot be removed: {output:?}");
        Ok(())
    }

    /// Makes the remote empty again.
    pub(crate) fn empty_remote(&self) -> Result<()> {
        std::fs::remove_dir_all(self.mirror.repo.path())?;
        let repo = self.mirror.server.create_repo(self.name);
        ensure!(repo.path() == self.mirror.repo.path(), "the repository has moved");
        Ok(())
    }

    /// Starts the operator on an empty remote and waits until everything is there.
    pub(crate) async fn seed(&self, extra: &[&str]) -> Result<(ScratchDir, Operator, Arrival)> {
        self.empty_remote()?;
        let work_dir = ScratchDir::new()?;
        let mut remote = RefWatch::start(&self.mirror.repo);
        let operator = Operator::start(self.cluster, &work_dir, extra).await?;
        let complete = |tip: &str| {
            let listed = self.mirror.repo.git(&["ls-tree", "-r", "--name-only", tip]);
            Ok(listed.lines().count() == self.count)
        };
        let arrival = remote.until(complete).await.with_context(|| operator.log())?;
        Ok((work_dir, operator, arrival))
    }

    /// Waits until the operator has listed all objects; returns how long after its start that was.
    pub(crate) async fn listed(&self, operator: &Operator) -> Result<Duration> {
        eventually(SOON, "the initial list", async || {
            let log = observe::parse_log(&operator.log());
            let mut complete = log.iter().filter(|line| line.message == "List is complete");
            let line = complete.find(|line| line.objects >= self.count);
            Ok(line.map(|line| observe::since(operator.started(), line.timestamp)))
        })
        .await
    }

    /// Changes one object again and again until the operator knows who did it, so that the webhook works and whatever
    /// was to be dealt with before is done. Returns how many commits that made.
    pub(crate) async fn settle<K>(&self) -> Result<usize>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        let api: Api<K> = self.api(MARKING_USER).await?;
        let started = Instant::now();
        for tries in 1.. {
            let mut remote = RefWatch::start(&self.mirror.repo);
            let marker = json!({"metadata": {"labels": {"marker": format!("{:016x}", fastrand::u64(..))}}});
            api.patch(&object_name(MARKER), &PatchParams::default(), &Patch::Merge(marker)).await?;
            let tip = remote.next().await?.tip;
            if self.commits(&format!("{tip}~1..{tip}"))[0].author == MARKING_USER {
                return Ok(tries);
            }
            ensure!(started.elapsed() < SOON, "the operator does not know who changes what");
        }
        unreachable!("the loop ends by itself only")
    }

    /// The tip of the branch.
    pub(crate) fn tip(&self) -> Result<String> {
        self.mirror.repo.head("main").context("the remote has no branch main")
    }

    /// The commits of a range of revisions, oldest first.
    pub(crate) fn commits(&self, range: &str) -> Vec<Commit> {
        let log = self.mirror.repo.git(&["log", "--reverse", "--format=%an%x09%s", range]);
        let commit = |line: &str| {
            let (author, subject) = line.split_once('\t')?;
            Some(Commit { author: author.to_owned(), subject: subject.to_owned() })
        };
        log.lines().filter_map(commit).collect()
    }

    /// The lines of all files that start like this.
    pub(crate) fn lines(&self, start: &str) -> Vec<String> {
        let found = self.mirror.repo.git(&["grep", "-h", &format!("^{start}"), "main", "--", "live"]);
        found.lines().map(str::to_owned).collect()
    }
}

/// What a scenario looks at in a commit.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) author: String,
    pub(crate) subject: String,
}

/// The name of an object.
pub(crate) fn object_name(number: usize) -> String {
    format!("object-{number:06}")
}

fn config_map(number: usize) -> Value {
    let settings: String = (0..10).map(|line| format!("setting.{line} = the value of {number} at {line}\n")).collect();
    json!({
        "metadata": {"name": object_name(number), "labels": {"app.kubernetes.io/name": "bench"}},
        "data": {"index": format!("i{number}"), "settings": settings, "value": "initial"},
    })
}
