//! `gitops-reverser snapshot`: writes the objects of a cluster as files, once; the same bytes as the operator's.

use crate::resource::{BaseFolder, ObjectName, ResourceId, ResourceType, layout};
use crate::rules::Wildcards;
use crate::rules::selector::{Reach, Selection, resolve};
use crate::sanitize::{self, Document, Manifest};
use crate::watch::discovery::{self, DiscoveryError};
use crate::watch::object::RawObject;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config, Resource as _};
use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// How many objects are asked for at a time.
const PAGE: u32 = 500;

/// What to write, and where to.
#[derive(Debug)]
pub struct Options {
    /// Where the cluster's address is; by default as kubectl finds it.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; by default the current one.
    pub context: Option<String>,
    /// Which namespaces.
    pub namespaces: Namespaces,
    /// Resources as a rule names them; empty: the desired-state preset.
    pub resources: Vec<String>,
    /// Whether objects that the cluster makes by itself are left out.
    pub filters_noise: bool,
    /// Where to.
    pub output: Output,
}

/// Which namespaces.
#[derive(Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// All, and with the preset also what has no namespace.
    All,
    /// The named one, else that of the context.
    One(Option<String>),
}

/// Where the manifests go.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// To files below a folder.
    Folder(PathBuf),
    /// To standard output, as one YAML stream.
    Stream,
}

/// Why there is no complete snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The cluster's address is not known.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(#[from] KubeconfigError),
    /// The cluster cannot be talked to.
    #[error("the API server cannot be used: {0}")]
    Client(#[from] kube::Error),
    /// It does not say what it serves.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// Names that select nothing.
    #[error("nothing was written: {0}")]
    Selection(String),
    /// A file or the output cannot be written.
    #[error("{what} cannot be written: {source}")]
    Write {
        /// What.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// Some of it is missing; what is there is right.
    #[error("the snapshot is not complete: {0} types or objects could not be written, see above")]
    Incomplete(usize),
}

/// Writes the snapshot. What cannot be had is told on standard error, and everything else is written all the same.
///
/// # Errors
/// When nothing could be done, or something is missing.
pub async fn run(options: Options) -> Result<(), SnapshotError> {
    let Options { kubeconfig, context, namespaces, resources, filters_noise, output } = options;
    let client = connect(kubeconfig, context).await?;
    let catalog = discovery::discover(&client).await?;
    let namespace = match namespaces {
        Namespaces::All => None,
        Namespaces::One(name) => Some(name.unwrap_or_else(|| client.default_namespace().to_owned())),
    };
    let kinds = select(&resources, namespace.is_none(), &catalog)?;
    let mut snapshot = Snapshot { client, namespace, filters_noise, sink: Sink::new(output), written: 0, missing: 0 };
    for kind in &kinds {
        snapshot.progress(&format!("{} objects; listing {}", snapshot.written, kind.plural_group()));
        if let Err(error) = snapshot.write_all(kind).await? {
            snapshot.complain(&format!("{} cannot be listed: {error}", kind.plural_group()));
        }
    }
    snapshot.progress(&format!("{} objects of {} types\n", snapshot.written, kinds.len()));
    if snapshot.missing == 0 { Ok(()) } else { Err(SnapshotError::Incomplete(snapshot.missing)) }
}

async fn connect(kubeconfig: Option<PathBuf>, context: Option<String>) -> Result<Client, SnapshotError> {
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let config = match kubeconfig {
        Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
        None => Config::from_kubeconfig(&options).await?,
    };
    Ok(Client::try_from(config)?)
}

/// The types to write. A name is looked for among the types with namespaces and among those without.
fn select(
    resources: &[String],
    everywhere: bool,
    catalog: &crate::rules::Catalog,
) -> Result<BTreeSet<Arc<ResourceType>>, SnapshotError> {
    let preset = resources.is_empty();
    let mut kinds = BTreeSet::new();
    let mut add = |resources: &[String]| {
        let mut problems = Vec::new();
        for reach in [Reach::AllNamespaces, Reach::Cluster] {
            if preset && !everywhere && reach == Reach::Cluster {
                continue;
            }
            let resolved = resolve(
                &Selection { reach, api_groups: &[], api_versions: &[], resources },
                catalog,
                &Wildcards::default(),
            );
            kinds.extend(resolved.selected.into_iter().map(|selected| selected.kind));
            problems.push(resolved.problems);
        }
        // What one of the two did not find, the other may have.
        if problems.iter().any(Vec::is_empty) { None } else { problems.into_iter().flatten().next() }
    };
    if preset {
        add(&[]);
        return Ok(kinds);
    }
    let problems: Vec<String> = resources
        .iter()
        .filter_map(|name| add(std::slice::from_ref(name)))
        .map(|problem| problem.with_nearest(catalog).to_string())
        .collect();
    if problems.is_empty() { Ok(kinds) } else { Err(SnapshotError::Selection(problems.join("; "))) }
}

struct Snapshot {
    client: Client,
    /// `None`: all.
    namespace: Option<String>,
    filters_noise: bool,
    sink: Sink,
    written: usize,
    missing: usize,
}

impl Snapshot {
    /// Writes every object of `kind`. The inner error is that of the list, which ends this type only.
    async fn write_all(&mut self, kind: &Arc<ResourceType>) -> Result<Result<(), kube::Error>, SnapshotError> {
        let resource = kind.api_resource();
        let api: Api<RawObject> = match &self.namespace {
            Some(namespace) if kind.namespaced => Api::namespaced_with(self.client.clone(), namespace, &resource),
            _ => Api::all_with(self.client.clone(), &resource),
        };
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = match api.list(&page).await {
                Ok(list) => list,
                Err(error) => return Ok(Err(error)),
            };
            for object in &list.items {
                self.write(kind, object)?;
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page.continue_token = Some(token),
                None => return Ok(Ok(())),
            }
        }
    }

    fn write(&mut self, kind: &Arc<ResourceType>, object: &RawObject) -> Result<(), SnapshotError> {
        let meta = object.meta();
        // What is on its way out is as good as gone, here as in a mirror.
        let (Some(name), None) = (&meta.name, &meta.deletion_timestamp) else { return Ok(()) };
        let id = ResourceId { kind: Arc::clone(kind), name: ObjectName::new(meta.namespace.as_deref(), name) };
        let manifest = Document::parse(object.json()).and_then(|mut document| {
            let is_noise = self.filters_noise && sanitize::noise(&document, kind).is_some();
            if is_noise { Ok(None) } else { sanitize::manifest(&mut document, kind).map(Some) }
        });
        match manifest {
            Ok(None) => Ok(()),
            Ok(Some(manifest)) => {
                self.written += 1;
                self.sink.write(&id, &manifest)
            }
            Err(error) => {
                self.complain(&format!("{id} cannot be written: {error}"));
                Ok(())
            }
        }
    }

    fn complain(&mut self, message: &str) {
        self.missing += 1;
        self.progress("");
        eprintln!("{message}");
    }

    fn progress(&self, message: &str) {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K{message}");
        }
    }
}

struct Sink {
    output: Output,
    root: BaseFolder,
}

impl Sink {
    fn new(output: Output) -> Self {
        Self { output, root: BaseFolder::root() }
    }

    fn write(&self, id: &ResourceId, manifest: &Manifest) -> Result<(), SnapshotError> {
        let failed = |what: String| move |source| SnapshotError::Write { what, source };
        match &self.output {
            Output::Stream => {
                let mut out = std::io::stdout().lock();
                let written = out.write_all(b"---\n").and_then(|()| out.write_all(manifest.bytes()));
                written.map_err(failed("standard output".to_owned()))
            }
            Output::Folder(folder) => {
                let invalid = |error| failed(id.to_string())(std::io::Error::other(error));
                let path = folder.join(layout::manifest_path(&self.root, id).map_err(invalid)?.as_str());
                let parent = path.parent().unwrap_or(folder);
                let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, manifest.bytes()));
                written.map_err(failed(path.display().to_string()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Catalog;

    fn mk_catalog() -> Catalog {
        let mk = |group: &str, resource: &str, kind: &str, namespaced| ResourceType {
            group: group.into(),
            version: "v1".into(),
            resource: resource.into(),
            kind: kind.into(),
            namespaced,
        };
        Catalog::new([
            mk("", "configmaps", "ConfigMap", true),
            mk("", "pods", "Pod", true),
            mk("", "namespaces", "Namespace", false),
            mk("storage.k8s.io", "storageclasses", "StorageClass", false),
        ])
    }

    #[test]
    fn names_select_with_and_without_namespaces() {
        let selected = |resources: &[&str], everywhere| {
            let resources: Vec<String> = resources.iter().map(|name| (*name).to_owned()).collect();
            let kinds = select(&resources, everywhere, &mk_catalog());
            kinds
                .map(|kinds| kinds.iter().map(|kind| kind.resource.clone()).collect::<Vec<_>>())
                .map_err(|e| e.to_string())
        };
        assert_eq!(selected(&[], false).unwrap(), ["configmaps"]);
        assert_eq!(selected(&[], true).unwrap(), ["configmaps", "namespaces", "storageclasses"]);
        assert_eq!(selected(&["pods", "storageclasses.storage.k8s.io"], false).unwrap(), ["pods", "storageclasses"]);
        assert_eq!(selected(&["*"], true).unwrap(), ["configmaps", "namespaces", "storageclasses"]);
        let error = selected(&["configmap", "pods"], true).unwrap_err();
        assert!(error.contains("did you mean configmaps?"), "{error}");
    }
}
