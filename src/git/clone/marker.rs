//! What is written into a clone besides git's own: how it was made, and its configuration.

use super::policy::ClonePolicy;
use crate::resource::oid::ObjectFormat;
use crate::resource::{BranchKey, RepoUrl};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::SystemTime;

/// Written last when a clone is made: one without it is not complete.
const FILE: &str = "reverser-ready";
/// Changes with whatever makes older clones unusable.
const LAYOUT: &str = "1";

/// How a clone was made. Its last change is the last time that it was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// Where from.
    pub(super) url: String,
    /// Which hash its objects are named by.
    pub(super) format: ObjectFormat,
    /// What was asked for: the depth and the filter.
    pub(super) wanted: (u32, String),
    /// Whether all of the history is here, wanted or not.
    pub(super) is_full: bool,
    /// Whether the remote is counted on for what is missing.
    pub(super) is_partial: bool,
}

impl Marker {
    pub(super) fn new(url: &RepoUrl, policy: &ClonePolicy) -> Self {
        Self {
            url: url.as_str().to_owned(),
            format: ObjectFormat::Sha1,
            wanted: (policy.depth, policy.filter.to_string()),
            is_full: policy.depth == 0,
            is_partial: false,
        }
    }

    /// Whether a clone that was made like this is what `policy` wants. One that had to be made otherwise than was
    /// wanted would have to be again.
    pub(super) fn fits(&self, url: &RepoUrl, policy: &ClonePolicy) -> bool {
        self.url == url.as_str() && self.wanted == (policy.depth, policy.filter.to_string())
    }

    /// Reads it; `None` where there is none that is complete.
    pub(super) fn read(git_dir: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(git_dir.join(FILE)).ok()?;
        let field = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        (field("layout")? == LAYOUT).then_some(())?;
        Some(Self {
            url: field("url")?.to_owned(),
            format: field("format")?.parse().ok()?,
            wanted: (field("depth")?.parse().ok()?, field("filter")?.to_owned()),
            is_full: field("full")?.parse().ok()?,
            is_partial: field("partial")?.parse().ok()?,
        })
    }

    pub(super) fn write(&self, git_dir: &Path) -> io::Result<()> {
        let Self { url, format, wanted: (depth, filter), is_full, is_partial } = self;
        let text = format!(
            "layout {LAYOUT}\nurl {url}\nformat {}\ndepth {depth}\nfilter {filter}\nfull {is_full}\npartial {is_partial}\n",
            format.as_str()
        );
        let mut file = std::fs::File::create(git_dir.join(FILE))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    /// When the clone was last wanted, as far as that is noted.
    pub(super) fn last_wanted(git_dir: &Path) -> Option<SystemTime> {
        git_dir.join(FILE).metadata().ok()?.modified().ok()
    }

    /// Notes that it is wanted now.
    pub(super) fn touch(git_dir: &Path) -> io::Result<()> {
        std::fs::File::options().append(true).open(git_dir.join(FILE))?.set_modified(SystemTime::now())
    }

    /// Writes what git itself must find: `HEAD`, the configuration, the sparse patterns. None of it holds anything that
    /// cannot be told anew, so a damaged one is mended by each start.
    pub(super) fn write_configuration(&self, git_dir: &Path, key: &BranchKey) -> io::Result<()> {
        let branch = key.branch.to_ref();
        std::fs::write(git_dir.join("HEAD"), format!("ref: {branch}\n"))?;
        std::fs::create_dir_all(git_dir.join("info"))?;
        std::fs::write(git_dir.join("info/sparse-checkout"), "/*\n!/*/\n")?;
        std::fs::write(git_dir.join("config"), self.configuration(key))
    }

    fn configuration(&self, key: &BranchKey) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let branch = key.branch.to_ref();
        let tracking = format!("refs/remotes/origin/{}", key.branch);
        // The hash is read from the extension; what is a person's `git status` or `git pull` in here must neither run
        // hooks nor tidy up under our feet.
        let mut text =
            "[core]\n\trepositoryFormatVersion = 1\n\tbare = false\n\tsymlinks = false\n\thooksPath = /dev/null\n\
            \tlogAllRefUpdates = always\n\tsparseCheckout = true\n\tsparseCheckoutCone = true\n\tfsmonitor = false\n\
            [index]\n\tsparse = true\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[submodule]\n\trecurse = false\n"
                .to_owned();
        if self.format == ObjectFormat::Sha256 {
            text.push_str("[extensions]\n\tobjectFormat = sha256\n");
        }
        text.push_str(&format!(
            "[remote \"origin\"]\n\turl = {}\n\tfetch = {}\n\ttagOpt = --no-tags\n",
            quoted(&self.url),
            quoted(&format!("+{branch}:{tracking}"))
        ));
        if self.is_partial {
            text.push_str("\tpromisor = true\n\tpartialCloneFilter = blob:none\n");
        }
        let name = quoted(key.branch.as_str());
        text.push_str(&format!("[branch {name}]\n\tremote = origin\n\tmerge = {}\n", quoted(&branch)));
        text
    }
}
