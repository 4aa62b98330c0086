//! One branch's clone: shallow, without old blobs, with a work tree in which nothing is ever checked out, in a folder that
//! a person recognises.
//!
//! `refs/heads/<branch>` is the journal's tip, `refs/reverser/base` the last commit that the remote is known to have.

mod attributes;
mod check;
mod create;
mod history;
mod marker;
pub mod place;
pub mod policy;
mod probe;
mod remote;
mod rescue;
mod signed;
pub mod stale;
mod upkeep;
mod work_tree;

pub use self::history::History;
pub use self::remote::RemoteTip;

use self::marker::Marker;
use self::place::Place;
use self::policy::ClonePolicy;
use self::work_tree::WorkTree;
use super::attributes::FILE_NAME;
use super::cli::{Git, GitCommand, GitError, Output};
use super::commit::Commit;
use super::fast_import;
use super::journal;
use super::places::Places;
use super::signing::SigningKey;
use super::spec::Credentials;
use super::tree::TreeIndex;
use crate::resource::oid::ObjectFormat;
use crate::resource::{BaseFolder, BranchKey, Oid, RepoPath};
use crate::sanitize::Manifest;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The last commit that is known to be on the remote.
const BASE: &str = "refs/reverser/base";
/// Where a replay is built before the branch moves to it: fast-import moves no branch to what is not its descendant.
const REPLAY: &str = "refs/reverser/replay";
/// How long looking at a clone may take at its start, each time.
const READS: Duration = Duration::from_secs(20);

/// With so many bytes free a disk is not low, however large it is.
const ROOM: u128 = 5 << 30;

/// The clone of one branch. Its worker is the only writer.
#[derive(Clone, Debug)]
pub struct BranchClone {
    git: Git,
    place: Place,
    /// Where it lies: the place's current folder, or the next one while it is made.
    directory: PathBuf,
    secrets: PathBuf,
    key: BranchKey,
    policy: ClonePolicy,
    signing: Option<SigningKey>,
    marker: Marker,
    /// `None` while it is made.
    work_tree: Option<WorkTree>,
    /// Whether the remote had the branch when this was made; `None` if that was in an earlier process.
    had_branch: Option<bool>,
}

/// How a clone is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Opening {
    /// As it is, if nothing is wrong with it.
    #[default]
    AsItIs,
    /// Made anew, since it was found to be damaged.
    Anew,
    /// Made anew with all of the history, since the remote wants that.
    Whole,
}

/// What opening a clone came to.
#[derive(Debug)]
pub struct Opened {
    /// The clone.
    pub clone: BranchClone,
    /// Whether it was made just now, and so has what the remote has now.
    pub is_new: bool,
}

impl BranchClone {
    /// Opens the clone at its place, or makes it. An existing one that is whole needs no network; one that is damaged, or
    /// was made with other settings, is made anew, and its journal put on top as far as it can be read. `signing` signs the
    /// commits that are made from now on.
    ///
    /// # Errors
    /// When the remote cannot be reached or the clone cannot be made; the old one stays as it is then.
    pub async fn open(
        git: &Git,
        places: &Places,
        policy: ClonePolicy,
        key: &BranchKey,
        opening: Opening,
        credentials: &Credentials,
        signing: Option<SigningKey>,
    ) -> Result<Opened, GitError> {
        let place = Place::of(&places.work_dir, key);
        place.settle().map_err(|source| Self::io("open", source))?;
        let found = Marker::read(&place::git_dir(&place.current));
        let mut clone = Self {
            git: git.clone(),
            directory: place.current.clone(),
            place,
            secrets: places.secrets.clone(),
            key: key.clone(),
            policy,
            signing,
            marker: found.clone().unwrap_or_else(|| Marker::new(&key.url, &policy)),
            work_tree: None,
            had_branch: None,
        };
        let is_full = opening == Opening::Whole;
        let is_new = match found {
            None if clone.git_dir().is_dir() => {
                tracing::warn!(branch = %key, directory = %clone.directory.display(), "The clone is not complete: it is made anew");
                clone = clone.remake(is_full, credentials).await?;
                true
            }
            None => {
                clone = clone.create(is_full, credentials).await?.publish(false)?;
                true
            }
            Some(marker) => match clone.reason_to_remake(&marker, opening).await? {
                Some(reason) => {
                    tracing::warn!(branch = %key, reason, "The clone is made anew");
                    clone = clone.remake(is_full, credentials).await?;
                    true
                }
                None => false,
            },
        };
        Marker::touch(&clone.git_dir()).map_err(|source| Self::io("open", source))?;
        clone.start_work_tree().await?;
        Ok(Opened { clone, is_new })
    }

    /// Whether the remote had the branch when the clone was made; `None` if that was in an earlier process.
    #[must_use]
    pub const fn had_branch(&self) -> Option<bool> {
        self.had_branch
    }

    async fn start_work_tree(&mut self) -> Result<(), GitError> {
        self.work_tree = Some(WorkTree::start(self));
        self.work_tree_follows(self.tip().await?);
        Ok(())
    }

    async fn reason_to_remake(&self, marker: &Marker, opening: Opening) -> Result<Option<String>, GitError> {
        if opening != Opening::AsItIs {
            return Ok(Some("it was found to be damaged or too short".to_owned()));
        }
        if !marker.fits(&self.key.url, &self.policy) {
            return Ok(Some("it was made with other settings".to_owned()));
        }
        let mended = self.configure().and_then(|()| self.remove_leftovers().map_err(|source| Self::io("open", source)));
        let checked = match mended {
            Ok(()) => self.check().await,
            Err(error) => Err(error),
        };
        match checked {
            Ok(()) => Ok(None),
            Err(GitError::Damaged { what }) => Ok(Some(what)),
            Err(error) => Err(error),
        }
    }

    /// What a killed git leaves behind. The worker is the only writer, so every lock is stale when it starts.
    fn remove_leftovers(&self) -> std::io::Result<()> {
        let mut folders = vec![self.git_dir()];
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

    fn git_dir(&self) -> PathBuf {
        place::git_dir(&self.directory)
    }

    /// Which hash its objects are named by.
    #[must_use]
    pub const fn format(&self) -> ObjectFormat {
        self.marker.format
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
        self.command("update-ref").flag("--stdin").input(input.into_bytes()).run().await?.success()?;
        self.work_tree_follows(Some(tip));
        Ok(())
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
        let nothing = |folders| Ok(TreeIndex::parse(b"", folders));
        let Some(tip) = tip else { return nothing(folders) };
        if folders.clone().next().is_none() {
            return nothing(folders);
        }
        let everything = folders.clone().any(|folder| folder.levels().next().is_none());
        let list = |command: GitCommand| command.flag("-z").flag("--full-tree").operand(tip.to_string());
        let mut below = list(self.command("ls-tree").flag("-r"));
        let mut above = list(self.command("ls-tree"));
        if !everything {
            above = above.operand(FILE_NAME);
            for folder in folders.clone() {
                below = below.operand(folder.as_str());
                for level in folder.levels() {
                    above = above.operand(level).operand(format!("{level}/{FILE_NAME}"));
                }
            }
        }
        if everything {
            return Ok(TreeIndex::parse(&below.run().await?.success()?.stdout, folders));
        }
        let (below, above) = tokio::try_join!(below.run(), above.run())?;
        let mut listing = below.success()?.stdout;
        listing.extend(above.success()?.stdout);
        Ok(TreeIndex::parse(&listing, folders))
    }

    /// Adds `commits` on top of `tip` and moves the branch; returns their ids.
    ///
    /// # Errors
    /// When git fails; the branch has not moved then.
    pub async fn commit(&self, tip: Option<Oid>, commits: &[Commit]) -> Result<Vec<Oid>, GitError> {
        self.import(&self.key.branch.to_ref(), tip, commits).await
    }

    /// Whether there is room enough on the disk to go on.
    ///
    /// # Errors
    /// [`GitError::DiskLow`] when there is not; others when nobody can tell.
    pub fn check_room(&self, command: &str) -> Result<(), GitError> {
        let percent = self.policy.least_free_percent;
        let disk = rustix::fs::statvfs(&self.directory).map_err(|error| Self::io(command, error.into()))?;
        // What only the superuser may use is not free. A large disk has room enough before that share of it is free.
        let is_low = u128::from(disk.f_bavail) * 100 < u128::from(disk.f_blocks) * u128::from(percent)
            && u128::from(disk.f_bavail) * u128::from(disk.f_frsize) < ROOM;
        if is_low { Err(GitError::DiskLow { command: command.to_owned(), percent }) } else { Ok(()) }
    }

    async fn import(&self, reference: &str, tip: Option<Oid>, commits: &[Commit]) -> Result<Vec<Oid>, GitError> {
        self.check_room("fast-import")?;
        if let Some(key) = &self.signing {
            let ids = self.import_signed(reference, reference == REPLAY, tip, commits, key).await?;
            self.imported(reference, &ids);
            return Ok(ids);
        }
        let stream = fast_import::commits(reference, tip, commits);
        let mut command = self.command("fast-import").flag("--quiet").deadline(import_deadline(commits.len()));
        if reference == REPLAY {
            // What an earlier replay left there is no ancestor of this one.
            command = command.flag("--force");
        }
        let output = command.offline().input(stream).run().await?.success()?;
        let ids = fast_import::printed_ids(&output.stdout, commits.len())?;
        self.imported(reference, &ids);
        Ok(ids)
    }

    fn imported(&self, reference: &str, ids: &[Oid]) {
        if reference != REPLAY {
            self.work_tree_follows(ids.last().copied());
        }
    }

    /// What signs the commits that are made from now on; `None`: nothing does.
    pub fn sign_with(&mut self, signing: Option<SigningKey>) {
        self.signing = signing;
    }

    /// Stores blobs that later commits point to.
    ///
    /// # Errors
    /// When git fails.
    pub async fn store(&self, manifests: &[Manifest]) -> Result<(), GitError> {
        self.check_room("fast-import")?;
        let stream = fast_import::blobs(manifests.iter());
        self.command("fast-import").flag("--quiet").input(stream).run().await?.success().map(drop)
    }

    /// Moves the journal onto `onto`, the remote's new tip, and makes that the base; with `None` the branch starts with
    /// the journal. What lists want of `spared` paths is left out, and so is what has come under a filter there. Returns
    /// the new tip of the journal and how many commits it has.
    ///
    /// # Errors
    /// When git fails; nothing has moved then.
    pub async fn replay(
        &self,
        base: Option<Oid>,
        tip: Option<Oid>,
        onto: Option<Oid>,
        spared: &BTreeSet<RepoPath>,
        credentials: &Credentials,
    ) -> Result<(Option<Oid>, usize), GitError> {
        let journal = match tip {
            Some(tip) => journal::read(&self.git, &self.git_dir(), base, tip, onto).await?,
            None => Vec::new(),
        };
        self.graft(journal.into_iter().map(|(_, commit)| commit).collect(), onto, spared, credentials).await
    }

    /// Makes the branch `journal` on top of `onto`, and that the base; returns the tip and how many commits are left of
    /// the journal.
    async fn graft(
        &self,
        mut journal: Vec<Commit>,
        onto: Option<Oid>,
        spared: &BTreeSet<RepoPath>,
        credentials: &Credentials,
    ) -> Result<(Option<Oid>, usize), GitError> {
        let mut tip = onto;
        if !journal.is_empty() {
            // Not only the folders of today's targets: the journal may be older than they are.
            let tops: BTreeSet<BaseFolder> =
                journal.iter().flat_map(|commit| &commit.files).map(|file| file.path().top()).collect();
            let tree = self.index(onto, tops.iter()).await?;
            self.leave_out_filtered(&mut journal, &tree, credentials).await?;
            journal = journal::rebase(journal, tree, spared);
        }
        if !journal.is_empty() {
            tip = self.import(REPLAY, onto, &journal).await?.last().copied();
        }
        match (tip, onto) {
            (Some(tip), Some(onto)) => self.set_refs(tip, Some(onto)).await?,
            (Some(tip), None) => self.set_root(tip).await?,
            (None, _) => self.restart(None).await?,
        }
        if let Err(error) = self.command("update-ref").flag("-d").operand(REPLAY).run().await.and_then(Output::success)
        {
            tracing::debug!(%error, "A scratch ref stays");
        }
        Ok((tip, journal.len()))
    }

    fn tracking(&self) -> String {
        format!("refs/remotes/origin/{}", self.key.branch)
    }

    fn command(&self, subcommand: &'static str) -> GitCommand {
        self.git.command(&self.git_dir(), subcommand)
    }

    fn io(command: &str, source: std::io::Error) -> GitError {
        GitError::Process { command: command.to_owned(), source }
    }
}

/// A folder of ten thousand files is written anew for each commit: some ten milliseconds.
fn import_deadline(commits: usize) -> Duration {
    Duration::from_secs(60) + Duration::from_millis(50) * u32::try_from(commits).unwrap_or(u32::MAX)
}
