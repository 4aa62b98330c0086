//! One branch's clone: a bare, shallow repository without old blobs, in a folder that a person recognises.
//!
//! `refs/heads/<branch>` is the journal's tip, `refs/reverser/base` the last commit that the remote is known to have.

mod history;
mod probe;
mod remote;

pub use history::History;
pub use remote::RemoteTip;

use super::cli::{Git, GitCommand, GitError, Output};
use super::commit::Commit;
use super::fast_import;
use super::journal;
use super::places::Places;
use super::spec::Credentials;
use super::tree::TreeIndex;
use crate::resource::oid::ObjectFormat;
use crate::resource::{BaseFolder, BranchKey, Oid, RepoPath};
use crate::sanitize::Manifest;
use sha2::Digest as _;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The last commit that is known to be on the remote.
const BASE: &str = "refs/reverser/base";
/// Where a replay is built before the branch moves to it: fast-import moves no branch to what is not its descendant.
const REPLAY: &str = "refs/reverser/replay";
/// Written last when a clone is made: one without it is made anew.
const READY: &str = "reverser-ready";

/// The clone of one branch. Its worker is the only writer.
#[derive(Clone, Debug)]
pub struct BranchClone {
    git: Git,
    directory: PathBuf,
    secrets: PathBuf,
    key: BranchKey,
    format: ObjectFormat,
}

impl BranchClone {
    /// Opens the clone at its place, or makes it; tells whether it was made, and so has what the remote has now. An
    /// existing one needs no network.
    ///
    /// # Errors
    /// When the remote cannot be reached or the clone cannot be made.
    pub async fn open(
        git: &Git,
        places: &Places,
        key: &BranchKey,
        credentials: &Credentials,
    ) -> Result<(Self, bool), GitError> {
        let directory = places.work_dir.join("repos").join(folder_name(key));
        let mut clone = Self {
            git: git.clone(),
            directory,
            secrets: places.secrets.clone(),
            key: key.clone(),
            format: ObjectFormat::Sha1,
        };
        let is_new = !clone.directory.join(READY).is_file();
        if is_new {
            clone.create(credentials).await?;
        } else {
            clone.remove_leftovers().map_err(|source| Self::io("open", source))?;
            let answer = clone.command("rev-parse").flag("--show-object-format").run().await?.success()?.text();
            clone.format = answer.trim().parse().map_err(|_| GitError::unreadable("rev-parse", answer.as_bytes()))?;
        }
        Ok((clone, is_new))
    }

    async fn create(&mut self, credentials: &Credentials) -> Result<(), GitError> {
        if self.directory.exists() {
            std::fs::remove_dir_all(&self.directory).map_err(|source| Self::io("init", source))?;
        }
        std::fs::create_dir_all(&self.directory).map_err(|source| Self::io("init", source))?;
        let advertised = self.advertised(credentials).await?;
        if advertised.branch.or(advertised.head).is_some_and(|oid| oid.to_string().len() == 64) {
            self.format = ObjectFormat::Sha256;
        }
        self.command("init")
            .flag("--bare")
            .flag("--quiet")
            .value("--template", "")
            .value("--initial-branch", self.key.branch.as_str())
            .value("--object-format", self.format.as_str())
            .run()
            .await?
            .success()?;
        self.write_config().map_err(|source| Self::io("init", source))?;
        let start = if advertised.branch.is_some() { self.key.branch.to_ref() } else { "HEAD".to_owned() };
        if let Some(tip) = advertised.branch.or(advertised.head) {
            let refspec = format!("+{start}:{}", self.tracking());
            self.remote_command("fetch", credentials, |fetch| {
                fetch
                    .flag("--quiet")
                    .flag("--no-tags")
                    .flag("--depth=50")
                    .flag("--filter=blob:none")
                    .operand("origin")
                    .operand(refspec)
            })
            .await?
            .success()?;
            self.set_refs(tip, Some(tip)).await?;
        }
        std::fs::write(self.directory.join(READY), "").map_err(|source| Self::io("init", source))
    }

    fn write_config(&self) -> std::io::Result<()> {
        use std::io::Write as _;
        let url = self.key.url.as_str().replace('"', "\\\"");
        let branch = self.key.branch.to_ref();
        let mut config = std::fs::OpenOptions::new().append(true).open(self.directory.join("config"))?;
        writeln!(
            config,
            "[remote \"origin\"]\n\turl = \"{url}\"\n\tfetch = \"+{branch}:{}\"\n\tpromisor = true\n\tpartialclonefilter = blob:none",
            self.tracking()
        )
    }

    /// What a killed git leaves behind. The worker is the only writer, so every lock is stale when it starts.
    fn remove_leftovers(&self) -> std::io::Result<()> {
        let mut folders = vec![self.directory.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if entry.file_type()?.is_dir() {
                    // Loose objects: many folders, no locks.
                    if name.len() != 2 {
                        folders.push(entry.path());
                    }
                } else if name.ends_with(".lock") || name.starts_with("tmp_") || name.starts_with("fast_import_crash_")
                {
                    tracing::info!(file = %entry.path().display(), "Removed what a killed git left");
                    std::fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// Where it lies, for people.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Which hash its objects are named by.
    #[must_use]
    pub const fn format(&self) -> ObjectFormat {
        self.format
    }

    /// The journal's tip; `None` on a branch without commits.
    ///
    /// # Errors
    /// When git fails.
    pub async fn tip(&self) -> Result<Option<Oid>, GitError> {
        self.resolve(&self.key.branch.to_ref()).await
    }

    /// The last commit that the remote is known to have.
    ///
    /// # Errors
    /// When git fails.
    pub async fn base(&self) -> Result<Option<Oid>, GitError> {
        self.resolve(BASE).await
    }

    async fn resolve(&self, reference: &str) -> Result<Option<Oid>, GitError> {
        let output = self.command("rev-parse").flag("--verify").flag("--quiet").operand(reference).run().await?;
        if output.code == 1 {
            return Ok(None);
        }
        let text = output.success()?.text();
        text.trim().parse().map(Some).map_err(|_| GitError::unreadable("rev-parse", text.as_bytes()))
    }

    /// Sets the journal's tip and, unless `None`, the base, in one transaction.
    ///
    /// # Errors
    /// When git fails; nothing has changed then.
    pub async fn set_refs(&self, tip: Oid, base: Option<Oid>) -> Result<(), GitError> {
        let mut input = format!("update {} {tip}\n", self.key.branch.to_ref());
        if let Some(base) = base {
            input.push_str(&format!("update {BASE} {base}\n"));
        }
        self.command("update-ref").flag("--stdin").input(input.into_bytes()).run().await?.success().map(drop)
    }

    /// How many commits are in the journal.
    ///
    /// # Errors
    /// When git fails.
    pub async fn journal_length(&self, base: Option<Oid>, tip: Oid) -> Result<usize, GitError> {
        let mut count = self.command("rev-list").flag("--count").operand(tip.to_string());
        if let Some(base) = base {
            count = count.operand(format!("^{base}"));
        }
        let text = count.run().await?.success()?.text();
        text.trim().parse().map_err(|_| GitError::unreadable("rev-list", text.as_bytes()))
    }

    /// The files of commit `tip` below `folders`, and what stands where one of these has to be.
    ///
    /// # Errors
    /// When git fails.
    pub async fn index<'a>(
        &self,
        tip: Option<Oid>,
        folders: impl Iterator<Item = &'a BaseFolder> + Clone,
    ) -> Result<TreeIndex, GitError> {
        let Some(tip) = tip else { return Ok(TreeIndex::default()) };
        if folders.clone().next().is_none() {
            return Ok(TreeIndex::default());
        }
        let everything = folders.clone().any(|folder| folder.levels().next().is_none());
        let list = |command: GitCommand| command.flag("-z").flag("--full-tree").operand(tip.to_string());
        let mut below = list(self.command("ls-tree").flag("-r"));
        let mut above = list(self.command("ls-tree"));
        if !everything {
            for folder in folders.clone() {
                below = below.operand(folder.as_str());
                above = folder.levels().fold(above, GitCommand::operand);
            }
        }
        let mut listing = below.run().await?.success()?.stdout;
        if !everything {
            listing.extend(above.run().await?.success()?.stdout);
        }
        Ok(TreeIndex::parse(&listing, folders))
    }

    /// Adds `commits` on top of `tip` and moves the branch; returns their ids.
    ///
    /// # Errors
    /// When git fails; the branch has not moved then.
    pub async fn commit(&self, tip: Option<Oid>, commits: &[Commit]) -> Result<Vec<Oid>, GitError> {
        self.import(&self.key.branch.to_ref(), tip, commits).await
    }

    async fn import(&self, reference: &str, tip: Option<Oid>, commits: &[Commit]) -> Result<Vec<Oid>, GitError> {
        let stream = fast_import::commits(reference, tip, commits);
        let mut command = self.command("fast-import").flag("--quiet").deadline(import_deadline(commits.len()));
        if reference == REPLAY {
            // What an earlier replay left there is no ancestor of this one.
            command = command.flag("--force");
        }
        let output = command.input(stream).run().await?.success()?;
        fast_import::printed_ids(&output.stdout, commits.len())
    }

    /// Stores blobs that later commits point to.
    ///
    /// # Errors
    /// When git fails.
    pub async fn store(&self, manifests: &[Manifest]) -> Result<(), GitError> {
        let stream = fast_import::blobs(manifests.iter());
        self.command("fast-import").flag("--quiet").input(stream).run().await?.success().map(drop)
    }

    /// Moves the journal onto `onto`, the remote's new tip, and makes that the base; with `None` the branch starts with
    /// the journal. What lists want of `spared` paths is left out. Returns the new tip of the journal and how many
    /// commits it has.
    ///
    /// # Errors
    /// When git fails; nothing has moved then.
    pub async fn replay(
        &self,
        base: Option<Oid>,
        tip: Option<Oid>,
        onto: Option<Oid>,
        spared: &BTreeSet<RepoPath>,
    ) -> Result<(Option<Oid>, usize), GitError> {
        let mut journal = match tip {
            Some(tip) => journal::read(&self.git, &self.directory, base, tip, onto).await?,
            None => Vec::new(),
        };
        let mut new_tip = onto;
        if !journal.is_empty() {
            // Not only the folders of today's targets: the journal may be older than they are.
            let tops: BTreeSet<BaseFolder> =
                journal.iter().flat_map(|commit| &commit.files).map(|file| file.path().top()).collect();
            journal = journal::rebase(journal, self.index(onto, tops.iter()).await?, spared);
        }
        if !journal.is_empty() {
            new_tip = self.import(REPLAY, onto, &journal).await?.last().copied();
        }
        match (new_tip, onto) {
            (Some(tip), Some(onto)) => self.set_refs(tip, Some(onto)).await?,
            (Some(tip), None) => self.set_root(tip).await?,
            (None, _) => self.restart(None).await?,
        }
        if let Err(error) = self.command("update-ref").flag("-d").operand(REPLAY).run().await.and_then(Output::success)
        {
            tracing::debug!(%error, "A scratch ref stays");
        }
        Ok((new_tip, journal.len()))
    }

    fn tracking(&self) -> String {
        format!("refs/remotes/origin/{}", self.key.branch)
    }

    fn command(&self, subcommand: &'static str) -> GitCommand {
        self.git.command(&self.directory, subcommand)
    }

    fn io(command: &str, source: std::io::Error) -> GitError {
        GitError::Process { command: command.to_owned(), source }
    }
}

/// A folder of ten thousand files is written anew for each commit: some ten milliseconds.
fn import_deadline(commits: usize) -> Duration {
    Duration::from_secs(60) + Duration::from_millis(50) * u32::try_from(commits).unwrap_or(u32::MAX)
}

/// `<host>_<path>_<branch>-<hash8>`: recognisable, and different for every key.
fn folder_name(key: &BranchKey) -> String {
    let readable = format!("{}_{}_{}", key.url.host(), key.url.repository(), key.branch);
    let readable: String = readable
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .take(120)
        .collect();
    let identity = format!("{}\0{}\0{}\0{}", key.provider, key.provider_uid, key.url.normalized(), key.branch);
    let hash: String = sha2::Sha256::digest(identity).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hash}", readable.trim_start_matches(['.', '_', '-']))
}
