//! Making a clone beside the current one, and letting it take its place.

use super::marker::Marker;
use super::place::{self, git_dir};
use super::policy::Filter;
use super::{BranchClone, READS};
use crate::git::cli::GitError;
use crate::git::spec::Credentials;
use crate::resource::Oid;
use crate::resource::oid::ObjectFormat;

/// What servers and transports say that can neither cut a history nor leave anything out.
const CANNOT: [&str; 4] =
    ["does not support shallow", "does not support --depth", "does not support --filter", "does not support filter"];
/// What git says when the server sends everything all the same.
const NOT_FILTERED: &str = "filtering not recognized by server";

impl BranchClone {
    /// A clone of what the remote has now, in the folder beside. With `is_full` it has all of the history.
    pub(super) async fn create(&self, is_full: bool, credentials: &Credentials) -> Result<Self, GitError> {
        let failed = |source| Self::io("init", source);
        let mut next = Self { directory: self.place.next.clone(), work_tree: None, ..self.clone() };
        next.marker = Marker::new(&next.key.url, &next.policy);
        next.marker.is_full |= is_full;
        place::remove(&next.directory).map_err(failed)?;
        std::fs::create_dir_all(next.git_dir()).map_err(failed)?;
        let advertised = next.advertised(credentials).await?;
        let tip = advertised.tip();
        next.had_branch = Some(advertised.branch.is_some());
        next.marker.format = match tip {
            Some(oid) if oid.to_string().len() == 64 => ObjectFormat::Sha256,
            Some(_) => ObjectFormat::Sha1,
            None => next.format_of_empty_remote(credentials).await?,
        };
        next.initialise().await?;
        if let Some(tip) = tip {
            let start = if advertised.branch.is_some() { next.key.branch.to_ref() } else { "HEAD".to_owned() };
            next.fill(&start, credentials).await?;
            // The remote may have moved since it was asked: what was fetched counts.
            let tip = next.resolve(&next.tracking()).await?.unwrap_or(tip);
            next.set_refs(tip, Some(tip)).await?;
        }
        Ok(next)
    }

    async fn initialise(&self) -> Result<(), GitError> {
        self.command("init")
            .flag("--quiet")
            .value("--template", "")
            .value("--initial-branch", self.key.branch.as_str())
            .value("--object-format", self.marker.format.as_str())
            .run()
            .await?
            .success()?;
        self.configure()
    }

    pub(super) fn configure(&self) -> Result<(), GitError> {
        self.marker.write_configuration(&self.git_dir(), &self.key).map_err(|source| Self::io("init", source))
    }

    /// Fetches `start`, shallow and without what is filtered out if the remote can do that.
    async fn fill(&mut self, start: &str, credentials: &Credentials) -> Result<(), GitError> {
        let refspec = format!("+{start}:{}", self.tracking());
        let (depth, filter) = (self.policy.depth.to_string(), self.policy.filter);
        let fetched = self
            .remote_command("fetch", credentials, |fetch| {
                let mut fetch = fetch.flag("--no-tags");
                if !self.marker.is_full {
                    fetch = fetch.value("--depth", &depth);
                }
                if filter == Filter::Blobs && !self.marker.is_full {
                    fetch = fetch.value("--filter", filter.as_str());
                }
                fetch.operand("origin").operand(refspec.clone())
            })
            .await?;
        let cannot = !self.marker.is_full && CANNOT.iter().any(|words| fetched.stderr.contains(words));
        if cannot {
            tracing::info!(branch = %self.key, "The remote offers whole histories only: all of it is fetched");
            self.marker.is_full = true;
            self.configure()?;
            let whole = self.remote_command("fetch", credentials, |fetch| {
                fetch.flag("--no-tags").operand("origin").operand(refspec)
            });
            return whole.await?.success().map(drop);
        }
        let fetched = fetched.success()?;
        self.marker.is_partial =
            filter == Filter::Blobs && !self.marker.is_full && !fetched.stderr.contains(NOT_FILTERED);
        // Fetching with a filter has written settings of its own.
        self.configure()
    }

    /// A remote without commits names no object whose id would tell; what it offers in the exchange before does.
    async fn format_of_empty_remote(&self, credentials: &Credentials) -> Result<ObjectFormat, GitError> {
        let url = self.key.url.as_str();
        let asked =
            self.remote_command("ls-remote", credentials, |command| command.trace_packets().operand(url)).await?;
        let offers = |line: &str| line.contains("ls-remote<") && line.contains("object-format=sha256");
        Ok(if asked.stderr.lines().any(offers) { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 })
    }

    /// Makes this clone, which was made beside, the one that is used; the old one is removed, or kept beside.
    pub(super) fn publish(mut self, keeps_old: bool) -> Result<Self, GitError> {
        let failed = |source| Self::io("init", source);
        self.marker.write(&git_dir(&self.directory)).map_err(failed)?;
        self.place.swap(keeps_old).map_err(failed)?;
        self.directory = self.place.current.clone();
        Ok(self)
    }

    /// The tree of a commit can be read.
    pub(super) async fn has_tree(&self, commit: Oid) -> Result<bool, GitError> {
        let listed = self.command("ls-tree").flag("-z").operand(commit.to_string()).offline().deadline(READS).run();
        Ok(listed.await?.code == 0)
    }
}
