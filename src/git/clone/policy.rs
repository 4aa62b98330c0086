//! How clones are made and kept: everything that a flag or a test may choose.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What a clone leaves out of what it fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// The content of files; what is needed of it is fetched then.
    Blobs,
    /// Nothing.
    Nothing,
}

impl Filter {
    /// As git and the flag write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blobs => "blob:none",
            Self::Nothing => "none",
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no [`Filter`].
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no filter of clones; write blob:none or none")]
pub struct UnknownFilter(String);

impl FromStr for Filter {
    type Err = UnknownFilter;

    fn from_str(text: &str) -> Result<Self, UnknownFilter> {
        let known = [Self::Blobs, Self::Nothing];
        known.into_iter().find(|filter| filter.as_str() == text).ok_or_else(|| UnknownFilter(text.to_owned()))
    }
}

/// How clones are made and kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClonePolicy {
    /// How many commits of the history are fetched; 0: all.
    pub depth: u32,
    /// What is left out.
    pub filter: Filter,
    /// How long a clone that nobody wants stays; zero: for ever.
    pub ttl: Duration,
    /// How often clones that nobody wants are looked for.
    pub sweep: Duration,
    /// With so many packs a clone is repacked, busy or not.
    pub most_packs: usize,
    /// After so long without a commit it is repacked for less, and its history is looked at.
    pub idle: Duration,
    /// With a longer history than this, a clone without a journal is made anew.
    pub most_commits: usize,
    /// The same for the bytes that it takes on the disk.
    pub most_bytes: u64,
    /// While less of the disk is free than this share, in percent, and less than 5 GiB, nothing is committed.
    pub least_free_percent: u8,
}

impl Default for ClonePolicy {
    fn default() -> Self {
        Self {
            depth: 50,
            filter: Filter::Blobs,
            ttl: Duration::from_secs(168 * 3600),
            sweep: Duration::from_secs(3600),
            most_packs: 50,
            idle: Duration::from_secs(60),
            most_commits: 20_000,
            most_bytes: 1 << 30,
            least_free_percent: 10,
        }
    }
}
